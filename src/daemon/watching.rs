//! `stoxd trace -f` as packets: copies of what comes and goes, while somebody watches.

use super::Daemon;
use super::in_order::{InOrder, Part};
use super::live::locked;
use super::trail::{PATIENCE, TICK, send, wanted};
use crate::admin::control::{Answer, LINE_LIMIT};
use crate::admin::trace::{Copy, Scribe, Watched};
use crate::gateway::trail::{COPY, Copies, WATCHERS, WatcherId};
use crate::net::shard::{Shard, Silent};
use crate::now::Now;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Copies of a line, and of a shard at a time: with Base64 and all around it they fit into one.
const COPIES: usize = LINE_LIMIT as usize / (2 * COPY);

impl Daemon {
    /// Sends copies of what comes and goes to `stream`, until its reader leaves or is too slow.
    pub(super) async fn watch(&self, stream: &mut UnixStream, user: Option<&str>, partner: Option<&str>) {
        let wanted = match wanted(user, partner) {
            Ok(wanted) => wanted,
            Err(refused) => return send(stream, &Answer::Failed(refused)).await.unwrap_or_default(),
        };
        let began = self.shard.clock.now();
        let leave = Leave(self, Arc::default());
        let watchers = leave.1.clone();
        let watch = move |shard: &Rc<Shard>| {
            let watcher = shard.with_trail(|trail| trail.watch(wanted));
            locked(&watchers).extend(watcher.map(|watcher| (shard.place.shard(), watcher)));
            watcher.is_some()
        };
        let refused = match self.shard.ask_all(watch).await {
            Ok(begun) if begun.contains(&false) => Some(format!("{WATCHERS} watch already, as many as may")),
            Ok(_) => None,
            Err(silent) => Some(silent.to_string()),
        };
        if let Some(refused) = refused {
            return send(stream, &Answer::Failed(refused)).await.unwrap_or_default();
        }
        let (mut nothing, mut copies) = ([0], InOrder::default());
        loop {
            let (watched, more) = match leave.take(began, &mut copies).await {
                Ok(taken) => taken,
                Err(silent) => {
                    return send(stream, &Answer::Failed(silent.to_string())).await.unwrap_or_default();
                }
            };
            if watched != Watched::default() {
                let octets = lines(watched);
                let sent = tokio::time::timeout(PATIENCE, stream.write_all(&octets)).await;
                if !matches!(sent, Ok(Ok(()))) {
                    return;
                }
            }
            if more {
                continue;
            }
            tokio::select! {
                // Whoever watches says nothing more: this is its end.
                _ = stream.read(&mut nothing) => return,
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }
}

/// One line for each few of them.
fn lines(mut watched: Watched) -> Vec<u8> {
    let mut octets = Vec::new();
    while watched != Watched::default() {
        let rest = watched.copies.split_off(COPIES.min(watched.copies.len()));
        octets.extend(serde_json::to_vec(&Answer::Watched(watched)).unwrap_or_default());
        octets.push(b'\n');
        watched = Watched { copies: rest, lost: 0 };
    }
    octets
}

/// What waits in `shard` for its watcher, written out; and how many are lost.
fn taken(shard: &Shard, watcher: WatcherId, began: Now) -> (Part<Copy>, u64) {
    let now = shard.clock.now();
    let Copies { copies, lost, more } = shard.with_trail(|trail| trail.take_copies(now, watcher, COPIES));
    let gateway = shard.gateway();
    let (trail, settings, table) = (gateway.trail(), gateway.settings(), gateway.table());
    let scribe = Scribe { trail, settings, table };
    ((copies.iter().map(|one| (one.at.mono, scribe.copy(began, one))).collect(), more), lost)
}

/// The watcher of each shard that has one. It ends the watching when its task ends, however that is: also in a
/// shard that had not begun it yet.
struct Leave<'d>(&'d Daemon, Arc<Mutex<BTreeMap<u8, WatcherId>>>);

impl Leave<'_> {
    /// What waits in all shards, in its order; and whether there is more.
    async fn take(&self, began: Now, copies: &mut InOrder<Copy>) -> Result<(Watched, bool), Silent> {
        let (watchers, asked) = (self.1.clone(), self.0.shard.clock.now().mono);
        let parts = self.0.shard.ask_all(move |shard| {
            let watcher = locked(&watchers).get(&shard.place.shard()).copied()?;
            Some(taken(shard, watcher, began))
        });
        let (parts, lost): (Vec<Part<Copy>>, Vec<u64>) = parts.await?.into_iter().flatten().unzip();
        let more = parts.iter().any(|(_, more)| *more);
        Ok((Watched { copies: copies.take(asked, parts), lost: lost.iter().sum() }, more))
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        for shard in 0..self.0.shard.place.shards() {
            let watchers = self.1.clone();
            self.0.shard.hand(shard, move |shard| {
                if let Some(watcher) = locked(&watchers).remove(&shard.place.shard()) {
                    shard.with_trail(|trail| trail.unwatch(watcher));
                }
            });
        }
    }
}
