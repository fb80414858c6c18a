//! URIs as SIP headers and start lines carry them, borrowed from the text.
//!
//! [`Uri::parse`] consumes all of its input or fails: what is left over after a URI is how two
//! readers come to see two different hosts. `sip:` and `sips:` follow RFC 3261 §19.1 and §25.1,
//! `tel:` RFC 3966 §3, `im:` and `pres:` RFC 3860 §3 and RFC 3859 §3 in the shape of a `sip:` URI
//! without parameters; every other scheme stays opaque. Nothing is decoded here: escapes are
//! checked to be `%HH` and left in place, `addr::map` decodes the parts that cross.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Most parameters of one URI.
const MAX_PARAMS: usize = 64;

/// The scheme of a URI, matched without regard to case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme<'a> {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// `im:`
    Im,
    /// `pres:`
    Pres,
    /// Any other, as it was spelt.
    Other(&'a str),
}

/// A URI in its parts, all borrowed and still escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// The scheme.
    pub scheme: Scheme<'a>,
    /// The user part, raw. For `tel:` the number without its parameters, for [`Scheme::Other`] all
    /// that follows the scheme.
    pub user: Option<&'a str>,
    /// The password behind the user's `:`, raw; it may be empty.
    pub password: Option<&'a str>,
    /// The host as it was spelt, an IPv6 reference with its brackets; empty for `tel:` and
    /// [`Scheme::Other`].
    pub host: &'a str,
    /// The port.
    pub port: Option<u16>,
    /// All parameters, raw, without the first `;`; empty if there are none.
    pub params: &'a str,
    /// The headers, raw, without the `?`.
    pub headers: Option<&'a str>,
}

/// Why a text is no URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// No scheme, or one with a character that schemes do not have.
    #[error("the URI has no valid scheme")]
    Scheme,
    /// The user part is empty or has a character that must be escaped.
    #[error("the user part of the URI is not valid")]
    User,
    /// The password has a character that must be escaped.
    #[error("the password of the URI is not valid")]
    Password,
    /// The host is no host name, IPv4 address or IPv6 reference.
    #[error("the host of the URI is not valid")]
    Host,
    /// The port is no number from 0 to 65535.
    #[error("the port of the URI is not valid")]
    Port,
    /// A parameter is empty, has a character that must be escaped, is there twice, or there are
    /// more than 64.
    #[error("the parameters of the URI are not valid")]
    Params,
    /// A header has no `=` or has a character that must be escaped.
    #[error("the headers of the URI are not valid")]
    Headers,
    /// What follows a `tel:` or an unknown scheme is empty or has a character that no URI has.
    #[error("the opaque part of the URI is not valid")]
    Opaque,
}

impl<'a> Uri<'a> {
    /// Parses `text`, all of it.
    ///
    /// # Errors
    /// [`UriError`] names the part that RFC 3261 §25.1 (or the scheme's own RFC) does not allow.
    pub fn parse(text: &'a str) -> Result<Self, UriError> {
        let (name, rest) = cut(text, b':').ok_or(UriError::Scheme)?;
        let scheme = scheme(name)?;
        match scheme {
            Scheme::Sip | Scheme::Sips => hierarchical(scheme, rest, true),
            Scheme::Im | Scheme::Pres => hierarchical(scheme, rest, false),
            Scheme::Tel => telephone(rest),
            Scheme::Other(_) => opaque(scheme, rest),
        }
    }

    /// The value of the first parameter called `name` (lower case): `Some(None)` if it has none.
    ///
    /// Names compare without regard to case, an escaped character equals itself (RFC 3261
    /// §19.1.4). The value is raw.
    pub fn param(&self, name: &str) -> Option<Option<&'a str>> {
        self.params().find(|(raw, _)| same_name(raw, name)).map(|(_, value)| value)
    }

    /// The parameters in their order, raw.
    pub fn params(&self) -> impl Iterator<Item = (&'a str, Option<&'a str>)> + use<'a> {
        let params = self.params;
        params.split(';').filter(|one| !one.is_empty()).map(|one| match cut(one, b'=') {
            Some((name, value)) => (name, Some(value)),
            None => (one, None),
        })
    }

    /// Whether the scheme is `sip` or `sips`.
    pub fn is_sip(&self) -> bool {
        matches!(self.scheme, Scheme::Sip | Scheme::Sips)
    }
}

