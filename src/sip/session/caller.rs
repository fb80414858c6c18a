//! The caller's end: our INVITE and its answers (RFC 3261 §13.2).

use super::state::{Input, Step};
use super::timer::{Timer, Timing};
use super::{
    Description, MAX_DESCRIPTION, MAX_DIALOG, MAX_FORKS, Session, SessionRequest, Side, State, contact,
    record_routes,
};
use crate::addr::{Jid, map};
use crate::ids::Ids;
use crate::now::Mono;
use crate::sip::dialog::{Dialog, DialogError, Establishing, Met};
use crate::sip::digest::Credentials;
use crate::sip::merged::LoopGuard;
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::name::Name;
use crate::sip::subscription::tag::tag_of;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// What an INVITE of ours consists of.
#[derive(Clone, Copy, Debug)]
pub struct Invite<'a> {
    /// Who asks, an XMPP contact: as a bare address.
    pub from: &'a Jid,
    /// Who is asked, one of our SIP users: as a bare address.
    pub to: &'a Jid,
    /// Call-ID, if the conversation belongs to a thread that has one; else a new one is minted.
    pub call_id: Option<&'a str>,
    /// Headers of its user, such as Subject, each a name and a value.
    pub headers: &'a [(&'a str, &'a str)],
    /// Content-Type of the offer.
    pub content_type: &'a str,
    /// The offer, in at most [`MAX_DESCRIPTION`] octets with its type.
    pub body: &'a [u8],
    /// The session timer.
    pub timing: Timing,
}

/// What a response, or none in time, means to the session.
#[derive(Debug)]
pub enum Answered {
    /// Nothing that its user would have to do.
    Nothing,
    /// 1xx to the INVITE, also a 101: it can be cancelled from now on.
    Ringing,
    /// The INVITE is not wanted any more: cancel its transaction, which knows whether it may be.
    Cancel,
    /// 2xx to the INVITE: send the ACK. The answer is the body of the response.
    Established {
        /// The ACK.
        ack: SessionRequest,
    },
    /// A 2xx again: send the ACK again.
    Acknowledge(SessionRequest),
    /// A 2xx of another branch of a fork: one session only, that one ends. This one goes on.
    Forked {
        /// The ACK for that branch.
        ack: SessionRequest,
        /// Its BYE.
        bye: SessionRequest,
    },
    /// A 2xx to an INVITE that is not wanted any more, or one that can make no dialog: the session is over.
    Ended {
        /// The ACK.
        ack: SessionRequest,
        /// The BYE.
        bye: SessionRequest,
        /// Why.
        why: Why,
    },
    /// Send this instead, now: 422 (RFC 4028 §7.3).
    Again(SessionRequest),
    /// The INVITE failed with this status code; the session is over.
    Refused {
        /// 408 if nobody answered.
        status: u16,
    },
    /// Our re-INVITE or UPDATE was accepted. The answer is the body of the response.
    Refreshed {
        /// The ACK of a re-INVITE.
        ack: Option<SessionRequest>,
    },
    /// Our re-INVITE or UPDATE was refused with this status code; the session is as it was.
    Unchanged {
        /// The status code.
        status: u16,
    },
    /// The peer lost the dialog or is silent (RFC 3261 §12.2.1.2, RFC 5057 §5.1): the session is over.
    Gone {
        /// The BYE, where one is to be sent.
        bye: Option<SessionRequest>,
        /// The status code.
        status: u16,
    },
}

/// Why a 2xx made no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was not wanted any more.
    Unwanted,
    /// Its Contact, tag or Record-Route can't be used.
    Unusable,
}

impl Session {
    /// A session that `invite` asks for, with a new tag that names `slot`, and the INVITE.
    ///
    /// # Errors
    /// [`DialogError`]: an address, the Call-ID or the offer is too long.
    pub fn inviting(
        invite: &Invite<'_>,
        slot: u32,
        guard: &LoopGuard,
        ids: &mut Ids,
    ) -> Result<(Self, SessionRequest), DialogError> {
        let uri = |jid: &Jid| {
            let mut octets = Vec::with_capacity(64);
            map::uri_from_jid(&jid.to_bare(), &mut octets);
            String::from_utf8(octets).map_err(|_| DialogError::Contact)
        };
        let (from, to) = (uri(invite.from)?, uri(invite.to)?);
        let tag = tag_of(&guard.stamp(ids.mint()), slot);
        let minted = ids.mint();
        let by = Establishing {
            call_id: invite.call_id.unwrap_or(minted.as_str()),
            from_uri: &from,
            from_tag: Some(&tag),
            to_uri: &to,
            to_tag: None,
            cseq: 0,
            contact: &to,
            request_uri: &to,
            over_tls: false,
        };
        let mut dialog = Dialog::uac(&by, [])?;
        if dialog.octets() > MAX_DIALOG || invite.content_type.len() + invite.body.len() > MAX_DESCRIPTION {
            return Err(DialogError::TooLong);
        }
        let cseq = dialog.next_cseq(1).ok_or(DialogError::Cseq)?;
        let timer = Timer::new(invite.timing);
        let request = SessionRequest::new(&dialog, Method::Invite, cseq)
            .with_headers(invite.headers)
            .with_body(invite.content_type, invite.body)
            .with_timer(timer.stated());
        let description = Description::new(invite.content_type, invite.body);
        let session = Self::new(dialog, State::Inviting, Side::Caller, cseq, timer, description);
        Ok((session, request))
    }

