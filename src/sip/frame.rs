//! From octets to whole messages, bounded: [`Framer`] for streams (RFC 3261 §18.3), [`datagram`]
//! for datagrams.
//!
//! The header block is read line by line as it comes in; what was searched is not searched again. A folded
//! line is joined to the one before it in place: its CRLF becomes two spaces, which RFC 3261
//! §7.3.1 allows and which keeps every length. Exactly one Content-Length of one to nine digits
//! counts, in any spelling of its name; on a stream there must be one. After a [`FrameError`] a
//! stream is at an end: where the next message starts is not known.

use super::Fault;
use super::lex::{digits, trim};
use super::message::Readable;
use super::name::Name;
use memchr::{memchr, memchr_iter};

/// How much of a message is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of start line, headers and empty line.
    pub head: usize,
    /// Octets of one line after unfolding, without its CRLF.
    pub line: usize,
    /// Headers, folded lines not counted. Never above 254, whatever is set.
    pub headers: usize,
    /// Octets of the body.
    pub body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: 64 * 1024, line: 8 * 1024, headers: 200, body: 64 * 1024 }
    }
}

/// What a framer finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A message with its body, nothing before and nothing after it, unfolded:
    /// [`super::message::Message::parse`] takes it.
    Message(&'a [u8]),
    /// One or more double CRLFs between messages; one CRLF is the answer (RFC 5626 §4.4.1).
    Ping,
}

/// Octets that are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct FrameError {
    /// What is wrong.
    pub fault: Fault,
    /// The complete lines of the message until then.
    head: Box<[u8]>,
}

impl FrameError {
    /// The request that is to be answered with [`Fault::status`], as far as it can be read; `None`
    /// if it is none or can't be answered.
    pub fn readable(&self) -> Option<Readable<'_>> {
        Readable::of(&self.head)
    }
}

/// Cuts messages from a stream.
#[derive(Debug, Default)]
pub struct Framer {
    limits: Limits,
    buffer: Vec<u8>,
    /// Where in the buffer the first message that was not given out starts.
    start: usize,
    head: HeadScan,
    /// Length of head and body, once the head is complete.
    total: Option<usize>,
    /// CRLFs skipped at `start` that no `Ping` was given for yet.
    pending_crlf: bool,
    failed: bool,
}

/// An empty buffer keeps this much room.
const KEEP: usize = 16 * 1024;

