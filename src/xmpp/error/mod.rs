//! Error conditions of XMPP: of stanzas, which one item survives, and of streams, which none does.
//!
//! | file | owns |
//! |---|---|
//! | [`stanza`] | the 22 stanza error conditions (RFC 6120 §8.3.3), error stanzas out and in |
//! | [`stream`] | the stream error conditions (RFC 6120 §4.9.3), stream errors out and in |

pub mod stanza;
pub mod stream;

pub use stanza::{Condition, ErrorType, StanzaError, read_error, write_error};
pub use stream::{StreamCondition, StreamError, TooBig};
