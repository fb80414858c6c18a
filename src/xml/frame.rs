//! Cuts the octets of an XMPP stream into its header, its first-level elements and its close tag.
//!
//! The framer knows just enough XML to find where an element ends: tags, quotes, CDATA and depth.
//! It refuses at once what XMPP forbids (RFC 6120 §11.1) and what is too big or too deep; whether a
//! frame is well-formed is for [`parse`](super::parse()) to say. Input may come in any cut: all
//! state is in the struct, no octet is looked at twice, and the frames and errors are the same.
//!
//! ```text
//! Start ─ <?xml …?> ─▶ Prolog ─ <stream …> ─▶ Stream ─ </stream> ─▶ Closed
//!   └──────── <stream …> ───────────────────────▲
//! ```
//! The first error is final, until [`Framer::reset`].

use super::FrameError;
use super::chars::is_space;
use super::declaration;
use memchr::{memchr, memchr3, memmem};
use std::ops::Range;

/// Nested elements that are framed, the stanza itself included.
pub const MAX_DEPTH: usize = 32;

/// Octets of a header or first-level element before authentication. RFC 6120 §13.12 asks for no
/// less than 10000.
pub const LIMIT_BEFORE_AUTH: usize = 10 * 1024;

/// Octets of a first-level element after authentication.
pub const LIMIT_AFTER_AUTH: usize = 256 * 1024;

/// An empty buffer above this capacity is given back.
const KEEP: usize = 64 * 1024;

/// Octets that are looked at one by one before vectors are used.
const NEAR: usize = 16;

const CDATA: &[u8] = b"<![CDATA[";

/// A piece of the stream, valid until the framer is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// The tag of the stream header, for [`parse_open`](super::parse_open).
    Open(&'a str),
    /// A whole first-level element, for [`parse`](super::parse()).
    Stanza(&'a str),
    /// The stream's close tag. Nothing comes after it.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing but an XML declaration has its place only here.
    Start,
    Prolog,
    Stream,
    /// The header was `<stream …/>`: its close is still to be told.
    Closing,
    Closed,
    Failed(FrameError),
}

/// What `scan` stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lex {
    /// Outside of first-level elements.
    Between,
    /// In a start tag, outside of quotes.
    Tag,
    Quoted(u8),
    EndTag,
    /// In the content of a first-level element.
    Content,
    Cdata,
}

/// What was found, and where.
enum Found {
    Open(Range<usize>),
    Stanza(Range<usize>),
    Close,
}

/// The framer of one stream.
#[derive(Debug)]
pub struct Framer {
    buf: Vec<u8>,
    /// Start of the item at hand; what is before has been used up.
    start: usize,
    /// Everything before has been looked at.
    scan: usize,
    phase: Phase,
    lex: Lex,
    depth: usize,
    limit: usize,
    /// The name in the header's tag, which the close tag has to repeat.
    root: Vec<u8>,
    whitespace: usize,
}

impl Default for Framer {
    fn default() -> Self {
        Self::new(LIMIT_BEFORE_AUTH)
    }
}

impl Framer {
    /// A framer for a new stream whose elements have at most `limit` octets.
    pub fn new(limit: usize) -> Self {
        Self {
            buf: Vec::new(),
            start: 0,
            scan: 0,
            phase: Phase::Start,
            lex: Lex::Between,
            depth: 0,
            limit,
            root: Vec::new(),
            whitespace: 0,
        }
    }

    /// Sets the octets that a header or first-level element may have, `<` and `>` included.
    pub fn set_limit(&mut self, octets: usize) {
        self.limit = octets;
    }

    /// Begins a new stream (RFC 6120 §4.3.3). Unread octets are dropped: what a peer sent ahead of a
    /// restart is never part of the new stream; see [`Framer::unread`]. The limit stays.
    pub fn reset(&mut self) {
        self.buf.clear();
        (self.start, self.scan, self.depth, self.whitespace) = (0, 0, 0, 0);
        (self.phase, self.lex) = (Phase::Start, Lex::Between);
        self.root.clear();
    }

    /// Octets that came behind the last frame.
    pub fn unread(&self) -> &[u8] {
        self.buf.get(self.start..).unwrap_or_default()
    }

    /// Octets of memory that the buffer takes.
    pub fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    /// White space between elements since the last call, in octets (RFC 6120 §4.4: keep-alives).
    pub fn take_whitespace(&mut self) -> usize {
        std::mem::take(&mut self.whitespace)
    }

