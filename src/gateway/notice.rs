//! Notices: the one text that tells a SIP user, after the 2xx, that a message was not delivered.
//!
//! At most one for each cause, pair and hour, so that no loop of notices and errors can arise.

use crate::addr::Jid;
use crate::now::{Mono, Now};
use crate::xmpp::error::Condition;
use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// How long the same cause is not said again to the same pair.
const PAUSE: Duration = Duration::from_secs(3600);
/// Causes that are remembered. When there are more, the oldest is forgotten and may be said again.
const LIMIT: usize = 10_000;

/// What was said lately, as hashes under a seed.
pub struct Notices {
    keyed: DefaultHasher,
    said: HashSet<u64>,
    order: VecDeque<(Mono, u64)>,
}

impl Notices {
    /// Nothing said yet.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut keyed = DefaultHasher::new();
        ("notices", seed).hash(&mut keyed);
        Self { keyed, said: HashSet::new(), order: VecDeque::new() }
    }

    /// May `user` be told now that a message to `contact` failed by `condition`? Then it counts as
    /// told.
    pub fn may_say(&mut self, now: Now, user: &Jid, contact: &Jid, condition: Condition) -> bool {
        while self.order.len() >= LIMIT || self.order.front().is_some_and(|(until, _)| *until <= now.mono) {
            if let Some((_, cause)) = self.order.pop_front() {
                self.said.remove(&cause);
            }
        }
        let mut hasher = self.keyed.clone();
        (user.bare_str(), contact.bare_str(), condition).hash(&mut hasher);
        let cause = hasher.finish();
        if !self.said.insert(cause) {
            return false;
        }
        self.order.push_back((now.mono + PAUSE, cause));
        true
    }
}

/// The notice's text.
pub fn text(contact: &Jid, condition: Condition, why: &str) -> String {
    let contact = contact.bare_str();
    let reason = match condition {
        Condition::ItemNotFound | Condition::ServiceUnavailable => {
            "there is no such user, or nobody is there"
        }
        Condition::RecipientUnavailable => "nobody is there",
        Condition::RemoteServerNotFound => "their server can't be found",
        Condition::RemoteServerTimeout => "their server did not answer",
        Condition::Forbidden
        | Condition::NotAllowed
        | Condition::NotAuthorized
        | Condition::PolicyViolation => "their server does not allow it",
        Condition::ResourceConstraint => "their server is too busy",
        Condition::Gone | Condition::Redirect => "this address is no longer in use",
        Condition::BadRequest
        | Condition::Conflict
        | Condition::FeatureNotImplemented
        | Condition::InternalServerError
        | Condition::JidMalformed
        | Condition::NotAcceptable
        | Condition::RegistrationRequired
        | Condition::SubscriptionRequired
        | Condition::UndefinedCondition
        | Condition::UnexpectedRequest => "their server returned it",
    };
    let mut text = format!("Your last message to {contact} was not delivered: {reason}");
    if !why.is_empty() {
        text.push_str(" (");
        text.push_str(why);
        text.push(')');
    }
    text.push('.');
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_cause_is_said_once_an_hour_to_one_pair() {
        let (alice, romeo) =
            (Jid::parse("alice@contoso.example").unwrap(), Jid::parse("romeo@capulet.example/x").unwrap());
        let mut notices = Notices::new([1; 32]);
        let gone = Condition::ServiceUnavailable;
        assert!(notices.may_say(Now::at(0), &alice, &romeo, gone));
        assert!(!notices.may_say(Now::at(3599), &alice, &romeo.to_bare(), gone), "also by another resource");
        assert!(notices.may_say(Now::at(10), &alice, &romeo, Condition::Forbidden), "another cause");
        assert!(notices.may_say(Now::at(10), &romeo, &alice, gone), "another pair");
        assert!(notices.may_say(Now::at(3601), &alice, &romeo, gone), "an hour later");
    }

    #[test]
    fn memory_is_bounded() {
        let mut notices = Notices::new([1; 32]);
        let romeo = Jid::parse("romeo@capulet.example").unwrap();
        for n in 0..LIMIT + 50 {
            let user = Jid::parse(&format!("u{n}@contoso.example")).unwrap();
            assert!(notices.may_say(Now::at(1), &user, &romeo, Condition::ItemNotFound));
        }
        assert!(notices.said.len() <= LIMIT && notices.order.len() <= LIMIT);
    }
}
