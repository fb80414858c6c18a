//! Requests of ours in sessions, and what becomes of them.
//!
//! | answer | to | is |
//! |---|---|---|
//! | 2xx | INVITE | open, after our ACK, if its body is an answer that can be used; else BYE |
//! | 3xx-6xx, none | INVITE | refused: its texts go another way, or back |
//! | 2xx | MESSAGE | delivered |
//! | 481 | MESSAGE | not delivered: once more in the next session |
//! | 408, none | MESSAGE | nobody knows; it goes back with all that waits, and the session ends |
//! | other | MESSAGE | refused; the session goes on, unless that ends the dialog (RFC 5057 §5.1) |

use super::journal::{SILENT, no_answer};
use super::{SessionLoad, SessionRef, What};
use crate::body::cpim;
use crate::body::sdp::{Description, Kind};
use crate::bridge::errors::condition_of;
use crate::bridge::session::{Failure, Fate, Input, State};
use crate::crossing::{self, Crossing, Direction};
use crate::gateway::Gateway;
use crate::gateway::effect::PeerId;
use crate::gateway::undelivered::{Undelivered, explain};
use crate::now::Now;
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::session::{Answered, Due};
use crate::xmpp::error::Condition;

impl Gateway {
    /// A response to a request of a session: to an INVITE each 1xx and each copy of a 2xx, else the final
    /// one.
    pub(in crate::gateway) fn on_session_answer(
        &mut self,
        now: Now,
        load: &SessionLoad,
        status: u16,
        message: &Message<'_>,
    ) {
        let session = load.of;
        let Some(found) = self.sessions.table.get_mut(session) else { return };
        let answered = found.dialog.on_response(now.mono, message, Some(&load.request), &mut self.ids);
        let failure = || Failure::new(condition_of(status), status, explain(message));
        if load.request.method() == Method::Info {
            // Typing is all that we say so.
            self.talk.typing.on_answer(now, found.user.bare_str(), status);
        }
        let ticket = match load.what {
            What::Text(ticket) => Some(ticket),
            What::Invite | What::Bye | What::Other => None,
        };
        let goes_again = ticket.is_some_and(|ticket| self.goes_unwrapped((session, ticket), status));
        if let (Some(ticket), 200) = (ticket, status) {
            self.trust_200(now, (session, ticket));
        }
        if let Some(ticket) = ticket.filter(|_| !goes_again) {
            let fate = match status {
                ..300 => Fate::Delivered,
                481 => Fate::NoDialog(failure()),
                408 => Fate::Silent(failure()),
                _ => Fate::Refused(failure()),
            };
            self.sessions.later(session, Input::Answered(ticket, fate));
        }
        if load.what == What::Bye {
            self.sessions.later(session, Input::Ended);
        }
        if matches!(answered, Answered::Established { .. }) && !self.is_usable(now, session, message) {
            // RFC 3264: it accepted what was not offered, or nothing. That session is of no use.
            self.on_dialog_answer(now, session, answered, load, failure());
            let why = "the answer to the invitation takes no texts";
            let failure = Failure::new(Condition::NotAcceptable, 488, why);
            return self.give_up(now, session, failure);
        }
        self.on_dialog_answer(now, session, answered, load, failure());
        if let Some(ticket) = ticket.filter(|_| goes_again) {
            self.send_text(now, session, ticket);
        }
    }

    /// A request of a session was not answered (408), or not sent.
    pub(in crate::gateway) fn on_session_failed(
        &mut self,
        now: Now,
        load: &SessionLoad,
        status: u16,
        failure: &Undelivered,
    ) {
        let session = load.of;
        let Some(found) = self.sessions.table.get_mut(session) else { return };
        let answered = found.dialog.on_failure(now.mono, &load.request, status);
        let failure = Failure::new(failure.condition, failure.status, failure.why.clone());
        match load.what {
            What::Text(ticket) => {
                let fate = match status {
                    408 => Fate::Silent(failure.clone()),
                    _ => Fate::Refused(failure.clone()),
                };
                self.sessions.later(session, Input::Answered(ticket, fate));
            }
            What::Bye => self.sessions.later(session, Input::Ended),
            What::Invite | What::Other => {}
        }
        self.on_dialog_answer(now, session, answered, load, failure);
    }

