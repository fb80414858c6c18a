//! What is written is read again by other readers: our own of SIP and of XML, the crate's of captures, and
//! one of HEP that knows nothing of the writer.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::{Packet, Transport, Wire, copied, hep, pcapng, rebuilt};
use crate::admin::trace::{Copy, Crossing, Step, Way, What};
use crate::sip::message::Message;
use crate::xml;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use pcap_file::pcapng::PcapNgReader;
use pcap_file::pcapng::blocks::Block;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use std::collections::BTreeMap;

const ALICE: &str = "alice@contoso.example";
const ROMEO: &str = "romeo@fabrikam.example/orchard";
const TRACE: &str = "00n8w3v5k2d9q7x1mz";
const BEGUN: u64 = 1_790_000_000_250_000;

fn step(after: u64, what: What) -> Step {
    Step { after, what, way: None, status: None, condition: None, detail: None }
}

fn by(step: Step, name: &str, address: Option<&str>, local: Option<&str>, verified: &str) -> Step {
    let way = Way {
        name: name.into(),
        address: address.map(str::to_owned),
        local: local.map(str::to_owned),
        verified: verified.into(),
    };
    Step { way: Some(way), ..step }
}

fn crossing(direction: &str, kind: &str, (from, to): (&str, &str), steps: Vec<Step>) -> Crossing {
    Crossing {
        trace: TRACE.into(),
        direction: direction.into(),
        kind: kind.into(),
        from: from.into(),
        to: to.into(),
        partner: "fabrikam.example".into(),
        peer: "edge".into(),
        begun: BEGUN,
        outcome: "open".into(),
        policy: Some("Sales".into()),
        policy_at: Some("policy.toml:22".into()),
        why: None,
        steps,
    }
}

fn there() -> Crossing {
    let link = ("in#7", Some("198.51.100.7:40001"), Some("203.0.113.5:5061"), "TLS, by certificate");
    let stream =
        ("out#3", Some("[2001:db8:5::9]:5269"), Some("[2001:db8:7::1]:41000"), "TLS 1.3, SASL EXTERNAL");
    let steps = vec![
        by(step(0, What::Came), link.0, link.1, link.2, link.3),
        step(0, What::Allowed),
        step(10, What::WaitsForStream),
        by(step(620, What::Sent), stream.0, stream.1, stream.2, stream.3),
        Step { status: Some(202), ..step(700, What::Told) },
        Step { condition: Some("item-not-found".into()), ..step(9000, What::Returned) },
    ];
    crossing("sip-to-xmpp", "message", (ALICE, ROMEO), steps)
}

fn back() -> Crossing {
    let steps = vec![
        by(step(0, What::Came), "in#4", Some("198.51.100.9:50000"), None, "dialback over TLS"),
        step(0, What::Allowed),
        by(step(100, What::Sent), "in#1", None, Some("0.0.0.0:5070"), "UDP, by address"),
        Step { status: Some(404), ..step(6100, What::Answered) },
        step(6100, What::Failed),
        Step { condition: Some("item-not-found".into()), ..step(6100, What::Told) },
    ];
    crossing("xmpp-to-sip", "message", (ROMEO, ALICE), steps)
}

fn packets_of(crossing: &Crossing) -> Vec<Packet> {
    rebuilt::rebuild(crossing)
}

fn ends(packet: &Packet) -> (String, String) {
    (packet.from.to_string(), packet.to.to_string())
}

/// The one stanza that the octets are: its name, attributes and children.
fn stanza(packet: &Packet) -> (String, BTreeMap<String, String>, usize) {
    let text = std::str::from_utf8(&packet.octets).unwrap();
    let element = xml::parse::document(text, &xml::Limits::default()).unwrap();
    let attrs =
        element.attrs().iter().map(|attr| (attr.name().to_owned(), attr.value().to_owned())).collect();
    (element.name().to_owned(), attrs, element.children().count())
}

