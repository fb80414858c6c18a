//! The header of a `message/cpim` message (RFC 3862), and what RFC 5438 asks for in it.
//!
//! Header names are exact: `subject` is no `Subject`. From and To are not kept, because whoever
//! wrote them proved nothing; who speaks to whom is what the request says.

pub mod write;

use super::charset::one_line;
use super::{BodyError, mime};
use std::borrow::Cow;

/// The namespace of the headers of RFC 3862.
const CORE: &str = "urn:ietf:params:cpim-headers:";
/// The namespace of the headers of RFC 5438.
const IMDN: &str = "urn:ietf:params:imdn";
/// Headers, and bindings of prefixes, in one message.
const HEADERS_MAX: usize = 64;

/// The header of a CPIM message, as far as it is of use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpim<'a> {
    /// The first subject, on one line.
    pub subject: Option<Cow<'a, str>>,
    /// The language of the subject.
    pub subject_lang: Option<&'a str>,
    /// When it was sent: RFC 3339, not checked.
    pub date: Option<Cow<'a, str>>,
    /// The id that notifications about this message refer to.
    pub message_id: Option<Cow<'a, str>>,
    /// Which notifications are asked for.
    pub notify: Notify,
}

/// What the sender wants to be told (RFC 5438 §6.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// `positive-delivery`: that it was delivered.
    pub delivery: bool,
    /// `negative-delivery`: that it was not.
    pub failure: bool,
    /// `display`: that it was shown.
    pub display: bool,
    /// `processing`: what an intermediary did.
    pub processing: bool,
}

/// A header that is understood.
enum Known {
    Subject,
    DateTime,
    MessageId,
    Notification,
    Namespace,
    Require,
    /// Understood, and of no use here.
    Other,
}

impl<'a> Cpim<'a> {
    /// Reads the header; what follows it is a part with a header of its own.
    ///
    /// # Errors
    ///
    /// [`BodyError::Malformed`] for what is no header, [`BodyError::NotText`] for one that is not
    /// UTF-8, [`BodyError::UnsupportedHeader`] when a `Require` names what is not understood.
    pub fn parse(octets: &'a [u8]) -> Result<(Self, &'a [u8]), BodyError> {
        let (header, content) = mime::header_of(octets);
        let header = std::str::from_utf8(header).map_err(|_| BodyError::NotText)?;
        let mut cpim = Self::default();
        let mut spaces = Spaces { default: CORE, bound: Vec::new() };
        for (count, line) in header.lines().enumerate() {
            if count == HEADERS_MAX {
                return Err(BodyError::TooDeep);
            }
            let (name, rest) = line.split_once(':').ok_or(BodyError::Malformed)?;
            if !is_name(name) {
                return Err(BodyError::Malformed);
            }
            let (lang, value) = parameters(rest).ok_or(BodyError::Malformed)?;
            let Some(known) = spaces.known(name) else { continue };
            match known {
                Known::Subject if cpim.subject.is_none() => {
                    cpim.subject = Some(line_of(value));
                    cpim.subject_lang = lang.and_then(mime::language);
                }
                Known::DateTime => cpim.date = Some(line_of(value)),
                Known::MessageId => cpim.message_id = Some(line_of(value)),
                Known::Notification => cpim.notify = Notify::of(value),
                Known::Namespace => spaces.bind(value).ok_or(BodyError::Malformed)?,
                Known::Require => {
                    if value.split(',').any(|name| spaces.known(name.trim()).is_none()) {
                        return Err(BodyError::UnsupportedHeader);
                    }
                }
                Known::Subject | Known::Other => {}
            }
        }
        Ok((cpim, content))
    }
}

impl Notify {
    fn of(value: &str) -> Self {
        let mut notify = Self::default();
        for one in value.split(',') {
            // A value may carry parameters, which are for intermediaries.
            match one.split(';').next().unwrap_or_default().trim() {
                "positive-delivery" => notify.delivery = true,
                "negative-delivery" => notify.failure = true,
                "display" => notify.display = true,
                "processing" => notify.processing = true,
                _ => {}
            }
        }
        notify
    }
}

/// The namespaces that are in force (RFC 3862 §3.4).
struct Spaces<'a> {
    default: &'a str,
    bound: Vec<(&'a str, &'a str)>,
}

