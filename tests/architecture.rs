//! The walls of the house, read from the sources: who may import whom, where I/O may happen, and
//! who may mint a verdict. `src/lib.rs` draws the same map in words.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Leaves that every room may use.
const LEAVES: &[&str] = &["addr", "xml", "now", "ids", "crossing"];

/// Room → rooms that it may name as `crate::room`, besides itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("addr", &[]),
    ("xml", &[]),
    ("now", &[]),
    ("ids", &[]),
    ("crossing", &["addr"]),
    ("x509", &["addr", "now"]),
    ("body", &["addr", "xml"]),
    ("policy", &["addr", "now", "crossing"]),
    ("xmpp", &["addr", "xml", "now", "ids", "crossing"]),
    ("sip", &["addr", "now", "ids", "crossing"]),
    ("msrp", &["addr", "now", "ids"]),
    ("bridge", &["xmpp", "sip", "body", "policy", "store", "addr", "xml", "now", "ids", "crossing"]),
    (
        "gateway",
        &[
            "bridge", "store", "xmpp", "sip", "msrp", "body", "policy", "addr", "xml", "now", "ids",
            "crossing",
        ],
    ),
    ("store", &["addr", "policy", "now"]),
    ("config", &["addr", "policy", "crossing", "now"]),
    ("net", &["xmpp", "sip", "msrp", "gateway", "store", "x509", "addr", "xml", "now", "ids", "crossing"]),
    ("admin", &["gateway", "store", "policy", "config", "x509", "addr", "crossing", "now", "xml"]),
    (
        "daemon",
        &[
            "admin", "net", "config", "gateway", "store", "bridge", "xmpp", "sip", "msrp", "body", "policy",
            "x509", "addr", "xml", "now", "ids", "crossing",
        ],
    ),
];

/// Rooms that touch the world. `config` reads files in `load.rs` alone.
const WORLDLY: &[&str] = &["net", "admin", "daemon", "store"];

/// What only worldly rooms may say.
const WORLD: &[&str] = &[
    "tokio::",
    "std::net::Tcp",
    "std::net::Udp",
    "std::fs",
    "async fn",
    ".await",
    "Instant::now",
    "SystemTime",
    "std::thread",
    "getrandom",
    "std::env",
    "std::process",
    "std::os::unix",
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, into: &mut Vec<(PathBuf, String)>) {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|e| e == "rs") {
                into.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.len() > 50, "the sources are not where this test looks");
    found
}

/// The room of a source file: the first part of its path below `src`, without `.rs`.
fn room(path: &Path) -> String {
    let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    below.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

fn is_test_file(path: &Path) -> bool {
    path.iter().any(|part| part == "tests") || path.file_stem().unwrap().to_str().unwrap().ends_with("tests")
}

/// The code of a file: comments gone, and everything from the unit tests on.
fn code(path: &Path, text: &str) -> String {
    if is_test_file(path) {
        return String::new();
    }
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The rooms that `code` names behind `crate::`, also inside `use crate::{a, b::c}`.
fn named_rooms(code: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut word = String::new();
            let mut at_start = true;
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => at_start = true,
                    c if depth == 1 && at_start && (c.is_alphanumeric() || c == '_') => {
                        word.push(c);
                        continue;
                    }
                    c if c.is_whitespace() => continue,
                    _ => at_start = false,
                }
                if !word.is_empty() {
                    named.insert(std::mem::take(&mut word));
                    at_start = c == ',';
                }
                if depth == 0 {
                    break;
                }
            }
        } else {
            let word: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            named.insert(word);
        }
    }
    named
}

