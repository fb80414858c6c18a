//! Revocation lists (RFC 5280 §5): whether an issuer has taken a certificate back.
//!
//! Lists come from files, which whoever administers us keeps fresh and which are read at the start and at each
//! reload, and from where certificates say that they are (`net::crl` fetches them). The path was validated
//! before; here it is only looked up.

use super::judge::CertFault;
use super::lists::{List, Lists, Point, addresses};
use super::provider;
use crate::now::Wall;
use crate::x509::pem;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use webpki::{
    CertRevocationList, EndEntityCert, Error, ExpirationPolicy, ExtendedKeyUsageValidator, KeyPurposeIdIter,
    RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Octets of a file of lists.
const MAX_FILE: u64 = 64 << 20;

/// Whether certificates are looked up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lookup {
    /// No.
    #[default]
    Off,
    /// Yes; what no list says is taken as good.
    Soft,
    /// Yes; what no list says is refused, and so is what only a stale list says.
    Hard,
}

/// The lists that we have.
#[derive(Debug, Default)]
pub struct Revocation {
    lookup: Lookup,
    files: Vec<List>,
    fetched: Option<Arc<Lists>>,
}

/// Why a file of lists can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", .path.display())]
pub struct ListError {
    path: PathBuf,
    reason: String,
}

impl Revocation {
    /// Reads the lists in `files`: PEM, any number in a file, or one in DER.
    ///
    /// # Errors
    /// A file can't be read, or has no list in it.
    pub fn load(lookup: Lookup, files: &[PathBuf]) -> Result<Self, ListError> {
        let mut lists = Vec::new();
        if lookup != Lookup::Off {
            for path in files {
                let fault = |reason: String| ListError { path: path.clone(), reason };
                lists.extend(read(path).map_err(fault)?);
            }
        }
        Ok(Self { lookup, files: lists, fetched: None })
    }

    /// The same, and lists that were fetched.
    pub fn with_fetched(self, lists: Arc<Lists>) -> Self {
        Self { fetched: Some(lists), ..self }
    }

    /// Whether a list that says more may still come.
    pub(super) fn may_learn(&self) -> bool {
        self.lookup != Lookup::Off && self.fetched.is_some()
    }

    /// Where the lists of a path are. Only of a path that is good: a stranger does not make us ask anybody.
    pub(super) fn points(
        &self,
        own: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        roots: &RootCertStore,
        wall: Wall,
    ) -> Vec<Point> {
        if !self.may_learn() {
            return Vec::new();
        }
        let Ok(cert) = EndEntityCert::try_from(own) else { return Vec::new() };
        let algorithms = provider().signature_verification_algorithms.all;
        let now = unix(wall);
        let path = cert.verify_for_usage(algorithms, &roots.roots, issuers, now, AnyUsage, None, None);
        let Ok(path) = path else { return Vec::new() };
        let above: Vec<_> = path.intermediate_certificates().collect();
        let anchor = sequence(&path.anchor().subject_public_key_info);
        let keys = above.iter().map(|cert| cert.subject_public_key_info().to_vec()).chain([anchor]);
        let certs =
            std::iter::once(own.as_ref().to_vec()).chain(above.iter().map(|cert| cert.der().to_vec()));
        let mut points = Vec::new();
        for (der, key) in certs.zip(keys) {
            let Ok((_, cert)) = X509Certificate::from_der(&der) else { continue };
            let key: Arc<[u8]> = key.into();
            points.extend(addresses(&cert).into_iter().map(|url| Point { url, key: key.clone() }));
        }
        points
    }

