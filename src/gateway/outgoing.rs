//! Messages on their way to SIP users: one outstanding for each target, then its transaction, then the
//! answer to whoever wrote it.
//!
//! RFC 3428 §8: a UAC sends no MESSAGE out of a dialog to a target while another one to it is
//! pending. So each target has a queue, its front is in the air, and the order in which two people
//! write to each other is kept. When a target's server does not answer at all, its whole queue fails
//! together: nobody waits 32 s for each message in turn.

use super::Gateway;
use super::effect::{Effect, PeerId};
use super::observe::Observation;
use super::peers::{Handed, Way};
use crate::addr::Jid;
use crate::addr::map;
use crate::bridge::errors::{condition_of, new_address};
use crate::bridge::to_sip::one_line;
use crate::crossing::Direction;
use crate::now::Now;
use crate::sip::link::LinkId;
use crate::sip::message::{Message, Start};
use crate::sip::name::Name;
use crate::sip::pager::Pager;
use crate::sip::txn::{ClientAction, ClientKey, Step};
use crate::sip::value::Contact;
use crate::xmpp::error::stanza::{Answered, write_error};
use crate::xmpp::error::{Condition, StanzaError};
use std::collections::VecDeque;
use std::time::Duration;

/// How often one message is tried at another server of its peer.
const MAX_TRIES: u8 = 3;

/// The stanza that a message came from: what its error needs.
#[derive(Debug)]
pub struct Origin {
    /// Who wrote it.
    pub from: Jid,
    /// For whom.
    pub to: Jid,
    /// The stanza's id.
    pub id: Option<Box<str>>,
}

/// A MESSAGE that waits, or is in the air.
#[derive(Debug)]
pub struct Outgoing {
    /// Whose servers it goes to.
    pub peer: PeerId,
    pager: Pager,
    origin: Option<Origin>,
    tries: u8,
    way: Option<Way>,
    /// Where the user has moved, as a URI.
    moved_to: Option<String>,
}

impl Outgoing {
    /// A message for `peer`; a notice of ours has no origin, and nobody hears of its failure.
    pub fn new(peer: PeerId, pager: Pager, origin: Option<Origin>) -> Self {
        Self { peer, pager, origin, tries: 0, way: None, moved_to: None }
    }
}

impl Outgoing {
    /// Was it sent over `link`?
    pub(super) fn is_on(&self, link: LinkId) -> bool {
        self.way.is_some_and(|way| way.link == link && way.to.is_none())
    }
}

impl Gateway {
    /// Sends `outgoing`, now or behind what its target has not answered yet.
    pub(super) fn send_message(&mut self, now: Now, outgoing: Outgoing) {
        let target = outgoing.pager.target();
        if let Some(queue) = self.targets.get_mut(target) {
            if queue.len() < self.settings.target_queue {
                queue.push_back(outgoing);
                self.queued += 1;
            } else {
                self.fail(
                    now,
                    outgoing,
                    Condition::ResourceConstraint,
                    503,
                    "too many messages wait for this user",
                );
            }
            return;
        }
        if self.targets.len() >= self.settings.targets {
            return self.fail(
                now,
                outgoing,
                Condition::ResourceConstraint,
                503,
                "too many messages are under way",
            );
        }
        self.targets.insert(target.into(), VecDeque::new());
        self.start(now, outgoing);
    }

    /// Starts the transaction, or waits for a link to start it on.
    fn start(&mut self, now: Now, outgoing: Outgoing) {
        let peer = outgoing.peer;
        match self.peers.hand(now, peer, outgoing, &mut self.next_link, &mut self.effects, &mut self.due) {
            Handed::Send(way, outgoing) => self.transmit(now, way, outgoing),
            Handed::Waits => {}
            Handed::Full(outgoing) => {
                self.finish(
                    now,
                    outgoing,
                    Err((Condition::ResourceConstraint, 503, "the queue is full".to_owned())),
                );
            }
        }
    }

