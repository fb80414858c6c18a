//! The client machines: INVITE (RFC 3261 §17.1.1 with RFC 6026 §7.2) and non-INVITE (§17.1.2).
//!
//! ```text
//!  INVITE                                     non-INVITE
//!  Calling ──1xx──▶ Proceeding                Trying ──1xx──▶ Proceeding
//!    │ A: retransmit   │ 1xx: deliver           │ E: retransmit  │ E (T2), 1xx: deliver
//!    │ B: timeout      │ C: timeout             │ F: timeout     │ F: timeout
//!    ├──2xx──▶ Accepted ◀──2xx──┤               └──200-699──▶ Completed ◀──┘
//!    │           │ 2xx: deliver │                              │ K
//!    │           │ M            │                              ▼
//!    │           ▼              │                           Terminated
//!    │        Terminated        │
//!    └─300-699─▶ Completed ◀────┘
//!                  │ 300-699: ACK again
//!                  ▼ D
//!               Terminated
//! ```
//!
//! A final response is delivered once (2xx to INVITE: each copy, the dialog's user acknowledges
//! it). Status codes outside 100-699 and responses that a state does not expect change nothing.

use super::cancel::CancelStep;
use super::{Class, Reliability, Timers};
use crate::now::Mono;

/// What a client transaction wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAction {
    /// Nothing: the input was absorbed.
    Nothing,
    /// Send the request again, to the same host.
    Retransmit,
    /// Hand the response to the user.
    Deliver,
    /// Hand the response to the user and send the ACK that belongs to it (RFC 3261 §17.1.1.3).
    DeliverAndAck,
    /// Send that ACK again; the user has seen the response already.
    Ack,
    /// No final response came in time (Timers B, C, F).
    Timeout,
    /// The transport failed.
    TransportFailed,
    /// The transaction has ended, the user knows its outcome already (Timers D, K, M).
    Terminated,
}

/// The states of [`ClientInvite`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientInviteState {
    /// Sent, nothing heard.
    Calling,
    /// A provisional response came.
    Proceeding,
    /// A 2xx came (RFC 6026 §7.2).
    Accepted,
    /// A 300-699 came and is acknowledged.
    Completed,
    /// Over.
    Terminated,
}

/// The INVITE client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientInvite {
    state: ClientInviteState,
    reliability: Reliability,
    /// How often Timer A fired.
    doublings: u8,
    cancelled: bool,
    /// Timer A.
    retransmit_at: Option<Mono>,
    /// Timer B, C, D or M.
    end_at: Option<Mono>,
}

impl ClientInvite {
    /// A transaction whose INVITE is sent at `now`.
    pub fn new(now: Mono, reliability: Reliability) -> Self {
        Self {
            state: ClientInviteState::Calling,
            reliability,
            doublings: 0,
            cancelled: false,
            retransmit_at: reliability.linger(Timers::T1).map(|wait| now + wait),
            end_at: Some(now + Timers::LIFE),
        }
    }

    /// The reliability of the transport that carries it.
    pub(super) fn reliability(&self) -> Reliability {
        self.reliability
    }

    /// The state.
    pub fn state(&self) -> ClientInviteState {
        self.state
    }

    /// Whether the transaction is over and can be forgotten.
    pub fn is_terminated(&self) -> bool {
        self.state == ClientInviteState::Terminated
    }

    /// When [`Self::on_timer`] is due.
    pub fn deadline(&self) -> Option<Mono> {
        earlier(self.retransmit_at, self.end_at)
    }

