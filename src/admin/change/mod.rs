//! The change engine: how a verb changes `stoxd.toml`, `policy.toml` or the grants file.
//!
//! edit → validate with the checks of the start, the `[[test]]` table among them → write a new file in the
//! same folder, fsync, rename, fsync the folder, keep what was there as a revision → reload of the daemon →
//! say what changed. A bad change changes nothing, and neither does one that the running daemon refuses.
//!
//! A verb that edits one file calls [`edit`]:
//!
//! ```ignore
//! change::edit("cert assign contoso", &how, Which::Daemon, |document| {
//!     rows::set(rows::table(document, "gateway")?, "name", "gw.contoso.example");
//!     Ok("gw.contoso.example is our name".to_owned())
//! })
//! ```
//!
//! The closure gets the file as [`toml_edit`] has it, so comments and order survive; it answers with a sentence
//! that says what was done, or with a [`Refused`]. Removals ask with [`How::agreed`] inside the closure. `edit`
//! prints everything and gives the exit code. A verb that touches several files uses a [`Change`].
//!
//! Nobody's work is overwritten: what a change was made from is compared, under a lock, with what is on disk
//! right before it is replaced.
//!
//! | file | owns |
//! |---|---|
//! | `disk` | the lock, replacing files as one, owner and mode |
//! | `revision` | what was there before, numbered |
//! | [`rows`] | editing TOML with its comments |
//! | `lists` | the same inside a list |
//! | `staged` | edits that wait for `stoxd commit` |
//! | `diff` | what changed, in lines |
//! | `summary` | what changed, in a few words for the history |

mod diff;
pub(super) mod disk;
mod lists;
pub(super) mod revision;
pub mod rows;
pub(super) mod staged;
pub(super) mod summary;
#[cfg(test)]
mod tests;

use super::check;
use super::cli::{ConfigFile, say};
use super::control::{self, Question};
use super::{complain, exit};
use crate::config::{self, Config, Problem, Severity};
use clap::Args;
pub(super) use diff::lines;
use disk::Lock;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use summary::Facts;
use toml_edit::DocumentMut;

/// How a change is made: the options of every verb that changes something.
#[derive(Clone, Debug, Args)]
pub struct How {
    /// Say what would change, and change nothing
    #[arg(long)]
    pub what_if: bool,
    /// Collect the edit in a staged copy, which `stoxd commit` applies
    #[arg(long, conflicts_with = "what_if")]
    pub staged: bool,
    /// Do not ask before something is removed
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub(super) file: ConfigFile,
}

impl How {
    /// For what only reads the configuration in `file`.
    pub(super) fn of(file: ConfigFile) -> Self {
        Self { what_if: true, staged: false, yes: false, file }
    }

    /// Whether whoever sits there agrees to `question`, which ends in a question mark.
    ///
    /// # Errors
    /// They do not, or nobody is there to be asked.
    pub fn agreed(&self, question: &str) -> Result<(), Refused> {
        if self.yes || self.what_if { Ok(()) } else { agreed(question) }
    }
}

/// Asks whoever sits there `question`, which ends in a question mark.
///
/// # Errors
/// They do not agree, or nobody is there to be asked.
pub(super) fn agreed(question: &str) -> Result<(), Refused> {
    if !io::stdin().is_terminal() {
        let why = "nobody is there to be asked: add --yes, or --what-if to see what would be done";
        return Err(Refused { text: why.into(), code: exit::USAGE });
    }
    complain(&format!("{question} [y/N] "));
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    if read.is_ok() && answer.trim().eq_ignore_ascii_case("y") {
        return Ok(());
    }
    complain("nothing was changed\n");
    Err(Refused { text: String::new(), code: exit::USAGE })
}

/// As [`How`], for what can't be staged.
#[derive(Clone, Debug, Args)]
pub struct Unstaged {
    /// Say what would change, and change nothing
    #[arg(long)]
    what_if: bool,
    /// Do not ask before something is removed
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    file: ConfigFile,
}

impl From<Unstaged> for How {
    fn from(how: Unstaged) -> Self {
        Self { what_if: how.what_if, staged: false, yes: how.yes, file: how.file }
    }
}

