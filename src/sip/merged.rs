//! Requests that came twice by two ways, and requests of ours that came back.
//!
//! A *merged* request (RFC 3261 §8.2.2.2) has no To tag and the From tag, Call-ID and CSeq of a
//! transaction that is open, but another branch: it was forked on its way, and only the first copy
//! is delivered; the others are answered 482. `MergeIndex` is that memory, kept by
//! `txn::ServerTable`.
//!
//! A *loop* is a request of ours that a server routed back to us. RFC 3261 §16.3 leaves loop
//! detection to proxies; we end the request and start a new one, so nobody else would find the
//! loop. [`LoopGuard`] stamps what we mint for a request (its branch, and its From tag): an id
//! followed by eight characters that only the holder of the secret can make. A request whose Via
//! list or From tag carries such a stamp started here, and is answered 482.

use crate::ids::{Id, write_digits};
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher};

use super::txn::{MAGIC_COOKIE, Mix, Print};

/// Characters of an id.
const ID_LEN: usize = 18;
/// Characters of the keyed hash behind it: 40 bits.
const TOKEN_LEN: usize = 8;

/// An id with the loop token behind it: 26 characters `[0-9a-z]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stamp([u8; ID_LEN + TOKEN_LEN]);

impl Stamp {
    /// The stamp as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The octets of the stamp.
    pub(super) fn octets(&self) -> &[u8; ID_LEN + TOKEN_LEN] {
        &self.0
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Stamps the ids of outgoing requests and recognises them when a request comes back.
#[derive(Clone)]
pub struct LoopGuard {
    keyed: DefaultHasher,
}

impl LoopGuard {
    /// A guard by `secret`. Gateways that share the secret recognise each other's requests.
    pub fn new(secret: [u8; 32]) -> Self {
        let mut keyed = DefaultHasher::new();
        secret.hash(&mut keyed);
        Self { keyed }
    }

    /// `id` with its token.
    pub fn stamp(&self, id: Id) -> Stamp {
        let mut stamp = [0; ID_LEN + TOKEN_LEN];
        let (front, back) = stamp.split_at_mut(ID_LEN);
        front.copy_from_slice(id.as_str().as_bytes());
        back.copy_from_slice(&self.token(front));
        Stamp(stamp)
    }

    /// Whether `text`, a branch or a tag, starts with a stamp of this guard. A branch may go on
    /// behind the stamp.
    pub fn is_ours(&self, text: &str) -> bool {
        let octets = text.as_bytes();
        let octets = octets.strip_prefix(MAGIC_COOKIE.as_bytes()).unwrap_or(octets);
        match (octets.get(..ID_LEN), octets.get(ID_LEN..ID_LEN + TOKEN_LEN)) {
            (Some(id), Some(token)) => self.token(id) == token,
            _ => false,
        }
    }

    /// Whether a request with these Via branches and this From tag started here: answer 482.
    ///
    /// The From tag finds loops through servers that hide or replace the Via list.
    pub fn has_looped<'a>(
        &self,
        branches: impl IntoIterator<Item = &'a str>,
        from_tag: Option<&str>,
    ) -> bool {
        from_tag.is_some_and(|tag| self.is_ours(tag)) || branches.into_iter().any(|one| self.is_ours(one))
    }

    fn token(&self, id: &[u8]) -> [u8; TOKEN_LEN] {
        let mut hasher = self.keyed.clone();
        hasher.write(id);
        let mut token = [0; TOKEN_LEN];
        write_digits(hasher.finish().into(), &mut token);
        token
    }
}

impl fmt::Debug for LoopGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoopGuard(..)")
    }
}

/// Which transaction holds each From tag, Call-ID and CSeq.
///
/// A transaction holds its triple while it is open or was answered 2xx, and lets go of it with a
/// failure: a client that tries again after a failure sends the same triple with a new branch
/// (RFC 3263 §4.3), and that is no merged request.
#[derive(Debug, Default)]
pub(super) struct MergeIndex {
    holders: HashMap<u64, Print, Mix>,
}

impl MergeIndex {
    /// Whether another transaction than `print` holds `triple`.
    pub(super) fn is_merged(&self, triple: u64, print: Print) -> bool {
        self.holders.get(&triple).is_some_and(|holder| *holder != print)
    }

    /// `print` holds `triple`, unless another does.
    pub(super) fn hold(&mut self, triple: u64, print: Print) {
        self.holders.entry(triple).or_insert(print);
    }

    /// `print` lets go of `triple`.
    pub(super) fn release(&mut self, triple: u64, print: Print) {
        if self.holders.get(&triple) == Some(&print) {
            self.holders.remove(&triple);
        }
    }

    /// How many triples are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.holders.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::ids::{Ids, Owner};

    #[test]
    fn check_154_a_request_of_ours_that_comes_back_is_recognised() {
        let mut ids = Ids::new([1; 32], Owner::default());
        let guard = LoopGuard::new([9; 32]);
        let stamp = guard.stamp(ids.mint());
        let branch = format!("{MAGIC_COOKIE}{stamp}1f");
        assert!(guard.has_looped(["z9hG4bKproxy", branch.as_str()], Some("peer")), "by the Via list");
        assert!(guard.has_looped(["z9hG4bKproxy"], Some(stamp.as_str())), "by the From tag");
        assert!(!guard.has_looped(["z9hG4bKproxy", "z9hG4bK776asdhds", "1"], Some("a73kszlfl")));
        assert!(!guard.has_looped([], None));
    }

    #[test]
    fn check_154_the_first_transaction_holds_a_triple_until_it_lets_go() {
        let request = |branch| crate::sip::txn::RequestKey {
            peer: crate::sip::txn::PeerKey(1),
            method: "MESSAGE",
            request_uri: "sip:juliet@example.com",
            top_via: "",
            branch: Some(branch),
            sent_by_host: "sip.example.net",
            sent_by_port: None,
            call_id: "a84b4c76e66710",
            from_tag: Some("1928301774"),
            to_tag: None,
            cseq: 314,
        };
        let prints = crate::sip::txn::Prints::new([4; 32]);
        let [one, two] = ["z9hG4bKone", "z9hG4bKtwo"].map(|branch| prints.stem(&request(branch)));
        let triple = one.triple("MESSAGE");
        assert_eq!(triple, two.triple("MESSAGE"), "the branch is no part of it");
        assert_ne!(triple, one.triple("OPTIONS"), "the method is");
        let (one, two) = (one.print("MESSAGE"), two.print("MESSAGE"));
        let mut index = MergeIndex::default();
        index.hold(triple, one);
        index.hold(triple, two);
        index.release(triple, two);
        assert!(index.is_merged(triple, two) && !index.is_merged(triple, one));
        index.release(triple, one);
        assert!(!index.is_merged(triple, two));
    }

    #[test]
    fn check_154_a_stamp_without_the_secret_is_not_ours() {
        let mut ids = Ids::new([1; 32], Owner::default());
        let guard = LoopGuard::new([9; 32]);
        let other = LoopGuard::new([8; 32]);
        let id = ids.mint();
        assert!(other.is_ours(other.stamp(id).as_str()));
        assert!(!guard.is_ours(other.stamp(id).as_str()), "another gateway's");
        assert!(!guard.is_ours(id.as_str()), "an id alone");
        let mut forged = guard.stamp(id).to_string();
        forged.replace_range(25.., if forged.ends_with('0') { "1" } else { "0" });
        assert!(!guard.is_ours(&forged));
        assert!(!guard.is_ours("z9hG4bK\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}"));
    }
}
