//! TLS for both sides: our certificates, the handshake, and the judgement of the peer's certificate.
//!
//! Where something else than the certificate may prove the peer, the handshake proves possession, no more:
//! it checks the peer's handshake signature and takes any certificate (or none, from a client). What the
//! certificate is worth is judged afterwards by [`PeerCert`], so that a stream may still fall back to
//! dialback. Where nothing else could ([`Strict`]: SIP links, and streams that we open to a partner whose
//! terms leave no dialback), the same judgement is made inside the handshake, and the peer hears it as an
//! alert.
//!
//! DEVIATES RFC 8446 §4.4.2.4: a stream that somebody opens to us is judged after the handshake, whatever
//! the partner's terms, because who the partner is, and so which terms hold, is said by its stream header
//! alone; on direct TLS that comes after the handshake, and with STARTTLS the one before it is a claim that
//! the next one may take back. A refusal is a stream error there.
//!
//! ```text
//!  certs   our chains and keys, by id and by domain; reload without a restart
//!  server  configurations of the listeners      client  configurations for dialling
//!  verify  possession, and nothing else         strict  the judgement inside the handshake
//!  judge   path validation
//!  revocation  lists of what issuers took back  lists  those of them that were fetched
//!  leaf    the holder of a certificate whose path is good
//!  peer    what a connection keeps of its peer's certificate
//! ```
//!
//! TLS 1.2 (ECDHE with AEAD, RFC 9325 §4.2) and TLS 1.3 only. Sessions are never resumed: a resumed
//! handshake does not show a certificate, so its verdict would outlive a change of trust.

pub mod certs;
pub mod client;
pub mod judge;
pub mod leaf;
pub mod lists;
pub mod peer;
pub mod revocation;
pub mod server;
pub mod strict;
mod verify;

#[cfg(test)]
mod tests;

pub use certs::{CertError, CertSource, CertStore};
pub use client::{ClientRole, ClientTls};
pub use judge::{CertFault, Trust, judge};
pub use leaf::Leaf;
pub use lists::{Lists, Point};
pub use peer::PeerCert;
pub use revocation::{Lookup, Revocation};
pub use server::ServerTls;
pub use strict::{Judged, Refused, Strict, Wanted};

use rustls::crypto::CryptoProvider;
use rustls::{SupportedProtocolVersion, version};
use std::sync::{Arc, LazyLock};

/// The ALPN protocol of a server-to-server stream (XEP-0368 §5).
pub const ALPN_XMPP_SERVER: &[u8] = b"xmpp-server";

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));

/// The one cryptographic provider: aws-lc-rs.
pub fn provider() -> &'static Arc<CryptoProvider> {
    &PROVIDER
}

/// The oldest version that we speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

impl MinVersion {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
        match self {
            Self::Tls12 => &BOTH,
            Self::Tls13 => BOTH.get(..1).unwrap_or_default(),
        }
    }
}
