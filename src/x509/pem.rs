//! PEM files: certificates, revocation lists and private keys as DER. The one place that reads the format.

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

/// The sections of one PEM text, in its order. Sections of other kinds are left out.
#[derive(Debug, Default)]
pub struct Pem {
    /// Every `CERTIFICATE`.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Every private key: PKCS #8, PKCS #1 (RSA) or SEC 1 (EC).
    pub keys: Vec<PrivateKeyDer<'static>>,
    /// Every `X509 CRL`.
    pub lists: Vec<CertificateRevocationListDer<'static>>,
    /// There is a key that only a password opens; such keys are not read.
    pub has_encrypted_key: bool,
}

/// Why a text is not PEM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PemError(String);

/// Reads the certificates and keys of a PEM text.
///
/// # Errors
/// A section is cut off or its base64 is broken.
pub fn parse(text: &[u8]) -> Result<Pem, PemError> {
    let mut pem = Pem {
        has_encrypted_key: memchr::memmem::find(text, b"-----BEGIN ENCRYPTED PRIVATE KEY-----").is_some()
            || memchr::memmem::find(text, b"Proc-Type: 4,ENCRYPTED").is_some(),
        ..Pem::default()
    };
    for item in rustls_pemfile::read_all(&mut &*text) {
        match item.map_err(|error| PemError(error.to_string()))? {
            rustls_pemfile::Item::X509Certificate(der) => pem.certificates.push(der),
            rustls_pemfile::Item::Pkcs8Key(der) => pem.keys.push(der.into()),
            rustls_pemfile::Item::Pkcs1Key(der) => pem.keys.push(der.into()),
            rustls_pemfile::Item::Sec1Key(der) => pem.keys.push(der.into()),
            rustls_pemfile::Item::Crl(der) => pem.lists.push(der),
            _ => {}
        }
    }
    Ok(pem)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn other_text_around_and_other_sections_are_left_out() {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert =
            rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        let text = format!(
            "subject=a\n{}-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n{}",
            cert.pem(),
            key.serialize_pem()
        );
        let pem = parse(text.as_bytes()).unwrap();
        assert_eq!(pem.certificates, vec![cert.der().clone()]);
        assert_eq!(pem.keys.len(), 1);
        assert!(!pem.has_encrypted_key);
    }

    #[test]
    fn a_section_that_is_cut_off_is_an_error() {
        assert!(parse(b"-----BEGIN CERTIFICATE-----\nAAAA\n").is_err());
        assert!(parse(b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n").is_err());
        assert!(parse(b"nothing here").unwrap().certificates.is_empty());
    }

    #[test]
    fn a_key_behind_a_password_is_told_apart_from_no_key() {
        let text = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let pem = parse(text).unwrap();
        assert!(pem.keys.is_empty() && pem.has_encrypted_key);
    }
}
