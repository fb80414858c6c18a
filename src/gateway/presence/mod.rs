//! Watches: who sees whose presence, and what is kept of it.
//!
//! The machines of [`crate::bridge::watch`] say what is to be done; here their inputs are found out and
//! their actions performed. An XMPP user's watch of a SIP user is told by stanzas and NOTIFYs, a SIP
//! user's watch of an XMPP user by SUBSCRIBEs and stanzas.
//!
//! | file | owns |
//! |---|---|
//! | this one | `Presence`, and what is heard of later: answers, bounces, durable records |
//! | `watches` | where watches stand: slots, the way from a pair to its slot, bounds |
//! | `stanzas` | presence stanzas: which watch each one is for |
//! | `requests` | SUBSCRIBEs and NOTIFYs that come in, likewise |
//! | `x2s` | an XMPP user watches: performing the actions |
//! | `s2x` | a SIP user watches: performing the actions |
//! | `wire` | presence stanzas that go out |
//! | `keep` | records: the queue to the store, restoring, the age purge |
//! | `rights` | added contacts, pending subscribes, the gate asked again |
//! | `list` | what an operator may read |
//!
//! An action never leads to an input while it is performed: what it brings about at once waits in
//! `Presence::outcomes` until the turn's own actions are done.

mod keep;
mod list;
mod requests;
mod rights;
mod s2x;
mod stanzas;
mod watches;
mod wire;
mod x2s;

pub use list::WatchRow;
pub(super) use rights::Added;
pub use watches::WatchRef;

use super::Gateway;
use super::effect::{Due, PeerId, Timer};
use super::outgoing::{EventLoad, Outgoing, Undelivered};
use super::settings::PresenceSettings;
use super::tally::Tally;
use super::trail::Track;
use super::trial::TrialId;
use crate::addr::Jid;
use crate::bridge::watch::s2x::{Input as SipInput, Leg};
use crate::bridge::watch::x2s::{Answer, Input as XmppInput};
use crate::bridge::watch::{s2x as sip_machine, x2s as xmpp_machine};
use crate::now::{Mono, Now};
use crate::sip::message::Message;
use crate::sip::name::Name;
use crate::sip::value::retry_after;
use crate::store::record::{Authorization, Watching};
use crate::store::waiting::Waiting;
use crate::xmpp::error::Condition;
use crate::xmpp::iq;
use keep::Keeper;
use s2x::Sip;
use std::collections::VecDeque;
use watches::{Bounds, Watches};
use x2s::Xmpp;

/// What a SUBSCRIBE or NOTIFY of ours is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum EventOf {
    /// A SUBSCRIBE with that number.
    Subscribe { watch: WatchRef, serial: u8 },
    /// A NOTIFY of that leg.
    Notify { watch: WatchRef, leg: Leg },
    /// A SUBSCRIBE of a trial, of no watch at all.
    Trial(TrialId),
}

/// What is heard later, or at once, of something that was done.
#[derive(Debug)]
enum Outcome {
    Answered {
        watch: WatchRef,
        serial: u8,
        answer: Answer,
    },
    Unanswered {
        watch: WatchRef,
        serial: u8,
    },
    NotifyAnswered {
        watch: WatchRef,
        leg: Leg,
        status: u16,
    },
    NotifyUnanswered {
        watch: WatchRef,
        leg: Leg,
    },
    /// A stanza was not delivered.
    Bounced {
        watch: WatchRef,
        condition: Condition,
    },
    Durable {
        watch: WatchRef,
    },
    /// A `subscribe` that waited counts as sent now.
    Replayed {
        watch: WatchRef,
    },
    /// The gate may say something else now.
    Judge {
        watch: WatchRef,
    },
}

