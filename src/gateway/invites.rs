//! Our INVITEs as transactions: their ACKs, their CANCELs, and what their answers are to the session.
//!
//! | response | who acknowledges it |
//! |---|---|
//! | 1xx | nobody |
//! | 2xx | the session, each copy: [`Gateway::on_session_answer`] |
//! | 300-699 | the transaction, with the branch of the INVITE (RFC 3261 §17.1.1.3), each copy |
//!
//! An INVITE stays with its transaction until that ends, for copies of its answer and for its CANCEL.

use super::Gateway;
use super::effect::Effect;
use super::outgoing::{Load, Outgoing, Undelivered};
use super::peers::Way;
use super::sessions::SessionRef;
use crate::now::{Mono, Now};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::session::SessionRequest;
use crate::sip::txn::{CancelStep, ClientAction, ClientKey, MAGIC_COOKIE, Step};
use std::time::Duration;

/// What comes back is put on the way again by nobody.
const NEVER: Duration = Duration::ZERO;

impl Outgoing {
    /// Is it an INVITE that has a 2xx?
    pub(super) fn is_answered_invite(&self) -> bool {
        matches!(&self.load, Load::Session(load) if load.is_accepted)
    }
}

impl Gateway {
    /// A response to an INVITE of ours.
    pub(super) fn on_invite_response(&mut self, now: Now, branch: &str, status: u16, message: &Message<'_>) {
        let Some((key, step)) = self.clients.on_response(now.mono, branch, "INVITE", status) else { return };
        match step {
            Step::Kept(ClientAction::Deliver, kept) => {
                // It is put back below: the session may write to the table meanwhile.
                let Some(mut outgoing) = kept.take() else { return };
                if let Load::Session(load) = &mut outgoing.load {
                    load.is_accepted |= status >= 200;
                    self.on_session_answer(now, load, status, message);
                }
                outgoing.was_heard();
                if let Some(kept) = self.clients.value(key) {
                    *kept = Some(outgoing);
                }
            }
            Step::Kept(ClientAction::DeliverAndAck, kept) => {
                let Some(outgoing) = kept.take() else { return };
                let ack = self.write_ack(key, &outgoing, message);
                if let (Some(kept), Some(way)) = (self.clients.value(key), outgoing.way) {
                    *kept = Some(acknowledged(now.mono, &outgoing, way, ack));
                }
                self.on_final(now, outgoing, status, message);
            }
            Step::Ended(ClientAction::DeliverAndAck, Some(outgoing)) => {
                self.write_ack(key, &outgoing, message);
                self.on_final(now, outgoing, status, message);
            }
            Step::Kept(ClientAction::Ack, Some(_)) => self.write_request(key),
            Step::Kept(..) | Step::Ended(..) => {}
        }
    }

    /// Sends the ACK of a 300-699; what it is, for copies of the answer.
    fn write_ack(&mut self, key: ClientKey, outgoing: &Outgoing, message: &Message<'_>) -> Box<[u8]> {
        let (Load::Session(load), Some(way)) = (&outgoing.load, outgoing.way) else { return Box::default() };
        let start = self.effects.mark();
        let sent = self.settings.sent(way.transport);
        let out = self.effects.buffer();
        load.request.write_ack(&sent, key.branch().as_str(), message.to().tag, out);
        let octets = self.effects.since(start);
        let ack = self.effects.octets(&octets).into();
        self.effects.push(Effect::SipSend { link: way.link, to: way.to, octets });
        ack
    }

    /// Sends the ACK of a 2xx: it has a branch of its own and no transaction (RFC 3261 §13.2.2.4).
    pub(super) fn write_ack_of_success(&mut self, way: Way, request: &SessionRequest) {
        let branch = format!("{MAGIC_COOKIE}{}", self.guard.stamp(self.ids.mint()));
        let start = self.effects.mark();
        let sent = self.settings.sent(way.transport);
        request.write(&sent, &branch, self.effects.buffer());
        let octets = self.effects.since(start);
        self.effects.push(Effect::SipSend { link: way.link, to: way.to, octets });
    }

    /// The session `of` does not want its INVITE any more: CANCEL, as soon as that is allowed. Asked again
    /// at each 1xx (RFC 3261 §9.1). An INVITE that waits for a link is not sent: see
    /// [`Gateway::session_may_send`].
    pub(super) fn cancel_invite(&mut self, now: Now, of: SessionRef) {
        let is_its = |outgoing: &Option<Outgoing>| {
            let load = outgoing.as_ref().map(|outgoing| &outgoing.load);
            matches!(load, Some(Load::Session(load))
                if load.of == of && load.request.method() == Method::Invite)
        };
        for key in self.clients.select(is_its) {
            if self.clients.cancel(now.mono, key) == CancelStep::Send {
                self.write_cancel(key);
            }
        }
    }

    /// Writes the CANCEL of `key`, for the first time or again.
    pub(super) fn write_cancel(&mut self, key: ClientKey) {
        let Some(Some(outgoing)) = self.clients.value(key) else { return };
        let (Load::Session(load), Some(way)) = (&outgoing.load, outgoing.way) else { return };
        let start = self.effects.mark();
        let sent = self.settings.sent(way.transport);
        load.request.write_cancel(&sent, key.branch().as_str(), self.effects.buffer());
        let octets = self.effects.since(start);
        self.effects.push(Effect::SipSend { link: way.link, to: way.to, octets });
    }

    /// A request of a session has no answer. What was sent and not answered is 408.
    pub(super) fn session_failed(&mut self, now: Now, outgoing: &Outgoing, failure: &Undelivered) {
        let Load::Session(load) = &outgoing.load else { return };
        let status = match (outgoing.was_sent(), failure.status) {
            // Where the connection was lost the dialog goes on over the next.
            (true, 504) if failure.together => 408,
            (_, status) => status,
        };
        self.on_session_failed(now, load, status, failure);
    }
}

/// What stays of an INVITE that failed.
fn acknowledged(now: Mono, outgoing: &Outgoing, way: Way, ack: Box<[u8]>) -> Outgoing {
    let mut kept = Outgoing::new(now, outgoing.peer, Load::Acknowledged(ack), NEVER);
    kept.way = Some(way);
    kept
}
