//! `stoxd cert request`: a key, and a request with every name that a partner checks (PKCS #10, RFC 2986).
//!
//! | name | who looks for it |
//! |---|---|
//! | `[gateway] name` | SIP servers that we dial or that dial us |
//! | each served domain | XMPP servers (RFC 6120 §13.7.2), SIP servers (RFC 5922) |
//! | `sip.` and the domain | Lync and Skype for Business |
//! | SRVName `_xmpp-server.` and the domain, XmppAddr | XMPP servers that prefer them; on request |

use super::keys::{self, Readers};
use super::{Ours, Report};
use crate::addr::Domain;
use crate::admin::change::Refused;
use crate::admin::change::disk::{self, Lock};
use crate::admin::cli::{ConfigFile, Output, say};
use crate::admin::exit;
use clap::{Args, ValueEnum};
use cms::cert::x509::der::asn1::{Any, BmpString, Ia5String, OctetString, SetOfVec, Utf8StringRef};
use cms::cert::x509::der::oid::ObjectIdentifier;
use cms::cert::x509::der::{self, Encode, Tag};
use cms::cert::x509::ext::pkix::name::{GeneralName, OtherName};
use rcgen::{
    Attribute, CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_RSA_SHA256, RsaKeySize,
};
use serde_json::json;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

const XMPP_ADDR: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.8.5");
const DNS_SRV: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.8.7");
/// friendlyName (RFC 2985 §5.5.1).
const FRIENDLY_NAME: &[u64] = &[1, 2, 840, 113549, 1, 9, 20];
const SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];

/// Options of `stoxd cert request`.
#[derive(Debug, Args)]
pub struct Request {
    /// What the certificate is called in stoxd.toml, and its files
    #[arg(long, default_value = "gateway", value_parser = id)]
    id: String,
    /// The kind of key; every partner takes rsa2048
    #[arg(long, value_enum, default_value_t = KeyType::Rsa2048)]
    key_type: KeyType,
    /// Take the key that is there, for a renewal
    #[arg(long, conflicts_with = "key_type")]
    reuse_key: bool,
    /// "all" that are served, or some of them
    #[arg(long, value_name = "DOMAIN", value_delimiter = ',', default_value = "all")]
    domains: Vec<String>,
    /// Leave out sip.DOMAIN, which Lync and Skype for Business look for
    #[arg(long)]
    no_sip_names: bool,
    /// One more name: a host name, or dns:NAME, ip:ADDRESS, uri:URI
    #[arg(long, value_name = "NAME")]
    san: Vec<String>,
    /// Add an SRVName (_xmpp-server.DOMAIN) for each domain
    #[arg(long)]
    srv_id: bool,
    /// Add an XmppAddr for each domain
    #[arg(long)]
    xmpp_addr: bool,
    /// The subject's common name; default: the gateway's name
    #[arg(long, value_name = "NAME")]
    common_name: Option<String>,
    /// The subject's organisation
    #[arg(long, value_name = "TEXT")]
    organization: Option<String>,
    /// A part of it
    #[arg(long, value_name = "TEXT")]
    unit: Option<String>,
    /// Its city
    #[arg(long, value_name = "TEXT")]
    city: Option<String>,
    /// Its state or province
    #[arg(long, value_name = "TEXT")]
    state: Option<String>,
    /// Its country, two letters
    #[arg(long, value_name = "XX", value_parser = country)]
    country: Option<String>,
    /// A friendly name, which Windows shows
    #[arg(long, value_name = "TEXT")]
    friendly_name: Option<String>,
    /// Where the request goes; default: credentials/ID.csr beside stoxd.toml
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Say what would be made, and make nothing
    #[arg(long)]
    what_if: bool,
    /// Overwrite a report that is there
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    report: Report,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    output: Output,
}

/// Kinds of keys that we make. RSA of 1024 bits is refused everywhere; P-521 and Ed25519 by too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KeyType {
    /// RSA of 2048 bits.
    Rsa2048,
    /// RSA of 3072 bits.
    Rsa3072,
    /// RSA of 4096 bits.
    Rsa4096,
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
}

impl KeyType {
    fn make(self) -> Result<KeyPair, rcgen::Error> {
        match self {
            Self::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            Self::Rsa3072 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
            Self::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
            Self::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Self::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        }
    }
}

