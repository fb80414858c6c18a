//! SASL between servers (RFC 6120 §6, XEP-0178): EXTERNAL, nothing else.
//!
//! The certificate has been judged when `<auth/>` comes. All that is left is the authorization
//! identity: absent, empty or exactly the domain in the stream header's `from`.

use crate::addr::Domain;
use crate::xml::Element;
use crate::xmpp::ns;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// Failures that one stream may collect before it is closed with `policy-violation`
/// (RFC 6120 §6.4.5: at least 2 tries, no more than 5).
pub const FAILURES_MAX: u8 = 5;

/// The mechanism that we offer and use.
pub const EXTERNAL: &str = "EXTERNAL";

macro_rules! sasl_conditions {
    ($($(#[$doc:meta])* $name:ident = $wire:literal,)*) => {
        /// The SASL error conditions (RFC 6120 §6.5).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum SaslCondition {
            $($(#[$doc])* $name,)*
        }

        impl SaslCondition {
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

sasl_conditions! {
    /// §6.5.1: the initiating server gave up.
    Aborted = "aborted",
    /// §6.5.2: the account is disabled.
    AccountDisabled = "account-disabled",
    /// §6.5.3: the credentials are no longer valid.
    CredentialsExpired = "credentials-expired",
    /// §6.5.4: TLS first.
    EncryptionRequired = "encryption-required",
    /// §6.5.5: the base64 is wrong.
    IncorrectEncoding = "incorrect-encoding",
    /// §6.5.6: an authorization identity that is malformed or not the sender's.
    InvalidAuthzid = "invalid-authzid",
    /// §6.5.7: a mechanism that was not offered.
    InvalidMechanism = "invalid-mechanism",
    /// §6.5.8: the request violates the mechanism's syntax.
    MalformedRequest = "malformed-request",
    /// §6.5.9: the mechanism is too weak.
    MechanismTooWeak = "mechanism-too-weak",
    /// §6.5.10: wrong credentials, and what a condition that we don't know counts as.
    NotAuthorized = "not-authorized",
    /// §6.5.11: the server can't tell for now.
    TemporaryAuthFailure = "temporary-auth-failure",
}

impl fmt::Display for SaslCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Appends `<auth/>` for EXTERNAL with our domain as authorization identity.
// DEVIATES RFC 6120 §6.3.8: an identity that is one's own is not to be sent, because older peers
// rely on it (XEP-0178 §3).
pub(super) fn write_auth(out: &mut Vec<u8>, domain: &str) {
    out.extend_from_slice(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>");
    out.extend_from_slice(STANDARD.encode(domain).as_bytes());
    out.extend_from_slice(b"</auth>");
}

/// Appends `<success/>`.
pub(super) fn write_success(out: &mut Vec<u8>) {
    out.extend_from_slice(b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
}

/// Appends `<failure/>`.
pub(super) fn write_failure(out: &mut Vec<u8>, condition: SaslCondition) {
    out.extend_from_slice(b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><");
    out.extend_from_slice(condition.name().as_bytes());
    out.extend_from_slice(b"/></failure>");
}

/// The condition in a peer's `<failure/>` (RFC 6120 §6.5).
pub(super) fn read_failure(failure: &Element<'_>) -> SaslCondition {
    failure
        .children()
        .filter(|child| child.ns() == ns::SASL)
        .find_map(|child| SaslCondition::from_name(child.name()))
        .unwrap_or(SaslCondition::NotAuthorized)
}

/// Judges the mechanism and the initial response of `<auth/>` against the sender domain.
///
/// # Errors
/// [`SaslCondition::InvalidMechanism`], [`SaslCondition::MalformedRequest`] for an element inside,
/// [`SaslCondition::IncorrectEncoding`] for what is no canonical base64 (RFC 4648 §4, no white space),
/// [`SaslCondition::InvalidAuthzid`] for another identity than `from`.
pub(super) fn judge(auth: &Element<'_>, from: &Domain) -> Result<(), SaslCondition> {
    if auth.attr("mechanism") != Some(EXTERNAL) {
        return Err(SaslCondition::InvalidMechanism);
    }
    if auth.children().next().is_some() {
        return Err(SaslCondition::MalformedRequest);
    }
    let text = auth.text();
    // No response at all would call for an empty challenge; a peer that has nothing to say means
    // the same as "=", so it gets its answer at once.
    if matches!(&*text, "" | "=") {
        return Ok(());
    }
    let octets = STANDARD.decode(text.as_bytes()).map_err(|_| SaslCondition::IncorrectEncoding)?;
    let authzid = std::str::from_utf8(&octets).map_err(|_| SaslCondition::InvalidAuthzid)?;
    // Its two plain spellings and no other: what preparation would map to it is another string here.
    let same = authzid == from.as_str() || authzid.eq_ignore_ascii_case(&from.to_ascii());
    if same { Ok(()) } else { Err(SaslCondition::InvalidAuthzid) }
}
