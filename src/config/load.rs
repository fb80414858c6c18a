//! Reads the files of the configuration. The only code of this room that does.

use super::{Certificates, certificates_of};
use super::{Config, FileFault, Files, Places, Problem, Purpose, Surroundings, parse, places, socket_of};
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

/// The control socket of the configuration at `path`, whatever is wrong with the rest of it.
///
/// # Errors
/// The file can't be read.
pub fn admin_socket(path: &Path) -> Result<PathBuf, Vec<Problem>> {
    socket_of(path, &Disk, &Surroundings::of_process())
}

/// As [`check`], with texts in place of what the files of these names hold.
///
/// # Errors
/// As [`load`].
pub fn check_with(path: &Path, instead: &[(PathBuf, String)]) -> Result<Config, Vec<Problem>> {
    parse(path, &Overlay(instead), &Surroundings::of_process(), Purpose::Check)
}

/// Where the files lie that the daemon file at `path` leads to, with texts in place of what some hold.
pub fn files_of(path: &Path, instead: &[(PathBuf, String)]) -> Places {
    places(path, &Overlay(instead))
}

/// The files of this machine, some with another content.
struct Overlay<'o>(&'o [(PathBuf, String)]);

impl Files for Overlay<'_> {
    fn read(&self, path: &Path, limit: u64) -> Result<String, FileFault> {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        match self.0.iter().find(|(instead, _)| *instead == real) {
            Some((_, text)) if u64::try_from(text.len()).unwrap_or(u64::MAX) > limit => {
                Err(FileFault::TooLarge(limit))
            }
            Some((_, text)) => Ok(text.clone()),
            None => Disk.read(path, limit),
        }
    }

    fn mode(&self, path: &Path) -> Result<u32, FileFault> {
        Disk.mode(path)
    }
}

/// What the daemon file at `path` says of certificates, whatever is wrong with the rest of it.
///
/// # Errors
/// The file can't be read, or is no TOML.
pub fn certificates(path: &Path) -> Result<Certificates, Vec<Problem>> {
    certificates_of(path, &Disk, &Surroundings::of_process())
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
        String::from_utf8(octets).map_err(|error| {
            let before = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
            FileFault::NotText(1 + before.filter(|octet| **octet == b'\n').count())
        })
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const DAEMON: &str = r#"
[gateway]
name = "gw.contoso.example"
[[domain]]
name = "contoso.example"
[[tls.certificate]]
id = "contoso"
chain = "contoso.crt"
key = "contoso.key"
[[sip.peer]]
name = "edge"
domains = ["contoso.example"]
"#;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text, mode) in [
            ("stoxd.toml", DAEMON, 0o644),
            ("policy.toml", "", 0o644),
            ("contoso.crt", "", 0o644),
            ("contoso.key", "", 0o600),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        folder
    }

    #[test]
    fn threat_174_the_bits_of_the_file_itself_count_behind_a_link_too() {
        let folder = folder();
        let path = folder.path().join("stoxd.toml");
        assert!(load(&path).is_ok());
        let key = folder.path().join("contoso.key");
        std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(load(&path).unwrap_err()[0].message, "everybody can read \"contoso.key\"");
        std::fs::rename(&key, folder.path().join("real.key")).unwrap();
        symlink(folder.path().join("real.key"), &key).unwrap();
        assert_eq!(load(&path).unwrap_err()[0].message, "everybody can read \"contoso.key\"");
    }

    #[test]
    fn threat_172_what_is_no_file_of_text_is_refused() {
        let folder = folder();
        let policy = folder.path().join("policy.toml");
        std::fs::write(&policy, [0xff, 0xfe]).unwrap();
        assert_eq!(Disk.read(&policy, 10), Err(FileFault::NotText(1)));
        std::fs::write(&policy, [b'#', b'\n', 0xff]).unwrap();
        let label = load(&folder.path().join("stoxd.toml")).unwrap_err()[0].label.clone();
        assert_eq!(label, "it is not UTF-8: line 2");
        std::fs::write(&policy, "0123456789").unwrap();
        assert_eq!(Disk.read(&policy, 9), Err(FileFault::TooLarge(9)));
        assert_eq!(Disk.read(&policy, 10).as_deref(), Ok("0123456789"));
        assert_eq!(Disk.read(folder.path(), 10), Err(FileFault::NotAFile));
        assert_eq!(Disk.mode(Path::new("/dev/zero")), Err(FileFault::NotAFile));
        assert_eq!(Disk.mode(&folder.path().join("none")), Err(FileFault::Missing));
    }
}
