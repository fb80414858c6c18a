//! What the gateway wants kept: where its changes go, and how the answers come back.
//!
//! ```text
//!   Effect::Persist ──▶ Tickets::persist ──▶ Keeper::keep ──▶ another thread ──▶ disk
//!                          │ refused                             │ wake
//!   Input::Persisted ◀── Tickets::answered ◀── Keeper::answers ◀─┘
//! ```
//!
//! Every ticket is answered once and in the order of the effects, also one that was refused at once: it
//! waits for those before it. No answer comes in the turn that asked.

use crate::store::record::Change;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::Notify;

/// Makes changes durable, away from the shard's thread. Nothing here waits.
pub trait Keeper {
    /// Takes changes that become durable together, after all that was taken before. False: they were
    /// not taken, and there will be no answer.
    fn keep(&self, ticket: u64, changes: Vec<Change>) -> bool;

    /// What became of tickets that were taken, since the last call and in their order: durable, or not
    /// known to be.
    fn answers(&self) -> Vec<(u64, bool)>;
}

/// The tickets that wait for an answer.
pub struct Tickets {
    keeper: Rc<dyn Keeper>,
    wake: Arc<Notify>,
    open: RefCell<VecDeque<(u64, Option<bool>)>>,
}

impl Tickets {
    /// None yet. `wake` is told whenever `keeper` may have answers.
    pub fn new(keeper: Rc<dyn Keeper>, wake: Arc<Notify>) -> Self {
        Self { keeper, wake, open: RefCell::default() }
    }

    /// Hands over the changes of `ticket`.
    pub fn persist(&self, ticket: u64, changes: Vec<Change>) {
        let refused = !self.keeper.keep(ticket, changes);
        self.open.borrow_mut().push_back((ticket, refused.then_some(false)));
        if refused {
            self.wake.notify_one();
        }
    }

    /// Waits until there may be answers; those whose turn it is.
    pub async fn answered(&self) -> Vec<(u64, bool)> {
        self.wake.notified().await;
        let mut open = self.open.borrow_mut();
        let mut waiting = open.iter_mut().filter(|(_, answer)| answer.is_none());
        for (ticket, durable) in self.keeper.answers() {
            if let Some((_, answer)) = waiting.find(|(waits, _)| *waits == ticket) {
                *answer = Some(durable);
            }
        }
        let ready = open.iter().take_while(|(_, answer)| answer.is_some()).count();
        open.drain(..ready).map(|(ticket, answer)| (ticket, answer == Some(true))).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Takes what it is told to take, and answers what it is told to answer.
    #[derive(Default)]
    struct Fake {
        refuses: RefCell<bool>,
        answers: RefCell<Vec<(u64, bool)>>,
    }

    impl Keeper for Fake {
        fn keep(&self, _ticket: u64, _changes: Vec<Change>) -> bool {
            !*self.refuses.borrow()
        }

        fn answers(&self) -> Vec<(u64, bool)> {
            self.answers.take()
        }
    }

    #[tokio::test]
    async fn threat_170_a_refused_ticket_waits_for_those_before_it() {
        let (fake, wake) = (Rc::new(Fake::default()), Arc::new(Notify::new()));
        let tickets = Tickets::new(fake.clone(), wake.clone());
        let say = |answers: &[(u64, bool)]| {
            fake.answers.replace(answers.to_vec());
            wake.notify_one();
        };
        tickets.persist(1, Vec::new());
        tickets.persist(2, Vec::new());
        fake.refuses.replace(true);
        tickets.persist(3, Vec::new());
        fake.refuses.replace(false);
        tickets.persist(4, Vec::new());
        assert_eq!(tickets.answered().await, [], "3 was refused, and 1 is not known yet");
        say(&[(1, true)]);
        assert_eq!(tickets.answered().await, [(1, true)]);
        say(&[(2, false), (4, true)]);
        assert_eq!(tickets.answered().await, [(2, false), (3, false), (4, true)]);
        say(&[(4, true), (9, true)]);
        assert_eq!(tickets.answered().await, [], "each is answered once");
    }
}
