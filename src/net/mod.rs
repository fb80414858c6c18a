//! Sockets, TLS and DNS: the only room that waits, and the only one that reads a clock.

pub mod dns;
pub mod pem;
pub mod srv;
pub mod tls;
pub mod xmpp_locate;
