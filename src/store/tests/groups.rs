//! The writer over a store that does what the test says, when it says so.

use super::*;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the store shall do next.
enum Verdict {
    Commit,
    Fail,
    Panic,
}

type Log = Arc<Mutex<Vec<usize>>>;

/// Each `apply` says how many changes it got, then waits for its verdict.
struct Puppet {
    began: Sender<usize>,
    verdicts: Receiver<Verdict>,
    log: Log,
}

impl Store for Puppet {
    fn name(&self) -> String {
        "a puppet".to_owned()
    }

    fn load(&mut self, _: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
        Ok(())
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.began.send(changes.len()).unwrap();
        match self.verdicts.recv().unwrap_or(Verdict::Commit) {
            Verdict::Commit => {
                self.log.lock().unwrap().push(changes.len());
                Ok(())
            }
            Verdict::Fail => Err(StoreError::Full { path: "/full".into() }),
            Verdict::Panic => panic!("the puppet's strings broke"),
        }
    }

    fn rest(&mut self) {}

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Dropped in this order: without verdicts every commit works, and the writer can end.
struct Rig {
    verdicts: Sender<Verdict>,
    writer: Writer,
    began: Receiver<usize>,
    wake: Receiver<()>,
    log: Log,
}

fn rig(queue: usize) -> Rig {
    let (began_to, began) = mpsc::channel();
    let (verdicts, verdicts_from) = mpsc::channel();
    let (notify, wake) = mpsc::channel();
    let log = Log::default();
    let puppet = Puppet { began: began_to, verdicts: verdicts_from, log: Arc::clone(&log) };
    let settings = Settings { queue, retry: Duration::from_millis(1) };
    let writer = Writer::start(
        Box::new(puppet),
        settings,
        Box::new(move || {
            let _ = notify.send(());
        }),
    )
    .unwrap();
    Rig { writer, began, verdicts, wake, log }
}

impl Rig {
    fn submit(&self, changes: usize, ticket: u64) -> Result<(), SubmitError> {
        self.writer.submit(vec![Change::Put(Record::Watermark(ticket)); changes], ticket)
    }

