//! `stoxd policy history` and `rollback`.

use super::change::revision::{self, Revision};
use super::change::summary::cut;
use super::change::{Change, How, Refused, Which, disk};
use super::cli::{ConfigFile, say};
use super::exit;
use super::words::{columns, harmless};
use serde_json::{Value, json};
use std::path::Path;

/// Facts of one change that are shown to a person; JSON has more of them.
const SHOWN: usize = 3;
/// Characters of a fact, and of what a change is called, in a line.
const LONGEST: usize = 100;

/// The changes that verbs made, the last one first; the exit code.
pub(super) fn list(file: &ConfigFile, as_json: bool) -> u8 {
    let revisions = match revision::list(&disk::folder_of(&file.config)) {
        Ok(revisions) => revisions,
        Err(refused) => return refused.print(),
    };
    if as_json {
        let all: Vec<Value> = revisions
            .iter()
            .rev()
            .map(|revision| {
                let files: Vec<_> = revision.note.files.iter().map(|(path, _)| path).collect();
                json!({
                    "number": revision.number,
                    "date": date(revision),
                    "by": revision.note.by,
                    "what": revision.note.what,
                    "changed": revision.note.facts.changed,
                    "more": revision.note.facts.more,
                    "files": files,
                })
            })
            .collect();
        return say(&format!("{:#}\n", json!({ "changes": all })), exit::DONE);
    }
    if revisions.is_empty() {
        return say("no change was made by a verb yet\n", exit::DONE);
    }
    let rows: Vec<[String; 4]> = revisions
        .iter()
        .rev()
        .map(|revision| {
            let note = &revision.note;
            let what = cut(&harmless(&note.what), LONGEST);
            [revision.number.to_string(), date(revision), harmless(&note.by), what]
        })
        .collect();
    let table = columns(["CHANGE", "DATE", "BY", "WHAT"], &rows);
    let (heads, lines) = table.split_once('\n').unwrap_or_default();
    let mut out = format!("{heads}\n");
    for (line, revision) in lines.lines().zip(revisions.iter().rev()) {
        out.push_str(&format!("{line}\n"));
        let facts = &revision.note.facts;
        for fact in facts.changed.iter().take(SHOWN) {
            out.push_str(&format!("        {}\n", cut(&harmless(fact), LONGEST)));
        }
        let more = facts.changed.len().saturating_sub(SHOWN) + facts.more;
        if more > 0 {
            out.push_str(&format!("        and {more} more\n"));
        }
    }
    say(&out, exit::DONE)
}

fn date(revision: &Revision) -> String {
    let date = jiff::Timestamp::try_from(revision.date).unwrap_or_default();
    date.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Brings the policy file and the grants file back to what they were before the change `number`, or before the
/// last one that touched them; the exit code.
///
/// # Errors
/// See [`Refused`].
pub(super) fn rollback(number: Option<u32>, how: &How) -> Result<u8, Refused> {
    let revisions = revision::list(&disk::folder_of(&how.file.config))?;
    let mut change = Change::open("policy rollback", how)?;
    let mut places = vec![change.path(Which::Policy)];
    places.extend(change.grants());
    let touches = |revision: &&Revision| revision.note.files.iter().any(|(path, _)| places.contains(path));
    let found = match number {
        Some(number) => revisions.iter().find(|revision| revision.number == number),
        None => revisions.iter().rev().find(touches),
    };
    let Some(first) = found else {
        return Err(Refused::failed(match number {
            Some(number) => format!("there is no change {number}: stoxd policy history"),
            None => "no change was made by a verb yet".to_owned(),
        }));
    };
    let undone: Vec<&Revision> =
        revisions.iter().filter(|r| r.number >= first.number).filter(touches).collect();
    if !touches(&first) {
        let text = format!("change {} is none of the policy: {}", first.number, first.note.what);
        return Err(Refused::failed(text));
    }
    let mut by_hand: Vec<String> = Vec::new();
    for place in &places {
        if is_edited_by_hand(&undone, place, change.text(place)?)? {
            by_hand.push(place.file_name().unwrap_or_default().to_string_lossy().into_owned());
        }
        // Of all that is undone, the first change has what was there before.
        for revision in undone.iter().rev() {
            if let Some(text) = revision.text(place)? {
                change.put_known(place, text)?;
            }
        }
    }
    let what: Vec<&str> = undone.iter().map(|revision| revision.note.what.as_str()).collect();
    let by_hand = match by_hand.is_empty() {
        true => String::new(),
        false => format!(", and what was edited by hand since in {}", by_hand.join(", ")),
    };
    how.agreed(&match what[..] {
        [one] => format!("\"{}\" will be taken back{by_hand}. Roll back?", harmless(one)),
        _ => format!("{} changes will be taken back{by_hand}. Roll back?", what.len()),
    })?;
    change.rename(format!("policy rollback {}", first.number));
    Ok(change.finish(&format!("taken back: {}{by_hand}", what.join("; "))))
}

/// Whether the file at `place`, which holds `now`, was changed by others than verbs since the first of `undone`.
fn is_edited_by_hand(undone: &[&Revision], place: &Path, now: &str) -> Result<bool, Refused> {
    let mut after: Option<String> = None;
    for revision in undone.iter().rev() {
        // What the next change found, or what is there.
        if let Some(before) = revision.text(place)? {
            if !revision.left(place, after.as_deref().unwrap_or(now)) {
                return Ok(true);
            }
            after = Some(before);
        }
    }
    Ok(false)
}
