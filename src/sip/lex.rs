//! From a header block to a start line and a list of headers, all borrowed.
//!
//! Lines are unfolded before they come here ([`super::frame`] does it in place): a line that starts
//! with white space is an error. A header is `token *WSP ":" value` (RFC 3261 §7.3.1 and §25.1);
//! white space around the value is cut off. The block must be UTF-8 as a whole. Control characters
//! are errors, but for the tab and what a backslash quotes inside a quoted string: RFC 4475
//! §3.1.1.2 has a legal NUL there.

use super::Fault;
use super::method::Method;
use super::name::Name;
use memchr::{memchr, memchr_iter, memrchr};

/// The first line of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// RFC 3261 §7.1.
    Request {
        /// The method.
        method: Method<'a>,
        /// The Request-URI as it was spelt.
        uri: &'a str,
    },
    /// RFC 3261 §7.2.
    Response {
        /// 100 to 699.
        status: u16,
        /// The reason phrase as it was spelt; it may be empty.
        reason: &'a str,
    },
}

/// One header, unfolded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The header, if it is one that we know.
    pub name: Option<Name>,
    /// Its name as it was spelt.
    pub spelt: &'a str,
    /// Its value without the white space around it.
    pub value: &'a str,
}

/// Parses a start line without its CRLF.
///
/// # Errors
/// [`Fault::StartLine`], [`Fault::Version`] or [`Fault::StatusCode`].
pub fn start_line(line: &str) -> Result<Start<'_>, Fault> {
    if line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SIP/")) {
        return status_line(line);
    }
    let bytes = line.as_bytes();
    let first = memchr(b' ', bytes).ok_or(Fault::StartLine)?;
    let last = memrchr(b' ', bytes).ok_or(Fault::StartLine)?;
    let (Some(method), Some(uri), Some(version)) =
        (line.get(..first), line.get(first + 1..last), line.get(last + 1..))
    else {
        return Err(Fault::StartLine);
    };
    let method = Method::parse(method).ok_or(Fault::StartLine)?;
    if uri.is_empty() || uri.bytes().any(|b| b <= b' ') {
        return Err(Fault::StartLine);
    }
    check_version(version)?;
    Ok(Start::Request { method, uri })
}

fn status_line(line: &str) -> Result<Start<'_>, Fault> {
    let (version, rest) = line.split_once(' ').ok_or(Fault::StartLine)?;
    check_version(version)?;
    // A liberal receiver takes a status line without the space (RFC 4475 §3.1.1.13).
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let status = digits(code).filter(|_| code.len() == 3).ok_or(Fault::StatusCode)?;
    match u16::try_from(status) {
        Ok(status @ 100..=699) => Ok(Start::Response { status, reason }),
        _ => Err(Fault::StatusCode),
    }
}

fn check_version(version: &str) -> Result<(), Fault> {
    if version.eq_ignore_ascii_case("SIP/2.0") {
        return Ok(());
    }
    let numbers = version.get(..4).filter(|name| name.eq_ignore_ascii_case("SIP/")).and(version.get(4..));
    match numbers.and_then(|numbers| numbers.split_once('.')) {
        Some((major, minor)) if digits(major).is_some() && digits(minor).is_some() => Err(Fault::Version),
        _ => Err(Fault::StartLine),
    }
}

/// Parses one header line without its CRLF.
///
/// # Errors
/// [`Fault::HeaderLine`] or [`Fault::Folded`].
pub fn header(line: &str) -> Result<Header<'_>, Fault> {
    let bytes = line.as_bytes();
    let end = bytes.iter().position(|b| !is(*b, TOKEN)).ok_or(Fault::HeaderLine)?;
    let (Some(spelt), Some(rest)) = (line.get(..end), line.get(end..)) else {
        return Err(Fault::HeaderLine);
    };
    if spelt.is_empty() {
        let folded = matches!(bytes.first(), Some(b' ' | b'\t'));
        return Err(if folded { Fault::Folded } else { Fault::HeaderLine });
    }
    let value = trim(rest).strip_prefix(':').ok_or(Fault::HeaderLine)?;
    Ok(Header { name: Name::parse(spelt), spelt, value: trim(value) })
}

/// The length of the header block with its empty line, in octets.
///
/// # Errors
/// [`Fault::NoHeadEnd`], or [`Fault::BareLineEnd`] if a CR or LF stands alone before the end.
pub fn head_end(bytes: &[u8]) -> Result<usize, Fault> {
    let (mut lines, mut line) = (0, 0);
    for at in memchr_iter(b'\n', bytes) {
        // No LF without a CR before it, and no more CRs than LFs.
        if at == 0 || bytes.get(at - 1) != Some(&b'\r') {
            return Err(Fault::BareLineEnd);
        }
        lines += 1;
        let is_empty = at == line + 1;
        if is_empty && lines > 1 {
            let head = bytes.get(..=at).unwrap_or_default();
            let crs = memchr_iter(b'\r', head).count();
            return if crs == lines { Ok(head.len()) } else { Err(Fault::BareLineEnd) };
        }
        line = at + 1;
    }
    Err(Fault::NoHeadEnd)
}

