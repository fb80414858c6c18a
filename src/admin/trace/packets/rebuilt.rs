//! Packets made of what is on record: a start line and its headers, or the head of a stanza.
//!
//! The daemon keeps no octets of the wire, so each of these says of itself that it is no copy: in the octets,
//! for whoever sees nothing else, and in its note. What the record does not know (tags, branches, most
//! headers, the type of a message) is left out, or made of the crossing's name where SIP has to have it.
//!
//! | step | SIP user sends | XMPP contact sends |
//! |---|---|---|
//! | came | request, from the peer | stanza, from the partner |
//! | sent | stanza, to the partner | request, to the peer |
//! | answered | – | response, from the peer |
//! | returned | error stanza, from the partner | – |
//! | told | response, to the peer | error stanza, to the partner |
//!
//! All other steps are in the note of the next packet. An answer goes between the ends of what it answers; one
//! whose question is not on record (a text by MSRP) makes no packet.

use super::{Ends, Packet, Transport, Wire};
use crate::addr::{Clean, Jid, map};
use crate::admin::trace::ladder::shown;
use crate::admin::trace::{Crossing, Step, Way, What};
use crate::gateway::trail::phrase_of;
use crate::xml::write;
use std::net::SocketAddr;

/// What every packet says of itself.
const REBUILT: &str = "rebuilt from stoxd's record; no copy of what went over the wire";
/// Steps that one note tells of.
const EVENTS: usize = 8;

/// What the steps so far said of a crossing.
#[derive(Default)]
struct Known {
    sip: Option<(Ends, Transport, &'static str)>,
    xmpp: Option<Ends>,
    /// What happened since the last packet.
    since: Vec<String>,
}

/// The packets of all steps of `crossing`, in order.
pub(super) fn rebuild(crossing: &Crossing) -> Vec<Packet> {
    let mut known = Known::default();
    crossing.steps.iter().filter_map(|step| packet(crossing, step, &mut known)).collect()
}

fn packet(crossing: &Crossing, step: &Step, known: &mut Known) -> Option<Packet> {
    let sip = crossing.is_from_sip();
    let (wire, inwards, octets) = match (step.what, sip) {
        (What::Came, true) | (What::Sent, false) => {
            let (ends, transport, protocol) = sip_ends(step.way.as_ref());
            known.sip = Some((ends, transport, protocol));
            let sender = if sip { ends.far } else { ends.ours };
            (Wire::Sip, sip, request(crossing, protocol, sender))
        }
        (What::Came, false) | (What::Sent, true) => {
            known.xmpp = Some(ends_of(Wire::Xmpp, 5269, step.way.as_ref()));
            (Wire::Xmpp, !sip, stanza(crossing))
        }
        (What::Answered, _) | (What::Told, true) => {
            let (ends, _, protocol) = known.sip?;
            let sender = if sip { ends.far } else { ends.ours };
            (Wire::Sip, !sip, response(crossing, step.status?, protocol, sender))
        }
        (What::Returned, _) | (What::Told, false) => {
            known.xmpp?;
            (Wire::Xmpp, sip, error_stanza(crossing, step.condition.as_deref().unwrap_or_default()))
        }
        (
            What::Allowed
            | What::Denied
            | What::WaitsForStream
            | What::WaitsForLink
            | What::WaitsForTurn
            | What::Failed
            | What::Watch,
            _,
        ) => {
            if known.since.len() < EVENTS {
                known.since.push(event(crossing, step));
            }
            return None;
        }
    };
    let (ends, transport) = match wire {
        Wire::Sip => known.sip.map(|(ends, transport, _)| (ends, transport))?,
        Wire::Xmpp => (known.xmpp?, Transport::Tcp),
    };
    let (from, to) = if inwards { (ends.far, ends.ours) } else { (ends.ours, ends.far) };
    let mut note = format!("{REBUILT}; crossing {}", Clean(&crossing.trace));
    if let Some(way) = &step.way {
        note.push_str(&format!("; by {}", Clean(&shown(way))));
    }
    for said in std::mem::take(&mut known.since) {
        note.push_str(&format!("; before: {said}"));
    }
    let at = crossing.begun.saturating_add(step.after);
    Some(Packet { at, trace: crossing.trace.clone(), wire, transport, from, to, octets, note, lost: 0 })
}

/// A step that is on no wire.
fn event(crossing: &Crossing, step: &Step) -> String {
    let mut said = step.what.as_str().to_owned();
    let policy = crossing.policy.as_deref().filter(|_| matches!(step.what, What::Allowed | What::Denied));
    let why = crossing.why.as_deref().filter(|_| matches!(step.what, What::Failed | What::Watch));
    for word in [step.detail.as_deref(), policy, why].into_iter().flatten() {
        said.push_str(&format!(" {}", Clean(word)));
    }
    said
}

/// The ends of a link, what carries it, and how a Via names that.
pub(super) fn sip_ends(way: Option<&Way>) -> (Ends, Transport, &'static str) {
    let verified = way.map(|way| way.verified.as_str()).unwrap_or_default();
    let (transport, protocol, port) = match verified.split([',', ' ']).next() {
        Some("UDP") => (Transport::Udp, "UDP", 5060),
        Some("TCP") => (Transport::Tcp, "TCP", 5060),
        Some(_) | None => (Transport::Tcp, "TLS", 5061),
    };
    (ends_of(Wire::Sip, port, way), transport, protocol)
}

pub(super) fn ends_of(wire: Wire, port: u16, way: Option<&Way>) -> Ends {
    let read = |address: Option<&String>| address.and_then(|address| address.parse::<SocketAddr>().ok());
    let far = read(way.and_then(|way| way.address.as_ref()));
    Ends::new(wire, port, far, read(way.and_then(|way| way.local.as_ref())))
}

/// Who it is from and for, as SIP writes it. The daemon's addresses are canonical; what is none names nobody.
fn uri(address: &str) -> Vec<u8> {
    let mut uri = Vec::new();
    match Jid::parse(address) {
        Ok(jid) => map::uri_from_jid(&jid, &mut uri),
        Err(_) => uri.extend_from_slice(b"sip:anonymous.invalid"),
    }
    uri
}

fn method(crossing: &Crossing) -> &'static str {
    if crossing.is_message() { "MESSAGE" } else { "SUBSCRIBE" }
}

