//! What verbs print, letter by letter.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::check::{self, Finding, Outcome};
use super::policy_test::{Question, policy_test};
use crate::config::{Config, FileFault, Files, Problem, Purpose, Surroundings, parse};
use std::path::Path;

/// A daemon file and a policy file; keys are where they are said to be.
struct Two<'t>(&'t str, &'t str);

impl Files for Two<'_> {
    fn read(&self, path: &Path, _limit: u64) -> Result<String, FileFault> {
        match path.file_name().and_then(|name| name.to_str()) {
            Some("stoxd.toml") => Ok(self.0.to_owned()),
            Some("policy.toml") => Ok(self.1.to_owned()),
            Some("grants.csv") => {
                Ok((0..1_234).map(|n| format!("sip:u{n}@contoso.example,Sales\n")).collect())
            }
            _ => Err(FileFault::Missing),
        }
    }

    fn mode(&self, _path: &Path) -> Result<u32, FileFault> {
        Ok(0o400)
    }
}

const DAEMON: &str = r#"[gateway]
name = "gw.contoso.example"
[[domain]]
name = "contoso.example"
[[tls.certificate]]
id = "contoso"
chain = "cred:contoso.crt"
key = "cred:contoso.key"
[[sip.peer]]
name = "edge"
domains = ["contoso.example"]
"#;

const POLICY: &str = r#"[federation]
enabled = true
[[site]]
name = "Redmond"
members = ["*@contoso.example"]
[[policy]]
scope = "site"
site = "Redmond"
federation = true
[[policy]]
scope = "user"
name = "Sales"
federation = true
xmpp = true
[[grant]]
user = "sip:alice@contoso.example"
policy = "Sales"
[[partner]]
domain = "fabrikam.example"
additional_domains = ["research.fabrikam.example"]
type = "federated"
[[partner]]
domain = "tailspin.example"
[[blocked]]
address = "mallory@fabrikam.example"
[[blocked]]
domain = "*.evil.example"
[[test]]
from = "sip:alice@contoso.example"
to = "xmpp:romeo@fabrikam.example"
expect = "allow"
"#;

const PATH: &str = "/etc/stoxd/stoxd.toml";

fn loaded(policy: &str) -> Result<Config, Vec<Problem>> {
    let credentials = Some("/run/credentials/stoxd".into());
    let surroundings = Surroundings { credentials, ..Surroundings::default() };
    parse(Path::new(PATH), &Two(DAEMON, policy), &surroundings, Purpose::Check)
}

fn ask(from: &str, to: &str) -> (String, u8) {
    policy_test(&loaded(POLICY), &Question { from, to, added: false, json: false })
}

fn config_check(policy: &str, strict: bool) -> (String, u8) {
    check::render(&[check::config(Path::new(PATH), &loaded(policy))], strict, false)
}

#[test]
fn a_denial_names_the_gate_that_decided_its_line_and_the_remedy() {
    let (text, code) = ask("sip:bob@contoso.example", "xmpp:romeo@fabrikam.example");
    assert_eq!(
        text,
        "\
DENY  sip:bob@contoso.example → xmpp:romeo@fabrikam.example
 1 federation  enabled                                            policy.toml:2
 2 partner     fabrikam.example is allowed                        policy.toml:18
 3 policy      no grant; site Redmond (matched *@contoso.example) policy.toml:6
 4 verdict     federation=yes  xmpp=no  ← this decided
 the sender would see: SIP 403 (an XMPP sender: forbidden)
 to allow: stoxd policy grant Sales --to sip:bob@contoso.example
"
    );
    assert_eq!(code, 3);
}

#[test]
fn where_no_policy_lets_it_through_one_is_made_and_granted() {
    let (from, to) = ("sip:alice@contoso.example", "xmpp:romeo@fabrikam.example");
    let weak = POLICY.replace("xmpp = true\n", "").replace("\"allow\"", "\"deny\"");
    let (text, _) = policy_test(&loaded(&weak), &Question { from, to, added: false, json: false });
    assert!(
        text.ends_with(
            " to allow: stoxd policy new 'XMPP users' --federation on --xmpp on\n      and: stoxd policy grant \
             'XMPP users' --to sip:alice@contoso.example\n"
        ),
        "{text}"
    );
}

#[test]
fn an_allowance_names_the_grant() {
    let (text, code) = ask("xmpp:Romeo@Research.Fabrikam.example/orchard", "alice@contoso.example");
    assert_eq!(
        text,
        "\
ALLOW xmpp:romeo@research.fabrikam.example → sip:alice@contoso.example
 1 federation  enabled                                                   policy.toml:2
 2 partner     research.fabrikam.example is allowed, as fabrikam.example policy.toml:18
 3 policy      granted Sales                                             policy.toml:15
 4 verdict     federation=yes  xmpp=yes
"
    );
    assert_eq!(code, 0);
}

