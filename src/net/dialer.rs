//! Makes connections: finds servers, has TLS configurations at hand, judges certificates.
//!
//! What the drivers need from TLS and DNS, in one place; nothing here decides who may talk to whom.

use super::crl::{self, Fetcher};
use super::dns::{Dns, DnsFault};
use super::edge::Edge;
use super::tls::{
    self, CertStore, ClientRole, ClientTls, Judged, MinVersion, PeerCert, ServerTls, Strict, Trust, Wanted,
};
use super::xmpp_locate::{self, LocateError, Proxy, XmppTarget};
use crate::addr::Domain;
use crate::ids::Ids;
use crate::now::{Now, Wall};
use crate::sip::link::{LinkIdentity, PeerId};
use crate::sip::locate::{self, Answer, Asked, Destination, Enabled, Locator, Question, Target};
use crate::xmpp::{CertFault, CertVerdict, Condition, Pair, PeerIdentity, Terms};
use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, ServerName};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How long finding a server may take.
const LOCATE_TIMEOUT: Duration = Duration::from_secs(8);

/// The SIP transports that we speak.
pub const ENABLED: Enabled = Enabled { tls: true, tcp: true, udp: true };

/// A SIP peer, as the network needs to know it.
#[derive(Clone, Debug)]
pub struct PeerNet {
    /// Host, port and transport of its static route; the domain without one.
    pub host: Domain,
    /// The port, if the route names one.
    pub port: Option<u16>,
    /// The transport, if the route names one.
    pub transport: Option<locate::Transport>,
    /// Whether `_sipfederationtls._tcp` is looked up.
    pub federation: bool,
    /// Whether there is a static route, which may lead anywhere, also into a private network.
    pub is_static: bool,
    /// Names that its certificate may have.
    pub identity: Vec<Domain>,
    /// The domains that it speaks for.
    pub domains: Arc<[Domain]>,
    /// Networks trusted without a certificate, on UDP and TCP.
    pub addresses: Vec<ipnet::IpNet>,
}

/// Everything that a connection needs.
pub struct Dialer {
    /// The thread for handshakes and DNS.
    pub edge: Edge,
    server: ServerTls,
    client: ClientTls,
    trust: ArcSwap<Trust>,
    dns: Arc<Dns>,
    fetcher: Option<Arc<Fetcher>>,
    peers: ArcSwap<Vec<PeerNet>>,
    enabled: Enabled,
}

