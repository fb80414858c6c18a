//! Laws of the table, over tables and addresses that nobody chose.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::explain::Remedy;
use super::table::{Files, Site};
use super::*;
use crate::addr::{Domain, Jid};
use crate::crossing::{Crossing, Direction, Kind};
use proptest::prelude::*;

const DOMAINS: [&str; 4] =
    ["fabrikam.example", "sub.fabrikam.example", "tailspin.example", "x.sub.fabrikam.example"];
const LOCALS: [&str; 3] = ["contoso.example", "sales.contoso.example", "other.example"];
const NAMES: [&str; 3] = ["alice", "bob", "sales-7"];
const PATTERNS: [&str; 7] = [
    "alice@contoso.example",
    "bob@sales.contoso.example",
    "*@contoso.example",
    "sales-*@contoso.example",
    "*@*.contoso.example",
    "*@*",
    "a*@*.example",
];

/// The rows of a table, as small numbers.
#[derive(Clone, Debug)]
struct Rows {
    enabled: bool,
    global: (bool, bool),
    /// User policies.
    policies: Vec<(bool, bool)>,
    /// Index of a pattern, index of a user policy.
    grants: Vec<(usize, usize)>,
    /// Index of a member pattern, and the site's policy.
    sites: Vec<(usize, Option<(bool, bool)>)>,
    /// Index of a domain, kind.
    partners: Vec<(usize, PartnerKind)>,
    blocked_domains: Vec<usize>,
    blocked_under: Vec<usize>,
    /// Index of a name, index of a domain.
    blocked_people: Vec<(usize, usize)>,
}

fn rows() -> impl Strategy<Value = Rows> {
    let kind = prop_oneof![
        Just(PartnerKind::Federated),
        Just(PartnerKind::PublicVerified),
        Just(PartnerKind::PublicUnverified)
    ];
    let flags = || (prop::bool::weighted(0.8), prop::bool::weighted(0.8));
    let domain = || 0..DOMAINS.len();
    let pattern = || 0..PATTERNS.len();
    (
        (prop::bool::weighted(0.9), flags(), prop::collection::vec(flags(), 1..4)),
        prop::collection::vec((pattern(), 0..4_usize), 0..5),
        prop::collection::vec((pattern(), prop::option::of(flags())), 0..3),
        prop::collection::vec((domain(), kind), 0..4),
        prop::collection::vec(domain(), 0..2),
        prop::collection::vec(domain(), 0..2),
        prop::collection::vec((0..NAMES.len(), domain()), 0..2),
    )
        .prop_map(|((enabled, global, policies), grants, sites, partners, bd, bu, bp)| Rows {
            enabled,
            global,
            policies,
            grants,
            sites,
            partners,
            blocked_domains: bd,
            blocked_under: bu,
            blocked_people: bp,
        })
}

fn pattern(index: usize) -> UserPattern {
    UserPattern::parse(PATTERNS[index]).unwrap()
}

fn policy(name: &str, scope: Scope, (federation, xmpp): (bool, bool)) -> Policy {
    Policy { name: name.into(), scope, federation, xmpp, ..Policy::global() }
}

fn build(rows: &Rows) -> Table {
    let mut builder = Table::builder(Files { policy: "policy.toml".into(), grants: String::new() });
    builder.federation(rows.enabled, At::policy(1));
    builder.policy(policy("Global", Scope::Global, rows.global));
    let ids: Vec<_> = (rows.policies.iter().enumerate())
        .map(|(n, flags)| builder.policy(policy(&format!("P{n}"), Scope::User, *flags)))
        .collect();
    for (line, (who, what)) in rows.grants.iter().enumerate() {
        let _ = builder.grant(&pattern(*who), ids[what % ids.len()], At::policy(100 + line as u32));
    }
    for (n, (member, flags)) in rows.sites.iter().enumerate() {
        let name = format!("S{n}");
        let of_site = flags.map(|flags| builder.policy(policy(&name, Scope::Site(name.clone()), flags)));
        let site = Site { name, members: vec![pattern(*member)], policy: of_site, at: At::policy(2) };
        let _ = builder.site(site);
    }
    for (domain, kind) in &rows.partners {
        let domain = Domain::parse(DOMAINS[*domain]).unwrap();
        let _ = builder.partner(Partner { kind: *kind, ..Partner::new(domain, At::policy(50)) });
    }
    let domain = |index: &usize| Domain::parse(DOMAINS[*index]).unwrap();
    let blocked = |block, line| BlockedRow { block, description: String::new(), at: At::policy(line) };
    for index in &rows.blocked_domains {
        let _ = builder.block(blocked(Block::Domain(domain(index)), 60));
    }
    for index in &rows.blocked_under {
        let _ = builder.block(blocked(Block::Under(domain(index)), 61));
    }
    for (name, index) in &rows.blocked_people {
        let jid = Jid::parse(&format!("{}@{}", NAMES[*name], DOMAINS[*index])).unwrap();
        let _ = builder.block(blocked(Block::Address(jid), 62));
    }
    builder.build(7)
}

