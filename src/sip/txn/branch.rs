//! The branch of our own requests: it names the slot of its transaction, so a response finds it
//! without a table.
//!
//! `z9hG4bK` + stamp (26 characters: owner, 80 random bits, loop token) + slot number in base 32.

use super::super::merged::Stamp;
use crate::ids::ALPHABET;
use std::fmt;

/// What every branch of RFC 3261 starts with (§8.1.1.7).
pub const MAGIC_COOKIE: &str = "z9hG4bK";

const STAMP_LEN: usize = 26;
/// A 32-bit number in base 32.
const INDEX_LEN: usize = 7;

/// A branch that we minted, at most 40 characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Branch {
    octets: [u8; MAGIC_COOKIE.len() + STAMP_LEN + INDEX_LEN],
    len: u8,
}

impl Branch {
    /// The branch for the transaction in slot `index`.
    pub(super) fn new(stamp: &Stamp, index: u32) -> Self {
        let mut octets = [0; MAGIC_COOKIE.len() + STAMP_LEN + INDEX_LEN];
        let (cookie, rest) = octets.split_at_mut(MAGIC_COOKIE.len());
        cookie.copy_from_slice(MAGIC_COOKIE.as_bytes());
        let (front, digits) = rest.split_at_mut(STAMP_LEN);
        front.copy_from_slice(stamp.octets());
        // Digits from the right, without leading zeros, so that each number has one spelling.
        let count = (32 - index.leading_zeros()).div_ceil(5).max(1) as usize;
        let mut rest = index;
        for digit in digits.iter_mut().take(count).rev() {
            *digit = ALPHABET[(rest & 31) as usize];
            rest >>= 5;
        }
        Self { octets, len: (MAGIC_COOKIE.len() + STAMP_LEN + count) as u8 }
    }

    /// The branch as text.
    pub fn as_str(&self) -> &str {
        let octets = self.octets.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(octets).unwrap_or_default()
    }

    /// The stamp's text and the slot number of `text`, if it has the shape of a branch of ours.
    pub(super) fn split(text: &str) -> Option<(&str, u32)> {
        let (stamp, digits) = text.strip_prefix(MAGIC_COOKIE)?.split_at_checked(STAMP_LEN)?;
        if digits.is_empty() || digits.len() > INDEX_LEN || (digits.len() > 1 && digits.starts_with('0')) {
            return None;
        }
        let mut index: u32 = 0;
        for octet in digits.bytes() {
            let digit = ALPHABET.iter().position(|known| *known == octet)?;
            index = index.checked_mul(32)?.checked_add(digit as u32)?;
        }
        Some((stamp, index))
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::super::super::merged::LoopGuard;
    use super::*;
    use crate::ids::{Ids, Owner};

    #[test]
    fn a_branch_gives_back_its_slot() {
        let stamp = LoopGuard::new([1; 32]).stamp(Ids::new([2; 32], Owner::default()).mint());
        for index in [0, 1, 31, 32, 1023, 1024, 65_535, 1 << 20, u32::MAX - 1, u32::MAX] {
            let branch = Branch::new(&stamp, index);
            assert!(branch.as_str().len() <= 40);
            assert_eq!(Branch::split(branch.as_str()), Some((stamp.as_str(), index)));
        }
    }

    #[test]
    fn threat_078_a_foreign_branch_is_no_branch_of_ours() {
        let stamp = "0000000000000000000000000a";
        for text in [
            "",
            "z9hG4bK",
            "z9hG4bK776asdhds",
            &format!("z9hG4bK{stamp}"),
            &format!("z9hg4bk{stamp}1"),
            &format!("z9hG4bK{stamp}01"),
            &format!("z9hG4bK{stamp}u"),
            &format!("z9hG4bK{stamp}zzzzzzz"),
            &format!("z9hG4bK{stamp}00000001"),
            "z9hG4bK\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}\u{fc}a\u{fc}1",
        ] {
            assert_eq!(Branch::split(text), None, "{text}");
        }
    }
}
