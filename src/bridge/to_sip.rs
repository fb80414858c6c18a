//! An XMPP message as a SIP MESSAGE in pager mode: RFC 7572 §4, pure.
//!
//! Says what becomes of a stanza and which text crosses; the agent puts headers around it.

use super::beyond::{self, Desk, Rare};
use super::receipts::{Answer, Asked};
use super::typing::ChatState;
use crate::body::charset::one_line;
use crate::now::Wall;
use crate::xml::Element;
use crate::xmpp::error::Condition;
use crate::xmpp::stanza::{MessageType, Stanza};
use jiff::Timestamp;
use std::borrow::Cow;

/// Octets of a subject that cross; what is longer is cut at a character.
const SUBJECT_LIMIT: usize = 512;

/// What becomes of an XMPP message.
#[derive(Debug, PartialEq)]
pub enum ToSip<'s> {
    /// This text crosses.
    Message(PagerText<'s>),
    /// There is no text, but a word about who writes.
    State(ChatState),
    /// There is no text, but an answer to a message of the SIP user's.
    Answer(Answer<'s>),
    /// Nothing crosses and nobody is told: headlines, errors, what has no meaning to a SIP user.
    Nothing,
    /// It is encrypted: its sender hears [`beyond::ENCRYPTED`].
    Encrypted,
    /// Nothing crosses and the sender is told.
    Refuse(Condition, &'static str),
}

/// The text of a pager-mode message.
#[derive(Debug, Default, PartialEq)]
pub struct PagerText<'s> {
    /// The body; empty if there is only a subject.
    pub body: Cow<'s, str>,
    /// The subject, on one line.
    pub subject: Option<String>,
    /// The language of body and subject (BCP 47): Content-Language, RFC 7572 §8.
    pub language: Option<Cow<'s, str>>,
    /// The thread: Call-ID, RFC 7572 §4.
    pub thread: Option<Cow<'s, str>>,
    /// When it was written, if it was delayed (XEP-0203): Date.
    pub sent: Option<Wall>,
    /// Its chat state: whoever shows one knows them.
    pub state: Option<ChatState>,
    /// What its sender wants to hear of it. Nothing if it has no id to be heard of by.
    pub asked: Asked,
    /// The name by which its sender wants to be known (XEP-0172): the display name in From.
    pub name: Option<Cow<'s, str>>,
}

/// Decides what becomes of `stanza`, a `<message/>` (RFC 6121 §5.2.2, RFC 7572 §4, and [`beyond`]). A text
/// that crosses is on the `desk` from then on, for those that refer to it.
pub fn translate<'s>(stanza: &'s Stanza<'_>, desk: &mut Desk<'_>) -> ToSip<'s> {
    match stanza.message_type() {
        // RFC 6121 §5.2.2: an unknown type is treated as normal.
        MessageType::Normal | MessageType::Chat => {}
        MessageType::Groupchat => {
            return ToSip::Refuse(Condition::ServiceUnavailable, beyond::NO_ROOMS);
        }
        MessageType::Headline | MessageType::Error => return ToSip::Nothing,
    }
    let message = &stanza.element;
    let rare = Rare::of(message);
    if rare.copy {
        return ToSip::Nothing;
    }
    if rare.invitation {
        return ToSip::Refuse(Condition::ServiceUnavailable, beyond::NO_ROOMS);
    }
    let stanza_language = message.lang();
    let (mut body, body_language) = pick(message, "body", stanza_language);
    if rare.encrypted || body.as_deref().is_some_and(|body| body.starts_with("?OTR")) {
        return ToSip::Encrypted;
    }
    let (subject, subject_language) = pick(message, "subject", stanza_language);
    if rare.changes_text {
        body = beyond::text(&rare, stanza, body, desk);
    }
    let subject =
        subject.map(|text| one_line(&text, SUBJECT_LIMIT).into_owned()).filter(|text| !text.is_empty());
    let body = body.filter(|text| !text.trim().is_empty());
    if body.is_none() && subject.is_none() {
        return match (rare.answer, rare.state) {
            (Some(answer), _) => ToSip::Answer(answer),
            (None, Some(state)) => ToSip::State(state),
            (None, None) => ToSip::Nothing,
        };
    }
    if let (Some(id), Some(body)) = (stanza.id(), &body) {
        desk.memory.remember(desk.now, &stanza.from, &stanza.to, id, body);
    }
    let language = if body.is_some() { body_language } else { subject_language };
    let delay = rare.delay.and_then(|delay| delay.attr("stamp"));
    ToSip::Message(PagerText {
        body: beyond::shown(body.unwrap_or_default(), desk.terms),
        subject,
        language: language.filter(|tag| is_language(tag)).map(Cow::Borrowed),
        thread: message.child("thread", "jabber:server").map(Element::text).filter(|text| !text.is_empty()),
        sent: delay.and_then(time_of_stamp),
        state: rare.state,
        // RFC 5438 §7.2.1, XEP-0184 §5.6: what answers asks nothing.
        asked: if rare.answer.is_none() && stanza.id().is_some() { rare.asked } else { Asked::default() },
        name: rare.nick.and_then(|nick| match nick.text() {
            Cow::Borrowed(text) => beyond::display_name(text),
            Cow::Owned(text) => beyond::display_name(&text).map(|name| Cow::Owned(name.into_owned())),
        }),
    })
}