/// One of the two TOML files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// `stoxd.toml`.
    Daemon,
    /// `policy.toml`.
    Policy,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refused {
    /// What there is to say, without a full stop; empty if it was said.
    pub text: String,
    /// The exit code.
    pub code: u8,
}

impl Refused {
    /// It can't be done: exit code 1.
    pub fn failed(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: exit::FAILED }
    }

    /// The question is wrong: exit code 2.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: exit::USAGE }
    }

    /// Prints it; the exit code.
    pub fn print(&self) -> u8 {
        if !self.text.is_empty() {
            complain(&format!("error: {}\n", self.text.trim_end()));
        }
        self.code
    }
}

/// Changes one file; `what` is the change in the words of the command line. Prints all there is to say and
/// gives the exit code.
pub fn edit(
    what: &str,
    how: &How,
    which: Which,
    edit: impl FnOnce(&mut DocumentMut) -> Result<String, Refused>,
) -> u8 {
    let made = || {
        let mut change = Change::open(what, how)?;
        let path = change.path(which);
        let mut document = change.document(&path)?;
        if which == Which::Daemon && !path.exists() {
            // A setting alone makes no configuration.
            let problems = config::check(&change.config).err().unwrap_or_default();
            let text = format!("nothing was changed\n{}", check::problems(&problems));
            return Err(Refused { text, code: exit::CONFIG });
        }
        let said = edit(&mut document)?;
        change.put(&path, document.to_string());
        Ok((change, said))
    };
    match made() {
        Ok((change, said)) => change.finish(&said),
        Err(refused) => Refused::print(&refused),
    }
}

/// One file of a change.
#[derive(Debug)]
struct Edit {
    path: PathBuf,
    /// What the change is made from: the staged copy, if edits are being staged and it is there.
    from: Option<String>,
    to: String,
}

impl Edit {
    /// When it is put in place, so that whoever is killed in between leaves files that fit: a grant goes before its
    /// policy and comes after it.
    fn turn(&self, grants: Option<&Path>) -> u8 {
        let shrinks = self.from.as_ref().is_some_and(|from| from.len() > self.to.len());
        match (grants == Some(&*self.path), shrinks) {
            (true, true) => 0,
            (false, _) => 1,
            (true, false) => 2,
        }
    }
}

/// A change in the making; nothing happens before [`Change::finish`].
#[derive(Debug)]
pub struct Change<'h> {
    what: String,
    how: &'h How,
    config: PathBuf,
    edits: Vec<Edit>,
}

impl<'h> Change<'h> {
    /// Starts the change `what`, in the words of the command line.
    ///
    /// # Errors
    /// The staged edits can't be read.
    pub fn open(what: &str, how: &'h How) -> Result<Self, Refused> {
        let config = how.file.config.clone();
        let mut change = Self { what: what.to_owned(), how, config, edits: Vec::new() };
        if how.staged {
            for (path, text) in staged::texts(&change.config)? {
                change.edits.push(Edit { path, from: Some(text.clone()), to: text });
            }
        }
        Ok(change)
    }

    /// Where a file is. A link stays a link: what it points to is replaced.
    pub fn path(&self, which: Which) -> PathBuf {
        match which {
            Which::Daemon => real(&self.config),
            Which::Policy => real(&config::files_of(&self.config, &self.overlay()).policy),
        }
    }

    /// Where the grants file is, if there is one.
    pub fn grants(&self) -> Option<PathBuf> {
        config::files_of(&self.config, &self.overlay()).grants.as_deref().map(real)
    }

    /// The text of the file at `path` as it is so far; empty if there is no file.
    ///
    /// # Errors
    /// It can't be read.
    pub fn text(&mut self, path: &Path) -> Result<&str, Refused> {
        let index = match self.edits.iter().position(|edit| edit.path == path) {
            Some(index) => index,
            None => {
                let from = disk::read(path)?;
                let to = from.clone().unwrap_or_default();
                self.edits.push(Edit { path: path.to_owned(), from, to });
                self.edits.len() - 1
            }
        };
        Ok(self.edits.get(index).map_or("", |edit| &edit.to))
    }

