//! Namespace names of this room; those of streams and content are `xml::ns`'s.

/// STARTTLS (RFC 6120 §5).
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// SASL (RFC 6120 §6).
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// Conditions of stream errors (RFC 6120 §4.9.2).
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// Conditions of stanza errors (RFC 6120 §8.3.2).
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// Application-specific conditions such as `stanza-too-big` (RFC 6120 §4.9.3.14).
pub const ERRORS: &str = "urn:xmpp:errors";
/// The dialback stream feature (XEP-0220 §2.3.2).
pub const DIALBACK_FEATURE: &str = "urn:xmpp:features:dialback";
/// Service discovery of identities and features (XEP-0030 §3).
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// Service discovery of items (XEP-0030 §4).
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// Entity capabilities (XEP-0115).
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// Ping (XEP-0199).
pub const PING: &str = "urn:xmpp:ping";
/// Software version (XEP-0092).
pub const VERSION: &str = "jabber:iq:version";
/// JID escaping as a service discovery feature (XEP-0106 §6).
pub const JID_ESCAPING: &str = "jid\\20escaping";
/// Chat states (XEP-0085).
pub const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
/// Delivery receipts (XEP-0184).
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// Displayed markers (XEP-0333).
pub const MARKERS: &str = "urn:xmpp:chat-markers:0";
/// Nicknames (XEP-0172).
pub const NICK: &str = "http://jabber.org/protocol/nick";
/// Ids of stanzas (XEP-0359).
pub const STANZA_IDS: &str = "urn:xmpp:sid:0";
