//! The verb: asks the daemon, or follows it, and prints.

use super::packets::{Destination, Encoding, Sink};
use super::{Crossing, Crossings, Ladder, Watched, What};
use crate::addr::Domain;
use crate::admin::cli::{Output, say, written};
use crate::admin::control::{self, Answer, Question};
use crate::admin::words::shown;
use crate::admin::{complain, exit};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// How it is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A picture
    #[default]
    Ladder,
    /// One JSON object a step
    Json,
    /// Packets in HEP version 3 (EEP), for a capture server: rebuilt from the record, or as they come with -f
    Hep,
    /// The same in a capture for Wireshark and tshark
    Pcapng,
}

impl Format {
    /// How its packets are written, if it is one of packets.
    fn encoding(self) -> Option<Encoding> {
        match self {
            Self::Ladder | Self::Json => None,
            Self::Hep => Some(Encoding::Hep),
            Self::Pcapng => Some(Encoding::Pcapng),
        }
    }
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
    /// Send HEP to this capture server by UDP, instead of printing it
    #[arg(long, value_name = "HOST:PORT")]
    pub to: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// Prints what is on record at the daemon behind `socket`, or follows it; the exit code.
pub(in crate::admin) fn run(verb: &TraceVerb, user: Option<String>, socket: &Path) -> u8 {
    let partner = match verb.partner.as_deref().map(Domain::parse).transpose() {
        Ok(partner) => partner.map(|domain| domain.to_string()),
        Err(error) => {
            complain(&format!("error: --partner: {error}\n"));
            return exit::USAGE;
        }
    };
    if let Err(wrong) = fitting(verb, io::stdout().is_terminal()) {
        complain(&format!("error: {wrong}\n"));
        return exit::USAGE;
    }
    let mut printer = match printer(verb) {
        Ok(printer) => printer,
        Err(code) => return code,
    };
    if verb.follow {
        let question = match verb.format.encoding() {
            Some(_) => Question::Watch { user, partner },
            None => Question::Follow { user, partner },
        };
        return follow(socket, &question, &mut printer);
    }
    match control::ask(socket, &Question::Trace { user, partner }) {
        Ok(Answer::Trace(Crossings { crossings, older })) => {
            if older > 0 {
                complain(&format!("{older} older ones are on record; --user and --partner narrow it down\n"));
            } else if crossings.is_empty() {
                complain("nothing is on record\n");
            }
            let outcome = printer.print(&crossings);
            let done = outcome.is_ok();
            match (written(outcome, exit::DONE), printer.sent()) {
                (code, Some((sent, to))) if done => say(&format!("{sent} packets sent to {to}\n"), code),
                (code, _) => code,
            }
        }
        Ok(answer) => refused(&answer),
        Err(error) => control::unreachable(socket, &error),
    }
}

/// Whether the options go together, and with what the standard output is.
fn fitting(verb: &TraceVerb, is_terminal: bool) -> Result<(), String> {
    let name = verb.format.to_possible_value();
    let name = name.as_ref().map(|value| value.get_name()).unwrap_or_default();
    match (verb.format.encoding(), &verb.to) {
        (Some(_), _) if verb.output.json => {
            Err(format!("--json and --format {name} exclude each other; leave one of them out"))
        }
        (Some(Encoding::Pcapng) | None, Some(_)) => {
            Err("--to sends HEP to a capture server; add --format hep".to_owned())
        }
        (Some(Encoding::Pcapng), None) if is_terminal => Err(format!(
            "{name} is not for a terminal; redirect it (stoxd trace --format {name} > trace.pcapng), or \
             pipe it (stoxd trace -f --format {name} | wireshark -k -i -)"
        )),
        (Some(Encoding::Hep), None) if is_terminal => Err(format!(
            "{name} is not for a terminal; send it (stoxd trace --format {name} --to HOST:9060), or redirect \
             it (> trace.hep)"
        )),
        (Some(_) | None, _) => Ok(()),
    }
}

fn printer(verb: &TraceVerb) -> Result<Printer, u8> {
    let Some(encoding) = verb.format.encoding() else {
        let is_json = verb.output.json || verb.format == Format::Json;
        return Ok(if is_json { Printer::Json } else { Printer::Ladder(Ladder::default()) });
    };
    let to = match verb.to.as_deref() {
        None => Ok((Destination::Stdout, String::new())),
        Some(name) => {
            Destination::server(name).map(|to| (to, name.to_owned())).map_err(|error| (name, error))
        }
    };
    let (to, name) = to.map_err(|(name, error)| {
        complain(&format!("error: --to {}: {error}; it is HOST:PORT\n", name.escape_debug()));
        exit::USAGE
    })?;
    match Sink::new(encoding, to) {
        Ok(sink) => Ok(Printer::Packets { sink, to: name }),
        Err(error) => Err(written(Err(error), exit::FAILED)),
    }
}

fn follow(socket: &Path, question: &Question, printer: &mut Printer) -> u8 {
    let lines = match control::follow(socket, question) {
        Ok(lines) => lines,
        Err(error) => return control::unreachable(socket, &error),
    };
    // A capture has its header before its first packet: its reader waits for it.
    if let Err(error) = printer.print(&[]) {
        return written(Err(error), exit::DONE);
    }
    for line in lines {
        match line {
            Ok(Answer::Trace(all)) => {
                if let Err(error) = printer.print(&all.crossings) {
                    return written(Err(error), exit::DONE);
                }
            }
            Ok(Answer::Watched(watched)) => {
                if watched.lost > 0 {
                    complain(&format!(
                        "{} packets are missing here: more came than was read\n",
                        watched.lost
                    ));
                }
                if let Err(error) = printer.print_copies(&watched) {
                    return written(Err(error), exit::DONE);
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

enum Printer {
    Ladder(Ladder),
    Json,
    Packets { sink: Sink, to: String },
}

impl Printer {
    /// Prints all of it, to its last octet.
    fn print(&mut self, crossings: &[Crossing]) -> io::Result<()> {
        let text: String = match self {
            Self::Ladder(ladder) => crossings.iter().map(|crossing| ladder.draw(crossing)).collect(),
            Self::Json => crossings.iter().map(to_json).collect(),
            Self::Packets { sink, to } => {
                return sink.put(crossings).map_err(|error| match sink.sent() {
                    Some(sent) => {
                        io::Error::new(error.kind(), format!("{to}, after {sent} packets: {error}"))
                    }
                    None => error,
                });
            }
        };
        let mut out = io::stdout().lock();
        out.write_all(shown(&text).as_bytes())?;
        out.flush()
    }

    /// The same for copies, which only packets have.
    fn print_copies(&mut self, watched: &Watched) -> io::Result<()> {
        match self {
            Self::Packets { sink, to } => sink.put_copies(watched).map_err(|error| named(sink, to, error)),
            Self::Ladder(_) | Self::Json => Ok(()),
        }
    }

    /// How many packets were sent to a server, and which.
    fn sent(&self) -> Option<(u64, &str)> {
        match self {
            Self::Packets { sink, to } => sink.sent().map(|sent| (sent, to.as_str())),
            Self::Ladder(_) | Self::Json => None,
        }
    }
}

/// An error, with where it was.
fn named(sink: &Sink, to: &str, error: io::Error) -> io::Error {
    match sink.sent() {
        Some(sent) => io::Error::new(error.kind(), format!("{to}, after {sent} packets: {error}")),
        None => error,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        verb: TraceVerb,
    }

    fn judged(words: &str, is_terminal: bool) -> Result<(), String> {
        let line = Line::try_parse_from(std::iter::once("trace").chain(words.split(' '))).unwrap();
        fitting(&line.verb, is_terminal)
    }

    #[test]
    fn octets_are_kept_from_terminals_with_what_to_do_instead() {
        let wrong = judged("--format pcapng", true).unwrap_err();
        assert!(wrong.contains("--format pcapng > trace.pcapng") && wrong.contains("wireshark"), "{wrong}");
        let wrong = judged("--format hep", true).unwrap_err();
        assert!(wrong.contains("--to HOST:9060"), "{wrong}");
        for fine in ["--format pcapng", "--format hep", "--format json", "--format ladder", "--json"] {
            assert_eq!(judged(fine, false), Ok(()), "{fine}");
        }
        for fine in ["--format hep --to [::1]:9060", "--format json", "--json"] {
            assert_eq!(judged(fine, true), Ok(()), "{fine}");
        }
    }

    #[test]
    fn options_that_do_not_go_together_are_named() {
        for (words, named) in [
            ("--format hep --json", "--json and --format hep"),
            ("--format pcapng --json", "--json and --format pcapng"),
            ("--format pcapng --to a:1", "--format hep"),
            ("--to a:1", "--format hep"),
            ("--json --to a:1", "--format hep"),
        ] {
            let wrong = judged(words, false).unwrap_err();
            assert!(wrong.contains(named), "{words}: {wrong}");
        }
    }
}
