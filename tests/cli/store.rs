//! The store as operators meet it: made, held by one daemon, refused as it is, closed in time.

use super::rig::{House, PATIENCE, POLICY, wait_for, without};
use std::fs;
use std::net::UdpSocket;
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
fn check_099_what_was_asked_for_outlives_the_process() {
    let Some(house) = House::new(POLICY) else { return };
    let shown = || {
        let ran = house.stoxd(&["subscriptions", "--user", "sip:alice@contoso.example"]);
        let row = ran.out.lines().find(|line| line.contains("romeo@fabrikam.example"))?.to_owned();
        Some(row).filter(|row| row.starts_with("SIP watches XMPP") && row.contains("asked"))
    };
    // The name server of the partner: asked when there is something to say to romeo.
    let partner = UdpSocket::bind((house.ip.as_str(), 15353)).unwrap();
    partner.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut daemon = house.start();
    house.subscribe("romeo@fabrikam.example");
    partner.recv(&mut [0; 512]).unwrap();
    daemon.kill();
    let _again = house.start();
    wait_for("the watch of before", shown);
}

#[test]
fn an_authorization_that_was_taken_away_by_hand_does_not_come_back() {
    let Some(house) = House::new(POLICY) else { return };
    let mut daemon = house.start();
    house.subscribe("romeo@fabrikam.example");
    let all = || house.stoxd(&["subscriptions"]).out;
    wait_for("the watch", || (all() != "none\n").then_some(()));
    let pair = ["--watcher", "sip:alice@contoso.example", "--presentity", "xmpp:romeo@fabrikam.example"];
    let remove = |how: &str| house.stoxd(&[&["subscriptions", "remove"], &pair[..], &[how]].concat());
    let ran = remove("--what-if");
    let said =
        "alice@contoso.example would have to ask again to see romeo@fabrikam.example; nothing was changed\n";
    assert_eq!((ran.code, ran.out.as_str()), (0, said), "{}", ran.err);
    assert_ne!(all(), "none\n");
    let ran = remove("--yes");
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "alice@contoso.example has to ask again to see romeo@fabrikam.example\n"),
        "{}",
        ran.err
    );
    wait_for("the end of the watch", || (all() == "none\n").then_some(()));
    assert_eq!(remove("--yes").code, 1);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), 0);
    let _again = house.start();
    assert_eq!(all(), "none\n");
    let log = house.read("log");
    assert!(log.contains("records=0"), "{log}");
}

#[test]
fn threat_170_a_store_that_can_not_be_written_stops_no_message_and_mends() {
    let Some(house) = House::new(POLICY) else { return };
    let mut daemon = house.start();
    let (here, away) = (house.path("state/stoxd.db"), house.path("state/away"));
    fs::rename(&here, &away).unwrap();
    house.subscribe("romeo@fabrikam.example");
    wait_for("store.broken", || house.read("log").contains("store.broken").then_some(()));
    let status = house.stoxd(&["status"]).out;
    assert!(status.contains("  can't be written, so nobody can be authorized anew: "), "{status}");
    assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", "hello"), 403);
    fs::rename(&away, &here).unwrap();
    wait_for("store.mended", || house.read("log").contains("store.mended").then_some(()));
    let mended = || (!house.stoxd(&["status"]).out.contains("can't be written")).then_some(());
    wait_for("the status", mended);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), 0);
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
