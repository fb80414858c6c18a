//! Sessions whose texts go by MSRP (RFC 7573 §5): descriptions, and texts both ways.
//!
//! The dialog and the machine are the same as of every session; what differs is here. A text of the contact is an
//! MSRP message instead of a MESSAGE in the dialog, and is delivered when the peer has answered it. A text of the
//! SIP user is judged by the gate like every other one, and answered when its stanza is written.
//!
//! Who its sender is was proven by the dialog: the session-id of our URI was told to nobody else (RFC 4975 §14.1).

use super::SessionRef;
use super::table::{Described, MsrpSession, Takes};
use crate::addr::{Jid, map};
use crate::body::cpim;
use crate::body::cpim::Notify;
use crate::body::cpim::write::{Envelope, TYPE as CPIM};
use crate::body::mime::MediaType;
use crate::body::sdp::{Description, Fingerprint, Kind, Media, Ours, Setup, Way};
use crate::body::signal::{Signal, signal_of};
use crate::body::{Part, Text, text_of};
use crate::bridge::errors::{condition_of_msrp, msrp_status_of};
use crate::bridge::session::{Failure, Fate, Input, Ticket};
use crate::bridge::to_xmpp::{self, Beside, FromSip};
use crate::crossing::{Crossing, Direction, Kind as Crossed};
use crate::gateway::Gateway;
use crate::gateway::effect::PeerId;
use crate::gateway::meter::Fate as Counted;
use crate::gateway::msrp::Waiting;
use crate::gateway::observe::Observation;
use crate::gateway::pairs::Awaits;
use crate::gateway::settings::Im;
use crate::gateway::talk::{Waits, Wishes};
use crate::gateway::trail::What;
use crate::ids::Id;
use crate::msrp::{Connects, Event, MessageId, MsrpUri, Outgoing, Peer, Receipt, SendError, SessionId};
use crate::now::Now;
use crate::policy::Policy;
use crate::sip::session::Leave;
use crate::xmpp::error::Condition;
use std::collections::{BTreeMap, VecDeque};

/// What we take by MSRP, as our descriptions say. An endpoint takes multipart whatever it says
/// (RFC 4975 §7.3.1).
pub(super) const ACCEPT: &[&str] = &[
    "message/cpim",
    "text/plain",
    "text/html",
    "multipart/alternative",
    "multipart/mixed",
    "application/im-iscomposing+xml",
    "message/imdn+xml",
];
/// The types that we take inside `message/cpim`.
const ACCEPT_WRAPPED: &[&str] = &["text/plain", "text/html", "message/imdn+xml"];
/// The type of our texts.
const TEXT: &str = "text/plain;charset=UTF-8";

/// What of ours the peer of `media` takes; `None` if no texts. One that does not say takes all.
fn takes(media: &Media) -> Option<Takes> {
    let typing = media.takes("application/im-iscomposing+xml");
    match () {
        () if media.accept.is_empty() => Some(Takes { wrapped: false, typing: true }),
        () if media.takes("text/plain") => Some(Takes { wrapped: false, typing }),
        () if media.takes_in_cpim("text/plain") => Some(Takes { wrapped: true, typing }),
        () => None,
    }
}

fn uri(jid: &Jid) -> String {
    let mut out = Vec::new();
    map::uri_from_jid(&jid.to_bare(), &mut out);
    String::from_utf8(out).unwrap_or_default()
}

impl Gateway {
    /// The kind of MSRP that we speak, if we do with `peer`: what we listen for, or what it is set to.
    pub(super) fn msrp_kind(&self, peer: PeerId) -> Option<Kind> {
        let on = self.settings.msrp.port.is_some() || self.settings.im(peer) == Im::Msrp;
        on.then_some(if self.settings.msrp.tls { Kind::MsrpTls } else { Kind::Msrp })
    }

    /// What is chosen of an offer: texts in the dialog if they can be had, else MSRP, unless the peer is set to
    /// that. `None`: nothing can be used.
    pub(super) fn choose(&self, offer: &Description, peer: PeerId) -> Option<Media> {
        let in_dialog = || offer.usable(Kind::Sip);
        let msrp = || {
            let media = offer.usable(self.msrp_kind(peer)?)?;
            takes(&media)?;
            self.answer_setup(media.setup).is_some().then_some(media)
        };
        match self.settings.im(peer) {
            Im::Msrp => msrp().or_else(in_dialog),
            Im::Auto | Im::Pager | Im::MsSession => in_dialog().or_else(msrp),
        }
    }

