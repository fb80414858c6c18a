//! Path validation: is this chain good, and if not, why not.

use super::leaf::Leaf;
use super::lists::Point;
use super::provider;
use super::revocation::Revocation;
use crate::now::Wall;
use crate::x509::names::{Names, quoted};
use crate::x509::{path_end, pem, wall};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, RootCertStore};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// Certificates of a chain that are looked at; no honest chain is longer.
pub(super) const MAX_CHAIN: usize = 16;

/// Why a peer's certificate proves nothing. The text of a variant is fit for a log line: what comes
/// from the certificate is escaped and shortened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertFault {
    /// The peer showed no certificate.
    #[error("no certificate presented")]
    NonePresented,
    /// It is not well-formed X.509, or uses a critical extension that we do not know.
    #[error("certificate is malformed")]
    Malformed,
    /// No trust anchor leads to it.
    #[error("untrusted issuer {issuer}")]
    UntrustedIssuer {
        /// Common name of the issuer of the end-entity certificate.
        issuer: String,
    },
    /// It is signed by itself and not a trust anchor.
    #[error("self-signed certificate")]
    SelfSigned,
    /// A certificate of the path has expired.
    #[error("certificate expired{}", at(*.not_after))]
    Expired {
        /// When, if it is the peer's own.
        not_after: Option<Wall>,
    },
    /// A certificate of the path is not valid yet.
    #[error("certificate not yet valid{}", at(*.not_before))]
    NotYetValid {
        /// From when on, if it is the peer's own.
        not_before: Option<Wall>,
    },
    /// A signature in the path does not match, or uses an algorithm that we refuse.
    #[error("bad signature in the certificate chain")]
    BadSignature,
    /// Its extended key usage is for neither TLS servers nor TLS clients.
    #[error("certificate is not for TLS (extended key usage)")]
    WrongPurpose,
    /// It is an authority's certificate.
    #[error("certificate of an authority used as the peer's own")]
    Authority,
    /// The path is good, but the certificate is for someone else.
    #[error("certificate is not for {wanted}, but for {}", list(.presented))]
    WrongName {
        /// The domain that the peer should have proven.
        wanted: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// Its issuer has taken it, or one above it, back.
    #[error("certificate revoked")]
    Revoked,
    /// No list says whether it was taken back, and one has to (`crl = "hard"`).
    #[error("certificate refused: it is not known whether it was revoked: {0}")]
    RevocationUnknown(String),
    /// Some other rule of path validation, for instance a name constraint.
    #[error("certificate refused: {0}")]
    Refused(String),
}

fn at(point: Option<Wall>) -> String {
    let stamp =
        point.and_then(|wall| jiff::Timestamp::from_millisecond(wall.as_millis().try_into().ok()?).ok());
    stamp.map(|stamp| format!(" ({stamp})")).unwrap_or_default()
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") }
}

/// Why a set of trust anchors cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The bundle cannot be read.
    #[error("cannot read the trust bundle {path}: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The bundle is not PEM, or a certificate in it is not X.509.
    #[error("trust bundle {path}: {reason}")]
    Broken {
        /// The file.
        path: String,
        /// What is wrong in it.
        reason: String,
    },
    /// There is not one anchor.
    #[error(
        "no trust anchors in {0}; install the package ca-certificates or set [tls] trust to a PEM bundle"
    )]
    Empty(String),
}

/// Whom we believe: trust anchors. Immutable; on reload a new one is made and swapped.
#[derive(Debug)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    /// Certificates that the operator listed one by one: good for the peer that holds the very key,
    /// even if self-signed as an authority (what many servers make at installation).
    listed: HashSet<Vec<u8>>,
    /// For certificates with the extended key usage clientAuth alone. None without anchors.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    revocation: Revocation,
}

