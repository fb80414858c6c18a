//! Which files the store takes for its own, and which it leaves alone.

use super::super::sqlite::{STEPS, open_with};
use super::*;
use rusqlite::Connection;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

/// A directory with a store of `last` submissions, closed.
fn used(last: u64) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Box::new(open(directory.path()));
    (1..=last).for_each(|n| store.apply(&submission(n)).unwrap());
    let path = store.path().to_owned();
    store.close().unwrap();
    (directory, path)
}

/// The error, after the file was found unchanged and the text complete.
#[track_caller]
fn refused(directory: &Path, says: &[&str]) -> StoreError {
    let path = directory.join("stoxd.db");
    let before = fs::read(&path).ok();
    let error = Sqlite::open(directory).expect_err("opened");
    assert_eq!(fs::read(&path).ok(), before, "{error}");
    let text = error.to_string();
    for word in says.iter().chain([&directory.to_str().unwrap()]) {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
    error
}

#[test]
fn files_are_ours_alone() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("state/of/stoxd");
    let mut store = open(&directory);
    store.apply(&submission(1)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&directory), 0o700);
    let mut names: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let expected =
        ["stoxd.db", "stoxd.db-shm", "stoxd.db-wal", "stoxd.lock"].map(|name| directory.join(name));
    assert_eq!(names, expected.map(|path| path.canonicalize().unwrap()));
    assert!(names.iter().all(|path| mode(path) == 0o600));
    Box::new(store).close().unwrap();
    let left: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[test]
fn threat_174_files_open_to_others_are_refused() {
    let (directory, path) = used(5);
    for name in ["stoxd.db", "stoxd.lock"] {
        let file = directory.path().join(name);
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let error = refused(directory.path(), &[name, "0640", "chmod 600"]);
        assert!(matches!(error, StoreError::Unsafe { fault: Fault::Open(0o640), .. }));
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    }
    fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
    let error = refused(directory.path(), &["0777", "chmod 700"]);
    assert!(matches!(error, StoreError::Unsafe { fault: Fault::Writable(0o777), .. }));
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    assert_eq!(Model::of(&mut Sqlite::open(path.parent().unwrap()).unwrap()).unwrap(), after(5));
}

#[test]
fn links_to_files_are_refused_and_a_link_to_the_directory_is_followed() {
    let (directory, _) = used(5);
    let parent = tempfile::tempdir().unwrap();
    let link = parent.path().join("state");
    symlink(directory.path(), &link).unwrap();
    assert_eq!(Model::of(&mut open(&link)).unwrap(), after(5), "as DynamicUser= has it");
    for name in ["stoxd.db", "stoxd.db-wal", "stoxd.db-shm", "stoxd.lock"] {
        let (victim, _) = used(5);
        let file = victim.path().join(name);
        let _ = fs::remove_file(&file);
        symlink(directory.path().join("stoxd.db"), &file).unwrap();
        let error = refused(victim.path(), &[name, "symbolic link"]);
        assert!(matches!(error, StoreError::Unsafe { fault: Fault::Link, .. }));
    }
    let (victim, path) = used(5);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = Sqlite::open(victim.path()).unwrap_err();
    assert!(matches!(error, StoreError::Unsafe { fault: Fault::NoFile, .. }), "{error}");
}

#[test]
fn a_file_of_something_else_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stoxd.db");
    let write = |octets: &[u8]| {
        fs::write(&path, octets).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    };
    write(&b"some notes that somebody keeps here\n".repeat(40));
    assert!(matches!(refused(directory.path(), &["no SQLite file", "move it"]), StoreError::Foreign { .. }));
    write(b"short");
    assert!(matches!(refused(directory.path(), &["no SQLite file"]), StoreError::Foreign { .. }));
    write(b"");
    assert!(matches!(refused(directory.path(), &["empty", "restore"]), StoreError::Damaged { .. }));
    fs::remove_file(&path).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA application_id = 7; CREATE TABLE accounts(name TEXT)").unwrap();
    drop(other);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(refused(directory.path(), &["something else"]), StoreError::Foreign { .. }));
}

#[test]
fn a_file_with_our_mark_and_other_tables_is_refused() {
    for statement in ["DROP TABLE pending", "ALTER TABLE contacts DROP COLUMN added"] {
        let (directory, path) = used(30);
        let other = Connection::open(&path).unwrap();
        other.execute_batch(statement).unwrap();
        drop(other);
        let error = Model::of(&mut open(directory.path())).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    }
}

