//! `stoxd check`, `partner test` and `test`: what was looked at, what was not, and what to do.

use super::rig::{House, PATIENCE, POLICY, wait_for};
use std::fs;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Answers every SIP request at the place of the peer, until it is dropped.
struct Edge {
    stop: Arc<AtomicBool>,
    heard: std::thread::JoinHandle<Vec<String>>,
}

impl Edge {
    fn start(house: &House, status: u16) -> Self {
        let socket = UdpSocket::bind((house.ip.as_str(), 15062)).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_millis(50))).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let heard = std::thread::spawn(move || {
            let (mut heard, mut octets) = (Vec::new(), [0; 4096]);
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut octets) else { continue };
                let text = String::from_utf8_lossy(&octets[..length]).into_owned();
                let copied = ["Via", "From", "To", "Call-ID", "CSeq"];
                let is_copied = |line: &&str| copied.iter().any(|name| line.starts_with(&format!("{name}:")));
                let lines: Vec<&str> = text.lines().filter(is_copied).collect();
                let tail = lines.join("\r\n").replace("\r\nCall-ID", ";tag=edge\r\nCall-ID");
                let answer = format!("SIP/2.0 {status} So\r\n{tail}\r\nContent-Length: 0\r\n\r\n");
                socket.send_to(answer.as_bytes(), from).unwrap();
                heard.push(text);
            }
            heard
        });
        Self { stop, heard }
    }

    /// What came.
    fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.heard.join().unwrap()
    }
}

/// A name server that knows no name at all, until the process ends.
fn no_names(house: &House) {
    let socket = UdpSocket::bind((house.ip.as_str(), 15353)).unwrap();
    std::thread::spawn(move || {
        let mut octets = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut octets) {
            // The header and the question come back: QR, RA and NXDOMAIN (RFC 1035 §4.1.1).
            let name = octets[12..length].iter().position(|octet| *octet == 0).unwrap();
            let mut answer = octets[..12 + name + 5].to_vec();
            answer[2] |= 0x80;
            answer[3] = 0x83;
            answer[6..12].fill(0);
            socket.send_to(&answer, from).unwrap();
        }
    });
}

/// The value of a verb that printed JSON.
fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

const ALICE: &str = "sip:alice@contoso.example";
const ROMEO: &str = "xmpp:romeo@fabrikam.example";

#[test]
fn check_without_a_word_runs_all_and_counts() {
    let Some(house) = House::new(POLICY) else { return };
    let ran = house.stoxd(&["check", "--offline"]);
    let names: Vec<&str> = ran.out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    for name in ["config", "policy", "certs", "dns", "connectivity"] {
        assert!(names.contains(&name), "{}", ran.out);
    }
    for skipped in ["dns           SKIP", "connectivity  SKIP"] {
        let line = ran.out.lines().find(|line| line.starts_with(skipped));
        assert_eq!(
            line.map(|line| line.ends_with("--offline: nothing was tried")),
            Some(true),
            "{}",
            ran.out
        );
    }
    let last = ran.out.lines().last().unwrap();
    assert!(last.contains("2 skipped") && last.ends_with("passed"), "{}", ran.out);
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert_eq!(house.stoxd(&["check", "--offline", "--strict"]).code, 3, "what was skipped is no pass");
    let value = json(&house.stoxd(&["check", "dns", "--offline", "--json"]).out);
    assert_eq!((value["outcome"].as_str(), value["checks"][0]["name"].as_str()), (Some("skip"), Some("dns")));
}

#[test]
fn a_check_of_the_network_with_an_invalid_configuration_is_skipped_and_78() {
    let Some(house) = House::new(POLICY) else { return };
    house.edit("[xmpp]", "[xmp]");
    let ran = house.stoxd(&["check"]);
    assert_eq!(ran.code, 78, "{}", ran.out);
    assert_eq!(ran.out.matches("error: ").count(), 1, "each mistake is told once: {}", ran.out);
    assert!(ran.out.contains("connectivity  SKIP  the configuration is invalid"), "{}", ran.out);
    let ran = house.stoxd(&["check", "connectivity"]);
    assert!(ran.code == 78 && ran.out.contains("error: "), "{}: {}", ran.code, ran.out);
}

