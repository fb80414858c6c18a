//! What became of a message: delivery receipts (XEP-0184) and displayed markers (XEP-0333) on one side,
//! notifications (RFC 5438) or MSRP reports (RFC 4975 §7.1.2) on the other. Pure.
//!
//! | file | owns |
//! |---|---|
//! | this one | what is asked and answered, in the words of both sides |
//! | `ledger` | questions that may still be answered: bounded, each with a deadline |
//! | `wire` | answers as stanzas and bodies |
//!
//! | XMPP | RFC 5438 | MSRP |
//! |---|---|---|
//! | `<request/>` | `positive-delivery`, `negative-delivery` | Success-Report: yes |
//! | `<markable/>` | `display`, `negative-delivery` | – |
//! | `<received id=/>` | `<delivered/>` | REPORT 200 of all octets |
//! | `<displayed id=/>` | `<displayed/>` | – |
//! | an error | `<failed/>` | REPORT 4xx |
//! | – | `<forbidden/>`, `<error/>`, what intermediaries say | – |
//!
//! Nothing is made up: each answer comes from whoever can know, is about a message that asked for it, from
//! the one whom it was sent to, and comes once (RFC 5438 §7.2.1, XEP-0184 §5.6). An answer never asks.
//! `<forbidden/>` and `<error/>` say that the recipient, or nobody, tells (RFC 5438 §4): a message whose fate
//! is not known did not fail.

mod ledger;
mod wire;

#[cfg(test)]
mod tests;

pub use ledger::Ledger;
pub use wire::{AnswerStanza, notification};

use crate::addr::Jid;
use crate::body::cpim::Notify;
use crate::body::imdn::{Imdn, Kind, Status};
use crate::xml::Element;
use crate::xmpp::ns;

/// Octets of an id that is kept to be answered; a message with a longer one is sent as if it asked nothing.
pub const ID_MAX: usize = 256;

/// What an XMPP message asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// `<request/>`: to hear that it was delivered.
    pub delivery: bool,
    /// `<markable/>`: to hear that it was shown.
    pub display: bool,
}

impl Asked {
    /// Is anything asked for?
    pub fn any(self) -> bool {
        self.delivery || self.display
    }

    /// The same as a SIP user reads it. XMPP knows errors without asking.
    pub fn notify(self) -> Notify {
        Notify { delivery: self.delivery, failure: self.any(), display: self.display, processing: false }
    }

    /// What of the wishes of a SIP user an XMPP client knows.
    pub fn of(notify: Notify) -> Self {
        Self { delivery: notify.delivery, display: notify.display }
    }

    /// Does a SEND of MSRP want a Success-Report (RFC 7573 §7)?
    pub fn success_report(self) -> bool {
        self.delivery
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It was delivered.
    Delivered,
    /// It was shown.
    Displayed,
    /// It was not delivered.
    Failed,
}

impl Outcome {
    /// What a notification says; None if it says nothing that XMPP has a word for.
    pub fn of(imdn: &Imdn) -> Option<Self> {
        match (imdn.kind, imdn.status) {
            (Kind::Delivery, Status::Delivered) => Some(Self::Delivered),
            (Kind::Delivery, Status::Failed) => Some(Self::Failed),
            (Kind::Display, Status::Displayed) => Some(Self::Displayed),
            (Kind::Delivery | Kind::Display | Kind::Processing, _) => None,
        }
    }

    /// What a REPORT of MSRP says (RFC 4975 §7.1.2): `whole` if its Byte-Range covers the whole message.
    /// A REPORT about a part says nothing.
    pub fn of_report(status: u16, whole: bool) -> Option<Self> {
        match (status, whole) {
            (200, true) => Some(Self::Delivered),
            (200, false) => None,
            (400..=699, _) => Some(Self::Failed),
            _ => None,
        }
    }

    /// The status of the REPORT that says so, if MSRP has one.
    pub fn report(self) -> Option<u16> {
        match self {
            Self::Delivered => Some(200),
            // RFC 4975 §10.2: it was refused, and the session goes on. 408 would end that (§10.4).
            Self::Failed => Some(400),
            Self::Displayed => None,
        }
    }

