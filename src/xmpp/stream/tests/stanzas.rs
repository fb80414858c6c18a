//! Stanzas on an established stream.

use super::*;

#[test]
fn check_123_addresses_are_there_well_formed_proven_and_ours() {
    for (from, to, condition) in [
        (None, Some("b@sip.example"), "improper-addressing"),
        (Some("a@xmpp.example"), None, "improper-addressing"),
        (None, None, "improper-addressing"),
        (Some(""), Some("b@sip.example"), "improper-addressing"),
        (Some("a@xmpp.example"), Some("a@"), "improper-addressing"),
        (Some("a b@"), Some("b@sip.example"), "improper-addressing"),
        (Some("a b@second.example"), Some("b@sip.example"), "invalid-from"),
        (Some("a@xmpp.example"), Some("b c@voice.example"), "host-unknown"),
        (Some("a@b@xmpp.example"), Some("b@sip.example"), "improper-addressing"),
        (Some("a@second.example"), Some("b@sip.example"), "invalid-from"),
        (Some("a@xmpp.example"), Some("b@voice.example"), "host-unknown"),
        (Some("a@xmpp.example"), Some("b@other.example"), "host-unknown"),
    ] {
        for name in ["message", "presence", "iq"] {
            let mut one = One::up(usual());
            let attribute =
                |name, value: Option<&str>| value.map_or(String::new(), |v| format!(" {name}='{v}'"));
            one.feed(&format!("<{name}{}{} type='get'/>", attribute("from", from), attribute("to", to)));
            assert_error(&one.out(), condition);
        }
    }
}

#[test]
fn threat_060_look_alikes_and_our_own_domains_are_invalid_from() {
    for from in [
        "a@sip.example",
        "a@voice.example",
        "a@evil-xmpp.example",
        "a@xmpp.example.evil.example",
        "a@sub.xmpp.example",
        "a@xmpp.exаmple",
        "xmpp.example@second.example",
        "second.example/xmpp.example",
        "a@second.example/@xmpp.example",
    ] {
        let mut one = One::up(usual());
        assert_eq!(
            one.feed(&format!("<message from='{from}' to='b@sip.example'/>")),
            "down: stream error sent: invalid-from",
            "{from}"
        );
        assert_error(&one.out(), "invalid-from");
    }
    // Spellings of the same domain are the same domain.
    for (from, sender) in [
        ("a@XMPP.Example", "a@xmpp.example"),
        ("a@xmpp.example./r", "a@xmpp.example/r"),
        ("XMPP.example", "xmpp.example"),
    ] {
        let mut one = One::up(usual());
        let events = one.feed(&format!("<message from='{from}' to='b@SIP.example'/>"));
        assert_eq!(events, format!("Message {sender} > b@sip.example"));
    }
}

#[test]
fn threat_061_a_missing_address_ends_the_stream() {
    let mut one = One::up(usual());
    one.feed("<message to='b@sip.example'><body>x</body></message>");
    assert_error(&one.out(), "improper-addressing");
}

#[test]
fn check_139_threat_062_nothing_is_relayed() {
    for to in ["b@other.example", "b@xmpp.example", "b@second.example", "voice.example"] {
        let mut one = One::up(usual());
        let events = one.feed(&format!("<message from='a@xmpp.example' to='{to}'/>"));
        assert_eq!(events, "down: stream error sent: host-unknown");
    }
}

#[test]
fn threat_063_an_address_without_a_domain_ends_the_stream() {
    for from in ["", "a@", "a@b@c", "/r", "a@xmpp..example", "a b@xmpp..example", "xmpp.example/@/\u{7}"] {
        let mut one = One::up(usual());
        let events = one.feed(&format!("<message from='{from}' to='b@sip.example'/>"));
        assert!(events.starts_with("down: stream error sent: "), "{from}: {events}");
    }
}

#[test]
fn threat_063_a_bad_localpart_or_resourcepart_costs_its_stanza_alone() {
    let long = format!("{}@xmpp.example", "a".repeat(2000));
    for from in ["@xmpp.example", "\u{ad}@xmpp.example", "a@xmpp.example/", &long, "a b@xmpp.example"] {
        for name in ["message", "presence", "iq"] {
            let mut one = One::up(usual());
            let bad = format!("<{name} from='{from}' to='b@sip.example'/>");
            assert_eq!(one.feed(&bad), "misaddressed xmpp.example > sip.example", "{bad}");
            let bad = format!("<{name} from='a@xmpp.example' to='@sip.example'/>");
            assert_eq!(one.feed(&bad), "misaddressed xmpp.example > sip.example", "{bad}");
            assert_eq!(one.out(), "");
            assert_eq!(one.feed(MESSAGE), "Message juliet@xmpp.example/balcony > romeo@sip.example");
        }
    }
}

#[test]
fn every_kind_comes_out_typed_and_with_its_text() {
    let mut one = One::up(usual());
    let input = "<message from='a@xmpp.example/r' to='b@sip.example' id='1' type='chat'><body>a&amp;b</body></message> \
                 <presence from='a@xmpp.example' to='b@sip.example' type='subscribe'/>\
                 <iq from='xmpp.example' to='sip.example' id='2' type='get'><ping xmlns='urn:xmpp:ping'/></iq>";
    one.stream.push(input.as_bytes());
    let next = one.stream.next_event(one.now, &one.realm, &mut one.ids);
    let Some(StreamEvent::Stanza(message)) = next else { panic!("{next:?}") };
    assert_eq!((message.id(), message.type_()), (Some("1"), Some("chat")));
    assert_eq!(message.element.child("body", "jabber:server").unwrap().text(), "a&b");
    assert_eq!(one.events(), "Presence a@xmpp.example > b@sip.example\nIq xmpp.example > sip.example");
}

