//! What a certificate proves: path, validity, names.

use super::*;
use crate::net::tls::{CertFault, judge};
use rcgen::GeneralSubtree;

fn fault(issued: &Issued, trust: &Trust) -> CertFault {
    judge(&issued.chain, trust, NOW).unwrap_err()
}

/// The verdict for XMPP of a certificate with these names, from a trusted authority.
fn xmpp(sans: Vec<San>, name: &str) -> Result<(), CertFault> {
    let ca = Ca::new("test");
    ca.issue(&Ask::san(sans)).peer(ca.trust()).judge_xmpp(&domain(name), NOW)
}

fn sip(sans: Vec<San>) -> Vec<String> {
    let ca = Ca::new("test");
    let identities = ca.issue(&Ask::san(sans)).peer(ca.trust()).sip_identities(NOW).unwrap();
    identities.iter().map(Domain::to_string).collect()
}

#[test]
fn check_128_server_auth_or_client_auth_is_enough_and_neither_is_not() {
    let ca = Ca::new("test");
    for eku in [&[Eku::ServerAuth][..], &[Eku::ClientAuth], &[Eku::ServerAuth, Eku::ClientAuth], &[]] {
        let issued = ca.issue(&Ask::dns("im.example").eku(eku));
        assert_eq!(issued.peer(ca.trust()).judge_xmpp(&domain("im.example"), NOW), Ok(()), "{eku:?}");
    }
    let other = ca.issue(&Ask::dns("im.example").eku(&[Eku::CodeSigning]));
    assert_eq!(fault(&other, &ca.trust()), CertFault::WrongPurpose);
}

#[test]
fn threat_041_a_rogue_authority_and_a_self_signed_certificate_are_refused() {
    let (ca, rogue) = (Ca::new("good"), Ca::new("rogue\n\x1b[31m"));
    let refused = fault(&rogue.issue(&Ask::dns("im.example")), &ca.trust());
    assert!(matches!(refused, CertFault::UntrustedIssuer { .. }), "{refused:?}");
    assert_eq!(refused.to_string(), "untrusted issuer \"rogue\\n\\x1b[31m\"");
    // A rogue authority that takes the good one's name.
    let twin = fault(&Ca::new("good").issue(&Ask::dns("im.example")), &ca.trust());
    assert!(matches!(twin, CertFault::BadSignature | CertFault::UntrustedIssuer { .. }), "{twin:?}");
    let own = Issued::self_signed(&Ask { cn: Some("im.example"), ..Ask::dns("im.example") });
    assert_eq!(fault(&own, &ca.trust()), CertFault::SelfSigned);
    // Sending the rogue authority along does not make it one of ours.
    let along = rogue.issue(&Ask::dns("im.example")).via(&rogue);
    assert!(matches!(fault(&along, &ca.trust()), CertFault::UntrustedIssuer { .. }));
}

#[test]
fn threat_041_a_leaf_cannot_issue() {
    let ca = Ca::new("good");
    let key = KeyPair::generate().unwrap();
    let params = Ask { cn: Some("im.example"), ..Ask::dns("im.example") }.params();
    let leaf = params.signed_by(&key, &ca.issuer).unwrap();
    let below = Ca { der: leaf.der().clone(), issuer: Issuer::new(params, key) };
    assert!(judge(&below.issue(&Ask::dns("victim.example")).via(&below).chain, &ca.trust(), NOW).is_err());
}

#[test]
fn threat_042_expired_and_not_yet_valid_are_told_apart() {
    let ca = Ca::new("test");
    let old = fault(&ca.issue(&Ask::dns("im.example").years(2020, 2021)), &ca.trust());
    assert_eq!(old.to_string(), "certificate expired (2021-01-01T00:00:00Z)");
    let young = fault(&ca.issue(&Ask::dns("im.example").years(2030, 2031)), &ca.trust());
    assert_eq!(young.to_string(), "certificate not yet valid (2030-01-01T00:00:00Z)");
    let dead = ca.intermediate("middle", 2021, None);
    let below = dead.issue(&Ask::dns("im.example")).via(&dead);
    assert_eq!(fault(&below, &ca.trust()), CertFault::Expired { not_after: None });
}

