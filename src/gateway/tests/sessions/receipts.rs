//! Receipts of texts in the dialog: CPIM that asks, and notifications, both ways.

use super::super::net::Net;
use super::super::texts::{Sent, message_with, request};
use super::super::world::World;
use super::super::{ALICE, ROMEO};
use super::{CONTACT, Dialog, Im, OFFER, SDP, world, world_with};
use crate::body::cpim::Cpim;
use crate::body::imdn::{Imdn, Kind, Status};
use crate::gateway::Receipts;

pub(super) const REQUEST: &str = "<request xmlns='urn:xmpp:receipts'/>";
pub(super) const MARKABLE: &str = "<markable xmlns='urn:xmpp:chat-markers:0'/>";
const CPIM: &str = "Content-Type: message/cpim\r\n";
const IMDN: &str = "Content-Type: message/imdn+xml\r\n";

pub(super) fn document(message_id: &str, kind: Kind, status: Status) -> String {
    Imdn { message_id: message_id.into(), date: None, recipient: None, kind, status }.write()
}

pub(super) fn delivered(message_id: &str) -> String {
    document(message_id, Kind::Delivery, Status::Delivered)
}

pub(super) fn displayed(message_id: &str) -> String {
    document(message_id, Kind::Display, Status::Displayed)
}

/// A text that asks.
pub(super) fn asking(message_id: &str, wants: &str, text: &str) -> String {
    format!(
        "From: <sip:{ALICE}>\r\nTo: <sip:{ROMEO}>\r\nDateTime: 2026-11-29T00:00:00Z\r\n\
         NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: {message_id}\r\n\
         imdn.Disposition-Notification: {wants}\r\n\r\nContent-Type: text/plain\r\n\r\n{text}"
    )
}

/// The notification in a CPIM of ours, which asks for none itself.
#[track_caller]
pub(super) fn imdn_of(cpim: &str) -> Imdn {
    let (envelope, content) = Cpim::parse(cpim.as_bytes()).unwrap();
    assert_eq!(envelope.notify, crate::body::cpim::Notify::default(), "check_061: {cpim}");
    let content = std::str::from_utf8(content).unwrap();
    let head = "Content-Type: message/imdn+xml\r\nContent-Disposition: notification\r\n\r\n";
    Imdn::read(content.strip_prefix(head).unwrap().as_bytes(), None).unwrap()
}

/// The value of an attribute.
pub(super) fn attr<'s>(stanza: &'s str, name: &str) -> &'s str {
    let value = stanza.split(&format!(" {name}='")).nth(1).unwrap_or_else(|| panic!("{name}: {stanza}"));
    value.split('\'').next().unwrap()
}

/// A stanza of romeo's orchard with these children.
pub(super) fn romeo(world: &mut World, id: &str, children: &str) {
    world.romeo(&format!(
        "<message from='{ROMEO}/orchard' to='{ALICE}' id='{id}' type='chat'>{children}</message>"
    ));
}

