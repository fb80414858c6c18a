//! What every TCP connection has, stream or link: its wire, who wakes its task, and its end.
//!
//! A connection whose peer does not read what it is sent is not read either, so that what it asks for
//! can't pile up here.

use super::shard::Shard;
use super::wire::{Flushed, Wire};
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Notify;

/// Octets that may wait to be written while we still read.
const READ_WHILE: usize = 256 * 1024;
/// How long the peer has, after the end, to take what was written and to close its side.
pub const LINGER: Duration = Duration::from_secs(2);

/// The part of a connection that is the same for streams and links.
pub struct Conn {
    /// Where octets go out.
    pub wire: Wire,
    /// Is it among those that are written at the end of the turn?
    pub dirty: Cell<bool>,
    /// Wakes the connection's task: something was changed from outside.
    pub wake: Notify,
    blocked: Cell<bool>,
    dead: RefCell<Option<String>>,
}

impl Conn {
    /// A connection that writes to `wire`.
    pub fn new(wire: Wire) -> Self {
        Self {
            wire,
            dirty: Cell::new(false),
            wake: Notify::new(),
            blocked: Cell::new(false),
            dead: RefCell::new(None),
        }
    }

    /// The connection is of no use any more, and `why`. The first reason counts.
    pub fn kill(&self, why: &str) {
        self.dead.borrow_mut().get_or_insert_with(|| why.to_owned());
        self.wake.notify_one();
    }

    /// Why it is of no use any more, once.
    pub fn take_dead(&self) -> Option<String> {
        self.dead.borrow_mut().take()
    }

    /// Queues octets; a peer that does not read costs the connection.
    pub fn queue(&self, octets: &[u8], mark: u64) {
        if !self.wire.queue(octets, mark) {
            self.kill("the peer does not read");
        }
    }

    /// Writes what the kernel takes, and remembers whether there is more; the mark of what it has.
    pub fn flush(&self) -> Option<u64> {
        match self.wire.flush() {
            Ok(Flushed::All(mark)) => {
                self.blocked.set(false);
                Some(mark)
            }
            Ok(Flushed::Blocked(mark)) => {
                if !self.blocked.replace(true) {
                    self.wake.notify_one();
                }
                Some(mark)
            }
            Err(error) => {
                self.kill(&error.to_string());
                None
            }
        }
    }

    /// Waits until the kernel takes more; for ever if nothing waits.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn unblocked(&self) -> io::Result<()> {
        if self.blocked.get() { self.wire.writable().await } else { std::future::pending().await }
    }

    /// Reads once, as much as there is, and hands plaintext to `sink`. The number of octets on the
    /// wire; 0 at the end. Waits while too much is to be written first.
    ///
    /// # Errors
    /// The connection is gone, or ([`io::ErrorKind::InvalidData`]) the peer broke TLS.
    pub async fn fill(
        &self,
        shard: &Shard,
        read: &mut OwnedReadHalf,
        mut sink: impl FnMut(&[u8]),
    ) -> io::Result<usize> {
        if self.blocked.get() && self.wire.waiting() > READ_WHILE {
            return std::future::pending().await;
        }
        std::future::poll_fn(|context| {
            let mut scratch = shard.scratch.borrow_mut();
            let mut buffer = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut *read).poll_read(context, &mut buffer))?;
            let octets = buffer.filled();
            let taken = self.wire.decrypt(octets, &mut sink);
            let fault = |error| io::Error::new(io::ErrorKind::InvalidData, error);
            Poll::Ready(taken.map(|()| octets.len()).map_err(fault))
        })
        .await
    }

    /// Writes what is left with `flush`, closes, and reads on until the peer closes too, [`LINGER`] at
    /// most: a socket that is closed with octets unread takes back what was just written.
    pub async fn finish(&self, shard: &Shard, read: &mut OwnedReadHalf, flush: impl Fn()) {
        self.wire.close_when_written();
        flush();
        let ended = async {
            loop {
                let more = std::future::poll_fn(|context| {
                    let mut scratch = shard.scratch.borrow_mut();
                    let mut buffer = ReadBuf::new(&mut scratch);
                    ready!(Pin::new(&mut *read).poll_read(context, &mut buffer))?;
                    Poll::Ready(io::Result::Ok(!buffer.filled().is_empty()))
                });
                tokio::select! {
                    more = more => if !matches!(more, Ok(true)) { return },
                    outcome = self.unblocked() => {
                        if outcome.is_err() {
                            return;
                        }
                        flush();
                    }
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, ended).await;
    }
}
