//! What is up and what is not: for `stoxd status`, `streams` and `links`.

use super::Daemon;
use crate::admin::control::Status;
use crate::admin::live::{End, LinkStatus, Links, RouteStatus, StreamStatus, Streams, TlsStatus, Verified};
use crate::gateway::Counts;
use crate::gateway::effect::PeerId;
use crate::gateway::meter::Standing;
use crate::gateway::observe::Observation;
use crate::net::dialer::shown;
use crate::net::seen::{Seen, SeenCertificate};
use crate::net::shard::{Shard, Silent};
use crate::net::sip_conn::LinkConn;
use crate::net::xmpp_conn::{StreamConn, auth_name};
use crate::now::Mono;
use crate::sip::locate::Transport;
use crate::xmpp::Pair;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Ends that are remembered.
const ENDS: usize = 10_000;

/// A way out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Route {
    /// From a domain of ours to a partner's.
    Pair(String, String),
    Peer(PeerId),
}

/// How the last connection of each way out ended.
#[derive(Default)]
pub(super) struct Ends {
    up: HashSet<Route>,
    last: HashMap<Route, (Mono, String, bool)>,
}

impl Ends {
    /// Takes what concerns it from what was observed.
    pub(super) fn note(&mut self, observation: &Observation, now: Mono) {
        match observation {
            Observation::PairUp { local, remote, .. } => {
                self.up.insert(Route::Pair(local.clone(), remote.clone()));
            }
            Observation::PeerUp { peer, .. } => {
                self.up.insert(Route::Peer(*peer));
            }
            Observation::PairDown { local, remote, why, bounced } => {
                self.ended(Route::Pair(local.clone(), remote.clone()), why, *bounced, now);
            }
            Observation::PeerDown { peer, why, bounced } => {
                self.ended(Route::Peer(*peer), why, *bounced, now)
            }
            // What became of single items, and of requests.
            _ => {}
        }
    }

    fn ended(&mut self, route: Route, why: &str, bounced: usize, now: Mono) {
        // As the gateway sees it: what was up and had nothing to lose may end.
        let failed = !self.up.remove(&route) || bounced > 0;
        if self.last.len() >= ENDS && !self.last.contains_key(&route) {
            let oldest = self.last.iter().min_by_key(|(_, (at, ..))| *at).map(|(route, _)| route.clone());
            oldest.and_then(|oldest| self.last.remove(&oldest));
        }
        self.last.insert(route, (now, why.to_owned(), failed));
    }

    fn of(&self, route: &Route, now: Mono) -> Option<End> {
        let (at, why, failed) = self.last.get(route)?;
        Some(End { why: why.clone(), ago: now.since(*at).as_secs(), failed: *failed })
    }
}

fn way(initiating: bool) -> String {
    if initiating { "out" } else { "in" }.to_owned()
}

fn tls_status(seen: Seen) -> TlsStatus {
    let Seen { version, suite, certificate } = seen;
    let (names, sha256, end) = match certificate {
        Some(SeenCertificate { names, sha256, not_after }) => (names, Some(sha256), not_after),
        None => (Vec::new(), None, None),
    };
    let not_after = end.map(super::certificates::stamp);
    TlsStatus { version: version.to_owned(), suite, names, sha256, not_after }
}

fn stream_status(conn: &StreamConn, now: Mono) -> StreamStatus {
    let pairs = conn.pairs.borrow();
    let how = pairs.first().map_or("not authenticated", |(_, auth)| auth_name(*auth));
    let tls = conn.tls.get().map_or_else(|| "no TLS".to_owned(), |version| format!("TLS {version}"));
    StreamStatus {
        direction: way(conn.initiating),
        pairs: pairs.iter().map(|(pair, _)| format!("{} {}", pair.local, pair.remote)).collect(),
        verified: pairs
            .iter()
            .map(|(pair, auth)| Verified {
                local: pair.local.to_string(),
                remote: pair.remote.to_string(),
                by: auth_name(*auth).to_owned(),
            })
            .collect(),
        address: shown(conn.address),
        security: format!("{tls}, {how}"),
        tls: conn.seen().map(tls_status),
        queued: conn.queued(),
        up: now.since(conn.since).as_secs(),
    }
}

fn link_status(conn: &LinkConn, peer: Option<&str>, now: Mono) -> LinkStatus {
    let verified = match (peer, conn.transport, conn.initiating) {
        (None, ..) => "nobody that is known",
        (Some(_), Transport::Tls, _) => "verified by its certificate",
        (Some(_), Transport::Tcp | Transport::Udp, true) => "not verified: we dialled it, without TLS",
        (Some(_), Transport::Tcp | Transport::Udp, false) => "verified by its address alone",
    };
    LinkStatus {
        direction: way(conn.initiating),
        peer: peer.unwrap_or("-").to_owned(),
        address: shown(conn.address),
        transport: conn.transport.as_str().to_ascii_lowercase(),
        verified: verified.to_owned(),
        tls: conn.seen().map(tls_status),
        queued: conn.queued(),
        up: now.since(conn.since).as_secs(),
    }
}

