//! What the daemon says of crossings: `trace`, its live form, and `why`.

use super::Daemon;
use crate::addr::{Domain, Jid};
use crate::admin::control::{Answer, LINE_LIMIT};
use crate::admin::policy_test;
use crate::admin::subscriptions::Row;
use crate::admin::trace::{self, Crossings, Scribe, Wanted};
use crate::admin::why::{self, About, Fault, Why};
use crate::crossing::Direction;
use crate::gateway::Gateway;
use crate::gateway::observe::Observation;
use crate::gateway::trail::Crossing;
use crate::net::clock::Clock;
use crate::now::Mono;
use crate::policy::written::Pair;
use crate::sip::link::PeerId;
use std::cell::RefCell;
use std::collections::VecDeque;
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
    known: RefCell<VecDeque<(Whose, Mono, String)>>,
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
        let mut known = self.known.borrow_mut();
        known.retain(|(other, ..)| *other != whose);
        if known.len() >= FAULTS {
            known.pop_front();
        }
        known.push_back((whose, now, why));
    }

    fn of(&self, whose: &Whose, now: Mono) -> Option<Fault> {
        let known = self.known.borrow();
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

impl Daemon {
    /// What is on record.
    pub(super) fn trace(&self, user: Option<&str>, partner: Option<&str>) -> Answer {
        let wanted = match wanted(user, partner) {
            Ok(wanted) => wanted,
            Err(refused) => return Answer::Failed(refused),
        };
        let gateway = self.shard.gateway();
        let has = |crossing: &Crossing<'_>| wanted.has(crossing, gateway.table());
        Answer::Trace(scribe(&gateway).newest(trace::ROWS, has))
    }

    /// Sends every new step to `stream`, until its reader leaves or is too slow.
    pub(super) async fn follow(&self, stream: &mut UnixStream, user: Option<&str>, partner: Option<&str>) {
        let wanted = match wanted(user, partner) {
            Ok(wanted) => wanted,
            Err(refused) => return send(stream, &Answer::Failed(refused)).await.unwrap_or_default(),
        };
        let Some(place) = self.shard.with_trail(|trail| trail.follow(FOLLOWERS)) else {
            let refused = Answer::Failed(format!("{FOLLOWERS} follow already, as many as may"));
            return send(stream, &refused).await.unwrap_or_default();
        };
        let leave = Leave(self);
        let mut place = place;
        let mut nothing = [0];
        loop {
            let (octets, is_cut) = leave.0.news(&mut place, &wanted);
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

    /// Lines for what is new from `place` on, as far as they are wanted; and whether some are lost.
    fn news(&self, place: &mut u64, wanted: &Wanted) -> (Vec<u8>, bool) {
        let gateway = self.shard.gateway();
        let scribe = scribe(&gateway);
        let (mut octets, mut lines) = (Vec::new(), 0);
        for _ in 0..LOOKED_AT {
            match gateway.trail().next_event(place) {
                Ok(None) => break,
                Err(_) => return (octets, true),
                Ok(Some(event)) if wanted.has(&event, gateway.table()) => {
                    let line =
                        Answer::Trace(Crossings { crossings: vec![scribe.crossing(&event)], older: 0 });
                    octets.extend(serde_json::to_vec(&line).unwrap_or_default());
                    octets.push(b'\n');
                    lines += 1;
                    if lines >= LINES {
                        break;
                    }
                }
                Ok(Some(_)) => {}
            }
        }
        (octets, false)
    }

    /// What is known of a crossing, or of those between two people.
    pub(super) fn why(&self, trace: Option<&str>, people: Option<(&str, &str)>, since: u64) -> Answer {
        let gateway = self.shard.gateway();
        let scribe = scribe(&gateway);
        let (found, pair) = match (trace, people) {
            (Some(name), _) => {
                let found = scribe.newest(1, |one| one.name == name);
                let found = if found.crossings.is_empty() && name.len() >= 6 {
                    scribe.newest(1, |one| one.name.starts_with(name))
                } else {
                    found
                };
                let pair =
                    found.crossings.first().and_then(|one| pair_of(&one.from, &one.to, one.is_from_sip()));
                (Crossings { older: 0, ..found }, pair)
            }
            (None, Some((from, to))) => {
                let serves = |domain: &str| gateway.settings().peer_of(domain).is_some();
                let pair = match Pair::parse(from, to, serves) {
                    Ok(pair) => pair,
                    Err((is_from, error)) => {
                        let (option, text) = if is_from { ("--from", from) } else { ("--to", to) };
                        return Answer::Failed(format!("{option} {}: {error}", text.escape_debug()));
                    }
                };
                if !serves(pair.local().domain()) {
                    return Answer::Failed(format!("{} is not served here", pair.local().domain()));
                }
                let now = self.shard.clock.now().mono;
                let is_new = |one: &Crossing<'_>| now.since(one.begun.mono).as_secs() <= since;
                let is_of = |one: &Crossing<'_>| {
                    trace::bare_of(one.from) == pair.from.bare_str()
                        && trace::bare_of(one.to) == pair.to.bare_str()
                };
                (scribe.newest(why::ROWS, |one| is_of(one) && is_new(one)), Some(pair))
            }
            (None, None) => return Answer::Failed("a name or two people".to_owned()),
        };
        let pair = pair.map(|pair| self.about(&gateway, &pair));
        Answer::Why(Box::new(Why { crossings: found.crossings, older: found.older, since, pair }))
    }

    fn about(&self, gateway: &Gateway, pair: &Pair) -> About {
        let now = self.shard.clock.now();
        let status = self.status();
        let (local, remote) = (pair.local().domain(), pair.remote().domain());
        let peer = gateway.settings().peer_of(local);
        let name = peer.and_then(|peer| gateway.settings().peers.get(usize::from(peer.0)));
        let name = name.map(|peer| peer.name.clone()).unwrap_or_default();
        let ends = format!("{local} {remote}");
        let (rows, _) = gateway.watches(now, Some(pair.local()), usize::MAX);
        let (user, contact) = (pair.local().bare_str(), pair.remote().bare_str());
        let is_between =
            |one: &str, other: &str| (one, other) == (user, contact) || (other, one) == (user, contact);
        About {
            from: pair.shown_from(),
            to: pair.shown_to(),
            policy: policy_test::judged(pair, gateway.table(), gateway.contacts()),
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
        }
    }
}

/// The two people of a crossing.
fn pair_of(from: &str, to: &str, is_from_sip: bool) -> Option<Pair> {
    let direction = if is_from_sip { Direction::SipToXmpp } else { Direction::XmppToSip };
    Some(Pair { from: Jid::parse(from).ok()?.to_bare(), to: Jid::parse(to).ok()?.to_bare(), direction })
}

/// Ends the following when its task does, however that is.
struct Leave<'d>(&'d Daemon);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.shard.with_trail(crate::gateway::trail::Trail::unfollow);
    }
}

pub(super) async fn send(stream: &mut UnixStream, answer: &Answer) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.truncate(LINE_LIMIT as usize);
    line.push(b'\n');
    tokio::time::timeout(PATIENCE, stream.write_all(&line)).await?
}
