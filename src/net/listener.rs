//! Listening sockets, and how many connections one address may have.

use super::dialer::shown;
use super::shard::{Open, Shard};
use super::udp::UdpSocketConn;
use crate::gateway::trail::{Carrier, End};
use crate::sip::locate::Transport;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// Connections that one address may have open at once.
const OPEN_PER_ADDRESS: usize = 200;
/// Connections that one address may open in [`WINDOW`].
const ATTEMPTS_PER_ADDRESS: u32 = 400;
const WINDOW: Duration = Duration::from_secs(10);
/// How long we wait when the system has no more descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// Binds a TCP socket. Both address families are separate sockets unless the address is `[::]`.
///
/// # Errors
/// The port is taken, or the address is not ours.
pub fn bind_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

/// Binds a UDP socket.
///
/// # Errors
/// As [`bind_tcp`].
pub fn bind_udp(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// What a listening socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// XMPP streams, STARTTLS or TLS from the first octet.
    Xmpp,
    /// SIP over TLS or TCP.
    Sip(Transport),
    /// MSRP, over TLS if true.
    Msrp(bool),
}

/// Accepts connections until the daemon drains.
///
/// # Errors
/// The socket can't be used by the runtime.
pub async fn accept(
    shard: Rc<Shard>,
    listener: std::net::TcpListener,
    service: Service,
    doorman: Arc<Doorman>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (socket, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors or memory: let some connection end first.
                tracing::warn!("no connection accepted: {error}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if shard.draining.get() {
            continue;
        }
        let Some(pass) = doorman.admit(address.ip(), shard.clock.now().mono) else {
            tracing::debug!(stoxd_event = "connection.refused", %address, "too many connections from this address");
            continue;
        };
        let (together, limits) = (&shard.together, shard.together.limits());
        let (open, limit, name) = match service {
            Service::Xmpp => (&together.xmpp_open, limits.xmpp, "[xmpp] connection_limit"),
            Service::Sip(_) => (&together.sip_open, limits.sip, "the limit of SIP connections"),
            Service::Msrp(_) => (&together.msrp_open, limits.msrp, "[msrp] connection_limit"),
        };
        if open.reaches(limit) {
            tracing::warn!(
                stoxd_event = "connection.refused",
                address = shown(address),
                "connection refused: {name}, {limit}, is reached"
            );
            if service == Service::Xmpp {
                super::xmpp_conn::turn_away(&shard, socket);
            }
            continue;
        }
        if super::edge::prepare(&socket).is_err() {
            continue;
        }
        let held = (pass, open.clone());
        if shard.place.is_alone() {
            tokio::task::spawn_local(serve(shard.clone(), socket, address, service, held));
            continue;
        }
        // Each shard in its turn.
        let Ok(socket) = socket.into_std() else { continue };
        shard.hand(doorman.next_of(shard.place.shards()), move |shard| {
            if let Ok(socket) = TcpStream::from_std(socket) {
                tokio::task::spawn_local(serve(shard.clone(), socket, address, service, held));
            }
        });
    }
}

/// Runs a connection to its end; `_held` is what it counts as until then.
async fn serve(
    shard: Rc<Shard>,
    socket: TcpStream,
    address: SocketAddr,
    service: Service,
    _held: (Pass, Open),
) {
    match service {
        Service::Xmpp => super::xmpp_conn::accept(shard, socket, address).await,
        Service::Sip(transport) => super::sip_conn::accept(shard, socket, address, transport).await,
        Service::Msrp(tls) => super::msrp_conn::accept(shard, socket, address, tls).await,
    }
}

/// Runs a UDP socket on the first shard; the others send from it as well.
///
/// # Errors
/// The socket can't be used by the runtime.
pub fn udp(shard: &Rc<Shard>, socket: std::net::UdpSocket) -> io::Result<()> {
    let id = shard.mint_link();
    let reading = UdpSocket::from_std(socket.try_clone()?)?;
    for other in 1..shard.place.shards() {
        let socket = socket.try_clone()?;
        shard.hand(other, move |shard| shard.add_udp(UdpSocketConn::new(id, socket).ok()));
    }
    let conn = UdpSocketConn::new(id, socket)?;
    shard.add_udp(Some(conn.clone()));
    shard.meet(End {
        via: Carrier::Link(conn.id),
        initiating: false,
        address: None,
        local: Some(conn.local),
        verified: "UDP, by address".to_owned(),
        peer: None,
    });
    tokio::task::spawn_local(super::udp::run(shard.clone(), conn, reading));
    Ok(())
}

