//! Requests on their way to SIP users: messages, one outstanding for each target, and the SUBSCRIBEs and
//! NOTIFYs of watches. Each has its transaction, and then whoever it is for hears of the answer.
//!
//! RFC 3428 §8: a UAC sends no MESSAGE out of a dialog to a target while another one to it is
//! pending. So each target has a queue, its front is in the air, and the order in which two people
//! write to each other is kept. When a target's server does not answer at all, its whole queue fails
//! together: nobody waits 32 s for each message in turn.

mod ending;

use super::Gateway;
use super::effect::{Effect, PeerId};
use super::peers::{Freed, Handed, Turn, Way};
use super::presence::EventOf;
use super::sessions::SessionLoad;
use super::trail::{Carrier, Track, What};
use super::undelivered::explain;
pub use super::undelivered::{Origin, Undelivered};
use crate::addr::map;
use crate::bridge::errors::{condition_of, new_address};
use crate::crossing::{Crossing, Direction, Kind};
use crate::now::{Mono, Now};
use crate::sip::link::LinkId;
use crate::sip::locate::failover::Failure;
use crate::sip::locate::{Place, Transport};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::name::Name;
use crate::sip::pager::Pager;
use crate::sip::subscription::EventRequest;
use crate::sip::txn::{ClientAction, ClientKey, Part, Step};
use crate::sip::value::{Contact, retry_after};
use crate::xmpp::error::Condition;
use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::time::Duration;

/// How long a message may wait for those before it, unless the queue timeout is longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a message that was started late still waits for its answer. With the 32 s of Timer F and the
/// usual queue timeout, nobody waits longer than 45 s.
const LAST_CHANCE: Duration = Duration::from_secs(15);
/// What is said of a message that waited while the right to it was taken away.
pub(super) const NO_LONGER: &str = "the policy no longer allows it";
/// What the sender of a message hears that is too long.
pub(super) const TOO_LONG: &str = "the message is longer than the recipient's network takes";
/// How often one message is sent, to whatever server.
const MAX_TRIES: u8 = 3;

/// What a request carries.
#[derive(Debug)]
pub(super) enum Load {
    /// A message, and where it came from. A notice of ours has no origin, and nobody hears of its failure.
    Message { pager: Pager, origin: Option<Origin> },
    /// A SUBSCRIBE or NOTIFY of a watch.
    Event(Box<EventLoad>),
    /// A request of a session.
    Session(Box<SessionLoad>),
    /// The ACK of an INVITE that failed, for copies of its answer: the session knows.
    Acknowledged(Box<[u8]>),
}

/// A request of a watch.
///
/// DEVIATES RFC 3261 §8.1.2, §12.2.1.1: it goes to the servers of the peer whatever its route says, for
/// they alone are proven to speak for the domain. The route is written, for them to follow.
#[derive(Debug)]
pub(super) struct EventLoad {
    pub(super) request: EventRequest,
    pub(super) of: EventOf,
}

/// A request that waits, or is in the air.
#[derive(Debug)]
pub struct Outgoing {
    /// Whose servers it goes to.
    pub peer: PeerId,
    /// The servers that it was sent to, or that could not be reached for it.
    pub tried: Vec<Place>,
    /// When it came.
    pub(super) came: Mono,
    /// It is not sent after this.
    pub until: Mono,
    /// Its crossing on record.
    pub(super) track: Track,
    /// It is not started after this.
    start_by: Mono,
    pub(super) load: Load,
    /// The tables that it was last judged by.
    tables: u32,
    tries: u8,
    pub(super) way: Option<Way>,
    /// A provisional response came: the server has it.
    heard: bool,
    /// Where the user has moved, as a URI.
    moved_to: Option<String>,
    /// How the first server failed it, for the sender if no other does better.
    failure: Option<Undelivered>,
    /// Seconds after which a server that answered 503 wants to be asked again.
    retry_after: Option<u32>,
    /// The ways in which the text was refused before: see `sessions::auto`.
    pub(super) refused: u8,
}

