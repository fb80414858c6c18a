//! What grows, and what must not.

use super::super::net::POLICY;
use super::*;
use crate::gateway::Input;
use crate::gateway::effect::Timer;

const JULIET: &str = "juliet@public.example";

fn watch_timers(world: &World) -> usize {
    world.gateway.deadlines.iter().filter(|due| matches!(due.0.what, Timer::Watch(_))).count()
}

/// A SUBSCRIBE of alice for `to`, in a dialog of its own.
fn subscribe_to(number: u32, to: &str, lines: &str) -> String {
    subscribe(1, "", lines)
        .replace(ROMEO, to)
        .replace("dialog1", &format!("dialog{number}"))
        .replace("z9hG4bKs101", &format!("z9hG4bKs{number}"))
}

#[test]
fn check_091_changes_of_presence_leave_no_timers_behind() {
    let mut world = world();
    world.sip(&subscribe(1, "", "Expires: 86400\r\n"));
    romeo_says(&mut world, "subscribed");
    for n in 0..3000 {
        for m in 0..2 {
            world.romeo(&format!(
                "<presence from='{ROMEO}/r' to='{ALICE}'><status>{n} {m}</status></presence>"
            ));
        }
        for sent in world.take_sip().iter().filter(|sent| sent.is_request()) {
            world.answer(sent, 200);
        }
        world.pass_secs(6);
        world.seen.clear();
    }
    let timers = watch_timers(&world);
    assert!(timers < 10, "{timers}");
}

#[test]
fn threat_147_added_contacts_are_bounded() {
    let mut world = World::with(Net::works(), |settings| settings.presence.per_user = 20);
    let mut changes = Vec::new();
    for n in 0..200 {
        let to = format!("nobody{n}@capulet.example");
        world.sip(&subscribe_to(n + 500, &to, "Expires: 600\r\n"));
        world.romeo(&format!("<presence from='{to}' to='{ALICE}' type='unsubscribed'/>"));
        changes.extend(kept(&mut world));
        for sent in world.take_sip().iter().filter(|sent| sent.is_request()) {
            world.answer(sent, 200);
        }
        world.pass_secs(1);
        world.seen.clear();
    }
    let left = records(&changes);
    assert!(left.len() <= 20, "{}", left.len());
}

#[test]
fn threat_170_nobody_fills_the_memory_while_the_store_is_broken() {
    let mut world = World::new(Net { durable: None, ..Net::works() });
    for _ in 0..2000 {
        romeo_says(&mut world, "subscribe");
        romeo_says(&mut world, "unsubscribe");
    }
    let changes = kept(&mut world).len();
    assert!(changes < 100, "{changes}");
}

#[test]
fn law_4_many_changes_of_one_pair_are_all_awaited() {
    let mut world = World::new(Net { durable: None, ..Net::works() });
    for _ in 0..200 {
        romeo_says(&mut world, "subscribe");
        romeo_says(&mut world, "unsubscribe");
    }
    romeo_says(&mut world, "subscribe");
    world.take_xmpp();
    let tickets: Vec<u64> = world
        .seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Persist { ticket, .. } => Some(*ticket),
            _ => None,
        })
        .collect();
    let (last, first) = tickets.split_last().unwrap();
    for ticket in first {
        world.handle(Input::Persisted { ticket: *ticket, durable: true });
    }
    assert!(world.take_sip().is_empty(), "the last one is not durable");
    world.handle(Input::Persisted { ticket: *last, durable: true });
}

/// Alice has added juliet, who watches her.
fn juliet_sees_alice(world: &mut World) -> Sent {
    world.sip(&subscribe(1, "", "Expires: 600\r\n").replace(ROMEO, JULIET));
    world.take_sip();
    world.take_xmpp();
    world.xmpp("public.example", &format!("<presence from='{JULIET}' to='{ALICE}' type='subscribe'/>"));
    let subscribe = subscribe_of(world);
    world.sip(&notify(&subscribe, 1, "active;expires=3600", OPEN));
    world.take_sip();
    assert!(world.take_xmpp()[0].contains("type='subscribed'"));
    subscribe
}

#[test]
fn f34_a_contact_that_is_taken_away_by_the_operator_sees_no_more() {
    let mut world = world();
    let subscribe = juliet_sees_alice(&mut world);
    let jid = |text| crate::addr::Jid::parse(text).unwrap();
    assert!(world.gateway.revoke_watch(world.now, &jid(ALICE), &jid(JULIET)));
    world.handle(Input::Timeout);
    let said = world.take_xmpp();
    assert!(said.iter().any(|one| one.contains(&format!("to='{JULIET}' type='unavailable'"))), "{said:?}");
    world.take_sip();
    world.sip(&notify(&subscribe, 2, "active;expires=3600", CLOSED));
    world.sip(&notify(&subscribe, 3, "active;expires=3600", OPEN));
    assert!(world.take_xmpp().iter().all(|one| !one.contains("at work")));
}

#[test]
fn what_waited_for_a_contact_is_not_forgotten_before_it_is_kept_otherwise() {
    let mut world = World::new(Net { durable: Some(true), ..Net::works() });
    world.reload(POLICY);
    world.xmpp("public.example", &format!("<presence from='{JULIET}' to='{ALICE}' type='subscribe'/>"));
    assert_eq!(records(&kept(&mut world)).len(), 1);
    world.sip(&subscribe(1, "", "Expires: 600\r\n").replace(ROMEO, JULIET));
    let changes = kept(&mut world);
    let asked = |change: &Change| match change {
        Change::Put(Record::Authorization(one)) => one.watcher.as_str() == JULIET,
        _ => false,
    };
    let forgotten = |change: &Change| matches!(change, Change::Remove(_));
    let put = changes.iter().position(asked).unwrap();
    let removed = changes.iter().position(forgotten).unwrap();
    assert!(put < removed, "{changes:?}");
}

#[test]
fn threat_151_a_stop_waits_for_the_answer_to_a_fetch() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    world.pass_secs(400);
    let answers = bob_fetches(&mut world);
    world.gateway.stop();
    assert!(answers.is_empty() && !world.gateway.is_quiet(), "the fetch is not answered");
    world.pass_secs(3);
    assert!(world.statuses().contains(&200));
    world.take_sip();
    assert!(world.gateway.is_quiet());
}

/// Bob's fetch, which waits for the answer to a probe: no answer so far.
fn bob_fetches(world: &mut World) -> Vec<u16> {
    let fetch = subscribe_to(77, ROMEO, "Expires: 0\r\n").replace("alice@", "bob@");
    world.sip(&fetch);
    world.statuses()
}
