//! The rig: one stream with a peer made of strings, or two streams back to back in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod back_to_back;
mod dialback;
mod initiating;
mod receiving;
mod stanzas;
mod timers;
mod transcripts;
mod walk;

use super::*;
use crate::crossing::Crosses;
use crate::ids::Owner;
use crate::now::Wall;
use crate::xmpp::dialback::Outcome;
use crate::xmpp::terms::{CertFault, CertVerdict, Need, Refused, Ways};

pub(super) const OURS: &str = "sip.example";
pub(super) const OTHER_OURS: &str = "voice.example";
pub(super) const PARTNER: &str = "xmpp.example";

pub(super) fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

pub(super) fn pair(local: &str, remote: &str) -> Pair {
    Pair { local: domain(local), remote: domain(remote) }
}

pub(super) fn terms(tls: Need, sasl: Need, dialback: bool) -> Terms {
    Terms { tls, sasl, dialback, keepalive: true }
}

/// TLS required, SASL or dialback over it.
pub(super) fn usual() -> Terms {
    terms(Need::Required, Need::Optional, true)
}

/// Dialback without TLS.
pub(super) fn plain() -> Terms {
    terms(Need::NotSupported, Need::NotSupported, true)
}

pub(super) struct TestRealm {
    pub(super) domains: Vec<&'static str>,
    pub(super) partners: Vec<(&'static str, Terms)>,
    pub(super) secret: &'static [u8],
}

impl TestRealm {
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            domains: vec![OURS, OTHER_OURS],
            partners: vec![(PARTNER, terms), ("chat.xmpp.example", terms), ("second.example", terms)],
            secret: b"our secret",
        }
    }
}

impl Realm for TestRealm {
    fn serves(&self, domain: &str) -> bool {
        self.domains.contains(&domain)
    }

    fn terms(&self, _local: Option<&str>, remote: &str) -> Result<Terms, Refused> {
        let found = self.partners.iter().find(|(name, _)| *name == remote);
        found.map(|(_, terms)| *terms).ok_or(Refused::Unlisted)
    }

    fn any_ways(&self) -> Ways {
        self.partners.iter().fold(Ways::default(), |ways, (_, terms)| ways.or(terms.ways()))
    }

    fn dialback_secret(&self) -> &[u8] {
        self.secret
    }
}

/// A certificate that is valid for these names.
#[derive(Clone)]
pub(super) struct Names(pub(super) Vec<&'static str>, pub(super) CertFault, pub(super) Option<Wall>);

impl Names {
    pub(super) fn valid(name: &'static str) -> Box<dyn PeerIdentity + Send> {
        Box::new(Self(vec![name], CertFault::WrongName, None))
    }

    pub(super) fn faulty(fault: CertFault) -> Box<dyn PeerIdentity + Send> {
        Box::new(Self(Vec::new(), fault, None))
    }
}

impl PeerIdentity for Names {
    fn judge(&self, domain: &Domain, _now: Now) -> CertVerdict {
        if self.0.contains(&domain.as_str()) { CertVerdict::Valid } else { CertVerdict::Invalid(self.1) }
    }

    fn not_after(&self) -> Option<Wall> {
        self.2
    }

    fn tls_version(&self) -> &'static str {
        "TLSv1.3"
    }

    fn presented(&self) -> bool {
        self.1 != CertFault::NonePresented
    }
}

pub(super) fn ids(seed: u8) -> Ids {
    Ids::new([seed; 32], Owner::default())
}

/// An event as one line.
pub(super) fn line(event: &StreamEvent<'_>) -> String {
    let between = |pair: &Pair| format!("{}~{}", pair.local, pair.remote);
    match event {
        StreamEvent::StartTls => "starttls".into(),
        StreamEvent::Up { pair, auth } => format!("up {} {auth:?}", between(pair)),
        StreamEvent::Stanza(stanza) => {
            let crossing = stanza.crossing();
            format!("{:?} {} > {}", crossing.kind, crossing.sender.as_str(), crossing.target.as_str())
        }
        StreamEvent::Iq(iq) => format!("Iq {} > {}", iq.from.as_str(), iq.to.as_str()),
        StreamEvent::Misaddressed(stanza) => format!("misaddressed {} > {}", stanza.sender, stanza.target),
        StreamEvent::VerifyWanted(verify) => format!("wanted {} {}", between(&verify.pair), verify.key),
        StreamEvent::Verified(answer) => {
            format!("verified {} {} {:?}", between(&answer.pair), answer.id, answer.outcome)
        }
        StreamEvent::PairRefused { pair, outcome } => format!("refused {} {outcome:?}", between(pair)),
        StreamEvent::Down(reason) => format!("down: {reason}"),
    }
}

/// One stream; its peer is the test.
pub(super) struct One {
    pub(super) stream: Stream,
    pub(super) realm: TestRealm,
    pub(super) ids: Ids,
    pub(super) now: Now,
    pub(super) wanted: Vec<Verify>,
}

