//! `stoxd policy grant` and `revoke`: who has which user policy.
//!
//! A grant is a `[[grant]]` of the policy file, or a line of the grants file. A user whom the grants file holds
//! is changed there; everybody else gets a `[[grant]]`.

use super::change::{Change, How, Refused, Which, rows};
use super::policies;
use crate::addr::Jid;
use crate::config::{self, Config};
use crate::policy::table::Origin;
use crate::policy::{UserPattern, written};
use std::path::PathBuf;
use toml_edit::{DocumentMut, Table};

/// Grants `policy` to each of `users`; the exit code.
///
/// # Errors
/// See [`Refused`].
pub fn grant(policy: &str, users: &[String], how: &How) -> Result<u8, Refused> {
    let given = policy.strip_prefix("tag:").unwrap_or(policy);
    let whom = patterns("--to", users)?;
    let mut change = Change::open("policy grant", how)?;
    let path = change.path(Which::Policy);
    let mut document = change.document(&path)?;
    let known = policies::names(&mut document)?;
    // As it is written in the file: no two names differ in case alone.
    let Some(policy) = known.iter().find(|name| name.to_lowercase() == given.to_lowercase()) else {
        let meant = config::nearest(given, known.iter().map(String::as_str));
        let meant = meant.map(|name| format!("; or did you mean {name}?")).unwrap_or_default();
        let make = format!("stoxd policy new {given} --federation on --xmpp on");
        return Err(Refused::failed(format!("there is no user policy {given}: {make}{meant}")));
    };
    change.rename(format!("policy grant {policy} --to {}", users.join(" ")));
    let mut file = GrantsFile::open(&mut change)?;
    let mut left = whom.clone();
    // What has a grant keeps its place, with the new policy.
    for row in rows::rows(&mut document, "grant")?.iter_mut() {
        let Some(pattern) = pattern_of(row) else { continue };
        if take(&mut left, &pattern) {
            rows::set(row, "policy", policy);
        }
    }
    if let Some(file) = &mut file {
        file.change(|pattern, _| take(&mut left, pattern).then(|| Some(policy.to_owned())));
    }
    for pattern in &left {
        let mut row = rows::row();
        rows::set(&mut row, "user", format!("sip:{pattern}"));
        rows::set(&mut row, "policy", policy);
        rows::rows(&mut document, "grant")?.push(row);
    }
    change.put(&path, document.to_string());
    if let Some(file) = file {
        file.put(&mut change);
    }
    let said = format!("{policy} is granted to {}", whom_of(users));
    Ok(change
        .finish_with(&said, |config| whom.iter().filter_map(|pattern| earlier(config, pattern)).collect()))
}

/// The pattern of an earlier row that covers all whom `pattern` means, so that a grant to it has no effect.
fn earlier(config: &Config, pattern: &UserPattern) -> Option<String> {
    pattern.domain()?;
    // A star stands for itself among all that it stands for.
    let user = written::sip(&format!("sip:{pattern}")).ok()?;
    let (_, step) = config.table.standing(&user);
    let is_other = step.text.ends_with(')') && !step.text.ends_with(&format!("(matched {pattern})"));
    is_other.then(|| {
        format!("sip:{pattern} has no effect: an earlier pattern covers it: {}  {}\n", step.text, step.at)
    })
}

/// What `user` has, if a grant still gives it.
fn still(config: &Config, user: &Jid) -> Option<String> {
    let (_, step) = config.table.standing(user);
    let is_granted = matches!(config.table.effective(user).1, Origin::Grant(_));
    is_granted.then(|| format!("{} has still: {}  {}\n", written::shown(user, true), step.text, step.at))
}

