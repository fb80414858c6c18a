use super::*;
use crate::body::cpim::Cpim;
use crate::body::imdn::{Imdn, Kind, Status};
use crate::gateway::Receipts;
use crate::gateway::tests::texts::message;
use miniz_oxide::deflate::compress_to_vec_zlib;

const REQUEST: &str = "<request xmlns='urn:xmpp:receipts'/>";
const MARKABLE: &str = "<markable xmlns='urn:xmpp:chat-markers:0'/>";

fn imdn(message_id: &str, kind: Kind, status: Status) -> String {
    Imdn { message_id: message_id.into(), date: None, recipient: None, kind, status }.write()
}

fn delivered(message_id: &str) -> String {
    imdn(message_id, Kind::Delivery, Status::Delivered)
}

fn displayed(message_id: &str) -> String {
    imdn(message_id, Kind::Display, Status::Displayed)
}

/// A text of Alice's that asks.
fn cpim(message_id: &str, wants: &str, text: &str) -> String {
    format!(
        "From: <sip:{ALICE}>\r\nTo: <sip:{ROMEO}>\r\nDateTime: 2026-11-29T00:00:00Z\r\n\
         NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: {message_id}\r\n\
         imdn.Disposition-Notification: {wants}\r\n\r\nContent-Type: text/plain\r\n\r\n{text}"
    )
}

/// Alice's client is known to use notifications: she wrote with one.
fn notifying(world: &mut World) {
    assert_eq!(alice(world, 900, "message/cpim", &cpim("first", "positive-delivery", "hi")), 202);
    world.take_xmpp();
}

/// The value of an attribute.
fn attr<'s>(stanza: &'s str, name: &str) -> &'s str {
    stanza.split(&format!(" {name}='")).nth(1).unwrap().split('\'').next().unwrap()
}

/// What asks, of the CPIM message that was sent.
#[track_caller]
fn asked(sent: &Sent) -> (String, crate::body::cpim::Notify) {
    assert_eq!(sent.header("Content-Type"), Some("message/cpim"), "{}", sent.text);
    let (cpim, _) = Cpim::parse(sent.body().as_bytes()).unwrap();
    (cpim.message_id.unwrap().into_owned(), cpim.notify)
}

#[test]
fn check_060_a_request_goes_as_cpim_to_a_client_that_knows_it() {
    let mut world = world();
    romeo(&mut world, "m1", &format!("<body>plain</body>{REQUEST}"));
    let plain = world.one_sip();
    assert_eq!(plain.header("Content-Type"), Some("text/plain;charset=UTF-8"), "nobody knows yet");
    world.answer(&plain, 200);
    notifying(&mut world);
    romeo(&mut world, "m2", &format!("<body>wrapped ☂</body>{REQUEST}{MARKABLE}"));
    let sent = world.one_sip();
    let (_, notify) = asked(&sent);
    assert!(notify.delivery && notify.failure && notify.display, "{notify:?}");
    assert!(sent.body().contains("\r\nDateTime: "), "{}", sent.text);
    assert!(
        sent.body().ends_with("\r\nContent-Type: text/plain;charset=UTF-8\r\n\r\nwrapped ☂"),
        "{}",
        sent.text
    );
    world.answer(&sent, 200);
    romeo(&mut world, "m3", "<body>asks nothing</body>");
    let sent = world.one_sip();
    assert_eq!(sent.header("Content-Type"), Some("text/plain;charset=UTF-8"));
    world.answer(&sent, 200);
    assert!(world.take_xmpp().is_empty());
    world.assert_quiet();
}

#[test]
fn check_059_a_notification_becomes_a_receipt_with_the_original_id() {
    let mut world = world();
    notifying(&mut world);
    romeo(&mut world, "richard2-4.1.247", &format!("<body>x</body>{REQUEST}{MARKABLE}"));
    let sent = world.one_sip();
    let (id, _) = asked(&sent);
    world.answer(&sent, 202);
    assert_eq!(alice(&mut world, 1, "message/imdn+xml", &delivered(&id)), 202);
    let receipt = world.one_xmpp();
    assert!(
        receipt.starts_with("<message from='alice@contoso.example' to='romeo@capulet.example/orchard' id='"),
        "{receipt}"
    );
    assert!(
        receipt
            .ends_with(" type='chat'><received xmlns='urn:xmpp:receipts' id='richard2-4.1.247'/></message>"),
        "{receipt}"
    );
    assert_eq!(alice(&mut world, 2, "message/imdn+xml", &displayed(&id)), 202);
    let marker = world.one_xmpp();
    assert!(
        marker.contains("<displayed xmlns='urn:xmpp:chat-markers:0' id='richard2-4.1.247'/>"),
        "{marker}"
    );
    // One for each.
    assert_eq!(alice(&mut world, 3, "message/imdn+xml", &delivered(&id)), 202);
    assert_eq!(alice(&mut world, 4, "message/imdn+xml", &displayed(&id)), 202);
    assert!(world.take_xmpp().is_empty());
    world.assert_quiet();
}

