//! Verbs that meet what they should not: words of a hostile partner, and questions without measure.

use super::rig::{House, POLICY};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

const ALICE: &str = "sip:alice@contoso.example";
const ROMEO: &str = "xmpp:romeo@fabrikam.example";

/// Answers every stream with an error in words that a terminal would obey.
fn refuse(partner: &TcpListener) {
    for stream in partner.incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
             from='fabrikam.example' to='contoso.example' id='1' version='1.0'><stream:error><internal-server-error \
             xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>HOSTILE\
             \u{9b}2J\u{202e}\u{7f}\u{85}</text></stream:error></stream:stream>"
                .as_bytes(),
        );
    }
}

#[test]
fn what_a_partner_says_is_no_order_to_a_terminal() {
    let policy = "type = \"federated\"\ntls = \"optional\"\nproxy_fqdn = \"IP\"\nproxy_port = 15270";
    let Some(house) = House::new(&POLICY.replace("type = \"federated\"", policy)) else { return };
    house.write("policy.toml", &house.read("policy.toml").replace("IP", &house.ip));
    let partner = TcpListener::bind((house.ip.as_str(), 15270)).unwrap();
    std::thread::spawn(move || refuse(&partner));
    let _daemon = house.start();
    assert_eq!(house.sip_message("alice@contoso.example", "romeo@fabrikam.example", "hi"), 504);
    for (words, json) in [
        (&["status"][..], true),
        (&["streams"], true),
        (&["trace"], false),
        (&["why", "--from", ALICE, "--to", ROMEO], true),
        (&["partner", "test", "fabrikam.example"], true),
        (&["test", "im", "--from", ALICE, "--to", ROMEO], true),
    ] {
        for more in [&[][..], &["--json"]] {
            let ran = house.stoxd(&[words, more].concat());
            let obeyed = |c: char| c == '\u{202e}' || (c.is_control() && c != '\n');
            assert!(ran.out.contains("HOSTILE"), "{words:?}: {ran:?}");
            assert!(!ran.out.contains(obeyed) && !ran.err.contains(obeyed), "{words:?}: {ran:?}");
            if json && !more.is_empty() {
                serde_json::from_str::<serde_json::Value>(&ran.out).unwrap();
            }
        }
    }
    assert!(!house.read("log").contains(['\u{9b}', '\u{202e}', '\u{7f}']));
}

#[test]
fn wrong_and_endless_arguments_are_usage_and_the_longest_right_ones_are_asked() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    let endless = "a".repeat(100_000);
    let address = format!("sip:{endless}@contoso.example");
    for wrong in [
        &["why", &endless][..],
        &["why", "--from", &address, "--to", ROMEO],
        &["test", "im", "--from", &address, "--to", ROMEO],
        &["test", "im", "--from", "sip:nobody", "--to", ROMEO],
        &["trace", "--partner", &endless],
        &["trace", "--partner", "no domain"],
        &["log-level", "debug", "--for", "0s"],
        &["log-level", "debug", "--for", "8d"],
    ] {
        let ran = house.stoxd(wrong);
        assert!(ran.code == 2 && ran.out.is_empty(), "{:.60?}: {} {:.200}", wrong, ran.code, ran.err);
    }
    let (local, text) = ("a".repeat(1023), format!("{}x", "\u{1}".repeat(1023)));
    let (from, to) = (format!("sip:{local}@contoso.example"), format!("xmpp:{local}@fabrikam.example"));
    assert_eq!(house.stoxd(&["why", "--from", &from, "--to", &to]).code, 1);
    let ran = house.stoxd(&["test", "im", "--from", "sip:bob@contoso.example", "--to", &to, "--text", &text]);
    assert_eq!(ran.code, 3, "{ran:?}");
    // Without files and without a daemon there is nothing to say, in JSON neither.
    std::fs::remove_file(house.path("stoxd.toml")).unwrap();
    let ran = house.stoxd(&["why", "--from", ALICE, "--to", ROMEO, "--json", "--socket", "/nowhere/sock"]);
    assert!(ran.code == 4 && ran.out.is_empty() && ran.err.contains("can't read "), "{ran:?}");
}

#[test]
fn what_a_daemon_passes_on_is_no_order_to_a_terminal() {
    let house = House::bare(POLICY);
    let socket = house.path("sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for answer in
            ["{\"done\":\"HOSTILE\\u001b[2J\\u009b\"}\n", "{\"failed\":\"HOSTILE\\u001b[2J\\u009b\"}\n"]
        {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    let ask = || super::rig::stoxd(&["log-level", "--socket", socket.to_str().unwrap()]);
    let (done, failed) = (ask(), ask());
    assert_eq!((done.code, done.out.as_str()), (0, "HOSTILE\u{fffd}[2J\u{fffd}\n"));
    assert_eq!((failed.code, failed.err.as_str()), (1, "error: HOSTILE\u{fffd}[2J\u{fffd}\n"));
}
