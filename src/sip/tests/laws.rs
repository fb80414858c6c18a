//! Parse, print, parse: what is written says what was meant.

use crate::sip::locate::Transport;
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::name::Name;
use crate::sip::value::unquote;
use crate::sip::write::{Party, Request, Writer, response_tail};
use proptest::prelude::*;

const TOKEN: &str = "[a-zA-Z0-9.!%*_+`'~-]{1,20}";

proptest! {
    #[test]
    fn a_written_request_parses_to_what_was_meant(
        method in TOKEN, user in "[a-z0-9&=+$,;?/]{1,20}", host in "[a-z]{1,10}\\.example", display in ".{0,40}",
        subject in ".{0,60}", tag in TOKEN, branch in TOKEN, call_id in "[!-+.-:<-~]{1,30}", cseq in 0..1u32 << 31,
        hops: u8, value in ".{0,30}", body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let uri = format!("sip:{user}@{host}");
        let from = Party { display: Some(&display), uri: uri.as_bytes(), tag: Some(&tag) };
        let to = Party { display: None, uri: b"sip:x@y.example;lr", tag: None };
        let method = Method::parse(&method).unwrap();
        let request = Request {
            method, uri: uri.as_bytes(), transport: Transport::Tls, sent_by: "[2001:db8::1]:5061", branch: &branch,
            max_forwards: hops, from, to, call_id: &call_id, cseq,
        };
        let mut out = Vec::new();
        let mut writer = Writer::request(&mut out, &request);
        writer.header(Name::Subject, &subject);
        writer.field(Name::Contact).address(uri.as_bytes()).param("p", &value);
        writer.body("text/plain", &body);

        let message = Message::parse(&out).unwrap();
        let shown = |text: &str| text.replace(|c: char| c.is_ascii_control() && c != '\t', " ");
        prop_assert_eq!(message.method(), Some(method));
        prop_assert_eq!(message.target().and_then(|target| target.user), Some(&*user));
        prop_assert_eq!(message.from().display().unwrap_or_default(), shown(&display));
        prop_assert_eq!(message.from().uri, &uri);
        prop_assert_eq!(message.from().tag, Some(&*tag));
        prop_assert_eq!(message.to().tag, None);
        prop_assert_eq!(message.call_id(), &call_id);
        prop_assert_eq!(message.cseq().number, cseq);
        prop_assert_eq!(message.max_forwards(), Some(hops));
        let subject_shown = shown(&subject);
        prop_assert_eq!(message.header(Name::Subject).unwrap(), subject_shown.trim_matches([' ', '\t']));
        let contact = message.addresses(Name::Contact).next().unwrap().unwrap();
        prop_assert_eq!(unquote(contact.params.value("p").unwrap()), shown(&value));
        prop_assert_eq!(message.body, &body);

        let mut tail = Vec::new();
        response_tail(&message, "own", Some("[2001:db8::2]:4711".parse().unwrap()), &mut tail);
        let mut out = Vec::new();
        Writer::response_with(&mut out, 480, &subject, &tail).end();
        let response = Message::parse(&out).unwrap();
        prop_assert_eq!(response.status(), Some(480));
        prop_assert_eq!(response.via().branch, message.via().branch);
        prop_assert_eq!(response.via().received, Some("2001:db8::2"));
        prop_assert_eq!(response.via().rport, Some(Some(4711)));
        prop_assert_eq!(response.from(), message.from());
        prop_assert_eq!((response.to().uri, response.to().tag), (message.to().uri, Some("own")));
        prop_assert_eq!(response.cseq(), message.cseq());
    }

    #[test]
    fn no_text_that_is_written_changes_what_stands_around_it(text: String) {
        let mut out = Vec::new();
        let party = Party { display: Some(&text), uri: text.as_bytes(), tag: Some(&text) };
        let request = Request {
            method: Method::Message, uri: text.as_bytes(), transport: Transport::Tls, sent_by: &text, branch: &text,
            max_forwards: 1, from: party, to: party, call_id: &text, cseq: 1,
        };
        let mut writer = Writer::request(&mut out, &request);
        writer.header(Name::Subject, &text);
        writer.end();
        let written = String::from_utf8(out).unwrap();
        let names: Vec<_> = written.split("\r\n").skip(1).map(|line| line.split(':').next().unwrap()).collect();
        prop_assert_eq!(names, ["Via", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "Subject", "Content-Length", "", ""]);
        let stray = |c: char| c.is_ascii_control() && !matches!(c, '\t' | '\r' | '\n');
        prop_assert!(!written.contains(stray));
        prop_assert_eq!(written.matches(['\r', '\n']).count(), 2 * written.matches("\r\n").count());
    }
}