#[test]
fn a_message_to_xmpp_is_a_request_a_stanza_and_their_answers_between_the_ends_on_record() {
    let packets = packets_of(&there());
    let all: Vec<_> = packets.iter().map(|one| (one.wire, one.at - BEGUN, ends(one))).collect();
    let (edge, ours) = ("198.51.100.7:40001".to_owned(), "203.0.113.5:5061".to_owned());
    let (partner, near) = ("[2001:db8:5::9]:5269".to_owned(), "[2001:db8:7::1]:41000".to_owned());
    assert_eq!(
        all,
        [
            (Wire::Sip, 0, (edge.clone(), ours.clone())),
            (Wire::Xmpp, 620, (near.clone(), partner.clone())),
            (Wire::Sip, 700, (ours, edge)),
            (Wire::Xmpp, 9000, (partner, near)),
        ]
    );
    let request = Message::parse(&packets[0].octets).unwrap();
    assert_eq!(request.method().unwrap().as_str(), "MESSAGE");
    assert_eq!((request.call_id(), request.cseq().number), (TRACE, 1));
    assert_eq!(request.header_spelt("From").unwrap(), format!("<sip:{ALICE}>;tag={TRACE}"));
    assert_eq!(request.header_spelt("To").unwrap(), "<sip:romeo@fabrikam.example;gr=orchard>");
    assert!(
        request.header_spelt("Via").unwrap().starts_with("SIP/2.0/TLS 198.51.100.7:40001;branch=z9hG4bK")
    );
    let response = Message::parse(&packets[2].octets).unwrap();
    assert_eq!((response.status(), response.call_id()), (Some(202), TRACE));
    let (name, attrs, children) = stanza(&packets[1]);
    assert_eq!((name.as_str(), children, attrs.len()), ("message", 0, 3));
    assert_eq!((attrs["from"].as_str(), attrs["to"].as_str(), attrs["id"].as_str()), (ALICE, ROMEO, TRACE));
    let (name, attrs, children) = stanza(&packets[3]);
    assert_eq!(
        (name.as_str(), attrs["type"].as_str(), attrs["from"].as_str(), children),
        ("message", "error", ROMEO, 1)
    );
    assert!(
        packets[1]
            .note
            .ends_with("by out#3 TLS 1.3, SASL EXTERNAL; before: allowed Sales; before: waits-for-stream")
    );
}

#[test]
fn every_packet_says_that_it_was_rebuilt() {
    for packet in packets_of(&there()).into_iter().chain(packets_of(&back())) {
        let said = "rebuilt from stoxd's record; no copy of what went over the wire";
        assert!(packet.note.starts_with(said), "{}", packet.note);
        let text = String::from_utf8(packet.octets).unwrap();
        let own = match packet.wire {
            Wire::Sip => format!("\r\nX-Stoxd-Rebuilt: {said}\r\n"),
            Wire::Xmpp => format!("<!-- {said} -->"),
        };
        assert!(text.contains(&own), "{text}");
    }
}

#[test]
fn a_message_to_sip_has_addresses_of_documentation_where_none_is_on_record() {
    let packets = packets_of(&back());
    let all: Vec<_> = packets.iter().map(|one| (one.wire, one.transport, ends(one))).collect();
    let (partner, xmpp) = ("198.51.100.9:50000".to_owned(), "192.0.2.1:5269".to_owned());
    let (peer, sip) = ("192.0.2.2:5060".to_owned(), "192.0.2.1:5070".to_owned());
    assert_eq!(
        all,
        [
            (Wire::Xmpp, Transport::Tcp, (partner.clone(), xmpp.clone())),
            (Wire::Sip, Transport::Udp, (sip.clone(), peer.clone())),
            (Wire::Sip, Transport::Udp, (peer, sip)),
            (Wire::Xmpp, Transport::Tcp, (xmpp, partner)),
        ]
    );
    assert_eq!(Message::parse(&packets[2].octets).unwrap().status(), Some(404));
    assert_eq!(stanza(&packets[3]).1["to"], ROMEO);
}

#[test]
fn a_subscription_is_a_subscribe_and_a_presence() {
    let came = by(step(0, What::Came), "in#4", None, None, "TLS 1.3, SASL EXTERNAL");
    let sent = by(step(5, What::Sent), "out#8", None, None, "TCP, by its address");
    let packets = packets_of(&crossing("xmpp-to-sip", "subscription", (ROMEO, ALICE), vec![came, sent]));
    let (name, attrs, _) = stanza(&packets[0]);
    assert_eq!((name.as_str(), attrs["type"].as_str()), ("presence", "subscribe"));
    let request = Message::parse(&packets[1].octets).unwrap();
    assert_eq!(request.method().unwrap().as_str(), "SUBSCRIBE");
    assert!(request.event().is_some() && ends(&packets[1]).1 == "192.0.2.2:5060");
}

#[test]
fn an_answer_to_what_is_not_on_record_makes_no_packet() {
    let whole = there();
    let answers: Vec<Step> = whole.steps.iter().skip(4).cloned().collect();
    assert_eq!(packets_of(&Crossing { steps: answers, ..whole }), []);
}

