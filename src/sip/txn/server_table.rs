//! The server transactions of a shard: each request is delivered once, each retransmission gets
//! the same answer.
//!
//! On UDP the final response is kept for 32 s (Timers H, J); on TCP and TLS nothing but a hash of
//! the request and the status (`replay`). What has no room has a defined answer:
//!
//! | full | what happens |
//! |---|---|
//! | transactions, in all or of one peer | [`Received::Full`]: answer 503 with Retry-After, keep nothing |
//! | octets | [`ServerTable::hold`] is false; a response is sent but not kept: a retransmission gives [`Received::Replayed`], and its user builds the response again |
//! | remembered answers of one peer | the oldest of that peer is forgotten |

use super::super::merged::MergeIndex;
use super::cancel::{CancelAnswer, Found};
use super::deadlines::{Deadlines, Timed};
use super::print::{Mix, PeerKey, Print, Prints, RequestKey};
use super::replay::Peers;
use super::server::{ServerAction, ServerInvite, ServerNonInvite};
use super::{Kind, Reliability, Step};
use crate::ids::{Id, Owner};
use crate::now::Mono;
use slab::Slab;
use std::collections::HashMap;

/// The methods that a CANCEL is matched against, most likely first.
const CANCELLABLE: [&str; 12] = [
    "INVITE",
    "MESSAGE",
    "SUBSCRIBE",
    "NOTIFY",
    "OPTIONS",
    "BYE",
    "INFO",
    "UPDATE",
    "PRACK",
    "REFER",
    "REGISTER",
    "PUBLISH",
];

/// How much a [`ServerTable`] may hold.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// Transactions in all.
    pub transactions: usize,
    /// Transactions of one peer.
    pub transactions_per_peer: usize,
    /// Octets of kept responses, and of what users hold for answers to come, in all.
    pub octets: usize,
    /// Remembered answers in all.
    pub answers: usize,
    /// Remembered answers of one peer.
    pub answers_per_peer: usize,
}

/// Names a server transaction, also after it ended: a stale key matches nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerKey {
    index: u32,
    serial: u64,
}

/// What a request is.
#[derive(Debug)]
pub enum Received<'t, T> {
    /// A new request: its transaction is open, its user answers it.
    New(ServerKey),
    /// A retransmission that is not answered: the user is still at work, or RFC 6026 absorbs it.
    Absorbed,
    /// A retransmission: send these octets again.
    Again(&'t [u8], &'t mut T),
    /// A retransmission of what was answered lately, with a response that is not kept: build it again.
    Replayed {
        /// The status it was answered with.
        status: u16,
        /// The tag it was answered with.
        tag: Id,
    },
    /// The same request came by another way (RFC 3261 §8.2.2.2): answer 482, keep nothing.
    Merged(Id),
    /// No room: answer 503 with Retry-After, keep nothing.
    Full,
}

/// Whose an ACK is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckFor {
    /// It ended the wait of a transaction that answered 300-699, or repeats such an ACK.
    Transaction,
    /// It carries the branch of an INVITE that was answered 2xx: its user's (RFC 6026 §7.1).
    User(ServerKey),
    /// It matches no transaction: the ACK of a 2xx, which has a branch of its own, or a stray one.
    /// It goes to the dialog; without one it is dropped, an ACK is never answered.
    Dialog,
}

/// Why a response was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The transaction is over.
    #[error("the server transaction is over")]
    Gone,
    /// A second final response, a provisional one after it, or what RFC 4320 forbids.
    #[error("the server transaction can't send status {0} now")]
    Status(u16),
}

#[derive(Debug)]
enum Machine {
    Invite(ServerInvite),
    NonInvite(ServerNonInvite),
}

#[derive(Debug)]
struct Slot<T> {
    serial: u64,
    print: Print,
    /// The triple, while it is held.
    triple: Option<u64>,
    peer: PeerKey,
    reliability: Reliability,
    machine: Machine,
    /// The status of the last response; 0 before the first.
    status: u16,
    octets: Option<Box<[u8]>>,
    /// Octets that count: of the response, or what the user holds for it.
    held: usize,
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

    fn found(&self) -> Found {
        match &self.machine {
            Machine::Invite(machine) => Found { kind: Kind::Invite, answered: machine.is_answered() },
            Machine::NonInvite(machine) => Found { kind: Kind::NonInvite, answered: machine.is_answered() },
        }
    }

    /// Whether the octets of a response with `status` would ever be sent again: not on a reliable
    /// transport, but for a 2xx to INVITE, which its user repeats ([`ServerTable::kept`]).
    fn repeats(&self, status: u16) -> bool {
        match (self.reliability, &self.machine) {
            (_, Machine::Invite(_)) if (200..300).contains(&status) => true,
            (Reliability::Reliable, Machine::Invite(_) | Machine::NonInvite(_)) => false,
            (Reliability::Unreliable, Machine::Invite(_) | Machine::NonInvite(_)) => true,
        }
    }
}

