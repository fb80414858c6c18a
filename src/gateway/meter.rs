//! What has happened so far, in numbers: for `/metrics`.
//!
//! Counting costs an index and an addition: no lock, no text, no allocation. Labels are made when somebody
//! asks ([`Gateway::report`]), of what the table and the settings name: a domain that no partner entry has,
//! a method that nobody knows and a code out of range never make a series of their own.

use super::Gateway;
use crate::addr::Domain;
use crate::crossing::Direction;
use crate::now::Mono;
use crate::policy::{Partner, Reason, Table};
use crate::sip::link::PeerId;
use crate::sip::method::Method;
use crate::xmpp::Pair;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is with the other side.
    Delivered,
    /// Its sender was told that it is not.
    Failed,
    /// Policy said no.
    Denied,
    /// Its sender, or the partner, is over a rate limit.
    Limited,
}

impl Fate {
    /// Every one, in the order of [`Tally`].
    pub const ALL: [Self; 4] = [Self::Delivered, Self::Failed, Self::Denied, Self::Limited];

    /// One word, as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::Limited => "limited",
        }
    }
}

/// What became of messages since the start: [SIP to XMPP, XMPP to SIP].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// With the other side.
    pub delivered: [u64; 2],
    /// Returned or refused.
    pub failed: [u64; 2],
}

/// Messages of one partner or peer: SIP to XMPP, XMPP to SIP; each by [`Fate`].
pub type Tally = [[u64; Fate::ALL.len()]; 2];

/// The place of a direction among two.
pub(super) fn way(direction: Direction) -> usize {
    match direction {
        Direction::SipToXmpp => 0,
        Direction::XmppToSip => 1,
    }
}

/// Upper bounds of the histogram's buckets, in microseconds; above the last is one more.
pub const BOUNDS: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000, 10_000_000,
];

/// How long crossings took, from the time that an item came in until it was delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// How many there are in each bucket, not cumulated; the last is above all [`BOUNDS`].
    pub buckets: [u64; BOUNDS.len() + 1],
    /// All of them together, in microseconds.
    pub sum: u64,
}

impl Times {
    fn add(&mut self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            *bucket += 1;
        }
        self.sum = self.sum.saturating_add(micros);
    }
}

/// Methods that have a label of their own, in alphabetical order; any other is "other".
const METHODS: [&str; 15] = [
    "ACK",
    "BYE",
    "CANCEL",
    "INFO",
    "INVITE",
    "MESSAGE",
    "NOTIFY",
    "OPTIONS",
    "PRACK",
    "PUBLISH",
    "REFER",
    "REGISTER",
    "SUBSCRIBE",
    "UPDATE",
    "other",
];

/// A method's place among [`METHODS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MethodSlot(u8);

impl MethodSlot {
    pub(super) const OTHER: Self = Self(METHODS.len() as u8 - 1);

    pub(super) fn of(method: Option<Method<'_>>) -> Self {
        Self(match method {
            Some(Method::Ack) => 0,
            Some(Method::Bye) => 1,
            Some(Method::Cancel) => 2,
            Some(Method::Info) => 3,
            Some(Method::Invite) => 4,
            Some(Method::Message) => 5,
            Some(Method::Notify) => 6,
            Some(Method::Options) => 7,
            Some(Method::Prack) => 8,
            Some(Method::Publish) => 9,
            Some(Method::Refer) => 10,
            Some(Method::Register) => 11,
            Some(Method::Subscribe) => 12,
            Some(Method::Update) => 13,
            Some(Method::Other(_)) | None => return Self::OTHER,
        })
    }
}

/// Final codes: 200 to 699.
const CODES: usize = 500;
type ByCode = Option<Box<[u64; CODES]>>;

/// All counters of one gateway.
pub(super) struct Meter {
    /// By partner, in the order of the table; the last is of those whom no entry names.
    partners: Vec<Tally>,
    peers: Vec<Tally>,
    allowed: u64,
    denied: [u64; Reason::ALL.len()],
    times: [Times; 2],
    /// Requests that came in and that went out, by method.
    requests: [[ByCode; METHODS.len()]; 2],
}

impl Meter {
    pub(super) fn new(table: &Table, peers: usize) -> Self {
        Self {
            partners: vec![Tally::default(); table.partners().len() + 1],
            peers: vec![Tally::default(); peers],
            allowed: 0,
            denied: Default::default(),
            times: Default::default(),
            requests: Default::default(),
        }
    }

    /// The table was loaded anew: partners keep their numbers by their name.
    pub(super) fn on_reload(&mut self, before: &Table, after: &Table) {
        let old: HashMap<&Domain, &Tally> = before
            .partners()
            .iter()
            .zip(&self.partners)
            .map(|(partner, row)| (&partner.domain, row))
            .collect();
        let unlisted = self.partners.last().copied().unwrap_or_default();
        let kept = |partner: &Arc<Partner>| old.get(&partner.domain).map_or_else(Tally::default, |row| **row);
        self.partners = after.partners().iter().map(kept).chain([unlisted]).collect();
    }

