//! The loaded table: immutable, looked up by canonical text, replaced as a whole.
//!
//! Three gates, all open, in this order and in both directions: the organisation's switch, the
//! partner entry of the XMPP side's domain, the effective policy of our user. A
//! [`PartnerKind::PublicUnverified`] partner has a fourth on the way in: our user has added the
//! contact; and users of a SIP server that is always-unverifiable have one on the way out: the XMPP contact
//! has them as a contact. What no row lets through is refused.

use super::builder::TableBuilder;
use super::gate::{Contacts, Denial, Grant, Reason};
use super::hash::Map;
use super::matcher::{How, Matcher};
use super::partner::{Partner, PartnerKind};
use super::rules::{At, File, Policy, UserPattern};
use crate::addr::{Domain, Jid};
use crate::crossing::{Crossing, Direction};
use std::fmt;
use std::sync::Arc;

/// A policy of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyId(pub(super) u32);

/// The external access policy table.
#[derive(Debug)]
pub struct Table {
    pub(super) files: Files,
    pub(super) enabled: bool,
    pub(super) enabled_at: At,
    pub(super) generation: u64,
    pub(super) global: PolicyId,
    pub(super) policies: Vec<Arc<Policy>>,
    /// A policy that lets nothing through: what a grant to nowhere means.
    pub(super) nothing: Arc<Policy>,
    pub(super) sites: Vec<Site>,
    pub(super) members: Matcher<u32>,
    pub(super) grants: Matcher<(PolicyId, At)>,
    pub(super) partners: Vec<Arc<Partner>>,
    pub(super) domains: Map<Listed>,
    pub(super) blocked: Blocked,
    pub(super) blocks: Vec<BlockedRow>,
    /// Our domains whose users reach only whoever has them as a contact.
    pub(super) unverifiable: Vec<Domain>,
}

/// What the files that a table was read from are called in messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The policy file.
    pub policy: String,
    /// The grants file.
    pub grants: String,
}

/// A site: who belongs to it and which policy its members have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Its name.
    pub name: String,
    /// The patterns of its members, in the order of the file.
    pub members: Vec<UserPattern>,
    /// Its policy, if it has one.
    pub policy: Option<PolicyId>,
    /// Where it stands.
    pub at: At,
}

/// A partner's domain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    pub(super) partner: u32,
    pub(super) blocked: Option<At>,
    /// Whether somebody in the domain is blocked.
    pub(super) people: bool,
}

/// The partner gate, open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listing<'t> {
    pub(super) partner: &'t Arc<Partner>,
    /// Whether somebody in the domain is blocked.
    pub(super) people: bool,
}

/// The partner gate, shut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shut {
    pub(super) reason: Reason,
    /// The row that shuts it, if it is one.
    pub(super) at: Option<At>,
}

/// Who is blocked: one person, one domain, or all proper subdomains of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// One person of a partner.
    Address(Jid),
    /// One domain.
    Domain(Domain),
    /// The proper subdomains of a domain: `*.evil.example`.
    Under(Domain),
}

impl Block {
    /// What is blocked: "domain", "subdomains" or "person".
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Domain(_) => "domain",
            Self::Under(_) => "subdomains",
            Self::Address(_) => "person",
        }
    }

    /// The domain that is blocked, whose subdomains are, or that the person is of.
    pub fn domain(&self) -> &str {
        match self {
            Self::Domain(domain) | Self::Under(domain) => domain.as_str(),
            Self::Address(jid) => jid.domain(),
        }
    }
}

impl fmt::Display for Block {
    /// As the file and `stoxd unblock` have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(domain) => f.write_str(domain.as_str()),
            Self::Under(parent) => write!(f, "*.{parent}"),
            Self::Address(jid) => f.write_str(jid.bare_str()),
        }
    }
}

/// A row that blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedRow {
    /// Whom.
    pub block: Block,
    /// A note for administrators.
    pub description: String,
    /// Where it stands.
    pub at: At,
}

#[derive(Debug, Default)]
pub(super) struct Blocked {
    pub(super) addresses: Map<At>,
    pub(super) domains: Map<At>,
    pub(super) under: Map<At>,
}

impl Blocked {
    /// The block that covers `domain`: itself, else its nearest parent with a star.
    fn domain(&self, domain: &str) -> Option<At> {
        if let Some(at) = self.domains.get(domain) {
            return Some(*at);
        }
        if self.under.is_empty() {
            return None;
        }
        let mut rest = domain;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(at) = self.under.get(parent) {
                return Some(*at);
            }
            rest = parent;
        }
        None
    }
}

