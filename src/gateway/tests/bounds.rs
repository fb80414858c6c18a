//! Everything is bounded, and what does not fit is answered.

use super::net::{Net, Play};
use super::texts::message;
use super::world::{Seen, World};
use super::{ALICE, ROMEO};

#[test]
fn check_168_a_full_queue_to_a_partner_is_answered_with_retry_after() {
    let mut world = World::with(Net::silent(), |settings| settings.pairs.queue = 5);
    for n in 0..8 {
        world.sip(&message(n, ALICE, ROMEO, "x"));
    }
    assert_eq!(world.gateway.waiting(), 5);
    let answers = world.take_sip();
    assert_eq!(answers.len(), 3);
    for answer in answers {
        assert_eq!(
            (answer.status(), answer.header("Retry-After")),
            (Some(500), Some("30")),
            "{}",
            answer.text
        );
    }
    world.pass_secs(10);
    let finals: Vec<u16> = world.statuses().into_iter().filter(|status| *status >= 200).collect();
    assert_eq!(finals, [504; 5]);
    world.assert_quiet();
}

#[test]
fn check_168_a_full_queue_to_a_user_or_a_peer_is_resource_constraint() {
    let mut world = World::with(Net::works(), |settings| settings.target_queue = 3);
    for n in 0..6 {
        world.say(&format!("m{n}"), ALICE, "x");
    }
    let errors = world.take_xmpp();
    assert_eq!(errors.len(), 2);
    assert!(errors.iter().all(|e| e.contains("<error type='wait'><resource-constraint")), "{errors:?}");
    assert_eq!(world.gateway.waiting(), 3);
    // Users that messages are under way to.
    let mut world = World::with(Net::works(), |settings| settings.targets = 3);
    for n in 0..6 {
        world.say(&format!("m{n}"), &format!("u{n}@contoso.example"), "x");
    }
    assert_eq!((world.take_xmpp().len(), world.take_sip().len()), (3, 3));
    assert_eq!(world.gateway.targets.len(), 3);
    // The peer's queue, while there is no link.
    let mut world = World::with(Net { links: Play::Silent, ..Net::works() }, |s| s.pairs.queue = 4);
    for n in 0..6 {
        world.say(&format!("m{n}"), &format!("u{n}@contoso.example"), "x");
    }
    assert_eq!((world.take_xmpp().len(), world.gateway.waiting()), (2, 4));
    world.pass_secs(10);
    assert_eq!(world.take_xmpp().len(), 4);
    world.assert_quiet();
}

#[test]
fn check_168_partners_that_are_remembered_are_bounded() {
    let mut world = World::with(Net::silent(), |settings| settings.pairs.pairs = 1);
    world.sip(&message(1, ALICE, ROMEO, "x"));
    world.sip(&message(2, ALICE, "x@montague.example", "x"));
    assert_eq!(world.statuses(), [500]);
    assert_eq!(world.seen.len(), 1, "one dial: {:?}", world.seen);
    world.pass_secs(10);
    let stream = world.dialled_stream();
    world.stream_down(stream);
    world.pass_secs(61);
    world.seen.clear();
    world.sip(&message(3, ALICE, "x@montague.example", "x"));
    assert!(matches!(world.seen.front(), Some(Seen::DialXmpp { .. })), "the place is free again");
}

#[test]
fn check_168_queues_that_empty_leave_nothing() {
    let mut world = World::new(Net { status: Some(200), ..Net::works() });
    for round in 0..20 {
        for n in 0..50 {
            let id = round * 100 + n;
            world.say(&format!("m{id}"), &format!("u{id}@contoso.example"), "x");
            world.sip(&message(
                id,
                &format!("u{id}@contoso.example"),
                &format!("r{id}@capulet.example"),
                "x",
            ));
        }
        world.seen.clear();
        world.wire.clear();
        world.observed.clear();
        world.pass_secs(40);
        world.assert_quiet();
        assert!(world.gateway.servers.is_empty() && world.gateway.clients.is_empty());
        assert!(world.gateway.deadlines.len() <= 4, "{}", world.gateway.deadlines.len());
    }
    assert_eq!(world.gateway.counts().delivered, [1000, 1000]);
}

#[test]
fn threat_160_a_burst_is_answered_whole() {
    let mut world =
        World::with(Net { status: Some(200), ..Net::works() }, |settings| settings.user_rate = 100);
    for n in 0..1000 {
        world.sip(&message(n, ALICE, ROMEO, "x"));
        world.say(&format!("m{n}"), ALICE, "x");
    }
    let sent = world.take_sip();
    let answers = sent.iter().filter(|sent| sent.status().is_some()).count();
    let accepted = sent.iter().filter(|sent| sent.status() == Some(202)).count();
    let busy = sent.iter().filter(|s| s.status() == Some(503) && s.header("Retry-After").is_some()).count();
    assert_eq!((answers, accepted, busy), (1000, 100, 900));
    let stanzas = world.take_xmpp();
    let errors = stanzas.iter().filter(|text| text.contains("type='error'")).count();
    assert_eq!((stanzas.len() - errors, errors), (100, 900));
    assert_eq!((world.gateway.counts().delivered, world.gateway.counts().failed), ([100, 100], [900, 900]));
    world.assert_quiet();
}