impl Trust {
    /// The system's store.
    ///
    /// # Errors
    /// It is empty or missing.
    pub fn system() -> Result<Self, TrustError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        // The system's store is not ours to mend: what is broken in it is left out.
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(TrustError::Empty("the system's store".to_owned()));
        }
        Ok(Self::new(roots, HashSet::new()))
    }

    /// The certificates of a PEM bundle, in place of the system's store (RFC 6120 §13.6). A peer may
    /// also show one of them as its own.
    ///
    /// # Errors
    /// The file cannot be read, or has something in it that is no certificate, or none.
    pub fn bundle(path: &Path) -> Result<Self, TrustError> {
        let name = || path.display().to_string();
        let text = std::fs::read(path).map_err(|source| TrustError::Unreadable { path: name(), source })?;
        let pem =
            pem::parse(&text).map_err(|e| TrustError::Broken { path: name(), reason: e.to_string() })?;
        if pem.certificates.is_empty() {
            return Err(TrustError::Empty(name()));
        }
        Self::anchors(pem.certificates).map_err(|reason| TrustError::Broken { path: name(), reason })
    }

    /// These certificates and no others.
    ///
    /// # Errors
    /// One of them is not X.509; the text says which.
    pub fn anchors(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> Result<Self, String> {
        let (mut roots, mut listed) = (RootCertStore::empty(), HashSet::new());
        for (at, certificate) in certificates.into_iter().enumerate() {
            listed.insert(certificate.to_vec());
            roots.add(certificate).map_err(|error| format!("certificate {}: {error}", at + 1))?;
        }
        Ok(Self::new(roots, listed))
    }

    fn new(roots: RootCertStore, listed: HashSet<Vec<u8>>) -> Self {
        let roots = Arc::new(roots);
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(provider()));
        Self { roots, listed, clients: builder.build().ok(), revocation: Revocation::default() }
    }

    /// The same anchors, and certificates that they vouch for are looked up in `revocation`.
    pub fn with(self, revocation: Revocation) -> Self {
        Self { revocation, ..self }
    }

    /// Where the revocation lists for `chain` are, if its path is good and lists are fetched.
    pub fn points(&self, chain: &[CertificateDer<'_>], wall: Wall) -> Vec<Point> {
        let Some((own, rest)) = chain.split_first() else { return Vec::new() };
        if self.listed.contains(own.as_ref()) {
            return Vec::new();
        }
        self.revocation.points(own, rest.get(..MAX_CHAIN).unwrap_or(rest), &self.roots, wall)
    }

    /// Whether a list that says more of a certificate may still come.
    pub fn may_learn(&self) -> bool {
        self.revocation.may_learn()
    }

    /// How many anchors there are.
    pub fn len(&self) -> usize {
        self.roots.len()
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// Whether an anchor that `issuer` names may issue for some names only.
    fn constrains(&self, issuer: &[u8]) -> bool {
        self.roots
            .roots
            .iter()
            .any(|anchor| anchor.name_constraints.is_some() && issuer.ends_with(&anchor.subject))
    }
}

/// Validates the path from `chain` (the peer's own certificate first) to an anchor of `trust` at
/// `wall`. Extended key usage serverAuth or clientAuth are equally good, whoever dialled: public
/// authorities no longer issue clientAuth, and a server is a client in the next minute. Names are not
/// looked at: ask the [`Leaf`].
///
/// # Errors
/// Every variant of [`CertFault`] but `WrongName`.
pub fn judge(chain: &[CertificateDer<'_>], trust: &Trust, wall: Wall) -> Result<Leaf, CertFault> {
    let (own, rest) = chain.split_first().ok_or(CertFault::NonePresented)?;
    let issuers = rest.get(..MAX_CHAIN).unwrap_or(rest);
    let Ok((_, cert)) = X509Certificate::from_der(own) else { return Err(CertFault::Malformed) };
    if trust.listed.contains(own.as_ref()) {
        still_valid(&cert, wall)?;
        return Ok(Leaf { names: Names::of(&cert, false), not_after: path_end(&cert, &[]) });
    }
    validate(own, issuers, trust, wall).map_err(|error| explain(error, &cert))?;
    trust.revocation.check(own, issuers, &trust.roots, wall)?;

    let parsed: Vec<_> =
        issuers.iter().filter_map(|der| X509Certificate::from_der(der).ok().map(|(_, c)| c)).collect();
    let constrained = std::iter::once(&cert)
        .chain(&parsed)
        .any(|c| !matches!(c.name_constraints(), Ok(None)) || trust.constrains(c.issuer().as_raw()));
    Ok(Leaf { names: Names::of(&cert, constrained), not_after: path_end(&cert, &parsed) })
}

/// The dates of a certificate that needs no path.
fn still_valid(cert: &X509Certificate<'_>, now: Wall) -> Result<(), CertFault> {
    let (from, until) =
        (wall(cert.validity().not_before.timestamp()), wall(cert.validity().not_after.timestamp()));
    match now {
        now if now > until => Err(CertFault::Expired { not_after: Some(until) }),
        now if now < from => Err(CertFault::NotYetValid { not_before: Some(from) }),
        _ => Ok(()),
    }
}

fn validate(
    own: &CertificateDer<'_>,
    issuers: &[CertificateDer<'_>],
    trust: &Trust,
    wall: Wall,
) -> Result<(), rustls::Error> {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(wall.as_secs()));
    let algorithms = provider().signature_verification_algorithms.all;
    let cert = ParsedCertificate::try_from(own)?;
    let as_server = verify_server_cert_signed_by_trust_anchor(&cert, &trust.roots, issuers, now, algorithms);
    match (as_server, &trust.clients) {
        (
            Err(rustls::Error::InvalidCertificate(
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
            )),
            Some(clients),
        ) => clients.verify_client_cert(own, issuers, now).map(|_| ()),
        (result, _) => result,
    }
}

fn explain(error: rustls::Error, cert: &X509Certificate<'_>) -> CertFault {
    let rustls::Error::InvalidCertificate(error) = error else {
        return CertFault::Refused(error.to_string());
    };
    let validity = cert.validity();
    match error {
        CertificateError::BadEncoding | CertificateError::UnhandledCriticalExtension => CertFault::Malformed,
        CertificateError::Expired => CertFault::Expired { not_after: None },
        CertificateError::ExpiredContext { time, not_after } => CertFault::Expired {
            not_after: (not_after < time
                && wall(validity.not_after.timestamp()).as_secs() == not_after.as_secs())
            .then(|| Wall::from_millis(not_after.as_secs().saturating_mul(1000))),
        },
        CertificateError::NotValidYet => CertFault::NotYetValid { not_before: None },
        CertificateError::NotValidYetContext { not_before, .. } => CertFault::NotYetValid {
            not_before: (wall(validity.not_before.timestamp()).as_secs() == not_before.as_secs())
                .then(|| Wall::from_millis(not_before.as_secs().saturating_mul(1000))),
        },
        CertificateError::UnknownIssuer if cert.issuer().as_raw() == cert.subject().as_raw() => {
            CertFault::SelfSigned
        }
        CertificateError::UnknownIssuer => CertFault::UntrustedIssuer { issuer: issuer(cert) },
        CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            CertFault::BadSignature
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            CertFault::WrongPurpose
        }
        _ if cert.is_ca() => CertFault::Authority,
        other => CertFault::Refused(quoted(other.to_string().as_bytes())),
    }
}

fn issuer(cert: &X509Certificate<'_>) -> String {
    let name = cert.issuer().iter_common_name().next().and_then(|name| name.as_str().ok());
    match name {
        Some(name) => format!("\"{}\"", quoted(name.as_bytes())),
        None => "without a common name".to_owned(),
    }
}
