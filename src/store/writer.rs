//! The writer: a thread that commits in groups what others submit, and says what became of it.
//!
//! ```text
//!   submit ─▶ queue ─▶ [ take what waits, at most BATCH changes ] ─▶ apply ─▶ Durable… ─▶ notify
//!                                                                     │
//!                                             error: Broken, Failed… of all that waits ─▶ notify
//!                                                     │  submit is refused until
//!                                                     └─ an empty commit works: Mended ─▶ notify
//! ```
//!
//! A group forms while the commit before it waits for the disk; nothing is held back to form one. A
//! submission is never split. Reports come back in the order of submission. Both the queue and the
//! reports that wait to be drained are bounded by one number.

use super::record::Change;
use super::{Store, StoreError};
use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Changes after which a group is large enough: more would only make its first one wait longer.
const BATCH: usize = 256;
/// How long nothing has to happen before the store may tidy up.
const IDLE: Duration = Duration::from_millis(200);

/// What the writer tells.
#[derive(Clone, Debug)]
pub enum Report {
    /// The submission of this ticket is on disk, and so is every one before it that did not fail.
    Durable(u64),
    /// The submission of this ticket is not known to be on disk. Don't say what depended on it.
    Failed(u64),
    /// The store can't be written. Told once, until [`Report::Mended`].
    Broken(Arc<StoreError>),
    /// The store can be written again.
    Mended,
}

/// Why a submission was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too much waits, for the disk or to be drained.
    #[error("the store's queue is full")]
    Full,
    /// The store can't be written at the moment.
    #[error("the store can't be written")]
    Broken,
    /// The writer was closed.
    #[error("the store is closed")]
    Closed,
}

/// How a writer behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Changes that may wait, and tickets that may be on their way or undrained.
    pub queue: usize,
    /// How long after a failure, and after each try, the store is tried again.
    pub retry: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { queue: 4096, retry: Duration::from_secs(1) }
    }
}

/// The handle of the writer's thread. Dropping it closes it.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
    queue: usize,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<(Vec<Change>, u64)>,
    /// Changes in `waiting`.
    changes: usize,
    /// Tickets that were taken to be applied.
    taken: Vec<u64>,
    /// Tickets submitted and not drained.
    tickets: usize,
    reports: Vec<Report>,
    broken: bool,
    closing: bool,
}

impl Writer {
    /// Starts the thread. It calls `notify` after each time that there is something to drain; `notify`
    /// must not block.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(
        store: Box<dyn Store>,
        settings: Settings,
        notify: Box<dyn Fn() + Send>,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = Thread { shared: Arc::clone(&shared), notify, retry: settings.retry };
        let thread =
            std::thread::Builder::new().name("store".to_owned()).spawn(move || thread.run_to_end(store))?;
        Ok(Self { shared, thread: Some(thread), queue: settings.queue })
    }

    /// Hands over changes that become durable together, in their order, after all that was submitted
    /// before. No changes at all are a barrier. `ticket` comes back in a [`Report`], once, unless this
    /// returns an error.
    ///
    /// # Errors
    ///
    /// Nothing was taken, and `ticket` will not come back.
    pub fn submit(&self, changes: Vec<Change>, ticket: u64) -> Result<(), SubmitError> {
        let mut state = self.shared.lock();
        if state.closing {
            return Err(SubmitError::Closed);
        }
        if state.broken {
            return Err(SubmitError::Broken);
        }
        if state.tickets >= self.queue || state.changes.saturating_add(changes.len()) > self.queue {
            return Err(SubmitError::Full);
        }
        state.tickets += 1;
        state.changes += changes.len();
        state.waiting.push_back((changes, ticket));
        drop(state);
        self.shared.wake.notify_one();
        Ok(())
    }

    /// What happened since the last call, in order. Never waits for the disk.
    pub fn drain(&self) -> Vec<Report> {
        let mut state = self.shared.lock();
        let reports = std::mem::take(&mut state.reports);
        let answered = |report: &&Report| matches!(report, Report::Durable(_) | Report::Failed(_));
        state.tickets = state.tickets.saturating_sub(reports.iter().filter(answered).count());
        reports
    }

    /// Takes no more, writes what was submitted, closes the store and ends the thread. The last reports
    /// can still be drained.
    ///
    /// # Errors
    ///
    /// The store could not be left in order, or its thread ended out of turn.
    pub fn close(&mut self) -> Result<(), StoreError> {
        self.shared.lock().closing = true;
        self.shared.wake.notify_one();
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(panic)) => Err(ended(&*panic)),
            None => Ok(()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>, at_most: Option<Duration>) -> MutexGuard<'s, State> {
        match at_most {
            None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(time) => self.wake.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0,
        }
    }
}

