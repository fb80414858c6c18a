//! From shard to shard. An item is read where its connection lives, and handled where its user does; what is to
//! be written goes back the same way.
//!
//! ```text
//!   driver ─ on_stanza, on_sip ─▶ ours? ─▶ the gateway
//!                                  └ no ─▶ outbox ═ end of the turn ═▶ inbox ─▶ the other gateway
//!   perform ─ a link or connection of another shard ─▶ outbox ═══════▶ inbox ─▶ the connection
//! ```
//!
//! What is for one shard leaves in one batch a turn, in order. An inbox is always emptied, whatever else its
//! shard does, so no two shards can wait for each other; when one has too much, connections are not read until it
//! is less ([`Shard::room`]).

use super::Shard;
use crate::crossing::Verified;
use crate::gateway::Input;
use crate::gateway::effect::LinkId;
use crate::gateway::trail::{Carrier, End};
use crate::ids::shard_of;
use crate::msrp::ConnId;
use crate::msrp::frame::{Flag, Frame};
use crate::now::Now;
use crate::sip::link::Source;
use crate::xmpp::{Condition, Iq, PackedIq, PackedStanza, Stanza, StreamId};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Parcels in one inbox with which connections go on being read, and octets in them.
const CROWDED: usize = 10_000;
const HEAVY: usize = 32 * 1024 * 1024;
/// How often it is looked whether that has passed.
const LOOK: Duration = Duration::from_millis(1);

/// Why a connection ends that brought what the gateway can't handle.
const UNHANDLED: &str = "an item could not be handled";

/// Work for a shard's thread.
pub(super) type Work = Box<dyn FnOnce(&Rc<Shard>) + Send>;

/// One thing for another shard. Octets stand in its batch.
pub(super) enum Parcel {
    Stanza {
        stream: StreamId,
        stanza: PackedStanza,
    },
    Iq {
        stream: StreamId,
        iq: PackedIq,
    },
    Sip {
        source: Source,
        octets: Range<usize>,
    },
    SipSend {
        link: LinkId,
        to: Option<SocketAddr>,
        octets: Range<usize>,
    },
    SipClose {
        link: LinkId,
    },
    MsrpSend {
        conn: ConnId,
        octets: Range<usize>,
    },
    /// A whole frame, or, without a flag, the head of one that is too long.
    MsrpFrame {
        conn: ConnId,
        head: Range<usize>,
        body: Option<Range<usize>>,
        flag: Option<Flag>,
    },
    /// The switch of that shard is done with the connection.
    MsrpClose {
        conn: ConnId,
        by: u8,
    },
    /// Stanzas for a stream that the sender has as `by`.
    XmppSend {
        lender: StreamId,
        by: StreamId,
        octets: Range<usize>,
        mark: u64,
    },
    /// The kernel has them up to a mark.
    Written {
        to: StreamId,
        mark: u64,
    },
    /// A borrowed stream is up.
    Lent {
        to: StreamId,
        auth: &'static str,
        end: End,
    },
    /// A borrowed stream is gone.
    Gone {
        to: StreamId,
        condition: Condition,
        why: String,
    },
    GivenBack {
        lender: StreamId,
        by: StreamId,
    },
    /// What a stream or link is, for the trail.
    Meet(End),
    /// An item of this stream or link could not be handled.
    Broken(Carrier),
    /// Likewise of an MSRP connection.
    MsrpBroken {
        conn: ConnId,
    },
    Work(Work),
}

/// What goes to one shard at the end of a turn.
#[derive(Default)]
pub(super) struct Batch {
    parcels: Vec<Parcel>,
    octets: Vec<u8>,
}

impl Batch {
    /// Octets that it holds, about.
    fn weight(&self) -> usize {
        let packed = |parcel: &Parcel| match parcel {
            Parcel::Stanza { stanza, .. } => stanza.octets(),
            Parcel::Iq { iq, .. } => iq.octets(),
            Parcel::Sip { .. }
            | Parcel::SipSend { .. }
            | Parcel::SipClose { .. }
            | Parcel::MsrpSend { .. }
            | Parcel::MsrpFrame { .. }
            | Parcel::MsrpClose { .. }
            | Parcel::XmppSend { .. }
            | Parcel::Written { .. }
            | Parcel::Lent { .. }
            | Parcel::Gone { .. }
            | Parcel::GivenBack { .. }
            | Parcel::Meet(_)
            | Parcel::Broken(_)
            | Parcel::MsrpBroken { .. }
            | Parcel::Work(_) => 0,
        };
        self.parcels.iter().map(packed).fold(self.octets.len(), usize::saturating_add)
    }
}

/// What has come for a shard.
#[derive(Default)]
pub struct Inbox {
    batches: Mutex<VecDeque<Batch>>,
    parcels: AtomicUsize,
    octets: AtomicUsize,
    wake: Notify,
}

