//! Identifiers that we mint: unpredictable, seeded, and marked with their owner.
//!
//! Each id that comes back to us (Via branch, tags, Call-ID, stanza and stream ids) starts with the
//! node and shard that minted it, so that whoever receives it finds its owner without a table.
//! Randomness is ChaCha12 from a seed that is an input: the same seed gives the same ids.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::fmt;

/// Characters of an id after its owner: 80 random bits, five to a character.
const RANDOM_LEN: usize = 16;
/// Characters that name the owner: node and shard, one base-32 character each.
const OWNER_LEN: usize = 2;
/// The digits of everything that we mint, five bits each.
pub(crate) const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Fills `out` with digits of `bits`, the lowest first.
pub(crate) fn write_digits(mut bits: u128, out: &mut [u8]) {
    for octet in out {
        *octet = ALPHABET[(bits & 31) as usize];
        bits >>= 5;
    }
}

/// Who minted an id: a node of a cluster and a shard in it, each 0..=31.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The node; 0 until there are clusters.
    pub node: u8,
    /// The shard in the node.
    pub shard: u8,
}

/// An identifier of 18 characters, `[0-9a-z]`: a SIP token, an XML name part and a JID-safe string.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id([u8; OWNER_LEN + RANDOM_LEN]);

impl Id {
    /// The id that names `owner` and has the low 80 of `bits`.
    pub(crate) fn of(owner: Owner, bits: u128) -> Self {
        let mut id = [0; OWNER_LEN + RANDOM_LEN];
        id[0] = ALPHABET[usize::from(owner.node % 32)];
        id[1] = ALPHABET[usize::from(owner.shard % 32)];
        write_digits(bits, &mut id[OWNER_LEN..]);
        Self(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Who minted `text`, if it is an id of ours.
    pub fn owner_of(text: &str) -> Option<Owner> {
        let digit = |b: &u8| ALPHABET.iter().position(|a| a == b);
        match text.as_bytes() {
            [node, shard, rest @ ..]
                if rest.len() == RANDOM_LEN && rest.iter().all(|b| digit(b).is_some()) =>
            {
                Some(Owner { node: digit(node)? as u8, shard: digit(shard)? as u8 })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The mint: one for each shard.
pub struct Ids {
    rng: ChaCha12Rng,
    owner: Owner,
}

impl Ids {
    /// A mint whose ids follow from `seed` and name `owner`.
    pub fn new(seed: [u8; 32], owner: Owner) -> Self {
        Self { rng: ChaCha12Rng::from_seed(seed), owner }
    }

    /// A new id: 80 random bits behind the owner.
    pub fn mint(&mut self) -> Id {
        let bits = (u128::from(self.rng.next_u64()) << 64) | u128::from(self.rng.next_u64());
        Id::of(self.owner, bits)
    }

    /// A uniform number below `bound` (0 for a bound of 0): jitter and weighted choice, not secrets.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.rng.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// 32 random octets, as a seed for another mint or a secret made once.
    pub fn octets(&mut self) -> [u8; 32] {
        let mut octets = [0; 32];
        self.rng.fill_bytes(&mut octets);
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_ids_and_they_name_their_owner() {
        let owner = Owner { node: 3, shard: 17 };
        let (mut a, mut b) = (Ids::new([7; 32], owner), Ids::new([7; 32], owner));
        let id = a.mint();
        assert_eq!(id, b.mint());
        assert_ne!(id, a.mint());
        assert_eq!(Id::owner_of(id.as_str()), Some(owner));
        assert_eq!(Id::owner_of("z9hG4bK776asdhds"), None);
    }

    #[test]
    fn below_stays_below() {
        let mut ids = Ids::new([1; 32], Owner::default());
        assert!((0..1000).all(|_| ids.below(7) < 7));
        assert_eq!(ids.below(0), 0);
    }
}
