//! What SIP users send in a dialog: texts, words about typing, changes of the session, and its end.

use super::SessionRef;
use super::journal::UNUSABLE;
use super::table::Described;
use crate::body::cpim::Cpim;
use crate::body::mime::MediaType;
use crate::body::sdp::{self, Description, Kind};
use crate::body::signal::{Signal, signal_of};
use crate::body::{BodyError, text_of};
use crate::bridge::session::Input;
use crate::bridge::to_sip::time_of_stamp;
use crate::bridge::to_xmpp::{self, Beside, FromSip};
use crate::crossing::{Crosses, Direction, Verified};
use crate::gateway::Gateway;
use crate::gateway::answers::reject_body;
use crate::gateway::crossings::{busy, part_of};
use crate::gateway::meter::Fate;
use crate::gateway::observe::Observation;
use crate::gateway::pairs::Awaits;
use crate::gateway::talk::Wishes;
use crate::now::Now;
use crate::policy::Admitted;
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::name::Name;
use crate::sip::session::{Acked, InDialog, Leave};
use crate::sip::txn::ServerKey;
use crate::sip::uas::{Reject, Request};

/// The types of a MESSAGE or INFO that say whether somebody types.
const TYPING: [(&str, &str, Typing); 2] =
    [("application", "im-iscomposing+xml", Typing::IsComposing), ("application", "xml", Typing::Keyboard)];

/// How a word about typing is spelt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Typing {
    /// `isComposing` (RFC 3994).
    IsComposing,
    /// Microsoft's `KeyboardActivity`.
    Keyboard,
}

/// A text, and what goes with it.
pub(super) struct Words<'a> {
    pub(super) text: &'a str,
    pub(super) subject: Option<&'a str>,
    pub(super) language: Option<&'a str>,
    /// Its envelope.
    pub(super) cpim: Option<&'a Cpim<'a>>,
}

impl Gateway {
    /// A MESSAGE, INFO, BYE, UPDATE or INVITE in a dialog, its sender proven; `key` is to be answered.
    pub(in crate::gateway) fn on_session_request(
        &mut self,
        now: Now,
        key: ServerKey,
        request: Verified<Request<'_>>,
    ) {
        let message = request.message;
        let Some(session) = self.session_of(&request) else {
            return self.reject(now, key, &Reject::status(481, "no such dialog"));
        };
        // Whoever leaves may leave.
        if message.method() == Some(Method::Bye) {
            return self.on_bye(now, key, session, message);
        }
        if let Err(over) = self.charge_request(now, &request) {
            return self.reject_request(now, key, &request.crossing(), None, &busy(&over), Fate::Limited);
        }
        let admitted = match self.table.admit(request, &self.presence) {
            Ok(admitted) => {
                self.meter.allowed();
                admitted
            }
            Err(refusal) => {
                self.deny_request(now, key, refusal);
                return self.revoke_session(now, session);
            }
        };
        let Some(found) = self.sessions.table.get_mut(session) else { return };
        let is_taken = match found.dialog.on_request(message, &mut self.ids) {
            Ok(InDialog::Text) => self.on_text(now, key, session, &admitted),
            Ok(InDialog::Info) => match typing_of(message) {
                Some(typing) => self.take_typing(now, key, session, typing, message.body),
                None => {
                    let reject = Reject::status(415, "the INFO is about nothing that is known");
                    Err(reject.with(Name::Accept, "application/xml"))
                }
            },
            Ok(InDialog::Refresh) => self.on_change(now, key, session, message),
            Ok(InDialog::Bye) => Ok(()),
            Err(reject) => Err(reject),
        };
        if let Err(reject) = is_taken {
            self.reject(now, key, &reject);
        }
        self.arm_session(session);
    }

    /// The session that a request is in, by its pair and its dialog.
    fn session_of(&self, request: &Request<'_>) -> Option<SessionRef> {
        let (call_id, tag) = (request.message.call_id(), request.message.to().tag);
        let table = &self.sessions.table;
        let is_its = |name: &SessionRef| table.get(*name).is_some_and(|found| found.dialog.is(call_id, tag));
        table.of_pair(&request.sender, &request.target).find(is_its)
    }

    fn on_bye(&mut self, now: Now, key: ServerKey, session: SessionRef, message: &Message<'_>) {
        let Some(found) = self.sessions.table.get_mut(session) else { return };
        match found.dialog.on_request(message, &mut self.ids) {
            Ok(_) => {
                let unanswered = found.invite.take();
                self.respond(now, key, 200, &[]);
                if let Some(invite) = unanswered {
                    self.turn_down(now, invite, 487, &[]);
                }
                self.tell_gone(now, session);
                let waits = self.sessions.table.get(session).is_some_and(|found| !found.dialog.is_over());
                match waits {
                    // Our INVITE, which has no answer yet.
                    true => self.cancel_invite(now, session),
                    false => self.drive_session(now, session, Input::Bye),
                }
            }
            Err(reject) => self.reject(now, key, &reject),
        }
    }

