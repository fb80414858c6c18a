//! The machine, state by state: what comes out of what goes in, and that each text comes out once.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use std::collections::BTreeSet;

type Log = Vec<Action<u32>>;

const IDLE: Duration = Duration::from_secs(600);

fn at(seconds: u64) -> Mono {
    Mono::default() + Duration::from_secs(seconds)
}

fn handle(machine: &mut Machine<u32>, seconds: u64, input: Input<u32>) -> Log {
    let mut actions = Vec::new();
    machine.handle(&mut Turn { now: at(seconds), idle: IDLE, actions: &mut actions }, input);
    actions
}

fn failure(status: u16) -> Failure {
    Failure::new(Condition::RecipientUnavailable, status, "no")
}

/// An open session that we invited to, whose first text was delivered.
fn open() -> Machine<u32> {
    let mut machine = Machine::inviting(at(0));
    assert_eq!(handle(&mut machine, 0, Input::Text(0)), []);
    assert_eq!(handle(&mut machine, 0, Input::Established), [Action::Send]);
    assert_eq!(handle(&mut machine, 0, Input::Answered(Fate::Delivered)), [Action::Delivered(0)]);
    machine
}

#[test]
fn check_041_texts_wait_in_order_for_the_answer_and_go_out_one_by_one() {
    let mut machine = Machine::inviting(at(0));
    for text in 1..=3 {
        assert_eq!(handle(&mut machine, 1, Input::Text(text)), []);
    }
    assert_eq!(handle(&mut machine, 2, Input::Established), [Action::Send]);
    for text in 1..=3 {
        assert_eq!(machine.in_air(), Some(&text));
        let mut expected = vec![Action::Delivered(text)];
        if text < 3 {
            expected.push(Action::Send);
        }
        assert_eq!(handle(&mut machine, 2, Input::Answered(Fate::Delivered)), expected);
    }
    assert_eq!((machine.state(), machine.unsent()), (State::Open, 0));
}

#[test]
fn a_refused_invite_gives_all_texts_back_in_order() {
    let mut machine = Machine::inviting(at(0));
    handle(&mut machine, 0, Input::Text(1));
    handle(&mut machine, 0, Input::Text(2));
    let log = handle(&mut machine, 1, Input::Refused(failure(486)));
    assert_eq!(log, [Action::Refused(vec![1, 2], failure(486)), Action::Forget]);
    assert_eq!(machine.state(), State::Over);
}

#[test]
fn an_invite_that_rings_too_long_is_cancelled_and_its_texts_go_back_once() {
    let mut machine = Machine::inviting(at(0));
    handle(&mut machine, 0, Input::Text(1));
    assert_eq!(machine.deadline(IDLE), Some(at(0) + RING));
    let log = handle(&mut machine, RING.as_secs(), Input::Timeout);
    assert!(matches!(&log[..], [Action::Return(1, _), Action::Cancel]), "{log:?}");
    assert!(!machine.takes_texts());
    // A 2xx that crosses the CANCEL makes a session that nobody wants.
    assert_eq!(handle(&mut machine, 50, Input::Established), [Action::Bye]);
    assert_eq!(handle(&mut machine, 51, Input::Ended), [Action::Forget]);
}

#[test]
fn check_053_an_idle_session_ends_and_its_texts_count_as_life() {
    let mut machine = open();
    assert_eq!(machine.deadline(IDLE), Some(at(600)));
    handle(&mut machine, 500, Input::Heard);
    assert_eq!(handle(&mut machine, 600, Input::Timeout), []);
    handle(&mut machine, 1000, Input::Text(1));
    handle(&mut machine, 1000, Input::Answered(Fate::Delivered));
    assert_eq!(machine.deadline(IDLE), Some(at(1600)));
    assert_eq!(handle(&mut machine, 1600, Input::Timeout), [Action::Bye]);
    assert_eq!(handle(&mut machine, 1600, Input::Ended), [Action::Forget]);
}

