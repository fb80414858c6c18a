//! `policy.toml` and the grants file, made into a table.

use super::daemon::name;
use super::problem::{Report, Source, quoted, shown_name};
use super::read::{self, At, Section};
use super::value::{self, Located};
use super::{Files, MAX_GRANTS, grants, partners, suggest};
use crate::addr::{Domain, Jid};
use crate::policy::table::{Files as Names, PolicyId, Site};
use crate::policy::written::Pair;
use crate::policy::{self, GrantError, Policy, Scope, Table, TableBuilder, UserPattern};
use std::collections::HashMap;
use std::ops::Range;

/// What the policy file gave.
pub(super) struct Loaded {
    pub(super) table: Table,
    /// What the grants file is called, empty if there is none.
    pub(super) grants: String,
    /// Policy tests that were run.
    pub(super) tests: usize,
}

/// Names that the file defines: where, and as what.
pub(super) type Defined<T> = HashMap<String, (T, u32)>;

struct TestRow {
    pair: Pair,
    added: bool,
    expect: Option<At<bool>>,
}

/// Reads the policy file `source`, and the grants file that it names. `ours` are the domains that we
/// serve.
pub(super) fn load(
    source: Source,
    files: &dyn Files,
    ours: &[Domain],
    unverifiable: Vec<Domain>,
    report: &Report,
) -> Loaded {
    let document = read::document(&source, report);
    let mut root = Section::root(&source, report, document.get_ref());
    let grants_file = grants_file(&mut root);
    let grants_name = grants_file.as_ref().map(|(path, _)| shown_name(path)).unwrap_or_default();
    let mut builder = Table::builder(Names { policy: source.name.clone(), grants: grants_name.clone() });
    builder.unverifiable(unverifiable);

    let mut federation = root.section("federation", "[federation]");
    let enabled = federation.flag("enabled", false);
    let at = if federation.is_present() { source.line_of(federation.span_of("enabled").start) } else { 0 };
    // Policy tests are about the rows: they run with the switch on, so that it can be off at any time.
    builder.federation(true, policy::At::policy(at));
    federation.done();

    let policies = policies_and_sites(&mut root, &mut builder);
    let rows = root.sections("grant", "[[grant]]");
    for section in rows {
        grant(section, &mut builder, &policies, ours);
    }
    partners::partners(&mut root, &mut builder, ours);
    partners::blocked(&mut root, &mut builder, ours);
    let tests = tests(&mut root, ours);
    root.done();
    if let Some((path, span)) = grants_file {
        match files.read(&path, MAX_GRANTS) {
            Ok(text) => grants::read(&grants_name, &text, &mut builder, &policies, ours, report),
            Err(fault) => {
                let label = format!("{}: {fault}", path.display());
                report.error(&source, &span, "can't read the grants file", label);
            }
        }
    }
    let table = builder.build(0);
    // With rows missing, verdicts would only say so again.
    let complete = !report.has_errors_in(&source.name) && !report.has_errors_in(&grants_name);
    if complete {
        tests.iter().for_each(|test| run(test, &table, &source, report));
    }
    Loaded { table: table.with_federation(enabled), grants: grants_name, tests: tests.len() }
}

/// The grants file that `[grants]` names.
pub(super) fn grants_file(root: &mut Section<'_>) -> Option<At<std::path::PathBuf>> {
    let mut section = root.section("grants", "[grants]");
    let folder = section.source.folder.clone();
    let file = section.parsed("file", |text| match value::path(text, &folder, None)? {
        Located::At(path) => Ok(path),
        Located::NoCredentials => Err("not a secret: give a path".into()),
    });
    section.done();
    file
}

