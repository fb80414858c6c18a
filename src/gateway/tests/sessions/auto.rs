//! Peers of whose users nobody knows in advance how they are written to.

use super::super::net::Net;
use super::super::texts::message;
use super::super::{ALICE, BOB, ROMEO};
use super::{CONTACT, Dialog, Im, OFFER, SDP, Sent, world, world_with};
use crate::gateway::tests::world::World;

fn method(sent: &Sent) -> &str {
    sent.text.split(' ').next().unwrap()
}

/// The peer takes the invitation and every text that follows: their bodies.
#[track_caller]
fn take_all(world: &mut World, invite: &Sent) -> Vec<String> {
    world.answer_body(invite, 200, &format!("{CONTACT}{SDP}"), OFFER);
    let mut bodies = Vec::new();
    loop {
        let sent = world.take_sip();
        let texts: Vec<_> = sent.iter().filter(|sent| method(sent) == "MESSAGE").collect();
        let [text] = texts[..] else { break };
        bodies.push(text.body().to_owned());
        world.answer(text, 200);
    }
    bodies
}

#[test]
fn a_message_comes_first_and_a_user_who_takes_it_is_never_invited() {
    let mut world = world(Im::Auto);
    for n in 0..3 {
        world.say(&format!("m{n}"), ALICE, "hi");
        let sent = world.one_sip();
        assert_eq!(method(&sent), "MESSAGE");
        world.answer(&sent, 200);
    }
    world.pass_secs(3600);
    assert!(world.take_sip().is_empty());
}

#[test]
fn a_user_who_refuses_messages_gets_a_session_with_every_text_once_and_in_order() {
    for status in [405, 415, 488, 501, 606] {
        let mut world = world(Im::Auto);
        world.say("m1", ALICE, "one");
        let first = world.one_sip();
        world.say("m2", ALICE, "two");
        // Somebody else's text waits behind the same user.
        world.romeo(&format!(
            "<message from='juliet@capulet.example' to='{ALICE}' id='j1'><body>j</body></message>"
        ));
        world.say("m3", ALICE, "three");
        world.assert_no_sip();
        world.answer(&first, status);
        let invites = world.take_sip();
        assert_eq!(invites.iter().map(method).collect::<Vec<_>>(), ["INVITE", "INVITE"], "{status}");
        let of = |who: &str| invites.iter().find(|sent| sent.header("From").unwrap().contains(who)).unwrap();
        assert_eq!(take_all(&mut world, of("romeo")), ["one", "two", "three"], "{status}");
        assert_eq!(take_all(&mut world, of("juliet")), ["j"], "{status}");
        assert!(world.take_xmpp().is_empty(), "nobody hears of the attempt");
        assert_eq!(world.gateway.counts().delivered, [0, 4]);
        // It is remembered, for this user alone.
        world.say("m4", ALICE, "four");
        let text = world.one_sip();
        assert_eq!((method(&text), text.body()), ("MESSAGE", "four"));
        assert!(text.header("To").unwrap().contains(";tag="), "in the session");
        world.say("b1", BOB, "hi");
        let pager = world.one_sip();
        assert!(method(&pager) == "MESSAGE" && !pager.header("To").unwrap().contains(";tag="));
    }
}

#[test]
fn a_user_who_refuses_texts_in_the_dialog_too_is_written_to_by_msrp_where_that_is_on() {
    let mut world = world_with(Net::works(), Im::Auto, |settings| {
        settings.msrp.host = "gw.contoso.example".into();
        settings.msrp.port = Some(2855);
        settings.msrp.tls = false;
    });
    world.say("m1", ALICE, "one");
    let first = world.one_sip();
    world.say("m2", ALICE, "two");
    world.answer(&first, 405);
    let invite = world.one_sip();
    assert!(invite.body().contains("m=message 5060 sip null"), "{}", invite.text);
    world.answer(&invite, 488);
    let sent = world.take_sip();
    assert_eq!(sent.iter().map(method).collect::<Vec<_>>(), ["ACK", "INVITE"]);
    assert!(sent[1].body().contains(" TCP/MSRP *"), "{}", sent[1].text);
    assert!(world.take_xmpp().is_empty(), "both texts wait");
    // That is refused as well: what was tried in every way goes back, once.
    world.answer(&sent[1], 488);
    let sent = world.take_sip();
    assert_eq!(sent.iter().map(method).collect::<Vec<_>>(), ["ACK", "MESSAGE"]);
    assert!(world.one_xmpp().contains("id='m1'"));
    world.answer(&sent[1], 200);
    assert_eq!((world.gateway.counts().delivered, world.gateway.counts().failed), ([0, 1], [0, 1]));
    world.assert_quiet();
}

