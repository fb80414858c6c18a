//! `stoxd completions` and `stoxd man`: made of the definitions that the command line is read by.

use super::change::Refused;
use super::cli::{Cli, say};
use super::exit;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use std::io;
use std::path::Path;

/// Pages that are written by hand: for both files, and for the daemon.
const PAGES: [(&str, &str); 3] = [
    ("stoxd.8", include_str!("../../config/man/stoxd.8")),
    ("stoxd.toml.5", include_str!("../../config/man/stoxd.toml.5")),
    ("stoxd-policy.toml.5", include_str!("../../config/man/stoxd-policy.toml.5")),
];

/// Prints the completions for `shell`; the exit code.
pub fn completions(shell: Shell) -> u8 {
    let mut out = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "stoxd", &mut out);
    say(&String::from_utf8_lossy(&out), exit::DONE)
}

/// Prints stoxd(1), or writes every page into the folder `to`; the exit code.
pub fn man(to: Option<&Path>) -> u8 {
    let pages = match pages() {
        Ok(pages) => pages,
        Err(error) => return Refused::failed(error.to_string()).print(),
    };
    let Some(to) = to else {
        let first = pages.into_iter().find(|(name, _)| name == "stoxd.1");
        return say(&first.map(|(_, page)| page).unwrap_or_default(), exit::DONE);
    };
    let write = || -> io::Result<()> {
        std::fs::create_dir_all(to)?;
        pages.iter().try_for_each(|(name, page)| std::fs::write(to.join(name), page))
    };
    match write() {
        Ok(()) => say(&format!("{} pages in {}\n", pages.len(), to.display()), exit::DONE),
        Err(error) => Refused::failed(format!("{}: {error}", to.display())).print(),
    }
}

/// Every page: its file's name and its text.
fn pages() -> io::Result<Vec<(String, String)>> {
    let mut command = Cli::command();
    command.build();
    let mut pages = Vec::new();
    of_command(&command, "stoxd", &mut pages)?;
    pages.extend(PAGES.map(|(name, page)| (name.to_owned(), page.to_owned())));
    Ok(pages)
}

/// The page of `command`, which is called `name`, and those of the verbs below it.
fn of_command(command: &Command, name: &str, pages: &mut Vec<(String, String)>) -> io::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name).render(&mut page)?;
    pages.push((format!("{name}.1"), String::from_utf8_lossy(&page).into_owned()));
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        of_command(verb, &format!("{name}-{}", verb.get_name()), pages)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_definitions_hold_together_and_every_verb_has_a_page() {
        Cli::command().debug_assert();
        let pages = pages().unwrap();
        for name in ["stoxd.1", "stoxd-policy-grant.1", "stoxd-partner-set.1", "stoxd.8", "stoxd.toml.5"] {
            let page = pages.iter().find(|(known, _)| known == name);
            assert!(page.is_some_and(|(_, page)| page.contains(".TH ")), "{name}");
        }
    }
}
