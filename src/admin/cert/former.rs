//! What an import replaces: copies beside the file that was replaced, `FILE.former-1` and so on.
//!
//! A key is copied only where another one takes its place, and then with the number of its certificate's copy: it is
//! the key of that copy, and of those before it. Numbers grow, so that a name does not mean another copy a day later.
//! No file that ends so is a certificate or a key of its own; its key is looked for when a copy is imported again.

use super::bundle;
use super::keys::{self, Readers};
use super::seen::Seen;
use crate::admin::change::Refused;
use crate::admin::change::disk::folder_of;
use crate::now::Wall;
use std::fs::DirEntry;
use std::path::{Path, PathBuf};

/// Copies that are kept of one certificate.
const KEPT: usize = 5;
/// What stands between a file's name and the copy's number.
const MARK: &str = ".former-";

/// One file that is replaced.
#[derive(Debug)]
pub struct Replaced {
    /// What is replaced.
    pub file: PathBuf,
    /// Where its copy goes.
    pub copy: PathBuf,
    octets: Vec<u8>,
}

impl Replaced {
    /// Writes the copy, which its owner alone may read, whatever is in it.
    ///
    /// # Errors
    /// It can't be written; nothing is there then.
    pub fn keep(&self) -> Result<(), Refused> {
        keys::write(&self.copy, &self.octets, Readers::Owner)
    }

    /// Puts back what was there.
    ///
    /// # Errors
    /// It can't be written.
    pub fn undo(&self) -> Result<(), Refused> {
        keys::write(&self.file, &self.octets, Readers::Owner)
    }
}

/// What an import replaces.
#[derive(Debug, Default)]
pub struct Former {
    /// The certificate and its chain, unless there was none or it is the same.
    pub chain: Option<Replaced>,
    /// The key, if another one takes its place.
    pub key: Option<Replaced>,
    /// Whether another key takes the place of one that is there, perhaps in the certificate's own file.
    is_new_key: bool,
}

impl Former {
    /// What `text` in place of the file `chain` replaces, and another key in place of `key`, if `is_new_key`; `key`
    /// may be the same file.
    ///
    /// # Errors
    /// What is there can't be read.
    pub fn of(chain: &Path, text: &str, key: &Path, is_new_key: bool) -> Result<Self, Refused> {
        let [chain_copy, key_copy] = places([chain, key]);
        let there = |file: &Path, copy: PathBuf| -> Result<Option<Replaced>, Refused> {
            match bundle::octets(file) {
                Ok(octets) => Ok(Some(Replaced { file: file.to_owned(), copy, octets })),
                Err(_) if !file.exists() => Ok(None),
                Err(error) => Err(Refused::failed(format!("{error}: nothing was changed"))),
            }
        };
        Ok(Self {
            chain: there(chain, chain_copy)?.filter(|there| there.octets != text.as_bytes()),
            key: if is_new_key && key != chain { there(key, key_copy)? } else { None },
            is_new_key,
        })
    }

    /// Takes the copies away of what stays in its place after all.
    pub fn forget(&self) {
        for replaced in self.chain.iter().chain(&self.key) {
            if bundle::octets(&replaced.file).is_ok_and(|there| there == replaced.octets) {
                let _ = std::fs::remove_file(&replaced.copy);
            }
        }
    }

    /// The copies that there will be.
    pub fn copies(&self) -> Vec<&Path> {
        self.chain.iter().chain(&self.key).map(|replaced| replaced.copy.as_path()).collect()
    }

    /// What brings back what certificate `id` was: none where nobody would take it any more.
    pub fn back(&self, id: &str, now: Wall) -> Option<String> {
        let chain = self.chain.as_ref()?;
        let bundle = bundle::parse(&chain.file, &chain.octets, None).ok()?;
        let seen = Seen::of(bundle.certificates.first()?)?;
        let yes = if self.is_new_key { " --yes" } else { "" };
        (seen.end > now).then(|| format!("stoxd cert import {} --id {id}{yes}", chain.copy.display()))
    }
}

/// The copies of the file at `path`, the oldest first.
pub fn copies(path: &Path) -> Vec<PathBuf> {
    numbered(path).into_iter().map(|(_, copy)| copy).collect()
}

/// Whether `path` is the name of a copy.
pub fn is_copy(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.rsplit_once(MARK).is_some_and(|(_, number)| number.parse::<u32>().is_ok())
}

/// Where the next copies of `files` go, all of which get one number.
pub fn places<const N: usize>(files: [&Path; N]) -> [PathBuf; N] {
    let last = files.iter().filter_map(|file| numbered(file).pop()).map(|(number, _)| number).max();
    let number = last.unwrap_or(0).saturating_add(1);
    files.map(|file| {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(format!("{MARK}{number}"));
        file.with_file_name(name)
    })
}

/// Drops the oldest copies of `chain` above the bound, and copies of `key` that are of none of the others. That
/// fails quietly: they are tried again next time.
pub fn prune(chain: &Path, key: &Path) {
    let all = numbered(chain);
    let (old, kept) = all.split_at(all.len().saturating_sub(KEPT));
    let first = kept.first().map_or(0, |(number, _)| *number);
    let keys = numbered(key).into_iter().filter(|(number, _)| *number < first);
    for (_, copy) in old.iter().cloned().chain(keys) {
        let _ = std::fs::remove_file(copy);
    }
}

fn numbered(path: &Path) -> Vec<(u32, PathBuf)> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let number = |entry: &DirEntry| -> Option<u32> {
        let other = entry.file_name();
        other.to_str()?.strip_prefix(name)?.strip_prefix(MARK)?.parse().ok()
    };
    let entries = std::fs::read_dir(folder_of(path)).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries.filter_map(|entry| Some((number(&entry)?, entry.path()))).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_last_copies_stay_with_their_keys_and_nobody_elses_file_goes() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("a.crt"), folder.path().join("a.key"));
        let others = ["a.crt", "a.key", "a.crt.former-", "a.crt.former-x", "a.crt.1", "ba.crt.former-1"];
        for other in others {
            std::fs::write(folder.path().join(other), "").unwrap();
        }
        for number in 1..=12 {
            let [to, key_to] = places([&chain, &key]);
            assert!(to.ends_with(format!("a.crt.former-{number}")) && is_copy(&to));
            assert!(key_to.ends_with(format!("a.key.former-{number}")) && is_copy(&key_to));
            std::fs::write(to, "").unwrap();
            if [3, 8, 11].contains(&number) {
                std::fs::write(key_to, "").unwrap();
            }
            prune(&chain, &key);
        }
        let left = |path, numbers: &[u32]| {
            let wanted: Vec<PathBuf> =
                numbers.iter().map(|number| format!("{path}.former-{number}")).map(PathBuf::from).collect();
            assert_eq!(copies(Path::new(path)), wanted);
        };
        left(chain.to_str().unwrap(), &[8, 9, 10, 11, 12]);
        left(key.to_str().unwrap(), &[8, 11]);
        assert!(others.iter().all(|other| folder.path().join(other).exists()));
        assert!(!others.iter().take(5).any(|other| is_copy(Path::new(other))));
    }
}
