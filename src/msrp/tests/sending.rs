//! Our messages: chunks, turns, responses, deadlines.

use super::*;

#[test]
fn check_049_a_long_message_goes_in_chunks_of_2048_octets() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    let text = "0123456789".repeat(500);
    let message = bench.send(id, &text).unwrap();
    let frames = frames(&bench.written(conn));
    let ranges: Vec<&str> =
        frames.iter().map(|(head, ..)| head.split("Byte-Range: ").nth(1).unwrap()).collect();
    assert!(ranges[0].starts_with("1-2048/5000\r\n") && ranges[1].starts_with("2049-4096/5000\r\n"));
    assert!(ranges[2].starts_with("4097-5000/5000\r\n"));
    assert_eq!(frames.iter().map(|(.., flag)| *flag).collect::<String>(), "++$");
    let body: String = frames.iter().filter_map(|(_, body, _)| body.clone()).collect();
    assert_eq!(body, text);
    let id_line = format!("Message-ID: {message}\r\n");
    assert!(frames.iter().all(|(head, ..)| head.contains(&id_line) && !head.contains("-Report")));
    // It is there when every chunk is answered, in any order.
    let uri = bench.switch.uri(id).unwrap().as_str().to_owned();
    for place in [2, 0, 1] {
        assert_eq!(bench.events(), []);
        bench.say(conn, &response(&uri, tid_of(&frames[place].0), "200 OK"));
    }
    assert_eq!(bench.events(), [Event::Sent { session: id, message }]);
}

/// RFC 4975 §7.1: the end-line must not be in the body, so the transaction id is not either.
#[test]
fn check_049_the_end_line_is_not_in_the_body() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    // A mint with the same seed: the next two ids are known, and the first is what the text says.
    let mut copy = Ids::new([9; 32], Owner::default());
    bench.ids = Ids::new([9; 32], Owner::default());
    let (_, next) = (copy.mint(), copy.mint());
    let text = format!("before\r\n-------{next}$\r\nafter");
    bench.send(id, &text).unwrap();
    let frames = frames(&bench.written(conn));
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].1.as_deref(), Some(text.as_str()));
    assert_ne!(tid_of(&frames[0].0), next.as_str());
    assert_eq!(tid_of(&frames[0].0), copy.mint().as_str());
}

#[test]
fn sessions_of_a_connection_take_turns_and_one_does_not_fill_it() {
    let mut bench = Bench::new();
    let (first, conn) = bench.bound();
    let second = bench.open();
    bench.start(second, Connects::Them).unwrap();
    bench.say(conn, &bench.request(second, "tid1", "SEND", "Message-ID: m1m1\r\n", None));
    let long = "x".repeat(9000);
    let mut written = String::new();
    for _ in 0..4 {
        bench.send(first, &long).unwrap();
        written += &bench.written(conn);
    }
    assert!(written.len() < 20_000, "{} octets before the kernel has any", written.len());
    bench.send(second, "short").unwrap();
    assert_eq!(bench.written(conn), "");
    bench.switch.drained(bench.now, &mut bench.ids, conn);
    let next = frames(&bench.written(conn));
    let place = next.iter().position(|(_, body, _)| body.as_deref() == Some("short"));
    assert!(place.is_some_and(|place| place <= 1), "the short one has its turn: {place:?} of {}", next.len());
}

#[test]
fn a_refused_message_is_not_sent_on_and_the_next_one_is() {
    for status in [403, 408, 413, 415, 423, 400, 501] {
        let mut bench = Bench::new();
        let (id, conn) = bench.bound();
        let messages: Vec<MessageId> = (0..3).map(|_| bench.send(id, &"x".repeat(10_000)).unwrap()).collect();
        let sent = frames(&bench.written(conn));
        let uri = bench.switch.uri(id).unwrap().as_str().to_owned();
        bench.say(conn, &response(&uri, tid_of(&sent[0].0), &status.to_string()));
        assert_eq!(bench.events(), [Event::Failed { session: id, message: messages[0], status }]);
        bench.switch.drained(bench.now, &mut bench.ids, conn);
        for (head, ..) in frames(&bench.written(conn)) {
            assert!(!head.contains(messages[0].as_str()), "{status}: {head}");
        }
        // Responses to its other chunks come in vain.
        bench.say(conn, &response(&uri, tid_of(&sent[1].0), "200 OK"));
        assert_eq!(bench.events(), []);
    }
}

