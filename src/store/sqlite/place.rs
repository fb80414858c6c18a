//! The directory and the files in it: who may touch them, who holds them, whether they are still there.
//!
//! The lock file is held with `flock` for as long as the store is open, and is never removed. It also
//! remembers how many commits were acknowledged, so that a file which lost some is noticed: what
//! SQLite can't know, because a broken end of its write-ahead log looks like the end.

use crate::store::{Fault, StoreError};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

const DATABASE: &str = "stoxd.db";
const LOCK: &str = "stoxd.lock";
/// How often, and how far apart, a lock that another process holds is tried again.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(25);
/// Longest lock file that we write is 69 octets.
const LOCK_OCTETS: u64 = 128;

/// A directory that is ours alone.
#[derive(Debug)]
pub(super) struct Place {
    /// `stoxd.db`, with no link in its path.
    pub(super) database: PathBuf,
    /// Commits that were acknowledged before this process came, as far as is known.
    pub(super) acknowledged: u64,
    lock_path: PathBuf,
    lock: File,
    /// Files that must stay where they are, with device and inode.
    watched: Vec<(PathBuf, (u64, u64))>,
}

impl Place {
    /// Makes `directory` if it is missing, and locks it.
    ///
    /// The directory itself may be named by a link, as systemd does with `DynamicUser=`. No file in it
    /// may be one.
    pub(super) fn claim(directory: &Path) -> Result<Self, StoreError> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|source| {
            match source.kind() {
                // A file, or a link that leads nowhere.
                ErrorKind::AlreadyExists | ErrorKind::NotADirectory => no_directory(directory),
                _ => io_error(directory, "make the directory", source),
            }
        })?;
        let directory =
            directory.canonicalize().map_err(|source| io_error(directory, "find the directory", source))?;
        look_into(&directory)?;
        let lock_path = directory.join(LOCK);
        look(&lock_path)?;
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|source| io_error(&lock_path, "open the lock file", source))?;
        let held = wait_for(&lock);
        let (acknowledged, process) = read_lock(&lock);
        match held {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Busy { path: lock_path, process }),
            Err(TryLockError::Error(source)) => return Err(io_error(&lock_path, "lock it", source)),
        }
        let mut place = Self {
            database: directory.join(DATABASE),
            acknowledged: acknowledged.unwrap_or(0),
            lock_path,
            lock,
            watched: Vec::new(),
        };
        place.acknowledge(place.acknowledged);
        place.watch(&place.lock_path.clone())?;
        for path in
            [place.database.clone(), place.beside("-wal"), place.beside("-shm"), place.beside("-journal")]
        {
            look(&path)?;
        }
        Ok(place)
    }

    /// Looks at `directory` and the files in it as [`Place::claim`] does, and touches nothing. `None`: there
    /// is no directory, else the database that is in it, or would be.
    pub(super) fn look(directory: &Path) -> Result<Option<PathBuf>, StoreError> {
        let directory = match directory.canonicalize() {
            Ok(directory) => directory,
            // A link that leads nowhere is none.
            Err(_) if fs::symlink_metadata(directory).is_ok() => return Err(no_directory(directory)),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::NotADirectory => return Err(no_directory(directory)),
            Err(source) => return Err(io_error(directory, "find the directory", source)),
        };
        look_into(&directory)?;
        for name in [LOCK, DATABASE, "stoxd.db-wal", "stoxd.db-shm", "stoxd.db-journal"] {
            look(&directory.join(name))?;
        }
        Ok(Some(directory.join(DATABASE)))
    }

    /// A file beside the database, as SQLite names them.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut path = self.database.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    /// The file that remembers what was acknowledged.
    pub(super) fn lock_path(&self) -> &Path {
        &self.lock_path
    }

    /// Notes that `commits` are durable. It is a help, so it may fail: then less is noticed later.
    pub(super) fn acknowledge(&mut self, commits: u64) {
        self.acknowledged = commits;
        let line = format!("{commits:020} {commits:020} process {:>10}\n", std::process::id());
        let _ = self.lock.write_all_at(line.as_bytes(), 0);
    }

    /// From now on `path` has to stay where it is.
    pub(super) fn watch(&mut self, path: &Path) -> Result<(), StoreError> {
        if self.watched.iter().any(|(watched, _)| watched == path) {
            return Ok(());
        }
        let metadata =
            fs::symlink_metadata(path).map_err(|source| io_error(path, "look at the file", source))?;
        self.watched.push((path.to_owned(), identity(&metadata)));
        Ok(())
    }

    /// Whether what is written into the open files can be found by their names.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        for (path, expected) in &self.watched {
            match fs::symlink_metadata(path) {
                Ok(metadata) if identity(&metadata) == *expected => {}
                Ok(_) => return Err(StoreError::Moved { path: path.clone() }),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Err(StoreError::Moved { path: path.clone() });
                }
                Err(source) => return Err(io_error(path, "look at the file", source)),
            }
        }
        Ok(())
    }

    /// Makes the names in the directory durable.
    pub(super) fn sync_directory(&self) -> Result<(), StoreError> {
        let directory = self.database.parent().unwrap_or(Path::new("/"));
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|source| io_error(directory, "write the directory to disk", source))
    }
}

