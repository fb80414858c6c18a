//! What crosses, and what is answered instead: the gate stands here, once for each direction.
//!
//! An item comes in as `Verified`, is judged by the table and the budgets, and only an `Admitted` one
//! reaches the two functions that bridge. Everything that is refused is answered in its sender's own
//! protocol by the error table (`bridge::errors`), and the answer does not tell whether the addressed
//! user exists.

use super::Gateway;
use super::meter::Fate;
use super::observe::Observation;
use super::outgoing::{Load, Origin, Outgoing, TOO_LONG};
use super::pairs::Awaits;
use super::stop::STOPPING;
use super::talk::Wishes;
use super::trail::{Carrier, What};
use crate::addr::Jid;
use crate::body::signal::{Signal, signal_of};
use crate::body::{self, charset::one_line};
use crate::bridge::errors::{StatusContext, status_of};
use crate::bridge::to_sip::{self, ToSip};
use crate::bridge::to_xmpp::{self, Beside, FromSip};
use crate::crossing::{Crosses, Crossing, Direction, Kind, Verified};
use crate::now::Now;
use crate::policy::{Admitted, Denial, OverBudget, Policy};
use crate::sip::locate::Transport;
use crate::sip::message::Message;
use crate::sip::name::Name;
use crate::sip::pager::{Carries, Pager, Parts};
use crate::sip::txn::ServerKey;
use crate::sip::uas::{Reject, Request};
use crate::xmpp::StreamId;
use crate::xmpp::error::stanza::{read_error, write_error};
use crate::xmpp::error::{Condition, StanzaError};
use crate::xmpp::iq;
use crate::xmpp::stanza::{Iq, MessageType, Misaddressed, PresenceType, Stanza, StanzaKind};

impl Gateway {
    /// A message or presence from a partner.
    pub(super) fn on_stanza(&mut self, now: Now, stream: StreamId, stanza: Verified<Stanza<'_>>) {
        self.pairs.heard(now, stanza.from.domain(), &mut self.due);
        if !self.trials.is_forgotten() && self.is_of_trial(now, &stanza) {
            return;
        }
        let via = Carrier::Stream(stream);
        if stanza.kind == StanzaKind::Message && stanza.message_type() == MessageType::Error {
            return self.on_error_stanza(now, stanza);
        }
        if self.stopping && stanza.kind == StanzaKind::Message {
            let error = StanzaError::with_text(Condition::ResourceConstraint, STOPPING);
            return self.return_stanza(now, via, &stanza, None, &error, STOPPING);
        }
        if let Some(partner) = self.table.partner(stanza.from.domain())
            && !self.is_wanted(&stanza)
            && self.common.budgets.charge(&stanza.crossing(), partner, now).is_err()
        {
            let error = StanzaError::with_text(Condition::ResourceConstraint, "too many messages; slow down");
            let returned = Returned { error: &error, why: "over the rate limit", fate: Fate::Limited };
            return self.return_as(now, via, &stanza, None, &returned);
        }
        match self.table.admit(stanza, &self.presence) {
            Ok(admitted) => {
                self.meter.allowed();
                self.bridge_to_sip(now, stream, admitted);
            }
            Err(refusal) => {
                self.meter.denied(refusal.reason);
                let stanza = refusal.item;
                if stanza.kind == StanzaKind::Presence
                    && self.on_denied_presence(now, &stanza, refusal.reason)
                {
                    return;
                }
                let denial = Denial { reason: refusal.reason, policy: refusal.policy };
                let track = self.observe_denied(now, Some(via), &stanza.crossing(), denial);
                self.count_returned(&stanza, Fate::Denied);
                if self.answer_stanza(now, &stanza, &Condition::Forbidden.into()) {
                    self.effects.trail.step(now.mono, track, What::ToldXmpp(Condition::Forbidden));
                }
            }
        }
    }