#[test]
fn check_052_who_leaves_is_said_goodbye_after_the_last_text() {
    let mut machine = open();
    handle(&mut machine, 1, Input::Text(1));
    handle(&mut machine, 1, Input::Text(2));
    assert_eq!(handle(&mut machine, 1, Input::Leave), []);
    assert_eq!(
        handle(&mut machine, 1, Input::Answered(Fate::Delivered)),
        [Action::Delivered(1), Action::Send]
    );
    let log = handle(&mut machine, 1, Input::Answered(Fate::Delivered));
    assert_eq!(log, [Action::Delivered(2), Action::Bye]);
    assert_eq!(handle(&mut open(), 1, Input::Leave), [Action::Bye]);
}

#[test]
fn their_bye_sends_what_waits_to_the_next_session() {
    let mut machine = open();
    assert_eq!(handle(&mut machine, 1, Input::Text(1)), [Action::Send]);
    handle(&mut machine, 1, Input::Text(2));
    assert_eq!(handle(&mut machine, 1, Input::Bye), []);
    let log = handle(&mut machine, 2, Input::Answered(Fate::Delivered));
    assert_eq!(log, [Action::Delivered(1), Action::Again(vec![2], false), Action::Forget]);
    assert_eq!(handle(&mut open(), 1, Input::Bye), [Action::Forget]);
}

#[test]
fn a_text_in_a_dialog_that_is_gone_is_sent_once_more_and_no_third_time() {
    let mut machine = open();
    handle(&mut machine, 1, Input::Text(1));
    handle(&mut machine, 1, Input::Text(2));
    let log = handle(&mut machine, 1, Input::Answered(Fate::NoDialog(failure(481))));
    assert_eq!(log, [Action::Again(vec![1, 2], true), Action::Forget]);
    let mut next = Machine::inviting(at(1));
    handle(&mut next, 1, Input::Text(1));
    next.mark_again();
    handle(&mut next, 1, Input::Established);
    let log = handle(&mut next, 1, Input::Answered(Fate::NoDialog(failure(481))));
    assert_eq!(log, [Action::Return(1, failure(481))]);
}

#[test]
fn one_refused_text_does_not_stop_the_next_and_silence_takes_all() {
    let mut machine = open();
    for text in 1..=4 {
        handle(&mut machine, 1, Input::Text(text));
    }
    let log = handle(&mut machine, 1, Input::Answered(Fate::Refused(failure(415))));
    assert_eq!(log, [Action::Return(1, failure(415)), Action::Send]);
    let log = handle(&mut machine, 1, Input::Answered(Fate::Silent(failure(504))));
    let back = |text| Action::Return(text, failure(504));
    assert_eq!(log, [back(2), back(3), back(4), Action::Bye]);
}

#[test]
fn a_right_that_is_lost_returns_what_waits_and_says_goodbye_or_cancels() {
    let mut machine = open();
    handle(&mut machine, 1, Input::Text(1));
    handle(&mut machine, 1, Input::Text(2));
    let log = handle(&mut machine, 1, Input::Revoke(failure(403)));
    assert_eq!(log, [Action::Return(2, failure(403)), Action::Bye]);
    assert_eq!(handle(&mut machine, 1, Input::Ended), [], "the text in the air has its answer to come");
    let log = handle(&mut machine, 1, Input::Answered(Fate::Delivered));
    assert_eq!(log, [Action::Delivered(1), Action::Forget]);
    let mut machine = Machine::inviting(at(0));
    handle(&mut machine, 0, Input::Text(1));
    let log = handle(&mut machine, 1, Input::Revoke(failure(403)));
    assert_eq!(log, [Action::Return(1, failure(403)), Action::Cancel]);
    let mut machine = Machine::<u32>::answering(at(0));
    assert_eq!(handle(&mut machine, 1, Input::Revoke(failure(403))), []);
    assert_eq!(handle(&mut machine, 1, Input::Accepted), [Action::Bye]);
}

