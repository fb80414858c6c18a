//! Configurations of the listeners: XMPP server-to-server streams and SIP links.
//!
//! A client is always asked for its certificate and may show none. Our certificate follows the domain
//! that the peer named in the stream header, else its SNI, else the default.

use super::certs::CertStore;
use super::verify::Possession;
use super::{ALPN_XMPP_SERVER, MinVersion, provider};
use crate::addr::Domain;
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// What the listeners need for a handshake.
#[derive(Clone, Debug)]
pub struct ServerTls {
    store: Arc<CertStore>,
    xmpp: Arc<ServerConfig>,
    sip: Arc<ServerConfig>,
}

impl ServerTls {
    /// The configurations over the certificates of `store`, as they are at each handshake.
    ///
    /// # Errors
    /// The provider cannot do the versions asked for.
    pub fn new(store: Arc<CertStore>, min: MinVersion) -> Result<Self, rustls::Error> {
        let resolver = Arc::new(Resolver { store: Arc::clone(&store), domain: None });
        let mut sip = ServerConfig::builder_with_provider(Arc::clone(provider()))
            .with_protocol_versions(min.versions())?
            .with_client_cert_verifier(Arc::new(Possession))
            .with_cert_resolver(resolver);
        sip.session_storage = Arc::new(NoServerSessionStorage {});
        sip.send_tls13_tickets = 0;
        sip.max_tls13_tickets = 0;
        sip.max_early_data_size = 0;
        let mut xmpp = sip.clone();
        xmpp.alpn_protocols = vec![ALPN_XMPP_SERVER.to_vec()];
        Ok(Self { store, xmpp: Arc::new(xmpp), sip: Arc::new(sip) })
    }

    /// For an XMPP stream, STARTTLS or direct TLS (XEP-0368). `to` is the domain of the stream
    /// header when there was one; it goes before SNI.
    pub fn xmpp(&self, to: Option<&Domain>) -> Arc<ServerConfig> {
        let Some(to) = to else { return Arc::clone(&self.xmpp) };
        let mut config = ServerConfig::clone(&self.xmpp);
        config.cert_resolver =
            Arc::new(Resolver { store: Arc::clone(&self.store), domain: Some(to.to_ascii().into()) });
        Arc::new(config)
    }

    /// For a SIP link.
    pub fn sip(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.sip)
    }
}

#[derive(Debug)]
struct Resolver {
    store: Arc<CertStore>,
    /// A-labels.
    domain: Option<Box<str>>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = |name: &str| self.store.for_name(name);
        self.domain
            .as_deref()
            .and_then(named)
            .or_else(|| hello.server_name().and_then(named))
            .or_else(|| self.store.default())
    }
}