#[test]
fn rooms_use_only_what_they_may() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let room = room(&path);
        if room == "lib" || room == "main" {
            continue;
        }
        let (_, allowed) = MAY_USE
            .iter()
            .find(|(name, _)| *name == room)
            .unwrap_or_else(|| panic!("room {room} is on no map: put it into MAY_USE and src/lib.rs"));
        for named in named_rooms(&code(&path, &text)) {
            let is_room = MAY_USE.iter().any(|(name, _)| *name == named);
            if is_room && named != room && !allowed.contains(&named.as_str()) {
                broken.push(format!("{} uses crate::{named}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn machines_do_no_io_and_ask_no_clock() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let room = room(&path);
        if room == "main" || WORLDLY.contains(&room.as_str()) || path.ends_with("config/load.rs") {
            continue;
        }
        for word in WORLD {
            if code(&path, &text).contains(word) {
                broken.push(format!("{} says {word}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The store waits for its disk in a thread of its own, without a runtime; its records are values.
#[test]
fn the_store_uses_files_and_threads_alone() {
    for (path, text) in sources() {
        let code = code(&path, &text);
        let name = path.display();
        assert!(room(&path) == "store" || !code.contains("rusqlite"), "{name} names the store's database");
        if room(&path) != "store" {
            // Machines know records, and nothing of where they are kept.
            let machine = !WORLDLY.contains(&room(&path).as_str());
            for rest in code.split("crate::store").skip(1).filter(|_| machine) {
                let known = rest.starts_with("::record") || rest.starts_with("::waiting");
                assert!(known, "{name} names more of the store than its records");
            }
            continue;
        }
        let pure = path.ends_with("store/record.rs") || path.ends_with("store/waiting.rs");
        let files = ["std::fs", "std::os::unix", "std::process", "std::thread"];
        for word in WORLD.iter().filter(|word| pure || !files.contains(word)) {
            assert!(!code.contains(word), "{name} says {word}");
        }
    }
}

#[test]
fn only_net_reads_the_clocks() {
    for (path, text) in sources() {
        let code = code(&path, &text);
        if code.contains("SystemTime::now") || code.contains("std::time::Instant") {
            assert!(path.ends_with("net/clock.rs"), "{} reads a clock", path.display());
        }
        if code.contains("Instant::now") {
            assert_eq!(room(&path), "net", "{} reads a clock", path.display());
        }
    }
}

#[test]
fn verdicts_have_one_mint_each() {
    for (path, text) in sources() {
        let code = code(&path, &text);
        let file = path.to_str().unwrap();
        if code.contains("Verified::prove(") {
            assert!(
                file.contains("/xmpp/stream") || path.ends_with("sip/uas.rs"),
                "{file} proves a sender: only the stream and the UAS may"
            );
        }
        if code.contains("Admitted {") && !code.contains("struct Admitted") && !code.contains("impl") {
            panic!("{file} builds an Admitted");
        }
        let mints = code.matches("Admitted { item").count();
        assert!(mints == 0 || path.ends_with("policy/gate.rs"), "{file} mints an Admitted");
    }
}

#[test]
fn admitted_keeps_its_fields_to_itself() {
    let (_, gate) = sources().into_iter().find(|(path, _)| path.ends_with("policy/gate.rs")).unwrap();
    let body = gate.split("pub struct Admitted<T> {").nth(1).unwrap().split('}').next().unwrap();
    assert!(!body.contains("pub"), "a field of Admitted is public: {body}");
    assert!(!gate.contains("impl<T> Clone for Admitted") && !gate.contains("DerefMut for Admitted"));
}

#[test]
fn the_bridge_takes_only_what_was_admitted() {
    let (_, code) = sources().into_iter().find(|(path, _)| path.ends_with("gateway/crossings.rs")).unwrap();
    for entrance in ["fn bridge_to_sip(", "fn bridge_to_xmpp("] {
        let signature =
            code.split(entrance).nth(1).unwrap_or_else(|| panic!("{entrance} is gone")).split('{').next();
        assert!(signature.unwrap().contains("Admitted<"), "{entrance} takes what the gate has not admitted");
    }
}

#[test]
fn files_stay_small() {
    let mut large: Vec<String> = sources()
        .into_iter()
        .filter(|(_, text)| text.lines().count() > 600)
        .map(|(path, text)| format!("{}: {}", path.display(), text.lines().count()))
        .collect();
    large.sort();
    assert!(large.is_empty(), "over 600 lines, split by what they own:\n{}", large.join("\n"));
}

#[test]
fn the_map_names_every_room() {
    let map = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    for (room, _) in MAY_USE {
        assert!(map.contains(&format!("pub mod {room};")) && map.contains(&format!("[`{room}`]")), "{room}");
    }
    assert!(LEAVES.iter().all(|leaf| MAY_USE.iter().any(|(room, _)| room == leaf)));
}

/// Names of events in `text`: what stands in quotes and has a point in it.
fn quoted_events(text: &str) -> impl Iterator<Item = &str> {
    let is_event = |word: &&str| {
        let part = |part: &str| !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_lowercase());
        word.split_once('.').is_some_and(|(one, other)| part(one) && part(other))
    };
    text.split('"').skip(1).step_by(2).filter(is_event)
}

#[test]
fn every_event_of_the_journal_stands_in_the_manual() {
    let mut events = BTreeSet::new();
    for (path, text) in sources() {
        let code = code(&path, &text);
        for rest in code.split("stoxd_event = ").skip(1) {
            let name = rest.strip_prefix('"').and_then(|rest| rest.split('"').next());
            events.extend(name.map(str::to_owned));
        }
        // Where the name is chosen first, it stands in a line of its own.
        let chosen = code.lines().filter(|line| line.contains("=> \"") || line.contains("event, "));
        let is_one = |name: &&str| {
            ["subscription", "stream", "link", "message"].iter().any(|kind| name.starts_with(kind))
        };
        events.extend(
            chosen.flat_map(|line| quoted_events(line).filter(is_one).map(str::to_owned).collect::<Vec<_>>()),
        );
        let kinds = code.lines().filter(|line| line.contains("Kind::") && line.contains("=> (\""));
        events.extend(kinds.flat_map(|line| quoted_events(line).map(str::to_owned).collect::<Vec<_>>()));
    }
    for known in
        ["policy.deny", "session.down", "subscription.waits", "subscription.failed", "link.revoked", "panic"]
    {
        assert!(events.contains(known), "{known} is not found: {events:?}");
    }
    let manual = include_str!("../config/man/stoxd.8");
    let journal = manual.split(".SH JOURNAL").nth(1).and_then(|rest| rest.split(".SH").next()).unwrap();
    let listed: BTreeSet<String> = journal
        .split(".TP")
        .skip(1)
        .flat_map(|item| item.lines().filter_map(|line| line.strip_prefix(".B ")).take(2))
        .flat_map(|line| line.split(' ').map(str::to_owned))
        .filter(|word| events.contains(word) || word.contains('.'))
        .collect();
    assert_eq!(listed, events);
}