/// All watches, and what is kept of them.
pub(super) struct Presence {
    /// Whom our users have added.
    pub(super) contacts: Added,
    pending: Waiting,
    xmpp: Watches<Xmpp>,
    sip: Watches<Sip>,
    bounds: Bounds,
    keeper: Keeper,
    outcomes: VecDeque<Outcome>,
    /// For each peer, when the next SUBSCRIBE may go that nobody asked for just now.
    pace: Vec<Mono>,
    /// Of each peer, whether a link was lost or not made since the last one came up.
    lost: Vec<bool>,
    next_number: u32,
    /// Emptied vectors of actions, to be used again.
    xmpp_actions: Vec<xmpp_machine::Action>,
    sip_actions: Vec<sip_machine::Action>,
    caps_ver: String,
}

impl Presence {
    pub(super) fn new(
        settings: &PresenceSettings,
        peers: usize,
        seed: [u8; 32],
        together: Tally,
        caps_ver: String,
    ) -> Self {
        Self {
            contacts: Added::default(),
            pending: Waiting::new(settings.pending_per_user, settings.pending),
            xmpp: Watches::new(seed),
            sip: Watches::new(seed),
            bounds: Bounds::new(together),
            keeper: Keeper::default(),
            outcomes: VecDeque::new(),
            pace: vec![Mono::default(); peers],
            lost: vec![false; peers],
            next_number: 0,
            xmpp_actions: Vec::new(),
            sip_actions: Vec::new(),
            caps_ver,
        }
    }

    /// Should a request of a watch still be sent? A SUBSCRIBE that was given up would bring back what has
    /// ended since, and a NOTIFY of a dialog that has ended would say what its watcher may not see any more.
    pub(super) fn still_counts(&self, event: &EventLoad) -> bool {
        match event.of {
            EventOf::Subscribe { watch, serial } => {
                let waits = |entry: &Xmpp| entry.watch.machine.waits_for(serial);
                event.request.expires() == Some(0) || self.xmpp.get(watch).is_some_and(waits)
            }
            EventOf::Notify { watch, leg } => {
                let has = |entry: &Sip| entry.watch.machine.legs().any(|known| known == leg);
                event.request.is_last() || self.sip.get(watch).is_some_and(has)
            }
            EventOf::Trial(_) => true,
        }
    }

    /// The next CSeq number of the dialog that a request is in; None if the dialog is gone.
    pub(super) fn next_cseq(&mut self, of: EventOf) -> Option<u32> {
        match of {
            EventOf::Subscribe { watch, serial } => {
                let entry = self.xmpp.get_mut(watch)?;
                if entry.serial == serial { entry.watch.subscriber.as_mut()?.next_cseq() } else { None }
            }
            EventOf::Notify { watch, leg } => self.sip.get_mut(watch)?.watch.notifier(leg)?.next_cseq(),
            EventOf::Trial(_) => None,
        }
    }

    /// Does the timer of `watch` that was set for `at` still count? Else it was set anew since.
    pub(super) fn is_armed(&self, watch: WatchRef, at: Mono) -> bool {
        let armed = match watch.side {
            Watching::XmppWatchesSip => self.xmpp.get(watch).map(|entry| entry.armed),
            Watching::SipWatchesXmpp => self.sip.get(watch).map(|entry| entry.armed),
        };
        armed.is_some_and(|armed| armed.is(at))
    }

    /// A number for a new watch: with its slot it names it for good.
    fn number(&mut self) -> u32 {
        self.next_number = self.next_number.wrapping_add(1);
        self.next_number
    }

    /// The crossing on record that asked for `watch` last.
    pub(super) fn track_of(&self, watch: WatchRef) -> Track {
        let track = match watch.side {
            Watching::XmppWatchesSip => self.xmpp.get(watch).map(|entry| entry.track),
            Watching::SipWatchesXmpp => self.sip.get(watch).map(|entry| entry.track),
        };
        track.unwrap_or_default()
    }

    /// What becomes of `watch` now belongs to `track`.
    pub(super) fn set_track(&mut self, watch: WatchRef, track: Track) {
        let slot = match watch.side {
            Watching::XmppWatchesSip => self.xmpp.get_mut(watch).map(|entry| &mut entry.track),
            Watching::SipWatchesXmpp => self.sip.get_mut(watch).map(|entry| &mut entry.track),
        };
        if let Some(slot) = slot {
            *slot = track;
        }
    }

