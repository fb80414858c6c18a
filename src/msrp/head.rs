//! The start line and the headers of a request or response, read and written (RFC 4975 §7, §9).

use super::uri::MsrpUri;
use std::fmt::Write;

/// Header lines in one head.
const HEADERS_MAX: usize = 64;
/// URIs in one path.
const PATH_MAX: usize = 16;
/// Octets of a Message-ID (RFC 4975 §9 `ident`).
const ID_MAX: usize = 32;
/// Octets of a media type with its parameters.
const TYPE_MAX: usize = 256;

/// The transaction id and what is said in the first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// A request that carries a message, or a chunk of one.
    Send,
    /// A request that reports on one.
    Report,
    /// A request of another method.
    Other(&'a str),
    /// A response, with its status code.
    Response(u16),
}

/// Which transaction responses a sender wants (RFC 4975 §7.1.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FailureReport {
    /// All, and reports of failures that are known later.
    #[default]
    Yes,
    /// None.
    No,
    /// Those that say failure.
    Partial,
}

/// A Byte-Range: positions are counted from 1, as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// Position of the first octet.
    pub start: u64,
    /// Position of the last octet; `None` for `*`.
    pub end: Option<u64>,
    /// Octets of the whole message; `None` for `*`.
    pub total: Option<u64>,
}

/// A head as it was read: what it borrows is in the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The transaction id.
    pub tid: &'a str,
    /// The method or the status code.
    pub start: Start<'a>,
    /// To-Path; the first one is the receiver.
    pub to: Vec<MsrpUri>,
    /// From-Path; the first one is whom a response goes to.
    pub from: Vec<MsrpUri>,
    /// Message-ID.
    pub message_id: Option<&'a str>,
    /// Success-Report is `yes`.
    pub success: bool,
    /// Failure-Report.
    pub failure: FailureReport,
    /// Byte-Range.
    pub range: Option<ByteRange>,
    /// The code of a Status header with the namespace `000`.
    pub status: Option<u16>,
    /// Content-Type, with its parameters.
    pub content_type: Option<&'a str>,
    /// Something in it is broken; a request that can be answered gets 400.
    pub broken: bool,
}

impl<'a> Head<'a> {
    /// Reads a head that the framer cut. `None` if its start line or its paths are none: it can neither be
    /// understood nor answered.
    pub fn parse(octets: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(octets).ok()?;
        let mut lines = text.split_terminator("\r\n");
        let mut words = lines.next()?.strip_prefix("MSRP ")?.splitn(3, ' ');
        let tid = words.next()?;
        let start = start(words.next()?, words.next())?;
        let mut head = Self {
            tid,
            start,
            to: Vec::new(),
            from: Vec::new(),
            message_id: None,
            success: false,
            failure: FailureReport::Yes,
            range: None,
            status: None,
            content_type: None,
            broken: false,
        };
        for (count, line) in lines.enumerate() {
            // A line end of another kind could hide a header from one reader and show it to the next.
            let plain = !line.bytes().any(|b| b < b' ' && b != b'\t');
            let header = line.split_once(':').filter(|_| plain && count < HEADERS_MAX);
            let read = header.and_then(|(name, value)| head.take(name, value.trim()));
            head.broken |= read.is_none();
        }
        (!head.to.is_empty() && !head.from.is_empty()).then_some(head)
    }

    /// Takes a header; `None` if it is broken.
    fn take(&mut self, name: &str, value: &'a str) -> Option<()> {
        // Names are compared without case, as everywhere in MIME; the grammar spells them in one way.
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match () {
            () if is("To-Path") => return once(&mut self.to, value),
            () if is("From-Path") => return once(&mut self.from, value),
            () if is("Message-ID") => {
                let fresh = self.message_id.is_none();
                self.message_id = Some(value).filter(|id| is_ident(id) && fresh);
                return self.message_id.map(|_| ());
            }
            () if is("Success-Report") => self.success = value == "yes",
            () if is("Failure-Report") => {
                self.failure = match value {
                    "yes" => FailureReport::Yes,
                    "no" => FailureReport::No,
                    "partial" => FailureReport::Partial,
                    _ => return None,
                };
            }
            () if is("Byte-Range") => self.range = Some(ByteRange::parse(value)?),
            () if is("Status") => {
                let (namespace, rest) = value.split_once(' ')?;
                let code = status_code(rest.split(' ').next()?)?;
                self.status = (namespace == "000").then_some(code);
            }
            () if is("Content-Type") => {
                let fits = !value.is_empty() && value.len() <= TYPE_MAX && self.content_type.is_none();
                self.content_type = Some(value).filter(|_| fits);
                return self.content_type.map(|_| ());
            }
            () if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) => return None,
            () => {}
        }
        Some(())
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        !matches!(self.start, Start::Response(_))
    }
}

