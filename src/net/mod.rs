//! Sockets, TLS and DNS: the only room that waits, and the only one that reads a clock.
//!
//! | file | owns |
//! |---|---|
//! | [`clock`] | both clocks |
//! | [`shard`] | the thread that owns sockets and gateway: performs effects, writes once a turn |
//! | [`xmpp_conn`], [`sip_conn`], [`msrp_conn`], [`udp`] | the driver of one stream, link, MSRP connection, UDP socket |
//! | [`msrp_sorter`] | whose the frames of an MSRP connection are, among several shards |
//! | [`keeper`] | what is to be kept: where it goes, and how the answers come back |
//! | `conn` | what streams and links have in common: waking, reading, the end |
//! | [`wire`] | one TCP connection, plain or TLS: what was written, and what not yet |
//! | [`listener`] | listening sockets and limits by address |
//! | [`edge`] | the thread for handshakes, DNS and dialling |
//! | [`dialer`] | finds servers, has TLS configurations at hand, judges certificates |
//! | [`tls`] | certificates, handshakes, judgement |
//! | [`crl`] | revocation lists, fetched over HTTP |
//! | [`seen`] | what TLS showed of a peer, for operators |
//! | [`probe`] | attempts that are made to learn whether they work |
//! | [`dns`], [`srv`], [`xmpp_locate`] | questions to the DNS, and where a partner's servers are |

pub mod clock;
mod conn;
pub mod crl;
pub mod dialer;
pub mod dns;
pub mod edge;
pub mod keeper;
pub mod listener;
pub mod msrp_conn;
pub mod msrp_sorter;
pub mod probe;
pub mod seen;
pub mod shard;
pub mod sip_conn;
pub mod srv;
pub mod tls;
pub mod udp;
pub mod wire;
pub mod xmpp_conn;
pub mod xmpp_locate;
