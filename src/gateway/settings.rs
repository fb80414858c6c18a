//! What the gateway is told: names, domains, peers and limits.

use super::pairs::PairSettings;
use super::talk::{PeerTalk, TalkSettings};
use crate::addr::Domain;
use crate::addr::map::MapOptions;
use crate::body;
use crate::bridge::watch;
use crate::msrp;
use crate::policy::Allowance;
use crate::sip::digest::Credentials;
use crate::sip::link::PeerId;
use crate::sip::locate::Transport;
use crate::sip::pager::Sent;
use crate::xmpp;
use std::sync::Arc;
use std::time::Duration;

/// Over how long a few watches are spread.
const LEAST_SPREAD: Duration = Duration::from_secs(2);

/// Everything that is set, checked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our host name.
    pub name: String,
    /// Host and port for Via, by transport: where we listen.
    pub sent_by: SentBy,
    /// The SIP domains that we serve, each with its peer.
    pub domains: Vec<(Domain, PeerId)>,
    /// The same domains without the peers.
    pub domain_names: Vec<Domain>,
    /// The domain that tel: URIs map into.
    pub tel_domain: Option<Domain>,
    /// The SIP peers, in the order of their ids.
    pub peers: Vec<PeerSettings>,
    /// Octets of text that may cross.
    pub message_size: usize,
    /// Octets of a stanza.
    pub stanza_size: usize,
    /// Messages that may wait for one SIP user.
    pub target_queue: usize,
    /// SIP users that messages may be under way to at once.
    pub targets: usize,
    /// Messages a second for each partner; 0: any.
    pub partner_rate: u32,
    /// Messages a second for each sender; 0: any.
    pub user_rate: u32,
    /// What a domain may do whose server was found by DNS.
    pub discovered: Allowance,
    /// Queues towards partners; the same limits hold for the queues towards peers.
    pub pairs: PairSettings,
    /// Limits and timeouts of streams.
    pub xmpp: xmpp::Settings,
    /// How conversations are carried.
    pub talk: TalkSettings,
    /// Durations and bounds of watches.
    pub presence: PresenceSettings,
    /// Durations and bounds of sessions.
    pub sessions: SessionSettings,
    /// Where MSRP is taken, and its bounds.
    pub msrp: msrp::Settings,
    /// After how long without traffic a SIP link that we opened gets a keep-alive (RFC 5626 §4.4.1).
    pub sip_keepalive: Duration,
    /// Does anybody want to hear of deliveries?
    pub deliveries: bool,
    /// Did the operator switch on that texts of messages are observed?
    pub texts: bool,
}

/// Durations and bounds of watches, in both directions together.
#[derive(Clone, Debug)]
pub struct PresenceSettings {
    /// Durations.
    pub watch: watch::Settings,
    /// Watches in all.
    pub watches: usize,
    /// Watches of one SIP user, as watcher and as watched.
    pub per_user: usize,
    /// Watches of one XMPP domain.
    pub per_domain: usize,
    /// SUBSCRIBEs a second that go to one peer because their time has come.
    pub subscribe_rate: u32,
    /// Subscribes of one user's contacts that wait until the user has added them.
    pub pending_per_user: usize,
    /// The same of all users.
    pub pending: usize,
    /// Days after which an authorization that nobody used is taken away; 0: never.
    pub forget_after: u32,
}

impl PresenceSettings {
    /// Over how long the SUBSCRIBEs of so many watches are spread that come due together: twice what
    /// `subscribe_rate` needs, as far as [`watch::Settings::spread`] allows. A few come due almost at once.
    pub fn spread(&self, watches: usize) -> Duration {
        let watches = u64::try_from(watches).unwrap_or(u64::MAX);
        let needed = Duration::from_secs(watches / u64::from(self.subscribe_rate.max(1)));
        needed.max((needed * 2 + LEAST_SPREAD).min(self.watch.spread))
    }
}

impl Default for PresenceSettings {
    fn default() -> Self {
        Self {
            watch: watch::Settings::default(),
            watches: 500_000,
            per_user: 2000,
            per_domain: 100_000,
            subscribe_rate: 200,
            pending_per_user: 100,
            pending: 100_000,
            forget_after: 365,
        }
    }
}

/// Durations and bounds of sessions, in both directions together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSettings {
    /// After how long without a word, from either side, a session is ended.
    pub idle: Duration,
    /// Sessions in all.
    pub all: usize,
    /// Sessions of one SIP user.
    pub per_user: usize,
    /// Sessions with one XMPP domain.
    pub per_partner: usize,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self { idle: Duration::from_secs(600), all: 50_000, per_user: 100, per_partner: 20_000 }
    }
}

/// How messages go to a peer's users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Im {
    /// As MESSAGE out of a dialog first; whoever refuses that, in sessions.
    #[default]
    Auto,
    /// As MESSAGE out of a dialog (RFC 3428); no sessions in either direction.
    Pager,
    /// In a session whose texts are MESSAGEs inside of its dialog.
    MsSession,
    /// In a session whose texts go by MSRP (RFC 7573).
    Msrp,
}

