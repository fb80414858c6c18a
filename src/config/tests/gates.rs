//! The gates, as rows of a policy file and messages that try to pass.

use super::*;
use crate::addr::Jid;
use crate::crossing::{Crosses, Crossing, Direction, Kind, Verified};
use crate::policy::table::Origin;
use crate::policy::{NoContacts, PartnerKind, Reason, Table, Terms, written};

/// An item, as the gate sees one.
#[derive(Debug)]
struct Item {
    sender: Jid,
    target: Jid,
    direction: Direction,
    kind: Kind,
}

impl Crosses for Item {
    fn crossing(&self) -> Crossing<'_> {
        Crossing { sender: &self.sender, target: &self.target, direction: self.direction, kind: self.kind }
    }
}

fn item(from: &str, to: &str, kind: Kind) -> Item {
    let pair = written::Pair::parse(from, to, |domain| domain.ends_with("contoso.example")).unwrap();
    Item { sender: pair.from, target: pair.to, direction: pair.direction, kind }
}

/// The table of `policy`.
fn table(policy: &str) -> Table {
    match config(DAEMON, policy) {
        Ok(config) => config.table,
        Err(problems) => panic!("{}", problems[0]),
    }
}

/// Whether `from` reaches `to`, the reason if not; messages and presence must agree.
fn try_with(
    table: &Table,
    from: &str,
    to: &str,
    contacts: &dyn crate::policy::Contacts,
) -> Result<String, Reason> {
    let mut verdicts = [Kind::Message, Kind::Presence].map(|kind| {
        match table.admit(Verified::prove(item(from, to, kind)), contacts) {
            Ok(admitted) => Ok(admitted.grant().policy().to_string()),
            Err(refusal) => Err(refusal.reason),
        }
    });
    let [message, presence] = &mut verdicts;
    assert_eq!(message, presence);
    std::mem::replace(message, Err(Reason::Unlisted))
}

fn attempt(table: &Table, from: &str, to: &str) -> Result<String, Reason> {
    try_with(table, from, to, &NoContacts)
}

const ALICE: &str = "sip:alice@contoso.example";
const BOB: &str = "sip:bob@contoso.example";
const ROMEO: &str = "xmpp:romeo@fabrikam.example";

const ON: &str = "[federation]\nenabled = true\n";
const PARTNER: &str = "[[partner]]\ndomain = \"fabrikam.example\"\ntype = \"federated\"\n";
const GLOBAL: &str = "[[policy]]\nscope = \"global\"\nfederation = true\nxmpp = true\n";
const SALES: &str = "[[policy]]\nscope = \"user\"\nname = \"Sales\"\nfederation = true\nxmpp = true\n";
const NOTHING: &str = "[[policy]]\nscope = \"user\"\nname = \"Nothing\"\n";

fn grant(user: &str, policy: &str) -> String {
    format!("[[grant]]\nuser = \"{user}\"\npolicy = \"{policy}\"\n")
}

fn site(members: &str, flags: &str) -> String {
    format!(
        "[[site]]\nname = \"Redmond\"\nmembers = [\"{members}\"]\n[[policy]]\nscope = \"site\"\nsite = \"Redmond\"\n{flags}\n"
    )
}

const ALLOW: &str = "federation = true\nxmpp = true";

#[test]
fn f01_there_is_always_a_global_policy_with_all_off() {
    let table = table("");
    let global = &table.policies()[0];
    assert_eq!((global.to_string().as_str(), global.federation, global.xmpp), ("Global", false, false));
    let on = self::table(&format!("{ON}{PARTNER}"));
    assert_eq!(attempt(&on, ALICE, ROMEO), Err(Reason::PolicyFederation));
}

#[test]
fn f04_a_site_policy_covers_its_members_without_a_grant() {
    let table = table(&format!("{ON}{PARTNER}{}", site("*@contoso.example", ALLOW)));
    assert_eq!(attempt(&table, ALICE, ROMEO), Ok("site:Redmond".into()));
    let others = self::table(&format!("{ON}{PARTNER}{}", site("b*@contoso.example", ALLOW)));
    assert_eq!(attempt(&others, BOB, ROMEO), Ok("site:Redmond".into()));
    assert_eq!(attempt(&others, ALICE, ROMEO), Err(Reason::PolicyFederation));
}

