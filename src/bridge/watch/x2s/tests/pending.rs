//! From `subscribe` to a decision.

use super::*;

#[test]
fn the_record_is_durable_before_anyone_is_asked() {
    let mut world = World::new();
    assert_eq!(world.on(Input::Subscribe), "save asked");
    assert_eq!(world.machine.deadline(), None);
    assert_eq!(world.on(Input::Durable), "SUBSCRIBE 3600");
    assert_eq!(world.state(), State::Pending);
    assert_eq!(world.wait(), Some(32));
}

#[test]
fn check_072_pending_notify_produces_no_stanza() {
    let mut world = World::pending();
    for has_document in [false, true] {
        assert_eq!(world.notify("pending;expires=3000", has_document), "200");
        assert_eq!(world.notify("Pending", has_document), "200");
    }
    assert_eq!(world.state(), State::Pending);
    let mut world = World::active();
    assert_eq!(world.notify("pending;expires=3000", true), "200");
    assert_eq!(world.state(), State::Active);
}

#[test]
fn check_073_first_active_yields_subscribed_then_presence() {
    let mut world = World::pending();
    assert_eq!(world.notify("active;expires=3600", true), "200, save granted");
    assert_eq!(world.on(Input::Durable), "subscribed, save announced, deliver");
    assert_eq!(world.notify("active;expires=3600", true), "200, deliver");

    let mut world = World::pending();
    assert_eq!(world.notify("active;expires=3600", false), "200, save granted");
    assert_eq!(world.on(Input::Durable), "subscribed, save announced", "no document, no presence");
    assert_eq!(world.notify("active;expires=3600", true), "200, deliver");
}

#[test]
fn presence_never_overtakes_the_approval_that_the_store_has_not_yet() {
    let mut world = World::pending();
    assert_eq!(world.notify("active", false), "200, save granted");
    assert_eq!(world.notify("active", true), "200");
    assert_eq!(world.notify("active", true), "200");
    assert_eq!(world.on(Input::Probe), "");
    assert_eq!(world.on(Input::Subscribe), "");
    assert_eq!(world.on(Input::Durable), "subscribed, save announced, deliver");
}

#[test]
fn check_102_nothing_but_active_approves() {
    for state in [
        "pending;expires=1",
        "waiting",
        "terminated;reason=timeout",
        "terminated;reason=deactivated",
        "terminated;reason=invariant",
        "terminated;reason=giveup",
        "terminated",
    ] {
        let mut world = World::pending();
        world.sleep(40);
        let said = world.notify(state, true);
        assert!(
            !said.contains("subscribed") && !said.contains("deliver") && !said.contains("save"),
            "{state}: {said}"
        );
    }
    let mut world = World::new();
    world.on(Input::Subscribe);
    world.on(Input::Durable);
    for status in [200, 202, 204, 299] {
        assert_eq!(world.answer(status), "", "{status}");
    }
}

#[test]
fn check_069_202_is_200() {
    for status in [200, 202] {
        let mut world = World::new();
        world.on(Input::Subscribe);
        world.on(Input::Durable);
        assert_eq!(world.answer_with(Answer { status, expires: Some(600), ..Answer::default() }), "");
        assert_eq!(world.notify("active", true), "200, save granted");
        let refresh = world.wait().unwrap();
        assert!((480..=540).contains(&refresh), "{status}: {refresh}");
    }
}

#[test]
fn check_070_notify_before_the_2xx_is_accepted() {
    let mut world = World::new();
    world.on(Input::Subscribe);
    world.on(Input::Durable);
    assert_eq!(world.machine.may_establish(), Awaiting::First);
    assert_eq!(world.notify("active;expires=600", true), "200, save granted");
    assert_eq!(world.on(Input::Durable), "subscribed, save announced, deliver");
    assert_eq!(world.answer_with(Answer { status: 200, expires: Some(3600), ..Answer::default() }), "");
    assert!(world.wait().unwrap() <= 540, "the 2xx does not lengthen what the NOTIFY said");
    let mut world = World::new();
    world.on(Input::Subscribe);
    world.on(Input::Durable);
    world.notify("active;expires=600", true);
    assert_eq!(world.unanswered(), "", "the lost 2xx does no harm");
    assert_eq!(world.state(), State::Active);
}

