//! The initiating role, octet for octet.

use super::*;
use crate::xmpp::dialback::key;
use crate::xmpp::error::Condition;

fn up_by_sasl() -> One {
    let mut one = One::initiating(usual(), Purpose::Send, TlsMode::Direct);
    one.stream.handle_tls(Names::valid(PARTNER));
    one.feed(&response("s1"));
    one.feed(FEATURES_AUTH);
    one.feed(SUCCESS);
    one.feed(&response("s2"));
    assert_eq!(one.feed(FEATURES_DIALBACK), "up sip.example~xmpp.example External");
    one.out();
    one
}

#[test]
fn f75_starttls_then_external_then_up() {
    let mut one = One::initiating(Terms::default(), Purpose::Send, TlsMode::StartTls);
    let hello = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' \
                 xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' \
                 from='sip.example' to='xmpp.example' xml:lang='en' version='1.0'>";
    assert_eq!(one.out(), hello);
    assert_eq!(one.feed(&response("s1")), "");
    assert_eq!(one.out(), "");
    assert_eq!(one.feed(FEATURES_TLS), "");
    assert_eq!(one.out(), STARTTLS);
    assert_eq!(one.feed(PROCEED), "starttls");
    one.stream.handle_tls(Names::valid(PARTNER));
    assert_eq!(one.out(), hello);
    one.feed(&response("s2"));
    assert_eq!(one.feed(FEATURES_AUTH), "");
    assert_eq!(
        one.out(),
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>c2lwLmV4YW1wbGU=</auth>"
    );
    assert_eq!(one.feed(SUCCESS), "");
    assert_eq!(one.out(), hello);
    assert_eq!(one.stream.write_stanza(one.now, OURS, PARTNER, b"<x/>"), Err(SendError::NotOpen));
    one.feed(&response("s3"));
    assert_eq!(one.feed("<stream:features/>"), "up sip.example~xmpp.example External");
    one.stream.write_stanza(one.now, OURS, PARTNER, b"<presence/>").unwrap();
    assert_eq!(one.out(), "<presence/>");
}

#[test]
fn check_115_the_initiator_forgets_what_it_learnt_before_tls() {
    let mut one = One::initiating(usual(), Purpose::Send, TlsMode::StartTls);
    one.feed(&response("old"));
    one.feed(FEATURES_TLS);
    // Everything behind <proceed/> is dropped, features with EXTERNAL among it.
    assert_eq!(one.feed(&format!("{PROCEED}{}{FEATURES_AUTH}", response("forged"))), "starttls");
    one.out();
    one.stream.handle_tls(Names::faulty(CertFault::UntrustedIssuer));
    assert_eq!(one.events(), "");
    one.out();
    one.feed(&response("new"));
    one.feed(FEATURES_DIALBACK);
    let expected = key(b"our secret", PARTNER, OURS, "new");
    assert_eq!(
        one.out(),
        format!("<db:result from='sip.example' to='xmpp.example'>{}</db:result>", expected.as_str())
    );
}

#[test]
fn check_116_starttls_is_tried_where_it_is_not_offered() {
    for features in ["<stream:features/>", FEATURES_DIALBACK, FEATURES_AUTH] {
        let mut one = One::initiating(usual(), Purpose::Send, TlsMode::StartTls);
        one.out();
        one.feed(&response("s1"));
        one.feed(features);
        assert_eq!(one.out(), STARTTLS);
        assert_eq!(
            one.feed("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"),
            "down: no agreement on TLS"
        );
        assert_eq!(one.out(), "</stream:stream>");
    }
    // A peer without features is asked as well.
    let mut one = One::initiating(usual(), Purpose::Send, TlsMode::StartTls);
    one.out();
    one.feed(&header(&format!("id='s' from='{PARTNER}'")));
    assert_eq!(one.out(), STARTTLS);
}

