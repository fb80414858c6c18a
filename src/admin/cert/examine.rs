//! `stoxd cert check` and `stoxd check certs`: what is wrong with our certificates, and what to do.

use super::seen::Seen;
use super::{Ours, bundle, keys};
use crate::admin::check::{Finding, Outcome};
use crate::config::settings::Trust;
use crate::now::Wall;
use crate::x509::names::quoted;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

/// Days before its expiry when a certificate is warned of.
const SOON: i64 = 30;

/// One thing that was found out about a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How it came out.
    pub outcome: Outcome,
    /// What was found.
    pub text: String,
    /// What to do.
    pub notes: Vec<String>,
}

impl Line {
    fn new(outcome: Outcome, text: impl Into<String>, note: impl Into<String>) -> Self {
        let note = note.into();
        Self { outcome, text: text.into(), notes: if note.is_empty() { Vec::new() } else { vec![note] } }
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let outcome = self.outcome.as_str().to_ascii_lowercase();
        json!({ "outcome": outcome, "text": self.text, "notes": self.notes })
    }
}

/// All that is to be said of the certificates that are configured.
pub fn findings(ours: &Ours, now: Wall) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut add = |line: Line| {
        let name = if findings.is_empty() { "certs" } else { "" };
        let Line { outcome, text, notes } = line;
        findings.push(Finding { name, outcome, text, notes, problems: Vec::new() });
    };
    for (certificate, chain, key) in ours.all() {
        let id = &certificate.id;
        for line in entry(ours, &chain, &key, now) {
            add(Line { text: format!("{id}: {}", line.text), ..line });
        }
        if let Some(replaces) = &certificate.replaces {
            let from = super::seen::stamp(replaces.from);
            let text = format!("{id}: takes the place of {} from {from} on", replaces.id);
            add(Line::new(Outcome::Pass, text, ""));
        }
    }
    let tls = &ours.certificates.tls;
    for (name, side) in super::SIDES.into_iter().filter(|_| !tls.certificates.is_empty()) {
        if tls.count(side) == 0 {
            let text = format!("no certificate is for the {name} listeners: nobody gets TLS there");
            add(Line::new(Outcome::Warn, text, format!("stoxd cert assign ID --for {name}")));
        }
    }
    if findings.is_empty() {
        let name = "certs";
        let text = "no [[tls.certificate]] is configured".to_owned();
        let notes = vec!["make a request: stoxd cert request".to_owned()];
        return vec![Finding { name, outcome: Outcome::Skip, text, notes, problems: Vec::new() }];
    }
    findings
}

/// One `[[tls.certificate]]`, from its files.
fn entry(ours: &Ours, chain_file: &Path, key_file: &Path, now: Wall) -> Vec<Line> {
    let chain = match bundle::read(chain_file, None) {
        Ok(bundle) => bundle.certificates,
        Err(bundle::BundleError::Unreadable { source, .. })
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            let text = format!("{}: this user may not read it", chain_file.display());
            return vec![Line::new(Outcome::Skip, text, "run it as root")];
        }
        Err(error) => {
            return vec![Line::new(Outcome::Fail, error.to_string(), "stoxd cert import writes it")];
        }
    };
    let Some((own, seen)) = chain.first().and_then(|own| Some((own, Seen::of(own)?))) else {
        let text = format!("{}: no certificate in it", chain_file.display());
        return vec![Line::new(Outcome::Fail, text, "stoxd cert import writes it")];
    };
    let mut lines = certificate(&chain, &seen, ours, now);
    lines.extend(key(key_file, own));
    lines
}

/// What keeps the daemon from using its certificates, file by file; nothing if all is well or can't be seen.
pub fn faults(ours: &Ours) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (certificate, chain, key_file) in ours.all() {
        let lines = match bundle::read(&chain, None).map(|bundle| bundle.certificates) {
            Ok(chain) => chain.first().map(|own| key(&key_file, own)).unwrap_or_default(),
            Err(bundle::BundleError::Unreadable { .. }) => Vec::new(),
            Err(error) => {
                vec![Line::new(Outcome::Fail, error.to_string(), "stoxd cert import writes it")]
            }
        };
        for Line { outcome, text, notes } in lines.into_iter().filter(|line| line.outcome == Outcome::Fail) {
            let (name, text) = ("certs", format!("{}: {text}", certificate.id));
            findings.push(Finding { name, outcome, text, notes, problems: Vec::new() });
        }
    }
    findings
}

