//! Real handshakes in memory, both roles.

use super::*;
use crate::net::tls::{ALPN_XMPP_SERVER, CertFault, provider};
use rustls::client::Resumption;
use rustls::{AlertDescription, Error, HandshakeKind, ProtocolVersion, RootCertStore};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const IM: &str = "im.example";

fn stock_versions(
    only: &'static [&'static rustls::SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(Arc::clone(provider())).with_protocol_versions(only).unwrap()
}

/// A strict stock client of TLS 1.2 or 1.3, with resumption, that trusts `ca`.
fn stock_client(
    ca: &Ca,
    only: &'static [&'static rustls::SupportedProtocolVersion],
    own: Option<&Issued>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(ca.der.clone()).unwrap();
    let builder = stock_versions(only).with_root_certificates(roots);
    let mut config = match own {
        Some(own) => {
            let key = rustls::pki_types::PrivateKeyDer::try_from(own.key.serialize_der()).unwrap();
            builder.with_client_auth_cert(own.chain.clone(), key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(16);
    config
}

static TLS12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
static TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];

#[test]
fn both_roles_show_and_judge_certificates_in_one_handshake() {
    let ca = Ca::new("test");
    let (ours, theirs) = (ca.issue(&Ask::dns("gw.example")), ca.issue(&Ask::dns(IM)));
    let (client, server) = handshake(client_of(ours.store()), IM, server_of(&theirs)).unwrap();
    let (at_client, at_server) = (PeerCert::of(&client, ca.trust()), PeerCert::of(&server, ca.trust()));
    assert_eq!(at_client.judge_xmpp(&domain(IM), NOW), Ok(()));
    assert_eq!(at_server.judge_xmpp(&domain("gw.example"), NOW), Ok(()));
    assert_eq!((at_client.tls_version(), at_server.tls_version()), ("TLSv1.3", "TLSv1.3"));
    assert_eq!(at_server.chain(), ours.chain);
}

#[test]
fn check_128_a_client_certificate_for_servers_only_is_good() {
    let ca = Ca::new("test");
    let ours = ca.issue(&Ask::dns("gw.example").eku(&[Eku::ServerAuth]));
    for versions in [TLS12, TLS13] {
        let client = Arc::new(stock_client(&ca, versions, Some(&ours)));
        let (_, server) = handshake(client, IM, server_of(&ca.issue(&Ask::dns(IM)))).unwrap();
        assert_eq!(PeerCert::of(&server, ca.trust()).judge_xmpp(&domain("gw.example"), NOW), Ok(()));
    }
}

#[test]
fn threat_043_a_client_without_a_certificate_gets_through_the_handshake_and_no_further() {
    let ca = Ca::new("test");
    for versions in [TLS12, TLS13] {
        let client = Arc::new(stock_client(&ca, versions, None));
        let (_, server) = handshake(client, IM, server_of(&ca.issue(&Ask::dns(IM)))).unwrap();
        let peer = PeerCert::of(&server, ca.trust());
        assert!(!peer.presented());
        assert_eq!(peer.judge_xmpp(&domain("gw.example"), NOW), Err(CertFault::NonePresented));
    }
    // The same of ours, dialling with no certificate configured.
    let (_, server) =
        handshake(client_of(no_certificate()), IM, server_of(&ca.issue(&Ask::dns(IM)))).unwrap();
    assert!(!PeerCert::of(&server, ca.trust()).presented());
}

#[test]
fn threat_156_a_wrong_certificate_of_the_server_we_dial_is_seen_after_the_handshake() {
    let (ca, rogue) = (Ca::new("good"), Ca::new("rogue"));
    for (issued, wanted) in [
        (rogue.issue(&Ask::dns(IM)), "untrusted issuer"),
        (ca.issue(&Ask::dns("other.example")), "certificate is not for im.example"),
        (ca.issue(&Ask::dns(IM).years(2020, 2021)), "certificate expired"),
        (Issued::self_signed(&Ask { cn: Some(IM), ..Ask::dns(IM) }), "self-signed"),
    ] {
        let (client, _) = handshake(client_of(no_certificate()), IM, server_of(&issued)).unwrap();
        let verdict = PeerCert::of(&client, ca.trust()).judge_xmpp(&domain(IM), NOW).unwrap_err();
        assert!(verdict.to_string().starts_with(wanted), "{verdict}");
    }
}

/// A signing key that signs something else than it was asked to.
#[derive(Debug)]
struct Liar(Arc<dyn rustls::sign::SigningKey>);
#[derive(Debug)]
struct LyingSigner(Box<dyn rustls::sign::Signer>);

impl rustls::sign::SigningKey for Liar {
    fn choose_scheme(&self, offered: &[rustls::SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        Some(Box::new(LyingSigner(self.0.choose_scheme(offered)?)))
    }
    fn algorithm(&self) -> rustls::SignatureAlgorithm {
        self.0.algorithm()
    }
}

impl rustls::sign::Signer for LyingSigner {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.sign(b"some other handshake")
    }
    fn scheme(&self) -> rustls::SignatureScheme {
        self.0.scheme()
    }
}

#[derive(Debug)]
struct Always(Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
    fn has_certs(&self) -> bool {
        true
    }
}

impl rustls::server::ResolvesServerCert for Always {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[test]
fn a_certificate_without_its_key_ends_the_handshake_in_both_roles_and_versions() {
    let ca = Ca::new("test");
    let stolen = ca.issue(&Ask::dns(IM));
    let real = stolen.store().by_id("one").unwrap();
    let forged = Arc::new(Always(Arc::new(rustls::sign::CertifiedKey::new(
        stolen.chain.clone(),
        Arc::new(Liar(Arc::clone(&real.key))),
    ))));
    for versions in [TLS12, TLS13] {
        let client = stock_versions(versions)
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(crate::net::tls::verify::Possession));
        let client = Arc::new(client.with_client_cert_resolver(Arc::clone(&forged) as _));
        let refused = handshake(client, IM, server_of(&ca.issue(&Ask::dns(IM)))).unwrap_err();
        assert!(matches!(refused, Error::InvalidCertificate(_)), "{refused:?}");

        let server = ServerConfig::builder_with_provider(Arc::clone(provider()))
            .with_protocol_versions(versions)
            .unwrap();
        let server = Arc::new(server.with_no_client_auth().with_cert_resolver(Arc::clone(&forged) as _));
        let refused = handshake(client_of(no_certificate()), IM, server).unwrap_err();
        assert!(matches!(refused, Error::InvalidCertificate(_)), "{refused:?}");
    }
}

#[test]
fn our_listener_resumes_no_session() {
    let ca = Ca::new("test");
    let (ours, theirs) = (ca.issue(&Ask::dns("gw.example")), ca.issue(&Ask::dns(IM)));
    for versions in [TLS12, TLS13] {
        let client = Arc::new(stock_client(&ca, versions, Some(&ours)));
        let listener = ServerTls::new(theirs.store(), MinVersion::Tls12).unwrap();
        for server in [listener.xmpp(None), listener.xmpp(Some(&domain(IM))), listener.sip()] {
            for _ in 0..2 {
                let (client, server) = handshake(Arc::clone(&client), IM, Arc::clone(&server)).unwrap();
                assert_ne!(client.handshake_kind(), Some(HandshakeKind::Resumed));
                assert_eq!(client.tls13_tickets_received(), 0);
                assert!(PeerCert::of(&server, ca.trust()).presented());
            }
        }
    }
}

#[test]
fn dialling_resumes_no_session() {
    let ca = Ca::new("test");
    let theirs = ca.issue(&Ask::dns(IM));
    for versions in [TLS12, TLS13] {
        let builder = ServerConfig::builder_with_provider(Arc::clone(provider()))
            .with_protocol_versions(versions)
            .unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(theirs.key.serialize_der()).unwrap();
        let mut server = builder.with_no_client_auth().with_single_cert(theirs.chain.clone(), key).unwrap();
        server.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
        let server = Arc::new(server);
        // The stock client does resume here, so this server would.
        let stock = Arc::new(stock_client(&ca, versions, None));
        let kinds: Vec<_> = (0..2)
            .map(|_| handshake(Arc::clone(&stock), IM, Arc::clone(&server)).unwrap().0.handshake_kind())
            .collect();
        assert_eq!(kinds[1], Some(HandshakeKind::Resumed));
        let ours = client_of(no_certificate());
        for _ in 0..2 {
            let (client, _) = handshake(Arc::clone(&ours), IM, Arc::clone(&server)).unwrap();
            assert_ne!(client.handshake_kind(), Some(HandshakeKind::Resumed));
        }
    }
}

#[test]
fn check_117_alpn_is_offered_for_direct_tls_and_accepted() {
    let ca = Ca::new("test");
    let theirs = ca.issue(&Ask::dns(IM));
    let ours = ClientTls::new(no_certificate(), MinVersion::Tls12).unwrap();
    let listener = ServerTls::new(theirs.store(), MinVersion::Tls12).unwrap();
    let direct = ours.config(None, ClientRole::XmppDirect);
    let (client, server) = handshake(Arc::clone(&direct), IM, listener.xmpp(None)).unwrap();
    assert_eq!(
        (client.alpn_protocol(), server.alpn_protocol()),
        (Some(ALPN_XMPP_SERVER), Some(ALPN_XMPP_SERVER))
    );
    for role in [ClientRole::XmppStartTls, ClientRole::Sip] {
        let (client, _) = handshake(ours.config(None, role), IM, listener.xmpp(None)).unwrap();
        assert_eq!(client.alpn_protocol(), None);
    }
    // A server that knows no ALPN, and a SIP listener that is asked for some.
    let (client, _) = handshake(direct, IM, listener.sip()).unwrap();
    assert_eq!(client.alpn_protocol(), None);
    // Another protocol at the s2s port is turned away in the handshake.
    let mut web = stock_client(&ca, TLS13, None);
    web.alpn_protocols = vec![b"http/1.1".to_vec()];
    assert_eq!(handshake(Arc::new(web), IM, listener.xmpp(None)).unwrap_err(), Error::NoApplicationProtocol);
}

#[test]
fn check_117_sni_is_the_domain_in_a_labels() {
    let ca = Ca::new("test");
    let client = client_of(no_certificate());
    let (_, server) =
        handshake(Arc::clone(&client), "b\u{fc}cher.example", server_of(&ca.issue(&Ask::dns(IM)))).unwrap();
    assert_eq!(server.server_name(), Some("xn--bcher-kva.example"));
    for address in ["192.0.2.4", "[2001:db8::1]"] {
        let (_, server) =
            handshake(Arc::clone(&client), address, server_of(&ca.issue(&Ask::dns(IM)))).unwrap();
        assert_eq!(server.server_name(), None);
    }
}

#[test]
fn f68_the_stream_header_then_sni_then_the_default_picks_the_certificate() {
    let ca = Ca::new("test");
    let (first, a, b) = (
        ca.issue(&Ask::dns("gw.example")),
        ca.issue(&Ask::dns("a.example")),
        ca.issue(&Ask::dns("*.b.example")),
    );
    let listener =
        ServerTls::new(store(&[("first", &first), ("a", &a), ("b", &b)]), MinVersion::Tls12).unwrap();
    let shown = |sni: &str, to: Option<&str>| {
        let server = listener.xmpp(to.map(domain).as_ref());
        let (client, _) = handshake(client_of(no_certificate()), sni, server).unwrap();
        client.peer_certificates().unwrap().to_vec()
    };
    assert_eq!(shown("a.example", None), a.chain);
    assert_eq!(shown("x.b.example", None), b.chain);
    assert_eq!(shown("unknown.example", None), first.chain);
    assert_eq!(shown("192.0.2.1", None), first.chain);
    assert_eq!(shown("a.example", Some("x.b.example")), b.chain);
    assert_eq!(shown("a.example", Some("unknown.example")), a.chain);
    let (client, _) = handshake(client_of(no_certificate()), "a.example", listener.sip()).unwrap();
    assert_eq!(client.peer_certificates().unwrap(), a.chain);
}

#[test]
fn f68_dialling_shows_the_certificate_of_the_domain_it_speaks_for() {
    let ca = Ca::new("test");
    let (a, b) = (ca.issue(&Ask::dns("a.example")), ca.issue(&Ask::dns("b.example")));
    let ours = ClientTls::new(store(&[("a", &a), ("b", &b)]), MinVersion::Tls12).unwrap();
    for (local, chain) in [
        (Some("b.example"), &b.chain),
        (Some("a.example"), &a.chain),
        (Some("c.example"), &a.chain),
        (None, &a.chain),
    ] {
        let client = ours.config(local.map(domain).as_ref(), ClientRole::XmppStartTls);
        let (_, server) = handshake(client, IM, server_of(&ca.issue(&Ask::dns(IM)))).unwrap();
        assert_eq!(server.peer_certificates().unwrap(), chain);
    }
}

#[test]
fn threat_030_tls12_and_tls13_work_and_the_operator_may_ask_for_13_only() {
    let ca = Ca::new("test");
    let theirs = ca.issue(&Ask::dns(IM));
    for (versions, version, name) in
        [(TLS12, ProtocolVersion::TLSv1_2, "TLSv1.2"), (TLS13, ProtocolVersion::TLSv1_3, "TLSv1.3")]
    {
        let (client, server) =
            handshake(Arc::new(stock_client(&ca, versions, None)), IM, server_of(&theirs)).unwrap();
        assert_eq!(client.protocol_version(), Some(version));
        assert_eq!(PeerCert::of(&server, ca.trust()).tls_version(), name);
    }
    let strict = ServerTls::new(theirs.store(), MinVersion::Tls13).unwrap();
    assert!(handshake(Arc::new(stock_client(&ca, TLS12, None)), IM, strict.xmpp(None)).is_err());
    let strict = ClientTls::new(no_certificate(), MinVersion::Tls13).unwrap().config(None, ClientRole::Sip);
    let old =
        ServerConfig::builder_with_provider(Arc::clone(provider())).with_protocol_versions(TLS12).unwrap();
    let old = old
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(theirs.store().default(Side::Xmpp).unwrap())));
    assert!(handshake(strict, IM, Arc::new(old)).is_err());
}

