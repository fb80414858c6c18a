//! The way to SIP peers: one link for each server of a peer, made when it is needed, and the next
//! server when one fails.
//!
//! Owns: where each peer's servers are (RFC 3263), which links to them are up, and which requests
//! wait for a link. A request goes to one server at a time and to none twice; a server that could not
//! be reached, kept silent or asked for a pause is passed over for a while (`locate::failover`).
//!
//! ```text
//!          wanted              Located                          a server:
//!   Idle ─────────▶ Locating ───────────▶ Known                    wanted            LinkUp
//!    ▲ ▲                │ none              │ no server is left    None ──▶ Dialing ─────────▶ Up
//!    │ └── back-off ◀───┴───────────────────┘                       ▲          │ LinkDown      │
//!    │      all that waits comes back                               └──────────┴───────────────┘
//!    └── after a minute they are looked up again
//! ```
//!
//! A link that is up is used as long as its server is in good standing, whatever its priority: a
//! transaction stays on one server, and so does a conversation where it can.

use super::backoff::{SOON, backoff};
use super::effect::{Due, Effect, Effects, LinkId, PeerId, Timer};
use super::meter::Standing;
use super::observe::Observation;
use super::outgoing::Outgoing;
use crate::ids::{Ids, Numbers};
use crate::now::{Mono, Now};
use crate::sip::locate::failover::{Blacklist, Failure, Targets};
use crate::sip::locate::{Place, Target, Transport};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// How long located servers are believed.
const FRESH: Duration = Duration::from_secs(60);
/// The longest back-off between two attempts, in milliseconds.
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
    /// It waits for a link.
    Waits,
    /// It can't wait: no room. It comes back.
    Full(Outgoing),
    /// Its time is over before it was sent.
    Late(Outgoing),
    /// No server is left for it: it was with each, or each wants to be left alone.
    Spent(Outgoing),
}

/// Requests that waited for something which has come or will not come.
#[derive(Default)]
pub struct Freed {
    /// To be handed over once more: there may be another server.
    pub again: Vec<Outgoing>,
    /// There is none.
    pub back: Vec<Outgoing>,
}

/// What a call may need of its surroundings.
pub struct Turn<'t> {
    /// The time.
    pub now: Now,
    /// Names of links.
    pub links: &'t mut Numbers,
    /// Chance, for back-offs.
    pub ids: &'t mut Ids,
    /// What is to be done.
    pub fx: &'t mut Effects,
    /// Deadlines.
    pub due: &'t mut Vec<Due>,
}

/// All peers, by their place in the configuration.
pub struct Peers {
    peers: Vec<Peer>,
    failed: Blacklist,
    queue: usize,
}

struct Peer {
    search: Search,
    servers: Vec<Server>,
    waiting: VecDeque<Waiting>,
    /// When the timer for the waiting is due.
    armed: Option<Mono>,
    /// Until then a link is wanted, even if nothing waits for it.
    wanted: Mono,
    failures: u32,
}

/// What is known of where a peer's servers are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Search {
    Idle,
    BackOff(Mono),
    Locating,
    Known(Mono),
}

struct Server {
    target: Target,
    /// Named by the last look-up; one that is not is kept while its link is.
    listed: bool,
    link: Link,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    None,
    Dialing(LinkId),
    Up(Way),
}

struct Waiting {
    outgoing: Outgoing,
    /// The link that it waits for; None: for servers to be found.
    link: Option<LinkId>,
}

enum Choice {
    Up(Way, Place),
    Server(usize),
    Search,
    None,
}

impl Peers {
    /// `count` peers, none connected; at most `queue` requests wait for each. `failed` is what is known of servers.
    pub fn new(count: usize, queue: usize, failed: Blacklist) -> Self {
        let peer = || Peer {
            search: Search::Idle,
            servers: Vec::new(),
            waiting: VecDeque::new(),
            armed: None,
            wanted: Mono::default(),
            failures: 0,
        };
        Self { peers: std::iter::repeat_with(peer).take(count).collect(), failed, queue }
    }

    /// Another limit, for what comes from now on.
    pub fn set_limit(&mut self, queue: usize) {
        self.queue = queue;
    }

    /// Hands a request over: it is to be sent now, or waits, or comes back.
    pub fn hand(&mut self, turn: &mut Turn<'_>, mut outgoing: Outgoing) -> Handed {
        let id = outgoing.peer;
        let now = turn.now.mono;
        let Some(peer) = self.peers.get_mut(usize::from(id.0)) else { return Handed::Spent(outgoing) };
        if now >= outgoing.until {
            return Handed::Late(outgoing);
        }
        let choice = peer.choose(now, &outgoing, &self.failed);
        if let Choice::Up(way, place) = choice {
            outgoing.tried.push(place);
            return Handed::Send(way, outgoing);
        }
        if matches!(choice, Choice::None) {
            return Handed::Spent(outgoing);
        }
        if peer.waiting.len() >= self.queue {
            return Handed::Full(outgoing);
        }
        let link = match choice {
            Choice::Server(at) => peer.dial(at, id, turn),
            Choice::Search | Choice::Up(..) | Choice::None => {
                peer.search(id, turn);
                None
            }
        };
        let until = outgoing.until;
        peer.waiting.push_back(Waiting { outgoing, link });
        peer.arm(until, id, turn);
        Handed::Waits
    }

