//! What all shards of a process have together: how many connections there are, whose they are, and the boxes
//! by which one shard reaches another.

use super::hops::Inbox;
use crate::addr::Domain;
use crate::gateway::Realm;
use crate::xmpp::StreamId;
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
    seats: Mutex<Vec<(StreamId, Domain)>>,
    pub(super) inboxes: Vec<Inbox>,
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

    /// Gives `stream` a place among those with the partner that `remote` belongs to: a stream that we
    /// open from the attempt on, one that comes in from its proof on. None if it has one already.
    ///
    /// # Errors
    /// The partner has as many as it may: how many that is.
    pub fn seat(
        self: &Arc<Self>,
        realm: &Realm,
        stream: StreamId,
        remote: &Domain,
    ) -> Result<Option<Seat>, usize> {
        let limit = realm
            .connection_limit(remote.as_str())
            .map_or(self.limits().of_partner, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut seats = locked(&self.seats);
        let mut taken = 0;
        for (other, _) in seats.iter().filter(|(_, r)| realm.same_partner(r.as_str(), remote.as_str())) {
            if *other == stream {
                return Ok(None);
            }
            taken += 1;
        }
        if taken >= limit {
            return Err(limit);
        }
        seats.push((stream, remote.clone()));
        Ok(Some(Seat { together: self.clone(), stream, remote: remote.clone() }))
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
        let mine = |(stream, remote): &(StreamId, Domain)| *stream == self.stream && *remote == self.remote;
        locked(&self.together.seats).retain(|place| !mine(place));
    }
}