#[test]
fn check_070_timer_n_cleans_up() {
    let mut world = World::new();
    world.on(Input::Subscribe);
    world.on(Input::Durable);
    assert_eq!(world.answer(200), "");
    assert_eq!(world.wait(), Some(32));
    assert_eq!(world.timeout(), "error remote-server-timeout");
    assert_eq!((world.state(), world.machine.may_establish()), (State::Retry, Awaiting::Nothing));
    assert_eq!(world.notify("active", true), "481");
    assert!(world.wait().unwrap() >= 60);
}

#[test]
fn a_target_that_does_not_answer_is_one_error_and_tried_on() {
    for failure in [0, 408, 500, 503, 504, 600] {
        let mut world = World::new();
        world.on(Input::Subscribe);
        world.on(Input::Durable);
        let said = if failure == 0 { world.unanswered() } else { world.answer(failure) };
        let expected =
            if failure == 600 { "error recipient-unavailable" } else { "error remote-server-timeout" };
        assert_eq!(said, expected, "{failure}");
        let mut last = 0;
        for _ in 0..10 {
            let wait = world.wait().unwrap();
            assert!(wait >= 60.max(last.min(3200)) && wait <= 3600, "{failure}: {wait}");
            last = wait;
            assert_eq!(world.timeout(), "SUBSCRIBE 3600");
            assert_eq!(world.state(), State::Pending);
            assert_eq!(world.unanswered(), "", "once is enough");
        }
        world.timeout();
        assert_eq!(world.notify("active", true), "200, save granted");
        assert_eq!(world.on(Input::Durable), "subscribed, save announced, deliver");
    }
}

#[test]
fn check_074_403_489_and_603_end_the_authorization() {
    for status in [403, 489, 603] {
        let mut world = World::new();
        world.on(Input::Subscribe);
        world.on(Input::Durable);
        assert_eq!(world.answer(status), "save gone", "{status}");
        assert_eq!(world.on(Input::Durable), "unavailable, unsubscribed, forget");
        let mut world = World::active();
        assert_eq!(world.timeout(), "re-SUBSCRIBE 3600");
        assert_eq!(world.answer(status), "save gone", "{status}");
        assert_eq!(world.on(Input::Durable), "unavailable, unsubscribed, forget");
        assert_eq!(world.machine.deadline(), None, "no resubscribe");
    }
}

#[test]
fn check_075_423_and_481_keep_the_authorization() {
    for status in [423, 481] {
        let mut world = World::new();
        world.on(Input::Subscribe);
        world.on(Input::Durable);
        let said = world.answer(status);
        assert!(!said.contains("save") && !said.contains("unsubscribed"), "{said}");
        assert_eq!(world.state(), State::Retry);
        assert_eq!(world.timeout(), "SUBSCRIBE 3600");
        let mut world = World::active();
        assert_eq!(world.timeout(), "re-SUBSCRIBE 3600");
        let said = world.answer(status);
        assert_eq!(said, if status == 481 { "SUBSCRIBE 3600" } else { "" });
        assert_eq!(world.state(), State::Active);
    }
}

#[test]
fn a_423_is_met_once() {
    let brief = |min_expires| Answer { status: 423, min_expires, ..Answer::default() };
    let mut world = World::new();
    world.on(Input::Subscribe);
    world.on(Input::Durable);
    assert_eq!(world.answer_with(brief(Some(7200))), "SUBSCRIBE 7200");
    assert_eq!(world.answer_with(brief(Some(9000))), "error resource-constraint");
    assert_eq!(world.state(), State::Retry);
    for min in [None, Some(0), Some(3600), Some(u32::MAX)] {
        let mut world = World::new();
        world.on(Input::Subscribe);
        world.on(Input::Durable);
        assert_eq!(world.answer_with(brief(min)), "error resource-constraint", "{min:?}");
    }
    let mut world = World::active();
    world.timeout();
    assert_eq!(world.answer_with(brief(Some(7200))), "re-SUBSCRIBE 7200");
    assert_eq!(world.answer_with(Answer { status: 200, expires: Some(7200), ..Answer::default() }), "");
    assert!(world.machine.deadline().is_some());
}

#[test]
fn the_subscribe_after_a_423_counts_for_the_pause_too() {
    let mut world = World::retry();
    assert_eq!(world.on(Input::Subscribe), "subscribed, SUBSCRIBE 3600");
    world.sleep(5);
    let brief = Answer { status: 423, min_expires: Some(7200), ..Answer::default() };
    assert_eq!(world.answer_with(brief), "SUBSCRIBE 7200");
    world.sleep(15);
    world.unanswered();
    world.sleep(12);
    assert_eq!(world.on(Input::Subscribe), "subscribed", "32 s after the first, 27 after the second");
    world.sleep(3);
    assert_eq!(world.on(Input::Timeout), "SUBSCRIBE 3600");
}

