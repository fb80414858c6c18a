//! stoxd: a federation gateway between XMPP and SIP.
#![forbid(unsafe_code)]

pub mod addr;
pub mod admin;
pub mod body;
pub mod bridge;
pub mod config;
pub mod crossing;
pub mod daemon;
pub mod gateway;
pub mod ids;
pub mod net;
pub mod now;
pub mod policy;
pub mod sip;
pub mod xml;
pub mod xmpp;
