#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::ids::Owner;
use crate::now::Now;

fn table(cap: usize) -> (ClientTable<&'static str>, Ids) {
    let guard = LoopGuard::new([3; 32]);
    (ClientTable::new(cap, guard), Ids::new([5; 32], Owner { node: 1, shard: 2 }))
}

fn message(table: &mut ClientTable<&'static str>, ids: &mut Ids, reliability: Reliability) -> ClientKey {
    table.start(Now::at(0).mono, "MESSAGE", reliability, "romeo", ids).unwrap()
}

#[test]
fn a_response_finds_its_transaction_by_the_branch_that_we_minted() {
    let (mut table, mut ids) = table(10);
    let first = message(&mut table, &mut ids, Reliability::Reliable);
    let second = message(&mut table, &mut ids, Reliability::Reliable);
    assert_ne!(first.branch(), second.branch());
    assert_eq!(table.find(second.branch().as_str(), "MESSAGE"), Some(second));
    let branch = first.branch();
    let (key, step) = table.on_response(Now::at(1).mono, branch.as_str(), "MESSAGE", 200).unwrap();
    assert_eq!(key, first);
    assert!(matches!(step, Step::Ended(ClientAction::Deliver, "romeo")), "nothing is kept on TCP");
    assert_eq!(table.len(), 1);
}

#[test]
fn check_150_on_tcp_nothing_is_kept_after_the_final_response_and_on_udp_timer_k() {
    let (mut table, mut ids) = table(10);
    let key = message(&mut table, &mut ids, Reliability::Unreliable);
    let branch = key.branch();
    let (_, step) = table.on_response(Now::at(1).mono, branch.as_str(), "MESSAGE", 200).unwrap();
    assert!(matches!(step, Step::Kept(ClientAction::Deliver, _)));
    assert_eq!(table.deadline(), Some(Now::at(6).mono));
    let mut acts = Vec::new();
    table.on_timer(Now::at(6).mono, &mut |_, part, step| {
        acts.push((part, step.action(), matches!(step, Step::Ended(..))))
    });
    assert_eq!(acts, [(Part::Request, ClientAction::Terminated, true)]);
    assert_eq!((table.len(), table.deadline()), (0, None));
}

#[test]
fn threat_078_stray_and_absurd_responses_are_dropped() {
    let (mut table, mut ids) = table(10);
    let key = message(&mut table, &mut ids, Reliability::Reliable);
    let branch = key.branch().as_str().to_owned();
    let now = Now::at(1).mono;
    for stray in ["", "z9hG4bK", "z9hG4bKnashds8", "x", &branch[..branch.len() - 1], &format!("{branch}1")] {
        assert!(table.on_response(now, stray, "MESSAGE", 200).is_none(), "{stray}");
    }
    for index in ["2", "zzzzzz", "3zzzzzz"] {
        let other = format!("{}{index}", &branch[..branch.len() - 1]);
        assert!(table.on_response(now, &other, "MESSAGE", 200).is_none(), "another slot");
    }
    assert!(table.on_response(now, &branch, "OPTIONS", 200).is_none(), "the CSeq method decides too");
    assert!(table.on_response(now, &branch, "CANCEL", 200).is_none(), "there was no CANCEL");
    for absurd in [0, 1, 99, 700, 999, u16::MAX] {
        let (_, step) = table.on_response(now, &branch, "MESSAGE", absurd).unwrap();
        assert!(matches!(step, Step::Kept(ClientAction::Nothing, _)), "{absurd}");
    }
    assert!(matches!(
        table.on_response(now, &branch, "MESSAGE", 200),
        Some((_, Step::Ended(ClientAction::Deliver, _)))
    ));
    assert!(table.on_response(now, &branch, "MESSAGE", 200).is_none(), "stale");
}

