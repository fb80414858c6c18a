//! What the sender of a message hears that was not delivered, and who that is.

use super::Gateway;
use crate::addr::Jid;
use crate::bridge::errors::{diagnostic_of_reason, diagnostic_of_route};
use crate::policy::Reason;
use crate::sip::diagnostics;
use crate::sip::message::{Message, Start};
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

/// Why a response says no, for a person: its phrase, and what Microsoft's servers add to it.
pub(super) fn explain(message: &Message<'_>) -> String {
    let phrase = match message.start {
        Start::Response { reason, .. } => reason,
        Start::Request { .. } => "",
    };
    match diagnostics::read(message) {
        Some(more) => format!("{phrase} ({more})"),
        None => phrase.to_owned(),
    }
}

impl Gateway {
    /// The value of `ms-diagnostics` for a refusal by the table.
    pub(super) fn diagnostics_of(&self, reason: Reason) -> String {
        let (number, text) = diagnostic_of_reason(reason);
        diagnostics::value(number, &self.settings.name, text)
    }

    /// The same where there is no way to the addressed domain.
    pub(super) fn diagnostics_of_route(&self, condition: Condition) -> Option<String> {
        let (number, text) = diagnostic_of_route(condition)?;
        Some(diagnostics::value(number, &self.settings.name, text))
    }
}
