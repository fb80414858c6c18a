//! Policies, sites and grants by verbs: what the file says afterwards, and what a user may do.

use super::rig::{House, Ran};

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

/// A table with the switch on, a partner, and nothing granted.
const TABLE: &str = r#"# Who may talk to whom.
[federation]
enabled = true

# Our one partner.
[[partner]]
domain = "fabrikam.example" # since May
type = "federated"
"#;

pub fn house(policy: &str) -> House {
    let house = House::bare(policy);
    house.write("stoxd.toml", DAEMON);
    house
}

/// Runs a verb that has to come out well.
pub fn done(house: &House, words: &[&str]) -> Ran {
    let ran = house.stoxd(words);
    assert_eq!(ran.code, 0, "{words:?}: {ran:?}");
    ran
}

/// Runs a verb that is refused with `code`, says `why` and changes nothing.
pub fn refused(house: &House, words: &[&str], code: i32, why: &str) {
    let files = ["policy.toml", "stoxd.toml", "grants.csv", "staged.json"];
    let before = files.map(|file| house.read(file));
    let ran = house.stoxd(words);
    assert_eq!(ran.code, code, "{words:?}: {ran:?}");
    assert!(ran.err.contains(why), "{words:?}: {ran:?}");
    assert_eq!(files.map(|file| house.read(file)), before, "{words:?}");
}

/// Whether a message of `user` to the partner may cross.
fn may(house: &House, user: &str) -> bool {
    let from = format!("sip:{user}@contoso.example");
    let ran = house.stoxd(&["policy", "test", "--from", &from, "--to", "xmpp:romeo@fabrikam.example"]);
    assert!(ran.code == 0 || ran.code == 3, "{ran:?}");
    let back = house.stoxd(&["policy", "test", "--from", "xmpp:romeo@fabrikam.example", "--to", &from]);
    assert_eq!(ran.code, back.code, "both directions alike");
    ran.code == 0
}

