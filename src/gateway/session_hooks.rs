//! Where sessions are told what happened: one function for each thing that can.
//!
//! There are no sessions yet: an INVITE is answered 405, what would be inside of one 481.

use super::Gateway;
use super::effect::PeerId;
use crate::crossing::Verified;
use crate::now::Now;
use crate::sip::message::Message;
use crate::sip::name::Name;
use crate::sip::session::SessionRequest;
use crate::sip::txn::ServerKey;
use crate::sip::uas::{ALLOW, Reject, Request};

/// Which session a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionOf {
    /// Where it stands.
    pub(super) slot: u32,
    /// Which of those that stood there.
    pub(super) serial: u32,
}

/// A request of a session.
#[derive(Debug)]
pub(super) struct SessionLoad {
    pub(super) request: SessionRequest,
    #[allow(dead_code, reason = "`session_hooks` has nobody behind it yet")]
    pub(super) of: SessionOf,
    /// An INVITE has its 2xx: nobody hears of a failure any more.
    pub(super) is_accepted: bool,
}

impl Gateway {
    /// An INVITE of one of our users, its sender proven; `key` is to be answered.
    pub(super) fn on_session_invite(
        &mut self,
        now: Now,
        key: ServerKey,
        _request: Verified<Request<'_>>,
        _over_tls: bool,
    ) {
        self.reject(now, key, &Reject::status(405, "method not supported").with(Name::Allow, ALLOW));
    }

    /// A MESSAGE, INFO, BYE, UPDATE or INVITE in a dialog, its sender proven; `key` is to be answered.
    pub(super) fn on_session_request(&mut self, now: Now, key: ServerKey, _request: Verified<Request<'_>>) {
        self.reject(now, key, &Reject::status(481, "no such dialog"));
    }

    /// An ACK in a dialog, its sender proven: of a 2xx, or a stray one. It is never answered.
    pub(super) fn on_session_ack(&mut self, _now: Now, _ack: Verified<Request<'_>>) {}

    /// The INVITE of `key` was cancelled: it is answered 487 after this.
    pub(super) fn on_session_cancelled(&mut self, _now: Now, _key: ServerKey) {}

    /// A response to a request of a session: to an INVITE each 1xx and each copy of a 2xx, else the final
    /// one.
    pub(super) fn on_session_answer(
        &mut self,
        _now: Now,
        _load: &SessionLoad,
        _status: u16,
        _message: &Message<'_>,
    ) {
    }

    /// A request of a session was not answered (408), or not sent.
    pub(super) fn on_session_failed(&mut self, _now: Now, _load: &SessionLoad, _status: u16, _why: &str) {}

    /// A request of a session is challenged: true if it has an answer now and is to be sent again.
    pub(super) fn session_challenged(
        &mut self,
        _load: &mut SessionLoad,
        _peer: PeerId,
        _message: &Message<'_>,
    ) -> bool {
        false
    }

    /// Is a request of a session still wanted, and does the gate still let it cross?
    pub(super) fn session_may_send(&self, _load: &SessionLoad) -> bool {
        true
    }
}
