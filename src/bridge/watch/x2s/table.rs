//! The state table of an XMPP user's watch of a SIP user, as data: which [`Step`] each event leads to
//! in each state.
//!
//! ```text
//!            subscribe            NOTIFY active           expiry, nobody interested
//!     None ─────────────► Pending ─────────────► Active ────────────────────────► Dormant
//!      ▲                    │ ▲                  │ ▲ ▲                               │
//!      │                    ▼ │ failure, later   ▼ │ └── probe, sign of life ────────┘
//!      │                   Retry ◄───────────── Retry
//!      └── rejected, 403, 489, 603, no such user, unsubscribe: from every state
//! ```

/// Where a watch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// No authorization: nothing, a fetch, or the end of a dialog.
    None,
    /// Asked for, not decided.
    Pending,
    /// Authorized, with a dialog or on the way to one.
    Active,
    /// Authorized, without a dialog: nobody is interested, or the right is lost.
    Dormant,
    /// Without a dialog because of a failure; authorized or not.
    Retry,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::None, Self::Pending, Self::Active, Self::Dormant, Self::Retry];
}

/// What can happen, as the table tells it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// `subscribe`.
    Subscribe,
    /// `probe`.
    Probe,
    /// Another sign of life of the watcher.
    Interest,
    /// The watcher has gone.
    Disinterest,
    /// `unsubscribe`, or a purge.
    Unsubscribe,
    /// 2xx.
    Accepted,
    /// 423.
    TooBrief,
    /// 403, 489, 603.
    Refused,
    /// 404, 410, 604.
    NoSuchUser,
    /// 405, 416, 480 to 485, 501: they end a dialog (RFC 6665 §4.1.2.2).
    DialogGone,
    /// Every other final response.
    Failed,
    /// No response, or no way to send.
    Unanswered,
    /// NOTIFY `active`.
    NotifyActive,
    /// NOTIFY `pending`.
    NotifyPending,
    /// NOTIFY with a state that we do not know.
    NotifyOther,
    /// `terminated`: `deactivated`, `timeout`, or neither a known reason nor a retry-after.
    Ended,
    /// `terminated`: `probation`, `giveup`, or an unknown reason with a retry-after.
    Postponed,
    /// `terminated;reason=rejected`.
    Rejected,
    /// `terminated;reason=noresource`.
    NoResource,
    /// `terminated;reason=invariant`.
    Invariant,
    /// The link that the dialog runs over is lost.
    LinkLost,
    /// A link to that peer is there again.
    LinkBack,
    /// The gate says no.
    RightLost,
    /// The gate says yes again.
    RightBack,
    /// What was handed to the store is durable.
    Durable,
    /// Timer N.
    TimerN,
    /// The subscription has expired, or fetched state is too old.
    Expired,
    /// It is time to refresh.
    RefreshDue,
    /// It is time to try again.
    RetryDue,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 29] = [
        Self::Subscribe,
        Self::Probe,
        Self::Interest,
        Self::Disinterest,
        Self::Unsubscribe,
        Self::Accepted,
        Self::TooBrief,
        Self::Refused,
        Self::NoSuchUser,
        Self::DialogGone,
        Self::Failed,
        Self::Unanswered,
        Self::NotifyActive,
        Self::NotifyPending,
        Self::NotifyOther,
        Self::Ended,
        Self::Postponed,
        Self::Rejected,
        Self::NoResource,
        Self::Invariant,
        Self::LinkLost,
        Self::LinkBack,
        Self::RightLost,
        Self::RightBack,
        Self::Durable,
        Self::TimerN,
        Self::Expired,
        Self::RefreshDue,
        Self::RetryDue,
    ];

    /// Where it comes from.
    pub fn origin(self) -> Origin {
        match self {
            Self::NotifyActive
            | Self::NotifyPending
            | Self::NotifyOther
            | Self::Ended
            | Self::Postponed
            | Self::Rejected
            | Self::NoResource
            | Self::Invariant => Origin::Notify,
            Self::Accepted
            | Self::TooBrief
            | Self::Refused
            | Self::NoSuchUser
            | Self::DialogGone
            | Self::Failed
            | Self::Unanswered => Origin::Answer,
            Self::Subscribe
            | Self::Probe
            | Self::Interest
            | Self::Disinterest
            | Self::Unsubscribe
            | Self::LinkLost
            | Self::LinkBack
            | Self::RightLost
            | Self::RightBack
            | Self::Durable
            | Self::TimerN
            | Self::Expired
            | Self::RefreshDue
            | Self::RetryDue => Origin::Other,
        }
    }
}

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A NOTIFY, which has to be answered.
    Notify,
    /// The outcome of a SUBSCRIBE.
    Answer,
    /// Anything else.
    Other,
}

