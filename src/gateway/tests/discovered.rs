//! Domains whose server was found by DNS.

use super::net::Net;
use super::texts::message;
use super::world::World;
use crate::policy::Allowance;
use std::time::Duration;

const ROMEO: &str = "romeo@capulet.example";

/// A world in which the server of contoso.example was found, and may do this.
fn world(rate: u32, contacts: usize) -> World {
    World::with(Net::works(), |settings| {
        settings.discovered = Allowance { rate, contacts };
        settings.peers[0].discovered = true;
    })
}

#[test]
fn f98_of_21_messages_in_a_second_from_a_discovered_domain_the_last_is_told_to_wait() {
    let mut world = world(20, 1000);
    for n in 0..21 {
        world.sip(&message(n, "alice@contoso.example", ROMEO, "x"));
    }
    assert_eq!(world.take_xmpp().len(), 20);
    let answers = world.take_sip();
    let last = answers.last().unwrap();
    assert_eq!((answers.len(), last.status(), last.header("Retry-After")), (21, Some(503), Some("1")));
    // Other users of the domain wait with it, and what goes to it does not.
    world.sip(&message(30, "bob@contoso.example", ROMEO, "x"));
    assert_eq!(world.statuses(), [503]);
    world.pass(Duration::from_millis(50));
    world.sip(&message(31, "bob@contoso.example", ROMEO, "x"));
    assert_eq!(world.statuses(), [202]);
}

#[test]
fn f98_a_discovered_domain_finds_out_nothing_by_trying_addresses() {
    let mut world = world(0, 3);
    let to = |n: u32| format!("guess{n}@capulet.example");
    for n in 0..3 {
        world.sip(&message(n, "alice@contoso.example", &to(n), "x"));
    }
    assert_eq!(world.statuses(), [202, 202, 202]);
    // Whoever it is, partner or not.
    world.sip(&message(10, "bob@contoso.example", &to(3), "x"));
    world.sip(&message(11, "bob@contoso.example", "x@nobody.example", "x"));
    let answers = world.take_sip();
    let said: Vec<_> = answers.iter().map(|answer| (answer.status(), answer.header("Retry-After"))).collect();
    assert_eq!(said, [(Some(503), Some("3601")), (Some(503), Some("3601"))]);
    world.sip(&message(12, "bob@contoso.example", &to(0), "x"));
    assert_eq!(world.statuses(), [202], "whom it knows");
    world.pass_secs(3600);
    world.sip(&message(13, "bob@contoso.example", &to(3), "x"));
    assert_eq!(world.statuses(), [202], "another hour");
}

#[test]
fn f98_a_domain_that_is_named_in_a_peer_has_no_such_limits() {
    let mut world =
        World::with(Net::works(), |settings| settings.discovered = Allowance { rate: 1, contacts: 1 });
    for n in 0..50 {
        world.sip(&message(n, "alice@contoso.example", &format!("u{n}@capulet.example"), "x"));
    }
    assert!(world.statuses().iter().all(|status| *status == 202));
}
