//! The stoxd binary: hands the command line to the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(stoxd::admin::cli::main(stoxd::daemon::run))
}
