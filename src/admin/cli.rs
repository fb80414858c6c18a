//! The command line: which verb is whose. Each family has a file of its own.
//!
//! Exit codes: 0 done, 1 failed, 2 usage, 3 problems found or denied, 4 daemon unreachable, 78 the
//! configuration is invalid or its state directory can't be used as it is.

use super::cert::{self, CertVerb};
use super::change::{self, How, Unstaged};
use super::check;
use super::complain;
use super::control::{self, Answer, Question};
use super::exit;
use super::federation::{self, FederationVerb};
use super::manual;
use super::partners::{self, PartnerVerb};
use super::policies::{self, PolicyVerb};
use super::policy_test;
use super::settings::{self, ConfigVerb};
use super::sites::{self, SiteVerb, UserVerb};
use super::subscriptions;
use super::trace::{self, TraceVerb};
use super::why::{self, WhyVerb};
use crate::config;
use crate::now::Wall;
use crate::policy::written;
use clap::{Args, Parser, Subcommand, ValueEnum};
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
    /// Look for mistakes without touching anything
    Check {
        /// What to look at
        #[arg(value_enum, default_value_t = What::Config)]
        what: What,
        /// Warnings count as problems
        #[arg(long)]
        strict: bool,
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
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
    /// Let nothing of a domain or person through
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
        #[command(flatten)]
        daemon: Daemon,
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Both files: keys, values, names, policy tests; and the store, if anything is wrong with it
    Config,
    /// The policy table and its tests
    Policy,
    /// Our certificates: names, chain, usage, expiry, the key's permissions
    Certs,
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
struct Daemon {
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

/// Does what the process's command line says; the exit code. `run` is the daemon.
pub fn main(run: impl FnOnce(&Path) -> u8, now: Wall) -> u8 {
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
        Verb::Check { what, strict, file, output } => {
            let loaded = config::check(&file.config);
            let mut findings = vec![check::config(&file.config, &loaded)];
            match what {
                What::Config => {
                    let state = loaded.as_ref().ok().map(|config| &config.gateway.state_dir);
                    findings.extend(state.and_then(|state| check::store(state)));
                }
                What::Policy => findings = vec![check::policy(&file.config, &loaded)],
                What::Certs => {
                    if let Ok(ours) = cert::Ours::read(&file.config) {
                        findings = cert::examine::findings(&ours, now);
                    }
                }
            }
            let (text, code) = check::render(&findings, strict, output.json);
            say(&text, code)
        }
        Verb::Policy { verb } => policies::run(verb),
        Verb::Site { verb } => sites::run(verb),
        Verb::User { verb } => sites::user(verb),
        Verb::Partner { verb } => partners::run(verb),
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
        Verb::Trace { verb, daemon } => {
            let user = verb.user.as_deref().map(|user| address("--user", user)).transpose();
            match user.and_then(|user| Ok((user, socket(&daemon)?))) {
                Ok((user, socket)) => trace::run(&verb, user, &socket),
                Err(code) => code,
            }
        }
        Verb::Why { verb, daemon } => match socket(&daemon) {
            Ok(socket) => why::run(&verb, &socket, |from, to, json| {
                let question = policy_test::Question { from, to, added: false, json };
                policy_test::policy_test(&config::check(&daemon.file.config), &question).0
            }),
            Err(code) => code,
        },
        Verb::Reload { daemon } => ask(&daemon, &Question::Reload, false),
        Verb::Commit { discard, how } => change::commit(&how.into(), discard),
    }
}

/// The bare JID that `text`, the value of `option`, means; else the exit code.
fn address(option: &str, text: &str) -> Result<String, u8> {
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
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()), code)
}

/// `code`, or that the output did not get where it was to go.
fn written(outcome: io::Result<()>, code: u8) -> u8 {
    match outcome {
        // A reader that went away (`stoxd check | head`) is no failure of ours.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("error: can't write the output: {error}\n"));
            exit::FAILED
        }
        Ok(()) | Err(_) => code,
    }
}

/// The daemon's control socket; else the exit code.
fn socket(daemon: &Daemon) -> Result<PathBuf, u8> {
    match &daemon.socket {
        Some(socket) => Ok(socket.clone()),
        None => config::admin_socket(&daemon.file.config).map_err(|problems| {
            complain(&check::problems(&problems));
            exit::CONFIG
        }),
    }
}

fn ask(daemon: &Daemon, question: &Question, json: bool) -> u8 {
    let socket = match socket(daemon) {
        Ok(socket) => socket,
        Err(code) => return code,
    };
    match control::ask(&socket, question) {
        Ok(Answer::Status(status)) => {
            say(&if json { to_json(&status) } else { control::render(&status) }, exit::DONE)
        }
        Ok(Answer::Subscriptions(all)) => {
            say(&if json { to_json(&all) } else { subscriptions::render(&all) }, exit::DONE)
        }
        Ok(Answer::Config(files)) => say(&settings::render(&files), exit::DONE),
        Ok(Answer::Done(text)) => say(&(text + "\n"), exit::DONE),
        Ok(Answer::Failed(text)) => {
            complain(&format!("error: {text}\n"));
            exit::FAILED
        }
        Ok(Answer::Trace(_) | Answer::Why(_)) => {
            complain("error: that is another question's answer\n");
            exit::FAILED
        }
        Err(error) => control::unreachable(&socket, &error),
    }
}

fn to_json(answer: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(answer).map(|text| text + "\n").unwrap_or_default()
}
