//! stoxd: a federation gateway between XMPP and SIP.
#![forbid(unsafe_code)]

pub mod addr;
pub mod crossing;
pub mod ids;
pub mod now;
pub mod sip;
pub mod xml;
