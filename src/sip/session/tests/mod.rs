//! Both ends against octets, and against each other.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bounds;
mod called;
mod calling;
mod refreshed;
mod table;
mod together;

use super::*;
use crate::addr::Jid;
use crate::ids::{Ids, Owner};
use crate::now::Now;
use crate::sip::locate::Transport;
use crate::sip::merged::LoopGuard;
use crate::sip::pager::Sent;
use crate::sip::uas::Reject;
use crate::sip::write::{Writer, response_tail};
use std::time::Duration;

pub(super) const CONTACT: &str = "sip:gw.example.org:5061;transport=tls";
pub(super) const SDP: &str = "application/sdp";
pub(super) const OFFER: &[u8] = b"v=0\r\no=- 1 1 IN IP4 gw.example.org\r\n";
const SENT: Sent<'static> = Sent { by: "gw.example.org", transport: Transport::Tls };

/// One side, with its own time.
pub(super) struct World {
    pub(super) session: Session,
    pub(super) ids: Ids,
    pub(super) now: Mono,
    /// The last request of ours.
    pub(super) sent: Option<SessionRequest>,
}

pub(super) fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

pub(super) fn octets(request: &SessionRequest) -> Vec<u8> {
    let mut out = Vec::new();
    request.write(&SENT, "z9hG4bKb", &mut out);
    out
}

#[track_caller]
pub(super) fn read(octets: &[u8]) -> Message<'_> {
    Message::parse(octets).unwrap()
}

#[track_caller]
pub(super) fn status<T: std::fmt::Debug>(result: Result<T, Reject>) -> u16 {
    result.unwrap_err().status
}

/// The first line of each request, and the number and tag that it has.
pub(super) fn said(request: &SessionRequest) -> String {
    let octets = octets(request);
    let message = read(&octets);
    let tag = message.to().tag.unwrap_or("-");
    let target = message.target().map(|uri| uri.host).unwrap_or_default();
    format!("{} {} {target} {tag}", message.method().unwrap(), message.cseq().number)
}

pub(super) fn invite<'a>(from: &'a Jid, to: &'a Jid) -> Invite<'a> {
    Invite {
        from,
        to,
        call_id: None,
        headers: &[("Subject", "hello")],
        content_type: SDP,
        body: OFFER,
        timing: Timing::default(),
    }
}

pub(super) fn calling() -> World {
    let (mut ids, guard) = (Ids::new([3; 32], Owner::default()), LoopGuard::new([4; 32]));
    let (from, to) = (jid("juliet@example.com/b"), jid("romeo@example.net"));
    let (session, request) = Session::inviting(&invite(&from, &to), 5, &guard, &mut ids).unwrap();
    World { session, ids, now: Now::at(0).mono, sent: Some(request) }
}

/// What Lync says besides.
pub(super) const ZOO: &str = "EndPoints: <sip:romeo@example.net>, <sip:juliet@example.com>\r\n\
    Roster-Manager: sip:romeo@example.net\r\nms-keep-alive: UAC;hop-hop=yes\r\n\
    Ms-Conversation-ID: AdA\r\nms-text-format: text/plain; charset=UTF-8;ms-body=aGk=\r\n\
    Supported: ms-dialog-route-set-update\r\nms-endpoint-location-data: NetworkScope;ms-media-location-type=intranet\r\n";

/// The peer's INVITE.
pub(super) fn their_invite(lines: &str) -> Vec<u8> {
    their(
        "INVITE",
        1,
        "theirs",
        None,
        &format!("Contact: <sip:romeo@192.0.2.9;transport=tls>\r\n{lines}"),
        "v=0",
    )
}

/// A request of the peer, in the dialog if there is a tag of ours.
pub(super) fn their(
    method: &str,
    cseq: u32,
    theirs: &str,
    ours: Option<&str>,
    lines: &str,
    body: &str,
) -> Vec<u8> {
    let tag = ours.map(|tag| format!(";tag={tag}")).unwrap_or_default();
    let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} {CONTACT} SIP/2.0\r\nVia: SIP/2.0/TLS edge.example.net;branch=z9hG4bK{method}{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: \"Romeo\"<sip:romeo@example.net>;tag={theirs};epid=0123\r\n\
         To: <sip:juliet@example.com>{tag}\r\nCall-ID: c1\r\nCSeq: {cseq} {method}\r\n{lines}{content}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub(super) fn called_with(lines: &str) -> World {
    let now = Now::at(0).mono;
    let octets = their_invite(lines);
    let session = Session::invited(now, &read(&octets), "ours", true, Timing::default()).unwrap();
    World { session, ids: Ids::new([5; 32], Owner::default()), now, sent: None }
}

/// Answered 200, not acknowledged.
pub(super) fn accepted_with(lines: &str) -> World {
    let mut world = called_with(lines);
    world.session.accept(world.now, CONTACT, SDP, OFFER).unwrap();
    world
}

pub(super) fn confirmed_with(lines: &str) -> World {
    let mut world = accepted_with(lines);
    assert!(matches!(world.ack(1), Acked::Confirmed));
    world
}

impl World {
    /// A response to our last request, with a tag in To.
    pub(super) fn response(&self, status: u16, tag: &str, lines: &str) -> Vec<u8> {
        let octets = octets(self.sent.as_ref().unwrap());
        let request = read(&octets);
        let mut tail = Vec::new();
        response_tail(&request, tag, None, &mut tail);
        tail.extend_from_slice(lines.as_bytes());
        let mut out = Vec::new();
        Writer::response(&mut out, status, &tail).end();
        out
    }

    pub(super) fn answer(&mut self, status: u16, tag: &str, lines: &str) -> Answered {
        let octets = self.response(status, tag, lines);
        self.answer_octets(&octets)
    }

    pub(super) fn answer_octets(&mut self, octets: &[u8]) -> Answered {
        let sent = self.sent.take();
        let answered = self.session.on_response(self.now, &read(octets), sent.as_ref(), &mut self.ids);
        self.sent = sent;
        answered
    }

    /// 200 of `tag` at 192.0.2.9.
    pub(super) fn establish(&mut self, lines: &str) -> SessionRequest {
        let lines = format!("Contact: <sip:romeo@192.0.2.9;transport=tls>\r\n{lines}");
        match self.answer(200, "theirs", &lines) {
            Answered::Established { ack } => ack,
            other => panic!("{other:?}"),
        }
    }

    /// An in-dialog request of the peer.
    pub(super) fn hear(
        &mut self,
        method: &str,
        cseq: u32,
        lines: &str,
        body: &str,
    ) -> Result<InDialog, Reject> {
        let octets = self.theirs(method, cseq, lines, body);
        self.session.on_request(&read(&octets), &mut self.ids)
    }

    pub(super) fn theirs(&self, method: &str, cseq: u32, lines: &str, body: &str) -> Vec<u8> {
        let dialog = self.session.dialog();
        let octets = their(method, cseq, "theirs", dialog.local_tag(), lines, body);
        let call_id = format!("Call-ID: {}", dialog.call_id());
        String::from_utf8(octets).unwrap().replace("Call-ID: c1", &call_id).into_bytes()
    }

    pub(super) fn ack(&mut self, cseq: u32) -> Acked {
        let octets = self.theirs("ACK", cseq, "", "");
        self.session.on_ack(&read(&octets))
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    /// Goes to the next deadline, and says what is due there and when.
    pub(super) fn next(&mut self) -> (Duration, Due) {
        self.now = self.session.deadline().unwrap();
        let due = self.session.on_timer(self.now);
        (self.now.since(Now::at(0).mono), due)
    }
}
