//! `stoxd cert list` and `show`.

use super::seen::{Seen, stamp};
use super::{Ours, bundle, examine};
use crate::admin::change::Refused;
use crate::now::Wall;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The certificates that are configured; only those that expire within `expiring` days, if it is given.
pub fn list(ours: &Ours, expiring: Option<u64>, now: Wall, as_json: bool) -> String {
    let mut rows = vec![["ID", "FOR", "EXPIRES", "KEY", "SUBJECT", "ISSUER", "DOMAINS"].map(str::to_owned)];
    let mut all: Vec<Value> = Vec::new();
    let read: Vec<(String, Result<Seen, String>)> = ours
        .all()
        .map(|(certificate, chain, _)| (certificate.id.clone(), first(&chain).map(|(seen, _)| seen)))
        .collect();
    let has = |id: &str, domain: &crate::addr::Domain| {
        let seen = read.iter().find(|(known, _)| known == id).map(|(_, seen)| seen);
        seen.is_some_and(|seen| seen.as_ref().is_ok_and(|seen| seen.is_for(domain)))
    };
    for ((certificate, chain, key), (id, seen)) in ours.all().zip(&read) {
        let is_near = |seen: &Seen| {
            expiring.is_none_or(|days| seen.days_left(now) <= i64::try_from(days).unwrap_or(i64::MAX))
        };
        if !seen.as_ref().map_or(expiring.is_none(), is_near) {
            continue;
        }
        let (domains, is_default) = ours.users(id, has);
        let mut used: Vec<String> = domains.iter().map(ToString::to_string).collect();
        if is_default {
            used.push("(default)".to_owned());
        }
        let replaces = certificate.replaces.as_ref();
        let from =
            replaces.map(|replaces| format!("in place of {} from {}", replaces.id, stamp(replaces.from)));
        let (expires, kind, subject, issuer) = match seen {
            Ok(seen) => (
                format!("{} {}", seen.not_after.get(..10).unwrap_or_default(), seen.expiry(now)),
                seen.key.clone(),
                seen.subject.clone(),
                seen.issuer.clone(),
            ),
            Err(why) => ("-".to_owned(), "-".to_owned(), "-".to_owned(), why.clone()),
        };
        let used = from.map_or_else(|| used.join(" "), |from| format!("{} ({from})", used.join(" ")));
        let sides = super::side_names(certificate.sides);
        rows.push([id.clone(), sides.join(","), expires, kind, subject, issuer, used]);
        all.push(json!({
            "id": id, "for": sides, "chain": chain, "key": key, "certificate": seen.as_ref().ok(), "error": seen.as_ref().err(),
            "days_left": seen.as_ref().ok().map(|seen| seen.days_left(now)),
            "domains": domains.iter().map(ToString::to_string).collect::<Vec<_>>(), "default": is_default,
            "replaces": replaces.map(|replaces| &replaces.id), "use_from": replaces.map(|replaces| stamp(replaces.from)),
        }));
    }
    if as_json {
        return format!("{:#}\n", Value::Array(all));
    }
    if rows.len() == 1 {
        return match expiring {
            Some(1) => "no certificate expires within a day\n".to_owned(),
            Some(days) => format!("no certificate expires within {days} days\n"),
            None => "no [[tls.certificate]] is configured: stoxd cert request\n".to_owned(),
        };
    }
    columns(&rows)
}

/// Columns that are as wide as their widest cell.
fn columns(rows: &[[String; 7]]) -> String {
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let width = width(at).unwrap_or(0);
            line.push_str(&format!("{cell:width$}  "));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// All that certificate `which` says: an id of the configuration, or a file.
///
/// # Errors
/// It is neither, or can't be read.
pub fn show(ours: &Ours, which: &str, now: Wall, as_json: bool) -> Result<String, Refused> {
    let configured =
        ours.all().find(|(certificate, _, _)| certificate.id == which).map(|(_, chain, _)| chain);
    let path = configured.clone().unwrap_or_else(|| PathBuf::from(which));
    if configured.is_none() && !path.exists() {
        let ids: Vec<&str> = ours.all().map(|(certificate, _, _)| certificate.id.as_str()).collect();
        let ids = if ids.is_empty() { "none".to_owned() } else { ids.join(", ") };
        return Err(Refused::failed(format!("{which}: neither a file nor a certificate; configured: {ids}")));
    }
    let (seen, chain) = first(&path).map_err(Refused::failed)?;
    let lines = examine::certificate(&chain, &seen, ours, now);
    let above: Vec<String> = chain.iter().skip(1).filter_map(Seen::of).map(|seen| seen.subject).collect();
    if as_json {
        let all = json!({
            "file": path, "certificate": seen, "days_left": seen.days_left(now), "chain": above,
            "findings": lines.iter().map(examine::Line::to_json).collect::<Vec<_>>(),
        });
        return Ok(format!("{all:#}\n"));
    }
    let usage = match (seen.server_auth, seen.client_auth) {
        (true, true) => "TLS servers and clients",
        (true, false) => "TLS servers only",
        (false, true) => "TLS clients only",
        (false, false) => "not for TLS",
    };
    let or_none =
        |list: &[String]| if list.is_empty() { "none".to_owned() } else { list.join("\n            ") };
    let mut out = String::new();
    for (title, value) in [
        ("file", path.display().to_string()),
        ("subject", seen.subject.clone()),
        ("issuer", seen.issuer.clone()),
        ("names", or_none(&seen.names)),
        ("valid", format!("{} to {} (expires {})", seen.not_before, seen.not_after, seen.expiry(now))),
        ("key", seen.key.clone()),
        ("signature", seen.signature.clone()),
        ("usage", usage.to_owned()),
        ("CRL", or_none(&seen.crl)),
        ("chain", or_none(&above)),
        ("serial", seen.serial.clone()),
        ("SHA-256", seen.sha256.clone()),
        ("thumbprint", seen.thumbprint.clone()),
    ] {
        out.push_str(&format!("{title:12}{value}\n"));
    }
    Ok(out)
}

/// The certificate in the file at `path`, and all of the file.
fn first(path: &Path) -> Result<(Seen, Vec<rustls::pki_types::CertificateDer<'static>>), String> {
    let bundle = bundle::read(path, None).map_err(|error| error.to_string())?;
    let seen = bundle.certificates.first().and_then(Seen::of);
    let seen = seen.ok_or_else(|| format!("{}: no certificate in it", path.display()))?;
    Ok((seen, bundle.certificates))
}
