//! The values of headers, parsed once and borrowed (RFC 3261 §20 and §25.1).
//!
//! A value comes here unfolded and trimmed. Space and tab are allowed wherever the grammar has LWS
//! or SWS. Every parser consumes all of its input or fails.

mod address;
mod date;
mod event;
mod list;
mod media;
mod params;
mod via;

pub use address::{Contact, NameAddr};
pub use date::{date, write_date};
pub use event::{EndReason, Event, SubscriptionState, Substate, delta_seconds};
pub use list::Values;
pub use media::MediaType;
pub use params::{Params, Tagged, unquote};
pub use via::Via;

use super::lex::{self, TOKEN, digits};
use super::method::Method;

/// A value does not follow its header's grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed header value")]
pub struct Malformed;

/// CSeq (RFC 3261 §20.16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CSeq<'a> {
    /// Below 2^31 (RFC 3261 §8.1.1.5).
    pub number: u32,
    /// The method.
    pub method: Method<'a>,
}

impl<'a> CSeq<'a> {
    /// Parses `text`.
    ///
    /// # Errors
    /// [`Malformed`], also for a number of 2^31 and above.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        let (number, method) = text.split_once([' ', '\t']).ok_or(Malformed)?;
        let number = digits(number).filter(|number| *number < 1 << 31).ok_or(Malformed)?;
        let method = Method::parse(lex::trim(method)).ok_or(Malformed)?;
        Ok(Self { number, method })
    }
}

/// One value of Warning (RFC 3261 §20.43).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warning<'a> {
    /// Three digits.
    pub code: u16,
    /// Who warns.
    pub agent: &'a str,
    /// The text as it was spelt, with its quotes: [`unquote`] takes them off.
    pub text: &'a str,
}

impl<'a> Warning<'a> {
    /// Parses one value of the list.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        let (code, rest) = text.split_once(' ').ok_or(Malformed)?;
        let number = digits(code).filter(|_| code.len() == 3).ok_or(Malformed)?;
        let (agent, text) = lex::trim(rest).split_once(' ').ok_or(Malformed)?;
        let mut cursor = Cursor::new(lex::trim(text));
        let text = cursor.quoted()?;
        cursor.end()?;
        Ok(Self { code: u16::try_from(number).map_err(|_| Malformed)?, agent, text })
    }
}

/// Retry-After (RFC 3261 §20.33): its seconds. Comment and parameters are not read.
///
/// # Errors
/// [`Malformed`], also for more than a `u32` holds.
pub fn retry_after(text: &str) -> Result<u32, Malformed> {
    let end = text.find([' ', '\t', ';', '(']).unwrap_or(text.len());
    digits(text.get(..end).unwrap_or_default()).ok_or(Malformed)
}

/// Reads a value from its front. Never stands inside of a character.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// What is not yet read.
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// What was read since `start`.
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Skips white space; whether there was any.
    fn space(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        self.at > start
    }

    /// Takes `byte`, which is ASCII, if it is next.
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.eat(byte) { Ok(()) } else { Err(Malformed) }
    }

    /// The octets of `class`, which are ASCII, at least one.
    fn run(&mut self, class: u8) -> Result<&'a str, Malformed> {
        let start = self.at;
        let bytes = self.text.as_bytes().get(start..).unwrap_or_default();
        self.at += bytes.iter().position(|b| !lex::is(*b, class)).unwrap_or(bytes.len());
        if self.at == start { Err(Malformed) } else { Ok(self.since(start)) }
    }

    fn token(&mut self) -> Result<&'a str, Malformed> {
        self.run(TOKEN)
    }

    /// A quoted string with its quotes (RFC 3261 §25.1).
    fn quoted(&mut self) -> Result<&'a str, Malformed> {
        let start = self.at;
        self.expect(b'"')?;
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        loop {
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
                None => return Err(Malformed),
            }
        }
        self.at = at + 1;
        self.text.get(start..self.at).ok_or(Malformed)
    }

    /// Takes all up to `byte`, which is ASCII, and `byte`.
    fn until(&mut self, byte: u8) -> Result<&'a str, Malformed> {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let length = memchr::memchr(byte, rest).ok_or(Malformed)?;
        self.at += length;
        let found = self.since(start);
        self.at += 1;
        Ok(found)
    }

    /// Nothing may be left.
    fn end(&self) -> Result<(), Malformed> {
        if self.at == self.text.len() { Ok(()) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests;