    /// Takes octets from the peer. Call [`Framer::next`] until it has nothing more before the next
    /// push: then no more than the limit and one push is ever held. After an error or the close tag
    /// octets are dropped.
    pub fn push(&mut self, octets: &[u8]) {
        if matches!(self.phase, Phase::Closed | Phase::Failed(_)) {
            return;
        }
        if self.start == self.buf.len() {
            self.buf.clear();
            if self.buf.capacity() > KEEP {
                self.buf.shrink_to(KEEP);
            }
            (self.start, self.scan) = (0, 0);
        }
        let needed = self.buf.len().saturating_add(octets.len());
        if needed > self.buf.capacity() {
            // Only here, so that an element is moved once at most.
            self.buf.drain(..self.start);
            self.scan -= self.start;
            self.start = 0;
            let needed = self.buf.len().saturating_add(octets.len());
            if needed > self.buf.capacity() {
                // Double, but not beyond what an element may need.
                let wanted = needed.max(self.buf.capacity().saturating_mul(2).min(self.limit));
                self.buf.reserve_exact(wanted - self.buf.len());
            }
        }
        self.buf.extend_from_slice(octets);
    }

    /// The next frame, if all of it is there. Not an iterator: the frame borrows the framer.
    ///
    /// # Errors
    /// The first error is returned by every later call too.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let found = match self.find() {
            Ok(found) => found,
            Err(error) => return Err(self.fail(error)),
        };
        let (range, open) = match found {
            None => return Ok(None),
            Some(Found::Close) => return Ok(Some(Frame::Close)),
            Some(Found::Open(range)) => (range, true),
            Some(Found::Stanza(range)) => (range, false),
        };
        // `fail` would end the borrow that is returned, so the error is set by hand.
        match std::str::from_utf8(self.buf.get(range).unwrap_or_default()) {
            Ok(text) if open => Ok(Some(Frame::Open(text))),
            Ok(text) => Ok(Some(Frame::Stanza(text))),
            Err(_) => {
                self.phase = Phase::Failed(FrameError::Encoding);
                Err(FrameError::Encoding)
            }
        }
    }

    fn fail(&mut self, error: FrameError) -> FrameError {
        // The memory is of no more use.
        self.phase = Phase::Failed(error);
        self.buf = Vec::new();
        (self.start, self.scan) = (0, 0);
        error
    }

    /// Looks at what has come, up to the end of the next item.
    fn find(&mut self) -> Result<Option<Found>, FrameError> {
        match self.phase {
            Phase::Failed(error) => return Err(error),
            Phase::Closed => return Ok(None),
            Phase::Closing => return Ok(Some(self.closed())),
            Phase::Start => {
                if !self.declaration()? {
                    return self.starved();
                }
            }
            Phase::Prolog | Phase::Stream => {}
        }
        if self.lex == Lex::Between {
            self.skip_space();
        }
        // Octets above the limit are not looked at, so errors do not depend on the cut.
        let end = self.buf.len().min(self.start.saturating_add(self.limit));
        let view = self.buf.get(..end).unwrap_or_default();
        let rest = |at: usize| view.get(at..).unwrap_or_default();
        let (mut at, mut lex, mut depth) = (self.scan, self.lex, self.depth);
        let complete = loop {
            match lex {
                Lex::Between | Lex::Content => {
                    if lex == Lex::Content {
                        let Some(n) = near(rest(at), |b| b == b'<', |far| memchr(b'<', far)) else {
                            at = end;
                            break false;
                        };
                        at += n;
                    }
                    match *rest(at) {
                        [] | [b'<'] => break false,
                        [b'<', b'/', ..] if lex == Lex::Between && self.phase != Phase::Stream => {
                            return Err(FrameError::Malformed);
                        }
                        [b'<', b'/', ..] => (lex, at) = (Lex::EndTag, at + 2),
                        [b'<', b'?', ..] => return Err(FrameError::Restricted),
                        [b'<', b'!', ..] => {
                            let have = rest(at);
                            if have.len() < CDATA.len() && CDATA.starts_with(have) {
                                break false;
                            }
                            if !have.starts_with(CDATA) {
                                return Err(FrameError::Restricted);
                            }
                            if lex == Lex::Between {
                                return Err(self.stray());
                            }
                            (lex, at) = (Lex::Cdata, at + CDATA.len());
                        }
                        [b'<', ..] if depth >= MAX_DEPTH => return Err(FrameError::TooDeep),
                        [b'<', ..] => (lex, at) = (Lex::Tag, at + 1),
                        [..] => return Err(self.stray()),
                    }
                }
                Lex::Tag => {
                    let hit = |b| matches!(b, b'>' | b'\'' | b'"');
                    let Some(n) = near(rest(at), hit, |far| memchr3(b'>', b'\'', b'"', far)) else {
                        at = end;
                        break false;
                    };
                    let before = at + n;
                    at = before + 1;
                    match view.get(before) {
                        Some(b'>') => {
                            let empty = view.get(before - 1) == Some(&b'/');
                            lex = Lex::Content;
                            depth += usize::from(!empty);
                            if depth == 0 || self.phase != Phase::Stream {
                                break true;
                            }
                        }
                        Some(&quote) => lex = Lex::Quoted(quote),
                        None => break false,
                    }
                }
                Lex::Quoted(quote) => {
                    let Some(n) = near(rest(at), |b| b == quote, |far| memchr(quote, far)) else {
                        at = end;
                        break false;
                    };
                    (lex, at) = (Lex::Tag, at + n + 1);
                }
                Lex::EndTag => {
                    let Some(n) = near(rest(at), |b| b == b'>', |far| memchr(b'>', far)) else {
                        at = end;
                        break false;
                    };
                    (lex, at) = (Lex::Content, at + n + 1);
                    if depth <= 1 {
                        break true;
                    }
                    depth -= 1;
                }
                Lex::Cdata => {
                    let Some(n) = memmem::find(rest(at), b"]]>") else {
                        at = end.saturating_sub(2).max(at);
                        break false;
                    };
                    (lex, at) = (Lex::Content, at + n + 3);
                }
            }
        };
        if !complete {
            (self.scan, self.lex, self.depth) = (at, lex, depth);
            return self.starved();
        }
        let item = self.start..at;
        (self.start, self.scan, self.lex, self.depth) = (at, at, Lex::Between, 0);
        if self.phase == Phase::Stream {
            // Only the end tag of the stream has no start tag among the first-level elements.
            if depth == 0 && view.get(item.clone()).is_some_and(|text| text.starts_with(b"</")) {
                let name = view.get(item.start + 2..item.end - 1).unwrap_or_default().trim_ascii_end();
                if name != self.root {
                    return Err(FrameError::Malformed);
                }
                return Ok(Some(self.closed()));
            }
            return Ok(Some(Found::Stanza(item)));
        }
        let tag = view.get(item.start + 1..item.end - 1).unwrap_or_default();
        let name = tag.split(|&b| is_space(b) || b == b'/').next().unwrap_or_default();
        self.root.extend_from_slice(name);
        self.phase = if tag.ends_with(b"/") { Phase::Closing } else { Phase::Stream };
        Ok(Some(Found::Open(item)))
    }

    /// No more to look at: wait for octets, unless the item is over the limit already.
    fn starved(&self) -> Result<Option<Found>, FrameError> {
        if self.buf.len() - self.start >= self.limit { Err(FrameError::TooBig) } else { Ok(None) }
    }

    fn stray(&self) -> FrameError {
        if self.phase == Phase::Stream { FrameError::Stray } else { FrameError::NoHeader }
    }

    fn closed(&mut self) -> Found {
        self.phase = Phase::Closed;
        Found::Close
    }

    fn skip_space(&mut self) {
        let spaces = self.unread().iter().take_while(|&&b| is_space(b)).count();
        self.whitespace = self.whitespace.saturating_add(spaces);
        self.start += spaces;
        self.scan = self.start;
    }

    /// Goes over an XML declaration, if there is one; `false` if that can't be told yet.
    fn declaration(&mut self) -> Result<bool, FrameError> {
        let end = self.buf.len().min(self.start.saturating_add(self.limit));
        let view = self.buf.get(self.start..end).unwrap_or_default();
        match *view {
            // The start of UTF-16 and UTF-32, with and without a byte order mark.
            [0 | 0xFE | 0xFF, ..] | [b'<', 0, ..] => return Err(FrameError::Encoding),
            [b'<', b'?', b'x', b'm', b'l', next, ..] if is_space(next) => {}
            _ if view.len() < 6 && b"<?xml".starts_with(view.get(..5).unwrap_or(view)) => return Ok(false),
            _ => {
                self.phase = Phase::Prolog;
                return Ok(true);
            }
        }
        let from = self.scan.max(self.start + 6);
        let Some(n) = memmem::find(self.buf.get(from..end).unwrap_or_default(), b"?>") else {
            self.scan = end.saturating_sub(1).max(from);
            return Ok(false);
        };
        let behind = from + n + 2;
        let text = self.buf.get(self.start + 5..behind - 2).unwrap_or_default();
        match declaration::check(text) {
            Ok(Some(encoding)) if !encoding.eq_ignore_ascii_case(b"UTF-8") => {
                return Err(FrameError::Encoding);
            }
            Ok(_) => {}
            Err(_) => return Err(FrameError::Malformed),
        }
        (self.start, self.scan, self.phase) = (behind, behind, Phase::Prolog);
        Ok(true)
    }
}

/// The first octet of `rest` that `hit` names. Most are a few octets away, where a loop is quicker
/// than the vectors of `far`.
#[inline]
fn near(rest: &[u8], hit: impl Fn(u8) -> bool, far: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
    let (first, more) = rest.split_at(rest.len().min(NEAR));
    match first.iter().position(|&b| hit(b)) {
        None if !more.is_empty() => far(more).map(|n| n + NEAR),
        found => found,
    }
}
