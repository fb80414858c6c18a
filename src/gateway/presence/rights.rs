//! Who may watch, asked again; and whom our users have added.

use super::super::Gateway;
use super::{Presence, WatchRef};
use crate::addr::Jid;
use crate::bridge::watch::{s2x, x2s};
use crate::crossing::{Crossing, Direction, Kind};
use crate::gateway::observe::WatchChange;
use crate::gateway::trail::Track;
use crate::now::{Now, Wall};
use crate::policy::{Contacts, Denial, Grant, Reason, Table};
use crate::store::record::{Authorization, Change, Consent, Contact, Key, Pending, Watching};
use std::collections::BTreeMap;

/// Whom our users have added as contacts, and when they last asked for their presence.
#[derive(Default)]
pub(in crate::gateway) struct Added {
    users: BTreeMap<Jid, BTreeMap<Jid, Wall>>,
    count: usize,
}

impl Contacts for Presence {
    fn added(&self, user: &Jid, contact: &Jid) -> bool {
        self.contacts.since(user, contact).is_some()
    }

    /// Who asked to see our user wants to hear of it, whatever came of that; who was asked does when the
    /// answer was yes.
    fn lists(&self, contact: &Jid, user: &Jid) -> bool {
        let asked = self.xmpp.find(contact, user).and_then(|watch| self.xmpp.get(watch));
        let allows = self.sip.find(user, contact).and_then(|watch| self.sip.get(watch));
        asked.is_some_and(|entry| entry.watch.machine.state() != x2s::State::None)
            || allows.is_some_and(|entry| entry.watch.machine.consent() == Some(Consent::Granted))
    }
}

impl Added {
    fn since(&self, user: &Jid, contact: &Jid) -> Option<Wall> {
        self.users.get(user.bare_str())?.get(contact.bare_str()).copied()
    }

    pub(super) fn insert(&mut self, record: Contact) {
        let contacts = self.users.entry(record.user).or_default();
        if contacts.insert(record.contact, record.added).is_none() {
            self.count += 1;
        }
    }

    /// Whom `user` asked for longest ago, where there are too many.
    fn surplus(&self, user: &Jid, per_user: usize, in_all: usize) -> Option<Jid> {
        let contacts = self.users.get(user.bare_str())?;
        let many = contacts.len() > per_user || self.count > in_all;
        let oldest = contacts.iter().min_by_key(|(contact, added)| (**added, *contact));
        oldest.filter(|_| many).map(|(contact, _)| contact.clone())
    }

    pub(super) fn remove(&mut self, user: &Jid, contact: &Jid) {
        if let Some(contacts) = self.users.get_mut(user.bare_str()) {
            if contacts.remove(contact.bare_str()).is_some() {
                self.count = self.count.saturating_sub(1);
            }
            if contacts.is_empty() {
                self.users.remove(user.bare_str());
            }
        }
    }

    /// Those that were last asked for before `before`.
    pub(super) fn older_than(&self, before: Wall) -> Vec<(Jid, Jid)> {
        let all = self.users.iter().flat_map(|(user, contacts)| {
            contacts.iter().map(move |(contact, added)| (user, contact, *added))
        });
        all.filter(|(_, _, added)| *added < before)
            .map(|(user, contact, _)| (user.clone(), contact.clone()))
            .collect()
    }
}

/// A watch as the gate sees it, in the direction in which it was asked for.
fn crossing_of(authorization: &Authorization) -> Crossing<'_> {
    let Authorization { direction, watcher, presentity, .. } = authorization;
    let direction = match direction {
        Watching::XmppWatchesSip => Direction::XmppToSip,
        Watching::SipWatchesXmpp => Direction::SipToXmpp,
    };
    Crossing { sender: watcher, target: presentity, direction, kind: Kind::Presence }
}

impl Presence {
    /// May what waits for a stream still cross? What a watch says may not, if the watch may not go on.
    pub(in crate::gateway) fn may_still_wait(&self, table: &Table, watch: WatchRef) -> bool {
        let authorization = match watch.side {
            Watching::XmppWatchesSip => self.xmpp.get(watch).map(|one| &one.watch.authorization),
            Watching::SipWatchesXmpp => self.sip.get(watch).map(|one| &one.watch.authorization),
        };
        authorization.is_none_or(|one| table.judge(&crossing_of(one), self).is_ok())
    }
}

/// How old an added contact's record may be before it is written anew.
const DAY: u64 = 86_400;

impl Gateway {
    /// The gate, for what is not an item of its own: something that waits, or a watch.
    pub(in crate::gateway) fn judge(&self, crossing: &Crossing<'_>) -> Result<Grant, Denial> {
        self.table.judge(crossing, &self.presence)
    }

    fn judge_watch(&self, authorization: &Authorization) -> Result<Grant, Denial> {
        self.judge(&crossing_of(authorization))
    }

