//! Two gateways and the streams between them, back to back in virtual time, octets cut at random.

use super::*;
use std::collections::VecDeque;

/// Which gateway a stream belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    A,
    B,
}

/// A connection: the stream that opened it, the stream that took it, and whether TLS is due.
struct Link {
    opener: Stream,
    taker: Stream,
    opened_by: Side,
    handshakes: (bool, bool),
}

/// Two domains that federate with each other.
struct World {
    a: TestRealm,
    b: TestRealm,
    ids: Ids,
    now: Now,
    links: Vec<Link>,
    /// Whether the certificates prove anything.
    certified: bool,
    log: Vec<String>,
    dice: Ids,
}

const A: &str = "a.example";
const B: &str = "b.example";

impl World {
    fn new(terms: Terms, certified: bool, seed: u8) -> Self {
        let realm =
            |own, other, secret| TestRealm { domains: vec![own], partners: vec![(other, terms)], secret };
        Self {
            a: realm(A, B, b"secret of a"),
            b: realm(B, A, b"secret of b"),
            ids: ids(seed),
            now: Now::at(0),
            links: Vec::new(),
            certified,
            log: Vec::new(),
            dice: ids(seed ^ 0x55),
        }
    }

    fn open(&mut self, by: Side, purpose: Purpose, mode: TlsMode, terms: &Terms) -> usize {
        let settings = Settings::default();
        let (own, other) = if by == Side::A { (A, B) } else { (B, A) };
        let id = u32::try_from(self.links.len()).unwrap();
        let opener =
            Stream::initiating(StreamId(id * 2), &settings, pair(own, other), purpose, mode, terms, self.now);
        let taker = Stream::receiving(StreamId(id * 2 + 1), &settings, self.now, &mut self.ids);
        let direct = mode == TlsMode::Direct;
        self.links.push(Link { opener, taker, opened_by: by, handshakes: (direct, direct) });
        self.links.len() - 1
    }

    fn identity(&self, of: &'static str) -> Box<dyn PeerIdentity + Send> {
        if self.certified { Names::valid(of) } else { Names::faulty(CertFault::UntrustedIssuer) }
    }

    /// Runs until nobody has anything to say.
    fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 2 {
            let mut moved = false;
            for at in 0..self.links.len() {
                for opener in [true, false] {
                    moved |= self.carry(at, opener);
                    self.drain(at, opener);
                }
                moved |= self.shake_hands(at);
            }
            quiet = if moved { 0 } else { quiet + 1 };
        }
    }

    /// Carries output across, in pieces of random size, draining events at each.
    fn carry(&mut self, at: usize, from_opener: bool) -> bool {
        let link = &mut self.links[at];
        let source = if from_opener { &mut link.opener } else { &mut link.taker };
        let octets = std::mem::take(source.output());
        let mut rest = octets.as_slice();
        while !rest.is_empty() {
            let cut = 1 + usize::try_from(self.dice.below(rest.len() as u64)).unwrap();
            let link = &mut self.links[at];
            let sink = if from_opener { &mut link.taker } else { &mut link.opener };
            sink.push(&rest[..cut]);
            rest = &rest[cut..];
            self.drain(at, !from_opener);
        }
        !octets.is_empty()
    }

    fn drain(&mut self, at: usize, opener: bool) {
        loop {
            let link = &mut self.links[at];
            let side_a = (link.opened_by == Side::A) == opener;
            let realm = if side_a { &self.a } else { &self.b };
            let stream = if opener { &mut link.opener } else { &mut link.taker };
            let Some(event) = stream.next_event(self.now, realm, &mut self.ids) else { return };
            let (who, role) = (if side_a { "A" } else { "B" }, if opener { "opener" } else { "taker" });
            self.log.push(format!("{who} {role} {}", line(&event)));
            match event {
                StreamEvent::StartTls if opener => link.handshakes.0 = true,
                StreamEvent::StartTls => link.handshakes.1 = true,
                StreamEvent::VerifyWanted(verify) => {
                    let by = if side_a { Side::A } else { Side::B };
                    let terms = realm.partners[0].1;
                    let asking = self.open(by, Purpose::Verify, TlsMode::StartTls, &terms);
                    self.links[asking].opener.verify(self.now, verify).unwrap();
                }
                StreamEvent::Verified(answer) => {
                    let asker =
                        self.links.iter_mut().find(|link| link.taker.core.id == answer.stream).unwrap();
                    asker.taker.handle_verified(self.now, &answer);
                }
                _ => {}
            }
        }
    }

    fn shake_hands(&mut self, at: usize) -> bool {
        let link = &self.links[at];
        if link.handshakes != (true, true) {
            return false;
        }
        let (own, other) = if link.opened_by == Side::A { (A, B) } else { (B, A) };
        let (of_taker, of_opener) = (self.identity(other), self.identity(own));
        let link = &mut self.links[at];
        assert!(link.opener.output().is_empty() && link.taker.output().is_empty());
        link.opener.handle_tls(of_taker);
        link.taker.handle_tls(of_opener);
        link.handshakes = (false, false);
        true
    }

    fn logged(&self, text: &str) -> bool {
        self.log.iter().any(|line| line.contains(text))
    }
}

