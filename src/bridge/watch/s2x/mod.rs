//! A SIP user (R) watches an XMPP user (J): RFC 8048 §5.3, RFC 6665 §4.2, as the notifier.
//!
//! [`Machine`] holds one authorization's state and a [`Leg`] for each dialog: R may watch with
//! several devices, and J is asked once. [`table`] says which step each event leads to in each state,
//! and `steps` does them. What it never does: build a document, know a peer, decide whether R may
//! watch.
//!
//! * A NOTIFY follows each 200 at once and whatever changes the subscription's state. Those of changed
//!   presence come at most once in 5 s and never overtake one that is not answered yet; the last state
//!   wins.
//! * A NOTIFY of the end is never put off, but for the record that it announces.
//! * J's `subscribe` and `unsubscribe` belong to the other direction and are no input here.

mod steps;
pub mod table;
#[cfg(test)]
mod tests;

pub use table::{Event, State, Step};

use super::{Consent, Deadline, MOST_UNSAVED, Save, Turn};
use crate::now::{Mono, Now, Wall};
use crate::sip::subscription::{Notifier, Said};
use crate::sip::value::EndReason;
use crate::xmpp::error::Condition;

/// Most dialogs of one watch; a further SUBSCRIBE is a 503.
pub const MAX_LEGS: usize = 8;

/// One dialog of a watch. A number is not used again soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Leg(u8);

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// R sent SUBSCRIBE out of a dialog, and the gate admitted it.
    Subscribe {
        /// From [`Machine::vacant`].
        leg: Leg,
        /// Expires.
        expires: Option<u32>,
    },
    /// R sent SUBSCRIBE in the dialog of that leg, and `Notifier::on_subscribe` took it.
    Refresh {
        /// Which.
        leg: Leg,
        /// Expires.
        expires: Option<u32>,
    },
    /// J sent `subscribed`.
    Subscribed,
    /// J sent `unsubscribed`.
    Unsubscribed,
    /// J sent presence, available or not; the gateway's document says it already.
    Presence,
    /// An error came for our `subscribe` or `probe`, or it could not be delivered.
    Error(Condition),
    /// The final response to a NOTIFY of that leg; 503 where it could not be sent (RFC 3261 §8.1.3.1).
    /// Challenges were answered before.
    NotifyAnswered {
        /// Which.
        leg: Leg,
        /// The status code.
        status: u16,
    },
    /// A NOTIFY of that leg got no final response (Timer F), or can't be written.
    NotifyUnanswered {
        /// Which.
        leg: Leg,
    },
    /// The gate says no: for this user, policy or partner.
    RightLost,
    /// Federation is switched off.
    SwitchedOff,
    /// An age purge or an operator ends the authorization.
    Purge,
    /// The oldest awaited change is durable.
    Durable,
    /// The time of [`Machine::deadline`] has come.
    Timeout,
}

/// A presence stanza to J from R's bare JID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stanza {
    /// `subscribe`.
    Subscribe,
    /// `probe`.
    Probe,
    /// `unavailable`: R watches no more for now (RFC 8048 §5.3.3). The gateway leaves it out while J's
    /// own watch shows R as available: there it would be untrue.
    Unavailable,
    /// `unsubscribe`.
    Unsubscribe,
}

/// What a NOTIFY carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Nothing, whatever is known.
    None,
    /// All that is known of J's resources.
    Current,
    /// One closed tuple.
    Closed,
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Answer the SUBSCRIBE of that leg with 200. One for a fetch may come up to 2 s later.
    Accept {
        /// Which.
        leg: Leg,
        /// Expires.
        expires: u32,
    },
    /// Answer the SUBSCRIBE at hand with this, and drop a new leg.
    Refuse {
        /// The status code.
        status: u16,
        /// Min-Expires.
        min_expires: Option<u32>,
    },
    /// Send NOTIFY.
    Notify {
        /// Which.
        leg: Leg,
        /// Subscription-State.
        said: Said,
        /// The document.
        body: Body,
    },
    /// The dialog of that leg is over: drop it.
    Close(Leg),
    /// Send this to J.
    Stanza(Stanza),
    /// Hand this to the store.
    Persist(Save),
    /// R has added J as a contact: a record of its own, if there is none.
    AddContact,
    /// The watch is over: drop it.
    Forget,
}