/// A ClientHello of `version` with `suites`, in its record.
fn client_hello(version: u16, suites: &[u16]) -> Vec<u8> {
    let u16s = |list: &[u16]| list.iter().flat_map(|n| n.to_be_bytes()).collect::<Vec<u8>>();
    let with_len16 = |body: Vec<u8>| [(body.len() as u16).to_be_bytes().to_vec(), body].concat();
    let extension = |kind: u16, body: Vec<u8>| [kind.to_be_bytes().to_vec(), with_len16(body)].concat();
    let extensions = [
        extension(10, with_len16(u16s(&[29, 23, 24]))),
        extension(11, vec![1, 0]),
        extension(13, with_len16(u16s(&[0x0403, 0x0804, 0x0401, 0x0203, 0x0201]))),
    ]
    .concat();
    let body = [
        version.to_be_bytes().to_vec(),
        vec![7; 32],
        vec![0],
        with_len16(u16s(suites)),
        vec![1, 0],
        with_len16(extensions),
    ]
    .concat();
    let message = [vec![1, 0], with_len16(body)].concat();
    [vec![22, 3, 1], with_len16(message)].concat()
}

/// The alert that the server answers to a ClientHello; None if it goes on.
fn alert_to(hello: &[u8], server: Arc<ServerConfig>) -> Option<u8> {
    let mut server = ServerConnection::new(server).unwrap();
    feed(hello, |mut part| server.read_tls(&mut part));
    let error = server.process_new_packets().err()?;
    let mut wire = Vec::new();
    server.write_tls(&mut wire).unwrap();
    assert_eq!((wire.first(), wire.get(5)), (Some(&21), Some(&2)), "{error}");
    wire.get(6).copied()
}

