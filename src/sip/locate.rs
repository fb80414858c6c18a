//! Where a SIP request goes: RFC 3263 as a machine that asks DNS questions and is fed answers.
//!
//! ```text
//!  numeric host ─────────────────────────────────────────────────────▶ target
//!  name, port ────────────────────────────────────────▶ addresses ───▶ targets
//!  name, transport ───────────▶ SRV of that transport ─▶ addresses ──▶ targets
//!  name ─────────────▶ NAPTR ─▶ SRV of each transport ─▶ addresses ──▶ targets
//!  name, federation ─▶ SRV _sipfederationtls._tcp, _sips._tcp ─▶ addresses ─▶ targets
//! ```
//!
//! [`Locator::next_question`] hands out all questions of a stage, so a driver can ask them at
//! once; [`Locator::answer`] takes the answers in any order. What DNS says is bounded: at most 8
//! NAPTR records, 25 SRV records, 8 addresses a name and 25 targets count. The TLS identity of a
//! target is the domain that was asked for, never a name that DNS gave (RFC 5922 §4).
//!
//! [`failover`] keeps the targets that failed.

mod dns;
pub mod failover;
mod srv;

pub use dns::{Answer, Asked, Naptr, Question, Srv};

use dns::{dns_name, literal};

use super::txn::Reliability;
use crate::addr::uri::{Scheme, Uri};
use crate::ids::Ids;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Most targets of one destination.
pub const MAX_TARGETS: usize = 25;
/// Most NAPTR records that count.
const MAX_NAPTR: usize = 8;
/// Most addresses of one name that count.
const MAX_ADDRESSES: usize = 8;
/// How long targets hold that came from no DNS answer.
const NUMERIC_TTL: Duration = Duration::from_secs(3600);

/// A transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TLS over TCP.
    Tls,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// As Via and the `transport` parameter spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "TLS",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }

    /// Whether it repeats lost octets itself.
    pub fn reliability(self) -> Reliability {
        match self {
            Self::Tls | Self::Tcp => Reliability::Reliable,
            Self::Udp => Reliability::Unreliable,
        }
    }

    /// The default port (RFC 3261 §18.2.2).
    pub fn port(self) -> u16 {
        match self {
            Self::Tls => 5061,
            Self::Tcp | Self::Udp => 5060,
        }
    }

    /// The prefix of its SRV name (RFC 3263 §4.2).
    fn service(self) -> &'static str {
        match self {
            Self::Tls => "_sips._tcp.",
            Self::Tcp => "_sip._tcp.",
            Self::Udp => "_sip._udp.",
        }
    }
}

/// The transports that we speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enabled {
    /// TLS over TCP.
    pub tls: bool,
    /// TCP.
    pub tcp: bool,
    /// UDP.
    pub udp: bool,
}

impl Enabled {
    fn has(self, transport: Transport) -> bool {
        match transport {
            Transport::Tls => self.tls,
            Transport::Tcp => self.tcp,
            Transport::Udp => self.udp,
        }
    }
}

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination<'a> {
    /// Name or IP literal (IPv6 with brackets): RFC 3263's TARGET.
    pub host: &'a str,
    /// An explicit port.
    pub port: Option<u16>,
    /// An explicit transport.
    pub transport: Option<Transport>,
    /// Whether the URI is SIPS.
    pub sips: bool,
    /// Whether the peer publishes `_sipfederationtls._tcp`, as Lync and its kin do: that is asked
    /// first, and TLS is the only transport.
    pub federation: bool,
    /// The name that the peer's certificate must have.
    pub identity: &'a str,
}

