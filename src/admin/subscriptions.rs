//! `stoxd subscriptions`: who sees whose presence, both halves of each watch in a row.

use super::control::{LINE_LIMIT, duration, fitting};
use crate::addr::Clean;
use crate::gateway::presence::WatchRow;
use crate::store::record::Watching;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Rows of an answer at most.
pub const ROWS: usize = 5000;
/// Octets of rows at most; the rest of the line is what stands around them.
const OCTETS: u64 = LINE_LIMIT - 4096;

/// Watches, in the order of their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscriptions {
    /// As many of them as fit into an answer.
    pub subscriptions: Vec<Row>,
    /// How many there are.
    pub total: usize,
}

/// One watch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// "xmpp-watches-sip" or "sip-watches-xmpp".
    pub direction: String,
    /// Who sees.
    pub watcher: String,
    /// Who is seen.
    pub presentity: String,
    /// "asked", "granted", "announced" or "none".
    pub authorization: String,
    /// The state of the subscription.
    pub state: String,
    /// SIP dialogs.
    pub dialogs: usize,
    /// Why it is so, where there is something to say.
    pub reason: Option<String>,
    /// The next deadline.
    pub next: Option<Next>,
}

/// A deadline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Next {
    /// For what: "refresh".
    pub what: String,
    /// In how many seconds.
    pub seconds: u64,
}

impl Subscriptions {
    /// As many of `rows` as fit into an answer. There are `total`.
    pub fn of(rows: Vec<WatchRow>, total: usize) -> Self {
        Self { subscriptions: fitting(rows.into_iter().take(ROWS).map(Row::from), OCTETS), total }
    }
}

impl From<WatchRow> for Row {
    fn from(row: WatchRow) -> Self {
        Self {
            direction: row.direction.as_str().to_owned(),
            watcher: row.watcher,
            presentity: row.presentity,
            authorization: row.authorization.to_owned(),
            state: row.state.to_owned(),
            dialogs: row.dialogs,
            reason: row.reason,
            next: row.next.map(|(what, time)| Next { what: what.to_owned(), seconds: time.as_secs() }),
        }
    }
}

const TITLES: [&str; 8] =
    ["DIRECTION", "WATCHER", "PRESENTITY", "AUTHORIZATION", "STATE", "DIALOGS", "NEXT", "REASON"];

/// The watches as a person reads them.
pub fn render(all: &Subscriptions) -> String {
    if all.total == 0 && all.subscriptions.is_empty() {
        return "none\n".to_owned();
    }
    let mut lines = vec![TITLES.map(str::to_owned)];
    lines.extend(all.subscriptions.iter().map(cells));
    let widths: Vec<usize> = (0..TITLES.len())
        .map(|column| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    let more = all.total.saturating_sub(all.subscriptions.len());
    if more > 0 {
        // Writing to a String does not fail.
        let _ = writeln!(text, "and {more} more; --user shows those of one user");
    }
    text
}

fn cells(row: &Row) -> [String; 8] {
    let next = row.next.as_ref().map(|next| format!("{} in {}", Clean(&next.what), duration(next.seconds)));
    let clean = |text: &str| Clean(text).to_string();
    [
        clean(direction(&row.direction)),
        clean(&row.watcher),
        clean(&row.presentity),
        clean(&row.authorization),
        clean(&row.state),
        row.dialogs.to_string(),
        next.unwrap_or_default(),
        clean(row.reason.as_deref().unwrap_or_default()),
    ]
}

fn direction(text: &str) -> &str {
    match Watching::ALL.into_iter().find(|direction| direction.as_str() == text) {
        Some(Watching::XmppWatchesSip) => "XMPP watches SIP",
        Some(Watching::SipWatchesXmpp) => "SIP watches XMPP",
        None => text,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::control::Answer;
    use super::*;
    use std::time::Duration;

    fn row(watcher: &str) -> WatchRow {
        WatchRow {
            direction: Watching::XmppWatchesSip,
            watcher: watcher.to_owned(),
            presentity: "alice@contoso.example".to_owned(),
            authorization: "granted",
            state: "active",
            reason: None,
            dialogs: 1,
            next: Some(("refresh", Duration::from_secs(22_350))),
        }
    }

    #[test]
    fn both_halves_of_a_watch_are_a_row() {
        let rejected = WatchRow {
            direction: Watching::SipWatchesXmpp,
            reason: Some("re\u{1b}[2Jjected".to_owned()),
            dialogs: 0,
            state: "terminated",
            next: None,
            ..row("bob@contoso.example")
        };
        let all = Subscriptions::of(vec![row("romeo@capulet.example"), rejected], 4);
        assert_eq!(
            render(&all),
            "\
DIRECTION         WATCHER                PRESENTITY             AUTHORIZATION  STATE       DIALOGS  NEXT                   REASON
XMPP watches SIP  romeo@capulet.example  alice@contoso.example  granted        active      1        refresh in 6 h 12 min
SIP watches XMPP  bob@contoso.example    alice@contoso.example  granted        terminated  0                               re [2Jjected
and 2 more; --user shows those of one user
"
        );
        assert_eq!(render(&Subscriptions::default()), "none\n");
        let json = serde_json::to_value(&all).unwrap();
        assert_eq!(json["subscriptions"][0]["direction"], "xmpp-watches-sip");
        assert_eq!(
            json["subscriptions"][0]["next"],
            serde_json::json!({"what": "refresh", "seconds": 22_350})
        );
        assert_eq!(
            (&json["subscriptions"][1]["next"], &json["total"]),
            (&serde_json::Value::Null, &4.into())
        );
    }

    #[test]
    fn threat_147_an_answer_is_never_longer_than_its_line_may_be() {
        let line = |rows: Vec<WatchRow>| {
            let all = Subscriptions::of(rows, 1_000_000);
            let kept = all.subscriptions.len();
            (kept, serde_json::to_vec(&Answer::Subscriptions(all)).unwrap().len() as u64)
        };
        let (kept, octets) = line((0..ROWS + 1).map(|n| row(&format!("u{n}@capulet.example"))).collect());
        assert!(kept == ROWS && octets < LINE_LIMIT, "{kept} {octets}");
        // The longest addresses and reasons that there may be.
        let long = WatchRow { reason: Some("\u{1}".repeat(1000)), ..row(&"x".repeat(2047)) };
        let (kept, octets) = line(vec![long; ROWS]);
        assert!(kept > 100 && kept < ROWS && octets < LINE_LIMIT, "{kept} {octets}");
    }
}
