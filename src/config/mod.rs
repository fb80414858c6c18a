//! The two TOML files as checked settings.
//!
//! | file | owns |
//! |---|---|
//! | [`settings`] | what comes out: [`Config`] and its parts, typed |
//! | `daemon`, `tls`, `sip`, `bridge`, `msrp`, `presence`, `selftest` | the sections of `stoxd.toml` |
//! | `access`, `partners`, `grants` | `policy.toml` and the grants file, made into a [`Table`](crate::policy::Table) |
//! | `read`, `value`, `suggest` | reading a table key by key, units, "did you mean" |
//! | [`problem`] | what is wrong, where, as people read it |
//! | [`mod@load`] | the only code here that touches files |
//!
//! One pass finds every error of both files. Unknown keys and names are errors. Nothing is half
//! taken: there is a [`Config`], or there are [`Problem`]s.

mod access;
mod bridge;
mod daemon;
mod grants;
pub mod load;
mod msrp;
mod partners;
mod presence;
pub mod problem;
mod read;
mod selftest;
pub mod settings;
mod sip;
mod suggest;
#[cfg(test)]
mod tests;
mod tls;
mod value;

pub use value::duration;

pub use load::{admin_socket, certificates, check, check_with, files_of, load};
pub use problem::{Problem, Severity};
pub use settings::Config;
pub use suggest::nearest;
pub use tls::moment;

use crate::addr::Domain;
use daemon::{Content, Context, Named};
use problem::{Report, Source, quoted};
use read::Section;
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use value::Located;

/// What stands in place of a feature that this version does not have.
const NOT_BUILT: &str = "not built yet";

/// Why a file can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// There is none.
    #[error("there is no such file")]
    Missing,
    /// This user may not read it.
    #[error("this user may not read it")]
    NoPermission,
    /// It is a folder, a pipe or a device.
    #[error("it is not a file")]
    NotAFile,
    /// It is larger than anything that makes sense here.
    #[error("it is larger than {0} octets")]
    TooLarge(u64),
    /// It is not UTF-8, in this line first.
    #[error("it is not UTF-8: line {0}")]
    NotText(usize),
    /// The system says this.
    #[error("{0}")]
    Other(String),
}

impl FileFault {
    /// The fault; where there is no file, with what names another one.
    fn or_name(&self, by: &str) -> String {
        match self {
            Self::Missing => format!("{self}: {by} names another"),
            _ => self.to_string(),
        }
    }
}

/// Reads and inspects files for [`parse`].
pub trait Files {
    /// The text of the file at `path`, of at most `limit` octets.
    ///
    /// # Errors
    /// See [`FileFault`].
    fn read(&self, path: &Path, limit: u64) -> Result<String, FileFault>;

    /// The permission bits of the file at `path`, which this user can read.
    ///
    /// # Errors
    /// See [`FileFault`].
    fn mode(&self, path: &Path) -> Result<u32, FileFault>;
}

/// The folders that systemd.exec(5) names in the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// `$CREDENTIALS_DIRECTORY`.
    pub credentials: Option<PathBuf>,
    /// `$STATE_DIRECTORY`.
    pub state: Option<PathBuf>,
    /// `$RUNTIME_DIRECTORY`.
    pub runtime: Option<PathBuf>,
}

/// What the configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The daemon will run with it: all that it names must be there.
    Run,
    /// Somebody checks it, perhaps as another user: secrets that only the daemon sees are warned of.
    Check,
}

/// Octets that `stoxd.toml` may have.
const MAX_DAEMON: u64 = 1 << 20;
/// Octets that the policy file may have.
const MAX_POLICY: u64 = 64 << 20;
/// Octets that the grants file may have.
const MAX_GRANTS: u64 = 1 << 30;