#[test]
fn check_connectivity_really_dials_and_gives_cause_and_fix() {
    let Some(house) = House::new(POLICY) else { return };
    no_names(&house);
    let edge = Edge::start(&house, 200);
    let ran = house.stoxd(&["check", "connectivity"]);
    let heard = edge.stop();
    assert!(heard.iter().any(|text| text.starts_with("OPTIONS sip:contoso.example SIP/2.0")), "{heard:?}");
    assert_eq!(ran.code, 3, "{}", ran.out);
    assert!(ran.out.contains("PASS  sip edge  UDP→OPTIONS 200"), "{}", ran.out);
    assert!(ran.out.contains("FAIL  xmpp fabrikam.example for contoso.example: DNS: "), "{}", ran.out);
    assert!(ran.out.contains("fix: ask fabrikam.example for its SRV record"), "{}", ran.out);
    assert!(ran.out.ends_with("1 failed, 1 passed\n"), "{}", ran.out);
    let ran = house.stoxd(&["check", "dns", "--partner", "nobody.example"]);
    assert!(
        ran.code == 3 && ran.out.contains("nobody.example: neither a partner nor a SIP peer"),
        "{}",
        ran.out
    );
}

#[test]
fn f112_walk_14_partner_test_takes_a_sip_peer_too() {
    let Some(house) = House::new(POLICY) else { return };
    let edge = Edge::start(&house, 403);
    for name in ["edge", "contoso.example"] {
        let ran = house.stoxd(&["partner", "test", name]);
        // Whoever answers is there.
        assert!(ran.code == 0 && ran.out.contains("PASS  sip edge  UDP→OPTIONS 403"), "{}", ran.out);
    }
    edge.stop();
    let silent = UdpSocket::bind((house.ip.as_str(), 15062)).unwrap();
    let ran = house.stoxd(&["partner", "test", "edge"]);
    drop(silent);
    assert_eq!(ran.code, 3, "{}", ran.out);
    assert!(
        ran.out.contains("OPTIONS was not answered within 5 s") && ran.out.contains("fix: "),
        "{}",
        ran.out
    );
}

#[test]
fn walk_14_partner_test_says_first_what_the_policy_says() {
    let Some(house) = House::new(POLICY) else { return };
    no_names(&house);
    let ran = house.stoxd(&["partner", "test", "stranger.example"]);
    assert_eq!(ran.code, 3);
    assert!(ran.out.contains("policy        FAIL  stranger.example: no partner"), "{}", ran.out);
    assert!(ran.out.contains("fix: stoxd partner new stranger.example"), "{}", ran.out);
    assert!(ran.out.contains("connectivity  SKIP"), "{}", ran.out);
    let value = json(&house.stoxd(&["partner", "test", "fabrikam.example", "--json"]).out);
    assert_eq!(
        (&value["checks"][0]["name"], &value["checks"][0]["outcome"]),
        (&"policy".into(), &"pass".into())
    );
    assert_eq!(value["checks"][2]["name"], "connectivity");
}

#[test]
fn f108_walk_13_a_test_says_which_gate_is_shut_and_exits_3() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    for (from, to, class, said) in [
        ("sip:bob@contoso.example", ROMEO, "policy-denied", "policy denied: "),
        (ROMEO, "sip:bob@contoso.example", "policy-denied", "policy denied: "),
        (ALICE, "xmpp:x@stranger.example", "partner-not-allowed", "fix: stoxd partner new stranger.example"),
    ] {
        for kind in ["im", "presence"] {
            let ran = house.stoxd(&["test", kind, "--from", from, "--to", to, "--json"]);
            let value = json(&ran.out);
            assert_eq!((ran.code, value["class"].as_str()), (3, Some(class)), "{}", ran.out);
            assert_eq!(value["error"], "403 forbidden");
            assert!(value["diagnosis"].as_str().unwrap().contains(said), "{}", ran.out);
        }
    }
    let ran = house.stoxd(&["test", "im", "--from", ALICE, "--to", "sip:bob@contoso.example"]);
    assert!(ran.code == 2 && ran.err.contains("--to sip:bob@contoso.example"), "{}", ran.err);
}

#[test]
fn f108_walk_13_a_partner_that_dns_does_not_know_has_that_diagnosis() {
    let Some(house) = House::new(POLICY) else { return };
    no_names(&house);
    let _daemon = house.start();
    let ran = house.stoxd(&["test", "im", "--from", ALICE, "--to", ROMEO]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.starts_with("Target "), "{}", ran.out);
    assert!(ran.out.contains("  Failure  ") && ran.out.contains("  DNS: "), "{}", ran.out);
}

