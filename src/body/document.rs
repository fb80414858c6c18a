//! Small XML documents that stand in bodies: status messages and notifications.

use super::BodyError;
use super::charset;
use crate::xml::{self, Element};
use std::borrow::Cow;

/// Octets of a document. A real one has a few hundred.
const OCTETS: usize = 16 * 1024;
/// Nested elements, and elements and runs of text.
const BOUNDS: (usize, usize) = (12, 200);

/// The text of a document, decoded; [`root`] parses it.
///
/// # Errors
/// [`BodyError::TooLarge`], and as [`charset::text`].
pub(super) fn text<'a>(octets: &'a [u8], charset: Option<&str>) -> Result<Cow<'a, str>, BodyError> {
    if octets.len() > OCTETS {
        return Err(BodyError::TooLarge);
    }
    charset::text(octets, charset)
}

/// The root element, if it is `name` in `ns`.
///
/// # Errors
/// [`BodyError::Malformed`] for what is no XML, and [`BodyError::UnsupportedType`] for another document.
pub(super) fn root<'t>(text: &'t str, name: &str, ns: &str) -> Result<Element<'t>, BodyError> {
    let limits = xml::Limits { depth: BOUNDS.0, nodes: BOUNDS.1, ..xml::Limits::default() };
    let root = xml::document(text, &limits).map_err(|_| BodyError::Malformed)?;
    if root.is(name, ns) { Ok(root) } else { Err(BodyError::UnsupportedType) }
}

/// The trimmed text of an element.
pub(super) fn value(element: &Element<'_>) -> String {
    element.text().trim().to_owned()
}
