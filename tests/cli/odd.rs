//! Verbs on files that are odd and legal, the second use after the first, and whether what is said is so.

use super::cert::{house as certified, made};
use super::policies::{done, house, refused};
use super::rig::House;

const SWITCH: &str = "[federation]\nenabled = true\n";
const SALES: &str = "[[policy]]\nscope = \"user\"\nname = \"Sales\"\nfederation = true\nxmpp = true\n";

#[test]
fn the_kill_switch_works_in_whatever_way_the_table_is_written() {
    for (on, off) in [
        ("federation = { enabled = true } # all", "federation = { enabled = false } # all"),
        ("federation = {}", "federation = { enabled = false }"),
        ("federation.enabled = true # all", "federation.enabled = false # all"),
        ("[federation] # all\nenabled = true", "[federation] # all\nenabled = false"),
        ("\"federation\" = { 'enabled' = true }", "\"federation\" = { 'enabled' = false }"),
    ] {
        let house = house(&format!("{on}\n{SALES}"));
        done(&house, &["federation", "disable"]);
        assert_eq!(house.read("policy.toml"), format!("{off}\n{SALES}"), "{on}");
        done(&house, &["federation", "enable"]);
        assert!(!done(&house, &["policy", "list"]).out.contains("federation is disabled"), "{on}");
    }
}

#[test]
fn comments_in_lists_stay_with_whom_they_are_about() {
    let rows = "[[site]]\nname = \"Redmond\"\nmembers = [\n  # the first floor\n  \"a*@contoso.example\", # Anna's\n  \
        \"b*@contoso.example\", # Bert's\n]\n[[partner]]\ndomain = \"fabrikam.example\"\nadditional_domains = [\n  \
        \"a.example\", # their branch\n  \"b.example\" # bought in May\n]\n";
    let house = house(rows);
    done(&house, &["site", "set", "Redmond", "--add-member", "c*@contoso.example"]);
    done(&house, &["partner", "set", "fabrikam.example", "--add-domain", "c.example"]);
    let more = rows
        .replace("# Bert's\n", "# Bert's\n  \"c*@contoso.example\",\n")
        .replace("\"b.example\" # bought in May\n", "\"b.example\", # bought in May\n  \"c.example\"\n");
    assert_eq!(house.read("policy.toml"), more);
    done(&house, &["site", "set", "Redmond", "--remove-member", "b*@contoso.example", "--yes"]);
    done(&house, &["partner", "set", "fabrikam.example", "--remove-domain", "a.example", "--yes"]);
    let fewer = more
        .replace("  \"b*@contoso.example\", # Bert's\n", "")
        .replace("  \"a.example\", # their branch\n", "");
    assert_eq!(house.read("policy.toml"), fewer);
}

#[test]
fn domains_that_go_by_unset_are_asked_about() {
    let house = house("[[partner]]\ndomain = \"fabrikam.example\"\nadditional_domains = [\"a.example\"]\n");
    let words = ["partner", "set", "fabrikam.example", "--unset", "additional_domains"];
    refused(&house, &words, 2, "nobody is there to be asked");
    done(&house, &[&words[..], &["--yes"]].concat());
    assert_eq!(house.read("policy.toml"), "[[partner]]\ndomain = \"fabrikam.example\"\n");
}

#[test]
fn the_first_line_behind_a_byte_order_mark_is_a_grant_like_the_others() {
    let house = house(&format!("{SWITCH}[grants]\nfile = \"grants.csv\"\n"));
    house.write("grants.csv", "");
    done(&house, &["policy", "new", "Sales"]);
    done(&house, &["policy", "new", "Other"]);
    let lines = |alice: &str| {
        format!("\u{feff}sip:alice@contoso.example,{alice}\r\nsip:bob@contoso.example,Sales\r\n")
    };
    house.write("grants.csv", &lines("Sales"));
    done(&house, &["policy", "grant", "Other", "--to", "alice@contoso.example"]);
    assert_eq!(house.read("grants.csv"), lines("Other"));
    done(&house, &["policy", "revoke", "--from", "alice@contoso.example", "--yes"]);
    assert_eq!(house.read("grants.csv"), "\u{feff}sip:bob@contoso.example,Sales\r\n");
    done(&house, &["policy", "rm", "Sales", "--yes"]);
    assert_eq!(house.read("grants.csv"), "\u{feff}");
}

