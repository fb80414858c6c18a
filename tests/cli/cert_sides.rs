//! Certificates for one side: XMPP or SIP.

use super::cert::{done, house, refused};
use super::cert_live::{print, shown};
use super::rig::{House, run};
use std::process::Command;

const NAMES: [&str; 3] = ["DNS:gw.contoso.example", "DNS:contoso.example", "DNS:litware.example"];

/// A house whose certificate "gateway" is for all domains, and a second one that nobody uses yet.
fn two() -> Option<House> {
    let house = house()?;
    house.certificate("gateway", &NAMES);
    house.certificate("other", &NAMES);
    let row =
        "[[tls.certificate]]\nid = \"other\"\nchain = \"pki/other.pem\"\nkey = \"pki/other.key\"\n[dns]\n";
    house.edit("[dns]\n", row);
    Some(house)
}

#[test]
fn f064_f068_a_certificate_is_for_the_listeners_that_it_is_assigned_to() {
    let Some(house) = two() else { return };
    let _daemon = house.start();
    let (gateway, other) = (print(&house, "pki/gateway.pem"), print(&house, "pki/other.pem"));
    let served = |name: &str| [15269, 15061].map(|port| shown(&house, port, name));
    assert_eq!(served("contoso.example"), [gateway.clone(), gateway.clone()]);
    // As walk 10 has it: both listeners, all domains.
    let said = done(&house, &["cert", "assign", "other", "--for", "xmpp,sip"]);
    assert!(said.contains("certificate other is for contoso.example, litware.example\n"), "{said}");
    for name in ["contoso.example", "litware.example"] {
        assert_eq!(served(name), [other.clone(), other.clone()], "{name}");
    }
    assert_eq!(shown(&house, 15061, "unknown.example"), other);
    // One side, one domain: the other side and the other domain keep what they have.
    let said = done(&house, &["cert", "assign", "gateway", "--for", "sip", "--domain", "litware.example"]);
    assert!(said.contains("certificate gateway is for litware.example, sip only"), "{said}");
    assert!(house.read("stoxd.toml").contains("for = [\"sip\"]"), "{}", house.read("stoxd.toml"));
    assert!(house.read("stoxd.toml").contains("certificate = [\"gateway\", \"other\"]"));
    assert_eq!(served("litware.example"), [other.clone(), gateway.clone()]);
    assert_eq!(served("contoso.example"), [other.clone(), other.clone()]);
    let list = done(&house, &["cert", "list"]);
    let row = |id: &str| list.lines().find(|line| line.starts_with(id)).unwrap().to_owned();
    assert!(row("ID").contains(" FOR "), "{list}");
    assert!(row("gateway").contains(" sip ") && row("gateway").ends_with("litware.example"), "{list}");
    assert!(row("other").contains(" xmpp,sip ") && row("other").contains("(default)"), "{list}");
    let why = refused(&house, &["cert", "assign", "other", "--domain", "nowhere.example"], 2);
    assert!(why.contains("nowhere.example: no [[domain]] has this name"), "{why}");
}

#[test]
fn f065_a_roll_over_on_one_side_leaves_the_other() {
    let Some(house) = two() else { return };
    let date = run(Command::new("date").args(["-u", "-d", "+2 days", "+%Y-%m-%d"])).out;
    let date = date.trim();
    let words = ["cert", "assign", "other", "--for", "sip", "--roll", "--from", date];
    let said = done(&house, &words);
    assert!(said.contains(&format!("takes the place of gateway from {date}T00:00:00Z on: ")), "{said}");
    assert!(said.contains(", sip only"), "{said}");
    let list = done(&house, &["cert", "list"]);
    let row = list.lines().find(|line| line.starts_with("other")).unwrap();
    assert!(row.contains(" sip ") && row.contains("in place of gateway"), "{list}");
    let _daemon = house.start();
    let gateway = print(&house, "pki/gateway.pem");
    assert_eq!([15269, 15061].map(|port| shown(&house, port, "contoso.example")), [gateway.clone(), gateway]);
}

#[test]
fn f067_check_warns_of_a_listener_without_a_certificate() {
    let Some(house) = house() else { return };
    house.certificate("gateway", &NAMES);
    let listens = house.read("stoxd.toml").contains("transport = \"tls\"");
    assert!(listens);
    house.edit("id = \"gateway\"\n", "id = \"gateway\"\nfor = [\"sip\"]\n");
    let checked = house.stoxd(&["cert", "check"]).out;
    assert!(checked.contains("WARN  no certificate is for the xmpp listeners"), "{checked}");
    let checked = house.stoxd(&["check", "config"]);
    assert!(checked.out.contains("no certificate is for XMPP") && checked.code == 0, "{}", checked.out);
    house.edit("for = [\"sip\"]\n", "for = \"xmpp\"\n");
    let checked = house.stoxd(&["check", "config"]);
    assert!(checked.out.contains("a TLS listener needs a certificate"), "{}", checked.out);
    house.edit("for = \"xmpp\"\n", "for = [\"mail\"]\n");
    let checked = house.stoxd(&["check", "config"]);
    assert!(checked.out.contains("unknown side \"mail\" in \"for\""), "{}", checked.out);
}

#[test]
fn a_report_that_is_there_is_overwritten_only_when_that_is_wanted() {
    let Some(house) = house() else { return };
    house.write("report.json", "mine");
    let path = house.path("report.json");
    let words = ["cert", "check", "--report", path.to_str().unwrap()];
    let why = refused(&house, &words, 2);
    assert!(why.contains("this file is there") && house.read("report.json") == "mine", "{why}");
    let ran = house.stoxd(&[&words[..], &["--yes"]].concat());
    assert!(ran.code != 2 && house.read("report.json").starts_with('{'), "{}", ran.err);
}

#[test]
fn f067_check_config_finds_a_key_that_is_not_that_of_its_certificate() {
    let Some(house) = two() else { return };
    assert_eq!(house.stoxd(&["check", "config"]).code, 0);
    std::fs::copy(house.path("pki/gateway.key"), house.path("pki/other.key")).unwrap();
    let checked = house.stoxd(&["check", "config"]);
    assert_eq!(checked.code, 3, "{}", checked.out);
    assert!(checked.out.contains("FAIL  other: the key ") && checked.out.contains("is not that of"));
    let daemon = house.stoxd(&["run"]);
    assert_eq!(daemon.code, 78, "the daemon says the same: {}", daemon.err);
}
