//! Replaces files as one: whoever reads sees the old content or the new, whole, whatever happens meanwhile.

use super::Refused;
use crate::config::load::Disk;
use crate::config::{FileFault, Files};
use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Octets that a file of the configuration may have; each kind of file has less.
const LARGEST: u64 = 1 << 30;

/// The text of the file at `path`; `None` if there is no file.
///
/// # Errors
/// It can't be read, or is no text.
pub fn read(path: &Path) -> Result<Option<String>, Refused> {
    // As the daemon reads: a pipe would be waited for, and a device has no end.
    match Disk.read(path, LARGEST) {
        Ok(text) => Ok(Some(text)),
        Err(FileFault::Missing) => Ok(None),
        Err(fault) => Err(Refused::failed(format!("{}: {fault}", path.display()))),
    }
}

/// What could not be done to `path`.
pub fn fault(path: &Path, error: &io::Error) -> Refused {
    let hint = match error.kind() {
        ErrorKind::PermissionDenied => ": this user may not do that here: run it as root",
        ErrorKind::StorageFull => ": make room first",
        _ => "",
    };
    Refused::failed(format!("{}: {error}{hint}", path.display()))
}

/// The folder that `path` is in.
pub fn folder_of(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new(".")).to_owned()
}

/// The right to change the files of one configuration, for as long as this lives.
#[derive(Debug)]
pub struct Lock {
    /// The folder of the daemon's file.
    pub folder: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock of the configuration at `config`.
    ///
    /// # Errors
    /// Another change is being made, or the folder is not ours to write.
    pub fn take(config: &Path) -> Result<Self, Refused> {
        let folder = folder_of(config);
        // Whoever comes by a link to the file takes the same lock.
        let path = folder_of(&super::real(config)).join(".stoxd.lock");
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = opened.map_err(|error| fault(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { folder, _file: file }),
            Err(TryLockError::WouldBlock) => Err(Refused::failed(
                "somebody else is changing the files right now: nothing was changed, try again",
            )),
            Err(TryLockError::Error(error)) => Err(fault(&path, &error)),
        }
    }
}

/// Files that have a new content, and their old one.
#[derive(Debug)]
pub struct Replaced(Vec<(PathBuf, Option<String>)>);

impl Replaced {
    /// Puts the old content back.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn undo(self, lock: &Lock) -> Result<(), Refused> {
        let mut there = Vec::new();
        for (path, old) in &self.0 {
            match old {
                Some(old) => there.push((path.as_path(), old.as_str())),
                None => std::fs::remove_file(path).map_err(|error| fault(path, &error))?,
            }
        }
        replace(lock, &there, OPEN).map(drop)
    }
}

/// The mode of a new file that the daemon reads, as a user of its own.
pub const OPEN: u32 = 0o644;
/// The mode of a new file that verbs alone read.
pub const PRIVATE: u32 = 0o600;

/// Gives each of `files` its new content; one that is new gets `mode`. All of them are written and on disk before the first is put in place.
///
/// # Errors
/// Nothing was changed; or, if a later file can't be put in place, the earlier ones are as they were.
pub fn replace(_: &Lock, files: &[(&Path, &str)], mode: u32) -> Result<Replaced, Refused> {
    let mut ready = Vec::with_capacity(files.len());
    let written: Result<(), Refused> = files.iter().try_for_each(|(path, text)| {
        let new = Fresh::write(path, text, mode).map_err(|error| fault(path, &error))?;
        ready.push((*path, new, read(path)?));
        Ok(())
    });
    // What is not put in place is removed when `ready` is dropped.
    written?;
    let mut done: Vec<(PathBuf, Option<String>)> = Vec::new();
    for (path, new, old) in ready {
        match new.into_place(path) {
            Ok(()) => done.push((path.to_owned(), old)),
            Err(error) => {
                for (path, old) in done {
                    let back = old.as_deref().map(|old| Fresh::write(&path, old, mode)?.into_place(&path));
                    let _ = back.unwrap_or_else(|| std::fs::remove_file(&path));
                }
                return Err(fault(path, &error));
            }
        }
    }
    Ok(Replaced(done))
}

/// A file under a name of its own, which is gone when this is dropped.
struct Fresh(Option<PathBuf>);

impl Fresh {
    /// Writes `text` beside `path`, with the owner and mode of what is there, else with `mode`; on disk when this
    /// returns.
    fn write(path: &Path, text: &str, mode: u32) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let new = path.with_file_name(format!(".{name}.new"));
        // What a crash left behind; nobody else writes it, as we have the lock.
        match std::fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let fresh = Self(Some(new));
        file.write_all(text.as_bytes())?;
        match std::fs::metadata(path) {
            Ok(old) => {
                let own = file.metadata()?;
                if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
                    fchown(&file, Some(old.uid()), Some(old.gid()))?;
                }
                file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                file.set_permissions(Permissions::from_mode(mode))?;
            }
            Err(error) => return Err(error),
        }
        file.sync_all()?;
        Ok(fresh)
    }

    /// Gives it the name `path`, for good.
    fn into_place(mut self, path: &Path) -> io::Result<()> {
        if let Some(new) = self.0.take() {
            std::fs::rename(&new, path).inspect_err(|_| self.0 = Some(new))?;
        }
        File::open(folder_of(path))?.sync_all()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}
