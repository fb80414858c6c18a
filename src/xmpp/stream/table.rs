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
    match (phase, role) {
        (Phase::Handshake | Phase::Closed, _) => Rule::Drop,
        (Phase::Header, _) => before_header(input),
        (Phase::Closing, role) => after_close(role, input),
        (_, Role::Receiving) => receiving(phase, input),
        (_, Role::Initiating) => initiating(phase, input),
    }
}

/// The framer yields nothing but a header or an error before the header.
fn before_header(input: Input) -> Rule {
    match input {
        Input::Header | Input::Footer => Rule::Take,
        Input::Stanza => Rule::Refuse(StreamCondition::NotAuthorized),
        Input::Features
        | Input::StartTls
        | Input::Proceed
        | Input::TlsFailure
        | Input::Auth
        | Input::SaslReply
        | Input::Challenge
        | Input::Success
        | Input::SaslFailure
        | Input::ResultAsk
        | Input::ResultAnswer
        | Input::VerifyAsk
        | Input::VerifyAnswer
        | Input::StreamError
        | Input::WrongNamespace
        | Input::Prefixed
        | Input::Foreign => Rule::Refuse(StreamCondition::NotWellFormed),
    }
}

/// RFC 6120 §4.4: what is on its way when our close tag leaves is still processed, not answered.
fn after_close(role: Role, input: Input) -> Rule {
    match input {
        Input::Footer | Input::StreamError => Rule::Take,
        Input::Stanza if role == Role::Receiving => Rule::Take,
        Input::Stanza
        | Input::Header
        | Input::Features
        | Input::StartTls
        | Input::Proceed
        | Input::TlsFailure
        | Input::Auth
        | Input::SaslReply
        | Input::Challenge
        | Input::Success
        | Input::SaslFailure
        | Input::ResultAsk
        | Input::ResultAnswer
        | Input::VerifyAsk
        | Input::VerifyAnswer
        | Input::WrongNamespace
        | Input::Prefixed
        | Input::Foreign => Rule::Drop,
    }
}

/// Clear, Secure and Up.
fn receiving(phase: Phase, input: Input) -> Rule {
    use Rule::{Drop, Refuse, Take};
    use StreamCondition as C;
    match input {
        Input::Footer | Input::StreamError => Take,
        Input::StartTls | Input::ResultAsk | Input::VerifyAsk => Take,
        // Nothing was asked on a stream that others opened (XEP-0220 §3.1).
        Input::ResultAnswer | Input::VerifyAnswer => Drop,
        Input::Auth | Input::SaslReply if phase == Phase::Secure => Take,
        Input::Auth | Input::SaslReply => Refuse(C::PolicyViolation),
        Input::Stanza if phase == Phase::Up => Take,
        Input::Stanza => Refuse(C::NotAuthorized),
        Input::Header => Refuse(C::NotWellFormed),
        Input::WrongNamespace => Refuse(C::InvalidNamespace),
        Input::Prefixed => Refuse(C::BadNamespacePrefix),
        Input::Features
        | Input::Proceed
        | Input::TlsFailure
        | Input::Challenge
        | Input::Success
        | Input::SaslFailure
        | Input::Foreign => Refuse(C::UnsupportedStanzaType),
    }
}

/// Features, Proceed, Success, Result, Ready and Up.
fn initiating(phase: Phase, input: Input) -> Rule {
    use Rule::{Drop, Refuse, Take};
    use StreamCondition as C;
    let in_any = |phases: &[Phase], or: Rule| if phases.contains(&phase) { Take } else { or };
    let unsupported = Refuse(C::UnsupportedStanzaType);
    match input {
        Input::Footer | Input::StreamError => Take,
        // RFC 6120 §4.3.5: features may be repeated once negotiation is complete.
        Input::Features if matches!(phase, Phase::Result | Phase::Ready | Phase::Up) => Drop,
        Input::Features => in_any(&[Phase::Features], unsupported),
        Input::Proceed | Input::TlsFailure => in_any(&[Phase::Proceed], unsupported),
        Input::Success | Input::SaslFailure => in_any(&[Phase::Success], unsupported),
        // Elsewhere unsolicited (XEP-0220 §3.1).
        Input::ResultAnswer => in_any(&[Phase::Result, Phase::Up], Drop),
        Input::VerifyAnswer => in_any(&[Phase::Ready, Phase::Up], Drop),
        // The peer takes our stream for its own.
        Input::ResultAsk | Input::VerifyAsk => Drop,
        // Stanzas go one way on a stream (RFC 6120 §4.5).
        Input::Stanza => Refuse(C::NotAuthorized),
        Input::Header => Refuse(C::NotWellFormed),
        Input::WrongNamespace => Refuse(C::InvalidNamespace),
        Input::Prefixed => Refuse(C::BadNamespacePrefix),
        Input::StartTls | Input::Auth | Input::SaslReply | Input::Challenge | Input::Foreign => unsupported,
    }
}