fn start<'a>(word: &'a str, more: Option<&'a str>) -> Option<Start<'a>> {
    if let Some(code) = status_code(word) {
        return Some(Start::Response(code));
    }
    let is_method = !word.is_empty() && word.len() <= 32 && word.bytes().all(|b| b.is_ascii_uppercase());
    match word {
        _ if !is_method || more.is_some() => None,
        "SEND" => Some(Start::Send),
        "REPORT" => Some(Start::Report),
        other => Some(Start::Other(other)),
    }
}

fn status_code(word: &str) -> Option<u16> {
    let digits = word.len() == 3 && word.bytes().all(|b| b.is_ascii_digit());
    word.parse().ok().filter(|_| digits)
}

fn once(path: &mut Vec<MsrpUri>, value: &str) -> Option<()> {
    if !path.is_empty() {
        return None;
    }
    for uri in value.split(' ') {
        if path.len() == PATH_MAX {
            return None;
        }
        match MsrpUri::parse(uri) {
            Ok(uri) => path.push(uri),
            Err(_) => {
                // Half a path leads nowhere.
                path.clear();
                return None;
            }
        }
    }
    Some(())
}

/// Whether `id` is an `ident` (RFC 4975 §9).
pub fn is_ident(id: &str) -> bool {
    let valid = |b: u8| b.is_ascii_alphanumeric() || b".-+%=".contains(&b);
    let first = id.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    first && (4..=ID_MAX).contains(&id.len()) && id.bytes().all(valid)
}

impl ByteRange {
    fn parse(value: &str) -> Option<Self> {
        let (start, rest) = value.split_once('-')?;
        let (end, total) = rest.split_once('/')?;
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u64>().ok().filter(|_| digits)
        };
        let or_star = |text: &str| if text == "*" { Some(None) } else { number(text).map(Some) };
        // The first octet has the position 1 (RFC 4975 §7.1.1).
        let start = number(start).filter(|start| *start > 0)?;
        Some(Self { start, end: or_star(end)?, total: or_star(total)? })
    }
}

/// Writes heads: each appends to a buffer.
pub struct Writer<'o>(&'o mut Vec<u8>);

impl<'o> Writer<'o> {
    /// A request's start line and paths.
    pub fn request(out: &'o mut Vec<u8>, tid: &str, method: &str, to: &[MsrpUri], from: &MsrpUri) -> Self {
        let mut writer = Self(out);
        writer.line(format_args!("MSRP {tid} {method}"));
        writer.paths(to, from);
        writer
    }

    /// A response's start line and paths.
    pub fn response(out: &'o mut Vec<u8>, tid: &str, code: u16, to: &[MsrpUri], from: &MsrpUri) -> Self {
        let mut writer = Self(out);
        let comment = comment(code);
        writer.line(format_args!("MSRP {tid} {code}{}{comment}", if comment.is_empty() { "" } else { " " }));
        writer.paths(to, from);
        writer
    }

    fn paths(&mut self, to: &[MsrpUri], from: &MsrpUri) {
        let to: Vec<&str> = to.iter().map(MsrpUri::as_str).collect();
        self.header("To-Path", to.join(" ").as_str());
        self.header("From-Path", from.as_str());
    }

    /// A header, whose value must not come from a peer unless it was read by [`Head::parse`].
    pub fn header(&mut self, name: &str, value: &str) {
        self.line(format_args!("{name}: {value}"));
    }

    /// A Byte-Range.
    pub fn range(&mut self, start: u64, end: u64, total: u64) {
        self.line(format_args!("Byte-Range: {start}-{end}/{total}"));
    }

    /// The Status of a report (RFC 4975 §7.1.3).
    pub fn status(&mut self, code: u16) {
        self.line(format_args!("Status: 000 {code} {}", comment(code)));
    }

    /// The body, and the end-line with its flag.
    pub fn end(self, tid: &str, body: Option<&[u8]>, flag: super::frame::Flag) {
        if let Some(body) = body {
            self.0.extend_from_slice(b"\r\n");
            self.0.extend_from_slice(body);
            self.0.extend_from_slice(b"\r\n");
        }
        self.0.extend_from_slice(b"-------");
        self.0.extend_from_slice(tid.as_bytes());
        self.0.extend_from_slice(&[flag.octet(), b'\r', b'\n']);
    }

    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        let mut line = String::new();
        // A String takes everything: there is no other error.
        let _ = line.write_fmt(text);
        self.0.extend_from_slice(line.as_bytes());
        self.0.extend_from_slice(b"\r\n");
    }
}

