#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::ids::Owner;

const ALL: Enabled = Enabled { tls: true, tcp: true, udp: true };
const TLS_TCP: Enabled = Enabled { tls: true, tcp: true, udp: false };
const TLS: Enabled = Enabled { tls: true, tcp: false, udp: false };
const TTL: Duration = Duration::from_secs(300);

/// A zone: what DNS says to each name.
#[derive(Default)]
struct Zone {
    naptr: Vec<(&'static str, Naptr<'static>)>,
    srv: Vec<(&'static str, Srv<'static>)>,
    address: Vec<(&'static str, &'static str)>,
    /// Names that are not answered.
    failing: Vec<&'static str>,
}

impl Zone {
    fn naptr(
        mut self,
        name: &'static str,
        order: u16,
        service: &'static str,
        replacement: &'static str,
    ) -> Self {
        let record = Naptr { order, preference: 50, flags: "s", service, regexp: "", replacement };
        self.naptr.push((name, record));
        self
    }

    fn srv(mut self, name: &'static str, priority: u16, port: u16, target: &'static str) -> Self {
        self.srv.push((name, Srv { priority, weight: 1, port, target }));
        self
    }

    fn address(mut self, name: &'static str, ip: &'static str) -> Self {
        self.address.push((name, ip));
        self
    }

    fn failing(mut self, name: &'static str) -> Self {
        self.failing.push(name);
        self
    }
}

/// Looks `destination` up in `zone`: the questions asked and what came of them.
fn locate(
    destination: Destination<'_>,
    enabled: Enabled,
    zone: &Zone,
) -> (Vec<String>, Result<Located, LocateError>) {
    let mut ids = Ids::new([1; 32], Owner::default());
    let mut asked = Vec::new();
    let mut locator = match Locator::new(&destination, enabled) {
        Ok(locator) => locator,
        Err(error) => return (asked, Err(error)),
    };
    while let Some((id, question)) = locator.next_question() {
        let question = question.clone();
        let (name, label) = match &question {
            Question::Naptr(name) => (name, format!("NAPTR {name}")),
            Question::Srv(name) => (name, format!("SRV {name}")),
            Question::Address(name) => (name, format!("A {name}")),
        };
        asked.push(label);
        if zone.failing.iter().any(|failing| **name == **failing) {
            locator.answer(id, Answer::Failed, TTL, &mut ids);
            continue;
        }
        let is = |known: &str| *known == **name;
        let naptr: Vec<_> =
            zone.naptr.iter().filter(|(known, _)| is(known)).map(|(_, record)| *record).collect();
        let srv: Vec<_> = zone.srv.iter().filter(|(known, _)| is(known)).map(|(_, record)| *record).collect();
        let address: Vec<_> =
            zone.address.iter().filter(|(known, _)| is(known)).map(|(_, ip)| ip.parse().unwrap()).collect();
        let answer = match &question {
            Question::Naptr(_) if !naptr.is_empty() => Answer::Naptr(&naptr),
            Question::Srv(_) if !srv.is_empty() => Answer::Srv(&srv),
            Question::Address(_) if !address.is_empty() => Answer::Address(&address),
            _ => Answer::Nothing,
        };
        locator.answer(id, answer, TTL, &mut ids);
    }
    (asked, locator.into_outcome())
}

fn uri(text: &str) -> Destination<'_> {
    Destination::of(&Uri::parse(text).unwrap()).unwrap()
}

fn spelt(outcome: Result<Located, LocateError>) -> Vec<String> {
    let spell = |target: &Target| format!("{:?} {}", target.transport, target.address);
    outcome.unwrap().targets.iter().map(spell).collect()
}

#[test]
fn check_158_a_numeric_host_asks_nothing() {
    let zone = Zone::default();
    for (text, enabled, target) in [
        ("sip:192.0.2.1", ALL, "Udp 192.0.2.1:5060"),
        ("sip:192.0.2.1", TLS_TCP, "Tls 192.0.2.1:5061"),
        ("sips:192.0.2.1", ALL, "Tls 192.0.2.1:5061"),
        ("sip:192.0.2.1:5070", ALL, "Udp 192.0.2.1:5070"),
        ("sip:192.0.2.1:5070", TLS_TCP, "Tcp 192.0.2.1:5070"),
        ("sip:192.0.2.1:5061", TLS_TCP, "Tls 192.0.2.1:5061"),
        ("sip:192.0.2.1;transport=tcp", ALL, "Tcp 192.0.2.1:5060"),
        ("sip:192.0.2.1;transport=TLS", ALL, "Tls 192.0.2.1:5061"),
        ("sips:192.0.2.1;transport=tcp", ALL, "Tls 192.0.2.1:5061"),
        ("sip:[2001:db8::1]:5070;transport=udp", ALL, "Udp [2001:db8::1]:5070"),
        ("sip:example.net;maddr=192.0.2.9;transport=tcp", ALL, "Tcp 192.0.2.9:5060"),
    ] {
        let (asked, outcome) = locate(uri(text), enabled, &zone);
        assert!(asked.is_empty(), "{text}");
        assert_eq!(spelt(outcome), [target], "{text}");
    }
}

