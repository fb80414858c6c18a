//! What the daemon says of crossings: `trace`, its live form, and `why`.

use super::Daemon;
use super::in_order::{InOrder, Part};
use super::live::locked;
use crate::addr::{Domain, Jid};
use crate::admin::control::{Answer, LINE_LIMIT};
use crate::admin::policy_test;
use crate::admin::subscriptions::Row;
use crate::admin::trace::{self, Crossings, Scribe, Wanted};
use crate::admin::why::{self, About, Fault, Why};
use crate::crossing::Direction;
use crate::gateway::Gateway;
use crate::gateway::observe::Observation;
use crate::gateway::trail::{Crossing, Trail};
use crate::net::clock::Clock;
use crate::net::shard::{Shard, Silent};
use crate::now::Mono;
use crate::policy::written::Pair;
use crate::sip::link::PeerId;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Who may follow at once.
const FOLLOWERS: usize = 4;
/// How often a follower gets what is new.
pub(super) const TICK: Duration = Duration::from_millis(50);
/// Lines for one follower at a time, and steps that are looked at for them.
const LINES: usize = 500;
const LOOKED_AT: usize = 10_000;
/// How long a follower may take to read them.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Partners and peers whose last fault is remembered.
const FAULTS: usize = 1000;

/// What went wrong last with each partner's streams and each peer's links. It hears every observation.
#[derive(Default)]
pub struct Faults {
    known: Mutex<VecDeque<(Whose, Mono, String)>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Whose {
    Partner(String),
    Peer(PeerId),
    /// Requests that were refused before it was known whose they are.
    Requests,
}

impl Faults {
    /// Takes note of what went wrong.
    pub fn hear(&self, clock: &Clock, observation: &Observation) {
        let (whose, why) = match observation {
            Observation::PairDown { remote, why, .. } => (Whose::Partner(remote.clone()), why.clone()),
            Observation::PeerDown { peer, why, .. } => (Whose::Peer(*peer), why.clone()),
            Observation::Refused { status, why, .. } => (Whose::Requests, format!("{status}, {why}")),
            _ => return,
        };
        let now = clock.now().mono;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(other, ..)| *other != whose);
        if known.len() >= FAULTS {
            known.pop_front();
        }
        known.push_back((whose, now, why));
    }

    fn of(&self, whose: &Whose, now: Mono) -> Option<Fault> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, at, why) = known.iter().find(|(other, ..)| other == whose)?;
        Some(Fault { ago: now.since(*at).as_secs(), why: why.clone() })
    }
}

/// Reads what limits the answer.
pub(super) fn wanted(user: Option<&str>, partner: Option<&str>) -> Result<Wanted, String> {
    let user = user.map(Jid::parse).transpose();
    let user = user.map_err(|error| format!("not an address: {error}"))?;
    let partner = partner.map(Domain::parse).transpose();
    let partner = partner.map_err(|error| format!("not a domain: {error}"))?;
    Ok(Wanted { user, partner: partner.map(|domain| domain.as_str().to_owned()) })
}

fn scribe(gateway: &Gateway) -> Scribe<'_> {
    Scribe { trail: gateway.trail(), settings: gateway.settings(), table: gateway.table() }
}

