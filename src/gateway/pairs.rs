//! The way to XMPP partners: one initiating stream for each domain pair, made when it is needed.
//!
//! Owns: for each pair (our domain, the partner's) its stream, the stanzas that wait while the stream
//! is being made, and who is to be told when a stanza is written. Never decides whether something
//! may cross: what comes here was admitted, or is our own answer.
//!
//! ```text
//!            send                    StreamUp                  Written(mark)
//!   Idle ───────────▶ Dialing ─────────────────▶ Up ── custody up to mark is released ──▶
//!    ▲ ▲  (DialXmpp)     │ StreamDown             │ StreamDown
//!    │ └─── back-off ◀───┴── all that wait bounces┘   (unwritten custody bounces too)
//!    └───── back-off over (nothing waits: stay idle; something waits: dial)
//! ```
//!
//! Reconnecting waits a random time and then exponentially longer (RFC 6120 §3.3), at most a minute.
//! An item waits `queue_timeout` at most; then it is bounced and gone. One that is in a stream's
//! buffer can't be taken back: when the peer has not read it by then, the stream ends, and what the
//! kernel does not have bounces. A pair keeps the order in which its stanzas came (RFC 6120 §10.1):
//! they go to one stream, through one queue.

use super::backoff::{SOON, backoff};
use super::effect::{Due, Effect, Effects, Timer};
use super::meter::Standing;
use super::observe::Observation;
use super::presence::WatchRef;
use crate::addr::Domain;
use crate::ids::{Ids, Numbers};
use crate::now::{Mono, Now};
use crate::sip::txn::ServerKey;
use crate::xmpp::error::{Condition, StreamCondition};
use crate::xmpp::{Outcome, Pair, Purpose, StreamId, Terms, Verify, VerifyAnswer};
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Limits of this room.
#[derive(Clone, Debug)]
pub struct PairSettings {
    /// Stanzas that may wait for one pair.
    pub queue: usize,
    /// Octets that all waiting stanzas may have together.
    pub octets: usize,
    /// How long a stanza waits at most.
    pub queue_timeout: Duration,
    /// Domain pairs that are remembered at once.
    pub pairs: usize,
    /// Dialback questions open at once.
    pub verifications: usize,
}

impl Default for PairSettings {
    fn default() -> Self {
        Self {
            queue: 1000,
            octets: 64 * 1024 * 1024,
            queue_timeout: Duration::from_secs(10),
            pairs: 10_000,
            verifications: 1000,
        }
    }
}

/// How long a stanza that a SIP request waits for may take in all, whatever the queue timeout: with
/// the time to close a stream, its answer comes before its transaction ends after 32 s.
const ANSWER_WITHIN: Duration = Duration::from_secs(28);
/// The longest back-off between two attempts, in milliseconds.
const BACKOFF_LIMIT: u64 = 60_000;

/// What a route to a partner needs to be made: from the partner's entry in the table.
pub trait Partners {
    /// How `local` may talk to `remote`; None if it may not.
    fn route(&self, local: &str, remote: &str) -> Option<(Terms, Option<(Domain, u16)>)>;
}

/// Who wants to hear what becomes of a stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    /// The sender of the SIP request that it came from.
    Request(ServerKey),
    /// The sender of a message that came by MSRP.
    Msrp(u64),
    /// A watch. It hears only of what is not delivered.
    Watch(WatchRef),
}

/// A stanza that will not be delivered.
#[derive(Debug, PartialEq, Eq)]
pub struct Bounce {
    /// Who hears of it.
    pub answer: Awaits,
    /// Why.
    pub condition: Condition,
}

/// All pairs.
pub struct Pairs {
    settings: PairSettings,
    pairs: Slab<Route>,
    /// Remote domain → the pairs with it (few: one for each of our domains).
    by_remote: HashMap<Domain, Vec<usize>>,
    by_stream: HashMap<StreamId, usize>,
    /// Octets of all stanzas that wait.
    held: usize,
    /// Dialback questions that are open; each is answered exactly once.
    verifying: usize,
    streams: Numbers,
    /// No pair backs off longer.
    backing_off: Mono,
}

struct Route {
    pair: Pair,
    state: State,
    waiting: VecDeque<Waiting>,
    /// Written to the stream, not yet known to be in the kernel.
    custody: VecDeque<Custody>,
    /// When the timer for the oldest that waits is due.
    armed: Option<Mono>,
    /// When the timer for the oldest in custody is due.
    watched: Option<Mono>,
    mark: u64,
    failures: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    BackOff(Mono),
    Dialing(StreamId),
    Up(StreamId),
    /// It is being closed by us; what comes now waits for its end and bounces.
    Closing(StreamId),
}