#[test]
fn a_notification_about_a_plain_message_names_its_call_id_packed_or_in_cpim() {
    for form in ["bare", "deflate", "cpim"] {
        let mut world = world();
        romeo(&mut world, "m1", &format!("<body>x</body>{REQUEST}"));
        let sent = world.one_sip();
        world.answer(&sent, 200);
        assert!(world.take_xmpp().is_empty(), "a 200 is no receipt");
        let document = delivered(sent.header("Call-ID").unwrap());
        match form {
            "deflate" => {
                let packed = compress_to_vec_zlib(document.as_bytes(), 6);
                let mut octets = message_with(
                    1,
                    ALICE,
                    ROMEO,
                    "Content-Type: message/imdn+xml\r\nContent-Encoding: deflate\r\n",
                    &"x".repeat(packed.len()),
                )
                .into_bytes();
                octets.truncate(octets.len() - packed.len());
                octets.extend(packed);
                let source = world.source();
                world.handle(crate::gateway::Input::Sip { source: &source, octets: &octets });
            }
            "cpim" => {
                let wrapped = format!(
                    "From: <sip:{ALICE}>\r\nTo: <sip:{ROMEO}>\r\nNS: imdn <urn:ietf:params:imdn>\r\n\
                     imdn.Message-ID: n1\r\n\r\nContent-Type: message/imdn+xml\r\n\
                     Content-Disposition: notification\r\n\r\n{document}"
                );
                world.sip(&message_with(1, ALICE, ROMEO, "Content-Type: message/cpim\r\n", &wrapped));
            }
            _ => world.sip(&message_with(1, ALICE, ROMEO, "Content-Type: message/imdn+xml\r\n", &document)),
        }
        assert_eq!(world.statuses(), [202], "{form}");
        let receipt = world.one_xmpp();
        assert!(receipt.contains("<received xmlns='urn:xmpp:receipts' id='m1'/>"), "{form}: {receipt}");
    }
}

#[test]
fn a_failed_notification_becomes_an_error_for_the_message() {
    let mut world = world();
    notifying(&mut world);
    romeo(&mut world, "m1", &format!("<body>x</body>{REQUEST}"));
    let sent = world.one_sip();
    let (id, _) = asked(&sent);
    world.answer(&sent, 202);
    let failed = imdn(&id, Kind::Delivery, Status::Failed);
    assert_eq!(alice(&mut world, 1, "message/imdn+xml", &failed), 202);
    let error = world.one_xmpp();
    assert!(error.starts_with("<message from='alice@contoso.example' to='romeo@capulet.example/orchard' id='m1' type='error'><error type='wait'><recipient-unavailable"), "{error}");
    assert_eq!(alice(&mut world, 2, "message/imdn+xml", &delivered(&id)), 202);
    assert!(world.take_xmpp().is_empty(), "nothing after a failure");
}

#[test]
fn check_063_nobody_gets_a_receipt_that_nobody_gave() {
    let mut world = world();
    notifying(&mut world);
    romeo(&mut world, "m1", &format!("<body>x</body>{REQUEST}"));
    let sent = world.one_sip();
    let (id, _) = asked(&sent);
    world.answer(&sent, 202);
    world.pass_secs(120);
    assert!(world.take_xmpp().is_empty(), "a 202 says nothing");
    // An id that is none of ours; the stanza's own; somebody else's word; what was not asked.
    assert_eq!(alice(&mut world, 1, "message/imdn+xml", &delivered("unknown")), 202);
    assert_eq!(alice(&mut world, 2, "message/imdn+xml", &delivered("m1")), 202);
    assert_eq!(alice(&mut world, 3, "message/imdn+xml", &displayed(&id)), 202);
    for status in [Status::Forbidden, Status::Error] {
        let text = imdn(&id, Kind::Delivery, status);
        assert_eq!(alice(&mut world, 10 + status as u32, "message/imdn+xml", &text), 202);
    }
    world.sip(&message_with(4, BOB, ROMEO, "Content-Type: message/imdn+xml\r\n", &delivered(&id)));
    world.sip(&message_with(
        5,
        ALICE,
        "tybalt@capulet.example",
        "Content-Type: message/imdn+xml\r\n",
        &delivered(&id),
    ));
    assert_eq!(world.statuses(), [202, 202]);
    assert!(world.take_xmpp().is_empty());
    assert_eq!(alice(&mut world, 6, "message/imdn+xml", &delivered(&id)), 202);
    assert!(world.one_xmpp().contains("<received "));
}