#[test]
fn check_158_an_explicit_port_asks_for_addresses_alone() {
    let zone = Zone::default()
        .srv("_sip._tcp.example.net", 1, 5099, "wrong.example.net")
        .address("example.net", "192.0.2.1")
        .address("example.net", "2001:db8::1");
    let (asked, outcome) = locate(uri("sip:romeo@example.net:5060;transport=tcp"), ALL, &zone);
    assert_eq!(asked, ["A example.net"]);
    assert_eq!(spelt(outcome), ["Tcp 192.0.2.1:5060", "Tcp [2001:db8::1]:5060"], "in the order given");
    assert_eq!(spelt(locate(uri("sip:example.net:5060"), ALL, &zone).1)[0], "Udp 192.0.2.1:5060");
    assert_eq!(spelt(locate(uri("sips:example.net:5060"), ALL, &zone).1)[0], "Tls 192.0.2.1:5060");
}

#[test]
fn check_158_an_explicit_transport_asks_for_its_srv_name_alone() {
    let zone = Zone::default()
        .srv("_sip._tcp.example.net", 1, 5070, "sip.example.net")
        .srv("_sips._tcp.example.net", 1, 5071, "sip.example.net")
        .srv("_sip._udp.example.net", 1, 5072, "sip.example.net")
        .address("sip.example.net", "192.0.2.1");
    for (text, asked, target) in [
        ("sip:example.net;transport=tcp", "_sip._tcp", "Tcp 192.0.2.1:5070"),
        ("sip:example.net;transport=tls", "_sips._tcp", "Tls 192.0.2.1:5071"),
        ("sips:example.net;transport=tcp", "_sips._tcp", "Tls 192.0.2.1:5071"),
        ("sip:example.net.;transport=udp", "_sip._udp", "Udp 192.0.2.1:5072"),
    ] {
        let (questions, outcome) = locate(uri(text), ALL, &zone);
        assert_eq!(questions, [format!("SRV {asked}.example.net"), "A sip.example.net".to_owned()]);
        assert_eq!(spelt(outcome), [target], "{text}");
    }
    let bare = Zone::default().address("example.net", "192.0.2.8");
    let (_, outcome) = locate(uri("sip:example.net;transport=tls"), ALL, &bare);
    assert_eq!(spelt(outcome), ["Tls 192.0.2.8:5061"], "no SRV: the domain itself, default port");
}

fn full_zone() -> Zone {
    // The example of RFC 3263 §4.1.
    Zone::default()
        .naptr("example.com", 90, "SIP+D2T", "_sip._tcp.example.com")
        .naptr("example.com", 50, "SIPS+D2T", "_sips._tcp.example.com.")
        .naptr("example.com", 100, "SIP+D2U", "_sip._udp.example.com")
        .srv("_sips._tcp.example.com", 0, 5061, "server1.example.com.")
        .srv("_sip._tcp.example.com", 0, 5060, "server1.example.com")
        .srv("_sip._tcp.example.com", 1, 5060, "server2.example.com")
        .srv("_sip._udp.example.com", 0, 5060, "server2.example.com")
        .address("server1.example.com", "192.0.2.1")
        .address("server2.example.com", "192.0.2.2")
}

#[test]
fn check_158_naptr_then_srv_then_addresses() {
    let tcp_udp = Enabled { tls: false, tcp: true, udp: true };
    let (asked, outcome) = locate(uri("sip:user@example.com"), tcp_udp, &full_zone());
    assert_eq!(spelt(outcome), ["Tcp 192.0.2.1:5060", "Tcp 192.0.2.2:5060"], "RFC 3263 §4.1");
    assert_eq!(
        asked,
        [
            "NAPTR example.com",
            "SRV _sip._tcp.example.com",
            "SRV _sip._udp.example.com",
            "A server1.example.com",
            "A server2.example.com"
        ]
    );
    assert_eq!(spelt(locate(uri("sip:user@example.com"), ALL, &full_zone()).1), ["Tls 192.0.2.1:5061"]);
    let (asked, outcome) = locate(uri("sips:user@example.com"), ALL, &full_zone());
    assert_eq!(spelt(outcome), ["Tls 192.0.2.1:5061"]);
    assert_eq!(asked[1..], ["SRV _sips._tcp.example.com", "A server1.example.com"], "SIPS services alone");
}