/// What a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A subscription.
    Open,
    /// A fetch that waits for J's server.
    Fetching,
    /// Over as soon as the store knows.
    Ending(EndReason),
}

#[derive(Clone, Copy, Debug)]
struct Dialog {
    leg: Leg,
    phase: Phase,
    /// NOTIFYs that are not answered.
    in_flight: u8,
    /// It was not told the newest state.
    dirty: bool,
    /// Of the subscription, or of the wait.
    ends: Mono,
}

/// What is said when the store has all that it was handed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Owed {
    subscribe: bool,
    granted: bool,
    unsubscribe: bool,
    forget: bool,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine {
    dialogs: Vec<Dialog>,
    consent: Option<Consent>,
    owed: Owed,
    /// Changes that the store was handed and that are not durable.
    saving: u8,
    next_leg: u8,
    /// There is a document.
    known: bool,
    notify_due: Deadline,
    /// No NOTIFY of changed presence before this.
    notify_from: Mono,
    /// When J's server last said anything of J's presence.
    heard: Mono,
    /// No `probe` before this.
    probe_from: Mono,
    /// When `subscribe` was last sent; zero if it has to be sent anew.
    asked: Wall,
    used: Wall,
}

impl Machine {
    /// A watch without an authorization: a SUBSCRIBE comes next.
    pub fn new(now: Now) -> Self {
        Self {
            dialogs: Vec::new(),
            consent: None,
            owed: Owed::default(),
            saving: 0,
            next_leg: 0,
            known: false,
            notify_due: Deadline::NONE,
            notify_from: Mono::default(),
            heard: Mono::default(),
            probe_from: Mono::default(),
            asked: Wall::default(),
            used: now.wall,
        }
    }

    /// A watch of a record that was read at the start. It waits for R's next SUBSCRIBE: the dialogs of
    /// before are unknown now, and a refresh of one is a 481.
    ///
    /// Where J has not decided, nobody knows whether J was asked before the end: J is asked again then.
    pub fn restored(consent: Consent, used: Wall, now: Now) -> Self {
        let asked = match consent {
            Consent::Asked => Wall::default(),
            Consent::Granted | Consent::Announced => used,
        };
        Self { consent: Some(consent), asked, used, ..Self::new(now) }
    }

    /// A leg for a new SUBSCRIBE; None if there are too many.
    pub fn vacant(&self) -> Option<Leg> {
        if self.dialogs.len() >= MAX_LEGS {
            return None;
        }
        let used = |leg: &Leg| self.dialogs.iter().any(|dialog| dialog.leg == *leg);
        (0..=u8::MAX).map(|n| Leg(self.next_leg.wrapping_add(n))).find(|leg| !used(leg))
    }

    /// Handles one input.
    pub fn handle(&mut self, turn: &mut Turn<'_, Action>, input: Input) {
        match input {
            Input::Subscribe { leg, expires } => {
                let (event, expires) = match turn.settings.durations.grant(expires) {
                    Ok(0) => (Event::Fetch, 0),
                    Ok(expires) => (Event::Subscribe, expires),
                    Err(brief) => (Event::TooBrief, brief.0),
                };
                self.next_leg = leg.0.wrapping_add(1);
                self.step(turn, event, Some(leg), expires);
            }
            Input::Refresh { leg, expires } => {
                let open = |dialog: &Dialog| dialog.leg == leg && dialog.phase == Phase::Open;
                if !self.dialogs.iter().any(open) {
                    return turn.actions.push(Action::Refuse { status: 481, min_expires: None });
                }
                let (event, expires) = match turn.settings.durations.grant(expires) {
                    Ok(0) => (Event::Unsubscribe, 0),
                    Ok(expires) => (Event::Refresh, expires),
                    Err(brief) => (Event::TooBrief, brief.0),
                };
                self.step(turn, event, Some(leg), expires);
            }
            Input::Subscribed => self.step(turn, Event::Subscribed, None, 0),
            Input::Unsubscribed => self.step(turn, Event::Unsubscribed, None, 0),
            Input::Presence => {
                self.heard = turn.now.mono;
                self.step(turn, Event::Presence, None, 0);
            }
            Input::Error(condition) => self.step(turn, event_of_condition(condition), None, 0),
            Input::NotifyAnswered { leg, status } => {
                let event = match status {
                    0..=299 => Event::Notified,
                    status if Notifier::is_ended_by(status) => Event::NotifyFailed,
                    _ => Event::NotifyPutOff,
                };
                self.step(turn, event, Some(leg), 0);
            }
            Input::NotifyUnanswered { leg } => self.step(turn, Event::NotifyFailed, Some(leg), 0),
            Input::RightLost => self.step(turn, Event::RightLost, None, 0),
            Input::SwitchedOff => self.step(turn, Event::SwitchedOff, None, 0),
            Input::Purge => self.step(turn, Event::Purge, None, 0),
            Input::Durable => self.step(turn, Event::Durable, None, 0),
            Input::Timeout => self.on_timeout(turn),
        }
    }