    /// Who connects, as our answer says: the peer if it can and we listen (RFC 6135 §4.2.2). `None`: nobody can.
    fn answer_setup(&self, offered: Option<Setup>) -> Option<Setup> {
        let listens = self.settings.msrp.port.is_some();
        match offered {
            // RFC 4975 §5.4: who offers connects.
            None | Some(Setup::Active) => listens.then_some(Setup::Passive),
            Some(Setup::ActPass) if listens => Some(Setup::Passive),
            Some(Setup::ActPass | Setup::Passive) => Some(Setup::Active),
        }
    }

    /// Opens the MSRP half of a session that we offer.
    pub(super) fn open_offered(&mut self, now: Now) -> Option<MsrpSession> {
        // RFC 6135 §4.2.2: who can be reached says so.
        let setup = if self.settings.msrp.port.is_some() { Setup::ActPass } else { Setup::Active };
        self.open_msrp(now, setup)
    }

    fn open_msrp(&mut self, now: Now, setup: Setup) -> Option<MsrpSession> {
        let tls = self.settings.msrp.tls;
        let id = self.msrp.switch.open(now, &mut self.ids, tls, ACCEPT)?;
        Some(MsrpSession {
            id,
            setup,
            in_air: BTreeMap::new(),
            sent: VecDeque::new(),
            arrived: VecDeque::new(),
            takes: Takes::default(),
        })
    }

    /// Opens the MSRP half of a session that was offered, and starts it.
    pub(super) fn open_answering(&mut self, now: Now, media: &Media, near: &str) -> Option<MsrpSession> {
        let (setup, takes) = (self.answer_setup(media.setup)?, takes(media)?);
        let mut session = self.open_msrp(now, setup)?;
        session.takes = takes;
        let connects = if setup == Setup::Passive { Connects::Them } else { Connects::Us };
        self.start_msrp(now, session.id, media, connects, near).then_some(session)
    }

    /// Our offer has its answer: true if texts can go now.
    pub(super) fn msrp_answered(&mut self, now: Now, session: SessionRef, answer: &Description) -> bool {
        let kind = if self.settings.msrp.tls { Kind::MsrpTls } else { Kind::Msrp };
        let Some(found) = self.sessions.table.get_mut(session) else { return false };
        let (Some(msrp), near) = (&mut found.msrp, found.user.domain().to_owned()) else { return false };
        let (id, ours) = (msrp.id, msrp.setup);
        let Some(media) = answer.usable(kind) else { return false };
        let takes_cpim = media.takes(cpim::write::TYPE);
        let Some(takes) = takes(&media) else { return false };
        msrp.takes = takes;
        found.takes_cpim = takes_cpim;
        let connects = match (ours, media.setup) {
            (Setup::ActPass, Some(Setup::Active)) => Connects::Them,
            // Without a word the offerer connects (RFC 4975 §5.4).
            _ => Connects::Us,
        };
        self.start_msrp(now, id, &media, connects, &near)
    }

    fn start_msrp(&mut self, now: Now, id: SessionId, media: &Media, connects: Connects, near: &str) -> bool {
        let path: Result<Vec<_>, _> = media.path.iter().map(|uri| MsrpUri::parse(uri)).collect();
        let Ok(path) = path else { return false };
        let print = |print: &Fingerprint| crate::msrp::Fingerprint {
            hash: print.hash_func.as_str().into(),
            octets: print.fingerprint.clone(),
        };
        let peer = Peer {
            path,
            connects,
            fingerprints: media.fingerprints.iter().map(print).collect(),
            max_size: media.max_size,
            near: near.to_owned(),
        };
        self.msrp.switch.start(now, &mut self.ids, id, peer).is_ok()
    }