#[test]
fn threat_043_no_certificate_proves_nothing() {
    let ca = Ca::new("test");
    let peer = PeerCert::new(Vec::new(), ca.trust(), "TLSv1.3");
    assert!(!peer.presented());
    assert_eq!(peer.judge_xmpp(&domain("im.example"), NOW), Err(CertFault::NonePresented));
    assert_eq!(peer.sip_identities(NOW), Err(CertFault::NonePresented));
    assert_eq!(peer.not_after(), None);
}

#[test]
fn a_malformed_certificate_is_refused() {
    let ca = Ca::new("test");
    for junk in [&b""[..], b"\x30\x00", b"not der"] {
        let peer = PeerCert::new(vec![CertificateDer::from(junk.to_vec())], ca.trust(), "TLSv1.3");
        assert_eq!(peer.judge_xmpp(&domain("im.example"), NOW), Err(CertFault::Malformed));
    }
    let whole = ca.issue(&Ask::dns("im.example")).chain[0].to_vec();
    for at in 0..whole.len() {
        let mut broken = whole.clone();
        broken[at] ^= 0x55;
        assert!(judge(&[CertificateDer::from(broken)], &ca.trust(), NOW).is_err(), "octet {at}");
    }
}

#[test]
fn an_authority_is_no_peer() {
    let ca = Ca::new("test");
    let issued = ca.issue(&Ask { ca: true, ..Ask::dns("im.example") });
    assert_eq!(fault(&issued, &ca.trust()), CertFault::Authority);
}

#[test]
fn a_listed_certificate_is_good_for_its_holder_even_as_its_own_authority() {
    let ask = Ask { cn: Some("im.example"), ca: true, ..Ask::dns("im.example") };
    for ask in [Ask { ca: false, ..Ask { cn: Some("im.example"), ..Ask::dns("im.example") } }, ask] {
        let own = Issued::self_signed(&ask);
        let trust = Arc::new(Trust::anchors([own.chain[0].clone()]).unwrap());
        let peer = own.peer(Arc::clone(&trust));
        assert_eq!(peer.judge_xmpp(&domain("im.example"), NOW), Ok(()));
        assert!(matches!(peer.judge_xmpp(&domain("other.example"), NOW), Err(CertFault::WrongName { .. })));
        let later = Wall::from_millis(peer.not_after().unwrap().as_millis() + 1);
        assert!(matches!(peer.judge_xmpp(&domain("im.example"), later), Err(CertFault::Expired { .. })));
        let earlier = Wall::from_millis(0);
        assert!(matches!(
            peer.judge_xmpp(&domain("im.example"), earlier),
            Err(CertFault::NotYetValid { .. })
        ));
        assert!(Issued::self_signed(&ask).peer(trust).judge_xmpp(&domain("im.example"), NOW).is_err());
    }
}

#[test]
fn a_verdict_is_kept_and_made_anew_for_other_anchors() {
    let (ca, other) = (Ca::new("test"), Ca::new("other"));
    let peer = ca.issue(&Ask::dns("im.example")).peer(ca.trust());
    peer.prepare(NOW);
    assert_eq!(peer.judge_xmpp(&domain("im.example"), NOW), Ok(()));
    let refused = peer.under(other.trust()).judge_xmpp(&domain("im.example"), NOW);
    assert!(matches!(refused, Err(CertFault::UntrustedIssuer { .. })));
    // A clock that was wrong when the peer came does not hold against it for long.
    let young = ca.issue(&Ask::dns("im.example")).peer(ca.trust());
    assert!(young.judge_xmpp(&domain("im.example"), Wall::from_millis(0)).is_err());
    assert_eq!(young.judge_xmpp(&domain("im.example"), NOW), Ok(()));
    assert!(young.judge_xmpp(&domain("im.example"), Wall::from_millis(0)).is_err());
}