/// Reads the configuration whose daemon file is at `path`, and all that it names, through `files`.
///
/// # Errors
/// Every problem of all files, warnings among them, when there is at least one error.
pub fn parse(
    path: &Path,
    files: &dyn Files,
    surroundings: &Surroundings,
    purpose: Purpose,
) -> Result<Config, Vec<Problem>> {
    let report = Report::default();
    let name = problem::shown_name(path);
    let Some(source) = daemon_file(path, files, &report) else {
        return Err(report.into_problems(&[&name]));
    };
    let document = read::document(&source, &report);
    let mut root = Section::root(&source, &report, document.get_ref());
    let context = Context { surroundings, named: RefCell::default() };

    let gateway = daemon::gateway(&mut root, surroundings);
    let tls::Read { tls, ids, for_sip, .. } = tls::tls(&mut root, &context);
    let mut served = sip::domains(&mut root, &ids);
    let dns = daemon::dns(&mut root);
    let xmpp = daemon::xmpp(&mut root, &context);
    let sip = sip::sip(&mut root, &context, &mut served, for_sip);
    let bridge = bridge::bridge(&mut root);
    let msrp = msrp::msrp(&mut root, ids.len());
    let presence = presence::presence(&mut root);
    let limits = daemon::limits(&mut root);
    let log = daemon::log(&mut root);
    let metrics = daemon::metrics(&mut root);
    let admin_socket = daemon::admin(&mut root, surroundings);
    let selftest =
        selftest::selftest(&mut root, |domain| served.iter().any(|(one, _)| one.name.as_str() == domain));
    daemon::not_built(&mut root);
    selftest::one_listener_each(&root, &xmpp, &sip);
    root.done();
    for named in context.named.take() {
        inspect(&source, &report, files, purpose, &named);
    }
    let domains: Vec<settings::Served> = served.into_iter().map(|(served, _)| served).collect();
    let names: Vec<Domain> = domains.iter().map(|served| served.name.clone()).collect();

    let policy_path = daemon::policy_path(document.get_ref(), &source);
    let policy_name = problem::shown_name(&policy_path);
    let mut texts = vec![(name.clone(), source.text.clone())];
    let loaded = match files.read(&policy_path, MAX_POLICY) {
        Ok(text) => {
            let shown = match text.len() <= settings::MAX_TEXT {
                true => text.clone(),
                false => format!("# {} octets are too many to be shown\n", text.len()),
            };
            texts.push((policy_name.clone(), shown));
            let unverifiable = sip.peers.iter().filter(|peer| peer.unverifiable);
            let unverifiable = unverifiable.flat_map(|peer| peer.domains.clone()).collect();
            Some(access::load(Source::new(&policy_path, text), files, &names, unverifiable, &report))
        }
        Err(fault) => {
            let message = format!("can't read {}", policy_path.display());
            report.file_error(&policy_name, message, fault.or_name("[gateway] policy"));
            None
        }
    };
    let grants_name = loaded.as_ref().map(|loaded| loaded.grants.clone()).unwrap_or_default();
    let problems = report.into_problems(&[&name, &policy_name, &grants_name]);
    let valid = problems.iter().all(|problem| problem.severity == Severity::Warning);
    match (gateway, loaded) {
        (Some(gateway), Some(loaded)) if valid => Ok(Config {
            msrp,
            gateway,
            domains,
            tls,
            dns,
            xmpp,
            sip,
            bridge,
            presence,
            limits,
            log,
            metrics,
            admin_socket,
            selftest,
            table: loaded.table,
            texts,
            policy_tests: loaded.tests,
            warnings: problems,
        }),
        _ => Err(problems),
    }
}

/// The control socket that the daemon file at `path` names, whatever is wrong with the rest: what runs
/// can be asked while its files are being edited.
///
/// # Errors
/// The file can't be read.
pub fn socket_of(
    path: &Path,
    files: &dyn Files,
    surroundings: &Surroundings,
) -> Result<PathBuf, Vec<Problem>> {
    let report = Report::default();
    let name = problem::shown_name(path);
    let Some(source) = daemon_file(path, files, &report) else {
        return Err(report.into_problems(&[&name]));
    };
    let document = read::document(&source, &report);
    let mut root = Section::root(&source, &report, document.get_ref());
    Ok(daemon::admin(&mut root, surroundings))
}

/// Where the files lie that a daemon file leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The policy file.
    pub policy: PathBuf,
    /// The grants file, if the policy file names one.
    pub grants: Option<PathBuf>,
}

/// The files that the daemon file at `path` leads to, whatever is wrong with the rest of them.
pub fn places(path: &Path, files: &dyn Files) -> Places {
    let report = Report::default();
    let source = |path: &Path, limit| Source::new(path, files.read(path, limit).unwrap_or_default());
    let daemon = source(path, MAX_DAEMON);
    let policy = daemon::policy_path(read::document(&daemon, &report).get_ref(), &daemon);
    let policy_source = source(&policy, MAX_POLICY);
    let document = read::document(&policy_source, &report);
    let mut root = Section::root(&policy_source, &report, document.get_ref());
    let grants = access::grants_file(&mut root).map(|(path, _)| path);
    Places { policy, grants }
}

