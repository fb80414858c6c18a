use super::*;
use crate::body::iscomposing::IsComposing;
use crate::bridge::typing::ChatState;
use std::time::Duration;

const TYPE: &str = "application/im-iscomposing+xml";

fn status(seconds: u64) -> String {
    IsComposing::active(Duration::from_secs(seconds)).write()
}

/// The one MESSAGE, a status message, and what it says.
#[track_caller]
fn said(world: &mut World) -> (Sent, String) {
    let sent = world.one_sip();
    assert_eq!(sent.header("Content-Type"), Some(TYPE), "{}", sent.text);
    let state = sent.body().split("<state>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    (sent, state)
}

/// Romeo has shown that he knows chat states.
fn known() -> World {
    let mut world = world();
    romeo(&mut world, "m0", &format!("<body>hi</body>{ACTIVE}"));
    let sent = world.one_sip();
    world.answer(&sent, 200);
    world
}

#[test]
fn composing_becomes_a_status_message_and_is_said_again() {
    let mut world = world();
    romeo(&mut world, "s1", COMPOSING);
    let (sent, state) = said(&mut world);
    assert_eq!(state, "active");
    assert!(sent.body().contains("<refresh>120</refresh>"), "{}", sent.text);
    assert!(sent.text.starts_with("MESSAGE sip:alice@contoso.example SIP/2.0\r\n"), "{}", sent.text);
    world.answer(&sent, 200);
    world.pass_secs(89);
    world.assert_nothing_sent();
    world.pass_secs(1);
    let (sent, state) = said(&mut world);
    assert_eq!(state, "active");
    world.answer(&sent, 200);
    romeo(&mut world, "s2", PAUSED);
    let (sent, state) = said(&mut world);
    assert_eq!(state, "idle");
    world.answer(&sent, 200);
    world.pass_secs(1000);
    world.assert_nothing_sent();
    assert_eq!(world.gateway.counts().delivered, [0, 0], "nobody wrote a message");
    world.assert_quiet();
}

#[test]
fn a_status_message_waits_for_nobody_and_fails_alone() {
    let mut world = world();
    world.say("m1", ALICE, "first");
    let text = world.one_sip();
    romeo(&mut world, "s1", COMPOSING);
    world.assert_nothing_sent();
    world.answer(&text, 200);
    world.assert_nothing_sent();
    // One in the air holds a text for five seconds at most, and fails it not.
    romeo(&mut world, "s2", PAUSED);
    let (_, state) = said(&mut world);
    assert_eq!(state, "idle");
    world.say("m2", ALICE, "second");
    world.assert_nothing_sent();
    world.pass_secs(5);
    let text = world.one_sip();
    assert_eq!(text.body(), "second");
    world.answer(&text, 200);
    assert!(world.take_xmpp().is_empty(), "nobody is told that a status message failed");
    romeo(&mut world, "s3", COMPOSING);
    world.assert_nothing_sent();
    world.assert_quiet();
}

#[test]
fn check_057_after_a_415_no_more_are_sent_for_hours() {
    let mut world = world();
    romeo(&mut world, "s1", COMPOSING);
    let (sent, _) = said(&mut world);
    world.answer(&sent, 480);
    romeo(&mut world, "s2", PAUSED);
    romeo(&mut world, "s3", COMPOSING);
    let sent = world.take_sip().remove(0);
    world.answer(&sent, 415);
    assert!(world.take_xmpp().is_empty(), "nobody hears of it");
    for _ in 0..3 {
        romeo(&mut world, "s2", PAUSED);
        romeo(&mut world, "s3", COMPOSING);
        world.pass_secs(3600);
        world.assert_nothing_sent();
    }
    // Somebody else may take them.
    world.romeo(&format!("<message from='{ROMEO}/orchard' to='{BOB}' type='chat'>{COMPOSING}</message>"));
    let (sent, _) = said(&mut world);
    assert!(sent.text.starts_with("MESSAGE sip:bob@"), "{}", sent.text);
    world.answer(&sent, 200);
    world.pass_secs(5 * 3600);
    world.take_sip();
    romeo(&mut world, "s4", COMPOSING);
    assert_eq!(said(&mut world).1, "active");
}

#[test]
fn check_055_check_058_a_status_message_becomes_one_chat_state_for_whom_shows_them() {
    let mut world = world();
    assert_eq!(alice(&mut world, 1, TYPE, &status(60)), 202);
    assert!(world.take_xmpp().is_empty(), "Romeo has shown nothing");

    let mut world = known();
    assert_eq!(alice(&mut world, 2, TYPE, &status(60)), 202);
    let stanza = world.one_xmpp();
    assert_eq!(
        stanza,
        "<message from='alice@contoso.example' to='romeo@capulet.example/orchard' type='chat'>\
         <composing xmlns='http://jabber.org/protocol/chatstates'/><no-store xmlns='urn:xmpp:hints'/></message>"
    );
    for n in 3..10 {
        assert_eq!(alice(&mut world, n, TYPE, &status(60)), 202);
    }
    assert!(world.take_xmpp().is_empty(), "it was said");
    world.pass_secs(60);
    assert_eq!(state_of(&world.one_xmpp()), Some("active"));
    assert_eq!(alice(&mut world, 10, TYPE, &IsComposing::idle().write()), 202);
    assert!(world.take_xmpp().is_empty());
}

#[test]
fn a_text_carries_active_and_ends_composing() {
    let mut world = known();
    assert_eq!(alice(&mut world, 1, TYPE, &status(60)), 202);
    assert_eq!(state_of(&world.one_xmpp()), Some("composing"));
    assert_eq!(alice(&mut world, 2, "text/plain", "Hello"), 202);
    let stanza = world.one_xmpp();
    assert!(stanza.contains("<body>Hello</body>"), "{stanza}");
    assert_eq!(state_of(&stanza), Some("active"));
    world.pass_secs(600);
    world.assert_nothing_sent();
    // Romeo answers with a client that knows no states.
    romeo(&mut world, "m9", "<body>plain</body>");
    let sent = world.one_sip();
    world.answer(&sent, 200);
    assert_eq!(alice(&mut world, 3, "text/plain", "Hello"), 202);
    assert_eq!(state_of(&world.one_xmpp()), None);
    assert_eq!(world.gateway.talk.typing.len(), 0, "there is nothing to remember");
}

#[test]
fn a_switch_says_paused_instead_of_active() {
    let mut world = World::with(Net::works(), |settings| settings.talk.idle = ChatState::Paused);
    romeo(&mut world, "m0", &format!("<body>hi</body>{ACTIVE}"));
    let sent = world.one_sip();
    world.answer(&sent, 200);
    alice(&mut world, 1, TYPE, &status(60));
    world.take_xmpp();
    alice(&mut world, 2, TYPE, &IsComposing::idle().write());
    assert_eq!(state_of(&world.one_xmpp()), Some("paused"));
}

#[test]
fn a_peer_can_be_left_out() {
    let mut world = World::with(Net::works(), |settings| settings.peers[0].talk.typing = false);
    romeo(&mut world, "s1", COMPOSING);
    world.assert_nothing_sent();
    world.assert_quiet();
}

#[test]
fn lyncs_word_for_it_is_understood_out_of_a_session_too() {
    let mut world = known();
    let typing = "<KeyboardActivity><status status=\"type\"/></KeyboardActivity>";
    assert_eq!(alice(&mut world, 1, "application/xml", typing), 202);
    assert_eq!(state_of(&world.one_xmpp()), Some("composing"));
    world.pass_secs(15);
    assert_eq!(state_of(&world.one_xmpp()), Some("active"));
    assert_eq!(alice(&mut world, 2, "application/xml", "<other/>"), 415);
}

#[test]
fn who_may_not_write_may_not_type() {
    let mut world = known();
    let from = "denied@contoso.example";
    world.sip(&message_with(1, from, ROMEO, &format!("Content-Type: {TYPE}\r\n"), &status(60)));
    assert_eq!(world.statuses(), [403]);
    assert!(world.take_xmpp().is_empty());
    // And a right that was taken away ends what would be said later.
    assert_eq!(alice(&mut world, 2, TYPE, &status(60)), 202);
    assert_eq!(world.take_xmpp().len(), 1);
    let policy = super::super::net::POLICY.replace("sip:denied@", "sip:alice@");
    world.reload(&policy);
    world.pass_secs(600);
    world.assert_nothing_sent();
}

#[test]
fn a_conversation_is_forgotten_after_half_an_hour_and_deadlines_stay_few() {
    let mut world = known();
    for n in 0..200 {
        alice(&mut world, n, TYPE, &status(60));
        romeo(&mut world, "s", if n % 2 == 0 { COMPOSING } else { PAUSED });
        for sent in world.take_sip() {
            world.answer(&sent, 200);
        }
    }
    world.take_xmpp();
    assert_eq!(world.gateway.talk.typing.len(), 1);
    world.pass_secs(1000);
    assert_eq!(world.gateway.talk.typing.len(), 1);
    world.take_sip();
    world.pass_secs(1900);
    assert_eq!(world.gateway.talk.typing.len(), 0);
}

#[test]
fn a_user_who_may_not_be_written_to_any_more_hears_no_more_of_a_writer() {
    let mut world = known();
    romeo(&mut world, "s", COMPOSING);
    for sent in world.take_sip() {
        world.answer(&sent, 200);
    }
    world.reload(&super::super::net::POLICY.replace("sip:denied@", "sip:alice@"));
    world.pass_secs(600);
    world.assert_nothing_sent();
}
