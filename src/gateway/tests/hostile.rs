//! Text that wants to be more than text: headers in bodies, markup in headers, escapes in addresses.

use super::net::Net;
use super::texts::{message, message_with};
use super::world::World;
use super::{ALICE, ROMEO};
use crate::xml::{Element, Limits, Scope};

fn world() -> World {
    World::new(Net::works())
}

fn parse(text: &str) -> Element<'_> {
    crate::xml::parse(text, &Scope::server(), &Limits::default()).unwrap()
}

#[test]
fn threat_100_a_body_is_a_body_whatever_it_holds() {
    let bodies = [
        "x\r\n\r\nMESSAGE sip:bob@contoso.example SIP/2.0\r\nVia: SIP/2.0/TLS x;branch=z9hG4bKy\r\n\r\n",
        "Content-Length: 0\r\n\r\n",
        "\r\n.\r\n",
        "]]>&amp;<body>",
    ];
    for body in bodies {
        let mut world = world();
        let escaped =
            body.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\r', "&#13;");
        world.romeo(&format!("<message from='{ROMEO}' to='{ALICE}'><body>{escaped}</body></message>"));
        let sent = world.one_sip();
        assert_eq!(sent.body(), body);
        world.answer(&sent, 200);
        // And back.
        world.sip(&message(1, ALICE, ROMEO, body));
        let stanza = world.one_xmpp();
        let text = parse(&stanza).child("body", "jabber:server").unwrap().text().into_owned();
        assert_eq!(text.replace("\r\n", "\n"), body.replace("\r\n", "\n"));
    }
}

#[test]
fn threat_101_nothing_in_an_address_id_subject_or_thread_becomes_a_header_or_a_parameter() {
    let nasty = "%0d%0aX-Evil: 1;transport=udp?Subject=x&#13;&#10;X-Evil: 2 &quot;&gt;&lt;sip:x@y&gt;";
    let mut world = world();
    world.romeo(&format!(
        "<message from='{ROMEO}/{nasty}' to='alice@contoso.example/{nasty}' id='{nasty}'>\
         <subject>{nasty}</subject><thread>{nasty}</thread><body>x</body></message>"
    ));
    // A line end in a resource is forbidden: the stanza is misaddressed and can't be answered.
    assert!(world.take_sip().is_empty() && world.take_xmpp().is_empty());
    let resource = "%0d%0aX-Evil: 1;transport=udp?Subject=x &quot;&gt;&lt;sip:x@y&gt;";
    world.romeo(&format!(
        "<message from='{ROMEO}/{resource}' to='alice@contoso.example/{resource}' id='{nasty}'>\
         <subject>{nasty}</subject><thread>{nasty}</thread><body>x</body></message>"
    ));
    let sent = world.one_sip();
    let (head, _) = sent.text.split_once("\r\n\r\n").unwrap();
    for line in head.lines() {
        assert!(!line.starts_with("X-Evil"), "{head}");
    }
    let uri = sent.text.split(' ').nth(1).unwrap();
    assert!(uri.starts_with("sip:alice@contoso.example;gr=%250d%250aX-Evil"), "{uri}");
    assert_eq!(uri.matches([';', '?']).count(), 1, "{uri}");
    world.answer(&sent, 404);
    // The id comes back as it was.
    let error = world.one_xmpp();
    let id = parse(&error).attr("id").unwrap().to_owned();
    assert_eq!(id, "%0d%0aX-Evil: 1;transport=udp?Subject=x\r\nX-Evil: 2 \"><sip:x@y>");
    for (local, user) in [
        ("o\\27malley", "o'malley"),
        ("a\\20b", "a%20b"),
        ("a\\40b", "a%40b"),
        ("a;transport=udp", "a;transport=udp"),
        ("a?h=1", "a?h=1"),
        ("a%0d%0ab", "a%250d%250ab"),
    ] {
        world
            .romeo(&format!("<message from='{ROMEO}' to='{local}@contoso.example'><body>x</body></message>"));
        let sent = world.one_sip();
        assert!(
            sent.text.starts_with(&format!("MESSAGE sip:{user}@contoso.example SIP/2.0\r\n")),
            "{}",
            sent.text
        );
        world.answer(&sent, 200);
    }
}

