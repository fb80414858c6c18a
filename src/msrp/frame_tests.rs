//! Frames whole and in pieces, end-lines inside bodies, and what is no frame.

#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

type Owned = (Vec<u8>, Option<Vec<u8>>, Option<Flag>);

/// All frames of `stream`, fed in pieces.
fn frames(stream: &[u8], piece: usize, body_max: usize) -> (Vec<Owned>, Option<FrameError>) {
    let mut framer = Framer::new(body_max);
    let mut found = Vec::new();
    for piece in stream.chunks(piece.max(1)) {
        framer.push(piece);
        loop {
            match framer.next() {
                Ok(Some(Frame::Whole { head, body, flag })) => {
                    found.push((head.to_vec(), body.map(<[u8]>::to_vec), Some(flag)));
                }
                Ok(Some(Frame::TooLong { head })) => found.push((head.to_vec(), None, None)),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

const SEND: &[u8] = b"MSRP d93kswow SEND\r\nTo-Path: a\r\nContent-Type: text/plain\r\n\r\nHi, I'm Alice!\r\n-------d93kswow$\r\n";
const EMPTY: &[u8] = b"MSRP d93kswow SEND\r\nTo-Path: a\r\n-------d93kswow$\r\n";

#[test]
fn frames_are_cut_wherever_the_stream_is_cut() {
    let stream = [SEND, EMPTY, SEND].concat();
    for piece in 1..stream.len() {
        let (found, error) = frames(&stream, piece, 100);
        assert_eq!((found.len(), error), (3, None), "in pieces of {piece}");
        assert_eq!(found[0].1.as_deref(), Some(&b"Hi, I'm Alice!"[..]));
        assert_eq!(found[1], (EMPTY[..32].to_vec(), None, Some(Flag::End)));
    }
}

/// RFC 4975 §7.1: what only looks like the end-line is body.
#[test]
fn an_end_line_inside_the_body_ends_nothing_unless_it_is_the_one() {
    let inside = [
        "x-------d93kswow$",
        "\r\n-------d93kswo$\r\n",
        "\r\n-------d93kswowX\r\n",
        "\r\n-------d93kswow$x",
        "\r\n------d93kswow$\r\n",
        "\r\n-------d93kswow\r\n",
        "\r\n-------other123$\r\n",
        "\r\n-------\r\n-------d93kswow\r",
        "\r",
        "\r\n",
    ];
    for text in inside {
        let stream = format!("MSRP d93kswow SEND\r\nContent-Type: a/b\r\n\r\n{text}\r\n-------d93kswow+\r\n");
        for piece in [1, 2, 7, stream.len()] {
            let (found, _) = frames(stream.as_bytes(), piece, 100);
            assert_eq!(found.len(), 1, "{text:?}");
            assert_eq!(found[0].1.as_deref(), Some(text.as_bytes()), "{text:?}");
            assert_eq!(found[0].2, Some(Flag::More));
        }
    }
}

#[test]
fn an_empty_body_is_not_no_body() {
    for text in ["\r\n\r\n-------abcd#\r\n", "\r\n-------abcd#\r\n"] {
        let stream = format!("MSRP abcd SEND\r\nContent-Type: a/b\r\n{text}");
        let (found, _) = frames(stream.as_bytes(), 3, 100);
        assert_eq!(found[0].1.as_deref(), Some(&b""[..]));
        assert_eq!(found[0].2, Some(Flag::Abort));
    }
}

#[test]
fn a_body_above_the_limit_is_told_at_once_and_thrown_away() {
    let long = format!("MSRP abcd SEND\r\nContent-Type: a/b\r\n\r\n{}", "x".repeat(500));
    for piece in [1, 50, 600] {
        let (found, error) = frames(long.as_bytes(), piece, 100);
        assert_eq!((found.len(), error), (1, None));
        assert_eq!(found[0].2, None);
    }
    let stream = [long.as_bytes(), b"\r\n-------abcd+\r\n", SEND].concat();
    for piece in [1, 13, 1000] {
        let (found, _) = frames(&stream, piece, 100);
        assert_eq!(found.len(), 2, "in pieces of {piece}");
        assert_eq!(found[1].2, Some(Flag::End));
    }
    let mut framer = Framer::new(100);
    framer.push(long.as_bytes());
    assert!(framer.next().unwrap().is_some());
    for _ in 0..100 {
        assert_eq!(framer.next(), Ok(None));
        framer.push(&[b'y'; 1000]);
        assert!(framer.buffer.len() < 1100, "what is thrown away is not kept");
    }
}

#[test]
fn a_body_at_the_limit_is_whole() {
    for (length, flag) in [(100, Some(Flag::End)), (101, None)] {
        let body = "x".repeat(length);
        let stream = format!("MSRP abcd SEND\r\nContent-Type: a/b\r\n\r\n{body}\r\n-------abcd$\r\n");
        for piece in [1, 64, 1000] {
            assert_eq!(frames(stream.as_bytes(), piece, 100).0[0].2, flag, "{length} in {piece}");
        }
    }
}

#[test]
fn what_is_no_msrp_is_an_error() {
    let head = format!("MSRP abcd SEND\r\n{}", "X: y\r\n".repeat(3000));
    for text in [
        "GET / HTTP/1.1\r\n",
        "msrp abcd SEND\r\n",
        "X",
        "MSRP abc SEND\r\n",
        "MSRP a\u{e4}bcd SEND\r\n",
        "MSRP abcd\r\n",
        &format!("MSRP {} SEND\r\n", "a".repeat(33)),
        &format!("MSRP {}", "a".repeat(HEAD_MAX)),
        &format!("MSRP abcd SEND\r\n{}", "a".repeat(HEAD_MAX)),
        &head,
        "\r\n",
    ] {
        let (found, error) = frames(text.as_bytes(), 10, 100);
        assert!(found.is_empty() && error.is_some(), "{}", text.get(..20).unwrap_or(text));
    }
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_the_same(octets in stream(), piece in 1_usize..40) {
        prop_assert_eq!(frames(&octets, piece, 60), frames(&octets, octets.len(), 60));
    }
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"MSRP abcd SEND\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\r\n-------abcd$\r\n".to_vec()),
        Just(b"-------abcd+\r\n".to_vec()),
        Just(b"X: y\r\n".to_vec()),
        prop::collection::vec(any::<u8>(), 0..90),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}
