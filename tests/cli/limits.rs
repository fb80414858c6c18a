//! How many connections there may be: in all, and with one partner.

use super::rig::{Daemon, House, POLICY, read_until, wait_for};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

/// A partner that proves itself by dialback without TLS, and may have `limit` streams.
fn policy(limit: &str) -> String {
    let terms = "tls = \"not-supported\"\nsasl = \"not-supported\"\ndialback = true\nproxy_port = 15270\n";
    POLICY.replace("type = \"federated\"\n", &format!("type = \"federated\"\n{terms}{limit}"))
}

fn house(limit: &str) -> Option<House> {
    let house = House::new("")?;
    let proxy = format!("proxy_fqdn = \"{}\"\n{limit}", house.ip);
    house.write("policy.toml", &policy(&proxy));
    let listener = TcpListener::bind((house.ip.as_str(), 15270)).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || vouch(stream));
        }
    });
    Some(house)
}

/// The partner's own server: every key is its own.
fn vouch(mut stream: TcpStream) {
    let _ = read_until(&mut stream, "version='1.0'>");
    let _ = stream.write_all(
        b"<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
          xmlns:stream='http://etherx.jabber.org/streams' from='fabrikam.example' to='contoso.example' id='v1' \
          version='1.0'><stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>",
    );
    let asked = read_until(&mut stream, "</db:verify>");
    let Some(id) = asked.split("id='").nth(1).and_then(|rest| rest.split('\'').next()) else { return };
    let _ =
        write!(stream, "<db:verify from='fabrikam.example' to='contoso.example' id='{id}' type='valid'/>");
    let _ = read_until(&mut stream, "</stream:stream>");
}

/// A stream from the partner, proven; what the gateway said last.
fn proven(house: &House) -> (TcpStream, String) {
    let (mut stream, features) = house.greet("fabrikam.example", "contoso.example");
    assert!(features.contains("<stream:features>"), "{features}");
    write!(stream, "<db:result from='fabrikam.example' to='contoso.example'>0123456789abcdef</db:result>")
        .unwrap();
    let result = read_until(&mut stream, "/>");
    assert!(result.contains("type='valid'") || result.contains("type=\"valid\""), "{result}");
    (stream, result)
}

fn refused(house: &House) -> TcpStream {
    let (mut stream, _) = proven(house);
    let rest = read_until(&mut stream, "</stream:stream>");
    assert!(rest.starts_with("<stream:error><policy-violation "), "{rest}");
    assert!(rest.contains(" streams already, as many as it may</text>"), "{rest}");
    stream
}

fn is_open(house: &House, streams: usize) {
    wait_for("the streams in the status", || {
        let value: serde_json::Value = serde_json::from_str(&house.stoxd(&["status", "--json"]).out).unwrap();
        let proven = value["streams"].as_array().unwrap().iter();
        let inbound = |s: &&serde_json::Value| s["direction"] == "in" && s["pairs"] != serde_json::json!([]);
        (proven.filter(inbound).count() == streams).then_some(())
    });
}

#[test]
fn f44_one_stream_more_than_the_partner_may_have_is_refused() {
    let Some(house) = house("connection_limit = 2\n") else { return };
    let _daemon: Daemon<'_> = house.start();
    let (first, _) = proven(&house);
    let (_second, _) = proven(&house);
    is_open(&house, 2);
    drop(refused(&house));
    is_open(&house, 2);
    assert!(house.read("log").contains("stream.refused"), "{}", house.read("log"));
    // A message out needs a stream of its own, and there is no room for it either.
    assert_eq!(house.sip_message("alice@contoso.example", "romeo@fabrikam.example", "hello"), 500);
    // One gone, one may come.
    drop(first);
    is_open(&house, 1);
    let (_third, _) = proven(&house);
    is_open(&house, 2);
    // The limit is read again with the policy.
    house.write(
        "policy.toml",
        &house.read("policy.toml").replace("connection_limit = 2", "connection_limit = 3"),
    );
    assert_eq!(house.stoxd(&["reload"]).code, 0);
    let (_fourth, _) = proven(&house);
    is_open(&house, 3);
}

