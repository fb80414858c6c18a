//! The store: how fast changes become durable, alone and in groups, and how long a start takes.
//!
//! `cargo bench --bench store -- [ROWS] [DIRECTORY]`. The directory should lie on the disk that matters:
//! a commit costs what the disk takes to answer. Default: a million authorizations, under the system's
//! temporary directory.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use stoxd::addr::Jid;
use stoxd::now::Wall;
use stoxd::store::{Authorization, Change, Consent, Report, Settings, Sqlite, Store, Watching, Writer};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// One of ten contacts of a user.
fn change(n: u64) -> Outcome<Change> {
    let at = Wall::from_millis(1_795_392_000_000 + n);
    Ok(Authorization {
        direction: Watching::ALL[usize::from(n % 2 == 1)],
        watcher: Jid::parse(&format!("user{:06}@contoso.example", n / 10))?,
        presentity: Jid::parse(&format!("contact{:06}@partner{}.example", n * 7919 % 1_000_000, n % 10))?,
        state: Consent::Granted,
        created: at,
        used: at,
    }
    .into())
}

fn say(what: &str, time: Duration, count: u64) {
    let rate = count as f64 / time.as_secs_f64();
    println!("{what:<44} {:>10.1} ms {rate:>12.0}/s", time.as_secs_f64() * 1000.0);
}

/// Applies `count` changes, `size` in each commit.
fn apply(store: &mut Sqlite, from: u64, count: u64, size: u64) -> Outcome<Duration> {
    let mut spent = Duration::ZERO;
    for start in (from..from + count).step_by(usize::try_from(size)?) {
        let batch = (start..(start + size).min(from + count)).map(change).collect::<Outcome<Vec<_>>>()?;
        let begin = Instant::now();
        store.apply(&batch)?;
        spent += begin.elapsed();
    }
    Ok(spent)
}

/// Submits `count` changes one by one, as many at a time as the queue takes.
fn write(store: Sqlite, from: u64, count: u64) -> Outcome<Duration> {
    let (sender, wake) = mpsc::channel();
    let notify = Box::new(move || {
        let _ = sender.send(());
    });
    let writer = Writer::start(Box::new(store), Settings::default(), notify)?;
    let changes = (from..from + count).map(change).collect::<Outcome<Vec<_>>>()?;
    let begin = Instant::now();
    let (mut changes, mut done) = (changes.into_iter().zip(from..).peekable(), 0);
    while done < count {
        while let Some((change, ticket)) = changes.peek() {
            if writer.submit(vec![change.clone()], *ticket).is_err() {
                break;
            }
            changes.next();
        }
        wake.recv()?;
        for report in writer.drain() {
            match report {
                Report::Durable(_) => done += 1,
                other => return Err(format!("{other:?}").into()),
            }
        }
    }
    Ok(begin.elapsed())
}

fn start(directory: &Path, what: &str) -> Outcome<Sqlite> {
    let begin = Instant::now();
    let mut store = Sqlite::open(directory)?;
    let opened = begin.elapsed();
    let mut count = 0;
    store.load(&mut |_| count += 1)?;
    say(&format!("{what}: open and check"), opened, count);
    say(&format!("{what}: load"), begin.elapsed() - opened, count);
    Ok(store)
}

fn main() -> Outcome<()> {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let rows: u64 = words.next().map_or(Ok(1_000_000), |word| word.parse())?;
    let parent = words.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(parent)?;
    let cores = std::thread::available_parallelism()?;
    println!("{rows} authorizations, {cores} cores, {}", directory.path().display());

    let mut store = Sqlite::open(directory.path())?;
    say("1000 in each commit", apply(&mut store, 0, rows, 1000)?, rows);
    say("1 in each commit", apply(&mut store, rows, 1000, 1)?, 1000);
    say("64 in each commit", apply(&mut store, rows + 1000, 9000, 64)?, 9000);
    say("through the writer, as fast as it takes", write(store, rows + 10_000, 50_000)?, 50_000);
    let mut store = start(directory.path(), "after a clean end")?;
    apply(&mut store, rows + 60_000, 2000, 64)?;
    drop(store); // Leaves its log behind, as a killed process does.
    Box::new(start(directory.path(), "after kill -9")?).close()?;
    let octets = std::fs::metadata(directory.path().join("stoxd.db"))?.len();
    println!("{:<44} {:>10.1} MiB", "file", octets as f64 / f64::from(1 << 20));
    Ok(())
}
