//! Stream errors (RFC 6120 §4.9): the end of a stream, with its reason.

use crate::addr::Clean;
use crate::xml::{self, Element};
use crate::xmpp::ns;
use std::borrow::Cow;
use std::fmt;

/// The longest text of a peer's error that we keep, in octets.
const TEXT_MAX: usize = 512;

macro_rules! stream_conditions {
    ($($(#[$doc:meta])* $name:ident = $wire:literal,)*) => {
        /// The defined stream error conditions (RFC 6120 §4.9.3).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum StreamCondition {
            $($(#[$doc])* $name,)*
        }

        impl StreamCondition {
            /// Every condition, in the order of the RFC.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The element name of the condition.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $wire,)*
                }
            }

            /// The condition with that element name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($wire => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

stream_conditions! {
    /// §4.9.3.1: XML that can't be processed.
    BadFormat = "bad-format",
    /// §4.9.3.2: a namespace prefix that is unsupported or absent.
    BadNamespacePrefix = "bad-namespace-prefix",
    /// §4.9.3.3: another stream takes the place of this one.
    Conflict = "conflict",
    /// §4.9.3.4: the peer did not react in time.
    ConnectionTimeout = "connection-timeout",
    /// §4.9.3.5: `to` is a domain that is no longer served.
    HostGone = "host-gone",
    /// §4.9.3.6: `to` is no domain of the receiving server.
    HostUnknown = "host-unknown",
    /// §4.9.3.7: `to` or `from` is missing or malformed.
    ImproperAddressing = "improper-addressing",
    /// §4.9.3.8: the server's own fault.
    InternalServerError = "internal-server-error",
    /// §4.9.3.9: `from` is not of a domain that the stream has proven.
    InvalidFrom = "invalid-from",
    /// §4.9.3.10: another stream or content namespace.
    InvalidNamespace = "invalid-namespace",
    /// §4.9.3.11: XML that does not validate.
    InvalidXml = "invalid-xml",
    /// §4.9.3.12: stanzas before authentication.
    NotAuthorized = "not-authorized",
    /// §4.9.3.13: XML that is not well-formed.
    NotWellFormed = "not-well-formed",
    /// §4.9.3.14: against a local policy, such as a size.
    PolicyViolation = "policy-violation",
    /// §4.9.3.15: a server that is needed for authentication can't be reached.
    RemoteConnectionFailed = "remote-connection-failed",
    /// §4.9.3.16: the stream must be made anew, as after a certificate's expiry.
    Reset = "reset",
    /// §4.9.3.17: too little of some resource.
    ResourceConstraint = "resource-constraint",
    /// §4.9.3.18: comment, processing instruction, DTD or entity reference.
    RestrictedXml = "restricted-xml",
    /// §4.9.3.19: another host serves this domain.
    SeeOtherHost = "see-other-host",
    /// §4.9.3.20: the server shuts down.
    SystemShutdown = "system-shutdown",
    /// §4.9.3.21: none of the others, and what a condition that we don't know counts as.
    UndefinedCondition = "undefined-condition",
    /// §4.9.3.22: not UTF-8.
    UnsupportedEncoding = "unsupported-encoding",
    /// §4.9.3.23: a mandatory stream feature that the initiating server does not have.
    UnsupportedFeature = "unsupported-feature",
    /// §4.9.3.24: a first-level element that the server does not know.
    UnsupportedStanzaType = "unsupported-stanza-type",
    /// §4.9.3.25: a version of XMPP that the server does not speak.
    UnsupportedVersion = "unsupported-version",
}

impl fmt::Display for StreamCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<xml::Condition> for StreamCondition {
    fn from(condition: xml::Condition) -> Self {
        match condition {
            xml::Condition::BadFormat => Self::BadFormat,
            xml::Condition::InvalidNamespace => Self::InvalidNamespace,
            xml::Condition::NotWellFormed => Self::NotWellFormed,
            xml::Condition::PolicyViolation => Self::PolicyViolation,
            xml::Condition::RestrictedXml => Self::RestrictedXml,
            xml::Condition::UnsupportedEncoding => Self::UnsupportedEncoding,
        }
    }
}

/// Whether a `policy-violation` says that a stanza was too big (RFC 6120 §4.9.3.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooBig {
    /// `<stanza-too-big xmlns='urn:xmpp:errors'/>` stands beside the condition.
    Yes,
    /// It does not.
    No,
}

/// A stream error: condition, and a text for the other side's operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// What is wrong.
    pub condition: StreamCondition,
    /// In words; from a peer at most 512 octets, and never to be shown to users (RFC 6120 §4.9.2).
    pub text: Option<Cow<'static, str>>,
    /// Whether the application-specific `stanza-too-big` goes with it.
    pub too_big: TooBig,
}

impl From<StreamCondition> for StreamError {
    fn from(condition: StreamCondition) -> Self {
        Self { condition, text: None, too_big: TooBig::No }
    }
}

impl From<xml::XmlError> for StreamError {
    fn from(error: xml::XmlError) -> Self {
        Self::from(StreamCondition::from(error.condition()))
    }
}

impl From<xml::FrameError> for StreamError {
    fn from(error: xml::FrameError) -> Self {
        let too_big = if error == xml::FrameError::TooBig { TooBig::Yes } else { TooBig::No };
        Self { too_big, ..Self::from(StreamCondition::from(error.condition())) }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.condition.name())?;
        // From a peer it may hold what a terminal obeys.
        self.text.as_ref().map_or(Ok(()), |text| write!(f, ": {}", Clean(text)))
    }
}

impl StreamError {
    /// The condition with a text.
    pub fn with_text(condition: StreamCondition, text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: Some(text.into()), ..Self::from(condition) }
    }

    /// Appends `<stream:error>`; the close tag is the caller's.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<stream:error><");
        out.extend_from_slice(self.condition.name().as_bytes());
        out.extend_from_slice(b" xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>");
        if let Some(text) = &self.text {
            out.extend_from_slice(b"<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>");
            xml::write::text(out, text);
            out.extend_from_slice(b"</text>");
        }
        if self.too_big == TooBig::Yes {
            out.extend_from_slice(b"<stanza-too-big xmlns='urn:xmpp:errors'/>");
        }
        out.extend_from_slice(b"</stream:error>");
    }

    /// Reads a peer's `<stream:error>`. A condition that is absent or unknown counts as
    /// `undefined-condition` (RFC 6120 §4.9.2).
    pub fn read(element: &Element<'_>) -> Self {
        let condition = element
            .children()
            .filter(|child| child.ns() == ns::STREAM_ERRORS)
            .find_map(|child| StreamCondition::from_name(child.name()))
            .unwrap_or(StreamCondition::UndefinedCondition);
        let text = element.child("text", ns::STREAM_ERRORS).map(|text| text.text());
        let too_big = match element.child("stanza-too-big", ns::ERRORS) {
            Some(_) => TooBig::Yes,
            None => TooBig::No,
        };
        Self { condition, text: text.map(|text| Cow::Owned(clipped(&text).to_owned())), too_big }
    }
}

