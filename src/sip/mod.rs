//! SIP: transactions, dialogs, locating, digest.

pub mod dialog;
pub mod digest;
pub mod locate;
pub mod merged;
pub mod txn;
