//! Dialogs, decisions and NOTIFYs.

use super::*;

#[test]
fn check_080_subscribe_is_asked_and_the_answers_are_said() {
    let mut world = World::new();
    assert_eq!(world.subscribe(None), "0:200 3600, contact, 0:NOTIFY pending 3600, save asked");
    assert_eq!(world.on(Input::Durable), "subscribe", "after the record");
    assert_eq!(world.on(Input::Subscribed), "save granted");
    assert_eq!(world.on(Input::Durable), "0:NOTIFY active 3600", "after the record; nothing is known yet");
    assert_eq!(world.on(Input::Presence), "", "while a NOTIFY is not answered");
    assert_eq!(world.ok(0), "");
    assert_eq!(world.ok(0), "0:NOTIFY active 3600+state");
    assert_eq!(world.on(Input::Subscribed), "", "again");
    assert_eq!(world.on(Input::Unsubscribed), "save gone");
    assert_eq!(world.on(Input::Durable), "0:NOTIFY rejected, 0:close, forget");

    let mut world = World::pending();
    assert_eq!(world.on(Input::Unsubscribed), "save gone");
    assert_eq!(world.on(Input::Unsubscribed), "", "again");
    assert_eq!(world.on(Input::Durable), "0:NOTIFY rejected, 0:close, forget");
}

#[test]
fn what_nobody_asked_for_makes_no_record() {
    for input in [Input::Subscribed, Input::Unsubscribed, Input::Presence, Input::Error(Condition::Forbidden)]
    {
        let mut world = World::new();
        assert_eq!(world.on(input), "", "{input:?}");
        assert_eq!(world.machine.consent(), None);
    }
}

#[test]
fn a_decision_that_the_store_has_not_yet_is_not_said() {
    let mut world = World::pending();
    world.on(Input::Subscribed);
    assert_eq!(world.refresh(0, 600), "0:200 600, 0:NOTIFY pending 600, probe");
    assert_eq!(world.subscribe(600), "1:200 600, contact, 1:NOTIFY pending 600");
    assert_eq!(world.on(Input::Presence), "");
    assert_eq!(world.on(Input::Durable), "0:NOTIFY active 600+state, 1:NOTIFY active 600+state");
}

#[test]
fn presence_before_the_decision_is_not_shown() {
    let mut world = World::pending();
    assert_eq!(world.on(Input::Presence), "");
    assert_eq!(world.refresh(0, 600), "0:200 600, 0:NOTIFY pending 600");
    world.on(Input::Subscribed);
    assert_eq!(world.on(Input::Durable), "0:NOTIFY active 600");
}

#[test]
fn check_067_each_200_is_followed_by_a_notify_and_lasts_no_longer_than_asked() {
    for (asked, granted) in [(60, 60), (600, 600), (86_400, 86_400), (u32::MAX, 86_400)] {
        let mut world = World::new();
        let said = world.subscribe(asked);
        assert!(said.starts_with(&format!("0:200 {granted}, contact, 0:NOTIFY pending {granted}")), "{said}");
        let mut world = World::active();
        assert!(world.refresh(0, asked).starts_with(&format!("0:200 {granted}, 0:NOTIFY active {granted}")));
        assert_eq!(world.wait(), Some(granted * 1000));
    }
    let mut world = World::new();
    assert_eq!(world.subscribe(59), "423 60, forget");
    let mut world = World::active();
    assert_eq!(world.refresh(0, 1), "423 60");
    assert_eq!(world.state(), State::Active);
}

#[test]
fn check_068_what_remains_is_said_each_time() {
    let mut world = World::active();
    world.sleep(1000);
    assert_eq!(world.on(Input::Presence), "0:NOTIFY active 2595+state");
}

#[test]
fn check_081_expires_0_ends_the_dialog_and_keeps_the_authorization() {
    let mut world = World::active();
    assert_eq!(world.refresh(0, 0), "0:200 0, 0:NOTIFY timeout+closed, 0:close, unavailable");
    assert_eq!((world.state(), world.machine.consent()), (State::Terminated, Some(Consent::Granted)));
    assert_eq!(world.machine.deadline(), None);
    assert_eq!(world.refresh(0, 0), "481", "it is gone");
    world.sleep(60);
    assert_eq!(
        world.subscribe(600),
        "1:200 600, contact, 1:NOTIFY active 600+state, probe",
        "nobody is asked"
    );
}

#[test]
fn check_081_a_dialog_that_expires_ends_alike() {
    let mut world = World::active();
    assert_eq!(world.timeout(), "0:NOTIFY timeout+closed, 0:close, unavailable");
    assert_eq!(world.machine.consent(), Some(Consent::Granted));
    let mut world = World::pending();
    assert_eq!(world.timeout(), "0:NOTIFY timeout+closed, 0:close, unavailable");
    assert_eq!((world.state(), world.machine.consent()), (State::Terminated, Some(Consent::Asked)));
    assert_eq!(world.on(Input::Subscribed), "save granted", "late, but a decision");
    assert_eq!(world.on(Input::Durable), "");
}

