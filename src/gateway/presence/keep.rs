//! Records: the queue to the store, restoring them at the start, and the age purge.
//!
//! ```text
//!   keep ──▶ queue ── Effect::Persist ──▶ store ── durable ──▶ the watch hears of it
//!              ▲                            │
//!              └─── all that is left goes out again, in order, after a pause ◀── not durable
//! ```
//!
//! A change is handed over as often as it takes. The order of changes stays: nothing new goes out while
//! an older one has to be repeated, and all of them say what a record is, not how it differs.

use super::super::Gateway;
use super::Presence;
use super::s2x::Sip;
use super::watches::{Entry, WatchRef};
use super::x2s::Xmpp;
use crate::addr::Jid;
use crate::bridge::watch::record::DAY;
use crate::bridge::watch::{s2x, x2s};
use crate::gateway::PresenceSettings;
use crate::gateway::effect::{Due, Effect, Timer};
use crate::now::{Now, Wall};
use crate::store::record::{Authorization, Change, Pending, Record, Watching};
use std::collections::VecDeque;
use std::time::Duration;

/// Changes that may wait for the store before no new watch is made.
const QUEUE: usize = 50_000;
/// How long after a failure everything is handed over again.
const RETRY: Duration = Duration::from_secs(1);
/// How often the age purge looks.
const PURGE: Duration = Duration::from_secs(DAY / 4);

/// Changes that the store has not confirmed, in order.
#[derive(Default)]
pub(super) struct Keeper {
    queue: VecDeque<Saving>,
    next_ticket: u64,
    /// Something failed: nothing goes out until the retry.
    is_held: bool,
    /// When the records were restored.
    began: Option<Now>,
}

struct Saving {
    ticket: u64,
    change: Change,
    /// Who hears of it.
    watch: Option<WatchRef>,
}

impl Keeper {
    /// Is there room for changes that can be refused?
    pub(super) fn has_room(&self) -> bool {
        self.queue.len() < QUEUE
    }

    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }
}

impl Presence {
    /// Is there room for what a new authorization of this watch, which has one or had one, would change?
    pub(super) fn may_begin(&self, watch: WatchRef) -> bool {
        let room = |begins: bool, is_behind: bool| !begins || (self.keeper.has_room() && !is_behind);
        match watch.side {
            Watching::XmppWatchesSip => self.xmpp.get(watch).is_none_or(|entry| {
                let machine = &entry.watch.machine;
                room(machine.state() == x2s::State::None, machine.is_behind())
            }),
            Watching::SipWatchesXmpp => self.sip.get(watch).is_none_or(|entry| {
                let machine = &entry.watch.machine;
                room(machine.consent().is_none(), machine.is_behind())
            }),
        }
    }

    /// Does the store have everything?
    pub(in crate::gateway) fn is_kept(&self) -> bool {
        self.keeper.queue.is_empty()
    }
}

impl Gateway {
    /// Hands a change to the store; `watch` hears when it is durable.
    pub(super) fn keep(&mut self, change: Change, watch: Option<WatchRef>) {
        let keeper = &mut self.presence.keeper;
        let ticket = keeper.ticket();
        if !keeper.is_held {
            self.effects.push(Effect::Persist { ticket, changes: vec![change.clone()] });
        }
        keeper.queue.push_back(Saving { ticket, change, watch });
    }

    /// The store has the changes of a ticket, or may not have them.
    pub(in crate::gateway) fn on_persisted(&mut self, now: Now, ticket: u64, durable: bool) {
        let keeper = &mut self.presence.keeper;
        if keeper.is_held || keeper.queue.front().is_none_or(|first| first.ticket != ticket) {
            // Of an attempt that does not count any more, or behind one that failed.
            return;
        }
        if durable {
            let watch = keeper.queue.pop_front().and_then(|first| first.watch);
            if let Some(watch) = watch {
                self.presence.outcomes.push_back(super::Outcome::Durable { watch });
            }
        } else {
            keeper.is_held = true;
            self.due.push(Due { at: now.mono + RETRY, what: Timer::Keep });
        }
    }

    /// Everything that is not durable is handed over again.
    pub(in crate::gateway) fn on_keep_timer(&mut self) {
        let keeper = &mut self.presence.keeper;
        keeper.is_held = false;
        for saving in &mut keeper.queue {
            keeper.next_ticket += 1;
            saving.ticket = keeper.next_ticket;
            let changes = vec![saving.change.clone()];
            self.effects.push(Effect::Persist { ticket: saving.ticket, changes });
        }
    }

    /// Takes the records that the store held at the start. Before any other input.
    ///
    /// Dialogs are made anew, spread so that no peer gets more SUBSCRIBEs in a second than is set.
    pub fn restore(&mut self, now: Now, records: Vec<Record>) {
        let asks = |record: &&Record| match record {
            Record::Authorization(one) => one.direction == Watching::XmppWatchesSip,
            Record::Contact(_) | Record::Pending(_) | Record::Watermark(_) => false,
        };
        let spread = self.settings.presence.spread(records.iter().filter(asks).count());
        for record in records {
            match record {
                Record::Authorization(record) => self.restore_watch(now, record, spread),
                Record::Contact(contact) => self.add_contact(contact),
                // What is over a bound that is lower now goes, in the order of age.
                Record::Pending(pending) => {
                    let changes = self.presence.pending.add(pending.clone());
                    self.settle_pending(&pending, changes);
                }
                Record::Watermark(_) => {}
            }
        }
        self.presence.keeper.began = Some(now);
        self.due.push(Due { at: now.mono + PURGE, what: Timer::Purge });
        self.judge_watches(now);
        self.collect_deadlines();
    }

