//! Every state meets every input: the table, and that a session does what it says.

use super::*;
use crate::sip::session::state::{Input, Step, next};

/// A session in that state.
fn world_in(state: State) -> World {
    let mut world = match state {
        State::Inviting | State::Leaving | State::Over => calling(),
        State::Invited => called_with(""),
        State::Accepted | State::Parting => accepted_with(""),
        State::Established => {
            let mut world = calling();
            world.establish("");
            world
        }
    };
    match state {
        State::Leaving => assert!(matches!(world.session.end(), Leave::Cancel)),
        State::Parting => assert!(matches!(world.session.end(), Leave::Wait)),
        State::Over => {
            world.establish("");
            assert!(matches!(world.session.end(), Leave::Bye(_)));
        }
        State::Inviting | State::Invited | State::Accepted | State::Established => {}
    }
    assert_eq!(world.session.state(), state);
    world
}

/// What a session in `state` does with `input`; None where it can't come to it.
fn does(world: &mut World, input: Input) -> Option<Step> {
    let caller = !world.session.is_callee();
    let contact = "Contact: <sip:romeo@192.0.2.9>\r\n";
    Some(match input {
        Input::Progress | Input::Success | Input::Failure if !caller => return None,
        Input::Progress => match world.answer(180, "theirs", contact) {
            Answered::Ringing => Step::Ring,
            Answered::Cancel => Step::Cancel,
            Answered::Nothing => Step::Nothing,
            other => panic!("{other:?}"),
        },
        Input::Success => match world.answer(200, "theirs", contact) {
            Answered::Established { .. } => Step::Establish,
            Answered::Ended { .. } => Step::AckAndBye,
            Answered::Acknowledge(_) => Step::AckAgain,
            other => panic!("{other:?}"),
        },
        Input::Failure => match world.answer(486, "theirs", "") {
            Answered::Refused { status: 486 } => Step::Refuse,
            Answered::Nothing => Step::Nothing,
            other => panic!("{other:?}"),
        },
        Input::Accept => match world.session.accept(world.now, CONTACT, SDP, OFFER) {
            Some(_) => Step::Answer,
            None => Step::Nothing,
        },
        Input::Decline => {
            if world.session.decline() {
                Step::TurnDown
            } else {
                Step::Nothing
            }
        }
        Input::Ack => match world.ack(1) {
            Acked::Nothing => Step::Nothing,
            Acked::Confirmed => Step::Confirm,
            Acked::Bye(_) => Step::SendBye,
        },
        Input::NoAck if !world.session.awaits_ack() => return None,
        Input::NoAck => {
            world.pass(32);
            match world.session.on_timer(world.now) {
                Due::End(_) => Step::SendBye,
                other => panic!("{other:?}"),
            }
        }
        Input::Bye => match world.hear("BYE", 9, "", "") {
            Ok(InDialog::Bye) => Step::TakeBye,
            Err(reject) if reject.status == 481 => Step::Unknown,
            other => panic!("{other:?}"),
        },
        Input::End => match world.session.end() {
            Leave::Bye(_) => Step::SendBye,
            Leave::Cancel => Step::Cancel,
            Leave::TurnDown => Step::TurnDown,
            Leave::Wait => Step::Wait,
            Leave::Nothing => Step::Nothing,
        },
        Input::Lost => {
            let request = world.session.request(Method::Message, &[], "text/plain", b"x")?;
            match world.session.on_failure(world.now, &request, 408) {
                Answered::Gone { bye: Some(_), status: 408 } => Step::SendBye,
                Answered::Gone { bye: None, status: 408 } => Step::Wait,
                other => panic!("{other:?}"),
            }
        }
    })
}

const TABLE: &str = "\
Progress: Inviting Ring | Leaving Cancel | - | - | - | - | -
Success: Inviting Establish Established | Leaving AckAndBye Over | - | - | - | Established AckAgain | Over AckAgain
Failure: Inviting Refuse Over | Leaving Refuse Over | - | - | - | - | -
Accept: - | - | Invited Answer Accepted | - | - | - | -
Decline: - | - | Invited TurnDown Over | - | - | - | -
Ack: - | - | - | Accepted Confirm Established | Parting SendBye Over | - | -
NoAck: - | - | - | Accepted SendBye Over | Parting SendBye Over | Established SendBye Over | -
Bye: Inviting TakeBye Leaving | Leaving TakeBye | Invited TakeBye Over | Accepted TakeBye Over | Parting TakeBye Over | Established TakeBye Over | Over Unknown
End: Inviting Cancel Leaving | - | Invited TurnDown Over | Accepted Wait Parting | - | Established SendBye Over | -
Lost: Inviting Cancel Leaving | - | Invited TurnDown Over | Accepted Wait Parting | - | Established SendBye Over | -
";

#[test]
fn every_state_and_input_does_what_the_table_says() {
    let mut text = String::new();
    for input in Input::ALL {
        let cells = State::ALL.map(|state| match next(state, input) {
            (same, Step::Nothing) => {
                assert_eq!(same, state, "a move without a step: {state:?} {input:?}");
                "-".to_owned()
            }
            (same, step) if same == state => format!("{state:?} {step:?}"),
            (other, step) => format!("{state:?} {step:?} {other:?}"),
        });
        text += &format!("{input:?}: {}\n", cells.join(" | "));
    }
    assert_eq!(text, TABLE);
}

#[test]
fn a_session_in_each_state_does_with_each_input_what_the_table_says() {
    let mut walked = 0;
    for state in State::ALL {
        for input in Input::ALL {
            let mut world = world_in(state);
            if input == Input::Bye && matches!(state, State::Inviting | State::Leaving) {
                // Only an early dialog has somebody to send it.
                assert_eq!(status(world.hear("BYE", 9, "", "")), 481);
                world.answer(180, "theirs", "Contact: <sip:romeo@192.0.2.9>\r\n");
            }
            let Some(done) = does(&mut world, input) else { continue };
            walked += 1;
            let (then, step) = next(state, input);
            let done = if (state, input) == (State::Over, Input::Bye) { Step::Unknown } else { done };
            assert_eq!((done, world.session.state()), (step, then), "{state:?} {input:?}");
            if then == State::Over {
                assert_eq!(world.session.deadline(), None, "{state:?} {input:?}: something is still due");
            }
        }
    }
    // 70, less what has no way to a session: nine answers to an INVITE that it did not send, five times
    // the lack of an ACK that is not owed, and five times the loss of a request that could not be sent.
    assert_eq!(walked, 51);
}

#[test]
fn over_is_over() {
    for input in Input::ALL {
        assert_eq!(next(State::Over, input).0, State::Over);
    }
}
