//! Character classes of XML 1.0 (fifth edition) and of Namespaces in XML 1.0.

use memchr::{memchr, memchr_iter};

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

/// Classes of ASCII octets in names: may start an NCName, may go on with it.
const NAME: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
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

/// Whether the whole of `name` is an NCName (Namespaces in XML 1.0 §3).
pub(super) fn is_ncname(name: &str) -> bool {
    let ascii = |b: &u8| class(*b) & INNER != 0;
    match name.as_bytes() {
        [first, rest @ ..] if class(*first) & START != 0 && rest.iter().all(ascii) => true,
        _ => !name.is_ascii() && is_wide_ncname(name),
    }
}

#[cold]
fn is_wide_ncname(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(may_start) && chars.all(may_go_on)
}