    /// Whether so much waits for the store that nothing new should be begun.
    pub fn is_behind(&self) -> bool {
        self.saving >= MOST_UNSAVED
    }

    /// When `Input::Timeout` is wanted.
    pub fn deadline(&self) -> Option<Mono> {
        let ends = self.dialogs.iter().filter(|dialog| dialog.has_end()).map(|dialog| dialog.ends);
        ends.chain(self.notify_due.get()).min()
    }

    /// The next deadline and what it is for, for people.
    pub fn next(&self) -> Option<(&'static str, Mono)> {
        let at = self.deadline()?;
        Some((if self.notify_due.get() == Some(at) { "notify" } else { "expiry" }, at))
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        let open = self.dialogs.iter().any(|dialog| dialog.phase == Phase::Open);
        match (self.consent, open) {
            (None, _) => State::Init,
            (Some(_), false) => State::Terminated,
            (Some(Consent::Asked), true) => State::Pending,
            (Some(Consent::Granted | Consent::Announced), true) => State::Active,
        }
    }

    /// How far the authorization has come.
    pub fn consent(&self) -> Option<Consent> {
        self.consent
    }

    /// Whether there is a document: without, what was heard before does not count any more.
    pub fn is_known(&self) -> bool {
        self.known
    }

    /// The legs, open or ending.
    pub fn legs(&self) -> impl Iterator<Item = Leg> + use<'_> {
        self.dialogs.iter().map(|dialog| dialog.leg)
    }

    fn on_timeout(&mut self, turn: &mut Turn<'_, Action>) {
        let now = turn.now.mono;
        let due = |dialog: &Dialog| dialog.has_end() && dialog.ends <= now;
        // Each step removes the one that it is about.
        while let Some(Dialog { leg, phase, .. }) = self.dialogs.iter().find(|dialog| due(dialog)).copied() {
            let event = if phase == Phase::Fetching { Event::FetchDue } else { Event::Expired };
            self.step(turn, event, Some(leg), 0);
        }
        if self.notify_due.take_due(now) {
            self.step(turn, Event::NotifyDue, None, 0);
        }
    }
}

impl Dialog {
    /// The store alone ends one that is ending.
    fn has_end(&self) -> bool {
        match self.phase {
            Phase::Open | Phase::Fetching => true,
            Phase::Ending(_) => false,
        }
    }
}

/// Which event an error is.
fn event_of_condition(condition: Condition) -> Event {
    match condition {
        Condition::ItemNotFound | Condition::Gone | Condition::JidMalformed => Event::NoSuchUser,
        Condition::Forbidden
        | Condition::NotAcceptable
        | Condition::NotAllowed
        | Condition::NotAuthorized
        | Condition::PolicyViolation
        | Condition::RegistrationRequired
        | Condition::SubscriptionRequired => Event::Refused,
        Condition::BadRequest
        | Condition::Conflict
        | Condition::FeatureNotImplemented
        | Condition::InternalServerError
        | Condition::RecipientUnavailable
        | Condition::Redirect
        | Condition::RemoteServerNotFound
        | Condition::RemoteServerTimeout
        | Condition::ResourceConstraint
        | Condition::ServiceUnavailable
        | Condition::UndefinedCondition
        | Condition::UnexpectedRequest => Event::Unreachable,
    }
}

/// Octets that a watch takes for each of its dialogs.
#[cfg(test)]
pub(in crate::bridge::watch) const LEG_OCTETS: usize = size_of::<Dialog>();
