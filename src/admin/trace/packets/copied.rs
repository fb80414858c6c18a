//! Packets that are copies: what came and went while somebody watched, with real heads.
//!
//! The daemon has replaced what people wrote, octet by octet, before it sent them; the note says so.

use super::rebuilt::{ends_of, sip_ends};
use super::{Packet, Transport, Wire};
use crate::addr::Clean;
use crate::admin::trace::Copy;
use crate::admin::trace::ladder::shown;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// The packet of a copy; None if its octets are none.
pub(super) fn packet(copy: &Copy) -> Option<Packet> {
    let octets = BASE64_STANDARD.decode(&copy.octets).ok()?;
    let (wire, ends, transport) = if copy.stanza {
        (Wire::Xmpp, ends_of(Wire::Xmpp, 5269, Some(&copy.way)), Transport::Tcp)
    } else {
        let (ends, transport, _) = sip_ends(Some(&copy.way));
        (Wire::Sip, ends, transport)
    };
    let (from, to) = if copy.came { (ends.far, ends.ours) } else { (ends.ours, ends.far) };
    let (came, masked) = (
        if copy.came { "as it came" } else { "as it went" },
        if copy.texts { "credentials masked" } else { "body masked" },
    );
    let mut note = format!("{came}, {masked}; by {}", Clean(&shown(&copy.way)));
    if !copy.trace.is_empty() {
        note.push_str(&format!("; of {}", Clean(&copy.trace)));
    }
    if copy.cut > 0 {
        note.push_str(&format!("; {} octets more are left away", copy.cut));
    }
    let trace = Clean(&copy.trace).to_string();
    let lost = 0;
    Some(Packet { at: copy.at, trace, wire, transport, from, to, octets, note, lost })
}