/// How many commits were acknowledged to the database at `path`, if nobody has it open and all of it is in
/// the file itself. Nothing is touched.
pub(super) fn idle(path: &Path) -> Result<Option<u64>, StoreError> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        return Ok(None);
    }
    let lock_path = lock_of(path);
    let lock = match File::open(&lock_path) {
        Ok(lock) => lock,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(0)),
        Err(source) => return Err(io_error(&lock_path, "open the lock file", source)),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(Some(read_lock(&lock).0.unwrap_or(0))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(io_error(&lock_path, "lock it", source)),
    }
}

/// The lock file beside the database at `path`.
pub(super) fn lock_of(path: &Path) -> PathBuf {
    path.with_file_name(LOCK)
}

/// Tries for a while: who held it may just be dying.
fn wait_for(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            result => return result,
        }
    }
    lock.try_lock()
}

fn no_directory(path: &Path) -> StoreError {
    StoreError::Unsafe { path: path.to_owned(), fault: Fault::NoDirectory }
}

/// Refuses what is no directory of ours alone.
fn look_into(directory: &Path) -> Result<(), StoreError> {
    let metadata =
        fs::metadata(directory).map_err(|source| io_error(directory, "look at the directory", source))?;
    let fault = match metadata.mode() & 0o7777 {
        _ if !metadata.is_dir() => Fault::NoDirectory,
        mode if mode & 0o022 != 0 => Fault::Writable(mode),
        _ => return Ok(()),
    };
    Err(StoreError::Unsafe { path: directory.to_owned(), fault })
}

/// Refuses what is no file of ours alone. A file that is not there is none.
fn look(path: &Path) -> Result<(), StoreError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(io_error(path, "look at the file", source)),
    };
    let fault = match metadata.mode() & 0o7777 {
        _ if metadata.is_symlink() => Fault::Link,
        _ if !metadata.is_file() => Fault::NoFile,
        mode if mode & 0o077 != 0 => Fault::Open(mode),
        _ => return Ok(()),
    };
    Err(StoreError::Unsafe { path: path.to_owned(), fault })
}

/// What the lock file says: commits, unless the two copies differ, and the process.
fn read_lock(lock: &File) -> (Option<u64>, Option<u32>) {
    let mut text = String::new();
    if lock.take(LOCK_OCTETS).read_to_string(&mut text).is_err() {
        return (None, None);
    }
    let mut words = text.split_whitespace();
    let [first, second] = [words.next(), words.next()].map(|word| word.and_then(|word| word.parse().ok()));
    let process = words.nth(1).and_then(|word| word.parse().ok());
    (first.filter(|_| first == second), process)
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// An error of the system, with the file and what was tried.
pub(super) fn io_error(path: &Path, doing: &'static str, source: io::Error) -> StoreError {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            StoreError::Full { path: path.to_owned() }
        }
        _ => StoreError::Io { path: path.to_owned(), doing, source },
    }
}
