//! `[metrics]`: what is counted, gathered when somebody asks, and whether the gateway can work.
//!
//! | file | owns |
//! |---|---|
//! | this one | gathering: from the gateway, the connections, the certificates |
//! | [`http`] | the endpoint: three paths, bounded connections, a deadline for each |
//! | [`text`] | Prometheus' text format |
//!
//! Who carries messages only adds numbers up. Gathering takes the shard's thread for microseconds, a few
//! times a second at most; the text is made on another thread.

pub(super) mod http;
pub(super) mod text;

use super::Daemon;
use crate::gateway::meter::{Report, UNLISTED};
use crate::net::shard::{Shard, Silent};
use crate::now::{Mono, Wall};
use crate::xmpp::Auth;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A text is given again for so long: nobody can keep the shard busy by asking.
const FRESH: Duration = Duration::from_millis(200);

/// Everything that `/metrics` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Snapshot {
    /// What the gateway counted.
    pub(super) report: Report,
    /// Streams by direction, partner and how the pair was proven.
    pub(super) streams: BTreeMap<(&'static str, String, &'static str), i64>,
    /// Links by peer.
    pub(super) links: BTreeMap<String, i64>,
    /// Ends of our certificates, in seconds since 1970, by id.
    pub(super) certificates: Vec<(String, u64)>,
    /// Questions to the DNS by type and result.
    pub(super) lookups: Vec<(&'static str, &'static str, u64)>,
    /// When the files were last taken, in seconds since 1970.
    pub(super) loaded: f64,
}

/// What the endpoint remembers.
#[derive(Default)]
pub(super) struct Metrics {
    /// When the files were last taken.
    loaded: Cell<Wall>,
    last: RefCell<Option<(Mono, Arc<str>)>>,
}

/// The label of links whose peer is not proven.
const UNKNOWN: &str = "unknown";

/// What one shard has to say.
struct Gathered {
    report: Report,
    streams: BTreeMap<(&'static str, String, &'static str), i64>,
    links: BTreeMap<String, i64>,
}

fn gathered(shard: &Shard) -> Gathered {
    let gateway = shard.gateway();
    let mut streams = BTreeMap::new();
    for conn in shard.all_streams() {
        let direction = if conn.initiating { "out" } else { "in" };
        let pairs = conn.pairs.borrow();
        let remote = pairs.first().map(|(pair, _)| pair).or(conn.opened_for());
        let partner = remote.map_or(UNLISTED, |pair| gateway.partner_label(pair.remote.as_str()));
        let auth = pairs.first().map_or("none", |(_, auth)| auth_label(*auth));
        *streams.entry((direction, partner.to_owned(), auth)).or_default() += 1;
    }
    let peers = &gateway.settings().peers;
    let mut links: BTreeMap<String, i64> = peers.iter().map(|peer| (peer.name.clone(), 0)).collect();
    for conn in shard.all_links() {
        let peer = conn.peer.get().and_then(|peer| peers.get(usize::from(peer.0)));
        let name = peer.map_or(UNKNOWN, |peer| peer.name.as_str());
        *links.entry(name.to_owned()).or_default() += 1;
    }
    Gathered { report: gateway.report(), streams, links }
}

impl Daemon {
    /// The files were taken just now.
    pub(super) fn note_loaded(&self) {
        self.metrics.loaded.set(self.shard.clock.now().wall);
    }

    async fn snapshot(&self) -> Result<Snapshot, Silent> {
        let certificates = self.certificates.summaries();
        let mut all = Snapshot {
            certificates: certificates.into_iter().map(|one| (one.id, one.not_after.as_secs())).collect(),
            lookups: self.shard.dialer.dns_counts(),
            loaded: Duration::from_millis(self.metrics.loaded.get().as_millis()).as_secs_f64(),
            ..Snapshot::default()
        };
        for Gathered { report, streams, links } in self.shard.ask_all(|shard| gathered(shard)).await? {
            all.report.add(report);
            streams.into_iter().for_each(|(key, count)| *all.streams.entry(key).or_default() += count);
            links.into_iter().for_each(|(key, count)| *all.links.entry(key).or_default() += count);
        }
        Ok(all)
    }

    /// What `/metrics` answers.
    ///
    /// # Errors
    /// Why there is nothing.
    async fn exposition(&self) -> Result<Arc<str>, String> {
        let now = self.shard.clock.now().mono;
        if let Some((at, text)) = &*self.metrics.last.borrow()
            && now.since(*at) < FRESH
        {
            return Ok(text.clone());
        }
        let snapshot = self.snapshot().await.map_err(|silent| silent.to_string())?;
        let made = tokio::task::spawn_blocking(move || text::write(snapshot)).await;
        let text = made.ok().and_then(Result::ok).ok_or("no metrics could be made")?;
        let text: Arc<str> = text.into();
        *self.metrics.last.borrow_mut() = Some((now, text.clone()));
        Ok(text)
    }

    /// Can it take and keep what comes?
    ///
    /// # Errors
    /// Why not.
    fn readiness(&self) -> Result<(), String> {
        if self.shard.draining.get() {
            return Err("draining".to_owned());
        }
        match self.records.fault() {
            Some(fault) => Err(format!("the store can't be written: {fault}")),
            None => Ok(()),
        }
    }
}

fn auth_label(auth: Auth) -> &'static str {
    match auth {
        Auth::External => "external",
        Auth::Certificate => "certificate",
        Auth::TlsDialback => "dialback-tls",
        Auth::TcpDialback => "dialback-tcp",
    }
}
