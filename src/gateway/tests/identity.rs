//! Who may say what on the SIP side: links, domains, and headers that claim more.

use super::net::{Net, address};
use super::texts::{message, message_with, request};
use super::world::{Seen, World};
use super::{ALICE, ROMEO};
use crate::addr::Domain;
use crate::sip::link::{LinkIdentity, PeerId, Source};

fn world() -> World {
    World::new(Net::works())
}

fn source(world: &World, identity: LinkIdentity) -> Source {
    Source { identity, ..world.source() }
}

fn proven(domains: &[&str]) -> LinkIdentity {
    let domains: Vec<Domain> = domains.iter().map(|d| Domain::parse(d).unwrap()).collect();
    LinkIdentity { peer: Some(PeerId(0)), domains: domains.into() }
}

/// The status of the answer; nothing else may happen.
#[track_caller]
fn status(world: &mut World, source: &Source, text: &str) -> u16 {
    world.sip_from(source, text);
    let status = world.one_sip().status().unwrap();
    if status >= 300 {
        assert!(world.seen.is_empty(), "{:?}", world.seen);
    } else {
        world.seen.clear();
    }
    status
}

#[test]
fn check_160_threat_085_a_link_that_proved_nothing_gets_403_for_everything() {
    let mut world = world();
    let nobody = source(&world, LinkIdentity::default());
    for text in [
        message(1, ALICE, ROMEO, "x"),
        request("OPTIONS", 2, ALICE, ROMEO, "", ""),
        request("REGISTER", 3, ALICE, "contoso.example", "", ""),
        request("NOTIFY", 4, ALICE, ROMEO, "", ""),
        request("SUBSCRIBE", 5, ALICE, ROMEO, "", ""),
    ] {
        assert_eq!(status(&mut world, &nobody, &text), 403, "{text}");
    }
}

#[test]
fn check_161_a_link_speaks_for_its_own_domains_alone() {
    let mut world = world();
    let tailspin = source(&world, proven(&["tailspin.example"]));
    assert_eq!(status(&mut world, &tailspin, &message(1, ALICE, ROMEO, "x")), 403);
    assert_eq!(status(&mut world, &tailspin, &message(2, "alice@tailspin.example", ROMEO, "x")), 202);
}

#[test]
fn threat_087_from_must_be_of_the_links_domain_and_be_one() {
    let mut world = world();
    let link = world.source();
    let from =
        |value: &str| message(1, ALICE, ROMEO, "x").replace("<sip:alice@contoso.example>;tag=from1", value);
    for (value, expected) in [
        ("<sip:alice@capulet.example>;tag=1", 403),
        ("<sip:alice@sub.contoso.example>;tag=2", 403),
        ("<sip:alice@contoso.example.evil.example>;tag=3", 403),
        ("\"<sip:alice@contoso.example>\" <sip:mallory@evil.example>;tag=4", 403),
        ("<sip:contoso.example>;tag=5", 403),
        ("<sip:alice@contoso.example>;tag=6, <sip:bob@contoso.example>;tag=7", 400),
        ("<sip:alice@contoso.example@evil.example>;tag=8", 400),
        ("<sip:alice@evil.example?X=@contoso.example>;tag=9", 400),
        ("<sip:alice%40contoso.example@evil.example>;tag=10", 403),
        ("<sip:%00alice@contoso.example>;tag=11", 400),
        ("<tel:+15551230001>;tag=12", 403),
        ("<http://contoso.example/alice>;tag=13", 400),
        ("<sips:alice@contoso.example>;tag=14", 403),
    ] {
        let got = {
            world.sip_from(&link, &from(value));
            world.take_sip().first().and_then(super::texts::Sent::status)
        };
        assert!(world.seen.is_empty(), "{value}: {:?}", world.seen);
        assert!(got.is_some_and(|s| s == expected || (400..500).contains(&s)), "{value}: {got:?}");
        if expected == 403 && !value.contains("tel:") && !value.contains("sips:") {
            assert_eq!(got, Some(403), "{value}");
        }
    }
}