#[test]
fn a_peer_that_knows_no_session_ends_it() {
    for status in [481, 506] {
        let mut bench = Bench::new();
        let (id, conn) = bench.bound();
        let messages = [bench.send(id, "one").unwrap(), bench.send(id, "two").unwrap()];
        let sent = frames(&bench.written(conn));
        let uri = bench.switch.uri(id).unwrap().as_str().to_owned();
        bench.say(conn, &response(&uri, tid_of(&sent[0].0), &format!("{status} gone")));
        assert_eq!(
            bench.events(),
            [
                Event::Failed { session: id, message: messages[0], status },
                Event::Failed { session: id, message: messages[1], status },
                Event::Down { session: id, why: Down::Refused(status) },
            ]
        );
    }
}

#[test]
fn a_chunk_without_an_answer_fails_its_message_after_30_seconds() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    let message = bench.send(id, "hello").unwrap();
    bench.written(conn);
    bench.at(29);
    assert_eq!(bench.events(), []);
    bench.at(31);
    assert_eq!(bench.events(), [Event::Failed { session: id, message, status: 408 }]);
    bench.at(62);
    assert_eq!(bench.events(), []);
}

#[test]
fn what_is_not_taken_is_said_at_once() {
    let mut bench = Bench::new();
    let id = bench.open();
    let peer = Peer { max_size: Some(100), ..peer(FAR, Connects::Them) };
    bench.switch.start(bench.now, &mut bench.ids, id, peer).unwrap();
    assert_eq!(bench.send(id, &"x".repeat(101)), Err(SendError::TooLarge));
    for content_type in ["text/plain\r\nX: y", "text", "text/pl\u{e4}in"] {
        let message = Outgoing { content_type: content_type.into(), ..text_message("x") };
        assert_eq!(bench.switch.send(bench.now, &mut bench.ids, id, message), Err(SendError::Type));
    }
    for _ in 0..64 {
        bench.send(id, "x").unwrap();
    }
    assert_eq!(bench.send(id, "x"), Err(SendError::Full));
    bench.at(32);
    assert_eq!(bench.events().len(), 65, "each of them, and the session");
}

#[test]
fn a_message_that_is_sent_again_in_a_new_session_keeps_its_name() {
    let mut bench = Bench::new();
    let (id, conn) = bench.bound();
    let name = bench.send(id, "hello").unwrap();
    bench.switch.close(bench.now, &mut bench.ids, id);
    assert_eq!(bench.events(), [Event::Failed { session: id, message: name, status: 408 }]);
    bench.written(conn);
    let (next, conn) = bench.bound();
    let again = Outgoing { again: Some(name), ..text_message("hello") };
    assert_eq!(bench.switch.send(bench.now, &mut bench.ids, next, again), Ok(name));
    assert!(bench.written(conn).contains(&format!("Message-ID: {name}\r\n")));
}

#[test]
fn a_peer_that_does_not_read_is_cut_off() {
    let mut bench = Bench::new();
    let (_, conn) = bench.bound();
    let stray = request("msrp://gw.example:2855/other;tcp", "tid1", "AUTH", "", None, '$');
    let mut written = 0;
    for _ in 0..100_000 {
        // The guard against guesses is not what is tested here.
        bench.switch.conns.values_mut().for_each(|conn| conn.strikes = 0);
        let text = bench.say(conn, &stray);
        written += text.len();
        if text.ends_with("<closed>") {
            assert!(written < 300_000, "{written} octets");
            return;
        }
    }
    panic!("never cut off");
}
