//! `[tls]`: whom we trust, and our certificates.

use super::daemon::{Content, Context, name};
use super::problem::quoted;
use super::read::{At, Section};
use super::settings::{Certificate, Crl, Replaces, Sides, Tls, TlsVersion, Trust};
use super::{suggest, value};
use crate::now::Wall;
use std::path::PathBuf;

/// A certificate, and how the file names its chain and its key.
pub(super) struct Written {
    pub(super) certificate: Certificate,
    pub(super) chain: String,
    pub(super) key: String,
}

/// What `[tls]` comes to.
pub(super) struct Read {
    pub(super) tls: Tls,
    /// The ids that may be named: those of certificates that replace no other.
    pub(super) ids: Vec<At<String>>,
    /// How many of them are for SIP.
    pub(super) for_sip: usize,
    pub(super) written: Vec<Written>,
}

/// `[tls]`.
pub(super) fn tls(root: &mut Section<'_>, context: &Context<'_>) -> Read {
    let mut section = root.section("tls", "[tls]");
    let trust = match section.text("trust") {
        None | Some(("system", _)) => Trust::System,
        Some(_) => Trust::Bundle(context.file(&mut section, "trust", Content::Open).unwrap_or_default()),
    };
    let versions = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
    let min_version = section.choice("min_version", &versions).map_or(TlsVersion::Tls12, |(v, _)| v);
    let modes = [("off", Crl::Off), ("soft", Crl::Soft), ("hard", Crl::Hard)];
    let crl = section.choice("crl", &modes).map_or(Crl::Soft, |(mode, _)| mode);
    let crl_files = context.files(&mut section, "crl_files");
    if crl == Crl::Off && !crl_files.is_empty() {
        let message = "the revocation lists are not looked at";
        section.warn(
            &section.span_of("crl_files"),
            message,
            "crl is \"off\"; \"soft\" or \"hard\" looks at them",
        );
    }
    let crl_fetch = section.flag("crl_fetch", true);
    let mut all: Vec<At<String>> = Vec::new();
    let mut ids: Vec<At<String>> = Vec::new();
    let mut written = Vec::new();
    let (mut for_xmpp, mut for_sip) = (0, 0);
    for mut section in section.sections("certificate", "[[tls.certificate]]") {
        let id = section.required("id", name);
        for key in ["chain", "key"] {
            if !section.has(key) {
                section.missing(key);
            }
        }
        let texts = ["chain", "key"].map(|key| section.text(key).map_or("", |(text, _)| text).to_owned());
        let chain = context.file(&mut section, "chain", Content::Open);
        let key = context.file(&mut section, "key", Content::Secret);
        let is_replacement = section.has("replaces") || section.has("use_from");
        let replaces = replaces(&mut section, &all);
        let sides = sides(&mut section);
        if !is_replacement {
            for_xmpp += usize::from(sides.xmpp);
            for_sip += usize::from(sides.sip);
        }
        if let Some((id, span)) = id {
            match all.iter().find(|(earlier, _)| *earlier == id) {
                Some((_, first)) => section.error(
                    &span,
                    format!("certificate \"{id}\" is defined twice"),
                    format!("first in line {}", section.source.line_of(first.start)),
                ),
                None => {
                    all.push((id.clone(), span.clone()));
                    if !is_replacement {
                        ids.push((id.clone(), span));
                    }
                }
            }
            if let (Some(chain), Some(key)) = (chain, key) {
                let [chain_text, key_text] = texts;
                let certificate = Certificate { id, chain, key, replaces, sides };
                written.push(Written { certificate, chain: chain_text, key: key_text });
            }
        }
        section.done();
    }
    if for_xmpp == 0 && for_sip > 0 {
        let label = "add \"xmpp\" to the \"for\" of one: partners get no TLS";
        section.warn(&section.span, "no certificate is for XMPP", label);
    }
    let mut default_certificates = Vec::new();
    for (id, span) in section.texts_or_one("default_certificate") {
        if !ids.iter().any(|(known, _)| known == id) {
            unknown(&section, id, &span, &ids);
        }
        default_certificates.push(id.to_owned());
    }
    section.done();
    let certificates = written.iter().map(|written| written.certificate.clone()).collect();
    let tls = Tls { trust, min_version, crl, crl_files, crl_fetch, default_certificates, certificates };
    Read { tls, ids, for_sip, written }
}