#[test]
fn f07_xmpp_counts_only_with_federation() {
    for (flags, reason) in [
        ("xmpp = true", Some(Reason::PolicyFederation)),
        ("federation = true", Some(Reason::PolicyXmpp)),
        ("", Some(Reason::PolicyFederation)),
        (ALLOW, None),
    ] {
        let table = table(&format!("{ON}{PARTNER}[[policy]]\nscope = \"global\"\n{flags}\n"));
        assert_eq!(attempt(&table, ALICE, ROMEO).err(), reason, "{flags}");
        assert_eq!(attempt(&table, ROMEO, ALICE).err(), reason, "{flags}");
    }
}

#[test]
fn f12_a_grant_lets_that_user_through_and_nobody_else() {
    let table = table(&format!("{ON}{PARTNER}{SALES}{}", grant(ALICE, "Sales")));
    assert_eq!(attempt(&table, ALICE, ROMEO), Ok("Sales".into()));
    assert_eq!(attempt(&table, BOB, ROMEO), Err(Reason::PolicyFederation));
}

#[test]
fn f13_a_grant_with_a_star_covers_all_that_match() {
    let rows = grant("sip:*@sales.contoso.example", "Sales");
    let table = table(&format!("{ON}{PARTNER}{SALES}{rows}"));
    assert!(attempt(&table, "sip:a@sales.contoso.example", ROMEO).is_ok());
    assert!(attempt(&table, "sip:b@sales.contoso.example", ROMEO).is_ok());
    assert!(attempt(&table, "sip:a@contoso.example", ROMEO).is_err());
    assert!(attempt(&table, "sip:a@x.sales.contoso.example", ROMEO).is_err());
}

#[test]
fn f13_a_name_beats_a_star_and_the_first_star_wins() {
    let rows =
        [grant("*@contoso.example", "Nothing"), grant("a*@contoso.example", "Sales"), grant(BOB, "Sales")];
    let table = table(&format!("{ON}{PARTNER}{SALES}{NOTHING}{}", rows.concat()));
    assert_eq!(attempt(&table, ALICE, ROMEO), Err(Reason::PolicyFederation));
    assert_eq!(attempt(&table, BOB, ROMEO), Ok("Sales".into()));
    let [first, second, third] = rows;
    let table = self::table(&format!("{ON}{PARTNER}{SALES}{NOTHING}{second}{first}{third}"));
    assert_eq!(attempt(&table, ALICE, ROMEO), Ok("Sales".into()));
}

#[test]
fn f14_without_its_grant_a_user_falls_to_the_site_and_then_to_global() {
    let user = Jid::parse("alice@contoso.example").unwrap();
    let granted = grant(ALICE, "Nothing");
    let site = site("*@contoso.example", ALLOW);
    let all = table(&format!("{NOTHING}{GLOBAL}{site}{granted}"));
    assert_eq!(all.effective(&user).0.to_string(), "Nothing");
    let ungranted = table(&format!("{NOTHING}{GLOBAL}{site}"));
    assert_eq!(ungranted.effective(&user).0.to_string(), "site:Redmond");
    let global = table(&format!("{NOTHING}{GLOBAL}"));
    assert_eq!(global.effective(&user).0.to_string(), "Global");
}

#[test]
fn f15_a_user_policy_that_is_not_granted_has_no_effect() {
    let table = table(&format!("{ON}{PARTNER}{SALES}"));
    assert_eq!(attempt(&table, ALICE, ROMEO), Err(Reason::PolicyFederation));
}

