//! XML as XMPP uses it: framing of a stream, parsing of one stanza, writing. All input is hostile.
//!
//! | file | owns |
//! |---|---|
//! | [`frame`] | [`frame::Framer`]: cuts the octets of a stream into header, stanzas and close, within limits |
//! | [`parse`](fn@parse) | one whole stanza → a borrowed tree, every rule of XML 1.0 and XML names checked |
//! | [`open`] | the stream header and the [`Scope`] that its stanzas inherit |
//! | [`element`] | [`Element`], [`Node`], [`Attr`]: the tree |
//! | [`scope`] | namespace bindings |
//! | [`tree`] | [`Tree`]: an element that owns its text |
//! | [`write`](mod@write) | escaping writers; [`write::element`] copies a tree with its namespaces declared again |
//! | [`error`] | [`XmlError`], [`FrameError`] and the stream error [`Condition`] of each |
//! | [`mask`] | stanzas without what people wrote in them |
//! | [`ns`] | namespace names |
//!
//! A stanza is parsed only when all of it is there: quick-xml reads one from a `&str`, and never
//! waits for input inside one. It is lenient, so [`parse`](fn@parse) checks what it leaves out.
//! Comments, processing instructions, document types and entities are never accepted from a stream
//! (RFC 6120 §11.1), so nothing is expanded or fetched. The tests hold the parser against rxml,
//! another parser of other people, which is strict.
//!
//! This room has no I/O, no clock and no state but the framer's buffer.

mod chars;
mod declaration;
pub mod element;
pub mod error;
pub mod frame;
pub mod mask;
pub mod open;
pub mod parse;
pub mod scope;
pub mod tree;
pub mod write;

#[cfg(test)]
mod tests;

pub use element::{Attr, Element, Node};
pub use error::{Condition, FrameError, XmlError};
pub use open::{Open, parse_open};
pub use parse::{document, parse};
pub use scope::Scope;
pub use tree::Tree;

/// Bounds of one element tree. What exceeds them is a `policy-violation`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Nested elements, the stanza itself included. The default is 32. Dropping and writing a tree
    /// recurse that deep, so thousands are too many.
    pub depth: usize,
    /// Attributes and namespace declarations of one element. The default is 64.
    pub attributes: usize,
    /// Elements and runs of text in the tree. The default is 2000.
    pub nodes: usize,
    /// Namespace declarations in force at any point, the stream header's not counted. The default
    /// is 32.
    pub bindings: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { depth: frame::MAX_DEPTH, attributes: 64, nodes: 2000, bindings: 32 }
    }
}

/// Namespace names that the framing and the stream header need.
pub mod ns {
    /// Streams (RFC 6120 §4.8.1).
    pub const STREAMS: &str = "http://etherx.jabber.org/streams";
    /// Content between servers (RFC 6120 §4.8.3).
    pub const SERVER: &str = "jabber:server";
    /// Content between client and server (RFC 6120 §4.8.3); never sent or accepted by stoxd.
    pub const CLIENT: &str = "jabber:client";
    /// Server Dialback (XEP-0220).
    pub const DIALBACK: &str = "jabber:server:dialback";
    /// What the prefix `xml` is bound to.
    pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
    /// What the prefix `xmlns` is bound to.
    pub const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
}
