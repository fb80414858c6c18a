//! Stanzas: first-level elements of the content namespace, with both addresses read.
//!
//! Message and presence can cross and are [`Stanza`]; an iq can't, and is an [`Iq`]. On a stream
//! between servers both addresses are required, and one without a domain is as bad as a missing one
//! (RFC 6120 §8.1.1.2, §8.1.2.2). A localpart or resourcepart that is none costs its stanza alone, a
//! [`Misaddressed`] (RFC 6120 §8.3.3.8).

use crate::addr::{AddrError, Domain, Jid, Part};
use crate::crossing::{Crosses, Crossing, Direction, Kind};
use crate::xml::{self, Element};
use crate::xmpp::error::stanza::{Answered, StanzaError, write_error};
use crate::xmpp::error::{Condition, StreamCondition};

/// What kind of stanza crosses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StanzaKind {
    /// `<message/>`.
    Message,
    /// `<presence/>`.
    Presence,
}

impl StanzaKind {
    /// The element name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Presence => "presence",
        }
    }
}

/// A message or presence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza<'a> {
    /// What it is.
    pub kind: StanzaKind,
    /// Who sent it.
    pub from: Jid,
    /// Whom it is for.
    pub to: Jid,
    /// The whole of it.
    pub element: Element<'a>,
}

/// An iq of any type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iq<'a> {
    /// Who sent it.
    pub from: Jid,
    /// Whom it is for.
    pub to: Jid,
    /// The whole of it.
    pub element: Element<'a>,
}

/// A stanza between good domains, one of whose addresses has a localpart or resourcepart that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misaddressed {
    /// The domain that it came from.
    pub sender: Domain,
    /// The domain that it is for.
    pub target: Domain,
    /// `message`, `presence` or `iq`.
    name: &'static str,
    /// Who sent it, if that address is good.
    from: Option<Jid>,
    id: Option<Box<str>>,
    type_: Option<Box<str>>,
}

impl Misaddressed {
    /// Appends the error that tells its sender (RFC 6120 §8.3.3.8), from our domain, because the
    /// address that was asked is none. False if nobody can be told or nobody waits for an answer.
    pub fn write_error(&self, out: &mut Vec<u8>) -> bool {
        let type_ = self.type_.as_deref();
        let waits = match self.name {
            "message" => type_ != Some("headline"),
            "presence" => type_ == Some("subscribe"),
            _ => true,
        };
        let Some(from) = self.from.as_ref().filter(|_| waits) else { return false };
        let answered = Answered {
            element: self.name,
            from: from.as_str(),
            to: self.target.as_str(),
            id: self.id.as_deref(),
            type_,
        };
        write_error(out, &answered, &StanzaError::from(Condition::JidMalformed))
    }
}

/// The `type` of a message (RFC 6121 §5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// A single message; also what an absent or unknown type means.
    Normal,
    /// Part of a conversation.
    Chat,
    /// To or from a room.
    Groupchat,
    /// An alert that expects no answer.
    Headline,
    /// The error that answers a message.
    Error,
}

/// The `type` of a presence (RFC 6121 §4.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PresenceType {
    /// No type: the sender is available.
    Available,
    /// The sender is no longer available.
    Unavailable,
    /// The sender asks to see the target's presence.
    Subscribe,
    /// The sender lets the target see its presence.
    Subscribed,
    /// The sender no longer wants to see the target's presence.
    Unsubscribe,
    /// The sender refuses or ends the target's view of its presence.
    Unsubscribed,
    /// A server asks for the target's current presence.
    Probe,
    /// The error that answers a presence.
    Error,
}

impl Stanza<'_> {
    /// The attribute `id`.
    pub fn id(&self) -> Option<&str> {
        self.element.attr("id")
    }

    /// The attribute `type`, as it stands.
    pub fn type_(&self) -> Option<&str> {
        self.element.attr("type")
    }

    /// The type of a message; an unknown one counts as `normal` (RFC 6121 §5.2.2).
    pub fn message_type(&self) -> MessageType {
        match self.type_() {
            Some("chat") => MessageType::Chat,
            Some("groupchat") => MessageType::Groupchat,
            Some("headline") => MessageType::Headline,
            Some("error") => MessageType::Error,
            Some(_) | None => MessageType::Normal,
        }
    }

    /// The type of a presence; `None` for one that RFC 6121 §4.7.1 does not know.
    pub fn presence_type(&self) -> Option<PresenceType> {
        match self.type_() {
            None => Some(PresenceType::Available),
            Some("unavailable") => Some(PresenceType::Unavailable),
            Some("subscribe") => Some(PresenceType::Subscribe),
            Some("subscribed") => Some(PresenceType::Subscribed),
            Some("unsubscribe") => Some(PresenceType::Unsubscribe),
            Some("unsubscribed") => Some(PresenceType::Unsubscribed),
            Some("probe") => Some(PresenceType::Probe),
            Some("error") => Some(PresenceType::Error),
            Some(_) => None,
        }
    }

    /// What an error that answers this stanza needs of it.
    pub fn answered(&self) -> Answered<'_> {
        answered(self.kind.name(), &self.from, &self.to, &self.element)
    }
}

