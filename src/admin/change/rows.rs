//! Editing TOML so that a person would have done the same: values keep the comments beside them, rows go
//! where their kind stands, and what is removed takes its own comment along and nobody else's.

use super::{Refused, lists};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, RawString, Table, Value, value};

/// The rows `[[key]]` of `document`; none if there are none yet.
///
/// # Errors
/// They are written in another form, which is not edited.
pub fn rows<'d>(document: &'d mut DocumentMut, key: &str) -> Result<&'d mut ArrayOfTables, Refused> {
    let item = document.entry(key).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    match item.as_array_of_tables_mut() {
        Some(rows) => Ok(rows),
        None => Err(Refused::failed(format!("{key} is not written as [[{key}]]: edit it by hand"))),
    }
}

/// The table `[key]` of `document`, made if it is not there.
///
/// # Errors
/// It is something else.
pub fn table<'d>(document: &'d mut DocumentMut, key: &str) -> Result<&'d mut Table, Refused> {
    let item = document.entry(key).or_insert_with(|| Item::Table(Table::new()));
    match item.as_table_mut() {
        Some(table) => Ok(table),
        None => Err(Refused::failed(format!("{key} is not written as [{key}]: edit it by hand"))),
    }
}

/// The text under `key`.
pub fn text<'t>(table: &'t Table, key: &str) -> Option<&'t str> {
    table.get(key)?.as_str()
}

/// Sets `key` to `new`; a comment behind the old value stays.
pub fn set(table: &mut Table, key: &str, new: impl Into<Value>) {
    let mut new = new.into();
    if let Some(old) = table.get_mut(key).and_then(Item::as_value_mut) {
        *new.decor_mut() = old.decor().clone();
        *old = new;
    } else {
        table.insert(key, value(new));
    }
}

/// Sets `key` in the table `name` of `document`, which may be written in any way, and is made if it is not there.
///
/// # Errors
/// It is no table.
pub fn set_in(
    document: &mut DocumentMut,
    name: &str,
    key: &str,
    new: impl Into<Value>,
) -> Result<(), Refused> {
    let item = document.entry(name).or_insert_with(|| Item::Table(Table::new()));
    let table = item.as_table_like_mut();
    let table = table.ok_or_else(|| Refused::failed(format!("{name} is no table: edit it by hand")))?;
    let mut new = new.into();
    if let Some(old) = table.get_mut(key).and_then(Item::as_value_mut) {
        *new.decor_mut() = old.decor().clone();
        *old = new;
    } else {
        table.insert(key, value(new));
    }
    Ok(())
}

