//! Sockets, TLS and DNS: the only room that waits, and the only one that reads a clock.

pub mod pem;
pub mod tls;
