//! What the contract with administrators says of all verbs, and of names as they are written.

use super::policies::{done, house, refused};
use super::rig::{POLICY, stoxd};

/// What neither reads nor changes a configuration or a daemon's state.
const NEITHER: [&str; 4] = ["run", "completions", "man", "config export"];

/// Every verb, as it is written.
fn verbs(of: &[&str]) -> Vec<String> {
    let help = stoxd(&[of, &["--help"]].concat()).out;
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return vec![of.join(" ")] };
    let list = list.split("\n\n").next().unwrap();
    let names = list.lines().filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let mut all: Vec<String> =
        names.flat_map(|line| verbs(&[of, &[line.split(' ').next().unwrap()]].concat())).collect();
    if help.contains("\n       stoxd ") {
        all.push(of.join(" "));
    }
    all
}

#[test]
fn every_verb_that_reads_has_json_and_every_verb_that_changes_has_what_if() {
    let all = verbs(&[]);
    assert!(all.len() > 50 && all.iter().any(|verb| verb == "subscriptions"), "{all:?}");
    for verb in all {
        let help = stoxd(&[&verb.split(' ').collect::<Vec<_>>()[..], &["--help"]].concat()).out;
        let has =
            |option: &str| help.contains(&format!("--{option}\n")) || help.contains(&format!("--{option} "));
        assert!(has("json") || has("what-if") || NEITHER.contains(&&*verb), "{verb}\n{help}");
        assert!(!has("staged") || has("what-if"), "{verb}");
    }
}

#[test]
fn names_count_however_they_are_written() {
    let house = house(POLICY);
    done(&house, &["partner", "new", "xn--bcher-kva.example", "--add-domain", "Bücher.com"]);
    refused(&house, &["partner", "new", "BÜCHER.example"], 1, "is a partner already");
    for name in
        ["bücher.example", "BÜCHER.Example", "xn--bcher-kva.example", "bücher.example.", "xn--bcher-kva.com"]
    {
        assert!(
            done(&house, &["partner", "show", name]).out.contains("\nadditional_domains bücher.com\n"),
            "{name}"
        );
    }
    done(&house, &["partner", "set", "bücher.example", "--remove-domain", "xn--bcher-kva.com", "--yes"]);
    done(&house, &["partner", "rm", "BÜCHER.example", "--yes"]);
    done(&house, &["block", "*.böse.example"]);
    refused(&house, &["block", "*.xn--bse-sna.example"], 1, "is blocked already");
    done(&house, &["unblock", "*.XN--bse-sna.example", "--yes"]);
    assert_eq!(house.read("policy.toml"), POLICY);

    // So do those of policies, of which no two differ in case alone.
    assert!(done(&house, &["policy", "show", "SALES"]).out.starts_with("policy       Sales\n"));
    done(&house, &["policy", "grant", "sales", "--to", "sip:carol@contoso.example"]);
    assert!(house.read("policy.toml").contains("user = \"sip:carol@contoso.example\"\npolicy = \"Sales\"\n"));
}

#[test]
fn a_name_that_is_misspelt_gets_the_one_that_was_meant() {
    let house = house(POLICY);
    for (words, meant) in [
        (
            &["policy", "show", "Salse"][..],
            "there is no policy Salse: stoxd policy list names them; did you mean Sales?",
        ),
        (&["policy", "set", "Salse", "--xmpp", "on"], "did you mean Sales?"),
        (&["policy", "rm", "Salse", "--yes"], "did you mean Sales?"),
        (&["policy", "grant", "Salse", "--to", "sip:bob@contoso.example"], "or did you mean Sales?"),
        (&["partner", "show", "fabrikan.example"], "did you mean fabrikam.example?"),
        (&["partner", "rm", "fabrikan.example"], "did you mean fabrikam.example?"),
        (&["site", "set", "Redmon", "--add-member", "x@contoso.example"], "did you mean Redmond?"),
    ] {
        refused(&house, words, 1, meant);
    }
}

#[test]
fn the_global_policy_is_reset_by_that_word_and_no_other_policy_is() {
    let house = house(POLICY);
    done(&house, &["policy", "set", "global", "--federation", "on", "--xmpp", "on"]);
    refused(&house, &["policy", "reset", "global"], 2, "nobody is there to be asked");
    refused(&house, &["policy", "reset", "Sales", "--yes"], 2, "only the global policy is reset");
    done(&house, &["policy", "reset", "global", "--yes"]);
    assert!(done(&house, &["policy", "list"]).out.contains("\nGlobal        no          no "));
}

#[test]
fn a_list_of_policies_says_that_the_switch_is_off() {
    let house = house(POLICY);
    assert!(!done(&house, &["policy", "list"]).out.contains("federation is disabled"));
    done(&house, &["federation", "disable"]);
    assert!(
        done(&house, &["policy", "list"])
            .out
            .ends_with("\nfederation is disabled, so nothing crosses: stoxd federation enable\n")
    );
    let value: serde_json::Value =
        serde_json::from_str(&done(&house, &["policy", "list", "--json"]).out).unwrap();
    assert_eq!(value["federation_enabled"], false);
}