    /// Asks the gate whether `watch` may go on; where that has changed, its machine hears of it.
    pub(super) fn ask_gate(&mut self, now: Now, watch: WatchRef) {
        match watch.side {
            Watching::XmppWatchesSip => {
                let Some(entry) = self.presence.xmpp.get(watch) else { return };
                let may = self.judge_watch(&entry.watch.authorization).is_ok();
                let (input, change) = match (entry.watch.machine.has_right(), may) {
                    (true, false) => (x2s::Input::RightLost, WatchChange::Suspended),
                    (false, true) => (x2s::Input::RightBack, WatchChange::Resumed),
                    (true, true) | (false, false) => return,
                };
                self.observe_watch(now, watch, change, String::new());
                self.drive_xmpp(now, watch, input);
            }
            Watching::SipWatchesXmpp => {
                let Some(entry) = self.presence.sip.get(watch) else { return };
                let Err(denial) = self.judge_watch(&entry.watch.authorization) else { return };
                let input = match denial.reason {
                    Reason::FederationOff => s2x::Input::SwitchedOff,
                    Reason::Unlisted
                    | Reason::DomainBlocked
                    | Reason::AddressBlocked
                    | Reason::PolicyFederation
                    | Reason::PolicyXmpp
                    | Reason::NotAdded
                    | Reason::Unverifiable => s2x::Input::RightLost,
                };
                if entry.watch.machine.legs().next().is_some() {
                    let why = denial.reason.as_str().to_owned();
                    self.observe_watch(now, watch, WatchChange::Suspended, why);
                }
                self.drive_sip(now, watch, input);
            }
        }
    }

    /// The table is another: every watch is judged anew.
    pub(in crate::gateway) fn judge_watches(&mut self, now: Now) {
        let mut all = self.presence.xmpp.refs(|_| true);
        all.extend(self.presence.sip.refs(|_| true));
        for watch in all {
            self.ask_gate(now, watch);
        }
        self.settle_presence(now);
    }

    /// A contact's `subscribe` is refused because our user has not added the contact: it waits for that.
    pub(in crate::gateway) fn on_unadded_subscribe(&mut self, now: Now, contact: &Jid, user: &Jid) {
        if user.local().is_none() || self.settings.peer_of(user.domain()).is_none() {
            return;
        }
        if !self.presence.keeper.has_room() {
            return;
        }
        let (user, contact) = (user.to_bare(), contact.to_bare());
        let pending = Pending { user: user.clone(), contact: contact.clone(), since: now.wall };
        let changes = self.presence.pending.add(pending);
        if !changes.is_empty() {
            let direction = Watching::XmppWatchesSip;
            let authorization = (direction, &contact, &user);
            self.observe_change(now, Track::default(), authorization, WatchChange::Waits, String::new());
        }
        for change in changes {
            self.keep(change, None);
        }
    }

    pub(super) fn forget_pending(&mut self, user: &Jid, contact: &Jid) {
        if let Some(change) = self.presence.pending.remove(user, contact) {
            self.keep(change, None);
        }
    }

    /// Our user's SUBSCRIBE was accepted: the contact is added, and what it asked for before is asked
    /// for now.
    pub(super) fn add_contact_of(&mut self, now: Now, watch: WatchRef) {
        let Some(entry) = self.presence.sip.get(watch) else { return };
        let Authorization { watcher: user, presentity: contact, .. } = entry.watch.authorization.clone();
        let known = self.presence.contacts.since(&user, &contact);
        if known.is_some_and(|added| now.wall.as_secs().saturating_sub(added.as_secs()) < DAY) {
            return;
        }
        let record = Contact { user: user.clone(), contact: contact.clone(), added: now.wall };
        self.keep(Change::from(record.clone()), None);
        self.add_contact(record);
        // A watch of this contact that was suspended for it may go on.
        if let Some(watch) = self.presence.xmpp.find(&contact, &user) {
            self.presence.outcomes.push_back(super::Outcome::Judge { watch });
        }
        if self.presence.pending.since(&user, &contact).is_some() {
            let direction = Direction::XmppToSip;
            let crossing = Crossing { sender: &contact, target: &user, direction, kind: Kind::Presence };
            if self.judge(&crossing).is_ok()
                && let Ok(watch) = match self.presence.xmpp.find(&contact, &user) {
                    Some(watch) => Ok(watch),
                    None => self.new_xmpp_watch(now, &contact, &user),
                }
            {
                self.presence.outcomes.push_back(super::Outcome::Replayed { watch });
            }
        }
    }

    /// The `subscribe` that waited is for `watch` now: first that is kept, then it waits no more.
    pub(super) fn replay_pending(&mut self, now: Now, watch: WatchRef) {
        let Some(entry) = self.presence.xmpp.get(watch) else { return };
        let Authorization { watcher: contact, presentity: user, .. } = entry.watch.authorization.clone();
        self.drive_xmpp(now, watch, x2s::Input::Subscribe);
        self.forget_pending(&user, &contact);
    }

    /// A contact in memory. Of too many the user's oldest goes, also from the store.
    pub(super) fn add_contact(&mut self, record: Contact) {
        let user = record.user.clone();
        self.presence.contacts.insert(record);
        let (per_user, in_all) = (self.settings.presence.per_user, self.settings.presence.watches);
        while let Some(contact) = self.presence.contacts.surplus(&user, per_user, in_all) {
            self.forget_contact(user.clone(), contact);
        }
    }

    /// Our user has this contact no more; what follows for the contact's own watch is looked at.
    pub(super) fn forget_contact(&mut self, user: Jid, contact: Jid) {
        self.presence.contacts.remove(&user, &contact);
        if let Some(watch) = self.presence.xmpp.find(&contact, &user) {
            self.presence.outcomes.push_back(super::Outcome::Judge { watch });
        }
        self.keep(Change::Remove(Key::Contact { user, contact }), None);
    }
}