    /// A message with `partner`, a place in the table, and the peer if that is known.
    pub(super) fn message(
        &mut self,
        direction: Direction,
        partner: Option<usize>,
        peer: Option<PeerId>,
        fate: Fate,
    ) {
        let unlisted = self.partners.len().saturating_sub(1);
        let (way, fate) = (way(direction), fate as usize);
        let peer = peer.and_then(|peer| self.peers.get_mut(usize::from(peer.0)));
        let partner = self.partners.get_mut(partner.unwrap_or(unlisted));
        for row in partner.into_iter().chain(peer) {
            row[way][fate] += 1;
        }
    }

    pub(super) fn took(&mut self, direction: Direction, since: Mono, now: Mono) {
        self.times[way(direction)].add(now.since(since));
    }

    pub(super) fn allowed(&mut self) {
        self.allowed += 1;
    }

    pub(super) fn denied(&mut self, reason: Reason) {
        if let Some(count) = Reason::ALL.iter().position(|known| *known == reason) {
            self.denied[count] += 1;
        }
    }

    /// A request that came was answered with `status`.
    pub(super) fn answered(&mut self, method: MethodSlot, status: u16) {
        count(&mut self.requests[0], method, status);
    }

    /// A request of ours was.
    pub(super) fn asked(&mut self, method: Method<'_>, status: u16) {
        count(&mut self.requests[1], MethodSlot::of(Some(method)), status);
    }
}

fn count(requests: &mut [ByCode; METHODS.len()], method: MethodSlot, status: u16) {
    let Some(code) = usize::from(status).checked_sub(200).filter(|code| *code < CODES) else { return };
    if let Some(codes) = requests.get_mut(usize::from(method.0)) {
        codes.get_or_insert_with(|| Box::new([0; CODES]))[code] += 1;
    }
}

/// The counters with their labels, and what stands in the gateway now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Messages by partner; the partner's own domain, or [`UNLISTED`]. Who had none is left out.
    pub partners: Vec<(String, Tally)>,
    /// Messages by peer, of those that are marked with `monitor`.
    pub peers: Vec<(String, Tally)>,
    /// Crossings that the gate let through.
    pub allowed: u64,
    /// Crossings that it refused, by reason.
    pub denied: Vec<(&'static str, u64)>,
    /// How long messages took: SIP to XMPP, XMPP to SIP.
    pub times: [Times; 2],
    /// Requests by "in" or "out", method and final code.
    pub requests: Vec<(&'static str, &'static str, u16, u64)>,
    /// Watches by who watches whom, and state.
    pub watches: Vec<(&'static str, &'static str, usize)>,
    /// Items that wait, by the domain that they are for: each of ours, and of a partner if it has any.
    pub queues: BTreeMap<String, usize>,
}

impl Report {
    /// Adds what another gateway counted.
    pub fn add(&mut self, other: Self) {
        add_tallies(&mut self.partners, other.partners);
        add_tallies(&mut self.peers, other.peers);
        self.allowed += other.allowed;
        add_rows(&mut self.denied, other.denied);
        for (times, more) in self.times.iter_mut().zip(other.times) {
            times.buckets.iter_mut().zip(more.buckets).for_each(|(count, more)| *count += more);
            times.sum = times.sum.saturating_add(more.sum);
        }
        for (side, method, code, count) in other.requests {
            let same = |row: &&mut (&str, &str, u16, u64)| (row.0, row.1, row.2) == (side, method, code);
            match self.requests.iter_mut().find(same) {
                Some(row) => row.3 += count,
                None => self.requests.push((side, method, code, count)),
            }
        }
        for (who, state, count) in other.watches {
            match self.watches.iter_mut().find(|row| (row.0, row.1) == (who, state)) {
                Some(row) => row.2 += count,
                None => self.watches.push((who, state, count)),
            }
        }
        for (domain, count) in other.queues {
            *self.queues.entry(domain).or_default() += count;
        }
    }
}

fn add_tallies(all: &mut Vec<(String, Tally)>, more: Vec<(String, Tally)>) {
    for (name, tally) in more {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => {
                let cells = sum.iter_mut().flatten().zip(tally.into_iter().flatten());
                cells.for_each(|(sum, count)| *sum += count);
            }
            None => all.push((name, tally)),
        }
    }
}

fn add_rows(all: &mut Vec<(&'static str, u64)>, more: Vec<(&'static str, u64)>) {
    for (name, count) in more {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum += count,
            None => all.push((name, count)),
        }
    }
}

/// How it stands with the way to a partner or peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is a stream or link.
    Up,
    /// It is being made.
    Connecting,
    /// It could not be made; it is tried again after a pause.
    BackOff,
    /// Nothing is wanted of it.
    Idle,
}

impl Standing {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Connecting => "connecting",
            Self::BackOff => "down",
            Self::Idle => "idle",
        }
    }
}

/// The label of partners' domains that no entry names.
pub const UNLISTED: &str = "unlisted";