/// Whether `host` is a host name, an IPv4 address or an IPv6 reference (RFC 3261 §25.1).
pub fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() > 253 {
        return false;
    }
    // Labels are letters, digits and hyphens, the hyphens inside.
    let (mut label, mut top, mut last) = (0, b'.', b'.');
    for &byte in name.as_bytes() {
        match byte {
            b'.' if last == b'.' || last == b'-' => return false,
            b'.' => label = 0,
            b'-' if last == b'.' => return false,
            b'-' => label += 1,
            _ if !byte.is_ascii_alphanumeric() => return false,
            _ => {
                if label == 0 {
                    top = byte;
                }
                label += 1;
            }
        }
        if label > 63 {
            return false;
        }
        last = byte;
    }
    if last == b'.' || last == b'-' {
        return false;
    }
    // The last label starts with a letter, so a name is never taken for an address.
    top.is_ascii_alphabetic() || host.parse::<Ipv4Addr>().is_ok()
}

/// Splits `text` into a host and a port and checks both (RFC 3261 §25.1 `hostport`).
///
/// # Errors
/// [`UriError::Host`] or [`UriError::Port`].
pub fn host_port(text: &str) -> Result<(&str, Option<u16>), UriError> {
    let host_end = match text.strip_prefix('[') {
        Some(_) => text.find(']').ok_or(UriError::Host)? + 1,
        None => text.bytes().position(|b| b == b':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at_checked(host_end).ok_or(UriError::Host)?;
    if !is_host(host) {
        return Err(UriError::Host);
    }
    if rest.is_empty() {
        return Ok((host, None));
    }
    let digits = rest.strip_prefix(':').ok_or(UriError::Host)?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(UriError::Port);
    }
    digits.parse().map(|port| (host, Some(port))).map_err(|_| UriError::Port)
}

fn scheme(name: &str) -> Result<Scheme<'_>, UriError> {
    let known = [
        ("sip", Scheme::Sip),
        ("sips", Scheme::Sips),
        ("tel", Scheme::Tel),
        ("im", Scheme::Im),
        ("pres", Scheme::Pres),
    ];
    if let Some((_, scheme)) = known.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        return Ok(*scheme);
    }
    let mut bytes = name.bytes();
    let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic());
    if starts && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')) {
        Ok(Scheme::Other(name))
    } else {
        Err(UriError::Scheme)
    }
}

fn hierarchical<'a>(scheme: Scheme<'a>, rest: &'a str, with_params: bool) -> Result<Uri<'a>, UriError> {
    // '@' stands nowhere else unescaped, so the first one ends the userinfo; a second one is then
    // in the host, where nothing allows it.
    let (user, password, rest) = match cut(rest, b'@') {
        Some((info, rest)) => {
            let (user, password) = match cut(info, b':') {
                Some((user, password)) => (user, Some(password)),
                None => (info, None),
            };
            if user.is_empty() || !all(user, USER) {
                return Err(UriError::User);
            }
            if !password.is_none_or(|password| all(password, PASSWORD)) {
                return Err(UriError::Password);
            }
            (Some(user), password, rest)
        }
        None => (None, None, rest),
    };
    let (rest, headers) = match cut(rest, b'?') {
        Some((rest, headers)) => (rest, Some(headers)),
        None => (rest, None),
    };
    let (hostport, params) = match cut(rest, b';') {
        Some((hostport, params)) if with_params => (hostport, Some(params)),
        Some(_) => return Err(UriError::Params),
        None => (rest, None),
    };
    let (host, port) = host_port(hostport)?;
    if let Some(params) = params {
        check_params(params)?;
    }
    if let Some(headers) = headers {
        check_headers(headers)?;
    }
    Ok(Uri { scheme, user, password, host, port, params: params.unwrap_or_default(), headers })
}

fn telephone(rest: &str) -> Result<Uri<'_>, UriError> {
    let (number, params) = match cut(rest, b';') {
        Some((number, params)) => (number, Some(params)),
        None => (rest, None),
    };
    let separator = |b: u8| matches!(b, b'-' | b'.' | b'(' | b')');
    let valid = match number.strip_prefix('+') {
        Some(global) => {
            global.bytes().all(|b| b.is_ascii_digit() || separator(b))
                && global.bytes().any(|b| b.is_ascii_digit())
        }
        None => {
            let digit = |b: u8| b.is_ascii_hexdigit() || b == b'*' || b == b'#';
            number.bytes().all(|b| digit(b) || separator(b)) && number.bytes().any(digit)
        }
    };
    if !valid {
        return Err(UriError::Opaque);
    }
    if let Some(params) = params {
        check_params(params)?;
    }
    Ok(Uri {
        scheme: Scheme::Tel,
        user: Some(number),
        password: None,
        host: "",
        port: None,
        params: params.unwrap_or_default(),
        headers: None,
    })
}

