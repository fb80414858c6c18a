//! Event and Subscription-State (RFC 6665 §8.2, §8.4).

use super::params::unquote;
use super::{Malformed, Tagged};
use crate::sip::lex::is_token;

/// Event: which package, and which subscription of a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The event type, package and templates, as it was spelt: compared octet by octet.
    pub package: &'a str,
    /// The parameter `id`.
    pub id: Option<&'a str>,
}

impl<'a> Event<'a> {
    /// Parses `text`.
    ///
    /// # Errors
    /// [`Malformed`], also for an `id` that is no token.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        let Tagged { token, params } = Tagged::parse(text)?;
        let id = match params.get("id") {
            Some(Some(id)) if is_token(id) => Some(id),
            Some(_) => return Err(Malformed),
            None => None,
        };
        Ok(Self { package: token, id })
    }

    /// Whether both name the same subscription (RFC 6665 §8.2.1): package and `id` octet by octet,
    /// one with an `id` never equal to one without, nothing else compared.
    pub fn matches(&self, other: &Event<'_>) -> bool {
        self.package == other.package && self.id == other.id
    }
}

/// The state of a subscription, as a notifier says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Substate {
    /// Accepted, and in general authorized.
    Active,
    /// Received, not decided.
    Pending,
    /// Over.
    Terminated,
    /// An extension that we do not know.
    Other,
}

impl Substate {
    /// The value on the wire; empty for [`Substate::Other`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Terminated => "terminated",
            Self::Other => "",
        }
    }
}

/// Why a subscription ended (RFC 6665 §4.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// Subscribe again at once.
    Deactivated,
    /// Subscribe again later.
    Probation,
    /// No longer allowed.
    Rejected,
    /// Not refreshed in time, or a fetch.
    Timeout,
    /// No decision came in time.
    Giveup,
    /// There is nothing to watch any more.
    NoResource,
    /// Nothing will ever change.
    Invariant,
    /// An extension that we do not know.
    Other,
}

impl EndReason {
    /// Every reason that has a name.
    pub const ALL: [Self; 7] = [
        Self::Deactivated,
        Self::Probation,
        Self::Rejected,
        Self::Timeout,
        Self::Giveup,
        Self::NoResource,
        Self::Invariant,
    ];

    /// The value on the wire; empty for [`EndReason::Other`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deactivated => "deactivated",
            Self::Probation => "probation",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
            Self::Giveup => "giveup",
            Self::NoResource => "noresource",
            Self::Invariant => "invariant",
            Self::Other => "",
        }
    }
}

/// Subscription-State.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscriptionState {
    /// The state.
    pub state: Substate,
    /// The parameter `reason`.
    pub reason: Option<EndReason>,
    /// The parameter `expires`, in seconds.
    pub expires: Option<u32>,
    /// The parameter `retry-after`, in seconds.
    pub retry_after: Option<u32>,
}

impl SubscriptionState {
    /// Parses `text`. Case does not matter (RFC 3261 §7.3.1), nor white space around `;` and `=`; a
    /// number that is none counts as absent, because a subscriber copes without it (RFC 6665 §4.2.2).
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let Tagged { token, params } = Tagged::parse(text)?;
        let known = [Substate::Active, Substate::Pending, Substate::Terminated];
        let state = known.into_iter().find(|state| state.as_str().eq_ignore_ascii_case(token));
        let seconds = |name| params.value(name).and_then(delta_seconds);
        let reason = params.value("reason").map(|text| {
            let text = unquote(text);
            let known = EndReason::ALL.into_iter();
            known.into_iter().find(|r| r.as_str().eq_ignore_ascii_case(&text)).unwrap_or(EndReason::Other)
        });
        Ok(Self {
            state: state.unwrap_or(Substate::Other),
            reason,
            expires: seconds("expires"),
            retry_after: seconds("retry-after"),
        })
    }
}

/// A number of seconds (RFC 3261 §25.1 `delta-seconds`); one that is too large is the largest.
pub fn delta_seconds(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn check_096_events_match_octet_by_octet_with_their_id() {
        let event = |text| Event::parse(text).unwrap();
        let plain = event("presence");
        // The examples of RFC 6665 §8.2.1.
        assert!(event("foo; id=1234").matches(&event("foo; param=abcd; id=1234")));
        assert!(!event("foo; id=1234").matches(&event("foo")));
        assert!(!event("foo;id=1234").matches(&event("Foo; id=1234")));
        assert!(!event("foo;id=a").matches(&event("foo;id=A")));
        assert_eq!((plain.package, plain.id), ("presence", None));
        assert_eq!(event("presence ;\tID = 7").id, Some("7"));
        for bad in ["", "presence;", "presence;id", "presence;id=\"a b\"", "a b", "presence,dialog", ";id=1"]
        {
            assert_eq!(Event::parse(bad), Err(Malformed), "{bad}");
        }
    }

    #[test]
    fn a_subscription_state_is_read_in_any_spelling() {
        let state = |text: &str| SubscriptionState::parse(text).unwrap();
        let active = SubscriptionState {
            state: Substate::Active,
            reason: None,
            expires: Some(599),
            retry_after: None,
        };
        for text in [
            "active;expires=599",
            "Active ; Expires = 599",
            "ACTIVE\t;\texpires=599 ;x",
            "active;expires=599;q=\";\"",
        ] {
            assert_eq!(state(text), active, "{text}");
        }
        for reason in EndReason::ALL {
            let upper = reason.as_str().to_uppercase();
            for text in [
                format!("terminated;reason={}", reason.as_str()),
                format!("Terminated ;Reason= {upper};retry-after=7"),
                format!("terminated;reason=\"{}\"", reason.as_str()),
            ] {
                assert_eq!(state(&text).state, Substate::Terminated, "{text}");
                assert_eq!(state(&text).reason, Some(reason), "{text}");
            }
        }
        assert_eq!(state("terminated;reason=moved").reason, Some(EndReason::Other));
        assert_eq!(state("terminated; reason=probation; retry-after=300").retry_after, Some(300));
        assert_eq!(state("waiting;expires=5").state, Substate::Other);
        for text in [
            "active;expires=",
            "active;expires=-1",
            "active;expires=1.5",
            "active;expires",
            "active;expires=x",
        ] {
            assert_eq!(SubscriptionState::parse(text).map_or(None, |state| state.expires), None, "{text}");
        }
        assert_eq!(state("active;expires=99999999999999").expires, Some(u32::MAX));
        for bad in ["", ";expires=1", "active expires=1", "active;;", "active;expires=1;EXPIRES=2", "act/ive"]
        {
            assert_eq!(SubscriptionState::parse(bad), Err(Malformed), "{bad}");
        }
    }
}
