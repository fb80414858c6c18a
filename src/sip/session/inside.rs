//! What either side sends inside of the dialog, refreshes, and the end (RFC 3261 §12.2, §14, §15).

use super::caller::{Answered, after_glare};
use super::state::{Input, Step};
use super::{Description, Refreshing, Session, SessionRequest, Side, State};
use crate::ids::Ids;
use crate::now::Mono;
use crate::sip::dialog::Order;
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::name::Name;
use crate::sip::uas::Reject;

/// How often a 422 makes us ask again in one session: once for each proxy on a usual way.
const MAX_RAISED: u8 = 4;

/// What a request of the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InDialog {
    /// MESSAGE.
    Text,
    /// INFO.
    Info,
    /// BYE: answer 200. If the INVITE of the peer was not answered, answer it 487 too; if ours was not,
    /// cancel it. [`Session::is_over`] says whether that is all.
    Bye,
    /// re-INVITE or UPDATE: its user judges the body, and accepts it with [`Session::accept_refresh`] or
    /// refuses it. Without a body a re-INVITE asks for our offer, and an UPDATE for nothing.
    Refresh,
}

/// How a session is ended.
#[derive(Debug)]
pub enum Leave {
    /// Send the BYE; it is over.
    Bye(SessionRequest),
    /// Cancel the INVITE's transaction, which knows whether it may be. It is over with the INVITE.
    Cancel,
    /// Answer the INVITE of the peer with a refusal; it is over.
    TurnDown,
    /// A BYE follows when the ACK is there, or does not come.
    Wait,
    /// It ends already, or is over.
    Nothing,
}

impl Session {
    /// A request in the dialog, such as a MESSAGE or INFO; not for those that change the session.
    ///
    /// None where the session is not open, or the CSeq numbers are used up.
    pub fn request(
        &mut self,
        method: Method<'static>,
        headers: &[(&str, &str)],
        content_type: &str,
        body: &[u8],
    ) -> Option<SessionRequest> {
        let changes =
            matches!(method, Method::Invite | Method::Update | Method::Ack | Method::Bye | Method::Cancel);
        if changes || !self.is_open() {
            return None;
        }
        let cseq = self.dialog.next_cseq(1)?;
        let request = SessionRequest::new(&self.dialog, method, cseq).with_headers(headers);
        Some(request.with_body(content_type, body))
    }

    /// A re-INVITE that offers this instead of what was described before.
    ///
    /// None if another change is under way in either direction (RFC 3261 §14.1), or the session is not
    /// established, or the offer is too long.
    pub fn offer_again(&mut self, content_type: &str, body: &[u8]) -> Option<SessionRequest> {
        if self.state != State::Established || self.unacknowledged.is_some() {
            return None;
        }
        let offered = Description::new(content_type, body)?;
        if self.refreshing.is_some() {
            return None;
        }
        self.retry_at = None;
        self.offered = Some(offered);
        self.refresh()
    }

    /// Our side wants the session over.
    pub fn end(&mut self) -> Leave {
        match self.step(Input::End) {
            Step::SendBye => Leave::Bye(self.bye()),
            Step::Cancel => Leave::Cancel,
            Step::TurnDown => Leave::TurnDown,
            Step::Wait => Leave::Wait,
            _ => Leave::Nothing,
        }
    }

