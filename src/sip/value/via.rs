//! Via (RFC 3261 §20.42, RFC 3581 §3).

use super::super::lex::{digits, is_token};
use super::{Cursor, Malformed, Params};
use crate::addr::uri::is_host;

/// One value of Via.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// What stands before the parameters, as it was spelt.
    pub sent: &'a str,
    /// The transport: any token, in any case.
    pub transport: &'a str,
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
        let transport = cursor.token()?;
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
