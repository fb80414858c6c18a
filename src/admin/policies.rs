//! `stoxd policy`: what there is, new, set, rm; grants are in `grants`, the past is in `history`.

use super::change::{self, Change, How, Refused, Which, rows};
use super::cli::{ConfigFile, Output, say};
use super::policy_test::{self, policy_test};
use super::words::{self, Identity, Switch, columns, harmless, matches, yes};
use super::{check, complain, exit, grants, history};
use crate::config::{self, Config, Problem};
use crate::policy::{Policy, Scope};
use clap::Subcommand;
use serde_json::{Value, json};
use toml_edit::{DocumentMut, Table};

/// `stoxd policy …`.
#[derive(Debug, Subcommand)]
pub(super) enum PolicyVerb {
    /// The policies that there are
    List {
        /// Only those that this matches: 'site:*', 'tag:*', 'S*'
        filter: Option<String>,
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
    /// One policy, and whom it is granted to
    Show {
        /// global, site:NAME or NAME
        policy: String,
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
    /// Make a policy; a user policy does nothing until it is granted
    New {
        /// NAME, or site:NAME
        policy: String,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        how: How,
    },
    /// Change a policy; what is not named stays
    Set {
        /// global, site:NAME or NAME
        policy: String,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        how: How,
    },
    /// Remove a policy and its grants; the global one is reset
    Rm {
        /// global, site:NAME or NAME
        policy: String,
        #[command(flatten)]
        how: How,
    },
    /// Turn everything off again in the global policy, which can't be removed
    Reset {
        /// global
        policy: String,
        #[command(flatten)]
        how: How,
    },
    /// Grant a user policy
    Grant {
        /// Its name
        policy: String,
        /// To whom: sip:alice@contoso.example, or a pattern: 'sip:*@sales.contoso.example'
        #[arg(long, required = true, num_args = 1.., value_name = "USER")]
        to: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Take grants away: the user has the policy of the site, or the global one
    Revoke {
        /// From whom; a pattern means the grant written like this, and every user whom it covers
        #[arg(long, required = true, num_args = 1.., value_name = "USER")]
        from: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Say whether a message from one address to another may cross, and what decided
    Test {
        /// The sender: sip:alice@contoso.example or xmpp:romeo@capulet.example
        #[arg(long)]
        from: String,
        /// The recipient, likewise
        #[arg(long)]
        to: String,
        /// Take it that our user has added the contact
        #[arg(long)]
        added: bool,
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
    /// The changes that were made by verbs, the last one first
    History {
        #[command(flatten)]
        file: ConfigFile,
        #[command(flatten)]
        output: Output,
    },
    /// Take back a change to the policy, and all that came after it
    Rollback {
        /// Its number in the history; the last change if there is none
        number: Option<u32>,
        #[command(flatten)]
        how: change::Unstaged,
    },
}

/// What a policy says.
#[derive(Debug, clap::Args)]
pub(super) struct Settings {
    /// A note for administrators
    #[arg(long)]
    description: Option<String>,
    /// Enable communications with federated users
    #[arg(long, value_enum)]
    federation: Option<Switch>,
    /// Enable communications with XMPP federated users; counts only with federation
    #[arg(long, value_enum)]
    xmpp: Option<Switch>,
}

impl Settings {
    fn write(&self, row: &mut Table) {
        if let Some(text) = &self.description {
            rows::set(row, "description", text);
        }
        for (key, switch) in [("federation", self.federation), ("xmpp", self.xmpp)] {
            if let Some(switch) = switch {
                rows::set(row, key, switch.is_on());
            }
        }
    }
}

/// Does `verb`; the exit code.
pub(super) fn run(verb: PolicyVerb) -> u8 {
    match verb {
        PolicyVerb::List { filter, file, output } => {
            answer(&file, |config| list(config, filter.as_deref(), output.json))
        }
        PolicyVerb::Show { policy, file, output } => {
            answer(&file, |config| show(config, &policy, output.json))
        }
        PolicyVerb::New { policy, settings, how } => {
            let identity = Identity::parse(&policy);
            change::edit(&format!("policy new {identity}"), &how, Which::Policy, |document| {
                new(document, &identity, &settings)
            })
        }
        PolicyVerb::Set { policy, settings, how } => {
            let identity = Identity::parse(&policy);
            change::edit(&format!("policy set {identity}"), &how, Which::Policy, |document| {
                set(document, &identity, &settings)
            })
        }
        PolicyVerb::Reset { policy, how } => match Identity::parse(&policy) {
            Identity::Global => rm(&Identity::Global, &how).unwrap_or_else(|no| no.print()),
            other => {
                let why = format!(
                    "only the global policy is reset: stoxd policy set {other} --federation off --xmpp off, or \
                     stoxd policy rm {other}"
                );
                Refused::usage(why).print()
            }
        },
        PolicyVerb::Rm { policy, how } => rm(&Identity::parse(&policy), &how).unwrap_or_else(|no| no.print()),
        PolicyVerb::Grant { policy, to, how } => {
            grants::grant(&policy, &to, &how).unwrap_or_else(|no| no.print())
        }
        PolicyVerb::Revoke { from, how } => grants::revoke(&from, &how).unwrap_or_else(|no| no.print()),
        PolicyVerb::Test { from, to, added, file, output } => {
            let loaded = config::check(&file.config);
            let question = policy_test::Question { from: &from, to: &to, added, json: output.json };
            let (text, code) = policy_test(&loaded, &question);
            say(&text, code)
        }
        PolicyVerb::History { file, output } => history::list(&file, output.json),
        PolicyVerb::Rollback { number, how } => {
            history::rollback(number, &how.into()).unwrap_or_else(|no| no.print())
        }
    }
}

/// Answers from the configuration in `file`, or says what is wrong with it.
pub(super) fn answer(file: &ConfigFile, ask: impl FnOnce(&Config) -> (String, u8)) -> u8 {
    let loaded: Result<Config, Vec<Problem>> = config::check(&file.config);
    match loaded {
        Ok(config) => {
            let (text, code) = ask(&config);
            if code == exit::DONE { say(&text, code) } else { Refused { text, code }.print() }
        }
        Err(problems) => {
            complain(&check::problems(&problems));
            exit::CONFIG
        }
    }
}

fn list(config: &Config, filter: Option<&str>, as_json: bool) -> (String, u8) {
    let wanted = |policy: &&Policy| {
        let tagged =
            || policy.scope == Scope::User && filter.is_some_and(|f| matches(f, &format!("tag:{policy}")));
        filter.is_none_or(|filter| matches(filter, &policy.to_string())) || tagged()
    };
    let found: Vec<&Policy> = config.table.policies().iter().map(AsRef::as_ref).filter(wanted).collect();
    if as_json {
        let all: Vec<Value> = found.iter().map(|policy| policy_json(config, policy)).collect();
        let enabled = config.table.is_enabled();
        return (format!("{:#}\n", json!({ "federation_enabled": enabled, "policies": all })), exit::DONE);
    }
    let rows: Vec<[String; 5]> = found
        .iter()
        .map(|policy| {
            let grants = match policy.scope {
                Scope::User => config.table.grants_of(policy).to_string(),
                Scope::Global | Scope::Site(_) => "-".into(),
            };
            [
                harmless(&policy.to_string()),
                yes(policy.federation).into(),
                yes(policy.xmpp).into(),
                grants,
                harmless(&policy.description),
            ]
        })
        .collect();
    let mut text = columns(["POLICY", "FEDERATION", "XMPP", "GRANTS", "DESCRIPTION"], &rows);
    if !config.table.is_enabled() {
        text.push_str("federation is disabled, so nothing crosses: stoxd federation enable\n");
    }
    (text, exit::DONE)
}

/// Grants that `policy show` shows.
const IN_TEXT: usize = 20;
/// Grants that it shows as JSON.
const IN_JSON: usize = 1000;

fn show(config: &Config, policy: &str, as_json: bool) -> (String, u8) {
    let identity = Identity::parse(policy);
    let Some(policy) = config.table.policies().iter().find(|policy| identity.is(policy)) else {
        let known: Vec<String> = config.table.policies().iter().map(ToString::to_string).collect();
        return (none(&identity, known.iter().map(String::as_str)).text, exit::FAILED);
    };
    let granted = config.table.granted(policy);
    if as_json {
        let mut shown = policy_json(config, policy);
        let rows = granted.iter().take(IN_JSON);
        let rows =
            rows.map(|(user, at)| json!({ "user": format!("sip:{user}"), "at": config.table.show(*at) }));
        if let (Value::Object(keys), Scope::User) = (&mut shown, &policy.scope) {
            keys.insert("granted_to".to_owned(), rows.collect());
        }
        return (format!("{shown:#}\n"), exit::DONE);
    }
    let whom = match &policy.scope {
        Scope::Global => "everybody whom no other policy covers".to_owned(),
        Scope::Site(site) => format!("the members of site {site}"),
        Scope::User => match config.table.grants_of(policy) {
            0 => "nobody: it is not granted".to_owned(),
            1 => "1 grant".to_owned(),
            grants => format!("{grants} grants"),
        },
    };
    let at = config.table.show(policy.at);
    let rows = [
        ("policy", policy.to_string()),
        ("description", policy.description.clone()),
        ("federation", yes(policy.federation).to_owned()),
        ("xmpp", yes(policy.xmpp).to_owned()),
        ("covers", whom),
        ("at", if at.is_empty() { "built in".into() } else { at }),
    ];
    let mut text: String = rows
        .iter()
        .map(|(key, value)| format!("{key:12} {}", harmless(value)).trim_end().to_owned() + "\n")
        .collect();
    for (user, at) in granted.iter().take(IN_TEXT) {
        text.push_str(&format!("granted to   sip:{}  {}\n", harmless(user), config.table.show(*at)));
    }
    if granted.len() > IN_TEXT {
        let more = granted.len() - IN_TEXT;
        text.push_str(&format!("             and {more} more: --json shows {IN_JSON}\n"));
    }
    (text, exit::DONE)
}

fn policy_json(config: &Config, policy: &Policy) -> Value {
    let scope = match policy.scope {
        Scope::Global => "global",
        Scope::Site(_) => "site",
        Scope::User => "user",
    };
    json!({
        "identity": policy.to_string(),
        "scope": scope,
        "name": policy.name,
        "description": policy.description,
        "federation": policy.federation,
        "xmpp": policy.xmpp,
        "grants": config.table.grants_of(policy),
        "at": config.table.show(policy.at),
    })
}

fn none<'k>(identity: &Identity, known: impl IntoIterator<Item = &'k str>) -> Refused {
    Refused::failed(words::none("policy", &identity.to_string(), "stoxd policy list", known))
}

/// The names of the user policies in the file.
pub(super) fn names(document: &mut DocumentMut) -> Result<Vec<String>, Refused> {
    let users = rows::rows(document, "policy")?.iter().filter(|row| rows::text(row, "scope") == Some("user"));
    Ok(users.filter_map(|row| rows::text(row, "name")).map(str::to_owned).collect())
}

/// Whether `row` is the policy `identity`; a user policy's case counts for nothing.
fn is(identity: &Identity, row: &Table) -> bool {
    match identity {
        Identity::Global => rows::text(row, "scope") == Some("global"),
        Identity::Site(site) => {
            rows::text(row, "scope") == Some("site") && rows::text(row, "site") == Some(site)
        }
        Identity::User(name) => {
            let other = rows::text(row, "name").filter(|_| rows::text(row, "scope") == Some("user"));
            other.is_some_and(|other| other.to_lowercase() == name.to_lowercase())
        }
    }
}

fn new(document: &mut DocumentMut, identity: &Identity, settings: &Settings) -> Result<String, Refused> {
    let all = rows::rows(document, "policy")?;
    if *identity == Identity::Global {
        return Err(Refused::failed("the global policy is always there: stoxd policy set global"));
    }
    if all.iter().any(|row| is(identity, row)) {
        let has = match identity {
            Identity::Site(site) => format!("site {site} has a policy already"),
            Identity::Global | Identity::User(_) => format!("there is a policy {identity} already"),
        };
        return Err(Refused::failed(format!("{has}: stoxd policy set {identity}")));
    }
    let mut row = rows::row();
    match identity {
        Identity::Site(site) => {
            rows::set(&mut row, "scope", "site");
            rows::set(&mut row, "site", site);
        }
        Identity::Global | Identity::User(_) => {
            rows::set(&mut row, "scope", "user");
            rows::set(&mut row, "name", identity.to_string());
        }
    }
    settings.write(&mut row);
    all.push(row);
    if let Identity::Site(site) = identity {
        let sites = rows::rows(document, "site")?.iter();
        let known: Vec<&str> = sites.filter_map(|row| rows::text(row, "name")).collect();
        if !known.contains(&site.as_str()) {
            let meant =
                config::nearest(site, known).map(|name| format!("; or did you mean {}?", harmless(name)));
            let make = format!("stoxd site new {site} --member …");
            let text = format!("there is no site {site}: {make}{}", meant.unwrap_or_default());
            return Err(Refused::failed(text));
        }
    }
    Ok(match identity {
        Identity::User(name) => {
            format!("policy {name} is made; it does nothing until it is granted: stoxd policy grant")
        }
        Identity::Global | Identity::Site(_) => format!("policy {identity} is made"),
    })
}

fn set(document: &mut DocumentMut, identity: &Identity, settings: &Settings) -> Result<String, Refused> {
    let all = rows::rows(document, "policy")?;
    if let Some(row) = all.iter_mut().find(|row| is(identity, row)) {
        settings.write(row);
    } else if *identity == Identity::Global {
        let mut row = rows::row();
        rows::set(&mut row, "scope", "global");
        settings.write(&mut row);
        all.push(row);
    } else {
        let known = names(document)?;
        return Err(none(identity, known.iter().map(String::as_str)));
    }
    Ok(format!("policy {identity} is set"))
}

/// `policy rm`: with the policy go its grants, in both files.
fn rm(identity: &Identity, how: &How) -> Result<u8, Refused> {
    let mut change = Change::open(&format!("policy rm {identity}"), how)?;
    let path = change.path(Which::Policy);
    let mut document = change.document(&path)?;
    if *identity == Identity::Global {
        how.agreed("The global policy will have everything off. Reset it?")?;
        for row in rows::rows(&mut document, "policy")?.iter_mut().filter(|row| is(identity, row)) {
            for key in ["description", "federation", "xmpp", "public_providers"] {
                row.remove(key);
            }
        }
        change.put(&path, document.to_string());
        return Ok(change.finish("policy Global has been reset: it can't be removed"));
    }
    let row = rows::rows(&mut document, "policy")?.iter().find(|row| is(identity, row));
    let name = row.and_then(|row| rows::text(row, "name")).map(str::to_owned);
    if row.is_none() {
        let known = names(&mut document)?;
        return Err(none(identity, known.iter().map(String::as_str)));
    }
    rows::remove(&mut document, "policy", |row| is(identity, row))?;
    let mut gone = 0;
    if let (Identity::User(_), Some(name)) = (identity, name) {
        gone = grants::drop_policy(&mut change, &mut document, &name)?;
    }
    let grants = match gone {
        0 => String::new(),
        1 => ", and 1 grant of it".to_owned(),
        gone => format!(", and {gone} grants of it"),
    };
    how.agreed(&format!("Policy {identity} will be gone{grants}. Remove it?"))?;
    change.put(&path, document.to_string());
    Ok(change.finish(&format!("policy {identity} is removed{grants}")))
}
