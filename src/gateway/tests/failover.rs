//! SIP servers that fail: who takes over, for how long, and how late a sender may hear of it.

use super::net::{Net, Play, address, target, udp};
use super::texts::{message, request};
use super::world::{Seen, World};
use super::{ALICE, BOB, ROMEO};
use crate::gateway::effect::LinkId;
use std::net::SocketAddr;
use std::time::Duration;

/// A peer with this many servers.
fn world(servers: u8) -> World {
    World::new(Net { located: Some(Ok((1..=servers).map(target).collect())), ..Net::works() })
}

/// The servers that were connected to since somebody looked.
fn dialled(world: &mut World) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    world.seen.retain(|seen| match seen {
        Seen::DialSip { address, .. } => {
            addresses.push(*address);
            false
        }
        _ => true,
    });
    addresses
}

fn link_of(world: &World, last: u8) -> LinkId {
    let found = world.seen.iter().find_map(|seen| match seen {
        Seen::DialSip { link, address: to } if *to == address(last) => Some(*link),
        _ => None,
    });
    found.unwrap()
}

#[test]
fn check_111_a_503_sends_the_request_to_the_next_server_in_a_new_transaction() {
    let mut world = world(3);
    world.say("m1", ALICE, "hi");
    let first = world.one_sip();
    assert_eq!(dialled(&mut world), [address(1)]);
    world.answer(&first, 503);
    let second = world.one_sip();
    assert_eq!(dialled(&mut world), [address(2)]);
    assert_ne!(first.link, second.link);
    assert_ne!(first.header("Via"), second.header("Via"));
    for name in ["Call-ID", "CSeq", "From", "To"] {
        assert_eq!(first.header(name), second.header(name), "{name}");
    }
    // The first answer once more is stray.
    world.answer(&first, 200);
    world.answer(&second, 200);
    assert!(world.take_xmpp().is_empty());
    assert_eq!(world.gateway.counts().delivered, [0, 1]);
    // It said nothing about later requests: the best server has the next one.
    world.say("m2", ALICE, "hi");
    assert_eq!(world.one_sip().link, first.link);
    assert!(dialled(&mut world).is_empty());
}

#[test]
fn check_111_each_server_is_asked_once_and_then_the_503_is_told() {
    let mut world = world(2);
    world.say("m1", ALICE, "hi");
    world.say("m2", ALICE, "behind it");
    for _ in 0..2 {
        let sent = world.one_sip();
        assert_eq!(sent.body(), "hi");
        assert!(world.take_xmpp().is_empty());
        world.answer(&sent, 503);
    }
    let error = world.one_xmpp();
    assert!(error.contains("id='m1'") && error.contains("<internal-server-error"), "{error}");
    let behind = world.one_sip();
    assert_eq!(behind.body(), "behind it", "a 503 is about one message");
    world.answer(&behind, 200);
    world.assert_quiet();
}

#[test]
fn check_111_retry_after_is_honoured() {
    let mut world = world(2);
    world.say("m1", ALICE, "hi");
    let first = world.one_sip();
    world.answer_with(&first, 503, "Retry-After: 60 (maintenance);duration=10\r\n");
    let second = world.one_sip();
    world.answer(&second, 200);
    for seconds in [1, 30, 28] {
        world.pass_secs(seconds);
        world.say("m2", ALICE, "hi");
        let sent = world.one_sip();
        assert_eq!(sent.link, second.link, "{seconds}");
        world.answer(&sent, 200);
    }
    world.pass_secs(1);
    world.say("m3", ALICE, "hi");
    assert_eq!(world.one_sip().link, first.link, "its time is over");
}

#[test]
fn check_111_a_lone_server_that_wants_a_pause_gets_it() {
    let mut world = world(1);
    world.say("m1", ALICE, "hi");
    let first = world.one_sip();
    world.answer_with(&first, 503, "Retry-After: 5\r\n");
    assert!(world.one_xmpp().contains("<internal-server-error"));
    world.say("m2", ALICE, "hi");
    assert!(world.take_sip().is_empty());
    assert!(world.one_xmpp().contains("<internal-server-error"));
    world.pass_secs(5);
    world.say("m3", ALICE, "hi");
    let third = world.one_sip();
    world.answer(&third, 200);
    world.assert_quiet();
}

