//! What must not get lost: an answer, a right taken back, a resource that left.

use super::*;
use crate::gateway::{Input, Settings};
use crate::store::record::Change;

const TWO: &str = "<?xml version='1.0' encoding='UTF-8'?>\
    <presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:alice@contoso.example'>\
    <tuple id='desk'><status><basic>open</basic></status></tuple>\
    <tuple id='mobile'><status><basic>open</basic></status></tuple></presence>";

fn without_desk() -> String {
    TWO.replace("<tuple id='desk'><status><basic>open</basic></status></tuple>", "")
}

/// Romeo has said as much as a second allows.
fn romeo_has_used_up_his_budget(world: &mut World) {
    let mut settings = Settings::clone(world.gateway.settings());
    settings.user_rate = 1;
    world.gateway.set_settings(settings.into());
    world.romeo(&format!("<presence from='{ROMEO}' to='bob@contoso.example'/>"));
    world.say("m", "bob@contoso.example", "x");
    assert!(world.one_xmpp().contains("<resource-constraint"));
}

#[test]
fn check_083_a_probe_of_a_watch_is_answered_however_much_its_sender_says() {
    let mut world = world();
    romeo_sees_alice(&mut world);
    romeo_has_used_up_his_budget(&mut world);
    romeo_says(&mut world, "probe");
    assert!(world.one_xmpp().contains("<status>at work</status>"));
}

#[test]
fn threat_147_a_probe_of_nobodys_watch_costs_its_budget() {
    let mut world = world();
    romeo_has_used_up_his_budget(&mut world);
    romeo_says(&mut world, "probe");
    world.assert_nothing_sent();
    assert_eq!(world.gateway.watch_counts(), [0, 0]);
}

#[test]
fn the_answer_to_a_subscribe_of_ours_is_heard_however_much_its_sender_says() {
    let mut world = world();
    world.sip(&subscribe(1, "", "Expires: 3600\r\n"));
    world.take_xmpp();
    world.take_sip();
    romeo_has_used_up_his_budget(&mut world);
    romeo_says(&mut world, "subscribed");
    assert!(world.one_sip().text.contains("Subscription-State: active"));
}

#[test]
fn a_right_is_taken_back_however_much_its_holder_says() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    romeo_has_used_up_his_budget(&mut world);
    romeo_says(&mut world, "unsubscribed");
    let last = world.one_sip();
    assert!(last.text.contains("Subscription-State: terminated;reason=rejected"), "{}", last.text);
}

#[test]
fn a_watch_is_ended_however_much_its_watcher_says() {
    let mut world = world();
    romeo_sees_alice(&mut world);
    romeo_has_used_up_his_budget(&mut world);
    romeo_says(&mut world, "unsubscribe");
    assert_eq!(subscribe_of(&mut world).header("Expires"), Some("0"));
}

/// Romeo sees alice at her desk and with her mobile.
fn romeo_sees_two(world: &mut World) -> Sent {
    let subscribe = romeo_sees_alice(world);
    world.sip(&notify(&subscribe, 2, "active;expires=28800", TWO));
    world.take_sip();
    assert_eq!(world.take_xmpp().len(), 2);
    subscribe
}

/// What alice's server says in the next NOTIFY does not arrive.
fn one_is_lost(world: &mut World, notify: &str) {
    world.net.written = false;
    world.sip(notify);
    let newest = world.seen.iter().rev().find_map(|seen| match seen {
        Seen::Xmpp { stream, .. } => Some(*stream),
        _ => None,
    });
    let stream = newest.unwrap();
    world.stream_down(stream);
    world.take_xmpp();
    world.net.written = true;
}

/// Does romeo hear that alice's desk is not there, or that none of her resources is; and of `last` then?
#[track_caller]
fn assert_desk_is_gone(said: &[String], last: &str) {
    let desk = format!("from='{ALICE}/desk'");
    let of_it = |one: &&String| one.contains(&desk) || one.contains(&format!("from='{ALICE}' "));
    let newest = said.iter().filter(of_it).rfind(|one| !one.contains("type='subscribed'"));
    assert!(newest.is_some_and(|one| one.contains("type='unavailable'")), "{said:#?}");
    assert!(said.last().is_some_and(|one| one.contains(&format!("from='{ALICE}/{last}'"))), "{said:#?}");
}

