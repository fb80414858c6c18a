//! The bounds of the trail, and its followers.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::addr::Jid;
use crate::policy::At;

fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

fn open(trail: &mut Trail, at: u64, name: &str, from: &Jid) -> Track {
    let to = jid("romeo@capulet.example");
    let item = Item { sender: from, target: &to, direction: Direction::SipToXmpp, kind: Kind::Message };
    trail.admitted(Now::at_millis(at), Some(Carrier::Link(LinkId(1))), name, &item, None)
}

fn names(trail: &Trail) -> Vec<String> {
    trail.newest(usize::MAX, |_| true).crossings.iter().map(|one| one.name.to_owned()).collect()
}

#[test]
fn the_oldest_goes_when_there_are_too_many() {
    let (mut trail, alice) = (Trail::default(), jid("alice@contoso.example"));
    let first = open(&mut trail, 0, "first", &alice);
    for n in 0..CROSSINGS as u64 {
        open(&mut trail, n, &format!("n{n}"), &alice);
    }
    let all = names(&trail);
    assert_eq!((all.len(), all[0].as_str()), (CROSSINGS, "n0"), "usual addresses fill the number first");
    assert!(trail.begun(first).is_none() && trail.find("first").is_none());
    // What comes late for one that is gone is nobody's.
    trail.fail(Now::at(99).mono, first, "too late", None);
    let found = trail.newest(3, |one| one.name != "n19998");
    assert_eq!(
        found.crossings.iter().map(|one| one.name).collect::<Vec<_>>(),
        ["n19996", "n19997", "n19999"]
    );
    assert_eq!(found.older, CROSSINGS - 4);
    assert!(found.crossings.iter().all(|one| one.steps.len() == 1 && one.why.is_none()));
    assert_eq!(trail.name(trail.find("n19999").unwrap()), Some("n19999"));
}

#[test]
fn all_records_together_have_no_more_than_8_mib() {
    let mut trail = Trail::default();
    let long = jid(&format!("{}@contoso.example/{}", "x".repeat(1000), "y".repeat(1000)));
    for n in 0..30_000 {
        let track = open(&mut trail, n, &format!("n{n}"), &long);
        for _ in 0..10 {
            trail.step(Now::at_millis(n + 5).mono, track, What::Answered(100));
        }
        trail.fail(Now::at_millis(n + 6).mono, track, &"ü".repeat(10_000), Some(What::ToldSip(480)));
    }
    let rings = CROSSINGS * size_of::<Head>() + STEPS * size_of::<Step>() + trail.texts.octets();
    let reasons =
        trail.reasons.iter().map(|(_, why)| why.len() + size_of::<(Track, Box<str>)>()).sum::<usize>();
    assert!(rings + reasons < 8 * 1024 * 1024, "{rings} {reasons}");
    let all = trail.newest(usize::MAX, |_| true).crossings;
    // Long addresses leave room for fewer, and those are whole.
    assert!((1000..2000).contains(&all.len()), "{}", all.len());
    assert!(all.iter().all(|one| one.from == long.as_str() && one.to == "romeo@capulet.example"));
    let last = all.last().unwrap();
    assert_eq!((last.name, last.steps.len(), last.outcome()), ("n29999", 13, Outcome::Failed));
    assert_eq!(last.why.map(str::len), Some(WHY));
}

#[test]
fn a_crossing_has_its_own_steps_with_the_time_since_it_began() {
    let (mut trail, alice) = (Trail::default(), jid("alice@contoso.example"));
    let policy =
        |scope, name: &str| Policy { scope, name: name.into(), at: At::policy(22), ..Policy::global() };
    let one = open(&mut trail, 1000, "one", &alice);
    let other = trail.open(
        Now::at_millis(1002),
        "other",
        &Item { sender: &alice, target: &alice, direction: Direction::XmppToSip, kind: Kind::Message },
        Some(&policy(Scope::Site("Redmond".into()), "Redmond")),
    );
    trail.step(Now::at_millis(1003).mono, other, What::Denied(Reason::PolicyXmpp));
    trail.step(Now::at_millis(1007).mono, one, What::Admitted);
    trail.step(Now::at_millis(9000).mono, one, What::ToldSip(202));
    trail.step(Now::at_millis(9001).mono, Track::default(), What::Failed);
    let all = trail.newest(9, |_| true).crossings;
    assert_eq!(
        all[0].steps,
        [(0, What::Came(Carrier::Link(LinkId(1)))), (7000, What::Admitted), (8_000_000, What::ToldSip(202)),]
    );
    assert_eq!((all[0].outcome(), all[1].outcome()), (Outcome::Delivered, Outcome::Denied));
    assert_eq!(all[1].steps, [(1000, What::Denied(Reason::PolicyXmpp))]);
    assert_eq!(all[1].policy, Some(("site:Redmond".to_owned(), At::policy(22))));
}

#[test]
fn a_slow_follower_is_cut_and_disturbs_nobody() {
    let (mut trail, alice) = (Trail::default(), jid("alice@contoso.example"));
    let unseen = open(&mut trail, 0, "before", &alice);
    let mut quick = trail.follow(2).unwrap();
    let mut slow = trail.follow(2).unwrap();
    assert_eq!(trail.follow(2), None, "no more than the limit");
    trail.fail(Now::at(1).mono, unseen, "no such server", None);
    let event = trail.next_event(&mut quick).unwrap().unwrap();
    assert_eq!((event.name, event.why), ("before", Some("no such server")));
    assert_eq!(event.steps, [(1_000_000, What::Failed)], "only what is new");
    assert!(trail.next_event(&mut quick).unwrap().is_none());
    for n in 0..STEPS + 1 {
        open(&mut trail, 1, &format!("n{n}"), &alice);
        assert_eq!(trail.next_event(&mut quick).unwrap().unwrap().name, format!("n{n}"));
    }
    assert!(trail.next_event(&mut slow).is_err(), "what it did not read is gone");
    trail.unfollow();
    assert!(trail.follow(2).is_some(), "there is room for another");
}

#[test]
fn of_a_stream_the_newest_word_counts_and_not_all_are_remembered() {
    let mut trail = Trail::default();
    let end = |n: u32, verified: &str| End {
        via: Carrier::Stream(StreamId(n)),
        initiating: false,
        address: None,
        local: None,
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
