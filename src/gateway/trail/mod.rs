//! The trail: what became of the last crossings, step by step, for whoever asks why.
//!
//! A ring of compact records. What is on the way of a message pushes a few numbers here and formats
//! nothing; addresses are shared with the item itself. The oldest record goes when there are too many,
//! or when all have too many octets. No text of a message ever comes here.
//!
//! On record are messages, and the subscriptions that somebody asked for; not each notification.

mod live;
mod record;
#[cfg(test)]
mod tests;

pub use live::{Cut, Event};

use super::effect::{LinkId, PeerId};
use super::observe::WatchChange;
use crate::addr::Jid;
use crate::crossing::{Direction, Kind};
use crate::now::{Mono, Now};
use crate::policy::{Policy, Reason};
use crate::xmpp::StreamId;
use crate::xmpp::error::Condition;
use live::Live;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// Crossings on record at most.
pub const CROSSINGS: usize = 20_000;
/// Octets of all records at most.
pub const OCTETS: usize = 8 * 1024 * 1024;
/// Streams and links that are remembered by what they were.
const ENDS: usize = 4096;
/// Steps that a record has room for without a buffer of its own.
const FEW: usize = 6;
/// Steps of one crossing at most. Those that come after are not recorded, the outcome is.
const MANY: usize = 40;
/// Octets of a name: a stamp of ours is the longest.
const NAME: usize = 26;
/// Octets of a reason at most.
const WHY: usize = 200;
/// Octets of an allocation that holds an address, besides its text.
const SHARED: usize = 16;

/// Names a crossing on record. The default names none, and nothing is recorded for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Track(u64);

/// A stream or a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// An XMPP stream.
    Stream(StreamId),
    /// A SIP link, or a UDP socket.
    Link(LinkId),
}

/// What a stream or link was: remembered once for each, and not with each crossing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Its name.
    pub via: Carrier,
    /// Did we open it?
    pub initiating: bool,
    /// The far end's address; none for a UDP socket.
    pub address: Option<SocketAddr>,
    /// How the far end was verified, for people: "TLS 1.3, SASL EXTERNAL".
    pub verified: String,
    /// Which peer's it is, if it is a link that is proven.
    pub peer: Option<PeerId>,
}

/// One thing that happened to a crossing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It came.
    Came(Carrier),
    /// Policy said yes.
    Admitted,
    /// Policy said no.
    Denied(Reason),
    /// It waits for a stream to the partner.
    WaitsForStream,
    /// It waits for a link to the peer.
    WaitsForLink,
    /// It waits for the messages before it to the same user.
    WaitsForTurn,
    /// What it became was written.
    Sent(Carrier),
    /// A SIP response came.
    Answered(u16),
    /// An error stanza came back, after the sender had its answer.
    Returned(Condition),
    /// It failed here.
    Failed,
    /// The SIP sender was answered.
    ToldSip(u16),
    /// The XMPP sender was told of an error.
    ToldXmpp(Condition),
    /// Something became of the watch that was asked for.
    Watch(WatchChange),
}

/// A step with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Microseconds since the crossing began; the longest that fits, 71 min, if it is later.
    pub after: u32,
    /// What happened.
    pub what: What,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is under way.
    Open,
    /// The other side has it.
    Delivered,
    /// Policy refused it.
    Denied,
    /// It was not delivered.
    Failed,
    /// The watch that it asked for is over.
    Ended,
}

/// The name of both legs of a crossing: an id of ours, or the stamp in a request's From tag.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    text: [u8; NAME],
    length: u8,
}

