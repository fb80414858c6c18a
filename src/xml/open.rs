//! The stream header (RFC 6120 §4.7, §4.8).

use super::element::Element;
use super::parse::open_tag;
use super::scope::Scope;
use super::{XmlError, ns};

/// A stream header: what the peer says of the stream, and what its stanzas inherit.
#[derive(Clone, Debug)]
pub struct Open<'a> {
    element: Element<'a>,
    scope: Scope,
}

/// Parses the tag `<stream:stream …>`, which has no end tag yet.
///
/// # Errors
/// [`XmlError::StreamNamespace`] and [`XmlError::NotAStream`] for another root element, else as
/// [`parse`](super::parse()).
pub fn parse_open(text: &str) -> Result<Open<'_>, XmlError> {
    let (element, scope) = open_tag(text)?;
    if element.ns() != ns::STREAMS {
        return Err(XmlError::StreamNamespace);
    }
    if element.name() != "stream" {
        return Err(XmlError::NotAStream);
    }
    Ok(Open { element, scope })
}

impl Open<'_> {
    /// The attribute `to` (RFC 6120 §4.7.2).
    pub fn to(&self) -> Option<&str> {
        self.element.attr("to")
    }

    /// The attribute `from` (RFC 6120 §4.7.1).
    pub fn from(&self) -> Option<&str> {
        self.element.attr("from")
    }

    /// The attribute `id` (RFC 6120 §4.7.3).
    pub fn id(&self) -> Option<&str> {
        self.element.attr("id")
    }

    /// The attribute `version` (RFC 6120 §4.7.5).
    pub fn version(&self) -> Option<&str> {
        self.element.attr("version")
    }

    /// The attribute `xml:lang` (RFC 6120 §4.7.4): the default of what follows.
    pub fn lang(&self) -> Option<&str> {
        self.element.lang()
    }

    /// The default namespace; the stream's own if the peer uses no prefix for it
    /// (RFC 6120 §4.8.2, "prefix-free canonicalization"), "" if there is none.
    pub fn default_ns(&self) -> &str {
        self.scope.lookup("").unwrap_or_default()
    }

    /// The prefix of the stream namespace, "" if it is the default (RFC 6120 §4.8.5).
    pub fn prefix(&self) -> &str {
        self.element.prefix()
    }

    /// Whether the prefix `db` stands for dialback, as XEP-0220 §2.2 wants it declared.
    pub fn has_dialback(&self) -> bool {
        self.scope.lookup("db") == Some(ns::DIALBACK)
    }

    /// What the stanzas of the stream inherit.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// As [`Open::scope`], to keep.
    pub fn into_scope(self) -> Scope {
        self.scope
    }
}
