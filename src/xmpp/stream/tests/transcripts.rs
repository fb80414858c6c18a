//! Conversations as Prosody and ejabberd hold them, with their spelling of everything.

use super::*;
use crate::xmpp::dialback::key;

#[test]
fn prosody_opens_a_stream_with_external() {
    let mut one = One::receiving(Terms::default());
    let hello = "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' \
                 xmlns:db='jabber:server:dialback' xmlns='jabber:server' from='xmpp.example' xml:lang='en' \
                 version='1.0' to='sip.example'>";
    assert_eq!(one.feed(hello), "");
    assert!(one.out().ends_with(FEATURES_TLS));
    assert_eq!(one.feed("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), "starttls");
    one.out();
    one.stream.handle_tls(Names::valid(PARTNER));
    assert_eq!(one.feed(hello), "");
    assert!(one.out().contains("<mechanism>EXTERNAL</mechanism>"));
    // XEP-0178 §3: Prosody sends the authorization identity.
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>eG1wcC5leGFtcGxl</auth>";
    assert_eq!(one.feed(auth), "");
    assert_eq!(one.out(), SUCCESS);
    assert_eq!(one.feed(hello), "up sip.example~xmpp.example External");
    one.out();
    assert_eq!(
        one.feed(
            "<message id='a1' type='chat' to='romeo@sip.example' from='juliet@xmpp.example/Gajim.X'>\
             <body>Hi</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>"
        ),
        "Message juliet@xmpp.example/Gajim.X > romeo@sip.example"
    );
}

#[test]
fn f77_prosody_takes_our_stream_by_dialback_over_tls() {
    let mut one = One::initiating(usual(), Purpose::Send, TlsMode::StartTls);
    one.out();
    let hello = "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' \
                 xmlns:db='jabber:server:dialback' id='9e5c7d5c-0a35-4a4b-9d4d-6a7f3b2b8d11' \
                 xmlns='jabber:server' version='1.0' to='sip.example' from='xmpp.example' xml:lang='en'>";
    one.feed(&format!(
        "{hello}<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\
         <dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>"
    ));
    assert_eq!(one.out(), STARTTLS);
    assert_eq!(one.feed("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"), "starttls");
    one.stream.handle_tls(Names::faulty(CertFault::UntrustedIssuer));
    one.out();
    let id = "1c1a2f3e-77aa-4f5e-b5de-0d1f6c2f7a10";
    one.feed(&hello.replace("9e5c7d5c-0a35-4a4b-9d4d-6a7f3b2b8d11", id));
    one.feed(
        "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>\
         <limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>524288</max-bytes></limits></stream:features>",
    );
    let expected = key(b"our secret", PARTNER, OURS, id);
    assert_eq!(
        one.out(),
        format!("<db:result from='sip.example' to='xmpp.example'>{}</db:result>", expected.as_str())
    );
    // Meanwhile it asks over a stream of its own, which we receive as authoritative server.
    let mut asked = One::secured(usual(), Names::faulty(CertFault::UntrustedIssuer));
    asked.out();
    let question = format!(
        "<db:verify id='{id}' to='sip.example' from='xmpp.example'>{}</db:verify>",
        expected.as_str()
    );
    asked.feed(&question);
    assert_eq!(
        asked.out(),
        format!("<db:verify from='sip.example' to='xmpp.example' id='{id}' type='valid'/>")
    );
    assert_eq!(
        one.feed("<db:result to='sip.example' from='xmpp.example' type='valid'/>"),
        "up sip.example~xmpp.example TlsDialback"
    );
}

#[test]
fn ejabberd_opens_a_stream_and_is_verified_by_dialback() {
    let mut one = One::receiving(usual());
    let hello = "<?xml version='1.0'?><stream:stream to='sip.example' from='xmpp.example' version='1.0' \
                 xml:lang='en' xmlns:db='jabber:server:dialback' xmlns='jabber:server' \
                 xmlns:stream='http://etherx.jabber.org/streams'>";
    one.feed(hello);
    one.out();
    assert_eq!(one.feed("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'></starttls>"), "starttls");
    one.out();
    one.stream.handle_tls(Names::faulty(CertFault::UntrustedIssuer));
    one.feed(hello);
    let id = attribute(&one.out(), "id");
    let theirs = "8b6a4b2c1d3e5f708192a3b4c5d6e7f8091a2b3c";
    assert_eq!(
        one.feed(&format!("<db:result from='xmpp.example' to='sip.example'>{theirs}</db:result>")),
        format!("wanted sip.example~xmpp.example {theirs}")
    );
    // We ask its authoritative server.
    let mut asking = One::initiating(usual(), Purpose::Verify, TlsMode::StartTls);
    asking.stream.verify(asking.now, one.wanted.remove(0)).unwrap();
    asking.feed(&format!(
        "<?xml version='1.0'?><stream:stream id='15312043312' from='xmpp.example' to='sip.example' version='1.0' \
         xml:lang='en' xmlns:db='jabber:server:dialback' xmlns='jabber:server' \
         xmlns:stream='http://etherx.jabber.org/streams'>{FEATURES_TLS}"
    ));
    asking.feed("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
    asking.stream.handle_tls(Names::faulty(CertFault::UntrustedIssuer));
    asking.out();
    asking.feed(&format!("{}{FEATURES_DIALBACK}", response("2345")));
    assert_eq!(
        asking.out(),
        format!("<db:verify from='sip.example' to='xmpp.example' id='{id}'>{theirs}</db:verify>")
    );
    asking
        .stream
        .push(format!("<db:verify from='xmpp.example' to='sip.example' type='valid' id='{id}'/>").as_bytes());
    let next = asking.stream.next_event(asking.now, &asking.realm, &mut asking.ids);
    let Some(StreamEvent::Verified(answer)) = next else { panic!("{next:?}") };
    one.stream.handle_verified(one.now, &answer);
    assert_eq!(one.events(), "up sip.example~xmpp.example TlsDialback");
    assert_eq!(one.out(), "<db:result from='sip.example' to='xmpp.example' type='valid'/>");
}

#[test]
fn f77_an_old_server_without_a_version_is_verified_by_tcp_dialback() {
    let mut one = One::receiving(plain());
    one.feed(
        "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' \
         xmlns='jabber:server' xmlns:db='jabber:server:dialback' to='sip.example'>",
    );
    let out = one.out();
    assert!(!out.contains("features") && !out.contains("version='1.0'>"), "{out}");
    let key = "<db:result to='sip.example' from='xmpp.example'>98AF014EDC0</db:result>";
    assert!(one.feed(key).starts_with("wanted"));
    assert_eq!(one.answer(Outcome::Valid), "up sip.example~xmpp.example TcpDialback");
    // And as the server that we dial.
    let mut one = One::initiating(plain(), Purpose::Send, TlsMode::StartTls);
    one.out();
    one.feed(
        "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:server' \
         xmlns:db='jabber:server:dialback' id='457F9224A0'>",
    );
    assert!(one.out().starts_with("<db:result from='sip.example' to='xmpp.example'>"));
}

/// XEP-0138 is the zip bomb's door: it is neither offered nor taken, at any step.
#[test]
fn threat_025_compression_is_never_offered_and_never_taken() {
    let compress = "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>";
    for before in 0..4 {
        let mut one = One::receiving(terms(Need::Optional, Need::Optional, true));
        let steps: [&dyn Fn(&mut One); 4] = [
            &|one| drop(one.feed(&header_from(PARTNER))),
            &|one| {
                assert_eq!(one.feed(STARTTLS), "starttls");
                one.stream.handle_tls(Names::valid(PARTNER));
                one.feed(&header_from(PARTNER));
            },
            &|one| {
                drop(one.feed("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>"))
            },
            &|one| assert!(one.feed(&header_from(PARTNER)).starts_with("up")),
        ];
        for step in &steps[..=before] {
            step(&mut one);
        }
        let out = one.out();
        assert!(!out.contains("compress") && !out.contains("zlib"), "{before}: {out}");
        let events = one.feed(compress);
        assert!(events.starts_with("down: "), "{before}: {events}");
        let out = one.out();
        assert!(!out.contains("compressed") && out.ends_with("</stream:stream>"), "{before}: {out}");
    }
}
