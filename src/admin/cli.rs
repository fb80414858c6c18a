//! The command line: `stoxd run | check | policy test | status | reload`.
//!
//! Exit codes: 0 done, 1 failed, 2 usage, 3 problems found or denied, 4 daemon unreachable, 78 the
//! configuration is invalid.

use super::control::{self, Answer, Question};
use crate::config;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Done.
pub const EXIT_OK: u8 = 0;
/// Failed.
pub const EXIT_FAILED: u8 = 1;
/// Problems found, or denied.
pub const EXIT_PROBLEMS: u8 = 3;
/// The daemon is not there.
pub const EXIT_UNREACHABLE: u8 = 4;
/// The configuration is invalid (sysexits `EX_CONFIG`).
pub const EXIT_CONFIG: u8 = 78;

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
    /// What the running daemon is doing
    Status {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
    /// Let the running daemon read its files again, as SIGHUP does
    Reload(ConfigFile),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Both files: keys, values, names, policy tests
    Config,
    /// The policy table and its tests
    Policy,
}

#[derive(Debug, Subcommand)]
enum PolicyVerb {
    /// Say whether a message from one address to another may cross, and what decided
    Test {
        /// The sender: sip:alice@contoso.example or xmpp:romeo@capulet.example
        #[arg(long)]
        from: String,
        /// The recipient, likewise
        #[arg(long)]
        to: String,
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file
    #[arg(short = 'c', long = "config", default_value = "/etc/stoxd/stoxd.toml", value_name = "FILE")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct Output {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Does what the command line says; the exit code. `run` is the daemon.
pub fn main(cli: Cli, run: impl FnOnce(&Path) -> u8) -> u8 {
    match cli.verb {
        Verb::Run(file) => run(&file.config),
        Verb::Check { what, file, output } => {
            let (text, code) = match what {
                What::Config => super::check::config(&file.config, output.json),
                What::Policy => super::check::policy(&file.config, output.json),
            };
            say(&text, code)
        }
        Verb::Policy { verb: PolicyVerb::Test { from, to, file, output } } => {
            let (text, code) = super::policy_test::run(&file.config, &from, &to, output.json);
            say(&text, code)
        }
        Verb::Status { file, output } => ask(&file.config, Question::Status, output.json),
        Verb::Reload(file) => ask(&file.config, Question::Reload, false),
    }
}

fn say(text: &str, code: u8) -> u8 {
    // A reader that went away (`stoxd check | head`) is no failure of ours.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    code
}

fn ask(file: &Path, question: Question, json: bool) -> u8 {
    let socket = config::socket_of(file);
    match control::ask(&socket, question) {
        Ok(Answer::Status(status)) => {
            let text = if json {
                serde_json::to_string_pretty(&status).map(|text| text + "\n").unwrap_or_default()
            } else {
                control::render(&status)
            };
            say(&text, EXIT_OK)
        }
        Ok(Answer::Done(text)) => say(&(text + "\n"), EXIT_OK),
        Ok(Answer::Failed(text)) => {
            eprintln!("error: {text}");
            EXIT_FAILED
        }
        Err(error) => {
            eprintln!(
                "error: no answer from the daemon at {}: {error}\n  is it running? systemctl status stoxd",
                socket.display()
            );
            EXIT_UNREACHABLE
        }
    }
}
