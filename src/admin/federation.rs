//! `stoxd federation`, `stoxd block` and `stoxd unblock`: the organisation's switch, and who gets nothing.

use super::change::{self, How, Refused, Which, rows};
use super::words::canonical;
use clap::Subcommand;
use toml_edit::Table;

/// `stoxd federation …`.
#[derive(Debug, Subcommand)]
pub(super) enum FederationVerb {
    /// Let the rows of the policy file count
    Enable {
        #[command(flatten)]
        how: How,
    },
    /// Refuse everything, in both directions, and end all XMPP streams
    Disable {
        #[command(flatten)]
        how: How,
    },
}

/// Does `verb`; the exit code.
pub(super) fn run(verb: FederationVerb) -> u8 {
    let (enabled, how) = match &verb {
        FederationVerb::Enable { how } => (true, how),
        FederationVerb::Disable { how } => (false, how),
    };
    let word = if enabled { "enable" } else { "disable" };
    change::edit(&format!("federation {word}"), how, Which::Policy, |document| {
        rows::set_in(document, "federation", "enabled", enabled)?;
        Ok(format!("federation is {word}d"))
    })
}

/// `stoxd block`: adds a row for `whom`; the exit code.
pub(super) fn block(whom: &str, description: Option<&str>, how: &How) -> u8 {
    change::edit(&format!("block {whom}"), how, Which::Policy, |document| {
        let all = rows::rows(document, "blocked")?;
        if all.iter().any(|row| means(row, whom)) {
            return Err(Refused::failed(format!("{whom} is blocked already")));
        }
        let mut row = rows::row();
        rows::set(&mut row, if whom.contains('@') { "address" } else { "domain" }, whom);
        if let Some(text) = description {
            rows::set(&mut row, "description", text);
        }
        all.push(row);
        Ok(format!("{whom} is blocked"))
    })
}

/// `stoxd unblock`: removes the row for `whom`; the exit code.
pub(super) fn unblock(whom: &str, how: &How) -> u8 {
    change::edit(&format!("unblock {whom}"), how, Which::Policy, |document| {
        if rows::remove(document, "blocked", |row| means(row, whom))? == 0 {
            return Err(Refused::failed(format!("nothing blocks {whom} by this name")));
        }
        how.agreed(&format!("{whom} will be treated as everybody is. Unblock it?"))?;
        Ok(format!("{whom} is not blocked any more"))
    })
}

fn means(row: &Table, whom: &str) -> bool {
    let bare = |text: &str| canonical(text.strip_prefix("xmpp:").unwrap_or(text));
    let keys = ["domain", "address"].iter().filter_map(|key| rows::text(row, key));
    keys.into_iter().any(|text| bare(text) == bare(whom))
}
