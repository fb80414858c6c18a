//! From the checked configuration to what each room is told.

use crate::addr::Domain;
use crate::bridge::{beyond, typing::ChatState, watch};
use crate::config::settings::{
    Config, Crl, Im as WantedIm, Peer, Receipts as WantedReceipts, Srv, Talk, TlsVersion, Transport as Wanted,
};
use crate::gateway::pairs::PairSettings;
use crate::gateway::{
    Im, PeerSettings, PeerTalk, PresenceSettings, Receipts, SentBy, SessionSettings, Settings, TalkSettings,
};
use crate::msrp;
use crate::net::dialer::PeerNet;
use crate::net::dns::DnsSettings;
use crate::net::shard::Limits;
use crate::net::tls::certs::{CertSettings, CertSource, Sides};
use crate::net::tls::{Lookup, MinVersion};
use crate::policy::Allowance;
use crate::sip::digest::Credentials;
use crate::sip::link::PeerId;
use crate::sip::locate::Transport;
use crate::sip::subscription::Durations;
use crate::xmpp;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What the gateway is told.
///
/// # Errors
/// A password file can't be read.
pub fn gateway(config: &Config, deliveries: bool) -> Result<Settings, String> {
    let mut peers = Vec::new();
    for peer in &config.sip.peers {
        peers.push(PeerSettings {
            name: peer.name.clone(),
            im: im_of(peer.im),
            message_limit: peer.message_limit,
            talk: talk_of(peer.talk),
            credentials: credentials(peer)?,
            monitor: peer.monitor,
            discovered: false,
        });
    }
    let mut domains = Vec::new();
    for served in &config.domains {
        let at = match served.peer {
            Some(at) => at,
            // A domain that is found by SRV is a peer of its own.
            None => {
                peers.push(PeerSettings {
                    name: served.name.to_string(),
                    im: Im::default(),
                    message_limit: None,
                    talk: PeerTalk::default(),
                    credentials: None,
                    monitor: false,
                    discovered: true,
                });
                peers.len() - 1
            }
        };
        let peer = PeerId(u16::try_from(at).map_err(|_| "too many SIP peers".to_owned())?);
        domains.push((served.name.clone(), peer));
    }
    let queue = PairSettings {
        queue: config.limits.queue,
        queue_timeout: config.limits.queue_timeout,
        ..PairSettings::default()
    };
    Ok(Settings {
        name: config.gateway.name.to_ascii().into_owned(),
        sent_by: sent_by(config),
        domain_names: domains.iter().map(|(name, _)| name.clone()).collect(),
        domains,
        tel_domain: config.domains.iter().find(|served| served.tel_domain).map(|served| served.name.clone()),
        peers,
        message_size: config.limits.message_size,
        stanza_size: config.limits.stanza_size,
        target_queue: config.limits.queue,
        targets: 100_000,
        partner_rate: config.limits.partner_rate,
        user_rate: config.limits.user_rate,
        discovered: Allowance {
            rate: config.limits.discovered_rate,
            contacts: config.limits.discovered_contacts,
        },
        pairs: queue,
        xmpp: xmpp::Settings {
            stanza_size: config.limits.stanza_size,
            establishment_timeout: config.xmpp.stream_establishment_timeout,
            inactivity_timeout: config.xmpp.stream_inactivity_timeout,
            keepalive_interval: config.xmpp.keepalive_interval,
            ..xmpp::Settings::default()
        },
        talk: talk(config),
        presence: presence(config),
        sessions: SessionSettings {
            idle: config.sip.session_idle_timeout,
            all: config.limits.sessions,
            per_user: config.limits.user_sessions,
            per_partner: config.limits.partner_sessions,
        },
        msrp: msrp(config),
        sip_keepalive: config.sip.keepalive_interval,
        deliveries,
        texts: config.log.message_bodies,
    })
}

fn talk(config: &Config) -> TalkSettings {
    let idle = if config.bridge.idle_is_paused { ChatState::Paused } else { ChatState::Active };
    TalkSettings { idle, encrypted_notice: config.bridge.encrypted_notice }
}

fn talk_of(talk: Talk) -> PeerTalk {
    PeerTalk {
        typing: talk.typing,
        receipts: match talk.receipts {
            WantedReceipts::Auto => Receipts::Auto,
            WantedReceipts::Trust200 => Receipts::Trust200,
            WantedReceipts::Off => Receipts::Off,
        },
        beyond: beyond::Terms { reactions: talk.reactions, ascii_emoji: talk.ascii_emoji },
    }
}

