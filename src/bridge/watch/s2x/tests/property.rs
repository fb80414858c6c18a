//! Whatever comes, in any order.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn any_input() -> impl Strategy<Value = (u8, u8, u16, Option<u32>, u64)> {
    let seconds = prop_oneof![
        Just(None),
        Just(Some(0)),
        (0u32..10_000).prop_map(Some),
        Just(Some(3600)),
        Just(Some(u32::MAX))
    ];
    let pause = prop_oneof![Just(0u64), 0u64..3000, 0u64..200_000, Just(90_000_000u64)];
    (0u8..22, any::<u8>(), any::<u16>(), seconds, pause)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_order_of_inputs_breaks_the_promises(
        inputs in proptest::collection::vec(any_input(), 1..80),
    ) {
        let mut world = World::new();
        let mut unsaved = 0;
        let (mut approvals, mut active) = (0usize, false);
        // What each open dialog was told last, and when presence was.
        let mut open: BTreeMap<Leg, Said> = BTreeMap::new();
        let mut forgotten = false;
        for (kind, which, number, seconds, pause) in inputs {
            world.millis += pause;
            let legs: Vec<Leg> = world.machine.legs().collect();
            let leg = legs.get(usize::from(which) % legs.len().max(1)).copied().unwrap_or(Leg(which));
            let input = match kind {
                0..=3 => match world.machine.vacant() {
                    Some(leg) => Input::Subscribe { leg, expires: seconds },
                    None => Input::Presence,
                },
                4 | 5 => Input::Refresh { leg, expires: seconds },
                6 | 7 => Input::Subscribed,
                8 => Input::Unsubscribed,
                9..=11 => Input::Presence,
                12 => Input::Error(Condition::ALL[usize::from(number) % Condition::ALL.len()]),
                13 | 14 => Input::NotifyAnswered { leg, status: [200, 200, 500, 481][usize::from(number) % 4] },
                15 => Input::NotifyUnanswered { leg },
                16 => Input::RightLost,
                17 => Input::SwitchedOff,
                18 => Input::Purge,
                19 | 20 if unsaved > 0 => {
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
            let mut turns = vec![(input, world.actions(input))];
            for _ in 0..4 {
                let due = world.machine.deadline().is_some_and(|at| at <= world.now().mono);
                if due && !turns.iter().any(|(_, actions)| actions.contains(&Action::Forget)) {
                    turns.push((Input::Timeout, world.actions(Input::Timeout)));
                }
            }
            for (input, actions) in turns {
                prop_assert!(actions.len() <= crate::bridge::watch::MAX_ACTIONS, "{}", actions.len());
                let answers = actions
                    .iter()
                    .filter(|a| matches!(a, Action::Accept { .. } | Action::Refuse { .. }))
                    .count();
                if matches!(input, Input::Refresh { .. }) {
                    prop_assert_eq!(answers, 1, "each SUBSCRIBE once");
                }
                for (at, action) in actions.iter().enumerate() {
                    match action {
                        Action::Persist(save) => {
                            unsaved += usize::from(save.is_awaited());
                            approvals += usize::from(*save == Save::Put(Consent::Granted));
                            if *save == Save::Gone {
                                active = false;
                            }
                        }
                        Action::Accept { leg, expires } if *expires > 0 => {
                            let next = actions.get(at + 1..).unwrap_or_default();
                            let notified = next.iter().any(|a| matches!(a, Action::Notify { leg: l, .. } if l == leg));
                            prop_assert!(notified, "a NOTIFY at once");
                        }
                        Action::Notify { leg, said, body } => {
                            match said {
                                Said::Active { .. } => {
                                    prop_assert!(approvals > 0, "no gateway-made approval");
                                    if !active {
                                        prop_assert_eq!(unsaved, 0, "what is said is durable");
                                    }
                                    active = true;
                                    open.insert(*leg, *said);
                                }
                                Said::Pending { .. } => {
                                    prop_assert_eq!(*body, Body::None);
                                    open.insert(*leg, *said);
                                }
                                Said::Terminated { .. } => {
                                    let closed = actions.get(at + 1) == Some(&Action::Close(*leg));
                                    prop_assert!(closed, "nothing follows the end");
                                    open.remove(leg);
                                }
                            }
                        }
                        Action::Close(leg) => {
                            open.remove(leg);
                        }
                        Action::Forget => {
                            prop_assert_eq!(at, actions.len() - 1, "last");
                            prop_assert!(open.is_empty() && unsaved == 0);
                            forgotten = true;
                        }
                        Action::Accept { .. }
                        | Action::Refuse { .. }
                        | Action::Stanza(_)
                        | Action::AddContact => {}
                    }
                }
            }
            let known: Vec<Leg> = world.machine.legs().collect();
            prop_assert!(open.keys().all(|leg| known.contains(leg)), "no dialog without a leg");
            if forgotten {
                world.machine = Machine::new(world.now());
                forgotten = false;
                active = false;
            } else {
                prop_assert!(world.machine.deadline().is_none_or(|at| at > world.now().mono));
            }
        }
    }
}