/// The verdict as the rules put it, with nothing but loops over the rows.
fn expected(rows: &Rows, crossing: &Crossing<'_>, added: bool) -> bool {
    let (local, remote) = (crossing.local(), crossing.remote());
    let Some((_, kind)) = rows.partners.iter().find(|(domain, _)| DOMAINS[*domain] == remote.domain()) else {
        return false;
    };
    let blocked = rows.blocked_domains.iter().any(|domain| DOMAINS[*domain] == remote.domain())
        || rows
            .blocked_people
            .iter()
            .any(|(name, domain)| format!("{}@{}", NAMES[*name], DOMAINS[*domain]) == remote.bare_str());
    // The user by name, else the first pattern; of several rows for the same pattern, the first.
    let first = |list: Vec<usize>| {
        let named =
            list.iter().position(|index| !PATTERNS[*index].contains('*') && pattern(*index).matches(local));
        named.or_else(|| list.iter().position(|index| pattern(*index).matches(local)))
    };
    let grant = first(rows.grants.iter().map(|(who, _)| *who).collect());
    let site = first(rows.sites.iter().map(|(member, _)| *member).collect());
    let flags = grant
        .map(|row| rows.policies[rows.grants[row].1 % rows.policies.len()])
        .or_else(|| site.and_then(|row| rows.sites[row].1))
        .unwrap_or(rows.global);
    let contact = match (kind, crossing.direction) {
        (PartnerKind::PublicUnverified, Direction::XmppToSip) => added,
        _ => true,
    };
    rows.enabled && !blocked && flags.0 && flags.1 && contact
}

fn pair(name: usize, local: usize, other: usize, remote: usize) -> (Jid, Jid) {
    let local = Jid::parse(&format!("{}@{}", NAMES[name], LOCALS[local])).unwrap();
    let remote = Jid::parse(&format!("{}@{}", NAMES[other], DOMAINS[remote])).unwrap();
    (local, remote)
}

fn crossing<'a>(local: &'a Jid, remote: &'a Jid, direction: Direction) -> Crossing<'a> {
    let (sender, target) = match direction {
        Direction::SipToXmpp => (local, remote),
        Direction::XmppToSip => (remote, local),
    };
    Crossing { sender, target, direction, kind: Kind::Message }
}

