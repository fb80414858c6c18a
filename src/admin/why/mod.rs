//! `stoxd why`: why an item was delivered or not, and what to do about it.
//!
//! The daemon gathers what it knows ([`Why`]): the crossings on record, what its policy table says of the two
//! people now, the watches between them, and the streams and links that serve them. Here that becomes a
//! verdict in one sentence, the steps with their times, and the fix. Where nothing is on record, the rest
//! still says what would happen.

mod advice;
#[cfg(test)]
mod tests;
mod text;

use super::cli::{Output, say};
use super::control::{self, Answer, LinkStatus, Question, StreamStatus, duration};
use super::subscriptions::Row;
use super::trace::Crossing;
use super::{complain, exit};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Crossings that are shown at most: the newest.
pub const ROWS: usize = 50;

/// What is asked.
#[derive(Clone, Debug, Args)]
pub struct WhyVerb {
    /// The name of the crossing: STOXD_TRACE in the journal, or what stoxd trace shows; its first characters
    /// do
    #[arg(value_name = "TRACE-ID", required_unless_present = "from", conflicts_with_all = ["from", "to"])]
    pub trace: Option<String>,
    /// Who sent it, or wants to see somebody
    #[arg(long, value_name = "ADDRESS", requires = "to")]
    pub from: Option<String>,
    /// For whom, or who is to be seen
    #[arg(long, value_name = "ADDRESS", requires = "from")]
    pub to: Option<String>,
    /// How far back to look
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = super::words::duration)]
    pub since: Duration,
    #[command(flatten)]
    output: Output,
}

impl WhyVerb {
    /// The question to the daemon.
    pub fn question(&self) -> Question {
        let since = self.since.as_secs();
        Question::Why { trace: self.trace.clone(), from: self.from.clone(), to: self.to.clone(), since }
    }
}

/// What the daemon knows of an item, or of two people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// Crossings on record: the one that was named, or those from the one to the other, the oldest first.
    pub crossings: Vec<Crossing>,
    /// Older ones that are not shown.
    pub older: usize,
    /// How far back was looked, in seconds.
    pub since: u64,
    /// The two people; none if an unknown name was asked for.
    pub pair: Option<About>,
}

/// What is known of two people besides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The sender as people write it: "sip:alice@contoso.example".
    pub from: String,
    /// The target, likewise.
    pub to: String,
    /// What the policy table says now.
    pub policy: Policy,
    /// The watches between the two, either way.
    pub watches: Vec<Row>,
    /// The XMPP side's domain.
    pub partner: String,
    /// Streams that are up with it.
    pub streams: Vec<StreamStatus>,
    /// What went wrong with the last one.
    pub stream_fault: Option<Fault>,
    /// The SIP peer that serves our user's domain.
    pub peer: String,
    /// Links that are up with it.
    pub links: Vec<LinkStatus>,
    /// What went wrong with the last one.
    pub link_fault: Option<Fault>,
    /// The last SIP request that was refused before it was known whose it is.
    pub refused: Option<Fault>,
}

/// What a policy test says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Whether it may cross.
    pub allowed: bool,
    /// The table, as `stoxd policy test` prints it.
    pub text: String,
    /// The same for programs.
    pub table: Value,
}

/// Something that went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// How many seconds ago.
    pub ago: u64,
    /// What.
    pub why: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ago: {}", duration(self.ago), crate::addr::Clean(&self.why))
    }
}

/// Asks the daemon behind `socket`; the exit code: 0 it was delivered, 3 it was not, 1 nothing is on record.
/// `offline` says what the files say, for when nobody answers.
pub(super) fn run(
    verb: &WhyVerb,
    socket: &Path,
    offline: impl FnOnce(&str, &str, bool) -> (String, u8),
) -> u8 {
    match control::ask(socket, &verb.question()) {
        Ok(Answer::Why(why)) => {
            let code = code(&why);
            say(&if verb.output.json { to_json(&why, code) } else { text::render(&why) }, code)
        }
        // The daemon has something against the question.
        Ok(Answer::Misused(error)) => {
            complain(&format!("error: {error}\n"));
            exit::USAGE
        }
        Ok(Answer::Failed(error)) => {
            complain(&format!("error: {error}\n"));
            exit::FAILED
        }
        Ok(_) => {
            complain("error: that is another daemon's answer\n");
            exit::FAILED
        }
        Err(error) => {
            if let (Some(from), Some(to)) = (&verb.from, &verb.to) {
                match offline(from, to, verb.output.json) {
                    (answer, exit::DONE | exit::PROBLEMS) => drop(say(&answer, exit::DONE)),
                    // No answer, but why there is none.
                    (fault, _) => complain(&fault),
                }
            }
            control::unreachable(socket, &error)
        }
    }
}

/// By what became of the newest.
fn code(why: &Why) -> u8 {
    match why.crossings.last().map(|crossing| crossing.outcome.as_str()) {
        None => exit::FAILED,
        Some("delivered" | "open") => exit::DONE,
        Some(_) => exit::PROBLEMS,
    }
}

fn to_json(why: &Why, code: u8) -> String {
    let mut value = serde_json::to_value(why).unwrap_or_default();
    if let Value::Object(fields) = &mut value {
        let newest = why.crossings.last();
        let verdict = newest.map_or("nothing-on-record", |crossing| crossing.outcome.as_str());
        fields.insert("verdict".to_owned(), verdict.into());
        fields.insert("sentence".to_owned(), text::verdict(why).into());
        fields.insert("what_to_do".to_owned(), advice::advice(why).into());
        fields.insert("exit".to_owned(), code.into());
    }
    format!("{value:#}\n")
}