#[test]
fn a_policy_is_shown_with_whom_it_is_granted_to() {
    let house = house(&format!("{POLICY}[grants]\nfile = \"grants.csv\"\n"));
    let many: String = (0..30).map(|n| format!("sip:u{n}@contoso.example,Sales\n")).collect();
    house.write("grants.csv", &many);
    done(&house, &["policy", "grant", "Sales", "--to", "sip:*@contoso.example"]);
    let out = done(&house, &["policy", "show", "Sales"]).out;
    let shown: Vec<&str> = out.lines().filter(|line| line.starts_with("granted to   ")).collect();
    assert_eq!(shown.len(), 20, "{out}");
    assert_eq!(shown[0], "granted to   sip:alice@contoso.example  policy.toml:11", "{out}");
    assert_eq!(shown[1], "granted to   sip:*@contoso.example  policy.toml:15", "{out}");
    assert_eq!(shown[2], "granted to   sip:u0@contoso.example  grants.csv:1", "{out}");
    assert!(out.ends_with("and 12 more: --json shows 1000\n"), "{out}");
    let out = done(&house, &["policy", "show", "Sales", "--json"]).out;
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((value["grants"].as_u64(), value["granted_to"].as_array().unwrap().len()), (Some(32), 32));
    assert_eq!(value["granted_to"][31]["user"], "sip:u29@contoso.example");
}

#[test]
fn a_change_that_is_refused_names_what_refuses_it_and_no_old_warnings() {
    let house = house(POLICY);
    let ran = done(&house, &["policy", "grant", "Sales", "--to", "sip:x@elsewhere.example"]);
    assert!(ran.out.contains("warning: \"elsewhere.example\" is not served here"), "{}", ran.out);
    let ran = house.stoxd(&["partner", "new", "contoso.example"]);
    let start = "error: the change is refused, nothing was changed\nerror: \"contoso.example\" is a [[domain]] of ours\n";
    assert!(ran.code == 3 && ran.err.starts_with(start) && !ran.err.contains("warning"), "{ran:?}");
}

#[test]
fn what_is_no_file_is_neither_waited_for_nor_read_to_no_end() {
    let house = house(POLICY);
    std::fs::remove_file(house.path("policy.toml")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", house.path("policy.toml")).unwrap();
    for words in [&["policy", "new", "X"][..], &["policy", "list"], &["federation", "disable"]] {
        let ran = house.stoxd(words);
        assert!(ran.code != 0 && ran.err.contains("it is not a file"), "{words:?}: {ran:?}");
    }
}

#[test]
fn a_setting_of_a_peer_is_reached_by_its_name() {
    let house = house(POLICY);
    done(&house, &["config", "set", "sip.peer.edge.im", "pager"]);
    assert!(house.read("stoxd.toml").contains("domains = [\"contoso.example\"]\nim = \"pager\"\n"));
    refused(&house, &["config", "set", "sip.peer.egde.im", "pager"], 1, "did you mean edge?");
    refused(&house, &["config", "set", "sip.peer.im", "pager"], 1, "say which one, sip.peer.NAME.KEY");
}

#[test]
fn an_import_says_which_files_it_would_replace() {
    let (house, other) = (house(POLICY), house("[federation]\nenabled = true\n"));
    let elsewhere = other.path("policy.toml");
    house.write(
        "stoxd.toml",
        &house.read("stoxd.toml").replacen(
            "[gateway]\n",
            &format!("[gateway]\npolicy = \"{}\"\n", elsewhere.display()),
            1,
        ),
    );
    let bundle = house.path("bundle.toml");
    done(&house, &["config", "export", bundle.to_str().unwrap()]);
    // On another machine the export leads out of the folder: nobody agrees to that unseen.
    let third = super::policies::house(POLICY);
    refused(&third, &["config", "import", bundle.to_str().unwrap()], 2, "nobody is there to be asked");
    let said = done(&third, &["config", "import", bundle.to_str().unwrap(), "--what-if"]).out;
    let first = said.lines().next().unwrap();
    assert!(first.contains(third.path("stoxd.toml").to_str().unwrap()), "{first}");
    assert!(first.contains(elsewhere.to_str().unwrap()), "{first}");
}

#[test]
fn a_yes_in_a_file_is_told_that_it_is_true() {
    let house = house("[federation]\nenabled = yes\n");
    let ran = house.stoxd(&["check", "config"]);
    let said =
        "error: bad value\n --> policy.toml:2:11\n2 | enabled = yes\n  |           ^^^ write true or false\n";
    assert!(ran.code == 78 && (ran.out + &ran.err).contains(said));
}

#[test]
fn whoever_is_killed_between_two_files_leaves_files_that_fit() {
    let untested = POLICY.split("[[test]]").next().unwrap();
    let house = house(&format!("{untested}[grants]\nfile = \"grants.csv\"\n"));
    house.write("grants.csv", "sip:u1@contoso.example,Sales\nsip:u2@contoso.example,Sales\n");
    let before = ["policy.toml", "grants.csv"].map(|file| house.read(file));
    let first = |house: &super::rig::House| {
        let out = done(house, &["policy", "history", "--json"]).out;
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        value["changes"][0]["files"][0].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    };
    done(&house, &["policy", "rm", "Sales", "--yes"]);
    assert_eq!(first(&house), "grants.csv");
    let after = ["policy.toml", "grants.csv"].map(|file| house.read(file));
    house.write("policy.toml", &before[0]);
    done(&house, &["check", "config"]);
    house.write("policy.toml", &after[0]);
    done(&house, &["policy", "rollback", "--yes"]);
    assert_eq!(first(&house), "policy.toml");
    house.write("grants.csv", &after[1]);
    done(&house, &["check", "config"]);
}

#[test]
fn where_there_is_no_file_it_is_said_what_names_another() {
    let house = house(POLICY);
    std::fs::remove_file(house.path("stoxd.toml")).unwrap();
    let verbs =
        ["policy list", "policy new X", "config set xmpp.connection_limit 5", "status", "run", "cert list"];
    for verb in verbs {
        let ran = house.stoxd(&verb.split(' ').collect::<Vec<_>>());
        let said = "--> stoxd.toml: there is no such file: -c FILE names another\n";
        assert!(ran.code != 0 && ran.err.contains(said), "{verb}: {ran:?}");
        assert!(!house.path("stoxd.toml").exists(), "{verb}");
    }
}