#[test]
fn f014_who_is_ungranted_and_covered_by_a_pattern_is_said_to_have_its_policy_still() {
    let house = house(&format!("{SWITCH}{SALES}"));
    done(&house, &["policy", "grant", "Sales", "--to", "sip:*@contoso.example", "sip:bob@contoso.example"]);
    let ran = done(&house, &["policy", "revoke", "--from", "sip:bob@contoso.example", "--yes"]);
    let said = "1 grant is taken away\nsip:bob@contoso.example has still: granted Sales (matched *@contoso.example)  \
        policy.toml:9\n";
    assert!(ran.out.starts_with(said), "{}", ran.out);
    let ran = done(&house, &["policy", "revoke", "--from", "sip:*@contoso.example", "--yes"]);
    let said = "1 grant is taken away\nthe policy of the site, or the global one, counts\n";
    assert!(ran.out.starts_with(said), "{}", ran.out);
}

#[test]
fn f013_a_grant_to_a_pattern_that_an_earlier_one_covers_is_said_to_have_no_effect() {
    let house = house(&format!("{SWITCH}{SALES}{}", SALES.replace("Sales", "Other")));
    done(&house, &["policy", "grant", "Sales", "--to", "sip:b*@contoso.example"]);
    let ran = done(&house, &["policy", "grant", "Other", "--to", "sip:bo*@contoso.example"]);
    let said = "Other is granted to sip:bo*@contoso.example\nsip:bo*@contoso.example has no effect: an earlier pattern \
        covers it: granted Sales (matched b*@contoso.example)  policy.toml:14\n";
    assert!(ran.out.starts_with(said), "{}", ran.out);
    for wide in ["sip:a*@contoso.example", "sip:*@contoso.example", "sip:bob@contoso.example"] {
        let ran = done(&house, &["policy", "grant", "Other", "--to", wide]);
        assert!(!ran.out.contains("no effect"), "{wide}: {}", ran.out);
    }
}

#[test]
fn a_site_whose_name_differs_in_case_is_named() {
    let house = house("[[site]]\nname = \"Redmond\"\nmembers = [\"*@contoso.example\"]\n");
    refused(&house, &["policy", "new", "site:redmond"], 1, "did you mean Redmond?");
    refused(&house, &["policy", "new", "site:Paris"], 1, "no site Paris: stoxd site new Paris --member …\n");
}

#[test]
fn a_rollback_says_that_what_was_edited_by_hand_goes_too() {
    let house = house(SWITCH);
    done(&house, &["partner", "new", "one.example"]);
    done(&house, &["partner", "new", "two.example"]);
    let ran = done(&house, &["policy", "rollback", "--what-if"]);
    assert!(ran.out.starts_with("taken back: partner new two.example\n"), "{}", ran.out);
    house.write("policy.toml", &(house.read("policy.toml") + "# by hand\n"));
    let by_hand = ", and what was edited by hand since in policy.toml\n";
    let ran = done(&house, &["policy", "rollback", "--what-if"]);
    assert_eq!(
        ran.out.lines().next().unwrap().to_owned() + "\n",
        format!("taken back: partner new two.example{by_hand}")
    );
    // Between two verbs, too.
    done(&house, &["partner", "new", "three.example"]);
    let ran = done(&house, &["policy", "rollback", "--what-if"]);
    assert!(ran.out.starts_with("taken back: partner new three.example\n"), "{}", ran.out);
    let ran = done(&house, &["policy", "rollback", "1", "--yes"]);
    assert!(ran.out.contains(by_hand), "{}", ran.out);
    assert_eq!(house.read("policy.toml"), SWITCH);
    done(&house, &["policy", "rollback", "--yes"]);
    assert!(house.read("policy.toml").contains("# by hand\n"), "a rollback is taken back like any change");
}

