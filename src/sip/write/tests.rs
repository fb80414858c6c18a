//! What is written, octet for octet, and what never is.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::sip::value::unquote;

fn request<'a>() -> Request<'a> {
    Request {
        method: Method::Message,
        uri: b"sip:juliet@example.com",
        transport: Transport::Tls,
        sent_by: "gate.example:5061",
        branch: "z9hG4bKabc",
        max_forwards: 70,
        from: Party { display: Some("Romeo \"R\""), uri: b"sip:romeo@example.net;gr=x", tag: Some("1") },
        to: Party { display: None, uri: b"sip:juliet@example.com", tag: None },
        call_id: "c1",
        cseq: 1,
    }
}

#[test]
fn check_148_a_request_has_what_every_request_has() {
    let mut out = Vec::new();
    Writer::request(&mut out, &request()).body("text/plain;charset=utf-8", "Grüße".as_bytes());
    let want = "MESSAGE sip:juliet@example.com SIP/2.0\r\n\
        Via: SIP/2.0/TLS gate.example:5061;branch=z9hG4bKabc;rport\r\n\
        Max-Forwards: 70\r\n\
        From: \"Romeo \\\"R\\\"\" <sip:romeo@example.net;gr=x>;tag=1\r\n\
        To: <sip:juliet@example.com>\r\n\
        Call-ID: c1\r\n\
        CSeq: 1 MESSAGE\r\n\
        Content-Type: text/plain;charset=utf-8\r\n\
        Content-Length: 7\r\n\r\nGrüße";
    assert_eq!(String::from_utf8(out.clone()).unwrap(), want);
    let message = Message::parse(&out).unwrap();
    assert_eq!(message.via().branch, Some("z9hG4bKabc"));
    assert_eq!(message.from().display().unwrap(), "Romeo \"R\"");
}

#[test]
fn pitfall_08_no_value_leaves_its_line() {
    let evil = "hi\r\nX: y\r\n\r\n\0\u{7f}<sip:evil@h>\"";
    let mut out = Vec::new();
    let party = Party { display: Some(evil), uri: evil.as_bytes(), tag: Some(evil) };
    let evil_request = Request {
        method: Method::Other("M\r\n"),
        uri: evil.as_bytes(),
        transport: Transport::Tls,
        sent_by: evil,
        branch: evil,
        max_forwards: 0,
        from: party,
        to: party,
        call_id: evil,
        cseq: u32::MAX,
    };
    let mut writer = Writer::request(&mut out, &evil_request);
    writer.header(Name::Subject, evil).other(evil, evil).other("X-Own", evil);
    writer
        .field(Name::Contact)
        .quoted(evil)
        .address(evil.as_bytes())
        .param(evil, evil)
        .param("p", evil)
        .text(evil);
    writer.body(evil, b"\r\n\r\n");
    let text = String::from_utf8(out).unwrap();
    let head = text.strip_suffix("\r\n\r\n").unwrap();
    assert_eq!(head.find("\r\n\r\n"), Some(head.len() - 4));
    let lines: Vec<_> = head.split("\r\n").filter(|line| !line.is_empty()).collect();
    let names: Vec<_> = lines.iter().skip(1).map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        names,
        [
            "Via",
            "Max-Forwards",
            "From",
            "To",
            "Call-ID",
            "CSeq",
            "Subject",
            "X-Own",
            "Contact",
            "Content-Type",
            "Content-Length"
        ]
    );
    assert!(!text.contains(|c: char| c.is_ascii_control() && c != '\r' && c != '\n'));
    assert_eq!(lines[0], "M   hi%0D%0AX:%20y%0D%0A%0D%0A%00%7F%3Csip:evil@h%3E%22 SIP/2.0");

    let mut out = Vec::new();
    Writer::response_with(&mut out, 200, evil, b"").end();
    assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 3);
    assert!(out.starts_with(b"SIP/2.0 200 hi  X: y"));
}

