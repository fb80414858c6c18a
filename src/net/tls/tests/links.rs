//! Which peer a SIP link is, by its certificate or its address.

use super::*;
use crate::net::dialer::{Dialer, PeerNet};
use crate::net::dns::{Dns, DnsSettings};
use crate::net::edge::Edge;
use crate::sip::link::{LinkIdentity, PeerId};
use std::net::IpAddr;
use std::time::Duration;

fn peer(identity: &str, domains: &[&str], networks: &[&str]) -> PeerNet {
    PeerNet {
        host: domain(identity),
        port: None,
        transport: None,
        federation: false,
        is_static: true,
        identity: vec![domain(identity)],
        domains: domains.iter().map(|name| domain(name)).collect(),
        addresses: networks.iter().map(|net| net.parse().unwrap()).collect(),
    }
}

fn dialer(ca: &Ca) -> Dialer {
    let dns = DnsSettings {
        servers: vec!["127.0.0.1:9".parse().unwrap()],
        dnssec: false,
        private_addresses: false,
        own_addresses: Vec::new(),
        hosts_file: false,
        timeout: Duration::from_secs(1),
    };
    let peers = vec![
        peer("edge.contoso.example", &["contoso.example"], &["192.0.2.0/28", "2001:db8::/64"]),
        peer("sip.tailspin.example", &["tailspin.example"], &[]),
    ];
    let (edge, dns) = (Edge::start().unwrap(), Arc::new(Dns::new(dns).unwrap()));
    Dialer::new(edge, no_certificate(), MinVersion::Tls12, ca.trust(), dns, peers).unwrap()
}

fn named(identity: &LinkIdentity) -> (Option<u16>, Vec<&str>) {
    (identity.peer.map(|PeerId(at)| at), identity.domains.iter().map(Domain::as_str).collect())
}

#[test]
fn check_160_threat_085_a_link_is_what_its_certificate_says_or_nobody() {
    let ca = Ca::new("ours");
    let dialer = dialer(&ca);
    let asked = |ask: Ask| dialer.sip_identity(&ca.issue(&ask).peer(ca.trust()), NOW);
    let edge = asked(Ask::dns("edge.contoso.example")).unwrap();
    assert_eq!(named(&edge), (Some(0), vec!["contoso.example"]));
    let tailspin = asked(Ask::dns("sip.tailspin.example")).unwrap();
    assert_eq!(named(&tailspin), (Some(1), vec!["tailspin.example"]));
    for refused in [
        Ask::dns("elsewhere.example"),
        // What it serves is not what it is called.
        Ask::dns("contoso.example"),
        Ask::dns("*.contoso.example"),
        Ask::dns("edge.contoso.example.evil.example"),
        Ask::dns("edge.contoso.example").years(2020, 2021),
        Ask::dns("edge.contoso.example").years(2030, 2031),
        Ask { cn: Some("edge.contoso.example"), ..Ask::dns("elsewhere.example") },
    ] {
        let sans = format!("{:?} {:?}", refused.sans, refused.years);
        assert!(asked(refused).is_err(), "{sans}");
    }
    let rogue = Ca::new("rogue").issue(&Ask::dns("edge.contoso.example"));
    assert!(dialer.sip_identity(&rogue.peer(ca.trust()), NOW).is_err());
    let own = Issued::self_signed(&Ask::dns("edge.contoso.example"));
    assert!(dialer.sip_identity(&own.peer(ca.trust()), NOW).is_err());
    assert!(dialer.sip_identity(&PeerCert::new(Vec::new(), ca.trust(), "TLSv1.3"), NOW).is_err());
}

#[test]
fn check_161_a_link_that_we_dial_is_used_only_with_that_peers_certificate() {
    let ca = Ca::new("ours");
    let dialer = dialer(&ca);
    let edge = ca.issue(&Ask::dns("edge.contoso.example")).peer(ca.trust());
    assert_eq!(named(&dialer.check_sip_peer(PeerId(0), &edge, NOW).unwrap()).0, Some(0));
    assert!(dialer.check_sip_peer(PeerId(1), &edge, NOW).is_err(), "another peer's");
    assert!(dialer.check_sip_peer(PeerId(9), &edge, NOW).is_err(), "no peer");
}

#[test]
fn check_160_without_tls_only_an_address_that_is_named_is_anybody() {
    let dialer = dialer(&Ca::new("ours"));
    let at = |text: &str| dialer.address_identity(text.parse::<IpAddr>().unwrap()).peer;
    assert_eq!(at("192.0.2.15"), Some(PeerId(0)));
    assert_eq!(at("::ffff:192.0.2.15"), Some(PeerId(0)), "as a dual-stack socket has it");
    assert_eq!(at("2001:db8::7"), Some(PeerId(0)));
    for stranger in ["192.0.2.16", "198.51.100.1", "2001:db8:1::7", "127.0.0.1", "::1"] {
        assert_eq!(at(stranger), None, "{stranger}");
        assert!(dialer.address_identity(stranger.parse().unwrap()).domains.is_empty());
    }
}