#[test]
fn f16_user_wins_over_site_and_site_over_global_and_nothing_is_merged() {
    let on = format!("{ON}{PARTNER}");
    let half = "[[policy]]\nscope = \"user\"\nname = \"Half\"\nfederation = true\n";
    for (rows, allowed) in [
        (format!("{GLOBAL}{NOTHING}{}", grant(ALICE, "Nothing")), false),
        (format!("{SALES}{}", grant(ALICE, "Sales")), true),
        (format!("{GLOBAL}{}", site("*@contoso.example", "")), false),
        (format!("{SALES}{}{}", site("*@contoso.example", ""), grant(ALICE, "Sales")), true),
        (format!("{NOTHING}{}{}", site("*@contoso.example", ALLOW), grant(ALICE, "Nothing")), false),
        (format!("{GLOBAL}{half}{}", grant(ALICE, "Half")), false),
    ] {
        let table = table(&format!("{on}{rows}"));
        assert_eq!(attempt(&table, ALICE, ROMEO).is_ok(), allowed, "{rows}");
        assert_eq!(attempt(&table, ROMEO, ALICE).is_ok(), allowed, "{rows}");
    }
}

#[test]
fn f17_the_effective_policy_says_where_it_came_from() {
    let rows = format!("{SALES}{}{}", site("*@contoso.example", ALLOW), grant(ALICE, "Sales"));
    let table = table(&rows);
    let (policy, origin) = table.effective(&Jid::parse("alice@contoso.example").unwrap());
    let Origin::Grant(at) = origin else { panic!("{origin:?}") };
    assert_eq!((policy.to_string().as_str(), table.show(at).as_str()), ("Sales", "policy.toml:14"));
    let (policy, origin) = table.effective(&Jid::parse("bob@contoso.example").unwrap());
    assert_eq!((policy.to_string().as_str(), origin), ("site:Redmond", Origin::Site(0)));
    let (policy, origin) = table.effective(&Jid::parse("x@other.example").unwrap());
    assert_eq!((policy.to_string().as_str(), origin), ("Global", Origin::Global(None)));
}

#[test]
fn f20_the_policy_gates_both_directions() {
    let table = table(&format!("{ON}{PARTNER}{SALES}{}", grant(ALICE, "Sales")));
    assert!(attempt(&table, ROMEO, ALICE).is_ok());
    assert_eq!(attempt(&table, ROMEO, BOB), Err(Reason::PolicyFederation));
    assert_eq!(attempt(&table, BOB, ROMEO), Err(Reason::PolicyFederation));
}

#[test]
fn f21_f22_the_organisations_switch_covers_everything_and_policies_wait_for_it() {
    let rows = format!("{PARTNER}{GLOBAL}");
    for off in ["", "[federation]\nenabled = false\n"] {
        let table = table(&format!("{off}{rows}"));
        assert_eq!(attempt(&table, ALICE, ROMEO), Err(Reason::FederationOff));
        assert_eq!(attempt(&table, ROMEO, ALICE), Err(Reason::FederationOff));
        assert_eq!(table.welcome("fabrikam.example").err(), Some(Reason::FederationOff));
    }
    let table = table(&format!("{ON}{rows}"));
    assert!(attempt(&table, ALICE, ROMEO).is_ok() && attempt(&table, ROMEO, ALICE).is_ok());
}

#[test]
fn f23_f37_f41_a_partner_has_lyncs_defaults() {
    let table = table(&format!("{ON}[[partner]]\ndomain = \"fabrikam.example\"\n"));
    let partner = table.partner("fabrikam.example").unwrap();
    assert_eq!(partner.kind, PartnerKind::PublicUnverified);
    assert_eq!(partner.terms, Terms::default());
    assert_eq!((partner.terms.tls.as_str(), partner.terms.sasl.as_str()), ("required", "required"));
    assert!(partner.terms.dialback && partner.keepalive);
    assert_eq!((partner.connection_limit, partner.proxy.as_ref()), (None, None));
    assert!(table.welcome("fabrikam.example").is_ok());
}

#[test]
fn f25_an_unlisted_domain_gets_nothing_either_way() {
    let table = table(&format!("{ON}{PARTNER}{GLOBAL}"));
    for address in
        ["xmpp:a@other.example", "xmpp:a@x.fabrikam.example", "xmpp:a@notfabrikam.example", "xmpp:a@example"]
    {
        assert_eq!(attempt(&table, ALICE, address), Err(Reason::Unlisted), "{address}");
        assert_eq!(attempt(&table, address, ALICE), Err(Reason::Unlisted), "{address}");
    }
}

