//! With a dialog, and when it ends.

use super::*;

#[test]
fn check_078_a_dialog_is_refreshed_before_it_ends_while_somebody_is_interested() {
    let mut world = World::active();
    let mut spread = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let wait = world.wait().unwrap();
        assert!((2880..=3240).contains(&wait), "{wait}");
        spread.insert(wait);
        assert_eq!(world.timeout(), "re-SUBSCRIBE 3600");
        assert_eq!(world.answer_with(Answer { status: 200, expires: Some(3600), ..Answer::default() }), "");
        assert_eq!(world.notify("active;expires=3600", false), "200");
        world.on(Input::Interest);
    }
    assert!(spread.len() > 10, "with jitter: {spread:?}");
    world.on(Input::Disinterest);
    assert_eq!(world.timeout(), "");
    assert_eq!(world.timeout(), "unavailable");
    assert_eq!((world.state(), world.machine.deadline()), (State::Dormant, None));
}

#[test]
fn interest_fades_without_signs_of_life() {
    let mut world = World::active();
    world.settings.interest = Duration::from_secs(10_000);
    world.on(Input::Interest);
    let mut refreshes = 0;
    while world.state() == State::Active {
        if world.timeout() == "re-SUBSCRIBE 3600" {
            refreshes += 1;
            world.answer(200);
            world.notify("active;expires=3600", false);
        }
    }
    assert_eq!(refreshes, 3);
}

#[test]
fn a_sign_of_life_after_the_time_to_refresh_still_helps() {
    let mut world = World::active();
    world.on(Input::Disinterest);
    world.timeout();
    assert_eq!(world.on(Input::Interest), "");
    assert!(world.wait().unwrap() < 5);
    assert_eq!(world.timeout(), "re-SUBSCRIBE 3600");
}

#[test]
fn check_088_a_notify_without_a_document_keeps_the_former() {
    let mut world = World::active();
    assert_eq!(world.notify("active", false), "200");
    assert_eq!(world.notify("active", true), "200, deliver");
    assert_eq!(world.on(Input::Probe), "replay");
}

#[test]
fn check_101_subscribe_while_authorized_is_answered_at_once() {
    let mut world = World::active();
    assert_eq!(world.on(Input::Subscribe), "subscribed, replay");
    assert_eq!(world.on(Input::Subscribe), "subscribed, replay");
    let mut world = World::dormant();
    assert_eq!(world.on(Input::Subscribe), "subscribed, SUBSCRIBE 3600");
    assert_eq!(world.state(), State::Active);
    let mut world = World::retry();
    world.sleep(40);
    assert_eq!(world.on(Input::Subscribe), "subscribed, SUBSCRIBE 3600");
}

#[test]
fn check_083_a_probe_is_answered_from_what_is_known_and_old_state_is_asked_for() {
    let mut world = World::active();
    assert_eq!(world.on(Input::Probe), "replay");
    world.sleep(301);
    assert_eq!(world.on(Input::Probe), "replay, re-SUBSCRIBE 3600");
    assert_eq!(world.on(Input::Probe), "replay", "one is on its way");
    let mut world = World::dormant();
    assert_eq!(world.on(Input::Probe), "SUBSCRIBE 3600");
    assert_eq!(world.notify("active", true), "200, deliver");
}

#[test]
fn check_083_a_probe_without_an_authorization_is_a_fetch() {
    let mut world = World::new();
    assert_eq!(world.on(Input::Probe), "SUBSCRIBE 0");
    assert_eq!(world.on(Input::Probe), "");
    assert_eq!(world.answer(200), "");
    assert_eq!(world.notify("terminated;reason=timeout", true), "200, deliver");
    assert_eq!(world.on(Input::Probe), "replay", "cached");
    assert_eq!(world.state(), State::None);
    assert_eq!(world.wait(), Some(3600));
    assert_eq!(world.timeout(), "unavailable, forget", "nobody follows it: no ghost");

    let mut world = World::new();
    world.on(Input::Probe);
    assert_eq!(world.notify("active;expires=1", true), "200, deliver", "before the 2xx, and not ended yet");
    assert_eq!(world.answer(200), "");
    assert_eq!(world.timeout(), "");
    assert_eq!(world.timeout(), "unavailable, forget");

    for (status, said) in [(403, "unsubscribed, forget"), (404, "unsubscribed, forget"), (500, "forget")] {
        let mut world = World::new();
        world.on(Input::Probe);
        assert_eq!(world.answer(status), said, "{status}");
    }
    let mut world = World::new();
    world.on(Input::Probe);
    assert_eq!(world.notify("terminated;reason=rejected", false), "200, unsubscribed, forget");
    let mut world = World::new();
    world.on(Input::Probe);
    assert_eq!(world.unanswered(), "forget");
    let mut world = World::new();
    world.on(Input::Probe);
    world.answer(200);
    assert_eq!(world.timeout(), "forget", "Timer N");
}