    pub(super) fn new(
        dialog: Dialog,
        state: State,
        side: Side,
        invite: u32,
        timer: Timer,
        description: Option<Box<Description>>,
    ) -> Self {
        Self {
            dialog,
            early: None,
            state,
            side,
            invite,
            reinvite: 0,
            authorization: None,
            timer,
            description,
            offered: None,
            updates: false,
            refreshing: None,
            unacknowledged: None,
            retry_at: None,
            answer_by: None,
            forks: Vec::new(),
            raised: 0,
        }
    }

    /// A response to a request of this session: to the INVITE each one, also each copy of a 2xx, to others
    /// the final one. A challenge that can be met comes to [`Session::answer_challenge`] instead.
    ///
    /// `request` is the one that was sent, if it is still there: it is needed for
    /// [`Answered::Again`] alone.
    pub fn on_response(
        &mut self,
        now: Mono,
        response: &Message<'_>,
        request: Option<&SessionRequest>,
        ids: &mut Ids,
    ) -> Answered {
        let (Some(status), cseq) = (response.status(), response.cseq()) else { return Answered::Nothing };
        if !self.is(response.call_id(), response.from().tag) {
            return Answered::Nothing;
        }
        match cseq.method {
            Method::Invite if self.side == Side::Caller && cseq.number == self.invite => {
                self.on_answer(now, status, response, request)
            }
            Method::Invite | Method::Update => {
                self.on_refresh_answer(now, cseq.method, status, response, request, ids)
            }
            _ => self.on_other_answer(cseq.method, status),
        }
    }

    /// A request of this session has no final response: its transaction timed out (408), or its link or
    /// server failed (503).
    pub fn on_failure(&mut self, now: Mono, request: &SessionRequest, status: u16) -> Answered {
        let (method, cseq) = (request.method(), request.cseq());
        match method {
            Method::Invite if self.side == Side::Caller && cseq == self.invite => self.fail(status),
            Method::Invite | Method::Update => self.refresh_failed(now, cseq, status),
            _ => self.on_other_answer(method, status),
        }
    }

    /// Puts an answer to the challenge of a 401 or 407 into `request`, and gives it the next CSeq number
    /// (RFC 3261 §22.2). False if the challenge can't be met: the response is final then.
    pub fn answer_challenge(
        &mut self,
        request: &mut SessionRequest,
        response: &Message<'_>,
        credentials: Option<&Credentials>,
        ids: &mut Ids,
    ) -> bool {
        let Some(status) = response.status() else { return false };
        let name = if status == 401 { Name::WwwAuthenticate } else { Name::ProxyAuthenticate };
        if self.state == State::Leaving {
            return false;
        }
        // A number that is not used would be missed (RFC 3261 §12.2.1.1).
        let mut dialog = self.dialog.clone();
        let Some(cseq) = dialog.next_cseq(1) else { return false };
        let before = request.cseq();
        if !request.answer_challenge(status, response.headers(name), credentials, Some(cseq), ids) {
            return false;
        }
        self.dialog = dialog;
        if request.method() == Method::Invite {
            self.authorization = request.authorization().cloned().map(Box::new);
            if self.side == Side::Caller && before == self.invite {
                self.invite = cseq;
                self.early = None;
            }
        }
        if let Some(refreshing) = &mut self.refreshing
            && refreshing.cseq == before
        {
            refreshing.cseq = cseq;
        }
        true
    }

    /// A response to the INVITE that asked for the session.
    fn on_answer(
        &mut self,
        now: Mono,
        status: u16,
        response: &Message<'_>,
        request: Option<&SessionRequest>,
    ) -> Answered {
        match status {
            100..=199 => {
                self.on_early(status, response);
                match self.step(Input::Progress) {
                    Step::Ring => Answered::Ringing,
                    Step::Cancel => Answered::Cancel,
                    _ => Answered::Nothing,
                }
            }
            200..=299 => self.on_success(now, response),
            422 if self.state == State::Inviting => {
                let Some(request) = request.filter(|_| self.raise(response)) else {
                    return self.fail(status);
                };
                let Some(cseq) = self.next_cseq() else { return self.fail(status) };
                self.invite = cseq;
                self.early = None;
                // The same request as far as a proxy that wanted a login knows: it will ask again.
                Answered::Again(request.again(cseq, self.timer.stated()))
            }
            _ => self.fail(status),
        }
    }

