//! The callee's end: the peer's INVITE, our 2xx and its ACK (RFC 3261 §13.3), and what is due when.

use super::state::{Input, Step};
use super::timer::{Timer, Timing};
use super::{
    Description, MAX_DIALOG, Session, SessionRequest, Side, State, Unacknowledged, contact, record_routes,
};
use crate::now::Mono;
use crate::sip::dialog::{Dialog, Establishing};
use crate::sip::message::{Message, Start};
use crate::sip::name::Name;
use crate::sip::txn::Timers;
use crate::sip::uas::Reject;
use std::time::Duration;

/// Longest that an INVITE of the peer waits for our answer: just below Timer C, when proxies give up.
const ANSWER_WITHIN: Duration = Duration::from_secs(180);
/// How long a refresh waits for the ACK of another.
const BEHIND_ANOTHER: Duration = Duration::from_secs(1);

/// What an ACK means.
#[derive(Debug)]
pub enum Acked {
    /// It is about no 2xx that waits for it.
    Nothing,
    /// The session, or its refresh, is confirmed. The body may be the answer to our offer.
    Confirmed,
    /// The session was not wanted any more: send the BYE.
    Bye(SessionRequest),
}

/// What is due.
#[derive(Debug)]
pub enum Due {
    /// Nothing more.
    Nothing,
    /// Send the last 2xx to an INVITE of the peer again.
    RepeatOk,
    /// Refresh the session with this.
    Refresh(SessionRequest),
    /// The session is over: send the BYE.
    End(SessionRequest),
    /// The INVITE waited too long for an answer: answer it 487 (RFC 3261 §13.3.1). The session is over.
    Expired,
}

impl Session {
    /// A session that an INVITE of the peer asks for; `tag` is what its responses have in To.
    ///
    /// # Errors
    /// 400 if it can make no dialog, 422 with Min-SE if its session interval is too short.
    pub fn invited(
        now: Mono,
        invite: &Message<'_>,
        tag: &str,
        over_tls: bool,
        timing: Timing,
    ) -> Result<Self, Reject> {
        let Start::Request { uri, .. } = invite.start else {
            return Err(Reject::status(400, "no request"));
        };
        let by = Establishing {
            call_id: invite.call_id(),
            from_uri: invite.from().uri,
            from_tag: invite.from().tag,
            to_uri: invite.to().uri,
            to_tag: Some(tag),
            cseq: invite.cseq().number,
            contact: contact(invite)?,
            request_uri: uri,
            over_tls,
        };
        let unusable = || Reject::status(400, "the request can make no dialog");
        let dialog = Dialog::uas(&by, record_routes(invite)?).map_err(|_| unusable())?;
        if dialog.octets() > MAX_DIALOG {
            return Err(unusable());
        }
        let timer = Timer::new(timing).asked(invite)?;
        let mut session = Self::new(dialog, State::Invited, Side::Callee, invite.cseq().number, timer, None);
        session.learn(invite);
        let patience = invite.expires().map_or(ANSWER_WITHIN, |seconds| Duration::from_secs(seconds.into()));
        session.answer_by = Some(now + patience.min(ANSWER_WITHIN));
        Ok(session)
    }

    /// The INVITE is accepted with this description, an answer or, to an INVITE without one, an offer.
    /// What comes back are the headers of the 200 besides Content-Type; `contact` is the URI where requests
    /// find us. The 200 is repeated when [`Due::RepeatOk`] says so.
    ///
    /// None if it is not for us to answer any more.
    pub fn accept(
        &mut self,
        now: Mono,
        contact: &str,
        content_type: &str,
        body: &[u8],
    ) -> Option<Vec<(Name, String)>> {
        if self.step(Input::Accept) != Step::Answer {
            return None;
        }
        self.answer_by = None;
        self.description = Description::new(content_type, body);
        self.timer.arm(now);
        self.wait_for_ack(now, self.invite);
        Some(self.accept_headers(contact, &self.timer))
    }

    /// The INVITE is refused, or a CANCEL came for it. True if it is to be answered with a refusal, for a
    /// CANCEL 487; the session is over then.
    pub fn decline(&mut self) -> bool {
        self.step(Input::Decline) == Step::TurnDown
    }

    /// An ACK whose To tag is ours.
    pub fn on_ack(&mut self, ack: &Message<'_>) -> Acked {
        let (local, remote) = (ack.to().tag, ack.from().tag);
        let ours = self.dialog.is(ack.call_id(), local, remote);
        let waits = self.unacknowledged.is_some_and(|waits| waits.cseq == ack.cseq().number);
        if !ours || !waits {
            return Acked::Nothing;
        }
        self.unacknowledged = None;
        match self.step(Input::Ack) {
            Step::SendBye => Acked::Bye(self.bye()),
            Step::Confirm | Step::Nothing => Acked::Confirmed,
            _ => Acked::Nothing,
        }
    }

    /// When [`Session::on_timer`] is due.
    pub fn deadline(&self) -> Option<Mono> {
        let waits = self.unacknowledged.map(|waits| waits.repeat_at.min(waits.until));
        let refresh = self.timer.refresh_at().filter(|_| self.state == State::Established);
        [waits, refresh, self.timer.ends_at(), self.retry_at, self.answer_by].into_iter().flatten().min()
    }

    /// The first thing that is due at `now`. It is asked again until it is [`Due::Nothing`].
    pub fn on_timer(&mut self, now: Mono) -> Due {
        let is_due = |at: Option<Mono>| at.is_some_and(|at| at <= now);
        if is_due(self.answer_by) {
            self.answer_by = None;
            return if self.decline() { Due::Expired } else { Due::Nothing };
        }
        if let Some(waits) = &mut self.unacknowledged {
            if waits.until <= now {
                self.unacknowledged = None;
                return match self.step(Input::NoAck) {
                    Step::SendBye => Due::End(self.bye()),
                    _ => Due::Nothing,
                };
            }
            if waits.repeat_at <= now {
                waits.doublings = waits.doublings.saturating_add(1);
                waits.repeat_at = now + repeat_after(waits.doublings);
                return Due::RepeatOk;
            }
        }
        if is_due(self.timer.ends_at()) {
            self.timer.stop();
            // Before the ACK there is no BYE of a callee: [`Input::NoAck`] comes first, 32 s after the 2xx.
            return match self.step(Input::Lost) {
                Step::SendBye => Due::End(self.bye()),
                _ => Due::Nothing,
            };
        }
        if self.state == State::Established && (is_due(self.timer.refresh_at()) || is_due(self.retry_at)) {
            self.timer.refreshing();
            self.retry_at = None;
            if self.unacknowledged.is_some() {
                // RFC 3261 §14.1: one INVITE at a time, in either direction.
                self.retry_at = Some(now + BEHIND_ANOTHER);
                return Due::Nothing;
            }
            if let Some(request) = self.refresh() {
                return Due::Refresh(request);
            }
        }
        Due::Nothing
    }

    /// Our 2xx to the INVITE with the number `cseq` is sent now.
    pub(super) fn wait_for_ack(&mut self, now: Mono, cseq: u32) {
        let (repeat_at, until) = (now + Timers::T1, now + Timers::LIFE);
        self.unacknowledged = Some(Unacknowledged { cseq, doublings: 0, repeat_at, until });
    }
}

/// The wait before the next copy of a 2xx: T1, doubled up to T2 (RFC 3261 §13.3.1.4).
fn repeat_after(doublings: u8) -> Duration {
    Timers::T1.saturating_mul(1 << doublings.min(3)).min(Timers::T2)
}