/// Whether `text`, lines with their CRLF, has any control character but tabs and line ends.
pub fn may_have_control(text: &str) -> bool {
    let fine = |b: u8| (b >= 0x20 && b != 0x7f) || matches!(b, b'\t' | b'\r' | b'\n');
    // No early exit: this way it is a vector loop.
    !text.bytes().fold(true, |all, b| all & fine(b))
}

/// Whether `line` has a control character that is neither a tab nor quoted. CR and LF can't be
/// quoted (RFC 3261 §25.1 `quoted-pair`).
pub fn has_control(line: &str) -> bool {
    let plain = |b: u8| (b >= 0x20 && b != 0x7f) || b == b'\t';
    let (mut quoted, mut escaped) = (false, false);
    line.bytes().any(|b| {
        let bad = !plain(b) && (!escaped || matches!(b, b'\r' | b'\n'));
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
        bad
    })
}

/// Cuts spaces and tabs off both ends.
pub fn trim(text: &str) -> &str {
    let bytes = text.as_bytes();
    let ink = |b: &u8| !matches!(b, b' ' | b'\t');
    let start = bytes.iter().position(ink).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(ink).map_or(start, |last| last + 1);
    text.get(start..end).unwrap_or_default()
}

/// The lines of a header block up to its empty line, without their CRLF. [`head_end`] has checked
/// that no CR or LF stands alone.
pub fn lines(head: &str) -> impl Iterator<Item = &str> {
    let mut rest = head;
    std::iter::from_fn(move || {
        let length = memchr(b'\n', rest.as_bytes())?;
        let line = rest.get(..length.checked_sub(1)?)?;
        rest = rest.get(length + 1..)?;
        (!line.is_empty()).then_some(line)
    })
}

/// The number that `text` spells in plain digits; `None` if there is anything else, nothing, or
/// more than a `u32` holds.
pub fn digits(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Whether `text` is a token (RFC 3261 §25.1).
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| is(b, TOKEN))
}

/// Whether `byte` is of `class`.
pub(super) fn is(byte: u8, class: u8) -> bool {
    CLASS[usize::from(byte)] & class != 0
}

/// `token`
pub(super) const TOKEN: u8 = 1;
/// What an unquoted parameter value may hold: `token`, `host`, and more by our choice.
pub(super) const VALUE: u8 = 2;
/// `word` and the `@` between two, and more by our choice.
pub(super) const CALL_ID: u8 = 4;

static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0x21;
    while i < 0x7f {
        let byte = i as u8;
        if byte.is_ascii_alphanumeric() || in_set(byte, b"-.!%*_+`'~") {
            table[i] = TOKEN | VALUE;
        }
        // DEVIATES RFC 3261 §25.1: gen-value is a token or a host. Unquoted base64, URNs and IPv6
        // addresses are seen in parameters, and nothing in these characters can end a value.
        if in_set(byte, b"[]:/=?&$") {
            table[i] = VALUE;
        }
        // DEVIATES RFC 3261 §25.1: a Call-ID of any visible characters but the list and parameter
        // separators. It is only compared and copied.
        if byte != b',' && byte != b';' {
            table[i] |= CALL_ID;
        }
        i += 1;
    }
    table
};

