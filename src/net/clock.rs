//! The only clock in the house.

use crate::now::{Mono, Now, Wall};
use std::time::{Duration, Instant, SystemTime};

/// Reads both clocks of the system.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose monotonic side starts now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// What time it is.
    pub fn now(&self) -> Now {
        let mono = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Now {
            mono: Mono::from_micros(mono),
            wall: Wall::from_millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// When `point` is, for a timer of the runtime.
    pub fn instant(&self, point: Mono) -> tokio::time::Instant {
        (self.start + Duration::from_micros(point.as_micros())).into()
    }
}
