//! A shard: the thread that owns its sockets and its gateway.
//!
//! Drivers (`xmpp_conn`, `sip_conn`, `udp`) read a socket until it is dry and hand each item to
//! [`Shard::handle`], inline: no channel, no wake-up between a read and the write that it causes.
//! What the gateway wants sent is appended to the connection that it names, and every connection
//! that was touched is written once, when the tasks that are ready have run ([`Shard::flusher`]).
//! Streams are written before links: a SIP request is answered 2xx when the kernel has the stanza.
//!
//! Where there are several shards, [`hops`] carries items between them, and [`asking`] work and its answers.
//!
//! What may fail: an item that the gateway can't handle (a panic in [`Shard::input`]) costs its connection and
//! nothing else, whichever shard it came through. The tasks that a shard runs by itself never end: when one does,
//! the shard is of no use any more, and the process ends with an error (`daemon::threads`).

mod asking;
mod certs;
mod hops;
mod lending;
mod perform;
mod together;

pub use asking::{PATIENCE, Silent};
pub use lending::Offer;
pub use together::{Limits, NoPlace, Open, Seat, Together};

use super::clock::Clock;
use super::dialer::Dialer;
use super::keeper::Tickets;
use super::msrp_conn::MsrpConns;
use super::sip_conn::LinkConn;
use super::udp::UdpSocketConn;
use super::xmpp_conn::StreamConn;
use crate::gateway::effect::LinkId;
use crate::gateway::observe::Observation;
use crate::gateway::shards::Place;
use crate::gateway::trail::Trail;
use crate::gateway::trial::{NoTrial, Outcome, Trial, TrialId};
use crate::gateway::{Gateway, Input, Realm};
use crate::ids::{Ids, shard_of};
use crate::now::Now;
use crate::xmpp::{StreamCondition, StreamId};
use hops::{Batch, Parcel};
use lending::Lending;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Where the outcome of a trial comes, and how long it took.
pub type Tried = oneshot::Receiver<(Outcome, Duration)>;

/// Octets that one read may bring.
pub const READ_SIZE: usize = 64 * 1024;

/// A shard and all that hangs on it.
pub struct Shard {
    /// The clock.
    pub clock: Clock,
    /// Makes connections.
    pub dialer: Arc<Dialer>,
    /// What all shards have together.
    pub together: Arc<Together>,
    /// Which shard this is.
    pub place: Place,
    /// Ids of streams that drivers open.
    pub ids: RefCell<Ids>,
    gateway: RefCell<Gateway>,
    realm: RefCell<Rc<Realm>>,
    streams: RefCell<HashMap<StreamId, Rc<StreamConn>>>,
    links: RefCell<HashMap<LinkId, Rc<LinkConn>>>,
    udp: RefCell<BTreeMap<LinkId, Rc<UdpSocketConn>>>,
    /// MSRP connections.
    pub msrp: MsrpConns,
    dirty_streams: RefCell<Vec<Rc<StreamConn>>>,
    dirty_links: RefCell<Vec<Rc<LinkConn>>>,
    flush: Notify,
    timer: Notify,
    observer: Box<dyn Fn(&Observation)>,
    tickets: Tickets,
    /// What a read fills before it goes to its connection.
    pub scratch: RefCell<Box<[u8]>>,
    /// Set when the daemon drains: no new connections.
    pub draining: Cell<bool>,
    /// Set when all connections are closed: so is what comes up from then on.
    pub closing: Cell<bool>,
    /// Told while draining whenever less may be open than before.
    drained: Notify,
    /// What goes to the other shards at the end of the turn.
    outboxes: RefCell<Vec<Batch>>,
    lending: Lending,
    /// Who waits for the end of a trial.
    trials: RefCell<HashMap<TrialId, oneshot::Sender<(Outcome, Duration)>>>,
    /// No item can be handled.
    #[cfg(test)]
    pub trap: Cell<bool>,
}

