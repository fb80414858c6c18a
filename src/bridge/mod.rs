//! The bridge: what an item of one side is on the other, and who watches whom. Pure.
//!
//! | file | owns |
//! |---|---|
//! | [`errors`] | the one table between SIP status codes and XMPP conditions |
//! | [`to_sip`] | an XMPP message as a SIP MESSAGE |
//! | [`to_xmpp`] | a SIP MESSAGE as an XMPP message |
//! | [`typing`] | who is writing, both ways |
//! | [`receipts`] | delivery receipts and displayed markers as notifications, and back |
//! | [`beyond`] | what the mapping specifications say nothing about: edits, replies, reactions, files … |
//! | [`presence`] | presences as presence documents, and back |
//! | [`session`] | one conversation in session mode: a machine |
//! | [`watch`] | presence subscriptions: one machine for each direction |
//!
//! Nothing here decides whether an item may cross: the gateway calls it with what the gate has admitted.

pub mod beyond;
pub mod errors;
pub mod presence;
pub mod receipts;
pub mod session;
pub mod to_sip;
pub mod to_xmpp;
pub mod typing;
pub mod watch;
