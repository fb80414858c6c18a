//! SIP transactions: four pure machines and the two tables that keep them.
//!
//! The machines ([`ClientInvite`], [`ClientNonInvite`], [`ServerInvite`], [`ServerNonInvite`]) are
//! RFC 3261 §17 as corrected by RFC 6026 (Accepted state, Timers L and M, server transactions that
//! outlive transport errors) and RFC 4320 (non-INVITE: 100 alone and late, never 408). Each is a
//! few octets of state and deadlines; none holds a message. [`ClientTable`] and [`ServerTable`]
//! keep them with what their user needs, find the one that a message belongs to, and say when the
//! next of them is due.
//!
//! Nothing here reads a clock, a socket or a random source, and nothing here writes a message: a
//! machine answers each input with one action, and its user performs it.
//!
//! | timer | value | what it ends or repeats |
//! |---|---|---|
//! | A | T1, doubling | INVITE retransmission (unreliable) |
//! | B | 64·T1 | INVITE without any response |
//! | C | 181 s | INVITE with provisional responses only (RFC 3261 §16.6, for both ends here) |
//! | D | 32 s, reliable 0 | absorbing repeated 3xx-6xx to INVITE |
//! | E | T1, doubling up to T2 | non-INVITE retransmission (unreliable) |
//! | F | 64·T1 | non-INVITE without final response |
//! | G | T1, doubling up to T2 | 3xx-6xx retransmission to INVITE (unreliable) |
//! | H | 64·T1 | 3xx-6xx to INVITE without ACK |
//! | I | T4, reliable 0 | absorbing repeated ACK |
//! | J | 64·T1, reliable 0 | answering repeated non-INVITE requests |
//! | K | T4, reliable 0 | absorbing repeated responses to non-INVITE |
//! | L | 64·T1 | absorbing INVITE after 2xx (RFC 6026 §7.1) |
//! | M | 64·T1 | passing on repeated 2xx to INVITE (RFC 6026 §7.2) |

mod branch;
mod cancel;
mod client;
mod client_table;
mod deadlines;
mod print;
mod replay;
mod server;
mod server_table;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod walks;

use std::time::Duration;

pub use branch::{Branch, MAGIC_COOKIE};
pub use cancel::{CancelAnswer, CancelStep, Found};
pub use client::{ClientAction, ClientInvite, ClientInviteState, ClientNonInvite, ClientNonInviteState};
pub use client_table::{ClientKey, ClientTable, Part};
#[cfg(test)]
pub(in crate::sip) use print::Prints;
pub(in crate::sip) use print::{Mix, Print};
pub use print::{PeerKey, RequestKey};
pub use server::{ServerAction, ServerInvite, ServerInviteState, ServerNonInvite, ServerNonInviteState};
pub use server_table::{AckFor, Received, Refused, ServerKey, ServerLimits, ServerTable};

/// The timer values of RFC 3261 §17 (table 4), RFC 6026 and RFC 4320.
#[derive(Clone, Copy, Debug)]
pub struct Timers;

impl Timers {
    /// The round-trip time estimate.
    pub const T1: Duration = Duration::from_millis(500);
    /// The longest interval between retransmissions of a non-INVITE request or a final response.
    pub const T2: Duration = Duration::from_secs(4);
    /// How long a message can stay in the network.
    pub const T4: Duration = Duration::from_secs(5);
    /// 64·T1: Timers B, F, H, J, L and M.
    pub const LIFE: Duration = Duration::from_secs(32);
    /// Timer D on unreliable transports (RFC 3261 §17.1.1.2).
    pub const D: Duration = Duration::from_secs(32);
    /// The longest wait for a final response to INVITE after a provisional one: over three minutes
    /// (RFC 3261 §16.6).
    pub const C: Duration = Duration::from_secs(181);
    /// When an INVITE without response is answered 100 (RFC 3261 §17.2.1).
    pub const INVITE_TRYING: Duration = Duration::from_millis(200);
    /// When a client's Timer E reaches T2, and 100 becomes allowed and due for a non-INVITE request
    /// without response (RFC 4320 §4.1): 0.5 + 1 + 2 s.
    pub const NON_INVITE_TRYING: Duration = Duration::from_millis(3500);

    /// The wait before retransmission number `doublings` + 1, without an upper limit (Timer A).
    const fn doubled(doublings: u8) -> Duration {
        let doublings = if doublings > 6 { 6 } else { doublings };
        Duration::from_millis((Self::T1.as_millis() as u64) << doublings)
    }

    /// As [`Timers::doubled`], up to T2 (Timers E and G).
    const fn doubled_to_t2(doublings: u8) -> Duration {
        if doublings >= 3 { Self::T2 } else { Self::doubled(doublings) }
    }
}

/// Whether the transport repeats lost octets itself: TCP and TLS do, UDP does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reliability {
    /// TCP and TLS: nothing is retransmitted, and Timers D, I, J and K are zero.
    Reliable,
    /// UDP.
    Unreliable,
}

impl Reliability {
    /// `unreliable` on UDP and zero elsewhere, as a point after which nothing is kept.
    fn linger(self, unreliable: Duration) -> Option<Duration> {
        match self {
            Self::Reliable => None,
            Self::Unreliable => Some(unreliable),
        }
    }
}

/// Which of the two pairs of machines a method uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// INVITE (and the ACK that belongs to it).
    Invite,
    /// Every other method.
    NonInvite,
}

impl Kind {
    /// The kind of `method`; method names are case-sensitive (RFC 3261 §7.1).
    pub fn of(method: &str) -> Self {
        match method {
            "INVITE" | "ACK" => Self::Invite,
            _ => Self::NonInvite,
        }
    }
}

/// What a status code is to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// 100-199.
    Provisional,
    /// 200-299.
    Success,
    /// 300-699: final, and acknowledged hop by hop after INVITE.
    Failure,
}

impl Class {
    /// The class of `status`; none for a number that is no SIP status code.
    fn of(status: u16) -> Option<Self> {
        match status {
            100..=199 => Some(Self::Provisional),
            200..=299 => Some(Self::Success),
            300..=699 => Some(Self::Failure),
            _ => None,
        }
    }
}

/// A machine's action with what the table keeps for it: by reference while the transaction lives,
/// by value with its last action.
#[derive(Debug)]
pub enum Step<'t, A, T> {
    /// The transaction goes on.
    Kept(A, &'t mut T),
    /// This was its last action; the table has forgotten it.
    Ended(A, T),
}

impl<A: Copy, T> Step<'_, A, T> {
    /// What is to be done.
    pub fn action(&self) -> A {
        match self {
            Self::Kept(action, _) | Self::Ended(action, _) => *action,
        }
    }

    /// What the table keeps or kept for the transaction.
    pub fn value(&mut self) -> &mut T {
        match self {
            Self::Kept(_, value) => value,
            Self::Ended(_, value) => value,
        }
    }
}

/// The table has no room; the value comes back.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the transaction table is full")]
pub struct Full<T>(pub T);
