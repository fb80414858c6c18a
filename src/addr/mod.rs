//! Addresses: JIDs and domains, always canonical; URIs as SIP carries them; and the way between.
//!
//! | file | owns |
//! |---|---|
//! | [`domain`] | [`Domain`]: a domainpart (RFC 7622 §3.2), and its A-labels for DNS, TLS and SIP |
//! | [`jid`] | [`Jid`]: localpart, domainpart and resourcepart (RFC 7622 §3) |
//! | [`uri`] | [`uri::Uri`]: a URI in its parts, borrowed and still escaped (RFC 3261 §25.1) |
//! | [`map`] | a JID from a URI and back (RFC 7247 §6, XEP-0106) |
//! | `prep` | PRECIS preparation of localparts and resourceparts (RFC 8265), with an ASCII fast path |
//!
//! A [`Domain`] or [`Jid`] is prepared and enforced once, when it is made; after that, two addresses
//! are equal exactly when their octets are (RFC 7622 §4). Preparing a canonical text gives the same
//! text. Nothing here resolves, routes or decides who may do what. Look-alike letters of different
//! scripts are different letters here: refusing them is policy.

use std::fmt;

pub mod domain;
pub mod jid;
pub mod map;
mod prep;
pub mod uri;

pub use domain::Domain;
pub use jid::Jid;

/// Octets that each part of an address may have, after preparation (RFC 7622 §3.1).
pub const PART_MAX: usize = 1023;

/// Text that may stem from a peer, on one line: without control characters, and without those that turn
/// the direction of text, end a line, or are not seen.
pub struct Clean<'a>(pub &'a str);

impl std::fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write;
        for character in self.0.chars().take(500) {
            let is_hidden = matches!(character,
                '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
            f.write_char(if character.is_control() || is_hidden { ' ' } else { character })?;
        }
        Ok(())
    }
}

/// A part of an address (RFC 7622 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// What stands before the `@`.
    Local,
    /// The domain name or IP literal.
    Domain,
    /// What stands behind the `/`.
    Resource,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Local => "localpart",
            Part::Domain => "domainpart",
            Part::Resource => "resourcepart",
        })
    }
}

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AddrError {
    /// The part is there and has no octets, or it is the domainpart and is not there.
    #[error("the {0} is empty")]
    Empty(Part),
    /// The part has more than [`PART_MAX`] octets once prepared.
    #[error("the {0} is longer than {PART_MAX} octets")]
    TooLong(Part),
    /// The part holds what its profile forbids, or is no domain name or IP literal.
    #[error("the {0} holds characters or a form that is not allowed")]
    Forbidden(Part),
}

/// An address for a log: the first character of the localpart, `***`, and the domain in clear. The
/// resource is left out, and control characters become U+FFFD.
#[derive(Clone, Copy, Debug)]
pub struct Masked<'a>(pub &'a str);

impl fmt::Display for Masked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        let (local, domain, _) = jid::split(self.0);
        let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        if let Some(local) = local {
            if let Some(first) = local.chars().next() {
                f.write_char(shown(first))?;
            }
            f.write_str("***@")?;
        }
        domain.chars().try_for_each(|c| f.write_char(shown(c)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_address_shows_one_character_and_the_domain() {
        let masked = |text| Masked(text).to_string();
        assert_eq!(masked("juliet@example.com/balcony"), "j***@example.com");
        assert_eq!(masked("日本@bücher.example"), "日***@bücher.example");
        assert_eq!(masked("example.com/a@b"), "example.com");
        assert_eq!(masked("@x\r\ny"), "***@x\u{fffd}\u{fffd}y");
        assert_eq!(masked(""), "");
    }

    #[test]
    fn threat_165_text_of_a_peer_stays_on_its_line() {
        let forged = "refused\nNov 23 stoxd[1]: all is well\u{1b}[2J";
        assert_eq!(Clean(forged).to_string(), "refused Nov 23 stoxd[1]: all is well [2J");
        assert_eq!(Clean("a\u{202e}b\u{2028}c\u{200b}d\u{feff}e ü").to_string(), "a b c d e ü");
    }
}
