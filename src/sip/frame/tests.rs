//! Streams and datagrams, whole and in pieces.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

const OPTIONS: &str = "OPTIONS sip:a@b.example SIP/2.0\r\nVia: SIP/2.0/TCP c.example;branch=z9hG4bK1\r\n\
    From: <sip:c@c.example>;tag=1\r\nTo: <sip:a@b.example>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n";

fn message(length: &str, body: &str) -> String {
    format!("{OPTIONS}{length}\r\n\r\n{body}")
}

/// All frames of a stream in pieces of `size`, pings as empty ones, and the fault at its end.
fn run(octets: &[u8], size: usize) -> (Vec<Vec<u8>>, Option<Fault>) {
    let mut framer = Framer::new(Limits::default());
    let mut frames = Vec::new();
    for piece in octets.chunks(size) {
        framer.push(piece);
        loop {
            match framer.next() {
                Ok(Some(Frame::Message(octets))) => frames.push(octets.to_vec()),
                Ok(Some(Frame::Ping)) => frames.push(Vec::new()),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.fault)),
            }
        }
    }
    (frames, None)
}

fn fault(octets: &str) -> Option<Fault> {
    let (_, whole) = run(octets.as_bytes(), usize::MAX);
    assert_eq!(run(octets.as_bytes(), 1).1, whole, "in pieces");
    whole
}

#[test]
fn threat_070_one_octet_at_a_time_and_ten_requests_at_once() {
    let one = message("Content-Length: 5", "a\r\n\r\n");
    let stream = one.repeat(10);
    for size in [1, 2, 3, 7, 100, 1000, usize::MAX] {
        let (frames, fault) = run(stream.as_bytes(), size);
        assert_eq!((frames.len(), fault), (10, None), "{size}");
        assert!(frames.iter().all(|frame| frame == one.as_bytes()));
    }
}

#[test]
fn pitfall_01_and_threat_071_exactly_one_content_length_of_plain_digits() {
    for good in [
        "Content-Length: 2",
        "l:2",
        "L : 2",
        "CONTENT-LENGTH \t:\t 002 ",
        "Content-Length:\r\n 2",
        "l:\r\n\t\r\n 2",
    ] {
        let (frames, fault) = run(message(good, "hiINVITE").as_bytes(), 1);
        assert_eq!((frames.len(), fault), (1, None), "{good:?}");
        assert!(frames[0].ends_with(b"\r\n\r\nhi"));
    }
    for bad in [
        "Content-Length: -1",
        "Content-Length: +5",
        "Content-Length: 4294967301",
        "Content-Length:",
        "l: 18446744073709551615",
        "Content-Length: 2\r\nContent-Length: 2",
        "Content-Length: 2\r\nl: 3",
        "l: 2\r\nl : 2",
        "Content-Length: 2, 2",
        "Content-Length: 0x2",
        "Content-Length: 2 2",
        "l: \u{662}",
        "l: 2\r\n 3",
        "l: 0000000002",
        "Content-Length: 2;x",
    ] {
        assert_eq!(fault(&message(bad, "hi")), Some(Fault::ContentLength), "{bad:?}");
    }
    assert_eq!(fault(&message("X: y", "hi")), Some(Fault::LengthMissing));
    assert_eq!(fault(&message("Content-Lengthy: 2", "hi")), Some(Fault::LengthMissing));
    assert_eq!(fault(&message("l: 65537", "")), Some(Fault::BodyTooLong));
    assert_eq!(fault(&message("l: 65536", "")), None);
    // Too large: waits. Too small: what is left over is no start line.
    assert_eq!(run(message("l: 3", "hi").as_bytes(), 1), (vec![], None));
    let (frames, fault) = run(message("l: 1", "hi\r\n\r\n").as_bytes(), 1);
    assert_eq!((frames.len(), fault), (1, Some(Fault::NotSip)));
}

