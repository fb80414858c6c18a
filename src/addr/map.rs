//! From a SIP URI to a JID and back (RFC 7247 §6, XEP-0106, RFC 5627 for the resource).
//!
//! SIP to XMPP: the user part is %-decoded, its width, case and normalisation are mapped (RFC 8265
//! §3.3), then what looks like an escape is guarded and what a localpart may not hold is escaped;
//! the result must be a canonical localpart as it stands. XMPP to SIP is the way back. Escaping
//! touches the localpart alone. Password, port, headers and parameters but `gr` never cross.
//!
//! DEVIATES RFC 7247 §6.5 step 3: all ten sequences of XEP-0106 are un-escaped, not three, because
//! `\40` and `\20` would not come back otherwise. DEVIATES RFC 7247 §6.5 step 8: the resource goes
//! into the `gr` parameter that its own example shows, not behind a slash.
//!
//! Two user parts that differ after the mapping never make one JID, and a JID comes back from its
//! URI as it was, unless it was escaped where XEP-0106 §4.1 says not to (`\5cfoo`, a space at an
//! end): such a JID still has its own URI, but the URI leads to the JID without the surplus.

use super::uri::{Scheme, Uri};
use super::{AddrError, Domain, Jid, PART_MAX, domain, prep};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// What may be mapped beyond `sip:`, `im:` and `pres:`.
#[derive(Clone, Copy, Debug, Default)]
pub struct MapOptions<'a> {
    /// The domain that `tel:` numbers belong to; without one they are not mapped.
    pub tel_domain: Option<&'a Domain>,
    /// Whether operators agreed that `sips:` may be mapped (RFC 7247 §8 forbids it otherwise).
    pub allow_sips: bool,
}

/// Why a URI has no JID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum MapError {
    /// An escape is broken, or a control character is escaped.
    #[error("the address is malformed")]
    BadSyntax,
    /// The user part or the resource is not UTF-8 once decoded.
    #[error("the address is not UTF-8")]
    NotUtf8,
    /// No JID can hold it: characters that RFC 7622 forbids, a space at an end, or more than 1023
    /// octets in a part once escaped.
    #[error("the address has no form in XMPP")]
    Forbidden,
    /// The scheme needs a user part and there is none.
    #[error("the address has no user part")]
    NoUser,
    /// A scheme that is not about instant messages or presence.
    #[error("the URI scheme is not supported")]
    Scheme,
    /// `sips:`, and no agreement to map it.
    #[error("SIPS is not allowed")]
    Sips,
    /// `tel:` without a configured domain, or a number that is not global (RFC 3966 §5.1.4).
    #[error("the telephone number is not supported")]
    Tel,
}

impl MapError {
    /// The SIP status for a request whose target has no JID.
    pub fn status_as_target(&self) -> u16 {
        match self {
            Self::BadSyntax | Self::NotUtf8 => 400,
            Self::Forbidden | Self::NoUser => 404,
            Self::Scheme | Self::Tel => 416,
            // RFC 5630 §5.1.2.
            Self::Sips => 480,
        }
    }

    /// The SIP status for a request whose originator has no JID.
    pub fn status_as_originator(&self) -> u16 {
        match self {
            Self::BadSyntax | Self::NotUtf8 | Self::Forbidden | Self::NoUser | Self::Scheme | Self::Tel => {
                400
            }
            Self::Sips => 480,
        }
    }

    /// The warn-code that goes with the status: 380 for SIPS (RFC 5630 §5.1.2), else 399. The
    /// text is this error's `Display`.
    pub fn warn_code(&self) -> u16 {
        match self {
            Self::Sips => 380,
            Self::BadSyntax | Self::NotUtf8 | Self::Forbidden | Self::NoUser | Self::Scheme | Self::Tel => {
                399
            }
        }
    }
}

impl From<AddrError> for MapError {
    fn from(_: AddrError) -> Self {
        Self::Forbidden
    }
}

