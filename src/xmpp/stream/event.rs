//! What a stream tells its driver.

use crate::crossing::Verified;
use crate::xmpp::dialback::{Outcome, Verify, VerifyAnswer};
use crate::xmpp::error::{Condition, StreamCondition, StreamError};
use crate::xmpp::sasl::SaslCondition;
use crate::xmpp::stanza::{Iq, Misaddressed, Stanza};
use crate::xmpp::terms::{Auth, CertFault, Pair, Refused};
use thiserror::Error;

/// A fact that the driver has to know of.
#[derive(Debug)]
pub enum StreamEvent<'s> {
    /// Write what is in the output, then do the TLS handshake, then call `handle_tls`. No octet that
    /// came before the handshake belongs to what follows.
    StartTls,
    /// The pair is proven: its stanzas come in (receiving), or may be sent (initiating).
    Up {
        /// The pair.
        pair: Pair,
        /// How it was proven.
        auth: Auth,
    },
    /// A message or presence whose sender domain is proven for its target domain.
    Stanza(Verified<Stanza<'s>>),
    /// An iq, proven likewise. It is answered on a stream in the other direction.
    Iq(Verified<Iq<'s>>),
    /// A stanza between proven domains with an address that is none otherwise. The stream goes on; the
    /// sender is told on a stream in the other direction.
    Misaddressed(Misaddressed),
    /// Receiving: a key was offered. Find the authoritative server of `pair.remote`, ask it over a
    /// stream of its own (never this one), and call `handle_verified`.
    VerifyWanted(Verify),
    /// Initiating: what became of a question put with `verify`. Each one gets exactly one.
    Verified(VerifyAnswer),
    /// Initiating: the peer did not take a further pair that was proposed. The stream goes on.
    PairRefused {
        /// The pair.
        pair: Pair,
        /// What the peer said; never `Valid`.
        outcome: Outcome,
    },
    /// The stream is over. Write what is in the output, send close_notify, shut down for writing, and
    /// read and discard for a moment before closing the socket, so that the peer can read why.
    Down(DownReason),
}

/// Ways of proving a pair that a peer offers us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// SASL EXTERNAL.
    pub external: bool,
    /// Server Dialback, in the features or in the header.
    pub dialback: bool,
}

/// Why a stream is over.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DownReason {
    /// We closed it, without an error.
    #[error("closed")]
    Closed,
    /// The peer closed it, without an error.
    #[error("closed by the peer")]
    PeerClosed,
    /// The connection ended without a close tag.
    #[error("connection lost")]
    Lost,
    /// The peer ended it with an error.
    #[error("stream error from the peer: {0}")]
    PeerError(StreamError),
    /// We ended it with an error.
    #[error("stream error sent: {0}")]
    Failed(StreamError),
    /// The partner's table has no terms for the domain.
    #[error("refused: {0}")]
    Refused(Refused),
    /// No pair was proven in time.
    #[error("not established in time")]
    EstablishmentTimeout,
    /// No stanza for too long.
    #[error("inactive")]
    Inactive,
    /// No sound from the peer for too long.
    #[error("silent for longer than the keepalive interval")]
    Silent,
    /// The certificate that proved the peer has expired.
    #[error("certificate expired on a live stream")]
    CertificateExpired,
    /// TLS is required and the peer refused it, or the peer requires it and the terms exclude it.
    #[error("no agreement on TLS")]
    Tls,
    /// The peer's certificate is needed and not good enough.
    #[error("certificate: {0}")]
    Certificate(CertFault),
    /// The peer does not offer SASL EXTERNAL, as one that does not accept our certificate, and the
    /// terms leave nothing else.
    #[error("the peer does not offer SASL EXTERNAL to our certificate")]
    ExternalNotOffered,
    /// The peer refused SASL EXTERNAL, and the terms leave nothing else.
    #[error("SASL refused by the peer: {0}")]
    Sasl(SaslCondition),
    /// The first pair's key was refused; never [`Outcome::Valid`].
    #[error("dialback failed: {0:?}")]
    Dialback(Outcome),
    /// No way of authentication in common that the terms allow.
    #[error("no authentication in common")]
    NoWay,
}

impl DownReason {
    /// The stanza error for what was queued for an initiating stream that ended so
    /// (RFC 6120 §10.4.3, XEP-0220 §2.1.1).
    pub fn bounce(&self) -> Condition {
        match self {
            Self::PeerError(error) if error.condition == StreamCondition::HostUnknown => {
                Condition::RemoteServerNotFound
            }
            Self::Dialback(outcome) => outcome.bounce().unwrap_or(Condition::RemoteServerTimeout),
            Self::Closed
            | Self::PeerClosed
            | Self::Lost
            | Self::PeerError(_)
            | Self::Failed(_)
            | Self::Refused(_)
            | Self::EstablishmentTimeout
            | Self::Inactive
            | Self::Silent
            | Self::CertificateExpired
            | Self::Tls
            | Self::Certificate(_)
            | Self::ExternalNotOffered
            | Self::Sasl(_)
            | Self::NoWay => Condition::RemoteServerTimeout,
        }
    }
}

/// Why something can't be sent on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// The stream does not go that way, or not any more, or not yet.
    #[error("stream is not open for sending")]
    NotOpen,
    /// The pair is not proven on this stream.
    #[error("domain pair is not proven on this stream")]
    NotProven,
    /// The peer or the terms don't allow it.
    #[error("dialback is not open on this stream")]
    NoDialback,
    /// As many as are allowed are waiting already.
    #[error("too many are waiting")]
    Full,
}
