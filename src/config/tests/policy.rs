//! `policy.toml` and the grants file: what is refused, what is warned of, in which words.

use super::*;

fn errors(policy: &str) -> String {
    printed(DAEMON, policy)
}

const SALES: &str = "[[policy]]\nscope = \"user\"\nname = \"Sales\"\nfederation = true\nxmpp = true\n";

/// The first row of N1 to N18 with this number, as the keys of a partner.
fn terms(row: usize) -> String {
    let (sasl, rest) = ((row - 1) / 6, (row - 1) % 6);
    let needs = ["required", "optional", "not-supported"];
    format!("tls = \"{}\"\nsasl = \"{}\"\ndialback = {}\n", needs[rest / 2], needs[sasl], rest % 2 == 0)
}

fn partner(keys: &str) -> String {
    format!("[[partner]]\ndomain = \"fabrikam.example\"\n{keys}\n")
}

#[test]
fn an_unknown_policy_is_an_error_with_the_line_of_the_nearest() {
    let policy = format!("{SALES}\n[[grant]]\nuser = \"sip:alice@contoso.example\"\npolicy = \"Salse\"\n");
    assert_eq!(
        errors(&policy),
        "error: unknown policy \"Salse\"\n --> policy.toml:9:10\n9 | policy = \"Salse\"\n  |          ^^^^^^^ not defined; \
         did you mean \"Sales\" (line 3)?"
    );
    let policy =
        "[[policy]]\nscope = \"site\"\nsite = \"Redmont\"\n[[site]]\nname = \"Redmond\"\nmembers = []\n";
    assert!(errors(policy).contains("unknown site \"Redmont\""));
    assert!(errors(policy).contains("did you mean \"Redmond\" (line 4)?"));
}

#[test]
fn f05_a_second_policy_for_a_site_is_refused() {
    let site = "[[policy]]\nscope = \"site\"\nsite = \"Redmond\"\n";
    let policy = format!("[[site]]\nname = \"Redmond\"\nmembers = [\"*@contoso.example\"]\n{site}{site}");
    assert_eq!(
        errors(&policy),
        "error: site \"Redmond\" has a policy already\n --> policy.toml:9:8\n9 | site = \"Redmond\"\n  |        ^^^^^^^^^ in \
         line 4"
    );
}

#[test]
fn f06_a_policy_on_an_existing_name_or_on_global_is_refused() {
    assert!(
        errors(&format!("{SALES}{}", SALES.replace("Sales", "SALES")))
            .contains("policy \"SALES\" is defined twice")
    );
    assert!(
        errors("[[policy]]\nscope = \"global\"\n[[policy]]\nscope = \"global\"\n")
            .contains("there is one global policy")
    );
    for name in ["Global", "site:Redmond", "tag:x", "<Automatic>"] {
        let text = errors(&SALES.replace("Sales", name));
        assert!(text.contains("a user policy can't be called"), "{name}: {text}");
    }
}

#[test]
fn f24_a_duplicate_empty_or_unqualified_partner_is_refused() {
    for (domain, reason) in [
        ("", "the domainpart is empty"),
        ("fabrikam", "not fully qualified"),
        ("*.fabrikam.example", "a star has no place here"),
        ("romeo@fabrikam.example", "a domain, not an address: \"fabrikam.example\""),
        ("192.0.2.1", "a name is needed"),
        ("fabrikam..example", "domainpart"),
    ] {
        let text = errors(&format!("[[partner]]\ndomain = \"{domain}\"\n"));
        assert!(text.contains(reason), "{domain}: {text}");
    }
    assert_eq!(
        errors(&format!("{}{}", partner(""), partner("").replace("fabrikam", "FABRIKAM"))),
        "error: \"fabrikam.example\" is listed twice\n --> policy.toml:5:10\n5 | domain = \"FABRIKAM.example\"\n  |          \
         ^^^^^^^^^^^^^^^^^^ the partner in line 1 has it"
    );
    let twice = partner("additional_domains = [\"fabrikam.example\", \"a.fabrikam.example\"]");
    assert!(errors(&twice).contains("\"fabrikam.example\" is listed twice\n --> policy.toml:3:23"));
    assert!(errors("[[partner]]\ntype = \"federated\"\n").contains("[[partner]] needs \"domain\""));
}

#[test]
fn f42_n5_n6_n11_n12_n14_n16_n18_are_refused() {
    for row in 1..=18 {
        let refused = config(DAEMON, &partner(&terms(row))).is_err();
        assert_eq!(refused, [5, 6, 11, 12, 14, 16, 18].contains(&row), "N{row}");
    }
    assert_eq!(
        errors(&partner("tls = \"not-supported\"")),
        "error: invalid negotiation: SASL EXTERNAL needs TLS\n --> policy.toml:3:7\n3 | tls = \"not-supported\"\n  |       \
         ^^^^^^^^^^^^^^^ tls = \"not-supported\", sasl = \"required\" (default), dialback = true (default)"
    );
    assert_eq!(
        errors(&partner("sasl = \"not-supported\"\ndialback = false")),
        "error: invalid negotiation: nothing proves the partner's domain: SASL or dialback must be on\n --> \
         policy.toml:4:12\n4 | dialback = false\n  |            ^^^^^ tls = \"required\" (default), sasl = \
         \"not-supported\", dialback = false"
    );
}

