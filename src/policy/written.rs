//! Addresses as people write them in files and commands, made canonical.
//!
//! A SIP address goes through the same map as one from the wire, so that a grant means every
//! spelling that a server may send. What people may write beyond RFC 3261: characters outside of
//! ASCII, which count as if they were %-escaped.

use crate::addr::map::{MapOptions, jid_from_uri};
use crate::addr::uri::Uri;
use crate::addr::{Domain, Jid};
use crate::crossing::{Crossing, Direction, Kind};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// Leaves ASCII alone: `Uri` judges it.
const BEYOND_ASCII: &AsciiSet = &CONTROLS.remove(b'\t').remove(b'\n').remove(b'\r').remove(0);

/// Why a text is no address of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It has no `@` with something on both sides.
    #[error("an address is written name@domain")]
    Shape,
    /// The name holds what an address can't hold.
    #[error("not a user name")]
    Name,
    /// What stands behind the `@` is no domain.
    #[error("not a domain")]
    Domain,
    /// The scheme is neither `sip` nor `xmpp`.
    #[error("an address starts with sip: or xmpp:")]
    Scheme,
    /// Both addresses are on the same side.
    #[error("one side is a sip: address of ours, the other an xmpp: address")]
    Sides,
}

/// Reads `sip:alice@contoso.example`; the `sip:` may be left out. Gives the bare address.
///
/// # Errors
/// See [`AddressError`].
pub fn sip(text: &str) -> Result<Jid, AddressError> {
    let rest = match scheme(text) {
        Some(("sip", rest)) => rest,
        Some(_) => return Err(AddressError::Scheme),
        None => text,
    };
    let (name, host) = rest.rsplit_once('@').ok_or(AddressError::Shape)?;
    // Parameters and a port are no part of whom the address means.
    let host = host.split(';').next().unwrap_or_default();
    let host = match (host.starts_with('['), host.rsplit_once(':')) {
        (true, _) | (false, None) => host,
        (false, Some((host, _port))) => host,
    };
    user(name, &Domain::parse(host).map_err(|_| AddressError::Domain)?)
}

/// The canonical address of the SIP user `name`, raw, in `domain`.
///
/// # Errors
/// [`AddressError::Shape`] or [`AddressError::Name`].
pub(super) fn user(name: &str, domain: &Domain) -> Result<Jid, AddressError> {
    if name.is_empty() {
        return Err(AddressError::Shape);
    }
    let text = format!("sip:{}@{}", utf8_percent_encode(name, BEYOND_ASCII), domain.to_ascii());
    let uri = Uri::parse(&text).map_err(|_| AddressError::Name)?;
    let jid = jid_from_uri(&uri, &MapOptions::default()).map_err(|_| AddressError::Name)?;
    if jid.local().is_none() { Err(AddressError::Name) } else { Ok(jid.to_bare()) }
}

/// Reads `xmpp:romeo@fabrikam.example` (RFC 5122, so with escapes), or the same without `xmpp:` (a
/// JID as it is). Gives the bare address.
///
/// # Errors
/// See [`AddressError`].
pub fn xmpp(text: &str) -> Result<Jid, AddressError> {
    let (rest, escaped) = match scheme(text) {
        Some(("xmpp", rest)) => (rest, true),
        Some(_) => return Err(AddressError::Scheme),
        None => (text, false),
    };
    let rest = rest.split(['/', '?']).next().unwrap_or_default();
    let (name, host) = rest.split_once('@').ok_or(AddressError::Shape)?;
    if name.is_empty() || host.is_empty() {
        return Err(AddressError::Shape);
    }
    let domain = Domain::parse(host).map_err(|_| AddressError::Domain)?;
    let name = if escaped {
        percent_decode_str(name).decode_utf8().map_err(|_| AddressError::Name)?
    } else {
        name.into()
    };
    Jid::from_parts(Some(&name), &domain, None).map_err(|_| AddressError::Name)
}

/// Reads the address of a person on either side. Without a scheme it is a JID as it is.
///
/// # Errors
/// See [`AddressError`].
pub fn person(text: &str) -> Result<Jid, AddressError> {
    match xmpp(text) {
        Err(AddressError::Scheme) => sip(text),
        read => read,
    }
}

fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    // `alice:password@host` has no scheme.
    let known = ["sip", "sips", "xmpp", "tel", "im", "pres", "mailto"];
    known.iter().find(|known| known.eq_ignore_ascii_case(scheme)).map(|known| (*known, rest))
}

/// A sender and a target, one on each side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Who sends.
    pub from: Jid,
    /// Who is meant.
    pub to: Jid,
    /// Which way that is.
    pub direction: Direction,
}