#[test]
fn check_100_that_a_resource_left_is_told_again_when_it_did_not_arrive() {
    let mut world = world();
    let subscribe = romeo_sees_two(&mut world);
    one_is_lost(&mut world, &notify(&subscribe, 3, "active;expires=28800", &without_desk()));
    world.pass_secs(200);
    assert_desk_is_gone(&world.take_xmpp(), "mobile");
}

#[test]
fn check_100_a_resource_that_left_while_something_was_lost_is_no_ghost() {
    let mut world = world();
    let subscribe = romeo_sees_two(&mut world);
    let other = TWO.replacen("</status>", "</status><note>x</note>", 1);
    one_is_lost(&mut world, &notify(&subscribe, 3, "active;expires=28800", &other));
    world.sip(&notify(&subscribe, 4, "active;expires=28800", &without_desk()));
    world.pass_secs(200);
    assert_desk_is_gone(&world.take_xmpp(), "mobile");
}

#[test]
fn check_100_a_resource_that_left_while_it_was_not_to_be_told_is_no_ghost() {
    let mut world = world();
    let subscribe = romeo_sees_two(&mut world);
    world.sip(&notify(&subscribe, 3, "pending;expires=28800", &without_desk()));
    world.take_sip();
    assert!(world.take_xmpp().is_empty());
    world.sip(&notify(&subscribe, 4, "active;expires=28800", &without_desk()));
    assert_desk_is_gone(&world.take_xmpp(), "mobile");
}

#[test]
fn check_099_a_resource_that_left_while_we_were_down_is_no_ghost() {
    let mut before = world();
    romeo_sees_two(&mut before);
    let records = records(&kept(&mut before));
    let mut world = world();
    world.set_now(before.now);
    world.gateway.restore(world.now, records);
    let again = subscribe_soon(&mut world);
    world.sip(&notify(&again, 1, "active;expires=28800", &without_desk()));
    assert_desk_is_gone(&world.take_xmpp(), "mobile");
}

#[test]
fn check_100_who_asks_anew_before_the_end_is_confirmed_sees_no_ghost() {
    let mut world = world();
    romeo_sees_alice(&mut world);
    world.pass_secs(40);
    romeo_says(&mut world, "unsubscribe");
    subscribe_of(&mut world);
    romeo_says(&mut world, "subscribe");
    let again = subscribe_of(&mut world);
    world.answer_with(&again, 200, "Expires: 28800\r\nContact: <sip:pa.contoso.example;transport=tls>\r\n");
    world.sip(&notify(&again, 1, "pending;expires=28800", ""));
    let said = world.take_xmpp();
    assert!(said.iter().any(|one| one.contains("type='unavailable'")), "{said:#?}");
    assert!(said.iter().all(|one| !one.contains("type='unsubscribed'")), "{said:#?}");
}

#[test]
fn the_end_of_what_was_left_refuses_nothing_that_was_asked_since() {
    for status in [403, 404, 489] {
        let mut world = world();
        romeo_sees_alice(&mut world);
        world.seen.clear();
        world.net.durable = None;
        romeo_says(&mut world, "unsubscribe");
        romeo_says(&mut world, "subscribe");
        let tickets: Vec<u64> = world
            .seen
            .iter()
            .filter_map(|seen| match seen {
                Seen::Persist { ticket, .. } => Some(*ticket),
                _ => None,
            })
            .collect();
        for ticket in tickets {
            world.handle(Input::Persisted { ticket, durable: true });
        }
        let end = subscribe_of(&mut world);
        assert_eq!(end.header("Expires"), Some("0"));
        world.take_xmpp();
        world.answer(&end, status);
        assert!(world.take_xmpp().is_empty(), "{status}");
        assert_eq!(world.gateway.watches(world.now, None, 9).0[0].state, "pending", "{status}");
    }
}

#[test]
fn f34_a_contact_whose_presence_is_refreshed_stays_added() {
    let mut world = world();
    let tag = alice_sees_romeo(&mut world);
    world.net.status = Some(200);
    world.sip(&subscribe(2, &tag, "Expires: 86400\r\n"));
    kept(&mut world);
    for number in 3..6 {
        world.pass_secs(80_000);
        world.sip(&subscribe(number, &tag, "Expires: 86400\r\n"));
    }
    let added = |change: &Change| matches!(change, Change::Put(Record::Contact(_)));
    assert!(kept(&mut world).iter().any(added), "else the age purge takes a contact that is looked at");
}
