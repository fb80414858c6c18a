//! The judgement inside the handshake, so that a peer which is refused hears why as a TLS alert (RFC 8446
//! §6.2). For connections on which nothing but the certificate could prove who the peer is.

use super::judge::{CertFault, Trust, judge};
use super::peer::PeerCert;
use super::verify::Possession;
use crate::addr::Domain;
use crate::now::Wall;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::sync::{Arc, OnceLock};

/// Whom a certificate has to be for.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Anybody whose path is good; who that is, is asked later.
    Anybody,
    /// This XMPP domain.
    Xmpp(Domain),
    /// One of these SIP identities.
    Sip(Vec<Domain>),
}

/// What a certificate is judged by inside the handshake.
#[derive(Clone, Debug)]
pub struct Strict {
    trust: Arc<Trust>,
    wanted: Wanted,
    refused: Refused,
}

/// Why the certificate was refused inside the handshake, if it was: the alert says less.
#[derive(Clone, Debug, Default)]
pub struct Refused(Arc<OnceLock<CertFault>>);

impl Refused {
    /// The reason.
    pub fn fault(&self) -> Option<&CertFault> {
        self.0.get()
    }
}

/// A configuration for one handshake.
#[derive(Clone, Debug)]
pub struct Judged<C> {
    /// The configuration.
    pub config: Arc<C>,
    /// Where the reason will be if the peer's certificate is refused.
    pub refused: Refused,
}

impl<C> Judged<C> {
    /// One that takes every certificate: it is judged after the handshake.
    pub fn later(config: Arc<C>) -> Self {
        Self { config, refused: Refused::default() }
    }
}

impl Strict {
    /// By the anchors and lists of `trust`.
    pub fn new(trust: Arc<Trust>, wanted: Wanted) -> Self {
        Self { trust, wanted, refused: Refused::default() }
    }

    /// Where the reason of a refusal will be.
    pub fn refused(&self) -> Refused {
        self.refused.clone()
    }

    fn verdict(
        &self,
        own: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let chain: Vec<CertificateDer<'_>> = std::iter::once(own).chain(issuers).cloned().collect();
        let wall = Wall::from_millis(now.as_secs().saturating_mul(1000));
        let judged = match (&self.wanted, judge(&chain, &self.trust, wall)) {
            // A list may come that says more: it is waited for after the handshake, where waiting is possible.
            (_, Err(CertFault::RevocationUnknown(_))) if self.trust.may_learn() => return Ok(()),
            (_, Err(fault)) => Err(fault),
            (Wanted::Anybody, Ok(_)) => Ok(()),
            (Wanted::Xmpp(domain), Ok(leaf)) => PeerCert::is_xmpp(&leaf, domain),
            (Wanted::Sip(identities), Ok(leaf)) => PeerCert::is_sip(&leaf, identities),
        };
        judged.map_err(|fault| {
            let error = Error::InvalidCertificate(alert(&fault));
            // One handshake asks once.
            let _ = self.refused.0.set(fault);
            error
        })
    }
}

/// The error whose alert (RFC 8446 §6.2) says what `fault` says.
fn alert(fault: &CertFault) -> CertificateError {
    match fault {
        CertFault::UntrustedIssuer { .. } | CertFault::SelfSigned => CertificateError::UnknownIssuer,
        CertFault::Expired { .. } => CertificateError::Expired,
        CertFault::NotYetValid { .. } => CertificateError::NotValidYet,
        CertFault::WrongPurpose => CertificateError::InvalidPurpose,
        CertFault::Revoked => CertificateError::Revoked,
        CertFault::RevocationUnknown(_) => CertificateError::UnknownRevocationStatus,
        CertFault::WrongName { .. } => CertificateError::NotValidForName,
        // "A certificate was corrupt, contained signatures that did not verify correctly, etc."
        CertFault::NonePresented
        | CertFault::Malformed
        | CertFault::BadSignature
        | CertFault::Authority
        | CertFault::Refused(_) => CertificateError::BadEncoding,
    }
}

impl ClientCertVerifier for Strict {
    fn offer_client_auth(&self) -> bool {
        true
    }

    /// Who shows none is told in SIP why nothing of it is taken.
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        ClientCertVerifier::root_hint_subjects(&Possession)
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verdict(own, issuers, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ClientCertVerifier::verify_tls12_signature(&Possession, message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ClientCertVerifier::verify_tls13_signature(&Possession, message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ClientCertVerifier::supported_verify_schemes(&Possession)
    }
}

impl ServerCertVerifier for Strict {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verdict(own, issuers, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls12_signature(&Possession, message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        ServerCertVerifier::verify_tls13_signature(&Possession, message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ServerCertVerifier::supported_verify_schemes(&Possession)
    }
}
