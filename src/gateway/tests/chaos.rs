//! Inputs in any order: every request is answered once, every message is delivered or returned once,
//! nothing is left over, and the same inputs give the same octets.

use super::net::{Net, Play, address, target, udp};
use super::texts::{Sent, message, response};
use super::world::{Seen, UDP_LINK, World};
use crate::gateway::Input;
use crate::gateway::effect::LinkId;
use crate::gateway::peers::Way;
use crate::now::Mono;
use crate::sip::link::{PeerId, Source};
use crate::sip::locate::Transport;
use crate::xmpp::{Condition, StreamId};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// Something that may happen at any time.
#[derive(Clone, Debug)]
enum Step {
    /// A user writes to an XMPP contact; over UDP if so.
    Sip {
        from: u8,
        to: u8,
        udp: bool,
    },
    /// The last request comes once more.
    SipAgain,
    /// An XMPP contact writes to a user.
    Xmpp {
        from: u8,
        to: u8,
        id: bool,
    },
    /// A partner returns what we sent, after the 2xx.
    LateError,
    StreamUp(u8),
    StreamDown(u8),
    Written {
        stream: u8,
        part: u8,
    },
    Located(u8),
    LinkUp(u8),
    LinkDown(u8),
    /// One of our requests is answered, perhaps not for the first time.
    Answer {
        request: u8,
        status: u16,
    },
    Time(u16),
    /// The table is loaded anew: without capulet, or as before.
    Reload(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop_oneof![
        3 => Just(200_u16),
        2 => Just(503),
        4 => prop::sample::select(vec![100, 202, 302, 401, 404, 408, 480, 603]),
    ];
    prop_oneof![
        6 => (0..4_u8, 0..4_u8, any::<bool>()).prop_map(|(from, to, udp)| Step::Sip { from, to, udp }),
        1 => Just(Step::SipAgain),
        6 => (0..4_u8, 0..4_u8, any::<bool>()).prop_map(|(from, to, id)| Step::Xmpp { from, to, id }),
        1 => Just(Step::LateError),
        4 => any::<u8>().prop_map(Step::StreamUp),
        2 => any::<u8>().prop_map(Step::StreamDown),
        4 => (any::<u8>(), any::<u8>()).prop_map(|(stream, part)| Step::Written { stream, part }),
        2 => any::<u8>().prop_map(Step::Located),
        4 => any::<u8>().prop_map(Step::LinkUp),
        2 => any::<u8>().prop_map(Step::LinkDown),
        6 => (any::<u8>(), status).prop_map(|(request, status)| Step::Answer { request, status }),
        3 => (0..20_000_u16).prop_map(Step::Time),
        1 => any::<bool>().prop_map(Step::Reload),
    ]
}

const USERS: [&str; 4] = ["alice", "bob", "carol", "denied"];
const CONTACTS: [&str; 4] =
    ["romeo@capulet.example", "nurse@capulet.example", "paris@montague.example", "mallory@capulet.example"];

/// A world and what is owed in it.
struct Bench {
    world: World,
    /// Our streams, dialled and not ended: the highest mark written to each.
    streams: BTreeMap<StreamId, u64>,
    links: Vec<LinkId>,
    /// Requests of ours, as sent.
    requests: Vec<Sent>,
    /// Requests to us by Call-ID: final responses with different texts, in order.
    owed: BTreeMap<String, Vec<u16>>,
    /// Messages with an id from XMPP: errors that came back.
    returned: BTreeMap<String, usize>,
    /// Ids of stanzas that we sent, with their targets.
    stanzas: Vec<(String, String, String)>,
    last: Option<(Mono, bool, String)>,
    count: u32,
    /// Messages that came from XMPP.
    messages: u64,
}

impl Bench {
    fn new(seed: u8) -> Self {
        let world = World::seeded(Net { closes: true, ..Net::silent() }, seed, |settings| {
            settings.pairs.queue = 6;
            settings.target_queue = 4;
            settings.targets = 3;
        });
        Self {
            world,
            streams: BTreeMap::new(),
            links: Vec::new(),
            requests: Vec::new(),
            owed: BTreeMap::new(),
            returned: BTreeMap::new(),
            stanzas: Vec::new(),
            last: None,
            count: 0,
            messages: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        self.act(step);
        self.look();
    }

    fn act(&mut self, step: &Step) {
        let at = |n: u8, len: usize| usize::from(n) % len.max(1);
        match *step {
            Step::Sip { from, to, udp } => {
                self.count += 1;
                let from = format!("{}@contoso.example", USERS[at(from, 4)]);
                let mut text = message(self.count, &from, CONTACTS[at(to, 4)], "hi");
                if udp {
                    text = text.replace("SIP/2.0/TLS", "SIP/2.0/UDP");
                }
                self.owed.insert(format!("call{}@edge", self.count), Vec::new());
                self.last = Some((self.world.now.mono, udp, text.clone()));
                self.send_sip(udp, &text);
            }
            Step::SipAgain => {
                // Timer F ends retransmissions.
                let recent = |at: Mono| self.world.now.mono.since(at) < Duration::from_secs(32);
                if let Some((_, udp, text)) = self.last.clone().filter(|(at, ..)| recent(*at)) {
                    self.send_sip(udp, &text);
                }
            }
            Step::Xmpp { from, to, id } => {
                self.count += 1;
                let from = CONTACTS[at(from, 4)];
                let id = if id {
                    let id = format!("x{}", self.count);
                    self.returned.insert(id.clone(), 0);
                    format!(" id='{id}'")
                } else {
                    String::new()
                };
                let to = USERS[at(to, 4)];
                if self.world.partner_is_listed(from.split('@').nth(1).unwrap()) {
                    self.messages += 1;
                    self.world.xmpp(
                        from.split('@').nth(1).unwrap(),
                        &format!(
                            "<message from='{from}' to='{to}@contoso.example'{id}><body>hi</body></message>"
                        ),
                    );
                } else {
                    self.returned.remove(&format!("x{}", self.count));
                }
            }
            Step::LateError => {
                let Some((id, from, to)) = self.stanzas.last().cloned() else { return };
                let domain = to.split('@').nth(1).unwrap().to_owned();
                if self.world.partner_is_listed(&domain) {
                    self.world.xmpp(
                        &domain,
                        &format!(
                            "<message from='{to}' to='{from}' id='{id}' type='error'><error type='cancel'>\
                             <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
                        ),
                    );
                }
            }
            Step::StreamUp(n) => {
                let Some(stream) = self.streams.keys().nth(at(n, self.streams.len())).copied() else {
                    return;
                };
                self.world.stream_up(stream);
            }
            Step::StreamDown(n) => {
                let Some(stream) = self.streams.keys().nth(at(n, self.streams.len())).copied() else {
                    return;
                };
                self.streams.remove(&stream);
                self.world.stream_down(stream);
            }
            Step::Written { stream, part } => {
                let found = self.streams.iter().nth(at(stream, self.streams.len()));
                let Some((stream, mark)) = found.map(|(stream, mark)| (*stream, *mark)) else { return };
                self.world.written(stream, mark.saturating_sub(u64::from(part % 3)));
            }
            Step::Located(n) => {
                let targets = match n % 4 {
                    0 => Err("DNS did not answer"),
                    1 => Ok(vec![target(1)]),
                    2 => Ok(vec![target(1), target(2)]),
                    _ => Ok(vec![udp(3), target(1)]),
                };
                self.world.handle(Input::Located { peer: PeerId(0), targets });
            }
            Step::LinkUp(n) => {
                let Some(link) = self.links.get(at(n, self.links.len())).copied() else { return };
                let way = match n % 5 {
                    0 => Way { link: UDP_LINK, to: Some(address(3)), transport: Transport::Udp },
                    _ => Way { link, to: None, transport: Transport::Tls },
                };
                self.world.handle(Input::LinkUp { link, peer: PeerId(0), way });
            }
            Step::LinkDown(n) => {
                if !self.links.is_empty() {
                    let link = self.links.remove(at(n, self.links.len()));
                    self.world.link_down(link);
                }
            }
            Step::Answer { request, status } => {
                let Some(sent) = self.requests.get(at(request, self.requests.len())).cloned() else { return };
                let text = response(&sent, status, "");
                let source = Source { link: sent.link, ..self.world.source() };
                self.world.sip_from(&source, &text);
            }
            Step::Time(millis) => self.world.pass(Duration::from_millis(u64::from(millis))),
            Step::Reload(with) => {
                let policy = super::net::POLICY;
                match with {
                    true => self.world.reload(policy),
                    false => self
                        .world
                        .reload(&policy.replace("domain = \"capulet.example\"", "domain = \"x.example\"")),
                }
            }
        }
    }

    fn send_sip(&mut self, udp: bool, text: &str) {
        match udp {
            true => self.world.datagram(address(200), text),
            false => self.world.sip(text),
        }
    }

    /// Books what the gateway did.
    fn look(&mut self) {
        for seen in std::mem::take(&mut self.world.seen) {
            match seen {
                Seen::DialXmpp { stream, .. } => {
                    self.streams.insert(stream, 0);
                }
                Seen::Xmpp { stream, mark, text, .. } => {
                    let written = self.streams.get_mut(&stream).expect("a stanza on a stream that is over");
                    assert!(*written < mark, "marks grow");
                    *written = mark;
                    let attr = |name: &str| {
                        let found = text.split(&format!(" {name}='")).nth(1)?;
                        Some(found.split('\'').next()?.to_owned())
                    };
                    if text.contains("type='error'") {
                        if let Some(id) = attr("id") {
                            *self.returned.get_mut(&id).expect("an error for nobody") += 1;
                        }
                    } else {
                        let (from, to) = (attr("from").unwrap(), attr("to").unwrap());
                        self.stanzas.push((attr("id").unwrap(), from, to));
                    }
                }
                Seen::CloseXmpp(stream) => {
                    self.streams.remove(&stream);
                }
                Seen::DialSip { link, .. } => self.links.push(link),
                Seen::Sip(sent) => match sent.status() {
                    None => self.requests.push(sent),
                    Some(..200) => {}
                    Some(status) => {
                        let call = sent.header("Call-ID").unwrap();
                        let finals = self.owed.get_mut(call).expect("an answer to nothing");
                        finals.push(status);
                        assert!(finals.iter().all(|one| *one == status), "{call} got {finals:?}");
                    }
                },
                Seen::Locate(_) | Seen::CloseSip(_) | Seen::Dialback(_) | Seen::Persist { .. } => {}
                Seen::MsrpDial(_) | Seen::Msrp(..) | Seen::MsrpClose(_) => {}
            }
        }
    }

    /// Everything ends, and the books are balanced.
    fn settle(&mut self) {
        // The longest that anything may take.
        self.world.pass_secs(45);
        self.look();
        for stream in self.streams.keys().copied().collect::<Vec<_>>() {
            self.world.stream_down(stream);
            self.look();
        }
        for link in std::mem::take(&mut self.links) {
            self.world.link_down(link);
            self.look();
        }
        self.world.pass_secs(90);
        self.look();
        for (call, finals) in &self.owed {
            assert!(!finals.is_empty(), "{call} was not answered");
        }
        for (id, count) in &self.returned {
            assert!(*count <= 1, "{id} came back {count} times");
        }
        self.world.assert_quiet();
        let gateway = &self.world.gateway;
        assert!(gateway.clients.is_empty() && gateway.servers.is_empty());
        assert_eq!(gateway.waiting(), 0);
        // What came in was delivered or returned, each once.
        let counts = gateway.counts();
        assert_eq!(counts.delivered[0] + counts.failed[0], self.owed.len() as u64, "{counts:?}");
        assert_eq!(counts.delivered[1] + counts.failed[1], self.messages, "{counts:?}");
    }
}

fn run(steps: &[Step], seed: u8) -> Bench {
    let mut bench = Bench::new(seed);
    for step in steps {
        bench.step(step);
    }
    bench.settle();
    bench
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_item_ends_once_and_nothing_is_left(steps in vec(step(), 1..80)) {
        run(&steps, 1);
    }

    #[test]
    fn the_same_inputs_and_seeds_give_the_same_octets(steps in vec(step(), 1..60)) {
        let (one, two) = (run(&steps, 7), run(&steps, 7));
        prop_assert_eq!(&one.world.wire, &two.world.wire);
        prop_assert_eq!(format!("{:?}", one.world.observed), format!("{:?}", two.world.observed));
    }
}

#[test]
fn in_a_calm_world_every_message_is_delivered_and_counted() {
    let mut bench = Bench::new(3);
    bench.world.net = Net { status: Some(200), ..Net::works() };
    for n in 0..200_u32 {
        let (from, to) = ((n % 3) as u8, (n % 2) as u8);
        bench.step(&Step::Sip { from, to, udp: n % 5 == 0 });
        bench.step(&Step::Xmpp { from: to, to: from, id: true });
    }
    assert_eq!(bench.world.gateway.counts().delivered, [200, 200]);
    assert!(bench.owed.values().all(|finals| finals == &[202]));
    assert!(bench.returned.values().all(|count| *count == 0));
    bench.settle();
}

#[test]
fn p3_what_came_in_is_what_was_delivered_and_what_was_returned() {
    let mut bench = Bench::new(4);
    let mut n = 0_u32;
    // Fair and foul weather in turn.
    for round in 0..30_u32 {
        bench.world.net.streams = if round % 3 == 1 { Play::Fail } else { Play::Up };
        bench.world.net.links = if round % 4 == 1 { Play::Fail } else { Play::Up };
        bench.world.net.located = Some(Ok(vec![target(1), target(2)]));
        bench.world.net.status = [Some(200), Some(404), Some(503), Some(200), None][round as usize % 5];
        bench.world.net.written = round % 7 != 0;
        bench.world.net.condition = Condition::RemoteServerTimeout;
        for _ in 0..10 {
            n += 1;
            bench.step(&Step::Sip { from: (n % 4) as u8, to: (n % 3) as u8, udp: false });
            bench.step(&Step::Xmpp { from: (n % 3) as u8, to: (n % 4) as u8, id: true });
        }
        bench.step(&Step::Time(19_000));
    }
    bench.settle();
    let counts = bench.world.gateway.counts();
    assert_eq!(counts.delivered[0] + counts.failed[0], u64::from(n));
    assert_eq!(counts.delivered[1] + counts.failed[1], u64::from(n));
    assert!(counts.delivered.iter().chain(&counts.failed).all(|count| *count > 20), "{counts:?}");
}
