//! What a certificate says, for people.

use crate::addr::Domain;
use crate::now::Wall;
use crate::x509::names::{self, Names, quoted};
use crate::x509::{distribution_points, wall};
use rustls::pki_types::CertificateDer;
use serde::Serialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

const DAY: u64 = 24 * 3600;

/// A certificate.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// Distinguished name of its holder.
    pub subject: String,
    /// Distinguished name of its issuer.
    pub issuer: String,
    /// Serial number, in hexadecimal.
    pub serial: String,
    /// SHA-256 of the whole, in hexadecimal.
    pub sha256: String,
    /// SHA-1 of the whole: the thumbprint of Windows.
    pub thumbprint: String,
    /// Every subjectAltName: "DNS:gw.contoso.example".
    pub names: Vec<String>,
    /// From when on it is good.
    pub not_before: String,
    /// Until when.
    pub not_after: String,
    /// "RSA 2048", "ECDSA P-256".
    pub key: String,
    /// The algorithm of its signature.
    pub signature: String,
    /// Fit for a TLS server, by its extended key usage.
    pub server_auth: bool,
    /// Fit for a TLS client.
    pub client_auth: bool,
    /// Where its issuer publishes what it has revoked.
    pub crl: Vec<String>,
    /// Whether it is an authority's.
    pub is_authority: bool,
    #[serde(skip)]
    pub(super) begin: Wall,
    #[serde(skip)]
    pub(super) end: Wall,
    #[serde(skip)]
    pub(super) is_weak: Option<&'static str>,
    #[serde(skip)]
    parsed: Names,
}

impl Seen {
    /// Reads `der`; None if it is no certificate.
    pub fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, cert) = X509Certificate::from_der(der).ok()?;
        let usage = cert.extended_key_usage().ok().flatten();
        let allows = |wanted: fn(&x509_parser::extensions::ExtendedKeyUsage<'_>) -> bool| {
            usage.as_ref().is_none_or(|usage| usage.value.any || wanted(usage.value))
        };
        let (begin, end) =
            (wall(cert.validity().not_before.timestamp()), wall(cert.validity().not_after.timestamp()));
        let (key, weak_key) = key(&cert);
        let (signature, weak_signature) = signature(&cert);
        Some(Self {
            subject: quoted_name(&cert.subject().to_string()),
            issuer: quoted_name(&cert.issuer().to_string()),
            serial: hex(cert.raw_serial()),
            sha256: hex(&Sha256::digest(der)),
            thumbprint: hex(&Sha1::digest(der)),
            names: names::listed(&cert),
            not_before: stamp(begin),
            not_after: stamp(end),
            key,
            signature,
            server_auth: allows(|usage| usage.server_auth),
            client_auth: allows(|usage| usage.client_auth),
            crl: distribution_points(&cert).into_iter().map(|uri| quoted(uri.as_bytes())).collect(),
            is_authority: cert.is_ca(),
            begin,
            end,
            is_weak: weak_key.or(weak_signature),
            parsed: Names::of(&cert, false),
        })
    }

    /// Whole days that are left at `now`, below zero when it is over.
    pub fn days_left(&self, now: Wall) -> i64 {
        let days = |seconds: u64| i64::try_from(seconds / DAY).unwrap_or(i64::MAX);
        match self.end.as_secs().checked_sub(now.as_secs()) {
            Some(left) => days(left),
            None => -days(now.as_secs() - self.end.as_secs()) - 1,
        }
    }

    /// "in 397 days", "18 days ago".
    pub fn expiry(&self, now: Wall) -> String {
        match self.days_left(now) {
            0 => "today".to_owned(),
            1 => "in 1 day".to_owned(),
            -1 => "a day ago".to_owned(),
            days @ 2.. => format!("in {days} days"),
            days => format!("{} days ago", days.unsigned_abs()),
        }
    }

    /// Whether it is for the domain `domain`, as an XMPP server checks it.
    pub fn is_for(&self, domain: &Domain) -> bool {
        self.parsed.xmpp_matches(domain)
    }

    /// Whether it has the host name `host` as a DNS name.
    pub fn has_host(&self, host: &str) -> bool {
        Domain::parse(host).is_ok_and(|host| self.parsed.dns_matches(&host))
    }
}

/// RFC 3339, in UTC.
pub fn stamp(wall: Wall) -> String {
    let seconds = i64::try_from(wall.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map(|stamp| stamp.to_string()).unwrap_or_default()
}

/// A distinguished name as it may stand on a terminal.
fn quoted_name(text: &str) -> String {
    let text: String = text.chars().take(300).collect();
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a String does not fail.
        let _ = write!(text, "{octet:02X}");
        text
    })
}

/// The kind and size of the key; what is wrong with it.
fn key(cert: &X509Certificate<'_>) -> (String, Option<&'static str>) {
    match cert.public_key().parsed() {
        Ok(PublicKey::RSA(rsa)) => {
            let bits = rsa.key_size();
            (format!("RSA {bits}"), (bits < 2048).then_some("its RSA key is shorter than 2048 bits"))
        }
        Ok(PublicKey::EC(point)) => (format!("ECDSA P-{}", point.key_size()), None),
        Ok(_) | Err(_) if cert.public_key().algorithm.algorithm.to_id_string() == "1.3.101.112" => {
            ("Ed25519".to_owned(), Some("few servers and authorities take Ed25519 in TLS"))
        }
        Ok(_) | Err(_) => ("unknown".to_owned(), Some("its key is of a kind that TLS does not take")),
    }
}

fn signature(cert: &X509Certificate<'_>) -> (String, Option<&'static str>) {
    let oid = cert.signature_algorithm.algorithm.to_id_string();
    let (name, weak) = match oid.as_str() {
        "1.2.840.113549.1.1.4" => ("MD5 with RSA", true),
        "1.2.840.113549.1.1.5" => ("SHA-1 with RSA", true),
        "1.2.840.10045.4.1" => ("SHA-1 with ECDSA", true),
        "1.2.840.113549.1.1.10" => ("RSASSA-PSS", false),
        "1.2.840.113549.1.1.11" => ("SHA-256 with RSA", false),
        "1.2.840.113549.1.1.12" => ("SHA-384 with RSA", false),
        "1.2.840.113549.1.1.13" => ("SHA-512 with RSA", false),
        "1.2.840.10045.4.3.2" => ("SHA-256 with ECDSA", false),
        "1.2.840.10045.4.3.3" => ("SHA-384 with ECDSA", false),
        "1.2.840.10045.4.3.4" => ("SHA-512 with ECDSA", false),
        "1.3.101.112" => ("Ed25519", false),
        _ => (oid.as_str(), false),
    };
    let pss = (name == "RSASSA-PSS").then_some("it is signed with RSASSA-PSS, which Lync does not take");
    let sha1 = weak.then_some("it is signed with a hash that nobody takes any more");
    (name.to_owned(), sha1.or(pss))
}
