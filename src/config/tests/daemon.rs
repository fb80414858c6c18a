//! `stoxd.toml`: defaults, and what errors look like, letter by letter.

use super::*;
use crate::config::settings::*;
use std::time::Duration;

/// `DAEMON` with `more` behind it.
fn with(more: &str) -> String {
    format!("{DAEMON}\n{more}\n")
}

/// What is printed when `more` stands behind `DAEMON`.
fn errors(more: &str) -> String {
    printed(&with(more), "")
}

#[test]
fn the_least_that_works_has_lyncs_defaults() {
    let config = config(DAEMON, "").unwrap();
    assert_eq!(config.gateway.name.as_str(), "gw.contoso.example");
    assert_eq!(config.gateway.state_dir, PathBuf::from("/var/lib/stoxd"));
    assert_eq!(config.admin_socket, PathBuf::from("/run/stoxd/admin.sock"));
    assert_eq!(
        config.xmpp,
        Xmpp {
            listen: vec!["[::]:5269".parse().unwrap()],
            connection_limit: 1000,
            partner_connection_limit: 20,
            keepalive_interval: Duration::from_secs(300),
            stream_establishment_timeout: Duration::from_secs(60),
            stream_inactivity_timeout: Duration::from_secs(600),
            dialback_secret: None,
        }
    );
    let listen = SipListen { addr: "[::]:5061".parse().unwrap(), transport: Transport::Tls };
    assert_eq!(config.sip.listen, [listen]);
    let peer = &config.sip.peers[0];
    assert_eq!((peer.message_limit, peer.srv), (None, Srv::Sip));
    assert_eq!(peer.identity, [Domain::parse("contoso.example").unwrap()]);
    assert_eq!(config.domains[0].peer, Some(0));
    assert_eq!(config.tls.certificates[0].key, PathBuf::from("/run/credentials/stoxd/contoso.key"));
    assert_eq!(config.limits.queue_timeout, Duration::from_secs(10));
    assert_eq!(config.sip.subscription_refresh_interval, Duration::from_secs(28_800));
    assert!(config.serves("contoso.example") && !config.serves("fabrikam.example"));
    assert!(!config.table.is_enabled());
    assert_eq!(config.warnings, []);
}

