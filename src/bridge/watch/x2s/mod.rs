//! An XMPP user (J) watches a SIP user (R): RFC 8048 §5.2, RFC 6665 §4.1, as the subscriber.
//!
//! [`Machine`] holds one authorization's state and the deadlines of its dialog. [`table`] says which
//! step each event leads to in each state; `steps`, `answers`, `notifies` and `outside` do them. What it
//! never does: read a document, know a peer, decide whether J may watch.
//!
//! * One SUBSCRIBE counts at a time. Each has a serial number that comes back with its outcome; an
//!   outcome with another number is dropped, so one that was given up can do no harm.
//! * `subscribed` leaves once for one approval, after the record is durable, and only after a NOTIFY
//!   said active. `unsubscribed` never follows from a lost right.
//! * Whenever the dialog is gone and no new one is on its way, J hears `unavailable`: no ghosts.

mod answers;
mod notifies;
mod outside;
mod steps;
pub mod table;
#[cfg(test)]
mod tests;

pub use table::{Event, State, Step};

use super::{Consent, Deadline, MOST_UNSAVED, Save, Settings, Turn};
use crate::ids::Ids;
use crate::now::{Mono, Now, Wall};
use crate::sip::subscription::Awaiting;
use crate::sip::value::{EndReason, SubscriptionState, Substate};
use crate::xmpp::error::Condition;
use std::time::Duration;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// J sent `subscribe`, and the gate admitted it.
    Subscribe,
    /// J's server sent a `probe`, and the gate admitted it.
    Probe,
    /// J shows that they are online in another way: available presence, a message.
    Interest,
    /// J has gone offline.
    Disinterest,
    /// J sent `unsubscribe`, or an age purge or an operator ends the authorization.
    Unsubscribe,
    /// The final response to the SUBSCRIBE with that number. Challenges were answered before.
    Answered {
        /// Of [`Action::SendSubscribe`].
        serial: u8,
        /// The outcome.
        answer: Answer,
    },
    /// That SUBSCRIBE got no final response (Timer F), or could not be sent at all.
    Unanswered {
        /// Of [`Action::SendSubscribe`].
        serial: u8,
    },
    /// A NOTIFY that the `Subscriber` took.
    Notify(Notified),
    /// The link that the dialog runs over is lost.
    LinkLost,
    /// A link to R's peer is there again.
    LinkBack,
    /// The gate says no.
    RightLost,
    /// The gate says yes again.
    RightBack,
    /// The oldest awaited change is durable.
    Durable,
    /// The time of [`Machine::deadline`] has come.
    Timeout,
}

/// A final response to a SUBSCRIBE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Expires.
    pub expires: Option<u32>,
    /// Min-Expires.
    pub min_expires: Option<u32>,
    /// Retry-After.
    pub retry_after: Option<u32>,
}

/// What a NOTIFY says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notified {
    /// Subscription-State.
    pub state: SubscriptionState,
    /// Whether it has a document that could be read. Where it has a bad one, the gateway answers 400
    /// instead of [`Action::Answer`].
    pub has_document: bool,
}

/// Where a SUBSCRIBE goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Within {
    /// It asks for a new dialog: a new `Subscriber` takes the old one's place.
    New,
    /// Into the dialog.
    Dialog,
}

/// A presence stanza to J from R's bare JID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stanza {
    /// `subscribed`.
    Subscribed,
    /// `unsubscribed`.
    Unsubscribed,
    /// `unavailable`, for each resource of R that J was shown.
    Unavailable,
    /// An error, as the answer to J's `subscribe`.
    Error(Condition),
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Send SUBSCRIBE. Timer N runs from now: what paces SUBSCRIBEs must do so before the input.
    SendSubscribe {
        /// Where.
        within: Within,
        /// For so many seconds; 0 ends a subscription, or is a fetch.
        expires: u32,
        /// Comes back with the outcome.
        serial: u8,
    },
    /// Send this to J.
    Stanza(Stanza),
    /// Send J what the document of this NOTIFY says, or the newest one if this is no NOTIFY.
    Deliver,
    /// Send J all that the newest document says.
    Replay,
    /// Answer the NOTIFY.
    Answer(u16),
    /// Hand this to the store.
    Persist(Save),
    /// The watch is over: drop it.
    Forget,
}

/// What the SUBSCRIBE is for whose outcome is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    Nothing,
    /// A new dialog.
    New,
    /// A longer one.
    Refresh,
    /// One document.
    Fetch,
    /// The end, because J unsubscribed.
    Leave,
}

