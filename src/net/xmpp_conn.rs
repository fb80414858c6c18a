//! The driver of one XMPP stream: octets in, machine, octets out; nothing clever.
//!
//! One task for each connection, inbound or dialled. It reads, lets the machine say what happened,
//! hands stanzas to the gateway, and does the TLS handshake when the machine asks for it. Everything
//! that is decided is decided in `xmpp::Stream` and the gateway. How one is opened stands in `dial`.

mod dial;

pub use dial::dial;

use super::conn::Conn;
use super::dialer::shown;
use super::edge::{ConnectError, Secured};
use super::seen::Seen;
use super::shard::{READ_SIZE, Seat, Shard};
use super::tls::PeerCert;
use super::wire::Wire;
use crate::addr::{Clean, Domain};
use crate::gateway::Input;
use crate::gateway::trail::{Carrier, End};
use crate::now::{Mono, Now};
use crate::xmpp::{
    Auth, Condition, DownReason, Outcome, Pair, Stream, StreamCondition, StreamError, StreamEvent, StreamId,
    Verify, VerifyAnswer,
};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// How long one TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long one TCP connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One stream's connection.
pub struct StreamConn {
    /// The stream's name.
    pub id: StreamId,
    /// The far end.
    pub address: SocketAddr,
    /// Did we open it?
    pub initiating: bool,
    /// When the connection came about.
    pub since: Mono,
    /// The pairs that are up, and how: for `stoxd status`.
    pub pairs: RefCell<Vec<(Pair, Auth)>>,
    /// The TLS version, once there is one.
    pub tls: Cell<Option<&'static str>>,
    pub(super) io: Conn,
    /// What the peer showed, once there is TLS.
    cert: RefCell<Option<Arc<PeerCert>>>,
    machine: RefCell<Stream>,
    /// The only pair of an initiating stream.
    pair: Option<Pair>,
    /// The places of a receiving stream among those of its partners.
    seats: RefCell<Vec<Seat>>,
    /// How often stanzas were given to it, and what of them is not known to be written.
    sent: Cell<u64>,
    unwritten: RefCell<VecDeque<Unwritten>>,
    /// Was everybody told that nothing more is sent on it?
    left: Cell<bool>,
}

/// Stanzas that the kernel does not have yet, as far as we know.
struct Unwritten {
    wire: u64,
    /// Who borrowed the stream to send them.
    by: Option<StreamId>,
    mark: u64,
}

impl StreamConn {
    fn new(
        id: StreamId,
        address: SocketAddr,
        since: Mono,
        machine: Stream,
        pair: Option<Pair>,
        wire: Wire,
    ) -> Rc<Self> {
        Rc::new(Self {
            id,
            address,
            since,
            initiating: pair.is_some(),
            pairs: RefCell::default(),
            tls: Cell::new(None),
            io: Conn::new(wire),
            cert: RefCell::default(),
            machine: RefCell::new(machine),
            pair,
            seats: RefCell::default(),
            sent: Cell::new(0),
            unwritten: RefCell::default(),
            left: Cell::new(false),
        })
    }

    /// What TLS showed of the peer; None without TLS.
    pub fn seen(&self) -> Option<Seen> {
        self.io.wire.seen()
    }

    /// Octets that the peer has not taken yet.
    pub fn queued(&self) -> usize {
        self.io.wire.waiting()
    }

    /// The domain pair that it was opened for, if we opened it.
    pub fn opened_for(&self) -> Option<&Pair> {
        self.pair.as_ref()
    }

    /// Takes a place among the streams of the partner that `remote` belongs to, if it has none yet.
    fn sit(&self, shard: &Rc<Shard>, remote: &Domain) -> Result<(), usize> {
        let seat = shard.together.seat_in(&shard.realm(), self.id, remote)?;
        self.seats.borrow_mut().extend(seat);
        Ok(())
    }

    /// Has the trail remember what this stream is; and those who borrow it.
    fn introduce(&self, shard: &Shard, auth: Auth) {
        let tls = self.tls.get().map(|version| format!("TLS {version}, ")).unwrap_or_default();
        let end = End {
            via: Carrier::Stream(self.id),
            initiating: self.initiating,
            address: Some(self.address),
            local: self.io.wire.local(),
            verified: tls + auth_name(auth),
            peer: None,
        };
        shard.meet(end.clone());
        shard.lent_is_up(self.id, auth_name(auth), end);
    }

