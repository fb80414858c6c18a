//! Streams in any cut: the same frames, the same error, bounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoxd::xml::frame::{Frame, Framer};
use stoxd::xml::{FrameError, Limits, Scope, parse, parse_open};

const HEADER: &[u8] = b"<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>";

/// Frames as (kind, text) and the error that ended them.
type Seen = (Vec<(u8, String)>, Option<FrameError>);

fn frames(pieces: impl Iterator<Item = impl AsRef<[u8]>>, limit: usize) -> Seen {
    let mut framer = Framer::new(limit);
    let mut seen = Seen::default();
    let mut longest = 0;
    for piece in pieces {
        longest = longest.max(piece.as_ref().len());
        framer.push(piece.as_ref());
        while seen.1.is_none() {
            match framer.next() {
                Ok(Some(Frame::Open(text))) => {
                    let _ = parse_open(text);
                    seen.0.push((0, text.into()));
                }
                Ok(Some(Frame::Stanza(text))) => {
                    assert!(text.len() <= limit);
                    if let Ok(element) = parse(text, &Scope::server(), &Limits::default()) {
                        assert_eq!(element.raw(), text);
                    }
                    seen.0.push((1, text.into()));
                }
                Ok(Some(Frame::Close)) => seen.0.push((2, String::new())),
                Ok(None) => break,
                Err(error) => seen.1 = Some(error),
            }
        }
        assert!(framer.unread().len() <= limit.max(longest));
        assert!(framer.capacity() <= limit + longest);
    }
    seen
}

fuzz_target!(|input: &[u8]| {
    let [limit, cut, stream @ ..] = input else { return };
    // An odd cut brings the header along, so that the fuzzer need not find it.
    let header = if cut % 2 == 1 { HEADER } else { b"" };
    let (limit, cut) = (HEADER.len() + usize::from(*limit), usize::from(cut / 2 + 1));
    let stream = [header, stream].concat();
    let whole = frames(std::iter::once(&stream), limit);
    assert_eq!(frames(stream.chunks(cut), limit), whole);
    assert_eq!(frames(stream.chunks(1), limit), whole);
});
