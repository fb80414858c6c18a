//! What outlives the process: durable records, and the thread that writes them.
//!
//! | file | owns |
//! |---|---|
//! | [`record`] | the records, their keys, and the changes to them: values, no I/O |
//! | [`waiting`] | the bounds of pending records: whose turn it is to go (no I/O either) |
//! | [`sqlite`] | the embedded store: one SQLite file in the state directory |
//! | [`writer`] | the writer's thread: a bounded queue, commits in groups, outcomes in order |
//!
//! An authorization (RFC 8048 §5.1, RFC 6121 §3) is long-lived consent; the dialog that carries it
//! (RFC 6665) is short-lived. Only the former is a record: dialogs and streams are rebuilt, never stored.
//!
//! ```text
//!   shard ── submit(changes, ticket) ──▶ queue ──▶ thread ── apply: one transaction ──▶ disk
//!     ▲                                              │
//!     └── drain() ◀── Durable(ticket) | Failed(ticket) ◀── notify()
//! ```
//!
//! What depends on a change is said after its ticket came back as durable, never before. A failed
//! ticket means "not known to be durable": nobody may rely on the change, nor on its absence.
//!
//! The room never deletes, repairs or overwrites a file that it can't read. It refuses, and says what to do.

pub mod record;
pub mod sqlite;
pub mod waiting;
pub mod writer;

#[cfg(test)]
mod tests;

pub use record::{Authorization, Change, Consent, Contact, Key, Pending, Record, Watching};
pub use sqlite::Sqlite;
pub use waiting::Waiting;
pub use writer::{Report, Settings, SubmitError, Writer};

use std::path::PathBuf;

/// A place that keeps records.
pub trait Store: Send {
    /// What it is and where, for people: `SQLite, /var/lib/stoxd/stoxd.db`.
    fn name(&self) -> String;

    /// Gives every record to `take`, one by one.
    ///
    /// # Errors
    ///
    /// A record can't be read ([`StoreError::Damaged`]), or the place can't. What was taken until
    /// then is not all there is.
    fn load(&mut self, take: &mut dyn FnMut(Record)) -> Result<(), StoreError>;

    /// Makes `changes` durable, in their order, in one transaction: all of them or none. An empty
    /// slice commits too, so that it shows whether the place can be written.
    ///
    /// # Errors
    ///
    /// The changes are not known to be durable.
    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError>;

    /// Nothing waits: time for housekeeping. What fails here fails again, and is told, in
    /// [`Store::apply`].
    fn rest(&mut self);

    /// Leaves the place in order. Without it the next start has more to read, and loses nothing.
    ///
    /// # Errors
    ///
    /// The place could not be left in order.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

/// Why records can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the store.
    #[error(
        "{path}: in use by process {}; stop it first: two daemons can't share a state directory",
        process.map_or_else(|| "unknown".to_owned(), |process| process.to_string())
    )]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, as the file says.
        process: Option<u32>,
    },
    /// The file is something else.
    #[error(
        "{path}: {what}, no store of stoxd; it was left as it is: move it away, or set another state_dir"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        what: &'static str,
    },
    /// A later stoxd wrote the file.
    #[error(
        "{path}: has schema {found}, this stoxd knows up to {known}; it was left as it is: run the later stoxd, \
         or restore a copy from before"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The last that we know.
        known: i64,
    },
    /// The file was ours, and is broken.
    #[error(
        "{path}: damaged: {what}; it was left as it is: restore a copy, or move it and the files beside it \
         away to start without records"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        what: String,
    },
    /// The file lacks changes that it once had.
    #[error(
        "{path}: holds {held} commits where {acknowledged} were acknowledged; if this is a copy restored on \
         purpose, or there shall be no records, remove {lock}"
    )]
    Behind {
        /// The file.
        path: PathBuf,
        /// Commits in the file; 0 also when there is no file.
        held: u64,
        /// Commits that were told to be durable.
        acknowledged: u64,
        /// The file that remembers them.
        lock: PathBuf,
    },
    /// The place is not safe to use.
    #[error("{path}: {fault}")]
    Unsafe {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The file is no longer where it was opened.
    #[error("{path}: moved, removed or replaced while in use; put it back, or start stoxd again")]
    Moved {
        /// The file.
        path: PathBuf,
    },
    /// No room on the disk.
    #[error("{path}: the disk is full, or a limit of file sizes is reached")]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{path}: can't {doing}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database refused.
    #[error("{path}: can't {doing}: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the database said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The writer's thread has ended out of turn.
    #[error("the store's writer has ended: {what}")]
    Ended {
        /// How.
        what: String,
    },
}

/// Why a place is not safe to keep records in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is a symbolic link.
    #[error("a symbolic link; the store follows none: put the file itself there")]
    Link,
    /// It is no regular file.
    #[error("not a regular file; move it away")]
    NoFile,
    /// It is no directory.
    #[error("not a directory; move it away, or set another state_dir")]
    NoDirectory,
    /// Others may write into the directory.
    #[error("others may write into it (mode {0:04o}); chmod 700 it")]
    Writable(u32),
    /// Others may read the file.
    #[error("open to others (mode {0:04o}); chmod 600 it")]
    Open(u32),
}
