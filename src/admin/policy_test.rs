//! `stoxd policy test`: the verdict on one pair of addresses, step by step.

use super::check::problems;
use super::{exit, why};
use crate::addr::Jid;
use crate::config::{Config, Problem};
use crate::crossing::Direction;
use crate::policy::explain::Remedy;
use crate::policy::written::{Pair, shown};
use crate::policy::{Contacts, Explanation, Reason, Table};
use serde_json::{Value, json};
use std::fmt::Write;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'q> {
    /// The sender: `sip:…` or `xmpp:…`.
    pub from: &'q str,
    /// The target.
    pub to: &'q str,
    /// Whether to take it that our user has added the contact.
    pub added: bool,
    /// Whether the answer is for programs.
    pub json: bool,
}

/// Answers `question` by the configuration, with the exit code: 0 is allow, 3 deny, 2 an address that
/// is none, 78 a configuration that is invalid.
pub fn policy_test(loaded: &Result<Config, Vec<Problem>>, question: &Question<'_>) -> (String, u8) {
    let config = match loaded {
        Ok(config) => config,
        Err(found) => return (problems(found), exit::CONFIG),
    };
    let pair = match Pair::parse(question.from, question.to, |domain| config.serves(domain)) {
        Ok(pair) => pair,
        Err((is_from, error)) => {
            let (option, text) = if is_from { ("--from", question.from) } else { ("--to", question.to) };
            return (format!("error: {option} {}: {error}\n", text.escape_debug()), exit::USAGE);
        }
    };
    if !config.serves(pair.local().domain()) {
        let text = format!("error: {} is not served here\n", pair.local().domain());
        return (text, exit::USAGE);
    }
    let contacts = |_: &Jid, _: &Jid| question.added;
    let explanation = config.table.explain(&pair.crossing(), &contacts);
    let text = match question.json {
        true => to_json(&pair, &config.table, &explanation),
        false => to_text(&pair, &config.table, &explanation),
    };
    (text, if explanation.denied.is_some() { exit::PROBLEMS } else { exit::DONE })
}

/// What `table` says of `pair`, for `stoxd why`.
pub fn judged(pair: &Pair, table: &Table, contacts: &dyn Contacts) -> why::Policy {
    let explanation = table.explain(&pair.crossing(), contacts);
    why::Policy {
        allowed: explanation.denied.is_none(),
        text: to_text(pair, table, &explanation),
        table: answer(pair, table, &explanation),
    }
}

fn to_text(pair: &Pair, table: &Table, explanation: &Explanation) -> String {
    let verdict = if explanation.denied.is_some() { "DENY" } else { "ALLOW" };
    let mut out = format!("{verdict:<6}{} → {}\n", pair.shown_from(), pair.shown_to());
    let with_row = explanation.steps.iter().filter(|step| !step.at.is_empty());
    let width = with_row.map(|step| step.text.chars().count()).max().unwrap_or(0);
    // Writing to a String does not fail.
    for (index, step) in explanation.steps.iter().enumerate() {
        let _ = write!(out, " {} {:<10}  ", index + 1, step.name);
        let _ = match step.at.is_empty() {
            true => write!(out, "{}", step.text),
            false => write!(out, "{:<width$} {}", step.text, step.at),
        };
        let _ = match (explanation.decided == Some(index), step.open) {
            (true, _) => writeln!(out, "  ← this decided"),
            (false, false) => writeln!(out, "  ← shut as well"),
            (false, true) => writeln!(out),
        };
    }
    if let Some(reason) = explanation.denied {
        let _ = writeln!(out, " the sender would see: {}", sender_sees(pair.direction, reason).0);
    }
    for (index, action) in actions(table, explanation).iter().enumerate() {
        let lead = if index == 0 { "to allow:" } else { "     and:" };
        let _ = writeln!(out, " {lead} {action}");
    }
    out
}

fn to_json(pair: &Pair, table: &Table, explanation: &Explanation) -> String {
    format!("{:#}\n", answer(pair, table, explanation))
}

fn answer(pair: &Pair, table: &Table, explanation: &Explanation) -> Value {
    let steps: Vec<Value> = explanation
        .steps
        .iter()
        .enumerate()
        .map(|(index, step)| {
            json!({
                "step": index + 1,
                "name": step.name,
                "text": step.text,
                "at": step.at,
                "open": step.open,
                "decided": explanation.decided == Some(index),
            })
        })
        .collect();
    json!({
        "verdict": if explanation.denied.is_some() { "deny" } else { "allow" },
        "from": pair.shown_from(),
        "to": pair.shown_to(),
        "reason": explanation.denied.map(Reason::as_str),
        "policy": explanation.policy,
        "steps": steps,
        "sender_sees": explanation.denied.map(|reason| sender_sees(pair.direction, reason).1),
        "to_allow": actions(table, explanation),
    })
}

/// What a refused sender sees, for people and for programs.
fn sender_sees(direction: Direction, reason: Reason) -> (&'static str, Value) {
    match (direction, reason) {
        (Direction::SipToXmpp, _) => ("SIP 403 (an XMPP sender: forbidden)", json!({ "sip": 403 })),
        (Direction::XmppToSip, Reason::FederationOff | Reason::Unlisted | Reason::DomainBlocked) => (
            "its server's stream ends with policy-violation (a SIP sender: 403)",
            json!({ "stream": "policy-violation" }),
        ),
        (
            Direction::XmppToSip,
            Reason::AddressBlocked
            | Reason::PolicyFederation
            | Reason::PolicyXmpp
            | Reason::NotAdded
            | Reason::Unverifiable,
        ) => ("XMPP forbidden (a SIP sender: 403)", json!({ "xmpp": "forbidden" })),
    }
}

/// What is to be done: a line each.
fn action(remedy: &Remedy, table: &Table) -> Vec<String> {
    match remedy {
        Remedy::EnableFederation => vec!["stoxd federation enable".into()],
        Remedy::AddPartner(domain) => vec![format!("stoxd partner new {domain}")],
        Remedy::Unblock(whom) => vec![format!("stoxd unblock {}", quoted(whom))],
        Remedy::Grant { policy, user } => {
            let name = quoted(&policy.clone().unwrap_or_else(|| new_name(table)));
            let grant = format!("stoxd policy grant {name} --to {}", quoted(&shown(user, true)));
            match policy {
                Some(_) => vec![grant],
                None => vec![format!("stoxd policy new {name} --federation on --xmpp on"), grant],
            }
        }
        Remedy::AddContact(user, contact) => {
            vec![format!("{} adds {} as a contact", shown(user, true), shown(contact, false))]
        }
        Remedy::BeContact(contact, user) => {
            vec![format!("{} adds {} as a contact", shown(contact, false), shown(user, true))]
        }
    }
}

/// Everything that would have to be done; empty if the verdict is yes.
fn actions(table: &Table, explanation: &Explanation) -> Vec<String> {
    explanation.remedies.iter().flat_map(|remedy| action(remedy, table)).collect()
}

/// A name that no policy has.
fn new_name(table: &Table) -> String {
    let taken = |name: &str| table.policies().iter().any(|policy| policy.name == name);
    let mut name = "XMPP users".to_owned();
    for number in 2.. {
        if !taken(&name) {
            break;
        }
        name = format!("XMPP users {number}");
    }
    name
}

/// `text` as one word of a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    match text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}