#[test]
fn f43_n1_n3_n4_n9_n10_are_warned_of() {
    for row in 1..=18 {
        if let Ok(config) = config(DAEMON, &partner(&terms(row))) {
            let warned = config.warnings.iter().any(|w| w.message.starts_with("weak negotiation"));
            assert_eq!(warned, [1, 3, 4, 9, 10].contains(&row), "N{row}");
        }
    }
    // The defaults are N1 as well, and no reason to warn.
    assert_eq!(errors(&partner("")), "");
    assert!(
        errors(&partner("dialback = true"))
            .starts_with("warning: weak negotiation: dialback will not operate")
    );
}

#[test]
fn check_167_a_domain_of_ours_is_no_partner() {
    for keys in
        ["domain = \"Contoso.Example\"", "domain = \"a.example\"\nadditional_domains = [\"contoso.example\"]"]
    {
        let text = errors(&format!("[[partner]]\n{keys}\n"));
        assert!(text.contains("\"contoso.example\" is a [[domain]] of ours"), "{text}");
    }
}

#[test]
fn f97_a_domain_is_not_blocked_and_a_partner_or_ours() {
    assert_eq!(
        errors(&format!("{}[[blocked]]\ndomain = \"fabrikam.example\"\n", partner(""))),
        "error: \"fabrikam.example\" is blocked and a partner\n --> policy.toml:5:10\n5 | domain = \
         \"fabrikam.example\"\n  |          ^^^^^^^^^^^^^^^^^^ the partner in line 1 has it"
    );
    let additional = partner("additional_domains = [\"evil.example\"]");
    assert!(
        errors(&format!("{additional}[[blocked]]\ndomain = \"evil.example\"\n"))
            .contains("blocked and a partner")
    );
    assert!(
        errors(&format!("{}[[blocked]]\ndomain = \"*.example\"\n", partner("")))
            .starts_with("warning: \"fabrikam.example\" stays a partner")
    );
    assert!(errors("[[blocked]]\ndomain = \"contoso.example\"").contains("is a [[domain]] of ours"));
    assert!(errors("[[blocked]]\naddress = \"alice@contoso.example\"").contains("is a user of ours"));
    assert!(
        errors("[[blocked]]\naddress = \"a@b.example\"").starts_with("warning: \"b.example\" is no partner")
    );
    assert!(errors("[[blocked]]\n").contains("needs a \"domain\" or an \"address\""));
    assert!(errors("[[blocked]]\ndomain = \"a*.example\"").contains("a star has no place here"));
    let twice = "[[blocked]]\ndomain = \"a.example\"\n[[blocked]]\ndomain = \"A.example.\"\n";
    assert!(errors(twice).contains("blocked twice"));
}

#[test]
fn grants_of_the_csv_file_are_read_and_judged_line_by_line() {
    let policy = format!(
        "{SALES}[grants]\nfile = \"grants.csv\"\n[[grant]]\nuser = \"bob@contoso.example\"\npolicy = \"Sales\"\n"
    );
    let mut files = files(DAEMON, &policy);
    let mut with = |csv: &str| {
        files.0.insert("/etc/stoxd/grants.csv".into(), (csv.to_owned(), 0o644));
        read(&files)
    };
    let config =
        with("# user,policy\r\n\r\nsip:Alice@contoso.example,Sales\r\n sip:a,b@contoso.example , Sales\n")
            .unwrap();
    assert_eq!((config.table.grant_count(), config.warnings.len()), (3, 0));
    let user = crate::addr::Jid::parse("a,b@contoso.example").unwrap();
    assert_eq!(config.table.effective(&user).0.name, "Sales");

    let csv = "sip:a@contoso.example,Salse\nsip:a@contoso.example\nsip:,Sales\nsip:bob@contoso.example,Sales\n\
               x@other.example,Sales\ny@other.example,Sales\n";
    let problems = with(csv).unwrap_err();
    let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        text.join("\n\n"),
        "\
error: unknown policy \"Salse\"
 --> grants.csv:1:23
1 | sip:a@contoso.example,Salse
  |                       ^^^^^ not defined; did you mean \"Sales\" (line 3)?

error: a grant is written user,policy
 --> grants.csv:2:1
2 | sip:a@contoso.example
  | ^^^^^^^^^^^^^^^^^^^^^ no comma

error: bad user \"sip:\"
 --> grants.csv:3:1
3 | sip:,Sales
  | ^^^^ a user is written sip:name@domain, with * for any characters

error: \"bob@contoso.example\" is granted twice
 --> grants.csv:4:1
4 | sip:bob@contoso.example,Sales
  | ^^^^^^^^^^^^^^^^^^^^^^^ line 8 of the policy file does

warning: \"other.example\" is not served here
 --> grants.csv:5:1
5 | x@other.example,Sales
  | ^^^^^^^^^^^^^^^ the first of 2 grants for domains that are not ours"
    );
    let policy = "[grants]\nfile = \"none.csv\"\n";
    assert!(errors(policy).contains("can't read the grants file"));
}

