//! What a discovered SIP domain may do. Its server was found by DNS and nobody vouched for it, so it gets
//! little: so many requests a second, and so many of the partners' people within an hour, whether they
//! exist or not. The second is what keeps it from finding out who there is.
//!
//! The domains are those of the configuration, so there are no more of them than it lists.

use super::budget::{Budget, OverBudget};
use crate::addr::Jid;
use crate::now::{Mono, Now};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Over how long people are counted.
const PERIOD: Duration = Duration::from_secs(3600);
/// How much may be owed: a second's worth.
const BURST: Duration = Duration::from_secs(1);

/// What each discovered domain may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Requests a second; 0 is off.
    pub rate: u32,
    /// Different people within an hour; 0 is off.
    pub contacts: usize,
}

/// What all discovered domains did lately. Clones are the same: all shards charge one account.
#[derive(Clone, Debug)]
pub struct Discovered {
    seed: [u8; 32],
    accounts: Arc<Mutex<Accounts>>,
}

#[derive(Debug)]
struct Accounts {
    allowance: Allowance,
    domains: BTreeMap<Box<str>, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// When all that was let through is paid for.
    paid: Mono,
    /// When counting began.
    since: Mono,
    /// Hashes of the people who were written to since.
    people: BTreeSet<u64>,
}

impl Discovered {
    /// Nobody has done anything yet.
    pub fn new(allowance: Allowance, seed: [u8; 32]) -> Self {
        Self { seed, accounts: Arc::new(Mutex::new(Accounts { allowance, domains: BTreeMap::new() })) }
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another allowance; what is owed stays.
    pub fn set_allowance(&self, allowance: Allowance) {
        self.accounts().allowance = allowance;
    }

    /// Charges a request of the discovered domain of `sender` to `target`.
    ///
    /// # Errors
    /// [`OverBudget`], and nothing was charged.
    pub fn charge(&self, sender: &Jid, target: &Jid, now: Now) -> Result<(), OverBudget> {
        let person = self.hash(target.bare_str());
        let Accounts { allowance: Allowance { rate, contacts }, domains } = &mut *self.accounts();
        let (rate, contacts) = (*rate, *contacts);
        let now = now.mono;
        let fresh = || Seen { paid: now, since: now, people: BTreeSet::new() };
        let seen = domains.entry(sender.domain().into()).or_insert_with(fresh);
        let cost = BURST.checked_div(rate).unwrap_or_default();
        let paid = seen.paid.max(now) + cost;
        let over = paid.since(now).saturating_sub(BURST);
        if !over.is_zero() {
            return Err(OverBudget { budget: Budget::Discovered, retry_after: over });
        }
        if now.since(seen.since) >= PERIOD {
            (seen.since, seen.people) = (now, BTreeSet::new());
        }
        if contacts > 0 && !seen.people.contains(&person) {
            if seen.people.len() >= contacts {
                let retry_after = PERIOD.saturating_sub(now.since(seen.since));
                return Err(OverBudget { budget: Budget::Contacts, retry_after });
            }
            seen.people.insert(person);
        }
        seen.paid = paid;
        Ok(())
    }

    fn hash(&self, text: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.seed);
        hasher.write(text.as_bytes());
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    fn discovered(rate: u32, contacts: usize) -> Discovered {
        Discovered::new(Allowance { rate, contacts }, [7; 32])
    }

    fn send(discovered: &mut Discovered, to: &str, now: Now) -> Result<(), OverBudget> {
        discovered.charge(&jid("alice@found.example"), &jid(to), now)
    }

    #[test]
    fn f98_the_21st_request_in_a_second_is_one_too_many() {
        let mut found = discovered(20, 1000);
        let passed = (0..40).filter(|_| send(&mut found, "a@b.example", Now::at(5)).is_ok()).count();
        assert_eq!(passed, 20);
        let over = send(&mut found, "a@b.example", Now::at(5)).unwrap_err();
        assert_eq!((over.budget, over.retry_after), (Budget::Discovered, Duration::from_millis(50)));
        assert!(send(&mut found, "a@b.example", Now::at_millis(5049)).is_err());
        assert!(send(&mut found, "a@b.example", Now::at_millis(5050)).is_ok());
        let other = found.charge(&jid("alice@other.example"), &jid("a@b.example"), Now::at_millis(5050));
        assert!(other.is_ok(), "each domain has its own");
    }

    #[test]
    fn f98_a_thousand_people_an_hour_and_no_more() {
        let mut found = discovered(0, 1000);
        for n in 0..1000 {
            assert!(send(&mut found, &format!("u{n}@b.example"), Now::at(10)).is_ok());
        }
        assert!(send(&mut found, "u7@b.example/phone", Now::at(11)).is_ok(), "known already");
        let over = send(&mut found, "one-more@b.example", Now::at(610)).unwrap_err();
        assert_eq!((over.budget, over.retry_after), (Budget::Contacts, Duration::from_secs(3000)));
        assert!(send(&mut found, "one-more@b.example", Now::at(3609)).is_err());
        assert!(send(&mut found, "one-more@b.example", Now::at(3610)).is_ok(), "a new hour");
        assert_eq!(found.accounts().domains.values().map(|seen| seen.people.len()).sum::<usize>(), 1);
    }

    #[test]
    fn zero_is_off_and_the_allowance_can_change() {
        let mut found = discovered(0, 0);
        for n in 0..3000 {
            assert!(send(&mut found, &format!("u{n}@b.example"), Now::at(1)).is_ok());
        }
        found.set_allowance(Allowance { rate: 1, contacts: 1 });
        assert!(send(&mut found, "a@b.example", Now::at(1)).is_ok());
        assert!(send(&mut found, "a@b.example", Now::at(1)).is_err());
        assert_eq!(send(&mut found, "c@b.example", Now::at(9)).unwrap_err().budget, Budget::Contacts);
    }
}
