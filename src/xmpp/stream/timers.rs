//! What a stream does by itself, and when.
//!
//! | deadline | while | then |
//! |---|---|---|
//! | establishment | no pair is proven, or the stream for verification is not ready | `connection-timeout` |
//! | verification | a key is out | error `remote-server-timeout` (receiving), refused (initiating) |
//! | inactivity | established | close |
//! | keepalive | established, receiving, expected by the terms | close |
//! | keepalive | established, initiating | white space, twice in the interval |
//! | expiry | proven by a certificate | `reset` |
//! | linger | a stream for verification without a question | close |
//! | close | the peer's close tag is awaited | over |

use super::core::Core;
use super::event::{DownReason, StreamEvent};
use super::table::{Phase, Role};
use crate::now::{Mono, Now};
use crate::xmpp::dialback::Outcome;
use crate::xmpp::error::{Condition, StreamCondition, StreamError};

/// What an established stream does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    Inactive,
    Silent,
    Ping,
    Expired,
}

impl Core {
    /// When `handle_timeout` is due; `None` only for a stream that is over.
    pub(super) fn deadline(&self) -> Option<Mono> {
        let own = match self.phase {
            Phase::Closed => return None,
            Phase::Closing => return Some(self.times.closing),
            Phase::Up => self.idle_times().map(|(_, at)| at).min(),
            Phase::Ready => self.linger(),
            Phase::Header
            | Phase::Clear
            | Phase::Secure
            | Phase::Features
            | Phase::Proceed
            | Phase::Handshake
            | Phase::Success
            | Phase::Result => Some(self.times.setup),
        };
        let keys = self.pending.iter().map(|pending| pending.deadline);
        let questions = self.questions.iter().map(|question| question.deadline);
        own.into_iter().chain(keys).chain(questions).min()
    }

    fn linger(&self) -> Option<Mono> {
        self.questions.is_empty().then_some(self.times.used + self.settings.verify_linger)
    }

    fn idle_times(&self) -> impl Iterator<Item = (Idle, Mono)> {
        let settings = &self.settings;
        let keepalive = self.terms.is_none_or(|terms| terms.keepalive);
        let keepalive = match self.role {
            _ if !keepalive => None,
            Role::Receiving => Some((Idle::Silent, self.times.heard + settings.keepalive_interval)),
            Role::Initiating => Some((Idle::Ping, self.times.sent + settings.keepalive_interval / 2)),
        };
        let expired = self.times.expiry.map(|at| (Idle::Expired, at));
        let inactive = (Idle::Inactive, self.times.used + settings.inactivity_timeout);
        [expired, Some(inactive), keepalive].into_iter().flatten()
    }

    /// Does what is due at `now`.
    pub(super) fn on_timeout(&mut self, now: Now) {
        self.on_late_keys(now);
        self.on_late_questions(now);
        match self.phase {
            Phase::Closed => {}
            Phase::Closing if self.times.closing <= now.mono => self.closed(),
            Phase::Closing => {}
            Phase::Up => self.on_idle(now),
            Phase::Ready => {
                if self.linger().is_some_and(|at| at <= now.mono) {
                    self.close(now, DownReason::Closed);
                }
            }
            Phase::Header
            | Phase::Clear
            | Phase::Secure
            | Phase::Features
            | Phase::Proceed
            | Phase::Handshake
            | Phase::Success
            | Phase::Result => {
                if self.times.setup <= now.mono {
                    let error = StreamError::from(StreamCondition::ConnectionTimeout);
                    self.fail_as(error, DownReason::EstablishmentTimeout);
                }
            }
        }
    }

    fn on_idle(&mut self, now: Now) {
        let due = self.idle_times().find(|(_, at)| *at <= now.mono);
        match due.map(|(idle, _)| idle) {
            None => {}
            Some(Idle::Expired) => {
                let error = StreamError::from(StreamCondition::Reset);
                self.fail_as(error, DownReason::CertificateExpired);
            }
            Some(Idle::Inactive) => self.close(now, DownReason::Inactive),
            Some(Idle::Silent) => self.close(now, DownReason::Silent),
            Some(Idle::Ping) => {
                self.out.push(b' ');
                self.times.sent = now.mono;
            }
        }
    }

    fn on_late_keys(&mut self, now: Now) {
        while let Some(at) = self.pending.iter().position(|pending| pending.deadline <= now.mono) {
            let pair = self.pending.swap_remove(at).pair;
            let outcome = Outcome::Error(Condition::RemoteServerTimeout);
            match (self.role, self.phase) {
                (Role::Receiving, _) => self.conclude(now, pair, outcome, self.dialback_auth()),
                (Role::Initiating, Phase::Up) => {
                    self.events.push_back(StreamEvent::PairRefused { pair, outcome });
                }
                // The establishment timeout speaks for the first pair.
                (Role::Initiating, _) => {}
            }
        }
    }

    fn on_late_questions(&mut self, now: Now) {
        while let Some(at) = self.questions.iter().position(|question| question.deadline <= now.mono) {
            let question = self.questions.swap_remove(at);
            let answer = question.verify.answer(Outcome::Error(Condition::RemoteServerTimeout));
            self.events.push_back(StreamEvent::Verified(answer));
        }
    }
}
