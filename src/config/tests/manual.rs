//! Each kind of error and warning has a section in the man pages, which an administrator finds by its words.

const PAGES: [&str; 2] = [
    include_str!("../../../config/man/stoxd.toml.5"),
    include_str!("../../../config/man/stoxd-policy.toml.5"),
];

/// Whether a section of ERRORS has the words of `message`; what is particular to one file is "…" in its title.
pub(super) fn has(message: &str) -> bool {
    titles().any(|title| {
        let mut rest = message;
        title.split('…').map(str::trim).all(|part| match rest.split_once(part) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    })
}

/// The kinds of errors that the titles of the sections list, between commas.
fn titles() -> impl Iterator<Item = String> {
    let sections = PAGES.iter().filter_map(|page| page.split_once(".SH ERRORS\n"));
    let sections = sections.map(|(_, rest)| rest.split_once(".SH ").map_or(rest, |(errors, _)| errors));
    let lines = sections.flat_map(str::lines).filter_map(|line| line.strip_prefix(".SS "));
    let plain = |line: &str| line.replace("\\(dq", "\"").replace("\\-", "-");
    lines.flat_map(move |line| plain(line).split(", ").map(str::to_owned).collect::<Vec<_>>())
}

#[test]
fn kinds_are_found_by_their_words() {
    assert!(has("unknown policy \"Salse\"") && has("\"connection_limit\" is out of range"));
    assert!(!has("nobody has ever seen this") && !has(""));
}
