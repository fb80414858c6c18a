//! What all changes share: dry runs, staging, history, two administrators, the running daemon.

use super::policies::{done, house, refused};
use super::rig::{House, POLICY, run, stoxd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};

/// A verb of each kind that changes something.
const CHANGES: &[&[&str]] = &[
    &["policy", "new", "New", "--federation", "on"],
    &["policy", "set", "global", "--federation", "on"],
    &["policy", "rm", "Sales"],
    &["policy", "grant", "Sales", "--to", "sip:bob@contoso.example"],
    &["policy", "revoke", "--from", "sip:alice@contoso.example"],
    &["site", "new", "Branch", "--member", "b*@contoso.example"],
    &["site", "set", "Redmond", "--add-member", "*@x.example"],
    &["site", "rm", "Redmond"],
    &["partner", "new", "tailspin.example"],
    &["partner", "set", "fabrikam.example", "--tls", "optional"],
    &["partner", "rm", "fabrikam.example"],
    &["federation", "disable"],
    &["block", "evil.example"],
    &["unblock", "worse.example"],
    &["site", "set", "Redmond", "--remove-member", "*@contoso.example"],
    &["partner", "set", "fabrikam.example", "--add-domain", "x.example", "--dialback", "off"],
    &["config", "set", "sip.peer.edge.im", "pager"],
    &["config", "set", "xmpp.connection_limit", "1200"],
];

fn untested() -> String {
    POLICY.split("[[test]]").next().unwrap().to_owned()
}

#[test]
fn f105_a_dry_run_of_every_change_changes_nothing() {
    let house = house(&(untested() + "[[blocked]]\ndomain = \"worse.example\"\n"));
    let before = (house.read("policy.toml"), house.read("stoxd.toml"));
    for words in CHANGES {
        let ran = done(&house, &[words, &["--what-if"][..]].concat());
        assert!(ran.out.contains("\n+ ") || ran.out.contains("\n- "), "{words:?}: {}", ran.out);
        assert!(ran.out.ends_with("nothing was changed\n"), "{words:?}: {}", ran.out);
        assert_eq!((house.read("policy.toml"), house.read("stoxd.toml")), before, "{words:?}");
    }
    let names: Vec<_> = std::fs::read_dir(house.path("")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "and leaves nothing behind: {names:?}");
}

