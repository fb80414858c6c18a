//! Keyed fingerprints of requests: what a server transaction is found by.
//!
//! RFC 3261 §17.2.3 matches by branch, sent-by and method, and by Request-URI, tags, Call-ID, CSeq
//! and top Via where the branch lacks the magic cookie. A fingerprint is 128 bits of SipHash over
//! these, under keys that are an input, so nobody outside can make two requests collide.
//!
//! DEVIATES RFC 3261 §17.2.3: Call-ID, From tag, CSeq number and the peer always take part. Honest
//! retransmissions, ACK and CANCEL repeat all of them; a client that reuses a branch for another
//! request gets that request delivered, and one peer can't answer for another's transaction.
//! DEVIATES RFC 3261 §17.2.3: the To tag of an ACK without the cookie is not compared with that of
//! the response: the rest names one INVITE already.

use super::{Kind, MAGIC_COOKIE};
use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// The peer that a request came from: the link's peer, or what its user makes of a UDP source.
/// Limits count for each peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerKey(pub u64);

/// What of a request names its transaction. All texts as received.
#[derive(Clone, Copy, Debug)]
pub struct RequestKey<'a> {
    /// Who sent it.
    pub peer: PeerKey,
    /// The method.
    pub method: &'a str,
    /// The Request-URI.
    pub request_uri: &'a str,
    /// The first value of the first Via header.
    pub top_via: &'a str,
    /// The branch of that value.
    pub branch: Option<&'a str>,
    /// Host of its sent-by.
    pub sent_by_host: &'a str,
    /// Port of its sent-by.
    pub sent_by_port: Option<u16>,
    /// The Call-ID.
    pub call_id: &'a str,
    /// The tag in From.
    pub from_tag: Option<&'a str>,
    /// The tag in To.
    pub to_tag: Option<&'a str>,
    /// The CSeq number.
    pub cseq: u32,
}

/// The fingerprint of a request and its retransmissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Print(u64, u64);

/// The seeded hashers.
#[derive(Clone)]
pub(super) struct Prints {
    high: DefaultHasher,
    low: DefaultHasher,
}

/// A request's fingerprint before its method.
pub(super) struct Stem {
    high: DefaultHasher,
    low: DefaultHasher,
    triple: DefaultHasher,
}

impl Prints {
    /// Hashers under `seed`.
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let keyed = |half: u8| {
            let mut hasher = DefaultHasher::new();
            (half, seed).hash(&mut hasher);
            hasher
        };
        Self { high: keyed(0), low: keyed(1) }
    }

    /// Hashes all of `key` but the method.
    pub(super) fn stem(&self, key: &RequestKey<'_>) -> Stem {
        let (mut high, mut low) = (self.high.clone(), self.low.clone());
        (key.call_id, key.from_tag, key.cseq).hash(&mut high);
        let triple = high.clone();
        low.write_u64(triple.finish());
        (key.call_id, key.from_tag).hash(&mut low);
        match key.branch.filter(|branch| has_cookie(branch)) {
            Some(branch) => {
                let names = (key.peer, branch, key.sent_by_host, key.sent_by_port);
                names.hash(&mut high);
                names.hash(&mut low);
            }
            None => {
                let to_tag = match Kind::of(key.method) {
                    Kind::Invite => None,
                    Kind::NonInvite if key.method == "CANCEL" => None,
                    Kind::NonInvite => key.to_tag,
                };
                let names = (key.peer, key.request_uri, key.top_via, to_tag);
                names.hash(&mut high);
                names.hash(&mut low);
            }
        }
        Stem { high, low, triple }
    }

    /// 80 bits that follow from `print` and the seed: a To tag that every answer to a request
    /// shares.
    pub(super) fn tag_bits(&self, print: Print) -> u128 {
        let half = |hasher: &DefaultHasher| {
            let mut hasher = hasher.clone();
            ("tag", print).hash(&mut hasher);
            hasher.finish()
        };
        (u128::from(half(&self.high)) << 64) | u128::from(half(&self.low))
    }
}

impl std::fmt::Debug for Prints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prints(..)")
    }
}

impl Stem {
    /// The fingerprint with `method`; an ACK has that of its INVITE.
    pub(super) fn print(&self, method: &str) -> Print {
        let method = if method == "ACK" { "INVITE" } else { method };
        let finish = |hasher: &DefaultHasher| {
            let mut hasher = hasher.clone();
            method.hash(&mut hasher);
            hasher.finish()
        };
        Print(finish(&self.high), finish(&self.low))
    }

    /// From tag, Call-ID and CSeq with `method`: what merged requests share.
    pub(super) fn triple(&self, method: &str) -> u64 {
        let mut hasher = self.triple.clone();
        method.hash(&mut hasher);
        hasher.finish()
    }
}

/// Whether a branch is one of RFC 3261 (§8.1.1.7); the cookie compares without regard to case, as
/// tokens do.
fn has_cookie(branch: &str) -> bool {
    branch.get(..MAGIC_COOKIE.len()).is_some_and(|front| front.eq_ignore_ascii_case(MAGIC_COOKIE))
}

/// The hasher of maps whose keys are keyed hashes already, or chosen by us: it only mixes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MixHasher(u64);

/// Builds [`MixHasher`]s.
pub type Mix = BuildHasherDefault<MixHasher>;

impl Hasher for MixHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
}
