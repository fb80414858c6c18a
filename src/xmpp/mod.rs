//! XMPP between servers (RFC 6120, RFC 6121): streams and their negotiation, stanzas, errors, and the
//! queries that a server must answer. No socket, no clock, no `await`.
//!
//! | file | owns |
//! |---|---|
//! | [`stream`] | [`Stream`]: one XML stream in either role, octets in, octets and events out |
//! | [`terms`] | what a stream asks of others: [`Realm`], [`PeerIdentity`]; [`Terms`] and what they allow |
//! | [`dialback`] | keys, questions and answers of Server Dialback (XEP-0220, XEP-0185) |
//! | [`sasl`] | SASL EXTERNAL (RFC 6120 §6, XEP-0178) |
//! | [`stanza`] | [`Stanza`] and [`Iq`]: addressed, typed stanzas |
//! | [`iq`] | the answers that a server owes: disco, ping, version, or an error |
//! | [`error`] | the conditions of stanza errors and stream errors, their writers and readers |
//! | [`settings`] | limits and timeouts |
//! | [`ns`] | namespace names |
//!
//! Streams are one-way (RFC 6120 §4.5): what comes in on a receiving stream is answered on one that
//! we initiate. A stanza leaves this room as [`crate::crossing::Verified`] only if the stream has
//! proven its sender domain for the target domain.

pub mod dialback;
pub mod error;
pub mod iq;
pub mod ns;
pub mod sasl;
pub mod settings;
pub mod stanza;
pub mod stream;
pub mod terms;

pub use dialback::{Outcome, Verify, VerifyAnswer};
pub use error::{Condition, ErrorType, StanzaError, StreamCondition, StreamError};
pub use settings::Settings;
pub use stanza::{Iq, Misaddressed, Stanza, StanzaKind};
pub use stream::{
    DownReason, Features, PackedIq, PackedStanza, Purpose, SendError, Stream, StreamEvent, TlsMode,
};
pub use terms::{Auth, CertFault, CertVerdict, Need, Pair, PeerIdentity, Realm, Refused, Terms, Ways};

/// The number of a stream, given by whoever owns it; it goes back and forth in questions and answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);
