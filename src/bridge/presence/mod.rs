//! Presence, both ways: RFC 8048 §6, RFC 3863, RFC 4480, RFC 6121 §4. Pure.
//!
//! | file | owns |
//! |---|---|
//! | this one | [`Resource`]: what one resource shows, to either side |
//! | [`table`] | show ↔ basic status, activities, Microsoft's numbers; which counts more; priorities |
//! | [`tuple_id`] | the resource in the id of a tuple |
//! | [`resources`] | [`Resources`]: an XMPP user's presences → one document |
//! | [`shown`] | [`Shown`]: documents about a SIP user → presences |
//!
//! Both keepers hold one presentity as one watcher may see it, and nothing that was said to another:
//! what came for a watcher goes to that watcher alone (RFC 8048 §8.2). Each is bounded, whatever comes.
//! Neither asks who may see what, and neither sends: the caller has the grant and the wire.
//!
//! Moods, places, spheres and whatever else a document holds do not cross, nor do avatars and
//! capabilities of XMPP clients.

pub mod resources;
pub mod shown;
pub mod table;
pub mod tuple_id;

#[cfg(test)]
mod tests;

pub use resources::{Change, PidfOptions, Resources};
pub use shown::{Caps, Envelope, Shown};
pub use table::State;

use super::to_sip::is_language;
use crate::now::Wall;
use jiff::Timestamp;

/// Resources that are kept of one presentity.
pub const RESOURCES_MAX: usize = 50;
/// Octets of names and statuses that are kept of one presentity.
pub const OCTETS_MAX: usize = 8192;
/// Statuses of one resource, each in its language.
pub const STATUSES_MAX: usize = 4;
/// Octets of one status; what is longer is cut at a character.
pub const STATUS_MAX: usize = 1024;

/// A resource of a presentity, and what it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The resourcepart; `None` speaks for the bare JID.
    pub name: Option<Box<str>>,
    /// Its availability.
    pub state: State,
    /// Its priority (RFC 6121 §4.7.2.3).
    pub priority: i8,
    /// Since when nobody has used it (XEP-0319), if it says so.
    pub idle: Option<Wall>,
    /// Since when it shows what it shows.
    pub since: Wall,
    /// What it says, one text a language.
    pub statuses: Box<[Status]>,
}

/// A text that goes with a presence (RFC 6121 §4.7.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its language (RFC 5646).
    pub lang: Option<Box<str>>,
    /// The text, neither blank nor with white space around it.
    pub text: Box<str>,
}

impl Resource {
    /// One that is not there.
    pub fn offline(name: Option<Box<str>>, statuses: Box<[Status]>, since: Wall) -> Self {
        Self { name, state: State::Offline, priority: 0, idle: None, since, statuses }
    }

    /// Whether people would see a difference, since when aside.
    fn shows_same_as(&self, other: &Self) -> bool {
        self.state == other.state
            && self.priority == other.priority
            && self.idle == other.idle
            && self.statuses == other.statuses
    }

    /// Octets of what can be of any length.
    fn octets(&self) -> usize {
        let statuses = self.statuses.iter().map(|s| s.text.len() + s.lang.as_ref().map_or(0, |l| l.len()));
        self.name.as_ref().map_or(0, |name| name.len()) + statuses.sum::<usize>()
    }
}

/// The texts of `pairs` of language and text: the first of each language, no blank ones, bounded.
fn statuses<'t>(pairs: impl Iterator<Item = (Option<&'t str>, &'t str)>) -> Box<[Status]> {
    let mut list: Vec<Status> = Vec::new();
    for (lang, text) in pairs {
        let lang = lang.filter(|lang| is_language(lang));
        let text = cut(text.trim(), STATUS_MAX);
        let known = |status: &Status| match (status.lang.as_deref(), lang) {
            (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if text.is_empty() || list.iter().any(known) {
            continue;
        }
        list.push(Status { lang: lang.map(Box::from), text: Box::from(text) });
        if list.len() == STATUSES_MAX {
            break;
        }
    }
    list.into()
}

/// The longest start of `text` that has at most `limit` octets and ends at a character.
fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default().trim_end()
}

/// A point in time for a document; none beyond the year 9999.
fn timestamp(time: Wall) -> Option<Timestamp> {
    i64::try_from(time.as_millis()).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok())
}

/// A point in time from a document; none before 1970.
fn wall(time: Timestamp) -> Option<Wall> {
    u64::try_from(time.as_millisecond()).ok().map(Wall::from_millis)
}
