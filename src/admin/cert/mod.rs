//! `stoxd cert`: our certificates, from the request to the roll-over.
//!
//! | file | owns |
//! |---|---|
//! | [`request`] | a key and a request (PKCS #10) with every name that a partner checks |
//! | [`import`] | what an authority answered, joined to its key, written where it belongs |
//! | [`former`] | copies of what an import replaced |
//! | [`assign`] | which certificate is for which domain, at once or from a date on |
//! | [`list`] | `list` and `show` |
//! | [`examine`] | `check`: what is wrong with a certificate, and what to do |
//! | [`bundle`] | certificates and keys in PEM, DER, PKCS #7 and PKCS #12 |
//! | [`keys`] | key files: found, matched, written |
//! | [`seen`] | what a certificate says, for people |
//!
//! Files lie where the configuration says, and new ones in the folder `credentials` beside the daemon's file:
//! `ID.key`, `ID.csr`, `ID.crt`. That is where
//! the unit's `LoadCredential=` reads them, so `cred:ID.crt` is looked for there too. Nothing here parses a
//! format: rcgen, x509-parser, `cms` and `p12-keystore` do.

pub mod assign;
pub mod bundle;
pub mod examine;
pub mod former;
pub mod import;
pub mod keys;
pub mod list;
pub mod request;
pub mod seen;

