//! Tests of the room as a whole.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod framing;
mod header;
mod oracle;
mod parsing;
mod writing;

use super::{Element, Limits, Scope, XmlError, parse};

/// Parses inside the usual header between servers.
fn stanza(text: &str) -> Result<Element<'_>, XmlError> {
    parse(text, &Scope::server(), &Limits::default())
}
