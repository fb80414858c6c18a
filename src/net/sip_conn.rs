//! The driver of one SIP connection: octets in, messages to the gateway, octets out; nothing clever.
//!
//! One task for each connection, inbound or dialled. Who the peer is follows from its certificate
//! (RFC 5922), or from its address where the configuration trusts one; a link that proves nothing
//! lives for a moment only, long enough to hear 403.

use super::dialer::shown;
use super::edge::Secured;
use super::shard::{READ_SIZE, Shard};
use super::wire::Wire;
use super::xmpp_conn::sleep_until;
use crate::gateway::{Input, Way};
use crate::sip::frame::Limits;
use crate::sip::link::{Link, LinkEvent, LinkId, LinkIdentity, PeerId, Source};
use crate::sip::locate::{Target, Transport};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::ready;
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::Notify;

/// How long one TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection may take to come about, with its TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a message may stay incomplete without another octet.
const INCOMPLETE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a link lives that proved nothing.
const UNPROVEN_TIMEOUT: Duration = Duration::from_secs(10);

/// One SIP connection.
pub struct LinkConn {
    /// The link's name.
    pub id: LinkId,
    /// The far end.
    pub address: SocketAddr,
    /// TLS or TCP.
    pub transport: Transport,
    /// Did we open it?
    pub initiating: bool,
    /// Whose it is, if that is proven.
    pub peer: Cell<Option<PeerId>>,
    pub(super) wire: Wire,
    pub(super) dirty: Cell<bool>,
    pub(super) blocked: Cell<bool>,
    machine: RefCell<Link>,
    wake: Notify,
    dead: RefCell<Option<String>>,
}

impl LinkConn {
    /// Appends octets; false if the peer does not read what it was sent.
    pub(super) fn send(&self, octets: &[u8]) -> bool {
        self.wire.queue(octets, 0)
    }

    /// The connection is of no use any more.
    pub(super) fn kill(&self, why: &str) {
        self.dead.borrow_mut().get_or_insert_with(|| why.to_owned());
        self.wake.notify_one();
    }

    pub(super) fn block(&self) {
        self.blocked.set(true);
        self.wake.notify_one();
    }
}

/// Takes a connection that somebody opened to one of our SIP ports.
pub async fn accept(shard: Rc<Shard>, socket: TcpStream, address: SocketAddr, transport: Transport) {
    let id = shard.mint_link();
    match transport {
        Transport::Tcp | Transport::Udp => {
            let identity = shard.dialer.address_identity(address.ip());
            let (read, write) = socket.into_split();
            run(shard, id, address, transport, identity, false, read, Wire::new(write, None)).await;
        }
        Transport::Tls => {
            let Ok(socket) = socket.into_std() else { return };
            let config = shard.dialer.sip_server();
            match shard.dialer.edge.accept_tls(socket, config, HANDSHAKE_TIMEOUT).await {
                Ok(Secured { socket, tls, chain, version }) => {
                    let wall = shard.clock.now().wall;
                    let cert = shard.dialer.identity(chain, version, wall).await;
                    let identity = shard.dialer.sip_identity(&cert, wall).unwrap_or_else(|why| {
                        tracing::warn!(
                            stoxd_event = "link.refused",
                            address = shown(address),
                            "SIP peer not recognised, its requests get 403: {why}"
                        );
                        LinkIdentity::default()
                    });
                    let Ok(stream) = TcpStream::from_std(socket) else { return };
                    let (read, write) = stream.into_split();
                    run(shard, id, address, transport, identity, false, read, Wire::new(write, Some(tls))).await;
                }
                Err(error) => tracing::info!(
                    stoxd_event = "link.refused",
                    address = shown(address),
                    "TLS with a SIP peer failed: {error}"
                ),
            }
        }
    }
}

/// Finds a peer's servers.
pub async fn locate(shard: Rc<Shard>, peer: PeerId) {
    let ids = shard.seed_ids();
    let found = shard.dialer.locate_sip(peer, ids).await;
    let targets = found.as_ref().map(Clone::clone).map_err(String::as_str);
    shard.handle(shard.clock.now(), Input::Located { peer, targets });
}

/// Connects to a peer's server, and runs the link to its end.
pub async fn dial(shard: Rc<Shard>, link: LinkId, peer: PeerId, target: Target) {
    let address = target.address;
    let failed = |why: &str| {
        let why = format!("{} {}: {why}", target.host, target.address);
        shard.handle(shard.clock.now(), Input::LinkDown { link, why: &why });
    };
    let (identity, socket, tls) = match target.transport {
        Transport::Udp => {
            let Some(socket) = shard.udp_for(address) else {
                return failed("[sip] listen has no udp socket of this address family to send from") ;
            };
            let way = Way { link: socket, to: Some(address), transport: Transport::Udp };
            shard.handle(shard.clock.now(), Input::LinkUp { link, peer, way });
            return;
        }
        Transport::Tcp => match shard.dialer.edge.dial(address, CONNECT_TIMEOUT).await {
            Ok(socket) => (shard.dialer.peer_identity(peer), socket, None),
            Err(error) => return failed(&error.to_string()),
        },
        Transport::Tls => {
            let (config, name) = match shard.dialer.sip_client(peer, &target.identity) {
                Ok(parts) => parts,
                Err(why) => return failed(&why),
            };
            match shard.dialer.edge.dial_tls(address, config, name, CONNECT_TIMEOUT).await {
                Ok(Secured { socket, tls, chain, version }) => {
                    let wall = shard.clock.now().wall;
                    let cert = shard.dialer.identity(chain, version, wall).await;
                    match shard.dialer.check_sip_peer(peer, &cert, wall) {
                        Ok(identity) => (identity, socket, Some(tls)),
                        // RFC 5922 §7.3: nothing is sent to a server that is not the one we want.
                        Err(why) => return failed(&format!("certificate refused: {why}")),
                    }
                }
                Err(error) => return failed(&error.to_string()),
            }
        }
    };
    let Ok(stream) = TcpStream::from_std(socket) else { return failed("the socket is gone") };
    let (read, write) = stream.into_split();
    let wire = Wire::new(write, tls);
    run(shard.clone(), link, address, target.transport, identity, true, read, wire).await;
}

