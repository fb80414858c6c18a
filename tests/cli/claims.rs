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