impl Dialer {
    /// Puts the parts together.
    ///
    /// # Errors
    /// rustls refuses the certificates.
    pub fn new(
        edge: Edge,
        store: Arc<CertStore>,
        min: MinVersion,
        trust: Arc<Trust>,
        dns: Arc<Dns>,
        peers: Vec<PeerNet>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self {
            edge,
            server: ServerTls::new(store.clone(), min)?,
            client: ClientTls::new(store, min)?,
            trust: ArcSwap::new(trust),
            dns,
            fetcher: None,
            peers: ArcSwap::from_pointee(peers),
            enabled: ENABLED,
        })
    }

    /// The same, and revocation lists are fetched by `fetcher`.
    pub fn with_fetcher(self, fetcher: Arc<Fetcher>) -> Self {
        Self { fetcher: Some(fetcher), ..self }
    }

    /// Who fetches revocation lists.
    pub fn fetcher(&self) -> Option<&Arc<Fetcher>> {
        self.fetcher.as_ref()
    }

    /// Who answers questions to the DNS.
    pub fn dns(&self) -> &Arc<Dns> {
        &self.dns
    }

    /// Questions to the DNS so far: type of record, result, and how many.
    pub fn dns_counts(&self) -> Vec<(&'static str, &'static str, u64)> {
        self.dns.counts().read()
    }

    /// Other trust anchors, for connections from now on.
    pub fn set_trust(&self, trust: Arc<Trust>) {
        self.trust.store(trust);
    }

    /// Other peers, for connections from now on; those whose old connections prove nothing any more.
    pub fn set_peers(&self, peers: Vec<PeerNet>) -> Vec<PeerId> {
        let before = self.peers.load_full();
        let same = |old: &PeerNet, new: &PeerNet| {
            (&old.identity, &old.addresses, &old.domains) == (&new.identity, &new.addresses, &new.domains)
        };
        let changed = |(at, old): (usize, &PeerNet)| {
            let kept = peers.get(at).is_some_and(|new| same(old, new));
            if kept { None } else { u16::try_from(at).ok().map(PeerId) }
        };
        let strangers = before.iter().enumerate().filter_map(changed).collect();
        self.peers.store(Arc::new(peers));
        strangers
    }

    /// TLS for a stream that somebody opens to us; `domain` is what its header asked for.
    pub fn xmpp_server(&self, domain: Option<&Domain>) -> Judged<rustls::ServerConfig> {
        Judged::later(self.server.xmpp(domain))
    }

    /// TLS for a SIP link that somebody opens to us. A certificate without a good path ends it: nothing else
    /// proves anything there. Whose a good one is, is asked later, so that a stranger hears 403.
    pub fn sip_server(&self) -> Judged<rustls::ServerConfig> {
        self.server.sip_judged(Strict::new(self.trust.load_full(), Wanted::Anybody))
    }

    /// TLS for a stream that we open: our domain's certificate, the partner's domain as SNI. Where `terms`
    /// leave no dialback, the partner's certificate has to be good.
    ///
    /// # Errors
    /// The partner's domain can be no name in TLS.
    pub fn xmpp_client(
        &self,
        pair: &Pair,
        direct: bool,
        terms: &Terms,
    ) -> Result<(Judged<rustls::ClientConfig>, ServerName<'static>), String> {
        let role = if direct { ClientRole::XmppDirect } else { ClientRole::XmppStartTls };
        let name = tls::client::server_name(&pair.remote)
            .ok_or_else(|| format!("{} can be no server name in TLS", pair.remote))?;
        let strict = (!terms.ways().dialback(true))
            .then(|| Strict::new(self.trust.load_full(), Wanted::Xmpp(pair.remote.clone())));
        Ok((self.client.judged(Some(&pair.local), role, strict), name))
    }

    /// The same for one who wants to see whatever certificate is there.
    ///
    /// # Errors
    /// As [`Dialer::xmpp_client`].
    pub fn xmpp_looker(
        &self,
        pair: &Pair,
        direct: bool,
    ) -> Result<(Judged<rustls::ClientConfig>, ServerName<'static>), String> {
        let role = if direct { ClientRole::XmppDirect } else { ClientRole::XmppStartTls };
        let name = tls::client::server_name(&pair.remote)
            .ok_or_else(|| format!("{} can be no server name in TLS", pair.remote))?;
        Ok((self.client.judged(Some(&pair.local), role, None), name))
    }

    /// TLS for a SIP link that we open: the name that the certificate must have as SNI. The certificate has
    /// to be the peer's.
    ///
    /// # Errors
    /// The name can be none in TLS.
    pub fn sip_client(
        &self,
        peer: PeerId,
        identity: &str,
    ) -> Result<(Judged<rustls::ClientConfig>, ServerName<'static>), String> {
        let name = Domain::parse(identity)
            .ok()
            .and_then(|domain| tls::client::server_name(&domain))
            .ok_or_else(|| format!("{identity} can be no server name in TLS"))?;
        let peers = self.peers.load();
        let peer = peers.get(usize::from(peer.0)).ok_or("no such peer")?;
        let strict = Strict::new(self.trust.load_full(), Wanted::Sip(peer.identity.clone()));
        Ok((self.client.judged(peer.domains.first(), ClientRole::Sip, Some(strict)), name))
    }

    /// TLS for an MSRP connection that we open: the host of the URI as SNI.
    ///
    /// # Errors
    /// The host can be no name in TLS.
    pub fn msrp_client(
        &self,
        host: &Domain,
    ) -> Result<(Judged<rustls::ClientConfig>, ServerName<'static>), String> {
        let name =
            tls::client::server_name(host).ok_or_else(|| format!("{host} can be no server name in TLS"))?;
        Ok((self.client.judged(None, ClientRole::Sip, None), name))
    }

    /// The names that the certificate of the peer of the SIP domain `near` may have.
    pub fn names_of(&self, near: &str) -> Vec<Domain> {
        let peers = self.peers.load();
        let peer = peers.iter().find(|peer| peer.domains.iter().any(|name| name.as_str() == near));
        peer.map_or(Vec::new(), |peer| peer.identity.clone())
    }

    /// Where `host` is that a description of the SIP domain `near` names: addresses of the Internet, and those
    /// that the configuration has for the peer of that domain.
    ///
    /// # Errors
    /// There is none, or none that may be connected to; for people.
    pub async fn msrp_addresses(&self, host: &str, near: &str) -> Result<Vec<IpAddr>, String> {
        let peers = self.peers.load_full();
        let (dns, host, near) = (self.dns.clone(), host.to_owned(), near.to_owned());
        let work = async move {
            let asking = async {
                let found = dns.addresses(&host).await.map_err(|fault| fault.to_string())?;
                let peer = peers.iter().find(|peer| peer.domains.iter().any(|name| name.as_str() == near));
                let known = match peer.filter(|peer| peer.is_static) {
                    Some(peer) => {
                        dns.addresses(&peer.host.to_ascii()).await.map_or(Vec::new(), |known| known.records)
                    }
                    None => Vec::new(),
                };
                let networks = peer.map_or(&[][..], |peer| &peer.addresses);
                let own = |ip: &IpAddr| known.contains(ip) || networks.iter().any(|net| net.contains(ip));
                let may = |ip: &IpAddr| dns.may_dial(*ip) || own(&ip.to_canonical());
                Ok::<_, String>(found.records.into_iter().filter(may).collect::<Vec<_>>())
            };
            tokio::time::timeout(LOCATE_TIMEOUT, asking).await
        };
        let found =
            self.edge.run(work).await.ok_or("shutting down")?.map_err(|_| "DNS did not answer in time")??;
        if found.is_empty() {
            return Err(
                "the address is private or our own, [dns] private_addresses is false, and it is not where \
                        the [[sip.peer]] of this domain is"
                    .to_owned(),
            );
        }
        Ok(found)
    }

    /// What TLS knows of a peer. Its chain is validated on the edge thread: a hostile one may cost
    /// milliseconds. Revocation lists that are missing are fetched meanwhile; where one has to say that the
    /// certificate is good, it is waited for, [`crl::WAIT`] at most.
    pub async fn identity(
        &self,
        chain: Vec<CertificateDer<'static>>,
        version: &'static str,
        wall: Wall,
    ) -> Arc<PeerCert> {
        let cert = Arc::new(PeerCert::new(chain, self.trust.load_full(), version));
        let (same, fetcher) = (cert.clone(), self.fetcher.clone());
        let work = async move {
            cert.prepare(wall);
            let Some(fetcher) = fetcher else { return };
            let due = fetcher.due(cert.points(wall), wall);
            if due.is_empty() {
                return;
            }
            // It goes on, whether or not it is waited for.
            let fetching = tokio::spawn(fetcher.refresh(due, wall));
            if cert.lacks_list(wall) {
                let _ = tokio::time::timeout(crl::WAIT, fetching).await;
                let _ = cert.look_again(wall);
            }
        };
        let _ = self.edge.run(work).await;
        same
    }

    /// Judges `cert` again, on the edge thread: there is another revocation list.
    ///
    /// # Errors
    /// It is not good any more, and why.
    pub async fn look_again(&self, cert: Arc<PeerCert>, wall: Wall) -> Result<(), tls::CertFault> {
        self.edge.run(async move { cert.look_again(wall) }).await.unwrap_or(Ok(()))
    }

    /// Fetches the lists for `certs` that are due, without waiting for them.
    pub async fn refresh_lists(&self, certs: Vec<Arc<PeerCert>>, wall: Wall) {
        let Some(fetcher) = self.fetcher.clone() else { return };
        let work = async move {
            let mut due: Vec<_> = certs.iter().flat_map(|c| fetcher.due(c.points(wall), wall)).collect();
            due.sort_by(|a, b| a.url.cmp(&b.url));
            due.dedup();
            drop(tokio::spawn(fetcher.refresh(due, wall)));
        };
        let _ = self.edge.run(work).await;
    }

    /// The servers of a partner.
    ///
    /// # Errors
    /// There is none, or DNS did not say.
    pub async fn locate_xmpp(
        &self,
        domain: &Domain,
        proxy: Option<(Domain, u16)>,
        mut ids: Ids,
    ) -> Result<Vec<XmppTarget>, LocateError> {
        let (dns, domain) = (self.dns.clone(), domain.clone());
        let proxy = proxy.map(|(host, port)| Proxy { host: host.to_ascii().into(), port });
        let work =
            async move { xmpp_locate::locate(&dns, &domain, proxy.as_ref(), LOCATE_TIMEOUT, &mut ids).await };
        self.edge.run(work).await.unwrap_or(Err(LocateError::NotFound))
    }

    /// The servers of a SIP peer (RFC 3263), or its static route.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub async fn locate_sip(&self, peer: PeerId, mut ids: Ids) -> Result<Vec<Target>, String> {
        let peers = self.peers.load_full();
        let peer = peers.get(usize::from(peer.0)).ok_or("no such peer")?.clone();
        let (dns, enabled) = (self.dns.clone(), self.enabled);
        let work = async move { locate_sip(&dns, &peer, enabled, &mut ids).await };
        self.edge.run(work).await.unwrap_or_else(|| Err("shutting down".to_owned()))
    }

    /// Who is at the far end of a TLS link: the peer one of whose names the certificate has.
    ///
    /// # Errors
    /// Why it is nobody we know, for people.
    pub fn sip_identity(&self, cert: &PeerCert, wall: Wall) -> Result<LinkIdentity, String> {
        let names = cert.sip_identities(wall).map_err(|fault| fault.to_string())?;
        let peers = self.peers.load();
        let found = peers.iter().position(|peer| peer.identity.iter().any(|name| names.contains(name)));
        identity_of(&peers, found).ok_or_else(|| {
            let names: Vec<&str> = names.iter().map(Domain::as_str).take(8).collect();
            format!("no [[sip.peer]] has the identity of this certificate: {}", names.join(", "))
        })
    }

    /// Is the certificate one of `peer`'s?
    ///
    /// # Errors
    /// Why not, for people.
    pub fn check_sip_peer(&self, peer: PeerId, cert: &PeerCert, wall: Wall) -> Result<LinkIdentity, String> {
        let peers = self.peers.load();
        let wanted = peers.get(usize::from(peer.0)).ok_or("no such peer")?;
        cert.judge_sip(&wanted.identity, wall).map_err(|fault| fault.to_string())?;
        identity_of(&peers, Some(usize::from(peer.0))).ok_or_else(|| "no such peer".to_owned())
    }

    /// Who is at an address, on a link without TLS: nobody, unless the configuration says so.
    pub fn address_identity(&self, address: IpAddr) -> LinkIdentity {
        let address = address.to_canonical();
        let peers = self.peers.load();
        let found = peers.iter().position(|peer| peer.addresses.iter().any(|net| net.contains(&address)));
        identity_of(&peers, found).unwrap_or_default()
    }

    /// The identity of a link that we dialled to `peer` without TLS.
    pub fn peer_identity(&self, peer: PeerId) -> LinkIdentity {
        identity_of(&self.peers.load(), Some(usize::from(peer.0))).unwrap_or_default()
    }
}

