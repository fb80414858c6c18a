//! The Message Session Relay Protocol (RFC 4975, RFC 6135), without I/O: octets and time in, octets and
//! events out.
//!
//! | file | owns |
//! |---|---|
//! | [`uri`] | MSRP URIs and how they are compared |
//! | [`frame`] | octets to requests and responses |
//! | [`head`] | start lines and headers, read and written |
//! | [`assembly`] | messages from their chunks |
//! | [`switch`] | all connections and the sessions on them: who is bound where, deadlines, the end |
//! | `receive` | requests, responses and reports of others |
//! | `deliver` | our messages in chunks, our responses and reports |
//!
//! What a message says is for whoever owns the [`Switch`]: here it is a media type and octets. Nothing here
//! looks up names or opens connections, and nothing crosses: the gate is elsewhere.
//!
//! # Custody
//!
//! The response to the request that completes a message is held until [`Switch::answer`] says what became
//! of it (law 3), at most [`HOLD`]: the sender's own timer has 30 s (RFC 4975 §7.1.1). Every other chunk is
//! answered at once.

pub mod assembly;
mod deliver;
pub mod frame;
pub mod head;
mod receive;
pub mod switch;
pub mod uri;

#[cfg(test)]
mod tests;

pub use deliver::{QUEUE_MAX, QUEUE_OCTETS};
pub use head::FailureReport;
pub use switch::Switch;
pub use uri::MsrpUri;

use crate::ids::Id;
use sha1::Digest;
use std::fmt;
use std::time::Duration;

/// The port that MSRP has by recommendation (RFC 4975 §15.4).
pub const PORT: u16 = 2855;
/// How long the response to a whole message is held at most.
pub const HOLD: Duration = Duration::from_secs(25);

/// Octets of all messages whose chunks have not all come.
pub const UNFINISHED: usize = 64 * 1024 * 1024;

/// A session of ours: 80 random bits, which nobody knows but its two ends (RFC 4975 §14.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Id);

impl SessionId {
    /// The session-id of its URI.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// Its first characters, which name the shard: the rest is a secret.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.as_str().get(..4).unwrap_or_default())
    }
}

/// A message of ours: its Message-ID.
pub type MessageId = Id;

/// One connection, for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u32);

/// What the operator has set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Our host in URIs: a name, or an address, an IPv6 one in brackets.
    pub host: String,
    /// The port that others reach us at; `None` if we listen nowhere and always connect ourselves.
    pub port: Option<u16>,
    /// Whether that port, and what we offer, is TLS.
    pub tls: bool,
    /// Octets of one message.
    pub message_max: usize,
    /// Octets of all messages whose chunks have not all come, of all sessions together.
    pub unfinished: usize,
    /// Connections in all.
    pub connections: usize,
    /// Sessions in all.
    pub sessions: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: None,
            tls: true,
            message_max: 65_536,
            unfinished: UNFINISHED,
            connections: 1000,
            sessions: 10_000,
        }
    }
}

/// The hash of a certificate that signalling told us (RFC 8122 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The hash function, as `sha-256`.
    pub hash: Box<str>,
    /// The hash.
    pub octets: Vec<u8>,
}

impl Fingerprint {
    /// Whether it is that of the certificate `der`; a hash function that we do not know is never right.
    pub fn is_of(&self, der: &[u8]) -> bool {
        let is = |name: &str| self.hash.eq_ignore_ascii_case(name);
        match () {
            () if is("sha-1") => self.octets == sha1::Sha1::digest(der).as_slice(),
            () if is("sha-256") => self.octets == sha2::Sha256::digest(der).as_slice(),
            () if is("sha-384") => self.octets == sha2::Sha384::digest(der).as_slice(),
            () if is("sha-512") => self.octets == sha2::Sha512::digest(der).as_slice(),
            () => false,
        }
    }
}

/// Which side connects (RFC 6135 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Connects {
    /// We do.
    Us,
    /// The peer does.
    Them,
}

/// The far end of a session, as the signalling told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The way to it, the nearest first; not empty.
    pub path: Vec<MsrpUri>,
    /// Who connects.
    pub connects: Connects,
    /// The certificates that it may show; any that its name allows if empty (RFC 4975 §5.4, §14.4).
    pub fingerprints: Vec<Fingerprint>,
    /// Octets of one message that it takes.
    pub max_size: Option<u64>,
    /// The SIP domain that its signalling speaks for: an address that is not public is connected to only if
    /// the operator has put that domain there, because the path is only what the peer says.
    pub near: String,
}

