//! Attempts whose purpose is to learn whether they work: one stream to a partner, one link to a SIP peer,
//! taken as far as ordinary traffic would take them, and then closed. Nothing of a user is in them.
//!
//! | file | owns |
//! |---|---|
//! | [`xmpp`] | locate → TCP → TLS → features → a proven pair |
//! | [`sip`] | locate → TCP, TLS or UDP → the certificate → OPTIONS answered (RFC 3261 §11) |
//!
//! The steps are those of the drivers (`xmpp_conn`, `sip_conn`), by the same parts: the dialer, the edge
//! and the machines. What is found is a value; words for people are made of it elsewhere.

pub mod sip;
pub mod xmpp;

use super::edge::ConnectError;
use super::tls::CertFault;
use super::xmpp_locate::LocateError;
use crate::xmpp::DownReason;
use std::time::Duration;

/// How long one TCP connection, or one TLS handshake, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the whole of one attempt may take.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// The step at which an attempt ended. What an operator has to look at is another thing at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Finding the server.
    Dns,
    /// The connection.
    Connect,
    /// TLS, or agreeing on it.
    Tls,
    /// The peer's certificate.
    Certificate,
    /// The peer ended it, or would not have us.
    Refused,
    /// SASL EXTERNAL with our certificate.
    Sasl,
    /// Dialback.
    Dialback,
    /// No answer in time.
    Timeout,
    /// It was not taken further, for want of something on our side.
    NotTried,
}

/// Why an attempt did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Fault {
    /// Where.
    pub step: Step,
    /// Why, for people.
    pub why: String,
}

impl Fault {
    fn new(step: Step, why: impl ToString) -> Self {
        Self { step, why: why.to_string() }
    }
}

impl From<ConnectError> for Fault {
    fn from(error: ConnectError) -> Self {
        let step = match &error {
            ConnectError::Connect { .. } | ConnectError::Closed => Step::Connect,
            ConnectError::Tls(_) => Step::Tls,
            ConnectError::Certificate(_) => Step::Certificate,
            ConnectError::Timeout(_) => Step::Timeout,
        };
        Self::new(step, error)
    }
}

impl From<LocateError> for Fault {
    fn from(error: LocateError) -> Self {
        Self::new(Step::Dns, error)
    }
}

impl From<&CertFault> for Fault {
    fn from(fault: &CertFault) -> Self {
        Self::new(Step::Certificate, fault)
    }
}

impl From<&DownReason> for Fault {
    fn from(reason: &DownReason) -> Self {
        let step = match reason {
            DownReason::Tls => Step::Tls,
            DownReason::Certificate(_) | DownReason::CertificateExpired => Step::Certificate,
            DownReason::ExternalNotOffered | DownReason::Sasl(_) | DownReason::NoWay => Step::Sasl,
            DownReason::Dialback(_) => Step::Dialback,
            DownReason::EstablishmentTimeout | DownReason::Inactive | DownReason::Silent => Step::Timeout,
            DownReason::Closed
            | DownReason::PeerClosed
            | DownReason::Lost
            | DownReason::PeerError(_)
            | DownReason::Failed(_)
            | DownReason::Refused(_) => Step::Refused,
        };
        Self::new(step, reason)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::xmpp::sasl::SaslCondition;
    use crate::xmpp::{CertFault, Outcome};

    #[test]
    fn walk_13_each_way_to_fail_is_a_step_of_its_own() {
        let of = |reason: DownReason| Fault::from(&reason).step;
        assert_eq!(of(DownReason::Tls), Step::Tls);
        assert_eq!(of(DownReason::Certificate(CertFault::Expired)), Step::Certificate);
        assert_eq!(of(DownReason::ExternalNotOffered), Step::Sasl);
        assert_eq!(of(DownReason::Sasl(SaslCondition::NotAuthorized)), Step::Sasl);
        assert_eq!(of(DownReason::Dialback(Outcome::Invalid)), Step::Dialback);
        assert_eq!(of(DownReason::EstablishmentTimeout), Step::Timeout);
        assert_eq!(of(DownReason::PeerClosed), Step::Refused);
        let connect = |error| Fault::from(error).step;
        let addr = "192.0.2.1:5269".parse().unwrap();
        let refused = std::io::ErrorKind::ConnectionRefused.into();
        assert_eq!(connect(ConnectError::Connect { addr, error: refused }), Step::Connect);
        assert_eq!(connect(ConnectError::Tls(std::io::ErrorKind::UnexpectedEof.into())), Step::Tls);
        assert_eq!(connect(ConnectError::Timeout(CONNECT_TIMEOUT)), Step::Timeout);
        assert_eq!(Fault::from(LocateError::NotOffered).step, Step::Dns);
    }
}
