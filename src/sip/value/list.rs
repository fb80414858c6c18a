//! Lists: values separated by commas, over one header or many (RFC 3261 §7.3.1).

use super::Malformed;

/// The values of one header's list, split at commas outside of quotes and angle brackets, trimmed.
/// A value may be empty or malformed: its parser says so. An error, for a quote or bracket that
/// swallows a comma and never ends, is the last item.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    rest: Option<&'a str>,
}

impl<'a> Values<'a> {
    /// The values of `text`.
    pub fn of(text: &'a str) -> Self {
        Self { rest: Some(text) }
    }

    /// What is not yet read; `None` after the last value.
    pub fn rest(&self) -> Option<&'a str> {
        self.rest
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = Result<&'a str, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.rest.take()?;
        let bytes = text.as_bytes();
        if memchr::memchr(b',', bytes).is_none() {
            return Some(Ok(super::lex::trim(text)));
        }
        let (mut quoted, mut angle, mut at) = (false, false, 0);
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'\\' if quoted => at += 1,
                b'"' if !angle => quoted = !quoted,
                b'<' if !quoted => angle = true,
                b'>' if !quoted => angle = false,
                b',' if !quoted && !angle => {
                    self.rest = text.get(at + 1..);
                    return Some(text.get(..at).map(super::lex::trim).ok_or(Malformed));
                }
                _ => {}
            }
            at += 1;
        }
        Some(if quoted || angle { Err(Malformed) } else { Ok(super::lex::trim(text)) })
    }
}
