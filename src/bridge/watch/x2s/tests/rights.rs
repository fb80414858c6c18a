//! When the gate changes its mind, and after a restart.

use super::*;

#[test]
fn check_171_a_lost_right_is_unavailable_and_the_end_in_sip_never_unsubscribed() {
    let mut world = World::active();
    assert_eq!(world.on(Input::RightLost), "re-SUBSCRIBE 0, unavailable");
    assert_eq!(world.state(), State::Dormant);
    assert!(world.machine.is_granted());
    assert_eq!(world.answer(200), "");
    assert_eq!(world.notify("active", true), "200", "on its way, and not delivered");
    assert_eq!(world.notify("terminated;reason=timeout", true), "200");
    assert_eq!(world.timeout(), "");
    assert_eq!(world.notify("active", true), "481");
    assert_eq!(world.on(Input::Probe), "", "no SUBSCRIBE without the right");
    assert_eq!(world.on(Input::RightLost), "");
    assert_eq!(world.machine.deadline(), None);
    assert_eq!(world.on(Input::RightBack), "");
    assert!(world.wait().unwrap() < 60);
    assert_eq!(world.timeout(), "SUBSCRIBE 3600");
    assert_eq!(world.notify("active", true), "200, deliver", "no second subscribed");
}

#[test]
fn no_answer_to_the_end_takes_the_authorization() {
    for status in [200, 403, 404, 423, 481, 489, 500, 603] {
        for mut world in [World::active(), World::pending()] {
            let granted = world.machine.is_granted();
            world.on(Input::RightLost);
            assert_eq!(world.answer(status), "", "{status}");
            assert_eq!(world.notify("terminated;reason=rejected", false), "200");
            assert_eq!(world.machine.is_granted(), granted);
            assert_ne!(world.state(), State::None);
        }
    }
}

#[test]
fn a_right_that_goes_before_the_decision_leaves_the_question_open() {
    let mut world = World::pending();
    world.sleep(60);
    assert_eq!(world.on(Input::RightLost), "re-SUBSCRIBE 0");
    assert_eq!(world.on(Input::RightBack), "");
    assert_eq!(world.timeout(), "SUBSCRIBE 3600");
    assert_eq!(world.notify("active", true), "200, save granted");

    let mut world = World::new();
    world.on(Input::Subscribe);
    world.on(Input::RightLost);
    assert_eq!(world.on(Input::Durable), "", "not asked without the right");
    assert_eq!(world.on(Input::RightBack), "SUBSCRIBE 3600");
}

#[test]
fn an_approval_that_the_store_gets_after_the_right_is_lost_is_announced_when_it_is_back() {
    let mut world = World::pending();
    world.sleep(60);
    world.notify("active", true);
    assert_eq!(world.on(Input::RightLost), "re-SUBSCRIBE 0");
    assert_eq!(world.on(Input::Durable), "");
    assert_eq!(world.on(Input::RightBack), "subscribed, save announced");
}

#[test]
fn a_fetch_ends_with_the_right() {
    let mut world = World::new();
    world.on(Input::Probe);
    world.notify("terminated;reason=timeout", true);
    assert_eq!(world.on(Input::RightLost), "unavailable, forget");
}

#[test]
fn check_099_watches_are_rebuilt_after_a_restart() {
    let now = Now::at(5_000_000);
    let spread = Duration::from_secs(300);
    let restored = |consent, age: u64, seed| {
        let mut world = World::new();
        world.millis = 5_000_000_000;
        world.ids = Ids::new([seed; 32], Owner::default());
        let used = Wall::from_millis(now.wall.as_millis() - age * 1000);
        world.machine = Machine::restored(consent, used, now, spread, &world.settings, &mut world.ids);
        world
    };
    let mut waits = std::collections::BTreeSet::new();
    for seed in 0..30 {
        let mut world = restored(Consent::Announced, 3600, seed);
        let wait = world.wait().unwrap();
        assert!(wait < 300);
        waits.insert(wait / 10);
        assert_eq!(world.timeout(), "SUBSCRIBE 3600");
        assert_eq!(world.notify("active", true), "200, deliver", "J knows of the approval");
    }
    assert!(waits.len() > 10, "spread: {waits:?}");
    let mut world = restored(Consent::Announced, 3600, 1);
    world.timeout();
    assert_eq!(world.unanswered(), "unavailable", "J may still see what was before");
    let mut world = restored(Consent::Granted, 3600, 1);
    world.timeout();
    assert_eq!(world.notify("active", true), "200, subscribed, save announced, deliver", "J was not told");
    assert_eq!(world.notify("active", true), "200, deliver");
    let mut world = restored(Consent::Asked, 3600, 1);
    assert_eq!(world.timeout(), "SUBSCRIBE 3600");
    assert_eq!(world.state(), State::Pending);
    assert_eq!(world.notify("active", true), "200, save granted");
    let mut world = restored(Consent::Announced, 8 * 86_400, 1);
    assert_eq!((world.state(), world.machine.deadline()), (State::Dormant, None), "nobody was interested");
    assert_eq!(world.on(Input::Probe), "save used, SUBSCRIBE 3600");
    let mut world = restored(Consent::Asked, 8 * 86_400, 1);
    assert_eq!(world.timeout(), "SUBSCRIBE 3600", "a decision is still awaited");
}

#[test]
fn use_is_recorded_once_a_day() {
    let mut world = World::active();
    let mut saves = 0;
    for _ in 0..100 {
        world.sleep(3600);
        saves += world.on(Input::Interest).matches("save used").count();
    }
    assert_eq!(saves, 4);
}