impl<T> Timed for Slot<T> {
    fn armed(&mut self) -> &mut Option<Mono> {
        &mut self.armed
    }

    fn due(&self) -> Option<Mono> {
        match &self.machine {
            Machine::Invite(machine) => machine.deadline(),
            Machine::NonInvite(machine) => machine.deadline(),
        }
    }
}

/// The server transactions, each with a `T` of its user: what is needed to send a response to it.
#[derive(Debug)]
pub struct ServerTable<T> {
    limits: ServerLimits,
    owner: Owner,
    prints: Prints,
    slots: Slab<Slot<T>>,
    by_print: HashMap<Print, u32, Mix>,
    merges: MergeIndex,
    peers: Peers,
    deadlines: Deadlines,
    octets: usize,
    serial: u64,
}

impl<T> ServerTable<T> {
    /// An empty table within `limits`, hashing under `seed`, whose tags name `owner`.
    pub fn new(limits: ServerLimits, seed: [u8; 32], owner: Owner) -> Self {
        let limits = ServerLimits { transactions: limits.transactions.min(u32::MAX as usize), ..limits };
        Self {
            limits,
            owner,
            prints: Prints::new(seed),
            slots: Slab::new(),
            by_print: HashMap::default(),
            merges: MergeIndex::default(),
            peers: Peers::new(limits.transactions_per_peer, limits.answers_per_peer, limits.answers),
            deadlines: Deadlines::default(),
            octets: 0,
            serial: 0,
        }
    }

    /// How many transactions there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether a transaction whose value is `wanted` is not answered yet.
    pub fn any(&self, wanted: impl Fn(&T) -> bool) -> bool {
        self.slots.iter().any(|(_, slot)| slot.status < 200 && wanted(&slot.value))
    }

    /// Octets that are held for responses.
    pub fn octets(&self) -> usize {
        self.octets
    }