#[test]
fn f44_a_partner_without_a_limit_of_its_own_has_the_gateways() {
    let Some(house) = house("") else { return };
    house.edit("[xmpp]\n", "[xmpp]\npartner_connection_limit = 2\n");
    let _daemon = house.start();
    let (_first, _) = proven(&house);
    let (_second, _) = proven(&house);
    is_open(&house, 2);
    drop(refused(&house));
    house.edit("partner_connection_limit = 2", "partner_connection_limit = 3");
    assert_eq!(house.stoxd(&["reload"]).code, 0);
    let (_third, _) = proven(&house);
    is_open(&house, 3);
}

#[test]
fn f50_one_connection_more_than_there_may_be_is_refused() {
    let Some(house) = house("") else { return };
    house.edit("[xmpp]\n", "[xmpp]\nconnection_limit = 1\npartner_connection_limit = 1\n");
    let _daemon = house.start();
    let (first, features) = house.greet("fabrikam.example", "contoso.example");
    assert!(features.contains("<stream:features>"));
    let mut second = TcpStream::connect((house.ip.as_str(), 15269)).unwrap();
    let said = read_until(&mut second, "</stream:stream>");
    assert!(said.contains("<stream:stream ") && said.contains("<resource-constraint "), "{said}");
    assert!(said.ends_with("</stream:stream>"), "{said}");
    assert_eq!(read_until(&mut second, ">"), "", "closed");
    assert!(house.read("log").contains("[xmpp] connection_limit, 1, is reached"));
    drop(first);
    wait_for("room", || {
        let mut stream = TcpStream::connect((house.ip.as_str(), 15269)).unwrap();
        let _ = write!(
            stream,
            "<stream:stream xmlns='jabber:server' to='contoso.example' version='1.0' \
            xmlns:stream='http://etherx.jabber.org/streams' from='fabrikam.example'>"
        );
        read_until(&mut stream, "</stream:features>").contains("<stream:features>").then_some(())
    });
    house.edit("connection_limit = 1\n", "connection_limit = 5\n");
    assert_eq!(house.stoxd(&["reload"]).code, 0);
    let _many: Vec<_> = (0..4).map(|_| house.greet("fabrikam.example", "contoso.example")).collect();
}

/// A connection from an address of the test's own.
fn from(source: [u8; 4], house: &House, port: u16) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    let to = SocketAddr::new(house.ip.parse().unwrap(), port);
    socket.connect(&to.into()).unwrap();
    socket.into()
}

#[test]
fn threat_027_threat_074_threat_161_idle_and_half_done_connections_harm_nobody_and_leave_nothing() {
    let Some(house) = House::new(POLICY) else { return };
    house.edit(
        "transport = \"udp\" }]",
        &format!("transport = \"udp\" }}, {{ addr = \"{}:15060\", transport = \"tcp\" }}]", house.ip),
    );
    let daemon = house.start();
    assert!(house.welcomes("fabrikam.example"));
    let settled =
        || wait_for("the descriptors", || (daemon.descriptors() <= 40).then(|| daemon.descriptors()));
    let before = settled();
    let half = "MESSAGE sip:romeo@fabrikam.example SIP/2.0\r\nContent-Length: 100\r\n\r\nhalf";
    let mut held = Vec::new();
    for n in 0..100 {
        // Said nothing; half a TLS handshake; half a header; half a request.
        for (port, start) in [
            (15269, ""),
            (15269, "\u{16}\u{3}\u{1}"),
            (15269, "<stream:str"),
            (15061, "\u{16}"),
            (15060, half),
        ] {
            let mut stream = from([127, 200, 0, 1 + n % 4], &house, port);
            let _ = stream.write_all(start.as_bytes());
            held.push(stream);
        }
    }
    // Others are served at once meanwhile.
    let begun = Instant::now();
    assert!(house.welcomes("fabrikam.example"));
    assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", "x"), 403);
    assert!(begun.elapsed().as_secs() < 3, "{:?}", begun.elapsed());
    assert!(daemon.descriptors() >= before + 400, "{}", daemon.descriptors());
    // A request that does not end, from nobody who is known, ends at its limit.
    let begun = Instant::now();
    let mut half = held.pop().unwrap();
    read_until(&mut half, "never");
    assert!(begun.elapsed().as_secs() <= 11, "{:?}", begun.elapsed());
    drop(held);
    wait_for("the descriptors back", || (daemon.descriptors() <= before + 2).then_some(()));
    assert!(house.welcomes("fabrikam.example"));
}