#[test]
fn f28_additional_domains_are_exact() {
    let with =
        format!("{PARTNER}additional_domains = [\"research.fabrikam.example\", \"tailspin.example\"]\n");
    let table = table(&format!("{ON}{GLOBAL}{with}"));
    for domain in ["fabrikam.example", "research.fabrikam.example", "tailspin.example"] {
        assert!(attempt(&table, ALICE, &format!("xmpp:x@{domain}")).is_ok(), "{domain}");
        assert_eq!(table.partner(domain).unwrap().domain.as_str(), "fabrikam.example");
    }
    for domain in ["hr.fabrikam.example", "x.research.fabrikam.example", "x.tailspin.example"] {
        assert_eq!(attempt(&table, ALICE, &format!("xmpp:x@{domain}")), Err(Reason::Unlisted), "{domain}");
    }
    let cleared = self::table(&format!("{ON}{GLOBAL}{PARTNER}additional_domains = []\n"));
    assert!(cleared.partner("tailspin.example").is_none());
}

#[test]
fn f34_nothing_of_a_public_unverified_partner_comes_in_until_our_user_added_the_contact() {
    let table = table(&format!("{ON}{GLOBAL}[[partner]]\ndomain = \"fabrikam.example\"\n"));
    assert_eq!(attempt(&table, ROMEO, ALICE), Err(Reason::NotAdded));
    assert!(attempt(&table, ALICE, ROMEO).is_ok());
    let added = |user: &Jid, contact: &Jid| {
        user.bare_str() == "alice@contoso.example" && contact.bare_str() == "romeo@fabrikam.example"
    };
    assert!(try_with(&table, ROMEO, ALICE, &added).is_ok());
    assert_eq!(try_with(&table, ROMEO, BOB, &added), Err(Reason::NotAdded));
    assert_eq!(try_with(&table, "xmpp:eve@fabrikam.example", ALICE, &added), Err(Reason::NotAdded));
    for kind in ["federated", "public-verified"] {
        let table = self::table(&format!("{ON}{GLOBAL}{}", PARTNER.replace("federated", kind)));
        assert!(attempt(&table, ROMEO, ALICE).is_ok(), "{kind}");
    }
}

#[test]
fn f100_from_an_unverifiable_server_only_who_has_the_sender_as_a_contact_is_reached() {
    let peer = "[[sip.peer]]\n";
    assert!(DAEMON.contains(peer));
    let daemon = DAEMON.replacen(peer, &format!("{peer}verification = \"always-unverifiable\"\n"), 1);
    let table = config(&daemon, &format!("{ON}{GLOBAL}{PARTNER}")).unwrap().table;
    assert_eq!(attempt(&table, ALICE, ROMEO), Err(Reason::Unverifiable));
    assert!(attempt(&table, ROMEO, ALICE).is_ok(), "the other way is open");
    // Such contacts and no others.
    let lists = |user: &Jid, contact: &Jid| {
        contact.bare_str() == "romeo@fabrikam.example" && user.bare_str() == "alice@contoso.example"
    };
    assert!(try_with(&table, ALICE, ROMEO, &lists).is_ok());
    assert_eq!(try_with(&table, BOB, ROMEO, &lists), Err(Reason::Unverifiable));
    assert_eq!(try_with(&table, ALICE, "xmpp:eve@fabrikam.example", &lists), Err(Reason::Unverifiable));
    // A policy that says no says so first.
    let table = config(&daemon, &format!("{ON}{PARTNER}")).unwrap().table;
    assert_eq!(attempt(&table, ALICE, ROMEO), Err(Reason::PolicyFederation));
}