#[test]
fn every_key_is_taken() {
    let daemon = r#"
[gateway]
name = "gw.contoso.example"
state_dir = "state"
policy = "policy.toml"
shards = 1
[[domain]]
name = "Contoso.Example."
certificate = "contoso"
tel_domain = true
[[domain]]
name = "found.example"
discovery = true
[tls]
trust = "ca.pem"
min_version = "1.3"
crl = "off"
[[tls.certificate]]
id = "contoso"
chain = "contoso.crt"
key = "cred:contoso.key"
[dns]
servers = ["127.0.0.1:5353"]
dnssec = true
private_addresses = true
[xmpp]
listen = ["127.0.0.1:5269", "[::1]:5269"]
connection_limit = 100
partner_connection_limit = 5
keepalive_interval = "2s"
stream_establishment_timeout = "1s"
stream_inactivity_timeout = "500ms"
dialback_secret = "dialback"
[sip]
listen = [ { addr = "[::]:5061", transport = "tls" }, { addr = "[::]:5060", transport = "udp" } ]
subscription_refresh_interval = "7d"
keepalive_interval = "20s"
session_idle_timeout = "5m"
[[sip.peer]]
name = "edge"
domains = ["contoso.example"]
route = "sip:edge.contoso.example:5061;transport=TLS"
identity = ["edge.contoso.example"]
addresses = ["192.0.2.0/24", "2001:db8::1"]
im = "pager"
message_limit = "2KiB"
verification = "always-verifiable"
monitor = true
digest = { user = "gw", password = "password" }
[presence]
watch_limit = 1000
user_watch_limit = 10
domain_watch_limit = 100
subscribe_rate = 50
user_pending_limit = 5
pending_limit = 500
forget_after = "never"
default_expires = "30m"
min_expires = "5m"
max_expires = "2h"
[limits]
message_size = "32KiB"
stanza_size = 100000
partner_rate = 0
user_rate = 5
discovered_rate = 2
discovered_contacts = 3
queue = 10
queue_timeout = "5s"
session_limit = 100
user_session_limit = 3
partner_session_limit = 50
[msrp]
listen = []
[storage]
kind = "embedded"
[log]
target = "json"
level = "debug"
message_bodies = false
[metrics]
listen = ""
[admin]
socket = "admin.sock"
web = ""
"#;
    let mut files = files(daemon, "");
    for (path, mode) in [("ca.pem", 0o644), ("dialback", 0o600), ("password", 0o640)] {
        files.0.insert(Path::new("/etc/stoxd").join(path), (String::new(), mode));
    }
    let config = read(&files).unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!(config.gateway.state_dir, PathBuf::from("/etc/stoxd/state"));
    assert_eq!(config.domains[0].name.as_str(), "contoso.example");
    assert_eq!(config.tls.trust, Trust::Bundle("/etc/stoxd/ca.pem".into()));
    assert_eq!(config.tls.min_version, TlsVersion::Tls13);
    assert_eq!(config.xmpp.stream_inactivity_timeout, Duration::from_millis(500));
    assert_eq!(config.sip.listen[1].transport, Transport::Udp);
    let peer = &config.sip.peers[0];
    let route = peer.route.as_ref().unwrap();
    assert_eq!((route.host.as_str(), route.port), ("edge.contoso.example", Some(5061)));
    assert_eq!(route.transport, Some(Transport::Tls));
    assert_eq!(peer.addresses[1].to_string(), "2001:db8::1/128");
    assert_eq!(peer.message_limit, Some(2048));
    assert_eq!(peer.digest.as_ref().unwrap().password, PathBuf::from("/etc/stoxd/password"));
    assert_eq!(config.limits.stanza_size, 100_000);
    assert_eq!(config.sip.subscription_refresh_interval, Duration::from_secs(604_800));
    assert_eq!(config.sip.keepalive_interval, Duration::from_secs(20));
    assert_eq!(
        config.presence,
        Presence {
            watches: 1000,
            per_user: 10,
            per_domain: 100,
            subscribe_rate: 50,
            pending_per_user: 5,
            pending: 500,
            forget_after: 0,
            default_expires: Duration::from_secs(1800),
            min_expires: Duration::from_secs(300),
            max_expires: Duration::from_secs(7200),
        }
    );
    assert_eq!(config.log, Log { target: LogTarget::Json, level: LogLevel::Debug, message_bodies: false });
    assert_eq!(config.admin_socket, PathBuf::from("/etc/stoxd/admin.sock"));
}

#[test]
fn f065_a_roll_over_names_what_it_replaces_and_when() {
    let row = |more: &str| {
        let next = format!(
            "[[tls.certificate]]\nid = \"next\"\nchain = \"contoso.crt\"\nkey = \"cred:contoso.key\"\n{more}"
        );
        errors(&next)
    };
    let full = "replaces = \"contoso\"\nuse_from = \"2027-01-01T00:00:00Z\"\n";
    assert_eq!(row(full), "");
    assert_eq!(row("replaces = \"contoso\"\nuse_from = \"2027-01-01\"\n"), "");
    for (more, message) in [
        ("replaces = \"contoso\"\n", "\"replaces\" needs \"use_from\""),
        ("use_from = \"2027-01-01\"\n", "\"use_from\" needs \"replaces\""),
        ("replaces = \"contso\"\nuse_from = \"2027-01-01\"\n", "did you mean \"contoso\""),
        ("replaces = \"next\"\nuse_from = \"2027-01-01\"\n", "unknown certificate \"next\""),
        (
            "replaces = \"contoso\"\nuse_from = \"tomorrow\"\n",
            "a point in time such as \"2027-01-01T00:00:00Z\"",
        ),
    ] {
        assert!(row(more).contains(message), "{more}: {}", row(more));
    }
    let daemon =
        DAEMON.replace("name = \"contoso.example\"", "name = \"contoso.example\"\ncertificate = \"next\"");
    let next = "[[tls.certificate]]\nid = \"next\"\nchain = \"contoso.crt\"\nkey = \"cred:contoso.key\"\n";
    let text = printed(&format!("{daemon}{next}{full}"), "");
    assert!(text.contains("no [[tls.certificate]] without \"replaces\" has this id"), "{text}");
}