    /// An ACK in a dialog, its sender proven: of a 2xx, or a stray one. It is never answered.
    pub(in crate::gateway) fn on_session_ack(&mut self, now: Now, ack: Verified<Request<'_>>) {
        let Some(session) = self.session_of(&ack) else { return };
        let Some(found) = self.sessions.table.get_mut(session) else { return };
        let peer = found.peer;
        let acked = found.dialog.on_ack(ack.message);
        if matches!(acked, Acked::Nothing) {
            return;
        }
        if let Some(key) = found.accepted.take() {
            self.servers.acknowledged(key);
        }
        let wants_answer = std::mem::take(&mut found.expects_answer);
        match acked {
            Acked::Bye(bye) => self.send_of_session(now, session, peer, bye, super::What::Bye),
            Acked::Confirmed if wants_answer && !self.is_usable(now, session, ack.message) => {
                // RFC 3264: it has not taken what was offered.
                let Some(found) = self.sessions.table.get_mut(session) else { return };
                found.ends(UNUSABLE);
                if let Leave::Bye(bye) = found.dialog.end() {
                    self.send_of_session(now, session, peer, bye, super::What::Bye);
                }
                self.sessions.later(session, Input::Bye);
            }
            Acked::Confirmed | Acked::Nothing => {}
        }
        self.arm_session(session);
    }

    /// A text in a dialog.
    fn on_text(
        &mut self,
        now: Now,
        key: ServerKey,
        session: SessionRef,
        admitted: &Admitted<Request<'_>>,
    ) -> Result<(), Reject> {
        let message = admitted.message;
        if typing_of(message) == Some(Typing::IsComposing) {
            return self.take_typing(now, key, session, Typing::IsComposing, message.body);
        }
        let text = match text_of(&part_of(message), &self.settings.body_limits()) {
            Ok(text) => text,
            Err(error) => return self.on_no_text_inside(now, key, session, admitted, &error),
        };
        let is_copy = match self.sessions.table.get_mut(session) {
            Some(found) => found.machine.is_again(now.mono, &text.plain),
            None => false,
        };
        let cpim = text.cpim.as_ref();
        let subject = cpim.and_then(|cpim| cpim.subject.as_deref()).or_else(|| message.header(Name::Subject));
        if is_copy || (text.is_blank() && subject.is_none()) {
            // It is delivered already, or there is nothing to deliver.
            self.respond(now, key, 200, &[]);
            self.drive_session(now, session, Input::Heard);
            return Ok(());
        }
        if let Some(answerable) = self.servers.value(key) {
            answerable.session = Some(session);
        }
        self.deliver_text(
            now,
            key,
            session,
            admitted,
            &Words { text: &text.plain, subject, language: text.lang, cpim },
        )
    }

    /// A body in a dialog without a text: a notification, a word about typing in an envelope, or refused.
    fn on_no_text_inside(
        &mut self,
        now: Now,
        key: ServerKey,
        session: SessionRef,
        request: &Request<'_>,
        error: &BodyError,
    ) -> Result<(), Reject> {
        let heard = match signal_of(&part_of(request.message), &self.settings.body_limits()) {
            Ok(Signal::Imdn(imdn)) => {
                self.on_imdn(now, key, request, &imdn, Some(session));
                return Ok(());
            }
            Ok(Signal::Composing(status)) => Some(status.into()),
            Ok(Signal::Keyboard(activity)) => Some(activity.into()),
            Ok(Signal::Ignored) => None,
            Err(_) if error.accept().is_some() => {
                let reject = Reject::status(415, "the body is not what crosses");
                return Err(reject.with(Name::Accept, super::texts::ACCEPT.join(", ")));
            }
            Err(_) => return Err(reject_body(error)),
        };
        self.respond(now, key, 200, &[]);
        self.drive_session(now, session, Input::Heard);
        if let Some(heard) = heard {
            self.on_sip_typing(now, &request.sender, &request.target, heard);
        }
        Ok(())
    }