    /// A description of ours for a session over MSRP.
    pub(super) fn describe_msrp<'a>(
        &'a self,
        description: Described,
        msrp: &'a MsrpSession,
    ) -> Option<Ours<'a>> {
        let uri = self.msrp.switch.uri(msrp.id)?;
        let settings = &self.settings.msrp;
        let way = Way::Msrp {
            tls: settings.tls,
            port: uri.port().unwrap_or(9),
            path: uri.as_str(),
            setup: msrp.setup,
            accept_wrapped: ACCEPT_WRAPPED,
            max_size: settings.message_max as u64,
            fingerprint: None,
        };
        let Described { session, version, .. } = description;
        Some(Ours { host: &settings.host, session, version, accept: ACCEPT, way })
    }

    /// A text, as an MSRP message.
    pub(super) fn send_by_msrp(&mut self, now: Now, session: SessionRef, ticket: Ticket) {
        if !self.may_write(session) {
            let failure = Failure::new(Condition::Forbidden, 403, crate::gateway::outgoing::NO_LONGER);
            return self.sessions.later(session, Input::Answered(ticket, Fate::Refused(failure)));
        }
        let wrapped = self.wrapped(now, (session, ticket));
        let Some(found) = self.sessions.table.get_mut(session) else { return };
        let (Some(text), Some(msrp)) = (found.machine.in_air(ticket), &mut found.msrp) else { return };
        let report = text.asking.as_ref().is_some_and(|asking| asking.question.notifications.delivery);
        let (content_type, octets) = match msrp.takes.wrapped {
            false => (TEXT, text.body.as_bytes().to_vec()),
            true => {
                let message_id = self.ids.mint();
                let stamp = to_xmpp::stamp(text.sent.unwrap_or(now.wall));
                let envelope = Envelope {
                    from: &uri(&found.contact),
                    to: &uri(&found.user),
                    date: &stamp,
                    subject: text.subject.as_deref(),
                    message_id: message_id.as_str(),
                    notify: Notify::default(),
                    content_type: TEXT,
                    disposition: None,
                };
                (CPIM, (envelope.write() + &text.body).into_bytes())
            }
        };
        let plain = Outgoing { again: None, content_type: content_type.to_owned(), octets, report };
        // One id, whichever way it is answered.
        let wrapped = wrapped.map(|(id, octets)| {
            let content_type = cpim::write::TYPE.to_owned();
            Outgoing { again: Some(id), content_type, octets, report }
        });
        let mut is_wrapped = wrapped.is_some();
        let mut sent = match wrapped {
            Some(wrapped) => self.msrp.switch.send(now, &mut self.ids, msrp.id, wrapped),
            None => Err(SendError::TooLarge),
        };
        if sent == Err(SendError::TooLarge) {
            is_wrapped = false;
            sent = self.msrp.switch.send(now, &mut self.ids, msrp.id, plain);
        }
        match sent {
            Ok(name) => {
                msrp.in_air.insert(name, ticket);
                self.ask_in_session(now, (session, ticket), Some(name), is_wrapped);
            }
            Err(error) => {
                use SendError::{Full, Gone, TooLarge, Type};
                let (condition, status) = match error {
                    Gone => (Condition::RecipientUnavailable, 480),
                    TooLarge => (Condition::PolicyViolation, 413),
                    Full | Type => (Condition::ResourceConstraint, 503),
                };
                let failure = Failure::new(condition, status, error.to_string());
                let fate = if error == Gone { Fate::NoDialog(failure) } else { Fate::Refused(failure) };
                self.sessions.later(session, Input::Answered(ticket, fate));
            }
        }
    }

    fn may_write(&self, session: SessionRef) -> bool {
        self.sessions.table.get(session).is_some_and(|found| {
            let (sender, target) = (&found.contact, &found.user);
            let (direction, kind) = (Direction::XmppToSip, Crossed::Message);
            self.judge(&Crossing { sender, target, direction, kind }).is_ok()
        })
    }

    /// What the switch heard of a session.
    pub(in crate::gateway) fn on_msrp_event(&mut self, now: Now, event: Event) {
        let Some(session) = self.msrp.of.get(&event.session()).copied() else {
            return self.on_stray(now, event);
        };
        match event {
            Event::Up { .. } => {}
            Event::Reported { message, status, .. } => self.on_report(now, session, message, status),
            Event::Sent { message, .. } => {
                if let Some(ticket) = self.landed(session, message) {
                    self.keep_for_failure((session, ticket), message);
                    let text =
                        self.sessions.table.get(session).and_then(|found| found.machine.in_air(ticket));
                    if let Some(text) = text {
                        self.effects.trail.step(now.mono, text.track, What::Answered(200));
                    }
                    self.sessions.later(session, Input::Answered(ticket, Fate::Delivered));
                }
            }
            Event::Failed { message, status, .. } => {
                if let Some(ticket) = self.landed(session, message) {
                    if self.goes_unwrapped((session, ticket), status) {
                        return self.send_by_msrp(now, session, ticket);
                    }
                    let why = format!("the SIP side answered {status} by MSRP");
                    let failure = Failure::new(condition_of_msrp(status), status, why);
                    let fate = match status {
                        481 | 506 => Fate::NoDialog(failure),
                        _ => Fate::Refused(failure),
                    };
                    self.sessions.later(session, Input::Answered(ticket, fate));
                }
            }
            Event::Message { receipt, content_type, octets, .. } => {
                if let Err(condition) = self.take_msrp(now, session, &receipt, &content_type, &octets) {
                    self.msrp.switch.answer(now, &mut self.ids, &receipt, msrp_status_of(condition));
                }
            }
            Event::Down { why, .. } => {
                self.session_ends(session, why.to_string());
                self.end_dialog(now, session);
            }
        }
    }

    /// A session that is over has heard something: a text that came last is answered all the same.
    fn on_stray(&mut self, now: Now, event: Event) {
        if let Event::Message { receipt, .. } = event {
            self.msrp.switch.answer(now, &mut self.ids, &receipt, 408);
        }
    }

    /// A message of ours has its answer: the text that it was, if it was one.
    fn landed(&mut self, session: SessionRef, message: MessageId) -> Option<Ticket> {
        self.sessions.table.get_mut(session)?.msrp.as_mut()?.in_air.remove(&message)
    }

    /// The connection is gone, and so is the session: BYE, now, because what waited goes to the next session.
    fn end_dialog(&mut self, now: Now, session: SessionRef) {
        let Some(found) = self.sessions.table.get_mut(session) else { return };
        let peer = found.peer;
        match found.dialog.end() {
            Leave::Bye(bye) => self.send_of_session(now, session, peer, bye, super::What::Other),
            Leave::Cancel => self.cancel_invite(now, session),
            Leave::TurnDown => {
                if let Some(key) = found.invite.take() {
                    self.turn_down(now, key, 480, &[]);
                }
            }
            Leave::Wait | Leave::Nothing => {}
        }
        self.sessions.later(session, Input::Bye);
    }

    /// A whole message of the SIP user. Its answer waits for the stanza.
    ///
    /// # Errors
    /// What answers it instead; nothing was written.
    fn take_msrp(
        &mut self,
        now: Now,
        session: SessionRef,
        receipt: &Receipt,
        content_type: &str,
        octets: &[u8],
    ) -> Result<(), Condition> {
        let Some(found) = self.sessions.table.get(session) else {
            return Err(Condition::RecipientUnavailable);
        };
        let (user, contact) = (found.user.clone(), found.contact.clone());
        let crossing = Crossing {
            sender: &user,
            target: &contact,
            direction: Direction::SipToXmpp,
            kind: Crossed::Message,
        };
        let peer = Some(found.peer);
        if self.charge_crossing(now, &crossing).is_err() {
            self.count_message(Direction::SipToXmpp, contact.domain(), peer, Counted::Limited);
            return Err(Condition::ResourceConstraint);
        }
        let grant = match self.judge(&crossing) {
            Ok(grant) => {
                self.meter.allowed();
                grant
            }
            Err(denial) => {
                self.meter.denied(denial.reason);
                self.count_message(Direction::SipToXmpp, contact.domain(), peer, Counted::Denied);
                self.observe_denied(now, None, &crossing, denial);
                self.revoke_session(now, session);
                return Err(Condition::Forbidden);
            }
        };
        if MediaType::parse(content_type).is_some_and(|media| media.is("application", "im-iscomposing+xml")) {
            self.msrp.switch.answer(now, &mut self.ids, receipt, 200);
            self.drive_session(now, session, Input::Heard);
            self.on_typing(now, session, super::inside::Typing::IsComposing, octets);
            return Ok(());
        }
        let part = Part { content_type: Some(content_type), octets, ..Part::default() };
        match text_of(&part, &self.settings.body_limits()) {
            Ok(text) => self.take_msrp_text(now, session, receipt, &crossing, grant.policy(), &text),
            Err(_) => self.take_msrp_signal(now, session, receipt, (&user, &contact), &part),
        }
    }

    /// What is no text: a notification, or a word about typing in an envelope.
    fn take_msrp_signal(
        &mut self,
        now: Now,
        session: SessionRef,
        receipt: &Receipt,
        (user, contact): (&Jid, &Jid),
        part: &Part<'_>,
    ) -> Result<(), Condition> {
        let signal = signal_of(part, &self.settings.body_limits()).map_err(|_| Condition::NotAcceptable)?;
        match signal {
            Signal::Imdn(imdn) => {
                let waits = Waits::Msrp(receipt.clone(), session);
                if self.hear_imdn(now, (user, contact), &imdn, waits) {
                    return Ok(());
                }
            }
            Signal::Composing(status) => self.on_sip_typing(now, user, contact, status.into()),
            Signal::Keyboard(activity) => self.on_sip_typing(now, user, contact, activity.into()),
            Signal::Ignored => {}
        }
        self.msrp.switch.answer(now, &mut self.ids, receipt, 200);
        self.drive_session(now, session, Input::Heard);
        Ok(())
    }

    fn take_msrp_text(
        &mut self,
        now: Now,
        session: SessionRef,
        receipt: &Receipt,
        crossing: &Crossing<'_>,
        policy: &Policy,
        text: &Text<'_>,
    ) -> Result<(), Condition> {
        let (user, contact) = (crossing.sender, crossing.target);
        let subject = text.cpim.as_ref().and_then(|cpim| cpim.subject.as_deref());
        if text.is_blank() && subject.is_none() {
            self.msrp.switch.answer(now, &mut self.ids, receipt, 200);
            self.drive_session(now, session, Input::Heard);
            return Ok(());
        }
        let sent = text.cpim.as_ref().and_then(|cpim| cpim.date.as_deref());
        let sent = sent.and_then(crate::bridge::to_sip::time_of_stamp);
        let Some(found) = self.sessions.table.get(session) else {
            return Err(Condition::RecipientUnavailable);
        };
        let call_id = found.dialog.dialog().call_id().to_owned();
        let id = self.ids.mint();
        let active = self.text_shows_state(now, user, contact);
        let wishes =
            Wishes { cpim: text.cpim.as_ref(), report: receipt.wants_success(), session: Some(session) };
        let asked = self.ask_xmpp(now, (user, contact), wishes, id.as_str());
        self.talk.memory.remember(now, user, contact, id.as_str(), &text.plain);
        let start = self.effects.mark();
        let from_sip = FromSip {
            from: user,
            to: contact,
            id: id.as_str(),
            body: &text.plain,
            subject,
            language: text.lang,
            call_id: &call_id,
            sent,
            chat: true,
            beside: Beside { active, asked, ..Beside::default() },
        };
        to_xmpp::write_stanza(&from_sip, now.wall, self.effects.buffer());
        if self.effects.mark() - start > self.settings.stanza_size {
            self.effects.rewind(start);
            self.forget_question(id.as_str());
            return Err(Condition::PolicyViolation);
        }
        if self.settings.texts {
            self.effects.observe(Observation::Text {
                trace: id.to_string(),
                direction: Direction::SipToXmpp,
                from: user.clone(),
                to: contact.clone(),
                text: text.plain.clone().into_owned(),
            });
        }
        let track = self.effects.trail.admitted(now, None, id.as_str(), crossing, Some(policy));
        let waiting = Waiting {
            receipt: receipt.clone(),
            session,
            trace: id,
            came: now.mono,
            track,
            from: user.clone(),
            to: contact.clone(),
        };
        let ticket = self.msrp.wait(waiting);
        let pair = (user.domain(), contact.domain());
        if let Err(condition) = self.queue_stanza(now, pair, start, Some(Awaits::Msrp(ticket))) {
            self.on_msrp_bounced(now, ticket, condition, "no stream to the partner");
        }
        Ok(())
    }

    /// A text of the SIP user is with the contact's server, as the stanza `id`.
    pub(in crate::gateway) fn msrp_text_arrived(
        &mut self,
        now: Now,
        session: SessionRef,
        id: Id,
        receipt: Receipt,
    ) {
        self.keep_receipt(session, id, receipt);
        if let Some(found) = self.sessions.table.get_mut(session) {
            found.delivered[0] = found.delivered[0].saturating_add(1);
            self.drive_session(now, session, Input::Heard);
        }
    }

    /// The MSRP half of a session that is over.
    pub(super) fn close_msrp(&mut self, now: Now, id: SessionId) {
        self.msrp.of.remove(&id);
        self.msrp.switch.close(now, &mut self.ids, id);
    }
}