impl Crosses for Stanza<'_> {
    fn crossing(&self) -> Crossing<'_> {
        let kind = match self.kind {
            StanzaKind::Message => Kind::Message,
            StanzaKind::Presence => Kind::Presence,
        };
        Crossing { sender: &self.from, target: &self.to, direction: Direction::XmppToSip, kind }
    }
}

impl Iq<'_> {
    /// The attribute `id`.
    pub fn id(&self) -> Option<&str> {
        self.element.attr("id")
    }

    /// The attribute `type`, as it stands.
    pub fn type_(&self) -> Option<&str> {
        self.element.attr("type")
    }

    /// What an error that answers this iq needs of it.
    pub fn answered(&self) -> Answered<'_> {
        answered("iq", &self.from, &self.to, &self.element)
    }
}

fn answered<'s>(name: &'static str, from: &'s Jid, to: &'s Jid, element: &'s Element<'_>) -> Answered<'s> {
    Answered {
        element: name,
        from: from.as_str(),
        to: to.as_str(),
        id: element.attr("id"),
        type_: element.attr("type"),
    }
}

/// A stanza of either class.
pub(super) enum Typed<'a> {
    Stanza(Stanza<'a>),
    Iq(Iq<'a>),
    Misaddressed(Misaddressed),
}

impl Typed<'_> {
    /// The domains of sender and target.
    pub(super) fn domains(&self) -> (&str, &str) {
        match self {
            Self::Stanza(stanza) => (stanza.from.domain(), stanza.to.domain()),
            Self::Iq(iq) => (iq.from.domain(), iq.to.domain()),
            Self::Misaddressed(stanza) => (stanza.sender.as_str(), stanza.target.as_str()),
        }
    }
}

/// Whether the tag at the start of `text` has the name of a stanza and no prefix. A cheap look, no
/// parse: what follows may still be in any namespace.
pub(super) fn looks_like_stanza(text: &str) -> bool {
    ["<message", "<presence", "<iq"].iter().any(|tag| {
        text.strip_prefix(tag)
            .and_then(|rest| rest.bytes().next())
            .is_some_and(|next| matches!(next, b' ' | b'\t' | b'\r' | b'\n' | b'/' | b'>'))
    })
}

