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

/// What becomes of the oldest text in the air.
fn answer(machine: &mut Machine<u32>, seconds: u64, fate: Fate) -> Log {
    let oldest = machine.in_air.front().map_or(Ticket(u64::MAX), |sent| sent.ticket);
    handle(machine, seconds, Input::Answered(oldest, fate))
}

fn failure(status: u16) -> Failure {
    Failure::new(Condition::RecipientUnavailable, status, "no")
}

/// An open session that we invited to, whose first text was delivered.
fn open() -> Machine<u32> {
    let mut machine = Machine::inviting(at(0));
    assert_eq!(handle(&mut machine, 0, Input::Text(0, 10)), []);
    assert_eq!(handle(&mut machine, 0, Input::Established), [Action::Send(Ticket(0))]);
    assert_eq!(answer(&mut machine, 0, Fate::Delivered), [Action::Delivered(0)]);
    machine
}

#[test]
fn check_041_texts_wait_in_order_for_the_answer_and_go_out_one_by_one() {
    let mut machine = Machine::inviting(at(0));
    for text in 1..=3 {
        assert_eq!(handle(&mut machine, 1, Input::Text(text, 10)), []);
    }
    assert_eq!(handle(&mut machine, 2, Input::Established), [Action::Send(Ticket(0))]);
    for text in 1..=3u32 {
        assert_eq!(machine.in_air(Ticket(u64::from(text) - 1)), Some(&text));
        let mut expected = vec![Action::Delivered(text)];
        if text < 3 {
            expected.push(Action::Send(Ticket(u64::from(text))));
        }
        assert_eq!(answer(&mut machine, 2, Fate::Delivered), expected);
    }
    assert_eq!((machine.state(), machine.unsent()), (State::Open, 0));
}

#[test]
fn a_refused_invite_gives_all_texts_back_in_order() {
    let mut machine = Machine::inviting(at(0));
    handle(&mut machine, 0, Input::Text(1, 10));
    handle(&mut machine, 0, Input::Text(2, 10));
    let log = handle(&mut machine, 1, Input::Refused(failure(486)));
    assert_eq!(log, [Action::Refused(vec![1, 2], failure(486)), Action::Forget]);
    assert_eq!(machine.state(), State::Over);
}

#[test]
fn an_invite_that_rings_too_long_is_cancelled_and_its_texts_go_back_once() {
    let mut machine = Machine::inviting(at(0));
    handle(&mut machine, 0, Input::Text(1, 10));
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
    handle(&mut machine, 1000, Input::Text(1, 10));
    answer(&mut machine, 1000, Fate::Delivered);
    assert_eq!(machine.deadline(IDLE), Some(at(1600)));
    assert_eq!(handle(&mut machine, 1600, Input::Timeout), [Action::Bye]);
    assert_eq!(handle(&mut machine, 1600, Input::Ended), [Action::Forget]);
}

#[test]
fn check_052_who_leaves_is_said_goodbye_after_the_last_text() {
    let mut machine = open();
    handle(&mut machine, 1, Input::Text(1, 10));
    handle(&mut machine, 1, Input::Text(2, 10));
    assert_eq!(handle(&mut machine, 1, Input::Leave), []);
    assert_eq!(answer(&mut machine, 1, Fate::Delivered), [Action::Delivered(1), Action::Send(Ticket(2))]);
    let log = answer(&mut machine, 1, Fate::Delivered);
    assert_eq!(log, [Action::Delivered(2), Action::Bye]);
    assert_eq!(handle(&mut open(), 1, Input::Leave), [Action::Bye]);
}

#[test]
fn their_bye_sends_what_waits_to_the_next_session() {
    let mut machine = open();
    assert_eq!(handle(&mut machine, 1, Input::Text(1, 10)), [Action::Send(Ticket(1))]);
    handle(&mut machine, 1, Input::Text(2, 10));
    assert_eq!(handle(&mut machine, 1, Input::Bye), []);
    let log = answer(&mut machine, 2, Fate::Delivered);
    assert_eq!(log, [Action::Delivered(1), Action::Again(vec![2], 0), Action::Forget]);
    assert_eq!(handle(&mut open(), 1, Input::Bye), [Action::Forget]);
}

