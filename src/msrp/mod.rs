//! The Message Session Relay Protocol (RFC 4975, RFC 6135), without I/O: octets and time in, octets and
//! events out.
//!
//! | file | owns |
//! |---|---|
//! | [`uri`] | MSRP URIs and how they are compared |
//! | [`frame`] | octets to requests and responses |
//! | [`head`] | start lines and headers, read and written |
//! | [`assembly`] | messages from their chunks |

pub mod assembly;
pub mod frame;
pub mod head;
pub mod uri;