impl Shard {
    /// A shard around `gateway`.
    pub fn new(
        clock: Clock,
        dialer: Arc<Dialer>,
        together: Arc<Together>,
        ids: Ids,
        gateway: Gateway,
        observer: Box<dyn Fn(&Observation)>,
        tickets: Tickets,
    ) -> Rc<Self> {
        let realm = RefCell::new(Rc::new(gateway.realm()));
        let place = *gateway.place();
        let outboxes = (0..place.shards()).map(|_| Batch::default()).collect();
        Rc::new(Self {
            clock,
            dialer,
            together,
            place,
            ids: RefCell::new(ids),
            gateway: RefCell::new(gateway),
            realm,
            streams: RefCell::default(),
            links: RefCell::default(),
            udp: RefCell::default(),
            msrp: MsrpConns::default(),
            dirty_streams: RefCell::default(),
            dirty_links: RefCell::default(),
            flush: Notify::new(),
            timer: Notify::new(),
            observer,
            tickets,
            scratch: RefCell::new(vec![0; READ_SIZE].into_boxed_slice()),
            draining: Cell::new(false),
            closing: Cell::new(false),
            drained: Notify::new(),
            outboxes: RefCell::new(outboxes),
            lending: Lending::default(),
            trials: RefCell::default(),
            #[cfg(test)]
            trap: Cell::default(),
        })
    }

    /// What streams need to know of the tables, as it is now.
    pub fn realm(&self) -> Rc<Realm> {
        self.realm.borrow().clone()
    }