#[test]
fn a_link_that_we_opened_is_kept_alive() {
    let Some(house) = House::new(POLICY) else { return };
    house.edit(";transport=udp", ";transport=tcp");
    house.edit("[sip]\n", "[sip]\nkeepalive_interval = \"1s\"\n");
    let listener = TcpListener::bind((house.ip.as_str(), 15062)).unwrap();
    let _daemon = house.start();
    // Alice watches somebody: her server gets a NOTIFY, over a link that the gateway opens.
    house.subscribe("romeo@fabrikam.example");
    let (mut link, _) = listener.accept().unwrap();
    let notify = read_until(&mut link, "\r\n\r\n");
    assert!(notify.starts_with("NOTIFY sip:alice@"), "{notify}");
    let begun = Instant::now();
    for _ in 0..2 {
        assert_eq!(read_until(&mut link, "\r\n\r\n"), "\r\n\r\n");
    }
    assert!((1..10).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[test]
fn threat_179_without_descriptors_accepting_pauses_and_does_not_spin() {
    let Some(house) = House::new(POLICY) else { return };
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 100; exec \"$0\" run -c \"$1\"", env!("CARGO_BIN_EXE_stoxd")]);
    let mut daemon = house.launch_as({
        command.arg(house.path("stoxd.toml"));
        command
    });
    daemon.wait_ready();
    let held: Vec<_> = (0..150).map(|n| from([127, 201, 0, 1 + n % 4], &house, 15269)).collect();
    wait_for("the pause", || house.read("log").contains("no connection accepted").then_some(()));
    let (before, begun) = (daemon.cpu_ticks(), Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    let (used, millis) = (daemon.cpu_ticks() - before, begun.elapsed().as_millis());
    assert!(used <= 25, "{used} ticks of CPU in {millis} ms");
    // What is there goes on, and what waited is served when there is room.
    assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", "x"), 403);
    drop(held);
    assert!(house.welcomes("fabrikam.example"));
}

#[test]
fn threat_074_a_request_that_drips_in_on_a_proven_link_ends_30_s_after_its_first_octet() {
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    let mut link = house.sip_link();
    link.write_all(b"MESSAGE sip:romeo@fabrikam.example SIP/2.0\r\nSubject: ").unwrap();
    let begun = Instant::now();
    let mut dripping = link.try_clone().unwrap();
    // An octet each half second: never silent, never complete.
    std::thread::spawn(move || {
        while dripping.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(500));
        }
    });
    link.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    let end = link.read(&mut [0]);
    assert!(
        matches!(end, Ok(0)) || matches!(&end, Err(e) if e.kind() == ErrorKind::ConnectionReset),
        "{end:?}"
    );
    let took = begun.elapsed().as_secs();
    assert!((29..=35).contains(&took), "{took} s");
    // Others are served.
    assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", "x"), 403);
}

/// The kernel's timer for our end of `stream`, as /proc/net/tcp has it: 2 is keep-alive.
fn timer_of(stream: &TcpStream) -> u8 {
    let shown = |at: SocketAddr| match at {
        SocketAddr::V4(at) => format!("{:08X}:{:04X}", u32::from_le_bytes(at.ip().octets()), at.port()),
        SocketAddr::V6(_) => panic!("{at}"),
    };
    // Seen from the daemon: its address first.
    let (ours, theirs) = (shown(stream.peer_addr().unwrap()), shown(stream.local_addr().unwrap()));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.get(1) == Some(&&*ours) && row.get(2) == Some(&&*theirs)).unwrap();
    u8::from_str_radix(row[5].split(':').next().unwrap(), 16).unwrap()
}

#[test]
fn threat_162_the_kernel_watches_over_connections_that_others_opened() {
    const KEEPALIVE: u8 = 2;
    let Some(house) = House::new(POLICY) else { return };
    let _daemon = house.start();
    let (stream, _) = house.greet("fabrikam.example", "contoso.example");
    let link = house.sip_link();
    for silent in [stream, link] {
        // Another timer runs until what was written last is acknowledged.
        wait_for("the keep-alive timer", || (timer_of(&silent) == KEEPALIVE).then_some(()));
    }
}
