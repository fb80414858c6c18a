//! CANCEL as decisions (RFC 3261 §9): what it does at the server, and when a client may send it.

use super::Kind;

/// What a transaction that a CANCEL matches (RFC 3261 §9.2: by everything but the method) looks
/// like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Of which kind it is.
    pub kind: Kind,
    /// Whether it has its final response already.
    pub answered: bool,
}

/// How a CANCEL is answered. The answer to the CANCEL itself never waits for its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelAnswer {
    /// 200, and the INVITE that it names is answered 487.
    Cancels,
    /// 200 without effect: the request is not an INVITE, or it has its final response.
    NoEffect,
    /// 481: nothing that it could name.
    Unknown,
}

impl CancelAnswer {
    /// Decides by the transaction that matched (RFC 3261 §9.2, RFC 6665 §4.6).
    pub fn to(found: Option<Found>) -> Self {
        match found {
            None => Self::Unknown,
            Some(Found { kind: Kind::Invite, answered: false }) => Self::Cancels,
            Some(Found { kind: Kind::Invite, answered: true } | Found { kind: Kind::NonInvite, .. }) => {
                Self::NoEffect
            }
        }
    }

    /// The status code of the response to the CANCEL.
    pub fn status(self) -> u16 {
        match self {
            Self::Cancels | Self::NoEffect => 200,
            Self::Unknown => 481,
        }
    }
}

/// What a client does that wants to cancel its request (RFC 3261 §9.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelStep {
    /// Send CANCEL now, with the INVITE's branch, to where the INVITE went.
    Send,
    /// No provisional response yet: wait for the first.
    AfterProvisional,
    /// It is on its way already.
    Already,
    /// There is a final response, or the request is not an INVITE: nothing to cancel.
    TooLate,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_156_cancel_stops_an_open_invite_alone_and_unknown_gets_481() {
        let found = |kind, answered| CancelAnswer::to(Some(Found { kind, answered }));
        assert_eq!(found(Kind::Invite, false), CancelAnswer::Cancels);
        assert_eq!(found(Kind::Invite, true), CancelAnswer::NoEffect);
        assert_eq!(found(Kind::NonInvite, false), CancelAnswer::NoEffect);
        assert_eq!(found(Kind::NonInvite, true), CancelAnswer::NoEffect);
        assert_eq!(CancelAnswer::to(None), CancelAnswer::Unknown);
        assert_eq!(found(Kind::NonInvite, false).status(), 200);
        assert_eq!(CancelAnswer::to(None).status(), 481);
    }
}
