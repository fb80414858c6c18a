//! The stoxd binary: hands the command line to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let now = stoxd::net::clock::Clock::start().now();
    ExitCode::from(stoxd::admin::cli::main(stoxd::daemon::run, stoxd::daemon::look::look, now.wall))
}
