//! A grants file of a million lines: how long it loads, what it takes of memory, what a look-up costs, and how
//! long messages wait while the daemon reads it again. Prints the figures and fails when a bound is broken.
//!
//! `cargo bench --bench grants`; it starts the daemon of the same build.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code)]
#[path = "../cli/rig.rs"]
mod rig;

use rig::{House, POLICY};
use std::fmt::Write;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use stoxd::addr::Jid;
use stoxd::config;

const LINES: usize = 1_000_000;
/// The file is loaded within this, by a thread that has a core for itself.
const LOAD: Duration = Duration::from_secs(2);
/// Resident octets that a line may take.
const OCTETS: usize = 200;
/// How long the thread that carries messages may be busy with a reload. What it did not do itself can't make a
/// message wait; the longest answer is printed too, but a busy machine makes that one.
const PAUSE: Duration = Duration::from_millis(10);
const RELOADS: u32 = 3;

fn main() {
    // `cargo test --benches` wants nothing of this.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let policy = POLICY.replace("[[test]]", "[grants]\nfile = \"grants.csv\"\n[[test]]");
    let Some(house) = House::new(&policy) else { return };
    let mut grants = String::with_capacity(LINES * 40);
    for n in 0..LINES {
        writeln!(grants, "sip:user.{n:07}@contoso.example,Sales").unwrap();
    }
    house.write("grants.csv", "");
    let bare = resident(&house);
    house.write("grants.csv", &grants);

    let mut failed = Vec::new();
    let (begun, before) = (Instant::now(), at_work());
    let config = config::check(&house.path("stoxd.toml")).unwrap();
    let (elapsed, took) = (begun.elapsed(), at_work() - before);
    assert_eq!(config.table.grant_count(), LINES + 1);
    let (used, elapsed) = (took.as_secs_f64(), elapsed.as_secs_f64());
    println!("load            {used:>8.2} s      bound {} s; {elapsed:.2} s by the clock", LOAD.as_secs());
    if took > LOAD {
        failed.push("load");
    }
    let users: Vec<Jid> =
        (0..1000).map(|n| Jid::parse(&format!("user.{:07}@contoso.example", n * 997)).unwrap()).collect();
    let begun = Instant::now();
    for _ in 0..1000 {
        for user in &users {
            black_box(config.table.effective(black_box(user)));
        }
    }
    println!("look-up         {:>8.0} ns", begun.elapsed().as_nanos() as f64 / 1e6);
    drop(config);

    let mut daemon = house.start();
    let full = daemon.resident();
    let line = full.saturating_sub(bare) / LINES;
    println!("resident        {line:>8} octets a line, bound {OCTETS}");
    if line > OCTETS {
        failed.push("resident");
    }
    // As long without a reload as with them, for the thread answers meanwhile.
    let (calm, idle) = (daemon.at_work(), answers(&house, || std::thread::sleep(took * RELOADS)));
    let calm = daemon.at_work() - calm;
    let (busy, begun) = (daemon.at_work(), Instant::now());
    let longest = answers(&house, || (0..RELOADS).for_each(|_| daemon.hang_up()));
    let reload = begun.elapsed() / RELOADS;
    let pause = (daemon.at_work() - busy).saturating_sub(calm) / RELOADS;
    println!("reload          {:>8.2} s", reload.as_secs_f64());
    println!("pause           {:>8.1} ms     bound {} ms", pause.as_secs_f64() * 1e3, PAUSE.as_millis());
    println!("longest answer  {:>8.1} ms     without a reload {:.1} ms", ms(longest), ms(idle));
    if pause > PAUSE {
        failed.push("pause");
    }
    // What was replaced is freed by another thread.
    let again = || daemon.resident().saturating_sub(bare) / LINES;
    let until = Instant::now() + Duration::from_secs(5);
    while again() > OCTETS && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("after reloads   {:>8} octets a line, bound {OCTETS}", again());
    if again() > OCTETS {
        failed.push("resident after reloads");
    }
    assert!(failed.is_empty(), "over the bound: {}", failed.join(", "));
}

/// How long this thread was at work.
fn at_work() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Does `work` while messages are answered; how long the longest answer took.
fn answers(house: &House, work: impl FnOnce()) -> Duration {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut worst = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                // bob has no grant, so the answer comes at once.
                assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", "x"), 403);
                worst = worst.max(begun.elapsed());
                // The sender's budget.
                std::thread::sleep(Duration::from_millis(25));
            }
            worst
        });
        work();
        done.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    })
}

/// Octets that the daemon takes with no line in the file.
fn resident(house: &House) -> usize {
    house.start().resident()
}
