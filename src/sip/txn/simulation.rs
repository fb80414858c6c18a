//! A client and a server machine over a network that loses, repeats and reorders, in virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::ids::{Ids, Owner};
use crate::now::{Mono, Now};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What travels or happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Request,
    Response(u16),
    Ack,
    /// The server's user answers.
    Answer(u16),
    /// The server's user repeats its 2xx (RFC 3261 §13.3.1.4); the wait before the next in ms.
    Repeat(u16, u64),
}

/// The network and what is to happen on it.
struct World {
    now: Mono,
    queue: BinaryHeap<Reverse<(Mono, u64, Event)>>,
    serial: u64,
    dice: Ids,
    /// Percent of messages lost and repeated, and the longest delay in milliseconds.
    loss: u64,
    repeats: u64,
    delay: u64,
}

impl World {
    fn new(seed: u64, reliability: Reliability) -> Self {
        let mut octets = [0; 32];
        octets[..8].copy_from_slice(&seed.to_le_bytes());
        let mut dice = Ids::new(octets, Owner::default());
        let (loss, repeats) = match reliability {
            Reliability::Reliable => (0, 0),
            Reliability::Unreliable => (dice.below(101), dice.below(40)),
        };
        let delay = 1 + dice.below(400);
        Self { now: Now::at(0).mono, queue: BinaryHeap::new(), serial: 0, dice, loss, repeats, delay }
    }

    fn at(&mut self, at: Mono, event: Event) {
        self.serial += 1;
        self.queue.push(Reverse((at, self.serial, event)));
    }

    fn send(&mut self, event: Event) {
        let copies = if self.dice.below(100) < self.repeats { 2 } else { 1 };
        for _ in 0..copies {
            if self.dice.below(100) >= self.loss {
                let delay = Duration::from_millis(self.dice.below(self.delay));
                self.at(self.now + delay, event);
            }
        }
    }

    /// Moves to the next thing: an event, or none when a machine's deadline comes first.
    fn step(&mut self, deadlines: [Option<Mono>; 2]) -> Option<Option<Event>> {
        let timer = deadlines.into_iter().flatten().min();
        let event = self.queue.peek().map(|Reverse((at, ..))| *at);
        match (timer, event) {
            (None, None) => None,
            (Some(timer), event) if event.is_none_or(|at| timer < at) => {
                self.now = self.now.max(timer);
                Some(None)
            }
            _ => {
                let Reverse((at, _, event)) = self.queue.pop()?;
                self.now = self.now.max(at);
                Some(Some(event))
            }
        }
    }
}

/// What the two users saw.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    requests: usize,
    finals: Vec<u16>,
    timeouts: usize,
    server_timeouts: usize,
    acks: usize,
    end: Mono,
}

fn non_invite(seed: u64, reliability: Reliability, think: u64, status: u16) -> (Seen, u64) {
    let mut world = World::new(seed, reliability);
    let mut client = ClientNonInvite::new(world.now, reliability);
    let mut server: Option<ServerNonInvite> = None;
    let mut seen = Seen::default();
    world.send(Event::Request);
    while let Some(event) =
        world.step([client.deadline(), server.as_ref().and_then(ServerNonInvite::deadline)])
    {
        let now = world.now;
        match event {
            Some(Event::Request) => match &mut server {
                None => {
                    seen.requests += 1;
                    server = Some(ServerNonInvite::new(now, reliability));
                    world.at(now + Duration::from_millis(think), Event::Answer(status));
                }
                Some(machine) if machine.is_terminated() => {
                    // Its memory is gone: this would be delivered a second time.
                    seen.requests += 1;
                }
                Some(machine) => {
                    if machine.on_request() == ServerAction::Retransmit {
                        world.send(Event::Response(if machine.is_answered() { status } else { 100 }));
                    }
                }
            },
            Some(Event::Answer(status)) => {
                if server.as_mut().unwrap().on_respond(now, status) == ServerAction::Send {
                    world.send(Event::Response(status));
                }
            }
            Some(Event::Response(status)) => {
                if client.on_response(now, status) == ClientAction::Deliver && status >= 200 {
                    seen.finals.push(status);
                }
            }
            Some(Event::Ack | Event::Repeat(..)) => unreachable!("not of a non-INVITE"),
            None => {
                match client.on_timer(now) {
                    ClientAction::Retransmit => world.send(Event::Request),
                    ClientAction::Timeout => seen.timeouts += 1,
                    ClientAction::Nothing | ClientAction::Terminated => {}
                    other => panic!("{other:?} from a timer"),
                }
                match server.as_mut().map(|machine| machine.on_timer(now)) {
                    Some(ServerAction::SendTrying) => world.send(Event::Response(100)),
                    Some(ServerAction::Expired) => seen.server_timeouts += 1,
                    _ => {}
                }
            }
        }
    }
    assert!(client.is_terminated() && server.is_none_or(|machine| machine.is_terminated()));
    seen.end = world.now;
    (seen, world.loss)
}