#[test]
fn f009_f106_staged_edits_wait_for_the_commit_and_can_be_thrown_away() {
    let house = house(POLICY);
    let before = house.read("policy.toml");
    // Alone, the first of the two is invalid.
    let ran = done(&house, &["partner", "set", "fabrikam.example", "--tls", "not-supported", "--staged"]);
    assert!(
        ran.out.contains("not valid yet:\nerror: invalid negotiation: SASL EXTERNAL needs TLS"),
        "{}",
        ran.out
    );
    assert_eq!(house.path("staged.json").metadata().unwrap().mode() & 0o777, 0o600);
    refused(&house, &["commit"], 3, "SASL EXTERNAL needs TLS");
    done(&house, &["partner", "set", "fabrikam.example", "--sasl", "not-supported", "--staged"]);
    assert_eq!(house.read("policy.toml"), before);
    assert!(done(&house, &["partner", "list"]).out.contains("required"));
    let ran = done(&house, &["commit", "--what-if"]);
    assert!(
        ran.out.starts_with("partner set fabrikam.example\npartner set fabrikam.example\n"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("+ tls = \"not-supported\"\n+ sasl = \"not-supported\"\n"), "{}", ran.out);
    done(&house, &["commit"]);
    assert!(done(&house, &["partner", "list"]).out.contains("not-supported  not-supported"));
    refused(&house, &["commit"], 1, "nothing is staged");
    done(&house, &["partner", "new", "tailspin.example", "--staged"]);
    refused(&house, &["commit", "--discard"], 2, "nobody is there to be asked");
    done(&house, &["commit", "--discard", "--yes"]);
    refused(&house, &["commit"], 1, "nothing is staged");
    done(&house, &["partner", "new", "tailspin.example", "--staged"]);
    done(&house, &["partner", "new", "northwind.example"]);
    refused(&house, &["commit"], 1, "was changed by somebody else");
}

#[test]
fn a_failing_policy_test_and_a_broken_file_refuse_the_change() {
    let house = house(POLICY);
    refused(
        &house,
        &["policy", "revoke", "--from", "sip:alice@contoso.example", "--yes"],
        3,
        "error: policy test failed",
    );
    refused(&house, &["partner", "rm", "fabrikam.example", "--yes"], 3, "error: policy test failed");
    house.write("policy.toml", "[federation\nenabled = true\n");
    refused(&house, &["federation", "disable"], 78, "the file can't be edited as it is\nerror: ");
}

#[test]
fn history_says_who_changed_what_and_rollback_takes_it_back() {
    let house = house(&untested());
    let before = house.read("policy.toml");
    done(&house, &["partner", "new", "one.example"]);
    let between = house.read("policy.toml");
    done(&house, &["config", "set", "xmpp.connection_limit", "1200"]);
    done(&house, &["partner", "new", "two.example"]);
    let listed = done(&house, &["policy", "history"]).out;
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].starts_with("CHANGE  DATE "), "{listed}");
    assert!(lines[1].starts_with("3       20") && lines[1].ends_with("partner new two.example"), "{listed}");
    refused(&house, &["policy", "rollback"], 2, "nobody is there to be asked");
    done(&house, &["policy", "rollback", "--yes"]);
    assert_eq!(house.read("policy.toml"), between);
    refused(&house, &["policy", "rollback", "1"], 2, "nobody is there to be asked");
    let ran = done(&house, &["policy", "rollback", "1", "--what-if"]);
    assert!(ran.out.contains("- domain = \"one.example\"\n"), "{}", ran.out);
    done(&house, &["policy", "rollback", "1", "--yes"]);
    assert_eq!(house.read("policy.toml"), before);
    assert!(house.read("stoxd.toml").contains("1200"), "the daemon's file is not the policy");
    refused(&house, &["policy", "rollback", "2"], 1, "change 2 is none of the policy");
    refused(&house, &["policy", "rollback", "77"], 1, "there is no change 77");
    let ran = done(&house, &["policy", "history", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(value["changes"].as_array().unwrap().len(), 5);
}

#[test]
fn history_says_what_changed_in_few_words() {
    let house = house(&untested());
    done(&house, &["config", "set", "xmpp.connection_limit", "1200"]);
    done(&house, &["partner", "set", "fabrikam.example", "--tls", "optional", "--sasl", "optional"]);
    let domains: Vec<String> = (0..300).map(|n| format!("d{n}.example")).collect();
    let words = ["partner", "new", "one.example", "--add-domain", &domains.join(",")];
    done(&house, &words);
    done(&house, &["policy", "set", "Sales", "--xmpp", "off", "--staged"]);
    for n in 0..30 {
        done(&house, &["block", &format!("evil{n}.example"), "--staged"]);
    }
    done(&house, &["commit"]);
    let listed = done(&house, &["policy", "history"]).out;
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(
        lines[2..6],
        [
            "        policy Sales: xmpp true → false",
            "        blocked evil0.example added",
            "        blocked evil1.example added",
            "        and 28 more"
        ],
        "{listed}"
    );
    assert!(
        lines[7].starts_with("        partner one.example added: additional_domains [d0.example, "),
        "{listed}"
    );
    assert_eq!(
        lines[9..11],
        [
            "        partner fabrikam.example: tls default → optional",
            "        partner fabrikam.example: sasl default → optional"
        ]
    );
    assert_eq!(lines[12..], ["        xmpp.connection_limit default → 1200"]);
    assert!(lines.iter().all(|line| line.chars().count() < 150), "{listed}");
    let json = done(&house, &["policy", "history", "--json"]).out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let last = &json["changes"][0];
    assert_eq!((last["changed"].as_array().unwrap().len(), last["more"].as_u64()), (20, Some(11)));
    assert_eq!(json["changes"][3]["changed"], serde_json::json!(["xmpp.connection_limit default → 1200"]));
}

#[test]
fn a_value_of_lines_and_escapes_is_one_line_of_history() {
    let house = house(&untested());
    done(&house, &["block", "evil.example", "--description", "a\u{1b}[31m\n1  never\u{202e}"]);
    let listed = done(&house, &["policy", "history"]).out;
    let fact = listed.lines().nth(2).unwrap();
    let shown = "        blocked evil.example added: description a\u{fffd}[31m\u{fffd}1  never\u{fffd}";
    assert_eq!((fact, listed.lines().count()), (shown, 3), "{listed}");
}

#[test]
fn of_administrators_at_the_same_time_nobody_loses_a_change() {
    let house = house(&untested());
    let config = house.path("stoxd.toml");
    let all: Vec<_> = (0..8)
        .map(|n| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_stoxd"));
            command.args(["partner", "new", &format!("p{n}.example"), "-c"]).arg(&config);
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut made = 0;
    for child in all {
        let done = child.wait_with_output().unwrap();
        let err = String::from_utf8(done.stderr).unwrap();
        match done.status.code() {
            Some(0) => made += 1,
            Some(1) => assert!(err.contains("nothing was changed, try again"), "{err}"),
            other => panic!("{other:?}: {err}"),
        }
    }
    assert!(made >= 1);
    assert_eq!(
        house.read("policy.toml").matches("[[partner]]").count(),
        made + 1,
        "each that was told so is there"
    );
}

#[test]
fn mode_and_link_of_the_file_are_kept() {
    let house = house(&untested());
    house.chmod("policy.toml", 0o640);
    std::fs::rename(house.path("policy.toml"), house.path("real.toml")).unwrap();
    std::os::unix::fs::symlink("real.toml", house.path("policy.toml")).unwrap();
    done(&house, &["federation", "disable"]);
    assert!(std::fs::symlink_metadata(house.path("policy.toml")).unwrap().is_symlink());
    assert_eq!(house.path("real.toml").metadata().unwrap().permissions().mode() & 0o777, 0o640);
    let kept = house.path("revisions").metadata().unwrap();
    assert_eq!((kept.mode() & 0o777, house.read("policy.toml").contains("enabled = false")), (0o700, true));
}

#[test]
fn f107_what_runs_and_what_is_stored_are_shown_apart() {
    let Some(house) = House::new(POLICY) else { return };
    assert_eq!(house.stoxd(&["config", "show", "--running"]).code, 4);
    let _daemon = house.start();
    house.write("policy.toml", &POLICY.replace("fabrikam.example", "tailspin.example"));
    let running = done(&house, &["config", "show", "--running"]).out;
    let stored = done(&house, &["config", "show"]).out;
    assert!(running.contains("fabrikam.example") && !running.contains("tailspin.example"), "{running}");
    assert!(
        stored.starts_with("### stoxd.toml\n[gateway]\n") && stored.contains("\n### policy.toml\n"),
        "{stored}"
    );
    assert!(stored.contains("tailspin.example"), "{stored}");
    done(&house, &["reload"]);
    assert_eq!(done(&house, &["config", "show", "--running"]).out, stored);
    let json = done(&house, &["config", "show", "--stored", "--json"]).out;
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["policy.toml"]["partner"][0]["domain"], "tailspin.example");
}

#[test]
fn f118_an_export_makes_the_same_gateway_elsewhere() {
    let first = house(&(untested() + "[grants]\nfile = \"grants.csv\"\n# The end.\n"));
    first.write("grants.csv", "sip:carol@contoso.example,Sales\n");
    let to = first.path("all.toml").into_os_string().into_string().unwrap();
    done(&first, &["config", "export", &to]);
    refused(&first, &["config", "export", &to], 1, "File exists");
    let second = House::bare("");
    std::fs::remove_file(second.path("policy.toml")).unwrap();
    let ran = done(&second, &["config", "import", &to, "--yes"]);
    assert!(ran.out.contains("+ sip:carol@contoso.example,Sales\n"), "{}", ran.out);
    for file in ["stoxd.toml", "policy.toml", "grants.csv"] {
        assert_eq!(first.read(file), second.read(file), "{file}");
        // The daemon runs as a user of its own.
        assert_eq!(second.path(file).metadata().unwrap().mode() & 0o777, 0o644, "{file}");
    }
    refused(&second, &["config", "import", &to], 2, "nobody is there to be asked");
    second.write("none.toml", "x = 1\n");
    let none = second.path("none.toml").into_os_string().into_string().unwrap();
    refused(&second, &["config", "import", &none, "--yes"], 1, "nothing that config export wrote");
}

#[test]
fn walk_15_a_setting_is_taken_without_a_restart_and_its_range_holds() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    let ran = done(&house, &["config", "set", "xmpp.connection_limit", "1200"]);
    assert!(ran.out.ends_with("loaded: 3 policies, 1 grant, 1/1 policy tests\n"), "{}", ran.out);
    assert!(done(&house, &["config", "show", "--running"]).out.contains("connection_limit = 1200"));
    refused(&house, &["config", "set", "xmpp.connection_limit", "0"], 3, "is out of range");
    refused(&house, &["config", "set", "xmpp.conection_limit", "7"], 3, "did you mean \"connection_limit\"?");
    let ran = done(&house, &["config", "set", "log.level", "info"]);
    assert!(ran.out.ends_with("these wait for a restart: [log]\n"), "{}", ran.out);
}

