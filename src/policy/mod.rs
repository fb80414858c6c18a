//! Who may talk to whom: the external access policy table and the gate that every item passes.
//!
//! | file | owns |
//! |---|---|
//! | [`rules`] | policies, scopes, user patterns, where a row stands |
//! | [`partner`] | XMPP federated partners and the negotiation matrix |
//! | [`table`] | [`Table`]: the rows as look-ups, the verdict; `matcher` and `builder` belong to it |
//! | `hash`, `texts` | a fast hash for texts that nobody hostile chose; a million of them in little memory |
//! | [`gate`] | [`Admitted`], [`Refusal`], [`Grant`]: the verdict as a value, minted here alone |
//! | [`explain`] | the same verdict in steps, for people |
//! | [`written`] | addresses as people write them |
//! | [`budget`] | how fast a partner and a sender may go |
//! | [`discovered`] | what a SIP domain may do that was found by DNS |
//!
//! The table judges canonical addresses only, so no spelling of one gets another verdict. It never
//! answers anybody: what a refused sender is told is one answer for all reasons, given elsewhere.

pub mod budget;
mod builder;
pub mod discovered;
pub mod explain;
pub mod gate;
mod hash;
mod matcher;
pub mod partner;
pub mod rules;
pub mod table;
#[cfg(test)]
mod tests;
mod texts;
pub mod written;

pub use budget::{Budget, Budgets, OverBudget};
pub use builder::{GrantError, TableBuilder};
pub use discovered::{Allowance, Discovered};
pub use explain::Explanation;
pub use gate::{Admitted, Contacts, Denial, Grant, NoContacts, Reason, Refusal};
pub use matcher::MAX_GLOBS;
pub use partner::{Need, Partner, PartnerKind, Proxy, Strength, Terms};
pub use rules::{At, Policy, Scope, UserPattern};
pub use table::{Block, BlockedRow, Table};