#[test]
fn revocation_lists_are_soft_by_default_and_their_files_are_looked_at() {
    let text = errors("[tls]\ncrl_files = [\"none.crl\"]");
    assert!(text.contains("none.crl"), "{text}");
    let text = errors("[tls]\ncrl = \"soft\"\ncrl_files = [\"contoso.crt\"]");
    assert_eq!(text, "");
    let text = printed(&format!("{DAEMON}[tls]\ncrl = \"off\"\ncrl_files = [\"contoso.crt\"]\n"), "");
    assert!(text.contains("the revocation lists are not looked at"), "{text}");
    assert_eq!(read(&files(DAEMON, "")).unwrap().tls.crl, settings::Crl::Soft);
}

#[test]
fn an_unknown_key_is_an_error_with_a_suggestion() {
    assert_eq!(
        errors("[xmpp]\nlsiten = [\"[::]:5269\"]\n"),
        "error: unknown key \"lsiten\" in [xmpp]\n  --> stoxd.toml:17:1\n17 | lsiten = [\"[::]:5269\"]\n   | ^^^^^^ \
         did you mean \"listen\"?"
    );
    assert_eq!(
        errors("[xmp]\nlisten = []\n"),
        "error: unknown table [xmp]\n  --> stoxd.toml:16:2\n16 | [xmp]\n   |  ^^^ did you mean \"xmpp\"?"
    );
    assert_eq!(
        errors("[log]\ncolour = true"),
        "error: unknown key \"colour\" in [log]\n  --> stoxd.toml:17:1\n17 | colour = true\n   | ^^^^^^ known here: \
         level, message_bodies, target"
    );
}

#[test]
fn all_errors_of_both_files_come_in_one_pass() {
    let daemon =
        with("[xmpp]\nkeepalive_interval = 300\nconnection_limit = 0\n[log]\nlevel = \"loud\"\nx = ");
    let policy = "[federation]\nenabled = \"yes\"\n[[policy]]\nscope = \"usr\"\n";
    assert_eq!(
        printed(&daemon, policy),
        "\
error: \"keepalive_interval\" must be a string
  --> stoxd.toml:17:22
17 | keepalive_interval = 300
   |                      ^^^ a duration has a unit: \"300s\"

error: \"connection_limit\" is out of range
  --> stoxd.toml:18:20
18 | connection_limit = 0
   |                    ^ 1 to 1000000

error: unknown level \"loud\"
  --> stoxd.toml:20:9
20 | level = \"loud\"
   |         ^^^^^^ one of: error, warn, info, debug, trace

error: string values must be quoted
  --> stoxd.toml:21:5
21 | x = 
   |     ^ expected literal string

error: \"enabled\" must be true or false
 --> policy.toml:2:11
2 | enabled = \"yes\"
  |           ^^^^^ this is a string

error: unknown scope \"usr\"
 --> policy.toml:4:9
4 | scope = \"usr\"
  |         ^^^^^ did you mean \"user\"?"
    );
}

#[test]
fn units_ranges_and_addresses_are_checked() {
    assert_eq!(
        errors("[limits]\nqueue_timeout = \"10\"\nstanza_size = \"1KiB\"\nmessage_size = \"1MiB\"\n"),
        "\
error: bad value \"10\" for \"queue_timeout\"
  --> stoxd.toml:17:17
17 | queue_timeout = \"10\"
   |                 ^^^^ a duration has a unit: \"300s\", \"10m\", \"8h\"

error: \"stanza_size\" is out of range
  --> stoxd.toml:18:15
18 | stanza_size = \"1KiB\"
   |               ^^^^^^ 10000 to 16777216

error: \"message_size\" is above \"stanza_size\"
  --> stoxd.toml:19:16
19 | message_size = \"1MiB\"
   |                ^^^^^^ 1048576 octets of text, 262144 of a stanza"
    );
    assert!(errors("[xmpp]\nlisten = [\"5269\"]").contains("an address and a port"));
    assert!(
        errors("[xmpp]\nlisten = [\"[::]:5269\", \"[::]:5269\"]")
            .contains("[::]:5269 stands in \"listen\" twice")
    );
    assert!(
        errors("[xmpp]\nconnection_limit = 5\npartner_connection_limit = 6")
            .contains("the whole gateway has 5")
    );
    assert!(
        errors("[xmpp]\npartner_connection_limit = 1").starts_with("warning: one stream for each partner")
    );
}