impl One {
    pub(super) fn receiving(terms: Terms) -> Self {
        Self::receiving_with(terms, &Settings::default())
    }

    pub(super) fn receiving_with(terms: Terms, settings: &Settings) -> Self {
        let mut ids = ids(1);
        let now = Now::at(0);
        let stream = Stream::receiving(StreamId(1), settings, now, &mut ids);
        Self { stream, realm: TestRealm::new(terms), ids, now, wanted: Vec::new() }
    }

    pub(super) fn initiating(terms: Terms, purpose: Purpose, mode: TlsMode) -> Self {
        let now = Now::at(0);
        let (settings, pair) = (Settings::default(), pair(OURS, PARTNER));
        let stream = Stream::initiating(StreamId(2), &settings, pair, purpose, mode, &terms, now);
        Self { stream, realm: TestRealm::new(terms), ids: ids(2), now, wanted: Vec::new() }
    }

    /// A receiving stream over TLS with these features out.
    pub(super) fn secured(terms: Terms, identity: Box<dyn PeerIdentity + Send>) -> Self {
        let mut one = Self::receiving(terms);
        one.stream.handle_tls(identity);
        assert_eq!(one.feed(&header_from(PARTNER)), "");
        one
    }

    /// A receiving stream that carries the pair of partner and us, proven by its certificate.
    pub(super) fn up(terms: Terms) -> Self {
        let mut one = Self::secured(terms, Names::valid(PARTNER));
        one.feed("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>");
        assert_eq!(one.feed(&header_from(PARTNER)), "up sip.example~xmpp.example External");
        one.out();
        one
    }

    /// Pushes octets and tells the events, one a line.
    pub(super) fn feed(&mut self, octets: &str) -> String {
        self.feed_octets(octets.as_bytes())
    }

    pub(super) fn feed_octets(&mut self, octets: &[u8]) -> String {
        self.stream.push(octets);
        self.events()
    }

    pub(super) fn events(&mut self) -> String {
        let mut lines = Vec::new();
        while let Some(event) = self.stream.next_event(self.now, &self.realm, &mut self.ids) {
            lines.push(line(&event));
            if let StreamEvent::VerifyWanted(verify) = event {
                self.wanted.push(verify);
            }
        }
        lines.join("\n")
    }

    /// Takes the output.
    pub(super) fn out(&mut self) -> String {
        String::from_utf8(std::mem::take(self.stream.output())).unwrap()
    }

    /// Goes on to `seconds` and tells the events.
    pub(super) fn at(&mut self, seconds: u64) -> String {
        self.now = Now::at(seconds);
        self.stream.handle_timeout(self.now);
        self.events()
    }

    /// Answers the oldest wanted verification.
    pub(super) fn answer(&mut self, outcome: Outcome) -> String {
        let answer = self.wanted.remove(0).answer(outcome);
        self.stream.handle_verified(self.now, &answer);
        self.events()
    }
}

/// A header such as a peer server of `from` sends.
pub(super) fn header_from(from: &str) -> String {
    header(&format!("from='{from}' to='{OURS}' version='1.0'"))
}

/// A header with these attributes.
pub(super) fn header(attributes: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
         xmlns:stream='http://etherx.jabber.org/streams' {attributes}>"
    )
}

/// A response header such as a partner's server sends.
pub(super) fn response(id: &str) -> String {
    header(&format!("id='{id}' from='{PARTNER}' to='{OURS}' version='1.0'"))
}

pub(super) const FEATURES_TLS: &str = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>\
    <required/></starttls></stream:features>";
pub(super) const FEATURES_AUTH: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    <mechanism>EXTERNAL</mechanism></mechanisms><dialback xmlns='urn:xmpp:features:dialback'><errors/>\
    </dialback></stream:features>";
pub(super) const FEATURES_DIALBACK: &str =
    "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>";
pub(super) const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
pub(super) const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
pub(super) const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
pub(super) const MESSAGE: &str =
    "<message from='juliet@xmpp.example/balcony' to='romeo@sip.example' id='m1'><body>Hi</body></message>";

/// What ends the output for a stream error.
#[track_caller]
pub(super) fn assert_error(out: &str, condition: &str) {
    assert!(out.starts_with("<?xml") || !out.contains("<stream:stream"), "{out}");
    assert!(out.contains(&format!("<stream:error><{condition} xmlns=")), "{condition} not in {out}");
    assert!(out.ends_with("</stream:error></stream:stream>"), "{out}");
    assert_eq!(out.matches("<stream:error>").count(), 1, "{out}");
}

/// An attribute of the first tag in `out` that has it.
pub(super) fn attribute(out: &str, name: &str) -> String {
    let start =
        out.find(&format!(" {name}='")).unwrap_or_else(|| panic!("no {name} in {out}")) + name.len() + 3;
    out[start..].split('\'').next().unwrap().to_owned()
}
