//! Our own certificates: loaded from PEM files, found by id and by domain, replaced while we run.
//!
//! A reload swaps the whole set or changes nothing. A handshake takes the set that is there when it
//! starts; streams that are up keep their TLS. A certificate that takes another's place at a date is loaded
//! with the rest, so that a mistake is found at once and not at midnight; [`CertStore::advance`] puts it in
//! place.

use super::provider;
use crate::addr::Domain;
use crate::now::Wall;
use crate::x509::names::Names;
use crate::x509::{path_end, pem, wall};
use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// Octets of a file that are read; a chain or key is never longer.
const MAX_FILE: u64 = 1024 * 1024;

/// Where one certificate of ours lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertSource {
    /// The operator's name for it.
    pub id: String,
    /// PEM: our certificate, then the intermediates in order.
    pub chain: PathBuf,
    /// PEM: the private key, without a password, not readable by everybody.
    pub key: PathBuf,
    /// The id of the certificate whose place it takes, and from when on.
    pub replaces: Option<(String, Wall)>,
    /// Which connections it is shown on.
    pub sides: Sides,
}

/// Of two connections that ask for the same name, the one carries XMPP and the other SIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Streams.
    Xmpp,
    /// Links.
    Sip,
}

/// One side, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sides {
    /// Streams.
    pub xmpp: bool,
    /// Links.
    pub sip: bool,
}

impl Sides {
    /// Streams and links.
    pub const BOTH: Self = Self { xmpp: true, sip: true };

    /// Whether `side` is among them.
    pub fn has(self, side: Side) -> bool {
        match side {
            Side::Xmpp => self.xmpp,
            Side::Sip => self.sip,
        }
    }
}

/// Which certificates there are and whom they are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertSettings {
    /// The certificates; the first is the default, if no other is named.
    pub sources: Vec<CertSource>,
    /// Domains with a certificate of their own by id; of several, each side has the first that is for it.
    /// Any other domain gets the first certificate that names it.
    pub assigned: Vec<(Domain, String)>,
    /// The ids of the default, if it is not the first: the first that is for the side.
    pub default: Vec<String>,
}

/// Why a certificate of ours cannot be used. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// The file is missing or not ours to read.
    #[error("{}: cannot read it: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is longer than any certificate or key.
    #[error("{}: longer than 1 MiB, so not a certificate or key", .0.display())]
    TooLong(PathBuf),
    /// Everybody on this machine can read the key.
    #[error("{}: everybody can read this private key (mode {mode:04o}); run: chmod o= {}", .path.display(), .path.display())]
    WorldReadable {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not PEM.
    #[error("{}: broken PEM: {reason}", .path.display())]
    BrokenPem {
        /// The file.
        path: PathBuf,
        /// What the reader says.
        reason: String,
    },
    /// No certificate in the chain file.
    #[error("{}: no certificate in it; it must hold the certificate and then its intermediates, in PEM", .0.display())]
    NoCertificate(PathBuf),
    /// A certificate that is not X.509.
    #[error("{}: certificate {position} is not X.509; ask its issuer for it again", .path.display())]
    BadCertificate {
        /// The chain file.
        path: PathBuf,
        /// Which one, from 1.
        position: usize,
    },
    /// No key in the key file.
    #[error("{}: no private key in it; it must hold one in PEM (PKCS #8, PKCS #1 or SEC 1)", .0.display())]
    NoKey(PathBuf),
    /// The key has a password.
    #[error("{path}: the private key has a password; remove it: openssl pkey -in {path} -out NEW", path = .0.display())]
    EncryptedKey(PathBuf),
    /// The key is of a kind that we cannot use.
    #[error("{}: unusable private key: {reason}; use ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits", .path.display())]
    BadKey {
        /// The key file.
        path: PathBuf,
        /// What the provider says.
        reason: String,
    },
    /// The key is of another certificate of the chain.
    #[error("{}: our own certificate is number {position}; put it first, before its intermediates", .path.display())]
    WrongOrder {
        /// The chain file.
        path: PathBuf,
        /// Where the certificate of the key is, from 1.
        position: usize,
    },
    /// The key is of no certificate of the chain.
    #[error("{}: this key is not that of the certificate in {}; renew or restore both together", .key.display(), .chain.display())]
    Mismatch {
        /// The chain file.
        chain: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// Two certificates with one id.
    #[error("two certificates have the id \"{0}\"")]
    SameId(String),
    /// A domain wants a certificate that is not there.
    #[error("domain {domain} wants certificate \"{id}\", which is not defined; defined: {defined}")]
    UnknownId {
        /// The domain.
        domain: Domain,
        /// The id that it names.
        id: String,
        /// The ids that there are.
        defined: String,
    },
}

/// One certificate of ours, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertSummary {
    /// The operator's name for it.
    pub id: String,
    /// The host names in it, in A-labels.
    pub names: Vec<String>,
    /// From when on it is valid.
    pub not_before: Wall,
    /// When it, or the first of its chain, expires.
    pub not_after: Wall,
    /// Fit for a TLS client, by its extended key usage. Some partners insist on it when we dial.
    pub client_auth: bool,
    /// Fit for a TLS server, by its extended key usage.
    pub server_auth: bool,
    /// When another takes its place.
    pub replaced: Option<Wall>,
}

