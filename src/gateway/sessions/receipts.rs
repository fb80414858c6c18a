//! Receipts in sessions: what texts ask, and answers both ways.
//!
//! | XMPP | in the dialog | by MSRP (RFC 7573 §7) |
//! |---|---|---|
//! | `<request/>` | CPIM that asks, to a client that is known to notify | Success-Report: yes |
//! | `<markable/>` | the same | the same as in the dialog |
//! | `<received/>` | notification | REPORT 200 of the whole message, notification |
//! | `<displayed/>` | notification | notification |
//! | an error after our 200 | notification | REPORT 400, unless Failure-Report: no; notification |
//!
//! A notification goes the way that its message came: into the same session, if that is still open. Nothing is
//! reported that nobody said (XEP-0184 §7), and nothing twice.

use super::table::Text;
use super::{SessionRef, What};
use crate::addr::Jid;
use crate::body::cpim::{Notify, write::TYPE};
use crate::bridge::receipts::{AnswerStanza, Outcome, Question};
use crate::bridge::session::{State, Ticket};
use crate::gateway::Gateway;
use crate::gateway::talk::Receipts;
use crate::ids::Id;
use crate::msrp::{MessageId, Outgoing, Receipt};
use crate::now::Now;
use crate::sip::method::Method;

/// Texts of one session, each way, whose fate may still be reported: the oldest is forgotten first.
const REPORTS_MAX: usize = 32;

/// What of a text in the air is to be answered.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) question: Question,
    /// The id that an answer will name, once it was sent.
    pub(super) key: Option<Id>,
    /// It went as CPIM that asks for notifications.
    pub(super) is_wrapped: bool,
}

impl Asking {
    pub(super) fn new(question: Question) -> Box<Self> {
        Box::new(Self { question, key: None, is_wrapped: false })
    }
}

impl Gateway {
    /// The text in the air goes out. From now on it can be answered under the id `key`, and no other; without
    /// one it can't be.
    pub(super) fn ask_in_session(
        &mut self,
        now: Now,
        (session, ticket): (SessionRef, Ticket),
        key: Option<Id>,
        is_wrapped: bool,
    ) {
        let text = self.sessions.table.get_mut(session).and_then(|found| found.machine.in_air_mut(ticket));
        let Some(asking) = text.and_then(|text| text.asking.as_mut()) else { return };
        let before = std::mem::replace(&mut asking.key, key);
        asking.is_wrapped = is_wrapped;
        let question = asking.question.clone();
        if let Some(before) = before {
            self.talk.to_sip.forget(before.as_str());
        }
        if let Some(key) = key {
            self.talk.to_sip.ask(now, key.as_str(), question);
        }
    }

    /// The text goes back: its sender hears no more of it.
    pub(super) fn forget_asking(&mut self, text: &Text) {
        if let Some(key) = text.asking.as_ref().and_then(|asking| asking.key) {
            self.talk.to_sip.forget(key.as_str());
        }
    }

    /// The text in the air as CPIM that asks for notifications, and its Message-ID, if that is of use: whom it
    /// goes to takes CPIM in this session, and has shown that it knows notifications.
    pub(super) fn wrapped(
        &mut self,
        now: Now,
        (session, ticket): (SessionRef, Ticket),
    ) -> Option<(Id, Vec<u8>)> {
        let found = self.sessions.table.get(session).filter(|found| found.takes_cpim)?;
        let text = found.machine.in_air(ticket)?;
        let question = &text.asking.as_ref()?.question;
        if !self.takes_notifications(now, &found.user) {
            return None;
        }
        let id = self.ids.mint();
        let mut octets = self.envelope_of(now, question, id.as_str()).into_bytes();
        octets.extend_from_slice(text.body.as_bytes());
        Some((id, octets))
    }

    /// A text in the air was refused with `status`. True if it goes out again, as it is: it was wrapped, and the
    /// client does not take that.
    pub(super) fn goes_unwrapped(&mut self, (session, ticket): (SessionRef, Ticket), status: u16) -> bool {
        let Some(found) = self.sessions.table.get_mut(session) else { return false };
        let wrapped = |text: &Text| text.asking.as_ref().is_some_and(|asking| asking.is_wrapped);
        if !matches!(status, 406 | 415 | 488) || !found.machine.in_air(ticket).is_some_and(wrapped) {
            return false;
        }
        found.takes_cpim = false;
        let user = found.user.clone();
        self.forget_notifier(&user);
        true
    }

    /// A text in the air has a 200 as a MESSAGE in the dialog: where that is trusted, it is a receipt.
    pub(super) fn trust_200(&mut self, now: Now, (session, ticket): (SessionRef, Ticket)) {
        let Some(found) = self.sessions.table.get(session) else { return };
        let asking = found.machine.in_air(ticket).and_then(|text| text.asking.as_ref());
        let Some(key) = asking.filter(|asking| !asking.is_wrapped).and_then(|asking| asking.key) else {
            return;
        };
        if self.settings.talk_of(found.peer).receipts == Receipts::Trust200 {
            self.answer_xmpp(now, key.as_str(), None, Outcome::Delivered, None);
        }
    }

