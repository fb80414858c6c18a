//! Scoreboard lines and threats at the level of whole messages.

use super::torture::TORTURE;
use super::{Verdict, fault_of, framed, touch, verdict, with};
use crate::sip::Fault;
use crate::sip::frame::{Frame, Framer, Limits};
use crate::sip::message::Message;
use crate::sip::name::Name;
use crate::sip::value::Contact;
use crate::sip::write::{Writer, refusal_tail, response_tail};

#[test]
fn check_146_compact_folded_and_unknown_headers() {
    let octets = framed(&with(
        "m: <sip:a@h>,\r\n <sip:b@h>\r\nk: path , gruu\r\nSupported:\r\nSUPPORTED: x\r\nE: gzip\r\no: presence\r\n\
         X-Unknown: \t anything, at; all=\" \r\n",
    ))
    .unwrap();
    let message = Message::parse(&octets).unwrap();
    assert!(message.contacts().all(|contact| matches!(contact, Ok(Contact::Address(_)))));
    assert_eq!(message.contacts().count(), 2);
    let supported: Vec<_> = message.tokens(Name::Supported).map(Result::unwrap).collect();
    assert_eq!(supported, ["path", "gruu", "x"]);
    assert_eq!(message.header(Name::ContentEncoding), Some("gzip"));
    assert_eq!(message.tagged(Name::Event).unwrap().unwrap().token, "presence");
    assert_eq!(message.header_spelt("x-unknown"), Some("anything, at; all=\""));
    assert_eq!(message.all_headers().len(), 14);
}

#[test]
fn threat_075_legal_oddities_are_taken() {
    for headers in [
        "Subject: a\r\n  b\r\n",
        "s: x\r\n",
        "v : SIP / 2.0 / TCP  h : 5060 ; branch = z9hG4bKx\r\n",
        "Subject:\r\n",
        "Accept:\r\n",
        "Route: \"a,b\" <sip:h;lr>;x\r\n",
        "X:\r\n",
        "!x: y\r\n",
        "Expires: 000060\r\n",
    ] {
        assert_eq!(verdict(&with(headers)), Verdict::Accept, "{headers:?}");
    }
    let text = String::from_utf8(with("")).unwrap();
    for (from, to) in [
        ("CSeq: 1 MESSAGE", "CSeq: 0001\r\n\tMESSAGE"),
        ("Max-Forwards: 70", "MAX-FORWARDS \t: 0070"),
        ("Max-Forwards: 70\r\n", ""),
        ("SIP/2.0\r\n", "sip/2.0\r\n"),
        ("sip:juliet@example.com SIP", "SIP:juliet@EXAMPLE.com SIP"),
    ] {
        assert_eq!(verdict(text.replacen(from, to, 1).as_bytes()), Verdict::Accept, "{to:?}");
    }
}

#[test]
fn threat_076_what_every_message_needs_is_there_once() {
    let text = String::from_utf8(with("")).unwrap();
    for (name, line) in [
        (Name::From, "From: <sip:romeo@example.net>;tag=1\r\n"),
        (Name::To, "To: <sip:juliet@example.com>\r\n"),
        (Name::CallId, "Call-ID: 1@a.example\r\n"),
        (Name::CSeq, "CSeq: 1 MESSAGE\r\n"),
        (Name::Via, "Via: SIP/2.0/TLS a.example;branch=z9hG4bKa\r\n"),
    ] {
        assert!(text.contains(line));
        assert_eq!(fault_of(text.replace(line, "").as_bytes()), Some(Fault::Missing(name)));
        if name != Name::Via {
            let twice = text.replace(line, &line.repeat(2));
            assert_eq!(fault_of(twice.as_bytes()), Some(Fault::Twice(name)));
            assert_eq!(verdict(twice.as_bytes()), Verdict::Refuse(400));
        }
    }
    for (from, to, status) in [
        ("1 MESSAGE", "1 INVITE", 400),
        ("1 MESSAGE", "2147483648 MESSAGE", 400),
        ("SIP/2.0\r\n", "SIP/7.0\r\n", 505),
        ("Max-Forwards: 70", "Max-Forwards: 256", 400),
        ("Max-Forwards: 70", "Max-Forwards: -1", 400),
        ("Max-Forwards: 70", "Max-Forwards: 70\r\nMax-Forwards: 70", 400),
        ("To: ", "To\u{1}: ", 400),
        ("To: ", "To\0: ", 400),
        ("Call-ID: 1", "Call-ID: 1 2", 400),
        ("Call-ID: 1@a.example", "Call-ID:", 400),
        ("Call-ID: ", "Call-ID: \u{e9}", 400),
        ("From: <", "From: \u{1}<", 400),
    ] {
        assert_eq!(verdict(text.replacen(from, to, 1).as_bytes()), Verdict::Refuse(status), "{to:?}");
    }
    // Not UTF-8: the rest can still be read for the answer.
    let mut octets = with("Subject: ?\r\n");
    if let Some(mark) = octets.iter_mut().find(|octet| **octet == b'?') {
        *mark = 0xfc;
    }
    assert_eq!(fault_of(&octets), Some(Fault::NotUtf8));
    assert_eq!(verdict(&octets), Verdict::Refuse(400));
}

