//! What TLS showed of a peer, for operators (RFC 7590 §3.6): version, cipher suite, certificate.

use crate::now::Wall;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// Names of a certificate that are shown.
const NAMES: usize = 8;

/// What TLS showed of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// "1.2" or "1.3".
    pub version: &'static str,
    /// The cipher suite, as IANA names it.
    pub suite: String,
    /// The certificate that the peer presented, believed or not.
    pub certificate: Option<SeenCertificate>,
}

/// A certificate as a peer presented it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenCertificate {
    /// Its names, the first of them.
    pub names: Vec<String>,
    /// SHA-256 of the whole, in hexadecimal digits.
    pub sha256: String,
    /// When it ends.
    pub not_after: Option<Wall>,
}

impl Seen {
    /// What `tls`, its handshake done, has shown.
    pub(super) fn of(tls: &rustls::Connection) -> Self {
        let suite = tls.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        Self {
            version: version(tls),
            suite: suite.unwrap_or_default().replacen("TLS13_", "TLS_", 1),
            certificate: tls.peer_certificates().and_then(|chain| chain.first()).map(SeenCertificate::of),
        }
    }
}

/// "1.2" or "1.3".
pub(super) fn version(tls: &rustls::Connection) -> &'static str {
    match tls.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "1.2",
        Some(rustls::ProtocolVersion::TLSv1_3) => "1.3",
        _ => "unknown",
    }
}

impl SeenCertificate {
    fn of(der: &CertificateDer<'_>) -> Self {
        let parsed = X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate);
        let names = parsed.as_ref().map(crate::x509::names::listed).unwrap_or_default();
        let end = parsed.map(|certificate| crate::x509::wall(certificate.validity().not_after.timestamp()));
        let digits = Sha256::digest(der).iter().map(|octet| format!("{octet:02x}")).collect();
        Self { names: names.into_iter().take(NAMES).collect(), sha256: digits, not_after: end }
    }
}