#[test]
fn check_117_direct_tls_begins_with_the_header_inside() {
    let mut one = One::initiating(usual(), Purpose::Send, TlsMode::Direct);
    assert_eq!(one.out(), "");
    assert_eq!(one.feed(&response("too early")), "");
    one.stream.handle_tls(Names::valid(PARTNER));
    assert!(one.out().starts_with("<?xml version='1.0'?><stream:stream "));
    one.feed(&response("s1"));
    // An offer of STARTTLS inside TLS is passed over.
    one.feed(
        &FEATURES_AUTH
            .replace("<mechanisms", "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><mechanisms"),
    );
    assert!(one.out().starts_with("<auth "));
}

/// What the initiator does first with each peer, for each of the eighteen rows.
#[test]
fn f38_f39_the_negotiation_matrix_as_initiator() {
    use Need::{NotSupported, Optional, Required};
    let first = |terms: Terms, tls: bool, certificate: Option<bool>| {
        let mut one = One::initiating(terms, Purpose::Send, TlsMode::StartTls);
        one.out();
        one.feed(&response("s1"));
        let features = if tls {
            FEATURES_AUTH
                .replace("<mechanisms", "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><mechanisms")
        } else {
            FEATURES_DIALBACK.to_owned()
        };
        let mut events = one.feed(&features);
        let mut out = one.out();
        if out == STARTTLS && tls {
            one.feed(PROCEED);
            let valid = certificate.unwrap_or_default();
            one.stream.handle_tls(if valid {
                Names::valid(PARTNER)
            } else {
                Names::faulty(CertFault::Expired)
            });
            one.out();
            one.feed(&response("s2"));
            events = one.feed(FEATURES_AUTH);
            out = format!("tls {}", one.out());
        }
        match (out, events.is_empty()) {
            (out, true) if out == STARTTLS => "insists on tls",
            (out, true) if out.starts_with("tls <auth") => "sasl",
            (out, true) if out.starts_with("tls <db:result") => "tls-dialback",
            (out, true) if out.starts_with("<db:result") => "tcp-dialback",
            (out, false) if out.ends_with("</stream:stream>") => "down",
            other => panic!("{other:?} {events}"),
        }
    };
    for (number, tls, sasl, dialback, valid, faulty, clear) in [
        (1, Required, Required, true, "sasl", "down", "insists on tls"),
        (2, Required, Required, false, "sasl", "down", "insists on tls"),
        (3, Optional, Required, true, "sasl", "tls-dialback", "tcp-dialback"),
        (4, Optional, Required, false, "sasl", "down", "down"),
        (5, NotSupported, Required, true, "down", "down", "down"),
        (6, NotSupported, Required, false, "down", "down", "down"),
        (7, Required, Optional, true, "sasl", "tls-dialback", "insists on tls"),
        (8, Required, Optional, false, "sasl", "down", "insists on tls"),
        (9, Optional, Optional, true, "sasl", "tls-dialback", "tcp-dialback"),
        (10, Optional, Optional, false, "sasl", "down", "down"),
        (11, NotSupported, Optional, true, "down", "down", "down"),
        (12, NotSupported, Optional, false, "down", "down", "down"),
        (13, Required, NotSupported, true, "tls-dialback", "tls-dialback", "insists on tls"),
        (14, Required, NotSupported, false, "down", "down", "insists on tls"),
        (15, Optional, NotSupported, true, "tls-dialback", "tls-dialback", "tcp-dialback"),
        (16, Optional, NotSupported, false, "down", "down", "down"),
        (17, NotSupported, NotSupported, true, "tcp-dialback", "tcp-dialback", "tcp-dialback"),
        (18, NotSupported, NotSupported, false, "down", "down", "down"),
    ] {
        let terms = terms(tls, sasl, dialback);
        let found =
            (first(terms, true, Some(true)), first(terms, true, Some(false)), first(terms, false, None));
        assert_eq!(found, (valid, faulty, clear), "N{number}");
    }
}