#[test]
fn f108_a_message_to_our_user_reaches_the_sip_server_and_its_answer_is_the_result() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    let edge = Edge::start(&house, 200);
    let ran = house.stoxd(&["test", "im", "--from", ROMEO, "--to", ALICE, "--text", "is this thing on?"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let heard = edge.stop();
    let message =
        heard.iter().find(|text| text.starts_with("MESSAGE sip:alice@contoso.example SIP/2.0")).unwrap();
    assert!(message.ends_with("\r\n\r\nis this thing on?"), "{message}");
    let edge = Edge::start(&house, 480);
    let ran = house.stoxd(&["test", "im", "--from", ROMEO, "--to", ALICE, "--json"]);
    edge.stop();
    let value = json(&ran.out);
    assert_eq!((ran.code, value["class"].as_str()), (1, Some("refused")), "{}", ran.out);
    assert!(value["error"].as_str().unwrap().starts_with("480 "), "{}", ran.out);
}

#[test]
fn f109_a_report_is_not_overwritten_unless_that_is_said() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    let report = house.path("report.json").into_os_string().into_string().unwrap();
    let test = ["test", "im", "--from", "sip:bob@contoso.example", "--to", ROMEO, "--report", &report];
    assert_eq!(house.stoxd(&test).code, 3);
    assert_eq!(json(&house.read("report.json"))["result"], "Failure");
    house.write("report.json", "mine");
    let ran = house.stoxd(&test);
    assert!(ran.code == 1 && ran.err.contains("--yes overwrites it"), "{}", ran.err);
    assert_eq!(house.read("report.json"), "mine");
    assert_eq!(house.stoxd(&[&test[..], &["--yes"]].concat()).code, 3);
    assert_eq!(json(&house.read("report.json"))["class"], "policy-denied");
}

#[test]
fn f110_a_test_takes_the_users_of_the_configuration_and_fails_clearly_without_any() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    let ran = house.stoxd(&["test", "im"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("--from and --to are needed, or [selftest] from and to"), "{}", ran.err);
    let set = format!("[selftest]\nfrom = \"sip:bob@contoso.example\"\nto = \"{ROMEO}\"\n[admin]");
    house.edit("[admin]", &set);
    assert_eq!(house.stoxd(&["reload"]).code, 0);
    let ran = house.stoxd(&["test", "im", "--json"]);
    assert_eq!(
        (ran.code, json(&ran.out)["from"].as_str()),
        (3, Some("sip:bob@contoso.example")),
        "{}",
        ran.out
    );
    // Who is named goes before.
    let ran = house.stoxd(&["test", "im", "--to", "xmpp:x@stranger.example", "--json"]);
    assert_eq!(json(&ran.out)["class"], "partner-not-allowed", "{}", ran.out);
    house.edit("sip:bob@contoso.example\"\nto", "xmpp:bob@elsewhere.example\"\nto");
    let ran = house.stoxd(&["check", "config"]);
    assert!(ran.code == 78 && ran.out.contains("no pair to be tested"), "{}", ran.out);
}

#[test]
fn f110_without_a_daemon_it_is_4() {
    let Some(house) = House::new(POLICY) else { return };
    assert_eq!(house.stoxd(&["test", "im", "--from", ALICE, "--to", ROMEO]).code, 4);
}

#[test]
fn f111_the_test_that_runs_by_itself_says_in_the_log_that_it_failed() {
    let Some(house) = House::new(POLICY) else { return };
    let set =
        format!("[selftest]\nfrom = \"sip:bob@contoso.example\"\nto = \"{ROMEO}\"\nevery = \"5s\"\n[log]");
    house.edit("[log]", &set);
    let _daemon = house.start();
    let line = wait_for("the failure in the log", || {
        house.read("log").lines().find(|line| line.contains("selftest.failed")).map(str::to_owned)
    });
    assert!(line.contains("ERROR") && line.contains("policy denied"), "{line}");
    assert!(PATIENCE.as_secs() > 5);
}

#[test]
fn what_a_start_refuses_is_what_a_check_says() {
    let Some(house) = House::new(POLICY) else { return };
    let usual = house.usual();
    let long = format!("socket = \"{}/admin.sock\"", "d".repeat(120));
    for (from, to, said) in [
        ("socket = \"admin.sock\"", long.as_str(), "and that of a socket 107 at most"),
        (":15269\"", ":15061\"", "two tcp listeners for "),
        (":15060\"", ":15061\"", "two tcp listeners for "),
    ] {
        house.write("stoxd.toml", &usual);
        house.edit(from, to);
        let ran = house.stoxd(&["check", "config"]);
        assert!(ran.code == 78 && ran.out.contains(said), "{to}: {}", ran.out);
        assert_eq!(house.start_in_vain().0, 78);
    }
    house.write("stoxd.toml", &usual);
    let mut daemon = house.start();
    assert_eq!(house.stoxd(&["check", "config"]).code, 0, "it is in use");
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(house.stoxd(&["check", "config"]).code, 0);
    let path = house.path("state/stoxd.db");
    let whole = fs::read(&path).unwrap();
    let mut broken = whole.clone();
    let half = broken.len() / 2;
    broken[half..].fill(0x5a);
    for octets in [&whole[..half], &broken] {
        fs::write(&path, octets).unwrap();
        let ran = house.stoxd(&["check", "config"]);
        assert_eq!(ran.code, 3, "{}", ran.out);
        assert!(ran.out.contains("\nstore         FAIL  "), "{}", ran.out);
        assert_ne!(house.start_in_vain().0, 0);
    }
}
