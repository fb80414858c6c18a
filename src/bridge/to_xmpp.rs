//! A SIP MESSAGE as an XMPP message: RFC 7572 §5, pure.
//!
//! Only writers that escape are used, so nothing from the SIP side can become markup, and characters
//! that XML forbids never reach a stream (RFC 6120 §11.3).

use super::receipts::Asked;
use super::to_sip::{is_language, thread_of_call_id};
use super::typing::ChatState;
use crate::addr::Jid;
use crate::body::charset::one_line;
use crate::now::Wall;
use crate::xml::write;
use crate::xmpp::ns;
use jiff::Timestamp;

/// How old a Date must be before the message counts as delayed, in seconds.
const DELAY_AFTER: u64 = 60;
/// Octets of a subject that cross.
const SUBJECT_LIMIT: usize = 1024;

/// A pager-mode message from the SIP side, read and ready to be written as a stanza.
#[derive(Debug)]
pub struct FromSip<'m> {
    /// The SIP user, canonical.
    pub from: &'m Jid,
    /// The XMPP contact.
    pub to: &'m Jid,
    /// The stanza's id, unique: minted by us.
    pub id: &'m str,
    /// The text.
    pub body: &'m str,
    /// Subject header.
    pub subject: Option<&'m str>,
    /// Content-Language header: the first language counts.
    pub language: Option<&'m str>,
    /// Call-ID.
    pub call_id: &'m str,
    /// Date header or CPIM DateTime.
    pub sent: Option<Wall>,
    /// `chat` instead of no type (RFC 7572 §5 has no type; a switch).
    pub chat: bool,
    /// What goes with the text.
    pub beside: Beside<'m>,
}

/// What goes with a text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'m> {
    /// `<active/>`: for somebody who showed chat states.
    pub active: bool,
    /// What the SIP user wants to hear of it.
    pub asked: Asked,
    /// How the SIP user is called (XEP-0172 §4.2: once, not with every message).
    pub nick: Option<&'m str>,
}

/// Appends the stanza to `out`, in the stream's default namespace `jabber:server`.
pub fn write_stanza(message: &FromSip<'_>, now: Wall, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<message");
    write::attr(out, "from", message.from.as_str());
    write::attr(out, "to", message.to.as_str());
    write::attr(out, "id", message.id);
    if message.chat {
        write::attr(out, "type", "chat");
    }
    let language =
        message.language.and_then(|list| list.split(',').next()).map(str::trim).filter(|t| is_language(t));
    if let Some(language) = language {
        write::attr(out, "xml:lang", language);
    }
    out.push(b'>');
    if let Some(subject) =
        message.subject.map(|text| one_line(text, SUBJECT_LIMIT)).filter(|text| !text.is_empty())
    {
        element(out, "subject", &subject);
    }
    if !message.body.is_empty() {
        element(out, "body", message.body);
    }
    element(out, "thread", &thread_of_call_id(message.call_id));
    if let Some(sent) = message.sent.filter(|sent| is_delayed(*sent, now)) {
        out.extend_from_slice(b"<delay xmlns='urn:xmpp:delay'");
        write::attr(out, "from", message.from.domain());
        write::attr(out, "stamp", &stamp(sent));
        out.extend_from_slice(b"/>");
    }
    // XEP-0359 §3.1: archives of clients know it again, whatever servers do to its id.
    write::open(out, "origin-id").xmlns(ns::STANZA_IDS).attr("id", message.id).empty();
    write_beside(&message.beside, out);
    out.extend_from_slice(b"</message>");
}

fn write_beside(beside: &Beside<'_>, out: &mut Vec<u8>) {
    if beside.active {
        ChatState::Active.write(out);
    }
    if beside.asked.delivery {
        write::open(out, "request").xmlns(ns::RECEIPTS).empty();
    }
    if beside.asked.display {
        write::open(out, "markable").xmlns(ns::MARKERS).empty();
    }
    if let Some(nick) = beside.nick {
        write::open(out, "nick").xmlns(ns::NICK).text(nick);
    }
}

fn element(out: &mut Vec<u8>, name: &str, text: &str) {
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
    write::text(out, text);
    out.extend_from_slice(b"</");
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
}

/// Sent long enough ago to say so, and not in the future (a clock that is wrong).
fn is_delayed(sent: Wall, now: Wall) -> bool {
    now.as_secs().saturating_sub(sent.as_secs()) > DELAY_AFTER
}

/// A point in time as XEP-0082 §3.2 writes it, to the second.
pub fn stamp(time: Wall) -> String {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map(|timestamp| timestamp.to_string())
        .unwrap_or_default()
}

/// Has a message with this Date and this Expires (seconds) expired (RFC 3428 §7)?
pub fn is_expired(sent: Option<Wall>, expires: Option<u32>, now: Wall) -> bool {
    match (sent, expires) {
        (Some(sent), Some(expires)) => now.as_secs() > sent.as_secs().saturating_add(u64::from(expires)),
        (None, _) | (Some(_), None) => false,
    }
}
