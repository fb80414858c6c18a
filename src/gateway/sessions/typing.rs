//! Who is writing, in sessions: keyboard activity as INFO, or status messages that a SIP user sends.

use super::inside::Typing;
use super::{SessionRef, What};
use crate::addr::Jid;
use crate::body::iscomposing::{IsComposing, State};
use crate::body::keyboard::KeyboardActivity;
use crate::bridge::to_sip::thread_of_call_id;
use crate::bridge::typing::{Dialect, Heard};
use crate::gateway::Gateway;
use crate::msrp::Outgoing;
use crate::now::Now;
use crate::sip::method::Method;

impl Gateway {
    /// How a SIP user is told: in the session that texts go into as its kind wants it, else by MESSAGE.
    pub(in crate::gateway) fn dialect_of(&self, user: &Jid, contact: &Jid) -> Dialect {
        if self.sessions.is_empty() {
            return Dialect::IsComposing;
        }
        let session = self.speaking(user, contact).and_then(|session| self.sessions.table.get(session));
        match session {
            Some(session) if session.msrp.is_none() => Dialect::Keyboard,
            Some(_) | None => Dialect::IsComposing,
        }
    }

    /// The thread of that session.
    pub(in crate::gateway) fn thread_of_session(&self, user: &Jid, contact: &Jid) -> Option<String> {
        if self.sessions.is_empty() {
            return None;
        }
        let session = self.sessions.table.get(self.speaking(user, contact)?)?;
        Some(thread_of_call_id(session.dialog.dialog().call_id()).into_owned())
    }

    /// Tells a SIP user in its session whether `from` writes; the gate has admitted it. False if there is no
    /// session. In one that is not open yet nothing is said: its first text is on the way.
    pub(in crate::gateway) fn say_in_session(
        &mut self,
        now: Now,
        from: &Jid,
        to: &Jid,
        state: State,
    ) -> bool {
        if self.sessions.is_empty() {
            return false;
        }
        let Some(session) = self.speaking(to, from) else { return false };
        let Some(found) = self.sessions.table.get_mut(session) else { return false };
        let peer = found.peer;
        if let Some(msrp) = &found.msrp {
            if !msrp.takes.typing {
                return true;
            }
            let (content_type, body) = Dialect::IsComposing.body(state);
            let octets = body.as_bytes().to_vec();
            let message =
                Outgoing { again: None, content_type: content_type.to_owned(), octets, report: false };
            // One that is not taken is not missed.
            let _ = self.msrp.switch.send(now, &mut self.ids, msrp.id, message);
            return true;
        }
        let (content_type, body) = Dialect::Keyboard.body(state);
        if let Some(request) = found.dialog.request(Method::Info, &[], content_type, body.as_bytes()) {
            self.send_of_session(now, session, peer, request, What::Other);
        }
        true
    }

    /// A SIP user says in a session that it writes, or not: `document`. Its request is answered, and the
    /// gate has admitted it. What can't be read says nothing.
    pub(in crate::gateway) fn on_typing(
        &mut self,
        now: Now,
        session: SessionRef,
        typing: Typing,
        document: &[u8],
    ) {
        let heard = match typing {
            Typing::IsComposing => IsComposing::read(document, None).map(Heard::from),
            Typing::Keyboard => KeyboardActivity::read(document, None).map(Heard::from),
        };
        let (Ok(heard), Some(found)) = (heard, self.sessions.table.get(session)) else { return };
        let (user, contact) = (found.user.clone(), found.contact.clone());
        self.on_sip_typing(now, &user, &contact, heard);
    }
}
