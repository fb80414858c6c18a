//! The daemon's life: start, what refuses it, the control socket, stop.

use super::rig::{House, PATIENCE, POLICY, SECRETS, read_until, run, wait_for, without};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::fs::FileTypeExt;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn f113_status_shows_the_listeners() {
    let Some(house) = House::new(POLICY) else { return };
    let mut daemon = house.start();
    let ran = house.stoxd(&["status"]);
    let ip = &house.ip;
    let listen = format!(
        "LISTEN\n  xmpp {ip}:15269\n  sip tls {ip}:15061\n  sip udp {ip}:15060\n  sip tcp {ip}:15060\n"
    );
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.starts_with(&format!("stoxd {}, up ", env!("CARGO_PKG_VERSION"))), "{}", ran.out);
    assert!(ran.out.contains(&format!("{listen}STREAMS\n  none\nLINKS\n  none\n")), "{}", ran.out);
    let (_open, _) = house.greet("fabrikam.example", "contoso.example");
    let ran = house.stoxd(&["status"]);
    assert!(ran.out.contains("STREAMS\n  in  "), "{}", ran.out);
    let ran = house.stoxd(&["status", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &value["listening"][0]), (0, &format!("xmpp {ip}:15269").into()));
    assert_eq!(value["streams"].as_array().map(Vec::len), Some(1));
    daemon.kill();
    assert_eq!(house.stoxd(&["status"]).code, 4, "a socket that nobody answers on");
}

#[test]
fn where_nobody_watches_subscriptions_says_none() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    let ran = house.stoxd(&["subscriptions"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "none\n", ""));
    let ran = house.stoxd(&["subscriptions", "--user", "sip:alice@contoso.example"]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "none\n"));
    let ran = house.stoxd(&["subscriptions", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, value), (0, serde_json::json!({"subscriptions": [], "total": 0})));
    let ran = house.stoxd(&["sessions"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "none\n", ""));
    let ran = house.stoxd(&["sessions", "--json", "--user", "sip:alice@contoso.example"]);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, value), (0, serde_json::json!({"sessions": [], "total": 0})));
    let remove = ["subscriptions", "remove", "--watcher", "romeo@fabrikam.example", "--presentity"];
    for (rest, code, said) in [
        (
            &["sip:alice@contoso.example", "--yes"][..],
            1,
            "does not see alice@contoso.example: nothing was changed",
        ),
        (
            &["sip:alice@contoso.example", "--what-if"],
            1,
            "does not see alice@contoso.example: nothing was changed",
        ),
        (&["sip:alice@contoso.example"], 2, "nobody is there to be asked: add --yes"),
        (&["alice", "--yes"], 2, "error: --presentity alice: an address is written name@domain"),
    ] {
        let ran = house.stoxd(&[&remove[..], rest].concat());
        assert!(ran.code == code && ran.out.is_empty() && ran.err.contains(said), "{rest:?}: {ran:?}");
    }
    // Whoever speaks to the socket by other means.
    let mut socket = std::os::unix::net::UnixStream::connect(house.path("admin.sock")).unwrap();
    socket.write_all(b"{\"verb\":\"subscriptions\",\"user\":\"a@@b\"}\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("{\"misused\":\"not an address: "), "{answer}");
}

#[test]
fn a_port_in_use_is_1_with_what_to_look_at() {
    let Some(house) = House::new(POLICY) else { return };
    let _taken = std::net::TcpListener::bind((house.ip.as_str(), 15061)).unwrap();
    let (code, log) = house.start_in_vain();
    let said = format!(
        "can't listen on sip tls {}:15061: Address already in use (os error 98)\n  something else listens \
         there; see: ss -ltnup\n",
        house.ip
    );
    assert_eq!(code, 1, "{log}");
    assert!(log.contains(&said), "{log}");
    assert!(!house.path("admin.sock").exists(), "nothing is left behind");
}

#[test]
fn threat_174_a_key_that_everybody_can_read_is_78_with_the_command_that_mends_it() {
    let Some(house) = House::new(POLICY) else { return };
    house.chmod("pki/gateway.key", 0o644);
    let (code, log) = house.start_in_vain();
    let key = house.path("pki/gateway.key");
    assert_eq!(code, 78);
    let path = key.parent().and_then(|pki| pki.parent()).unwrap();
    assert_eq!(
        without(&log, path),
        "\
error: everybody can read \"pki/gateway.key\"
  --> stoxd.toml:11:7
11 | key = \"pki/gateway.key\"
   |       ^^^^^^^^^^^^^^^^^ it holds a secret: chmod 600 DIR/pki/gateway.key

"
    );
    let command = log.split_once("chmod ").and_then(|(_, rest)| rest.lines().next()).unwrap();
    assert_eq!(run(Command::new("chmod").args(command.split(' '))).code, 0);
    house.start();
}

