//! journald: the fields by which `journalctl` finds events.

use super::rig::{House, POLICY, has, wait_for};
use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

/// One entry as journald's native protocol has it: `KEY=value`, or `KEY`, a length and the value.
fn entry(mut octets: &[u8]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    while let Some(end) = octets.iter().position(|octet| *octet == b'\n') {
        let line = &octets[..end];
        octets = &octets[end + 1..];
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
        if let Some(at) = line.iter().position(|octet| *octet == b'=') {
            fields.insert(text(&line[..at]), text(&line[at + 1..]));
        } else {
            let (length, rest) = octets.split_at(8);
            let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
            fields.insert(text(line), text(&rest[..length]));
            octets = &rest[length + 1..];
        }
    }
    fields
}

/// alice invites romeo to a conversation over UDP, and says BYE if she `leaves` it.
fn converse(house: &House, leaves: bool) {
    let socket = UdpSocket::bind((house.ip.as_str(), 0)).unwrap();
    socket.set_read_timeout(Some(super::rig::PATIENCE)).unwrap();
    let (at, port) = (&house.ip, socket.local_addr().unwrap().port());
    let offer = format!(
        "v=0\r\no=- 0 0 IN IP4 {at}\r\ns=-\r\nc=IN IP4 {at}\r\nt=0 0\r\nm=message 5060 sip null\r\n\
         a=accept-types:text/plain\r\n"
    );
    let mut tag = String::new();
    for (cseq, method, headers, body) in [
        (1, "INVITE", "Content-Type: application/sdp\r\n", offer.as_str()),
        (1, "ACK", "", ""),
        (2, "BYE", "", ""),
    ] {
        if method == "BYE" && !leaves {
            return;
        }
        let request = format!(
            "{method} sip:romeo@fabrikam.example SIP/2.0\r\nVia: SIP/2.0/UDP {at}:{port};branch=z9hG4bK{method};rport\r\n\
             From: <sip:alice@contoso.example>;tag=1\r\nTo: <sip:romeo@fabrikam.example>{tag}\r\n\
             Call-ID: {port}@{at}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n\
             Contact: <sip:alice@{at}:{port}>\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.send_to(request.as_bytes(), (at.as_str(), 15060)).unwrap();
        // An ACK has no answer.
        if method == "ACK" {
            continue;
        }
        loop {
            let mut answer = [0; 4096];
            let (octets, _) = socket.recv_from(&mut answer).unwrap();
            let answer = String::from_utf8_lossy(&answer[..octets]).into_owned();
            if answer.starts_with("SIP/2.0 200 ") && answer.contains(&format!("CSeq: {cseq} {method}")) {
                let to = answer.lines().find(|line| line.starts_with("To: ")).unwrap();
                tag = to[to.find(";tag=").unwrap()..].to_owned();
                break;
            }
            assert!(answer.starts_with("SIP/2.0 1"), "{answer}");
        }
    }
}

#[test]
fn a_refusal_is_found_by_its_fields() {
    // journald's socket has one path: the daemon sees ours there, in a mount namespace of its own.
    let namespace = ["-rm", "sh", "-c", "mount -t tmpfs none /run"];
    if !has("unshare", &namespace) {
        return;
    }
    let Some(house) = House::new(POLICY) else { return };
    std::fs::create_dir(house.path("journal")).unwrap();
    let journal = UnixDatagram::bind(house.path("journal/socket")).unwrap();
    journal.set_nonblocking(true).unwrap();
    let script = "mount -t tmpfs none /run && mkdir -p /run/systemd/journal && \
                  mount --bind \"$1\" /run/systemd/journal && exec \"$2\" run -c \"$3\"";
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script, "sh"]);
    command.arg(house.path("journal")).arg(env!("CARGO_BIN_EXE_stoxd")).arg(house.path("stoxd.toml"));
    house.edit("level = \"debug\"", "target = \"journal\"\nlevel = \"debug\"");
    let mut daemon = house.launch_as(command);
    daemon.wait_ready();
    let mut entries = Vec::new();
    let mut found = |event: &str| {
        wait_for(event, || {
            let mut octets = vec![0; 65536];
            while let Ok(length) = journal.recv(&mut octets) {
                entries.push(entry(&octets[..length]));
            }
            let is_it = |e: &&BTreeMap<String, String>| {
                e.get("STOXD_EVENT").is_some_and(|found| found == event)
                    && (event != "message.failed" || e.contains_key("STOXD_TRACE"))
            };
            entries.iter().find(is_it).cloned()
        })
    };
    let ready = found("ready");
    assert_eq!((ready["SYSLOG_IDENTIFIER"].as_str(), ready["PRIORITY"].as_str()), ("stoxd", "5"));
    assert_eq!(house.sip_message("bob@contoso.example", "romeo@fabrikam.example", "psst"), 403);
    let deny = found("policy.deny");
    for (field, value) in [
        ("STOXD_FROM", "b***@contoso.example"),
        ("STOXD_TO", "r***@fabrikam.example"),
        ("STOXD_PARTNER", "fabrikam.example"),
        ("STOXD_PEER", "edge"),
        ("STOXD_POLICY", "site:Redmond"),
    ] {
        assert_eq!(deny.get(field).map(String::as_str), Some(value), "{field}: {deny:?}");
    }
    assert_eq!(deny["STOXD_TRACE"].len(), 18);
    // Nobody answers for fabrikam.example: the message comes back, and the journal says why.
    house.write(
        "policy.toml",
        &POLICY.replace(
            "type = \"federated\"",
            "type = \"federated\"\nproxy_fqdn = \"127.0.0.1\"\nproxy_port = 1",
        ),
    );
    daemon.hang_up();
    assert!(found("config.reload")["MESSAGE"].starts_with("loaded: "));
    let status = house.sip_message("alice@contoso.example", "romeo@fabrikam.example", "psst");
    let failed = found("message.failed");
    for (field, value) in [
        ("STOXD_FROM", "a***@contoso.example"),
        ("STOXD_PARTNER", "fabrikam.example"),
        ("STOXD_PEER", "edge"),
        ("STOXD_SIP_CODE", &status.to_string()),
        ("STOXD_XMPP_ERROR", "remote-server-timeout"),
    ] {
        assert_eq!(failed.get(field).map(String::as_str), Some(value), "{field}: {failed:?}");
    }
    assert_eq!(found("stream.down")["STOXD_PARTNER"], "fabrikam.example");
    // A wish to see somebody has a name, too, and what came of it goes by the same.
    house.subscribe("romeo@fabrikam.example");
    let asked = found("subscription.new");
    for (field, value) in [
        ("STOXD_FROM", "a***@contoso.example"),
        ("STOXD_TO", "r***@fabrikam.example"),
        ("STOXD_PARTNER", "fabrikam.example"),
        ("STOXD_PEER", "edge"),
    ] {
        assert_eq!(asked.get(field).map(String::as_str), Some(value), "{field}: {asked:?}");
    }
    assert_eq!(asked["STOXD_TRACE"].len(), 18);
    // A conversation has a beginning and an end.
    converse(&house, true);
    let (up, down) = (found("session.up"), found("session.down"));
    for (field, value) in [
        ("STOXD_FROM", "a***@contoso.example"),
        ("STOXD_TO", "r***@fabrikam.example"),
        ("STOXD_PARTNER", "fabrikam.example"),
        ("STOXD_PEER", "edge"),
    ] {
        assert_eq!(up.get(field).map(String::as_str), Some(value), "{field}: {up:?}");
        assert_eq!(down.get(field).map(String::as_str), Some(value), "{field}: {down:?}");
    }
    assert_eq!(up["MESSAGE"], "session open, sip-to-xmpp, ms-session");
    assert_eq!(down["MESSAGE"], "session over, sip-to-xmpp, ms-session: the SIP user has left");
    for (field, value) in [("STOXD_TEXTS_TO_XMPP", "0"), ("STOXD_TEXTS_TO_SIP", "0"), ("PRIORITY", "5")] {
        assert_eq!(down.get(field).map(String::as_str), Some(value), "{field}: {down:?}");
    }
    house.write("policy.toml", "x = 1");
    daemon.hang_up();
    assert_eq!(found("config.reject")["PRIORITY"], "3");
    // One that nobody ends does so with the daemon, though its BYE has no answer.
    converse(&house, false);
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(found("stopped")["STOXD_EVENT"], "stopped");
    let all = |event: &str| -> Vec<&str> {
        let is_it = |e: &&BTreeMap<String, String>| e.get("STOXD_EVENT").is_some_and(|it| it == event);
        entries.iter().filter(is_it).map(|e| e["MESSAGE"].as_str()).collect()
    };
    assert_eq!(all("session.up").len(), 2);
    assert_eq!(
        all("session.down"),
        ["the SIP user has left", "the gateway is stopping"]
            .map(|why| format!("session over, sip-to-xmpp, ms-session: {why}"))
    );
    assert!(!entries.iter().any(|e| e.values().any(|value| value.contains("psst"))));
}
