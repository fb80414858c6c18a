//! Octets to text, and text to what XML can hold.

use super::BodyError;
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use std::borrow::Cow;

/// Decodes `octets` and makes the text fit for XML.
///
/// Without a charset, and for `us-ascii`, the text is UTF-8 (RFC 7572 §7); a byte order mark is
/// dropped. `utf-16` without a mark is big-endian (RFC 2781 §4.3).
///
/// # Errors
///
/// [`BodyError::UnsupportedCharset`], or [`BodyError::NotText`] when the octets are not in it.
pub fn text<'a>(octets: &'a [u8], charset: Option<&str>) -> Result<Cow<'a, str>, BodyError> {
    let encoding = match charset.map(str::trim) {
        None | Some("") => UTF_8,
        Some(label) if ["utf-8", "us-ascii"].iter().any(|utf8| label.eq_ignore_ascii_case(utf8)) => UTF_8,
        Some(label) if label.eq_ignore_ascii_case("utf-16") => match octets {
            [0xff, 0xfe, ..] => UTF_16LE,
            _ => UTF_16BE,
        },
        Some(label) => {
            Encoding::for_label_no_replacement(label.as_bytes()).ok_or(BodyError::UnsupportedCharset)?
        }
    };
    if encoding == UTF_8 {
        let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
        return std::str::from_utf8(octets).map(clean).map_err(|_| BodyError::NotText);
    }
    match encoding.decode_with_bom_removal(octets) {
        (_, true) => Err(BodyError::NotText),
        (Cow::Borrowed(text), false) => Ok(clean(text)),
        (Cow::Owned(text), false) => Ok(match clean(&text) {
            Cow::Borrowed(_) => Cow::Owned(text),
            Cow::Owned(text) => Cow::Owned(text),
        }),
    }
}

/// Text that XML 1.0 can hold (§2.2), with `LF` as its only line end.
///
/// A character that XML excludes becomes U+FFFD. `CR LF` and a lone `CR` become `LF`, because an
/// XML processor would make that of them (§2.11) and XMPP knows no other line end.
pub fn clean(text: &str) -> Cow<'_, str> {
    let octets = text.as_bytes();
    let mut out = String::new();
    let (mut done, mut at) = (0, 0);
    while let Some(found) = octets.get(at..).and_then(next_suspect) {
        at += found;
        let (with, length) = match octets.get(at..).unwrap_or_default() {
            [b'\r', b'\n', ..] => ("", 1),
            [b'\r', ..] => ("\n", 1),
            // U+FFFE and U+FFFF.
            [0xef, 0xbf, 0xbe | 0xbf, ..] => ("\u{fffd}", 3),
            [0xef, ..] => {
                at += 1;
                continue;
            }
            _ => ("\u{fffd}", 1),
        };
        if out.capacity() == 0 {
            out.reserve(text.len() + 16);
        }
        out.push_str(text.get(done..at).unwrap_or_default());
        out.push_str(with);
        at += length;
        done = at;
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(done..).unwrap_or_default());
    Cow::Owned(out)
}

/// Where the first suspect stands. Sixteen octets at a time are or-ed together, which compilers turn
/// into a few vector instructions; nearly every text has none.
fn next_suspect(octets: &[u8]) -> Option<usize> {
    let clean = |chunk: &&[u8]| !chunk.iter().fold(false, |any, octet| any | is_suspect(octet));
    let start = octets.chunks(16).take_while(clean).count() * 16;
    let found = octets.get(start..)?.iter().position(is_suspect)?;
    Some(start + found)
}

/// Whether an octet is, or may start, what [`clean`] replaces.
fn is_suspect(octet: &u8) -> bool {
    (*octet < b' ' && !matches!(octet, b'\t' | b'\n')) || *octet == 0xef
}