#[test]
fn threat_108_no_final_response_or_100_alone_is_one_timeout_within_45_s() {
    for reliability in [Reliability::Reliable, Reliability::Unreliable] {
        for heard in [None, Some(100)] {
            let (mut table, mut ids) = table(10);
            let key = message(&mut table, &mut ids, reliability);
            if let Some(status) = heard {
                table.on_response(Now::at(1).mono, key.branch().as_str(), "MESSAGE", status).unwrap();
            }
            let mut timeouts = Vec::new();
            while let Some(at) = table.deadline() {
                table.on_timer(at, &mut |_, _, step| match step {
                    Step::Ended(ClientAction::Timeout, value) => timeouts.push((at, value)),
                    Step::Kept(ClientAction::Retransmit, _) => {}
                    other => panic!("{other:?}"),
                });
            }
            assert_eq!(timeouts, [(Now::at(32).mono, "romeo")], "{reliability:?}, {heard:?}");
        }
    }
}

#[test]
fn threat_109_of_two_final_responses_the_first_wins() {
    for reliability in [Reliability::Reliable, Reliability::Unreliable] {
        let (mut table, mut ids) = table(10);
        let key = message(&mut table, &mut ids, reliability);
        let branch = key.branch();
        let mut delivered = Vec::new();
        for status in [200, 500, 200, 404] {
            if let Some((_, step)) = table.on_response(Now::at(1).mono, branch.as_str(), "MESSAGE", status)
                && step.action() == ClientAction::Deliver
            {
                delivered.push(status);
            }
        }
        assert_eq!(delivered, [200]);
    }
}

#[test]
fn a_key_of_an_ended_transaction_does_not_reach_the_one_that_took_its_slot() {
    let (mut table, mut ids) = table(10);
    let old = message(&mut table, &mut ids, Reliability::Reliable);
    table.on_response(Now::at(1).mono, old.branch().as_str(), "MESSAGE", 200).unwrap();
    let new = message(&mut table, &mut ids, Reliability::Reliable);
    assert_eq!(old.index, new.index, "the slot is used again");
    assert!(table.value(old).is_none() && table.forget(old).is_none());
    assert!(table.on_transport_error(old).is_none());
    assert_eq!(table.find(old.branch().as_str(), "MESSAGE"), None);
    assert_eq!(table.value(new), Some(&mut "romeo"));
}

#[test]
fn a_full_table_gives_the_value_back() {
    let (mut table, mut ids) = table(1);
    let key = message(&mut table, &mut ids, Reliability::Reliable);
    let full = table.start(Now::at(0).mono, "MESSAGE", Reliability::Reliable, "juliet", &mut ids);
    assert_eq!(full, Err(Full("juliet")));
    assert_eq!(table.forget(key), Some("romeo"));
    assert!(table.start(Now::at(0).mono, "MESSAGE", Reliability::Reliable, "juliet", &mut ids).is_ok());
}

#[test]
fn check_156_cancel_shares_the_branch_and_has_its_own_transaction() {
    let (mut table, mut ids) = table(10);
    let now = Now::at(0).mono;
    let key = table.start(now, "INVITE", Reliability::Unreliable, "romeo", &mut ids).unwrap();
    let branch = key.branch();
    assert_eq!(table.cancel(now, key), CancelStep::AfterProvisional);
    table.on_response(now, branch.as_str(), "INVITE", 180).unwrap();
    assert_eq!(table.cancel(now, key), CancelStep::Send);
    let mut acts = Vec::new();
    table.on_timer(Now::at_millis(500).mono, &mut |_, part, step| acts.push((part, step.action())));
    assert_eq!(acts, [(Part::Cancel, ClientAction::Retransmit)], "the INVITE is not sent again");
    assert!(table.on_response(Now::at(1).mono, branch.as_str(), "CANCEL", 200).is_none(), "told to nobody");
    acts.clear();
    table.on_timer(Now::at(2).mono, &mut |_, part, step| acts.push((part, step.action())));
    assert_eq!(acts, [], "the CANCEL is answered");
    let (_, step) = table.on_response(Now::at(3).mono, branch.as_str(), "INVITE", 487).unwrap();
    assert_eq!(step.action(), ClientAction::DeliverAndAck);
    assert_eq!(table.cancel(Now::at(4).mono, key), CancelStep::TooLate);
    let other = message(&mut table, &mut ids, Reliability::Reliable);
    assert_eq!(table.cancel(now, other), CancelStep::TooLate, "a MESSAGE can't be cancelled");
}