/// Types a first-level element.
///
/// # Errors
/// The stream error for an element that is no stanza of the content namespace, or whose addresses
/// are missing or have no domain.
pub(super) fn read(element: Element<'_>) -> Result<Typed<'_>, StreamCondition> {
    if element.ns() != xml::ns::SERVER {
        return Err(match element.ns() {
            xml::ns::CLIENT => StreamCondition::InvalidNamespace,
            _ => StreamCondition::UnsupportedStanzaType,
        });
    }
    // RFC 6120 §4.8.5: no prefixes in the content namespace.
    if !element.prefix().is_empty() {
        return Err(StreamCondition::BadNamespacePrefix);
    }
    let (name, kind) = match element.name() {
        "message" => ("message", Some(StanzaKind::Message)),
        "presence" => ("presence", Some(StanzaKind::Presence)),
        "iq" => ("iq", None),
        _ => return Err(StreamCondition::UnsupportedStanzaType),
    };
    let (from, to) = (address(&element, "from")?, address(&element, "to")?);
    Ok(match (from, to, kind) {
        (Address::Good(from), Address::Good(to), Some(kind)) => {
            Typed::Stanza(Stanza { kind, from, to, element })
        }
        (Address::Good(from), Address::Good(to), None) => Typed::Iq(Iq { from, to, element }),
        (from, to, _) => Typed::Misaddressed(Misaddressed {
            sender: from.domain(),
            target: to.domain(),
            name,
            from: from.good(),
            id: element.attr("id").map(Box::from),
            type_: element.attr("type").map(Box::from),
        }),
    })
}

/// An address whose domain is one.
enum Address {
    Good(Jid),
    Bad(Domain),
}

impl Address {
    fn domain(&self) -> Domain {
        match self {
            Self::Good(jid) => jid.to_domain(),
            Self::Bad(domain) => domain.clone(),
        }
    }

    fn good(self) -> Option<Jid> {
        match self {
            Self::Good(jid) => Some(jid),
            Self::Bad(_) => None,
        }
    }
}

fn address(element: &Element<'_>, name: &str) -> Result<Address, StreamCondition> {
    let text = element.attr(name).ok_or(StreamCondition::ImproperAddressing)?;
    match Jid::parse(text) {
        Ok(jid) => Ok(Address::Good(jid)),
        Err(AddrError::Empty(part) | AddrError::TooLong(part) | AddrError::Forbidden(part)) => match part {
            Part::Domain => Err(StreamCondition::ImproperAddressing),
            Part::Local | Part::Resource => {
                Jid::domain_of(text).map(Address::Bad).map_err(|_| StreamCondition::ImproperAddressing)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::xml::{Limits, Scope};

    fn typed(text: &str) -> Result<Typed<'_>, StreamCondition> {
        read(xml::parse(text, &Scope::server(), &Limits::default()).unwrap())
    }

    fn stanza(text: &str) -> Stanza<'_> {
        match typed(text) {
            Ok(Typed::Stanza(stanza)) => stanza,
            Ok(Typed::Iq(_) | Typed::Misaddressed(_)) | Err(_) => panic!("no stanza: {text}"),
        }
    }

    #[test]
    fn a_message_and_a_presence_say_what_crosses() {
        for (name, kind) in [("message", Kind::Message), ("presence", Kind::Presence)] {
            let text = format!("<{name} from='A@x.example/R' to='b@y.example'/>");
            let stanza = stanza(&text);
            let crossing = stanza.crossing();
            assert_eq!((crossing.kind, crossing.direction), (kind, Direction::XmppToSip));
            assert_eq!(
                (crossing.sender.as_str(), crossing.target.as_str()),
                ("a@x.example/R", "b@y.example")
            );
        }
        assert!(matches!(typed("<iq from='x.example' to='y.example'/>"), Ok(Typed::Iq(_))));
    }

    #[test]
    fn threat_063_a_bad_localpart_or_resourcepart_is_told_to_its_sender() {
        fn read(text: &str) -> Misaddressed {
            match typed(text) {
                Ok(Typed::Misaddressed(stanza)) => stanza,
                Ok(Typed::Stanza(_) | Typed::Iq(_)) | Err(_) => panic!("not misaddressed: {text}"),
            }
        }
        let answer = |text: &str| {
            let mut out = Vec::new();
            read(text).write_error(&mut out).then(|| String::from_utf8(out).unwrap())
        };
        let to = "@sip.example";
        assert_eq!(
            answer("<message from='a@x.example/r' to='b c@sip.example' id='1' type='chat'/>").unwrap(),
            "<message from='sip.example' to='a@x.example/r' id='1' type='error'><error type='modify'>\
             <jid-malformed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        );
        for (name, type_, is_answered) in [
            ("message", "", true),
            ("message", "type='error'", false),
            ("message", "type='headline'", false),
            ("presence", "", false),
            ("presence", "type='subscribe'", true),
            ("iq", "type='get'", true),
            ("iq", "type='set'", true),
            ("iq", "type='result'", false),
            ("iq", "type='error'", false),
        ] {
            let text = format!("<{name} from='a@x.example' to='{to}' id='1' {type_}/>");
            assert_eq!(answer(&text).is_some(), is_answered, "{text}");
            let text = format!("<{name} from='a b@x.example' to='b@sip.example' id='1' {type_}/>");
            assert_eq!(answer(&text), None, "nobody to tell: {text}");
        }
        let both = read("<message from='@X.example' to='b@sip.example/'/>");
        assert_eq!((both.sender.as_str(), both.target.as_str()), ("x.example", "sip.example"));
    }

    #[test]
    fn unknown_types_of_messages_are_normal_and_of_presence_are_none() {
        let of = |name: &str, attributes: &str| format!("<{name} from='a@x' to='b@y' {attributes}/>");
        for (attributes, expected) in [
            ("", MessageType::Normal),
            ("type='normal'", MessageType::Normal),
            ("type='chat'", MessageType::Chat),
            ("type='groupchat'", MessageType::Groupchat),
            ("type='headline'", MessageType::Headline),
            ("type='error'", MessageType::Error),
            ("type='Chat'", MessageType::Normal),
        ] {
            assert_eq!(stanza(&of("message", attributes)).message_type(), expected);
        }
        for (attributes, expected) in [
            ("", Some(PresenceType::Available)),
            ("type='unavailable'", Some(PresenceType::Unavailable)),
            ("type='subscribe'", Some(PresenceType::Subscribe)),
            ("type='subscribed'", Some(PresenceType::Subscribed)),
            ("type='unsubscribe'", Some(PresenceType::Unsubscribe)),
            ("type='unsubscribed'", Some(PresenceType::Unsubscribed)),
            ("type='probe'", Some(PresenceType::Probe)),
            ("type='error'", Some(PresenceType::Error)),
            ("type='available'", None),
        ] {
            assert_eq!(stanza(&of("presence", attributes)).presence_type(), expected);
        }
    }

    #[test]
    fn the_cheap_look_sees_the_three_names_alone() {
        for text in ["<message>", "<message a=", "<presence/>", "<iq\n", "<iq\t", "<iq\r\n"] {
            assert!(looks_like_stanza(text), "{text}");
        }
        for text in ["<messages>", "<iq", "<s:iq>", "<db:result>", "iq>", "<iq:x>", "<IQ>"] {
            assert!(!looks_like_stanza(text), "{text}");
        }
    }
}
