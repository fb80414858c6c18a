//! What an XMPP message may hold that no mapping specification speaks of, as text for a SIP user. Pure.
//!
//! | file | owns |
//! |---|---|
//! | this one | [`Terms`], [`Desk`]; what becomes of each, in the table below |
//! | `rare` | one look at the children of a message: which of them there are |
//! | `memory` | what was written lately, and what was said lately: fixed memory |
//! | `files` | links to files |
//! | `emoji` | text for those who can't show every character |
//!
//! | there is | what the SIP user gets | switch |
//! |---|---|---|
//! | a correction (XEP-0308) of a message of the last hours by the same person | `* ` and the whole text | |
//! | a correction of anything else | the text | |
//! | a reply (XEP-0461) | the text with its quotation; `> ` and what it answers, if it quotes nothing | |
//! | reactions (XEP-0444) | `romeo reacted 👍 to "…"`, one in ten seconds; removals nothing | `reactions` |
//! | a retraction (XEP-0424) | `(message withdrawn)`: nobody says that it is gone | |
//! | a file (XEP-0066, 0447, 0385) | its https link, once, with name and size; nothing is fetched | |
//! | an `aesgcm:` link | the link, and that the file is encrypted | |
//! | encryption (OMEMO, OpenPGP, OTR, XEP-0380) | nothing; its sender gets `not-acceptable` | `encrypted` |
//! | a carbon, an archive's result, something forwarded | nothing: a forgery (CVE-2017-5589) | |
//! | an invitation to a room | nothing; its sender hears that rooms do not cross | |
//! | a nickname (XEP-0172) | the display name in From | |
//! | a place (XEP-0080), a contact's card, a sticker | a few words, if there is no text | |
//! | hints, ids, styling, previews, anything unknown | the text as it is | |
//! | characters outside of the basic plane | themselves; words, if the peer is `emoji = "ascii"` | `emoji` |

mod emoji;
mod files;
mod memory;
mod rare;

#[cfg(test)]
mod tests;

pub use memory::{Memory, Recent};
pub use rare::Rare;

use crate::addr::Jid;
use crate::body::charset::one_line;
use crate::now::Now;
use crate::xml::Element;
use crate::xmpp::stanza::Stanza;
use std::borrow::Cow;
use std::time::Duration;
use unicode_segmentation::UnicodeSegmentation;

/// What the sender of an encrypted message hears.
pub const ENCRYPTED: &str = "the recipient's network cannot read encrypted messages";
/// What whoever invites to a room hears.
pub const NO_ROOMS: &str = "group chat does not cross; write to one person";
/// What a SIP user is told instead of an encrypted message, if that is switched on.
pub const ENCRYPTED_NOTICE: &str = "(An encrypted message was not delivered: this network cannot read it.)";
/// How often one pair hears that.
pub const ENCRYPTED_PAUSE: Duration = Duration::from_secs(24 * 3600);

/// How often one person's reactions become a text for one user.
const REACTIONS_PAUSE: Duration = Duration::from_secs(10);
/// Reactions in one text, and octets of one.
const REACTIONS: (usize, usize) = (5, 40);
/// Characters, as people count them, of a message that another text refers to.
const SNIPPET: usize = 40;
/// Octets of a display name: what RFC 8266 leaves to us.
const NAME: usize = 128;

/// What a SIP peer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Do reactions become texts?
    pub reactions: bool,
    /// Do characters outside of the basic plane become words?
    pub ascii_emoji: bool,
}

impl Default for Terms {
    fn default() -> Self {
        Self { reactions: true, ascii_emoji: false }
    }
}

/// All that a translation needs beside the stanza.
#[derive(Debug)]
pub struct Desk<'d> {
    /// The time.
    pub now: Now,
    /// What the peer of the SIP user wants.
    pub terms: Terms,
    /// What was written and said lately.
    pub memory: &'d mut Memory,
}

