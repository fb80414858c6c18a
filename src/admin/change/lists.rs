//! Items of a list in TOML that come and go: each keeps the comments beside it, and what is removed takes its own
//! along and nobody else's. To `toml_edit` a comment behind an item belongs to whatever comes after it.

use super::rows::last_empty_line;
use toml_edit::{Array, RawString, Value};

/// A list, taken apart.
struct List {
    /// What stands behind the opening bracket.
    open: String,
    items: Vec<Row>,
    /// What stands in front of the closing bracket, from its own line on.
    tail: String,
}

/// One item.
struct Row {
    /// From the end of the line before to the item: its own lines of comments, and its indentation. Without a line
    /// end it stands in the line of the one before.
    above: String,
    value: Value,
    /// The rest of its line.
    behind: String,
}

/// Adds `item` at the end.
pub(super) fn push(array: &mut Array, item: &str) {
    let mut list = List::of(array);
    let above = list.items.iter().rev().find(|row| row.above.contains('\n'));
    let above = match above {
        Some(row) => format!("\n{}", row.above.rsplit('\n').next().unwrap_or_default()),
        None if list.tail.contains('\n') => "\n  ".to_owned(),
        None if list.items.is_empty() => String::new(),
        None => " ".to_owned(),
    };
    list.items.push(Row { above, value: item.into(), behind: String::new() });
    list.put(array);
}

/// Takes the items that `goes` is true of out; how many they were.
pub(super) fn pull(array: &mut Array, goes: impl Fn(&str) -> bool) -> usize {
    let List { open, items, mut tail } = List::of(array);
    let before = items.len();
    let mut left: Vec<Row> = Vec::with_capacity(before);
    // What those who went leave: comments that an empty line parts from them, and their place in the line.
    let mut comments = String::new();
    let mut place: Option<String> = None;
    for mut row in items {
        let begins = row.above.contains('\n');
        let inherited = place.take().filter(|_| !begins);
        if row.value.as_str().is_some_and(&goes) {
            let end = last_empty_line(&row.above);
            let parted = row.above.get(..end).filter(|text| text.contains('#')).unwrap_or_default();
            comments.push_str(parted);
            let own = row.above.rfind('\n').and_then(|end| row.above.get(end..)).unwrap_or(&row.above);
            place = Some(inherited.unwrap_or_else(|| own.to_owned()));
            continue;
        }
        row.above = std::mem::take(&mut comments) + inherited.as_deref().unwrap_or(&row.above);
        left.push(row);
    }
    let gone = before - left.len();
    if gone > 0 {
        tail.insert_str(0, &comments);
        List { open, items: left, tail }.put(array);
    }
    gone
}

impl List {
    fn of(array: &Array) -> Self {
        // The text in front of each item, and behind the last.
        let mut between = vec![String::new()];
        for item in array.iter() {
            let text =
                |raw: Option<&RawString>| raw.and_then(RawString::as_str).unwrap_or_default().to_owned();
            let (prefix, suffix) = (text(item.decor().prefix()), text(item.decor().suffix()));
            if let Some(last) = between.last_mut() {
                last.push_str(&prefix);
            }
            between.push(suffix);
        }
        if let Some(last) = between.last_mut() {
            last.push_str(array.trailing().as_str().unwrap_or_default());
        }
        let mut parts = between.into_iter().map(|text| match text.find('\n') {
            Some(end) => {
                let (line, rest) = text.split_at(end);
                (line.to_owned(), rest.to_owned())
            }
            None => (String::new(), text),
        });
        let (open, mut above) = parts.next().unwrap_or_default();
        let mut items = Vec::with_capacity(array.len());
        for (item, (behind, next)) in array.iter().zip(parts) {
            let value = item.clone().decorated("", "");
            items.push(Row { above: std::mem::replace(&mut above, next), value, behind });
        }
        Self { open, items, tail: above }
    }

    fn put(self, array: &mut Array) {
        let has_comma = array.trailing_comma();
        array.clear();
        let mut before = self.open;
        for row in self.items {
            let above = format!("{before}{}", row.above);
            array.push_formatted(row.value.decorated(above, ""));
            before = row.behind;
        }
        array.set_trailing_comma(has_comma && !array.is_empty());
        // What closes the list is no part of the comment in front of it.
        let end = if before.contains('#') && !self.tail.contains('\n') { "\n" } else { "" };
        array.set_trailing(format!("{before}{end}{}", self.tail));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use toml_edit::DocumentMut;

    /// `text`, a list, after `edit`.
    fn edited(text: &str, edit: impl FnOnce(&mut Array)) -> String {
        let mut document: DocumentMut = format!("a = {text}\n").parse().unwrap();
        edit(document.get_mut("a").unwrap().as_array_mut().unwrap());
        let text = document.to_string();
        assert!(text.parse::<DocumentMut>().is_ok(), "{text}");
        text.strip_prefix("a = ").unwrap().trim_end().to_owned()
    }

    fn without(text: &str, gone: &[&str]) -> String {
        edited(text, |list| assert_eq!(pull(list, |item| gone.contains(&item)), gone.len()))
    }

    fn with(text: &str, item: &str) -> String {
        edited(text, |list| push(list, item))
    }

    const LONG: &str = "[ # those
  # the first two
  \"a\", # Anna's
  \"b\", # Bert's

  # the last
  \"c\" # Carl's
  # end
]";