impl Name {
    /// The name `text`, of at most 26 octets.
    pub fn of(text: &str) -> Self {
        let mut name = Self { text: [0; NAME], length: 0 };
        for (to, from) in name.text.iter_mut().zip(text.bytes()) {
            *to = from;
            name.length += 1;
        }
        name
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        let octets = self.text.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(octets).unwrap_or_default()
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whose crossing it is.
pub(super) struct Head<'h> {
    pub(super) name: &'h str,
    pub(super) direction: Direction,
    pub(super) kind: Kind,
    pub(super) from: &'h Jid,
    pub(super) to: &'h Jid,
    /// Our user's policy, as far as it came to that.
    pub(super) policy: Option<Arc<Policy>>,
}

/// A crossing on record.
#[derive(Debug)]
pub struct Crossing {
    /// One name for both legs.
    pub name: Name,
    /// Which way.
    pub direction: Direction,
    /// What it is.
    pub kind: Kind,
    /// Who sent it.
    pub from: Jid,
    /// For whom.
    pub to: Jid,
    /// Our user's policy, if it came to that.
    pub policy: Option<Arc<Policy>>,
    /// When it came.
    pub begun: Now,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it failed, for people.
    pub why: Option<Box<str>>,
    few: [Step; FEW],
    count: u8,
    more: Vec<Step>,
}

impl Crossing {
    /// What happened, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.few.iter().take(usize::from(self.count)).chain(&self.more)
    }

    fn step(&self, index: u8) -> Option<&Step> {
        let index = usize::from(index);
        if index < FEW { self.few.get(index) } else { self.more.get(index - FEW) }
    }

    /// Adds a step: which one it is, if there was room.
    fn push(&mut self, step: Step) -> Option<u8> {
        if let Some(free) = self.few.get_mut(usize::from(self.count)) {
            *free = step;
            self.count += 1;
            return Some(self.count - 1);
        }
        if FEW + self.more.len() >= MANY {
            return None;
        }
        self.more.push(step);
        u8::try_from(FEW + self.more.len() - 1).ok()
    }

    fn octets(&self) -> usize {
        let texts = self.from.as_str().len() + self.to.as_str().len() + 2 * SHARED;
        let why = self.why.as_ref().map_or(0, |why| why.len() + SHARED);
        size_of::<Self>() + texts + why + self.more.capacity() * size_of::<Step>()
    }
}

/// The crossings on record.
pub struct Trail {
    ring: VecDeque<Crossing>,
    /// The track of the oldest.
    first: u64,
    octets: usize,
    /// Octets at most.
    limit: usize,
    ends: VecDeque<End>,
    live: Live,
}

impl Default for Trail {
    fn default() -> Self {
        // Track 0 is none.
        let (ring, ends) = (VecDeque::new(), VecDeque::new());
        Self { ring, first: 1, octets: 0, limit: OCTETS, ends, live: Live::default() }
    }
}

impl Trail {
    /// A crossing that comes by `via` begins.
    pub(super) fn open(&mut self, now: Now, head: Head<'_>, via: Option<Carrier>) -> Track {
        while self.ring.len() >= CROSSINGS || self.octets > self.limit {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.octets = self.octets.saturating_sub(oldest.octets());
            self.first += 1;
        }
        if self.ring.capacity() == 0 {
            // Once and for all: to move megabytes while messages wait would be noticed. What is not used
            // of it takes no memory.
            self.ring.reserve_exact(CROSSINGS);
        }
        let none = Step { after: 0, what: What::Admitted };
        let crossing = Crossing {
            name: Name::of(head.name),
            direction: head.direction,
            kind: head.kind,
            from: head.from.clone(),
            to: head.to.clone(),
            policy: head.policy,
            begun: now,
            outcome: Outcome::Open,
            why: None,
            few: [none; FEW],
            count: 0,
            more: Vec::new(),
        };
        self.octets += crossing.octets();
        let track = Track(self.first + self.ring.len() as u64);
        self.ring.push_back(crossing);
        if let Some(via) = via {
            self.step(now.mono, track, What::Came(via));
        }
        track
    }