#[test]
fn a_text_in_a_dialog_that_is_gone_is_sent_once_more_and_no_third_time() {
    let mut machine = open();
    handle(&mut machine, 1, Input::Text(1, 10));
    handle(&mut machine, 1, Input::Text(2, 10));
    let log = answer(&mut machine, 1, Fate::NoDialog(failure(481)));
    assert_eq!(log, [Action::Again(vec![1, 2], 1), Action::Forget]);
    let mut next = Machine::inviting(at(1));
    handle(&mut next, 1, Input::Text(1, 10));
    next.mark_again();
    handle(&mut next, 1, Input::Established);
    let log = answer(&mut next, 1, Fate::NoDialog(failure(481)));
    assert_eq!(log, [Action::Return(1, failure(481))]);
}

#[test]
fn one_refused_text_does_not_stop_the_next_and_silence_takes_all() {
    let mut machine = open();
    for text in 1..=4 {
        handle(&mut machine, 1, Input::Text(text, 10));
    }
    let log = answer(&mut machine, 1, Fate::Refused(failure(415)));
    assert_eq!(log, [Action::Return(1, failure(415)), Action::Send(Ticket(2))]);
    let log = answer(&mut machine, 1, Fate::Silent(failure(504)));
    let back = |text| Action::Return(text, failure(504));
    assert_eq!(log, [back(2), back(3), back(4), Action::Bye]);
}

#[test]
fn a_right_that_is_lost_returns_what_waits_and_says_goodbye_or_cancels() {
    let mut machine = open();
    handle(&mut machine, 1, Input::Text(1, 10));
    handle(&mut machine, 1, Input::Text(2, 10));
    let log = handle(&mut machine, 1, Input::Revoke(failure(403)));
    assert_eq!(log, [Action::Return(2, failure(403)), Action::Bye]);
    assert_eq!(handle(&mut machine, 1, Input::Ended), [], "the text in the air has its answer to come");
    let log = answer(&mut machine, 1, Fate::Delivered);
    assert_eq!(log, [Action::Delivered(1), Action::Forget]);
    let mut machine = Machine::inviting(at(0));
    handle(&mut machine, 0, Input::Text(1, 10));
    let log = handle(&mut machine, 1, Input::Revoke(failure(403)));
    assert_eq!(log, [Action::Return(1, failure(403)), Action::Cancel]);
    let mut machine = Machine::<u32>::answering(at(0));
    assert_eq!(handle(&mut machine, 1, Input::Revoke(failure(403))), []);
    assert_eq!(handle(&mut machine, 1, Input::Accepted), [Action::Bye]);
}

