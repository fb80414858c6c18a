//! `stoxd cert assign`: which domains get a certificate, at once or from a date on.
//!
//! A certificate is for XMPP, for SIP or for both (`for` at it), and what a connection gets follows the domain
//! that it names. Who gets it for all domains gets it as the one for who names none, too. Where it is for one
//! side only, the other side keeps what it had. A roll-over leaves the domains as they are and writes
//! `replaces` and `use_from` at the new certificate; the daemon takes it up when its time comes.

use super::seen::{Seen, stamp};
use super::{Ours, Report, bundle, keys};
use crate::addr::Domain;
use crate::admin::change::{self, How, Refused, Which, rows};
use crate::admin::{complain, exit};
use crate::config;
use crate::config::settings::Sides;
use crate::now::Wall;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value};

/// Options of `stoxd cert assign`.
#[derive(Debug, Args)]
pub struct Assign {
    /// The certificate: its id, or its SHA-256 or thumbprint (an unambiguous beginning)
    which: String,
    /// Where it is shown: xmpp, sip, or "xmpp,sip" ("all") for both. Domains may be named here, too
    #[arg(long = "for", value_name = "WHERE", value_delimiter = ',', required_unless_present = "domain")]
    whom: Vec<String>,
    /// The domains that get it; without this, all of them
    #[arg(long, value_name = "DOMAIN", value_delimiter = ',')]
    domain: Vec<String>,
    /// Roll over at a date, in place of at once
    #[arg(long, requires = "from")]
    roll: bool,
    /// The date: 2027-01-01 (0 o'clock in UTC), or 2027-01-01T04:00:00Z
    #[arg(long, value_name = "DATE", requires = "roll", value_parser = config::moment)]
    from: Option<Wall>,
    #[command(flatten)]
    report: Report,
    #[command(flatten)]
    how: How,
}

/// The certificate that is assigned.
struct Chosen {
    id: String,
    seen: Seen,
    is_configured: bool,
}

/// Assigns; the exit code.
///
/// # Errors
/// The certificate is not there, or not for the domains; the date is wrong.
pub fn run(assign: &Assign, now: Wall) -> Result<u8, Refused> {
    let ours = Ours::read(&assign.how.file.config)?;
    assign.report.is_free(assign.how.yes)?;
    let chosen = choose(&ours, &assign.which)?;
    let (words, named) = split(assign);
    let domains = domains(&ours, &named)?;
    let is_all = named.is_empty();
    let id = chosen.id.as_str();
    let before = ours.certificates.tls.certificates.iter().find(|c| c.id == id).map(|c| c.sides);
    let sides = words.or(before).unwrap_or(Sides::BOTH);
    if let Some(domain) = domains.iter().find(|domain| !chosen.seen.is_for(domain)) {
        return Err(Refused {
            text: format!(
                "certificate \"{id}\" is not for {domain}: partners would refuse it; it is for {}",
                chosen.seen.names.join(" ")
            ),
            code: exit::PROBLEMS,
        });
    }
    let replaced = match assign.from {
        Some(from) => Some((replaced(&ours, &chosen, &domains, sides, from, now)?, from)),
        None if chosen.seen.end < now || chosen.seen.begin > now => {
            return Err(Refused {
                text: format!(
                    "certificate \"{id}\" is good from {} to {}: partners would refuse it now",
                    chosen.seen.not_before, chosen.seen.not_after
                ),
                code: exit::PROBLEMS,
            });
        }
        None => None,
    };
    let names: Vec<String> = domains.iter().map(ToString::to_string).collect();
    let only = if sides == Sides::BOTH {
        String::new()
    } else {
        format!(", {} only", super::side_names(sides).join(" and "))
    };
    let said = match &replaced {
        Some((old, from)) => {
            format!(
                "certificate {id} takes the place of {old} from {} on: {}{only}",
                stamp(*from),
                names.join(", ")
            )
        }
        None => format!("certificate {id} is for {}{only}", names.join(", ")),
    };
    let as_credential = ours.certificates.written.iter().any(|[chain, _]| chain.starts_with("cred:"));
    let report = json!({
        "id": id, "for": super::side_names(sides), "domains": names, "all": is_all, "replaces": replaced.as_ref().map(|(old, _)| old),
        "use_from": replaced.as_ref().map(|(_, from)| stamp(*from)), "certificate": chosen.seen,
        "what_if": assign.how.what_if,
    });
    assign.report.write(&format!("{report:#}\n"))?;
    let what = [("for", &assign.whom), ("domain", &assign.domain)]
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .fold(format!("cert assign {id}"), |what, (name, list)| {
            format!("{what} --{name} {}", list.join(","))
        });
    // What the other side keeps: an earlier one that is for it.
    let kept = |earlier: Vec<String>| {
        let for_others = |other: &String| {
            let other = ours.certificates.tls.certificates.iter().find(|c| c.id == *other);
            other.is_some_and(|other| {
                super::SIDES.iter().any(|(_, side)| other.sides.meet(*side) && !sides.meet(*side))
            })
        };
        let rest = earlier.into_iter().filter(|other| other != id && for_others(other));
        ids(std::iter::once(id.to_owned()).chain(rest).collect())
    };
    let code = change::edit(&what, &assign.how, Which::Daemon, |document| {
        let table = certificate(document, id)?;
        if table.get("chain").is_none() {
            let place = if as_credential { "cred:" } else { "credentials/" };
            rows::set(table, "chain", format!("{place}{id}.crt"));
            rows::set(table, "key", format!("{place}{id}.key"));
        }
        match sides == Sides::BOTH {
            true => drop(table.remove("for")),
            false => rows::set(table, "for", super::side_names(sides).into_iter().collect::<Array>()),
        }
        match &replaced {
            Some((old, from)) => {
                rows::set(table, "replaces", old.as_str());
                rows::set(table, "use_from", stamp(*from));
                return Ok(said);
            }
            None => {
                table.remove("replaces");
                table.remove("use_from");
            }
        }
        for row in rows::rows(document, "domain")?.iter_mut() {
            let name = rows::text(row, "name").and_then(|name| Domain::parse(name).ok());
            if name.is_some_and(|name| domains.contains(&&name)) {
                let all = kept(earlier(row, "certificate"));
                rows::set(row, "certificate", all);
            }
        }
        if is_all {
            let tls = rows::table(document, "tls")?;
            let all = kept(earlier(tls, "default_certificate"));
            rows::set(tls, "default_certificate", all);
        }
        Ok(said)
    });
    if code == exit::DONE && as_credential && !chosen.is_configured {
        complain(&format!(
            "the unit must hand it over, too: LoadCredential={id}.crt:/etc/stoxd/credentials/{id}.crt and \
             LoadCredential={id}.key:/etc/stoxd/credentials/{id}.key, then systemctl daemon-reload and systemctl \
             restart stoxd\n"
        ));
    }
    Ok(code)
}

