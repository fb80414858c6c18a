//! Revocation lists: off, soft and hard.

use super::*;
use crate::net::tls::lists::{ADDRESSES, List};
use crate::net::tls::{CertFault, Lists, Lookup, Revocation, judge, revocation};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber, date_time_ymd};
use std::path::PathBuf;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A list of what `ca` has revoked, good until the year `until`, as a PEM file.
pub(super) fn list(ca: &Ca, revoked: &[&CertificateDer<'_>], until: i32, dir: &Path, name: &str) -> PathBuf {
    let serial = |der: &CertificateDer<'_>| {
        SerialNumber::from_slice(X509Certificate::from_der(der).unwrap().1.raw_serial())
    };
    let revoked_certs = revoked
        .iter()
        .map(|der| RevokedCertParams {
            serial_number: serial(der),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        })
        .collect();
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2026, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1u64),
        issuing_distribution_point: None,
        revoked_certs,
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let path = dir.join(name);
    std::fs::write(&path, params.signed_by(&ca.issuer).unwrap().pem().unwrap()).unwrap();
    path
}

fn verdict(issued: &Issued, ca: &Ca, lookup: Lookup, files: &[PathBuf]) -> Result<(), CertFault> {
    let revocation = Revocation::load(lookup, files).unwrap();
    let trust = Trust::anchors([ca.der.clone()]).unwrap().with(revocation);
    judge(&issued.chain, &trust, NOW).map(drop)
}

#[test]
fn f070_a_revoked_certificate_is_refused_when_lists_are_looked_at() {
    let (ca, dir) = (Ca::new("test"), tempfile::tempdir().unwrap());
    let (good, bad) =
        (ca.issue(&Ask::dns("good.example")), ca.issue(&Ask::dns("bad.example").eku(&[Eku::ServerAuth])));
    let files = [list(&ca, &[&bad.chain[0]], 2030, dir.path(), "ca.crl")];
    for lookup in [Lookup::Soft, Lookup::Hard] {
        assert_eq!(verdict(&good, &ca, lookup, &files), Ok(()), "{lookup:?}");
        assert_eq!(verdict(&bad, &ca, lookup, &files), Err(CertFault::Revoked), "{lookup:?}");
    }
    assert_eq!(verdict(&bad, &ca, Lookup::Off, &files), Ok(()));
}

#[test]
fn f070_what_no_list_says_is_taken_softly_and_refused_hard() {
    let (ca, other, dir) = (Ca::new("test"), Ca::new("other"), tempfile::tempdir().unwrap());
    let issued = ca.issue(&Ask::dns("a.example"));
    // Of another authority, none at all, one with the authority's name and another key, a stale one.
    let liar = Ca::new("test");
    let others = [list(&other, &[], 2030, dir.path(), "other.crl")];
    let lied = [list(&liar, &[&issued.chain[0]], 2030, dir.path(), "lied.crl")];
    let stale = [list(&ca, &[], 2026 + 1, dir.path(), "fresh.crl")];
    for files in [&others[..], &[], &lied] {
        assert_eq!(verdict(&issued, &ca, Lookup::Soft, files), Ok(()), "{files:?}");
        let refused = verdict(&issued, &ca, Lookup::Hard, files).unwrap_err();
        assert!(matches!(refused, CertFault::RevocationUnknown(_)), "{files:?}: {refused}");
    }
    assert_eq!(verdict(&issued, &ca, Lookup::Hard, &stale), Ok(()));
    // In two years the list is stale: what it says against somebody still holds, its silence no more.
    let later = |lookup, files: &[PathBuf]| {
        let trust = Trust::anchors([ca.der.clone()]).unwrap().with(Revocation::load(lookup, files).unwrap());
        judge(&issued.chain, &trust, Wall::from_millis(1_814_400_000_000)).map(drop)
    };
    assert_eq!(later(Lookup::Soft, &stale), Ok(()));
    assert!(matches!(later(Lookup::Hard, &stale), Err(CertFault::RevocationUnknown(_))));
    let gone = [list(&ca, &[&issued.chain[0]], 2027, dir.path(), "gone.crl")];
    assert_eq!(later(Lookup::Soft, &gone), Err(CertFault::Revoked));
}

#[test]
fn f070_an_intermediate_that_was_revoked_takes_its_certificates_along() {
    let (ca, dir) = (Ca::new("test"), tempfile::tempdir().unwrap());
    let middle = ca.intermediate("middle", 2030, None);
    let issued = middle.issue(&Ask::dns("a.example")).via(&middle);
    let roots = list(&ca, &[&middle.der], 2030, dir.path(), "root.crl");
    let middles = list(&middle, &[], 2030, dir.path(), "middle.crl");
    let clean = list(&ca, &[], 2030, dir.path(), "clean.crl");
    assert_eq!(verdict(&issued, &ca, Lookup::Soft, &[roots, middles.clone()]), Err(CertFault::Revoked));
    assert_eq!(verdict(&issued, &ca, Lookup::Hard, &[clean, middles.clone()]), Ok(()));
    let refused = verdict(&issued, &ca, Lookup::Hard, &[middles]).unwrap_err();
    assert!(
        matches!(refused, CertFault::RevocationUnknown(_)),
        "nobody speaks for the intermediate: {refused}"
    );
}

#[test]
fn a_file_without_a_list_is_an_error_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text, why) in
        [("a.crl", "", "no revocation list"), ("b.crl", "-----BEGIN X509 CRL-----\n", "")]
    {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let error = Revocation::load(Lookup::Soft, std::slice::from_ref(&path)).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(why), "{error}");
        assert!(Revocation::load(Lookup::Off, &[path]).is_ok());
    }
    assert!(Revocation::load(Lookup::Hard, &["/nowhere/a.crl".into()]).is_err());
}

#[test]
fn f070_the_lists_that_nobody_asked_for_the_longest_make_room_by_number_and_by_size() {
    let (ca, dir) = (Ca::new("test"), tempfile::tempdir().unwrap());
    let file = std::fs::read(list(&ca, &[], 2030, dir.path(), "ca.crl")).unwrap();
    let der = revocation::ders(file).unwrap().remove(0);
    let url = |n: usize| -> Arc<str> { format!("http://{n}.example/ca.crl").into() };
    let large = Lists::default();
    for n in 0..3 {
        large.put(&url(n), List::read(&der).unwrap().weighing(30 << 20), NOW).unwrap();
    }
    assert_eq!([0, 1, 2].map(|n| large.get(&url(n)).is_some()), [false, true, true], "64 MiB hold two");
    let many = Lists::default();
    for n in 0..=ADDRESSES {
        many.failed(&url(n), "no answer".to_owned(), NOW);
    }
    assert_eq!([0, 1, ADDRESSES].map(|n| many.fault(&url(n)).is_some()), [false, true, true]);
}
