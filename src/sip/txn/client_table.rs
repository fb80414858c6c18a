//! The client transactions of a shard, found by the branch that they minted.

use super::super::merged::{LoopGuard, Stamp};
use super::branch::Branch;
use super::cancel::CancelStep;
use super::client::{ClientAction, ClientInvite, ClientNonInvite, earlier, is_due};
use super::deadlines::{Deadlines, Timed};
use super::{Full, Kind, Reliability, Step};
use crate::ids::Ids;
use crate::now::Mono;
use slab::Slab;

/// Names a client transaction, also after it ended: a stale key matches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientKey {
    index: u32,
    stamp: Stamp,
}

impl ClientKey {
    /// The branch that the request carries, and its CANCEL and the ACK of a 300-699 too.
    pub fn branch(&self) -> Branch {
        Branch::new(&self.stamp, self.index)
    }
}

#[derive(Debug)]
enum Machine {
    Invite(ClientInvite),
    NonInvite(ClientNonInvite),
}

#[derive(Debug)]
struct Slot<T> {
    stamp: Stamp,
    method: &'static str,
    machine: Machine,
    /// The transaction of a CANCEL, which shares the branch.
    cancel: Option<ClientNonInvite>,
    armed: Option<Mono>,
    value: T,
}

impl<T> Slot<T> {
    fn is_terminated(&self) -> bool {
        match &self.machine {
            Machine::Invite(machine) => machine.is_terminated(),
            Machine::NonInvite(machine) => machine.is_terminated(),
        }
    }

    fn request_due(&self) -> Option<Mono> {
        match &self.machine {
            Machine::Invite(machine) => machine.deadline(),
            Machine::NonInvite(machine) => machine.deadline(),
        }
    }
}

impl<T> Timed for Slot<T> {
    fn armed(&mut self) -> &mut Option<Mono> {
        &mut self.armed
    }

    fn due(&self) -> Option<Mono> {
        earlier(self.request_due(), self.cancel.and_then(|cancel| cancel.deadline()))
    }
}

/// What a timer wants sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The request itself; every action but a retransmission is about it.
    Request,
    /// Its CANCEL.
    Cancel,
}

/// The client transactions, each with a `T` of its user: what is needed to send the request again
/// and to tell the outcome.
#[derive(Debug)]
pub struct ClientTable<T> {
    slots: Slab<Slot<T>>,
    deadlines: Deadlines,
    guard: LoopGuard,
    cap: usize,
}

impl<T> ClientTable<T> {
    /// A table of at most `cap` transactions, whose branches carry the stamp of `guard`.
    pub fn new(cap: usize, guard: LoopGuard) -> Self {
        let cap = cap.min(u32::MAX as usize);
        Self { slots: Slab::new(), deadlines: Deadlines::default(), guard, cap }
    }

    /// How many transactions there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Starts a transaction for a request that is sent at `now`. ACK and CANCEL have none here: an
    /// ACK is never answered, and [`Self::cancel`] starts that of a CANCEL.
    ///
    /// # Errors
    /// [`Full`] gives `value` back when the table has its `cap` transactions.
    pub fn start(
        &mut self,
        now: Mono,
        method: &'static str,
        reliability: Reliability,
        value: T,
        ids: &mut Ids,
    ) -> Result<ClientKey, Full<T>> {
        if self.slots.len() >= self.cap {
            return Err(Full(value));
        }
        let machine = match Kind::of(method) {
            Kind::Invite => Machine::Invite(ClientInvite::new(now, reliability)),
            Kind::NonInvite => Machine::NonInvite(ClientNonInvite::new(now, reliability)),
        };
        let stamp = self.guard.stamp(ids.mint());
        let entry = self.slots.vacant_entry();
        let index = entry.key() as u32;
        let slot = entry.insert(Slot { stamp, method, machine, cancel: None, armed: None, value });
        self.deadlines.arm(index, slot);
        Ok(ClientKey { index, stamp })
    }

    /// The transaction of a response by its top Via branch and CSeq method (RFC 3261 §17.1.3), in
    /// constant time. None: a stray response, to be dropped without an answer (RFC 6026 §7.2).
    pub fn find(&self, branch: &str, cseq_method: &str) -> Option<ClientKey> {
        let (stamp, index) = Branch::split(branch)?;
        let slot = self.slots.get(index as usize)?;
        let fits = cseq_method == slot.method || (cseq_method == "CANCEL" && slot.cancel.is_some());
        (fits && slot.stamp.as_str() == stamp).then_some(ClientKey { index, stamp: slot.stamp })
    }

    /// The transactions whose value is `wanted`, in the order of their slots.
    pub fn select(&self, wanted: impl Fn(&T) -> bool) -> Vec<ClientKey> {
        let key = |(index, slot): (usize, &Slot<T>)| ClientKey { index: index as u32, stamp: slot.stamp };
        self.slots.iter().filter(|(_, slot)| wanted(&slot.value)).map(key).collect()
    }

