//! The way to SIP peers: one link for each peer, made when it is needed, and the next server when one
//! fails.
//!
//! Owns: where each peer's servers are (RFC 3263), which of them its link goes to, and which requests
//! wait for the link. A request is sent to one server at a time; a server that did not answer or said
//! 503 is left alone for a while (RFC 3263 §4.3).
//!
//! ```text
//!        wanted              Located             LinkUp
//!  Idle ────────▶ Locating ──────────▶ Dialing ─────────▶ Up
//!   ▲ ▲               │ none              │ LinkDown: next target, else │ LinkDown
//!   │ └── back-off ◀──┴───────────────────┴─── all that wait bounces ───┤
//!   └───────────────────────────────────────────────────────────────────┘
//! ```

use super::effect::{Due, Effect, Effects, LinkId, PeerId, Timer};
use super::observe::Observation;
use super::outgoing::Outgoing;
use crate::ids::Ids;
use crate::now::{Mono, Now};
use crate::sip::locate::{Target, Transport};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a target that failed is left alone, if it did not say itself.
const LEAVE_ALONE: Duration = Duration::from_secs(30);
/// How long located targets are believed.
const FRESH: Duration = Duration::from_secs(60);
/// The longest back-off between two attempts.
const BACKOFF_LIMIT: u64 = 30_000;

/// A link that is up: where requests to a peer go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The connection, or the UDP socket.
    pub link: LinkId,
    /// Where to, on a UDP socket.
    pub to: Option<SocketAddr>,
    /// What the Via says.
    pub transport: Transport,
}

/// What became of a request that was handed over.
pub enum Handed {
    /// Send it this way, now.
    Send(Way, Outgoing),
    /// It waits for the link.
    Waits,
    /// It can't wait: no room. It comes back.
    Full(Outgoing),
}

/// All peers, by their place in the configuration.
pub struct Peers {
    peers: Vec<Peer>,
    queue: usize,
    queue_timeout: Duration,
}

struct Peer {
    state: State,
    targets: Vec<Known>,
    located: Option<Mono>,
    waiting: VecDeque<(Mono, Outgoing)>,
    failures: u32,
}

struct Known {
    target: Target,
    alone_until: Option<Mono>,
}

#[derive(Clone, Copy)]
enum State {
    Idle,
    BackOff(Mono),
    Locating,
    Dialing(LinkId, usize),
    Up(Way, usize),
}

impl Peers {
    /// `count` peers, none connected; at most `queue` requests wait for each, for `queue_timeout`.
    pub fn new(count: usize, queue: usize, queue_timeout: Duration) -> Self {
        let peer = || Peer {
            state: State::Idle,
            targets: Vec::new(),
            located: None,
            waiting: VecDeque::new(),
            failures: 0,
        };
        Self { peers: std::iter::repeat_with(peer).take(count).collect(), queue, queue_timeout }
    }

    /// Other limits, for what comes from now on.
    pub fn set_limits(&mut self, queue: usize, queue_timeout: Duration) {
        (self.queue, self.queue_timeout) = (queue, queue_timeout);
    }

    /// Hands a request over: it is to be sent now, or waits, or there is no room.
    pub fn hand(
        &mut self,
        now: Now,
        id: PeerId,
        outgoing: Outgoing,
        next_link: &mut u32,
        fx: &mut Effects,
        due: &mut Vec<Due>,
    ) -> Handed {
        let Some(peer) = self.peers.get_mut(usize::from(id.0)) else { return Handed::Full(outgoing) };
        if let State::Up(way, _) = peer.state {
            return Handed::Send(way, outgoing);
        }
        if peer.waiting.len() >= self.queue {
            return Handed::Full(outgoing);
        }
        let until = now.mono + self.queue_timeout;
        peer.waiting.push_back((until, outgoing));
        if peer.waiting.len() == 1 {
            due.push(Due { at: until, what: Timer::Peer(id) });
        }
        if matches!(peer.state, State::Idle) {
            peer.connect(now, id, next_link, fx);
        }
        Handed::Waits
    }

