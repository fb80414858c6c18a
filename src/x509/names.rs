//! The identities in an end-entity certificate, and what they match.
//!
//! XMPP: SRV-ID, DNS-ID with a wildcard as the whole left label, XmppAddr (RFC 6120 §13.7, RFC 9525
//! §6.3). SIP: `sip:` URIs without a userpart, DNS names only when there is no such URI, never a
//! wildcard or a suffix (RFC 5922 §7.1, §7.2). The common name is never looked at. A name with any
//! octet that is not of a host name (NUL, space, control, 8-bit) is as if it were not there.

use crate::addr::Domain;
use std::net::IpAddr;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// Value of the OID id-on-xmppAddr, 1.3.6.1.5.5.7.8.5 (RFC 6120 §13.7.1.4).
const XMPP_ADDR: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 8, 5];
/// Value of the OID id-on-dnsSRV, 1.3.6.1.5.5.7.8.7 (RFC 4985 §2).
const DNS_SRV: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 8, 7];
const SRV_PREFIX: &str = "_xmpp-server.";
/// Names that a refusal quotes, and octets of each.
const QUOTED_NAMES: usize = 8;
const QUOTED_OCTETS: usize = 80;

/// The usable names of a certificate. Host names are A-labels in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// May start with `*.`.
    dns: Vec<Box<str>>,
    /// Domains of `_xmpp-server` SRV-IDs.
    srv: Vec<Box<str>>,
    xmpp_addr: Vec<Domain>,
    ip: Vec<IpAddr>,
    sip: Vec<Domain>,
    presented: Vec<String>,
}

impl Names {
    /// Reads the subjectAltName of `cert`. With `constrained`, an authority of the chain may issue
    /// for some names only: what its constraints cannot reach (otherName and URI, RFC 5280
    /// §4.2.1.10) then counts only for a domain that is also there as a DNS name.
    pub fn of(cert: &X509Certificate<'_>, constrained: bool) -> Self {
        let mut names = Self::default();
        let Ok(Some(san)) = cert.subject_alternative_name() else { return names };
        let mut has_sip_uri = false;
        for name in &san.value.general_names {
            names.quote(name);
            match name {
                GeneralName::DNSName(text) => names.dns.extend(host(text, true)),
                GeneralName::IPAddress(octets) => names.ip.extend(ip(octets)),
                GeneralName::URI(uri) => {
                    if let Some(rest) = sip_rest(uri) {
                        has_sip_uri = true;
                        names.sip.extend(sip_domain(rest));
                    }
                }
                GeneralName::OtherName(oid, value) if oid.as_bytes() == XMPP_ADDR => {
                    names.xmpp_addr.extend(explicit_string(value).and_then(|text| Domain::parse(text).ok()));
                }
                GeneralName::OtherName(oid, value) if oid.as_bytes() == DNS_SRV => {
                    names.srv.extend(explicit_string(value).and_then(srv_domain));
                }
                _ => {}
            }
        }
        if constrained {
            let dns = std::mem::take(&mut names.dns);
            let covered = |name: &str| dns.iter().any(|dns| dns_matches(dns, name));
            names.srv.retain(|name| covered(name));
            names.xmpp_addr.retain(|domain| covered(&domain.to_ascii().to_ascii_lowercase()));
            names.sip.retain(|domain| covered(&domain.to_ascii().to_ascii_lowercase()));
            names.dns = dns;
        }
        if !has_sip_uri {
            let plain = names.dns.iter().filter(|name| !name.starts_with("*."));
            names.sip.extend(plain.filter_map(|name| Domain::parse(name).ok()));
        }
        names.sip.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.sip.dedup();
        names
    }

    /// Every host name in it, as `CertStore` looks them up: A-labels, some starting with `*.`.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        let domains =
            self.xmpp_addr.iter().chain(&self.sip).map(|domain| domain.to_ascii().to_ascii_lowercase());
        self.dns.iter().chain(&self.srv).map(|name| name.to_string()).chain(domains)
    }

    /// The names as presented, escaped and shortened: for people.
    pub fn presented(&self) -> &[String] {
        &self.presented
    }

    /// The SIP domain identities, no two equal (RFC 5922 §7.1).
    pub fn sip(&self) -> &[Domain] {
        &self.sip
    }

    /// Whether they are for the XMPP domain `domain` (RFC 6120 §13.7.2.1, RFC 9525).
    pub fn xmpp_matches(&self, domain: &Domain) -> bool {
        if self.xmpp_addr.contains(domain) {
            return true;
        }
        let name = domain.to_ascii().to_ascii_lowercase();
        if domain.is_ip() {
            let bare = name.trim_start_matches('[').trim_end_matches(']');
            return bare.parse::<IpAddr>().is_ok_and(|ip| self.ip.contains(&ip));
        }
        self.dns.iter().any(|dns| dns_matches(dns, &name)) || self.srv.iter().any(|srv| **srv == *name)
    }

    /// Whether the host name `host` is among the DNS names.
    pub fn dns_matches(&self, host: &Domain) -> bool {
        let name = host.to_ascii().to_ascii_lowercase();
        self.dns.iter().any(|dns| dns_matches(dns, &name))
    }

    fn quote(&mut self, name: &GeneralName<'_>) {
        let Some(label) = label(name) else { return };
        if self.presented.len() < QUOTED_NAMES {
            self.presented.push(label);
        } else if self.presented.len() == QUOTED_NAMES {
            self.presented.push("…".to_owned());
        }
    }
}

