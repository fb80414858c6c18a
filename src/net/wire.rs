//! One TCP connection, plain or TLS, as the drivers use it: read what is there, write once a turn.
//!
//! The TLS session is driven by hand rather than through `tokio_rustls::TlsStream` for one reason:
//! a turn reads the socket in one system call, may feed several machines, and writes each
//! connection that it touched in one system call, from whatever task the turn runs in. The
//! handshake itself is tokio-rustls's (`net::edge`).
//!
//! Written means: handed to the kernel to the last octet. [`Wire::flush`] says so with the marks that
//! [`Wire::queue`] was given, and only then is anything acknowledged (never take custody).

use super::seen::Seen;
use std::cell::RefCell;
use std::io::{self, BufRead, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::net::tcp::OwnedWriteHalf;

/// Octets that may wait for one slow connection before it counts as dead.
pub const WRITE_LIMIT: usize = 8 * 1024 * 1024;

/// The writing half of a connection and its TLS session, if it has one.
pub struct Wire {
    state: RefCell<State>,
}

struct State {
    write: Option<Rc<OwnedWriteHalf>>,
    tls: Option<rustls::Connection>,
    /// Plaintext that no TLS record holds yet (or, without TLS, that the kernel has not taken).
    pending: Vec<u8>,
    /// How much of `pending` is written (plain connections only).
    pending_written: usize,
    /// The mark of the last item in `pending`.
    pending_mark: u64,
    /// The mark of the last item inside the TLS session's own buffer.
    sealed_mark: u64,
    /// Octets of plaintext in that buffer, those of records that are half written included.
    sealed: usize,
    /// The mark of the last item that the kernel has to its last octet.
    written_mark: u64,
    /// Send the TLS close_notify and the FIN when all is written.
    closing: bool,
    /// The peer's close_notify has come.
    peer_closed: bool,
    /// The close_notify is in the TLS session's buffer, or further.
    notified: bool,
    closed: bool,
}

/// What a flush came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// The kernel has everything up to this mark, and there is no more.
    All(u64),
    /// The kernel took what it could; items up to this mark are written. Try again when writable.
    Blocked(u64),
}

impl Wire {
    /// A wire over `write`, encrypted by `tls` if given (its handshake is done).
    pub fn new(write: OwnedWriteHalf, mut tls: Option<rustls::Connection>) -> Self {
        if let Some(tls) = &mut tls {
            tls.set_buffer_limit(None);
        }
        Self {
            state: RefCell::new(State {
                write: Some(Rc::new(write)),
                tls,
                pending: Vec::new(),
                pending_written: 0,
                pending_mark: 0,
                sealed_mark: 0,
                sealed: 0,
                written_mark: 0,
                closing: false,
                peer_closed: false,
                notified: false,
                closed: false,
            }),
        }
    }

    /// Our own address, while the socket is there.
    pub fn local(&self) -> Option<SocketAddr> {
        self.state.borrow().write.as_ref()?.local_addr().ok()
    }

    /// Appends `octets` for the next flush; `mark` (never decreasing) names the last item in them.
    ///
    /// False if more than [`WRITE_LIMIT`] octets wait already: the peer does not read.
    pub fn queue(&self, octets: &[u8], mark: u64) -> bool {
        let mut state = self.state.borrow_mut();
        if state.pending.len() > WRITE_LIMIT || state.closed {
            return false;
        }
        state.pending.extend_from_slice(octets);
        state.pending_mark = state.pending_mark.max(mark);
        true
    }

    /// Octets that the kernel has not taken yet.
    pub fn waiting(&self) -> usize {
        let state = self.state.borrow();
        state.sealed + state.pending.len() - state.pending_written
    }

    /// What TLS showed of the peer; None without TLS.
    pub fn seen(&self) -> Option<Seen> {
        self.state.borrow().tls.as_ref().map(Seen::of)
    }

    /// Closes cleanly once everything queued is written: close_notify, then FIN.
    pub fn close_when_written(&self) {
        self.state.borrow_mut().closing = true;
    }

