//! The gate asked again for sessions that last, and the end of all of them when the gateway stops.

use super::SessionRef;
use crate::bridge::session::{Failure, Input};
use crate::crossing::{Crossing, Direction, Kind};
use crate::gateway::Gateway;
use crate::gateway::outgoing::NO_LONGER;
use crate::gateway::stop::STOPPING;
use crate::now::Now;
use crate::policy::Table;
use crate::xmpp::error::Condition;

impl Gateway {
    /// The table is another than `before`: a session that lost the right to a direction ends on both sides. One
    /// that never had it goes on as it was.
    pub(in crate::gateway) fn judge_sessions(&mut self, now: Now, before: &Table) {
        for session in self.sessions.table.refs() {
            if self.has_lost(session, before) {
                self.revoke_session(now, session);
            }
        }
        self.settle_sessions(now);
    }

    fn has_lost(&self, session: SessionRef, before: &Table) -> bool {
        let Some(found) = self.sessions.table.get(session) else { return false };
        let (user, contact, kind) = (&found.user, &found.contact, Kind::Message);
        let ways = [
            Crossing { sender: user, target: contact, direction: Direction::SipToXmpp, kind },
            Crossing { sender: contact, target: user, direction: Direction::XmppToSip, kind },
        ];
        ways.iter().any(|way| self.judge(way).is_err() && before.judge(way, &self.presence).is_ok())
    }

    /// The gate says no: what waits is returned, the SIP user gets BYE and the contact hears that nobody is
    /// there any more.
    pub(super) fn revoke_session(&mut self, now: Now, session: SessionRef) {
        self.tell_gone(now, session);
        let failure = Failure::new(Condition::Forbidden, 403, NO_LONGER);
        self.drive_session(now, session, Input::Revoke(failure));
    }

    /// The gateway is to stop: each session ends when its texts are delivered.
    pub(in crate::gateway) fn leave_sessions(&mut self, now: Now) {
        for session in self.sessions.table.refs() {
            self.session_ends(session, STOPPING);
            self.drive_session(now, session, Input::Leave);
        }
    }

    /// The time for that is over: what waits is returned, and BYE goes out as far as it can.
    pub(in crate::gateway) fn end_sessions(&mut self, now: Now) {
        for session in self.sessions.table.refs() {
            let failure = Failure::new(Condition::RemoteServerTimeout, 504, STOPPING);
            self.drive_session(now, session, Input::Revoke(failure));
            // What is in the air by MSRP hears now that nobody waits for its answer; a MESSAGE does with its
            // transaction.
            let msrp = self.sessions.table.get(session).and_then(|found| found.msrp.as_ref());
            if let Some(id) = msrp.map(|msrp| msrp.id) {
                self.msrp.switch.close(now, &mut self.ids, id);
            }
        }
        self.settle_sessions(now);
    }

    /// Nobody waits for answers any more.
    pub(in crate::gateway) fn forget_sessions(&mut self, now: Now) {
        for session in self.sessions.table.refs() {
            let unsent = self.sessions.table.get(session).map_or(0, |found| found.machine.unsent());
            debug_assert_eq!(unsent, 0, "every text has come out");
            self.perform(now, session, crate::bridge::session::Action::Forget);
        }
    }
}
