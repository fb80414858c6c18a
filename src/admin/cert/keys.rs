//! Private keys: found, matched to their certificates, written so that nobody else can read them.

use super::{Ours, bundle, former};
use crate::admin::change::Refused;
use crate::admin::change::disk::fault;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Whether `key` is that of `certificate`.
///
/// # Errors
/// The key is of a kind that TLS does not take.
pub fn fits(key: &PrivateKeyDer<'static>, certificate: &CertificateDer<'static>) -> Result<bool, String> {
    let key = default_provider()
        .key_provider
        .load_private_key(key.clone_key())
        .map_err(|error| error.to_string())?;
    Ok(CertifiedKey::new(vec![certificate.clone()], key).keys_match().is_ok())
}

/// Every key file that we know of: those of requests, those of the configuration, and the copies of both.
pub fn files(ours: &Ours) -> Vec<PathBuf> {
    let requested = std::fs::read_dir(&ours.folder).into_iter().flatten().filter_map(|entry| {
        let path = entry.ok()?.path();
        path.extension().is_some_and(|extension| extension == "key").then_some(path)
    });
    let mut files: Vec<PathBuf> = requested.chain(ours.all().map(|(_, _, key)| key)).collect();
    files.sort();
    files.dedup();
    // A key that is in place comes before a copy, the last copy before older ones.
    let copies: Vec<PathBuf> = files.iter().flat_map(|file| former::copies(file).into_iter().rev()).collect();
    files.extend(copies);
    files
}

/// The key in the file at `path`.
///
/// # Errors
/// It can't be read, or has none.
pub fn read(path: &Path) -> Result<PrivateKeyDer<'static>, Refused> {
    let bundle = bundle::read(path, None).map_err(|error| Refused::failed(error.to_string()))?;
    let none = || Refused::failed(format!("{}: no private key in it", path.display()));
    bundle.keys.into_iter().next().ok_or_else(none)
}

/// A key as PEM: PKCS #8, PKCS #1 or SEC 1, as it is.
pub fn to_pem(key: &PrivateKeyDer<'_>) -> String {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    pem_section(label, key.secret_der())
}

/// One section of a PEM text (RFC 7468).
pub fn pem_section(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner: mode 0600.
    Owner,
    /// Everybody: mode 0644.
    All,
}

/// Writes `content` to `path`, whole or not at all, for `readers`; what is there keeps its owner and its mode. A link
/// stays a link: what it points to is replaced. The folder is made if it is not there (mode 0700).
///
/// # Errors
/// It can't be written.
pub fn write(path: &Path, content: impl AsRef<[u8]>, readers: Readers) -> Result<(), Refused> {
    let real = path.canonicalize().ok();
    let path = real.as_deref().unwrap_or(path);
    let put = || -> io::Result<()> {
        let folder = crate::admin::change::disk::folder_of(path);
        DirBuilder::new().mode(0o700).recursive(true).create(&folder)?;
        let mode = match readers {
            Readers::Owner => 0o600,
            Readers::All => 0o644,
        };
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".new");
        let new = folder.join(name);
        let _ = std::fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        let written = as_before(&file, path, readers)
            .and_then(|()| file.write_all(content.as_ref()))
            .and_then(|()| file.sync_all());
        if let Err(error) = written.and_then(|()| std::fs::rename(&new, path)) {
            let _ = std::fs::remove_file(&new);
            return Err(error);
        }
        File::open(&folder)?.sync_all()
    };
    put().map_err(|error| fault(path, &error))
}

/// Removes the file at `path`.
///
/// # Errors
/// It can't be removed.
pub fn remove(path: &Path) -> Result<(), Refused> {
    std::fs::remove_file(path).map_err(|error| fault(path, &error))
}

/// Gives `file` the owner and the mode of what is at `path`, if something is: the daemon reads it as a user of its own.
/// What only its owner is to read is for nobody outside of its group, whatever was there.
fn as_before(file: &File, path: &Path, readers: Readers) -> io::Result<()> {
    let old = match std::fs::metadata(path) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    let most = match readers {
        Readers::Owner => 0o7770,
        Readers::All => 0o7777,
    };
    file.set_permissions(Permissions::from_mode(old.mode() & most))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_is_written_as_it_was_and_only_ours_to_read() {
        let dir = tempfile::tempdir().unwrap();
        let pair = rcgen::KeyPair::generate().unwrap();
        let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
        let path = dir.path().join("deep").join("a.key");
        for _ in 0..2 {
            write(&path, to_pem(&key), Readers::Owner).unwrap();
        }
        assert_eq!(read(&path).unwrap(), key);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
        // The group that the daemon is in goes on reading it.
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        write(&path, to_pem(&key), Readers::Owner).unwrap();
        assert_eq!(mode(&path), 0o640);
        // A file that everybody could read had no key in it.
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        write(&path, to_pem(&key), Readers::Owner).unwrap();
        assert_eq!(mode(&path), 0o640);
        assert_eq!(to_pem(&key), pair.serialize_pem().replace("\r\n", "\n"));
    }

    #[test]
    fn a_link_stays_one_and_what_it_points_to_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("elsewhere/a.key"), dir.path().join("a.key"));
        std::fs::create_dir(dir.path().join("elsewhere")).unwrap();
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink("elsewhere/a.key", &link).unwrap();
        write(&link, "new", Readers::Owner).unwrap();
        assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("elsewhere/a.key"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_key_fits_its_own_certificate_alone() {
        let (one, other) = (rcgen::KeyPair::generate().unwrap(), rcgen::KeyPair::generate().unwrap());
        let params = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        let certificate = params.self_signed(&one).unwrap().der().clone();
        let key = |pair: &rcgen::KeyPair| PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
        assert_eq!(fits(&key(&one), &certificate), Ok(true));
        assert_eq!(fits(&key(&other), &certificate), Ok(false));
    }
}