#[test]
fn check_150_a_non_invite_over_any_network_has_one_outcome() {
    for seed in 0..3000 {
        let reliability = if seed % 3 == 0 { Reliability::Reliable } else { Reliability::Unreliable };
        let think = [0, 100, 3400, 3600, 20_000, 40_000][seed as usize % 6];
        let (seen, loss) = non_invite(seed, reliability, think, 202);
        let context = format!("seed {seed}, think {think}: {seen:?}");
        assert_eq!(seen.finals.len() + seen.timeouts, 1, "exactly one outcome; {context}");
        assert!(seen.finals.iter().all(|status| *status == 202), "{context}");
        assert!(seen.requests <= 1, "delivered once; {context}");
        assert!(loss == 100 || seen.requests == 1 || loss > 30, "{context}");
        if loss == 0 && think < 30_000 {
            assert_eq!(seen.finals, [202], "{context}");
        }
        if think > 32_000 {
            assert_eq!((seen.timeouts, seen.finals.len()), (1, 0), "{context}");
            assert_eq!(seen.server_timeouts, seen.requests, "{context}");
        }
        assert!(
            seen.end <= Now::at(97).mono,
            "a request heard at 31.9 s, 32 s to answer, Timer J; {context}"
        );
    }
}

#[test]
fn the_same_seed_plays_the_same_game() {
    for seed in 0..50 {
        let play = || non_invite(seed, Reliability::Unreliable, 100, 200);
        assert_eq!(play(), play());
    }
}

fn invite(seed: u64, reliability: Reliability, think: u64, status: u16) -> (Seen, u64) {
    let mut world = World::new(seed, reliability);
    let mut client = ClientInvite::new(world.now, reliability);
    let mut server: Option<ServerInvite> = None;
    let mut last = 0;
    let mut acked = false;
    let mut seen = Seen::default();
    world.send(Event::Request);
    while let Some(event) = world.step([client.deadline(), server.as_ref().and_then(ServerInvite::deadline)])
    {
        let now = world.now;
        match event {
            Some(Event::Request) => match &mut server {
                None => {
                    seen.requests += 1;
                    server = Some(ServerInvite::new(now, reliability));
                    world.at(now + Duration::from_millis(think), Event::Answer(status));
                }
                Some(machine) => {
                    let repeated = machine.on_request() == ServerAction::Retransmit && last != 0;
                    if repeated {
                        world.send(Event::Response(last));
                    }
                }
            },
            Some(Event::Answer(status)) => {
                if server.as_mut().unwrap().on_respond(now, status) == ServerAction::Send {
                    last = status;
                    world.send(Event::Response(status));
                    if status < 300 {
                        world.at(now + Timers::T1, Event::Repeat(status, 1000));
                    }
                }
            }
            Some(Event::Repeat(status, wait)) => {
                let machine = server.as_mut().unwrap();
                if !acked && !machine.is_terminated() {
                    assert_eq!(machine.on_respond(now, status), ServerAction::Send);
                    world.send(Event::Response(status));
                    world.at(now + Duration::from_millis(wait), Event::Repeat(status, (wait * 2).min(4000)));
                }
            }
            Some(Event::Response(status)) => match client.on_response(now, status) {
                ClientAction::Deliver if status >= 200 => {
                    seen.finals.push(status);
                    world.send(Event::Ack);
                }
                ClientAction::DeliverAndAck => {
                    seen.finals.push(status);
                    world.send(Event::Ack);
                }
                ClientAction::Ack => world.send(Event::Ack),
                _ => {}
            },
            Some(Event::Ack) => {
                seen.acks += 1;
                acked = true;
                server.as_mut().unwrap().on_ack(now);
            }
            None => {
                match client.on_timer(now) {
                    ClientAction::Retransmit => world.send(Event::Request),
                    ClientAction::Timeout => seen.timeouts += 1,
                    ClientAction::Nothing | ClientAction::Terminated => {}
                    other => panic!("{other:?} from a timer"),
                }
                match server.as_mut().map(|machine| machine.on_timer(now)) {
                    Some(ServerAction::SendTrying) => {
                        last = 100;
                        world.send(Event::Response(100));
                    }
                    Some(ServerAction::Retransmit) => world.send(Event::Response(last)),
                    Some(ServerAction::Timeout) => seen.server_timeouts += 1,
                    _ => {}
                }
            }
        }
    }
    assert!(client.is_terminated() && server.is_none_or(|machine| machine.is_terminated()));
    seen.end = world.now;
    (seen, world.loss)
}

#[test]
fn check_150_an_invite_over_any_network_has_one_outcome() {
    for seed in 0..3000 {
        let reliability = if seed % 3 == 0 { Reliability::Reliable } else { Reliability::Unreliable };
        let think = [0, 100, 3000, 20_000][seed as usize % 4];
        let status = [200, 486, 603][seed as usize % 3 / 2 + seed as usize % 2];
        let (seen, loss) = invite(seed, reliability, think, status);
        let context = format!("seed {seed}, think {think}, status {status}, loss {loss}: {seen:?}");
        assert_eq!(usize::from(!seen.finals.is_empty()) + seen.timeouts, 1, "one outcome; {context}");
        assert!(seen.finals.iter().all(|one| *one == status), "{context}");
        assert!(seen.requests <= 1, "delivered once; {context}");
        if status >= 300 {
            assert!(seen.finals.len() <= 1, "a failure is delivered once; {context}");
            assert_eq!(seen.server_timeouts, usize::from(seen.requests == 1 && seen.acks == 0), "{context}");
        }
        if loss == 0 {
            assert_eq!((seen.finals.first(), seen.timeouts), (Some(&status), 0), "{context}");
            assert!(seen.acks >= 1, "{context}");
        }
        assert!(seen.end <= Now::at(300).mono, "everything ends; {context}");
    }
}
