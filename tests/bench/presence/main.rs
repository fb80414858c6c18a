//! Watches against the machines, without sockets: octets in, octets out, virtual time.
//!
//! `cargo bench --bench presence -- [WATCHES] [RUNS]`, by default 100000 and 3. Each SIP user is joined to ten XMPP
//! users. Every measurement has a process of its own, and the same is done with a tenth of the watches: costs of
//! each watch that stay the same say that the whole grows linearly. Figures are medians. CPU time is that of
//! framing, parsing, the gate, the machines and writing; TLS and the kernel come on top (`tests/bench/watches`).
//! Every item must arrive, once, with what it says; else this fails.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the benchmark of messages counts allocations")]
mod measure;
mod texts;
#[allow(dead_code, reason = "the benchmark of messages forgets what was sent")]
mod world;

use measure::Memory;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};
use stoxd::addr::Jid;
use stoxd::now::Wall;
use stoxd::store::{Authorization, Consent, Contact, Record, Watching};
use texts::{CONTACTS, Couple, Dialog, accept, answer, plain, presence, subscribe};
use world::{Bundle, World};

/// Watches that are made in a second of virtual time.
const MADE: usize = 500;
/// Items that come together, each of another watch, in one go that is measured.
const BATCH: usize = 10_000;
/// How long such a batch takes in virtual time.
const BEAT: Duration = Duration::from_secs(5);
/// How often each watch has something new.
const ROUNDS: usize = 2;
/// How much more a watch may cost among ten times as many: caches are not larger then. A scan for each would be ×10.
const LINEAR: f64 = 2.5;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if let [part, watches] = words.as_slice()
        && let Some((_, measure)) = PARTS.iter().find(|(name, _)| name == part)
    {
        return measure(watches.parse().unwrap());
    }
    let number = |at: usize, usual| words.get(at).map_or(usual, |word| word.parse().unwrap());
    report(number(0, 100_000), number(1, 3));
}

/// Has figures of itself, and tells them to the process that asked.
type Part = fn(usize);

const PARTS: [(&str, Part); 3] =
    [("xmpp", xmpp_watches_sip), ("sip", sip_watches_xmpp), ("restart", restart)];

fn say(name: &str, value: f64) {
    println!("{name} {value}");
}

fn say_time(name: &str, time: Duration, count: usize) {
    say(name, time.as_secs_f64() * 1e6 / count as f64);
}

/// An XMPP user watches a SIP user.
fn xmpp_watches_sip(watches: usize) {
    let users = watches / CONTACTS;
    let mut world = World::new();
    let mut dialogs = vec![Dialog::NONE; watches];
    let before = Memory::now();
    let mut made = Duration::ZERO;
    for (number, dialog) in dialogs.iter_mut().enumerate() {
        made += make_xmpp(&mut world, Couple::of(number, users), number, dialog);
        if number % MADE == MADE - 1 {
            made += settle(&mut world, Duration::from_secs(1));
        }
    }
    settle(&mut world, Duration::from_secs(60));
    let each = before.each(watches);
    say("resident", each.resident);
    say("live", each.live);
    say_time("made", made, watches);
    assert_eq!(world.gateway.watch_counts(), [watches, 0]);

    let mut crossed = Duration::ZERO;
    for round in 0..ROUNDS {
        let note = format!("in a meeting, round {round}");
        for first in (0..watches).step_by(BATCH) {
            let batch: Vec<_> = (first..watches.min(first + BATCH)).collect();
            let mut notifies = Bundle::default();
            for number in &batch {
                notifies.add(|out| dialogs[*number].notify(Couple::of(*number, users), &note, out));
            }
            crossed += world.timed(|world| notifies.iter().for_each(|notify| world.message(notify)));
            let (answers, presences) = world.take();
            assert_eq!((answers.len(), presences.len()), (batch.len(), batch.len()));
            assert!(answers.iter().all(|answer| answer.starts_with(b"SIP/2.0 200 ")));
            for (number, presence) in batch.iter().zip(presences.iter()) {
                assert_shows(presence, Couple::of(*number, users), &format!("<status>{note}</status>"));
            }
            crossed += settle(&mut world, BEAT);
        }
    }
    say_time("crossed", crossed, ROUNDS * watches);
    reload(world, watches);
}

