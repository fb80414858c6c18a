//! What an operator sees and steers of a running daemon: status, streams, links, metrics, log level, drain.

use super::rig::{Daemon, House, METRICS, PATIENCE, POLICY, http, wait_for};
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// Nobody answers for the partner.
fn out_of_reach() -> String {
    POLICY.replace("type = \"federated\"", "type = \"federated\"\nproxy_fqdn = \"127.0.0.1\"\nproxy_port = 1")
}

/// A whole gateway with metrics.
fn metered(policy: &str) -> Option<House> {
    let house = House::new(policy)?;
    house.with_metrics();
    Some(house)
}

/// The lines of `/metrics`.
fn metrics(house: &House) -> Vec<String> {
    let (status, body) = http(&house.ip, "GET /metrics").expect("an answer");
    assert_eq!(status, 200, "{body}");
    body.lines().map(str::to_owned).collect()
}

#[track_caller]
fn wait_metric(house: &House, line: &str) {
    wait_for(line, || metrics(house).iter().any(|found| found == line).then_some(()));
}

fn json(house: &House, words: &[&str]) -> serde_json::Value {
    serde_json::from_str(&house.stoxd(&[words, &["--json"]].concat()).out).unwrap()
}

/// A request that waits for as long as the drain may last: the name server says nothing.
fn something_waits<'h>(house: &'h House, silent: &UdpSocket, daemon: &Daemon<'h>) -> TcpStream {
    let _ = daemon;
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut link = house.sip_link();
    link.write_all(
        b"MESSAGE sip:romeo@fabrikam.example SIP/2.0\r\nVia: SIP/2.0/TCP x.example;branch=z9hG4bK1\r\n\
          From: <sip:alice@contoso.example>;tag=1\r\nTo: <sip:romeo@fabrikam.example>\r\n\
          Call-ID: 1\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\nContent-Type: text/plain\r\n\
          Content-Length: 2\r\n\r\nhi",
    )
    .unwrap();
    // It has begun to look for the partner, so it has read.
    silent.recv(&mut [0; 512]).unwrap();
    link
}

#[test]
fn f113_status_names_what_is_established_and_the_next_step_for_what_is_not() {
    let Some(house) = House::new(&out_of_reach()) else { return };
    let _daemon = house.start();
    let idle = house.stoxd(&["status"]).out;
    assert!(idle.contains("\nPEERS\n  edge  idle\n") && !idle.contains("next: "), "{idle}");
    assert_eq!(house.sip_message("alice@contoso.example", "romeo@fabrikam.example", "hi"), 504);
    let shown = wait_for("the failure", || {
        let out = house.stoxd(&["status"]).out;
        out.contains("PARTNERS\n  contoso.example fabrikam.example  down").then_some(out)
    });
    assert!(shown.contains("failed ") && shown.contains("Connection refused"), "{shown}");
    assert!(shown.contains("     next: stoxd check connectivity --partner fabrikam.example\n"), "{shown}");
    let value = json(&house, &["status"]);
    assert_eq!(value["partners"][0]["state"], "down");
    assert_eq!(value["partners"][0]["last_end"]["failed"], true);
    let streams = house.stoxd(&["streams"]);
    assert!(streams.out.starts_with("out  contoso.example fabrikam.example  down\n"), "{streams:?}");
    // A partner that is removed is nobody's business any more.
    house.write("policy.toml", &POLICY.replace("fabrikam.example", "tailspin.example"));
    assert_eq!(house.stoxd(&["reload"]).code, 0);
    assert_eq!(house.stoxd(&["streams"]).out, "none\n");
}

#[test]
fn f113_a_listener_that_is_missing_is_named_with_what_to_do() {
    let Some(house) = House::new(POLICY) else { return };
    house.edit(&format!("listen = [\"{}:15269\"]", house.ip), "listen = []");
    let _daemon = house.start();
    let out = house.stoxd(&["status"]).out;
    let missing = "\n  xmpp: nothing listens: partners can't reach us; next: [xmpp] listen, then restart\n";
    assert!(out.contains(missing), "{out}");
}