impl<'a> Spaces<'a> {
    /// Takes the value of an `NS` header: `imdn <urn:ietf:params:imdn>` or `<urn:…>`.
    fn bind(&mut self, value: &'a str) -> Option<()> {
        let (prefix, uri) = value.trim_end().strip_suffix('>')?.split_once('<')?;
        match prefix.trim() {
            "" => self.default = uri,
            prefix => self.bound.push((prefix, uri)),
        }
        Some(())
    }

    fn known(&self, name: &str) -> Option<Known> {
        let (space, name) = match name.split_once('.') {
            None => (self.default, name),
            Some((prefix, name)) => {
                let (_, uri) = self.bound.iter().rev().find(|(bound, _)| *bound == prefix)?;
                (*uri, name)
            }
        };
        match (space, name) {
            // A default namespace of another kind must not hide the way to change it.
            (_, "NS") => Some(Known::Namespace),
            (CORE, "Subject") => Some(Known::Subject),
            (CORE, "DateTime") => Some(Known::DateTime),
            (CORE, "Require") => Some(Known::Require),
            (CORE, "From" | "To" | "cc") => Some(Known::Other),
            (space, name) if space.strip_suffix(':').unwrap_or(space) == IMDN => match name {
                "Message-ID" => Some(Known::MessageId),
                "Disposition-Notification" => Some(Known::Notification),
                _ => None,
            },
            _ => None,
        }
    }
}

fn is_name(name: &str) -> bool {
    let valid = |octet: u8| octet.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&octet);
    !name.is_empty() && name.bytes().all(valid)
}

