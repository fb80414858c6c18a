//! Stopping: nothing new is taken, and nobody is left without an answer.

use super::net::{Net, Play};
use super::texts::message;
use super::world::World;
use super::{ALICE, BOB, ROMEO};

#[test]
fn nothing_new_is_taken_and_both_sides_hear_so() {
    let mut world = World::new(Net::works());
    world.stop();
    world.sip(&message(1, ALICE, ROMEO, "one"));
    let answer = world.one_sip();
    assert_eq!((answer.status(), answer.header("Retry-After")), (Some(503), Some("5")));
    world.say("m1", ALICE, "two");
    let error = world.one_xmpp();
    assert!(error.contains("id='m1'") && error.contains("<resource-constraint "), "{error}");
    assert!(error.contains("type='wait'"), "{error}");
    world.assert_quiet();
}

#[test]
fn what_is_under_way_still_arrives() {
    let mut world = World::new(Net { streams: Play::Silent, ..Net::works() });
    world.sip(&message(1, ALICE, ROMEO, "one"));
    let stream = world.dialled_stream();
    world.say("m1", ALICE, "two");
    let sent = world.one_sip();
    world.stop();
    world.answer(&sent, 200);
    world.stream_up(stream);
    assert_eq!(world.statuses(), [202]);
    assert_eq!(world.gateway.counts().delivered, [1, 1]);
    world.assert_quiet();
}

#[test]
fn what_is_left_goes_back_once() {
    let mut world = World::new(Net { streams: Play::Silent, ..Net::works() });
    // For a stream that is not there.
    world.sip(&message(1, ALICE, ROMEO, "one"));
    let stream = world.dialled_stream();
    // In the air, and behind it; nobody answers.
    for (id, to) in [("m1", ALICE), ("m2", ALICE), ("m3", BOB)] {
        world.say(id, to, "two");
    }
    assert_eq!(world.take_sip().len(), 2);
    world.stop();
    world.gateway.abandon(world.now);
    world.handle(crate::gateway::Input::Timeout);
    assert_eq!(world.statuses(), [504]);
    world.stream_up(stream);
    let errors = world.take_xmpp();
    assert_eq!(errors.len(), 3, "{errors:#?}");
    for id in ["m1", "m2", "m3"] {
        let of = |text: &&String| text.contains(&format!("id='{id}'")) && text.contains("type='error'");
        assert_eq!(errors.iter().filter(of).count(), 1, "{id}: {errors:#?}");
    }
    assert!(errors.iter().all(|text| text.contains("<remote-server-timeout ")), "{errors:#?}");
    world.pass_secs(120);
    world.assert_nothing_sent();
    assert_eq!((world.gateway.counts().delivered, world.gateway.counts().failed), ([0, 0], [1, 3]));
    world.assert_quiet();
}

#[test]
fn what_waits_for_a_link_goes_back_too() {
    let mut world = World::new(Net { links: Play::Silent, ..Net::works() });
    world.say("m1", ALICE, "one");
    world.gateway.abandon(world.now);
    world.handle(crate::gateway::Input::Timeout);
    assert!(world.one_xmpp().contains("<remote-server-timeout "));
    world.assert_quiet();
}
