//! Digest authentication as a client: one answer to a 401 or 407 (RFC 3261 §22, RFC 7616, RFC
//! 8760).
//!
//! [`Challenge::parse`] reads a WWW-Authenticate or Proxy-Authenticate value, [`Login`] decides
//! whether it is answered, [`Challenge::write`] makes the Authorization or Proxy-Authorization
//! value. The user then sends the request again with the next CSeq number and a new branch, and the
//! same Call-ID, From tag and To (RFC 3261 §22.2).
//!
//! A challenge is written by whoever answers us. So credentials are used for the realm that they
//! were configured for and no other; what is echoed was checked to fit into a quoted string; and a
//! second challenge ends the attempt, unless it says that the nonce alone was stale.
//!
//! Not rsip's `DigestGenerator`: it hashes a URI that it parsed and printed anew, where the digest
//! is over the text on the wire; prints `nc` in decimal; treats the `-sess` algorithms as plain;
//! and knows "SHA256" and SHA-512 where SIP has SHA-256 and SHA-512-256.

use super::name::Name;
use crate::ids::Ids;
use md5::Md5;
use sha2::digest::Digest;
use sha2::{Sha256, Sha512_256};
use std::fmt;

/// The longest challenge that is read.
const MAX_CHALLENGE: usize = 4096;
/// Most parameters of a challenge.
const MAX_PARAMS: usize = 32;
/// Most challenges of one response that are read.
const MAX_CHALLENGES: usize = 8;

/// Why there is no answer to a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The scheme is not Digest.
    #[error("the challenge is not a digest challenge")]
    Scheme,
    /// The challenge is malformed, ambiguous or too long.
    #[error("the challenge is malformed")]
    Syntax,
    /// Realm or nonce is missing.
    #[error("the challenge lacks its realm or nonce")]
    Incomplete,
    /// The algorithm is none of MD5, SHA-256, SHA-512-256 and their `-sess` forms.
    #[error("the challenge wants an unknown algorithm")]
    Algorithm,
    /// Only `auth-int` or an unknown quality of protection is offered.
    #[error("the challenge wants an unknown quality of protection")]
    Qop,
    /// User name, URI or cnonce can't stand in a header.
    #[error("the user name or URI does not fit into a header")]
    Text,
}

/// A hash function of RFC 8760 §2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha256,
    Sha512_256,
}

/// What to log in with, at one realm.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The realm they are for, as it stands between the quotes on the wire: no other gets an answer.
    pub realm: String,
    /// The user name.
    pub username: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("realm", &self.realm).finish_non_exhaustive()
    }
}

/// A digest challenge, borrowed from its header value. Quoted texts are kept as they were between
/// the quotes, escapes included: so they are hashed and echoed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge<'a> {
    realm: &'a str,
    nonce: &'a str,
    opaque: Option<&'a str>,
    hash: Hash,
    /// The algorithm as it was spelt, to be echoed.
    algorithm: Option<&'a str>,
    session: bool,
    /// Whether `qop=auth` is offered; without any qop the answer is that of RFC 2069.
    auth: bool,
    stale: bool,
}

/// The request that an answer is for.
#[derive(Clone, Copy, Debug)]
pub struct Answering<'a> {
    /// The method.
    pub method: &'a str,
    /// The Request-URI, exactly as it is sent.
    pub uri: &'a str,
    /// The client's nonce: a new id.
    pub cnonce: &'a str,
    /// How many requests were sent with the challenge's nonce, this one included.
    pub count: u32,
}