#[test]
fn check_082_a_refresh_without_known_state_gives_an_empty_notify() {
    let mut world = World::pending();
    world.on(Input::Subscribed);
    world.on(Input::Durable);
    assert_eq!(world.refresh(0, 600), "0:200 600, 0:NOTIFY active 600, probe");
    assert_eq!(world.refresh(0, 600), "0:200 600, 0:NOTIFY active 600", "one probe in 10 s");
    let mut world = World::active();
    assert_eq!(world.refresh(0, 600), "0:200 600, 0:NOTIFY active 600+state");
    world.sleep(300);
    assert_eq!(
        world.refresh(0, 600),
        "0:200 600, 0:NOTIFY active 600+state, probe",
        "old state is asked for"
    );
}

#[test]
fn check_083_a_fetch_is_answered_from_what_is_known() {
    let mut world = World::active();
    assert_eq!(world.subscribe(0), "1:200 0, 1:NOTIFY timeout+state, 1:close");
    assert_eq!(world.state(), State::Active, "the other dialog stays");
}

#[test]
fn check_083_a_fetch_waits_two_seconds_for_a_probe() {
    let mut world = World::new();
    assert_eq!(world.subscribe(0), "probe");
    assert_eq!(world.wait(), Some(2000));
    world.sleep(1);
    assert_eq!(world.on(Input::Presence), "0:200 0, 0:NOTIFY timeout+state, 0:close, forget");

    let mut world = World::new();
    world.subscribe(0);
    assert_eq!(world.timeout(), "0:200 0, 0:NOTIFY timeout, 0:close, forget", "neutral");
    for input in [
        Input::Unsubscribed,
        Input::Error(Condition::ItemNotFound),
        Input::Error(Condition::Forbidden),
        Input::Error(Condition::RemoteServerTimeout),
    ] {
        let mut world = World::new();
        world.subscribe(0);
        let said = world.on(input);
        assert_eq!(said, "0:200 0, 0:NOTIFY timeout, 0:close, forget", "the same for all: {input:?}");
    }
    let mut world = World::terminated();
    world.sleep(400);
    assert_eq!(world.subscribe(0), "probe", "what is known is old");
    assert_eq!(world.on(Input::Presence), "1:200 0, 1:NOTIFY timeout+state, 1:close");
    assert_eq!(world.machine.consent(), Some(Consent::Granted));
}

#[test]
fn a_fetch_while_j_decides_sends_nothing_to_j() {
    // The answer to a probe would be `unsubscribed`, and that would be a decision.
    let mut world = World::pending();
    assert_eq!(world.subscribe(0), "1:200 0, 1:NOTIFY timeout, 1:close");
    world.timeout();
    assert_eq!(world.state(), State::Terminated);
    assert_eq!(world.subscribe(0), "2:200 0, 2:NOTIFY timeout, 2:close");
}

#[test]
fn fetches_share_one_probe() {
    let mut world = World::new();
    assert_eq!(world.subscribe(0), "probe");
    assert_eq!(world.subscribe(0), "");
    assert_eq!(
        world.on(Input::Presence),
        "0:200 0, 0:NOTIFY timeout+state, 0:close, 1:200 0, 1:NOTIFY timeout+state, 1:close, forget"
    );
}

#[test]
fn check_091_presence_is_notified_at_most_once_in_five_seconds_and_the_last_state_wins() {
    let mut world = World::active();
    let mut sent = Vec::new();
    for _ in 0..300 {
        if world.on(Input::Presence).contains("NOTIFY") {
            sent.push(world.millis);
            world.ok(0);
        }
        world.sleep_millis(100);
        if world.machine.deadline().is_some_and(|at| at <= world.now().mono)
            && world.on(Input::Timeout).contains("NOTIFY")
        {
            sent.push(world.millis);
            world.ok(0);
        }
    }
    assert!(sent.windows(2).all(|pair| pair[1] - pair[0] >= 5000), "{sent:?}");
    assert!((6..=7).contains(&sent.len()), "{sent:?}");
    world.on(Input::Presence);
    assert!(world.timeout().contains("+state"), "the last state is still said");
}

#[test]
fn check_091_the_end_is_not_put_off() {
    let mut world = World::active();
    world.on(Input::Presence);
    world.ok(0);
    assert_eq!(world.on(Input::Presence), "");
    assert_eq!(world.on(Input::Unsubscribed), "save gone");
    assert_eq!(world.on(Input::Durable), "0:NOTIFY rejected, 0:close, forget");
    assert_eq!(world.machine.deadline(), None);
    let mut world = World::active();
    world.on(Input::Presence);
    world.on(Input::Presence);
    assert_eq!(world.refresh(0, 0), "0:200 0, 0:NOTIFY timeout+closed, 0:close, unavailable");
    assert_eq!(world.machine.deadline(), None);
}

