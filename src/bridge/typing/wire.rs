//! A state as a stanza (XEP-0085) or as a body (RFC 3994, KeyboardActivity).

use crate::addr::Jid;
use crate::body::iscomposing::{self, IsComposing, State};
use crate::body::keyboard::{self, KeyboardActivity};
use crate::xml::{Element, write};
use std::borrow::Cow;
use std::time::Duration;

/// The namespace of chat states.
const NS: &str = crate::xmpp::ns::CHAT_STATES;
/// What keeps a stanza out of archives and offline storage (XEP-0334 §4.3).
pub const NO_STORE: &[u8] = b"<no-store xmlns='urn:xmpp:hints'/>";

/// A chat state (XEP-0085 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChatState {
    /// The user looks at the conversation.
    Active,
    /// The user is writing.
    Composing,
    /// The user wrote and has stopped.
    Paused,
    /// The user does something else.
    Inactive,
    /// The user has left the conversation.
    Gone,
}

const NAMES: [(&str, ChatState); 5] = [
    ("active", ChatState::Active),
    ("composing", ChatState::Composing),
    ("paused", ChatState::Paused),
    ("inactive", ChatState::Inactive),
    ("gone", ChatState::Gone),
];

impl ChatState {
    /// The state that an element says, if it is one.
    pub fn of(element: &Element<'_>) -> Option<Self> {
        if element.ns() != NS {
            return None;
        }
        NAMES.iter().find(|(name, _)| *name == element.name()).map(|(_, state)| *state)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, state)| *state == self).map_or("active", |(name, _)| name)
    }

    /// Appends the element.
    pub fn write(self, out: &mut Vec<u8>) {
        write::open(out, self.name()).xmlns(NS).empty();
    }
}

/// A chat state that goes alone.
#[derive(Clone, Copy, Debug)]
pub struct StateStanza<'a> {
    /// The SIP user.
    pub from: &'a Jid,
    /// The XMPP user: the address that showed its own states.
    pub to: &'a Jid,
    /// The conversation, if it has one that both know.
    pub thread: Option<&'a str>,
    /// What is said.
    pub state: ChatState,
}

impl StateStanza<'_> {
    /// Appends the stanza, in the default namespace `jabber:server`.
    ///
    /// DEVIATES XEP-0085 §5.5: a processing hint stands beside the state. It is for servers, and without
    /// it some keep a state for whoever is offline.
    pub fn write(&self, out: &mut Vec<u8>) {
        write::open(out, "message")
            .attr("from", self.from.as_str())
            .attr("to", self.to.as_str())
            .attr("type", "chat")
            .content(|out| {
                self.state.write(out);
                if let Some(thread) = self.thread {
                    write::open(out, "thread").text(thread);
                }
                out.extend_from_slice(NO_STORE);
            });
    }
}

/// How a SIP user is told that somebody writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// A status message (RFC 3994), as the body of a MESSAGE.
    #[default]
    IsComposing,
    /// Keyboard activity, as the body of an INFO inside of a session: the Lync family.
    Keyboard,
}

/// How often `active` is said: between the 60 s that RFC 3994 §3.5 asks for and what is told.
const REPEAT: Duration = Duration::from_secs(90);

impl Dialect {
    /// How often `active` is said again while somebody writes.
    pub fn repeat(self) -> Duration {
        match self {
            Self::IsComposing => REPEAT,
            Self::Keyboard => keyboard::REPEAT,
        }
    }

    /// The Content-Type and the body that say `state`.
    pub fn body(self, state: State) -> (&'static str, Cow<'static, str>) {
        match (self, state) {
            (Self::IsComposing, State::Active) => {
                (iscomposing::TYPE, IsComposing::active(iscomposing::REFRESH).write().into())
            }
            (Self::IsComposing, State::Idle) => (iscomposing::TYPE, IsComposing::idle().write().into()),
            (Self::Keyboard, State::Active) => (keyboard::TYPE, KeyboardActivity::Type.write().into()),
            (Self::Keyboard, State::Idle) => (keyboard::TYPE, KeyboardActivity::Idle.write().into()),
        }
    }
}
