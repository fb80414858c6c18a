//! One SIP connection, or one UDP socket, without I/O: octets in, messages out.
//!
//! Owns the framing and what is known of the peer. Never decides about a message.

use super::frame::{Frame, FrameError, Framer, Limits};
use super::locate::Transport;
use crate::addr::Domain;
use std::net::SocketAddr;
use std::sync::Arc;

/// One SIP connection or UDP socket, for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u32);

/// A SIP peer: its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u16);

/// Who is at the far end, as proven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkIdentity {
    /// The peer, if it is one of ours.
    pub peer: Option<PeerId>,
    /// The domains that it may speak for; none if it proved nothing (RFC 5922 §7.4).
    pub domains: Arc<[Domain]>,
}

/// Where a message came from: what its answer needs.
#[derive(Clone, Debug)]
pub struct Source {
    /// The link.
    pub link: LinkId,
    /// The transport.
    pub transport: Transport,
    /// The address that it came from.
    pub address: SocketAddr,
    /// Who that is.
    pub identity: LinkIdentity,
}

/// What a link has to say.
pub enum LinkEvent<'l> {
    /// A whole message, unfolded.
    Message(&'l [u8]),
    /// A keep-alive: answer one CRLF (RFC 5626 §4.4.1).
    Ping,
    /// The octets are no message. Answer if it can be answered, then close: where the next message
    /// starts is not known (RFC 3261 §18.3).
    Broken(FrameError),
}

/// A connection's framing and identity.
pub struct Link {
    framer: Framer,
    source: Source,
}

impl Link {
    /// A link at its start.
    pub fn new(source: Source, limits: Limits) -> Self {
        Self { framer: Framer::new(limits), source }
    }

    /// Where its messages come from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Octets that arrived.
    pub fn push(&mut self, octets: &[u8]) {
        self.framer.push(octets);
    }

    /// Octets of a message that is not complete: a peer that sends nothing more is cut off.
    pub fn pending(&self) -> usize {
        self.framer.pending()
    }

    /// What is next, with where it came from; None if more octets are needed.
    pub fn next_event(&mut self) -> Option<(LinkEvent<'_>, &Source)> {
        let event = match self.framer.next() {
            Ok(None) => return None,
            Ok(Some(Frame::Message(octets))) => LinkEvent::Message(octets),
            Ok(Some(Frame::Ping)) => LinkEvent::Ping,
            Err(error) => LinkEvent::Broken(error),
        };
        Some((event, &self.source))
    }
}
