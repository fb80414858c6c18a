//! What each peer has been answered on reliable transports: a hash and a status for 32 s.
//!
//! Timer J is zero on TCP and TLS, so no transaction remembers its answer there; yet peers do send
//! requests again, on a new connection after the old one broke. The memory is a ring for each peer:
//! when it is full, the oldest answer of that same peer goes.

use super::super::merged::MergeIndex;
use super::Timers;
use super::print::{Mix, PeerKey, Print};
use crate::now::Mono;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How long an answer is remembered: as long as Timer J on UDP.
const MEMORY: Duration = Timers::LIFE;
/// How much later than that its memory may be freed.
const SWEEP: Duration = Duration::from_secs(8);

#[derive(Debug)]
struct Remembered {
    until: Mono,
    print: Print,
    /// The triple that the answered request still holds.
    triple: Option<u64>,
}

#[derive(Debug, Default)]
struct Peer {
    /// Transactions that are open.
    open: usize,
    ring: VecDeque<Remembered>,
}

/// The peers: how many transactions each has open, and its answers.
#[derive(Debug)]
pub(super) struct Peers {
    peers: HashMap<PeerKey, Peer, Mix>,
    answers: HashMap<Print, (Mono, u16), Mix>,
    open_cap: usize,
    ring_cap: usize,
    total_cap: usize,
    sweep_at: Option<Mono>,
}

impl Peers {
    /// At most `open_cap` transactions and `ring_cap` answers for a peer, `total_cap` answers in
    /// all.
    pub(super) fn new(open_cap: usize, ring_cap: usize, total_cap: usize) -> Self {
        Self {
            peers: HashMap::default(),
            answers: HashMap::default(),
            open_cap,
            ring_cap,
            total_cap,
            sweep_at: None,
        }
    }

    /// Counts a transaction of `peer`; false if the peer has its share.
    pub(super) fn open(&mut self, peer: PeerKey) -> bool {
        let peer = self.peers.entry(peer).or_default();
        let fits = peer.open < self.open_cap;
        peer.open += usize::from(fits);
        fits
    }

    /// A transaction of `peer` has ended.
    pub(super) fn close(&mut self, peer: PeerKey) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.open = state.open.saturating_sub(1);
            if state.open == 0 && state.ring.is_empty() {
                self.peers.remove(&peer);
            }
        }
    }

    /// Remembers the answer to `print`. Makes room in the ring of this peer; if others fill the
    /// total and this peer has nothing to give up, nothing is remembered.
    pub(super) fn remember(
        &mut self,
        now: Mono,
        peer: PeerKey,
        print: Print,
        status: u16,
        triple: Option<u64>,
        merges: &mut MergeIndex,
    ) {
        let state = self.peers.entry(peer).or_default();
        while state.ring.front().is_some_and(|oldest| {
            oldest.until <= now || state.ring.len() >= self.ring_cap || self.answers.len() >= self.total_cap
        }) {
            drop_oldest(&mut state.ring, &mut self.answers, merges);
        }
        if state.ring.len() >= self.ring_cap || self.answers.len() >= self.total_cap {
            if let Some(triple) = triple {
                merges.release(triple, print);
            }
            return;
        }
        let until = now + MEMORY;
        state.ring.push_back(Remembered { until, print, triple });
        self.answers.insert(print, (until, status));
        self.sweep_at.get_or_insert(until + SWEEP);
    }

    /// The status that `print` was answered with.
    pub(super) fn answer(&self, now: Mono, print: Print) -> Option<u16> {
        self.answers.get(&print).filter(|(until, _)| *until > now).map(|(_, status)| *status)
    }

    /// When [`Self::sweep`] is due.
    pub(super) fn deadline(&self) -> Option<Mono> {
        self.sweep_at
    }

    /// Frees the answers that are old.
    pub(super) fn sweep(&mut self, now: Mono, merges: &mut MergeIndex) {
        if self.sweep_at.is_none_or(|at| at > now) {
            return;
        }
        let answers = &mut self.answers;
        self.peers.retain(|_, peer| {
            while peer.ring.front().is_some_and(|oldest| oldest.until <= now) {
                drop_oldest(&mut peer.ring, answers, merges);
            }
            if peer.ring.is_empty() {
                peer.ring.shrink_to_fit();
            }
            peer.open > 0 || !peer.ring.is_empty()
        });
        self.sweep_at = (!self.answers.is_empty()).then_some(now + SWEEP);
        if self.answers.is_empty() {
            self.answers.shrink_to_fit();
        }
    }

    /// How many answers are remembered, and of how many peers anything is kept.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.answers.len(), self.peers.len())
    }
}

fn drop_oldest(
    ring: &mut VecDeque<Remembered>,
    answers: &mut HashMap<Print, (Mono, u16), Mix>,
    merges: &mut MergeIndex,
) {
    if let Some(oldest) = ring.pop_front() {
        answers.remove(&oldest.print);
        if let Some(triple) = oldest.triple {
            merges.release(triple, oldest.print);
        }
    }
}
