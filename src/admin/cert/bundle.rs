//! Certificates and keys as authorities and other servers hand them out: PEM, DER, PKCS #7, PKCS #12.

use crate::x509::pem;
use cms::cert::CertificateChoices;
use cms::cert::x509::der::{self, Decode, Encode};
use cms::content_info::ContentInfo;
use cms::signed_data::SignedData;
use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error as P12Error;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io::Read;
use std::path::{Path, PathBuf};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// Octets of a file that are read.
const MAX_FILE: u64 = 1024 * 1024;

/// What is in one file.
#[derive(Debug)]
pub struct Bundle {
    /// "PEM", "DER", "PKCS #7" or "PKCS #12".
    pub kind: &'static str,
    /// Every certificate, in the file's order.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Every private key.
    pub keys: Vec<PrivateKeyDer<'static>>,
}

/// Why a file can't be taken. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file is missing or not ours to read.
    #[error("{}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is longer than any bundle of certificates.
    #[error("{}: longer than 1 MiB, so no certificate", .0.display())]
    TooLong(PathBuf),
    /// It is a request.
    #[error("{}: this is a request, not a certificate: send it to the authority and import what comes back", .0.display())]
    Request(PathBuf),
    /// A key with a password, in PEM.
    #[error("{path}: the private key in it has a password; take it away: openssl pkey -in {path} -out NEW", path = .0.display())]
    EncryptedKey(PathBuf),
    /// Broken in itself.
    #[error("{}: broken {kind}: {reason}", .path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// Which format it seems to have.
        kind: &'static str,
        /// What the reader says.
        reason: String,
    },
    /// None of the formats.
    #[error("{}: neither PEM, DER, PKCS #7 nor PKCS #12: ask the authority for one of these", .0.display())]
    Unknown(PathBuf),
    /// PKCS #12 wants a password.
    #[error("{}: it has a password: give --password-file FILE (\"-\" reads the standard input)", .0.display())]
    NeedsPassword(PathBuf),
    /// The password is not that of the file.
    #[error("{}: wrong password", .0.display())]
    WrongPassword(PathBuf),
    /// Nothing that we could use.
    #[error("{}: no certificate in it", .0.display())]
    Empty(PathBuf),
}

/// Reads the file at `path`; `password` is for PKCS #12.
///
/// # Errors
/// See [`BundleError`].
pub fn read(path: &Path, password: Option<&str>) -> Result<Bundle, BundleError> {
    let bundle = parse(path, &octets(path)?, password)?;
    match bundle.certificates.is_empty() && bundle.keys.is_empty() {
        true => Err(BundleError::Empty(path.to_owned())),
        false => Ok(bundle),
    }
}

/// What is in the file at `path`.
///
/// # Errors
/// It can't be read, or is too long.
pub fn octets(path: &Path) -> Result<Vec<u8>, BundleError> {
    let unreadable = |source| BundleError::Unreadable { path: path.to_owned(), source };
    let mut octets = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE + 1).read_to_end(&mut octets).map_err(unreadable)?;
    if octets.len() as u64 > MAX_FILE {
        return Err(BundleError::TooLong(path.to_owned()));
    }
    Ok(octets)
}

/// What is in `octets`, the content of the file at `path`; `password` is for PKCS #12.
///
/// # Errors
/// See [`BundleError`].
pub fn parse(path: &Path, octets: &[u8], password: Option<&str>) -> Result<Bundle, BundleError> {
    if memchr::memmem::find(octets, b"-----BEGIN ").is_some() {
        return from_pem(path, octets);
    }
    if let Ok((rest, _)) = X509Certificate::from_der(octets)
        && rest.is_empty()
    {
        let certificates = vec![CertificateDer::from(octets.to_vec())];
        return Ok(Bundle { kind: "DER", certificates, keys: Vec::new() });
    }
    if let Ok(info) = ContentInfo::from_der(octets) {
        return from_pkcs7(path, &info);
    }
    if x509_parser::certification_request::X509CertificationRequest::from_der(octets).is_ok() {
        return Err(BundleError::Request(path.to_owned()));
    }
    // PKCS #12 is a SEQUENCE that begins with the version 3; the versions of keys are 0 and 1.
    if memchr::memmem::find(octets.get(..8).unwrap_or(octets), &[2, 1, 3]).is_some() {
        return from_pkcs12(path, octets, password);
    }
    if let Ok(key) = PrivateKeyDer::try_from(octets.to_vec()) {
        return Ok(Bundle { kind: "DER", certificates: Vec::new(), keys: vec![key] });
    }
    Err(BundleError::Unknown(path.to_owned()))
}

fn from_pem(path: &Path, octets: &[u8]) -> Result<Bundle, BundleError> {
    let broken =
        |kind: &'static str, reason: String| BundleError::Broken { path: path.to_owned(), kind, reason };
    let found = pem::parse(octets).map_err(|error| broken("PEM", error.to_string()))?;
    let mut bundle = Bundle { kind: "PEM", certificates: found.certificates, keys: found.keys };
    if found.has_encrypted_key && bundle.keys.is_empty() {
        return Err(BundleError::EncryptedKey(path.to_owned()));
    }
    for section in x509_parser::pem::Pem::iter_from_buffer(octets) {
        let section = section.map_err(|error| broken("PEM", error.to_string()))?;
        match section.label.as_str() {
            "PKCS7" | "CMS" => {
                let info = ContentInfo::from_der(&section.contents)
                    .map_err(|error| broken("PKCS #7", error.to_string()))?;
                bundle.kind = "PKCS #7";
                bundle.certificates.extend(from_pkcs7(path, &info)?.certificates);
            }
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" if bundle.certificates.is_empty() => {
                return Err(BundleError::Request(path.to_owned()));
            }
            _ => {}
        }
    }
    Ok(bundle)
}

fn from_pkcs7(path: &Path, info: &ContentInfo) -> Result<Bundle, BundleError> {
    let broken = |error: der::Error| BundleError::Broken {
        path: path.to_owned(),
        kind: "PKCS #7",
        reason: error.to_string(),
    };
    let signed: SignedData = info.content.decode_as().map_err(broken)?;
    let mut certificates = Vec::new();
    for choice in signed.certificates.iter().flat_map(|set| set.0.iter()) {
        if let CertificateChoices::Certificate(certificate) = choice {
            let der = certificate.to_der().map_err(broken)?;
            certificates.push(CertificateDer::from(der));
        }
    }
    Ok(Bundle { kind: "PKCS #7", certificates, keys: Vec::new() })
}

fn from_pkcs12(path: &Path, octets: &[u8], password: Option<&str>) -> Result<Bundle, BundleError> {
    let archive = Pkcs12Archive::from_pkcs12(octets, password.unwrap_or_default()).map_err(|error| {
        let path = path.to_owned();
        match error {
            P12Error::MacError(_) | P12Error::UnpadError | P12Error::Pkcs5Error(_) if password.is_none() => {
                BundleError::NeedsPassword(path)
            }
            P12Error::MacError(_) | P12Error::UnpadError | P12Error::Pkcs5Error(_) => {
                BundleError::WrongPassword(path)
            }
            other => BundleError::Broken { path, kind: "PKCS #12", reason: other.to_string() },
        }
    })?;
    let certificates =
        archive.certs.iter().map(|bag| CertificateDer::from(bag.cert.as_der().to_vec())).collect();
    let keys = archive
        .keys
        .iter()
        .map(|bag| PrivateKeyDer::from(PrivatePkcs8KeyDer::from(bag.key.as_der().to_vec())))
        .collect();
    Ok(Bundle { kind: "PKCS #12", certificates, keys })
}