/// Every row of the matrix, with and without certificates, cut in many ways: both sides agree on the
/// same way, stanzas go over if there is one, and the close is clean.
#[test]
fn f38_f39_two_streams_agree_on_the_best_way_that_the_matrix_leaves() {
    use Need::{NotSupported, Optional, Required};
    let rows = [
        (Required, Required, true),
        (Optional, Required, true),
        (Optional, Required, false),
        (Required, Optional, true),
        (Required, Optional, false),
        (Optional, Optional, true),
        (Required, NotSupported, true),
        (Optional, NotSupported, true),
        (NotSupported, NotSupported, true),
    ];
    for (tls, sasl, dialback) in rows {
        let terms = terms(tls, sasl, dialback);
        let ways = terms.ways();
        for certified in [true, false] {
            let expected = if certified && ways.sasl {
                Some(Auth::External)
            } else if ways.tls_dialback {
                Some(Auth::TlsDialback)
            } else if !ways.sasl && ways.tcp_dialback {
                Some(Auth::TcpDialback)
            } else {
                None
            };
            for seed in 0..4 {
                for mode in [TlsMode::StartTls, TlsMode::Direct] {
                    if mode == TlsMode::Direct && tls == NotSupported {
                        continue;
                    }
                    let mut world = World::new(terms, certified, seed);
                    let link = world.open(Side::A, Purpose::Send, mode, &terms);
                    world.settle();
                    let at = format!("{terms:?} {certified} {mode:?}: {:#?}", world.log);
                    let Some(auth) = expected else {
                        assert!(world.logged("A opener down") && world.logged("B taker down"), "{at}");
                        assert!(!world.logged(" up "), "{at}");
                        continue;
                    };
                    assert!(world.logged(&format!("A opener up a.example~b.example {auth:?}")), "{at}");
                    assert!(world.logged(&format!("B taker up b.example~a.example {auth:?}")), "{at}");
                    exchange(&mut world, link);
                }
            }
        }
    }
}

/// Twenty stanzas and a clean close.
fn exchange(world: &mut World, link: usize) {
    for n in 0..20 {
        let stanza = format!(
            "<message from='romeo@a.example' to='juliet@b.example/r{n}' id='{n}'><body>ü&lt;{n}</body></message>"
        );
        world.links[link].opener.write_stanza(world.now, A, B, stanza.as_bytes()).unwrap();
    }
    world.settle();
    let arrived: Vec<&String> =
        world.log.iter().filter(|line| line.starts_with("B taker Message romeo@a.example > ")).collect();
    let expected: Vec<String> =
        (0..20).map(|n| format!("B taker Message romeo@a.example > juliet@b.example/r{n}")).collect();
    assert_eq!(arrived, expected.iter().collect::<Vec<_>>());
    let now = world.now;
    world.links[link].opener.close(now, None);
    world.settle();
    assert!(world.logged("A opener down: closed") && world.logged("B taker down: closed by the peer"));
    for link in &mut world.links {
        link.opener.handle_timeout(Now::at(30));
        link.taker.handle_timeout(Now::at(30));
    }
    world.settle();
    assert!(
        world.links.iter().all(|link| link.opener.deadline().is_none() || link.taker.phase() != Phase::Up)
    );
}

#[test]
fn the_same_seed_gives_the_same_octets() {
    let run = |seed| {
        let mut world = World::new(usual(), false, seed);
        world.open(Side::A, Purpose::Send, TlsMode::StartTls, &usual());
        world.settle();
        world.log
    };
    assert_eq!(run(3), run(3));
}

#[test]
fn an_authoritative_server_with_another_secret_says_invalid() {
    let mut world = World::new(usual(), false, 1);
    let link = world.open(Side::A, Purpose::Send, TlsMode::StartTls, &usual());
    // Somebody else signs with a secret that is not that of a.example's authoritative server.
    let realm = TestRealm { domains: vec![A], partners: vec![(B, usual())], secret: b"forged" };
    let genuine = std::mem::replace(&mut world.a, realm);
    while !world.logged("wanted") {
        for opener in [true, false] {
            world.carry(link, opener);
            world.drain(link, opener);
        }
        world.shake_hands(link);
    }
    world.a = genuine;
    world.settle();
    assert!(world.logged("B opener verified b.example~a.example"), "{:#?}", world.log);
    assert!(world.logged("Invalid"));
    assert!(world.logged("B taker down: dialback failed: Invalid"));
    assert!(world.logged("A opener down: dialback failed: Invalid"));
    assert!(!world.logged(" up "));
}

/// A flood of mutated conversations: nothing panics, and nothing is proven that was not.
#[test]
fn threat_005_mutants_prove_nothing() {
    let mut dice = ids(77);
    let script = format!(
        "{}{STARTTLS}{}<db:result from='{PARTNER}' to='{OURS}'>k</db:result>{MESSAGE}</stream:stream>",
        header_from(PARTNER),
        header_from(PARTNER),
    );
    let mut pending: VecDeque<Vec<u8>> = VecDeque::new();
    for _ in 0..3000 {
        let mut octets = script.clone().into_bytes();
        for _ in 0..=dice.below(6) {
            let at = usize::try_from(dice.below(octets.len() as u64)).unwrap();
            match dice.below(3) {
                0 => octets[at] = u8::try_from(dice.below(256)).unwrap(),
                1 => drop(octets.drain(at..(at + 9).min(octets.len()))),
                _ => octets.insert(at, b"<>'&/\0 x"[usize::try_from(dice.below(8)).unwrap()]),
            }
        }
        pending.push_back(octets);
    }
    for octets in pending {
        let mut one = One::receiving(usual());
        let direct = dice.below(2) == 0;
        if direct {
            one.stream.handle_tls(Names::faulty(CertFault::NonePresented));
        }
        for piece in octets.chunks(1 + usize::try_from(dice.below(200)).unwrap()) {
            let events = one.feed_octets(piece);
            assert!(!events.contains("up ") && !events.contains("Message"), "{events}");
        }
        assert_eq!(one.stream.pairs().count(), 0);
    }
}
