//! The store under good and bad conditions. A plain map, [`Model`], says what must be there.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod crash;
mod disk;
mod files;
mod groups;
mod torn;

use super::*;
use crate::addr::Jid;
use crate::now::Wall;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

/// What the records are, by their own description.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    records: BTreeMap<Key, Record>,
    watermark: Option<u64>,
}

impl Model {
    fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change.clone() {
                Change::Put(Record::Watermark(value)) => self.watermark = self.watermark.max(Some(value)),
                Change::Put(record) => {
                    let record = bare(record);
                    self.records.insert(key(&record), record);
                }
                Change::Remove(wanted) => {
                    self.records.remove(&bare_key(wanted));
                }
                Change::Touch { direction, watcher, presentity, used } => {
                    let wanted = bare_key(Key::Authorization { direction, watcher, presentity });
                    if let Some(Record::Authorization(found)) = self.records.get_mut(&wanted) {
                        found.used = found.used.max(used);
                    }
                }
            }
        }
    }

    fn of(store: &mut dyn Store) -> Result<Self, StoreError> {
        let mut model = Self::default();
        store.load(&mut |record| match record {
            Record::Watermark(value) => assert_eq!(model.watermark.replace(value), None),
            // Twice the same: the end of the loading tells.
            record => drop(model.records.insert(key(&record), record)),
        })?;
        Ok(model)
    }
}

fn bare(record: Record) -> Record {
    match record {
        Record::Authorization(it) => Record::Authorization(Authorization {
            watcher: it.watcher.to_bare(),
            presentity: it.presentity.to_bare(),
            ..it
        }),
        Record::Contact(it) => {
            Record::Contact(Contact { user: it.user.to_bare(), contact: it.contact.to_bare(), ..it })
        }
        Record::Pending(it) => {
            Record::Pending(Pending { user: it.user.to_bare(), contact: it.contact.to_bare(), ..it })
        }
        Record::Watermark(value) => Record::Watermark(value),
    }
}

fn key(record: &Record) -> Key {
    match record {
        Record::Authorization(it) => it.key(),
        Record::Contact(it) => it.key(),
        Record::Pending(it) => it.key(),
        Record::Watermark(_) => panic!("a watermark has no key"),
    }
}

fn bare_key(key: Key) -> Key {
    match key {
        Key::Authorization { direction, watcher, presentity } => {
            Key::Authorization { direction, watcher: watcher.to_bare(), presentity: presentity.to_bare() }
        }
        Key::Contact { user, contact } => Key::Contact { user: user.to_bare(), contact: contact.to_bare() },
        Key::Pending { user, contact } => Key::Pending { user: user.to_bare(), contact: contact.to_bare() },
    }
}

fn open(directory: &Path) -> Sqlite {
    Sqlite::open(directory).unwrap_or_else(|error| panic!("{error}"))
}

/// Numbers that look random and repeat.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

/// The changes of submission `n`, each time the same; the watermark tells how far it went.
fn submission(n: u64) -> Vec<Change> {
    let user = |n: u64| Jid::parse(&format!("user{}@contoso.example", n % 23)).unwrap();
    let other = |n: u64| Jid::parse(&format!("μ{}@fabrikam.example", n % 17)).unwrap();
    let at = Wall::from_millis(1_795_392_000_000 + n);
    let direction = Watching::ALL[usize::from(n.is_multiple_of(3))];
    let mut changes = match n % 8 {
        0..=2 => {
            let state = Consent::ALL[n as usize % Consent::ALL.len()];
            let (watcher, presentity) = (user(n), other(n));
            vec![Authorization { direction, watcher, presentity, state, created: at, used: at }.into()]
        }
        3 => vec![Change::Touch { direction, watcher: user(n - 3), presentity: other(n - 3), used: at }],
        4 => vec![Contact { user: user(n), contact: other(n), added: at }.into()],
        5 => vec![
            Change::Remove(Key::Authorization { direction, watcher: user(n / 2), presentity: other(n / 2) }),
            Pending { user: user(n), contact: other(n), since: at }.into(),
        ],
        6 => vec![
            Change::Remove(Key::Pending { user: user(n / 3), contact: other(n / 3) }),
            Contact { user: user(n / 3), contact: other(n / 3), added: at }.into(),
        ],
        _ => vec![Change::Remove(Key::Contact { user: user(n / 2), contact: other(n / 2) })],
    };
    changes.push(Change::Put(Record::Watermark(n)));
    changes
}

