//! Domains: the domainpart of a JID and the host of a SIP URI, in one canonical form.
//!
//! The form is RFC 7622 §3.2: U-labels (UTS #46, non-transitional, which lower-cases and normalises
//! to NFC), no final dot, or an IP literal. The limits of the DNS hold as well: labels of 63 octets
//! and names of 253, counted in A-labels (RFC 1034 §3.1), and no underscore or other character
//! outside letters, digits and hyphens in an ASCII label (RFC 5890 §2.3.1).

use super::{AddrError, PART_MAX, Part};
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use std::borrow::{Borrow, Cow};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Octets of a domain name in A-labels, without the final dot.
const NAME_MAX: usize = 253;
/// Octets of one label.
const LABEL_MAX: usize = 63;

/// A canonical domain: `bücher.example`, `192.0.2.4` or `[2001:db8::1]`.
///
/// Equal, ordered and hashed as its text, so a map of domains can be asked with a `&str`. A clone
/// shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Domain(Arc<str>);

impl Domain {
    /// Reads a domain name in U-labels or A-labels, or an IP literal (IPv6 in brackets).
    ///
    /// One final dot is dropped (RFC 7622 §3.2). A name whose last label is a number must be a
    /// dotted IPv4 address. Full stops of other scripts are refused: RFC 7622 knows one separator.
    ///
    /// # Errors
    ///
    /// [`AddrError::Empty`], [`AddrError::TooLong`] or [`AddrError::Forbidden`] of
    /// [`Part::Domain`].
    pub fn parse(text: &str) -> Result<Self, AddrError> {
        canonical(text).map(|domain| Self(Arc::from(domain)))
    }

    /// Wraps a text that is canonical because it was cut from something canonical.
    pub(super) fn of_canonical(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in A-labels, as DNS, TLS and SIP want it; an IP literal as it is.
    pub fn to_ascii(&self) -> Cow<'_, str> {
        to_ascii(&self.0)
    }

    /// Whether this is an IP literal, which no certificate authority vouches for.
    pub fn is_ip(&self) -> bool {
        self.0.starts_with('[') || self.0.parse::<Ipv4Addr>().is_ok()
    }
}

impl AsRef<str> for Domain {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Domain {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Domain {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        Self::parse(text)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A canonical domain in A-labels.
pub(super) fn to_ascii(domain: &str) -> Cow<'_, str> {
    if domain.is_ascii() {
        return Cow::Borrowed(domain);
    }
    // A canonical name was converted once already, so the conversion does not fail.
    Uts46::new()
        .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Ignore)
        .unwrap_or(Cow::Borrowed(domain))
}

/// `text` in canonical form.
pub(super) fn canonical(text: &str) -> Result<Cow<'_, str>, AddrError> {
    let text = text.strip_suffix('.').unwrap_or(text);
    match shape(text) {
        Shape::Canonical => Ok(Cow::Borrowed(text)),
        Shape::UpperCase => Ok(Cow::Owned(text.to_ascii_lowercase())),
        Shape::Unclear => prepared(text),
    }
}

/// What one look at the octets tells about a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// ASCII in canonical form.
    Canonical,
    /// ASCII in canonical form but for upper-case letters.
    UpperCase,
    /// Anything else, be it wrong or right.
    Unclear,
}

/// Looks at a domain without its final dot.
pub(super) fn shape(text: &str) -> Shape {
    if text.len() > NAME_MAX {
        return Shape::Unclear;
    }
    let mut upper = false;
    let mut number = true;
    let mut length = 0;
    let mut last = b'.';
    for &octet in text.as_bytes() {
        match octet {
            b'0'..=b'9' => {}
            b'a'..=b'z' => number = false,
            b'A'..=b'Z' => {
                upper = true;
                number = false;
            }
            // Hyphens in the third and fourth place mark A-labels and what is reserved like them.
            b'-' if length > 0 && !(length == 3 && last == b'-') => number = false,
            b'.' if length > 0 && last != b'-' => {
                (length, number, last) = (0, true, b'.');
                continue;
            }
            _ => return Shape::Unclear,
        }
        length += 1;
        if length > LABEL_MAX {
            return Shape::Unclear;
        }
        last = octet;
    }
    match (length == 0 || last == b'-' || number, upper) {
        (true, _) => Shape::Unclear,
        (false, true) => Shape::UpperCase,
        (false, false) => Shape::Canonical,
    }
}

/// The whole preparation, for what is not plain ASCII.
fn prepared(text: &str) -> Result<Cow<'_, str>, AddrError> {
    let forbidden = AddrError::Forbidden(Part::Domain);
    if text.is_empty() {
        return Err(AddrError::Empty(Part::Domain));
    }
    if text.len() > PART_MAX {
        return Err(AddrError::TooLong(Part::Domain));
    }
    if let Some(inner) = text.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<Ipv6Addr>().ok());
        return Ok(Cow::Owned(format!("[{}]", address.ok_or(forbidden)?)));
    }
    if text.parse::<Ipv4Addr>().is_ok() {
        return Ok(Cow::Borrowed(text));
    }
    let name = to_unicode(text)?;
    if dots(&name) != dots(text) || ends_in_number(&name) {
        return Err(forbidden);
    }
    if name.len() > PART_MAX {
        return Err(AddrError::TooLong(Part::Domain));
    }
    let stable = name == text || to_unicode(&name)? == name;
    let resolvable = Uts46::new()
        .to_ascii(name.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify)
        .is_ok();
    if stable && resolvable { Ok(name) } else { Err(forbidden) }
}

