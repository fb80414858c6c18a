//! `[[domain]]`, `[sip]` and `[[sip.peer]]`: what we serve, and who stands behind it.

use super::daemon::{Content, Context, each_once, name, socket_address};
use super::problem::quoted;
use super::read::{At, Section};
use super::settings::{Digest, Im, Peer, Route, Served, Sip, SipListen, Srv, Transport};
use super::{fqdn, host_name, suggest, value};
use crate::addr::Domain;
use crate::addr::uri::{Scheme, Uri};
use ipnet::IpNet;
use std::ops::Range;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

const TRANSPORTS: [(&str, Transport); 3] =
    [("tls", Transport::Tls), ("tcp", Transport::Tcp), ("udp", Transport::Udp)];

/// A peer with the spans of its domains, for checks across tables.
struct Read {
    peer: Peer,
    domains: Vec<At<Domain>>,
}

/// `[[domain]]`, and where each name stands.
pub(super) fn domains(root: &mut Section<'_>, certificates: &[At<String>]) -> Vec<(Served, Range<usize>)> {
    let mut served: Vec<(Served, Range<usize>)> = Vec::new();
    let sections = root.sections("domain", "[[domain]]");
    if sections.is_empty() {
        let label = "add a [[domain]] for each SIP domain";
        root.report.file_error(&root.source.name, "no domain is served", label);
    }
    for mut section in sections {
        let name = section.required("name", fqdn);
        let own = section.texts_or_one("certificate");
        let tel_domain = section.flag("tel_domain", false);
        let discovery = section.flag("discovery", false);
        for (id, span) in &own {
            if !certificates.iter().any(|(known, _)| known == id) {
                super::tls::unknown(&section, id, span, certificates);
            }
        }
        if tel_domain && served.iter().any(|(earlier, _)| earlier.tel_domain) {
            let label = "tel: URIs map into one domain";
            section.error(&section.span_of("tel_domain"), "a second \"tel_domain\"", label);
        }
        if let Some((name, span)) = name {
            match served.iter().find(|(earlier, _)| earlier.name == name) {
                Some((_, first)) => section.error(
                    &span,
                    format!("domain \"{name}\" is served twice"),
                    format!("first in line {}", section.source.line_of(first.start)),
                ),
                None => {
                    let certificates = own.iter().map(|(id, _)| (*id).to_owned()).collect();
                    let entry = Served { name, certificates, tel_domain, discovery, peer: None };
                    served.push((entry, span));
                }
            }
        }
        section.done();
    }
    served
}

/// `[sip]` with its peers, each joined to the domains in `served`. `certificates`: how many the file lists for
/// SIP.
pub(super) fn sip(
    root: &mut Section<'_>,
    context: &Context<'_>,
    served: &mut [(Served, Range<usize>)],
    certificates: usize,
) -> Sip {
    let mut section = root.section("sip", "[sip]");
    let listen = listeners(&mut section);
    let interval = section.duration("subscription_refresh_interval", MINUTE..=WEEK, HOUR * 8);
    let keepalive =
        section.duration("keepalive_interval", Duration::from_secs(1)..=HOUR, Duration::from_secs(95));
    let idle = section.duration("session_idle_timeout", MINUTE..=HOUR * 24, MINUTE * 10);
    let tls_listener = listen.iter().find(|(listen, _)| listen.transport == Transport::Tls);
    if let Some((_, span)) = tls_listener
        && certificates == 0
    {
        let (message, label) =
            ("a TLS listener needs a certificate", "add a [[tls.certificate]], for SIP if it has a \"for\"");
        if section.has("listen") {
            section.error(span, message, label);
        } else {
            section.report.file_error(&section.source.name, message, label);
        }
    }
    let mut peers: Vec<Read> = Vec::new();
    for mut table in section.sections("peer", "[[sip.peer]]") {
        if let Some(read) = peer(&mut table, context, &listen) {
            if let Some(earlier) = peers.iter().position(|earlier| earlier.peer.name == read.peer.name) {
                let label = format!("it is peer {} of the file already", earlier + 1);
                let message = format!("peer {} is defined twice", quoted(&read.peer.name));
                table.error(&table.span_of("name"), message, label);
            }
            join(&table, &read, peers.len(), served, &peers);
            peers.push(read);
        }
        table.done();
    }
    for (served, span) in served.iter() {
        match (served.peer, served.discovery) {
            (None, false) => section.error(
                span,
                format!("no peer serves \"{}\"", served.name),
                "name it in one [[sip.peer]], or set discovery = true",
            ),
            (Some(_), true) => section.error(
                span,
                format!("\"{}\" has a peer and discovery = true", served.name),
                "one of the two",
            ),
            (None, true) | (Some(_), false) => {}
        }
    }
    section.done();
    Sip {
        listen: listen.into_iter().map(|(listen, _)| listen).collect(),
        subscription_refresh_interval: interval,
        keepalive_interval: keepalive,
        session_idle_timeout: idle,
        peers: peers.into_iter().map(|read| read.peer).collect(),
    }
}