    /// Appends stanzas of the pair that this stream was opened for, for the shard that has it as `by`.
    pub(super) fn send(&self, now: Now, stanzas: &[u8], by: Option<StreamId>, mark: u64) {
        let sent = match &self.pair {
            Some(Pair { local, remote }) => {
                self.machine.borrow_mut().write_stanza(now, local.as_str(), remote.as_str(), stanzas).is_ok()
            }
            None => false,
        };
        if sent {
            let wire = self.sent.get() + 1;
            self.sent.set(wire);
            self.unwritten.borrow_mut().push_back(Unwritten { wire, by, mark });
            self.collect();
        } else {
            // The stream is ending; the gateway hears it and bounces what was not written.
            self.io.wake.notify_one();
        }
    }

    /// What is written now that the kernel has all up to `wire`: our own last mark, and those of borrowers.
    pub(super) fn take_written(&self, wire: u64) -> (Option<u64>, Vec<(StreamId, u64)>) {
        let mut unwritten = self.unwritten.borrow_mut();
        let (mut own, mut others) = (None, Vec::new());
        while let Some(next) = unwritten.pop_front_if(|next| next.wire <= wire) {
            match next.by {
                None => own = Some(next.mark),
                Some(by) => others.push((by, next.mark)),
            }
        }
        (own, others)
    }

    /// Puts a question about a dialback key; None if it will be answered, else the answer.
    pub(super) fn verify(&self, now: Now, verify: Verify) -> Option<VerifyAnswer> {
        let refused = self.machine.borrow_mut().verify(now, verify).err();
        self.io.wake.notify_one();
        refused.map(|(_, verify)| verify.answer(Outcome::Error(Condition::RemoteServerTimeout)))
    }

    pub(super) fn verified(&self, now: Now, answer: VerifyAnswer) {
        self.machine.borrow_mut().handle_verified(now, &answer);
        self.io.wake.notify_one();
    }

    pub(super) fn close(&self, now: Now, condition: Option<StreamCondition>) {
        self.machine.borrow_mut().close(now, condition.map(Into::into));
        self.io.wake.notify_one();
    }

    /// What the peer showed.
    pub(super) fn cert(&self) -> Option<Arc<PeerCert>> {
        self.cert.borrow().clone()
    }

    /// The peer's certificate was revoked (RFC 6120 §4.9.3.16).
    pub(super) fn revoked(&self, now: Now) {
        let text = "your certificate was revoked";
        let error = StreamError::with_text(StreamCondition::Reset, text.to_owned());
        self.machine.borrow_mut().close(now, Some(error));
        self.io.wake.notify_one();
    }

    /// The tables were loaded anew: a pair that lost its right ends the stream.
    pub(super) fn reload(&self, realm: &crate::gateway::Realm) {
        self.machine.borrow_mut().handle_reload(realm);
        self.io.wake.notify_one();
    }

    /// Is it one of ours, and our close tag out?
    fn is_closing(&self) -> bool {
        self.initiating && self.machine.borrow().leaving().is_some()
    }

    /// Why nothing more is sent on it, once: our close tag is out, and the peer's is awaited (RFC 6120 §4.4).
    fn leave(&self) -> Option<DownReason> {
        let machine = self.machine.borrow();
        let why = machine.leaving().filter(|_| self.initiating && self.unwritten.borrow().is_empty())?;
        (!self.left.replace(true)).then(|| why.clone())
    }

    /// Sends a stanza of the pair and closes, at once.
    #[cfg(test)]
    pub fn send_and_close(&self, now: Now, stanza: &[u8]) {
        self.send(now, stanza, None, 1);
        self.close(now, None);
    }

    /// Was everybody told that nothing more is sent on it?
    #[cfg(test)]
    pub fn has_left(&self) -> bool {
        self.left.get()
    }

    /// Moves what the machine has written to the wire.
    fn collect(&self) {
        let mut machine = self.machine.borrow_mut();
        let output = machine.output();
        if !output.is_empty() {
            self.io.queue(output, self.sent.get());
            output.clear();
        }
    }
}

