//! SIP: the wire layer, and the machines above it.
//!
//! The way of a message in: [`frame`] cuts it from a stream or a datagram and unfolds its lines in
//! place, [`lex`] splits start line and headers, [`message`] checks what every message needs and
//! gives typed, borrowed access, with the values of [`value`], the names of [`name`] and the
//! methods of [`method`]. The way out is [`mod@write`] alone: whatever a value holds, it stays one
//! line. [`status`] knows the reason phrases.
//!
//! Above it: [`txn`] transactions, [`dialog`] dialogs, [`subscription`] presence subscriptions and
//! [`session`] sessions in both roles, [`pager`] the MESSAGE that we send, [`uas`] what is checked in a request, [`locate`] where
//! servers are, [`digest`] logging in, [`mask`] what may be seen of a message, [`link`] and [`merged`] connections and loops.
//!
//! The wire layer is RFC 3261 §7, §18.3, §19, §20 and §25, held to RFC 4475. It has no sockets, no
//! clock and no state beyond the bytes of the message that is not yet complete. Of the crate `rsip`
//! only status codes are used here, never its parser.

pub mod diagnostics;
pub mod dialog;
pub mod digest;
pub mod frame;
pub mod lex;
pub mod link;
pub mod locate;
pub mod mask;
pub mod merged;
pub mod message;
pub mod method;
pub mod name;
pub mod pager;
pub mod session;
pub mod status;
pub mod subscription;
pub mod txn;
pub mod uas;
pub mod value;
pub mod write;

use crate::addr::uri::UriError;
use name::Name;

/// What is wrong with received bytes. [`Fault::status`] says how a request that has it is answered;
/// a response that has it is dropped (RFC 3261 §18.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The first line is no line of SIP. Not worth an answer.
    #[error("the first line is not SIP")]
    NotSip,
    /// A carriage return or line feed stands alone.
    #[error("a bare carriage return or line feed in the header block")]
    BareLineEnd,
    /// The header block is longer than the limit.
    #[error("the header block is too long")]
    HeadTooLong,
    /// A line is longer than the limit.
    #[error("a header line is too long")]
    LineTooLong,
    /// There are more headers than the limit.
    #[error("too many headers")]
    TooManyHeaders,
    /// No empty line ends the header block.
    #[error("no empty line after the headers")]
    NoHeadEnd,
    /// A Content-Length that is no plain number, or a second one.
    #[error("Content-Length is not exactly one number")]
    ContentLength,
    /// No Content-Length on a stream (RFC 3261 §18.3).
    #[error("no Content-Length on a stream")]
    LengthMissing,
    /// The body is longer than the limit.
    #[error("the body is too long")]
    BodyTooLong,
    /// Fewer octets than Content-Length says.
    #[error("the body is shorter than Content-Length")]
    BodyShort,
    /// The header block is not UTF-8.
    #[error("the header block is not UTF-8")]
    NotUtf8,
    /// A control character outside of a quoted pair.
    #[error("a control character in the header block")]
    Control,
    /// A folded line where none may be.
    #[error("a folded line where none may be")]
    Folded,
    /// The request or status line does not follow RFC 3261 §7.1 or §7.2.
    #[error("malformed start line")]
    StartLine,
    /// A version of SIP other than 2.0.
    #[error("not SIP version 2.0")]
    Version,
    /// A status code outside of 100 to 699.
    #[error("status code out of range")]
    StatusCode,
    /// The Request-URI is no URI, or has headers.
    #[error("malformed Request-URI: {0}")]
    RequestUri(UriError),
    /// A line without a header name.
    #[error("malformed header line")]
    HeaderLine,
    /// A header that every message needs is not there.
    #[error("no {0} header")]
    Missing(Name),
    /// A header that may be there once is there twice.
    #[error("more than one {0} header")]
    Twice(Name),
    /// The value of a header is malformed.
    #[error("malformed {0} header")]
    Value(Name),
    /// CSeq names another method than the request line.
    #[error("the method of CSeq is not that of the request")]
    MethodMismatch,
    /// The same for a method that nobody here knows (RFC 4475 §3.1.2.18 prefers 501).
    #[error("the method of CSeq is not that of the unknown request")]
    UnknownMethodMismatch,
}

impl Fault {
    /// The status code that answers a request with this fault.
    pub fn status(self) -> u16 {
        match self {
            Self::Version => 505,
            Self::UnknownMethodMismatch => 501,
            Self::BodyTooLong => 413,
            Self::HeadTooLong | Self::LineTooLong | Self::TooManyHeaders => 513,
            Self::NotSip
            | Self::BareLineEnd
            | Self::NoHeadEnd
            | Self::ContentLength
            | Self::LengthMissing
            | Self::BodyShort
            | Self::NotUtf8
            | Self::Control
            | Self::Folded
            | Self::StartLine
            | Self::StatusCode
            | Self::RequestUri(_)
            | Self::HeaderLine
            | Self::Missing(_)
            | Self::Twice(_)
            | Self::Value(_)
            | Self::MethodMismatch => 400,
        }
    }
}

#[cfg(test)]
mod tests;
