//! The XML declaration (XML 1.0 §2.8).

use super::XmlError;
use super::chars::is_space;
use memchr::memchr;

/// Checks what stands between `<?xml` and `?>`: `version`, then optionally `encoding` and
/// `standalone`. The latter means nothing without a DTD (RFC 6120 §11.5). Gives the encoding.
pub(super) fn check(text: &[u8]) -> Result<Option<&[u8]>, XmlError> {
    let mut names = [&b"version"[..], b"encoding", b"standalone"].into_iter();
    let (mut rest, mut encoding, mut versioned) = (text, None, false);
    loop {
        let behind = rest.trim_ascii_start();
        if behind.is_empty() {
            return if versioned { Ok(encoding) } else { Err(XmlError::Declaration) };
        }
        let spaced = rest.first().is_some_and(|&b| is_space(b));
        let equals = memchr(b'=', behind).ok_or(XmlError::Declaration)?;
        let (name, behind) = behind.split_at(equals);
        let name = name.trim_ascii_end();
        let (quote, behind) = match behind.get(1..).unwrap_or_default().trim_ascii_start() {
            [quote @ (b'"' | b'\''), behind @ ..] => (*quote, behind),
            _ => return Err(XmlError::Declaration),
        };
        let close = memchr(quote, behind).ok_or(XmlError::Declaration)?;
        let (value, behind) = behind.split_at(close);
        rest = behind.get(1..).unwrap_or_default();
        // Each at most once, in this order, with space before it.
        if !spaced || !names.any(|known| known == name) {
            return Err(XmlError::Declaration);
        }
        let good = match name {
            b"version" => {
                versioned = true;
                value.strip_prefix(b"1.").is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit))
            }
            b"encoding" => {
                encoding = Some(value);
                value.first().is_some_and(u8::is_ascii_alphabetic)
            }
            _ => matches!(value, b"yes" | b"no"),
        };
        if !good || !versioned {
            return Err(XmlError::Declaration);
        }
    }
}
