//! Who is writing, said inside of a session.

use super::{COMPOSING, Dialog, GONE, Im, PLAIN, romeo_opens, romeo_sends, world};
use crate::gateway::tests::texts::Sent;
use crate::gateway::tests::world::World;

const KEYBOARD: &str = "Content-Type: application/xml\r\n";
const TYPING: &str = "<KeyboardActivity><status status=\"type\"/></KeyboardActivity>";
const IDLE: &str = "<KeyboardActivity><status status=\"idle\"/></KeyboardActivity>";
const ACTIVE: &str = "<active xmlns='http://jabber.org/protocol/chatstates'/>";
const PAUSED: &str = "<paused xmlns='http://jabber.org/protocol/chatstates'/>";

/// A session in which Romeo has shown chat states.
fn known() -> (World, Dialog) {
    let mut world = world(Im::MsSession);
    let (dialog, text) = romeo_opens(&mut world, "m1", &format!("hi</body>{ACTIVE}<body xml:lang='x'>hi"));
    world.answer(&text, 200);
    (world, dialog)
}

/// Our INFO says this.
#[track_caller]
fn says(dialog: &mut Dialog, sent: &Sent, status: &str) {
    dialog.ours(sent, "INFO");
    assert_eq!(sent.header("Content-Type"), Some("application/xml"));
    assert!(sent.body().contains(&format!("<status status=\"{status}\" />")), "{}", sent.text);
}

#[test]
fn composing_is_keyboard_activity_every_five_seconds_and_in_the_dialog() {
    let (mut world, mut dialog) = known();
    romeo_sends(&mut world, COMPOSING);
    let info = world.one_sip();
    says(&mut dialog, &info, "type");
    world.answer(&info, 200);
    for _ in 0..3 {
        world.pass_secs(5);
        let info = world.one_sip();
        says(&mut dialog, &info, "type");
        world.answer(&info, 200);
    }
    romeo_sends(&mut world, PAUSED);
    let info = world.one_sip();
    says(&mut dialog, &info, "idle");
    world.answer(&info, 200);
    world.pass_secs(60);
    world.assert_no_sip();
}

#[test]
fn keyboard_activity_is_one_chat_state_in_the_thread_until_it_stops() {
    let (mut world, mut dialog) = known();
    for _ in 0..3 {
        assert_eq!(dialog.status(&mut world, "INFO", KEYBOARD, TYPING), 200);
        world.pass_secs(5);
    }
    let composing = world.one_xmpp();
    assert!(
        composing.starts_with(
            "<message from='alice@contoso.example' to='romeo@capulet.example/orchard' type='chat'>\
             <composing xmlns='http://jabber.org/protocol/chatstates'/><thread>"
        ),
        "{composing}"
    );
    assert_eq!(dialog.status(&mut world, "INFO", KEYBOARD, IDLE), 200);
    assert!(world.one_xmpp().contains(&ACTIVE[..20]), "idle");
    assert_eq!(dialog.status(&mut world, "INFO", KEYBOARD, TYPING), 200);
    assert!(world.one_xmpp().contains("<composing "));
    world.pass_secs(15);
    assert!(world.one_xmpp().contains("<active "), "silence is idle");
    assert_eq!(dialog.status(&mut world, "INFO", KEYBOARD, TYPING), 200);
    world.take_xmpp();
    let text = dialog.says(&mut world, "Here");
    assert!(text.contains("<body>Here</body>") && text.contains("<active "), "{text}");
    world.pass_secs(60);
    assert!(world.take_xmpp().is_empty());
}

#[test]
fn a_client_that_refuses_an_info_gets_no_more() {
    let (mut world, mut dialog) = known();
    romeo_sends(&mut world, COMPOSING);
    let info = world.one_sip();
    says(&mut dialog, &info, "type");
    world.answer(&info, 405);
    world.pass_secs(30);
    romeo_sends(&mut world, PAUSED);
    romeo_sends(&mut world, COMPOSING);
    world.assert_no_sip();
    assert_eq!(world.gateway.session_count(), 1, "texts go on");
    assert_eq!(dialog.status(&mut world, "MESSAGE", PLAIN, "still here"), 200);
}

#[test]
fn nothing_is_said_outside_of_a_session_to_a_peer_that_has_only_sessions() {
    let mut world = world(Im::MsSession);
    romeo_sends(&mut world, COMPOSING);
    world.assert_no_sip();
    romeo_sends(&mut world, GONE);
    world.assert_no_sip();
}
