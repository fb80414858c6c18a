//! The checked settings, typed. What a section means stands at its type; defaults stand where the
//! section is read.

use super::problem::Problem;
use crate::addr::Domain;
use crate::now::Wall;
use crate::policy::Table;
use ipnet::IpNet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Octets of a file that is kept as it was read.
pub const MAX_TEXT: usize = 1 << 20;

/// Everything that the two files say, checked.
#[derive(Debug)]
pub struct Config {
    /// `[gateway]`.
    pub gateway: Gateway,
    /// `[[domain]]`: the SIP domains that we serve.
    pub domains: Vec<Served>,
    /// `[tls]`.
    pub tls: Tls,
    /// `[dns]`.
    pub dns: Dns,
    /// `[xmpp]`.
    pub xmpp: Xmpp,
    /// `[sip]`.
    pub sip: Sip,
    /// `[bridge]`.
    pub bridge: Bridge,
    /// `[msrp]`.
    pub msrp: Msrp,
    /// `[presence]`.
    pub presence: Presence,
    /// `[limits]`.
    pub limits: Limits,
    /// `[log]`.
    pub log: Log,
    /// `[metrics] listen`: where `/metrics`, `/healthz` and `/readyz` are; `None`: nowhere.
    pub metrics: Option<SocketAddr>,
    /// `[admin] socket`.
    pub admin_socket: PathBuf,
    /// `[selftest]`.
    pub selftest: Option<SelfTest>,
    /// The policy file as a table, generation 0.
    pub table: Table,
    /// Both files as they were read: name and text. One of more than [`MAX_TEXT`] octets is a comment.
    pub texts: Vec<(String, String)>,
    /// Policy tests that were run; all of them passed.
    pub policy_tests: usize,
    /// What is weak and taken all the same.
    pub warnings: Vec<Problem>,
}

/// `[gateway]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    /// Our host name: Via, Contact, certificate requests.
    pub name: Domain,
    /// Where records are kept.
    pub state_dir: PathBuf,
    /// The policy file.
    pub policy: PathBuf,
    /// Threads that carry messages, at most 32; 0 is one for each core.
    pub shards: u8,
}

/// A SIP domain that we serve towards XMPP partners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The domain.
    pub name: Domain,
    /// The ids of its certificates: each side has the first that is for it. None: the first that is valid
    /// for the name.
    pub certificates: Vec<String>,
    /// Whether `tel:` URIs map into this domain; at most one domain has it.
    pub tel_domain: bool,
    /// Whether the server behind it is found by SRV, with the limits of discovered peers.
    pub discovery: bool,
    /// The peer behind it: an index into [`Sip::peers`].
    pub peer: Option<usize>,
}

/// Whom we trust to vouch for certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The system's store.
    System,
    /// A PEM bundle.
    Bundle(PathBuf),
}

/// The lowest TLS version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// `[tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `trust`.
    pub trust: Trust,
    /// `min_version`.
    pub min_version: TlsVersion,
    /// `crl`.
    pub crl: Crl,
    /// `crl_files`.
    pub crl_files: Vec<PathBuf>,
    /// `crl_fetch`: lists are fetched from where certificates say.
    pub crl_fetch: bool,
    /// `default_certificate`: the ids of the one for who asks for none, the first that is for the side; else
    /// the first of all that is.
    pub default_certificates: Vec<String>,
    /// `[[tls.certificate]]`.
    pub certificates: Vec<Certificate>,
}

/// `[[tls.certificate]]`: a certificate chain and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// What `[[domain]]` calls it.
    pub id: String,
    /// The chain, PEM, ours first.
    pub chain: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
    /// Whose place it takes, and when.
    pub replaces: Option<Replaces>,
    /// `for`: where it is shown, as server and as client.
    pub sides: Sides,
}

/// XMPP, SIP or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    /// On XMPP streams.
    pub xmpp: bool,
    /// On SIP links.
    pub sip: bool,
}

impl Sides {
    /// Both.
    pub const BOTH: Self = Self { xmpp: true, sip: true };

