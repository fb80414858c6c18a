//! INVITEs of SIP users, and our answers.
//!
//! ```text
//! INVITE ─▶ checks, the gate ─┬─ no text in it ───────────────▶ 200 ─▶ ACK
//!                             └─ ms-text-format ─▶ stanza ─ written ─▶ 200 with Supported: ms-text-format
//!                                                    └── bounces ─▶ its status
//! ```
//!
//! What is not a conversation of two people with texts is refused: 488 where no medium can be used, 415
//! for another body, 603 for a conference (420 where one is required, which the UAS's checks say).

use super::SessionRef;
use super::inside::Words;
use super::table::{Conversation, Described, MsrpSession};
use crate::addr::Jid;
use crate::body::cpim;
use crate::body::mime::MediaType;
use crate::body::sdp::{self, Description, Kind, Media};
use crate::bridge::session::{Input, Machine, first};
use crate::crossing::{Crosses, Verified};
use crate::gateway::Gateway;
use crate::gateway::crossings::busy;
use crate::gateway::effect::PeerId;
use crate::gateway::meter::Fate;
use crate::gateway::settings::Im;
use crate::now::Now;
use crate::policy::Admitted;
use crate::sip::message::Message;
use crate::sip::name::Name;
use crate::sip::session::{Session, Timing};
use crate::sip::txn::ServerKey;
use crate::sip::uas::{Reject, Request};
use crate::sip::value::Contact;

/// What is left to a peer whose sessions are off, for Allow.
const PAGER_ALLOW: &str = "MESSAGE, SUBSCRIBE, NOTIFY, OPTIONS, CANCEL";
/// Seconds after which one more session may be asked for.
const LATER: &str = "300";
/// The option tags of the 200 that delivers a text.
const SUPPORTED_WITH_TEXT: &str = "timer, ms-text-format";

/// What the body of an INVITE asks for.
pub(super) enum Asked {
    /// It offers texts in the medium that was chosen.
    Offer(Box<Description>, Box<Media>),
    /// It wants our offer.
    Nothing,
}

impl Gateway {
    /// An INVITE of one of our users, its sender proven; `key` is to be answered.
    pub(in crate::gateway) fn on_session_invite(
        &mut self,
        now: Now,
        key: ServerKey,
        request: Verified<Request<'_>>,
        over_tls: bool,
    ) {
        if let Err(over) = self.charge_request(now, &request) {
            return self.reject_request(now, key, &request.crossing(), None, &busy(&over), Fate::Limited);
        }
        let admitted = match self.table.admit(request, &self.presence) {
            Ok(admitted) => {
                self.meter.allowed();
                admitted
            }
            Err(refusal) => return self.deny_request(now, key, refusal),
        };
        if let Err(reject) = self.begin(now, key, &admitted, over_tls) {
            self.reject(now, key, &reject);
        }
    }

    fn begin(
        &mut self,
        now: Now,
        key: ServerKey,
        admitted: &Admitted<Request<'_>>,
        over_tls: bool,
    ) -> Result<(), Reject> {
        let message = admitted.message;
        let (user, contact) = (admitted.sender.to_bare(), admitted.target.clone());
        let peer = self.settings.peer_of(user.domain());
        let peer = peer.ok_or_else(|| Reject::status(403, "no SIP peer serves the domain in From"))?;
        if self.settings.im(peer) == Im::Pager {
            let reject = Reject::status(405, "sessions with this peer are off ([[sip.peer]] im = \"pager\")");
            return Err(reject.with(Name::Allow, PAGER_ALLOW));
        }
        if is_conference(message) {
            return Err(Reject::status(603, "a conference: conversations are between two people"));
        }
        let asked = self.read_offer_of(message, peer)?;
        if !self.sessions.table.has_room(&user, contact.domain(), &self.settings.sessions) {
            return Err(Reject::status(480, "too many sessions").with(Name::RetryAfter, LATER));
        }
        let tag = self.servers.tag(key);
        let tag = tag.as_ref().map(|tag| tag.as_str()).unwrap_or_default();
        let dialog = Session::invited(now.mono, message, tag, over_tls, Timing::default())?;
        let text = message
            .header_spelt(first::TEXT_FORMAT)
            .and_then(|value| first::text(value, &self.settings.body_limits()));
        let session = self.enter(now, key, peer, (user, contact), dialog, &asked)?;
        match text {
            Some(text) => self.deliver_first(now, key, session, admitted, &text)?,
            None => self.accept_invite(now, session),
        }
        Ok(())
    }