    /// Is a 200 to a plain text in `session` to be taken for a receipt?
    pub(super) fn trusts_200(&self, session: SessionRef) -> bool {
        let found = self.sessions.table.get(session);
        found.is_some_and(|found| self.settings.talk_of(found.peer).receipts == Receipts::Trust200)
    }

    /// A text that asked nothing is with the MSRP peer: it may still be reported to have failed (RFC 4975 §7.1.4).
    pub(super) fn keep_for_failure(&mut self, (session, ticket): (SessionRef, Ticket), message: MessageId) {
        let Some(found) = self.sessions.table.get_mut(session) else { return };
        let (Some(text), Some(msrp)) = (found.machine.in_air(ticket), &mut found.msrp) else { return };
        let (None, Some(id)) = (&text.asking, text.origin.id.as_deref()) else { return };
        let (asker, recipient) = (text.origin.from.clone(), text.origin.to.to_bare());
        let question = Question::new(asker, recipient, id, Notify { failure: true, ..Notify::default() });
        if msrp.sent.len() == REPORTS_MAX {
            msrp.sent.pop_front();
        }
        msrp.sent.push_back((message, question));
    }

    /// The peer's REPORT on a message of ours, of all its octets: nobody else knows its id.
    pub(super) fn on_report(&mut self, now: Now, session: SessionRef, message: MessageId, status: u16) {
        let Some(outcome) = Outcome::of_report(status, true) else { return };
        if self.answer_xmpp(now, message.as_str(), None, outcome, None) || outcome != Outcome::Failed {
            return;
        }
        let msrp = self.sessions.table.get_mut(session).and_then(|found| found.msrp.as_mut());
        let Some(msrp) = msrp else { return };
        let Some(place) = msrp.sent.iter().position(|(known, _)| *known == message) else { return };
        let Some((_, question)) = msrp.sent.remove(place) else { return };
        let start = self.effects.mark();
        let (id, from) = (self.ids.mint(), &question.recipient);
        AnswerStanza { question: &question, from, id: id.as_str(), outcome }.write(self.effects.buffer());
        self.send_stanza(now, (from.domain(), question.asker.domain()), start);
    }

    /// The stanza `id` of a text that came by MSRP is written: what became of it may be reported.
    pub(super) fn keep_receipt(&mut self, session: SessionRef, id: Id, receipt: Receipt) {
        let msrp = self.sessions.table.get_mut(session).and_then(|found| found.msrp.as_mut());
        let Some(msrp) = msrp.filter(|_| receipt.wants_report()) else { return };
        if msrp.arrived.len() == REPORTS_MAX {
            msrp.arrived.pop_front();
        }
        msrp.arrived.push_back((id, receipt));
    }

    /// Reports to `user` what became of its text that `contact` has as the stanza `id`, if that came by MSRP in a
    /// session that is still there. False if it does not want to know.
    pub(in crate::gateway) fn report_by_msrp(
        &mut self,
        now: Now,
        user: &Jid,
        contact: &Jid,
        id: &str,
        outcome: Outcome,
    ) -> bool {
        let Some(status) = outcome.report() else { return false };
        let all: Vec<_> = self.sessions.table.of_pair(user, contact).collect();
        for session in all {
            let msrp = self.sessions.table.get_mut(session).and_then(|found| found.msrp.as_mut());
            let Some(msrp) = msrp else { continue };
            let Some(place) = msrp.arrived.iter().position(|(known, _)| known.as_str() == id) else {
                continue;
            };
            let Some((_, receipt)) = msrp.arrived.remove(place) else { continue };
            return self.msrp.switch.report(now, &mut self.ids, &receipt, status);
        }
        false
    }

    /// Sends a notification, CPIM and all, in `session`. False if that is not open any more.
    pub(in crate::gateway) fn notify_in_session(
        &mut self,
        now: Now,
        session: SessionRef,
        document: &str,
    ) -> bool {
        let Some(found) = self.sessions.table.get_mut(session) else { return false };
        if found.machine.state() != State::Open {
            return false;
        }
        let peer = found.peer;
        if let Some(msrp) = &found.msrp {
            let message = Outgoing {
                again: None,
                content_type: TYPE.to_owned(),
                octets: document.as_bytes().to_vec(),
                report: false,
            };
            return self.msrp.switch.send(now, &mut self.ids, msrp.id, message).is_ok();
        }
        match found.dialog.request(Method::Message, &[], TYPE, document.as_bytes()) {
            Some(request) => {
                self.send_of_session(now, session, peer, request, What::Other);
                true
            }
            None => false,
        }
    }
}
