//! The binary as operators meet it: verbs, changes, exit codes, start, reload, stop, store, limits, journal, unit file.
//!
//! Each test has a folder, and an address of 127.0.0.0/8 of its own. Certificates are made by
//! `certs/make-test-ca`; a test that needs a program which is not there says SKIP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "cli/cert.rs"]
mod cert;
#[path = "cli/cert_former.rs"]
mod cert_former;
#[path = "cli/cert_live.rs"]
mod cert_live;
#[path = "cli/cert_sides.rs"]
mod cert_sides;
#[path = "cli/changes.rs"]
mod changes;
#[path = "cli/check.rs"]
mod check;
#[path = "cli/claims.rs"]
mod claims;
#[path = "cli/daemon.rs"]
mod daemon;
#[path = "cli/hostile.rs"]
mod hostile;
#[path = "cli/journal.rs"]
mod journal;
#[path = "cli/limits.rs"]
mod limits;
#[path = "cli/observe.rs"]
mod observe;
#[path = "cli/odd.rs"]
mod odd;
#[path = "cli/partners.rs"]
mod partners;
#[path = "cli/peers_tls.rs"]
mod peers_tls;
#[path = "cli/policies.rs"]
mod policies;
#[path = "cli/reload.rs"]
mod reload;
#[path = "cli/rig.rs"]
mod rig;
#[path = "cli/store.rs"]
mod store;
#[path = "cli/unit.rs"]
mod unit;
#[path = "cli/verbs.rs"]
mod verbs;
#[path = "cli/why.rs"]
mod why;