#[test]
fn check_162_threat_088_asserted_identities_are_neither_believed_nor_passed_on() {
    let mut world = world();
    let headers = "P-Asserted-Identity: <sip:ceo@contoso.example>\r\nP-Preferred-Identity: <sip:ceo@contoso.example>\r\n\
                   Remote-Party-ID: <sip:ceo@contoso.example>;party=calling\r\nUser-Agent: secretware\r\n\
                   Content-Type: text/plain\r\n";
    world.sip(&message_with(1, ALICE, ROMEO, headers, "x"));
    let stanza = world.one_xmpp();
    assert!(stanza.starts_with("<message from='alice@contoso.example' "), "{stanza}");
    assert!(!stanza.contains("ceo") && !stanza.contains("secretware"), "{stanza}");
    // Nor do they help a wrong From.
    let link = world.source();
    world.take_sip();
    world.seen.clear();
    assert_eq!(status(&mut world, &link, &message_with(2, "ceo@evil.example", ROMEO, headers, "x")), 403);
    // We say nothing of the kind either.
    world.say("m1", ALICE, "x");
    let sent = world.one_sip();
    for name in ["P-Asserted-Identity", "User-Agent", "Organization", "Server"] {
        assert_eq!(sent.header(name), None, "{name}");
    }
}

#[test]
fn check_164_sips_is_refused_never_downgraded() {
    let mut world = world();
    let link = world.source();
    let text = message(1, ALICE, ROMEO, "x").replace("MESSAGE sip:", "MESSAGE sips:");
    world.sip_from(&link, &text);
    let answer = world.one_sip();
    assert_eq!(answer.status(), Some(480), "{}", answer.text);
    assert!(answer.header("Warning").unwrap().starts_with("380 gw.contoso.example"), "{}", answer.text);
    assert!(world.seen.is_empty(), "{:?}", world.seen);
}

#[test]
fn threat_089_the_request_uri_decides_and_nothing_is_relayed() {
    let mut world = world();
    let link = world.source();
    let to = |uri: &str, header: &str| {
        message(1, ALICE, ROMEO, "x")
            .replace(&format!("MESSAGE sip:{ROMEO}"), &format!("MESSAGE {uri}"))
            .replace(&format!("To: <sip:{ROMEO}>"), &format!("To: <{header}>"))
            .replace("peer1", &format!("p{}", uri.len() * 31 + header.len()))
            .replace("from1", &format!("f{}", uri.len() * 31 + header.len()))
    };
    for (uri, header, expected) in [
        ("sip:romeo@nowhere.example", "sip:romeo@capulet.example", 403),
        ("sip:mallory@capulet.example", "sip:romeo@capulet.example", 403),
        ("sip:bob@contoso.example", "sip:romeo@capulet.example", 404),
        ("sip:bob@tailspin.example", "sip:bob@tailspin.example", 404),
        ("sip:bob@TAILSPIN.example.", "sip:bob@tailspin.example", 404),
        ("sip:capulet.example", "sip:romeo@capulet.example", 404),
        ("sip:romeo@nowhere.example;maddr=192.0.2.66", "sip:x@y.example", 403),
        ("sip:romeo@192.0.2.66:5269", "sip:x@y.example", 403),
    ] {
        assert_eq!(status(&mut world, &link, &to(uri, header)), expected, "{uri}");
    }
    // What steers a proxy steers nothing here.
    for uri in
        ["sip:romeo@capulet.example;maddr=192.0.2.66;transport=udp", "sip:romeo@capulet.example:7777;lr"]
    {
        let text = to(uri, "sip:mallory@capulet.example")
            .replace("Max-Forwards", "Route: <sip:192.0.2.66;lr>\r\nMax-Forwards");
        world.sip_from(&link, &text);
        assert!(world.one_xmpp().contains(" to='romeo@capulet.example' "), "{uri}");
        let dials = |seen: &Seen| !matches!(seen, Seen::DialXmpp { pair, .. } if pair.remote.as_str() == "capulet.example");
        world.take_sip();
        assert!(!world.seen.iter().any(dials), "{:?}", world.seen);
    }
}