#[test]
fn a_copy_is_a_packet_as_it_came_or_went_and_what_is_missing_is_counted() {
    let octets = b"MESSAGE sip:b@c SIP/2.0\r\n\r\nxxxx\xff";
    let copy = Copy {
        trace: "a84b\r\n\u{1b}@host".into(),
        at: BEGUN,
        came: true,
        stanza: false,
        way: Way {
            name: "in#1".into(),
            address: Some("198.51.100.7:5060".into()),
            local: Some("203.0.113.5:5060".into()),
            verified: "UDP, by address".into(),
        },
        octets: BASE64_STANDARD.encode(octets),
        cut: 0,
        texts: false,
    };
    let came = copied::packet(&copy).unwrap();
    assert_eq!((came.wire, came.transport, came.octets.as_slice()), (Wire::Sip, Transport::Udp, &octets[..]));
    assert_eq!(ends(&came), ("198.51.100.7:5060".into(), "203.0.113.5:5060".into()));
    assert_eq!(came.note, "as it came, body masked; by in#1 UDP, by address; of a84b   @host");
    assert!(!came.trace.contains(char::is_control));
    let went =
        copied::packet(&Copy { came: false, stanza: true, cut: 7, texts: true, ..copy.clone() }).unwrap();
    assert_eq!(
        (went.wire, went.transport, ends(&went).0),
        (Wire::Xmpp, Transport::Tcp, "203.0.113.5:5060".into())
    );
    assert!(
        went.note.starts_with("as it went, credentials masked; ")
            && went.note.ends_with("; 7 octets more are left away")
    );
    assert_eq!(copied::packet(&Copy { octets: "%".into(), ..copy }), None);
    let mut capture = pcapng::Capture::new().unwrap();
    capture.push(&Packet { lost: 3, ..came }).unwrap();
    let octets = capture.take();
    let mut reader = PcapNgReader::new(octets.as_slice()).unwrap();
    let mut dropped = Vec::new();
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(block) = block.unwrap().0 {
            dropped.extend(block.options.into_iter().filter_map(|one| match one {
                EnhancedPacketOption::DropCount(count) => Some(count),
                _ => None,
            }));
        }
    }
    assert_eq!(dropped, [3]);
}

#[test]
fn hostile_words_stay_inside_their_packet() {
    let evil = "a\r\nX-Evil: yes\r\n\r\n--><x y='\"&]]>\u{0}\u{1b}[2J\u{202e}";
    let long = "x".repeat(100_000);
    for word in [evil, long.as_str()] {
        let mut hostile = there();
        hostile.steps.extend(back().steps.into_iter().skip(4));
        for step in &mut hostile.steps {
            step.detail = Some(word.into());
            step.condition = Some(word.into());
            if let Some(way) = &mut step.way {
                way.name = word.into();
                way.verified = word.into();
                way.address = Some(word.into());
            }
        }
        let (policy, why) = (Some(word.to_owned()), Some(word.to_owned()));
        let (from, to, trace) = (word.to_owned(), format!("b@c.example/{word}"), word.to_owned());
        let hostile = Crossing { from, to, policy, why, trace, ..hostile };
        let packets = packets_of(&hostile);
        assert_eq!(packets.len(), 4);
        for packet in &packets {
            assert!(!packet.note.contains(|c: char| c.is_control() || c == '\u{202e}'));
            match packet.wire {
                Wire::Sip => {
                    let message = Message::parse(&packet.octets).unwrap();
                    assert!(message.header_spelt("X-Evil").is_none());
                    assert!(message.header_spelt("From").unwrap().starts_with("<sip:anonymous.invalid>"));
                    assert!(packet.octets.ends_with(b"Content-Length: 0\r\n\r\n"));
                }
                Wire::Xmpp => assert!(matches!(stanza(packet), (name, _, 0 | 1) if name == "message")),
            }
            assert_eq!(chunks(&hep::frame(packet)).1, "", "one frame");
        }
        assert_eq!(captured(&packets).len(), 4);
    }
}

/// A packet of a capture: time, tags, what is behind them, comment.
type Captured = (u64, BTreeMap<u16, Vec<u8>>, Vec<u8>, String);