    /// Writes a text as a stanza. The request of `key` is answered when that is written, or bounces.
    ///
    /// # Errors
    /// What answers the request instead; nothing was written.
    pub(super) fn deliver_text(
        &mut self,
        now: Now,
        key: ServerKey,
        session: SessionRef,
        admitted: &Admitted<Request<'_>>,
        words: &Words<'_>,
    ) -> Result<(), Reject> {
        let Words { text, subject, language, cpim } = *words;
        let Some(found) = self.sessions.table.get(session) else {
            return Err(Reject::status(481, "no such dialog"));
        };
        let (contact, message) = (found.contact.clone(), admitted.message);
        let sent = cpim.and_then(|cpim| cpim.date.as_deref()).and_then(time_of_stamp);
        let sent = sent.or_else(|| message.date().and_then(Result::ok));
        let id = self.ids.mint();
        let active = self.text_shows_state(now, &admitted.sender, &contact);
        let wishes = Wishes { cpim, report: false, session: Some(session) };
        let asked = self.ask_xmpp(now, (&admitted.sender, &contact), wishes, id.as_str());
        let nick = self.first_name(now, admitted);
        self.talk.memory.remember(now, &admitted.sender, &contact, id.as_str(), text);
        let start = self.effects.mark();
        let from_sip = FromSip {
            from: &admitted.sender,
            to: &contact,
            id: id.as_str(),
            body: text,
            subject,
            language,
            call_id: message.call_id(),
            sent,
            chat: true,
            beside: Beside { active, asked, nick: nick.as_deref() },
        };
        to_xmpp::write_stanza(&from_sip, now.wall, self.effects.buffer());
        if self.effects.mark() - start > self.settings.stanza_size {
            self.effects.rewind(start);
            self.forget_question(id.as_str());
            return Err(Reject::status(413, "the message is longer than the partner takes"));
        }
        if self.settings.texts {
            self.effects.observe(Observation::Text {
                trace: id.to_string(),
                direction: Direction::SipToXmpp,
                from: admitted.sender.clone(),
                to: contact.clone(),
                text: text.to_owned(),
            });
        }
        let (via, policy) = (self.via_of(key), Some(admitted.grant().policy()));
        let track = self.effects.trail.admitted(now, via, id.as_str(), &admitted.crossing(), policy);
        let pair = (admitted.sender.domain(), contact.domain());
        let sent = self.queue_stanza(now, pair, start, Some(Awaits::Request(key)));
        self.effects.queued_stanza(now, track);
        if let Some(answerable) = self.servers.value(key) {
            answerable.crossing(now, id, track, admitted.sender.clone(), contact);
        }
        if let Err(condition) = sent {
            self.bounce(now, key, condition, "no stream to the partner");
        }
        Ok(())
    }

    /// Somebody types, or has stopped.
    fn take_typing(
        &mut self,
        now: Now,
        key: ServerKey,
        session: SessionRef,
        typing: Typing,
        document: &[u8],
    ) -> Result<(), Reject> {
        self.respond(now, key, 200, &[]);
        self.drive_session(now, session, Input::Heard);
        self.on_typing(now, session, typing, document);
        Ok(())
    }

    /// A re-INVITE or UPDATE: the conversation goes on as it is, or as it was.
    fn on_change(
        &mut self,
        now: Now,
        key: ServerKey,
        session: SessionRef,
        message: &Message<'_>,
    ) -> Result<(), Reject> {
        let is_invite = message.method() == Some(Method::Invite);
        let found = self.sessions.table.get(session);
        let mut description = found.map_or_else(Described::default, |found| found.description);
        let answer = match message.body {
            [] if !is_invite => Vec::new(),
            _ => {
                let asked = self.read_offer(message, Some(session))?;
                if adds_other_media(message) {
                    // RFC 3261 §14.2: the session stays as it was.
                    return Err(Reject::status(488, "texts only: audio, video and files do not cross"));
                }
                let msrp = self.sessions.table.get(session).and_then(|found| found.msrp.as_ref());
                let mut answer = self.answer_to(&asked, description, msrp);
                if let Some(next) = description.next(&answer) {
                    description = next;
                    answer = self.answer_to(&asked, description, msrp);
                    description.says(&answer);
                }
                answer
            }
        };
        let contact = self.contact_of(key);
        let Some(found) = self.sessions.table.get_mut(session) else { return Ok(()) };
        let headers = found.dialog.accept_refresh(now.mono, message, &contact, sdp::CONTENT_TYPE, &answer)?;
        found.description = description;
        if is_invite {
            found.accepted = Some(key);
            found.expects_answer = message.body.is_empty();
        }
        let headers: Vec<(Name, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = (!answer.is_empty()).then_some((sdp::CONTENT_TYPE, answer.as_slice()));
        self.respond_with(now, key, 200, &headers, body);
        Ok(())
    }
}

/// How a request spells a word about typing, if it is one.
fn typing_of(message: &Message<'_>) -> Option<Typing> {
    let media = message.header(Name::ContentType).and_then(MediaType::parse)?;
    TYPING.iter().find(|(main, sub, _)| media.is(main, sub)).map(|(_, _, typing)| *typing)
}

/// Does a change offer something beside texts that is not refused?
fn adds_other_media(message: &Message<'_>) -> bool {
    Description::parse(message.body)
        .is_ok_and(|offer| offer.media().any(|medium| medium.kind == Kind::Other && medium.port != 0))
}
