//! Files that broke: cut, flipped, overwritten. All the records, or a refusal; nothing in between.

use super::*;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

type Files = BTreeMap<&'static str, Vec<u8>>;

/// What is on disk after `last` submissions, of which the log holds those after `closed`.
fn snapshot(closed: u64, last: u64) -> Files {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Box::new(open(directory.path()));
    (1..=closed).for_each(|n| store.apply(&submission(n)).unwrap());
    store.close().unwrap();
    let mut store = open(directory.path());
    (closed + 1..=last).for_each(|n| store.apply(&submission(n)).unwrap());
    drop(store);
    ["stoxd.db", "stoxd.db-wal", "stoxd.lock"]
        .into_iter()
        .filter_map(|name| Some((name, fs::read(directory.path().join(name)).ok()?)))
        .collect()
}

fn lay_out(files: &Files) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, octets) in files {
        let path = directory.path().join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        file.unwrap().write_all(octets).unwrap();
    }
    directory
}

/// Damages octets: a cut, a bit, a sector of zeros or noise, a page that belongs elsewhere.
fn damage(octets: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(octets.len());
    match dice.below(6) {
        0 => octets.truncate(at),
        1 | 2 => octets[at] ^= 1 << dice.below(8),
        3 => octets.iter_mut().skip(at / 512 * 512).take(512).for_each(|octet| *octet = 0),
        4 => octets.iter_mut().skip(at).take(16).for_each(|octet| *octet = dice.below(256) as u8),
        _ => {
            let from = dice.below(octets.len()) / 4096 * 4096;
            let page: Vec<u8> = octets.iter().skip(from).take(4096).copied().collect();
            octets.iter_mut().skip(at / 4096 * 4096).zip(page).for_each(|(octet, new)| *octet = new);
        }
    }
}

fn open_and_load(directory: &Path) -> Result<Model, StoreError> {
    Model::of(&mut Sqlite::open(directory)?)
}

#[test]
fn threat_176_a_damaged_file_is_read_in_full_or_refused_and_left_as_it_is() {
    let mut dice = Dice(0xfeed);
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    for (closed, last) in [(400, 400), (300, 420), (0, 200)] {
        let (whole, expected) = (snapshot(closed, last), after(last));
        assert_eq!(open_and_load(lay_out(&whole).path()).unwrap(), expected);
        for round in 0..200 {
            let mut files = whole.clone();
            let damaged = *[&"stoxd.db", &"stoxd.db-wal"]
                .into_iter()
                .filter(|name| files.get(**name).is_some_and(|octets| !octets.is_empty()))
                .nth(if closed == last { 0 } else { dice.below(2) })
                .unwrap();
            damage(files.get_mut(damaged).unwrap(), &mut dice);
            let directory = lay_out(&files);
            let outcome = match open_and_load(directory.path()) {
                Ok(model) => {
                    assert!(model == expected, "round {round} of {closed}: {damaged} was misread");
                    "read in full"
                }
                Err(StoreError::Damaged { .. }) => "damaged",
                Err(StoreError::Foreign { .. }) => "foreign",
                Err(StoreError::Newer { .. }) => "newer",
                Err(StoreError::Behind { .. }) => "behind",
                Err(error) => panic!("round {round} of {closed}: {damaged}: {error}"),
            };
            *seen.entry(outcome).or_default() += 1;
            for name in ["stoxd.db", "stoxd.db-wal"] {
                let now = fs::read(directory.path().join(name)).unwrap_or_default();
                let before = files.get(name).cloned().unwrap_or_default();
                assert!(now == before, "round {round} of {closed}: {name} was changed: {outcome}");
            }
        }
    }
    println!("{seen:?}");
    assert!(seen["damaged"] > 50 && seen["behind"] > 50 && seen["read in full"] > 10, "{seen:?}");
}

#[test]
fn threat_176_a_torn_log_ends_at_its_last_good_commit() {
    let (mut files, mut dice) = (snapshot(100, 160), Dice(7));
    // Nothing remembers what was acknowledged, as after a loss of power.
    files.remove("stoxd.lock");
    let states: Vec<Model> = (100..=160).map(after).collect();
    let mut ends = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let mut files = files.clone();
        damage(files.get_mut("stoxd.db-wal").unwrap(), &mut dice);
        let found = open_and_load(lay_out(&files).path()).unwrap();
        let end = states.iter().position(|state| *state == found);
        ends.insert(end.unwrap_or_else(|| panic!("a state that never was: {:?}", found.watermark)));
    }
    assert!(ends.len() > 20, "{ends:?}");
}

#[test]
fn a_lock_file_that_is_damaged_changes_no_record() {
    let (whole, mut dice) = (snapshot(50, 60), Dice(3));
    for _ in 0..60 {
        let mut files = whole.clone();
        damage(files.get_mut("stoxd.lock").unwrap(), &mut dice);
        match open_and_load(lay_out(&files).path()) {
            Ok(model) => assert_eq!(model, after(60)),
            Err(error) => assert!(matches!(error, StoreError::Behind { .. }), "{error}"),
        }
    }
}