impl Tls {
    /// How many certificates there are for one of `sides`, those not counted that wait for their date.
    pub fn count(&self, sides: Sides) -> usize {
        let pool = self.certificates.iter().filter(|certificate| certificate.replaces.is_none());
        pool.filter(|certificate| certificate.sides.meet(sides)).count()
    }
}

/// `for`: where a certificate is shown.
fn sides(section: &mut Section<'_>) -> Sides {
    if !section.has("for") {
        return Sides::BOTH;
    }
    let mut sides = Sides { xmpp: false, sip: false };
    for (side, span) in section.texts_or_one("for") {
        match side {
            "xmpp" => sides.xmpp = true,
            "sip" => sides.sip = true,
            _ => section.error(
                &span,
                format!("unknown side {} in \"for\"", quoted(side)),
                "\"xmpp\" or \"sip\"",
            ),
        }
    }
    if section.has("for") && !sides.meet(Sides::BOTH) {
        section.error(
            &section.span_of("for"),
            "this certificate is for nothing",
            "for = [\"xmpp\", \"sip\"]",
        );
    }
    sides
}

/// Whose place the certificate takes, one of `earlier`, and when.
fn replaces(section: &mut Section<'_>, earlier: &[At<String>]) -> Option<Replaces> {
    let replaced = section.text("replaces");
    let from = section.parsed("use_from", moment);
    match (replaced, from) {
        (Some((id, span)), from) => {
            if !earlier.iter().any(|(known, _)| known == id) {
                let known = earlier.iter().map(|(known, _)| known.as_str());
                let label = suggest::or(id, known, || "no [[tls.certificate]] above has this id".into());
                section.error(&span, format!("unknown certificate {}", quoted(id)), label);
            }
            if !section.has("use_from") {
                let label = "from when on: use_from = \"2027-01-01T00:00:00Z\"";
                section.error(&span, "\"replaces\" needs \"use_from\"", label);
            }
            Some(Replaces { id: id.to_owned(), from: from?.0 })
        }
        (None, Some((_, span))) => {
            let label = "say which certificate it takes the place of: replaces = \"ID\"";
            section.error(&span, "\"use_from\" needs \"replaces\"", label);
            None
        }
        (None, None) => None,
    }
}

/// Says that `id` is none that may be named.
pub(super) fn unknown(section: &Section<'_>, id: &str, span: &std::ops::Range<usize>, ids: &[At<String>]) {
    let known = ids.iter().map(|(known, _)| known.as_str());
    let label = suggest::or(id, known, || "no [[tls.certificate]] without \"replaces\" has this id".into());
    section.error(span, format!("unknown certificate {}", quoted(id)), label);
}

/// A point in time, or the begin of a day in UTC.
///
/// # Errors
/// What is wrong, as the label of a problem.
pub fn moment(text: &str) -> Result<Wall, String> {
    let stamp = match text.parse::<jiff::Timestamp>() {
        Ok(stamp) => Some(stamp),
        Err(_) if text.len() == 10 => format!("{text}T00:00:00Z").parse().ok(),
        Err(_) => None,
    };
    let millis = stamp.and_then(|stamp| u64::try_from(stamp.as_millisecond()).ok());
    millis.map(Wall::from_millis).ok_or_else(|| "a point in time such as \"2027-01-01T00:00:00Z\"".into())
}

impl Context<'_> {
    /// The files in the list under `key`; they are noted, so that they will be looked at.
    fn files(&self, section: &mut Section<'_>, key: &'static str) -> Vec<PathBuf> {
        let folder = section.source.folder.clone();
        let credentials = self.surroundings.credentials.clone();
        let texts: Vec<(String, _)> = section
            .texts(key)
            .unwrap_or_default()
            .iter()
            .map(|(t, span)| ((*t).to_owned(), span.clone()))
            .collect();
        let mut files = Vec::with_capacity(texts.len());
        for (text, span) in texts {
            match value::path(&text, &folder, credentials.as_deref()) {
                Ok(located) => files.push(self.note(located, Content::Open, span, text)),
                Err(reason) => {
                    section.error(&span, format!("bad value {} in \"{key}\"", quoted(&text)), reason)
                }
            }
        }
        files
    }
}
