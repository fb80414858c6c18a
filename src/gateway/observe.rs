//! What the gateway noticed, as values: the daemon writes them to the journal.
//!
//! No body is ever in here, and no secret.

use super::effect::PeerId;
use crate::addr::Jid;
use crate::crossing::Direction;
use crate::policy::{Policy, Reason};
use crate::xmpp::error::Condition;
use std::sync::Arc;

/// One observation.
#[derive(Debug)]
pub enum Observation {
    /// A message reached the other side.
    Delivered {
        /// One name for both legs.
        trace: String,
        /// Which way.
        direction: Direction,
        /// Who sent it.
        from: Jid,
        /// For whom.
        to: Jid,
    },
    /// A message did not, and its sender is being told.
    Failed {
        /// One name for both legs.
        trace: String,
        /// Which way.
        direction: Direction,
        /// Who sent it.
        from: Jid,
        /// For whom.
        to: Jid,
        /// What the XMPP side says or would say.
        condition: Condition,
        /// What the SIP side says or would say.
        status: u16,
        /// Why, for a person.
        why: String,
    },
    /// Policy said no.
    Denied {
        /// One name for both legs.
        trace: String,
        /// Which way.
        direction: Direction,
        /// Who sent it.
        from: Jid,
        /// For whom.
        to: Jid,
        /// What decided.
        reason: Reason,
        /// Our user's policy, if it came to that.
        policy: Option<Arc<Policy>>,
    },
    /// A SIP request was refused before it was anybody's message.
    Refused {
        /// The peer whose link it came on, if known.
        peer: Option<PeerId>,
        /// The answer.
        status: u16,
        /// Why, for a person.
        why: String,
    },
    /// An initiating stream is up.
    PairUp {
        /// Our domain.
        local: String,
        /// The partner's.
        remote: String,
        /// How we proved ourselves.
        auth: &'static str,
    },
    /// An initiating stream is gone or was not made.
    PairDown {
        /// Our domain.
        local: String,
        /// The partner's.
        remote: String,
        /// Why, for a person.
        why: String,
        /// Messages that waited and are answered with an error now.
        bounced: usize,
    },
    /// A link to a peer is up.
    PeerUp {
        /// The peer.
        peer: PeerId,
        /// Where.
        target: String,
    },
    /// A link to a peer is gone or was not made.
    PeerDown {
        /// The peer.
        peer: PeerId,
        /// Why, for a person.
        why: String,
        /// Messages that waited and are answered with an error now.
        bounced: usize,
    },
}
