//! Reload: a mistake changes nothing, what is taken is taken at once, what waits is named.

use super::rig::{House, POLICY, read_until};
use std::io::Write;

fn other_partner() -> String {
    POLICY.replace("fabrikam.example", "tailspin.example")
}

#[test]
fn sighup_takes_the_new_policy_and_says_so() {
    let Some(house) = House::new(POLICY) else { return };
    let mut daemon = house.start();
    assert!(house.welcomes("fabrikam.example") && !house.welcomes("tailspin.example"));
    house.write("policy.toml", &other_partner());
    daemon.hang_up();
    assert!(!house.welcomes("fabrikam.example") && house.welcomes("tailspin.example"));
    let heard = daemon.heard();
    assert!(heard.contains("RELOADING=1\nMONOTONIC_USEC="), "{heard}");
    assert!(heard.ends_with("READY=1\nSTATUS=ready\n"), "{heard}");
    let status = house.stoxd(&["status"]).out;
    assert!(status.ends_with("RELOAD\n  loaded: 3 policies, 1 grant, 1/1 policy tests\n"), "{status}");
    let would = house.stoxd(&["reload", "--what-if"]);
    assert!(
        would.code == 0 && would.out.starts_with("the files are as the daemon has read them"),
        "{would:?}"
    );
    let ran = house.stoxd(&["reload"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "loaded: 3 policies, 1 grant, 1/1 policy tests\n"));
}

#[test]
fn threat_172_sighup_with_a_broken_policy_keeps_the_old_one_and_says_so() {
    let Some(house) = House::new(POLICY) else { return };
    let mut daemon = house.start();
    house.write("policy.toml", &other_partner().replace("policy = \"Sales\"", "policy = \"Salse\""));
    daemon.hang_up();
    assert!(house.welcomes("fabrikam.example") && !house.welcomes("tailspin.example"));
    assert!(daemon.heard().ends_with("READY=1\nSTATUS=ready; the last reload was refused\n"));
    let status = house.stoxd(&["status"]);
    assert_eq!(status.code, 0);
    let said = "RELOAD\n  refused, nothing was changed\n  error: unknown policy \"Salse\"\n    --> policy.toml:13:10\n";
    assert!(status.out.contains(said), "{}", status.out);
    let ran = house.stoxd(&["reload"]);
    assert_eq!((ran.code, ran.out.as_str()), (78, ""));
    assert!(
        ran.err.starts_with("error: reload refused, nothing was changed\nerror: unknown policy \"Salse\"\n"),
        "{}",
        ran.err
    );
    assert!(house.read("log").contains("config.reject"), "{}", house.read("log"));
    // A test of the file's own that fails is a mistake too.
    house.write("policy.toml", &other_partner().replace("expect = \"allow\"", "expect = \"deny\""));
    assert_eq!(house.stoxd(&["reload"]).code, 78);
    assert!(house.welcomes("fabrikam.example"));
    // And a mended file is taken.
    let would = house.stoxd(&["reload", "--what-if"]);
    assert!(
        would.code == 78
            && would.err.starts_with("error: a reload would be refused\nerror: policy test failed")
    );
    house.write("policy.toml", &other_partner());
    let would = house.stoxd(&["reload", "--what-if"]);
    assert!(would.out.contains("\n+ domain = \"tailspin.example\"\n"), "{would:?}");
    assert!(
        would.out.ends_with("\nnothing was changed\n") && !house.welcomes("tailspin.example"),
        "{would:?}"
    );
    assert_eq!(house.stoxd(&["reload"]).code, 0);
    assert!(house.welcomes("tailspin.example"));
}

#[test]
fn threat_173_a_reload_is_all_or_nothing() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    house.write("policy.toml", &other_partner());
    let (key, ca) = (house.read("pki/gateway.key"), house.read("pki/ca.pem"));
    for (file, text, good, why) in [
        ("pki/gateway.key", "no key\n", &key, "no private key in it"),
        ("pki/ca.pem", "no certificate\n", &ca, "[tls] trust: "),
        ("password", "\n", &"again".to_owned(), "password: the secret is empty"),
    ] {
        house.write(file, text);
        let ran = house.stoxd(&["reload"]);
        assert_eq!(ran.code, 78, "{file}: {}", ran.out);
        assert!(ran.err.contains(why), "{file}: {}", ran.err);
        assert!(house.welcomes("fabrikam.example") && !house.welcomes("tailspin.example"), "{file}");
        house.write(file, good);
    }
    assert_eq!(house.stoxd(&["reload"]).code, 0);
    assert!(house.welcomes("tailspin.example"));
}

