//! What busy or hostile peers can make the gateway keep, in octets and in number.

use super::net::{Net, udp};
use super::texts::message;
use super::world::World;
use super::{ALICE, ROMEO};
use crate::gateway::effect::PeerId;

#[test]
fn check_168_messages_to_servers_that_never_answer_are_bounded_in_octets() {
    const ROOM: usize = 100_000;
    let mut world = World::with(Net::works(), |settings| settings.pairs.octets = ROOM);
    let body = "x".repeat(4000);
    for n in 0..40 {
        // To many users, and behind one.
        let to = if n % 2 == 0 { ALICE } else { &format!("u{n}@contoso.example") };
        world.say(&format!("m{n}"), to, &body);
    }
    let held = world.gateway.held;
    assert!((ROOM / 2..=ROOM).contains(&held), "{held}");
    let refused = world.take_xmpp();
    assert!(refused.len() > 20 && refused.len() < 40, "{}", refused.len());
    assert!(refused.iter().all(|e| e.contains("<error type='wait'><resource-constraint")), "{refused:?}");
    world.pass_secs(60);
    assert_eq!((world.take_xmpp().len() + refused.len(), world.gateway.held), (40, 0), "each hears once");
    world.assert_quiet();
    world.say("after", ALICE, &body);
    assert!(world.gateway.held > 4000, "there is room again");
}

#[test]
fn check_168_stanzas_for_silent_partners_are_bounded_in_octets() {
    for up in [false, true] {
        let mut world = World::with(Net::silent(), |settings| settings.pairs.octets = 50_000);
        let body = "x".repeat(4000);
        for n in 0..20 {
            let to = if n % 2 == 0 { ROMEO } else { "x@montague.example" };
            world.sip(&message(n, ALICE, to, &body));
        }
        let held = world.gateway.pairs.held();
        assert!((40_000..=50_000).contains(&held), "{held}");
        let stream = world.dialled_stream();
        let refused = world.take_sip();
        assert!(refused.len() >= 7 && refused.iter().all(|answer| answer.status() == Some(500)));
        assert!(refused.iter().all(|answer| answer.header("Retry-After").is_some()));
        if up {
            world.stream_up(stream);
            assert!(world.gateway.pairs.held() < held, "what goes out is held no more");
        }
        world.pass_secs(60);
        assert_eq!(world.gateway.pairs.held(), 0);
    }
}

#[test]
fn timers_of_a_partner_that_is_down_do_not_add_up() {
    let mut world = World::new(Net::silent());
    let mut most = 0;
    for n in 0..1200 {
        world.sip(&message(n, ALICE, ROMEO, "x"));
        world.pass_secs(1);
        if n % 20 == 19 && !world.gateway.is_quiet() {
            // Each attempt fails in the end.
            let dialled = world.gateway.pairs.dialling();
            dialled.into_iter().for_each(|stream| world.stream_down(stream));
        }
        most = most.max(world.gateway.deadlines.len());
        world.seen.clear();
        world.observed.clear();
    }
    assert!(most <= 8, "{most}");
}

#[test]
fn a_final_answer_on_udp_is_repeated_after_its_headers_were_dropped() {
    let mut world = World::new(Net::works());
    let from = "192.0.2.200:5060".parse().unwrap();
    let request = message(1, ALICE, ROMEO, "x").replace("SIP/2.0/TLS", "SIP/2.0/UDP");
    world.datagram(from, &request);
    let first = world.one_sip();
    assert!(first.status().is_some());
    world.datagram(from, &request);
    assert_eq!(world.one_sip().text, first.text);
}

#[test]
fn a_response_for_somebody_else_is_dropped() {
    let mut world = World::new(Net::works());
    world.say("m1", ALICE, "x");
    let sent = world.one_sip();
    world.answer_with(&sent, 404, "Via: SIP/2.0/TLS other.example;branch=z9hG4bKo\r\n");
    world.assert_nothing_sent();
    world.answer(&sent, 404);
    assert!(world.one_xmpp().contains("<item-not-found"));
    world.assert_quiet();
}

#[test]
fn a_message_that_grows_by_credentials_is_measured_again_on_udp() {
    use crate::sip::digest::Credentials;
    let net = Net { located: Some(Ok(vec![udp(1)])), ..Net::works() };
    let mut world = World::with(net, |settings| {
        let peer = settings.peers.get_mut(usize::from(PeerId(0).0)).unwrap();
        peer.credentials =
            Some(Credentials { realm: "edge".into(), username: "gw".into(), password: "secret".into() });
    });
    world.say("m0", ALICE, "x");
    let sent = world.one_sip();
    let body = "x".repeat(1300 - sent.text.len() - 10);
    world.answer(&sent, 200);
    world.say("m1", ALICE, &body);
    let sent = world.one_sip();
    assert!((1280..=1300).contains(&sent.text.len()), "{}", sent.text.len());
    let challenge = "WWW-Authenticate: Digest realm=\"edge\", nonce=\"n\", algorithm=MD5, qop=\"auth\"\r\n";
    world.answer_with(&sent, 401, challenge);
    assert!(world.take_sip().is_empty(), "it would be longer than 1300 octets");
    assert!(world.one_xmpp().contains("type='error'"));
    world.assert_quiet();
}
