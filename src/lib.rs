//! stoxd: a federation gateway between XMPP and SIP.
#![forbid(unsafe_code)]

pub mod addr;
pub mod admin;
pub mod body;
pub mod config;
pub mod crossing;
pub mod ids;
pub mod now;
pub mod policy;
