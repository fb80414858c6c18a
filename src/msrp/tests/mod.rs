//! The switch against octets written by hand, and against another one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::needless_range_loop)]

mod binding;
mod pair;
mod receiving;
mod reports;
mod sending;

use super::*;
use crate::ids::{Ids, Owner};
use crate::now::Now;

pub(super) const ACCEPT: &[&str] = &["text/plain", "message/cpim"];
pub(super) const FAR: &str = "msrp://far.example:7777/farfarfar;tcp";

/// One switch whose far end the test writes by hand.
pub(super) struct Bench {
    pub switch: Switch,
    pub ids: Ids,
    pub now: Now,
}

pub(super) fn settings() -> Settings {
    Settings {
        host: "gw.example".into(),
        port: Some(2855),
        tls: false,
        message_max: 10_000,
        unfinished: 20_000,
        connections: 4,
        sessions: 4,
    }
}

impl Bench {
    pub fn new() -> Self {
        Self { switch: Switch::new(settings(), 0), ids: Ids::new([5; 32], Owner::default()), now: Now::at(0) }
    }

    pub fn open(&mut self) -> SessionId {
        self.switch.open(self.now, &mut self.ids, false, ACCEPT).unwrap()
    }

    pub fn start(&mut self, id: SessionId, connects: Connects) -> Result<(), StartError> {
        let peer = peer(FAR, connects);
        self.switch.start(self.now, &mut self.ids, id, peer)
    }

    pub fn accepted(&mut self) -> ConnId {
        self.switch.accepted(self.now, false, None).unwrap()
    }

    /// A session whose peer has connected and bound it.
    pub fn bound(&mut self) -> (SessionId, ConnId) {
        let id = self.open();
        self.start(id, Connects::Them).unwrap();
        let conn = self.accepted();
        let answer = self.say(conn, &self.request(id, "bind1234", "SEND", "Message-ID: bind1234\r\n", None));
        assert!(answer.starts_with("MSRP bind1234 200 OK\r\n"), "{answer}");
        assert!(matches!(self.switch.next_event(), Some(Event::Up { session }) if session == id));
        (id, conn)
    }

    /// A request of the far end; `headers` each with CRLF.
    pub fn request(
        &self,
        id: SessionId,
        tid: &str,
        method: &str,
        headers: &str,
        body: Option<&str>,
    ) -> String {
        let to = self.switch.uri(id).unwrap().as_str();
        request(to, tid, method, headers, body, '$')
    }

    /// What the far end writes, and what is written to it for that.
    pub fn say(&mut self, conn: ConnId, octets: &str) -> String {
        self.switch.received(self.now, &mut self.ids, conn, octets.as_bytes());
        self.written(conn)
    }

    /// What was written on `conn` since.
    pub fn written(&mut self, conn: ConnId) -> String {
        let mut text = String::new();
        while let Some(action) = self.switch.next_action() {
            match action {
                Action::Send { conn: to, octets } if to == conn => {
                    text.push_str(std::str::from_utf8(&octets).unwrap());
                }
                Action::Close { conn: which } if which == conn => text.push_str("<closed>"),
                other => panic!("{other:?}"),
            }
        }
        text
    }

    pub fn at(&mut self, seconds: u64) {
        self.now = Now::at(seconds);
        while self.switch.deadline().is_some_and(|due| due <= self.now.mono) {
            self.switch.on_timer(self.now, &mut self.ids);
            if self.switch.deadline().is_some_and(|due| due <= self.now.mono) {
                panic!("the deadline stands still");
            }
        }
    }

    pub fn send(&mut self, id: SessionId, text: &str) -> Result<MessageId, SendError> {
        self.switch.send(self.now, &mut self.ids, id, text_message(text))
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.switch.next_event()).collect()
    }
}

pub(super) fn request(
    to: &str,
    tid: &str,
    method: &str,
    headers: &str,
    body: Option<&str>,
    flag: char,
) -> String {
    let body = body.map_or(String::new(), |body| format!("\r\n{body}\r\n"));
    format!(
        "MSRP {tid} {method}\r\nTo-Path: {to}\r\nFrom-Path: {FAR}\r\n{headers}{body}-------{tid}{flag}\r\n"
    )
}

pub(super) fn peer(path: &str, connects: Connects) -> Peer {
    Peer {
        path: vec![MsrpUri::parse(path).unwrap()],
        connects,
        fingerprints: Vec::new(),
        max_size: None,
        near: "192.0.2.9".into(),
    }
}

pub(super) fn text_message(text: &str) -> Outgoing {
    Outgoing { again: None, content_type: "text/plain".into(), octets: text.into(), report: false }
}

/// The heads, bodies and flags of what was written.
pub(super) fn frames(text: &str) -> Vec<(String, Option<String>, char)> {
    let mut framer = frame::Framer::new(100_000);
    framer.push(text.as_bytes());
    let mut found = Vec::new();
    while let Some(frame::Frame::Whole { head, body, flag }) = framer.next().unwrap() {
        let string = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
        found.push((string(head), body.map(string), char::from(flag.octet())));
    }
    found
}

pub(super) fn tid_of(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

/// The far end's response to a request of ours.
pub(super) fn response(to: &str, tid: &str, status: &str) -> String {
    format!("MSRP {tid} {status}\r\nTo-Path: {to}\r\nFrom-Path: {FAR}\r\n-------{tid}$\r\n")
}
