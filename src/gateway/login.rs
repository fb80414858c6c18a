//! What we log in with, when a server challenges a request of ours.

use super::Gateway;
use super::outgoing::{Load, Outgoing};
use super::presence::EventOf;
use crate::sip::message::Message;
use crate::sip::name::Name;

impl Gateway {
    /// Puts our credentials for a challenge into the request (RFC 3261 §22.2). False if there are none
    /// or the challenge can't be met.
    pub(super) fn answer_challenge(
        &mut self,
        outgoing: &mut Outgoing,
        status: u16,
        message: &Message<'_>,
    ) -> bool {
        let name = if status == 401 { Name::WwwAuthenticate } else { Name::ProxyAuthenticate };
        let credentials = self.settings.credentials(outgoing.peer);
        match &mut outgoing.load {
            Load::Message { pager, .. } => {
                pager.answer_challenge(status, message.headers(name), credentials, &mut self.ids)
            }
            Load::Event(event) => {
                if !self.still_counts(event) {
                    return false;
                }
                let cseq = match event.of {
                    EventOf::Trial(trial) => self.trials.next_cseq(trial),
                    of => self.presence.next_cseq(of),
                };
                let challenges = message.headers(name);
                event.request.answer_challenge(status, challenges, credentials, cseq, &mut self.ids)
            }
            Load::Session(load) => self.session_challenged(load, outgoing.peer, message),
            Load::Acknowledged(_) => false,
        }
    }
}