/// A name that is safe as a file's name and in stoxd.toml.
pub(super) fn id(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    match !text.is_empty() && text.len() <= 64 && !text.starts_with(['.', '-']) && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err("letters, digits, '.', '_' and '-', 64 at most, a letter or digit first".to_owned()),
    }
}

fn country(text: &str) -> Result<String, String> {
    match text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic()) {
        true => Ok(text.to_ascii_uppercase()),
        false => Err("two letters (ISO 3166): DE".to_owned()),
    }
}

/// One subjectAltName.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum San {
    /// A DNS name, in A-labels.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A URI.
    Uri(String),
    /// `_xmpp-server.` and the domain (RFC 4985).
    Srv(String),
    /// The domain (RFC 6120 §13.7.1.4).
    XmppAddr(String),
}

impl std::fmt::Display for San {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::Ip(address) => write!(f, "IP:{address}"),
            Self::Uri(uri) => write!(f, "URI:{uri}"),
            Self::Srv(name) => write!(f, "SRVName:{name}"),
            Self::XmppAddr(name) => write!(f, "xmppAddr:{name}"),
        }
    }
}

impl San {
    /// Reads an extra name of the command line.
    fn parse(text: &str) -> Result<Self, Refused> {
        let (kind, value) = match text.split_once(':') {
            Some((kind, value)) if ["dns", "ip", "uri"].contains(&kind.to_ascii_lowercase().as_str()) => {
                (kind.to_ascii_lowercase(), value)
            }
            Some(_) | None if text.parse::<IpAddr>().is_ok() => ("ip".to_owned(), text),
            Some(_) | None => ("dns".to_owned(), text),
        };
        let wrong = |why: &str| Refused::usage(format!("--san {}: {why}", text.escape_debug()));
        match kind.as_str() {
            "ip" => value.parse().map(Self::Ip).map_err(|_| wrong("no address")),
            "uri" if value.is_ascii() && value.contains(':') => Ok(Self::Uri(value.to_owned())),
            "uri" => Err(wrong("no URI")),
            _ => {
                let (star, name) = value.strip_prefix("*.").map_or(("", value), |name| ("*.", name));
                let domain = Domain::parse(name).map_err(|error| wrong(&error.to_string()))?;
                Ok(Self::Dns(format!("{star}{}", domain.to_ascii().to_ascii_lowercase())))
            }
        }
    }

    fn general_name(&self) -> der::Result<GeneralName> {
        let other = |type_id, value| GeneralName::OtherName(OtherName { type_id, value });
        Ok(match self {
            Self::Dns(name) => GeneralName::DnsName(Ia5String::new(name)?),
            Self::Uri(uri) => GeneralName::UniformResourceIdentifier(Ia5String::new(uri)?),
            Self::Ip(IpAddr::V4(address)) => GeneralName::IpAddress(OctetString::new(address.octets())?),
            Self::Ip(IpAddr::V6(address)) => GeneralName::IpAddress(OctetString::new(address.octets())?),
            Self::Srv(name) => other(DNS_SRV, Any::new(Tag::Ia5String, name.as_bytes())?),
            Self::XmppAddr(name) => other(XMPP_ADDR, Any::encode_from(&Utf8StringRef::new(name)?)?),
        })
    }
}