    /// Puts a request on the wire in a new transaction.
    pub(super) fn transmit(&mut self, now: Now, way: Way, mut outgoing: Outgoing) {
        outgoing.way = Some(way);
        outgoing.tries += 1;
        let reliability = way.transport.reliability();
        match self.clients.start(now.mono, "MESSAGE", reliability, outgoing, &mut self.ids) {
            Ok(key) => self.write_request(key),
            Err(full) => {
                let why = "too many transactions are open".to_owned();
                self.finish(now, full.0, Err((Condition::ResourceConstraint, 503, why)));
            }
        }
    }

    /// Writes the request of `key`, for the first time or again.
    pub(super) fn write_request(&mut self, key: ClientKey) {
        let Some(outgoing) = self.clients.value(key) else { return };
        let Some(way) = outgoing.way else { return };
        let start = self.effects.mark();
        let sent = self.settings.sent(way.transport);
        outgoing.pager.write(&sent, key.branch().as_str(), self.effects.buffer());
        let octets = self.effects.since(start);
        self.effects.push(Effect::SipSend { link: way.link, to: way.to, octets });
    }

    /// A response to a request of ours.
    pub(super) fn on_response(&mut self, now: Now, message: &Message<'_>) {
        let (Some(status), Some(branch)) = (message.status(), message.via().branch) else { return };
        let cseq = message.cseq();
        let Some((_, step)) = self.clients.on_response(now.mono, branch, cseq.method.as_str(), status) else {
            return;
        };
        if let Step::Ended(ClientAction::Deliver, outgoing) = step {
            self.on_final(now, outgoing, status, message);
        }
    }

    fn on_final(&mut self, now: Now, mut outgoing: Outgoing, status: u16, message: &Message<'_>) {
        match status {
            200..=299 => self.finish(now, outgoing, Ok(())),
            401 | 407 if self.answer_challenge(&mut outgoing, status, message) => self.start(now, outgoing),
            503 => {
                let wait = message.header(Name::RetryAfter).and_then(retry_after);
                self.elsewhere(now, outgoing, wait, Condition::InternalServerError, 503, reason(message));
            }
            _ => {
                let condition = condition_of(status);
                let why = reason(message).to_owned();
                let moved = message.contacts().find_map(|contact| match contact {
                    Ok(Contact::Address(address)) => {
                        map::jid_from_uri(&address.address, &map::MapOptions::default()).ok()
                    }
                    Ok(Contact::Star) | Err(_) => None,
                });
                outgoing.moved_to = new_address(status, moved.as_ref());
                self.finish(now, outgoing, Err((condition, status, why)));
            }
        }
    }

    /// What the transaction timers want.
    pub(super) fn on_client_timers(&mut self, now: Now) {
        let mut again = Vec::new();
        let mut over = Vec::new();
        self.clients.on_timer(now.mono, &mut |key, _, step| match step {
            Step::Kept(ClientAction::Retransmit, _) => again.push(key),
            Step::Ended(ClientAction::Timeout, outgoing) => over.push(outgoing),
            Step::Kept(..) | Step::Ended(..) => {}
        });
        for key in again {
            self.write_request(key);
        }
        for outgoing in over {
            let why = "the SIP server did not answer";
            self.elsewhere(now, outgoing, None, Condition::RemoteServerTimeout, 504, why);
        }
    }

    /// The connection that carried a request is gone: it is tried elsewhere.
    pub(super) fn on_connection_lost(&mut self, now: Now, outgoing: Outgoing) {
        let why = "the connection to the SIP server was lost";
        self.elsewhere(now, outgoing, None, Condition::RemoteServerTimeout, 504, why);
    }

    /// RFC 3263 §4.3: a server that failed is left alone, and the request goes to the next one in a
    /// new transaction, if there is one. Otherwise its sender hears of the failure.
    fn elsewhere(
        &mut self,
        now: Now,
        outgoing: Outgoing,
        wait: Option<Duration>,
        condition: Condition,
        status: u16,
        why: &str,
    ) {
        let another = match outgoing.way {
            Some(way) if outgoing.tries < MAX_TRIES => {
                self.peers.on_failed(now, outgoing.peer, way, wait, &mut self.effects)
            }
            Some(_) | None => false,
        };
        if another {
            self.start(now, outgoing);
            return;
        }
        if status == 504 {
            self.fail_queue(now, &outgoing, condition, status, why);
        }
        self.finish(now, outgoing, Err((condition, status, why.to_owned())));
    }