    /// A request came (RFC 3261 §17.2.3, §8.2.2.2). `value` is made for a new one alone. An ACK
    /// goes to [`Self::on_ack`]; here it is absorbed.
    pub fn receive(
        &mut self,
        now: Mono,
        key: &RequestKey<'_>,
        reliability: Reliability,
        value: impl FnOnce() -> T,
    ) -> Received<'_, T> {
        let stem = self.prints.stem(key);
        let print = stem.print(key.method);
        if key.method == "ACK" {
            return Received::Absorbed;
        }
        if let Some(&index) = self.by_print.get(&print) {
            return self.again(index);
        }
        if let Some(status) = self.peers.answer(now, print) {
            return Received::Replayed { status, tag: self.tag_of(print) };
        }
        // Merging is about requests outside a dialog, and needs a From tag to tell calls apart. A
        // CANCEL belongs to one branch: each copy of a forked INVITE has its own.
        let triple = match (key.to_tag, key.from_tag) {
            (None, Some(_)) if key.method != "CANCEL" => Some(stem.triple(key.method)),
            (None | Some(_), _) => None,
        };
        if let Some(triple) = triple
            && self.merges.is_merged(triple, print)
        {
            return Received::Merged(self.tag_of(print));
        }
        if self.slots.len() >= self.limits.transactions || !self.peers.open(key.peer) {
            return Received::Full;
        }
        if let Some(triple) = triple {
            self.merges.hold(triple, print);
        }
        let machine = match Kind::of(key.method) {
            Kind::Invite => Machine::Invite(ServerInvite::new(now, reliability)),
            Kind::NonInvite => Machine::NonInvite(ServerNonInvite::new(now, reliability)),
        };
        self.serial = self.serial.wrapping_add(1);
        let (serial, peer) = (self.serial, key.peer);
        let entry = self.slots.vacant_entry();
        let index = entry.key() as u32;
        let slot = entry.insert(Slot {
            serial,
            print,
            triple,
            peer,
            reliability,
            machine,
            status: 0,
            octets: None,
            held: 0,
            armed: None,
            value: value(),
        });
        self.deadlines.arm(index, slot);
        self.by_print.insert(print, index);
        Received::New(ServerKey { index, serial })
    }

    /// An ACK came.
    pub fn on_ack(&mut self, now: Mono, key: &RequestKey<'_>) -> AckFor {
        let print = self.prints.stem(key).print("INVITE");
        let Some(&index) = self.by_print.get(&print) else {
            return match self.peers.answer(now, print) {
                Some(_) => AckFor::Transaction,
                None => AckFor::Dialog,
            };
        };
        let Some(slot) = self.slots.get_mut(index as usize) else { return AckFor::Dialog };
        let action = match &mut slot.machine {
            Machine::Invite(machine) => machine.on_ack(now),
            Machine::NonInvite(_) => ServerAction::Nothing,
        };
        let key = ServerKey { index, serial: slot.serial };
        match self.settle(now, key, action).map(|step| step.action()) {
            Some(ServerAction::DeliverAck) => AckFor::User(key),
            _ => AckFor::Transaction,
        }
    }

    /// What a CANCEL does (RFC 3261 §9.2), and to which transaction. The CANCEL has a transaction
    /// of its own from [`Self::receive`], which is answered with [`CancelAnswer::status`].
    pub fn cancel(&self, now: Mono, key: &RequestKey<'_>) -> (CancelAnswer, Option<ServerKey>) {
        let stem = self.prints.stem(key);
        for method in CANCELLABLE {
            let print = stem.print(method);
            if let Some(&index) = self.by_print.get(&print)
                && let Some(slot) = self.slots.get(index as usize)
            {
                let found = ServerKey { index, serial: slot.serial };
                return (CancelAnswer::to(Some(slot.found())), Some(found));
            }
            if self.peers.answer(now, print).is_some() {
                let found = Found { kind: Kind::of(method), answered: true };
                return (CancelAnswer::to(Some(found)), None);
            }
        }
        (CancelAnswer::to(None), None)
    }

    /// The To tag for the responses of `key`. It follows from the request: equal for each
    /// retransmission, even when nothing but its hash is remembered.
    pub fn tag(&self, key: ServerKey) -> Option<Id> {
        let slot = self.slots.get(key.index as usize).filter(|slot| slot.serial == key.serial)?;
        Some(self.tag_of(slot.print))
    }

    /// What is kept for `key`.
    pub fn value(&mut self, key: ServerKey) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        (slot.serial == key.serial).then_some(&mut slot.value)
    }

    /// The user of `key` holds `octets` more until it answers. False if there is no room for them: it is
    /// to answer 503 at once.
    pub fn hold(&mut self, key: ServerKey, octets: usize) -> bool {
        let total = self.octets.saturating_add(octets);
        match self.slots.get_mut(key.index as usize).filter(|slot| slot.serial == key.serial) {
            Some(slot) if total <= self.limits.octets => {
                slot.held += octets;
                self.octets = total;
                true
            }
            Some(_) | None => false,
        }
    }

    /// The user answers `key` with a response of `octets`: if it is allowed, send it. On a reliable
    /// transport a final response ends the transaction, and what was kept comes back.
    ///
    /// # Errors
    /// [`Refused`]: the response must not be sent.
    pub fn respond(
        &mut self,
        now: Mono,
        key: ServerKey,
        status: u16,
        octets: &[u8],
    ) -> Result<Step<'_, ServerAction, T>, Refused> {
        let slot = self
            .slots
            .get_mut(key.index as usize)
            .filter(|slot| slot.serial == key.serial)
            .ok_or(Refused::Gone)?;
        let action = match &mut slot.machine {
            Machine::Invite(machine) => machine.on_respond(now, status),
            Machine::NonInvite(machine) => machine.on_respond(now, status),
        };
        if action == ServerAction::Refused {
            return Err(Refused::Status(status));
        }
        slot.status = status;
        if status >= 200 {
            self.octets = self.octets.saturating_sub(std::mem::take(&mut slot.held));
        }
        slot.octets = None;
        if slot.repeats(status) && self.octets.saturating_add(octets.len()) <= self.limits.octets {
            slot.octets = Some(octets.into());
            slot.held += octets.len();
            self.octets += octets.len();
        }
        if status >= 300
            && let Some(triple) = slot.triple.take()
        {
            self.merges.release(triple, slot.print);
        }
        self.settle(now, key, action).ok_or(Refused::Gone)
    }

    /// The last response of `key`, to be sent again by its user: a 2xx to INVITE, until its ACK comes
    /// (RFC 3261 §13.3.1.4) or Timer L ends. None if there was no room to keep it.
    pub fn kept(&mut self, key: ServerKey) -> Option<(&[u8], &mut T)> {
        let slot = self.slots.get_mut(key.index as usize).filter(|slot| slot.serial == key.serial)?;
        Some((slot.octets.as_deref()?, &mut slot.value))
    }

    /// The ACK of the 2xx of `key` came: its octets are not needed any more.
    pub fn acknowledged(&mut self, key: ServerKey) {
        let slot = self.slots.get_mut(key.index as usize).filter(|slot| slot.serial == key.serial);
        if let Some(slot) = slot
            && (200..300).contains(&slot.status)
            && slot.octets.take().is_some()
        {
            self.octets = self.octets.saturating_sub(std::mem::take(&mut slot.held));
        }
    }

    /// The transport could not send the response of `key`: it stays, so that a retransmission is
    /// not taken for a new request (RFC 6026 §8.8).
    pub fn on_transport_error(&mut self, key: ServerKey) -> ServerAction {
        let slot = self.slots.get_mut(key.index as usize).filter(|slot| slot.serial == key.serial);
        match slot.map(|slot| &mut slot.machine) {
            Some(Machine::Invite(machine)) => machine.on_transport_error(),
            Some(Machine::NonInvite(machine)) => machine.on_transport_error(),
            None => ServerAction::Nothing,
        }
    }

    /// When [`Self::on_timer`] is due.
    pub fn deadline(&mut self) -> Option<Mono> {
        let due = self.deadlines.next(&mut self.slots).map(|(at, _)| at);
        super::client::earlier(due, self.peers.deadline())
    }

    /// Handles what is due at `now`: `act` gets each action that is more than nothing, with what
    /// to send again for [`ServerAction::Retransmit`].
    pub fn on_timer(
        &mut self,
        now: Mono,
        act: &mut impl FnMut(ServerKey, Step<'_, ServerAction, T>, Option<&[u8]>),
    ) {
        self.peers.sweep(now, &mut self.merges);
        while let Some(index) = self.deadlines.take_due(now, &mut self.slots) {
            let Some(slot) = self.slots.get_mut(index as usize) else { continue };
            let key = ServerKey { index, serial: slot.serial };
            let action = match &mut slot.machine {
                Machine::Invite(machine) => machine.on_timer(now),
                Machine::NonInvite(machine) => machine.on_timer(now),
            };
            match action {
                ServerAction::Retransmit => {
                    self.deadlines.arm(index, slot);
                    // Without its octets a response waits for the client to ask again.
                    if let Some(octets) = &slot.octets {
                        act(key, Step::Kept(action, &mut slot.value), Some(octets));
                    }
                }
                ServerAction::SendTrying => {
                    slot.status = 100;
                    self.deadlines.arm(index, slot);
                    act(key, Step::Kept(action, &mut slot.value), None);
                }
                ServerAction::Nothing => {
                    self.settle(now, key, action);
                }
                ServerAction::Send
                | ServerAction::DeliverAck
                | ServerAction::Refused
                | ServerAction::Timeout
                | ServerAction::Expired
                | ServerAction::TransportFailed
                | ServerAction::Terminated => {
                    if let Some(step) = self.settle(now, key, action) {
                        act(key, step, None);
                    }
                }
            }
        }
    }

    /// A request came again for the transaction at `index`.
    fn again(&mut self, index: u32) -> Received<'_, T> {
        let Some(slot) = self.slots.get_mut(index as usize) else { return Received::Absorbed };
        let action = match &mut slot.machine {
            Machine::Invite(machine) => machine.on_request(),
            Machine::NonInvite(machine) => machine.on_request(),
        };
        match (action, &slot.octets, slot.status) {
            (ServerAction::Retransmit, Some(octets), _) => Received::Again(octets, &mut slot.value),
            (ServerAction::Retransmit, None, status @ 100..) => {
                Received::Replayed { status, tag: Id::of(self.owner, self.prints.tag_bits(slot.print)) }
            }
            _ => Received::Absorbed,
        }
    }

    /// After an input: forgets what ended, remembers its answer on a reliable transport, sets the
    /// deadline of what goes on.
    fn settle(
        &mut self,
        now: Mono,
        key: ServerKey,
        action: ServerAction,
    ) -> Option<Step<'_, ServerAction, T>> {
        let index = key.index as usize;
        if !self.slots.get(index)?.is_terminated() {
            let slot = self.slots.get_mut(index)?;
            self.deadlines.arm(key.index, slot);
            return Some(Step::Kept(action, &mut slot.value));
        }
        let slot = self.slots.remove(index);
        self.by_print.remove(&slot.print);
        self.octets = self.octets.saturating_sub(slot.held);
        match (slot.reliability, slot.status) {
            (Reliability::Reliable, 200..) => {
                let Slot { peer, print, status, triple, .. } = slot;
                self.peers.remember(now, peer, print, status, triple, &mut self.merges);
            }
            (Reliability::Reliable | Reliability::Unreliable, _) => {
                if let Some(triple) = slot.triple {
                    self.merges.release(triple, slot.print);
                }
            }
        }
        self.peers.close(slot.peer);
        Some(Step::Ended(action, slot.value))
    }

    fn tag_of(&self, print: Print) -> Id {
        Id::of(self.owner, self.prints.tag_bits(print))
    }
}

#[cfg(test)]
mod tests;