/// Text for one line, such as a subject: [`clean`], and each control character or line separator
/// becomes a space. At most `limit` octets of `text`, cut at a character.
pub fn one_line(text: &str, limit: usize) -> Cow<'_, str> {
    let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let text = text.trim_matches(|c: char| breaks(c) || c.is_whitespace());
    let (text, _) = text.split_at(text.floor_char_boundary(limit));
    if text.contains(breaks) {
        let line = text.replace("\r\n", " ").replace(breaks, " ");
        return Cow::Owned(clean(&line).into_owned());
    }
    clean(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn check_017_the_charset_is_decoded() {
        for (octets, charset, plain) in [
            (&b"caf\xc3\xa9"[..], None, "café"),
            (b"caf\xc3\xa9", Some("UTF-8"), "café"),
            (b"\xef\xbb\xbfcaf\xc3\xa9", Some("utf8"), "café"),
            (b"plain", Some("US-ASCII"), "plain"),
            (b"caf\xe9", Some("iso-8859-1"), "café"),
            (b"\x80 5", Some("windows-1252"), "€ 5"),
            (b"\xcf\xf0\xe8", Some("windows-1251"), "При"),
            (b"\x93\xfa\x96\x7b", Some("Shift_JIS"), "日本"),
            (b"\x1b$BF|K\\\x1b(B", Some("ISO-2022-JP"), "日本"),
            (b"\x00h\x00i", Some("utf-16"), "hi"),
            (b"\xff\xfeh\x00i\x00", Some("UTF-16"), "hi"),
            (b"\xfe\xff\x00h\x00i", Some("utf-16"), "hi"),
            (b"h\x00i\x00", Some("utf-16le"), "hi"),
        ] {
            assert_eq!(text(octets, charset).as_deref(), Ok(plain), "{charset:?}");
        }
        assert_eq!(text(b"caf\xe9", None), Err(BodyError::NotText));
        assert_eq!(text(b"caf\xe9", Some("us-ascii")), Err(BodyError::NotText));
        assert_eq!(text(b"\xd8\x00\x00a", Some("utf-16")), Err(BodyError::NotText));
        assert_eq!(text(b"a", Some("utf-7")), Err(BodyError::UnsupportedCharset));
        assert_eq!(text(b"a", Some("klingon")), Err(BodyError::UnsupportedCharset));
    }

    #[test]
    fn clean_text_is_not_copied() {
        let plain = "line\n\ttab é 日本 🦀 \u{7f} \u{fffd} \u{ffef}";
        assert!(matches!(text(plain.as_bytes(), None), Ok(Cow::Borrowed(text)) if text == plain));
    }

    #[test]
    fn check_034_what_xml_cannot_hold_is_replaced() {
        assert_eq!(
            clean("a\0b\u{8}\u{b}\u{c}\u{e}\u{1f}c"),
            "a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}c"
        );
        assert_eq!(clean("\u{fffe}x\u{ffff}"), "\u{fffd}x\u{fffd}");
        assert_eq!(clean("a\r\nb\rc\r\n\r\n\r"), "a\nb\nc\n\n\n");
        assert_eq!(one_line(" a\r\nb\tc\u{85}d\u{2028}e\0\u{3000} ", 99), "a b c d e");
        assert_eq!(one_line("Hi there", 99), "Hi there");
        assert_eq!(one_line("aé日", 5), "aé", "cut at a character");
        assert_eq!(one_line("aé日", 6), "aé日");
    }

    proptest! {
        #[test]
        fn threat_116_no_text_is_left_that_xml_cannot_hold(raw in "(\\PC|[\\x00-\\x20\u{fffe}\u{ffff}\u{fffd}\u{efff}\r\n]){0,40}") {
            let legal = |c: char| matches!(c, '\t' | '\n' | ' '..='\u{fffd}' | '\u{10000}'..);
            let expected: String = raw.replace("\r\n", "\n").replace('\r', "\n").chars()
                .map(|c| if legal(c) { c } else { '\u{fffd}' }).collect();
            prop_assert_eq!(&clean(&raw), &expected);
            prop_assert!(matches!(clean(&expected), Cow::Borrowed(_)));
            prop_assert!(!one_line(&raw, 30).contains(char::is_control));
        }
    }
}
