//! The file's format: its mark, its version, its tables.

use crate::store::StoreError;
use rusqlite::Connection;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// SQLite's `application_id` of our files: "stox".
pub(super) const APPLICATION: i32 = 0x7374_6f78;

/// The step at index n brings a file of schema n to schema n + 1. Steps that were released never change.
pub(super) const STEPS: &[&str] = &["
    CREATE TABLE authorizations( -- who may watch whom; written by stoxd alone: sum covers the row
        direction  INTEGER NOT NULL, -- 0: XMPP watches SIP, 1: SIP watches XMPP
        watcher    TEXT    NOT NULL, -- bare JID
        presentity TEXT    NOT NULL, -- bare JID
        state      INTEGER NOT NULL, -- 0: asked, 1: granted, 2: granted and told
        created    INTEGER NOT NULL, -- milliseconds since 1970
        used       INTEGER NOT NULL, -- milliseconds since 1970
        sum        INTEGER NOT NULL,
        PRIMARY KEY(direction, watcher, presentity)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE contacts( -- whom our users have added
        user    TEXT    NOT NULL, -- bare JID
        contact TEXT    NOT NULL, -- bare JID
        added   INTEGER NOT NULL, -- milliseconds since 1970
        sum     INTEGER NOT NULL,
        PRIMARY KEY(user, contact)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE pending( -- who waits until our user adds them
        user    TEXT    NOT NULL, -- bare JID
        contact TEXT    NOT NULL, -- bare JID
        since   INTEGER NOT NULL, -- milliseconds since 1970
        sum     INTEGER NOT NULL,
        PRIMARY KEY(user, contact)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE counters( -- commits: transactions so far; watermark: of identifiers;
                           -- digest: the sums of all rows of the other tables, added up
        name  TEXT    NOT NULL PRIMARY KEY,
        value INTEGER NOT NULL,
        sum   INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
"];

/// Octets of SQLite's header (<https://www.sqlite.org/fileformat.html#the_database_header>).
const HEADER: usize = 100;

/// Reads the header without SQLite, which would write into a file that is not ours if it finds a journal
/// beside it. `Ok(false)`: there is no file.
pub(super) fn ours(path: &Path, known: usize) -> Result<bool, StoreError> {
    let header = match read_header(path) {
        Ok(header) => header,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(super::place::io_error(path, "read the file", source)),
    };
    let path = path.to_owned();
    match header.first_chunk::<HEADER>() {
        None if header.is_empty() => Err(StoreError::Damaged { path, what: "the file is empty".to_owned() }),
        Some(header) if header.starts_with(b"SQLite format 3\0") => {
            let number = |at: usize| {
                let octets = header.get(at..).and_then(|rest| rest.first_chunk::<4>());
                octets.map_or(0, |octets| i32::from_be_bytes(*octets))
            };
            if number(68) != APPLICATION {
                return Err(StoreError::Foreign { path, what: "a SQLite file of something else" });
            }
            version(&path, i64::from(number(60)), known).map(|_| true)
        }
        Some(_) | None => Err(StoreError::Foreign { path, what: "no SQLite file" }),
    }
}

fn read_header(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut header = Vec::with_capacity(HEADER);
    File::open(path)?.take(HEADER as u64).read_to_end(&mut header)?;
    Ok(header)
}

/// Which steps a file of schema `found` still needs.
fn version(path: &Path, found: i64, known: usize) -> Result<usize, StoreError> {
    match usize::try_from(found) {
        Ok(found) if (1..=known).contains(&found) => Ok(found),
        Ok(_) if found > 0 => Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known: known.try_into().unwrap_or(i64::MAX),
        }),
        Ok(_) | Err(_) => {
            Err(StoreError::Damaged { path: path.to_owned(), what: format!("schema {found} never was") })
        }
    }
}

/// Makes the tables of a new file.
pub(super) fn make(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    connection.pragma_update(None, "application_id", APPLICATION)?;
    run(connection, steps, 0)?;
    connection.pragma_update(None, "journal_mode", "WAL")
}

/// Brings an older file up to the last schema, all steps or none.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    steps: &[&str],
) -> Result<(), super::Trouble> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = version(path, found, steps.len())?;
    if done < steps.len() {
        run(connection, steps, done)?;
        // So that the version stands in the file itself, where `ours` looks for it.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    Ok(())
}

fn run(connection: &mut Connection, steps: &[&str], done: usize) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for step in steps.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", i64::try_from(steps.len()).unwrap_or(i64::MAX))?;
    transaction.commit()
}