/// What is known of the dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialog {
    None,
    /// A 2xx came.
    Accepted,
    /// A NOTIFY came.
    Live,
}

/// What is said when the store has all that it was handed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Owed {
    ask: bool,
    subscribed: bool,
    deliver: bool,
    end: bool,
    gone: bool,
    not_found: bool,
    forget: bool,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine {
    state: State,
    asking: Asking,
    dialog: Dialog,
    owed: Owed,
    /// Changes that the store was handed and that are not durable.
    saving: u8,
    serial: u8,
    /// Failures in a row.
    failures: u8,
    /// R has said yes.
    granted: bool,
    /// A NOTIFY came since the authorization was asked for.
    heard: bool,
    /// There is a document of this dialog.
    known: bool,
    /// J may believe that R is available.
    shown: bool,
    /// J has heard of the failures.
    told: bool,
    /// The gate says yes.
    right: bool,
    /// The peer said when to try again.
    held: bool,
    /// A refresh that gets no answer ends what J sees.
    doubted: bool,
    /// The newest dialog was asked for sooner than is usual.
    rushed: bool,
    /// 423 was met once.
    lengthened: bool,
    /// J unsubscribed, and the dialog is being ended.
    leaving: bool,
    /// Seconds that the last SUBSCRIBE asked for; a Min-Expires stays.
    asked: u32,
    timer_n: Deadline,
    expiry: Deadline,
    refresh: Deadline,
    retry: Deadline,
    /// When a new dialog was last asked for.
    tried: Mono,
    /// When the newest NOTIFY came.
    fresh: Mono,
    interested_until: Mono,
    used: Wall,
}

impl Machine {
    /// A watch without an authorization: `Subscribe` or `Probe` comes next.
    pub fn new(now: Now) -> Self {
        Self {
            state: State::None,
            asking: Asking::Nothing,
            dialog: Dialog::None,
            owed: Owed::default(),
            saving: 0,
            serial: 0,
            failures: 0,
            granted: false,
            heard: false,
            known: false,
            shown: false,
            told: false,
            right: true,
            held: false,
            doubted: false,
            rushed: false,
            lengthened: false,
            leaving: false,
            asked: 0,
            timer_n: Deadline::NONE,
            expiry: Deadline::NONE,
            refresh: Deadline::NONE,
            retry: Deadline::NONE,
            tried: Mono::default(),
            fresh: Mono::default(),
            interested_until: now.mono,
            used: now.wall,
        }
    }

    /// A watch of a record that was read at the start. If it was used within the time of interest, or
    /// is not decided, a dialog is asked for at a random point of `spread`; J may still see what was
    /// before, so a failure ends in `unavailable`.
    pub fn restored(
        consent: Consent,
        used: Wall,
        now: Now,
        spread: Duration,
        settings: &Settings,
        ids: &mut Ids,
    ) -> Self {
        let mut machine = Self::new(now);
        machine.used = used;
        machine.granted = consent != Consent::Asked;
        let age = Duration::from_millis(now.wall.as_millis().saturating_sub(used.as_millis()));
        let interested = age < settings.interest;
        machine.interested_until = now.mono + settings.interest.saturating_sub(age);
        machine.state = match consent {
            Consent::Asked => State::Retry,
            Consent::Granted | Consent::Announced => State::Dormant,
        };
        machine.owed.subscribed = consent == Consent::Granted;
        machine.shown = machine.granted && interested;
        if interested || !machine.granted {
            machine.retry = Deadline::at(now.mono + super::timing::jitter(ids, spread));
        }
        machine
    }

    /// Handles one input.
    pub fn handle(&mut self, turn: &mut Turn<'_, Action>, input: Input) {
        match input {
            Input::Timeout => self.on_timeout(turn),
            Input::Subscribe => self.step(turn, Event::Subscribe, Facts::default()),
            Input::Probe => self.step(turn, Event::Probe, Facts::default()),
            Input::Interest => self.step(turn, Event::Interest, Facts::default()),
            Input::Disinterest => self.step(turn, Event::Disinterest, Facts::default()),
            Input::Unsubscribe => self.step(turn, Event::Unsubscribe, Facts::default()),
            Input::Answered { serial, answer } if serial == self.serial && answer.status >= 200 => {
                let facts = Facts { status: answer.status, ..Facts::default() };
                let facts = Facts {
                    expires: answer.expires,
                    min_expires: answer.min_expires,
                    retry_after: answer.retry_after,
                    ..facts
                };
                self.step(turn, event_of_status(answer.status), facts);
            }
            Input::Unanswered { serial } if serial == self.serial => {
                self.step(turn, Event::Unanswered, Facts { status: 408, ..Facts::default() });
            }
            Input::Answered { .. } | Input::Unanswered { .. } => {}
            Input::Notify(notified) => {
                let facts = Facts {
                    expires: notified.state.expires,
                    retry_after: notified.state.retry_after,
                    has_document: notified.has_document,
                    ..Facts::default()
                };
                self.step(turn, event_of_state(&notified.state), facts);
            }
            Input::LinkLost => self.step(turn, Event::LinkLost, Facts::default()),
            Input::LinkBack => self.step(turn, Event::LinkBack, Facts::default()),
            Input::RightLost => self.step(turn, Event::RightLost, Facts::default()),
            Input::RightBack => self.step(turn, Event::RightBack, Facts::default()),
            Input::Durable => self.step(turn, Event::Durable, Facts::default()),
        }
    }