    /// The servers of a peer are known, best first; or it can't be found, and all that waits for it
    /// comes back.
    #[allow(clippy::too_many_arguments)]
    pub fn on_located(
        &mut self,
        now: Now,
        id: PeerId,
        targets: Result<Vec<Target>, &str>,
        next_link: &mut u32,
        ids: &mut Ids,
        fx: &mut Effects,
        due: &mut Vec<Due>,
    ) -> Vec<Outgoing> {
        let Some(peer) = self.peers.get_mut(usize::from(id.0)) else { return Vec::new() };
        if !matches!(peer.state, State::Locating) {
            return Vec::new();
        }
        match targets {
            Ok(targets) if !targets.is_empty() => {
                let before = std::mem::take(&mut peer.targets);
                peer.targets = targets
                    .into_iter()
                    .map(|target| {
                        let alone_until =
                            before.iter().find(|k| k.target == target).and_then(|k| k.alone_until);
                        Known { target, alone_until }
                    })
                    .collect();
                peer.located = Some(now.mono);
                peer.dial(now, id, next_link, fx);
                Vec::new()
            }
            Ok(_) => peer.fail(now, id, "no server found", ids, fx, due),
            Err(why) => peer.fail(now, id, why, ids, fx, due),
        }
    }

    /// A link that we dialled is up: what waited for it goes out, in order.
    pub fn on_up(&mut self, id: PeerId, link: LinkId, way: Way, fx: &mut Effects) -> Vec<Outgoing> {
        let Some(peer) = self.peers.get_mut(usize::from(id.0)) else { return Vec::new() };
        let State::Dialing(dialled, at) = peer.state else { return Vec::new() };
        if dialled != link {
            return Vec::new();
        }
        peer.state = State::Up(way, at);
        peer.failures = 0;
        let target = peer
            .targets
            .get(at)
            .map(|known| format!("{} {}", known.target.host, known.target.address))
            .unwrap_or_default();
        fx.observe(Observation::PeerUp { peer: id, target });
        peer.waiting.drain(..).map(|(_, outgoing)| outgoing).collect()
    }

    /// A link is gone or was not made. What waits comes back if there is no other server to try.
    #[allow(clippy::too_many_arguments)]
    pub fn on_down(
        &mut self,
        now: Now,
        link: LinkId,
        why: &str,
        next_link: &mut u32,
        ids: &mut Ids,
        fx: &mut Effects,
        due: &mut Vec<Due>,
    ) -> Vec<Outgoing> {
        let found = self.peers.iter().position(|peer| match peer.state {
            State::Dialing(dialled, _) => dialled == link,
            State::Up(way, _) => way.link == link && way.to.is_none(),
            State::Idle | State::BackOff(_) | State::Locating => false,
        });
        let Some((index, peer)) = found.and_then(|index| Some((index, self.peers.get_mut(index)?))) else {
            return Vec::new();
        };
        let id = PeerId(u16::try_from(index).unwrap_or(u16::MAX));
        match peer.state {
            State::Dialing(_, at) => {
                peer.leave_alone(at, now.mono + LEAVE_ALONE);
                if peer.dial(now, id, next_link, fx) {
                    Vec::new()
                } else {
                    peer.fail(now, id, why, ids, fx, due)
                }
            }
            State::Up(..) => {
                fx.observe(Observation::PeerDown { peer: id, why: why.to_owned(), bounced: 0 });
                peer.state = State::Idle;
                Vec::new()
            }
            State::Idle | State::BackOff(_) | State::Locating => Vec::new(),
        }
    }

    /// The server that `way` goes to failed a request (503, or no answer): leave it alone until
    /// `until`. True if there is another one to try now.
    pub fn on_failed(
        &mut self,
        now: Now,
        id: PeerId,
        way: Way,
        wait: Option<Duration>,
        fx: &mut Effects,
    ) -> bool {
        let Some(peer) = self.peers.get_mut(usize::from(id.0)) else { return false };
        let until = now.mono + wait.unwrap_or(LEAVE_ALONE);
        if let State::Up(current, at) = peer.state
            && current == way
        {
            peer.leave_alone(at, until);
            if !peer.targets.iter().any(|known| known.is_open(now.mono)) {
                return false;
            }
            // Requests in flight on the old link end there; new ones take the next server.
            peer.state = State::Idle;
            let why = "the server failed a request; trying the next".to_owned();
            fx.observe(Observation::PeerDown { peer: id, why, bounced: 0 });
            return true;
        }
        // Another request has found out already.
        peer.targets.iter().any(|known| known.is_open(now.mono))
    }

