//! What another parser was seen to get wrong, at the level of whole messages. The others are with
//! the code they are about.

use super::{fault_of, framed, with};
use crate::sip::Fault;
use crate::sip::message::{Message, Start};
use crate::sip::method::Method;
use crate::sip::name::Name;

#[test]
fn pitfall_07_bare_cr_lf_and_nul_are_refused() {
    for (header, fault) in [
        ("X: a\nb\r\n", Fault::BareLineEnd),
        ("X: a\rb\r\n", Fault::BareLineEnd),
        ("X: a\0b\r\n", Fault::Control),
        ("X: \"a\\\rb\"\r\n", Fault::BareLineEnd),
        ("X: a\u{1b}[31mb\r\n", Fault::Control),
        ("X\0: b\r\n", Fault::Control),
    ] {
        assert_eq!(fault_of(&with(header)), Some(fault), "{header:?}");
    }
    assert_eq!(fault_of(&with("X: \"a\\\0b\"\tc\r\n")), None);
}

#[test]
fn pitfall_11_every_via_and_route_of_a_list_is_seen() {
    let octets = with(
        "v: SIP/2.0/TCP b;x=\"1,2\",SIP/2.0/UDP c\r\nRoute: <sip:r1;lr>,<sip:r2,x@h;lr>\r\nRoute: <sip:r3>\r\n",
    );
    let message = Message::parse(&octets).unwrap();
    let hosts: Vec<_> = message.vias().map(|via| via.host).collect();
    assert_eq!(hosts, ["a.example", "b", "c"]);
    let routes: Vec<_> = message.addresses(Name::Route).map(|route| route.unwrap().uri).collect();
    assert_eq!(routes, ["sip:r1;lr", "sip:r2,x@h;lr", "sip:r3"]);
}

#[test]
fn pitfall_14_a_request_uri_is_read_whole_or_refused() {
    let request = |uri: &str| {
        let text =
            String::from_utf8(with("")).unwrap().replace("sip:juliet@example.com SIP", &format!("{uri} SIP"));
        fault_of(text.as_bytes())
    };
    assert_eq!(request("sip:juliet@example.com;a=1;b"), None);
    for bad in [
        "sip:j@h?Route=x",
        "sip:j@h;a\u{e9}",
        "sip:j@h>",
        "sip:j@h;;",
        "<sip:j@h>",
        "sip:j@h@i",
        "sip:j@h:x",
        "x",
    ] {
        assert!(matches!(request(bad), Some(Fault::RequestUri(_))), "{bad}");
    }
    assert_eq!(request("sip:j@h; lr"), Some(Fault::StartLine));
}

#[test]
fn pitfall_15_an_unknown_method_is_a_message() {
    let text = String::from_utf8(with("")).unwrap().replace("MESSAGE", "BENOTIFY");
    assert_eq!(Message::parse(text.as_bytes()).unwrap().method(), Some(Method::Other("BENOTIFY")));
    let text = String::from_utf8(with("")).unwrap().replace("MESSAGE", "message");
    assert_eq!(Message::parse(text.as_bytes()).unwrap().method(), Some(Method::Other("message")));
}

#[test]
fn pitfall_16_a_reason_phrase_is_kept() {
    let text = String::from_utf8(with("")).unwrap();
    let rest = text.split_once("\r\n").unwrap().1;
    let text = format!("SIP/2.0 404 Nicht gefunden \u{e4}\r\n{rest}");
    let message = Message::parse(text.as_bytes()).unwrap();
    assert_eq!(message.start, Start::Response { status: 404, reason: "Nicht gefunden \u{e4}" });
}

#[test]
fn pitfall_17_unbalanced_quotes_are_refused() {
    let text = String::from_utf8(with("")).unwrap();
    for (from, to) in [
        ("To: <", "To: \"J <"),
        ("From: <", "From: \"J\\\" <"),
        ("To: <sip:juliet@example.com>", "To: <sip:juliet@example.com"),
        ("branch=z9hG4bKa", "branch=z9hG4bKa;x=\"y"),
    ] {
        assert!(matches!(fault_of(text.replace(from, to).as_bytes()), Some(Fault::Value(_))), "{to}");
    }
}

#[test]
fn pitfall_19_hostile_sizes_end_quickly() {
    assert!(matches!(
        fault_of(&with(&format!("Via: SIP/2.0/TCP h{}\r\n", ";".repeat(8000)))),
        Some(Fault::Value(Name::Via))
    ));
    let many = "SIP/2.0/TCP h,".repeat(127);
    assert_eq!(fault_of(&with(&format!("Via: {many}SIP/2.0/TCP h\r\n"))), Some(Fault::TooManyHeaders));
    assert_eq!(fault_of(&with(&"Q: y\r\n".repeat(300))), Some(Fault::TooManyHeaders));
    // Without the framer the octet that counts headers is the limit.
    assert_eq!(Message::parse(&with(&"Q: y\r\n".repeat(300))).unwrap_err().fault, Fault::TooManyHeaders);
}

#[test]
fn pitfall_20_values_are_borrowed_from_the_octets() {
    let octets = with("Subject: x\r\n");
    let framed = framed(&octets).unwrap();
    let message = Message::parse(&framed).unwrap();
    let range = framed.as_ptr_range();
    for text in
        [message.call_id(), message.from().uri, message.via().host, message.header(Name::Subject).unwrap()]
    {
        assert!(range.contains(&text.as_ptr()));
    }
    assert!(range.contains(&message.body.as_ptr()));
}

// What pitfall 21 asks is in Cargo.toml: rsip is pinned, and .clippy.toml bans its parser.
#[test]
fn pitfall_21_rsip_is_pinned() {
    assert!(include_str!("../../../Cargo.toml").contains("rsip = \"=0.4.0\""));
}