#[test]
fn what_can_not_be_used_is_78_and_all_of_it_is_said() {
    let Some(house) = House::new(POLICY) else { return };
    house.certificate("other", &["DNS:contoso.example"]);
    house.edit("pki/gateway.key", "pki/other.key");
    house.write("pki/ca.pem", "no certificate\n");
    house.write("password", "\n");
    let (code, log) = house.start_in_vain();
    assert_eq!(code, 78, "{log}");
    for what in ["this key is not that of the certificate", "[tls] trust: ", "password: the secret is empty"]
    {
        assert!(log.contains(what), "{what}: {log}");
    }
    house.edit("pki/other.key", "pki/missing.key");
    let (code, log) = house.start_in_vain();
    assert!(code == 78 && log.contains("pki/missing.key: there is no such file"), "{code}: {log}");
}

#[test]
fn threat_151_a_second_daemon_on_the_same_control_socket_is_refused() {
    let Some(house) = House::new(POLICY) else { return };
    let mut first = house.start();
    let second = House::new(POLICY).unwrap();
    second.edit("socket = \"admin.sock\"", &format!("socket = \"{}\"", house.path("admin.sock").display()));
    let (code, log) = second.start_in_vain();
    assert!(code == 1 && log.contains("another stoxd answers there"), "{code}: {log}");
    assert_eq!(house.stoxd(&["status"]).code, 0, "the first one is not disturbed");
    // What a killed daemon leaves behind is replaced; what is no socket is not ours to remove.
    first.kill();
    assert!(house.path("admin.sock").symlink_metadata().unwrap().file_type().is_socket());
    let mut again = house.start();
    again.kill();
    std::fs::remove_file(house.path("admin.sock")).unwrap();
    house.write("admin.sock", "notes");
    let (code, log) = house.start_in_vain();
    assert!(code == 1 && log.contains("there is a file that is no socket"), "{code}: {log}");
    assert_eq!(house.read("admin.sock"), "notes");
}

#[test]
fn threat_175_the_control_socket_is_its_owners() {
    use std::os::unix::fs::PermissionsExt;
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    let mode = house.path("admin.sock").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Noise, silence and questions without an end are nobody's undoing.
    for noise in ["\n", "{\"verb\":\"format\"}\n", &"x".repeat(100_000)] {
        let mut socket = std::os::unix::net::UnixStream::connect(house.path("admin.sock")).unwrap();
        let _ = socket.write_all(noise.as_bytes());
    }
    let _silent = std::os::unix::net::UnixStream::connect(house.path("admin.sock")).unwrap();
    assert_eq!(house.stoxd(&["status"]).code, 0);
}

