//! A capture file: pcapng (draft-ietf-opsawg-pcapng), one Enhanced Packet Block a packet.
//!
//! The link type is `WIRESHARK_UPPER_PDU`: a few tags say which protocol the octets are in and between which
//! addresses and ports they went, and the octets follow. So nothing has to be made up below them, no TCP with
//! its numbers and no port at which a reader would look for TLS.

use super::{Packet, Transport, Wire};
use pcap_file::DataLink;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::blocks::section_header::{SectionHeaderBlock, SectionHeaderOption};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Tags of an exported PDU (Wireshark's epan/exported_pdu.h).
const DISSECTOR_NAME: u16 = 12;
const IPV4_SOURCE: u16 = 20;
const IPV4_DESTINATION: u16 = 21;
const IPV6_SOURCE: u16 = 22;
const IPV6_DESTINATION: u16 = 23;
const PORT_TYPE: u16 = 24;
const SOURCE_PORT: u16 = 25;
const DESTINATION_PORT: u16 = 26;
const END_OF_TAGS: u16 = 0;

/// Writes a capture.
pub(super) struct Capture(PcapNgWriter<Vec<u8>>);

impl Capture {
    /// An empty capture, which has its header already.
    ///
    /// # Errors
    /// None that memory does not have.
    pub(super) fn new() -> io::Result<Self> {
        let application = concat!("stoxd ", env!("CARGO_PKG_VERSION"));
        let options = vec![SectionHeaderOption::UserApplication(application.into())];
        let section = SectionHeaderBlock { options, ..SectionHeaderBlock::default() };
        let mut writer = PcapNgWriter::with_section_header(Vec::new(), section).map_err(io::Error::other)?;
        let mut interface = InterfaceDescriptionBlock::new(DataLink::WIRESHARK_UPPER_PDU, 0);
        interface.options.push(InterfaceDescriptionOption::IfName("stoxd".into()));
        writer.write_pcapng_block(interface).map_err(io::Error::other)?;
        Ok(Self(writer))
    }

    /// Adds a packet.
    ///
    /// # Errors
    /// Its time is none that the format can say.
    pub(super) fn push(&mut self, packet: &Packet) -> io::Result<()> {
        let octets = exported(packet);
        let mut options =
            vec![EnhancedPacketOption::Common(CommonOption::Comment(packet.note.as_str().into()))];
        if packet.lost > 0 {
            options.push(EnhancedPacketOption::DropCount(packet.lost));
        }
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: Duration::from_micros(packet.at),
            original_len: u32::try_from(octets.len()).map_err(io::Error::other)?,
            data: octets.into(),
            options,
        };
        self.0.write_pcapng_block(block).map_err(io::Error::other)?;
        Ok(())
    }

    /// What was written since.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.0.get_mut())
    }
}

/// The tags and octets of a packet.
fn exported(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::with_capacity(96 + packet.octets.len());
    let dissector: &[u8] = match packet.wire {
        Wire::Sip => b"sip",
        Wire::Xmpp => b"xmpp",
    };
    tag(&mut out, DISSECTOR_NAME, dissector);
    address(&mut out, [IPV4_SOURCE, IPV6_SOURCE], packet.from);
    address(&mut out, [IPV4_DESTINATION, IPV6_DESTINATION], packet.to);
    let kind: u32 = match packet.transport {
        Transport::Tcp => 2,
        Transport::Udp => 3,
    };
    tag(&mut out, PORT_TYPE, &kind.to_be_bytes());
    tag(&mut out, SOURCE_PORT, &u32::from(packet.from.port()).to_be_bytes());
    tag(&mut out, DESTINATION_PORT, &u32::from(packet.to.port()).to_be_bytes());
    tag(&mut out, END_OF_TAGS, &[]);
    out.extend_from_slice(&packet.octets);
    out
}

fn address(out: &mut Vec<u8>, [four, six]: [u16; 2], address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => tag(out, four, &ip.octets()),
        IpAddr::V6(ip) => tag(out, six, &ip.octets()),
    }
}

/// A tag, with zeros to the next multiple of four octets, which its length counts.
fn tag(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    let padded = value.len().next_multiple_of(4);
    out.extend_from_slice(&tag.to_be_bytes());
    out.extend_from_slice(&u16::try_from(padded).unwrap_or_default().to_be_bytes());
    out.extend_from_slice(value);
    out.resize(out.len() + padded - value.len(), 0);
}
