//! The command line: which verb is whose. Each family has a file of its own.
//!
//! Exit codes: 0 done, 1 failed, 2 usage, 3 problems found or denied, 4 daemon unreachable, 78 the
//! configuration is invalid or its state directory can't be used as it is.

use super::cert::{self, CertVerb};
use super::change::{self, How, Unstaged};
use super::check;
use super::checks::{self, CheckArgs, Look};
use super::complain;
use super::control::{self, Answer, Question};
use super::exit;
use super::federation::{self, FederationVerb};
use super::live;
use super::manual;
use super::partners::{self, PartnerVerb};
use super::policies::{self, PolicyVerb};
use super::policy_test;
use super::selftest::{self, TestVerb};
use super::sessions;
use super::settings::{self, ConfigVerb};
use super::sites::{self, SiteVerb, UserVerb};
use super::steer;
use super::subscriptions;
use super::trace::{self, TraceVerb};
use super::why::{self, WhyVerb};
use super::words::shown;
use crate::config;
use crate::now::Wall;
use crate::policy::written;
use clap::{Args, Parser, Subcommand};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// SIP-to-XMPP federation gateway.
#[derive(Debug, Parser)]
#[command(name = "stoxd", version, about, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the daemon
    Run(ConfigFile),
    /// Look for mistakes: the files, certificates, DNS, partners and peers
    Check(CheckArgs),
    /// The external-access policy
    Policy {
        #[command(subcommand)]
        verb: PolicyVerb,
    },
    /// Sets of users, which may have a policy
    Site {
        #[command(subcommand)]
        verb: SiteVerb,
    },
    /// What a user may do
    User {
        #[command(subcommand)]
        verb: UserVerb,
    },
    /// XMPP federated partners: a domain that is not listed gets nothing
    Partner {
        #[command(subcommand)]
        verb: PartnerVerb,
    },
    /// The organisation's switch
    Federation {
        #[command(subcommand)]
        verb: FederationVerb,
    },
    /// Let nothing of a domain or person through; partner list --blocked lists who is blocked
    Block {
        /// evil.example, '*.evil.example' or mallory@fabrikam.example
        whom: String,
        /// A note for administrators
        #[arg(long)]
        description: Option<String>,
        #[command(flatten)]
        how: How,
    },
    /// Take a block away
    Unblock {
        /// What is blocked, as it was written
        whom: String,
        #[command(flatten)]
        how: How,
    },
    /// Our certificates
    Cert {
        #[command(subcommand)]
        verb: CertVerb,
    },
    /// Both files: show, set, export, import
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// What the running daemon is doing
    Status {
        #[command(flatten)]
        daemon: Daemon,
        #[command(flatten)]
        output: Output,
    },
    /// XMPP streams: who is there, how that was verified, how it is encrypted
    Streams {
        #[command(flatten)]
        daemon: Daemon,
        #[command(flatten)]
        output: Output,
    },
    /// SIP links, likewise, and how it stands with each peer
    Links {
        #[command(flatten)]
        daemon: Daemon,
        #[command(flatten)]
        output: Output,
    },
    /// Who sees whose presence
    #[command(args_conflicts_with_subcommands = true)]
    Subscriptions {
        #[command(subcommand)]
        verb: Option<SubscriptionsVerb>,
        /// Only those of this user, who sees or is seen
        #[arg(long, value_name = "ADDRESS")]
        user: Option<String>,
        #[command(flatten)]
        daemon: Daemon,
        #[command(flatten)]
        output: Output,
    },
    /// The conversations that are open
    Sessions {
        /// Only those of this user, on either side
        #[arg(long, value_name = "ADDRESS")]
        user: Option<String>,
        #[command(flatten)]
        daemon: Daemon,
        #[command(flatten)]
        output: Output,
    },
    /// Try the way of a message or of presence, through the running daemon
    Test {
        #[command(subcommand)]
        verb: TestVerb,
    },
    /// What became of messages and subscriptions, step by step
    Trace {
        #[command(flatten)]
        verb: TraceVerb,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Why a message or a subscription was delivered or not, and what to do
    Why {
        #[command(flatten)]
        verb: WhyVerb,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Let the running daemon read its files again, as SIGHUP does
    Reload {
        /// Say what it would read that it has not read, and change nothing
        #[arg(long)]
        what_if: bool,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Let the running daemon stop, as SIGTERM does: no new work, what is open gets its time
    Drain {
        /// Say what it would wait for, and change nothing
        #[arg(long)]
        what_if: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        daemon: Daemon,
    },
    /// Let the running daemon log more, or less; without LEVEL: say how much it logs
    LogLevel {
        /// How much
        #[arg(value_enum)]
        level: Option<steer::Level>,
        /// For how long, such as 10m; then as the configuration says. Without it: until a restart
        #[arg(long = "for", value_name = "TIME", value_parser = steer::seconds, requires = "level")]
        time: Option<u64>,
        /// Say what would be done, and change nothing
        #[arg(long)]
        what_if: bool,
        #[command(flatten)]
        daemon: Daemon,
        /// Print JSON: how much it logs
        #[arg(long, conflicts_with = "level")]
        json: bool,
    },
    /// Apply what was edited with --staged
    Commit {
        /// Throw it away instead
        #[arg(long)]
        discard: bool,
        #[command(flatten)]
        how: Unstaged,
    },
    /// Print completions for a shell
    Completions {
        /// Which one
        shell: clap_complete::Shell,
    },
    /// Print stoxd(1), or write all man pages
    Man {
        /// Where to
        folder: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum SubscriptionsVerb {
    /// Take an authorization away, as if the watcher had left
    Remove {
        /// Who sees
        #[arg(long, value_name = "ADDRESS")]
        watcher: String,
        /// Who is seen
        #[arg(long, value_name = "ADDRESS")]
        presentity: String,
        /// Say what would be done, and change nothing
        #[arg(long)]
        what_if: bool,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        daemon: Daemon,
    },
}

#[derive(Clone, Debug, Args)]
pub(super) struct ConfigFile {
    /// The configuration file
    #[arg(short = 'c', long = "config", default_value = "/etc/stoxd/stoxd.toml", value_name = "FILE")]
    pub(super) config: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Daemon {
    #[command(flatten)]
    file: ConfigFile,
    /// The daemon's control socket, if the configuration can't be read
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Output {
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Does what the process's command line says; the exit code. `run` is the daemon, and `look` looks at the
/// network for the checks.
pub fn main(run: impl FnOnce(&Path) -> u8, look: Look, now: Wall) -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // What is wrong with the question.
        Err(answer) if answer.use_stderr() => {
            let _ = answer.print();
            return exit::USAGE;
        }
        // What was asked for: `--help`, `--version`.
        Err(answer) => return written(answer.print(), exit::DONE),
    };
    match cli.verb {
        Verb::Run(file) => run(&file.config),
        Verb::Check(args) => checks::run(&args, look, now),
        Verb::Policy { verb } => policies::run(verb),
        Verb::Site { verb } => sites::run(verb),
        Verb::User { verb } => sites::user(verb),
        Verb::Partner { verb } => partners::run(verb, look),
        Verb::Federation { verb } => federation::run(verb),
        Verb::Block { whom, description, how } => federation::block(&whom, description.as_deref(), &how),
        Verb::Unblock { whom, how } => federation::unblock(&whom, &how),
        Verb::Cert { verb } => cert::run(verb, now),
        Verb::Config { verb } => settings::run(verb),
        Verb::Completions { shell } => manual::completions(shell),
        Verb::Man { folder } => manual::man(folder.as_deref()),
        Verb::Status { daemon, output } => ask(&daemon, &Question::Status, output.json),
        Verb::Subscriptions {
            verb: Some(SubscriptionsVerb::Remove { watcher, presentity, what_if, yes, daemon }),
            ..
        } => {
            let read = || {
                let (watcher, presentity) =
                    (address("--watcher", &watcher)?, address("--presentity", &presentity)?);
                if !what_if && !yes {
                    let question =
                        format!("{watcher} will have to ask again to see {presentity}. Remove it?");
                    change::agreed(&question).map_err(|refused| refused.print())?;
                }
                Ok((watcher, presentity))
            };
            match read() {
                Ok((watcher, presentity)) => {
                    ask(&daemon, &Question::Unsubscribe { watcher, presentity, what_if }, false)
                }
                Err(code) => code,
            }
        }
        Verb::Subscriptions { verb: None, user, daemon, output } => {
            match user.as_deref().map(|user| address("--user", user)).transpose() {
                Ok(user) => ask(&daemon, &Question::Subscriptions { user }, output.json),
                Err(code) => code,
            }
        }
        Verb::Streams { daemon, output } => ask(&daemon, &Question::Streams, output.json),
        Verb::Links { daemon, output } => ask(&daemon, &Question::Links, output.json),
        Verb::Sessions { user, daemon, output } => {
            match user.as_deref().map(|user| address("--user", user)).transpose() {
                Ok(user) => ask(&daemon, &Question::Sessions { user }, output.json),
                Err(code) => code,
            }
        }
        Verb::Drain { what_if, yes, daemon } => match socket_of(&daemon) {
            Ok(socket) => match steer::drain(&socket, what_if, yes) {
                Ok(code) => code,
                Err(error) => control::unreachable(&socket, &error),
            },
            Err(code) => code,
        },
        Verb::LogLevel { level, time, what_if, daemon, json } => {
            let level = level.map(Into::into);
            ask(&daemon, &Question::LogLevel { level, seconds: time, what_if }, json)
        }
        Verb::Test { verb } => selftest::run(verb, |daemon, question| match put(daemon, question)? {
            Answer::Test(report) => Ok(report),
            other => Err(print(other, false)),
        }),
        Verb::Trace { verb, daemon } => {
            let user = verb.user.as_deref().map(|user| address("--user", user)).transpose();
            match user.and_then(|user| Ok((user, socket_of(&daemon)?))) {
                Ok((user, socket)) => trace::run(&verb, user, &socket),
                Err(code) => code,
            }
        }
        Verb::Why { verb, daemon } => match socket_of(&daemon) {
            Ok(socket) => why::run(&verb, &socket, |from, to, json| {
                let question = policy_test::Question { from, to, added: false, json };
                policy_test::policy_test(&config::check(&daemon.file.config), &question)
            }),
            Err(code) => code,
        },
        Verb::Reload { what_if: true, daemon } => match put(&daemon, &Question::Config) {
            Ok(Answer::Config(running)) => steer::would_reload(&daemon.file.config, &running),
            Ok(other) => print(other, false),
            Err(code) => code,
        },
        Verb::Reload { what_if: false, daemon } => match put(&daemon, &Question::Reload) {
            // The daemon runs on with what it has; the files are what a start would refuse.
            Ok(Answer::Failed(why)) => {
                complain(&format!("error: {why}\n"));
                exit::CONFIG
            }
            Ok(other) => print(other, false),
            Err(code) => code,
        },
        Verb::Commit { discard, how } => change::commit(&how.into(), discard),
    }
}

/// The bare JID that `text`, the value of `option`, means; else the exit code.
pub(super) fn address(option: &str, text: &str) -> Result<String, u8> {
    match written::person(text) {
        Ok(jid) => Ok(jid.to_string()),
        Err(error) => {
            complain(&format!("error: {option} {}: {error}\n", text.escape_debug()));
            Err(exit::USAGE)
        }
    }
}

/// Prints `text`; `code`, or that it did not get where it was to go.
pub(super) fn say(text: &str, code: u8) -> u8 {
    let mut out = std::io::stdout().lock();
    written(out.write_all(shown(text).as_bytes()).and_then(|()| out.flush()), code)
}

/// `code`, or that the output did not get where it was to go.
pub(super) fn written(outcome: io::Result<()>, code: u8) -> u8 {
    match outcome {
        // A reader that went away (`stoxd check | head`) is no failure of ours.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("error: can't write the output: {error}\n"));
            exit::FAILED
        }
        Ok(()) | Err(_) => code,
    }
}

/// Where the daemon's control socket is; else the exit code.
fn socket_of(daemon: &Daemon) -> Result<PathBuf, u8> {
    match &daemon.socket {
        Some(socket) => Ok(socket.clone()),
        None => config::admin_socket(&daemon.file.config).map_err(|problems| {
            complain(&check::problems(&problems));
            exit::CONFIG
        }),
    }
}

fn ask(daemon: &Daemon, question: &Question, json: bool) -> u8 {
    put(daemon, question).map_or_else(|code| code, |answer| print(answer, json))
}

/// Puts a question to the daemon; its answer, or the exit code if there is none.
fn put(daemon: &Daemon, question: &Question) -> Result<Answer, u8> {
    let socket = socket_of(daemon)?;
    control::ask(&socket, question).map_err(|error| control::unreachable(&socket, &error))
}

/// Prints an answer; the exit code.
fn print(answer: Answer, json: bool) -> u8 {
    match answer {
        Answer::Status(status) => {
            say(&if json { to_json(&status) } else { control::render(&status) }, exit::DONE)
        }
        Answer::Subscriptions(all) => {
            say(&if json { to_json(&all) } else { subscriptions::render(&all) }, exit::DONE)
        }
        Answer::Streams(all) => say(&if json { to_json(&all) } else { live::streams(&all) }, exit::DONE),
        Answer::Links(all) => say(&if json { to_json(&all) } else { live::links(&all) }, exit::DONE),
        Answer::Sessions(all) => say(&if json { to_json(&all) } else { sessions::render(&all) }, exit::DONE),
        Answer::Config(files) => say(&settings::render(&files), exit::DONE),
        Answer::Test(report) => {
            say(&if json { to_json(&report) } else { selftest::render(&report) }, report.exit())
        }
        Answer::Trace(_) | Answer::Watched(_) | Answer::Why(_) => {
            complain("error: that is another question's answer\n");
            exit::FAILED
        }
        Answer::Level { now, usual } => say(&steer::level(now, usual, json), exit::DONE),
        Answer::Done(text) => say(&(text + "\n"), exit::DONE),
        Answer::Failed(text) => {
            complain(&format!("error: {text}\n"));
            exit::FAILED
        }
        Answer::Misused(text) => {
            complain(&format!("error: {text}\n"));
            exit::USAGE
        }
    }
}

pub(super) fn to_json(answer: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(answer).map(|text| text + "\n").unwrap_or_default()
}
