//! The answer as a person reads it.

use super::advice::advice;
use super::{About, Why};
use crate::addr::Clean;
use crate::admin::control::duration;
use crate::admin::trace::{Crossing, Step, Way, What, millis, stamp};
use std::fmt::Write;

/// The whole answer.
pub(super) fn render(why: &Why) -> String {
    // Writing to a String does not fail.
    let mut out = format!("{}\n", verdict(why));
    if let Some(newest) = why.crossings.last() {
        let _ = writeln!(out, "\n{}  {}  trace {}", stamp(newest.begun), newest.kind, newest.trace);
        for step in &newest.steps {
            let _ = writeln!(out, "{:>9} ms  {}", millis(step.after), sentence(newest, step));
        }
    }
    let earlier = why.crossings.len().saturating_sub(1);
    if earlier > 0 {
        let _ = writeln!(out, "\nbefore it, in the last {}:", duration(why.since));
        for crossing in why.crossings.iter().take(earlier).rev() {
            let reason = crossing.why.as_deref().map(|why| format!(": {}", Clean(why))).unwrap_or_default();
            let (begun, kind) = (stamp(crossing.begun), &crossing.kind);
            let _ = writeln!(out, "  {begun}  {kind}  {}{reason}  {}", crossing.outcome, crossing.trace);
        }
        if why.older > 0 {
            let _ = writeln!(out, "  and {} more", why.older);
        }
    }
    if let Some(about) = &why.pair {
        around(&mut out, why, about);
    }
    let advice = advice(why);
    if !advice.is_empty() {
        out.push_str("\nwhat to do\n");
        for line in advice {
            let _ = writeln!(out, "  {line}");
        }
    }
    out
}

/// The policy table where it decides or has changed, and what is up between the two.
fn around(out: &mut String, why: &Why, about: &About) {
    let newest = why.crossings.last();
    let was_denied = newest.is_some_and(|one| one.outcome == "denied");
    if newest.is_none() || was_denied || !about.policy.allowed {
        out.push_str(match was_denied && about.policy.allowed {
            true => "\nthe policy table was changed since; now it says\n",
            false => "\nthe policy table\n",
        });
        out.push_str(&about.policy.text);
    }
    let is_fine = newest.is_some_and(|one| one.is_message() && one.outcome == "delivered");
    if !about.watches.is_empty() {
        out.push_str("\npresence\n");
        for watch in &about.watches {
            let reason = watch.reason.as_deref().map(|why| format!(", {}", Clean(why))).unwrap_or_default();
            let _ = writeln!(
                out,
                "  {} sees {}: authorization {}, subscription {}{reason}",
                watch.watcher, watch.presentity, watch.authorization, watch.state
            );
        }
    } else if newest.is_none_or(|one| !one.is_message()) {
        let _ = writeln!(out, "\npresence\n  neither of the two has asked to see the other");
    }
    if is_fine {
        return;
    }
    let _ = writeln!(out, "\nXMPP, {}", about.partner);
    for stream in &about.streams {
        let _ = writeln!(out, "  stream {} up  {}  {}", stream.direction, stream.address, stream.security);
    }
    if about.streams.is_empty() {
        out.push_str("  no stream is up; one is made when something is to be sent\n");
    }
    if let Some(fault) = &about.stream_fault {
        let _ = writeln!(out, "  last error {fault}");
    }
    let _ = writeln!(out, "SIP, {}", about.peer);
    for link in &about.links {
        let _ = writeln!(out, "  link {} up  {}  {}", link.direction, link.address, link.transport);
    }
    if about.links.is_empty() {
        out.push_str("  no connection is up; one is made when something is to be sent\n");
    }
    if let Some(fault) = &about.link_fault {
        let _ = writeln!(out, "  last error {fault}");
    }
    if let Some(fault) = about.refused.as_ref().filter(|_| newest.is_none()) {
        let _ = writeln!(out, "  last request that was refused unread, {fault}");
    }
}