#[test]
fn f34_a_contact_that_is_not_added_is_the_fifth_step() {
    let question = Question {
        from: "xmpp:eve@tailspin.example",
        to: "sip:alice@contoso.example",
        added: false,
        json: false,
    };
    let (text, code) = policy_test(&loaded(POLICY), &question);
    assert_eq!(
        text,
        "\
DENY  xmpp:eve@tailspin.example → sip:alice@contoso.example
 1 federation  enabled                     policy.toml:2
 2 partner     tailspin.example is allowed policy.toml:22
 3 policy      granted Sales               policy.toml:15
 4 verdict     federation=yes  xmpp=yes
 5 contact     alice@contoso.example has not added eve@tailspin.example  ← this decided
 the sender would see: XMPP forbidden (a SIP sender: 403)
 to allow: sip:alice@contoso.example adds xmpp:eve@tailspin.example as a contact
"
    );
    assert_eq!(code, 3);
    let (text, code) = policy_test(&loaded(POLICY), &Question { added: true, ..question });
    assert!(text.starts_with("ALLOW ") && text.contains("has added"), "{text}");
    assert_eq!(code, 0);
}

#[test]
fn every_gate_that_is_shut_is_shown_and_has_its_remedy() {
    let off = POLICY.replace("enabled = true", "enabled = false");
    let question =
        Question { from: "xmpp:a@x.evil.example", to: "sip:bob@contoso.example", added: false, json: false };
    let (text, _) = policy_test(&loaded(&off), &question);
    assert_eq!(
        text,
        "\
DENY  xmpp:a@x.evil.example → sip:bob@contoso.example
 1 federation  disabled                                           policy.toml:2  ← this decided
 2 partner     x.evil.example is blocked                          policy.toml:26  ← shut as well
 3 policy      no grant; site Redmond (matched *@contoso.example) policy.toml:6
 4 verdict     federation=yes  xmpp=no  ← shut as well
 the sender would see: its server's stream ends with policy-violation (a SIP sender: 403)
 to allow: stoxd federation enable
      and: stoxd unblock '*.evil.example'
      and: stoxd partner new x.evil.example
      and: stoxd policy grant Sales --to sip:bob@contoso.example
"
    );
    let (text, _) = ask("sip:alice@contoso.example", "xmpp:mallory@fabrikam.example");
    assert!(
        text.contains(" 2 partner     mallory@fabrikam.example is blocked policy.toml:24  ← this decided"),
        "{text}"
    );
    assert!(text.ends_with(" to allow: stoxd unblock mallory@fabrikam.example\n"), "{text}");
    let (text, _) = ask("sip:alice@contoso.example", "xmpp:a@other.example");
    assert!(text.contains(" 2 partner     other.example is not listed  ← this decided"), "{text}");
    let remedy = " to allow: stoxd partner new other.example\n";
    assert!(text.ends_with(remedy), "{text}");
}

#[test]
fn an_address_that_is_none_is_a_usage_error() {
    for (from, to, text) in [
        ("alice", "xmpp:a@b.example", "error: --from alice: an address is written name@domain\n"),
        ("sip:a@contoso.example", "tel:+1", "error: --to tel:+1: an address starts with sip: or xmpp:\n"),
        ("sip:a@other.example", "xmpp:a@fabrikam.example", "error: other.example is not served here\n"),
        (
            "sip:\u{1b}[2J",
            "xmpp:a@b.example",
            "error: --from sip:\\u{1b}[2J: an address is written name@domain\n",
        ),
    ] {
        assert_eq!(ask(from, to), (text.to_owned(), 2), "{from} {to}");
    }
    let invalid = loaded("x = 1");
    let question = Question { from: "", to: "", added: false, json: false };
    let (text, code) = policy_test(&invalid, &question);
    assert!(
        text.starts_with("error: unknown key \"x\" outside of any table\n --> policy.toml:1:1\n"),
        "{text}"
    );
    assert_eq!(code, 78);
}

#[test]
fn verdicts_are_there_for_programs_too() {
    let question = Question {
        from: "sip:bob@contoso.example",
        to: "xmpp:romeo@fabrikam.example",
        added: false,
        json: true,
    };
    let (text, code) = policy_test(&loaded(POLICY), &question);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&value["verdict"], &value["reason"]), (&"deny".into(), &"policy-xmpp".into()));
    assert_eq!(value["policy"], "site:Redmond");
    assert_eq!(value["steps"][3]["decided"], true);
    assert_eq!(value["steps"][0]["at"], "policy.toml:2");
    assert_eq!(value["sender_sees"]["sip"], 403);
    let remedy = "stoxd policy grant Sales --to sip:bob@contoso.example";
    assert_eq!(value["to_allow"], serde_json::json!([remedy]));
    assert_eq!(code, 3);
}

