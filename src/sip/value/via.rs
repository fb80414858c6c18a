//! Via (RFC 3261 §20.42, RFC 3581 §3).

use super::super::lex::{digits, is_token};
use super::{Cursor, Malformed, Params};
use crate::addr::uri::is_host;

/// The transport of a Via, in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport<'a> {
    /// `UDP`
    Udp,
    /// `TCP`
    Tcp,
    /// `TLS`
    Tls,
    /// Any other token, as it was spelt.
    Other(&'a str),
}

impl<'a> Transport<'a> {
    fn of(text: &'a str) -> Self {
        let known = [("TLS", Self::Tls), ("TCP", Self::Tcp), ("UDP", Self::Udp)];
        let found = known.iter().find(|(known, _)| known.eq_ignore_ascii_case(text));
        found.map_or(Self::Other(text), |(_, transport)| *transport)
    }

    /// The transport as it stands on the wire.
    pub fn as_str(&self) -> &'a str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Other(other) => other,
        }
    }
}

/// One value of Via.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// What stands before the parameters, as it was spelt.
    pub sent: &'a str,
    /// The transport.
    pub transport: Transport<'a>,
    /// The host of `sent-by`, an IPv6 reference with its brackets.
    pub host: &'a str,
    /// The port of `sent-by`.
    pub port: Option<u16>,
    /// All parameters.
    pub params: Params<'a>,
    /// `branch`
    pub branch: Option<&'a str>,
    /// `rport`: `Some(None)` is a request to fill it in.
    pub rport: Option<Option<u16>>,
    /// `received`, as it was spelt.
    pub received: Option<&'a str>,
}

/// What the branches of RFC 3261 start with.
const COOKIE: &str = "z9hG4bK";

impl<'a> Via<'a> {
    /// Parses one value of the list.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(text);
        for _ in 0..2 {
            cursor.token()?;
            cursor.space();
            cursor.expect(b'/')?;
            cursor.space();
        }
        let transport = Transport::of(cursor.token()?);
        if !cursor.space() {
            return Err(Malformed);
        }
        let host = host(&mut cursor)?;
        let mut sent = cursor.at;
        cursor.space();
        let mut port = None;
        if cursor.eat(b':') {
            cursor.space();
            let number = digits(cursor.token()?).and_then(|number| u16::try_from(number).ok());
            port = Some(number.ok_or(Malformed)?);
            sent = cursor.at;
        }
        let sent = text.get(..sent).unwrap_or_default();
        let (mut branch, mut rport, mut received) = (None, None, None);
        let params = Params::read(cursor.rest(), |name, value| {
            if name.eq_ignore_ascii_case("branch") {
                branch = Some(value.filter(|value| is_token(value)).ok_or(Malformed)?);
            } else if name.eq_ignore_ascii_case("rport") {
                rport = Some(match value {
                    Some(value) => {
                        Some(digits(value).and_then(|port| u16::try_from(port).ok()).ok_or(Malformed)?)
                    }
                    None => None,
                });
            } else if name.eq_ignore_ascii_case("received") {
                received = value;
            }
            Ok(())
        })?;
        Ok(Self { sent, transport, host, port, params, branch, rport, received })
    }

    /// The branch without its magic cookie; `None` for a branch of RFC 2543 or an empty one
    /// (RFC 4475 §3.2.1).
    pub fn branch_id(&self) -> Option<&'a str> {
        let (cookie, id) = self.branch?.split_at_checked(COOKIE.len())?;
        (cookie.eq_ignore_ascii_case(COOKIE) && !id.is_empty()).then_some(id)
    }
}

fn host<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Malformed> {
    let start = cursor.at;
    if cursor.peek() == Some(b'[') {
        cursor.until(b']')?;
    } else {
        let end = |b: u8| matches!(b, b':' | b';' | b' ' | b'\t');
        let rest = cursor.rest().bytes();
        cursor.at += rest.clone().position(end).unwrap_or(rest.len());
    }
    let host = cursor.since(start);
    // COMPAT Windows: machine names may have an underscore, and this one is no more than a hint.
    let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let loose = host.contains('_') && host.bytes().all(name);
    if is_host(host) || loose { Ok(host) } else { Err(Malformed) }
}
