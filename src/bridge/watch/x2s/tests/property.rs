//! Whatever comes, in any order.

use super::*;
use proptest::prelude::*;

fn any_input() -> impl Strategy<Value = (u8, u16, u8, Option<u32>, bool, u64)> {
    let seconds = prop_oneof![Just(None), (0u32..10_000).prop_map(Some), Just(Some(u32::MAX))];
    (
        0u8..26,
        100u16..700,
        0u8..8,
        seconds,
        any::<bool>(),
        prop_oneof![0u64..20, 0u64..5000, Just(100_000u64)],
    )
}

const STATUSES: [u16; 14] = [200, 202, 204, 423, 403, 489, 603, 404, 481, 500, 503, 408, 302, 100];
const REASONS: [Option<EndReason>; 9] = [
    None,
    Some(EndReason::Other),
    Some(EndReason::Deactivated),
    Some(EndReason::Probation),
    Some(EndReason::Rejected),
    Some(EndReason::Timeout),
    Some(EndReason::Giveup),
    Some(EndReason::NoResource),
    Some(EndReason::Invariant),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_order_of_inputs_breaks_the_promises(
        inputs in proptest::collection::vec(any_input(), 1..80),
        seed in any::<u8>(),
    ) {
        let mut world = World::new();
        world.ids = Ids::new([seed; 32], Owner::default());
        // Changes that the store has not confirmed, and what was asked and confirmed.
        let mut unsaved = 0;
        let (mut approvals, mut announced) = (0, 0);
        let (mut ends, mut fetches, mut denials) = (0, 0, 0);
        // When the last two new dialogs were asked for.
        let (mut tried, mut before): (Option<u64>, Option<u64>) = (None, None);
        let mut forgotten = false;
        for (kind, number, reason, seconds, flag, pause) in inputs {
            world.millis += pause * 1000;
            let status = STATUSES[usize::from(number) % STATUSES.len()];
            let terminated = SubscriptionState {
                state: Substate::Terminated,
                reason: REASONS[usize::from(number) % REASONS.len()],
                expires: seconds,
                retry_after: seconds.filter(|_| flag),
            };
            let state = |state| SubscriptionState { state, reason: None, expires: seconds, retry_after: None };
            let serial = if reason == 0 { number as u8 } else { world.serial };
            let input = match kind {
                0 | 1 => Input::Subscribe,
                2 | 3 => Input::Probe,
                4 => Input::Interest,
                5 => Input::Disinterest,
                6 => Input::Unsubscribe,
                7..=9 => {
                    let answer = Answer { status, expires: seconds, min_expires: seconds, retry_after: seconds };
                    Input::Answered { serial, answer }
                }
                10 => Input::Unanswered { serial },
                11 | 12 => Input::Notify(Notified { state: state(Substate::Active), has_document: flag }),
                13 => Input::Notify(Notified { state: state(Substate::Pending), has_document: flag }),
                14 => Input::Notify(Notified { state: state(Substate::Other), has_document: flag }),
                15 | 16 => Input::Notify(Notified { state: terminated, has_document: flag }),
                17 => Input::LinkLost,
                18 => Input::LinkBack,
                19 => Input::RightLost,
                20 => Input::RightBack,
                21 | 22 if unsaved > 0 => {
                    unsaved -= 1;
                    Input::Durable
                }
                _ => {
                    if let Some(at) = world.machine.deadline() {
                        world.millis = world.millis.max(at.as_micros().div_ceil(1000));
                    }
                    Input::Timeout
                }
            };
            let suspended = world.machine.is_granted() && !world.machine.has_right();
            let actions = world.actions(input);
            let taken = suspended && !world.machine.is_granted();
            let wanted = matches!(input, Input::Unsubscribe | Input::Subscribe);
            prop_assert!(!taken || wanted, "without the right nothing takes the authorization");
            prop_assert!(actions.len() <= crate::bridge::watch::MAX_ACTIONS);
            let answers = actions.iter().filter(|action| matches!(action, Action::Answer(_))).count();
            prop_assert_eq!(answers, usize::from(matches!(input, Input::Notify(_))), "each NOTIFY once");
            for (at, action) in actions.iter().enumerate() {
                match action {
                    Action::Persist(save) => {
                        unsaved += usize::from(save.is_awaited());
                        match save {
                            Save::Put(Consent::Granted) => approvals += 1,
                            Save::Gone => ends += 1,
                            Save::Put(Consent::Asked | Consent::Announced) | Save::Used => {}
                        }
                    }
                    Action::Stanza(Stanza::Subscribed) => {
                        prop_assert_eq!(unsaved, 0, "what is said is durable");
                        // Each `subscribe` gets its own answer.
                        announced += usize::from(input != Input::Subscribe);
                        prop_assert!(world.machine.is_granted());
                    }
                    Action::Stanza(Stanza::Unsubscribed) => {
                        prop_assert_eq!(unsaved, 0);
                        prop_assert!(input != Input::RightLost && input != Input::RightBack);
                        prop_assert!(!world.machine.is_granted());
                        denials += 1;
                    }
                    Action::SendSubscribe { within: Within::New, expires, .. } => {
                        fetches += usize::from(*expires == 0);
                        prop_assert!(world.machine.has_right());
                        let lengthened = status == 423 && matches!(input, Input::Answered { .. });
                        if let (Some(before), false) = (before, lengthened) {
                            prop_assert!(world.millis >= before + 30_000, "no storm");
                        }
                        if !lengthened {
                            before = tried;
                        }
                        tried = Some(world.millis);
                    }
                    Action::SendSubscribe { within: Within::Dialog, expires, .. } => {
                        prop_assert!(*expires == 0 || world.machine.has_right());
                    }
                    Action::Deliver | Action::Replay => {
                        prop_assert!(world.machine.has_right());
                        prop_assert!(world.machine.is_granted() || world.state() == State::None);
                    }
                    Action::Forget => {
                        prop_assert_eq!(at, actions.len() - 1, "last");
                        forgotten = true;
                    }
                    Action::Answer(_) | Action::Stanza(_) => {}
                }
            }
            prop_assert!(announced <= approvals, "one subscribed for one approval");
            prop_assert!(denials <= ends + fetches, "one unsubscribed for one end");
            // A due deadline does not stay due.
            for _ in 0..6 {
                if world.machine.deadline().is_some_and(|at| at <= world.now().mono) && !forgotten {
                    let late = world.actions(Input::Timeout);
                    unsaved += late.iter().filter(|a| matches!(a, Action::Persist(s) if s.is_awaited())).count();
                    forgotten |= late.contains(&Action::Forget);
                    if late.iter().any(|a| matches!(a, Action::SendSubscribe { within: Within::New, .. })) {
                        (before, tried) = (tried, Some(world.millis));
                    }
                    denials += late.iter().filter(|a| **a == Action::Stanza(Stanza::Unsubscribed)).count();
                }
            }
            if forgotten {
                // A new watch for the same pair.
                prop_assert_eq!(unsaved, 0, "nothing is forgotten that is not saved");
                world.machine = Machine::new(world.now());
                world.serial = 0;
                (tried, before) = (None, None);
                forgotten = false;
            } else {
                prop_assert!(world.machine.deadline().is_none_or(|at| at > world.now().mono));
            }
        }
    }
}
