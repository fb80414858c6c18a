//! MSRP URIs (RFC 4975 §6): `msrps://gw.example.com:2855/k3d8s0f;tcp`.

use crate::addr::uri::host_port;
use std::fmt;
use std::net::IpAddr;

/// Octets of one URI.
const OCTETS_MAX: usize = 512;

/// A URI, compared as RFC 4975 §6.1 says and written as it came.
#[derive(Clone)]
pub struct MsrpUri {
    text: Box<str>,
    tls: bool,
    host: Box<str>,
    port: Option<u16>,
    session: Option<Box<str>>,
    transport: Box<str>,
}

/// A text that is no MSRP URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an MSRP URI")]
pub struct NotMsrp;

impl MsrpUri {
    /// Reads a URI; nothing may be left over.
    ///
    /// # Errors
    ///
    /// [`NotMsrp`] for another scheme, a host or port that is none, no transport, a character that a
    /// session-id does not have, or more than 512 octets.
    pub fn parse(text: &str) -> Result<Self, NotMsrp> {
        let (scheme, rest) = text.split_once("://").ok_or(NotMsrp)?;
        let tls = match () {
            () if scheme.eq_ignore_ascii_case("msrps") => true,
            () if scheme.eq_ignore_ascii_case("msrp") => false,
            () => return Err(NotMsrp),
        };
        let (place, parameters) = rest.split_once(';').ok_or(NotMsrp)?;
        let (authority, session) = match place.split_once('/') {
            Some((authority, session)) => (authority, Some(session)),
            None => (place, None),
        };
        // Userinfo is for the one who made the URI alone (RFC 4975 §6.1).
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = host_port(authority).map_err(|_| NotMsrp)?;
        let is_session = |id: &str| !id.is_empty() && id.bytes().all(is_session_octet);
        let mut parameters = parameters.split(';');
        let transport = parameters.next().unwrap_or_default();
        let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric());
        let graphic = text.bytes().all(|b| b.is_ascii_graphic());
        if text.len() > OCTETS_MAX || !graphic || !is_word(transport) || !session.is_none_or(is_session) {
            return Err(NotMsrp);
        }
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let host = address.map_or_else(|_| host.to_ascii_lowercase(), |address| address.to_string());
        Ok(Self {
            text: text.into(),
            tls,
            host: host.into(),
            port,
            session: session.map(Into::into),
            transport: transport.to_ascii_lowercase().into(),
        })
    }

    /// The URI of a session of ours. `host` is a name or an address, an IPv6 one in brackets.
    ///
    /// # Errors
    ///
    /// [`NotMsrp`] if `host` is none.
    pub fn ours(tls: bool, host: &str, port: u16, session: &str) -> Result<Self, NotMsrp> {
        let scheme = if tls { "msrps" } else { "msrp" };
        Self::parse(&format!("{scheme}://{host}:{port}/{session};tcp"))
    }

    /// The URI as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether connections to it are TLS.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// The host: a name in lower case, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The session-id.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Whether it is reached by TCP, the only transport there is.
    pub fn over_tcp(&self) -> bool {
        &*self.transport == "tcp"
    }

    fn key(&self) -> (bool, &str, Option<u16>, Option<&str>, &str) {
        (self.tls, &self.host, self.port, self.session.as_deref(), &self.transport)
    }
}

fn is_session_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-._~+=/".contains(&octet)
}

impl PartialEq for MsrpUri {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for MsrpUri {}

/// Without the session-id, which is a secret between the two ends (RFC 4975 §14.1).
impl fmt::Debug for MsrpUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "msrps" } else { "msrp" };
        write!(f, "{scheme}://{}:{:?}/…", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn uri(text: &str) -> MsrpUri {
        MsrpUri::parse(text).unwrap()
    }

    #[test]
    fn a_uri_is_read_into_its_parts() {
        let one = uri("msrps://alice@[2001:DB8::1]:2855/a+b=/c;TCP;x=y");
        assert_eq!((one.tls(), one.host(), one.port()), (true, "2001:db8::1", Some(2855)));
        assert_eq!((one.session(), one.over_tcp()), (Some("a+b=/c"), true));
        assert_eq!(uri("msrp://host.example;tcp").session(), None);
        let ours = MsrpUri::ours(true, "gw.example", 2855, "abc").unwrap();
        assert_eq!(ours.as_str(), "msrps://gw.example:2855/abc;tcp");
        assert!(!format!("{ours:?}").contains("abc"));
    }

    /// RFC 4975 §6.1, rule by rule.
    #[test]
    fn uris_are_compared_by_scheme_authority_session_and_transport() {
        let one = uri("msrp://host.example:7/Abc;tcp");
        for same in ["MSRP://HOST.example:7/Abc;TCP", "msrp://bob@host.example:7/Abc;tcp;a=b"] {
            assert_eq!(one, uri(same));
        }
        for other in [
            "msrps://host.example:7/Abc;tcp",
            "msrp://host.example:8/Abc;tcp",
            "msrp://host.example/Abc;tcp",
            "msrp://host.example:7/abc;tcp",
            "msrp://host.example:7;tcp",
            "msrp://host.example:7/Abc;sctp",
        ] {
            assert_ne!(one, uri(other));
        }
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        let long = format!("msrp://host.example:7/{};tcp", "a".repeat(OCTETS_MAX));
        for text in [
            "",
            "sip:a@host.example",
            "msrp:host.example;tcp",
            "msrp://host.example:7/a",
            "msrp://host.example:7/;tcp",
            "msrp://host.example:70000/a;tcp",
            "msrp:///a;tcp",
            "msrp://host.example:7/a b;tcp",
            "msrp://host.example:7/a;",
            "msrp://host.example:7/a;tcp\r\nX: y",
            "msrp://host.example:7/ä;tcp",
            &long,
        ] {
            assert!(MsrpUri::parse(text).is_err(), "{text}");
        }
    }
}
