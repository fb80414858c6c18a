//! The state table of a SIP user's watch of an XMPP user, as data: which [`Step`] each event leads to
//! in each state.
//!
//! ```text
//!           SUBSCRIBE               subscribed
//!     Init ───────────► Pending ────────────────► Active
//!      ▲                  │  ▲                    │   ▲
//!      │  last dialog ends▼  │ SUBSCRIBE          ▼   │ SUBSCRIBE
//!      │                 Terminated (the authorization stays)
//!      └── unsubscribed, refused, no such user, purge: from every state
//! ```

/// Where a watch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// No authorization: nothing, or fetches.
    Init,
    /// Asked for, not decided; with a dialog.
    Pending,
    /// Authorized, with a dialog.
    Active,
    /// No dialog. The authorization, decided or not, stays.
    Terminated,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Init, Self::Pending, Self::Active, Self::Terminated];
}

/// What can happen, as the table tells it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// SUBSCRIBE for a new dialog.
    Subscribe,
    /// SUBSCRIBE with Expires 0 out of a dialog.
    Fetch,
    /// SUBSCRIBE in a dialog.
    Refresh,
    /// SUBSCRIBE with Expires 0 in a dialog.
    Unsubscribe,
    /// SUBSCRIBE that asks for too little.
    TooBrief,
    /// `subscribed`.
    Subscribed,
    /// `unsubscribed`.
    Unsubscribed,
    /// Presence of a resource, available or not.
    Presence,
    /// An error that says there is no such user.
    NoSuchUser,
    /// An error that says no.
    Refused,
    /// An error that may pass, or no way to J's server.
    Unreachable,
    /// A NOTIFY was taken.
    Notified,
    /// A NOTIFY was answered with a code that ends nothing, as 503 does, or could not be sent.
    NotifyPutOff,
    /// A NOTIFY was answered with a code that ends the subscription, or not at all.
    NotifyFailed,
    /// The gate says no.
    RightLost,
    /// Federation was switched off.
    SwitchedOff,
    /// An age purge, or an operator.
    Purge,
    /// What was handed to the store is durable.
    Durable,
    /// A dialog has expired.
    Expired,
    /// It is time for the NOTIFY that was put off.
    NotifyDue,
    /// The answer to a probe did not come in time for a fetch.
    FetchDue,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 21] = [
        Self::Subscribe,
        Self::Fetch,
        Self::Refresh,
        Self::Unsubscribe,
        Self::TooBrief,
        Self::Subscribed,
        Self::Unsubscribed,
        Self::Presence,
        Self::NoSuchUser,
        Self::Refused,
        Self::Unreachable,
        Self::Notified,
        Self::NotifyPutOff,
        Self::NotifyFailed,
        Self::RightLost,
        Self::SwitchedOff,
        Self::Purge,
        Self::Durable,
        Self::Expired,
        Self::NotifyDue,
        Self::FetchDue,
    ];
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Nothing.
    Ignore,
    /// 200 and NOTIFY `pending`; a record, then `subscribe` to J.
    Ask,
    /// 200 and NOTIFY `pending`; `subscribe` to J again if the last was a day ago.
    Remind,
    /// 200 and NOTIFY `active`; `probe` to J.
    Resume,
    /// As [`Step::Resume`] or [`Step::Remind`], by whether J has said yes.
    Return,
    /// 200 and NOTIFY `terminated;reason=timeout` with what is known; a `probe` where nothing is, and
    /// the answer waits 2 s for what it brings.
    Poll,
    /// The same without a `probe`: J has not decided, and would decline by answering it.
    PollBlind,
    /// 200 and NOTIFY with the current state; `probe` to J if that is old.
    Renew,
    /// 200 and NOTIFY `terminated;reason=timeout`, closed; with the last dialog `unavailable` to J.
    End,
    /// 423 with Min-Expires.
    Longer,
    /// A record; then NOTIFY `active`.
    Grant,
    /// No record; then NOTIFY `terminated;reason=rejected`.
    Reject,
    /// No record; then NOTIFY `terminated;reason=noresource`.
    NoResource,
    /// NOTIFY `terminated;reason=probation` with retry-after; the authorization stays.
    Probation,
    /// NOTIFY, at most one in 5 s: the last state wins.
    Notify,
    /// What a fetch waits for.
    Fetched,
    /// The dialog takes more NOTIFYs.
    Settle,
    /// It does not know the newest state: it is told after a while, or with the next change.
    TellLater,
    /// The dialog is gone; with the last one `unavailable` to J.
    Drop,
    /// NOTIFY `terminated` to all, with `reason=rejected` or, where federation was switched off,
    /// `reason=probation`; `unavailable` to J; the authorization stays.
    Revoke,
    /// No record; then `unsubscribe` to J and NOTIFY `terminated;reason=rejected`.
    Purge,
    /// What waited for the store is said.
    Say,
    /// NOTIFY `terminated;reason=timeout`, closed; with the last dialog `unavailable` to J.
    Expire,
    /// The NOTIFY that was put off.
    Flush,
    /// The fetch is answered with what is known.
    Answer,
}

/// The table.
pub fn rule(state: State, event: Event) -> Step {
    use State::{Active, Init, Pending, Terminated};
    match event {
        Event::Subscribe => match state {
            Init => Step::Ask,
            Pending => Step::Remind,
            Active => Step::Resume,
            Terminated => Step::Return,
        },
        Event::Fetch => match state {
            Init | Active | Terminated => Step::Poll,
            Pending => Step::PollBlind,
        },
        Event::Refresh => match state {
            // Only a dialog of a fetch is there, and it is over.
            Init | Terminated => Step::Ignore,
            Pending | Active => Step::Renew,
        },
        Event::Unsubscribe => match state {
            Init | Terminated => Step::Ignore,
            Pending | Active => Step::End,
        },
        Event::TooBrief => Step::Longer,
        Event::Subscribed => match state {
            // Nobody asked.
            Init => Step::Ignore,
            Pending | Terminated => Step::Grant,
            Active => Step::Ignore,
        },
        Event::Unsubscribed => match state {
            Init => Step::Fetched,
            Pending | Active | Terminated => Step::Reject,
        },
        Event::Presence => match state {
            Init | Terminated => Step::Fetched,
            // Not before J has decided; J's server may send `unavailable` to say that it asks J.
            Pending => Step::Ignore,
            Active => Step::Notify,
        },
        Event::NoSuchUser => match state {
            Init => Step::Fetched,
            Pending | Active | Terminated => Step::NoResource,
        },
        Event::Refused => match state {
            Init => Step::Fetched,
            Pending | Active | Terminated => Step::Reject,
        },
        Event::Unreachable => match state {
            Init => Step::Fetched,
            Pending | Active | Terminated => Step::Probation,
        },
        Event::Notified => Step::Settle,
        Event::NotifyPutOff => Step::TellLater,
        Event::NotifyFailed => Step::Drop,
        Event::RightLost | Event::SwitchedOff => Step::Revoke,
        Event::Purge => match state {
            Init => Step::Ignore,
            Pending | Active | Terminated => Step::Purge,
        },
        Event::Durable => Step::Say,
        Event::Expired => Step::Expire,
        Event::NotifyDue => Step::Flush,
        Event::FetchDue => Step::Answer,
    }
}