#[test]
fn check_158_naptr_records_that_are_not_for_us_do_not_count() {
    let mut zone = full_zone();
    let odd = |flags, service, regexp, replacement| {
        ("example.com", Naptr { order: 1, preference: 1, flags, service, regexp, replacement })
    };
    zone.naptr.extend([
        odd("u", "SIPS+D2T", "", "_sips._tcp.bad.example"),
        odd("s", "SIPS+D2T", "!.*!sip:x@bad.example!", "_sips._tcp.bad.example"),
        odd("s", "SIPS+D2U", "", "_sips._udp.bad.example"),
        odd("s", "SIP+D2S", "", "_sip._sctp.bad.example"),
        odd("s", "E2U+sip", "", "bad.example"),
        odd("s", "SIPS+D2T", "", "."),
        odd("s", "SIPS+D2T", "", "bad example"),
    ]);
    let (asked, outcome) = locate(uri("sip:example.com"), ALL, &zone);
    assert_eq!(spelt(outcome), ["Tls 192.0.2.1:5061"]);
    assert!(asked.iter().all(|question| !question.contains("bad")), "{asked:?}");
}

#[test]
fn check_158_without_naptr_each_transport_has_its_srv_name_and_tls_is_preferred() {
    let mut zone = full_zone();
    zone.naptr.clear();
    let (asked, outcome) = locate(uri("sip:example.com"), ALL, &zone);
    assert_eq!(
        asked[1..4],
        ["SRV _sips._tcp.example.com", "SRV _sip._tcp.example.com", "SRV _sip._udp.example.com"]
    );
    assert_eq!(spelt(outcome), ["Tls 192.0.2.1:5061"]);
    zone.srv.retain(|(name, _)| *name != "_sips._tcp.example.com");
    assert_eq!(spelt(locate(uri("sip:example.com"), ALL, &zone).1)[0], "Tcp 192.0.2.1:5060");
    assert_eq!(locate(uri("sips:example.com"), ALL, &zone).1, Err(LocateError::NotFound));
}

#[test]
fn check_158_without_srv_the_domain_itself_is_the_server() {
    let zone = Zone::default().address("example.net", "192.0.2.1");
    for (text, enabled, target) in [
        ("sip:example.net", ALL, "Udp 192.0.2.1:5060"),
        ("sip:example.net", TLS_TCP, "Tls 192.0.2.1:5061"),
        ("sips:example.net", ALL, "Tls 192.0.2.1:5061"),
        ("sip:example.net", Enabled { tls: false, tcp: true, udp: false }, "Tcp 192.0.2.1:5060"),
    ] {
        assert_eq!(spelt(locate(uri(text), enabled, &zone).1), [target], "{text}");
    }
    assert_eq!(locate(uri("sip:example.net"), ALL, &Zone::default()).1, Err(LocateError::NotFound));
}

