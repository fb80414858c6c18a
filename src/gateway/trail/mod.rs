//! The trail: what became of the last crossings, step by step, for whoever asks why.
//!
//! Three rings of plain values, each written from its front to its end and over again: heads (who, to whom,
//! which way), the texts of heads, and steps. What is on the way of a message appends a few numbers and two
//! addresses; nothing is allocated, formatted, shared or freed. To read is to go through the rings, so that
//! only who asks pays for it. No text of a message ever comes here.
//!
//! On record are messages, and the subscriptions that somebody asked for; not each notification.
//!
//! While somebody watches, and only then, what really comes and goes is copied for them, without what people
//! wrote in it (`tap`); nothing of that is on record.

mod read;
mod record;
mod ring;
mod tap;
#[cfg(test)]
mod tests;

pub use crate::sip::status::reason as phrase_of;
pub use read::{Crossing, Cut, Event, Found, Outcome, Wanted, bare_of, domain_of};
pub use tap::{COPY, Copied, Copies, Heading, Texts as CopiedTexts, WATCHERS, WatcherId};

use super::effect::{LinkId, PeerId};
use super::observe::WatchChange;
use crate::crossing::{Crossing as Item, Direction, Kind};
use crate::now::{Mono, Now};
use crate::policy::{At, Policy, Reason, Scope};
use crate::xmpp::StreamId;
use crate::xmpp::error::Condition;
use ring::{Ring, Texts};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Crossings on record at most.
pub const CROSSINGS: usize = 20_000;
/// Their steps at most: of a usual crossing four.
const STEPS: usize = 120_000;
/// Octets of their addresses and names at most. All together that is less than 8 MiB.
const TEXTS: usize = 3 * 1024 * 1024;
/// Reasons of failures that are remembered.
const REASONS: usize = 1500;
/// Octets of one at most.
const WHY: usize = 200;
/// Streams and links that are remembered by what they were.
const ENDS: usize = 2000;

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

impl Carrier {
    /// Its number for people: "3", or "2.3" where it is not the first shard's.
    pub fn number(self) -> String {
        let (Self::Stream(StreamId(number)) | Self::Link(LinkId(number))) = self;
        crate::ids::shown(number)
    }
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
    /// Our own.
    pub local: Option<SocketAddr>,
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
struct Step {
    track: Track,
    at: Mono,
    what: What,
}

/// Which kind of policy our user has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    None,
    Global,
    Site,
    User,
}

/// Who sent what to whom. The texts are its name, both addresses and the policy's name, in this order.
#[derive(Clone, Copy, Debug)]
struct Head {
    begun: Now,
    /// Where the texts begin.
    texts: u64,
    name: u16,
    from: u16,
    to: u16,
    policy: u16,
    held: Held,
    at: At,
    direction: Direction,
    kind: Kind,
}

/// The crossings on record.
#[derive(Default)]
pub struct Trail {
    heads: Ring<Head, CROSSINGS>,
    steps: Ring<Step, STEPS>,
    texts: Texts<TEXTS>,
    reasons: VecDeque<(Track, Box<str>)>,
    ends: VecDeque<End>,
    followers: usize,
    /// Who watches what comes and goes, if anybody does.
    pub(super) tap: Option<Box<tap::Tap>>,
}

impl Trail {
    /// A crossing begins. Our user's policy, as far as it came to that.
    pub(super) fn open(&mut self, now: Now, name: &str, item: &Item<'_>, policy: Option<&Policy>) -> Track {
        let (held, at) = match policy {
            None => (Held::None, At::default()),
            Some(policy) => {
                let held = match policy.scope {
                    Scope::Global => Held::Global,
                    Scope::Site(_) => Held::Site,
                    Scope::User => Held::User,
                };
                (held, policy.at)
            }
        };
        let policy = policy.map_or("", |policy| match &policy.scope {
            Scope::Site(site) => site,
            Scope::Global | Scope::User => policy.name.as_str(),
        });
        let all = [name, item.sender.as_str(), item.target.as_str(), policy];
        let (texts, [name, from, to, policy]) = self.texts.push(all);
        let Item { direction, kind, .. } = *item;
        let head = Head { begun: now, texts, name, from, to, policy, held, at, direction, kind };
        // Track 0 is none.
        Track(self.heads.push(head) + 1)
    }

    /// Something happened to the crossing `track`.
    pub(super) fn step(&mut self, at: Mono, track: Track, what: What) {
        if track != Track::default() {
            self.steps.push(Step { track, at, what });
        }
    }

    /// Why the crossing `track` did not go well.
    pub(super) fn reason(&mut self, track: Track, why: &str) {
        if why.is_empty() || track == Track::default() {
            return;
        }
        if self.reasons.len() >= REASONS {
            self.reasons.pop_front();
        }
        let end = why.floor_char_boundary(WHY);
        self.reasons.push_back((track, why.get(..end).unwrap_or_default().into()));
    }

    /// The crossing `track` came to nothing: `why`, and what its sender hears of it.
    pub(super) fn fail(&mut self, at: Mono, track: Track, why: &str, told: Option<What>) {
        self.reason(track, why);
        self.step(at, track, What::Failed);
        if let Some(told) = told {
            self.step(at, track, told);
        }
    }

    /// When the crossing `track` began, if it is still on record.
    pub(super) fn begun(&self, track: Track) -> Option<Now> {
        Some(self.head(track)?.begun)
    }

    fn head(&self, track: Track) -> Option<&Head> {
        self.heads.get(track.0.checked_sub(1)?)
    }

    /// A stream or link is there. Of one name the newest counts.
    pub(super) fn meet(&mut self, end: End) {
        if self.ends.len() >= ENDS {
            self.ends.pop_front();
        }
        self.ends.push_back(end);
    }
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
    pub fn table(&self) -> &std::sync::Arc<crate::policy::Table> {
        &self.table
    }

    /// Whom our users have added.
    pub fn contacts(&self) -> &dyn crate::policy::Contacts {
        &self.presence
    }
}