#[test]
fn check_079_unsubscribe_ends_the_dialog_and_then_is_confirmed() {
    let mut world = World::active();
    assert_eq!(world.on(Input::Unsubscribe), "save gone");
    assert_eq!(world.on(Input::Durable), "re-SUBSCRIBE 0");
    assert_eq!(world.answer(200), "unavailable, unsubscribed");
    assert_eq!(world.notify("active;expires=0", true), "200", "not for J any more");
    assert_eq!(world.notify("terminated;reason=timeout", true), "200, forget");

    let mut world = World::active();
    world.on(Input::Unsubscribe);
    world.on(Input::Durable);
    assert_eq!(world.notify("terminated;reason=timeout", false), "200", "before the 2xx");
    assert_eq!(world.answer(200), "unavailable, unsubscribed, forget");

    let mut world = World::active();
    world.on(Input::Unsubscribe);
    world.on(Input::Durable);
    world.answer(200);
    assert_eq!(world.timeout(), "forget", "no last NOTIFY");

    for failure in [0, 403, 404, 481, 500] {
        let mut world = World::active();
        world.on(Input::Unsubscribe);
        world.on(Input::Durable);
        let said = if failure == 0 { world.unanswered() } else { world.answer(failure) };
        assert_eq!(said, "unavailable, unsubscribed, forget", "{failure}");
    }
    for mut world in [World::dormant(), World::retry()] {
        assert_eq!(world.on(Input::Unsubscribe), "save gone");
        assert_eq!(world.on(Input::Durable), "unavailable, unsubscribed, forget");
    }
    assert_eq!(World::new().on(Input::Unsubscribe), "");
}

#[test]
fn check_078_a_2xx_shortens_and_never_lengthens() {
    let longer = Answer { status: 200, expires: Some(7200), ..Answer::default() };
    let mut world = World::active();
    assert_eq!(world.timeout(), "re-SUBSCRIBE 3600");
    assert_eq!(world.answer_with(longer), "");
    assert_eq!(world.notify("active", true), "200, deliver");
    assert!((2880..=3240).contains(&world.wait().unwrap()), "{:?}", world.wait());
    let mut world = World::new();
    world.on(Input::Subscribe);
    world.on(Input::Durable);
    assert_eq!(world.answer_with(longer), "");
    assert_eq!(world.notify("pending", false), "200");
    assert!((2880..=3240).contains(&world.wait().unwrap()), "{:?}", world.wait());
}

#[test]
fn whoever_unsubscribes_and_subscribes_again_is_asked_for_anew() {
    let mut world = World::active();
    world.sleep(60);
    world.on(Input::Unsubscribe);
    assert_eq!(world.on(Input::Subscribe), "unavailable, save asked");
    assert_eq!(world.on(Input::Durable), "");
    assert_eq!(world.on(Input::Durable), "re-SUBSCRIBE 0, SUBSCRIBE 3600");
    assert_eq!(
        world.on(Input::Answered { serial: 2, answer: Answer { status: 200, ..Answer::default() } }),
        ""
    );
    assert_eq!(world.notify("active", true), "200, save granted");

    let mut world = World::active();
    world.sleep(60);
    world.on(Input::Unsubscribe);
    world.on(Input::Durable);
    assert_eq!(world.on(Input::Subscribe), "unavailable, save asked");
    assert_eq!(world.answer(200), "", "the old end is of no interest");
    assert_eq!(world.on(Input::Durable), "SUBSCRIBE 3600");
    assert_eq!(world.state(), State::Pending);
}

