//! Who is bound where, and what ends it (RFC 4975 §5.4).

use super::*;

const ID: &str = "Message-ID: m1m1\r\n";

#[test]
fn check_046_a_session_that_is_not_ours_is_481_and_one_bound_elsewhere_506() {
    let mut bench = Bench::new();
    let (id, _) = bench.bound();
    let other = bench.accepted();
    let stray = request("msrp://gw.example:2855/nobodynobody;tcp", "tid1", "SEND", ID, None, '$');
    let answer = bench.say(other, &stray);
    assert!(answer.starts_with("MSRP tid1 481 "), "{answer}");
    assert!(answer.contains(&format!("\r\nTo-Path: {FAR}\r\n")), "{answer}");
    assert!(answer.contains("\r\nFrom-Path: msrp://gw.example:2855/nobodynobody;tcp\r\n"), "{answer}");
    let stolen =
        bench.request(id, "tid2", "SEND", "Message-ID: m2m2\r\nContent-Type: text/plain\r\n", Some("hi"));
    assert!(bench.say(other, &stolen).starts_with("MSRP tid2 506 "));
    assert_eq!(bench.events(), []);
    // Another host, scheme, or way is another URI; two of them are none of an endpoint.
    let uri = bench.switch.uri(id).unwrap().as_str().to_owned();
    for to in [uri.replace("gw.", "gx."), uri.replace("msrp:", "msrps:"), format!("{uri} {uri}")] {
        let answer = bench.say(other, &request(&to, "tid3", "SEND", ID, None, '$'));
        assert!(answer.starts_with("MSRP tid3 481 "), "{to}: {answer}");
    }
}

#[test]
fn a_request_on_a_plain_connection_binds_no_session_of_tls() {
    let mut bench = Bench::new();
    let id = bench.switch.open(bench.now, &mut bench.ids, true, ACCEPT).unwrap();
    let conn = bench.accepted();
    let answer = bench.say(conn, &bench.request(id, "tid1", "SEND", ID, None));
    assert!(answer.starts_with("MSRP tid1 481 "), "{answer}");
}

#[test]
fn nothing_but_send_binds_and_send_before_the_signalling_does() {
    let mut bench = Bench::new();
    let id = bench.open();
    let conn = bench.accepted();
    let report = bench.request(id, "tid1", "REPORT", "Message-ID: m1m1\r\nStatus: 000 200 OK\r\n", None);
    assert_eq!(bench.say(conn, &report), "");
    // The peer's answer crosses its first request: who knows the session-id is the peer.
    let first =
        bench.request(id, "tid2", "SEND", "Message-ID: m2m2\r\nContent-Type: text/plain\r\n", Some("hi"));
    assert_eq!(bench.say(conn, &first), "");
    let events = bench.events();
    assert!(matches!(&events[..], [Event::Message { octets, .. }] if octets == b"hi"), "{events:?}");
    bench.start(id, Connects::Them).unwrap();
    assert_eq!(bench.events(), [Event::Up { session: id }]);
}

#[test]
fn the_active_side_connects_and_sends_at_once() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.start(id, Connects::Us).unwrap();
    let Some(Action::Dial(dial)) = bench.switch.next_action() else { panic!("no dial") };
    assert_eq!(
        (dial.host.as_str(), dial.port, dial.tls, dial.near.as_str()),
        ("far.example", 7777, false, "192.0.2.9")
    );
    let message = bench.send(id, "hello").unwrap();
    assert_eq!(bench.events(), []);
    bench.switch.connected(bench.now, &mut bench.ids, dial.conn, None);
    let frames = frames(&bench.written(dial.conn));
    assert_eq!(bench.events(), [Event::Up { session: id }]);
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[0].1, None, "the first one has no body");
    assert!(frames[0].0.contains("Byte-Range: 1-0/0\r\n") && !frames[0].0.contains("Content-Type"));
    assert!(
        frames[1]
            .0
            .contains(&format!("Message-ID: {message}\r\nByte-Range: 1-5/5\r\nContent-Type: text/plain\r\n"))
    );
    assert_eq!(frames[1].1.as_deref(), Some("hello"));
    // A second session with the same host takes the same connection, one with another end does not.
    let second = bench.open();
    bench.start(second, Connects::Us).unwrap();
    assert_eq!(bench.events(), [Event::Up { session: second }]);
    assert!(bench.written(dial.conn).contains("SEND"));
    let third = bench.open();
    let far = Peer { near: "192.0.2.10".into(), ..peer(FAR, Connects::Us) };
    bench.switch.start(bench.now, &mut bench.ids, third, far).unwrap();
    assert!(matches!(bench.switch.next_action(), Some(Action::Dial(_))));
}