impl Blocked {
    /// Whom the row at `at` blocks, as `stoxd unblock` takes it.
    pub(super) fn whom(&self, at: At) -> Option<String> {
        let of = |rows: &Map<At>| rows.iter().find(|(_, row)| **row == at).map(|(whom, _)| whom.to_string());
        let under = || of(&self.under).map(|parent| format!("*.{parent}"));
        of(&self.addresses).or_else(|| of(&self.domains)).or_else(under)
    }
}

/// Where a user's effective policy came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A grant, at this row.
    Grant(At),
    /// The policy of the site with this index.
    Site(u32),
    /// The global policy; the site, if any, has none of its own.
    Global(Option<u32>),
}

impl Table {
    /// Starts a table whose rows stand in `files`. Everything is off until rows say otherwise.
    pub fn builder(files: Files) -> TableBuilder {
        TableBuilder::new(files)
    }

    /// The number that tells this table from its predecessors; see [`Grant::generation`].
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The same table with another generation.
    #[must_use]
    pub fn with_generation(self, generation: u64) -> Self {
        Self { generation, ..self }
    }

    /// Whether the organisation's switch is on.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// The partner that `domain` belongs to, blocked or not.
    pub fn partner(&self, domain: &str) -> Option<&Arc<Partner>> {
        self.partners.get(self.domains.get(domain)?.partner as usize)
    }

    /// Its place among [`Table::partners`].
    pub fn partner_at(&self, domain: &str) -> Option<usize> {
        self.domains.get(domain).map(|listed| listed.partner as usize)
    }

    /// All partners, in the order of the file.
    pub fn partners(&self) -> &[Arc<Partner>] {
        &self.partners
    }

    /// The row by which `domain` gets nothing, whoever of it writes.
    pub fn block_of(&self, domain: &str) -> Option<&BlockedRow> {
        let at = self.listed(domain).err()?.at?;
        self.blocks.iter().find(|row| row.at == at)
    }

    /// All rows that block, in the order of the file.
    pub fn blocks(&self) -> &[BlockedRow] {
        &self.blocks
    }

    /// All policies, in the order of the file; the global one is among them.
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// How many grants there are.
    pub fn grant_count(&self) -> usize {
        self.grants.len()
    }

    /// How many grants of `policy` there are.
    pub fn grants_of(&self, policy: &Policy) -> usize {
        let id = self.policies.iter().position(|other| **other == *policy);
        let id = id.and_then(|id| u32::try_from(id).ok());
        id.map_or(0, |id| self.grants.values().filter(|(granted, _)| granted.0 == id).count())
    }

    /// To whom `policy` is granted, as a grant is written without its `sip:`, in the order of the files.
    pub fn granted(&self, policy: &Policy) -> Vec<(String, At)> {
        let id = self.policies.iter().position(|other| **other == *policy);
        let Some(id) = id.and_then(|id| u32::try_from(id).ok()) else { return Vec::new() };
        let rows = self.grants.rows().filter(|(_, (granted, _))| granted.0 == id);
        let mut all: Vec<(String, At)> = rows.map(|(user, (_, at))| (user.into_owned(), at)).collect();
        all.sort_by_key(|(_, at)| (at.file == File::Grants, at.line));
        all
    }

    /// All sites, in the order of the file.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// The policy of `site`, if it has one.
    pub fn policy_of(&self, site: &Site) -> Option<&Arc<Policy>> {
        site.policy.map(|id| self.policy(id))
    }

    /// The same table with the organisation's switch as it is in `enabled`.
    #[must_use]
    pub fn with_federation(self, enabled: bool) -> Self {
        Self { enabled, ..self }
    }

    /// The row that blocks `domain` where no partner entry decides.
    pub fn blocked(&self, domain: &str) -> Option<At> {
        self.blocked.domain(domain)
    }

    /// The row that blocks the person `address`.
    pub fn blocked_address(&self, address: &Jid) -> Option<At> {
        self.blocked.addresses.get(address.bare_str()).copied()
    }

    /// The partner that may have streams with us as `domain`: the switch and the partner gate, before
    /// any DNS look-up is made or certificate read (RFC 8048 §8.1).
    ///
    /// # Errors
    /// [`Reason::FederationOff`], [`Reason::DomainBlocked`] or [`Reason::Unlisted`].
    pub fn welcome(&self, domain: &str) -> Result<&Arc<Partner>, Reason> {
        if !self.enabled {
            return Err(Reason::FederationOff);
        }
        self.listed(domain).map(|listing| listing.partner).map_err(|shut| shut.reason)
    }