#[test]
fn f97_blocks_win_where_they_are_more_specific() {
    let person = "[[blocked]]\naddress = \"xmpp:Mallory@fabrikam.example/x\"\n";
    let wild = "[[blocked]]\ndomain = \"*.example\"\n[[blocked]]\ndomain = \"evil.test\"\n";
    let table = table(&format!("{ON}{GLOBAL}{PARTNER}{person}{wild}"));
    let mallory = "xmpp:mallory@fabrikam.example";
    assert_eq!(attempt(&table, mallory, ALICE), Err(Reason::AddressBlocked));
    assert_eq!(attempt(&table, ALICE, mallory), Err(Reason::AddressBlocked));
    assert!(attempt(&table, ROMEO, ALICE).is_ok());
    assert_eq!(attempt(&table, "xmpp:a@other.example", ALICE), Err(Reason::DomainBlocked));
    assert_eq!(attempt(&table, "xmpp:a@evil.test", ALICE), Err(Reason::DomainBlocked));
    assert_eq!(attempt(&table, "xmpp:a@x.evil.test", ALICE), Err(Reason::Unlisted));
    assert_eq!(table.blocked("x.y.example").map(|at| table.show(at)), Some("policy.toml:12".into()));
    assert_eq!(table.blocked("example"), None);
}

#[test]
fn f97_a_partner_under_a_blocked_parent_stays_and_what_is_under_it_does_not() {
    let good = PARTNER.replace("fabrikam.example", "good.evil.example");
    let wild = "[[blocked]]\ndomain = \"*.evil.example\"\n[[blocked]]\ndomain = \"*.good.evil.example\"\n";
    let table = table(&format!("{ON}{GLOBAL}{good}{wild}"));
    for (domain, expected) in [
        ("good.evil.example", None),
        ("x.good.evil.example", Some(Reason::DomainBlocked)),
        ("bad.evil.example", Some(Reason::DomainBlocked)),
        ("a.bad.evil.example", Some(Reason::DomainBlocked)),
        ("evil.example", Some(Reason::Unlisted)),
        ("notevil.example", Some(Reason::Unlisted)),
    ] {
        let address = format!("xmpp:x@{domain}");
        assert_eq!(attempt(&table, ALICE, &address).err(), expected, "{domain}");
        assert_eq!(attempt(&table, &address, ALICE).err(), expected, "{domain}");
        assert_eq!(table.welcome(domain).err(), expected, "{domain}");
    }
    // The nearest of two blocks is the one that is shown.
    assert_eq!(table.blocked("x.good.evil.example").map(|at| table.show(at)), Some("policy.toml:12".into()));
}

#[test]
fn check_165_a_stream_is_judged_before_anything_is_done_for_it() {
    let table = table(&format!("{ON}{PARTNER}[[blocked]]\ndomain = \"evil.example\"\n"));
    assert!(table.welcome("fabrikam.example").is_ok());
    assert_eq!(table.welcome("evil.example").err(), Some(Reason::DomainBlocked));
    assert_eq!(table.welcome("other.example").err(), Some(Reason::Unlisted));
}

#[test]
fn check_166_a_verdict_does_not_depend_on_who_exists() {
    let table = table(&format!("{ON}{PARTNER}{SALES}{}", grant(ALICE, "Sales")));
    let denied = attempt(&table, ROMEO, BOB);
    assert_eq!(attempt(&table, ROMEO, "sip:nobody-of-this-name@contoso.example"), denied);
    assert!(denied.is_err());
}

#[test]
fn threat_130_the_default_is_no() {
    let empty = table("");
    assert_eq!(attempt(&empty, ALICE, ROMEO), Err(Reason::FederationOff));
    assert_eq!(attempt(&table(ON), ROMEO, ALICE), Err(Reason::Unlisted));
    assert_eq!(attempt(&table(&format!("{ON}{PARTNER}")), ROMEO, ALICE), Err(Reason::PolicyFederation));
}