#[test]
fn a_row_that_was_changed_by_hand_is_refused() {
    for statement in [
        "UPDATE authorizations SET watcher = 'eve' || watcher WHERE state = 1",
        "UPDATE authorizations SET state = 1 WHERE state = 0",
        "UPDATE contacts SET sum = sum + 1",
        "UPDATE pending SET user = contact, contact = user",
    ] {
        let (directory, path) = used(60);
        let other = Connection::open(&path).unwrap();
        assert!(other.execute(statement, []).unwrap() > 0);
        drop(other);
        let error = Model::of(&mut open(directory.path())).unwrap_err();
        assert!(matches!(&error, StoreError::Damaged { what, .. } if what.contains("sum")), "{error}");
    }
    for statement in ["DELETE FROM contacts", "DELETE FROM counters WHERE name = 'digest'"] {
        let (directory, path) = used(60);
        let other = Connection::open(&path).unwrap();
        assert!(other.execute(statement, []).unwrap() > 0);
        drop(other);
        let error = Model::of(&mut open(directory.path())).unwrap_err();
        assert!(matches!(&error, StoreError::Damaged { what, .. } if what.contains("missing")), "{error}");
    }
    let (directory, path) = used(60);
    let other = Connection::open(&path).unwrap();
    other.execute("UPDATE counters SET value = value + 1", []).unwrap();
    drop(other);
    assert!(matches!(refused(directory.path(), &["counters"]), StoreError::Damaged { .. }));
}

#[test]
fn a_newer_schema_is_refused() {
    let (directory, path) = used(5);
    let other = Connection::open(&path).unwrap();
    other.pragma_update(None, "user_version", 2).unwrap();
    drop(other);
    let error = refused(directory.path(), &["schema 2", "up to 1", "later stoxd"]);
    assert!(matches!(error, StoreError::Newer { found: 2, known: 1, .. }));
    for never in [0, -1] {
        let other = Connection::open(&path).unwrap();
        other.pragma_update(None, "user_version", never).unwrap();
        drop(other);
        assert!(matches!(refused(directory.path(), &["never was"]), StoreError::Damaged { .. }));
    }
}

#[test]
fn an_older_schema_is_brought_up_and_the_present_one_stays() {
    let (directory, path) = used(40);
    let version = || {
        let other = Connection::open(&path).unwrap();
        other.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap()
    };
    let before = fs::read(&path).unwrap();
    Box::new(open(directory.path())).close().unwrap();
    assert_eq!((version(), fs::read(&path).unwrap() == before), (1, true), "1 → 1 writes nothing");
    let wrong: Vec<_> = STEPS.iter().copied().chain(["CREATE TABLE more(x); nonsense"]).collect();
    assert!(open_with(directory.path(), &wrong).is_err());
    assert_eq!(Model::of(&mut open(directory.path())).unwrap(), after(40), "all steps or none");
    let later: Vec<_> = STEPS.iter().copied().chain(["CREATE TABLE more(x INTEGER) STRICT"]).collect();
    let mut store = open_with(directory.path(), &later).unwrap();
    assert_eq!(Model::of(&mut store).unwrap(), after(40));
    drop(store);
    assert_eq!(version(), 2);
    refused(directory.path(), &["schema 2"]);
}

#[test]
fn threat_176_a_file_that_lost_commits_is_refused() {
    let (directory, path) = used(10);
    let copy = fs::read(&path).unwrap();
    let mut store = Box::new(open(directory.path()));
    (11..=20).for_each(|n| store.apply(&submission(n)).unwrap());
    store.close().unwrap();
    fs::write(&path, copy).unwrap();
    let error = refused(directory.path(), &["10 commits", "20 were acknowledged", "stoxd.lock"]);
    let StoreError::Behind { held: 10, acknowledged: 20, lock, .. } = error else { panic!("{error}") };
    fs::remove_file(&lock).unwrap();
    assert_eq!(Model::of(&mut open(directory.path())).unwrap(), after(10), "restored on purpose");

    let (directory, path) = used(10);
    fs::remove_file(&path).unwrap();
    refused(directory.path(), &["holds 0 commits where 10 were acknowledged"]);
    assert!(!path.exists(), "never made anew by itself");
    fs::remove_file(directory.path().join("stoxd.lock")).unwrap();
    assert!(open(directory.path()).is_new());
}