/// Takes a connection that somebody opened to our XMPP port.
pub async fn accept(shard: Rc<Shard>, socket: TcpStream, address: SocketAddr) {
    let limit = shard.realm().xmpp().inbound_establishment();
    let mut first = [0];
    let direct = match tokio::time::timeout(limit, socket.peek(&mut first)).await {
        Ok(Ok(1)) => first == [TLS_HANDSHAKE],
        Ok(Ok(_) | Err(_)) | Err(_) => return,
    };
    let id = shard.mint_stream();
    if direct {
        // XEP-0368: TLS from the first octet, then a stream without STARTTLS.
        let config = shard.dialer.xmpp_server(None);
        let Ok(socket) = socket.into_std() else { return };
        match shard.dialer.edge.accept_tls(socket, config, HANDSHAKE_TIMEOUT).await {
            Ok(secured) => {
                let machine = receiving(&shard, id);
                run_secured(shard, id, address, machine, None, secured).await;
            }
            Err(error) => {
                tracing::debug!(stoxd_event = "stream.down", %address, "direct TLS: {}", Clean(&error.to_string()))
            }
        }
    } else {
        let machine = receiving(&shard, id);
        let (read, write) = socket.into_split();
        let conn =
            StreamConn::new(id, address, shard.clock.now().mono, machine, None, Wire::new(write, None));
        drive(shard, conn, read).await;
    }
}

/// Tells whoever opened a connection that there is no room for it, as far as that can be written at once.
pub fn turn_away(shard: &Shard, socket: TcpStream) {
    let mut machine = receiving(shard, shard.mint_stream());
    machine.close(shard.clock.now(), Some(StreamCondition::ResourceConstraint.into()));
    if let Ok(mut socket) = socket.into_std() {
        let _ = socket.write(machine.output());
    }
}

/// The first octet of a TLS record that carries a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

fn receiving(shard: &Shard, id: StreamId) -> Stream {
    Stream::receiving(id, shard.realm().xmpp(), shard.clock.now(), &mut shard.ids.borrow_mut())
}

async fn run_secured(
    shard: Rc<Shard>,
    id: StreamId,
    address: SocketAddr,
    machine: Stream,
    pair: Option<Pair>,
    secured: Secured,
) {
    let Ok((read, write)) = halves(secured.socket) else {
        let why = "the socket is gone";
        return shard.stream_down(shard.clock.now(), id, Condition::RemoteServerTimeout, why);
    };
    let conn = StreamConn::new(
        id,
        address,
        shard.clock.now().mono,
        machine,
        pair,
        Wire::new(write, Some(secured.tls)),
    );
    let wall = shard.clock.now().wall;
    let identity = shard.dialer.identity(secured.chain, secured.version, wall).await;
    begin_tls(&conn, identity, secured.version);
    drive(shard, conn, read).await;
}

fn begin_tls(conn: &StreamConn, identity: Arc<PeerCert>, version: &'static str) {
    conn.tls.set(Some(version));
    *conn.cert.borrow_mut() = Some(identity.clone());
    conn.machine.borrow_mut().handle_tls(Box::new(identity));
    // The peer's first octets may have come with its last handshake message.
    let _ = conn.io.wire.decrypt(&[], &mut |octets| conn.machine.borrow_mut().push(octets));
}

fn halves(socket: std::net::TcpStream) -> io::Result<(OwnedReadHalf, tokio::net::tcp::OwnedWriteHalf)> {
    Ok(TcpStream::from_std(socket)?.into_split())
}

/// What a turn came to.
enum Next {
    Wait,
    StartTls,
    Down(DownReason),
}