    /// A response came (RFC 3261 §17.1.1.2, RFC 6026 §8.4).
    pub fn on_response(&mut self, now: Mono, status: u16) -> ClientAction {
        use ClientInviteState::{Accepted, Calling, Completed, Proceeding, Terminated};
        let Some(class) = Class::of(status) else { return ClientAction::Nothing };
        match (self.state, class) {
            (Calling | Proceeding, Class::Provisional) => {
                self.enter(Proceeding);
                if !self.cancelled {
                    self.end_at = Some(now + Timers::C);
                }
                ClientAction::Deliver
            }
            (Calling | Proceeding, Class::Success) => {
                self.enter(Accepted);
                self.end_at = Some(now + Timers::LIFE);
                ClientAction::Deliver
            }
            (Calling | Proceeding, Class::Failure) => {
                match self.reliability.linger(Timers::D) {
                    Some(wait) => {
                        self.enter(Completed);
                        self.end_at = Some(now + wait);
                    }
                    None => self.terminate(),
                }
                ClientAction::DeliverAndAck
            }
            (Accepted, Class::Success) => ClientAction::Deliver,
            (Completed, Class::Failure) => ClientAction::Ack,
            (Accepted, Class::Provisional | Class::Failure)
            | (Completed, Class::Provisional | Class::Success)
            | (Terminated, Class::Provisional | Class::Success | Class::Failure) => ClientAction::Nothing,
        }
    }

    /// The transport could not send, or the connection that carries the transaction is gone.
    ///
    /// DEVIATES RFC 3261 §17.1.4: it also ends the Proceeding state, in which nothing is sent,
    /// because a link that is gone brings no final response, and the user should learn that now.
    pub fn on_transport_error(&mut self) -> ClientAction {
        use ClientInviteState::{Accepted, Calling, Completed, Proceeding, Terminated};
        match self.state {
            Calling | Proceeding | Completed => {
                self.terminate();
                ClientAction::TransportFailed
            }
            Accepted | Terminated => ClientAction::Nothing,
        }
    }

    /// The deadline has passed.
    pub fn on_timer(&mut self, now: Mono) -> ClientAction {
        use ClientInviteState::{Accepted, Calling, Completed, Proceeding, Terminated};
        if is_due(self.end_at, now) {
            let state = self.state;
            self.terminate();
            return match state {
                Calling | Proceeding => ClientAction::Timeout,
                Accepted | Completed => ClientAction::Terminated,
                Terminated => ClientAction::Nothing,
            };
        }
        if is_due(self.retransmit_at, now) {
            self.doublings = self.doublings.saturating_add(1);
            self.retransmit_at = Some(now + Timers::doubled(self.doublings));
            return ClientAction::Retransmit;
        }
        ClientAction::Nothing
    }

    /// The user wants the INVITE cancelled (RFC 3261 §9.1): only after a provisional response, and
    /// from then on the final response has 64·T1 to come.
    pub fn on_cancel(&mut self, now: Mono) -> CancelStep {
        use ClientInviteState::{Accepted, Calling, Completed, Proceeding, Terminated};
        match self.state {
            Calling => CancelStep::AfterProvisional,
            Proceeding if self.cancelled => CancelStep::Already,
            Proceeding => {
                self.cancelled = true;
                self.end_at = Some(now + Timers::LIFE);
                CancelStep::Send
            }
            Accepted | Completed | Terminated => CancelStep::TooLate,
        }
    }

    fn enter(&mut self, state: ClientInviteState) {
        self.state = state;
        self.retransmit_at = None;
    }

    fn terminate(&mut self) {
        self.enter(ClientInviteState::Terminated);
        self.end_at = None;
    }
}

/// The states of [`ClientNonInvite`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientNonInviteState {
    /// Sent, nothing heard.
    Trying,
    /// A provisional response came.
    Proceeding,
    /// The final response came; copies of it are absorbed.
    Completed,
    /// Over.
    Terminated,
}

/// The non-INVITE client transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientNonInvite {
    state: ClientNonInviteState,
    reliability: Reliability,
    /// How often Timer E fired.
    doublings: u8,
    /// Timer E.
    retransmit_at: Option<Mono>,
    /// Timer F or K.
    end_at: Option<Mono>,
}

