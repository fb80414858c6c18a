//! The receiving role, octet for octet.

use super::*;

#[test]
fn check_112_the_response_header_has_all_attributes_and_a_new_id_after_each_restart() {
    let mut one = One::receiving(usual());
    assert_eq!(one.feed(&header_from(PARTNER)), "");
    let first = one.out();
    assert!(first.starts_with("<?xml version='1.0'?><stream:stream "));
    for (name, value) in [("from", OURS), ("to", PARTNER), ("xml:lang", "en")] {
        assert_eq!(attribute(&first, name), value);
    }
    assert!(first.contains("xml:lang='en' version='1.0'>"), "{first}");
    assert_eq!(one.feed(STARTTLS), "starttls");
    one.out();
    one.stream.handle_tls(Names::valid(PARTNER));
    one.feed(&header_from(PARTNER));
    let second = one.out();
    one.feed("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
    one.out();
    one.feed(&header_from(PARTNER));
    let third = one.out();
    let found: Vec<String> = [&first, &second, &third].map(|out| attribute(out, "id")).into();
    assert!(found.iter().all(|id| id.len() == 18), "{found:?}");
    assert!(found[0] != found[1] && found[1] != found[2] && found[0] != found[2], "{found:?}");
    // Another stream of the same mint has other ids.
    let mut other = One::receiving(usual());
    other.ids = ids(9);
    other.feed(&header_from(PARTNER));
    assert!(!found.contains(&attribute(&other.out(), "id")));
}

#[test]
fn the_peers_language_is_kept_for_its_stanzas() {
    let mut one = One::receiving(usual());
    one.feed(&header(&format!("from='{PARTNER}' to='{OURS}' version='1.0' xml:lang='de-CH'")));
    assert_eq!(one.stream.lang(), Some("de-CH"));
    one.feed(STARTTLS);
    one.stream.handle_tls(Names::valid(PARTNER));
    assert_eq!(one.stream.lang(), None);
}

#[test]
fn check_113_features_follow_a_header_with_a_version_and_none_without() {
    for (version, modern) in [
        ("version='1.0'", true),
        ("version='1.1'", true),
        ("version='2.13'", true),
        ("version='01.0'", true),
        ("version='0.9'", false),
        ("", false),
    ] {
        let mut one = One::receiving(plain());
        let events = one.feed(&header(&format!("from='{PARTNER}' to='{OURS}' {version}")));
        let out = one.out();
        assert_eq!(events, "");
        assert_eq!(out.contains("<stream:features>"), modern, "{version}: {out}");
        assert_eq!(out.contains("' version='1.0'>"), modern, "{version}: {out}");
    }
    for version in ["version='1'", "version=''", "version='1.x'", "version='-1.0'", "version='1.0.0'"] {
        let mut one = One::receiving(plain());
        one.feed(&header(&format!("from='{PARTNER}' to='{OURS}' {version}")));
        assert_error(&one.out(), "unsupported-version");
    }
    // Without features there is no TLS, so who must have TLS can't go on.
    let mut one = One::receiving(usual());
    one.feed(&header(&format!("from='{PARTNER}' to='{OURS}'")));
    assert_error(&one.out(), "policy-violation");
}

#[test]
fn check_114_starttls_is_required_alone_and_gone_after_tls() {
    let mut one = One::receiving(usual());
    one.feed(&header_from(PARTNER));
    let features = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
                    </stream:features>";
    assert!(one.out().ends_with(features));
    assert_eq!(one.feed(STARTTLS), "starttls");
    assert_eq!(one.out(), PROCEED);
    one.stream.handle_tls(Names::valid(PARTNER));
    one.feed(&header_from(PARTNER));
    let out = one.out();
    assert!(!out.contains("starttls"), "{out}");
    let mechanisms = out.find("<mechanism>EXTERNAL</mechanism>").unwrap();
    assert!(mechanisms < out.find("<dialback xmlns='urn:xmpp:features:dialback'><errors/>").unwrap());
    // A second time is a failure (RFC 6120 §5.4.2.2).
    assert_eq!(one.feed(STARTTLS), "down: no agreement on TLS");
    assert_eq!(one.out(), "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>");
}

#[test]
fn check_114_optional_tls_is_offered_beside_dialback_and_none_is_not_offered() {
    let mut one = One::receiving(terms(Need::Optional, Need::Optional, true));
    one.feed(&header_from(PARTNER));
    assert!(one.out().ends_with(
        "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
         <dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>"
    ));
    let mut one = One::receiving(plain());
    one.feed(&header_from(PARTNER));
    let out = one.out();
    assert!(!out.contains("starttls") && out.contains("<errors/>"), "{out}");
    assert_eq!(one.feed(STARTTLS), "down: no agreement on TLS");
    assert_eq!(one.out(), "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>");
}

#[test]
fn check_115_what_was_learnt_before_tls_is_forgotten() {
    let mut one = One::receiving(usual());
    one.feed(&header_from(PARTNER));
    one.feed(STARTTLS);
    one.out();
    one.stream.handle_tls(Names::valid(PARTNER));
    assert_eq!((one.stream.local(), one.stream.remote()), (None, None));
    // The sender domain of before is not the one that EXTERNAL would prove now.
    one.feed(&header_from("second.example"));
    let out = one.out();
    assert!(!out.contains("EXTERNAL") && out.contains("to='second.example'"), "{out}");
}

#[test]
fn threat_003_octets_behind_starttls_are_discarded() {
    let mut one = One::receiving(usual());
    one.feed(&header_from(PARTNER));
    one.out();
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
    let piped = format!("{STARTTLS}{}{auth}{}{MESSAGE}", header_from(PARTNER), header_from(PARTNER));
    assert_eq!(one.feed(&piped), "starttls");
    assert_eq!(one.out(), PROCEED);
    // More of it, before the handshake is done.
    assert_eq!(one.feed(&header_from(PARTNER)), "");
    one.stream.handle_tls(Names::valid(PARTNER));
    assert_eq!(one.events(), "");
    assert_eq!(one.out(), "");
    assert_eq!(one.feed(&header_from(PARTNER)), "");
    assert!(one.out().contains("EXTERNAL"));
}

#[test]
fn check_117_direct_tls_has_no_starttls_inside() {
    let mut one = One::receiving(usual());
    one.stream.handle_tls(Names::valid(PARTNER));
    one.feed(&header_from(PARTNER));
    let out = one.out();
    assert!(out.contains("EXTERNAL") && !out.contains("starttls"), "{out}");
    // A second identity for the same stream is ignored.
    one.stream.handle_tls(Names::faulty(CertFault::Expired));
    one.feed("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
    assert_eq!(one.out(), SUCCESS);
}

#[test]
fn check_119_each_bad_input_has_its_error_behind_a_header() {
    let good = header_from(PARTNER);
    let deep = "<message>".repeat(40);
    let many: String = (0..70).map(|n| format!(" a{n}=''")).collect();
    let cases: Vec<(String, &str)> = vec![
        ("rubbish".into(), "not-well-formed"),
        ("<stream:stream".to_owned() + " a='<'>", "not-well-formed"),
        ("<!DOCTYPE x>".into(), "restricted-xml"),
        ("<?xml version='1.0' encoding='UTF-16'?><a/>".into(), "unsupported-encoding"),
        (good.replace("etherx.jabber.org/streams", "example.org/"), "invalid-namespace"),
        (good.replace("jabber:server'", "jabber:client'"), "invalid-namespace"),
        (
            good.replace("stream:stream", "s:stream").replace("xmlns:stream", "xmlns:s"),
            "bad-namespace-prefix",
        ),
        (good.replace("stream:stream", "stream:message"), "bad-format"),
        (format!("{good}<!-- x -->"), "restricted-xml"),
        (format!("{good}<?x y?>"), "restricted-xml"),
        (format!("{good}text"), "bad-format"),
        (format!("{good}<a><b></a></b>"), "not-well-formed"),
        (format!("{good}<x:a/>"), "not-well-formed"),
        (format!("{good}<a>&b;</a>"), "restricted-xml"),
        (format!("{good}{deep}"), "policy-violation"),
        (format!("{good}<a{many}/>"), "policy-violation"),
        (format!("{good}<iq><a xmlns='jabber:client'"), ""),
        (format!("{good}<message xmlns='jabber:client'/>"), "invalid-namespace"),
        (format!("{good}<s:iq xmlns:s='jabber:server'/>"), "bad-namespace-prefix"),
        (format!("{good}<unknown/>"), "unsupported-stanza-type"),
        (format!("{good}<message xmlns='urn:x'/>"), "unsupported-stanza-type"),
        (format!("{good}<stream:features/>"), "unsupported-stanza-type"),
        (format!("{good}{PROCEED}"), "unsupported-stanza-type"),
        (format!("{good}{good}"), "restricted-xml"),
    ];
    for (input, condition) in cases {
        let mut one = One::receiving(usual());
        let events = one.feed(&input);
        let out = one.out();
        if condition.is_empty() {
            assert_eq!(events, "");
            continue;
        }
        assert!(out.starts_with("<?xml version='1.0'?><stream:stream "), "{input}: {out}");
        assert_eq!(out.matches("<stream:stream ").count(), 1, "{input}: {out}");
        assert_error(&out, condition);
        assert!(events.starts_with("down: stream error sent: "), "{events}");
        assert_eq!(attribute(&out, "id").len(), 18);
        // It is over: nothing more is said, whatever comes.
        assert_eq!(one.feed(&good), "");
        assert_eq!(one.out(), "");
        assert_eq!(one.stream.deadline(), None);
    }
}

#[test]
fn check_120_restricted_xml_ends_a_live_stream_too() {
    for input in [
        "<message><!-- x --></message>",
        "<message><?x y?></message>",
        "<!DOCTYPE message>",
        "<message from='a@xmpp.example' to='b@sip.example'><body>&x;</body></message>",
    ] {
        let mut one = One::up(usual());
        assert_eq!(one.feed(input), "down: stream error sent: restricted-xml", "{input}");
        assert_error(&one.out(), "restricted-xml");
    }
}

#[test]
fn check_121_other_encodings_are_refused() {
    for input in [
        b"<?xml version='1.0' encoding='ISO-8859-1'?>".as_slice(),
        b"\xff\xfe<\0s\0",
        b"<stream:stream a='\xc3\x28'>",
    ] {
        let mut one = One::receiving(usual());
        one.feed_octets(input);
        assert_error(&one.out(), "unsupported-encoding");
    }
}

#[test]
fn check_122_a_stanza_before_authentication_is_not_processed() {
    for stanza in ["<message/>", "<presence/>", "<iq/>", MESSAGE] {
        for mut one in [One::receiving(usual()), One::secured(usual(), Names::valid(PARTNER))] {
            if one.stream.phase() == Phase::Header {
                one.feed(&header_from(PARTNER));
            }
            one.out();
            assert_eq!(one.feed(stanza), "down: stream error sent: not-authorized");
            assert_error(&one.out(), "not-authorized");
        }
    }
}

#[test]
fn threat_001_stanza_or_sasl_before_tls_end_the_stream() {
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
    for (terms, input, condition) in [
        (usual(), MESSAGE, "not-authorized"),
        (usual(), auth, "policy-violation"),
        (plain(), auth, "policy-violation"),
    ] {
        let mut one = One::receiving(terms);
        one.feed(&header_from(PARTNER));
        assert!(!one.out().contains("EXTERNAL"));
        assert_eq!(one.feed(input).lines().count(), 1);
        assert_error(&one.out(), condition);
    }
}

#[test]
fn threat_002_dialback_before_tls_where_tls_is_required_ends_the_stream() {
    for terms in [usual(), Terms::default()] {
        for element in ["result", "verify"] {
            let mut one = One::receiving(terms);
            one.feed(&header_from(PARTNER));
            one.out();
            one.feed(&format!("<db:{element} from='{PARTNER}' to='{OURS}' id='x'>key</db:{element}>"));
            let out = one.out();
            assert_error(&out, "policy-violation");
            assert!(!out.contains("type='valid'") && one.wanted.is_empty());
        }
    }
}

#[test]
fn threat_004_a_stanza_glued_to_auth_ends_the_stream() {
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
    let mut one = One::secured(usual(), Names::valid(PARTNER));
    one.out();
    assert_eq!(one.feed(&format!("{auth}{MESSAGE}")), "down: stream error sent: not-authorized");
    assert_error(&one.out(), "not-authorized");
    // The same a moment later: the new stream has no header yet.
    let mut one = One::secured(usual(), Names::valid(PARTNER));
    one.feed(auth);
    one.out();
    assert_eq!(one.feed(MESSAGE), "down: stream error sent: not-authorized");
    assert_error(&one.out(), "not-authorized");
    // White space alone harms nobody.
    let mut one = One::secured(usual(), Names::valid(PARTNER));
    one.feed(&format!("{auth}\n"));
    assert_eq!(one.feed(&header_from(PARTNER)), "up sip.example~xmpp.example External");
}

#[test]
fn threat_005_a_header_without_a_domain_of_ours_ends_the_stream() {
    for (attributes, condition, from) in [
        ("from='xmpp.example' to='other.example' version='1.0'", "host-unknown", ""),
        ("from='xmpp.example' version='1.0'", "improper-addressing", ""),
        ("from='xmpp.example' to='' version='1.0'", "improper-addressing", ""),
        ("from='xmpp.example' to='a@b@c' version='1.0'", "improper-addressing", ""),
        ("from='xmpp.example' to='romeo@sip.example' version='1.0'", "improper-addressing", ""),
        ("from='..' to='sip.example' version='1.0'", "improper-addressing", OURS),
        ("from='sip.example' to='sip.example' version='1.0'", "invalid-from", OURS),
        ("from='voice.example' to='sip.example' version='1.0'", "invalid-from", OURS),
        ("from='stranger.example' to='sip.example' version='1.0'", "policy-violation", OURS),
    ] {
        let mut one = One::receiving(usual());
        one.feed(&header(attributes));
        let out = one.out();
        assert_error(&out, condition);
        assert_eq!(attribute(&out, "from"), from, "{out}");
    }
}

#[test]
fn f25_an_unlisted_domain_gets_a_header_and_policy_violation_before_tls() {
    let mut one = One::receiving(usual());
    let events = one.feed(&header_from("stranger.example"));
    assert_eq!(events, "down: refused: domain is not an allowed partner");
    let out = one.out();
    assert_error(&out, "policy-violation");
    assert!(!out.contains("features") && !out.contains("not an allowed"), "{out}");
}

#[test]
fn check_124_the_size_limit_is_small_before_authentication_and_as_set_after() {
    let mut one = One::receiving(usual());
    one.feed(&header_from(PARTNER));
    one.out();
    let mut fed = 0;
    while one.stream.phase() != Phase::Closed {
        one.feed(if fed == 0 { "<a b='" } else { "0123456789abcdef" });
        fed += 16;
        assert!(fed < 12_000);
    }
    assert!(fed >= 10_000);
    let out = one.out();
    assert!(out.contains("<policy-violation") && out.contains("<stanza-too-big xmlns='urn:xmpp:errors'/>"));
    // After authentication the setting counts, never less than the RFC's floor.
    let settings = Settings { stanza_size: 20_000, ..Settings::default() };
    for (size, fits) in [(12_000, true), (19_500, true), (20_100, false)] {
        let mut one = One::receiving_with(usual(), &settings);
        one.stream.handle_tls(Names::valid(PARTNER));
        one.feed(&header_from(PARTNER));
        one.feed("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
        one.feed(&header_from(PARTNER));
        let body = "x".repeat(size - MESSAGE.len() + 2);
        let events = one.feed(&MESSAGE.replace("Hi", &body));
        assert_eq!(events.starts_with("Message"), fits, "{size}: {events}");
    }
}

#[test]
fn check_126_no_white_space_goes_out_and_bad_base64_is_refused() {
    let mut one = One::receiving(usual());
    one.feed(&header_from(PARTNER));
    one.feed(STARTTLS);
    assert!(one.out().ends_with("</stream:features><proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"));
    for text in [
        " ",
        " =",
        "=\n",
        "eG1wcC5leGFtcGxl ",
        "eG1w cC5leGFtcGxl",
        "====",
        "eG1",
        "eG1wcC5leGFtcGxm!",
        "a===",
        "eG1wcC5leGFtcGx=",
    ] {
        let mut one = One::secured(usual(), Names::valid(PARTNER));
        one.out();
        one.feed(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>{text}</auth>"
        ));
        let out = one.out();
        let failure = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><incorrect-encoding/></failure>";
        assert!(
            out == failure || (text.ends_with("x=") && out.contains("invalid-authzid")),
            "{text:?}: {out}"
        );
    }
}

#[test]
fn check_127_external_is_offered_only_to_a_certificate_that_matches_from() {
    for (identity, offered) in [
        (Names::valid(PARTNER), true),
        (Names::valid("second.example"), false),
        (Names::faulty(CertFault::UntrustedIssuer), false),
    ] {
        let mut one = One::secured(usual(), identity);
        let out = one.out();
        assert_eq!(out.contains("EXTERNAL"), offered, "{out}");
        assert!(out.contains("<errors/>"));
    }
    // Nor where the terms have no SASL.
    let mut one = One::secured(terms(Need::Required, Need::NotSupported, true), Names::valid(PARTNER));
    assert!(!one.out().contains("EXTERNAL"));
    one.feed("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
    assert!(one.out().contains("<invalid-mechanism/>"));
}

#[test]
fn threat_040_a_certificate_for_another_name_is_not_authorized() {
    let mut one = One::secured(usual(), Names::valid("second.example"));
    one.out();
    one.feed("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
    assert_eq!(one.out(), "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>");
    // Dialback is still open to it, by these terms.
    let key = format!("<db:result from='{PARTNER}' to='{OURS}'>k</db:result>");
    assert_eq!(one.feed(&key), "wanted sip.example~xmpp.example k");
}

#[test]
fn threats_041_042_043_a_faulty_certificate_is_told_what_is_wrong_where_nothing_else_is_open() {
    for (fault, text) in [
        (CertFault::UntrustedIssuer, "untrusted issuer"),
        (CertFault::Expired, "certificate expired"),
        (CertFault::NotYetValid, "certificate not yet valid"),
        (CertFault::NonePresented, "no certificate presented"),
        (CertFault::WrongName, "certificate is for another name"),
    ] {
        let mut one = One::receiving(Terms::default());
        one.stream.handle_tls(Names::faulty(fault));
        one.feed(&header_from(PARTNER));
        let out = one.out();
        assert_error(&out, "policy-violation");
        assert!(out.contains(&format!("xml:lang='en'>{text}</text>")), "{out}");
    }
}

#[test]
fn threat_044_the_authorization_identity_is_absent_or_the_domain_itself() {
    use base64::Engine;
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let auth = |text: &str| {
        let mut one = One::secured(usual(), Names::valid(PARTNER));
        one.out();
        one.feed(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>{text}</auth>"
        ));
        one.out()
    };
    for good in ["", "=", &encode(PARTNER), &encode("XMPP.example")] {
        assert_eq!(auth(good), SUCCESS, "{good}");
    }
    for bad in [
        "second.example",
        "xmpp.example.",
        "xmpp.example/",
        "xmpp.example\0",
        "\0xmpp.example",
        "@xmpp.example",
        "juliet@xmpp.example",
        "xmpp.exаmple",
        "xmpp.exam\u{ad}ple",
        "xmpp。example",
        " xmpp.example",
        "evilxmpp.example",
        "xmpp.example.evil",
        "sip.example",
        "=",
    ] {
        assert!(auth(&encode(bad)).contains("<invalid-authzid/>"), "{bad:?}");
    }
    let not_utf8 = base64::engine::general_purpose::STANDARD.encode(b"xmpp.example\xff");
    assert!(auth(&not_utf8).contains("<invalid-authzid/>"));
    assert!(auth("<x/>").contains("<malformed-request/>"));
}

#[test]
fn threat_046_attempts_are_bounded() {
    for mechanism in ["PLAIN", "SCRAM-SHA-1", "external", ""] {
        let mut one = One::secured(usual(), Names::valid(PARTNER));
        one.out();
        let mut failures = 0;
        while one.stream.phase() != Phase::Closed {
            one.feed(&format!(
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>AA==</auth>"
            ));
            let out = one.out();
            assert!(out.starts_with("<failure ") && out.contains("<invalid-mechanism/>"), "{out}");
            failures += 1;
            if failures == 5 {
                assert_error(&out, "policy-violation");
            }
            assert!(failures <= 5);
        }
        assert_eq!(failures, 5);
    }
    let mut one = One::secured(usual(), Names::valid(PARTNER));
    one.out();
    for (input, condition) in [("abort", "aborted"), ("response", "malformed-request")] {
        one.feed(&format!("<{input} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"));
        assert!(one.out().contains(condition));
    }
    // A failure is not the end: the third attempt succeeds.
    one.feed("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'/>");
    assert_eq!(one.out(), SUCCESS);
}

#[test]
fn f75_external_proves_the_pair_once_the_new_header_is_there() {
    let mut one = One::secured(Terms::default(), Names::valid(PARTNER));
    assert!(!one.out().contains("<errors/>"), "dialback does not operate where both are required");
    assert_eq!(one.feed("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"), "");
    assert_eq!(one.out(), SUCCESS);
    assert_eq!(one.stream.pairs().count(), 0);
    assert_eq!(one.feed(&header_from(PARTNER)), "up sip.example~xmpp.example External");
    assert!(one.out().ends_with("<stream:features></stream:features>"));
    assert_eq!(one.feed(MESSAGE), "Message juliet@xmpp.example/balcony > romeo@sip.example");
    // The new header can't name another domain than the one that was proven.
    for (attributes, condition) in [
        ("from='second.example' to='sip.example' version='1.0'", "invalid-from"),
        ("from='xmpp.example' to='voice.example' version='1.0'", "host-unknown"),
    ] {
        let mut one = One::secured(Terms::default(), Names::valid(PARTNER));
        one.feed("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
        one.out();
        one.feed(&header(attributes));
        assert_error(&one.out(), condition);
    }
}

#[test]
fn check_141_a_close_tag_is_answered_and_ours_is_waited_for() {
    let mut one = One::up(usual());
    assert_eq!(one.feed("</stream:stream>"), "down: closed by the peer");
    assert_eq!(one.out(), "</stream:stream>");

    let mut one = One::up(usual());
    one.stream.close(one.now, None);
    assert_eq!((one.events().as_str(), one.out().as_str()), ("", "</stream:stream>"));
    // What was on its way still counts, and nothing more is said.
    assert_eq!(one.feed(MESSAGE), "Message juliet@xmpp.example/balcony > romeo@sip.example");
    let key = "<db:result from='chat.xmpp.example' to='sip.example'>k</db:result>";
    assert_eq!(one.feed(&format!("{key}</stream:stream>")), "down: closed");
    assert_eq!(one.out(), "");

    let mut one = One::up(usual());
    one.stream.close(one.now, None);
    one.out();
    assert_eq!(one.stream.deadline(), Some(Now::at(5).mono));
    assert_eq!(one.at(4), "");
    assert_eq!(one.at(5), "down: closed");
    assert_eq!(one.out(), "");

    let mut one = One::up(usual());
    one.stream.close(one.now, Some(StreamError::from(StreamCondition::SystemShutdown)));
    assert_eq!(one.events(), "down: closed");
    assert_error(&one.out(), "system-shutdown");

    let mut one = One::receiving(usual());
    one.stream.close(one.now, Some(StreamError::from(StreamCondition::SystemShutdown)));
    assert_error(&one.out(), "system-shutdown");
}

#[test]
fn a_peers_error_is_told_and_answered_with_the_close_tag() {
    let mut one = One::up(usual());
    let events = one.feed(
        "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>Replaced</text></stream:error></stream:stream>",
    );
    assert_eq!(events, "down: stream error from the peer: conflict: Replaced");
    assert_eq!(one.out(), "</stream:stream>");
    let mut one = One::up(usual());
    one.feed("<stream:error><brand-new xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>");
    let mut one = One::up(usual());
    assert_eq!(one.feed("<stream:error/>"), "down: stream error from the peer: undefined-condition");
}

#[test]
fn check_114_starttls_that_was_not_offered_is_a_failure() {
    // Without a version there are no features.
    let mut one = One::receiving(terms(Need::Optional, Need::Optional, true));
    one.feed(&header(&format!("from='{PARTNER}' to='{OURS}'")));
    one.out();
    assert_eq!(one.feed(STARTTLS), "down: no agreement on TLS");
    assert_eq!(one.out(), "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>");
    // Nor once a pair is proven.
    let mut one = One::receiving(terms(Need::Optional, Need::Optional, true));
    one.feed(&header_from(PARTNER));
    one.feed(&format!("<db:result from='{PARTNER}' to='{OURS}'>k</db:result>"));
    one.answer(Outcome::Valid);
    one.out();
    assert_eq!(one.feed(STARTTLS), "down: no agreement on TLS");
}
