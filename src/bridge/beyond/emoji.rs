//! Text for user agents that can't show characters outside of the basic plane of Unicode.

use std::borrow::Cow;
use unicode_segmentation::UnicodeSegmentation;

/// What people wrote before there were pictures.
const WORDS: [(char, &str); 24] = [
    ('🙂', ":-)"),
    ('😀', ":-D"),
    ('😃', ":-D"),
    ('😄', ":-D"),
    ('😁', ":-D"),
    ('😆', "XD"),
    ('😂', ":'-D"),
    ('🤣', ":'-D"),
    ('😉', ";-)"),
    ('😊', ":-)"),
    ('😍', "<3"),
    ('😘', ":-*"),
    ('😎', "8-)"),
    ('😐', ":-|"),
    ('🙁', ":-("),
    ('😞', ":-("),
    ('😢', ":'-("),
    ('😭', ":'-("),
    ('😛', ":-P"),
    ('😮', ":-O"),
    ('😡', ">:-("),
    ('👍', "(yes)"),
    ('👎', "(no)"),
    ('🎉', "(hooray)"),
];

/// `text` with words for each character, as people count them, that needs more than 16 bits.
pub(super) fn without(text: Cow<'_, str>) -> Cow<'_, str> {
    let is_wide = |c: char| c > '\u{ffff}';
    if !text.contains(is_wide) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for grapheme in text.graphemes(true) {
        match grapheme.chars().find(|c| is_wide(*c)) {
            None => out.push_str(grapheme),
            Some(wide) => match WORDS.iter().find(|(known, _)| *known == wide) {
                Some((_, words)) => out.push_str(words),
                None => out.push_str(&format!("(U+{:X})", u32::from(wide))),
            },
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_become_words_and_all_else_stays() {
        for (text, shown) in [
            ("plain ❤ é", "plain ❤ é"),
            ("fine 👍!", "fine (yes)!"),
            ("fine 👍🏽!", "fine (yes)!"),
            ("🙂🙁", ":-):-("),
            ("👩‍👩‍👧", "(U+1F469)"),
            ("🇩🇪", "(U+1F1E9)"),
        ] {
            let without = without(text.into());
            assert_eq!(without, shown);
            assert!(!without.contains('\u{fffd}') && without.chars().all(|c| c <= '\u{ffff}'));
        }
    }
}
