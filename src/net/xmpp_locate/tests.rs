//! Against a name server of our own that may be hostile, and against dnsmasq.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::ids::Owner;
use crate::net::dns::DnsSettings;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::UdpSocket;

/// What the server does about a question.
enum Reply {
    Records(Vec<RData>),
    NoSuchName,
    NoRecords,
    Code(ResponseCode),
    Octets(Vec<u8>),
    /// The right records, but for another question.
    OtherQuestion(RData),
    Silence,
}

struct FakeDns {
    addr: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl FakeDns {
    async fn start(zone: impl Fn(&str, RecordType) -> Reply + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let server = Self { addr: socket.local_addr().unwrap(), asked: Arc::default() };
        let asked = Arc::clone(&server.asked);
        tokio::spawn(async move {
            let mut octets = [0; 4096];
            loop {
                let (length, from) = socket.recv_from(&mut octets).await.unwrap();
                asked.fetch_add(1, Ordering::Relaxed);
                let query = Message::from_vec(&octets[..length]).unwrap();
                let question = query.queries[0].clone();
                let name = question.name().to_ascii().to_ascii_lowercase();
                let mut response = Message::response(query.metadata.id, query.metadata.op_code);
                response.add_query(question.clone());
                let answer = |rdata| Record::from_rdata(question.name().clone(), 60, rdata);
                match zone(name.trim_end_matches('.'), question.query_type()) {
                    Reply::Records(list) => response.insert_answers(list.into_iter().map(answer).collect()),
                    Reply::NoSuchName => response.metadata.response_code = ResponseCode::NXDomain,
                    Reply::NoRecords => {}
                    Reply::Code(code) => response.metadata.response_code = code,
                    Reply::OtherQuestion(rdata) => {
                        let other = Name::from_ascii("other.example.").unwrap();
                        response.queries[0].set_name(other.clone());
                        response.insert_answers(vec![Record::from_rdata(other, 60, rdata)]);
                    }
                    Reply::Octets(junk) => {
                        socket.send_to(&junk, from).await.unwrap();
                        continue;
                    }
                    Reply::Silence => continue,
                }
                socket.send_to(&response.to_vec().unwrap(), from).await.unwrap();
            }
        });
        server
    }

    fn dns(&self) -> Dns {
        Dns::new(DnsSettings { private_addresses: true, ..settings(self.addr) }).unwrap()
    }

    fn strict(&self) -> Dns {
        Dns::new(settings(self.addr)).unwrap()
    }
}

fn settings(server: SocketAddr) -> DnsSettings {
    DnsSettings {
        servers: vec![server],
        hosts_file: false,
        timeout: Duration::from_millis(900),
        ..DnsSettings::default()
    }
}

fn srv(priority: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, 1, port, Name::from_ascii(target).unwrap()))
}

fn four(text: &str) -> RData {
    RData::A(A(text.parse().unwrap()))
}

async fn find(dns: &Dns, domain: &str, proxy: Option<&Proxy>) -> Result<Vec<String>, LocateError> {
    let mut ids = Ids::new([5; 32], Owner::default());
    let domain = Domain::parse(domain).unwrap();
    let found = tokio::time::timeout(
        Duration::from_secs(5),
        locate(dns, &domain, proxy, Duration::from_secs(3), &mut ids),
    );
    let found = found.await.expect("the deadline holds")?;
    let mode = |mode| if mode == Mode::DirectTls { "direct" } else { "starttls" };
    Ok(found.iter().map(|t| format!("{} {} {}", mode(t.mode), t.host, t.addr)).collect())
}

