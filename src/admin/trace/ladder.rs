//! Crossings as a picture: our user, its SIP server, stoxd, the partner, and its user; time goes down.

use super::{Crossing, Step, Way, What, millis};
use crate::addr::Clean;

/// Where the five lines stand: columns from 0.
const LANES: [usize; 5] = [12, 27, 44, 66, 84];
/// How far left of its line a name begins.
const LEAD: usize = 4;
/// Where the trace id stands.
const TRACE: usize = 92;
const STOXD: usize = 2;

/// Draws steps as they come; the names stand above whatever is not between the same people as before.
#[derive(Debug, Default)]
pub struct Ladder {
    shown: Option<(String, String, String)>,
}

impl Ladder {
    /// The lines for all steps of `crossing`.
    pub fn draw(&mut self, crossing: &Crossing) -> String {
        let mut out = String::new();
        let this = (crossing.trace.clone(), crossing.from.clone(), crossing.to.clone());
        if self.shown.as_ref() != Some(&this) {
            if self.shown.is_some() {
                out.push('\n');
            }
            out.push_str(&header(crossing));
            self.shown = Some(this);
        }
        for step in &crossing.steps {
            out.push_str(&line(crossing, step));
        }
        out
    }
}

fn header(crossing: &Crossing) -> String {
    let (user, contact) = crossing.sides();
    let local = |address: &str| address.split('@').next().unwrap_or_default().to_owned();
    let names = [
        format!("{} (SIP)", local(user)),
        if crossing.peer.is_empty() { "-".to_owned() } else { crossing.peer.clone() },
        "stoxd".to_owned(),
        crossing.partner.clone(),
        format!("{} (XMPP)", local(contact)),
    ];
    let mut row = Row::default();
    row.put(1, "t+ms");
    let mut ends = LANES.iter().skip(1).map(|lane| lane - LEAD - 1);
    for (lane, name) in LANES.iter().zip(&names) {
        let from = lane - LEAD;
        let room = ends.next().map_or(40, |end| end - from);
        row.put(from, &shortened(name, room));
    }
    row.finish()
}

fn line(crossing: &Crossing, step: &Step) -> String {
    let sip = crossing.is_from_sip();
    let mut row = Row::default();
    let time = millis(step.after);
    row.put(6usize.saturating_sub(time.len()), &time);
    let element = |message: &str, subscription: &str| {
        if crossing.is_message() { message } else { subscription }.to_owned()
    };
    let request = || element("MESSAGE", "SUBSCRIBE");
    let stanza = || element("<message>", "<subscribe>");
    let way = |way: &Option<Way>| way.as_ref().map(shown).unwrap_or_default();
    match step.what {
        What::Came => {
            match sip {
                true => row.arrows(&[0, 1, STOXD], &request()),
                false => row.arrows(&[3, STOXD], &stanza()),
            }
            row.note(&way(&step.way));
            row.at(TRACE, &crossing.trace);
        }
        What::Sent => {
            match sip {
                true => row.arrows(&[STOXD, 3], &stanza()),
                false => row.arrows(&[STOXD, 1], &request()),
            }
            row.note(&way(&step.way));
        }
        What::Answered => row.arrows(&[1, STOXD], &code(step)),
        What::Returned => {
            row.arrows(&[3, STOXD], "<error>");
            row.note(&code(step));
        }
        What::Told => match sip {
            true => row.arrows(&[STOXD, 1, 0], &code(step)),
            false => {
                row.arrows(&[STOXD, 3], "<error>");
                row.note(&code(step));
            }
        },
        What::Allowed => row.event(&format!("ALLOW {}", policy(crossing))),
        What::Denied => {
            let reason = step.detail.as_deref().unwrap_or_default();
            row.event(format!("DENY {reason} {}", policy(crossing)).trim_end());
        }
        What::WaitsForStream => row.event(&format!("waits for a stream to {}", crossing.partner)),
        What::WaitsForLink => row.event(&format!("waits for a link to {}", crossing.peer)),
        What::WaitsForTurn => row.event("waits for the messages before it"),
        What::Failed => row.event(&format!("FAILED {}", crossing.why.as_deref().unwrap_or_default())),
        What::Watch => {
            let why = crossing.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            row.event(&format!("subscription {}{why}", step.detail.as_deref().unwrap_or_default()));
        }
    }
    if step.what == What::Watch && crossing.steps.first() == Some(step) && !crossing.has(What::Came) {
        row.at(TRACE, &crossing.trace);
    }
    row.finish()
}

