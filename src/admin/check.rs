//! `stoxd check`: findings as lines, and those that need files alone.
//!
//! A check that did not run is a SKIP with its reason, never a PASS.

use super::exit;
use crate::config::{Config, Problem, Severity};
use crate::store::{Sqlite, StoreError};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;

/// Columns of a check's name.
const NAME_WIDTH: usize = 14;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// All is well.
    Pass,
    /// It did not run.
    Skip,
    /// It works, with a weakness.
    Warn,
    /// It does not work.
    Fail,
}

impl Outcome {
    /// The word in the output, in capitals.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Skip => "SKIP",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check's name: `config`, `store`, `policy`, `dns`, `certs`, `connectivity`. Empty: as the one before.
    pub name: &'static str,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found, in a line.
    pub text: String,
    /// Lines below it, such as how to fix it.
    pub notes: Vec<String>,
    /// Problems of the files, printed above it.
    pub problems: Vec<Problem>,
}

/// The configuration at `path` as a finding.
pub fn config(path: &Path, loaded: &Result<Config, Vec<Problem>>) -> Finding {
    let (problems, text) = match loaded {
        Ok(config) => (&config.warnings, summary(path, config)),
        Err(problems) => (problems, String::new()),
    };
    finding("config", problems.clone(), text)
}

/// What is wrong with the store in `directory`, if anything is. Nothing is touched.
pub fn store(directory: &Path) -> Option<Finding> {
    let error = Sqlite::look(directory).err()?;
    let hidden = matches!(&error, StoreError::Io { source, .. }
        if source.kind() == std::io::ErrorKind::PermissionDenied);
    let (outcome, text) = match hidden {
        true => (Outcome::Skip, format!("{}: this user may not look into it", directory.display())),
        false => (Outcome::Fail, error.to_string()),
    };
    Some(Finding { name: "store", outcome, text, notes: Vec::new(), problems: Vec::new() })
}

/// What else the daemon would refuse at its start, of a configuration that is valid in itself. Nothing is
/// touched.
pub fn obstacles(config: &Config) -> Vec<Finding> {
    store(&config.gateway.state_dir).into_iter().collect()
}

/// The policy file and its tests as a finding: what is wrong with the daemon's file is left out.
pub fn policy(path: &Path, loaded: &Result<Config, Vec<Problem>>) -> Finding {
    let daemon = file_name(path);
    let of_policy = |problems: &[Problem]| {
        problems.iter().filter(|problem| problem.file != daemon).cloned().collect::<Vec<_>>()
    };
    match loaded {
        Ok(config) => finding("policy", of_policy(&config.warnings), policy_summary(config)),
        Err(problems) => {
            let of_policy = of_policy(problems);
            if count(&of_policy, Severity::Error) > 0 {
                return finding("policy", of_policy, String::new());
            }
            Finding {
                name: "policy",
                outcome: Outcome::Skip,
                text: format!("{daemon} is invalid, so the policy tests were not run"),
                notes: Vec::new(),
                problems: of_policy,
            }
        }
    }
}

fn finding(name: &'static str, problems: Vec<Problem>, text: String) -> Finding {
    let (errors, warnings) = (count(&problems, Severity::Error), count(&problems, Severity::Warning));
    let counted = match (errors, warnings) {
        (0, 0) => String::new(),
        (0, warnings) => plural(warnings, "warning"),
        (errors, 0) => plural(errors, "error"),
        (errors, warnings) => format!("{}, {}", plural(errors, "error"), plural(warnings, "warning")),
    };
    let outcome = match (errors, warnings) {
        (0, 0) => Outcome::Pass,
        (0, _) => Outcome::Warn,
        _ => Outcome::Fail,
    };
    let text = match (text.is_empty(), counted.is_empty()) {
        (false, false) => format!("{text}, {counted}"),
        (false, true) => text,
        (true, _) => counted,
    };
    Finding { name, outcome, text, notes: Vec::new(), problems }
}