    /// Something happened to the crossing `track`, if that is still on record.
    pub(super) fn step(&mut self, now: Mono, track: Track, what: What) {
        let Some(crossing) = of_track(&mut self.ring, self.first, track) else { return };
        let after = now.since(crossing.begun.mono).as_micros();
        let step = Step { after: u32::try_from(after).unwrap_or(u32::MAX), what };
        let before = crossing.more.capacity();
        let Some(index) = crossing.push(step) else { return };
        self.octets += (crossing.more.capacity() - before) * size_of::<Step>();
        self.live.push(track, index);
    }

    /// How the crossing `track` ended, and why it did not go well.
    pub(super) fn end(&mut self, track: Track, outcome: Outcome, why: &str) {
        let Some(crossing) = of_track(&mut self.ring, self.first, track) else { return };
        crossing.outcome = outcome;
        let is_stale = match outcome {
            Outcome::Open | Outcome::Delivered => true,
            Outcome::Denied | Outcome::Failed | Outcome::Ended => false,
        };
        if let Some(before) = crossing.why.take_if(|_| is_stale) {
            self.octets -= before.len() + SHARED;
        }
        if !why.is_empty() && crossing.why.is_none() {
            let end = why.floor_char_boundary(WHY);
            let why: Box<str> = why.get(..end).unwrap_or_default().into();
            self.octets += why.len() + SHARED;
            crossing.why = Some(why);
        }
    }

    /// The crossing `track` came to nothing: `why`, and what its sender hears of it.
    pub(super) fn fail(&mut self, now: Mono, track: Track, why: &str, told: Option<What>) {
        self.end(track, Outcome::Failed, why);
        self.step(now, track, What::Failed);
        if let Some(told) = told {
            self.step(now, track, told);
        }
    }

    /// The newest crossing with that name.
    pub(super) fn find(&self, name: &str) -> Option<Track> {
        let at = self.ring.iter().rposition(|crossing| crossing.name.as_str() == name)?;
        Some(Track(self.first + at as u64))
    }

    /// Is the crossing `track` on record, and no older than `age` microseconds?
    pub(super) fn is_fresh(&self, now: Mono, track: Track, age: u64) -> bool {
        self.get(track).is_some_and(|one| now.as_micros() - one.begun.mono.as_micros() <= age)
    }

    /// The crossing `track`.
    pub(super) fn get(&self, track: Track) -> Option<&Crossing> {
        self.ring.get(usize::try_from(track.0.checked_sub(self.first)?).ok()?)
    }

    /// A stream or link is there. Of one name the newest counts.
    pub(super) fn meet(&mut self, end: End) {
        if self.ends.len() >= ENDS {
            self.ends.pop_front();
        }
        self.ends.push_back(end);
    }

    /// Everything on record, the oldest first.
    pub fn crossings(&self) -> impl DoubleEndedIterator<Item = &Crossing> {
        self.ring.iter()
    }

    /// What the stream or link was, if that is still known.
    pub fn of_via(&self, via: Carrier) -> Option<&End> {
        self.ends.iter().rev().find(|end| end.via == via)
    }

    /// Octets of all records.
    pub fn octets(&self) -> usize {
        self.octets
    }
}

fn of_track(ring: &mut VecDeque<Crossing>, first: u64, track: Track) -> Option<&mut Crossing> {
    ring.get_mut(usize::try_from(track.0.checked_sub(first)?).ok()?)
}

impl super::Gateway {
    /// What became of the last crossings.
    pub fn trail(&self) -> &Trail {
        &self.effects.trail
    }

    /// The same for whoever follows it.
    pub fn trail_mut(&mut self) -> &mut Trail {
        &mut self.effects.trail
    }

    /// A stream or link is there, and this is what is to be said of it.
    pub fn meet(&mut self, end: End) {
        self.effects.trail.meet(end);
    }

    /// The policy table, as it is now.
    pub fn table(&self) -> &Arc<crate::policy::Table> {
        &self.table
    }

    /// Whom our users have added.
    pub fn contacts(&self) -> &dyn crate::policy::Contacts {
        &self.presence.contacts
    }
}
