//! Subscribes of contacts that our users have not added yet, within bounds: the oldest goes.
//!
//! A copy in memory of the pending records. It decides, its caller submits the changes that it returns.

use super::record::{Change, Key, Pending, Record};
use crate::addr::Jid;
use crate::now::Wall;
use std::collections::{BTreeMap, BTreeSet};

/// Pending records, at most so many for a user and in all.
#[derive(Debug)]
pub struct Waiting {
    per_user: usize,
    in_all: usize,
    users: BTreeMap<Jid, BTreeMap<Jid, Wall>>,
    ages: BTreeSet<(Wall, Jid, Jid)>,
}

impl Waiting {
    /// None yet; at most `per_user` for each user and `in_all` together, at least one of each.
    pub fn new(per_user: usize, in_all: usize) -> Self {
        Self {
            per_user: per_user.max(1),
            in_all: in_all.max(1),
            users: BTreeMap::new(),
            ages: BTreeSet::new(),
        }
    }

    /// Other bounds from now on; the removal of the oldest that are beyond them.
    pub fn set_bounds(&mut self, per_user: usize, in_all: usize) -> Vec<Change> {
        let users: Vec<Jid> = self.users.keys().cloned().collect();
        let mut gone = Vec::new();
        // What users have too many of goes first: it may be all that has to go.
        for (per_user, in_all) in [(per_user.max(1), usize::MAX), (per_user.max(1), in_all.max(1))] {
            (self.per_user, self.in_all) = (per_user, in_all);
            for user in &users {
                while let Some((user, contact)) = self.surplus(user) {
                    self.forget(&user, &contact);
                    gone.push(Change::Remove(Key::Pending { user, contact }));
                }
            }
        }
        gone
    }

    /// Adds one, and returns what changes on disk: the new record, then the removal of the oldest where
    /// a bound is passed. Nothing when the same contact already waits: the first time counts.
    /// The one just added may itself be the oldest; then there is nothing to write.
    pub fn add(&mut self, pending: Pending) -> Vec<Change> {
        let (user, contact) = (pending.user.to_bare(), pending.contact.to_bare());
        if self.since(&user, &contact).is_some() {
            return Vec::new();
        }
        self.users.entry(user.clone()).or_default().insert(contact.clone(), pending.since);
        self.ages.insert((pending.since, user.clone(), contact.clone()));
        let Some((gone_user, gone_contact)) = self.surplus(&user) else {
            return vec![Pending { user, contact, since: pending.since }.into()];
        };
        self.forget(&gone_user, &gone_contact);
        if (&gone_user, &gone_contact) == (&user, &contact) {
            return Vec::new();
        }
        let gone = Change::Remove(Key::Pending { user: gone_user, contact: gone_contact });
        vec![Pending { user, contact, since: pending.since }.into(), gone]
    }

    /// Takes one out: our user has added the contact, or the contact has given up. `None` if it did
    /// not wait.
    pub fn remove(&mut self, user: &Jid, contact: &Jid) -> Option<Change> {
        let (user, contact) = (user.to_bare(), contact.to_bare());
        self.forget(&user, &contact).then_some(Change::Remove(Key::Pending { user, contact }))
    }

    /// Since when `contact` waits for `user`.
    pub fn since(&self, user: &Jid, contact: &Jid) -> Option<Wall> {
        self.users.get(user.bare_str())?.get(contact.bare_str()).copied()
    }