#[test]
fn a_notify_waits_for_the_one_before_it() {
    let mut world = World::active();
    assert_eq!(world.on(Input::Presence), "0:NOTIFY active 3595+state");
    world.sleep(10);
    assert_eq!(world.on(Input::Presence), "");
    assert_eq!(world.refresh(0, 600), "0:200 600, 0:NOTIFY active 600+state", "but for what a 200 asks for");
    assert_eq!(world.on(Input::Presence), "");
    assert_eq!(world.ok(0), "");
    world.sleep(10);
    assert_eq!(world.ok(0), "0:NOTIFY active 590+state", "the last state");
    assert_eq!(world.ok(0), "");
}

#[test]
fn check_093_these_answers_and_silence_end_the_dialog() {
    for status in [404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604] {
        let mut world = World::active();
        world.on(Input::Presence);
        let input = Input::NotifyAnswered { leg: Leg(0), status };
        assert_eq!(world.on(input), "0:close, unavailable", "{status}");
        assert_eq!((world.state(), world.machine.consent()), (State::Terminated, Some(Consent::Granted)));
        assert_eq!(world.machine.deadline(), None);
        assert_eq!(world.on(input), "", "once");
    }
    let mut world = World::active();
    world.on(Input::Presence);
    assert_eq!(world.on(Input::NotifyUnanswered { leg: Leg(0) }), "0:close, unavailable");
    for status in [200, 400, 401, 403, 408, 500, 503, 603] {
        let mut world = World::active();
        world.on(Input::Presence);
        assert_eq!(world.on(Input::NotifyAnswered { leg: Leg(0), status }), "", "{status}");
        assert_eq!(world.state(), State::Active);
    }
}

#[test]
fn check_093_what_was_put_off_is_told_after_a_minute_or_with_the_next_change() {
    let put_off = || {
        let mut world = World::active();
        assert_eq!(world.on(Input::Presence), "0:NOTIFY active 3595+state");
        assert_eq!(world.on(Input::NotifyAnswered { leg: Leg(0), status: 503 }), "");
        assert_eq!(world.wait(), Some(60_000));
        world
    };
    let mut world = put_off();
    assert_eq!(world.timeout(), "0:NOTIFY active 3535+state");
    assert_eq!(world.on(Input::NotifyAnswered { leg: Leg(0), status: 503 }), "");
    assert_eq!(world.timeout(), "0:NOTIFY active 3475+state", "as long as the subscription lasts");
    assert_eq!(world.ok(0), "");
    assert_eq!(world.wait(), Some(3_475_000));

    let mut world = put_off();
    world.sleep(1);
    assert_eq!(world.on(Input::Presence), "");
    assert_eq!(world.wait(), Some(4000), "a change waits no longer than others do");
    assert_eq!(world.timeout(), "0:NOTIFY active 3590+state");
    assert_eq!(world.ok(0), "");
    assert_eq!(world.wait(), Some(3_590_000));
}

#[test]
fn several_devices_are_one_watch() {
    let mut world = World::active();
    assert_eq!(world.subscribe(600), "1:200 600, contact, 1:NOTIFY active 600+state, probe");
    world.ok(1);
    world.sleep(5);
    assert_eq!(world.on(Input::Presence), "0:NOTIFY active 3590+state, 1:NOTIFY active 595+state");
    assert_eq!(world.refresh(0, 0), "0:200 0, 0:NOTIFY timeout+closed, 0:close", "R is still watching");
    assert_eq!(world.timeout(), "1:NOTIFY timeout+closed, 1:close, unavailable");
}

#[test]
fn dialogs_of_a_watch_are_few() {
    let mut world = World::active();
    for _ in 1..MAX_LEGS {
        world.subscribe(600);
    }
    assert_eq!(world.machine.vacant(), None);
    assert_eq!(world.machine.legs().count(), MAX_LEGS);
    world.refresh(3, 0);
    assert_eq!(world.machine.vacant(), Some(Leg(8)), "a number is not used again soon");
}

#[test]
fn a_second_device_while_j_decides_asks_nobody_again() {
    let mut world = World::pending();
    assert_eq!(world.subscribe(600), "1:200 600, contact, 1:NOTIFY pending 600");
    world.on(Input::Subscribed);
    assert_eq!(world.on(Input::Durable), "0:NOTIFY active 3600, 1:NOTIFY active 600");
}

#[test]
fn j_is_asked_again_once_a_day() {
    let mut world = World::pending();
    let mut asked = 0;
    for _ in 0..100 {
        world.sleep(3000);
        asked += world.refresh(0, 3600).matches("subscribe").count();
        world.ok(0);
    }
    assert_eq!(asked, 3, "300,000 s");
    let mut world = World::pending();
    world.timeout();
    assert_eq!(
        world.subscribe(600),
        "1:200 600, contact, 1:NOTIFY pending 600",
        "a new dialog changes nothing"
    );
    world.timeout();
    world.sleep(86_400);
    assert_eq!(world.subscribe(600), "2:200 600, contact, 2:NOTIFY pending 600, save used, subscribe");
}