fn im_of(im: WantedIm) -> Im {
    match im {
        WantedIm::Auto => Im::Auto,
        WantedIm::Pager => Im::Pager,
        WantedIm::MsSession => Im::MsSession,
        WantedIm::Msrp => Im::Msrp,
    }
}

fn msrp(config: &Config) -> msrp::Settings {
    let host = config.msrp.host.as_ref().unwrap_or(&config.gateway.name);
    msrp::Settings {
        host: host.to_ascii().into_owned(),
        port: config.msrp.listen.first().map(std::net::SocketAddr::port),
        tls: config.msrp.transport == Wanted::Tls,
        message_max: config.limits.message_size,
        unfinished: msrp::UNFINISHED,
        // What comes in is bounded by its listener: these are for what we open beside.
        connections: config.msrp.connection_limit.saturating_mul(2),
        sessions: config.limits.sessions,
    }
}

fn presence(config: &Config) -> PresenceSettings {
    let presence = &config.presence;
    let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    PresenceSettings {
        watch: watch::Settings {
            interval: seconds(config.sip.subscription_refresh_interval),
            durations: Durations {
                usual: seconds(presence.default_expires),
                least: seconds(presence.min_expires),
                most: seconds(presence.max_expires),
            },
            ..watch::Settings::default()
        },
        watches: presence.watches,
        per_user: presence.per_user,
        per_domain: presence.per_domain,
        subscribe_rate: presence.subscribe_rate,
        pending_per_user: presence.pending_per_user,
        pending: presence.pending,
        forget_after: presence.forget_after,
    }
}

/// What the network needs to know of the SIP peers, in the same order as [`gateway`].
pub fn peers(config: &Config) -> Vec<PeerNet> {
    let mut peers: Vec<PeerNet> = config.sip.peers.iter().filter_map(peer).collect();
    for served in config.domains.iter().filter(|served| served.peer.is_none()) {
        peers.push(PeerNet {
            host: served.name.clone(),
            port: None,
            transport: None,
            federation: false,
            is_static: false,
            identity: vec![served.name.clone()],
            domains: [served.name.clone()].into(),
            addresses: Vec::new(),
        });
    }
    peers
}

/// None for a peer without domains, which the configuration refuses.
fn peer(peer: &Peer) -> Option<PeerNet> {
    let domains: Arc<[Domain]> = peer.domains.clone().into();
    let identity = if peer.identity.is_empty() { peer.domains.clone() } else { peer.identity.clone() };
    let (host, port, transport) = match &peer.route {
        Some(route) => (route.host.clone(), route.port, route.transport.map(transport_of)),
        None => (peer.domains.first()?.clone(), None, None),
    };
    Some(PeerNet {
        host,
        port,
        transport,
        federation: peer.srv == Srv::Federation,
        is_static: peer.route.is_some(),
        identity,
        domains,
        addresses: peer.addresses.clone(),
    })
}

/// How questions to the DNS are asked.
pub fn dns(config: &Config) -> DnsSettings {
    let listening = config.xmpp.listen.iter().map(SocketAddr::ip);
    DnsSettings {
        servers: config.dns.servers.clone(),
        dnssec: config.dns.dnssec,
        private_addresses: config.dns.private_addresses,
        own_addresses: listening.filter(|ip| !ip.is_unspecified()).collect(),
        ..DnsSettings::default()
    }
}

/// A transport of the configuration.
pub fn transport_of(wanted: Wanted) -> Transport {
    match wanted {
        Wanted::Tls => Transport::Tls,
        Wanted::Tcp => Transport::Tcp,
        Wanted::Udp => Transport::Udp,
    }
}

/// Host and port for Via: our name, and the port where we listen for that transport.
pub fn sent_by(config: &Config) -> SentBy {
    let name = config.gateway.name.to_ascii();
    let by = |wanted: Wanted| {
        let port = config
            .sip
            .listen
            .iter()
            .find(|listen| listen.transport == wanted)
            .map(|listen| listen.addr.port());
        match port {
            Some(port) if port != transport_of(wanted).port() => format!("{name}:{port}"),
            Some(_) | None => name.to_string(),
        }
    };
    SentBy { tls: by(Wanted::Tls), tcp: by(Wanted::Tcp), udp: by(Wanted::Udp) }
}