/// One sentence.
pub(super) fn verdict(why: &Why) -> String {
    let Some(crossing) = why.crossings.last() else {
        return match &why.pair {
            Some(about) => format!(
                "Nothing from {} to {} is on record for the last {}.",
                about.from,
                about.to,
                duration(why.since)
            ),
            None => "No crossing of that name is on record.".to_owned(),
        };
    };
    let (user, contact) = crossing.sides();
    let (sender, target) = match crossing.is_from_sip() {
        true => (format!("sip:{user}"), format!("xmpp:{contact}")),
        false => (format!("xmpp:{contact}"), format!("sip:{user}")),
    };
    let reason = crossing.why.as_deref().map(|why| Clean(why).to_string());
    let reason = |lead: &str| reason.as_ref().map(|why| format!("{lead}{why}")).unwrap_or_default();
    let item = if crossing.is_message() { "the message" } else { "the subscription" };
    match (crossing.outcome.as_str(), crossing.is_message()) {
        ("delivered", true) if crossing.is_from_sip() && !crossing.has(What::Sent) => {
            format!("Nothing to deliver: {item} from {sender} to {target} was empty.")
        }
        ("delivered", true) if crossing.is_from_sip() => format!(
            "Delivered: {item} from {sender} is with the server of {}, and its sender was told so.",
            crossing.partner
        ),
        ("delivered", true) => {
            format!("Delivered: {} took {item} from {sender} to {target}.", crossing.peer)
        }
        ("delivered", false) => format!("Granted: {sender} sees {target}."),
        ("denied", _) => {
            let by = match (&crossing.policy, &crossing.policy_at) {
                (Some(policy), Some(at)) => format!(", policy {policy} at {at}"),
                (Some(policy), None) => format!(", policy {policy}"),
                (None, _) => String::new(),
            };
            let step = crossing.steps.iter().find(|step| step.what == What::Denied);
            let detail = step.and_then(|step| step.detail.as_deref()).unwrap_or("policy");
            format!("Denied by policy ({detail}{by}): {item} from {sender} to {target}.{}", reason(" "))
        }
        ("ended", _) => format!("Ended: {sender} does not see {target}{}.", reason(": ")),
        ("open", true) => format!("Under way: {item} from {sender} to {target}."),
        ("open", false) => format!("Not decided: {sender} has asked to see {target}."),
        _ => format!("Not delivered: {item} from {sender} to {target}{}.", reason(": ")),
    }
}

fn sentence(crossing: &Crossing, step: &Step) -> String {
    let by = |way: &Option<Way>| match way {
        Some(Way { name, address, verified, .. }) => {
            let address = address.as_deref().map(|address| format!(" {address}")).unwrap_or_default();
            let verified = if verified.is_empty() { String::new() } else { format!(", {verified}") };
            format!("{name}{address}{verified}")
        }
        None => String::new(),
    };
    let sip = crossing.is_from_sip();
    let (sender, target) = if sip {
        (crossing.peer.as_str(), crossing.partner.as_str())
    } else {
        (crossing.partner.as_str(), crossing.peer.as_str())
    };
    let request = if crossing.is_message() { "MESSAGE" } else { "SUBSCRIBE" };
    let stanza = if crossing.is_message() { "<message>" } else { "<presence type=subscribe>" };
    let (came, sent) = if sip { (request, stanza) } else { (stanza, request) };
    let condition = step.condition.as_deref().unwrap_or_default();
    let status = step.status.unwrap_or_default();
    match step.what {
        What::Came => format!("{came} from {sender} by {} {}", kind_of_way(sip), by(&step.way)),
        What::Allowed => {
            let at = crossing.policy_at.as_deref().map(|at| format!(" ({at})")).unwrap_or_default();
            format!("allowed: policy {}{at}", crossing.policy.as_deref().unwrap_or("-"))
        }
        What::Denied => format!("denied: {}", step.detail.as_deref().unwrap_or_default()),
        What::WaitsForStream => format!("waits for a stream to {target}"),
        What::WaitsForLink => format!("waits for a connection to {target}"),
        What::WaitsForTurn => "waits for the messages before it to the same user".to_owned(),
        What::Sent => format!("{sent} written to {target} by {} {}", kind_of_way(!sip), by(&step.way)),
        What::Answered => format!("{target} answered {status}"),
        What::Returned => format!("{target} returned an error later: {condition}"),
        What::Failed => {
            format!("failed: {}", Clean(crossing.why.as_deref().unwrap_or("no reason is known")))
        }
        What::Told if sip => format!("the sender was answered {status}"),
        What::Told => format!("the sender was told: {condition}"),
        What::Watch => format!("subscription {}", step.detail.as_deref().unwrap_or_default()),
    }
}

fn kind_of_way(is_sip: bool) -> &'static str {
    if is_sip { "link" } else { "stream" }
}
