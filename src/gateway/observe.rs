//! What the gateway noticed, as values: the daemon writes them to the journal.
//!
//! No secret is ever in here; a text only where the operator has switched that on.

use super::effect::PeerId;
use crate::addr::Jid;
use crate::crossing::{Direction, Kind};
use crate::policy::{Policy, Reason};
use crate::store::record::Watching;
use crate::xmpp::error::Condition;
use std::sync::Arc;

/// What became of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchChange {
    /// It was asked for.
    Asked,
    /// It was granted.
    Granted,
    /// It is over, and so is the authorization.
    Ended,
    /// The right to it was lost; the authorization stays.
    Suspended,
    /// The right is back.
    Resumed,
    /// It waits until our user has added the contact.
    Waits,
}

impl WatchChange {
    /// The event's name in the journal.
    pub fn event(self) -> &'static str {
        match self {
            Self::Asked => "subscription.new",
            Self::Granted => "subscription.granted",
            Self::Ended => "subscription.ended",
            Self::Suspended => "subscription.suspended",
            Self::Resumed => "subscription.resumed",
            Self::Waits => "subscription.waits",
        }
    }

    /// Words for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked for",
            Self::Granted => "granted",
            Self::Ended => "ended",
            Self::Suspended => "suspended",
            Self::Resumed => "resumed",
            Self::Waits => "waits until the user adds the contact",
        }
    }
}

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
    /// A message was admitted, and this is its text. Only if [`super::Settings::texts`] is on.
    Text {
        /// One name for both legs.
        trace: String,
        /// Which way.
        direction: Direction,
        /// Who sent it.
        from: Jid,
        /// For whom.
        to: Jid,
        /// What it says.
        text: String,
    },
    /// A message or a wish to see somebody did not, and its sender is being told.
    Failed {
        /// What it is.
        kind: Kind,
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
    /// Something became of an authorization or its watch.
    Watch {
        /// The name of the crossing that it became of.
        trace: String,
        /// Who watches.
        direction: Watching,
        /// Who sees.
        watcher: Jid,
        /// Who is seen.
        presentity: Jid,
        /// What.
        change: WatchChange,
        /// Why, for a person; may be empty.
        why: String,
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
    /// A session is open: texts can go.
    SessionUp {
        /// The SIP user.
        user: Jid,
        /// The contact.
        contact: Jid,
        /// Who invited whom.
        direction: Direction,
        /// What carries the texts: "ms-session" or "msrp".
        mode: &'static str,
    },
    /// A session that was open is over.
    SessionDown {
        /// The SIP user.
        user: Jid,
        /// The contact.
        contact: Jid,
        /// Who invited whom.
        direction: Direction,
        /// What carried the texts: "ms-session" or "msrp".
        mode: &'static str,
        /// Why, for a person.
        why: String,
        /// Texts that were delivered: to the contact, to the SIP user.
        delivered: [u32; 2],
        /// How long it lasted.
        seconds: u64,
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
