//! Every state meets every event: the table, and what the machine does.

use super::*;

fn world_in(state: State, event: Event) -> World {
    let mut world = match state {
        State::Init => {
            let mut world = World::new();
            assert_eq!(world.subscribe(0), "probe");
            world
        }
        State::Pending => World::pending(),
        State::Active => World::active(),
        State::Terminated => World::terminated(),
    };
    if event == Event::NotifyDue && state == State::Active {
        world.on(Input::Presence);
        world.ok(0);
        world.on(Input::Presence);
    }
    assert_eq!(world.state(), state);
    world
}

fn walked(state: State, event: Event) -> String {
    let mut world = world_in(state, event);
    let mut actions = Vec::new();
    let now = world.now();
    let leg = match event {
        Event::Subscribe | Event::Fetch | Event::TooBrief => Leg(7),
        _ => Leg(0),
    };
    let expires = if matches!(event, Event::Fetch | Event::Unsubscribe) { 0 } else { 600 };
    let mut turn = Turn { now, settings: &world.settings, ids: &mut world.ids, actions: &mut actions };
    world.machine.step(&mut turn, event, Some(leg), expires);
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
                assert_eq!(walked, format!("-> {state:?}"), "{event:?} {state:?}");
            }
        }
    }
    let expected = include_str!("walk.txt");
    assert!(text == expected, "{text}");
}