    /// The bridge's entrance from the XMPP side.
    fn bridge_to_sip(&mut self, now: Now, stream: StreamId, admitted: Admitted<Stanza<'_>>) {
        if admitted.kind == StanzaKind::Presence {
            if self.trials.has_stanza(admitted.id()) {
                return self.try_fetch(now, &admitted);
            }
            return self.on_presence(now, stream, &admitted);
        }
        let via = Carrier::Stream(stream);
        let policy = Some(admitted.grant().policy());
        self.note_interest(now, &admitted.from, &admitted.to);
        if admitted.to.local().is_none() {
            // RFC 7247 §6: the gateway itself is behind the domain's own address, and reads no mail.
            let why = "nobody reads messages to the domain itself";
            let error = StanzaError::with_text(Condition::ServiceUnavailable, why);
            return match admitted.message_type() {
                MessageType::Headline => {}
                _ => self.return_stanza(now, via, &admitted, policy, &error, why),
            };
        }
        let peer = self.settings.peer_of(admitted.to.domain());
        let text = match to_sip::translate(&admitted, &mut self.desk(now, peer)) {
            ToSip::Message(text) => text,
            ToSip::State(state) => {
                self.note_state(now, &admitted, Some(state), false);
                return self.on_wordless(now, &admitted);
            }
            ToSip::Answer(answer) => return self.on_xmpp_answer(now, &admitted, answer),
            ToSip::Nothing => return,
            ToSip::Encrypted => return self.return_encrypted(now, via, &admitted),
            ToSip::Refuse(condition, why) => {
                let error = StanzaError::with_text(condition, why);
                return self.return_stanza(now, via, &admitted, policy, &error, why);
            }
        };
        if text.body.len() > self.settings.message_size {
            let error = StanzaError::with_text(Condition::PolicyViolation, TOO_LONG);
            return self.return_stanza(now, via, &admitted, policy, &error, TOO_LONG);
        }
        let Some(peer) = peer else {
            let error = Condition::ItemNotFound.into();
            let why = "no SIP peer serves the domain";
            return self.return_stanza(now, via, &admitted, policy, &error, why);
        };
        self.note_state(now, &admitted, text.state, true);
        if self.is_for_session(now, peer, &admitted.from, &admitted.to) {
            return self.send_in_session(now, via, peer, &admitted, &text);
        }
        let asking = match text.asked.any() {
            true => self.ask_sip(now, peer, &admitted, text.asked),
            false => None,
        };
        let call_id = text.thread.as_deref().and_then(|thread| self.call_id(admitted.to.bare_str(), thread));
        let parts = Parts {
            body: &text.body,
            subject: text.subject.as_deref(),
            language: text.language.as_deref(),
            call_id: call_id.as_deref(),
            sent: text.sent,
            name: text.name.as_deref(),
            carries: if asking.is_some() { Carries::Asking } else { Carries::Text },
            envelope: asking.as_ref().and_then(|asking| asking.envelope.as_deref()),
        };
        let pager = self.build_message(&admitted.from, &admitted.to, &parts);
        let transport = self.peers.transport(peer);
        let sent = self.settings.sent(transport.unwrap_or(Transport::Tls));
        if !pager.fits(self.settings.message_limit(peer, transport), &sent) {
            // RFC 7572 §6: policy-violation of type modify.
            let error = StanzaError::with_text(Condition::PolicyViolation, TOO_LONG);
            return self.return_stanza(now, via, &admitted, policy, &error, TOO_LONG);
        }
        if self.settings.texts {
            self.effects.observe(Observation::Text {
                trace: pager.trace().to_owned(),
                direction: Direction::XmppToSip,
                from: admitted.from.clone(),
                to: admitted.to.clone(),
                text: text.body.clone().into_owned(),
            });
        }
        if let Some(asking) = asking {
            self.remember_question(now, asking, &pager);
        }
        let track = self.effects.trail.admitted(now, Some(via), pager.trace(), &admitted.crossing(), policy);
        let stanza = admitted.into_inner();
        let id = stanza.id().map(Box::from);
        let origin = Origin { from: stanza.from, to: stanza.to, id };
        let timeout = self.settings.pairs.queue_timeout;
        let load = Load::Message { pager, origin: Some(origin) };
        let mut outgoing = Outgoing::new(now.mono, peer, load, timeout);
        outgoing.track = track;
        self.send_message(now, outgoing);
    }

    /// An iq: exactly one result or error, from the address that was asked (RFC 6120 §8.2.3).
    pub(super) fn on_iq(&mut self, now: Now, iq: &Verified<Iq<'_>>) {
        if self.on_trial_pong(now, iq) {
            return;
        }
        let start = self.effects.mark();
        match iq::answer(iq, &self.iq, self.effects.buffer()) {
            iq::Answer::Written => self.send_stanza(now, (iq.to.domain(), iq.from.domain()), start),
            iq::Answer::None => {}
        }
    }

    /// A stanza with an address that is none: its sender hears so.
    pub(super) fn on_misaddressed(&mut self, now: Now, stanza: &Misaddressed) {
        let start = self.effects.mark();
        if stanza.write_error(self.effects.buffer()) {
            self.send_stanza(now, (stanza.target.as_str(), stanza.sender.as_str()), start);
        }
    }