    /// The file at `path`, as it is so far, to be edited.
    ///
    /// # Errors
    /// It can't be read, or is no TOML.
    pub fn document(&mut self, path: &Path) -> Result<DocumentMut, Refused> {
        let parsed = self.text(path)?.parse::<DocumentMut>();
        parsed.map_err(|error| {
            let text = match config::check_with(&self.config, &self.overlay()) {
                Err(found) => format!("the file can't be edited as it is\n{}", check::problems(&found)),
                Ok(_) => format!("{}: {}", path.display(), error.message()),
            };
            Refused { text, code: exit::CONFIG }
        })
    }

    /// Gives the file at `path`, which was read or is new, the edited content `text`: with the line ends, and the
    /// byte order mark, that it had.
    pub fn put(&mut self, path: &Path, text: String) {
        let before = self.edits.iter().find(|edit| edit.path == path).map_or("", |edit| &edit.to);
        let text = as_written(before, text);
        self.put_whole(path, text);
    }

    /// Gives the file at `path` the content `text`, whatever it holds.
    ///
    /// # Errors
    /// What it holds can't be read.
    pub fn put_known(&mut self, path: &Path, text: String) -> Result<(), Refused> {
        self.text(path)?;
        self.put_whole(path, text);
        Ok(())
    }

    fn put_whole(&mut self, path: &Path, text: String) {
        match self.edits.iter_mut().find(|edit| edit.path == path) {
            Some(edit) => edit.to = text,
            None => self.edits.push(Edit { path: path.to_owned(), from: None, to: text }),
        }
    }

    /// Calls the change `what`.
    pub fn rename(&mut self, what: String) {
        self.what = what;
    }

    /// The configuration as it is so far, if it is valid.
    ///
    /// # Errors
    /// Its problems, exit code 78.
    pub fn checked(&self) -> Result<Config, Refused> {
        config::check_with(&self.config, &self.overlay()).map_err(|problems| Refused {
            text: format!("the configuration is invalid\n{}", check::problems(&problems)),
            code: exit::CONFIG,
        })
    }

    fn overlay(&self) -> Vec<(PathBuf, String)> {
        self.edits.iter().map(|edit| (edit.path.clone(), edit.to.clone())).collect()
    }

    /// Makes the change and prints what was done, `said` first; the exit code.
    pub fn finish(self, said: &str) -> u8 {
        self.finish_with(said, |_| String::new())
    }

    /// As [`Change::finish`]; `note` says more of the configuration as it will be, in whole lines.
    pub fn finish_with(self, said: &str, note: impl FnOnce(&Config) -> String) -> u8 {
        match self.make(said, note) {
            Ok((text, code)) => say(&text, code),
            Err(refused) => refused.print(),
        }
    }

    fn make(mut self, said: &str, note: impl FnOnce(&Config) -> String) -> Result<(String, u8), Refused> {
        if self.edits.iter().all(|edit| edit.from.as_deref() == Some(&*edit.to)) {
            return Ok((format!("{said}: it was so before, nothing was changed\n"), exit::DONE));
        }
        let checked = self.judge();
        let mut out = format!("{said}\n");
        out.push_str(&checked.as_ref().map(note).unwrap_or_default());
        for edit in &self.edits {
            out.push_str(&lines(&edit.path, edit.from.as_deref().unwrap_or_default(), &edit.to));
        }
        match &checked {
            Ok(config) => out.push_str(&check::problems(&self.new_warnings(config))),
            Err(problems) if self.how.staged => {
                out.push_str("not valid yet:\n");
                out.push_str(&check::problems(problems));
            }
            Err(problems) => {
                let refused = "the change is refused, nothing was changed";
                // Warnings are no reason, and most are as old as the files.
                let errors: Vec<Problem> =
                    problems.iter().filter(|problem| problem.severity == Severity::Error).cloned().collect();
                return Err(Refused {
                    text: format!("{refused}\n{}", check::problems(&errors)),
                    code: exit::PROBLEMS,
                });
            }
        }
        if self.how.what_if {
            out.push_str("nothing was changed\n");
            return Ok((out, exit::DONE));
        }
        if self.how.staged {
            let texts: Vec<_> = self.edits.drain(..).map(|edit| (edit.path, edit.from, edit.to)).collect();
            staged::keep(&self.config, &self.what, texts)?;
            out.push_str("staged: stoxd commit applies it\n");
            return Ok((out, exit::DONE));
        }
        let (taken, code) = self.apply()?;
        out.push_str(&taken);
        Ok((out, code))
    }