/// From `subscribe` to the first presence.
fn make_xmpp(world: &mut World, couple: Couple, number: usize, dialog: &mut Dialog) -> Duration {
    let mut octets = Vec::new();
    plain(couple, "subscribe", number, &mut octets);
    let begin = Instant::now();
    world.stanza(&octets);
    let mut spent = begin.elapsed();
    let (sip, _) = world.take();
    let request = sip.one();
    *dialog = Dialog::of(request).unwrap();
    octets.clear();
    accept(request, &mut octets);
    dialog.notify(couple, "at work", &mut octets);
    let begin = Instant::now();
    world.message(&octets);
    spent += begin.elapsed();
    let (sip, xmpp) = world.take();
    assert!(sip.one().starts_with(b"SIP/2.0 200 "));
    let said: Vec<_> = xmpp.iter().collect();
    assert_eq!(said.len(), 2);
    assert_shows(said[0], couple, "type='subscribed'");
    assert_shows(said[1], couple, "<status>at work</status>");
    spent
}

/// A SIP user watches an XMPP user.
fn sip_watches_xmpp(watches: usize) {
    let users = watches / CONTACTS;
    let mut world = World::new();
    let before = Memory::now();
    let mut made = Duration::ZERO;
    for number in 0..watches {
        made += make_sip(&mut world, Couple::of(number, users), number);
        if number % MADE == MADE - 1 {
            made += settle(&mut world, Duration::from_secs(1));
        }
    }
    settle(&mut world, Duration::from_secs(60));
    let each = before.each(watches);
    say("resident", each.resident);
    say("live", each.live);
    say_time("made", made, watches);
    assert_eq!(world.gateway.watch_counts(), [0, watches]);

    let mut crossed = Duration::ZERO;
    for round in 0..ROUNDS {
        let note = format!("on the phone, round {round}");
        for first in (0..watches).step_by(BATCH) {
            let batch: Vec<_> = (first..watches.min(first + BATCH)).collect();
            crossed += tell(&mut world, &batch, users, &note);
            crossed += expect_notifies(&mut world, &batch, users, &note);
            crossed += settle(&mut world, BEAT + Duration::from_secs(1));
        }
    }
    say_time("crossed", crossed, ROUNDS * watches);

    // Of what comes within 5 s the first goes out at once, and the last one then.
    let batch: Vec<_> = (0..watches.min(BATCH)).collect();
    tell(&mut world, &batch, users, "first");
    expect_notifies(&mut world, &batch, users, "first");
    tell(&mut world, &batch, users, "second");
    tell(&mut world, &batch, users, "third");
    settle(&mut world, Duration::from_millis(4900));
    world.pass(Duration::from_millis(200));
    expect_notifies(&mut world, &batch, users, "third");
    settle(&mut world, Duration::from_secs(60));
    reload(world, watches);
}

/// The presence of the XMPP user of each watch in `batch` is `note`.
fn tell(world: &mut World, batch: &[usize], users: usize, note: &str) -> Duration {
    let mut presences = Bundle::default();
    for number in batch {
        presences.add(|out| presence(Couple::of(*number, users), note, out));
    }
    world.timed(|world| presences.iter().for_each(|presence| world.stanza(presence)))
}

/// One NOTIFY of each watch in `batch` was sent, with `note`. They are answered.
fn expect_notifies(world: &mut World, batch: &[usize], users: usize, note: &str) -> Duration {
    let (notifies, xmpp) = world.take();
    assert_eq!((notifies.len(), xmpp.len()), (batch.len(), 0));
    let (mut answers, mut seen) = (Bundle::default(), vec![false; batch.len()]);
    for notify in notifies.iter() {
        let couple = Couple::read(notify).unwrap();
        assert_shows(notify, couple, &format!(">{note}</"));
        let at = couple.number(users).and_then(|number| batch.binary_search(&number).ok()).unwrap();
        assert!(!std::mem::replace(&mut seen[at], true), "two NOTIFYs of one watch");
        answers.add(|out| answer(notify, "", out));
    }
    world.timed(|world| answers.iter().for_each(|answer| world.message(answer)))
}