impl Pair {
    /// Reads both addresses. One without a scheme is a SIP address if `serves` its domain.
    ///
    /// # Errors
    /// `Err((true, …))` for the sender, `Err((false, …))` for the target.
    pub fn parse(from: &str, to: &str, serves: impl Fn(&str) -> bool) -> Result<Self, (bool, AddressError)> {
        let read = |text: &str| match scheme(text) {
            Some(("sip", _)) => sip(text).map(|jid| (jid, true)),
            Some(("xmpp", _)) => xmpp(text).map(|jid| (jid, false)),
            Some(_) => Err(AddressError::Scheme),
            None => xmpp(text).and_then(|jid| {
                let ours = serves(jid.domain());
                if ours { sip(text).map(|jid| (jid, true)) } else { Ok((jid, false)) }
            }),
        };
        let (from, from_sip) = read(from).map_err(|error| (true, error))?;
        let (to, to_sip) = read(to).map_err(|error| (false, error))?;
        let direction = match (from_sip, to_sip) {
            (true, false) => Direction::SipToXmpp,
            (false, true) => Direction::XmppToSip,
            (true, true) | (false, false) => return Err((false, AddressError::Sides)),
        };
        Ok(Self { from, to, direction })
    }

    /// A message from one to the other.
    pub fn crossing(&self) -> Crossing<'_> {
        Crossing { sender: &self.from, target: &self.to, direction: self.direction, kind: Kind::Message }
    }

    /// Our user.
    pub fn local(&self) -> &Jid {
        self.crossing().local()
    }

    /// The XMPP contact.
    pub fn remote(&self) -> &Jid {
        self.crossing().remote()
    }

    /// The sender as people write it.
    pub fn shown_from(&self) -> String {
        shown(&self.from, self.direction == Direction::SipToXmpp)
    }

    /// The target as people write it.
    pub fn shown_to(&self) -> String {
        shown(&self.to, self.direction == Direction::XmppToSip)
    }
}

/// `sip:alice@contoso.example` or `xmpp:romeo@fabrikam.example`.
pub fn shown(jid: &Jid, is_sip: bool) -> String {
    format!("{}:{}", if is_sip { "sip" } else { "xmpp" }, jid.bare_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn threat_131_spellings_of_a_sip_user_are_one_user() {
        for text in [
            "sip:mallory@contoso.example",
            "SIP:MALLORY@Contoso.EXAMPLE.",
            "sip:%6Dallory@contoso.example",
            "sip:mallory:secret@contoso.example",
            "sip:mallory@contoso.example:5061",
            "sip:mallory@contoso.example;transport=tls;gr=desk",
            "sip:ｍallory@contoso.example",
            "mallory@contoso.example",
        ] {
            assert_eq!(sip(text).unwrap().as_str(), "mallory@contoso.example", "{text}");
        }
        assert_eq!(sip("sip:jürgen@bücher.example"), sip("sip:j%C3%BCrgen@xn--bcher-kva.example"));
    }

    #[test]
    fn xmpp_addresses_are_uris_with_a_scheme_and_jids_without() {
        assert_eq!(xmpp("xmpp:ro%6Deo@fabrikam.example").unwrap().as_str(), "romeo@fabrikam.example");
        assert_eq!(xmpp("ro%6deo@fabrikam.example").unwrap().as_str(), "ro%6deo@fabrikam.example");
        assert_eq!(xmpp("Romeo@fabrikam.example/orchard").unwrap().as_str(), "romeo@fabrikam.example");
        assert_eq!(xmpp("fabrikam.example"), Err(AddressError::Shape));
        assert_eq!(xmpp("sip:a@fabrikam.example"), Err(AddressError::Scheme));
        assert_eq!(sip("tel:+4930123"), Err(AddressError::Scheme));
        assert_eq!(sip("sip:@contoso.example"), Err(AddressError::Shape));
    }

    #[test]
    fn a_pair_has_one_address_on_each_side() {
        let ours = |domain: &str| domain == "contoso.example";
        let pair = Pair::parse("alice@contoso.example", "romeo@fabrikam.example", ours).unwrap();
        assert_eq!(pair.direction, Direction::SipToXmpp);
        assert_eq!((pair.local().as_str(), pair.remote().as_str()), (pair.from.as_str(), pair.to.as_str()));
        let pair = Pair::parse("xmpp:romeo@fabrikam.example", "sip:alice@contoso.example", ours).unwrap();
        assert_eq!(pair.direction, Direction::XmppToSip);
        assert_eq!(pair.shown_to(), "sip:alice@contoso.example");
        let both = Pair::parse("sip:a@contoso.example", "sip:b@contoso.example", ours);
        assert_eq!(both, Err((false, AddressError::Sides)));
    }
}
