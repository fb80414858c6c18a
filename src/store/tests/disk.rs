//! Disks that fill up, files that vanish.

use super::*;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

const DIRECTORY: &str = "STOXD_TEST_SMALL_STORE";

struct Bench {
    writer: Writer,
    wake: Receiver<()>,
    reports: Vec<Report>,
    next: u64,
}

impl Bench {
    fn on(directory: &Path) -> Self {
        let (sender, wake) = mpsc::channel();
        let settings = Settings { retry: Duration::from_millis(20), ..Default::default() };
        let notify = Box::new(move || {
            let _ = sender.send(());
        });
        let writer = Writer::start(Box::new(open(directory)), settings, notify).unwrap();
        Self { writer, wake, reports: Vec::new(), next: 1 }
    }

    /// Submits the next one; `Err` when it is not taken.
    fn submit(&mut self) -> Result<(), SubmitError> {
        self.writer.submit(submission(self.next), self.next)?;
        self.next += 1;
        Ok(())
    }

    /// Waits until one of the new reports fits; gives it and what came before it since the last call.
    #[track_caller]
    fn until(&mut self, fits: impl Fn(&Report) -> bool) -> Vec<Report> {
        loop {
            self.reports.extend(self.writer.drain());
            if let Some(at) = self.reports.iter().position(&fits) {
                return self.reports.drain(..=at).collect();
            }
            self.wake.recv_timeout(Duration::from_secs(20)).expect("nothing came");
        }
    }
}

fn durable(report: &Report) -> bool {
    matches!(report, Report::Durable(_))
}

/// Fills the store until it breaks; the last that is durable, and why it broke.
fn fill(bench: &mut Bench) -> (u64, std::sync::Arc<StoreError>) {
    let mut last = 0;
    for _ in 0..100_000 {
        bench.submit().unwrap();
        for report in bench.until(|report| !matches!(report, Report::Mended)) {
            match report {
                Report::Durable(ticket) => last = ticket,
                Report::Broken(error) => {
                    let Report::Failed(failed) = bench.until(|_| true).pop().unwrap() else { panic!() };
                    assert_eq!(failed, last + 1);
                    return (last, error);
                }
                other => panic!("{other:?}"),
            }
        }
    }
    panic!("the disk never got full");
}

/// A file system of one mebibyte, gone when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"])
            .arg(directory.path())
            .output();
        match mount {
            Ok(ran) if ran.status.success() => Some(Self(directory)),
            Ok(_) | Err(_) => {
                println!("SKIP: a small tmpfs can't be mounted here (root can): full disk");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn threat_170_a_full_disk_fails_what_is_not_stored_and_recovers() {
    let Some(disk) = SmallDisk::mount() else { return };
    let filler = disk.0.path().join("filler");
    fs::write(&filler, vec![1; 600 << 10]).unwrap();
    let mut bench = Bench::on(disk.0.path());
    let (last, error) = fill(&mut bench);
    assert!(matches!(&*error, StoreError::Full { .. }), "{error}");
    assert!(last > 10, "{last}");
    // Whatever is left is gone too, so that a small commit finds no room either.
    let _ = fs::write(disk.0.path().join("more"), vec![1; 400 << 10]);
    let refused = (0..1000).find_map(|_| bench.submit().err());
    assert!(matches!(refused, Some(SubmitError::Broken)), "{refused:?}");
    bench.reports.extend(bench.writer.drain());
    let broken = |report: &&Report| matches!(report, Report::Broken(_));
    assert!(bench.reports.iter().filter(broken).count() <= 1, "told once: {:?}", bench.reports);

    fs::remove_file(&filler).unwrap();
    let _ = fs::remove_file(disk.0.path().join("more"));
    bench.until(|report| matches!(report, Report::Mended));
    while bench.submit().is_err() {
        bench.until(|report| matches!(report, Report::Mended));
    }
    bench.until(|report| matches!(report, Report::Durable(ticket) if *ticket > last));
    bench.writer.close().unwrap();
    let found = Model::of(&mut open(disk.0.path())).unwrap();
    assert_eq!(found.watermark, Some(bench.next - 1));
    drop(bench);
}

/// The same without a file system of its own: a process that may write no file beyond 256 KiB.
#[test]
fn threat_170_a_limit_of_file_sizes_loses_nothing_that_was_durable() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        let (last, error) = fill(&mut Bench::on(Path::new(&directory)));
        println!("\nlast {last}\nbecause {error}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let test = "store::tests::disk::threat_170_a_limit_of_file_sizes_loses_nothing_that_was_durable";
    let ran = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 512; exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&ran.stdout).into_owned();
    let line = |start: &str| out.lines().find_map(|line| line.strip_prefix(start).map(str::to_owned));
    let last: u64 = line("last ").unwrap_or_else(|| panic!("{ran:?}")).parse().unwrap();
    assert!(line("because ").unwrap().contains("stoxd.db"), "{out}");
    let found = Model::of(&mut open(directory.path())).unwrap();
    let stored = found.watermark.unwrap();
    assert!(last > 10 && (last..=last + 1).contains(&stored), "{last} was durable, {stored} is stored");
    assert_eq!(found, after(stored));
}

#[test]
fn threat_177_a_directory_that_was_moved_takes_nothing_and_may_come_back() {
    let parent = tempfile::tempdir().unwrap();
    let (here, there): (PathBuf, PathBuf) = (parent.path().join("state"), parent.path().join("moved"));
    let mut bench = Bench::on(&here);
    bench.submit().unwrap();
    bench.until(durable);
    fs::rename(&here, &there).unwrap();
    bench.submit().unwrap();
    let reports = bench.until(|report| matches!(report, Report::Failed(2)));
    let [Report::Broken(error), Report::Failed(2)] = &reports[..] else { panic!("{reports:?}") };
    assert!(matches!(&**error, StoreError::Moved { .. }), "{error}");
    assert_eq!(bench.submit(), Err(SubmitError::Broken));
    // Another directory in its place is not it.
    drop(open(&here));
    assert_eq!(bench.submit(), Err(SubmitError::Broken));
    fs::remove_dir_all(&here).unwrap();
    fs::rename(&there, &here).unwrap();
    bench.until(|report| matches!(report, Report::Mended));
    bench.submit().unwrap();
    bench.until(|report| matches!(report, Report::Durable(3)));
    bench.writer.close().unwrap();
    assert_eq!(Model::of(&mut open(&here)).unwrap().watermark, Some(3));
}

#[test]
fn threat_177_a_log_that_was_removed_takes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = Bench::on(directory.path());
    bench.submit().unwrap();
    bench.until(durable);
    fs::remove_file(directory.path().join("stoxd.db-wal")).unwrap();
    bench.submit().unwrap();
    let reports = bench.until(|report| matches!(report, Report::Failed(2)));
    assert!(matches!(&reports[0], Report::Broken(error) if error.to_string().contains("stoxd.db-wal")));
}