    /// Whether one of `other` is among them.
    pub fn meet(self, other: Self) -> bool {
        (self.xmpp && other.xmpp) || (self.sip && other.sip)
    }
}

/// A dated roll-over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// The id of the certificate that goes.
    pub id: String,
    /// From when on.
    pub from: Wall,
}

/// Whether peers' certificates are looked up in revocation lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crl {
    /// No.
    Off,
    /// Yes; what no list says is taken as good.
    Soft,
    /// Yes; what no list says is refused.
    Hard,
}

/// `[dns]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Servers to ask; none means the system's.
    pub servers: Vec<SocketAddr>,
    /// Whether answers are validated.
    pub dnssec: bool,
    /// Whether an XMPP partner found by DNS may live on loopback or a private network.
    pub private_addresses: bool,
}

/// `[xmpp]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xmpp {
    /// Where partners reach us.
    pub listen: Vec<SocketAddr>,
    /// Streams in all.
    pub connection_limit: usize,
    /// Streams with one partner that has no limit of its own.
    pub partner_connection_limit: usize,
    /// A stream without a keep-alive for this long is closed.
    pub keepalive_interval: Duration,
    /// A stream must be negotiated by then.
    pub stream_establishment_timeout: Duration,
    /// A stream without traffic for this long is closed.
    pub stream_inactivity_timeout: Duration,
    /// The file with the secret behind dialback keys (XEP-0185); `None`: made once and kept.
    pub dialback_secret: Option<PathBuf>,
}

/// `[msrp]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Msrp {
    /// Where peers connect; empty: nowhere, we connect to them.
    pub listen: Vec<SocketAddr>,
    /// TLS or TCP, for all of MSRP.
    pub transport: Transport,
    /// Our host in MSRP URIs; `None`: `[gateway] name`.
    pub host: Option<Domain>,
    /// Connections in all.
    pub connection_limit: usize,
}

/// What SIP runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TLS over TCP.
    Tls,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// One SIP listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SipListen {
    /// The address.
    pub addr: SocketAddr,
    /// The transport.
    pub transport: Transport,
}

/// `[sip]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sip {
    /// Where peers reach us.
    pub listen: Vec<SipListen>,
    /// How long the subscriptions last that we ask for.
    pub subscription_refresh_interval: Duration,
    /// After how long without traffic a link that we opened is kept alive (RFC 5626 §4.4.1).
    pub keepalive_interval: Duration,
    /// After how long without a word a session is ended.
    pub session_idle_timeout: Duration,
    /// `[[sip.peer]]`.
    pub peers: Vec<Peer>,
}

/// How messages go to a peer's users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Im {
    /// As MESSAGE first; whoever refuses that, in sessions.
    #[default]
    Auto,
    /// As MESSAGE out of a dialog (RFC 3428); no sessions in either direction.
    Pager,
    /// In a session that an INVITE makes, as MESSAGE inside of its dialog.
    MsSession,
    /// In a session that an INVITE makes, by MSRP.
    Msrp,
}

/// Which SRV service finds a peer that has no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Srv {
    /// RFC 3263: NAPTR, `_sips._tcp`, `_sip._tcp`, `_sip._udp`.
    Sip,
    /// `_sipfederationtls._tcp`.
    Federation,
}

/// `[[sip.peer]]`: a SIP server that serves our domains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its name in logs.
    pub name: String,
    /// The domains that it serves.
    pub domains: Vec<Domain>,
    /// Where requests go; `None`: RFC 3263 on the domain.
    pub route: Option<Route>,
    /// Which SRV service is asked when there is no route.
    pub srv: Srv,
    /// Certificate names that may speak for the domains; never empty.
    pub identity: Vec<Domain>,
    /// Networks that are trusted without a certificate on UDP and TCP links.
    pub addresses: Vec<IpNet>,
    /// How messages go to its users.
    pub im: Im,
    /// The largest out-of-dialog MESSAGE in octets; `None`: by the transport.
    pub message_limit: Option<usize>,
    /// Whether its messages are counted apart.
    pub monitor: bool,
    /// What its users get beside texts.
    pub talk: Talk,
    /// The account that we answer challenges with.
    pub digest: Option<Digest>,
    /// `verification = "always-unverifiable"`: its users reach only whoever has them as a contact.
    pub unverifiable: bool,
}

