//! A gateway in virtual time, with a network in which everything works at once.

use crate::measure::Cpu;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use stoxd::addr::Domain;
use stoxd::config::{self, FileFault, Files, Surroundings};
use stoxd::daemon::setup;
use stoxd::gateway::effect::{Effect, LinkId, PeerId};
use stoxd::gateway::{Gateway, Input, Realm, Secrets, Settings, Way};
use stoxd::ids::{Ids, Owner};
use stoxd::now::{Mono, Now, Wall};
use stoxd::policy::Table;
use stoxd::sip::frame::Limits;
use stoxd::sip::link::{Link, LinkEvent, LinkIdentity, Source};
use stoxd::sip::locate::{Target, Transport};
use stoxd::xmpp::{CertFault, CertVerdict, PeerIdentity, Stream, StreamEvent, StreamId};

const DAEMON: &str = r#"
[gateway]
name = "gw.contoso.example"
[[domain]]
name = "contoso.example"
[[tls.certificate]]
id = "gateway"
chain = "gateway.crt"
key = "gateway.key"
[[sip.peer]]
name = "edge"
domains = ["contoso.example"]
route = "sip:edge.contoso.example"
identity = ["edge.contoso.example"]
[presence]
watch_limit = 10000000
domain_watch_limit = 10000000
[limits]
user_rate = 0
partner_rate = 0
"#;

const POLICY: &str = r#"
[federation]
enabled = true
[[policy]]
scope = "global"
federation = true
xmpp = true
[[partner]]
domain = "capulet.example"
type = "federated"
"#;

struct Memory;

impl Files for Memory {
    fn read(&self, path: &Path, _limit: u64) -> Result<String, FileFault> {
        Ok(match path.file_name().and_then(|name| name.to_str()) {
            Some("stoxd.toml") => DAEMON.to_owned(),
            Some("policy.toml") => POLICY.to_owned(),
            _ => String::new(),
        })
    }

    fn mode(&self, _path: &Path) -> Result<u32, FileFault> {
        Ok(0o400)
    }
}

/// Settings, and the table as it is after a reload.
pub fn configured() -> (Settings, Arc<Table>) {
    let path = Path::new("/etc/stoxd/stoxd.toml");
    match config::parse(path, &Memory, &Surroundings::default(), config::Purpose::Run) {
        Ok(config) => (setup::gateway(&config, false).unwrap(), Arc::new(config.table)),
        Err(problems) => panic!("{}", problems[0]),
    }
}

/// What the wall clock says at first.
pub fn start() -> Wall {
    Now::at(0).wall
}

/// A certificate that is valid for the partner.
struct Capulet;

impl PeerIdentity for Capulet {
    fn judge(&self, domain: &Domain, _now: Now) -> CertVerdict {
        match domain.as_str() {
            "capulet.example" => CertVerdict::Valid,
            _ => CertVerdict::Invalid(CertFault::WrongName),
        }
    }

    fn not_after(&self) -> Option<Wall> {
        None
    }

    fn tls_version(&self) -> &'static str {
        "TLSv1.3"
    }

    fn presented(&self) -> bool {
        true
    }
}

/// Messages, one behind the other.
#[derive(Default)]
pub struct Bundle {
    octets: Vec<u8>,
    ends: Vec<usize>,
}

impl Bundle {
    /// Adds what `write` appends.
    pub fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.octets);
        self.ends.push(self.octets.len());
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.octets[start..*end])
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Empties it, and keeps its room.
    pub fn clear(&mut self) {
        self.octets.clear();
        self.ends.clear();
    }

    /// The only one.
    pub fn one(&self) -> &[u8] {
        assert_eq!(self.len(), 1, "{}", String::from_utf8_lossy(&self.octets));
        &self.octets
    }
}

pub struct World {
    pub gateway: Gateway,
    pub now: Now,
    realm: Realm,
    ids: Ids,
    /// From the partner.
    stream: Stream,
    /// From the peer: its requests, and its answers.
    link: Link,
    /// SIP messages and stanzas that were sent and not looked at.
    pub sip: Bundle,
    pub xmpp: Bundle,
    /// Changes that became durable.
    pub kept: usize,
    follow: Vec<Follow>,
}

enum Follow {
    StreamUp(StreamId),
    Written(StreamId, u64),
    Located(PeerId),
    LinkUp(LinkId, PeerId),
    Persisted(u64),
}

impl World {
    pub fn new() -> Self {
        let (settings, table) = configured();
        let secrets =
            Secrets { ids: [1; 32], hashes: [2; 32], loops: [3; 32], dialback: b"secret".as_slice().into() };
        let domains: Arc<[_]> = settings.domain_names.clone().into();
        let mut ids = Ids::new([4; 32], Owner::default());
        let now = Now::at(0);
        let stream = Stream::receiving(StreamId(0), &settings.xmpp, now, &mut ids);
        let gateway = Gateway::new(Arc::new(settings), table, &secrets);
        let identity = LinkIdentity { peer: Some(PeerId(0)), domains };
        let address = SocketAddr::from(([192, 0, 2, 17], 5061));
        let source = Source { link: LinkId(1_000_000), transport: Transport::Tls, address, identity };
        let mut world = Self {
            realm: gateway.realm(),
            gateway,
            now,
            ids,
            stream,
            link: Link::new(source, Limits::default()),
            sip: Bundle::default(),
            xmpp: Bundle::default(),
            kept: 0,
            follow: Vec::new(),
        };
        world.open();
        world
    }

