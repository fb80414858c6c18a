//! Revocation lists that were fetched: by address, the newest of each, as many as there is room for.

use crate::now::Wall;
use crate::x509::wall;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Addresses that are known at once.
pub const ADDRESSES: usize = 256;
/// Octets that the lists may have together; a list in memory is some times as large.
const OCTETS: usize = 64 << 20;
/// How long an address is left alone that gave no list.
const RETRY: Duration = Duration::from_secs(60);
/// How old a list may get before it is fetched anew, whatever it says itself: at least, and at most.
const AGE: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(24 * 3600));

/// Where a list is that says whether one certificate of a path was taken back, and whose signature it needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Point {
    /// An http address.
    pub url: Arc<str>,
    /// SubjectPublicKeyInfo of the certificate's issuer, DER.
    pub key: Arc<[u8]>,
}

/// One list.
#[derive(Debug)]
pub struct List {
    pub(super) list: CertRevocationList<'static>,
    pub(super) this_update: Wall,
    next_update: Wall,
    octets: usize,
}

impl List {
    /// Reads a list in DER.
    ///
    /// # Errors
    /// Why it can't be used.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let unreadable = |why: &dyn std::fmt::Display| format!("no revocation list that we can read: {why}");
        let (_, read) = CertificateRevocationList::from_der(der).map_err(|error| unreadable(&error))?;
        let this_update = wall(read.last_update().timestamp());
        let next_update = read.next_update().map_or(this_update, |at| wall(at.timestamp()));
        let list = OwnedCertRevocationList::from_der(der).map_err(|error| unreadable(&error))?.into();
        Ok(Self { list, this_update, next_update, octets: der.len() })
    }

    /// Reads a list that has to be signed by `key`: what came over HTTP may be anybody's.
    ///
    /// # Errors
    /// Why it can't be used.
    pub fn signed(der: &[u8], key: &[u8]) -> Result<Self, String> {
        let (_, read) = CertificateRevocationList::from_der(der).map_err(|error| error.to_string())?;
        let (_, key) = SubjectPublicKeyInfo::from_der(key).map_err(|error| error.to_string())?;
        read.verify_signature(&key)
            .map_err(|_| "the revocation list is not signed by the issuer of the certificate".to_owned())?;
        Self::read(der)
    }

    /// The same, as if it had so many octets.
    #[cfg(test)]
    pub(super) fn weighing(self, octets: usize) -> Self {
        Self { octets, ..self }
    }

    /// When it is replaced by another, as it says itself.
    pub fn next_update(&self) -> Wall {
        self.next_update
    }
}

/// The http addresses of lists in a certificate (RFC 5280 §4.2.1.13), two at most.
pub(super) fn addresses(cert: &X509Certificate<'_>) -> Vec<Arc<str>> {
    let all = crate::x509::distribution_points(cert);
    let fit = |url: &&str| {
        url.len() <= 1024 && url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"))
    };
    all.iter().copied().filter(fit).take(2).map(Arc::from).collect()
}

/// All lists that were fetched. Shared by every set of trust anchors, so that a reload keeps them.
#[derive(Debug, Default)]
pub struct Lists(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    of: HashMap<Arc<str>, Entry>,
    /// Counts the questions, so that what nobody asked for the longest goes first.
    asked: u64,
}

#[derive(Debug, Default)]
struct Entry {
    list: Option<(Arc<List>, Wall)>,
    failed: Option<(Wall, String)>,
    asked: u64,
}

impl Lists {
    /// The list of `url`.
    pub fn get(&self, url: &str) -> Option<Arc<List>> {
        let mut known = self.known();
        known.asked += 1;
        let asked = known.asked;
        let entry = known.of.get_mut(url)?;
        entry.asked = asked;
        entry.list.as_ref().map(|(list, _)| list.clone())
    }

    /// Why there is no list of `url`, if it was tried.
    pub fn fault(&self, url: &str) -> Option<String> {
        self.known().of.get(url)?.failed.as_ref().map(|(_, why)| why.clone())
    }

    /// Whether the list of `url` is to be fetched at `now`.
    pub fn is_due(&self, url: &str, now: Wall) -> bool {
        let known = self.known();
        let Some(entry) = known.of.get(url) else { return true };
        let age = |since: Wall| Duration::from_millis(now.as_millis().saturating_sub(since.as_millis()));
        if entry.failed.as_ref().is_some_and(|(at, _)| age(*at) < RETRY) {
            return false;
        }
        entry.list.as_ref().is_none_or(|(list, fetched)| {
            let lasts = list.next_update.as_millis().saturating_sub(fetched.as_millis());
            // A little before it ends, so that there is no gap.
            age(*fetched) >= Duration::from_millis(lasts / 10 * 9).clamp(AGE.0, AGE.1)
        })
    }

    /// Takes the list of `url` that was fetched at `fetched`.
    ///
    /// # Errors
    /// It is older than the one that there is.
    pub fn put(&self, url: &Arc<str>, list: List, fetched: Wall) -> Result<(), String> {
        let mut known = self.known();
        known.asked += 1;
        let asked = known.asked;
        let entry = known.of.entry(url.clone()).or_default();
        if entry.list.as_ref().is_some_and(|(old, _)| old.this_update > list.this_update) {
            return Err("the revocation list is older than the one before it".to_owned());
        }
        *entry = Entry { list: Some((Arc::new(list), fetched)), failed: None, asked };
        known.make_room();
        Ok(())
    }

    /// No list came from `url`, and `why`. Whether that is news.
    pub fn failed(&self, url: &Arc<str>, why: String, now: Wall) -> bool {
        let mut known = self.known();
        known.asked += 1;
        let asked = known.asked;
        let entry = known.of.entry(url.clone()).or_default();
        let is_news = entry.failed.as_ref().is_none_or(|(_, before)| *before != why);
        (entry.failed, entry.asked) = (Some((now, why)), asked);
        known.make_room();
        is_news
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn make_room(&mut self) {
        let octets = |known: &Self| -> usize {
            known.of.values().filter_map(|entry| entry.list.as_ref()).map(|(list, _)| list.octets).sum()
        };
        while self.of.len() > 1 && (self.of.len() > ADDRESSES || octets(self) > OCTETS) {
            let oldest = self.of.iter().min_by_key(|(_, entry)| entry.asked).map(|(url, _)| url.clone());
            let Some(oldest) = oldest else { break };
            self.of.remove(&oldest);
        }
    }
}