impl Outgoing {
    /// A request for `peer` that came at `now`.
    pub(super) fn new(now: Mono, peer: PeerId, load: Load, timeout: Duration) -> Self {
        Self {
            peer,
            tried: Vec::new(),
            came: now,
            until: now + timeout,
            track: Track::default(),
            start_by: now + timeout.max(PATIENCE),
            load,
            tables: 0,
            tries: 0,
            way: None,
            heard: false,
            moved_to: None,
            failure: None,
            retry_after: None,
            refused: 0,
        }
    }

    fn method(&self) -> Method<'static> {
        match &self.load {
            Load::Message { .. } => Method::Message,
            Load::Event(event) => event.request.method(),
            Load::Session(load) => load.request.method(),
            Load::Acknowledged(_) => Method::Ack,
        }
    }

    /// What it costs to keep it, in octets: the same as long as it lives.
    pub(super) fn octets(&self) -> usize {
        match &self.load {
            // The addresses of its origin are in the pager too.
            Load::Message { pager, .. } => size_of::<Self>() + 2 * pager.octets(),
            Load::Event(_) | Load::Session(_) | Load::Acknowledged(_) => 0,
        }
    }

    /// The user whose turn it waits for, if it waits for one.
    pub(super) fn target(&self) -> Option<&str> {
        match &self.load {
            Load::Message { pager, .. } => Some(pager.target()),
            Load::Event(_) | Load::Session(_) | Load::Acknowledged(_) => None,
        }
    }

    /// A provisional response came.
    pub(super) fn was_heard(&mut self) {
        self.heard = true;
    }

    /// Was it sent, and by a connection that did not fail it?
    pub(super) fn was_sent(&self) -> bool {
        self.way.is_some()
    }

    /// Seconds after which a server that answered 503 wants to be asked again.
    pub(super) fn retry_after(&self) -> Option<u32> {
        self.retry_after
    }

    /// Was it sent over `link`?
    pub(super) fn is_on(&self, link: LinkId) -> bool {
        self.way.is_some_and(|way| way.link == link && way.to.is_none())
    }
}

type Attempt = Result<(), Box<(Outgoing, Undelivered)>>;

impl Gateway {
    /// Sends `outgoing`, now or behind what its target has not answered yet.
    pub(super) fn send_message(&mut self, now: Now, mut outgoing: Outgoing) {
        outgoing.tables = self.tables;
        let Some(target) = outgoing.target() else { return self.start(now, outgoing) };
        let full = |why: &str| Undelivered::alone(Condition::ResourceConstraint, 503, why);
        let held = self.held + outgoing.octets();
        if held > self.settings.pairs.octets {
            return self.fail(now, outgoing, full("too many messages wait"));
        }
        let is_full = self.targets.len() >= self.settings.targets;
        match self.targets.entry(target.into()) {
            Entry::Occupied(queue) if queue.get().len() >= self.settings.target_queue => {
                return self.fail(now, outgoing, full("too many messages wait for this user"));
            }
            Entry::Occupied(queue) => {
                self.effects.trail.step(now.mono, outgoing.track, What::WaitsForTurn);
                queue.into_mut().push_back(outgoing);
                self.queued += 1;
                self.held = held;
                return;
            }
            Entry::Vacant(_) if is_full => {
                return self.fail(now, outgoing, full("too many messages are under way"));
            }
            Entry::Vacant(place) => place.insert(VecDeque::new()),
        };
        self.held = held;
        self.start(now, outgoing);
    }

    /// Starts a message, and those behind it as long as each fails at once.
    pub(super) fn start(&mut self, now: Now, outgoing: Outgoing) {
        let mut next = Some(outgoing);
        while let Some(outgoing) = next.take() {
            if let Err(failed) = self.attempt(now, outgoing) {
                let (outgoing, failure) = *failed;
                next = self.settle(now, outgoing, Err(failure));
            }
        }
    }

