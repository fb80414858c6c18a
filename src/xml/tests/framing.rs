use crate::xml::frame::{Frame, Framer};
use crate::xml::*;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' \
    xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' \
    from='a.example' to='b.example' version='1.0'>";

/// Pushes `input` in pieces of `cut` octets; the frames, and the error that ended them.
pub fn frames(input: &[u8], cut: usize, limit: usize) -> (Vec<String>, Option<FrameError>) {
    let mut framer = Framer::new(limit);
    let mut all = Vec::new();
    for piece in input.chunks(cut.max(1)) {
        framer.push(piece);
        loop {
            match framer.next() {
                Ok(Some(Frame::Open(text))) => all.push(format!("open {text}")),
                Ok(Some(Frame::Stanza(text))) => all.push(format!("stanza {text}")),
                Ok(Some(Frame::Close)) => all.push("close".into()),
                Ok(None) => break,
                Err(error) => return (all, Some(error)),
            }
        }
    }
    (all, None)
}

#[test]
fn a_stream_is_cut_into_header_stanzas_and_close() {
    let input = format!("{HEADER}<a/> \n<b x='>'>t<![CDATA[</b>]]><c/></b></stream:stream>");
    let (got, error) = frames(input.as_bytes(), 4096, 10_000);
    assert_eq!(error, None);
    assert!(got[0].starts_with("open <stream:stream"));
    assert_eq!(got[1..], ["stanza <a/>", "stanza <b x='>'>t<![CDATA[</b>]]><c/></b>", "close"]);
    for cut in 1..60 {
        assert_eq!(frames(input.as_bytes(), cut, 10_000).0, got);
    }
}