struct Custody {
    mark: u64,
    /// Whom to tell.
    answer: Awaits,
    until: Mono,
}

struct Waiting {
    stanza: Vec<u8>,
    answer: Option<Awaits>,
    since: Mono,
    until: Mono,
}

impl Pairs {
    /// No pairs yet; streams have names of `shard`.
    pub fn new(settings: PairSettings, shard: u8) -> Self {
        Self {
            settings,
            pairs: Slab::new(),
            by_remote: HashMap::new(),
            by_stream: HashMap::new(),
            held: 0,
            verifying: 0,
            streams: Numbers::new(shard),
            backing_off: Mono::default(),
        }
    }

    /// Other limits, for what comes from now on.
    pub fn set_limits(&mut self, settings: PairSettings) {
        self.settings = settings;
    }

    /// A name for a new stream, whoever opens it.
    pub fn mint_stream(&mut self) -> StreamId {
        StreamId(self.streams.mint())
    }

    /// Sends the stanza that stands in `fx` since `start`, or keeps it until the stream is there.
    ///
    /// # Errors
    /// The condition for its sender: nothing was sent, and `answer` will not be heard of again.
    #[allow(clippy::too_many_arguments)]
    pub fn send(
        &mut self,
        now: Now,
        (local, remote): (&str, &str),
        start: usize,
        answer: Option<Awaits>,
        partners: &dyn Partners,
        fx: &mut Effects,
        due: &mut Vec<Due>,
    ) -> Result<(), Condition> {
        let key = self.route(local, remote)?;
        let Some(route) = self.pairs.get_mut(key) else { return Err(Condition::InternalServerError) };
        let since = now.mono;
        let until = since + self.settings.queue_timeout.min(ANSWER_WITHIN);
        if let State::Up(stream) = route.state {
            route.write(stream, start, answer, until, fx);
            route.watch(key, due);
            return Ok(());
        }
        let held = self.held + (fx.mark() - start);
        if route.waiting.len() >= self.settings.queue || held > self.settings.octets {
            fx.rewind(start);
            if route.state == State::Idle {
                self.forget(key);
            }
            return Err(Condition::ResourceConstraint);
        }
        let stanza = fx.octets(&fx.since(start)).to_vec();
        fx.rewind(start);
        self.held = held;
        route.waiting.push_back(Waiting { stanza, answer, since, until });
        route.arm(key, due);
        if route.state == State::Idle && !self.dial(key, partners, fx) {
            self.bounce_waiting(key, Condition::RemoteServerNotFound);
            self.forget(key);
            return Err(Condition::RemoteServerNotFound);
        }
        Ok(())
    }

    /// A stream that we opened is authenticated for its pair: what waited goes out, in order.
    pub fn on_up(
        &mut self,
        now: Now,
        stream: StreamId,
        auth: &'static str,
        partners: &dyn Partners,
        fx: &mut Effects,
        due: &mut Vec<Due>,
    ) {
        let Some(&key) = self.by_stream.get(&stream) else { return };
        let Some(route) = self.pairs.get_mut(key) else { return };
        if route.state != State::Dialing(stream) {
            return;
        }
        if partners.route(route.pair.local.as_str(), route.pair.remote.as_str()).is_none() {
            // The table has changed since it was dialled.
            route.state = State::Closing(stream);
            fx.push(Effect::XmppClose { stream, condition: None });
            return;
        }
        route.state = State::Up(stream);
        route.failures = 0;
        fx.observe(Observation::PairUp {
            local: route.pair.local.to_string(),
            remote: route.pair.remote.to_string(),
            auth,
        });
        let latest = now.mono + self.settings.queue_timeout;
        for waiting in std::mem::take(&mut route.waiting) {
            self.held -= waiting.stanza.len();
            let start = fx.mark();
            fx.buffer().extend_from_slice(&waiting.stanza);
            route.write(stream, start, waiting.answer, latest.min(waiting.since + ANSWER_WITHIN), fx);
        }
        route.watch(key, due);
    }

    /// The kernel has every stanza of `stream` up to `mark`: whom to acknowledge, in order.
    pub fn on_written(&mut self, stream: StreamId, mark: u64, mut acknowledge: impl FnMut(Awaits)) {
        let Some(route) = self.by_stream.get(&stream).and_then(|key| self.pairs.get_mut(*key)) else {
            return;
        };
        while route.custody.front().is_some_and(|custody| custody.mark <= mark) {
            let Some(Custody { answer, .. }) = route.custody.pop_front() else { break };
            acknowledge(answer);
        }
    }