    /// Which way `watch` goes, who watches and who is watched.
    pub(super) fn people_of(&self, watch: WatchRef) -> Option<(Watching, Jid, Jid)> {
        let authorization = match watch.side {
            Watching::XmppWatchesSip => &self.xmpp.get(watch)?.watch.authorization,
            Watching::SipWatchesXmpp => &self.sip.get(watch)?.watch.authorization,
        };
        let Authorization { direction, watcher, presentity, .. } = authorization;
        Some((*direction, watcher.clone(), presentity.clone()))
    }

    /// A stanza of `watch` was not delivered.
    pub(super) fn on_bounce(&mut self, watch: WatchRef, condition: Condition) {
        self.outcomes.push_back(Outcome::Bounced { watch, condition });
    }
}

impl Gateway {
    /// What the last turn brought about, and what follows from that, until nothing is left.
    pub(super) fn settle_presence(&mut self, now: Now) {
        while let Some(outcome) = self.presence.outcomes.pop_front() {
            match outcome {
                Outcome::Answered { watch, serial, answer } => {
                    self.drive_xmpp(now, watch, XmppInput::Answered { serial, answer });
                }
                Outcome::Unanswered { watch, serial } => {
                    self.drive_xmpp(now, watch, XmppInput::Unanswered { serial });
                }
                Outcome::NotifyAnswered { watch, leg, status } => {
                    self.drive_sip(now, watch, SipInput::NotifyAnswered { leg, status });
                }
                Outcome::NotifyUnanswered { watch, leg } => {
                    self.drive_sip(now, watch, SipInput::NotifyUnanswered { leg });
                }
                Outcome::Bounced { watch, condition } => self.on_presence_bounce(now, watch, condition),
                Outcome::Replayed { watch } => self.replay_pending(now, watch),
                Outcome::Judge { watch } => self.ask_gate(now, watch),
                Outcome::Durable { watch } => match watch.side {
                    Watching::XmppWatchesSip => self.drive_xmpp(now, watch, XmppInput::Durable),
                    Watching::SipWatchesXmpp => self.drive_sip(now, watch, SipInput::Durable),
                },
            }
        }
    }

    /// A final response to a request of a watch.
    pub(super) fn on_event_answered(&mut self, now: Now, of: EventOf, status: u16, message: &Message<'_>) {
        let outcome = match of {
            EventOf::Subscribe { watch, serial } => {
                if let Some(entry) = self.presence.xmpp.get_mut(watch)
                    && (200..300).contains(&status)
                    && let Some(subscriber) = &mut entry.watch.subscriber
                    && subscriber.is(message.call_id(), message.from().tag)
                {
                    subscriber.on_success(message);
                }
                let seconds = message.header(Name::RetryAfter).and_then(|value| retry_after(value).ok());
                let min_expires = message.seconds(Name::MinExpires).and_then(Result::ok);
                let expires = message.expires();
                let answer = Answer { status, expires, min_expires, retry_after: seconds };
                Outcome::Answered { watch, serial, answer }
            }
            EventOf::Notify { watch, leg } => Outcome::NotifyAnswered { watch, leg, status },
            EventOf::Trial(trial) => return self.on_trial_fetched(now, trial, status),
        };
        self.presence.outcomes.push_back(outcome);
    }

    /// A request of a watch could not be sent, got no response, or one that says no more than that the
    /// server is in trouble.
    pub(super) fn on_event_failed(
        &mut self,
        now: Now,
        of: EventOf,
        request: &Outgoing,
        failure: &Undelivered,
    ) {
        self.effects.trail.fail(now.mono, request.track, &failure.why, None);
        let status = failure.status;
        let outcome = match of {
            EventOf::Subscribe { watch, serial } => match status {
                401 | 407 | 503 => {
                    let answer = Answer { status, retry_after: request.retry_after(), ..Answer::default() };
                    Outcome::Answered { watch, serial, answer }
                }
                _ => Outcome::Unanswered { watch, serial },
            },
            // Of what was sent 504 is our word for Timer F.
            EventOf::Notify { watch, leg } => match (request.was_sent(), status) {
                (true, 504) => Outcome::NotifyUnanswered { watch, leg },
                (true, status) => Outcome::NotifyAnswered { watch, leg, status },
                (false, _) => Outcome::NotifyAnswered { watch, leg, status: 503 },
            },
            EventOf::Trial(trial) => return self.on_trial_unfetched(now, trial, failure),
        };
        self.presence.outcomes.push_back(outcome);
    }

