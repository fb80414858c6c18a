//! What an operator may change of a running daemon without its files: how much it logs, for a while; and
//! that it stops.

use super::{CLOSING, DRAIN, Daemon, filter_of, journal};
use crate::admin::control::Answer;
use crate::admin::steer::LONGEST;
use crate::config::settings::LogLevel;
use crate::gateway::UnderWay;
use crate::net::shard::{Shard, Silent};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

/// How much is logged.
#[derive(Debug)]
pub(super) struct Level {
    /// As the configuration says.
    usual: LogLevel,
    now: Cell<LogLevel>,
    /// How often it was changed: a return that was planned before does not count any more.
    changes: Cell<u64>,
}

impl Level {
    pub(super) fn new(usual: LogLevel) -> Self {
        Self { usual, now: Cell::new(usual), changes: Cell::new(0) }
    }
}

impl Daemon {
    /// Logs at `wanted` from now on, for `seconds` if they are given.
    pub(super) fn log_level(
        self: &Rc<Self>,
        wanted: Option<LogLevel>,
        seconds: Option<u64>,
        what_if: bool,
    ) -> Answer {
        let (now, usual) = (self.level.now.get(), self.level.usual);
        let Some(wanted) = wanted else {
            return Answer::Level { now, usual };
        };
        if seconds.is_some_and(|seconds| seconds == 0 || seconds > LONGEST) {
            return Answer::Failed("--for is between 1s and 7d".to_owned());
        }
        let until = match seconds {
            Some(seconds) => {
                let time = crate::admin::control::duration(seconds);
                format!(" for {time}, then {} again", usual.as_str())
            }
            None => " until a restart".to_owned(),
        };
        if what_if {
            let (now, wanted) = (now.as_str(), wanted.as_str());
            return Answer::Done(format!(
                "the log level would go from {now} to {wanted}{until}; nothing was changed"
            ));
        }
        if !self.set_level(wanted) {
            return Answer::Failed("the log can't be changed".to_owned());
        }
        if let Some(seconds) = seconds {
            let (daemon, change) = (self.clone(), self.level.changes.get());
            tokio::task::spawn_local(async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                if daemon.level.changes.get() == change {
                    daemon.set_level(daemon.level.usual);
                }
            });
        }
        Answer::Done(format!("the log level is {}{until}", wanted.as_str()))
    }

    fn set_level(&self, wanted: LogLevel) -> bool {
        let before = self.level.now.get();
        let say = || {
            tracing::warn!(
                stoxd_event = "log.level",
                "the log level goes from {} to {}",
                before.as_str(),
                wanted.as_str()
            );
        };
        // So that it stands in the log whichever of the two is quiet.
        if before != LogLevel::Error {
            say();
        }
        if !journal::set_level(filter_of(wanted)) {
            return false;
        }
        if before == LogLevel::Error {
            say();
        }
        self.level.now.set(wanted);
        self.level.changes.set(self.level.changes.get().wrapping_add(1));
        let wants = journal::wants_deliveries();
        for shard in 0..self.shard.place.shards() {
            let set = move |shard: &Rc<Shard>| shard.reload(|gateway, _| gateway.set_deliveries(wants));
            self.shard.hand(shard, set);
        }
        true
    }

    /// What a drain waits for, in words.
    pub(super) async fn drain_answer(&self, what_if: bool) -> Result<Answer, Silent> {
        let counted = |shard: &Rc<Shard>| {
            let UnderWay { waiting, sent, answers, kept } = shard.gateway().under_way();
            let connections = [shard.all_streams().len(), shard.all_links().len()];
            [waiting, sent, answers, usize::from(!kept), connections[0], connections[1]]
        };
        let mut sums = [0; 6];
        for counts in self.shard.ask_all(counted).await? {
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        let [waiting, sent, answers, kept, streams, links] = sums;
        let counted = [
            (waiting, "items that wait for a stream, a link or their turn"),
            (sent, "users whose SIP server has not answered a message"),
            (answers, "SIP requests that are owed an answer"),
            (kept, "groups of records that are not on disk"),
            (streams, "XMPP streams to close"),
            (links, "SIP links to close"),
        ];
        let rows: String = counted
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("\n  {what}: {count}"))
            .collect();
        let nothing = if rows.is_empty() { " for nothing" } else { " for:" };
        let limit = (DRAIN + 2 * CLOSING).as_secs();
        Ok(Answer::Done(match what_if {
            true => format!(
                "a drain would take no new work and wait, {limit} s at most,{nothing}{rows}\nnothing was changed"
            ),
            false => format!("draining: no new work is taken; waiting, {limit} s at most,{nothing}{rows}"),
        }))
    }
}