fn identity_of(peers: &[PeerNet], at: Option<usize>) -> Option<LinkIdentity> {
    let at = at?;
    let domains = peers.get(at)?.domains.clone();
    Some(LinkIdentity { peer: Some(PeerId(u16::try_from(at).ok()?)), domains })
}

/// The servers of `peer` (RFC 3263), or its static route.
///
/// # Errors
/// Why there is none, for people.
pub async fn locate_sip(
    dns: &Dns,
    peer: &PeerNet,
    enabled: Enabled,
    ids: &mut Ids,
) -> Result<Vec<Target>, String> {
    let host = peer.host.to_ascii();
    let identity = peer.identity.first().map_or(host.as_ref(), |name| name.as_str()).to_owned();
    let destination = Destination {
        host: &host,
        port: peer.port,
        transport: peer.transport,
        sips: false,
        federation: peer.federation,
        identity: &identity,
    };
    let mut locator = Locator::new(&destination, enabled).map_err(|error| error.to_string())?;
    let asking = async {
        while locator.outcome().is_none() {
            let mut asked: Vec<(Asked, Question)> = Vec::new();
            while let Some((key, question)) = locator.next_question() {
                asked.push((key, question.clone()));
            }
            if asked.is_empty() {
                break;
            }
            for (key, question) in asked {
                answer(dns, &question, key, &mut locator, ids).await;
            }
        }
    };
    if tokio::time::timeout(LOCATE_TIMEOUT, asking).await.is_err() {
        locator.give_up(ids);
    }
    let located = locator.into_outcome().map_err(|error| error.to_string())?;
    let allowed = |target: &Target| peer.is_static || dns.may_dial(target.address.ip());
    let targets: Vec<Target> = located.targets.into_iter().filter(allowed).collect();
    if targets.is_empty() {
        return Err("all addresses are private or our own, and [dns] private_addresses is false".to_owned());
    }
    Ok(targets)
}