impl<'a> Challenge<'a> {
    /// Reads one header value.
    ///
    /// # Errors
    /// [`DigestError`], every variant but [`DigestError::Text`].
    pub fn parse(value: &'a str) -> Result<Self, DigestError> {
        let value = value.trim_matches(BLANK);
        if value.len() > MAX_CHALLENGE {
            return Err(DigestError::Syntax);
        }
        let (scheme, mut rest) = value.split_once(BLANK).ok_or(DigestError::Scheme)?;
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Err(DigestError::Scheme);
        }
        let (mut realm, mut nonce, mut opaque) = (None, None, None);
        let (mut algorithm, mut qop, mut stale) = (None, None, None);
        for count in 0.. {
            if count == MAX_PARAMS {
                return Err(DigestError::Syntax);
            }
            let (name, text) = param(&mut rest).ok_or(DigestError::Syntax)?;
            let slot = match name {
                name if name.eq_ignore_ascii_case("realm") => &mut realm,
                name if name.eq_ignore_ascii_case("nonce") => &mut nonce,
                name if name.eq_ignore_ascii_case("opaque") => &mut opaque,
                name if name.eq_ignore_ascii_case("algorithm") => &mut algorithm,
                name if name.eq_ignore_ascii_case("qop") => &mut qop,
                name if name.eq_ignore_ascii_case("stale") => &mut stale,
                _ => &mut None,
            };
            if slot.replace(text).is_some() {
                return Err(DigestError::Syntax);
            }
            rest = rest.trim_start_matches(BLANK);
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None if rest.is_empty() => break,
                None => return Err(DigestError::Syntax),
            }
        }
        let (Some(realm), Some(nonce)) = (realm, nonce) else { return Err(DigestError::Incomplete) };
        let (hash, session) = match algorithm {
            None => (Hash::Md5, false),
            Some(name) => hash_of(name).ok_or(DigestError::Algorithm)?,
        };
        let auth = match qop {
            None => false,
            Some(list) => {
                let mut offers = list.split(',').map(|one| one.trim_matches(BLANK));
                offers.find(|one| one.eq_ignore_ascii_case("auth")).ok_or(DigestError::Qop)?;
                true
            }
        };
        let stale = stale.is_some_and(|text| text.eq_ignore_ascii_case("true"));
        Ok(Self { realm, nonce, opaque, hash, algorithm, session, auth, stale })
    }

    /// The realm, as it was between its quotes.
    pub fn realm(&self) -> &'a str {
        self.realm
    }

    /// Appends the value of Authorization (after 401) or Proxy-Authorization (after 407).
    ///
    /// # Errors
    /// [`DigestError::Text`]: nothing was written.
    pub fn write(
        &self,
        credentials: &Credentials,
        answering: &Answering<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DigestError> {
        let Answering { method, uri, cnonce, count } = *answering;
        let plain = |text: &str| !text.bytes().any(|b| b.is_ascii_control() || b == b'"' || b == b'\\');
        if credentials.username.bytes().any(|octet| octet.is_ascii_control()) || !plain(uri) || !plain(cnonce)
        {
            return Err(DigestError::Text);
        }
        let count = format!("{count:08x}");
        let response = self.response(credentials, method, uri, cnonce, &count);
        let mut put = |parts: &[&str]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
        let username = credentials.username.replace('\\', "\\\\").replace('"', "\\\"");
        put(&["Digest username=\"", &username, "\", realm=\"", self.realm, "\", nonce=\"", self.nonce]);
        put(&["\", uri=\"", uri, "\", response=\"", &response, "\""]);
        if let Some(algorithm) = self.algorithm {
            put(&[", algorithm=", algorithm]);
        }
        if self.auth || self.session {
            put(&[", cnonce=\"", cnonce, "\""]);
        }
        if self.auth {
            put(&[", qop=auth, nc=", &count]);
        }
        if let Some(opaque) = self.opaque {
            put(&[", opaque=\"", opaque, "\""]);
        }
        Ok(())
    }

    /// The response directive (RFC 7616 §3.4.1).
    fn response(
        &self,
        credentials: &Credentials,
        method: &str,
        uri: &str,
        cnonce: &str,
        count: &str,
    ) -> String {
        let hash = |parts: &[&str]| self.hash.of(parts);
        let mut secret = hash(&[&credentials.username, self.realm, &credentials.password]);
        if self.session {
            secret = hash(&[&secret, self.nonce, cnonce]);
        }
        let request = hash(&[method, uri]);
        if self.auth {
            hash(&[&secret, self.nonce, count, cnonce, "auth", &request])
        } else {
            hash(&[&secret, self.nonce, &request])
        }
    }
}

impl Hash {
    /// The hash of `parts` with `:` between them, in lower-case hexadecimal.
    fn of(self, parts: &[&str]) -> String {
        match self {
            Self::Md5 => joined::<Md5>(parts),
            Self::Sha256 => joined::<Sha256>(parts),
            Self::Sha512_256 => joined::<Sha512_256>(parts),
        }
    }
}

fn joined<D: Digest>(parts: &[&str]) -> String {
    let mut digest = D::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            digest.update(b":");
        }
        digest.update(part.as_bytes());
    }
    let octets = digest.finalize();
    let digit = |number: u8| char::from_digit(u32::from(number), 16).unwrap_or('0');
    octets.iter().flat_map(|octet| [digit(octet >> 4), digit(octet & 15)]).collect()
}

