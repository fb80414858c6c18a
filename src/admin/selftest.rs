//! `stoxd test`: a synthetic exchange through the running daemon.

use super::cli::{Daemon, Output, address, say, to_json};
use super::control::Question;
use super::words::columns;
use super::{complain, exit};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Octets of a message that a test may say.
const TEXT_LIMIT: usize = 1024;

/// `stoxd test …`.
#[derive(Debug, Subcommand)]
pub(super) enum TestVerb {
    /// A message, which really arrives: it says that it is a test
    Im {
        /// What it says
        #[arg(long, value_name = "TEXT")]
        text: Option<String>,
        #[command(flatten)]
        args: TestArgs,
    },
    /// A question for presence, which leaves no authorization behind
    Presence(TestArgs),
}

/// What every test takes.
#[derive(Debug, Args)]
pub(super) struct TestArgs {
    /// Who seems to ask: sip:alice@contoso.example, or xmpp:romeo@fabrikam.example; else [selftest] from
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Whom it is for, on the other side; else [selftest] to
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// Write the result into this file too: JSON if its name ends in .json, else as it is printed
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Overwrite the report if there is one
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    daemon: Daemon,
    #[command(flatten)]
    output: Output,
}

/// What is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A message.
    Im,
    /// Presence.
    Presence,
}

/// What a test came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Who seemed to ask.
    pub from: String,
    /// Whom it was for.
    pub target: String,
    /// "Success" or "Failure".
    pub result: String,
    /// How long it took, in milliseconds.
    pub latency: u64,
    /// What the sender would have heard, if it failed: "403 forbidden".
    pub error: Option<String>,
    /// Which kind of failure: "policy-denied", "dns", "timeout" and so on.
    pub class: Option<String>,
    /// Why, and what to do; on success what the other side said.
    pub diagnosis: String,
    /// Did policy say no?
    pub denied: bool,
}

impl Report {
    /// The exit code: 0 it works, 3 denied, 1 anything else.
    pub fn exit(&self) -> u8 {
        match (self.error.is_none(), self.denied) {
            (true, _) => exit::DONE,
            (false, true) => exit::PROBLEMS,
            (false, false) => exit::FAILED,
        }
    }
}

/// Does `verb` by `ask`, which asks the daemon; the exit code.
pub(super) fn run(verb: TestVerb, ask: impl FnOnce(&Daemon, &Question) -> Result<Report, u8>) -> u8 {
    let (kind, text, args) = match verb {
        TestVerb::Im { text, args } => (Kind::Im, text, args),
        TestVerb::Presence(args) => (Kind::Presence, None, args),
    };
    if text.as_ref().is_some_and(|text| text.len() > TEXT_LIMIT || text.trim().is_empty()) {
        complain(&format!("error: --text: {TEXT_LIMIT} octets at most, and not nothing\n"));
        return exit::USAGE;
    }
    for (option, text) in [("--from", &args.from), ("--to", &args.to)] {
        if let Some(Err(code)) = text.as_deref().map(|text| address(option, text)) {
            return code;
        }
    }
    // Before anything is sent.
    if let Some(path) = args.report.as_deref().filter(|path| path.exists() && !args.yes) {
        complain(&format!("error: {} is there already\n  --yes overwrites it\n", path.display()));
        return exit::FAILED;
    }
    let question = Question::Test { kind, from: args.from, to: args.to, text };
    let report = match ask(&args.daemon, &question) {
        Ok(report) => report,
        Err(code) => return code,
    };
    if let Some(path) = &args.report
        && let Err(error) = keep(path, args.yes, &report)
    {
        complain(&format!("error: can't write {}: {error}\n", path.display()));
        return say(&text_of(&report, args.output.json), exit::FAILED);
    }
    say(&text_of(&report, args.output.json), report.exit())
}

fn text_of(report: &Report, json: bool) -> String {
    if json { to_json(report) } else { render(report) }
}

/// The result as a person reads it.
pub fn render(report: &Report) -> String {
    let row: [String; 5] = [
        report.target.clone(),
        report.result.clone(),
        format!("{} ms", report.latency),
        report.error.clone().unwrap_or_else(|| "-".to_owned()),
        report.diagnosis.clone(),
    ];
    columns(["Target", "Result", "Latency", "Error", "Diagnosis"], &[row])
}

/// Writes the report; one that is there is replaced only if that was said.
fn keep(path: &Path, overwrite: bool, report: &Report) -> io::Result<()> {
    let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let mut options = OpenOptions::new();
    options.write(true);
    let mut file = match overwrite {
        true => options.create(true).truncate(true).open(path)?,
        false => options.create_new(true).open(path)?,
    };
    file.write_all(text_of(report, json).as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn report(error: Option<&str>, denied: bool) -> Report {
        Report {
            from: "sip:alice@contoso.example".into(),
            target: "xmpp:romeo@fabrikam.example".into(),
            result: if error.is_none() { "Success" } else { "Failure" }.into(),
            latency: 41,
            error: error.map(str::to_owned),
            class: None,
            diagnosis: "the partner's server has it, and answers".into(),
            denied,
        }
    }

    #[test]
    fn f108_the_result_has_its_five_columns_and_its_exit_code() {
        let text = render(&report(None, false));
        let lines: Vec<&str> = text.lines().collect();
        for (head, value) in [
            ("Target", "xmpp:romeo@fabrikam.example"),
            ("Result", "Success"),
            ("Latency", "41 ms"),
            ("Error", "-"),
            ("Diagnosis", "the partner's server has it, and answers"),
        ] {
            let at = lines[0].find(head).unwrap();
            assert!(lines[1][at..].starts_with(value), "{text}");
        }
        assert_eq!(report(None, false).exit(), 0);
        assert_eq!(report(Some("504 remote-server-timeout"), false).exit(), 1);
        assert_eq!(report(Some("403 forbidden"), true).exit(), 3);
    }

    #[test]
    fn f109_a_report_is_written_once_and_overwritten_only_when_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let (json, text) = (folder.path().join("report.json"), folder.path().join("report.txt"));
        keep(&json, false, &report(None, false)).unwrap();
        let read: Report = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        assert_eq!(read, report(None, false));
        keep(&text, false, &report(None, false)).unwrap();
        assert_eq!(std::fs::read_to_string(&text).unwrap(), render(&report(None, false)));
        let failed = report(Some("403 forbidden"), true);
        assert!(keep(&text, false, &failed).is_err());
        keep(&text, true, &failed).unwrap();
        assert_eq!(std::fs::read_to_string(&text).unwrap(), render(&failed));
    }
}
