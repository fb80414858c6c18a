//! Stream headers and features (RFC 6120 §4.2, §4.3.2, §4.7), out and in.

use crate::xml::{self, Element, Open};
use crate::xmpp::error::StreamCondition;
use crate::xmpp::ns;
use crate::xmpp::sasl;

/// The protocol version of a header (RFC 6120 §4.7.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// Absent or 0.x: no features, so neither STARTTLS nor SASL.
    Legacy,
    /// 1.0 or more.
    Modern,
}

/// Whether a header says that dialback is spoken (XEP-0220 §2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialback {
    Declared,
    Silent,
}

/// Everything that a header of ours says.
pub(super) struct Header<'a> {
    pub(super) from: &'a str,
    pub(super) to: Option<&'a str>,
    /// Of a response header alone.
    pub(super) id: Option<&'a str>,
    pub(super) version: Version,
}

impl Header<'_> {
    /// Appends the XML declaration and the header.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        // The prefix `db` is declared whatever the terms: a further pair may be under other terms, and
        // an undeclared prefix would break the stream.
        out.extend_from_slice(
            b"<?xml version='1.0'?><stream:stream xmlns='jabber:server' \
              xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback'",
        );
        if let Some(id) = self.id {
            xml::write::attr(out, "id", id);
        }
        xml::write::attr(out, "from", self.from);
        if let Some(to) = self.to {
            xml::write::attr(out, "to", to);
        }
        // A peer without a version gets none (RFC 6120 §4.7.5 rule 4).
        match self.version {
            Version::Legacy => out.extend_from_slice(b" xml:lang='en'>"),
            Version::Modern => out.extend_from_slice(b" xml:lang='en' version='1.0'>"),
        }
    }
}

/// Checks the namespaces and prefixes of a peer's header (RFC 6120 §4.8).
///
/// # Errors
/// `bad-namespace-prefix` and `invalid-namespace`.
pub(super) fn check_namespaces(open: &Open<'_>) -> Result<(), StreamCondition> {
    if open.prefix() != "stream" {
        return Err(StreamCondition::BadNamespacePrefix);
    }
    if open.default_ns() != xml::ns::SERVER {
        return Err(StreamCondition::InvalidNamespace);
    }
    Ok(())
}

/// Reads a version: numbers are compared, not strings (RFC 6120 §4.7.5).
///
/// # Errors
/// `unsupported-version` for what is no pair of numbers.
pub(super) fn version(text: Option<&str>) -> Result<Version, StreamCondition> {
    let Some(text) = text else { return Ok(Version::Legacy) };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (major, minor) = text.split_once('.').ok_or(StreamCondition::UnsupportedVersion)?;
    if !digits(major) || !digits(minor) {
        return Err(StreamCondition::UnsupportedVersion);
    }
    Ok(if major.bytes().all(|b| b == b'0') { Version::Legacy } else { Version::Modern })
}

/// STARTTLS in the features that we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfferTls {
    No,
    Optional,
    Required,
}

/// The features that we send; `stream` decides which, this only writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) tls: OfferTls,
    pub(super) external: bool,
    pub(super) dialback: bool,
}

impl Offer {
    /// Appends `<stream:features/>`.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<stream:features>");
        match self.tls {
            OfferTls::No => {}
            OfferTls::Optional => {
                out.extend_from_slice(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
            }
            OfferTls::Required => out.extend_from_slice(
                b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>",
            ),
        }
        if self.external {
            out.extend_from_slice(
                b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                  <mechanism>EXTERNAL</mechanism></mechanisms>",
            );
        }
        if self.dialback {
            out.extend_from_slice(b"<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>");
        }
        out.extend_from_slice(b"</stream:features>");
    }
}

/// What a peer's features offer us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) tls: OfferTls,
    pub(super) external: bool,
    pub(super) dialback: bool,
}

impl Offered {
    /// Reads `<stream:features/>`; what it does not know it passes over.
    pub(super) fn read(features: &Element<'_>) -> Self {
        let tls = match features.child("starttls", ns::TLS) {
            None => OfferTls::No,
            Some(starttls) if starttls.child("required", ns::TLS).is_some() => OfferTls::Required,
            Some(_) => OfferTls::Optional,
        };
        let external = features.child("mechanisms", ns::SASL).is_some_and(|mechanisms| {
            mechanisms
                .children()
                .any(|child| child.is("mechanism", ns::SASL) && child.text().trim() == sasl::EXTERNAL)
        });
        Self { tls, external, dialback: features.child("dialback", ns::DIALBACK_FEATURE).is_some() }
    }
}