fn summary(path: &Path, config: &Config) -> String {
    let files = config.table.files();
    let grants = if files.grants.is_empty() { String::new() } else { format!(", {}", files.grants) };
    format!("{}, {}{grants}: {}", file_name(path), files.policy, policy_summary(config))
}

/// What the policy file comes to: "3 policies, 1,235 grants, 1/1 policy tests".
pub fn policy_summary(config: &Config) -> String {
    let tests = match config.policy_tests {
        0 => "no policy tests".to_owned(),
        tests => format!("{tests}/{tests} policy tests"),
    };
    let policies = match config.table.policies().len() {
        1 => "1 policy".to_owned(),
        policies => format!("{} policies", thousands(policies)),
    };
    format!("{policies}, {}, {tests}", plural(config.table.grant_count(), "grant"))
}

/// The findings as text or JSON, with the exit code: 78 if the configuration is invalid, 3 if
/// something failed (under `strict`: or was warned of or skipped), else 0.
pub fn render(findings: &[Finding], strict: bool, as_json: bool) -> (String, u8) {
    let worst = findings.iter().map(|finding| finding.outcome).max().unwrap_or(Outcome::Pass);
    let invalid = findings.iter().any(|finding| count(&finding.problems, Severity::Error) > 0);
    let code = match worst {
        _ if invalid => exit::CONFIG,
        Outcome::Fail => exit::PROBLEMS,
        Outcome::Warn | Outcome::Skip if strict => exit::PROBLEMS,
        Outcome::Warn | Outcome::Skip | Outcome::Pass => exit::DONE,
    };
    let text = if as_json { to_json(findings, worst) } else { to_text(findings) };
    (text, code)
}

fn to_text(findings: &[Finding]) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    for finding in findings {
        for problem in &finding.problems {
            let _ = writeln!(out, "{problem}\n");
        }
        let _ = writeln!(out, "{:NAME_WIDTH$}{}  {}", finding.name, finding.outcome.as_str(), finding.text);
        for note in &finding.notes {
            let _ = writeln!(out, "{:NAME_WIDTH$}      {note}", "");
        }
    }
    if findings.len() > 1 {
        let words = [
            (Outcome::Fail, "failed", "failed"),
            (Outcome::Warn, "warning", "warnings"),
            (Outcome::Skip, "skipped", "skipped"),
            (Outcome::Pass, "passed", "passed"),
        ];
        let counted: Vec<String> = words
            .iter()
            .filter_map(|(outcome, one, more)| {
                let count = findings.iter().filter(|finding| finding.outcome == *outcome).count();
                (count > 0).then(|| format!("{count} {}", if count == 1 { one } else { more }))
            })
            .collect();
        let _ = writeln!(out, "{}", counted.join(", "));
    }
    out
}

fn to_json(findings: &[Finding], worst: Outcome) -> String {
    let checks: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "name": finding.name,
                "outcome": finding.outcome.as_str().to_ascii_lowercase(),
                "text": finding.text,
                "notes": finding.notes,
                "problems": finding.problems.iter().map(problem_json).collect::<Vec<_>>(),
            })
        })
        .collect();
    let all = json!({ "outcome": worst.as_str().to_ascii_lowercase(), "checks": checks });
    format!("{all:#}\n")
}

/// A problem for programs.
pub fn problem_json(problem: &Problem) -> Value {
    let place = problem.place.as_ref();
    json!({
        "severity": problem.severity.as_str(),
        "message": problem.message,
        "file": problem.file,
        "line": place.map(|place| place.line),
        "column": place.map(|place| place.column),
        "width": place.map(|place| place.width),
        "text": place.map(|place| place.text.as_str()),
        "hint": problem.label,
    })
}

/// All of `problems` as text, with an empty line behind each.
pub fn problems(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n\n")).collect()
}

fn count(problems: &[Problem], severity: Severity) -> usize {
    problems.iter().filter(|problem| problem.severity == severity).count()
}

fn plural(count: usize, word: &str) -> String {
    format!("{} {word}{}", thousands(count), if count == 1 { "" } else { "s" })
}

/// `1204311` as `1,204,311`.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
