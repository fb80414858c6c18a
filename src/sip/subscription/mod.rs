//! Presence subscriptions in SIP: one dialog with one usage, in both roles (RFC 6665, RFC 3856).
//!
//! | file | owns |
//! |---|---|
//! | [`subscriber`] | [`Subscriber`]: our SUBSCRIBE, the peer's NOTIFY |
//! | [`notifier`] | [`Notifier`]: the peer's SUBSCRIBE, our NOTIFY |
//! | [`request`] | [`EventRequest`]: one request of ours, to be written as often as needed |
//! | [`tag`] | tags of ours that say which watch they belong to |
//!
//! These keep dialogs: who, where, which number comes next, and whether what came is in order. They
//! judge a message and give the status code that refuses it. When to subscribe, to notify or to give
//! up is decided above, in `bridge::watch`; who may do so, in the gate. Bodies are octets here.
//!
//! A peer can make neither side keep more than [`MAX_DIALOG`] octets.

pub mod notifier;
pub mod request;
pub mod subscriber;
pub mod tag;
#[cfg(test)]
mod tests;

pub use notifier::{Asked, Notifier};
pub use request::{EventRequest, Said};
pub use subscriber::{Awaiting, Subscriber};

use super::message::Message;
use super::name::Name;
use super::uas::{Reject, contact, record_routes};
use super::value::Event;

/// The one event package that we know.
pub const PACKAGE: &str = "presence";
/// The one media type of its documents that we know.
pub const PIDF: &str = "application/pidf+xml";
/// Most octets of a dialog's texts; one that is longer is refused.
pub const MAX_DIALOG: usize = 4096;

/// How long subscriptions last, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durations {
    /// For a SUBSCRIBE without Expires (RFC 3856 §6.4: 3600).
    pub usual: u32,
    /// The shortest; has effect below one hour only.
    pub least: u32,
    /// The longest: more is shortened to it.
    pub most: u32,
}

impl Default for Durations {
    fn default() -> Self {
        Self { usual: 3600, least: 60, most: 86_400 }
    }
}

/// The duration is too short: 423 with Min-Expires, the field in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subscription would be shorter than {0} s")]
pub struct TooBrief(pub u32);

impl Durations {
    /// What a SUBSCRIBE that asks for `asked` seconds gets: never more (RFC 6665 §4.2.1.1), and zero
    /// is zero.
    ///
    /// # Errors
    /// [`TooBrief`] if and only if it is above zero, below one hour and below the least.
    pub fn grant(&self, asked: Option<u32>) -> Result<u32, TooBrief> {
        match asked {
            None => Ok(self.usual.min(self.most)),
            Some(asked) if asked > 0 && asked < 3600 && asked < self.least => {
                Err(TooBrief(self.least.min(3600)))
            }
            Some(asked) => Ok(asked.min(self.most)),
        }
    }
}

/// 489: the event package is unknown or missing (RFC 6665 §4.2.1.1, §4.1.3).
fn bad_event(why: &'static str) -> Reject {
    Reject::status(489, why).with(Name::AllowEvents, PACKAGE)
}

/// Event, if it is of our package.
fn presence_event<'m>(message: &Message<'m>) -> Result<Event<'m>, Reject> {
    let event = message.event().ok_or_else(|| bad_event("no Event"))?;
    let event = event.map_err(|_| Reject::status(400, "malformed Event"))?;
    if event.package != PACKAGE {
        return Err(bad_event("unknown event package"));
    }
    Ok(event)
}