    /// All that waits behind `outgoing` fails as it does.
    fn fail_queue(&mut self, now: Now, outgoing: &Outgoing, condition: Condition, status: u16, why: &str) {
        let queue = self.targets.get_mut(outgoing.pager.target()).map(std::mem::take).unwrap_or_default();
        self.queued = self.queued.saturating_sub(queue.len());
        for waiting in queue {
            self.fail(now, waiting, condition, status, why);
        }
    }

    /// A message is answered: its sender hears of a failure, and the next one for its target starts.
    pub(super) fn finish(
        &mut self,
        now: Now,
        outgoing: Outgoing,
        outcome: Result<(), (Condition, u16, String)>,
    ) {
        let target = outgoing.pager.target().to_owned();
        match outcome {
            Ok(()) => self.delivered(&outgoing),
            Err((condition, status, why)) => self.fail(now, outgoing, condition, status, &why),
        }
        let next = self.targets.get_mut(target.as_str()).and_then(VecDeque::pop_front);
        match next {
            Some(next) => {
                self.queued = self.queued.saturating_sub(1);
                self.start(now, next);
            }
            None => {
                self.targets.remove(target.as_str());
            }
        }
    }

    fn delivered(&mut self, outgoing: &Outgoing) {
        self.counts.delivered[1] += 1;
        if self.settings.deliveries
            && let Some(origin) = &outgoing.origin
        {
            self.effects.observe(Observation::Delivered {
                trace: outgoing.pager.trace().to_owned(),
                direction: Direction::XmppToSip,
                from: origin.from.clone(),
                to: origin.to.clone(),
            });
        }
    }

    /// Tells the sender of `outgoing` that it was not delivered: once, with the id of its stanza.
    pub(super) fn fail(
        &mut self,
        now: Now,
        outgoing: Outgoing,
        condition: Condition,
        status: u16,
        why: &str,
    ) {
        self.counts.failed[1] += 1;
        let Some(origin) = outgoing.origin else { return };
        let mut error = StanzaError::from(condition);
        let text = one_line(why, 200);
        error.text = (!text.is_empty()).then(|| text.into());
        error.address = outgoing.moved_to.as_deref().map(Into::into);
        let answered = Answered {
            element: "message",
            from: origin.from.as_str(),
            to: origin.to.as_str(),
            id: origin.id.as_deref(),
            type_: None,
        };
        let start = self.effects.mark();
        if write_error(self.effects.buffer(), &answered, &error) {
            self.send_stanza(now, (origin.to.domain(), origin.from.domain()), start, None);
        }
        self.effects.observe(Observation::Failed {
            trace: outgoing.pager.trace().to_owned(),
            direction: Direction::XmppToSip,
            from: origin.from,
            to: origin.to,
            condition,
            status,
            why: why.to_owned(),
        });
    }

    /// Puts our credentials for a challenge into the request (RFC 3261 §22.2). False if there are none
    /// or the challenge can't be met.
    fn answer_challenge(&mut self, outgoing: &mut Outgoing, status: u16, message: &Message<'_>) -> bool {
        let name = if status == 401 { Name::WwwAuthenticate } else { Name::ProxyAuthenticate };
        let credentials = self.settings.credentials(outgoing.peer);
        outgoing.pager.answer_challenge(status, message.headers(name), credentials, &mut self.ids)
    }
}

fn reason<'m>(message: &Message<'m>) -> &'m str {
    match message.start {
        Start::Response { reason, .. } => reason,
        Start::Request { .. } => "",
    }
}

/// Seconds of a Retry-After value (RFC 3261 §20.33); what follows them does not matter here.
fn retry_after(value: &str) -> Option<Duration> {
    let digits = value.trim().split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse::<u32>().ok().map(|seconds| Duration::from_secs(u64::from(seconds.min(3600))))
}