#[test]
fn watches_have_bounds_that_fit_together() {
    for (keys, message) in [
        ("watch_limit = 0", "\"watch_limit\" is out of range"),
        ("subscribe_rate = 0", "\"subscribe_rate\" is out of range"),
        ("watch_limit = 10\nuser_watch_limit = 11", "\"user_watch_limit\" is above \"watch_limit\""),
        ("watch_limit = 10\ndomain_watch_limit = 11", "\"domain_watch_limit\" is above \"watch_limit\""),
        ("pending_limit = 99\nuser_pending_limit = 100", "the whole gateway has 99"),
        ("min_expires = \"1h\"\nmax_expires = \"30m\"", "\"min_expires\" is above \"max_expires\""),
        ("default_expires = \"25h\"", "\"default_expires\" is above \"max_expires\""),
        ("default_expires = \"1m\"\nmin_expires = \"2m\"", "\"min_expires\" is above \"default_expires\""),
        ("min_expires = \"2h\"", "\"min_expires\" is out of range"),
        ("max_expires = \"8d\"", "\"max_expires\" is out of range"),
        ("forget_after = \"1d\"", "days, \"30d\" to \"3650d\", or \"never\""),
        ("forget_after = \"1000h\"", "days, \"30d\" to \"3650d\", or \"never\""),
        ("forget_after = \"-30d\"", "days, \"30d\" to \"3650d\", or \"never\""),
        ("forget_aftr = \"30d\"", "did you mean \"forget_after\"?"),
    ] {
        let text = errors(&format!("[presence]\n{keys}"));
        assert!(text.contains(message) && text.matches("error: ").count() == 1, "{keys}: {text}");
    }
    for (text, days) in [("30d", 30), ("3650d", 3650), ("never", 0), ("0", 0)] {
        let config = config(&with(&format!("[presence]\nforget_after = \"{text}\"")), "").unwrap();
        assert_eq!(config.presence.forget_after, days, "{text}");
    }
    // What is left out follows.
    for keys in ["max_expires = \"30m\"", "watch_limit = 10", "pending_limit = 1", "max_expires = \"60s\""] {
        assert_eq!(errors(&format!("[presence]\n{keys}")), "", "{keys}");
    }
    for wrong in ["59s", "8d"] {
        let text = errors(&format!("[sip]\nsubscription_refresh_interval = \"{wrong}\""));
        assert!(text.contains("\"subscription_refresh_interval\" is out of range"), "{text}");
    }
}

#[test]
fn what_is_not_built_yet_is_an_error_that_says_so() {
    for (more, message) in [
        ("[storage]\nkind = \"cluster\"", "storage in a cluster is not built yet"),
        ("[admin]\nweb = \"127.0.0.1:8420\"", "the panel is not built yet"),
        ("verification = \"use-source-verification\"", "its header is not public"),
    ] {
        assert!(errors(more).contains(message), "{more}: {}", errors(more));
    }
    assert_eq!(errors("im = \"msrp\"\n[msrp]\nlisten = [\"[::]:2855\"]\nhost = \"msrp.example\""), "");
    for (more, message) in [
        ("[msrp]\nlisten = [\"[::]:2855\", \"[::1]:2856\"]", "two ports for MSRP"),
        ("[msrp]\nlisten = [\"[::]:2855\", \"[::]:2855\"]", "twice"),
        ("[msrp]\ntransport = \"udp\"", "transport"),
        ("[msrp]\nhost = \"a b\"", "bad value"),
        ("[msrp]\nconnection_limit = 0", "out of range"),
    ] {
        assert!(errors(more).contains(message), "{more}: {}", errors(more));
    }
    assert_eq!(errors("im = \"pager\"\nverification = \"always-verifiable\"\nmonitor = false"), "");
    let warned = printed(&format!("{DAEMON}[log]\nmessage_bodies = true\n"), "");
    assert!(warned.contains("warning: texts of messages are in the log"), "{warned}");
    assert!(errors("im = \"mrsp\"").contains("did you mean \"msrp\"?"));
}