#[test]
fn a_log_without_its_file_is_not_thrown_away() {
    let (directory, path) = used(10);
    let mut store = open(directory.path());
    store.apply(&submission(11)).unwrap();
    drop(store);
    fs::remove_file(&path).unwrap();
    fs::remove_file(directory.path().join("stoxd.lock")).unwrap();
    let log = directory.path().join("stoxd.db-wal");
    assert!(fs::metadata(&log).unwrap().len() > 0);
    refused(directory.path(), &["stoxd.db-wal", "is gone"]);
    assert!(fs::metadata(&log).unwrap().len() > 0);
}

#[test]
fn what_a_broken_start_left_is_cleared_away() {
    let directory = tempfile::tempdir().unwrap();
    for suffix in ["", "-journal", "-wal"] {
        fs::write(directory.path().join(format!("stoxd.db.new{suffix}")), "half").unwrap();
    }
    open(directory.path()).apply(&submission(1)).unwrap();
    assert_eq!(Model::of(&mut open(directory.path())).unwrap(), after(1));
    assert!(!directory.path().join("stoxd.db.new").exists());
}

#[test]
fn an_administrator_may_read_while_we_write() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    store.apply(&submission(1)).unwrap();
    let reader = Connection::open(store.path()).unwrap();
    let count = |reader: &Connection| {
        reader.query_row("SELECT count(*) FROM authorizations", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(count(&reader), 1);
    (2..=60).for_each(|n| store.apply(&submission(n)).unwrap());
    store.rest();
    assert_eq!(count(&reader), 1, "it reads what it began to read");
    drop(reader);
    assert_eq!(Model::of(&mut store).unwrap(), after(60));
}

#[test]
fn what_is_broken_or_gone_is_refused_alike_by_a_start_and_a_check() {
    let made = || {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Box::new(open(directory.path()));
        (1..=60).for_each(|n| store.apply(&submission(n)).unwrap());
        assert!(Sqlite::look(directory.path()).is_ok(), "it is in use");
        store.close().unwrap();
        assert!(Sqlite::look(directory.path()).is_ok());
        directory
    };
    type Harm = fn(&std::path::Path);
    let harms: [(&str, Harm); 4] = [
        ("truncated", |path| {
            let file = fs::OpenOptions::new().write(true).open(path).unwrap();
            file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        }),
        ("overwritten", |path| {
            let mut octets = fs::read(path).unwrap();
            let from = octets.len() / 2;
            octets[from..].fill(0x5a);
            fs::write(path, octets).unwrap();
        }),
        ("a row changed", |path| {
            let connection = Connection::open(path).unwrap();
            connection
                .execute_batch("UPDATE authorizations SET state = 1 - state; PRAGMA wal_checkpoint")
                .unwrap();
            let gone = "PRAGMA journal_mode = DELETE; PRAGMA journal_mode = WAL";
            connection.execute_batch(gone).unwrap();
        }),
        ("gone", |path| fs::remove_file(path).unwrap()),
    ];
    for (name, harm) in harms {
        let directory = made();
        harm(&directory.path().join("stoxd.db"));
        let files = || {
            let mut names: Vec<_> =
                fs::read_dir(directory.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
            names.sort();
            (
                names,
                fs::read(directory.path().join("stoxd.db")).ok(),
                fs::read(directory.path().join("stoxd.lock")).unwrap(),
            )
        };
        let before = files();
        let looked = Sqlite::look(directory.path()).expect_err(name);
        assert!(files() == before, "{name}: a look touches nothing");
        let opened =
            Sqlite::open(directory.path()).and_then(|mut store| store.load(&mut |_| {})).expect_err(name);
        let same = std::mem::discriminant(&looked) == std::mem::discriminant(&opened);
        assert!(same, "{name}: {looked} / {opened}");
    }
}

#[test]
fn what_is_no_directory_is_refused_alike_by_a_start_and_a_check() {
    let parent = tempfile::tempdir().unwrap();
    let (file, link) = (parent.path().join("file"), parent.path().join("link"));
    fs::write(&file, "mine").unwrap();
    symlink(parent.path().join("nowhere"), &link).unwrap();
    for path in [&file, &link, &file.join("below")] {
        for error in [Sqlite::look(path).unwrap_err(), Sqlite::open(path).unwrap_err()] {
            assert!(matches!(error, StoreError::Unsafe { fault: Fault::NoDirectory, .. }), "{error:?}");
            assert!(error.to_string().ends_with("move it away, or set another state_dir"), "{error}");
        }
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert!(Sqlite::look(&parent.path().join("none")).is_ok());
}
