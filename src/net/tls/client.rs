//! Configurations for dialling: XMPP partners by STARTTLS or direct TLS, and SIP peers.
//!
//! We show the certificate of our own domain that the connection speaks for. The name for SNI is the
//! partner's domain for XMPP (never the SRV target: RFC 6120 §13.7.2.1, XEP-0368) and the peer's host
//! for SIP.

use super::certs::{CertStore, Side};
use super::strict::{Judged, Strict};
use super::verify::Possession;
use super::{ALPN_XMPP_SERVER, MinVersion, provider};
use crate::addr::Domain;
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::pki_types::{DnsName, IpAddr, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use std::sync::Arc;

/// What the connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRole {
    /// An XMPP stream after `<proceed/>`.
    XmppStartTls,
    /// An XMPP stream in TLS from the first octet: ALPN `xmpp-server` is offered.
    XmppDirect,
    /// A SIP link.
    Sip,
}

/// What dialling needs for a handshake.
#[derive(Clone, Debug)]
pub struct ClientTls {
    store: Arc<CertStore>,
    base: ClientConfig,
}

impl ClientTls {
    /// The configurations over the certificates of `store`, as they are at each handshake.
    ///
    /// # Errors
    /// The provider cannot do the versions asked for.
    pub fn new(store: Arc<CertStore>, min: MinVersion) -> Result<Self, rustls::Error> {
        let resolver = Arc::new(Resolver { store: Arc::clone(&store), side: Side::Xmpp, domain: None });
        let mut base = ClientConfig::builder_with_provider(Arc::clone(provider()))
            .with_protocol_versions(min.versions())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Possession))
            .with_client_cert_resolver(resolver);
        base.resumption = Resumption::disabled();
        base.enable_early_data = false;
        Ok(Self { store, base })
    }

    /// For a connection that speaks for `local`; without it, or when no certificate is for it, the
    /// default certificate is shown.
    pub fn config(&self, local: Option<&Domain>, role: ClientRole) -> Arc<ClientConfig> {
        Arc::new(self.for_role(local, role))
    }

    /// As [`ClientTls::config`]; the server's certificate is judged inside the handshake by `strict`, if it
    /// is given.
    pub fn judged(
        &self,
        local: Option<&Domain>,
        role: ClientRole,
        strict: Option<Strict>,
    ) -> Judged<ClientConfig> {
        let mut config = self.for_role(local, role);
        let Some(strict) = strict else { return Judged::later(Arc::new(config)) };
        let refused = strict.refused();
        config.dangerous().set_certificate_verifier(Arc::new(strict));
        Judged { config: Arc::new(config), refused }
    }

    fn for_role(&self, local: Option<&Domain>, role: ClientRole) -> ClientConfig {
        let mut config = self.base.clone();
        let side = match role {
            ClientRole::XmppStartTls | ClientRole::XmppDirect => Side::Xmpp,
            ClientRole::Sip => Side::Sip,
        };
        let domain = local.map(|local| local.to_ascii().into());
        config.client_auth_cert_resolver =
            Arc::new(Resolver { store: Arc::clone(&self.store), side, domain });
        if role == ClientRole::XmppDirect {
            config.alpn_protocols = vec![ALPN_XMPP_SERVER.to_vec()];
        }
        config
    }
}

/// The name for SNI: A-labels, or an address (then no SNI is sent, RFC 6066 §3). None if the domain
/// cannot be a DNS name.
pub fn server_name(host: &Domain) -> Option<ServerName<'static>> {
    let text = host.to_ascii();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&text);
    if let Ok(ip) = bare.parse::<std::net::IpAddr>() {
        return Some(ServerName::IpAddress(IpAddr::from(ip)));
    }
    DnsName::try_from(text.into_owned()).ok().map(ServerName::DnsName)
}

#[derive(Debug)]
struct Resolver {
    store: Arc<CertStore>,
    side: Side,
    /// A-labels.
    domain: Option<Box<str>>,
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let named = self.domain.as_deref().and_then(|name| self.store.for_name(name, self.side));
        named.or_else(|| self.store.default(self.side))
    }

    fn has_certs(&self) -> bool {
        self.store.default(self.side).is_some()
    }
}
