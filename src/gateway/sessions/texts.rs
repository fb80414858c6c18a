//! Texts of XMPP contacts for SIP users in sessions: into which session each one goes, or back.

use super::auto::Mode;
use super::journal::GONE;
use super::receipts::Asking;
use super::table::{Conversation, Described, MsrpSession};
use super::{SessionRef, Text, What};
use crate::addr::Jid;
use crate::body::charset::one_line;
use crate::body::sdp::{self, Ours};
use crate::bridge::session::{Failure, Input, Machine};
use crate::bridge::to_sip::PagerText;
use crate::bridge::typing::{ChatState, StateStanza};
use crate::crossing::{Crosses, Direction, Kind};
use crate::gateway::Gateway;
use crate::gateway::effect::PeerId;
use crate::gateway::meter::Fate;
use crate::gateway::observe::Observation;
use crate::gateway::settings::Im;
use crate::gateway::stop::STOPPING;
use crate::gateway::trail::{Carrier, What as Step};
use crate::gateway::undelivered::Origin;
use crate::now::Now;
use crate::policy::Admitted;
use crate::sip::session::{Invite, Session, Timing};
use crate::xmpp::error::stanza::{Answered, write_error};
use crate::xmpp::error::{Condition, StanzaError};
use crate::xmpp::stanza::Stanza;

/// The namespace of chat states (XEP-0085).
const STATES: &str = "http://jabber.org/protocol/chatstates";
/// What we take in a session, as its description says.
pub(super) const ACCEPT: [&str; 6] = [
    "text/plain",
    "text/html",
    "multipart/alternative",
    "application/im-iscomposing+xml",
    "message/cpim",
    "message/imdn+xml",
];

impl Gateway {
    /// Does a text from `contact` to `user`, of `peer`, go into a session?
    pub(in crate::gateway) fn is_for_session(
        &mut self,
        now: Now,
        peer: PeerId,
        contact: &Jid,
        user: &Jid,
    ) -> bool {
        match self.settings.im(peer) {
            Im::MsSession | Im::Msrp => true,
            Im::Auto => {
                let has_session = self.speaking(user, contact).is_some()
                    || self.sessions.modes.of(now.mono, peer, user).is_some();
                // The pager's queue would be overtaken.
                has_session && !self.targets.contains_key(user.bare_str())
            }
            Im::Pager => false,
        }
    }

    /// A text that goes into a session.
    pub(in crate::gateway) fn send_in_session(
        &mut self,
        now: Now,
        via: Carrier,
        peer: PeerId,
        admitted: &Admitted<Stanza<'_>>,
        text: &PagerText<'_>,
    ) {
        let question = match text.asked.any() {
            true => self.question_of(peer, admitted, text.asked),
            false => None,
        };
        let (trace, policy) = (self.ids.mint(), Some(admitted.grant().policy()));
        let crossing = admitted.crossing();
        let track = self.effects.trail.admitted(now, Some(via), trace.as_str(), &crossing, policy);
        let origin =
            Origin { from: admitted.from.clone(), to: admitted.to.clone(), id: admitted.id().map(Box::from) };
        if self.settings.texts {
            self.effects.observe(Observation::Text {
                trace: trace.to_string(),
                direction: Direction::XmppToSip,
                from: origin.from.clone(),
                to: origin.to.clone(),
                text: text.body.clone().into_owned(),
            });
        }
        let text = Text {
            trace,
            came: now.mono,
            track,
            origin,
            body: text.body.as_ref().into(),
            subject: text.subject.as_deref().map(Box::from),
            language: text.language.as_deref().map(Box::from),
            thread: text.thread.as_deref().map(Box::from),
            sent: text.sent,
            asking: question.map(Asking::new),
            refused: 0,
        };
        let shows_states = admitted.element.children().any(|child| child.ns() == STATES);
        self.keep_text(now, peer, text);
        self.note_states(&admitted.to, &admitted.from, shows_states);
    }

    /// A message without a text: a contact that leaves the conversation ends its sessions (RFC 7573 §6.1).
    pub(in crate::gateway) fn on_wordless(&mut self, now: Now, admitted: &Admitted<Stanza<'_>>) {
        if self.sessions.is_empty() || !admitted.element.children().any(|child| child.ns() == STATES) {
            return;
        }
        let is_gone = admitted.element.child("gone", STATES).is_some();
        self.note_states(&admitted.to, &admitted.from, !is_gone);
        if is_gone {
            let all: Vec<_> = self.sessions.table.of_pair(&admitted.to, &admitted.from).collect();
            for session in all {
                self.session_ends(session, GONE);
                self.drive_session(now, session, Input::Leave);
            }
        }
    }

