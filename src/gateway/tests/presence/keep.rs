//! What is kept, and what comes of it.

use super::*;
use crate::addr::Jid;
use crate::gateway::{Input, Settings};
use crate::store::record::{Authorization, Consent, Contact, Watching};
use std::collections::BTreeSet;
use std::sync::Arc;

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
    assert_eq!(said.len(), 2, "nobody is asked again: {said:?}");
    assert!(said[0].contains("type='unavailable'"), "whatever else was there is not any more: {said:?}");
    assert!(said[1].contains("at work"), "{said:?}");
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
fn what_needs_no_subscribe_makes_a_restart_no_longer() {
    let mut world = World::with(Net::works(), |settings| settings.presence.subscribe_rate = 1);
    let alice = Jid::parse(ALICE).unwrap();
    let records = (0..100).flat_map(|n| {
        let contact = Jid::parse(&format!("r{n}@capulet.example")).unwrap();
        let authorization = |direction, watcher: &Jid, presentity: &Jid| {
            let (watcher, presentity, at) = (watcher.clone(), presentity.clone(), world.now.wall);
            let state = Consent::Announced;
            Authorization { direction, watcher, presentity, state, created: at, used: at }
        };
        let seen = authorization(Watching::XmppWatchesSip, &contact, &alice);
        let sees = authorization(Watching::SipWatchesXmpp, &alice, &contact);
        let added = Contact { user: alice.clone(), contact, added: world.now.wall };
        [Record::Authorization(seen), Record::Authorization(sees), Record::Contact(added)]
    });
    let records = records.collect();
    world.gateway.restore(world.now, records);
    assert_eq!(world.gateway.watch_counts(), [100, 100]);
    world.pass_secs(130);
    let asked = world.take_sip();
    let who: BTreeSet<_> = asked.iter().filter_map(|one| one.header("From")?.split(";tag=").next()).collect();
    assert!(who.len() > 70, "{}", who.len());
}

#[test]
fn a_probe_before_its_turn_takes_no_deadline_away() {
    let mut before = world();
    let mut changes = Vec::new();
    for n in 0..100 {
        before.romeo(&format!("<presence from='r{n}@capulet.example' to='{ALICE}' type='subscribe'/>"));
    }
    changes.extend(kept(&mut before));
    let mut world = World::with(Net::works(), |settings| settings.presence.subscribe_rate = 1);
    world.set_now(before.now);
    world.gateway.restore(world.now, records(&changes));
    world.pass_secs(50);
    for n in 0..100 {
        world.romeo(&format!("<presence from='r{n}@capulet.example' to='{ALICE}' type='probe'/>"));
    }
    let mut settings = Settings::clone(world.gateway.settings());
    settings.presence.subscribe_rate = 10_000;
    world.gateway.set_settings(Arc::new(settings));
    world.pass_secs(300);
    let (rows, count) = world.gateway.watches(world.now, None, 1000);
    assert_eq!(count, 100);
    assert!(rows.iter().all(|row| row.next.is_some_and(|(_, time)| !time.is_zero())), "{rows:#?}");
}

#[test]
fn deadlines_of_watches_do_not_add_up() {
    let mut world = world();
    let tag = alice_sees_romeo(&mut world);
    world.sip(&super::subscribe(2, &tag, "Expires: 86400\r\n"));
    world.take_sip().iter().filter(|sent| sent.is_request()).for_each(|sent| world.answer(sent, 200));
    let subscribe = romeo_sees_alice(&mut world);
    for n in 0..2000 {
        for show in ["away", "dnd", "xa"] {
            world.romeo(&format!(
                "<presence from='{ROMEO}/orchard' to='{ALICE}'><show>{show}</show></presence>"
            ));
        }
        world.sip(&notify(&subscribe, 10 + n, &format!("active;expires={}", 28_000 - n), OPEN));
        for _ in 0..6 {
            world.take_sip().iter().filter(|sent| sent.is_request()).for_each(|sent| world.answer(sent, 200));
            world.pass_secs(1);
        }
    }
    let (rows, _) = world.gateway.watches(world.now, None, 10);
    assert!(rows.len() == 2 && rows.iter().all(|row| row.state == "active"), "{rows:#?}");
    let many = world.gateway.deadlines.len();
    assert!(many < 1100, "{many}");
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

#[test]
fn threat_171_a_wall_clock_that_jumps_a_year_purges_nothing() {
    let mut before = world();
    romeo_says(&mut before, "subscribe");
    let subscribe = subscribe_of(&mut before);
    before.sip(&notify(&subscribe, 1, "active;expires=3600", OPEN));
    let records = records(&kept(&mut before));
    let mut after = World::with(Net::works(), |settings| settings.presence.forget_after = 30);
    after.set_now(before.now);
    after.gateway.restore(after.now, records);
    let year = 365 * 86_400_000;
    after.now.wall = crate::now::Wall::from_millis(after.now.wall.as_millis() + year);
    after.pass_secs(86_400);
    assert_eq!(after.gateway.watch_counts(), [1, 0]);
    after.pass_secs(30 * 86_400);
    assert_eq!(after.gateway.watch_counts(), [0, 0], "time that has gone by counts");
}
