//! The gate: the one place where an item becomes [`Admitted`].
//!
//! [`Admitted`] has private fields and is made here alone, from an item whose sender is proven and
//! whose crossing is read from the item itself. Whoever takes an `Admitted<_>` needs no check.

use super::partner::Partner;
use super::rules::Policy;
use super::table::Table;
use crate::addr::Jid;
use crate::crossing::{Crosses, Verified};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Knows whom our users have added as contacts.
pub trait Contacts {
    /// Whether our user `user` has added `contact`. Both count as bare addresses.
    fn added(&self, user: &Jid, contact: &Jid) -> bool;
}

impl<F: Fn(&Jid, &Jid) -> bool> Contacts for F {
    fn added(&self, user: &Jid, contact: &Jid) -> bool {
        self(user, contact)
    }
}

/// Nobody has added anybody.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoContacts;

impl Contacts for NoContacts {
    fn added(&self, _user: &Jid, _contact: &Jid) -> bool {
        false
    }
}

/// Why an item may cross: the policy and the partner entry that decided.
#[derive(Clone, Debug)]
pub struct Grant {
    policy: Arc<Policy>,
    partner: Arc<Partner>,
    generation: u64,
}

impl Grant {
    pub(super) fn new(policy: Arc<Policy>, partner: Arc<Partner>, generation: u64) -> Self {
        Self { policy, partner, generation }
    }

    /// The policy that our user has.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The partner that the XMPP side's domain belongs to.
    pub fn partner(&self) -> &Partner {
        &self.partner
    }

    /// The table that decided. What lives longer than one crossing is judged again when
    /// [`Table::generation`] is another.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether `table` is the one that decided.
    pub fn is_of(&self, table: &Table) -> bool {
        self.generation == table.generation()
    }
}

/// Which gate was shut. For logs and metrics: what the sender is told does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The organisation's switch is off.
    FederationOff,
    /// No partner entry names the domain.
    Unlisted,
    /// The domain is blocked.
    DomainBlocked,
    /// The person is blocked.
    AddressBlocked,
    /// Our user's policy has `federation` off.
    PolicyFederation,
    /// Our user's policy has `xmpp` off.
    PolicyXmpp,
    /// The partner is public-unverified and our user has not added the contact.
    NotAdded,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::FederationOff,
        Self::Unlisted,
        Self::DomainBlocked,
        Self::AddressBlocked,
        Self::PolicyFederation,
        Self::PolicyXmpp,
        Self::NotAdded,
    ];

    /// One word for logs and as a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FederationOff => "federation-off",
            Self::Unlisted => "unlisted",
            Self::DomainBlocked => "domain-blocked",
            Self::AddressBlocked => "address-blocked",
            Self::PolicyFederation => "policy-federation",
            Self::PolicyXmpp => "policy-xmpp",
            Self::NotAdded => "not-added",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A verdict of no.
#[derive(Clone, Debug)]
pub struct Denial {
    /// The first gate that was shut.
    pub reason: Reason,
    /// Our user's policy, if it came to that.
    pub policy: Option<Arc<Policy>>,
}

impl From<Reason> for Denial {
    fn from(reason: Reason) -> Self {
        Self { reason, policy: None }
    }
}

/// An item that may cross.
#[derive(Debug)]
pub struct Admitted<T> {
    item: T,
    grant: Grant,
}

impl<T> Admitted<T> {
    /// Why it may cross.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The item and its grant, apart; they can't be joined again.
    pub fn into_parts(self) -> (T, Grant) {
        (self.item, self.grant)
    }

    /// The item alone.
    pub fn into_inner(self) -> T {
        self.item
    }
}

impl<T> Deref for Admitted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.item
    }
}

/// An item that may not cross, given back so that it can be answered.
#[derive(Debug)]
pub struct Refusal<T> {
    /// The item.
    pub item: T,
    /// The first gate that was shut.
    pub reason: Reason,
    /// Our user's policy, if it came to that: for the log.
    pub policy: Option<Arc<Policy>>,
}

impl Table {
    /// Judges `item` and makes it [`Admitted`] if all gates are open.
    ///
    /// # Errors
    /// The item with the reason.
    pub fn admit<T: Crosses>(
        &self,
        item: Verified<T>,
        contacts: &dyn Contacts,
    ) -> Result<Admitted<T>, Refusal<T>> {
        match self.judge(&item.crossing(), contacts) {
            Ok(grant) => Ok(Admitted { item: item.into_inner(), grant }),
            Err(Denial { reason, policy }) => Err(Refusal { item: item.into_inner(), reason, policy }),
        }
    }
}