    /// A deadline of peer `id`: what waited too long comes back, and a back-off may be over.
    pub fn on_timer(
        &mut self,
        now: Now,
        id: PeerId,
        next_link: &mut u32,
        fx: &mut Effects,
        due: &mut Vec<Due>,
    ) -> Vec<Outgoing> {
        let Some(peer) = self.peers.get_mut(usize::from(id.0)) else { return Vec::new() };
        let mut back = Vec::new();
        while peer.waiting.front().is_some_and(|(until, _)| *until <= now.mono) {
            back.extend(peer.waiting.pop_front().map(|(_, outgoing)| outgoing));
        }
        if let Some((until, _)) = peer.waiting.front() {
            due.push(Due { at: *until, what: Timer::Peer(id) });
        }
        if matches!(peer.state, State::BackOff(until) if until <= now.mono) {
            peer.state = State::Idle;
            if !peer.waiting.is_empty() {
                peer.connect(now, id, next_link, fx);
            }
        }
        back
    }

    /// The transport of a peer's link, if it is up.
    pub fn transport(&self, id: PeerId) -> Option<Transport> {
        match self.peers.get(usize::from(id.0))?.state {
            State::Up(way, _) => Some(way.transport),
            State::Idle | State::BackOff(_) | State::Locating | State::Dialing(..) => None,
        }
    }

    /// Requests that wait for links.
    pub fn waiting(&self) -> usize {
        self.peers.iter().map(|peer| peer.waiting.len()).sum()
    }
}

impl Known {
    fn is_open(&self, now: Mono) -> bool {
        self.alone_until.is_none_or(|until| until <= now)
    }
}

impl Peer {
    fn connect(&mut self, now: Now, id: PeerId, next_link: &mut u32, fx: &mut Effects) {
        let fresh = self.located.is_some_and(|at| now.mono.since(at) < FRESH);
        if fresh && self.dial(now, id, next_link, fx) {
            return;
        }
        self.state = State::Locating;
        fx.push(Effect::Locate { peer: id });
    }

    /// Dials the best target that is not left alone; false if there is none.
    fn dial(&mut self, now: Now, id: PeerId, next_link: &mut u32, fx: &mut Effects) -> bool {
        let Some(at) = self.targets.iter().position(|known| known.is_open(now.mono)) else { return false };
        let Some(known) = self.targets.get(at) else { return false };
        *next_link = next_link.wrapping_add(1);
        let link = LinkId(*next_link);
        self.state = State::Dialing(link, at);
        fx.push(Effect::DialSip { link, peer: id, target: known.target.clone() });
        true
    }

    fn leave_alone(&mut self, at: usize, until: Mono) {
        if let Some(known) = self.targets.get_mut(at) {
            known.alone_until = Some(until);
        }
    }

    /// Nothing more to try: back off, and give back all that waits.
    fn fail(
        &mut self,
        now: Now,
        id: PeerId,
        why: &str,
        ids: &mut Ids,
        fx: &mut Effects,
        due: &mut Vec<Due>,
    ) -> Vec<Outgoing> {
        self.failures = self.failures.saturating_add(1);
        let bound = 500_u64.saturating_mul(1 << self.failures.saturating_sub(1).min(6)).min(BACKOFF_LIMIT);
        let at = now.mono + Duration::from_millis(bound / 4 + ids.below(bound - bound / 4 + 1));
        self.state = State::BackOff(at);
        // After a back-off every server deserves another try, and perhaps DNS says something else.
        self.targets.clear();
        self.located = None;
        due.push(Due { at, what: Timer::Peer(id) });
        let back: Vec<Outgoing> = self.waiting.drain(..).map(|(_, outgoing)| outgoing).collect();
        fx.observe(Observation::PeerDown { peer: id, why: why.to_owned(), bounced: back.len() });
        back
    }
}
