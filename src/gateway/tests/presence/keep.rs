//! What is kept, and what comes of it.

use super::*;
use crate::gateway::Input;

fn tickets(world: &World) -> Vec<u64> {
    let tickets = world.seen.iter().filter_map(|seen| match seen {
        Seen::Persist { ticket, .. } => Some(*ticket),
        _ => None,
    });
    tickets.collect()
}

fn slow() -> World {
    World::new(Net { durable: None, ..Net::works() })
}

#[test]
fn check_099_nothing_is_said_before_it_is_durable() {
    let mut world = slow();
    romeo_says(&mut world, "subscribe");
    world.assert_nothing_sent();
    let asked = tickets(&world);
    world.handle(Input::Persisted { ticket: asked[0], durable: true });
    let subscribe = subscribe_of(&mut world);
    kept(&mut world);
    world.sip(&notify(&subscribe, 1, "active;expires=3600", OPEN));
    assert_eq!(world.statuses(), [200]);
    assert!(world.take_xmpp().is_empty(), "not durable");
    let granted = tickets(&world);
    world.handle(Input::Persisted { ticket: granted[0], durable: true });
    let said = world.take_xmpp();
    assert!(said.len() == 2 && said[0].contains("subscribed") && said[1].contains("at work"), "{said:?}");
}

#[test]
fn what_fails_is_handed_over_again_in_order() {
    let mut world = slow();
    romeo_says(&mut world, "subscribe");
    let first = tickets(&world);
    world.handle(Input::Persisted { ticket: first[0], durable: false });
    kept(&mut world);
    romeo_says(&mut world, "unsubscribe");
    assert!(tickets(&world).is_empty(), "it waits for the first");
    world.pass_secs(2);
    let again = tickets(&world);
    assert_eq!((first.len(), again.len()), (1, 2));
    assert!(records(&kept(&mut world)).is_empty(), "put, then removed");
    world.handle(Input::Persisted { ticket: first[0], durable: true });
    world.assert_nothing_sent();
    for ticket in again {
        world.handle(Input::Persisted { ticket, durable: true });
    }
    assert!(world.take_xmpp().iter().any(|one| one.contains("unsubscribed")));
}

#[test]
fn check_099_watches_come_back_after_a_restart() {
    let mut before = world();
    romeo_sees_alice(&mut before);
    alice_sees_romeo(&mut before);
    let records = records(&kept(&mut before));
    assert_eq!(records.len(), 3, "{records:?}");

    let mut world = World::seeded(Net::works(), 9, |_| {});
    world.set_now(before.now);
    world.gateway.restore(world.now, records);
    assert_eq!(world.gateway.watch_counts(), [1, 1]);
    world.assert_nothing_sent();
    let subscribe = subscribe_soon(&mut world);
    world.sip(&notify(&subscribe, 1, "active;expires=3600", OPEN));
    let said = world.take_xmpp();
    assert!(said.len() == 1 && said[0].contains("at work"), "nobody is asked again: {said:?}");
    world.take_sip();
    world.sip(&super::subscribe(1, "", "Expires: 600\r\n"));
    let sent = world.take_sip();
    assert!(sent[1].text.contains("Subscription-State: active"), "{}", sent[1].text);
    assert!(world.one_xmpp().contains("type='probe'"));
}

#[test]
fn a_subscribed_that_was_not_told_is_told_after_a_restart() {
    let mut before = slow();
    romeo_says(&mut before, "subscribe");
    let asked = tickets(&before);
    before.handle(Input::Persisted { ticket: asked[0], durable: true });
    let subscribe = subscribe_of(&mut before);
    let mut changes = kept(&mut before);
    before.sip(&notify(&subscribe, 1, "active;expires=3600", OPEN));
    changes.extend(kept(&mut before));
    // The record was granted, and then the power went.
    let mut world = World::seeded(Net::works(), 9, |_| {});
    world.set_now(before.now);
    world.gateway.restore(world.now, records(&changes));
    let subscribe = subscribe_soon(&mut world);
    world.sip(&notify(&subscribe, 1, "active;expires=3600", OPEN));
    let said = world.take_xmpp();
    assert!(said.len() == 2 && said[0].contains("type='subscribed'"), "{said:?}");
}

#[test]
fn a_restart_makes_no_storm() {
    let mut before = world();
    let mut changes = Vec::new();
    for n in 0..500 {
        before.romeo(&format!("<presence from='r{n}@capulet.example' to='{ALICE}' type='subscribe'/>"));
        changes.extend(kept(&mut before));
    }
    let mut world = World::with(Net::works(), |settings| settings.presence.subscribe_rate = 10);
    world.set_now(before.now);
    world.gateway.restore(world.now, records(&changes));
    let mut sent = 0;
    for _ in 0..60 {
        world.pass_secs(1);
        let now = world.take_sip().iter().filter(|one| one.text.contains("CSeq: 1 SUBSCRIBE")).count();
        assert!(now <= 11, "{now} in a second");
        sent += now;
        world.seen.clear();
    }
    assert!(sent > 400, "{sent}");
}

#[test]
fn the_age_purge_takes_what_nobody_uses() {
    let mut world = World::with(Net::works(), |settings| settings.presence.forget_after = 30);
    romeo_says(&mut world, "subscribe");
    let subscribe = subscribe_of(&mut world);
    world.sip(&notify(&subscribe, 1, "active;expires=3600", OPEN));
    let records_before = records(&kept(&mut world));
    let mut after = World::with(Net::works(), |settings| settings.presence.forget_after = 30);
    after.set_now(world.now);
    after.gateway.restore(after.now, records_before);
    after.pass_secs(29 * 86_400);
    assert_eq!(after.gateway.watch_counts(), [1, 0]);
    after.pass_secs(2 * 86_400);
    assert_eq!(after.gateway.watch_counts(), [0, 0]);
    assert!(kept(&mut after).iter().any(|change| matches!(change, Change::Remove(_))));
}
