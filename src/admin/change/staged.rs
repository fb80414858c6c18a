//! Edits that wait for `stoxd commit`: `staged.json` beside the daemon's file, with the whole new text of each
//! file and a hash of what it was made from.

use super::Refused;
use super::disk::{Lock, PRIVATE, fault, replace};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// All that is staged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// The edits, in the words of the command line.
    pub what: Vec<String>,
    /// The files that they change.
    pub files: Vec<File>,
}

/// One file of the staged edits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// [`digest`] of what was there when the first edit was staged.
    pub base: String,
    /// What will be there.
    pub text: String,
}

/// SHA-256 of `text`; empty if there is none.
pub fn digest(text: Option<&str>) -> String {
    let mut out = String::new();
    for octet in text.map(|text| Sha256::digest(text.as_bytes())).into_iter().flatten() {
        // Writing to a String does not fail.
        let _ = write!(out, "{octet:02x}");
    }
    out
}

/// What is staged for the configuration at `config`.
///
/// # Errors
/// It can't be read.
pub fn load(config: &Path) -> Result<Option<Staged>, Refused> {
    let path = place(config);
    match std::fs::read(&path) {
        Ok(octets) => match serde_json::from_slice(&octets) {
            Ok(staged) => Ok(Some(staged)),
            Err(error) => Err(Refused::failed(format!(
                "{}: {error}: what was staged is lost: stoxd commit --discard",
                path.display()
            ))),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fault(&path, &error)),
    }
}

/// The staged files, by path.
///
/// # Errors
/// They can't be read.
pub fn texts(config: &Path) -> Result<Vec<(PathBuf, String)>, Refused> {
    let files = load(config)?.unwrap_or_default().files;
    Ok(files.into_iter().map(|file| (file.path, file.text)).collect())
}

/// Adds the edit `what` to what is staged: `files` with what the edit was made from and what came out.
///
/// # Errors
/// Somebody else staged something meanwhile, or it can't be written.
pub fn keep(config: &Path, what: &str, files: Vec<(PathBuf, Option<String>, String)>) -> Result<(), Refused> {
    let lock = Lock::take(config)?;
    let mut staged = load(config)?.unwrap_or_default();
    staged.what.push(what.to_owned());
    for (path, from, to) in files {
        match staged.files.iter_mut().find(|file| file.path == path) {
            Some(file) if from.as_deref() == Some(&*file.text) => file.text = to,
            Some(_) => return Err(super::changed_under(&place(config))),
            None if from.as_deref() == Some(&*to) => {}
            None => staged.files.push(File { path, base: digest(from.as_deref()), text: to }),
        }
    }
    let text = serde_json::to_string(&staged).map_err(|error| Refused::failed(error.to_string()))?;
    replace(&lock, &[(&place(config), &text)], PRIVATE).map(drop)
}

/// Throws away `known`, which is what is staged; what somebody else staged meanwhile stays.
///
/// # Errors
/// It can't be removed.
pub fn discard(config: &Path, known: &Staged) -> Result<(), Refused> {
    let _lock = Lock::take(config)?;
    let path = place(config);
    match load(config)? {
        Some(staged) if staged == *known => std::fs::remove_file(&path).map_err(|error| fault(&path, &error)),
        Some(_) => Err(super::changed_under(&path)),
        None => Ok(()),
    }
}

/// Whether what is staged can be read and is not what a verb writes.
pub fn is_broken(config: &Path) -> bool {
    std::fs::read(place(config)).is_ok_and(|octets| serde_json::from_slice::<Staged>(&octets).is_err())
}

/// Throws away what can't be understood.
///
/// # Errors
/// It can't be removed.
pub fn discard_broken(config: &Path) -> Result<(), Refused> {
    let _lock = Lock::take(config)?;
    let path = place(config);
    match is_broken(config) {
        true => std::fs::remove_file(&path).map_err(|error| fault(&path, &error)),
        false => Err(super::changed_under(&path)),
    }
}

fn place(config: &Path) -> PathBuf {
    config.with_file_name("staged.json")
}