fn listeners(sip: &mut Section<'_>) -> Vec<At<SipListen>> {
    if !sip.has("listen") {
        let default = "[::]:5061".parse().map(|addr| SipListen { addr, transport: Transport::Tls });
        return default.into_iter().map(|listen| (listen, sip.span.clone())).collect();
    }
    let mut list: Vec<At<SipListen>> = Vec::new();
    for mut section in sip.sections("listen", "a listener of [sip]") {
        let addr = section.required("addr", socket_address);
        let transport = section.choice("transport", &TRANSPORTS).map_or(Transport::Tls, |(t, _)| t);
        if let Some((addr, _)) = addr {
            list.push((SipListen { addr, transport }, section.span.clone()));
        }
        section.done();
    }
    // TLS and TCP share the ports of TCP.
    let ports: Vec<At<(bool, std::net::SocketAddr)>> = list
        .iter()
        .filter(|(listen, _)| listen.addr.port() != 0)
        .map(|(listen, span)| ((listen.transport == Transport::Udp, listen.addr), span.clone()))
        .collect();
    for (index, (port, span)) in ports.iter().enumerate() {
        if ports.iter().take(index).any(|(earlier, _)| earlier == port) {
            sip.error(span, format!("two listeners for {}", port.1), "");
        }
    }
    list
}

fn peer(section: &mut Section<'_>, context: &Context<'_>, listen: &[At<SipListen>]) -> Option<Read> {
    let peer_name = section.required("name", name);
    if !section.has("domains") {
        section.missing("domains");
    }
    let domains = section.list("domains", fqdn).unwrap_or_default();
    each_once(section, &domains, "domains");
    let route = section.parsed("route", route);
    let srv = section.choice("srv", &[("sip", Srv::Sip), ("federation", Srv::Federation)]);
    if let (Some(_), Some((_, span))) = (&route, &srv) {
        section.warn(span, "\"srv\" has no effect", "\"route\" says where requests go");
    }
    let identity = section.list("identity", host_name);
    if identity.as_ref().is_some_and(Vec::is_empty) {
        let label = "leave it out: the domains themselves";
        section.error(&section.span_of("identity"), "nobody may speak for this peer", label);
    }
    let addresses = section.list("addresses", network).unwrap_or_default();
    let plain = listen.iter().any(|(listen, _)| listen.transport != Transport::Tls);
    if !addresses.is_empty() && !plain {
        let label = "only udp and tcp links are trusted by address, and there is no such listener";
        section.warn(&section.span_of("addresses"), "\"addresses\" have no effect", label);
    }
    let im = im(section);
    let limit = |text: &str| match text {
        "auto" => Ok(None),
        _ => value::size(text).map(Some),
    };
    let message_limit = if matches!(section.text("message_limit"), Some(("auto", _))) {
        section.parsed("message_limit", limit);
        None
    } else {
        section.size("message_limit", 200..=16 << 20)
    };
    let talk = super::bridge::talk(section);
    let unverifiable = verification(section);
    let monitor = section.flag("monitor", false);
    let digest = digest(section, context);
    let (name, _) = peer_name?;
    let names = |list: &[At<Domain>]| list.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let peer = Peer {
        name,
        identity: names(identity.as_deref().unwrap_or(&domains)),
        domains: names(&domains),
        route: route.map(|(route, _)| route),
        srv: srv.map_or(Srv::Sip, |(srv, _)| srv),
        addresses: addresses.into_iter().map(|(network, _)| network).collect(),
        im,
        message_limit,
        monitor,
        talk,
        digest,
        unverifiable,
    };
    Some(Read { peer, domains })
}