impl<'a> Destination<'a> {
    /// What `uri` names, with `maddr` and `transport` as RFC 3263 §4 has them. A URI that a peer
    /// wrote steers where we connect: dial only for those that configuration or DNS decides.
    ///
    /// # Errors
    /// [`LocateError::Scheme`] and [`LocateError::Transport`].
    pub fn of(uri: &Uri<'a>) -> Result<Self, LocateError> {
        let sips = match uri.scheme {
            Scheme::Sips => true,
            Scheme::Sip | Scheme::Im | Scheme::Pres => false,
            Scheme::Tel | Scheme::Other(_) => return Err(LocateError::Scheme),
        };
        let transport = match uri.param("transport").flatten() {
            None => None,
            Some(name) if name.eq_ignore_ascii_case("tls") => Some(Transport::Tls),
            Some(name) if name.eq_ignore_ascii_case("tcp") => Some(Transport::Tcp),
            Some(name) if name.eq_ignore_ascii_case("udp") => Some(Transport::Udp),
            Some(_) => return Err(LocateError::Transport),
        };
        let host = uri.param("maddr").flatten().unwrap_or(uri.host);
        Ok(Self { host, port: uri.port, transport, sips, federation: false, identity: uri.host })
    }
}

/// Why a destination has no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    /// The URI is neither SIP nor SIPS.
    #[error("the URI names no SIP server")]
    Scheme,
    /// The host is no name that DNS could know.
    #[error("the host is no DNS name")]
    Host,
    /// The transport is unknown, switched off, or UDP for SIPS.
    #[error("the transport can't be used")]
    Transport,
    /// DNS says that the service is not offered: SRV target `.` (RFC 2782).
    #[error("the domain does not offer the service")]
    NotOffered,
    /// Neither SRV nor address records.
    #[error("the domain has no SIP server")]
    NotFound,
    /// DNS did not answer, or not with what decides: it may do so later.
    #[error("DNS did not answer")]
    Unanswered,
}

/// A place to send a request to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name that the peer's certificate must have, and that goes into SNI.
    pub identity: Arc<str>,
    /// The name of the server as DNS gave it, for people.
    pub host: Arc<str>,
    /// Its address and port.
    pub address: SocketAddr,
    /// The transport.
    pub transport: Transport,
}

/// What tells servers apart, whatever they are called.
pub type Place = (SocketAddr, Transport);

impl Target {
    /// Where it is.
    pub fn place(&self) -> Place {
        (self.address, self.transport)
    }
}

/// What a [`Locator`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// At least one target, in the order to try them.
    pub targets: Vec<Target>,
    /// How long they hold: the shortest TTL that took part.
    pub ttl: Duration,
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Naptr,
    /// The plan with this index.
    Plan(usize),
    /// The host with this index.
    Host(usize),
}

#[derive(Debug)]
struct Open {
    about: About,
    question: Question,
    handed_out: bool,
    answered: bool,
}

/// An SRV name to ask, most wanted first.
#[derive(Debug)]
struct Plan {
    name: Box<str>,
    transport: Transport,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Waiting,
    Found(Vec<(Box<str>, u16)>),
    Nothing,
    NotOffered,
    Failed,
}

#[derive(Debug)]
struct Host {
    name: Arc<str>,
    addresses: Vec<IpAddr>,
    failed: bool,
}

/// A server and how to reach it, once the address of its host is known.
#[derive(Debug)]
struct Server {
    host: usize,
    port: u16,
    transport: Transport,
}

#[derive(Debug)]
enum Stage {
    Naptr,
    Srv,
    Address,
    Done(Result<Located, LocateError>),
}

/// The machine: one for each destination that is looked up.
#[derive(Debug)]
pub struct Locator {
    identity: Arc<str>,
    domain: Box<str>,
    enabled: Enabled,
    stage: Stage,
    open: Vec<Open>,
    plans: Vec<Plan>,
    hosts: Vec<Host>,
    servers: Vec<Server>,
    ttl: Option<Duration>,
}