/// The certificates in use.
#[derive(Debug)]
pub struct CertStore(ArcSwap<Set>);

#[derive(Debug)]
struct Set {
    settings: CertSettings,
    entries: Vec<Entry>,
    /// What they were arranged for.
    at: Wall,
    xmpp: Arranged,
    sip: Arranged,
}

/// Whom each certificate is for, on one side.
#[derive(Debug, Default)]
struct Arranged {
    default: Option<usize>,
    /// Host name in A-labels and lower case, or `*.` and such a name, to the entry.
    by_name: HashMap<Box<str>, usize>,
}

#[derive(Clone, Debug)]
struct Entry {
    key: Arc<CertifiedKey>,
    summary: CertSummary,
}

impl CertStore {
    /// Loads every certificate of `settings`.
    ///
    /// # Errors
    /// All that is wrong, file by file.
    pub fn load(settings: CertSettings) -> Result<Self, Vec<CertError>> {
        Set::load(settings).map(|set| Self(ArcSwap::from_pointee(set)))
    }

    /// Reads the same files again. After an error the old certificates stay.
    ///
    /// # Errors
    /// As [`CertStore::load`].
    pub fn reload(&self) -> Result<(), Vec<CertError>> {
        let settings = self.0.load().settings.clone();
        self.replace(settings)
    }

    /// Loads other settings in place of these. After an error the old certificates stay.
    ///
    /// # Errors
    /// As [`CertStore::load`].
    pub fn replace(&self, settings: CertSettings) -> Result<(), Vec<CertError>> {
        self.0.store(Arc::new(Set::load(settings)?));
        Ok(())
    }

    /// Puts the certificates of `other` in place of these.
    pub fn adopt(&self, other: Self) {
        self.0.store(other.0.into_inner());
    }

    /// Puts certificates in place whose time has come by `wall`; the ids of those that went and of those
    /// that came.
    pub fn advance(&self, wall: Wall) -> Vec<(String, String)> {
        let old = self.0.load();
        let new = Set::arrange(old.settings.clone(), old.entries.clone(), wall);
        let mut changed = Vec::new();
        for (at, side) in (0..old.entries.len()).flat_map(|at| [(at, Side::Xmpp), (at, Side::Sip)]) {
            let (before, after) = (old.in_place_of(at, old.at, side), new.in_place_of(at, wall, side));
            let id =
                |at: usize| old.entries.get(at).map(|entry| entry.summary.id.clone()).unwrap_or_default();
            if before != after && old.source(at).is_some_and(|source| source.replaces.is_none()) {
                changed.push((id(before), id(after)));
            }
        }
        changed.dedup();
        self.0.store(Arc::new(new));
        changed
    }

    /// When the next certificate takes another's place.
    pub fn next_change(&self) -> Option<Wall> {
        let set = self.0.load();
        let dates = set.settings.sources.iter().filter_map(|source| source.replaces.as_ref());
        dates.map(|(_, from)| *from).filter(|from| *from > set.at).min()
    }

    /// The certificate with the id `id`.
    pub fn by_id(&self, id: &str) -> Option<Arc<CertifiedKey>> {
        let set = self.0.load();
        set.entries.iter().find(|entry| entry.summary.id == id).map(|entry| Arc::clone(&entry.key))
    }