/// Takes the grants of `users` away; the exit code.
///
/// # Errors
/// See [`Refused`].
pub fn revoke(users: &[String], how: &How) -> Result<u8, Refused> {
    let whom = patterns("--from", users)?;
    let covers = |pattern: &UserPattern| {
        whom.iter().any(|from| match pattern {
            UserPattern::User(user) => from.matches(user),
            UserPattern::Domain(_) | UserPattern::Glob(_) => from == pattern,
        })
    };
    let mut change = Change::open(&format!("policy revoke --from {}", users.join(" ")), how)?;
    let path = change.path(Which::Policy);
    let mut document = change.document(&path)?;
    let mut gone = rows::remove(&mut document, "grant", |row| pattern_of(row).is_some_and(|p| covers(&p)))?;
    let file = GrantsFile::open(&mut change)?.map(|mut file| {
        gone += file.change(|pattern, _| covers(pattern).then_some(None));
        file
    });
    match gone {
        0 => {
            let text = format!("no grant of {}: stoxd user show says what counts", whom_of(users));
            return Err(Refused::failed(text));
        }
        1 => how.agreed(&format!("The grant of {} will be gone. Take it away?", whom_of(users)))?,
        gone => how.agreed(&format!("{gone} grants will be gone. Take them away?"))?,
    }
    change.put(&path, document.to_string());
    if let Some(file) = file {
        file.put(&mut change);
    }
    let grants = if gone == 1 { "1 grant is".to_owned() } else { format!("{gone} grants are") };
    Ok(change.finish_with(&format!("{grants} taken away"), |config| {
        let users = whom.iter().filter_map(|from| match from {
            UserPattern::User(user) => Some(user),
            UserPattern::Domain(_) | UserPattern::Glob(_) => None,
        });
        let granted: String = users.filter_map(|user| still(config, user)).collect();
        match granted.is_empty() {
            true => "the policy of the site, or the global one, counts\n".to_owned(),
            false => granted,
        }
    }))
}

/// Drops every grant of `policy` from `document` and from the grants file; how many they were.
///
/// # Errors
/// The grants file can't be read.
pub fn drop_policy(
    change: &mut Change<'_>,
    document: &mut DocumentMut,
    policy: &str,
) -> Result<usize, Refused> {
    let mut gone = rows::remove(document, "grant", |row| rows::text(row, "policy") == Some(policy))?;
    if let Some(mut file) = GrantsFile::open(change)? {
        gone += file.change(|_, granted| (granted == policy).then_some(None));
        file.put(change);
    }
    Ok(gone)
}

fn whom_of(users: &[String]) -> String {
    match users {
        [one] => one.clone(),
        many => format!("{} users and patterns", many.len()),
    }
}

fn patterns(option: &str, users: &[String]) -> Result<Vec<UserPattern>, Refused> {
    let read = |user: &String| {
        UserPattern::parse(user)
            .map_err(|error| Refused::usage(format!("{option} {}: {error}", user.escape_debug())))
    };
    let mut all = Vec::new();
    for pattern in users.iter().map(read) {
        let pattern = pattern?;
        if !all.contains(&pattern) {
            all.push(pattern);
        }
    }
    Ok(all)
}

fn pattern_of(row: &Table) -> Option<UserPattern> {
    UserPattern::parse(rows::text(row, "user")?).ok()
}

/// Takes `pattern` out of `left`; whether it was there.
fn take(left: &mut Vec<UserPattern>, pattern: &UserPattern) -> bool {
    let before = left.len();
    left.retain(|other| other != pattern);
    left.len() < before
}

/// The grants file, line by line.
struct GrantsFile {
    path: PathBuf,
    text: String,
}

impl GrantsFile {
    /// The grants file of the configuration, if it has one.
    fn open(change: &mut Change<'_>) -> Result<Option<Self>, Refused> {
        let Some(path) = change.grants() else { return Ok(None) };
        let text = change.text(&path)?.to_owned();
        Ok(Some(Self { path, text }))
    }

    /// Asks `what` becomes of each grant: `None` leaves it, `Some(None)` removes it, `Some(Some(policy))` grants
    /// another policy; how many were changed.
    fn change(&mut self, mut what: impl FnMut(&UserPattern, &str) -> Option<Option<String>>) -> usize {
        let mut changed = 0;
        let mut text = String::with_capacity(self.text.len());
        for line in self.text.split_inclusive('\n') {
            // A byte order mark in front of the first line is none of it, and `put` brings it back.
            let row = line.trim_start_matches('\u{feff}').trim();
            let grant = row.rsplit_once(',').filter(|_| !row.starts_with('#'));
            let grant =
                grant.and_then(|(user, policy)| Some((UserPattern::parse(user.trim()).ok()?, user, policy)));
            let Some((pattern, user, policy)) = grant else {
                text.push_str(line);
                continue;
            };
            match what(&pattern, policy.trim()) {
                None => text.push_str(line),
                Some(None) => changed += 1,
                Some(Some(policy)) => {
                    changed += 1;
                    text.push_str(user);
                    text.push(',');
                    text.push_str(&policy);
                    text.push('\n');
                }
            }
        }
        self.text = text;
        changed
    }

    fn put(self, change: &mut Change<'_>) {
        change.put(&self.path, self.text);
    }
}