#[test]
fn a_200_is_a_receipt_where_that_is_switched_on_and_a_202_never() {
    let mut world = World::with(Net::works(), |settings| {
        settings.peers[0].talk.receipts = Receipts::Trust200;
    });
    romeo(&mut world, "m1", &format!("<body>x</body>{REQUEST}"));
    let sent = world.one_sip();
    world.answer(&sent, 202);
    assert!(world.take_xmpp().is_empty());
    romeo(&mut world, "m2", &format!("<body>x</body>{REQUEST}"));
    let sent = world.one_sip();
    world.answer(&sent, 200);
    assert!(world.one_xmpp().contains("<received xmlns='urn:xmpp:receipts' id='m2'/>"));
    romeo(&mut world, "m3", "<body>x</body>");
    let sent = world.one_sip();
    world.answer(&sent, 200);
    assert!(world.take_xmpp().is_empty(), "it asked nothing");
    world.assert_quiet();
}

#[test]
fn a_client_that_refuses_cpim_gets_the_text_as_it_is() {
    let mut world = world();
    notifying(&mut world);
    romeo(&mut world, "m1", &format!("<body>the text</body>{REQUEST}"));
    let wrapped = world.one_sip();
    asked(&wrapped);
    world.answer(&wrapped, 415);
    let plain = world.one_sip();
    assert_eq!((plain.header("Content-Type"), plain.body()), (Some("text/plain;charset=UTF-8"), "the text"));
    assert_ne!(plain.header("CSeq"), wrapped.header("CSeq"));
    world.answer(&plain, 200);
    assert!(world.take_xmpp().is_empty(), "the text has arrived");
    romeo(&mut world, "m2", &format!("<body>next</body>{REQUEST}"));
    let next = world.one_sip();
    assert_eq!(next.body(), "next", "it is not asked again");
    world.answer(&next, 415);
    assert!(world.one_xmpp().contains("type='error'"));
    world.assert_quiet();
}

#[test]
fn check_059_a_sip_users_question_is_answered_with_the_original_message_id() {
    let mut world = world();
    let text = cpim("34jk324j", "positive-delivery, display", "hello");
    assert_eq!(alice(&mut world, 1, "message/cpim", &text), 202);
    let stanza = world.one_xmpp();
    assert!(stanza.contains("<body>hello</body>"), "{stanza}");
    assert!(stanza.contains(&format!("{REQUEST}{MARKABLE}")), "{stanza}");
    let id = attr(&stanza, "id").to_owned();
    assert_ne!(id, "34jk324j");
    romeo(&mut world, "r1", &format!("<received xmlns='urn:xmpp:receipts' id='{id}'/>"));
    let sent = world.one_sip();
    let (own, notify) = asked(&sent);
    assert_ne!(own, "34jk324j");
    assert_eq!(notify, crate::body::cpim::Notify::default(), "check_061: it asks for none");
    let read = |sent: &Sent| {
        let (_, content) = Cpim::parse(sent.body().as_bytes()).unwrap();
        let content = std::str::from_utf8(content).unwrap();
        assert!(
            content
                .starts_with("Content-Type: message/imdn+xml\r\nContent-Disposition: notification\r\n\r\n")
        );
        Imdn::read(content.split_once("\r\n\r\n").unwrap().1.as_bytes(), None).unwrap()
    };
    let imdn = read(&sent);
    assert_eq!((&*imdn.message_id, imdn.kind, imdn.status), ("34jk324j", Kind::Delivery, Status::Delivered));
    assert_eq!(imdn.date.as_deref(), Some("2026-11-29T00:00:00Z"));
    world.answer(&sent, 200);
    romeo(&mut world, "r2", &format!("<displayed xmlns='urn:xmpp:chat-markers:0' id='{id}'/>"));
    let sent = world.one_sip();
    let imdn = read(&sent);
    assert_eq!((&*imdn.message_id, imdn.kind, imdn.status), ("34jk324j", Kind::Display, Status::Displayed));
    world.answer(&sent, 200);
    // check_061: one for each.
    romeo(&mut world, "r3", &format!("<received xmlns='urn:xmpp:receipts' id='{id}'/>"));
    romeo(&mut world, "r4", &format!("<displayed xmlns='urn:xmpp:chat-markers:0' id='{id}'/>"));
    world.assert_nothing_sent();
    assert_eq!(world.gateway.counts().delivered, [1, 0], "no notification is a message");
    world.assert_quiet();
}

