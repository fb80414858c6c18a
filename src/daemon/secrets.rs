//! Secrets: the dialback secret, which is made once, and seeds, which are made anew at each start.

use crate::config::settings::Config;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// 32 octets from the system.
///
/// # Errors
/// The system has none to give.
pub fn seed() -> io::Result<[u8; 32]> {
    let mut octets = [0; 32];
    getrandom::fill(&mut octets).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(octets)
}

/// The secret behind our dialback keys: from the file that the configuration names, else from the
/// state directory, where it is made once (mode 0600).
///
/// # Errors
/// What can't be read or written, and what to do.
pub fn dialback(config: &Config) -> Result<Arc<[u8]>, String> {
    if let Some(path) = &config.xmpp.dialback_secret {
        return super::setup::secret(path).map(|text| text.into_bytes().into());
    }
    let path = config.gateway.state_dir.join("dialback-secret");
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().as_bytes().into()),
        Ok(_) => Err(format!("{}: the secret is empty; remove the file, and a new one is made", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path).map_err(|error| {
            format!(
                "can't make the dialback secret {}: {error}\n  [gateway] state_dir must exist and be ours to write",
                path.display()
            )
        }),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// The same secret for who is not the daemon: nothing is made. None if there is none, or it is not for
/// this user to read.
pub fn known_dialback(config: &Config) -> Option<Arc<[u8]>> {
    if config.xmpp.dialback_secret.is_some() {
        return dialback(config).ok();
    }
    let text = std::fs::read_to_string(config.gateway.state_dir.join("dialback-secret")).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.as_bytes().into())
}

fn make(path: &Path) -> io::Result<Arc<[u8]>> {
    if let Some(directory) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let text: String = seed()?.iter().map(|octet| format!("{octet:02x}")).collect();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(text.into_bytes().into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_dialback_secret_is_made_once_and_only_ours_to_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dialback-secret");
        let made = make(&path).unwrap();
        assert_eq!(made.len(), 64);
        assert_eq!(std::fs::read(&path).unwrap(), *made);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(make(&path).is_err(), "never overwritten");
    }
}
