//! Which threads have been seen on the way to SIP users.
//!
//! A thread becomes the Call-ID of its first message as it stands (RFC 7572 §4). Every further message
//! needs a Call-ID of its own: RFC 3261 §8.1.1.4 wants one for each request out of a dialog, and
//! user agents drop what repeats one (COMPAT linphone 5.1: it answers 200 and shows nothing).

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Threads that are remembered; the oldest is forgotten first.
const LIMIT: usize = 50_000;

/// The threads seen lately, as hashes under a seed.
pub struct Threads {
    keyed: DefaultHasher,
    seen: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Threads {
    /// None seen yet.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut keyed = DefaultHasher::new();
        ("threads", seed).hash(&mut keyed);
        Self { keyed, seen: HashSet::new(), order: VecDeque::new() }
    }

    /// Is this the first message of `thread` to `target`? From now on it is not.
    pub fn is_first(&mut self, target: &str, thread: &str) -> bool {
        let mut hasher = self.keyed.clone();
        (target, thread).hash(&mut hasher);
        let hash = hasher.finish();
        if !self.seen.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > LIMIT
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_new_once_for_each_target_and_memory_is_bounded() {
        let mut threads = Threads::new([1; 32]);
        assert!(threads.is_first("alice@contoso.example", "t"));
        assert!(!threads.is_first("alice@contoso.example", "t"));
        assert!(threads.is_first("bob@contoso.example", "t"));
        for n in 0..LIMIT + 10 {
            threads.is_first("alice@contoso.example", &n.to_string());
        }
        assert!(threads.seen.len() <= LIMIT && threads.order.len() <= LIMIT);
    }
}
