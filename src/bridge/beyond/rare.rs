//! One look at the children of a message.

use crate::bridge::receipts::{Answer, Asked};
use crate::bridge::typing::ChatState;
use crate::xml::{self, Element};
use crate::xmpp::ns;

pub(super) const REACTIONS: &str = "urn:xmpp:reactions:0";
pub(super) const GEOLOC: &str = "http://jabber.org/protocol/geoloc";
pub(super) const OOB: &str = "jabber:x:oob";
pub(super) const FILE_SHARING: &str = "urn:xmpp:sfs:0";
pub(super) const REFERENCE: &str = "urn:xmpp:reference:0";
const REPLY: &str = "urn:xmpp:reply:0";

/// What a message has beside body, subject and thread.
#[derive(Clone, Debug, Default)]
pub struct Rare<'s> {
    /// A chat state (XEP-0085).
    pub state: Option<ChatState>,
    /// What it wants to hear (XEP-0184, XEP-0333).
    pub asked: Asked,
    /// What it answers (XEP-0184, XEP-0333).
    pub answer: Option<Answer<'s>>,
    /// A nickname (XEP-0172).
    pub nick: Option<&'s Element<'s>>,
    /// A delay (XEP-0203).
    pub delay: Option<&'s Element<'s>>,
    /// A copy of somebody else's conversation, never ours to carry: carbons and archive results are no s2s
    /// matter, and one from outside is a forgery (CVE-2017-5589); so is what is forwarded (XEP-0297 §5).
    pub copy: bool,
    /// It is encrypted, and its body is only what is said to those who can't read it.
    pub encrypted: bool,
    /// An invitation to a room (XEP-0045 §7.8, XEP-0249).
    pub invitation: bool,
    /// The id of the message that it replaces (XEP-0308).
    pub corrects: Option<&'s str>,
    /// The id of the message that it answers (XEP-0461).
    pub reply_to: Option<&'s str>,
    /// Its body quotes that message.
    pub has_reply_fallback: bool,
    /// Reactions to a message (XEP-0444).
    pub reactions: Option<&'s Element<'s>>,
    /// It takes a message back (XEP-0424).
    pub retraction: bool,
    /// Links to files (XEP-0066, 0447, 0385).
    pub files: bool,
    /// A place (XEP-0080).
    pub place: Option<&'s Element<'s>>,
    /// A sticker (XEP-0449).
    pub sticker: bool,
    /// A contact's card.
    pub card: bool,
    /// Something that changes the text.
    pub changes_text: bool,
}

impl<'s> Rare<'s> {
    /// Looks at each child once.
    pub fn of(message: &'s Element<'_>) -> Self {
        let mut rare = Self::default();
        for child in message.children() {
            if child.ns() != xml::ns::SERVER {
                rare.note(child);
            }
        }
        rare
    }

    fn note(&mut self, child: &'s Element<'_>) {
        let id = || child.attr("id").filter(|id| !id.is_empty());
        match (child.ns(), child.name()) {
            (ns::CHAT_STATES, _) => self.state = self.state.or_else(|| ChatState::of(child)),
            (ns::RECEIPTS, "request") => self.asked.delivery = true,
            (ns::MARKERS, "markable") => self.asked.display = true,
            (ns::RECEIPTS | ns::MARKERS, _) => self.answer = self.answer.or_else(|| Answer::of(child)),
            (ns::NICK, "nick") => self.nick = Some(child),
            ("urn:xmpp:delay", "delay") => self.delay = Some(child),
            ("urn:xmpp:carbons:2" | "urn:xmpp:mam:2" | "urn:xmpp:forward:0", _) => self.copy = true,
            // XEP-0380; OMEMO of two generations, OpenPGP for XMPP, and what is signed and encrypted whole.
            ("urn:xmpp:eme:0", "encryption")
            | ("eu.siacs.conversations.axolotl" | "urn:xmpp:omemo:1" | "urn:xmpp:omemo:2", "encrypted")
            | ("urn:xmpp:openpgp:0", "openpgp")
            | ("jabber:x:encrypted", "x")
            | ("urn:ietf:params:xml:ns:xmpp-e2e" | "urn:xmpp:sce:1", _) => self.encrypted = true,
            ("http://jabber.org/protocol/muc#user", "x") => {
                self.invitation |= child.children().any(|inner| inner.name() == "invite");
            }
            ("jabber:x:conference", "x") => self.invitation = true,
            ("urn:xmpp:message-correct:0", "replace") => self.text(|rare| rare.corrects = id()),
            (REPLY, "reply") => self.text(|rare| rare.reply_to = id()),
            ("urn:xmpp:fallback:0", "fallback") => {
                self.has_reply_fallback |= child.attr("for") == Some(REPLY);
            }
            (REACTIONS, "reactions") => self.text(|rare| rare.reactions = Some(child)),
            ("urn:xmpp:message-retract:1" | "urn:xmpp:message-retract:0", "retract") => {
                self.text(|rare| rare.retraction = true);
            }
            // XEP-0422: what retractions came in before.
            ("urn:xmpp:fasten:0", "apply-to")
                if child.child("retract", "urn:xmpp:message-retract:0").is_some() =>
            {
                self.text(|rare| rare.retraction = true);
            }
            (OOB, "x") | (FILE_SHARING, "file-sharing") | (REFERENCE, "reference") => {
                self.text(|rare| rare.files = true);
            }
            (GEOLOC, "geoloc") => self.text(|rare| rare.place = Some(child)),
            ("urn:xmpp:stickers:0", "sticker") => self.text(|rare| rare.sticker = true),
            ("vcard-temp", "vCard") | ("urn:ietf:params:xml:ns:vcard-4.0", "vcard") => {
                self.text(|rare| rare.card = true);
            }
            _ => {}
        }
    }

    fn text(&mut self, note: impl FnOnce(&mut Self)) {
        self.changes_text = true;
        note(self);
    }
}
