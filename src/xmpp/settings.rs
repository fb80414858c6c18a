//! The settings of this room, with the defaults that the gateway documents.

use std::time::Duration;

/// How every stream behaves, whoever the partner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The largest stanza of an authenticated peer, in octets. Default 262144 (256 KiB); never below
    /// 10000 (RFC 6120 §13.12).
    pub stanza_size: usize,
    /// The largest first-level element before authentication, in octets. Default 10240.
    pub unauthenticated_size: usize,
    /// How long a stream that we opened may take until its pair is proven. Default 60 s.
    pub establishment_timeout: Duration,
    /// The same for a stream that was opened to us; the smaller of the two counts. Default 30 s.
    pub unauthenticated_timeout: Duration,
    /// After how long without a stanza an established stream is closed. Default 600 s.
    pub inactivity_timeout: Duration,
    /// How long an established inbound stream may be silent, white space counting as sound, where
    /// the partner is expected to send keepalives; on a stream that we opened a white space keepalive
    /// goes out twice in this time. Default 300 s.
    pub keepalive_interval: Duration,
    /// How long the peer's close tag is awaited after ours (RFC 6120 §4.4). Default 5 s.
    pub close_timeout: Duration,
    /// How long an answer about a dialback key is awaited, as the asking and as the waiting server.
    /// Default 20 s.
    pub verify_timeout: Duration,
    /// How long a stream for verification stays open when nothing is asked. Default 5 s.
    pub verify_linger: Duration,
    /// Dialback keys that one inbound stream may have under verification. Default 5.
    pub pending_keys: usize,
    /// Domain pairs that one stream may carry. Default 64.
    pub pairs: usize,
    /// Questions about dialback keys that one stream may have open. Default 64.
    pub questions: usize,
    /// Whether a dialback key is taken unverified when the certificate is valid for the sender domain
    /// and the partner's terms allow SASL (XEP-0344 §2.4). Default off: the key is always verified,
    /// so that a wrong one is always found out, and a peer with a valid certificate has EXTERNAL.
    pub trust_certificate_in_dialback: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            stanza_size: 256 * 1024,
            unauthenticated_size: 10 * 1024,
            establishment_timeout: Duration::from_secs(60),
            unauthenticated_timeout: Duration::from_secs(30),
            inactivity_timeout: Duration::from_secs(600),
            keepalive_interval: Duration::from_secs(300),
            close_timeout: Duration::from_secs(5),
            verify_timeout: Duration::from_secs(20),
            verify_linger: Duration::from_secs(5),
            pending_keys: 5,
            pairs: 64,
            questions: 64,
            trust_certificate_in_dialback: false,
        }
    }
}

impl Settings {
    /// The smallest size limit that RFC 6120 §13.12 lets a server enforce, in octets.
    pub const STANZA_SIZE_MIN: usize = 10_000;

    /// How long an inbound stream may take until a pair is proven.
    pub fn inbound_establishment(&self) -> Duration {
        self.unauthenticated_timeout.min(self.establishment_timeout)
    }
}