    #[test]
    fn who_goes_takes_its_own_comments_along_and_nobody_elses() {
        assert_eq!(without(LONG, &["b"]), LONG.replace("  \"b\", # Bert's\n", ""));
        assert_eq!(without(LONG, &["a"]), LONG.replace("  # the first two\n  \"a\", # Anna's\n", ""));
        let last = "\n\n  # the last\n  \"c\" # Carl's";
        assert_eq!(without(LONG, &["c"]), LONG.replace(last, "").replace("\"b\",", "\"b\""));
        let parted = LONG.replace("  # the last\n", "  # all\n\n  # the last\n");
        let left = LONG.replace(last, "\n\n  # all\n").replace("\"b\",", "\"b\"");
        assert_eq!(without(&parted, &["c"]), left);
        assert_eq!(without(LONG, &["a", "b", "c"]), "[ # those\n  # end\n]");
    }

    #[test]
    fn a_bracket_behind_the_last_item_gets_into_nobodys_comment() {
        assert_eq!(without("[ # those\n  \"a\" ]", &["a"]), "[ # those\n ]");
        let list = "[\n  \"a\", # Anna's\n  \"b\" ]";
        assert_eq!(without(list, &["b"]), "[\n  \"a\" # Anna's\n ]");
        assert_eq!(without(list, &["a"]), "[\n  \"b\" ]");
        assert_eq!(with(list, "c"), "[\n  \"a\", # Anna's\n  \"b\",\n  \"c\" ]");
    }

    #[test]
    fn a_comment_that_an_empty_line_parts_from_who_goes_stays_above_the_next() {
        let list = "[\n  \"a\",\n\n  # both\n\n  # Bert\n  \"b\", # Bert's\n  \"c\",\n]";
        assert_eq!(without(list, &["b"]), "[\n  \"a\",\n\n  # both\n\n  \"c\",\n]");
    }

    #[test]
    fn who_comes_moves_nobodys_comment() {
        let more = LONG.replace("\"c\" # Carl's\n", "\"c\", # Carl's\n  \"d\"\n");
        assert_eq!(with(LONG, "d"), more);
        assert_eq!(with("[\n  \"a\", # A\n]", "b"), "[\n  \"a\", # A\n  \"b\",\n]");
        assert_eq!(with("[\n  # none yet\n]", "a"), "[\n  \"a\"\n  # none yet\n]");
    }

    #[test]
    fn short_lists_stay_short() {
        assert_eq!(with("[]", "a"), "[\"a\"]");
        assert_eq!(with("[\"a\"]", "b"), "[\"a\", \"b\"]");
        assert_eq!(with("[ \"a\" ]", "b"), "[ \"a\", \"b\" ]");
        assert_eq!(without("[\"a\", \"b\"]", &["a"]), "[\"b\"]");
        assert_eq!(without("[\"a\", \"b\"]", &["b"]), "[\"a\"]");
        assert_eq!(without("[ \"a\", \"b\" ]", &["a", "b"]), "[ ]");
        // Two in a line of their own.
        let two = "[\n  \"a\", \"b\", # both\n  \"c\",\n]";
        assert_eq!(without(two, &["a"]), "[\n  \"b\", # both\n  \"c\",\n]");
        assert_eq!(without(two, &["a", "b"]), "[\n  \"c\",\n]");
    }

    #[test]
    fn an_item_that_comes_and_goes_leaves_the_list_as_it_was() {
        for list in [LONG, "[]", "[\"x\"]", "[\n  \"x\", # y\n]", "[\n\t\"x\",\n\t\"y\"\n]", "[ \"x\", ]"] {
            let text = if list == LONG { LONG.replace("\"c\" #", "\"c\", #") } else { list.to_owned() };
            let back = edited(&text, |list| {
                push(list, "new");
                assert_eq!(pull(list, |item| item == "new"), 1);
            });
            assert_eq!(back, text);
        }
    }
}