    /// Who waits for `user`, in the order of their addresses.
    pub fn of<'w>(&'w self, user: &Jid) -> impl Iterator<Item = (&'w Jid, Wall)> + use<'w> {
        self.users.get(user.bare_str()).into_iter().flatten().map(|(contact, since)| (contact, *since))
    }

    /// Those who wait since before `before`: for the age purge.
    pub fn older_than(&self, before: Wall) -> impl Iterator<Item = Record> + '_ {
        self.ages.iter().take_while(move |(since, ..)| *since < before).map(|(since, user, contact)| {
            Record::Pending(Pending { user: user.clone(), contact: contact.clone(), since: *since })
        })
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.ages.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.ages.is_empty()
    }

    /// Who has to go after `user` got one more: the user's oldest, else the oldest of all.
    fn surplus(&self, user: &Jid) -> Option<(Jid, Jid)> {
        let own = self.users.get(user).filter(|own| own.len() > self.per_user);
        if let Some(own) = own {
            let oldest = own.iter().min_by_key(|(contact, since)| (**since, *contact));
            return oldest.map(|(contact, _)| (user.clone(), contact.clone()));
        }
        let oldest = self.ages.first().filter(|_| self.ages.len() > self.in_all);
        oldest.map(|(_, user, contact)| (user.clone(), contact.clone()))
    }

    fn forget(&mut self, user: &Jid, contact: &Jid) -> bool {
        let Some(own) = self.users.get_mut(user) else { return false };
        let Some(since) = own.remove(contact) else { return false };
        if own.is_empty() {
            self.users.remove(user);
        }
        self.ages.remove(&(since, user.clone(), contact.clone()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::now::Now;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    fn pending(user: &str, contact: &str, at: u64) -> Pending {
        Pending { user: jid(user), contact: jid(contact), since: Now::at(at).wall }
    }

    fn gone(user: &str, contact: &str) -> Change {
        Change::Remove(Key::Pending { user: jid(user), contact: jid(contact) })
    }

    #[test]
    fn a_users_oldest_goes_first() {
        let mut waiting = Waiting::new(2, 10);
        assert_eq!(waiting.add(pending("u@s", "a@x", 1)).len(), 1);
        assert_eq!(waiting.add(pending("u@s", "b@x", 0)).len(), 1);
        assert_eq!(waiting.add(pending("v@s", "a@x", 0)).len(), 1);
        let changes = waiting.add(pending("u@s/full", "c@x/full", 2));
        assert_eq!(changes, [pending("u@s", "c@x", 2).into(), gone("u@s", "b@x")]);
        assert!(waiting.of(&jid("u@s/other")).map(|(contact, _)| contact.as_str()).eq(["a@x", "c@x"]));
        assert_eq!((waiting.len(), waiting.since(&jid("u@s"), &jid("b@x"))), (3, None));
        assert!(waiting.add(pending("u@s", "z@x", 0)).is_empty(), "older than all that wait");
        assert_eq!(waiting.len(), 3);
    }

    #[test]
    fn lower_bounds_take_the_oldest_away_at_once() {
        let mut waiting = Waiting::new(5, 10);
        for (user, contact, at) in
            [("u@s", "a@x", 1), ("u@s", "b@x", 2), ("u@s", "c@x", 3), ("v@s", "a@x", 0)]
        {
            waiting.add(pending(user, contact, at));
        }
        assert_eq!(waiting.set_bounds(5, 10), []);
        assert_eq!(waiting.set_bounds(2, 3), [gone("u@s", "a@x")]);
        assert_eq!(waiting.set_bounds(2, 1), [gone("v@s", "a@x"), gone("u@s", "b@x")]);
        assert_eq!(waiting.len(), 1);
        assert!(waiting.set_bounds(9, 9).is_empty());
        assert_eq!(waiting.add(pending("v@s", "b@x", 4)).len(), 1);
    }

    #[test]
    fn threat_147_the_oldest_of_all_goes_when_many_users_are_asked() {
        let mut waiting = Waiting::new(5, 100);
        let mut on_disk = BTreeSet::new();
        for n in 0..1000 {
            for change in waiting.add(pending(&format!("u{}@s", n % 300), &format!("c{n}@x"), n)) {
                match change {
                    Change::Put(Record::Pending(pending)) => assert!(on_disk.insert(pending.key())),
                    Change::Remove(key) => assert!(on_disk.remove(&key)),
                    other => panic!("{other:?}"),
                }
            }
            assert!(on_disk.len() <= 100);
        }
        assert_eq!((waiting.len(), on_disk.len()), (100, 100));
        assert_eq!(waiting.older_than(Now::at(905).wall).count(), 5);
        for (_, user, contact) in waiting.ages.clone() {
            assert!(waiting.remove(&user, &contact).is_some());
        }
        assert!(waiting.is_empty() && waiting.users.is_empty());
    }

    #[test]
    fn the_first_subscribe_counts_and_is_taken_once() {
        let mut waiting = Waiting::new(2, 2);
        assert_eq!(waiting.add(pending("u@s", "a@x", 1)).len(), 1);
        assert!(waiting.add(pending("u@s", "a@x/r", 2)).is_empty());
        assert_eq!(waiting.since(&jid("u@s"), &jid("a@x")), Some(Now::at(1).wall));
        assert_eq!(waiting.remove(&jid("u@s/r"), &jid("a@x/r")), Some(gone("u@s", "a@x")));
        assert_eq!(waiting.remove(&jid("u@s"), &jid("a@x")), None);
    }
}