#[test]
fn check_051_a_lost_connection_fails_its_sessions_and_unanswered_texts() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    let second = bench.open();
    bench.start(second, Connects::Them).unwrap();
    bench.say(conn, &bench.request(second, "tid1", "SEND", ID, None));
    let messages = [bench.send(id, "one").unwrap(), bench.send(second, "two").unwrap()];
    let texts = frames(&bench.written(conn));
    let uri = bench.switch.uri(id).unwrap().as_str().to_owned();
    let answered = bench.send(id, "three").unwrap();
    let third = frames(&bench.written(conn));
    bench.say(conn, &response(&uri, tid_of(&third[0].0), "200 OK"));
    bench
        .events()
        .into_iter()
        .find(|event| *event == Event::Sent { session: id, message: answered })
        .unwrap();
    assert_eq!(texts.len(), 2);
    bench.switch.lost(bench.now, &mut bench.ids, conn);
    let mut events = bench.events();
    events.sort_by_key(|event| (event.session(), matches!(event, Event::Down { .. })));
    let mut expected = vec![
        Event::Failed { session: id, message: messages[0], status: 408 },
        Event::Down { session: id, why: Down::Lost },
        Event::Failed { session: second, message: messages[1], status: 408 },
        Event::Down { session: second, why: Down::Lost },
    ];
    expected.sort_by_key(|event| (event.session(), matches!(event, Event::Down { .. })));
    assert_eq!(events, expected);
    assert_eq!(bench.switch.counts(), (0, 0));
    assert_eq!(bench.switch.deadline(), None);
    assert_eq!(bench.send(id, "late"), Err(SendError::Gone));
}

#[test]
fn what_is_never_bound_ends_by_its_deadline() {
    let mut bench = Bench::new();
    let (reserved, waiting) = (bench.open(), bench.open());
    bench.start(waiting, Connects::Them).unwrap();
    let message = bench.send(waiting, "hello").unwrap();
    let conn = bench.accepted();
    bench.at(29);
    assert_eq!(bench.events(), []);
    bench.at(31);
    let events = bench.events();
    assert_eq!(
        events,
        [
            Event::Failed { session: waiting, message, status: 481 },
            Event::Down { session: waiting, why: Down::NotBound },
        ]
    );
    assert_eq!(bench.written(conn), "<closed>");
    bench.at(301);
    assert_eq!(bench.events(), [Event::Down { session: reserved, why: Down::NotBound }]);
    assert_eq!((bench.switch.counts(), bench.switch.deadline()), ((0, 0), None));
}

#[test]
fn a_frame_that_does_not_end_and_refusals_without_end_close_the_connection() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    bench.say(conn, "MSRP slow");
    bench.at(40);
    bench.say(conn, "er SEND\r\n");
    bench.at(61);
    assert_eq!(bench.written(conn), "<closed>");
    assert_eq!(bench.events(), [Event::Down { session: id, why: Down::Lost }]);
    let conn = bench.accepted();
    let mut answers = String::new();
    for guess in 0..100 {
        let to = format!("msrp://gw.example:2855/guess{guess};tcp");
        answers += &bench.say(conn, &request(&to, "tid1", "SEND", ID, None, '$'));
    }
    assert_eq!(answers.matches(" 481 ").count(), 32);
    assert!(answers.ends_with("<closed>"));
}

#[test]
fn octets_that_are_no_msrp_close_the_connection_and_cost_its_sessions() {
    for octets in ["GET / HTTP/1.1\r\n\r\n", "MSRP tid1 SEND\r\nTo-Path: x\r\n-------tid1$\r\n"] {
        let mut bench = Bench::new();
        let (id, conn) = bench.bound();
        assert_eq!(bench.say(conn, octets), "<closed>");
        assert_eq!(bench.events(), [Event::Down { session: id, why: Down::Lost }]);
    }
}

#[test]
fn sessions_and_connections_are_bounded() {
    let mut bench = Bench::new();
    for _ in 0..4 {
        bench.open();
        bench.accepted();
    }
    assert!(bench.switch.open(bench.now, &mut bench.ids, false, ACCEPT).is_none());
    assert!(bench.switch.accepted(bench.now, false, None).is_none());
    let id = *bench.switch.sessions.values().map(|session| &session.id).next().unwrap();
    assert_eq!(bench.start(id, Connects::Us), Err(StartError::Full));
    assert_eq!(bench.events(), []);
    assert!(bench.switch.uri(id).is_none());
}

#[test]
fn a_path_that_leads_nowhere_starts_nothing() {
    for path in ["msrp://far.example/x;tcp", "msrp://far.example:1/x;sctp"] {
        let mut bench = Bench::new();
        let id = bench.open();
        let peer = peer(path, Connects::Us);
        assert_eq!(bench.switch.start(bench.now, &mut bench.ids, id, peer), Err(StartError::Path));
        assert_eq!((bench.switch.next_action(), bench.switch.counts()), (None, (0, 0)));
    }
}