#[test]
fn intermediates_are_used_and_their_expiry_counts() {
    let ca = Ca::new("test");
    let middle = ca.intermediate("middle", 2027, None);
    let peer = middle.issue(&Ask::dns("im.example").years(2026, 2030)).via(&middle).peer(ca.trust());
    assert_eq!(peer.judge_xmpp(&domain("im.example"), NOW), Ok(()));
    assert_eq!(peer.not_after(), Some(Wall::from_millis(1_798_761_600_000)));
    let alone = middle.issue(&Ask::dns("im.example"));
    assert!(matches!(fault(&alone, &ca.trust()), CertFault::UntrustedIssuer { .. }));
}

#[test]
fn check_144_a_verdict_does_not_outlive_the_certificate() {
    let ca = Ca::new("test");
    let peer = ca.issue(&Ask::dns("im.example").years(2026, 2027)).peer(ca.trust());
    let end = peer.not_after().unwrap();
    assert_eq!(peer.judge_xmpp(&domain("im.example"), NOW), Ok(()));
    assert_eq!(peer.judge_xmpp(&domain("im.example"), Wall::from_millis(end.as_millis() - 1000)), Ok(()));
    let after = Wall::from_millis(end.as_millis() + 1000);
    assert!(matches!(peer.judge_xmpp(&domain("im.example"), after), Err(CertFault::Expired { .. })));
    assert!(matches!(peer.sip_identities(after), Err(CertFault::Expired { .. })));
}

#[test]
fn check_128_dns_id_srv_id_and_xmpp_addr_are_accepted() {
    for san in [
        San::Dns(b"im.example.org"),
        San::Dns(b"IM.Example.ORG"),
        San::Dns(b"*.example.org"),
        San::SrvName(b"_xmpp-server.im.example.org"),
        San::SrvName(b"_XMPP-SERVER.IM.example.org"),
        San::XmppAddr(b"im.example.org"),
        San::XmppAddr(b"IM.example.org"),
    ] {
        assert_eq!(xmpp(vec![san.clone()], "im.example.org"), Ok(()), "{san:?}");
        let sans = vec![San::Dns(b"other.example"), san.clone(), San::Uri(b"sip:im.example.org")];
        assert_eq!(xmpp(sans, "im.example.org"), Ok(()), "{san:?} among others");
    }
}

#[test]
fn check_128_idn_is_compared_as_a_labels() {
    for san in [
        San::Dns(b"xn--bcher-kva.example"),
        San::Dns(b"XN--BCHER-KVA.example"),
        San::SrvName(b"_xmpp-server.xn--bcher-kva.example"),
        San::XmppAddr("b\u{fc}cher.example".as_bytes()),
        San::XmppAddr(b"xn--bcher-kva.example"),
    ] {
        assert_eq!(xmpp(vec![san.clone()], "b\u{fc}cher.example"), Ok(()), "{san:?}");
        assert_eq!(xmpp(vec![san.clone()], "xn--bcher-kva.example"), Ok(()), "{san:?}");
    }
    // U-labels are not allowed in a dNSName (RFC 5280 §7.2).
    assert!(xmpp(vec![San::Dns("b\u{fc}cher.example".as_bytes())], "b\u{fc}cher.example").is_err());
}

#[test]
fn threat_040_a_certificate_for_another_name_is_refused_and_says_for_whom_it_is() {
    let refused =
        xmpp(vec![San::Dns(b"other.example"), San::XmppAddr(b"a\nb")], "im.example.org").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "certificate is not for im.example.org, but for DNS:other.example, xmppAddr:a\\nb"
    );
    let many = vec![San::Dns(b"a.example"); 500];
    assert!(xmpp(many, "im.example.org").unwrap_err().to_string().len() < 1000);
}