#[test]
fn a_display_name_comes_back_as_it_was() {
    for name in ["plain", "a \"b\" \\ c", "\\", "\"", "大停電", "a,b;c<d>", " x "] {
        let mut out = Vec::new();
        let from = Party { display: Some(name), ..request().from };
        Writer::request(&mut out, &Request { from, ..request() }).end();
        assert_eq!(Message::parse(&out).unwrap().from().display().unwrap(), name);
    }
    assert_eq!(unquote("\"\\\r\""), "\r");
}

#[test]
fn pitfall_09_a_body_is_octets() {
    let mut out = Vec::new();
    Writer::request(&mut out, &request()).body("application/octet-stream", &[0xff, 0, 0x80, b'\n']);
    assert_eq!(Message::parse(&out).unwrap().body, [0xff, 0, 0x80, b'\n']);
}

const OPTIONS: &str = "OPTIONS sip:a@b.example SIP/2.0\r\n\
    v: SIP/2.0/TLS c.example:5061 ; branch=z9hG4bK1;received=1.1.1.1;rport , SIP/2.0/TCP d.example;branch=z9hG4bK2\r\n\
    Via: SIP/2.0/UDP e.example;branch=z9hG4bK3\r\n\
    Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n\
    Max-Forwards: 70\r\n\
    f: \"C\" <sip:c@c.example>;tag=1\r\n\
    t: sip:a@b.example\r\n\
    Record-Route: <sip:p3;lr>\r\n\
    i: 1\r\n\
    Timestamp: 54\r\n\
    X-Other: no\r\n\
    CSeq: 7 OPTIONS\r\n\
    l: 0\r\n\r\n";

fn respond(request: &str, source: Option<&str>) -> String {
    let request = Message::parse(request.as_bytes()).unwrap();
    let mut tail = Vec::new();
    response_tail(&request, "own", source.map(|source| source.parse().unwrap()), &mut tail);
    String::from_utf8(tail).unwrap()
}

#[test]
fn check_149_a_response_copies_via_from_call_id_cseq_and_adds_a_to_tag() {
    let want = "Via: SIP/2.0/TLS c.example:5061;branch=z9hG4bK1;received=192.0.2.9;rport=4711, \
        SIP/2.0/TCP d.example;branch=z9hG4bK2\r\n\
        Via: SIP/2.0/UDP e.example;branch=z9hG4bK3\r\n\
        Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n\
        From: \"C\" <sip:c@c.example>;tag=1\r\n\
        To: sip:a@b.example;tag=own\r\n\
        Record-Route: <sip:p3;lr>\r\n\
        Call-ID: 1\r\n\
        Timestamp: 54\r\n\
        CSeq: 7 OPTIONS\r\n";
    assert_eq!(respond(OPTIONS, Some("192.0.2.9:4711")), want);
    let mut out = Vec::new();
    let mut writer = Writer::response(&mut out, 200, want.as_bytes());
    writer.header(Name::Allow, "OPTIONS");
    writer.end();
    let response = Message::parse(&out).unwrap();
    assert_eq!((response.status(), response.to().tag), (Some(200), Some("own")));
    assert_eq!((response.via_count(), response.via().rport), (3, Some(Some(4711))));
    assert_eq!(response.addresses(Name::RecordRoute).count(), 3);
    assert!(out.starts_with(b"SIP/2.0 200 OK\r\nVia: "));
}

#[test]
fn check_149_a_to_tag_that_is_there_stays() {
    let inside = OPTIONS.replace("t: sip:a@b.example", "t: <sip:a@b.example>;tag=old");
    assert!(respond(&inside, None).contains("\r\nTo: <sip:a@b.example>;tag=old\r\n"));
}

#[test]
fn a_100_needs_no_tag() {
    let request = Message::parse(OPTIONS.as_bytes()).unwrap();
    let mut tail = Vec::new();
    response_tail(&request, "", None, &mut tail);
    assert!(String::from_utf8(tail).unwrap().contains("\r\nTo: sip:a@b.example\r\n"));
}