    /// An error that comes back for a stanza of ours. Its sender has had a 2xx, so there is no response
    /// left to say it with: one notice to the SIP user for each cause, pair and hour.
    fn on_error_stanza(&mut self, now: Now, stanza: Verified<Stanza<'_>>) {
        let error = read_error(&stanza.element);
        let condition = error.condition;
        let is_ours = stanza.id().and_then(crate::ids::Id::owner_of).is_some();
        if !is_ours || self.settings.peer_of(stanza.to.domain()).is_none() {
            return;
        }
        if self.is_notified(now, &stanza) {
            return;
        }
        let trace = stanza.id().unwrap_or_default().to_owned();
        let why = error.text.as_deref().map(|text| one_line(text, 200).into_owned()).unwrap_or_default();
        let (from, to) = (stanza.to.clone(), stanza.from.clone());
        if !self.notices.may_say(now, &from, &to, condition) {
            return;
        }
        let Ok(admitted) = self.table.admit(stanza, &self.presence) else { return };
        let status = status_of(condition, &StatusContext::default()).status;
        self.effects.trail.returned(now, &trace, condition, &why);
        self.effects.observe(Observation::Failed {
            kind: Kind::Message,
            trace,
            direction: Direction::SipToXmpp,
            from,
            to,
            condition,
            status,
            why: why.clone(),
        });
        self.notify_sender(now, &admitted, condition, &why);
    }

    fn notify_sender(&mut self, now: Now, error: &Admitted<Stanza<'_>>, condition: Condition, why: &str) {
        let Some(peer) = self.settings.peer_of(error.to.domain()) else { return };
        let text = super::notice::text(&error.from, condition, why);
        let parts = Parts { body: &text, ..Parts::default() };
        let pager = self.build_message(&error.from.to_bare(), &error.to.to_bare(), &parts);
        let timeout = self.settings.pairs.queue_timeout;
        self.send_message(now, Outgoing::new(now.mono, peer, Load::Message { pager, origin: None }, timeout));
    }

    /// A MESSAGE from one of our users, its sender proven; `key` is to be answered.
    pub(super) fn on_request(&mut self, now: Now, key: ServerKey, request: Verified<Request<'_>>) {
        if let Err(over) = self.charge_request(now, &request) {
            return self.reject_request(now, key, &request.crossing(), None, &busy(&over), Fate::Limited);
        }
        match self.table.admit(request, &self.presence) {
            Ok(admitted) => {
                self.meter.allowed();
                self.bridge_to_xmpp(now, key, admitted);
            }
            Err(refusal) => {
                self.deny_request(now, key, refusal);
            }
        }
    }

    /// Charges a request to the discovered domain that it comes from, to its sender and to the partner.
    pub(super) fn charge_request(&mut self, now: Now, request: &Request<'_>) -> Result<(), OverBudget> {
        self.charge_crossing(now, &request.crossing())
    }

    /// The same for what comes from the SIP side by another way.
    pub(super) fn charge_crossing(&mut self, now: Now, crossing: &Crossing<'_>) -> Result<(), OverBudget> {
        if self.settings.is_discovered(crossing.sender.domain()) {
            self.common.discovered.charge(crossing.sender, crossing.target, now)?;
        }
        match self.table.partner(crossing.target.domain()) {
            Some(partner) => self.common.budgets.charge(crossing, partner, now),
            None => Ok(()),
        }
    }

