//! The embedded store: one SQLite file, `stoxd.db`, in the state directory.
//!
//! Write-ahead log and `synchronous=FULL`: a commit that returned is on disk, and the file opens at once
//! after a crash. An administrator may read it with `sqlite3` while we run. Rows are written by us alone:
//! each carries a sum.
//!
//! | file | owns |
//! |---|---|
//! | `place` | directory, lock, modes; whether the files are still where they were |
//! | `schema` | the file's mark, version, tables |
//! | `rows` | records as rows |
//!
//! At open, before SQLite touches anything: the lock, the modes, the header's mark and version. Then the
//! structure of every page (`PRAGMA quick_check`), the count of commits against the one that was
//! acknowledged, and each row's sum and their digest while they are loaded. A new file is made under
//! another name and renamed when it is complete, so an empty or half-made `stoxd.db` is always damage.

mod place;
mod rows;
mod schema;

use super::record::{Change, Record};
use super::{Store, StoreError};
use place::{Place, io_error};
use rows::{RowError, Rows};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// How long a commit waits for an administrator's `sqlite3` to let go.
const PATIENCE: Duration = Duration::from_secs(1);
/// Octets that the write-ahead log may keep after a checkpoint.
const LOG_KEPT: i64 = 16 << 20;

/// Records in a SQLite file.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    place: Place,
    made: bool,
}

impl Sqlite {
    /// Opens `stoxd.db` in `directory`. Makes both where they are missing, with modes 0700 and 0600.
    /// Takes the lock: one process at a time.
    ///
    /// # Errors
    ///
    /// Every variant of [`StoreError`] but `Ended`; the database is as it was.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        Self::open_with(directory, schema::STEPS)
    }

    /// Whether [`Sqlite::open`] would find what it refuses, as far as that can be said without touching
    /// anything: modes, what the file says of itself, and, while nobody has it open, its pages and rows.
    /// Nothing at all is fine.
    ///
    /// # Errors
    ///
    /// `Unsafe`, `Foreign`, `Newer`, `Damaged`, `Behind`, and `Io` where this user may not look.
    pub fn look(directory: &Path) -> Result<(), StoreError> {
        match Place::look(directory)? {
            Some(database) => match schema::ours(&database, schema::STEPS.len())? {
                true => inspect(&database),
                false => missing(&database),
            },
            None => Ok(()),
        }
    }

    /// Whether [`Sqlite::open`] found no file and made one.
    pub fn is_new(&self) -> bool {
        self.made
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.place.database
    }

    fn open_with(directory: &Path, steps: &[&str]) -> Result<Self, StoreError> {
        let mut place = Place::claim(directory)?;
        let made = !schema::ours(&place.database, steps.len())?;
        if made {
            make(&place, steps)?;
        }
        let mut connection = connect(&place.database, steps).map_err(|trouble| trouble.at(&place, "open"))?;
        let path = place.database.clone();
        place.watch(&path)?;
        check(&connection).map_err(|trouble| trouble.at(&place, "check"))?;
        let commits = rows::counter(&connection, rows::COMMITS)
            .map_err(|error| Trouble::from(error).at(&place, "read"))?
            .unwrap_or(0);
        if commits < place.acknowledged {
            return Err(behind(&place, commits));
        }
        schema::migrate(&mut connection, &path, steps)
            .map_err(|trouble| trouble.at(&place, "bring to the present schema"))?;
        Ok(Self { connection, place, made })
    }

    /// One transaction; returns how many there were with it. The counters are read anew each time: what a
    /// failed commit left of itself is SQLite's to say.
    fn commit(&mut self, changes: &[Change]) -> Result<u64, Trouble> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = rows::digest(&transaction)?;
        let mut rows = Rows { connection: &transaction, digest: before };
        for change in changes {
            match change {
                Change::Put(record) => rows.put(record)?,
                Change::Remove(key) => rows.remove(key)?,
                Change::Touch { direction, watcher, presentity, used } => {
                    rows.touch((*direction, watcher, presentity), *used)?;
                }
            }
        }
        let digest = rows.digest;
        if digest != before {
            rows::set_counter(&transaction, rows::DIGEST, digest)?;
        }
        let commits = rows::counter(&transaction, rows::COMMITS)?.unwrap_or(0).saturating_add(1);
        rows::set_counter(&transaction, rows::COMMITS, commits.cast_signed())?;
        transaction.commit()?;
        Ok(commits)
    }
}

impl Store for Sqlite {
    fn name(&self) -> String {
        format!("SQLite, {}", self.place.database.display())
    }

    fn load(&mut self, take: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
        rows::load(&self.connection, take).map_err(|error| Trouble::from(error).at(&self.place, "load"))
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.place.check()?;
        let commits = self.commit(changes).map_err(|trouble| trouble.at(&self.place, "write"))?;
        // What went into a file that nobody finds again is not durable.
        self.place.watch(&self.place.beside("-wal"))?;
        self.place.check()?;
        self.place.acknowledge(commits);
        Ok(())
    }

    fn rest(&mut self) {
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        let Self { connection, place, .. } = *self;
        let tidy = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false);
        tidy.map_err(|source| Trouble::Database(source).at(&place, "close"))?;
        connection.close().map_err(|(_, source)| Trouble::Database(source).at(&place, "close"))
    }
}

