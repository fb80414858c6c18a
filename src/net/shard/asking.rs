//! Work that one shard has others do, and their answers.
//!
//! Whoever asks has an answer within [`PATIENCE`], or hears who gave none: a thread that has ended, or is busy with
//! one thing. What was asked stays in its inbox: a shard that comes back does it then, for nobody. A thread that has
//! ended ends the process (`daemon::threads`); one that is stuck leaves systemd's watchdog without its sign of life,
//! and `/healthz` says so.

use super::Shard;
use super::hops::{Parcel, Work};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How long a shard may take to answer.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// A shard did not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer from the thread shard-{0}: it is busy with one thing, failed at this one, or has ended")]
pub struct Silent(pub u8);

impl Shard {
    /// Has shard `to` do `work` on its own thread.
    ///
    /// # Errors
    /// It does not answer. If it lives it will do the work all the same.
    pub async fn ask<T: Send + 'static>(
        self: &Rc<Self>,
        to: u8,
        work: impl FnOnce(&Rc<Shard>) -> T + Send + 'static,
    ) -> Result<T, Silent> {
        if to == self.place.shard() {
            return Ok(work(self));
        }
        until(Instant::now() + PATIENCE, to, self.send(to, work)).await
    }

    /// Has every shard do `work`, at once; the answers in their order.
    ///
    /// # Errors
    /// One does not answer. Those that live do the work all the same.
    pub async fn ask_all<T: Send + 'static>(
        self: &Rc<Self>,
        work: impl FnOnce(&Rc<Shard>) -> T + Clone + Send + 'static,
    ) -> Result<Vec<T>, Silent> {
        let others: Vec<_> = self.others().map(|shard| (shard, self.send(shard, work.clone()))).collect();
        let own = work(self);
        let deadline = Instant::now() + PATIENCE;
        let mut all = Vec::with_capacity(others.len() + 1);
        for (shard, answer) in others {
            all.push(until(deadline, shard, answer).await?);
        }
        all.insert(usize::from(self.place.shard()).min(all.len()), own);
        Ok(all)
    }

    /// Has every shard run what `work` makes, and waits until all have: as long as that takes.
    pub async fn run_all<F: Future<Output = ()> + 'static>(
        self: &Rc<Self>,
        work: impl FnOnce(Rc<Shard>) -> F + Clone + Send + 'static,
    ) {
        let asker = self.place.shard();
        let others = self.others().map(|shard| {
            let work = work.clone();
            let (tell, told) = oneshot::channel();
            let begin: Work = Box::new(move |shard: &Rc<Shard>| {
                let (running, shard) = (work(shard.clone()), shard.clone());
                tokio::task::spawn_local(async move {
                    running.await;
                    shard.answer(asker, tell, ());
                });
            });
            self.post(shard, Parcel::Work(begin));
            told
        });
        let others: Vec<_> = others.collect();
        work(self.clone()).await;
        for done in others {
            let _ = done.await;
        }
    }

    fn send<T: Send + 'static>(
        &self,
        to: u8,
        work: impl FnOnce(&Rc<Shard>) -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let ((tell, told), asker) = (oneshot::channel(), self.place.shard());
        self.post(to, Parcel::Work(Box::new(move |shard| shard.answer(asker, tell, work(shard)))));
        told
    }

    /// Answers who asked, by the way that all takes: what was sent there before has come before.
    fn answer<T: Send + 'static>(&self, asker: u8, tell: oneshot::Sender<T>, answer: T) {
        self.post(
            asker,
            Parcel::Work(Box::new(move |_| {
                // Who asked may have gone.
                let _ = tell.send(answer);
            })),
        );
    }

    /// Has shard `to` do `work` in its turn, without an answer.
    pub fn hand(self: &Rc<Self>, to: u8, work: impl FnOnce(&Rc<Shard>) + Send + 'static) {
        match to == self.place.shard() {
            true => work(self),
            false => self.post(to, Parcel::Work(Box::new(work))),
        }
    }
}

/// The answer of `shard`, if it comes before `deadline`.
async fn until<T>(deadline: Instant, shard: u8, answer: oneshot::Receiver<T>) -> Result<T, Silent> {
    match tokio::time::timeout_at(deadline, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) | Err(_) => Err(Silent(shard)),
    }
}