#[test]
fn a_change_that_the_running_daemon_refuses_is_taken_back() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    house.write("other.pem", "no certificate\n");
    let before = house.read("stoxd.toml");
    refused(
        &house,
        &["config", "set", "tls.trust", "other.pem"],
        3,
        "the daemon refuses the change, nothing was changed",
    );
    assert_eq!(house.read("stoxd.toml"), before);
    assert!(done(&house, &["policy", "history"]).out.starts_with("no change"));
    assert!(house.welcomes("fabrikam.example"));
}

#[test]
fn a_daemon_that_runs_is_told_that_its_socket_will_be_another() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    let ran = done(&house, &["config", "set", "admin.socket", "other.sock"]);
    assert!(ran.out.contains("these wait for a restart: [admin] socket"), "{}", ran.out);
    let ran = done(&house, &["config", "set", "admin.socket", "admin.sock"]);
    assert!(ran.out.contains("loaded: "), "{}", ran.out);
}

#[test]
fn f026_f115_a_partner_that_is_removed_is_refused_at_once_without_a_restart() {
    let Some(house) = House::new(&untested()) else { return };
    let _daemon = house.start();
    let (mut stream, answer) = house.greet("fabrikam.example", "contoso.example");
    assert!(answer.contains("<stream:features>"), "{answer}");
    done(&house, &["partner", "rm", "fabrikam.example", "--yes"]);
    let end = super::rig::read_until(&mut stream, "</stream:stream>");
    assert!(end.contains("policy-violation"), "{end}");
    assert!(!house.welcomes("fabrikam.example"));
    done(&house, &["partner", "new", "fabrikam.example"]);
    assert!(house.welcomes("fabrikam.example"));
}