/// Makes what is asked for; the exit code.
///
/// # Errors
/// What is missing, or in the way.
pub fn run(request: &Request) -> Result<u8, Refused> {
    let ours = Ours::read(&request.file.config)?;
    request.report.is_free(request.yes)?;
    let Some(gateway) = &ours.certificates.gateway else {
        return Err(Refused {
            text: "[gateway] name is missing or wrong in stoxd.toml: stoxd check config".into(),
            code: exit::CONFIG,
        });
    };
    let names = names(request, gateway, &ours)?;
    let (_, key_file) = ours.files_of(&request.id);
    // Of two requests at once, the second must see the key of the first.
    let _lock = if request.what_if { None } else { Some(Lock::take(&request.file.config)?) };
    let out = request.out.clone().unwrap_or_else(|| ours.folder.join(format!("{}.csr", request.id)));
    if !request.reuse_key && key_file.exists() {
        return Err(Refused::failed(format!(
            "{}: there is a key already, and a certificate may be in use with it: take it again with --reuse-key, or give another --id",
            key_file.display()
        )));
    }
    // A slip of the fingers must not cost a key.
    if let Some(there) = disk::read(&out)?
        && !there.starts_with("-----BEGIN CERTIFICATE REQUEST-----")
    {
        return Err(Refused::failed(format!(
            "{}: there is a file already, and it is no request: give another --out",
            out.display()
        )));
    }
    let key = key(request, &key_file)?;
    let common_name = request.common_name.clone().unwrap_or_else(|| gateway.to_ascii().into_owned());
    let csr = make(request, &key, &common_name, &names)?;
    let pem = keys::pem_section("CERTIFICATE REQUEST", &csr);
    let kind = match request.reuse_key {
        true => "the one that is there".to_owned(),
        false => request.key_type.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default(),
    };
    if !request.what_if {
        // The key first, so that no request is ever without its key.
        if !request.reuse_key {
            keys::write(&key_file, key.serialize_pem(), Readers::Owner)?;
        }
        keys::write(&out, &pem, Readers::All)?;
    }
    let shown: Vec<String> = names.iter().map(ToString::to_string).collect();
    let report = json!({
        "id": request.id, "common_name": common_name, "names": shown, "key": key_file, "key_type": kind,
        "request": out, "made": !request.what_if,
    });
    let report = format!("{report:#}\n");
    request.report.write(&report)?;
    if request.output.json {
        return Ok(say(&report, exit::DONE));
    }
    let mut text = format!("request for CN={common_name}, for the certificate \"{}\"\n", request.id);
    for name in &shown {
        text.push_str(&format!("  {name}\n"));
    }
    text.push_str(&match request.what_if {
        true => format!("key {} ({kind}) and request {} would be written; nothing was changed\n", key_file.display(), out.display()),
        false => format!(
            "key      {} ({kind}, mode 0600; keep it: it never leaves this machine)\nrequest  {}\nnext     send the request to \
             your authority, then: stoxd cert import FILE\n",
            key_file.display(),
            out.display()
        ),
    });
    Ok(say(&text, exit::DONE))
}

/// The names that the certificate is to have, each once.
fn names(request: &Request, gateway: &Domain, ours: &Ours) -> Result<Vec<San>, Refused> {
    let ascii = |domain: &Domain| domain.to_ascii().to_ascii_lowercase();
    let all = || ours.certificates.domains.iter().map(|(domain, _)| domain);
    let domains: Vec<&Domain> = match request.domains.iter().any(|wanted| wanted == "all") {
        true => all().collect(),
        false => {
            let mut some = Vec::new();
            for wanted in &request.domains {
                let parsed = Domain::parse(wanted).ok();
                let found = all().find(|domain| parsed.as_ref() == Some(domain));
                some.push(found.ok_or_else(|| {
                    let served: Vec<&str> = all().map(Domain::as_str).collect();
                    let (wanted, served) = (wanted.escape_debug(), served.join(", "));
                    Refused::usage(format!(
                        "--domains {wanted}: no [[domain]] has this name; there are: {served}"
                    ))
                })?);
            }
            some
        }
    };
    let mut names = vec![San::Dns(ascii(gateway))];
    names.extend(domains.iter().map(|domain| San::Dns(ascii(domain))));
    if !request.no_sip_names {
        names.extend(domains.iter().map(|domain| San::Dns(format!("sip.{}", ascii(domain)))));
    }
    if request.srv_id {
        names.extend(domains.iter().map(|domain| San::Srv(format!("_xmpp-server.{}", ascii(domain)))));
    }
    if request.xmpp_addr {
        names.extend(domains.iter().map(|domain| San::XmppAddr(domain.to_string())));
    }
    for extra in &request.san {
        names.push(San::parse(extra)?);
    }
    let mut once: Vec<San> = Vec::with_capacity(names.len());
    for name in names {
        if !once.contains(&name) {
            once.push(name);
        }
    }
    Ok(once)
}

fn key(request: &Request, path: &Path) -> Result<KeyPair, Refused> {
    if !request.reuse_key {
        let fault = |error: rcgen::Error| Refused::failed(format!("can't make a key: {error}"));
        return request.key_type.make().map_err(fault);
    }
    let key = keys::read(path)?;
    KeyPair::try_from(&key).map_err(|error| {
        Refused::failed(format!("{}: this key can't be used for a request: {error}", path.display()))
    })
}

