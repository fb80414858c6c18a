//! Receipts in pager mode: questions go with texts, answers come as notifications or stanzas.
//!
//! A receipt shows that its sender is there. So besides the gate's word on the message itself it wants the
//! gate's word on presence, in the direction in which the receipt goes (XEP-0184 §8, RFC 5438 §14).

use super::super::Gateway;
use super::super::outgoing::{Load, Origin, Outgoing};
use super::super::pairs::Awaits;
use super::super::trail::Track;
use crate::addr::{Jid, map};
use crate::body::cpim::write::Envelope;
use crate::body::cpim::{Cpim, Notify};
use crate::body::imdn::{self, Imdn};
use crate::bridge::receipts::{Answer, AnswerStanza, Asked, Outcome, Question, notification};
use crate::bridge::to_xmpp;
use crate::crossing::{Crossing, Direction, Kind};
use crate::now::Now;
use crate::sip::link::PeerId;
use crate::sip::pager::{Carries, PLAIN, Pager, Parts};
use crate::sip::txn::ServerKey;
use crate::sip::uas::Request;
use crate::xmpp::stanza::{MessageType, Stanza};
use std::time::Duration;

/// For how long a client that used notifications is asked for them.
const NOTIFIES: Duration = Duration::from_secs(7 * 24 * 3600);

/// How it is known that a peer's user has a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Receipts {
    /// By notifications (RFC 5438). A text asks for them only if its recipient's client has shown that it
    /// knows them: another would refuse `message/cpim`, or show its header.
    #[default]
    Auto,
    /// Also by a 200, which the peer's servers send only when a user agent did. Never by a 202.
    Trust200,
    /// It is not.
    Off,
}

impl Gateway {
    /// May `to` see that `from` is there?
    fn may_show(&self, from: &Jid, to: &Jid, direction: Direction) -> bool {
        self.judge(&Crossing { sender: from, target: to, direction, kind: Kind::Presence }).is_ok()
    }

    /// An XMPP user's text wants to be answered: what goes in front of it, if its recipient's client knows
    /// that, and the Message-ID. `asked` is not empty.
    pub(in crate::gateway) fn ask_sip(
        &mut self,
        now: Now,
        peer: PeerId,
        stanza: &Stanza<'_>,
        asked: Asked,
    ) -> Option<Asking> {
        let (from, to) = (&stanza.from, &stanza.to);
        let id = stanza.id()?;
        let is_off = self.settings.talk_of(peer).receipts == Receipts::Off;
        if is_off || !self.may_show(to, from, Direction::SipToXmpp) {
            return None;
        }
        let notify = asked.notify();
        let chat = stanza.message_type() == MessageType::Chat;
        let mut question = Question::new(from.clone(), to.to_bare(), id, notify);
        question.chat = chat;
        if !self.talk.notifiers.knows(now, to.bare_str()) {
            return Some(Asking { question, message_id: None, envelope: None });
        }
        let message_id = self.ids.mint().to_string();
        let envelope = Envelope {
            from: &uri(from),
            to: &uri(to),
            date: &to_xmpp::stamp(now.wall),
            subject: None,
            message_id: &message_id,
            notify,
            content_type: PLAIN,
            disposition: None,
        };
        let envelope = Some(envelope.write());
        Some(Asking { question, message_id: Some(message_id), envelope })
    }

    /// The text of `asking` goes out as `pager`: from now on it can be answered.
    ///
    /// COMPAT linphone 5.1: it notifies of a text that has no Message-ID, too, and names the Call-ID.
    pub(in crate::gateway) fn remember_question(&mut self, now: Now, asking: Asking, pager: &Pager) {
        let key = asking.message_id.as_deref().unwrap_or_else(|| pager.call_id());
        self.talk.to_sip.ask(now, key, asking.question);
    }

