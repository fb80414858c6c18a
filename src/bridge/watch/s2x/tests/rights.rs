//! Errors, rights, purges and restarts.

use super::*;

#[test]
fn errors_are_told_apart() {
    use Condition as C;
    for condition in [C::ItemNotFound, C::Gone] {
        for mut world in [World::pending(), World::active()] {
            assert_eq!(world.on(Input::Error(condition)), "save gone");
            assert_eq!(world.on(Input::Durable), "0:NOTIFY noresource, 0:close, forget");
        }
    }
    for condition in [C::Forbidden, C::NotAuthorized, C::NotAllowed, C::PolicyViolation] {
        for mut world in [World::pending(), World::active()] {
            assert_eq!(world.on(Input::Error(condition)), "save gone");
            assert_eq!(world.on(Input::Durable), "0:NOTIFY rejected, 0:close, forget");
        }
    }
    for condition in
        [C::RemoteServerTimeout, C::RemoteServerNotFound, C::ResourceConstraint, C::ServiceUnavailable]
    {
        for mut world in [World::pending(), World::active()] {
            let consent = world.machine.consent();
            assert_eq!(world.on(Input::Error(condition)), "0:NOTIFY probation 300, 0:close");
            assert_eq!((world.state(), world.machine.consent()), (State::Terminated, consent));
        }
    }
}

#[test]
fn every_condition_has_an_event() {
    for condition in Condition::ALL {
        let event = event_of_condition(*condition);
        assert!(matches!(event, Event::NoSuchUser | Event::Refused | Event::Unreachable), "{condition:?}");
    }
}

#[test]
fn a_subscribe_that_could_not_be_delivered_is_sent_again() {
    let mut world = World::pending();
    world.on(Input::Error(Condition::RemoteServerTimeout));
    world.sleep(300);
    assert_eq!(world.subscribe(600), "1:200 600, contact, 1:NOTIFY pending 600, save used, subscribe");
}

#[test]
fn check_171_a_lost_right_ends_both_sides_and_keeps_the_authorization() {
    let mut world = World::active();
    assert_eq!(world.on(Input::RightLost), "0:NOTIFY rejected, 0:close, unavailable");
    assert_eq!((world.state(), world.machine.consent()), (State::Terminated, Some(Consent::Granted)));
    assert_eq!(world.on(Input::RightLost), "");
    assert_eq!(world.subscribe(600), "1:200 600, contact, 1:NOTIFY active 600, probe", "admitted again");

    let mut world = World::active();
    assert_eq!(world.on(Input::SwitchedOff), "0:NOTIFY probation 300, 0:close, unavailable");
    let mut world = World::pending();
    assert_eq!(world.on(Input::RightLost), "0:NOTIFY rejected, 0:close, unavailable");
    assert_eq!(world.machine.consent(), Some(Consent::Asked));
}

#[test]
fn j_is_not_asked_without_the_right() {
    let mut world = World::new();
    world.subscribe(600);
    assert_eq!(world.on(Input::RightLost), "0:NOTIFY rejected, 0:close, unavailable");
    assert_eq!(world.on(Input::Durable), "");
    assert_eq!(world.subscribe(600), "1:200 600, contact, 1:NOTIFY pending 600, save used, subscribe");
}

#[test]
fn a_purge_tells_j_and_r() {
    let mut world = World::terminated();
    assert_eq!(world.on(Input::Purge), "save gone");
    assert_eq!(world.on(Input::Durable), "unsubscribe, forget");
    let mut world = World::active();
    assert_eq!(world.on(Input::Purge), "save gone");
    assert_eq!(world.on(Input::Durable), "0:NOTIFY rejected, 0:close, unsubscribe, forget");
}

#[test]
fn whoever_subscribes_again_while_the_end_is_saved_is_asked_for_anew() {
    let mut world = World::active();
    world.on(Input::Unsubscribed);
    assert_eq!(world.refresh(0, 600), "481", "that dialog is ending");
    assert_eq!(world.subscribe(600), "1:200 600, contact, 1:NOTIFY pending 600, save asked");
    assert_eq!(world.on(Input::Durable), "");
    assert_eq!(world.on(Input::Durable), "0:NOTIFY rejected, 0:close, subscribe");
    assert_eq!(world.state(), State::Pending);
}

#[test]
fn check_099_authorizations_survive_and_dialogs_are_rebuilt() {
    let restored = |consent, age: u64| {
        let mut world = World::new();
        let used = Wall::from_millis(world.now().wall.as_millis() - age * 1000);
        world.machine = Machine::restored(consent, used, world.now());
        world
    };
    let mut world = restored(Consent::Granted, 0);
    assert_eq!((world.state(), world.machine.deadline()), (State::Terminated, None), "lazily");
    assert_eq!(world.refresh(0, 600), "481");
    assert_eq!(world.subscribe(600), "0:200 600, contact, 0:NOTIFY active 600, probe");
    assert_eq!(world.on(Input::Presence), "");
    assert_eq!(world.ok(0), "0:NOTIFY active 600+state");
    // A process that was killed may not have asked.
    let mut world = restored(Consent::Asked, 1);
    assert_eq!(world.subscribe(600), "0:200 600, contact, 0:NOTIFY pending 600, save used, subscribe");
    assert_eq!(world.subscribe(600), "1:200 600, contact, 1:NOTIFY pending 600", "once");
    let mut world = restored(Consent::Granted, 90_000);
    assert_eq!(world.subscribe(600), "0:200 600, contact, 0:NOTIFY active 600, save used, probe");
    let mut world = restored(Consent::Asked, 0);
    assert_eq!(world.on(Input::Subscribed), "save granted");
}