/// Every name of `cert`, escaped and shortened: for people.
pub fn listed(cert: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(san)) = cert.subject_alternative_name() else { return Vec::new() };
    let label = |name: &GeneralName<'_>| match name {
        GeneralName::IPAddress(octets) => ip(octets).map(|ip| format!("IP:{ip}")),
        other => label(other),
    };
    san.value.general_names.iter().filter_map(label).collect()
}

/// A name as people write it.
fn label(name: &GeneralName<'_>) -> Option<String> {
    let (kind, octets) = match name {
        GeneralName::DNSName(text) => ("DNS", text.as_bytes()),
        GeneralName::URI(text) => ("URI", text.as_bytes()),
        GeneralName::OtherName(oid, value) if oid.as_bytes() == XMPP_ADDR => {
            ("xmppAddr", explicit_string(value).unwrap_or_default().as_bytes())
        }
        GeneralName::OtherName(oid, value) if oid.as_bytes() == DNS_SRV => {
            ("SRVName", explicit_string(value).unwrap_or_default().as_bytes())
        }
        GeneralName::Invalid(_, octets) => ("invalid", *octets),
        _ => return None,
    };
    Some(format!("{kind}:{}", quoted(octets)))
}

/// Text from a certificate, made fit for a log line.
pub fn quoted(octets: &[u8]) -> String {
    let cut = octets.get(..QUOTED_OCTETS).unwrap_or(octets);
    let mut text = cut.escape_ascii().to_string();
    if cut.len() < octets.len() {
        text.push('…');
    }
    text
}

/// A wildcard stands for one whole label, the left one, above at least two others.
fn dns_matches(presented: &str, reference: &str) -> bool {
    match presented.strip_prefix("*.") {
        Some(parent) => reference.split_once('.').is_some_and(|(_, rest)| rest == parent),
        None => presented == reference,
    }
}

/// A host name in A-labels, in lower case; None for all else, addresses too.
fn host(text: &str, wildcard: bool) -> Option<Box<str>> {
    let (plain, is_wildcard) = match text.strip_prefix("*.") {
        Some(parent) if wildcard => (parent, true),
        _ => (text, false),
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let last = plain.rsplit('.').next().unwrap_or_default();
    let good = text.len() <= 253
        && plain.split('.').all(label)
        && !last.bytes().all(|b| b.is_ascii_digit())
        && (!is_wildcard || plain.contains('.'));
    good.then(|| text.to_ascii_lowercase().into())
}

fn ip(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(octets) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(octets).ok().map(IpAddr::from)
}

/// What follows the scheme of a `sip:` URI without a userpart.
fn sip_rest(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.split_once(':')?;
    (scheme.eq_ignore_ascii_case("sip") && !rest.contains('@')).then_some(rest)
}

/// The hostpart: before port, parameters and headers.
fn sip_domain(rest: &str) -> Option<Domain> {
    let end = rest.find([';', '?']).unwrap_or(rest.len());
    let hostport = rest.get(..end)?;
    let (name, port) = match hostport.strip_prefix('[') {
        Some(_) => {
            let close = hostport.find(']')? + 1;
            (hostport.get(..close)?, hostport.get(close..)?)
        }
        None => hostport.split_at(hostport.find(':').unwrap_or(hostport.len())),
    };
    let port_good = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|p| (1..=5).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()));
    let address = name.starts_with('[') || name.parse::<std::net::Ipv4Addr>().is_ok();
    (port_good && (address || host(name, false).is_some())).then(|| Domain::parse(name).ok())?
}

fn srv_domain(text: &str) -> Option<Box<str>> {
    let prefix = text.get(..SRV_PREFIX.len())?;
    prefix.eq_ignore_ascii_case(SRV_PREFIX).then(|| host(text.get(SRV_PREFIX.len()..)?, false))?
}