#[test]
fn threat_156_a_wrong_certificate_of_a_server_that_we_dial_gets_nothing() {
    for fault in [CertFault::WrongName, CertFault::UntrustedIssuer, CertFault::Expired] {
        let mut one = One::initiating(Terms::default(), Purpose::Send, TlsMode::Direct);
        one.stream.handle_tls(Names::faulty(fault));
        one.out();
        one.feed(&response("s1"));
        assert_eq!(one.feed(FEATURES_AUTH), format!("down: certificate: {fault}"));
        assert_eq!(one.out(), "</stream:stream>");
    }
}

#[test]
fn a_refused_external_goes_on_with_dialback_where_that_is_open() {
    let failure = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>";
    let mut one = One::initiating(usual(), Purpose::Send, TlsMode::Direct);
    one.stream.handle_tls(Names::valid(PARTNER));
    one.feed(&response("s1"));
    one.feed(FEATURES_AUTH);
    one.out();
    assert_eq!(one.feed(failure), "");
    assert!(one.out().starts_with("<db:result from='sip.example' to='xmpp.example'>"));
    let mut one = One::initiating(Terms::default(), Purpose::Send, TlsMode::Direct);
    one.stream.handle_tls(Names::valid(PARTNER));
    one.feed(&response("s1"));
    one.feed(FEATURES_AUTH);
    assert_eq!(one.feed(failure), "down: SASL refused by the peer: not-authorized");
    // Not offered at all: most likely our certificate was not accepted.
    let mut one = One::initiating(Terms::default(), Purpose::Send, TlsMode::Direct);
    one.stream.handle_tls(Names::valid(PARTNER));
    one.feed(&response("s1"));
    assert_eq!(one.feed(FEATURES_DIALBACK), "down: the peer does not offer SASL EXTERNAL to our certificate");
}

#[test]
fn check_132_no_stanza_leaves_before_the_key_is_valid() {
    let mut one = One::initiating(plain(), Purpose::Send, TlsMode::StartTls);
    one.out();
    one.feed(&response("s1"));
    one.feed(FEATURES_DIALBACK);
    let expected = key(b"our secret", PARTNER, OURS, "s1");
    assert!(one.out().contains(expected.as_str()));
    assert_eq!(one.stream.write_stanza(one.now, OURS, PARTNER, b"<x/>"), Err(SendError::NotOpen));
    // Answers about other pairs are not ours.
    for wrong in [
        "<db:result from='second.example' to='sip.example' type='valid'/>",
        "<db:result from='sip.example' to='xmpp.example' type='valid'/>",
        "<db:result from='xmpp.example' to='voice.example' type='valid'/>",
        "<db:result from='xmpp.example' to='sip.example' type='perhaps'/>",
    ] {
        assert_eq!(one.feed(wrong), "");
    }
    let valid = "<db:result from='xmpp.example' to='sip.example' type='valid'/>";
    assert_eq!(one.feed(valid), "up sip.example~xmpp.example TcpDialback");
    one.stream.write_stanza(one.now, OURS, PARTNER, b"<presence/>").unwrap();
    for (sender, target) in [(OTHER_OURS, PARTNER), (OURS, "second.example"), (PARTNER, OURS)] {
        assert_eq!(one.stream.write_stanza(one.now, sender, target, b"<x/>"), Err(SendError::NotProven));
    }
    assert_eq!(one.out(), "<presence/>");
    assert_eq!(one.feed(valid), "", "an answer counts once");
}

