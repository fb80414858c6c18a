//! Writing XML: escaping, and tags that can't come out crossed.
//!
//! Everything is appended to a buffer that is passed in. A character that XML 1.0 §2.2 excludes is
//! written as U+FFFD, so that whatever came over SIP never breaks a stream (RFC 6120 §11.3). Names
//! are ours, not a peer's, except in [`element`], whose names a parser has checked.

use super::chars::is_char;
use super::element::{Element, Node};
use super::ns;

/// Appends character data.
pub fn text(out: &mut Vec<u8>, text: &str) {
    let marked = |b: u8| (b < b' ') & (b != b'\t') & (b != b'\n') | (b == b'&') | (b == b'<') | (b == b'>');
    escape(out, text, marked, |b| match b {
        b'&' => Some(b"&amp;"),
        b'<' => Some(b"&lt;"),
        // `]]>` must not occur.
        b'>' => Some(b"&gt;"),
        // A literal one would be read as a line feed (XML 1.0 §2.11).
        b'\r' => Some(b"&#xD;"),
        _ => None,
    });
}

/// Appends ` name='value'`. `name` is a constant of ours.
pub fn attr(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    let marked = |b: u8| (b < b' ') | (b == b'&') | (b == b'<') | (b == b'>') | (b == b'\'') | (b == b'"');
    escape(out, value, marked, |b| match b {
        b'&' => Some(b"&amp;"),
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'\'' => Some(b"&apos;"),
        b'"' => Some(b"&quot;"),
        // Literal ones would be read as spaces (XML 1.0 §3.3.3).
        b'\t' => Some(b"&#x9;"),
        b'\n' => Some(b"&#xA;"),
        b'\r' => Some(b"&#xD;"),
        _ => None,
    });
    out.push(b'\'');
}

/// Copies `text`, but what `special` names and what XML excludes. All that may be either is `marked`, or begins
/// U+FFFE or U+FFFF.
fn escape(
    out: &mut Vec<u8>,
    text: &str,
    marked: impl Fn(u8) -> bool,
    special: impl Fn(u8) -> Option<&'static [u8]>,
) {
    out.reserve(text.len());
    let bytes = text.as_bytes();
    let looked_at = |b: &u8| marked(*b) | (*b == 0xEF);
    let (mut done, mut at) = (0, 0);
    while let Some(found) = bytes.get(at..).and_then(|rest| first(rest, looked_at)) {
        at += found;
        let (with, len): (&[u8], usize) = match bytes.get(at..).unwrap_or_default() {
            [0xEF, 0xBF, 0xBE | 0xBF, ..] => ("\u{FFFD}".as_bytes(), 3),
            [b, ..] => match special(*b) {
                Some(with) => (with, 1),
                None if *b < b' ' && !is_char(char::from(*b)) => ("\u{FFFD}".as_bytes(), 1),
                None => {
                    at += 1;
                    continue;
                }
            },
            [] => break,
        };
        out.extend_from_slice(bytes.get(done..at).unwrap_or_default());
        out.extend_from_slice(with);
        at += len;
        done = at;
    }
    out.extend_from_slice(bytes.get(done..).unwrap_or_default());
}

/// Where the first octet stands that is `looked_at`. The answers for sixteen are or-ed together, which compilers
/// turn into a few vector instructions; most texts have no such octet.
fn first(bytes: &[u8], looked_at: impl Fn(&u8) -> bool) -> Option<usize> {
    let plain = |chunk: &&[u8]| !chunk.iter().fold(false, |any, b| any | looked_at(b));
    let start = bytes.chunks(16).take_while(plain).count() * 16;
    let found = bytes.get(start..)?.iter().position(looked_at)?;
    Some(start + found)
}

/// An open start tag: takes attributes, then becomes content or an empty element.
#[must_use = "a tag has to be closed"]
#[derive(Debug)]
pub struct Tag<'o> {
    out: &'o mut Vec<u8>,
    name: &'static str,
}

/// Begins the element `name`, a constant of ours that may have a prefix the stream declares.
pub fn open<'o>(out: &'o mut Vec<u8>, name: &'static str) -> Tag<'o> {
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    Tag { out, name }
}

impl Tag<'_> {
    /// Adds ` name='value'`.
    pub fn attr(self, name: &'static str, value: &str) -> Self {
        attr(self.out, name, value);
        self
    }

    /// Adds ` name='value'`, if there is one.
    pub fn attr_opt(self, name: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    /// Declares the default namespace.
    pub fn xmlns(self, ns: &str) -> Self {
        self.attr("xmlns", ns)
    }

    /// Ends the element without content.
    pub fn empty(self) {
        self.out.extend_from_slice(b"/>");
    }

    /// Writes character data and the end tag.
    pub fn text(self, content: &str) {
        self.content(|out| text(out, content));
    }

    /// Writes what `inner` writes, then the end tag.
    pub fn content(self, inner: impl FnOnce(&mut Vec<u8>)) {
        self.out.push(b'>');
        inner(self.out);
        self.out.extend_from_slice(b"</");
        self.out.extend_from_slice(self.name.as_bytes());
        self.out.push(b'>');
    }
}

/// Appends a parsed element so that it stands by itself inside the default namespace `within`: every
/// namespace is declared where it is used, whatever the stream it came from had declared in its
/// header (RFC 6120 §4.8.5). Prefixes are not kept. Depth is that of the tree, which the parser's
/// limit bounds.
pub fn element(out: &mut Vec<u8>, element: &Element<'_>, within: &str) {
    // The one namespace that can't be made the default one (Namespaces in XML 1.0 §3).
    let (prefix, inside): (&[u8], &str) = match element.ns() {
        ns::XML => (b"xml:", within),
        own => (b"", own),
    };
    let name = [prefix, element.name().as_bytes()];
    out.push(b'<');
    name.iter().for_each(|part| out.extend_from_slice(part));
    if inside != within {
        attr(out, "xmlns", inside);
    }
    for (number, a) in element.attrs().iter().enumerate() {
        match a.ns() {
            "" => attr(out, a.name(), a.value()),
            ns::XML => attr(out, &format!("xml:{}", a.name()), a.value()),
            other => {
                // The prefix is its place in the element, so that no two meet.
                attr(out, &format!("xmlns:n{number}"), other);
                attr(out, &format!("n{number}:{}", a.name()), a.value());
            }
        }
    }
    if element.nodes().is_empty() {
        out.extend_from_slice(b"/>");
        return;
    }
    out.push(b'>');
    for node in element.nodes() {
        match node {
            Node::Element(child) => self::element(out, child, inside),
            Node::Text(content) => text(out, content),
        }
    }
    out.extend_from_slice(b"</");
    name.iter().for_each(|part| out.extend_from_slice(part));
    out.push(b'>');
}