/// `Sales (policy.toml:22)`.
fn policy(crossing: &Crossing) -> String {
    match (&crossing.policy, &crossing.policy_at) {
        (Some(policy), Some(at)) => format!("{policy} ({at})"),
        (Some(policy), None) => policy.clone(),
        (None, _) => String::new(),
    }
}

fn code(step: &Step) -> String {
    match (step.status, &step.condition) {
        (Some(status), _) => status.to_string(),
        (None, Some(condition)) => condition.clone(),
        (None, None) => String::new(),
    }
}

/// `out#3 TLS 1.3, SASL EXTERNAL`.
pub(crate) fn shown(way: &Way) -> String {
    format!("{} {}", way.name, way.verified).trim_end().to_owned()
}

fn shortened(text: &str, room: usize) -> String {
    let clean = Clean(text).to_string();
    if clean.chars().count() < room {
        return clean;
    }
    let mut kept: String = clean.chars().take(room.saturating_sub(2)).collect();
    kept.push('…');
    kept
}

/// One line, filled by columns.
#[derive(Default)]
struct Row(Vec<char>);

impl Row {
    fn put(&mut self, at: usize, text: &str) {
        let end = at + text.chars().count();
        if self.0.len() < end {
            self.0.resize(end, ' ');
        }
        for (to, from) in self.0.iter_mut().skip(at).zip(text.chars()) {
            *to = from;
        }
    }

    /// An arrow through `lanes`, with `label` on each part.
    fn arrows(&mut self, lanes: &[usize], label: &str) {
        for pair in lanes.windows(2) {
            let [from, to] = pair else { continue };
            let at = |lane: &usize| LANES.get(*lane).copied().unwrap_or_default();
            let (from, to) = (at(from), at(to));
            let (left, right) = (from.min(to), from.max(to));
            let room = right - left - 1;
            let label = format!(" {} ", shortened(label, room.saturating_sub(5)));
            let shaft = room.saturating_sub(1 + label.chars().count());
            let (before, after) = ("─".repeat(shaft / 2), "─".repeat(shaft - shaft / 2));
            // Between two parts one stroke serves both.
            let joint = |end: char, column: usize, row: &Self| match row.0.get(column) {
                Some('│') if end != '│' => end,
                Some(there @ ('├' | '┤')) => *there,
                _ => end,
            };
            if from < to {
                let stroke = joint('├', left, self);
                self.put(left, &format!("{stroke}{before}{label}{after}▶│"));
            } else {
                let stroke = joint('┤', right, self);
                self.put(left, &format!("│◀{before}{label}{after}{stroke}"));
            }
        }
    }

    /// Something that happened here.
    fn event(&mut self, text: &str) {
        let at = LANES.get(STOXD).copied().unwrap_or_default();
        self.put(at, &format!("● {}", Clean(text)));
    }

    /// A word behind the rest.
    fn note(&mut self, text: &str) {
        if !text.is_empty() {
            let at = self.0.len() + 1;
            self.put(at, &Clean(text).to_string());
        }
    }

    /// A word at a column, or behind the rest.
    fn at(&mut self, column: usize, text: &str) {
        let at = column.max(self.0.len() + 2);
        self.put(at, text);
    }

    fn finish(self) -> String {
        let mut line: String = self.0.into_iter().collect();
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    }
}

#[cfg(test)]
#[path = "ladder_tests.rs"]
mod tests;