#[test]
fn threat_045_wildcards_and_junk_that_prove_nothing() {
    for san in [
        San::Dns(b"*.im.example.org"),
        San::Dns(b"*"),
        San::Dns(b"*.org"),
        San::Dns(b"i*.example.org"),
        San::Dns(b"*m.example.org"),
        San::Dns(b"*.*.org"),
        San::Dns(b"im.*.org"),
        San::Dns(b"example.org"),
        San::Dns(b".example.org"),
        San::Dns(b"im.example.org."),
        San::Dns(b"im.example.org\0.evil.example"),
        San::Dns(b"im.example.org\0"),
        San::Dns(b" im.example.org"),
        San::Dns(b""),
        San::SrvName(b"_xmpp-server.*.example.org"),
        San::SrvName(b"_xmpp-client.im.example.org"),
        San::SrvName(b"_xmpp-server.im.example.org\0"),
        San::SrvName(b"im.example.org"),
        San::XmppAddr(b"im.example.org\0"),
        San::XmppAddr(b"im.example.org\0.evil.example"),
        San::XmppAddr(b"*.example.org"),
        San::XmppAddr(b"user@im.example.org"),
        San::XmppAddr(b"im.example.org/x"),
        San::XmppAddr(b"im.example.org\xff"),
        San::Uri(b"xmpp:im.example.org"),
        San::Uri(b"sip:im.example.org"),
    ] {
        // A second, harmless name: junk beside it must not spoil or widen anything.
        let refused = xmpp(vec![San::Dns(b"other.example"), san.clone()], "im.example.org");
        assert!(
            matches!(refused, Err(CertFault::WrongName { .. } | CertFault::Malformed)),
            "{san:?}: {refused:?}"
        );
    }
}

#[test]
fn threat_045_the_common_name_is_never_looked_at() {
    let ca = Ca::new("test");
    let bare = ca.issue(&Ask { cn: Some("im.example.org"), ..Ask::san(Vec::new()) }).peer(ca.trust());
    let refused = bare.judge_xmpp(&domain("im.example.org"), NOW).unwrap_err();
    assert_eq!(refused.to_string(), "certificate is not for im.example.org, but for no name at all");
    assert_eq!(bare.sip_identities(NOW), Ok(Vec::new()));
    let beside = ca.issue(&Ask { cn: Some("im.example.org"), ..Ask::dns("other.example") }).peer(ca.trust());
    assert!(beside.judge_xmpp(&domain("im.example.org"), NOW).is_err());
}