    /// The gateway, to ask it something. Never hold it over an `.await`.
    pub fn gateway(&self) -> std::cell::Ref<'_, Gateway> {
        self.gateway.borrow()
    }

    /// Changes the gateway's tables and settings, and performs what follows from it.
    pub fn reload<T>(self: &Rc<Self>, change: impl FnOnce(&mut Gateway, Now) -> T) -> T {
        let now = self.clock.now();
        let said = {
            let mut gateway = self.gateway.borrow_mut();
            let said = change(&mut gateway, now);
            *self.realm.borrow_mut() = Rc::new(gateway.realm());
            said
        };
        self.perform(now);
        said
    }

    /// Has the gateway do something that is no input from outside, and performs what follows from it.
    pub fn tell<T>(self: &Rc<Self>, what: impl FnOnce(&mut Gateway, Now) -> T) -> T {
        let now = self.clock.now();
        let said = what(&mut self.gateway.borrow_mut(), now);
        self.perform(now);
        said
    }

    /// Begins a trial; its outcome, and how long it took, come in time.
    ///
    /// # Errors
    /// Nothing was begun.
    pub fn try_out(self: &Rc<Self>, trial: &Trial) -> Result<Tried, NoTrial> {
        let now = self.clock.now();
        let id = self.gateway.borrow_mut().begin_trial(now, trial)?;
        let (tell, told) = oneshot::channel();
        self.trials.borrow_mut().insert(id, tell);
        self.perform(now);
        Ok(told)
    }

    /// The trail, for somebody who follows it.
    pub fn with_trail<T>(&self, what: impl FnOnce(&mut Trail) -> T) -> T {
        what(self.gateway.borrow_mut().trail_mut())
    }

    /// A name for a new stream.
    pub fn mint_stream(&self) -> StreamId {
        self.gateway.borrow_mut().mint_stream()
    }

    /// A mint of ids for a task of its own.
    pub fn seed_ids(&self) -> Ids {
        Ids::new(self.ids.borrow_mut().octets(), self.place.owner())
    }

    /// A name for a new link.
    pub fn mint_link(&self) -> LinkId {
        self.gateway.borrow_mut().mint_link()
    }

    /// One input: the gateway handles it, and its effects are performed.
    ///
    /// False after a panic, as for [`Shard::input`].
    pub fn handle(self: &Rc<Self>, now: Now, input: Input<'_>) -> bool {
        let handled = self.input(now, input);
        self.perform(now);
        handled
    }

    /// One input, whose effects wait for [`Shard::perform`]: for input that borrows a machine which
    /// the effects may touch.
    ///
    /// A panic costs the item, not the process: false, and the caller drops the connection that
    /// brought it.
    pub fn input(&self, now: Now, input: Input<'_>) -> bool {
        let mut gateway = self.gateway.borrow_mut();
        let handled = catch_unwind(AssertUnwindSafe(|| {
            #[cfg(test)]
            assert!(!self.trap.get(), "a bug");
            gateway.handle(now, input);
        }))
        .is_ok();
        if !handled {
            tracing::error!(stoxd_event = "panic", "an item could not be handled; its connection is closed");
        }
        handled
    }

    /// Performs what the gateway wants done.
    pub fn perform(self: &Rc<Self>, now: Now) {
        let (list, octets) = {
            let mut gateway = self.gateway.borrow_mut();
            if gateway.effects().is_empty() {
                self.rearm(&mut gateway);
                return self.maybe_drained();
            }
            gateway.effects().take()
        };
        let mut list = list;
        for effect in list.drain(..) {
            self.perform_one(now, effect, &octets);
        }
        let mut gateway = self.gateway.borrow_mut();
        gateway.effects().recycle(list, octets);
        self.rearm(&mut gateway);
        self.maybe_drained();
    }

    /// `conn` has something to write: it is written at the end of the turn.
    pub fn touch_stream(&self, conn: &Rc<StreamConn>) {
        if !conn.io.dirty.replace(true) {
            self.dirty_streams.borrow_mut().push(conn.clone());
            self.flush.notify_one();
        }
    }

    /// Likewise.
    pub fn touch_link(&self, conn: &Rc<LinkConn>) {
        if !conn.io.dirty.replace(true) {
            self.dirty_links.borrow_mut().push(conn.clone());
            self.flush.notify_one();
        }
    }

    /// Writes what turns have touched, for ever. It runs when the tasks that were ready have run.
    pub async fn flusher(self: Rc<Self>) {
        loop {
            self.flush.notified().await;
            self.end_turn();
        }
    }

    /// Has the flusher end by a panic.
    #[cfg(test)]
    pub fn lose_flusher(&self) {
        std::mem::forget(self.dirty_streams.borrow_mut());
        self.flush.notify_one();
    }

    fn end_turn(self: &Rc<Self>) {
        let now = self.clock.now();
        loop {
            self.send_off();
            let streams = std::mem::take(&mut *self.dirty_streams.borrow_mut());
            if !streams.is_empty() {
                for conn in &streams {
                    conn.io.dirty.set(false);
                    self.flush_stream(now, conn);
                }
                continue;
            }
            let links = std::mem::take(&mut *self.dirty_links.borrow_mut());
            let msrp = self.msrp.take_dirty();
            if links.is_empty() && msrp.is_empty() {
                return;
            }
            for conn in &msrp {
                super::msrp_conn::flush(self, conn);
            }
            for conn in &links {
                conn.io.dirty.set(false);
                self.flush_link(conn);
            }
        }
    }

    /// Writes a link.
    pub fn flush_link(&self, conn: &LinkConn) {
        conn.io.flush();
    }

    /// Writes a stream, and tells the gateway which stanzas the kernel has; and other shards, where it is lent.
    pub fn flush_stream(self: &Rc<Self>, now: Now, conn: &Rc<StreamConn>) {
        let Some(written) = conn.io.flush() else { return };
        let (own, others) = conn.take_written(written);
        if let Some(mark) = own {
            self.handle(now, Input::Written { stream: conn.id, mark });
        }
        for (to, mark) in others {
            self.post(shard_of(to.0), Parcel::Written { to, mark });
        }
    }

    /// Runs the gateway's timers, for ever.
    pub async fn timers(self: Rc<Self>) {
        loop {
            let deadline = self.gateway.borrow_mut().deadline();
            match deadline {
                None => self.timer.notified().await,
                Some(at) => {
                    tokio::select! {
                        () = self.timer.notified() => {}
                        () = tokio::time::sleep_until(self.clock.instant(at)) => {
                            self.handle(self.clock.now(), Input::Timeout);
                        }
                    }
                }
            }
        }
    }

    /// Tells the gateway what became of what it wanted kept, for ever.
    pub async fn keeping(self: Rc<Self>) {
        loop {
            for (ticket, durable) in self.tickets.answered().await {
                self.handle(self.clock.now(), Input::Persisted { ticket, durable });
            }
        }
    }

    /// Wakes the timer task if the gateway has an earlier deadline than it sleeps for.
    fn rearm(&self, gateway: &mut Gateway) {
        if gateway.deadline_moved() {
            self.timer.notify_one();
        }
    }

    /// Nothing new is taken from now on; waits until nothing is under way.
    pub async fn drain(self: &Rc<Self>) {
        self.draining.set(true);
        let now = self.clock.now();
        self.gateway.borrow_mut().stop(now);
        self.perform(now);
        while !self.gateway().is_quiet() {
            self.drained.notified().await;
        }
    }

    /// What is under way goes back to its senders.
    pub fn abandon(self: &Rc<Self>) {
        let now = self.clock.now();
        self.gateway.borrow_mut().abandon(now);
        self.perform(now);
    }

    /// Closes the streams that others opened, so that nothing new comes in while there is still a way
    /// back for what fails; waits for their end.
    pub async fn close_inbound(self: &Rc<Self>) {
        let now = self.clock.now();
        for conn in self.all_streams().iter().filter(|conn| !conn.initiating) {
            conn.close(now, None);
        }
        while self.streams.borrow().values().any(|conn| !conn.initiating) {
            self.drained.notified().await;
        }
    }

    /// Closes all streams and links cleanly, also those that were just being made; waits for their end.
    pub async fn close_all(self: &Rc<Self>) {
        self.closing.set(true);
        // Answers of other shards may have come.
        self.receive();
        let now = self.clock.now();
        for conn in self.all_streams() {
            conn.close(now, None);
        }
        for conn in self.all_links() {
            conn.io.kill("shutting down");
        }
        self.msrp.close_all();
        while !self.streams.borrow().is_empty() || !self.links.borrow().is_empty() || !self.msrp.is_empty() {
            self.drained.notified().await;
        }
    }

    /// A connection has ended.
    pub fn less_is_open(&self) {
        self.maybe_drained();
    }

    fn maybe_drained(&self) {
        if self.draining.get() {
            self.drained.notify_waiters();
        }
    }

    /// Registers a stream.
    pub fn add_stream(&self, conn: &Rc<StreamConn>) {
        self.streams.borrow_mut().insert(conn.id, conn.clone());
        if self.closing.get() {
            // RFC 6120 §4.9.3.20. A stream of ours has not said anything yet.
            let condition = (!conn.initiating).then_some(StreamCondition::SystemShutdown);
            conn.close(self.clock.now(), condition);
        }
    }

    /// Forgets a stream.
    pub fn remove_stream(&self, stream: StreamId) {
        self.streams.borrow_mut().remove(&stream);
        self.maybe_drained();
    }

    /// Registers a link.
    pub fn add_link(&self, conn: &Rc<LinkConn>) {
        self.links.borrow_mut().insert(conn.id, conn.clone());
        if self.closing.get() {
            conn.io.kill("shutting down");
        }
    }

    /// Forgets a link.
    pub fn remove_link(&self, link: LinkId) {
        self.links.borrow_mut().remove(&link);
        self.maybe_drained();
    }

    /// Registers a UDP socket.
    pub fn add_udp(&self, socket: Option<Rc<UdpSocketConn>>) {
        self.udp.borrow_mut().extend(socket.map(|socket| (socket.id, socket)));
    }

    /// The UDP socket that reaches `addr`: the first of its address family.
    pub fn udp_for(&self, addr: std::net::SocketAddr) -> Option<LinkId> {
        self.udp.borrow().iter().find(|(_, s)| s.local.is_ipv4() == addr.is_ipv4()).map(|(id, _)| *id)
    }

    /// All streams, in the order of their names.
    pub fn all_streams(&self) -> Vec<Rc<StreamConn>> {
        let mut all: Vec<_> = self.streams.borrow().values().cloned().collect();
        all.sort_by_key(|conn| conn.id);
        all
    }

    /// All links, in the order of their names.
    pub fn all_links(&self) -> Vec<Rc<LinkConn>> {
        let mut all: Vec<_> = self.links.borrow().values().cloned().collect();
        all.sort_by_key(|conn| conn.id);
        all
    }

    fn stream(&self, stream: StreamId) -> Option<Rc<StreamConn>> {
        self.streams.borrow().get(&stream).cloned()
    }
}