    /// The servers of a peer are known, best first; or it can't be found, and all that waits for that
    /// comes back.
    pub fn on_located(
        &mut self,
        turn: &mut Turn<'_>,
        id: PeerId,
        targets: Result<Vec<Target>, &str>,
    ) -> Freed {
        let Some(peer) = self.peers.get_mut(usize::from(id.0)) else { return Freed::default() };
        if peer.search != Search::Locating {
            return Freed::default();
        }
        match targets {
            Ok(targets) if !targets.is_empty() => {
                peer.list(targets);
                peer.search = Search::Known(turn.now.mono);
                peer.reach(id, turn, &self.failed);
                Freed { again: peer.take_waiting(None), back: Vec::new() }
            }
            Ok(_) => peer.fail(id, "no server found", turn),
            Err(why) => peer.fail(id, why, turn),
        }
    }

    /// A link that we dialled is up: what waited for it goes out, in order.
    pub fn on_up(&mut self, id: PeerId, link: LinkId, way: Way, fx: &mut Effects) -> Vec<Outgoing> {
        let Some(peer) = self.peers.get_mut(usize::from(id.0)) else { return Vec::new() };
        let Some(server) = peer.servers.iter_mut().find(|server| server.link == Link::Dialing(link)) else {
            return Vec::new();
        };
        server.link = Link::Up(way);
        peer.wanted = Mono::default();
        peer.failures = 0;
        self.failed.on_success(&server.target);
        let target = server.target.clone();
        fx.observe(Observation::PeerUp { peer: id, target: format!("{} {}", target.host, target.address) });
        let mut up = peer.take_waiting(Some(link));
        for outgoing in &mut up {
            outgoing.tried.push(target.place());
        }
        up
    }

    /// A link is gone or was not made. What waits for it is to be handed over again, or comes back if
    /// there is no other server to try.
    pub fn on_down(&mut self, turn: &mut Turn<'_>, link: LinkId, why: &str) -> Freed {
        let is_on = |server: &Server| match server.link {
            Link::Dialing(dialled) => dialled == link,
            Link::Up(way) => way.link == link && way.to.is_none(),
            Link::None => false,
        };
        let found = self.peers.iter_mut().enumerate().find_map(|(at, peer)| {
            let server = peer.servers.iter().position(is_on)?;
            Some((PeerId(u16::try_from(at).unwrap_or(u16::MAX)), peer, server))
        });
        let Some((id, peer, at)) = found else { return Freed::default() };
        let Some(server) = peer.servers.get_mut(at) else { return Freed::default() };
        let was = std::mem::replace(&mut server.link, Link::None);
        let (target, listed) = (server.target.clone(), server.listed);
        if !listed {
            peer.servers.remove(at);
        }
        if matches!(was, Link::Up(_)) {
            // Nothing waits for it, and that it was closed says nothing about the next connection.
            turn.fx.observe(Observation::PeerDown { peer: id, why: why.to_owned(), bounced: 0 });
            return Freed::default();
        }
        self.failed.on_failure(turn.now.mono, &target, Failure::Transport);
        let mut waited = peer.take_waiting(Some(link));
        for outgoing in &mut waited {
            outgoing.tried.push(target.place());
        }
        let failed = &self.failed;
        let another = peer.servers.iter().any(|server| match server.link {
            Link::Dialing(_) | Link::Up(_) => true,
            Link::None => failed.is_in_good_standing(turn.now.mono, &server.target),
        });
        if another {
            peer.reach(id, turn, failed);
            turn.fx.observe(Observation::PeerDown { peer: id, why: why.to_owned(), bounced: 0 });
            return Freed { again: waited, back: Vec::new() };
        }
        peer.waiting.extend(waited.into_iter().map(|outgoing| Waiting { outgoing, link: None }));
        peer.fail(id, why, turn)
    }

    /// Something came from a peer that proved itself: it is there again, so no attempt waits longer than [`SOON`].
    pub fn heard(&mut self, turn: &mut Turn<'_>, id: PeerId) {
        let at = turn.now.mono + SOON;
        if let Some(peer) = self.peers.get_mut(usize::from(id.0))
            && matches!(peer.search, Search::BackOff(until) if until > at)
        {
            peer.search = Search::BackOff(at);
            turn.due.push(Due { at, what: Timer::Peer(id) });
        }
    }

