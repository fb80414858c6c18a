//! Reports, both ways (RFC 4975 §7.1.2 to §7.1.4, §7.3.2).

use super::*;

fn receive(bench: &mut Bench, id: SessionId, conn: ConnId, message: &str, headers: &str) -> Receipt {
    let headers = format!("Message-ID: {message}\r\n{headers}Content-Type: text/plain\r\n");
    assert_eq!(bench.say(conn, &bench.request(id, "tid1", "SEND", &headers, Some("hello"))), "");
    match bench.events().pop() {
        Some(Event::Message { receipt, .. }) => receipt,
        other => panic!("{other:?}"),
    }
}

#[test]
fn check_047_success_is_reported_only_when_it_was_asked_for() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    for (headers, wanted) in
        [("", false), ("Success-Report: no\r\n", false), ("Success-Report: yes\r\n", true)]
    {
        let receipt = receive(&mut bench, id, conn, &format!("m{}m1", headers.len()), headers);
        assert_eq!(receipt.wants_success(), wanted);
        bench.switch.answer(bench.now, &mut bench.ids, &receipt, 200);
        bench.written(conn);
        assert_eq!(bench.switch.report(bench.now, &mut bench.ids, &receipt, 200), wanted, "{headers}");
        let reports = frames(&bench.written(conn));
        assert_eq!(reports.len(), usize::from(wanted));
        for (head, body, flag) in reports {
            let uri = bench.switch.uri(id).unwrap().as_str();
            let tail = format!(
                "REPORT\r\nTo-Path: {FAR}\r\nFrom-Path: {uri}\r\nMessage-ID: m21m1\r\nByte-Range: 1-5/5\r\nStatus: 000 200 OK\r\n"
            );
            assert!(head.ends_with(&tail) && body.is_none() && flag == '$', "{head}");
            assert!(!head.contains("-Report:"), "RFC 4975 §7.1.2");
        }
    }
}

#[test]
fn check_047_a_report_gets_neither_response_nor_report() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    let cases = [
        "Message-ID: m1m1\r\nStatus: 000 200 OK\r\n",
        "Message-ID: m1m1\r\nStatus: 000 403 no\r\nSuccess-Report: yes\r\nFailure-Report: yes\r\n",
        "Message-ID: m1m1\r\nByte-Range: 0-0/0\r\n",
        "Status: 000 200\r\n",
        "no header\r\n",
    ];
    for headers in cases {
        assert_eq!(bench.say(conn, &bench.request(id, "tid1", "REPORT", headers, None)), "", "{headers}");
        assert_eq!(
            bench.say(conn, &bench.request(id, "tid1", "REPORT", headers, Some("body"))),
            "",
            "{headers}"
        );
    }
    let stray = request("msrp://gw.example:2855/other;tcp", "tid2", "REPORT", cases[0], None, '$');
    assert_eq!(bench.say(conn, &stray), "");
    assert_eq!(bench.events(), []);
}

#[test]
fn a_late_failure_is_reported_unless_nobody_wants_to_know() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    for (headers, wanted) in
        [("", true), ("Failure-Report: partial\r\n", true), ("Failure-Report: no\r\n", false)]
    {
        let receipt = receive(&mut bench, id, conn, &format!("m{}m1", headers.len()), headers);
        bench.switch.answer(bench.now, &mut bench.ids, &receipt, 200);
        bench.written(conn);
        assert_eq!(bench.switch.report(bench.now, &mut bench.ids, &receipt, 403), wanted);
        let text = bench.written(conn);
        assert_eq!(text.contains("Byte-Range: 1-5/5\r\nStatus: 000 403 "), wanted, "{headers}");
    }
    let receipt = receive(&mut bench, id, conn, "m9m9", "");
    bench.switch.close(bench.now, &mut bench.ids, id);
    assert!(!bench.switch.report(bench.now, &mut bench.ids, &receipt, 403), "the session is over");
}

fn sent(bench: &mut Bench, id: SessionId, conn: ConnId, text: &str) -> MessageId {
    let message = Outgoing { report: true, ..text_message(text) };
    let message = bench.switch.send(bench.now, &mut bench.ids, id, message).unwrap();
    let uri = bench.switch.uri(id).unwrap().as_str().to_owned();
    for (head, ..) in frames(&bench.written(conn)) {
        assert!(head.contains("Success-Report: yes\r\n"));
        bench.say(conn, &response(&uri, tid_of(&head), "200 OK"));
    }
    assert_eq!(bench.events(), [Event::Sent { session: id, message }]);
    message
}

#[test]
fn a_success_report_counts_when_it_covers_the_whole_message() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    let message = sent(&mut bench, id, conn, "abcdefgh");
    let report =
        |range: &str| format!("Message-ID: {message}\r\nByte-Range: {range}\r\nStatus: 000 200 OK\r\n");
    for range in ["5-8/8", "5-8/8", "1-2/8"] {
        assert_eq!(bench.say(conn, &bench.request(id, "tid1", "REPORT", &report(range), None)), "");
        assert_eq!(bench.events(), [], "{range}");
    }
    bench.say(conn, &bench.request(id, "tid1", "REPORT", &report("1-4/8"), None));
    assert_eq!(bench.events(), [Event::Reported { session: id, message, status: 200 }]);
    bench.say(conn, &bench.request(id, "tid1", "REPORT", &report("1-*/8"), None));
    assert_eq!(bench.events(), [], "once");
    // Without a range: all of it. Of another namespace: nothing.
    let message = sent(&mut bench, id, conn, "");
    let other = format!("Message-ID: {message}\r\nStatus: 001 200 OK\r\n");
    bench.say(conn, &bench.request(id, "tid1", "REPORT", &other, None));
    assert_eq!(bench.events(), []);
    let plain = format!("Message-ID: {message}\r\nStatus: 000 200 OK\r\n");
    bench.say(conn, &bench.request(id, "tid1", "REPORT", &plain, None));
    bench.say(conn, &bench.request(id, "tid1", "REPORT", &plain, None));
    assert_eq!(bench.events(), [Event::Reported { session: id, message, status: 200 }]);
}

#[test]
fn a_failure_report_fails_the_message_and_the_session() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    let message = sent(&mut bench, id, conn, "abcdefgh");
    let report = format!("Message-ID: {message}\r\nByte-Range: 1-8/8\r\nStatus: 000 403 no\r\n");
    bench.say(conn, &bench.request(id, "tid1", "REPORT", &report, None));
    assert_eq!(
        bench.events(),
        [
            Event::Reported { session: id, message, status: 403 },
            Event::Down { session: id, why: Down::Refused(403) },
        ]
    );
}