impl Locator {
    /// Begins to look for `destination` with the transports that are `enabled`.
    ///
    /// # Errors
    /// [`LocateError::Host`] and [`LocateError::Transport`]: there is nothing to ask.
    pub fn new(destination: &Destination<'_>, enabled: Enabled) -> Result<Self, LocateError> {
        let explicit = match (destination.transport, destination.sips || destination.federation) {
            (Some(Transport::Udp), true) => return Err(LocateError::Transport),
            (Some(Transport::Tls | Transport::Tcp), true) => Some(Transport::Tls),
            (explicit, _) => explicit,
        };
        let tls_only = destination.sips || destination.federation;
        if explicit.is_some_and(|transport| !enabled.has(transport)) || (tls_only && !enabled.tls) {
            return Err(LocateError::Transport);
        }
        let mut locator = Self {
            identity: destination.identity.into(),
            domain: Box::default(),
            enabled: if tls_only { Enabled { tls: true, tcp: false, udp: false } } else { enabled },
            stage: Stage::Address,
            open: Vec::new(),
            plans: Vec::new(),
            hosts: Vec::new(),
            servers: Vec::new(),
            ttl: None,
        };
        let implied = locator.default_transport(destination.port, &[]);
        let transport = explicit.or(implied).ok_or(LocateError::Transport)?;
        if let Some(ip) = literal(destination.host) {
            locator.numeric(ip, destination.port, transport);
            return Ok(locator);
        }
        locator.domain = dns_name(destination.host).ok_or(LocateError::Host)?.into();
        if let Some(port) = destination.port {
            locator.ask_addresses([(locator.domain.clone(), port)], transport);
        } else if destination.federation {
            let federation = format!("_sipfederationtls._tcp.{}", locator.domain);
            locator.plan(federation.into(), Transport::Tls);
            locator.plan_service(Transport::Tls);
            locator.ask_plans();
        } else if let Some(transport) = explicit {
            locator.plan_service(transport);
            locator.ask_plans();
        } else {
            locator.stage = Stage::Naptr;
            locator.ask(About::Naptr, Question::Naptr(locator.domain.clone()));
        }
        Ok(locator)
    }

    /// A question that was not handed out yet. All that come now may be asked at once.
    pub fn next_question(&mut self) -> Option<(Asked, &Question)> {
        let at = self.open.iter().position(|open| !open.handed_out)?;
        let open = self.open.get_mut(at)?;
        open.handed_out = true;
        Some((Asked(at), &open.question))
    }

    /// The answer to a question and how long it holds. An answer of another type counts as none;
    /// a second answer and one to a question that no longer matters change nothing. `ids` decides
    /// among SRV records of one priority.
    pub fn answer(&mut self, asked: Asked, answer: Answer<'_>, ttl: Duration, ids: &mut Ids) {
        let Some(open) = self.open.get_mut(asked.0).filter(|open| !open.answered) else { return };
        open.answered = true;
        let about = open.about;
        match (about, answer) {
            (About::Naptr, Answer::Naptr(records)) => {
                self.on_naptr(records);
                self.hold(ttl);
            }
            (About::Naptr, Answer::Srv(_) | Answer::Address(_) | Answer::Nothing | Answer::Failed) => {}
            (About::Plan(at), answer) => {
                let outcome = match answer {
                    Answer::Srv(records) => {
                        self.hold(ttl);
                        on_srv(records, ids)
                    }
                    Answer::Naptr(_) | Answer::Address(_) | Answer::Nothing => Outcome::Nothing,
                    Answer::Failed => Outcome::Failed,
                };
                if let Some(plan) = self.plans.get_mut(at) {
                    plan.outcome = outcome;
                }
            }
            (About::Host(at), answer) => {
                if let Answer::Address(addresses) = answer
                    && !addresses.is_empty()
                {
                    self.hold(ttl);
                    if let Some(host) = self.hosts.get_mut(at) {
                        host.addresses = addresses.iter().take(MAX_ADDRESSES).copied().collect();
                    }
                } else if let Some(host) = self.hosts.get_mut(at) {
                    host.failed = matches!(answer, Answer::Failed);
                }
            }
        }
        self.advance();
    }

    /// Time is up: what was not answered counts as failed.
    pub fn give_up(&mut self, ids: &mut Ids) {
        // A stage that ends may ask again; each pass answers all of one stage, and there are three.
        while let Some(at) = self.open.iter().position(|open| !open.answered) {
            self.answer(Asked(at), Answer::Failed, Duration::ZERO, ids);
        }
    }