#[test]
fn every_refusal_of_a_text_in_the_dialog_leads_to_msrp_and_a_text_that_asks_still_asks() {
    for status in [405, 415, 488, 501, 606] {
        let mut world = world_with(Net::works(), Im::Auto, |settings| {
            settings.msrp.host = "gw.contoso.example".into();
            (settings.msrp.port, settings.msrp.tls) = (Some(2855), false);
        });
        world.romeo(&format!(
            "<message from='{ROMEO}/orchard' to='{ALICE}' id='m1' type='chat'><body>one</body>\
             <request xmlns='urn:xmpp:receipts'/></message>"
        ));
        let first = world.one_sip();
        world.answer(&first, 405);
        let invite = world.one_sip();
        world.answer(&invite, status);
        let sent = world.take_sip();
        assert_eq!(sent.iter().map(method).collect::<Vec<_>>(), ["ACK", "INVITE"], "{status}");
        assert!(sent[1].body().contains(" TCP/MSRP *"), "{status}: {}", sent[1].text);
        let answer = super::msrp::offer("a=setup:passive\r\n");
        world.answer_body(&sent[1], 200, &format!("{CONTACT}{SDP}"), &answer);
        world.take_sip();
        let conn = super::msrp::dialled(&mut world).conn;
        world.handle(crate::gateway::Input::MsrpUp { conn, certificate: None });
        let frames = super::msrp::take_msrp(&mut world);
        assert!(
            frames.contains("\r\nSuccess-Report: yes\r\n") && frames.contains("\r\n\r\none\r\n"),
            "{frames}"
        );
        assert!(world.take_xmpp().is_empty());
        // It is remembered.
        world.say("m2", ALICE, "two");
        world.assert_no_sip();
    }
}

#[test]
fn it_is_remembered_for_eight_hours() {
    let mut world = world(Im::Auto);
    world.say("m1", ALICE, "one");
    let first = world.one_sip();
    world.answer(&first, 405);
    let invite = world.one_sip();
    assert_eq!(take_all(&mut world, &invite), ["one"]);
    world.pass_secs(7 * 3600);
    let bye = world.take_sip();
    assert_eq!(method(&bye[0]), "BYE", "it was idle for long");
    world.say("m2", ALICE, "two");
    let invite = world.one_sip();
    assert_eq!(method(&invite), "INVITE");
    assert_eq!(take_all(&mut world, &invite), ["two"]);
    world.pass_secs(2 * 3600);
    world.take_sip();
    world.say("m3", ALICE, "three");
    assert_eq!(method(&world.one_sip()), "MESSAGE", "and then it is found out anew");
}

#[test]
fn a_user_who_refuses_both_ways_costs_one_error_a_text() {
    let mut world = world(Im::Auto);
    world.say("m1", ALICE, "one");
    let first = world.one_sip();
    world.say("m2", ALICE, "two");
    world.answer(&first, 405);
    let invite = world.one_sip();
    world.answer(&invite, 488);
    // The second text was never tried as a MESSAGE.
    let sent = world.take_sip();
    assert_eq!(sent.iter().map(method).collect::<Vec<_>>(), ["ACK", "MESSAGE"]);
    let error = world.one_xmpp();
    assert!(error.contains("id='m1'") && error.contains("<not-acceptable "), "{error}");
    world.answer(&sent[1], 405);
    let error = world.one_xmpp();
    assert!(error.contains("id='m2'") && error.contains("<feature-not-implemented "), "{error}");
    world.pass_secs(100);
    world.assert_nothing_sent();
    assert_eq!(world.gateway.counts().failed, [0, 2]);
    world.assert_quiet();
}

#[test]
fn another_refusal_is_about_the_text_or_the_user_and_goes_back() {
    for status in [400, 403, 404, 413, 480, 486, 500, 603] {
        let mut world = world(Im::Auto);
        world.say("m1", ALICE, "one");
        let sent = world.one_sip();
        world.answer(&sent, status);
        assert!(world.one_xmpp().contains("id='m1'"), "{status}");
        assert!(world.take_sip().is_empty(), "{status}");
    }
}

#[test]
fn replies_to_a_session_that_the_user_began_go_into_it() {
    let mut world = world(Im::Auto);
    let mut dialog = Dialog::open(&mut world, 1);
    dialog.says(&mut world, "hi");
    world.say("m1", ALICE, "yes?");
    let sent = world.one_sip();
    dialog.ours(&sent, "MESSAGE");
    world.answer(&sent, 200);
    assert_eq!(dialog.status(&mut world, "BYE", "", ""), 200);
    // And what comes after it is a MESSAGE: an invitation is never the first try.
    world.say("m2", ALICE, "still there?");
    let sent = world.one_sip();
    assert!(method(&sent) == "MESSAGE" && !sent.header("To").unwrap().contains(";tag="));
}

#[test]
fn a_message_that_waits_is_not_overtaken_by_a_session_that_begins() {
    let mut world = world(Im::Auto);
    world.say("m1", ALICE, "one");
    let first = world.one_sip();
    Dialog::open(&mut world, 1);
    world.say("m2", ALICE, "two");
    world.assert_no_sip();
    world.answer(&first, 200);
    let second = world.one_sip();
    assert_eq!(second.body(), "two");
    world.answer(&second, 200);
    world.say("m3", ALICE, "three");
    assert!(world.one_sip().header("To").unwrap().contains(";tag="), "now it is free");
}

#[test]
fn both_ways_of_a_user_work_side_by_side() {
    let mut world = world(Im::Auto);
    let mut dialog = Dialog::open(&mut world, 1);
    world.sip(&message(9, ALICE, ROMEO, "out of it"));
    assert_eq!(world.one_sip().status(), Some(202));
    assert!(world.one_xmpp().contains("out of it"));
    dialog.says(&mut world, "in it");
}