/// What is there after submissions 1 to `last`.
fn after(last: u64) -> Model {
    let mut model = Model::default();
    (1..=last).for_each(|n| model.apply(&submission(n)));
    model
}

fn jids() -> impl Strategy<Value = Jid> {
    let long = format!("{}@{}.example", "a".repeat(1023), "b".repeat(63));
    prop_oneof![
        6 => "[ab]@[xy]\\.example",
        2 => "[ab]@x\\.example/[ -~&&[^ ]]{1,9}",
        1 => "[a-zà-öα-ω]{1,9}@(contoso\\.example|\\[2001:db8::1\\]|192\\.0\\.2\\.4|bücher\\.example)",
        1 => Just("contoso.example".to_owned()),
        1 => Just(long),
    ]
    .prop_filter_map("no JID", |text| Jid::parse(&text).ok())
}

fn walls() -> impl Strategy<Value = Wall> {
    prop_oneof![0..5_u64, any::<u64>()].prop_map(Wall::from_millis)
}

fn changes() -> impl Strategy<Value = Change> {
    let direction = proptest::sample::select(&Watching::ALL[..]);
    let state = proptest::sample::select(&Consent::ALL[..]);
    (0..10, direction, jids(), jids(), state, walls(), walls(), any::<u64>()).prop_map(
        |(kind, direction, one, two, state, then, used, value)| match kind {
            0..=2 => {
                Authorization { direction, watcher: one, presentity: two, state, created: then, used }.into()
            }
            3 => Contact { user: one, contact: two, added: then }.into(),
            4 => Pending { user: one, contact: two, since: then }.into(),
            5 => Change::Put(Record::Watermark(value)),
            6 => Change::Remove(Key::Authorization { direction, watcher: one, presentity: two }),
            7 => Change::Remove(Key::Contact { user: one, contact: two }),
            8 => Change::Remove(Key::Pending { user: one, contact: two }),
            _ => Change::Touch { direction, watcher: one, presentity: two, used },
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_record_round_trips(batches in proptest::collection::vec(
        (proptest::collection::vec(changes(), 0..12), 0..4_u8), 1..8,
    )) {
        let directory = tempfile::tempdir().unwrap();
        let (mut store, mut model) = (open(directory.path()), Model::default());
        for (changes, then) in batches {
            store.apply(&changes).unwrap();
            model.apply(&changes);
            prop_assert_eq!(&Model::of(&mut store).unwrap(), &model);
            match then {
                0 => { Box::new(store).close().unwrap(); store = open(directory.path()); }
                1 => { drop(store); store = open(directory.path()); }
                2 => store.rest(),
                _ => {}
            }
        }
        drop(store);
        prop_assert_eq!(Model::of(&mut open(directory.path())).unwrap(), model);
    }
}

#[test]
fn a_new_store_is_empty_and_says_that_it_is_new() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    assert!(store.is_new());
    assert_eq!(Model::of(&mut store).unwrap(), Model::default());
    assert_eq!(store.name(), format!("SQLite, {}", store.path().display()));
    drop(store);
    assert!(!open(directory.path()).is_new());
}

#[test]
fn the_watermark_never_falls_and_what_was_used_never_gets_older() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let (watcher, presentity) = (Jid::parse("a@x").unwrap(), Jid::parse("b@y").unwrap());
    let record = Authorization {
        direction: Watching::SipWatchesXmpp,
        watcher: watcher.clone(),
        presentity: presentity.clone(),
        state: Consent::Granted,
        created: Wall::from_millis(1),
        used: Wall::from_millis(50),
    };
    let touch = |used| Change::Touch {
        direction: Watching::SipWatchesXmpp,
        watcher: watcher.clone(),
        presentity: presentity.clone(),
        used: Wall::from_millis(used),
    };
    store.apply(&[touch(9), record.clone().into(), touch(40)]).unwrap();
    store.apply(&[Change::Put(Record::Watermark(u64::MAX)), Change::Put(Record::Watermark(7))]).unwrap();
    let loaded = Model::of(&mut store).unwrap();
    assert_eq!(loaded.watermark, Some(u64::MAX));
    assert_eq!(loaded.records.values().collect::<Vec<_>>(), [&Record::Authorization(record.clone())]);
    store.apply(&[touch(60)]).unwrap();
    let used = Authorization { used: Wall::from_millis(60), ..record };
    assert_eq!(Model::of(&mut store).unwrap().records[&used.key()], Record::Authorization(used));
}