#[test]
fn check_158_a_server_that_refuses_connections_is_passed_over() {
    let mut world = world(3);
    world.net.dead = vec![address(1), address(2)];
    world.say("m1", ALICE, "hi");
    let sent = world.one_sip();
    assert_eq!(dialled(&mut world), [address(1), address(2), address(3)]);
    world.answer(&sent, 200);
    world.assert_quiet();
}

#[test]
fn threat_155_when_all_refuse_the_sender_hears_at_once_and_attempts_are_spaced() {
    let mut world = world(2);
    world.net.links = Play::Fail;
    world.say("m1", ALICE, "hi");
    assert!(world.one_xmpp().contains("<remote-server-timeout"));
    assert_eq!(dialled(&mut world), [address(1), address(2)]);
    // While it waits for the next attempt, messages wait, and no longer than 10 s.
    world.say("m2", ALICE, "hi");
    world.say("m3", BOB, "hi");
    assert!(world.take_xmpp().is_empty());
    let begun = world.now.mono;
    world.pass_secs(10);
    assert_eq!(world.take_xmpp().len(), 2);
    world.assert_quiet();
    let mut attempts = dialled(&mut world).len();
    for n in 0..600 {
        world.say(&format!("n{n}"), ALICE, "hi");
        world.pass(Duration::from_millis(500));
        attempts += dialled(&mut world).len();
    }
    let seconds = world.now.mono.since(begun).as_secs();
    assert!((10..80).contains(&attempts), "{attempts} attempts in {seconds} s");
    // It comes back by itself.
    world.net.links = Play::Up;
    world.net.status = Some(200);
    world.seen.clear();
    world.pass_secs(31);
    let before = world.gateway.counts().delivered[1];
    world.say("back", ALICE, "hi");
    assert_eq!(world.gateway.counts().delivered[1], before + 1);
    world.assert_quiet();
}

#[test]
fn threat_155_what_was_sent_on_a_lost_connection_is_told_and_never_sent_twice() {
    let mut world = world(1);
    for n in 0..3 {
        world.say(&format!("m{n}"), if n == 0 { ALICE } else { BOB }, &n.to_string());
    }
    let sent = world.take_sip();
    assert_eq!(sent.len(), 2);
    let link = link_of(&world, 1);
    world.seen.clear();
    world.link_down(link);
    // They may have arrived. What waited behind them goes to a new connection.
    let errors = world.take_xmpp();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(errors.iter().all(|text| text.contains("<remote-server-timeout")), "{errors:#?}");
    let again = world.one_sip();
    assert_eq!(again.body(), "2");
    assert_ne!(again.link, link);
    assert_eq!(dialled(&mut world), [address(1)]);
    world.answer(&again, 200);
    world.link_down(again.link);
    assert!(world.take_xmpp().is_empty());
    world.assert_quiet();
}

#[test]
fn threat_108_no_message_waits_longer_than_45_s_whatever_fails() {
    // The first server is silent. It has had the message for 32 s: no other gets it, its sender hears
    // so, and what comes next goes to the other server at once.
    let mut world = world(2);
    world.say("m1", ALICE, "hi");
    let silent = world.one_sip();
    world.pass_secs(32);
    assert!(world.one_xmpp().contains("id='m1' type='error'"));
    assert!(world.take_sip().is_empty());
    world.say("m2", ALICE, "hi");
    let next = world.one_sip();
    assert_ne!(next.link, silent.link);
    world.answer(&next, 200);
    world.pass_secs(30);
    world.say("m3", ALICE, "hi");
    assert_eq!(world.one_sip().link, silent.link, "its doubt is over");
}

#[test]
fn threat_108_a_message_behind_slow_ones_waits_no_longer_than_45_s_either() {
    let mut world = world(1);
    for n in 0..5 {
        world.say(&format!("m{n}"), ALICE, &n.to_string());
    }
    for n in 0..2 {
        let slow = world.one_sip();
        assert_eq!(slow.body(), n.to_string());
        world.pass_secs(14);
        world.answer(&slow, 200);
    }
    // After 28 s the third has 17 s left, and no more than that.
    let third = world.one_sip();
    assert_eq!(third.body(), "2");
    world.pass(Duration::from_millis(1_999));
    world.answer(&third, 200);
    let fourth = world.one_sip();
    world.pass_secs(15);
    assert!(world.take_xmpp().is_empty());
    world.pass(Duration::from_millis(1));
    let errors = world.take_xmpp();
    assert_eq!(errors.len(), 2, "the silent one, and the one behind it: {errors:?}");
    assert!(errors.iter().all(|e| e.contains("<remote-server-timeout")), "{errors:?}");
    world.answer(&fourth, 200);
    world.assert_nothing_sent();
    // What is behind an answer of 31 s is not sent any more.
    for n in 0..3 {
        world.say(&format!("n{n}"), BOB, &n.to_string());
    }
    let first = world.one_sip();
    world.pass_secs(31);
    world.answer(&first, 200);
    assert_eq!(world.take_xmpp().len(), 2);
    assert!(world.take_sip().is_empty());
    world.assert_quiet();
}