#[test]
fn check_125_the_content_namespace_of_clients_and_prefixes_are_refused() {
    for (stanza, condition) in [
        ("<message xmlns='jabber:client' from='a@xmpp.example' to='b@sip.example'/>", "invalid-namespace"),
        (
            "<s:message xmlns:s='jabber:server' from='a@xmpp.example' to='b@sip.example'/>",
            "bad-namespace-prefix",
        ),
        (
            "<c:message xmlns:c='jabber:client' from='a@xmpp.example' to='b@sip.example'/>",
            "invalid-namespace",
        ),
        ("<message xmlns='urn:x' from='a@xmpp.example' to='b@sip.example'/>", "unsupported-stanza-type"),
        ("<messages from='a@xmpp.example' to='b@sip.example'/>", "unsupported-stanza-type"),
        ("<stream:message from='a@xmpp.example' to='b@sip.example'/>", "unsupported-stanza-type"),
    ] {
        let mut one = One::up(usual());
        one.feed(stanza);
        assert_error(&one.out(), condition);
    }
    // Nor do we write it.
    for mut one in [One::receiving(usual()), One::initiating(usual(), Purpose::Send, TlsMode::StartTls)] {
        one.feed(&header_from(PARTNER));
        let out = one.out();
        assert!(out.contains("xmlns='jabber:server'") && !out.contains("jabber:client"));
    }
}

#[test]
fn negotiation_on_an_established_stream_is_refused() {
    for (input, condition) in [
        ("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>", "policy-violation"),
        (SUCCESS, "unsupported-stanza-type"),
        ("<stream:features/>", "unsupported-stanza-type"),
        ("<enable xmlns='urn:xmpp:sm:3'/>", "unsupported-stanza-type"),
        ("<bidi xmlns='urn:xmpp:bidi'/>", "unsupported-stanza-type"),
    ] {
        let mut one = One::up(usual());
        one.feed(input);
        assert_error(&one.out(), condition);
    }
}

#[test]
fn f26_a_reload_ends_a_stream_that_lost_its_terms() {
    let mut one = One::up(usual());
    one.stream.handle_reload(&one.realm);
    assert_eq!(one.events(), "");
    one.realm.partners.clear();
    one.stream.handle_reload(&one.realm);
    assert_eq!(one.events(), "down: refused: domain is not an allowed partner");
    assert_error(&one.out(), "policy-violation");
    // Or whose domain of ours is none any more.
    let mut one = One::up(usual());
    one.realm.domains.retain(|name| *name != OURS);
    one.stream.handle_reload(&one.realm);
    assert_eq!(one.events(), "down: stream error sent: policy-violation");
    // Or whose way is no longer open.
    let mut one = One::up(usual());
    one.realm = TestRealm::new(terms(Need::Required, Need::NotSupported, true));
    one.stream.handle_reload(&one.realm);
    assert_eq!(one.events(), "down: stream error sent: policy-violation");
}

#[test]
fn f26_a_reload_reaches_a_stream_whose_proof_is_on_its_way() {
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
    let no_sasl = || TestRealm::new(terms(Need::Required, Need::NotSupported, true));
    // Between success and the header that follows it.
    let mut one = One::secured(usual(), Names::valid(PARTNER));
    one.feed(auth);
    one.realm = no_sasl();
    one.stream.handle_reload(&one.realm);
    one.out();
    assert_eq!(one.feed(&header_from(PARTNER)), "down: stream error sent: policy-violation");
    assert_eq!(one.stream.pairs().count(), 0);
    // Between the features and the attempt.
    let mut one = One::secured(usual(), Names::valid(PARTNER));
    one.realm = no_sasl();
    one.stream.handle_reload(&one.realm);
    one.out();
    one.feed(auth);
    assert!(one.out().contains("<invalid-mechanism/>"));
    // Before either, in both roles.
    for mut one in [
        One::secured(usual(), Names::valid(PARTNER)),
        One::initiating(usual(), Purpose::Send, TlsMode::StartTls),
        One::initiating(usual(), Purpose::Verify, TlsMode::StartTls),
    ] {
        one.realm.partners.clear();
        one.stream.handle_reload(&one.realm);
        assert_eq!(one.events(), "down: refused: domain is not an allowed partner");
    }
    // A stream that we opened in the clear, when the clear is no longer allowed.
    let mut one =
        One::initiating(terms(Need::Optional, Need::Optional, true), Purpose::Send, TlsMode::StartTls);
    one.feed(&response("s1"));
    one.feed(FEATURES_DIALBACK);
    one.realm = TestRealm::new(usual());
    one.stream.handle_reload(&one.realm);
    assert_eq!(one.events(), "");
    one.out();
    let valid = "<db:result from='xmpp.example' to='sip.example' type='valid'/>";
    assert_eq!(one.feed(valid), "down: stream error sent: policy-violation");
    assert_eq!(one.stream.write_stanza(one.now, OURS, PARTNER, b"<presence/>"), Err(SendError::NotOpen));
}

#[test]
fn threat_021_what_a_large_stanza_took_is_given_back() {
    let mut one = One::up(usual());
    let large = MESSAGE.replace("Hi", &"x".repeat(200_000));
    assert!(one.feed(&large).starts_with("Message"));
    assert!(one.stream.text.capacity() <= KEEP, "{}", one.stream.text.capacity());
    assert!(one.feed(MESSAGE).starts_with("Message"));
}