    fn open(&mut self) {
        let hello = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
            from='capulet.example' to='contoso.example' version='1.0'>";
        let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>";
        self.stream.handle_tls(Box::new(Capulet));
        let mut is_up = false;
        for step in [hello, auth, hello] {
            self.stream.push(step.as_bytes());
            while let Some(event) = self.stream.next_event(self.now, &self.realm, &mut self.ids) {
                is_up |= matches!(event, StreamEvent::Up { .. });
            }
        }
        assert!(is_up, "the partner's stream is not up");
    }

    /// Octets of the XMPP server.
    pub fn stanza(&mut self, octets: &[u8]) {
        self.stream.push(octets);
        while let Some(event) = self.stream.next_event(self.now, &self.realm, &mut self.ids) {
            let StreamEvent::Stanza(stanza) = event else { panic!("{event:?}") };
            self.gateway.handle(self.now, Input::Stanza { stream: StreamId(0), stanza });
        }
        self.perform();
    }

    /// Octets of the SIP server.
    pub fn message(&mut self, octets: &[u8]) {
        self.link.push(octets);
        while let Some((event, source)) = self.link.next_event() {
            let LinkEvent::Message(octets) = event else { panic!("no SIP message") };
            self.gateway.handle(self.now, Input::Sip { source, octets });
        }
        self.perform();
    }

    /// Does what the gateway wants done.
    pub fn perform(&mut self) {
        loop {
            let (mut list, octets) = self.gateway.effects().take();
            for effect in list.drain(..) {
                match effect {
                    Effect::XmppSend { stream, octets: range, mark } => {
                        self.xmpp.add(|out| out.extend_from_slice(&octets[range]));
                        self.follow.push(Follow::Written(stream, mark));
                    }
                    Effect::SipSend { octets: range, .. } => {
                        self.sip.add(|out| out.extend_from_slice(&octets[range]));
                    }
                    Effect::Persist { ticket, changes } => {
                        self.kept += changes.len();
                        self.follow.push(Follow::Persisted(ticket));
                    }
                    Effect::DialXmpp { stream, .. } => self.follow.push(Follow::StreamUp(stream)),
                    Effect::Locate { peer } => self.follow.push(Follow::Located(peer)),
                    Effect::DialSip { link, peer, .. } => self.follow.push(Follow::LinkUp(link, peer)),
                    // The stream keeps its right.
                    Effect::XmppJudge | Effect::Observe(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            self.gateway.effects().recycle(list, octets);
            if self.follow.is_empty() {
                return;
            }
            for follow in std::mem::take(&mut self.follow) {
                self.gateway.handle(self.now, follow.input());
            }
        }
    }

    /// Time goes on, and every deadline on the way is met.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now.mono + time;
        while let Some(at) = self.gateway.deadline().filter(|at| *at <= until) {
            self.set(at.max(self.now.mono));
            self.gateway.handle(self.now, Input::Timeout);
            self.perform();
        }
        self.set(until);
    }

    fn set(&mut self, at: Mono) {
        let start = start().as_millis();
        self.now = Now { mono: at, wall: Wall::from_millis(start + at.as_micros() / 1000) };
    }

    /// What was sent since somebody looked: to the SIP server, and to the XMPP server.
    pub fn take(&mut self) -> (Bundle, Bundle) {
        (std::mem::take(&mut self.sip), std::mem::take(&mut self.xmpp))
    }

    /// What was sent is of no interest any more.
    pub fn forget(&mut self) {
        self.sip.clear();
        self.xmpp.clear();
    }

    /// CPU time of `work`.
    pub fn timed(&mut self, work: impl FnOnce(&mut Self)) -> Duration {
        let begin = Cpu::now();
        work(self);
        begin.spent()
    }
}

impl Follow {
    fn input(self) -> Input<'static> {
        match self {
            Self::StreamUp(stream) => Input::StreamUp { stream, auth: "SASL EXTERNAL" },
            Self::Written(stream, mark) => Input::Written { stream, mark },
            Self::Located(peer) => Input::Located { peer, targets: Ok(vec![target()]) },
            Self::LinkUp(link, peer) => {
                Input::LinkUp { link, peer, way: Way { link, to: None, transport: Transport::Tls } }
            }
            Self::Persisted(ticket) => Input::Persisted { ticket, durable: true },
        }
    }
}

fn target() -> Target {
    Target {
        identity: "edge.contoso.example".into(),
        host: "edge.contoso.example".into(),
        address: SocketAddr::from(([192, 0, 2, 17], 5061)),
        transport: Transport::Tls,
    }
}
