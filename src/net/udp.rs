//! The driver of one UDP socket: datagrams in, messages to the gateway, datagrams out.
//!
//! Nobody is authenticated on UDP but by an address that the configuration names.

use super::shard::Shard;
use crate::gateway::Input;
use crate::sip::frame::{self, Frame, Limits};
use crate::sip::link::{LinkId, Source};
use crate::sip::locate::Transport;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::net::UdpSocket;

/// Octets of the largest datagram.
const DATAGRAM: usize = 65_535;
/// Datagrams that one turn takes before the others have theirs.
const TURN: usize = 64;

/// One UDP socket.
pub struct UdpSocketConn {
    /// Its name as a link.
    pub id: LinkId,
    /// Where it is bound.
    pub local: SocketAddr,
    socket: std::net::UdpSocket,
}

impl UdpSocketConn {
    /// The sending side of `socket`, which does not block.
    ///
    /// # Errors
    /// The socket is bound nowhere.
    pub fn new(id: LinkId, socket: std::net::UdpSocket) -> io::Result<Rc<Self>> {
        Ok(Rc::new(Self { id, local: socket.local_addr()?, socket }))
    }

    /// Sends a datagram, or loses it, as UDP may.
    pub fn send(&self, octets: &[u8], to: SocketAddr) {
        if let Err(error) = self.socket.send_to(octets, to) {
            tracing::debug!(address = %to, "datagram not sent: {error}");
        }
    }
}

/// Runs a socket for ever.
pub async fn run(shard: Rc<Shard>, conn: Rc<UdpSocketConn>, socket: UdpSocket) {
    let limits =
        Limits { body: shard.gateway().settings().message_size.saturating_mul(2), ..Limits::default() };
    let mut buffer = vec![0; DATAGRAM];
    loop {
        if socket.readable().await.is_err() {
            return;
        }
        shard.room().await;
        for _ in 0..TURN {
            let (length, address) = match socket.try_recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // An ICMP error of an earlier datagram; nothing to do with this one.
                Err(_) => continue,
            };
            let octets = buffer.get_mut(..length).unwrap_or_default();
            datagram(&shard, &conn, octets, address, &limits);
        }
        tokio::task::yield_now().await;
    }
}

fn datagram(
    shard: &Rc<Shard>,
    conn: &UdpSocketConn,
    octets: &mut [u8],
    address: SocketAddr,
    limits: &Limits,
) {
    let identity = shard.dialer.address_identity(address.ip());
    let source = Source { link: conn.id, transport: Transport::Udp, address, identity };
    let now = shard.clock.now();
    match frame::datagram(octets, limits) {
        Ok(Frame::Message(octets)) => {
            shard.on_sip(now, &source, octets);
            shard.perform(now);
        }
        Ok(Frame::Ping) => conn.send(b"\r\n", address),
        Err(error) => {
            let readable = error.readable();
            let input = Input::SipBroken { source: &source, fault: error.fault, readable: readable.as_ref() };
            shard.handle(now, input);
        }
    }
}
