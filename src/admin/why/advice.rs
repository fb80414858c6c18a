//! What to do: from how the newest crossing ended, or from what would become of one.

use super::{About, Why};
use crate::admin::trace::{Crossing, What};

/// What an administrator can do, a line each; empty if nothing is wrong. What policy has decided is said by
/// its table.
pub(super) fn advice(why: &Why) -> Vec<String> {
    let Some(about) = &why.pair else {
        return vec![
            "the record holds the last 20,000 crossings since the daemon was started; older ones: journalctl \
             -u stoxd STOXD_TRACE=NAME"
                .to_owned(),
        ];
    };
    let Some(crossing) = why.crossings.last() else { return of_nothing(about) };
    match crossing.outcome.as_str() {
        "delivered" if crossing.is_message() => match crossing.is_from_sip() {
            true if !crossing.has(What::Sent) => Vec::new(),
            true => vec![format!(
                "if {} has not seen it: the server of {} has it; its log has the stanza id {}",
                crossing.to, crossing.partner, crossing.trace
            )],
            false => vec![format!(
                "if {} has not seen it: {} answered for it; its log has the From tag {}",
                crossing.to, crossing.peer, crossing.trace
            )],
        },
        "failed" | "ended" => of_failure(about, crossing),
        "open" => of_open(about, crossing),
        _ => Vec::new(),
    }
}

fn of_nothing(about: &About) -> Vec<String> {
    if !about.policy.allowed {
        return vec!["it would be refused; the lines after \"to allow\" change that".to_owned()];
    }
    let mut lines = Vec::new();
    match about.from.starts_with("sip:") {
        true => lines.push(format!(
            "policy allows it, so it did not get here: does {} route {} to stoxd?",
            about.peer, about.partner
        )),
        false => lines.push(format!(
            "policy allows it, so it did not get here: does the server of {} find us by DNS?",
            about.partner
        )),
    }
    lines.push("look further back: --since 1h".to_owned());
    lines
}

fn of_open(about: &About, crossing: &Crossing) -> Vec<String> {
    let last = crossing.steps.iter().rev().find(|step| step.what != What::Watch);
    match last.map(|step| step.what) {
        Some(What::WaitsForStream) => stream(about),
        Some(What::WaitsForLink) => link(about),
        _ if !crossing.is_message() => vec![format!("{} has to agree to it", crossing.to)],
        _ => vec!["ask again in a moment".to_owned()],
    }
}

fn of_failure(about: &About, crossing: &Crossing) -> Vec<String> {
    let peer = &crossing.peer;
    if let Some(step) = crossing.steps.iter().rev().find(|step| step.what == What::Returned) {
        let condition = step.condition.as_deref().unwrap_or_default();
        return vec![format!(
            "the server of {} took it and returned {condition}: the account does not exist, is not there or \
             does not want it; only its administrator can tell, by the stanza id {}",
            crossing.partner, crossing.trace
        )];
    }
    let answered = crossing.steps.iter().rev().find(|step| step.what == What::Answered);
    if let Some(status) = answered.and_then(|step| step.status).filter(|status| *status >= 300) {
        return of_status(crossing, status);
    }
    let reason = crossing.why.as_deref().unwrap_or_default();
    if reason.contains("rate limit") || reason.contains("too many requests") {
        return vec!["it came too fast: [limits] user_rate and partner_rate in stoxd.toml".to_owned()];
    }
    if reason.contains("longer than") {
        return vec![
            "it is too long: [limits] message_size, and message_limit of the [[sip.peer]]; over UDP no more than \
             1300 octets are safe"
                .to_owned(),
        ];
    }
    if reason.contains("body is not what crosses") {
        return vec!["the client has to send text/plain, or text in multipart or CPIM".to_owned()];
    }
    if crossing.has(What::WaitsForStream) && !crossing.has(What::Sent) {
        return stream(about);
    }
    if crossing.has(What::WaitsForLink) && !crossing.has(What::Sent) {
        return link(about);
    }
    if crossing.has(What::Sent) && crossing.is_message() {
        return match crossing.is_from_sip() {
            true => stream(about),
            false => vec![format!(
                "{peer} took it and did not answer: its log has the From tag {}; is the user's device there?",
                crossing.trace
            )],
        };
    }
    vec![format!("journalctl -u stoxd STOXD_TRACE={}", crossing.trace)]
}

fn of_status(crossing: &Crossing, status: u16) -> Vec<String> {
    let (peer, to) = (&crossing.peer, &crossing.to);
    let tell = |what: String| vec![what, format!("its log has the From tag {}", crossing.trace)];
    match status {
        401 | 407 => vec![format!(
            "{peer} wants a password: digest of its [[sip.peer]] in stoxd.toml is missing or wrong"
        )],
        403 => tell(format!("{peer} refused it by its own rules: it has to trust this gateway as a peer")),
        404 | 410 | 604 => tell(format!("{peer} does not know {to}")),
        408 | 480 | 487 => tell(format!("{to} is not registered at {peer}, or no device of it answers")),
        405 | 415 | 488 | 489 | 501 | 606 => {
            tell(format!("{peer} or the user's device does not take {} in this form", kind(crossing)))
        }
        482 | 483 => tell(format!("{peer} sends it in a circle: its routes for our domains lead back here")),
        500..=599 => tell(format!("{peer} is in trouble")),
        _ => tell(format!("{peer} or the user's device refused it with {status}")),
    }
}

fn kind(crossing: &Crossing) -> &'static str {
    if crossing.is_message() { "messages" } else { "subscriptions" }
}

fn stream(about: &About) -> Vec<String> {
    let partner = &about.partner;
    let mut lines = Vec::new();
    if about.streams.iter().any(|stream| stream.direction == "out") {
        lines.push(format!("a stream to {partner} is up by now: send it again"));
    } else {
        lines.push(format!("mend the way to {partner}: DNS, the network, its certificate or ours"));
    }
    lines.push(format!("journalctl -u stoxd STOXD_EVENT=stream.down STOXD_PARTNER={partner}"));
    lines
}

fn link(about: &About) -> Vec<String> {
    let peer = &about.peer;
    let mut lines = Vec::new();
    if about.links.iter().any(|link| link.direction == "out") {
        lines.push(format!("a connection to {peer} is up by now: send it again"));
    } else {
        lines
            .push(format!("mend the way to {peer}: route of its [[sip.peer]], the network, its certificate"));
    }
    lines.push(format!("journalctl -u stoxd STOXD_EVENT=link.down STOXD_PEER={peer}"));
    lines
}