#[test]
fn streams_and_links_say_who_is_there_and_how_that_is_known() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    assert_eq!(house.stoxd(&["streams"]).out, "none\n");
    assert_eq!(house.stoxd(&["links"]).out, "PEERS\n  edge  idle\n");
    let (_stream, _) = house.greet("fabrikam.example", "contoso.example");
    let mut link = house.sip_link();
    link.write_all(b"\r\n\r\n").unwrap();
    link.read_exact(&mut [0; 2]).unwrap();
    let streams = json(&house, &["streams"]);
    assert_eq!(streams["streams"][0]["direction"], "in");
    assert_eq!(streams["streams"][0]["verified"], serde_json::json!([]));
    assert_eq!(streams["streams"][0]["tls"], serde_json::Value::Null);
    let out = house.stoxd(&["streams"]).out;
    assert!(out.ends_with("     not authenticated\n     not encrypted\n"), "{out}");
    let links = json(&house, &["links"]);
    let found = &links["links"][0];
    assert_eq!((&found["peer"], &found["transport"]), (&"edge".into(), &"tcp".into()));
    assert_eq!(found["verified"], "verified by its address alone");
    let out = house.stoxd(&["links"]).out;
    assert!(
        out.contains("     verified by its address alone\n     not encrypted\nPEERS\n  edge  idle\n"),
        "{out}"
    );
}