/// What a certificate and its chain are worth; the first line is the summary.
pub fn certificate(chain: &[CertificateDer<'static>], seen: &Seen, ours: &Ours, now: Wall) -> Vec<Line> {
    let expiry = format!("expires {} ({})", seen.expiry(now), seen.not_after);
    let renew = "renew it: stoxd cert request --reuse-key, then stoxd cert import";
    let mut lines = Vec::new();
    lines.push(match seen.days_left(now) {
        _ if seen.end < now => Line::new(Outcome::Fail, expiry.replacen("expires", "expired", 1), renew),
        _ if seen.begin > now => Line::new(
            Outcome::Fail,
            format!("not valid before {}", seen.not_before),
            "is this machine's clock right? else roll it over at its date: stoxd cert assign --roll --from",
        ),
        left if left <= SOON => Line::new(Outcome::Warn, expiry, renew),
        _ => {
            let others = chain.len().saturating_sub(1);
            let above =
                if others == 1 { "1 intermediate".to_owned() } else { format!("{others} intermediates") };
            Line::new(Outcome::Pass, format!("{expiry}, {}, {above}", seen.key), "")
        }
    });
    lines.extend(names(seen, ours));
    if !seen.server_auth {
        let text = "not for TLS servers (extended key usage without serverAuth): partners will refuse us";
        lines.push(Line::new(Outcome::Fail, text, "ask the authority for one with serverAuth"));
    } else if !seen.client_auth {
        let text = "serverAuth only; partners that insist on clientAuth will refuse us as TLS client";
        lines.push(Line::new(Outcome::Warn, text, ""));
    }
    if let Some(weak) = seen.is_weak {
        lines.push(Line::new(Outcome::Warn, weak, "make another request: stoxd cert request"));
    }
    if seen.is_authority {
        let text = "the certificate of an authority, which partners do not take as a server's own";
        lines.push(Line::new(Outcome::Fail, text, "import the certificate that the authority issued"));
    }
    if seen.crl.is_empty() {
        let text = "without a CRL distribution point, which only Lync and Skype for Business ask for";
        lines.push(Line::new(Outcome::Pass, text, ""));
    }
    lines.extend(chain.iter().skip(1).filter_map(|der| above(&Seen::of(der)?, now)));
    lines.extend(path(chain, ours));
    lines
}

/// What is wrong with the time of an intermediate: partners refuse the chain when one of it is over.
fn above(seen: &Seen, now: Wall) -> Option<Line> {
    let outcome = match seen.days_left(now) {
        _ if seen.end < now || seen.begin > now => Outcome::Fail,
        left if left <= SOON => Outcome::Warn,
        _ => return None,
    };
    let subject = &seen.subject;
    let text = match (seen.begin > now, seen.end < now) {
        (true, _) => format!("{subject}, in the chain, is not valid before {}", seen.not_before),
        (_, true) => format!("{subject}, in the chain, expired {} ({})", seen.expiry(now), seen.not_after),
        _ => format!("{subject}, in the chain, expires {} ({})", seen.expiry(now), seen.not_after),
    };
    let fix =
        "import the certificate again, with the authority's new intermediate: stoxd cert import --chain FILE";
    Some(Line::new(outcome, text, fix))
}

/// The names in it against those that partners check.
fn names(seen: &Seen, ours: &Ours) -> Vec<Line> {
    let known: Vec<(String, Seen)> = ours
        .all()
        .filter_map(|(certificate, chain, _)| {
            let chain = bundle::read(&chain, None).ok()?;
            Some((certificate.id.clone(), Seen::of(chain.certificates.first()?)?))
        })
        .collect();
    let has = |id: &str, domain: &crate::addr::Domain| {
        known.iter().find(|(known, _)| known == id).is_some_and(|(_, seen)| seen.is_for(domain))
    };
    let id = known.iter().find(|(_, known)| known.sha256 == seen.sha256).map(|(id, _)| id.as_str());
    // One that is not configured yet is for whatever it names.
    let (domains, is_default) = match id {
        Some(id) => ours.users(id, has),
        None => {
            let named = ours.certificates.domains.iter().map(|(domain, _)| domain);
            (named.filter(|domain| seen.is_for(domain)).collect(), false)
        }
    };
    let mut lines = Vec::new();
    let ask = "make a request with all names: stoxd cert request";
    for domain in &domains {
        if !seen.is_for(domain) {
            let text = format!("not for {domain}, which it is used for: partners will refuse it");
            lines.push(Line::new(Outcome::Fail, text, ask));
        }
        let sip = format!("sip.{}", domain.to_ascii());
        if !seen.has_host(&sip) {
            let text = format!("without {sip}, a name that only Lync and Skype for Business look for");
            lines.push(Line::new(Outcome::Pass, text, ""));
        }
    }
    if let (true, Some(gateway)) = (is_default, &ours.certificates.gateway)
        && !seen.has_host(&gateway.to_ascii())
    {
        let text =
            format!("our own name {gateway} is not in it: SIP servers that look for it will refuse us");
        lines.push(Line::new(Outcome::Warn, text, ask));
    }
    if id.is_none() && domains.is_empty() && !ours.certificates.domains.is_empty() {
        lines.push(Line::new(Outcome::Warn, "for none of the domains that we serve", ask));
    }
    lines
}

/// The way from it to an authority.
fn path(chain: &[CertificateDer<'static>], ours: &Ours) -> Vec<Line> {
    for (below, above) in chain.iter().zip(chain.iter().skip(1)) {
        let fix = "import it again, with the authority's intermediates: stoxd cert import --chain FILE";
        match issuer_of(below, std::slice::from_ref(above)) {
            Issuer::Found(_) => {}
            Issuer::Missing => {
                let text = "the chain is out of order, or one is missing in it";
                return vec![Line::new(Outcome::Fail, text, fix)];
            }
            Issuer::Liar(name) => {
                let text = format!("the chain is wrong: {name} did not sign what is below it");
                return vec![Line::new(Outcome::Fail, text, fix)];
            }
        }
    }
    let Some(last) = chain.last() else { return Vec::new() };
    if is_root(last) {
        let text = match chain.len() {
            1 => "signed by itself: only partners that list it will take it",
            _ => "the root is in the chain: harmless, and of no use",
        };
        return vec![Line::new(if chain.len() == 1 { Outcome::Warn } else { Outcome::Pass }, text, "")];
    }
    match issuer_of(last, &anchors(ours)) {
        Issuer::Found(_) => Vec::new(),
        Issuer::Missing | Issuer::Liar(_) => {
            let issuer = Seen::of(last).map(|seen| seen.issuer).unwrap_or_default();
            let text = format!("the chain ends below {issuer}, which [tls] trust does not have");
            let fix = "if that is an intermediate, import it too: stoxd cert import --chain FILE; a private \
                       authority must be trusted by each partner";
            vec![Line::new(Outcome::Warn, text, fix)]
        }
    }
}

fn key(path: &Path, own: &CertificateDer<'static>) -> Vec<Line> {
    let mode = match std::fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode() & 0o7777,
        Err(error) => {
            let text = format!("{}: {error}", path.display());
            return vec![match error.kind() {
                std::io::ErrorKind::PermissionDenied => Line::new(Outcome::Skip, text, "run it as root"),
                _ => Line::new(Outcome::Fail, text, "restore the key, or make a new request"),
            }];
        }
    };
    let mut lines = Vec::new();
    if mode & 0o007 != 0 {
        let text = format!("everybody can read the key {} (mode {mode:04o})", path.display());
        lines.push(Line::new(Outcome::Fail, text, format!("chmod 600 {}", path.display())));
    } else if mode & 0o070 != 0 {
        let text = format!("a group can read the key {} (mode {mode:04o})", path.display());
        lines.push(Line::new(Outcome::Warn, text, format!("if it need not: chmod 600 {}", path.display())));
    }
    match keys::read(path) {
        Ok(key) => match keys::fits(&key, own) {
            Ok(true) => {}
            Ok(false) => {
                let text = format!("the key {} is not that of the certificate", path.display());
                lines.push(Line::new(Outcome::Fail, text, "renew or restore both together"));
            }
            Err(why) => {
                let text = format!("the key {} can't be used: {why}", path.display());
                lines.push(Line::new(Outcome::Fail, text, "stoxd cert request makes one that can"));
            }
        },
        Err(refused) => {
            lines.push(Line::new(
                Outcome::Skip,
                format!("the key was not looked at: {refused}"),
                "run it as root",
            ));
        }
    }
    lines
}

/// Who signed a certificate.
pub enum Issuer {
    /// This one.
    Found(CertificateDer<'static>),
    /// None of these.
    Missing,
    /// One of these has the name, and another key.
    Liar(String),
}

/// Which of `all` signed `der`.
pub fn issuer_of(der: &CertificateDer<'static>, all: &[CertificateDer<'static>]) -> Issuer {
    let Ok((_, below)) = X509Certificate::from_der(der) else { return Issuer::Missing };
    let mut liar = None;
    for candidate in all {
        let Ok((_, above)) = X509Certificate::from_der(candidate) else { continue };
        if above.subject().as_raw() != below.issuer().as_raw() {
            continue;
        }
        if below.verify_signature(Some(above.public_key())).is_ok() {
            return Issuer::Found(candidate.clone());
        }
        liar = Some(quoted(above.subject().to_string().as_bytes()));
    }
    liar.map_or(Issuer::Missing, Issuer::Liar)
}

/// Whether a certificate is signed by itself.
pub fn is_root(der: &CertificateDer<'static>) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, cert)| cert.subject().as_raw() == cert.issuer().as_raw())
}

/// The trust anchors of `[tls] trust`.
fn anchors(ours: &Ours) -> Vec<CertificateDer<'static>> {
    match &ours.certificates.tls.trust {
        Trust::System => rustls_native_certs::load_native_certs().certs,
        Trust::Bundle(path) => bundle::read(path, None).map(|bundle| bundle.certificates).unwrap_or_default(),
    }
}
