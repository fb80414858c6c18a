//! Nanoseconds for one MESSAGE of about 900 octets through the SIP wire layer.
//!
//! `cargo bench --bench wire`. Each line is the best of many short runs: noise only adds.

use std::hint::black_box;
use std::time::Instant;
use stoxd::sip::frame::{Frame, Framer, Limits};
use stoxd::sip::locate::Transport;
use stoxd::sip::message::Message;
use stoxd::sip::method::Method;
use stoxd::sip::name::Name;
use stoxd::sip::write::{Party, Request, Writer, response_tail};

const HEAD: &str = "MESSAGE sip:juliet@xmpp.example.net SIP/2.0\r\n\
    Via: SIP/2.0/TLS edge.sip.example.com:5061;branch=z9hG4bK7F3A91.C4E0D2B1A5F6;rport\r\n\
    Via: SIP/2.0/TLS 192.0.2.17:50123;branch=z9hG4bK88D1;received=192.0.2.17;ms-received-port=50123;ms-received-cid=2A00\r\n\
    Max-Forwards: 69\r\n\
    From: \"Romeo Montague\" <sip:romeo@sip.example.com>;tag=4f1c2d;epid=1234567890\r\n\
    To: <sip:juliet@xmpp.example.net>\r\n\
    Call-ID: 3d9485ad0c49859b4bb7a3e2f1@sip.example.com\r\n\
    CSeq: 17 MESSAGE\r\n\
    Contact: <sip:romeo@sip.example.com;opaque=user:epid:Xy1234567890;gruu>\r\n\
    User-Agent: Example/4.0 (a desktop client)\r\n\
    Supported: ms-sender, ms-early-media\r\n\
    Date: Mon, 23 Nov 2026 21:29:00 GMT\r\n\
    Content-Type: text/plain;charset=UTF-8\r\n\
    Content-Length: 100\r\n\r\n";

fn time(what: &str, mut run: impl FnMut()) {
    const ROUNDS: u32 = 100;
    let best = (0..2000)
        .map(|_| {
            let start = Instant::now();
            (0..ROUNDS).for_each(|_| run());
            start.elapsed() / ROUNDS
        })
        .min()
        .unwrap_or_default();
    println!("{what:<40} {:>6} ns", best.as_nanos());
}

fn main() {
    let octets = format!("{HEAD}{}", "x".repeat(100)).into_bytes();
    println!("{} octets", octets.len());
    let mut framer = Framer::new(Limits::default());
    time("frame", || {
        framer.push(&octets);
        assert!(matches!(framer.next(), Ok(Some(Frame::Message(_)))));
    });
    time("parse", || {
        assert!(black_box(Message::parse(&octets)).is_ok());
    });
    time("parse + Contact, Supported, Date, display", || {
        let Ok(message) = Message::parse(&octets) else { return };
        assert!(message.contacts().all(|contact| contact.is_ok()));
        assert_eq!(message.tokens(Name::Supported).count(), 2);
        assert!(message.date().is_some_and(|date| date.is_ok()));
        black_box(message.from().display());
    });
    let mut out = Vec::new();
    let Ok(message) = Message::parse(&octets) else { return };
    time("response", || {
        out.clear();
        response_tail(&message, "abc", Some(([192, 0, 2, 1], 5061).into()), &mut out);
        let tail = std::mem::take(&mut out);
        let mut whole = Vec::with_capacity(tail.len() + 64);
        Writer::response(&mut whole, 202, &tail).end();
        out = tail;
        black_box(whole);
    });
    let body = [b'x'; 100];
    time("request", || {
        out.clear();
        let request = Request {
            method: Method::Message,
            uri: b"sip:romeo@sip.example.com",
            transport: Transport::Tls,
            sent_by: "gate.example:5061",
            branch: "z9hG4bK00abcdefghjkmnpqrs",
            max_forwards: 70,
            from: Party { display: None, uri: b"sip:juliet@xmpp.example.net;gr=balcony", tag: Some("00abc") },
            to: Party { display: None, uri: b"sip:romeo@sip.example.com", tag: None },
            call_id: "00abcdefghjkmnpqrs",
            cseq: 1,
        };
        Writer::request(&mut out, &request).body("text/plain;charset=utf-8", &body);
        black_box(&out);
    });
}