/// The text of a message with something rare in it; None if there is nothing to say.
pub fn text<'s>(
    rare: &Rare<'s>,
    stanza: &'s Stanza<'_>,
    body: Option<Cow<'s, str>>,
    desk: &mut Desk<'_>,
) -> Option<Cow<'s, str>> {
    let (author, other) = (&stanza.from, &stanza.to);
    if rare.retraction {
        return Some("(message withdrawn)".into());
    }
    if let Some(reactions) = rare.reactions {
        return reacted(reactions, stanza, rare, desk).map(Cow::Owned);
    }
    let mut text = body;
    if let Some(id) = rare.reply_to
        && let Some(said) = &mut text
        && !rare.has_reply_fallback
        && let Some(snippet) = desk.recall(other, author, id).or_else(|| desk.recall(author, other, id))
    {
        *said = format!("> {snippet}\n{said}").into();
    }
    for link in files::links(&stanza.element, rare) {
        let known = text.as_deref().is_some_and(|said| said.contains(&*link.url));
        let line = if known { link.about() } else { Some(link.line()) };
        let Some(line) = line else { continue };
        text = Some(match text.take() {
            Some(said) if !said.trim().is_empty() => format!("{said}\n{line}").into(),
            Some(_) | None => line.into(),
        });
    }
    if let Some(said) = &mut text
        && said.contains("aesgcm://")
    {
        *said = format!("{said}\n(The file is encrypted: this network cannot open it.)").into();
    }
    if text.as_deref().is_none_or(|said| said.trim().is_empty()) {
        text = words_for(rare).map(Cow::Owned);
    }
    if let Some(id) = rare.corrects
        && let Some(said) = &mut text
        && desk.memory.knows(desk.now, author, other, id)
    {
        *said = format!("* {said}").into();
    }
    text
}

/// The text as the peer can show it.
pub fn shown<'s>(text: Cow<'s, str>, terms: Terms) -> Cow<'s, str> {
    if terms.ascii_emoji { emoji::without(text) } else { text }
}

/// The display name that a nickname becomes: on one line, without what turns text around.
pub fn display_name(nick: &str) -> Option<Cow<'_, str>> {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let name = match one_line(nick, NAME) {
        name if name.contains(turns) => Cow::Owned(name.replace(turns, "")),
        name => name,
    };
    (!name.trim().is_empty()).then_some(name)
}

impl Desk<'_> {
    fn recall(&self, author: &Jid, other: &Jid, id: &str) -> Option<String> {
        self.memory.recall(self.now, author, other, id).map(snippet)
    }
}

/// The line that reactions become.
fn reacted(
    reactions: &Element<'_>,
    stanza: &Stanza<'_>,
    rare: &Rare<'_>,
    desk: &mut Desk<'_>,
) -> Option<String> {
    let (author, other) = (&stanza.from, &stanza.to);
    let mut all = String::new();
    for reaction in
        reactions.children().filter(|child| child.is("reaction", rare::REACTIONS)).take(REACTIONS.0)
    {
        let text = reaction.text();
        all.push_str(one_line(&text, REACTIONS.1).trim());
    }
    // An empty list takes reactions back.
    if all.is_empty() || !desk.terms.reactions {
        return None;
    }
    let pair = ("reactions", author.bare_str(), other.bare_str());
    if !desk.memory.said.is_first(desk.now, REACTIONS_PAUSE, pair) {
        return None;
    }
    let nick = rare.nick.map(Element::text);
    let name = nick.as_deref().and_then(display_name);
    let name = name.as_deref().or(author.local()).unwrap_or_else(|| author.domain());
    let to = reactions
        .attr("id")
        .and_then(|id| desk.recall(other, author, id).or_else(|| desk.recall(author, other, id)));
    Some(match to {
        Some(to) => format!("{name} reacted {all} to \"{to}\""),
        None => format!("{name} reacted {all} to an earlier message"),
    })
}

/// The first words of a message: without what it quotes, on one line, never cut inside of a character as
/// people count them.
fn snippet(text: &str) -> String {
    let own = text.lines().find(|line| !line.starts_with('>') && !line.trim().is_empty()).unwrap_or(text);
    let line = one_line(own, usize::MAX);
    let (mut end, mut is_cut) = (0, false);
    for (count, (at, grapheme)) in line.grapheme_indices(true).enumerate() {
        if count == SNIPPET {
            is_cut = true;
            break;
        }
        end = at + grapheme.len();
    }
    let mut short = line.get(..end).unwrap_or_default().trim_end().to_owned();
    if is_cut {
        short.push('…');
    }
    short
}

/// What is said of a message that has no text of its own.
fn words_for(rare: &Rare<'_>) -> Option<String> {
    if let Some(place) = rare.place {
        let number = |name| {
            let text = place.child(name, rare::GEOLOC)?.text();
            text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && number.abs() <= 180.0)
        };
        if let (Some(latitude), Some(longitude)) = (number("lat"), number("lon")) {
            return Some(format!("geo:{latitude},{longitude}"));
        }
    }
    if rare.sticker {
        return Some("(sticker)".to_owned());
    }
    rare.card.then(|| "(contact card)".to_owned())
}
