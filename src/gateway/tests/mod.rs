//! The gateway in virtual time, without sockets: stanzas and requests in, octets out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bounds;
mod chaos;
mod custody;
mod dialback;
mod discovered;
mod failover;
mod hostile;
mod identity;
mod memory;
mod meter;
mod net;
mod policy;
mod presence;
mod realm;
mod sessions;
mod shards;
mod stop;
mod talk;
mod texts;
mod to_sip;
mod to_xmpp;
mod transcripts;
mod trial;
mod watched;
mod world;

pub(super) const ALICE: &str = "alice@contoso.example";
pub(super) const BOB: &str = "bob@contoso.example";
pub(super) const ROMEO: &str = "romeo@capulet.example";