#[test]
fn threat_030_threat_086_old_versions_and_weak_suites_are_refused() {
    let ca = Ca::new("test");
    let ecdhe_gcm = [0xc02b, 0xc02f, 0xc02c, 0xc030];
    let listener = ServerTls::new(ca.issue(&Ask::dns(IM)).store(), MinVersion::Tls12).unwrap();
    for server in [listener.xmpp(None), listener.sip()] {
        let alert = |version, suites: &[u16]| alert_to(&client_hello(version, suites), Arc::clone(&server));
        assert_eq!(alert(0x0303, &ecdhe_gcm), None, "the ClientHello itself is good");
        for version in [0x0300, 0x0301, 0x0302] {
            assert_eq!(
                alert(version, &ecdhe_gcm),
                Some(AlertDescription::ProtocolVersion.into()),
                "{version:x}"
            );
        }
        for (suite, name) in [
            (0x0000, "NULL"),
            (0x003b, "RSA NULL SHA256"),
            (0x0018, "DH anon RC4"),
            (0x006c, "DH anon CBC"),
            (0xc018, "ECDH anon CBC"),
            (0x000a, "RSA 3DES"),
            (0xc012, "ECDHE RSA 3DES"),
            (0xc023, "ECDHE ECDSA CBC SHA256"),
            (0xc009, "ECDHE ECDSA CBC SHA"),
            (0x002f, "RSA CBC"),
            (0x009c, "RSA GCM, no forward secrecy"),
            (0x009e, "DHE GCM"),
        ] {
            assert_eq!(alert(0x0303, &[suite]), Some(AlertDescription::HandshakeFailure.into()), "{name}");
        }
    }
}

