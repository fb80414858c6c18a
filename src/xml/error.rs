//! What can be wrong with XML, and the stream error that answers it.

use thiserror::Error;

/// The stream error conditions (RFC 6120 §4.9.3) that bad XML can lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// RFC 6120 §4.9.3.1: XML that can't be processed.
    BadFormat,
    /// RFC 6120 §4.9.3.10: the stream namespace is another one.
    InvalidNamespace,
    /// RFC 6120 §4.9.3.13: against the rules of XML or of namespaces in XML.
    NotWellFormed,
    /// RFC 6120 §4.9.3.14: a limit of ours.
    PolicyViolation,
    /// RFC 6120 §4.9.3.18: comment, processing instruction, DTD, entity reference.
    RestrictedXml,
    /// RFC 6120 §4.9.3.22: not UTF-8.
    UnsupportedEncoding,
}

impl Condition {
    /// The element name of the condition.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadFormat => "bad-format",
            Self::InvalidNamespace => "invalid-namespace",
            Self::NotWellFormed => "not-well-formed",
            Self::PolicyViolation => "policy-violation",
            Self::RestrictedXml => "restricted-xml",
            Self::UnsupportedEncoding => "unsupported-encoding",
        }
    }
}

/// Why a stanza, header or document was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum XmlError {
    /// The text does not start with a tag, or ends inside the element.
    #[error("not one whole element")]
    Truncated,
    /// Something follows the element.
    #[error("data behind the element")]
    Trailing,
    /// A character that XML 1.0 §2.2 excludes, written out or as a reference.
    #[error("character outside XML 1.0")]
    Character,
    /// An element or attribute name that is no QName.
    #[error("malformed name")]
    Name,
    /// A tag that is cut, or an end tag that does not match its start tag.
    #[error("malformed or mismatched tag")]
    Tag,
    /// Attribute syntax: no value, no quotes, `<` in a value, no space between two.
    #[error("malformed attribute")]
    Attribute,
    /// Two attributes with one name, or with one namespace and local name.
    #[error("attribute given twice")]
    DuplicateAttribute,
    /// `&` that starts no reference.
    #[error("malformed reference")]
    Reference,
    /// `]]>` in text.
    #[error("end of CDATA in text")]
    CdataEnd,
    /// A prefix without a declaration in scope.
    #[error("prefix that is not bound")]
    Unbound,
    /// A declaration that Namespaces in XML 1.0 §3 forbids: `xml` or `xmlns` bound anew, their
    /// namespaces bound to another prefix, a prefix bound to nothing.
    #[error("forbidden namespace declaration")]
    Binding,
    /// A malformed or misplaced XML declaration.
    #[error("malformed XML declaration")]
    Declaration,
    /// An entity other than the five predefined ones.
    #[error("entity reference")]
    Entity,
    /// A comment.
    #[error("comment")]
    Comment,
    /// A processing instruction.
    #[error("processing instruction")]
    Instruction,
    /// A document type declaration.
    #[error("document type declaration")]
    Doctype,
    /// Elements nested deeper than [`Limits::depth`](super::Limits::depth).
    #[error("nested too deep")]
    TooDeep,
    /// More attributes than [`Limits::attributes`](super::Limits::attributes).
    #[error("too many attributes")]
    TooManyAttributes,
    /// More nodes than [`Limits::nodes`](super::Limits::nodes).
    #[error("too many nodes")]
    TooManyNodes,
    /// More declarations than [`Limits::bindings`](super::Limits::bindings).
    #[error("too many namespace declarations")]
    TooManyBindings,
    /// The root element is in another namespace than that of streams (RFC 6120 §4.8.1).
    #[error("root element outside the stream namespace")]
    StreamNamespace,
    /// The root element is in the stream namespace, but is no `stream`.
    #[error("root element is no stream")]
    NotAStream,
}

impl XmlError {
    /// The stream error to close with.
    pub fn condition(self) -> Condition {
        match self {
            Self::Truncated
            | Self::Trailing
            | Self::Character
            | Self::Name
            | Self::Tag
            | Self::Attribute
            | Self::DuplicateAttribute
            | Self::Reference
            | Self::CdataEnd
            | Self::Unbound
            | Self::Binding
            | Self::Declaration => Condition::NotWellFormed,
            Self::Entity | Self::Comment | Self::Instruction | Self::Doctype => Condition::RestrictedXml,
            Self::TooDeep | Self::TooManyAttributes | Self::TooManyNodes | Self::TooManyBindings => {
                Condition::PolicyViolation
            }
            Self::StreamNamespace => Condition::InvalidNamespace,
            Self::NotAStream => Condition::BadFormat,
        }
    }
}

/// Why the octets of a stream can't be framed. The stream is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum FrameError {
    /// Something else than an XML declaration, white space and a tag came first.
    #[error("no stream header")]
    NoHeader,
    /// Text between two first-level elements.
    #[error("text between stanzas")]
    Stray,
    /// A malformed XML declaration, a stream close tag that does not match, `<` without a name.
    #[error("malformed markup")]
    Malformed,
    /// Comment, processing instruction or document type declaration (RFC 6120 §11.1).
    #[error("comment, processing instruction or document type")]
    Restricted,
    /// Another encoding than UTF-8, or octets that are no UTF-8 (RFC 6120 §11.6).
    #[error("not UTF-8")]
    Encoding,
    /// A header or first-level element above the limit.
    #[error("element above the size limit")]
    TooBig,
    /// Elements nested deeper than [`frame::MAX_DEPTH`](super::frame::MAX_DEPTH).
    #[error("nested too deep")]
    TooDeep,
}

impl FrameError {
    /// The stream error to close with; for [`FrameError::TooBig`] with `stanza-too-big` in it.
    pub fn condition(self) -> Condition {
        match self {
            Self::NoHeader | Self::Malformed => Condition::NotWellFormed,
            Self::Stray => Condition::BadFormat,
            Self::Restricted => Condition::RestrictedXml,
            Self::Encoding => Condition::UnsupportedEncoding,
            Self::TooBig | Self::TooDeep => Condition::PolicyViolation,
        }
    }
}
