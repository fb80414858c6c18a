//! What administrators see: verbs, their output and exit codes.
//!
//! | file | owns |
//! |---|---|
//! | `cert` | `stoxd cert` |
//! | [`change`] | the engine behind every verb that changes a file |
//! | [`check`] | `stoxd check config` and `check policy`, and how any check's findings print |
//! | [`checks`] | `stoxd check`, `stoxd partner test`: which checks run |
//! | [`policies`], [`grants`], [`history`] | `stoxd policy` |
//! | [`policy_test`] | `stoxd policy test` |
//! | [`sites`] | `stoxd site` and `stoxd user` |
//! | [`partners`] | `stoxd partner` |
//! | [`federation`] | `stoxd federation`, `stoxd block`, `stoxd unblock` |
//! | [`settings`] | `stoxd config` |
//! | [`manual`] | `stoxd completions` and `stoxd man` |
//! | [`words`] | identities of policies, filters, columns |
//! | [`sessions`] | `stoxd sessions` |
//! | [`subscriptions`] | `stoxd subscriptions` |
//! | [`live`] | `stoxd streams`, `stoxd links` |
//! | `steer` | `stoxd drain`, `stoxd log-level` |
//! | [`selftest`] | `stoxd test` |
//! | [`trace`], [`why`] | `stoxd trace`, `stoxd why` |
//! | [`control`] | questions to the daemon and their answers; `stoxd status` |
//! | [`cli`] | the command line |
//!
//! Rendering is pure: a verb gives text and an exit code, and `main` prints the one and exits with the
//! other.

mod cert;
pub mod change;
pub mod check;
pub mod checks;
pub mod cli;
pub mod control;
pub mod federation;
pub mod grants;
pub mod history;
pub mod live;
pub mod manual;
pub mod partners;
pub mod policies;
pub mod policy_test;
pub mod selftest;
pub mod sessions;
pub mod settings;
pub mod sites;
pub mod steer;
pub mod subscriptions;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod why;
pub mod words;

/// Says `text` on the standard error, if anybody can hear it: the exit code says it too.
pub fn complain(text: &str) {
    let _ = std::io::Write::write_all(&mut std::io::stderr(), words::shown(text).as_bytes());
}

/// Exit codes of all verbs.
pub mod exit {
    /// Done.
    pub const DONE: u8 = 0;
    /// Tried, and failed.
    pub const FAILED: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 2;
    /// Problems were found, or the answer is no.
    pub const PROBLEMS: u8 = 3;
    /// The daemon does not answer.
    pub const UNREACHABLE: u8 = 4;
    /// The configuration is invalid, or its state directory can't be used as it is (`EX_CONFIG` of
    /// sysexits.h).
    pub const CONFIG: u8 = 78;
}
