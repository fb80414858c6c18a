//! Request methods. They are case-sensitive, and one that nobody knows is no error here: the agent
//! answers 405 or 501.

use super::lex::is_token;
use std::fmt;

/// A request method (RFC 3261 §7.1 and the RFCs of its extensions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method<'a> {
    /// RFC 3428.
    Message,
    /// RFC 3261 §11.
    Options,
    /// RFC 3261 §13.
    Invite,
    /// RFC 3261 §13.
    Ack,
    /// RFC 3261 §9.
    Cancel,
    /// RFC 3261 §15.
    Bye,
    /// RFC 6665.
    Subscribe,
    /// RFC 6665.
    Notify,
    /// RFC 6086.
    Info,
    /// RFC 3261 §10.
    Register,
    /// RFC 3903.
    Publish,
    /// RFC 3515.
    Refer,
    /// RFC 3311.
    Update,
    /// RFC 3262.
    Prack,
    /// Any other token, as it was spelt.
    Other(&'a str),
}

impl<'a> Method<'a> {
    /// The method that `text` is; `None` if it is no token.
    pub fn parse(text: &'a str) -> Option<Self> {
        Some(match text {
            "MESSAGE" => Self::Message,
            "OPTIONS" => Self::Options,
            "INVITE" => Self::Invite,
            "ACK" => Self::Ack,
            "CANCEL" => Self::Cancel,
            "BYE" => Self::Bye,
            "SUBSCRIBE" => Self::Subscribe,
            "NOTIFY" => Self::Notify,
            "INFO" => Self::Info,
            "REGISTER" => Self::Register,
            "PUBLISH" => Self::Publish,
            "REFER" => Self::Refer,
            "UPDATE" => Self::Update,
            "PRACK" => Self::Prack,
            other if is_token(other) => Self::Other(other),
            _ => return None,
        })
    }

    /// The method as it stands on the wire.
    pub fn as_str(&self) -> &'a str {
        match self {
            Self::Message => "MESSAGE",
            Self::Options => "OPTIONS",
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Cancel => "CANCEL",
            Self::Bye => "BYE",
            Self::Subscribe => "SUBSCRIBE",
            Self::Notify => "NOTIFY",
            Self::Info => "INFO",
            Self::Register => "REGISTER",
            Self::Publish => "PUBLISH",
            Self::Refer => "REFER",
            Self::Update => "UPDATE",
            Self::Prack => "PRACK",
            Self::Other(other) => other,
        }
    }
}

impl fmt::Display for Method<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