#[test]
fn texts_wait_for_our_answer_to_their_invite() {
    let mut machine = Machine::answering(at(0));
    assert_eq!(handle(&mut machine, 0, Input::Text(1)), []);
    assert_eq!(handle(&mut machine, 0, Input::Accepted), [Action::Send]);
    let mut machine = Machine::answering(at(0));
    handle(&mut machine, 0, Input::Text(1));
    assert_eq!(handle(&mut machine, 0, Input::Rejected), [Action::Again(vec![1], false), Action::Forget]);
}

#[test]
fn check_064_the_first_text_is_known_again_once_and_for_a_while() {
    let mut machine = Machine::<u32>::answering(at(0));
    machine.expect_again(at(0), "hello");
    assert!(machine.is_again(at(1), "hello\r\n"));
    assert!(!machine.is_again(at(1), "hello"), "somebody says it twice");
    machine.expect_again(at(0), "hello");
    assert!(!machine.is_again(at(1), "other"));
    assert!(!machine.is_again(at(1), "hello"), "it was not the first");
    machine.expect_again(at(0), "hello");
    assert!(!machine.is_again(at(11), "hello"), "that is somebody who says it again");
}

/// Every input in every state that can be reached within a few steps: each text that went in comes out at
/// most once, and has come out when the session is over.
#[test]
fn every_text_comes_out_once_on_every_way() {
    const INPUTS: usize = 13;
    let input = |which: usize, text: u32| match which {
        0 => Input::Text(text),
        1 => Input::Established,
        2 => Input::Refused(failure(480)),
        3 => Input::Accepted,
        4 => Input::Rejected,
        5 => Input::Answered(Fate::Delivered),
        6 => Input::Answered(Fate::Refused(failure(415))),
        7 => Input::Answered(Fate::NoDialog(failure(481))),
        8 => Input::Answered(Fate::Silent(failure(504))),
        9 => Input::Bye,
        10 => Input::Leave,
        11 => Input::Revoke(failure(403)),
        12 => Input::Timeout,
        _ => Input::Ended,
    };
    let mut ways = 0;
    let mut over = 0;
    for start in [State::Inviting, State::Answering] {
        for way in 0..(INPUTS + 1).pow(4) {
            let mut machine = Machine::new(start, at(0));
            let mut out = BTreeSet::new();
            let mut log = handle(&mut machine, 0, Input::Text(0));
            let (mut rest, mut last) = (way, 0);
            for step in 0..4u32 {
                log.extend(handle(&mut machine, u64::from(step) * 900, input(rest % (INPUTS + 1), step + 1)));
                rest /= INPUTS + 1;
                last = u64::from(step) * 900;
            }
            // And then nothing more is heard.
            for more in 1..4 {
                log.extend(handle(&mut machine, last + 2000 * more, Input::Timeout));
            }
            let mut forgets = 0;
            for action in log {
                let texts = match action {
                    Action::Delivered(text) | Action::Return(text, _) => vec![text],
                    Action::Refused(texts, _) | Action::Again(texts, _) => texts,
                    Action::Forget => {
                        forgets += 1;
                        vec![]
                    }
                    Action::Send | Action::Cancel | Action::Bye => vec![],
                };
                for text in texts {
                    assert!(out.insert(text), "{text} came out twice by {way} from {start:?}");
                }
            }
            assert!(forgets <= 1, "{way} from {start:?}");
            ways += 1;
            if machine.state() == State::Over {
                over += 1;
                assert_eq!((forgets, machine.unsent()), (1, 0), "{way} from {start:?}");
                assert!(out.contains(&0), "a text was lost by {way} from {start:?}");
            }
            assert!(machine.state() == State::Over || machine.deadline(IDLE).is_some());
        }
    }
    assert!(over > ways / 2, "{over} of {ways}");
}
