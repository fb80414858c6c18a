//! Dialback in its three roles, octet for octet.

use super::*;
use crate::xmpp::dialback::key;
use crate::xmpp::error::Condition;

fn offer(from: &str, to: &str, key: &str) -> String {
    format!("<db:result from='{from}' to='{to}'>{key}</db:result>")
}

fn question(from: &str, to: &str, id: &str, key: &str) -> String {
    format!("<db:verify from='{from}' to='{to}' id='{id}'>{key}</db:verify>")
}

/// A receiving stream over TLS to a peer whose certificate proves nothing.
fn unproven() -> One {
    let mut one = One::secured(usual(), Names::faulty(CertFault::UntrustedIssuer));
    one.out();
    one
}

#[test]
fn threat_050_a_good_key_makes_the_pair() {
    let mut one = unproven();
    assert_eq!(one.feed(&offer(PARTNER, OURS, "abc")), "wanted sip.example~xmpp.example abc");
    assert_eq!(one.out(), "");
    assert_eq!(one.wanted[0].stream, StreamId(1));
    assert_eq!(one.wanted[0].id, one.stream.core.stream_id);
    assert_eq!(one.answer(Outcome::Valid), "up sip.example~xmpp.example TlsDialback");
    assert_eq!(one.out(), "<db:result from='sip.example' to='xmpp.example' type='valid'/>");
    assert_eq!(one.feed(MESSAGE), "Message juliet@xmpp.example/balcony > romeo@sip.example");
}

#[test]
fn threat_051_a_wrong_key_is_invalid_and_ends_the_stream() {
    let mut one = unproven();
    one.feed(&offer(PARTNER, OURS, "wrong"));
    assert_eq!(one.answer(Outcome::Invalid), "down: dialback failed: Invalid");
    assert_eq!(one.out(), "<db:result from='sip.example' to='xmpp.example' type='invalid'/></stream:stream>");
    assert_eq!(one.feed(MESSAGE), "");
    // Without a key there is nothing to ask about.
    for empty in ["", " ", "\n"] {
        let mut one = unproven();
        assert_eq!(one.feed(&offer(PARTNER, OURS, empty)), "down: dialback failed: Invalid");
        assert!(one.out().contains("type='invalid'"));
    }
    let mut one = unproven();
    assert_eq!(one.feed(&offer(PARTNER, OURS, &"k".repeat(600))), "down: dialback failed: Invalid");
    // A stream with another pair loses nothing else (XEP-0220 §2.2.1).
    let mut one = One::up(usual());
    one.feed(&offer("chat.xmpp.example", OURS, "wrong"));
    assert_eq!(one.answer(Outcome::Invalid), "");
    assert_eq!(
        one.out(),
        "<db:result from='sip.example' to='chat.xmpp.example' type='error'><error type='auth'>\
         <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>"
    );
    assert!(one.feed(MESSAGE).starts_with("Message"));
}

#[test]
fn a_valid_certificate_does_not_replace_the_key_unless_it_is_set_so() {
    let mut one = One::secured(usual(), Names::valid(PARTNER));
    assert_eq!(one.feed(&offer(PARTNER, OURS, "k")), "wanted sip.example~xmpp.example k");
    let settings = Settings { trust_certificate_in_dialback: true, ..Settings::default() };
    for (identity, terms, events) in [
        (Names::valid(PARTNER), usual(), "up sip.example~xmpp.example Certificate"),
        (Names::valid("second.example"), usual(), "wanted sip.example~xmpp.example k"),
        (
            Names::valid(PARTNER),
            terms(Need::Required, Need::NotSupported, true),
            "wanted sip.example~xmpp.example k",
        ),
    ] {
        let mut one = One::receiving_with(terms, &settings);
        one.stream.handle_tls(identity);
        one.feed(&header_from(PARTNER));
        assert_eq!(one.feed(&offer(PARTNER, OURS, "k")), events);
    }
}