impl Inbox {
    fn put(&self, batch: Batch) {
        self.parcels.fetch_add(batch.parcels.len(), Ordering::Relaxed);
        self.octets.fetch_add(batch.weight(), Ordering::Relaxed);
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).push_back(batch);
        self.wake.notify_one();
    }

    /// The oldest batch.
    fn take(&self) -> Option<Batch> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// `batch` is about to be handled.
    fn took(&self, batch: &Batch) {
        self.parcels.fetch_sub(batch.parcels.len(), Ordering::Relaxed);
        self.octets.fetch_sub(batch.weight(), Ordering::Relaxed);
    }

    fn is_crowded(&self) -> bool {
        self.parcels.load(Ordering::Relaxed) > CROWDED || self.octets.load(Ordering::Relaxed) > HEAVY
    }
}

impl Shard {
    /// A message or presence came: to the shard of the SIP user whom it is for. What is ours waits for
    /// [`Shard::perform`]; false after a panic, as for [`Shard::input`].
    pub fn on_stanza(&self, now: Now, stream: StreamId, stanza: Verified<Stanza<'_>>) -> bool {
        let owner = self.place.of_stanza(&stanza);
        if owner == self.place.shard() {
            return self.input(now, Input::Stanza { stream, stanza });
        }
        self.post(owner, Parcel::Stanza { stream, stanza: PackedStanza::new(stanza) });
        true
    }

    /// Likewise an iq: an answer goes to whoever asked.
    pub fn on_iq(&self, now: Now, stream: StreamId, iq: Verified<Iq<'_>>) -> bool {
        let owner = self.place.of_iq(&iq);
        if owner == self.place.shard() {
            return self.input(now, Input::Iq { stream, iq });
        }
        self.post(owner, Parcel::Iq { stream, iq: PackedIq::new(iq) });
        true
    }

    /// Likewise a SIP message.
    pub fn on_sip(&self, now: Now, source: &Source, octets: &[u8]) -> bool {
        let owner = match self.place.is_alone() {
            true => self.place.shard(),
            false => self.place.of_sip(octets, self.gateway().settings()),
        };
        if owner == self.place.shard() {
            return self.input(now, Input::Sip { source, octets });
        }
        self.post_with(owner, octets, |octets| Parcel::Sip { source: source.clone(), octets });
        true
    }

    /// Likewise a frame of an MSRP connection, which is for `owner`.
    pub fn on_msrp_frame(self: &Rc<Self>, owner: u8, conn: ConnId, frame: Frame<'_>) -> bool {
        if owner == self.place.shard() {
            return self.handle(self.clock.now(), Input::MsrpFrame { conn, frame });
        }
        let (head, body, flag) = match frame {
            Frame::Whole { head, body, flag } => (head, body, Some(flag)),
            Frame::TooLong { head } => (head, None, None),
        };
        self.post_with(owner, &[head, body.unwrap_or_default()].concat(), |all| {
            let end = all.start + head.len();
            Parcel::MsrpFrame { conn, head: all.start..end, body: body.map(|_| end..all.end), flag }
        });
        true
    }

    /// A stream or link is there: remembered by all shards for whoever asks later what it was.
    pub fn meet(&self, end: End) {
        for shard in self.others() {
            self.post(shard, Parcel::Meet(end.clone()));
        }
        self.gateway.borrow_mut().meet(end);
    }

    pub(super) fn others(&self) -> impl Iterator<Item = u8> + use<> {
        let own = self.place.shard();
        (0..self.place.shards()).filter(move |shard| *shard != own)
    }

    pub(super) fn post(&self, to: u8, parcel: Parcel) {
        self.post_with(to, b"", |_| parcel);
    }

    /// To the shard of a connection that has this number.
    pub(super) fn post_to(&self, number: u32, octets: &[u8], parcel: impl FnOnce(Range<usize>) -> Parcel) {
        let owner = shard_of(number);
        if owner != self.place.shard() {
            self.post_with(owner, octets, parcel);
        }
    }

    fn post_with(&self, to: u8, octets: &[u8], parcel: impl FnOnce(Range<usize>) -> Parcel) {
        if let Some(batch) = self.outboxes.borrow_mut().get_mut(usize::from(to)) {
            let start = batch.octets.len();
            batch.octets.extend_from_slice(octets);
            batch.parcels.push(parcel(start..batch.octets.len()));
            if batch.parcels.len() == 1 {
                self.flush.notify_one();
            }
        }
    }

    /// Sends off what was posted in this turn.
    pub(super) fn send_off(&self) {
        if self.place.is_alone() {
            return;
        }
        // The first shard last: it runs what concerns all, and what a shard did before it answers is with everybody
        // by then.
        for (batch, inbox) in self.outboxes.borrow_mut().iter_mut().zip(&self.together.inboxes).rev() {
            if !batch.parcels.is_empty() {
                inbox.put(std::mem::take(batch));
            }
        }
    }