/// `[[site]]` and `[[policy]]`: gives the user policies by name.
fn policies_and_sites(root: &mut Section<'_>, builder: &mut TableBuilder) -> Defined<PolicyId> {
    let mut sites: Vec<(Site, Vec<Range<usize>>)> = Vec::new();
    let mut site_names: Defined<usize> = HashMap::new();
    for mut section in root.sections("site", "[[site]]") {
        let site_name = section.required("name", name);
        if !section.has("members") {
            section.missing("members");
        }
        let pattern = |text: &str| UserPattern::parse(text).map_err(|error| error.to_string());
        let (members, spans) = section.list("members", pattern).unwrap_or_default().into_iter().unzip();
        if let Some((name, span)) = site_name {
            let line = section.source.line_of(span.start);
            let key = name.to_lowercase();
            match site_names.get(&key) {
                Some((_, first)) => {
                    let label = format!("first in line {first}");
                    section.error(&span, format!("site {} is defined twice", quoted(&name)), label);
                }
                None => {
                    site_names.insert(key, (sites.len(), line));
                    let at = policy::At::policy(section.line());
                    sites.push((Site { name, members, policy: None, at }, spans));
                }
            }
        }
        section.done();
    }
    let mut names: Defined<PolicyId> = HashMap::new();
    let mut folded: HashMap<String, u32> = HashMap::new();
    let mut global: Option<u32> = None;
    let mut of_site: HashMap<usize, u32> = HashMap::new();
    for mut section in root.sections("policy", "[[policy]]") {
        let Some((policy, span)) = policy_row(&mut section, &sites) else {
            section.done();
            continue;
        };
        let line = section.line();
        match &policy.scope {
            Scope::Global => match global {
                Some(first) => {
                    let label = format!("the one in line {first} is");
                    section.error(&section.span, "there is one global policy", label);
                }
                None => {
                    global = Some(line);
                    builder.policy(policy);
                }
            },
            Scope::Site(site) => {
                let index = sites.iter().position(|(known, _)| known.name == *site);
                match index.and_then(|index| of_site.insert(index, line)) {
                    Some(first) => {
                        let message = format!("site {} has a policy already", quoted(site));
                        section.error(&span, message, format!("in line {first}"));
                    }
                    None => {
                        let id = builder.policy(policy);
                        let site = index.and_then(|index| sites.get_mut(index));
                        if let Some((site, _)) = site {
                            site.policy = Some(id);
                        }
                    }
                }
            }
            Scope::User => {
                let line = section.source.line_of(span.start);
                // Names that differ in case only would be taken for each other.
                match folded.insert(policy.name.to_lowercase(), line) {
                    Some(first) => {
                        let message = format!("policy {} is defined twice", quoted(&policy.name));
                        section.error(&span, message, format!("first in line {first}"));
                    }
                    None => {
                        names.insert(policy.name.clone(), (builder.policy(policy), line));
                    }
                }
            }
        }
        section.done();
    }
    for (site, spans) in sites {
        let members = site.members.clone();
        for (index, other) in builder.site(site).err().unwrap_or_default() {
            let (Some(span), Some(member)) = (spans.get(index), members.get(index)) else { continue };
            match other {
                Some(other) => root.error(
                    span,
                    format!("\"{member}\" is a member twice"),
                    format!("of site {} already", quoted(&other)),
                ),
                None => too_many_globs(root, span),
            }
        }
    }
    names
}

/// One `[[policy]]`, and where its name or scope stands.
fn policy_row(
    section: &mut Section<'_>,
    sites: &[(Site, Vec<Range<usize>>)],
) -> Option<(Policy, Range<usize>)> {
    #[derive(Clone, Copy)]
    enum Word {
        Global,
        Site,
        User,
    }
    let words = [("global", Word::Global), ("site", Word::Site), ("user", Word::User)];
    if !section.has("scope") {
        section.missing("scope");
    }
    let scope = section.choice("scope", &words);
    let given = section.parsed("name", name);
    let site = section.text("site");
    let description = section.parsed("description", |text| Ok(text.to_owned()));
    let federation = section.flag("federation", false);
    let xmpp = section.flag("xmpp", false);
    section.flag("public_providers", false);
    if xmpp && !federation {
        let message = "\"xmpp\" counts only with \"federation\"";
        section.warn(&section.span_of("xmpp"), message, "federation = false: XMPP is refused");
    }
    let (word, scope_span) = scope?;
    if let (Word::Global | Word::User, Some((_, span))) = (word, &site) {
        section.error(span, "only a policy of scope \"site\" has a site", "");
    }
    let (name, scope, span) = match word {
        Word::Global => ("Global".to_owned(), Scope::Global, scope_span),
        Word::Site => {
            let Some((site, span)) = site else {
                section.missing("site");
                return None;
            };
            if !sites.iter().any(|(known, _)| known.name == site) {
                let known: Vec<_> =
                    sites.iter().map(|(known, _)| (known.name.as_str(), known.at.line)).collect();
                section.error(&span, format!("unknown site {}", quoted(site)), not_defined(site, &known));
                return None;
            }
            (site.to_owned(), Scope::Site(site.to_owned()), span)
        }
        Word::User => {
            let Some((name, span)) = given else {
                if !section.has("name") {
                    section.missing("name");
                }
                return None;
            };
            if name.eq_ignore_ascii_case("global") || name.contains(':') || name.contains('<') {
                let label = "\"Global\", \"site:…\" and \"<Automatic>\" mean something else";
                section.error(&span, format!("a user policy can't be called {}", quoted(&name)), label);
                return None;
            }
            (name, Scope::User, span)
        }
    };
    let at = policy::At::policy(section.line());
    let description = description.map(|(text, _)| text).unwrap_or_default();
    Some((Policy { name, scope, description, federation, xmpp, at }, span))
}

