//! What the machine of a session wants done, performed.

use super::{SessionLoad, SessionRef, Text, What};
use crate::body::cpim;
use crate::bridge::session::{Action, Failure, Fate, Input, Ticket};
use crate::gateway::Gateway;
use crate::gateway::effect::PeerId;
use crate::gateway::outgoing::{Load, Outgoing, TOO_LONG};
use crate::gateway::stop::STOPPING;
use crate::now::Now;
use crate::sip::locate::Transport;
use crate::sip::method::Method;
use crate::sip::session::{Leave, SessionRequest};
use crate::sip::value::write_date;
use crate::xmpp::error::Condition;

/// Octets of a request around what it keeps, generously.
const FRAME: usize = 400;
/// The type of our texts.
const TEXT: &str = "text/plain; charset=UTF-8";

impl Gateway {
    pub(super) fn perform(&mut self, now: Now, session: SessionRef, action: Action<Text>) {
        match action {
            Action::Send(ticket) => self.send_text(now, session, ticket),
            Action::Delivered(text) => self.text_delivered(now, session, text),
            Action::Return(text, failure) => self.return_text(now, text, failure, None),
            Action::Refused(texts, failure) => self.on_invite_refused(now, session, texts, &failure),
            Action::Again(texts, were_sent) => self.send_again(now, session, texts, were_sent),
            Action::Cancel | Action::Bye => self.leave_session(now, session),
            Action::Forget => self.forget_session(now, session),
        }
    }

    /// A text, as a MESSAGE in the dialog.
    pub(super) fn send_text(&mut self, now: Now, session: SessionRef, ticket: Ticket) {
        let Some(found) = self.sessions.table.get(session) else { return };
        if found.msrp.is_some() {
            return self.send_by_msrp(now, session, ticket);
        }
        let peer = found.peer;
        let transport = self.peers.transport(peer);
        let limit = self.settings.message_limit(peer, transport);
        let is_large = |octets: usize| transport == Some(Transport::Udp) && octets + FRAME > limit;
        // A text that fits does so without its envelope.
        let wrapped =
            self.wrapped(now, (session, ticket)).filter(|(_, octets)| !is_large(octets.len() + FRAME));
        let Some(found) = self.sessions.table.get_mut(session) else { return };
        let Some(text) = found.machine.in_air(ticket) else { return };
        let subject = text.subject.as_deref().map(|subject| ("Subject", subject));
        let language = text.language.as_deref().map(|language| ("Content-Language", language));
        let date = text.sent.and_then(|sent| {
            let mut date = Vec::new();
            write_date(sent, &mut date);
            String::from_utf8(date).ok()
        });
        let date = date.as_deref().map(|date| ("Date", date));
        let headers: Vec<_> = subject.into_iter().chain(language).chain(date).collect();
        let (content_type, body) = match &wrapped {
            Some((_, octets)) => (cpim::write::TYPE, octets.as_slice()),
            None => (TEXT, text.body.as_bytes()),
        };
        let request = found.dialog.request(Method::Message, &headers, content_type, body);
        match request {
            // RFC 3428 §8 has its limit for what may be lost on a congested way.
            Some(request) if is_large(request.octets()) => {
                let failure = Failure::new(Condition::PolicyViolation, 513, TOO_LONG);
                self.sessions.later(session, Input::Answered(ticket, Fate::Refused(failure)));
            }
            Some(request) => {
                let is_wrapped = wrapped.is_some();
                let key = wrapped.map(|(id, _)| id);
                // Nothing else could answer it.
                let key = key.or_else(|| self.trusts_200(session).then(|| self.ids.mint()));
                self.ask_in_session(now, (session, ticket), key, is_wrapped);
                self.send_of_session(now, session, peer, request, What::Text(ticket));
            }
            None => {
                let failure =
                    Failure::new(Condition::RecipientUnavailable, 480, "the conversation has ended");
                self.sessions.later(session, Input::Answered(ticket, Fate::NoDialog(failure)));
            }
        }
    }

    /// Sends a request of a session.
    pub(super) fn send_of_session(
        &mut self,
        now: Now,
        session: SessionRef,
        peer: PeerId,
        request: SessionRequest,
        what: What,
    ) {
        let load = SessionLoad { request, of: session, what, is_accepted: false };
        let timeout = self.settings.pairs.queue_timeout;
        let mut outgoing = Outgoing::new(now.mono, peer, Load::Session(Box::new(load)), timeout);
        if let What::Text(ticket) = what {
            let text = self.sessions.table.get(session).and_then(|found| found.machine.in_air(ticket));
            outgoing.track = text.map(|text| text.track).unwrap_or_default();
        }
        self.send_message(now, outgoing);
    }

    /// Ends a session on the SIP side, in the way that its state calls for.
    fn leave_session(&mut self, now: Now, session: SessionRef) {
        let Some(found) = self.sessions.table.get_mut(session) else { return };
        let peer = found.peer;
        match found.dialog.end() {
            Leave::Bye(request) => self.send_of_session(now, session, peer, request, What::Bye),
            Leave::Cancel => self.cancel_invite(now, session),
            Leave::TurnDown => {
                if let Some(key) = found.invite.take() {
                    self.turn_down(now, key, 480, &[]);
                }
                self.sessions.later(session, Input::Ended);
            }
            // The BYE follows the ACK, or its absence.
            Leave::Wait => {}
            Leave::Nothing => self.sessions.later(session, Input::Ended),
        }
    }

    /// Texts whose session is over go into the next one, unless there is to be none.
    fn send_again(&mut self, now: Now, session: SessionRef, texts: Vec<Text>, were_sent: usize) {
        let Some(peer) = self.sessions.table.get(session).map(|found| found.peer) else { return };
        if self.stopping {
            for text in texts {
                let failure = Failure::new(Condition::ResourceConstraint, 503, STOPPING);
                self.return_text(now, text, failure, None);
            }
            return;
        }
        self.hand_texts(now, peer, texts, were_sent);
    }

    fn forget_session(&mut self, now: Now, session: SessionRef) {
        let Some(mut gone) = self.sessions.table.remove(session) else { return };
        self.note_end(now, &gone);
        if let Some(msrp) = gone.msrp.take() {
            self.close_msrp(now, msrp.id);
        }
        if let Some(key) = gone.invite.take()
            && gone.dialog.decline()
        {
            // Its first text waited longer than anything may.
            self.turn_down(now, key, 480, &[]);
        }
    }
}