#[test]
fn an_address_is_matched_by_an_address_only() {
    let four = San::Ip(&[192, 0, 2, 4]);
    assert_eq!(xmpp(vec![four.clone()], "192.0.2.4"), Ok(()));
    assert!(xmpp(vec![four], "192.0.2.5").is_err());
    assert!(xmpp(vec![San::Dns(b"192.0.2.4")], "192.0.2.4").is_err());
    let six = San::Ip(&[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(xmpp(vec![six], "[2001:db8::1]"), Ok(()));
}

#[test]
fn check_159_sip_uris_first_and_dns_names_only_without_them() {
    assert_eq!(sip(vec![San::Dns(b"host.example"), San::Uri(b"sip:Example.org")]), ["example.org"]);
    assert_eq!(sip(vec![San::Dns(b"b.example"), San::Dns(b"A.example")]), ["a.example", "b.example"]);
    assert_eq!(sip(vec![San::Uri(b"sip:a.example"), San::Uri(b"sip:b.example")]), ["a.example", "b.example"]);
    // A URI with a userpart or of another scheme is none: the DNS names count (RFC 5922 §7.1).
    assert_eq!(sip(vec![San::Uri(b"sip:alice@a.example"), San::Dns(b"b.example")]), ["b.example"]);
    assert_eq!(sip(vec![San::Uri(b"sips:a.example"), San::Dns(b"b.example")]), ["b.example"]);
    // One that is broken counts as a URI but gives no identity.
    assert!(sip(vec![San::Uri(b"sip:a.example\0"), San::Dns(b"b.example")]).is_empty());
    assert!(sip(vec![San::XmppAddr(b"a.example"), San::SrvName(b"_xmpp-server.a.example")]).is_empty());
}

#[test]
fn check_159_no_wildcard_and_no_suffix_for_sip() {
    assert!(sip(vec![San::Dns(b"*.example.org")]).is_empty());
    assert!(sip(vec![San::Uri(b"sip:*.example.org")]).is_empty());
    let ca = Ca::new("test");
    let peer = ca.issue(&Ask::san(vec![San::Uri(b"sip:example.org")])).peer(ca.trust());
    assert_eq!(peer.judge_sip(&[domain("other.example"), domain("EXAMPLE.org")], NOW), Ok(()));
    for other in ["foo.example.org", "org", "ample.org"] {
        assert!(matches!(peer.judge_sip(&[domain(other)], NOW), Err(CertFault::WrongName { .. })), "{other}");
    }
}

#[test]
fn threat_085_a_rogue_certificate_has_no_sip_identity() {
    let (ca, rogue) = (Ca::new("good"), Ca::new("rogue"));
    let asked = Ask::san(vec![San::Uri(b"sip:example.org")]);
    assert!(rogue.issue(&asked).peer(ca.trust()).sip_identities(NOW).is_err());
    assert!(Issued::self_signed(&asked).peer(ca.trust()).sip_identities(NOW).is_err());
    let old = ca.issue(&Ask::san(vec![San::Uri(b"sip:example.org")]).years(2020, 2021));
    assert!(matches!(old.peer(ca.trust()).sip_identities(NOW), Err(CertFault::Expired { .. })));
}

#[test]
fn an_authority_for_some_names_cannot_reach_others_by_another_kind_of_name() {
    let root = Ca::new("root");
    let permitted = NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("example.org".to_owned())],
        excluded_subtrees: Vec::new(),
    };
    let narrow = root.intermediate("narrow", 2030, Some(permitted));
    let peer = |sans: Vec<San>| narrow.issue(&Ask::san(sans)).via(&narrow).peer(root.trust());
    let good = peer(vec![
        San::Dns(b"im.example.org"),
        San::XmppAddr(b"im.example.org"),
        San::Uri(b"sip:im.example.org"),
    ]);
    assert_eq!(good.judge_xmpp(&domain("im.example.org"), NOW), Ok(()));
    assert_eq!(good.sip_identities(NOW), Ok(vec![domain("im.example.org")]));
    let outside = peer(vec![San::Dns(b"victim.example")]);
    assert!(outside.judge_xmpp(&domain("victim.example"), NOW).is_err());
    for san in [
        San::XmppAddr(b"victim.example"),
        San::SrvName(b"_xmpp-server.victim.example"),
        San::Uri(b"sip:victim.example"),
    ] {
        let sly = peer(vec![San::Dns(b"im.example.org"), san.clone()]);
        assert!(sly.judge_xmpp(&domain("victim.example"), NOW).is_err(), "{san:?}");
        assert!(!sly.sip_identities(NOW).unwrap_or_default().contains(&domain("victim.example")), "{san:?}");
    }
}

#[test]
fn a_trust_bundle_is_read_whole_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bundle.pem");
    let (a, b) = (Ca::new("a"), Ca::new("b"));
    std::fs::write(&path, pem(&[a.der.clone(), b.der.clone()])).unwrap();
    let trust = Trust::bundle(&path).unwrap();
    assert_eq!(trust.len(), 2);
    assert!(judge(&b.issue(&Ask::dns("im.example")).chain, &trust, NOW).is_ok());
    std::fs::write(&path, "nothing").unwrap();
    assert!(Trust::bundle(&path).unwrap_err().to_string().contains("no trust anchors"));
    std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(Trust::bundle(&path).unwrap_err().to_string().contains("certificate 1"));
    assert!(Trust::bundle(&dir.path().join("gone.pem")).unwrap_err().to_string().contains("gone.pem"));
}
