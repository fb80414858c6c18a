//! Configurations of the listeners: XMPP server-to-server streams and SIP links.
//!
//! A client is always asked for its certificate and may show none. Our certificate follows the domain
//! that the peer named in the stream header, else its SNI, else the default.

use super::certs::{CertStore, Side};
use super::strict::{Judged, Strict};
use super::verify::Possession;
use super::{ALPN_XMPP_SERVER, MinVersion, provider};
use crate::addr::Domain;
use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// What the listeners need for a handshake.
#[derive(Clone, Debug)]
pub struct ServerTls {
    store: Arc<CertStore>,
    min: MinVersion,
    xmpp: Arc<ServerConfig>,
    sip: Arc<ServerConfig>,
}

impl ServerTls {
    /// The configurations over the certificates of `store`, as they are at each handshake.
    ///
    /// # Errors
    /// The provider cannot do the versions asked for.
    pub fn new(store: Arc<CertStore>, min: MinVersion) -> Result<Self, rustls::Error> {
        let sip = base(&store, min, Side::Sip, Arc::new(Possession))?;
        let mut xmpp = base(&store, min, Side::Xmpp, Arc::new(Possession))?;
        xmpp.alpn_protocols = vec![ALPN_XMPP_SERVER.to_vec()];
        Ok(Self { store, min, xmpp: Arc::new(xmpp), sip: Arc::new(sip) })
    }

    /// For an XMPP stream, STARTTLS or direct TLS (XEP-0368). `to` is the domain of the stream
    /// header when there was one; it goes before SNI.
    pub fn xmpp(&self, to: Option<&Domain>) -> Arc<ServerConfig> {
        let Some(to) = to else { return Arc::clone(&self.xmpp) };
        let mut config = ServerConfig::clone(&self.xmpp);
        config.cert_resolver = Arc::new(Resolver::new(&self.store, Side::Xmpp, Some(to.to_ascii().into())));
        Arc::new(config)
    }

    /// For a SIP link.
    pub fn sip(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.sip)
    }

    /// For a SIP link; a certificate that the client shows is judged inside the handshake by `strict`.
    pub fn sip_judged(&self, strict: Strict) -> Judged<ServerConfig> {
        let refused = strict.refused();
        match base(&self.store, self.min, Side::Sip, Arc::new(strict)) {
            Ok(config) => Judged { config: Arc::new(config), refused },
            // Not so: `new` asked for the same versions.
            Err(_) => Judged::later(self.sip()),
        }
    }
}

fn base(
    store: &Arc<CertStore>,
    min: MinVersion,
    side: Side,
    verifier: Arc<dyn ClientCertVerifier>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(min.versions())?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(Resolver::new(store, side, None)));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

#[derive(Debug)]
struct Resolver {
    store: Arc<CertStore>,
    side: Side,
    /// A-labels.
    domain: Option<Box<str>>,
}

impl Resolver {
    fn new(store: &Arc<CertStore>, side: Side, domain: Option<Box<str>>) -> Self {
        Self { store: Arc::clone(store), side, domain }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = |name: &str| self.store.for_name(name, self.side);
        self.domain
            .as_deref()
            .and_then(named)
            .or_else(|| hello.server_name().and_then(named))
            .or_else(|| self.store.default(self.side))
    }
}