#[test]
fn a_valid_configuration_passes_with_its_numbers() {
    assert_eq!(
        config_check(POLICY, true),
        (
            "config        PASS  stoxd.toml, policy.toml: 3 policies, 1 grant, 1/1 policy tests\n".to_owned(),
            0
        )
    );
    let many = format!("{POLICY}[grants]\nfile = \"grants.csv\"\n");
    let (text, _) = config_check(&many, true);
    assert!(text.contains("policy.toml, grants.csv: 3 policies, 1,235 grants, 1/1 policy tests"), "{text}");
    assert!(config_check("", false).0.ends_with("1 policy, 0 grants, no policy tests\n"));
}

#[test]
fn an_invalid_configuration_shows_its_lines_and_exits_with_78() {
    let (text, code) = config_check(&POLICY.replace("policy = \"Sales\"", "policy = \"Salse\""), false);
    assert_eq!(
        text,
        "\
error: unknown policy \"Salse\"
  --> policy.toml:17:10
17 | policy = \"Salse\"
   |          ^^^^^^^ not defined; did you mean \"Sales\" (line 12)?

config        FAIL  1 error
"
    );
    assert_eq!(code, 78);
}

#[test]
fn warnings_pass_unless_strict() {
    let weak = POLICY.replace("type = \"federated\"", "type = \"federated\"\ntls = \"optional\"");
    let (text, code) = config_check(&weak, false);
    assert!(text.starts_with("warning: weak negotiation:"), "{text}");
    assert!(text.ends_with("1/1 policy tests, 1 warning\n"), "{text}");
    assert_eq!(code, 0);
    assert_eq!(config_check(&weak, true).1, 3);
}

#[test]
fn the_policy_check_leaves_the_daemons_file_alone() {
    let path = Path::new(PATH);
    let finding = check::policy(path, &loaded(POLICY));
    assert_eq!(
        (finding.outcome, finding.text.as_str()),
        (Outcome::Pass, "3 policies, 1 grant, 1/1 policy tests")
    );
    let failing = POLICY.replace("expect = \"allow\"", "expect = \"deny\"");
    let finding = check::policy(path, &loaded(&failing));
    assert_eq!(finding.outcome, Outcome::Fail);
    assert!(finding.problems[0].label.contains("policy Sales (policy.toml:10)"), "{:?}", finding.problems);
    let broken = parse(path, &Two("x = 1", POLICY), &Surroundings::default(), Purpose::Check);
    let finding = check::policy(path, &broken);
    assert_eq!((finding.outcome, finding.problems.len()), (Outcome::Skip, 0));
}

#[test]
fn several_findings_end_in_a_sum_and_skips_are_no_passes() {
    let finding = |name, outcome, text: &str, notes: &[&str]| Finding {
        name,
        outcome,
        text: text.into(),
        notes: notes.iter().map(ToString::to_string).collect(),
        problems: Vec::new(),
    };
    let findings = [
        finding("dns", Outcome::Fail, "contoso.example: no SRV", &["fix: publish it"]),
        finding("certs", Outcome::Warn, "contoso: serverAuth only", &[]),
        finding("connectivity", Outcome::Pass, "xmpp fabrikam.example", &[]),
        finding("", Outcome::Skip, "sip edge: disabled, nothing was tried", &[]),
    ];
    let (text, code) = check::render(&findings, false, false);
    assert_eq!(
        text,
        "\
dns           FAIL  contoso.example: no SRV
                    fix: publish it
certs         WARN  contoso: serverAuth only
connectivity  PASS  xmpp fabrikam.example
              SKIP  sip edge: disabled, nothing was tried
1 failed, 1 warning, 1 skipped, 1 passed
"
    );
    assert_eq!(code, 3);
    assert_eq!(check::render(&findings[2..], false, false).1, 0);
    assert_eq!(check::render(&findings[2..], true, false).1, 3);
    let (text, _) = check::render(&findings, false, true);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&value["outcome"], &value["checks"][3]["outcome"]), (&"fail".into(), &"skip".into()));
}

#[test]
fn problems_are_there_for_programs_too() {
    let found = loaded(&POLICY.replace("policy = \"Sales\"", "policy = \"Salse\"")).unwrap_err();
    let value = check::problem_json(&found[0]);
    assert_eq!(
        (&value["file"], &value["line"], &value["column"]),
        (&"policy.toml".into(), &17.into(), &10.into())
    );
    assert_eq!(value["severity"], "error");
}