const fn in_set(byte: u8, set: &[u8]) -> bool {
    let mut i = 0;
    while i < set.len() {
        if set[i] == byte {
            return true;
        }
        i += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_lines() {
        let request = start_line("MESSAGE sip:a@h SIP/2.0");
        assert_eq!(request, Ok(Start::Request { method: Method::Message, uri: "sip:a@h" }));
        assert_eq!(
            start_line("sip/2.0 486 Busy  Here"),
            Ok(Start::Response { status: 486, reason: "Busy  Here" })
        );
        for bad in [
            "",
            " ",
            "MESSAGE",
            "MESSAGE sip:a@h",
            "MESSAGE  SIP/2.0",
            "MESSAGE sip:a@h SIP/2.0 ",
            " MESSAGE sip:a@h SIP/2.0",
            "MESSAGE  sip:a@h SIP/2.0",
            "ME(SAGE sip:a@h SIP/2.0",
            "MESSAGE\tsip:a@h\tSIP/2.0",
            "MESSAGE sip:a@h HTTP/1.1",
            "MESSAGE sip:a@h SIP/two",
            "SIP/2.0",
            "MESSAGE sip:a\th SIP/2.0",
        ] {
            assert_eq!(start_line(bad), Err(Fault::StartLine), "{bad:?}");
        }
        assert_eq!(start_line("MESSAGE sip:a@h SIP/7.0"), Err(Fault::Version));
        assert_eq!(start_line("SIP/3.0 200 OK"), Err(Fault::Version));
    }

    #[test]
    fn pitfall_15_methods_are_open_and_case_sensitive() {
        for text in ["BENOTIFY", "SERVICE", "message", "RE%47IST%45R"] {
            let line = format!("{text} sip:a@h SIP/2.0");
            assert_eq!(start_line(&line), Ok(Start::Request { method: Method::Other(text), uri: "sip:a@h" }));
        }
    }

    #[test]
    fn pitfall_16_status_codes_end_at_699_and_phrases_are_kept() {
        for bad in [
            "SIP/2.0 700 x",
            "SIP/2.0 99 x",
            "SIP/2.0 099 x",
            "SIP/2.0 4294967301 x",
            "SIP/2.0 +20 x",
            "SIP/2.0 2000 x",
            "SIP/2.0  200 OK",
            "SIP/2.0 ",
        ] {
            assert_eq!(start_line(bad), Err(Fault::StatusCode), "{bad:?}");
        }
        assert_eq!(start_line("SIP/2.0 200 Fine"), Ok(Start::Response { status: 200, reason: "Fine" }));
        assert_eq!(start_line("SIP/2.0 699 x"), Ok(Start::Response { status: 699, reason: "x" }));
        assert_eq!(start_line("SIP/2.0 200"), Ok(Start::Response { status: 200, reason: "" }));
    }

    #[test]
    fn pitfall_05_space_before_the_colon() {
        for line in ["Via:x", "Via : x ", "via\t \t:\tx", "V: x"] {
            let found = header(line);
            assert!(matches!(found, Ok(Header { name: Some(Name::Via), value: "x", .. })), "{line:?}");
        }
    }

    #[test]
    fn header_lines_that_are_none() {
        for bad in ["", "Via", ": x", "Vi a: x", "V\u{e9}: x", "Via\u{1}: x", "Via\0: x", "(x): y"] {
            assert_eq!(header(bad), Err(Fault::HeaderLine), "{bad:?}");
        }
        assert_eq!(header(" Via: x"), Err(Fault::Folded));
    }

    #[test]
    fn pitfall_07_control_characters_pass_only_where_quoted() {
        assert!(!has_control("To: \"BEL:\\\u{7} NUL:\\\0 DEL:\\\u{7f}\" <sip:a@h>"));
        assert!(!has_control("tab\there"));
        for bad in ["x\0", "x\u{7f}", "\\\0", "\"\0\"", "\"\\\\\0\"", "\"a\" \\\u{1}", "\u{1b}[0m"] {
            assert!(has_control(bad), "{bad:?}");
        }
        assert_eq!(head_end(b"a: b\nc: d\r\n\r\n"), Err(Fault::BareLineEnd));
        assert_eq!(head_end(b"a: b\rc: d\r\n\r\n"), Err(Fault::BareLineEnd));
        assert_eq!(head_end(b"a: b\r\r\n\r\n"), Err(Fault::BareLineEnd));
        assert_eq!(head_end(b"a: b\r\n\n"), Err(Fault::BareLineEnd));
        assert_eq!(head_end(b"a: b\r\n\r\nbody\n"), Ok(8));
    }

    /// The head ends with the first CRLF CRLF, and up to there, or else in all, CR and LF come in pairs.
    fn naive_head_end(bytes: &[u8]) -> Result<usize, Fault> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        let head = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let alone = |at: usize| match head.get(at) {
            Some(b'\r') => end.is_some() && head.get(at + 1) != Some(&b'\n'),
            Some(b'\n') => at == 0 || head.get(at - 1) != Some(&b'\r'),
            _ => false,
        };
        if (0..head.len()).any(alone) { Err(Fault::BareLineEnd) } else { end.ok_or(Fault::NoHeadEnd) }
    }

    #[test]
    fn every_short_mix_of_line_ends_and_text_ends_where_it_should() {
        // All of up to nine octets.
        for length in 0..=9 {
            for number in 0..3_u32.pow(length) {
                let octet = |place| [b'a', b'\r', b'\n'][(number / 3_u32.pow(place) % 3) as usize];
                let bytes: Vec<u8> = (0..length).map(octet).collect();
                assert_eq!(head_end(&bytes), naive_head_end(&bytes), "{}", bytes.escape_ascii());
            }
        }
    }
}
