//! Stanza errors (RFC 6120 §8.3): what goes back to the sender of one stanza.

use crate::xml::{self, Element};
use crate::xmpp::ns;
use std::borrow::Cow;
use std::fmt;

/// What the sender of a stanza in error can do about it (RFC 6120 §8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// Try again with credentials.
    Auth,
    /// Don't try again.
    Cancel,
    /// It was only a warning.
    Continue,
    /// Try again with something else.
    Modify,
    /// Try again later.
    Wait,
}

impl ErrorType {
    /// The value of the attribute `type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }

    /// The type with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "auth" => Some(Self::Auth),
            "cancel" => Some(Self::Cancel),
            "continue" => Some(Self::Continue),
            "modify" => Some(Self::Modify),
            "wait" => Some(Self::Wait),
            _ => None,
        }
    }
}

macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident = $wire:literal, $type:ident;)*) => {
        /// The defined stanza error conditions (RFC 6120 §8.3.3).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Condition {
            $($(#[$doc])* $name,)*
        }

        impl Condition {
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

            /// The error type that goes with the condition unless there is a reason for another.
            pub const fn default_type(self) -> ErrorType {
                match self {
                    $(Self::$name => ErrorType::$type,)*
                }
            }
        }
    };
}

conditions! {
    /// §8.3.3.1: malformed, or against a schema.
    BadRequest = "bad-request", Modify;
    /// §8.3.3.2: there is one already.
    Conflict = "conflict", Cancel;
    /// §8.3.3.3: understood, but not built.
    FeatureNotImplemented = "feature-not-implemented", Cancel;
    /// §8.3.3.4: the sender may not.
    Forbidden = "forbidden", Auth;
    /// §8.3.3.5: the address is no more; a new one may be named.
    Gone = "gone", Cancel;
    /// §8.3.3.6: the server's own fault.
    InternalServerError = "internal-server-error", Cancel;
    /// §8.3.3.7: no such address or item.
    ItemNotFound = "item-not-found", Cancel;
    /// §8.3.3.8: an address that is none.
    JidMalformed = "jid-malformed", Modify;
    /// §8.3.3.9: not by the recipient's criteria.
    NotAcceptable = "not-acceptable", Modify;
    /// §8.3.3.10: nobody may.
    NotAllowed = "not-allowed", Cancel;
    /// §8.3.3.11: credentials are missing or wrong.
    NotAuthorized = "not-authorized", Auth;
    /// §8.3.3.12: against a local policy, such as a size.
    PolicyViolation = "policy-violation", Modify;
    /// §8.3.3.13: the recipient is away for now.
    RecipientUnavailable = "recipient-unavailable", Wait;
    /// §8.3.3.14: another address takes it.
    Redirect = "redirect", Modify;
    /// §8.3.3.15: the sender must register first.
    RegistrationRequired = "registration-required", Auth;
    /// §8.3.3.16: the other server does not exist.
    RemoteServerNotFound = "remote-server-not-found", Cancel;
    /// §8.3.3.17: the other server can't be reached, or not in time.
    RemoteServerTimeout = "remote-server-timeout", Wait;
    /// §8.3.3.18: too little of some resource.
    ResourceConstraint = "resource-constraint", Wait;
    /// §8.3.3.19: no such service, and what is not to be known.
    ServiceUnavailable = "service-unavailable", Cancel;
    /// §8.3.3.20: the sender must subscribe first.
    SubscriptionRequired = "subscription-required", Auth;
    /// §8.3.3.21: none of the others, and what a condition that we don't know counts as.
    UndefinedCondition = "undefined-condition", Cancel;
    /// §8.3.3.22: out of order.
    UnexpectedRequest = "unexpected-request", Wait;
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The `<error/>` of an error stanza.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaError<'a> {
    /// What is wrong.
    pub condition: Condition,
    /// What can be done about it.
    pub type_: ErrorType,
    /// In words, for people.
    pub text: Option<Cow<'a, str>>,
    /// The new address, a URI, that `gone` and `redirect` may name.
    pub address: Option<Cow<'a, str>>,
}

