//! What is answered to the requests of others, and what is handed on.

use super::*;

fn chunk(bench: &Bench, id: SessionId, tid: &str, range: &str, body: &str, flag: char) -> String {
    let headers = format!("Message-ID: m1m1\r\nByte-Range: {range}\r\nContent-Type: text/plain\r\n");
    let to = bench.switch.uri(id).unwrap().as_str();
    request(to, tid, "SEND", &headers, Some(body), flag)
}

fn only_message(bench: &mut Bench) -> (Receipt, Vec<u8>) {
    match bench.events().pop() {
        Some(Event::Message { receipt, octets, .. }) => (receipt, octets),
        other => panic!("{other:?}"),
    }
}

/// Law 3: the response to the chunk that completes the message waits for its delivery.
#[test]
fn the_last_chunk_is_answered_when_the_message_is_delivered() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    let first = chunk(&bench, id, "tid1", "1-*/8", "abcd", '+');
    assert!(bench.say(conn, &first).starts_with("MSRP tid1 200 OK\r\n"));
    let last = chunk(&bench, id, "tid2", "5-8/8", "EFGH", '$');
    assert_eq!(bench.say(conn, &last), "");
    let (receipt, octets) = only_message(&mut bench);
    assert_eq!(octets, b"abcdEFGH");
    bench.switch.answer(bench.now, &mut bench.ids, &receipt, 200);
    assert!(bench.written(conn).starts_with("MSRP tid2 200 OK\r\n"));
    // Once; and what is sent again is not shown again.
    bench.switch.answer(bench.now, &mut bench.ids, &receipt, 403);
    assert_eq!(bench.written(conn), "");
    let again = chunk(&bench, id, "tid3", "1-4/4", "abcd", '$');
    assert!(bench.say(conn, &again).starts_with("MSRP tid3 200 OK\r\n"));
    assert_eq!(bench.events(), []);
}

#[test]
fn a_failure_is_the_response_and_the_message_may_be_sent_again() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    bench.say(conn, &chunk(&bench, id, "tid1", "1-4/4", "abcd", '$'));
    let (receipt, _) = only_message(&mut bench);
    // Impatient: the same message while it is under way.
    assert_eq!(bench.say(conn, &chunk(&bench, id, "tid2", "1-4/4", "abcd", '$')), "");
    assert_eq!(bench.events(), []);
    bench.switch.answer(bench.now, &mut bench.ids, &receipt, 403);
    let answers = bench.written(conn);
    assert!(answers.contains("MSRP tid1 403 ") && answers.contains("MSRP tid2 403 "), "{answers}");
    bench.say(conn, &chunk(&bench, id, "tid3", "1-4/4", "abcd", '$'));
    assert_eq!(bench.events().len(), 1);
}

#[test]
fn what_nobody_answers_in_time_is_408() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    bench.say(conn, &chunk(&bench, id, "tid1", "1-4/4", "abcd", '$'));
    let (receipt, _) = only_message(&mut bench);
    bench.at(24);
    assert_eq!(bench.written(conn), "");
    bench.at(26);
    assert!(bench.written(conn).starts_with("MSRP tid1 408 "), "before the sender's own 30 s");
    bench.switch.answer(bench.now, &mut bench.ids, &receipt, 200);
    assert_eq!(bench.written(conn), "");
    // It was delivered all the same: sent again, it is not shown twice.
    let again = chunk(&bench, id, "tid2", "1-4/4", "abcd", '$');
    assert!(bench.say(conn, &again).starts_with("MSRP tid2 200 OK\r\n"));
    assert_eq!(bench.events(), []);
}

#[test]
fn an_answer_after_the_end_of_the_session_still_goes_out() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    bench.say(conn, &chunk(&bench, id, "tid1", "1-4/4", "abcd", '$'));
    let (receipt, _) = only_message(&mut bench);
    bench.switch.close(bench.now, &mut bench.ids, id);
    bench.switch.answer(bench.now, &mut bench.ids, &receipt, 200);
    assert!(bench.written(conn).starts_with("MSRP tid1 200 OK\r\n"));
    assert_eq!(bench.events(), []);
}

#[test]
fn check_044_chunks_come_in_any_order_and_an_interrupted_message_is_discarded() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    assert!(bench.say(conn, &chunk(&bench, id, "tid1", "5-8/8", "EFGH", '$')).contains("200 OK"));
    assert_eq!(bench.say(conn, &chunk(&bench, id, "tid2", "1-4/8", "abcd", '+')), "");
    let (receipt, octets) = only_message(&mut bench);
    assert_eq!(octets, b"abcdEFGH");
    bench.switch.answer(bench.now, &mut bench.ids, &receipt, 200);
    bench.written(conn);
    let to = bench.switch.uri(id).unwrap().as_str().to_owned();
    let headers =
        |range: &str| format!("Message-ID: m2m2\r\nByte-Range: {range}\r\nContent-Type: text/plain\r\n");
    let say = |bench: &mut Bench, tid: &str, range: &str, body, flag| {
        bench.say(conn, &request(&to, tid, "SEND", &headers(range), body, flag))
    };
    assert!(say(&mut bench, "tid3", "1-*/8", Some("abcd"), '+').contains("200 OK"));
    assert!(say(&mut bench, "tid4", "5-*/8", Some("EF"), '#').contains("200 OK"));
    assert!(say(&mut bench, "tid5", "5-8/8", Some("EFGH"), '$').contains("200 OK"));
    assert_eq!(bench.events(), [], "the first half was thrown away");
}