#[test]
fn threat_052_the_key_of_another_stream_is_invalid() {
    let mut one = unproven();
    let own = key(b"our secret", PARTNER, OURS, "id-of-one-stream");
    one.feed(&question(PARTNER, OURS, "id-of-another", own.as_str()));
    assert!(one.out().ends_with("id='id-of-another' type='invalid'/>"));
}

#[test]
fn threat_053_a_peer_can_not_declare_itself_valid() {
    for mut one in [unproven(), One::up(usual())] {
        let up = one.stream.pairs().count();
        for forged in [
            "<db:result from='second.example' to='sip.example' type='valid'/>",
            "<db:result from='sip.example' to='second.example' type='valid'/>",
            "<db:verify from='second.example' to='sip.example' id='x' type='valid'/>",
        ] {
            assert_eq!(one.feed(forged), "");
            assert_eq!(one.out(), "");
        }
        let id = one.stream.core.stream_id.clone();
        one.feed(&offer("second.example", OURS, "k"));
        assert_eq!(
            one.feed(&format!("<db:verify from='second.example' to='{OURS}' id='{id}' type='valid'/>")),
            ""
        );
        assert_eq!(one.stream.pairs().count(), up);
        one.feed("<message from='a@second.example' to='b@sip.example'/>");
        let condition = if up == 0 { "not-authorized" } else { "invalid-from" };
        assert_error(&one.out(), condition);
    }
}

#[test]
fn check_130_threat_054_an_answer_counts_only_for_its_question_on_its_stream() {
    let mut one = One::initiating(usual(), Purpose::Verify, TlsMode::Direct);
    one.stream.handle_tls(Names::faulty(CertFault::UntrustedIssuer));
    one.feed(&response("s1"));
    one.feed(FEATURES_DIALBACK);
    let verify =
        Verify { stream: StreamId(7), pair: pair(OURS, PARTNER), id: "id7".into(), key: "k&y".into() };
    one.stream.verify(one.now, verify).unwrap();
    assert!(
        one.out().ends_with("<db:verify from='sip.example' to='xmpp.example' id='id7'>k&amp;y</db:verify>")
    );
    for wrong in [
        "<db:verify from='second.example' to='sip.example' id='id7' type='valid'/>",
        "<db:verify from='xmpp.example' to='voice.example' id='id7' type='valid'/>",
        "<db:verify from='sip.example' to='xmpp.example' id='id7' type='valid'/>",
        "<db:verify from='xmpp.example' to='sip.example' id='id8' type='valid'/>",
        "<db:verify from='xmpp.example' to='sip.example' type='valid'/>",
        "<db:verify from='xmpp.example' id='id7' type='valid'/>",
        "<db:verify from='xmpp.example' to='sip.example' id='id7' type='maybe'/>",
        "<db:verify from='xmpp.example' to='sip.example' id='id7'>k&amp;y</db:verify>",
        "<db:result from='xmpp.example' to='sip.example' type='valid'/>",
        "<db:result from='xmpp.example' to='sip.example'>key</db:result>",
    ] {
        assert_eq!(one.feed(wrong), "", "{wrong}");
        assert_eq!(one.out(), "", "{wrong}");
    }
    let right = "<db:verify from='xmpp.example' to='sip.example' id='id7' type='valid'/>";
    assert_eq!(one.feed(right), "verified sip.example~xmpp.example id7 Valid");
    // Once.
    assert_eq!(one.feed(right), "");
}