fn captured(packets: &[Packet]) -> Vec<Captured> {
    let mut capture = pcapng::Capture::new().unwrap();
    let mut octets = capture.take();
    for packet in packets {
        capture.push(packet).unwrap();
        octets.extend(capture.take());
    }
    let mut reader = PcapNgReader::new(octets.as_slice()).unwrap();
    let mut found = Vec::new();
    while let Some(block) = reader.next_block() {
        let Block::EnhancedPacket(block) = block.unwrap().0 else { continue };
        let (mut tags, mut rest) = (BTreeMap::new(), &*block.data);
        loop {
            let (kind, length) = (two(rest, 0), usize::from(two(rest, 2)));
            let value = rest[4..4 + length].to_vec();
            rest = &rest[4 + length..];
            if kind == 0 {
                break;
            }
            tags.insert(kind, value);
        }
        let comment = block.options.iter().find_map(|option| match option {
            EnhancedPacketOption::Common(CommonOption::Comment(text)) => Some(text.to_string()),
            _ => None,
        });
        let at = u64::try_from(block.timestamp.as_micros()).unwrap();
        found.push((at, tags, rest.to_vec(), comment.unwrap()));
    }
    assert_eq!(u32::from(reader.interfaces()[0].linktype), 252);
    found
}

fn two(octets: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([octets[at], octets[at + 1]])
}

#[test]
fn a_capture_has_times_addresses_protocols_and_comments() {
    let packets = packets_of(&there());
    let found = captured(&packets);
    assert_eq!(found.len(), 4);
    for (packet, (at, tags, octets, comment)) in packets.iter().zip(&found) {
        assert_eq!((at, octets, comment), (&packet.at, &packet.octets, &packet.note));
        assert_eq!(tags[&24], [0, 0, 0, 2], "TCP");
    }
    let (sip, xmpp) = (&found[0].1, &found[1].1);
    assert_eq!((sip[&12].as_slice(), xmpp[&12].as_slice()), (&b"sip\0"[..], &b"xmpp"[..]));
    assert_eq!((sip[&20].as_slice(), sip[&21].as_slice()), (&[198, 51, 100, 7][..], &[203, 0, 113, 5][..]));
    assert_eq!((two(&sip[&25], 2), two(&sip[&26], 2)), (40001, 5061));
    assert!(
        xmpp[&22].len() == 16 && xmpp[&23][..6] == [0x20, 0x01, 0x0d, 0xb8, 0, 5] && !xmpp.contains_key(&20)
    );
}

/// The chunks of the first frame by their type, and what is left behind it.
fn chunks(octets: &[u8]) -> (BTreeMap<u16, Vec<u8>>, String) {
    assert_eq!(&octets[..4], b"HEP3");
    let (mut at, end) = (6, usize::from(two(octets, 4)));
    let mut found = BTreeMap::new();
    while at < end {
        assert_eq!(two(octets, at), 0, "vendor");
        let length = usize::from(two(octets, at + 4));
        assert!(found.insert(two(octets, at + 2), octets[at + 6..at + length].to_vec()).is_none());
        at += length;
    }
    assert_eq!(at, end);
    (found, String::from_utf8_lossy(&octets[end..]).into_owned())
}

#[test]
fn a_frame_for_a_capture_server_has_all_chunks_and_the_name_that_joins_both_legs() {
    let packets = packets_of(&there());
    let (sip, rest) = chunks(&hep::frame(&packets[0]));
    assert_eq!(rest, "");
    for (kind, value) in [
        (1, &[2][..]),
        (2, &[6]),
        (3, &[198, 51, 100, 7]),
        (4, &[203, 0, 113, 5]),
        (7, &40001u16.to_be_bytes()),
        (8, &5061u16.to_be_bytes()),
        (9, &1_790_000_000u32.to_be_bytes()),
        (10, &250_000u32.to_be_bytes()),
        (11, &[1]),
        (15, &packets[0].octets),
        (17, TRACE.as_bytes()),
        (19, b"stoxd"),
    ] {
        assert_eq!(sip[&kind], value, "chunk {kind}");
    }
    let (xmpp, _) = chunks(&hep::frame(&packets[1]));
    assert_eq!(
        (xmpp[&1].as_slice(), xmpp[&11].as_slice(), xmpp[&17].as_slice()),
        (&[10][..], &[2][..], TRACE.as_bytes())
    );
    assert!(xmpp[&6].ends_with(&[0, 9]) && !xmpp.contains_key(&3));
    let long = Packet { octets: vec![b'x'; 200_000], ..packets[0].clone() };
    assert_eq!(hep::frame(&long).len(), hep::FRAME, "what one datagram carries");
    chunks(&hep::frame(&long));
}
