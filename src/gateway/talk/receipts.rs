//! Receipts: questions go with texts, answers come as notifications, reports or stanzas. How they go in a
//! session is in `sessions::receipts`.
//!
//! A receipt shows that its sender is there. So besides the gate's word on the message itself it wants the
//! gate's word on presence, in the direction in which the receipt goes (XEP-0184 §8, RFC 5438 §14).

use super::super::Gateway;
use super::super::msrp::Waiting;
use super::super::outgoing::{Load, Origin, Outgoing};
use super::super::pairs::Awaits;
use super::super::sessions::SessionRef;
use super::super::settings::Im;
use super::super::trail::Track;
use crate::addr::{Jid, map};
use crate::body::cpim::write::Envelope;
use crate::body::cpim::{Cpim, Notify};
use crate::body::imdn::{self, Imdn};
use crate::bridge::receipts::{Answer, AnswerStanza, Asked, Outcome, Question, notification};
use crate::bridge::to_xmpp;
use crate::crossing::{Crossing, Direction, Kind};
use crate::msrp::Receipt;
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
    /// By notifications (RFC 5438), and by reports of MSRP (RFC 7573 §7). A text asks for notifications only if
    /// its recipient's client has shown that it knows them: another would refuse `message/cpim`, or show its
    /// header.
    #[default]
    Auto,
    /// Also by a 200, which the peer's servers send only when a user agent did. Never by a 202.
    Trust200,
    /// It is not.
    Off,
}

/// What is answered when the stanza of a notification is written.
#[derive(Clone, Debug)]
pub(in crate::gateway) enum Waits {
    /// The request that brought it.
    Request(ServerKey),
    /// The MSRP message that did, in that session.
    Msrp(Receipt, SessionRef),
}