#[test]
fn texts_wait_for_our_answer_to_their_invite() {
    let mut machine = Machine::answering(at(0));
    assert_eq!(handle(&mut machine, 0, Input::Text(1, 10)), []);
    assert_eq!(handle(&mut machine, 0, Input::Accepted), [Action::Send(Ticket(0))]);
    let mut machine = Machine::answering(at(0));
    handle(&mut machine, 0, Input::Text(1, 10));
    assert_eq!(handle(&mut machine, 0, Input::Rejected), [Action::Again(vec![1], 0), Action::Forget]);
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

/// An open session of a way that keeps the order, with three of its four texts in the air.
fn overlapping() -> Machine<u32> {
    let mut machine = Machine::inviting(at(0));
    machine.overlap(Window { texts: 3, octets: 100 });
    for text in 0..4 {
        assert_eq!(handle(&mut machine, 0, Input::Text(text, 10)), []);
    }
    let log = handle(&mut machine, 0, Input::Established);
    assert_eq!(log, [0, 1, 2].map(|ticket| Action::Send(Ticket(ticket))));
    machine
}

#[test]
fn texts_overlap_where_the_way_keeps_their_order_and_are_answered_in_any() {
    let mut machine = overlapping();
    let log = handle(&mut machine, 1, Input::Answered(Ticket(1), Fate::Delivered));
    assert_eq!(log, [Action::Delivered(1), Action::Send(Ticket(3))]);
    assert_eq!(handle(&mut machine, 1, Input::Answered(Ticket(1), Fate::Delivered)), [], "once");
    let log = handle(&mut machine, 1, Input::Answered(Ticket(3), Fate::Refused(failure(413))));
    assert_eq!(log, [Action::Return(3, failure(413))]);
    assert_eq!(handle(&mut machine, 1, Input::Leave), [], "what is in the air is waited for");
    assert_eq!(answer(&mut machine, 1, Fate::Delivered), [Action::Delivered(0)]);
    assert_eq!(answer(&mut machine, 1, Fate::Delivered), [Action::Delivered(2), Action::Bye]);
}

#[test]
fn what_overlaps_is_bounded_in_octets_and_one_long_text_goes_alone() {
    let mut machine = Machine::inviting(at(0));
    machine.overlap(Window { texts: 3, octets: 100 });
    for (text, octets) in [(0, 60), (1, 60), (2, 500), (3, 1)] {
        handle(&mut machine, 0, Input::Text(text, octets));
    }
    assert_eq!(handle(&mut machine, 0, Input::Established), [Action::Send(Ticket(0))]);
    for text in 0..3u32 {
        let next = Action::Send(Ticket(u64::from(text) + 1));
        assert_eq!(answer(&mut machine, 0, Fate::Delivered), [Action::Delivered(text), next]);
    }
}

#[test]
fn texts_of_a_dialog_that_is_gone_go_to_the_next_in_their_order_when_all_are_answered() {
    let gone = || Fate::NoDialog(failure(481));
    let mut machine = overlapping();
    for ticket in [2, 0] {
        assert_eq!(handle(&mut machine, 1, Input::Answered(Ticket(ticket), gone())), []);
        assert!(!machine.takes_texts());
    }
    let log = handle(&mut machine, 1, Input::Answered(Ticket(1), gone()));
    assert_eq!(log, [Action::Again(vec![0, 1, 2, 3], 3), Action::Forget]);
    // Nobody knows of one of them: it alone goes back.
    let mut machine = overlapping();
    handle(&mut machine, 1, Input::Answered(Ticket(0), Fate::Refused(failure(408))));
    for ticket in [1, 2] {
        handle(&mut machine, 1, Input::Answered(Ticket(ticket), gone()));
    }
    let log = handle(&mut machine, 1, Input::Answered(Ticket(3), gone()));
    assert_eq!(log, [Action::Again(vec![1, 2, 3], 3), Action::Forget]);
    // And the answers of the rest never come.
    let mut machine = overlapping();
    handle(&mut machine, 1, Input::Answered(Ticket(0), gone()));
    let log = handle(&mut machine, 100, Input::Timeout);
    assert!(
        matches!(&log[..], [Action::Return(1, _), Action::Return(2, _), Action::Again(texts, 1), Action::Forget]
        if *texts == [0, 3]),
        "{log:?}"
    );
}

/// Every input in every state that can be reached within a few steps: each text that went in comes out at
/// most once, and has come out when the session is over.
#[test]
fn every_text_comes_out_once_on_every_way() {
    const INPUTS: usize = 13;
    let input = |which: usize, text: u32, oldest: Ticket| match which {
        0 => Input::Text(text, 10),
        1 => Input::Established,
        2 => Input::Refused(failure(480)),
        3 => Input::Accepted,
        4 => Input::Rejected,
        5 => Input::Answered(oldest, Fate::Delivered),
        6 => Input::Answered(oldest, Fate::Refused(failure(415))),
        7 => Input::Answered(oldest, Fate::NoDialog(failure(481))),
        8 => Input::Answered(oldest, Fate::Silent(failure(504))),
        9 => Input::Bye,
        10 => Input::Leave,
        11 => Input::Revoke(failure(403)),
        12 => Input::Timeout,
        _ => Input::Ended,
    };
    let mut ways = 0;
    let mut over = 0;
    for (start, texts) in
        [(State::Inviting, 1), (State::Answering, 1), (State::Inviting, 2), (State::Answering, 2)]
    {
        for way in 0..(INPUTS + 1).pow(4) {
            let mut machine = Machine::new(start, at(0));
            machine.overlap(Window { texts, octets: usize::MAX });
            let mut out = BTreeSet::new();
            let mut log = handle(&mut machine, 0, Input::Text(0, 10));
            let (mut rest, mut last) = (way, 0);
            for step in 0..4u32 {
                let oldest = machine.in_air.front().map_or(Ticket(u64::MAX), |sent| sent.ticket);
                let input = input(rest % (INPUTS + 1), step + 1, oldest);
                log.extend(handle(&mut machine, u64::from(step) * 900, input));
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
                    Action::Send(_) | Action::Cancel | Action::Bye => vec![],
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
