//! The store in the daemon: opened before anybody is served, told of in the journal when it breaks,
//! closed in time.
//!
//! A store that can't be written costs new authorizations, and nothing else: messages need no record,
//! and what is authorized already is known. So its faults, a panic of its thread among them, end no
//! traffic.

use crate::config::settings::Config;
use crate::net::keeper::Keeper;
use crate::store::record::{Change, Record};
use crate::store::{Report, Settings, Sqlite, Store, StoreError, Writer};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Tickets that may be under way to the disk: as many as the gateway lets wait, and some more.
const QUEUE: usize = 65_536;

/// A store that nobody writes yet, and all that was in it.
pub(super) type Opened = (Box<dyn Store>, Vec<Record>);

/// Opens the store of `config` and reads it.
///
/// # Errors
/// It can't be used; it is as it was.
pub(super) fn open(config: &Config) -> Result<Opened, StoreError> {
    let mut store = Sqlite::open(&config.gateway.state_dir)?;
    let mut records = Vec::new();
    store.load(&mut |record| records.push(record))?;
    let (name, count) = (store.name(), records.len());
    let new = if store.is_new() { ", a new one" } else { "" };
    tracing::info!(stoxd_event = "store.open", records = count, "store opened: {name}{new}");
    Ok((Box::new(store), records))
}

/// Whether another start has no chance before somebody looks at `[gateway] state_dir`.
pub(super) fn needs_a_hand(error: &StoreError) -> bool {
    use io::ErrorKind::{NotADirectory, PermissionDenied, ReadOnlyFilesystem};
    match error {
        StoreError::Foreign { .. } | StoreError::Newer { .. } | StoreError::Unsafe { .. } => true,
        StoreError::Io { source, .. } => {
            matches!(source.kind(), NotADirectory | PermissionDenied | ReadOnlyFilesystem)
        }
        StoreError::Busy { .. }
        | StoreError::Damaged { .. }
        | StoreError::Behind { .. }
        | StoreError::Moved { .. }
        | StoreError::Full { .. }
        | StoreError::Database { .. }
        | StoreError::Ended { .. } => false,
    }
}

/// The store while the daemon runs.
pub(super) struct Records {
    name: String,
    writer: Mutex<Option<Writer>>,
    fault: Mutex<Option<String>>,
    /// Answers for each shard, and who is told of them.
    answered: Vec<Mutex<Vec<(u64, bool)>>>,
    wakes: Vec<Arc<Notify>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The store as one shard has it.
pub(super) struct Share {
    shard: u8,
    records: Arc<Records>,
}

/// Bits of a ticket below the number of its shard. A shard never comes to the end of them.
const TICKET_BITS: u32 = 56;

impl Records {
    /// Starts the thread that writes `store`; it tells each shard's `wakes` when there are answers.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(store: Box<dyn Store>, wakes: Vec<Arc<Notify>>) -> io::Result<Arc<Self>> {
        Self::start_with(store, Settings { queue: QUEUE, ..Settings::default() }, wakes)
    }

    fn start_with(
        store: Box<dyn Store>,
        settings: Settings,
        wakes: Vec<Arc<Notify>>,
    ) -> io::Result<Arc<Self>> {
        let (name, all) = (store.name(), wakes.clone());
        let writer =
            Writer::start(store, settings, Box::new(move || all.iter().for_each(|wake| wake.notify_one())))?;
        let answered = wakes.iter().map(|_| Mutex::default()).collect();
        Ok(Arc::new(Self {
            name,
            writer: Mutex::new(Some(writer)),
            fault: Mutex::default(),
            answered,
            wakes,
        }))
    }

    /// The store for shard number `shard`.
    pub(super) fn share(self: &Arc<Self>, shard: u8) -> Share {
        Share { shard, records: self.clone() }
    }

    /// What the store is and where, for people.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Why it can't be written at the moment.
    pub(super) fn fault(&self) -> Option<String> {
        locked(&self.fault).clone()
    }

