//! Who is writing: chat states (XEP-0085) on one side, status messages (RFC 3994) or keyboard activity
//! (the Lync family) on the other. Pure.
//!
//! | file | owns |
//! |---|---|
//! | this one | [`Conversation`]: what two people's sides were told of each other's typing |
//! | `to_sip` | the XMPP user writes: when `active` and `idle` are said (RFC 3994 §3.2) |
//! | `to_xmpp` | the SIP user writes: when a chat state is said, and when it expires (RFC 3994 §3.3) |
//! | `wire` | a state as a stanza or a body |
//!
//! | from the XMPP side | to the SIP side |
//! |---|---|
//! | `composing` | `active`, and again every 90 s (Lync: 5 s), for ten minutes at most |
//! | `active`, `paused`, `inactive` | `idle`, if `active` was said |
//! | `gone` | nothing |
//! | a text | nothing: it implies `idle` |
//!
//! | from the SIP side | to the XMPP side, if it showed that it knows chat states |
//! |---|---|
//! | `active`, `type` | `composing`, once |
//! | `idle`, an unknown state, nothing for the time that was told | `active` (or `paused`: [`Terms::idle`]), if `composing` was said |
//! | a text | `active` inside of it |
//! | the end of the session | `gone` |

mod to_sip;
mod to_xmpp;
mod wire;

#[cfg(test)]
mod tests;

pub use wire::{ChatState, Dialect, NO_STORE, StateStanza};

use crate::body::iscomposing::{self, IsComposing};
use crate::body::keyboard::{self, KeyboardActivity};
use crate::now::Mono;
use std::time::Duration;
use to_sip::ToldSip;
use to_xmpp::ToldXmpp;

/// How typing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How the SIP side is told.
    pub dialect: Dialect,
    /// What the XMPP side is told when nobody writes any more: RFC 7573 §6.1 says `active`, deployed
    /// gateways `paused`.
    pub idle: ChatState,
}

/// What was heard from the SIP side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Does somebody write?
    pub state: iscomposing::State,
    /// For how long that counts.
    pub lasts: Duration,
}

impl From<IsComposing> for Heard {
    fn from(status: IsComposing) -> Self {
        Self { state: status.state, lasts: status.lasts() }
    }
}

impl From<KeyboardActivity> for Heard {
    fn from(activity: KeyboardActivity) -> Self {
        let state = match activity {
            KeyboardActivity::Type => iscomposing::State::Active,
            KeyboardActivity::Idle => iscomposing::State::Idle,
        };
        Self { state, lasts: keyboard::LASTS }
    }
}

/// What is to be said now that a deadline has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Say {
    /// To the SIP side.
    pub to_sip: Option<iscomposing::State>,
    /// To the XMPP side, as a stanza of its own.
    pub to_xmpp: Option<ChatState>,
}

/// One XMPP user and one SIP user who write to each other. Nothing has been said yet in a new one.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// The XMPP user's last message had a chat state (XEP-0085 §5.1).
    shows_states: bool,
    sip: ToldSip,
    xmpp: ToldXmpp,
}

impl Conversation {
    /// A message from the XMPP side: its chat state, and whether there is a text. Says what the SIP side
    /// hears now, beside the text.
    pub fn on_stanza(
        &mut self,
        now: Mono,
        state: Option<ChatState>,
        has_text: bool,
        terms: &Terms,
    ) -> Option<iscomposing::State> {
        match (state, has_text) {
            (_, true) => {
                self.shows(state.is_some());
                self.sip.on_text();
                None
            }
            (Some(state), false) => {
                self.shows(state != ChatState::Gone);
                self.sip.on_state(now, state, terms.dialect)
            }
            (None, false) => None,
        }
    }

    fn shows(&mut self, states: bool) {
        self.shows_states = states;
        if !states {
            self.xmpp.forget_writer();
        }
    }

    /// A status message or keyboard activity from the SIP side. Says what the XMPP side hears now.
    pub fn on_status(&mut self, now: Mono, heard: Heard, terms: &Terms) -> Option<ChatState> {
        if self.shows_states { self.xmpp.on_status(now, heard, terms.idle) } else { None }
    }

    /// A text from the SIP side: does it carry `<active/>`?
    pub fn on_text(&mut self) -> bool {
        self.xmpp.on_text(self.shows_states);
        self.shows_states
    }

    /// The SIP side ended the session. Says what the XMPP side hears now.
    pub fn on_end(&mut self) -> Option<ChatState> {
        if self.shows_states { self.xmpp.on_end() } else { None }
    }

    /// A deadline may have come.
    pub fn on_timer(&mut self, now: Mono, terms: &Terms) -> Say {
        Say { to_sip: self.sip.on_timer(now, terms.dialect), to_xmpp: self.xmpp.on_timer(now, terms.idle) }
    }

    /// When [`Conversation::on_timer`] is wanted next.
    pub fn deadline(&self) -> Option<Mono> {
        [self.sip.deadline(), self.xmpp.deadline()].into_iter().flatten().min()
    }

    /// Does the XMPP user know chat states?
    pub fn shows_states(&self) -> bool {
        self.shows_states
    }

    /// Would a new one do as well? Nobody writes, and there is nothing to remember.
    pub fn is_plain(&self) -> bool {
        !self.shows_states && self.deadline().is_none()
    }
}
