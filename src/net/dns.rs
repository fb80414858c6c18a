//! Questions to the DNS: SRV, NAPTR and addresses, bounded in time and number.
//!
//! What to ask next and in which order to try the answers is decided elsewhere: `srv` for XMPP,
//! `sip::locate` for SIP. Answers are cached by their TTL inside the resolver.

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::Proof;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::srv::Srv;

/// Records of one answer that are read.
const MAX_RECORDS: usize = 100;
/// Addresses of one host that are given.
pub const MAX_ADDRESSES: usize = 8;
/// How long "there is none" is believed at most, so that a partner's mistake heals soon.
const NEGATIVE_TTL: Duration = Duration::from_secs(300);
const POSITIVE_TTL: Duration = Duration::from_secs(24 * 3600);

/// How to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSettings {
    /// The servers; empty: those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// Whether answers are validated by DNSSEC from the root. What is bogus is then a failure.
    pub dnssec: bool,
    /// Whether a partner that is found by DNS may live on a private network, or on this machine.
    pub private_addresses: bool,
    /// Our own public addresses, refused as a partner's like private ones.
    pub own_addresses: Vec<IpAddr>,
    /// Whether `/etc/hosts` is asked first.
    pub hosts_file: bool,
    /// How long one question may take, retries and all.
    pub timeout: Duration,
}

impl Default for DnsSettings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            dnssec: false,
            private_addresses: false,
            own_addresses: Vec::new(),
            hosts_file: true,
            timeout: Duration::from_secs(6),
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsFault {
    /// Not a name that can be asked for.
    #[error("not a DNS name")]
    BadName,
    /// There is no such name (NXDOMAIN).
    #[error("no such name")]
    NoSuchName,
    /// The name is there, but has no records of this type.
    #[error("no such records")]
    NoRecords,
    /// DNSSEC says that the answer is forged or broken.
    #[error("DNSSEC validation failed")]
    Bogus,
    /// No server answered in time.
    #[error("no answer in time")]
    Timeout,
    /// The servers answered with an error, or could not be reached.
    #[error("lookup failed: {0}")]
    Failed(String),
}

impl DnsFault {
    /// Whether it is certain that there is nothing, in contrast to not known.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::NoSuchName | Self::NoRecords => true,
            Self::BadName | Self::Bogus | Self::Timeout | Self::Failed(_) => false,
        }
    }
}

/// What the DNS said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The records, at least one, in no order that means anything.
    pub records: Vec<T>,
    /// Whether DNSSEC vouches for every one of them.
    pub secure: bool,
    /// How long it may be used.
    pub ttl: Duration,
}

/// A NAPTR record (RFC 3403), its strings as they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naptr {
    /// Lower goes first, and must.
    pub order: u16,
    /// Lower goes first, and should.
    pub preference: u16,
    /// `s`, `a`, `u` or `p`, in lower case.
    pub flags: String,
    /// For instance `SIPS+D2T`, in upper case.
    pub services: String,
    /// A substitution; empty for the records of RFC 3263.
    pub regexp: String,
    /// The next name, without the final dot.
    pub replacement: Box<str>,
}

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up DNS{}: {reason}", if *.system { " from /etc/resolv.conf" } else { "" })]
pub struct DnsSetupError {
    system: bool,
    reason: String,
}

/// The resolver. Clones share its cache. Its work runs on the runtime that asks.
#[derive(Clone, Debug)]
pub struct Dns {
    resolver: TokioResolver,
    settings: Arc<DnsSettings>,
    counts: Arc<DnsCounts>,
}

/// How many questions were asked, and what came of them. They are asked on the edge's thread and read on
/// another: so they are atomic.
#[derive(Debug, Default)]
pub struct DnsCounts([[AtomicU64; DnsCounts::RESULTS.len()]; DnsCounts::TYPES.len()]);

impl DnsCounts {
    const TYPES: [(&str, RecordType); 4] = [
        ("A", RecordType::A),
        ("AAAA", RecordType::AAAA),
        ("SRV", RecordType::SRV),
        ("NAPTR", RecordType::NAPTR),
    ];
    const RESULTS: [&str; 5] = ["found", "absent", "bogus", "timeout", "failed"];