/// The request, in DER.
fn make(request: &Request, key: &KeyPair, common_name: &str, names: &[San]) -> Result<Vec<u8>, Refused> {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    let parts = [
        (DnType::CountryName, request.country.as_deref()),
        (DnType::StateOrProvinceName, request.state.as_deref()),
        (DnType::LocalityName, request.city.as_deref()),
        (DnType::OrganizationName, request.organization.as_deref()),
        (DnType::OrganizationalUnitName, request.unit.as_deref()),
        (DnType::CommonName, Some(common_name)),
    ];
    for (kind, value) in parts {
        let Some(value) = value else { continue };
        // RFC 5280: a country is a PrintableString, whatever else may be UTF-8.
        let printable = matches!(kind, DnType::CountryName).then(|| value.try_into().ok()).flatten();
        let value = printable.map_or_else(|| DnValue::Utf8String(value.to_owned()), DnValue::PrintableString);
        subject.push(kind, value);
    }
    params.distinguished_name = subject;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if key.algorithm() == &PKCS_RSA_SHA256 {
        params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
    }
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let encoded = || -> der::Result<(Vec<u8>, Option<Vec<u8>>)> {
        let all = names.iter().map(San::general_name).collect::<der::Result<Vec<_>>>()?;
        let friendly = request.friendly_name.as_deref().map(|name| {
            let name = BmpString::from_utf8(name)?;
            SetOfVec::try_from(vec![name])?.to_der()
        });
        Ok((all.to_der()?, friendly.transpose()?))
    };
    let (san, friendly) = encoded()
        .map_err(|error| Refused::usage(format!("a name can't be written into a request: {error}")))?;
    // rcgen writes otherNames as UTF8String alone, and an SRVName is an IA5String (RFC 4985 §2).
    params.custom_extensions.push(CustomExtension::from_oid_content(SUBJECT_ALT_NAME, san));
    let attributes = friendly.map(|values| Attribute { oid: FRIENDLY_NAME, values }).into_iter().collect();
    let csr = params
        .serialize_request_with_attributes(key, attributes)
        .map_err(|error| Refused::failed(format!("can't make the request: {error}")))?;
    Ok(csr.der().to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn f061_an_extra_name_is_a_host_an_address_or_a_uri() {
        let parsed = |text: &str| San::parse(text).map(|san| san.to_string());
        assert_eq!(parsed("Edge.Contoso.example").unwrap(), "DNS:edge.contoso.example");
        assert_eq!(parsed("dns:*.contoso.example").unwrap(), "DNS:*.contoso.example");
        assert_eq!(parsed("bücher.example").unwrap(), "DNS:xn--bcher-kva.example");
        assert_eq!(parsed("2001:db8::1").unwrap(), "IP:2001:db8::1");
        assert_eq!(parsed("ip:192.0.2.1").unwrap(), "IP:192.0.2.1");
        assert_eq!(parsed("uri:sip:contoso.example").unwrap(), "URI:sip:contoso.example");
        for wrong in ["", "ip:contoso.example", "uri:nothing", "dns:a b", "uri:sip:bücher.example"] {
            assert_eq!(San::parse(wrong).unwrap_err().code, exit::USAGE, "{wrong}");
        }
    }

    #[test]
    fn an_srv_id_is_an_ia5_string_and_an_xmpp_addr_a_utf8_string() {
        let der = |san: San| san.general_name().unwrap().to_der().unwrap();
        let srv = der(San::Srv("_xmpp-server.a.example".into()));
        assert!(srv.ends_with(b"\x16\x16_xmpp-server.a.example"), "{srv:02x?}");
        let addr = der(San::XmppAddr("b\u{fc}.example".into()));
        assert!(addr.ends_with("\u{c}\u{b}b\u{fc}.example".as_bytes()), "{addr:02x?}");
    }

    #[test]
    fn an_id_is_safe_as_the_name_of_a_file() {
        assert!(id("contoso-2027.a_b").is_ok());
        for wrong in ["", ".", "..", "-x", "a/b", "a b", "ä", "a\0", &"x".repeat(65)] {
            assert!(id(wrong).is_err(), "{wrong:?}");
        }
    }
}