    /// Writes what is queued, as much as the kernel takes without waiting.
    ///
    /// # Errors
    /// The connection is gone. Items after the last reported mark were not written.
    pub fn flush(&self) -> io::Result<Flushed> {
        let state = &mut *self.state.borrow_mut();
        // Without its half the connection is closed, or in the middle of a handshake.
        if state.closed || state.write.is_none() {
            return Ok(Flushed::All(state.written_mark));
        }
        loop {
            if let Some(tls) = &mut state.tls {
                let write = state.write.as_ref().ok_or(io::ErrorKind::NotConnected)?;
                let mut socket = Socket(write);
                while tls.wants_write() {
                    match tls.write_tls(&mut socket) {
                        Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            return Ok(Flushed::Blocked(state.written_mark));
                        }
                        Err(error) => return Err(error),
                    }
                }
                state.written_mark = state.sealed_mark;
                state.sealed = 0;
                if !state.pending.is_empty() {
                    tls.writer().write_all(&state.pending)?;
                    state.sealed = state.pending.len();
                    state.pending.clear();
                    state.sealed_mark = state.pending_mark;
                    continue;
                }
                if state.closing && !state.notified {
                    state.notified = true;
                    tls.send_close_notify();
                    continue;
                }
                state.closed |= std::mem::take(&mut state.closing);
            } else {
                let write = state.write.as_ref().ok_or(io::ErrorKind::NotConnected)?;
                while state.pending_written < state.pending.len() {
                    let rest = state.pending.get(state.pending_written..).unwrap_or_default();
                    match write.try_write(rest) {
                        Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                        Ok(n) => state.pending_written += n,
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            return Ok(Flushed::Blocked(state.written_mark));
                        }
                        Err(error) => return Err(error),
                    }
                }
                state.pending.clear();
                state.pending_written = 0;
                state.written_mark = state.pending_mark;
                state.closed |= std::mem::take(&mut state.closing);
            }
            if state.closed {
                // Dropping the half sends the FIN.
                state.write = None;
            }
            return Ok(Flushed::All(state.written_mark));
        }
    }

    /// Hands plaintext to `sink` from `cipher`, octets as they came off the socket.
    ///
    /// # Errors
    /// The peer broke TLS. The alert for it is queued; flush, then drop the connection.
    pub fn decrypt(&self, mut cipher: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<(), rustls::Error> {
        let state = &mut *self.state.borrow_mut();
        let Some(tls) = &mut state.tls else {
            sink(cipher);
            return Ok(());
        };
        if cipher.is_empty() {
            state.peer_closed |= tls.process_new_packets()?.peer_has_closed();
        }
        loop {
            // Plaintext may wait from the handshake: look before reading more.
            drain(tls, sink);
            if cipher.is_empty() {
                return Ok(());
            }
            match tls.read_tls(&mut cipher as &mut dyn Read) {
                Ok(0) | Err(_) => return Ok(()),
                Ok(_) => {
                    state.peer_closed |= tls.process_new_packets()?.peer_has_closed();
                }
            }
        }
    }

    /// Has the peer said close_notify? Then nothing more comes from it, and a connection on which nothing can
    /// come is of no use, though TLS 1.3 would let us write on (RFC 8446 §6.1).
    pub fn has_ended(&self) -> bool {
        self.state.borrow().peer_closed
    }

    /// Takes the write half back, for a TLS handshake to begin on it. Nothing may be queued.
    pub fn take_half(&self) -> Option<OwnedWriteHalf> {
        self.state.borrow_mut().write.take().and_then(Rc::into_inner)
    }

    /// Puts a connection in place of the one taken: after the handshake.
    pub fn replace(&self, write: OwnedWriteHalf, mut tls: Option<rustls::Connection>) {
        if let Some(tls) = &mut tls {
            tls.set_buffer_limit(None);
        }
        let mut state = self.state.borrow_mut();
        state.write = Some(Rc::new(write));
        state.tls = tls;
    }

    /// Waits until the kernel takes octets again.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn writable(&self) -> io::Result<()> {
        let write = self.state.borrow().write.clone();
        match write {
            Some(write) => write.writable().await,
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

fn drain(tls: &mut rustls::Connection, sink: &mut dyn FnMut(&[u8])) {
    let mut reader = tls.reader();
    while let Ok(chunk) = reader.fill_buf() {
        let length = chunk.len();
        if length == 0 {
            return;
        }
        sink(chunk);
        reader.consume(length);
    }
}

/// The socket as rustls writes to it: never waits.
struct Socket<'a>(&'a OwnedWriteHalf);

impl Write for Socket<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.try_write(octets)
    }

    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
