//! The verdict in steps, for people: which row opened or shut each gate, and what would open it.
//!
//! The verdict itself is [`Table::judge`]'s; the steps only say why.

use super::gate::{Contacts, Reason};
use super::rules::{At, Policy, Scope, UserPattern};
use super::table::{Origin, Shut, Table, needs_contact};
use crate::addr::{Domain, Jid};
use crate::crossing::Crossing;
use std::sync::Arc;

/// A verdict, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Why it is no; `None` is yes.
    pub denied: Option<Reason>,
    /// Our user's effective policy, as [`Policy`] displays.
    pub policy: String,
    /// The gates, in the order in which they are asked.
    pub steps: Vec<Step>,
    /// The step that decided, if the verdict is no: an index into `steps`.
    pub decided: Option<usize>,
    /// What would open the gates that are shut; empty if the verdict is yes.
    pub remedies: Vec<Remedy>,
}

/// One gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `federation`, `partner`, `policy`, `verdict` or `contact`.
    pub name: &'static str,
    /// What was found.
    pub text: String,
    /// The row, as [`Table::show`] has it; empty if no row says it.
    pub at: String,
    /// Whether it lets the item through.
    pub open: bool,
}

/// What an administrator, or the user, can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Turn the organisation's switch on.
    EnableFederation,
    /// List the domain as a partner.
    AddPartner(Domain),
    /// Take away the row that blocks this domain, these subdomains (`*.domain`) or this person.
    Unblock(String),
    /// Grant our user a policy that lets XMPP through.
    Grant {
        /// The policy; `None`: there is no such policy yet.
        policy: Option<String>,
        /// Our user.
        user: Jid,
    },
    /// Our user adds the contact.
    AddContact(Jid, Jid),
    /// The contact, the first, adds our user.
    BeContact(Jid, Jid),
}

impl Table {
    /// Explains what [`Table::judge`] says of `crossing`.
    pub fn explain(&self, crossing: &Crossing<'_>, contacts: &dyn Contacts) -> Explanation {
        let (local, remote) = (crossing.local(), crossing.remote());
        let (policy, origin) = self.effective(local);
        let denied = self.judge(crossing, contacts).err().map(|denial| denial.reason);
        let mut remedies = Vec::new();
        let switch = if self.enabled { "enabled" } else { "disabled" };
        let mut steps = vec![
            self.step("federation", switch.into(), self.enabled_at, self.enabled),
            self.partner_step(remote, &mut remedies),
            self.policy_step(local, policy, origin),
            self.verdict_step(policy),
        ];
        if !self.enabled {
            remedies.insert(0, Remedy::EnableFederation);
        }
        if !policy.allows_xmpp() {
            let allowing = self.policies().iter().find(|p| p.scope == Scope::User && p.allows_xmpp());
            let policy = allowing.map(|other| other.name.clone());
            remedies.push(Remedy::Grant { policy, user: local.to_bare() });
        }
        let kind = self.partner(remote.domain()).map(|partner| partner.kind);
        if kind.is_some_and(|kind| needs_contact(kind, crossing.direction)) {
            let added = contacts.added(local, remote);
            let has = if added { "has" } else { "has not" };
            let text = format!("{} {has} added {}", local.bare_str(), remote.bare_str());
            steps.push(self.step("contact", text, At::default(), added));
            if !added {
                remedies.push(Remedy::AddContact(local.to_bare(), remote.to_bare()));
            }
        }
        if self.needs_to_be_contact(crossing) {
            let listed = contacts.lists(remote, local);
            let has = if listed { "has" } else { "has not" };
            let text = format!(
                "{} {has} {} as a contact (verification = \"always-unverifiable\")",
                remote.bare_str(),
                local.bare_str()
            );
            steps.push(self.step("contact", text, At::default(), listed));
            if !listed {
                remedies.push(Remedy::BeContact(remote.to_bare(), local.to_bare()));
            }
        }
        let decided = denied.map(|reason| match reason {
            Reason::FederationOff => 0,
            Reason::Unlisted | Reason::DomainBlocked | Reason::AddressBlocked => 1,
            Reason::PolicyFederation | Reason::PolicyXmpp => 3,
            Reason::NotAdded | Reason::Unverifiable => 4,
        });
        Explanation { denied, policy: policy.to_string(), steps, decided, remedies }
    }

    /// The policy that `user` has, what gave it, and in which row: "no grant; site Redmond (matched *@…)".
    pub fn standing(&self, user: &Jid) -> (&Arc<Policy>, Step) {
        let (policy, origin) = self.effective(user);
        (policy, self.policy_step(user, policy, origin))
    }

    fn step(&self, name: &'static str, text: String, at: At, open: bool) -> Step {
        Step { name, text, at: self.show(at), open }
    }

    fn partner_step(&self, remote: &Jid, remedies: &mut Vec<Remedy>) -> Step {
        let domain = remote.domain();
        let shut = |text: String, at| self.step("partner", text, at, false);
        // The switch is a step of its own: here only the rows count.
        let partner = match self.listed(domain) {
            Ok(listing) => listing.partner,
            Err(Shut { reason, at }) => {
                let text = match reason {
                    Reason::DomainBlocked => format!("{domain} is blocked"),
                    _ => format!("{domain} is not listed"),
                };
                remedies.extend(at.and_then(|at| self.blocked.whom(at)).map(Remedy::Unblock));
                if self.partner(domain).is_none() {
                    remedies.push(Remedy::AddPartner(remote.to_domain()));
                }
                return shut(text, at.unwrap_or_default());
            }
        };
        if let Some(at) = self.blocked_address(remote) {
            remedies.extend(self.blocked.whom(at).map(Remedy::Unblock));
            return shut(format!("{} is blocked", remote.bare_str()), at);
        }
        let text = match partner.domain.as_str() == domain {
            true => format!("{domain} is allowed"),
            false => format!("{domain} is allowed, as {}", partner.domain),
        };
        self.step("partner", text, partner.at, true)
    }

    fn policy_step(&self, local: &Jid, policy: &Arc<Policy>, origin: Origin) -> Step {
        let (text, at) = match origin {
            Origin::Grant(at) => match self.granted_by(local) {
                Some(pattern) => (format!("granted {} (matched {pattern})", policy.name), at),
                None => (format!("granted {}", policy.name), at),
            },
            Origin::Site(site) => (format!("no grant; {}", self.site_text(site, local)), policy.at),
            Origin::Global(Some(site)) => {
                let text = format!("no grant; {} has no policy; global", self.site_text(site, local));
                (text, policy.at)
            }
            Origin::Global(None) => ("no grant, no site; global".to_owned(), policy.at),
        };
        self.step("policy", text, at, true)
    }

    fn site_text(&self, site: u32, local: &Jid) -> String {
        let Some(site) = self.sites.get(site as usize) else { return String::new() };
        let literal = |member: &&UserPattern| matches!(member, UserPattern::User(_));
        let mut members = site.members.iter().filter(|member| member.matches(local));
        let first = members.clone().find(literal).or_else(|| members.next());
        match first {
            Some(member) => format!("site {} (matched {member})", site.name),
            None => format!("site {}", site.name),
        }
    }

    fn verdict_step(&self, policy: &Policy) -> Step {
        let word = |flag| if flag { "yes" } else { "no" };
        let text = format!("federation={}  xmpp={}", word(policy.federation), word(policy.xmpp));
        self.step("verdict", text, At::default(), policy.allows_xmpp())
    }
}
