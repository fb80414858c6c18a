//! Revocation lists (RFC 5280 §5): whether an issuer has taken a certificate back.
//!
//! Lists come from files, which whoever administers us keeps fresh: they are read at the start and at each
//! reload. The path was validated before; here it is only looked up.

use super::judge::CertFault;
use super::provider;
use crate::now::Wall;
use crate::x509::pem;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::path::{Path, PathBuf};
use std::time::Duration;
use webpki::{
    CertRevocationList, EndEntityCert, Error, ExpirationPolicy, ExtendedKeyUsageValidator, KeyPurposeIdIter,
    OwnedCertRevocationList, RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy,
};

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
    lists: Vec<CertRevocationList<'static>>,
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
        Ok(Self { lookup, lists })
    }

    /// Looks up a path that is good: `own`, and what was presented with it.
    pub(super) fn check(
        &self,
        own: &CertificateDer<'_>,
        issuers: &[CertificateDer<'_>],
        roots: &RootCertStore,
        wall: Wall,
    ) -> Result<(), CertFault> {
        let unknown = |reason: String| match self.lookup {
            Lookup::Off | Lookup::Soft => Ok(()),
            Lookup::Hard => Err(CertFault::RevocationUnknown(reason)),
        };
        if self.lookup == Lookup::Off {
            return Ok(());
        }
        let lists: Vec<&CertRevocationList<'_>> = self.lists.iter().collect();
        let Ok(options) = RevocationOptionsBuilder::new(&lists) else {
            return unknown("there are no revocation lists: [tls] crl_files".to_owned());
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
        let now = UnixTime::since_unix_epoch(Duration::from_secs(wall.as_secs()));
        let algorithms = provider().signature_verification_algorithms.all;
        match cert.verify_for_usage(algorithms, &roots.roots, issuers, now, AnyUsage, Some(options), None) {
            Ok(_) => Ok(()),
            Err(Error::CertRevoked) => Err(CertFault::Revoked),
            Err(Error::UnknownRevocationStatus) => unknown("no list of its issuer".to_owned()),
            Err(Error::CrlExpired { .. }) => unknown("the list of its issuer is stale".to_owned()),
            Err(error) => unknown(error.to_string()),
        }
    }
}

fn read(path: &Path) -> Result<Vec<CertRevocationList<'static>>, String> {
    use std::io::Read;
    let mut octets = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_FILE + 1).read_to_end(&mut octets).map_err(|error| error.to_string())?;
    if octets.len() as u64 > MAX_FILE {
        return Err("longer than 64 MiB".to_owned());
    }
    let ders = match memchr::memmem::find(&octets, b"-----BEGIN ") {
        Some(_) => pem::parse(&octets)
            .map_err(|error| error.to_string())?
            .lists
            .into_iter()
            .map(|list| list.as_ref().to_vec())
            .collect(),
        None => vec![octets],
    };
    if ders.is_empty() {
        return Err("no revocation list in it".to_owned());
    }
    let mut lists = Vec::with_capacity(ders.len());
    for der in ders {
        let list = OwnedCertRevocationList::from_der(&der)
            .map_err(|error| format!("no revocation list that we can read: {error}"))?;
        lists.push(list.into());
    }
    Ok(lists)
}

/// What a certificate may be used for was looked at before.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        Ok(())
    }
}
