//! The driver of one SIP connection: octets in, messages to the gateway, octets out; nothing clever.
//!
//! One task for each connection, inbound or dialled. Who the peer is follows from its certificate
//! (RFC 5922), or from its address where the configuration trusts one; a link that proves nothing
//! lives for a moment only, long enough to hear 403.

use super::conn::Conn;
use super::dialer::shown;
use super::edge::{ConnectError, Secured};
use super::seen::Seen;
use super::shard::{READ_SIZE, Shard};
use super::tls::PeerCert;
use super::wire::Wire;
use super::xmpp_conn::sleep_until;
use crate::addr::Clean;
use crate::gateway::trail::{Carrier, End};
use crate::gateway::{Input, Way};
use crate::now::Mono;
use crate::sip::frame::Limits;
use crate::sip::link::{Link, LinkEvent, LinkId, LinkIdentity, PeerId, Source};
use crate::sip::locate::{Target, Transport};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// How long one TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection may take to come about, with its TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one message may take to come in whole.
const INCOMPLETE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long answers may take that are owed on a link which has ended for reading: what waits in a queue
/// is answered by then.
const SETTLE: Duration = Duration::from_secs(12);
/// How long a link lives that proved nothing.
const UNPROVEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How many messages of such a link are answered.
const UNPROVEN_MESSAGES: u32 = 4;

/// One SIP connection.
pub struct LinkConn {
    /// The link's name.
    pub id: LinkId,
    /// The far end.
    pub address: SocketAddr,
    /// When it came about.
    pub since: Mono,
    /// TLS or TCP.
    pub transport: Transport,
    /// Did we open it?
    pub initiating: bool,
    /// Whose it is, if that is proven.
    pub peer: Cell<Option<PeerId>>,
    pub(super) io: Conn,
    /// What the peer showed, with TLS.
    pub(super) cert: Option<Arc<PeerCert>>,
    machine: RefCell<Link>,
    /// Messages that came before the link proved whose it is.
    unproven: Cell<u32>,
    /// Does its task wait for the last answers?
    settling: Cell<bool>,
}

impl LinkConn {
    /// What TLS showed of the peer; None without TLS.
    pub fn seen(&self) -> Option<Seen> {
        self.io.wire.seen()
    }

    /// Octets that the peer has not taken yet.
    pub fn queued(&self) -> usize {
        self.io.wire.waiting()
    }

    /// Appends octets, to be written at the end of the turn.
    pub(super) fn send(&self, octets: &[u8]) {
        self.io.queue(octets, 0);
        if self.settling.get() {
            self.io.wake.notify_one();
        }
    }
}

/// Takes a connection that somebody opened to one of our SIP ports.
pub async fn accept(shard: Rc<Shard>, socket: TcpStream, address: SocketAddr, transport: Transport) {
    let id = shard.mint_link();
    match transport {
        Transport::Tcp | Transport::Udp => {
            let identity = shard.dialer.address_identity(address.ip());
            let (read, write) = socket.into_split();
            run(shard, id, address, transport, identity, false, read, Wire::new(write, None), None).await;
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
                            "SIP peer not recognised, its requests get 403: {}",
                            Clean(&why)
                        );
                        LinkIdentity::default()
                    });
                    let Ok(stream) = TcpStream::from_std(socket) else { return };
                    let (read, write) = stream.into_split();
                    let wire = Wire::new(write, Some(tls));
                    run(shard, id, address, transport, identity, false, read, wire, Some(cert)).await;
                }
                Err(error @ ConnectError::Certificate(_)) => tracing::warn!(
                    stoxd_event = "link.refused",
                    address = shown(address),
                    "SIP peer refused, as an alert told it: {}",
                    Clean(&error.to_string())
                ),
                Err(error) => tracing::info!(
                    stoxd_event = "link.refused",
                    address = shown(address),
                    "TLS with a SIP peer failed: {}",
                    Clean(&error.to_string())
                ),
            }
        }
    }
}