    /// Starts the transaction, or waits for a link to start it on.
    fn attempt(&mut self, now: Now, outgoing: Outgoing) -> Attempt {
        let Self { peers, links, ids, effects, due, .. } = self;
        let turn = &mut Turn { now, links, ids, fx: effects, due };
        let track = outgoing.track;
        let (outgoing, failure) = match peers.hand(turn, outgoing) {
            Handed::Send(way, outgoing) => return self.transmit(now, way, outgoing),
            Handed::Waits => {
                self.effects.trail.step(now.mono, track, What::WaitsForLink);
                return Ok(());
            }
            Handed::Full(outgoing) => {
                (outgoing, Undelivered::alone(Condition::ResourceConstraint, 503, "the queue is full"))
            }
            Handed::Late(outgoing) => {
                let why = "the messages before it took too long";
                (outgoing, Undelivered::alone(Condition::RemoteServerTimeout, 504, why))
            }
            Handed::Spent(outgoing) => {
                let why = "the SIP server wants to be left alone";
                (outgoing, Undelivered::alone(Condition::InternalServerError, 503, why))
            }
        };
        Err(Box::new((outgoing, failure)))
    }

    /// The link that some messages waited for is up.
    pub(super) fn on_way(&mut self, now: Now, way: Way, waited: Vec<Outgoing>) {
        for outgoing in waited {
            if let Err(failed) = self.transmit(now, way, outgoing) {
                let (outgoing, failure) = *failed;
                self.finish(now, outgoing, Err(failure));
            }
        }
    }

    /// What messages waited for has come, or will not.
    pub(super) fn on_freed(&mut self, now: Now, freed: Freed, failure: &Undelivered) {
        for mut outgoing in freed.again {
            if !outgoing.tried.is_empty() {
                outgoing.failure.get_or_insert_with(|| failure.clone());
            }
            self.start(now, outgoing);
        }
        for outgoing in freed.back {
            self.finish(now, outgoing, Err(failure.clone()));
        }
    }

    /// Puts a request on the wire in a new transaction.
    fn transmit(&mut self, now: Now, way: Way, mut outgoing: Outgoing) -> Attempt {
        if let Load::Event(event) = &outgoing.load
            && !self.still_counts(event)
        {
            let failure = Undelivered::alone(Condition::Forbidden, 403, NO_LONGER);
            return Err(Box::new((outgoing, failure)));
        }
        if let Load::Session(load) = &outgoing.load
            && !self.session_may_send(load)
        {
            let failure = Undelivered::alone(Condition::Forbidden, 403, NO_LONGER);
            return Err(Box::new((outgoing, failure)));
        }
        if outgoing.tables != self.tables && !self.may_still(&outgoing) {
            let failure = Undelivered::alone(Condition::Forbidden, 403, NO_LONGER);
            return Err(Box::new((outgoing, failure)));
        }
        if let (Transport::Udp, Load::Message { pager, .. }) = (way.transport, &outgoing.load) {
            // RFC 3428 §8, RFC 3261 §18.1.1. While there was no link, nobody knew.
            let limit = self.settings.message_limit(outgoing.peer, Some(way.transport));
            if !pager.fits(limit, &self.settings.sent(way.transport)) {
                let failure = Undelivered::alone(Condition::PolicyViolation, 513, TOO_LONG);
                return Err(Box::new((outgoing, failure)));
            }
        }
        let answer_by = outgoing.load.hurry(now).unwrap_or(outgoing.start_by + LAST_CHANCE);
        self.effects.trail.step(now.mono, outgoing.track, What::Sent(Carrier::Link(way.link)));
        outgoing.way = Some(way);
        outgoing.tries += 1;
        let reliability = way.transport.reliability();
        let (method, is_message) = match &outgoing.load {
            Load::Message { .. } => ("MESSAGE", true),
            Load::Event(event) => (event.request.method().as_str(), false),
            Load::Session(load) if load.request.method() == Method::Ack => {
                self.write_ack_of_success(way, &load.request);
                return Ok(());
            }
            Load::Session(load) => (load.request.method().as_str(), false),
            Load::Acknowledged(_) => return Ok(()),
        };
        match self.clients.start(now.mono, method, reliability, Some(outgoing), &mut self.ids) {
            Ok(key) => {
                if is_message {
                    self.clients.limit(key, answer_by);
                }
                self.write_request(key);
                Ok(())
            }
            Err(full) => match full.0 {
                Some(outgoing) => {
                    let why = "too many transactions are open";
                    let failure = Undelivered::alone(Condition::ResourceConstraint, 503, why);
                    Err(Box::new((outgoing, failure)))
                }
                None => Ok(()),
            },
        }
    }

