//! MSRP: no panic, pieces of any size give the same frames as the whole, and a switch that is fed them keeps
//! its bounds. The first octet is the size of the pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoxd::ids::{Ids, Owner};
use stoxd::msrp::frame::{Frame, Framer};
use stoxd::msrp::{Action, Connects, Event, MsrpUri, Peer, Settings, Switch};
use stoxd::now::Now;

const LIMIT: usize = 500;

fn frames(octets: &[u8], piece: usize) -> Vec<String> {
    let mut framer = Framer::new(LIMIT);
    let mut found = Vec::new();
    for piece in octets.chunks(piece) {
        framer.push(piece);
        loop {
            match framer.next() {
                Ok(Some(frame)) => {
                    if let Frame::Whole { body: Some(body), .. } = frame {
                        assert!(body.len() <= LIMIT);
                    }
                    found.push(format!("{frame:?}"));
                }
                Ok(None) => break,
                Err(error) => {
                    found.push(format!("{error:?}"));
                    return found;
                }
            }
        }
    }
    found
}

fuzz_target!(|octets: &[u8]| {
    let Some((piece, octets)) = octets.split_first() else { return };
    let piece = usize::from(*piece).max(1);
    assert_eq!(frames(octets, piece), frames(octets, octets.len().max(1)));

    let settings =
        Settings { host: "gw.example".into(), tls: false, message_max: LIMIT, ..Settings::default() };
    let mut switch = Switch::new(Settings { port: Some(2855), ..settings }, 0);
    let mut ids = Ids::new([0; 32], Owner::default());
    let now = Now::at(0);
    let id = switch.open(now, &mut ids, false, &["text/plain"]).expect("room");
    let uri = switch.uri(id).expect("it is open").as_str().to_owned();
    let far = MsrpUri::parse("msrp://far.example:1/f;tcp").expect("a URI");
    let peer = Peer {
        path: vec![far],
        connects: Connects::Them,
        fingerprints: Vec::new(),
        max_size: None,
        near: String::new(),
    };
    switch.start(now, &mut ids, id, peer).expect("it starts");
    let conn = switch.accepted(now, false, None).expect("room");
    // `~` stands for our URI, which no fuzzer guesses.
    let text: Vec<u8> = octets
        .iter()
        .flat_map(|octet| if *octet == b'~' { uri.as_bytes().to_vec() } else { vec![*octet] })
        .collect();
    for piece in text.chunks(piece) {
        switch.received(now, &mut ids, conn, piece);
        while let Some(event) = switch.next_event() {
            if let Event::Message { receipt, octets, .. } = event {
                assert!(octets.len() <= LIMIT);
                switch.answer(now, &mut ids, &receipt, 200);
                switch.report(now, &mut ids, &receipt, 200);
            }
        }
        while let Some(action) = switch.next_action() {
            if let Action::Send { octets, .. } = action {
                assert!(!octets.is_empty());
            }
        }
    }
    switch.on_timer(Now::at(1000), &mut ids);
});