#[test]
fn a_certificate_that_is_not_the_described_one_ends_the_session() {
    let der = b"a certificate";
    let right = Fingerprint { hash: "SHA-256".into(), octets: sha2::Sha256::digest(der).to_vec() };
    let wrong = Fingerprint { hash: "sha-1".into(), octets: vec![0; 20] };
    let unknown = Fingerprint { hash: "md5".into(), octets: vec![0; 16] };
    let cases = [
        (vec![wrong.clone(), right], Some(der.to_vec()), true),
        (vec![wrong.clone()], Some(der.to_vec()), false),
        (vec![unknown], Some(der.to_vec()), false),
        (vec![wrong], None, true),
        (vec![], Some(der.to_vec()), true),
    ];
    for (fingerprints, certificate, good) in cases {
        let mut bench = Bench::new();
        let id = bench.switch.open(bench.now, &mut bench.ids, true, ACCEPT).unwrap();
        let peer = Peer { fingerprints, ..peer(FAR, Connects::Them) };
        bench.switch.start(bench.now, &mut bench.ids, id, peer).unwrap();
        let conn = bench.switch.accepted(bench.now, true, certificate).unwrap();
        let answer = bench.say(conn, &bench.request(id, "tid1", "SEND", ID, None));
        if good {
            assert!(answer.starts_with("MSRP tid1 200 "), "{answer}");
            assert_eq!(bench.events(), [Event::Up { session: id }]);
        } else {
            assert!(answer.starts_with("MSRP tid1 403 "), "{answer}");
            assert_eq!(bench.events(), [Event::Down { session: id, why: Down::Certificate }]);
        }
    }
}

/// A transaction id that somebody learned is of no use on a connection of theirs.
#[test]
fn a_response_on_another_connection_answers_nothing() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    let message = bench.send(id, "hi").unwrap();
    let sent = frames(&bench.written(conn));
    let uri = bench.switch.uri(id).unwrap().as_str().to_owned();
    let other = bench.accepted();
    for status in ["200 OK", "400", "481", "506"] {
        assert_eq!(bench.say(other, &response(&uri, tid_of(&sent[0].0), status)), "");
        assert_eq!(bench.events(), [], "{status}");
    }
    bench.say(conn, &response(&uri, tid_of(&sent[0].0), "200 OK"));
    assert_eq!(bench.events(), [Event::Sent { session: id, message }]);
}

/// Who knows the session-id and is faster than the answer escapes no judgement by that (RFC 4975 §14.4).
#[test]
fn a_certificate_that_came_before_its_description_is_judged_when_that_comes() {
    let der = b"a certificate";
    let right = Fingerprint { hash: "SHA-256".into(), octets: sha2::Sha256::digest(der).to_vec() };
    let wrong = Fingerprint { hash: "sha-1".into(), octets: vec![0; 20] };
    for (fingerprints, good) in [(vec![wrong.clone()], false), (vec![wrong, right], true), (vec![], true)] {
        let mut bench = Bench::new();
        let id = bench.switch.open(bench.now, &mut bench.ids, true, ACCEPT).unwrap();
        let conn = bench.switch.accepted(bench.now, true, Some(der.to_vec())).unwrap();
        assert!(bench.say(conn, &bench.request(id, "tid1", "SEND", ID, None)).starts_with("MSRP tid1 200 "));
        let peer = Peer { fingerprints, ..peer(FAR, Connects::Them) };
        let started = bench.switch.start(bench.now, &mut bench.ids, id, peer);
        if good {
            assert_eq!((started, bench.events()), (Ok(()), vec![Event::Up { session: id }]));
        } else {
            assert_eq!((started, bench.events()), (Err(StartError::Certificate), vec![]));
            assert_eq!(bench.switch.counts().0, 0);
        }
    }
}

#[test]
fn check_050_session_ids_have_80_random_bits_and_transaction_ids_64() {
    let mut bench = Bench::new();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..4 {
        let id = bench.open();
        // Two characters name the owner, sixteen have five random bits each.
        assert_eq!(id.as_str().len(), 18);
        assert!(seen.insert(id.as_str()[2..].to_owned()));
    }
    let (mut bench, mut tids) = (Bench::new(), std::collections::BTreeSet::new());
    let (id, conn) = bench.bound();
    for _ in 0..20 {
        bench.send(id, "x").unwrap();
        let frames = frames(&bench.written(conn));
        assert_eq!(tid_of(&frames[0].0).len(), 18);
        assert!(tids.insert(tid_of(&frames[0].0)[2..].to_owned()));
    }
    // Each of the five bits of each digit takes both values somewhere.
    let columns = (0..16)
        .map(|at| tids.iter().map(|tid| tid.as_bytes()[at]).collect::<std::collections::BTreeSet<_>>());
    assert!(columns.into_iter().all(|digits| digits.len() > 5));
}