    /// What was found, once all that matters is answered.
    pub fn outcome(&self) -> Option<&Result<Located, LocateError>> {
        match &self.stage {
            Stage::Done(outcome) => Some(outcome),
            Stage::Naptr | Stage::Srv | Stage::Address => None,
        }
    }

    /// As [`Self::outcome`], by value; [`LocateError::Unanswered`] before there is one.
    pub fn into_outcome(self) -> Result<Located, LocateError> {
        match self.stage {
            Stage::Done(outcome) => outcome,
            Stage::Naptr | Stage::Srv | Stage::Address => Err(LocateError::Unanswered),
        }
    }

    /// The transport where the URI says none (RFC 3263 §4.1): UDP for SIP if we speak it, else what
    /// the port suggests; TLS for SIPS. Without those that DNS `denied`.
    fn default_transport(&self, port: Option<u16>, denied: &[Transport]) -> Option<Transport> {
        let order = match port {
            Some(5061) | None => [Transport::Udp, Transport::Tls, Transport::Tcp],
            Some(_) => [Transport::Udp, Transport::Tcp, Transport::Tls],
        };
        order.into_iter().find(|transport| self.enabled.has(*transport) && !denied.contains(transport))
    }

    fn numeric(&mut self, ip: IpAddr, port: Option<u16>, transport: Transport) {
        let address = SocketAddr::new(ip, port.unwrap_or(transport.port()));
        let host = Arc::from(ip.to_string());
        let target = Target { identity: self.identity.clone(), host, address, transport };
        self.stage = Stage::Done(Ok(Located { targets: vec![target], ttl: NUMERIC_TTL }));
    }

    fn ask(&mut self, about: About, question: Question) {
        self.open.push(Open { about, question, handed_out: false, answered: false });
    }

    fn plan(&mut self, name: Box<str>, transport: Transport) {
        self.plans.push(Plan { name, transport, outcome: Outcome::Waiting });
    }

    fn plan_service(&mut self, transport: Transport) {
        self.plan(format!("{}{}", transport.service(), self.domain).into(), transport);
    }

    fn ask_plans(&mut self) {
        self.stage = Stage::Srv;
        for at in 0..self.plans.len() {
            let name = self.plans.get(at).map(|plan| plan.name.clone()).unwrap_or_default();
            self.ask(About::Plan(at), Question::Srv(name));
        }
    }

    fn ask_addresses(&mut self, servers: impl IntoIterator<Item = (Box<str>, u16)>, transport: Transport) {
        self.stage = Stage::Address;
        for (name, port) in servers.into_iter().take(MAX_TARGETS) {
            let known = self.hosts.iter().position(|host| host.name.eq_ignore_ascii_case(&name));
            let host = known.unwrap_or_else(|| {
                self.hosts.push(Host { name: (&*name).into(), addresses: Vec::new(), failed: false });
                let at = self.hosts.len() - 1;
                self.ask(About::Host(at), Question::Address(name));
                at
            });
            self.servers.push(Server { host, port, transport });
        }
    }