#[test]
fn a_flood_of_problems_is_cut_and_still_refuses() {
    let lines: String = (0..500).map(|n| format!("sip:u{n}@contoso.example,Nobody\n")).collect();
    let mut files = files(DAEMON, "[grants]\nfile = \"grants.csv\"\n");
    files.0.insert("/etc/stoxd/grants.csv".into(), (lines, 0o644));
    let problems = read(&files).unwrap_err();
    assert_eq!(problems.len(), 101);
    assert_eq!(problems[100].message, "400 more of this kind are not shown");
}

#[test]
fn patterns_with_stars_are_bounded() {
    let rows: String = (0..101)
        .map(|n| format!("[[grant]]\nuser = \"u{n}-*@contoso.example\"\npolicy = \"Sales\"\n"))
        .collect();
    let text = errors(&format!("{SALES}{rows}"));
    assert!(text.starts_with("error: too many patterns with stars"), "{text}");
}

#[test]
fn a_policy_test_that_fails_is_an_error_with_its_line() {
    let test = |from: &str, to: &str, expect: &str| {
        let rows = format!("[federation]\nenabled = true\n{}{SALES}", partner("type = \"federated\""));
        errors(&format!("{rows}\n[[test]]\nfrom = \"{from}\"\nto = \"{to}\"\nexpect = \"{expect}\"\n"))
    };
    let (alice, romeo) = ("sip:alice@contoso.example", "xmpp:romeo@fabrikam.example");
    assert_eq!(test(alice, romeo, "deny"), "");
    assert_eq!(
        test(alice, romeo, "allow"),
        "error: policy test failed: sip:alice@contoso.example → xmpp:romeo@fabrikam.example\n  --> \
         policy.toml:15:10\n15 | expect = \"allow\"\n   |          ^^^^^^^ the table says deny: policy-federation, policy \
         Global"
    );
    assert!(test(alice, "xmpp:a@other.example", "allow").contains("the table says deny: unlisted"));
    assert!(test(alice, "sip:bob@contoso.example", "allow").contains("one side is a sip: address"));
    assert!(test("sip:a@contso.example", romeo, "deny").contains("did you mean \"contoso.example\"?"));
    assert!(test("sip:@contoso.example", romeo, "deny").contains("bad address \"sip:@contoso.example\""));
    assert!(test(alice, romeo, "alow").contains("did you mean \"allow\"?"));
}

#[test]
fn xmpp_without_federation_is_warned_of() {
    assert_eq!(
        errors(&SALES.replace("federation = true\n", "")),
        "warning: \"xmpp\" counts only with \"federation\"\n --> policy.toml:4:8\n4 | xmpp = true\n  |        ^^^^ federation \
         = false: XMPP is refused"
    );
}

#[test]
fn rows_that_lack_something_say_what() {
    for (row, message) in [
        ("[[policy]]\nfederation = true", "[[policy]] needs \"scope\""),
        ("[[policy]]\nscope = \"user\"", "[[policy]] needs \"name\""),
        ("[[policy]]\nscope = \"site\"", "[[policy]] needs \"site\""),
        ("[[site]]\nname = \"x\"", "[[site]] needs \"members\""),
        ("[[grant]]\nuser = \"sip:a@contoso.example\"", "[[grant]] needs \"policy\""),
        ("[[grant]]\npolicy = \"Sales\"", "[[grant]] needs \"user\""),
        ("[[test]]\nexpect = \"deny\"", "[[test]] needs \"from\""),
        ("[partner]\ndomain = \"a.example\"", "[[partner]] is a list of tables"),
        ("[[federation]]\nenabled = true", "[federation] is a single table"),
        ("[[partner]]\ndomain = \"a.example\"\nproxy_port = 1", "\"proxy_port\" without a proxy"),
        ("[[site]]\nname = \"x\"\nmembers = [\"alice\"]", "a user is written sip:name@domain"),
    ] {
        assert!(errors(row).contains(message), "{row}: {}", errors(row));
    }
    let twice = "[[site]]\nname = \"a\"\nmembers = [\"*@contoso.example\"]\n\
                 [[site]]\nname = \"b\"\nmembers = [\"*@Contoso.example\"]\n";
    assert!(errors(twice).contains("\"*@contoso.example\" is a member twice"));
    assert!(errors(&twice.replace("\"b\"", "\"A\"")).contains("site \"A\" is defined twice"));
}