async fn drive(shard: Rc<Shard>, conn: Rc<StreamConn>, mut read: OwnedReadHalf) {
    shard.add_stream(&conn);
    let (condition, why) = loop {
        match turn(&shard, &conn) {
            Next::Wait => {
                // First what was sent before our close tag: nobody wakes us when that is written later.
                if conn.is_closing() {
                    shard.flush_stream(shard.clock.now(), &conn);
                }
                // What comes meanwhile goes to another stream.
                if let Some(reason) = conn.leave() {
                    shard.stream_down(shard.clock.now(), conn.id, reason.bounce(), &reason.to_string());
                }
            }
            Next::StartTls => match start_tls(&shard, &conn, read).await {
                Ok(half) => {
                    read = half;
                    continue;
                }
                Err(error) => break (Condition::RemoteServerTimeout, error.to_string()),
            },
            Next::Down(reason) => {
                let flush = || shard.flush_stream(shard.clock.now(), &conn);
                conn.io.wire.close_when_written();
                flush();
                let (condition, why) = (reason.bounce(), reason.to_string());
                // What comes next goes to another stream at once, unless this one still has to write.
                if conn.io.wire.waiting() == 0 {
                    ended(&shard, &conn, condition, &why);
                    return conn.io.finish(&shard.scratch, &mut read, flush).await;
                }
                conn.io.finish(&shard.scratch, &mut read, flush).await;
                break (condition, why);
            }
        }
        if let Some(why) = conn.io.take_dead() {
            break (Condition::RemoteServerTimeout, why);
        }
        if let Err(error) = wait(&shard, &conn, &mut read).await {
            conn.io.kill(&error);
        }
    };
    ended(&shard, &conn, condition, &why);
    // A TLS alert may be due.
    conn.io.flush();
}

/// The stream carries nothing any more.
fn ended(shard: &Rc<Shard>, conn: &StreamConn, condition: Condition, why: &str) {
    shard.remove_stream(conn.id);
    if !conn.initiating {
        // Whoever was refused has proven nothing: what it called itself is all that there is to say.
        let claimed =
            conn.machine.try_borrow().ok().and_then(|machine| machine.remote().map(ToString::to_string));
        let claimed = claimed.filter(|_| conn.pairs.borrow().is_empty());
        let claimed = claimed.map(|domain| format!(" that calls itself {domain}")).unwrap_or_default();
        tracing::info!(
            stoxd_event = "stream.down",
            address = %conn.address,
            stoxd_partner = conn.pairs.borrow().first().map(|(pair, _)| pair.remote.to_string()).unwrap_or_default(),
            "inbound stream{claimed} ended: {}",
            Clean(why)
        );
    }
    shard.stream_down(shard.clock.now(), conn.id, condition, why);
}

/// Lets the machine say all that there is to say.
fn turn(shard: &Rc<Shard>, conn: &Rc<StreamConn>) -> Next {
    let now = shard.clock.now();
    let realm = shard.realm();
    let next = loop {
        let mut refused = None;
        let mut machine = conn.machine.borrow_mut();
        let event = machine.next_event(now, &*realm, &mut shard.ids.borrow_mut());
        let handled = match event {
            None => break Next::Wait,
            Some(StreamEvent::StartTls) => break Next::StartTls,
            Some(StreamEvent::Down(reason)) => break Next::Down(reason),
            Some(StreamEvent::Stanza(stanza)) => shard.on_stanza(now, conn.id, stanza),
            Some(StreamEvent::Iq(iq)) => shard.on_iq(now, conn.id, iq),
            Some(StreamEvent::Misaddressed(stanza)) => shard.input(now, Input::Misaddressed(stanza)),
            Some(StreamEvent::Up { pair, auth }) => {
                if conn.initiating {
                    conn.introduce(shard, auth);
                    conn.pairs.borrow_mut().push((pair, auth));
                    shard.input(now, Input::StreamUp { stream: conn.id, auth: auth_name(auth) })
                } else if let Err(limit) = conn.sit(shard, &pair.remote) {
                    tracing::warn!(
                        stoxd_event = "stream.refused",
                        stoxd_partner = pair.remote.as_str(),
                        address = shown(conn.address),
                        "inbound stream from {} refused: {}",
                        pair.remote,
                        too_many(limit)
                    );
                    refused = Some(limit);
                    true
                } else {
                    tracing::info!(
                        stoxd_event = "stream.up",
                        stoxd_partner = pair.remote.as_str(),
                        address = %conn.address,
                        "inbound stream from {} for {}, {}",
                        pair.remote,
                        pair.local,
                        auth_name(auth)
                    );
                    conn.introduce(shard, auth);
                    conn.pairs.borrow_mut().push((pair, auth));
                    true
                }
            }
            Some(StreamEvent::VerifyWanted(verify)) => shard.input(now, Input::VerifyWanted(verify)),
            Some(StreamEvent::Verified(answer)) => shard.input(now, Input::Verified(answer)),
            Some(StreamEvent::PairRefused { .. }) => true,
        };
        if let Some(limit) = refused {
            // RFC 6120 §4.9.3.14, not §4.9.3.17: it is our policy that is in the way, not a lack of
            // resources.
            let error = StreamError::with_text(StreamCondition::PolicyViolation, too_many(limit));
            machine.close(now, Some(error));
        }
        drop(machine);
        shard.perform(now);
        if !handled {
            conn.io.kill("an item could not be handled");
            break Next::Wait;
        }
    };
    conn.collect();
    shard.touch_stream(conn);
    next
}