/// The time that a stamp of XEP-0082 names; also one with an offset or fractions of a second.
pub fn time_of_stamp(stamp: &str) -> Option<Wall> {
    let timestamp: Timestamp = stamp.trim().parse().ok()?;
    u64::try_from(timestamp.as_millisecond()).ok().map(Wall::from_millis)
}

/// The text of the child `name` that suits best: the one in the stanza's own language, else the one
/// without a language, else the first.
fn pick<'s>(
    message: &'s Element<'_>,
    name: &str,
    stanza_language: Option<&'s str>,
) -> (Option<Cow<'s, str>>, Option<&'s str>) {
    let mut best: Option<(&'s Element<'_>, u8)> = None;
    for child in message.children().filter(|child| child.is(name, "jabber:server")) {
        let fit = match child.lang() {
            None => 2,
            Some(language) if Some(language) == stanza_language => 2,
            Some(_) => 1,
        };
        if best.is_none_or(|(_, known)| fit > known) {
            best = Some((child, fit));
        }
    }
    match best {
        Some((child, _)) => (Some(child.text()), child.lang().or(stanza_language)),
        None => (None, None),
    }
}

/// Could `tag` be a language tag (RFC 5646 §2.1 in the rough)? What is not never becomes a header.
pub fn is_language(tag: &str) -> bool {
    !tag.is_empty()
        && tag.len() <= 64
        && tag
            .split('-')
            .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// The Call-ID that stands for an XMPP thread, both ways (RFC 7572 §4; RFC 3261 §25.1 `callid`).
///
/// A thread that is a `word` stands for itself in its first message. Any other, and every message
/// behind the first, has a Call-ID of its own that holds the thread: a mark of ours, the thread with
/// `%` escapes, and `again`, which is unique. None if it would be longer than 200 octets: then the
/// message starts a new thread on the SIP side.
pub fn call_id_of_thread(thread: &str, again: Option<&str>) -> Option<String> {
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(is_word_octet);
    let fits = match thread.split_once('@') {
        Some((left, right)) => is_word(left) && is_word(right),
        None => is_word(thread),
    };
    let call_id = if fits && again.is_none() && !thread.starts_with(THREAD_MARK) {
        thread.to_owned()
    } else {
        let mut escaped = String::from(THREAD_MARK);
        for octet in thread.bytes() {
            if octet.is_ascii_alphanumeric() {
                escaped.push(char::from(octet));
            } else {
                escaped.push('%');
                escaped.extend(
                    [octet >> 4, octet & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')),
                );
            }
        }
        if let Some(again) = again {
            escaped.push(AGAIN);
            escaped.push_str(again);
        }
        escaped
    };
    (call_id.len() <= 200).then_some(call_id)
}

/// The thread that a Call-ID stands for: the reverse of [`call_id_of_thread`].
pub fn thread_of_call_id(call_id: &str) -> Cow<'_, str> {
    call_id
        .strip_prefix(THREAD_MARK)
        .and_then(|rest| rest.split(AGAIN).next())
        .and_then(|escaped| percent_encoding::percent_decode_str(escaped).decode_utf8().ok())
        .unwrap_or(Cow::Borrowed(call_id))
}

/// What a Call-ID starts with that we made of a thread.
const THREAD_MARK: &str = "xt%";
/// What stands between the thread and what makes the Call-ID unique. Never in the escaped thread.
const AGAIN: char = '~';

/// RFC 3261 §25.1 `word`.
fn is_word_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-.!%*_+`'~()<>:\\\"/[]?{}".contains(&octet)
}
