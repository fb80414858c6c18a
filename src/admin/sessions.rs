//! `stoxd sessions`: the conversations that are open, one in a row.

use super::control::{LINE_LIMIT, duration, fitting};
use crate::addr::Clean;
use crate::gateway::sessions::SessionRow;
use crate::now::Wall;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Rows of an answer at most.
pub const ROWS: usize = 5000;
/// Octets of rows at most; the rest of the line is what stands around them.
const OCTETS: u64 = LINE_LIMIT - 4096;

/// Sessions, in the order of their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sessions {
    /// As many of them as fit into an answer.
    pub sessions: Vec<Row>,
    /// How many there are.
    pub total: usize,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The SIP user.
    pub user: String,
    /// The XMPP contact.
    pub contact: String,
    /// What carries the texts: "ms-session" or "msrp".
    pub mode: String,
    /// Who invited: "sip" or "xmpp".
    pub begun_by: String,
    /// Where it stands: "open".
    pub state: String,
    /// When it began (RFC 3339).
    pub since: String,
    /// Texts that were delivered to the contact.
    pub to_xmpp: u32,
    /// Texts that were delivered to the SIP user.
    pub to_sip: u32,
    /// Texts that wait.
    pub waiting: usize,
    /// How many seconds ago somebody wrote.
    pub quiet_for: u64,
}

impl Sessions {
    /// As many of `rows` as fit into an answer. There are `total`.
    pub fn of(rows: Vec<SessionRow>, total: usize) -> Self {
        Self { sessions: fitting(rows.into_iter().take(ROWS).map(Row::from), OCTETS), total }
    }
}

impl From<SessionRow> for Row {
    fn from(row: SessionRow) -> Self {
        Self {
            user: row.user,
            contact: row.contact,
            mode: row.mode.to_owned(),
            begun_by: row.begun_by.to_owned(),
            state: row.state.to_owned(),
            since: stamp(row.since),
            to_xmpp: row.to_xmpp,
            to_sip: row.to_sip,
            waiting: row.waiting,
            quiet_for: row.quiet_for.as_secs(),
        }
    }
}

fn stamp(since: Wall) -> String {
    let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    jiff::Timestamp::from_second(seconds).map(|stamp| stamp.to_string()).unwrap_or_default()
}

const TITLES: [&str; 9] =
    ["SIP USER", "XMPP CONTACT", "MODE", "BEGUN BY", "STATE", "SINCE", "TO XMPP", "TO SIP", "LAST TEXT"];

/// The sessions as a person reads them.
pub fn render(all: &Sessions) -> String {
    if all.total == 0 && all.sessions.is_empty() {
        return "none\n".to_owned();
    }
    let mut lines = vec![TITLES.map(str::to_owned)];
    lines.extend(all.sessions.iter().map(cells));
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..TITLES.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    let more = all.total.saturating_sub(all.sessions.len());
    if more > 0 {
        // Writing to a String does not fail.
        let _ = writeln!(text, "and {more} more; --user shows those of one user");
    }
    text
}

fn cells(row: &Row) -> [String; 9] {
    let clean = |text: &str| Clean(text).to_string();
    let state = match row.waiting {
        0 => clean(&row.state),
        waiting => format!("{}, {waiting} wait", clean(&row.state)),
    };
    [
        clean(&row.user),
        clean(&row.contact),
        clean(&row.mode),
        clean(&row.begun_by),
        state,
        clean(&row.since),
        row.to_xmpp.to_string(),
        row.to_sip.to_string(),
        format!("{} ago", duration(row.quiet_for)),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::control::Answer;
    use super::*;
    use std::time::Duration;

    fn row(user: &str) -> SessionRow {
        SessionRow {
            user: user.to_owned(),
            contact: "romeo@capulet.example/orchard".to_owned(),
            mode: "ms-session",
            begun_by: "sip",
            state: "open",
            since: Wall::from_millis(1_790_000_000_000),
            to_xmpp: 3,
            to_sip: 12,
            waiting: 0,
            quiet_for: Duration::from_secs(75),
        }
    }

    #[test]
    fn a_session_is_a_row_and_its_columns_line_up() {
        let inviting =
            SessionRow { state: "inviting", waiting: 2, begun_by: "xmpp", ..row("bob@contoso.example") };
        let text = render(&Sessions::of(vec![row("al\u{1b}ice@contoso.example"), inviting], 4));
        let lines: Vec<&str> = text.lines().collect();
        assert!(!text.contains('\u{1b}'), "{text}");
        assert!(lines[1].contains("  ms-session  sip       open              2026-09-21T"), "{text}");
        assert!(lines[1].ends_with("3        12      1 min ago"), "{text}");
        assert!(lines[2].contains("  xmpp      inviting, 2 wait  "), "{text}");
        assert_eq!(lines[3], "and 2 more; --user shows those of one user");
        assert_eq!(render(&Sessions::default()), "none\n");
    }

    #[test]
    fn an_answer_is_never_longer_than_what_is_read_of_it() {
        let rows: Vec<_> = (0..ROWS + 10).map(|n| row(&format!("{n}{}", "x".repeat(1000)))).collect();
        let total = rows.len();
        let answer = Answer::Sessions(Sessions::of(rows, total));
        let octets = serde_json::to_vec(&answer).unwrap();
        assert!((octets.len() as u64) < LINE_LIMIT, "{}", octets.len());
        let Answer::Sessions(sessions) = answer else { unreachable!() };
        assert!(sessions.sessions.len() < total && sessions.total == total);
    }
}
