//! The deadlines of a table: a heap that may hold stale entries.
//!
//! Each slot has at most one entry that counts, at the time in its `armed` field. Ending a
//! transaction or moving its deadline later touches the heap not at all; an entry that does not
//! count is dropped when it comes to the top, or when stale entries outnumber the live ones.

use crate::now::Mono;
use slab::Slab;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A slot with a deadline.
pub(super) trait Timed {
    /// The time of the slot's entry in the heap.
    fn armed(&mut self) -> &mut Option<Mono>;
    /// When the slot is due in truth; never earlier than `armed`.
    fn due(&self) -> Option<Mono>;
}

/// The heap.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Mono, u32)>>,
}

impl Deadlines {
    /// The deadline of `slot` may have changed.
    pub(super) fn arm(&mut self, index: u32, slot: &mut impl Timed) {
        match slot.due() {
            None => *slot.armed() = None,
            Some(due) => {
                if slot.armed().is_none_or(|armed| due < armed) {
                    *slot.armed() = Some(due);
                    self.heap.push(Reverse((due, index)));
                }
            }
        }
    }

    /// The earliest deadline and its slot. Drops the stale entries before it.
    pub(super) fn next<E: Timed>(&mut self, slots: &mut Slab<E>) -> Option<(Mono, u32)> {
        if self.heap.len() > 64 + slots.len().saturating_mul(2) {
            self.rebuild(slots);
        }
        while let Some(Reverse((at, index))) = self.heap.peek().copied() {
            if let Some(slot) = slots.get_mut(index as usize)
                && *slot.armed() == Some(at)
            {
                if slot.due() == Some(at) {
                    return Some((at, index));
                }
                *slot.armed() = None;
                self.heap.pop();
                self.arm(index, slot);
            } else {
                self.heap.pop();
            }
        }
        None
    }

    /// Takes the entry of a slot that is due at `now`.
    pub(super) fn take_due<E: Timed>(&mut self, now: Mono, slots: &mut Slab<E>) -> Option<u32> {
        let (at, index) = self.next(slots)?;
        if at > now {
            return None;
        }
        self.heap.pop();
        if let Some(slot) = slots.get_mut(index as usize) {
            *slot.armed() = None;
        }
        Some(index)
    }

    /// Entries in the heap, stale ones too.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    fn rebuild<E: Timed>(&mut self, slots: &mut Slab<E>) {
        self.heap.clear();
        for (index, slot) in slots.iter_mut() {
            *slot.armed() = None;
            self.arm(index as u32, slot);
        }
    }
}
