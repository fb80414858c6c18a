//! Reads the files of the configuration. The only code of this room that does.

use super::{Config, FileFault, Files, Problem, Purpose, Surroundings, parse};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Loads the configuration at `path` for the daemon.
///
/// # Errors
/// Every problem of all files, when there is at least one error.
pub fn load(path: &Path) -> Result<Config, Vec<Problem>> {
    parse(path, &Disk, &Surroundings::of_process(), Purpose::Run)
}

/// Loads the configuration at `path` as somebody who checks it, or asks it something.
///
/// # Errors
/// As [`load`].
pub fn check(path: &Path) -> Result<Config, Vec<Problem>> {
    parse(path, &Disk, &Surroundings::of_process(), Purpose::Check)
}

impl Surroundings {
    /// What systemd says in this process's environment.
    pub fn of_process() -> Self {
        // Each but the credentials may be a list (systemd.exec(5)); the first is ours.
        let first = |name: &str| {
            let value = std::env::var(name).ok()?;
            value.split(':').next().filter(|path| !path.is_empty()).map(PathBuf::from)
        };
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self { credentials, state: first("STATE_DIRECTORY"), runtime: first("RUNTIME_DIRECTORY") }
    }
}

/// The files of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl Disk {
    fn open(path: &Path) -> Result<(File, std::fs::Metadata), FileFault> {
        // Opening a pipe would wait for somebody to write into it.
        if !std::fs::metadata(path).map_err(fault)?.is_file() {
            return Err(FileFault::NotAFile);
        }
        let file = File::open(path).map_err(fault)?;
        let metadata = file.metadata().map_err(fault)?;
        Ok((file, metadata))
    }
}

impl Files for Disk {
    fn read(&self, path: &Path, limit: u64) -> Result<String, FileFault> {
        let (file, _) = Self::open(path)?;
        let mut octets = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut octets).map_err(fault)?;
        if u64::try_from(octets.len()).unwrap_or(u64::MAX) > limit {
            return Err(FileFault::TooLarge(limit));
        }
        String::from_utf8(octets).map_err(|_| FileFault::NotText)
    }

    fn mode(&self, path: &Path) -> Result<u32, FileFault> {
        Self::open(path).map(|(_, metadata)| metadata.mode())
    }
}

fn fault(error: std::io::Error) -> FileFault {
    match error.kind() {
        ErrorKind::NotFound => FileFault::Missing,
        ErrorKind::PermissionDenied => FileFault::NoPermission,
        _ => FileFault::Other(error.to_string()),
    }
}