    /// The certificate for a host name in A-labels: assigned to it, or else naming it.
    pub fn for_name(&self, name: &str, side: Side) -> Option<Arc<CertifiedKey>> {
        let set = self.0.load();
        let name = name.to_ascii_lowercase();
        let by_name = &set.arranged(side).by_name;
        let wildcard = || name.split_once('.').and_then(|(_, parent)| by_name.get(&*format!("*.{parent}")));
        let at = *by_name.get(&*name).or_else(wildcard)?;
        set.entries.get(at).map(|entry| Arc::clone(&entry.key))
    }

    /// The first certificate: for who asks for none, or for one that we have not.
    pub fn default(&self, side: Side) -> Option<Arc<CertifiedKey>> {
        let set = self.0.load();
        set.entries.get(set.arranged(side).default?).map(|entry| Arc::clone(&entry.key))
    }

    /// Every certificate, in the order of the settings.
    pub fn summaries(&self) -> Vec<CertSummary> {
        let set = self.0.load();
        let replaced = |id: &str| {
            let all = set.settings.sources.iter().filter_map(|source| source.replaces.as_ref());
            all.filter(|(replaced, _)| replaced == id).map(|(_, from)| *from).min()
        };
        let summary =
            |entry: &Entry| CertSummary { replaced: replaced(&entry.summary.id), ..entry.summary.clone() };
        set.entries.iter().map(summary).collect()
    }
}

impl Set {
    fn load(settings: CertSettings) -> Result<Self, Vec<CertError>> {
        let mut errors = Vec::new();
        let mut entries: Vec<Entry> = Vec::with_capacity(settings.sources.len());
        for (at, source) in settings.sources.iter().enumerate() {
            if settings.sources.iter().take(at).any(|other| other.id == source.id) {
                errors.push(CertError::SameId(source.id.clone()));
            }
            match Entry::load(source) {
                Ok(entry) => entries.push(entry),
                Err(error) => errors.push(error),
            }
        }
        for (domain, id) in &settings.assigned {
            if !settings.sources.iter().any(|source| source.id == *id) {
                let ids: Vec<&str> = settings.sources.iter().map(|source| source.id.as_str()).collect();
                let defined = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
                errors.push(CertError::UnknownId { domain: domain.clone(), id: id.clone(), defined });
            }
        }
        if errors.is_empty() { Ok(Self::arrange(settings, entries, Wall::default())) } else { Err(errors) }
    }

    /// Says whom each of `entries`, one for each source, is for at `at`.
    fn arrange(settings: CertSettings, entries: Vec<Entry>, at: Wall) -> Self {
        let mut set = Self { settings, entries, at, xmpp: Arranged::default(), sip: Arranged::default() };
        (set.xmpp, set.sip) = (set.arrange_side(Side::Xmpp), set.arrange_side(Side::Sip));
        set
    }

    fn arrange_side(&self, side: Side) -> Arranged {
        let mut by_name: HashMap<Box<str>, usize> = HashMap::new();
        let is_for = |index: usize| self.source(index).is_some_and(|source| source.sides.has(side));
        for (index, source) in self.settings.sources.iter().enumerate() {
            let live = self.in_place_of(index, self.at, side);
            if let (None, true, Some(entry)) = (&source.replaces, is_for(index), self.entries.get(live)) {
                for name in &entry.summary.names {
                    by_name.entry(name.as_str().into()).or_insert(live);
                }
            }
        }
        // The first of a domain comes last, so that it stands.
        for (domain, id) in self.settings.assigned.iter().rev() {
            if let Some(index) = self.index(id).filter(|index| is_for(*index)) {
                let live = self.in_place_of(index, self.at, side);
                by_name.insert(domain.to_ascii().to_ascii_lowercase().into(), live);
            }
        }
        let named = self.settings.default.iter().filter_map(|id| self.index(id));
        let any = (0..self.entries.len())
            .filter(|index| self.source(*index).is_some_and(|source| source.replaces.is_none()));
        let default = named.chain(any).find(|index| is_for(*index));
        Arranged { default: default.map(|index| self.in_place_of(index, self.at, side)), by_name }
    }

    fn arranged(&self, side: Side) -> &Arranged {
        match side {
            Side::Xmpp => &self.xmpp,
            Side::Sip => &self.sip,
        }
    }

