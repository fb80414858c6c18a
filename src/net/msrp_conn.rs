//! The driver of one MSRP connection: octets in and out, nothing clever.
//!
//! Who is at the far end of a connection that comes in is known by the session-id of its first request
//! (RFC 4975 §5.4): the switch of [`crate::msrp`] says so, and closes what binds no session. One that we open is
//! judged here: by the fingerprints that the signalling told (RFC 4975 §14.4), else by our trust anchors and the
//! host of the URI (§5.4), or the names that the SIP peer's own certificate may have. There is no third way: a certificate that nobody vouches for is refused.
//!
//! Where we connect to is only what the peer's description says. An address that is not on the Internet is
//! connected to if `[dns] private_addresses` allows it, or if it is where the configuration says that the peer is.

use super::conn::Conn;
use super::dialer::shown;
use super::edge::Secured;
use super::msrp_sorter::Sorter;
use super::shard::{READ_SIZE, Shard};
use super::wire::Wire;
use super::xmpp_conn::sleep_until;
use crate::addr::{Clean, Domain};
use crate::gateway::Input;
use crate::msrp::{ConnId, Dial};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// How long one TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection may take to come about, with its TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How many addresses of one host are tried.
const ADDRESSES_MAX: usize = 4;

/// One MSRP connection.
pub struct MsrpConn {
    /// Its name.
    pub id: ConnId,
    io: Conn,
    /// Of one that came in, where there are several shards.
    sorter: Option<Sorter>,
    /// How often something was sent, and the last of it that the gateway knows to be written.
    sent: Cell<u64>,
    reported: Cell<u64>,
}

/// All MSRP connections of a shard.
#[derive(Default)]
pub struct MsrpConns {
    all: RefCell<BTreeMap<ConnId, Rc<MsrpConn>>>,
    dirty: RefCell<Vec<Rc<MsrpConn>>>,
}

impl MsrpConns {
    /// Appends octets to a connection; true if it is to be written now and was not before.
    pub fn send(&self, id: ConnId, octets: &[u8]) -> bool {
        let Some(conn) = self.all.borrow().get(&id).cloned() else { return false };
        conn.sent.set(conn.sent.get() + 1);
        conn.io.queue(octets, conn.sent.get());
        let fresh = !conn.io.dirty.replace(true);
        if fresh {
            self.dirty.borrow_mut().push(conn);
        }
        fresh
    }

    /// The switch of `shard` is done with a connection: it ends, once what was sent on it is written, unless
    /// another has it too.
    pub fn release(&self, id: ConnId, shard: u8) {
        if let Some(conn) = self.all.borrow().get(&id)
            && conn.sorter.as_ref().is_none_or(|sorter| sorter.release(shard))
        {
            conn.io.kill("closed");
        }
    }

    /// Ends a connection: an item of it could not be handled.
    pub fn break_off(&self, id: ConnId, why: &str) {
        if let Some(conn) = self.all.borrow().get(&id) {
            conn.io.kill(why);
        }
    }

    /// Ends all of them.
    pub fn close_all(&self) {
        self.all.borrow().values().for_each(|conn| conn.io.kill("shutting down"));
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.borrow().is_empty()
    }

    /// Takes those that have something to write.
    pub fn take_dirty(&self) -> Vec<Rc<MsrpConn>> {
        let dirty = std::mem::take(&mut *self.dirty.borrow_mut());
        dirty.iter().for_each(|conn| conn.io.dirty.set(false));
        dirty
    }
}

/// Writes a connection, and tells the gateway when the kernel has all of it.
pub fn flush(shard: &Rc<Shard>, conn: &MsrpConn) {
    let Some(written) = conn.io.flush() else { return };
    if written == conn.sent.get() && conn.reported.replace(written) < written {
        let id = conn.id;
        let holders = conn.sorter.as_ref().map(Sorter::holders);
        shard.tell_holders(holders, move || Input::MsrpDrained { conn: id });
    }
}