/// From the SUBSCRIBE to the NOTIFY of the first presence.
fn make_sip(world: &mut World, couple: Couple, number: usize) -> Duration {
    let mut octets = Vec::new();
    subscribe(couple, number, &mut octets);
    let begin = Instant::now();
    world.message(&octets);
    let mut spent = begin.elapsed();
    let (sip, xmpp) = world.take();
    assert_shows(xmpp.one(), couple, "type='subscribe'");
    let said: Vec<_> = sip.iter().collect();
    assert!(said.len() == 2 && said[0].starts_with(b"SIP/2.0 200 "));
    assert_shows(said[1], couple, "Subscription-State: pending;");
    spent += answer_and(world, said[1], |octets| plain(couple, "subscribed", number, octets));
    let (sip, _) = world.take();
    assert_shows(sip.one(), couple, "Subscription-State: active;");
    spent += answer_and(world, sip.one(), |octets| presence(couple, "in the orchard", octets));
    let (sip, _) = world.take();
    assert_shows(sip.one(), couple, ">in the orchard</");
    spent + answer_and(world, sip.one(), |_| {})
}

/// The SIP server answers `request`, then the XMPP server says something.
fn answer_and(world: &mut World, request: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> Duration {
    let (mut message, mut stanza) = (Vec::new(), Vec::new());
    answer(request, "", &mut message);
    write(&mut stanza);
    let begin = Instant::now();
    world.message(&message);
    world.stanza(&stanza);
    begin.elapsed()
}

/// Everybody may go on as before; nothing is sent.
fn reload(mut world: World, watches: usize) {
    let (_, table) = world::configured();
    let begin = Instant::now();
    world.gateway.reload(world.now, table);
    world.perform();
    say_time("reload", begin.elapsed(), watches);
    let (sip, xmpp) = world.take();
    assert_eq!((sip.len(), xmpp.len()), (0, 0));
}

/// The store has `watches` of XMPP users that SIP users granted, and as many the other way.
fn restart(watches: usize) {
    let users = watches / CONTACTS;
    let mut world = World::new();
    let rate = world.gateway.settings().presence.subscribe_rate as usize;
    let records: Vec<Record> = (0..watches).flat_map(|number| records(Couple::of(number, users))).collect();
    let begin = Instant::now();
    world.gateway.restore(world.now, records);
    say_time("restored", begin.elapsed(), watches);
    assert_eq!(world.gateway.watch_counts(), [watches; 2]);

    let (mut spent, mut seconds, mut most, mut sent) = (Duration::ZERO, 0, 0, 0);
    let mut seen = vec![false; watches];
    while sent < watches {
        spent += world.timed(|world| world.pass(Duration::from_secs(1)));
        seconds += 1;
        let (requests, xmpp) = world.take();
        assert_eq!(xmpp.len(), 0);
        let mut answers = Bundle::default();
        for request in requests.iter() {
            assert!(request.starts_with(b"SUBSCRIBE "));
            let couple = Couple::read(request).unwrap();
            let known = &mut seen[couple.number(users).unwrap()];
            assert!(!std::mem::replace(known, true), "two SUBSCRIBEs of one watch");
            answers.add(|out| {
                accept(request, out);
                Dialog::of(request).unwrap().notify(couple, "at work", out);
            });
        }
        spent += world.timed(|world| answers.iter().for_each(|answer| world.message(answer)));
        let (answers, presences) = world.take();
        // Nobody knows who was shown: the first telling begins with the end of all that was.
        assert_eq!((answers.len(), presences.len()), (requests.len(), 2 * requests.len()));
        for (number, presence) in presences.iter().enumerate() {
            let wanted: &[u8] = if number % 2 == 0 { b"type='unavailable'" } else { b">at work<" };
            assert!(memchr::memmem::find(presence, wanted).is_some());
        }
        sent += requests.len();
        most = most.max(requests.len());
        assert!(seconds <= 2 * (watches / rate + 60), "{sent} SUBSCRIBEs in {seconds} s");
    }
    assert!(most <= rate + 1, "{most} SUBSCRIBEs in a second");
    say_time("rebuilt", spent, watches);
    say("seconds", f64::from(u32::try_from(seconds).unwrap()));
    say("most", most as f64);
}

fn records(couple: Couple) -> [Record; 3] {
    let (user, friend) = (Jid::parse(&couple.sip()).unwrap(), Jid::parse(&couple.xmpp()).unwrap());
    let at = Wall::from_millis(world::start().as_millis() - 3_600_000);
    let authorization = |direction, watcher: &Jid, presentity: &Jid, state| {
        let (watcher, presentity) = (watcher.clone(), presentity.clone());
        Record::Authorization(Authorization { direction, watcher, presentity, state, created: at, used: at })
    };
    [
        authorization(Watching::XmppWatchesSip, &friend, &user, Consent::Announced),
        authorization(Watching::SipWatchesXmpp, &user, &friend, Consent::Granted),
        Record::Contact(Contact { user, contact: friend, added: at }),
    ]
}

fn settle(world: &mut World, time: Duration) -> Duration {
    let spent = world.timed(|world| world.pass(time));
    let (sip, xmpp) = world.take();
    assert_eq!((sip.len(), xmpp.len()), (0, 0), "nothing is due");
    spent
}

fn assert_shows(octets: &[u8], couple: Couple, what: &str) {
    let shows = memchr::memmem::find(octets, what.as_bytes()).is_some();
    assert!(
        shows && Couple::read(octets) == Some(couple),
        "no {what} of {couple:?} in {}",
        String::from_utf8_lossy(octets)
    );
}

/// A figure's name and what it is; one without a label is no cost of a watch.
type Row = (&'static str, &'static str);

/// What is printed of a part: its name, its title, its figures.
const TABLE: [(&str, &str, &[Row]); 3] = [
    (
        "xmpp",
        "an XMPP user watches a SIP user",
        &[
            ("resident", "memory, octets resident"),
            ("live", "memory, octets allocated"),
            ("made", "made, from subscribe to presence, µs"),
            ("crossed", "NOTIFY to presence, µs CPU"),
            ("reload", "judged again at a reload, µs"),
        ],
    ),
    (
        "sip",
        "a SIP user watches an XMPP user",
        &[
            ("resident", "memory, octets resident"),
            ("live", "memory, octets allocated"),
            ("made", "made, from SUBSCRIBE to presence, µs"),
            ("crossed", "presence to NOTIFY, µs CPU"),
            ("reload", "judged again at a reload, µs"),
        ],
    ),
    (
        "restart",
        "a restart, as many watches each way",
        &[
            ("restored", "restored, both, µs"),
            ("rebuilt", "SUBSCRIBE to presence, µs CPU"),
            ("seconds", ""),
            ("most", ""),
        ],
    ),
];

fn report(watches: usize, runs: usize) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let sizes = [watches / 10, watches];
    println!(
        "stoxd {}, {cores} cores; each SIP user joined to {CONTACTS} XMPP users; costs of one watch, median of {runs}",
        env!("CARGO_PKG_VERSION"),
    );
    println!("{:<46}{:>12}{:>12}", "watches", sizes[0], sizes[1]);
    let mut worse = Vec::new();
    for (part, title, rows) in TABLE {
        println!("{title}");
        let [small, large] = sizes.map(|size| medians(part, size, runs));
        for (name, label) in rows.iter().filter(|(_, label)| !label.is_empty()) {
            let (one, other) = (small[*name], large[*name]);
            let growth = other / one;
            if growth > LINEAR {
                worse.push(*label);
            }
            let rate = match *name {
                "crossed" => format!("  {:.0} in a CPU second", 1e6 / other),
                _ => String::new(),
            };
            println!("  {label:<44}{one:>12.1}{other:>12.1}  ×{growth:.2}{rate}");
        }
        if let (Some(seconds), Some(most)) = (large.get("seconds"), large.get("most")) {
            println!("  all {watches} have sent SUBSCRIBE after {seconds} s, at most {most} in a second");
        }
    }
    assert!(worse.is_empty(), "more than ×{LINEAR} among ten times as many: {worse:?}");
    println!("Every item arrived, once. Ten times as many cost at most ×{LINEAR} each: it grows linearly.");
}

/// The median of each figure of a part, each run in a new process.
fn medians(part: &str, watches: usize, runs: usize) -> BTreeMap<String, f64> {
    let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for _ in 0..runs {
        let program = std::env::current_exe().unwrap();
        let run = Command::new(program).args([part, &watches.to_string()]).output().unwrap();
        let text = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success(), "{part} {watches}: {text}{}", String::from_utf8_lossy(&run.stderr));
        for (name, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            all.entry(name.to_owned()).or_default().push(value.parse().unwrap());
        }
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    all.into_iter().map(|(name, values)| (name, median(values))).collect()
}