/// A range says where a chunk starts; where it ends is counted (RFC 4975 §7.3.1).
#[test]
fn ranges_that_lie_and_overlap_deceive_nobody() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    bench.say(conn, &chunk(&bench, id, "tid1", "1-9999/8", "aaaa", '+'));
    bench.say(conn, &chunk(&bench, id, "tid2", "3-3/*", "bbbb", '+'));
    assert_eq!(bench.say(conn, &chunk(&bench, id, "tid3", "7-1/3", "cc", '$')), "");
    assert_eq!(only_message(&mut bench).1, b"aabbbbcc");
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    bench.say(conn, &chunk(&bench, id, "tid1", "5-8/8", "EFGH", '$'));
    let answer = bench.say(conn, &chunk(&bench, id, "tid2", "1-9/9", "abcdefghi", '+'));
    assert!(answer.starts_with("MSRP tid2 400 "), "{answer}");
    assert_eq!(bench.events(), []);
}

#[test]
fn check_045_a_message_above_the_limit_is_413_however_it_comes() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    let long = "x".repeat(10_100);
    // The sender hears while it still writes.
    let whole = chunk(&bench, id, "tid1", "1-*/*", &long, '$');
    let (most, rest) = whole.split_at(whole.len() - 20);
    assert!(bench.say(conn, most).starts_with("MSRP tid1 413 "));
    assert_eq!(bench.say(conn, rest), "");
    let more = chunk(&bench, id, "tid2", "10001-10002/*", "x", '$');
    assert!(bench.say(conn, &more).starts_with("MSRP tid2 413 "), "of the same message");
    let headers = "Message-ID: m2m2\r\nByte-Range: 1-4/10001\r\nContent-Type: text/plain\r\n";
    let told = bench.request(id, "tid3", "SEND", headers, Some("abcd"));
    assert!(bench.say(conn, &told).starts_with("MSRP tid3 413 "));
    let headers = "Message-ID: m3m3\r\nByte-Range: 18446744073709551615-*/*\r\nContent-Type: text/plain\r\n";
    let far = bench.request(id, "tid4", "SEND", headers, Some("abcd"));
    assert!(bench.say(conn, &far).starts_with("MSRP tid4 413 "));
    assert_eq!(bench.events(), []);
    let fine = bench.request(
        id,
        "tid5",
        "SEND",
        "Message-ID: m4m4\r\nContent-Type: text/plain\r\n",
        Some(&long[100..]),
    );
    assert_eq!(bench.say(conn, &fine), "");
    assert_eq!(only_message(&mut bench).1.len(), 10_000);
}

#[test]
fn check_046_a_type_that_is_not_taken_is_415() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    let mut say = |content_type: &str| {
        let headers = format!("Message-ID: m1m1\r\nContent-Type: {content_type}\r\n");
        bench.say(conn, &bench.request(id, "tid1", "SEND", &headers, Some("<p/>")))
    };
    for unknown in ["text/html", "text/plainer", "text/*", "*/*"] {
        assert!(say(unknown).starts_with("MSRP tid1 415 "), "{unknown}");
    }
    assert_eq!(say("TEXT/Plain;charset=utf-8"), "");
}

#[test]
fn check_048_failure_report_no_gets_no_response_and_partial_only_failures() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    let say = |bench: &mut Bench, failure: &str, content_type: &str, message: &str| {
        let headers =
            format!("Message-ID: {message}\r\nFailure-Report: {failure}\r\nContent-Type: {content_type}\r\n");
        bench.say(conn, &bench.request(id, "tid1", "SEND", &headers, Some("hi")))
    };
    assert_eq!(say(&mut bench, "no", "text/html", "m1m1"), "");
    assert!(say(&mut bench, "partial", "text/html", "m2m2").starts_with("MSRP tid1 415 "));
    for (failure, status, answered) in [
        ("no", 200, false),
        ("no", 403, false),
        ("partial", 200, false),
        ("partial", 403, true),
        ("yes", 200, true),
    ] {
        assert_eq!(say(&mut bench, failure, "text/plain", "m3m3"), "");
        if let Some(Event::Message { receipt, .. }) = bench.switch.next_event() {
            bench.switch.answer(bench.now, &mut bench.ids, &receipt, status);
            assert_eq!(!bench.written(conn).is_empty(), answered, "{failure} {status}");
            bench.switch.sessions.values_mut().for_each(|session| session.recent.clear());
        } else {
            panic!("no message");
        }
    }
    let stray =
        request("msrp://gw.example:2855/other;tcp", "tid2", "SEND", "Failure-Report: no\r\n", None, '$');
    assert_eq!(bench.say(conn, &stray), "");
    let many = "Message-ID: m9m9\r\nFailure-Report: no\r\nContent-Type: text/plain\r\nByte-Range: 1-*/2\r\n";
    let to = bench.switch.uri(id).unwrap().as_str().to_owned();
    assert_eq!(bench.say(conn, &request(&to, "tid3", "SEND", many, Some("a"), '+')), "");
}

