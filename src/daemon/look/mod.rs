//! What `stoxd check dns`, `check connectivity` and `partner test` find out: over the network, from the
//! configuration, in a process of its own. The running daemon is not asked and not disturbed.
//!
//! | file | owns |
//! |---|---|
//! | this one | the parts that looking needs, and what is looked at |
//! | `records` | SRV records: ours, the partners', the peers' |
//! | `reach` | partners and peers, really dialled |
//! | [`advice`] | what to do about each kind of failure |

pub mod advice;
pub mod reach;
mod records;

use super::reload::Ready;
use super::{secrets, setup};
use crate::addr::Domain;
use crate::admin::check::{Finding, Outcome};
use crate::admin::checks::{Wanted, is_peer, skipped};
use crate::config::Config;
use crate::gateway;
use crate::ids::{Ids, Owner};
use crate::net::clock::Clock;
use crate::net::crl::Fetcher;
use crate::net::dialer::{Dialer, PeerNet};
use crate::net::dns::Dns;
use crate::net::edge::Edge;
use crate::net::probe;
use crate::net::tls;
use crate::policy::Partner;
use crate::sip::link::PeerId;
use crate::xmpp::Pair;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

/// Attempts that are under way at once.
const AT_ONCE: usize = 16;
const OFFLINE: &str = "--offline: nothing was tried";

/// Looks at what is `wanted`, as `config` says; it waits for answers, each with a deadline.
pub fn look(config: Config, wanted: &Wanted) -> Vec<Finding> {
    if wanted.offline {
        return each(wanted, |name| skipped(name, OFFLINE));
    }
    if let Some(whom) = &wanted.whom
        && !is_peer(&config, whom)
        && Domain::parse(whom).map_or(true, |domain| config.table.partner(domain.as_str()).is_none())
    {
        let text = format!("{}: neither a partner nor a SIP peer", whom.escape_debug());
        let notes = vec!["see: stoxd partner list".to_owned()];
        return each(wanted, |name| finding(name, Outcome::Fail, text.clone(), notes.clone()));
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return each(wanted, |name| skipped(name, &format!("no runtime: {error}"))),
    };
    tokio::task::LocalSet::new().block_on(&runtime, with_network(config, wanted))
}

