//! `[bridge]` and the keys of a peer that say how a conversation is carried.

use super::read::Section;
use super::settings::{Bridge, Receipts, Talk};

/// `[bridge]`.
pub(super) fn bridge(root: &mut Section<'_>) -> Bridge {
    let mut section = root.section("bridge", "[bridge]");
    let paused = section.choice("idle_state", &[("active", false), ("paused", true)]);
    let notice = section.choice("encrypted", &[("refuse", false), ("notice", true)]);
    let is = |choice: Option<(bool, _)>| choice.is_some_and(|(is, _)| is);
    let bridge = Bridge { idle_is_paused: is(paused), encrypted_notice: is(notice) };
    section.done();
    bridge
}

/// What a peer's users get beside texts.
pub(super) fn talk(section: &mut Section<'_>) -> Talk {
    let usual = Talk::default();
    let receipts = [("auto", Receipts::Auto), ("trust-200", Receipts::Trust200), ("off", Receipts::Off)];
    Talk {
        typing: section
            .choice("typing", &[("auto", true), ("off", false)])
            .map_or(usual.typing, |(is, _)| is),
        receipts: section.choice("receipts", &receipts).map_or(usual.receipts, |(choice, _)| choice),
        reactions: section.flag("reactions", usual.reactions),
        ascii_emoji: section
            .choice("emoji", &[("any", false), ("ascii", true)])
            .map_or(usual.ascii_emoji, |(is, _)| is),
    }
}
