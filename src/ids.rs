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

/// Bits of a [`Numbers`] number below its shard.
const NUMBER_BITS: u32 = 27;
/// The most shards that there may be: one base-32 character, five bits.
pub const SHARDS_MAX: u8 = 32;

/// Numbers for what lives in this process, each with the shard that it belongs to in its top five bits.
/// After 2^27 of them they begin again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers {
    shard: u8,
    last: u32,
}

impl Numbers {
    /// Those of `shard`, 0..=31.
    pub fn new(shard: u8) -> Self {
        Self { shard: shard % SHARDS_MAX, last: 0 }
    }

    /// The next one.
    pub fn mint(&mut self) -> u32 {
        self.last = self.last.wrapping_add(1) & ((1 << NUMBER_BITS) - 1);
        u32::from(self.shard) << NUMBER_BITS | self.last
    }
}

/// Whose `number` is.
pub fn shard_of(number: u32) -> u8 {
    (number >> NUMBER_BITS) as u8
}

/// `number` for people: "3", or "2.3" where it is not the first shard's.
pub fn shown(number: u32) -> String {
    let own = number & ((1 << NUMBER_BITS) - 1);
    match shard_of(number) {
        0 => own.to_string(),
        shard => format!("{shard}.{own}"),
    }
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

    /// Who minted the id that `text` begins with, if it is one of ours. More may follow: a stamp, a slot.
    pub fn owner_in(text: &str) -> Option<Owner> {
        Self::owner_of(text.get(..OWNER_LEN + RANDOM_LEN)?)
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
    fn an_id_with_more_behind_it_names_its_owner_too() {
        let owner = Owner { node: 0, shard: 31 };
        let id = Ids::new([7; 32], owner).mint();
        assert_eq!(Id::owner_in(&format!("{id}0123456z1")), Some(owner));
        assert_eq!(Id::owner_in(&id.as_str()[..17]), None);
        assert_eq!(Id::owner_in("ééééééééééééé"), None);
    }

    #[test]
    fn numbers_name_their_shard_for_ever() {
        for shard in [0, 1, 31] {
            let mut numbers = Numbers { shard, last: (1 << NUMBER_BITS) - 3 };
            let all: Vec<u32> = (0..5).map(|_| numbers.mint()).collect();
            assert!(all.iter().all(|number| shard_of(*number) == shard), "{all:?}");
            assert!(all.windows(2).all(|two| two[0] != two[1]));
        }
        assert_eq!(Numbers::new(0).mint(), 1);
        let two = (shown(Numbers::new(0).mint()), shown(Numbers::new(31).mint()));
        assert_eq!(two, ("1".to_owned(), "31.1".to_owned()));
    }

    #[test]
    fn below_stays_below() {
        let mut ids = Ids::new([1; 32], Owner::default());
        assert!((0..1000).all(|_| ids.below(7) < 7));
        assert_eq!(ids.below(0), 0);
    }
}