/// One `[[grant]]`.
fn grant(
    mut section: Section<'_>,
    builder: &mut TableBuilder,
    policies: &Defined<PolicyId>,
    ours: &[Domain],
) {
    let user = section.required("user", |text| UserPattern::parse(text).map_err(|e| e.to_string()));
    let policy = section.required("policy", |text| Ok(text.to_owned()));
    let id = policy.and_then(|(given, span)| {
        let found = policies.get(&given);
        if found.is_none() {
            section.error(&span, format!("unknown policy {}", quoted(&given)), undefined(&given, policies));
        }
        found.map(|(id, _)| *id)
    });
    if let Some((user, span)) = &user {
        foreign(&section, user, span, ours);
        if let Some(id) = id {
            match builder.grant(user, id, policy::At::policy(section.line())) {
                Ok(()) => {}
                Err(GrantError::Twice(at)) => {
                    let label = format!("the grant in line {} stands", at.line);
                    section.error(span, format!("\"{user}\" is granted twice"), label);
                }
                Err(GrantError::TooManyGlobs) => too_many_globs(&section, span),
            }
        }
    }
    section.done();
}

fn foreign(section: &Section<'_>, user: &UserPattern, span: &Range<usize>, ours: &[Domain]) {
    if let Some(domain) = user.domain()
        && !ours.is_empty()
        && !ours.iter().any(|served| served.as_str() == domain)
    {
        let known = ours.iter().map(Domain::as_str);
        let label = suggest::or(domain, known, || "no [[domain]] has this name".into());
        section.warn(span, format!("\"{domain}\" is not served here"), label);
    }
}

fn too_many_globs(section: &Section<'_>, span: &Range<usize>) {
    let label = format!("{} at most; list users in the grants file", policy::MAX_GLOBS);
    section.error(span, "too many patterns with stars", label);
}

/// `not defined`, with the nearest policy.
pub(super) fn undefined(given: &str, policies: &Defined<PolicyId>) -> String {
    let mut known: Vec<_> = policies.iter().map(|(name, (_, line))| (name.as_str(), *line)).collect();
    known.sort_unstable();
    not_defined(given, &known)
}

fn not_defined(given: &str, known: &[(&str, u32)]) -> String {
    let near = suggest::nearest(given, known.iter().map(|(name, _)| *name));
    match near.and_then(|near| known.iter().find(|(name, _)| *name == near)) {
        Some((name, line)) => format!("not defined; did you mean \"{name}\" (line {line})?"),
        None => "not defined".into(),
    }
}

/// `[[test]]`.
fn tests(root: &mut Section<'_>, ours: &[Domain]) -> Vec<TestRow> {
    let serves = |domain: &str| ours.iter().any(|served| served.as_str() == domain);
    let mut rows = Vec::new();
    for mut section in root.sections("test", "[[test]]") {
        for key in ["from", "to", "expect"] {
            if !section.has(key) {
                section.missing(key);
            }
        }
        let (from, to) = (section.text("from"), section.text("to"));
        let expect = section.choice("expect", &[("allow", true), ("deny", false)]);
        let added = section.flag("added", false);
        if let (Some((from, from_span)), Some((to, to_span))) = (from, to) {
            match Pair::parse(from, to, serves) {
                Ok(pair) => {
                    let local = pair.local().domain();
                    if !ours.is_empty() && !serves(local) {
                        let label = suggest::or(local, ours.iter().map(Domain::as_str), || {
                            "no [[domain]] has this name".into()
                        });
                        let span = if pair.shown_from().starts_with("sip:") { from_span } else { to_span };
                        section.error(&span, format!("\"{local}\" is not served here"), label);
                    }
                    rows.push(TestRow { pair, added, expect });
                }
                Err((is_from, error)) => {
                    let (text, span) = if is_from { (from, from_span) } else { (to, to_span) };
                    section.error(&span, format!("bad address {}", quoted(text)), error.to_string());
                }
            }
        }
        section.done();
    }
    rows
}

fn run(test: &TestRow, table: &Table, source: &Source, report: &Report) {
    let Some((expected, span)) = &test.expect else { return };
    let contacts = |_: &Jid, _: &Jid| test.added;
    let verdict = table.judge(&test.pair.crossing(), &contacts);
    let says = match &verdict {
        Ok(grant) if !*expected => {
            let policy = grant.policy();
            format!("the table says allow: policy {policy}{}", in_line(table.show(policy.at)))
        }
        Err(denial) if *expected => match &denial.policy {
            Some(policy) => {
                let at = in_line(table.show(policy.at));
                format!("the table says deny: {}, policy {policy}{at}", denial.reason)
            }
            None => format!("the table says deny: {}", denial.reason),
        },
        Ok(_) | Err(_) => return,
    };
    let message = format!("policy test failed: {} → {}", test.pair.shown_from(), test.pair.shown_to());
    report.error(source, span, message, says);
}

fn in_line(shown: String) -> String {
    if shown.is_empty() { shown } else { format!(" ({shown})") }
}