    fn began(&self) -> usize {
        self.began.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    /// Lets the commit at hand end, and tells what it brought.
    fn end(&self, verdict: Verdict) -> String {
        self.verdicts.send(verdict).unwrap();
        self.wake.recv_timeout(Duration::from_secs(20)).unwrap();
        self.told()
    }

    fn told(&self) -> String {
        let tell = |report| match report {
            Report::Durable(ticket) => format!("durable {ticket}"),
            Report::Failed(ticket) => format!("failed {ticket}"),
            Report::Broken(error) => format!("broken ({error})"),
            Report::Mended => "mended".to_owned(),
        };
        self.writer.drain().into_iter().map(tell).collect::<Vec<_>>().join(", ")
    }
}

#[test]
fn what_waits_becomes_one_group() {
    let rig = rig(100);
    rig.submit(1, 1).unwrap();
    assert_eq!(rig.began(), 1);
    for ticket in 2..=5 {
        rig.submit(2, ticket).unwrap();
    }
    assert_eq!(rig.told(), "", "not durable before its commit has ended");
    assert_eq!(rig.end(Verdict::Commit), "durable 1");
    assert_eq!(rig.began(), 8);
    assert_eq!(rig.told(), "");
    assert_eq!(rig.end(Verdict::Commit), "durable 2, durable 3, durable 4, durable 5");
}

#[test]
fn a_group_has_a_size_and_a_submission_is_not_split() {
    let rig = rig(10_000);
    rig.submit(1, 1).unwrap();
    assert_eq!(rig.began(), 1);
    for (changes, ticket) in [(200, 2), (56, 3), (1, 4), (300, 5), (0, 6), (1, 7)] {
        rig.submit(changes, ticket).unwrap();
    }
    rig.end(Verdict::Commit);
    let groups: Vec<(usize, String)> = (0..4).map(|_| (rig.began(), rig.end(Verdict::Commit))).collect();
    let expected =
        [(256, "durable 2, durable 3"), (1, "durable 4"), (300, "durable 5"), (1, "durable 6, durable 7")];
    assert_eq!(groups, expected.map(|(size, told)| (size, told.to_owned())));
}

#[test]
fn a_full_queue_takes_no_more_until_it_is_drained() {
    let rig = rig(4);
    rig.submit(1, 1).unwrap();
    assert_eq!(rig.began(), 1);
    assert_eq!(rig.submit(5, 9), Err(SubmitError::Full), "larger than the queue");
    rig.submit(3, 2).unwrap();
    assert_eq!(rig.submit(2, 9), Err(SubmitError::Full), "changes");
    rig.submit(1, 3).unwrap();
    rig.submit(0, 4).unwrap();
    assert_eq!(rig.submit(0, 9), Err(SubmitError::Full), "tickets");
    rig.verdicts.send(Verdict::Commit).unwrap();
    assert_eq!(rig.began(), 4);
    assert_eq!(rig.submit(0, 9), Err(SubmitError::Full), "not drained");
    assert_eq!(rig.told(), "durable 1");
    rig.submit(1, 5).unwrap();
}

#[test]
fn threat_170_a_failure_fails_all_that_waits_is_told_once_and_mends() {
    let rig = rig(100);
    rig.submit(1, 1).unwrap();
    rig.began();
    rig.submit(1, 2).unwrap();
    rig.submit(1, 3).unwrap();
    let full = "broken (/full: the disk is full, or a limit of file sizes is reached)";
    assert_eq!(rig.end(Verdict::Fail), format!("{full}, failed 1, failed 2, failed 3"));
    assert_eq!(rig.submit(1, 4), Err(SubmitError::Broken));
    for _ in 0..3 {
        assert_eq!(rig.began(), 0, "an empty commit tries");
        rig.verdicts.send(Verdict::Fail).unwrap();
    }
    assert_eq!(rig.began(), 0);
    assert_eq!((rig.submit(1, 4), rig.told().as_str()), (Err(SubmitError::Broken), ""), "told once");
    assert_eq!(rig.end(Verdict::Commit), "mended");
    rig.submit(1, 5).unwrap();
    rig.began();
    assert_eq!(rig.end(Verdict::Fail), format!("{full}, failed 5"));
    assert_eq!(*rig.log.lock().unwrap(), [0]);
}

#[test]
fn closing_writes_what_was_submitted() {
    let mut rig = rig(100);
    rig.submit(1, 1).unwrap();
    rig.began();
    rig.submit(2, 2).unwrap();
    rig.submit(3, 3).unwrap();
    rig.verdicts.send(Verdict::Commit).unwrap();
    rig.verdicts.send(Verdict::Commit).unwrap();
    rig.writer.close().unwrap();
    assert_eq!(rig.told(), "durable 1, durable 2, durable 3");
    assert_eq!(*rig.log.lock().unwrap(), [1, 5]);
    assert_eq!(rig.submit(1, 4), Err(SubmitError::Closed));
    rig.writer.close().unwrap();
}

#[test]
fn closing_does_not_wait_for_a_store_to_mend() {
    let mut rig = rig(100);
    rig.submit(1, 1).unwrap();
    rig.began();
    rig.end(Verdict::Fail);
    rig.began();
    rig.verdicts.send(Verdict::Fail).unwrap();
    rig.verdicts = mpsc::channel().0;
    rig.writer.close().unwrap();
}

#[test]
fn threat_178_a_store_that_panics_leaves_nobody_waiting() {
    let mut rig = rig(100);
    rig.submit(1, 1).unwrap();
    rig.began();
    rig.submit(1, 2).unwrap();
    let told = rig.end(Verdict::Panic);
    let broken = "broken (the store's writer has ended: the puppet's strings broke)";
    assert_eq!(told, format!("{broken}, failed 1, failed 2"));
    assert_eq!(rig.submit(1, 3), Err(SubmitError::Broken));
    assert!(matches!(rig.writer.close(), Err(StoreError::Ended { .. })));
}