/// The JID of a SIP address (RFC 7247 §6.4).
///
/// A `sip:` URI without a user part is the JID of its domain. The resource is the value of `gr`
/// (RFC 5627 §3), or of `opaque` when a parameter `gruu` says that it is a GRUU (COMPAT Office
/// Communications Server 2007 to Skype for Business Server 2019, which were built on a draft). A
/// `gr` without a value marks a temporary GRUU and is no resource (RFC 7247 §6.3).
///
/// # Errors
///
/// See [`MapError`].
pub fn jid_from_uri(uri: &Uri<'_>, opts: &MapOptions<'_>) -> Result<Jid, MapError> {
    match uri.scheme {
        Scheme::Sips if !opts.allow_sips => return Err(MapError::Sips),
        Scheme::Im | Scheme::Pres if uri.user.is_none() => return Err(MapError::NoUser),
        Scheme::Sip | Scheme::Sips | Scheme::Im | Scheme::Pres => {}
        Scheme::Tel => return jid_from_number(uri, opts.tel_domain.ok_or(MapError::Tel)?),
        Scheme::Other(_) => return Err(MapError::Scheme),
    }
    let domain = domain::canonical(uri.host)?;
    let resource = match instance(uri) {
        Some(raw) => Some(decoded(raw)?),
        None => None,
    };
    let resource = resource.as_deref().map(prep::resource).transpose()?;
    let user = uri.user.unwrap_or_default();
    let room = user.len() + domain.len() + resource.as_ref().map_or(0, |resource| resource.len());
    let mut text = String::with_capacity(room + 2);
    let mut local = None;
    if uri.user.is_some() {
        escape_user(user, &mut text)?;
        local = Some(text.len());
        text.push('@');
    }
    text.push_str(&domain);
    if let Some(resource) = resource {
        text.push('/');
        text.push_str(&resource);
    }
    Ok(Jid::of_canonical(&text, local.and_then(|end| text.get(..end)), &domain))
}

/// Appends the SIP URI of a JID: `sip:user@host;gr=resource` (RFC 7247 §6.5).
///
/// The host is in A-labels; what SIP does not allow in a user part or parameter is %-encoded, octet
/// by octet, in upper-case hex.
pub fn uri_from_jid(jid: &Jid, out: &mut Vec<u8>) {
    out.extend_from_slice(b"sip:");
    if let Some(local) = jid.local() {
        let mut rest = local.as_bytes();
        while let [octet, after @ ..] = rest {
            let (octet, after) = match (octet, after) {
                (b'\\', [high, low, behind @ ..]) => match unescaped(*high, *low) {
                    Some(octet) => (octet, behind),
                    None => (b'\\', after),
                },
                _ => (*octet, after),
            };
            encode(octet, IN_USER, out);
            rest = after;
        }
        out.push(b'@');
    }
    out.extend_from_slice(domain::to_ascii(jid.domain()).as_bytes());
    if let Some(resource) = jid.resource() {
        out.extend_from_slice(b";gr=");
        resource.bytes().for_each(|octet| encode(octet, IN_PARAM, out));
    }
}

/// The raw name of the user agent instance, if the URI has a lasting one.
fn instance<'a>(uri: &Uri<'a>) -> Option<&'a str> {
    if uri.params.is_empty() {
        return None;
    }
    let value = match uri.param("gr") {
        Some(gr) => gr,
        None => uri.param("gruu").and_then(|_| uri.param("opaque")).flatten(),
    };
    value.filter(|value| !value.is_empty())
}

/// The JID of a global telephone number, its visual separators left out and its extension kept.
fn jid_from_number(uri: &Uri<'_>, domain: &Domain) -> Result<Jid, MapError> {
    let number = uri.user.ok_or(MapError::NoUser)?;
    let digits = |text: &str| -> Result<String, MapError> {
        let plain: String = text.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')')).collect();
        let valid = !plain.is_empty() && plain.bytes().all(|octet| octet.is_ascii_digit());
        if valid { Ok(plain) } else { Err(MapError::Tel) }
    };
    let mut local = String::from("+");
    local.push_str(&digits(number.strip_prefix('+').ok_or(MapError::Tel)?)?);
    if let Some(extension) = uri.param("ext") {
        local.push_str(";ext=");
        local.push_str(&digits(extension.unwrap_or_default())?);
    }
    Ok(Jid::from_parts(Some(&local), domain, None)?)
}

/// Appends the localpart of a raw user part.
fn escape_user(raw: &str, text: &mut String) -> Result<(), MapError> {
    if raw.is_empty() {
        return Err(MapError::BadSyntax);
    }
    if !raw.bytes().all(|octet| IS[usize::from(octet)] & PLAIN != 0) {
        return escape_any(raw, text);
    }
    if raw.len() > PART_MAX {
        return Err(MapError::Forbidden);
    }
    let start = text.len();
    text.push_str(raw);
    if let Some(user) = text.get_mut(start..) {
        user.make_ascii_lowercase();
    }
    Ok(())
}