#[test]
fn check_076_every_reason_has_its_consequence() {
    // From ACTIVE with J interested, 60 s after the dialog was made.
    for (state, expected, to) in [
        ("terminated;reason=deactivated", "200, SUBSCRIBE 3600", State::Active),
        ("terminated;reason=timeout", "200, SUBSCRIBE 3600", State::Active),
        ("terminated", "200, SUBSCRIBE 3600", State::Active),
        ("terminated;reason=moved", "200, SUBSCRIBE 3600", State::Active),
        ("terminated;reason=probation", "200, unavailable", State::Retry),
        ("terminated;reason=giveup", "200, unavailable", State::Retry),
        ("terminated;retry-after=100", "200, unavailable", State::Retry),
        ("terminated;reason=moved;retry-after=100", "200, unavailable", State::Retry),
        ("terminated;reason=rejected", "200, save gone", State::None),
        ("terminated;reason=noresource", "200, save gone", State::None),
        ("terminated;reason=invariant", "200", State::Active),
    ] {
        let mut world = World::active();
        world.sleep(60);
        assert_eq!(world.notify(state, false), expected, "{state}");
        assert_eq!(world.state(), to, "{state}");
    }
    // With nobody interested.
    for state in ["terminated;reason=deactivated", "terminated;reason=timeout", "terminated"] {
        let mut world = World::active();
        world.sleep(60);
        world.on(Input::Disinterest);
        assert_eq!(world.notify(state, false), "200, unavailable", "{state}");
        assert_eq!((world.state(), world.machine.deadline()), (State::Dormant, None), "{state}");
    }
    // From PENDING.
    for (state, expected, to) in [
        ("terminated;reason=deactivated", "200, SUBSCRIBE 3600", State::Pending),
        ("terminated;reason=timeout", "200, SUBSCRIBE 3600", State::Pending),
        ("terminated;reason=probation", "200", State::Retry),
        ("terminated;reason=giveup", "200", State::Retry),
        ("terminated;reason=rejected", "200, save gone", State::None),
        ("terminated;reason=invariant", "200", State::Pending),
    ] {
        let mut world = World::pending();
        world.sleep(60);
        assert_eq!(world.notify(state, false), expected, "{state}");
        assert_eq!(world.state(), to, "{state}");
        assert!(!world.machine.is_granted());
    }
}

#[test]
fn a_last_document_is_delivered_before_what_the_reason_does() {
    let mut world = World::active();
    world.sleep(60);
    assert_eq!(world.notify("terminated;reason=timeout", true), "200, deliver, SUBSCRIBE 3600");
    let mut world = World::active();
    assert_eq!(world.notify("terminated;reason=invariant", true), "200, deliver");
    assert_eq!(world.machine.deadline(), None, "never asked for again");
    assert_eq!(world.on(Input::Probe), "replay");
    world.sleep(1_000_000);
    assert_eq!(world.on(Input::Probe), "save used, replay");
}

#[test]
fn check_076_deactivated_is_followed_at_once_but_not_again_and_again() {
    let mut world = World::active();
    assert_eq!(world.notify("terminated;reason=deactivated", false), "200, SUBSCRIBE 3600");
    world.answer(200);
    assert_eq!(world.notify("terminated;reason=deactivated", false), "200, unavailable");
    assert_eq!(world.state(), State::Retry);
    assert!(world.wait().is_some_and(|seconds| seconds >= 59));
    assert_eq!(world.timeout(), "SUBSCRIBE 3600");
    world.answer(200);
    assert_eq!(world.notify("active;expires=3600", true), "200, deliver");
    world.sleep(5);
    assert_eq!(world.notify("terminated;reason=timeout", false), "200, SUBSCRIBE 3600");
}

#[test]
fn a_peer_that_ends_each_dialog_at_once_makes_no_storm() {
    let mut world = World::active();
    let mut subscribes = 0;
    let start = world.millis;
    while world.millis < start + 3_600_000 {
        if world.notify("terminated;reason=deactivated", false).contains("SUBSCRIBE") {
            subscribes += 1;
        }
        if world.machine.deadline().is_some_and(|at| at <= world.now().mono + Duration::from_secs(1))
            && world.timeout().contains("SUBSCRIBE")
        {
            subscribes += 1;
        }
        world.sleep(1);
    }
    assert!((1..=20).contains(&subscribes), "{subscribes}");
}

#[test]
fn check_077_retry_after_is_honoured() {
    for state in ["terminated;reason=probation;retry-after=7200", "terminated;reason=giveup;retry-after=7200"]
    {
        let mut world = World::active();
        world.notify(state, false);
        assert!(world.wait().unwrap() >= 7200, "{state}");
        assert_eq!(world.on(Input::Probe), "unavailable", "{state}: nobody makes it shorter");
        assert_eq!(world.on(Input::Subscribe), "subscribed");
        world.on(Input::LinkBack);
        assert!(world.wait().unwrap() >= 7200, "{state}");
        assert_eq!(world.timeout(), "SUBSCRIBE 3600");
    }
    let mut world = World::active();
    world.notify("terminated;reason=probation;retry-after=1", false);
    assert!(world.wait().unwrap() >= 60, "and never below a minute");
    let mut world = World::new();
    world.on(Input::Subscribe);
    world.on(Input::Durable);
    world.answer_with(Answer { status: 503, retry_after: Some(5000), ..Answer::default() });
    assert!(world.wait().unwrap() >= 5000);
    // It has no meaning with these (RFC 6665 §4.1.3).
    let mut world = World::active();
    world.sleep(60);
    assert_eq!(world.notify("terminated;reason=deactivated;retry-after=99999", false), "200, SUBSCRIBE 3600");
}