#[test]
fn a_question_that_comes_octet_by_octet_is_given_up_after_a_few_seconds() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    let mut socket = std::os::unix::net::UnixStream::connect(house.path("admin.sock")).unwrap();
    let begun = Instant::now();
    let mut question = b"{\"verb\":\"status\"}".iter().chain(std::iter::repeat(&b' '));
    let mut is_answered = false;
    // Nobody reads any more.
    while socket.write_all(&[*question.next().unwrap()]).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(9), "it is still listened to");
        if begun.elapsed() > Duration::from_secs(1) && !is_answered {
            is_answered = house.stoxd(&["status"]).code == 0;
            assert!(is_answered, "others are answered meanwhile");
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    assert!(is_answered && begun.elapsed() > Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[test]
fn threat_151_sigterm_says_so_closes_streams_and_exits_with_0_in_time() {
    let Some(house) = House::new(POLICY) else { return };
    for name in ["TERM", "INT"] {
        let mut daemon = house.start();
        // A peer that never closes its side.
        let (mut open, _) = house.greet("fabrikam.example", "contoso.example");
        let begun = Instant::now();
        daemon.signal(name);
        let rest = read_until(&mut open, "</stream:stream>");
        assert!(rest.ends_with("</stream:stream>"), "{rest}");
        assert_eq!(daemon.wait_exit(), 0);
        assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
        assert!(daemon.heard().contains("STOPPING=1\n"), "{}", daemon.heard());
        assert!(!house.path("admin.sock").exists());
        assert!(std::net::TcpStream::connect((house.ip.as_str(), 15269)).is_err());
    }
}

#[test]
fn threat_151_streams_that_others_opened_are_closed_first_and_at_once() {
    let Some(house) = House::new(POLICY) else { return };
    let mut daemon = house.start();
    let (mut stream, _) = house.greet("fabrikam.example", "contoso.example");
    daemon.signal("TERM");
    wait_for("the drain", || house.read("log").contains("draining").then_some(()));
    // Nothing is under way; the rest is closed a second later at most, while this end keeps silent.
    let begun = Instant::now();
    assert!(read_until(&mut stream, "</stream:stream>").ends_with("</stream:stream>"));
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(800), "{took:?}");
    drop(stream);
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn sigterm_leaves_no_request_without_an_answer() {
    let Some(house) = House::new(POLICY) else { return };
    // A name server that says nothing: all that is for the partner waits.
    let silent = UdpSocket::bind((house.ip.as_str(), 15353)).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut daemon = house.start();
    let mut link = house.sip_link();
    let request = |n: usize| {
        format!(
            "MESSAGE sip:romeo@fabrikam.example SIP/2.0\r\nVia: SIP/2.0/TCP x.example;branch=z9hG4bK{n}\r\n\
             From: <sip:alice@contoso.example>;tag=1\r\nTo: <sip:romeo@fabrikam.example>\r\n\
             Call-ID: {n}\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\nContent-Type: text/plain\r\n\
             Content-Length: 2\r\n\r\nhi"
        )
    };
    let all: String = (0..20).map(request).collect();
    link.write_all(all.as_bytes()).unwrap();
    // It has begun to look for the partner, so it has read.
    silent.recv(&mut [0; 512]).unwrap();
    daemon.signal("TERM");
    wait_for("the drain", || house.read("log").contains("draining").then_some(()));
    link.write_all(request(20).as_bytes()).unwrap();
    let answers = read_until(&mut link, "never");
    assert_eq!(daemon.wait_exit(), 0);
    let statuses: Vec<&str> =
        answers.lines().filter_map(|line| line.strip_prefix("SIP/2.0 ")).map(|rest| &rest[..3]).collect();
    assert_eq!(statuses.iter().filter(|status| **status == "504").count(), 20, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == "503").count(), 1, "{statuses:?}");
    assert_eq!(statuses.len(), 21, "{statuses:?}");
}

#[test]
fn what_came_before_bad_input_is_answered_on_its_link() {
    let Some(house) = House::new(POLICY) else { return };
    // A name server that says nothing: what is for the partner waits.
    let _silent = UdpSocket::bind((house.ip.as_str(), 15353)).unwrap();
    let _daemon = house.start();
    let mut link = house.sip_link();
    link.write_all(
        b"MESSAGE sip:romeo@fabrikam.example SIP/2.0\r\nVia: SIP/2.0/TCP x.example;branch=z9hG4bK1\r\n\
          From: <sip:alice@contoso.example>;tag=1\r\nTo: <sip:romeo@fabrikam.example>\r\n\
          Call-ID: 1\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\nContent-Type: text/plain\r\n\
          Content-Length: 2\r\n\r\nhi\
          this is no SIP\r\n\r\n",
    )
    .unwrap();
    // Up to the end of the connection.
    let answers = read_until(&mut link, "never");
    let finals =
        answers.lines().filter(|line| line.starts_with("SIP/2.0 ") && !line.starts_with("SIP/2.0 1"));
    assert_eq!(finals.count(), 1, "{answers:?}");
    assert!(answers.contains("\r\nCall-ID: 1\r\n"), "{answers:?}");
}

#[test]
fn threat_151_a_gateway_that_drains_takes_no_new_connection() {
    let Some(house) = House::new(POLICY) else { return };
    let silent = UdpSocket::bind((house.ip.as_str(), 15353)).unwrap();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut daemon = house.start();
    let mut link = house.sip_link();
    link.write_all(
        b"MESSAGE sip:romeo@fabrikam.example SIP/2.0\r\nVia: SIP/2.0/TCP x.example;branch=z9hG4bK1\r\n\
          From: <sip:alice@contoso.example>;tag=1\r\nTo: <sip:romeo@fabrikam.example>\r\n\
          Call-ID: 1\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\nContent-Type: text/plain\r\n\
          Content-Length: 2\r\n\r\nhi",
    )
    .unwrap();
    // The message waits for the partner to be found, so the drain lasts.
    silent.recv(&mut [0; 512]).unwrap();
    daemon.signal("TERM");
    wait_for("the drain", || house.read("log").contains("draining").then_some(()));
    for port in [15269, 15060] {
        let mut late = TcpStream::connect((house.ip.as_str(), port)).unwrap();
        late.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let end = late.read(&mut [0]);
        assert!(matches!(end, Ok(0)), "{port}: {end:?}");
    }
    assert!(read_until(&mut link, "never").contains("SIP/2.0 504 "), "what was there before is answered");
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn the_watchdog_is_fed() {
    let Some(house) = House::new(POLICY) else { return };
    let mut command = Command::new(env!("CARGO_BIN_EXE_stoxd"));
    command.arg("run").arg("-c").arg(house.path("stoxd.toml")).env("WATCHDOG_USEC", "100000");
    let mut daemon = house.launch_as(command);
    daemon.wait_heard("WATCHDOG=1\n", 3);
}

#[test]
fn a_manager_that_does_not_read_stops_nothing() {
    let Some(house) = House::new(POLICY) else { return };
    let mut command = Command::new(env!("CARGO_BIN_EXE_stoxd"));
    // Each beat is a note that nobody takes: the socket is full after some of them.
    command.arg("run").arg("-c").arg(house.path("stoxd.toml")).env("WATCHDOG_USEC", "2000");
    let mut daemon = house.launch_as(command);
    daemon.wait_ready();
    wait_for("a full notify socket", || daemon.is_full().then_some(()));
    for _ in 0..3 {
        daemon.signal("HUP");
        assert!(house.welcomes("fabrikam.example"));
        assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", "x"), 403);
    }
    wait_for("three reloads", || (house.read("log").matches("config.reload").count() >= 3).then_some(()));
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn a_link_that_proves_nothing_is_refused_four_times_and_closed() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    // The peer's address is another one of this machine.
    let mut link = TcpStream::connect((house.ip.as_str(), 15060)).unwrap();
    let request = |n: usize| {
        format!(
            "OPTIONS sip:contoso.example SIP/2.0\r\nVia: SIP/2.0/TCP x.example;branch=z9hG4bK{n}\r\n\
             From: <sip:alice@contoso.example>;tag=1\r\nTo: <sip:contoso.example>\r\nCall-ID: {n}\r\n\
             CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let all: String = (0..300).map(request).collect();
    link.write_all(all.as_bytes()).unwrap();
    let answers = read_until(&mut link, "never");
    assert_eq!(answers.matches("SIP/2.0 403 ").count(), 4, "{answers}");
    assert_eq!(answers.matches("SIP/2.0 ").count(), 4, "and nothing else: {answers}");
}

#[test]
fn threat_165_the_log_holds_no_secret_and_no_text() {
    let Some(house) = House::new(POLICY) else { return };
    house.edit("level = \"debug\"", "level = \"trace\"");
    let mut daemon = house.start();
    let text = "the-words-of-alice-4711";
    assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", text), 403);
    assert!(house.welcomes("fabrikam.example"));
    daemon.hang_up();
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), 0);
    let log = house.read("log");
    assert!(log.contains("policy.deny") && log.contains("ready") && log.contains("stopped"), "{log}");
    let key = house.read("pki/gateway.key");
    let key = key.lines().nth(1).unwrap();
    for secret in [SECRETS[0], SECRETS[1], key, text] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
    assert!(!log.contains("bob@contoso.example"), "who was refused is masked: {log}");
}

#[test]
fn the_dialback_secret_is_made_in_the_state_directory() {
    use std::os::unix::fs::PermissionsExt;
    let Some(house) = House::new(POLICY) else { return };
    house.edit("dialback_secret = \"dialback\"\n", "");
    let mut daemon = house.start();
    let secret = house.read("state/dialback-secret");
    assert_eq!(secret.len(), 64);
    let mode = house.path("state/dialback-secret").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), 0);
    house.start();
    assert_eq!(house.read("state/dialback-secret"), secret, "made once");
}
