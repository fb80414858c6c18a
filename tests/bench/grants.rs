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
/// The file is loaded within this.
const LOAD: Duration = Duration::from_secs(2);
/// Resident octets that a line may take.
const OCTETS: usize = 200;
/// How long a message may wait while the file is loaded again.
const PAUSE: Duration = Duration::from_millis(50);

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
    let begun = Instant::now();
    let config = config::check(&house.path("stoxd.toml")).unwrap();
    let took = begun.elapsed();
    assert_eq!(config.table.grant_count(), LINES + 1);
    println!("load            {:>8.2} s      bound {} s", took.as_secs_f64(), LOAD.as_secs());
    if took > LOAD {
        failed.push("load");
    }
    let users: Vec<Jid> =
        (0..1000).map(|n| Jid::parse(&format!("user.{:07}@contoso.example", n * 997)).unwrap()).collect();
    let begun = Instant::now();
    for _ in 0..1000 {
        users.iter().for_each(|user| drop(black_box(config.table.effective(black_box(user)))));
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
    let ready = AtomicBool::new(false);
    let (worst, asked) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let (mut worst, mut asked) = (Duration::ZERO, 0);
            while !ready.load(Ordering::Relaxed) {
                let begun = Instant::now();
                // bob has no grant, so the answer comes at once.
                assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", "x"), 403);
                worst = worst.max(begun.elapsed());
                asked += 1;
                // The sender's budget.
                std::thread::sleep(Duration::from_millis(25));
            }
            (worst, asked)
        });
        let begun = Instant::now();
        for _ in 0..3 {
            daemon.hang_up();
        }
        println!("reload          {:>8.2} s", begun.elapsed().as_secs_f64() / 3.0);
        ready.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    });
    println!(
        "longest answer  {:>8.1} ms of {asked}, bound {} ms",
        worst.as_secs_f64() * 1e3,
        PAUSE.as_millis()
    );
    if worst > PAUSE {
        failed.push("pause");
    }
    let again = daemon.resident().saturating_sub(bare) / LINES;
    println!("after reloads   {again:>8} octets a line");
    assert!(failed.is_empty(), "over the bound: {}", failed.join(", "));
}

/// Octets that the daemon takes with no line in the file.
fn resident(house: &House) -> usize {
    house.start().resident()
}