    /// Whether so much waits for the store that nothing new should be begun.
    pub fn is_behind(&self) -> bool {
        self.saving >= MOST_UNSAVED
    }

    /// When `Input::Timeout` is wanted.
    pub fn deadline(&self) -> Option<Mono> {
        self.timer_n.min(self.expiry).min(self.refresh).min(self.retry).get()
    }

    /// The next deadline and what it is for, for people.
    pub fn next(&self) -> Option<(&'static str, Mono)> {
        let all = [
            ("answer", self.timer_n),
            ("expiry", self.expiry),
            ("refresh", self.refresh),
            ("retry", self.retry),
        ];
        let set = all.into_iter().filter_map(|(name, at)| at.get().map(|at| (name, at)));
        set.min_by_key(|(_, at)| *at)
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Whether R has said yes.
    pub fn is_granted(&self) -> bool {
        self.granted
    }

    /// Whether the gate still says yes, as far as the machine was told.
    pub fn has_right(&self) -> bool {
        self.right
    }

    /// Whether J sees R as the newest document says.
    pub fn is_shown(&self) -> bool {
        self.shown
    }

    /// Does the outcome of the SUBSCRIBE with that number still count?
    pub fn waits_for(&self, serial: u8) -> bool {
        self.serial == serial && self.asking != Asking::Nothing
    }

    /// Whether a first NOTIFY may establish the dialog: for `Subscriber::on_notify`.
    pub fn may_establish(&self) -> Awaiting {
        if self.timer_n.is_set() { Awaiting::First } else { Awaiting::Nothing }
    }

    /// The timers that are due, each through the table. One that makes another due waits for the next
    /// turn.
    fn on_timeout(&mut self, turn: &mut Turn<'_, Action>) {
        let now = turn.now.mono;
        if self.timer_n.take_due(now) {
            self.step(turn, Event::TimerN, Facts { status: 408, ..Facts::default() });
        }
        if self.expiry.take_due(now) {
            self.step(turn, Event::Expired, Facts::default());
        }
        if self.refresh.take_due(now) {
            self.step(turn, Event::RefreshDue, Facts::default());
        }
        if self.retry.take_due(now) {
            self.step(turn, Event::RetryDue, Facts::default());
        }
    }
}

/// What an event brings with it.
#[derive(Clone, Copy, Debug, Default)]
struct Facts {
    status: u16,
    expires: Option<u32>,
    min_expires: Option<u32>,
    retry_after: Option<u32>,
    has_document: bool,
}

/// Which event a final response is.
fn event_of_status(status: u16) -> Event {
    match status {
        200..=299 => Event::Accepted,
        423 => Event::TooBrief,
        403 | 489 | 603 => Event::Refused,
        404 | 410 | 604 => Event::NoSuchUser,
        405 | 416 | 480..=485 | 501 => Event::DialogGone,
        _ => Event::Failed,
    }
}

/// Which event a NOTIFY is.
fn event_of_state(state: &SubscriptionState) -> Event {
    match state.state {
        Substate::Active => Event::NotifyActive,
        Substate::Pending => Event::NotifyPending,
        Substate::Other => Event::NotifyOther,
        Substate::Terminated => match (state.reason, state.retry_after) {
            (Some(EndReason::Deactivated | EndReason::Timeout), _) => Event::Ended,
            (Some(EndReason::Probation | EndReason::Giveup), _) => Event::Postponed,
            (Some(EndReason::Rejected), _) => Event::Rejected,
            (Some(EndReason::NoResource), _) => Event::NoResource,
            (Some(EndReason::Invariant), _) => Event::Invariant,
            (Some(EndReason::Other) | None, Some(_)) => Event::Postponed,
            (Some(EndReason::Other) | None, None) => Event::Ended,
        },
    }
}
