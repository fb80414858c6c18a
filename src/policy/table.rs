//! The loaded table: immutable, looked up by canonical text, replaced as a whole.
//!
//! Three gates, all open, in this order and in both directions: the organisation's switch, the
//! partner entry of the XMPP side's domain, the effective policy of our user. A
//! [`PartnerKind::PublicUnverified`] partner has a fourth on the way in: our user has added the
//! contact. What no row lets through is refused.

use super::gate::{Contacts, Denial, Grant, Reason};
use super::partner::{Partner, PartnerKind};
use super::rules::{At, File, Glob, Policy, Scope, UserPattern, is_under};
use crate::addr::{Domain, Jid};
use crate::crossing::{Crossing, Direction};
use std::collections::HashMap;
use std::collections::hash_map::{DefaultHasher, Entry};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

/// Only the operator's files fill these maps, peers only look them up: a fixed hash is enough, and
/// the same files give the same table.
type Map<V> = HashMap<Box<str>, V, BuildHasherDefault<DefaultHasher>>;

/// Patterns with stars that grants or sites may have; each costs every look-up that finds no user.
pub const MAX_GLOBS: usize = 100;

/// A policy of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyId(u32);

/// The external access policy table.
#[derive(Debug)]
pub struct Table {
    pub(super) files: Files,
    pub(super) enabled: bool,
    pub(super) enabled_at: At,
    pub(super) generation: u64,
    global: PolicyId,
    policies: Vec<Arc<Policy>>,
    /// A policy that lets nothing through: what a grant to nowhere means.
    nothing: Arc<Policy>,
    pub(super) sites: Vec<Site>,
    members: Matcher<u32>,
    grants: Matcher<(PolicyId, At)>,
    partners: Vec<Arc<Partner>>,
    domains: Map<Listed>,
    blocked: Blocked,
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
struct Listed {
    partner: u32,
    blocked: Option<At>,
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

#[derive(Debug, Default)]
struct Blocked {
    addresses: Map<At>,
    domains: Map<At>,
    under: Map<At>,
}

/// Users by address, by domain, and by the patterns that are left: a user beats a pattern, and the
/// first pattern of the file beats the next.
#[derive(Debug)]
struct Matcher<V> {
    users: Map<V>,
    domains: Map<(u32, V)>,
    globs: Vec<(u32, Glob, V)>,
    next: u32,
}

/// Why a grant of the files was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// This user or pattern has a grant already.
    #[error("granted already")]
    Twice(At),
    /// There are [`MAX_GLOBS`] patterns already.
    #[error("{MAX_GLOBS} patterns with stars at most")]
    TooManyGlobs,
}

impl<V: Copy> Matcher<V> {
    fn new() -> Self {
        Self { users: Map::default(), domains: Map::default(), globs: Vec::new(), next: 0 }
    }

    fn add(&mut self, pattern: &UserPattern, value: V) -> Result<(), Option<V>> {
        let order = self.next;
        self.next = self.next.saturating_add(1);
        match pattern {
            UserPattern::User(jid) => match self.users.entry(jid.bare_str().into()) {
                Entry::Occupied(entry) => return Err(Some(*entry.get())),
                Entry::Vacant(entry) => {
                    entry.insert(value);
                }
            },
            UserPattern::Domain(domain) => match self.domains.entry(domain.as_str().into()) {
                Entry::Occupied(entry) => return Err(Some(entry.get().1)),
                Entry::Vacant(entry) => {
                    entry.insert((order, value));
                }
            },
            UserPattern::Glob(glob) => {
                if let Some((_, _, value)) = self.globs.iter().find(|(_, other, _)| other == glob) {
                    return Err(Some(*value));
                }
                if self.globs.len() >= MAX_GLOBS {
                    return Err(None);
                }
                self.globs.push((order, glob.clone(), value));
            }
        }
        Ok(())
    }

    fn find(&self, user: &Jid) -> Option<V> {
        self.find_how(user).map(|(value, _)| value)
    }

