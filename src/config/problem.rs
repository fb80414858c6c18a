//! What is wrong with a file, where, and what to do about it.
//!
//! A [`Problem`] prints as compilers print theirs: the sentence, `--> file:line:column`, the line, a
//! caret under what is wrong and a suggestion beside it. What is printed comes from files that
//! anybody may have written, so control characters never reach the terminal and long lines are cut.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// More errors, or more warnings, than this are counted, not kept.
const MAX_PROBLEMS: usize = 100;
/// Characters of a line that are shown.
const MAX_SHOWN: usize = 160;
/// Characters that are shown in front of the caret when a line is cut.
const MAX_LEAD: usize = 80;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is taken; somebody should look at it.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong, or weak, in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it refuses the configuration.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// The file's name as shown.
    pub file: String,
    /// Where in the file; `None` when it is the file as a whole.
    pub place: Option<Place>,
    /// What stands beside the caret: the reason or a suggestion; may be empty.
    pub label: String,
}

/// A place in a file, with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// How many characters are meant, at least 1.
    pub width: u32,
    /// The line itself, or the part of it that is shown.
    pub text: String,
    /// Characters of `text` in front of the caret.
    pub lead: u32,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.severity.as_str(), self.message)?;
        let Some(place) = &self.place else {
            write!(f, " --> {}", self.file)?;
            return if self.label.is_empty() { Ok(()) } else { write!(f, ": {}", self.label) };
        };
        let number = place.line.to_string();
        let gutter = number.len();
        writeln!(f, "{:gutter$}--> {}:{}:{}", "", self.file, place.line, place.column)?;
        writeln!(f, "{number} | {}", place.text)?;
        let (lead, width) = (place.lead as usize, place.width as usize);
        write!(f, "{:gutter$} | {:lead$}{:^<width$}", "", "", "")?;
        if self.label.is_empty() { Ok(()) } else { write!(f, " {}", self.label) }
    }
}

/// One file's text, and the name and folder it goes by.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// The name as shown in problems.
    pub(super) name: String,
    /// The folder that relative paths in the file start from.
    pub(super) folder: PathBuf,
    /// The text.
    pub(super) text: String,
    /// The offset of each line's first octet.
    lines: Vec<usize>,
}

impl Source {
    /// The file at `path` with the content `text`.
    pub(super) fn new(path: &Path, text: String) -> Self {
        let lines = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1))
            .collect();
        Self { name: shown_name(path), folder: folder_of(path), text, lines }
    }

    /// The line, from 1, that `offset` is in.
    pub(super) fn line_of(&self, offset: usize) -> u32 {
        u32::try_from(self.lines.partition_point(|start| *start <= offset)).unwrap_or(u32::MAX).max(1)
    }

    /// The place that `span` (octets) names.
    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        let line = self.line_of(span.start);
        let start = self.lines.get(line as usize - 1).copied().unwrap_or(0);
        let text = self.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let (from, to) = (self.text.floor_char_boundary(span.start), self.text.floor_char_boundary(span.end));
        let before = self.text.get(start..from).unwrap_or_default().chars().count();
        let meant = self.text.get(from..to).unwrap_or_default();
        let meant = meant.lines().next().unwrap_or_default().chars().count();
        Place::in_line(line, text, before, meant)
    }
}

impl Place {
    /// The place `before` characters into `text`, which is line `line`, `width` characters long.
    pub(super) fn in_line(line: u32, text: &str, before: usize, width: usize) -> Self {
        let cut = if text.chars().count() > MAX_SHOWN { before.saturating_sub(MAX_LEAD) } else { 0 };
        let shown: String = text.chars().skip(cut).take(MAX_SHOWN).map(printable).collect();
        let lead = before - cut;
        let room = shown.chars().count().saturating_sub(lead);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            line,
            column: number(before.saturating_add(1)),
            width: number(width.min(room).max(1)),
            text: shown,
            lead: number(lead),
        }
    }
}

/// `text` as it may stand in a message: no control characters, not too long.
pub(super) fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(MAX_SHOWN).map(printable).collect();
    let more = if text.chars().nth(MAX_SHOWN).is_some() { "…" } else { "" };
    format!("\"{cut}{more}\"")
}

/// What a terminal may be shown for `c`: one column, no effects.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        // Bidirectional controls would show a line as another than it is.
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// The last component of `path`.
pub(super) fn shown_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().chars().map(printable).collect()
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Collects problems, of all files, up to a bound.
#[derive(Debug, Default)]
pub(super) struct Report {
    problems: RefCell<Vec<Problem>>,
    errors: Cell<usize>,
    warnings: Cell<usize>,
    /// File and line of each syntax error: what else is said about such a line is a consequence.
    broken: RefCell<Vec<(String, u32)>>,
}