fn hash_of(algorithm: &str) -> Option<(Hash, bool)> {
    const NAMES: [(&str, Hash, bool); 6] = [
        ("MD5", Hash::Md5, false),
        ("MD5-sess", Hash::Md5, true),
        ("SHA-256", Hash::Sha256, false),
        ("SHA-256-sess", Hash::Sha256, true),
        ("SHA-512-256", Hash::Sha512_256, false),
        ("SHA-512-256-sess", Hash::Sha512_256, true),
    ];
    let known = NAMES.iter().find(|(name, ..)| name.eq_ignore_ascii_case(algorithm))?;
    Some((known.1, known.2))
}

/// The attempts to log in with one request, through all of its repetitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Login {
    at_server: Attempts,
    at_proxy: Attempts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Attempts {
    #[default]
    None,
    Once,
    /// Once more, because the nonce had become stale.
    Renewed,
}

impl Login {
    /// A response with `status` came, with these values of WWW-Authenticate (401) or
    /// Proxy-Authenticate (407): the challenge to answer, the first that we can (RFC 8760 §2.4).
    ///
    /// None: give up and treat the response as any other failure. That is so without credentials
    /// for the realm, and after an answer was refused.
    pub fn on_challenge<'a>(
        &mut self,
        status: u16,
        values: impl IntoIterator<Item = &'a str>,
        credentials: Option<&Credentials>,
    ) -> Option<Challenge<'a>> {
        let attempts = match status {
            401 => &mut self.at_server,
            407 => &mut self.at_proxy,
            _ => return None,
        };
        let credentials = credentials?;
        let challenges = values.into_iter().take(MAX_CHALLENGES).filter_map(|one| Challenge::parse(one).ok());
        let challenge = challenges.into_iter().find(|one| one.realm == credentials.realm)?;
        *attempts = match (*attempts, challenge.stale) {
            (Attempts::None, _) => Attempts::Once,
            (Attempts::Once, true) => Attempts::Renewed,
            (Attempts::Once, false) | (Attempts::Renewed, _) => return None,
        };
        Some(challenge)
    }

    /// The header that answers the challenge of a 401 or 407 to a request with this method and Request-URI
    /// (RFC 3261 §22.2). None if it can't be met: the response is final then.
    pub fn answer<'a>(
        &mut self,
        (status, challenges): (u16, impl IntoIterator<Item = &'a str>),
        credentials: Option<&Credentials>,
        (method, uri): (&str, &str),
        ids: &mut Ids,
    ) -> Option<(Name, String)> {
        let challenge = self.on_challenge(status, challenges, credentials)?;
        let cnonce = ids.mint();
        let answering = Answering { method, uri, cnonce: cnonce.as_str(), count: 1 };
        let mut value = Vec::new();
        challenge.write(credentials?, &answering, &mut value).ok()?;
        let name = if status == 401 { Name::Authorization } else { Name::ProxyAuthorization };
        Some((name, String::from_utf8(value).ok()?))
    }

    /// The header that answers a challenge which came with `status`.
    pub fn header(status: u16) -> Option<&'static str> {
        match status {
            401 => Some("Authorization"),
            407 => Some("Proxy-Authorization"),
            _ => None,
        }
    }
}

const BLANK: [char; 2] = [' ', '\t'];

/// Takes `name=value` from the front of `rest`: the name, and the value without its quotes.
fn param<'a>(rest: &mut &'a str) -> Option<(&'a str, &'a str)> {
    let (name, after) = rest.split_once('=')?;
    let name = name.trim_matches(BLANK);
    let after = after.trim_start_matches(BLANK);
    if !is_token(name) {
        return None;
    }
    if let Some(quoted) = after.strip_prefix('"') {
        let end = closing_quote(quoted)?;
        *rest = quoted.get(end + 1..)?;
        return Some((name, quoted.get(..end)?));
    }
    let end = after.find([',', ' ', '\t']).unwrap_or(after.len());
    let (value, left) = after.split_at_checked(end)?;
    *rest = left;
    is_token(value).then_some((name, value))
}

/// Where the quote is that ends a quoted string. None without one, or with control characters
/// before it, or an escape of one.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            b'\t' => escaped = false,
            _ if octet.is_ascii_control() => return None,
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}

/// RFC 3261 §25.1, token.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&octet))
}

#[cfg(test)]
mod tests;