/// The sides that are named, if any, and the domains.
fn split(assign: &Assign) -> (Option<Sides>, Vec<String>) {
    let mut sides: Option<Sides> = None;
    let mut named = assign.domain.clone();
    for word in &assign.whom {
        let side = super::SIDES.into_iter().find(|(name, _)| name == word).map(|(_, side)| side);
        let side = if word == "all" { Some(Sides::BOTH) } else { side };
        let both =
            |one: Sides, other: Sides| Sides { xmpp: one.xmpp || other.xmpp, sip: one.sip || other.sip };
        match side {
            Some(side) => sides = Some(sides.map_or(side, |known| both(known, side))),
            None => named.push(word.clone()),
        }
    }
    named.retain(|domain| domain != "all");
    (sides, named)
}

/// The ids under `key`, one or several.
fn earlier(table: &Table, key: &str) -> Vec<String> {
    rows::text(table, key).map_or_else(|| rows::list(table, key), |one| vec![one.to_owned()])
}

/// One id as a string, several as a list.
fn ids(all: Vec<String>) -> Value {
    match all.as_slice() {
        [one] => Value::from(one.as_str()),
        _ => Value::from(all.iter().map(String::as_str).collect::<Array>()),
    }
}

/// The certificate that is called `which`.
fn choose(ours: &Ours, which: &str) -> Result<Chosen, Refused> {
    let imported = std::fs::read_dir(&ours.folder).into_iter().flatten().filter_map(|entry| {
        let path = entry.ok()?.path();
        let id = path.file_stem()?.to_str()?.to_owned();
        path.extension()
            .is_some_and(|extension| extension == "crt")
            .then(|| (id, path.clone(), path.with_extension("key")))
    });
    let mut all: Vec<(String, PathBuf, PathBuf, bool)> =
        ours.all().map(|(certificate, chain, key)| (certificate.id.clone(), chain, key, true)).collect();
    for (id, chain, key) in imported {
        if !all.iter().any(|(known, other, ..)| *known == id || *other == chain) {
            all.push((id, chain, key, false));
        }
    }
    let print = which.replace([':', ' '], "").to_ascii_uppercase();
    let read: Vec<_> = all
        .into_iter()
        .map(|(id, chain, key, is_configured)| {
            let bundle = bundle::read(&chain, None).map_err(|error| error.to_string());
            (id, bundle, key, is_configured)
        })
        .collect();
    let by_print = |bundle: &Result<bundle::Bundle, String>| {
        let seen = bundle.as_ref().ok().and_then(|bundle| Seen::of(bundle.certificates.first()?));
        print.len() >= 8
            && seen.is_some_and(|seen| seen.sha256.starts_with(&print) || seen.thumbprint.starts_with(&print))
    };
    let mut found: Vec<_> = read.iter().filter(|(id, ..)| id == which).collect();
    if found.is_empty() {
        found = read.iter().filter(|(_, bundle, ..)| by_print(bundle)).collect();
    }
    let (id, bundle, key, is_configured) = match found.as_slice() {
        [one] => one,
        [] => {
            let known: Vec<&str> = read.iter().map(|(id, ..)| id.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(Refused::failed(format!(
                "there is no certificate {}; there are: {known}; stoxd cert import takes a new one in",
                which.escape_debug()
            )));
        }
        _ => {
            return Err(Refused::usage(format!(
                "{}: more than one certificate begins so",
                which.escape_debug()
            )));
        }
    };
    let bundle = bundle.as_ref().map_err(|why| Refused::failed(why.clone()))?;
    let own = bundle.certificates.first();
    let (own, seen) = own
        .and_then(|own| Some((own, Seen::of(own)?)))
        .ok_or_else(|| Refused::failed(format!("certificate {id}: there is no certificate in its file")))?;
    if keys::fits(&keys::read(key)?, own) != Ok(true) {
        let key = key.display();
        return Err(Refused::failed(format!(
            "certificate {id}: the key {key} is not that of the certificate"
        )));
    }
    Ok(Chosen { id: id.clone(), seen, is_configured: *is_configured })
}

fn domains<'o>(ours: &'o Ours, whom: &[String]) -> Result<Vec<&'o Domain>, Refused> {
    let all = || ours.certificates.domains.iter().map(|(domain, _)| domain);
    if whom.is_empty() {
        return Ok(all().collect());
    }
    let mut some = Vec::new();
    for whom in whom {
        let parsed = Domain::parse(whom).ok();
        some.push(all().find(|domain| parsed.as_ref() == Some(domain)).ok_or_else(|| {
            let served: Vec<&str> = all().map(Domain::as_str).collect();
            Refused::usage(format!(
                "{}: no [[domain]] has this name; there are: {}",
                whom.escape_debug(),
                served.join(", ")
            ))
        })?);
    }
    Ok(some)
}

