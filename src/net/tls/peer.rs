//! What a connection keeps of its peer's certificate, and the verdicts on it.

use super::judge::{self, CertFault, Trust, judge};
use super::leaf::Leaf;
use super::lists::Point;
use crate::addr::Domain;
use crate::now::Wall;
use rustls::pki_types::CertificateDer;
use rustls::{CommonState, ProtocolVersion};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// How long a verdict on the chain is used again, so that many domains asked in a row cost one
/// validation. A good one ends with the certificate, too.
const GOOD_KEPT: Duration = Duration::from_secs(3600);
const BAD_KEPT: Duration = Duration::from_secs(60);

/// The certificate that the peer showed in the handshake, if any, and whom we believed then.
#[derive(Debug)]
pub struct PeerCert {
    chain: Vec<CertificateDer<'static>>,
    trust: Arc<Trust>,
    tls_version: &'static str,
    not_after: Option<Wall>,
    verdict: Mutex<Option<Verdict>>,
    points: OnceLock<Vec<Point>>,
}

#[derive(Clone, Debug)]
struct Verdict {
    at: Wall,
    leaf: Result<Arc<Leaf>, CertFault>,
}

impl PeerCert {
    /// Of a finished handshake.
    pub fn of(connection: &CommonState, trust: Arc<Trust>) -> Self {
        let chain = connection.peer_certificates().unwrap_or_default().to_vec();
        Self::new(chain, trust, version_name(connection.protocol_version()))
    }

    /// Of a chain (the peer's own certificate first, empty when it showed none).
    pub fn new(chain: Vec<CertificateDer<'static>>, trust: Arc<Trust>, tls_version: &'static str) -> Self {
        let not_after = end_of(&chain);
        Self { chain, trust, tls_version, not_after, verdict: Mutex::new(None), points: OnceLock::new() }
    }

    /// The same certificate judged by other anchors: after a reload.
    pub fn under(&self, trust: Arc<Trust>) -> Self {
        Self::new(self.chain.clone(), trust, self.tls_version)
    }

    /// Validates the path now, so that the next questions are answered from memory. For the thread
    /// that did the handshake: a hostile chain can cost some milliseconds.
    pub fn prepare(&self, wall: Wall) {
        let _ = self.leaf(wall);
    }

    /// Where the revocation lists for it are, as at the first question.
    pub fn points(&self, wall: Wall) -> &[Point] {
        self.points.get_or_init(|| self.trust.points(&self.chain, wall))
    }

    /// Whether nothing is wrong with it but that no list says whether it was revoked, and one has to.
    pub fn lacks_list(&self, wall: Wall) -> bool {
        matches!(self.leaf(wall), Err(CertFault::RevocationUnknown(_)))
    }

    /// Validates the path anew: there may be another list.
    ///
    /// # Errors
    /// It is not good any more, and why.
    pub fn look_again(&self, wall: Wall) -> Result<(), CertFault> {
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.leaf(wall).map(drop)
    }

    /// Whether the peer showed a certificate at all.
    pub fn presented(&self) -> bool {
        !self.chain.is_empty()
    }

    /// The chain as presented, the peer's own certificate first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// `TLSv1.3` or `TLSv1.2`.
    pub fn tls_version(&self) -> &'static str {
        self.tls_version
    }

    /// When the first certificate of the presented path expires, good or not (RFC 6120 §13.7.2.3).
    pub fn not_after(&self) -> Option<Wall> {
        self.not_after
    }

    /// Whether the peer has proven to be the XMPP domain `domain`.
    ///
    /// # Errors
    /// Why not; `WrongName` when the chain is good.
    pub fn judge_xmpp(&self, domain: &Domain, wall: Wall) -> Result<(), CertFault> {
        Self::is_xmpp(&*self.leaf(wall)?, domain)
    }

    /// Whether `leaf` is for the XMPP domain `domain`.
    pub(super) fn is_xmpp(leaf: &Leaf, domain: &Domain) -> Result<(), CertFault> {
        if leaf.xmpp_matches(domain) { Ok(()) } else { Err(wrong_name(domain.to_string(), leaf)) }
    }

    /// The SIP domains that the peer has proven to be (RFC 5922 §7.1).
    ///
    /// # Errors
    /// The chain is not good. A good chain without a SIP identity is an empty list.
    pub fn sip_identities(&self, wall: Wall) -> Result<Vec<Domain>, CertFault> {
        self.leaf(wall).map(|leaf| leaf.sip_identities().to_vec())
    }

    /// Whether the peer has proven to be one of the SIP domains `wanted` (RFC 5922 §7.3).
    ///
    /// # Errors
    /// Why not; `WrongName` when the chain is good.
    pub fn judge_sip(&self, wanted: &[Domain], wall: Wall) -> Result<(), CertFault> {
        Self::is_sip(&*self.leaf(wall)?, wanted)
    }

    /// Whether `leaf` is for one of the SIP domains `wanted`.
    pub(super) fn is_sip(leaf: &Leaf, wanted: &[Domain]) -> Result<(), CertFault> {
        if leaf.sip_identities().iter().any(|identity| wanted.contains(identity)) {
            return Ok(());
        }
        let names: Vec<&str> = wanted.iter().map(Domain::as_str).collect();
        Err(wrong_name(names.join(" or "), leaf))
    }

    /// The certificate with its path validated at `wall`, or not long before.
    fn leaf(&self, wall: Wall) -> Result<Arc<Leaf>, CertFault> {
        let mut verdict = self.verdict.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Verdict { at, leaf }) = &*verdict {
            let (kept, ended) = match leaf {
                Ok(leaf) => (GOOD_KEPT, wall > leaf.not_after()),
                Err(_) => (BAD_KEPT, false),
            };
            // A clock that was set back makes every verdict doubtful.
            let age = wall.as_millis().checked_sub(at.as_millis());
            if !ended && age.is_some_and(|age| u128::from(age) < kept.as_millis()) {
                return leaf.clone();
            }
        }
        let leaf = judge(&self.chain, &self.trust, wall).map(Arc::new);
        *verdict = Some(Verdict { at: wall, leaf: leaf.clone() });
        leaf
    }
}

fn wrong_name(wanted: String, leaf: &Leaf) -> CertFault {
    CertFault::WrongName { wanted, presented: leaf.presented().to_vec() }
}

fn end_of(chain: &[CertificateDer<'_>]) -> Option<Wall> {
    let mut parsed = chain.iter().map_while(|der| X509Certificate::from_der(der).ok().map(|(_, cert)| cert));
    let own = parsed.next()?;
    Some(crate::x509::path_end(&own, &parsed.take(judge::MAX_CHAIN).collect::<Vec<_>>()))
}

fn version_name(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "unknown",
    }
}