    /// A pending record was read: it is on disk already, unless a bound says that it goes.
    fn settle_pending(&mut self, read: &Pending, changes: Vec<Change>) {
        let mut stays = false;
        for change in changes {
            match change {
                Change::Put(_) => stays = true,
                Change::Remove(_) | Change::Touch { .. } => self.keep(change, None),
            }
        }
        if !stays && self.presence.pending.since(&read.user, &read.contact).is_none() {
            self.keep(Change::Remove(read.key()), None);
        }
    }

    fn restore_watch(&mut self, now: Now, record: Authorization, spread: Duration) {
        let user = match record.direction {
            Watching::XmppWatchesSip => &record.presentity,
            Watching::SipWatchesXmpp => &record.watcher,
        };
        let Some(peer) = self.settings.peer_of(user.domain()) else {
            // A domain that is no longer served: its records wait for it to come back, or for their age.
            if self.oldest(now).is_some_and(|oldest| record.used < oldest) {
                self.keep(Change::Remove(record.key()), None);
            }
            return;
        };
        let number = self.presence.number();
        let (settings, ids) = (&self.settings.presence.watch, &mut self.ids);
        let (consent, used) = (record.state, record.used);
        self.presence.bounds.add(&record);
        match record.direction {
            Watching::XmppWatchesSip => {
                let machine = x2s::Machine::restored(consent, used, now, spread, settings, ids);
                let deadline = machine.deadline();
                let entry = Xmpp::restored(number, peer, record, machine);
                if let (Some(watch), Some(at)) = (self.presence.xmpp.insert(entry), deadline) {
                    if let Some(entry) = self.presence.xmpp.get_mut(watch) {
                        entry.armed.set(at);
                    }
                    self.due.push(Due { at, what: Timer::Watch(watch) });
                }
            }
            Watching::SipWatchesXmpp => {
                let machine = s2x::Machine::restored(consent, used, now);
                self.presence.sip.insert(Sip::new(number, peer, record, machine));
            }
        }
    }

    /// Other bounds, for what comes from now on. Of what waits for our users the oldest goes, if there is
    /// more than may wait.
    pub(in crate::gateway) fn set_presence(&mut self, settings: &PresenceSettings) {
        for change in self.presence.pending.set_bounds(settings.pending_per_user, settings.pending) {
            self.keep(change, None);
        }
    }

    /// What nobody has used for long is taken away.
    pub(in crate::gateway) fn purge(&mut self, now: Now) {
        self.due.push(Due { at: now.mono + PURGE, what: Timer::Purge });
        let Some(before) = self.oldest(now) else { return };
        let old = |record: &Authorization| record.used < before;
        for watch in self.presence.xmpp.refs(|entry| old(entry.authorization())) {
            self.drive_xmpp(now, watch, x2s::Input::Unsubscribe);
        }
        let idle = |entry: &Sip| old(entry.authorization()) && entry.watch.machine.legs().next().is_none();
        for watch in self.presence.sip.refs(idle) {
            self.drive_sip(now, watch, s2x::Input::Purge);
        }
        for (user, contact) in self.presence.contacts.older_than(before) {
            self.forget_contact(user, contact);
        }
        let pending: Vec<Record> = self.presence.pending.older_than(before).collect();
        for record in pending {
            if let Record::Pending(Pending { user, contact, .. }) = record {
                self.forget_pending(&user, &contact);
            }
        }
    }

    /// What was not used since then is too old; None: nothing ever is.
    ///
    /// A wall clock that has jumped ahead since the start makes nothing older than the process is.
    fn oldest(&self, now: Now) -> Option<Wall> {
        let days = self.settings.presence.forget_after;
        let age = u64::from(days) * DAY * 1000;
        let most = self.presence.keeper.began.map_or(u64::MAX, |began| {
            let ran = u64::try_from(now.mono.since(began.mono).as_millis()).unwrap_or(u64::MAX);
            began.wall.as_millis().saturating_add(ran)
        });
        (days > 0).then(|| Wall::from_millis(now.wall.as_millis().min(most).saturating_sub(age)))
    }

    /// An operator takes the authorization between two people away, whichever watches the other. False
    /// if there is none.
    pub fn revoke_watch(&mut self, now: Now, watcher: &Jid, presentity: &Jid) -> bool {
        let xmpp = self.presence.xmpp.find(watcher, presentity);
        let sip = self.presence.sip.find(watcher, presentity);
        if let Some(watch) = xmpp {
            self.drive_xmpp(now, watch, x2s::Input::Unsubscribe);
        }
        if let Some(watch) = sip {
            self.drive_sip(now, watch, s2x::Input::Purge);
            self.forget_contact(watcher.to_bare(), presentity.to_bare());
        }
        self.settle_presence(now);
        self.collect_deadlines();
        xmpp.is_some() || sip.is_some()
    }
}