/// Counts connections by address: open ones, and attempts in a window.
#[derive(Default)]
pub struct Doorman {
    addresses: Mutex<HashMap<IpAddr, Caller>>,
    dealt: AtomicUsize,
}

#[derive(Default)]
struct Caller {
    open: usize,
    attempts: u32,
    since: crate::now::Mono,
}

/// An admitted connection; it is counted until this is dropped.
pub struct Pass {
    doorman: Arc<Doorman>,
    address: IpAddr,
}

impl Doorman {
    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, Caller>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose turn it is to get a connection.
    fn next_of(&self, shards: u8) -> u8 {
        // Less than `shards`.
        (self.dealt.fetch_add(1, Ordering::Relaxed) % usize::from(shards.max(1))) as u8
    }

    /// May `address` have one more connection?
    pub fn admit(self: &Arc<Self>, address: IpAddr, now: crate::now::Mono) -> Option<Pass> {
        let address = prefix(address.to_canonical());
        let mut addresses = self.addresses();
        let caller = addresses.entry(address).or_default();
        if now.since(caller.since) >= WINDOW {
            (caller.since, caller.attempts) = (now, 0);
        }
        caller.attempts = caller.attempts.saturating_add(1);
        if caller.open >= OPEN_PER_ADDRESS || caller.attempts > ATTEMPTS_PER_ADDRESS {
            return None;
        }
        caller.open += 1;
        Some(Pass { doorman: self.clone(), address })
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut addresses = self.doorman.addresses();
        if let Some(caller) = addresses.get_mut(&self.address) {
            caller.open = caller.open.saturating_sub(1);
        }
        // Forgetting a caller forgets its attempts too: only when there are many of them.
        if addresses.len() > 10_000 {
            addresses.retain(|_, caller| caller.open > 0);
        }
    }
}

/// What counts as one address: of IPv6 its first 64 bits, which one host has to itself.
fn prefix(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(six) => {
            let mut segments = six.segments();
            segments[4..].fill(0);
            IpAddr::V6(segments.into())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::now::Now;
    use std::net::TcpStream;

    #[test]
    fn f72_one_socket_listens_on_both_address_families() {
        let both = match bind_tcp("[::]:0".parse().unwrap()) {
            Ok(both) => both,
            Err(error)
                if error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(97) =>
            {
                println!("SKIP: no IPv6 on this machine");
                return;
            }
            Err(error) => panic!("{error}"),
        };
        let port = both.local_addr().unwrap().port();
        for host in ["127.0.0.1", "::1"] {
            TcpStream::connect((host, port)).unwrap();
        }
        // Or one for each, on the same port.
        let four = bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = four.local_addr().unwrap().port();
        let _six = bind_tcp(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port))).unwrap();
        for host in ["127.0.0.1", "::1"] {
            TcpStream::connect((host, port)).unwrap();
        }
    }

    #[test]
    fn check_163_udp_and_tcp_share_a_port() {
        let tcp = bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let at = tcp.local_addr().unwrap();
        let udp = bind_udp(at).unwrap();
        assert_eq!(udp.local_addr().unwrap(), at);
        TcpStream::connect(at).unwrap();
        assert!(bind_tcp(at).is_err(), "a port that is taken is an error");
    }

    #[test]
    fn check_143_one_address_has_a_bounded_number_of_connections() {
        let doorman = Arc::new(Doorman::default());
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let now = Now::at(1).mono;
        let mut held: Vec<Pass> = (0..OPEN_PER_ADDRESS).map(|_| doorman.admit(one, now).unwrap()).collect();
        assert!(doorman.admit(one, now).is_none());
        assert!(doorman.admit(other, now).is_some(), "others are not affected");
        held.pop();
        assert!(doorman.admit(one, now).is_some(), "one left, one may come");
    }

    #[test]
    fn check_143_attempts_are_bounded_in_time() {
        let doorman = Arc::new(Doorman::default());
        let six = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
        let tries = |at: u64| {
            (0..ATTEMPTS_PER_ADDRESS + 10)
                .filter(|n| doorman.admit(six(*n as u16), Now::at(at).mono).is_some())
                .count()
        };
        assert_eq!(tries(100), ATTEMPTS_PER_ADDRESS as usize, "a /64 counts as one");
        assert_eq!(tries(105), 0);
        assert_eq!(tries(111), ATTEMPTS_PER_ADDRESS as usize);
    }
}
