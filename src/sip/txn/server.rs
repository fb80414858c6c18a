//! The server machines: INVITE (RFC 3261 §17.2.1 with RFC 6026 §7.1) and non-INVITE (§17.2.2 with
//! RFC 4320 §4).
//!
//! ```text
//!  INVITE                                        non-INVITE
//!  Proceeding ──2xx──▶ Accepted ──L──▶ Term.     Trying ──100──▶ Proceeding
//!    │ 1xx: send         │ 2xx: send               │               │ request: answer again
//!    │ INVITE: answer    │ INVITE: absorb          │ 3.5 s: 100    │
//!    │ 0.2 s: 100        │ ACK: to the user        └─200-699─▶ Completed ◀──┘
//!    └──300-699──▶ Completed ──ACK──▶ Confirmed                  │ request: answer again
//!                    │ G: answer again   │ I                     ▼ J
//!                    │ H: timeout        ▼                    Terminated
//!                    ▼                Terminated
//!                 Terminated
//! ```
//!
//! A transport error ends no server transaction (RFC 6026 §8.8): the request may come again, and
//! must then not count as new. What the user never answers ends too: a non-INVITE after 64·T1,
//! when its client has given up (and 408 is forbidden, RFC 4320 §4.2), an INVITE after Timer C.

use super::client::{earlier, is_due};
use super::{Class, Reliability, Timers};
use crate::now::Mono;

/// What a server transaction wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerAction {
    /// Nothing: the input was absorbed.
    Nothing,
    /// Send the response that the user gave.
    Send,
    /// Send a 100 (Trying) now.
    SendTrying,
    /// Send the last response again.
    Retransmit,
    /// Hand the ACK to the user.
    DeliverAck,
    /// The user's response must not be sent: out of order, a late second final response, or one
    /// that RFC 4320 forbids.
    Refused,
    /// No ACK came for a 300-699 (Timer H).
    Timeout,
    /// The user never gave a final response.
    Expired,
    /// The transport failed; the transaction stays.
    TransportFailed,
    /// The transaction has ended, the user knows its outcome already (Timers I, J, L).
    Terminated,
}

/// The states of [`ServerInvite`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerInviteState {
    /// No final response yet.
    Proceeding,
    /// Answered 2xx (RFC 6026 §7.1).
    Accepted,
    /// Answered 300-699, not yet acknowledged.
    Completed,
    /// Acknowledged.
    Confirmed,
    /// Over.
    Terminated,
}

/// The INVITE server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerInvite {
    state: ServerInviteState,
    reliability: Reliability,
    /// How often Timer G fired.
    doublings: u8,
    /// The 100 after 200 ms, or Timer G.
    repeat_at: Option<Mono>,
    /// Timer C, H, I or L.
    end_at: Option<Mono>,
}

impl ServerInvite {
    /// A transaction whose INVITE came at `now`.
    pub fn new(now: Mono, reliability: Reliability) -> Self {
        Self {
            state: ServerInviteState::Proceeding,
            reliability,
            doublings: 0,
            repeat_at: Some(now + Timers::INVITE_TRYING),
            end_at: Some(now + Timers::C),
        }
    }

    /// The state.
    pub fn state(&self) -> ServerInviteState {
        self.state
    }

    /// Whether the transaction is over and can be forgotten.
    pub fn is_terminated(&self) -> bool {
        self.state == ServerInviteState::Terminated
    }

    /// Whether the final response is given.
    pub fn is_answered(&self) -> bool {
        self.state != ServerInviteState::Proceeding
    }

    /// When [`Self::on_timer`] is due.
    pub fn deadline(&self) -> Option<Mono> {
        earlier(self.repeat_at, self.end_at)
    }

    /// The INVITE came again.
    pub fn on_request(&mut self) -> ServerAction {
        use ServerInviteState::{Accepted, Completed, Confirmed, Proceeding, Terminated};
        match self.state {
            Proceeding | Completed => ServerAction::Retransmit,
            Accepted | Confirmed | Terminated => ServerAction::Nothing,
        }
    }