const BOTH: [Direction; 2] = [Direction::SipToXmpp, Direction::XmppToSip];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// The look-ups say what loops over the rows say: so none without a matching row is admitted,
    /// precedence holds, and no block loses to something less specific.
    #[test]
    fn the_table_judges_as_its_rows_read(
        rows in rows(), (name, local, other, remote) in (0..3_usize, 0..3_usize, 0..3_usize, 0..4_usize),
        added: bool,
    ) {
        let table = build(&rows);
        let (local, remote) = pair(name, local, other, remote);
        let contacts = |_: &Jid, _: &Jid| added;
        for direction in BOTH {
            let crossing = crossing(&local, &remote, direction);
            let verdict = table.judge(&crossing, &contacts);
            prop_assert_eq!(verdict.is_ok(), expected(&rows, &crossing, added), "{:?}", direction);
            if let Ok(grant) = verdict {
                prop_assert!(grant.policy().allows_xmpp());
                prop_assert!(grant.partner().domains().any(|d| d.as_str() == remote.domain()));
                prop_assert_eq!(grant.generation(), 7);
            }
        }
    }

    #[test]
    fn both_directions_agree_but_for_contacts(
        rows in rows(), (name, local, other, remote) in (0..3_usize, 0..3_usize, 0..3_usize, 0..4_usize),
    ) {
        let table = build(&rows);
        let (local, remote) = pair(name, local, other, remote);
        let [out, back] = BOTH.map(|direction| {
            table.judge(&crossing(&local, &remote, direction), &NoContacts).err().map(|denial| denial.reason)
        });
        prop_assert!(out == back || (out.is_none() && back == Some(Reason::NotAdded)), "{:?} {:?}", out, back);
    }

    /// The steps tell the same story as the verdict: the first gate that is shut decided.
    #[test]
    fn an_explanation_agrees_with_the_verdict(
        rows in rows(), (name, local, other, remote) in (0..3_usize, 0..3_usize, 0..3_usize, 0..4_usize),
        added: bool,
    ) {
        let table = build(&rows);
        let (local, remote) = pair(name, local, other, remote);
        let contacts = |_: &Jid, _: &Jid| added;
        for direction in BOTH {
            let crossing = crossing(&local, &remote, direction);
            let explanation = table.explain(&crossing, &contacts);
            let denied = table.judge(&crossing, &contacts).err().map(|denial| denial.reason);
            prop_assert_eq!(explanation.denied, denied);
            prop_assert_eq!(explanation.decided, explanation.steps.iter().position(|step| !step.open));
            prop_assert_eq!(explanation.remedies.is_empty(), denied.is_none());
            let shut = explanation.steps.iter().filter(|step| !step.open).count();
            prop_assert!(explanation.remedies.len() >= shut);
            prop_assert_eq!(
                explanation.remedies.contains(&Remedy::EnableFederation), !table.is_enabled()
            );
        }
    }

    /// Any spelling of our user's address gets the same verdict and the same reason.
    #[test]
    fn threat_131_spelling_decides_nothing(
        rows in rows(), (name, local, other, remote) in (0..3_usize, 0..3_usize, 0..3_usize, 0..4_usize),
        upper in prop::collection::vec(any::<bool>(), 40), escape in prop::collection::vec(any::<bool>(), 12),
        dot: bool, port: bool, password: bool,
    ) {
        let table = build(&rows);
        let (local, remote) = pair(name, local, other, remote);
        let cased = |text: &str| -> String {
            let flags = upper.iter().cycle();
            text.chars().zip(flags).map(|(c, up)| if *up { c.to_ascii_uppercase() } else { c }).collect()
        };
        let user: String = cased(local.local().unwrap())
            .bytes()
            .zip(escape.iter().cycle())
            .map(|(b, hex)| if *hex { format!("%{b:02X}") } else { char::from(b).to_string() })
            .collect();
        let spelled = format!(
            "sip:{user}{}@{}{}{}",
            if password { ":secret" } else { "" },
            cased(local.domain()),
            if dot { "." } else { "" },
            if port { ":5061;transport=tls" } else { "" },
        );
        let read = written::sip(&spelled).unwrap();
        for direction in BOTH {
            let reason = |who: &Jid| {
                table.judge(&crossing(who, &remote, direction), &NoContacts).err().map(|denial| denial.reason)
            };
            prop_assert_eq!(reason(&read), reason(&local), "{}", spelled);
        }
    }

    #[test]
    fn any_text_is_a_pattern_or_none(text in "\\PC{0,40}", user in "[a-z*@.]{1,20}") {
        for text in [text, user] {
            if let Ok(pattern) = UserPattern::parse(&text) {
                // What is shown is the same pattern again.
                prop_assert_eq!(UserPattern::parse(&pattern.to_string()), Ok(pattern.clone()), "{}", pattern);
            }
        }
    }

    /// Matching by pieces agrees with matching by definition.
    #[test]
    fn stars_match_as_defined(pattern in "[ab*]{1,6}", name in "[ab]{1,8}") {
        fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern, text) {
                ([], []) => true,
                ([b'*', rest @ ..], _) => (0..=text.len()).any(|n| by_definition(rest, &text[n..])),
                ([p, pattern @ ..], [t, text @ ..]) => p == t && by_definition(pattern, text),
                ([], _) | (_, []) => false,
            }
        }
        if let Ok(parsed) = UserPattern::parse(&format!("{pattern}@contoso.example")) {
            let user = Jid::parse(&format!("{name}@contoso.example")).unwrap();
            prop_assert_eq!(parsed.matches(&user), by_definition(pattern.as_bytes(), name.as_bytes()));
        }
    }
}

#[test]
fn a_grant_to_a_policy_of_another_table_lets_nothing_through() {
    let mut other = Table::builder(Files::default());
    let foreign = (0..9).map(|_| other.policy(policy("P", Scope::User, (true, true)))).last().unwrap();
    let mut builder = Table::builder(Files::default());
    builder.federation(true, At::default());
    builder.policy(policy("Global", Scope::Global, (true, true)));
    builder.partner(Partner::new(Domain::parse(DOMAINS[0]).unwrap(), At::default())).unwrap();
    builder.grant(&pattern(0), foreign, At::default()).unwrap();
    let table = builder.build(0);
    let (alice, remote) = pair(0, 0, 0, 0);
    let denial = table.judge(&crossing(&alice, &remote, Direction::SipToXmpp), &NoContacts).unwrap_err();
    assert_eq!(denial.reason, Reason::PolicyFederation);
}

#[test]
fn domain_addresses_have_no_grants() {
    let mut builder = Table::builder(Files::default());
    let all = builder.policy(policy("P", Scope::User, (true, true)));
    builder.grant(&UserPattern::parse("*@*").unwrap(), all, At::default()).unwrap();
    builder.grant(&UserPattern::parse("*@contoso.example").unwrap(), all, At::default()).unwrap();
    let table = builder.build(0);
    let server = Jid::parse("contoso.example/res").unwrap();
    assert_eq!(table.effective(&server).0.to_string(), "Global");
}
