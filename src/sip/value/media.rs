//! Media types of Content-Type and Accept (RFC 3261 §20.1, §20.15).

use super::{Cursor, Malformed, Params, unquote};
use std::borrow::Cow;

/// A media type or media range with its parameters, which keep their quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaType<'a> {
    /// All of it, as it was spelt.
    pub raw: &'a str,
    /// `text` of `text/plain`, as it was spelt; `*` in a range.
    pub kind: &'a str,
    /// `plain` of `text/plain`, as it was spelt; `*` in a range.
    pub subtype: &'a str,
    /// The parameters.
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Parses `text`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(text);
        let kind = cursor.token()?;
        cursor.space();
        cursor.expect(b'/')?;
        cursor.space();
        let subtype = cursor.token()?;
        let params = Params::parse(cursor.rest())?;
        Ok(Self { raw: text, kind, subtype, params })
    }

    /// Whether this is `kind/subtype`, in any case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// Whether this range takes in `kind/subtype`; `q` is not looked at.
    pub fn takes(&self, kind: &str, subtype: &str) -> bool {
        let part = |range: &str, one: &str| range == "*" || range.eq_ignore_ascii_case(one);
        part(self.kind, kind) && part(self.subtype, subtype)
    }

    /// The value of the parameter `name` without its quotes.
    pub fn param(&self, name: &str) -> Option<Cow<'a, str>> {
        self.params.value(name).map(unquote)
    }
}
