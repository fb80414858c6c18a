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
pub const PATIENCE: Duration = Duration::from_secs(25);

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