fn state(standing: Standing) -> String {
    match standing {
        Standing::Up => "established",
        Standing::Connecting => "connecting",
        Standing::BackOff => "down",
        Standing::Idle => "idle",
    }
    .to_owned()
}

/// Whether somebody should look after a way out.
fn is_bad(standing: Standing, end: Option<&End>) -> bool {
    match standing {
        Standing::Up => false,
        Standing::BackOff => true,
        Standing::Connecting | Standing::Idle => end.is_some_and(|end| end.failed),
    }
}

/// What all shards tell into.
pub(super) fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_streams(shard: &Shard) -> Vec<StreamStatus> {
    let now = shard.clock.now().mono;
    shard.all_streams().iter().map(|conn| stream_status(conn, now)).collect()
}

fn open_links(shard: &Shard) -> Vec<LinkStatus> {
    let (now, gateway) = (shard.clock.now().mono, shard.gateway());
    let name =
        |peer: PeerId| gateway.settings().peers.get(usize::from(peer.0)).map(|peer| peer.name.as_str());
    let status = |conn: &Rc<LinkConn>| link_status(conn, conn.peer.get().and_then(name), now);
    shard.all_links().iter().map(status).collect()
}

/// The better known of two standings: a stream or link of one shard is one, and a fault of one shows.
fn overall(one: Standing, other: Standing) -> Standing {
    let rank = |standing: &Standing| match standing {
        Standing::Idle => 0,
        Standing::Connecting => 1,
        Standing::BackOff => 2,
        Standing::Up => 3,
    };
    [one, other].into_iter().max_by_key(rank).unwrap_or(one)
}

/// What a shard tells for `stoxd status`, in numbers.
struct Numbers {
    waiting: usize,
    counts: Counts,
    watches: [usize; 2],
    sessions: usize,
}

fn add<T: std::ops::AddAssign>(sums: &mut [T; 2], more: [T; 2]) {
    sums.iter_mut().zip(more).for_each(|(sum, count)| *sum += count);
}

impl Daemon {
    async fn open_streams(&self) -> Result<Vec<StreamStatus>, Silent> {
        Ok(self.shard.ask_all(|shard| open_streams(shard)).await?.concat())
    }

    async fn open_links(&self) -> Result<Vec<LinkStatus>, Silent> {
        Ok(self.shard.ask_all(|shard| open_links(shard)).await?.concat())
    }

    pub(super) async fn streams(&self) -> Result<Streams, Silent> {
        let partners = self.partners().await?;
        let partners = partners.into_iter().filter(|route| route.state != "established").collect();
        Ok(Streams { streams: self.open_streams().await?, partners })
    }

    pub(super) async fn links(&self) -> Result<Links, Silent> {
        Ok(Links { links: self.open_links().await?, peers: self.peers().await? })
    }

    /// Every way out to a partner that is up, wanted, or ended with an error.
    async fn partners(&self) -> Result<Vec<RouteStatus>, Silent> {
        let standings = |shard: &Rc<Shard>| {
            let gateway = shard.gateway();
            let row = |(pair, standing, waiting): (&Pair, Standing, usize)| {
                ((pair.local.to_string(), pair.remote.to_string()), standing, waiting)
            };
            gateway.pair_standings().map(row).collect::<Vec<_>>()
        };
        let mut known: HashMap<(String, String), (Standing, usize)> = HashMap::new();
        for (pair, standing, waiting) in self.shard.ask_all(standings).await?.concat() {
            let (overall_so_far, waits) = known.entry(pair).or_insert((standing, 0));
            *overall_so_far = overall(*overall_so_far, standing);
            *waits += waiting;
        }
        let now = self.shard.clock.now().mono;
        let (ends, realm) = (locked(&self.ends), self.shard.realm());
        let ended = ends.last.iter().filter_map(|(route, (_, _, failed))| match route {
            Route::Pair(local, remote) if *failed => Some((local.clone(), remote.clone())),
            Route::Pair(..) | Route::Peer(_) => None,
        });
        let all: BTreeSet<(String, String)> = known.keys().cloned().chain(ended).collect();
        let is_partner = |(_, remote): &(String, String)| realm.is_welcome(remote);
        let routes = all.into_iter().filter(is_partner).map(|pair| {
            let (standing, waiting) = known.get(&pair).copied().unwrap_or((Standing::Idle, 0));
            let (local, remote) = pair;
            let name = format!("{local} {remote}");
            let next = format!("stoxd check connectivity --partner {remote}");
            let last_end = ends.of(&Route::Pair(local, remote), now);
            let next = is_bad(standing, last_end.as_ref()).then_some(next);
            RouteStatus { name, state: state(standing), waiting, last_end, next }
        });
        Ok(routes.collect())
    }