#[test]
fn check_152_received_and_rport_only_where_they_say_something() {
    let with_via = |via: &str| {
        let rest = OPTIONS.split_once("Via: ").unwrap().1;
        format!("OPTIONS sip:a@b.example SIP/2.0\r\nVia: {via}\r\nVia: {rest}")
    };
    let first = |via: &str, source| {
        let tail = respond(&with_via(via), source);
        tail.split_once("\r\n").unwrap().0.to_owned()
    };
    // sent-by is the source address.
    assert_eq!(first("SIP/2.0/UDP 192.0.2.9", Some("192.0.2.9:1")), "Via: SIP/2.0/UDP 192.0.2.9");
    assert_eq!(
        first("SIP/2.0/UDP [2001:db8::1]:5", Some("[2001:db8::1]:1")),
        "Via: SIP/2.0/UDP [2001:db8::1]:5"
    );
    // RFC 3581 §4: with rport always received, too.
    assert_eq!(
        first("SIP/2.0/UDP 192.0.2.9;rport", Some("192.0.2.9:1")),
        "Via: SIP/2.0/UDP 192.0.2.9;received=192.0.2.9;rport=1"
    );
    assert_eq!(
        first("SIP/2.0/UDP h;x=\"a;b\";y", Some("[2001:db8::1]:1")),
        "Via: SIP/2.0/UDP h;x=\"a;b\";y;received=2001:db8::1"
    );
    assert_eq!(first("SIP/2.0/UDP h", Some("[::ffff:192.0.2.9]:1")), "Via: SIP/2.0/UDP h;received=192.0.2.9");
    // Without a source nothing is touched.
    assert_eq!(first("SIP/2.0/UDP h ;received=1.1.1.1", None), "Via: SIP/2.0/UDP h ;received=1.1.1.1");
}

#[test]
fn a_malformed_request_is_answered_with_what_could_be_read() {
    let text =
        OPTIONS.replace("CSeq: 7 OPTIONS", "CSeq: 7 INVITE\r\nCSeq: 8 OPTIONS").replace("f: ", "From\u{1}: ");
    let error = Message::parse(text.as_bytes()).unwrap_err();
    assert_eq!(error.status(), 400);
    let mut tail = Vec::new();
    refusal_tail(error.readable.as_deref().unwrap(), "own", Some("192.0.2.9:1".parse().unwrap()), &mut tail);
    let tail = String::from_utf8(tail).unwrap();
    let names: Vec<_> = tail.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(names, ["Via", "Via", "Record-Route", "To", "Record-Route", "Call-ID", "Timestamp", "CSeq"]);
    assert!(tail.contains("received=192.0.2.9;rport=1, SIP/2.0/TCP"));
    assert!(tail.contains("To: sip:a@b.example;tag=own\r\n"));
    assert!(tail.contains("CSeq: 7 INVITE\r\n"));
}

#[test]
fn numbers_and_dates() {
    for number in [0, 9, 10, 4_294_967_295, u64::MAX] {
        let mut out = Vec::new();
        decimal(&mut out, number);
        assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
    }
    let mut out = Vec::new();
    let mut writer = Writer::response(&mut out, 503, b"");
    writer.number(Name::RetryAfter, 5).date(Wall::from_millis(0));
    writer.end();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "SIP/2.0 503 Service Unavailable\r\nRetry-After: 5\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn no_octet_of_a_uri_can_end_it_wherever_it_stands() {
    let escaped = |byte: u8| !(b'!'..=b'~').contains(&byte) || b"<>\"".contains(&byte);
    for (first, second) in (0..=255).flat_map(|first| (0..=255).map(move |second| (first, second))) {
        for value in [vec![first, second], vec![first, b'a', second, b'b'], vec![b'a', first]] {
            let mut out = Vec::new();
            uri(&mut out, &value);
            let naive: String = value
                .iter()
                .map(|byte| if escaped(*byte) { format!("%{byte:02X}") } else { char::from(*byte).into() })
                .collect();
            assert_eq!(String::from_utf8(out).unwrap(), naive, "{value:?}");
        }
    }
}