#[test]
fn threat_131_a_denied_user_stays_denied_in_every_disguise() {
    let rows = format!("{ON}{PARTNER}{GLOBAL}{NOTHING}{}", grant("sip:mallory@contoso.example", "Nothing"));
    let table = table(&format!("{rows}[[blocked]]\naddress = \"eve@fabrikam.example\"\n"));
    for spelling in [
        "sip:mallory@contoso.example",
        "sip:MALLORY@CONTOSO.EXAMPLE",
        "sip:%6Dallory@contoso.example.",
        "sip:ｍａｌｌｏｒｙ@contoso.example",
        "sip:mallory:password@contoso.example:5061;transport=tls",
        "sip:mallory@contoso.example;gr=desk",
    ] {
        assert_eq!(attempt(&table, spelling, ROMEO), Err(Reason::PolicyFederation), "{spelling}");
        assert_eq!(attempt(&table, ROMEO, spelling), Err(Reason::PolicyFederation), "{spelling}");
    }
    for spelling in
        ["xmpp:EVE@fabrikam.example", "xmpp:%65ve@Fabrikam.Example./x", "xmpp:ｅve@fabrikam.example"]
    {
        assert_eq!(attempt(&table, spelling, ALICE), Err(Reason::AddressBlocked), "{spelling}");
    }
    // A soft hyphen or a zero-width space has no place in an address: there is no item at all.
    for spelling in ["sip:mal%C2%ADlory@contoso.example", "sip:mal%E2%80%8Blory@contoso.example"] {
        assert!(written::sip(spelling).is_err(), "{spelling}");
    }
}

#[test]
fn threat_132_equal_domains_are_equal_and_lookalikes_are_not() {
    let rows = PARTNER.replace("fabrikam.example", "bücher.example");
    let table = table(&format!("{ON}{GLOBAL}{rows}"));
    for domain in [
        "bücher.example",
        "BÜCHER.example",
        "xn--bcher-kva.example",
        "bücher.example.",
        "bu\u{308}cher.example",
    ] {
        assert!(attempt(&table, ALICE, &format!("xmpp:x@{domain}")).is_ok(), "{domain}");
    }
    for domain in ["bucher.example", "bücher.example.evil.test", "evil-bücher.example", "büсher.example"]
    {
        assert_eq!(attempt(&table, ALICE, &format!("xmpp:x@{domain}")), Err(Reason::Unlisted), "{domain}");
    }
    assert!(written::xmpp("xmpp:x@bücher。example").is_err());
}

#[test]
fn threat_133_presence_is_gated_like_messages() {
    let table = table(&format!("{ON}{PARTNER}"));
    for kind in [Kind::Message, Kind::Presence] {
        let refusal = table.admit(Verified::prove(item(ROMEO, ALICE, kind)), &NoContacts).unwrap_err();
        assert_eq!((refusal.reason, refusal.item.kind), (Reason::PolicyFederation, kind));
        assert_eq!(refusal.policy.unwrap().to_string(), "Global");
    }
}

#[test]
fn threat_134_an_alias_of_a_domain_is_another_domain() {
    let table = table(&format!("{ON}{PARTNER}{SALES}{}", grant(ALICE, "Sales")));
    assert_eq!(attempt(&table, "sip:alice@alias.contoso.example", ROMEO), Err(Reason::PolicyFederation));
    assert_eq!(attempt(&table, ALICE, "xmpp:romeo@www.fabrikam.example"), Err(Reason::Unlisted));
}

#[test]
fn threat_135_a_grant_knows_the_table_that_gave_it() {
    let rows = format!("{ON}{PARTNER}{GLOBAL}");
    let old = table(&rows).with_generation(1);
    let admitted = old.admit(Verified::prove(item(ALICE, ROMEO, Kind::Message)), &NoContacts).unwrap();
    let (item, grant) = admitted.into_parts();
    assert!(grant.is_of(&old));
    let new = table(&rows.replace("xmpp = true", "xmpp = false")).with_generation(2);
    assert!(!grant.is_of(&new));
    let denial = new.judge(&item.crossing(), &NoContacts).unwrap_err();
    assert_eq!(denial.reason, Reason::PolicyXmpp);
    assert_eq!((grant.policy().xmpp, grant.partner().domain.as_str()), (true, "fabrikam.example"));
}