use super::change::Refused;
use super::cli::{ConfigFile, Output, say};
use super::{check, exit};
use crate::addr::Domain;
use crate::config::settings::{Certificate, Sides};
use crate::config::{self, Certificates};
use crate::now::Wall;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// Verbs of certificates.
#[derive(Debug, Subcommand)]
pub enum CertVerb {
    /// The certificates that are configured, and until when they are good
    List {
        /// Only those that expire within this time: 30d
        #[arg(long, value_name = "TIME", value_parser = days)]
        expiring: Option<u64>,
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
    /// All that a certificate says
    Show {
        /// The id of a certificate, or a file
        which: String,
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
    /// Make a key and a request for a certificate
    Request(Box<request::Request>),
    /// Take what the authority sent: PEM, DER, PKCS #7 (.p7b) or PKCS #12 (.pfx, .p12); what it replaces is kept
    Import(import::Import),
    /// Say which domains get a certificate, at once or from a date on
    Assign(assign::Assign),
    /// Look for what is wrong with the certificates that are configured
    Check {
        /// Warnings count as problems
        #[arg(long)]
        strict: bool,
        /// Overwrite a report that is there
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        report: Report,
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
}

/// Where a report goes.
#[derive(Clone, Debug, Args)]
pub struct Report {
    /// Write what there is to say into this file too, as JSON
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

impl Report {
    /// Whether a report that is wanted may be written: a file that is there is overwritten only with `yes`.
    ///
    /// # Errors
    /// The file is there.
    pub fn is_free(&self, yes: bool) -> Result<(), Refused> {
        match &self.report {
            Some(path) if !yes && path.exists() => Err(Refused::usage(format!(
                "--report {}: this file is there: another name, or --yes to overwrite it",
                path.display()
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// Writes the report, if one is wanted.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, json: &str) -> Result<(), Refused> {
        let Some(path) = &self.report else { return Ok(()) };
        std::fs::write(path, json)
            .map_err(|error| Refused::failed(format!("can't write the report {}: {error}", path.display())))
    }
}

/// Does what `verb` says; the exit code.
pub fn run(verb: CertVerb, now: Wall) -> u8 {
    let done = match verb {
        CertVerb::List { expiring, file, output } => Ours::read(&file.config)
            .map(|ours| say(&list::list(&ours, expiring, now, output.json), exit::DONE)),
        CertVerb::Show { which, file, output } => Ours::read(&file.config)
            .and_then(|ours| list::show(&ours, &which, now, output.json))
            .map(|text| say(&text, exit::DONE)),
        CertVerb::Request(request) => request::run(&request),
        CertVerb::Import(import) => import::run(&import, now),
        CertVerb::Assign(assign) => assign::run(&assign, now),
        CertVerb::Check { strict, yes, report, file, output } => Ours::read(&file.config).and_then(|ours| {
            report.is_free(yes)?;
            let findings = examine::findings(&ours, now);
            let (json, code) = check::render(&findings, strict, true);
            report.write(&json)?;
            let text = if output.json { json } else { check::render(&findings, strict, false).0 };
            Ok(say(&text, code))
        }),
    };
    done.unwrap_or_else(|refused| refused.print())
}

/// Where a certificate can be for, as `for` calls it.
pub const SIDES: [(&str, Sides); 2] =
    [("xmpp", Sides { xmpp: true, sip: false }), ("sip", Sides { xmpp: false, sip: true })];

/// `sides` as `for` has them.
pub fn side_names(sides: Sides) -> Vec<&'static str> {
    SIDES.into_iter().filter(|(_, side)| sides.meet(*side)).map(|(name, _)| name).collect()
}

/// Whole days of a duration such as `30d`.
fn days(text: &str) -> Result<u64, String> {
    let days = text.strip_suffix('d').and_then(|number| number.parse().ok());
    days.ok_or_else(|| "a number of days, such as 30d".to_owned())
}

/// What the daemon's file says of certificates, and where their files are.
#[derive(Debug)]
pub struct Ours {
    /// What it says.
    pub certificates: Certificates,
    /// The folder of requests and of what came back.
    pub folder: PathBuf,
}

impl Ours {
    /// Reads the daemon's file at `path`.
    ///
    /// # Errors
    /// It can't be read, or is no TOML: exit code 78.
    pub fn read(path: &Path) -> Result<Self, Refused> {
        let certificates = config::certificates(path).map_err(|problems| Refused {
            text: check::problems(&problems).trim_start_matches("error: ").to_owned(),
            code: exit::CONFIG,
        })?;
        Ok(Self { certificates, folder: super::change::disk::folder_of(path).join("credentials") })
    }

    /// Each certificate with the places of its chain and its key.
    pub fn all(&self) -> impl Iterator<Item = (&Certificate, PathBuf, PathBuf)> {
        let both = self.certificates.tls.certificates.iter().zip(&self.certificates.written);
        both.map(|(certificate, [chain, key])| {
            (certificate, self.place(&certificate.chain, chain), self.place(&certificate.key, key))
        })
    }

    /// Where the chain and the key of certificate `id` are, or will be.
    pub fn files_of(&self, id: &str) -> (PathBuf, PathBuf) {
        let configured = self.all().find(|(certificate, ..)| certificate.id == id);
        let new = |extension: &str| self.folder.join(format!("{id}.{extension}"));
        configured.map_or_else(|| (new("crt"), new("key")), |(_, chain, key)| (chain, key))
    }

    /// Where a file is that the configuration calls `written`: a credential lies where the unit takes it from.
    fn place(&self, path: &Path, written: &str) -> PathBuf {
        match written.strip_prefix("cred:") {
            Some(name) if path.as_os_str().is_empty() => self.folder.join(name),
            Some(_) | None => path.to_owned(),
        }
    }

    /// The id of the certificate whose place `id` takes, through all roll-overs.
    fn first_of<'a>(&'a self, id: &'a str) -> &'a str {
        let mut first = id;
        // Whoever replaces stands below whom it replaces, so this ends; an invalid file may have a ring.
        for _ in 0..self.certificates.tls.certificates.len() {
            let all = &self.certificates.tls.certificates;
            let Some(certificate) = all.iter().find(|certificate| certificate.id == first) else { break };
            let Some(replaces) = &certificate.replaces else { break };
            first = &replaces.id;
        }
        first
    }

    /// The domains that certificate `id` is for, sooner or later, and whether it is the default. `names` says
    /// whether a certificate has a domain's name.
    pub fn users(&self, id: &str, names: impl Fn(&str, &Domain) -> bool) -> (Vec<&Domain>, bool) {
        self.users_on(id, Sides::BOTH, names)
    }

    /// As [`Ours::users`], on some sides only.
    pub fn users_on(
        &self,
        id: &str,
        on: Sides,
        names: impl Fn(&str, &Domain) -> bool,
    ) -> (Vec<&Domain>, bool) {
        let first = self.first_of(id);
        let tls = &self.certificates.tls;
        let sides_of = |id: &str| tls.certificates.iter().find(|c| c.id == id).map(|c| c.sides);
        let sides: Vec<Sides> = SIDES
            .into_iter()
            .map(|(_, side)| side)
            .filter(|side| side.meet(on))
            .filter(|side| [id, first].iter().all(|id| sides_of(id).is_some_and(|all| all.meet(*side))))
            .collect();
        let pool = |side: Sides| {
            let pool = tls.certificates.iter().filter(|certificate| certificate.replaces.is_none());
            pool.filter(move |certificate| certificate.sides.meet(side))
        };
        let has_side = |id: &&String, side: Sides| sides_of(id).is_some_and(|all| all.meet(side));
        let default = |side: Sides| {
            let named = tls.default_certificates.iter().find(|id| has_side(id, side));
            named.map(String::as_str).or_else(|| pool(side).next().map(|c| c.id.as_str()))
        };
        let domains = self.certificates.domains.iter().filter(|(domain, pinned)| {
            sides.iter().any(|side| {
                let pinned = pinned.iter().find(|id| has_side(id, *side)).map(String::as_str);
                let by_name = || pool(*side).find(|c| names(&c.id, domain)).map(|c| c.id.as_str());
                pinned.or_else(by_name).or_else(|| default(*side)) == Some(first)
            })
        });
        let is_default = sides.iter().any(|side| default(*side) == Some(first));
        (domains.map(|(domain, _)| domain).collect(), is_default)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ours(tls: &str, domains: [&str; 2]) -> (tempfile::TempDir, Ours) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stoxd.toml");
        let [a, b] = domains;
        let text = format!(
            "[gateway]\nname = \"gw.a.example\"\n[[domain]]\nname = \"a.example\"\n{a}[[domain]]\nname = \"b.example\"\n{b}\
             {tls}"
        );
        std::fs::write(&path, text).unwrap();
        let ours = Ours::read(&path).unwrap();
        (folder, ours)
    }

    fn row(id: &str, more: &str) -> String {
        format!("[[tls.certificate]]\nid = \"{id}\"\nchain = \"cred:{id}.crt\"\nkey = \"{id}.key\"\n{more}")
    }

    fn used(ours: &Ours, id: &str) -> (Vec<String>, bool) {
        // "b" alone has a name of its own: b.example.
        let (domains, is_default) = ours.users(id, |id, domain| id == "b" && domain.as_str() == "b.example");
        (domains.iter().map(ToString::to_string).collect(), is_default)
    }

    #[test]
    fn f068_a_domain_gets_what_it_names_else_what_names_it_else_the_default() {
        let rows = [row("a", ""), row("b", "")].concat();
        let (_folder, found) = ours(&rows, ["", ""]);
        assert_eq!(used(&found, "a"), (vec!["a.example".into()], true));
        assert_eq!(used(&found, "b"), (vec!["b.example".into()], false));
        let (_folder, found) = ours(&rows, ["certificate = \"b\"\n", ""]);
        assert_eq!(used(&found, "b"), (vec!["a.example".into(), "b.example".into()], false));
        let (_folder, found) = ours(&format!("[tls]\ndefault_certificate = \"b\"\n{rows}"), ["", ""]);
        assert_eq!((used(&found, "a"), used(&found, "b").1), ((vec![], false), true));
    }

    #[test]
    fn f065_who_takes_a_place_takes_its_domains() {
        let next = row("next", "replaces = \"a\"\nuse_from = \"2027-01-01\"\n");
        let last = row("last", "replaces = \"next\"\nuse_from = \"2028-01-01\"\n");
        let (_folder, found) = ours(&[row("a", ""), row("b", ""), next, last].concat(), ["", ""]);
        for id in ["a", "next", "last"] {
            assert_eq!(used(&found, id), (vec!["a.example".into()], true), "{id}");
        }
    }

    #[test]
    fn a_credential_lies_where_the_unit_takes_it_from() {
        let (folder, found) = ours(&row("a", ""), ["", ""]);
        let place = |name: &str| folder.path().join(name);
        assert_eq!(found.files_of("a"), (place("credentials/a.crt"), place("a.key")));
        assert_eq!(found.files_of("new"), (place("credentials/new.crt"), place("credentials/new.key")));
    }
}