fn too_many(limit: usize) -> String {
    format!("this partner has {limit} streams already, as many as it may")
}

/// How a pair was proven, in words.
pub fn auth_name(auth: Auth) -> &'static str {
    match auth {
        Auth::External => "SASL EXTERNAL",
        Auth::Certificate => "dialback with a valid certificate",
        Auth::TlsDialback => "dialback over TLS",
        Auth::TcpDialback => "dialback without TLS",
    }
}

/// Writes what is left in the clear, and makes TLS.
async fn start_tls(
    shard: &Rc<Shard>,
    conn: &Rc<StreamConn>,
    read: OwnedReadHalf,
) -> Result<OwnedReadHalf, ConnectError> {
    let lost = || ConnectError::Tls(io::ErrorKind::ConnectionAborted.into());
    loop {
        match conn.io.wire.flush().map_err(ConnectError::Tls)? {
            super::wire::Flushed::All(_) => break,
            super::wire::Flushed::Blocked(_) => conn.io.wire.writable().await.map_err(ConnectError::Tls)?,
        }
    }
    let write = conn.io.wire.take_half().ok_or_else(lost)?;
    let socket = read.reunite(write).map_err(|_| lost())?.into_std().map_err(ConnectError::Tls)?;
    let secured = match &conn.pair {
        None => {
            let domain = conn.machine.borrow().local().cloned();
            let config = shard.dialer.xmpp_server(domain.as_ref());
            shard.dialer.edge.accept_tls(socket, config, HANDSHAKE_TIMEOUT).await?
        }
        Some(pair) => {
            let terms = conn.machine.borrow().terms();
            let (config, name) = shard
                .dialer
                .xmpp_client(pair, false, &terms)
                .map_err(|error| ConnectError::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
            shard.dialer.edge.connect_tls(socket, config, name, HANDSHAKE_TIMEOUT).await?
        }
    };
    let (read, write) = halves(secured.socket).map_err(ConnectError::Tls)?;
    conn.io.wire.replace(write, Some(secured.tls));
    let identity = shard.dialer.identity(secured.chain, secured.version, shard.clock.now().wall).await;
    begin_tls(conn, identity, secured.version);
    Ok(read)
}

/// Waits for octets, a deadline, or somebody who touched the machine.
async fn wait(shard: &Rc<Shard>, conn: &Rc<StreamConn>, read: &mut OwnedReadHalf) -> Result<(), String> {
    let deadline = conn.machine.borrow().deadline().map(|at| shard.clock.instant(at));
    tokio::select! {
        biased;
        () = conn.io.wake.notified() => {}
        outcome = async {
            shard.room().await;
            conn.io.fill(&shard.scratch, read, |octets| conn.machine.borrow_mut().push(octets)).await
        } => match outcome {
            Ok(0) => conn.machine.borrow_mut().handle_eof(),
            // More waits: let the others run first.
            Ok(READ_SIZE) => tokio::task::yield_now().await,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error.to_string()),
            Err(_) => conn.machine.borrow_mut().handle_eof(),
        },
        outcome = conn.io.unblocked() => {
            outcome.map_err(|error| error.to_string())?;
            shard.flush_stream(shard.clock.now(), conn);
        }
        () = sleep_until(deadline) => conn.machine.borrow_mut().handle_timeout(shard.clock.now()),
    }
    Ok(())
}

/// Sleeps until `deadline`, or for ever.
pub(super) async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