/// The list of texts under `key`.
pub fn list(table: &Table, key: &str) -> Vec<String> {
    let list = table.get(key).and_then(Item::as_array);
    list.into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// Adds `item` to the list under `key`, made if it is not there.
///
/// # Errors
/// It is something else than a list.
pub fn push(table: &mut Table, key: &str, item: &str) -> Result<(), Refused> {
    let list = table.entry(key).or_insert_with(|| value(Array::new()));
    let list = list.as_array_mut().ok_or_else(|| Refused::failed(format!("\"{key}\" is no list")))?;
    lists::push(list, item);
    Ok(())
}

/// Takes the items that `goes` is true of out of the list under `key`; how many they were.
pub fn pull(table: &mut Table, key: &str, goes: impl Fn(&str) -> bool) -> usize {
    let Some(list) = table.get_mut(key).and_then(Item::as_array_mut) else { return 0 };
    lists::pull(list, goes)
}

/// Removes every row `[[key]]` that `goes` is true of; how many they were. Comments above a removed row that an
/// empty line parts from it stay.
///
/// # Errors
/// As [`rows`].
pub fn remove(
    document: &mut DocumentMut,
    key: &str,
    goes: impl Fn(&Table) -> bool,
) -> Result<usize, Refused> {
    if !document.contains_key(key) {
        return Ok(0);
    }
    let mut removed = 0;
    let mut at = 0;
    while let Some(row) = rows(document, key)?.get(at) {
        if !goes(row) {
            at += 1;
            continue;
        }
        let position = row.position().unwrap_or(isize::MAX);
        let above = row.decor().prefix().and_then(RawString::as_str).unwrap_or_default();
        let kept = above.get(..last_empty_line(above)).unwrap_or_default().to_owned();
        rows(document, key)?.remove(at);
        removed += 1;
        if !kept.trim().is_empty() {
            leave(document, position, &kept);
        }
    }
    if rows(document, key)?.is_empty() {
        document.remove(key);
    }
    Ok(removed)
}

/// Where the last empty line of `text` begins, whichever ends its lines have; 0 if there is none.
pub(super) fn last_empty_line(text: &str) -> usize {
    let ends = ["\n\n", "\n\r\n"].iter().filter_map(|end| text.rfind(end));
    ends.max().map_or(0, |end| end + 1)
}

/// Puts the comment `kept` above the table that follows `position`, or at the end.
fn leave(document: &mut DocumentMut, position: isize, kept: &str) {
    let tables = document.iter_mut().flat_map(|(_, item)| -> Vec<&mut Table> {
        match item {
            Item::Table(table) => vec![table],
            Item::ArrayOfTables(rows) => rows.iter_mut().collect(),
            Item::None | Item::Value(_) => Vec::new(),
        }
    });
    let after = tables.filter(|table| table.position().is_some_and(|other| other > position));
    match after.min_by_key(|table| table.position()) {
        Some(next) => {
            let above = next.decor().prefix().and_then(RawString::as_str).unwrap_or_default();
            let joined = format!("{kept}{above}");
            next.decor_mut().set_prefix(joined);
        }
        None => {
            let above = document.trailing().as_str().unwrap_or_default();
            let joined = format!("{kept}{above}");
            document.set_trailing(joined);
        }
    }
}

/// A new row with an empty line above it.
pub fn row() -> Table {
    let mut table = Table::new();
    table.decor_mut().set_prefix("\n");
    table
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn comments_stay_with_what_they_belong_to() {
        let mut document: DocumentMut = "\
# The file.

# All of them.
# They are two.

# The first.
[[policy]]
name = \"A\" # a
xmpp = true # yes

# The second.
[[policy]]
name = \"B\"

# The end.
"
        .parse()
        .unwrap();
        let first = rows(&mut document, "policy").unwrap().get_mut(0).unwrap();
        set(first, "xmpp", false);
        set(first, "federation", true);
        assert!(document.to_string().contains("xmpp = false # yes\nfederation = true\n"), "{document}");
        let mut third = row();
        set(&mut third, "name", "C");
        rows(&mut document, "policy").unwrap().push(third);
        assert_eq!(remove(&mut document, "policy", |row| text(row, "name") == Some("A")).unwrap(), 1);
        assert_eq!(
            document.to_string(),
            "\
# The file.

# All of them.
# They are two.

# The second.
[[policy]]
name = \"B\"

[[policy]]
name = \"C\"

# The end.
"
        );
        assert_eq!(remove(&mut document, "policy", |_| true).unwrap(), 2);
        assert!(document.to_string().starts_with("# The file.\n\n# All of them.\n"), "{document}");
        assert_eq!(remove(&mut document, "policy", |_| true).unwrap(), 0);
    }

    #[test]
    fn a_comment_of_its_own_stays_where_lines_end_as_on_windows() {
        let text = "a = 1\r\n\r\n# Of all.\r\n\r\n# Of this one.\r\n[[b]]\r\nc = 1\r\n\r\n[[d]]\r\n";
        let mut document: DocumentMut = text.parse().unwrap();
        assert_eq!(remove(&mut document, "b", |_| true).unwrap(), 1);
        assert_eq!(document.to_string().replace('\r', ""), "a = 1\n\n# Of all.\n\n[[d]]\n");
    }

    #[test]
    fn lists_take_items_and_give_them_back() {
        let mut document: DocumentMut = "[[a]]\nb = [\n  \"x\", # one\n]\n".parse().unwrap();
        let table = rows(&mut document, "a").unwrap().get_mut(0).unwrap();
        push(table, "b", "y").unwrap();
        push(table, "c", "z").unwrap();
        assert_eq!(
            (list(table, "b"), pull(table, "b", |item| item == "x")),
            (vec!["x".into(), "y".into()], 1)
        );
        assert_eq!((list(table, "b"), list(table, "c")), (vec!["y".to_owned()], vec!["z".to_owned()]));
        assert!(push(table, "b", "\n").is_ok() && rows(&mut document, "a").unwrap().len() == 1);
    }
}
