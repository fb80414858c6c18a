//! Verbs without a daemon: exit codes, and what is printed letter by letter.

use super::rig::{House, POLICY, stoxd, without};

const DAEMON: &str = r#"[gateway]
name = "gw.contoso.example"
[[domain]]
name = "contoso.example"
[sip]
listen = [{ addr = "127.0.0.1:15060", transport = "udp" }]
[[sip.peer]]
name = "edge"
domains = ["contoso.example"]
[admin]
socket = "admin.sock"
"#;

fn house(policy: &str) -> House {
    let house = House::bare(policy);
    house.write("stoxd.toml", DAEMON);
    house
}

#[test]
fn check_config_passes_with_its_numbers_and_0() {
    let ran = house(POLICY).stoxd(&["check", "config"]);
    let said = "config        PASS  stoxd.toml, policy.toml: 3 policies, 1 grant, 1/1 policy tests\n";
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, said, ""));
    assert_eq!(house(POLICY).stoxd(&["check"]).out, said, "it is what is checked by default");
    let ran = house(POLICY).stoxd(&["check", "policy"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "policy        PASS  3 policies, 1 grant, 1/1 policy tests\n")
    );
}

#[test]
fn threat_172_check_config_shows_the_line_with_a_caret_and_78() {
    let house = house(&POLICY.replace("policy = \"Sales\"", "policy = \"Salse\""));
    let ran = house.stoxd(&["check", "config"]);
    assert_eq!(
        ran.out,
        "\
error: unknown policy \"Salse\"
  --> policy.toml:13:10
13 | policy = \"Salse\"
   |          ^^^^^^^ not defined; did you mean \"Sales\" (line 8)?

config        FAIL  1 error
"
    );
    assert_eq!((ran.code, ran.err.as_str()), (78, ""));
    let ran = house.stoxd(&["check", "config", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &value["outcome"]), (78, &"fail".into()));
    assert_eq!(value["checks"][0]["problems"][0]["line"], 13);
    assert!(!ran.out.contains('\u{1b}'), "no colour where there is no terminal");
}

#[test]
fn all_errors_of_both_files_come_in_one_pass_and_run_says_the_same() {
    let house = house("[federation]\nenabled = 1\n[[polcy]]\n[[partner]]\ndomain = \"contoso.example\"\n");
    house.edit("[admin]", "[gatway]\n[metrics]\nlisten = \"127.0.0.1:9464\"\n[admin]");
    let checked = house.stoxd(&["check", "config"]);
    let run = house.stoxd(&["run"]);
    assert_eq!((checked.code, run.code, run.out.as_str()), (78, 78, ""));
    assert!(checked.out.ends_with("\nconfig        FAIL  5 errors\n"), "{}", checked.out);
    assert_eq!(checked.out.matches("error: ").count(), 5);
    assert_eq!(format!("{}config        FAIL  5 errors\n", run.err), checked.out);
    for what in
        ["[gatway]", "metrics are not built yet", "must be true or false", "[[polcy]]", "[[domain]] of ours"]
    {
        assert!(run.err.contains(what), "{what}: {}", run.err);
    }
}

#[test]
fn warnings_are_3_under_strict_only() {
    let house = house(&POLICY.replace("type = \"federated\"", "type = \"federated\"\ntls = \"optional\""));
    let ran = house.stoxd(&["check", "config"]);
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("warning: weak negotiation: "), "{}", ran.out);
    assert_eq!(house.stoxd(&["check", "config", "--strict"]).code, 3);
}

#[test]
fn a_policy_test_that_fails_refuses_the_file() {
    let ran = house(&POLICY.replace("\"allow\"", "\"deny\"")).stoxd(&["check", "config"]);
    assert_eq!(ran.code, 78);
    assert!(ran.out.contains(" --> policy.toml:"), "{}", ran.out);
}

