//! The first text of a Microsoft-style session, which rides in the INVITE.
//!
//! ```text
//! ms-text-format: text/plain; charset=UTF-8;msgr=WAAtAE0A…;ms-body=SGVsbG8=
//! ```
//!
//! If our 200 says `Supported: ms-text-format` the text counts as delivered; if it does not, the sender
//! sends it again as the first MESSAGE in the dialog. So it is delivered and said to be, or neither. A
//! sender that repeats it all the same (COMPAT: gateways that translate between the two ways) shows it to
//! the reader once.

use crate::body::mime::MediaType;
use crate::body::{Limits, Part, text_of};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// The header, and the option tag of the 200.
pub const TEXT_FORMAT: &str = "ms-text-format";
/// So soon after our 200 a copy of the first text is the first text. Later it is somebody who writes the same
/// word again.
pub const AGAIN_WITHIN: Duration = Duration::from_secs(10);

/// The text in the value of [`TEXT_FORMAT`]; None if there is none that can be read. Then it comes again.
pub fn text(value: &str, limits: &Limits) -> Option<String> {
    let media = MediaType::parse(value)?;
    if !media.main.eq_ignore_ascii_case("text") {
        return None;
    }
    let encoded = media.param("ms-body")?;
    if encoded.len() / 4 > limits.octets.saturating_add(2) / 3 {
        return None;
    }
    let octets = STANDARD.decode(encoded.trim()).ok()?;
    let part = Part { content_type: Some(value), octets: &octets, ..Part::default() };
    let text = text_of(&part, limits).ok()?;
    (!text.is_blank()).then(|| text.plain.into_owned())
}

/// By what a text is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    hash: u64,
    octets: usize,
}

impl Print {
    /// Of `text`. Line ends and white space around it do not count: the two copies may differ in them.
    pub fn of(text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        let mut octets = 0;
        for line in text.trim().lines() {
            line.hash(&mut hasher);
            octets += line.len();
        }
        Self { hash: hasher.finish(), octets }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(value: &str) -> Option<String> {
        text(value, &Limits { octets: 100, ..Limits::default() })
    }

    #[test]
    fn the_first_text_is_read_whatever_stands_beside_it() {
        for value in [
            "text/plain; charset=UTF-8;msgr=WAAtAE0AUwA=;ms-body=R3LDvMOfZQ==",
            "text/plain;charset=utf-8;ms-body=R3LDvMOfZQ==",
            "text/plain; ms-body=\"R3LDvMOfZQ==\"; charset=\"UTF-8\"",
        ] {
            assert_eq!(read(value).as_deref(), Some("Grüße"), "{value}");
        }
        assert_eq!(read("text/html;charset=UTF-8;ms-body=PGI+aGk8L2I+").as_deref(), Some("hi"));
    }

    #[test]
    fn a_first_text_that_cannot_be_read_is_none() {
        for value in [
            "",
            "text/plain",
            "text/plain;ms-body=",
            "text/plain;ms-body=!!!!",
            "text/plain;ms-body=R3LDvMOfZQ",
            "text/rtf;ms-body=aGk=",
            "application/ms-imdn+xml;ms-body=aGk=",
            "text/plain;charset=x-nobody-knows;ms-body=aGk=",
            "text/plain;charset=UTF-8;ms-body=//79",
            "text/plain;ms-body=ICAg",
        ] {
            assert_eq!(read(value), None, "{value}");
        }
        let long = |octets| format!("text/plain;ms-body={}", STANDARD.encode("x".repeat(octets)));
        assert_eq!(read(&long(100)).map(|text| text.len()), Some(100));
        assert_eq!(read(&long(101)), None);
        assert_eq!(read(&long(10_000)), None);
    }

    #[test]
    fn copies_of_a_text_have_one_print_whatever_their_line_ends() {
        assert_eq!(Print::of("one\r\ntwo"), Print::of("one\ntwo\n"));
        assert_ne!(Print::of("one\ntwo"), Print::of("onetwo"));
        assert_ne!(Print::of("one"), Print::of("two"));
        assert_ne!(Print::of("one\n\ntwo"), Print::of("one\ntwo"));
    }
}