#[allow(clippy::too_many_arguments)]
async fn run(
    shard: Rc<Shard>,
    id: LinkId,
    address: SocketAddr,
    transport: Transport,
    identity: LinkIdentity,
    initiating: bool,
    mut read: OwnedReadHalf,
    wire: Wire,
) {
    let peer = identity.peer;
    let limits = Limits { body: shard.gateway().settings().message_size.saturating_mul(2), ..Limits::default() };
    let source = Source { link: id, transport, address, identity };
    let conn = Rc::new(LinkConn {
        id,
        address,
        transport,
        initiating,
        peer: Cell::new(peer),
        wire,
        dirty: Cell::new(false),
        blocked: Cell::new(false),
        machine: RefCell::new(Link::new(source, limits)),
        wake: Notify::new(),
        dead: RefCell::new(None),
    });
    shard.add_link(&conn);
    if let (Some(peer), true) = (peer, initiating) {
        let way = Way { link: id, to: None, transport };
        shard.handle(shard.clock.now(), Input::LinkUp { link: id, peer, way });
    }
    // The peer's first octets may have come with its last handshake message.
    let _ = conn.wire.decrypt(&[], &mut |octets| conn.machine.borrow_mut().push(octets));
    let why = drive(&shard, &conn, &mut read).await;
    conn.wire.close_when_written();
    let _ = conn.wire.flush();
    shard.remove_link(id);
    shard.handle(shard.clock.now(), Input::LinkDown { link: id, why: &why });
}

async fn drive(shard: &Rc<Shard>, conn: &Rc<LinkConn>, read: &mut OwnedReadHalf) -> String {
    let born = shard.clock.now().mono;
    let unproven = conn.peer.get().is_none().then(|| born + UNPROVEN_TIMEOUT);
    loop {
        if !turn(shard, conn) {
            conn.kill("not SIP, or an item that could not be handled");
        }
        if let Some(why) = conn.dead.borrow_mut().take() {
            return why;
        }
        let incomplete = conn.machine.borrow().pending() > 0;
        let now = shard.clock.now().mono;
        let deadline = [unproven, incomplete.then(|| now + INCOMPLETE_TIMEOUT)].into_iter().flatten().min();
        tokio::select! {
            biased;
            () = conn.wake.notified() => {}
            outcome = fill(shard, read, conn) => match outcome {
                Ok(0) => return "closed by the peer".to_owned(),
                Ok(READ_SIZE) => tokio::task::yield_now().await,
                Ok(_) => {}
                Err(error) => return error.to_string(),
            },
            outcome = conn.wire.writable(), if conn.blocked.get() => {
                if let Err(error) = outcome {
                    return error.to_string();
                }
                shard.flush_link(conn);
            }
            () = sleep_until(deadline.map(|at| shard.clock.instant(at))) => {
                return if incomplete { "a message stayed incomplete" } else { "not authenticated" }.to_owned();
            }
        }
    }
}

/// Hands over all messages that are complete; false if the link is of no more use.
fn turn(shard: &Rc<Shard>, conn: &Rc<LinkConn>) -> bool {
    let now = shard.clock.now();
    loop {
        let mut machine = conn.machine.borrow_mut();
        let (handled, goes_on) = match machine.next_event() {
            None => return true,
            Some((LinkEvent::Message(octets), source)) => {
                (shard.input(now, Input::Sip { source, octets }), true)
            }
            Some((LinkEvent::Ping, _)) => {
                conn.wire.queue(b"\r\n", 0);
                shard.touch_link(conn);
                (true, true)
            }
            Some((LinkEvent::Broken(error), source)) => {
                let readable = error.readable();
                let input = Input::SipBroken { source, fault: error.fault, readable: readable.as_ref() };
                (shard.input(now, input), false)
            }
        };
        drop(machine);
        shard.perform(now);
        if !goes_on || !handled {
            return false;
        }
    }
}

/// Reads once, as much as there is, into the machine. The number of octets; 0 at the end.
async fn fill(shard: &Rc<Shard>, read: &mut OwnedReadHalf, conn: &LinkConn) -> io::Result<usize> {
    std::future::poll_fn(|context| {
        let mut scratch = shard.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        ready!(Pin::new(&mut *read).poll_read(context, &mut buffer))?;
        let octets = buffer.filled();
        let mut machine = conn.machine.borrow_mut();
        let taken = conn.wire.decrypt(octets, &mut |plain| machine.push(plain));
        let outcome = taken.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error));
        std::task::Poll::Ready(outcome.map(|()| octets.len()))
    })
    .await
}
