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
    let class = |b: u8| NAME.get(usize::from(b)).copied().unwrap_or(0);
    let bytes = text.as_bytes();
    let ascii = bytes.iter().position(|&b| class(b) & INNER == 0).unwrap_or(bytes.len());
    if bytes.get(ascii).is_some_and(|b| !b.is_ascii()) {
        let mut chars = text.char_indices();
        return match chars.next() {
            Some((_, first)) if may_start(first) => {
                chars.find(|&(_, c)| !may_go_on(c)).map_or(text.len(), |(at, _)| at)
            }
            _ => 0,
        };
    }
    match bytes.first() {
        Some(&first) if class(first) & START != 0 => ascii,
        _ => 0,
    }
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

/// Reads an attribute's value up to its closing `quote`: references resolved, white space made
/// spaces (XML 1.0 §3.3.3). Gives the value and the text behind the quote.
pub(super) fn attribute_value<'a>(
    text: &'a str,
    quote: u8,
    makeup: &Makeup,
) -> Result<(Cow<'a, str>, &'a str), XmlError> {
    let bytes = text.as_bytes();
    let mut end = memchr3(quote, b'<', b'&', bytes).ok_or(XmlError::Attribute)?;
    let mut plain = !makeup.control;
    if bytes.get(end) == Some(&b'&') {
        plain = false;
        end = memchr2(quote, b'<', bytes).ok_or(XmlError::Attribute)?;
    }
    if bytes.get(end) == Some(&b'<') {
        return Err(XmlError::Attribute);
    }
    let (raw, behind) = text.split_at_checked(end).ok_or(XmlError::Attribute)?;
    let value = if plain { Cow::Borrowed(raw) } else { normalised(raw)? };
    Ok((value, behind.get(1..).unwrap_or_default()))
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
