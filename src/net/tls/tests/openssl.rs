//! Against `openssl s_client`: what another implementation sees of us.

use super::*;
use crate::net::tls::CertFault;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

/// Runs `openssl s_client` with `args` against our s2s listener; `typed` is what it is told. None
/// (and SKIP on the terminal) where openssl is not installed.
fn s_client(args: &[&str], typed: &[u8]) -> Option<Output> {
    if !installed("openssl") {
        return None;
    }
    let ca = Ca::new("test");
    let server = server_of(&ca.issue(&Ask::dns("im.example")));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Ends with the test process; a connection that fails is what some tests want.
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            socket.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
            let mut tls = ServerConnection::new(Arc::clone(&server)).unwrap();
            let mut stream = rustls::Stream::new(&mut tls, &mut socket);
            let mut octets = [0; 64];
            while let Ok(1..) = stream.read(&mut octets) {
                let _ = stream.write_all(b"pong\n");
            }
        }
    });
    let mut child = Command::new("timeout")
        .args([
            "10",
            "openssl",
            "s_client",
            "-servername",
            "im.example",
            "-connect",
            &format!("127.0.0.1:{port}"),
        ])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(typed).unwrap();
    // Keep the terminal open until the answer is there or s_client gives up by itself.
    let (mut stdout, mut seen, mut part) = (child.stdout.take().unwrap(), Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&seen).contains("pong") {
        match stdout.read(&mut part).unwrap() {
            0 => break,
            read => seen.extend(&part[..read]),
        }
    }
    drop(stdin);
    stdout.read_to_end(&mut seen).unwrap();
    let mut output = child.wait_with_output().unwrap();
    output.stdout = seen;
    Some(output)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn threat_030_openssl_gets_in_with_12_and_13_and_with_nothing_older() {
    for (args, wanted) in [(&["-tls1_2"][..], "New, TLSv1.2"), (&["-tls1_3"], "New, TLSv1.3")] {
        let Some(output) = s_client(args, b"ping\n") else { return };
        assert!(text(&output).contains(wanted) && text(&output).contains("pong"), "{}", text(&output));
    }
    for args in [
        &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..],
        &["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0"],
        &["-tls1_2", "-cipher", "aNULL:eNULL:@SECLEVEL=0"],
        &["-alpn", "h2"],
    ] {
        let Some(output) = s_client(args, b"ping\n") else { return };
        assert!(text(&output).contains("alert"), "{args:?}: {}", text(&output));
        assert!(!text(&output).contains("pong"), "{args:?}");
    }
}

#[test]
fn threat_029_renegotiation_is_refused() {
    let Some(output) = s_client(&["-tls1_2"], b"R\n") else { return };
    let text = text(&output);
    assert!(text.contains("RENEGOTIATING"), "{text}");
    assert!(
        text.contains("no renegotiation") || text.contains("unexpected message") || text.contains("alert"),
        "{text}"
    );
    assert!(!text.contains("pong"), "{text}");
}

#[test]
fn openssl_gets_no_ticket_and_is_asked_for_a_certificate() {
    let Some(output) = s_client(&["-tls1_3"], b"ping\n") else { return };
    let seen = text(&output);
    assert!(!seen.contains("New Session Ticket arrived"), "{seen}");
    assert!(seen.contains("No client certificate CA names sent"), "{seen}");
    assert!(seen.contains("Requested Signature Algorithms"), "{seen}");
    let Some(output) = s_client(&["-tls1_2", "-reconnect"], b"ping\n") else { return };
    assert_eq!(text(&output).matches("New, TLSv1.2").count(), 6, "{}", text(&output));
    assert!(!text(&output).contains("Reused"), "{}", text(&output));
}

/// Runs `certs/make-test-ca`; whether it succeeded, and what it said.
fn make_test_ca(args: &[&str]) -> (bool, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/make-test-ca");
    let output = Command::new(script).args(args).output().unwrap();
    (output.status.success(), text(&output))
}

fn installed(program: &str) -> bool {
    let there = Command::new(program).arg("version").output().is_ok();
    if !there {
        println!("SKIP: {program} is not installed");
    }
    there
}

#[test]
fn certificates_of_the_test_authority_are_what_they_claim() {
    if !installed("openssl") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let make = |args: &[&str]| {
        let (good, said) = make_test_ca(args);
        assert!(good, "{said}");
    };
    make(&[path]);
    make(&[
        path,
        "gw",
        "DNS:gw.example",
        "URI:sip:sip.example",
        "xmppAddr:a.example",
        "SRVName:_xmpp-server.b.example",
    ]);
    make(&["--via", "middle", "--eku", "server", "--rsa", path, "two", "DNS:two.example"]);
    make(&["--expired", path, "old", "DNS:old.example"]);
    make(&["--not-yet", path, "young", "DNS:young.example"]);
    make(&["--ca", "rogue", path, "liar", "DNS:gw.example"]);
    make(&["--cn", "cn.example", path, "cn"]);
    let trust = Arc::new(Trust::bundle(&dir.path().join("ca.pem")).unwrap());
    let now = Wall::from_millis(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64);
    let peer = |id: &str| {
        let source = CertSource {
            id: id.to_owned(),
            chain: dir.path().join(format!("{id}.pem")),
            key: dir.path().join(format!("{id}.key")),
            replaces: None,
            sides: Sides::BOTH,
        };
        let store =
            CertStore::load(CertSettings { sources: vec![source], ..CertSettings::default() }).unwrap();
        PeerCert::new(store.default(Side::Sip).unwrap().cert.clone(), Arc::clone(&trust), "TLSv1.3")
    };
    for name in ["gw.example", "a.example", "b.example"] {
        assert_eq!(peer("gw").judge_xmpp(&domain(name), now), Ok(()), "{name}");
    }
    assert_eq!(peer("gw").sip_identities(now), Ok(vec![domain("sip.example")]));
    assert_eq!(peer("two").judge_xmpp(&domain("two.example"), now), Ok(()));
    assert!(matches!(peer("old").sip_identities(now), Err(CertFault::Expired { .. })));
    assert!(matches!(peer("young").sip_identities(now), Err(CertFault::NotYetValid { .. })));
    assert!(matches!(peer("liar").sip_identities(now), Err(CertFault::UntrustedIssuer { .. })));
    assert!(matches!(peer("cn").judge_xmpp(&domain("cn.example"), now), Err(CertFault::WrongName { .. })));

    for (args, wanted) in [
        (&[path, "x"][..], "no SAN given"),
        (&[path, "../x", "DNS:a"], "letters, digits"),
        (&[path, "ca", "DNS:a"], "is the authority's"),
        (&[path, "x", "DNS:a,DNS:b"], "A-labels"),
        (&[path, "x", "DNS:a\nextendedKeyUsage=1"], "A-labels"),
        (&["--days", "-1", path, "x", "DNS:a"], "whole number"),
    ] {
        let (good, said) = make_test_ca(args);
        assert!(!good && said.contains(wanted), "{args:?}: {said}");
    }
}

#[test]
fn the_test_authority_writes_no_key_that_git_would_take() {
    if !installed("openssl") || !installed("git") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    assert!(Command::new("git").args(["init", "-q", path]).status().unwrap().success());
    let (good, said) = make_test_ca(&[path, "gw", "DNS:gw.example"]);
    assert!(!good && said.contains("would not be ignored by git"), "{said}");
    assert!(!dir.path().join("ca.key").exists());
    std::fs::write(dir.path().join(".gitignore"), "*.pem\n*.key\n").unwrap();
    assert!(make_test_ca(&[path, "gw", "DNS:gw.example"]).0);
}
