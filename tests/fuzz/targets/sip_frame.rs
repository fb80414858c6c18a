//! A stream of octets in pieces of any size: the same messages, pings and end as in one piece.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoxd::sip::frame::{Frame, Framer, Limits};
use stoxd::sip::message::Message;

/// What came of a stream: the messages, and whether it failed.
fn run<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, bool) {
    let mut framer = Framer::new(Limits { head: 2048, line: 512, headers: 40, body: 1024 });
    let mut messages = Vec::new();
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.next() {
                Ok(Some(Frame::Message(octets))) => {
                    let _ = Message::parse(octets);
                    messages.push(octets.to_vec());
                }
                Ok(Some(Frame::Ping)) => {}
                Ok(None) => break,
                Err(error) => {
                    let _ = error.readable();
                    return (messages, true);
                }
            }
        }
        assert!(framer.pending() <= 2048 + 1024 + piece.len());
    }
    (messages, false)
}

fuzz_target!(|data: &[u8]| {
    let Some((size, stream)) = data.split_first() else { return };
    let whole = run(std::iter::once(stream));
    let pieces = run(stream.chunks(usize::from(*size).max(1)));
    assert_eq!(whole, pieces);
});