    /// An ACK came that matches this transaction.
    pub fn on_ack(&mut self, now: Mono) -> ServerAction {
        use ServerInviteState::{Accepted, Completed, Confirmed, Proceeding, Terminated};
        match self.state {
            Completed => {
                self.repeat_at = None;
                match self.reliability.linger(Timers::T4) {
                    Some(wait) => {
                        self.state = Confirmed;
                        self.end_at = Some(now + wait);
                    }
                    None => self.terminate(),
                }
                ServerAction::Nothing
            }
            Accepted => ServerAction::DeliverAck,
            Proceeding | Confirmed | Terminated => ServerAction::Nothing,
        }
    }

    /// The user answers with `status`.
    pub fn on_respond(&mut self, now: Mono, status: u16) -> ServerAction {
        use ServerInviteState::{Accepted, Completed, Confirmed, Proceeding, Terminated};
        let Some(class) = Class::of(status) else { return ServerAction::Refused };
        match (self.state, class) {
            (Proceeding, Class::Provisional) => {
                self.repeat_at = None;
                ServerAction::Send
            }
            (Proceeding, Class::Success) => {
                self.state = Accepted;
                self.repeat_at = None;
                self.end_at = Some(now + Timers::LIFE);
                ServerAction::Send
            }
            (Proceeding, Class::Failure) => {
                self.state = Completed;
                self.repeat_at = self.reliability.linger(Timers::T1).map(|wait| now + wait);
                self.end_at = Some(now + Timers::LIFE);
                ServerAction::Send
            }
            (Accepted, Class::Success) => ServerAction::Send,
            (Accepted, Class::Provisional | Class::Failure)
            | (Completed | Confirmed | Terminated, Class::Provisional | Class::Success | Class::Failure) => {
                ServerAction::Refused
            }
        }
    }

    /// The transport could not send (RFC 6026 §8.8).
    pub fn on_transport_error(&mut self) -> ServerAction {
        use ServerInviteState::{Accepted, Completed, Confirmed, Proceeding, Terminated};
        match self.state {
            Proceeding | Accepted | Completed => ServerAction::TransportFailed,
            Confirmed | Terminated => ServerAction::Nothing,
        }
    }

    /// The deadline has passed.
    pub fn on_timer(&mut self, now: Mono) -> ServerAction {
        use ServerInviteState::{Accepted, Completed, Confirmed, Proceeding, Terminated};
        if is_due(self.end_at, now) {
            let state = self.state;
            self.terminate();
            return match state {
                Proceeding => ServerAction::Expired,
                Completed => ServerAction::Timeout,
                Accepted | Confirmed => ServerAction::Terminated,
                Terminated => ServerAction::Nothing,
            };
        }
        if is_due(self.repeat_at, now) {
            return match self.state {
                Proceeding => {
                    self.repeat_at = None;
                    ServerAction::SendTrying
                }
                Completed => {
                    self.doublings = self.doublings.saturating_add(1);
                    self.repeat_at = Some(now + Timers::doubled_to_t2(self.doublings));
                    ServerAction::Retransmit
                }
                Accepted | Confirmed | Terminated => ServerAction::Nothing,
            };
        }
        ServerAction::Nothing
    }

    fn terminate(&mut self) {
        self.state = ServerInviteState::Terminated;
        self.repeat_at = None;
        self.end_at = None;
    }
}

/// The states of [`ServerNonInvite`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerNonInviteState {
    /// No response yet.
    Trying,
    /// Answered 100.
    Proceeding,
    /// The final response is given.
    Completed,
    /// Over.
    Terminated,
}

/// The non-INVITE server transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerNonInvite {
    state: ServerNonInviteState,
    reliability: Reliability,
    /// When 100 becomes allowed on UDP and due everywhere; none once it is sent.
    trying_at: Option<Mono>,
    /// The end of the wait for the user, or Timer J.
    end_at: Option<Mono>,
}

