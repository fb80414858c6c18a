//! `kill -9`, and two processes. The test binary runs itself again as the process to be killed: the
//! same test with a directory in its environment.

use super::*;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const DIRECTORY: &str = "STOXD_TEST_STORE";

/// Runs a test of this module as a child on `directory`.
fn child(test: &str, directory: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("store::tests::crash::{test}"), "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Tells `what` at once, in one piece.
fn say(what: &str, n: u64) {
    std::io::stdout().write_all(format!("\n{what} {n}\n").as_bytes()).unwrap();
}

/// Submits from where the store stands up to `last`, many at a time, and tells each step.
fn traffic(directory: &Path, last: u64, say: impl Fn(&str, u64)) {
    let mut store = open(directory);
    let first = Model::of(&mut store).unwrap().watermark.unwrap_or(0) + 1;
    let (sender, wake) = mpsc::channel();
    let notify = Box::new(move || sender.send(()).unwrap());
    let mut writer = Writer::start(Box::new(store), Settings::default(), notify).unwrap();
    let mut acknowledged = first - 1;
    let mut drain = |writer: &Writer| {
        for report in writer.drain() {
            let Report::Durable(ticket) = report else { panic!("{report:?}") };
            assert_eq!(ticket, acknowledged + 1, "in order, none left out");
            acknowledged = ticket;
            say("durable", ticket);
        }
        acknowledged
    };
    for n in first..=last {
        say("submit", n);
        writer.submit(submission(n), n).unwrap();
        while n - drain(&writer) > n * 7 % 40 {
            wake.recv().unwrap();
        }
    }
    writer.close().unwrap();
    assert_eq!(drain(&writer), last);
}

#[test]
fn submissions_come_back_in_order() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        traffic(Path::new(&directory), u64::MAX, say);
    }
    let directory = tempfile::tempdir().unwrap();
    traffic(directory.path(), 300, |_, _| {});
    traffic(directory.path(), 310, |_, _| {});
    assert_eq!(Model::of(&mut open(directory.path())).unwrap(), after(310));
}

#[test]
fn threat_150_nothing_acknowledged_is_lost_and_nothing_invented_by_kill_9() {
    let mut dice = Dice(0x1234_5678);
    let mut directory = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    let (mut in_store, mut kills, mut told) = (0, 0, 0);
    while kills < 50 {
        if kills % 10 == 9 {
            directory = tempfile::tempdir().unwrap();
            (model, in_store) = (Model::default(), 0);
        }
        let mut process = child("submissions_come_back_in_order", directory.path());
        let mut lines = BufReader::new(process.stdout.take().unwrap()).split(b'\n');
        let (mut submitted, mut acknowledged) = (in_store, in_store);
        let mut read = |line: Vec<u8>| {
            let line = String::from_utf8(line).unwrap();
            match line.split_once(' ') {
                Some(("submit", n)) => submitted = n.parse().unwrap(),
                Some(("durable", n)) => acknowledged = n.parse().unwrap(),
                _ => return,
            }
            told += 1;
        };
        // Some die while they start, the others in the middle of their work.
        for _ in 0..[0, dice.below(20), dice.below(400)][dice.below(3)] {
            read(lines.next().unwrap().unwrap());
        }
        std::thread::sleep(Duration::from_micros(dice.below(4000) as u64));
        process.kill().unwrap();
        process.wait().unwrap();
        // Lines so short are written whole or not at all (pipe(7)).
        lines.map(Result::unwrap).for_each(&mut read);

        let mut store = open(directory.path());
        let found = Model::of(&mut store).unwrap();
        let last = found.watermark.unwrap_or(0);
        assert!(acknowledged <= last, "{acknowledged} was acknowledged, the store has {last}");
        assert!(last <= submitted, "{submitted} was submitted, the store has {last}");
        (in_store + 1..=last).for_each(|n| model.apply(&submission(n)));
        assert_eq!(found, model, "after {last}");
        in_store = last;
        if dice.below(2) == 0 {
            Box::new(store).close().unwrap();
        }
        kills += 1;
    }
    println!("{told} lines of 50 processes");
    assert!(told > 500, "they were killed before they did anything");
}

#[test]
fn threat_151_a_second_process_is_refused() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        let store = open(Path::new(&directory));
        say("open", 0);
        std::io::stdin().read_line(&mut String::new()).unwrap();
        drop(store);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut other = child("threat_151_a_second_process_is_refused", directory.path());
    let lines = BufReader::new(other.stdout.take().unwrap()).lines();
    assert!(lines.map(Result::unwrap).any(|line| line == "open 0"));
    let error = Sqlite::open(directory.path()).unwrap_err();
    let StoreError::Busy { process, .. } = &error else { panic!("{error}") };
    assert_eq!(*process, Some(other.id()));
    let text = error.to_string();
    assert!(text.contains("stoxd.lock") && text.contains("stop it first"), "{text}");
    other.kill().unwrap();
    other.wait().unwrap();
    let first = open(directory.path());
    assert!(matches!(Sqlite::open(directory.path()), Err(StoreError::Busy { .. })), "nor twice in one");
    drop(first);
    open(directory.path());
}