    /// A stream that we opened is gone, or was never made: all that hung on it bounces.
    #[allow(clippy::too_many_arguments)]
    pub fn on_down(
        &mut self,
        now: Now,
        stream: StreamId,
        condition: Condition,
        why: &str,
        ids: &mut Ids,
        fx: &mut Effects,
        due: &mut Vec<Due>,
    ) -> Vec<Bounce> {
        let Some(key) = self.by_stream.remove(&stream) else { return Vec::new() };
        let Some(route) = self.pairs.get_mut(key) else { return Vec::new() };
        let was_up = route.state == State::Up(stream);
        let mut bounces: Vec<Bounce> = route
            .custody
            .drain(..)
            .map(|Custody { answer, .. }| Bounce { answer, condition: Condition::RemoteServerTimeout })
            .collect();
        bounces.extend(route.drain(&mut self.held).map(|answer| Bounce { answer, condition }));
        if was_up && bounces.is_empty() {
            // An orderly end, such as an idle stream closed: nothing to wait for.
            route.state = State::Idle;
        } else {
            route.failures = route.failures.saturating_add(1);
            let at = now.mono + backoff(route.failures, 1000, BACKOFF_LIMIT, ids);
            route.state = State::BackOff(at);
            self.backing_off = self.backing_off.max(at);
            due.push(Due { at, what: Timer::Pair(key) });
        }
        fx.observe(Observation::PairDown {
            local: route.pair.local.to_string(),
            remote: route.pair.remote.to_string(),
            why: why.to_owned(),
            bounced: bounces.len(),
        });
        if route.state == State::Idle {
            self.forget(key);
        }
        bounces
    }

    /// Something came from a partner's domain: it is there again, so no attempt waits longer than [`SOON`].
    pub fn heard(&mut self, now: Now, remote: &str, due: &mut Vec<Due>) {
        if now.mono >= self.backing_off {
            return;
        }
        let at = now.mono + SOON;
        for key in self.by_remote.get(remote).into_iter().flatten() {
            if let Some(route) = self.pairs.get_mut(*key)
                && matches!(route.state, State::BackOff(until) if until > at)
            {
                route.state = State::BackOff(at);
                due.push(Due { at, what: Timer::Pair(*key) });
            }
        }
    }

    /// A deadline of pair `key`: what waited too long bounces, and a back-off may be over.
    pub fn on_timer(
        &mut self,
        now: Now,
        key: usize,
        partners: &dyn Partners,
        fx: &mut Effects,
        due: &mut Vec<Due>,
    ) -> Vec<Bounce> {
        let mut bounces = Vec::new();
        let Some(route) = self.pairs.get_mut(key) else { return bounces };
        while route.waiting.front().is_some_and(|waiting| waiting.until <= now.mono) {
            let Some(waiting) = route.waiting.pop_front() else { break };
            self.held -= waiting.stanza.len();
            let condition = Condition::RemoteServerTimeout;
            bounces.extend(waiting.answer.map(|answer| Bounce { answer, condition }));
        }
        if route.armed.is_some_and(|at| at <= now.mono) {
            route.armed = None;
        }
        route.arm(key, due);
        if route.watched.is_some_and(|at| at <= now.mono) {
            route.watched = None;
            match (route.custody.front(), route.state) {
                (Some(oldest), State::Up(stream)) if oldest.until <= now.mono => {
                    route.state = State::Closing(stream);
                    let condition = Some(StreamCondition::ConnectionTimeout);
                    fx.push(Effect::XmppClose { stream, condition });
                }
                (Some(_), State::Up(_)) => route.watch(key, due),
                (Some(_) | None, _) => {}
            }
        }
        let over = matches!(route.state, State::BackOff(until) if until <= now.mono);
        if over {
            route.state = State::Idle;
            if route.waiting.is_empty() {
                self.forget(key);
            } else if !self.dial(key, partners, fx) {
                bounces.extend(self.bounce_waiting(key, Condition::RemoteServerNotFound));
            }
        }
        bounces
    }