/// Makes a complete, empty file and gives it its name.
fn make(place: &Place, steps: &[&str]) -> Result<(), StoreError> {
    if place.acknowledged > 0 {
        return Err(behind(place, 0));
    }
    if let Some(path) = ["-wal", "-journal"].map(|suffix| place.beside(suffix)).iter().find(|p| p.exists()) {
        let what = "the file that this one belongs to is gone".to_owned();
        return Err(StoreError::Damaged { path: path.clone(), what });
    }
    let unfinished = place.beside(".new");
    for suffix in ["", "-journal", "-wal", "-shm"] {
        let path = place.beside(&format!(".new{suffix}"));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(io_error(&path, "remove what an earlier start left", error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(|source| io_error(&unfinished, "make the file", source))?;
    let build = || -> Result<(), Trouble> {
        let mut connection = connect_raw(&unfinished)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        schema::make(&mut connection, steps)?;
        connection.close().map_err(|(_, error)| error)?;
        Ok(())
    };
    build().map_err(|trouble| trouble.at(place, "make"))?;
    File::open(&unfinished)
        .and_then(|file| file.sync_all())
        .map_err(|source| io_error(&unfinished, "write the file to disk", source))?;
    fs::rename(&unfinished, &place.database)
        .map_err(|source| io_error(&place.database, "name the new file", source))?;
    place.sync_directory()
}

fn connect_raw(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Else a file that we refuse would lose its write-ahead log when we let go of it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

fn connect(path: &Path, steps: &[&str]) -> Result<Connection, Trouble> {
    let connection = connect_raw(path)?;
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Trouble::Broken(format!("journal mode {mode}, not wal")));
    }
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_KEPT, |_| Ok(()))?;
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(Trouble::Told(StoreError::Newer { path: path.to_owned(), found, known }));
    }
    Ok(connection)
}

/// Looks at the structure of every page.
fn check(connection: &Connection) -> Result<(), Trouble> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(Trouble::Broken(found.replace('\n', " "))) }
}

/// Reads all of a file that nobody has open, as [`Sqlite::open`] and `load` do. What is in use was read
/// when it was opened, and what a write-ahead log still holds can't be seen without touching the file.
fn inspect(database: &Path) -> Result<(), StoreError> {
    let Some(acknowledged) = place::idle(database)? else { return Ok(()) };
    let at = |trouble: Trouble| trouble.at_path(database, "read");
    let look = || -> Result<u64, Trouble> {
        let uri = format!("file:{}?immutable=1", encoded(database));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let connection = Connection::open_with_flags(uri, flags)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        check(&connection)?;
        // An older file has its tables brought up to date first.
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if usize::try_from(version).is_ok_and(|version| version == schema::STEPS.len()) {
            rows::load(&connection, &mut |_| {})?;
        }
        Ok(rows::counter(&connection, rows::COMMITS)?.unwrap_or(0))
    };
    not_behind(database, look().map_err(at)?, acknowledged)
}

/// There is no file; was there one?
fn missing(database: &Path) -> Result<(), StoreError> {
    not_behind(database, 0, place::idle(database)?.unwrap_or(0))
}

fn not_behind(database: &Path, held: u64, acknowledged: u64) -> Result<(), StoreError> {
    if held >= acknowledged {
        return Ok(());
    }
    let (path, lock) = (database.to_owned(), place::lock_of(database));
    Err(StoreError::Behind { path, held, acknowledged, lock })
}

/// A path as the part of a `file:` URI.
fn encoded(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().iter().fold(String::new(), |mut text, octet| {
        match octet {
            b'/' | b'-' | b'_' | b'.' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                text.push(char::from(*octet))
            }
            _ => text.push_str(&format!("%{octet:02X}")),
        }
        text
    })
}

fn behind(place: &Place, held: u64) -> StoreError {
    StoreError::Behind {
        path: place.database.clone(),
        held,
        acknowledged: place.acknowledged,
        lock: place.lock_path().to_owned(),
    }
}

/// What went wrong, before it is said where.
#[derive(Debug)]
enum Trouble {
    Database(rusqlite::Error),
    Broken(String),
    Told(StoreError),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl From<RowError> for Trouble {
    fn from(error: RowError) -> Self {
        match error {
            RowError::Database(error) => Self::Database(error),
            RowError::Broken(table, what) => Self::Broken(format!("{what} (table {table})")),
        }
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Told(error)
    }
}

impl Trouble {
    fn at(self, place: &Place, doing: &'static str) -> StoreError {
        self.at_path(&place.database, doing)
    }

    fn at_path(self, path: &Path, doing: &'static str) -> StoreError {
        let path = path.to_owned();
        let source = match self {
            Self::Told(error) => return error,
            Self::Broken(what) => return StoreError::Damaged { path, what },
            Self::Database(source) => source,
        };
        let damaged = matches!(
            source.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TypeMismatch)
        );
        let strange = source.sqlite_error().is_none_or(|error| error.code == ErrorCode::Unknown);
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full { path },
            // A schema that is not ours (no such table), a column that is no number.
            _ if damaged || strange => StoreError::Damaged { path, what: source.to_string() },
            _ => StoreError::Database { path, doing, source: source.into() },
        }
    }
}

#[cfg(test)]
pub(super) fn open_with(directory: &Path, steps: &[&str]) -> Result<Sqlite, StoreError> {
    Sqlite::open_with(directory, steps)
}

#[cfg(test)]
pub(super) const STEPS: &[&str] = schema::STEPS;