#[test]
fn a_silent_server_on_udp_is_passed_over() {
    let mut world = world(1);
    world.net.located = Some(Ok(vec![udp(1), udp(2)]));
    world.say("m1", ALICE, "hi");
    world.pass_secs(32);
    let tries = world.take_sip();
    assert_eq!(tries.len(), 11, "Timer E: {}", tries.len());
    assert!(tries.iter().all(|sent| sent.to == Some(address(1))));
    assert_eq!(world.take_xmpp().len(), 1);
    world.say("m2", ALICE, "hi");
    assert_eq!(world.one_sip().to, Some(address(2)));
}

#[test]
fn a_server_that_dns_no_longer_names_is_not_dialled_again() {
    let mut world = world(2);
    world.say("m1", ALICE, "hi");
    let sent = world.one_sip();
    world.answer(&sent, 200);
    world.net.located = Some(Ok(vec![target(9)]));
    world.pass_secs(61);
    let link = link_of(&world, 1);
    world.link_down(link);
    world.seen.clear();
    world.say("m2", ALICE, "hi");
    assert_eq!(dialled(&mut world), [address(9)]);
}

#[test]
fn three_thousand_waiting_messages_fail_without_deep_recursion() {
    let mut world = World::with(Net { links: Play::Silent, ..Net::works() }, |settings| {
        settings.pairs.queue = 1;
        settings.target_queue = 3_000;
    });
    world.say("block", BOB, "hi");
    for n in 0..3_000 {
        world.say(&format!("m{n}"), ALICE, "hi");
    }
    // The peer's queue was full from the first on: each failed at once.
    assert_eq!(world.take_xmpp().len(), 3_000);
    let link = link_of(&world, 1);
    world.link_down(link);
    world.pass_secs(60);
    world.assert_quiet();
}

#[test]
fn a_peer_that_is_heard_is_dialled_within_a_second() {
    let mut world = World::new(Net { links: Play::Fail, ..Net::works() });
    for n in 0..9 {
        world.say(&format!("m{n}"), ALICE, "lost");
        world.pass_secs(31);
    }
    assert!(world.take_xmpp().len() >= 9, "each comes back");
    world.say("m9", ALICE, "lost too");
    world.net.links = Play::Up;
    world.pass_secs(1);
    world.take_xmpp();
    world.say("m10", ALICE, "waits");
    dialled(&mut world);
    world.pass_secs(2);
    assert!(dialled(&mut world).is_empty(), "the pause is longer");
    world.sip(&request("OPTIONS", 1, ALICE, ROMEO, "", ""));
    world.take_sip();
    world.pass_secs(1);
    assert_eq!(world.one_sip().body(), "waits");
}

#[test]
fn a_partner_that_is_heard_is_dialled_within_a_second() {
    let mut world = World::new(Net { streams: Play::Fail, ..Net::works() });
    let dials = |world: &World| world.seen.iter().any(|seen| matches!(seen, Seen::DialXmpp { .. }));
    let mut n = 0;
    let mut say = |world: &mut World| {
        n += 1;
        world.sip(&message(n, ALICE, ROMEO, "lost"));
        world.pass(Duration::from_millis(200));
    };
    // As long as the pauses grow; each begins with an attempt.
    (0..300).for_each(|_| say(&mut world));
    world.seen.clear();
    while !dials(&world) {
        say(&mut world);
    }
    world.net.streams = Play::Up;
    world.seen.clear();
    world.sip(&message(9999, ALICE, ROMEO, "waits"));
    world.pass_secs(5);
    assert!(!dials(&world), "the pause is longer");
    world.romeo("<message from='romeo@capulet.example/a' to='alice@contoso.example' type='headline'/>");
    world.pass_secs(1);
    assert!(world.take_xmpp().iter().any(|stanza| stanza.contains("waits")));
}
