//! `[msrp]`: where sessions over MSRP are taken.

use super::daemon::{each_once, socket_address};
use super::read::Section;
use super::settings::{Msrp, Transport};
use crate::addr::Domain;

/// `[msrp]`. `certificates`: how many the file lists.
pub(super) fn msrp(root: &mut Section<'_>, certificates: usize) -> Msrp {
    let mut section = root.section("msrp", "[msrp]");
    let listen = section.list("listen", socket_address).unwrap_or_default();
    each_once(&section, &listen, "listen");
    let choices = [("tls", Transport::Tls), ("tcp", Transport::Tcp)];
    let transport = section.choice("transport", &choices).map_or(Transport::Tls, |(transport, _)| transport);
    let host = section.parsed("host", host).map(|(host, _)| host);
    let connections = section.number("connection_limit", 1..=1_000_000).unwrap_or(1000);
    if transport == Transport::Tls && !listen.is_empty() && certificates == 0 {
        let span = section.span_of("listen");
        section.error(&span, "a TLS listener needs a certificate", "add a [[tls.certificate]]");
    }
    if transport == Transport::Tcp {
        let label = "whoever is on the way reads the texts, and can write in the session";
        section.warn(&section.span_of("transport"), "MSRP without TLS", label);
    }
    let ports = |(address, _): &(std::net::SocketAddr, _)| address.port();
    if let Some((_, span)) = listen.iter().find(|other| listen.first().map(ports) != Some(ports(other))) {
        section.error(span, "two ports for MSRP", "a description of ours names one");
    }
    section.done();
    Msrp {
        listen: listen.into_iter().map(|(address, _)| address).collect(),
        transport,
        host,
        connection_limit: usize::try_from(connections).unwrap_or(usize::MAX),
    }
}

/// A name, or an address for peers that look up none.
fn host(text: &str) -> Result<Domain, String> {
    Domain::parse(text).map_err(|error| error.to_string())
}