impl Framer {
    /// A framer at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes octets from the stream. Call [`Framer::next`] until it gives `None` before the next.
    pub fn push(&mut self, octets: &[u8]) {
        if self.failed {
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

    /// Octets that are held for a message that is not yet complete.
    pub fn pending(&self) -> usize {
        self.buffer.len().saturating_sub(self.start)
    }

    /// The next whole message or ping; `None` if there is none yet, and always after an error.
    ///
    /// # Errors
    /// [`FrameError`] once, if the octets are no message: answer it if it can be answered, then
    /// close.
    #[allow(clippy::should_implement_trait)] // it lends
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        if self.failed {
            return Ok(None);
        }
        match self.advance() {
            Ok(Some(Cut::Message(length))) => {
                let start = self.start;
                self.start += length;
                Ok(self.buffer.get(start..start + length).map(Frame::Message))
            }
            Ok(Some(Cut::Ping)) => Ok(Some(Frame::Ping)),
            Ok(None) => Ok(None),
            Err(fault) => {
                self.failed = true;
                let rest = self.buffer.get(self.start..).unwrap_or_default();
                let head = rest.get(..self.head.complete).unwrap_or_default().into();
                self.buffer = Vec::new();
                self.start = 0;
                Err(FrameError { fault, head })
            }
        }
    }

    fn advance(&mut self) -> Result<Option<Cut>, Fault> {
        if self.total.is_none() {
            if self.head.is_new() {
                let ping = self.skip_crlfs()?;
                if ping || self.pending() == 0 || self.buffer.get(self.start) == Some(&b'\r') {
                    return Ok(ping.then_some(Cut::Ping));
                }
            }
            let rest = self.buffer.get_mut(self.start..).unwrap_or_default();
            let Some(end) = self.head.advance(rest, &self.limits)? else { return Ok(None) };
            let body = self.head.length()?.ok_or(Fault::LengthMissing)?;
            if body > self.limits.body {
                return Err(Fault::BodyTooLong);
            }
            self.total = Some(end + body);
        }
        match self.total {
            Some(total) if self.pending() >= total => {
                self.total = None;
                self.head = HeadScan::default();
                Ok(Some(Cut::Message(total)))
            }
            _ => Ok(None),
        }
    }

    /// Skips CRLFs before a message; whether there were two.
    fn skip_crlfs(&mut self) -> Result<bool, Fault> {
        let mut ping = false;
        loop {
            match self.buffer.get(self.start..).unwrap_or_default() {
                [b'\r', b'\n', ..] => {
                    self.start += 2;
                    ping |= self.pending_crlf;
                    self.pending_crlf = !self.pending_crlf;
                }
                [b'\r'] | [] => return Ok(ping),
                [b'\r' | b'\n', ..] => return Err(Fault::BareLineEnd),
                _ => {
                    self.pending_crlf = false;
                    return Ok(ping);
                }
            }
        }
    }
}

enum Cut {
    Message(usize),
    Ping,
}

/// Cuts one message from a datagram and unfolds it in place: what follows the body is dropped, a
/// missing Content-Length means all of the rest (RFC 3261 §18.3).
///
/// # Errors
/// [`FrameError`] if the octets are no message or fewer than Content-Length says.
pub fn datagram<'a>(octets: &'a mut [u8], limits: &Limits) -> Result<Frame<'a>, FrameError> {
    let blank = octets.chunks(2).take_while(|pair| *pair == b"\r\n").count() * 2;
    let octets = octets.get_mut(blank..).unwrap_or_default();
    if octets.is_empty() {
        return Ok(Frame::Ping);
    }
    let mut scan = HeadScan::default();
    match cut_datagram(octets, &mut scan, limits) {
        Ok(total) => Ok(Frame::Message(octets.get(..total).unwrap_or_default())),
        Err(fault) => {
            let head = octets.get(..scan.complete).unwrap_or_default().into();
            Err(FrameError { fault, head })
        }
    }
}

fn cut_datagram(octets: &mut [u8], scan: &mut HeadScan, limits: &Limits) -> Result<usize, Fault> {
    let end = scan.advance(octets, limits)?.ok_or(Fault::NoHeadEnd)?;
    let rest = octets.len().saturating_sub(end);
    let body = scan.length()?.unwrap_or(rest);
    if body > limits.body {
        return Err(Fault::BodyTooLong);
    }
    if body > rest {
        return Err(Fault::BodyShort);
    }
    Ok(end + body)
}

/// How far the header block of one message has been read. All positions count from its start.
#[derive(Debug, Default)]
struct HeadScan {
    /// The next octet to look at.
    at: usize,
    /// Where the unfolded line starts that `at` is in, or that ended just before it.
    line: usize,
    /// The same before unfolding.
    begun: usize,
    /// Where the lines end that are complete and checked.
    complete: usize,
    /// Lines that are complete, the start line among them.
    lines: usize,
    /// Whether `at` is the first octet of a line.
    fresh: bool,
    length: Option<usize>,
    /// What is wrong with Content-Length. It is told at the end of the head, so that the request
    /// can be answered.
    bad_length: bool,
}

impl HeadScan {
    fn is_new(&self) -> bool {
        self.at == 0
    }

