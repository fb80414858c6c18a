//! `stoxd partner`: the XMPP federated partners.

use super::change::{self, How, Refused, Which, rows};
use super::checks::{self, Look, PartnerTest};
use super::cli::{ConfigFile, Output};
use super::exit;
use super::policies::answer;
use super::words::{self, Switch, canonical, columns, finds, harmless, yes};
use crate::config::Config;
use crate::policy::{BlockedRow, Need, Partner, PartnerKind};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::collections::HashSet;
use toml_edit::{DocumentMut, Table};

/// `stoxd partner …`.
#[derive(Debug, Subcommand)]
pub(super) enum PartnerVerb {
    /// The partners that there are
    List {
        /// Only those with a domain that this finds: '*.org', or a domain and all below it
        filter: Option<String>,
        /// Only those of this type
        #[arg(long = "type", value_enum)]
        kind: Option<Kind>,
        /// In place of partners what is blocked, and by which row; for a domain also what blocks it
        #[arg(long, conflicts_with = "kind")]
        blocked: bool,
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
    /// One partner, with all its settings
    Show {
        /// Any of its domains
        domain: String,
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
    /// Try a partner, or a SIP peer: what the policy says, DNS, and a connection that is really made
    Test(PartnerTest),
    /// List a domain as a partner; what is not listed gets nothing
    New {
        /// The primary domain
        domain: String,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        how: How,
    },
    /// Change a partner, or all that a pattern finds; what is not named stays
    Set {
        /// The primary domain, or a pattern with stars
        domain: String,
        /// Only those of this type
        #[arg(long, value_enum, value_name = "TYPE")]
        where_type: Option<Kind>,
        #[command(flatten)]
        settings: Settings,
        /// Domains that go
        #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "DOMAIN")]
        remove_domain: Vec<String>,
        /// All additional domains go
        #[arg(long)]
        clear_domains: bool,
        /// Settings that get their default again: connection_limit, proxy_fqdn
        #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "KEY")]
        unset: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Remove a partner, or all that a pattern finds: its streams end
    Rm {
        /// The primary domain, or a pattern with stars
        domain: String,
        /// Only those of this type
        #[arg(long = "type", value_enum)]
        kind: Option<Kind>,
        #[command(flatten)]
        how: How,
    },
}

/// How far a partner is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Its users may reach ours unasked, and see status notes
    Federated,
    /// The same without notes
    PublicVerified,
    /// Nothing comes in until our user has added the contact
    PublicUnverified,
}

impl Kind {
    fn of_file(self) -> PartnerKind {
        match self {
            Self::Federated => PartnerKind::Federated,
            Self::PublicVerified => PartnerKind::PublicVerified,
            Self::PublicUnverified => PartnerKind::PublicUnverified,
        }
    }
}

/// How much a security feature is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Wanted {
    /// No stream without it
    Required,
    /// Used where the partner has it
    Optional,
    /// Neither offered nor used
    NotSupported,
}

impl Wanted {
    fn of_file(self) -> Need {
        match self {
            Self::Required => Need::Required,
            Self::Optional => Need::Optional,
            Self::NotSupported => Need::NotSupported,
        }
    }
}

/// What a partner's entry says.
#[derive(Debug, Args)]
pub(super) struct Settings {
    /// A note for administrators
    #[arg(long)]
    description: Option<String>,
    /// Further domains of the same partner; nothing follows from a suffix
    #[arg(long, num_args = 1.., value_delimiter = ',', value_name = "DOMAIN")]
    add_domain: Vec<String>,
    /// How far its users are trusted
    #[arg(long = "type", value_enum)]
    kind: Option<Kind>,
    /// TLS
    #[arg(long, value_enum)]
    tls: Option<Wanted>,
    /// SASL EXTERNAL
    #[arg(long, value_enum)]
    sasl: Option<Wanted>,
    /// Server Dialback
    #[arg(long, value_enum)]
    dialback: Option<Switch>,
    /// Streams with this partner
    #[arg(long, value_name = "NUMBER")]
    connection_limit: Option<i64>,
    /// Whether it is expected to send keep-alives
    #[arg(long, value_enum)]
    keepalive: Option<Switch>,
    /// Connect here instead of asking DNS
    #[arg(long, value_name = "HOST")]
    proxy_fqdn: Option<String>,
    /// The proxy's port
    #[arg(long, value_name = "PORT")]
    proxy_port: Option<i64>,
}

impl Settings {
    fn write(&self, row: &mut Table) -> Result<(), Refused> {
        let words = [
            ("description", self.description.as_deref()),
            ("type", self.kind.map(|kind| kind.of_file().as_str())),
            ("tls", self.tls.map(|need| need.of_file().as_str())),
            ("sasl", self.sasl.map(|need| need.of_file().as_str())),
            ("proxy_fqdn", self.proxy_fqdn.as_deref()),
        ];
        for (key, word) in words {
            if let Some(word) = word {
                rows::set(row, key, word);
            }
        }
        for (key, switch) in [("dialback", self.dialback), ("keepalive", self.keepalive)] {
            if let Some(switch) = switch {
                rows::set(row, key, switch.is_on());
            }
        }
        for (key, number) in [("connection_limit", self.connection_limit), ("proxy_port", self.proxy_port)] {
            if let Some(number) = number {
                rows::set(row, key, number);
            }
        }
        self.add_domain.iter().try_for_each(|domain| rows::push(row, "additional_domains", domain))
    }
}

/// Does `verb`; the exit code.
pub(super) fn run(verb: PartnerVerb, look: Look) -> u8 {
    match verb {
        PartnerVerb::Test(args) => checks::test(&args, look),
        PartnerVerb::List { filter, blocked: true, file, output, .. } => {
            answer(&file, |config| (blocked(config, filter.as_deref(), output.json), exit::DONE))
        }
        PartnerVerb::List { filter, kind, file, output, .. } => {
            answer(&file, |config| (list(config, filter.as_deref(), kind, output.json), exit::DONE))
        }
        PartnerVerb::Show { domain, file, output } => {
            answer(&file, |config| show(config, &domain, output.json))
        }
        PartnerVerb::New { domain, settings, how } => {
            change::edit(&format!("partner new {domain}"), &how, Which::Policy, |document| {
                new(document, &domain, &settings)
            })
        }
        PartnerVerb::Set { domain, where_type, settings, remove_domain, clear_domains, unset, how } => {
            change::edit(&format!("partner set {domain}"), &how, Which::Policy, |document| {
                let found = chosen(document, &domain, where_type)?;
                let set: HashSet<&str> = found.iter().map(String::as_str).collect();
                let all = rows::rows(document, "partner")?.iter_mut();
                for row in all.filter(|row| is_one(row, &set)) {
                    if clear_domains {
                        row.remove("additional_domains");
                    }
                    for gone in &remove_domain {
                        if rows::pull(row, "additional_domains", |other| canonical(other) == canonical(gone))
                            == 0
                        {
                            return Err(Refused::failed(format!(
                                "{gone} is no additional domain of {domain}"
                            )));
                        }
                    }
                    for key in &unset {
                        if key == "domain" || row.remove(key).is_none() {
                            return Err(Refused::failed(format!(
                                "{domain} has no setting {key} to take back"
                            )));
                        }
                    }
                    settings.write(row)?;
                }
                let unlisted = unset.iter().any(|key| key == "additional_domains");
                let removes = clear_domains || unlisted || !remove_domain.is_empty();
                if domain.contains('*') || removes {
                    let what = if removes { ", and domains of them get nothing then" } else { "" };
                    let found = format!("{} will be set: {}", many(&found), listed(&found));
                    how.agreed(&format!("{found}{what}. Set them?"))?;
                }
                Ok(format!("{} set: {}", many(&found), listed(&found)))
            })
        }
        PartnerVerb::Rm { domain, kind, how } => {
            change::edit(&format!("partner rm {domain}"), &how, Which::Policy, |document| {
                let found = chosen(document, &domain, kind)?;
                let question = "Their streams end and nothing of them crosses. Remove";
                how.agreed(&format!("{}: {}. {question} them?", many(&found), listed(&found)))?;
                let set: HashSet<&str> = found.iter().map(String::as_str).collect();
                rows::remove(document, "partner", |row| is_one(row, &set))?;
                Ok(format!("{} removed: {}", many(&found), listed(&found)))
            })
        }
    }
}

/// What names all partners.
const LIST: &str = "stoxd partner list";

fn many(found: &[String]) -> String {
    if found.len() == 1 { "1 partner".into() } else { format!("{} partners", found.len()) }
}

/// The names of the first of them.
fn listed(found: &[String]) -> String {
    const SHOWN: usize = 20;
    let names = found.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match found.len().checked_sub(SHOWN) {
        None | Some(0) => names,
        Some(more) => format!("{names} and {more} more"),
    }
}

fn is_one(row: &Table, domains: &HashSet<&str>) -> bool {
    rows::text(row, "domain").is_some_and(|domain| domains.contains(domain))
}

/// The primary domains of the partners that `domain` means, of type `kind`.
fn chosen(document: &mut DocumentMut, domain: &str, kind: Option<Kind>) -> Result<Vec<String>, Refused> {
    let wanted = |row: &&Table| {
        let kind_of = rows::text(row, "type").unwrap_or(PartnerKind::default().as_str());
        kind.is_none_or(|kind| kind.of_file().as_str() == kind_of)
    };
    let wanted_name = canonical(domain);
    let all =
        rows::rows(document, "partner")?.iter().filter(wanted).filter_map(|row| rows::text(row, "domain"));
    let found: Vec<String> = match domain.contains('*') {
        true => all
            .filter(|other| finds(domain, other) || finds(domain, &canonical(other)))
            .map(str::to_owned)
            .collect(),
        false => all.filter(|other| canonical(other) == wanted_name).map(str::to_owned).collect(),
    };
    if found.is_empty() {
        let known = rows::rows(document, "partner")?.iter().filter_map(|row| rows::text(row, "domain"));
        return Err(Refused::failed(words::none("partner", domain, LIST, known)));
    }
    Ok(found)
}

fn new(document: &mut DocumentMut, domain: &str, settings: &Settings) -> Result<String, Refused> {
    let all = rows::rows(document, "partner")?;
    let wanted = canonical(domain);
    let same = |row: &Table| rows::text(row, "domain").is_some_and(|other| canonical(other) == wanted);
    if all.iter().any(same) {
        return Err(Refused::failed(format!("{domain} is a partner already: stoxd partner set {domain}")));
    }
    let mut row = rows::row();
    rows::set(&mut row, "domain", domain);
    settings.write(&mut row)?;
    all.push(row);
    Ok(format!("{domain} is a partner"))
}

fn list(config: &Config, filter: Option<&str>, kind: Option<Kind>, as_json: bool) -> String {
    let wanted = |partner: &&Partner| {
        filter.is_none_or(|filter| partner.domains().any(|domain| finds(filter, domain.as_str())))
            && kind.is_none_or(|kind| kind.of_file() == partner.kind)
    };
    let found = config.table.partners().iter().map(AsRef::as_ref).filter(wanted);
    if as_json {
        let all: Vec<Value> = found.map(|partner| partner_json(config, partner)).collect();
        return format!("{:#}\n", json!({ "partners": all }));
    }
    let rows: Vec<[String; 6]> = found
        .map(|partner| {
            [
                partner.domain.as_str().to_owned(),
                partner.kind.as_str().to_owned(),
                partner.terms.tls.as_str().to_owned(),
                partner.terms.sasl.as_str().to_owned(),
                if partner.terms.dialback { "on" } else { "off" }.to_owned(),
                partner.additional.iter().map(|domain| domain.as_str()).collect::<Vec<_>>().join(" "),
            ]
        })
        .collect();
    columns(["PARTNER", "TYPE", "TLS", "SASL", "DIALBACK", "ADDITIONAL DOMAINS"], &rows)
}

/// The rows that block what `filter` finds, or that block `filter` itself.
fn blocked(config: &Config, filter: Option<&str>, as_json: bool) -> String {
    let table = &config.table;
    let wanted = |row: &&BlockedRow| {
        filter.is_none_or(|filter| {
            let whom = canonical(filter);
            let domain = whom.rsplit_once('@').map_or(&*whom, |(_, domain)| domain);
            let is_found =
                |filter| finds(filter, row.block.domain()) || finds(filter, &row.block.to_string());
            is_found(filter) || is_found(&whom) || table.block_of(domain) == Some(*row)
        })
    };
    let found: Vec<&BlockedRow> = table.blocks().iter().filter(wanted).collect();
    if as_json {
        let all: Vec<Value> = found
            .iter()
            .map(|row| {
                json!({
                    "blocked": row.block.to_string(), "kind": row.block.kind(), "description": row.description,
                    "at": table.show(row.at),
                })
            })
            .collect();
        return format!("{:#}\n", json!({ "blocked": all }));
    }
    if found.is_empty() {
        return match filter {
            Some(filter) => format!("no row blocks {}\n", harmless(filter)),
            None => "nothing is blocked\n".to_owned(),
        };
    }
    let rows: Vec<[String; 4]> = found
        .iter()
        .map(|row| {
            let kind = row.block.kind().to_owned();
            [row.block.to_string(), kind, table.show(row.at), harmless(&row.description)]
        })
        .collect();
    columns(["BLOCKED", "KIND", "AT", "DESCRIPTION"], &rows)
}

fn show(config: &Config, domain: &str, as_json: bool) -> (String, u8) {
    let Some(partner) = config.table.partner(&canonical(domain)) else {
        let known = config.table.partners().iter().flat_map(|partner| partner.domains()).map(|d| d.as_str());
        return (words::none("partner", domain, LIST, known), exit::FAILED);
    };
    if as_json {
        return (format!("{:#}\n", partner_json(config, partner)), exit::DONE);
    }
    let limit = match partner.connection_limit {
        Some(limit) => limit.to_string(),
        None => format!("{} (of the gateway)", config.xmpp.partner_connection_limit),
    };
    let proxy = match &partner.proxy {
        Some(proxy) => format!("{}:{}", proxy.host, proxy.port),
        None => "none: DNS is asked".to_owned(),
    };
    let additional = partner.additional.iter().map(|domain| domain.as_str()).collect::<Vec<_>>().join(" ");
    let lines = [
        ("domain", partner.domain.as_str().to_owned()),
        ("additional_domains", additional),
        ("description", harmless(&partner.description)),
        ("type", partner.kind.as_str().to_owned()),
        ("tls", partner.terms.tls.as_str().to_owned()),
        ("sasl", partner.terms.sasl.as_str().to_owned()),
        ("dialback", yes(partner.terms.dialback).to_owned()),
        ("connection_limit", limit),
        ("keepalive", yes(partner.keepalive).to_owned()),
        ("proxy", proxy),
        ("at", config.table.show(partner.at)),
    ];
    let text = lines.iter().map(|(key, value)| format!("{key:18} {value}").trim_end().to_owned() + "\n");
    (text.collect(), exit::DONE)
}

fn partner_json(config: &Config, partner: &Partner) -> Value {
    json!({
        "domain": partner.domain.as_str(),
        "additional_domains": partner.additional.iter().map(|d| d.as_str()).collect::<Vec<_>>(),
        "description": partner.description,
        "type": partner.kind.as_str(),
        "tls": partner.terms.tls.as_str(),
        "sasl": partner.terms.sasl.as_str(),
        "dialback": partner.terms.dialback,
        "connection_limit": partner.connection_limit,
        "keepalive": partner.keepalive,
        "proxy_fqdn": partner.proxy.as_ref().map(|proxy| proxy.host.as_str()),
        "proxy_port": partner.proxy.as_ref().map(|proxy| proxy.port),
        "at": config.table.show(partner.at),
    })
}
