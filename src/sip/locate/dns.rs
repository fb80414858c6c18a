//! The DNS side of a [`super::Locator`]: questions, answers, records and names.

use std::net::IpAddr;

/// A DNS question; names without the final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// NAPTR records of a name.
    Naptr(Box<str>),
    /// SRV records of a name.
    Srv(Box<str>),
    /// A and AAAA records of a name.
    Address(Box<str>),
}

/// Names a question, for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked(pub(super) usize);

/// A NAPTR record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Naptr<'a> {
    /// Order: lower first.
    pub order: u16,
    /// Preference within the order: lower first.
    pub preference: u16,
    /// Flags: `s` counts.
    pub flags: &'a str,
    /// Service, as `SIPS+D2T`.
    pub service: &'a str,
    /// Regular expression: only an empty one counts.
    pub regexp: &'a str,
    /// The SRV name.
    pub replacement: &'a str,
}

/// An SRV record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Srv<'a> {
    /// Priority: lower first.
    pub priority: u16,
    /// Share within the priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The server's name, `.` for none.
    pub target: &'a str,
}

/// An answer to a question.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    /// NAPTR records.
    Naptr(&'a [Naptr<'a>]),
    /// SRV records.
    Srv(&'a [Srv<'a>]),
    /// Addresses, in the order to try them.
    Address(&'a [IpAddr]),
    /// The name or the type does not exist.
    Nothing,
    /// No answer: SERVFAIL, a time limit, garbage.
    Failed,
}

/// The IP address that `host` is, with or without brackets.
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    inner.parse().ok()
}

/// `name` without its final dot, if it could stand in DNS below an SRV prefix.
pub(super) fn dns_name(name: &str) -> Option<&str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_')
    };
    (name.len() <= 253 && name.split('.').all(is_label)).then_some(name)
}