impl Report {
    /// Takes `problem` in.
    pub(super) fn add(&self, problem: Problem) {
        let count = match problem.severity {
            Severity::Error => &self.errors,
            Severity::Warning => &self.warnings,
        };
        if count.get() < MAX_PROBLEMS {
            self.problems.borrow_mut().push(problem);
        }
        count.set(count.get().saturating_add(1));
    }

    /// Whether `file` has errors.
    pub(super) fn has_errors_in(&self, file: &str) -> bool {
        let is_one = |p: &Problem| p.severity == Severity::Error && p.file == file;
        self.problems.borrow().iter().any(is_one)
    }

    /// An error at `span` of `source`.
    pub(super) fn error(
        &self,
        source: &Source,
        span: &Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) {
        self.at(Severity::Error, source, span, message.into(), label.into());
    }

    /// A warning at `span` of `source`.
    pub(super) fn warn(
        &self,
        source: &Source,
        span: &Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
    ) {
        self.at(Severity::Warning, source, span, message.into(), label.into());
    }

    /// An error that makes `span`'s line mean nothing.
    pub(super) fn syntax(&self, source: &Source, span: &Range<usize>, message: &str, label: String) {
        self.error(source, span, message, label);
        self.broken.borrow_mut().push((source.name.clone(), source.line_of(span.start)));
    }

    /// Whether `source` has syntax errors.
    pub(super) fn has_syntax_errors(&self, source: &Source) -> bool {
        self.broken.borrow().iter().any(|(file, _)| *file == source.name)
    }

    fn at(&self, severity: Severity, source: &Source, span: &Range<usize>, message: String, label: String) {
        let place = source.place(span);
        if self.broken.borrow().iter().any(|(file, line)| *file == source.name && *line == place.line) {
            return;
        }
        self.add(Problem { severity, message, file: source.name.clone(), place: Some(place), label });
    }

    /// An error that concerns the file `name` as a whole.
    pub(super) fn file_error(&self, name: &str, message: impl Into<String>, label: impl Into<String>) {
        let (message, label) = (message.into(), label.into());
        self.add(Problem { severity: Severity::Error, message, file: name.to_owned(), place: None, label });
    }

    /// All problems, by file in the order of `files`, then by line; each once.
    pub(super) fn into_problems(self, files: &[&str]) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|p| {
            let file = files.iter().position(|name| *name == p.file).unwrap_or(files.len());
            (file, p.place.as_ref().map(|place| (place.line, place.column)), p.severity)
        });
        problems.dedup();
        for (severity, count) in [(Severity::Error, self.errors), (Severity::Warning, self.warnings)] {
            let more = count.get().saturating_sub(MAX_PROBLEMS);
            if more > 0 {
                problems.push(Problem {
                    severity,
                    message: format!("{more} more of this kind are not shown"),
                    file: files.first().copied().unwrap_or_default().to_owned(),
                    place: None,
                    label: String::new(),
                });
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_prints_its_line_a_caret_and_a_suggestion() {
        let text = format!("{}policy = \"Salse\"\n", "\n".repeat(13));
        let source = Source::new(Path::new("/etc/stoxd/policy.toml"), text);
        let report = Report::default();
        let label = "not defined; did you mean \"Sales\" (line 9)?";
        report.error(&source, &(22..29), "unknown policy \"Salse\"", label);
        let problems = report.into_problems(&["policy.toml"]);
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "error: unknown policy \"Salse\"\n  --> policy.toml:14:10\n14 | policy = \"Salse\"\n   |          \
              ^^^^^^^ not defined; did you mean \"Sales\" (line 9)?"
            ]
        );
    }

    #[test]
    fn what_is_printed_is_bounded_and_harmless() {
        let long = format!("x = \"{}\u{1b}[2J\u{202e}\"", "é".repeat(500));
        let span = long.len() - 3..long.len();
        let source = Source::new(Path::new("a.toml"), long);
        let place = source.place(&span);
        assert!(place.text.chars().count() <= MAX_SHOWN);
        assert!(!place.text.contains(['\u{1b}', '\u{202e}']));
        assert_eq!((place.lead, place.column), (80, 510));
        assert_eq!(quoted("a\u{7}b"), "\"a\u{fffd}b\"");
        let report = Report::default();
        for n in 0..150 {
            report.file_error("a.toml", format!("{n}"), "");
        }
        assert_eq!(report.into_problems(&["a.toml"]).len(), MAX_PROBLEMS + 1);
    }

    #[test]
    fn a_span_at_the_end_of_the_text_or_beyond_is_a_place() {
        let source = Source::new(Path::new("a.toml"), "x = \n".into());
        assert_eq!((source.place(&(5..5)).line, source.place(&(5..5)).width), (2, 1));
        assert_eq!(source.place(&(99..120)).line, 2);
    }
}
