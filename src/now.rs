//! Time as a value: machines are told what time it is, they never ask.
//!
//! [`Now`] carries both clocks: the monotonic one decides deadlines, the wall clock goes onto the
//! wire (Date, XEP-0203 stamps) and into certificate validity. Only `net` reads the real clocks.

use std::time::Duration;

/// A point on the monotonic clock, in microseconds since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(u64);

impl Mono {
    /// The point `micros` microseconds after the start.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the start.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long it is from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Mono {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// A point on the wall clock, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(u64);

impl Wall {
    /// The point `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }
}

/// What time it is, on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// The monotonic clock: deadlines and durations.
    pub mono: Mono,
    /// The wall clock: what is written on the wire and judged in certificates.
    pub wall: Wall,
}

impl Now {
    /// `seconds` after the start of a test; the wall clock starts at 2026-11-23T00:00:00Z.
    pub const fn at(seconds: u64) -> Self {
        Self::at_millis(seconds * 1000)
    }

    /// `millis` milliseconds after the start of a test, as [`Now::at`].
    pub const fn at_millis(millis: u64) -> Self {
        Self { mono: Mono(millis * 1000), wall: Wall(1_795_392_000_000 + millis) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_point_plus_a_duration() {
        let deadline = Now::at(1).mono + Duration::from_secs(2);
        assert_eq!(deadline, Now::at(3).mono);
        assert_eq!(deadline.since(Now::at(1).mono), Duration::from_secs(2));
        assert_eq!(Now::at(1).mono.since(deadline), Duration::ZERO);
    }
}
