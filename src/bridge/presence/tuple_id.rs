//! The resource in the id of a tuple (RFC 8048 §6.2 note 2).
//!
//! An id is an NCName, a resource is any text. Letters, digits, `-` and `.` of ASCII stand for
//! themselves, any other octet is `_` and two hex digits, and `ID-` comes before it all. An id that
//! would be long is `ID-__` and a hash: stable, but with no way back. The bare JID is `ID-`.

use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write;

const MARK: &str = "ID-";
/// What follows the mark before a hash. Never the start of an escaped resource.
const HASHED: &str = "__";
/// Octets of an id that shows its resource.
const LENGTH_MAX: usize = 128;
/// Octets of the hash.
const HASH: usize = 16;

/// The id that stands for a resource. Two resources have two ids.
pub fn of_resource(resource: Option<&str>) -> String {
    let mut id = String::from(MARK);
    let resource = resource.unwrap_or_default();
    for octet in resource.bytes() {
        if is_plain(octet) {
            id.push(char::from(octet));
        } else {
            id.push('_');
            hex(&mut id, octet);
        }
        if id.len() > LENGTH_MAX {
            id.truncate(MARK.len());
            id.push_str(&hashed(resource));
            return id;
        }
    }
    id
}

/// The resource that an id stands for, of whoever made it: what is behind `ID-`, un-escaped if it
/// could be ours, or else as it stands. `None` stands for the bare JID.
pub fn to_resource(id: &str) -> Option<Cow<'_, str>> {
    let rest = id.strip_prefix(MARK).unwrap_or(id);
    if rest.is_empty() {
        return None;
    }
    let ours = if rest.len() < id.len() { unescaped(rest) } else { None };
    Some(ours.unwrap_or(Cow::Borrowed(rest)))
}

/// A short name for a text that can be none itself.
pub(super) fn hashed(text: &str) -> String {
    let mut name = String::from(HASHED);
    Sha256::digest(text).iter().take(HASH).for_each(|octet| hex(&mut name, *octet));
    name
}

fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.')
}

fn hex(out: &mut String, octet: u8) {
    // Writing to a string never fails.
    let _ = write!(out, "{octet:02x}");
}

/// Undoes the escapes, if all that is there is as we write it.
fn unescaped(escaped: &str) -> Option<Cow<'_, str>> {
    if escaped.bytes().all(is_plain) {
        return Some(Cow::Borrowed(escaped));
    }
    let mut octets = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes();
    loop {
        match rest {
            [] => return String::from_utf8(octets).ok().map(Cow::Owned),
            [b'_', high, low, behind @ ..] => {
                let octet = digit(*high)? << 4 | digit(*low)?;
                if is_plain(octet) {
                    return None;
                }
                octets.push(octet);
                rest = behind;
            }
            [octet, behind @ ..] if is_plain(*octet) => {
                octets.push(*octet);
                rest = behind;
            }
            [..] => return None,
        }
    }
}

fn digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'a'..=b'f' => Some(octet - b'a' + 10),
        _ => None,
    }
}