    /// The table changed: streams to domains that may no longer be talked to end, and what waited
    /// for them bounces.
    pub fn on_reload(&mut self, partners: &dyn Partners, fx: &mut Effects) -> Vec<Bounce> {
        let mut bounces = Vec::new();
        let keys: Vec<usize> = self.pairs.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some(route) = self.pairs.get(key) else { continue };
            if partners.route(route.pair.local.as_str(), route.pair.remote.as_str()).is_some() {
                continue;
            }
            match route.state {
                State::Up(stream) | State::Dialing(stream) => {
                    fx.push(Effect::XmppClose { stream, condition: None });
                }
                State::Idle | State::BackOff(_) | State::Closing(_) => {}
            }
            bounces.extend(self.bounce_waiting(key, Condition::Forbidden));
        }
        bounces
    }

    /// The table changed: what waits and may no longer cross bounces.
    pub fn judge(&mut self, mut may: impl FnMut(Awaits) -> bool) -> Vec<Bounce> {
        let mut bounces = Vec::new();
        for (_, route) in &mut self.pairs {
            route.waiting.retain(|waiting| match waiting.answer {
                Some(answer) if !may(answer) => {
                    self.held -= waiting.stanza.len();
                    bounces.push(Bounce { answer, condition: Condition::Forbidden });
                    false
                }
                Some(_) | None => true,
            });
        }
        bounces
    }

    /// All that waits for a stream bounces.
    pub fn abandon(&mut self, condition: Condition) -> Vec<Bounce> {
        let keys: Vec<usize> = self.pairs.iter().map(|(key, _)| key).collect();
        keys.into_iter().flat_map(|key| self.bounce_waiting(key, condition)).collect()
    }

    /// Asks the authoritative server of the key's sender about it: on a stream of ours to it that is
    /// up, else on a new one that is opened only to ask. Never on the stream that wants to know, which
    /// is not ours (XEP-0220 §2.1.2).
    pub fn verify(&mut self, verify: Verify, partners: &dyn Partners, fx: &mut Effects) {
        let up = self.by_remote.get(verify.pair.remote.as_str()).and_then(|keys| {
            keys.iter().find_map(|key| match self.pairs.get(*key)?.state {
                State::Up(stream) => Some(stream),
                State::Idle | State::BackOff(_) | State::Dialing(_) | State::Closing(_) => None,
            })
        });
        let route = partners.route(verify.pair.local.as_str(), verify.pair.remote.as_str());
        let (Some((terms, proxy)), true) = (route, self.verifying < self.settings.verifications) else {
            let answer = verify.answer(Outcome::Error(Condition::ResourceConstraint));
            fx.push(Effect::XmppVerified { stream: answer.stream, answer });
            return;
        };
        self.verifying += 1;
        match up {
            Some(stream) => fx.push(Effect::XmppVerify { stream, verify }),
            None => {
                let stream = self.mint_stream();
                let pair = verify.pair.clone();
                let (purpose, ask) = (Purpose::Verify, Some(verify));
                fx.push(Effect::DialXmpp { stream, pair, purpose, ask, terms, proxy });
            }
        }
    }

    /// The authoritative server answered, or will not: whoever asked is told.
    pub fn on_verified(&mut self, answer: VerifyAnswer, fx: &mut Effects) {
        self.verifying = self.verifying.saturating_sub(1);
        fx.push(Effect::XmppVerified { stream: answer.stream, answer });
    }

    /// Streams that are up, for `stoxd status`: (our domain, the partner's).
    pub fn up(&self) -> impl Iterator<Item = &Pair> {
        self.pairs
            .iter()
            .filter(|(_, route)| matches!(route.state, State::Up(_)))
            .map(|(_, route)| &route.pair)
    }

    /// How it stands with each pair, and how many stanzas wait for it.
    pub fn standings(&self) -> impl Iterator<Item = (&Pair, Standing, usize)> {
        self.pairs.iter().map(|(_, route)| {
            let standing = match route.state {
                State::Idle | State::Closing(_) => Standing::Idle,
                State::BackOff(_) => Standing::BackOff,
                State::Dialing(_) => Standing::Connecting,
                State::Up(_) => Standing::Up,
            };
            (&route.pair, standing, route.waiting.len())
        })
    }

    /// Stanzas that wait for a stream.
    pub fn waiting(&self) -> usize {
        self.pairs.iter().map(|(_, route)| route.waiting.len()).sum()
    }

    /// The same by the partner's domain; a domain may come more than once.
    pub fn queues(&self) -> impl Iterator<Item = (&str, usize)> {
        self.pairs.iter().map(|(_, route)| (route.pair.remote.as_str(), route.waiting.len()))
    }

    /// Octets of stanzas that wait for a stream.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Streams that are being made.
    #[cfg(test)]
    pub(super) fn dialling(&self) -> Vec<StreamId> {
        let streams = self.pairs.iter().filter_map(|(_, route)| match route.state {
            State::Dialing(stream) => Some(stream),
            State::Idle | State::BackOff(_) | State::Up(_) | State::Closing(_) => None,
        });
        streams.collect()
    }

    /// Is anything written that the kernel does not have, or waiting?
    pub fn is_quiet(&self) -> bool {
        self.held == 0
            && self.pairs.iter().all(|(_, route)| route.waiting.is_empty() && route.custody.is_empty())
    }

    fn route(&mut self, local: &str, remote: &str) -> Result<usize, Condition> {
        let known = self.by_remote.get(remote).and_then(|keys| {
            keys.iter()
                .copied()
                .find(|key| self.pairs.get(*key).is_some_and(|r| r.pair.local.as_str() == local))
        });
        if let Some(key) = known {
            return Ok(key);
        }
        if self.pairs.len() >= self.settings.pairs {
            return Err(Condition::ResourceConstraint);
        }
        let parse = |domain| Domain::parse(domain).map_err(|_| Condition::RemoteServerNotFound);
        let pair = Pair { local: parse(local)?, remote: parse(remote)? };
        let remote = pair.remote.clone();
        let key = self.pairs.insert(Route {
            pair,
            state: State::Idle,
            waiting: VecDeque::new(),
            custody: VecDeque::new(),
            armed: None,
            watched: None,
            mark: 0,
            failures: 0,
        });
        self.by_remote.entry(remote).or_default().push(key);
        Ok(key)
    }

    fn dial(&mut self, key: usize, partners: &dyn Partners, fx: &mut Effects) -> bool {
        let stream = self.mint_stream();
        let Some(route) = self.pairs.get_mut(key) else { return false };
        let Some((terms, proxy)) = partners.route(route.pair.local.as_str(), route.pair.remote.as_str())
        else {
            return false;
        };
        route.state = State::Dialing(stream);
        let pair = route.pair.clone();
        self.by_stream.insert(stream, key);
        fx.push(Effect::DialXmpp { stream, pair, purpose: Purpose::Send, ask: None, terms, proxy });
        true
    }

    fn bounce_waiting(&mut self, key: usize, condition: Condition) -> Vec<Bounce> {
        let Some(route) = self.pairs.get_mut(key) else { return Vec::new() };
        route.drain(&mut self.held).map(|answer| Bounce { answer, condition }).collect()
    }

    fn forget(&mut self, key: usize) {
        if let Some(route) = self.pairs.try_remove(key)
            && let Some(keys) = self.by_remote.get_mut(route.pair.remote.as_str())
        {
            keys.retain(|k| *k != key);
            if keys.is_empty() {
                self.by_remote.remove(route.pair.remote.as_str());
            }
        }
    }
}