    /// Writes what was taken, and closes; what comes later is refused. Waits for `patience` at most:
    /// then the process may end all the same, for what was not answered was not promised.
    pub(super) async fn close(&self, patience: Duration) {
        let Some(writer) = locked(&self.writer).take() else { return };
        // Dropping a writer waits for its disk, so this one is never dropped.
        let writer = Box::leak(Box::new(writer));
        let (tell, told) = oneshot::channel();
        let closing = std::thread::Builder::new().name("store-close".to_owned()).spawn(move || {
            let closed = writer.close();
            let _ = tell.send((closed, writer.drain()));
        });
        if let Err(error) = closing {
            tracing::warn!(stoxd_event = "store.close", "the store was not closed: {error}");
            return;
        }
        match tokio::time::timeout(patience, told).await {
            Ok(Ok((closed, reports))) => {
                self.read(reports, None);
                if let Err(error) = closed {
                    tracing::warn!(stoxd_event = "store.close", "the store was not left in order: {error}");
                }
            }
            Ok(Err(_)) | Err(_) => tracing::warn!(
                stoxd_event = "store.close",
                "the store was not closed in time; what was promised is in it, and the next start reads it"
            ),
        }
    }

    /// Gives each shard its answers among `reports`, and tells all but `reader`; the rest goes to the journal.
    fn read(&self, reports: Vec<Report>, reader: Option<u8>) {
        for report in reports {
            match report {
                Report::Durable(ticket) => self.answer(ticket, true, reader),
                Report::Failed(ticket) => self.answer(ticket, false, reader),
                Report::Broken(error) => {
                    let until = match *error {
                        StoreError::Ended { .. } => "until stoxd is started again",
                        _ => "until it can; it is tried again and again",
                    };
                    tracing::error!(
                        stoxd_event = "store.broken",
                        "the store can't be written: {error}\n  nobody can be authorized anew {until}; \
                         existing watches and messages go on"
                    );
                    *locked(&self.fault) = Some(error.to_string());
                }
                Report::Mended => {
                    tracing::info!(
                        stoxd_event = "store.mended",
                        "the store can be written again; authorizations are taken as before"
                    );
                    *locked(&self.fault) = None;
                }
            }
        }
    }

    fn answer(&self, ticket: u64, durable: bool, reader: Option<u8>) {
        let (shard, ticket) = (ticket >> TICKET_BITS, ticket & ((1 << TICKET_BITS) - 1));
        let shard = usize::try_from(shard).unwrap_or(usize::MAX);
        if let (Some(answers), Some(wake)) = (self.answered.get(shard), self.wakes.get(shard)) {
            locked(answers).push((ticket, durable));
            if reader.map(usize::from) != Some(shard) {
                wake.notify_one();
            }
        }
    }
}

impl Keeper for Share {
    fn keep(&self, ticket: u64, changes: Vec<Change>) -> bool {
        let ticket = u64::from(self.shard) << TICKET_BITS | ticket;
        locked(&self.records.writer).as_ref().is_some_and(|writer| writer.submit(changes, ticket).is_ok())
    }