/// Takes the parameters off a value (RFC 3862 §3.6): the language, and the value behind the space.
fn parameters(rest: &str) -> Option<(Option<&str>, &str)> {
    let mut lang = None;
    let mut rest = rest;
    while let Some(after) = rest.strip_prefix(';') {
        let mut quoted = false;
        let mut escaped = false;
        let end = after.find(|c| {
            let ends = !quoted && matches!(c, ' ' | ';');
            quoted ^= c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let (parameter, behind) = after.split_at_checked(end.unwrap_or(after.len()))?;
        if let Some(tag) = parameter.strip_prefix("lang=") {
            lang = Some(tag);
        }
        rest = behind;
    }
    Some((lang, rest.strip_prefix(' ').unwrap_or(rest)))
}

/// A header value on one line, its escapes undone.
fn line_of(value: &str) -> Cow<'_, str> {
    match unescape(value) {
        Cow::Borrowed(value) => one_line(value, usize::MAX),
        Cow::Owned(value) => Cow::Owned(one_line(&value, usize::MAX).into_owned()),
    }
}

/// Undoes the escapes of RFC 3862 §2.3: `\uXXXX` counts in UTF-16, an unknown escape is the
/// character itself, and a backslash at the end is nothing.
fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut high = None;
    let mut rest = value;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        let mut plain = c;
        if c == '\\' {
            let Some(escape) = rest.chars().next() else { break };
            rest = rest.get(escape.len_utf8()..).unwrap_or_default();
            let unit = rest.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
            if let Some(unit) = unit.filter(|_| escape == 'u').and_then(|d| u16::from_str_radix(d, 16).ok()) {
                rest = rest.get(4..).unwrap_or_default();
                if (0xd800..0xdc00).contains(&unit) {
                    if high.replace(unit).is_some() {
                        out.push(char::REPLACEMENT_CHARACTER);
                    }
                    continue;
                }
                let units = high.take().into_iter().chain([unit]);
                out.extend(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
                continue;
            }
            plain = match escape {
                'b' => '\u{8}',
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                other => other,
            };
        }
        if high.take().is_some() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
        out.push(plain);
    }
    if high.is_some() {
        out.push(char::REPLACEMENT_CHARACTER);
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<(Cpim<'_>, &[u8]), BodyError> {
        Cpim::parse(text.as_bytes())
    }

    #[test]
    fn check_033_the_header_is_read() {
        let text = "From: MR SANDERS <im:piglet@100akerwood.com>\r\nTo: Depressed Donkey <im:eeyore@100akerwood.com>\r\n\
            DateTime: 2000-12-13T13:40:00-08:00\r\nSubject: the weather will be fine today\r\n\
            Subject:;lang=fr beau temps prevu pour aujourd'hui\r\nNS: MyFeatures <mid:MessageFeatures@id.foo.com>\r\n\
            MyFeatures.VitalMessageOption: Confirmation-requested\r\nNS: x <urn:ietf:params:imdn>\r\n\
            x.Message-ID: 34jk324j\r\nx.Disposition-Notification: positive-delivery;a=b, display\r\n\r\n\
            Content-Type: text/plain\r\n\r\nHere";
        let (cpim, content) = read(text).unwrap();
        assert_eq!(cpim.subject.as_deref(), Some("the weather will be fine today"));
        assert_eq!(cpim.date.as_deref(), Some("2000-12-13T13:40:00-08:00"));
        assert_eq!(cpim.message_id.as_deref(), Some("34jk324j"));
        assert_eq!(cpim.notify, Notify { delivery: true, display: true, ..Notify::default() });
        assert_eq!(content, b"Content-Type: text/plain\r\n\r\nHere");
        let (cpim, _) = read("Subject:;lang=fr;x=\"a b; c\" Objet de message\r\n\r\n").unwrap();
        assert_eq!((cpim.subject.as_deref(), cpim.subject_lang), (Some("Objet de message"), Some("fr")));
    }

    #[test]
    fn check_033_names_are_case_sensitive() {
        let (cpim, _) = read("subject: a\r\nSUBJECT: b\r\ndatetime: c\r\n\r\n").unwrap();
        assert_eq!(cpim, Cpim::default());
        let (cpim, _) =
            read("NS: imdn <urn:ietf:params:imdn>\r\nimdn.message-id: a\r\nImdn.Message-ID: b\r\n\r\n")
                .unwrap();
        assert_eq!(cpim.message_id, None);
    }

    #[test]
    fn check_033_escapes_are_decoded() {
        for (value, plain) in [
            ("a\\\\b\\\"c\\'d", "a\\b\"c'd"),
            ("\\u00e9\\u65E5\\uD83E\\udd80", "é日🦀"),
            ("\\ud83e", "\u{fffd}"),
            ("\\ud83e\\ud83e\\udd80\\udd80x", "\u{fffd}🦀\u{fffd}x"),
            ("a\\nb\\r\\nc\\td", "a b c d"),
            ("a\\u0000b\\b", "a b"),
            ("\\q\\u12\\uzzzz", "qu12uzzzz"),
            ("é\\é\\", "éé"),
        ] {
            let text = format!("Subject: {value}\r\n\r\n");
            assert_eq!(read(&text).unwrap().0.subject.as_deref(), Some(plain), "{value}");
        }
    }

    #[test]
    fn check_033_prefixes_follow_their_declarations() {
        let (cpim, _) = read("NS: <urn:x>\r\nSubject: other\r\nNS: c <urn:ietf:params:cpim-headers:>\r\nc.Subject: mine\r\n\r\n").unwrap();
        assert_eq!(cpim.subject.as_deref(), Some("mine"));
        let (cpim, _) =
            read("imdn.Message-ID: a\r\nNS: imdn <urn:ietf:params:imdn:>\r\nimdn.Message-ID: b\r\n\r\n")
                .unwrap();
        assert_eq!(cpim.message_id.as_deref(), Some("b"));
    }

    #[test]
    fn what_is_required_must_be_understood() {
        assert!(read("Require: Subject, From\r\n\r\n").is_ok());
        assert!(read("NS: i <urn:ietf:params:imdn>\r\nRequire: i.Message-ID\r\n\r\n").is_ok());
        for text in [
            "Require: Vital\r\n\r\n",
            "NS: a <urn:a>\r\nRequire: a.Vital\r\n\r\n",
            "Require: a.Subject\r\n\r\n",
        ] {
            assert_eq!(read(text).unwrap_err(), BodyError::UnsupportedHeader);
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for text in ["hello\r\n\r\n", ": x\r\n\r\n", "a b: x\r\n\r\n", " a: x\r\n\r\n", "NS: urn:a\r\n\r\n"] {
            assert_eq!(read(text).unwrap_err(), BodyError::Malformed, "{text:?}");
        }
        assert_eq!(Cpim::parse(b"Subject: \xff\r\n\r\n").unwrap_err(), BodyError::NotText);
        assert_eq!(read(&"A: b\r\n".repeat(65)).unwrap_err(), BodyError::TooDeep);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(value in "(\\\\u[0-9a-fdD8]{3,4}|\\\\.|[;\"\\\\ =é<>,.:]|\\PC){0,24}") {
            for name in ["Subject:", "Subject: ", "NS: ", "Require: "] {
                let text = format!("{name}{value}\r\n\r\n");
                if let Ok((cpim, _)) = read(&text) {
                    prop_assert!(!cpim.subject.unwrap_or_default().contains(char::is_control));
                }
            }
        }
    }
}