#[test]
fn threat_090_an_answer_over_udp_goes_to_where_the_request_came_from() {
    let mut world = world();
    for via in [
        "SIP/2.0/UDP victim.example:9;branch=z9hG4bKa;rport",
        "SIP/2.0/UDP 198.51.100.7:9;branch=z9hG4bKb;rport",
        "SIP/2.0/UDP victim.example:9;branch=z9hG4bKc;received=198.51.100.7;rport",
        "SIP/2.0/UDP victim.example;maddr=198.51.100.7;branch=z9hG4bKd;rport",
    ] {
        let text = message(1, ALICE, "romeo@nowhere.example", "x")
            .replace("SIP/2.0/TLS edge.contoso.example;branch=z9hG4bKpeer1", via);
        world.datagram(address(77), &text);
        let answer = world.one_sip();
        assert_eq!(answer.to.map(|to| to.ip()), Some(address(77).ip()), "{via}");
        assert_eq!(answer.to, Some(address(77)), "{via}");
    }
}

#[test]
fn threat_120_every_scheme_and_every_target_is_answered() {
    let mut world = world();
    let link = world.source();
    let to = |n: u32, uri: &str| {
        message(n, ALICE, ROMEO, "x").replace(&format!("MESSAGE sip:{ROMEO}"), &format!("MESSAGE {uri}"))
    };
    for (n, (uri, expected)) in [
        ("tel:+15551230001", 416),
        ("mailto:romeo@capulet.example", 416),
        ("urn:service:sos", 416),
        ("sips:romeo@capulet.example", 480),
        ("sip:@capulet.example", 400),
        ("sip:%00@capulet.example", 400),
        ("sip:%E2%99%9A@capulet.example", 404),
        ("im:romeo@capulet.example", 202),
        ("pres:romeo@capulet.example", 202),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(status(&mut world, &link, &to(n as u32, uri)), expected, "{uri}");
    }
}

#[test]
fn check_147_one_link_frames_by_content_length_and_goes_on_after_pings() {
    let mut world = world();
    let mut stream = String::from("\r\n\r\n");
    for n in 1..=3 {
        stream.push_str(&message(n, ALICE, ROMEO, "MESSAGE sip:x@y SIP/2.0\r\n\r\n"));
        stream.push_str("\r\n\r\n");
    }
    // In one piece, and octet by octet.
    world.sip(&stream);
    assert_eq!((world.take_xmpp().len(), world.statuses()), (3, vec![202; 3]));
    let second = stream.replace("peer", "again").replace("tag=from", "tag=again");
    for octet in second.chars() {
        world.sip(&octet.to_string());
    }
    assert_eq!((world.take_xmpp().len(), world.statuses()), (3, vec![202; 3]));
}

#[test]
fn threat_071_a_message_without_a_clear_length_is_400_and_what_follows_is_never_executed() {
    for length in ["+5", "-1", "4294967301", "5, 5", "5\r\nl: 5", "five"] {
        let mut world = world();
        let smuggled = message(9, ALICE, ROMEO, "smuggled");
        let text = message(1, ALICE, ROMEO, "xxxxx")
            .replace("Content-Length: 5", &format!("Content-Length: {length}"));
        world.sip(&format!("{text}{smuggled}"));
        assert_eq!(world.statuses(), [400], "{length}");
        assert!(world.take_xmpp().is_empty(), "{length}");
    }
    let mut world = world();
    let text = message(1, ALICE, ROMEO, "").replace("Content-Length: 0\r\n", "");
    world.sip(&text);
    assert_eq!(world.statuses(), [400]);
}

