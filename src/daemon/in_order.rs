//! What several shards tell of what happened, in the order in which it did.
//!
//! Shards are asked one after another, so what one tells may be older than what another has told before. What is
//! newer than the question waits for the next one: by then each has told all that is older.

use crate::now::Mono;

/// What waits for its turn.
pub(super) struct InOrder<T>(Vec<(Mono, T)>);

/// What one shard told: in order, with when it happened; and is there more?
pub(super) type Part<T> = (Vec<(Mono, T)>, bool);

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> InOrder<T> {
    /// What comes next, now that all have told what they had when or after they were asked, at `asked`.
    pub(super) fn take(&mut self, asked: Mono, parts: impl IntoIterator<Item = Part<T>>) -> Vec<T> {
        let mut upto = asked;
        for (part, has_more) in parts {
            if has_more {
                upto = upto.min(part.last().map_or(Mono::default(), |(last, _)| *last));
            }
            self.0.extend(part);
        }
        self.0.sort_by_key(|(at, _)| *at);
        let later = self.0.split_off(self.0.partition_point(|(at, _)| *at <= upto));
        std::mem::replace(&mut self.0, later).into_iter().map(|(_, one)| one).collect()
    }

    /// All that waits.
    pub(super) fn rest(&mut self) -> Vec<T> {
        std::mem::take(&mut self.0).into_iter().map(|(_, one)| one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::now::Now;

    fn at(seconds: u64) -> Mono {
        Now::at(seconds).mono
    }

    fn part(seconds: &[u64]) -> Vec<(Mono, u64)> {
        seconds.iter().map(|seconds| (at(*seconds), *seconds)).collect()
    }

    #[test]
    fn what_is_told_late_comes_in_its_place() {
        let mut all = InOrder::default();
        // The second shard was asked later, and has told what was newer than the question.
        assert_eq!(all.take(at(3), [(part(&[1, 3]), false), (part(&[2, 5]), false)]), [1, 2, 3]);
        assert_eq!(all.take(at(6), [(part(&[4]), false), (part(&[6]), false)]), [4, 5, 6]);
        assert!(all.take(at(9), [(part(&[]), false), (part(&[]), false)]).is_empty());
    }

    #[test]
    fn nothing_overtakes_what_a_shard_has_not_told_yet() {
        let mut all = InOrder::default();
        assert_eq!(all.take(at(9), [(part(&[1, 2]), true), (part(&[2, 7]), false)]), [1, 2, 2]);
        assert_eq!(all.take(at(9), [(part(&[3, 8]), false), (part(&[]), false)]), [3, 7, 8]);
        assert!(all.take(at(9), [(part(&[]), true), (part(&[9]), false)]).is_empty());
        assert_eq!(all.take(at(9), [(part(&[]), false), (part(&[]), false)]), [9]);
        assert!(all.take(at(1), [(part(&[2]), false)]).is_empty());
        assert_eq!(all.rest(), [2]);
    }
}