async fn answer(dns: &Dns, question: &Question, key: Asked, locator: &mut Locator, ids: &mut Ids) {
    let none = |fault: &DnsFault| if fault.is_absent() { Answer::Nothing } else { Answer::Failed };
    match question {
        Question::Naptr(name) => match dns.naptr(name).await {
            Ok(found) => {
                let records: Vec<locate::Naptr<'_>> = found
                    .records
                    .iter()
                    .map(|naptr| locate::Naptr {
                        order: naptr.order,
                        preference: naptr.preference,
                        flags: &naptr.flags,
                        service: &naptr.services,
                        regexp: &naptr.regexp,
                        replacement: &naptr.replacement,
                    })
                    .collect();
                locator.answer(key, Answer::Naptr(&records), found.ttl, ids);
            }
            Err(fault) => locator.answer(key, none(&fault), Duration::ZERO, ids),
        },
        Question::Srv(name) => match dns.srv(name).await {
            Ok(found) => {
                let records: Vec<locate::Srv<'_>> = found
                    .records
                    .iter()
                    .map(|srv| locate::Srv {
                        priority: srv.priority,
                        weight: srv.weight,
                        port: srv.port,
                        target: &srv.target,
                    })
                    .collect();
                locator.answer(key, Answer::Srv(&records), found.ttl, ids);
            }
            Err(fault) => locator.answer(key, none(&fault), Duration::ZERO, ids),
        },
        Question::Address(name) => match dns.addresses(name).await {
            Ok(found) => locator.answer(key, Answer::Address(&found.records), found.ttl, ids),
            Err(fault) => locator.answer(key, none(&fault), Duration::ZERO, ids),
        },
    }
}

