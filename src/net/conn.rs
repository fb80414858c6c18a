//! What every TCP connection has, stream or link: its wire, who wakes its task, and its end.
//!
//! A connection whose peer does not read what it is sent is not read either, so that what it asks for
//! can't pile up here.

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
                if self.blocked.replace(false) {
                    self.wake.notify_one();
                }
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

    /// Is reading paused, because the peer does not read?
    pub fn is_paused(&self) -> bool {
        self.blocked.get() && self.wire.waiting() > READ_WHILE
    }

    /// Reads once, as much as `scratch` holds, and hands plaintext to `sink`. The number of octets on the
    /// wire; 0 at the end, also when the peer ended TLS and not TCP. Waits while too much is to be written first.
    ///
    /// # Errors
    /// The connection is gone, or ([`io::ErrorKind::InvalidData`]) the peer broke TLS.
    pub async fn fill(
        &self,
        scratch: &RefCell<Box<[u8]>>,
        read: &mut OwnedReadHalf,
        mut sink: impl FnMut(&[u8]),
    ) -> io::Result<usize> {
        if self.wire.has_ended() {
            return Ok(0);
        }
        if self.is_paused() {
            return std::future::pending().await;
        }
        std::future::poll_fn(|context| {
            let mut scratch = scratch.borrow_mut();
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
    pub async fn finish(&self, scratch: &RefCell<Box<[u8]>>, read: &mut OwnedReadHalf, flush: impl Fn()) {
        self.wire.close_when_written();
        flush();
        let ended = async {
            loop {
                let more = std::future::poll_fn(|context| {
                    let mut scratch = scratch.borrow_mut();
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    type Scratch = RefCell<Box<[u8]>>;

    /// A connection of ours that no task has waited for yet, and the peer's end.
    fn pair() -> (Conn, OwnedReadHalf, TcpStream, Scratch) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (read, write) = tokio::net::TcpStream::from_std(ours).unwrap().into_split();
        (Conn::new(Wire::new(write, None)), read, peer, RefCell::new(vec![0; 4096].into()))
    }

    /// Runs `work` as the drivers run.
    fn run(work: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
    }

    /// What the peer reads until the end.
    fn hears(mut peer: TcpStream) -> std::thread::JoinHandle<io::Result<Vec<u8>>> {
        std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).map(|_| all)
        })
    }

    #[test]
    fn what_is_queued_at_the_end_is_written_on_a_socket_that_is_not_ready_yet() {
        run(async {
            let (conn, mut read, peer, scratch) = pair();
            conn.queue(b"SIP/2.0 400 Bad Request", 0);
            let peer = hears(peer);
            conn.finish(&scratch, &mut read, || assert!(conn.flush().is_some())).await;
            drop(read);
            assert_eq!(peer.join().unwrap().unwrap(), b"SIP/2.0 400 Bad Request");
        });
    }

    #[test]
    fn what_is_queued_at_the_end_is_written_though_the_peer_is_slow_and_talks_on() {
        run(async {
            let (conn, mut read, mut peer, scratch) = pair();
            let much = vec![b'x'; 6 << 20];
            conn.queue(&much, 0);
            peer.write_all(b"more that nobody reads").unwrap();
            let peer = hears(peer);
            conn.finish(&scratch, &mut read, || assert!(conn.flush().is_some())).await;
            drop(read);
            assert_eq!(peer.join().unwrap().unwrap().len(), much.len(), "and no reset");
        });
    }

    #[test]
    fn a_peer_that_does_not_close_is_left_in_time() {
        run(async {
            let (conn, mut read, _peer, scratch) = pair();
            let begun = std::time::Instant::now();
            conn.finish(&scratch, &mut read, || assert!(conn.flush().is_some())).await;
            assert!(begun.elapsed() >= LINGER && begun.elapsed() < LINGER * 2);
        });
    }

    #[test]
    fn a_peer_that_does_not_read_is_not_read() {
        run(async {
            let (conn, mut read, mut peer, scratch) = pair();
            peer.write_all(b"a question").unwrap();
            let mut heard = Vec::new();
            conn.fill(&scratch, &mut read, |octets| heard.extend_from_slice(octets)).await.unwrap();
            assert_eq!(heard, b"a question");
            // More than the kernel takes.
            conn.queue(&vec![b'x'; 8 << 20], 0);
            conn.wire.writable().await.unwrap();
            conn.flush();
            assert!(conn.wire.waiting() > READ_WHILE);
            peer.write_all(b"another").unwrap();
            let mut reading = std::pin::pin!(conn.fill(&scratch, &mut read, |_| {}));
            let outcome = tokio::time::timeout(Duration::from_millis(50), &mut reading).await;
            assert!(outcome.is_err(), "nothing is read");
            drop(hears(peer));
        });
    }
}