#[test]
fn policy_test_says_what_decides_and_where_and_3_or_0() {
    let house = house(POLICY);
    let test = |from: &str, to: &str, json: &[&str]| {
        house.stoxd(&[&["policy", "test", "--from", from, "--to", to], json].concat())
    };
    let ran = test("sip:bob@contoso.example", "xmpp:romeo@fabrikam.example", &[]);
    assert_eq!(
        ran.out,
        "\
DENY  sip:bob@contoso.example → xmpp:romeo@fabrikam.example
 1 federation  enabled                                            policy.toml:2
 2 partner     fabrikam.example is allowed                        policy.toml:18
 3 policy      no grant; site Redmond (matched *@contoso.example) policy.toml:14
 4 verdict     federation=yes  xmpp=no  ← this decided
 the sender would see: SIP 403 (an XMPP sender: forbidden)
 to allow: stoxd policy grant Sales --to sip:bob@contoso.example
"
    );
    assert_eq!((ran.code, ran.err.as_str()), (3, ""));
    let ran = test("sip:bob@contoso.example", "xmpp:romeo@fabrikam.example", &["--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (ran.code, &value["verdict"], &value["steps"][3]["decided"]),
        (3, &"deny".into(), &true.into())
    );
    let ran = test("xmpp:romeo@fabrikam.example", "sip:alice@contoso.example", &[]);
    assert!(ran.code == 0 && ran.out.starts_with("ALLOW "), "{ran:?}");
    let ran = test("sip:bob", "xmpp:romeo@fabrikam.example", &[]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (2, "error: --from sip:bob: an address is written name@domain\n")
    );
    house.write("policy.toml", "x = 1");
    assert_eq!(test("sip:a@contoso.example", "xmpp:b@c.example", &[]).code, 78);
}

#[test]
fn a_command_line_that_is_wrong_is_2() {
    for wrong in [
        &[][..],
        &["dance"],
        &["check", "weather"],
        &["status", "--colour"],
        &["policy"],
        &["policy", "test", "--from", "sip:a@b.example"],
        &["run", "-c"],
    ] {
        let ran = stoxd(wrong);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{wrong:?}");
        assert!(ran.err.contains("--help"), "{wrong:?}: {}", ran.err);
    }
    let ran = stoxd(&["--version"]);
    assert_eq!((ran.code, ran.out), (0, format!("stoxd {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn output_that_can_not_be_written_is_1_and_says_so() {
    let house = house(POLICY);
    let ask = ["policy", "test", "--from", "sip:alice@contoso.example", "--to", "xmpp:r@fabrikam.example"];
    let config = house.path("stoxd.toml").into_os_string().into_string().unwrap();
    let verbs = [
        vec!["--help"],
        vec!["--version"],
        vec!["check", "-c", &config],
        [&ask[..], &["-c", &config]].concat(),
    ];
    for verb in verbs {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stoxd"));
        let done = command.args(&verb).stdout(full).output().unwrap();
        let err = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{verb:?}: {err}");
        assert!(err.contains("can't write the output: No space left on device"), "{verb:?}: {err}");
    }
}

#[test]
fn an_error_that_nobody_can_hear_leaves_the_exit_code() {
    let house = house(POLICY);
    let (none, file) = (house.path("none.toml"), house.path("stoxd.toml"));
    let (none, file) = (none.to_str().unwrap(), file.to_str().unwrap());
    for (words, code) in [
        (vec!["frob"], 2),
        (vec!["run", "-c", none], 78),
        (vec!["status", "-c", none], 78),
        (vec!["status", "-c", file], 4),
        (vec!["subscriptions", "-c", file, "--user", "nobody"], 2),
        (vec!["sessions", "-c", file, "--user", "nobody"], 2),
        (vec!["subscriptions", "remove", "-c", file, "--watcher", "a@b", "--presentity", "c@d"], 2),
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stoxd"));
        command.args(&words).stdin(std::process::Stdio::null()).stderr(full);
        assert_eq!(command.status().unwrap().code(), Some(code), "{words:?}");
    }
}

#[test]
fn without_a_daemon_what_asks_it_is_4() {
    let house = house(POLICY);
    let socket = house.path("admin.sock");
    let said = "error: no answer from the daemon at DIR: No such file or directory (os error 2)\n  \
                is it running? systemctl status stoxd\n";
    for verb in ["status", "reload", "subscriptions", "sessions"] {
        let ran = house.stoxd(&[verb]);
        assert_eq!(
            (ran.code, ran.out.as_str(), without(&ran.err, &socket).as_str()),
            (4, "", said),
            "{verb}"
        );
    }
    // A mistake in the files does not keep anybody from asking what runs.
    house.write("policy.toml", "x = ");
    house.edit("name = \"gw.contoso.example\"", "nmae = 1");
    assert_eq!(house.stoxd(&["status"]).code, 4);
    let ran = stoxd(&["status", "-c", "/nonexistent/stoxd.toml"]);
    assert_eq!((ran.code, ran.out.as_str()), (78, ""));
    assert!(ran.err.contains("can't read /nonexistent/stoxd.toml"), "{}", ran.err);
}

#[test]
fn a_user_that_is_no_address_is_2_before_anybody_is_asked() {
    let house = house(POLICY);
    for (user, why) in [
        ("alice", "an address is written name@domain"),
        ("contoso.example", "an address is written name@domain"),
        ("@contoso.example", "an address is written name@domain"),
        ("tel:+15550100", "an address starts with sip: or xmpp:"),
        ("alice@con toso.example", "not a domain"),
    ] {
        let ran = house.stoxd(&["subscriptions", "--user", user]);
        let said = format!("error: --user {user}: {why}\n");
        assert_eq!((ran.code, ran.out.as_str(), ran.err), (2, "", said));
    }
    for user in ["alice@contoso.example", "sip:alice@contoso.example", "xmpp:romeo@fabrikam.example/orchard"]
    {
        assert_eq!(house.stoxd(&["subscriptions", "--user", user]).code, 4, "{user}");
    }
}

/// Every `stoxd VERB` in `text` that is a command.
fn verbs(text: &str) -> Vec<&str> {
    let after = text.split("stoxd ").skip(1);
    after
        .map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && c != '-').next().unwrap_or_default())
        .filter(|verb| !verb.is_empty())
        .collect()
}

#[test]
fn no_output_and_no_sample_names_a_verb_that_is_not_there() {
    let off = house(&POLICY.replace("enabled = true", "enabled = false"));
    let mut said: Vec<String> =
        [("sip:bob@contoso.example", "xmpp:a@x.example"), ("xmpp:a@x.example", "sip:b@contoso.example")]
            .iter()
            .map(|(from, to)| off.stoxd(&["policy", "test", "--from", from, "--to", to]).out)
            .collect();
    assert!(said.iter().all(|text| text.contains("stoxd federation enable")), "{said:?}");
    said.push(stoxd(&["--help"]).out);
    said.push(include_str!("../../config/stoxd.toml").to_owned());
    said.push(include_str!("../../config/policy.toml").to_owned());
    said.push(include_str!("../../config/stoxd.service").to_owned());
    let mut verbs: Vec<&str> = said.iter().flat_map(|text| verbs(text)).collect();
    verbs.sort_unstable();
    verbs.dedup();
    assert!(verbs.contains(&"reload") && verbs.contains(&"status"), "{verbs:?}");
    for verb in verbs {
        assert_eq!(stoxd(&[verb, "--help"]).code, 0, "stoxd {verb}");
    }
}