impl LocateError {
    /// What those hear who wait for the partner (RFC 6120 §10.4.3).
    pub fn condition(&self) -> Condition {
        match self {
            // Nobody knows whether there is one: it may be found later.
            Self::Dns { fault, .. } if !fault.is_absent() => Condition::RemoteServerTimeout,
            Self::NotFound | Self::NotOffered | Self::Unusable(_) | Self::NotPublic(_) | Self::Dns { .. } => {
                Condition::RemoteServerNotFound
            }
        }
    }
}

impl PeerIdentity for Arc<PeerCert> {
    fn judge(&self, domain: &Domain, now: Now) -> CertVerdict {
        match self.judge_xmpp(domain, now.wall) {
            Ok(()) => CertVerdict::Valid,
            Err(fault) => {
                tracing::debug!(
                    stoxd_partner = domain.as_str(),
                    "certificate not good for the domain: {fault}"
                );
                CertVerdict::Invalid(plain(&fault))
            }
        }
    }

    fn not_after(&self) -> Option<Wall> {
        self.as_ref().not_after()
    }

    fn tls_version(&self) -> &'static str {
        self.as_ref().tls_version()
    }

    fn presented(&self) -> bool {
        self.as_ref().presented()
    }
}

fn plain(fault: &tls::CertFault) -> CertFault {
    match fault {
        tls::CertFault::NonePresented => CertFault::NonePresented,
        tls::CertFault::UntrustedIssuer { .. } | tls::CertFault::SelfSigned => CertFault::UntrustedIssuer,
        tls::CertFault::Expired { .. } => CertFault::Expired,
        tls::CertFault::NotYetValid { .. } => CertFault::NotYetValid,
        tls::CertFault::WrongName { .. } => CertFault::WrongName,
        tls::CertFault::Revoked => CertFault::Revoked,
        tls::CertFault::RevocationUnknown(_) => CertFault::RevocationUnknown,
        tls::CertFault::WrongPurpose | tls::CertFault::Authority => CertFault::WrongUsage,
        tls::CertFault::Malformed | tls::CertFault::BadSignature | tls::CertFault::Refused(_) => {
            CertFault::Malformed
        }
    }
}

/// Host and port of an address, as a log names it.
pub fn shown(address: SocketAddr) -> String {
    SocketAddr::new(address.ip().to_canonical(), address.port()).to_string()
}