    /// Reads on in `octets`; the length of the header block once its empty line is there.
    fn advance(&mut self, octets: &mut [u8], limits: &Limits) -> Result<Option<usize>, Fault> {
        loop {
            if self.fresh && !self.begin_line(octets, limits)? {
                return Ok(None);
            }
            let rest = octets.get(self.at..).unwrap_or_default();
            let found = memchr(b'\n', rest);
            let end = self.at + found.map_or(rest.len(), |found| found + 1);
            if end > limits.head {
                return Err(Fault::HeadTooLong);
            }
            // The CRLF is not counted, nor is its first half if that is all there is.
            if end.saturating_sub(self.line) > limits.line + 2 {
                return Err(Fault::LineTooLong);
            }
            self.at = end;
            if found.is_none() {
                return Ok(None);
            }
            let line = octets.get(self.begun..end).unwrap_or_default();
            let Some(line) = line.strip_suffix(b"\r\n") else { return Err(Fault::BareLineEnd) };
            if memchr(b'\r', line).is_some() {
                return Err(Fault::BareLineEnd);
            }
            if self.line + 2 == end {
                return if self.lines == 0 { Err(Fault::NotSip) } else { Ok(Some(end)) };
            }
            if self.lines == 0 && !looks_like_sip(line) {
                return Err(Fault::NotSip);
            }
            self.fresh = true;
        }
    }

    /// Looks at the first octet of a line: a folded one goes on with the line before it, any other
    /// completes it. Whether there is such an octet.
    fn begin_line(&mut self, octets: &mut [u8], limits: &Limits) -> Result<bool, Fault> {
        let Some(first) = octets.get(self.at) else { return Ok(false) };
        if matches!(first, b' ' | b'\t') {
            // RFC 3261 §25.1: a value may be folded, a start line or what comes before a colon not.
            let line = octets.get(self.line..self.at).unwrap_or_default();
            if self.lines == 0 || memchr(b':', line).is_none() {
                return Err(Fault::Folded);
            }
            if let Some(line_end) = octets.get_mut(self.at.saturating_sub(2)..self.at) {
                line_end.fill(b' ');
            }
        } else {
            if self.lines > limits.headers.min(MOST_HEADERS) {
                return Err(Fault::TooManyHeaders);
            }
            self.complete_line(octets.get(self.line..self.at).unwrap_or_default());
            self.line = self.at;
            self.complete = self.at;
            self.lines += 1;
        }
        self.begun = self.at;
        self.fresh = false;
        Ok(true)
    }

    fn complete_line(&mut self, line: &[u8]) {
        // Most lines are ruled out by a look at where "Content-L" and "l" have their l.
        let may_be = matches!(line, [b'l' | b'L', ..] | [b'c' | b'C', _, _, _, _, _, _, _, b'l' | b'L', ..]);
        if self.lines == 0 || !may_be {
            return;
        }
        let line = line.strip_suffix(b"\r\n").unwrap_or(line);
        let Some(colon) = memchr(b':', line) else { return };
        let (name, value) = line.split_at(colon);
        let text = |bytes| std::str::from_utf8(bytes).map(trim);
        if text(name).ok().and_then(Name::parse) != Some(Name::ContentLength) {
            return;
        }
        let value = text(value.get(1..).unwrap_or_default()).ok().and_then(content_length);
        self.bad_length |= value.is_none() || self.length.is_some();
        self.length = value;
    }

    /// The Content-Length, if there is one.
    fn length(&self) -> Result<Option<usize>, Fault> {
        if self.bad_length { Err(Fault::ContentLength) } else { Ok(self.length) }
    }
}

/// The value of a Content-Length header: one to nine digits, nothing else.
pub(super) fn content_length(value: &str) -> Option<usize> {
    digits(value).filter(|_| value.len() <= 9).and_then(|length| usize::try_from(length).ok())
}

/// Headers are counted in an octet.
const MOST_HEADERS: usize = 254;

/// Whether a first line may be a start line of any version.
fn looks_like_sip(line: &[u8]) -> bool {
    let sip = |bytes: &[u8]| bytes.eq_ignore_ascii_case(b"SIP/");
    let after = |at: usize| line.get(at + 1..at + 5).is_some_and(sip);
    line.get(..4).is_some_and(sip) || memchr_iter(b' ', line).any(after)
}

#[cfg(test)]
mod tests;