impl State {
    /// Takes the next group. False when nothing waits.
    fn take(&mut self, batch: &mut Vec<Change>) -> bool {
        while let Some((changes, _)) = self.waiting.front() {
            if !self.taken.is_empty() && batch.len() + changes.len() > BATCH {
                break;
            }
            let Some((mut changes, ticket)) = self.waiting.pop_front() else { break };
            self.changes -= changes.len();
            batch.append(&mut changes);
            self.taken.push(ticket);
        }
        !self.taken.is_empty()
    }

    fn on_durable(&mut self) {
        self.reports.extend(self.taken.drain(..).map(Report::Durable));
    }

    /// All that was taken and all that waits has failed.
    fn on_broken(&mut self, error: StoreError) {
        if !self.broken {
            self.reports.push(Report::Broken(Arc::new(error)));
        }
        self.broken = true;
        self.reports.extend(self.taken.drain(..).map(Report::Failed));
        self.reports.extend(self.waiting.drain(..).map(|(_, ticket)| Report::Failed(ticket)));
        self.changes = 0;
    }
}

/// The thread's side.
struct Thread {
    shared: Arc<Shared>,
    notify: Box<dyn Fn() + Send>,
    retry: Duration,
}

impl Thread {
    /// Nobody waits for an answer that can't come any more: a panic fails all that there is.
    fn run_to_end(self, store: Box<dyn Store>) -> Result<(), StoreError> {
        match catch_unwind(AssertUnwindSafe(|| self.run(store))) {
            Ok(result) => result,
            Err(panic) => {
                self.report(|state| state.on_broken(ended(&*panic)));
                Err(ended(&*panic))
            }
        }
    }

    fn run(&self, mut store: Box<dyn Store>) -> Result<(), StoreError> {
        let mut batch = Vec::new();
        let mut tidy = false;
        let mut state = self.shared.lock();
        loop {
            if state.take(&mut batch) {
                drop(state);
                let result = store.apply(&batch);
                batch.clear();
                self.report(|state| match result {
                    Ok(()) => state.on_durable(),
                    Err(error) => state.on_broken(error),
                });
                tidy = false;
                state = self.shared.lock();
            } else if state.closing {
                drop(state);
                return store.close();
            } else if state.broken {
                state = self.shared.wait(state, Some(self.retry));
                if !state.closing {
                    drop(state);
                    if store.apply(&[]).is_ok() {
                        self.report(|state| {
                            state.broken = false;
                            state.reports.push(Report::Mended);
                        });
                    }
                    state = self.shared.lock();
                }
            } else if tidy {
                state = self.shared.wait(state, None);
            } else {
                state = self.shared.wait(state, Some(IDLE));
                if state.waiting.is_empty() && !state.closing {
                    drop(state);
                    store.rest();
                    tidy = true;
                    state = self.shared.lock();
                }
            }
        }
    }

    fn report(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.lock());
        (self.notify)();
    }
}

fn ended(panic: &(dyn Any + Send)) -> StoreError {
    let text = panic.downcast_ref::<&str>().copied();
    let what = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    StoreError::Ended { what: what.unwrap_or("a panic").to_owned() }
}