    /// A request of the peer whose To tag is ours, other than ACK and CANCEL. Before any answer to our INVITE it
    /// is a text or INFO, or unknown.
    ///
    /// # Errors
    /// 481 for another dialog or one that is over, 500 out of order, 491 for a change that meets another,
    /// 422 for a session interval that is too short, 400 if it is malformed.
    pub fn on_request(&mut self, request: &Message<'_>, ids: &mut Ids) -> Result<InDialog, Reject> {
        let unknown = || Reject::status(481, "no such session");
        let method = request.method().ok_or_else(unknown)?;
        let (call_id, local, remote) = (request.call_id(), request.to().tag, request.from().tag);
        // What is said in a dialog may overtake the answer that makes it: over UDP, or on another connection.
        // Whoever knows our tag has our INVITE.
        if self.state == State::Inviting && self.is(call_id, local) && !self.is_early(remote) {
            match method {
                Method::Message => return Ok(InDialog::Text),
                Method::Info => return Ok(InDialog::Info),
                _ => return Err(unknown()),
            }
        }
        let dialog = match (self.state, &mut self.early) {
            (State::Over, _) | (State::Inviting | State::Leaving, None) => return Err(unknown()),
            (State::Inviting | State::Leaving, Some(early)) => &mut **early,
            (State::Invited | State::Accepted | State::Parting | State::Established, _) => &mut self.dialog,
        };
        if !dialog.is(call_id, local, remote) {
            return Err(unknown());
        }
        if dialog.on_request(request.cseq().number) == Order::OutOfOrder {
            return Err(Reject::status(500, "CSeq is out of order"));
        }
        match method {
            Method::Bye => match self.step(Input::Bye) {
                Step::TakeBye => Ok(InDialog::Bye),
                _ => Err(unknown()),
            },
            Method::Message | Method::Info if self.state == State::Invited => Err(later(ids)),
            Method::Message => Ok(InDialog::Text),
            Method::Info => Ok(InDialog::Info),
            Method::Invite | Method::Update => self.on_change(method, request, ids),
            _ => Err(unknown()),
        }
    }

    /// Has a 1xx made the dialog with this tag?
    fn is_early(&self, remote: Option<&str>) -> bool {
        self.early.as_ref().is_some_and(|early| early.remote_tag() == remote)
    }

    /// May the peer change the session now (RFC 3261 §14.2, RFC 3311 §5.2)?
    fn on_change(
        &mut self,
        method: Method<'_>,
        request: &Message<'_>,
        ids: &mut Ids,
    ) -> Result<InDialog, Reject> {
        let glare = || Reject::status(491, "another change of the session is under way");
        let offers = method == Method::Invite || !request.body.is_empty();
        match self.state {
            State::Invited => return Err(later(ids)),
            State::Established if !offers => {}
            State::Established if self.refreshing.is_none() && self.unacknowledged.is_none() => {}
            State::Inviting | State::Leaving | State::Accepted | State::Parting | State::Established => {
                return Err(glare());
            }
            State::Over => return Err(Reject::status(481, "no such session")),
        }
        self.timer.asked(request)?;
        if method == Method::Invite {
            super::contact(request)?;
        }
        Ok(InDialog::Refresh)
    }