#[test]
fn threat_078_malformed_responses_are_dropped() {
    let text = String::from_utf8(with("")).unwrap();
    let rest = text.split_once("\r\n").unwrap().1;
    for line in ["SIP/2.0 200 OK", "SIP/2.0 100 "] {
        assert_eq!(verdict(format!("{line}\r\n{rest}").as_bytes()), Verdict::Accept);
        assert_eq!(
            verdict(format!("{line}\r\n{}", rest.replace("CSeq: 1", "CSeq: x")).as_bytes()),
            Verdict::Drop
        );
        assert_eq!(
            verdict(format!("{line}\r\n{}", rest.replace("Via: ", "Via: /")).as_bytes()),
            Verdict::Drop
        );
        assert_eq!(verdict(format!("{line}\r\n{}", rest.replace("h: 2", "h: x")).as_bytes()), Verdict::Drop);
    }
    for line in ["SIP/2.0 0 x", "SIP/2.0 1000 x", "SIP/2.0 -200 x", "SIP/9.9 200 OK"] {
        assert_eq!(verdict(format!("{line}\r\n{rest}").as_bytes()), Verdict::Drop);
    }
}

/// The same octets for ever: a fixed seed.
pub(super) struct Random(pub u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (bound.max(1) as u64)).unwrap()
    }
}

/// Changes `octets` in one to three places, mostly with what means something to a parser.
pub(super) fn mutate(octets: &mut Vec<u8>, random: &mut Random, other: &[u8]) {
    const PIECES: &[&[u8]] = &[
        b"\r\n",
        b"\r",
        b"\n",
        b"\0",
        b" ",
        b"\t",
        b":",
        b";",
        b",",
        b"\"",
        b"\\",
        b"<",
        b">",
        b"@",
        b"%",
        b"=",
        b"\r\n ",
        b"\r\n\r\n",
        b"[",
        b"]",
        b"\xff",
        b"\xc3\xa9",
        b"99999999999999999999",
        b"-1",
        b"SIP/2.0",
        b"l: 5\r\n",
        b"Via: SIP/2.0/UDP h\r\n",
        b"*",
        b"?",
        b"/",
    ];
    for _ in 0..=random.below(3) {
        let at = random.below(octets.len());
        match random.below(12) {
            0 => octets.truncate(at),
            1 | 2 => {
                let end = at + random.below(20).min(octets.len() - at);
                octets.drain(at..end);
            }
            3 | 4 => {
                let piece = PIECES[random.below(PIECES.len())];
                octets.splice(at..at, piece.iter().copied());
            }
            5 | 6 => {
                let piece = PIECES[random.below(PIECES.len())];
                let end = octets.len().min(at + piece.len());
                octets.splice(at..end, piece.iter().copied());
            }
            7 => {
                let from = random.below(other.len());
                let to = from + random.below(60).min(other.len() - from);
                octets.splice(at..at, other[from..to].iter().copied());
            }
            _ => {
                if let Some(octet) = octets.get_mut(at) {
                    *octet = u8::try_from(if random.below(8) == 0 {
                        random.below(256)
                    } else {
                        0x20 + random.below(95)
                    })
                    .unwrap();
                }
            }
        }
    }
}

#[test]
fn threat_079_a_hundred_thousand_mutants_do_no_harm() {
    let mut random = Random(0x5eed_0079);
    let (mut accepted, mut answered) = (0, 0);
    let source = Some(([192, 0, 2, 1], 5060).into());
    for round in 0..100_000 {
        let (_, _, seed, _, _) = TORTURE[round % TORTURE.len()];
        let (_, _, other, _, _) = TORTURE[random.below(TORTURE.len())];
        let mut octets = seed.to_vec();
        mutate(&mut octets, &mut random, other);
        match verdict(&octets) {
            Verdict::Accept => accepted += 1,
            Verdict::Refuse(_) => answered += 1,
            Verdict::Drop => {}
        }
        let mut framer = Framer::new(Limits::default());
        let half = random.below(octets.len());
        for piece in [&octets[..half], &octets[half..]] {
            framer.push(piece);
            loop {
                let (mut tail, mut out) = (Vec::new(), Vec::new());
                match framer.next() {
                    Ok(None) => break,
                    Ok(Some(Frame::Ping)) => continue,
                    Ok(Some(Frame::Message(octets))) => match Message::parse(octets) {
                        Ok(message) => {
                            let _ = touch(&message);
                            response_tail(&message, "t", source, &mut tail);
                            Writer::response(&mut out, 200, &tail).end();
                            let answer = Message::parse(&out).expect("an answer is a message");
                            assert_eq!(answer.via_count(), message.via_count());
                            assert_eq!(answer.call_id(), message.call_id());
                        }
                        Err(error) => {
                            if let Some(readable) = error.readable {
                                refusal_tail(&readable, "t", source, &mut tail);
                            }
                        }
                    },
                    Err(error) => {
                        if let Some(readable) = error.readable() {
                            refusal_tail(&readable, "t", source, &mut tail);
                        }
                        break;
                    }
                }
                assert!(!tail.windows(4).any(|at| at == b"\r\n\r\n"));
            }
        }
    }
    // The mutants reach both sides.
    assert!(accepted > 5_000 && answered > 5_000, "{accepted} {answered}");
}