/// The same for a user part with escapes or with characters that no localpart holds.
fn escape_any(raw: &str, text: &mut String) -> Result<(), MapError> {
    let user = decoded(raw)?;
    let user = prep::map_local(&user)?;
    if user.starts_with(' ') || user.ends_with(' ') {
        return Err(MapError::Forbidden);
    }
    let start = text.len();
    let mut rest = user.chars();
    while let Some(c) = rest.next() {
        let guard = match (c, rest.as_str().as_bytes()) {
            ('\\', [high, low, ..]) => unescaped(*high, *low).is_some(),
            _ => false,
        };
        match c {
            '\\' if guard => text.push_str("\\5c"),
            ' ' => text.push_str("\\20"),
            '"' => text.push_str("\\22"),
            '&' => text.push_str("\\26"),
            '\'' => text.push_str("\\27"),
            '/' => text.push_str("\\2f"),
            ':' => text.push_str("\\3a"),
            '<' => text.push_str("\\3c"),
            '>' => text.push_str("\\3e"),
            '@' => text.push_str("\\40"),
            c => text.push(c),
        }
    }
    // A mark behind an escaped character would combine with the last letter of the escape and so
    // become another user's address: what preparation still changes is refused.
    let local = text.get(start..).unwrap_or_default();
    if prep::local(local)? == local { Ok(()) } else { Err(MapError::Forbidden) }
}

/// The character that `\` with these two hex digits stands for (XEP-0106 §3.3). Nothing else is an
/// escape, upper-case digits neither: a localpart has none.
fn unescaped(high: u8, low: u8) -> Option<u8> {
    match (high, low) {
        (b'2', b'0') => Some(b' '),
        (b'2', b'2') => Some(b'"'),
        (b'2', b'6') => Some(b'&'),
        (b'2', b'7') => Some(b'\''),
        (b'2', b'f') => Some(b'/'),
        (b'3', b'a') => Some(b':'),
        (b'3', b'c') => Some(b'<'),
        (b'3', b'e') => Some(b'>'),
        (b'4', b'0') => Some(b'@'),
        (b'5', b'c') => Some(b'\\'),
        _ => None,
    }
}

/// %-decodes a part that is to be UTF-8 without control characters.
fn decoded(raw: &str) -> Result<Cow<'_, str>, MapError> {
    let broken = raw.split('%').skip(1).any(|after| match after.as_bytes() {
        [high, low, ..] => !high.is_ascii_hexdigit() || !low.is_ascii_hexdigit(),
        _ => true,
    });
    if broken {
        return Err(MapError::BadSyntax);
    }
    let text = percent_decode_str(raw).decode_utf8().map_err(|_| MapError::NotUtf8)?;
    if text.chars().any(char::is_control) { Err(MapError::BadSyntax) } else { Ok(text) }
}

fn encode(octet: u8, set: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    if IS[usize::from(octet)] & set != 0 {
        out.push(octet);
    } else {
        out.extend_from_slice(&[b'%', HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 15)]]);
    }
}

/// Stands in a SIP user part unescaped (RFC 3261 §25.1 `user`).
const IN_USER: u8 = 1;
/// Stands in the value of a URI parameter unescaped (RFC 3261 §25.1 `paramchar`).
const IN_PARAM: u8 = 2;
/// Stands in a SIP user part and, lower-cased, in a localpart.
const PLAIN: u8 = 4;

/// For each octet, where it stands as it is.
static IS: [u8; 256] = {
    let mut table = [0; 256];
    add(
        &mut table,
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        IN_USER | IN_PARAM | PLAIN,
    );
    add(&mut table, b"-_.!~*()", IN_USER | IN_PARAM | PLAIN);
    add(&mut table, b"'", IN_USER | IN_PARAM);
    add(&mut table, b"=+$,;?", IN_USER | PLAIN);
    add(&mut table, b"&/", IN_USER);
    add(&mut table, b"[]/:&+$", IN_PARAM);
    table
};

const fn add(table: &mut [u8; 256], octets: &[u8], class: u8) {
    let mut i = 0;
    while i < octets.len() {
        table[octets[i] as usize] |= class;
        i += 1;
    }
}

#[cfg(test)]
mod tests;