/// The first 512 octets of `text`, cut between two characters.
fn clipped(text: &str) -> &str {
    let end = (0..=TEXT_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::xml::{Limits, Scope};

    fn round_trip(error: &StreamError) -> StreamError {
        let mut out = Vec::new();
        error.write(&mut out);
        let text = String::from_utf8(out).unwrap();
        StreamError::read(&xml::parse(&text, &Scope::server(), &Limits::default()).unwrap())
    }

    #[test]
    fn every_condition_is_read_as_it_was_written() {
        assert_eq!(StreamCondition::ALL.len(), 25);
        for condition in StreamCondition::ALL {
            assert_eq!(StreamCondition::from_name(condition.name()), Some(*condition));
            let error =
                StreamError { too_big: TooBig::Yes, ..StreamError::with_text(*condition, "<why> & how") };
            assert_eq!(round_trip(&error), error);
            assert_eq!(round_trip(&StreamError::from(*condition)), StreamError::from(*condition));
        }
    }

    #[test]
    fn an_unknown_condition_is_undefined_and_a_long_text_is_cut() {
        let text = "ü".repeat(400);
        let source = format!(
            "<stream:error><new xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><reset xmlns='urn:x'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>x{text}</text></stream:error>"
        );
        let error = StreamError::read(&xml::parse(&source, &Scope::server(), &Limits::default()).unwrap());
        assert_eq!(error.condition, StreamCondition::UndefinedCondition);
        assert_eq!(error.text.unwrap().len(), 511);
    }
}