/// How a SIP user's text asks.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::gateway) struct Wishes<'a> {
    /// Its envelope, which may ask for notifications.
    pub(in crate::gateway) cpim: Option<&'a Cpim<'a>>,
    /// Whether it asks for a REPORT (RFC 4975 §7.1.3).
    pub(in crate::gateway) report: bool,
    /// The session that it came in.
    pub(in crate::gateway) session: Option<SessionRef>,
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
        let question = self.question_of(peer, stanza, asked)?;
        if !self.takes_notifications(now, &stanza.to) {
            return Some(Asking { question, message_id: None, envelope: None });
        }
        let message_id = self.ids.mint().to_string();
        let envelope = Some(self.envelope_of(now, &question, &message_id));
        Some(Asking { question, message_id: Some(message_id), envelope })
    }

    /// What an XMPP user wants to hear of a text, if it may.
    pub(in crate::gateway) fn question_of(
        &self,
        peer: PeerId,
        stanza: &Stanza<'_>,
        asked: Asked,
    ) -> Option<Question> {
        let (from, to) = (&stanza.from, &stanza.to);
        let is_off = self.settings.talk_of(peer).receipts == Receipts::Off;
        if is_off || !self.may_show(to, from, Direction::SipToXmpp) {
            return None;
        }
        let mut question = Question::new(from.clone(), to.to_bare(), stanza.id()?, asked.notify());
        question.chat = stanza.message_type() == MessageType::Chat;
        Some(question)
    }

    /// Has the client of this SIP user shown that it knows notifications?
    pub(in crate::gateway) fn takes_notifications(&self, now: Now, user: &Jid) -> bool {
        self.talk.notifiers.knows(now, user.bare_str())
    }

    /// What goes in front of a text that asks `question` under `message_id`.
    pub(in crate::gateway) fn envelope_of(&self, now: Now, question: &Question, message_id: &str) -> String {
        let envelope = Envelope {
            from: &uri(&question.asker),
            to: &uri(&question.recipient),
            date: &to_xmpp::stamp(now.wall),
            subject: None,
            message_id,
            notify: question.notifications,
            content_type: PLAIN,
            disposition: None,
        };
        envelope.write()
    }

    /// The text of `asking` goes out as `pager`: from now on it can be answered.
    ///
    /// COMPAT linphone 5.1: it notifies of a text that came without an envelope, too, and names the Call-ID. In
    /// liblinphone's `chat-message-p.h` each message wants notifications until a CPIM says otherwise, and its
    /// `chat-room.cpp` takes the Call-ID of what comes for its Message-ID.
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

    /// A SIP user's notification about a message of an XMPP user; `key` is to be answered. `session`: it came
    /// in the dialog of that.
    pub(in crate::gateway) fn on_imdn(
        &mut self,
        now: Now,
        key: ServerKey,
        request: &Request<'_>,
        imdn: &Imdn,
        session: Option<SessionRef>,
    ) {
        if let Some(answerable) = self.servers.value(key) {
            answerable.session = session;
        }
        if !self.hear_imdn(now, (&request.sender, &request.target), imdn, Waits::Request(key)) {
            // Of nothing that is known, or it says nothing: nobody misses it.
            self.respond(now, key, if session.is_some() { 200 } else { 202 }, &[]);
        }
    }

    /// The same, however it came, from and to this pair. False if it tells nobody anything.
    pub(in crate::gateway) fn hear_imdn(
        &mut self,
        now: Now,
        pair: (&Jid, &Jid),
        imdn: &Imdn,
        waits: Waits,
    ) -> bool {
        self.note_notifier(now, pair.0);
        Outcome::of(imdn)
            .is_some_and(|outcome| self.answer_xmpp(now, &imdn.message_id, Some(pair), outcome, Some(waits)))
    }

    /// Tells the XMPP user who asked about the message `key`. False if nobody is told. `pair` says who
    /// answers whom, if it was not our own request that was answered.
    pub(in crate::gateway) fn answer_xmpp(
        &mut self,
        now: Now,
        key: &str,
        pair: Option<(&Jid, &Jid)>,
        outcome: Outcome,
        waits: Option<Waits>,
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
        let awaits = waits.map(|waits| match waits {
            Waits::Request(server) => Awaits::Request(server),
            Waits::Msrp(receipt, session) => {
                let (from, to) = (from.clone(), to.clone());
                let track = Track::default();
                Awaits::Msrp(self.msrp.wait(Waiting {
                    receipt,
                    session,
                    trace: id,
                    came: now.mono,
                    track,
                    from,
                    to,
                }))
            }
        });
        let sent = self.queue_stanza(now, (from.domain(), to.domain()), start, awaits);
        if let Some(Awaits::Request(server)) = awaits
            && let Some(answerable) = self.servers.value(server)
        {
            answerable.crossing(now, id, Track::default(), from, to);
        }
        let why = "no stream to the partner";
        match (sent, awaits) {
            (Err(condition), Some(Awaits::Request(server))) => self.bounce(now, server, condition, why),
            (Err(condition), Some(Awaits::Msrp(ticket))) => self.on_msrp_bounced(now, ticket, condition, why),
            (Err(_), Some(Awaits::Watch(_)) | None) | (Ok(()), _) => {}
        }
        true
    }

    /// A SIP user's text, which becomes the stanza `id`, may want to be answered: what the XMPP user is
    /// asked.
    pub(in crate::gateway) fn ask_xmpp(
        &mut self,
        now: Now,
        (sip, xmpp): (&Jid, &Jid),
        wishes: Wishes<'_>,
        id: &str,
    ) -> Asked {
        let named = wishes.cpim.and_then(|cpim| Some((cpim.message_id.as_deref()?, cpim)));
        let notify = named.map_or(Notify::default(), |(_, cpim)| cpim.notify);
        let by_notification = notify.delivery || notify.display || notify.failure;
        if !by_notification && !wishes.report {
            return Asked::default();
        }
        let peer = self.settings.peer_of(sip.domain());
        if peer.is_none_or(|peer| self.settings.talk_of(peer).receipts == Receipts::Off) {
            return Asked::default();
        }
        if by_notification {
            self.note_notifier(now, sip);
        }
        // Of what can't be told only the failure is, and that is said of nobody.
        let open = match self.may_show(xmpp, sip, Direction::XmppToSip) {
            true => Notify { delivery: notify.delivery || wishes.report, ..notify },
            false => Notify { failure: notify.failure, ..Notify::default() },
        };
        let message_id = named.map_or("", |(message_id, _)| message_id);
        let mut question = Question::new(sip.to_bare(), xmpp.to_bare(), message_id, open);
        question.notifications = notify;
        question.session = wishes.session.map(|session| (session.slot, session.number));
        question.date = named.and_then(|(_, cpim)| cpim.date.as_deref()).map(Box::from);
        if question.is_open() {
            self.talk.to_xmpp.ask(now, id, question);
        }
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
        let (from, to, outcome) = (&stanza.from, &stanza.to, Outcome::Failed);
        let reported = self.report_by_msrp(now, to, from, id, outcome);
        let answer = Answer { id, outcome };
        let notified = !self.talk.to_xmpp.is_empty() && self.answer_sip(now, from, to, answer);
        if reported {
            // Nothing is said after a failure.
            self.forget_question(id);
        }
        reported || notified
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
        let reported = answer.outcome == Outcome::Delivered
            && self.report_by_msrp(now, to, from, answer.id, answer.outcome);
        if !question.wants_notification(answer.outcome) {
            return reported;
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
        if let Some((slot, number)) = question.session {
            if self.notify_in_session(now, SessionRef { slot, number }, &format!("{envelope}{document}")) {
                return true;
            }
            // That session is over. A peer of sessions takes nothing out of them.
            if matches!(self.settings.im(peer), Im::MsSession | Im::Msrp) {
                return reported;
            }
        }
        let carries = Carries::Notification;
        let parts = Parts { body: &document, carries, envelope: Some(&envelope), ..Parts::default() };
        let pager = self.build_message(from, to, &parts);
        let origin = Some(Origin { from: from.clone(), to: to.clone(), id: None });
        let timeout = self.settings.pairs.queue_timeout;
        let load = Load::Message { pager, origin };
        self.send_message(now, Outgoing::new(now.mono, peer, load, timeout));
        true
    }

    /// The client of this SIP user does not take what asks.
    pub(in crate::gateway) fn forget_notifier(&mut self, user: &Jid) {
        self.talk.notifiers.forget(user.bare_str());
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