    fn fail(&mut self, status: u16) -> Answered {
        match self.step(Input::Failure) {
            Step::Refuse => Answered::Refused { status },
            _ => Answered::Nothing,
        }
    }

    /// A 101-199 with a tag makes an early dialog (RFC 3261 §12.1.2).
    fn on_early(&mut self, status: u16, response: &Message<'_>) {
        let open = matches!(self.state, State::Inviting | State::Leaving) && self.early.is_none();
        let (true, 101.., Some(tag)) = (open, status, response.to().tag) else { return };
        if let Some(dialog) = self.met(tag, response) {
            self.early = Some(Box::new(dialog));
        }
    }

    fn on_success(&mut self, now: Mono, response: &Message<'_>) -> Answered {
        let tag = response.to().tag.unwrap_or_default();
        let cseq = self.invite;
        if matches!(self.state, State::Inviting | State::Leaving) {
            let dialog = self.confirmed(tag, response).filter(|_| !tag.is_empty());
            let why = if dialog.is_some() { Why::Unwanted } else { Why::Unusable };
            // What can't be reached where it says it is can be where it was asked for.
            let unusable = dialog.is_none();
            self.dialog = match dialog {
                Some(dialog) => dialog,
                None => self.met_nowhere(tag),
            };
            if unusable && self.state == State::Inviting {
                self.step(Input::End);
            }
            self.early = None;
            return match self.step(Input::Success) {
                Step::Establish => {
                    self.learn(response);
                    self.timer.on_success(now, response);
                    Answered::Established { ack: self.ack(cseq) }
                }
                _ => {
                    let ack = self.ack(cseq);
                    Answered::Ended { ack, bye: self.bye(), why }
                }
            };
        }
        if self.dialog.remote_tag() == Some(tag) || tag.is_empty() {
            return match self.step(Input::Success) {
                Step::AckAgain => Answered::Acknowledge(self.ack(cseq)),
                _ => Answered::Nothing,
            };
        }
        self.on_fork(cseq, tag, response)
    }

    /// A 2xx of another branch (RFC 3261 §13.2.2.4).
    fn on_fork(&mut self, cseq: u32, tag: &str, response: &Message<'_>) -> Answered {
        let mut dialog = match self.met(tag, response) {
            Some(dialog) => dialog,
            None => self.met_nowhere(tag),
        };
        let ack = SessionRequest::new(&dialog, Method::Ack, cseq).authorized(self.authorization.as_deref());
        let mut print = DefaultHasher::new();
        tag.hash(&mut print);
        let print = print.finish();
        if self.forks.contains(&print) {
            return Answered::Acknowledge(ack);
        }
        let number = dialog.next_cseq(1);
        let (true, Some(number)) = (self.forks.len() < MAX_FORKS, number) else { return Answered::Nothing };
        self.forks.push(print);
        let bye = SessionRequest::new(&dialog, Method::Bye, number);
        Answered::Forked { ack, bye }
    }

    /// The dialog that a response with `tag` makes.
    fn met(&self, tag: &str, response: &Message<'_>) -> Option<Dialog> {
        let (contact, routes) = (contact(response).ok()?, record_routes(response).ok()?);
        let mut dialog = self.dialog.clone();
        dialog.meet(tag, contact, routes.iter().copied(), Met::Response).ok()?;
        (dialog.octets() <= MAX_DIALOG).then_some(dialog)
    }

    /// The dialog that a 2xx makes: of the early one with this tag, with what the peer sent in it, or a new
    /// one.
    fn confirmed(&self, tag: &str, response: &Message<'_>) -> Option<Dialog> {
        let Some(early) = self.early.as_ref().filter(|early| early.remote_tag() == Some(tag)) else {
            return self.met(tag, response);
        };
        let (contact, routes) = (contact(response).ok()?, record_routes(response).ok()?);
        let mut dialog = Dialog::clone(early);
        dialog.confirm(contact, routes.iter().copied()).ok()?;
        // What was counted since is counted here too.
        (dialog.octets() <= MAX_DIALOG).then_some(dialog)
    }

    /// The dialog with a peer that can be reached where it was asked for alone.
    fn met_nowhere(&self, tag: &str) -> Dialog {
        let mut dialog = self.dialog.clone();
        let target = dialog.remote_uri().to_owned();
        let tag = if tag.len() <= MAX_DIALOG / 4 { tag } else { "" };
        // Without a tag that can be kept it stays without one.
        let _ = dialog.meet(tag, &target, [], Met::Response);
        dialog
    }
}

/// When a request that met another is sent again (RFC 3261 §14.1): the owner of the Call-ID waits longer.
pub(super) fn after_glare(side: Side, ids: &mut Ids) -> Duration {
    match side {
        Side::Caller => Duration::from_millis(2100 + 10 * ids.below(191)),
        Side::Callee => Duration::from_millis(10 * ids.below(201)),
    }
}
