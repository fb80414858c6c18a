//! The verb: asks the daemon, or follows it, and prints.

use super::{Crossing, Crossings, Ladder, What};
use crate::addr::Domain;
use crate::admin::cli::{Output, say};
use crate::admin::control::{self, Answer, Question};
use crate::admin::words::shown;
use crate::admin::{complain, exit};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::io::{self, Write};
use std::path::Path;

/// How it is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A picture
    #[default]
    Ladder,
    /// One JSON object a step
    Json,
}

/// What is asked for.
#[derive(Clone, Debug, Args)]
pub struct TraceVerb {
    /// Go on with what happens from now on, until interrupted
    #[arg(short, long)]
    pub follow: bool,
    /// Only what this user sent or was sent, on either side
    #[arg(long, value_name = "ADDRESS")]
    pub user: Option<String>,
    /// Only what crosses to or from this partner
    #[arg(long, value_name = "DOMAIN")]
    pub partner: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    #[command(flatten)]
    output: Output,
}

/// Prints what is on record at the daemon behind `socket`, or follows it; the exit code.
pub(in crate::admin) fn run(verb: &TraceVerb, user: Option<String>, socket: &Path) -> u8 {
    let format = if verb.output.json { Format::Json } else { verb.format };
    let partner = match verb.partner.as_deref().map(Domain::parse).transpose() {
        Ok(partner) => partner.map(|domain| domain.to_string()),
        Err(error) => {
            complain(&format!("error: --partner: {error}\n"));
            return exit::USAGE;
        }
    };
    let mut printer = Printer { format, ladder: Ladder::default() };
    if verb.follow {
        return follow(socket, &Question::Follow { user, partner }, &mut printer);
    }
    match control::ask(socket, &Question::Trace { user, partner }) {
        Ok(Answer::Trace(Crossings { crossings, older })) => {
            if older > 0 {
                complain(&format!("{older} older ones are on record; --user and --partner narrow it down\n"));
            } else if crossings.is_empty() {
                complain("nothing is on record\n");
            }
            let text: String = crossings.iter().map(|crossing| printer.print(crossing)).collect();
            say(&text, exit::DONE)
        }
        Ok(answer) => refused(&answer),
        Err(error) => control::unreachable(socket, &error),
    }
}

fn follow(socket: &Path, question: &Question, printer: &mut Printer) -> u8 {
    let lines = match control::follow(socket, question) {
        Ok(lines) => lines,
        Err(error) => return control::unreachable(socket, &error),
    };
    for line in lines {
        match line {
            Ok(Answer::Trace(all)) => {
                let mut out = io::stdout().lock();
                let text: String = all.crossings.iter().map(|crossing| printer.print(crossing)).collect();
                if let Err(error) = out.write_all(shown(&text).as_bytes()).and_then(|()| out.flush()) {
                    return match error.kind() {
                        io::ErrorKind::BrokenPipe => exit::DONE,
                        _ => exit::FAILED,
                    };
                }
            }
            Ok(answer) => return refused(&answer),
            Err(error) => return control::unreachable(socket, &error),
        }
    }
    complain("the daemon has ended\n");
    exit::UNREACHABLE
}

fn refused(answer: &Answer) -> u8 {
    match answer {
        Answer::Failed(why) => complain(&format!("error: {why}\n")),
        _ => complain("error: that is another daemon's answer\n"),
    }
    exit::FAILED
}

struct Printer {
    format: Format,
    ladder: Ladder,
}

impl Printer {
    fn print(&mut self, crossing: &Crossing) -> String {
        match self.format {
            Format::Ladder => self.ladder.draw(crossing),
            Format::Json => to_json(crossing),
        }
    }
}

/// One line for each step, which says all of its crossing.
fn to_json(crossing: &Crossing) -> String {
    let line = |step: &super::Step| {
        let why = crossing
            .why
            .as_ref()
            .filter(|_| matches!(step.what, What::Failed | What::Returned | What::Watch));
        let value = json!({
            "time": super::stamp(crossing.begun + step.after),
            "trace": crossing.trace,
            "direction": crossing.direction,
            "kind": crossing.kind,
            "from": crossing.from,
            "to": crossing.to,
            "partner": crossing.partner,
            "peer": crossing.peer,
            "policy": crossing.policy,
            "policy_at": crossing.policy_at,
            "ms": step.after as f64 / 1000.0,
            "step": step.what.as_str(),
            "way": step.way,
            "sip_code": step.status,
            "xmpp_error": step.condition,
            "detail": step.detail,
            "why": why,
        });
        format!("{value}\n")
    };
    crossing.steps.iter().map(line).collect()
}
