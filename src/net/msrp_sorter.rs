//! Whose the frames of an MSRP connection are, where there are several shards.
//!
//! A connection that came in carries the sessions of any number of users (RFC 4975 §5.4), and each is its
//! user's shard's. So the connection's own shard cuts frames, and each goes to the shard whose session its To-Path
//! names, to a switch that takes the connection for one of its own. It ends when the last of them lets go of it.

use super::clock::Clock;
use super::shard::Shard;
use crate::gateway::Input;
use crate::gateway::shards::Place;
use crate::msrp::ConnId;
use crate::msrp::frame::{Frame, FrameError, Framer};
use crate::msrp::head::Head;
use crate::now::Mono;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

/// How long one frame may take to come in whole.
const FRAME: Duration = Duration::from_secs(60);

/// Sorts the frames of one connection.
pub struct Sorter {
    framer: RefCell<Framer>,
    tls: bool,
    certificate: Option<Vec<u8>>,
    /// Shards whose switches have the connection.
    holders: RefCell<BTreeSet<u8>>,
    /// Since when a frame is not whole.
    amid: Cell<Option<Mono>>,
}

impl Sorter {
    /// For a connection that the switch of `own` has; messages have at most `body_max` octets.
    pub fn new(own: u8, body_max: usize, tls: bool, certificate: Option<Vec<u8>>) -> Self {
        Self {
            framer: RefCell::new(Framer::new(body_max)),
            tls,
            certificate,
            holders: RefCell::new(BTreeSet::from([own])),
            amid: Cell::new(None),
        }
    }

    /// Hands on what is whole of `octets`, and what came before. False if a frame could not be handled.
    ///
    /// # Errors
    /// It is no MSRP.
    pub fn sort(&self, shard: &Rc<Shard>, conn: ConnId, octets: &[u8]) -> Result<bool, FrameError> {
        let mut framer = self.framer.borrow_mut();
        framer.push(octets);
        while let Some(frame) = framer.next()? {
            let owner = owner_of(&shard.place, &frame);
            if self.hold(owner) {
                shard.introduce_msrp(owner, conn, self.tls, self.certificate.clone());
            }
            if !shard.on_msrp_frame(owner, conn, frame) {
                return Ok(false);
            }
        }
        let since = self.amid.get().unwrap_or_else(|| shard.clock.now().mono);
        self.amid.set(framer.is_amid().then_some(since));
        Ok(true)
    }

    /// When a frame that is not whole has taken too long.
    pub fn deadline(&self, clock: &Clock) -> Option<tokio::time::Instant> {
        self.amid.get().map(|since| clock.instant(since + FRAME))
    }

    /// The switch of `shard` shall have the connection. Is that new?
    pub(super) fn hold(&self, shard: u8) -> bool {
        self.holders.borrow_mut().insert(shard)
    }

    /// The switch of `shard` has let go of the connection. Was it the last?
    pub fn release(&self, shard: u8) -> bool {
        let mut holders = self.holders.borrow_mut();
        holders.remove(&shard);
        holders.is_empty()
    }

    /// Shards whose switches have the connection.
    pub fn holders(&self) -> Vec<u8> {
        self.holders.borrow().iter().copied().collect()
    }
}

/// Whose a frame is: of the session that it is for. What names none of ours, anybody can refuse.
fn owner_of(place: &Place, frame: &Frame<'_>) -> u8 {
    let (Frame::Whole { head, .. } | Frame::TooLong { head }) = frame;
    let head = Head::parse(head);
    let session = head.as_ref().and_then(|head| head.to.first()).and_then(|uri| uri.session());
    session.and_then(|session| place.of_id(session)).unwrap_or(place.shard())
}

impl Shard {
    /// Has the switch of shard `to` take the connection for one of its own.
    fn introduce_msrp(self: &Rc<Self>, to: u8, conn: ConnId, tls: bool, certificate: Option<Vec<u8>>) {
        self.hand(to, move |shard| {
            if !shard.tell(|gateway, now| gateway.msrp_visited(now, conn, tls, certificate)) {
                shard.release_msrp(conn);
            }
        });
    }

    /// What every holder of a connection has to hear.
    pub(super) fn tell_holders(
        self: &Rc<Self>,
        holders: Option<Vec<u8>>,
        input: impl Fn() -> Input<'static> + Clone + Send + 'static,
    ) {
        for to in holders.unwrap_or_else(|| vec![self.place.shard()]) {
            let input = input.clone();
            self.hand(to, move |shard| {
                shard.handle(shard.clock.now(), input());
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_free_when_the_last_shard_lets_go_of_it() {
        let sorter = Sorter::new(2, 1000, false, None);
        assert_eq!(sorter.holders(), [2]);
        assert!(sorter.hold(0) && sorter.hold(3) && !sorter.hold(3));
        assert!(!sorter.release(2), "two others have it");
        assert!(!sorter.release(2), "who lets go twice lets go once");
        assert!(!sorter.release(0));
        assert_eq!(sorter.holders(), [3]);
        assert!(sorter.release(3));
    }
}