#[test]
fn threat_063_an_address_that_is_none_is_told_and_costs_no_stream() {
    let mut world = world();
    world.romeo(&format!(
        "<message from='{ROMEO}/r' to='b c@contoso.example' id='m1'><body>x</body></message>"
    ));
    let error = world.one_xmpp();
    assert!(
        error.contains(
            "to='romeo@capulet.example/r' id='m1' type='error'><error type='modify'><jid-malformed"
        )
    );
    world.romeo(&format!("<message from='@capulet.example' to='{ALICE}' id='m1'><body>x</body></message>"));
    assert!(world.take_xmpp().is_empty() && world.ended.is_empty());
    world.say("m2", ALICE, "x");
    assert_eq!(world.one_sip().body(), "x");
}

#[test]
fn check_109_threat_102_every_iq_is_answered_once_from_the_address_asked() {
    let mut world = world();
    for (to, inner, expected) in [
        ("contoso.example", "<ping xmlns='urn:xmpp:ping'/>", "type='result'"),
        ("contoso.example", "<query xmlns='http://jabber.org/protocol/disco#info'/>", "type='result'"),
        (ALICE, "<query xmlns='http://jabber.org/protocol/disco#info'/>", "<service-unavailable"),
        ("nobody@contoso.example/x", "<vCard xmlns='vcard-temp'/>", "<service-unavailable"),
        ("denied@contoso.example", "<vCard xmlns='vcard-temp'/>", "<service-unavailable"),
    ] {
        for type_ in ["get", "set"] {
            world.romeo(&format!("<iq from='{ROMEO}/r' to='{to}' id='q' type='{type_}'>{inner}</iq>"));
            let answer = world.one_xmpp();
            assert!(
                answer.starts_with(&format!("<iq from='{to}' to='romeo@capulet.example/r' id='q' ")),
                "{answer}"
            );
            let expected = if type_ == "set" { "<service-unavailable" } else { expected };
            assert!(answer.contains(expected), "{answer}");
        }
    }
    for type_ in ["result", "error"] {
        world.romeo(&format!("<iq from='{ROMEO}/r' to='{ALICE}' id='q' type='{type_}'/>"));
    }
    world.assert_nothing_sent();
}

#[test]
fn check_108_threat_103_errors_are_never_answered_and_copies_not_unwrapped() {
    let mut world = world();
    for stanza in [
        "<message from='romeo@capulet.example' to='alice@contoso.example' type='error' id='x'><body>x</body></message>",
        "<message from='romeo@capulet.example' to='denied@contoso.example' type='error' id='x'><body>x</body></message>",
        "<presence from='romeo@capulet.example' to='denied@contoso.example' type='error'/>",
        "<message from='romeo@capulet.example' to='alice@contoso.example'><received xmlns='urn:xmpp:carbons:2'>\
         <forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='ceo@capulet.example' \
         to='alice@contoso.example'><body>wire the money</body></message></forwarded></received><body>x</body></message>",
        "<message from='romeo@capulet.example' to='alice@contoso.example'><result xmlns='urn:xmpp:mam:2'>\
         <forwarded xmlns='urn:xmpp:forward:0'/></result><body>x</body></message>",
    ] {
        world.romeo(stanza);
        world.assert_nothing_sent();
    }
    // Addresses of XEP-0033 send nothing anywhere else.
    world.romeo(
        "<message from='romeo@capulet.example' to='alice@contoso.example'><body>x</body>\
         <addresses xmlns='http://jabber.org/protocol/address'><address type='to' jid='bob@contoso.example'/></addresses></message>",
    );
    assert!(world.one_sip().text.starts_with("MESSAGE sip:alice@contoso.example "));
}

#[test]
fn threat_109_the_first_final_response_wins_whatever_its_reason() {
    let mut world = world();
    world.say("m1", ALICE, "x");
    let sent = world.one_sip();
    let long = "<b>\u{1f}&".repeat(1000);
    let text = super::texts::response(&sent, 486, "")
        .replace("486 Busy Here", &format!("486 {}", long.replace('\u{1f}', "")));
    let source = crate::sip::link::Source { link: sent.link, ..world.source() };
    world.sip_from(&source, &text);
    let error = world.one_xmpp();
    assert!(error.contains("<recipient-unavailable") && error.len() < 2000, "{}", error.len());
    world.answer(&sent, 200);
    world.assert_nothing_sent();
    assert_eq!(world.gateway.counts().delivered, [0, 0]);
}

#[test]
fn threat_111_groupchat_is_an_error() {
    let mut world = world();
    world.romeo(&format!(
        "<message from='{ROMEO}' to='{ALICE}' id='g' type='groupchat'><body>x</body></message>"
    ));
    assert!(world.one_xmpp().contains("<service-unavailable"));
    world.assert_nothing_sent();
}

