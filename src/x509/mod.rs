//! Certificates as documents: their files, and the names in them. Nothing here says whether one is any good.
//!
//! | file | owns |
//! |---|---|
//! | [`pem`] | PEM texts |
//! | [`names`] | identities in a certificate, XMPP and SIP rules |

pub mod names;
pub mod pem;

use crate::now::Wall;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{DistributionPointName, GeneralName, ParsedExtension};

/// Seconds of a certificate as wall time; what is before 1970 is 1970.
pub fn wall(seconds: i64) -> Wall {
    Wall::from_millis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
}

/// The addresses of revocation lists in a certificate (RFC 5280 §4.2.1.13), as they stand there.
pub fn distribution_points<'c>(cert: &'c X509Certificate<'_>) -> Vec<&'c str> {
    let points = cert.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::CRLDistributionPoints(points) => Some(points),
        _ => None,
    });
    let names = points.into_iter().flat_map(|points| points.iter()).filter_map(|point| {
        match &point.distribution_point {
            Some(DistributionPointName::FullName(names)) => Some(names),
            Some(DistributionPointName::NameRelativeToCRLIssuer(_)) | None => None,
        }
    });
    let uris = names.flatten().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    uris.take(8).collect()
}

/// The first expiry on the way from `cert` up through `issuers`, as far as they were presented. Of
/// two certificates for one authority (a cross-signature) the longer one counts.
pub fn path_end(cert: &X509Certificate<'_>, issuers: &[X509Certificate<'_>]) -> Wall {
    let mut end = cert.validity().not_after.timestamp();
    let mut below = cert;
    for _ in 0..issuers.len() {
        let above = issuers.iter().filter(|c| c.subject().as_raw() == below.issuer().as_raw());
        let Some(above) = above.max_by_key(|c| c.validity().not_after.timestamp()) else { break };
        end = end.min(above.validity().not_after.timestamp());
        below = above;
    }
    wall(end)
}