fn federation(host: &'static str) -> Destination<'static> {
    Destination { federation: true, ..uri(Box::leak(format!("sip:{host}").into_boxed_str())) }
}

#[test]
fn f95_a_federation_partner_is_found_by_its_own_srv_name() {
    let zone = Zone::default()
        .srv("_sipfederationtls._tcp.contoso.com", 0, 5061, "sip.contoso.com")
        .srv("_sips._tcp.contoso.com", 0, 5071, "other.contoso.com")
        .srv("_sip._tcp.contoso.com", 0, 5060, "plain.contoso.com")
        .address("sip.contoso.com", "192.0.2.1")
        .address("other.contoso.com", "192.0.2.2");
    let (asked, outcome) = locate(federation("contoso.com"), ALL, &zone);
    let located = outcome.unwrap();
    assert_eq!(located.targets.len(), 1);
    assert_eq!(
        (&*located.targets[0].identity, &*located.targets[0].host),
        ("contoso.com", "sip.contoso.com")
    );
    assert_eq!(located.targets[0].address.to_string(), "192.0.2.1:5061");
    assert_eq!(located.targets[0].transport, Transport::Tls);
    assert!(!asked.iter().any(|question| question.contains("NAPTR") || question.contains("_sip._")));
    assert_eq!(
        locate(federation("contoso.com"), Enabled { tls: false, ..ALL }, &zone).1,
        Err(LocateError::Transport)
    );
}

#[test]
fn f95_without_the_federation_name_it_is_sips_and_then_port_5061() {
    let sips = Zone::default()
        .srv("_sips._tcp.contoso.com", 0, 5071, "other.contoso.com")
        .address("other.contoso.com", "192.0.2.2");
    assert_eq!(spelt(locate(federation("contoso.com"), ALL, &sips).1), ["Tls 192.0.2.2:5071"]);
    let bare = Zone::default().address("contoso.com", "192.0.2.3");
    assert_eq!(spelt(locate(federation("contoso.com"), ALL, &bare).1), ["Tls 192.0.2.3:5061"]);
}

#[test]
fn f96_an_allowed_domain_works_with_and_without_its_proxy() {
    let zone = Zone::default()
        .srv("_sipfederationtls._tcp.fabrikam.com", 0, 5061, "edge.fabrikam.com")
        .address("edge.fabrikam.com", "192.0.2.1")
        .address("proxy.fabrikam.com", "192.0.2.9");
    assert_eq!(spelt(locate(federation("fabrikam.com"), TLS, &zone).1), ["Tls 192.0.2.1:5061"]);
    let proxy =
        Destination { port: Some(5061), identity: "fabrikam.com", ..federation("proxy.fabrikam.com") };
    let (asked, outcome) = locate(proxy, TLS, &zone);
    assert_eq!(asked, ["A proxy.fabrikam.com"]);
    let located = outcome.unwrap();
    assert_eq!(located.targets[0].address.to_string(), "192.0.2.9:5061");
    assert_eq!(&*located.targets[0].identity, "fabrikam.com", "configuration says whose it is");
}

#[test]
fn check_158_srv_target_dot_says_not_offered() {
    let mut zone =
        Zone::default().srv("_sips._tcp.example.net", 0, 0, ".").address("example.net", "192.0.2.1");
    assert_eq!(locate(uri("sips:example.net"), ALL, &zone).1, Err(LocateError::NotOffered));
    assert_eq!(locate(uri("sip:example.net;transport=tls"), ALL, &zone).1, Err(LocateError::NotOffered));
    assert_eq!(locate(uri("sip:example.net"), TLS, &zone).1, Err(LocateError::NotOffered));
    assert_eq!(spelt(locate(uri("sip:example.net"), TLS_TCP, &zone).1), ["Tcp 192.0.2.1:5060"]);
    zone = zone.srv("_sip._tcp.example.net", 0, 5070, "example.net");
    assert_eq!(spelt(locate(uri("sip:example.net"), TLS_TCP, &zone).1), ["Tcp 192.0.2.1:5070"]);
}

#[test]
fn check_158_failing_dns_does_not_lead_to_a_plainer_transport() {
    let zone = full_zone().failing("_sips._tcp.example.com");
    assert_eq!(locate(uri("sip:example.com"), ALL, &zone).1, Err(LocateError::Unanswered));
    let zone = full_zone().failing("_sip._tcp.example.com");
    assert_eq!(spelt(locate(uri("sip:example.com"), ALL, &zone).1), ["Tls 192.0.2.1:5061"]);
    let zone = full_zone().failing("example.com");
    assert_eq!(spelt(locate(uri("sip:example.com"), ALL, &zone).1), ["Tls 192.0.2.1:5061"], "no NAPTR");
    let zone = full_zone().failing("server1.example.com");
    assert_eq!(locate(uri("sips:example.com"), ALL, &zone).1, Err(LocateError::Unanswered));
    let tcp = Enabled { tls: false, tcp: true, udp: false };
    assert_eq!(spelt(locate(uri("sip:example.com"), tcp, &zone).1), ["Tcp 192.0.2.2:5060"]);
}

#[test]
fn threat_158_queries_and_targets_are_bounded() {
    let mut zone = Zone::default();
    for number in 0..200_u16 {
        let host: &'static str = Box::leak(format!("h{number}.example.net").into_boxed_str());
        let name: &'static str = Box::leak(format!("_sips._tcp.n{number}.example.net").into_boxed_str());
        zone = zone.naptr("example.net", number, "SIPS+D2T", name).srv(
            "_sips._tcp.n0.example.net",
            number,
            5061,
            host,
        );
        for last in 0..50_u8 {
            let ip: &'static str = Box::leak(format!("192.0.2.{last}").into_boxed_str());
            zone = zone.address(host, ip);
        }
    }
    let (asked, outcome) = locate(uri("sip:example.net"), ALL, &zone);
    assert_eq!(asked.len(), 1 + 8 + 25);
    let located = outcome.unwrap();
    assert_eq!(located.targets.len(), 25);
    assert_eq!(&*located.targets[8].host, "h1.example.net", "eight addresses of the first");
}

#[test]
fn threat_158_silence_ends_in_an_error_and_late_answers_change_nothing() {
    let mut ids = Ids::new([1; 32], Owner::default());
    for text in
        ["sip:example.net", "sips:example.net", "sip:example.net:5061", "sip:example.net;transport=tcp"]
    {
        let mut locator = Locator::new(&uri(text), ALL).unwrap();
        let (asked, _) = locator.next_question().unwrap();
        locator.give_up(&mut ids);
        assert_eq!(locator.outcome(), Some(&Err(LocateError::Unanswered)), "{text}");
        let late = ["192.0.2.1".parse().unwrap()];
        locator.answer(asked, Answer::Address(&late), TTL, &mut ids);
        locator.answer(Asked(99), Answer::Nothing, TTL, &mut ids);
        assert_eq!(locator.outcome(), Some(&Err(LocateError::Unanswered)), "{text}");
    }
}

#[test]
fn threat_158_garbage_in_dns_is_passed_over() {
    let long: &'static str = Box::leak("a.".repeat(128).into_boxed_str());
    let mut zone = Zone::default()
        .srv("_sips._tcp.example.net", 0, 5061, "evil\r\nname")
        .srv("_sips._tcp.example.net", 0, 5061, "")
        .srv("_sips._tcp.example.net", 0, 5061, ".")
        .srv("_sips._tcp.example.net", 0, 5061, "10.0.0.1")
        .srv("_sips._tcp.example.net", 0, 5061, long)
        .srv("_sips._tcp.example.net", 0, 0, "zero.example.net")
        .address("example.net", "192.0.2.1");
    assert_eq!(spelt(locate(uri("sips:example.net"), ALL, &zone).1), ["Tls 192.0.2.1:5061"]);
    zone = zone
        .srv("_sips._tcp.example.net", 9, 5062, "good.example.net")
        .address("good.example.net", "192.0.2.2");
    assert_eq!(spelt(locate(uri("sips:example.net"), ALL, &zone).1), ["Tls 192.0.2.2:5062"]);
}

#[test]
fn an_answer_of_another_type_counts_as_none() {
    let mut ids = Ids::new([1; 32], Owner::default());
    let mut locator = Locator::new(&uri("sip:example.net:5061"), ALL).unwrap();
    let (asked, _) = locator.next_question().unwrap();
    locator.answer(asked, Answer::Srv(&[]), TTL, &mut ids);
    assert_eq!(locator.outcome(), Some(&Err(LocateError::NotFound)));
}

#[test]
fn what_cannot_be_looked_up_is_refused_at_once() {
    let host = |host| Locator::new(&Destination { host, ..uri("sip:x.example") }, ALL).err();
    for bad in ["", ".", "a..b", "a b", "ex\u{e4}mple.net", "a\r\nb", &"a".repeat(64), "[::1"] {
        assert_eq!(host(bad), Some(LocateError::Host), "{bad}");
    }
    let of = |text| Destination::of(&Uri::parse(text).unwrap());
    assert_eq!(of("tel:+15551230001"), Err(LocateError::Scheme));
    assert_eq!(of("mailto:x@y"), Err(LocateError::Scheme));
    assert_eq!(of("sip:example.net;transport=sctp"), Err(LocateError::Transport));
    let new = |text, enabled| Locator::new(&uri(text), enabled).err();
    assert_eq!(new("sips:example.net;transport=udp", ALL), Some(LocateError::Transport));
    assert_eq!(new("sip:example.net;transport=udp", TLS_TCP), Some(LocateError::Transport));
    assert_eq!(new("sips:192.0.2.1", Enabled { tls: false, ..ALL }), Some(LocateError::Transport));
    let none = Enabled { tls: false, tcp: false, udp: false };
    assert_eq!(new("sip:example.net", none), Some(LocateError::Transport));
}

#[test]
fn the_shortest_ttl_holds() {
    let mut ids = Ids::new([1; 32], Owner::default());
    let mut locator = Locator::new(&uri("sip:example.net;transport=tcp"), ALL).unwrap();
    let (asked, _) = locator.next_question().unwrap();
    let srv = [Srv { priority: 0, weight: 0, port: 5060, target: "sip.example.net" }];
    locator.answer(asked, Answer::Srv(&srv), Duration::from_secs(60), &mut ids);
    let (asked, _) = locator.next_question().unwrap();
    let late = ["192.0.2.1".parse().unwrap()];
    locator.answer(asked, Answer::Address(&late), TTL, &mut ids);
    assert_eq!(locator.into_outcome().unwrap().ttl, Duration::from_secs(60));
}
