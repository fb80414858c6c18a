//! How fast a partner and a sender may go: token buckets in a fixed amount of memory.
//!
//! A bucket holds one second's worth of messages. It is kept as the generic cell rate algorithm keeps
//! it (ITU-T I.371): one point in time, by which all that was let through is paid for. Buckets live
//! in sets of eight, found by a seeded hash, so nobody can aim at another's set. When a set is full,
//! the bucket that owes least gives way: it forgets the least. So memory never grows, and a flood of
//! made-up senders gets no further than its partner's budget.

use super::partner::Partner;
use crate::crossing::{Crossing, Direction};
use crate::now::Now;
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Buckets in a set.
const WAYS: usize = 8;
/// Sets of senders' buckets: 65536 buckets in 1 MiB.
const SENDER_SETS: usize = 8192;
/// Sets of partners' buckets.
const PARTNER_SETS: usize = 512;
/// How much may be owed: a second's worth.
const BURST: u64 = 1_000_000_000;

/// Whose budget it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Budget {
    /// The partner's, for one direction.
    Partner,
    /// The sender's.
    Sender,
    /// A discovered domain's, for its requests.
    Discovered,
    /// A discovered domain's, for the people whom it writes to.
    Contacts,
}

impl Budget {
    /// One word for logs and as a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Partner => "partner",
            Self::Sender => "sender",
            Self::Discovered => "discovered domain",
            Self::Contacts => "discovered domain's contacts",
        }
    }
}

/// The item is one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("over the budget of the {}, retry after {retry_after:?}", budget.as_str())]
pub struct OverBudget {
    /// Whose budget is used up.
    pub budget: Budget,
    /// When the next one would be let through, if nothing else comes.
    pub retry_after: Duration,
}

/// The buckets of all partners and senders. Clones are the same buckets: all shards charge one account.
#[derive(Clone, Debug)]
pub struct Budgets {
    /// Under a secret that whoever chooses what is hashed does not know.
    keyed: DefaultHasher,
    buckets: Arc<Mutex<Accounts>>,
}

#[derive(Debug)]
struct Accounts {
    partners: Buckets,
    senders: Buckets,
}

