//! Stopping: nothing new is taken, and what is not delivered in time goes back to its senders.
//!
//! ```text
//!   stop ──▶ requests get 503, messages come back ──▶ quiet ──▶ streams and links are closed
//!                                       └─ time is over: abandon ─┘
//! ```

use super::Gateway;
use super::outgoing::Undelivered;
use crate::now::Now;
use crate::xmpp::error::Condition;

/// What the senders hear.
pub(super) const STOPPING: &str = "the gateway is stopping";

impl Gateway {
    /// From now on nothing new is taken. What is under way goes on; see [`Gateway::is_quiet`].
    pub fn stop(&mut self, now: Now) {
        self.stopping = true;
        self.leave_sessions(now);
        self.settle_sessions(now);
        self.collect_deadlines();
    }

    /// All that waits, or was sent and not answered, fails now.
    ///
    /// A stanza in a stream's buffer does not: that stream's end says what became of it.
    pub fn abandon(&mut self, now: Now) {
        let bounces = self.pairs.abandon(Condition::RemoteServerTimeout);
        self.bounce_all(now, bounces, STOPPING);
        self.end_sessions(now);
        let failure = Undelivered::together(Condition::RemoteServerTimeout, 504, STOPPING);
        let mut left = self.peers.take_waiting();
        for key in self.clients.select(Option::is_some) {
            left.extend(self.clients.forget(key).flatten());
        }
        // In an order that does not depend on the map's.
        let mut targets: Vec<_> = std::mem::take(&mut self.targets).into_iter().collect();
        targets.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        left.extend(targets.into_iter().flat_map(|(_, queue)| queue));
        (self.queued, self.held) = (0, 0);
        for outgoing in left {
            self.fail(now, outgoing, failure.clone());
        }
        self.settle_presence(now);
        self.settle_sessions(now);
        self.forget_sessions(now);
        self.collect_deadlines();
    }
}