#[test]
fn check_130_a_late_or_foreign_answer_proves_nothing() {
    let mut one = unproven();
    one.feed(&offer(PARTNER, OURS, "k"));
    let asked = one.wanted.remove(0);
    for answer in [
        VerifyAnswer { stream: StreamId(9), ..asked.clone().answer(Outcome::Valid) },
        VerifyAnswer { id: "other".into(), ..asked.clone().answer(Outcome::Valid) },
        VerifyAnswer { pair: pair(OTHER_OURS, PARTNER), ..asked.clone().answer(Outcome::Valid) },
        VerifyAnswer { pair: pair(OURS, "second.example"), ..asked.clone().answer(Outcome::Valid) },
    ] {
        one.stream.handle_verified(one.now, &answer);
        assert_eq!((one.events().as_str(), one.out().as_str()), ("", ""));
    }
    one.now = Now::at(20);
    one.stream.handle_timeout(one.now);
    assert!(one.out().contains("<remote-server-timeout"));
    one.stream.handle_verified(one.now, &asked.answer(Outcome::Valid));
    assert_eq!((one.events().as_str(), one.out().as_str()), ("", ""));
    // A key that was offered before TLS is not proven after it, and nothing is said between.
    let mut one = One::receiving(terms(Need::Optional, Need::Optional, true));
    one.feed(&header_from(PARTNER));
    one.feed(&offer(PARTNER, OURS, "k"));
    one.feed(STARTTLS);
    one.out();
    assert_eq!((one.answer(Outcome::Valid).as_str(), one.at(20).as_str()), ("", ""));
    assert_eq!((one.out().as_str(), one.stream.phase()), ("", Phase::Handshake));
    let mut one = One::receiving(terms(Need::Optional, Need::Optional, true));
    one.feed(&header_from(PARTNER));
    one.feed(&offer(PARTNER, OURS, "k"));
    assert_eq!(one.feed(STARTTLS), "starttls");
    one.stream.handle_tls(Names::faulty(CertFault::NonePresented));
    one.feed(&header_from(PARTNER));
    one.out();
    assert_eq!(one.answer(Outcome::Valid), "");
    assert_eq!(one.out(), "");
}

#[test]
fn check_131_a_foreign_target_is_an_error_and_the_stream_stays() {
    let mut one = unproven();
    assert_eq!(one.feed(&offer(PARTNER, "other.example", "k")), "");
    assert_eq!(
        one.out(),
        "<db:result from='other.example' to='xmpp.example' type='error'><error type='cancel'>\
         <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>"
    );
    assert_eq!(one.feed(&question(PARTNER, "other.example", "x", "k")), "");
    assert_eq!(
        one.out(),
        "<db:verify from='other.example' to='xmpp.example' id='x' type='error'><error type='cancel'>\
         <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:verify>"
    );
    assert_eq!(one.stream.phase(), Phase::Secure);
    assert!(one.feed(&offer(PARTNER, OURS, "k")).starts_with("wanted"));
}

#[test]
fn check_133_one_stream_carries_several_pairs_each_by_its_own_proof() {
    let mut one = unproven();
    one.feed(&offer(PARTNER, OURS, "1"));
    one.feed(&offer("chat.xmpp.example", OURS, "2"));
    one.feed(&offer(PARTNER, OTHER_OURS, "3"));
    assert_eq!(one.answer(Outcome::Valid), "up sip.example~xmpp.example TlsDialback");
    assert_eq!(one.answer(Outcome::Valid), "up sip.example~chat.xmpp.example TlsDialback");
    assert_eq!(one.answer(Outcome::Valid), "up voice.example~xmpp.example TlsDialback");
    // Questions about our own keys are answered beside them.
    let own = key(b"our secret", PARTNER, OURS, "x");
    one.out();
    one.feed(&question(PARTNER, OURS, "x", own.as_str()));
    assert_eq!(one.out(), "<db:verify from='sip.example' to='xmpp.example' id='x' type='valid'/>");
    for (from, to, proven) in [
        (PARTNER, OURS, true),
        ("chat.xmpp.example", OURS, true),
        (PARTNER, OTHER_OURS, true),
        ("chat.xmpp.example", OTHER_OURS, false),
    ] {
        let events = one.feed(&format!("<message from='a@{from}' to='b@{to}'/>"));
        assert_eq!(events.starts_with("Message"), proven, "{from} {to}: {events}");
    }
    assert_error(&one.out(), "host-unknown");
}

#[test]
fn threat_055_a_second_domain_needs_its_own_proof() {
    let mut one = One::up(usual());
    assert_eq!(
        one.feed("<message from='a@second.example' to='b@sip.example'/>"),
        "down: stream error sent: invalid-from"
    );
    assert_error(&one.out(), "invalid-from");
    let mut one = One::up(usual());
    one.feed(&offer("second.example", OURS, "k"));
    one.feed("<message from='a@second.example' to='b@sip.example'/>");
    assert_error(&one.out(), "invalid-from");
}