    /// Has the table changed since it was admitted, and does it still let it cross?
    fn may_still(&self, outgoing: &Outgoing) -> bool {
        match &outgoing.load {
            Load::Message { origin: Some(Origin { from, to, .. }), .. } => {
                let direction = Direction::XmppToSip;
                let crossing = Crossing { sender: from, target: to, direction, kind: Kind::Message };
                self.judge(&crossing).is_ok()
            }
            // A notice of ours; a request of a watch, which ends otherwise.
            Load::Message { origin: None, .. } | Load::Event(_) => true,
            // Judged by its session.
            Load::Session(_) | Load::Acknowledged(_) => true,
        }
    }

    /// Writes the request of `key`, for the first time or again.
    pub(super) fn write_request(&mut self, key: ClientKey) {
        let Some(Some(outgoing)) = self.clients.value(key) else { return };
        let Some(way) = outgoing.way else { return };
        let start = self.effects.mark();
        let sent = self.settings.sent(way.transport);
        let (branch, out) = (key.branch(), self.effects.buffer());
        match &outgoing.load {
            Load::Message { pager, .. } => pager.write(&sent, branch.as_str(), out),
            Load::Event(event) => event.request.write(&sent, branch.as_str(), out),
            Load::Session(load) => load.request.write(&sent, branch.as_str(), out),
            Load::Acknowledged(ack) => out.extend_from_slice(ack),
        }
        let octets = self.effects.since(start);
        self.effects.push(Effect::SipSend { link: way.link, to: way.to, octets });
    }

    /// A response to a request of ours.
    ///
    /// DEVIATES RFC 3261 §18.1.2: sent-by is not compared, because a branch that only we can mint says more.
    pub(super) fn on_response(&mut self, now: Now, message: &Message<'_>) {
        if message.via_count() > 1 {
            // RFC 3261 §8.1.3.3: it was meant for somebody else.
            return;
        }
        let (Some(status), Some(branch)) = (message.status(), message.via().branch) else { return };
        let cseq = message.cseq();
        if cseq.method == Method::Invite {
            return self.on_invite_response(now, branch, status, message);
        }
        let step = self.clients.on_response(now.mono, branch, cseq.method.as_str(), status);
        let outgoing = match step.map(|(_, step)| step) {
            Some(Step::Ended(ClientAction::Deliver, outgoing)) => outgoing,
            // On UDP the transaction goes on for copies of this response, without the message.
            Some(Step::Kept(ClientAction::Deliver, outgoing)) if status >= 200 => outgoing.take(),
            Some(Step::Kept(ClientAction::Deliver, Some(outgoing))) => {
                if !std::mem::replace(&mut outgoing.heard, true) {
                    self.effects.trail.step(now.mono, outgoing.track, What::Answered(status));
                }
                None
            }
            Some(Step::Kept(..) | Step::Ended(..)) | None => None,
        };
        if let Some(outgoing) = outgoing {
            self.on_final(now, outgoing, status, message);
        }
    }

    /// A final response came for the first time.
    pub(super) fn on_final(&mut self, now: Now, mut outgoing: Outgoing, status: u16, message: &Message<'_>) {
        self.meter.asked(outgoing.method(), status);
        self.effects.trail.step(now.mono, outgoing.track, What::Answered(status));
        if let Load::Event(event) = &outgoing.load
            && !matches!(status, 401 | 407 | 503)
        {
            return self.on_event_answered(now, event.of, status, message);
        }
        if let Load::Session(load) = &outgoing.load
            && !matches!(status, 401 | 407 | 503)
        {
            return self.on_session_answer(now, load, status, message);
        }
        if self.goes_again_as_text(now, &mut outgoing, status) {
            return self.start(now, outgoing);
        }
        match status {
            200..=299 => self.finish(now, outgoing, Ok(())),
            401 | 407 if self.answer_challenge(&mut outgoing, status, message) => {
                // To the same server.
                outgoing.tried.pop();
                outgoing.failure = Some(Undelivered::alone(condition_of(status), status, explain(message)));
                self.start(now, outgoing);
            }
            503 => {
                let seconds = message.header(Name::RetryAfter).and_then(|value| retry_after(value).ok());
                outgoing.retry_after = seconds;
                let wait = seconds.map(|seconds| Duration::from_secs(seconds.into()));
                let failure = Undelivered::alone(Condition::InternalServerError, 503, explain(message));
                self.elsewhere(now, outgoing, Failure::of_status(status, wait), failure);
            }
            _ => {
                let failure = Undelivered::alone(condition_of(status), status, explain(message));
                let moved = message.contacts().find_map(|contact| match contact {
                    Ok(Contact::Address(address)) => {
                        map::jid_from_uri(&address.address, &map::MapOptions::default()).ok()
                    }
                    Ok(Contact::Star) | Err(_) => None,
                });
                outgoing.moved_to = new_address(status, moved.as_ref());
                self.finish(now, outgoing, Err(failure));
            }
        }
    }