/// What a daemon file says of certificates, whether or not their files are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// `[gateway] name`.
    pub gateway: Option<Domain>,
    /// The domains that are served, and the ids of the certificates that each names.
    pub domains: Vec<(Domain, Vec<String>)>,
    /// `[tls]`. The path of a credential is empty where nobody says where credentials are.
    pub tls: settings::Tls,
    /// The certificates' chains and keys as the file names them.
    pub written: Vec<[String; 2]>,
}

/// What the daemon file at `path` says of certificates: they can be asked for before they are there, so
/// what is wrong with the rest of the file does not matter.
///
/// # Errors
/// The file can't be read, or is no TOML.
pub fn certificates_of(
    path: &Path,
    files: &dyn Files,
    surroundings: &Surroundings,
) -> Result<Certificates, Vec<Problem>> {
    let report = Report::default();
    let name = problem::shown_name(path);
    let Some(source) = daemon_file(path, files, &report) else {
        return Err(report.into_problems(&[&name]));
    };
    let document = read::document(&source, &report);
    if report.has_syntax_errors(&source) {
        return Err(report.into_problems(&[&name]));
    }
    let mut root = Section::root(&source, &report, document.get_ref());
    let context = Context { surroundings, named: RefCell::default() };
    let gateway = daemon::gateway(&mut root, surroundings).map(|gateway| gateway.name);
    let read = tls::tls(&mut root, &context);
    let served = sip::domains(&mut root, &read.ids);
    Ok(Certificates {
        gateway,
        domains: served.into_iter().map(|(served, _)| (served.name, served.certificates)).collect(),
        tls: read.tls,
        written: read.written.into_iter().map(|written| [written.chain, written.key]).collect(),
    })
}

/// The daemon file at `path`; if it can't be read, `report` says so.
fn daemon_file(path: &Path, files: &dyn Files, report: &Report) -> Option<Source> {
    match files.read(path, MAX_DAEMON) {
        Ok(text) => Some(Source::new(path, text)),
        Err(fault) => {
            let name = problem::shown_name(path);
            report.file_error(&name, format!("can't read {}", path.display()), fault.or_name("-c FILE"));
            None
        }
    }
}

/// Looks at a file that `source` names: it must be there, and a secret must be one.
fn inspect(source: &Source, report: &Report, files: &dyn Files, purpose: Purpose, named: &Named) {
    let shown = quoted(&named.text);
    let path = match &named.located {
        Located::At(path) => path,
        Located::NoCredentials => {
            let message = format!("can't find {shown}");
            let label = "$CREDENTIALS_DIRECTORY is not set; systemd sets it for the service";
            match purpose {
                Purpose::Run => report.error(source, &named.span, message, label),
                Purpose::Check => {
                    report.warn(source, &named.span, format!("{shown} was not looked at"), label)
                }
            }
            return;
        }
    };
    match (files.mode(path), named.content) {
        (Ok(mode), Content::Secret) if mode & 0o004 != 0 => report.error(
            source,
            &named.span,
            format!("everybody can read {shown}"),
            format!("it holds a secret: chmod 600 {}", path.display()),
        ),
        (Ok(mode), _) if mode & 0o002 != 0 => report.error(
            source,
            &named.span,
            format!("everybody can write {shown}"),
            format!("chmod o-w {}", path.display()),
        ),
        (Ok(_), Content::Secret | Content::Open) => {}
        (Err(FileFault::NoPermission), _) if purpose == Purpose::Check => {
            let label = FileFault::NoPermission.to_string();
            report.warn(source, &named.span, format!("{shown} was not looked at"), label);
        }
        (Err(fault), _) => {
            let label = format!("{}: {fault}", path.display());
            report.error(source, &named.span, format!("can't read {shown}"), label);
        }
    }
}

/// A domain name that a certificate can carry; no address.
fn host_name(text: &str) -> Result<Domain, String> {
    let domain = Domain::parse(text).map_err(|error| error.to_string())?;
    if domain.is_ip() { Err("a name is needed, not an address".into()) } else { Ok(domain) }
}

/// A fully qualified domain name: at least two labels, no star.
fn fqdn(text: &str) -> Result<Domain, String> {
    if text.contains('*') {
        return Err("a star has no place here: name each domain".into());
    }
    if let Some((_, domain)) = text.split_once('@') {
        return Err(format!("a domain, not an address: {}", quoted(domain)));
    }
    let domain = host_name(text)?;
    if domain.as_str().contains('.') { Ok(domain) } else { Err("not fully qualified".into()) }
}
