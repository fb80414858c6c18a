//! Dialback keys: each question is put to the authoritative server, and each is answered once.

use super::net::Net;
use super::texts::message;
use super::world::{Seen, World};
use super::{ALICE, ROMEO};
use crate::addr::Domain;
use crate::gateway::Input;
use crate::xmpp::{Outcome, Pair, Purpose, StreamId, Verify};

fn key(stream: u32, remote: &str) -> Verify {
    let domain = |text| Domain::parse(text).unwrap();
    Verify {
        stream: StreamId(stream),
        pair: Pair { local: domain("contoso.example"), remote: domain(remote) },
        id: "d1".into(),
        key: "abc".into(),
    }
}

#[test]
fn f76_a_key_is_asked_about_on_a_stream_opened_for_it() {
    let mut world = World::new(Net::silent());
    world.handle(Input::VerifyWanted(key(77, "capulet.example")));
    let Some(Seen::DialXmpp { stream, purpose, pair }) = world.seen.pop_front() else { panic!() };
    assert_eq!((purpose, pair.remote.as_str()), (Purpose::Verify, "capulet.example"));
    assert_ne!(stream, StreamId(77), "never on the stream that asked");
    // Its end changes nothing by itself; the answer goes to who asked.
    world.stream_down(stream);
    assert!(world.seen.is_empty(), "{:?}", world.seen);
    world.handle(Input::Verified(key(77, "capulet.example").answer(Outcome::Valid)));
    assert!(
        matches!(world.seen.pop_front(), Some(Seen::Dialback(text)) if text.starts_with("StreamId(77) "))
    );
}

#[test]
fn f76_a_key_is_asked_about_on_a_stream_of_ours_that_is_up() {
    let mut world = World::new(Net::works());
    world.sip(&message(1, ALICE, ROMEO, "x"));
    let stream = world.dialled_stream();
    world.seen.clear();
    world.handle(Input::VerifyWanted(key(77, "capulet.example")));
    let asked = format!("{stream:?} ");
    assert!(matches!(world.seen.pop_front(), Some(Seen::Dialback(text)) if text.starts_with(&asked)));
}

#[test]
fn check_165_threat_057_nobody_is_dialled_for_an_unlisted_domain_and_questions_are_bounded() {
    let mut world = World::with(Net::silent(), |settings| settings.pairs.verifications = 3);
    for remote in ["unlisted.example", "contoso.example"] {
        world.handle(Input::VerifyWanted(key(7, remote)));
        assert!(matches!(world.seen.pop_front(), Some(Seen::Dialback(text)) if text.contains("Error")));
    }
    for n in 0..5 {
        world.handle(Input::VerifyWanted(key(n, "capulet.example")));
    }
    let dials = world.seen.iter().filter(|seen| matches!(seen, Seen::DialXmpp { .. })).count();
    let errors = world.seen.iter().filter(|seen| matches!(seen, Seen::Dialback(_))).count();
    assert_eq!((dials, errors), (3, 2));
    world.handle(Input::Verified(key(0, "capulet.example").answer(Outcome::Invalid)));
    world.seen.clear();
    world.handle(Input::VerifyWanted(key(9, "capulet.example")));
    assert!(matches!(world.seen.pop_front(), Some(Seen::DialXmpp { .. })), "its place is free again");
}
