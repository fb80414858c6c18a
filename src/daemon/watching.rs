//! `stoxd trace -f` as packets: copies of what comes and goes, while somebody watches.

use super::Daemon;
use super::trail::{PATIENCE, TICK, send, wanted};
use crate::admin::control::{Answer, LINE_LIMIT};
use crate::admin::trace::{Copy, Scribe, Watched};
use crate::gateway::trail::{COPY, Copied, Copies, WATCHERS, WatcherId};
use crate::now::Now;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Copies that are sent at a time: with Base64 and all around it they fit into a line.
const COPIES: usize = LINE_LIMIT as usize / (2 * COPY);

impl Daemon {
    /// Sends copies of what comes and goes to `stream`, until its reader leaves or is too slow.
    pub(super) async fn watch(&self, stream: &mut UnixStream, user: Option<&str>, partner: Option<&str>) {
        let wanted = match wanted(user, partner) {
            Ok(wanted) => wanted,
            Err(refused) => return send(stream, &Answer::Failed(refused)).await.unwrap_or_default(),
        };
        let began = self.shard.clock.now();
        let Some(watcher) = self.shard.with_trail(|trail| trail.watch(wanted)) else {
            let refused = Answer::Failed(format!("{WATCHERS} watch already, as many as may"));
            return send(stream, &refused).await.unwrap_or_default();
        };
        let leave = Leave(self, watcher);
        let mut nothing = [0];
        loop {
            let now = leave.0.shard.clock.now();
            let Copies { copies, lost, more } =
                leave.0.shard.with_trail(|trail| trail.take_copies(now, leave.1, COPIES));
            let watched = Watched { copies: leave.0.written_out(began, &copies), lost };
            if watched != Watched::default() {
                let mut line = serde_json::to_vec(&Answer::Watched(watched)).unwrap_or_default();
                line.push(b'\n');
                let sent = tokio::time::timeout(PATIENCE, stream.write_all(&line)).await;
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

impl Daemon {
    fn written_out(&self, began: Now, copies: &[Copied]) -> Vec<Copy> {
        let gateway = self.shard.gateway();
        let (trail, settings, table) = (gateway.trail(), gateway.settings(), gateway.table());
        let scribe = Scribe { trail, settings, table };
        copies.iter().map(|one| scribe.copy(began, one)).collect()
    }
}

/// Ends the watching when its task does, however that is.
struct Leave<'d>(&'d Daemon, WatcherId);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.shard.with_trail(|trail| trail.unwatch(self.1));
    }
}