    /// The final response to a MESSAGE. True if it goes out again to the same server, as a plain text.
    pub(in crate::gateway) fn goes_again_as_text(
        &mut self,
        now: Now,
        outgoing: &mut Outgoing,
        status: u16,
    ) -> bool {
        let peer = outgoing.peer;
        let Load::Message { pager, .. } = &mut outgoing.load else { return false };
        match (pager.carries(), status) {
            (Carries::Text, _) => {}
            (Carries::Typing, status) => self.talk.typing.on_answer(now, pager.target(), status),
            // The client does not take what another of its user did.
            (Carries::Asking, 415 | 406 | 488) if pager.is_wrapped() => {
                self.talk.notifiers.forget(pager.target());
                outgoing.tried.pop();
                return pager.unwrap_text();
            }
            (Carries::Asking, 200)
                if !pager.is_wrapped() && self.settings.talk_of(peer).receipts == Receipts::Trust200 =>
            {
                let call_id = pager.call_id().to_owned();
                self.answer_xmpp(now, &call_id, None, Outcome::Delivered, None);
            }
            (Carries::Asking | Carries::Notification, _) => {}
        }
        false
    }

    /// A SIP user's notification about a message of an XMPP user; `key` is to be answered.
    pub(in crate::gateway) fn on_imdn(
        &mut self,
        now: Now,
        key: ServerKey,
        request: &Request<'_>,
        imdn: &Imdn,
    ) {
        self.note_notifier(now, &request.sender);
        let said = Outcome::of(imdn).is_some_and(|outcome| {
            let pair = Some((&request.sender, &request.target));
            self.answer_xmpp(now, &imdn.message_id, pair, outcome, Some(Awaits::Request(key)))
        });
        if !said {
            // Of nothing that is known, or it says nothing: nobody misses it.
            self.respond(now, key, 202, &[]);
        }
    }

    /// Tells the XMPP user who asked about the message `key`. False if nobody is told. `pair` says who
    /// answers whom, if it was not our own request that was answered.
    fn answer_xmpp(
        &mut self,
        now: Now,
        key: &str,
        pair: Option<(&Jid, &Jid)>,
        outcome: Outcome,
        awaits: Option<Awaits>,
    ) -> bool {
        let Some(question) = self.talk.to_sip.get_mut(now, key) else { return false };
        let (from, to) = match pair {
            Some((from, to)) => (from.clone(), to.clone()),
            None => (question.recipient.clone(), question.asker.clone()),
        };
        if !question.answer(&from, &to, outcome) {
            return false;
        }
        let question = question.clone();
        if !question.is_open() {
            self.talk.to_sip.forget(key);
        }
        let (from, to) = (question.recipient.clone(), question.asker.clone());
        if outcome != Outcome::Failed && !self.may_show(&from, &to, Direction::SipToXmpp) {
            return false;
        }
        let id = self.ids.mint();
        let start = self.effects.mark();
        let stanza = AnswerStanza { question: &question, from: &from, id: id.as_str(), outcome };
        stanza.write(self.effects.buffer());
        let server = match awaits {
            Some(Awaits::Request(server)) => Some(server),
            Some(Awaits::Watch(_) | Awaits::Msrp(_)) | None => None,
        };
        let sent = self.queue_stanza(now, (from.domain(), to.domain()), start, awaits);
        if let Some(answerable) = server.and_then(|server| self.servers.value(server)) {
            answerable.crossing(now, id, Track::default(), from, to);
        }
        if let (Err(condition), Some(server)) = (sent, server) {
            self.bounce(now, server, condition, "no stream to the partner");
        }
        true
    }