#[test]
fn metrics_health_and_readiness_answer_get_and_head_and_nothing_else() {
    let Some(house) = metered(POLICY) else { return };
    let mut daemon = house.start();
    let ask = |request: &str| http(&house.ip, request).expect("an answer");
    assert_eq!(ask("GET /healthz"), (200, "alive\n".to_owned()));
    assert_eq!(ask("GET /readyz"), (200, "ready\n".to_owned()));
    assert_eq!(ask("HEAD /metrics"), (200, String::new()));
    assert_eq!(ask("GET /").0, 404);
    assert_eq!(ask("GET /metrics/..").0, 404);
    assert_eq!(ask("POST /metrics").0, 405);
    let said = metrics(&house);
    let has = |start: &str| said.iter().any(|line| line.starts_with(start));
    for name in [
        concat!("stoxd_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "# TYPE stoxd_messages_total counter",
        "stoxd_policy_decisions_total{decision=\"deny\",reason=\"policy-xmpp\"} 0",
        "stoxd_crossing_seconds_bucket{",
        "# TYPE stoxd_xmpp_streams gauge",
        "stoxd_sip_links{peer=\"edge\"} 0",
        "# TYPE stoxd_sip_requests_total counter",
        "# TYPE stoxd_subscriptions gauge",
        "stoxd_certificate_expiry_timestamp_seconds{id=\"gateway\"} ",
        "stoxd_dns_lookups_total{type=\"SRV\",result=\"found\"} 0",
        "stoxd_queue_items{domain=\"contoso.example\"} 0",
        "stoxd_reload_success_timestamp_seconds ",
    ] {
        assert!(has(name), "{name} is not in {said:#?}");
    }
    assert!(house.stoxd(&["status"]).out.contains(&format!("\n  metrics {}:{METRICS}\n", house.ip)));
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn what_crosses_and_what_does_not_is_counted_without_a_series_for_who_is_not_listed() {
    let Some(house) = metered(&out_of_reach()) else { return };
    let mut daemon = house.start();
    assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", "x"), 403);
    assert_eq!(house.sip_message("alice@contoso.example", "romeo@fabrikam.example", "x"), 504);
    for n in 0..5 {
        assert_eq!(house.sip_message("alice@contoso.example", &format!("x@d{n}.example"), "x"), 403);
    }
    let (_stream, _) = house.greet("fabrikam.example", "contoso.example");
    for line in [
        "stoxd_messages_total{direction=\"sip-to-xmpp\",partner=\"fabrikam.example\",result=\"denied\"} 1",
        "stoxd_messages_total{direction=\"sip-to-xmpp\",partner=\"fabrikam.example\",result=\"failed\"} 1",
        "stoxd_messages_total{direction=\"sip-to-xmpp\",partner=\"unlisted\",result=\"denied\"} 5",
        "stoxd_policy_decisions_total{decision=\"allow\",reason=\"policy\"} 1",
        "stoxd_policy_decisions_total{decision=\"deny\",reason=\"unlisted\"} 5",
        "stoxd_sip_requests_total{direction=\"in\",method=\"MESSAGE\",code=\"403\"} 6",
        "stoxd_sip_requests_total{direction=\"in\",method=\"MESSAGE\",code=\"504\"} 1",
        "stoxd_xmpp_streams{direction=\"in\",partner=\"unlisted\",auth=\"none\"} 1",
    ] {
        wait_metric(&house, line);
    }
    let said = metrics(&house).join("\n");
    for secret in ["d0.example", "alice", "bob", "romeo"] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
    let loaded = |said: &str| -> f64 {
        let line = said.lines().find(|line| line.starts_with("stoxd_reload_success_timestamp_seconds "));
        line.unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    };
    let before = loaded(&said);
    house.write("policy.toml", "x = 1");
    daemon.hang_up();
    assert_eq!(loaded(&metrics(&house).join("\n")), before, "a reload that was refused is none");
    house.write("policy.toml", POLICY);
    daemon.hang_up();
    wait_for("the time of the reload", || (loaded(&metrics(&house).join("\n")) > before).then_some(()));
}

#[test]
fn f102_the_counters_of_a_peer_appear_only_while_it_is_marked() {
    let Some(house) = metered(POLICY) else { return };
    house.edit("name = \"edge\"", "name = \"edge\"\nmonitor = true");
    let mut daemon = house.start();
    assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", "x"), 403);
    wait_metric(
        &house,
        "stoxd_peer_messages_total{direction=\"sip-to-xmpp\",peer=\"edge\",result=\"denied\"} 1",
    );
    house.edit("monitor = true", "monitor = false");
    daemon.hang_up();
    let gone = || (!metrics(&house).join("\n").contains("stoxd_peer_messages")).then_some(());
    wait_for("the end of its counters", gone);
}

#[test]
fn connections_to_the_metrics_are_few_and_have_a_deadline() {
    let Some(house) = metered(POLICY) else { return };
    let _daemon = house.start();
    let open = || {
        let socket = TcpStream::connect((house.ip.as_str(), METRICS)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let mut silent: Vec<TcpStream> = (0..16).map(|_| open()).collect();
    // One more is closed unread, whatever it says.
    wait_for("a refusal", || http(&house.ip, "GET /healthz").is_none().then_some(()));
    assert_eq!(house.stoxd(&["status"]).code, 0, "nobody else is held up");
    // Who says nothing, and who never ends what it says, is left in time.
    silent[0].write_all(b"GET /metrics HTTP/1.1\r\nX: ").unwrap();
    for socket in &mut silent {
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest);
        assert!(!String::from_utf8_lossy(&rest).contains("stoxd_"));
    }
    wait_for("an answer", || http(&house.ip, "GET /healthz").filter(|(status, _)| *status == 200));
    // Headers without an end are refused, not kept.
    let mut flood = open();
    let line = format!("X: {}\r\n", "x".repeat(1000));
    let _ = flood.write_all(b"GET /metrics HTTP/1.1\r\n");
    for _ in 0..100 {
        if flood.write_all(line.as_bytes()).is_err() {
            break;
        }
    }
    let mut rest = Vec::new();
    let _ = flood.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains(" 200 "));
}

#[test]
fn a_port_of_the_metrics_that_is_taken_is_said_at_the_start() {
    let Some(house) = metered(POLICY) else { return };
    let _taken = std::net::TcpListener::bind((house.ip.as_str(), METRICS)).unwrap();
    let (code, log) = house.start_in_vain();
    let said = format!("can't listen on [metrics] {}:{METRICS}: Address already in use", house.ip);
    assert!(code == 1 && log.contains(&said), "{code}: {log}");
}

#[test]
fn readiness_ends_with_the_drain_and_while_the_store_can_not_be_written() {
    let Some(house) = metered(POLICY) else { return };
    let silent = UdpSocket::bind((house.ip.as_str(), 15353)).unwrap();
    let mut daemon = house.start();
    let (here, away) = (house.path("state/stoxd.db"), house.path("state/away"));
    std::fs::rename(&here, &away).unwrap();
    house.subscribe("romeo@fabrikam.example");
    wait_for("not ready", || {
        let (status, why) = http(&house.ip, "GET /readyz")?;
        (status == 503 && why.starts_with("not ready: the store can't be written: ")).then_some(())
    });
    assert_eq!(http(&house.ip, "GET /healthz").map(|(status, _)| status), Some(200));
    std::fs::rename(&away, &here).unwrap();
    wait_for("ready", || http(&house.ip, "GET /readyz").filter(|(status, _)| *status == 200));
    let _link = something_waits(&house, &silent, &daemon);
    daemon.signal("TERM");
    wait_for("draining", || {
        http(&house.ip, "GET /readyz").filter(|answer| *answer == (503, "not ready: draining\n".to_owned()))
    });
    assert_eq!(daemon.wait_exit(), 0);
}

#[test]
fn drain_says_what_it_waits_for_asks_first_and_lasts_until_the_end() {
    let Some(house) = House::new(POLICY) else { return };
    let silent = UdpSocket::bind((house.ip.as_str(), 15353)).unwrap();
    let mut daemon = house.start();
    let would = house.stoxd(&["drain", "--what-if"]);
    let idle = "a drain would take no new work and wait, 5 s at most, for nothing\nnothing was changed\n";
    assert_eq!((would.code, would.out.as_str()), (0, idle));
    let mut link = something_waits(&house, &silent, &daemon);
    let would = house.stoxd(&["drain", "--what-if"]);
    let waits = "\n  items that wait for a stream, a link or their turn: 1\n  SIP requests that are owed an answer: 1\n  \
                 SIP links to close: 1\n";
    assert!(would.out.contains(waits) && would.out.ends_with("\nnothing was changed\n"), "{would:?}");
    // Nobody is there to be asked.
    let asked = house.stoxd(&["drain"]);
    assert!(asked.code == 2 && asked.err.contains(waits) && asked.err.contains("add --yes"), "{asked:?}");
    assert_eq!(house.stoxd(&["status"]).code, 0);
    let drained = house.stoxd(&["drain", "--yes"]);
    assert_eq!(drained.code, 0, "{drained:?}");
    assert!(
        drained.out.starts_with("draining: no new work is taken; waiting, 5 s at most, for:\n"),
        "{drained:?}"
    );
    assert!(drained.out.contains(waits) && drained.out.ends_with("\nstopped\n"), "{drained:?}");
    let mut answers = String::new();
    let _ = link.read_to_string(&mut answers);
    assert!(answers.contains("SIP/2.0 504 "), "{answers}");
    assert_eq!(daemon.wait_exit(), 0);
    assert!(daemon.heard().contains("STOPPING=1\n"));
    assert_eq!(house.stoxd(&["drain", "--yes"]).code, 4, "there is nobody any more");
}

#[test]
fn log_level_changes_what_is_logged_and_returns_by_itself() {
    let Some(house) = House::new(POLICY) else { return };
    house.edit("level = \"debug\"", "level = \"warn\"");
    let _daemon = house.start();
    let deny = || {
        assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", "x"), 403);
        house.read("log").matches("refused by policy").count()
    };
    assert_eq!(house.stoxd(&["log-level"]).out, "the log level is warn\n");
    assert_eq!(deny(), 0);
    let would = house.stoxd(&["log-level", "info", "--for", "10m", "--what-if"]);
    let said = "the log level would go from warn to info for 10 min, then warn again; nothing was changed\n";
    assert_eq!((would.code, would.out.as_str()), (0, said));
    assert_eq!(deny(), 0);
    let done = house.stoxd(&["log-level", "info"]);
    assert_eq!((done.code, done.out.as_str()), (0, "the log level is info until a restart\n"));
    assert_eq!(house.stoxd(&["log-level"]).out, "the log level is info; the configuration says warn\n");
    let json = house.stoxd(&["log-level", "--json"]).out;
    assert_eq!(json, "{\n  \"configured\": \"warn\",\n  \"level\": \"info\"\n}\n");
    let heard = wait_for("a refusal in the log", || Some(deny()).filter(|count| *count > 0));
    // The return that counts is that of the last change.
    assert_eq!(house.stoxd(&["log-level", "trace", "--for", "1s"]).code, 0);
    let changed = Instant::now();
    assert_eq!(house.stoxd(&["log-level", "debug", "--for", "2s"]).code, 0);
    wait_for("the return", || (house.stoxd(&["log-level"]).out == "the log level is warn\n").then_some(()));
    assert!(changed.elapsed() >= Duration::from_secs(2), "the first return came");
    let before = house.read("log").matches("refused by policy").count();
    assert!(before >= heard);
    assert_eq!(deny(), before);
    for (words, code) in [
        (&["log-level", "loud"][..], 2),
        (&["log-level", "info", "--for", "10"], 2),
        (&["log-level", "--for", "10m"], 2),
        (&["log-level", "info", "--for", "8d"], 2),
        (&["log-level", "info", "--for", "0s"], 2),
    ] {
        assert_eq!(house.stoxd(words).code, code, "{words:?}");
    }
}

#[test]
fn f114_each_class_of_failure_and_the_start_have_an_event_with_fields() {
    let Some(house) = House::new(&out_of_reach()) else { return };
    house.edit("[log]\nlevel = \"debug\"", "[log]\ntarget = \"json\"\nlevel = \"debug\"");
    let mut daemon = house.start();
    assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", "psst"), 403);
    assert_eq!(house.sip_message("alice@contoso.example", "romeo@fabrikam.example", "psst"), 504);
    // Somebody who speaks no TLS on the TLS port, and somebody who is not known on the plain one.
    let mut noise = TcpStream::connect((house.ip.as_str(), 15061)).unwrap();
    noise.write_all(b"OPTIONS sip:x SIP/2.0\r\n\r\n").unwrap();
    let mut link = house.sip_link();
    link.write_all(b"this is no SIP\r\n\r\n").unwrap();
    let _ = link.read(&mut [0; 16]);
    let (stream, _) = house.greet("fabrikam.example", "contoso.example");
    drop(stream);
    house.write("policy.toml", "x = 1");
    daemon.hang_up();
    house.write("policy.toml", POLICY);
    daemon.hang_up();
    let (here, away) = (house.path("state/stoxd.db"), house.path("state/away"));
    std::fs::rename(&here, &away).unwrap();
    house.subscribe("romeo@fabrikam.example");
    let events = || -> Vec<serde_json::Value> {
        house.read("log").lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    let find =
        |event: &str| wait_for(event, || events().into_iter().find(|found| found["stoxd_event"] == event));
    wait_for("store.broken", || events().iter().any(|e| e["stoxd_event"] == "store.broken").then_some(()));
    std::fs::rename(&away, &here).unwrap();
    for (event, level, field, value) in [
        ("ready", "INFO", "stoxd_event", "ready"),
        ("policy.deny", "INFO", "stoxd_partner", "fabrikam.example"),
        ("stream.down", "WARN", "stoxd_partner", "fabrikam.example"),
        ("link.refused", "INFO", "stoxd_event", "link.refused"),
        ("config.reject", "ERROR", "stoxd_event", "config.reject"),
        ("config.reload", "INFO", "stoxd_event", "config.reload"),
    ] {
        let found = find(event);
        assert_eq!((&found["level"], &found[field]), (&level.into(), &value.into()), "{found}");
        assert!(found["timestamp"].is_string() && found["message"].is_string(), "{found}");
    }
    let failed = wait_for("message.failed", || {
        let of_message =
            |e: &serde_json::Value| e["stoxd_event"] == "message.failed" && e["stoxd_trace"].is_string();
        events().into_iter().find(of_message)
    });
    assert_eq!((&failed["stoxd_sip_code"], &failed["stoxd_peer"]), (&504.into(), &"edge".into()), "{failed}");
    let malformed = wait_for("a refused request", || {
        let of_none =
            |e: &serde_json::Value| e["stoxd_event"] == "message.failed" && e["stoxd_trace"].is_null();
        events().into_iter().find(of_none)
    });
    assert_eq!(malformed["stoxd_sip_code"], 400, "{malformed}");
    wait_for("store.mended", || house.read("log").contains("store.mended").then_some(()));
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(find("stopped")["level"], "INFO");
    assert!(!house.read("log").contains("psst"));
    // All lines are objects: nothing else writes there.
    let odd: Vec<String> = house
        .read("log")
        .lines()
        .filter(|line| serde_json::from_str::<serde_json::Value>(line).is_err())
        .map(str::to_owned)
        .collect();
    assert!(odd.is_empty(), "{odd:?}");
}
