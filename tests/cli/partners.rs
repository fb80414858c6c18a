//! Partners by verbs.

use super::policies::{done, house, refused};
use super::rig::House;

/// A house with fabrikam.example as a partner, everything else by default.
fn fabrikam() -> House {
    let house = house("[federation]\nenabled = true\n");
    done(&house, &["partner", "new", "fabrikam.example", "--description", "Fabrikam, Inc."]);
    house
}

fn lists(house: &House, words: &[&str]) -> Vec<String> {
    let listed = done(house, &[&["partner", "list"], words].concat()).out;
    listed.lines().skip(1).filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect()
}

/// Whether something of `domain` may cross, once there is a policy.
fn lets(house: &House, domain: &str) -> bool {
    let from = format!("xmpp:romeo@{domain}");
    let ask = ["policy", "test", "--from", &from, "--to", "sip:bob@contoso.example", "--added"];
    house.stoxd(&ask).out.contains("is allowed")
}

#[test]
fn f023_f027_f037_f041_a_new_partner_is_listed_with_its_note_and_the_defaults() {
    let house = fabrikam();
    assert!(lets(&house, "fabrikam.example"));
    let shown = done(&house, &["partner", "show", "fabrikam.example"]).out;
    assert_eq!(
        shown,
        "\
domain             fabrikam.example
additional_domains
description        Fabrikam, Inc.
type               public-unverified
tls                required
sasl               required
dialback           yes
connection_limit   20 (of the gateway)
keepalive          yes
proxy              none: DNS is asked
at                 policy.toml:4
"
    );
    assert!(
        house
            .read("policy.toml")
            .ends_with("domain = \"fabrikam.example\"\ndescription = \"Fabrikam, Inc.\"\n")
    );
    refused(&house, &["partner", "show", "tailspin.example"], 1, "there is no partner tailspin.example");
}

#[test]
fn f024_a_domain_that_is_there_or_is_none_is_refused() {
    let house = fabrikam();
    refused(&house, &["partner", "new", "FABRIKAM.example"], 1, "is a partner already");
    refused(&house, &["partner", "new", ""], 3, "error: bad value \"\" for \"domain\"");
    refused(&house, &["partner", "new", "localhost"], 3, "not fully qualified");
    refused(&house, &["partner", "new", "contoso.example"], 3, "is a [[domain]] of ours");
    let add = ["partner", "new", "tailspin.example", "--add-domain", "fabrikam.example"];
    refused(&house, &add, 3, "\"fabrikam.example\" is listed twice");
}

#[test]
fn f025_f026_what_is_not_listed_or_is_removed_gets_nothing() {
    let house = fabrikam();
    assert!(!lets(&house, "tailspin.example"));
    refused(&house, &["partner", "rm", "fabrikam.example"], 2, "nobody is there to be asked");
    let ran = done(&house, &["partner", "rm", "fabrikam.example", "--yes"]);
    assert!(ran.out.starts_with("1 partner removed: fabrikam.example\n"), "{}", ran.out);
    assert!(!lets(&house, "fabrikam.example"));
    refused(
        &house,
        &["partner", "rm", "fabrikam.example", "--yes"],
        1,
        "there is no partner fabrikam.example",
    );
}

#[test]
fn f028_additional_domains_are_added_removed_and_cleared() {
    let house = fabrikam();
    let it = "it.fabrikam.example";
    done(&house, &["partner", "set", "fabrikam.example", "--add-domain", it, "corp.fabrikam.example"]);
    assert!(
        lets(&house, it) && lets(&house, "corp.fabrikam.example") && !lets(&house, "hr.fabrikam.example")
    );
    assert_eq!(lists(&house, &[it]), ["fabrikam.example"]);
    let remove = ["partner", "set", "fabrikam.example", "--remove-domain", it];
    refused(&house, &remove, 2, "nobody is there to be asked");
    done(&house, &[&remove[..], &["--yes"]].concat());
    assert!(!lets(&house, it) && lets(&house, "corp.fabrikam.example"));
    refused(
        &house,
        &["partner", "set", "fabrikam.example", "--remove-domain", it],
        1,
        "is no additional domain",
    );
    refused(
        &house,
        &["partner", "set", "fabrikam.example", "--clear-domains"],
        2,
        "nobody is there to be asked",
    );
    let unset = ["partner", "set", "fabrikam.example", "--unset", "additional_domains"];
    refused(&house, &unset, 2, "nobody is there to be asked");
    done(&house, &["partner", "set", "fabrikam.example", "--clear-domains", "--yes"]);
    assert!(!lets(&house, "corp.fabrikam.example") && lets(&house, "fabrikam.example"));
}

#[test]
fn f042_a_combination_that_can_not_work_is_refused_and_not_saved() {
    let house = fabrikam();
    for (terms, why) in [
        (&["--tls", "not-supported"][..], "SASL EXTERNAL needs TLS"),
        (&["--tls", "not-supported", "--sasl", "optional"], "SASL EXTERNAL needs TLS"),
        (&["--sasl", "not-supported", "--dialback", "off"], "SASL or dialback must be on"),
    ] {
        refused(&house, &[&["partner", "set", "fabrikam.example"], terms].concat(), 3, why);
    }
    // The combination below the last row of the matrix but one: dialback alone, as asked for.
    let last = ["--tls", "not-supported", "--sasl", "not-supported", "--dialback", "on"];
    done(&house, &[&["partner", "set", "fabrikam.example"][..], &last].concat());
}