    fn source(&self, index: usize) -> Option<&CertSource> {
        self.settings.sources.get(index)
    }

    fn index(&self, id: &str) -> Option<usize> {
        self.settings.sources.iter().position(|source| source.id == id)
    }

    /// Which one stands on `side` in the place of the one at `index`, at `at`.
    fn in_place_of(&self, index: usize, at: Wall, side: Side) -> usize {
        let mut live = index;
        // Whoever replaces stands below whom it replaces, so this ends.
        while let Some(source) = self.source(live) {
            let later = self.settings.sources.iter().enumerate().skip(live + 1);
            let due = later.filter(|(_, other)| other.sides.has(side)).filter_map(|(index, other)| {
                let (id, from) = other.replaces.as_ref()?;
                (*id == source.id && *from <= at).then_some((*from, index))
            });
            let Some((_, next)) = due.max() else { break };
            live = next;
        }
        live
    }
}

impl Entry {
    fn load(source: &CertSource) -> Result<Self, CertError> {
        let chain = read_pem(&source.chain, false)?.certificates;
        if chain.is_empty() {
            return Err(CertError::NoCertificate(source.chain.clone()));
        }
        let summary = summary(&source.id, &chain, &source.chain)?;
        let pem = read_pem(&source.key, true)?;
        let Some(key) = pem.keys.into_iter().next() else {
            let path = source.key.clone();
            return Err(if pem.has_encrypted_key {
                CertError::EncryptedKey(path)
            } else {
                CertError::NoKey(path)
            });
        };
        let key = certified(chain, key, source)?;
        Ok(Self { key: Arc::new(key), summary })
    }
}

/// Joins chain and key, which must belong together.
fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    source: &CertSource,
) -> Result<CertifiedKey, CertError> {
    let bad_key =
        |error: rustls::Error| CertError::BadKey { path: source.key.clone(), reason: error.to_string() };
    let key = provider().key_provider.load_private_key(key).map_err(bad_key)?;
    let matches = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], Arc::clone(&key)).keys_match().is_ok()
    };
    match chain.iter().position(matches) {
        Some(0) => Ok(CertifiedKey::new(chain, key)),
        Some(at) => Err(CertError::WrongOrder { path: source.chain.clone(), position: at + 1 }),
        None => Err(CertError::Mismatch { chain: source.chain.clone(), key: source.key.clone() }),
    }
}

fn summary(id: &str, chain: &[CertificateDer<'static>], path: &Path) -> Result<CertSummary, CertError> {
    let mut parsed = Vec::with_capacity(chain.len());
    for (at, der) in chain.iter().enumerate() {
        match X509Certificate::from_der(der) {
            Ok((_, certificate)) => parsed.push(certificate),
            Err(_) => return Err(CertError::BadCertificate { path: path.to_owned(), position: at + 1 }),
        }
    }
    let Some((own, issuers)) = parsed.split_first() else {
        return Err(CertError::NoCertificate(path.to_owned()));
    };
    let mut names: Vec<String> = Names::of(own, false).hosts().collect();
    names.sort_unstable();
    names.dedup();
    let usage = own.extended_key_usage().ok().flatten();
    let allows = |wanted: fn(&x509_parser::extensions::ExtendedKeyUsage<'_>) -> bool| {
        usage.as_ref().is_none_or(|usage| usage.value.any || wanted(usage.value))
    };
    Ok(CertSummary {
        id: id.to_owned(),
        names,
        not_before: wall(own.validity().not_before.timestamp()),
        not_after: path_end(own, issuers),
        client_auth: allows(|usage| usage.client_auth),
        server_auth: allows(|usage| usage.server_auth),
        replaced: None,
    })
}

/// Reads a PEM file; a `secret` one only if not everybody can read it.
fn read_pem(path: &Path, secret: bool) -> Result<pem::Pem, CertError> {
    let unreadable = |source| CertError::Unreadable { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode() & 0o7777;
    if secret && mode & 0o007 != 0 {
        return Err(CertError::WorldReadable { path: path.to_owned(), mode });
    }
    let mut text = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE {
        return Err(CertError::TooLong(path.to_owned()));
    }
    pem::parse(&text)
        .map_err(|error| CertError::BrokenPem { path: path.to_owned(), reason: error.to_string() })
}
