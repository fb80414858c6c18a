//! What the journal hears of a session: that texts can go, and how it ended. No text is in that.
//!
//! A session that never opened is told by what became of its texts, or of its INVITE.

use super::SessionRef;
use super::table::Conversation;
use crate::bridge::session::{Failure, Fate, Input, State};
use crate::crossing::Direction;
use crate::gateway::Gateway;
use crate::gateway::observe::Observation;
use crate::now::Now;
use std::borrow::Cow;

/// Why a session ended, for a person.
pub(super) type Why = Cow<'static, str>;

/// Nobody wrote.
const IDLE: &str = "nobody wrote for a while";
/// A BYE of the SIP user, where nothing else is known.
const BYE: &str = "the SIP user has left";
/// The contact's client said so.
pub(super) const GONE: &str = "the contact has left";
/// The refreshes of the session timer (RFC 4028), or the ACK of our 2xx, stayed out.
pub(super) const SILENT: &str = "the SIP user's client is not heard of any more";
/// The ACK had no answer to our offer.
pub(super) const UNUSABLE: &str = "the SIP user's client has not taken what was offered";

impl Conversation {
    /// It ends because of this, if nothing else has ended it before.
    pub(super) fn ends(&mut self, why: impl Into<Why>) {
        self.ended.get_or_insert_with(|| why.into());
    }

    /// Who invited, and which way.
    fn direction(&self) -> Direction {
        if self.dialog.is_callee() { Direction::SipToXmpp } else { Direction::XmppToSip }
    }

    /// What carries the texts.
    pub(super) fn mode(&self) -> &'static str {
        if self.msrp.is_some() { "msrp" } else { "ms-session" }
    }
}

/// An answer of the SIP side that ends a session, or that none came.
pub(super) fn no_answer(failure: &Failure) -> Why {
    format!("{}, {}", failure.status, failure.why).into()
}

/// Why a session ends that `input` brings to its end.
pub(super) fn reason<T>(input: &Input<T>) -> Option<Why> {
    match input {
        Input::Timeout => Some(IDLE.into()),
        Input::Bye => Some(BYE.into()),
        Input::Revoke(failure) => Some(failure.why.clone()),
        Input::Answered(_, Fate::NoDialog(failure) | Fate::Silent(failure)) => Some(no_answer(failure)),
        Input::Text(..)
        | Input::Established
        | Input::Refused(_)
        | Input::Accepted
        | Input::Rejected
        | Input::Answered(..)
        | Input::Heard
        | Input::Leave
        | Input::Ended => None,
    }
}

impl Gateway {
    /// As [`Conversation::ends`].
    pub(super) fn session_ends(&mut self, session: SessionRef, why: impl Into<Why>) {
        if let Some(found) = self.sessions.table.get_mut(session) {
            found.ends(why);
        }
    }

    /// The machine of `session` went on from `before`, and would end because of `why`.
    pub(super) fn note_session_state(&mut self, session: SessionRef, before: State, why: Option<Why>) {
        let Some(found) = self.sessions.table.get_mut(session) else { return };
        match (before, found.machine.state()) {
            (_, State::Open) if !found.was_open => {
                found.was_open = true;
                let (user, contact) = (found.user.clone(), found.contact.clone());
                let up = Observation::SessionUp {
                    user,
                    contact,
                    direction: found.direction(),
                    mode: found.mode(),
                };
                self.effects.observe(up);
            }
            (State::Open, State::Cancelling | State::Ending | State::Over) => {
                if let Some(why) = why {
                    found.ends(why);
                }
            }
            (_, _) => {}
        }
    }

    /// A session is over, and was `gone`.
    pub(super) fn note_end(&mut self, now: Now, gone: &Conversation) {
        if !gone.was_open {
            return;
        }
        self.effects.observe(Observation::SessionDown {
            user: gone.user.clone(),
            contact: gone.contact.clone(),
            direction: gone.direction(),
            mode: gone.mode(),
            why: gone.ended.as_deref().unwrap_or(BYE).to_owned(),
            delivered: gone.delivered,
            seconds: now.wall.as_secs().saturating_sub(gone.since.as_secs()),
        });
    }
}
