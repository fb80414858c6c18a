//! What the process takes: memory that is resident, memory that is live, allocations, time on a CPU.

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::alloc::System;
use std::ops::{AddAssign, Sub};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Octets of memory.
#[derive(Clone, Copy)]
pub struct Memory {
    /// What the kernel gave, without the files that are mapped.
    pub resident: f64,
    /// What was asked of the allocator and not given back.
    pub live: f64,
}

impl Memory {
    pub fn now() -> Self {
        let stats = ALLOCATOR.stats();
        let live = stats.bytes_allocated as f64 - stats.bytes_deallocated as f64;
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:")).unwrap();
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        Self { resident: kilobytes * 1024.0, live }
    }

    /// What each of `count` took since.
    pub fn each(self, count: usize) -> Self {
        let (now, count) = (Self::now(), count as f64);
        Self { resident: (now.resident - self.resident) / count, live: (now.live - self.live) / count }
    }
}

/// What was asked of the allocator.
#[derive(Clone, Copy, Default)]
pub struct Allocated {
    /// How often, also for more of what there was.
    pub times: usize,
    /// Octets in all.
    pub octets: usize,
}

impl Allocated {
    pub fn now() -> Self {
        let stats = ALLOCATOR.stats();
        Self { times: stats.allocations + stats.reallocations, octets: stats.bytes_allocated }
    }
}

impl Sub for Allocated {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { times: self.times - before.times, octets: self.octets - before.octets }
    }
}

impl AddAssign for Allocated {
    fn add_assign(&mut self, more: Self) {
        self.times += more.times;
        self.octets += more.octets;
    }
}

/// Time that this process was on a CPU.
pub struct Cpu(Duration);

impl Cpu {
    pub fn now() -> Self {
        let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
        Self(Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap()))
    }

    pub fn spent(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}