/// What the server of `from` says of the stanza `id` that it took.
pub(super) fn error_for(from: &str, id: &str) -> String {
    format!(
        "<message from='{from}' to='{ALICE}' id='{id}' type='error'><error type='cancel'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    )
}

fn received(id: &str) -> String {
    format!("<received xmlns='urn:xmpp:receipts' id='{id}'/>")
}

/// An offer of a client that takes CPIM.
fn offer() -> String {
    OFFER.replace("accept-types:", "accept-types:message/cpim message/imdn+xml ")
}

/// alice's session, in which she wrote a text that asks: the id of its stanza.
#[track_caller]
fn asked(world: &mut World, wants: &str) -> (Dialog, String) {
    let (mut dialog, ok) = Dialog::invite(world, 1, SDP, &offer());
    assert!(ok.body().contains(" message/cpim message/imdn+xml"), "{}", ok.text);
    dialog.ack(world);
    assert_eq!(dialog.status(world, "MESSAGE", CPIM, &asking("34jk324j", wants, "hello")), 200);
    let stanza = world.one_xmpp();
    assert!(stanza.contains("<body>hello</body>"), "{stanza}");
    let id = attr(&stanza, "id").to_owned();
    assert_eq!(stanza.contains(REQUEST), wants.contains("positive"), "{stanza}");
    assert_eq!(stanza.contains(MARKABLE), wants.contains("display"), "{stanza}");
    (dialog, id)
}

#[track_caller]
fn notification(dialog: &mut Dialog, sent: &Sent, kind: Kind, status: Status) {
    dialog.ours(sent, "MESSAGE");
    assert_eq!(sent.header("Content-Type"), Some("message/cpim"), "{}", sent.text);
    let imdn = imdn_of(sent.body());
    assert_eq!((&*imdn.message_id, imdn.kind, imdn.status), ("34jk324j", kind, status));
}

#[test]
fn check_059_a_question_in_a_dialog_is_answered_in_it_with_the_original_message_id() {
    let mut world = world(Im::MsSession);
    let (mut dialog, id) = asked(&mut world, "positive-delivery, display");
    world.pass_secs(30);
    world.assert_no_sip();
    romeo(&mut world, "r1", &received(&id));
    let sent = world.one_sip();
    notification(&mut dialog, &sent, Kind::Delivery, Status::Delivered);
    world.answer(&sent, 200);
    romeo(&mut world, "r2", &format!("<displayed xmlns='urn:xmpp:chat-markers:0' id='{id}'/>"));
    let sent = world.one_sip();
    notification(&mut dialog, &sent, Kind::Display, Status::Displayed);
    world.answer(&sent, 200);
    romeo(&mut world, "r3", &received(&id));
    world.assert_no_sip();
    assert!(world.take_xmpp().is_empty());
}

#[test]
fn check_062_a_late_failure_is_notified_in_the_dialog() {
    let mut world = world(Im::MsSession);
    let (mut dialog, id) = asked(&mut world, "negative-delivery");
    world.romeo(&error_for(ROMEO, &id));
    let sent = world.one_sip();
    notification(&mut dialog, &sent, Kind::Delivery, Status::Failed);
}

#[test]
fn an_answer_after_the_session_goes_as_a_message_only_where_those_are_taken() {
    for (im, goes) in [(Im::Auto, true), (Im::MsSession, false)] {
        let mut world = world(im);
        let (mut dialog, id) = asked(&mut world, "positive-delivery");
        assert_eq!(dialog.status(&mut world, "BYE", "", ""), 200);
        // Another session of the same two is not the one in which it was asked.
        Dialog::open(&mut world, 2);
        romeo(&mut world, "r1", &received(&id));
        let sent = world.take_sip();
        assert_eq!(sent.len(), usize::from(goes), "{sent:#?}");
        if let [sent] = &sent[..] {
            assert!(sent.text.starts_with("MESSAGE ") && !sent.header("To").unwrap().contains(";tag="));
            assert_eq!(&*imdn_of(sent.body()).message_id, "34jk324j");
        }
    }
}

#[test]
fn an_answer_to_what_was_asked_outside_goes_outside() {
    let mut world = world(Im::Auto);
    world.sip(&message_with(9, ALICE, ROMEO, CPIM, &asking("out", "positive-delivery", "hi")));
    world.take_sip();
    let id = attr(&world.one_xmpp(), "id").to_owned();
    Dialog::open(&mut world, 1);
    romeo(&mut world, "r1", &received(&id));
    let sent = world.one_sip();
    assert!(sent.text.starts_with("MESSAGE ") && !sent.header("To").unwrap().contains(";tag="));
}

#[test]
fn check_060_a_request_in_a_dialog_goes_as_cpim_to_a_client_that_takes_it_and_knows_notifications() {
    for form in ["bare", "cpim"] {
        let mut world = world(Im::MsSession);
        let (mut dialog, _) = asked(&mut world, "positive-delivery");
        romeo(&mut world, "m1", &format!("<body>Ay me</body>{REQUEST}{MARKABLE}"));
        let sent = world.one_sip();
        dialog.ours(&sent, "MESSAGE");
        assert_eq!(sent.header("Content-Type"), Some("message/cpim"), "{}", sent.text);
        let (cpim, content) = Cpim::parse(sent.body().as_bytes()).unwrap();
        assert!(cpim.notify.delivery && cpim.notify.failure && cpim.notify.display && cpim.date.is_some());
        assert!(content.ends_with(b"\r\n\r\nAy me"));
        let message_id = cpim.message_id.as_deref().unwrap();
        world.answer(&sent, 200);
        assert!(world.take_xmpp().is_empty(), "check_063: a 200 is no receipt");
        let (headers, body) = match form {
            "cpim" => {
                let head = "From: <sip:a@b>\r\nTo: <sip:c@d>\r\n\r\nContent-Type: message/imdn+xml\r\n\r\n";
                (CPIM, format!("{head}{}", delivered(message_id)))
            }
            _ => (IMDN, delivered(message_id)),
        };
        assert_eq!(dialog.status(&mut world, "MESSAGE", headers, &body), 200);
        let receipt = world.one_xmpp();
        assert!(receipt.contains(" to='romeo@capulet.example/orchard'"), "{receipt}");
        assert_eq!(attr(&receipt, "xmlns='urn:xmpp:receipts' id"), "m1");
        assert_eq!(dialog.status(&mut world, "MESSAGE", IMDN, &displayed(message_id)), 200);
        assert_eq!(attr(&world.one_xmpp(), "xmlns='urn:xmpp:chat-markers:0' id"), "m1");
        // Once for each, and nothing of what nobody knows.
        for message_id in [message_id, "unknown", "m1"] {
            assert_eq!(dialog.status(&mut world, "MESSAGE", IMDN, &delivered(message_id)), 200);
        }
        assert!(world.take_xmpp().is_empty());
    }
}

#[test]
fn a_failed_notification_in_a_dialog_is_an_error_for_the_message() {
    let mut world = world(Im::MsSession);
    let (mut dialog, _) = asked(&mut world, "positive-delivery");
    romeo(&mut world, "m1", &format!("<body>Ay me</body>{REQUEST}"));
    let sent = world.one_sip();
    world.answer(&sent, 200);
    let (cpim, _) = Cpim::parse(sent.body().as_bytes()).unwrap();
    let failed = document(cpim.message_id.as_deref().unwrap(), Kind::Delivery, Status::Failed);
    assert_eq!(dialog.status(&mut world, "MESSAGE", IMDN, &failed), 200);
    assert!(world.one_xmpp().contains(" id='m1' type='error'"));
}

#[test]
fn a_client_that_takes_no_cpim_is_asked_nothing() {
    let mut world = world(Im::MsSession);
    // She has shown that she knows notifications, with another client.
    let (mut dialog, _) = asked(&mut world, "positive-delivery");
    assert_eq!(dialog.status(&mut world, "BYE", "", ""), 200);
    Dialog::open(&mut world, 2);
    romeo(&mut world, "m1", &format!("<body>Ay me</body>{REQUEST}"));
    let sent = world.one_sip();
    assert_eq!((sent.header("Content-Type"), sent.body()), (Some("text/plain; charset=UTF-8"), "Ay me"));
}

#[test]
fn a_client_that_refuses_cpim_after_all_gets_the_text_as_it_is() {
    let mut world = world(Im::MsSession);
    let (mut dialog, _) = asked(&mut world, "positive-delivery");
    romeo(&mut world, "m1", &format!("<body>the text</body>{REQUEST}"));
    let wrapped = world.one_sip();
    dialog.ours(&wrapped, "MESSAGE");
    world.answer(&wrapped, 415);
    let plain = world.one_sip();
    dialog.ours(&plain, "MESSAGE");
    assert_eq!((plain.header("Content-Type"), plain.body()), (Some("text/plain; charset=UTF-8"), "the text"));
    world.answer(&plain, 200);
    assert!(world.take_xmpp().is_empty(), "it has arrived");
    romeo(&mut world, "m2", &format!("<body>next</body>{REQUEST}"));
    let next = world.one_sip();
    assert_eq!(next.body(), "next");
    world.answer(&next, 415);
    world.assert_no_sip();
    assert!(world.one_xmpp().contains(" id='m2' type='error'"));
}

#[test]
fn a_client_that_refuses_cpim_and_the_text_costs_one_error() {
    let mut world = world(Im::MsSession);
    asked(&mut world, "positive-delivery");
    romeo(&mut world, "m1", &format!("<body>the text</body>{REQUEST}"));
    for _ in 0..2 {
        let sent = world.one_sip();
        world.answer(&sent, 415);
    }
    assert!(world.one_xmpp().contains(" id='m1' type='error'"));
    world.assert_no_sip();
}

#[test]
fn a_200_in_a_dialog_is_a_receipt_only_where_that_is_switched_on() {
    for (receipts, answered) in [(Receipts::Trust200, 1), (Receipts::Auto, 0), (Receipts::Off, 0)] {
        let mut world =
            world_with(Net::works(), Im::MsSession, |settings| settings.peers[0].talk.receipts = receipts);
        Dialog::open(&mut world, 1);
        romeo(&mut world, "m1", &format!("<body>x</body>{REQUEST}"));
        let sent = world.one_sip();
        assert!(world.take_xmpp().is_empty());
        world.answer(&sent, 200);
        let got = world.take_xmpp();
        assert_eq!(got.len(), answered, "{got:?}");
        assert!(got.iter().all(|stanza| attr(stanza, "xmlns='urn:xmpp:receipts' id") == "m1"));
        romeo(&mut world, "m2", "<body>asks nothing</body>");
        let sent = world.one_sip();
        world.answer(&sent, 200);
        assert!(world.take_xmpp().is_empty());
    }
}

#[test]
fn check_063_in_a_dialog_nobody_answers_for_another() {
    let mut world = world(Im::MsSession);
    let (_, id) = asked(&mut world, "positive-delivery");
    world.romeo(&format!(
        "<message from='tybalt@capulet.example/x' to='{ALICE}' id='t1' type='chat'>{}</message>",
        received(&id)
    ));
    world.assert_no_sip();
}

#[test]
fn receipts_in_sessions_cross_only_where_presence_may_be_seen() {
    // public.example is not verified: what comes from there is only for those who added its people.
    let juliet = "juliet@public.example";
    let mut world = world(Im::MsSession);
    world.sip(&request("INVITE", 1, ALICE, juliet, &format!("{CONTACT}{SDP}"), &offer()));
    let mut dialog = Dialog::of(1, &world.one_sip());
    dialog.contact = juliet.into();
    dialog.ack(&mut world);
    let text = asking("a", "positive-delivery, display", "hello");
    assert_eq!(dialog.status(&mut world, "MESSAGE", CPIM, &text), 200);
    let stanza = world.one_xmpp();
    assert!(stanza.contains("<body>hello</body>") && stanza.contains(juliet), "{stanza}");
    assert!(!stanza.contains("urn:xmpp:receipts") && !stanza.contains("chat-markers"), "{stanza}");
}

#[test]
fn a_contact_that_shows_no_states_any_more_is_told_of_none() {
    const ACTIVE: &str = "<active xmlns='http://jabber.org/protocol/chatstates'/>";
    for (last, told) in [(ACTIVE, 1), ("", 0)] {
        let mut world = world(Im::MsSession);
        let mut dialog = Dialog::open(&mut world, 1);
        for children in [format!("<body>hi</body>{ACTIVE}"), format!("<body>hi</body>{last}")] {
            romeo(&mut world, "m1", &children);
            let sent = world.one_sip();
            world.answer(&sent, 200);
        }
        assert_eq!(dialog.status(&mut world, "BYE", "", ""), 200);
        let gone = world.take_xmpp();
        assert_eq!(gone.len(), told, "check_058: {gone:?}");
        assert!(gone.iter().all(|stanza| stanza.contains("<gone ")));
    }
}

#[test]
fn check_059_what_waited_for_an_invitation_asks_in_the_session() {
    let mut world = world(Im::MsSession);
    let (mut dialog, _) = asked(&mut world, "positive-delivery");
    assert_eq!(dialog.status(&mut world, "BYE", "", ""), 200);
    romeo(&mut world, "m1", &format!("<body>Ay me</body>{REQUEST}"));
    let invite = world.one_sip();
    world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), &offer());
    let sent = world.take_sip();
    assert_eq!(sent[1].header("Content-Type"), Some("message/cpim"), "{sent:#?}");
}