/// Finds a peer's servers.
pub async fn locate(shard: Rc<Shard>, peer: PeerId) {
    let ids = shard.seed_ids();
    let found = shard.dialer.locate_sip(peer, ids).await;
    let targets = match &found {
        Ok(targets) => Ok(targets.clone()),
        Err(why) => Err(why.as_str()),
    };
    shard.handle(shard.clock.now(), Input::Located { peer, targets });
}

/// Connects to a peer's server, and runs the link to its end.
pub async fn dial(shard: Rc<Shard>, link: LinkId, peer: PeerId, target: Target) {
    let address = target.address;
    let failed = |why: &str| {
        let why = format!("{} {}: {why}", target.host, target.address);
        shard.handle(shard.clock.now(), Input::LinkDown { link, why: &why });
    };
    if shard.closing.get() {
        return failed("shutting down");
    }
    let (identity, socket, tls, cert) = match target.transport {
        Transport::Udp => {
            let Some(socket) = shard.udp_for(address) else {
                return failed("[sip] listen has no udp socket of this address family to send from");
            };
            let way = Way { link: socket, to: Some(address), transport: Transport::Udp };
            shard.handle(shard.clock.now(), Input::LinkUp { link, peer, way });
            return;
        }
        Transport::Tcp => match shard.dialer.edge.dial(address, CONNECT_TIMEOUT).await {
            Ok(socket) => (shard.dialer.peer_identity(peer), socket, None, None),
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
                        Ok(identity) => (identity, socket, Some(tls), Some(cert)),
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
    run(shard.clone(), link, address, target.transport, identity, true, read, wire, cert).await;
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
    cert: Option<Arc<PeerCert>>,
) {
    let peer = identity.peer;
    let proof = if transport == Transport::Tls { "by certificate" } else { "by its address" };
    shard.meet(End {
        via: Carrier::Link(id),
        initiating,
        address: Some(address),
        local: wire.local(),
        verified: format!("{}, {}", transport.as_str(), if peer.is_some() { proof } else { "not verified" }),
        peer,
    });
    // Who has proven nothing loses nothing. The monotonic clock counts it down, so that a leap of the wall
    // clock ends no link.
    let now = shard.clock.now();
    let end = cert.as_ref().and_then(|cert| cert.not_after()).filter(|_| peer.is_some());
    let expiry =
        end.map(|end| now.mono + Duration::from_millis(end.as_millis().saturating_sub(now.wall.as_millis())));
    let limits =
        Limits { body: shard.gateway().settings().message_size.saturating_mul(2), ..Limits::default() };
    let source = Source { link: id, transport, address, identity };
    let conn = Rc::new(LinkConn {
        id,
        address,
        since: now.mono,
        transport,
        initiating,
        peer: Cell::new(peer),
        io: Conn::new(wire),
        cert,
        machine: RefCell::new(Link::new(source, limits)),
        unproven: Cell::new(0),
        settling: Cell::new(false),
    });
    shard.add_link(&conn);
    if let (Some(peer), true) = (peer, initiating) {
        let way = Way { link: id, to: None, transport };
        shard.handle(shard.clock.now(), Input::LinkUp { link: id, peer, way });
    }
    // The peer's first octets may have come with its last handshake message.
    let _ = conn.io.wire.decrypt(&[], &mut |octets| conn.machine.borrow_mut().push(octets));
    let why = drive(&shard, &conn, &mut read, expiry).await;
    // What is not read can't be answered: nothing new is sent here.
    shard.handle(shard.clock.now(), Input::LinkDown { link: id, why: &why });
    settle(&shard, &conn).await;
    conn.io.finish(&shard.scratch, &mut read, || shard.flush_link(&conn)).await;
    shard.remove_link(id);
}

/// A link that is out of step reads no more, but what came before is still answered on it: nothing else
/// is lost by bad input.
async fn settle(shard: &Rc<Shard>, conn: &Rc<LinkConn>) {
    conn.settling.set(true);
    let answered = async {
        while owes_answers(shard, conn.id).await {
            tokio::select! {
                () = conn.io.wake.notified() => {}
                outcome = conn.io.unblocked() => {
                    if outcome.is_err() {
                        return;
                    }
                    shard.flush_link(conn);
                }
            }
            if conn.io.take_dead().is_some() {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(SETTLE, answered).await;
}

/// Does any shard still have to answer what came on `link`? One that says nothing may.
async fn owes_answers(shard: &Rc<Shard>, link: LinkId) -> bool {
    shard
        .ask_all(move |shard| shard.gateway().owes_answers(link))
        .await
        .map_or(true, |owe| owe.contains(&true))
}

async fn drive(
    shard: &Rc<Shard>,
    link: &Rc<LinkConn>,
    read: &mut OwnedReadHalf,
    expiry: Option<Mono>,
) -> String {
    let conn = &link.io;
    let unproven = link.peer.get().is_none().then(|| shard.clock.now().mono + UNPROVEN_TIMEOUT);
    // When the message that is not complete began.
    let mut begun = None;
    // When anything was last heard, or a keep-alive was sent.
    let mut heard = shard.clock.now().mono;
    loop {
        match turn(shard, link) {
            Ok(0) => {}
            Ok(_) => begun = None,
            Err(why) => conn.kill(why),
        }
        let keepalive = link.initiating.then(|| heard + shard.gateway().settings().sip_keepalive);
        if let Some(why) = conn.take_dead() {
            return why;
        }
        let incomplete = link.machine.borrow().pending() > 0 && !conn.is_paused();
        begun = incomplete.then(|| begun.unwrap_or(shard.clock.now().mono));
        let deadline = [unproven, begun.map(|at| at + INCOMPLETE_TIMEOUT)].into_iter().flatten().min();
        tokio::select! {
            biased;
            () = conn.wake.notified() => {}
            outcome = async {
                shard.room().await;
                conn.fill(&shard.scratch, read, |octets| link.machine.borrow_mut().push(octets)).await
            } => match outcome {
                Ok(0) => return "closed by the peer".to_owned(),
                Ok(READ_SIZE) => tokio::task::yield_now().await,
                Ok(_) => heard = shard.clock.now().mono,
                Err(error) => return error.to_string(),
            },
            outcome = conn.unblocked() => {
                if let Err(error) = outcome {
                    return error.to_string();
                }
                shard.flush_link(link);
            }
            () = sleep_until(keepalive.map(|at| shard.clock.instant(at))) => {
                // RFC 5626 §3.5.1. Whether it is answered says nothing: not everybody does.
                heard = shard.clock.now().mono;
                conn.queue(b"\r\n\r\n", 0);
                shard.touch_link(link);
            }
            () = sleep_until(expiry.map(|at| shard.clock.instant(at))) => {
                return "the peer's certificate has expired".to_owned();
            }
            () = sleep_until(deadline.map(|at| shard.clock.instant(at))) => {
                return if incomplete { "a message stayed incomplete" } else { "not authenticated" }.to_owned();
            }
        }
    }
}

/// Hands over all messages that are complete, and says how many; or why the link is of no more use.
fn turn(shard: &Rc<Shard>, conn: &Rc<LinkConn>) -> Result<usize, &'static str> {
    let now = shard.clock.now();
    let mut messages = 0;
    loop {
        if conn.peer.get().is_none() && conn.unproven.get() >= UNPROVEN_MESSAGES {
            return Err("not authenticated");
        }
        let mut machine = conn.machine.borrow_mut();
        let (handled, outcome) = match machine.next_event() {
            None => return Ok(messages),
            Some((LinkEvent::Message(octets), source)) => {
                messages += 1;
                (shard.on_sip(now, source, octets), Ok(()))
            }
            Some((LinkEvent::Ping, _)) => {
                conn.io.queue(b"\r\n", 0);
                shard.touch_link(conn);
                (true, Ok(()))
            }
            Some((LinkEvent::Broken(error), source)) => {
                let readable = error.readable();
                let input = Input::SipBroken { source, fault: error.fault, readable: readable.as_ref() };
                (shard.input(now, input), Err("not SIP"))
            }
        };
        drop(machine);
        shard.perform(now);
        if !handled {
            return Err("an item could not be handled");
        }
        outcome?;
        conn.unproven.set(conn.unproven.get().saturating_add(1));
    }
}