#[test]
fn check_100_a_refresh_that_fails_keeps_the_state_until_it_expires_then_unavailable() {
    for failure in [0, 408, 500, 503] {
        let mut world = World::active();
        assert_eq!(world.timeout(), "re-SUBSCRIBE 3600");
        let said = if failure == 0 { world.unanswered() } else { world.answer(failure) };
        assert_eq!(said, "", "{failure}");
        let mut tries = 0;
        loop {
            match world.timeout().as_str() {
                "re-SUBSCRIBE 3600" => tries += 1,
                "unavailable" => break,
                other => panic!("{other}"),
            }
            assert_eq!(world.unanswered(), "");
        }
        assert!((1..=5).contains(&tries), "{failure}: {tries}");
        assert_eq!(world.state(), State::Retry);
        assert!(world.machine.is_granted());
        assert_eq!(world.timeout(), "SUBSCRIBE 3600");
        assert_eq!(world.notify("active", true), "200, deliver");
    }
}

#[test]
fn check_100_a_2xx_without_a_notify_ends_the_dialog() {
    let mut world = World::active();
    assert_eq!(world.timeout(), "re-SUBSCRIBE 3600");
    assert_eq!(world.answer(200), "");
    assert_eq!(world.timeout(), "SUBSCRIBE 3600", "RFC 6665 §4.1.2.2: a new one");
    assert_eq!(world.unanswered(), "unavailable");
    let mut world = World::active();
    world.timeout();
    assert_eq!(world.answer(204), "");
    assert!(world.wait().unwrap() > 2000, "RFC 5839: none is coming");
}

#[test]
fn check_100_a_link_that_comes_back_brings_a_refresh_soon_or_unavailable() {
    let mut waits = std::collections::BTreeSet::new();
    for seed in 0..20 {
        let mut world = World::active();
        world.ids = Ids::new([seed; 32], Owner::default());
        assert_eq!(world.on(Input::LinkLost), "");
        assert_eq!(world.wait(), Some(120), "believed for a while");
        assert_eq!(world.on(Input::LinkBack), "");
        let wait = world.wait().unwrap();
        assert!(wait < 60, "{wait}");
        waits.insert(wait);
        world.on(Input::Disinterest);
        assert_eq!(world.timeout(), "re-SUBSCRIBE 3600", "whoever is interested");
        assert_eq!(world.unanswered(), "unavailable");
        assert_eq!(world.state(), State::Active);
        assert_eq!(world.timeout().as_str(), "", "nobody is interested in another");
        assert_eq!(world.notify("active", false), "200, replay", "what was known still holds");
    }
    assert!(waits.len() > 8, "{waits:?}");
}

#[test]
fn check_100_a_link_that_stays_away_ends_in_unavailable() {
    let mut world = World::active();
    world.on(Input::LinkLost);
    assert_eq!(world.timeout(), "re-SUBSCRIBE 3600");
    assert_eq!(world.unanswered(), "unavailable");
    let mut world = World::retry();
    let before = world.wait().unwrap();
    world.on(Input::LinkBack);
    assert!(world.wait().unwrap() < 60.min(before));
}

#[test]
fn a_very_short_expiry_is_no_storm() {
    let mut world = World::pending();
    world.notify("active;expires=1", true);
    world.on(Input::Durable);
    let mut sent = 0;
    for _ in 0..1000 {
        if world.wait().is_some_and(|wait| wait < 2) && world.timeout().contains("SUBSCRIBE") {
            sent += 1;
        }
        world.notify("active;expires=1", true);
        world.sleep(1);
    }
    assert!(sent <= 1000 / 30 + 1, "{sent}");
}

#[test]
fn an_outcome_of_a_subscribe_that_was_given_up_is_dropped() {
    let mut world = World::active();
    world.sleep(60);
    assert_eq!(world.timeout(), "re-SUBSCRIBE 3600");
    let old = world.serial;
    assert_eq!(world.notify("terminated;reason=timeout", false), "200, SUBSCRIBE 3600");
    for status in [200, 403, 404, 481, 500] {
        let answer = Answer { status, ..Answer::default() };
        assert_eq!(world.on(Input::Answered { serial: old, answer }), "", "{status}");
    }
    assert_eq!(world.on(Input::Unanswered { serial: old }), "");
    assert_eq!(world.answer(100), "", "no final response");
    assert_eq!(world.answer(403), "save gone");
}
