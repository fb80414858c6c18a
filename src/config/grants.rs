//! The grants file: one `user,policy` a line, perhaps a million of them.
//!
//! Empty lines and lines that start with `#` count for nothing. The last comma parts the two, as a
//! SIP user part may hold commas.

use super::access::{Defined, undefined};
use super::problem::{Place, Problem, Report, Severity, quoted};
use crate::addr::Domain;
use crate::policy::table::PolicyId;
use crate::policy::{At, GrantError, MAX_GLOBS, TableBuilder, UserPattern};

/// Octets of a short line.
const SHORT: usize = 16;
/// Lines that room is made for before they are read.
const MAX_RESERVED: usize = 4 << 20;

/// Adds every grant in `text`, which is the file called `name`, to `builder`.
pub(super) fn read(
    name: &str,
    text: &str,
    builder: &mut TableBuilder,
    policies: &Defined<PolicyId>,
    ours: &[Domain],
    report: &Report,
) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // A million of lines or so, whatever the file claims by its empty ones.
    builder.reserve_grants((text.len() / SHORT).min(MAX_RESERVED).min(text.lines().count()));
    let mut foreign: Option<(Problem, u64)> = None;
    for (index, line) in text.lines().enumerate() {
        let number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
        let row = line.trim();
        if row.is_empty() || row.starts_with('#') {
            continue;
        }
        let problem = |severity, part: &str, message: String, label: String| {
            let before = offset(line, part);
            let place = Some(Place::in_line(number, line, before, part.chars().count()));
            Problem { severity, message, file: name.to_owned(), place, label }
        };
        let error = |part, message, label| report.add(problem(Severity::Error, part, message, label));
        let Some((user, policy)) = row.rsplit_once(',') else {
            error(row, "a grant is written user,policy".into(), "no comma".into());
            continue;
        };
        let (user, policy) = (user.trim(), policy.trim());
        let Some((id, _)) = policies.get(policy) else {
            let label = undefined(policy, policies);
            error(policy, format!("unknown policy {}", quoted(policy)), label);
            continue;
        };
        let pattern = match UserPattern::parse(user) {
            Ok(pattern) => pattern,
            Err(reason) => {
                error(user, format!("bad user {}", quoted(user)), reason.to_string());
                continue;
            }
        };
        if let Some(domain) = pattern.domain()
            && !ours.is_empty()
            && !ours.iter().any(|served| served.as_str() == domain)
        {
            let first = || {
                let message = format!("\"{domain}\" is not served here");
                (problem(Severity::Warning, user, message, String::new()), 0)
            };
            foreign.get_or_insert_with(first).1 += 1;
        }
        match builder.grant(&pattern, *id, At::grants(number)) {
            Ok(()) => {}
            Err(GrantError::Twice(at)) => {
                let label = match at {
                    At { file: crate::policy::rules::File::Grants, line } => format!("first in line {line}"),
                    At { file: crate::policy::rules::File::Policy, line } => {
                        format!("line {line} of the policy file does")
                    }
                };
                error(user, format!("\"{pattern}\" is granted twice"), label);
            }
            Err(GrantError::TooManyGlobs) => {
                error(user, "too many patterns with stars".into(), format!("{MAX_GLOBS} at most"));
            }
        }
    }
    if let Some((mut problem, count)) = foreign {
        if count > 1 {
            problem.label = format!("the first of {count} grants for domains that are not ours");
        }
        report.add(problem);
    }
}

/// How many characters of `line` stand in front of `part`, which is a slice of it.
fn offset(line: &str, part: &str) -> usize {
    let octets = (part.as_ptr() as usize).saturating_sub(line.as_ptr() as usize);
    line.get(..octets).unwrap_or_default().chars().count()
}