#[test]
fn f043_a_weak_combination_is_saved_with_a_warning() {
    let house = fabrikam();
    let ran = done(&house, &["partner", "set", "fabrikam.example", "--tls", "optional"]);
    assert!(ran.out.contains("warning: weak negotiation: streams may be unencrypted"), "{}", ran.out);
    assert!(house.read("policy.toml").contains("tls = \"optional\""));
}

#[test]
fn f047_f099_partners_are_found_by_pattern_type_and_parent() {
    let house = fabrikam();
    done(&house, &["partner", "new", "research.fabrikam.example", "--type", "federated"]);
    done(
        &house,
        &["partner", "new", "tailspin.org", "--type", "public-verified", "--proxy-fqdn", "x.tailspin.org"],
    );
    assert_eq!(lists(&house, &[]).len(), 3);
    assert_eq!(lists(&house, &["*.org"]), ["tailspin.org"]);
    assert_eq!(lists(&house, &["fabrikam.example"]), ["fabrikam.example", "research.fabrikam.example"]);
    assert_eq!(lists(&house, &["--type", "federated"]), ["research.fabrikam.example"]);
    let ran = done(&house, &["partner", "list", "*.org", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let partner = &value["partners"][0];
    assert_eq!((&partner["type"], &partner["proxy_port"]), (&"public-verified".into(), &5269.into()));
}

#[test]
fn f048_many_are_set_and_removed_at_once_by_what_they_are() {
    let house = fabrikam();
    done(&house, &["partner", "new", "tailspin.example", "--type", "federated"]);
    refused(&house, &["partner", "set", "*", "--sasl", "optional"], 2, "nobody is there to be asked");
    let ran = done(&house, &["partner", "set", "*", "--sasl", "optional", "--yes"]);
    assert!(ran.out.starts_with("2 partners set: fabrikam.example, tailspin.example\n"), "{}", ran.out);
    assert_eq!(house.read("policy.toml").matches("sasl = \"optional\"").count(), 2);
    done(&house, &["partner", "set", "*", "--where-type", "federated", "--keepalive", "off", "--yes"]);
    assert_eq!(house.read("policy.toml").matches("keepalive = false").count(), 1);
    done(&house, &["partner", "rm", "*", "--type", "public-unverified", "--yes"]);
    assert_eq!(lists(&house, &[]), ["tailspin.example"]);
}

#[test]
fn f049_one_setting_is_changed_and_the_others_stay() {
    let house = fabrikam();
    let before = house.read("policy.toml");
    done(&house, &["partner", "set", "fabrikam.example", "--connection-limit", "7"]);
    assert_eq!(house.read("policy.toml"), before.clone() + "connection_limit = 7\n");
    done(&house, &["partner", "set", "fabrikam.example", "--unset", "connection_limit"]);
    assert_eq!(house.read("policy.toml"), before);
    refused(&house, &["partner", "set", "fabrikam.example", "--connection-limit", "0"], 3, "out of range");
}

#[test]
fn what_is_blocked_is_listed_with_the_row_that_blocks_it() {
    let house = fabrikam();
    assert_eq!(done(&house, &["partner", "list", "--blocked"]).out, "nothing is blocked\n");
    done(&house, &["partner", "new", "good.evil.example"]);
    for (whom, why) in
        [("bad.example", "spam"), ("*.evil.example", ""), ("mallory@fabrikam.example", "insults")]
    {
        done(&house, &["block", whom, "--description", why]);
    }
    let blocked = |words: &[&str]| done(&house, &[&["partner", "list", "--blocked"], words].concat()).out;
    assert_eq!(
        blocked(&[]),
        "\
BLOCKED                   KIND        AT              DESCRIPTION
bad.example               domain      policy.toml:11  spam
*.evil.example            subdomains  policy.toml:15
mallory@fabrikam.example  person      policy.toml:19  insults
"
    );
    for (filter, rows) in [
        ("bad.example", &["bad.example"][..]),
        ("BAD.example.", &["bad.example"]),
        ("a.bad.example", &[]),
        ("evil.example", &["*.evil.example"]),
        ("a.b.evil.example", &["*.evil.example"]),
        // A partner's entry is more specific.
        ("good.evil.example", &[]),
        ("fabrikam.example", &["mallory@fabrikam.example"]),
        ("mallory@fabrikam.example", &["mallory@fabrikam.example"]),
        ("romeo@fabrikam.example", &[]),
        ("eve@bad.example", &["bad.example"]),
        ("*ad.example", &["bad.example"]),
    ] {
        let out = blocked(&[filter]);
        let found: Vec<&str> = out.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(found, rows, "{filter}: {out}");
    }
    let json: serde_json::Value = serde_json::from_str(&blocked(&["evil.example", "--json"])).unwrap();
    let row = serde_json::json!({
        "blocked": "*.evil.example", "kind": "subdomains", "description": "", "at": "policy.toml:15"
    });
    assert_eq!(json["blocked"], serde_json::json!([row]));
    refused(&house, &["partner", "list", "--blocked", "--type", "federated"], 2, "cannot be used with");
}
