//! What an operator may read of sessions.

use super::table::Conversation;
use crate::addr::Jid;
use crate::gateway::Gateway;
use crate::now::{Now, Wall};
use std::time::Duration;

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The SIP user, a bare address.
    pub user: String,
    /// The contact, with the resource that wrote last, if one did.
    pub contact: String,
    /// What carries the texts: "ms-session" or "msrp".
    pub mode: &'static str,
    /// Who invited: "sip" or "xmpp".
    pub begun_by: &'static str,
    /// Where it stands, in lower case.
    pub state: &'static str,
    /// When it began.
    pub since: Wall,
    /// Texts that were delivered to the contact.
    pub to_xmpp: u32,
    /// Texts that were delivered to the SIP user.
    pub to_sip: u32,
    /// Texts that wait.
    pub waiting: usize,
    /// How long ago somebody wrote.
    pub quiet_for: Duration,
}

impl Gateway {
    /// The sessions of `user`, on either side, or all: at most `limit`, in the order of their addresses. And
    /// how many there are.
    pub fn sessions(&self, now: Now, user: Option<&Jid>, limit: usize) -> (Vec<SessionRow>, usize) {
        let wanted = |found: &&Conversation| {
            user.is_none_or(|user| {
                let bare = user.bare_str();
                found.user.bare_str() == bare || found.contact.bare_str() == bare
            })
        };
        let mut all: Vec<&Conversation> = self.sessions.table.iter().filter(wanted).collect();
        let count = all.len();
        let order = |one: &&Conversation, other: &&Conversation| one.key().cmp(&other.key());
        // Of many, only those are put in order that are shown.
        if limit < count {
            all.select_nth_unstable_by(limit, order);
            all.truncate(limit);
        }
        all.sort_unstable_by(order);
        (all.iter().map(|found| found.row(now)).collect(), count)
    }

    /// How many sessions there are.
    pub fn session_count(&self) -> usize {
        self.sessions.table.len()
    }
}

impl Conversation {
    fn key(&self) -> (&str, &str, u64) {
        (self.user.as_str(), self.contact.as_str(), self.since.as_secs())
    }

    fn row(&self, now: Now) -> SessionRow {
        SessionRow {
            user: self.user.to_string(),
            contact: self.contact.to_string(),
            mode: self.mode(),
            begun_by: if self.dialog.is_callee() { "sip" } else { "xmpp" },
            state: self.machine.state().as_str(),
            since: self.since,
            to_xmpp: self.delivered[0],
            to_sip: self.delivered[1],
            waiting: self.machine.unsent(),
            quiet_for: now.mono.since(self.machine.last()),
        }
    }
}