#[test]
fn check_061_a_notification_is_not_notified_of_nor_told_when_it_fails() {
    let mut world = world();
    assert_eq!(alice(&mut world, 1, "message/cpim", &cpim("a", "positive-delivery", "hello")), 202);
    let id = attr(&world.one_xmpp(), "id").to_owned();
    romeo(&mut world, "r1", &format!("<received xmlns='urn:xmpp:receipts' id='{id}'/>"));
    let sent = world.one_sip();
    world.answer(&sent, 404);
    assert!(world.take_xmpp().is_empty(), "Romeo's receipt is not answered");
    world.assert_nothing_sent();
    world.assert_quiet();
}

#[test]
fn check_062_a_late_failure_is_notified_if_that_was_asked_else_noticed() {
    for (wants, notified) in [("negative-delivery", true), ("positive-delivery", false)] {
        let mut world = world();
        assert_eq!(alice(&mut world, 1, "message/cpim", &cpim("34jk324j", wants, "hello")), 202);
        let id = attr(&world.one_xmpp(), "id").to_owned();
        let error = format!(
            "<message from='{ROMEO}' to='{ALICE}' id='{id}' type='error'><error type='cancel'>\
             <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        );
        world.romeo(&error);
        let sent = world.one_sip();
        if notified {
            assert!(sent.body().contains("<message-id>34jk324j</message-id>"), "{}", sent.text);
            assert!(
                sent.body().contains("<delivery-notification><status><failed/></status>"),
                "{}",
                sent.text
            );
        } else {
            assert!(sent.body().starts_with("Your last message to"), "{}", sent.text);
        }
        world.answer(&sent, 200);
        let receipt = format!("<received xmlns='urn:xmpp:receipts' id='{id}'/>");
        romeo(&mut world, "r1", &receipt);
        if notified {
            world.assert_nothing_sent();
        }
    }
}

#[test]
fn check_062_what_was_refused_at_once_is_not_notified_of() {
    let mut world = World::new(Net { streams: super::super::net::Play::Fail, ..Net::works() });
    let text = cpim("a", "positive-delivery, negative-delivery", "hello");
    world.sip(&message_with(1, ALICE, ROMEO, "Content-Type: message/cpim\r\n", &text));
    assert_eq!(world.statuses(), [504]);
    world.pass_secs(100);
    world.assert_nothing_sent();
}

#[test]
fn receipts_cross_only_where_presence_may_be_seen() {
    // public.example is not verified: what comes from there is only for those who added its people.
    let mut world = world();
    let juliet = "juliet@public.example";
    let text = cpim("a", "positive-delivery, display", "hello");
    world.sip(&message_with(1, ALICE, juliet, "Content-Type: message/cpim\r\n", &text));
    assert_eq!(world.statuses(), [202]);
    let stanza = world.one_xmpp();
    assert!(stanza.contains("<body>hello</body>") && !stanza.contains("urn:xmpp:receipts"), "{stanza}");
    assert!(!stanza.contains("chat-markers"), "{stanza}");
}

#[test]
fn a_peer_without_receipts_is_asked_nothing_and_asks_nothing() {
    let mut world = World::with(Net::works(), |settings| settings.peers[0].talk.receipts = Receipts::Off);
    let text = cpim("a", "positive-delivery, display", "hello");
    assert_eq!(alice(&mut world, 1, "message/cpim", &text), 202);
    let stanza = world.one_xmpp();
    assert!(stanza.contains("<body>hello</body>") && !stanza.contains("receipts"), "{stanza}");
    romeo(&mut world, "m1", &format!("<body>x</body>{REQUEST}"));
    let sent = world.one_sip();
    assert_eq!(sent.header("Content-Type"), Some("text/plain;charset=UTF-8"));
    world.answer(&sent, 200);
    assert_eq!(alice(&mut world, 2, "message/imdn+xml", &delivered(sent.header("Call-ID").unwrap())), 202);
    assert!(world.take_xmpp().is_empty());
}

#[test]
fn a_notification_that_cant_be_delivered_says_so() {
    let mut world = world();
    romeo(&mut world, "m1", &format!("<body>x</body>{REQUEST}"));
    let sent = world.one_sip();
    world.answer(&sent, 200);
    world.net.streams = super::super::net::Play::Fail;
    assert_eq!(alice(&mut world, 1, "message/imdn+xml", &delivered(sent.header("Call-ID").unwrap())), 504);
    world.assert_quiet();
}

#[test]
fn a_text_without_a_question_is_as_it_always_was() {
    let mut world = world();
    world.sip(&message(1, ALICE, ROMEO, "hello"));
    let stanza = world.one_xmpp();
    assert!(
        !stanza.contains("receipts") && !stanza.contains("chatstates") && !stanza.contains("nick"),
        "{stanza}"
    );
}
