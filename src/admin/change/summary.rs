//! What changed in a file, in a few words for the history: rows that came and went, settings from what to what.

use serde::{Deserialize, Serialize};
use similar::{ChangeTag, TextDiff};
use std::collections::HashMap;
use std::path::Path;
use toml_edit::{Array, DocumentMut, Item, Table, Value};

/// Facts that are kept of one change.
const MOST: usize = 20;
/// Characters of one fact.
const LONGEST: usize = 160;
/// Lines that are compared one by one.
const MAX_LINES: usize = 2000;
/// Keys that tell the rows of a list apart, the first that a row has.
const NAMES: [&str; 7] = ["id", "name", "domain", "address", "user", "addr", "scope"];

/// What one change made of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Each in a few words; at most so many, and each of bounded length.
    pub changed: Vec<String>,
    /// How many more there were.
    pub more: usize,
}

impl Facts {
    /// Adds how the file at `path` got from `old` to `new`.
    pub fn add(&mut self, path: &Path, old: &str, new: &str) {
        let mut all = Vec::new();
        let is_toml = path.extension().is_some_and(|extension| extension == "toml");
        let parsed = |text: &str| is_toml.then(|| text.parse::<DocumentMut>().ok()).flatten();
        match (parsed(old), parsed(new)) {
            (Some(before), Some(after)) => {
                tables("", before.as_table(), after.as_table(), &mut all);
                if all.is_empty() && old != new {
                    all.push("comments or order alone".to_owned());
                }
            }
            _ => lines(old, new, &mut all),
        }
        let left = MOST.saturating_sub(self.changed.len());
        self.more += all.len().saturating_sub(left);
        self.changed.extend(all.iter().take(left).map(|fact| cut(fact, LONGEST)));
    }
}

/// `text`, or as much of it as `longest` characters are, the last of them an ellipsis.
pub fn cut(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars().take(longest.saturating_sub(1)).chain(['…']).collect()
}

/// The facts of a table that is called `name`; `name` is empty for the whole file.
fn tables(name: &str, old: &Table, new: &Table, all: &mut Vec<String>) {
    let keys = old.iter().chain(new.iter().filter(|(key, _)| !old.contains_key(key))).map(|(key, _)| key);
    for key in keys {
        let called = match name {
            "" => key.to_owned(),
            _ if name.contains(' ') => format!("{name}: {key}"),
            _ => format!("{name}.{key}"),
        };
        let none = Table::new();
        match (old.get(key), new.get(key)) {
            (Some(Item::ArrayOfTables(_)), _) | (_, Some(Item::ArrayOfTables(_))) => {
                lists(&called, &rows(old.get(key)), &rows(new.get(key)), all);
            }
            (Some(Item::Table(old)), new) => {
                tables(&called, old, new.and_then(Item::as_table).unwrap_or(&none), all);
            }
            (old, Some(Item::Table(new))) => {
                tables(&called, old.and_then(Item::as_table).unwrap_or(&none), new, all);
            }
            (old, new) => {
                let (old, new) = (old.map(written), new.map(written));
                match (old, new) {
                    (Some(old), Some(new)) if old != new => all.push(format!("{called} {old} → {new}")),
                    (Some(old), None) => all.push(format!("{called} {old} → default")),
                    (None, Some(new)) => all.push(format!("{called} default → {new}")),
                    (Some(_), Some(_)) | (None, None) => {}
                }
            }
        }
    }
}

/// The rows of a list, with their names. Those that are called alike, as tests of one pair may be, are numbered.
fn rows(list: Option<&Item>) -> Vec<(String, &Table)> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let named = |row| {
        let name = identity(row);
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        (if *count == 1 { name } else { format!("{name} ({count})") }, row)
    };
    list.and_then(Item::as_array_of_tables).into_iter().flatten().map(named).collect()
}

