//! What is counted, and under which labels.

use super::net::{Net, POLICY, Play};
use super::presence::{romeo_says, romeo_sees_alice};
use super::texts::message;
use super::world::World;
use super::{ALICE, BOB, ROMEO};
use crate::gateway::meter::{BOUNDS, Fate, Tally, UNLISTED};

/// The messages of a partner or peer in the report: delivered, failed, denied, limited; SIP to XMPP, and back.
#[track_caller]
fn tally(world: &World, partner: &str) -> Tally {
    let report = world.gateway.report();
    report.partners.iter().find(|(name, _)| name == partner).map(|(_, tally)| *tally).unwrap_or_default()
}

#[test]
fn a_message_counts_for_its_partner_each_way_by_what_became_of_it() {
    let mut world = World::new(Net::works());
    world.sip(&message(1, ALICE, ROMEO, "x"));
    assert_eq!((world.take_xmpp().len(), world.statuses()), (1, vec![202]));
    world.sip(&message(2, "denied@contoso.example", ROMEO, "x"));
    // An additional domain is its partner's.
    world.sip(&message(3, ALICE, "x@verona.capulet.example", "x"));
    world.sip(&message(4, ALICE, ROMEO, "x").replace("text/plain", "image/png"));
    assert_eq!(world.statuses(), [403, 202, 415]);
    assert_eq!(tally(&world, "capulet.example"), [[2, 1, 1, 0], [0; 4]]);
    world.say("m1", ALICE, "x");
    let sent = world.one_sip();
    world.answer(&sent, 200);
    world.say("m2", ALICE, "x");
    let sent = world.one_sip();
    world.answer(&sent, 404);
    world.say("m3", "denied@contoso.example", "x");
    assert_eq!(tally(&world, "capulet.example")[1], [1, 1, 1, 0]);
    assert_eq!(tally(&world, UNLISTED), Tally::default());
    let report = world.gateway.report();
    assert_eq!(report.allowed, 5);
    let denied = |reason| report.denied.iter().find(|(known, _)| *known == reason).map(|(_, count)| *count);
    assert_eq!((denied("policy-federation"), denied("unlisted")), (Some(2), Some(0)));
    let requests: Vec<_> = report
        .requests
        .iter()
        .map(|(side, method, code, count)| format!("{side} {method} {code} {count}"))
        .collect();
    assert_eq!(
        requests,
        [
            "in MESSAGE 202 2",
            "in MESSAGE 403 1",
            "in MESSAGE 415 1",
            "out MESSAGE 200 1",
            "out MESSAGE 404 1"
        ]
    );
}

#[test]
fn domains_that_are_not_listed_make_one_row_together() {
    let mut world = World::new(Net::works());
    for n in 0..50 {
        world.sip(&message(n, ALICE, &format!("x@d{n}.example"), "x"));
    }
    assert_eq!(world.statuses(), [403; 50]);
    let report = world.gateway.report();
    assert_eq!(report.partners, [(UNLISTED.to_owned(), [[0, 0, 50, 0], [0; 4]])]);
    assert_eq!(report.requests, [("in", "MESSAGE", 403, 50)]);
}

#[test]
fn what_is_over_a_rate_is_counted_as_limited() {
    let mut world = World::with(Net::works(), |settings| settings.user_rate = 1);
    for n in 0..20 {
        world.sip(&message(n, ALICE, ROMEO, "x"));
        world.say(&format!("m{n}"), BOB, "x");
    }
    let [out, back] = tally(&world, "capulet.example");
    assert!(out[Fate::Limited as usize] > 0 && back[Fate::Limited as usize] > 0, "{out:?} {back:?}");
    assert_eq!(out.iter().sum::<u64>(), 20);
}