    fn kind(self) -> (Kind, Status) {
        match self {
            Self::Delivered => (Kind::Delivery, Status::Delivered),
            Self::Failed => (Kind::Delivery, Status::Failed),
            Self::Displayed => (Kind::Display, Status::Displayed),
        }
    }
}

/// An answer from the XMPP side: about which stanza, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'s> {
    /// The id of the stanza that was sent to it.
    pub id: &'s str,
    /// What became of it.
    pub outcome: Outcome,
}

impl<'s> Answer<'s> {
    /// The answer that a child of a message is, if it is one.
    ///
    /// COMPAT clients of XEP-0333 before 0.4: `acknowledged` says that it was shown, `received` adds
    /// nothing to XEP-0184.
    pub fn of(element: &'s Element<'_>) -> Option<Self> {
        let outcome = match (element.ns(), element.name()) {
            (ns::RECEIPTS, "received") => Outcome::Delivered,
            (ns::MARKERS, "displayed" | "acknowledged") => Outcome::Displayed,
            _ => return None,
        };
        let id = element.attr("id").filter(|id| !id.is_empty())?;
        Some(Self { id, outcome })
    }
}

/// A message that asked, and what was answered so far.
#[derive(Clone, Debug)]
pub struct Question {
    /// Who wants to hear: the full address for an XMPP user, if it wrote from one.
    pub asker: Jid,
    /// Who can answer.
    pub recipient: Jid,
    /// The id that the asker knows it by: of the stanza, or the Message-ID.
    pub id: Box<str>,
    /// When it was sent, if the asker said so: a notification repeats it.
    pub date: Option<Box<str>>,
    /// Was it of type `chat`? The answer is too (XEP-0184 §5).
    pub chat: bool,
    /// What of it notifications answer (RFC 5438). Nobody notifies of what only a REPORT was asked for.
    pub notifications: Notify,
    /// The session that it was sent in, as whoever keeps sessions counts them.
    pub session: Option<(u32, u32)>,
    /// What is still to be answered. Each is answered once.
    open: Notify,
}

impl Question {
    /// A message that `asker` sent to `recipient` under the id `id`, and wants `notify` of.
    pub fn new(asker: Jid, recipient: Jid, id: &str, notify: Notify) -> Self {
        let (id, notifications) = (id.into(), notify);
        Self { asker, recipient, id, date: None, chat: false, notifications, session: None, open: notify }
    }

    /// Is a notification asked for that says so?
    pub fn wants_notification(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Delivered => self.notifications.delivery,
            Outcome::Displayed => self.notifications.display,
            Outcome::Failed => self.notifications.failure,
        }
    }

    /// May `from` answer to `to` that this became of the message? Then it counts as answered: at most once
    /// for each disposition, and nothing after a failure.
    pub fn answer(&mut self, from: &Jid, to: &Jid, outcome: Outcome) -> bool {
        if from.bare_str() != self.recipient.bare_str() || to.bare_str() != self.asker.bare_str() {
            return false;
        }
        match outcome {
            Outcome::Delivered => {
                self.open.failure &= !self.open.delivery;
                std::mem::take(&mut self.open.delivery)
            }
            Outcome::Displayed => {
                let asked = std::mem::take(&mut self.open.display);
                self.open.failure &= !asked;
                asked
            }
            Outcome::Failed => {
                let asked = self.open.failure;
                if asked {
                    self.open = Notify::default();
                }
                asked
            }
        }
    }

    /// Is `other` between the same two people, in the same direction?
    pub fn is_between_those_of(&self, other: &Self) -> bool {
        self.asker.bare_str() == other.asker.bare_str()
            && self.recipient.bare_str() == other.recipient.bare_str()
    }

    /// Is there anything left to be answered?
    pub fn is_open(&self) -> bool {
        self.open.delivery || self.open.display || self.open.failure
    }
}
