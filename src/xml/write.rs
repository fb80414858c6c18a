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
    escape(out, text, |b| match b {
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
    escape(out, value, |b| match b {
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

/// Copies `text`, but what `special` names and what XML excludes.
fn escape(out: &mut Vec<u8>, text: &str, special: impl Fn(u8) -> Option<&'static [u8]>) {
    out.reserve(text.len());
    let bytes = text.as_bytes();
    let mut done = 0;
    for (at, &b) in bytes.iter().enumerate() {
        let (with, len): (&[u8], usize) = match special(b) {
            Some(with) => (with, 1),
            None if b < b' ' && !is_char(char::from(b)) => ("\u{FFFD}".as_bytes(), 1),
            // U+FFFE and U+FFFF.
            None if b == 0xEF && matches!(bytes.get(at + 1..at + 3), Some([0xBF, 0xBE | 0xBF])) => {
                ("\u{FFFD}".as_bytes(), 3)
            }
            None => continue,
        };
        out.extend_from_slice(bytes.get(done..at).unwrap_or_default());
        out.extend_from_slice(with);
        done = at + len;
    }
    out.extend_from_slice(bytes.get(done..).unwrap_or_default());
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
    out.push(b'<');
    out.extend_from_slice(element.name().as_bytes());
    if element.ns() != within {
        attr(out, "xmlns", element.ns());
    }
    for (number, a) in element.attrs().iter().enumerate() {
        match a.ns() {
            "" => attr(out, a.name(), a.value()),
            ns::XML => attr(out, &format!("xml:{}", a.name()), a.value()),
            other => {
                // The prefix is its place in the element, so that no two meet.
                let prefix = format!("n{number}");
                attr(out, &format!("xmlns:{prefix}"), other);
                attr(out, &format!("{prefix}:{}", a.name()), a.value());
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
            Node::Element(child) => self::element(out, child, element.ns()),
            Node::Text(content) => text(out, content),
        }
    }
    out.extend_from_slice(b"</");
    out.extend_from_slice(element.name().as_bytes());
    out.push(b'>');
}