fn opaque<'a>(scheme: Scheme<'a>, rest: &'a str) -> Result<Uri<'a>, UriError> {
    if rest.is_empty() || !all(rest, OPAQUE) {
        return Err(UriError::Opaque);
    }
    Ok(Uri { scheme, user: Some(rest), password: None, host: "", port: None, params: "", headers: None })
}

fn check_params(params: &str) -> Result<(), UriError> {
    for (index, one) in params.split(';').enumerate() {
        let (name, value) = match cut(one, b'=') {
            Some((name, value)) => (name, Some(value)),
            None => (one, None),
        };
        // COMPAT Lync Server 2010: base64 values end in a bare '=' (`;ms-key-info=AEAAAa==;lr`).
        let fits = |value: &str| !value.is_empty() && all(value, PARAM_VALUE);
        if index >= MAX_PARAMS || name.is_empty() || !all(name, PARAM) || !value.is_none_or(fits) {
            return Err(UriError::Params);
        }
        let twice = params.split(';').take(index).any(|earlier| {
            earlier.split('=').next().is_some_and(|earlier| earlier.eq_ignore_ascii_case(name))
        });
        if twice {
            return Err(UriError::Params);
        }
    }
    Ok(())
}

fn check_headers(headers: &str) -> Result<(), UriError> {
    for one in headers.split('&') {
        let (name, value) = one.split_once('=').ok_or(UriError::Headers)?;
        if name.is_empty() || !all(name, HEADER) || !all(value, HEADER) {
            return Err(UriError::Headers);
        }
    }
    Ok(())
}

/// The text before and after the first `byte`, which is ASCII. Parts are short: a plain loop is
/// faster than a searcher.
fn cut(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|b| b == byte)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Whether the raw name `escaped` is `name`, which is lower case and has no escapes.
fn same_name(escaped: &str, name: &str) -> bool {
    if !escaped.contains('%') {
        return escaped.eq_ignore_ascii_case(name);
    }
    percent_encoding::percent_decode_str(escaped).map(|b| b.to_ascii_lowercase()).eq(name.bytes())
}

/// Whether every character of `text` is of `class` or an escape `%HH`.
fn all(text: &str, class: u8) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let table = CLASS[usize::from(byte)];
        if table & class != 0 {
            continue;
        }
        let hex = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_hexdigit());
        if byte != b'%' || !hex(bytes.next()) || !hex(bytes.next()) {
            return false;
        }
    }
    true
}

const USER: u8 = 1;
const PASSWORD: u8 = 2;
const PARAM: u8 = 4;
const PARAM_VALUE: u8 = 8;
const HEADER: u8 = 16;
const OPAQUE: u8 = 32;

/// For each octet the parts of a URI where it stands unescaped.
static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 128 {
        let byte = i as u8;
        if byte.is_ascii_alphanumeric() {
            table[i] = 0xff;
        }
        i += 1;
    }
    add(&mut table, b"-_.!~*'()", 0xff);
    add(&mut table, b"&=+$,;?/", USER);
    add(&mut table, b"&=+$,", PASSWORD);
    add(&mut table, b"[]/:&+$", PARAM | PARAM_VALUE);
    add(&mut table, b"=", PARAM_VALUE);
    add(&mut table, b"[]/?:+$", HEADER);
    add(&mut table, b";/?:@&=+$,[]", OPAQUE);
    table
};