    /// Looks up a path that is good: `own`, and what was presented with it.
    pub(super) fn check(
        &self,
        own: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        roots: &RootCertStore,
        wall: Wall,
    ) -> Result<(), CertFault> {
        if self.lookup == Lookup::Off {
            return Ok(());
        }
        let points = self.points(own, issuers, roots, wall);
        let lists = self.fetched.as_deref();
        let unknown = |reason: &str| match self.lookup {
            Lookup::Off | Lookup::Soft => Ok(()),
            Lookup::Hard => {
                let faults = points.iter().filter_map(|point| {
                    Some(format!("; {}: {}", point.url.escape_debug(), lists?.fault(&point.url)?))
                });
                Err(CertFault::RevocationUnknown(faults.fold(reason.to_owned(), |text, fault| text + &fault)))
            }
        };
        let fetched: Vec<Arc<List>> = points.iter().filter_map(|point| lists?.get(&point.url)).collect();
        let mut all: Vec<&List> = self.files.iter().chain(fetched.iter().map(Arc::as_ref)).collect();
        // Of two lists of one issuer the first is asked: the newest.
        all.sort_by_key(|list| std::cmp::Reverse(list.this_update));
        let all: Vec<&CertRevocationList<'_>> = all.into_iter().map(|list| &list.list).collect();
        let Ok(options) = RevocationOptionsBuilder::new(&all) else {
            return unknown(match points.is_empty() {
                true => "there are no revocation lists: [tls] crl_files",
                false => "its revocation list was not to be had",
            });
        };
        let (status, expiration) = match self.lookup {
            Lookup::Hard => (UnknownStatusPolicy::Deny, ExpirationPolicy::Enforce),
            Lookup::Off | Lookup::Soft => (UnknownStatusPolicy::Allow, ExpirationPolicy::Ignore),
        };
        let options = options
            .with_depth(RevocationCheckDepth::Chain)
            .with_status_policy(status)
            .with_expiration_policy(expiration)
            .build();
        let cert = EndEntityCert::try_from(own).map_err(|_| CertFault::Malformed)?;
        let algorithms = provider().signature_verification_algorithms.all;
        let now = unix(wall);
        match cert.verify_for_usage(algorithms, &roots.roots, issuers, now, AnyUsage, Some(options), None) {
            Ok(_) => Ok(()),
            Err(Error::CertRevoked) => Err(CertFault::Revoked),
            Err(Error::UnknownRevocationStatus) => unknown("no list of its issuer"),
            Err(Error::CrlExpired { .. }) => unknown("the list of its issuer is stale"),
            Err(error) => unknown(&error.to_string()),
        }
    }
}

fn unix(wall: Wall) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(wall.as_secs()))
}

/// `contents` as a SEQUENCE in DER (X.690 §8.1): webpki keeps an anchor's key without that.
fn sequence(contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    let length = length.get(length.iter().take_while(|octet| **octet == 0).count()..).unwrap_or_default();
    let mut der = vec![0x30];
    match (length, u8::try_from(length.len())) {
        ([short @ 0..=0x7f], _) => der.push(*short),
        (long, Ok(count)) => {
            der.push(0x80 | count);
            der.extend_from_slice(long);
        }
        (_, Err(_)) => {}
    }
    der.extend_from_slice(contents);
    der
}

/// The lists in the octets of a file, or of an answer: PEM, any number, or one in DER.
///
/// # Errors
/// There is none.
pub fn ders(octets: Vec<u8>) -> Result<Vec<Vec<u8>>, String> {
    let ders: Vec<Vec<u8>> = match memchr::memmem::find(&octets, b"-----BEGIN ") {
        Some(_) => pem::parse(&octets)
            .map_err(|error| error.to_string())?
            .lists
            .into_iter()
            .map(|list| list.as_ref().to_vec())
            .collect(),
        None => vec![octets],
    };
    if ders.is_empty() { Err("no revocation list in it".to_owned()) } else { Ok(ders) }
}

fn read(path: &Path) -> Result<Vec<List>, String> {
    use std::io::Read;
    let mut octets = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_FILE + 1).read_to_end(&mut octets).map_err(|error| error.to_string())?;
    if octets.len() as u64 > MAX_FILE {
        return Err("longer than 64 MiB".to_owned());
    }
    ders(octets)?.iter().map(|der| List::read(der)).collect()
}

/// What a certificate may be used for was looked at before.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        Ok(())
    }
}
