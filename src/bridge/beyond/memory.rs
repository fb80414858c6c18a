//! What was written lately, for those who refer to it; and what was said lately, so that it is not said
//! too often. Both in memory that never grows: a new entry takes the place of an old one.

use crate::addr::Jid;
use crate::now::{Mono, Now};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Messages that are remembered, at most.
const MESSAGES: usize = 8192;
/// Octets of a message that are remembered.
const OCTETS: usize = 96;
/// For how long: a correction of what is older is a new message.
const LASTS: Duration = Duration::from_secs(4 * 3600);
/// What was said that is remembered, at most.
const SAID: usize = 8192;

/// The beginnings of messages, by who wrote to whom under which id.
///
/// Entries are found by a seeded hash. A collision makes one forgotten; with 64 bits nobody finds one that
/// makes another's message look like it.
pub struct Memory {
    keyed: DefaultHasher,
    /// None until the first message with an id.
    messages: Vec<Message>,
    /// What was said.
    pub said: Recent,
}

#[derive(Clone)]
struct Message {
    key: u64,
    until: Mono,
    length: u8,
    octets: [u8; OCTETS],
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Texts are in no log.
        f.write_str("Memory")
    }
}

impl Memory {
    /// Nothing yet.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut keyed = DefaultHasher::new();
        ("messages", seed).hash(&mut keyed);
        Self { keyed, messages: Vec::new(), said: Recent::new(seed) }
    }

    /// `author` wrote `text` to `other` under `id`.
    pub fn remember(&mut self, now: Now, author: &Jid, other: &Jid, id: &str, text: &str) {
        let key = self.key(author, other, id);
        if self.messages.is_empty() {
            let none = Message { key: 0, until: Mono::default(), length: 0, octets: [0; OCTETS] };
            self.messages = vec![none; MESSAGES];
        }
        let Some(place) = self.messages.get_mut(place(key, MESSAGES)) else { return };
        let start = text.get(..text.floor_char_boundary(OCTETS)).unwrap_or_default().as_bytes();
        place.key = key;
        place.until = now.mono + LASTS;
        place.length = u8::try_from(start.len()).unwrap_or(0);
        if let Some(octets) = place.octets.get_mut(..start.len()) {
            octets.copy_from_slice(start);
        }
    }

    /// How the message begins that `author` wrote to `other` under `id`.
    pub fn recall(&self, now: Now, author: &Jid, other: &Jid, id: &str) -> Option<&str> {
        let key = self.key(author, other, id);
        let found = self.messages.get(place(key, MESSAGES))?;
        if found.key != key || found.until <= now.mono {
            return None;
        }
        std::str::from_utf8(found.octets.get(..found.length.into())?).ok()
    }

    /// Did `author` write to `other` under `id` lately?
    pub fn knows(&self, now: Now, author: &Jid, other: &Jid, id: &str) -> bool {
        self.recall(now, author, other, id).is_some()
    }

    fn key(&self, author: &Jid, other: &Jid, id: &str) -> u64 {
        let mut hasher = self.keyed.clone();
        (author.bare_str(), other.bare_str(), id).hash(&mut hasher);
        hasher.finish()
    }
}

/// Things that were said, each until it may be said again.
pub struct Recent {
    keyed: DefaultHasher,
    said: Vec<(u64, Mono)>,
}

impl Recent {
    /// Nothing yet.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut keyed = DefaultHasher::new();
        ("said", seed).hash(&mut keyed);
        Self { keyed, said: Vec::new() }
    }

    /// Is this said for the first time in `pause`? Then it counts as said.
    pub fn is_first(&mut self, now: Now, pause: Duration, what: impl Hash) -> bool {
        if self.knows(now, &what) {
            return false;
        }
        self.set(now, pause, what);
        true
    }

    /// Is it remembered?
    pub fn knows(&self, now: Now, what: impl Hash) -> bool {
        // Nothing is hashed to be looked up in an empty table.
        if self.said.is_empty() {
            return false;
        }
        let key = self.key(what);
        self.said.get(place(key, SAID)).is_some_and(|(known, until)| *known == key && *until > now.mono)
    }

    /// It is remembered for that long.
    pub fn set(&mut self, now: Now, lasts: Duration, what: impl Hash) {
        let key = self.key(what);
        if self.said.is_empty() {
            self.said = vec![(0, Mono::default()); SAID];
        }
        if let Some(place) = self.said.get_mut(place(key, SAID)) {
            *place = (key, now.mono + lasts);
        }
    }

    /// It is not remembered any more.
    pub fn forget(&mut self, what: impl Hash) {
        let key = self.key(what);
        if let Some(place) = self.said.get_mut(place(key, SAID))
            && place.0 == key
        {
            place.1 = Mono::default();
        }
    }

    fn key(&self, what: impl Hash) -> u64 {
        let mut hasher = self.keyed.clone();
        what.hash(&mut hasher);
        hasher.finish()
    }
}

/// Where a key stands among `places`, which are a power of two.
fn place(key: u64, places: usize) -> usize {
    usize::try_from(key >> 32).unwrap_or(0) & (places - 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    #[test]
    fn a_message_is_remembered_by_author_recipient_and_id_for_some_hours() {
        let (alice, romeo) = (jid("alice@contoso.example"), jid("romeo@capulet.example/x"));
        let mut memory = Memory::new([1; 32]);
        assert_eq!(memory.recall(Now::at(0), &romeo, &alice, "m1"), None);
        memory.remember(Now::at(0), &romeo, &alice, "m1", "But soft");
        assert_eq!(memory.recall(Now::at(1), &romeo.to_bare(), &alice, "m1"), Some("But soft"));
        assert_eq!(memory.recall(Now::at(1), &alice, &romeo, "m1"), None, "the other way");
        assert_eq!(memory.recall(Now::at(1), &romeo, &alice, "m2"), None);
        assert_eq!(memory.recall(Now::at(4 * 3600), &romeo, &alice, "m1"), None, "too old");
        memory.remember(Now::at(2), &romeo, &alice, "m2", &"é".repeat(100));
        assert_eq!(memory.recall(Now::at(3), &romeo, &alice, "m2"), Some(&*"é".repeat(48)));
    }

    #[test]
    fn memory_never_grows() {
        let (alice, romeo) = (jid("alice@contoso.example"), jid("romeo@capulet.example"));
        let mut memory = Memory::new([1; 32]);
        for n in 0..3 * MESSAGES {
            memory.remember(Now::at(0), &romeo, &alice, &n.to_string(), "x");
            memory.said.is_first(Now::at(0), LASTS, n);
        }
        assert_eq!((memory.messages.len(), memory.said.said.len()), (MESSAGES, SAID));
        let last = (3 * MESSAGES - 1).to_string();
        assert!(memory.knows(Now::at(0), &romeo, &alice, &last));
    }

    #[test]
    fn the_same_is_said_again_after_the_pause() {
        let mut said = Recent::new([1; 32]);
        let pause = Duration::from_secs(10);
        assert!(said.is_first(Now::at(0), pause, "a"));
        assert!(!said.is_first(Now::at(9), pause, "a"));
        assert!(said.is_first(Now::at(9), pause, "b"));
        assert!(said.is_first(Now::at(10), pause, "a"));
    }
}
