//! Where packets go: the standard output, or a capture server by UDP.

use super::pcapng::Capture;
use super::{Packet, copied, hep, rebuilt};
use crate::admin::trace::{Crossing, Watched};
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::Duration;

/// How packets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin::trace) enum Encoding {
    Pcapng,
    Hep,
}

/// Where to.
pub(in crate::admin::trace) enum Destination {
    Stdout,
    Server(UdpSocket),
}

/// Datagrams that are sent before the receiver has a moment to read them.
const BURST: u64 = 32;
const MOMENT: Duration = Duration::from_millis(2);

impl Destination {
    /// A server, `HOST:PORT`.
    ///
    /// # Errors
    /// It has no address, or there is no way to it.
    pub(in crate::admin::trace) fn server(name: &str) -> io::Result<Self> {
        let address = name.to_socket_addrs()?.next();
        let address = address.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it has no address"))?;
        let any: SocketAddr = if address.is_ipv4() {
            (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (std::net::Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        Ok(Self::Server(socket))
    }
}

/// Writes crossings as packets.
pub(in crate::admin::trace) struct Sink {
    writer: Writer,
    to: Destination,
    sent: u64,
}

enum Writer {
    Pcapng(Capture),
    Hep,
}

impl Sink {
    /// A sink; nothing is written yet.
    ///
    /// # Errors
    /// None that memory does not have.
    pub(in crate::admin::trace) fn new(encoding: Encoding, to: Destination) -> io::Result<Self> {
        let writer = match encoding {
            Encoding::Pcapng => Writer::Pcapng(Capture::new()?),
            Encoding::Hep => Writer::Hep,
        };
        Ok(Self { writer, to, sent: 0 })
    }

    /// Writes what is on the wire of `crossings`, by its time. Nothing waits here afterwards.
    ///
    /// # Errors
    /// The reader is gone, or nobody listens at the server's port.
    pub(in crate::admin::trace) fn put(&mut self, crossings: &[Crossing]) -> io::Result<()> {
        let mut packets: Vec<Packet> = crossings.iter().flat_map(rebuilt::rebuild).collect();
        packets.sort_by_key(|packet| packet.at);
        self.write(&packets)
    }

    /// Writes copies as they come.
    ///
    /// # Errors
    /// As [`Sink::put`].
    pub(in crate::admin::trace) fn put_copies(&mut self, watched: &Watched) -> io::Result<()> {
        let mut packets: Vec<Packet> = watched.copies.iter().filter_map(copied::packet).collect();
        if let Some(first) = packets.first_mut() {
            first.lost = watched.lost;
        }
        self.write(&packets)
    }

    fn write(&mut self, packets: &[Packet]) -> io::Result<()> {
        let mut octets = Vec::new();
        for packet in packets {
            match (&mut self.writer, &self.to) {
                (Writer::Pcapng(capture), _) => capture.push(packet)?,
                (Writer::Hep, Destination::Stdout) => octets.extend(hep::frame(packet)),
                (Writer::Hep, Destination::Server(socket)) => {
                    socket.send(&hep::frame(packet))?;
                    if self.sent % BURST == BURST - 1 {
                        std::thread::sleep(MOMENT);
                    }
                }
            }
            self.sent += 1;
        }
        if let Writer::Pcapng(capture) = &mut self.writer {
            octets = capture.take();
        }
        if let Destination::Server(socket) = &self.to {
            // A refusal of the last datagram has nobody else to tell.
            return socket.take_error()?.map_or(Ok(()), Err);
        }
        let mut out = io::stdout().lock();
        out.write_all(&octets)?;
        out.flush()
    }

    /// How many packets were sent to a server; None if they went to the standard output.
    pub(in crate::admin::trace) fn sent(&self) -> Option<u64> {
        matches!(self.to, Destination::Server(_)).then_some(self.sent)
    }
}