#[test]
fn check_156_an_invite_whose_cancel_has_no_effect_ends_64_t1_later() {
    let (mut table, mut ids) = table(10);
    let now = Now::at(0).mono;
    let key = table.start(now, "INVITE", Reliability::Reliable, "romeo", &mut ids).unwrap();
    table.on_response(now, key.branch().as_str(), "INVITE", 180).unwrap();
    table.cancel(Now::at(10).mono, key);
    let mut acts = Vec::new();
    while let Some(at) = table.deadline() {
        table.on_timer(at, &mut |_, part, step| acts.push((at, part, step.action())));
    }
    assert_eq!(acts, [(Now::at(42).mono, Part::Request, ClientAction::Timeout)]);
}

#[test]
fn check_156_a_deadline_that_moves_nearer_is_kept() {
    let (mut table, mut ids) = table(10);
    let now = Now::at(0).mono;
    let key = table.start(now, "INVITE", Reliability::Reliable, "romeo", &mut ids).unwrap();
    table.on_response(now, key.branch().as_str(), "INVITE", 180).unwrap();
    table.on_timer(Now::at(33).mono, &mut |_, _, _| unreachable!());
    assert_eq!(table.deadline(), Some(Now::at(181).mono), "Timer C");
    // Another is due between the two deadlines, so that the entry of the first is not on top.
    table.start(Now::at(44).mono, "MESSAGE", Reliability::Reliable, "juliet", &mut ids).unwrap();
    table.cancel(Now::at(40).mono, key);
    table.on_response(Now::at(40).mono, key.branch().as_str(), "CANCEL", 200);
    assert_eq!(table.deadline(), Some(Now::at(72).mono), "64 T1 after the CANCEL");
}

#[test]
fn stale_deadlines_behind_a_live_one_do_not_gather() {
    let (mut table, mut ids) = table(1000);
    message(&mut table, &mut ids, Reliability::Reliable);
    for round in 0..20_000 {
        let now = Now::at_millis(1 + round).mono;
        let key = table.start(now, "MESSAGE", Reliability::Reliable, "romeo", &mut ids).unwrap();
        table.on_response(now, key.branch().as_str(), "MESSAGE", 200).unwrap();
        assert_eq!(table.deadline(), Some(Now::at(32).mono));
        assert!(table.deadlines.len() <= 70);
    }
}

#[test]
fn stale_deadlines_do_not_gather() {
    let (mut table, mut ids) = table(1000);
    for round in 0..20_000 {
        let now = Now::at_millis(round).mono;
        let key = table.start(now, "MESSAGE", Reliability::Reliable, "romeo", &mut ids).unwrap();
        table.on_response(now, key.branch().as_str(), "MESSAGE", 200).unwrap();
        table.deadline();
        assert!(table.deadlines.len() <= 65);
    }
    assert_eq!(table.deadline(), None, "no wake-up for what is over");
}

#[test]
fn a_late_timer_retransmits_once() {
    let (mut table, mut ids) = table(10);
    message(&mut table, &mut ids, Reliability::Unreliable);
    let mut acts = 0;
    table.on_timer(Now::at(20).mono, &mut |_, _, step| {
        assert_eq!(step.action(), ClientAction::Retransmit);
        acts += 1;
    });
    assert_eq!(acts, 1, "a clock that jumped makes no burst");
    assert_eq!(table.deadline(), Some(Now::at(21).mono));
}