#[test]
fn threat_056_our_own_keys_are_confirmed_exactly() {
    let right = key(b"our secret", PARTNER, OURS, "id1");
    for (from, to, id, offered, outcome) in [
        (PARTNER, OURS, "id1", right.as_str(), "valid"),
        (PARTNER, OURS, "id2", right.as_str(), "invalid"),
        ("second.example", OURS, "id1", right.as_str(), "invalid"),
        (PARTNER, OTHER_OURS, "id1", right.as_str(), "invalid"),
        (PARTNER, OURS, "id1", "", "invalid"),
        (PARTNER, OURS, "", key(b"our secret", PARTNER, OURS, "").as_str(), "invalid"),
        (PARTNER, OURS, "id1", &right.as_str()[..63], "invalid"),
        (PARTNER, OURS, "id1", key(b"another secret", PARTNER, OURS, "id1").as_str(), "invalid"),
    ] {
        let mut one = unproven();
        assert_eq!(one.feed(&question(from, to, id, offered)), "");
        assert_eq!(one.out(), format!("<db:verify from='{to}' to='{from}' id='{id}' type='{outcome}'/>"));
    }
    // Domains are compared as domains.
    let mut one = unproven();
    one.feed(&question("XMPP.Example", "SIP.example", "id1", right.as_str()));
    assert!(one.out().ends_with(" type='valid'/>"));
    let mut one = unproven();
    one.feed("<db:verify from='xmpp.example' to='sip.example'>k</db:verify>");
    assert_error(&one.out(), "invalid-xml");
}

#[test]
fn f52_two_nodes_with_one_secret_confirm_each_others_keys() {
    let settings = Settings::default();
    let mut a = One::initiating(usual(), Purpose::Send, TlsMode::Direct);
    a.stream.handle_tls(Names::faulty(CertFault::UntrustedIssuer));
    a.feed(&response("their-id"));
    a.feed(FEATURES_DIALBACK);
    let out = a.out();
    let offered = out.rsplit("'>").next().unwrap().strip_suffix("</db:result>").unwrap();
    let mut b = One::receiving_with(usual(), &settings);
    b.stream.handle_tls(Names::faulty(CertFault::UntrustedIssuer));
    b.feed(&header_from(PARTNER));
    b.feed(&question(PARTNER, OURS, "their-id", offered));
    assert!(b.out().ends_with("id='their-id' type='valid'/>"));
}

#[test]
fn threat_057_verifications_under_way_are_bounded() {
    let mut one = unproven();
    one.realm.partners = (0..300).map(|n| (&*format!("d{n}.example").leak(), usual())).collect();
    let mut lookups = 0;
    for n in 0..300 {
        lookups += one.feed(&offer(&format!("d{n}.example"), OURS, "k")).matches("wanted").count();
    }
    assert_eq!(lookups, 5);
    assert_error(&one.out(), "policy-violation");
    // A second key for a pair whose first is under way is as bad.
    let mut one = unproven();
    one.feed(&offer(PARTNER, OURS, "k"));
    assert!(one.feed(&offer(PARTNER, OURS, "l")).starts_with("down"));
    // And what fails again and again is not asked for ever.
    let mut one = unproven();
    let mut lookups = 0;
    while one.stream.phase() != Phase::Closed {
        one.feed(&offer(PARTNER, OURS, "k"));
        one.answer(Outcome::Error(Condition::RemoteServerTimeout));
        lookups += 1;
    }
    assert_eq!(lookups, 10);
}