#[test]
fn f067_an_intermediate_that_is_over_is_found() {
    let Some(house) = certified() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/make-test-ca");
    let names = ["DNS:gw.contoso.example", "DNS:contoso.example", "DNS:litware.example"];
    let via = |options: &[&str]| {
        let mut command = std::process::Command::new(script);
        command.args(options).args(["--via", "mid"]).arg(house.path("pki")).arg("gateway").args(names);
        assert_eq!(super::rig::run(&mut command).code, 0);
    };
    via(&[]);
    assert_eq!(house.stoxd(&["cert", "check"]).code, 0);
    let again = |from: &str, to: &str| {
        house.write("mid.cnf", "[ca]\ndefault_ca = it\n[it]\ndatabase = index\nnew_certs_dir = .\nrand_serial = yes\n\
            default_md = sha256\npolicy = any\nunique_subject = no\nx509_extensions = ext\n[any]\ncommonName = supplied\n\
            [ext]\nbasicConstraints = critical, CA:true\nkeyUsage = critical, keyCertSign\n");
        house.write("index", "");
        let subject = ["-subj", "/CN=stoxd test intermediate mid"];
        made(&house, &[&["req", "-new", "-key", "pki/mid.key", "-out", "mid.csr"][..], &subject].concat());
        let ca = [
            "ca",
            "-batch",
            "-notext",
            "-config",
            "mid.cnf",
            "-cert",
            "pki/ca.pem",
            "-keyfile",
            "pki/ca.key",
        ];
        let dates = ["-in", "mid.csr", "-out", "mid.pem", "-startdate", from, "-enddate", to];
        made(&house, &[&ca[..], &dates].concat());
        let leaf = house.read("pki/gateway.pem");
        let leaf = leaf.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap().to_owned();
        house.write("pki/gateway.pem", &(leaf + &house.read("mid.pem")));
        house.stoxd(&["cert", "check"])
    };
    let ran = again("20200101000000Z", "20210101000000Z");
    let said = "FAIL  gateway: CN=stoxd test intermediate mid, in the chain, expired ";
    assert!(ran.code == 3 && ran.out.contains(said), "{}", ran.out);
    let ran = again("20900101000000Z", "20910101000000Z");
    assert!(ran.code == 3 && ran.out.contains("in the chain, is not valid before 2090-01-01"), "{}", ran.out);
    let soon =
        super::rig::run(std::process::Command::new("date").args(["-u", "-d", "+5 days", "+%Y%m%d%H%M%SZ"]))
            .out;
    let ran = again("20200101000000Z", soon.trim());
    let said = "WARN  gateway: CN=stoxd test intermediate mid, in the chain, expires in ";
    assert!(ran.code == 0 && ran.out.contains(said), "{}", ran.out);
}

/// What a server with the certificate `pki/NAME.pem`, which says it is fabrikam.example, hears inside TLS.
fn heard(house: &House, name: &str) -> String {
    let at = format!("{}:15269", house.ip);
    let (cert, key) = (format!("pki/{name}.pem"), format!("pki/{name}.key"));
    let words =
        ["s_client", "-quiet", "-starttls", "xmpp-server", "-xmpphost", "contoso.example", "-connect", &at];
    let mut command = std::process::Command::new("openssl");
    command.args(words).args(["-cert", &cert, "-key", &key]).current_dir(house.path(""));
    let (input, output) = (std::process::Stdio::piped(), std::process::Stdio::piped());
    let mut child = command.stdin(input).stdout(output).stderr(std::process::Stdio::null()).spawn().unwrap();
    let header = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' from='fabrikam.example' \
        xmlns:stream='http://etherx.jabber.org/streams' to='contoso.example' version='1.0'>";
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), header.as_bytes()).unwrap();
    let (mut heard, mut octet) = (Vec::new(), [0]);
    let output = child.stdout.as_mut().unwrap();
    let ends = [&b"</stream:features>"[..], b"</stream:stream>"];
    while !ends.iter().any(|end| heard.ends_with(end))
        && std::io::Read::read(output, &mut octet).unwrap() == 1
    {
        heard.push(octet[0]);
    }
    let _ = child.kill();
    let _ = child.wait();
    String::from_utf8(heard).unwrap()
}

#[test]
fn f069_f070_f071_an_xmpp_server_that_opens_a_stream_hears_why_it_is_refused_and_so_does_the_log() {
    let Some(house) = certified() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/make-test-ca");
    let issue = |name: &str, options: &[&str], san: &str| {
        let mut command = std::process::Command::new(script);
        command.args(options).arg(house.path("pki")).args([name, san]);
        assert_eq!(super::rig::run(&mut command).code, 0);
    };
    issue("good", &[], "DNS:fabrikam.example");
    issue("revoked", &[], "DNS:fabrikam.example");
    issue("old", &["--expired"], "DNS:fabrikam.example");
    issue("liar", &["--ca", "rogue"], "DNS:fabrikam.example");
    issue("misnamed", &[], "DNS:tailspin.example");
    let config = "[ca]\ndefault_ca = it\n[it]\ndatabase = index\ncrlnumber = number\ndefault_md = sha256\n";
    house.write("crl.cnf", config);
    house.write("index", "");
    house.write("number", "01\n");
    let ca = ["ca", "-config", "crl.cnf", "-cert", "pki/ca.pem", "-keyfile", "pki/ca.key"];
    made(&house, &[&ca[..], &["-revoke", "pki/revoked.pem"]].concat());
    made(&house, &[&ca[..], &["-gencrl", "-crldays", "30", "-out", "ca.crl"]].concat());
    house.edit("[tls]\n", "[tls]\ncrl = \"hard\"\ncrl_files = [\"ca.crl\"]\n");
    let strict =
        super::rig::POLICY.replace("type = \"federated\"\n", "type = \"federated\"\ndialback = false\n");
    for (policy, offers_keys) in
        [(strict.clone(), false), (strict.replace("false", "true\nsasl = \"optional\""), true)]
    {
        house.write("policy.toml", &policy);
        let _daemon = house.start();
        let good = heard(&house, "good");
        assert!(good.contains("<mechanism>EXTERNAL</mechanism>"), "{good}");
        for (name, why) in [
            ("liar", "untrusted issuer"),
            ("old", "certificate expired"),
            ("misnamed", "certificate is for another name"),
            ("revoked", "certificate revoked"),
        ] {
            let answer = heard(&house, name);
            assert!(!answer.contains("EXTERNAL"), "{name}: {answer}");
            if offers_keys {
                assert!(answer.contains("urn:xmpp:features:dialback"), "{name}: {answer}");
                continue;
            }
            let error = "<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>";
            assert!(answer.contains(error) && answer.contains(why), "{name}: {answer}");
            let logged = format!(
                "inbound stream that calls itself fabrikam.example ended: stream error sent: policy-violation: {why}"
            );
            super::rig::wait_for(&logged, || house.read("log").contains(&logged).then_some(()));
        }
    }
}

