//! Answers as stanzas and as documents.

use super::{Outcome, Question};
use crate::addr::{Jid, map};
use crate::body::imdn::Imdn;
use crate::xml::write;
use crate::xmpp::error::stanza::{Answered, write_error};
use crate::xmpp::error::{Condition, StanzaError};
use crate::xmpp::ns;

/// An answer to an XMPP user.
#[derive(Clone, Copy, Debug)]
pub struct AnswerStanza<'a> {
    /// What was asked.
    pub question: &'a Question,
    /// The SIP user who answers.
    pub from: &'a Jid,
    /// The stanza's own id, minted by us.
    pub id: &'a str,
    /// What became of the message.
    pub outcome: Outcome,
}

impl AnswerStanza<'_> {
    /// Appends the stanza, in the default namespace `jabber:server`: a receipt or a marker with nothing
    /// beside it, or the error that answers the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (from, to, about) = (self.from.as_str(), self.question.asker.as_str(), &*self.question.id);
        let (name, ns) = match self.outcome {
            Outcome::Delivered => ("received", ns::RECEIPTS),
            Outcome::Displayed => ("displayed", ns::MARKERS),
            Outcome::Failed => {
                let answered = Answered {
                    element: "message",
                    from: to,
                    to: self.question.recipient.as_str(),
                    id: Some(about),
                    type_: None,
                };
                let why = "the recipient's network reports that it was not delivered";
                write_error(out, &answered, &StanzaError::with_text(Condition::RecipientUnavailable, why));
                return;
            }
        };
        let type_ = self.question.chat.then_some("chat");
        write::open(out, "message")
            .attr("from", from)
            .attr("to", to)
            .attr("id", self.id)
            .attr_opt("type", type_)
            .content(|out| write::open(out, name).xmlns(ns).attr("id", about).empty());
    }
}

/// The notification that tells a SIP user what became of its message, from the XMPP user who had it. `now` is
/// written if the message did not say when it was sent: the document must have a time.
pub fn notification(question: &Question, outcome: Outcome, now: &str) -> Imdn {
    let (kind, status) = outcome.kind();
    let mut recipient = Vec::new();
    map::uri_from_jid(&question.recipient.to_bare(), &mut recipient);
    Imdn {
        message_id: question.id.to_string(),
        date: Some(question.date.as_deref().unwrap_or(now).to_owned()),
        recipient: String::from_utf8(recipient).ok(),
        kind,
        status,
    }
}