    fn find_how(&self, user: &Jid) -> Option<(V, How<'_>)> {
        user.local()?;
        if let Some(value) = self.users.get(user.bare_str()) {
            return Some((*value, How::User));
        }
        let domain = if self.domains.is_empty() { None } else { self.domains.get(user.domain()) };
        let before = domain.map_or(u32::MAX, |(order, _)| *order);
        let mut globs = self.globs.iter().take_while(|(order, _, _)| *order < before);
        match globs.find(|(_, glob, _)| glob.matches(user)) {
            Some((_, glob, value)) => Some((*value, How::Glob(glob))),
            None => domain.map(|(_, value)| (*value, How::Domain)),
        }
    }
}

/// What a user was found by.
enum How<'m> {
    User,
    Domain,
    Glob(&'m Glob),
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

    /// All partners, in the order of the file.
    pub fn partners(&self) -> &[Arc<Partner>] {
        &self.partners
    }

    /// All policies, in the order of the file; the global one is among them.
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// How many grants there are.
    pub fn grant_count(&self) -> usize {
        let grants = &self.grants;
        grants.users.len() + grants.domains.len() + grants.globs.len()
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
        self.listed(domain).map_err(|(reason, _)| reason)
    }

    /// The partner gate alone; a row that shuts it comes with the reason.
    pub(super) fn listed(&self, domain: &str) -> Result<&Arc<Partner>, (Reason, Option<At>)> {
        let Some(listed) = self.domains.get(domain) else {
            return Err(match self.blocked.domain(domain) {
                Some(at) => (Reason::DomainBlocked, Some(at)),
                None => (Reason::Unlisted, None),
            });
        };
        // A row that blocks this very domain wins; `*.parent` is less specific than the entry.
        match (listed.blocked, self.partners.get(listed.partner as usize)) {
            (None, Some(partner)) => Ok(partner),
            (Some(at), _) => Err((Reason::DomainBlocked, Some(at))),
            (None, None) => Err((Reason::Unlisted, None)),
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
        let partner = self.welcome(remote.domain())?;
        if !self.blocked.addresses.is_empty() && self.blocked.addresses.contains_key(remote.bare_str()) {
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
        Ok(Grant::new(policy.clone(), partner.clone(), self.generation))
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

/// Builds a [`Table`] row by row; each method says what stands in the way of the row.
#[derive(Debug)]
pub struct TableBuilder {
    table: Table,
}

impl TableBuilder {
    fn new(files: Files) -> Self {
        let nothing = Policy { name: "nothing".into(), scope: Scope::User, ..Policy::global() };
        Self {
            table: Table {
                files,
                enabled: false,
                enabled_at: At::default(),
                generation: 0,
                global: PolicyId(0),
                policies: vec![Arc::new(Policy::global())],
                nothing: Arc::new(nothing),
                sites: Vec::new(),
                members: Matcher::new(),
                grants: Matcher::new(),
                partners: Vec::new(),
                domains: Map::default(),
                blocked: Blocked::default(),
            },
        }
    }

    /// Sets the organisation's switch.
    pub fn federation(&mut self, enabled: bool, at: At) {
        self.table.enabled = enabled;
        self.table.enabled_at = at;
    }

    /// Adds a policy. A global one replaces the global one that is there.
    pub fn policy(&mut self, policy: Policy) -> PolicyId {
        let policies = &mut self.table.policies;
        if policy.scope == Scope::Global
            && let Some(global) = policies.first_mut()
        {
            *global = Arc::new(policy);
            return PolicyId(0);
        }
        policies.push(Arc::new(policy));
        PolicyId(u32::try_from(policies.len() - 1).unwrap_or(u32::MAX))
    }

    /// Adds a site. A member that an earlier site has stays there.
    ///
    /// # Errors
    /// The members (by index) that were not taken, as they are there already or too many.
    pub fn site(&mut self, site: Site) -> Result<(), Vec<(usize, Option<String>)>> {
        let number = u32::try_from(self.table.sites.len()).unwrap_or(u32::MAX);
        let mut refused = Vec::new();
        for (index, member) in site.members.iter().enumerate() {
            if let Err(other) = self.table.members.add(member, number) {
                let name = |other: u32| match self.table.sites.get(other as usize) {
                    Some(earlier) => earlier.name.clone(),
                    None => site.name.clone(),
                };
                refused.push((index, other.map(name)));
            }
        }
        self.table.sites.push(site);
        if refused.is_empty() { Ok(()) } else { Err(refused) }
    }

    /// Grants `policy` to whom `pattern` means.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn grant(&mut self, pattern: &UserPattern, policy: PolicyId, at: At) -> Result<(), GrantError> {
        self.table.grants.add(pattern, (policy, at)).map_err(|earlier| match earlier {
            Some((_, at)) => GrantError::Twice(at),
            None => GrantError::TooManyGlobs,
        })
    }

    /// Adds a partner with those of its domains that no earlier partner has.
    ///
    /// # Errors
    /// The domains that were not taken, each with the row that has it.
    pub fn partner(&mut self, partner: Partner) -> Result<(), Vec<(Domain, At)>> {
        let table = &mut self.table;
        let number = u32::try_from(table.partners.len()).unwrap_or(u32::MAX);
        let mut refused = Vec::new();
        for domain in partner.domains() {
            match table.domains.entry(domain.as_str().into()) {
                Entry::Occupied(entry) => {
                    let earlier = table.partners.get(entry.get().partner as usize);
                    refused.push((domain.clone(), earlier.map_or(partner.at, |earlier| earlier.at)));
                }
                Entry::Vacant(entry) => {
                    let blocked = table.blocked.domains.get(domain.as_str()).copied();
                    entry.insert(Listed { partner: number, blocked });
                }
            }
        }
        table.partners.push(Arc::new(partner));
        if refused.is_empty() { Ok(()) } else { Err(refused) }
    }

    /// Blocks a person, a domain or the subdomains of one.
    ///
    /// # Errors
    /// The row that blocks the same already.
    pub fn block(&mut self, block: &Block, at: At) -> Result<(), At> {
        let blocked = &mut self.table.blocked;
        let (map, key) = match block {
            Block::Address(jid) => (&mut blocked.addresses, jid.bare_str()),
            Block::Domain(domain) => (&mut blocked.domains, domain.as_str()),
            Block::Under(domain) => (&mut blocked.under, domain.as_str()),
        };
        match map.entry(key.into()) {
            Entry::Occupied(entry) => return Err(*entry.get()),
            Entry::Vacant(entry) => {
                entry.insert(at);
            }
        }
        if let Block::Domain(domain) = block
            && let Some(listed) = self.table.domains.get_mut(domain.as_str())
        {
            listed.blocked = Some(at);
        }
        Ok(())
    }

    /// The row of the partner entry for `domain`, as far as it was added.
    pub fn partner_at(&self, domain: &str) -> Option<At> {
        self.table.partner(domain).map(|partner| partner.at)
    }

    /// The listed domains that are proper subdomains of `parent`, in alphabetical order.
    pub fn listed_under(&self, parent: &str) -> Vec<&str> {
        let domains = self.table.domains.keys().map(AsRef::as_ref);
        let mut under: Vec<&str> = domains.filter(|domain| is_under(domain, parent)).collect();
        under.sort_unstable();
        under
    }

    /// The table.
    pub fn build(mut self, generation: u64) -> Table {
        self.table.generation = generation;
        self.table.grants.users.shrink_to_fit();
        self.table
    }
}