#[tokio::test(flavor = "current_thread")]
async fn f73_check_117_both_services_are_one_list_in_order() {
    let server = FakeDns::start(|name, kind| match (name, kind) {
        ("_xmpps-server._tcp.xn--bcher-kva.example", RecordType::SRV) => {
            Reply::Records(vec![srv(20, 443, "B.example.")])
        }
        ("_xmpp-server._tcp.xn--bcher-kva.example", RecordType::SRV) => {
            Reply::Records(vec![srv(30, 5269, "c.example."), srv(10, 5269, "a.example.")])
        }
        ("a.example", RecordType::A) => Reply::Records(vec![four("192.0.2.1"), four("192.0.2.2")]),
        ("b.example", RecordType::A) => Reply::Records(vec![four("192.0.2.3")]),
        ("b.example", RecordType::AAAA) => {
            Reply::Records(vec![RData::AAAA(AAAA("2001:db8::3".parse().unwrap()))])
        }
        ("c.example", _) => Reply::NoSuchName,
        _ => Reply::NoRecords,
    })
    .await;
    let got = find(&server.strict(), "b\u{fc}cher.example", None).await.unwrap();
    let mut want = ["starttls a.example 192.0.2.1:5269", "starttls a.example 192.0.2.2:5269"]
        .map(str::to_owned)
        .to_vec();
    want.extend(["direct b.example [2001:db8::3]:443", "direct b.example 192.0.2.3:443"].map(str::to_owned));
    let mut sorted = got.clone();
    sorted[..2].sort_unstable();
    assert_eq!(sorted, want, "{got:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn without_srv_records_it_is_the_domain_itself_at_5269() {
    let server = FakeDns::start(|name, kind| match (name, kind) {
        ("im.example", RecordType::A) => Reply::Records(vec![four("192.0.2.1")]),
        ("im.example", _) => Reply::NoRecords,
        _ => Reply::NoSuchName,
    })
    .await;
    assert_eq!(
        find(&server.strict(), "im.example", None).await.unwrap(),
        ["starttls im.example 192.0.2.1:5269"]
    );
    assert_eq!(find(&server.strict(), "gone.example", None).await, Err(LocateError::NotFound));
    let asked = server.asked.load(Ordering::Relaxed);
    assert_eq!(
        find(&server.strict(), "192.0.2.7", None).await.unwrap(),
        ["starttls 192.0.2.7 192.0.2.7:5269"]
    );
    assert_eq!(find(&server.dns(), "[::1]", None).await.unwrap(), ["starttls [::1] [::1]:5269"]);
    assert_eq!(server.asked.load(Ordering::Relaxed), asked, "an address is not asked for");
}

#[tokio::test(flavor = "current_thread")]
async fn check_118_where_srv_records_are_the_addresses_are_never_asked() {
    let server = FakeDns::start(|name, kind| match (name, kind) {
        ("_xmpp-server._tcp.dot.example", RecordType::SRV) => Reply::Records(vec![srv(0, 0, ".")]),
        ("_xmpps-server._tcp.dots.example", RecordType::SRV) => Reply::Records(vec![srv(0, 0, ".")]),
        ("_xmpp-server._tcp.dead.example", RecordType::SRV) => {
            Reply::Records(vec![srv(0, 5269, "gone.example.")])
        }
        ("_xmpp-server._tcp.zero.example", RecordType::SRV) => Reply::Records(vec![srv(0, 0, "im.example.")]),
        ("dot.example" | "dots.example" | "dead.example" | "zero.example", kind) => {
            panic!("asked for {kind}")
        }
        _ => Reply::NoSuchName,
    })
    .await;
    assert_eq!(find(&server.dns(), "dot.example", None).await, Err(LocateError::NotOffered));
    assert_eq!(find(&server.dns(), "dots.example", None).await, Err(LocateError::NotOffered));
    let dead = find(&server.dns(), "dead.example", None).await;
    assert_eq!(dead, Err(LocateError::Unusable("gone.example".to_owned())));
    assert_eq!(
        find(&server.dns(), "zero.example", None).await,
        Err(LocateError::Unusable("port 0".to_owned()))
    );
}

#[tokio::test(flavor = "current_thread")]
async fn threat_159_private_addresses_are_refused_and_public_ones_beside_them_used() {
    let server = FakeDns::start(|name, kind| match (name, kind) {
        ("_xmpp-server._tcp.bad.example", RecordType::SRV) => {
            Reply::Records(vec![srv(0, 22, "localhost.example."), srv(1, 5269, "inside.example.")])
        }
        ("_xmpp-server._tcp.mixed.example", RecordType::SRV) => {
            Reply::Records(vec![srv(0, 5269, "mixed-host.example.")])
        }
        ("_xmpp-server._tcp.literal.example", RecordType::SRV) => {
            Reply::Records(vec![srv(0, 5269, "127.0.0.1.")])
        }
        ("localhost.example", RecordType::A) => Reply::Records(vec![four("127.0.0.1")]),
        ("inside.example", RecordType::A) => Reply::Records(vec![four("10.1.2.3")]),
        ("mixed-host.example", RecordType::A) => {
            Reply::Records(vec![four("169.254.169.254"), four("192.0.2.1")])
        }
        _ => Reply::NoRecords,
    })
    .await;
    let refused = find(&server.strict(), "bad.example", None).await.unwrap_err();
    assert!(matches!(refused, LocateError::NotPublic(_)), "{refused:?}");
    assert!(matches!(find(&server.strict(), "literal.example", None).await, Err(LocateError::NotPublic(_))));
    assert!(matches!(find(&server.strict(), "[::1]", None).await, Err(LocateError::NotPublic(_))));
    let mixed = find(&server.strict(), "mixed.example", None).await.unwrap();
    assert_eq!(mixed, ["starttls mixed-host.example 192.0.2.1:5269"]);
    assert_eq!(find(&server.dns(), "bad.example", None).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "current_thread")]
async fn a_proxy_goes_before_the_dns_of_the_domain_and_may_be_private() {
    let server = FakeDns::start(|name, kind| match (name, kind) {
        ("proxy.example", RecordType::A) => Reply::Records(vec![four("10.0.0.7")]),
        ("proxy.example", _) => Reply::NoRecords,
        ("nowhere.example", _) => Reply::NoSuchName,
        _ => panic!("asked for {name}"),
    })
    .await;
    let proxy = |host: &str| Proxy { host: host.into(), port: 5270 };
    let got = find(&server.strict(), "im.example", Some(&proxy("proxy.example"))).await.unwrap();
    assert_eq!(got, ["starttls proxy.example 10.0.0.7:5270"]);
    let got = find(&server.strict(), "im.example", Some(&proxy("127.0.0.1"))).await.unwrap();
    assert_eq!(got, ["starttls 127.0.0.1 127.0.0.1:5270"]);
    let got = find(&server.strict(), "im.example", Some(&proxy("nowhere.example"))).await;
    assert_eq!(got, Err(LocateError::NotFound));
}

#[tokio::test(flavor = "current_thread")]
async fn threat_158_errors_garbage_and_silence_end_in_an_error_in_time() {
    let server = FakeDns::start(|name, _| match name.rsplit('.').nth(1).unwrap() {
        "servfail" => Reply::Code(ResponseCode::ServFail),
        "refused" => Reply::Code(ResponseCode::Refused),
        "garbage" => Reply::Octets(vec![0xff; 300]),
        "short" => Reply::Octets(vec![1]),
        "other" => Reply::OtherQuestion(four("192.0.2.1")),
        _ => Reply::Silence,
    })
    .await;
    for domain in [
        "servfail.example",
        "refused.example",
        "garbage.example",
        "short.example",
        "other.example",
        "silent.example",
    ] {
        let before = server.asked.load(Ordering::Relaxed);
        let error = find(&server.dns(), domain, None).await.unwrap_err();
        assert!(
            matches!(&error, LocateError::Dns { name, .. } if name.ends_with(domain)),
            "{domain}: {error:?}"
        );
        let asked = server.asked.load(Ordering::Relaxed) - before;
        assert!(asked <= 12, "{domain}: {asked} questions");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn threat_158_a_failed_lookup_is_not_taken_for_no_srv_records() {
    let server = FakeDns::start(|name, kind| match (name, kind) {
        ("im.example", RecordType::A) => Reply::Records(vec![four("192.0.2.1")]),
        ("_xmpp-server._tcp.im.example", _) => Reply::Code(ResponseCode::ServFail),
        _ => Reply::NoRecords,
    })
    .await;
    assert!(matches!(find(&server.dns(), "im.example", None).await, Err(LocateError::Dns { .. })));
}

#[tokio::test(flavor = "current_thread")]
async fn threat_158_loops_and_floods_are_bounded() {
    let server = FakeDns::start(|name, kind| match (name, kind) {
        ("_xmpp-server._tcp.loop.example", RecordType::SRV) => Reply::Records(vec![RData::CNAME(CNAME(
            Name::from_ascii("_xmpp-server._tcp.pool.example.").unwrap(),
        ))]),
        ("_xmpp-server._tcp.pool.example", RecordType::SRV) => Reply::Records(vec![RData::CNAME(CNAME(
            Name::from_ascii("_xmpp-server._tcp.loop.example.").unwrap(),
        ))]),
        ("_xmpp-server._tcp.many.example", RecordType::SRV) => {
            Reply::Records((0..40).map(|n| srv(n, 5269, &format!("h{n}.e."))).collect())
        }
        ("_xmpp-server._tcp.dead.example", RecordType::SRV) => {
            Reply::Records((0..40).map(|n| srv(n, 5269, &format!("dead{n}.e."))).collect())
        }
        ("_xmpp-server._tcp.self.example", RecordType::SRV) => {
            Reply::Records(vec![srv(0, 5269, "_xmpp-server._tcp.self.example.")])
        }
        (host, RecordType::A) if host.starts_with('h') => {
            Reply::Records((0..40).map(|n| four(&format!("192.0.2.{n}"))).collect())
        }
        (host, _) if host.starts_with("dead") => Reply::Silence,
        _ => Reply::NoRecords,
    })
    .await;
    assert!(find(&server.dns(), "loop.example", None).await.is_err());
    assert!(server.asked.load(Ordering::Relaxed) < 40, "{:?}", server.asked);
    assert!(find(&server.dns(), "self.example", None).await.is_err());
    assert_eq!(find(&server.dns(), "many.example", None).await.unwrap().len(), MAX_DIALS);
    let before = server.asked.load(Ordering::Relaxed);
    assert!(matches!(find(&server.dns(), "dead.example", None).await, Err(LocateError::Dns { .. })));
    let asked = server.asked.load(Ordering::Relaxed) - before;
    assert!(asked <= 2 + 25 * 2 * 3, "{asked} questions");
}

#[tokio::test(flavor = "current_thread")]
async fn the_answers_are_told_apart() {
    let server = FakeDns::start(|name, kind| match (name, kind) {
        ("here.example", RecordType::A) => Reply::Records(vec![four("192.0.2.1")]),
        ("here.example", _) => Reply::NoRecords,
        ("broken.example", _) => Reply::Code(ResponseCode::ServFail),
        _ => Reply::NoSuchName,
    })
    .await;
    let dns = server.dns();
    assert_eq!(dns.srv("here.example").await, Err(DnsFault::NoRecords));
    assert_eq!(dns.naptr("gone.example").await, Err(DnsFault::NoSuchName));
    assert!(matches!(dns.addresses("broken.example").await, Err(DnsFault::Failed(_))));
    assert_eq!(dns.addresses("a..b").await, Err(DnsFault::BadName));
    assert_eq!(dns.addresses(&"a".repeat(64)).await, Err(DnsFault::BadName));
    let found = dns.addresses("here.example").await.unwrap();
    assert!(
        !found.secure && found.ttl <= Duration::from_secs(60) && found.ttl > Duration::from_secs(50),
        "{found:?}"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn with_dnssec_an_answer_that_nothing_vouches_for_is_not_believed() {
    let server = FakeDns::start(|name, kind| match (name, kind) {
        ("here.example", RecordType::A) => Reply::Records(vec![four("192.0.2.1")]),
        _ => Reply::NoRecords,
    })
    .await;
    assert!(server.dns().addresses("here.example").await.is_ok());
    let strict = Dns::new(DnsSettings { dnssec: true, ..settings(server.addr) }).unwrap();
    let fault = strict.addresses("here.example").await.unwrap_err();
    assert!(matches!(fault, DnsFault::Bogus), "{fault:?}");
    assert!(matches!(find(&strict, "here.example", None).await, Err(LocateError::Dns { .. })));
}

/// dnsmasq on a free port of loopback, as whoever runs the tests.
struct Dnsmasq(Child, SocketAddr);

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Dnsmasq {
    async fn start(records: &[&str]) -> Option<Self> {
        let path = ["/usr/sbin/dnsmasq", "/usr/local/sbin/dnsmasq", "/usr/bin/dnsmasq"];
        let Some(path) = path.into_iter().find(|path| std::path::Path::new(path).exists()) else {
            println!("SKIP: dnsmasq is not installed (Debian: dnsmasq-base)");
            return None;
        };
        // A port that was free a moment ago; who loses the race tries another.
        for _ in 0..5 {
            let addr = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            let port = format!("--port={}", addr.port());
            let fixed = [
                "--keep-in-foreground",
                "--conf-file=/dev/null",
                "--no-resolv",
                "--no-hosts",
                "--local=/example/",
            ];
            let bind = [
                "--listen-address=127.0.0.1",
                "--bind-interfaces",
                "--pid-file=",
                "--user=",
                "--group=",
                &port,
            ];
            let child = Command::new(path).args(fixed).args(bind).args(records).stderr(Stdio::null()).spawn();
            let mut server = Self(child.unwrap(), addr);
            let dns = Dns::new(settings(addr)).unwrap();
            for _ in 0..50 {
                if dns.addresses("probe.example").await.is_ok() {
                    return Some(server);
                }
                if server.0.try_wait().unwrap().is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        panic!("dnsmasq did not come up");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn f73_check_118_against_dnsmasq() {
    let Some(server) = Dnsmasq::start(&[
        "--host-record=probe.example,192.0.2.99",
        "--srv-host=_xmpps-server._tcp.im.example,b.example,443,20,0",
        "--srv-host=_xmpp-server._tcp.im.example,a.example,5269,10,0",
        "--srv-host=_xmpp-server._tcp.none.example",
        "--host-record=none.example,192.0.2.50",
        "--host-record=a.example,192.0.2.1,2001:db8::1",
        "--host-record=b.example,192.0.2.2",
        "--host-record=plain.example,192.0.2.3",
        "--host-record=inside.example,192.168.0.1",
        "--naptr-record=plain.example,50,60,S,SIPS+d2t,,_sips._tcp.plain.example",
    ])
    .await
    else {
        return;
    };
    let dns = Dns::new(settings(server.1)).unwrap();
    assert_eq!(
        find(&dns, "im.example", None).await.unwrap(),
        [
            "starttls a.example [2001:db8::1]:5269",
            "starttls a.example 192.0.2.1:5269",
            "direct b.example 192.0.2.2:443"
        ]
    );
    assert_eq!(find(&dns, "none.example", None).await, Err(LocateError::NotOffered));
    assert_eq!(find(&dns, "plain.example", None).await.unwrap(), ["starttls plain.example 192.0.2.3:5269"]);
    assert_eq!(find(&dns, "absent.example", None).await, Err(LocateError::NotFound));
    assert!(matches!(find(&dns, "inside.example", None).await, Err(LocateError::NotPublic(_))));
    let naptr = dns.naptr("plain.example").await.unwrap().records;
    assert_eq!(
        (naptr[0].order, naptr[0].preference, &*naptr[0].flags, &*naptr[0].services),
        (50, 60, "s", "SIPS+D2T")
    );
    assert_eq!(&*naptr[0].replacement, "_sips._tcp.plain.example");
}

#[test]
fn check_110_what_dns_does_not_have_is_not_found_and_what_it_does_not_say_is_a_timeout() {
    use crate::xmpp::Condition;
    let dns = |fault| LocateError::Dns { name: "_xmpp-server._tcp.im.example".into(), fault };
    for fault in [DnsFault::Timeout, DnsFault::Bogus, DnsFault::Failed("SERVFAIL".into())] {
        assert_eq!(dns(fault).condition(), Condition::RemoteServerTimeout);
    }
    for error in [
        LocateError::NotFound,
        LocateError::NotOffered,
        LocateError::Unusable("im.example".into()),
        LocateError::NotPublic("127.0.0.1".parse().unwrap()),
        dns(DnsFault::NoSuchName),
    ] {
        assert_eq!(error.condition(), Condition::RemoteServerNotFound, "{error}");
    }
}