impl From<Condition> for StanzaError<'_> {
    fn from(condition: Condition) -> Self {
        Self { condition, type_: condition.default_type(), text: None, address: None }
    }
}

impl<'a> StanzaError<'a> {
    /// The condition with its usual type and a text.
    pub fn with_text(condition: Condition, text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: Some(text.into()), ..Self::from(condition) }
    }

    /// Appends the `<error/>` element.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<error type='");
        out.extend_from_slice(self.type_.name().as_bytes());
        out.extend_from_slice(b"'><");
        out.extend_from_slice(self.condition.name().as_bytes());
        out.extend_from_slice(b" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'");
        match &self.address {
            Some(address) => {
                out.push(b'>');
                xml::write::text(out, address);
                out.extend_from_slice(b"</");
                out.extend_from_slice(self.condition.name().as_bytes());
                out.push(b'>');
            }
            None => out.extend_from_slice(b"/>"),
        }
        if let Some(text) = &self.text {
            out.extend_from_slice(b"<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>");
            xml::write::text(out, text);
            out.extend_from_slice(b"</text>");
        }
        out.extend_from_slice(b"</error>");
    }
}

/// The stanza that an error answers, as far as an answer needs it: everything but its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered<'a> {
    /// `message`, `presence` or `iq`.
    pub element: &'static str,
    /// The `from` of the stanza, which the error goes to.
    pub from: &'a str,
    /// The `to` of the stanza, which the error comes from.
    pub to: &'a str,
    /// The `id` of the stanza.
    pub id: Option<&'a str>,
    /// The `type` of the stanza.
    pub type_: Option<&'a str>,
}

/// Appends the error stanza that answers `stanza`: the same element, addresses swapped, the `id`
/// echoed (RFC 6120 §8.3.1). Nothing is written, and `false` returned, for a stanza of type `error`
/// and for an iq of type `result`: they are never answered.
pub fn write_error(out: &mut Vec<u8>, stanza: &Answered<'_>, error: &StanzaError<'_>) -> bool {
    let is_iq = stanza.element == "iq";
    match stanza.type_ {
        Some("error") => return false,
        Some("result") if is_iq => return false,
        Some(_) | None => {}
    }
    out.push(b'<');
    out.extend_from_slice(stanza.element.as_bytes());
    xml::write::attr(out, "from", stanza.to);
    xml::write::attr(out, "to", stanza.from);
    // An iq is answered with an id in any case, an empty one if it had none (§8.3.1 rule 3).
    match stanza.id {
        Some(id) => xml::write::attr(out, "id", id),
        None if is_iq => xml::write::attr(out, "id", ""),
        None => {}
    }
    out.extend_from_slice(b" type='error'>");
    error.write(out);
    out.extend_from_slice(b"</");
    out.extend_from_slice(stanza.element.as_bytes());
    out.push(b'>');
    true
}

