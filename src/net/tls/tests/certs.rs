//! Our own certificates: what is refused and why, choice, reload.

use super::*;
use crate::net::tls::CertError;

fn load_one(source: &CertSource) -> Result<CertStore, CertError> {
    let settings = CertSettings { sources: vec![source.clone()], ..CertSettings::default() };
    CertStore::load(settings).map_err(|mut errors| {
        assert_eq!(errors.len(), 1);
        errors.remove(0)
    })
}

fn shown(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Vec<CertificateDer<'static>> {
    handshake(client, "a.example", server).unwrap().0.peer_certificates().unwrap().to_vec()
}

#[test]
fn threat_173_a_reload_gives_new_handshakes_the_new_certificate_and_leaves_live_streams_alone() {
    use std::io::{Read, Write};
    let (ca, dir) = (Ca::new("test"), tempfile::tempdir().unwrap());
    let (old, new) = (ca.issue(&Ask::dns("a.example")), ca.issue(&Ask::dns("a.example")));
    let source = old.save(dir.path(), "a");
    let store = Arc::new(load_one(&source).unwrap());
    let listener = ServerTls::new(Arc::clone(&store), MinVersion::Tls12).unwrap().xmpp(None);
    let dialler = client_of(Arc::clone(&store));
    let (mut live, mut live_server) =
        handshake(Arc::clone(&dialler), "a.example", Arc::clone(&listener)).unwrap();
    assert_eq!(live.peer_certificates().unwrap(), old.chain);

    new.save(dir.path(), "a");
    assert_eq!(shown(Arc::clone(&dialler), Arc::clone(&listener)), old.chain, "not before the reload");
    store.reload().unwrap();
    let (client, server) = handshake(Arc::clone(&dialler), "a.example", Arc::clone(&listener)).unwrap();
    assert_eq!(client.peer_certificates().unwrap(), new.chain);
    assert_eq!(server.peer_certificates().unwrap(), new.chain, "as a client too");

    live.writer().write_all(b"still here").unwrap();
    let mut wire = Vec::new();
    live.write_tls(&mut wire).unwrap();
    feed(&wire, |mut part| live_server.read_tls(&mut part));
    live_server.process_new_packets().unwrap();
    let mut text = [0; 10];
    live_server.reader().read_exact(&mut text).unwrap();
    assert_eq!(&text, b"still here");
}

#[test]
fn threat_173_a_broken_reload_keeps_the_old_certificate() {
    let (ca, dir) = (Ca::new("test"), tempfile::tempdir().unwrap());
    let (old, other) = (ca.issue(&Ask::dns("a.example")), ca.issue(&Ask::dns("a.example")));
    let source = old.save(dir.path(), "a");
    let store = Arc::new(load_one(&source).unwrap());
    // Half of a renewal: the new chain with the old key.
    std::fs::write(&source.chain, pem(&other.chain)).unwrap();
    let errors = store.reload().unwrap_err();
    assert!(matches!(errors[..], [CertError::Mismatch { .. }]), "{errors:?}");
    let listener = ServerTls::new(Arc::clone(&store), MinVersion::Tls12).unwrap().sip();
    assert_eq!(shown(client_of(no_certificate()), listener), old.chain);
    std::fs::write(&source.chain, pem(&old.chain)).unwrap();
    store.reload().unwrap();
}