#[test]
fn metrics_are_on_this_machine_unless_the_file_says_otherwise() {
    let listen = |more: &str| config(&format!("{DAEMON}{more}"), "").unwrap().metrics;
    assert_eq!(listen(""), Some("127.0.0.1:9464".parse().unwrap()));
    assert_eq!(listen("[metrics]\nlisten = \"[::1]:9000\"\n"), Some("[::1]:9000".parse().unwrap()));
    assert_eq!(listen("[metrics]\nlisten = \"\"\n"), None);
    for wrong in ["\"9464\"", "\"localhost:9464\"", "9464", "true"] {
        let text = errors(&format!("[metrics]\nlisten = {wrong}"));
        assert!(text.contains("error: ") && text.contains("listen"), "{wrong}: {text}");
    }
    let warned = printed(&format!("{DAEMON}[metrics]\nlisten = \"192.0.2.1:9464\"\n"), "");
    assert!(warned.contains("warning: 192.0.2.1:9464 tells others our partners' names"), "{warned}");
}

#[test]
fn every_domain_has_exactly_one_peer_or_is_discovered() {
    assert_eq!(
        errors("[[domain]]\nname = \"tailspin.example\"\n"),
        "error: no peer serves \"tailspin.example\"\n  --> stoxd.toml:17:8\n17 | name = \"tailspin.example\"\n   |        \
         ^^^^^^^^^^^^^^^^^^ name it in one [[sip.peer]], or set discovery = true"
    );
    assert_eq!(errors("[[domain]]\nname = \"tailspin.example\"\ndiscovery = true\n"), "");
    assert_eq!(
        errors("[[sip.peer]]\nname = \"two\"\ndomains = [\"contoso.example\", \"contso.example\"]\n"),
        "\
error: two peers serve \"contoso.example\"
  --> stoxd.toml:18:12
18 | domains = [\"contoso.example\", \"contso.example\"]
   |            ^^^^^^^^^^^^^^^^^ \"edge\" does already

error: unknown domain \"contso.example\"
  --> stoxd.toml:18:31
18 | domains = [\"contoso.example\", \"contso.example\"]
   |                               ^^^^^^^^^^^^^^^^ did you mean \"contoso.example\"?"
    );
    assert!(errors("[[domain]]\nname = \"CONTOSO.example\"").contains("served twice"));
    assert!(errors("[[domain]]\nname = \"localhost\"\ndiscovery = true").contains("not fully qualified"));
    assert!(errors("[[domain]]\nname = \"192.0.2.1\"\ndiscovery = true").contains("a name is needed"));
    assert!(config("[gateway]\nname = \"gw.example\"", "").is_err());
}

#[test]
fn a_peer_is_not_trusted_by_everybodys_address() {
    let peer = |key: &str| with(key).replace("name = \"edge\"", "name = \"edge\"\nim = \"auto\"");
    let text = printed(&peer("addresses = [\"0.0.0.0/0\"]"), "");
    assert!(text.contains("this trusts everybody without a certificate"), "{text}");
    assert!(printed(&peer("addresses = [\"192.0.2.1/24\"]"), "").contains("the network is 192.0.2.0/24"));
    assert!(
        printed(&peer("addresses = [\"192.0.2.1\"]"), "")
            .starts_with("warning: \"addresses\" have no effect")
    );
    assert!(printed(&peer("identity = []"), "").contains("nobody may speak for this peer"));
    for (route, reason) in [
        ("sips:edge.example", "write sip:…;transport=tls"),
        ("sip:bob@edge.example", "a route has a host"),
        ("sip:edge.example;transport=sctp", "transport is tls, tcp or udp"),
        ("sip:edge.example;ttl=3", "unknown parameter \"ttl\""),
        ("tel:+123", "a route is a sip: URI"),
        ("edge.example", "scheme"),
    ] {
        let text = printed(&peer(&format!("route = \"{route}\"")), "");
        assert!(text.contains(reason), "{route}: {text}");
    }
}

#[test]
fn f110_f111_the_self_test_has_one_user_on_each_side() {
    let said = |text: &str| printed(&format!("{DAEMON}\n[selftest]\n{text}"), "");
    let (alice, romeo) = ("sip:alice@contoso.example", "xmpp:romeo@fabrikam.example");
    let pair = |from: &str, to: &str| format!("from = \"{from}\"\nto = \"{to}\"\n");
    for (from, to) in [(alice, romeo), (romeo, alice)] {
        assert_eq!(said(&pair(from, to)), "");
        assert_eq!(said(&format!("{}every = \"24h\"\n", pair(from, to))), "");
    }
    assert!(said(&pair(alice, "sip:bob@contoso.example")).contains("no pair to be tested"));
    assert!(said(&pair("x@", romeo)).contains("from"));
    assert!(said(&format!("from = \"{alice}\"\n")).contains("needs \"to\""));
    assert!(said(&format!("{}every = \"1s\"\n", pair(alice, romeo))).contains("every"));
    let config = read(&files(&format!("{DAEMON}\n[selftest]\n{}", pair(alice, romeo)), "")).unwrap();
    let set = config.selftest.unwrap();
    assert_eq!((set.from.as_str(), set.to.as_str(), set.every), (alice, romeo, None));
}

#[test]
fn two_listeners_for_one_port_are_an_error() {
    let listen = |second: &str| {
        let one = "{ addr = \"[::]:5061\", transport = \"tls\" }";
        printed(
            &DAEMON.replace("[[sip.peer]]", &format!("[sip]\nlisten = [{one}, {second}]\n[[sip.peer]]")),
            "",
        )
    };
    assert!(listen("{ addr = \"[::]:5061\", transport = \"tcp\" }").contains("two listeners for [::]:5061"));
    // RFC 3261 §18.2.1: udp brings tcp at its port.
    let said = listen("{ addr = \"[::]:5061\", transport = \"udp\" }");
    assert!(said.contains("two tcp listeners for [::]:5061"), "{said}");
    assert_eq!(listen("{ addr = \"[::]:5060\", transport = \"udp\" }"), "");
    let said = listen("{ addr = \"[::]:5269\", transport = \"tcp\" }");
    assert!(
        said.contains("two tcp listeners for [::]:5269") && said.contains("[xmpp] listen has it too"),
        "{said}"
    );
    assert!(listen("{ addr = \"[::]:5060\", transport = \"websocket\" }").contains("one of: tls, tcp, udp"));
    assert!(listen("{ transport = \"udp\" }").contains("a listener of [sip] needs \"addr\""));
}

#[test]
fn threat_174_a_secret_that_everybody_can_read_refuses_the_start() {
    let mut files = files(&DAEMON.replace("cred:contoso.key", "contoso.key"), "");
    let mut printed_with = |mode| {
        files.0.insert("/etc/stoxd/contoso.key".into(), (String::new(), mode));
        match read(&files) {
            Ok(_) => String::new(),
            Err(problems) => problems[0].to_string(),
        }
    };
    assert_eq!(
        printed_with(0o644),
        "error: everybody can read \"contoso.key\"\n  --> stoxd.toml:10:7\n10 | key = \"contoso.key\"\n   |       ^^^^^^^^^^^^^ \
         it holds a secret: chmod 600 /etc/stoxd/contoso.key"
    );
    assert!(printed_with(0o602).contains("everybody can write"));
    assert_eq!(printed_with(0o640), "");
    assert_eq!(printed_with(0o100_400), "");
}

#[test]
fn threat_172_a_named_file_that_is_not_there_refuses_the_start() {
    let mut files = files(DAEMON, "");
    files.0.remove(Path::new("/run/credentials/stoxd/contoso.key"));
    let problems = read(&files).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "error: can't read \"cred:contoso.key\"\n  --> stoxd.toml:10:7\n10 | key = \"cred:contoso.key\"\n   |       \
         ^^^^^^^^^^^^^^^^^^ /run/credentials/stoxd/contoso.key: there is no such file"
    );
    files.0.remove(Path::new("/etc/stoxd/policy.toml"));
    let problems = read(&files).unwrap_err();
    assert_eq!(
        problems[1].to_string(),
        "error: can't read /etc/stoxd/policy.toml\n --> policy.toml: there is no such file: [gateway] policy names another"
    );
    let problems = read(&Memory::default()).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "error: can't read /etc/stoxd/stoxd.toml\n --> stoxd.toml: there is no such file: -c FILE names another"
    );
}