    /// The contact's last message had a chat state, or not: then it is told of none (XEP-0085 §5.1).
    fn note_states(&mut self, user: &Jid, contact: &Jid, shows: bool) {
        let all: Vec<_> = self.sessions.table.of_pair(user, contact).collect();
        for session in all {
            if let Some(found) = self.sessions.table.get_mut(session) {
                found.knows_states = shows;
            }
        }
    }

    /// Takes a text that is new here: from now on it counts among what is kept.
    pub(super) fn keep_text(&mut self, now: Now, peer: PeerId, text: Text) {
        self.held += text.octets();
        if self.held > self.settings.pairs.octets {
            let failure = Failure::new(Condition::ResourceConstraint, 503, "too many messages wait");
            return self.return_text(now, text, failure, None);
        }
        self.hand_texts(now, peer, vec![text], 0);
    }

    /// Gives texts that are kept already to the session that they belong to, in order. `again`: so many of the
    /// first were in the air in a dialog that was gone.
    pub(super) fn hand_texts(&mut self, now: Now, peer: PeerId, texts: Vec<Text>, again: usize) {
        for (place, text) in texts.into_iter().enumerate() {
            let session = match self.session_for(now, peer, &text) {
                Ok(session) => session,
                Err(failure) => {
                    self.return_text(now, text, failure, None);
                    continue;
                }
            };
            let Some(found) = self.sessions.table.get_mut(session) else { continue };
            if found.machine.unsent() >= self.settings.target_queue.max(1) {
                let why = "too many messages wait for this user";
                self.return_text(now, text, Failure::new(Condition::ResourceConstraint, 503, why), None);
                continue;
            }
            found.contact = text.origin.from.clone();
            let octets = text.body.len();
            self.drive_session(now, session, Input::Text(text, octets));
            if place < again
                && let Some(found) = self.sessions.table.get_mut(session)
            {
                found.machine.mark_again();
            }
        }
    }

    /// The session of a pair that texts go into: where one waits, so that none overtakes it; else the newest,
    /// which is the one that the SIP user looks at.
    pub(super) fn speaking(&self, user: &Jid, contact: &Jid) -> Option<SessionRef> {
        let table = &self.sessions.table;
        let usable = |name: &SessionRef| table.get(*name).is_some_and(|found| found.machine.takes_texts());
        let mut newest = None;
        for name in table.of_pair(user, contact).filter(usable) {
            if table.get(name).is_some_and(|found| found.machine.unsent() > 0) {
                return Some(name);
            }
            newest = Some(name);
        }
        newest
    }

    fn session_for(&mut self, now: Now, peer: PeerId, text: &Text) -> Result<SessionRef, Failure> {
        match self.speaking(&text.origin.to, &text.origin.from) {
            Some(session) => Ok(session),
            None => self.invite(now, peer, text),
        }
    }

    /// Invites the SIP user to a session for the sake of `text`, which is not in it yet.
    fn invite(&mut self, now: Now, peer: PeerId, text: &Text) -> Result<SessionRef, Failure> {
        if self.stopping {
            return Err(Failure::new(Condition::ResourceConstraint, 503, STOPPING));
        }
        let (user, contact) = (text.origin.to.to_bare(), text.origin.from.clone());
        if !self.sessions.table.has_room(&user, contact.domain(), &self.settings.sessions) {
            return Err(Failure::new(Condition::ResourceConstraint, 503, "too many sessions"));
        }
        let thread = text.thread.as_deref();
        let call_id = thread.and_then(|thread| self.call_id(user.bare_str(), thread));
        let slot = self.sessions.table.vacant();
        let mut description = Described::new(self.ids.below(1 << 53));
        let msrp = match self.mode_of(now, peer, &user) {
            Mode::Msrp => {
                let opened = self.open_offered(now);
                let why = "too many MSRP sessions";
                Some(opened.ok_or_else(|| Failure::new(Condition::ResourceConstraint, 503, why))?)
            }
            Mode::MsSession => None,
        };
        let offer = self.describe(description, msrp.as_ref()).map(|ours| ours.offer()).unwrap_or_default();
        description.says(&offer);
        let subject = text.subject.as_deref().map(|subject| ("Subject", subject));
        let invite = Invite {
            from: &contact,
            to: &user,
            call_id: call_id.as_deref(),
            headers: subject.as_slice(),
            content_type: sdp::CONTENT_TYPE,
            body: &offer,
            timing: Timing::default(),
        };
        let made = Session::inviting(&invite, slot, &self.guard, &mut self.ids);
        let (dialog, request) = made.map_err(|_| {
            msrp.iter().for_each(|msrp| self.close_msrp(now, msrp.id));
            Failure::new(Condition::PolicyViolation, 413, "an address is too long for a session")
        })?;
        let machine = Machine::inviting(now.mono);
        let mut conversation = Conversation::new(peer, (user, contact), machine, dialog, now.wall);
        conversation.description = description;
        let name = msrp.as_ref().map(|msrp| msrp.id);
        conversation.goes_by(msrp);
        let session = self.sessions.table.insert(conversation);
        self.msrp.of.extend(name.map(|name| (name, session)));
        self.send_of_session(now, session, peer, request, What::Invite);
        Ok(session)
    }