impl Route {
    /// Writes the stanza that stands in `fx` since `start` to `stream`.
    fn write(
        &mut self,
        stream: StreamId,
        start: usize,
        answer: Option<Awaits>,
        until: Mono,
        fx: &mut Effects,
    ) {
        self.mark += 1;
        let mark = self.mark;
        self.custody.extend(answer.map(|answer| Custody { mark, answer, until }));
        let octets = fx.since(start);
        fx.push(Effect::XmppSend { stream, octets, mark });
    }

    /// Empties the queue, whose octets are `held` no more: whom to answer.
    fn drain(&mut self, held: &mut usize) -> impl Iterator<Item = Awaits> {
        *held -= self.waiting.iter().map(|waiting| waiting.stanza.len()).sum::<usize>();
        self.waiting.drain(..).filter_map(|waiting| waiting.answer)
    }

    /// Sets the timer for the oldest that waits, unless it runs.
    fn arm(&mut self, key: usize, due: &mut Vec<Due>) {
        if let (None, Some(oldest)) = (self.armed, self.waiting.front()) {
            self.armed = Some(oldest.until);
            due.push(Due { at: oldest.until, what: Timer::Pair(key) });
        }
    }

    /// Sets the timer for the oldest in custody, unless it runs.
    fn watch(&mut self, key: usize, due: &mut Vec<Due>) {
        if let (None, Some(oldest)) = (self.watched, self.custody.front()) {
            self.watched = Some(oldest.until);
            due.push(Due { at: oldest.until, what: Timer::Pair(key) });
        }
    }
}