    /// What is kept for `key`.
    pub fn value(&mut self, key: ClientKey) -> Option<&mut T> {
        self.slot(key).map(|slot| &mut slot.value)
    }

    /// A response came: finds its transaction and hands the response to it.
    ///
    /// None if it is stray, or if it answers a CANCEL: that outcome tells the user nothing, the
    /// INVITE's does.
    pub fn on_response(
        &mut self,
        now: Mono,
        branch: &str,
        cseq_method: &str,
        status: u16,
    ) -> Option<(ClientKey, Step<'_, ClientAction, T>)> {
        let key = self.find(branch, cseq_method)?;
        let slot = self.slots.get_mut(key.index as usize)?;
        if cseq_method == "CANCEL" {
            if let Some(cancel) = &mut slot.cancel {
                cancel.on_response(now, status);
            }
            self.deadlines.arm(key.index, slot);
            return None;
        }
        let action = match &mut slot.machine {
            Machine::Invite(machine) => machine.on_response(now, status),
            Machine::NonInvite(machine) => machine.on_response(now, status),
        };
        self.settle(key, action).map(|step| (key, step))
    }

    /// The transport could not send the request of `key`, or its connection is gone.
    pub fn on_transport_error(&mut self, key: ClientKey) -> Option<Step<'_, ClientAction, T>> {
        let slot = self.slot(key)?;
        let action = match &mut slot.machine {
            Machine::Invite(machine) => machine.on_transport_error(),
            Machine::NonInvite(machine) => machine.on_transport_error(),
        };
        self.settle(key, action)
    }

    /// The user wants `key` cancelled. With [`CancelStep::Send`] the CANCEL's own transaction
    /// starts; with [`CancelStep::AfterProvisional`] ask again at the first provisional response.
    pub fn cancel(&mut self, now: Mono, key: ClientKey) -> CancelStep {
        let Some(slot) = self.slot(key) else { return CancelStep::TooLate };
        let Machine::Invite(machine) = &mut slot.machine else { return CancelStep::TooLate };
        let step = machine.on_cancel(now);
        if step == CancelStep::Send {
            slot.cancel = Some(ClientNonInvite::new(now, machine.reliability()));
            self.settle(key, ClientAction::Nothing);
        }
        step
    }

    /// The user of `key` waits no longer than `until` for a final response. An INVITE is cancelled
    /// instead.
    pub fn limit(&mut self, key: ClientKey, until: Mono) {
        let Some(slot) = self.slot(key) else { return };
        match &mut slot.machine {
            Machine::Invite(_) => {}
            Machine::NonInvite(machine) => machine.limit(until),
        }
        self.settle(key, ClientAction::Nothing);
    }

    /// Forgets `key`: its user no longer wants an outcome.
    pub fn forget(&mut self, key: ClientKey) -> Option<T> {
        self.slot(key)?;
        Some(self.slots.remove(key.index as usize).value)
    }

    /// When [`Self::on_timer`] is due.
    pub fn deadline(&mut self) -> Option<Mono> {
        self.deadlines.next(&mut self.slots).map(|(at, _)| at)
    }

    /// Handles what is due at `now`: `act` gets each action that is more than nothing.
    pub fn on_timer(&mut self, now: Mono, act: &mut impl FnMut(ClientKey, Part, Step<'_, ClientAction, T>)) {
        while let Some(index) = self.deadlines.take_due(now, &mut self.slots) {
            let Some(slot) = self.slots.get_mut(index as usize) else { continue };
            let key = ClientKey { index, stamp: slot.stamp };
            if let Some(cancel) = &mut slot.cancel
                && is_due(cancel.deadline(), now)
                && cancel.on_timer(now) == ClientAction::Retransmit
            {
                act(key, Part::Cancel, Step::Kept(ClientAction::Retransmit, &mut slot.value));
            }
            let action = match &mut slot.machine {
                Machine::Invite(machine) => machine.on_timer(now),
                Machine::NonInvite(machine) => machine.on_timer(now),
            };
            if let Some(step) = self.settle(key, action)
                && step.action() != ClientAction::Nothing
            {
                act(key, Part::Request, step);
            }
        }
    }

    /// After an input: forgets what ended, sets the deadline of what goes on.
    fn settle(&mut self, key: ClientKey, action: ClientAction) -> Option<Step<'_, ClientAction, T>> {
        let index = key.index as usize;
        if self.slots.get(index)?.is_terminated() {
            return Some(Step::Ended(action, self.slots.remove(index).value));
        }
        let slot = self.slots.get_mut(index)?;
        self.deadlines.arm(key.index, slot);
        Some(Step::Kept(action, &mut slot.value))
    }

    fn slot(&mut self, key: ClientKey) -> Option<&mut Slot<T>> {
        self.slots.get_mut(key.index as usize).filter(|slot| slot.stamp == key.stamp)
    }
}

#[cfg(test)]
mod tests;
