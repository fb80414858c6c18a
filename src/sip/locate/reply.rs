//! Where a response goes (RFC 3261 §18.2, RFC 3581 §4, RFC 3263 §5).
//!
//! Over TCP and TLS it takes the connection of its request. Over UDP it goes to the address that
//! the request came from, never to one that the Via names, so nobody can aim us at a third party.

use super::dns::literal;
use super::{Destination, Transport};
use std::net::{IpAddr, SocketAddr};

/// Of the top Via what routes its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopVia<'a> {
    /// The transport in sent-protocol.
    pub transport: Transport,
    /// The host of sent-by.
    pub host: &'a str,
    /// The port of sent-by.
    pub port: Option<u16>,
    /// Whether it has the `rport` parameter.
    pub rport: bool,
}

/// What the server adds to the top Via of a request (RFC 3261 §18.2.1, RFC 3581 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Added {
    /// The value of `received`.
    pub received: Option<IpAddr>,
    /// The value of `rport`.
    pub rport: Option<u16>,
}

/// Where to send a response first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyRoute {
    /// Over the connection of its request.
    Connection,
    /// To this address, from the socket that the request came to.
    Datagram(SocketAddr),
}

/// Where to send a response whose connection is gone, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reopen<'a> {
    /// First: this address, over the transport of the Via.
    pub first: SocketAddr,
    /// Then: what [`super::Locator`] finds for this.
    pub then: Destination<'a>,
}

impl<'a> TopVia<'a> {
    /// What to add for a request from `source`: `received` when sent-by is another address or a
    /// name, or when there is `rport`, which gets the source port.
    pub fn added(&self, source: SocketAddr) -> Added {
        let ip = source.ip().to_canonical();
        let same = literal(self.host).is_some_and(|host| host.to_canonical() == ip);
        Added { received: (self.rport || !same).then_some(ip), rport: self.rport.then_some(source.port()) }
    }

    /// Where the response to a request from `source` goes.
    ///
    /// DEVIATES RFC 3261 §18.2.2: `maddr` in a Via is not followed, because it names a third party
    /// that never asked.
    pub fn route(&self, source: SocketAddr) -> ReplyRoute {
        match self.transport {
            Transport::Tls | Transport::Tcp => ReplyRoute::Connection,
            Transport::Udp if self.rport => ReplyRoute::Datagram(source),
            Transport::Udp => {
                let port = self.port.unwrap_or(Transport::Udp.port());
                ReplyRoute::Datagram(SocketAddr::new(source.ip(), port))
            }
        }
    }

    /// Where it goes when the connection from `source` is gone; nothing over UDP.
    pub fn reopen(&self, source: SocketAddr) -> Option<Reopen<'a>> {
        match self.transport {
            Transport::Udp => None,
            Transport::Tls | Transport::Tcp => {
                let port = self.port.unwrap_or(self.transport.port());
                let then = Destination {
                    host: self.host,
                    port: self.port,
                    transport: Some(self.transport),
                    sips: false,
                    federation: false,
                    identity: self.host,
                };
                Some(Reopen { first: SocketAddr::new(source.ip(), port), then })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn via(transport: Transport, host: &str, port: Option<u16>, rport: bool) -> TopVia<'_> {
        TopVia { transport, host, port, rport }
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn check_152_received_is_added_for_a_name_another_address_and_rport() {
        let source = at("192.0.2.1:4540");
        let ip = Some(source.ip());
        let added = |host, rport| via(Transport::Udp, host, Some(5060), rport).added(source);
        assert_eq!(added("192.0.2.1", false), Added { received: None, rport: None });
        assert_eq!(added("192.0.2.1", true), Added { received: ip, rport: Some(4540) }, "RFC 3581 §4");
        assert_eq!(added("10.1.1.1", true), Added { received: ip, rport: Some(4540) });
        assert_eq!(added("10.1.1.1", false), Added { received: ip, rport: None });
        assert_eq!(added("bobspc.biloxi.com", false), Added { received: ip, rport: None });
        let v6 = via(Transport::Tcp, "[2001:db8::9:1]", None, false);
        assert_eq!(v6.added(at("[2001:db8:0:0::9:1]:1")).received, None, "one address, two spellings");
        let mapped = via(Transport::Udp, "192.0.2.1", None, false).added(at("[::ffff:192.0.2.1]:4540"));
        assert_eq!(mapped.received, None, "a socket of both families");
    }

    #[test]
    fn check_152_a_response_over_udp_goes_back_to_where_its_request_came_from() {
        let source = at("192.0.2.1:4540");
        let route = |host, port, rport| via(Transport::Udp, host, port, rport).route(source);
        assert_eq!(route("10.1.1.1", Some(5070), true), ReplyRoute::Datagram(source));
        let to = |text| ReplyRoute::Datagram(at(text));
        assert_eq!(route("10.1.1.1", Some(5070), false), to("192.0.2.1:5070"));
        assert_eq!(route("victim.example.org", None, false), to("192.0.2.1:5060"));
        assert_eq!(via(Transport::Udp, "x", None, false).reopen(source), None, "and nowhere else");
    }

    #[test]
    fn check_152_over_tcp_and_tls_it_takes_the_connection_or_reopens_to_sent_by() {
        let source = at("192.0.2.1:4540");
        for (transport, port) in [(Transport::Tcp, 5060), (Transport::Tls, 5061)] {
            let named = via(transport, "edge.example.net", None, true);
            assert_eq!(named.route(source), ReplyRoute::Connection);
            let reopen = named.reopen(source).unwrap();
            assert_eq!(reopen.first, SocketAddr::new(source.ip(), port), "not the source port");
            assert_eq!((reopen.then.host, reopen.then.port), ("edge.example.net", None));
            assert_eq!(reopen.then.transport, Some(transport), "TLS stays TLS");
        }
        let ported = via(Transport::Tcp, "edge.example.net", Some(5070), false);
        assert_eq!(ported.reopen(source).unwrap().first, at("192.0.2.1:5070"));
    }
}
