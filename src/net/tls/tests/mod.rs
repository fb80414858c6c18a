//! Tests of the room, over real handshakes in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod certs;
mod fetching;
mod handshake;
mod identity;
mod links;
mod openssl;
mod revocation;
mod strict;

use super::certs::{CertSettings, Side, Sides};
use super::{CertSource, CertStore, ClientRole, ClientTls, MinVersion, PeerCert, ServerTls, Trust};
use crate::addr::Domain;
use crate::now::{Now, Wall};
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, DnValue, IsCa, Issuer, KeyPair};
use rcgen::{ExtendedKeyUsagePurpose as Eku, NameConstraints};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

/// 2026-11-23.
const NOW: Wall = Now::at(0).wall;

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

/// One subjectAltName, as its octets are to be.
#[derive(Clone, Debug)]
enum San {
    Dns(&'static [u8]),
    Uri(&'static [u8]),
    Ip(&'static [u8]),
    XmppAddr(&'static [u8]),
    SrvName(&'static [u8]),
}

impl San {
    fn der(&self) -> Vec<u8> {
        let other = |oid: u8, tag: u8, text: &[u8]| {
            let mut body = tlv(6, &[0x2b, 6, 1, 5, 5, 7, 8, oid]);
            body.extend(tlv(0xa0, &tlv(tag, text)));
            tlv(0xa0, &body)
        };
        match self {
            Self::Dns(text) => tlv(0x82, text),
            Self::Uri(text) => tlv(0x86, text),
            Self::Ip(octets) => tlv(0x87, octets),
            Self::XmppAddr(text) => other(5, 0x0c, text),
            Self::SrvName(text) => other(7, 0x16, text),
        }
    }
}

fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match contents.len() {
        short @ 0..=0x7f => der.push(short as u8),
        long => der.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    der.extend(contents);
    der
}

/// What a certificate is to be like.
struct Ask {
    sans: Vec<San>,
    cn: Option<&'static str>,
    eku: Vec<Eku>,
    years: (i32, i32),
    ca: bool,
}

impl Ask {
    fn dns(name: &'static str) -> Self {
        Self::san(vec![San::Dns(name.as_bytes())])
    }

    fn san(sans: Vec<San>) -> Self {
        Self { sans, cn: None, eku: vec![Eku::ServerAuth, Eku::ClientAuth], years: (2026, 2028), ca: false }
    }

    fn eku(self, eku: &[Eku]) -> Self {
        Self { eku: eku.to_vec(), ..self }
    }

    fn years(self, from: i32, to: i32) -> Self {
        Self { years: (from, to), ..self }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(cn) = self.cn {
            params.distinguished_name.push(DnType::CommonName, DnValue::Utf8String(cn.to_owned()));
        }
        params.extended_key_usages = self.eku.clone();
        params.not_before = rcgen::date_time_ymd(self.years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(self.years.1, 1, 1);
        if self.ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        if !self.sans.is_empty() {
            let names: Vec<u8> = self.sans.iter().flat_map(San::der).collect();
            let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 17], tlv(0x30, &names));
            extension.set_criticality(self.cn.is_none());
            params.custom_extensions.push(extension);
        }
        params
    }
}

/// An authority.
struct Ca {
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        params
    }

    fn new(name: &str) -> Self {
        let (params, key) = (Self::params(name), KeyPair::generate().unwrap());
        Self { der: params.self_signed(&key).unwrap().der().clone(), issuer: Issuer::new(params, key) }
    }

    fn intermediate(&self, name: &str, until: i32, permitted: Option<NameConstraints>) -> Self {
        let (mut params, key) = (Self::params(name), KeyPair::generate().unwrap());
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        params.name_constraints = permitted;
        let der = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Self { der, issuer: Issuer::new(params, key) }
    }

    fn issue(&self, ask: &Ask) -> Issued {
        let key = KeyPair::generate().unwrap();
        let own = ask.params().signed_by(&key, &self.issuer).unwrap();
        Issued { chain: vec![own.der().clone()], key }
    }

    fn trust(&self) -> Arc<Trust> {
        Arc::new(Trust::anchors([self.der.clone()]).unwrap())
    }
}

struct Issued {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

impl Issued {
    fn self_signed(ask: &Ask) -> Self {
        let key = KeyPair::generate().unwrap();
        Self { chain: vec![ask.params().self_signed(&key).unwrap().der().clone()], key }
    }

    fn via(mut self, ca: &Ca) -> Self {
        self.chain.push(ca.der.clone());
        self
    }

    /// Writes both files into `dir` and says where they are.
    fn save(&self, dir: &Path, id: &str) -> CertSource {
        let (chain, key) = (dir.join(format!("{id}.pem")), dir.join(format!("{id}.key")));
        std::fs::write(&chain, pem(&self.chain)).unwrap();
        std::fs::write(&key, self.key.serialize_pem()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
        CertSource { id: id.to_owned(), chain, key, replaces: None, sides: Sides::BOTH }
    }

    fn store(&self) -> Arc<CertStore> {
        store(&[("one", self)])
    }

    fn peer(&self, trust: Arc<Trust>) -> PeerCert {
        PeerCert::new(self.chain.clone(), trust, "TLSv1.3")
    }
}

fn pem(chain: &[CertificateDer<'_>]) -> String {
    use base64::Engine;
    let section = |der: &CertificateDer<'_>| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    chain.iter().map(section).collect()
}

fn store(certificates: &[(&str, &Issued)]) -> Arc<CertStore> {
    let dir = tempfile::tempdir().unwrap();
    let sources = certificates.iter().map(|(id, issued)| issued.save(dir.path(), id)).collect();
    Arc::new(CertStore::load(CertSettings { sources, ..CertSettings::default() }).unwrap())
}

fn no_certificate() -> Arc<CertStore> {
    Arc::new(CertStore::load(CertSettings::default()).unwrap())
}

fn server_of(issued: &Issued) -> Arc<ServerConfig> {
    ServerTls::new(issued.store(), MinVersion::Tls12).unwrap().xmpp(None)
}

fn client_of(store: Arc<CertStore>) -> Arc<ClientConfig> {
    ClientTls::new(store, MinVersion::Tls12).unwrap().config(None, ClientRole::XmppStartTls)
}

/// A whole handshake in memory. An error is that of the side which saw it first.
fn handshake(
    client: Arc<ClientConfig>,
    name: &str,
    server: Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = super::client::server_name(&domain(name)).unwrap();
    let mut client = ClientConnection::new(client, name)?;
    let mut server = ServerConnection::new(server)?;
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        feed(&wire, |mut part| server.read_tls(&mut part));
        server.process_new_packets()?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        feed(&wire, |mut part| client.read_tls(&mut part));
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn feed(mut wire: &[u8], mut read: impl FnMut(&[u8]) -> std::io::Result<usize>) {
    while !wire.is_empty() {
        let taken = read(wire).unwrap();
        wire = &wire[taken..];
    }
}
