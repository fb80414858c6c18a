//! Presence documents: `application/pidf+xml` (RFC 3863) with the data model (RFC 4479) and RPID
//! (RFC 4480), as values.
//!
//! | file | owns |
//! |---|---|
//! | this one | [`Document`] and its parts, limits, errors, which type is which |
//! | [`activity`] | the RPID activities, and sets of them |
//! | [`read`](fn@read) | octets → [`Document`], bounded, every name by its namespace |
//! | [`write`](fn@write) | [`Document`] → octets |
//!
//! What `write` wrote, `read` reads as it was. A document says what it says: which resource a tuple
//! stands for, and what a person's activity makes of it, is the bridge's to know. The entity is never
//! an address to act on: whom a document is about, the subscription says.
//!
//! DEVIATES RFC 3863 §4.4: a document that is no valid one is read as far as it is understood
//! (RFC 4479 §5), so ids may be missing or given twice, and the entity may be missing. One that is not
//! well-formed, has a document type, or is too large is refused whole.

pub mod activity;
mod read;
mod write;

#[cfg(test)]
pub(crate) mod tests;

pub use activity::{Activity, ActivitySet};
pub use read::{read, read_part};
pub use write::write;

use super::mime::MediaType;
use crate::xml::XmlError;
use jiff::Timestamp;
use std::borrow::Cow;

/// The media type, for Content-Type and Accept.
pub const MEDIA_TYPE: &str = "application/pidf+xml";

/// Namespaces that are read and written.
pub mod ns {
    /// RFC 3863 §4.1.1.
    pub const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
    /// RFC 4479 §5: persons and devices.
    pub const DATA_MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
    /// RFC 4480 §3.1.
    pub const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";
    /// What drafts of RPID used inside `<status/>`, with `<activity/>` around a word.
    pub const RPID_STATUS: &str = "urn:ietf:params:xml:ns:pidf:status:rpid-status";
    /// Microsoft's availability numbers.
    pub const MS_STATE: &str = "http://schemas.microsoft.com/2006/09/sip/state";
    /// The `<show/>` of RFC 8048 §6.2.
    pub const SHOW: &str = "jabber:client";
}

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of the document.
    pub octets: usize,
    /// Tuples; also persons, and devices.
    pub tuples: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { octets: 65_536, tuples: 100 }
    }
}

/// Why a body is no presence document. Whoever had a good one before keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PidfError {
    /// The Content-Type is another one, or missing.
    #[error("the body is no application/pidf+xml")]
    Type,
    /// It is compressed.
    #[error("the content encoding is not supported")]
    ContentEncoding,
    /// More octets than [`Limits::octets`].
    #[error("the presence document is too large")]
    TooLarge,
    /// The charset or the XML declaration names another encoding than UTF-8.
    #[error("the presence document is in another encoding than UTF-8")]
    Encoding,
    /// The octets are no UTF-8.
    #[error("the presence document is not UTF-8")]
    NotUtf8,
    /// It is not well-formed, or holds what is never read.
    #[error("the presence document is not acceptable XML: {0}")]
    Xml(#[from] XmlError),
    /// The root is no `<presence/>` of RFC 3863.
    #[error("the document is not about presence")]
    NotPresence,
    /// More tuples, persons or devices than [`Limits::tuples`].
    #[error("the presence document has too many tuples")]
    TooMany,
}

impl PidfError {
    /// The SIP status that answers a request with such a body.
    pub fn status(&self) -> u16 {
        match self {
            Self::Type | Self::ContentEncoding | Self::Encoding => 415,
            Self::TooLarge => 413,
            Self::NotUtf8 | Self::Xml(_) | Self::NotPresence | Self::TooMany => 400,
        }
    }
}

/// A presence document. The default one says nothing about anybody.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document<'a> {
    /// The URI of the presentity as written; "" if there is none. A claim, not an identity.
    pub entity: Cow<'a, str>,
    /// The tuples in their order.
    pub tuples: Vec<Tuple<'a>>,
    /// What the person does (RFC 4479 §3.2). Several are several opinions (§3.5).
    pub persons: Vec<Person<'a>>,
    /// Devices that user input was seen at (RFC 4479 §3.4).
    pub devices: Vec<Device<'a>>,
    /// Notes about the presentity as a whole.
    pub notes: Vec<Note<'a>>,
}