    /// Warnings that `config` has, and that what is on disk has not.
    fn new_warnings(&self, config: &Config) -> Vec<Problem> {
        if config.warnings.is_empty() {
            return Vec::new();
        }
        let before = match config::check(&self.config) {
            Ok(before) => before.warnings,
            Err(problems) => problems,
        };
        let same = |a: &Problem, b: &Problem| a.message == b.message && a.label == b.label;
        config.warnings.iter().filter(|new| !before.iter().any(|old| same(old, new))).cloned().collect()
    }

    /// The configuration as it will be. The files that are not edited are taken in, too: what is right beside them
    /// may be wrong beside what another verb makes of them meanwhile.
    fn judge(&mut self) -> Result<Config, Vec<Problem>> {
        let all = [Some(self.path(Which::Daemon)), Some(self.path(Which::Policy)), self.grants()];
        for path in all.into_iter().flatten() {
            if self.edits.iter().all(|edit| edit.path != path)
                && let Ok(Some(text)) = disk::read(&path)
            {
                self.edits.push(Edit { path, from: Some(text.clone()), to: text });
            }
        }
        config::check_with(&self.config, &self.overlay())
    }

    /// Whether all that the change was made from is still there.
    fn is_fresh(&self) -> Result<(), Refused> {
        for edit in &self.edits {
            if disk::read(&edit.path)? != edit.from {
                return Err(changed_under(&edit.path));
            }
        }
        Ok(())
    }

    /// Writes the files and lets the daemon take them; what it said.
    fn apply(self) -> Result<(String, u8), Refused> {
        let lock = Lock::take(&self.config)?;
        self.is_fresh()?;
        // A daemon that runs listens where the files said before.
        let running = config::admin_socket(&self.config).ok();
        let grants = self.grants();
        let mut changed: Vec<Edit> =
            self.edits.into_iter().filter(|edit| edit.from.as_deref() != Some(&*edit.to)).collect();
        changed.sort_by_key(|edit| edit.turn(grants.as_deref()));
        let mut facts = Facts::default();
        for edit in &changed {
            facts.add(&edit.path, edit.from.as_deref().unwrap_or_default(), &edit.to);
        }
        let revision = revision::keep(
            &lock,
            &self.what,
            &facts,
            changed.iter().map(|edit| (edit.path.as_path(), edit.from.as_deref(), &*edit.to)),
        )
        .map_err(nothing_changed)?;
        let files: Vec<(&Path, &str)> = changed.iter().map(|edit| (edit.path.as_path(), &*edit.to)).collect();
        let replaced = disk::replace(&lock, &files, disk::OPEN)
            .inspect_err(|_| revision.forget())
            .map_err(nothing_changed)?;
        revision.settle();
        let answered = reload(running.as_deref(), &self.config);
        if let Ok(Err(why)) = answered {
            let text = match replaced.undo(&lock) {
                Ok(()) => {
                    revision.forget();
                    format!("the daemon refuses the change, nothing was changed\n{why}")
                }
                Err(error) => {
                    format!("the daemon refuses the change, and the old file is not back: {error}\n{why}")
                }
            };
            return Err(Refused { text, code: exit::PROBLEMS });
        }
        revision::prune(&lock);
        Ok(match answered {
            Ok(Ok(said) | Err(said)) => (format!("{said}\n"), exit::DONE),
            Err(NotAsked::NotRunning) => {
                ("the daemon does not run: it takes this at its next start\n".into(), exit::DONE)
            }
            Err(NotAsked::Other(error)) => (
                format!("written, but the daemon could not be told: {error}: stoxd reload\n"),
                exit::UNREACHABLE,
            ),
        })
    }
}