fn request(crossing: &Crossing, protocol: &str, sender: SocketAddr) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(method(crossing).as_bytes());
    out.push(b' ');
    out.extend_from_slice(&uri(&crossing.to));
    out.extend_from_slice(b" SIP/2.0\r\n");
    headers(&mut out, crossing, protocol, sender, "");
    if !crossing.is_message() {
        out.extend_from_slice(b"Event: presence\r\n");
    }
    end(&mut out);
    out
}

fn response(crossing: &Crossing, status: u16, protocol: &str, sender: SocketAddr) -> Vec<u8> {
    let mut out = format!("SIP/2.0 {status:03} {}\r\n", phrase_of(status)).into_bytes();
    headers(&mut out, crossing, protocol, sender, ";tag=rebuilt");
    end(&mut out);
    out
}

/// What a request and its responses share; `sender` is whoever sent the request.
fn headers(out: &mut Vec<u8>, crossing: &Crossing, protocol: &str, sender: SocketAddr, tag: &str) {
    let token = token(&crossing.trace);
    out.extend_from_slice(format!("Via: SIP/2.0/{protocol} {sender};branch=z9hG4bK{token}\r\n").as_bytes());
    out.extend_from_slice(b"From: <");
    out.extend_from_slice(&uri(&crossing.from));
    out.extend_from_slice(format!(">;tag={token}\r\nTo: <").as_bytes());
    out.extend_from_slice(&uri(&crossing.to));
    out.extend_from_slice(
        format!(">{tag}\r\nCall-ID: {token}\r\nCSeq: 1 {}\r\n", method(crossing)).as_bytes(),
    );
}

fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(format!("X-Stoxd-Rebuilt: {REBUILT}\r\nContent-Length: 0\r\n\r\n").as_bytes());
}

/// The crossing's name, which is letters and digits.
fn token(trace: &str) -> String {
    trace.chars().filter(char::is_ascii_alphanumeric).take(64).collect()
}

fn comment(out: &mut Vec<u8>) {
    out.extend_from_slice(format!("<!-- {REBUILT} -->").as_bytes());
}

fn stanza(crossing: &Crossing) -> Vec<u8> {
    let mut out = Vec::new();
    let tag = match crossing.is_message() {
        true => write::open(&mut out, "message"),
        false => write::open(&mut out, "presence").attr("type", "subscribe"),
    };
    tag.attr("from", &crossing.from).attr("to", &crossing.to).attr("id", &crossing.trace).content(comment);
    out
}

/// What came back: from whom it was for, to whom it was from.
fn error_stanza(crossing: &Crossing, condition: &str) -> Vec<u8> {
    let is_name = !condition.is_empty() && condition.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let condition = if is_name { condition } else { "undefined-condition" };
    let mut out = Vec::new();
    let name = if crossing.is_message() { "message" } else { "presence" };
    write::open(&mut out, name)
        .attr("type", "error")
        .attr("from", &crossing.to)
        .attr("to", &crossing.from)
        .attr("id", &crossing.trace)
        .content(|out| {
            comment(out);
            write::open(out, "error").content(|out| {
                let element = format!("<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>");
                out.extend_from_slice(element.as_bytes());
            });
        });
    out
}