    /// Takes what other shards send, for ever.
    pub async fn receiving(self: Rc<Self>) {
        let Some(inbox) = self.together.inboxes.get(usize::from(self.place.shard())) else { return };
        loop {
            inbox.wake.notified().await;
            while self.receive_one(inbox) {
                // Sockets and timers have their turn between two.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes what other shards have sent so far.
    pub(super) fn receive(self: &Rc<Self>) {
        let Some(inbox) = self.together.inboxes.get(usize::from(self.place.shard())) else { return };
        while self.receive_one(inbox) {}
    }

    /// Takes a batch; false if there is none.
    fn receive_one(self: &Rc<Self>, inbox: &Inbox) -> bool {
        let Some(batch) = inbox.take() else { return false };
        inbox.took(&batch);
        let Batch { parcels, octets } = batch;
        for parcel in parcels {
            // As everywhere: a panic costs the item, not the shard.
            if catch_unwind(AssertUnwindSafe(|| self.unpack(parcel, &octets))).is_err() {
                tracing::error!(stoxd_event = "panic", "what came from another shard could not be handled");
            }
        }
        true
    }

    fn unpack(self: &Rc<Self>, parcel: Parcel, octets: &[u8]) {
        let now = self.clock.now();
        let of = |range: Range<usize>| octets.get(range).unwrap_or_default();
        let (via, handled) = match parcel {
            Parcel::Stanza { stream, stanza } => {
                let handled = stanza.open(|stanza| self.input(now, Input::Stanza { stream, stanza }));
                (Carrier::Stream(stream), handled)
            }
            Parcel::Iq { stream, iq } => {
                (Carrier::Stream(stream), iq.open(|iq| self.input(now, Input::Iq { stream, iq })))
            }
            Parcel::Sip { source, octets } => {
                let handled = self.input(now, Input::Sip { source: &source, octets: of(octets) });
                (Carrier::Link(source.link), handled)
            }
            Parcel::SipSend { link, to, octets } => return self.sip_send(link, to, of(octets)),
            Parcel::XmppSend { lender, by, octets, mark } => {
                return self.xmpp_send(now, lender, Some(by), of(octets), mark);
            }
            Parcel::Written { to, mark } => {
                self.handle(now, Input::Written { stream: to, mark });
                return;
            }
            Parcel::Lent { to, auth, end } => return self.on_lent(now, to, auth, end),
            Parcel::Gone { to, condition, why } => return self.on_gone(now, to, condition, &why),
            Parcel::GivenBack { lender, by } => return self.on_given_back(lender, by),
            Parcel::SipClose { link } => return self.sip_close(link),
            Parcel::MsrpSend { conn, octets } => return self.msrp_send(conn, of(octets)),
            Parcel::MsrpFrame { conn, head, body, flag } => {
                let (head, body) = (of(head), body.map(of));
                let frame = match flag {
                    Some(flag) => Frame::Whole { head, body, flag },
                    None => Frame::TooLong { head },
                };
                if !self.handle(now, Input::MsrpFrame { conn, frame }) {
                    self.post_to(conn.0, b"", |_| Parcel::MsrpBroken { conn });
                }
                return;
            }
            Parcel::MsrpClose { conn, by } => return self.msrp.release(conn, by),
            Parcel::Meet(end) => return self.gateway.borrow_mut().meet(end),
            Parcel::Broken(via) => return self.break_off(via),
            Parcel::MsrpBroken { conn } => return self.msrp.break_off(conn, UNHANDLED),
            Parcel::Work(work) => return work(self),
        };
        self.perform(now);
        if !handled {
            let (Carrier::Stream(StreamId(number)) | Carrier::Link(LinkId(number))) = via;
            self.post_to(number, b"", |_| Parcel::Broken(via));
        }
    }

    fn break_off(&self, via: Carrier) {
        let why = UNHANDLED;
        match via {
            Carrier::Stream(stream) => {
                if let Some(conn) = self.stream(stream) {
                    conn.io.kill(why);
                }
            }
            Carrier::Link(link) => {
                if let Some(conn) = self.links.borrow().get(&link) {
                    conn.io.kill(why);
                }
            }
        }
    }

    /// Waits until no shard has too much to do. Drivers wait so before they read.
    pub async fn room(&self) {
        while !self.place.is_alone() && self.together.inboxes.iter().any(Inbox::is_crowded) {
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inbox_is_crowded_by_many_parcels_or_by_heavy_ones_until_they_are_taken() {
        let (link, to) = (LinkId(1), None);
        let batch = |count: usize, octets: usize| Batch {
            parcels: (0..count).map(|_| Parcel::SipSend { link, to, octets: 0..0 }).collect(),
            octets: vec![0; octets],
        };
        for (count, octets) in [(CROWDED, 0), (1, HEAVY)] {
            let inbox = Inbox::default();
            inbox.put(batch(count, octets));
            assert!(!inbox.is_crowded(), "{count} {octets}");
            inbox.put(batch(1, 1));
            assert!(inbox.is_crowded(), "{count} {octets}");
            let taken: Vec<Batch> = std::iter::from_fn(|| inbox.take()).collect();
            assert!(inbox.is_crowded(), "what is not handled yet counts");
            taken.iter().for_each(|batch| inbox.took(batch));
            assert!(!inbox.is_crowded());
            assert_eq!((inbox.parcels.into_inner(), inbox.octets.into_inner()), (0, 0));
        }
    }
}