/// The id of the one certificate that `chosen` takes the place of at `from`.
fn replaced(
    ours: &Ours,
    chosen: &Chosen,
    domains: &[&Domain],
    sides: Sides,
    from: Wall,
    now: Wall,
) -> Result<String, Refused> {
    let (id, seen) = (&chosen.id, &chosen.seen);
    if from <= now {
        let text =
            format!("--from {}: this is over; without --roll and --from it is used at once", stamp(from));
        return Err(Refused::usage(text));
    }
    if from < seen.begin || from >= seen.end {
        return Err(Refused::usage(format!(
            "--from {}: certificate \"{id}\" is good from {} to {}",
            stamp(from),
            seen.not_before,
            seen.not_after
        )));
    }
    let has = |id: &str, domain: &Domain| {
        let chain = ours.all().find(|(certificate, ..)| certificate.id == id).map(|(_, chain, _)| chain);
        let bundle = chain.and_then(|chain| bundle::read(&chain, None).ok());
        bundle
            .and_then(|bundle| Seen::of(bundle.certificates.first()?))
            .is_some_and(|seen| seen.is_for(domain))
    };
    let pool = ours.certificates.tls.certificates.iter().filter(|c| c.replaces.is_none() && c.id != *id);
    let mut used: Vec<(&str, Vec<&Domain>)> = Vec::new();
    for certificate in pool {
        let (all, _) = ours.users_on(&certificate.id, sides, has);
        if all.iter().any(|domain| domains.contains(domain)) {
            used.push((&certificate.id, all));
        }
    }
    match used.as_slice() {
        [(old, all)] => match all.iter().find(|domain| !domains.contains(domain)) {
            Some(other) => Err(Refused::usage(format!(
                "certificate {old} is for {other}, too, which would roll over with the others: name it in --domain, or \
                 give it another certificate first"
            ))),
            None => Ok((*old).to_owned()),
        },
        [] => Err(Refused::usage(format!(
            "no other certificate is in use for these domains, so there is nothing to roll over from: stoxd cert \
             assign {id} --for all"
        ))),
        [(one, _), (other, _), ..] => Err(Refused::usage(format!(
            "these domains have different certificates ({one}, {other}): roll over one after the other"
        ))),
    }
}

/// The row of certificate `id`, made if there is none.
fn certificate<'d>(document: &'d mut DocumentMut, id: &str) -> Result<&'d mut Table, Refused> {
    let tls = document.entry("tls").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let by_hand = || Refused::failed("[[tls.certificate]] is written in another form: edit it by hand");
    let tls = tls.as_table_mut().ok_or_else(by_hand)?;
    let list = tls.entry("certificate").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let list = list.as_array_of_tables_mut().ok_or_else(by_hand)?;
    let at = list.iter().position(|row| rows::text(row, "id") == Some(id));
    let at = at.unwrap_or_else(|| {
        let mut row = rows::row();
        rows::set(&mut row, "id", id);
        list.push(row);
        list.len() - 1
    });
    list.get_mut(at).ok_or_else(by_hand)
}