    /// A description of ours; `None` if its MSRP half is gone.
    pub(super) fn describe<'a>(
        &'a self,
        description: Described,
        msrp: Option<&'a MsrpSession>,
    ) -> Option<Ours<'a>> {
        match msrp {
            Some(msrp) => self.describe_msrp(description, msrp),
            None => Some(Ours {
                host: &self.settings.name,
                session: description.session,
                version: description.version,
                accept: &ACCEPT,
                way: sdp::Way::Sip,
            }),
        }
    }

    /// Tells the sender of a text that it was not delivered: once, with the id of its stanza.
    pub(super) fn return_text(&mut self, now: Now, text: Text, failure: Failure, address: Option<&str>) {
        self.release(&text);
        self.forget_asking(&text);
        self.counts.failed[1] += 1;
        let Failure { condition, status, why } = failure;
        let Text { trace, track, origin, .. } = text;
        self.effects.trail.fail(now.mono, track, &why, Some(Step::ToldXmpp(condition)));
        let peer = self.settings.peer_of(origin.to.domain());
        self.count_message(Direction::XmppToSip, origin.from.domain(), peer, Fate::Failed);
        let mut error = StanzaError::from(condition);
        let said = one_line(&why, 200);
        error.text = (!said.is_empty()).then_some(said);
        error.address = address.map(Into::into);
        let answered = Answered {
            element: "message",
            from: origin.from.as_str(),
            to: origin.to.as_str(),
            id: origin.id.as_deref(),
            type_: None,
        };
        let start = self.effects.mark();
        if write_error(self.effects.buffer(), &answered, &error) {
            self.send_stanza(now, (origin.to.domain(), origin.from.domain()), start);
        }
        self.effects.observe(Observation::Failed {
            kind: Kind::Message,
            trace: trace.to_string(),
            direction: Direction::XmppToSip,
            from: origin.from,
            to: origin.to,
            condition,
            status,
            why: why.into_owned(),
        });
    }

    /// A text reached the SIP side.
    pub(super) fn text_delivered(&mut self, now: Now, session: SessionRef, text: Text) {
        self.release(&text);
        self.counts.delivered[1] += 1;
        let peer = self.settings.peer_of(text.origin.to.domain());
        self.count_message(Direction::XmppToSip, text.origin.from.domain(), peer, Fate::Delivered);
        self.meter.took(Direction::XmppToSip, text.came, now.mono);
        if let Some(found) = self.sessions.table.get_mut(session) {
            found.delivered[1] = found.delivered[1].saturating_add(1);
        }
        if self.settings.deliveries {
            self.effects.observe(Observation::Delivered {
                trace: text.trace.to_string(),
                direction: Direction::XmppToSip,
                from: text.origin.from,
                to: text.origin.to,
            });
        }
    }

    fn release(&mut self, text: &Text) {
        self.held = self.held.saturating_sub(text.octets());
    }

    /// Tells the contact that the SIP user has left, if its client knows what that means (XEP-0085 §5.1).
    pub(super) fn tell_gone(&mut self, now: Now, session: SessionRef) {
        let Some(found) = self.sessions.table.get(session) else { return };
        let (user, contact, knows) = (found.user.clone(), found.contact.clone(), found.knows_states);
        let thread = crate::bridge::to_sip::thread_of_call_id(found.dialog.dialog().call_id()).into_owned();
        if !self.ends_typing(&user, &contact).unwrap_or(knows) {
            return;
        }
        let start = self.effects.mark();
        let (thread, state) = (Some(thread.as_str()), ChatState::Gone);
        StateStanza { from: &user, to: &contact, thread, state }.write(self.effects.buffer());
        self.send_stanza(now, (user.domain(), contact.domain()), start);
    }
}