#[test]
fn who_leaves_twice_hears_of_it_when_the_store_knows() {
    let mut world = World::active();
    assert_eq!(world.on(Input::Unsubscribe), "save gone");
    assert_eq!(world.on(Input::Subscribe), "unavailable, save asked");
    world.on(Input::RightLost);
    assert_eq!(world.on(Input::Durable), "");
    assert_eq!(world.on(Input::Durable), "re-SUBSCRIBE 0");
    assert_eq!(world.on(Input::Unsubscribe), "save gone");
    assert_eq!(world.answer(200), "", "the end is not durable");
    assert_eq!(world.on(Input::Durable), "unavailable, unsubscribed, forget");
}

#[test]
fn who_has_come_back_does_not_hear_of_the_end() {
    let mut world = World::active();
    world.on(Input::Unsubscribe);
    world.on(Input::Subscribe);
    world.on(Input::Durable);
    assert_eq!(world.on(Input::Durable), "re-SUBSCRIBE 0");
    assert_eq!(world.answer(200), "");
    world.sleep(30);
    assert_eq!(world.on(Input::Timeout), "SUBSCRIBE 3600");
}

#[test]
fn no_such_user_is_an_error_first_and_unsubscribed_later() {
    for status in [404, 410, 604] {
        let mut world = World::new();
        world.on(Input::Subscribe);
        world.on(Input::Durable);
        assert_eq!(world.answer(status), "save gone");
        assert_eq!(world.on(Input::Durable), "error item-not-found, forget", "{status}");
        let mut world = World::active();
        world.timeout();
        assert_eq!(world.answer(status), "save gone");
        assert_eq!(world.on(Input::Durable), "unavailable, unsubscribed, forget", "{status}");
    }
    let mut world = World::pending();
    assert_eq!(world.notify("terminated;reason=noresource", false), "200, save gone");
    assert_eq!(world.on(Input::Durable), "unavailable, unsubscribed, forget", "it was taken before");
}

#[test]
fn a_pending_watch_is_refreshed_until_it_is_decided() {
    let mut world = World::pending();
    world.on(Input::Disinterest);
    for _ in 0..5 {
        assert_eq!(world.timeout(), "re-SUBSCRIBE 3600");
        assert_eq!(world.answer_with(Answer { status: 200, expires: Some(3600), ..Answer::default() }), "");
        assert_eq!(world.notify("pending;expires=3600", false), "200");
    }
}

#[test]
fn a_second_subscribe_asks_nobody_twice() {
    let mut world = World::new();
    world.on(Input::Subscribe);
    assert_eq!(world.on(Input::Subscribe), "");
    world.on(Input::Durable);
    assert_eq!(world.on(Input::Subscribe), "");
    world.notify("pending", false);
    assert_eq!(world.on(Input::Subscribe), "");
    assert_eq!(world.on(Input::Probe), "");
}

#[test]
fn check_079_unsubscribe_without_an_answer_yet_waits_for_whom_to_tell() {
    let mut world = World::new();
    world.on(Input::Subscribe);
    world.on(Input::Durable);
    assert_eq!(world.on(Input::Unsubscribe), "save gone");
    assert_eq!(world.on(Input::Durable), "");
    assert_eq!(world.answer(200), "re-SUBSCRIBE 0");
    assert_eq!(world.notify("pending", false), "200");
    assert_eq!(world.answer(200), "unavailable, unsubscribed");
    assert_eq!(world.notify("terminated;reason=timeout", false), "200, forget");

    for late in [0, 500] {
        let mut world = World::new();
        world.on(Input::Subscribe);
        world.on(Input::Durable);
        world.on(Input::Unsubscribe);
        let said = if late == 0 { world.unanswered() } else { world.answer(late) };
        assert_eq!(said, "", "the store comes first");
        assert_eq!(world.on(Input::Durable), "unavailable, unsubscribed, forget");
    }
    let mut world = World::new();
    world.on(Input::Subscribe);
    assert_eq!(world.on(Input::Unsubscribe), "save gone", "nobody was asked");
    assert_eq!(world.on(Input::Durable), "");
    assert_eq!(world.on(Input::Durable), "unavailable, unsubscribed, forget");
}
