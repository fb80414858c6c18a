//! Parameters after a value: `*(SEMI generic-param)` of RFC 3261 §25.1.

use super::super::lex::VALUE;
use super::{Cursor, Malformed};
use std::borrow::Cow;

/// Most parameters of one value.
const MAX_PARAMS: usize = 64;

/// So many names are remembered, beyond that they are read again.
const USUAL: usize = 8;

/// The parameters of a value, checked: raw text from the first `;`, or empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Params<'a>(&'a str);

impl<'a> Params<'a> {
    /// Parses `text`, which is empty or starts with a `;`, white space aside.
    ///
    /// # Errors
    /// [`Malformed`], also if a name is there twice (RFC 3261 §7.3.1) or there are more than 64.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        Self::read(text, |_, _| Ok(()))
    }

    /// The same, and shows each parameter to `see` on the way.
    pub(super) fn read(
        text: &'a str,
        mut see: impl FnMut(&'a str, Option<&'a str>) -> Result<(), Malformed>,
    ) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(text);
        let mut seen = [""; USUAL];
        for count in 0..=MAX_PARAMS {
            let Some((name, value)) = next(&mut cursor)? else { return Ok(Self(text)) };
            let same = |earlier: &str| earlier.eq_ignore_ascii_case(name);
            if seen.iter().take(count).any(|earlier| same(earlier))
                || (count > USUAL && Self(text).iter().take(count).any(|(earlier, _)| same(earlier)))
            {
                return Err(Malformed);
            }
            if let Some(place) = seen.get_mut(count) {
                *place = name;
            }
            see(name, value)?;
        }
        Err(Malformed)
    }

    /// The parameters in their order. A quoted value has its quotes: [`unquote`] takes them off.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        let mut cursor = Cursor::new(self.0);
        std::iter::from_fn(move || next(&mut cursor).ok().flatten())
    }

    /// The parameter `name`, in any case: `Some(None)` if it has no value.
    pub fn get(&self, name: &str) -> Option<Option<&'a str>> {
        self.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of the parameter `name`, raw.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.get(name).flatten()
    }

    /// The raw text.
    pub fn as_str(&self) -> &'a str {
        self.0
    }
}

/// Reads one `;name[=value]`; `None` at the end.
fn next<'a>(cursor: &mut Cursor<'a>) -> Result<Option<(&'a str, Option<&'a str>)>, Malformed> {
    cursor.space();
    if cursor.peek().is_none() {
        return Ok(None);
    }
    cursor.expect(b';')?;
    cursor.space();
    let name = cursor.token()?;
    cursor.space();
    if !cursor.eat(b'=') {
        return Ok(Some((name, None)));
    }
    cursor.space();
    let value = if cursor.peek() == Some(b'"') { cursor.quoted()? } else { cursor.run(VALUE)? };
    Ok(Some((name, Some(value))))
}

/// A token with parameters: Event, Subscription-State, Content-Disposition, Reason, a value of
/// Accept-Encoding or ms-diagnostics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tagged<'a> {
    /// The token.
    pub token: &'a str,
    /// What follows it.
    pub params: Params<'a>,
}

impl<'a> Tagged<'a> {
    /// Parses `text`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(text);
        let token = cursor.token()?;
        Ok(Self { token, params: Params::parse(cursor.rest())? })
    }
}

/// Takes quotes and backslashes off a quoted string; any other text stays as it is.
pub fn unquote(text: &str) -> Cow<'_, str> {
    let inner = match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(inner) => inner,
        None => return Cow::Borrowed(text),
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Cow::Owned(plain)
}
