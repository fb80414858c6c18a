//! The world around a gateway, in virtual time: partners on real streams, a SIP peer on real links, and
//! a network that does what the test says.

mod looking;

use super::net::{DAEMON, Net, POLICY, Play, address, configured};
use super::texts::{Sent, assert_is_of, assert_is_sip, assert_is_stanza, response};
use crate::gateway::effect::{Effect, LinkId, PeerId};
use crate::gateway::observe::Observation;
use crate::gateway::{Gateway, Input, Realm, Secrets, Settings, Way};
use crate::ids::{Ids, Owner};
use crate::now::{Mono, Now, Wall};
use crate::sip::frame::{self, Frame, Limits};
use crate::sip::link::{Link, LinkEvent, LinkIdentity, Source};
use crate::sip::locate::{Target, Transport};
use crate::store::record::Change;
use crate::xmpp::{
    CertVerdict, Condition, Pair, PeerIdentity, Purpose as For, Stream, StreamEvent, StreamId,
};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What the gateway wanted done, but for observations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    DialXmpp {
        stream: StreamId,
        pair: Pair,
        purpose: For,
    },
    Xmpp {
        stream: StreamId,
        remote: String,
        mark: u64,
        text: String,
    },
    CloseXmpp(StreamId),
    Locate(PeerId),
    DialSip {
        link: LinkId,
        address: SocketAddr,
    },
    Sip(Sent),
    CloseSip(LinkId),
    Persist {
        ticket: u64,
        changes: Vec<Change>,
    },
    /// A dialback question or answer.
    Dialback(String),
    MsrpDial(Box<crate::msrp::Dial>),
    Msrp(crate::msrp::ConnId, String),
    MsrpClose(crate::msrp::ConnId),
}