    /// The bridge's entrance from the SIP side.
    fn bridge_to_xmpp(&mut self, now: Now, key: ServerKey, admitted: Admitted<Request<'_>>) {
        let message = admitted.message;
        let policy = Some(admitted.grant().policy());
        let (mut part, limits) = (part_of(message), self.settings.body_limits());
        let unpacked;
        if part.encoding.is_some() {
            unpacked = match body::encoding::decode(&part, limits.octets) {
                Ok(octets) => octets,
                Err(error) => {
                    let reject = super::answers::reject_body(&error);
                    return self.reject_request(
                        now,
                        key,
                        &admitted.crossing(),
                        policy,
                        &reject,
                        Fate::Failed,
                    );
                }
            };
            part.octets = &unpacked;
            part.encoding = None;
        }
        let text = match body::text_of(&part, &limits) {
            Ok(text) => text,
            Err(error) => return self.on_no_text(now, key, &admitted, &part, &error),
        };
        let expires = message.seconds(Name::Expires).and_then(Result::ok);
        let cpim = text.cpim.as_ref();
        let sent = cpim
            .and_then(|cpim| cpim.date.as_deref())
            .and_then(to_sip::time_of_stamp)
            .or_else(|| message.date().and_then(Result::ok));
        if to_xmpp::is_expired(sent, expires, now.wall) {
            let reject = Reject::status(480, "the message has expired");
            return self.reject_request(now, key, &admitted.crossing(), policy, &reject, Fate::Failed);
        }
        let subject = cpim.and_then(|cpim| cpim.subject.as_deref()).or_else(|| message.header(Name::Subject));
        if text.is_blank() && subject.is_none() {
            // Nothing to deliver is delivered.
            let peer = self.servers.value(key).and_then(|answerable| answerable.peer());
            self.count_message(Direction::SipToXmpp, admitted.target.domain(), peer, Fate::Delivered);
            return self.accept(now, key, None);
        }
        let id = self.ids.mint();
        let asked = self.ask_xmpp(
            now,
            (&admitted.sender, &admitted.target),
            Wishes { cpim, ..Wishes::default() },
            id.as_str(),
        );
        let active = self.text_shows_state(now, &admitted.sender, &admitted.target);
        let nick = self.first_name(now, &admitted);
        let start = self.effects.mark();
        let from_sip = FromSip {
            from: &admitted.sender,
            to: &admitted.target,
            id: id.as_str(),
            body: &text.plain,
            subject,
            language: text.lang,
            call_id: message.call_id(),
            sent,
            chat: false,
            beside: Beside { active, asked, nick: nick.as_deref() },
        };
        to_xmpp::write_stanza(&from_sip, now.wall, self.effects.buffer());
        if self.effects.mark() - start > self.settings.stanza_size {
            self.effects.rewind(start);
            self.forget_question(id.as_str());
            let reject = Reject::status(413, "the message is longer than the partner takes");
            return self.reject_request(now, key, &admitted.crossing(), policy, &reject, Fate::Failed);
        }
        self.talk.memory.remember(now, &admitted.sender, &admitted.target, id.as_str(), &text.plain);
        if self.settings.texts {
            self.effects.observe(Observation::Text {
                trace: id.to_string(),
                direction: Direction::SipToXmpp,
                from: admitted.sender.clone(),
                to: admitted.target.clone(),
                text: text.plain.clone().into_owned(),
            });
        }
        let via = self.via_of(key);
        let track = self.effects.trail.admitted(now, via, id.as_str(), &admitted.crossing(), policy);
        let Request { sender, target, .. } = admitted.into_inner();
        let sent =
            self.queue_stanza(now, (sender.domain(), target.domain()), start, Some(Awaits::Request(key)));
        if sent.is_ok() {
            self.effects.queued_stanza(now, track);
        }
        if let Some(answerable) = self.servers.value(key) {
            self.trials.on_bridged(answerable.link(), &id);
            answerable.crossing(now, id, track, sender, target);
        }
        if let Err(condition) = sent {
            self.bounce(now, key, condition, "no stream to the partner");
        }
    }

    /// A body without a text: a word about the conversation, or refused.
    fn on_no_text(
        &mut self,
        now: Now,
        key: ServerKey,
        request: &Request<'_>,
        part: &body::Part<'_>,
        error: &body::BodyError,
    ) {
        match signal_of(part, &self.settings.body_limits()) {
            Ok(Signal::Composing(status)) => {
                self.on_sip_typing(now, &request.sender, &request.target, status.into());
                self.respond(now, key, 202, &[]);
            }
            Ok(Signal::Keyboard(activity)) => {
                self.on_sip_typing(now, &request.sender, &request.target, activity.into());
                self.respond(now, key, 202, &[]);
            }
            Ok(Signal::Imdn(imdn)) => self.on_imdn(now, key, request, &imdn, None),
            Ok(Signal::Ignored) => self.respond(now, key, 202, &[]),
            Err(_) => {
                let reject = super::answers::reject_body(error);
                self.reject_request(now, key, &request.crossing(), None, &reject, Fate::Failed);
            }
        }
    }

    /// Sends an answer of ours, which stands in the effects since `start`, to the pair's stream. If that
    /// can't be, nobody waits for it.
    pub(super) fn send_stanza(&mut self, now: Now, pair: (&str, &str), start: usize) {
        let _ = self.queue_stanza(now, pair, start, None);
    }

