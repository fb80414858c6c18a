//! Against `openssl s_client`: what another implementation sees of us.

use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

/// Runs `openssl s_client` with `args` against our s2s listener; `typed` is what it is told. None
/// (and SKIP on the terminal) where openssl is not installed.
fn s_client(args: &[&str], typed: &[u8]) -> Option<Output> {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("SKIP: openssl is not installed");
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