    /// What the transaction timers want.
    pub(super) fn on_client_timers(&mut self, now: Now) {
        let mut again = Vec::new();
        let mut over = Vec::new();
        let mut cancels = Vec::new();
        self.clients.on_timer(now.mono, &mut |key, part, step| match step {
            Step::Kept(ClientAction::Retransmit, _) if part == Part::Cancel => cancels.push(key),
            Step::Kept(ClientAction::Retransmit, _) => again.push(key),
            Step::Ended(ClientAction::Timeout, outgoing) => over.extend(outgoing),
            Step::Kept(..) | Step::Ended(..) => {}
        });
        for key in again {
            self.write_request(key);
        }
        for key in cancels {
            self.write_cancel(key);
        }
        for outgoing in over {
            // RFC 3261 §8.1.3.1: silence counts as 408.
            self.meter.asked(outgoing.method(), 408);
            let why = "the SIP server did not answer";
            if outgoing.load.hurry(now).is_some() {
                self.give_up_status(now, outgoing);
                continue;
            }
            let failure = Undelivered::together(Condition::RemoteServerTimeout, 504, why);
            let failed = Failure::of_timeout(outgoing.heard);
            self.elsewhere(now, outgoing, failed, failure);
        }
    }

    /// The connection that carried requests is gone: their senders hear so. They may have arrived, so they
    /// are not sent again: a message that comes twice is worse than one whose sender is in doubt.
    ///
    /// DEVIATES RFC 3263 §4.3, as after Timer F. What had not been sent goes to the next connection.
    pub(super) fn on_connection_lost(&mut self, now: Now, link: LinkId) {
        let on_link = |outgoing: &Option<Outgoing>| outgoing.as_ref().is_some_and(|o| o.is_on(link));
        for key in self.clients.select(on_link) {
            let Some(Some(mut outgoing)) = self.clients.forget(key) else { continue };
            if outgoing.is_answered_invite() {
                continue;
            }
            if matches!(&outgoing.load, Load::Event(event) if event.request.method() == Method::Notify) {
                // A state that comes twice does no harm, one that is lost does.
                outgoing.tried.pop();
                outgoing.way = None;
                self.start(now, outgoing);
                continue;
            }
            let why = "the connection to the SIP server was lost";
            self.finish(now, outgoing, Err(Undelivered::alone(Condition::RemoteServerTimeout, 504, why)));
        }
    }

    /// RFC 3263 §4.3: the request goes to the next server in a new transaction, if there is one.
    /// Otherwise its sender hears of the failure.
    ///
    /// DEVIATES RFC 3263 §4.3: not after Timer F, because its sender has waited 32 s then, and the
    /// silent server may have delivered it. That server is passed over for what comes next.
    fn elsewhere(&mut self, now: Now, mut outgoing: Outgoing, failed: Option<Failure>, failure: Undelivered) {
        if let (Some(failed), Some(way)) = (failed, outgoing.way) {
            self.peers.on_failed(now, outgoing.peer, way, failed);
        }
        if outgoing.tries >= MAX_TRIES || now.mono >= outgoing.until {
            return self.finish(now, outgoing, Err(failure));
        }
        outgoing.failure.get_or_insert(failure);
        self.start(now, outgoing);
    }
}
