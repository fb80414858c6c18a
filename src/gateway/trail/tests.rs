//! The bounds of the trail, and its followers.

use super::*;

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn open(trail: &mut Trail, at: u64, name: &str, from: &Jid) -> Track {
    let to = jid("romeo@capulet.example");
    let (direction, kind) = (Direction::SipToXmpp, Kind::Message);
    let head = Head { name, direction, kind, from, to: &to, policy: None };
    trail.open(Now::at_millis(at), head, Some(Carrier::Link(LinkId(1))))
}

#[test]
fn the_oldest_goes_when_there_are_too_many() {
    let (mut trail, alice) = (Trail::default(), jid("alice@contoso.example"));
    let first = open(&mut trail, 0, "first", &alice);
    for n in 0..CROSSINGS as u64 {
        open(&mut trail, n, &format!("n{n}"), &alice);
    }
    assert_eq!(trail.crossings().count(), CROSSINGS);
    assert!(trail.octets() <= OCTETS, "usual addresses fill the number first: {}", trail.octets());
    assert!(trail.get(first).is_none() && trail.find("first").is_none());
    // What comes late for one that is gone changes nothing.
    let before = trail.octets();
    trail.step(Now::at(9).mono, first, What::Failed);
    trail.fail(Now::at(9).mono, first, "too late", None);
    assert_eq!(trail.octets(), before);
    let names: Vec<_> = trail.crossings().take(2).map(|one| one.name.as_str().to_owned()).collect();
    assert_eq!(names, ["n0", "n1"]);
    let newest = trail.find("n19999").unwrap();
    assert_eq!(trail.get(newest).map(|one| one.name.as_str()), Some("n19999"));
}

#[test]
fn the_oldest_goes_when_they_have_too_many_octets() {
    let mut trail = Trail { limit: 100_000, ..Trail::default() };
    let long = jid(&format!("{}@contoso.example/{}", "x".repeat(1000), "y".repeat(1000)));
    for n in 0..500 {
        let track = open(&mut trail, n, &format!("n{n}"), &long);
        for _ in 0..100 {
            trail.step(Now::at_millis(n + 5).mono, track, What::Answered(100));
        }
        trail.fail(Now::at_millis(n + 6).mono, track, &"z".repeat(10_000), Some(What::ToldSip(480)));
    }
    let one = trail.crossings().next().map(Crossing::octets).unwrap();
    assert!(trail.octets() <= 100_000 + one, "{}", trail.octets());
    assert_eq!(trail.octets(), trail.crossings().map(Crossing::octets).sum::<usize>());
    let count = trail.crossings().count();
    assert!((20..50).contains(&count), "{count}");
    let last = trail.crossings().next_back().unwrap();
    assert_eq!((last.steps().count(), last.why.as_ref().map(|why| why.len())), (MANY, Some(WHY)));
    assert_eq!(last.outcome, Outcome::Failed, "the outcome is there, though there was no room for the step");
}

#[test]
fn steps_have_the_time_since_the_crossing_began() {
    let (mut trail, alice) = (Trail::default(), jid("alice@contoso.example"));
    let track = open(&mut trail, 1000, "one", &alice);
    trail.step(Now::at_millis(1007).mono, track, What::Admitted);
    trail.step(Now::at(100_000).mono, track, What::ToldSip(202));
    let steps: Vec<_> = trail.get(track).unwrap().steps().copied().collect();
    assert_eq!(
        steps,
        [
            Step { after: 0, what: What::Came(Carrier::Link(LinkId(1))) },
            Step { after: 7000, what: What::Admitted },
            Step { after: u32::MAX, what: What::ToldSip(202) },
        ]
    );
}

#[test]
fn a_slow_follower_is_cut_and_disturbs_nobody() {
    let (mut trail, alice) = (Trail::default(), jid("alice@contoso.example"));
    let unseen = open(&mut trail, 0, "before", &alice);
    let mut quick = trail.follow(2).unwrap();
    let mut slow = trail.follow(2).unwrap();
    assert_eq!(trail.follow(2), None, "no more than the limit");
    trail.step(Now::at(1).mono, unseen, What::Failed);
    let event = trail.next_event(&mut quick).unwrap().unwrap();
    assert_eq!((event.crossing.name.as_str(), event.step.what), ("before", What::Failed));
    assert!(trail.next_event(&mut quick).unwrap().is_none());
    for n in 0..70_000 {
        open(&mut trail, 1, &format!("n{n}"), &alice);
        assert_eq!(trail.next_event(&mut quick).unwrap().unwrap().crossing.name, Name::of(&format!("n{n}")));
    }
    assert!(trail.live.steps.len() <= 65_536);
    assert!(trail.next_event(&mut slow).is_err(), "what it did not read is gone");
    trail.unfollow();
    trail.unfollow();
    assert_eq!(trail.live.steps.capacity(), 0, "nothing is kept when nobody follows");
    open(&mut trail, 2, "later", &alice);
    let mut again = trail.follow(1).unwrap();
    assert!(trail.next_event(&mut again).unwrap().is_none(), "only what is new");
}

#[test]
fn of_a_stream_the_newest_word_counts_and_not_all_are_remembered() {
    let mut trail = Trail::default();
    let end = |n: u32, verified: &str| End {
        via: Carrier::Stream(StreamId(n)),
        initiating: false,
        address: None,
        verified: verified.to_owned(),
        peer: None,
    };
    for n in 0..5000 {
        trail.meet(end(n, "dialback over TLS"));
    }
    trail.meet(end(4999, "SASL EXTERNAL"));
    let verified = |n| trail.of_via(Carrier::Stream(StreamId(n))).map(|end| end.verified.as_str());
    assert_eq!(
        (verified(0), verified(4998), verified(4999)),
        (None, Some("dialback over TLS"), Some("SASL EXTERNAL"))
    );
    assert_eq!(trail.of_via(Carrier::Link(LinkId(4998))), None);
}
