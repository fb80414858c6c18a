//! Who follows the trail: new steps in a bounded queue, from which each follower reads at its own pace.
//!
//! Nothing waits for a follower. One that is so slow that steps it has not seen are gone hears that it was
//! cut off.

use super::{Crossing, Step, Track, Trail};
use std::collections::VecDeque;

/// Steps that wait for the slowest follower.
const STEPS: usize = 65_536;

/// New steps, as long as somebody follows.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) steps: VecDeque<(Track, u8)>,
    /// The place of the first.
    first: u64,
    followers: usize,
}

impl Live {
    pub(super) fn push(&mut self, track: Track, index: u8) {
        if self.followers == 0 {
            return;
        }
        if self.steps.len() >= STEPS {
            self.steps.pop_front();
            self.first += 1;
        }
        self.steps.push_back((track, index));
    }
}

/// Steps were lost before their follower read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

/// A step that a follower has not seen.
#[derive(Clone, Copy, Debug)]
pub struct Event<'t> {
    /// Its crossing.
    pub crossing: &'t Crossing,
    /// What happened.
    pub step: &'t Step,
}

impl Trail {
    /// Somebody follows: the place to read from. None if `limit` follow already.
    pub fn follow(&mut self, limit: usize) -> Option<u64> {
        if self.live.followers >= limit {
            return None;
        }
        self.live.followers += 1;
        Some(self.live.first + self.live.steps.len() as u64)
    }

    /// A follower has left.
    pub fn unfollow(&mut self) {
        self.live.followers = self.live.followers.saturating_sub(1);
        if self.live.followers == 0 {
            self.live.first += self.live.steps.len() as u64;
            self.live.steps = VecDeque::new();
        }
    }

    /// The next step from `place` on, which moves behind it.
    ///
    /// # Errors
    /// It is gone.
    pub fn next_event(&self, place: &mut u64) -> Result<Option<Event<'_>>, Cut> {
        loop {
            let at = place.checked_sub(self.live.first).ok_or(Cut)?;
            let found = usize::try_from(at).ok().and_then(|at| self.live.steps.get(at));
            let Some(&(track, index)) = found else { return Ok(None) };
            *place += 1;
            let crossing = self.get(track);
            if let Some((crossing, step)) = crossing.and_then(|one| Some((one, one.step(index)?))) {
                return Ok(Some(Event { crossing, step }));
            }
        }
    }
}
