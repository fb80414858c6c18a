//! What the gateway wants done: effects as values, performed by `net` alone.
//!
//! Octets that go out are appended to one buffer that is used again and again; an effect names its
//! range. So a crossing allocates nothing for its output, and a test can read the bytes.

use super::observe::Observation;
use super::presence::WatchRef;
use super::sessions::SessionRef;
use super::trail::Trail;
use super::trial::{Outcome, TrialId};
use crate::addr::Domain;
use crate::msrp::{ConnId, Dial};
use crate::now::Mono;
pub use crate::sip::link::{LinkId, PeerId};
use crate::sip::locate::Target;
use crate::store::record::Change;
use crate::xmpp::error::StreamCondition;
use crate::xmpp::{Pair, Purpose, StreamId, Terms, Verify, VerifyAnswer};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

/// One thing to do.
#[derive(Debug)]
pub enum Effect {
    /// Find the partner's server, connect, and run an initiating stream. Answered by
    /// `Input::StreamUp` or `Input::StreamDown`.
    DialXmpp {
        /// The name that the stream will have.
        stream: StreamId,
        /// For whom: our domain and the partner's.
        pair: Pair,
        /// To send stanzas, or only to ask about a dialback key.
        purpose: Purpose,
        /// What to ask.
        ask: Option<Verify>,
        /// What the partner entry allows.
        terms: Terms,
        /// Connect here instead of asking DNS.
        proxy: Option<(Domain, u16)>,
    },
    /// Append these octets, whole stanzas of `local`'s users, to an initiating stream.
    XmppSend {
        /// The stream, which is up.
        stream: StreamId,
        /// Where the octets stand in [`Effects::octets`].
        octets: Range<usize>,
        /// Reported back by `Input::Written` when the kernel has them.
        mark: u64,
    },
    /// Ask on an initiating stream whether a dialback key is right.
    XmppVerify {
        /// The stream to the authoritative server.
        stream: StreamId,
        /// The question.
        verify: Verify,
    },
    /// Tell a receiving stream what the authoritative server said.
    XmppVerified {
        /// The stream that wanted to know.
        stream: StreamId,
        /// The answer.
        answer: VerifyAnswer,
    },
    /// Hold every stream against the tables as they are now: one that lost its right ends, after what it
    /// was given to send.
    XmppJudge,
    /// Close a stream, with a stream error if one is given.
    XmppClose {
        /// The stream.
        stream: StreamId,
        /// Why, if it is an error.
        condition: Option<StreamCondition>,
    },
    /// Find the servers of a peer that has no static route (RFC 3263). Answered by
    /// `Input::Located`.
    Locate {
        /// The peer.
        peer: PeerId,
    },
    /// Connect to a peer's server. Answered by `Input::LinkUp` or `Input::LinkDown`.
    DialSip {
        /// The name that the link will have.
        link: LinkId,
        /// Whose server it is: the certificate is judged by it.
        peer: PeerId,
        /// Where it is.
        target: Target,
    },
    /// Send one SIP message.
    SipSend {
        /// The link.
        link: LinkId,
        /// Where to, on a UDP socket.
        to: Option<SocketAddr>,
        /// Where the octets stand in [`Effects::octets`].
        octets: Range<usize>,
    },
    /// Close a link once what was sent on it is written.
    SipClose {
        /// The link.
        link: LinkId,
    },
    /// Connect an MSRP session. Answered by `Input::MsrpUp` or `Input::MsrpDown`.
    MsrpDial(Box<Dial>),
    /// Send these octets on an MSRP connection. Answered by `Input::MsrpDrained` when the kernel has all.
    MsrpSend {
        /// The connection.
        conn: ConnId,
        /// Where the octets stand in [`Effects::octets`].
        octets: Range<usize>,
    },
    /// Close an MSRP connection once what was sent on it is written.
    MsrpClose {
        /// The connection.
        conn: ConnId,
    },
    /// Make these changes durable, after those of every ticket before. Answered by
    /// `Input::Persisted`, once for each ticket, in their order.
    Persist {
        /// Names them.
        ticket: u64,
        /// In order.
        changes: Vec<Change>,
    },
    /// A trial is over. Exactly one for each that was begun.
    Tried {
        /// Which.
        trial: TrialId,
        /// What it came to.
        outcome: Outcome,
        /// How long it took.
        took: Duration,
    },
    /// Something that an operator may want to know.
    Observe(Box<Observation>),
}

/// The effects of a turn, in order, with their octets.
#[derive(Default)]
pub struct Effects {
    octets: Vec<u8>,
    list: Vec<Effect>,
    /// What became of crossings: pushed like an effect, and kept.
    pub(super) trail: Trail,
    /// How many of the effects those have seen who watch what comes and goes.
    pub(super) copied: usize,
}

impl Effects {
    /// The buffer to write output to; take [`Effects::mark`] before.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.octets
    }

    /// Where the next octet will stand.
    pub fn mark(&self) -> usize {
        self.octets.len()
    }

    /// The octets from `start` on: what was written since that mark.
    pub fn since(&self, start: usize) -> Range<usize> {
        start..self.octets.len()
    }

    /// Takes back what was written since `start`.
    pub fn rewind(&mut self, start: usize) {
        self.octets.truncate(start);
    }

    /// Adds an effect.
    pub fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    /// Adds an observation.
    pub fn observe(&mut self, observation: Observation) {
        self.list.push(Effect::Observe(Box::new(observation)));
    }

    /// Octets that an effect names.
    pub fn octets(&self, range: &Range<usize>) -> &[u8] {
        self.octets.get(range.clone()).unwrap_or_default()
    }

    /// Nothing to do?
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The effects so far, in order.
    pub fn list(&self) -> &[Effect] {
        &self.list
    }

    /// Takes all effects out with their octets, leaving room for the next turn.
    pub fn take(&mut self) -> (Vec<Effect>, Vec<u8>) {
        self.copied = 0;
        (std::mem::take(&mut self.list), std::mem::take(&mut self.octets))
    }

    /// Gives the emptied vectors of [`Effects::take`] back, so that their room is used again.
    pub fn recycle(&mut self, mut list: Vec<Effect>, mut octets: Vec<u8>) {
        if self.list.is_empty() && self.octets.is_empty() {
            list.clear();
            octets.clear();
            self.list = list;
            self.octets = octets;
        }
    }
}

impl super::Gateway {
    /// What is to be done.
    pub fn effects(&mut self) -> &mut Effects {
        // What was done without an input: a reload, a trial, the end.
        self.tap_effects();
        &mut self.effects
    }
}

/// A deadline that the gateway keeps, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// When.
    pub at: Mono,
    /// For what.
    pub what: Timer,
}

/// Whose deadline it is. A timer that fires too early or for something gone does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The oldest stanza that waits for a domain pair, or the end of its back-off.
    Pair(usize),
    /// A peer's waiting requests, or the end of its back-off.
    Peer(PeerId),
    /// A watch.
    Watch(WatchRef),
    /// A watcher is told again what did not arrive.
    Tell(WatchRef),
    /// A conversation in which somebody writes.
    Typing(usize),
    /// A session.
    Session(SessionRef),
    /// Records that were not durable go to the store again.
    Keep,
    /// The deadlines of MSRP.
    Msrp,
    /// The age purge.
    Purge,
    /// A trial.
    Trial(TrialId),
}
