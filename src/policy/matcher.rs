//! From a user to the row that covers it.

use super::hash::Map;
use super::rules::{Glob, UserPattern};
use super::texts::Texts;
use crate::addr::Jid;
use std::borrow::Cow;
use std::collections::hash_map::Entry;

/// Patterns with stars that grants or sites may have; each costs every look-up that finds no user.
pub const MAX_GLOBS: usize = 100;

/// Users by address, by domain, and by the patterns that are left: a user beats a pattern, and the
/// first pattern of the file beats the next.
#[derive(Debug)]
pub(super) struct Matcher<V> {
    users: Texts<V>,
    domains: Map<(u32, V)>,
    globs: Vec<(u32, Glob, V)>,
    next: u32,
}

impl<V: Copy> Matcher<V> {
    /// Gives back what growing left over.
    pub(super) fn shrink(&mut self) {
        self.users.shrink();
    }

    /// Makes room for `more` users.
    pub(super) fn reserve(&mut self, more: usize) {
        self.users.reserve(more);
    }

    pub(super) fn new() -> Self {
        Self { users: Texts::new(), domains: Map::default(), globs: Vec::new(), next: 0 }
    }

    /// Adds a row; refused with the row that has the pattern already, or with none if there are
    /// [`MAX_GLOBS`].
    pub(super) fn add(&mut self, pattern: &UserPattern, value: V) -> Result<(), Option<V>> {
        let order = self.next;
        self.next = self.next.saturating_add(1);
        match pattern {
            UserPattern::User(jid) => self.users.add(jid.bare_str(), value).map_err(Some)?,
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

    /// The row that covers `user`.
    pub(super) fn find(&self, user: &Jid) -> Option<V> {
        self.find_how(user).map(|(value, _)| value)
    }

    /// What the rows say.
    pub(super) fn values(&self) -> impl Iterator<Item = V> {
        let domains = self.domains.values().map(|(_, value)| *value);
        self.users.values().chain(domains).chain(self.globs.iter().map(|(_, _, value)| *value))
    }

    /// The rows, in no order that means anything: a pattern as it is written, and what it says.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Cow<'_, str>, V)> {
        let users = self.users.rows().map(|(user, value)| (Cow::Borrowed(user), value));
        let domains = self.domains.iter().map(|(domain, (_, value))| (format!("*@{domain}").into(), *value));
        let globs = self
            .globs
            .iter()
            .map(|(_, glob, value)| (UserPattern::Glob(glob.clone()).to_string().into(), *value));
        users.chain(domains).chain(globs)
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.users.len() + self.domains.len() + self.globs.len()
    }

    /// The row that covers `user`, and by what.
    pub(super) fn find_how(&self, user: &Jid) -> Option<(V, How<'_>)> {
        user.local()?;
        if let Some(value) = self.users.get(user.bare_str()) {
            return Some((value, How::User));
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
pub(super) enum How<'m> {
    User,
    Domain,
    Glob(&'m Glob),
}