    /// A link to a peer is wanted until then, whether or not anything is to be sent.
    pub fn want(&mut self, turn: &mut Turn<'_>, id: PeerId, until: Mono) {
        if let Some(peer) = self.peers.get_mut(usize::from(id.0)) {
            peer.wanted = until;
            peer.reach(id, turn, &self.failed);
        }
    }

    /// The server that `way` goes to failed a request.
    pub fn on_failed(&mut self, now: Now, id: PeerId, way: Way, failure: Failure) {
        let Some(peer) = self.peers.get(usize::from(id.0)) else { return };
        if let Some(server) = peer.servers.iter().find(|server| server.link == Link::Up(way)) {
            self.failed.on_failure(now.mono, &server.target, failure);
        }
    }

    /// A deadline of peer `id`: what waited too long comes back, and a back-off may be over.
    pub fn on_timer(&mut self, turn: &mut Turn<'_>, id: PeerId) -> Vec<Outgoing> {
        let now = turn.now.mono;
        let Some(peer) = self.peers.get_mut(usize::from(id.0)) else { return Vec::new() };
        let mut back = Vec::new();
        if peer.armed.is_some_and(|at| at <= now) {
            peer.armed = None;
            let (late, waiting): (VecDeque<_>, _) =
                std::mem::take(&mut peer.waiting).into_iter().partition(|w| w.outgoing.until <= now);
            peer.waiting = waiting;
            back.extend(late.into_iter().map(|waiting| waiting.outgoing));
            if let Some(next) = peer.waiting.iter().map(|waiting| waiting.outgoing.until).min() {
                peer.arm(next, id, turn);
            }
        }
        if matches!(peer.search, Search::BackOff(until) if until <= now) {
            peer.search = Search::Idle;
            if now < peer.wanted || peer.waiting.iter().any(|waiting| waiting.link.is_none()) {
                peer.search(id, turn);
            }
        }
        back
    }

    /// All that waits for links.
    pub fn take_waiting(&mut self) -> Vec<Outgoing> {
        let waiting = self.peers.iter_mut().flat_map(|peer| std::mem::take(&mut peer.waiting));
        waiting.map(|waiting| waiting.outgoing).collect()
    }

    /// How it stands with each peer, in their order, and how many requests wait for it.
    pub fn standings(&self) -> impl Iterator<Item = (Standing, usize)> {
        self.peers.iter().map(|peer| {
            let dials = peer.servers.iter().any(|server| matches!(server.link, Link::Dialing(_)));
            let standing = match peer.search {
                _ if peer.ways().next().is_some() => Standing::Up,
                Search::BackOff(_) => Standing::BackOff,
                Search::Locating => Standing::Connecting,
                Search::Idle | Search::Known(_) if dials => Standing::Connecting,
                Search::Idle | Search::Known(_) => Standing::Idle,
            };
            (standing, peer.waiting.len())
        })
    }

    /// What waits for links.
    pub fn all_waiting(&self) -> impl Iterator<Item = &Outgoing> {
        self.peers.iter().flat_map(|peer| peer.waiting.iter().map(|waiting| &waiting.outgoing))
    }

    /// Whose link it is, if we dialled it, and whether it is up.
    pub fn peer_on(&self, link: LinkId) -> Option<(PeerId, bool)> {
        let is_up = |server: &Server| match server.link {
            Link::Up(way) => (way.link == link && way.to.is_none()).then_some(true),
            Link::Dialing(dialled) => (dialled == link).then_some(false),
            Link::None => None,
        };
        let mut peers = self.peers.iter().enumerate();
        peers.find_map(|(at, peer)| {
            let up = peer.servers.iter().find_map(is_up)?;
            Some((PeerId(u16::try_from(at).ok()?), up))
        })
    }

    /// The transport of a peer's link, if one is up.
    pub fn transport(&self, id: PeerId) -> Option<Transport> {
        self.peers.get(usize::from(id.0))?.ways().next().map(|(way, _)| way.transport)
    }

    /// Requests that wait for links.
    pub fn waiting(&self) -> usize {
        self.peers.iter().map(|peer| peer.waiting.len()).sum()
    }
}

impl Peer {
    /// Links that are up, the best server's first.
    fn ways(&self) -> impl Iterator<Item = (Way, &Target)> {
        self.servers.iter().filter_map(|server| match server.link {
            Link::Up(way) => Some((way, &server.target)),
            Link::None | Link::Dialing(_) => None,
        })
    }