impl Gateway {
    /// Everything that was counted, and what stands here now.
    pub fn report(&self) -> Report {
        let meter = &self.meter;
        let names = self.table.partners().iter().map(|partner| partner.domain.as_str()).chain([UNLISTED]);
        let peers = self.settings.peers.iter().zip(&meter.peers).filter(|(peer, _)| peer.monitor);
        let requests = ["in", "out"].into_iter().zip(&meter.requests).flat_map(|(side, methods)| {
            METHODS.iter().zip(methods).flat_map(move |(method, codes)| {
                let codes = codes.iter().flat_map(|codes| codes.iter());
                let seen = (200..).zip(codes.copied()).filter(|(_, count)| *count > 0);
                seen.map(move |(code, count)| (side, *method, code, count))
            })
        });
        Report {
            partners: names
                .zip(&meter.partners)
                .filter(|(_, tally)| **tally != Tally::default())
                .map(|(name, tally)| (name.to_owned(), *tally))
                .collect(),
            peers: peers.map(|(peer, tally)| (peer.name.clone(), *tally)).collect(),
            allowed: meter.allowed,
            denied: Reason::ALL.iter().map(|reason| reason.as_str()).zip(meter.denied).collect(),
            times: meter.times,
            requests: requests.collect(),
            watches: self.watch_states(),
            queues: self.queues(),
        }
    }

    /// Items that wait, by the domain that they are for.
    pub fn queues(&self) -> BTreeMap<String, usize> {
        let mut queues: BTreeMap<String, usize> =
            self.settings.domain_names.iter().map(|domain| (domain.to_string(), 0)).collect();
        let partners = self.pairs.queues().map(|(remote, count)| (self.partner_label(remote), count));
        let ours = self.targets.iter().map(|(target, queue)| (domain_of(target), queue.len()));
        let of_peer = |peer| self.settings.domains.iter().find(|(_, serves)| *serves == peer);
        let linked = self.peers.all_waiting().map(|outgoing| {
            let first = || of_peer(outgoing.peer).map_or("", |(domain, _)| domain.as_str());
            (outgoing.target().map_or_else(first, domain_of), 1)
        });
        for (domain, count) in ours.chain(linked).chain(partners).filter(|(_, count)| *count > 0) {
            match queues.get_mut(domain) {
                Some(sum) => *sum += count,
                None => drop(queues.insert(domain.to_owned(), count)),
            }
        }
        queues
    }

    /// How it stands with the ways out: (our domain, the partner's) for streams.
    pub fn pair_standings(&self) -> impl Iterator<Item = (&Pair, Standing, usize)> {
        self.pairs.standings()
    }

    /// The same for peers, in the order of their ids.
    pub fn peer_standings(&self) -> impl Iterator<Item = (Standing, usize)> {
        self.peers.standings()
    }

    /// Changes whether deliveries are observed.
    pub fn set_deliveries(&mut self, wanted: bool) {
        Arc::make_mut(&mut self.settings).deliveries = wanted;
    }

    /// The domain of the partner that `remote` belongs to, as a label.
    pub fn partner_label(&self, remote: &str) -> &str {
        self.table.partner(remote).map_or(UNLISTED, |partner| partner.domain.as_str())
    }

    /// Counts a message between our side and the partner whose domain is `remote`.
    pub(super) fn count_message(
        &mut self,
        direction: Direction,
        remote: &str,
        peer: Option<PeerId>,
        fate: Fate,
    ) {
        self.meter.message(direction, self.table.partner_at(remote), peer, fate);
    }
}

/// The domain of a bare JID.
fn domain_of(bare: &str) -> &str {
    bare.rsplit('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_that_it_does_not_exceed() {
        let mut times = Times::default();
        for micros in [0, 50, 51, 10_000_000, 10_000_001] {
            times.add(Duration::from_micros(micros));
        }
        assert_eq!((times.buckets[0], times.buckets[1]), (2, 1));
        assert_eq!(times.buckets[BOUNDS.len() - 1..], [1, 1]);
        assert_eq!(times.sum, 20_000_102);
        assert!(BOUNDS.is_sorted());
    }

    #[test]
    fn a_method_that_nobody_knows_and_a_code_out_of_range_make_no_series() {
        assert!(METHODS[..METHODS.len() - 1].is_sorted());
        for name in &METHODS[..METHODS.len() - 1] {
            let slot = MethodSlot::of(Method::parse(name));
            assert_eq!(METHODS[usize::from(slot.0)], *name);
        }
        assert_eq!(MethodSlot::of(Method::parse("FROB")), MethodSlot::OTHER);
        assert_eq!(MethodSlot::of(Method::parse("other")), MethodSlot::OTHER);
        let mut requests = Default::default();
        for status in [199, 200, 699, 700, 65535] {
            count(&mut requests, MethodSlot::OTHER, status);
        }
        let codes = requests[METHODS.len() - 1].as_ref();
        assert_eq!(codes.map(|codes| codes.iter().sum::<u64>()), Some(2));
    }
}