#[test]
fn who_checks_without_the_credentials_is_told_that_they_were_not_looked_at() {
    let path = Path::new("/etc/stoxd/stoxd.toml");
    let files = files(DAEMON, "");
    let config = parse(path, &files, &Surroundings::default(), Purpose::Check).unwrap();
    assert_eq!(config.warnings.len(), 1);
    assert_eq!(config.warnings[0].message, "\"cred:contoso.key\" was not looked at");
    assert!(parse(path, &files, &Surroundings::default(), Purpose::Run).is_err());
}

#[test]
fn systemds_folders_are_the_defaults() {
    let surroundings = Surroundings {
        state: Some("/var/lib/private/stoxd".into()),
        runtime: Some("/run/private/stoxd".into()),
        ..surroundings()
    };
    let path = Path::new("/etc/stoxd/stoxd.toml");
    let config = parse(path, &files(DAEMON, ""), &surroundings, Purpose::Run).unwrap();
    assert_eq!(config.gateway.state_dir, PathBuf::from("/var/lib/private/stoxd"));
    assert_eq!(config.admin_socket, PathBuf::from("/run/private/stoxd/admin.sock"));
}

#[test]
fn a_tls_listener_without_a_certificate_and_unknown_ids_are_errors() {
    let bare = DAEMON.replace(
        "[[tls.certificate]]\nid = \"contoso\"\nchain = \"contoso.crt\"\nkey = \"cred:contoso.key\"\n",
        "certificate = \"contso\"\n",
    );
    let text = printed(&bare, "");
    assert!(text.contains("a TLS listener needs a certificate"), "{text}");
    assert!(text.contains("unknown certificate \"contso\""), "{text}");
    let text = printed(&DAEMON.replace("[[tls", "certificate = \"contso\"\n[[tls"), "");
    assert!(text.contains("did you mean \"contoso\"?"), "{text}");
}