/// One finding for each check that is wanted.
fn each(wanted: &Wanted, finding: impl Fn(&'static str) -> Finding) -> Vec<Finding> {
    let names = [("dns", wanted.dns), ("connectivity", wanted.connectivity)];
    names.into_iter().filter(|(_, is_wanted)| *is_wanted).map(|(name, _)| finding(name)).collect()
}

async fn with_network(config: Config, wanted: &Wanted) -> Vec<Finding> {
    let mint = || secrets::seed().map(|seed| Ids::new(seed, Owner::default()));
    let (dns, mut ids) = match (Dns::new(setup::dns(&config)), mint()) {
        (Ok(dns), Ok(ids)) => (Arc::new(dns), ids),
        (Err(error), _) => {
            return each(wanted, |name| finding(name, Outcome::Fail, error.to_string(), Vec::new()));
        }
        (_, Err(error)) => return each(wanted, |name| skipped(name, &format!("no random numbers: {error}"))),
    };
    let whom = Whom::of(&config, wanted.whom.as_deref());
    let peers = setup::peers(&config);
    let mut found = Vec::new();
    if wanted.dns {
        found.extend(named("dns", records::findings(&config, &dns, &peers, &whom, &mut ids).await));
    }
    if wanted.connectivity {
        let attempts = attempts(&config, &whom, wanted.every_domain);
        let rows = match tools(config, dns, peers) {
            Ok(tools) => reach::findings(Rc::new(tools), attempts, ids).await,
            Err(why) => vec![skipped("", &format!("nothing can be tried: {why}"))],
        };
        found.extend(named("connectivity", rows));
    }
    found
}

/// What dialling needs.
pub struct Tools {
    /// Makes connections.
    pub dialer: Dialer,
    /// The time.
    pub clock: Clock,
}

fn tools(config: Config, dns: Arc<Dns>, peers: Vec<PeerNet>) -> Result<Tools, String> {
    let _ = tls::provider().as_ref().clone().install_default();
    let lists = Arc::new(tls::Lists::default());
    let Ready { config, certificates, trust, .. } = Ready::new(config, &lists)?;
    // Kept nowhere: the folder is the daemon's.
    let fetcher = Fetcher::new(lists, dns.clone(), None);
    let edge = Edge::start().map_err(|error| format!("no edge thread: {error}"))?;
    let min = setup::min_version(&config);
    let dialer = Dialer::new(edge, Arc::new(certificates), min, Arc::new(trust), dns, peers)
        .map_err(|error| format!("TLS: {error}"))?
        .with_fetcher(fetcher);
    Ok(Tools { dialer, clock: Clock::start() })
}

/// One thing to dial, or why it is not dialled.
pub enum Attempt {
    /// A partner's domain.
    Partner(Box<probe::xmpp::Attempt>),
    /// A SIP peer, by its name.
    Peer(String, Box<probe::sip::Attempt>),
    /// Nothing is tried.
    Skip(String),
}

fn attempts(config: &Config, whom: &Whom, every_domain: bool) -> Vec<Attempt> {
    let secret = secrets::known_dialback(config);
    let mut attempts = Vec::new();
    for (partner, domain) in whom.partners(config) {
        if let Err(reason) = config.table.welcome(domain.as_str()) {
            attempts.push(Attempt::Skip(format!("xmpp {domain}: {reason}, nothing was tried")));
            continue;
        }
        let ours = config.domains.iter().take(if every_domain { usize::MAX } else { 1 });
        attempts.extend(ours.map(|served| {
            let pair = Pair { local: served.name.clone(), remote: domain.clone() };
            Attempt::Partner(Box::new(partner_attempt(partner, pair, secret.clone())))
        }));
    }
    let sent_by = setup::sent_by(config);
    attempts.extend(whom.peers(config).map(|(at, name, domain)| match u16::try_from(at) {
        Ok(at) => {
            let (us, domain) = (config.gateway.name.to_ascii().into_owned(), domain.to_ascii().into_owned());
            let sent_by = sent_by.clone();
            let attempt = probe::sip::Attempt { peer: PeerId(at), domain, sent_by, name: us };
            Attempt::Peer(name, Box::new(attempt))
        }
        Err(_) => Attempt::Skip(format!("sip {name}: too many peers, nothing was tried")),
    }));
    attempts
}

/// The attempt to reach `partner` for `pair`.
pub fn partner_attempt(partner: &Partner, pair: Pair, secret: Option<Arc<[u8]>>) -> probe::xmpp::Attempt {
    let proxy = partner.proxy.as_ref().map(|proxy| (proxy.host.clone(), proxy.port));
    probe::xmpp::Attempt { pair, terms: gateway::terms(partner), proxy, secret }
}

/// Whose records and servers are looked at.
enum Whom {
    Everybody,
    /// A domain of a partner.
    Partner(Domain),
    /// Places of SIP peers, as [`setup::peers`] counts them.
    Peers(Vec<usize>),
}

impl Whom {
    fn of(config: &Config, whom: Option<&str>) -> Self {
        let Some(text) = whom else { return Self::Everybody };
        let lower = text.to_lowercase();
        let is_one = |name: &str, domains: &[Domain]| {
            name.to_lowercase() == lower || domains.iter().any(|domain| domain.as_str() == lower)
        };
        let at: Vec<usize> = all_peers(config)
            .enumerate()
            .filter(|(_, (name, domains))| is_one(name, domains))
            .map(|(at, _)| at)
            .collect();
        match (at.is_empty(), Domain::parse(text)) {
            (true, Ok(domain)) => Self::Partner(domain),
            (_, Ok(_) | Err(_)) => Self::Peers(at),
        }
    }

    /// Are our own records looked at?
    fn is_everybody(&self) -> bool {
        matches!(self, Self::Everybody)
    }

    fn partners<'c>(&self, config: &'c Config) -> Vec<(&'c Partner, &'c Domain)> {
        let all = config.table.partners().iter();
        let all = all.flat_map(|partner| partner.domains().map(move |domain| (&**partner, domain)));
        match self {
            Self::Everybody => all.collect(),
            Self::Partner(wanted) => all.filter(|(_, domain)| *domain == wanted).collect(),
            Self::Peers(_) => Vec::new(),
        }
    }

    /// The peers with their place, their name and their first domain.
    fn peers<'c>(&'c self, config: &'c Config) -> impl Iterator<Item = (usize, String, Domain)> + 'c {
        let wanted = move |at: &usize| match self {
            Self::Everybody => true,
            Self::Partner(_) => false,
            Self::Peers(places) => places.contains(at),
        };
        let all = all_peers(config).enumerate().filter(move |(at, _)| wanted(at));
        all.filter_map(|(at, (name, domains))| Some((at, name, domains.into_iter().next()?)))
    }
}

/// Names and domains of all peers, those that are found by SRV behind the others.
fn all_peers(config: &Config) -> impl Iterator<Item = (String, Vec<Domain>)> + '_ {
    let written = config.sip.peers.iter().map(|peer| (peer.name.clone(), peer.domains.clone()));
    let discovered = config.domains.iter().filter(|served| served.peer.is_none());
    written.chain(discovered.map(|served| (served.name.to_string(), vec![served.name.clone()])))
}

fn finding(name: &'static str, outcome: Outcome, text: String, notes: Vec<String>) -> Finding {
    Finding { name, outcome, text, notes, problems: Vec::new() }
}

/// The rows of one check: the first has its name.
fn named(name: &'static str, mut rows: Vec<Finding>) -> Vec<Finding> {
    match rows.first_mut() {
        Some(first) => first.name = name,
        None => rows.push(skipped(name, "there is nothing to look at")),
    }
    rows
}

/// Does `works` in their order, some at once.
async fn in_order<T: 'static>(works: Vec<impl Future<Output = T> + 'static>) -> Vec<T> {
    let mut done = Vec::with_capacity(works.len());
    let mut works = works.into_iter().peekable();
    while works.peek().is_some() {
        let batch: Vec<_> = works.by_ref().take(AT_ONCE).map(tokio::task::spawn_local).collect();
        for task in batch {
            done.extend(task.await.ok());
        }
    }
    done
}

/// Host and port, as a record names them.
fn at(host: &str, port: u16) -> String {
    format!("{host}:{port}")
}

/// The ports that partners reach us at.
fn ports(listen: &[SocketAddr]) -> Vec<u16> {
    listen.iter().map(SocketAddr::port).collect()
}
