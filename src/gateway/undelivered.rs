//! What the sender of a message hears that was not delivered, and who that is.

use crate::addr::Jid;
use crate::xmpp::error::Condition;

/// The stanza that a message came from: what its error needs.
#[derive(Debug)]
pub struct Origin {
    /// Who wrote it.
    pub from: Jid,
    /// For whom.
    pub to: Jid,
    /// The stanza's id.
    pub id: Option<Box<str>>,
}

/// Why a message is not delivered.
#[derive(Clone, Debug)]
pub struct Undelivered {
    /// What its sender hears.
    pub condition: Condition,
    /// The same in SIP.
    pub status: u16,
    /// Why, for a person.
    pub why: String,
    /// Does it hold for all that waits behind it too?
    pub together: bool,
}

impl Undelivered {
    /// It concerns one message.
    pub fn alone(condition: Condition, status: u16, why: impl Into<String>) -> Self {
        Self { condition, status, why: why.into(), together: false }
    }

    /// It concerns all that waits for the same user: the server is silent or out of reach.
    pub fn together(condition: Condition, status: u16, why: impl Into<String>) -> Self {
        Self { together: true, ..Self::alone(condition, status, why) }
    }
}
