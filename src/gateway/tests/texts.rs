//! SIP messages as text: those of the peer, and those of the gateway, read strictly.

use crate::addr::Jid;
use crate::gateway::effect::LinkId;
use crate::sip::message::Message;
use crate::sip::status;
use crate::xmpp::Pair;
use std::net::SocketAddr;

/// One SIP message that the gateway sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) link: LinkId,
    pub(super) to: Option<SocketAddr>,
    pub(super) text: String,
}

impl Sent {
    /// The value of the first header of this name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.text, name)
    }

    /// The status code of a response.
    pub(super) fn status(&self) -> Option<u16> {
        self.text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok())
    }

    pub(super) fn is_request(&self) -> bool {
        self.status().is_none()
    }

    pub(super) fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").unwrap().1
    }
}

pub(super) fn header<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let head = text.split_once("\r\n\r\n").map_or(text, |(head, _)| head);
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// A request such as the peer sends, `n` making it unique.
pub(super) fn message(n: u32, from: &str, to: &str, body: &str) -> String {
    message_with(n, from, to, "Content-Type: text/plain;charset=UTF-8\r\n", body)
}

pub(super) fn message_with(n: u32, from: &str, to: &str, headers: &str, body: &str) -> String {
    request("MESSAGE", n, from, to, headers, body)
}

pub(super) fn request(method: &str, n: u32, from: &str, to: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} sip:{to} SIP/2.0\r\nVia: SIP/2.0/TLS edge.contoso.example;branch=z9hG4bKpeer{n}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{from}>;tag=from{n}\r\nTo: <sip:{to}>\r\nCall-ID: call{n}@edge\r\n\
         CSeq: 1 {method}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The response of a user agent to `sent`.
pub(super) fn response(sent: &Sent, status: u16, headers: &str) -> String {
    let mut text = format!("SIP/2.0 {status} {}\r\n", status::reason(status));
    for line in sent.text.lines().take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        match name {
            "To" if !line.contains(";tag=") => text.push_str(&format!("{line};tag=callee\r\n")),
            "To" | "Via" | "From" | "Call-ID" | "CSeq" => text.push_str(&format!("{line}\r\n")),
            _ => {}
        }
    }
    text.push_str(headers);
    text.push_str("Content-Length: 0\r\n\r\n");
    text
}

/// A strict reader at the far end: exactly one stanza.
#[track_caller]
pub(super) fn assert_is_stanza(text: &str) {
    use crate::xml::{Limits, Scope};
    crate::xml::parse(text, &Scope::server(), &Limits::default()).unwrap_or_else(|e| panic!("{e}: {text}"));
}

/// The stanza goes over the stream of its own domain pair: the one from its sender's domain to its
/// target's.
#[track_caller]
pub(super) fn assert_is_of(text: &str, pair: &Pair) {
    use crate::xml::{Limits, Scope};
    let stanza = crate::xml::parse(text, &Scope::server(), &Limits::default()).unwrap();
    let domain = |name| Jid::parse(stanza.attr(name).unwrap()).unwrap().domain().to_owned();
    let (from, to) = (domain("from"), domain("to"));
    assert_eq!((from.as_str(), to.as_str()), (pair.local.as_str(), pair.remote.as_str()), "{text}");
}

/// A strict reader at the far end: exactly one message, no bare line end in its head.
#[track_caller]
pub(super) fn assert_is_sip(sent: &Sent) {
    let (head, body) = sent.text.split_once("\r\n\r\n").unwrap();
    assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "{}", sent.text);
    assert_eq!(sent.header("Content-Length").unwrap(), body.len().to_string(), "{}", sent.text);
    if sent.status().is_some_and(|status| [400, 505, 513].contains(&status)) {
        // It echoes what was malformed.
        return;
    }
    if let Err(error) = Message::parse(sent.text.as_bytes()) {
        panic!("{}: {}", error.fault, sent.text);
    }
}
