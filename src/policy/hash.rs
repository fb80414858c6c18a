//! A fast hash of short texts, for maps that only the operator fills.
//!
//! Eight octets at a time, folded by a 64 by 64 bit multiplication (the scheme of wyhash). It resists
//! no one who chooses the keys of a map; whoever only looks them up can do nothing to it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Only the operator's files fill these maps, peers only look them up: a fixed, fast hash is enough,
/// and the same files give the same table.
pub(super) type Map<V> = HashMap<Box<str>, V, BuildHasherDefault<TextHasher>>;

/// Odd constants without structure: fractional bits of pi.
const K: [u64; 2] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7345];

/// The hash of one text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TextHasher(u64);

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Hasher for TextHasher {
    fn write(&mut self, octets: &[u8]) {
        let (words, rest) = octets.as_chunks::<8>();
        for word in words {
            self.0 = fold(self.0 ^ u64::from_le_bytes(*word) ^ K[0], K[1]);
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            // The length tells a short end from one with NULs behind it.
            self.0 = fold(self.0 ^ u64::from_le_bytes(last) ^ K[1], K[0] ^ rest.len() as u64);
        }
    }

    fn write_u8(&mut self, _end: u8) {
        // `str` ends its text with 0xff; here a key is one text.
    }

    fn finish(&self) -> u64 {
        fold(self.0 ^ K[0], K[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::hash::Hash;

    fn hash(text: &str) -> u64 {
        let mut hasher = TextHasher::default();
        text.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn users_with_numbers_spread_over_buckets_and_over_tags() {
        let hashes: Vec<u64> = (0..100_000).map(|n| hash(&format!("user{n}@contoso.example"))).collect();
        assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), 100_000);
        // Of 2^17 buckets by the low bits, as many are hit as chance hits: 1 - e^-0.763 of them.
        let low = hashes.iter().map(|h| h & 0x1_ffff).collect::<HashSet<_>>().len();
        assert!((69_000..71_000).contains(&low), "{low}");
        let top = hashes.iter().map(|h| h >> 57).collect::<HashSet<_>>().len();
        assert_eq!(top, 128);
    }

    #[test]
    fn a_text_and_its_borrowed_form_hash_alike_and_ends_count() {
        let boxed: Box<str> = "a@b.example".into();
        let mut hasher = TextHasher::default();
        boxed.hash(&mut hasher);
        assert_eq!(hasher.finish(), hash("a@b.example"));
        assert_ne!(hash("a"), hash("a\0"));
        assert_ne!(hash(""), hash("\0"));
    }
}
