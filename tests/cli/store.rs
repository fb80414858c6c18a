//! The store as operators meet it: made, held by one daemon, refused as it is, closed in time.

use super::rig::{House, POLICY, wait_for, without};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

fn mode(house: &House, name: &str) -> u32 {
    house.path(name).metadata().unwrap().permissions().mode() & 0o7777
}

/// What a start that is refused says of the store, with its exit code.
fn refused(house: &House) -> (i32, String) {
    let (code, log) = house.start_in_vain();
    let state = fs::canonicalize(house.path("state")).unwrap();
    assert!(!house.path("admin.sock").exists(), "nothing is left behind: {log}");
    assert!(std::net::TcpStream::connect((house.ip.as_str(), 15269)).is_err());
    (code, without(&log, &state))
}

#[test]
fn threat_174_the_store_is_made_where_only_we_may_look() {
    let Some(house) = House::new(POLICY) else { return };
    let mut daemon = house.start();
    assert_eq!(mode(&house, "state"), 0o700);
    for file in fs::read_dir(house.path("state")).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o600, "{:?}", file.path());
    }
    let shown =
        format!("STORE\n  SQLite, {}\n", fs::canonicalize(house.path("state/stoxd.db")).unwrap().display());
    let status = house.stoxd(&["status"]);
    assert!(status.out.contains(&shown), "{}", status.out);
    let value: serde_json::Value = serde_json::from_str(&house.stoxd(&["status", "--json"]).out).unwrap();
    assert_eq!(value["store_fault"], serde_json::Value::Null);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), 0);
    // Closed in order: nothing is left beside the file, and the next start takes it.
    let mut left: Vec<_> =
        fs::read_dir(house.path("state")).unwrap().map(|file| file.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["stoxd.db", "stoxd.lock"]);
    house.start();
    assert!(!house.read("log").contains("a new one"), "{}", house.read("log"));
}

#[test]
fn threat_151_a_second_daemon_on_the_same_state_directory_is_refused() {
    let Some(house) = House::new(POLICY) else { return };
    let mut first = house.start();
    let second = House::new(POLICY).unwrap();
    let shared = format!("state_dir = \"{}\"", house.path("state").display());
    second.edit("state_dir = \"state\"", &shared);
    let (code, log) = second.start_in_vain();
    let said = "stop it first: two daemons can't share a state directory";
    assert!(code == 1 && log.contains("in use by process ") && log.contains(said), "{code}: {log}");
    assert!(!second.path("admin.sock").exists());
    // The very same configuration too; and the first one is not disturbed.
    let ran = house.stoxd(&["run"]);
    assert!(ran.code == 1 && ran.err.contains(said), "{}: {}", ran.code, ran.err);
    assert_eq!(house.stoxd(&["status"]).code, 0);
    // Whoever was killed holds nothing.
    first.kill();
    second.start();
}

#[test]
fn what_is_no_store_refuses_the_start_and_stays_as_it_is() {
    let Some(house) = House::new(POLICY) else { return };
    fs::create_dir(house.path("state")).unwrap();
    house.chmod("state", 0o700);
    house.write("state/stoxd.db", "notes of an administrator");
    house.chmod("state/stoxd.db", 0o600);
    let (code, log) = refused(&house);
    let said = "DIR/stoxd.db: no SQLite file, no store of stoxd; it was left as it is: move it away, or set \
                another state_dir";
    assert!(code == 78 && log.contains(said), "{code}: {log}");
    assert_eq!(house.read("state/stoxd.db"), "notes of an administrator");
    // Damage is no mistake of the configuration.
    house.write("state/stoxd.db", "");
    let (code, log) = refused(&house);
    assert!(code == 1 && log.contains("DIR/stoxd.db: damaged: the file is empty"), "{code}: {log}");
    fs::remove_file(house.path("state/stoxd.db")).unwrap();
    house.chmod("state", 0o777);
    let (code, log) = refused(&house);
    let said = "DIR: others may write into it (mode 0777); chmod 700 it";
    assert!(code == 78 && log.contains(said), "{code}: {log}");
    assert!(!house.path("state/stoxd.db").exists());
    house.chmod("state", 0o700);
    house.start();
}

#[test]
fn check_config_says_what_a_start_would_refuse_and_touches_nothing() {
    let Some(house) = House::new(POLICY) else { return };
    let pass = house.stoxd(&["check", "config"]);
    assert!(pass.code == 0 && pass.out.lines().count() == 1, "{}", pass.out);
    assert!(!house.path("state").exists(), "nothing was made");
    fs::create_dir(house.path("state")).unwrap();
    let state = fs::canonicalize(house.path("state")).unwrap();
    for (file, text, mode, said) in [
        (
            "state/stoxd.db",
            "notes",
            0o600,
            "DIR/stoxd.db: no SQLite file, no store of stoxd; it was left as it is",
        ),
        ("state/stoxd.db", "notes", 0o644, "DIR/stoxd.db: open to others (mode 0644); chmod 600 it"),
    ] {
        house.write(file, text);
        house.chmod(file, mode);
        let ran = house.stoxd(&["check", "config"]);
        let line = format!("\nstore         FAIL  {said}");
        assert!(ran.code == 3 && without(&ran.out, &state).contains(&line), "{}: {}", ran.code, ran.out);
        assert_eq!((house.read(file).as_str(), fs::read_dir(&state).unwrap().count()), (text, 1));
    }
    fs::remove_file(house.path("state/stoxd.db")).unwrap();
    house.chmod("state", 0o770);
    let ran = house.stoxd(&["check", "config"]);
    assert!(
        ran.out.contains("others may write into it (mode 0770); chmod 700 it\n1 failed, 1 passed\n"),
        "{}",
        ran.out
    );
    house.chmod("state", 0o700);
    let _daemon = house.start();
    assert_eq!(house.stoxd(&["check", "config"]).out, pass.out, "one that is in use is fine");
}

#[test]
fn threat_151_a_daemon_that_is_killed_leaves_a_store_that_opens() {
    let Some(house) = House::new(POLICY) else { return };
    for _ in 0..3 {
        house.start().kill();
    }
    let mut daemon = house.start();
    let begun = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), 0);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let log = house.read("log");
    assert!(log.contains("store.open") && !log.contains("store.close"), "{log}");
}

#[test]
fn a_start_that_fails_later_gives_the_store_back() {
    let Some(house) = House::new(POLICY) else { return };
    let taken = std::net::TcpListener::bind((house.ip.as_str(), 15061)).unwrap();
    assert_eq!(house.start_in_vain().0, 1);
    assert!(house.path("state/stoxd.db").exists());
    drop(taken);
    wait_for("the port", || std::net::TcpListener::bind((house.ip.as_str(), 15061)).ok().map(drop));
    house.start();
}