/// Takes a connection that somebody opened to our MSRP port.
pub async fn accept(shard: Rc<Shard>, socket: TcpStream, address: SocketAddr, tls: bool) {
    let (socket, tls, certificate) = if tls {
        let Ok(socket) = socket.into_std() else { return };
        // A client is asked for its certificate; whose it must be, the session's description says later.
        let config = shard.dialer.sip_server();
        match shard.dialer.edge.accept_tls(socket, config, HANDSHAKE_TIMEOUT).await {
            Ok(Secured { socket, tls, chain, .. }) => {
                let Ok(socket) = TcpStream::from_std(socket) else { return };
                (socket, Some(tls), chain.first().map(|leaf| leaf.to_vec()))
            }
            Err(error) => {
                let error = error.to_string();
                tracing::info!(
                    stoxd_event = "msrp.refused",
                    address = shown(address),
                    "TLS with an MSRP peer failed: {}",
                    Clean(&error)
                );
                return;
            }
        }
    } else {
        (socket, None, None)
    };
    let now = shard.clock.now();
    let secure = tls.is_some();
    let sorter = (!shard.place.is_alone()).then(|| {
        let body_max = shard.gateway().settings().message_size;
        Sorter::new(shard.place.shard(), body_max, secure, certificate.clone())
    });
    let Some(id) = shard.tell(|gateway, now| gateway.msrp_accepted(now, secure, certificate)) else {
        tracing::warn!(
            stoxd_event = "connection.refused",
            address = shown(address),
            "connection refused: [msrp] connection_limit is reached"
        );
        return;
    };
    let (read, write) = socket.into_split();
    let conn = register(&shard, id, Wire::new(write, tls), sorter);
    tracing::debug!(
        stoxd_event = "msrp.accepted",
        address = shown(address),
        "an MSRP connection has come in"
    );
    shard.perform(now);
    run(shard, conn, read).await;
}

/// Connects to where a peer's description says, and runs the connection to its end.
pub async fn dial(shard: Rc<Shard>, dial: Dial) {
    let id = dial.conn;
    if shard.closing.get() {
        shard.handle(shard.clock.now(), Input::MsrpDown { conn: id });
        return;
    }
    let (socket, tls, certificate) = match connect(&shard, &dial).await {
        Ok(made) => made,
        Err(why) => {
            let why = format!("{}:{}: {why}", dial.host, dial.port);
            tracing::info!(
                stoxd_event = "msrp.failed",
                "no MSRP connection: {}; its sessions end",
                Clean(&why)
            );
            shard.handle(shard.clock.now(), Input::MsrpDown { conn: id });
            return;
        }
    };
    let Ok(socket) = TcpStream::from_std(socket) else {
        shard.handle(shard.clock.now(), Input::MsrpDown { conn: id });
        return;
    };
    let (read, write) = socket.into_split();
    let conn = register(&shard, id, Wire::new(write, tls), None);
    let certificate = certificate.as_deref();
    shard.handle(shard.clock.now(), Input::MsrpUp { conn: id, certificate });
    run(shard, conn, read).await;
}

type Made = (std::net::TcpStream, Option<rustls::Connection>, Option<Vec<u8>>);

/// A connection whose far end is judged; its certificate if a fingerprint has vouched for it.
async fn connect(shard: &Rc<Shard>, dial: &Dial) -> Result<Made, String> {
    let addresses = shard.dialer.msrp_addresses(&dial.host, &dial.near).await?;
    let mut why = String::from("it has no address");
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        let address = SocketAddr::new(address, dial.port);
        let made = if dial.tls {
            secured(shard, dial, address).await
        } else {
            let socket = shard.dialer.edge.dial(address, CONNECT_TIMEOUT).await;
            socket.map(|socket| (socket, None, None)).map_err(|error| error.to_string())
        };
        match made {
            Ok(made) => return Ok(made),
            Err(fault) => why = fault,
        }
    }
    Err(why)
}

async fn secured(shard: &Rc<Shard>, dial: &Dial, address: SocketAddr) -> Result<Made, String> {
    let host = Domain::parse(&host_of(&dial.host)).map_err(|error| error.to_string())?;
    let (config, name) = shard.dialer.msrp_client(&host)?;
    let made = shard.dialer.edge.dial_tls(address, config, name, CONNECT_TIMEOUT).await;
    let Secured { socket, tls, chain, version } = made.map_err(|error| error.to_string())?;
    if !dial.fingerprints.is_empty() {
        // RFC 4975 §14.4: it is the one that the description says, or the session ends; its names say nothing.
        let leaf = chain.first().map(|leaf| leaf.to_vec()).unwrap_or_default();
        if !dial.fingerprints.iter().any(|print| print.is_of(&leaf)) {
            return Err("its certificate is not the one of its description".to_owned());
        }
        return Ok((socket, Some(tls), Some(leaf)));
    }
    let wall = shard.clock.now().wall;
    let cert = shard.dialer.identity(chain, version, wall).await;
    // RFC 4975 §5.4: valid, and the host of the URI is among its names. Or it is that of the SIP peer which told
    // us the URI, whose word for it is all that there is: descriptions often have an address for a host.
    let mut names = shard.dialer.names_of(&dial.near);
    names.push(host);
    cert.judge_sip(&names, wall).map_err(|fault| format!("certificate refused: {fault}"))?;
    Ok((socket, Some(tls), None))
}