#[test]
fn f067_a_chain_in_the_wrong_order_a_false_one_and_a_key_for_a_group_are_found() {
    let Some(house) = certified() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/certs/make-test-ca");
    let names = ["DNS:gw.contoso.example", "DNS:contoso.example", "DNS:litware.example"];
    for folder in ["pki", "elsewhere"] {
        let mut command = std::process::Command::new(script);
        command.args(["--via", "mid"]).arg(house.path(folder)).arg("gateway").args(names);
        assert_eq!(super::rig::run(&mut command).code, 0);
    }
    let chain = house.read("pki/gateway.pem");
    let leaf = chain.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap();
    let check = |above: &str| {
        house.write("pki/gateway.pem", &format!("{leaf}{above}"));
        house.stoxd(&["cert", "check"])
    };
    let ran = check(&house.read("pki/mid.pem"));
    assert!(ran.code == 0 && !ran.out.contains("chain"), "{}", ran.out);
    let ran = check(&(house.read("pki/ca.pem") + &house.read("pki/mid.pem")));
    let said = "FAIL  gateway: the chain is out of order, or one is missing in it\n";
    assert!(ran.code == 3 && ran.out.contains(said), "{}", ran.out);
    // Another authority that goes by the same name.
    let ran = check(&house.read("elsewhere/mid.pem"));
    let said =
        "FAIL  gateway: the chain is wrong: CN=stoxd test intermediate mid did not sign what is below it\n";
    assert!(ran.code == 3 && ran.out.contains(said), "{}", ran.out);
    house.chmod("pki/gateway.key", 0o640);
    let ran = check(&house.read("pki/mid.pem"));
    assert!(ran.code == 0 && ran.out.contains("WARN  gateway: a group can read the key "), "{}", ran.out);
    assert!(ran.out.contains(" (mode 0640)\n"), "{}", ran.out);
}

#[test]
fn f064_a_certificate_is_not_assigned_to_a_domain_that_it_does_not_name() {
    let Some(house) = certified() else { return };
    let before = house.read("stoxd.toml");
    for words in [&["--for", "litware.example"][..], &["--for", "xmpp"], &["--for", "all", "--what-if"]] {
        let ran = house.stoxd(&[&["cert", "assign", "gateway"], words].concat());
        let said = "certificate \"gateway\" is not for litware.example: partners would refuse it; it is for ";
        assert!(ran.code == 3 && ran.err.contains(said), "{words:?}: {ran:?}");
        assert_eq!(house.read("stoxd.toml"), before);
    }
}

#[test]
fn a_rollback_to_an_earlier_change_takes_back_what_later_ones_did_to_the_other_file() {
    let house = house(&format!("{SWITCH}{SALES}[grants]\nfile = \"grants.csv\"\n"));
    let grants = "sip:alice@contoso.example,Sales\n";
    house.write("grants.csv", grants);
    let before = house.read("policy.toml");
    done(&house, &["partner", "new", "one.example"]);
    done(&house, &["policy", "revoke", "--from", "sip:alice@contoso.example", "--yes"]);
    assert_eq!(house.read("grants.csv"), "");
    let ran = done(&house, &["policy", "rollback", "1", "--yes"]);
    let said = "taken back: partner new one.example; policy revoke --from sip:alice@contoso.example\n";
    assert!(ran.out.starts_with(said), "{}", ran.out);
    assert_eq!((house.read("policy.toml"), house.read("grants.csv")), (before, grants.to_owned()));
}