#[test]
fn check_132_what_was_queued_is_bounced_by_the_outcome() {
    for (answer, reason, bounce) in [
        (
            "<db:result from='xmpp.example' to='sip.example' type='invalid'/>",
            DownReason::Dialback(Outcome::Invalid),
            Condition::InternalServerError,
        ),
        (
            "<db:result from='xmpp.example' to='sip.example' type='error'><error type='cancel'>\
             <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>",
            DownReason::Dialback(Outcome::Error(Condition::ItemNotFound)),
            Condition::RemoteServerTimeout,
        ),
        ("</stream:stream>", DownReason::PeerClosed, Condition::RemoteServerTimeout),
        (
            "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
            DownReason::PeerError(StreamCondition::HostUnknown.into()),
            Condition::RemoteServerNotFound,
        ),
    ] {
        let mut one = One::initiating(plain(), Purpose::Send, TlsMode::StartTls);
        one.feed(&response("s1"));
        one.feed(FEATURES_DIALBACK);
        one.out();
        one.stream.push(answer.as_bytes());
        match one.stream.next_event(one.now, &one.realm, &mut one.ids) {
            Some(StreamEvent::Down(found)) => {
                assert_eq!(found, reason);
                assert_eq!(found.bounce(), bounce);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(one.out(), "</stream:stream>");
    }
}

#[test]
fn check_122_check_134_stanzas_do_not_come_in_on_a_stream_that_we_opened() {
    let mut one = up_by_sasl();
    assert_eq!(one.feed(MESSAGE), "down: stream error sent: not-authorized");
    assert_error(&one.out(), "not-authorized");
}

#[test]
fn check_133_a_further_domain_of_ours_is_proposed_on_the_same_stream() {
    let mut one = up_by_sasl();
    let further = pair(OTHER_OURS, PARTNER);
    one.stream.propose(one.now, further.clone(), &one.realm).unwrap();
    let expected = key(b"our secret", PARTNER, OTHER_OURS, "s2");
    assert_eq!(
        one.out(),
        format!("<db:result from='voice.example' to='xmpp.example'>{}</db:result>", expected.as_str())
    );
    one.stream.propose(one.now, further.clone(), &one.realm).unwrap();
    assert_eq!(one.out(), "", "once is enough");
    assert_eq!(one.stream.write_stanza(one.now, OTHER_OURS, PARTNER, b"<x/>"), Err(SendError::NotProven));
    assert_eq!(
        one.feed("<db:result from='xmpp.example' to='voice.example' type='valid'/>"),
        "up voice.example~xmpp.example TlsDialback"
    );
    one.stream.write_stanza(one.now, OTHER_OURS, PARTNER, b"<presence/>").unwrap();
    // Another domain of the peer's is another stream.
    let target = pair(OURS, "chat.xmpp.example");
    assert_eq!(one.stream.propose(one.now, target, &one.realm), Err(SendError::NoDialback));
    // A refusal costs only the pair.
    let mut one = up_by_sasl();
    one.stream.propose(one.now, further.clone(), &one.realm).unwrap();
    assert_eq!(
        one.feed("<db:result from='xmpp.example' to='voice.example' type='invalid'/>"),
        "refused voice.example~xmpp.example Invalid"
    );
    one.stream.propose(one.now, further.clone(), &one.realm).unwrap();
    assert_eq!(one.at(60), "refused voice.example~xmpp.example Error(RemoteServerTimeout)");
    one.stream.write_stanza(one.now, OURS, PARTNER, b"<presence/>").unwrap();
    one.realm = TestRealm::new(Terms::default());
    assert_eq!(one.stream.propose(one.now, further, &one.realm), Err(SendError::NoDialback));
}

#[test]
fn a_stream_for_verification_asks_as_soon_as_it_may() {
    let verify =
        |id: &str| Verify { stream: StreamId(7), pair: pair(OURS, PARTNER), id: id.into(), key: "k".into() };
    let mut one = One::initiating(usual(), Purpose::Verify, TlsMode::StartTls);
    one.stream.verify(one.now, verify("1")).unwrap();
    assert!(!one.out().contains("db:verify from"));
    one.feed(&response("s1"));
    one.feed(FEATURES_TLS);
    one.feed(PROCEED);
    one.stream.handle_tls(Names::valid(PARTNER));
    one.feed(&response("s2"));
    one.out();
    one.feed(FEATURES_AUTH);
    assert_eq!(one.out(), "<db:verify from='sip.example' to='xmpp.example' id='1'>k</db:verify>");
    one.stream.verify(one.now, verify("2")).unwrap();
    assert_eq!(one.out(), "<db:verify from='sip.example' to='xmpp.example' id='2'>k</db:verify>");
    // It never carries stanzas.
    assert_eq!(one.stream.write_stanza(one.now, OURS, PARTNER, b"<x/>"), Err(SendError::NotOpen));
    one.feed("<db:verify from='xmpp.example' to='sip.example' id='1' type='valid'/>");
    let error = "<db:verify from='xmpp.example' to='sip.example' id='2' type='error'><error type='cancel'>\
                 <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:verify>";
    assert_eq!(one.feed(error), "verified sip.example~xmpp.example 2 Error(ItemNotFound)");
    // With nothing left to ask it closes by itself.
    assert_eq!(one.at(4), "");
    assert_eq!(one.at(5), "");
    assert_eq!(one.out(), "</stream:stream>");
    assert_eq!(one.feed("</stream:stream>"), "down: closed");
    // One that may not ask says so.
    let mut one = One::initiating(Terms::default(), Purpose::Verify, TlsMode::Direct);
    one.stream.verify(one.now, verify("1")).unwrap();
    one.stream.handle_tls(Names::valid(PARTNER));
    one.feed(&response("s1"));
    assert_eq!(
        one.feed(FEATURES_AUTH),
        "verified sip.example~xmpp.example 1 Error(RemoteServerTimeout)\ndown: no authentication in common"
    );
}

#[test]
fn questions_are_bounded() {
    let mut one = One::initiating(usual(), Purpose::Verify, TlsMode::StartTls);
    for n in 0..=64 {
        let verify = Verify {
            stream: StreamId(n),
            pair: pair(OURS, PARTNER),
            id: n.to_string().into(),
            key: "k".into(),
        };
        match one.stream.verify(one.now, verify) {
            Ok(()) => assert!(n < 64),
            Err((error, _)) => assert_eq!((error, n), (SendError::Full, 64)),
        }
    }
}

#[test]
fn check_119_bad_input_from_the_server_that_we_dialled() {
    for (input, condition) in [
        (response("s").replace("etherx.jabber.org/streams", "example.org/"), "invalid-namespace"),
        (response("s").replace("jabber:server'", "jabber:client'"), "invalid-namespace"),
        (response("s").replace("version='1.0'>", "version='x'>"), "unsupported-version"),
        (response("s") + "<a></b>", "not-well-formed"),
        (response("s") + "<unknown/>", "unsupported-stanza-type"),
        (response("s") + PROCEED, "unsupported-stanza-type"),
        (response("s") + SUCCESS, "unsupported-stanza-type"),
        (response("s") + MESSAGE, "not-authorized"),
    ] {
        let mut one = One::initiating(usual(), Purpose::Send, TlsMode::StartTls);
        one.out();
        one.feed(&input);
        let out = one.out();
        assert!(!out.contains("<?xml"), "our header is out already: {out}");
        assert_error(&out, condition);
    }
}

#[test]
fn see_other_host_is_a_failure() {
    let mut one = One::initiating(usual(), Purpose::Send, TlsMode::StartTls);
    one.feed(&response("s1"));
    let events = one.feed(
        "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>other.example\
         </see-other-host></stream:error></stream:stream>",
    );
    assert_eq!(events, "down: stream error from the peer: see-other-host");
}

#[test]
fn pairs_that_are_proposed_on_one_stream_are_bounded() {
    let mut one = up_by_sasl();
    for n in 1..=64 {
        let further = pair(&format!("d{n}.example"), PARTNER);
        let expected = if n < 64 { Ok(()) } else { Err(SendError::Full) };
        assert_eq!(one.stream.propose(one.now, further, &one.realm), expected, "{n}");
    }
}
