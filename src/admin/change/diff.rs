//! What changed, in the lines of a unified diff.

use similar::TextDiff;
use std::fmt::Write;
use std::path::Path;

/// More lines than this, between the first and the last that differ, are counted and not shown.
const MAX_LINES: usize = 2000;
/// Lines around what changed.
const CONTEXT: usize = 2;

/// How `path` gets from `old` to `new`; empty if nothing changes.
pub fn lines(path: &Path, old: &str, new: &str) -> String {
    if old == new {
        return String::new();
    }
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    // A grants file has a million lines, most of them the same.
    let (before, after) = (old.lines().collect::<Vec<_>>(), new.lines().collect::<Vec<_>>());
    let same = |(a, b): &(&&str, &&str)| a == b;
    let head = before.iter().zip(&after).take_while(same).count();
    let rest = before.len().min(after.len()) - head;
    let tail = before.iter().rev().zip(after.iter().rev()).take(rest).take_while(same).count();
    let (gone, come) = (before.len() - head - tail, after.len() - head - tail);
    if gone + come > MAX_LINES {
        return format!("{name}: {gone} lines out, {come} lines in, from line {} on\n", head + 1);
    }
    let first = head.saturating_sub(CONTEXT);
    let cut = |all: &[&str], changed: usize| -> String {
        let lines = all.iter().skip(first).take(head - first + changed + CONTEXT);
        lines.fold(String::new(), |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        })
    };
    let (old, new) = (cut(&before, gone), cut(&after, come));
    let diff = TextDiff::from_lines(&old, &new);
    let mut out = String::new();
    for group in diff.grouped_ops(CONTEXT) {
        let at = group.first().map_or(0, |op| op.new_range().start);
        // Writing to a String does not fail.
        let _ = writeln!(out, "{name}:{}", first + at + 1);
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let _ = writeln!(out, "{} {}", change.tag(), change.value().trim_end_matches('\n'));
        }
    }
    if out.is_empty() { format!("{name}: the end of the last line\n") } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_shown_with_its_line_and_what_stands_around_it() {
        let old = "a\nb\nc\nd\ne\nf\n";
        let shown = lines(Path::new("/etc/x.toml"), old, &old.replace("d\n", "D\n"));
        assert_eq!(shown, "x.toml:2\n  b\n  c\n- d\n+ D\n  e\n  f\n");
        assert_eq!(lines(Path::new("x"), old, old), "");
        assert_eq!(lines(Path::new("x"), "", "a\n"), "x:1\n+ a\n");
        assert_eq!(lines(Path::new("x"), "a", "a\n"), "x: the end of the last line\n");
    }

    #[test]
    fn a_million_lines_with_one_new_show_one() {
        let old: String = (0..1_000_000).map(|n| format!("user{n}\n")).collect();
        let shown = lines(Path::new("grants.csv"), &old, &format!("{old}last\n"));
        assert_eq!(shown, "grants.csv:999999\n  user999998\n  user999999\n+ last\n");
        let shown = lines(Path::new("grants.csv"), &old, "");
        assert_eq!(shown, "grants.csv: 1000000 lines out, 0 lines in, from line 1 on\n");
    }
}