#[test]
fn the_time_of_a_crossing_is_from_its_coming_in_to_its_delivery() {
    let mut world = World::new(Net::works());
    world.say("m1", ALICE, "x");
    let sent = world.one_sip();
    world.pass_secs(3);
    world.answer(&sent, 200);
    let [out, back] = world.gateway.report().times;
    assert_eq!((out.buckets.iter().sum::<u64>(), back.sum), (0, 3_000_000));
    let bucket = BOUNDS.partition_point(|bound| *bound < 3_000_000);
    assert_eq!(back.buckets[bucket], 1);
    // What was not delivered took no time.
    world.say("m2", ALICE, "x");
    let sent = world.one_sip();
    world.answer(&sent, 404);
    assert_eq!(world.gateway.report().times[1].buckets.iter().sum::<u64>(), 1);
}

#[test]
fn partners_keep_their_numbers_when_the_table_is_loaded_anew() {
    let mut world = World::new(Net::works());
    world.sip(&message(1, ALICE, ROMEO, "x"));
    world.sip(&message(2, ALICE, "x@nowhere.example", "x"));
    let before = tally(&world, "capulet.example");
    assert_eq!(before[0][0], 1);
    // Others stand before and behind it now.
    let first = "[[partner]]\ndomain = \"aaa.example\"\ntype = \"federated\"\n";
    world.reload(&format!("{POLICY}{first}"));
    assert_eq!((tally(&world, "capulet.example"), tally(&world, UNLISTED)[0][2]), (before, 1));
    world.sip(&message(3, ALICE, "x@aaa.example", "x"));
    assert_eq!(tally(&world, "capulet.example"), before);
    let without = POLICY.replace("\"capulet.example\"", "\"other.example\"");
    world.reload(&without);
    assert_eq!(tally(&world, "capulet.example"), Tally::default(), "who is no partner has no series");
}

#[test]
fn f102_a_peer_that_is_marked_has_counters_of_its_own() {
    let mut world = World::new(Net::works());
    world.sip(&message(1, ALICE, ROMEO, "x"));
    assert!(world.gateway.report().peers.is_empty());
    let mut world = World::with(Net::works(), |settings| settings.peers[0].monitor = true);
    world.sip(&message(1, ALICE, ROMEO, "x"));
    world.say("m1", ALICE, "x");
    let sent = world.take_sip().pop().unwrap();
    world.answer(&sent, 200);
    assert_eq!(world.gateway.report().peers, [("edge".to_owned(), [[1, 0, 0, 0], [1, 0, 0, 0]])]);
}

#[test]
fn what_waits_is_counted_by_the_domain_that_it_is_for() {
    let mut world = World::new(Net::silent());
    world.sip(&message(1, ALICE, ROMEO, "x"));
    world.sip(&message(2, ALICE, ROMEO, "x"));
    let queues = world.gateway.report().queues;
    let shown: Vec<_> = queues.iter().map(|(domain, count)| format!("{domain} {count}")).collect();
    assert_eq!(shown, ["capulet.example 2", "contoso.example 0", "tailspin.example 0"]);
    let mut world = World::new(Net { links: Play::Silent, ..Net::works() });
    for n in 0..3 {
        world.say(&format!("m{n}"), ALICE, "x");
    }
    assert_eq!(world.gateway.report().queues.get("contoso.example"), Some(&3));
    assert_eq!(world.gateway.waiting(), 3);
}

#[test]
fn watches_are_counted_by_state_as_they_come_and_go() {
    let mut world = World::new(Net::works());
    let count = |world: &World, state: &str| {
        let report = world.gateway.report();
        let rows = report.watches.iter().filter(|(_, known, _)| *known == state);
        rows.map(|(.., count)| *count).sum::<usize>()
    };
    assert_eq!(world.gateway.report().watches, []);
    romeo_sees_alice(&mut world);
    assert_eq!((count(&world, "active"), count(&world, "pending")), (1, 0));
    romeo_says(&mut world, "unsubscribe");
    for _ in 0..4 {
        for sent in world.take_sip() {
            world.answer(&sent, 200);
        }
        world.pass_secs(40);
    }
    assert_eq!(world.gateway.watch_counts(), [0, 0]);
    assert_eq!(world.gateway.report().watches.iter().map(|(.., count)| count).sum::<usize>(), 0);
}