/// The comment of a status code (RFC 4975 §10), which nobody reads.
pub fn comment(code: u16) -> &'static str {
    match code {
        200 => "OK",
        400 => "Bad Request",
        403 => "Not Allowed",
        408 => "Timeout",
        413 => "Stop Sending",
        415 => "Unsupported Media Type",
        423 => "Out of Bounds",
        481 => "No Such Session",
        501 => "Unknown Method",
        506 => "Session In Use",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::msrp::frame::Flag;

    const PATHS: &str = "To-Path: msrp://b.example:8888/9di4;tcp\r\nFrom-Path: msrp://r.example:1/x;tcp msrp://a.example:7777/iau3;tcp\r\n";

    #[test]
    fn a_request_is_read_into_its_headers() {
        let text = format!(
            "MSRP d93kswow SEND\r\n{PATHS}Message-ID: 12339sdqwer\r\nByte-Range: 1-*/16\r\nFailure-Report: partial\r\n\
             Success-Report: yes\r\nX-Other: y\r\nContent-Type: text/plain;charset=utf-8\r\n"
        );
        let head = Head::parse(text.as_bytes()).unwrap();
        assert_eq!((head.tid, head.start, head.message_id), ("d93kswow", Start::Send, Some("12339sdqwer")));
        assert_eq!(head.range, Some(ByteRange { start: 1, end: None, total: Some(16) }));
        assert_eq!((head.success, head.failure), (true, FailureReport::Partial));
        assert_eq!((head.from.len(), head.to[0].session()), (2, Some("9di4")));
        assert_eq!((head.content_type, head.broken), (Some("text/plain;charset=utf-8"), false));
    }

    #[test]
    fn the_start_line_says_method_or_status() {
        let start = |line: &str| {
            let text = format!("MSRP d93kswow {line}\r\n{PATHS}Status: 000 403 no\r\n");
            Head::parse(text.as_bytes()).map(|head| (format!("{:?}", head.start), head.status))
        };
        assert_eq!(start("200 OK"), Some(("Response(200)".into(), Some(403))));
        assert_eq!(start("200"), Some(("Response(200)".into(), Some(403))));
        assert_eq!(start("REPORT"), Some(("Report".into(), Some(403))));
        assert_eq!(start("AUTH"), Some(("Other(\"AUTH\")".into(), Some(403))));
        for line in ["send", "SEND x", "20", "", "2000", "+20 OK"] {
            assert_eq!(start(line), None, "{line}");
        }
    }

    #[test]
    fn a_broken_header_breaks_the_request_and_leaves_it_answerable() {
        let broken = [
            "Byte-Range: 0-1/1",
            "Byte-Range: 1-2",
            "Byte-Range: 1-99999999999999999999/1",
            "Byte-Range: -1-2/3",
            "Byte-Range: +1-2/3",
            "Message-ID: a b c d",
            "Message-ID: abc",
            "Message-ID: abcd\r\nMessage-ID: abcd",
            "Failure-Report: maybe",
            "Status: 200",
            "Content-Type:",
            "To-Path: msrp://x.example:1/a;tcp",
            "no header",
            ": x",
            "X: a\nb",
        ];
        for line in broken {
            let text = format!("MSRP d93kswow SEND\r\n{PATHS}{line}\r\n");
            assert!(Head::parse(text.as_bytes()).unwrap().broken, "{line}");
        }
        let many = format!("MSRP d93kswow SEND\r\n{PATHS}{}", "X: y\r\n".repeat(HEADERS_MAX));
        assert!(Head::parse(many.as_bytes()).unwrap().broken);
        let other = format!("MSRP d93kswow SEND\r\n{PATHS}Status: 001 200\r\n");
        let head = Head::parse(other.as_bytes()).unwrap();
        assert_eq!((head.status, head.broken), (None, false));
    }

    #[test]
    fn without_paths_there_is_nobody_to_answer() {
        for text in [
            "MSRP d93kswow SEND\r\n",
            "MSRP d93kswow SEND\r\nTo-Path: x\r\nFrom-Path: y\r\n",
            "MSRP d93kswow SEND\r\nTo-Path: msrp://b.example:8888/9di4;tcp\r\n",
            "MSRP d93kswow SEND\r\nTo-Path: msrp://b.example:8888/9di4;tcp\r\nFrom-Path: msrp://b.example:8888/9;tcp x\r\n",
        ] {
            assert_eq!(Head::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let to = [MsrpUri::parse("msrp://b.example:8888/9di4;tcp").unwrap()];
        let from = MsrpUri::parse("msrp://a.example:7777/iau3;tcp").unwrap();
        let mut out = Vec::new();
        let mut writer = Writer::request(&mut out, "tid12345", "SEND", &to, &from);
        writer.header("Message-ID", "m1m1");
        writer.range(1, 2, 2);
        writer.header("Content-Type", "text/plain");
        writer.end("tid12345", Some(b"hi"), Flag::End);
        let expected = "MSRP tid12345 SEND\r\nTo-Path: msrp://b.example:8888/9di4;tcp\r\nFrom-Path: msrp://a.example:7777/iau3;tcp\r\n\
            Message-ID: m1m1\r\nByte-Range: 1-2/2\r\nContent-Type: text/plain\r\n\r\nhi\r\n-------tid12345$\r\n";
        assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);
        out.clear();
        Writer::response(&mut out, "tid12345", 200, std::slice::from_ref(&from), &to[0]).end(
            "tid12345",
            None,
            Flag::End,
        );
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.starts_with("MSRP tid12345 200 OK\r\n") && text.ends_with("tcp\r\n-------tid12345$\r\n"),
            "{text}"
        );
    }
}