/// The newest of those that a shard has on record and `has` says yes to.
fn newest(shard: &Shard, limit: usize, has: impl Fn(&Crossing<'_>, &Gateway) -> bool) -> Crossings {
    let gateway = shard.gateway();
    scribe(&gateway).newest(limit, |one| has(one, &gateway))
}

/// What became new for a follower.
struct News {
    place: u64,
    steps: Part<trace::Crossing>,
    /// Some are lost.
    is_cut: bool,
}

/// What is new in the trail of `shard` from `place` on, as far as it is wanted.
fn news(shard: &Shard, mut place: u64, wanted: &Wanted) -> News {
    let gateway = shard.gateway();
    let scribe = scribe(&gateway);
    let (mut steps, mut more, mut is_cut) = (Vec::new(), true, false);
    for _ in 0..LOOKED_AT {
        match gateway.trail().next_event(&mut place) {
            Ok(None) => {
                more = false;
                break;
            }
            Err(_) => {
                is_cut = true;
                break;
            }
            Ok(Some(event)) if wanted.has(&event, gateway.table()) => {
                let after = event.steps.last().map_or(0, |(after, _)| *after);
                steps.push((event.begun.mono + Duration::from_micros(after), scribe.crossing(&event)));
                if steps.len() >= LINES {
                    break;
                }
            }
            Ok(Some(_)) => {}
        }
    }
    News { place, steps: (steps, more), is_cut }
}

impl Daemon {
    /// What all shards have on record.
    async fn on_record(
        &self,
        limit: usize,
        has: impl Fn(&Crossing<'_>, &Gateway) -> bool + Clone + Send + 'static,
    ) -> Result<Crossings, Silent> {
        let parts = self.shard.ask_all(move |shard| newest(shard, limit, has)).await?;
        Ok(Crossings::together(parts, limit))
    }

    /// What is on record.
    pub(super) async fn trace(&self, user: Option<&str>, partner: Option<&str>) -> Result<Answer, Silent> {
        let wanted = match wanted(user, partner) {
            Ok(wanted) => wanted,
            Err(refused) => return Ok(Answer::Failed(refused)),
        };
        let has = move |one: &Crossing<'_>, gateway: &Gateway| wanted.has(one, gateway.table());
        Ok(Answer::Trace(self.on_record(trace::ROWS, has).await?))
    }

    /// Sends every new step to `stream`, until its reader leaves or is too slow.
    pub(super) async fn follow(&self, stream: &mut UnixStream, user: Option<&str>, partner: Option<&str>) {
        let wanted = match wanted(user, partner) {
            Ok(wanted) => wanted,
            Err(refused) => return send(stream, &Answer::Failed(refused)).await.unwrap_or_default(),
        };
        let leave = Leave(self, Arc::default());
        let followed = leave.1.clone();
        let follow = move |shard: &Rc<Shard>| {
            let place = shard.with_trail(|trail| trail.follow(FOLLOWERS))?;
            locked(&followed).insert(shard.place.shard());
            Some(place)
        };
        let places = match self.shard.ask_all(follow).await {
            Ok(places) => places,
            Err(silent) => {
                return send(stream, &Answer::Failed(silent.to_string())).await.unwrap_or_default();
            }
        };
        let Some(mut places) = places.into_iter().collect::<Option<Vec<u64>>>() else {
            let refused = Answer::Failed(format!("{FOLLOWERS} follow already, as many as may"));
            return send(stream, &refused).await.unwrap_or_default();
        };
        let (mut nothing, mut steps) = ([0], InOrder::default());
        loop {
            let (octets, is_cut) = match leave.0.news(&mut places, &wanted, &mut steps).await {
                Ok(news) => news,
                Err(silent) => {
                    return send(stream, &Answer::Failed(silent.to_string())).await.unwrap_or_default();
                }
            };
            let sent = tokio::time::timeout(PATIENCE, stream.write_all(&octets)).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
            if is_cut {
                let note = Answer::Failed("cut off: more happened than was read; follow again".to_owned());
                return send(stream, &note).await.unwrap_or_default();
            }
            tokio::select! {
                // Whoever follows says nothing more: this is its end.
                _ = stream.read(&mut nothing) => return,
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Lines for what is new from `places` on, in the order in which it happened; and whether some are lost.
    async fn news(
        &self,
        places: &mut [u64],
        wanted: &Wanted,
        steps: &mut InOrder<trace::Crossing>,
    ) -> Result<(Vec<u8>, bool), Silent> {
        let (from, wanted, asked) = (places.to_vec(), wanted.clone(), self.shard.clock.now().mono);
        let parts = self
            .shard
            .ask_all(move |shard| {
                let place = from.get(usize::from(shard.place.shard())).copied().unwrap_or_default();
                news(shard, place, &wanted)
            })
            .await?;
        let is_cut = parts.iter().any(|part| part.is_cut);
        places.iter_mut().zip(&parts).for_each(|(place, part)| *place = part.place);
        let mut next = steps.take(asked, parts.into_iter().map(|part| part.steps));
        if is_cut {
            // There is no next time.
            next.extend(steps.rest());
        }
        let mut octets = Vec::new();
        for step in next {
            let line = Answer::Trace(Crossings { crossings: vec![step], older: 0 });
            octets.extend(serde_json::to_vec(&line).unwrap_or_default());
            octets.push(b'\n');
        }
        Ok((octets, is_cut))
    }

    /// What is known of a crossing, or of those between two people.
    pub(super) async fn why(
        &self,
        trace: Option<String>,
        people: Option<(String, String)>,
        since: u64,
    ) -> Result<Answer, Silent> {
        let (found, pair) = match (trace, people) {
            (Some(name), _) => {
                let whole = name.clone();
                let mut found = self.on_record(1, move |one, _| one.name == whole).await?;
                if found.crossings.is_empty() && name.len() >= 6 {
                    found = self.on_record(1, move |one, _| one.name.starts_with(&name)).await?;
                }
                let pair =
                    found.crossings.first().and_then(|one| pair_of(&one.from, &one.to, one.is_from_sip()));
                (Crossings { older: 0, ..found }, pair)
            }
            (None, Some((from, to))) => {
                let settings = self.shard.gateway().settings().clone();
                let serves = |domain: &str| settings.peer_of(domain).is_some();
                let pair = match Pair::parse(&from, &to, serves) {
                    Ok(pair) => pair,
                    Err((is_from, error)) => {
                        let (option, text) = if is_from { ("--from", from) } else { ("--to", to) };
                        return Ok(Answer::Misused(format!("{option} {}: {error}", text.escape_debug())));
                    }
                };
                if !serves(pair.local().domain()) {
                    return Ok(Answer::Misused(format!("{} is not served here", pair.local().domain())));
                }
                let (now, people) = (self.shard.clock.now().mono, pair.clone());
                let has = move |one: &Crossing<'_>, _: &Gateway| {
                    now.since(one.begun.mono).as_secs() <= since
                        && trace::bare_of(one.from) == people.from.bare_str()
                        && trace::bare_of(one.to) == people.to.bare_str()
                };
                (self.on_record(why::ROWS, has).await?, Some(pair))
            }
            (None, None) => return Ok(Answer::Misused("a name or two people".to_owned())),
        };
        let pair = match pair {
            Some(pair) => Some(self.about(pair).await?),
            None => None,
        };
        let Crossings { crossings, older } = found;
        Ok(Answer::Why(Box::new(Why { crossings, older, since, pair })))
    }

    async fn about(&self, pair: Pair) -> Result<About, Silent> {
        let owner = self.shard.place.of_user(pair.local().bare_str());
        let asked = pair.clone();
        let judged = move |shard: &Rc<Shard>| {
            let gateway = shard.gateway();
            let (rows, _) = gateway.watches(shard.clock.now(), Some(asked.local()), usize::MAX);
            (policy_test::judged(&asked, gateway.table(), gateway.contacts()), rows)
        };
        let (policy, rows) = self.shard.ask(owner, judged).await?;
        let status = self.status().await?;
        let now = self.shard.clock.now();
        let settings = self.shard.gateway().settings().clone();
        let (local, remote) = (pair.local().domain(), pair.remote().domain());
        let peer = settings.peer_of(local);
        let name = peer.and_then(|peer| settings.peers.get(usize::from(peer.0)));
        let name = name.map(|peer| peer.name.clone()).unwrap_or_default();
        let ends = format!("{local} {remote}");
        let (user, contact) = (pair.local().bare_str(), pair.remote().bare_str());
        let is_between =
            |one: &str, other: &str| (one, other) == (user, contact) || (other, one) == (user, contact);
        Ok(About {
            from: pair.shown_from(),
            to: pair.shown_to(),
            policy,
            watches: rows
                .into_iter()
                .filter(|row| is_between(&row.watcher, &row.presentity))
                .map(Row::from)
                .collect(),
            partner: remote.to_owned(),
            streams: status.streams.into_iter().filter(|one| one.pairs.contains(&ends)).collect(),
            stream_fault: self.faults.of(&Whose::Partner(remote.to_owned()), now.mono),
            links: status.links.into_iter().filter(|link| link.peer == name).collect(),
            peer: name,
            link_fault: peer.and_then(|peer| self.faults.of(&Whose::Peer(peer), now.mono)),
            refused: self.faults.of(&Whose::Requests, now.mono),
        })
    }
}

/// The two people of a crossing.
fn pair_of(from: &str, to: &str, is_from_sip: bool) -> Option<Pair> {
    let direction = if is_from_sip { Direction::SipToXmpp } else { Direction::XmppToSip };
    Some(Pair { from: Jid::parse(from).ok()?.to_bare(), to: Jid::parse(to).ok()?.to_bare(), direction })
}

/// Ends the following when its task does, however that is, in the shards that it was begun in: also in one that
/// had not come to that yet.
struct Leave<'d>(&'d Daemon, Arc<Mutex<BTreeSet<u8>>>);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        for shard in 0..self.0.shard.place.shards() {
            let followed = self.1.clone();
            self.0.shard.hand(shard, move |shard| {
                if locked(&followed).remove(&shard.place.shard()) {
                    shard.with_trail(Trail::unfollow);
                }
            });
        }
    }
}

pub(super) async fn send(stream: &mut UnixStream, answer: &Answer) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.truncate(LINE_LIMIT as usize);
    line.push(b'\n');
    tokio::time::timeout(PATIENCE, stream.write_all(&line)).await?
}
