//! `stoxd policy test`: the verdict on one pair of addresses, step by step.

use super::check::problems;
use super::exit;
use crate::addr::Jid;
use crate::config::{Config, Problem};
use crate::crossing::Direction;
use crate::policy::explain::Remedy;
use crate::policy::written::{Pair, shown};
use crate::policy::{Explanation, Reason};
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
        true => to_json(&pair, config, &explanation),
        false => to_text(&pair, config, &explanation),
    };
    (text, if explanation.denied.is_some() { exit::PROBLEMS } else { exit::DONE })
}

fn to_text(pair: &Pair, config: &Config, explanation: &Explanation) -> String {
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
    for (index, action) in actions(config, explanation).iter().enumerate() {
        let lead = if index == 0 { "to allow:" } else { "     and:" };
        for (line, text) in action.iter().enumerate() {
            let _ = writeln!(out, " {:9} {text}", if line == 0 { lead } else { "" });
        }
    }
    out
}

fn to_json(pair: &Pair, config: &Config, explanation: &Explanation) -> String {
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
    let answer = json!({
        "verdict": if explanation.denied.is_some() { "deny" } else { "allow" },
        "from": pair.shown_from(),
        "to": pair.shown_to(),
        "reason": explanation.denied.map(Reason::as_str),
        "policy": explanation.policy,
        "steps": steps,
        "sender_sees": explanation.denied.map(|reason| sender_sees(pair.direction, reason).1),
        "to_allow": actions(config, explanation).iter().map(|lines| lines.join("\n")).collect::<Vec<_>>(),
    });
    format!("{answer:#}\n")
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
            Reason::AddressBlocked | Reason::PolicyFederation | Reason::PolicyXmpp | Reason::NotAdded,
        ) => ("XMPP forbidden (a SIP sender: 403)", json!({ "xmpp": "forbidden" })),
    }
}

/// What is to be written, and where: a line each.
fn action(remedy: &Remedy, config: &Config, explanation: &Explanation) -> Vec<String> {
    let file = &config.table.files().policy;
    let mut lines = Vec::new();
    let mut say = |line: String| lines.push(line);
    match remedy {
        Remedy::EnableFederation => match explanation.steps.first().filter(|step| !step.at.is_empty()) {
            Some(switch) => say(format!("write enabled = true at {}", switch.at)),
            None => {
                say(format!("add to {file}"));
                say("[federation]".into());
                say("enabled = true".into());
            }
        },
        Remedy::AddPartner(domain) => {
            say(format!("add to {file}"));
            say("[[partner]]".into());
            say(format!("domain = {}", toml(domain.as_str())));
        }
        Remedy::Unblock(at) => say(format!("remove the [[blocked]] entry at {at}")),
        Remedy::Grant { policy, user, instead } => {
            let name = policy.clone().unwrap_or_else(|| new_name(config));
            if policy.is_none() {
                say(format!("add to {file}"));
                say("[[policy]]".into());
                say("scope = \"user\"".into());
                say(format!("name = {}", toml(&name)));
                say("federation = true".into());
                say("xmpp = true".into());
            } else if instead.is_empty() {
                say(format!("add to {file}"));
            }
            if instead.is_empty() {
                say("[[grant]]".into());
                say(format!("user = {}", toml(&shown(user, true))));
                say(format!("policy = {}", toml(&name)));
            } else {
                say(format!("grant {} in place of what stands at {instead}", toml(&name)));
            }
        }
        Remedy::AddContact(user, contact) => {
            say(format!("{} adds {} as a contact", shown(user, true), shown(contact, false)));
        }
    }
    lines
}

/// Everything that would have to be done, the reload included; empty if the verdict is yes.
fn actions(config: &Config, explanation: &Explanation) -> Vec<Vec<String>> {
    let edits = |remedy: &&Remedy| !matches!(remedy, Remedy::AddContact(..));
    let mut all: Vec<Vec<String>> =
        explanation.remedies.iter().map(|remedy| action(remedy, config, explanation)).collect();
    if explanation.remedies.iter().any(|remedy| edits(&remedy)) {
        all.push(vec!["stoxd reload".into()]);
    }
    all
}

/// A name that no policy has.
fn new_name(config: &Config) -> String {
    let taken = |name: &str| config.table.policies().iter().any(|policy| policy.name == name);
    let mut name = "XMPP users".to_owned();
    for number in 2.. {
        if !taken(&name) {
            break;
        }
        name = format!("XMPP users {number}");
    }
    name
}

/// `text` as a string of TOML: the escapes of JSON are among those of TOML.
fn toml(text: &str) -> String {
    Value::from(text).to_string()
}