/// The string inside an otherName value, which is still in its `[0] EXPLICIT` wrapper. UTF8String,
/// IA5String and PrintableString only.
fn explicit_string(value: &[u8]) -> Option<&str> {
    let inner = der(value, &[0xa0])?;
    std::str::from_utf8(der(inner, &[0x0c, 0x16, 0x13])?).ok()
}

/// The contents of the one DER element that `octets` is, if its tag is one of `tags`.
fn der<'a>(octets: &'a [u8], tags: &[u8]) -> Option<&'a [u8]> {
    let (tag, rest) = octets.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, contents) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 => {
            let (length, rest) = rest.split_first()?;
            (usize::from(*length), rest)
        }
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    (tags.contains(tag) && contents.len() == length).then_some(contents)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn host_names_are_taken_whole_or_not_at_all() {
        assert_eq!(host("IM.Example.ORG", true).as_deref(), Some("im.example.org"));
        assert_eq!(host("*.example.org", true).as_deref(), Some("*.example.org"));
        for junk in [
            "",
            ".",
            "*",
            "*.",
            "*.org",
            "*.*.org",
            "a*.example.org",
            "im.*.example.org",
            "example.org.",
            ".example.org",
            "a..b",
            "exa\0mple.org",
            "example.org\0.evil.example",
            "exämple.org",
            "a b.example",
            "192.0.2.1",
            "-a.example",
        ] {
            assert_eq!(host(junk, true), None, "{junk:?}");
        }
        assert_eq!(host("*.example.org", false), None);
        assert_eq!(host(&"a.".repeat(127), true), None);
    }

    #[test]
    fn f71_a_wildcard_is_one_whole_left_label() {
        assert!(dns_matches("*.example.org", "im.example.org"));
        assert!(!dns_matches("*.example.org", "example.org"));
        assert!(!dns_matches("*.example.org", "a.im.example.org"));
        assert!(!dns_matches("example.org", "im.example.org"));
    }

    #[test]
    fn check_159_a_sip_uri_gives_its_hostpart_and_nothing_else() {
        let domain = |uri: &str| sip_rest(uri).and_then(sip_domain).map(|d| d.as_str().to_owned());
        assert_eq!(domain("sip:Example.org").as_deref(), Some("example.org"));
        assert_eq!(domain("SIP:example.org:5061;transport=tls?x=y").as_deref(), Some("example.org"));
        assert_eq!(domain("sip:[2001:db8::1]:5061").as_deref(), Some("[2001:db8::1]"));
        for none in [
            "sips:example.org",
            "sip:alice@example.org",
            "sip:example.org@",
            "sip:",
            "sip:*.example.org",
            "xmpp:example.org",
            "sip:exa%6dple.org",
            "sip:example.org\0",
            "sip:example.org:port",
            "sip:example.org:",
            "sip://example.org",
            "example.org",
        ] {
            assert_eq!(domain(none), None, "{none:?}");
        }
    }

    #[test]
    fn an_other_name_is_read_from_its_wrapper() {
        assert_eq!(explicit_string(b"\xa0\x05\x0c\x03abc"), Some("abc"));
        assert_eq!(explicit_string(b"\xa0\x05\x16\x03abc"), Some("abc"));
        for bad in [
            &b""[..],
            b"\xa0",
            b"\xa0\x05\x0c\x04abc",
            b"\xa0\x05\x04\x03abc",
            b"\x0c\x03abc",
            b"\xa0\x05\x0c\x03ab\xff",
            b"\xa0\x05\x0c\x03abcd",
        ] {
            assert_eq!(explicit_string(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_srv_id_is_for_the_xmpp_server_service_only() {
        assert_eq!(srv_domain("_XMPP-server.Example.org").as_deref(), Some("example.org"));
        for none in [
            "_xmpp-client.example.org",
            "xmpp-server.example.org",
            "_xmpp-server.*.example.org",
            "_xmpp-server.",
        ] {
            assert_eq!(srv_domain(none), None, "{none}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_octets_give_a_host_name_or_nothing(octets in proptest::collection::vec(0u8.., 0..80), text in ".{0,60}", tail in "[a-z.:;?@\\[\\]%*0-9]{0,40}") {
            let _ = explicit_string(&octets);
            let wrapped = [&[0xa0, octets.len() as u8 + 2, 0x0c, octets.len() as u8][..], &octets].concat();
            assert_eq!(explicit_string(&wrapped), std::str::from_utf8(&octets).ok());
            for text in [text, tail] {
                let _ = srv_domain(&format!("_xmpp-server.{text}"));
                if let Some(name) = host(&text, true) {
                    assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.*".contains(&b)));
                }
                let found = sip_rest(&format!("sip:{text}")).and_then(sip_domain);
                assert!(found.is_none_or(|domain| !text.contains('@') && !domain.as_str().contains(['*', '%', ';', '?'])));
            }
        }
    }
}