/// The host, port and transport of a `sip:` URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The URI as written.
    pub uri: String,
    /// Its host.
    pub host: Domain,
    /// Its port.
    pub port: Option<u16>,
    /// Its transport parameter.
    pub transport: Option<Transport>,
}

/// An account for digest authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The user name.
    pub user: String,
    /// The file with the password.
    pub password: PathBuf,
}

/// `[bridge]`: how conversations are carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bridge {
    /// Does an XMPP user see `paused` when a SIP user writes no more, instead of `active`?
    pub idle_is_paused: bool,
    /// Is a SIP user told, once a day, that somebody sends what can't be read here?
    pub encrypted_notice: bool,
}

/// What a peer's users get beside texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Talk {
    /// Do they hear who is writing?
    pub typing: bool,
    /// Receipts.
    pub receipts: Receipts,
    /// Do reactions become texts?
    pub reactions: bool,
    /// Do characters outside of the basic plane become words?
    pub ascii_emoji: bool,
}

impl Default for Talk {
    fn default() -> Self {
        Self { typing: true, receipts: Receipts::default(), reactions: true, ascii_emoji: false }
    }
}

/// How it is known that a peer's user has a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Receipts {
    /// By notifications (RFC 5438), asked of those who use them.
    #[default]
    Auto,
    /// Also by a 200, which its servers send only when a user agent did.
    Trust200,
    /// It is not.
    Off,
}

/// `[presence]`: bounds and durations of watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
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
    /// How long a SIP user's SUBSCRIBE without Expires lasts.
    pub default_expires: Duration,
    /// The shortest that it may ask for.
    pub min_expires: Duration,
    /// The longest that it gets.
    pub max_expires: Duration,
}

/// `[limits]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of text that may cross.
    pub message_size: usize,
    /// Octets of a stanza.
    pub stanza_size: usize,
    /// Messages a second for each partner; 0 is off.
    pub partner_rate: u32,
    /// Messages a second for each sender; 0 is off.
    pub user_rate: u32,
    /// Requests a second from each discovered domain; 0 is off.
    pub discovered_rate: u32,
    /// People whom each discovered domain may write to within an hour; 0 is off.
    pub discovered_contacts: usize,
    /// Items that may wait for one domain that can't be reached.
    pub queue: usize,
    /// How long they wait.
    pub queue_timeout: Duration,
    /// Sessions in all.
    pub sessions: usize,
    /// Sessions of one SIP user.
    pub user_sessions: usize,
    /// Sessions with one XMPP domain.
    pub partner_sessions: usize,
}

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// The journal under systemd, else the standard error output.
    Auto,
    /// The journal.
    Journal,
    /// The standard error output, as text.
    Stderr,
    /// The standard error output, one JSON object a line.
    Json,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Act now.
    Error,
    /// A partner or a user is affected.
    Warn,
    /// Life cycle, refusals, failures.
    Info,
    /// Steps; what was allowed and delivered.
    Debug,
    /// Octets.
    Trace,
}

impl LogLevel {
    /// Every level, the quietest first.
    pub const ALL: [Self; 5] = [Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// As the configuration spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// `[log]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// Where it goes.
    pub target: LogTarget,
    /// How much.
    pub level: LogLevel,
    /// Whether texts of messages are written, too.
    pub message_bodies: bool,
}

/// `[selftest]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfTest {
    /// Who seems to write, as written; a good address.
    pub from: String,
    /// Whom it is for, on the other side.
    pub to: String,
    /// How often the daemon tests by itself; `None`: never.
    pub every: Option<Duration>,
}

impl Config {
    /// Whether `domain` (canonical) is one of ours.
    pub fn serves(&self, domain: &str) -> bool {
        self.domains.iter().any(|served| served.name.as_str() == domain)
    }
}