enum Follow {
    StreamUp(StreamId),
    StreamDown(StreamId, Condition),
    Written(StreamId, u64),
    Located(PeerId, Result<Vec<Target>, &'static str>),
    LinkUp(LinkId),
    LinkDown(LinkId),
    Answer(Sent, u16),
    Persisted(u64, bool),
}

struct Dialled {
    peer: PeerId,
    target: Target,
}

/// A certificate that is valid for one name.
struct Name(String);

impl PeerIdentity for Name {
    fn judge(&self, domain: &crate::addr::Domain, _now: Now) -> CertVerdict {
        match domain.as_str() == self.0 {
            true => CertVerdict::Valid,
            false => CertVerdict::Invalid(crate::xmpp::CertFault::WrongName),
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

/// The link on which the peer sends its requests.
pub(super) const PEER_LINK: LinkId = LinkId(1_000_000);
/// Our UDP socket.
pub(super) const UDP_LINK: LinkId = LinkId(1_000_001);

pub(super) struct World {
    pub(super) gateway: Gateway,
    pub(super) now: Now,
    pub(super) net: Net,
    pub(super) seen: VecDeque<Seen>,
    pub(super) observed: Vec<Observation>,
    /// Everything that went over a wire, either way, for comparisons.
    pub(super) wire: String,
    realm: Realm,
    ids: Ids,
    /// By the partner's domain and ours.
    inbound: BTreeMap<(String, &'static str), Stream>,
    /// What became of inbound streams that ended.
    pub(super) ended: Vec<String>,
    /// What trials came to.
    pub(super) tried: Vec<crate::gateway::trial::Outcome>,
    streams: BTreeMap<StreamId, Pair>,
    links: BTreeMap<LinkId, Dialled>,
    peer: Link,
    follow: VecDeque<Follow>,
}

impl World {
    pub(super) fn new(net: Net) -> Self {
        Self::with(net, |_| {})
    }

    pub(super) fn with(net: Net, change: impl FnOnce(&mut Settings)) -> Self {
        Self::seeded(net, 1, change)
    }

    pub(super) fn seeded(net: Net, seed: u8, change: impl FnOnce(&mut Settings)) -> Self {
        let (mut settings, table) = configured(DAEMON, POLICY);
        change(&mut settings);
        let secrets = Secrets {
            ids: [seed; 32],
            hashes: [seed.wrapping_add(1); 32],
            loops: [seed.wrapping_add(2); 32],
            dialback: b"dialback secret".as_slice().into(),
        };
        let domains: Arc<[_]> = settings.domain_names.clone().into();
        let gateway = Gateway::new(Arc::new(settings), table, &secrets);
        let identity = LinkIdentity { peer: Some(PeerId(0)), domains };
        let source = Source { link: PEER_LINK, transport: Transport::Tls, address: address(200), identity };
        Self {
            realm: gateway.realm(),
            gateway,
            now: Now::at(0),
            net,
            seen: VecDeque::new(),
            observed: Vec::new(),
            wire: String::new(),
            ids: Ids::new([seed.wrapping_add(3); 32], Owner::default()),
            inbound: BTreeMap::new(),
            ended: Vec::new(),
            tried: Vec::new(),
            streams: BTreeMap::new(),
            links: BTreeMap::new(),
            peer: Link::new(source, Limits::default()),
            follow: VecDeque::new(),
        }
    }

    /// One input, its effects, and what follows from them in the network.
    pub(super) fn handle(&mut self, input: Input<'_>) {
        self.gateway.handle(self.now, input);
        self.perform();
    }

    /// Nothing new is taken from now on.
    pub(super) fn stop(&mut self) {
        self.gateway.stop(self.now);
        self.perform();
    }

    /// The policy file is another from now on.
    pub(super) fn reload(&mut self, policy: &str) {
        self.reload_both(DAEMON, policy);
    }

    /// Both files are others from now on, as far as the table goes.
    pub(super) fn reload_both(&mut self, daemon: &str, policy: &str) {
        let (_, table) = configured(daemon, policy);
        self.gateway.reload(self.now, table);
        self.realm = self.gateway.realm();
        let realm = &self.realm;
        self.inbound.retain(|_, stream| {
            stream.handle_reload(realm);
            stream.phase() == crate::xmpp::stream::table::Phase::Up
        });
        self.perform();
    }

    fn perform(&mut self) {
        loop {
            let (list, octets) = self.gateway.effects().take();
            for effect in list {
                self.see(effect, &octets);
            }
            let Some(follow) = self.follow.pop_front() else { return };
            let now = self.now;
            match follow {
                Follow::StreamUp(stream) => {
                    self.gateway.handle(now, Input::StreamUp { stream, auth: "SASL EXTERNAL" });
                }
                Follow::StreamDown(stream, condition) => {
                    self.gateway.handle(now, Input::StreamDown { stream, condition, why: "no server" });
                }
                Follow::Written(stream, mark) => self.gateway.handle(now, Input::Written { stream, mark }),
                Follow::Located(peer, targets) => self.gateway.handle(now, Input::Located { peer, targets }),
                Follow::LinkUp(link) => {
                    let Dialled { peer, target } = &self.links[&link];
                    let way = match target.transport {
                        Transport::Udp => {
                            let to = Some(target.address);
                            Way { link: UDP_LINK, to, transport: Transport::Udp }
                        }
                        transport => Way { link, to: None, transport },
                    };
                    let peer = *peer;
                    self.gateway.handle(now, Input::LinkUp { link, peer, way });
                }
                Follow::LinkDown(link) => {
                    self.gateway.handle(now, Input::LinkDown { link, why: "connection refused" });
                }
                Follow::Persisted(ticket, durable) => {
                    self.gateway.handle(now, Input::Persisted { ticket, durable });
                }
                Follow::Answer(sent, status) => {
                    let text = response(&sent, status, "");
                    self.receive_sip(sent.link, &text);
                }
            }
        }
    }

    fn see(&mut self, effect: Effect, octets: &[u8]) {
        let text = |range: std::ops::Range<usize>| String::from_utf8(octets[range].to_vec()).unwrap();
        let seen = match effect {
            Effect::Observe(observation) => {
                self.observed.push(*observation);
                return;
            }
            Effect::DialXmpp { stream, pair, purpose, .. } => {
                self.streams.insert(stream, pair.clone());
                match (self.net.streams, purpose) {
                    (Play::Up, For::Send) => self.follow.push_back(Follow::StreamUp(stream)),
                    (Play::Fail, For::Send) => {
                        self.follow.push_back(Follow::StreamDown(stream, self.net.condition));
                    }
                    (Play::Silent, _) | (_, For::Verify) => {}
                }
                Seen::DialXmpp { stream, pair, purpose }
            }
            Effect::XmppSend { stream, octets, mark } => {
                if self.net.written {
                    self.follow.push_back(Follow::Written(stream, mark));
                }
                let pair = &self.streams[&stream];
                let (remote, text) = (pair.remote.to_string(), text(octets));
                assert_is_of(&text, pair);
                self.wire.push_str(&format!("{}< {text}\n", remote));
                assert_is_stanza(&text);
                Seen::Xmpp { stream, remote, mark, text }
            }
            Effect::XmppVerify { stream, verify } => Seen::Dialback(format!("{stream:?} {verify:?}")),
            Effect::XmppVerified { stream, answer } => Seen::Dialback(format!("{stream:?} {answer:?}")),
            Effect::Tried { outcome, .. } => {
                self.tried.push(outcome);
                return;
            }
            // World::reload does.
            Effect::XmppJudge => return,
            Effect::XmppClose { stream, .. } => {
                if self.net.closes {
                    self.follow.push_back(Follow::StreamDown(stream, Condition::RemoteServerTimeout));
                }
                Seen::CloseXmpp(stream)
            }
            Effect::Locate { peer } => {
                if let Some(located) = self.net.located.clone() {
                    self.follow.push_back(Follow::Located(peer, located));
                }
                Seen::Locate(peer)
            }
            Effect::DialSip { link, peer, target } => {
                let address = target.address;
                match self.net.links {
                    _ if self.net.dead.contains(&address) => self.follow.push_back(Follow::LinkDown(link)),
                    Play::Up => self.follow.push_back(Follow::LinkUp(link)),
                    Play::Fail => self.follow.push_back(Follow::LinkDown(link)),
                    Play::Silent => {}
                }
                self.links.insert(link, Dialled { peer, target });
                Seen::DialSip { link, address }
            }
            Effect::SipSend { link, to, octets } => {
                let sent = Sent { link, to, text: text(octets) };
                self.wire.push_str(&format!("sip< {}\n", sent.text));
                assert_is_sip(&sent);
                if let (Some(status), true) = (self.net.status, sent.is_request()) {
                    self.follow.push_back(Follow::Answer(sent.clone(), status));
                }
                Seen::Sip(sent)
            }
            Effect::SipClose { link } => Seen::CloseSip(link),
            Effect::MsrpDial(dial) => Seen::MsrpDial(dial),
            Effect::MsrpSend { conn, octets } => Seen::Msrp(conn, text(octets)),
            Effect::MsrpClose { conn } => Seen::MsrpClose(conn),
            Effect::Persist { ticket, changes } => {
                if let Some(durable) = self.net.durable {
                    self.follow.push_back(Follow::Persisted(ticket, durable));
                }
                Seen::Persist { ticket, changes }
            }
        };
        self.seen.push_back(seen);
    }

    /// A stanza from the server of `remote`, on a stream that is authenticated for it.
    pub(super) fn xmpp(&mut self, remote: &str, text: &str) {
        let local = if text.contains("@tailspin.example") { "tailspin.example" } else { "contoso.example" };
        let name = (remote.to_owned(), local);
        if !self.inbound.contains_key(&name) {
            let stream = self.open(remote, local);
            self.inbound.insert(name.clone(), stream);
        }
        self.wire.push_str(&format!("{remote}> {text}\n"));
        let Some(stream) = self.inbound.get_mut(&name) else { return };
        stream.push(text.as_bytes());
        let mut down = None;
        while let Some(event) = stream.next_event(self.now, &self.realm, &mut self.ids) {
            let id = StreamId(0);
            match event {
                StreamEvent::Stanza(stanza) => {
                    self.gateway.handle(self.now, Input::Stanza { stream: id, stanza });
                }
                StreamEvent::Iq(iq) => self.gateway.handle(self.now, Input::Iq { stream: id, iq }),
                StreamEvent::Misaddressed(stanza) => {
                    self.gateway.handle(self.now, Input::Misaddressed(stanza));
                }
                StreamEvent::Down(reason) => down = Some(reason.to_string()),
                other => panic!("{other:?}"),
            }
        }
        if let Some(down) = down {
            self.ended.push(down);
            self.inbound.remove(&name);
        }
        self.perform();
    }

    /// May the server of `remote` open a stream?
    pub(super) fn partner_is_listed(&self, remote: &str) -> bool {
        use crate::xmpp::Realm;
        self.realm.terms(None, remote).is_ok()
    }

    /// An operator tries something out.
    pub(super) fn try_out(&mut self, kind: crate::crossing::Kind, from: &str, to: &str) {
        let jid = |text| crate::addr::Jid::parse(text).unwrap();
        let trial =
            crate::gateway::trial::Trial { from: jid(from), to: jid(to), kind, text: "a test".into() };
        self.gateway.begin_trial(self.now, &trial).unwrap();
        self.perform();
    }

    /// A stanza from capulet.example.
    pub(super) fn romeo(&mut self, text: &str) {
        self.xmpp("capulet.example", text);
    }

    /// A message with a body from romeo to a SIP user.
    pub(super) fn say(&mut self, id: &str, to: &str, body: &str) {
        self.romeo(&format!(
            "<message from='romeo@capulet.example/orchard' to='{to}' id='{id}'><body>{body}</body></message>"
        ));
    }

    fn open(&mut self, remote: &str, local: &str) -> Stream {
        let mut stream = Stream::receiving(StreamId(0), self.realm.xmpp(), self.now, &mut self.ids);
        let hello = format!(
            "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' from='{remote}' \
             xmlns:stream='http://etherx.jabber.org/streams' to='{local}' version='1.0'>"
        );
        stream.handle_tls(Box::new(Name(remote.to_owned())));
        let steps = [
            hello.as_str(),
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
            hello.as_str(),
        ];
        let mut is_up = false;
        for step in steps {
            stream.push(step.as_bytes());
            while let Some(event) = stream.next_event(self.now, &self.realm, &mut self.ids) {
                match event {
                    StreamEvent::Up { .. } => is_up = true,
                    other => panic!("{other:?}"),
                }
            }
        }
        assert!(is_up, "no stream from {remote}");
        stream
    }

    /// Octets from the peer, on its own link.
    pub(super) fn sip(&mut self, text: &str) {
        self.wire.push_str(&format!("sip> {text}\n"));
        self.peer.push(text.as_bytes());
        while let Some((event, source)) = self.peer.next_event() {
            match event {
                LinkEvent::Message(octets) => {
                    self.gateway.handle(self.now, Input::Sip { source, octets });
                }
                LinkEvent::Ping => {}
                LinkEvent::Broken(error) => {
                    let readable = error.readable();
                    let (fault, readable) = (error.fault, readable.as_ref());
                    self.gateway.handle(self.now, Input::SipBroken { source, fault, readable });
                    let source = source.clone();
                    self.peer = Link::new(source, Limits::default());
                    break;
                }
            }
        }
        self.perform();
    }

    /// A datagram from the peer.
    pub(super) fn datagram(&mut self, from: SocketAddr, text: &str) {
        let identity = self.peer.source().identity.clone();
        let source = Source { link: UDP_LINK, transport: Transport::Udp, address: from, identity };
        self.sip_from(&source, text);
    }

    /// One whole message from wherever.
    pub(super) fn sip_from(&mut self, source: &Source, text: &str) {
        self.wire.push_str(&format!("sip> {text}\n"));
        let mut octets = text.as_bytes().to_vec();
        match frame::datagram(&mut octets, &Limits::default()) {
            Ok(Frame::Message(octets)) => self.handle(Input::Sip { source, octets }),
            Ok(Frame::Ping) => {}
            Err(error) => {
                let readable = error.readable();
                let input = Input::SipBroken { source, fault: error.fault, readable: readable.as_ref() };
                self.handle(input);
            }
        }
    }

    /// Where the peer's requests come from.
    pub(super) fn source(&self) -> Source {
        self.peer.source().clone()
    }

    fn receive_sip(&mut self, link: LinkId, text: &str) {
        self.wire.push_str(&format!("sip> {text}\n"));
        let source = Source { link, ..self.peer.source().clone() };
        self.gateway.handle(self.now, Input::Sip { source: &source, octets: text.as_bytes() });
    }

    /// The peer answers a request of ours.
    pub(super) fn answer(&mut self, sent: &Sent, status: u16) {
        self.answer_with(sent, status, "");
    }

    /// The same, with further header lines, each with its CRLF.
    pub(super) fn answer_with(&mut self, sent: &Sent, status: u16, headers: &str) {
        let text = response(sent, status, headers);
        self.receive_sip(sent.link, &text);
        self.perform();
    }

    /// The same, with a body.
    pub(super) fn answer_body(&mut self, sent: &Sent, status: u16, headers: &str, body: &str) {
        let end = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let text = response(sent, status, headers).replace("Content-Length: 0\r\n\r\n", &end);
        self.receive_sip(sent.link, &text);
        self.perform();
    }

    /// A stream that was dialled is up.
    pub(super) fn stream_up(&mut self, stream: StreamId) {
        self.handle(Input::StreamUp { stream, auth: "SASL EXTERNAL" });
    }

    pub(super) fn stream_down(&mut self, stream: StreamId) {
        let condition = Condition::RemoteServerTimeout;
        self.handle(Input::StreamDown { stream, condition, why: "connection lost" });
    }

    pub(super) fn written(&mut self, stream: StreamId, mark: u64) {
        self.handle(Input::Written { stream, mark });
    }

    /// A link that was dialled is up.
    pub(super) fn link_up(&mut self, link: LinkId) {
        self.follow.push_back(Follow::LinkUp(link));
        self.perform();
    }

    pub(super) fn link_down(&mut self, link: LinkId) {
        self.handle(Input::LinkDown { link, why: "connection lost" });
    }

    /// Time goes on, and every deadline on the way is met.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now.mono + time;
        let mut turns = 0;
        while let Some(at) = self.gateway.deadline().filter(|at| *at <= until) {
            self.set(at.max(self.now.mono));
            self.handle(Input::Timeout);
            turns += 1;
            assert!(turns < 100_000, "a deadline that never ends at {at:?}");
        }
        self.set(until);
    }

    pub(super) fn pass_secs(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// It is then.
    pub(super) fn set_now(&mut self, now: Now) {
        self.now = now;
    }

    fn set(&mut self, at: Mono) {
        self.now = Now::at_millis(0);
        self.now.wall = Wall::from_millis(self.now.wall.as_millis() + at.as_micros() / 1000);
        self.now.mono = at;
    }
}