impl Budgets {
    /// Budgets of so many messages a second for each partner and each sender; 0 is off.
    pub fn new(partner_rate: u32, user_rate: u32, seed: [u8; 32]) -> Self {
        let mut keyed = DefaultHasher::new();
        keyed.write(&seed);
        Self {
            keyed,
            buckets: Arc::new(Mutex::new(Accounts {
                partners: Buckets::new(partner_rate, PARTNER_SETS),
                senders: Buckets::new(user_rate, SENDER_SETS),
            })),
        }
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes other rates; what is owed stays.
    pub fn set_rates(&self, partner_rate: u32, user_rate: u32) {
        let mut accounts = self.accounts();
        accounts.partners.set_rate(partner_rate);
        accounts.senders.set_rate(user_rate);
    }

    /// Charges one item to its sender and to the partner, to both or to neither.
    ///
    /// The two directions of a partner are two budgets, so its flood does not silence our users.
    ///
    /// # Errors
    /// [`OverBudget`]: the sender's budget is asked first.
    pub fn charge(&self, crossing: &Crossing<'_>, partner: &Partner, now: Now) -> Result<(), OverBudget> {
        let nanos = now.mono.as_micros().saturating_mul(1000);
        let sender = self.key(2, crossing.sender.bare_str());
        let direction = match crossing.direction {
            Direction::XmppToSip => 0,
            Direction::SipToXmpp => 1,
        };
        let partner = self.key(direction, partner.domain.as_str());
        let over = |budget| move |retry_after| OverBudget { budget, retry_after };
        let Accounts { partners, senders } = &mut *self.accounts();
        senders.room(sender, nanos).map_err(over(Budget::Sender))?;
        partners.room(partner, nanos).map_err(over(Budget::Partner))?;
        senders.take(sender, nanos);
        partners.take(partner, nanos);
        Ok(())
    }

    fn key(&self, kind: u8, text: &str) -> u64 {
        let mut hasher = self.keyed.clone();
        hasher.write_u8(kind);
        hasher.write(text.as_bytes());
        hasher.finish()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    key: u64,
    /// When all that was let through is paid for, in nanoseconds.
    paid: u64,
}

#[derive(Debug)]
struct Buckets {
    /// Nanoseconds that one item costs; 0 is off.
    cost: u64,
    sets: Vec<[Bucket; WAYS]>,
}

impl Buckets {
    fn new(rate: u32, sets: usize) -> Self {
        let mut buckets = Self { cost: 0, sets: vec![[Bucket::default(); WAYS]; sets] };
        buckets.set_rate(rate);
        buckets
    }

    fn set_rate(&mut self, rate: u32) {
        self.cost = BURST.checked_div(u64::from(rate)).unwrap_or(0);
    }

    /// Whether one more may go.
    fn room(&self, key: u64, now: u64) -> Result<(), Duration> {
        let set = self.sets.get(self.index(key));
        let paid = set.and_then(|set| set.iter().find(|bucket| bucket.key == key)).map_or(0, |b| b.paid);
        let owed = paid.saturating_sub(now).saturating_add(self.cost);
        match owed.checked_sub(BURST) {
            Some(over) if over > 0 && self.cost > 0 => Err(Duration::from_nanos(over)),
            _ => Ok(()),
        }
    }

    /// Lets one go.
    fn take(&mut self, key: u64, now: u64) {
        let index = self.index(key);
        let Some(set) = self.sets.get_mut(index).filter(|_| self.cost > 0) else { return };
        let bucket = match set.iter().position(|bucket| bucket.key == key) {
            Some(way) => set.get_mut(way),
            None => set.iter_mut().min_by_key(|bucket| bucket.paid).map(|bucket| {
                *bucket = Bucket { key, paid: 0 };
                bucket
            }),
        };
        if let Some(bucket) = bucket {
            bucket.paid = bucket.paid.max(now).saturating_add(self.cost);
        }
    }

    fn index(&self, key: u64) -> usize {
        // The number of sets is a power of two.
        usize::try_from(key >> 32).unwrap_or(0) & (self.sets.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::addr::{Domain, Jid};
    use crate::crossing::Kind;
    use crate::policy::At;

    struct Bench {
        budgets: Budgets,
        partner: Partner,
    }

    impl Bench {
        fn new(partner_rate: u32, user_rate: u32) -> Self {
            let partner = Partner::new(Domain::parse("fabrikam.example").unwrap(), At::default());
            Self { budgets: Budgets::new(partner_rate, user_rate, [7; 32]), partner }
        }

        fn send(&mut self, from: &str, to: &str, now: Now) -> Result<(), OverBudget> {
            let (sender, target) = (Jid::parse(from).unwrap(), Jid::parse(to).unwrap());
            let direction = match sender.domain() == "fabrikam.example" {
                true => Direction::XmppToSip,
                false => Direction::SipToXmpp,
            };
            let crossing = Crossing { sender: &sender, target: &target, direction, kind: Kind::Message };
            self.budgets.charge(&crossing, &self.partner, now)
        }
    }

    const ROMEO: &str = "romeo@fabrikam.example/orchard";
    const ALICE: &str = "alice@contoso.example";

    #[test]
    fn check_169_a_sender_gets_a_seconds_worth_and_then_the_rate() {
        let mut bench = Bench::new(0, 50);
        let passed = (0..100).filter(|_| bench.send(ROMEO, ALICE, Now::at(5)).is_ok()).count();
        assert_eq!(passed, 50);
        let over = bench.send("romeo@fabrikam.example/balcony", ALICE, Now::at(5)).unwrap_err();
        assert_eq!(over, OverBudget { budget: Budget::Sender, retry_after: Duration::from_millis(20) });
        assert!(bench.send(ROMEO, ALICE, Now::at_millis(5019)).is_err());
        assert!(bench.send(ROMEO, ALICE, Now::at_millis(5020)).is_ok());
        assert!(bench.send(ROMEO, ALICE, Now::at_millis(5020)).is_err());
        assert!(bench.send("juliet@fabrikam.example", ALICE, Now::at(5)).is_ok());
    }

    #[test]
    fn check_169_a_partners_budget_covers_all_its_senders_in_one_direction() {
        let mut bench = Bench::new(10, 1000);
        for n in 0..10 {
            assert!(bench.send(&format!("u{n}@fabrikam.example"), ALICE, Now::at(1)).is_ok());
        }
        let over = bench.send("u99@fabrikam.example", ALICE, Now::at(1)).unwrap_err();
        assert_eq!((over.budget, over.retry_after), (Budget::Partner, Duration::from_millis(100)));
        assert!(bench.send(ALICE, ROMEO, Now::at(1)).is_ok());
        assert!(bench.send("u99@fabrikam.example", ALICE, Now::at_millis(1100)).is_ok());
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let mut bench = Bench::new(2, 1);
        assert!(bench.send(ROMEO, ALICE, Now::at(1)).is_ok());
        for _ in 0..50 {
            assert_eq!(bench.send(ROMEO, ALICE, Now::at(1)).unwrap_err().budget, Budget::Sender);
        }
        assert!(bench.send("juliet@fabrikam.example", ALICE, Now::at(1)).is_ok());
    }

    #[test]
    fn check_168_a_flood_of_senders_takes_no_memory_and_spares_who_owes_most() {
        let mut bench = Bench::new(0, 2);
        let before = bench.budgets.accounts().senders.sets.len();
        for _ in 0..2 {
            assert!(bench.send(ROMEO, ALICE, Now::at(1)).is_ok());
        }
        for n in 0..20_000 {
            let _ = bench.send(&format!("u{n}@fabrikam.example"), ALICE, Now::at(1));
        }
        assert!(bench.send(ROMEO, ALICE, Now::at(1)).is_err());
        assert_eq!(bench.budgets.accounts().senders.sets.len(), before);
    }

    #[test]
    fn zero_is_off_and_rates_can_change() {
        let mut bench = Bench::new(0, 0);
        assert!((0..10_000).all(|_| bench.send(ROMEO, ALICE, Now::at(1)).is_ok()));
        bench.budgets.set_rates(0, 1);
        assert!(bench.send(ROMEO, ALICE, Now::at(1)).is_ok());
        assert!(bench.send(ROMEO, ALICE, Now::at(1)).is_err());
    }
}
