//! Prints what framing and parsing a stanza costs: `cargo bench --bench xml`.

use std::hint::black_box;
use std::time::Instant;
use stoxd::xml::frame::{Frame, Framer, LIMIT_AFTER_AUTH};
use stoxd::xml::{Limits, Scope, parse};

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' \
    xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' \
    from='a.example' to='b.example' version='1.0'>";

const MESSAGE: &str = "<message from='romeo@montague.example/orchard' to='juliet@capulet.example' \
    type='chat' id='a1b2c3d4' xml:lang='en'><body>Wherefore art thou, Juliet? It is I &amp; the lark.</body>\
    <active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>\
    <origin-id xmlns='urn:xmpp:sid:0' id='a1b2c3d4-e5f6-7890'/></message>";

const SMALL: &str = "<presence from='romeo@montague.example/orchard' to='juliet@capulet.example'/>";

/// Best of many short rounds, nanoseconds for each of `count`: on a busy machine, too, one of them
/// is likely to run undisturbed.
fn measure(what: &str, count: usize, mut run: impl FnMut()) {
    let best = (0..2000)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    println!("{what:<32} {:>8.1} ns", best.as_nanos() as f64 / count as f64);
}

/// Frames `stanza` again and again, in reads of 16 KiB.
fn framing(what: &str, stanza: &str) {
    let count = 500;
    let mut framer = Framer::new(LIMIT_AFTER_AUTH);
    framer.push(HEADER.as_bytes());
    assert!(matches!(framer.next(), Ok(Some(Frame::Open(_)))));
    let burst = stanza.repeat(count);
    measure(what, count, || {
        let mut seen = 0;
        for read in burst.as_bytes().chunks(16 * 1024) {
            framer.push(read);
            while let Ok(Some(frame)) = framer.next() {
                black_box(frame);
                seen += 1;
            }
        }
        assert_eq!(seen, count);
    });
}

fn parsing(what: &str, stanza: &str) {
    let (scope, limits) = (Scope::server(), Limits::default());
    let count = 200;
    measure(what, count, || {
        for _ in 0..count {
            assert!(black_box(parse(black_box(stanza), &scope, &limits)).is_ok());
        }
    });
}

fn main() {
    println!("message of {} octets, presence of {}", MESSAGE.len(), SMALL.len());
    framing("frame a message", MESSAGE);
    framing("frame a small presence", SMALL);
    parsing("parse a message", MESSAGE);
    parsing("parse a small presence", SMALL);
}