#[test]
fn threat_078_stray_responses_are_dropped() {
    let mut world = world();
    world.say("m1", ALICE, "x");
    let sent = world.one_sip();
    world.seen.clear();
    let good = super::texts::response(&sent, 200, "");
    let branch =
        sent.header("Via").unwrap().split("branch=").nth(1).unwrap().split(';').next().unwrap().to_owned();
    for bad in [
        good.replace(&branch, "z9hG4bKnobody"),
        good.replace(&branch, &format!("{}0", &branch[..branch.len() - 1])),
        good.replace("MESSAGE", "INVITE"),
        good.replace("SIP/2.0 200", "SIP/2.0 999"),
        good.replace("SIP/2.0 200", "SIP/7.0 200"),
        good.replace("CSeq", "X-CSeq"),
        // RFC 3261 §8.1.3.3: it has passed somebody whose Via it should have lost.
        good.replace("From:", "Via: SIP/2.0/TLS elsewhere.example;branch=z9hG4bKx\r\nFrom:"),
    ] {
        if bad == good {
            continue;
        }
        let source = world.source();
        world.sip_from(&source, &bad);
        assert!(world.seen.is_empty(), "{bad}: {:?}", world.seen);
        assert_eq!(world.gateway.counts().delivered, [0, 0], "{bad}");
    }
    world.answer(&sent, 200);
    assert_eq!(world.gateway.counts().delivered, [0, 1]);
}

#[test]
fn check_153_threat_077_threat_143_each_refusal_has_its_code_and_what_goes_with_it() {
    let mut world = world();
    let link = world.source();
    let plain = "Content-Type: text/plain\r\n";
    let with = |headers: &str| format!("{plain}{headers}");
    let in_dialog =
        |text: String| text.replace(&format!("To: <sip:{ROMEO}>"), &format!("To: <sip:{ROMEO}>;tag=1"));
    let ask = |method, n, headers: &str| request(method, n, ALICE, ROMEO, headers, "x");
    let other_uri = |n, uri: &str| {
        message(n, ALICE, ROMEO, "x").replace(&format!("MESSAGE sip:{ROMEO}"), &format!("MESSAGE {uri}"))
    };
    let allow = Some(("Allow", crate::sip::uas::ALLOW));
    for (n, (text, status, header)) in [
        (ask("REGISTER", 1, ""), 405, allow),
        (ask("PUBLISH", 2, ""), 405, allow),
        (ask("REFER", 3, ""), 405, allow),
        (ask("BREW", 4, ""), 501, allow),
        (ask("message", 5, plain), 501, allow),
        (ask("NOTIFY", 6, "Event: presence\r\nSubscription-State: active\r\n"), 481, None),
        (in_dialog(ask("BYE", 8, "")), 481, None),
        (in_dialog(ask("INFO", 9, "")), 481, None),
        (in_dialog(ask("MESSAGE", 10, plain)), 481, None),
        (ask("MESSAGE", 11, &with("Require: 100rel, x-y\r\n")), 420, Some(("Unsupported", "100rel, x-y"))),
        (ask("MESSAGE", 12, "Content-Type: image/png\r\n"), 415, Some(("Accept", crate::body::ACCEPT))),
        (
            ask("MESSAGE", 13, &with("Content-Encoding: gzip\r\n")),
            415,
            Some(("Accept-Encoding", crate::body::ACCEPT_ENCODING)),
        ),
        (other_uri(14, "http://capulet.example/romeo"), 416, None),
        (other_uri(15, "sip:romeo@capulet.example:port"), 400, None),
        (other_uri(16, "<sip:romeo@capulet.example>"), 400, None),
        (message(17, ALICE, ROMEO, "x").replace("Max-Forwards: 70", "Max-Forwards: 0"), 483, None),
        (message(18, ALICE, ROMEO, "x").replacen("SIP/2.0\r\n", "SIP/7.0\r\n", 1), 505, None),
    ]
    .into_iter()
    .enumerate()
    {
        world.sip_from(&link, &text);
        let answer = world.one_sip();
        assert_eq!(answer.status(), Some(status), "{n}: {text}");
        if let Some((name, value)) = header {
            assert_eq!(answer.header(name), Some(value), "{n}: {}", answer.text);
        }
        assert!(world.seen.is_empty(), "{n}: {:?}", world.seen);
    }
    // What is no scheme, no name and no extension of anybody's is asked before policy is.
    assert!(world.gateway.pairs.up().next().is_none());
}
