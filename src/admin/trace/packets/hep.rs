//! The frames that a capture server reads: HEP version 3, also called EEP (Homer, heplify-server, sngrep).
//!
//! `HEP3`, the length of all as two octets, then chunks: vendor, type and length of the chunk with these six
//! octets, each in two octets, and its value. All chunks here are of vendor 0.

use super::{Packet, Transport, Wire};
use std::net::{IpAddr, SocketAddr};

const FAMILY: u16 = 1;
const PROTOCOL: u16 = 2;
const IPV4_SOURCE: u16 = 3;
const IPV4_DESTINATION: u16 = 4;
const IPV6_SOURCE: u16 = 5;
const IPV6_DESTINATION: u16 = 6;
const SOURCE_PORT: u16 = 7;
const DESTINATION_PORT: u16 = 8;
const SECONDS: u16 = 9;
const MICROSECONDS: u16 = 10;
const KIND: u16 = 11;
const AGENT: u16 = 12;
const PAYLOAD: u16 = 15;
const CORRELATION: u16 = 17;
const NODE: u16 = 19;

/// Octets of a frame at most: what one UDP datagram carries.
pub(super) const FRAME: usize = 65_507;

/// The frame of a packet. A payload that has no room in it is cut.
pub(super) fn frame(packet: &Packet) -> Vec<u8> {
    let mut out = b"HEP3\0\0".to_vec();
    let (family, protocol) = (
        if packet.from.is_ipv4() { 2 } else { 10 },
        match packet.transport {
            Transport::Tcp => 6,
            Transport::Udp => 17,
        },
    );
    chunk(&mut out, FAMILY, &[family]);
    chunk(&mut out, PROTOCOL, &[protocol]);
    address(&mut out, [IPV4_SOURCE, IPV6_SOURCE], packet.from);
    address(&mut out, [IPV4_DESTINATION, IPV6_DESTINATION], packet.to);
    chunk(&mut out, SOURCE_PORT, &packet.from.port().to_be_bytes());
    chunk(&mut out, DESTINATION_PORT, &packet.to.port().to_be_bytes());
    let seconds = u32::try_from(packet.at / 1_000_000).unwrap_or_default();
    chunk(&mut out, SECONDS, &seconds.to_be_bytes());
    let micros = u32::try_from(packet.at % 1_000_000).unwrap_or_default();
    chunk(&mut out, MICROSECONDS, &micros.to_be_bytes());
    let kind = match packet.wire {
        Wire::Sip => 1,
        Wire::Xmpp => 2,
    };
    chunk(&mut out, KIND, &[kind]);
    chunk(&mut out, AGENT, &0u32.to_be_bytes());
    chunk(&mut out, NODE, b"stoxd");
    let name = packet.trace.get(..packet.trace.floor_char_boundary(64)).unwrap_or_default();
    chunk(&mut out, CORRELATION, name.as_bytes());
    let room = FRAME - out.len() - 6;
    chunk(&mut out, PAYLOAD, packet.octets.get(..room.min(packet.octets.len())).unwrap_or_default());
    let length = u16::try_from(out.len()).unwrap_or_default().to_be_bytes();
    if let Some(place) = out.get_mut(4..6) {
        place.copy_from_slice(&length);
    }
    out
}

fn address(out: &mut Vec<u8>, [four, six]: [u16; 2], address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => chunk(out, four, &ip.octets()),
        IpAddr::V6(ip) => chunk(out, six, &ip.octets()),
    }
}

/// A chunk. No value here is longer than a frame.
fn chunk(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&u16::try_from(value.len() + 6).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(value);
}
