//! From octets to whole requests and responses, bounded (RFC 4975 §7.1, §9).
//!
//! A frame has no length: it ends with seven hyphens, the transaction id of its start line and a flag.
//! What was searched for it is not searched again. A body above the limit is given out as
//! [`Frame::TooLong`] at once, so that the sender can be told to stop (413), and the rest of it is thrown
//! away as it comes. After a [`FrameError`] the stream is at an end: where the next frame starts is not
//! known.

use memchr::memmem;

/// Octets of the start line and the headers.
const HEAD_MAX: usize = 16 * 1024;
/// Octets of a transaction id (RFC 4975 §9 `ident`: 4 to 32).
const TID_MAX: usize = 32;
/// An empty buffer keeps this much room.
const KEEP: usize = 16 * 1024;

/// How a chunk ends (RFC 4975 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flag {
    /// `$`: with it the message is complete.
    End,
    /// `+`: more will come.
    More,
    /// `#`: no more will come, and the message is void.
    Abort,
}

impl Flag {
    /// The character of the end-line.
    pub fn octet(self) -> u8 {
        match self {
            Flag::End => b'$',
            Flag::More => b'+',
            Flag::Abort => b'#',
        }
    }

    fn of(octet: u8) -> Option<Self> {
        match octet {
            b'$' => Some(Flag::End),
            b'+' => Some(Flag::More),
            b'#' => Some(Flag::Abort),
            _ => None,
        }
    }
}

/// What a framer finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole request or response.
    Whole {
        /// The start line and the headers, each with its CRLF.
        head: &'a [u8],
        /// The body; `None` if there is none, which is not the same as an empty one.
        body: Option<&'a [u8]>,
        /// Its end.
        flag: Flag,
    },
    /// The head of a request whose body is above the limit. Nothing more of it will be given out.
    TooLong {
        /// As of [`Frame::Whole`].
        head: &'a [u8],
    },
}

/// Octets that are no MSRP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum FrameError {
    /// The first line is none of MSRP.
    #[error("not an MSRP start line")]
    StartLine,
    /// The head is above 16 KiB.
    #[error("the head is too long")]
    TooLong,
}

/// Cuts frames from a stream.
#[derive(Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Where in the buffer the first frame that was not given out starts.
    start: usize,
    body_max: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing of the frame is known; the line end is not before this offset from its start.
    Start {
        searched: usize,
    },
    /// The start line is known: the headers go on at `at`.
    Head {
        tid: Tid,
        at: usize,
    },
    /// The headers end at `head`; the end-line is not before `at`.
    Body {
        tid: Tid,
        head: usize,
        at: usize,
    },
    /// A body above the limit: all up to its end-line is thrown away.
    Skip {
        tid: Tid,
    },
    Failed,
}

/// Where the transaction id stands in the frame, or what it is once the frame was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tid {
    octets: [u8; TID_MAX],
    length: usize,
}

impl Tid {
    fn of(line: &[u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"MSRP ")?;
        let tid = rest.get(..memchr::memchr(b' ', rest)?)?;
        let valid = |b: &u8| b.is_ascii_alphanumeric() || b".-+%=".contains(b);
        if tid.len() < 4 || tid.len() > TID_MAX || !tid.iter().all(valid) {
            return None;
        }
        let mut octets = [0; TID_MAX];
        octets.get_mut(..tid.len())?.copy_from_slice(tid);
        Some(Self { octets, length: tid.len() })
    }

    fn get(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }

    /// The flag, if `line` is the end-line, without its CRLF.
    fn ends(&self, line: &[u8]) -> Option<Flag> {
        match line.strip_prefix(b"-------")?.strip_prefix(self.get())? {
            [flag] => Flag::of(*flag),
            _ => None,
        }
    }
}

/// What was found, as offsets from the start of the frame.
enum Cut {
    Whole { head: usize, body: Option<(usize, usize)>, flag: Flag, length: usize },
    TooLong { head: usize },
}

