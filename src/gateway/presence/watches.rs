//! Where watches stand.

use super::super::settings::PresenceSettings;
use crate::addr::Jid;
use crate::gateway::tally::{Tally, count_down, count_up};
use crate::now::Mono;
use crate::store::record::{Authorization, Watching};
use slab::Slab;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The name of a watch, for good: a slot is used again, with another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchRef {
    /// Who watches.
    pub side: Watching,
    /// Where it stands.
    pub slot: u32,
    /// Which one it is of those that stood there.
    pub number: u32,
}

/// Which of the timers of a watch count: the next one, and one that stands behind it.
///
/// A timer can't be taken back. So that the one behind is not set a second time when the next has come, it
/// is remembered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Armed {
    next: Option<Mono>,
    behind: Option<Mono>,
}

impl Armed {
    /// Does the timer that was set for `at` count?
    pub(super) fn is(&self, at: Mono) -> bool {
        [self.next, self.behind].contains(&Some(at))
    }

    /// A timer for `at` is wanted: true if it has to be set.
    pub(super) fn wants(&mut self, at: Mono) -> bool {
        let sooner = self.next.is_none_or(|next| at < next);
        if sooner {
            self.set(at);
        }
        sooner
    }

    /// A timer was set for `at`, and no other comes before it.
    pub(super) fn set(&mut self, at: Mono) {
        self.behind = self.next.replace(at);
    }

    /// The timer that was set for `at` has come: true if it is the one that was waited for.
    pub(super) fn take(&mut self, at: Mono) -> bool {
        if self.next == Some(at) {
            self.next = self.behind.take();
            return true;
        }
        if self.behind == Some(at) {
            self.behind = None;
        }
        false
    }
}

/// A watch as it is kept here.
pub(super) trait Entry {
    const SIDE: Watching;

    fn number(&self) -> u32;
    fn authorization(&self) -> &Authorization;
    /// The machine's state, in one word.
    fn state(&self) -> &'static str;
}

/// Watches of one kind, by slot and by pair.
pub(super) struct Watches<W> {
    slots: Slab<Box<W>>,
    /// The keyed hash of a pair → its slot. A pair whose hash is taken finds no room: nobody can make
    /// that happen without the key.
    pairs: HashMap<u64, u32>,
    keyed: DefaultHasher,
    /// How many are in each state.
    states: Vec<(&'static str, usize)>,
}

impl<W: Entry> Watches<W> {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let mut keyed = DefaultHasher::new();
        ("watches", W::SIDE, seed).hash(&mut keyed);
        Self { slots: Slab::new(), pairs: HashMap::new(), keyed, states: Vec::new() }
    }

    fn key(&self, watcher: &Jid, presentity: &Jid) -> u64 {
        let mut hasher = self.keyed.clone();
        (watcher.bare_str(), presentity.bare_str()).hash(&mut hasher);
        hasher.finish()
    }

    /// The watch of a pair. Resources do not matter.
    pub(super) fn find(&self, watcher: &Jid, presentity: &Jid) -> Option<WatchRef> {
        if self.pairs.is_empty() {
            return None;
        }
        let slot = *self.pairs.get(&self.key(watcher, presentity))?;
        let entry = self.slots.get(slot as usize)?;
        let Authorization { watcher: one, presentity: other, .. } = entry.authorization();
        let same = one.as_str() == watcher.bare_str() && other.as_str() == presentity.bare_str();
        same.then(|| WatchRef { side: W::SIDE, slot, number: entry.number() })
    }

    pub(super) fn get(&self, watch: WatchRef) -> Option<&W> {
        let entry = self.slots.get(watch.slot as usize)?;
        (watch.side == W::SIDE && entry.number() == watch.number).then_some(entry)
    }

    pub(super) fn get_mut(&mut self, watch: WatchRef) -> Option<&mut W> {
        let entry = self.slots.get_mut(watch.slot as usize)?;
        (watch.side == W::SIDE && entry.number() == watch.number).then_some(entry)
    }

    /// Puts a watch into a new slot; None if its pair has one.
    pub(super) fn insert(&mut self, entry: W) -> Option<WatchRef> {
        let Authorization { watcher, presentity, .. } = entry.authorization();
        let key = self.key(watcher, presentity);
        let slot = u32::try_from(self.slots.vacant_key()).ok()?;
        if self.pairs.contains_key(&key) {
            return None;
        }
        self.pairs.insert(key, slot);
        self.count(entry.state(), 1);
        let number = entry.number();
        self.slots.insert(Box::new(entry));
        Some(WatchRef { side: W::SIDE, slot, number })
    }

    pub(super) fn remove(&mut self, watch: WatchRef) -> Option<Box<W>> {
        self.get(watch)?;
        let entry = self.slots.try_remove(watch.slot as usize)?;
        let Authorization { watcher, presentity, .. } = entry.authorization();
        self.pairs.remove(&self.key(watcher, presentity));
        self.count(entry.state(), -1);
        Some(entry)
    }

    /// A watch that was in state `before` has handled an input.
    pub(super) fn moved(&mut self, before: &'static str, after: &'static str) {
        if before != after {
            self.count(before, -1);
            self.count(after, 1);
        }
    }

    fn count(&mut self, state: &'static str, change: isize) {
        match self.states.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count = count.saturating_add_signed(change),
            None => self.states.push((state, usize::from(change > 0))),
        }
    }

    /// How many are in each state.
    pub(super) fn states(&self) -> &[(&'static str, usize)] {
        &self.states
    }

    /// The names of those that are `wanted`, in the order of their slots.
    pub(super) fn refs(&self, wanted: impl Fn(&W) -> bool) -> Vec<WatchRef> {
        let all = self.slots.iter().filter(|(_, entry)| wanted(entry));
        let name = |slot, number| Some(WatchRef { side: W::SIDE, slot: u32::try_from(slot).ok()?, number });
        all.filter_map(|(slot, entry)| name(slot, entry.number())).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &W> {
        self.slots.iter().map(|(_, entry)| &**entry)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// How many watches there are of whom.
pub(super) struct Bounds {
    users: HashMap<Box<str>, u32>,
    /// Of all shards, by the contact's domain.
    together: Tally,
}

impl Bounds {
    /// None yet of this shard; `together` counts those of all.
    pub(super) fn new(together: Tally) -> Self {
        Self { users: HashMap::new(), together }
    }

    /// Is there room for another watch between `user`, ours, and a contact in `domain`?
    pub(super) fn has_room(&self, user: &Jid, domain: &str, settings: &PresenceSettings) -> bool {
        let of_user = self.users.get(user.bare_str()).map_or(0, |count| *count as usize);
        of_user < settings.per_user && self.together.has_room(domain, settings.per_domain, settings.watches)
    }

    pub(super) fn add(&mut self, authorization: &Authorization) {
        let (user, domain) = ends(authorization);
        count_up(&mut self.users, user.as_str());
        self.together.up(domain);
    }

    pub(super) fn remove(&mut self, authorization: &Authorization) {
        let (user, domain) = ends(authorization);
        count_down(&mut self.users, user.as_str());
        self.together.down(domain);
    }
}

/// Our user, and the domain of the contact.
fn ends(authorization: &Authorization) -> (&Jid, &str) {
    let Authorization { direction, watcher, presentity, .. } = authorization;
    match direction {
        Watching::XmppWatchesSip => (presentity, watcher.domain()),
        Watching::SipWatchesXmpp => (watcher, presentity.domain()),
    }
}
