//! A shard that may open no stream to a partner of its own uses that of another.
//!
//! Each shard opens its own streams, as long as a partner has places for them: half of its `connection_limit`,
//! since the partner has to reach us as well. Beyond that a stream is lent: whoever borrows it has a name of its own
//! for it, hears when it is up, when its stanzas are written and when it is gone, as if it were its own.
//!
//! ```text
//!   borrower: dial ─▶ no place ─▶ ask the lender ─────▶ Lent (up) ─▶ StreamUp
//!             XmppSend ─────────▶ the lender's stream ─▶ Written ──▶ Written
//!             XmppClose ────────▶ given back ───────────────────────▶ StreamDown
//!             XmppClose (error) ▶ the lender closes it ─▶ Gone ────▶ StreamDown
//! ```
//!
//! What a borrower sends is traffic of the stream as what its own shard sends: it is idle when nobody has sent. When
//! our close tag is out everybody hears that it is gone, and what comes then goes by another.

use super::Shard;
use super::hops::Parcel;
use crate::gateway::Input;
use crate::gateway::trail::{Carrier, End};
use crate::ids::shard_of;
use crate::now::Now;
use crate::xmpp::{Condition, StreamId};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// What is lent and borrowed by one shard.
#[derive(Default)]
pub(super) struct Lending {
    /// Streams that we opened, or are opening.
    ours: RefCell<HashMap<StreamId, Lent>>,
    /// Our names of streams that we use → those of their shards.
    borrowed: RefCell<HashMap<StreamId, StreamId>>,
}

/// A stream that others may use.
#[derive(Default)]
struct Lent {
    /// How it was proven, once it is up.
    up: Option<(&'static str, End)>,
    /// The names by which others use it.
    borrowers: Vec<StreamId>,
}

/// A stream that we opened, lent to whoever wants it until this is dropped.
pub struct Offer {
    shard: Rc<Shard>,
    stream: StreamId,
}

impl Drop for Offer {
    fn drop(&mut self) {
        self.shard.lending.ours.borrow_mut().remove(&self.stream);
    }
}

impl Shard {
    /// `stream`, which we are opening, may be used by others.
    pub fn offer(self: &Rc<Self>, stream: StreamId) -> Offer {
        if !self.place.is_alone() {
            self.lending.ours.borrow_mut().insert(stream, Lent::default());
        }
        Offer { shard: self.clone(), stream }
    }

    /// Uses `lender`, a stream of another shard, as `stream`. False if it is gone.
    pub async fn borrow_stream(self: &Rc<Self>, stream: StreamId, lender: StreamId) -> bool {
        self.lending.borrowed.borrow_mut().insert(stream, lender);
        let lends = move |shard: &Rc<Shard>| shard.lend(lender, stream);
        let lent = self.ask(shard_of(lender.0), lends).await;
        if lent.is_err() {
            // It may still do what it was asked.
            self.post(shard_of(lender.0), Parcel::GivenBack { lender, by: stream });
        }
        let lent = lent == Ok(true);
        if !lent {
            self.lending.borrowed.borrow_mut().remove(&stream);
        }
        lent
    }

    fn lend(&self, stream: StreamId, to: StreamId) -> bool {
        let mut ours = self.lending.ours.borrow_mut();
        let Some(lent) = ours.get_mut(&stream) else { return false };
        lent.borrowers.push(to);
        if let Some((auth, end)) = &lent.up {
            self.post(shard_of(to.0), Parcel::Lent { to, auth, end: end.clone() });
        }
        true
    }

    /// How many use `stream`, which is ours.
    #[cfg(test)]
    pub fn borrowers(&self, stream: StreamId) -> usize {
        self.lending.ours.borrow().get(&stream).map_or(0, |lent| lent.borrowers.len())
    }

    /// A stream that we opened is up.
    pub fn lent_is_up(&self, stream: StreamId, auth: &'static str, end: End) {
        if let Some(lent) = self.lending.ours.borrow_mut().get_mut(&stream) {
            for to in &lent.borrowers {
                self.post(shard_of(to.0), Parcel::Lent { to: *to, auth, end: end.clone() });
            }
            lent.up = Some((auth, end));
        }
    }

    /// A stream that we opened is gone, or was never made: everybody who uses it hears so.
    pub fn stream_down(self: &Rc<Self>, now: Now, stream: StreamId, condition: Condition, why: &str) {
        self.together.withdraw(stream);
        if let Some(lent) = self.lending.ours.borrow_mut().remove(&stream) {
            for to in lent.borrowers {
                let gone = Parcel::Gone { to, condition, why: why.to_owned() };
                self.post(shard_of(to.0), gone);
            }
        }
        self.handle(now, Input::StreamDown { stream, condition, why });
    }

    /// What we borrowed as `stream` is up.
    pub(super) fn on_lent(self: &Rc<Self>, now: Now, stream: StreamId, auth: &'static str, end: End) {
        if self.lending.borrowed.borrow().contains_key(&stream) {
            self.gateway.borrow_mut().meet(End { via: Carrier::Stream(stream), ..end });
            self.handle(now, Input::StreamUp { stream, auth });
        }
    }

    /// What we borrowed as `stream` is gone.
    pub(super) fn on_gone(self: &Rc<Self>, now: Now, stream: StreamId, condition: Condition, why: &str) {
        if self.lending.borrowed.borrow_mut().remove(&stream).is_some() {
            self.handle(now, Input::StreamDown { stream, condition, why });
        }
    }

    /// Of whom we have `stream`, if it is borrowed.
    pub(super) fn lender_of(&self, stream: StreamId) -> Option<StreamId> {
        self.lending.borrowed.borrow().get(&stream).copied()
    }

    /// Gives a stream back; the gateway hears that it is closed.
    pub(super) fn give_back(self: &Rc<Self>, stream: StreamId) {
        let Some(lender) = self.lending.borrowed.borrow_mut().remove(&stream) else { return };
        self.post(shard_of(lender.0), Parcel::GivenBack { lender, by: stream });
        let shard = self.clone();
        tokio::task::spawn_local(async move {
            let (condition, why) = (Condition::RemoteServerTimeout, "closed");
            shard.handle(shard.clock.now(), Input::StreamDown { stream, condition, why });
        });
    }

    pub(super) fn on_given_back(&self, lender: StreamId, by: StreamId) {
        if let Some(lent) = self.lending.ours.borrow_mut().get_mut(&lender) {
            lent.borrowers.retain(|name| *name != by);
        }
    }
}
