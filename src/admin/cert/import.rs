//! `stoxd cert import`: what an authority sent, joined to its key, in the files that the daemon reads.
//!
//! What was in them stays as a copy beside them ([`super::former`]), which is imported to go back. A key that is there
//! is another's: it is replaced only where somebody says so.

use super::bundle::{self, Bundle};
use super::former::{self, Former};
use super::keys::{self, Readers};
use super::seen::Seen;
use super::{Ours, Report, examine, request};
use crate::admin::change::Refused;
use crate::admin::change::disk::Lock;
use crate::admin::check::Outcome;
use crate::admin::cli::{ConfigFile, Output, say};
use crate::admin::exit;
use crate::now::Wall;
use clap::Args;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Octets of a password.
const MAX_PASSWORD: u64 = 4096;

/// Options of `stoxd cert import`.
#[derive(Debug, Args)]
pub struct Import {
    /// The file from the authority
    from: PathBuf,
    /// What the certificate is called in stoxd.toml, and its files; default: as the request was
    #[arg(long, value_parser = request::id)]
    id: Option<String>,
    /// The private key, if it is in another file
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A file with intermediate certificates, if they are not in the other one
    #[arg(long, value_name = "FILE")]
    chain: Vec<PathBuf>,
    /// The file with the password of a PKCS #12 file; "-" reads the standard input
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Say what would be written, and write nothing
    #[arg(long)]
    what_if: bool,
    /// Replace a key that is there by another one, and overwrite a report that is there
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    report: Report,
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    output: Output,
}

/// A key that was found for a certificate.
struct Found {
    key: PrivateKeyDer<'static>,
    /// Where it lies; None if it came with the certificate.
    file: Option<PathBuf>,
}

/// Imports; the exit code.
///
/// # Errors
/// What is wrong with the files, and what to do.
pub fn run(import: &Import, now: Wall) -> Result<u8, Refused> {
    let ours = Ours::read(&import.file.config)?;
    import.report.is_free(import.yes)?;
    let password = import.password_file.as_deref().map(password).transpose()?;
    let fault = |error: bundle::BundleError| Refused::failed(error.to_string());
    let Bundle { kind, mut certificates, mut keys } =
        bundle::read(&import.from, password.as_deref()).map_err(fault)?;
    for chain in &import.chain {
        certificates.extend(bundle::read(chain, None).map_err(fault)?.certificates);
    }
    if let Some(key) = &import.key {
        keys = vec![keys::read(key)?];
    }
    let (own, found) = own(&ours, &certificates, keys, &import.from)?;
    let id = id(&ours, import, &found)?;
    let chain = chain(&own, &certificates)?;
    let seen = Seen::of(&own).ok_or_else(|| Refused::failed("the certificate is not X.509"))?;
    if seen.end < now {
        return Err(Refused::failed(format!(
            "{}: the certificate expired {} ({}): ask the authority for a new one",
            import.from.display(),
            seen.expiry(now),
            seen.not_after
        )));
    }
    let (chain_file, key_file) = ours.files_of(&id);
    let _lock = if import.what_if { None } else { Some(Lock::take(&import.file.config)?) };
    let is_there = keys::read(&key_file).is_ok_and(|there| keys::fits(&there, &own) == Ok(true));
    let is_new_key = !is_there && key_file.exists();
    if is_new_key && !import.yes {
        return Err(Refused::failed(format!(
            "{}: there is another key, which may be in use: give another --id, or --yes to replace it (a copy is kept)",
            key_file.display()
        )));
    }
    let mut text: String = chain.iter().map(|der| keys::pem_section("CERTIFICATE", der)).collect();
    let is_one_file = same(&chain_file, &key_file);
    if is_one_file {
        text.push_str(&keys::to_pem(&found.key));
    }
    let key_place = if is_one_file { &chain_file } else { &key_file };
    let former = Former::of(&chain_file, &text, key_place, is_new_key)?;
    let writes_key = !is_there && !is_one_file;
    let put = || -> Result<(), Refused> {
        former.chain.iter().chain(&former.key).try_for_each(former::Replaced::keep)?;
        // The key first, so that no certificate is ever without its key.
        if writes_key {
            keys::write(&key_file, keys::to_pem(&found.key), Readers::Owner)?;
        }
        let readers = if is_one_file { Readers::Owner } else { Readers::All };
        keys::write(&chain_file, &text, readers).map_err(|mut refused| {
            // The certificate that stays keeps its key, and no key comes without its certificate.
            let undone = match &former.key {
                Some(key) => key.undo(),
                None if writes_key => keys::remove(&key_file),
                None => Ok(()),
            };
            if let Err(why) = undone {
                refused.text.push_str(&format!("; and the key is another one already: {why}"));
            }
            refused
        })
    };
    if !import.what_if {
        put().inspect_err(|_| former.forget())?;
        former::prune(&chain_file, &key_file);
    }
    let lines = examine::certificate(&chain, &seen, &ours, now);
    let in_use = ours.certificates.tls.certificates.iter().any(|certificate| certificate.id == id);
    let report = json!({
        "id": id, "format": kind, "certificate": seen, "days_left": seen.days_left(now),
        "chain": chain.iter().filter_map(Seen::of).map(|seen| seen.subject).collect::<Vec<_>>(),
        "chain_file": chain_file, "key_file": key_file, "written": !import.what_if,
        "kept": former.copies(), "back": former.back(&id, now),
        "findings": lines.iter().map(examine::Line::to_json).collect::<Vec<_>>(),
    });
    let report = format!("{report:#}\n");
    import.report.write(&report)?;
    if import.output.json {
        return Ok(say(&report, exit::DONE));
    }
    let key_from = match &found.file {
        Some(file) => format!("the one of {}", file.display()),
        None => "came with it".to_owned(),
    };
    let mut text = format!(
        "certificate \"{id}\" ({kind}): {}, {}, issued by {}, expires {} ({})\nnames  {}\nkey    {key_from}\n",
        seen.subject,
        seen.key,
        seen.issuer,
        seen.expiry(now),
        seen.not_after,
        seen.names.join(" ")
    );
    for line in lines.iter().filter(|line| line.outcome != Outcome::Pass) {
        text.push_str(&format!("{}  {}\n", line.outcome.as_str(), line.text));
        for note in &line.notes {
            text.push_str(&format!("      {note}\n"));
        }
    }
    let files = if writes_key { vec![&*chain_file, &*key_file] } else { vec![&*chain_file] };
    let (files, kept) = (listed(&files), listed(&former.copies()));
    if import.what_if {
        text.push_str(&format!("{files} would be written; "));
        if !kept.is_empty() {
            text.push_str(&format!("what is there would be kept as {kept}; "));
        }
        text.push_str("nothing was changed\n");
        return Ok(say(&text, exit::DONE));
    }
    text.push_str(&format!("wrote  {files} ({} in the chain)\n", chain.len()));
    if !kept.is_empty() {
        text.push_str(&format!("kept   {kept}: what was there\n"));
    }
    if let Some(back) = former.back(&id, now) {
        text.push_str(&format!("back   {back}\n"));
    }
    text.push_str(&match in_use {
        true => {
            "next   stoxd reload (where the unit loads credentials: systemctl restart stoxd)\n".to_owned()
        }
        false => format!("next   stoxd cert assign {id} --for all\n"),
    });
    Ok(say(&text, exit::DONE))
}