#[test]
fn threat_058_a_silent_authoritative_server_is_an_error_never_valid() {
    let mut one = unproven();
    one.feed(&offer(PARTNER, OURS, "k"));
    assert_eq!(one.stream.deadline(), Some(Now::at(20).mono));
    assert_eq!(one.at(19), "");
    assert_eq!(one.out(), "");
    assert_eq!(one.at(20), "");
    assert_eq!(
        one.out(),
        "<db:result from='sip.example' to='xmpp.example' type='error'><error type='wait'>\
         <remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>"
    );
    // On the asking side: an error to whoever asked.
    let mut one = One::initiating(usual(), Purpose::Verify, TlsMode::Direct);
    let verify = Verify { stream: StreamId(7), pair: pair(OURS, PARTNER), id: "i".into(), key: "k".into() };
    one.stream.verify(one.now, verify.clone()).unwrap();
    assert_eq!(one.at(20), "verified sip.example~xmpp.example i Error(RemoteServerTimeout)");
    one.stream.verify(one.now, verify.clone()).unwrap();
    one.stream.handle_eof();
    assert_eq!(
        one.events(),
        "verified sip.example~xmpp.example i Error(RemoteServerTimeout)\ndown: connection lost"
    );
    assert_eq!(one.stream.verify(one.now, verify.clone()), Err((SendError::NotOpen, verify)));
}

#[test]
fn threat_060_nobody_speaks_for_our_own_domains() {
    for from in [OURS, OTHER_OURS] {
        for element in [offer(from, OURS, "k"), question(from, OURS, "x", "k")] {
            let mut one = unproven();
            one.feed(&element);
            assert_error(&one.out(), "invalid-from");
        }
    }
}

#[test]
fn threat_061_dialback_without_addresses_is_improper_addressing() {
    for element in [
        "<db:result to='sip.example'>k</db:result>",
        "<db:result from='xmpp.example'>k</db:result>",
        "<db:result from='a@b@c' to='sip.example'>k</db:result>",
        "<db:verify from='' to='sip.example' id='x'>k</db:verify>",
    ] {
        let mut one = unproven();
        one.feed(element);
        assert_error(&one.out(), "improper-addressing");
    }
}

#[test]
fn f40_with_dialback_off_it_is_ignored() {
    let mut one = One::secured(terms(Need::Required, Need::Optional, false), Names::valid(PARTNER));
    assert!(!one.out().contains("<dialback"));
    for element in [
        "<db:result from='xmpp.example' to='sip.example'>k</db:result>",
        "<db:verify from='xmpp.example' to='sip.example' id='x'>k</db:verify>",
    ] {
        assert_eq!(one.feed(element), "");
        assert_eq!(one.out(), "");
    }
    assert_eq!(one.stream.phase(), Phase::Secure);
}

#[test]
fn f40_with_dialback_off_it_is_ignored_in_the_clear_though_tls_is_required() {
    let mut one = One::receiving(terms(Need::Required, Need::Optional, false));
    one.feed(&header_from(PARTNER));
    one.out();
    for element in [offer(PARTNER, OURS, "k"), offer(PARTNER, OURS, "another")] {
        assert_eq!(one.feed(&element), "");
        assert_eq!(one.out(), "");
    }
    assert_eq!(one.stream.phase(), Phase::Clear);
}

#[test]
fn where_sasl_and_tls_are_required_dialback_does_not_operate() {
    let mut one = One::secured(Terms::default(), Names::valid(PARTNER));
    one.out();
    assert_eq!(one.feed(&offer(PARTNER, OURS, "k")), "");
    assert!(one.out().contains("<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"));
}

#[test]
fn a_further_domain_without_terms_gets_an_error_and_alone_the_end() {
    let mut one = One::up(usual());
    assert_eq!(one.feed(&offer("stranger.example", OURS, "k")), "");
    assert!(one.out().contains("<policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"));
    assert!(one.feed(MESSAGE).starts_with("Message"));
    let mut one = unproven();
    assert!(one.feed(&offer("stranger.example", OURS, "k")).starts_with("down: refused"));
    assert_error(&one.out(), "policy-violation");
}