impl Framer {
    /// A framer at the start of a stream, for bodies of at most `body_max` octets.
    pub fn new(body_max: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, body_max, state: State::Start { searched: 0 } }
    }

    /// Takes octets from the stream. Call [`Framer::next`] until it gives `None` before the next.
    pub fn push(&mut self, octets: &[u8]) {
        if self.state == State::Failed {
            return;
        }
        if self.start > 0 {
            self.buffer.drain(..self.start.min(self.buffer.len()));
            self.start = 0;
        }
        if self.buffer.is_empty() && self.buffer.capacity() > KEEP {
            self.buffer.shrink_to(KEEP);
        }
        self.buffer.extend_from_slice(octets);
    }

    /// Whether a frame has begun and not ended.
    pub fn is_amid(&self) -> bool {
        self.buffer.len() > self.start || matches!(self.state, State::Skip { .. })
    }

    /// The next frame; `None` if there is none yet, and always after an error.
    ///
    /// # Errors
    ///
    /// [`FrameError`] once, if the octets are no frame: the connection is to be closed.
    #[allow(clippy::should_implement_trait)] // it lends
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        let cut = match self.advance() {
            Ok(Some(cut)) => cut,
            Ok(None) => return Ok(None),
            Err(error) => {
                *self = Self { state: State::Failed, ..Self::new(0) };
                return Err(error);
            }
        };
        let start = self.start;
        let frame = |from: usize, to: usize| self.buffer.get(start + from..start + to).unwrap_or_default();
        Ok(Some(match cut {
            Cut::Whole { head, body, flag, length } => {
                self.start += length;
                self.state = State::Start { searched: 0 };
                Frame::Whole { head: frame(0, head), body: body.map(|(from, to)| frame(from, to)), flag }
            }
            // The body stays where it is, and is thrown away by the next call.
            Cut::TooLong { head } => Frame::TooLong { head: frame(0, head) },
        }))
    }

    fn advance(&mut self) -> Result<Option<Cut>, FrameError> {
        loop {
            let rest = self.buffer.get(self.start..).unwrap_or_default();
            match self.state {
                State::Failed => return Ok(None),
                State::Start { searched } => match line_end(rest, searched) {
                    Some(end) => {
                        let line = rest.get(..end).unwrap_or_default();
                        let tid = Tid::of(line).ok_or(FrameError::StartLine)?;
                        self.state = State::Head { tid, at: end + 2 };
                    }
                    None => {
                        // Something else than MSRP is known by its first octets, not by its missing line end.
                        let known = rest.len().min(5);
                        if rest.get(..known) != b"MSRP ".get(..known) {
                            return Err(FrameError::StartLine);
                        }
                        bounded(rest.len())?;
                        self.state = State::Start { searched: rest.len().saturating_sub(1) };
                        return Ok(None);
                    }
                },
                State::Head { tid, at } => {
                    let Some(end) = line_end(rest, at) else {
                        bounded(rest.len())?;
                        return Ok(None);
                    };
                    bounded(end)?;
                    let line = rest.get(at..end).unwrap_or_default();
                    if let Some(flag) = tid.ends(line) {
                        return Ok(Some(Cut::Whole { head: at, body: None, flag, length: end + 2 }));
                    }
                    self.state = if line.is_empty() {
                        // The CRLF of the empty line may be the one before the end-line: an empty body.
                        State::Body { tid, head: at, at }
                    } else {
                        State::Head { tid, at: end + 2 }
                    };
                }
                State::Body { tid, head, at } => {
                    let body = head + 2;
                    match end_line(rest, at, &tid) {
                        Found::At(end, flag) if end.saturating_sub(body) <= self.body_max => {
                            let length = end + 2 + 7 + tid.length + 3;
                            let body = Some((body, end.max(body)));
                            return Ok(Some(Cut::Whole { head, body, flag, length }));
                        }
                        Found::NotBefore(at) if at.saturating_sub(body) <= self.body_max => {
                            self.state = State::Body { tid, head, at };
                            return Ok(None);
                        }
                        Found::At(..) | Found::NotBefore(_) => {
                            self.state = State::Skip { tid };
                            return Ok(Some(Cut::TooLong { head }));
                        }
                    }
                }
                State::Skip { tid } => match end_line(rest, 0, &tid) {
                    Found::At(end, _) => {
                        self.start += end + 2 + 7 + tid.length + 3;
                        self.state = State::Start { searched: 0 };
                    }
                    Found::NotBefore(at) => {
                        self.start += at;
                        return Ok(None);
                    }
                },
            }
        }
    }
}

fn bounded(length: usize) -> Result<(), FrameError> {
    if length > HEAD_MAX { Err(FrameError::TooLong) } else { Ok(()) }
}

/// Where the CRLF is that ends the line in `octets` from `from` on.
fn line_end(octets: &[u8], from: usize) -> Option<usize> {
    memmem::find(octets.get(from..)?, b"\r\n").map(|at| from + at)
}

enum Found {
    /// The CRLF before the end-line, and its flag.
    At(usize, Flag),
    /// It is not in the octets before this one.
    NotBefore(usize),
}

/// Searches the end-line of `tid` with the CRLF before it, from `from` on.
fn end_line(octets: &[u8], from: usize, tid: &Tid) -> Found {
    let mut needle = [0; 9 + TID_MAX];
    let length = 9 + tid.length;
    let (hyphens, id) = needle.split_at_mut(9);
    hyphens.copy_from_slice(b"\r\n-------");
    id.copy_from_slice(&tid.octets);
    let needle = needle.get(..length).unwrap_or_default();
    let mut from = from;
    loop {
        let rest = octets.get(from..).unwrap_or_default();
        let Some(at) = memmem::find(rest, needle) else {
            return Found::NotBefore(from.max((from + rest.len()).saturating_sub(length - 1)));
        };
        match rest.get(at + length..).unwrap_or_default() {
            [flag, b'\r', b'\n', ..] => match Flag::of(*flag) {
                Some(flag) => return Found::At(from + at, flag),
                None => from += at + 1,
            },
            // Not all of it is here yet.
            [] | [_] | [_, b'\r'] => return Found::NotBefore(from + at),
            _ => from += at + 1,
        }
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