    fn enter(
        &mut self,
        now: Now,
        key: ServerKey,
        peer: PeerId,
        pair: (Jid, Jid),
        dialog: Session,
        asked: &Asked,
    ) -> Result<SessionRef, Reject> {
        let mut description = Described::new(self.ids.below(1 << 53));
        let msrp = match asked {
            Asked::Offer(_, media) if media.kind != Kind::Sip => {
                let opened = self.open_answering(now, media, pair.0.domain());
                Some(
                    opened
                        .ok_or_else(|| Reject::status(488, "the MSRP path that is offered can't be used"))?,
                )
            }
            Asked::Nothing if self.settings.im(peer) == Im::Msrp => self.open_offered(now),
            Asked::Offer(..) | Asked::Nothing => None,
        };
        let answer = self.answer_to(asked, description, msrp.as_ref());
        description.says(&answer);
        let mut conversation = Conversation::new(peer, pair, Machine::answering(now.mono), dialog, now.wall);
        conversation.invite = Some(key);
        conversation.answer = answer.into();
        conversation.description = description;
        conversation.takes_cpim = match asked {
            Asked::Offer(_, media) => media.takes(cpim::write::TYPE),
            Asked::Nothing => false,
        };
        conversation.expects_answer = matches!(asked, Asked::Nothing);
        let name = msrp.as_ref().map(|msrp| msrp.id);
        conversation.goes_by(msrp);
        let session = self.sessions.table.insert(conversation);
        self.msrp.of.extend(name.map(|name| (name, session)));
        if let Some(answerable) = self.servers.value(key) {
            answerable.session = Some(session);
        }
        self.arm_session(session);
        Ok(session)
    }

    /// Our answer to an offer, or our offer.
    pub(super) fn answer_to(
        &self,
        asked: &Asked,
        description: Described,
        msrp: Option<&MsrpSession>,
    ) -> Vec<u8> {
        let Some(ours) = self.describe(description, msrp) else { return Vec::new() };
        match asked {
            // The m-line was chosen because it is of our kind.
            Asked::Offer(offer, media) => ours.answer(offer, media.index).unwrap_or_default(),
            Asked::Nothing => ours.offer(),
        }
    }

    /// The text that an INVITE carries becomes a stanza; the INVITE is answered when that is written.
    fn deliver_first(
        &mut self,
        now: Now,
        key: ServerKey,
        session: SessionRef,
        admitted: &Admitted<Request<'_>>,
        text: &str,
    ) -> Result<(), Reject> {
        if let Some(found) = self.sessions.table.get_mut(session) {
            found.has_first = true;
            found.machine.expect_again(now.mono, text);
        }
        let message = admitted.message;
        let (subject, language) = (message.header(Name::Subject), message.header(Name::ContentLanguage));
        let words = Words { text, subject, language, cpim: None };
        let delivered = self.deliver_text(now, key, session, admitted, &words);
        if delivered.is_err() {
            self.sessions.later(session, Input::Rejected);
            if let Some(found) = self.sessions.table.get_mut(session) {
                found.invite = None;
                found.dialog.decline();
            }
        }
        delivered
    }