    /// A SIP user's text, which becomes the stanza `id`, may want to be answered: what the XMPP user is
    /// asked.
    pub(in crate::gateway) fn ask_xmpp(
        &mut self,
        now: Now,
        request: &Request<'_>,
        cpim: &Cpim<'_>,
        id: &str,
    ) -> Asked {
        let (sip, xmpp) = (&request.sender, &request.target);
        let wanted = cpim.notify.delivery || cpim.notify.display || cpim.notify.failure;
        let (Some(message_id), true) = (cpim.message_id.as_deref(), wanted) else { return Asked::default() };
        let peer = self.settings.peer_of(sip.domain());
        if peer.is_none_or(|peer| self.settings.talk_of(peer).receipts == Receipts::Off) {
            return Asked::default();
        }
        self.note_notifier(now, sip);
        // Of what can't be told only the failure is, and that is said of nobody.
        let open = match self.may_show(xmpp, sip, Direction::XmppToSip) {
            true => cpim.notify,
            false => Notify { failure: cpim.notify.failure, ..Notify::default() },
        };
        let mut question = Question::new(sip.to_bare(), xmpp.to_bare(), message_id, open);
        question.date = cpim.date.as_deref().map(Box::from);
        self.talk.to_xmpp.ask(now, id, question);
        Asked::of(open)
    }

    /// An XMPP user answers a message of a SIP user.
    pub(in crate::gateway) fn on_xmpp_answer(&mut self, now: Now, stanza: &Stanza<'_>, answer: Answer<'_>) {
        let (from, to) = (&stanza.from, &stanza.to);
        if self.may_show(from, to, Direction::XmppToSip) {
            self.answer_sip(now, from, to, answer);
        }
    }

    /// An error came for the stanza `id` after the 2xx: true if its sender asked to be notified of that, and
    /// is.
    pub(in crate::gateway) fn notify_of_failure(&mut self, now: Now, stanza: &Stanza<'_>) -> bool {
        let Some(id) = stanza.id() else { return false };
        let answer = Answer { id, outcome: Outcome::Failed };
        !self.talk.to_xmpp.is_empty() && self.answer_sip(now, &stanza.from, &stanza.to, answer)
    }

    /// The stanza `id` was not delivered, and its sender hears so by the response: by no notification
    /// (RFC 5438 §12.1.3.1).
    pub(in crate::gateway) fn forget_question(&mut self, id: &str) {
        self.talk.to_xmpp.forget(id);
    }

    fn answer_sip(&mut self, now: Now, from: &Jid, to: &Jid, answer: Answer<'_>) -> bool {
        let Some(peer) = self.settings.peer_of(to.domain()) else { return false };
        let Some(question) = self.talk.to_xmpp.get_mut(now, answer.id) else { return false };
        if !question.answer(from, to, answer.outcome) {
            return false;
        }
        let question = question.clone();
        if !question.is_open() {
            self.talk.to_xmpp.forget(answer.id);
        }
        let date = to_xmpp::stamp(now.wall);
        let document = notification(&question, answer.outcome, &date).write();
        let message_id = self.ids.mint();
        let envelope = Envelope {
            from: &uri(from),
            to: &uri(to),
            date: &date,
            subject: None,
            message_id: message_id.as_str(),
            notify: Notify::default(),
            content_type: imdn::TYPE,
            disposition: Some(imdn::DISPOSITION),
        };
        let envelope = envelope.write();
        let carries = Carries::Notification;
        let parts = Parts { body: &document, carries, envelope: Some(&envelope), ..Parts::default() };
        let pager = self.build_message(from, to, &parts);
        let origin = Some(Origin { from: from.clone(), to: to.clone(), id: None });
        let timeout = self.settings.pairs.queue_timeout;
        let load = Load::Message { pager, origin };
        self.send_message(now, Outgoing::new(now.mono, peer, load, timeout));
        true
    }

    fn note_notifier(&mut self, now: Now, user: &Jid) {
        self.talk.notifiers.set(now, NOTIFIES, user.bare_str());
    }
}

/// A text that wants to be answered, on its way out.
pub(in crate::gateway) struct Asking {
    question: Question,
    /// None: it goes as it is, and whoever knows notifications names its Call-ID.
    message_id: Option<String>,
    /// What stands in front of it.
    pub(in crate::gateway) envelope: Option<String>,
}

fn uri(jid: &Jid) -> String {
    let mut out = Vec::new();
    map::uri_from_jid(&jid.to_bare(), &mut out);
    String::from_utf8(out).unwrap_or_default()
}