    async fn peers(&self) -> Result<Vec<RouteStatus>, Silent> {
        let standings = |shard: &Rc<Shard>| shard.gateway().peer_standings().collect::<Vec<_>>();
        let mut all: Vec<(Standing, usize)> = Vec::new();
        for of_shard in self.shard.ask_all(standings).await? {
            all.resize(all.len().max(of_shard.len()), (Standing::Idle, 0));
            for ((so_far, waits), (standing, waiting)) in all.iter_mut().zip(of_shard) {
                *so_far = overall(*so_far, standing);
                *waits += waiting;
            }
        }
        let now = self.shard.clock.now().mono;
        let gateway = self.shard.gateway();
        let ends = locked(&self.ends);
        let peers = gateway.settings().peers.iter().zip(all).enumerate();
        let status = |(at, (peer, (standing, waiting))): (usize, (&crate::gateway::PeerSettings, _))| {
            let last_end = u16::try_from(at).ok().and_then(|at| ends.of(&Route::Peer(PeerId(at)), now));
            let next = is_bad(standing, last_end.as_ref()).then(|| match peer.discovered {
                true => format!("stoxd check dns, stoxd check connectivity: is there an SRV record for {}?", peer.name),
                false => format!(
                    "stoxd check connectivity: are route and identity of [[sip.peer]] {} right, does a firewall \
                     stand between, is its certificate valid?",
                    peer.name
                ),
            });
            RouteStatus { name: peer.name.clone(), state: state(standing), waiting, last_end, next }
        };
        Ok(peers.map(status).collect())
    }

    pub(super) async fn status(&self) -> Result<Status, Silent> {
        let numbers = |shard: &Rc<Shard>| {
            let gateway = shard.gateway();
            Numbers {
                waiting: gateway.waiting(),
                counts: gateway.counts(),
                watches: gateway.watch_counts(),
                sessions: gateway.session_count(),
            }
        };
        let (mut waiting, mut counts, mut watches, mut sessions) = (0, Counts::default(), [0; 2], 0);
        for of_shard in self.shard.ask_all(numbers).await? {
            waiting += of_shard.waiting;
            sessions += of_shard.sessions;
            add(&mut counts.delivered, of_shard.counts.delivered);
            add(&mut counts.failed, of_shard.counts.failed);
            add(&mut watches, of_shard.watches);
        }
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime: Duration::from_micros(self.shard.clock.now().mono.as_micros()).as_secs(),
            shards: self.shard.place.shards(),
            listening: self.listening.clone(),
            not_listening: self.not_listening(),
            streams: self.open_streams().await?,
            links: self.open_links().await?,
            partners: self.partners().await?,
            peers: self.peers().await?,
            waiting,
            delivered: counts.delivered,
            failed: counts.failed,
            watches,
            sessions,
            store: self.records.name().to_owned(),
            store_fault: self.records.fault(),
            last_reload: self.last_reload.borrow().clone(),
            federation_off: self.shard.realm().is_off(),
        })
    }

    /// Which listeners are missing, and what to do about it.
    fn not_listening(&self) -> Vec<String> {
        let needed = [
            ("xmpp", "partners can't reach us; next: [xmpp] listen, then restart"),
            ("sip", "SIP peers can't reach us; next: [sip] listen, then restart"),
        ];
        let missing = needed
            .iter()
            .filter(|(what, _)| !self.listening.iter().any(|name| name.split(' ').next() == Some(*what)));
        missing.map(|(what, why)| format!("{what}: nothing listens: {why}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(remote: &str, bounced: usize) -> Observation {
        Observation::PairDown {
            local: "contoso.example".into(),
            remote: remote.into(),
            why: "closed".into(),
            bounced,
        }
    }

    fn up(remote: &str) -> Observation {
        Observation::PairUp { local: "contoso.example".into(), remote: remote.into(), auth: "SASL EXTERNAL" }
    }

    #[test]
    fn an_end_is_a_failure_unless_the_stream_was_up_and_nothing_was_lost() {
        let (mut ends, at) = (Ends::default(), |seconds| crate::now::Now::at(seconds).mono);
        let route = |remote: &str| Route::Pair("contoso.example".into(), remote.into());
        ends.note(&down("a.example", 0), at(1));
        ends.note(&up("b.example"), at(1));
        ends.note(&down("b.example", 0), at(2));
        ends.note(&up("c.example"), at(1));
        ends.note(&down("c.example", 3), at(2));
        let failed = |remote: &str| ends.of(&route(remote), at(5)).map(|end| (end.failed, end.ago));
        assert_eq!(failed("a.example"), Some((true, 4)));
        assert_eq!(failed("b.example"), Some((false, 3)));
        assert_eq!(failed("c.example"), Some((true, 3)));
        assert_eq!(failed("d.example"), None);
    }

    #[test]
    fn the_oldest_end_makes_room_for_the_newest() {
        let mut ends = Ends::default();
        for n in 0..=ENDS as u64 {
            ends.note(&down(&format!("p{n}.example"), 0), crate::now::Now::at(n).mono);
        }
        assert_eq!(ends.last.len(), ENDS);
        let route = |n: usize| Route::Pair("contoso.example".into(), format!("p{n}.example"));
        assert!(!ends.last.contains_key(&route(0)) && ends.last.contains_key(&route(ENDS)));
    }
}