#[test]
fn threat_115_threat_118_markup_and_odd_headers_are_text_or_nothing() {
    let mut world = world();
    let headers = "Content-Type: text/plain\r\nSubject: </subject><body>x</body>\r\nUser-Agent: \"><!--\r\n";
    let text = message_with(1, ALICE, ROMEO, headers, "</body><message to='x@y'/>")
        .replace("From: <", "From: \"</message><iq type='set'/>\" <");
    world.sip(&text);
    let stanza = world.one_xmpp();
    let element = parse(&stanza);
    let names: Vec<&str> = element.children().map(Element::name).collect();
    assert_eq!(names, ["subject", "body", "thread", "origin-id", "nick"]);
    let nick = element.child("nick", "http://jabber.org/protocol/nick").unwrap();
    assert_eq!(nick.text(), "</message><iq type='set'/>");
    assert_eq!(element.child("subject", "jabber:server").unwrap().text(), "</subject><body>x</body>");
    assert_eq!(element.child("body", "jabber:server").unwrap().text(), "</body><message to='x@y'/>");
}

#[test]
fn threat_116_check_034_octets_that_xml_cannot_carry_never_reach_a_stream() {
    let mut world = world();
    for (n, body) in
        ["a\u{0}b", "a\u{8}b", "a\u{fffe}b", "a\u{1f}b\u{b}", "tab\tand\nline"].iter().enumerate()
    {
        world.sip(&message(n as u32, ALICE, ROMEO, body));
        // The harness parses every stanza strictly.
        let sent = world.take_xmpp();
        let status = world.one_sip().status().unwrap();
        assert_eq!(sent.len(), usize::from(status == 202), "{body:?}: {status}");
        assert!(sent.iter().all(|text| !text.contains(['\u{0}', '\u{8}', '\u{fffe}', '\u{1f}', '\u{b}'])));
    }
    // Not UTF-8, and not said to be anything else.
    let text = message_with(50, ALICE, ROMEO, "Content-Type: text/plain;charset=us-ascii\r\n", "caf\u{e9}");
    world.sip(&text);
    assert_eq!(world.take_xmpp().len() + world.statuses().iter().filter(|s| **s >= 400).count(), 1);
}

#[test]
fn threat_117_escapes_in_the_user_part_change_neither_domain_nor_resource() {
    for (user, expected) in [
        ("a%40evil.example", Some("a\\40evil.example@capulet.example")),
        ("a%2Fb", Some("a\\2fb@capulet.example")),
        ("a%5C2Fb", Some("a\\5c2fb@capulet.example")),
        ("a%22b", Some("a\\22b@capulet.example")),
        ("a%00b", None),
        ("a%0d%0ab", None),
        ("a%FFb", None),
        ("a%", None),
    ] {
        let mut world = world();
        world.sip(&message(1, ALICE, &format!("{user}@capulet.example"), "x"));
        match expected {
            Some(jid) => {
                assert_eq!(world.statuses(), [202], "{user}");
                assert!(world.one_xmpp().contains(&format!(" to='{jid}' ")), "{user}");
            }
            None => {
                assert!(matches!(world.statuses().as_slice(), [400 | 404]), "{user}");
                assert!(world.take_xmpp().is_empty(), "{user}");
            }
        }
    }
}

#[test]
fn check_031_check_032_parts_are_read_and_what_is_required_and_unknown_is_415() {
    let mut world = world();
    let mixed = "--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n--b\r\nContent-Type: text/html\r\n\r\n\
                 <p>rich</p>\r\n--b--\r\n";
    let headers = "Content-Type: multipart/alternative;boundary=b\r\n";
    world.sip(&message_with(1, ALICE, ROMEO, headers, mixed));
    assert!(world.one_xmpp().contains("<body>plain</body>"));
    world.take_sip();
    for (n, headers, header) in [
        (2, "Content-Type: image/png\r\n", "Accept"),
        (3, "Content-Type: application/im-iscomposing+xml\r\n", "Accept"),
        (4, "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n", "Accept-Encoding"),
    ] {
        world.sip(&message_with(n, ALICE, ROMEO, headers, "x"));
        let answer = world.one_sip();
        assert_eq!(answer.status(), Some(415), "{headers}");
        assert!(answer.header(header).is_some(), "{}", answer.text);
        assert!(world.take_xmpp().is_empty());
    }
}