#[test]
fn what_waits_for_a_restart_is_named_and_the_rest_is_taken() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    let before = house.stoxd(&["status"]).out;
    house.write("policy.toml", &other_partner());
    house.edit("gw.contoso.example", "gate.contoso.example");
    house.edit("state_dir = \"state\"", "state_dir = \"other\"");
    house.edit(":15269", ":15270");
    house.edit(":15061", ":15071");
    house.edit("[tls]\n", "[[domain]]\nname = \"litware.example\"\n[tls]\n");
    house.edit("domains = [\"contoso.example\"]", "domains = [\"contoso.example\", \"litware.example\"]");
    house.edit("level = \"debug\"", "level = \"info\"");
    let ran = house.stoxd(&["reload"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (
            0,
            "loaded: 3 policies, 1 grant, 1/1 policy tests; these wait for a restart: [gateway] name, [gateway] \
             state_dir, the list of domains, the list of SIP peers, their domains and routes, [xmpp] listen, [sip] \
             listen, [log]\n"
        ),
        "{}",
        ran.err
    );
    assert!(house.welcomes("tailspin.example") && !house.welcomes("fabrikam.example"));
    let listeners = |status: &str| {
        status.split("STREAMS").next().map(|s| s.lines().skip(1).map(String::from).collect::<Vec<_>>())
    };
    assert_eq!(listeners(&house.stoxd(&["status"]).out), listeners(&before));
    let (_, answer) = house.greet("tailspin.example", "litware.example");
    assert!(answer.contains("<host-unknown "), "{answer}");
    // Messages of the old domain still cross the gate as before.
    assert_eq!(house.sip_message("bob@contoso.example", "romeo@tailspin.example", "hello"), 403);
    assert_eq!(house.sip_message("bob@litware.example", "romeo@tailspin.example", "hello"), 403);
}

#[test]
fn presence_waits_for_no_restart() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    house.edit("[sip]\n", "[presence]\nwatch_limit = 7\nforget_after = \"never\"\n[sip]\nsubscription_refresh_interval = \"1h\"\n");
    let ran = house.stoxd(&["reload"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "loaded: 3 policies, 1 grant, 1/1 policy tests\n"),
        "{}",
        ran.err
    );
    house.edit("watch_limit = 7", "watch_limit = 0");
    let ran = house.stoxd(&["reload"]);
    assert!(ran.code == 78 && ran.err.contains("\"watch_limit\" is out of range"), "{}", ran.err);
}

#[test]
fn a_domain_that_is_served_until_the_restart_becomes_no_partner_before_it() {
    let Some(house) = House::new(POLICY) else { return };
    house.edit("[tls]\n", "[[domain]]\nname = \"litware.example\"\ndiscovery = true\n[tls]\n");
    let _daemon = house.start();
    house.edit("[[domain]]\nname = \"litware.example\"\ndiscovery = true\n", "");
    house.write("policy.toml", &format!("{POLICY}[[partner]]\ndomain = \"litware.example\"\n"));
    let ran = house.stoxd(&["reload"]);
    assert_eq!(ran.code, 78, "{}", ran.out);
    assert!(ran.err.contains("litware.example is served until a restart"), "{}", ran.err);
    let (_, answer) = house.greet("fabrikam.example", "litware.example");
    assert!(answer.contains("<stream:features>"), "{answer}");
}

#[test]
fn a_new_certificate_and_a_peers_new_address_are_taken() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    let shown = || {
        let at = format!("{}:15061", house.ip);
        let ran = super::rig::run(std::process::Command::new("openssl").args(["s_client", "-connect", &at]));
        let begin = ran.out.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("{}", ran.err));
        ran.out[begin..].split("-----END").next().map(str::to_owned)
    };
    let leaf = || house.read("pki/gateway.pem").split("-----END").next().map(str::to_owned);
    assert_eq!(shown(), leaf());
    let old = leaf();
    house.certificate("gateway", &["DNS:gw.contoso.example", "DNS:contoso.example"]);
    assert_eq!(shown(), old, "not before the reload");
    assert_eq!(house.stoxd(&["reload"]).code, 0);
    assert_eq!(shown(), leaf());
    assert_ne!(leaf(), old);
    // The SIP server moves to an address that is trusted no more.
    assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", "hello"), 403);
    let denied = house.read("log").matches("policy.deny").count();
    assert_eq!(denied, 1);
    house.edit(&format!("addresses = [\"{}\"]", house.ip), "addresses = [\"192.0.2.1\"]");
    assert_eq!(house.stoxd(&["reload"]).out, "loaded: 3 policies, 1 grant, 1/1 policy tests\n");
    assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", "hello"), 403);
    assert_eq!(
        house.read("log").matches("policy.deny").count(),
        denied,
        "refused before it came to the policy"
    );
}

#[test]
fn a_link_of_a_peer_whose_addresses_changed_ends_and_that_of_another_lives_on() {
    let Some(house) = House::new(POLICY) else { return };
    let mut daemon = house.start();
    let mut link = house.sip_link();
    write!(link, "\r\n\r\n").unwrap();
    assert_eq!(read_until(&mut link, "\r\n"), "\r\n", "the link is up");
    daemon.hang_up();
    write!(link, "\r\n\r\n").unwrap();
    assert_eq!(read_until(&mut link, "\r\n"), "\r\n", "nothing changed");
    let addresses = format!("addresses = [\"{}\"", house.ip);
    house.edit(&addresses, &format!("{addresses}, \"127.9.9.9\""));
    daemon.hang_up();
    assert_eq!(read_until(&mut link, "\r\n"), "", "it proves itself anew");
}