#[test]
fn threat_071_a_datagram_ends_where_its_content_length_says() {
    let cut = |text: String| {
        let mut octets = text.into_bytes();
        datagram(&mut octets, &Limits::default()).map(|frame| match frame {
            Frame::Message(octets) => octets.len(),
            Frame::Ping => 0,
        })
    };
    let head = message("l: 2", "").len();
    assert_eq!(cut(message("l: 2", "hi there")), Ok(head + 2));
    assert_eq!(cut(message("X: 2", "hi there")), Ok(head + 8));
    assert_eq!(cut(format!("\r\n\r\n{}", message("l: 2", "hi"))), Ok(head + 2));
    for (text, want) in [
        (message("l: 3", "hi"), Fault::BodyShort),
        (message("l: -3", "hi"), Fault::ContentLength),
        (message("l: 2\r\nl: 2", "hi"), Fault::ContentLength),
        (OPTIONS.into(), Fault::NoHeadEnd),
        (message("l: 2", "hi").replace("\r\n", "\n"), Fault::BareLineEnd),
    ] {
        let error = cut(text).unwrap_err();
        assert_eq!(error.fault, want);
        assert_eq!(error.readable().is_some(), want != Fault::BareLineEnd, "{want:?}");
    }
    assert_eq!(cut("\r\n\r\n".into()), Ok(0));
    assert_eq!(cut(String::new()), Ok(0));
}

