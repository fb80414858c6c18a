//! What an operator may read of watches.

use super::super::Gateway;
use super::s2x::Sip;
use super::watches::Entry;
use super::x2s::Xmpp;
use crate::addr::Jid;
use crate::bridge::watch::{s2x::State as SipState, x2s::State as XmppState};
use crate::now::{Mono, Now};
use crate::store::record::{Authorization, Watching};
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
        let wanted = |record: &Authorization| {
            user.is_none_or(|user| {
                let bare = user.bare_str();
                record.watcher.as_str() == bare || record.presentity.as_str() == bare
            })
        };
        let xmpp = self.presence.xmpp.iter().map(Either::Xmpp);
        let sip = self.presence.sip.iter().map(Either::Sip);
        let mut all: Vec<Either<'_>> = xmpp.chain(sip).filter(|one| wanted(one.authorization())).collect();
        let count = all.len();
        let order = |one: &Either<'_>, other: &Either<'_>| one.key().cmp(&other.key());
        // Of many, only those are put in order that are shown.
        if limit < count {
            all.select_nth_unstable_by(limit, order);
            all.truncate(limit);
        }
        all.sort_unstable_by(order);
        (all.iter().map(|one| one.row(now)).collect(), count)
    }

    /// How many watches there are by who watches whom, and state.
    pub(in crate::gateway) fn watch_states(&self) -> Vec<(&'static str, &'static str, usize)> {
        let sides = [(Xmpp::SIDE, self.presence.xmpp.states()), (Sip::SIDE, self.presence.sip.states())];
        let rows = |(side, states): (Watching, &[(&'static str, usize)])| {
            states.iter().map(|(state, count)| (side.as_str(), *state, *count)).collect::<Vec<_>>()
        };
        sides.into_iter().flat_map(rows).collect()
    }

    /// How many watches there are: of SIP users by XMPP users, and of XMPP users by SIP users.
    pub fn watch_counts(&self) -> [usize; 2] {
        [self.presence.xmpp.len(), self.presence.sip.len()]
    }
}

#[derive(Clone, Copy)]
enum Either<'g> {
    Xmpp(&'g Xmpp),
    Sip(&'g Sip),
}

impl<'g> Either<'g> {
    fn authorization(self) -> &'g Authorization {
        match self {
            Self::Xmpp(entry) => entry.authorization(),
            Self::Sip(entry) => entry.authorization(),
        }
    }

    fn key(self) -> (&'g Jid, &'g Jid) {
        let Authorization { watcher, presentity, .. } = self.authorization();
        (watcher, presentity)
    }

    fn row(self, now: Now) -> WatchRow {
        match self {
            Self::Xmpp(entry) => entry.row(now),
            Self::Sip(entry) => entry.row(now),
        }
    }
}

fn row(record: &Authorization, is_kept: bool, next: Option<(&'static str, Mono)>, now: Now) -> WatchRow {
    WatchRow {
        direction: record.direction,
        watcher: record.watcher.to_string(),
        presentity: record.presentity.to_string(),
        authorization: if is_kept { record.state.as_str() } else { "none" },
        state: "",
        reason: None,
        dialogs: 0,
        next: next.map(|(what, at)| (what, at.since(now.mono))),
    }
}

impl Xmpp {
    fn row(&self, now: Now) -> WatchRow {
        let machine = &self.watch.machine;
        let reason = self.last.to_string();
        let is_kept = machine.state() != XmppState::None;
        WatchRow {
            state: self.state(),
            reason: (!reason.is_empty()).then_some(reason),
            dialogs: self.watch.subscriber.as_ref().map_or(0, |one| usize::from(one.is_met())),
            ..row(&self.watch.authorization, is_kept, machine.next(), now)
        }
    }
}

impl Sip {
    fn row(&self, now: Now) -> WatchRow {
        let machine = &self.watch.machine;
        WatchRow {
            state: self.state(),
            reason: self.last.map(|condition| condition.name().to_owned()),
            dialogs: self.watch.notifiers.len(),
            ..row(&self.watch.authorization, machine.consent().is_some(), machine.next(), now)
        }
    }
}

/// The state of an XMPP user's watch, in one word.
pub(super) fn xmpp_state(state: XmppState) -> &'static str {
    match state {
        XmppState::None => "none",
        XmppState::Pending => "pending",
        XmppState::Active => "active",
        XmppState::Dormant => "dormant",
        XmppState::Retry => "retry",
    }
}

/// The state of a SIP user's watch, in one word.
pub(super) fn sip_state(state: SipState) -> &'static str {
    match state {
        SipState::Init => "none",
        SipState::Pending => "pending",
        SipState::Active => "active",
        SipState::Terminated => "terminated",
    }
}