    /// The partner gate alone.
    pub(super) fn listed(&self, domain: &str) -> Result<Listing<'_>, Shut> {
        let Some(listed) = self.domains.get(domain) else {
            return Err(match self.blocked.domain(domain) {
                Some(at) => Shut { reason: Reason::DomainBlocked, at: Some(at) },
                None => Shut { reason: Reason::Unlisted, at: None },
            });
        };
        // A row that blocks this very domain wins; `*.parent` is less specific than the entry.
        match (listed.blocked, self.partners.get(listed.partner as usize)) {
            (None, Some(partner)) => Ok(Listing { partner, people: listed.people }),
            (Some(at), _) => Err(Shut { reason: Reason::DomainBlocked, at: Some(at) }),
            (None, None) => Err(Shut { reason: Reason::Unlisted, at: None }),
        }
    }

    /// The policy that `user` has, and where it came from: user, else site, else global.
    pub fn effective(&self, user: &Jid) -> (&Arc<Policy>, Origin) {
        if let Some((id, at)) = self.grants.find(user) {
            return (self.policy(id), Origin::Grant(at));
        }
        let site = self.members.find(user);
        let policy = site.and_then(|site| self.sites.get(site as usize)?.policy);
        match (policy, site) {
            (Some(id), Some(site)) => (self.policy(id), Origin::Site(site)),
            _ => (self.policy(self.global), Origin::Global(site)),
        }
    }

    /// The pattern by which `user` has its grant; `None` if it is granted by name or not at all.
    pub(super) fn granted_by(&self, user: &Jid) -> Option<String> {
        match self.grants.find_how(user)?.1 {
            How::User => None,
            How::Domain => Some(format!("*@{}", user.domain())),
            How::Glob(glob) => Some(UserPattern::Glob(glob.clone()).to_string()),
        }
    }

    /// What the files are called that the rows stand in.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Judges a crossing. Hot path: a few hash look-ups, nothing is allocated.
    ///
    /// This is for what holds a [`Grant`] and must be judged again; items go through
    /// [`Table::admit`].
    ///
    /// # Errors
    /// The first gate that is shut.
    pub fn judge(&self, crossing: &Crossing<'_>, contacts: &dyn Contacts) -> Result<Grant, Denial> {
        let (local, remote) = (crossing.local(), crossing.remote());
        if !self.enabled {
            return Err(Reason::FederationOff.into());
        }
        let Listing { partner, people } = self.listed(remote.domain()).map_err(|shut| shut.reason)?;
        if people && self.blocked.addresses.contains_key(remote.bare_str()) {
            return Err(Reason::AddressBlocked.into());
        }
        let (policy, _) = self.effective(local);
        let shut = match (policy.federation, policy.xmpp) {
            (true, true) => None,
            (false, _) => Some(Reason::PolicyFederation),
            (true, false) => Some(Reason::PolicyXmpp),
        };
        if let Some(reason) = shut {
            return Err(Denial { reason, policy: Some(policy.clone()) });
        }
        if needs_contact(partner.kind, crossing.direction) && !contacts.added(local, remote) {
            return Err(Denial { reason: Reason::NotAdded, policy: Some(policy.clone()) });
        }
        if self.needs_to_be_contact(crossing) && !contacts.lists(remote, local) {
            return Err(Denial { reason: Reason::Unverifiable, policy: Some(policy.clone()) });
        }
        Ok(Grant::new(policy.clone(), partner.clone(), self.generation))
    }

    /// Whether only whoever has the sender as a contact is reached.
    pub(super) fn needs_to_be_contact(&self, crossing: &Crossing<'_>) -> bool {
        let domain = crossing.local().domain();
        crossing.direction == Direction::SipToXmpp && self.unverifiable.iter().any(|d| d.as_str() == domain)
    }

    /// The row `at` as text: `policy.toml:22`; empty for what is built in.
    pub fn show(&self, at: At) -> String {
        let file = match at.file {
            File::Policy => &self.files.policy,
            File::Grants => &self.files.grants,
        };
        if at.line == 0 { String::new() } else { format!("{file}:{}", at.line) }
    }

    pub(super) fn policy(&self, id: PolicyId) -> &Arc<Policy> {
        self.policies.get(id.0 as usize).unwrap_or(&self.nothing)
    }
}

/// Whether a contact must have been added before this crossing is let through.
pub(super) fn needs_contact(kind: PartnerKind, direction: Direction) -> bool {
    match (kind, direction) {
        (PartnerKind::PublicUnverified, Direction::XmppToSip) => true,
        (PartnerKind::PublicUnverified, Direction::SipToXmpp)
        | (PartnerKind::Federated | PartnerKind::PublicVerified, _) => false,
    }
}
