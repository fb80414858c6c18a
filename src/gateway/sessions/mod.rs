//! Sessions: conversations that an INVITE begins and a BYE ends.
//!
//! The machine of [`crate::bridge::session`] says what is to be done with texts, and the dialog of
//! [`crate::sip::session`] how that is said in SIP; here their inputs are found out and their actions
//! performed. Every text is judged by the gate on its own.
//!
//! | file | owns |
//! |---|---|
//! | this one | [`Sessions`], and what is heard of later: answers, stanzas that are written or bounce |
//! | `table` | where conversations stand: slots, the way from a pair to its slots, bounds |
//! | `texts` | texts of XMPP contacts: into which session, or back |
//! | `perform` | the actions of the machine |
//! | `ours` | requests of ours, and their answers |
//! | `theirs` | INVITEs of SIP users, and our answers |
//! | `inside` | what SIP users send in a dialog |
//! | `typing` | who is writing, both ways |
//! | `msrp` | sessions whose texts go by MSRP: descriptions, texts both ways |
//! | `receipts` | what texts ask, and answers both ways |
//! | `auto` | who is written to in which way, found out |
//! | `rights` | the gate asked again, stopping |
//! | `journal` | what is told of a session: that it is open, why it ended |
//! | `list` | what an operator may read |
//!
//! No session outlives the process: a request in a dialog that nobody knows is answered 481.
//!
//! DEVIATES RFC 3261 §8.1.2, §12.2.1.1: requests go to the servers of the peer whatever their route says,
//! for they alone are proven to speak for the domain. The route is written, for them to follow.

mod auto;
mod inside;
mod journal;
mod list;
mod msrp;
mod ours;
mod perform;
mod receipts;
mod rights;
mod table;
mod texts;
mod theirs;
mod typing;

pub use list::SessionRow;
pub(super) use table::{SessionRef, Text};

use super::Gateway;
use super::effect::{Due, Timer};
use super::tally::Tally;
use crate::bridge::session::{Action, Input, Ticket, Turn};
use crate::now::{Mono, Now};
use crate::sip::session::SessionRequest;
use crate::sip::txn::ServerKey;
use auto::Modes;
use std::collections::VecDeque;
use table::Table;

/// What a request of ours in a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The INVITE that begins it.
    Invite,
    /// A text in the air.
    Text(Ticket),
    /// BYE.
    Bye,
    /// An ACK, a re-INVITE or UPDATE, a word about typing, or a notification.
    Other,
}

/// A request of a session.
#[derive(Debug)]
pub(super) struct SessionLoad {
    pub(super) request: SessionRequest,
    pub(super) of: SessionRef,
    pub(super) what: What,
    /// An INVITE has its 2xx: nobody hears of a failure any more.
    pub(super) is_accepted: bool,
}

/// What is heard later, or at once, of something that was done.
#[derive(Debug)]
enum Outcome {
    /// The machine of a session hears this.
    Input(SessionRef, Input<Text>),
    /// The stanza of a text is written; its request is to be answered.
    Written(SessionRef, ServerKey),
    /// The stanza of a text bounced; its request is answered.
    Bounced(SessionRef, ServerKey),
}

/// All sessions.
pub(super) struct Sessions {
    table: Table,
    modes: Modes,
    outcomes: VecDeque<Outcome>,
    /// An emptied vector of actions, to be used again.
    actions: Vec<Action<Text>>,
}

impl Sessions {
    pub(super) fn new(seed: [u8; 32], together: Tally) -> Self {
        Self {
            table: Table::new(seed, together),
            modes: Modes::new(seed),
            outcomes: VecDeque::new(),
            actions: Vec::new(),
        }
    }

    /// Are there none?
    pub(super) fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// Does the timer of `session` that was set for `at` still count? Else it was set anew since.
    pub(super) fn is_armed(&self, session: SessionRef, at: Mono) -> bool {
        self.table.get(session).is_some_and(|found| found.armed == Some(at))
    }

    /// The stanza that the request of `key` became is written, or bounced. Its session hears of it.
    pub(super) fn on_stanza(&mut self, session: SessionRef, key: ServerKey, is_written: bool) {
        self.outcomes.push_back(match is_written {
            true => Outcome::Written(session, key),
            false => Outcome::Bounced(session, key),
        });
    }

    fn later(&mut self, session: SessionRef, input: Input<Text>) {
        self.outcomes.push_back(Outcome::Input(session, input));
    }
}

impl Gateway {
    /// What the last turn brought about, and what follows from that, until nothing is left.
    pub(super) fn settle_sessions(&mut self, now: Now) {
        loop {
            while let Some(outcome) = self.sessions.outcomes.pop_front() {
                match outcome {
                    Outcome::Input(session, input) => self.drive_session(now, session, input),
                    Outcome::Written(session, key) => self.on_text_written(now, session, key),
                    Outcome::Bounced(session, key) => self.on_text_bounced(now, session, key),
                }
            }
            self.settle_msrp(now);
            if self.sessions.outcomes.is_empty() {
                return;
            }
        }
    }

    /// Gives an input to the machine of `session`, and does what follows.
    fn drive_session(&mut self, now: Now, session: SessionRef, input: Input<Text>) {
        let Some(found) = self.sessions.table.get_mut(session) else {
            // A text finds its session in the same turn, so there is none to lose here.
            return;
        };
        let mut actions = std::mem::take(&mut self.sessions.actions);
        let idle = self.settings.sessions.idle;
        let (before, why) = (found.machine.state(), journal::reason(&input));
        found.machine.handle(&mut Turn { now: now.mono, idle, actions: &mut actions }, input);
        self.note_session_state(session, before, why);
        for action in actions.drain(..) {
            self.perform(now, session, action);
        }
        self.sessions.actions = actions;
        self.arm_session(session);
    }

    fn arm_session(&mut self, session: SessionRef) {
        let Some(found) = self.sessions.table.get_mut(session) else { return };
        let deadlines = [found.machine.deadline(self.settings.sessions.idle), found.dialog.deadline()];
        let Some(at) = deadlines.into_iter().flatten().min() else { return };
        if found.armed.is_none_or(|armed| at < armed) {
            found.armed = Some(at);
            self.due.push(Due { at, what: Timer::Session(session) });
        }
    }

    /// The deadline of a session that was set for `at`.
    pub(super) fn on_session_timer(&mut self, now: Now, session: SessionRef, at: Mono) {
        match self.sessions.table.get_mut(session) {
            Some(found) if found.armed == Some(at) => found.armed = None,
            Some(_) | None => return,
        }
        self.on_dialog_timer(now, session);
        self.drive_session(now, session, Input::Timeout);
    }
}