    /// Keeps the records that name a transport of ours (RFC 3263 §4.1), best first.
    fn on_naptr(&mut self, records: &[Naptr<'_>]) {
        let mut usable: Vec<_> = records
            .iter()
            .filter(|record| record.flags.eq_ignore_ascii_case("s") && record.regexp.is_empty())
            .filter_map(|record| {
                let transport = match record.service {
                    name if name.eq_ignore_ascii_case("SIPS+D2T") => Transport::Tls,
                    name if name.eq_ignore_ascii_case("SIP+D2T") => Transport::Tcp,
                    name if name.eq_ignore_ascii_case("SIP+D2U") => Transport::Udp,
                    _ => return None,
                };
                let name = dns_name(record.replacement)?;
                self.enabled.has(transport).then_some((record.order, record.preference, transport, name))
            })
            .collect();
        usable.sort_by_key(|(order, preference, ..)| (*order, *preference));
        for (_, _, transport, name) in usable.into_iter().take(MAX_NAPTR) {
            self.plan(name.into(), transport);
        }
    }

    fn hold(&mut self, ttl: Duration) {
        self.ttl = Some(self.ttl.map_or(ttl, |known| known.min(ttl)));
    }

    /// Goes to the next stage when all questions of this one are answered.
    fn advance(&mut self) {
        if self.open.iter().any(|open| !open.answered) {
            return;
        }
        match self.stage {
            Stage::Naptr => {
                if self.plans.is_empty() {
                    for transport in [Transport::Tls, Transport::Tcp, Transport::Udp] {
                        if self.enabled.has(transport) {
                            self.plan_service(transport);
                        }
                    }
                }
                self.ask_plans();
            }
            Stage::Srv => self.choose(),
            Stage::Address => self.finish(),
            Stage::Done(_) => {}
        }
    }

    /// Takes the first plan with records. One way is used, not all: to go on to a plainer transport
    /// because the better one could not be reached or looked up would hand the choice to whoever
    /// can block it.
    fn choose(&mut self) {
        let mut denied = Vec::new();
        let mut failed = false;
        for at in 0..self.plans.len() {
            let Some(plan) = self.plans.get_mut(at) else { continue };
            let transport = plan.transport;
            match std::mem::replace(&mut plan.outcome, Outcome::Waiting) {
                Outcome::Found(servers) if !failed || transport == Transport::Tls => {
                    self.ask_addresses(servers, transport);
                    return;
                }
                Outcome::Found(_) | Outcome::Nothing | Outcome::Waiting => {}
                Outcome::NotOffered => denied.push(transport),
                Outcome::Failed => failed = true,
            }
        }
        if failed {
            self.stage = Stage::Done(Err(LocateError::Unanswered));
            return;
        }
        // No SRV records: the domain's own addresses (RFC 3263 §4.2), at the transport that was
        // planned for, or the default one.
        let planned = match self.plans.as_slice() {
            [only] => Some(only.transport),
            _ => None,
        };
        let transport = match planned {
            Some(transport) => (!denied.contains(&transport)).then_some(transport),
            None => self.default_transport(None, &denied),
        };
        match transport {
            Some(transport) => self.ask_addresses([(self.domain.clone(), transport.port())], transport),
            None => self.stage = Stage::Done(Err(LocateError::NotOffered)),
        }
    }

    fn finish(&mut self) {
        let mut targets = Vec::new();
        for server in &self.servers {
            let Some(host) = self.hosts.get(server.host) else { continue };
            for ip in &host.addresses {
                let target = Target {
                    identity: self.identity.clone(),
                    host: host.name.clone(),
                    address: SocketAddr::new(*ip, server.port),
                    transport: server.transport,
                };
                if targets.len() < MAX_TARGETS && !targets.contains(&target) {
                    targets.push(target);
                }
            }
        }
        let outcome = match targets.is_empty() {
            false => Ok(Located { targets, ttl: self.ttl.unwrap_or(NUMERIC_TTL) }),
            true if self.hosts.iter().any(|host| host.failed) => Err(LocateError::Unanswered),
            true => Err(LocateError::NotFound),
        };
        self.stage = Stage::Done(outcome);
    }
}

/// What SRV records say: servers in the order to try them.
fn on_srv(records: &[Srv<'_>], ids: &mut Ids) -> Outcome {
    if let [only] = records
        && only.target == "."
    {
        return Outcome::NotOffered;
    }
    let usable = records.iter().filter(|record| record.port != 0 && literal(record.target).is_none());
    let usable: Vec<_> =
        usable.filter_map(|record| dns_name(record.target).map(|name| (record, name))).collect();
    if usable.is_empty() {
        return Outcome::Nothing;
    }
    let servers = srv::ordered(usable, |(record, _)| (record.priority, record.weight), ids);
    Outcome::Found(
        servers.into_iter().take(MAX_TARGETS).map(|(record, name)| (name.into(), record.port)).collect(),
    )
}

#[cfg(test)]
mod tests;