/// A host as a domain is read: an IPv6 address has brackets there.
fn host_of(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

fn register(shard: &Rc<Shard>, id: ConnId, wire: Wire, sorter: Option<Sorter>) -> Rc<MsrpConn> {
    let (sent, reported) = (Cell::new(0), Cell::new(0));
    let conn = Rc::new(MsrpConn { id, io: Conn::new(wire), sorter, sent, reported });
    shard.msrp.all.borrow_mut().insert(id, conn.clone());
    if shard.closing.get() {
        conn.io.kill("shutting down");
    }
    conn
}

async fn run(shard: Rc<Shard>, conn: Rc<MsrpConn>, mut read: OwnedReadHalf) {
    let why = drive(&shard, &conn, &mut read).await;
    tracing::debug!(stoxd_event = "msrp.down", "an MSRP connection has ended: {}", Clean(&why));
    let id = conn.id;
    let holders = conn.sorter.as_ref().map(Sorter::holders);
    shard.tell_holders(holders, move || Input::MsrpDown { conn: id });
    let flush = || {
        conn.io.flush();
    };
    conn.io.finish(&shard.scratch, &mut read, flush).await;
    shard.msrp.all.borrow_mut().remove(&conn.id);
    shard.less_is_open();
}

async fn drive(shard: &Rc<Shard>, conn: &Rc<MsrpConn>, read: &mut OwnedReadHalf) -> String {
    let io = &conn.io;
    let mut came = Vec::new();
    // The peer's first octets may have come with its last handshake message.
    let _ = io.wire.decrypt(&[], &mut |octets| came.extend_from_slice(octets));
    loop {
        if !came.is_empty() {
            let handled = match &conn.sorter {
                None => shard.handle(shard.clock.now(), Input::Msrp { conn: conn.id, octets: &came }),
                Some(sorter) => match sorter.sort(shard, conn.id, &came) {
                    Ok(handled) => handled,
                    Err(error) => return error.to_string(),
                },
            };
            came.clear();
            if !handled {
                return "an item could not be handled".to_owned();
            }
        }
        if let Some(why) = io.take_dead() {
            return why;
        }
        let deadline = conn.sorter.as_ref().and_then(|sorter| sorter.deadline(&shard.clock));
        tokio::select! {
            biased;
            () = io.wake.notified() => {}
            outcome = async {
                shard.room().await;
                io.fill(&shard.scratch, read, |octets| came.extend_from_slice(octets)).await
            } => match outcome {
                Ok(0) => return "closed by the peer".to_owned(),
                Ok(READ_SIZE) => tokio::task::yield_now().await,
                Ok(_) => {}
                Err(error) => return error.to_string(),
            },
            outcome = io.unblocked() => {
                if let Err(error) = outcome {
                    return error.to_string();
                }
                flush(shard, conn);
            }
            () = sleep_until(deadline) => return "a frame stayed incomplete".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_connection_ends_when_nobody_has_it_any_more() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let made = |id: u32, sorter| {
                let socket = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                socket.set_nonblocking(true).unwrap();
                let (_, write) = TcpStream::from_std(socket).unwrap().into_split();
                let (sent, reported) = (Cell::new(0), Cell::new(0));
                Rc::new(MsrpConn {
                    id: ConnId(id),
                    io: Conn::new(Wire::new(write, None)),
                    sorter,
                    sent,
                    reported,
                })
            };
            let sorter = Sorter::new(0, 1000, false, None);
            assert!(sorter.hold(2));
            let (shared, own) = (made(1, Some(sorter)), made(2, None));
            let conns = MsrpConns::default();
            conns.all.borrow_mut().extend([(shared.id, shared.clone()), (own.id, own.clone())]);
            conns.release(shared.id, 0);
            assert_eq!(shared.io.take_dead(), None, "shard 2 has sessions on it");
            conns.release(shared.id, 2);
            assert_eq!(shared.io.take_dead().as_deref(), Some("closed"));
            conns.release(own.id, 0);
            assert_eq!(own.io.take_dead().as_deref(), Some("closed"));
        });
    }
}
