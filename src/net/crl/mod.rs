//! Fetches revocation lists from where certificates say that they are (RFC 5280 §4.2.1.13), over HTTP.
//!
//! It runs on the edge thread and is never waited for, unless a handshake has to (`crl = "hard"`), and then for
//! [`WAIT`] at most. What a certificate may make us ask is bounded: the certificate's path was validated before,
//! only `http` addresses count (an https one would need the same question answered first, RFC 5280 §8), each is
//! asked once in a minute, few at a time, and no private address is asked unless `[dns] private_addresses`
//! allows it. Lists are kept in the state directory, and believed for their signature alone.

mod http;

use super::dns::Dns;
use super::tls::lists::{ADDRESSES, List, Lists, Point};
use super::tls::revocation;
use crate::now::Wall;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// How long a handshake waits for the lists that it needs.
pub const WAIT: Duration = Duration::from_secs(5);
/// Octets of one list.
const MAX_LIST: usize = 32 << 20;
/// Fetches that run at once.
const AT_ONCE: usize = 4;
/// How long one fetch may take, with redirections and all.
const LIMIT: Duration = Duration::from_secs(20);

/// Fetches lists and keeps them.
pub struct Fetcher {
    lists: Arc<Lists>,
    dns: Arc<Dns>,
    /// Where lists are kept, if anywhere.
    folder: Option<PathBuf>,
    slots: Semaphore,
    busy: Mutex<HashMap<Arc<str>, Arc<tokio::sync::Mutex<()>>>>,
    arrived: watch::Sender<u64>,
}

impl Fetcher {
    /// One that puts what it fetches into `lists`, and into `folder`.
    pub fn new(lists: Arc<Lists>, dns: Arc<Dns>, folder: Option<PathBuf>) -> Arc<Self> {
        let (slots, busy) = (Semaphore::new(AT_ONCE), Mutex::default());
        Arc::new(Self { lists, dns, folder, slots, busy, arrived: watch::Sender::new(0) })
    }

    /// Counts the lists that have come.
    pub fn arrived(&self) -> watch::Receiver<u64> {
        self.arrived.subscribe()
    }

    /// Those of `points` whose lists are to be fetched at `wall`.
    pub fn due(&self, points: &[Point], wall: Wall) -> Vec<Point> {
        points.iter().filter(|point| self.lists.is_due(&point.url, wall)).cloned().collect()
    }

    /// Fetches the lists of `points` that are due.
    pub async fn refresh(self: Arc<Self>, points: Vec<Point>, wall: Wall) {
        let mut tasks = tokio::task::JoinSet::new();
        for point in points {
            let this = self.clone();
            tasks.spawn(async move { this.one(&point, wall).await });
        }
        tasks.join_all().await;
    }

    async fn one(&self, point: &Point, wall: Wall) {
        let Some(turn) = self.turn(&point.url) else { return };
        let _turn = turn.lock().await;
        if !self.lists.is_due(&point.url, wall) {
            return;
        }
        let place = self.folder.as_ref().map(|folder| folder.join(file_name(&point.url)));
        if let (Some(place), None) = (place.clone(), self.lists.get(&point.url)) {
            let key = point.key.clone();
            let kept = tokio::task::spawn_blocking(move || kept(&place, &key)).await;
            if let Ok(Some((list, fetched))) = kept {
                self.take(&point.url, list, fetched.min(wall), "kept");
            }
            if !self.lists.is_due(&point.url, wall) {
                return;
            }
        }
        let fetched = async {
            let _slot = self.slots.acquire().await.map_err(|_| "shutting down".to_owned())?;
            let octets = tokio::time::timeout(LIMIT, http::get(&self.dns, &point.url, MAX_LIST)).await;
            let octets = octets.map_err(|_| format!("no answer within {LIMIT:?}"))??;
            let key = point.key.clone();
            let work = move || -> Result<List, String> {
                let ders = revocation::ders(octets)?;
                let der = ders.first().ok_or("no revocation list in it")?;
                let list = List::signed(der, &key)?;
                if let Some(place) = place {
                    keep(&place, der).unwrap_or_else(|error| {
                        tracing::warn!("can't keep a revocation list: {}: {error}", place.display());
                    });
                }
                Ok(list)
            };
            tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
        };
        match fetched.await {
            Ok(list) => self.take(&point.url, list, wall, "fetched"),
            Err(why) => self.fail(&point.url, why, wall),
        }
    }

    fn take(&self, url: &Arc<str>, list: List, fetched: Wall, how: &str) {
        let until = i64::try_from(list.next_update().as_secs()).unwrap_or(i64::MAX);
        let until = jiff::Timestamp::from_second(until).unwrap_or_default();
        match self.lists.put(url, list, fetched) {
            Ok(()) => {
                let url = url.escape_debug();
                tracing::info!(
                    stoxd_event = "crl.fetched",
                    "revocation list {url} {how}, good until {until}"
                );
                self.arrived.send_modify(|count| *count = count.wrapping_add(1));
            }
            Err(why) => self.fail(url, why, fetched),
        }
    }

    fn fail(&self, url: &Arc<str>, why: String, wall: Wall) {
        let shown = why.clone();
        if self.lists.failed(url, why, wall) {
            let url = url.escape_debug();
            tracing::warn!(stoxd_event = "crl.failed", "no revocation list from {url}: {shown}");
        }
    }

    /// Who fetches `url`, one at a time. None when too many are under way.
    fn turn(&self, url: &Arc<str>) -> Option<Arc<tokio::sync::Mutex<()>>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, turn| Arc::strong_count(turn) > 1);
        if busy.len() >= ADDRESSES && !busy.contains_key(url) {
            return None;
        }
        Some(busy.entry(url.clone()).or_default().clone())
    }
}

fn file_name(url: &str) -> String {
    let hash = Sha256::digest(url.as_bytes());
    hash.iter().fold(String::new(), |name, octet| format!("{name}{octet:02x}")) + ".crl"
}

/// The list that was kept at `place`, and since when; none that `key` did not sign.
fn kept(place: &Path, key: &[u8]) -> Option<(List, Wall)> {
    let file = std::fs::File::open(place).ok()?;
    let since = file.metadata().ok()?.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    let mut der = Vec::new();
    file.take(MAX_LIST as u64 + 1).read_to_end(&mut der).ok()?;
    let list = List::signed(&der, key).ok()?;
    Some((list, Wall::from_millis(u64::try_from(since.as_millis()).ok()?)))
}

/// Keeps a list at `place`; what was not renewed for the longest goes when there are too many.
fn keep(place: &Path, der: &[u8]) -> std::io::Result<()> {
    let folder = place.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let new = place.with_extension("new");
    std::fs::write(&new, der)?;
    std::fs::rename(&new, place)?;
    let mut all: Vec<_> = std::fs::read_dir(folder)?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    all.sort();
    let over = all.len().saturating_sub(ADDRESSES);
    all.into_iter().take(over).try_for_each(|(_, path)| std::fs::remove_file(path))
}
