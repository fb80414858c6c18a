//! Makes a [`Table`] of rows, and says what stands in a row's way.

use super::hash::Map;
use super::matcher::{MAX_GLOBS, Matcher};
use super::partner::Partner;
use super::rules::{At, Policy, Scope, UserPattern, is_under};
use super::table::{Block, Blocked, BlockedRow, Files, Listed, PolicyId, Site, Table};
use crate::addr::Domain;
use std::collections::hash_map::Entry;
use std::sync::Arc;

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

/// Builds a [`Table`] row by row; each method says what stands in the way of the row.
#[derive(Debug)]
pub struct TableBuilder {
    table: Table,
}

impl TableBuilder {
    pub(super) fn new(files: Files) -> Self {
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
                blocks: Vec::new(),
                unverifiable: Vec::new(),
            },
        }
    }

    /// The users of `domains`, which are ours, reach only whoever has them as a contact.
    pub fn unverifiable(&mut self, domains: Vec<Domain>) {
        self.table.unverifiable = domains;
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

    /// Makes room for `more` grants.
    pub fn reserve_grants(&mut self, more: usize) {
        self.table.grants.reserve(more);
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
                    entry.insert(Listed { partner: number, blocked, people: false });
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
    pub fn block(&mut self, row: BlockedRow) -> Result<(), At> {
        let (blocked, at) = (&mut self.table.blocked, row.at);
        let (map, key) = match &row.block {
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
        if let Block::Domain(domain) = &row.block
            && let Some(listed) = self.table.domains.get_mut(domain.as_str())
        {
            listed.blocked = Some(at);
        }
        self.table.blocks.push(row);
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
        for address in self.table.blocked.addresses.keys() {
            let domain = address.split_once('@').map_or(address.as_ref(), |(_, domain)| domain);
            if let Some(listed) = self.table.domains.get_mut(domain) {
                listed.people = true;
            }
        }
        self.table.grants.shrink();
        self.table
    }
}
