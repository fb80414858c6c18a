//! The stoxd binary: hands the command line to the library.

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(stoxd::admin::cli::main(stoxd::admin::cli::Cli::parse(), stoxd::daemon::run))
}
