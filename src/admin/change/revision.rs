//! What was there before a change: `revisions/NUMBER/` beside the daemon's file, with a copy of each file that
//! the change replaced and `change.json`, which says who changed what. Its date is that file's.
//!
//! Until the files are replaced it is called `intent.json`. Where that is found later, whoever made the change
//! was killed: if the files are still what they were, nothing was changed, and there is no such revision.

use super::Refused;
use super::disk::{Lock, fault};
use super::staged::digest;
use super::summary::Facts;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Revisions that are kept.
const KEPT: usize = 50;
/// Octets that all of them may have together; the last one is kept at any size.
const OCTETS: u64 = 256 << 20;

/// `change.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The change, in the words of the command line.
    pub what: String,
    /// Who made it.
    pub by: String,
    /// Each file's path, and the name of its copy; no copy if there was no file.
    pub files: Vec<(PathBuf, Option<String>)>,
    /// The [`digest`] of what the change made of each file, in the same order; none in notes of older versions.
    #[serde(default)]
    pub after: Vec<String>,
    /// What became of them.
    #[serde(default)]
    pub facts: Facts,
}

/// What was there before one change.
#[derive(Clone, Debug)]
pub struct Revision {
    /// Its number, from 1.
    pub number: u32,
    /// When the change was made.
    pub date: SystemTime,
    /// What it was.
    pub note: Note,
    folder: PathBuf,
}

/// What says who changed what, before and after the change was made.
const NOTES: [&str; 2] = ["intent.json", "change.json"];

impl Revision {
    /// The files are replaced: the change was made.
    pub fn settle(&self) {
        // Where this fails, the files say that the change was made.
        let [intent, change] = NOTES.map(|name| self.folder.join(name));
        if std::fs::rename(intent, change).is_ok() {
            let _ = File::open(&self.folder).and_then(|folder| folder.sync_all());
        }
    }

    /// What the file at `path` held before the change; `None` if the change left it alone.
    ///
    /// # Errors
    /// The copy can't be read.
    pub fn text(&self, path: &Path) -> Result<Option<String>, Refused> {
        let Some((_, copy)) = self.note.files.iter().find(|(known, _)| known == path) else {
            return Ok(None);
        };
        let Some(copy) = copy else { return Ok(Some(String::new())) };
        let copy = self.folder.join(copy);
        std::fs::read_to_string(&copy).map(Some).map_err(|error| fault(&copy, &error))
    }

    /// Whether the change left the file at `path` with the content `text`; `true` if it does not say.
    pub fn left(&self, path: &Path, text: &str) -> bool {
        let at = self.note.files.iter().position(|(known, _)| known == path);
        at.and_then(|at| self.note.after.get(at)).is_none_or(|after| *after == digest(Some(text)))
    }

    /// Removes it: the change was not made.
    pub fn forget(&self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Keeps `files` (where, what is there, and what will be) as they are before the change `what`, which makes `facts`
/// of them.
///
/// # Errors
/// They can't be written.
pub fn keep<'f>(
    lock: &Lock,
    what: &str,
    facts: &Facts,
    files: impl Iterator<Item = (&'f Path, Option<&'f str>, &'f str)>,
) -> Result<Revision, Refused> {
    let all = lock.folder.join("revisions");
    let known = list(&lock.folder)?;
    for revision in &known {
        // What was made, and whose maker was killed before it could say so.
        revision.settle();
    }
    let number = known.last().map_or(1, |last| last.number.saturating_add(1));
    let folder = all.join(format!("{number:06}"));
    let written = || -> io::Result<Note> {
        DirBuilder::new().mode(0o700).recursive(true).create(&all)?;
        // What a crash left before anything was changed is not counted.
        let _ = std::fs::remove_dir_all(&folder);
        DirBuilder::new().mode(0o700).create(&folder)?;
        let (copies, after, facts) = (Vec::new(), Vec::new(), facts.clone());
        let mut note = Note { what: what.to_owned(), by: whoever(), files: copies, after, facts };
        for (index, (path, text, to)) in files.enumerate() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let copy = text.map(|text| -> io::Result<String> {
                let copy = format!("{index}-{name}");
                write(&folder.join(&copy), text.as_bytes())?;
                Ok(copy)
            });
            note.files.push((path.to_owned(), copy.transpose()?));
            note.after.push(digest(Some(to)));
        }
        write(&folder.join(NOTES[0]), &serde_json::to_vec(&note)?)?;
        File::open(&folder)?.sync_all()?;
        File::open(&all)?.sync_all()?;
        Ok(note)
    };
    match written() {
        Ok(note) => Ok(Revision { number, date: SystemTime::UNIX_EPOCH, note, folder }),
        Err(error) => {
            let _ = std::fs::remove_dir_all(&folder);
            Err(fault(&folder, &error))
        }
    }
}

fn write(path: &Path, octets: &[u8]) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(octets)?;
    file.sync_all()
}

/// All revisions beside the daemon's file, the oldest first.
///
/// # Errors
/// The folder is there and can't be read.
pub fn list(folder: &Path) -> Result<Vec<Revision>, Refused> {
    let all = folder.join("revisions");
    let entries = match std::fs::read_dir(&all) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(fault(&all, &error)),
    };
    let mut revisions: Vec<Revision> = entries.filter_map(|entry| read(entry.ok()?.path())).collect();
    revisions.sort_by_key(|revision| revision.number);
    Ok(revisions)
}

fn read(folder: PathBuf) -> Option<Revision> {
    let number = folder.file_name()?.to_str()?.parse().ok()?;
    let [intent, change] = NOTES.map(|name| folder.join(name));
    let (path, is_made) = if change.exists() { (change, true) } else { (intent, false) };
    let note = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
    let date = std::fs::metadata(&path).ok()?.modified().ok()?;
    let revision = Revision { number, date, note, folder };
    let is_as_before = |(path, copy): &(PathBuf, Option<String>)| match copy {
        Some(_) => {
            let now = super::disk::read(path).ok().flatten();
            now.is_some() && revision.text(path).is_ok_and(|before| before == now)
        }
        None => !path.exists(),
    };
    if !is_made && revision.note.files.iter().all(is_as_before) {
        return None;
    }
    Some(revision)
}

/// Drops the oldest revisions above the bounds. That fails quietly: they are tried again at the next change.
pub fn prune(lock: &Lock) {
    let mut octets = 0;
    for (index, revision) in list(&lock.folder).unwrap_or_default().iter().rev().enumerate() {
        let copies = revision.note.files.iter().filter_map(|(_, copy)| copy.as_ref());
        let sizes = copies.filter_map(|copy| std::fs::metadata(revision.folder.join(copy)).ok());
        octets += sizes.map(|file| file.len()).sum::<u64>();
        if index > 0 && (index >= KEPT || octets > OCTETS) {
            revision.forget();
        }
    }
}

/// Who runs this: as the environment says, else by number.
fn whoever() -> String {
    let names = ["SUDO_USER", "LOGNAME", "USER"].iter().filter_map(|name| std::env::var(name).ok());
    let uid =
        || std::fs::metadata("/proc/self").map_or_else(|_| "?".into(), |own| format!("uid {}", own.uid()));
    names.into_iter().find(|name| !name.is_empty()).unwrap_or_else(uid)
}
