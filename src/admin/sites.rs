//! `stoxd site` and `stoxd user`.

use super::change::{self, How, Refused, Which, rows};
use super::cli::{ConfigFile, Output};
use super::exit;
use super::policies::answer;
use super::words::{self, columns, harmless, yes};
use crate::config::Config;
use crate::policy::written;
use clap::Subcommand;
use serde_json::{Value, json};
use toml_edit::DocumentMut;

/// `stoxd site …`.
#[derive(Debug, Subcommand)]
pub(super) enum SiteVerb {
    /// The sites that there are
    List {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
    /// Make a site
    New {
        /// Its name
        site: String,
        /// Who belongs to it: '*@contoso.example'
        #[arg(long, num_args = 1.., value_name = "USER")]
        member: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Change who belongs to a site
    Set {
        /// Its name
        site: String,
        /// Who joins
        #[arg(long, num_args = 1.., value_name = "USER")]
        add_member: Vec<String>,
        /// Who leaves, written as in the file
        #[arg(long, num_args = 1.., value_name = "USER")]
        remove_member: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Remove a site and its policy
    Rm {
        /// Its name
        site: String,
        #[command(flatten)]
        how: How,
    },
}

/// `stoxd user …`.
#[derive(Debug, Subcommand)]
pub(super) enum UserVerb {
    /// The policy that a user has, and what gave it
    Show {
        /// sip:alice@contoso.example
        address: String,
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
}

/// Does `verb`; the exit code.
pub(super) fn run(verb: SiteVerb) -> u8 {
    match verb {
        SiteVerb::List { file, output } => answer(&file, |config| (list(config, output.json), exit::DONE)),
        SiteVerb::New { site, member, how } => {
            change::edit(&format!("site new {site}"), &how, Which::Policy, |document| {
                new(document, &site, &member)
            })
        }
        SiteVerb::Set { site, add_member, remove_member, how } => {
            change::edit(&format!("site set {site}"), &how, Which::Policy, |document| {
                set(document, &site, &add_member, &remove_member, &how)
            })
        }
        SiteVerb::Rm { site, how } => {
            change::edit(&format!("site rm {site}"), &how, Which::Policy, |document| {
                let gone = rows::remove(document, "site", |row| rows::text(row, "name") == Some(&site))?;
                if gone == 0 {
                    return Err(none(document, &site));
                }
                how.agreed(&format!("Site {site} and its policy will be gone. Remove it?"))?;
                rows::remove(document, "policy", |row| {
                    rows::text(row, "scope") == Some("site") && rows::text(row, "site") == Some(&site)
                })?;
                Ok(format!("site {site} is removed"))
            })
        }
    }
}

fn none(document: &mut DocumentMut, site: &str) -> Refused {
    let all = rows::rows(document, "site");
    let known = all.iter().flat_map(|rows| rows.iter()).filter_map(|row| rows::text(row, "name"));
    Refused::failed(words::none("site", site, "stoxd site list", known))
}

fn new(document: &mut DocumentMut, site: &str, members: &[String]) -> Result<String, Refused> {
    let all = rows::rows(document, "site")?;
    let same = |name: &str| name.to_lowercase() == site.to_lowercase();
    if all.iter().any(|row| rows::text(row, "name").is_some_and(same)) {
        return Err(Refused::failed(format!("there is a site {site} already: stoxd site set {site}")));
    }
    let mut row = rows::row();
    rows::set(&mut row, "name", site);
    rows::set(&mut row, "members", members.iter().collect::<toml_edit::Array>());
    all.push(row);
    Ok(format!("site {site} is made; it counts when it has a policy: stoxd policy new site:{site}"))
}

fn set(
    document: &mut DocumentMut,
    site: &str,
    add: &[String],
    remove: &[String],
    how: &How,
) -> Result<String, Refused> {
    let missing = none(document, site);
    let mut all = rows::rows(document, "site")?.iter_mut();
    let row = all.find(|row| rows::text(row, "name") == Some(site)).ok_or(missing)?;
    for member in remove {
        if rows::pull(row, "members", |other| other == member) == 0 {
            return Err(Refused::failed(format!("{member} is no member of site {site}")));
        }
    }
    for member in add {
        rows::push(row, "members", member)?;
    }
    if !remove.is_empty() {
        how.agreed(&format!("{} will be in site {site} no more. Remove them?", remove.join(" ")))?;
    }
    Ok(format!("site {site} is set"))
}

fn list(config: &Config, as_json: bool) -> String {
    let sites = config.table.sites().iter().map(|site| {
        let members: Vec<String> = site.members.iter().map(ToString::to_string).collect();
        (site, members, config.table.policy_of(site))
    });
    if as_json {
        let all: Vec<Value> = sites
            .map(|(site, members, policy)| {
                let at = config.table.show(site.at);
                json!({ "name": site.name, "members": members, "policy": policy.map(|p| p.to_string()), "at": at })
            })
            .collect();
        return format!("{:#}\n", json!({ "sites": all }));
    }
    let rows: Vec<[String; 4]> = sites
        .map(|(site, members, policy)| {
            let words = policy.map_or_else(
                || ["-".into(), "-".into()],
                |policy| [yes(policy.federation).to_owned(), yes(policy.xmpp).to_owned()],
            );
            let [federation, xmpp] = words;
            [harmless(&site.name), federation, xmpp, members.join(" ")]
        })
        .collect();
    columns(["SITE", "FEDERATION", "XMPP", "MEMBERS"], &rows)
}

/// Does `verb`; the exit code.
pub(super) fn user(verb: UserVerb) -> u8 {
    let UserVerb::Show { address, file, output } = verb;
    let user = match written::sip(&address) {
        Ok(user) => user,
        Err(error) => return Refused::usage(format!("{}: {error}", address.escape_debug())).print(),
    };
    answer(&file, |config| {
        let (policy, step) = config.table.standing(&user);
        let enabled = config.table.is_enabled();
        let allowed = enabled && policy.allows_xmpp();
        let served = config.serves(user.domain());
        let shown = written::shown(&user, true);
        let text = if output.json {
            let answer = json!({
                "user": shown,
                "policy": policy.to_string(),
                "federation": policy.federation,
                "xmpp": policy.xmpp,
                "from": step.text,
                "at": step.at,
                "federation_enabled": enabled,
                "served": served,
                "allowed": allowed && served,
            });
            format!("{answer:#}\n")
        } else {
            let why = match (served, enabled, policy.federation, policy.xmpp) {
                (false, ..) => format!("no: {} is not served here", user.domain()),
                (true, false, ..) => "no: federation is disabled".to_owned(),
                (true, true, false, _) => "no: the policy has federation off".to_owned(),
                (true, true, true, false) => "no: the policy has xmpp off".to_owned(),
                (true, true, true, true) => "yes, with every partner that is listed".to_owned(),
            };
            let flags = format!("federation={}  xmpp={}", yes(policy.federation), yes(policy.xmpp));
            let at = if step.at.is_empty() { "built in" } else { &step.at };
            format!(
                "{shown}\n  policy  {policy}  {flags}\n  from    {}  {at}\n  XMPP    {why}\n",
                harmless(&step.text)
            )
        };
        (text, exit::DONE)
    })
}