    fn add<T>(&self, kind: RecordType, outcome: &Result<T, DnsFault>) {
        let result = match outcome {
            Ok(_) => 0,
            Err(DnsFault::NoSuchName | DnsFault::NoRecords) => 1,
            Err(DnsFault::Bogus) => 2,
            Err(DnsFault::Timeout) => 3,
            Err(DnsFault::Failed(_) | DnsFault::BadName) => 4,
        };
        let row = Self::TYPES.iter().position(|(_, known)| *known == kind).and_then(|at| self.0.get(at));
        if let Some(count) = row.and_then(|row| row.get(result)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Type of record, result, and how many.
    pub fn read(&self) -> Vec<(&'static str, &'static str, u64)> {
        let rows = Self::TYPES.iter().zip(&self.0).flat_map(|((kind, _), row)| {
            let counts = Self::RESULTS.iter().zip(row);
            counts.map(|(result, count)| (*kind, *result, count.load(Ordering::Relaxed)))
        });
        rows.collect()
    }
}

impl Dns {
    /// A resolver with an empty cache.
    ///
    /// # Errors
    /// The system has no usable `/etc/resolv.conf`.
    pub fn new(settings: DnsSettings) -> Result<Self, DnsSetupError> {
        let system = settings.servers.is_empty();
        let setup = |error: NetError| DnsSetupError { system, reason: error.to_string() };
        let mut builder = if system {
            TokioResolver::builder_tokio().map_err(setup)?
        } else {
            let servers = settings.servers.iter().map(|server| name_server(*server)).collect();
            let config = ResolverConfig::from_name_servers(servers);
            Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.validate = settings.dnssec;
        options.use_hosts_file = if settings.hosts_file { ResolveHosts::Always } else { ResolveHosts::Never };
        options.attempts = 2;
        options.timeout = settings.timeout / 3;
        options.negative_max_ttl = Some(NEGATIVE_TTL);
        options.positive_max_ttl = Some(POSITIVE_TTL);
        Ok(Self {
            resolver: builder.build().map_err(setup)?,
            settings: Arc::new(settings),
            counts: Arc::default(),
        })
    }

    /// How many questions were asked by this and its clones.
    pub fn counts(&self) -> &DnsCounts {
        &self.counts
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &DnsSettings {
        &self.settings
    }

    /// The SRV records of `name`, for instance `_xmpp-server._tcp.example.org` (A-labels).
    ///
    /// # Errors
    /// See [`DnsFault`].
    pub async fn srv(&self, name: &str) -> Result<Answer<Srv>, DnsFault> {
        self.ask(name, RecordType::SRV, |record| match record {
            RData::SRV(srv) => Some(Srv {
                priority: srv.priority,
                weight: srv.weight,
                port: srv.port,
                target: plain(&srv.target),
            }),
            _ => None,
        })
        .await
    }

    /// The NAPTR records of `name` (A-labels).
    ///
    /// # Errors
    /// See [`DnsFault`].
    pub async fn naptr(&self, name: &str) -> Result<Answer<Naptr>, DnsFault> {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        self.ask(name, RecordType::NAPTR, |record| match record {
            RData::NAPTR(naptr) => Some(Naptr {
                order: naptr.order,
                preference: naptr.preference,
                flags: text(&naptr.flags).to_ascii_lowercase(),
                services: text(&naptr.services).to_ascii_uppercase(),
                regexp: text(&naptr.regexp),
                replacement: plain(&naptr.replacement),
            }),
            _ => None,
        })
        .await
    }

    /// The addresses of `host` (A-labels, or an address as text): IPv6 and IPv4 in turn, at most
    /// [`MAX_ADDRESSES`]. Private ones are among them: see [`Dns::may_dial`].
    ///
    /// # Errors
    /// See [`DnsFault`]; one family is enough.
    pub async fn addresses(&self, host: &str) -> Result<Answer<IpAddr>, DnsFault> {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(Answer { records: vec![ip], secure: false, ttl: POSITIVE_TTL });
        }
        let six = self.ask(host, RecordType::AAAA, |record| match record {
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        });
        let four = self.ask(host, RecordType::A, |record| match record {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            _ => None,
        });
        both_families(tokio::join!(six, four))
    }

    /// Whether an address that DNS gave for a partner may be dialled. Not so, unless private
    /// addresses are allowed: this machine, private networks, and everything else that is not on the
    /// Internet.
    pub fn may_dial(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.settings.private_addresses || (is_public(ip) && !self.settings.own_addresses.contains(&ip))
    }

    async fn ask<T>(
        &self,
        name: &str,
        kind: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, DnsFault> {
        let outcome = self.look_up(name, kind, read).await;
        self.counts.add(kind, &outcome);
        outcome
    }

    async fn look_up<T>(
        &self,
        name: &str,
        kind: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Result<Answer<T>, DnsFault> {
        let mut name = Name::from_ascii(name).map_err(|_| DnsFault::BadName)?;
        // Never the search domains of this machine.
        name.set_fqdn(true);
        let found = tokio::time::timeout(self.settings.timeout, self.resolver.lookup(name, kind)).await;
        let lookup = found.map_err(|_| DnsFault::Timeout)?.map_err(fault)?;
        answer(&lookup, self.settings.dnssec, read)
    }
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
    udp.port = server.port();
    tcp.port = server.port();
    NameServerConfig::new(server.ip(), true, vec![udp, tcp])
}

fn answer<T>(
    lookup: &Lookup,
    validated: bool,
    read: impl Fn(&RData) -> Option<T>,
) -> Result<Answer<T>, DnsFault> {
    let mut secure = validated;
    let mut records = Vec::new();
    for record in lookup.answers().iter().take(MAX_RECORDS) {
        if record.proof == Proof::Bogus {
            return Err(DnsFault::Bogus);
        }
        secure &= record.proof == Proof::Secure;
        records.extend(read(&record.data));
    }
    if records.is_empty() {
        return Err(DnsFault::NoRecords);
    }
    Ok(Answer { records, secure, ttl: lookup.valid_until().saturating_duration_since(Instant::now()) })
}

fn fault(error: NetError) -> DnsFault {
    if error.is_nx_domain() {
        return DnsFault::NoSuchName;
    }
    match error {
        NetError::Dns(DnsError::NoRecordsFound(_)) => DnsFault::NoRecords,
        NetError::Dns(DnsError::DnssecBogus) => DnsFault::Bogus,
        NetError::Dns(DnsError::Nsec { response, proof, .. }) => match proof {
            Proof::Secure | Proof::Insecure if response.answers.is_empty() => {
                if response.response_code == ResponseCode::NXDomain {
                    DnsFault::NoSuchName
                } else {
                    DnsFault::NoRecords
                }
            }
            Proof::Bogus => DnsFault::Bogus,
            Proof::Secure | Proof::Insecure | Proof::Indeterminate => {
                DnsFault::Failed("no proof by DNSSEC".to_owned())
            }
        },
        NetError::Timeout => DnsFault::Timeout,
        other => DnsFault::Failed(other.to_string()),
    }
}

type Family = Result<Answer<IpAddr>, DnsFault>;

fn both_families((six, four): (Family, Family)) -> Family {
    match (six, four) {
        (Ok(six), Ok(four)) => {
            let (mut sixes, mut fours) = (six.records.into_iter(), four.records.into_iter());
            let mut records = Vec::with_capacity(MAX_ADDRESSES);
            while records.len() < MAX_ADDRESSES {
                let before = records.len();
                records.extend(sixes.next());
                records.extend(fours.next());
                if records.len() == before {
                    break;
                }
            }
            Ok(Answer { records, secure: six.secure && four.secure, ttl: six.ttl.min(four.ttl) })
        }
        (Ok(mut one), Err(_)) | (Err(_), Ok(mut one)) => {
            one.records.truncate(MAX_ADDRESSES);
            Ok(one)
        }
        // What is not known outweighs what is not there.
        (Err(six), Err(four)) => Err(match (six.is_absent(), four.is_absent()) {
            (true, false) => four,
            (true, true) if four == DnsFault::NoSuchName => four,
            (true, true) | (false, _) => six,
        }),
    }
}

/// A name without its final dot, in lower case; empty for the root.
fn plain(name: &Name) -> Box<str> {
    let text = name.to_ascii().to_ascii_lowercase();
    text.strip_suffix('.').unwrap_or(&text).into()
}

/// Whether an address is on the Internet: not this machine, not a private or local network, not a
/// group. Addresses for documentation count as on the Internet: they lead nowhere.
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(four) => is_public_v4(four),
        IpAddr::V6(six) => is_public_v6(six),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let octets = ip.octets();
    // 0.0.0.0/8, shared 100.64.0.0/10, IETF protocols 192.0.0.0/24, benchmarks 198.18.0.0/15,
    // reserved 240.0.0.0/4 (RFC 6890).
    let special = matches!(
        octets,
        [0, ..] | [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] | [240..=255, ..]
    );
    !(special || ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_multicast())
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let segments = ip.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) lead to the IPv4 address inside.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        // Teredo (RFC 4380) and local NAT64 (RFC 8215).
        [0x2001, 0, ..] | [0x64, 0xff9b, 1, ..] => false,
        // Global unicast and nothing else: not ::, ::1, v4-compatible, fc00::/7, fe80::/10, ff00::/8.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn threat_159_only_addresses_of_the_internet_are_public() {
        for private in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:c0a8:101::1",
            "2001::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.2.4",
            "198.17.0.1",
            "198.20.0.1",
            "203.0.113.9",
            "223.255.255.1",
            "::ffff:203.0.113.9",
            "64:ff9b::cb00:7109",
            "2002:cb00:7109::1",
            "2001:db8::1",
            "2606:4700::1111",
            "3fff::1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn threat_159_private_and_own_addresses_are_dialled_only_if_the_operator_says_so() {
        let own: IpAddr = "203.0.113.9".parse().unwrap();
        let servers = vec!["127.0.0.1:1".parse().unwrap()];
        let settings = DnsSettings { servers, own_addresses: vec![own], ..DnsSettings::default() };
        let strict = Dns::new(settings.clone()).unwrap();
        let lax = Dns::new(DnsSettings { private_addresses: true, ..settings }).unwrap();
        for (address, strictly) in [
            ("203.0.113.10", true),
            ("203.0.113.9", false),
            ("::ffff:203.0.113.9", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(strict.may_dial(address.parse().unwrap()), strictly, "{address}");
            assert!(lax.may_dial(address.parse().unwrap()), "{address}");
        }
    }

    fn family(list: &[&str]) -> Family {
        let records = list.iter().map(|ip| ip.parse().unwrap()).collect();
        Ok(Answer { records, secure: false, ttl: Duration::from_secs(9) })
    }

    #[test]
    fn families_take_turns_and_one_is_enough() {
        let given = |six: Family, four: Family| {
            both_families((six, four)).map(|a| a.records.iter().map(IpAddr::to_string).collect::<Vec<_>>())
        };
        let got = given(family(&["2001:db8::1"]), family(&["192.0.2.1", "192.0.2.2"]));
        assert_eq!(got.unwrap(), ["2001:db8::1", "192.0.2.1", "192.0.2.2"]);
        assert_eq!(given(Err(DnsFault::Timeout), family(&["192.0.2.1"])).unwrap().len(), 1);
        assert_eq!(given(family(&["::2"; 50]), family(&["192.0.2.1"; 50])).unwrap().len(), MAX_ADDRESSES);
        assert_eq!(given(family(&["::2"; 50]), Err(DnsFault::NoRecords)).unwrap().len(), MAX_ADDRESSES);
    }

    #[test]
    fn threat_158_of_one_answer_a_hundred_records_are_read() {
        use hickory_resolver::proto::op::Query;
        use hickory_resolver::proto::rr::{Record, rdata::A};
        let name = Name::from_ascii("im.example.").unwrap();
        let lookup_of = |count: u32| {
            let record =
                |n: u32| Record::from_rdata(name.clone(), 60, RData::A(A(Ipv4Addr::from(0xc000_0200 + n))));
            Lookup::new_with_max_ttl(Query::query(name.clone(), RecordType::A), (0..count).map(record))
        };
        let read = |count| {
            let seen = std::cell::Cell::new(0);
            let answer = answer(&lookup_of(count), false, |record| {
                seen.set(seen.get() + 1);
                record.ip_addr()
            });
            (answer.unwrap(), seen.get())
        };
        for count in [100, 101, 5000] {
            let (answer, seen) = read(count);
            assert_eq!((answer.records.len(), seen), (100, 100), "of {count}");
            assert_eq!(answer.records[99], "192.0.2.99".parse::<IpAddr>().unwrap());
        }
        assert_eq!(read(99).0.records.len(), 99);
    }

    #[test]
    fn what_is_not_known_outweighs_what_is_not_there() {
        use DnsFault::{Bogus, NoRecords, NoSuchName, Timeout};
        let fault = |six: &DnsFault, four: &DnsFault| {
            both_families((Err(six.clone()), Err(four.clone()))).unwrap_err()
        };
        assert_eq!(fault(&NoRecords, &Timeout), Timeout);
        assert_eq!(fault(&Bogus, &NoRecords), Bogus);
        assert_eq!(fault(&NoRecords, &NoSuchName), NoSuchName);
        assert_eq!(fault(&NoRecords, &NoRecords), NoRecords);
        assert!(
            NoSuchName.is_absent() && NoRecords.is_absent() && !Bogus.is_absent() && !Timeout.is_absent()
        );
    }
}