/// One way to reach the presentity (RFC 3863 §4.1.2).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tuple<'a> {
    /// The id, "" if there is none.
    pub id: Cow<'a, str>,
    /// The basic status; `None` if the tuple has none or one that nobody knows.
    pub basic: Option<Basic>,
    /// The `<show/>` in the status (RFC 8048 §6.2 note 7).
    pub show: Option<Show>,
    /// Activities in the status or tuple, where Microsoft and drafts of RPID put them.
    pub activities: ActivitySet,
    /// Microsoft's availability number.
    pub availability: Option<u32>,
    /// The state of user input (RFC 4480 §3.14).
    pub input: Option<UserInput>,
    /// Somebody else answers there: a relationship other than `self` (RFC 4480 §3.9).
    pub is_of_another: bool,
    /// The device that it runs on (RFC 4480 §3.4).
    pub device: Option<Cow<'a, str>>,
    /// The address.
    pub contact: Option<Contact<'a>>,
    /// Notes.
    pub notes: Vec<Note<'a>>,
    /// When the status changed.
    pub timestamp: Option<Timestamp>,
}

/// RFC 3863 §4.1.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Basic {
    /// Ready for instant messages.
    Open,
    /// Not so.
    Closed,
}

impl Basic {
    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// The value of `<show/>` (RFC 6121 §4.7.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Show {
    /// Interested in chatting.
    Chat,
    /// Away for a while.
    Away,
    /// Away for long.
    Xa,
    /// Busy.
    Dnd,
}

impl Show {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Chat, Self::Away, Self::Xa, Self::Dnd];

    /// The word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Away => "away",
            Self::Xa => "xa",
            Self::Dnd => "dnd",
        }
    }

    /// The value that `word` stands for, white space around it aside.
    pub fn from_name(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|show| show.name() == word.trim())
    }
}

/// An address and how much it is preferred (RFC 3863 §4.1.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact<'a> {
    /// The URI.
    pub uri: Cow<'a, str>,
    /// The priority in thousandths, 0..=1000; `None` is the lowest.
    pub priority: Option<u16>,
}

/// A comment for people (RFC 3863 §4.1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// Its language, own or inherited.
    pub lang: Option<Cow<'a, str>>,
    /// The text as it stands, white space and all.
    pub text: Cow<'a, str>,
}

/// Whether somebody uses a device or service (RFC 4480 §3.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserInput {
    /// Nobody has for a while.
    pub is_idle: bool,
    /// When somebody last did.
    pub last: Option<Timestamp>,
}

/// What the person behind the presentity does (RFC 4479 §3.2).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Person<'a> {
    /// The id, "" if there is none.
    pub id: Cow<'a, str>,
    /// Activities, each for its time.
    pub activities: Vec<Activities>,
    /// Microsoft's availability number.
    pub availability: Option<u32>,
    /// User input on all devices together.
    pub input: Option<UserInput>,
    /// Notes.
    pub notes: Vec<Note<'a>>,
    /// When any of it changed.
    pub timestamp: Option<Timestamp>,
}

/// What a person does at a time (RFC 4480 §3.1, §3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Activities {
    /// The activities.
    pub set: ActivitySet,
    /// From when on.
    pub from: Option<Timestamp>,
    /// Until when.
    pub until: Option<Timestamp>,
}

impl Activities {
    /// Whether they hold at `now`.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= now) && self.until.is_none_or(|until| now < until)
    }
}

/// A device (RFC 4479 §3.4).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Device<'a> {
    /// The id, "" if there is none.
    pub id: Cow<'a, str>,
    /// The URN that tuples name it by.
    pub urn: Cow<'a, str>,
    /// The state of its user input.
    pub input: Option<UserInput>,
}

/// Whether a Content-Type is that of presence documents.
pub fn is_pidf(content_type: &str) -> bool {
    MediaType::parse(content_type).is_some_and(|media| media.is("application", "pidf+xml"))
}

/// Whether a subscriber that sent these Accept values takes presence documents (RFC 3856 §6.5): it
/// sent none, which means this type, or one of them names it or a range around it with no `q=0`.
pub fn is_accepted<'h>(accept: impl IntoIterator<Item = &'h str>) -> bool {
    let mut values = accept.into_iter().peekable();
    if values.peek().is_none() {
        return true;
    }
    // The most specific range decides (RFC 3261 §20.1, after RFC 2616 §14.1).
    let mut best: Option<(u8, bool)> = None;
    for range in values.flat_map(|value| value.split(',')) {
        let specific = match MediaType::parse(range) {
            Some(media) if media.is("application", "pidf+xml") => 2,
            Some(media) if media.is("application", "*") => 1,
            Some(media) if media.is("*", "*") => 0,
            Some(_) | None => continue,
        };
        let refused = MediaType::parse(range)
            .and_then(|media| media.param("q"))
            .is_some_and(|q| !q.bytes().any(|digit| matches!(digit, b'1'..=b'9')));
        if best.is_none_or(|(known, _)| specific > known) {
            best = Some((specific, !refused));
        }
    }
    best.is_some_and(|(_, accepted)| accepted)
}
