//! Tags of ours that name a watch: a stamp, which nobody can guess, and the slot where the watch
//! stands. So a NOTIFY finds its watch without a table. The slot alone proves nothing: whoever finds
//! a watch by it compares the dialog's identifiers.

use crate::sip::merged::Stamp;

/// Characters of a stamp.
const STAMP_LEN: usize = 26;
/// A 32-bit number in base 32.
const SLOT_LEN: usize = 7;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The tag for the watch in `slot`: at most 33 characters.
pub fn tag_of(stamp: &Stamp, slot: u32) -> String {
    let mut tag = String::with_capacity(STAMP_LEN + SLOT_LEN);
    tag.push_str(stamp.as_str());
    // Digits from the left, without leading zeros, so that each number has one spelling.
    let count = (32 - slot.leading_zeros()).div_ceil(5).max(1);
    for place in (0..count).rev() {
        tag.push(char::from(ALPHABET[((slot >> (5 * place)) & 31) as usize]));
    }
    tag
}

/// The slot that a tag names, if it has the shape of [`tag_of`].
pub fn slot_of(tag: &str) -> Option<u32> {
    let digits = tag.get(STAMP_LEN..)?;
    if digits.is_empty() || digits.len() > SLOT_LEN || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    let mut slot: u32 = 0;
    for octet in digits.bytes() {
        let digit = ALPHABET.iter().position(|known| *known == octet)?;
        slot = slot.checked_mul(32)?.checked_add(digit as u32)?;
    }
    Some(slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Ids, Owner};
    use crate::sip::merged::LoopGuard;

    #[test]
    fn a_tag_names_its_slot_and_is_known_as_ours() {
        let (mut ids, guard) = (Ids::new([1; 32], Owner::default()), LoopGuard::new([2; 32]));
        for slot in [0, 1, 31, 32, 1023, 1024, 123_456_789, u32::MAX] {
            let tag = tag_of(&guard.stamp(ids.mint()), slot);
            assert_eq!(slot_of(&tag), Some(slot));
            assert!(guard.is_ours(&tag) && tag.len() <= 33);
        }
        let stamp = guard.stamp(ids.mint());
        for tail in ["", "00", "01", "zzzzzzz", "00000000", "i", "A", "é"] {
            assert_eq!(slot_of(&format!("{stamp}{tail}")), None, "{tail}");
        }
        assert_eq!(slot_of("short"), None);
        assert_eq!(slot_of("ééééééééééééé1"), Some(1));
    }
}
