//! What happens by itself.

use super::*;

fn sending(terms: Terms) -> One {
    let mut one = One::initiating(terms, Purpose::Send, TlsMode::StartTls);
    one.feed(&response("s1"));
    one.feed(FEATURES_DIALBACK);
    assert!(one.feed("<db:result from='xmpp.example' to='sip.example' type='valid'/>").starts_with("up"));
    one.out();
    one
}

#[test]
fn threat_026_an_unauthenticated_stream_is_closed_at_its_limit_whatever_it_does() {
    // Before the header, before authentication, and with elements that lead nowhere.
    let mut one = One::receiving(usual());
    assert_eq!(one.stream.deadline(), Some(Now::at(30).mono));
    assert_eq!(one.at(29), "");
    assert_eq!(one.at(30), "down: not established in time");
    let out = one.out();
    assert!(out.starts_with("<?xml"));
    assert_error(&out, "connection-timeout");

    let mut one = One::secured(usual(), Names::valid(PARTNER));
    one.out();
    let key = crate::xmpp::dialback::key(b"our secret", PARTNER, OURS, "x");
    for seconds in 1..30 {
        assert_eq!(one.at(seconds), "");
        one.feed(&format!(" <db:verify from='{PARTNER}' to='{OURS}' id='x'>{}</db:verify>", key.as_str()));
    }
    one.out();
    assert_eq!(one.at(30), "down: not established in time");
    assert_error(&one.out(), "connection-timeout");

    // During a handshake there is nobody to tell.
    let mut one = One::receiving(usual());
    one.feed(&header_from(PARTNER));
    one.feed(STARTTLS);
    one.out();
    assert_eq!(one.at(30), "down: not established in time");
    assert_eq!(one.out(), "");
}

#[test]
fn f54_a_stream_that_we_open_is_given_up_at_the_establishment_timeout() {
    let mut one = One::initiating(usual(), Purpose::Send, TlsMode::StartTls);
    one.out();
    assert_eq!(one.at(59), "");
    assert_eq!(one.at(60), "down: not established in time");
    assert_error(&one.out(), "connection-timeout");
    let settings = Settings { establishment_timeout: Duration::from_secs(1), ..Settings::default() };
    let mut one = One::receiving_with(usual(), &settings);
    assert_eq!(one.at(1), "down: not established in time");
    // With dialback under way it is the same.
    let mut one = One::initiating(plain(), Purpose::Send, TlsMode::StartTls);
    one.feed(&response("s1"));
    one.feed(FEATURES_DIALBACK);
    assert_eq!(one.at(60), "down: not established in time");
}

#[test]
fn f53_f46_a_silent_partner_is_closed_unless_it_need_not_speak() {
    let mut one = One::up(usual());
    assert_eq!(one.stream.deadline(), Some(Now::at(300).mono));
    assert_eq!(one.at(299), "");
    one.feed(" ");
    assert_eq!(one.at(598), "");
    one.feed("\n");
    assert_eq!(one.at(600), "", "inactive, the close is on its way");
    assert_eq!(one.out(), "</stream:stream>");
    assert_eq!(one.feed("</stream:stream>"), "down: inactive");

    let mut one = One::up(usual());
    assert_eq!(one.at(300), "");
    assert_eq!(one.out(), "</stream:stream>");
    assert_eq!(one.at(305), "down: silent for longer than the keepalive interval");

    let mut one = One::up(Terms { keepalive: false, ..usual() });
    assert_eq!(one.stream.deadline(), Some(Now::at(600).mono));
    assert_eq!(one.at(599), "");
    assert_eq!(one.out(), "");
}

#[test]
fn f55_a_stream_without_stanzas_is_closed() {
    let mut one = One::up(Terms { keepalive: false, ..usual() });
    one.now = Now::at(500);
    assert!(one.feed(MESSAGE).starts_with("Message"));
    assert_eq!(one.at(1099), "");
    one.feed(" ");
    assert_eq!(one.at(1100), "");
    assert_eq!(one.out(), "</stream:stream>");

    let mut one = sending(Terms { keepalive: false, ..plain() });
    one.stream.write_stanza(Now::at(100), OURS, PARTNER, b"<presence/>").unwrap();
    one.out();
    assert_eq!(one.stream.deadline(), Some(Now::at(700).mono));
    assert_eq!(one.at(700), "");
    assert_eq!(one.out(), "</stream:stream>");
    assert_eq!(one.stream.write_stanza(one.now, OURS, PARTNER, b"<x/>"), Err(SendError::NotOpen));
    one.stream.handle_eof();
    assert_eq!(one.events(), "down: inactive");
}

#[test]
fn white_space_keeps_a_stream_that_we_opened_alive() {
    let mut one = sending(plain());
    assert_eq!(one.stream.deadline(), Some(Now::at(150).mono));
    assert_eq!(one.at(150), "");
    assert_eq!(one.out(), " ");
    assert_eq!(one.at(151), "");
    assert_eq!(one.out(), "");
    assert_eq!(one.at(300), "");
    assert_eq!(one.out(), " ");
    // A stanza is as good.
    one.now = Now::at(400);
    one.stream.write_stanza(one.now, OURS, PARTNER, b"<presence/>").unwrap();
    assert_eq!(one.stream.deadline(), Some(Now::at(550).mono));
    // Never during negotiation (RFC 6120 §5.3.3, §6.3.5).
    let mut one = One::initiating(usual(), Purpose::Send, TlsMode::StartTls);
    one.out();
    one.at(30);
    assert_eq!(one.out(), "");
}

#[test]
fn check_144_an_expired_certificate_resets_the_stream_that_relies_on_it() {
    let end = Wall::from_millis(Now::at(200).wall.as_millis());
    let identity = || Box::new(Names(vec![PARTNER], CertFault::WrongName, Some(end)));
    let mut one = One::secured(usual(), identity());
    one.feed("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
    assert!(one.feed(&header_from(PARTNER)).starts_with("up"));
    one.out();
    assert_eq!(one.stream.deadline(), Some(Now::at(200).mono));
    assert_eq!(one.at(199), "");
    assert_eq!(one.at(200), "down: certificate expired on a live stream");
    assert_error(&one.out(), "reset");

    let mut one = One::initiating(usual(), Purpose::Send, TlsMode::Direct);
    one.stream.handle_tls(identity());
    one.feed(&response("s1"));
    one.feed(FEATURES_AUTH);
    one.feed(SUCCESS);
    one.feed(&response("s2"));
    one.feed("<stream:features/>");
    one.out();
    assert_eq!(one.at(200), "down: certificate expired on a live stream");

    // Dialback relied on no certificate.
    let mut one = One::secured(usual(), identity());
    one.feed("<db:result from='xmpp.example' to='sip.example'>k</db:result>");
    one.answer(Outcome::Valid);
    one.out();
    assert_eq!(one.at(200), "");
    assert_eq!(one.out(), "");
}

#[test]
fn the_end_of_the_connection_ends_the_stream_once() {
    let mut one = One::up(usual());
    one.stream.handle_eof();
    one.stream.handle_eof();
    one.stream.close(one.now, None);
    assert_eq!(one.events(), "down: connection lost");
    assert_eq!(one.out(), "");
    assert_eq!((one.stream.deadline(), one.feed(MESSAGE).as_str()), (None, ""));
}