    fn answers(&self) -> Vec<(u64, bool)> {
        // Whoever comes first reads for all; reading is under one lock, so answers keep their order.
        let writer = locked(&self.records.writer);
        self.records.read(writer.as_ref().map(Writer::drain).unwrap_or_default(), Some(self.shard));
        let own = self.records.answered.get(usize::from(self.shard));
        own.map(|answers| std::mem::take(&mut *locked(answers))).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::net::keeper::Tickets;
    use std::rc::Rc;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// What the store shall do with the next changes.
    enum Next {
        Write,
        Fail,
        Panic,
    }

    /// Does as it is told, once for each commit; without a word it waits like a slow disk.
    struct Fake(Receiver<Next>);

    impl Store for Fake {
        fn name(&self) -> String {
            "a fake".to_owned()
        }

        fn load(&mut self, _take: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
            Ok(())
        }

        fn apply(&mut self, _changes: &[Change]) -> Result<(), StoreError> {
            match self.0.recv() {
                Ok(Next::Write) => Ok(()),
                Ok(Next::Panic) => panic!("a bug"),
                Ok(Next::Fail) | Err(_) => Err(StoreError::Full { path: "/fake".into() }),
            }
        }

        fn rest(&mut self) {}

        fn close(self: Box<Self>) -> Result<(), StoreError> {
            Ok(())
        }
    }

    fn started() -> (Arc<Records>, Tickets, Sender<Next>) {
        let ((tell, next), wake) = (channel(), Arc::new(Notify::new()));
        let settings = Settings { queue: 4, retry: Duration::from_millis(1) };
        let records = Records::start_with(Box::new(Fake(next)), settings, vec![wake.clone()]).unwrap();
        (records.clone(), Tickets::new(Rc::new(records.share(0)), wake), tell)
    }

    async fn answers(tickets: &Tickets, count: usize) -> Vec<(u64, bool)> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(tickets.answered().await);
        }
        all
    }

    #[tokio::test]
    async fn threat_170_answers_come_in_order_and_no_while_the_store_is_broken() {
        let (records, tickets, tell) = started();
        for ticket in 1..=3 {
            tickets.persist(ticket, Vec::new());
            tell.send(Next::Write).unwrap();
            assert_eq!(answers(&tickets, 1).await, [(ticket, true)]);
        }
        assert_eq!(records.fault(), None);
        tickets.persist(4, Vec::new());
        tell.send(Next::Fail).unwrap();
        assert_eq!(answers(&tickets, 1).await, [(4, false)]);
        assert_eq!(
            records.fault().as_deref(),
            Some("/fake: the disk is full, or a limit of file sizes is reached")
        );
        tickets.persist(5, Vec::new());
        assert_eq!(answers(&tickets, 1).await, [(5, false)]);
        // The store tries by itself.
        tell.send(Next::Write).unwrap();
        while records.fault().is_some() {
            tickets.answered().await;
        }
        tickets.persist(6, Vec::new());
        tell.send(Next::Write).unwrap();
        assert_eq!(answers(&tickets, 1).await, [(6, true)]);
    }

    #[tokio::test]
    async fn threat_170_what_does_not_fit_is_refused_after_all_that_waits() {
        let (_records, tickets, tell) = started();
        for ticket in 1..=6 {
            tickets.persist(ticket, Vec::new());
        }
        for _ in 0..4 {
            tell.send(Next::Write).unwrap();
        }
        let said = [(1, true), (2, true), (3, true), (4, true), (5, false), (6, false)];
        assert_eq!(answers(&tickets, 6).await, said);
    }

    #[tokio::test]
    async fn a_panic_of_the_store_is_a_store_that_stays_broken() {
        let (records, tickets, tell) = started();
        tickets.persist(1, Vec::new());
        tell.send(Next::Panic).unwrap();
        assert_eq!(answers(&tickets, 1).await, [(1, false)]);
        assert_eq!(records.fault().as_deref(), Some("the store's writer has ended: a bug"));
        tickets.persist(2, Vec::new());
        assert_eq!(answers(&tickets, 1).await, [(2, false)]);
        records.close(Duration::from_secs(20)).await;
    }

    #[tokio::test]
    async fn threat_151_a_disk_that_hangs_does_not_hold_the_stop() {
        let (records, tickets, tell) = started();
        tickets.persist(1, Vec::new());
        records.close(Duration::from_millis(20)).await;
        tickets.persist(2, Vec::new());
        assert!(!records.share(0).keep(3, Vec::new()), "nothing is taken any more");
        records.close(Duration::from_millis(20)).await;
        drop(tell);
    }
}