#[test]
fn completions_and_man_pages_come_out_of_the_same_definitions() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = stoxd(&["completions", shell]);
        assert!(ran.code == 0 && ran.out.contains("rollback") && ran.out.contains("what-if"), "{shell}");
    }
    let ran = stoxd(&["man"]);
    assert!(ran.code == 0 && ran.out.contains(".TH stoxd 1"), "{}", ran.out);
    let house = House::bare("");
    let folder = house.path("man").into_os_string().into_string().unwrap();
    let ran = stoxd(&["man", &folder]);
    assert!(ran.code == 0 && ran.out.ends_with(&format!(" pages in {folder}\n")), "{ran:?}");
    if !super::rig::has("man", &["--version"]) {
        return;
    }
    for page in std::fs::read_dir(house.path("man")).unwrap() {
        let page = page.unwrap().path();
        let mut command = Command::new("man");
        let ran = run(command
            .args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8"])
            .arg(&page)
            .env("MANWIDTH", "100"));
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", page.display());
    }
}

#[test]
fn a_change_and_its_opposite_leave_the_sample_with_all_its_comments() {
    let sample = include_str!("../../config/policy.toml");
    let house = house(sample);
    let pairs: &[[&[&str]; 2]] = &[
        [&["policy", "new", "New", "--xmpp", "on"], &["policy", "rm", "New", "--yes"]],
        [
            &["policy", "grant", "Sales", "--to", "sip:carol@contoso.example", "sip:d*@contoso.example"],
            &["policy", "revoke", "--from", "sip:carol@contoso.example", "sip:d*@contoso.example", "--yes"],
        ],
        [&["site", "new", "Branch", "--member", "b*@contoso.example"], &["site", "rm", "Branch", "--yes"]],
        [
            &["site", "set", "Redmond", "--add-member", "x@y.example"],
            &["site", "set", "Redmond", "--remove-member", "x@y.example", "--yes"],
        ],
        [&["partner", "new", "tailspin.example"], &["partner", "rm", "tailspin.example", "--yes"]],
        [
            &["partner", "set", "fabrikam.example", "--tls", "optional", "--add-domain", "x.example"],
            &[
                "partner",
                "set",
                "fabrikam.example",
                "--unset",
                "tls",
                "--yes",
                "--remove-domain",
                "x.example",
            ],
        ],
        [&["federation", "disable"], &["federation", "enable"]],
        [&["block", "*.evil.example"], &["unblock", "*.evil.example", "--yes"]],
    ];
    for [change, opposite] in pairs {
        done(&house, change);
        assert_ne!(house.read("policy.toml"), sample, "{change:?}");
        done(&house, opposite);
        assert_eq!(house.read("policy.toml"), sample, "{change:?} {opposite:?}");
    }
}

#[test]
fn f011_who_sits_at_a_terminal_is_asked_and_a_no_changes_nothing() {
    if !super::rig::has("script", &["--version"]) {
        return;
    }
    let house = house(&untested());
    let line = format!(
        "{} policy rm site:Redmond -c {}",
        env!("CARGO_BIN_EXE_stoxd"),
        house.path("stoxd.toml").display()
    );
    let answer = |answer: &str| {
        let mut command = Command::new("script");
        command.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), answer.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    let before = house.read("policy.toml");
    let (code, said) = answer("n\n");
    assert!(said.contains("Policy site:Redmond will be gone. Remove it? [y/N] "), "{said}");
    assert_eq!((code, house.read("policy.toml")), (Some(2), before.clone()), "{said}");
    let (code, said) = answer("y\n");
    assert_eq!((code, house.read("policy.toml").contains("scope = \"site\"")), (Some(0), false), "{said}");
    assert_eq!(
        before.replace("[[policy]]\nscope = \"site\"\nsite = \"Redmond\"\nfederation = true\n", ""),
        house.read("policy.toml")
    );
}