    /// Their INVITE is accepted, on the contact's behalf (RFC 7573 §5).
    pub(super) fn accept_invite(&mut self, now: Now, session: SessionRef) {
        let Some(key) = self.sessions.table.get_mut(session).and_then(|found| found.invite.take()) else {
            return;
        };
        let contact = self.contact_of(key);
        let Some(found) = self.sessions.table.get_mut(session) else { return };
        let Some(headers) = found.dialog.accept(now.mono, &contact, sdp::CONTENT_TYPE, &found.answer) else {
            return;
        };
        found.accepted = Some(key);
        let answer = std::mem::take(&mut found.answer);
        let mut headers: Vec<(Name, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if found.has_first {
            for (_, value) in headers.iter_mut().filter(|(name, _)| *name == Name::Supported) {
                *value = SUPPORTED_WITH_TEXT;
            }
        }
        // A peer that repeats the text is expected to do so from now on.
        found.machine.expect_within(now.mono);
        self.respond_with(now, key, 200, &headers, Some((sdp::CONTENT_TYPE, &answer)));
        self.sessions.later(session, Input::Accepted);
    }

    /// The INVITE of `key` was cancelled: it is answered 487 after this.
    pub(in crate::gateway) fn on_session_cancelled(&mut self, now: Now, key: ServerKey) {
        let Some(session) = self.servers.value(key).and_then(|answerable| answerable.session) else { return };
        let Some(found) = self.sessions.table.get_mut(session).filter(|found| found.invite == Some(key))
        else {
            return;
        };
        found.invite = None;
        found.dialog.decline();
        self.drive_session(now, session, Input::Rejected);
    }

    /// The stanza of a text is written: its request is answered (RFC 3428 §7).
    pub(super) fn on_text_written(&mut self, now: Now, session: SessionRef, key: ServerKey) {
        let Some(found) = self.sessions.table.get_mut(session) else {
            // The session has ended since. Its text has arrived all the same.
            return self.respond(now, key, 200, &[]);
        };
        found.delivered[0] = found.delivered[0].saturating_add(1);
        if found.invite == Some(key) {
            return self.accept_invite(now, session);
        }
        self.respond(now, key, 200, &[]);
        self.drive_session(now, session, Input::Heard);
    }

    /// The stanza of a text bounced, and its request is answered. If that was the INVITE, so ends the session.
    pub(super) fn on_text_bounced(&mut self, now: Now, session: SessionRef, key: ServerKey) {
        let Some(found) = self.sessions.table.get_mut(session).filter(|found| found.invite == Some(key))
        else {
            return;
        };
        found.invite = None;
        found.dialog.decline();
        self.drive_session(now, session, Input::Rejected);
    }
}

impl Gateway {
    fn read_offer_of(&self, message: &Message<'_>, peer: PeerId) -> Result<Asked, Reject> {
        read_offer(message, |offer| self.choose(offer, peer))
    }

    /// What the body of a re-INVITE or UPDATE asks for: the way of the texts stays what it is.
    pub(super) fn read_offer(
        &self,
        message: &Message<'_>,
        session: Option<SessionRef>,
    ) -> Result<Asked, Reject> {
        let found = session.and_then(|session| self.sessions.table.get(session));
        let kind = match found.and_then(|found| found.msrp.as_ref().map(|_| found.peer)) {
            Some(peer) => self.msrp_kind(peer),
            None => Some(Kind::Sip),
        };
        read_offer(message, |offer| offer.usable(kind?))
    }
}

/// What the body of an INVITE asks for.
///
/// # Errors
/// 415 for a body that is no session description, 400 for one that is malformed, 488 for one without a
/// medium that can be used (RFC 3264 §6), also if that carries a file (RFC 5547).
fn read_offer(
    message: &Message<'_>,
    choose: impl FnOnce(&Description) -> Option<Media>,
) -> Result<Asked, Reject> {
    if message.body.is_empty() {
        return Ok(Asked::Nothing);
    }
    let media = message.header(Name::ContentType).and_then(MediaType::parse);
    if !media.is_some_and(|media| media.is("application", "sdp")) {
        let reject = Reject::status(415, "the body is no session description");
        return Err(reject.with(Name::Accept, sdp::CONTENT_TYPE));
    }
    let offer = Description::parse(message.body)
        .map_err(|_| Reject::status(400, "the session description is malformed"))?;
    match choose(&offer) {
        Some(medium) => Ok(Asked::Offer(Box::new(offer), Box::new(medium))),
        None => Err(Reject::status(488, "nothing is offered that carries texts here")),
    }
}

/// Does an INVITE lead into a conference (RFC 4579 §4, MS-CONFBAS)? A client that could join one says no
/// more than `Supported`.
fn is_conference(message: &Message<'_>) -> bool {
    let focus = message.contacts().flatten().any(|contact| match contact {
        Contact::Address(address) => address.params.get("isfocus").is_some(),
        Contact::Star => false,
    });
    focus || message.header_spelt("ms-conf-invite").is_some()
}