#[test]
fn threat_174_a_key_that_everybody_can_read_is_refused_with_the_command_to_run() {
    let (ca, dir) = (Ca::new("test"), tempfile::tempdir().unwrap());
    let source = ca.issue(&Ask::dns("a.example")).save(dir.path(), "a");
    let mode = |mode| std::fs::set_permissions(&source.key, std::fs::Permissions::from_mode(mode)).unwrap();
    for open in [0o644, 0o604, 0o606, 0o777, 0o601] {
        mode(open);
        let text = load_one(&source).unwrap_err().to_string();
        assert_eq!(
            text,
            format!(
                "{0}: everybody can read this private key (mode {open:04o}); run: chmod o= {0}",
                source.key.display()
            )
        );
    }
    for closed in [0o600, 0o400, 0o640, 0o440] {
        mode(closed);
        assert!(load_one(&source).is_ok(), "{closed:o}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let (ca, dir) = (Ca::new("test"), tempfile::tempdir().unwrap());
    let middle = ca.intermediate("middle", 2030, None);
    let issued = middle.issue(&Ask::dns("a.example")).via(&middle);
    let good = issued.save(dir.path(), "good");
    let with = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let chain = |path| load_one(&CertSource { chain: path, ..good.clone() }).unwrap_err().to_string();
    let key = |path| load_one(&CertSource { key: path, ..good.clone() }).unwrap_err().to_string();
    assert!(load_one(&good).is_ok());

    assert!(chain(dir.path().join("gone.pem")).contains("gone.pem: cannot read it: No such file"));
    assert!(chain(with("empty.pem", "")).contains("empty.pem: no certificate in it"));
    assert!(chain(with("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA")).contains("cut.pem: broken PEM"));
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(chain(with("junk.pem", junk)).contains("certificate 1 is not X.509"));
    let mut turned = issued.chain.clone();
    turned.reverse();
    assert!(
        chain(with("turned.pem", &pem(&turned))).contains("our own certificate is number 2; put it first")
    );
    assert!(chain(with("huge.pem", &" ".repeat(1024 * 1024 + 1))).contains("longer than 1 MiB"));

    assert!(key(with("empty.key", "")).contains("no private key in it"));
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(key(with("locked.key", locked)).contains("openssl pkey -in"));
    let odd = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert!(key(with("odd.key", odd)).contains("unusable private key"));
    let other = KeyPair::generate().unwrap().serialize_pem();
    assert!(key(with("other.key", &other)).contains("is not that of the certificate in"));
}

#[test]
fn all_errors_come_at_once() {
    let (ca, dir) = (Ca::new("test"), tempfile::tempdir().unwrap());
    let good = ca.issue(&Ask::dns("a.example")).save(dir.path(), "good");
    let gone = CertSource {
        id: "gone".to_owned(),
        chain: "/nowhere/a".into(),
        key: "/nowhere/b".into(),
        replaces: None,
        sides: Sides::BOTH,
    };
    let settings = CertSettings {
        sources: vec![good.clone(), gone, good],
        assigned: vec![(domain("a.example"), "good".to_owned()), (domain("b.example"), "goood".to_owned())],
        default: Vec::new(),
    };
    let errors = CertStore::load(settings).unwrap_err();
    assert!(
        matches!(
            errors[..],
            [CertError::Unreadable { .. }, CertError::SameId(_), CertError::UnknownId { .. }]
        ),
        "{errors:?}"
    );
    assert!(errors[2].to_string().contains("b.example wants certificate \"goood\""));
}

#[test]
fn f68_an_assigned_certificate_goes_before_one_that_has_the_name() {
    let (ca, dir) = (Ca::new("test"), tempfile::tempdir().unwrap());
    let named =
        ca.issue(&Ask::san(vec![San::Dns(b"a.example"), San::XmppAddr("b\u{fc}cher.example".as_bytes())]));
    let multi = ca.issue(&Ask::san(vec![
        San::Dns(b"*.example"),
        San::Dns(b"*.multi.example"),
        San::Dns(b"b.example"),
    ]));
    let sources = vec![named.save(dir.path(), "named"), multi.save(dir.path(), "multi")];
    let assigned = vec![(domain("c.example"), "named".to_owned()), (domain("a.example"), "multi".to_owned())];
    let store = CertStore::load(CertSettings { sources, assigned, default: Vec::new() }).unwrap();
    let id = |name: &str| {
        let found = store.for_name(name, Side::Xmpp)?;
        Some(if found.cert == named.chain { "named" } else { "multi" })
    };
    assert_eq!(id("a.example"), Some("multi"));
    assert_eq!(id("A.EXAMPLE"), Some("multi"));
    assert_eq!(id("c.example"), Some("named"));
    assert_eq!(id("b.example"), Some("multi"));
    assert_eq!(id("x.multi.example"), Some("multi"));
    assert_eq!(id("xn--bcher-kva.example"), Some("named"));
    assert_eq!(id("x.y.multi.example"), None);
    assert_eq!(id("d.example"), None);
    assert!(store.by_id("named").is_some() && store.by_id("other").is_none());
}

#[test]
fn f065_a_certificate_takes_anothers_place_at_its_date() {
    let (ca, dir) = (Ca::new("test"), tempfile::tempdir().unwrap());
    let issue = |name: &'static str| ca.issue(&Ask::dns(name));
    let (old, next, last, other) =
        (issue("a.example"), issue("a.example"), issue("a.example"), issue("b.example"));
    let at = |second: u64| Wall::from_millis(second * 1000);
    let in_place = |source: CertSource, id: &str, from| CertSource {
        replaces: Some((id.to_owned(), at(from))),
        ..source
    };
    let sources = vec![
        old.save(dir.path(), "old"),
        other.save(dir.path(), "other"),
        in_place(next.save(dir.path(), "next"), "old", 100),
        in_place(last.save(dir.path(), "last"), "next", 200),
    ];
    let assigned = vec![(domain("c.example"), "old".to_owned())];
    let store = CertStore::load(CertSettings { sources, assigned, default: Vec::new() }).unwrap();
    let shown = |name: &str| store.for_name(name, Side::Xmpp).map(|key| key.cert.clone());
    let everywhere = |issued: &Issued| {
        assert_eq!(shown("a.example").as_ref(), Some(&issued.chain));
        assert_eq!(shown("c.example").as_ref(), Some(&issued.chain), "where it was assigned");
        assert_eq!(store.default(Side::Sip).unwrap().cert, issued.chain);
        assert_eq!(shown("b.example").as_ref(), Some(&other.chain));
    };
    let ids = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    };
    everywhere(&old);
    assert_eq!((store.advance(at(99)), store.next_change()), (vec![], Some(at(100))));
    everywhere(&old);
    assert_eq!((store.advance(at(100)), store.next_change()), (ids(&[("old", "next")]), Some(at(200))));
    everywhere(&next);
    assert_eq!(store.advance(at(150)), []);
    assert_eq!((store.advance(at(500)), store.next_change()), (ids(&[("next", "last")]), None));
    everywhere(&last);
    let replaced: Vec<Option<Wall>> = store.summaries().iter().map(|summary| summary.replaced).collect();
    assert_eq!(replaced, [Some(at(100)), None, Some(at(200)), None]);
    // A clock that is set back brings the old one back.
    store.advance(at(0));
    everywhere(&old);
}

#[test]
fn a_summary_says_what_the_operator_must_know() {
    let (ca, dir) = (Ca::new("test"), tempfile::tempdir().unwrap());
    let middle = ca.intermediate("middle", 2027, None);
    let ask = Ask::san(vec![San::Dns(b"A.example"), San::Uri(b"sip:s.example")]).eku(&[Eku::ServerAuth]);
    let source = middle.issue(&ask).via(&middle).save(dir.path(), "a");
    let store = load_one(&source).unwrap();
    let summary = &store.summaries()[0];
    assert_eq!(
        (summary.id.as_str(), &summary.names[..]),
        ("a", &["a.example".to_owned(), "s.example".to_owned()][..])
    );
    assert!(summary.server_auth && !summary.client_auth);
    assert_eq!(summary.not_after, Wall::from_millis(1_798_761_600_000), "that of the intermediate");
}

#[test]
fn f068_each_side_has_its_own_certificates() {
    let (ca, dir) = (Ca::new("test"), tempfile::tempdir().unwrap());
    let save = |id: &str, sides: Sides| {
        let issued = ca.issue(&Ask::san(vec![San::Dns(b"a.example"), San::Dns(b"b.example")]));
        (CertSource { sides, ..issued.save(dir.path(), id) }, issued.chain)
    };
    let (xmpp, sip) = (Sides { xmpp: true, sip: false }, Sides { xmpp: false, sip: true });
    let [(one, of_xmpp), (two, of_sip), (both, of_both), (next, of_next)] =
        [("xmpp", xmpp), ("sip", sip), ("both", Sides::BOTH), ("next", sip)].map(|(id, s)| save(id, s));
    let next = CertSource { replaces: Some(("both".to_owned(), Wall::from_millis(1000))), ..next };
    let assigned =
        [("a.example", "sip"), ("a.example", "both")].map(|(name, id)| (domain(name), id.to_owned())).into();
    let settings =
        CertSettings { sources: vec![one, two, both, next], assigned, default: vec!["both".into()] };
    let store = CertStore::load(settings).unwrap();
    let shown =
        |name: &str| [Side::Xmpp, Side::Sip].map(|side| store.for_name(name, side).unwrap().cert.clone());
    let defaults = || [Side::Xmpp, Side::Sip].map(|side| store.default(side).unwrap().cert.clone());
    // The first of the domain that is for the side; then the first that names it.
    assert_eq!(shown("a.example"), [of_both.clone(), of_sip.clone()]);
    assert_eq!(shown("b.example"), [of_xmpp, of_sip]);
    assert_eq!(defaults(), [of_both.clone(), of_both.clone()]);
    // A roll-over on one side.
    assert_eq!(store.advance(Wall::from_millis(2000)), [("both".to_owned(), "next".to_owned())]);
    assert_eq!(defaults(), [of_both, of_next]);
}

#[test]
fn f068_a_side_without_a_certificate_has_none() {
    let (ca, dir) = (Ca::new("test"), tempfile::tempdir().unwrap());
    let source = ca.issue(&Ask::dns("a.example")).save(dir.path(), "one");
    let source = CertSource { sides: Sides { xmpp: false, sip: true }, ..source };
    let settings = CertSettings { sources: vec![source], ..CertSettings::default() };
    let store = CertStore::load(settings).unwrap();
    assert!(store.for_name("a.example", Side::Xmpp).is_none() && store.default(Side::Xmpp).is_none());
    assert!(store.for_name("a.example", Side::Sip).is_some() && store.default(Side::Sip).is_some());
}
