//! Two switches back to back.

use super::*;
use proptest::prelude::*;

struct Pair {
    ends: [Bench; 2],
    /// The connection, as each end names it.
    conns: [Option<ConnId>; 2],
    /// How the wire cuts what it carries.
    piece: usize,
}

impl Pair {
    /// A session each, the first end connecting.
    fn new(piece: usize) -> (Self, [SessionId; 2]) {
        let mut pair = Self { ends: [Bench::new(), Bench::new()], conns: [None, None], piece };
        pair.ends[1].ids = Ids::new([6; 32], Owner::default());
        let sessions = pair.session();
        (pair, sessions)
    }

    fn session(&mut self) -> [SessionId; 2] {
        let ids = [self.ends[0].open(), self.ends[1].open()];
        let uris = [0, 1].map(|end| self.ends[end].switch.uri(ids[end]).unwrap().as_str().to_owned());
        for (end, connects) in [(1, Connects::Them), (0, Connects::Us)] {
            let bench = &mut self.ends[end];
            let peer = peer(&uris[1 - end], connects);
            bench.switch.start(bench.now, &mut bench.ids, ids[end], peer).unwrap();
        }
        self.run();
        ids
    }

    /// Carries octets until nobody has anything to say; every message is answered 200.
    fn run(&mut self) -> [Vec<Event>; 2] {
        let mut events = [Vec::new(), Vec::new()];
        loop {
            let mut quiet = true;
            for end in 0..2 {
                while let Some(action) = self.ends[end].switch.next_action() {
                    quiet = false;
                    self.act(end, action);
                }
                while let Some(event) = self.ends[end].switch.next_event() {
                    quiet = false;
                    let bench = &mut self.ends[end];
                    if let Event::Message { receipt, .. } = &event {
                        bench.switch.answer(bench.now, &mut bench.ids, receipt, 200);
                        bench.switch.report(bench.now, &mut bench.ids, receipt, 200);
                    }
                    events[end].push(event);
                }
            }
            if quiet {
                return events;
            }
        }
    }

    fn act(&mut self, end: usize, action: Action) {
        match action {
            Action::Dial(dial) => {
                let there = &mut self.ends[1 - end];
                self.conns[1 - end] = there.switch.accepted(there.now, false, None);
                self.conns[end] = Some(dial.conn);
                let here = &mut self.ends[end];
                here.switch.connected(here.now, &mut here.ids, dial.conn, None);
            }
            Action::Send { conn, octets } => {
                assert_eq!(self.conns[end], Some(conn));
                let there = &mut self.ends[1 - end];
                for piece in octets.chunks(self.piece) {
                    there.switch.received(there.now, &mut there.ids, self.conns[1 - end].unwrap(), piece);
                }
                let here = &mut self.ends[end];
                here.switch.drained(here.now, &mut here.ids, conn);
            }
            Action::Close { .. } => panic!("closed"),
        }
    }
}

/// The texts of `events`, and how many of our own were sent and reported.
fn tally(events: &[Event]) -> (Vec<Vec<u8>>, usize, usize) {
    let (mut texts, mut sent, mut reported) = (Vec::new(), 0, 0);
    for event in events {
        match event {
            Event::Message { octets, .. } => texts.push(octets.clone()),
            Event::Sent { .. } => sent += 1,
            Event::Reported { status: 200, .. } => reported += 1,
            Event::Up { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    (texts, sent, reported)
}

#[test]
fn ten_thousand_messages_arrive_whole_in_order_and_once() {
    let (mut pair, sessions) = Pair::new(1500);
    let text = |end: usize, n: usize| format!("{end} {n} {}", "x".repeat(n * 37 % 4500)).into_bytes();
    let mut all = [Vec::new(), Vec::new()];
    for n in 0..5000 {
        for end in 0..2 {
            let bench = &mut pair.ends[end];
            let message = Outgoing { octets: text(end, n), ..text_message("") };
            bench.switch.send(bench.now, &mut bench.ids, sessions[end], message).unwrap();
        }
        if n % 20 == 19 {
            for (all, new) in all.iter_mut().zip(pair.run()) {
                all.extend(new);
            }
        }
    }
    for end in 0..2 {
        let (texts, sent, _) = tally(&all[end]);
        assert_eq!((texts.len(), sent), (5000, 5000));
        for (n, octets) in texts.iter().enumerate() {
            assert_eq!(*octets, text(1 - end, n), "message {n}");
        }
        assert!(pair.ends[end].switch.held.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_sent_arrives_through_any_wire(
        texts in prop::collection::vec((0_usize..2, 0_usize..2, body()), 1..20),
        piece in 1_usize..5000,
    ) {
        let (mut pair, first) = Pair::new(piece);
        let sessions = [first, pair.session()];
        let mut expected = [Vec::new(), Vec::new()];
        for (end, which, octets) in &texts {
            let bench = &mut pair.ends[*end];
            let session = sessions[*which][*end];
            let message = Outgoing { octets: octets.clone(), report: true, ..text_message("") };
            bench.switch.send(bench.now, &mut bench.ids, session, message).unwrap();
            expected[1 - end].push(octets.clone());
        }
        let events = pair.run();
        for end in 0..2 {
            let (mut got, sent, reported) = tally(&events[end]);
            let ours = expected[1 - end].len();
            prop_assert_eq!((sent, reported), (ours, ours));
            // Two sessions on one connection: their order among each other is nobody's.
            got.sort();
            expected[end].sort();
            prop_assert_eq!(&got, &expected[end]);
        }
    }
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..100),
        prop::collection::vec(prop::sample::select(b"\r\n-MSRP$+# ".to_vec()), 0..6000),
        prop::collection::vec(any::<u8>(), 2040..2060),
    ]
}