#[test]
fn other_methods_are_501_and_broken_requests_400() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    let auth = bench.request(id, "tid1", "AUTH", "", None);
    assert!(bench.say(conn, &auth).starts_with("MSRP tid1 501 "));
    for (headers, body) in [
        ("Message-ID: m1m1\r\nByte-Range: 0-1/1\r\nContent-Type: text/plain\r\n", Some("a")),
        ("Content-Type: text/plain\r\n", Some("a")),
        ("Message-ID: m1m1\r\n", Some("a")),
        ("Message-ID: m1m1\r\nFailure-Report: perhaps\r\n", None),
    ] {
        let answer = bench.say(conn, &bench.request(id, "tid2", "SEND", headers, body));
        assert!(answer.starts_with("MSRP tid2 400 "), "{headers}: {answer}");
    }
    assert_eq!(bench.events(), []);
}

#[test]
fn the_end_line_of_another_transaction_in_a_body_is_text() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    let body = "-------tid9$\r\nMSRP tid9 SEND\r\n\r\n-------tid2+\r\n";
    bench.say(conn, &chunk(&bench, id, "tid1", "1-*/*", body, '$'));
    assert_eq!(only_message(&mut bench).1, body.as_bytes());
}

#[test]
fn what_waits_for_an_answer_is_bounded() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    let mut refused = 0;
    for n in 0..200 {
        let headers = format!("Message-ID: m{n:05}\r\nContent-Type: text/plain\r\n");
        refused +=
            bench.say(conn, &bench.request(id, "tid1", "SEND", &headers, Some("a"))).matches(" 413 ").count();
    }
    assert_eq!((refused, bench.events().len()), (72, 128));
}

#[test]
fn responses_nobody_waits_for_are_nothing() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    let uri = bench.switch.uri(id).unwrap().as_str().to_owned();
    assert_eq!(bench.say(conn, &response(&uri, "nothing1", "481 Gone")), "");
    assert_eq!(bench.say(conn, &response("msrp://gw.example:2855/other;tcp", "nothing1", "200")), "");
    assert_eq!(bench.events(), []);
}

/// Sessions are many: what all of them leave unfinished has a bound beside that of each.
#[test]
fn what_is_unfinished_is_bounded_in_all_sessions_together() {
    let mut bench = Bench::new();
    let (one, first) = bench.bound();
    let (other, second) = bench.bound();
    // One octet at the end of a message costs as much as all of it.
    for tid in ["hoard001", "hoard002"] {
        let answer = bench.say(
            first,
            &chunk(&bench, one, tid, "9500-9500/10000", "x", '+')
                .replace("Message-ID: m", &format!("Message-ID: {tid}")),
        );
        assert!(answer.starts_with(&format!("MSRP {tid} 200 ")), "{answer}");
    }
    let long = |bench: &mut Bench, tid: &str| {
        let text = chunk(bench, other, tid, "1-2000/4000", &"x".repeat(2000), '+')
            .replace("Message-ID: m", &format!("Message-ID: {tid}"));
        bench.say(second, &text).split(' ').nth(2).unwrap_or_default().to_owned()
    };
    assert_eq!(long(&mut bench, "others01"), "413");
    // What is whole in one chunk is not kept.
    bench.say(second, &chunk(&bench, other, "short001", "1-5/5", "hello", '$'));
    let (receipt, octets) = only_message(&mut bench);
    assert_eq!(octets, b"hello");
    bench.switch.answer(bench.now, &mut bench.ids, &receipt, 200);
    bench.written(second);
    // Nobody finishes them: there is room again.
    bench.at(62);
    assert_eq!(long(&mut bench, "others02"), "200");
    for tid in ["hoard003", "hoard004"] {
        bench.say(
            first,
            &chunk(&bench, one, tid, "9000-9000/10000", "x", '+')
                .replace("Message-ID: m", &format!("Message-ID: {tid}")),
        );
    }
    assert_eq!(long(&mut bench, "others03"), "413");
    // Nor when their session ends.
    bench.switch.close(bench.now, &mut bench.ids, one);
    assert_eq!(long(&mut bench, "others04"), "200");
}