/// What `accept` makes of these octets, within a second.
async fn accept(octets: &[u8], then_close: bool) -> Result<(), std::io::Error> {
    let ca = Ca::new("test");
    let acceptor = tokio_rustls::TlsAcceptor::from(server_of(&ca.issue(&Ask::dns(IM))));
    let (mut peer, ours): (DuplexStream, DuplexStream) = tokio::io::duplex(64 * 1024);
    peer.write_all(octets).await.unwrap();
    if then_close {
        peer.shutdown().await.unwrap();
    }
    let accepted = tokio::time::timeout(Duration::from_secs(1), acceptor.accept(ours)).await;
    let result = accepted.expect("accept neither failed nor finished").map(|_| ());
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(1), peer.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.len() < 4096);
    result
}

#[tokio::test(flavor = "current_thread")]
async fn threat_028_alerts_in_the_handshake_end_it_without_a_spin() {
    let close_notify = [21, 3, 3, 0, 2, 1, 0];
    let fatal = [21, 3, 3, 0, 2, 2, 40];
    assert!(accept(&close_notify, true).await.is_err());
    assert!(accept(&fatal, false).await.is_err());
    let hello = client_hello(0x0303, &[0xc02b]);
    assert!(accept(&[&hello[..], &close_notify].concat(), true).await.is_err());
    assert!(accept(&[&hello[..], &fatal].concat(), false).await.is_err());
    assert!(accept(&close_notify.repeat(1000), true).await.is_err());
}

#[tokio::test(flavor = "current_thread")]
async fn threat_031_what_is_not_tls_ends_at_once() {
    for octets in [
        &b"GET / HTTP/1.1\r\nHost: im.example\r\n\r\n"[..],
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:server'>",
        b"\x00\x01\x02\x03\x04\x05\x06\x07\x08",
        b"\x16\x03\x01\xff\xff\x01",
        b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10",
    ] {
        assert!(accept(octets, false).await.is_err(), "{octets:?}");
    }
    assert!(accept(b"", true).await.is_err());
    assert!(accept(b"\x16\x03\x01", true).await.is_err());
}