    pub(super) fn queue_stanza(
        &mut self,
        now: Now,
        pair: (&str, &str),
        start: usize,
        answer: Option<Awaits>,
    ) -> Result<(), Condition> {
        let partners = super::realm::TablePartners(&self.table);
        self.pairs.send(now, pair, start, answer, &partners, &mut self.effects, &mut self.due)
    }

    /// Returns a stanza to its sender with an error, and says so in the journal.
    pub(super) fn return_stanza(
        &mut self,
        now: Now,
        via: Carrier,
        stanza: &Stanza<'_>,
        policy: Option<&Policy>,
        error: &StanzaError<'_>,
        why: &str,
    ) {
        self.return_as(now, via, stanza, policy, &Returned { error, why, fate: Fate::Failed });
    }

    fn return_as(
        &mut self,
        now: Now,
        via: Carrier,
        stanza: &Stanza<'_>,
        policy: Option<&Policy>,
        returned: &Returned<'_>,
    ) {
        let Returned { error, why, fate } = *returned;
        let status = status_of(error.condition, &StatusContext::default()).status;
        let kind = match stanza.kind {
            StanzaKind::Presence => Kind::Presence,
            StanzaKind::Message => Kind::Message,
        };
        let trace = self.ids.mint();
        let track = self.effects.trail.admitted(now, Some(via), trace.as_str(), &stanza.crossing(), policy);
        self.effects.trail.fail(now.mono, track, why, None);
        self.effects.observe(Observation::Failed {
            kind,
            trace: trace.to_string(),
            direction: Direction::XmppToSip,
            from: stanza.from.clone(),
            to: stanza.to.clone(),
            condition: error.condition,
            status,
            why: why.to_owned(),
        });
        self.count_returned(stanza, fate);
        if self.answer_stanza(now, stanza, error) {
            self.effects.trail.step(now.mono, track, What::ToldXmpp(error.condition));
        }
    }

    fn count_returned(&mut self, stanza: &Stanza<'_>, fate: Fate) {
        if stanza.kind == StanzaKind::Message {
            let peer = self.settings.peer_of(stanza.to.domain());
            self.count_message(Direction::XmppToSip, stanza.from.domain(), peer, fate);
            self.counts.failed[1] += 1;
        }
    }

    /// Answers a stanza with an error, if it is one that is answered: presence only if it asks for
    /// something, never an error (RFC 6120 §8.3.1). Was it?
    pub(super) fn answer_stanza(&mut self, now: Now, stanza: &Stanza<'_>, error: &StanzaError<'_>) -> bool {
        if self.on_trial_returned(now, stanza, error) {
            return false;
        }
        let asks = match stanza.kind {
            StanzaKind::Message => stanza.message_type() != MessageType::Headline,
            StanzaKind::Presence => stanza.presence_type() == Some(PresenceType::Subscribe),
        };
        let start = self.effects.mark();
        let is_told = asks && write_error(self.effects.buffer(), &stanza.answered(), error);
        if is_told {
            self.send_stanza(now, (stanza.to.domain(), stanza.from.domain()), start);
        }
        is_told
    }

    /// The Call-ID for a message of `thread`: the thread itself the first time, then new ones.
    pub(super) fn call_id(&mut self, target: &str, thread: &str) -> Option<String> {
        if self.threads.is_first(target, thread) {
            return to_sip::call_id_of_thread(thread, None);
        }
        let again = self.ids.mint();
        to_sip::call_id_of_thread(thread, Some(again.as_str()))
    }

    pub(super) fn build_message(&mut self, from: &Jid, to: &Jid, parts: &Parts<'_>) -> Pager {
        self.next_cseq = (self.next_cseq + 1) & 0x7fff_ffff;
        Pager::build(from, to, parts, self.next_cseq, &self.guard, &mut self.ids)
    }
}

/// With what a stanza goes back.
struct Returned<'a> {
    error: &'a StanzaError<'a>,
    why: &'a str,
    fate: Fate,
}

/// The answer to a request that is over a budget.
pub(super) fn busy(over: &OverBudget) -> Reject {
    let seconds = over.retry_after.as_secs().saturating_add(1);
    Reject::busy(u32::try_from(seconds).unwrap_or(u32::MAX))
}

/// What the headers of `message` say about its body.
pub(super) fn part_of<'m>(message: &Message<'m>) -> body::Part<'m> {
    body::Part {
        content_type: message.header(Name::ContentType),
        encoding: message.header(Name::ContentEncoding),
        disposition: message.header(Name::ContentDisposition),
        language: message.header(Name::ContentLanguage),
        transfer: message.header_spelt("Content-Transfer-Encoding"),
        octets: message.body,
    }
}