#[test]
fn pairs_on_one_stream_are_bounded() {
    let settings = Settings { pairs: 2, ..Settings::default() };
    let mut one = One::receiving_with(usual(), &settings);
    one.stream.handle_tls(Names::faulty(CertFault::NonePresented));
    one.feed(&header_from(PARTNER));
    for from in [PARTNER, "chat.xmpp.example"] {
        one.feed(&offer(from, OURS, "k"));
    }
    // Those under verification count.
    assert_eq!(one.feed(&offer("second.example", OURS, "k")), "");
    assert!(one.out().contains("<resource-constraint"));
    one.answer(Outcome::Valid);
    one.answer(Outcome::Valid);
    one.out();
    assert_eq!(one.feed(&offer("second.example", OURS, "k")), "");
    assert!(one.out().contains("<resource-constraint"));
}

#[test]
fn threat_056_questions_in_vain_are_bounded_before_a_proof() {
    let mut one = unproven();
    let right = key(b"our secret", PARTNER, OURS, "id1");
    for _ in 0..100 {
        one.feed(&question(PARTNER, OURS, "id1", right.as_str()));
        assert!(one.out().ends_with(" type='valid'/>"));
    }
    // Whatever is wrong with them.
    let vain = [question(PARTNER, OURS, "id1", "k"), question(PARTNER, "other.example", "id1", "k")];
    for n in 1..20 {
        assert_eq!(one.feed(&vain[n % 2]), "");
        assert_eq!(one.out().matches("<db:verify ").count(), 1);
    }
    one.feed(&question(PARTNER, OURS, "id1", right.as_str()));
    assert!(one.out().ends_with(" type='valid'/>"));
    assert_eq!(
        one.feed(&vain[0].repeat(50)),
        "down: stream error sent: policy-violation: too many questions about dialback keys that are not ours"
    );
    let out = one.out();
    assert_eq!(out.matches("<db:verify ").count(), 1);
    assert!(out.ends_with("</stream:stream>"));
    // In the clear as over TLS.
    let mut one = One::receiving(plain());
    one.feed(&header_from(PARTNER));
    one.out();
    one.feed(&vain[0].repeat(50));
    assert_eq!(one.out().matches("<db:verify ").count(), 20);
    // A proven partner may ask about whatever it was told by others.
    let mut one = One::up(usual());
    for _ in 0..100 {
        assert_eq!(one.feed(&vain[0]), "");
        assert!(one.out().ends_with(" type='invalid'/>"));
    }
    assert!(one.feed(MESSAGE).starts_with("Message"));
}

#[test]
fn threat_056_a_long_id_is_not_echoed_and_a_long_key_is_invalid() {
    for (length, condition) in [(256, None), (257, Some("policy-violation"))] {
        let mut one = unproven();
        one.feed(&question(PARTNER, OURS, &"i".repeat(length), "k"));
        let out = one.out();
        match condition {
            Some(condition) => {
                assert_error(&out, condition);
                assert!(!out.contains("iii"));
            }
            None => assert!(out.ends_with(" type='invalid'/>"), "{out}"),
        }
    }
    let mut one = unproven();
    one.feed(&question(PARTNER, OURS, "id1", &"k".repeat(9000)));
    assert!(one.out().ends_with(" id='id1' type='invalid'/>"));
}

#[test]
fn threat_057_refused_keys_are_bounded_whatever_is_wrong_with_them() {
    let strict = || One::secured(Terms::default(), Names::valid(PARTNER));
    for (mut one, offered, condition) in [
        (unproven(), offer(PARTNER, "other.example", "k"), "item-not-found"),
        (strict(), offer(PARTNER, OURS, "k"), "not-authorized"),
        (One::up(usual()), offer("stranger.example", OURS, "k"), "policy-violation"),
        (One::up(usual()), offer("second.example", "other.example", "k"), "item-not-found"),
        (One::up(usual()), offer("second.example", OURS, ""), "forbidden"),
    ] {
        one.out();
        for n in 1..10 {
            assert_eq!(one.feed(&offered), "", "{condition} {n}");
            let out = one.out();
            assert!(out.starts_with("<db:result ") && out.contains(&format!("<{condition} ")), "{out}");
        }
        if one.stream.pairs().next().is_some() {
            assert!(one.feed(MESSAGE).starts_with("Message"), "a few of them cost no other pair");
        }
        assert_eq!(
            one.feed(&offered.repeat(50)),
            "down: stream error sent: policy-violation: too many dialback keys that were refused"
        );
        let out = one.out();
        assert_eq!(out.matches("<db:result ").count(), 1);
        assert!(out.ends_with("</stream:stream>"), "{out}");
    }
}