/// How messages go to a peer.
fn im(section: &mut Section<'_>) -> Im {
    let choices =
        [("auto", Im::Auto), ("pager", Im::Pager), ("ms-session", Im::MsSession), ("msrp", Im::Msrp)];
    section.choice("im", &choices).map_or(Im::default(), |(im, _)| im)
}

/// Whether the peer's users reach only whoever has them as a contact.
fn verification(section: &mut Section<'_>) -> bool {
    let choices = [
        ("always-verifiable", Some(false)),
        ("always-unverifiable", Some(true)),
        ("use-source-verification", None),
    ];
    match section.choice("verification", &choices) {
        None => false,
        Some((Some(unverifiable), _)) => unverifiable,
        Some((None, span)) => {
            let message = "\"use-source-verification\" can't be had: its header is not public";
            section.error(&span, message, "use \"always-verifiable\" or \"always-unverifiable\"");
            false
        }
    }
}

fn digest(section: &mut Section<'_>, context: &Context<'_>) -> Option<Digest> {
    let mut table = section.section("digest", "digest");
    if !table.is_present() {
        return None;
    }
    let user = table.required("user", name);
    if !table.has("password") {
        table.missing("password");
    }
    let password = context.file(&mut table, "password", Content::Secret);
    table.done();
    Some(Digest { user: user?.0, password: password? })
}

/// Gives each domain of `read` its peer: each has one, and each is ours.
fn join(
    section: &Section<'_>,
    read: &Read,
    index: usize,
    served: &mut [(Served, Range<usize>)],
    earlier: &[Read],
) {
    for (domain, span) in &read.domains {
        let Some(position) = served.iter().position(|(entry, _)| entry.name == *domain) else {
            let known = served.iter().map(|(entry, _)| entry.name.as_str());
            let label = suggest::or(domain.as_str(), known, || "no [[domain]] has this name".into());
            section.error(span, format!("unknown domain \"{domain}\""), label);
            continue;
        };
        let Some((entry, _)) = served.get_mut(position) else { continue };
        match entry.peer.and_then(|other| earlier.get(other)) {
            Some(other) => section.error(
                span,
                format!("two peers serve \"{domain}\""),
                format!("{} does already", quoted(&other.peer.name)),
            ),
            None => entry.peer = Some(index),
        }
    }
}

/// A network, or an address as the network of one.
fn network(text: &str) -> Result<IpNet, String> {
    let network: IpNet = text
        .parse()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .map_err(|_| String::from("a network such as \"192.0.2.0/24\" or an address"))?;
    if network.prefix_len() == 0 {
        return Err("this trusts everybody without a certificate".into());
    }
    if network.trunc() != network {
        return Err(format!("the network is {}", network.trunc()));
    }
    Ok(network)
}

/// A `sip:` URI without a user, as a next hop.
fn route(text: &str) -> Result<Route, String> {
    let uri = Uri::parse(text).map_err(|error| error.to_string())?;
    match uri.scheme {
        Scheme::Sip => {}
        Scheme::Sips => return Err("write sip:…;transport=tls".into()),
        Scheme::Tel | Scheme::Im | Scheme::Pres | Scheme::Other(_) => {
            return Err("a route is a sip: URI".into());
        }
    }
    if uri.user.is_some() || uri.headers.is_some() {
        return Err("a route has a host, a port and a transport only".into());
    }
    let mut transport = None;
    for (name, value) in uri.params() {
        match (name.to_ascii_lowercase().as_str(), value.map(str::to_ascii_lowercase)) {
            ("transport", Some(value)) => match TRANSPORTS.iter().find(|(known, _)| *known == value) {
                Some((_, found)) => transport = Some(*found),
                None => return Err("transport is tls, tcp or udp".into()),
            },
            ("lr", _) => {}
            _ => return Err(format!("unknown parameter {}", quoted(name))),
        }
    }
    let host = Domain::parse(uri.host).map_err(|error| error.to_string())?;
    Ok(Route { uri: text.to_owned(), host, port: uri.port, transport })
}
