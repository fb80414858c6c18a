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
use std::cell::RefCell;
use std::io;
use std::sync::Arc;
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
    writer: RefCell<Option<Writer>>,
    fault: RefCell<Option<String>>,
}

impl Records {
    /// Starts the thread that writes `store`; it tells `wake` when there are answers.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(store: Box<dyn Store>, wake: Arc<Notify>) -> io::Result<Self> {
        Self::start_with(store, Settings { queue: QUEUE, ..Settings::default() }, wake)
    }

    fn start_with(store: Box<dyn Store>, settings: Settings, wake: Arc<Notify>) -> io::Result<Self> {
        let name = store.name();
        let writer = Writer::start(store, settings, Box::new(move || wake.notify_one()))?;
        Ok(Self { name, writer: RefCell::new(Some(writer)), fault: RefCell::default() })
    }

    /// What the store is and where, for people.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Why it can't be written at the moment.
    pub(super) fn fault(&self) -> Option<String> {
        self.fault.borrow().clone()
    }

    /// Writes what was taken, and closes; what comes later is refused. Waits for `patience` at most:
    /// then the process may end all the same, for what was not answered was not promised.
    pub(super) async fn close(&self, patience: Duration) {
        let Some(writer) = self.writer.borrow_mut().take() else { return };
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
                let _ = self.read(reports);
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

    /// The answers among `reports`; the rest goes to the journal.
    fn read(&self, reports: Vec<Report>) -> Vec<(u64, bool)> {
        let mut answers = Vec::with_capacity(reports.len());
        for report in reports {
            match report {
                Report::Durable(ticket) => answers.push((ticket, true)),
                Report::Failed(ticket) => answers.push((ticket, false)),
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
                    *self.fault.borrow_mut() = Some(error.to_string());
                }
                Report::Mended => {
                    tracing::info!(
                        stoxd_event = "store.mended",
                        "the store can be written again; authorizations are taken as before"
                    );
                    *self.fault.borrow_mut() = None;
                }
            }
        }
        answers
    }
}

impl Keeper for Records {
    fn keep(&self, ticket: u64, changes: Vec<Change>) -> bool {
        self.writer.borrow().as_ref().is_some_and(|writer| writer.submit(changes, ticket).is_ok())
    }

    fn answers(&self) -> Vec<(u64, bool)> {
        let reports = self.writer.borrow().as_ref().map(Writer::drain).unwrap_or_default();
        self.read(reports)
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

    fn started() -> (Rc<Records>, Tickets, Sender<Next>) {
        let ((tell, next), wake) = (channel(), Arc::new(Notify::new()));
        let settings = Settings { queue: 4, retry: Duration::from_millis(1) };
        let records = Records::start_with(Box::new(Fake(next)), settings, wake.clone()).unwrap();
        let records = Rc::new(records);
        (records.clone(), Tickets::new(records, wake), tell)
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
        assert!(!records.keep(3, Vec::new()), "nothing is taken any more");
        records.close(Duration::from_millis(20)).await;
        drop(tell);
    }
}