const fn add(table: &mut [u8; 256], bytes: &[u8], class: u8) {
    let mut i = 0;
    while i < bytes.len() {
        table[bytes[i] as usize] |= class;
        i += 1;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_part_is_found() {
        let uri = Uri::parse("sips:bob:se&cret@Host.example:5061;transport=tcp;lr?Subject=x&To=").unwrap();
        assert_eq!(uri.scheme, Scheme::Sips);
        assert_eq!((uri.user, uri.password), (Some("bob"), Some("se&cret")));
        assert_eq!((uri.host, uri.port), ("Host.example", Some(5061)));
        assert_eq!(uri.params, "transport=tcp;lr");
        assert_eq!(uri.headers, Some("Subject=x&To="));
        assert_eq!(uri.param("TRANSPORT"), Some(Some("tcp")));
        assert_eq!(uri.param("lr"), Some(None));
        assert_eq!(uri.param("maddr"), None);
    }

    #[test]
    fn hosts_that_readers_disagree_about() {
        // The host is what follows the only '@': policy is asked about it.
        let uri = Uri::parse("sip:sips%3Auser%40example.com@example.net").unwrap();
        assert_eq!((uri.user, uri.host), (Some("sips%3Auser%40example.com"), "example.net"));
        let uri = Uri::parse("sip:user;par=u%40example.net@example.com").unwrap();
        assert_eq!((uri.user, uri.host), (Some("user;par=u%40example.net"), "example.com"));
        let text = "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com";
        let uri = Uri::parse(text).unwrap();
        assert_eq!(uri.user, Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));
        assert_eq!(uri.password, Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"));
        assert_eq!(uri.host, "example.com");
        assert_eq!(Uri::parse("sip:a@b@c"), Err(UriError::Host));
        assert_eq!(Uri::parse("sip:a@evil.example;x=@good.example"), Err(UriError::Params));
    }

    #[test]
    fn lync_parameters_keep_their_padding() {
        let uri =
            Uri::parse("sip:edge.example:5061;transport=tls;ms-key-info=AEAAAa==;lr;ms-route-sig=ab+/c=")
                .unwrap();
        assert_eq!(uri.param("ms-key-info"), Some(Some("AEAAAa==")));
        assert_eq!(uri.param("lr"), Some(None));
        assert_eq!(uri.param("ms-route-sig"), Some(Some("ab+/c=")));
        let uri = Uri::parse("sip:u@h.example;opaque=user:epid:Xy..;gruu").unwrap();
        assert_eq!(uri.param("opaque"), Some(Some("user:epid:Xy..")));
        assert_eq!(uri.param("gruu"), Some(None));
    }

    #[test]
    fn escaped_parameter_names_are_equal() {
        let uri = Uri::parse("sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31").unwrap();
        assert_eq!(uri.param("lr"), Some(None));
        assert_eq!(uri.param("name"), Some(Some("v%61lue%25%34%31")));
    }

    #[test]
    fn addresses_as_hosts() {
        let uri = Uri::parse("sip:bob@[2001:db8::1]:5061;lr").unwrap();
        assert_eq!((uri.host, uri.port), ("[2001:db8::1]", Some(5061)));
        assert_eq!(Uri::parse("sip:bob@[::ffff:192.0.2.1]").unwrap().host, "[::ffff:192.0.2.1]");
        assert_eq!(Uri::parse("sip:bob@192.0.2.4").unwrap().host, "192.0.2.4");
        for bad in [
            "sip:a@[::1",
            "sip:a@::1",
            "sip:a@[::1]x",
            "sip:a@[1.2.3.4]",
            "sip:a@[]",
            "sip:a@1.2.3",
            "sip:a@256.1.1.1",
            "sip:a@1.2.3.4.5",
            "sip:a@h_x",
            "sip:a@-h",
            "sip:a@h-",
            "sip:a@h..x",
            "sip:a@.h",
            "sip:a@",
            "sip:a@b\u{fc}cher.example",
            "sip:a@h%2e",
            "sip:a@[fe80::1%25eth0]",
        ] {
            assert_eq!(Uri::parse(bad), Err(UriError::Host), "{bad}");
        }
        assert_eq!(Uri::parse("sip:a@example.com.").unwrap().host, "example.com.");
    }

    #[test]
    fn other_schemes() {
        let uri = Uri::parse("tel:+1-555-123-0001;phone-context=x").unwrap();
        assert_eq!((uri.scheme, uri.user, uri.host), (Scheme::Tel, Some("+1-555-123-0001"), ""));
        assert_eq!(uri.param("phone-context"), Some(Some("x")));
        assert_eq!(Uri::parse("pres:a@b.example").unwrap().scheme, Scheme::Pres);
        let uri = Uri::parse("IM:a@b.example?subject=hi").unwrap();
        assert_eq!((uri.scheme, uri.user, uri.headers), (Scheme::Im, Some("a"), Some("subject=hi")));
        for other in [
            "soap.beep://192.0.2.103:3002",
            "isbn:2983792873",
            "http://www.example.com",
            "nobodyKnowsThisScheme:totallyopaquecontent",
            "urn:service:sos",
        ] {
            let uri = Uri::parse(other).unwrap();
            assert!(matches!(uri.scheme, Scheme::Other(_)), "{other}");
            assert_eq!(uri.user, other.split_once(':').map(|(_, rest)| rest));
        }
        assert_eq!(Uri::parse("tel:"), Err(UriError::Opaque));
        assert_eq!(Uri::parse("tel:+"), Err(UriError::Opaque));
        assert_eq!(Uri::parse("im:a@b.example;x=y"), Err(UriError::Params));
        assert_eq!(Uri::parse("http:"), Err(UriError::Opaque));
    }

    #[test]
    fn nothing_is_left_over() {
        let bad = [
            ("", UriError::Scheme),
            ("sip", UriError::Scheme),
            (":a@h", UriError::Scheme),
            ("1x:y", UriError::Scheme),
            ("si p:a@h", UriError::Scheme),
            (" sip:a@h", UriError::Scheme),
            ("sip:", UriError::Host),
            ("sip:@h", UriError::User),
            ("sip::pw@h", UriError::User),
            ("sip:a b@h", UriError::User),
            ("sip:a\"b@h", UriError::User),
            ("sip:a%4@h", UriError::User),
            ("sip:a%4g@h", UriError::User),
            ("sip:a%@h", UriError::User),
            ("sip:\u{e9}@h", UriError::User),
            ("sip:a\0@h", UriError::User),
            ("sip:a:b;c@h", UriError::Password),
            ("sip:a:b:c@h", UriError::Password),
            ("sip:a@h:", UriError::Port),
            ("sip:a@h:x", UriError::Port),
            ("sip:a@h:+5", UriError::Port),
            ("sip:a@h:65536", UriError::Port),
            ("sip:a@h; lr", UriError::Params),
            ("sip:a@h;", UriError::Params),
            ("sip:a@h;;lr", UriError::Params),
            ("sip:a@h;=x", UriError::Params),
            ("sip:a@h;x=", UriError::Params),
            ("sip:a@h;x=%zz", UriError::Params),
            ("sip:a@h;lr;LR", UriError::Params),
            ("sip:a@h>", UriError::Host),
            ("sip:a@h ", UriError::Host),
            ("sip:a@h?", UriError::Headers),
            ("sip:a@h?x", UriError::Headers),
            ("sip:a@h?x=1&", UriError::Headers),
            ("sip:a@h?=1", UriError::Headers),
            ("<sip:a@h>", UriError::Scheme),
        ];
        for (text, error) in bad {
            assert_eq!(Uri::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn parameters_are_counted() {
        let with =
            |count: usize| (0..count).fold(String::from("sip:h"), |text, index| text + &format!(";p{index}"));
        assert_eq!(Uri::parse(&with(64)).unwrap().params().count(), 64);
        assert_eq!(Uri::parse(&with(65)), Err(UriError::Params));
    }

    proptest::proptest! {
        #[test]
        fn any_text_parses_or_fails_and_its_parts_are_parts_of_it(text in "(sip:|SIPS:|tel:|im:|)[a-z0-9%:;=@?&.\\[\\]\u{e9} -]{0,40}") {
            if let Ok(uri) = Uri::parse(&text) {
                let mut whole = String::from(text.split_once(':').unwrap().0);
                whole.push(':');
                if let Some(user) = uri.user {
                    whole.push_str(user);
                }
                if let Some(password) = uri.password {
                    whole.push(':');
                    whole.push_str(password);
                }
                if text.contains('@') && !uri.host.is_empty() {
                    whole.push('@');
                }
                whole.push_str(uri.host);
                if let Some((_, after)) = text.rsplit_once(uri.host).filter(|_| uri.port.is_some()) {
                    let end = after.find([';', '?']).unwrap_or(after.len());
                    whole.push_str(&after[..end]);
                }
                if !uri.params.is_empty() {
                    whole.push(';');
                    whole.push_str(uri.params);
                }
                if let Some(headers) = uri.headers {
                    whole.push('?');
                    whole.push_str(headers);
                }
                proptest::prop_assert_eq!(whole, text);
            }
        }
    }
}
