//! `stoxd drain` and `stoxd log-level`.

use super::change::{self, agreed};
use super::check;
use super::cli::say;
use super::complain;
use super::control::{self, Answer, Question};
use super::exit;
use crate::config;
use crate::config::settings::LogLevel;
use clap::ValueEnum;
use serde_json::json;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// The longest that another log level may last, in seconds.
pub const LONGEST: u64 = 7 * 24 * 3600;

/// Stops the daemon behind `socket` and waits for its end; the exit code.
pub(super) fn drain(socket: &Path, what_if: bool, yes: bool) -> Result<u8, io::Error> {
    if what_if || !yes {
        let (answer, _) = control::begin(socket, &Question::Drain { what_if: true })?;
        let code = told(answer, |text| match what_if {
            true => say(&(text + "\n"), exit::DONE),
            // What the question is about.
            false => {
                complain(&(text.trim_end_matches("\nnothing was changed").to_owned() + "\n"));
                exit::DONE
            }
        });
        if what_if || code != exit::DONE {
            return Ok(code);
        }
        if let Err(refused) = agreed("The gateway will stop. Drain it?") {
            return Ok(refused.print());
        }
    }
    let (answer, mut open) = control::begin(socket, &Question::Drain { what_if: false })?;
    Ok(told(answer, |text| {
        let code = say(&(text + "\n"), exit::DONE);
        // Its end is the connection's.
        match open.read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                complain("error: it has not stopped in time; see: systemctl status stoxd\n");
                exit::FAILED
            }
            Ok(_) | Err(_) if code == exit::DONE => say("stopped\n", exit::DONE),
            Ok(_) | Err(_) => code,
        }
    }))
}

/// How much is logged, as text or as JSON.
pub(super) fn level(now: LogLevel, usual: LogLevel, as_json: bool) -> String {
    let (level, configured) = (now.as_str(), usual.as_str());
    match as_json {
        true => format!("{:#}\n", json!({ "level": level, "configured": configured })),
        false if now == usual => format!("the log level is {level}\n"),
        false => format!("the log level is {level}; the configuration says {configured}\n"),
    }
}

/// What a daemon that runs with the texts in `running` would read from the files of `config`; the exit code.
pub(super) fn would_reload(config: &Path, running: &[(String, String)]) -> u8 {
    let stored = match config::check(config) {
        Ok(stored) => stored,
        Err(problems) => {
            complain(&format!("error: a reload would be refused\n{}", check::problems(&problems)));
            return exit::CONFIG;
        }
    };
    let mut text = String::new();
    for (name, new) in &stored.texts {
        let old = running.iter().find(|(known, _)| known == name).map_or("", |(_, old)| old);
        text.push_str(&change::lines(Path::new(name), old, new));
    }
    if text.is_empty() {
        text.push_str(
            "the files are as the daemon has read them; certificates and grants would be read again\n",
        );
    }
    text.push_str(&format!("it would load: {}\nnothing was changed\n", check::policy_summary(&stored)));
    say(&text, exit::DONE)
}

/// `done` with what was done; else says why not.
fn told(answer: Answer, done: impl FnOnce(String) -> u8) -> u8 {
    match answer.outcome().unwrap_or_else(|| Err("the daemon answered something else".to_owned())) {
        Ok(text) => done(text),
        Err(why) => {
            complain(&format!("error: {why}\n"));
            exit::FAILED
        }
    }
}

/// A duration on the command line, in seconds: "10m", "1h".
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let duration: Duration = config::duration(text)?;
    match (duration.subsec_nanos(), duration.as_secs()) {
        (0, seconds @ 1..=LONGEST) => Ok(seconds),
        (0, _) => Err("between 1s and 7d".to_owned()),
        (_, _) => Err("whole seconds".to_owned()),
    }
}

/// A level on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Level {
    /// What needs somebody now
    Error,
    /// What affects a partner or a user
    Warn,
    /// Life cycle, refusals, failures
    Info,
    /// Steps, and what was allowed and delivered
    Debug,
    /// Octets
    Trace,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::Error,
            Level::Warn => Self::Warn,
            Level::Info => Self::Info,
            Level::Debug => Self::Debug,
            Level::Trace => Self::Trace,
        }
    }
}