    /// What an answer means to the dialog; `failure` is it if it is one.
    fn on_dialog_answer(
        &mut self,
        now: Now,
        session: SessionRef,
        answered: Answered,
        load: &SessionLoad,
        failure: Failure,
    ) {
        let Some(peer) = self.sessions.table.get(session).map(|found| found.peer) else { return };
        let other = What::Other;
        match answered {
            Answered::Nothing | Answered::Ringing | Answered::Unchanged { .. } => {}
            Answered::Refreshed { ack: None } => {}
            Answered::Cancel => self.cancel_invite(now, session),
            Answered::Established { ack } => {
                self.send_of_session(now, session, peer, ack, other);
                self.sessions.later(session, Input::Established);
            }
            Answered::Acknowledge(ack) | Answered::Refreshed { ack: Some(ack) } => {
                self.send_of_session(now, session, peer, ack, other);
            }
            Answered::Forked { ack, bye } => {
                self.send_of_session(now, session, peer, ack, other);
                self.send_of_session(now, session, peer, bye, other);
            }
            Answered::Ended { ack, bye, .. } => {
                self.send_of_session(now, session, peer, ack, other);
                self.send_of_session(now, session, peer, bye, other);
                let why = "the answer to the invitation makes no conversation";
                let failure = Failure::new(Condition::InternalServerError, 500, why);
                self.sessions.later(session, Input::Refused(failure));
            }
            Answered::Again(request) => self.send_of_session(now, session, peer, request, load.what),
            Answered::Refused { .. } => self.sessions.later(session, Input::Refused(failure)),
            Answered::Gone { bye, .. } => {
                self.session_ends(session, no_answer(&failure));
                if let Some(bye) = bye {
                    self.send_of_session(now, session, peer, bye, other);
                }
                self.sessions.later(session, Input::Bye);
            }
        }
    }

    /// A session that was just made can't be used: BYE, and its texts go the way of a refusal.
    fn give_up(&mut self, now: Now, session: SessionRef, failure: Failure) {
        self.sessions.outcomes.retain(
            |outcome| !matches!(outcome, super::Outcome::Input(of, Input::Established) if *of == session),
        );
        let Some(found) = self.sessions.table.get_mut(session) else { return };
        let (peer, leave) = (found.peer, found.dialog.end());
        if let crate::sip::session::Leave::Bye(bye) = leave {
            self.send_of_session(now, session, peer, bye, What::Other);
        }
        self.sessions.later(session, Input::Refused(failure));
    }

    /// A request of a session is challenged: true if it has an answer now and is to be sent again.
    pub(in crate::gateway) fn session_challenged(
        &mut self,
        load: &mut SessionLoad,
        peer: PeerId,
        message: &Message<'_>,
    ) -> bool {
        let credentials = self.settings.credentials(peer);
        match self.sessions.table.get_mut(load.of) {
            Some(found) => {
                found.dialog.answer_challenge(&mut load.request, message, credentials, &mut self.ids)
            }
            // The last BYE outlives its session.
            None => {
                let Some(status) = message.status() else { return false };
                let name = if status == 401 {
                    crate::sip::name::Name::WwwAuthenticate
                } else {
                    crate::sip::name::Name::ProxyAuthenticate
                };
                let challenges = message.headers(name);
                load.request.answer_challenge(status, challenges, credentials, None, &mut self.ids)
            }
        }
    }

    /// Is a request of a session still wanted, and does the gate still let it cross?
    pub(in crate::gateway) fn session_may_send(&self, load: &SessionLoad) -> bool {
        let Some(found) = self.sessions.table.get(load.of) else {
            return matches!(load.request.method(), Method::Bye | Method::Ack);
        };
        match load.what {
            What::Bye | What::Other => true,
            What::Invite if found.machine.state() != State::Inviting => false,
            What::Invite | What::Text(_) => {
                let crossing = Crossing {
                    sender: &found.contact,
                    target: &found.user,
                    direction: Direction::XmppToSip,
                    kind: crossing::Kind::Message,
                };
                self.judge(&crossing).is_ok()
            }
        }
    }

    /// What is due in the dialog of a session.
    pub(super) fn on_dialog_timer(&mut self, now: Now, session: SessionRef) {
        // Each kind of deadline is met once in a turn at most.
        for _ in 0..8 {
            let Some(found) = self.sessions.table.get_mut(session) else { return };
            if found.dialog.deadline().is_none_or(|at| at > now.mono) {
                return;
            }
            let peer = found.peer;
            match found.dialog.on_timer(now.mono) {
                Due::Nothing => return,
                Due::RepeatOk => {
                    if let Some(key) = found.accepted {
                        self.repeat_ok(key);
                    }
                }
                Due::Refresh(request) => self.send_of_session(now, session, peer, request, What::Other),
                Due::End(bye) => {
                    found.ends(SILENT);
                    self.send_of_session(now, session, peer, bye, What::Bye);
                    self.sessions.later(session, Input::Bye);
                }
                Due::Expired => {
                    if let Some(key) = found.invite.take() {
                        self.turn_down(now, key, 487, &[]);
                    }
                    self.sessions.later(session, Input::Rejected);
                }
            }
        }
    }

    /// Does `message` answer our offer with a way for texts? If that is MSRP, it begins.
    pub(super) fn is_usable(&mut self, now: Now, session: SessionRef, message: &Message<'_>) -> bool {
        let Ok(answer) = Description::parse(message.body) else { return false };
        match self.sessions.table.get(session).is_some_and(|found| found.msrp.is_some()) {
            true => self.msrp_answered(now, session, &answer),
            false => {
                let media = answer.usable(Kind::Sip);
                if let (Some(media), Some(found)) = (&media, self.sessions.table.get_mut(session)) {
                    found.takes_cpim = media.takes(cpim::write::TYPE);
                }
                media.is_some()
            }
        }
    }
}
