//! Character classes of XML 1.0 (fifth edition) and of Namespaces in XML 1.0.

use super::XmlError;
use memchr::{memchr, memchr_iter, memchr2, memchr3};
use std::borrow::Cow;

/// White space (XML 1.0 §2.3).
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Whether XML 1.0 §2.2 allows `c`.
pub(super) fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// What a text is made of, found in one look at the whole of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Makeup {
    /// Tabs and line ends: attribute values have to be normalised.
    pub control: bool,
    /// Carriage returns: line ends have to be made alike.
    pub cr: bool,
    /// `]]>` is somewhere, in text or as the end of a CDATA section.
    pub cdata_end: bool,
}

/// Looks through `text`; `None` if XML 1.0 §2.2 excludes one of its characters.
pub(super) fn makeup(text: &str) -> Option<Makeup> {
    let bytes = text.as_bytes();
    // Without branches, so that the compiler makes vectors of it.
    let control = bytes.iter().fold(false, |any, &b| any | (b < b' '));
    let good = |b: u8| b >= b' ' || is_space(b);
    if control && !bytes.iter().fold(true, |all, &b| all & good(b)) {
        return None;
    }
    // U+FFFE and U+FFFF are EF BF BE and EF BF BF.
    let nonchar = |at: usize| matches!(bytes.get(at + 1..at + 3), Some([0xBF, 0xBE | 0xBF]));
    if memchr_iter(0xEF, bytes).any(nonchar) {
        return None;
    }
    Some(Makeup {
        control,
        cr: control && memchr(b'\r', bytes).is_some(),
        cdata_end: memchr_iter(b']', bytes).any(|at| bytes.get(at + 1..at + 3) == Some(b"]>")),
    })
}

/// Equality of short strings. Most are empty, and those should not cost a call.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && (a.is_empty() || a == b)
}

const START: u8 = 1;
const INNER: u8 = 2;
const WIDE: u8 = 4;

/// Classes of octets in names: may start an NCName, may go on with it, belongs to a character
/// beyond ASCII.
const NAME: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        let c = b as u8;
        if c.is_ascii_alphabetic() || c == b'_' {
            table[b] = START | INNER;
        } else if c.is_ascii_digit() || c == b'-' || c == b'.' {
            table[b] = INNER;
        } else if !c.is_ascii() {
            table[b] = WIDE;
        }
        b += 1;
    }
    table
};

fn class(octet: u8) -> u8 {
    NAME[usize::from(octet)]
}

fn may_start(c: char) -> bool {
    match c {
        '\0'..='\x7F' => class(c as u8) & START != 0,
        _ => matches!(c,
            '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}'
            | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
            | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}'
            | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}'),
    }
}

fn may_go_on(c: char) -> bool {
    match c {
        '\0'..='\x7F' => class(c as u8) & INNER != 0,
        _ => may_start(c) || matches!(c, '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}'),
    }
}

/// Octets of the NCName (Namespaces in XML 1.0 §3) that `text` starts with at `from`; 0 if none.
pub(super) fn ncname_len(text: &str, from: usize) -> usize {
    let bytes = text.as_bytes().get(from..).unwrap_or_default();
    let ascii = bytes.iter().position(|&b| class(b) & INNER == 0).unwrap_or(bytes.len());
    if bytes.get(ascii).is_some_and(|&b| class(b) == WIDE) {
        return wide_ncname_len(text.get(from..).unwrap_or_default());
    }
    match bytes.first() {
        Some(&first) if class(first) & START != 0 => ascii,
        _ => 0,
    }
}

#[cold]
fn wide_ncname_len(text: &str) -> usize {
    let mut chars = text.char_indices();
    match chars.next() {
        Some((_, first)) if may_start(first) => {
            chars.find(|&(_, c)| !may_go_on(c)).map_or(text.len(), |(at, _)| at)
        }
        _ => 0,
    }
}

/// The QName (Namespaces in XML 1.0 §4) in `text` at `from`: prefix ("" if none), local name, octets
/// of all of it.
pub(super) fn qname(text: &str, from: usize) -> Option<(&str, &str, usize)> {
    let len = ncname_len(text, from);
    let first = text.get(from..from + len).filter(|name| !name.is_empty())?;
    if text.as_bytes().get(from + len) != Some(&b':') {
        return Some(("", first, len));
    }
    let from = from + len + 1;
    let more = ncname_len(text, from);
    let local = text.get(from..from + more).filter(|name| !name.is_empty())?;
    Some((first, local, len + 1 + more))
}

/// `text` with its line ends made `\n` (XML 1.0 §2.11).
pub(super) fn line_ends<'a>(text: &'a str, makeup: &Makeup) -> Cow<'a, str> {
    if !makeup.cr || memchr(b'\r', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
}

/// What the reference `&name;` stands for: one of the five entities or a character (XML 1.0 §4.1).
pub(super) fn reference(name: &str) -> Result<char, XmlError> {
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
        let named = !name.is_empty() && ncname_len(name, 0) == name.len();
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

/// Reads an attribute's value that starts at `from` up to its closing `quote`: references resolved,
/// white space made spaces (XML 1.0 §3.3.3). Gives the value and where the quote stands.
pub(super) fn attribute_value<'a>(
    text: &'a str,
    from: usize,
    quote: u8,
    makeup: &Makeup,
) -> Result<(Cow<'a, str>, usize), XmlError> {
    let bytes = text.as_bytes().get(from..).unwrap_or_default();
    let mut len = memchr3(quote, b'<', b'&', bytes).ok_or(XmlError::Attribute)?;
    let mut plain = !makeup.control;
    if bytes.get(len) == Some(&b'&') {
        plain = false;
        len = memchr2(quote, b'<', bytes).ok_or(XmlError::Attribute)?;
    }
    if bytes.get(len) == Some(&b'<') {
        return Err(XmlError::Attribute);
    }
    let raw = text.get(from..from + len).ok_or(XmlError::Attribute)?;
    let value = if plain { Cow::Borrowed(raw) } else { normalised(raw)? };
    Ok((value, from + len))
}

fn normalised(raw: &str) -> Result<Cow<'_, str>, XmlError> {
    let special = |b: &u8| matches!(b, b'&' | b'\t' | b'\n' | b'\r');
    if !raw.as_bytes().iter().any(|b| special(b)) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.as_bytes().iter().position(|b| special(b)) {
        let (plain, tail) = rest.split_at(at);
        value.push_str(plain);
        rest = match tail.strip_prefix('&') {
            Some(tail) => {
                let (name, tail) = tail.split_once(';').ok_or(XmlError::Reference)?;
                value.push(reference(name)?);
                tail
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

/// Text without markup: references resolved, line ends made `\n`.
pub(super) fn character_data<'a>(raw: &'a str, makeup: &Makeup) -> Result<Cow<'a, str>, XmlError> {
    let Some(first) = memchr(b'&', raw.as_bytes()) else {
        return Ok(line_ends(raw, makeup));
    };
    let mut text = String::with_capacity(raw.len());
    let (plain, mut rest) = raw.split_at(first);
    text.push_str(&line_ends(plain, makeup));
    while let Some(behind) = rest.strip_prefix('&') {
        let (name, behind) = behind.split_once(';').ok_or(XmlError::Reference)?;
        text.push(reference(name)?);
        let (plain, next) = behind.split_at(memchr(b'&', behind.as_bytes()).unwrap_or(behind.len()));
        text.push_str(&line_ends(plain, makeup));
        rest = next;
    }
    Ok(Cow::Owned(text))
}
