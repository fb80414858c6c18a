//! Every state meets every event: the table, and what the machine does.

use super::*;

/// A machine in that state, with as much under way as there can be.
fn world_in(state: State, event: Event) -> World {
    let mut world = match state {
        State::None => {
            let mut world = World::new();
            world.on(Input::Probe);
            world
        }
        State::Pending => World::pending(),
        State::Active => World::active(),
        State::Dormant => World::dormant(),
        State::Retry => World::retry(),
    };
    world.sleep(61);
    let answers = [
        Event::Accepted,
        Event::TooBrief,
        Event::Refused,
        Event::NoSuchUser,
        Event::DialogGone,
        Event::Failed,
        Event::Unanswered,
        Event::TimerN,
    ];
    if answers.contains(&event) && matches!(state, State::Pending | State::Active) {
        // A refresh is under way.
        assert_eq!(world.timeout(), "re-SUBSCRIBE 3600");
    }
    assert_eq!(world.state(), state);
    world
}

fn walked(state: State, event: Event) -> String {
    let mut world = world_in(state, event);
    let mut actions = Vec::new();
    let now = world.now();
    let status = match event {
        Event::Accepted => 200,
        Event::TooBrief => 423,
        Event::Refused => 403,
        Event::NoSuchUser => 404,
        Event::DialogGone => 481,
        _ => 500,
    };
    let facts = Facts { status, min_expires: Some(7200), has_document: true, ..Facts::default() };
    let mut turn = Turn { now, settings: &world.settings, ids: &mut world.ids, actions: &mut actions };
    world.machine.step(&mut turn, event, facts);
    let said = actions.iter().map(said).collect::<Vec<_>>().join(", ");
    let arrow = if said.is_empty() { "" } else { " " };
    format!("{said}{arrow}-> {:?}", world.state())
}

#[test]
fn every_state_and_event_does_what_the_table_says() {
    let mut text = String::new();
    for event in Event::ALL {
        for state in State::ALL {
            let step = table::rule(state, event);
            let walked = walked(state, event);
            text += &format!("{event:?} {state:?} {step:?}: {walked}\n");
            if step == Step::Ignore {
                let silent = if event.origin() == table::Origin::Notify { "481 " } else { "" };
                assert_eq!(walked, format!("{silent}-> {state:?}"), "{event:?} {state:?}");
            }
        }
    }
    let expected = include_str!("walk.txt");
    assert!(text == expected, "{text}");
}

#[test]
fn every_status_and_state_is_one_event() {
    for status in 200..700 {
        let event = event_of_status(status);
        assert_eq!(event == Event::Accepted, status < 300, "{status}");
        assert_eq!(event == Event::Refused, [403, 489, 603].contains(&status), "{status}");
        assert_eq!(event == Event::NoSuchUser, [404, 410, 604].contains(&status), "{status}");
    }
    // RFC 6665 §4.1.2.2: these end a subscription; all of them end the dialog here too.
    for status in [404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604] {
        assert_ne!(event_of_status(status), Event::Failed, "{status}");
    }
}