/// What is done. A NOTIFY is answered besides: 200, or 481 where no dialog is or is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Nothing.
    Ignore,
    /// The authorization is asked for: a record, then SUBSCRIBE.
    Ask,
    /// The watcher is interested; a Pending watch that has come to rest asks again.
    Note,
    /// The watcher is not.
    Lapse,
    /// `subscribed` at once, and the presence that is known; without a dialog a new one.
    Welcome,
    /// `subscribed` at once if authorized; a new try unless the peer asked to wait.
    Again,
    /// The presence that is known, and a refresh if it is old.
    Replay,
    /// `unavailable` if authorized; a new try unless the peer asked to wait.
    Hurry,
    /// A SUBSCRIBE for a new dialog, if the right is there.
    Wake,
    /// One-time SUBSCRIBE with Expires 0, or what is known from the last one.
    Fetch,
    /// No record, SUBSCRIBE with Expires 0, `unavailable` and `unsubscribed`.
    Leave,
    /// The subscription lasts as long as the 2xx says; a leave is confirmed by it.
    Accept,
    /// Once again with a longer Expires; after that as [`Step::Fail`].
    Longer,
    /// The authorization is gone: no record, `unavailable`, `unsubscribed`.
    Cancel,
    /// The same, but on the first try an error `item-not-found`.
    NotFound,
    /// A new dialog for one that is gone; on the first try as [`Step::Fail`].
    Renew,
    /// Without a dialog: one error, or `unavailable`; then Retry. With one: what is known stays.
    Fail,
    /// The first `active`: a record, `subscribed`, and presence if there is a document.
    Grant,
    /// Presence if there is a document.
    Deliver,
    /// The dialog is there; the watcher hears nothing.
    Hold,
    /// A new dialog at once, if anybody is interested.
    Restart,
    /// A new dialog later; `unavailable` until then.
    Postpone,
    /// The state stays, and is never asked for again.
    Freeze,
    /// The link is lost: the dialog is believed for a while.
    Doubt,
    /// The link is back: the dialog is refreshed soon, or a new try is made.
    Recheck,
    /// The end on both sides; the authorization stays.
    Suspend,
    /// On with it, soon.
    Resume,
    /// What waited for the store is said.
    Say,
    /// No NOTIFY came in time.
    Silence,
    /// `unavailable`; then Retry, or Dormant if nobody is interested.
    Expire,
    /// SUBSCRIBE in the dialog, if anybody is interested.
    Refresh,
    /// SUBSCRIBE for a new dialog, if anybody is interested; else Dormant.
    Retry,
}

/// The table.
pub fn rule(state: State, event: Event) -> Step {
    use State::{Active, Dormant, None, Pending, Retry};
    match event {
        Event::Subscribe => match state {
            None => Step::Ask,
            Pending => Step::Note,
            Active | Dormant => Step::Welcome,
            Retry => Step::Again,
        },
        Event::Probe => match state {
            None => Step::Fetch,
            Pending => Step::Note,
            Active => Step::Replay,
            Dormant => Step::Wake,
            Retry => Step::Hurry,
        },
        Event::Interest => match state {
            None => Step::Ignore,
            Pending | Active | Retry => Step::Note,
            Dormant => Step::Wake,
        },
        Event::Disinterest => match state {
            // Whoever asked waits for the decision, online or not.
            None | Pending | Dormant => Step::Ignore,
            Active | Retry => Step::Lapse,
        },
        Event::Unsubscribe => match state {
            // RFC 6121 §3.3.3: without a subscription it is ignored.
            None => Step::Ignore,
            Pending | Active | Dormant | Retry => Step::Leave,
        },
        // Without a dialog and a try there is only the answer to the end of one.
        Event::Accepted => if_asked(state, Step::Accept),
        Event::TooBrief => if_asked(state, Step::Longer),
        Event::Refused => if_asked(state, Step::Cancel),
        Event::NoSuchUser => if_asked(state, Step::NotFound),
        Event::DialogGone => if_asked(state, Step::Renew),
        Event::Failed | Event::Unanswered => if_asked(state, Step::Fail),
        Event::NotifyActive => match state {
            None | Active => Step::Deliver,
            Pending => Step::Grant,
            Dormant | Retry => Step::Ignore,
        },
        Event::NotifyPending | Event::NotifyOther => if_asked(state, Step::Hold),
        Event::Ended => if_asked(state, Step::Restart),
        Event::Postponed => if_asked(state, Step::Postpone),
        Event::Rejected => if_asked(state, Step::Cancel),
        Event::NoResource => if_asked(state, Step::NotFound),
        Event::Invariant => if_asked(state, Step::Freeze),
        Event::LinkLost => match state {
            None | Dormant | Retry => Step::Ignore,
            Pending | Active => Step::Doubt,
        },
        Event::LinkBack => match state {
            None | Dormant => Step::Ignore,
            Pending | Active | Retry => Step::Recheck,
        },
        Event::RightLost => Step::Suspend,
        Event::RightBack => Step::Resume,
        Event::Durable => Step::Say,
        Event::TimerN => Step::Silence,
        Event::Expired => Step::Expire,
        Event::RefreshDue => Step::Refresh,
        Event::RetryDue => Step::Retry,
    }
}

/// `step` where something is under way.
fn if_asked(state: State, step: Step) -> Step {
    match state {
        State::None | State::Pending | State::Active => step,
        State::Dormant | State::Retry => Step::Ignore,
    }
}
