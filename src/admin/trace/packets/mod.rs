//! Crossings as packets, for programs that read captures.
//!
//! | file | owns |
//! |---|---|
//! | this one | a packet, and between which addresses it goes |
//! | `rebuilt` | packets made of what is on record |
//! | `copied` | packets that are copies of what comes and goes |
//! | `pcapng` | a capture file of them |
//! | `hep` | the frames of a capture server |
//! | `sink` | where they go: the standard output, or by UDP |
//!
//! Whatever a peer's words say, a packet stays one packet: lengths are ours, and notes are cleaned.

mod copied;
mod hep;
mod pcapng;
mod rebuilt;
mod sink;
#[cfg(test)]
mod tests;

pub(super) use sink::{Destination, Encoding, Sink};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a packet is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Sip,
    Xmpp,
}

/// What carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

/// One SIP message or stanza, on its way between two hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Packet {
    /// Microseconds since 1970.
    at: u64,
    /// The crossing that it is of.
    trace: String,
    wire: Wire,
    transport: Transport,
    from: SocketAddr,
    to: SocketAddr,
    octets: Vec<u8>,
    /// What it is, for people.
    note: String,
    /// How many are missing before it.
    lost: u64,
}

/// The two ends of a stream or link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    far: SocketAddr,
    ours: SocketAddr,
}

/// The last part of the addresses of documentation that stand for what is not known (RFC 5737 §3, RFC 3849).
const OURS: u8 = 1;
const SIP_PEER: u8 = 2;
const PARTNER: u8 = 3;

impl Ends {
    /// Both ends, as far as they are known; what is not is an address of documentation, and `port`.
    fn new(wire: Wire, port: u16, far: Option<SocketAddr>, ours: Option<SocketAddr>) -> Self {
        // A socket that is bound to every address has none of its own.
        let is_known = |one: &SocketAddr| !one.ip().is_unspecified();
        let is_v6 = |one: &SocketAddr| one.ip().to_canonical().is_ipv6();
        let v6 = far.or(ours).as_ref().is_some_and(is_v6);
        let other = match wire {
            Wire::Sip => SIP_PEER,
            Wire::Xmpp => PARTNER,
        };
        let shown = |one: Option<SocketAddr>, last: u8| {
            let port = one.map_or(port, |one| one.port());
            let ip = one.filter(is_known).map(|one| one.ip().to_canonical());
            SocketAddr::new(ip.unwrap_or_else(|| example(v6, last)), port)
        };
        Self { far: shown(far, other), ours: shown(ours, OURS) }
    }
}

fn example(v6: bool, last: u8) -> IpAddr {
    if v6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()).into()
    } else {
        Ipv4Addr::new(192, 0, 2, last).into()
    }
}