    /// The re-INVITE or UPDATE of the peer is accepted, with this description unless it is empty. What
    /// comes back are the headers of the 200 besides Content-Type.
    ///
    /// # Errors
    /// As [`Session::on_request`], which has found none.
    pub fn accept_refresh(
        &mut self,
        now: Mono,
        request: &Message<'_>,
        contact: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<Vec<(Name, String)>, Reject> {
        let mut timer = self.timer.asked(request)?;
        timer.arm(now);
        self.timer = timer;
        self.move_to(request);
        self.learn(request);
        if !body.is_empty() {
            self.description = Description::new(content_type, body);
        }
        if request.method() == Some(Method::Invite) {
            self.wait_for_ack(now, request.cseq().number);
        }
        Ok(self.accept_headers(contact, &timer))
    }

    /// What refreshes the session: an UPDATE without a body where the peer takes it, else a re-INVITE with
    /// the description that it has (RFC 4028 §7.4). None if one is under way.
    ///
    /// An offer that met another request goes out again.
    pub(super) fn refresh(&mut self) -> Option<SessionRequest> {
        if self.refreshing.is_some() {
            return None;
        }
        let method = if self.updates && self.offered.is_none() { Method::Update } else { Method::Invite };
        let description = self.offered.as_ref().or(self.description.as_ref()).cloned();
        let description = description.filter(|_| method == Method::Invite);
        if method == Method::Invite && description.is_none() {
            // A re-INVITE without an offer would ask for one.
            return None;
        }
        let cseq = self.dialog.next_cseq(1)?;
        self.timer.refreshing();
        self.refreshing = Some(Refreshing { method, cseq });
        let request = SessionRequest::new(&self.dialog, method, cseq).with_timer(self.timer.stated());
        Some(match description {
            Some(kept) => request.with_body(&kept.content_type, &kept.body),
            None => request,
        })
    }

    /// A response to a re-INVITE or UPDATE of ours.
    pub(super) fn on_refresh_answer(
        &mut self,
        now: Mono,
        method: Method<'_>,
        status: u16,
        response: &Message<'_>,
        request: Option<&SessionRequest>,
        ids: &mut Ids,
    ) -> Answered {
        let cseq = response.cseq().number;
        let success = (200..300).contains(&status);
        if self.refreshing != Some(Refreshing { method: known(method), cseq }) {
            // Also when it is over: the peer repeats its 2xx until it hears the ACK.
            let again = success && method == Method::Invite && cseq == self.reinvite;
            return if again { Answered::Acknowledge(self.ack(cseq)) } else { Answered::Nothing };
        }
        match status {
            ..200 => Answered::Nothing,
            200..300 => {
                self.refreshing = None;
                self.timer.on_success(now, response);
                self.move_to(response);
                self.learn(response);
                if method != Method::Invite {
                    return Answered::Refreshed { ack: None };
                }
                self.reinvite = cseq;
                if let Some(offered) = self.offered.take() {
                    self.description = Some(offered);
                }
                Answered::Refreshed { ack: Some(self.ack(cseq)) }
            }
            422 => {
                let Some(request) = request.filter(|_| self.raise(response)) else {
                    return self.refresh_failed(now, cseq, status);
                };
                let Some(number) = self.next_cseq() else { return self.refresh_failed(now, cseq, status) };
                self.refreshing = Some(Refreshing { method: request.method(), cseq: number });
                Answered::Again(request.again(number, self.timer.stated()))
            }
            491 => {
                self.refreshing = None;
                self.retry_at = Some(now + after_glare(self.side, ids));
                Answered::Unchanged { status }
            }
            405 | 501 if method == Method::Update => {
                self.updates = false;
                self.refreshing = None;
                self.retry_at = Some(now);
                Answered::Unchanged { status }
            }
            _ => self.refresh_failed(now, cseq, status),
        }
    }

    /// A refresh of ours failed for good.
    pub(super) fn refresh_failed(&mut self, now: Mono, cseq: u32, status: u16) -> Answered {
        if self.refreshing.is_none_or(|refreshing| refreshing.cseq != cseq) {
            return Answered::Nothing;
        }
        self.refreshing = None;
        self.offered = None;
        match status {
            // RFC 3261 §14.1, §12.2.1.2; a refused offer leaves the session as it was.
            408 | 481 => self.lost(status),
            _ => {
                self.timer.again(now);
                Answered::Unchanged { status }
            }
        }
    }

    /// A final response to a MESSAGE, INFO or BYE of ours.
    pub(super) fn on_other_answer(&mut self, method: Method<'_>, status: u16) -> Answered {
        match method {
            Method::Bye | Method::Ack | Method::Cancel => Answered::Nothing,
            _ if ends_dialog(status) => self.lost(status),
            _ => Answered::Nothing,
        }
    }

    /// A 422 came: false if it asks for nothing that can be given, or for the fifth time.
    pub(super) fn raise(&mut self, response: &Message<'_>) -> bool {
        let raised = self.raised < MAX_RAISED && self.timer.raise(response);
        self.raised += u8::from(raised);
        raised
    }

    fn lost(&mut self, status: u16) -> Answered {
        match self.step(Input::Lost) {
            Step::SendBye => Answered::Gone { bye: Some(self.bye()), status },
            Step::Wait => Answered::Gone { bye: None, status },
            _ => Answered::Nothing,
        }
    }

    /// Did the peer send the INVITE?
    pub fn is_callee(&self) -> bool {
        self.side == Side::Callee
    }

    /// Is an ACK owed to us that may have the answer to an offer in our 2xx?
    pub fn awaits_ack(&self) -> bool {
        self.unacknowledged.is_some()
    }
}

/// Does this final response to a request inside of a dialog end all that is in it (RFC 5057 §5.1)? 408
/// stands for silence too (RFC 3261 §12.2.1.2).
pub fn ends_dialog(status: u16) -> bool {
    matches!(status, 404 | 408 | 410 | 416 | 481 | 482 | 483 | 484 | 485 | 502 | 604)
}

/// 500 with Retry-After (RFC 3261 §14.2).
fn later(ids: &mut Ids) -> Reject {
    let seconds = ids.below(11).to_string();
    Reject::status(500, "the INVITE is not answered yet").with(Name::RetryAfter, seconds)
}

/// A method without the message that it was read from.
fn known(method: Method<'_>) -> Method<'static> {
    match method {
        Method::Invite => Method::Invite,
        _ => Method::Update,
    }
}
