//! Texts to values, a million of them: what a grants file is in memory.
//!
//! The texts lie one behind the other, and the look-up holds places in them. So a table is two pieces of memory,
//! however much it holds: it takes no piece of its own for each text, and to free it takes no time.

use super::hash::TextHasher;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::hash::Hasher;

/// Texts, each with a value.
#[derive(Debug)]
pub(super) struct Texts<V> {
    text: String,
    rows: HashTable<Row<V>>,
}

#[derive(Debug)]
struct Row<V> {
    start: usize,
    length: u32,
    value: V,
}

impl<V: Copy> Row<V> {
    /// The text of the row in `all`.
    fn text<'t>(&self, all: &'t str) -> &'t str {
        let end = self.start.saturating_add(self.length as usize);
        all.get(self.start..end).unwrap_or_default()
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = TextHasher::default();
    hasher.write(text.as_bytes());
    hasher.finish()
}

impl<V: Copy> Texts<V> {
    pub(super) fn new() -> Self {
        Self { text: String::new(), rows: HashTable::new() }
    }

    /// Makes room for `more` texts, so that none of them is moved.
    pub(super) fn reserve(&mut self, more: usize) {
        let Self { text, rows } = self;
        rows.reserve(more, |row| hash(row.text(text)));
    }

    /// Adds `key`, which is the address of a user; refused with the value that it has already.
    pub(super) fn add(&mut self, key: &str, value: V) -> Result<(), V> {
        let Self { text, rows } = self;
        let same = |row: &Row<V>| row.text(text) == key;
        match rows.entry(hash(key), same, |row| hash(row.text(text))) {
            Entry::Occupied(row) => Err(row.get().value),
            Entry::Vacant(place) => {
                // An address has a few thousand octets at most.
                let length = u32::try_from(key.len()).unwrap_or_default();
                place.insert(Row { start: text.len(), length, value });
                text.push_str(key);
                Ok(())
            }
        }
    }

    /// The value of `key`.
    pub(super) fn get(&self, key: &str) -> Option<V> {
        self.rows.find(hash(key), |row| row.text(&self.text) == key).map(|row| row.value)
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// All values, in no order that means anything.
    pub(super) fn values(&self) -> impl Iterator<Item = V> {
        self.rows.iter().map(|row| row.value)
    }

    /// All texts with their values, likewise.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&str, V)> {
        self.rows.iter().map(|row| (row.text(&self.text), row.value))
    }

    /// Gives back what growing left over.
    pub(super) fn shrink(&mut self) {
        let Self { text, rows } = self;
        text.shrink_to_fit();
        rows.shrink_to_fit(|row| hash(row.text(text)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_its_value_and_no_other_text_has_one() {
        let mut texts = Texts::new();
        for n in 0..10_000 {
            assert_eq!(texts.add(&format!("user{n}@contoso.example"), n), Ok(()));
        }
        texts.shrink();
        assert_eq!(texts.add("user7@contoso.example", 0), Err(7));
        assert!((0..10_000).all(|n| texts.get(&format!("user{n}@contoso.example")) == Some(n)));
        // Neither a part of a text nor two texts beside each other are one.
        for other in ["", "user", "user1@contoso.exampleuser2@contoso.example", "user10000@contoso.example"] {
            assert_eq!(texts.get(other), None, "{other}");
        }
        assert_eq!((texts.len(), texts.values().max()), (10_000, Some(9_999)));
    }
}