/// The facts of a list of rows that is called `name`.
fn lists(name: &str, old: &[(String, &Table)], new: &[(String, &Table)], all: &mut Vec<String>) {
    let before: HashMap<&str, &Table> = old.iter().map(|(identity, row)| (&**identity, *row)).collect();
    let after: HashMap<&str, &Table> = new.iter().map(|(identity, row)| (&**identity, *row)).collect();
    for (identity, row) in old {
        match after.get(&**identity) {
            Some(now) => tables(&format!("{name} {identity}"), row, now, all),
            None => all.push(format!("{name} {identity} removed")),
        }
    }
    for (identity, row) in new.iter().filter(|(identity, _)| !before.contains_key(&**identity)) {
        let settings: Vec<String> = row
            .iter()
            .filter(|(key, item)| !["from", "to"].contains(key) && written(item) != *identity)
            .map(|(key, item)| format!("{key} {}", written(item)))
            .collect();
        let with = if settings.is_empty() { String::new() } else { format!(": {}", settings.join(", ")) };
        all.push(format!("{name} {identity} added{with}"));
    }
}

/// What a row is called among those of its list.
fn identity(row: &Table) -> String {
    // A test is who writes to whom.
    if let (Some(from), Some(to)) = (row.get("from"), row.get("to")) {
        return format!("{} to {}", written(from), written(to));
    }
    // A policy of a site may be called as one of users is.
    if let Some("site") = row.get("scope").and_then(Item::as_str) {
        return format!("site:{}", row.get("site").map(written).unwrap_or_default());
    }
    NAMES.iter().find_map(|key| row.get(key)).map(written).unwrap_or_default()
}

/// A value without its comments and without the quotes of a text.
fn written(item: &Item) -> String {
    match item {
        Item::Value(Value::Array(list)) => format!("[{}]", listed(list)),
        Item::Value(value) => plain(value),
        Item::None | Item::Table(_) | Item::ArrayOfTables(_) => String::new(),
    }
}

fn listed(list: &Array) -> String {
    list.iter().map(plain).collect::<Vec<_>>().join(", ")
}

fn plain(value: &Value) -> String {
    let text = value.as_str().map(str::to_owned);
    text.unwrap_or_else(|| value.clone().decorated("", "").to_string())
}

