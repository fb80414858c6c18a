#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::now::Now;

const LIMITS: ServerLimits = ServerLimits {
    transactions: 100,
    transactions_per_peer: 50,
    octets: 10_000,
    answers: 100,
    answers_per_peer: 10,
};

fn table() -> ServerTable<u32> {
    limited(LIMITS)
}

fn limited(limits: ServerLimits) -> ServerTable<u32> {
    ServerTable::new(limits, [4; 32], Owner { node: 2, shard: 3 })
}

fn key(method: &'static str) -> RequestKey<'static> {
    RequestKey {
        peer: PeerKey(1),
        method,
        request_uri: "sip:juliet@example.com",
        top_via: "SIP/2.0/TLS sip.example.net;branch=z9hG4bK776asdhds",
        branch: Some("z9hG4bK776asdhds"),
        sent_by_host: "sip.example.net",
        sent_by_port: None,
        call_id: "a84b4c76e66710",
        from_tag: Some("1928301774"),
        to_tag: None,
        cseq: 314,
    }
}

fn open(table: &mut ServerTable<u32>, key: &RequestKey<'_>, reliability: Reliability) -> ServerKey {
    match table.receive(Now::at(0).mono, key, reliability, || 7) {
        Received::New(key) => key,
        other => panic!("{other:?}"),
    }
}

#[test]
fn threat_080_on_udp_a_retransmission_gets_the_same_octets_for_32_s() {
    let mut table = table();
    let request = key("MESSAGE");
    let txn = open(&mut table, &request, Reliability::Unreliable);
    let again = |table: &mut ServerTable<u32>, seconds| match table.receive(
        Now::at(seconds).mono,
        &request,
        Reliability::Unreliable,
        || unreachable!(),
    ) {
        Received::Again(octets, 7) => Some(octets.to_vec()),
        Received::Absorbed => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(again(&mut table, 1), None, "the user is still at work");
    let step = table.respond(Now::at(2).mono, txn, 202, b"SIP/2.0 202 Accepted").unwrap();
    assert!(matches!(step, Step::Kept(ServerAction::Send, 7)));
    assert_eq!(again(&mut table, 3).unwrap(), b"SIP/2.0 202 Accepted");
    assert_eq!(again(&mut table, 33).unwrap(), b"SIP/2.0 202 Accepted");
    assert_eq!(table.octets(), 20);
    assert_eq!(table.deadline(), Some(Now::at(34).mono));
    table.on_timer(Now::at(34).mono, &mut |_, step, _| assert_eq!(step.action(), ServerAction::Terminated));
    assert_eq!((table.len(), table.octets(), table.merges.len()), (0, 0, 0));
}

#[test]
fn threat_080_on_tcp_a_hash_and_the_status_give_the_same_answer_for_32_s() {
    let mut table = table();
    let request = key("MESSAGE");
    let txn = open(&mut table, &request, Reliability::Reliable);
    let tag = table.tag(txn).unwrap();
    let step = table.respond(Now::at(2).mono, txn, 202, b"SIP/2.0 202 Accepted").unwrap();
    assert!(matches!(step, Step::Ended(ServerAction::Send, 7)), "nothing is kept");
    assert_eq!((table.len(), table.octets()), (0, 0));
    for seconds in [2, 20, 33] {
        match table.receive(Now::at(seconds).mono, &request, Reliability::Reliable, || unreachable!()) {
            Received::Replayed { status: 202, tag: same } => assert_eq!(same, tag),
            other => panic!("{other:?}"),
        }
    }
    // From there on it would be a new request; and the memory is freed.
    table.on_timer(Now::at(43).mono, &mut |_, _, _| unreachable!());
    assert_eq!(table.peers.sizes(), (0, 0));
    assert_eq!((table.merges.len(), table.deadline()), (0, None));
    assert!(matches!(
        table.receive(Now::at(43).mono, &request, Reliability::Reliable, || 8),
        Received::New(_)
    ));
}

#[test]
fn threat_080_an_old_answer_that_is_not_yet_freed_does_not_count() {
    let mut table = table();
    let request = key("MESSAGE");
    for seconds in [0, 33] {
        let txn = match table.receive(Now::at(seconds).mono, &request, Reliability::Reliable, || 7) {
            Received::New(txn) => txn,
            other => panic!("{other:?}"),
        };
        table.respond(Now::at(seconds).mono, txn, 202, b"x").unwrap();
    }
    let fork = RequestKey { branch: Some("z9hG4bKother"), ..request };
    let merged = table.receive(Now::at(34).mono, &fork, Reliability::Reliable, || 7);
    assert!(matches!(merged, Received::Merged(_)), "the second answer holds the triple");
    assert!(matches!(
        table.receive(Now::at(64).mono, &request, Reliability::Reliable, || 7),
        Received::Replayed { status: 202, .. }
    ));
    while let Some(at) = table.deadline() {
        table.on_timer(at, &mut |_, _, _| {});
    }
    assert_eq!((table.merges.len(), table.peers.sizes()), (0, (0, 0)));
}

#[test]
fn threat_080_the_tag_names_its_owner_and_follows_from_the_request() {
    let (mut one, mut two) = (table(), table());
    let request = key("MESSAGE");
    let (a, b) =
        (open(&mut one, &request, Reliability::Reliable), open(&mut two, &request, Reliability::Unreliable));
    assert_eq!(one.tag(a), two.tag(b));
    assert_eq!(crate::ids::Id::owner_of(one.tag(a).unwrap().as_str()), Some(Owner { node: 2, shard: 3 }));
    let other = RequestKey { cseq: 315, ..request };
    let c = open(&mut one, &other, Reliability::Reliable);
    assert_ne!(one.tag(a), one.tag(c));
    let mut seeded = ServerTable::new(LIMITS, [5; 32], Owner::default());
    let d = open(&mut seeded, &request, Reliability::Reliable);
    assert_ne!(one.tag(a).unwrap().as_str()[2..], seeded.tag(d).unwrap().as_str()[2..]);
}

#[test]
fn threat_081_same_call_with_a_new_cseq_or_branch_is_a_new_message() {
    for reliability in [Reliability::Reliable, Reliability::Unreliable] {
        let mut table = table();
        let request = key("MESSAGE");
        let txn = open(&mut table, &request, reliability);
        // A client that reuses its branch, before and after the answer.
        open(&mut table, &RequestKey { cseq: 315, ..request }, reliability);
        table.respond(Now::at(1).mono, txn, 202, b"x").unwrap();
        open(&mut table, &RequestKey { cseq: 316, ..request }, reliability);
        // One that counts properly.
        open(&mut table, &RequestKey { cseq: 317, branch: Some("z9hG4bKnew"), ..request }, reliability);
        // Another peer, another method, another sent-by.
        let elsewhere = RequestKey { call_id: "other", ..request };
        open(&mut table, &elsewhere, reliability);
        open(&mut table, &RequestKey { method: "OPTIONS", ..request }, reliability);
        open(&mut table, &RequestKey { to_tag: Some("t"), sent_by_port: Some(5060), ..request }, reliability);
        open(&mut table, &RequestKey { to_tag: Some("t"), peer: PeerKey(2), ..request }, reliability);
    }
}

#[test]
fn check_154_the_same_request_by_another_way_is_merged() {
    for reliability in [Reliability::Reliable, Reliability::Unreliable] {
        let mut table = table();
        let request = key("MESSAGE");
        let fork = RequestKey { branch: Some("z9hG4bKother"), peer: PeerKey(2), ..request };
        let is_merged = |table: &mut ServerTable<u32>, seconds| {
            matches!(
                table.receive(Now::at(seconds).mono, &fork, reliability, || unreachable!()),
                Received::Merged(_)
            )
        };
        let txn = open(&mut table, &request, reliability);
        assert!(is_merged(&mut table, 1), "while it is open");
        table.respond(Now::at(2).mono, txn, 202, b"x").unwrap();
        assert!(is_merged(&mut table, 3), "it was delivered");
        assert!(is_merged(&mut table, 33));
        table.on_timer(Now::at(60).mono, &mut |_, _, _| {});
        assert_eq!(table.merges.len(), 0);
        // In a dialog, and from clients without tags, nothing merges.
        open(&mut table, &RequestKey { to_tag: Some("ours"), ..fork }, reliability);
        open(&mut table, &RequestKey { from_tag: None, ..fork }, reliability);
        open(&mut table, &RequestKey { from_tag: None, branch: Some("z9hG4bKthird"), ..fork }, reliability);
    }
}

#[test]
fn check_154_a_new_try_after_a_failure_is_no_merged_request() {
    for reliability in [Reliability::Reliable, Reliability::Unreliable] {
        let mut table = table();
        let request = key("MESSAGE");
        let txn = open(&mut table, &request, reliability);
        table.respond(Now::at(1).mono, txn, 503, b"x").unwrap();
        open(&mut table, &RequestKey { branch: Some("z9hG4bKother"), ..request }, reliability);
    }
}

#[test]
fn check_150_requests_of_rfc_2543_match_by_their_headers() {
    let mut table = table();
    for branch in [None, Some("1"), Some("z9hG4b"), Some("")] {
        let request = RequestKey { branch, top_via: "SIP/2.0/UDP old.example.net", ..key("INVITE") };
        let request = RequestKey { call_id: branch.unwrap_or("none"), ..request };
        let txn = open(&mut table, &request, Reliability::Unreliable);
        table.respond(Now::at(0).mono, txn, 486, b"busy").unwrap();
        let again = table.receive(Now::at(1).mono, &request, Reliability::Unreliable, || unreachable!());
        assert!(matches!(again, Received::Again(b"busy", _)));
        let ack = RequestKey { method: "ACK", to_tag: Some("ours"), ..request };
        assert_eq!(table.on_ack(Now::at(2).mono, &ack), AckFor::Transaction);
        // Each of the headers counts.
        for other in [
            RequestKey { request_uri: "sip:nurse@example.com", ..request },
            RequestKey { top_via: "SIP/2.0/UDP new.example.net", ..request },
        ] {
            let other = RequestKey { cseq: 1000 + table.len() as u32, ..other };
            open(&mut table, &other, Reliability::Unreliable);
        }
        let stray = RequestKey { method: "ACK", top_via: "SIP/2.0/UDP else.example.net", ..request };
        assert_eq!(table.on_ack(Now::at(2).mono, &stray), AckFor::Dialog);
    }
}

#[test]
fn check_150_an_ack_finds_its_invite() {
    for reliability in [Reliability::Reliable, Reliability::Unreliable] {
        let mut table = table();
        let invite = key("INVITE");
        let ack = RequestKey { method: "ACK", to_tag: Some("ours"), ..invite };
        assert_eq!(table.on_ack(Now::at(0).mono, &ack), AckFor::Dialog);
        let txn = open(&mut table, &invite, reliability);
        table.respond(Now::at(1).mono, txn, 486, b"busy").unwrap();
        assert_eq!(table.on_ack(Now::at(2).mono, &ack), AckFor::Transaction);
        assert_eq!(table.on_ack(Now::at(2).mono, &ack), AckFor::Transaction, "again");
        assert_eq!(table.len(), usize::from(reliability == Reliability::Unreliable), "Timer I");
        assert!(matches!(
            table.receive(Now::at(3).mono, &ack, reliability, || unreachable!()),
            Received::Absorbed
        ));

        let invite = RequestKey { call_id: "second", ..invite };
        let ack = RequestKey { method: "ACK", to_tag: Some("ours"), ..invite };
        let txn = open(&mut table, &invite, reliability);
        table.respond(Now::at(1).mono, txn, 200, b"ok").unwrap();
        assert_eq!(table.on_ack(Now::at(2).mono, &ack), AckFor::User(txn), "RFC 6026");
        assert!(matches!(
            table.receive(Now::at(3).mono, &invite, reliability, || unreachable!()),
            Received::Absorbed
        ));
        let own = RequestKey { branch: Some("z9hG4bKack"), ..ack };
        assert_eq!(table.on_ack(Now::at(2).mono, &own), AckFor::Dialog);
    }
}

#[test]
fn check_156_cancel_is_matched_by_everything_but_the_method() {
    for reliability in [Reliability::Reliable, Reliability::Unreliable] {
        let mut table = table();
        let now = Now::at(0).mono;
        let cancel = key("CANCEL");
        assert_eq!(table.cancel(now, &cancel), (CancelAnswer::Unknown, None));
        let message = open(&mut table, &key("MESSAGE"), reliability);
        assert_eq!(table.cancel(now, &cancel), (CancelAnswer::NoEffect, Some(message)));
        table.respond(now, message, 202, b"x").unwrap();
        let (answer, _) = table.cancel(now, &cancel);
        assert_eq!(answer, CancelAnswer::NoEffect, "answered already, on {reliability:?}");

        let call = |method| RequestKey { call_id: "call", ..key(method) };
        let invite = open(&mut table, &call("INVITE"), reliability);
        assert_eq!(table.cancel(now, &call("CANCEL")), (CancelAnswer::Cancels, Some(invite)));
        // The CANCEL is a transaction of its own; the INVITE is then answered 487.
        let own = open(&mut table, &call("CANCEL"), reliability);
        table.respond(now, own, 200, b"ok").unwrap();
        table.respond(now, invite, 487, b"gone").unwrap();
        assert_eq!(table.cancel(now, &call("CANCEL")).0, CancelAnswer::NoEffect);
        let other = RequestKey { branch: Some("z9hG4bKelse"), ..call("CANCEL") };
        assert_eq!(table.cancel(now, &other), (CancelAnswer::Unknown, None));
    }
}

#[test]
fn check_156_the_cancel_of_a_merged_copy_does_not_hide_the_other() {
    let mut table = table();
    let invite = open(&mut table, &key("INVITE"), Reliability::Reliable);
    let copy = |method| RequestKey { branch: Some("z9hG4bKother"), ..key(method) };
    assert!(matches!(
        table.receive(Now::at(0).mono, &copy("INVITE"), Reliability::Reliable, || unreachable!()),
        Received::Merged(_)
    ));
    open(&mut table, &copy("CANCEL"), Reliability::Reliable);
    assert_eq!(table.cancel(Now::at(0).mono, &copy("CANCEL")), (CancelAnswer::Unknown, None));
    open(&mut table, &key("CANCEL"), Reliability::Reliable);
    assert_eq!(table.cancel(Now::at(0).mono, &key("CANCEL")), (CancelAnswer::Cancels, Some(invite)));
}

#[test]
fn check_156_cancel_finds_a_request_without_the_magic_cookie() {
    let mut table = table();
    let old = |method, to_tag| RequestKey { branch: None, to_tag, ..key(method) };
    let invite = open(&mut table, &old("INVITE", None), Reliability::Unreliable);
    let found = table.cancel(Now::at(0).mono, &old("CANCEL", None));
    assert_eq!(found, (CancelAnswer::Cancels, Some(invite)));
}

#[test]
fn check_150_a_failure_to_an_invite_is_repeated_until_its_ack_on_udp() {
    let mut table = table();
    let txn = open(&mut table, &key("INVITE"), Reliability::Unreliable);
    table.respond(Now::at(0).mono, txn, 486, b"busy").unwrap();
    let mut sent = Vec::new();
    table.on_timer(Now::at_millis(500).mono, &mut |key, step, answer| {
        assert_eq!((key, step.action()), (txn, ServerAction::Retransmit));
        if let Some(octets) = answer {
            sent.extend_from_slice(octets);
        }
    });
    assert_eq!(sent, b"busy");
    while let Some(at) = table.deadline() {
        table.on_timer(at, &mut |_, step, _| match step {
            Step::Kept(ServerAction::Retransmit, _) => assert!(at < Now::at(32).mono),
            Step::Ended(ServerAction::Timeout, 7) => assert_eq!(at, Now::at(32).mono),
            other => panic!("{other:?}"),
        });
    }
}

#[test]
fn check_151_a_slow_user_gets_a_100_sent_and_then_expires_without_408() {
    let mut table = table();
    let request = key("MESSAGE");
    let txn = open(&mut table, &request, Reliability::Unreliable);
    assert_eq!(
        table.respond(Now::at(1).mono, txn, 100, b"x").unwrap_err(),
        Refused::Status(100),
        "too early on UDP"
    );
    assert_eq!(table.deadline(), Some(Now::at_millis(3500).mono));
    let mut acts = Vec::new();
    table.on_timer(Now::at_millis(3500).mono, &mut |_, step, _| acts.push(step.action()));
    assert!(matches!(
        table.receive(Now::at(4).mono, &request, Reliability::Unreliable, || unreachable!()),
        Received::Replayed { status: 100, .. }
    ));
    assert_eq!(table.respond(Now::at(5).mono, txn, 408, b"x").unwrap_err(), Refused::Status(408));
    table.on_timer(Now::at(32).mono, &mut |_, step, _| acts.push(step.action()));
    assert_eq!(acts, [ServerAction::SendTrying, ServerAction::Expired]);
    assert_eq!(table.respond(Now::at(33).mono, txn, 200, b"x").unwrap_err(), Refused::Gone);
    assert_eq!((table.merges.len(), table.peers.sizes()), (0, (0, 0)));
}

#[test]
fn threat_109_a_second_final_response_of_the_user_is_refused() {
    let mut table = table();
    let txn = open(&mut table, &key("MESSAGE"), Reliability::Unreliable);
    table.respond(Now::at(0).mono, txn, 202, b"first").unwrap();
    assert_eq!(table.respond(Now::at(0).mono, txn, 500, b"second").unwrap_err(), Refused::Status(500));
    assert!(matches!(
        table.receive(Now::at(1).mono, &key("MESSAGE"), Reliability::Unreliable, || unreachable!()),
        Received::Again(b"first", _)
    ));
}

#[test]
fn a_transport_error_ends_no_server_transaction() {
    let mut table = table();
    let txn = open(&mut table, &key("MESSAGE"), Reliability::Unreliable);
    table.respond(Now::at(0).mono, txn, 202, b"x").unwrap();
    assert_eq!(table.on_transport_error(txn), ServerAction::TransportFailed);
    assert_eq!(table.len(), 1);
}

fn numbered(peer: u64, cseq: u32) -> RequestKey<'static> {
    RequestKey { peer: PeerKey(peer), cseq, ..key("MESSAGE") }
}

#[test]
fn full_of_transactions_is_said_and_one_peer_has_its_share() {
    let limits = ServerLimits { transactions: 5, transactions_per_peer: 3, ..LIMITS };
    let mut table = limited(limits);
    let receive = |table: &mut ServerTable<u32>, peer, cseq| match table.receive(
        Now::at(0).mono,
        &numbered(peer, cseq),
        Reliability::Reliable,
        || 7,
    ) {
        Received::New(key) => Some(key),
        Received::Full => None,
        other => panic!("{other:?}"),
    };
    let first = receive(&mut table, 1, 1).unwrap();
    assert!(receive(&mut table, 1, 2).is_some() && receive(&mut table, 1, 3).is_some());
    assert_eq!(receive(&mut table, 1, 4), None, "the share of one peer");
    assert!(receive(&mut table, 2, 11).is_some() && receive(&mut table, 2, 12).is_some());
    assert_eq!(receive(&mut table, 3, 21), None, "all of it");
    assert_eq!(table.merges.len(), 5, "what was refused holds nothing");
    table.respond(Now::at(0).mono, first, 202, b"x").unwrap();
    assert!(receive(&mut table, 1, 4).is_some());
}

#[test]
fn full_of_octets_keeps_the_status_and_forgets_the_rest() {
    let mut table = limited(ServerLimits { octets: 10, ..LIMITS });
    let small = open(&mut table, &numbered(1, 1), Reliability::Unreliable);
    let large = open(&mut table, &numbered(1, 2), Reliability::Unreliable);
    table.respond(Now::at(0).mono, small, 202, b"12345678").unwrap();
    table.respond(Now::at(0).mono, large, 404, b"123").unwrap();
    assert_eq!(table.octets(), 8);
    assert!(matches!(
        table.receive(Now::at(1).mono, &numbered(1, 2), Reliability::Unreliable, || unreachable!()),
        Received::Replayed { status: 404, .. }
    ));
}

#[test]
fn octets_that_a_user_holds_count_until_its_answer() {
    let mut table = limited(ServerLimits { octets: 10, ..LIMITS });
    for (reliability, kept) in [(Reliability::Reliable, 0), (Reliability::Unreliable, 3)] {
        let one = open(&mut table, &numbered(1, 1 + u32::try_from(kept).unwrap()), reliability);
        let two = open(&mut table, &numbered(1, 2 + u32::try_from(kept).unwrap()), reliability);
        assert!(table.hold(one, 6));
        assert!(!table.hold(two, 5), "no room");
        assert!(table.hold(two, 4));
        assert_eq!(table.octets(), 10);
        table.respond(Now::at(0).mono, one, 202, b"abc").unwrap();
        assert_eq!(table.octets(), 4 + kept, "the response instead, if it may have to be sent again");
        table.respond(Now::at(0).mono, two, 404, b"").unwrap();
        assert_eq!(table.octets(), kept);
    }
    // One that is never answered.
    let three = open(&mut table, &numbered(1, 9), Reliability::Reliable);
    assert!(table.hold(three, 5));
    while let Some(at) = table.deadline() {
        table.on_timer(at, &mut |_, _, _| {});
    }
    assert_eq!((table.len(), table.octets()), (0, 0));
    assert!(!table.hold(three, 1), "it is over");
}

#[test]
fn threat_080_the_ring_of_one_peer_forgets_its_own_oldest_answer() {
    let mut table = limited(ServerLimits { answers_per_peer: 3, answers: 5, ..LIMITS });
    let answer = |table: &mut ServerTable<u32>, peer, cseq| {
        let txn = open(table, &numbered(peer, cseq), Reliability::Reliable);
        table.respond(Now::at(0).mono, txn, 202, b"x").unwrap();
    };
    let is_known = |table: &mut ServerTable<u32>, peer, cseq| {
        let print = table.prints.stem(&numbered(peer, cseq)).print("MESSAGE");
        table.peers.answer(Now::at(1).mono, print).is_some()
    };
    (1..=4).for_each(|cseq| answer(&mut table, 1, cseq));
    assert!(!is_known(&mut table, 1, 1), "the oldest of its own");
    assert!((2..=4).all(|cseq| is_known(&mut table, 1, cseq)));
    (101..=103).for_each(|cseq| answer(&mut table, 2, cseq));
    assert!((2..=4).all(|cseq| is_known(&mut table, 1, cseq)), "another peer pays with its own");
    assert!(!is_known(&mut table, 2, 101) && is_known(&mut table, 2, 103));
    answer(&mut table, 3, 201);
    assert!(!is_known(&mut table, 3, 201), "with nothing to give up, nothing is remembered");
    assert_eq!(table.merges.len(), 5);
    assert_eq!(table.peers.sizes(), (5, 2));
}

#[test]
fn everything_that_was_held_is_given_back() {
    let mut table = limited(ServerLimits { octets: 400, ..LIMITS });
    let methods = ["MESSAGE", "INVITE", "OPTIONS", "CANCEL", "BYE"];
    let mut dice = crate::ids::Ids::new([8; 32], Owner::default());
    let mut now = 0;
    let mut open = Vec::new();
    for round in 0..5000_u32 {
        now += dice.below(200);
        let method = methods[dice.below(5) as usize];
        let reliability = if dice.below(2) == 0 { Reliability::Reliable } else { Reliability::Unreliable };
        let request = RequestKey {
            method,
            peer: PeerKey(dice.below(4)),
            to_tag: [None, Some("t")][dice.below(2) as usize],
            cseq: round - dice.below(u64::from(round.min(20)) + 1) as u32,
            ..key("MESSAGE")
        };
        if let Received::New(key) = table.receive(Now::at_millis(now).mono, &request, reliability, || 1) {
            open.push(key);
        }
        let ack = RequestKey { method: "ACK", ..request };
        table.on_ack(Now::at_millis(now).mono, &ack);
        if !open.is_empty() && dice.below(3) > 0 {
            let key = open.swap_remove(dice.below(open.len() as u64) as usize);
            let status = [100, 180, 200, 202, 404, 408, 503, 999][dice.below(8) as usize];
            let _ = table.respond(Now::at_millis(now).mono, key, status, b"SIP/2.0 something");
        }
        table.on_timer(Now::at_millis(now).mono, &mut |_, _, _| {});
        assert!(table.octets() <= 400 && table.len() <= 100);
        assert_eq!(table.by_print.len(), table.len());
        assert!(table.deadline().is_none_or(|at| at > Now::at_millis(now).mono));
    }
    let mut last = Now::at_millis(now).mono;
    while let Some(at) = table.deadline() {
        assert!(at > last, "time moves");
        last = at;
        table.on_timer(at, &mut |_, _, _| {});
    }
    assert!(table.is_empty());
    assert_eq!((table.octets(), table.by_print.len(), table.merges.len()), (0, 0, 0));
    assert_eq!(table.peers.sizes(), (0, 0));
}

#[test]
fn check_043_the_2xx_to_an_invite_is_kept_for_its_user_until_the_ack_or_timer_l() {
    for reliability in [Reliability::Reliable, Reliability::Unreliable] {
        let mut table = table();
        let (invite, message) = (key("INVITE"), key("MESSAGE"));
        let txn = open(&mut table, &invite, reliability);
        assert!(table.hold(txn, 100));
        assert!(table.kept(txn).is_none());
        table.respond(Now::at(1).mono, txn, 200, b"ok").unwrap();
        assert_eq!(table.kept(txn).unwrap().0, b"ok");
        assert_eq!(table.octets(), 2, "what was held for it is free");
        table.acknowledged(txn);
        assert!(table.kept(txn).is_none());
        assert_eq!((table.octets(), table.len()), (0, 1), "Timer L still absorbs copies of the INVITE");
        table.acknowledged(txn);
        table.on_timer(Now::at(34).mono, &mut |_, _, _| {});
        assert_eq!((table.octets(), table.len()), (0, 0));

        let invite = RequestKey { call_id: "second", ..invite };
        let txn = open(&mut table, &invite, reliability);
        table.respond(Now::at(1).mono, txn, 200, b"never acknowledged").unwrap();
        table.on_timer(Now::at(34).mono, &mut |_, _, _| {});
        assert_eq!((table.octets(), table.len()), (0, 0));
        assert!(table.kept(txn).is_none(), "a stale key matches nothing");

        // A refusal is the transaction's own business.
        let invite = RequestKey { call_id: "third", ..invite };
        let txn = open(&mut table, &invite, reliability);
        table.respond(Now::at(35).mono, txn, 486, b"busy").unwrap();
        table.acknowledged(txn);
        assert_eq!(table.kept(txn).is_some(), reliability == Reliability::Unreliable);
        assert!(open(&mut table, &message, reliability) != txn);
    }
}
