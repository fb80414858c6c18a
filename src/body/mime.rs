//! MIME: media types, the header of a part, multipart bodies and transfer encodings.
//!
//! RFC 2045 and RFC 2046, as far as SIP bodies use them. Line ends are `CR LF`, and a lone `LF` is
//! taken for one. Values keep their folds: white space is white space wherever it stands.

use super::{BodyError, Part};
use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use memchr::memchr;
use std::borrow::Cow;

/// Octets of a boundary (RFC 2046 §5.1.1).
const BOUNDARY_MAX: usize = 70;
/// Header fields of one part.
const FIELDS_MAX: usize = 64;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A media type: `text/plain;charset=utf-8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// The type, as it was spelt.
    pub main: &'a str,
    /// The subtype, as it was spelt.
    pub sub: &'a str,
    /// The parameters, raw.
    params: &'a str,
}

impl<'a> MediaType<'a> {
    /// What a part without Content-Type is (RFC 2045 §5.2).
    pub const PLAIN: MediaType<'static> = MediaType { main: "text", sub: "plain", params: "" };

    /// Reads the value of Content-Type.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (range, params) = text.split_once(';').unwrap_or((text, ""));
        let (main, sub) = range.split_once('/')?;
        let (main, sub) = (main.trim(), sub.trim());
        (is_token(main) && is_token(sub)).then_some(Self { main, sub, params })
    }

    /// Whether this is `main/sub`, without regard to case.
    pub fn is(&self, main: &str, sub: &str) -> bool {
        self.main.eq_ignore_ascii_case(main) && self.sub.eq_ignore_ascii_case(sub)
    }

    /// The first parameter called `name`, unquoted.
    pub fn param(&self, name: &str) -> Option<Cow<'a, str>> {
        param(self.params, name)
    }
}

/// What is to be done with a part (RFC 3261 §20.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disposition {
    /// It is for the eyes of the recipient: `render`, `inline` or nothing said.
    pub shown: bool,
    /// The message must be refused if the part can't be read.
    pub required: bool,
}

impl Disposition {
    /// Reads the value of Content-Disposition; absent, a part is shown and required.
    pub fn of(value: Option<&str>) -> Self {
        let (kind, params) = value.map_or(("", ""), |value| value.split_once(';').unwrap_or((value, "")));
        let kind = kind.trim();
        let shown = ["", "render", "inline"].iter().any(|shown| kind.eq_ignore_ascii_case(shown));
        let optional = param(params, "handling").is_some_and(|value| value.eq_ignore_ascii_case("optional"));
        Self { shown, required: !optional }
    }
}

/// The one language that Content-Language names, if it is a tag (RFC 3261 §20.13).
pub fn language(value: &str) -> Option<&str> {
    let tag = value.trim();
    let valid = |part: &str| matches!(part.len(), 1..=8) && part.bytes().all(|b| b.is_ascii_alphanumeric());
    (tag.len() <= 35 && tag.split('-').all(valid)).then_some(tag)
}

/// Whether a Content-Encoding changes nothing.
pub fn is_identity(value: Option<&str>) -> bool {
    value.is_none_or(|value| {
        value.split(',').all(|one| one.trim().is_empty() || one.trim().eq_ignore_ascii_case("identity"))
    })
}

/// Whether a Content-Transfer-Encoding changes nothing, as it must for composite types (RFC 2045
/// §6.4).
pub fn is_plain_transfer(value: Option<&str>) -> bool {
    value.is_none_or(|value| {
        ["7bit", "8bit", "binary"].iter().any(|plain| value.trim().eq_ignore_ascii_case(plain))
    })
}

/// Undoes a Content-Transfer-Encoding.
///
/// # Errors
///
/// [`BodyError::Malformed`], or [`BodyError::UnsupportedType`] for an encoding that nobody knows
/// (RFC 2045 §6.4).
pub fn decode_transfer<'a>(octets: &'a [u8], value: Option<&str>) -> Result<Cow<'a, [u8]>, BodyError> {
    if is_plain_transfer(value) {
        return Ok(Cow::Borrowed(octets));
    }
    let value = value.unwrap_or_default().trim();
    if value.eq_ignore_ascii_case("base64") {
        let digits: Vec<u8> = octets.iter().copied().filter(|octet| !octet.is_ascii_whitespace()).collect();
        return BASE64.decode(digits).map(Cow::Owned).map_err(|_| BodyError::Malformed);
    }
    if value.eq_ignore_ascii_case("quoted-printable") {
        return Ok(Cow::Owned(unquote_printable(octets)));
    }
    Err(BodyError::UnsupportedType)
}

/// Cuts a multipart body at its boundary (RFC 2046 §5.1.1): the parts with their headers.
///
/// # Errors
///
/// [`BodyError::Malformed`] when the boundary is none or the last delimiter is not there,
/// [`BodyError::TooDeep`] for more than `most` parts.
pub fn split<'a>(body: &'a [u8], boundary: &str, most: usize) -> Result<Vec<&'a [u8]>, BodyError> {
    let valid = |octet: u8| octet.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&octet);
    let length = boundary.len();
    if !(1..=BOUNDARY_MAX).contains(&length) || boundary.ends_with(' ') || !boundary.bytes().all(valid) {
        return Err(BodyError::Malformed);
    }
    let mut parts = Vec::new();
    let mut start = None;
    let mut at = 0;
    while let Some(rest) = body.get(at..).filter(|rest| !rest.is_empty()) {
        let end = at + memchr(b'\n', rest).map_or(rest.len(), |found| found + 1);
        let line = body.get(at..end).unwrap_or_default().trim_ascii_end();
        let tail = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary.as_bytes()));
        let last = tail == Some(b"--");
        if last || tail == Some(b"") {
            if let Some(start) = start {
                if parts.len() == most {
                    return Err(BodyError::TooDeep);
                }
                // The line end before a delimiter belongs to it.
                let part = body.get(start..at).unwrap_or_default();
                let part = part.strip_suffix(b"\n").unwrap_or(part);
                parts.push(part.strip_suffix(b"\r").unwrap_or(part));
            }
            if last {
                return if parts.is_empty() { Err(BodyError::Malformed) } else { Ok(parts) };
            }
            start = Some(end);
        }
        at = end;
    }
    Err(BodyError::Malformed)
}

/// Takes a part into its header and its octets. Fields that are not about content are passed over.
///
/// # Errors
///
/// [`BodyError::Malformed`] when the header is none.
pub fn part(octets: &[u8]) -> Result<Part<'_>, BodyError> {
    let (header, body) = header_of(octets);
    let header = std::str::from_utf8(header).map_err(|_| BodyError::Malformed)?;
    let mut part = Part { octets: body, ..Part::default() };
    for (count, field) in fields(header).enumerate() {
        if count == FIELDS_MAX {
            return Err(BodyError::TooDeep);
        }
        let (name, value) = field.split_once(':').ok_or(BodyError::Malformed)?;
        let name = name.trim_end();
        if !is_token(name) {
            return Err(BodyError::Malformed);
        }
        let slot = match () {
            () if name.eq_ignore_ascii_case("content-type") => &mut part.content_type,
            () if name.eq_ignore_ascii_case("content-encoding") => &mut part.encoding,
            () if name.eq_ignore_ascii_case("content-disposition") => &mut part.disposition,
            () if name.eq_ignore_ascii_case("content-language") => &mut part.language,
            () if name.eq_ignore_ascii_case("content-transfer-encoding") => &mut part.transfer,
            () => continue,
        };
        // Two readers of a field that is there twice could see two things.
        if slot.replace(value.trim()).is_some() {
            return Err(BodyError::Malformed);
        }
    }
    Ok(part)
}

/// Cuts at the first empty line; what follows it is the body.
pub(super) fn header_of(octets: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while let Some(rest) = octets.get(at..).filter(|rest| !rest.is_empty()) {
        let end = at + memchr(b'\n', rest).map_or(rest.len(), |found| found + 1);
        if matches!(octets.get(at..end), Some(b"\r\n" | b"\n")) {
            return (octets.get(..at).unwrap_or_default(), octets.get(end..).unwrap_or_default());
        }
        at = end;
    }
    (octets, b"")
}

/// The fields of a header, each with its folds.
fn fields(header: &str) -> impl Iterator<Item = &str> {
    let mut rest = header;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = 0;
        loop {
            end += rest.get(end..)?.find('\n').map_or(rest.len() - end, |found| found + 1);
            if !rest.get(end..)?.starts_with([' ', '\t']) {
                break;
            }
        }
        let (field, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(field)
    })
}

/// The first of the raw parameters that is called `name`, unquoted.
fn param<'a>(params: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let mut rest = params;
    while !rest.is_empty() {
        let end = rest.find([';', '=']).unwrap_or(rest.len());
        let (key, after) = rest.split_at_checked(end)?;
        let wanted = key.trim().eq_ignore_ascii_case(name);
        let Some(after) = after.strip_prefix('=') else {
            if wanted {
                return Some(Cow::Borrowed(""));
            }
            rest = after.strip_prefix(';').unwrap_or_default();
            continue;
        };
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let (value, after) = after.split_once(';').unwrap_or((after, ""));
                (Cow::Borrowed(value.trim()), after)
            }
        };
        if wanted {
            return Some(value);
        }
        rest = after;
    }
    None
}

/// The rest of a quoted string, and what follows its parameter.
fn unquote(quoted: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut escaped = false;
    let end = quoted.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    let value = quoted.get(..end)?;
    let after = quoted.get(end + 1..)?.trim_start();
    let after = if after.is_empty() { after } else { after.strip_prefix(';')? };
    if !value.contains('\\') {
        return Some((Cow::Borrowed(value), after));
    }
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    Some((Cow::Owned(plain), after))
}

fn is_token(text: &str) -> bool {
    let valid = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(&b);
    !text.is_empty() && text.bytes().all(valid)
}

/// RFC 2045 §6.7; what is no escape stands for itself.
fn unquote_printable(octets: &[u8]) -> Vec<u8> {
    let hex = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut out = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let content = line.trim_ascii_end();
        let end = match line {
            [.., b'\r', b'\n'] => &b"\r\n"[..],
            [.., b'\n'] => b"\n",
            _ => b"",
        };
        let (mut rest, end) = match content.strip_suffix(b"=") {
            Some(content) => (content, &b""[..]),
            None => (content, end),
        };
        while let [octet, after @ ..] = rest {
            rest = match (octet, after) {
                (b'=', [high, low, behind @ ..]) => match (hex(*high), hex(*low)) {
                    (Some(high), Some(low)) => {
                        out.push(high << 4 | low);
                        behind
                    }
                    _ => {
                        out.push(b'=');
                        after
                    }
                },
                (octet, after) => {
                    out.push(*octet);
                    after
                }
            };
        }
        out.extend_from_slice(end);
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_media_type_has_parameters() {
        let media =
            MediaType::parse("Text/Plain ; Charset=\"utf\\-8\" ;x; y = z;q=\"a;b\";format=flowed").unwrap();
        assert!(media.is("text", "plain"));
        assert_eq!(media.param("charset").as_deref(), Some("utf-8"));
        assert_eq!(media.param("x").as_deref(), Some(""));
        assert_eq!(media.param("y").as_deref(), Some("z"));
        assert_eq!(media.param("q").as_deref(), Some("a;b"));
        assert_eq!(media.param("format").as_deref(), Some("flowed"));
        assert_eq!(media.param("b"), None);
        for bad in
            ["", "text", "text/", "/plain", "te xt/plain", "text/pla(in", "a/b/c", "text/plain, text/html"]
        {
            assert_eq!(MediaType::parse(bad), None, "{bad}");
        }
        assert_eq!(MediaType::parse("a/b;x=\"y").unwrap().param("x"), None);
    }

    #[test]
    fn a_disposition_is_shown_and_required_unless_it_says_otherwise() {
        let of = |value| {
            let disposition = Disposition::of(Some(value));
            (disposition.shown, disposition.required)
        };
        assert_eq!(Disposition::of(None), Disposition { shown: true, required: true });
        assert_eq!(of("render;handling=optional"), (true, false));
        assert_eq!(of("Inline; filename=\"a;handling=optional\""), (true, true));
        assert_eq!(of("attachment; filename=smime.p7s; Handling = Optional"), (false, false));
        assert_eq!(of("session"), (false, true));
        assert_eq!(of("render;handling=whatever"), (true, true));
    }

    #[test]
    fn a_language_is_one_tag() {
        assert_eq!(language(" de-CH-1996 "), Some("de-CH-1996"));
        for bad in ["", "en, fr", "en_GB", "abcdefghi", "a--b", "en'>"] {
            assert_eq!(language(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_multipart_body_is_cut_at_its_boundary() {
        let cut = |body: &'static str| split(body.as_bytes(), "b", 3);
        let ok = |body| {
            cut(body).unwrap().iter().map(|part| std::str::from_utf8(part).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(ok("--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\n"), ["\r\none", "\r\ntwo"]);
        assert_eq!(ok("preamble\r\n--b \t\r\nx\r\n--b--"), ["x"]);
        assert_eq!(ok("--b\n\none\n\n--b--\nepilogue\n--b\n"), ["\none\n"]);
        assert_eq!(ok("--b\r\n--b\r\n--b--"), ["", ""]);
        assert_eq!(ok("--b\r\nx --b\r\n--bb\r\n--b--b\r\n--b--"), ["x --b\r\n--bb\r\n--b--b"]);
        for bad in ["", "x", "--b", "--b\r\nx", "--b\r\nx\r\n--b", "--b--", "-b\r\nx\r\n-b--"] {
            assert_eq!(cut(bad), Err(BodyError::Malformed), "{bad:?}");
        }
        assert_eq!(cut("--b\n--b\n--b\n--b\n--b--"), Err(BodyError::TooDeep));
        for bad in ["", "a ", "a\"b", "ü", &"b".repeat(71)] {
            assert_eq!(split(b"", bad, 3), Err(BodyError::Malformed));
        }
    }

    #[test]
    fn a_part_has_a_header_and_octets() {
        let text = b"Content-Type: multipart/mixed;\r\n\tboundary=x\r\ncontent-disposition : render\r\nX: y\r\n\r\n\r\nbody";
        let found = part(text).unwrap();
        assert_eq!(found.content_type, Some("multipart/mixed;\r\n\tboundary=x"));
        assert_eq!(
            MediaType::parse(found.content_type.unwrap()).unwrap().param("boundary").as_deref(),
            Some("x")
        );
        assert_eq!((found.disposition, found.octets), (Some("render"), &b"\r\nbody"[..]));
        assert_eq!(part(b"\r\nbody").unwrap().octets, b"body");
        assert_eq!(part(b"X: y").unwrap().octets, b"");
        for bad in [&b"body"[..], b" X: y\r\n\r\n", b"X\r\n\r\n", b"\xff: y\r\n\r\n", b"X Y: z\r\n\r\n"] {
            assert_eq!(part(bad).unwrap_err(), BodyError::Malformed, "{bad:?}");
        }
        assert_eq!(
            part(b"Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n").unwrap_err(),
            BodyError::Malformed
        );
        assert_eq!(part("X: y\r\n".repeat(65).as_bytes()).unwrap_err(), BodyError::TooDeep);
    }

    #[test]
    fn transfer_encodings_are_undone() {
        let undo = |octets: &'static [u8], value| decode_transfer(octets, Some(value)).map(Cow::into_owned);
        assert_eq!(undo(b"aGk=\r\n", "BASE64").unwrap(), b"hi");
        assert_eq!(undo(b"aG\r\n k", "base64").unwrap(), b"hi");
        assert_eq!(undo(b"a!k=", "base64"), Err(BodyError::Malformed));
        assert_eq!(
            undo(b"a=3Db =C3=a9=\r\nc  \r\nd=", "quoted-printable").unwrap(),
            "a=b éc\r\nd".as_bytes()
        );
        assert_eq!(undo(b"=zz =4", "Quoted-Printable").unwrap(), b"=zz =4");
        assert_eq!(undo(b"x", "8Bit").unwrap(), b"x");
        assert_eq!(undo(b"x", "x-uuencode"), Err(BodyError::UnsupportedType));
    }

    proptest! {
        #[test]
        fn no_octets_break_the_readers(octets in proptest::collection::vec(proptest::sample::select(b"\r\n:; =\"-bA0\xff\xc3\xa9".to_vec()), 0..64)) {
            if let Ok(parts) = split(&octets, "b", 8) {
                prop_assert!(parts.iter().map(|part| part.len()).sum::<usize>() < octets.len());
            }
            let _ = part(&octets);
            prop_assert!(unquote_printable(&octets).len() <= octets.len());
            let _ = decode_transfer(&octets, Some("base64"));
            if let Ok(text) = std::str::from_utf8(&octets) {
                let _ = (MediaType::parse(text), param(text, "b"), Disposition::of(Some(text)));
            }
        }
    }
}