fn to_unicode(text: &str) -> Result<Cow<'_, str>, AddrError> {
    let (name, outcome) =
        Uts46::new().to_unicode(text.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast);
    outcome.map(|()| name).map_err(|_| AddrError::Forbidden(Part::Domain))
}

fn dots(text: &str) -> usize {
    text.bytes().filter(|octet| *octet == b'.').count()
}

fn ends_in_number(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|label| label.bytes().all(|octet| octet.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    fn domain(text: &str) -> Result<String, AddrError> {
        Domain::parse(text).map(|domain| domain.to_string())
    }

    #[test]
    fn check_010_labels_become_u_labels_and_go_back_to_a_labels() {
        for (text, canonical, ascii) in [
            ("example.com", "example.com", "example.com"),
            ("EXAMPLE.Com", "example.com", "example.com"),
            ("example.com.", "example.com", "example.com"),
            ("xn--bcher-kva.example", "bücher.example", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example.", "bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "bücher.example", "xn--bcher-kva.example"),
            ("bu\u{308}cher.example", "bücher.example", "xn--bcher-kva.example"),
            ("ｅｘａｍｐｌｅ.com", "example.com", "example.com"),
            ("straße.example", "straße.example", "xn--strae-oqa.example"),
            ("日本語.jp", "日本語.jp", "xn--wgv71a119e.jp"),
            ("localhost", "localhost", "localhost"),
            ("a--b.example", "a--b.example", "a--b.example"),
            ("192.0.2.4", "192.0.2.4", "192.0.2.4"),
            ("[2001:DB8:0::1]", "[2001:db8::1]", "[2001:db8::1]"),
        ] {
            let domain = Domain::parse(text).unwrap();
            assert_eq!((domain.as_str(), &*domain.to_ascii()), (canonical, ascii), "{text}");
            assert_eq!(Domain::parse(canonical).unwrap(), domain);
            assert_eq!(Domain::parse(ascii).unwrap(), domain);
        }
    }

    #[test]
    fn what_is_no_domain_is_refused() {
        for text in [
            "..",
            ".example.com",
            "example..com",
            "example.com..",
            "-a.example",
            "a-.example",
            "a_b.example",
            "exa mple.com",
            "ex%61mple.com",
            "a@b.example",
            "a／b.example",
            "a＠b.example",
            "xn--.example",
            "xn--a.example",
            "xn--example-.com",
            "1.2.3",
            "256.1.1.1",
            "010.1.1.1",
            "１９２.０.２.４",
            "a.123",
            "[::1",
            "::1",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "[192.0.2.4]",
            "a..",
            "example.com\0",
            "a\u{202e}b.example",
            "℀.example",
            "⒈.example",
            "a…b",
        ] {
            assert_eq!(domain(text), Err(AddrError::Forbidden(Part::Domain)), "{text:?}");
        }
        assert_eq!(domain("."), Err(AddrError::Empty(Part::Domain)));
        assert_eq!(domain(""), Err(AddrError::Empty(Part::Domain)));
        assert_eq!(domain(&"a.".repeat(600)), Err(AddrError::TooLong(Part::Domain)));
    }

    #[test]
    fn threat_132_only_equal_domains_are_equal() {
        let plain = Domain::parse("example.com").unwrap();
        for equal in
            ["EXAMPLE.COM", "example.com.", "exam\u{ad}ple.com", "ｅxample.com", "ex\u{200b}ample.com"]
        {
            assert_eq!(Domain::parse(equal).as_ref(), Ok(&plain), "{equal:?}");
        }
        for other in [
            "example。com",
            "example．com",
            "example｡com",
            "example.com。",
            "еxample.com",
            "exаmple.com",
            "notexample.com",
            "example.com.evil.example",
            "xexample.com",
            "example.co",
            "examp1e.com",
            "ex\u{200d}ample.com",
        ] {
            assert_ne!(Domain::parse(other).as_ref(), Ok(&plain), "{other:?}");
        }
    }

    #[test]
    fn the_limits_of_the_dns_hold() {
        let label = "a".repeat(63);
        let name = [&*label, &*label, &*label, &label[..61]].join(".");
        assert_eq!(name.len(), 253);
        assert_eq!(domain(&name).as_deref(), Ok(&*name));
        assert!(domain(&format!("{name}b")).is_err());
        assert!(domain(&format!("{label}a.example")).is_err());
        assert!(domain(&format!("{}.example", "ü".repeat(60))).is_err());
    }

    #[test]
    fn an_ip_literal_says_so() {
        let is_ip = |text| Domain::parse(text).unwrap().is_ip();
        assert!(is_ip("192.0.2.4") && is_ip("[::1]"));
        assert!(!is_ip("example.com") && !is_ip("4a.example"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn canonical_twice_is_canonical_once(text in "\\PC{0,20}|[a-zA-Z0-9.üÜßςΣ。-]{0,30}|xn--[a-z0-9-]{1,12}(\\.[a-z]{2})?") {
            if let Ok(domain) = Domain::parse(&text) {
                prop_assert_eq!(&Domain::parse(domain.as_str()).unwrap(), &domain);
                prop_assert_eq!(&Domain::parse(&domain.to_ascii()).unwrap(), &domain);
                prop_assert!(domain.to_ascii().is_ascii());
            }
        }

        #[test]
        fn the_fast_path_agrees_with_the_whole_preparation(text in "[a-zA-Z0-9.-]{1,20}") {
            if shape(&text) != Shape::Unclear {
                prop_assert_eq!(prepared(&text).unwrap(), canonical(&text).unwrap());
            }
        }
    }
}
