//! Questions that may still be answered.

use super::{ID_MAX, Question};
use crate::now::{Mono, Now};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How long a message can be answered: somebody may read it tomorrow.
const LASTS: Duration = Duration::from_secs(24 * 3600);
/// Octets of a date that is kept: RFC 3339 with the finest fraction that anybody writes.
const DATE_MAX: usize = 64;
/// Questions in all; the oldest is forgotten first.
const LIMIT: usize = 50_000;

/// The questions of one direction, by the id that an answer will name. Bounded; each has a day.
#[derive(Default)]
pub struct Ledger {
    open: HashMap<Box<str>, (Mono, Question)>,
    /// In the order of their deadlines.
    order: VecDeque<(Mono, Box<str>)>,
}

impl Ledger {
    /// Keeps `question`, which is answered under `key`. An id that is too long is not kept, nor is a date. A
    /// question of others that is open under the same id stays.
    pub fn ask(&mut self, now: Now, key: &str, mut question: Question) {
        self.forget_old(now);
        if key.len() > ID_MAX || question.id.len() > ID_MAX {
            return;
        }
        if self.get_mut(now, key).is_some_and(|known| !known.is_between_those_of(&question)) {
            return;
        }
        // Nobody has looked at it: a peer could hand us its whole body there.
        question.date = question.date.filter(|date| date.len() <= DATE_MAX);
        let until = now.mono + LASTS;
        self.order.push_back((until, key.into()));
        self.open.insert(key.into(), (until, question));
    }

    /// The question that an answer names.
    pub fn get_mut(&mut self, now: Now, key: &str) -> Option<&mut Question> {
        let (until, question) = self.open.get_mut(key)?;
        (*until > now.mono).then_some(question)
    }

    /// Takes a question out, to be asked under another id.
    pub fn take(&mut self, key: &str) -> Option<Question> {
        self.open.remove(key).map(|(_, question)| question)
    }

    /// Nobody is to be told of `key` any more.
    pub fn forget(&mut self, key: &str) {
        self.open.remove(key);
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn forget_old(&mut self, now: Now) {
        while self.order.len() >= LIMIT || self.order.front().is_some_and(|(until, _)| *until <= now.mono) {
            let Some((until, key)) = self.order.pop_front() else { break };
            // It may have been asked anew under the same id.
            if self.open.get(&key).is_some_and(|(known, _)| *known == until) {
                self.open.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::addr::Jid;
    use crate::body::cpim::Notify;

    fn question() -> Question {
        let jid = |text| Jid::parse(text).unwrap();
        let notify = Notify { delivery: true, ..Notify::default() };
        Question::new(jid("a@x.example"), jid("b@y.example"), "id", notify)
    }

    #[test]
    fn a_question_is_forgotten_after_a_day() {
        let mut ledger = Ledger::default();
        ledger.ask(Now::at(0), "k", question());
        assert!(ledger.get_mut(Now::at(24 * 3600 - 1), "k").is_some());
        assert!(ledger.get_mut(Now::at(24 * 3600), "k").is_none());
        ledger.ask(Now::at(24 * 3600), "other", question());
        assert!(!ledger.open.contains_key("k"));
        ledger.forget("other");
        assert!(ledger.is_empty());
    }

    #[test]
    fn a_date_that_is_none_is_not_kept() {
        let mut ledger = Ledger::default();
        let dated = |date: &str| Question { date: Some(date.into()), ..question() };
        ledger.ask(Now::at(0), "k", dated("2026-11-29T00:00:00.000000000+01:00"));
        assert!(ledger.get_mut(Now::at(0), "k").unwrap().date.is_some());
        ledger.ask(Now::at(0), "l", dated(&"2026".repeat(10_000)));
        assert_eq!(ledger.get_mut(Now::at(0), "l").unwrap().date, None);
    }

    #[test]
    fn nobody_takes_the_place_of_a_question_of_others() {
        let mut ledger = Ledger::default();
        ledger.ask(Now::at(0), "thread", question());
        let jid = |text| Jid::parse(text).unwrap();
        let notify = Notify { delivery: true, ..Notify::default() };
        for (asker, recipient) in [("mallory@z.example", "b@y.example"), ("a@x.example", "c@y.example")] {
            ledger.ask(Now::at(1), "thread", Question::new(jid(asker), jid(recipient), "id2", notify));
            assert_eq!(&*ledger.get_mut(Now::at(1), "thread").unwrap().id, "id", "{asker} {recipient}");
        }
        // The same two ask anew; and after its day it is in nobody's way.
        ledger.ask(
            Now::at(2),
            "thread",
            Question::new(jid("a@x.example/r"), jid("b@y.example"), "id3", notify),
        );
        assert_eq!(&*ledger.get_mut(Now::at(2), "thread").unwrap().id, "id3");
        let later = Now::at(2 + 24 * 3600);
        ledger.ask(
            later,
            "thread",
            Question::new(jid("mallory@z.example"), jid("b@y.example"), "id4", notify),
        );
        assert_eq!(&*ledger.get_mut(later, "thread").unwrap().id, "id4");
    }

    #[test]
    fn memory_is_bounded_in_number_and_in_octets() {
        let mut ledger = Ledger::default();
        for n in 0..LIMIT + 100 {
            ledger.ask(Now::at(1), &n.to_string(), question());
        }
        assert!(ledger.open.len() <= LIMIT && ledger.order.len() <= LIMIT);
        assert!(ledger.get_mut(Now::at(1), "0").is_none());
        for n in 0..LIMIT + 100 {
            ledger.ask(Now::at(2), "again", question());
            assert!(ledger.get_mut(Now::at(2), "again").is_some(), "{n}");
        }
        assert!(ledger.order.len() <= LIMIT);
        let long = "x".repeat(ID_MAX + 1);
        ledger.ask(Now::at(3), &long, question());
        assert!(ledger.get_mut(Now::at(3), &long).is_none());
    }
}
