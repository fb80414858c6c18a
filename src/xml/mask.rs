//! Stanzas without what people wrote in them, for whoever looks at the wire.
//!
//! What is hidden is replaced octet by octet, so that lengths and places stay: character data, references and
//! CDATA inside of a stanza, comments and processing instructions (which XMPP forbids), and the values of
//! attributes inside `<body/>` and `<html/>`, which XEP-0071 has links and styles in. Tags and the other
//! attributes stay as they are. What can't be read any more is hidden to its end.

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;
use std::ops::Range;

/// What stands for an octet that is not shown.
pub const HIDDEN: u8 = b'x';

/// Whether texts are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texts {
    /// As they are.
    Shown,
    /// Not.
    Hidden,
}

/// One first-level element of what was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copy {
    /// Its name, with its prefix.
    pub name: String,
    /// Its attributes of these names, if it has them.
    pub from: Option<String>,
    /// Likewise.
    pub to: Option<String>,
    /// Likewise.
    pub id: Option<String>,
    /// The whole of it.
    pub octets: Vec<u8>,
}

/// The first-level elements of `octets`, one by one.
pub fn copies(octets: &[u8], texts: Texts) -> Vec<Copy> {
    let Ok(text) = std::str::from_utf8(octets) else { return Vec::new() };
    let mut reader = Reader::from_str(text);
    reader.config_mut().allow_unmatched_ends = true;
    let mut all = Vec::new();
    let mut copy = Copy::default();
    let (mut begun, mut depth, mut hide_attrs) = (0, 0usize, None);
    let mut out = octets.to_vec();
    loop {
        let from = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        let event = reader.read_event();
        let to = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX).min(octets.len());
        let tag = from..to;
        match event {
            Ok(Event::Start(start)) => {
                if depth == 0 {
                    (copy, begun) = (head(&start), from);
                }
                if hide_attrs.is_none() && is_written_by_people(&start) {
                    hide_attrs = Some(depth);
                }
                if hide_attrs.is_some() && texts == Texts::Hidden {
                    hide_values(&mut out, tag);
                }
                depth += 1;
            }
            Ok(Event::Empty(start)) => {
                if depth == 0 {
                    (copy, begun) = (head(&start), from);
                }
                if (hide_attrs.is_some() || is_written_by_people(&start)) && texts == Texts::Hidden {
                    hide_values(&mut out, tag);
                }
                if depth == 0 {
                    all.push(finished(&mut copy, &out, begun..to));
                }
            }
            Ok(Event::End(_)) if depth == 0 => {}
            Ok(Event::End(_)) => {
                depth -= 1;
                if hide_attrs.is_some_and(|outer| outer >= depth) {
                    hide_attrs = None;
                }
                if depth == 0 {
                    all.push(finished(&mut copy, &out, begun..to));
                }
            }
            Ok(Event::Eof) => break,
            Ok(_) if texts == Texts::Shown => {}
            Ok(Event::CData(_)) => hide(&mut out, from + b"<![CDATA[".len()..to.saturating_sub(b"]]>".len())),
            Ok(Event::Comment(_)) => hide(&mut out, from + b"<!--".len()..to.saturating_sub(b"-->".len())),
            // Character data, references, and what is not XMPP.
            Ok(_) => hide(&mut out, tag),
            Err(_) => {
                if texts == Texts::Hidden {
                    hide(&mut out, from..octets.len());
                }
                break;
            }
        }
    }
    if depth > 0 {
        // Its end is missing, or something inside of it is broken.
        if texts == Texts::Hidden {
            let broken = usize::try_from(reader.error_position()).unwrap_or(usize::MAX).max(begun);
            hide(&mut out, broken.min(octets.len())..octets.len());
        }
        all.push(finished(&mut copy, &out, begun..octets.len()));
    }
    all
}

fn finished(copy: &mut Copy, out: &[u8], place: Range<usize>) -> Copy {
    Copy { octets: out.get(place).unwrap_or_default().to_vec(), ..std::mem::take(copy) }
}

fn head(start: &BytesStart<'_>) -> Copy {
    let attr = |name: &str| {
        let attr = start.try_get_attribute(name).ok().flatten()?;
        let value = attr.normalized_value(quick_xml::XmlVersion::Implicit1_0).ok()?;
        Some(value.into_owned())
    };
    let name = start.name().as_ref().to_owned();
    Copy { name, from: attr("from"), to: attr("to"), id: attr("id"), octets: Vec::new() }
}

fn is_written_by_people(start: &BytesStart<'_>) -> bool {
    matches!(start.local_name().as_ref(), "body" | "html")
}

fn hide(out: &mut [u8], place: Range<usize>) {
    if let Some(octets) = out.get_mut(place) {
        octets.fill(HIDDEN);
    }
}

/// Hides what stands between quotes in the tag at `place`, but in declarations of namespaces and `xml:lang`.
fn hide_values(out: &mut [u8], place: Range<usize>) {
    let Some(tag) = out.get_mut(place) else { return };
    let (mut quote, mut name): (Option<u8>, Vec<u8>) = (None, Vec::new());
    let mut shown = false;
    for octet in tag {
        match quote {
            Some(end) if *octet == end => {
                quote = None;
                name.clear();
            }
            Some(_) if shown => {}
            Some(_) => *octet = HIDDEN,
            None if matches!(octet, b'"' | b'\'') => {
                quote = Some(*octet);
                shown = name == b"xmlns=" || name.starts_with(b"xmlns:") || name == b"xml:lang=";
            }
            None if octet.is_ascii_whitespace() => name.clear(),
            None => name.push(*octet),
        }
    }
}

#[cfg(test)]
#[path = "tests/mask.rs"]
mod tests;