/// `text`, which an editor made of `before` and which may have lost how that was written.
fn as_written(before: &str, text: String) -> String {
    const MARK: char = '\u{feff}';
    let is_dos = before.split_inclusive('\n').next().is_some_and(|line| line.ends_with("\r\n"));
    let mut text = if is_dos { text.replace("\r\n", "\n").replace('\n', "\r\n") } else { text };
    if before.starts_with(MARK) && !text.starts_with(MARK) {
        text.insert(0, MARK);
    }
    text
}

/// Why the disk did not take the change.
fn nothing_changed(refused: Refused) -> Refused {
    Refused { text: format!("{}: nothing was changed", refused.text), code: refused.code }
}

/// What is said to the second of two administrators.
fn changed_under(path: &Path) -> Refused {
    Refused::failed(format!(
        "{} was changed by somebody else in the meantime: nothing was changed, try again",
        path.display()
    ))
}

enum NotAsked {
    NotRunning,
    Other(io::Error),
}

/// What the daemon says when it is told to take its files: the one at `running`, else where the files say now.
fn reload(running: Option<&Path>, config: &Path) -> Result<Result<String, String>, NotAsked> {
    let now = config::admin_socket(config).ok();
    let elsewhere = now.as_deref().filter(|now| running != Some(*now));
    match (running, elsewhere) {
        (Some(running), Some(elsewhere)) => match ask(running) {
            Err(NotAsked::NotRunning) => ask(elsewhere),
            answered => answered,
        },
        (Some(socket), None) | (None, Some(socket)) => ask(socket),
        (None, None) => Err(NotAsked::NotRunning),
    }
}

fn ask(socket: &Path) -> Result<Result<String, String>, NotAsked> {
    match control::ask(socket, &Question::Reload) {
        Ok(answer) => Ok(answer.outcome().unwrap_or_else(|| Ok("reloaded".into()))),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Err(NotAsked::NotRunning),
            _ => Err(NotAsked::Other(error)),
        },
    }
}

/// `path` with its links followed.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Applies the staged edits, or throws them away; the exit code.
pub fn commit(how: &How, discard: bool) -> u8 {
    let config = how.file.config.clone();
    let done = || -> Result<u8, Refused> {
        let loaded = staged::load(&config);
        if discard && staged::is_broken(&config) {
            how.agreed("what is staged can't be read. Discard it?")?;
            if how.what_if {
                return Ok(say("the staged edits would be gone; nothing was changed\n", exit::DONE));
            }
            staged::discard_broken(&config)?;
            return Ok(say("the staged edits, which could not be read, are gone\n", exit::DONE));
        }
        let Some(staged) = loaded? else {
            return Err(Refused::failed("nothing is staged: add --staged to a verb that changes something"));
        };
        if discard {
            how.agreed(&format!("{} staged edits will be gone. Discard them?", staged.what.len()))?;
            if how.what_if {
                return Ok(say("the staged edits would be gone; nothing was changed\n", exit::DONE));
            }
            staged::discard(&config, &staged)?;
            return Ok(say("the staged edits are gone\n", exit::DONE));
        }
        let mut edits = Vec::new();
        for file in staged.files.clone() {
            let from = disk::read(&file.path)?;
            if staged::digest(from.as_deref()) != file.base {
                let mut refused = changed_under(&file.path);
                refused.text.push_str("\n  stoxd commit --discard throws the staged edits away");
                return Err(refused);
            }
            edits.push(Edit { path: file.path, from, to: file.text });
        }
        let how = How { staged: false, ..how.clone() };
        let change = Change { what: staged.what.join("; "), how: &how, config: config.clone(), edits };
        let (mut text, code) = change.make(&staged.what.join("\n"), |_| String::new())?;
        if !how.what_if && staged::discard(&config, &staged).is_err() {
            text.push_str("somebody staged another edit meanwhile, which is not applied\n");
        }
        Ok(say(&text, code))
    };
    done().unwrap_or_else(|refused: Refused| refused.print())
}
