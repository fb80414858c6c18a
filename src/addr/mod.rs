//! Addresses.

pub mod uri;

/// Stand-in until the room is built.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Jid(pub String);