#[test]
fn threat_057_a_stream_that_lives_long_may_have_keys_refused_now_and_then() {
    let mut one = One::up(usual());
    let stranger = offer("stranger.example", OURS, "k");
    for minute in 1..5 {
        one.now = Now::at(60 * minute);
        assert_eq!(one.feed(&stranger.repeat(9)), "");
    }
    one.now = Now::at(299);
    assert!(one.feed(&stranger).starts_with("down: stream error sent: policy-violation"));
}

#[test]
fn threat_057_a_stream_that_carries_pairs_keeps_them_when_too_many_keys_come_at_once() {
    let mut one = One::up(usual());
    one.realm.partners.extend((0..6).map(|n| (&*format!("d{n}.example").leak(), usual())));
    for n in 0..5 {
        assert!(one.feed(&offer(&format!("d{n}.example"), OURS, "k")).starts_with("wanted"));
    }
    for from in ["d5.example", "d0.example"] {
        assert_eq!(one.feed(&offer(from, OURS, "k")), "");
        assert!(one.out().contains("<resource-constraint "));
    }
    assert!(one.feed(MESSAGE).starts_with("Message"));
    assert_eq!(one.answer(Outcome::Valid), "up sip.example~d0.example TlsDialback");
}

#[test]
fn threat_057_a_key_for_a_pair_that_is_proven_is_not_asked_about() {
    let mut one = One::up(usual());
    for _ in 0..20 {
        assert_eq!(one.feed(&offer(PARTNER, OURS, "k")), "");
        assert_eq!(one.out(), "<db:result from='sip.example' to='xmpp.example' type='valid'/>");
    }
    let proven: Vec<Auth> = one.stream.pairs().map(|(_, auth)| auth).collect();
    assert_eq!(proven, [Auth::External]);
}

#[test]
fn threat_002_a_further_domain_that_must_have_tls_is_refused_and_the_first_stays() {
    let mut one = One::receiving(plain());
    one.realm.partners = vec![(PARTNER, plain()), ("second.example", usual())];
    one.feed(&header_from(PARTNER));
    one.feed(&offer(PARTNER, OURS, "k"));
    assert_eq!(one.answer(Outcome::Valid), "up sip.example~xmpp.example TcpDialback");
    one.out();
    assert_eq!(one.feed(&offer("second.example", OURS, "k")), "");
    let out = one.out();
    assert!(out.contains("to='second.example' type='error'") && out.contains("<policy-violation "), "{out}");
    assert!(one.feed(MESSAGE).starts_with("Message"));
}

#[test]
fn threat_059_no_key_is_made_for_an_id_that_is_not_plain() {
    for id in ["", "a b", "a\u{fc}", &"i".repeat(257)] {
        let mut one = One::initiating(plain(), Purpose::Send, TlsMode::StartTls);
        one.out();
        one.feed(&response(id));
        assert_eq!(one.feed(FEATURES_DIALBACK), "down: no authentication in common", "{id}");
        assert_eq!(one.out(), "</stream:stream>");
    }
}

#[test]
fn f26_a_key_whose_pair_loses_its_terms_is_not_taken_any_more() {
    let mut one = One::up(usual());
    for from in ["chat.xmpp.example", "second.example"] {
        assert!(one.feed(&offer(from, OURS, "k")).starts_with("wanted"));
    }
    one.realm.partners.retain(|(name, _)| *name != "chat.xmpp.example");
    one.stream.handle_reload(&one.realm);
    assert_eq!(one.events(), "");
    assert_eq!(
        one.out(),
        "<db:result from='sip.example' to='chat.xmpp.example' type='error'><error type='auth'>\
         <not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>"
    );
    assert_eq!((one.answer(Outcome::Valid).as_str(), one.out().as_str()), ("", ""));
    assert_eq!(one.answer(Outcome::Valid), "up sip.example~second.example TlsDialback");
}