#[test]
fn any_text_is_answered_with_problems_and_not_with_a_panic() {
    for text in [
        "",
        "\u{0}",
        "[[",
        "a.b.c = {",
        "[gateway]\n[gateway]",
        "gateway = 1\ndomain = 2\nsip = []",
        "\u{feff}x",
    ] {
        assert!(config(text, text).is_err(), "{text:?}");
    }
    let deep = format!("x = {}", "[".repeat(100_000));
    assert!(config(&deep, "").is_err());
}

#[test]
fn f51_f59_the_one_gateway_configuration_has_lyncs_defaults_and_gives_back_what_is_set() {
    let xmpp = config(DAEMON, "").unwrap().xmpp;
    let seconds = Duration::from_secs;
    assert_eq!((xmpp.connection_limit, xmpp.partner_connection_limit), (1000, 20));
    let times = (xmpp.keepalive_interval, xmpp.stream_establishment_timeout, xmpp.stream_inactivity_timeout);
    assert_eq!(times, (seconds(300), seconds(60), seconds(600)));
    assert_eq!(xmpp.dialback_secret, None);
    let set = "[xmpp]\nconnection_limit = 1200\npartner_connection_limit = 30\nkeepalive_interval = \"100s\"\n\
               stream_establishment_timeout = \"20s\"\nstream_inactivity_timeout = \"200s\"\n";
    let xmpp = config(&format!("{DAEMON}{set}"), "").unwrap().xmpp;
    assert_eq!((xmpp.connection_limit, xmpp.partner_connection_limit), (1200, 30));
    let times = (xmpp.keepalive_interval, xmpp.stream_establishment_timeout, xmpp.stream_inactivity_timeout);
    assert_eq!(times, (seconds(100), seconds(20), seconds(200)));
    // There is one, and what is out of range is refused.
    assert!(errors(&format!("{set}{set}")).starts_with("error: "));
    assert!(errors("[xmpp]\nconnection_limit = 0\n").contains("connection_limit"));
    assert!(errors("[xmpp]\nkeepalive_interval = \"1ms\"\n").contains("keepalive_interval"));
}
