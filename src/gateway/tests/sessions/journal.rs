//! What the journal hears of sessions: one word when texts can go, one when it is over, and why.

use super::super::ALICE;
use super::super::net::{Net, POLICY};
use super::super::world::World;
use super::msrp::{alice_opens, world as msrp_world};
use super::{Dialog, GONE, Im, OFFER, SDP, romeo_opens, romeo_sends, world};
use crate::crossing::Direction;
use crate::gateway::Input;
use crate::gateway::observe::Observation;

/// What was told of sessions since somebody looked.
fn told(world: &mut World) -> Vec<String> {
    let way = |direction| match direction {
        Direction::SipToXmpp => "alice invited",
        Direction::XmppToSip => "romeo invited",
    };
    let line = |observation| match observation {
        Observation::SessionUp { user, contact, direction, mode } => {
            assert_eq!((user.as_str(), contact.domain()), (ALICE, "capulet.example"));
            Some(format!("up: {}, {mode}", way(direction)))
        }
        Observation::SessionDown { direction, mode, why, delivered: [to_xmpp, to_sip], seconds, .. } => {
            Some(format!("down: {}, {mode}, {seconds} s, {to_xmpp} and {to_sip}: {why}", way(direction)))
        }
        _ => None,
    };
    std::mem::take(&mut world.observed).into_iter().filter_map(line).collect()
}

#[test]
fn a_session_is_told_of_when_it_opens_and_when_it_is_over() {
    let mut world = world(Im::MsSession);
    let mut dialog = Dialog::open(&mut world, 1);
    assert_eq!(told(&mut world), ["up: alice invited, ms-session"]);
    dialog.says(&mut world, "one");
    dialog.says(&mut world, "two");
    world.say("m1", ALICE, "back");
    let sent = world.one_sip();
    dialog.ours(&sent, "MESSAGE");
    world.answer(&sent, 200);
    world.pass_secs(30);
    assert!(told(&mut world).is_empty());
    assert_eq!(dialog.status(&mut world, "BYE", "", ""), 200);
    assert_eq!(told(&mut world), ["down: alice invited, ms-session, 30 s, 2 and 1: the SIP user has left"]);
    // The other way.
    let (mut dialog, sent) = romeo_opens(&mut world, "m2", "three");
    assert_eq!(told(&mut world), ["up: romeo invited, ms-session"]);
    world.answer(&sent, 200);
    assert_eq!(dialog.status(&mut world, "BYE", "", ""), 200);
    assert_eq!(told(&mut world), ["down: romeo invited, ms-session, 0 s, 0 and 1: the SIP user has left"]);
}

#[test]
fn the_end_has_its_reason() {
    type End = fn(&mut World);
    let ends: [(&str, End); 4] = [
        ("nobody wrote for a while", |world| world.pass_secs(601)),
        ("the contact has left", |world| romeo_sends(world, GONE)),
        ("the policy no longer allows it", |world| {
            world.reload(&format!("{POLICY}\n[[grant]]\nuser = \"sip:{ALICE}\"\npolicy = \"Nothing\"\n"));
        }),
        ("the gateway is stopping", World::stop),
    ];
    for (why, end) in ends {
        let mut world = world(Im::MsSession);
        Dialog::open(&mut world, 1);
        end(&mut world);
        let bye = world.one_sip();
        assert!(bye.text.starts_with("BYE "), "{why}: {}", bye.text);
        world.answer(&bye, 200);
        let told = told(&mut world);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[1].ends_with(&format!(" s, 0 and 0: {why}")), "{told:?}");
    }
    // A text that the SIP side no longer knows a dialog for.
    let mut world = world(Im::MsSession);
    let (_, sent) = romeo_opens(&mut world, "m1", "one");
    world.answer(&sent, 481);
    let told = told(&mut world);
    assert_eq!(
        told[1],
        "down: romeo invited, ms-session, 0 s, 0 and 0: 481, Call/Transaction Does Not Exist"
    );
}

#[test]
fn an_invitation_whose_answer_is_not_acknowledged_as_it_must_be_has_its_reason() {
    let mut world = world(Im::MsSession);
    Dialog::invite(&mut world, 1, SDP, OFFER);
    world.pass_secs(40);
    let bye = world.take_sip().pop().unwrap();
    world.answer(&bye, 481);
    let silent = told(&mut world);
    assert_eq!(silent.len(), 2, "{silent:?}");
    assert!(silent[1].ends_with(" s, 0 and 0: the SIP user's client is not heard of any more"), "{silent:?}");
    // Our offer is not taken.
    let (mut dialog, _) = Dialog::invite(&mut world, 2, "", "");
    let ack = dialog.text("ACK", SDP, &OFFER.replace("m=message 5060 sip null", "m=message 0 sip null"));
    world.sip(&ack);
    let bye = world.one_sip();
    world.answer(&bye, 200);
    let unusable = told(&mut world);
    let why = "the SIP user's client has not taken what was offered";
    assert_eq!(unusable.len(), 2, "{unusable:?}");
    assert!(unusable[1].ends_with(&format!(" s, 0 and 0: {why}")), "{unusable:?}");
}

#[test]
fn an_msrp_session_ends_with_its_connection() {
    let mut world = msrp_world(Some(2855), Net::works());
    let (_, conn, _) = alice_opens(&mut world);
    assert_eq!(told(&mut world), ["up: alice invited, msrp"]);
    world.handle(Input::MsrpDown { conn });
    let bye = world.one_sip();
    world.answer(&bye, 200);
    let told = told(&mut world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("down: alice invited, msrp, 0 s, 0 and 0: "), "{told:?}");
    assert!(!told[0].ends_with("the SIP user has left"), "{told:?}");
}

#[test]
fn a_session_that_never_opened_is_none() {
    let mut world = world(Im::MsSession);
    world.say("m1", ALICE, "hi");
    let invite = world.one_sip();
    world.answer(&invite, 486);
    assert_eq!(world.take_sip().len(), 1, "the ACK");
    let (_, refused) = Dialog::invite(&mut world, 2, SDP, &OFFER.replace("m=message", "m=audio"));
    assert_eq!(refused.status(), Some(488));
    assert_eq!(world.gateway.session_count(), 0);
    assert!(told(&mut world).is_empty());
}