impl ServerNonInvite {
    /// A transaction whose request came at `now`.
    pub fn new(now: Mono, reliability: Reliability) -> Self {
        Self {
            state: ServerNonInviteState::Trying,
            reliability,
            trying_at: Some(now + Timers::NON_INVITE_TRYING),
            end_at: Some(now + Timers::LIFE),
        }
    }

    /// The state.
    pub fn state(&self) -> ServerNonInviteState {
        self.state
    }

    /// Whether the transaction is over and can be forgotten.
    pub fn is_terminated(&self) -> bool {
        self.state == ServerNonInviteState::Terminated
    }

    /// Whether the final response is given.
    pub fn is_answered(&self) -> bool {
        use ServerNonInviteState::{Completed, Proceeding, Terminated, Trying};
        match self.state {
            Completed | Terminated => true,
            Trying | Proceeding => false,
        }
    }

    /// When [`Self::on_timer`] is due.
    pub fn deadline(&self) -> Option<Mono> {
        earlier(self.trying_at, self.end_at)
    }

    /// The request came again.
    pub fn on_request(&mut self) -> ServerAction {
        use ServerNonInviteState::{Completed, Proceeding, Terminated, Trying};
        match self.state {
            Proceeding | Completed => ServerAction::Retransmit,
            Trying | Terminated => ServerAction::Nothing,
        }
    }

    /// The user answers with `status`. RFC 4320 §4 refuses: any provisional but 100, a 100 on UDP
    /// in the first 3.5 s, and 408.
    pub fn on_respond(&mut self, now: Mono, status: u16) -> ServerAction {
        use ServerNonInviteState::{Completed, Proceeding, Terminated, Trying};
        let Some(class) = Class::of(status) else { return ServerAction::Refused };
        match (self.state, class) {
            (Trying, Class::Provisional) if status == 100 && self.may_try(now) => {
                self.state = Proceeding;
                self.trying_at = None;
                ServerAction::Send
            }
            (Trying | Proceeding, Class::Success | Class::Failure) if status != 408 => {
                self.trying_at = None;
                match self.reliability.linger(Timers::LIFE) {
                    Some(wait) => {
                        self.state = Completed;
                        self.end_at = Some(now + wait);
                    }
                    None => self.terminate(),
                }
                ServerAction::Send
            }
            (
                Trying | Proceeding | Completed | Terminated,
                Class::Provisional | Class::Success | Class::Failure,
            ) => ServerAction::Refused,
        }
    }

    /// The transport could not send (RFC 6026 §8.8).
    pub fn on_transport_error(&mut self) -> ServerAction {
        use ServerNonInviteState::{Completed, Proceeding, Terminated, Trying};
        match self.state {
            Proceeding | Completed => ServerAction::TransportFailed,
            Trying | Terminated => ServerAction::Nothing,
        }
    }

    /// The deadline has passed.
    pub fn on_timer(&mut self, now: Mono) -> ServerAction {
        use ServerNonInviteState::{Completed, Proceeding, Terminated, Trying};
        if is_due(self.end_at, now) {
            let state = self.state;
            self.terminate();
            return match state {
                Trying | Proceeding => ServerAction::Expired,
                Completed => ServerAction::Terminated,
                Terminated => ServerAction::Nothing,
            };
        }
        if is_due(self.trying_at, now) {
            self.trying_at = None;
            self.state = Proceeding;
            return ServerAction::SendTrying;
        }
        ServerAction::Nothing
    }

    /// Whether a 100 may be sent at `now`.
    fn may_try(&self, now: Mono) -> bool {
        match self.reliability {
            Reliability::Reliable => true,
            Reliability::Unreliable => is_due(self.trying_at, now),
        }
    }

    fn terminate(&mut self) {
        self.state = ServerNonInviteState::Terminated;
        self.trying_at = None;
        self.end_at = None;
    }
}
