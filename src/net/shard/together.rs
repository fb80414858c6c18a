//! What all shards of a process have together: how many connections there are, whose they are, and the boxes
//! by which one shard reaches another.

use super::hops::Inbox;
use crate::addr::Domain;
use crate::gateway::Realm;
use crate::ids::shard_of;
use crate::xmpp::{Pair, StreamId};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// XMPP connections in all, both ways, proven or not.
    pub xmpp: usize,
    /// Streams with one partner, both ways, that has no limit of its own.
    pub of_partner: usize,
    /// SIP connections that come in.
    pub sip: usize,
    /// MSRP connections that come in.
    pub msrp: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { xmpp: 1000, of_partner: 20, sip: 10_000, msrp: 1000 }
    }
}

/// How many are open: each holds this, and it holds one itself.
#[derive(Clone, Debug, Default)]
pub struct Open(Arc<()>);

impl Open {
    /// Are there as many as `limit`? Who asks and holds one already counts.
    pub fn reaches(&self, limit: usize) -> bool {
        Arc::strong_count(&self.0) > limit
    }
}

/// What shards have together.
pub struct Together {
    /// Held by each XMPP connection, both ways, as long as it lives.
    pub xmpp_open: Open,
    /// Held by each SIP connection that somebody opened to us.
    pub sip_open: Open,
    /// Held by each MSRP connection that somebody opened to us.
    pub msrp_open: Open,
    limits: Mutex<Limits>,
    seats: Mutex<Vec<Taken>>,
    pub(super) inboxes: Vec<Inbox>,
}

/// One stream's place.
struct Taken {
    stream: StreamId,
    remote: Domain,
    /// For which domain of ours we opened it, if we did.
    local: Option<Domain>,
    /// Nothing goes there any more: its place will be free in a moment.
    over: bool,
}

/// Why there is no place for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// The partner has as many streams as it may.
    Full(usize),
    /// It has none for another one of ours; this stream of another shard is for the same pair.
    Lender(StreamId),
    /// One will be free when a connection that is over has been closed.
    Soon,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Together {
    /// For so many shards.
    pub fn new(shards: u8, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            xmpp_open: Open::default(),
            sip_open: Open::default(),
            msrp_open: Open::default(),
            limits: Mutex::new(limits),
            seats: Mutex::default(),
            inboxes: (0..shards).map(|_| Inbox::default()).collect(),
        })
    }

    /// How many connections there may be.
    pub fn limits(&self) -> Limits {
        *locked(&self.limits)
    }

    /// Other limits, for connections from now on.
    pub fn set_limits(&self, limits: Limits) {
        *locked(&self.limits) = limits;
    }

    fn limit(&self, realm: &Realm, remote: &Domain) -> usize {
        let own = realm.connection_limit(remote.as_str());
        own.map_or(self.limits().of_partner, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
    }

    fn take(self: &Arc<Self>, seats: &mut Vec<Taken>, taken: Taken) -> Seat {
        let (stream, remote) = (taken.stream, taken.remote.clone());
        seats.push(taken);
        Seat { together: self.clone(), stream, remote }
    }

    /// `stream` is over: nobody can borrow it any more, though its place is taken until its connection has ended.
    pub(super) fn withdraw(&self, stream: StreamId) {
        locked(&self.seats).iter_mut().filter(|seat| seat.stream == stream).for_each(|seat| seat.over = true);
    }

    /// Gives `stream`, which came in and is proven, a place among those with the partner that `remote` belongs
    /// to. None if it has one already.
    ///
    /// # Errors
    /// The partner has as many as it may: how many that is.
    pub fn seat_in(
        self: &Arc<Self>,
        realm: &Realm,
        stream: StreamId,
        remote: &Domain,
    ) -> Result<Option<Seat>, usize> {
        let limit = self.limit(realm, remote);
        let mut seats = locked(&self.seats);
        let of_partner =
            seats.iter().filter(|seat| realm.same_partner(seat.remote.as_str(), remote.as_str()));
        if of_partner.clone().any(|seat| seat.stream == stream) {
            return Ok(None);
        }
        if of_partner.count() >= limit {
            return Err(limit);
        }
        Ok(Some(self.take(&mut seats, Taken { stream, remote: remote.clone(), local: None, over: false })))
    }

    /// Gives `stream`, which we are about to open, a place likewise. All shards together have half of a partner's
    /// places, so that the partner can reach us; the first stream of a pair may have any.
    ///
    /// # Errors
    /// There is none, and what to do.
    pub fn seat_out(self: &Arc<Self>, realm: &Realm, stream: StreamId, pair: &Pair) -> Result<Seat, NoPlace> {
        let limit = self.limit(realm, &pair.remote);
        let mut seats = locked(&self.seats);
        let of_partner =
            seats.iter().filter(|seat| realm.same_partner(seat.remote.as_str(), pair.remote.as_str()));
        let taken = of_partner.clone().count();
        let opened = of_partner.clone().filter(|seat| seat.local.is_some() && !seat.over).count();
        let lends = |seat: &&Taken| {
            !seat.over
                && seat.remote == pair.remote
                && seat.local.as_ref() == Some(&pair.local)
                && shard_of(seat.stream.0) != shard_of(stream.0)
        };
        match of_partner.clone().find(lends).map(|seat| seat.stream) {
            Some(lender) if taken >= limit || opened >= (limit / 2).max(1) => Err(NoPlace::Lender(lender)),
            None if taken >= limit => Err(match of_partner.clone().any(|seat| seat.over) {
                true => NoPlace::Soon,
                false => NoPlace::Full(limit),
            }),
            Some(_) | None => {
                let (remote, local) = (pair.remote.clone(), Some(pair.local.clone()));
                Ok(self.take(&mut seats, Taken { stream, remote, local, over: false }))
            }
        }
    }
}

/// The place of one stream among those of its partner, until this is dropped.
pub struct Seat {
    together: Arc<Together>,
    stream: StreamId,
    remote: Domain,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mine = |seat: &Taken| seat.stream == self.stream && seat.remote == self.remote;
        locked(&self.together.seats).retain(|place| !mine(place));
    }
}