/// Reads the `<error/>` of a received error stanza, or of a dialback element of type `error`
/// (XEP-0220 §2.5). What is absent or unknown counts as `undefined-condition` (RFC 6120 §8.3.2) and
/// gets the usual type of its condition.
pub fn read_error<'e>(stanza: &'e Element<'_>) -> StanzaError<'e> {
    let Some(error) = stanza.child("error", xml::ns::SERVER) else {
        return StanzaError::from(Condition::UndefinedCondition);
    };
    let defined = error
        .children()
        .filter(|child| child.ns() == ns::STANZA_ERRORS)
        .find_map(|child| Condition::from_name(child.name()).map(|condition| (condition, child)));
    let condition = defined.map_or(Condition::UndefinedCondition, |(condition, _)| condition);
    let address = match condition {
        Condition::Gone | Condition::Redirect => {
            defined.map(|(_, child)| child.text()).filter(|text| !text.trim().is_empty())
        }
        _ => None,
    };
    StanzaError {
        condition,
        type_: error.attr("type").and_then(ErrorType::from_name).unwrap_or(condition.default_type()),
        text: error.child("text", ns::STANZA_ERRORS).map(|text| text.text()),
        address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::xml::{Limits, Scope};

    fn parse(text: &str) -> Element<'_> {
        xml::parse(text, &Scope::server(), &Limits::default()).unwrap()
    }

    fn message() -> Answered<'static> {
        Answered { element: "message", from: "a@x/r", to: "b@y", id: Some("i<1"), type_: Some("chat") }
    }

    fn written(answered: &Answered<'_>, error: &StanzaError<'_>) -> Option<String> {
        let mut out = Vec::new();
        write_error(&mut out, answered, error).then(|| String::from_utf8(out.clone()).unwrap()).or_else(
            || {
                assert!(out.is_empty());
                None
            },
        )
    }

    #[test]
    fn check_108_every_condition_has_the_type_of_the_rfc() {
        use ErrorType::{Auth, Cancel, Modify, Wait};
        let expected = [
            ("bad-request", Modify),
            ("conflict", Cancel),
            ("feature-not-implemented", Cancel),
            ("forbidden", Auth),
            ("gone", Cancel),
            ("internal-server-error", Cancel),
            ("item-not-found", Cancel),
            ("jid-malformed", Modify),
            ("not-acceptable", Modify),
            ("not-allowed", Cancel),
            ("not-authorized", Auth),
            ("policy-violation", Modify),
            ("recipient-unavailable", Wait),
            ("redirect", Modify),
            ("registration-required", Auth),
            ("remote-server-not-found", Cancel),
            ("remote-server-timeout", Wait),
            ("resource-constraint", Wait),
            ("service-unavailable", Cancel),
            ("subscription-required", Auth),
            ("undefined-condition", Cancel),
            ("unexpected-request", Wait),
        ];
        let found: Vec<_> = Condition::ALL.iter().map(|c| (c.name(), c.default_type())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn check_108_errors_and_results_are_never_answered() {
        let error = StanzaError::from(Condition::Forbidden);
        for element in ["message", "presence", "iq"] {
            assert_eq!(written(&Answered { element, type_: Some("error"), ..message() }, &error), None);
        }
        let result = |element| written(&Answered { element, type_: Some("result"), ..message() }, &error);
        assert_eq!(result("iq"), None);
        assert!(result("message").is_some());
    }

    #[test]
    fn an_error_stanza_swaps_the_addresses_and_echoes_the_id() {
        assert_eq!(
            written(&message(), &StanzaError::with_text(Condition::NotAllowed, "a & b")).unwrap(),
            "<message from='b@y' to='a@x/r' id='i&lt;1' type='error'><error type='cancel'>\
             <not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>a &amp; b</text></error></message>"
        );
        let without = |element| {
            let answered = Answered { element, id: None, type_: None, ..message() };
            written(&answered, &StanzaError::from(Condition::BadRequest)).unwrap()
        };
        assert!(!without("presence").contains("id="));
        assert!(without("iq").contains(" id='' "));
    }

    #[test]
    fn every_error_is_read_as_it_was_written() {
        for condition in Condition::ALL {
            assert_eq!(Condition::from_name(condition.name()), Some(*condition));
            let address = match condition {
                Condition::Gone | Condition::Redirect => Some(Cow::Borrowed("xmpp:c@z?a&b")),
                _ => None,
            };
            let error = StanzaError { address, ..StanzaError::with_text(*condition, "tëxt") };
            let text = written(&message(), &error).unwrap();
            assert_eq!(read_error(&parse(&text)), error);
        }
    }

    #[test]
    fn what_an_error_lacks_is_undefined() {
        for text in [
            "<message type='error'/>",
            "<message type='error'><error/></message>",
            "<message type='error'><error type='cancel'><new xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
            "<message type='error'><error type='cancel'><forbidden xmlns='urn:x'/></error></message>",
            "<message type='error'><error xmlns='urn:x'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
        ] {
            assert_eq!(read_error(&parse(text)), StanzaError::from(Condition::UndefinedCondition), "{text}");
        }
        // An unknown type is the usual one; a deviating one is kept.
        for (type_, expected) in [("strange", ErrorType::Auth), ("wait", ErrorType::Wait)] {
            let text = format!(
                "<iq type='error'><error type='{type_}'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
            );
            assert_eq!(read_error(&parse(&text)).type_, expected);
        }
    }
}
