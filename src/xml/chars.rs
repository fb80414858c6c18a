//! Character classes of XML 1.0 (fifth edition) and of Namespaces in XML 1.0.

use memchr::{memchr_iter, memchr2};
use std::borrow::Cow;

/// White space (XML 1.0 §2.3).
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether XML 1.0 §2.2 allows `c`.
pub(super) fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Whether XML 1.0 §2.2 allows every character of `text`.
pub(super) fn all_chars(text: &str) -> bool {
    let bytes = text.as_bytes();
    // One pass without branches, so that the compiler makes vectors of it.
    let control =
        bytes.iter().fold(false, |bad, &b| bad | (b < b' ' && b != b'\t' && b != b'\n' && b != b'\r'));
    // U+FFFE and U+FFFF are EF BF BE and EF BF BF.
    !control
        && memchr_iter(0xEF, bytes)
            .all(|at| !matches!(bytes.get(at..).and_then(|b| b.get(1..3)), Some([0xBF, 0xBE | 0xBF])))
}

const START: u8 = 1;
const INNER: u8 = 2;

/// Classes of ASCII in names: bit 0 may start an NCName, bit 1 may go on with it.
const NAME: [u8; 128] = {
    let mut table = [0; 128];
    let mut b = 0;
    while b < 128 {
        let c = b as u8;
        if c.is_ascii_alphabetic() || c == b'_' {
            table[b] = START | INNER;
        } else if c.is_ascii_digit() || c == b'-' || c == b'.' {
            table[b] = INNER;
        }
        b += 1;
    }
    table
};

fn may_start(c: char) -> bool {
    match c {
        '\0'..='\x7F' => NAME[c as usize] & START != 0,
        _ => matches!(c,
            '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}'
            | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
            | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}'
            | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}'),
    }
}

fn may_go_on(c: char) -> bool {
    match c {
        '\0'..='\x7F' => NAME[c as usize] & INNER != 0,
        _ => may_start(c) || matches!(c, '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}'),
    }
}

/// Octets of the NCName (Namespaces in XML 1.0 §3) that `text` starts with; 0 if none.
pub(super) fn ncname_len(text: &str) -> usize {
    let ascii = text
        .bytes()
        .position(|b| NAME.get(usize::from(b)).is_none_or(|class| class & INNER == 0))
        .unwrap_or(text.len());
    let len = match text.as_bytes().get(ascii) {
        Some(0x80..) => text.char_indices().find(|&(_, c)| !may_go_on(c)).map_or(text.len(), |(at, _)| at),
        _ => ascii,
    };
    if text.chars().next().is_some_and(may_start) { len } else { 0 }
}

/// Splits a QName off `text`: prefix ("" if none), local name, octets of both and the colon.
pub(super) fn qname(text: &str) -> Option<(&str, &str, usize)> {
    let (first, rest) = text.split_at_checked(ncname_len(text))?;
    if first.is_empty() {
        return None;
    }
    let Some(rest) = rest.strip_prefix(':') else {
        return Some(("", first, first.len()));
    };
    let local = rest.get(..ncname_len(rest)).filter(|local| !local.is_empty())?;
    Some((first, local, first.len() + 1 + local.len()))
}

/// `text` with its line ends made `\n` (XML 1.0 §2.11).
pub(super) fn line_ends(text: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\r', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
}

/// What the reference `&name;` stands for: one of the five entities or a character (XML 1.0 §4.1).
pub(super) fn reference(name: &str) -> Result<char, super::XmlError> {
    use super::XmlError;
    match name {
        "amp" => return Ok('&'),
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        _ => {}
    }
    let Some(number) = name.strip_prefix('#') else {
        // XML 1.0 lets colons into entity names, Namespaces in XML does not.
        let named = !name.is_empty() && ncname_len(name) == name.len();
        return Err(if named { XmlError::Entity } else { XmlError::Reference });
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(hex) => (hex, 16),
        None => (number, 10),
    };
    if digits.is_empty() || !digits.bytes().all(|b| char::from(b).is_digit(radix)) {
        return Err(XmlError::Reference);
    }
    // Too many digits overflow: no character has that number.
    let code = u32::from_str_radix(digits, radix).map_err(|_| XmlError::Character)?;
    char::from_u32(code).filter(|&c| is_char(c)).ok_or(XmlError::Character)
}

/// An attribute's value: references resolved, white space made spaces (XML 1.0 §3.3.3).
pub(super) fn attribute_value(raw: &str) -> Result<Cow<'_, str>, super::XmlError> {
    let special = |b: &u8| matches!(b, b'<' | b'&' | b'\t' | b'\n' | b'\r');
    if !raw.as_bytes().iter().any(|b| special(b)) {
        return Ok(Cow::Borrowed(raw));
    }
    if memchr::memchr(b'<', raw.as_bytes()).is_some() {
        return Err(super::XmlError::Attribute);
    }
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.as_bytes().iter().position(|b| special(b)) {
        let (plain, tail) = rest.split_at(at);
        value.push_str(plain);
        rest = match tail.strip_prefix('&') {
            Some(tail) => {
                let end = memchr2(b';', b'&', tail.as_bytes()).ok_or(super::XmlError::Reference)?;
                let (name, tail) = tail.split_at(end);
                value.push(reference(name)?);
                tail.strip_prefix(';').ok_or(super::XmlError::Reference)?
            }
            None => {
                value.push(' ');
                tail.strip_prefix("\r\n").or_else(|| tail.get(1..)).unwrap_or_default()
            }
        };
    }
    value.push_str(rest);
    Ok(Cow::Owned(value))
}
