//! The state table of a stream: what each phase takes, drops or refuses, as data.
//!
//! ```text
//! receiving:   Header ─► Clear ─► Handshake ─► Header ─► Secure ─► Header ─► Up
//!                          └─ dialback ──────────────────► └─ dialback ────► ┘
//! initiating:  Header ─► Features ─► Proceed ─► Handshake ─► Header ─► Features
//!                                                  ├─► Success ─► Header ─► Features ─► Up
//!                                                  ├─► Result (dialback) ─────────────► ┘
//!                                                  └─► Ready (a stream for verification)
//! every phase: ─► Closing (close tag sent, the peer's awaited) ─► Closed
//! ```
//!
//! Direct TLS begins in Handshake (initiating), or goes there from an untouched Header (receiving).

use crate::xmpp::error::StreamCondition;

/// Who opened the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The peer did; stanzas come in.
    Receiving,
    /// We did; stanzas go out.
    Initiating,
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The peer's stream header is awaited: at the start, after TLS and after SASL.
    Header,
    /// Receiving, without TLS: features are sent, STARTTLS or dialback is awaited.
    Clear,
    /// Receiving, over TLS: features are sent, SASL or dialback is awaited.
    Secure,
    /// Initiating: the peer's features are awaited.
    Features,
    /// Initiating: `<starttls/>` is sent.
    Proceed,
    /// The driver does TLS; no XML goes either way.
    Handshake,
    /// Initiating: `<auth/>` is sent.
    Success,
    /// Initiating: the first `<db:result/>` is sent.
    Result,
    /// Initiating, a stream for verification: questions may be asked.
    Ready,
    /// At least one pair is proven.
    Up,
    /// Our close tag is sent, the peer's is awaited.
    Closing,
    /// It is over; only output is left to be written.
    Closed,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 12] = [
        Self::Header,
        Self::Clear,
        Self::Secure,
        Self::Features,
        Self::Proceed,
        Self::Handshake,
        Self::Success,
        Self::Result,
        Self::Ready,
        Self::Up,
        Self::Closing,
        Self::Closed,
    ];
}

/// What a peer can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A stream header.
    Header,
    /// `<stream:features/>`.
    Features,
    /// `<starttls/>`.
    StartTls,
    /// `<proceed/>`.
    Proceed,
    /// `<failure/>` of STARTTLS.
    TlsFailure,
    /// `<auth/>`.
    Auth,
    /// `<response/>` or `<abort/>`.
    SaslReply,
    /// `<challenge/>`.
    Challenge,
    /// `<success/>`.
    Success,
    /// `<failure/>` of SASL.
    SaslFailure,
    /// `<db:result/>` without a type: a key is offered.
    ResultAsk,
    /// `<db:result/>` with a type: an answer to a key.
    ResultAnswer,
    /// `<db:verify/>` without a type: a key is asked about.
    VerifyAsk,
    /// `<db:verify/>` with a type: an answer about a key.
    VerifyAnswer,
    /// message, presence or iq in the content namespace.
    Stanza,
    /// `<stream:error/>`.
    StreamError,
    /// A stanza in the content namespace of clients.
    WrongNamespace,
    /// An element of the content namespace with a prefix.
    Prefixed,
    /// Any other first-level element.
    Foreign,
    /// `</stream:stream>`.
    Footer,
}

impl Input {
    /// Every input.
    pub const ALL: [Self; 20] = [
        Self::Header,
        Self::Features,
        Self::StartTls,
        Self::Proceed,
        Self::TlsFailure,
        Self::Auth,
        Self::SaslReply,
        Self::Challenge,
        Self::Success,
        Self::SaslFailure,
        Self::ResultAsk,
        Self::ResultAnswer,
        Self::VerifyAsk,
        Self::VerifyAnswer,
        Self::Stanza,
        Self::StreamError,
        Self::WrongNamespace,
        Self::Prefixed,
        Self::Foreign,
        Self::Footer,
    ];
}

/// What happens to an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It is handled.
    Take,
    /// It is ignored: nothing is said and nothing changes.
    Drop,
    /// The stream ends with this error, and the input is not processed.
    Refuse(StreamCondition),
}

/// The table.
pub fn rule(role: Role, phase: Phase, input: Input) -> Rule {
    use Rule::{Drop, Refuse, Take};
    use StreamCondition as C;
    match phase {
        Phase::Handshake | Phase::Closed => return Drop,
        Phase::Closing => {
            return match input {
                Input::Footer | Input::StreamError => Take,
                // RFC 6120 §4.4: what is on its way after our close tag is still processed.
                Input::Stanza if role == Role::Receiving => Take,
                _ => Drop,
            };
        }
        Phase::Header => {
            return match input {
                Input::Header | Input::Footer => Take,
                Input::Stanza => Refuse(C::NotAuthorized),
                _ => Refuse(C::NotWellFormed),
            };
        }
        Phase::Clear
        | Phase::Secure
        | Phase::Features
        | Phase::Proceed
        | Phase::Success
        | Phase::Result
        | Phase::Ready
        | Phase::Up => {}
    }
    match input {
        Input::Footer | Input::StreamError => return Take,
        Input::Header => return Refuse(C::NotWellFormed),
        Input::WrongNamespace => return Refuse(C::InvalidNamespace),
        Input::Prefixed => return Refuse(C::BadNamespacePrefix),
        Input::Foreign => return Refuse(C::UnsupportedStanzaType),
        _ => {}
    }
    match role {
        Role::Receiving => match input {
            Input::Stanza if phase == Phase::Up => Take,
            Input::Stanza => Refuse(C::NotAuthorized),
            Input::StartTls => Take,
            Input::Auth | Input::SaslReply if phase == Phase::Secure => Take,
            Input::Auth | Input::SaslReply => Refuse(C::PolicyViolation),
            Input::ResultAsk | Input::VerifyAsk => Take,
            // Nothing was asked on a stream that others opened (XEP-0220 §3.1).
            Input::ResultAnswer | Input::VerifyAnswer => Drop,
            _ => Refuse(C::UnsupportedStanzaType),
        },
        Role::Initiating => match (phase, input) {
            // Stanzas go one way on a stream (RFC 6120 §4.5).
            (_, Input::Stanza) => Refuse(C::NotAuthorized),
            (Phase::Features, Input::Features) => Take,
            // RFC 6120 §4.3.5: features may be repeated once negotiation is complete.
            (Phase::Result | Phase::Ready | Phase::Up, Input::Features) => Drop,
            (Phase::Proceed, Input::Proceed | Input::TlsFailure) => Take,
            (Phase::Success, Input::Success | Input::SaslFailure) => Take,
            (Phase::Result | Phase::Up, Input::ResultAnswer) => Take,
            (Phase::Ready | Phase::Up, Input::VerifyAnswer) => Take,
            // Unsolicited, or a peer that takes our stream for its own (XEP-0220 §3.1).
            (_, Input::ResultAnswer | Input::VerifyAnswer | Input::ResultAsk | Input::VerifyAsk) => Drop,
            _ => Refuse(C::UnsupportedStanzaType),
        },
    }
}