/// Files, for a person.
fn listed(files: &[&Path]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" and ")
}

/// The password in a file, without the line end behind it.
fn password(path: &Path) -> Result<String, Refused> {
    let mut text = String::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().take(MAX_PASSWORD).read_to_string(&mut text),
        false => std::fs::File::open(path).and_then(|file| file.take(MAX_PASSWORD).read_to_string(&mut text)),
    };
    read.map_err(|error| Refused::failed(format!("--password-file {}: {error}", path.display())))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// The certificate that a key is there for, and its key: from the bundle itself, else of a former request.
fn own(
    ours: &Ours,
    certificates: &[CertificateDer<'static>],
    keys: Vec<PrivateKeyDer<'static>>,
    from: &Path,
) -> Result<(CertificateDer<'static>, Found), Refused> {
    if certificates.is_empty() {
        let from = from.display();
        return Err(Refused::failed(format!(
            "{from}: a key without its certificate: import the certificate, with --key"
        )));
    }
    let has_keys = !keys.is_empty();
    for key in keys {
        for certificate in certificates {
            match keys::fits(&key, certificate) {
                Ok(true) => return Ok((certificate.clone(), Found { key, file: None })),
                Ok(false) => {}
                Err(why) => return Err(Refused::failed(format!("the private key can't be used: {why}"))),
            }
        }
    }
    if has_keys {
        return Err(Refused::failed(format!(
            "the private key is of no certificate in {}: renew or restore both together",
            from.display()
        )));
    }
    let mut looked_at = Vec::new();
    for file in keys::files(ours) {
        let Ok(key) = keys::read(&file) else { continue };
        for certificate in certificates {
            if keys::fits(&key, certificate) == Ok(true) {
                return Ok((certificate.clone(), Found { key, file: Some(file) }));
            }
        }
        looked_at.push(file.display().to_string());
    }
    let looked_at = if looked_at.is_empty() { "none was found".to_owned() } else { looked_at.join(", ") };
    Err(Refused::failed(format!(
        "{}: the private key of this certificate is not there (looked at: {looked_at}): was the request made on \
         another machine? then give --key FILE",
        from.display()
    )))
}

/// What the certificate will be called: as it is wanted, or as its key is.
fn id(ours: &Ours, import: &Import, found: &Found) -> Result<String, Refused> {
    if let Some(id) = &import.id {
        return Ok(id.clone());
    }
    let file = found.file.as_deref().map(|file| match former::is_copy(file) {
        true => file.with_extension(""),
        false => file.to_owned(),
    });
    let of_key = file.as_deref().and_then(|file| {
        let configured = ours.all().find(|(_, _, key)| same(key, file)).map(|(c, _, _)| c.id.clone());
        configured.or_else(|| file.file_stem()?.to_str().map(str::to_owned))
    });
    let id = of_key.ok_or_else(|| Refused::usage("give it a name: --id NAME"))?;
    request::id(&id).map_err(|why| Refused::usage(format!("the key's name is no id: give --id NAME ({why})")))
}

fn same(a: &Path, b: &Path) -> bool {
    a == b || a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}

/// The way from `own` up, as far as it is in `all`, without the root, which everybody has or does not believe.
fn chain(
    own: &CertificateDer<'static>,
    all: &[CertificateDer<'static>],
) -> Result<Vec<CertificateDer<'static>>, Refused> {
    let mut chain = vec![own.clone()];
    while let Some(last) = chain.last() {
        match examine::issuer_of(last, all) {
            examine::Issuer::Found(issuer) if !chain.contains(&issuer) && !examine::is_root(&issuer) => {
                chain.push(issuer);
            }
            examine::Issuer::Found(_) | examine::Issuer::Missing => break,
            examine::Issuer::Liar(name) => {
                return Err(Refused::failed(format!(
                    "the certificate of {name} is there, but its key did not sign this one: ask the authority for the \
                     right chain"
                )));
            }
        }
    }
    Ok(chain)
}
