//! Watches: who sees whose presence. Each joins one long-lived authorization (RFC 8048 §5.1) to what
//! is rebuilt at any time, a SIP subscription.
//!
//! | file | owns |
//! |---|---|
//! | [`record`] | what outlives the process, and what a machine wants done to it |
//! | [`timing`] | durations, jitter, back-off |
//! | [`x2s`] | an XMPP user watches a SIP user: we subscribe (RFC 8048 §5.2) |
//! | [`s2x`] | a SIP user watches an XMPP user: we notify (RFC 8048 §5.3) |
//! | `x2s::table`, `s2x::table` | their state tables, as data |
//!
//! Both machines are pure: an input and the time in, [`x2s::Action`]s or [`s2x::Action`]s out, in the
//! order in which they are to be done. Neither knows an address, a message or a document.
//!
//! # How a gateway uses them
//!
//! 1. Keep an [`XmppWatch`] or a [`SipWatch`] for each pair, in a slab; the slot goes into the tag of
//!    the subscriber (`sip::subscription::tag`), so a NOTIFY finds its watch. Cap the slab, and count
//!    watches by user and by domain *before* one is made: a refused `subscribe` is an error to J, a
//!    refused SUBSCRIBE a 503.
//! 2. Ask the gate before every input that comes from outside, before a `Timeout`, and at every reload
//!    for each watch. Feed `RightLost` (or `SwitchedOff`) where it says no, and `RightBack` where it
//!    says yes again, before anything else. The machines hold no grant.
//! 3. Call `handle`, perform the actions in order, then ask `deadline` and see to it that
//!    `Input::Timeout` comes then. A timeout that comes early does nothing.
//! 4. `Persist` hands a change to the store ([`Save::apply`] makes it); when one that
//!    [`Save::is_awaited`] is durable feed `Durable`, once for each, in order. Only then do the machines let out what announces the change (a stanza, a NOTIFY, or the
//!    SUBSCRIBE that asks for it). If the store fails, feed nothing: nobody hears of it.
//! 5. Keep the newest document of each watch where `Deliver` and `Replay` find it.
//! 6. `Forget` comes last: drop the watch.
//!
//! # Bounds
//!
//! A machine keeps no list but the legs of [`s2x`], at most [`s2x::MAX_LEGS`]; one turn makes at most
//! [`MAX_ACTIONS`] actions; a dialog has at most `sip::subscription::MAX_DIALOG` octets. No peer can
//! make a machine send more than two SUBSCRIBEs in 30 s for a new dialog, or refresh more than once in
//! 10 s.

pub mod record;
pub mod s2x;
#[cfg(test)]
mod tests;
pub mod timing;
pub mod x2s;

pub use record::{Authorization, Consent, Save};
pub use timing::Settings;

use crate::ids::Ids;
use crate::now::{Mono, Now};
use crate::sip::subscription::{Notifier, Subscriber};

/// Most actions of one turn.
pub const MAX_ACTIONS: usize = 4 * s2x::MAX_LEGS + 8;

/// Changes of one watch that may wait for the store before nothing new is begun with it. A machine counts
/// them in an octet, and begins with at most three.
pub const MOST_UNSAVED: u8 = 16;

/// What a machine is given with each input, and where it puts its actions.
pub struct Turn<'t, A> {
    /// The time.
    pub now: Now,
    /// Durations.
    pub settings: &'t Settings,
    /// For jitter.
    pub ids: &'t mut Ids,
    /// What is to be done, in order.
    pub actions: &'t mut Vec<A>,
}

/// An XMPP user's watch of a SIP user.
#[derive(Debug)]
pub struct XmppWatch {
    /// Who may see whom. Its state is what was last handed to the store.
    pub authorization: Authorization,
    /// What is to be done.
    pub machine: x2s::Machine,
    /// Our end of the dialog, replaced by each SUBSCRIBE for a new one.
    pub subscriber: Option<Subscriber>,
}

/// A SIP user's watch of an XMPP user.
#[derive(Debug)]
pub struct SipWatch {
    /// Who may see whom. Its state is what was last handed to the store.
    pub authorization: Authorization,
    /// What is to be done.
    pub machine: s2x::Machine,
    /// Our end of each dialog, until the machine closes it.
    pub notifiers: Vec<(s2x::Leg, Notifier)>,
}

impl SipWatch {
    /// Our end of the dialog of a new leg.
    pub fn open(&mut self, leg: s2x::Leg, notifier: Notifier) {
        // Most watches have one: no room is made for more.
        self.notifiers.reserve_exact(1);
        self.notifiers.push((leg, notifier));
    }

    /// Our end of the dialog of `leg`.
    pub fn notifier(&mut self, leg: s2x::Leg) -> Option<&mut Notifier> {
        self.notifiers.iter_mut().find(|(known, _)| *known == leg).map(|(_, notifier)| notifier)
    }

    /// `leg` is closed: its dialog is dropped.
    pub fn close(&mut self, leg: s2x::Leg) {
        self.notifiers.retain(|(known, _)| *known != leg);
    }
}

/// A deadline that may not be set, in eight octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::bridge::watch) struct Deadline(Mono);

impl Deadline {
    const NONE: Self = Self(Mono::from_micros(u64::MAX));

    fn at(at: Mono) -> Self {
        // The last microsecond there is means none.
        Self(at.min(Mono::from_micros(u64::MAX - 1)))
    }

    fn get(self) -> Option<Mono> {
        (self != Self::NONE).then_some(self.0)
    }

    fn is_set(self) -> bool {
        self != Self::NONE
    }

    fn clear(&mut self) {
        *self = Self::NONE;
    }

    /// Clears it if it has come.
    fn take_due(&mut self, now: Mono) -> bool {
        let due = self.is_set() && self.0 <= now;
        if due {
            self.clear();
        }
        due
    }

    /// The earlier one.
    fn advance(&mut self, at: Mono) {
        *self = (*self).min(Self::at(at));
    }
}