#[test]
fn pitfall_06_and_check_147_crlf_between_messages_and_the_double_one_is_a_ping() {
    let one = message("l: 0", "");
    let frames = |text: &str| {
        let (frames, fault) = run(text.as_bytes(), usize::MAX);
        assert_eq!(fault, None);
        let (pieces, fault) = run(text.as_bytes(), 1);
        assert_eq!(fault, None);
        assert_eq!(pieces.iter().any(Vec::is_empty), frames.iter().any(Vec::is_empty));
        frames.iter().map(|frame| !frame.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(frames(&format!("\r\n{one}")), [true]);
    assert_eq!(frames("\r\n\r\n"), [false]);
    assert_eq!(frames(&format!("{one}\r\n\r\n{one}")), [true, false, true]);
    assert_eq!(frames(&format!("{one}\r\n{one}\r\n{one}")), [true, true, true]);
    assert_eq!(fault("\r\r\n"), Some(Fault::BareLineEnd));
    assert_eq!(fault("\n"), Some(Fault::BareLineEnd));
    assert_eq!(fault("\r\nx\r\n"), Some(Fault::NotSip));
}

#[test]
fn threat_072_a_flood_of_crlf_is_one_ping_a_push_and_holds_nothing() {
    let mut framer = Framer::new(Limits::default());
    let flood = b"\r\n".repeat(50_000);
    for _ in 0..65 {
        framer.push(&flood);
        assert_eq!(framer.next().unwrap(), Some(Frame::Ping));
        assert_eq!(framer.next().unwrap(), None);
        assert_eq!(framer.pending(), 0);
    }
    assert!(framer.buffer.capacity() <= 2 * flood.len());
}

#[test]
fn threat_073_endless_headers_end_at_the_limits() {
    let endless = |piece: &str| {
        let mut framer = Framer::new(Limits::default());
        framer.push(OPTIONS.as_bytes());
        for pushed in 0..1_000_000 {
            framer.push(piece.as_bytes());
            match framer.next() {
                Ok(None) => assert!(framer.pending() < 80_000),
                Ok(Some(_)) => panic!("a frame"),
                Err(error) => {
                    assert!(error.readable().is_some());
                    assert_eq!((framer.pending(), framer.buffer.capacity()), (0, 0));
                    framer.push(b"more");
                    assert!(matches!(framer.next(), Ok(None)));
                    return (error.fault, pushed);
                }
            }
        }
        panic!("no end");
    };
    assert_eq!(endless("x").0, Fault::LineTooLong);
    assert_eq!(endless("X: y\r\n ").0, Fault::LineTooLong);
    assert_eq!(endless("Via: SIP/2.0/TCP a\r\n"), (Fault::TooManyHeaders, 196));
    assert_eq!(endless(&format!("X: {}\r\n", "y".repeat(7000))).0, Fault::HeadTooLong);
    assert_eq!(Fault::HeadTooLong.status(), 513);
    assert_eq!(Fault::BodyTooLong.status(), 413);
    // No line at all.
    assert_eq!(fault(&"x".repeat(9000)), Some(Fault::LineTooLong));
}

#[test]
fn pitfall_19_limits_are_exact() {
    let limits = Limits { head: 10_000, line: 100, headers: 8, body: 10 };
    let try_with = |headers: &str| {
        let mut framer = Framer::new(limits);
        framer.push(format!("{OPTIONS}{headers}\r\n").as_bytes());
        framer.next().map(|frame| frame.is_some()).map_err(|error| error.fault)
    };
    assert_eq!(try_with("l: 0\r\nA: 7\r\nB: 8\r\n"), Ok(true));
    assert_eq!(try_with("l: 0\r\nA: 7\r\nB: 8\r\nC: 9\r\n"), Err(Fault::TooManyHeaders));
    let line = |length: usize| format!("l: 0\r\nA: {}\r\n", "x".repeat(length - 3));
    assert_eq!(try_with(&line(100)), Ok(true));
    assert_eq!(try_with(&line(101)), Err(Fault::LineTooLong));
    let head = OPTIONS.len() + "l: 0\r\n\r\n".len();
    for (limit, want) in [(head, Ok(true)), (head - 1, Err(Fault::HeadTooLong))] {
        let mut framer = Framer::new(Limits { head: limit, ..limits });
        framer.push(format!("{OPTIONS}l: 0\r\n\r\n").as_bytes());
        assert_eq!(framer.next().map(|frame| frame.is_some()).map_err(|error| error.fault), want);
    }
}

#[test]
fn pitfall_02_without_an_empty_line_there_is_no_message() {
    assert_eq!(run(OPTIONS.as_bytes(), 1), (vec![], None));
    let mut octets = OPTIONS.as_bytes().to_vec();
    assert_eq!(datagram(&mut octets, &Limits::default()).unwrap_err().fault, Fault::NoHeadEnd);
}

#[test]
fn pitfall_03_folded_lines_are_joined_in_place() {
    let text = message("Subject: a\r\n b\r\n\t\r\n  c\r\nl :\r\n 0", "");
    for size in [1, 2, 5, usize::MAX] {
        let (frames, _) = run(text.as_bytes(), size);
        let joined = String::from_utf8(frames[0].clone()).unwrap();
        assert_eq!(joined.len(), text.len());
        assert!(joined.contains("\r\nSubject: a   b  \t    c\r\nl :   0\r\n\r\n"), "{joined:?}");
    }
    // A start line can't be folded, nor can the empty line be.
    let folded = OPTIONS.replacen("\r\n", "\r\n ", 1);
    assert_eq!(fault(&folded), Some(Fault::Folded));
    // Nor can what comes before a colon.
    assert_eq!(fault(&message("l\r\n : 0", "")), Some(Fault::Folded));
}

#[test]
fn an_error_carries_the_request_that_it_answers() {
    let mut framer = Framer::new(Limits::default());
    framer.push(message("l: x", "").as_bytes());
    let error = framer.next().unwrap_err();
    let readable = error.readable().unwrap();
    assert_eq!(readable.method(), "OPTIONS");
    assert_eq!(readable.header(Name::CallId), Some("1"));
    assert_eq!(readable.via().and_then(|via| via.branch), Some("z9hG4bK1"));
    // Responses and ACKs are not answered, nor is what is not SIP.
    for text in [
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP a\r\nl: x\r\n\r\n",
        "ACK sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP a\r\nl: x\r\n\r\n",
        "GET / HTTP/1.1\r\nVia: SIP/2.0/TCP a\r\n\r\n",
        "OPTIONS sip:a@b SIP/2.0\r\nl: x\r\n\r\n",
    ] {
        let mut framer = Framer::new(Limits::default());
        framer.push(text.as_bytes());
        assert_eq!(framer.next().unwrap_err().readable(), None, "{text}");
    }
}

#[test]
fn a_body_may_hold_anything() {
    let mut octets = message("l: 8", "").into_bytes();
    octets.extend_from_slice(b"\0\n\r\n\r\n\xff\r");
    let (frames, fault) = run(&octets, 1);
    assert_eq!((frames, fault), (vec![octets], None));
}