fn credentials(peer: &Peer) -> Result<Option<Credentials>, String> {
    let Some(digest) = &peer.digest else { return Ok(None) };
    let password = secret(&digest.password)?;
    let realm = peer.domains.first().map(ToString::to_string).unwrap_or_default();
    Ok(Some(Credentials { realm, username: digest.user.clone(), password }))
}

/// A secret in a file, without the line end behind it.
///
/// # Errors
/// It can't be read, or is empty.
pub fn secret(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(format!("{}: the secret is empty", path.display()));
    }
    Ok(text.to_owned())
}

/// Which certificates there are, and which is for which domain.
pub fn certificates(config: &Config) -> CertSettings {
    let sources = config
        .tls
        .certificates
        .iter()
        .map(|c| CertSource {
            id: c.id.clone(),
            chain: c.chain.clone(),
            key: c.key.clone(),
            replaces: c.replaces.as_ref().map(|replaces| (replaces.id.clone(), replaces.from)),
            sides: Sides { xmpp: c.sides.xmpp, sip: c.sides.sip },
        })
        .collect();
    let assigned = config
        .domains
        .iter()
        .flat_map(|served| served.certificates.iter().map(|id| (served.name.clone(), id.clone())))
        .collect();
    CertSettings { sources, assigned, default: config.tls.default_certificates.clone() }
}

/// Whether peers' certificates are looked up in revocation lists.
pub fn lookup(config: &Config) -> Lookup {
    match config.tls.crl {
        Crl::Off => Lookup::Off,
        Crl::Soft => Lookup::Soft,
        Crl::Hard => Lookup::Hard,
    }
}

/// How many connections there may be.
pub fn limits(config: &Config) -> Limits {
    Limits {
        xmpp: config.xmpp.connection_limit,
        of_partner: config.xmpp.partner_connection_limit,
        msrp: config.msrp.connection_limit,
        ..Limits::default()
    }
}

/// The oldest TLS version.
pub fn min_version(config: &Config) -> MinVersion {
    match config.tls.min_version {
        TlsVersion::Tls12 => MinVersion::Tls12,
        TlsVersion::Tls13 => MinVersion::Tls13,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::{FileFault, Files, Purpose, Surroundings, parse};

    struct One<'t>(&'t str);

    impl Files for One<'_> {
        fn read(&self, path: &Path, _limit: u64) -> Result<String, FileFault> {
            Ok(if path.ends_with("stoxd.toml") { self.0.to_owned() } else { String::new() })
        }

        fn mode(&self, _path: &Path) -> Result<u32, FileFault> {
            Ok(0o400)
        }
    }

    fn settings(more: &str) -> PresenceSettings {
        let text = format!(
            "[gateway]\nname = \"gw.contoso.example\"\n[[domain]]\nname = \"contoso.example\"\n\
             discovery = true\n[sip]\nlisten = [{{ addr = \"127.0.0.1:5060\", transport = \"udp\" }}]\n{more}"
        );
        let path = Path::new("/etc/stoxd/stoxd.toml");
        let config = parse(path, &One(&text), &Surroundings::default(), Purpose::Check).unwrap();
        gateway(&config, false).unwrap().presence
    }

    #[test]
    fn presence_is_told_what_is_set_and_else_its_own_defaults() {
        let (unset, default) = (settings(""), PresenceSettings::default());
        assert_eq!(format!("{unset:?}"), format!("{default:?}"));
        let set = settings(
            "subscription_refresh_interval = \"1h\"\n[presence]\nwatch_limit = 9\nuser_watch_limit = 7\n\
             domain_watch_limit = 8\nsubscribe_rate = 6\nuser_pending_limit = 4\npending_limit = 5\n\
             forget_after = \"30d\"\ndefault_expires = \"20m\"\nmin_expires = \"10m\"\nmax_expires = \"30m\"\n",
        );
        assert_eq!((set.watches, set.per_user, set.per_domain, set.subscribe_rate), (9, 7, 8, 6));
        assert_eq!((set.pending_per_user, set.pending, set.forget_after), (4, 5, 30));
        assert_eq!(set.watch.interval, 3600);
        assert_eq!(set.watch.durations, Durations { usual: 1200, least: 600, most: 1800 });
    }
}