/// The facts of a file that is lines.
fn lines(old: &str, new: &str, all: &mut Vec<String>) {
    let (before, after) = (old.lines().collect::<Vec<_>>(), new.lines().collect::<Vec<_>>());
    let same = |(a, b): &(&&str, &&str)| a == b;
    // A grants file has a million lines, most of them the same.
    let head = before.iter().zip(&after).take_while(same).count();
    let rest = before.len().min(after.len()) - head;
    let tail = before.iter().rev().zip(after.iter().rev()).take(rest).take_while(same).count();
    let middle = |all: &[&str]| -> String {
        let lines = all.iter().skip(head).take(all.len() - head - tail);
        lines.flat_map(|line| [line, "\n"]).collect()
    };
    let (gone, come) = (before.len() - head - tail, after.len() - head - tail);
    if gone + come > MAX_LINES {
        all.push(format!("{gone} lines out, {come} lines in"));
        return;
    }
    let (old, new) = (middle(&before), middle(&after));
    for change in TextDiff::from_lines(&old, &new).iter_all_changes() {
        let line = change.value().trim_end();
        match change.tag() {
            ChangeTag::Delete => all.push(format!("{line} removed")),
            ChangeTag::Insert => all.push(format!("{line} added")),
            ChangeTag::Equal => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"
[federation]
enabled = true # the switch
[[policy]]
scope = "user"
name = "Sales"
xmpp = true
[[partner]]
domain = "fabrikam.example"
additional_domains = ["a.example"]
[[partner]]
domain = "gone.example"
[[grant]]
user = "sip:alice@contoso.example"
policy = "Sales"
[[test]]
from = "sip:alice@contoso.example"
to = "xmpp:romeo@fabrikam.example"
expect = "allow"
"#;

    fn facts(path: &str, old: &str, new: &str) -> Vec<String> {
        let mut facts = Facts::default();
        facts.add(Path::new(path), old, new);
        assert_eq!(facts.more, 0);
        facts.changed
    }

    fn policy(change: impl Fn(String) -> String) -> Vec<String> {
        facts("/etc/stoxd/policy.toml", OLD, &change(OLD.to_owned()))
    }

    #[test]
    fn settings_are_named_with_what_they_were_and_are() {
        assert_eq!(
            policy(|text| text.replace("enabled = true", "enabled = false")),
            ["federation.enabled true → false"]
        );
        assert_eq!(
            policy(|text| text.replace("xmpp = true", "federation = true")),
            ["policy Sales: xmpp true → default", "policy Sales: federation default → true"]
        );
        assert_eq!(
            policy(|text| text.replace("[\"a.example\"]", "[\"a.example\", \"b.example\"]")),
            ["partner fabrikam.example: additional_domains [a.example] → [a.example, b.example]"]
        );
        assert_eq!(
            policy(|text| text.replace("\"allow\"", "\"deny\"")),
            ["test sip:alice@contoso.example to xmpp:romeo@fabrikam.example: expect allow → deny"]
        );
        assert_eq!(policy(|text| format!("# New.\n{text}")), ["comments or order alone"]);
        let daemon = |limit| {
            format!("[xmpp]\nconnection_limit = {limit}\n[[sip.peer]]\nname = \"edge\"\nim = \"auto\"\n")
        };
        let facts = |old: &str, new: &str| facts("stoxd.toml", old, new);
        assert_eq!(facts(&daemon(1), &daemon(2)), ["xmpp.connection_limit 1 → 2"]);
        assert_eq!(facts(&daemon(1), &daemon(1).replace("auto", "msrp")), ["sip.peer edge: im auto → msrp"]);
        assert_eq!(
            facts("", &daemon(1)),
            ["xmpp.connection_limit default → 1", "sip.peer edge added: im auto"]
        );
    }

    #[test]
    fn rows_that_came_and_went_are_named() {
        assert_eq!(
            policy(|text| text
                .replace("domain = \"gone.example\"", "domain = \"new.example\"\ntls = \"optional\"")),
            ["partner gone.example removed", "partner new.example added: tls optional"]
        );
        assert_eq!(
            policy(|text| text + "[[policy]]\nscope = \"site\"\nsite = \"Sales\"\nxmpp = true\n"),
            ["policy site:Sales added: scope site, site Sales, xmpp true"]
        );
        assert_eq!(
            policy(|text| text + "[[blocked]]\naddress = \"m@fabrikam.example\"\n"),
            ["blocked m@fabrikam.example added"]
        );
    }

    #[test]
    fn rows_that_are_called_alike_are_not_taken_for_each_other() {
        let test =
            |more: &str| format!("[[test]]\nfrom = \"sip:a@a.example\"\nto = \"xmpp:b@b.example\"\n{more}\n");
        let two = test("expect = \"deny\"") + &test("added = true\nexpect = \"allow\"");
        let facts = |old: &str, new: &str| facts("policy.toml", old, new);
        let called = "test sip:a@a.example to xmpp:b@b.example";
        assert_eq!(facts(&two, &format!("x = 1\n{two}")), ["x default → 1"]);
        assert_eq!(
            facts(&test("expect = \"deny\""), &two),
            [format!("{called} (2) added: added true, expect allow")]
        );
        assert_eq!(facts(&two, &test("expect = \"deny\"")), [format!("{called} (2) removed")]);
        assert_eq!(facts("", "[[a]]\nb = 1\n[[a]]\nb = 2\n").len(), 2);
    }

    #[test]
    fn a_change_of_any_size_is_few_words() {
        let grants =
            |count| (0..count).map(|n| format!("sip:u{n}@contoso.example,Sales\n")).collect::<String>();
        let some = facts("grants.csv", &grants(1_000_000), &grants(1_000_002));
        assert_eq!(some, [1_000_000, 1_000_001].map(|n| format!("sip:u{n}@contoso.example,Sales added")));
        assert_eq!(facts("grants.csv", &grants(100_000), ""), ["100000 lines out, 0 lines in"]);
        let long = facts("grants.csv", "", &"x".repeat(1 << 20));
        assert_eq!((long.len(), long.first().map(|fact| fact.chars().count())), (1, Some(LONGEST)));
        // What is no TOML any more is told by its lines.
        assert_eq!(facts("x.toml", "a = 1\n", "a = \n"), ["a = 1 removed", "a = added"]);
        let mut many = Facts::default();
        for _ in 0..2 {
            many.add(Path::new("grants.csv"), "", &grants(15));
        }
        assert_eq!((many.changed.len(), many.more), (MOST, 10));
    }
}