/// What a Via says of us, for each transport.
#[derive(Clone, Debug, Default)]
pub struct SentBy {
    /// TLS.
    pub tls: String,
    /// TCP.
    pub tcp: String,
    /// UDP.
    pub udp: String,
}

/// One SIP peer.
#[derive(Clone, Debug)]
pub struct PeerSettings {
    /// Its name, for people.
    pub name: String,
    /// How messages go to its users.
    pub im: Im,
    /// The largest MESSAGE out of a dialog; None: 1300 octets on UDP, the message limit else.
    pub message_limit: Option<usize>,
    /// What its users get beside texts.
    pub talk: PeerTalk,
    /// What to log in with when it challenges us.
    pub credentials: Option<Credentials>,
    /// Whether its messages are counted apart.
    pub monitor: bool,
    /// Whether nobody wrote it down: it serves a domain that has discovery.
    pub discovered: bool,
}

/// RFC 3428 §8: a MESSAGE out of a dialog, where congestion may not be safe.
const UNSAFE_LIMIT: usize = 1300;
/// Octets of a MESSAGE around its text, on a link that is safe.
const HEADERS: usize = 8 * 1024;

impl Settings {
    /// What one of `shards` shards gets: numbers that bound memory, and the pace of SUBSCRIBEs, are divided. What
    /// shards count together, and what is of one user, is the same for all; and so is how many items may wait for a
    /// partner or peer, because a burst is of one user or of few, whom one shard has.
    pub fn share(mut self, shards: u8) -> Self {
        let part = |all: &mut usize| *all = all.div_ceil(usize::from(shards.max(1)));
        let Self { targets, pairs, presence, msrp, .. } = &mut self;
        [&mut presence.pending, &mut msrp.unfinished, targets, &mut pairs.octets].into_iter().for_each(part);
        presence.subscribe_rate = presence.subscribe_rate.div_ceil(u32::from(shards.max(1)));
        self
    }

    /// The peer that serves a domain of ours.
    pub fn peer_of(&self, domain: &str) -> Option<PeerId> {
        self.domains.iter().find(|(name, _)| name.as_str() == domain).map(|(_, peer)| *peer)
    }

    /// Whether the server of a domain of ours was found by DNS.
    pub fn is_discovered(&self, domain: &str) -> bool {
        self.peer_of(domain).and_then(|peer| self.peer(peer)).is_some_and(|peer| peer.discovered)
    }

    /// The largest MESSAGE that `peer` takes over `transport`.
    pub fn message_limit(&self, peer: PeerId, transport: Option<Transport>) -> usize {
        match (self.peer(peer).and_then(|peer| peer.message_limit), transport) {
            (Some(limit), _) => limit,
            (None, Some(Transport::Udp)) => UNSAFE_LIMIT,
            (None, Some(Transport::Tls | Transport::Tcp) | None) => self.message_size.saturating_add(HEADERS),
        }
    }

    /// How messages go to the users of `peer`.
    pub fn im(&self, peer: PeerId) -> Im {
        self.peer(peer).map_or(Im::Pager, |peer| peer.im)
    }

    /// What the users of `peer` get beside texts.
    pub fn talk_of(&self, peer: PeerId) -> PeerTalk {
        self.peer(peer).map_or_else(PeerTalk::default, |peer| peer.talk)
    }

    /// What to log in with at `peer`.
    pub fn credentials(&self, peer: PeerId) -> Option<&Credentials> {
        self.peer(peer)?.credentials.as_ref()
    }

    /// What the Via of a request says.
    pub fn sent(&self, transport: Transport) -> Sent<'_> {
        let by = match transport {
            Transport::Tls => &self.sent_by.tls,
            Transport::Tcp => &self.sent_by.tcp,
            Transport::Udp => &self.sent_by.udp,
        };
        Sent { by, transport }
    }

    /// How SIP addresses map.
    pub fn map_options(&self) -> MapOptions<'_> {
        MapOptions { tel_domain: self.tel_domain.as_ref(), allow_sips: false }
    }

    /// How much of a body is read.
    pub fn body_limits(&self) -> body::Limits {
        body::Limits { octets: self.message_size, ..body::Limits::default() }
    }

    /// What it is told of a SIP peer.
    pub fn peer(&self, peer: PeerId) -> Option<&PeerSettings> {
        self.peers.get(usize::from(peer.0))
    }
}

/// Secrets that the gateway is started with.
pub struct Secrets {
    /// Seed of all identifiers.
    pub ids: [u8; 32],
    /// Seed of hashes over what peers send.
    pub hashes: [u8; 32],
    /// By which our own requests are recognised when they come back.
    pub loops: [u8; 32],
    /// Behind our dialback keys (XEP-0185).
    pub dialback: Arc<[u8]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_watches_come_back_at_once_and_many_at_the_rate() {
        let settings = PresenceSettings { subscribe_rate: 200, ..PresenceSettings::default() };
        let seconds = |watches| settings.spread(watches).as_secs();
        assert_eq!([0, 10, 1000, 4000].map(seconds), [2, 2, 12, 42]);
        assert_eq!([5000, 9000, 20_000].map(seconds), [50, 50, 100]);
    }
}