#[test]
fn f001_the_global_policy_is_there_with_everything_off() {
    let ran = done(&house(""), &["policy", "list"]);
    assert_eq!(
        ran.out,
        "POLICY  FEDERATION  XMPP  GRANTS  DESCRIPTION\nGlobal  no          no    -\n\
         federation is disabled, so nothing crosses: stoxd federation enable\n"
    );
    let ran = done(&house(""), &["policy", "list", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let global = &value["policies"][0];
    assert_eq!((&global["identity"], &global["federation"]), (&"Global".into(), &false.into()));
    assert!(done(&house(""), &["policy", "show", "global"]).out.ends_with("at           built in\n"));
}

#[test]
fn f002_global_policy_is_reset_not_deleted() {
    let house = house(TABLE);
    done(&house, &["policy", "set", "global", "--federation", "on", "--xmpp", "on"]);
    assert!(may(&house, "bob"));
    refused(&house, &["policy", "rm", "global"], 2, "nobody is there to be asked");
    let ran = done(&house, &["policy", "rm", "global", "--yes"]);
    assert!(ran.out.starts_with("policy Global has been reset"), "{}", ran.out);
    assert!(!may(&house, "bob"));
    assert!(done(&house, &["policy", "list"]).out.contains("\nGlobal  no          no "));
}

#[test]
fn f003_a_user_policy_has_its_name_and_description() {
    let house = house(TABLE);
    let new =
        ["policy", "new", "XmppUsers", "--description", "They may", "--federation", "on", "--xmpp", "on"];
    let ran = done(&house, &new);
    assert!(
        ran.out.starts_with("policy XmppUsers is made; it does nothing until it is granted"),
        "{}",
        ran.out
    );
    assert!(ran.out.contains("+ name = \"XmppUsers\"\n"), "{}", ran.out);
    assert!(ran.out.ends_with("the daemon does not run: it takes this at its next start\n"), "{}", ran.out);
    let listed = done(&house, &["policy", "list", "tag:*"]).out;
    assert!(listed.contains("XmppUsers  yes         yes   0       They may\n"), "{listed}");
    let text = house.read("policy.toml");
    assert!(text.starts_with(TABLE), "what was there is as it was: {text}");
}

#[test]
fn f004_a_site_policy_covers_its_site_without_a_grant() {
    let house = house(TABLE);
    refused(&house, &["policy", "new", "site:Redmond", "--federation", "on"], 1, "there is no site Redmond");
    done(&house, &["site", "new", "Redmond", "--member", "b*@contoso.example", "carol@contoso.example"]);
    done(&house, &["policy", "new", "site:Redmond", "--federation", "on", "--xmpp", "on"]);
    assert!(may(&house, "bob") && may(&house, "carol") && !may(&house, "alice"));
    let set = ["site", "set", "Redmond", "--add-member", "alice@contoso.example"];
    let set = [&set[..], &["--remove-member", "carol@contoso.example"]].concat();
    refused(&house, &set, 2, "nobody is there to be asked");
    done(&house, &[&set[..], &["--yes"]].concat());
    assert!(may(&house, "alice") && !may(&house, "carol"));
    let listed = done(&house, &["site", "list"]).out;
    assert!(
        listed.contains("Redmond  yes         yes   b*@contoso.example alice@contoso.example\n"),
        "{listed}"
    );
    refused(&house, &["site", "new", "REDMOND"], 1, "there is a site REDMOND already");
}

#[test]
fn f005_a_second_policy_for_a_site_is_refused() {
    let house = house(TABLE);
    done(&house, &["site", "new", "Redmond", "--member", "*@contoso.example"]);
    done(&house, &["policy", "new", "site:Redmond"]);
    refused(&house, &["policy", "new", "site:Redmond"], 1, "site Redmond has a policy already");
}

#[test]
fn f006_new_on_what_is_there_and_on_global_is_refused() {
    let house = house(TABLE);
    done(&house, &["policy", "new", "Sales"]);
    refused(&house, &["policy", "new", "sales"], 1, "there is a policy sales already");
    refused(&house, &["policy", "new", "tag:Sales"], 1, "already");
    refused(&house, &["policy", "new", "global"], 1, "the global policy is always there");
    refused(&house, &["policy", "set", "Nobody", "--xmpp", "on"], 1, "there is no policy Nobody");
}

#[test]
fn f007_f008_xmpp_without_federation_is_taken_with_a_warning_and_lets_nothing_through() {
    let house = house(TABLE);
    let ran = done(&house, &["policy", "set", "global", "--xmpp", "on"]);
    assert!(ran.out.contains("warning: \"xmpp\" counts only with \"federation\"\n"), "{}", ran.out);
    assert!(!may(&house, "bob"));
    let ran = done(&house, &["policy", "set", "global", "--description", "half"]);
    assert!(!ran.out.contains("warning:"), "only what is new is said: {}", ran.out);
    done(&house, &["policy", "set", "global", "--federation", "on"]);
    assert!(may(&house, "bob"));
}

#[test]
fn f010_one_switch_is_edited_and_the_rest_stays() {
    let house = house(&format!(
        "{TABLE}\n# All.\n[[policy]]\nscope = \"global\"\nfederation = true # yes\nxmpp = true\n"
    ));
    assert!(may(&house, "bob"));
    let ran = done(&house, &["policy", "set", "global", "--federation", "off"]);
    assert!(ran.out.contains("- federation = true # yes\n+ federation = false # yes\n"), "{}", ran.out);
    let after =
        format!("{TABLE}\n# All.\n[[policy]]\nscope = \"global\"\nfederation = false # yes\nxmpp = true\n");
    assert_eq!(house.read("policy.toml"), after);
    assert!(!may(&house, "bob"));
}

#[test]
fn f011_a_policy_is_removed_with_its_grants_and_users_fall_back() {
    let house = house(&format!("{TABLE}[grants]\nfile = \"grants.csv\"\n"));
    house.write("grants.csv", "# by hand\nsip:carol@contoso.example,Sales\nsip:dave@contoso.example,Other\n");
    house.write(
        "policy.toml",
        &(house.read("policy.toml") + "[[policy]]\nscope = \"user\"\nname = \"Other\"\n[[policy]]\nscope = \"user\"\nname = \"Sales\"\n"),
    );
    done(&house, &["policy", "set", "global", "--federation", "on", "--xmpp", "on"]);
    done(&house, &["policy", "grant", "Sales", "--to", "sip:bob@contoso.example"]);
    assert!(!may(&house, "bob") && !may(&house, "carol") && may(&house, "alice"));
    refused(&house, &["policy", "rm", "Sales"], 2, "nobody is there to be asked");
    let ran = done(&house, &["policy", "rm", "Sales", "--yes"]);
    assert!(ran.out.starts_with("policy Sales is removed, and 2 grants of it"), "{}", ran.out);
    assert!(may(&house, "bob") && may(&house, "carol") && !may(&house, "dave"));
    assert_eq!(house.read("grants.csv"), "# by hand\nsip:dave@contoso.example,Other\n");
    done(&house, &["site", "new", "Redmond", "--member", "*@contoso.example"]);
    done(&house, &["policy", "new", "site:Redmond"]);
    assert!(!may(&house, "bob"));
    done(&house, &["policy", "rm", "site:Redmond", "--yes"]);
    assert!(may(&house, "bob"));
    done(&house, &["site", "rm", "Redmond", "--yes"]);
    refused(&house, &["site", "rm", "Redmond", "--yes"], 1, "there is no site Redmond");
}

/// A user policy that lets XMPP through, granted to nobody.
fn sales() -> House {
    let house = house(TABLE);
    done(&house, &["policy", "new", "Sales", "--federation", "on", "--xmpp", "on"]);
    house
}

#[test]
fn f012_f015_a_user_policy_counts_for_whom_it_is_granted_and_for_nobody_else() {
    let house = sales();
    assert!(!may(&house, "alice"));
    done(&house, &["policy", "grant", "Sales", "--to", "sip:alice@contoso.example"]);
    assert!(may(&house, "alice") && !may(&house, "bob"));
    refused(
        &house,
        &["policy", "grant", "Salse", "--to", "sip:bob@contoso.example"],
        1,
        "no user policy Salse",
    );
    refused(&house, &["policy", "grant", "Sales", "--to", "bob"], 2, "--to bob: a user is written");
}

#[test]
fn what_policy_test_says_to_do_is_what_lets_it_through() {
    let house = house(&TABLE.replace("true", "false").replace("fabrikam", "tailspin"));
    let ask = ["policy", "test", "--from", "sip:bob@contoso.example", "--to", "xmpp:romeo@fabrikam.example"];
    let ran = house.stoxd(&ask);
    let verbs =
        ran.out.lines().filter_map(|line| line.split_once(": stoxd ").map(|(_, verb)| verb.to_owned()));
    let verbs: Vec<String> = verbs.collect();
    assert_eq!(verbs.len(), 4, "{}", ran.out);
    for verb in verbs {
        let words: Vec<&str> = verb.split('\'').enumerate().fold(Vec::new(), |mut words, (index, part)| {
            if index % 2 == 1 {
                words.push(part)
            } else {
                words.extend(part.split_whitespace())
            }
            words
        });
        done(&house, &words);
    }
    assert_eq!(house.stoxd(&ask).code, 0, "{}", house.read("policy.toml"));
}

#[test]
fn f013_a_pattern_is_granted_to_all_whom_it_covers() {
    let house = sales();
    done(
        &house,
        &["policy", "grant", "Sales", "--to", "sip:b*@contoso.example", "sip:carol@contoso.example"],
    );
    assert!(may(&house, "bob") && may(&house, "bill") && may(&house, "carol") && !may(&house, "alice"));
}

#[test]
fn f014_who_is_ungranted_has_the_policy_of_the_site_or_the_global_one() {
    let house = sales();
    done(
        &house,
        &["policy", "grant", "Sales", "--to", "sip:alice@contoso.example", "sip:b*@contoso.example"],
    );
    refused(
        &house,
        &["policy", "revoke", "--from", "sip:bob@contoso.example"],
        1,
        "no grant of sip:bob@contoso.example",
    );
    let alice = ["policy", "revoke", "--from", "SIP:Alice@Contoso.example"];
    refused(&house, &alice, 2, "nobody is there to be asked");
    done(&house, &[&alice[..], &["--yes"]].concat());
    assert!(!may(&house, "alice") && may(&house, "bob"));
    done(&house, &["policy", "grant", "Sales", "--to", "sip:bill@contoso.example"]);
    refused(
        &house,
        &["policy", "revoke", "--from", "sip:b*@contoso.example"],
        2,
        "nobody is there to be asked",
    );
    done(&house, &["policy", "revoke", "--from", "sip:b*@contoso.example", "--yes"]);
    assert!(!may(&house, "bob") && !may(&house, "bill"));
}

#[test]
fn f016_user_beats_site_beats_global_both_ways() {
    let house = house(TABLE);
    done(&house, &["site", "new", "Branch", "--member", "b*@contoso.example"]);
    done(&house, &["policy", "new", "Yes", "--federation", "on", "--xmpp", "on"]);
    done(&house, &["policy", "new", "No"]);
    done(&house, &["policy", "set", "global", "--federation", "on", "--xmpp", "on"]);
    done(&house, &["policy", "new", "site:Branch"]);
    done(&house, &["policy", "grant", "Yes", "--to", "sip:bill@contoso.example"]);
    done(&house, &["policy", "grant", "No", "--to", "sip:alice@contoso.example"]);
    assert!(may(&house, "carol") && !may(&house, "bob") && may(&house, "bill") && !may(&house, "alice"));
    done(&house, &["policy", "rm", "global", "--yes"]);
    done(&house, &["policy", "set", "site:Branch", "--federation", "on", "--xmpp", "on"]);
    done(&house, &["policy", "grant", "No", "--to", "sip:bill@contoso.example"]);
    assert!(!may(&house, "carol") && may(&house, "bob") && !may(&house, "bill") && !may(&house, "alice"));
}

#[test]
fn f017_user_show_says_the_policy_and_what_gave_it() {
    let house = sales();
    done(&house, &["policy", "grant", "Sales", "--to", "sip:alice@contoso.example"]);
    let ran = done(&house, &["user", "show", "alice@contoso.example"]);
    assert_eq!(
        ran.out,
        "\
sip:alice@contoso.example
  policy  Sales  federation=yes  xmpp=yes
  from    granted Sales  policy.toml:16
  XMPP    yes, with every partner that is listed
"
    );
    done(&house, &["site", "new", "Redmond", "--member", "*@contoso.example"]);
    done(&house, &["policy", "new", "site:Redmond", "--federation", "on"]);
    let ran = done(&house, &["user", "show", "sip:bob@contoso.example"]);
    assert!(
        ran.out.contains("  from    no grant; site Redmond (matched *@contoso.example)  policy.toml:"),
        "{}",
        ran.out
    );
    assert!(ran.out.ends_with("  XMPP    no: the policy has xmpp off\n"), "{}", ran.out);
    let ran = done(&house, &["user", "show", "sip:bob@contoso.example", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&value["policy"], &value["allowed"]), (&"site:Redmond".into(), &false.into()));
    refused(&house, &["user", "show", "bob"], 2, "bob: an address is written name@domain");
}

#[test]
fn f018_filters_find_policies_of_a_scope_or_a_name() {
    let house = sales();
    done(&house, &["site", "new", "Redmond", "--member", "*@contoso.example"]);
    done(&house, &["policy", "new", "site:Redmond"]);
    done(&house, &["policy", "new", "Support"]);
    for (filter, found) in [
        ("site:*", &["site:Redmond"][..]),
        ("tag:*", &["Sales", "Support"]),
        ("Sa*", &["Sales"]),
        ("*", &["Global", "Sales", "site:Redmond", "Support"]),
        ("x*", &[]),
    ] {
        let listed = done(&house, &["policy", "list", filter]).out;
        let names: Vec<&str> = listed.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(names, found, "{filter}");
    }
}

#[test]
fn f021_policies_are_stored_while_federation_is_off() {
    let house = house(&TABLE.replace("true", "false"));
    done(&house, &["policy", "set", "global", "--federation", "on", "--xmpp", "on"]);
    assert!(!may(&house, "bob"));
    done(&house, &["federation", "enable"]);
    assert!(may(&house, "bob"));
}

#[test]
fn f022_the_switch_can_be_turned_off_whatever_the_policy_tests_expect() {
    let tests = "[[policy]]\nscope = \"global\"\nfederation = true\nxmpp = true\n[[test]]\n\
        from = \"sip:bob@contoso.example\"\nto = \"xmpp:romeo@fabrikam.example\"\nexpect = \"allow\"\n";
    let house = house(&format!("{TABLE}{tests}"));
    assert!(may(&house, "bob"));
    let ran = done(&house, &["federation", "disable"]);
    assert!(ran.out.starts_with("federation is disabled\n"), "{}", ran.out);
    assert!(!may(&house, "bob"));
    done(&house, &["federation", "enable"]);
    assert!(may(&house, "bob"));
    refused(&house, &["policy", "set", "global", "--xmpp", "off"], 3, "error: policy test failed");
}

#[test]
fn a_user_in_the_grants_file_is_changed_there_and_others_in_the_policy_file() {
    let house = house(&format!("{TABLE}[grants]\nfile = \"grants.csv\"\n"));
    house.write("grants.csv", "");
    for name in ["Yes", "No"] {
        let switch = if name == "Yes" { "on" } else { "off" };
        done(&house, &["policy", "new", name, "--federation", switch, "--xmpp", switch]);
    }
    house.write("grants.csv", "# big\nsip:Alice@contoso.example,No\nsip:bob@contoso.example,No\n");
    done(&house, &["policy", "grant", "Yes", "--to", "alice@contoso.example", "sip:carol@contoso.example"]);
    assert_eq!(
        house.read("grants.csv"),
        "# big\nsip:Alice@contoso.example,Yes\nsip:bob@contoso.example,No\n"
    );
    assert_eq!(house.read("policy.toml").matches("[[grant]]").count(), 1);
    assert!(may(&house, "alice") && may(&house, "carol") && !may(&house, "bob"));
    done(&house, &["policy", "revoke", "--from", "sip:bob@contoso.example", "--yes"]);
    assert_eq!(house.read("grants.csv"), "# big\nsip:Alice@contoso.example,Yes\n");
}

#[test]
fn blocks_come_and_go() {
    let house = house(TABLE);
    done(&house, &["policy", "set", "global", "--federation", "on", "--xmpp", "on"]);
    done(&house, &["block", "romeo@fabrikam.example", "--description", "spam"]);
    assert!(!may(&house, "bob"));
    refused(&house, &["block", "xmpp:romeo@fabrikam.example"], 1, "is blocked already");
    refused(&house, &["block", "fabrikam.example"], 3, "is blocked and a partner");
    refused(&house, &["unblock", "romeo@fabrikam.example"], 2, "nobody is there to be asked");
    done(&house, &["unblock", "romeo@fabrikam.example", "--yes"]);
    assert!(may(&house, "bob"));
    refused(&house, &["unblock", "romeo@fabrikam.example", "--yes"], 1, "nothing blocks");
}