/// Where to connect to, and what to expect there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dial {
    /// The name that the connection will have.
    pub conn: ConnId,
    /// TLS, or TCP alone.
    pub tls: bool,
    /// The host of the URI.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The certificates that are right; if empty, one that is valid for `host` (RFC 4975 §5.4).
    pub fingerprints: Vec<Fingerprint>,
    /// As of [`Peer::near`].
    pub near: String,
}

/// What the driver is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect. Answered by [`Switch::connected`] or [`Switch::lost`].
    Dial(Box<Dial>),
    /// Send these octets. [`Switch::drained`] when the kernel has all of them.
    Send {
        /// The connection.
        conn: ConnId,
        /// Whole frames.
        octets: Vec<u8>,
    },
    /// Close a connection once what was sent on it is written.
    Close {
        /// The connection.
        conn: ConnId,
    },
}

/// What happened to a session, for whoever owns it.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Both ends know each other: messages go both ways.
    Up {
        /// The session.
        session: SessionId,
    },
    /// A whole message has come in. Give its receipt to [`Switch::answer`].
    Message {
        /// The session.
        session: SessionId,
        /// What its answer, and reports on it, need.
        receipt: Receipt,
        /// Its media type.
        content_type: Box<str>,
        /// Its octets.
        octets: Vec<u8>,
    },
    /// The peer has a message of ours whole.
    Sent {
        /// The session.
        session: SessionId,
        /// The message.
        message: MessageId,
    },
    /// The peer does not have it, or nobody knows; nothing more will be heard of it.
    Failed {
        /// The session.
        session: SessionId,
        /// The message.
        message: MessageId,
        /// A code of RFC 4975 §10: 408 for what left and was not answered, 481 for what the peer certainly does
        /// not have, because its session ended before.
        status: u16,
    },
    /// A report on a message that was [`Event::Sent`], or is about to be.
    Reported {
        /// The session.
        session: SessionId,
        /// The message.
        message: MessageId,
        /// 200: delivered, all of it. Another: it was not.
        status: u16,
    },
    /// The session is at an end, and so are its messages: each has failed before.
    Down {
        /// The session.
        session: SessionId,
        /// Why.
        why: Down,
    },
}

/// Why a session ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Down {
    /// The connection is gone, or did not come about (RFC 4975 §5.4).
    #[error("the MSRP connection is lost")]
    Lost,
    /// The peer did not connect in time.
    #[error("the peer did not connect")]
    NotBound,
    /// The peer does not know the session, or reported a failure (RFC 4975 §7.3.2, §10.8).
    #[error("the peer has no such session: status {0}")]
    Refused(u16),
    /// The peer's certificate is not the one that the signalling told (RFC 4975 §14.4).
    #[error("the peer's certificate is not the one of its description")]
    Certificate,
}

/// A message that came in: what answers and reports need.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt {
    pub(crate) session: SessionId,
    pub(crate) message_id: Box<str>,
    /// The way back.
    pub(crate) path: Vec<MsrpUri>,
    pub(crate) size: u64,
    pub(crate) success: bool,
    pub(crate) failure: FailureReport,
}

impl Receipt {
    /// The session that it came in.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Whether a REPORT on it may be wanted.
    pub fn wants_report(&self) -> bool {
        self.success || self.failure != FailureReport::No
    }

    /// Whether its sender wants to hear that it was delivered (RFC 4975 §7.1.3).
    pub fn wants_success(&self) -> bool {
        self.success
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receipt").field("session", &self.session).field("size", &self.size).finish()
    }
}

/// A message for the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The Message-ID that it had in a session which failed, so that its receiver knows it again
    /// (RFC 4975 §5.4).
    pub again: Option<MessageId>,
    /// The media type. What can't stand in a header is refused.
    pub content_type: String,
    /// The octets.
    pub octets: Vec<u8>,
    /// Whether to ask for a report of success.
    pub report: bool,
}

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SendError {
    /// There is no such session.
    #[error("the MSRP session is gone")]
    Gone,
    /// Too many messages wait in the session.
    #[error("too many messages wait for the MSRP peer")]
    Full,
    /// The peer has said that it takes no message of this size (RFC 4975 §8.6), or ours is lower.
    #[error("the message is above the size that the MSRP peer takes")]
    TooLarge,
    /// The media type is none.
    #[error("the media type is malformed")]
    Type,
}

/// Why a session does not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum StartError {
    /// There is no such session.
    #[error("the MSRP session is gone")]
    Gone,
    /// The path is empty, has no port, or is not TCP.
    #[error("the peer's MSRP path can't be reached")]
    Path,
    /// There are as many connections as there may be.
    #[error("there are too many MSRP connections")]
    Full,
    /// Whoever was faster than the signalling showed another certificate than that told (RFC 4975 §14.4).
    #[error("the peer's certificate is not the one of its description")]
    Certificate,
}
