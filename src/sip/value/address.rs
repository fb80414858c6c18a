//! Addresses: `(name-addr / addr-spec) *(SEMI param)` of From, To, Contact, Route and their like
//! (RFC 3261 §20.10, §25.1).

use super::params::unquote;
use super::{Cursor, Malformed, Params};
use crate::addr::uri::Uri;
use std::borrow::Cow;

/// A URI with a display name and header parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name as it was spelt, with its quotes; empty if there is none.
    pub spelt: &'a str,
    /// The URI as it was spelt, without angle brackets.
    pub uri: &'a str,
    /// The same in its parts.
    pub address: Uri<'a>,
    /// The parameters of the header, not of the URI.
    pub params: Params<'a>,
    /// The value of the parameter `tag`.
    pub tag: Option<&'a str>,
}

impl<'a> NameAddr<'a> {
    /// Parses `text`.
    ///
    /// # Errors
    /// [`Malformed`], also if a URI that has a comma, a question mark or a parameter of its own is
    /// not enclosed in angle brackets (RFC 3261 §20).
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(text);
        let (spelt, uri) = match display(&mut cursor)? {
            Some(spelt) => (spelt, cursor.until(b'>')?),
            None => {
                let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
                let uri = text.get(..end).unwrap_or_default();
                if uri.contains([',', '?']) {
                    return Err(Malformed);
                }
                cursor.at = end;
                ("", uri)
            }
        };
        let address = Uri::parse(uri).map_err(|_| Malformed)?;
        let mut tag = None;
        let params = Params::read(cursor.rest(), |name, value| {
            if name.eq_ignore_ascii_case("tag") {
                tag = Some(value.filter(|value| super::lex::is_token(value)).ok_or(Malformed)?);
            }
            Ok(())
        })?;
        Ok(Self { spelt, uri, address, params, tag })
    }

    /// The display name without its quotes.
    pub fn display(&self) -> Option<Cow<'a, str>> {
        (!self.spelt.is_empty()).then(|| unquote(self.spelt))
    }
}

/// Reads a display name and the `<` behind it; `None` and nothing read if there is no `<`.
fn display<'a>(cursor: &mut Cursor<'a>) -> Result<Option<&'a str>, Malformed> {
    if cursor.peek() == Some(b'"') {
        let spelt = cursor.quoted()?;
        cursor.space();
        cursor.expect(b'<')?;
        return Ok(Some(spelt));
    }
    let mut ahead = *cursor;
    // Tokens; white space before the '<' may be missing (RFC 4475 §3.1.1.6).
    while ahead.token().is_ok() {
        ahead.space();
    }
    let spelt = super::lex::trim(ahead.since(cursor.at));
    if !ahead.eat(b'<') {
        return Ok(None);
    }
    *cursor = ahead;
    Ok(Some(spelt))
}

/// One value of Contact (RFC 3261 §20.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contact<'a> {
    /// `*`
    Star,
    /// An address.
    Address(NameAddr<'a>),
}

impl<'a> Contact<'a> {
    /// Parses one value of the list.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        if text == "*" {
            return Ok(Self::Star);
        }
        NameAddr::parse(text).map(Self::Address)
    }
}