    /// The server for a request.
    fn choose(&self, now: Mono, outgoing: &Outgoing, failed: &Blacklist) -> Choice {
        let untried = |target: &Target| !outgoing.tried.contains(&target.place());
        let up = |is_good: &dyn Fn(&Target) -> bool| {
            let mut ways = self.ways().filter(|(_, target)| untried(target) && is_good(target));
            ways.next().map(|(way, target)| Choice::Up(way, target.place()))
        };
        if let Some(up) = up(&|target| failed.is_in_good_standing(now, target)) {
            return up;
        }
        match self.search {
            Search::Known(at) if now.since(at) < FRESH => {}
            Search::Idle | Search::Locating | Search::Known(_) => return Choice::Search,
            Search::BackOff(_) => {
                return up(&|target| !failed.wants_a_pause(now, target)).unwrap_or(Choice::Search);
            }
        }
        let left: Vec<Target> =
            self.servers.iter().map(|server| &server.target).filter(|t| untried(t)).cloned().collect();
        let Some(best) = Targets::new(left, outgoing.until).next(now, failed) else { return Choice::None };
        match self.servers.iter().position(|server| server.target == best) {
            Some(at) => match self.servers.get(at).map(|server| server.link) {
                Some(Link::Up(way)) => Choice::Up(way, best.place()),
                Some(Link::None | Link::Dialing(_)) | None => Choice::Server(at),
            },
            None => Choice::None,
        }
    }

    /// Takes over what was looked up. A link that is up stays.
    fn list(&mut self, targets: Vec<Target>) {
        let mut before = std::mem::take(&mut self.servers);
        for target in targets {
            let known = before.iter().position(|server| server.target == target);
            let link = known.map_or(Link::None, |at| before.remove(at).link);
            self.servers.push(Server { target, listed: true, link });
        }
        let kept = before.into_iter().filter(|server| server.link != Link::None);
        self.servers.extend(kept.map(|server| Server { listed: false, ..server }));
    }

    fn search(&mut self, id: PeerId, turn: &mut Turn<'_>) {
        match self.search {
            Search::Idle | Search::Known(_) => {
                self.search = Search::Locating;
                turn.fx.push(Effect::Locate { peer: id });
            }
            Search::BackOff(_) | Search::Locating => {}
        }
    }

    /// The link to server `at`, dialled unless it is already.
    fn dial(&mut self, at: usize, id: PeerId, turn: &mut Turn<'_>) -> Option<LinkId> {
        let server = self.servers.get_mut(at)?;
        match server.link {
            Link::Dialing(link) => Some(link),
            Link::Up(way) => Some(way.link),
            Link::None => {
                let link = LinkId(turn.links.mint());
                server.link = Link::Dialing(link);
                turn.fx.push(Effect::DialSip { link, peer: id, target: server.target.clone() });
                Some(link)
            }
        }
    }

    /// Begins to make the link that is wanted, unless there is one or it is under way.
    fn reach(&mut self, id: PeerId, turn: &mut Turn<'_>, failed: &Blacklist) {
        let now = turn.now.mono;
        if now >= self.wanted || self.servers.iter().any(|server| server.link != Link::None) {
            return;
        }
        match self.search {
            Search::Known(at) if now.since(at) < FRESH => {
                let all = self.servers.iter().map(|server| server.target.clone()).collect();
                let best = Targets::new(all, self.wanted).next(now, failed);
                let at = best.and_then(|best| self.servers.iter().position(|one| one.target == best));
                if let Some(at) = at {
                    self.dial(at, id, turn);
                }
            }
            Search::Idle | Search::Known(_) => self.search(id, turn),
            Search::BackOff(_) | Search::Locating => {}
        }
    }

    fn arm(&mut self, until: Mono, id: PeerId, turn: &mut Turn<'_>) {
        if self.armed.is_none_or(|at| until < at) {
            self.armed = Some(until);
            turn.due.push(Due { at: until, what: Timer::Peer(id) });
        }
    }

    /// What waits for `link`, in order.
    fn take_waiting(&mut self, link: Option<LinkId>) -> Vec<Outgoing> {
        let (taken, left): (VecDeque<_>, _) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waiting| waiting.link == link);
        self.waiting = left;
        taken.into_iter().map(|waiting| waiting.outgoing).collect()
    }

    /// Nothing more to try: back off, and give back all that waits for a server.
    fn fail(&mut self, id: PeerId, why: &str, turn: &mut Turn<'_>) -> Freed {
        self.failures = self.failures.saturating_add(1);
        let at = turn.now.mono + backoff(self.failures, 500, BACKOFF_LIMIT, turn.ids);
        self.search = Search::BackOff(at);
        turn.due.push(Due { at, what: Timer::Peer(id) });
        // Perhaps DNS says something else after the back-off.
        self.servers.retain(|server| server.link != Link::None);
        let back = self.take_waiting(None);
        turn.fx.observe(Observation::PeerDown { peer: id, why: why.to_owned(), bounced: back.len() });
        Freed { again: Vec::new(), back }
    }
}
