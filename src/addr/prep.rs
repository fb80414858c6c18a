//! Preparation of localparts and resourceparts: PRECIS, with one look at the octets for plain ASCII.
//!
//! Localparts follow UsernameCaseMapped (RFC 8265 §3.3) without the characters of RFC 7622 §3.3.1;
//! resourceparts follow OpaqueString (RFC 8265 §4.2). Rules are applied until the text is stable
//! (RFC 8264 §7), so that a canonical text stays what it is; what does not settle is refused.

use super::domain::Shape;
use super::{AddrError, PART_MAX, Part};
use precis_profiles::precis_core::profile::{Profile, Rules, stabilize};
use precis_profiles::precis_core::{DerivedPropertyValue, FreeformClass, StringClass};
use precis_profiles::{OpaqueString, UsernameCaseMapped};
use std::borrow::Cow;

/// Octets before preparation: mapping full-width letters to ASCII divides by three.
const RAW_MAX: usize = 3 * PART_MAX;
/// Characters whose rule looks along the whole text (RFC 5892 appendix A): more of them in one part
/// than any name has would make preparation quadratic.
const CONTEXT_MAX: usize = 64;

/// May stand in a localpart.
const LOCAL: u8 = 1;
/// May stand in a localpart once lower-cased.
const UPPER: u8 = 2;
/// May stand in a resourcepart.
const RESOURCE: u8 = 4;

/// What each ASCII octet may do; nothing for the others.
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut octet = 0x20;
    while octet < 0x7f {
        class[octet] = match octet as u8 {
            b' ' | b'"' | b'&' | b'\'' | b'/' | b':' | b'<' | b'>' | b'@' => RESOURCE,
            b'A'..=b'Z' => UPPER | RESOURCE,
            _ => LOCAL | RESOURCE,
        };
        octet += 1;
    }
    class
};

/// Looks at a localpart.
pub(super) fn local_shape(text: &str) -> Shape {
    let mut upper = false;
    for &octet in text.as_bytes() {
        match CLASS[usize::from(octet)] & (LOCAL | UPPER) {
            LOCAL => {}
            UPPER => upper = true,
            _ => return Shape::Unclear,
        }
    }
    match (text.is_empty() || text.len() > PART_MAX, upper) {
        (true, _) => Shape::Unclear,
        (false, true) => Shape::UpperCase,
        (false, false) => Shape::Canonical,
    }
}

/// Whether a resourcepart is plain ASCII and canonical.
pub(super) fn resource_is_plain(text: &str) -> bool {
    let first = text.as_bytes().first();
    first.is_some_and(|octet| *octet != b' ')
        && text.len() <= PART_MAX
        && text.bytes().all(|octet| CLASS[usize::from(octet)] & RESOURCE != 0)
}

/// A localpart in canonical form.
pub(super) fn local(text: &str) -> Result<Cow<'_, str>, AddrError> {
    match local_shape(text) {
        Shape::Canonical => Ok(Cow::Borrowed(text)),
        Shape::UpperCase => Ok(Cow::Owned(text.to_ascii_lowercase())),
        Shape::Unclear => {
            bounded(text, Part::Local)?;
            let profile = UsernameCaseMapped::new();
            let local = stabilize(text, |text| profile.enforce(text))
                .map_err(|_| AddrError::Forbidden(Part::Local))?;
            let excluded = |octet: u8| octet.is_ascii() && CLASS[usize::from(octet)] & LOCAL == 0;
            if local.bytes().any(excluded) {
                return Err(AddrError::Forbidden(Part::Local));
            }
            fits(local, Part::Local)
        }
    }
}

/// A user part with the mappings of a localpart done and no check made: width, case and NFC, until
/// the text is stable. It may hold what a localpart may not; escaping comes next.
pub(super) fn map_local(text: &str) -> Result<Cow<'_, str>, AddrError> {
    bounded(text, Part::Local)?;
    let profile = UsernameCaseMapped::new();
    stabilize(text, |text| {
        profile.normalization_rule(profile.case_mapping_rule(profile.width_mapping_rule(text)?)?)
    })
    .map_err(|_| AddrError::Forbidden(Part::Local))
}

/// A resourcepart in canonical form.
///
/// A leading space is refused, as in RFC 7622 §3.5 example 18.
pub(super) fn resource(text: &str) -> Result<Cow<'_, str>, AddrError> {
    if resource_is_plain(text) {
        return Ok(Cow::Borrowed(text));
    }
    bounded(text, Part::Resource)?;
    let forbidden = AddrError::Forbidden(Part::Resource);
    let profile = OpaqueString::new();
    let resource = stabilize(text, |text| {
        // DEVIATES RFC 8265 §4.2: letters and pictographs that Unicode 6.3 had not assigned are
        // allowed, because the tables at hand are of 6.3 and devices are named with newer emoji.
        if text.contains(is_newer) {
            profile.prepare(text.replace(is_newer, "x"))?;
        } else {
            profile.prepare(text)?;
        }
        profile.normalization_rule(profile.additional_mapping_rule(text)?)
    })
    .map_err(|_| forbidden)?;
    if resource.starts_with(' ') {
        return Err(forbidden);
    }
    fits(resource, Part::Resource)
}

/// A letter, digit or pictograph of a newer Unicode than the PRECIS tables are made from.
fn is_newer(c: char) -> bool {
    (matches!(c, '\u{1f000}'..='\u{1fbff}') || c.is_alphanumeric())
        && FreeformClass::default().get_value_from_char(c) == DerivedPropertyValue::Unassigned
}

fn bounded(text: &str, part: Part) -> Result<(), AddrError> {
    match text.len() {
        0 => Err(AddrError::Empty(part)),
        1..=RAW_MAX => {
            let context = text.chars().filter(has_context_rule).count();
            if context > CONTEXT_MAX { Err(AddrError::Forbidden(part)) } else { Ok(()) }
        }
        _ => Err(AddrError::TooLong(part)),
    }
}

/// The characters of RFC 5892 appendix A, and U+0387 and U+FF65, which are mapped to two of them.
fn has_context_rule(c: &char) -> bool {
    matches!(
        c,
        '\u{b7}'
            | '\u{375}'
            | '\u{387}'
            | '\u{5f3}'
            | '\u{5f4}'
            | '\u{660}'..='\u{669}'
            | '\u{6f0}'..='\u{6f9}'
            | '\u{200c}'
            | '\u{200d}'
            | '\u{30fb}'
            | '\u{ff65}'
    )
}

fn fits(text: Cow<'_, str>, part: Part) -> Result<Cow<'_, str>, AddrError> {
    if text.len() > PART_MAX { Err(AddrError::TooLong(part)) } else { Ok(text) }
}