    /// The deadline of a watch that was set for `at`.
    pub(super) fn on_watch_timer(&mut self, now: Now, watch: WatchRef, at: Mono) {
        let taken = match watch.side {
            Watching::XmppWatchesSip => self.presence.xmpp.get_mut(watch).map(|one| one.armed.take(at)),
            Watching::SipWatchesXmpp => self.presence.sip.get_mut(watch).map(|one| one.armed.take(at)),
        };
        if taken != Some(true) {
            return;
        }
        match watch.side {
            Watching::XmppWatchesSip => {
                let Some(at) = self.pace_of(now, watch) else { return };
                if at > now.mono {
                    self.due.push(Due { at, what: Timer::Watch(watch) });
                    return;
                }
                self.drive_xmpp(now, watch, XmppInput::Timeout);
            }
            Watching::SipWatchesXmpp => {
                self.drive_sip(now, watch, SipInput::Timeout);
            }
        }
    }

    /// When the timeout of an XMPP user's watch may be acted on: SUBSCRIBEs that come due together go out
    /// one after the other. None if the watch is gone.
    fn pace_of(&mut self, now: Now, watch: WatchRef) -> Option<Mono> {
        let rate = self.settings.presence.subscribe_rate.max(1);
        let entry = self.presence.xmpp.get_mut(watch)?;
        let had_its_place = std::mem::take(&mut entry.paced);
        let due = entry.watch.machine.deadline().is_some_and(|at| at <= now.mono);
        if !due || had_its_place {
            return Some(now.mono);
        }
        let slot = self.presence.pace.get_mut(usize::from(entry.peer.0))?;
        let at = now.mono.max(*slot);
        *slot = at + std::time::Duration::from_micros(1_000_000 / u64::from(rate));
        if at > now.mono {
            entry.paced = true;
            entry.armed.set(at);
        }
        Some(at)
    }

    /// The link to a peer's server is lost, or was not made.
    pub(super) fn on_peer_down(&mut self, now: Now, peer: PeerId, was_up: bool) {
        if let Some(is_lost) = self.presence.lost.get_mut(usize::from(peer.0)) {
            *is_lost = true;
        }
        if was_up {
            self.tell_watches_of(now, peer, XmppInput::LinkLost);
            let follows = |entry: &Xmpp| entry.peer == peer && entry.watch.machine.is_shown();
            if self.presence.xmpp.iter().any(follows) {
                // Nobody need write before it is known how they stand.
                let until = now.mono + self.settings.presence.watch.patience;
                self.with_peers(now, |peers, turn| peers.want(turn, peer, until));
            }
        }
    }

    /// A link to a peer's server is there. After a loss its watches are looked at again.
    pub(super) fn on_peer_up(&mut self, now: Now, peer: PeerId) {
        let lost = self.presence.lost.get_mut(usize::from(peer.0)).map(std::mem::take);
        if lost == Some(true) {
            self.tell_watches_of(now, peer, XmppInput::LinkBack);
        }
    }

    fn tell_watches_of(&mut self, now: Now, peer: PeerId, input: XmppInput) {
        for watch in self.presence.xmpp.refs(|entry| entry.peer == peer) {
            self.drive_xmpp(now, watch, input);
        }
    }
}

/// What capabilities say of SIP users.
pub(super) fn caps_ver(context: &iq::IqContext<'_>) -> String {
    iq::caps_ver(&iq::user_identities(context), &iq::USER_FEATURES)
}
