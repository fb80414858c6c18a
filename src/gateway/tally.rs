//! How many there are of each name, for caps: a name of which there is none takes no room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) fn count_up(map: &mut HashMap<Box<str>, u32>, key: &str) {
    match map.get_mut(key) {
        Some(count) => *count = count.saturating_add(1),
        None => drop(map.insert(key.into(), 1)),
    }
}

pub(super) fn count_down(map: &mut HashMap<Box<str>, u32>, key: &str) {
    if let Some(count) = map.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            map.remove(key);
        }
    }
}

/// What all shards have of each name, and in all. Two shards that ask at once may both have the last place.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    names: HashMap<Box<str>, u32>,
}

impl Tally {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is there room for another `name`, where there may be so many of it, and so many in all?
    pub(super) fn has_room(&self, name: &str, of_name: usize, of_all: usize) -> bool {
        let counts = self.counts();
        counts.all < of_all && counts.names.get(name).map_or(0, |count| *count as usize) < of_name
    }

    pub(super) fn up(&self, name: &str) {
        let mut counts = self.counts();
        counts.all = counts.all.saturating_add(1);
        count_up(&mut counts.names, name);
    }

    pub(super) fn down(&self, name: &str) {
        let mut counts = self.counts();
        counts.all = counts.all.saturating_sub(1);
        count_down(&mut counts.names, name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_shard_counts_another_sees() {
        let one = Tally::default();
        let other = one.clone();
        one.up("fabrikam.example");
        assert!(other.has_room("fabrikam.example", 2, 2));
        other.up("fabrikam.example");
        assert!(!one.has_room("fabrikam.example", 2, 9), "of the name");
        assert!(!one.has_room("other.example", 2, 2), "in all");
        one.down("fabrikam.example");
        other.down("fabrikam.example");
        assert!(one.has_room("fabrikam.example", 1, 1) && one.counts().names.is_empty());
    }
}