impl ClientNonInvite {
    /// A transaction whose request is sent at `now`.
    pub fn new(now: Mono, reliability: Reliability) -> Self {
        Self {
            state: ClientNonInviteState::Trying,
            reliability,
            doublings: 0,
            retransmit_at: reliability.linger(Timers::T1).map(|wait| now + wait),
            end_at: Some(now + Timers::LIFE),
        }
    }

    /// The user waits no longer than `until`: Timer F comes then at the latest.
    pub fn limit(&mut self, until: Mono) {
        use ClientNonInviteState::{Completed, Proceeding, Terminated, Trying};
        match self.state {
            Trying | Proceeding => self.end_at = self.end_at.map(|at| at.min(until)),
            Completed | Terminated => {}
        }
    }

    /// The state.
    pub fn state(&self) -> ClientNonInviteState {
        self.state
    }

    /// Whether the transaction is over and can be forgotten.
    pub fn is_terminated(&self) -> bool {
        self.state == ClientNonInviteState::Terminated
    }

    /// When [`Self::on_timer`] is due.
    pub fn deadline(&self) -> Option<Mono> {
        earlier(self.retransmit_at, self.end_at)
    }

    /// A response came (RFC 3261 §17.1.2.2). Timer F runs on after a provisional one.
    pub fn on_response(&mut self, now: Mono, status: u16) -> ClientAction {
        use ClientNonInviteState::{Completed, Proceeding, Terminated, Trying};
        let Some(class) = Class::of(status) else { return ClientAction::Nothing };
        match (self.state, class) {
            (Trying | Proceeding, Class::Provisional) => {
                self.state = Proceeding;
                ClientAction::Deliver
            }
            (Trying | Proceeding, Class::Success | Class::Failure) => {
                match self.reliability.linger(Timers::T4) {
                    Some(wait) => {
                        self.state = Completed;
                        self.retransmit_at = None;
                        self.end_at = Some(now + wait);
                    }
                    None => self.terminate(),
                }
                ClientAction::Deliver
            }
            (Completed | Terminated, Class::Provisional | Class::Success | Class::Failure) => {
                ClientAction::Nothing
            }
        }
    }

    /// The transport could not send, or the connection that carries the transaction is gone.
    pub fn on_transport_error(&mut self) -> ClientAction {
        use ClientNonInviteState::{Completed, Proceeding, Terminated, Trying};
        match self.state {
            Trying | Proceeding => {
                self.terminate();
                ClientAction::TransportFailed
            }
            Completed | Terminated => ClientAction::Nothing,
        }
    }

    /// The deadline has passed.
    pub fn on_timer(&mut self, now: Mono) -> ClientAction {
        use ClientNonInviteState::{Completed, Proceeding, Terminated, Trying};
        if is_due(self.end_at, now) {
            let state = self.state;
            self.terminate();
            return match state {
                Trying | Proceeding => ClientAction::Timeout,
                Completed => ClientAction::Terminated,
                Terminated => ClientAction::Nothing,
            };
        }
        if is_due(self.retransmit_at, now) {
            self.doublings = self.doublings.saturating_add(1);
            let wait = match self.state {
                Proceeding => Timers::T2,
                Trying | Completed | Terminated => Timers::doubled_to_t2(self.doublings),
            };
            self.retransmit_at = Some(now + wait);
            return ClientAction::Retransmit;
        }
        ClientAction::Nothing
    }

    fn terminate(&mut self) {
        self.state = ClientNonInviteState::Terminated;
        self.retransmit_at = None;
        self.end_at = None;
    }
}

/// The earlier of two deadlines.
pub(super) fn earlier(a: Option<Mono>, b: Option<Mono>) -> Option<Mono> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

/// Whether `deadline` is set and has passed.
pub(super) fn is_due(deadline: Option<Mono>, now: Mono) -> bool {
    deadline.is_some_and(|at| at <= now)
}
