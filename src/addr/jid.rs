//! JIDs (RFC 7622): localpart, domainpart and resourcepart, prepared once and kept as one text.

use super::domain::{self, Domain, Shape};
use super::{AddrError, PART_MAX, Part, prep};
use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Octets before preparation that are worth a look: three parts that shrink to a third.
const RAW_MAX: usize = 9 * PART_MAX;

/// A canonical JID: `juliet@example.com/balcony`, `juliet@example.com` or `example.com`.
///
/// Equal, ordered and hashed as its text, so a map of JIDs can be asked with a `&str`. A clone
/// shares the text. `Display` shows all of it; for a log use [`Masked`](super::Masked).
#[derive(Clone)]
pub struct Jid {
    text: Arc<str>,
    /// Octets of the localpart, 0 when there is none.
    local: u16,
    /// Octets of the domainpart.
    domain: u16,
}

impl Jid {
    /// Reads a JID and prepares its parts (RFC 7622 §3).
    ///
    /// # Errors
    ///
    /// The part that is empty, too long or holds what its profile forbids.
    pub fn parse(text: &str) -> Result<Self, AddrError> {
        let (local, domain, resource) = split(text);
        let bare_domain = domain.strip_suffix('.').unwrap_or(domain);
        let local_shape = local.map_or(Shape::Canonical, prep::local_shape);
        let domain_shape = domain::shape(bare_domain);
        let plain = local_shape != Shape::Unclear
            && domain_shape != Shape::Unclear
            && resource.is_none_or(prep::resource_is_plain)
            && (bare_domain.len() == domain.len() || resource.is_none());
        if !plain {
            return Self::prepare(local, domain, resource, text.len());
        }
        let text = text.strip_suffix('.').filter(|_| resource.is_none()).unwrap_or(text);
        let mut jid = Self::of_canonical(text, local, bare_domain);
        if (local_shape, domain_shape) != (Shape::Canonical, Shape::Canonical) {
            let end = jid.domain_end();
            if let Some(text) = Arc::get_mut(&mut jid.text).and_then(|text| text.get_mut(..end)) {
                text.make_ascii_lowercase();
            }
        }
        Ok(jid)
    }

    /// Joins parts that are not prepared yet to a domain that is.
    ///
    /// # Errors
    ///
    /// The part that is empty, too long or holds what its profile forbids.
    pub fn from_parts(
        local: Option<&str>,
        domain: &Domain,
        resource: Option<&str>,
    ) -> Result<Self, AddrError> {
        let local = local.map(prep::local).transpose()?;
        let resource = resource.map(prep::resource).transpose()?;
        Ok(Self::join(local, Cow::Borrowed(domain.as_str()), resource))
    }

    /// The domainpart of an address, whatever else is wrong with it.
    ///
    /// # Errors
    ///
    /// It is no domainpart.
    pub fn domain_of(text: &str) -> Result<Domain, AddrError> {
        Domain::parse(split(text).1)
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The text without the resourcepart.
    pub fn bare_str(&self) -> &str {
        self.text.get(..self.domain_end()).unwrap_or_default()
    }

    /// The localpart, escaped as it stands (XEP-0106).
    pub fn local(&self) -> Option<&str> {
        self.text.get(..usize::from(self.local)).filter(|local| !local.is_empty())
    }

    /// The domainpart.
    pub fn domain(&self) -> &str {
        self.text.get(self.domain_start()..self.domain_end()).unwrap_or_default()
    }

    /// The resourcepart.
    pub fn resource(&self) -> Option<&str> {
        self.text.get(self.domain_end() + 1..)
    }

    /// Whether there is no resourcepart.
    pub fn is_bare(&self) -> bool {
        self.text.len() == self.domain_end()
    }

    /// The JID without its resourcepart.
    pub fn to_bare(&self) -> Self {
        if self.is_bare() {
            return self.clone();
        }
        Self { text: Arc::from(self.bare_str()), local: self.local, domain: self.domain }
    }

    /// The domainpart as a [`Domain`]; it is not checked again.
    pub fn to_domain(&self) -> Domain {
        Domain::of_canonical(self.domain())
    }

    fn domain_start(&self) -> usize {
        usize::from(self.local) + usize::from(self.local > 0)
    }

    fn domain_end(&self) -> usize {
        self.domain_start() + usize::from(self.domain)
    }

    /// The slow way: each part prepared by its own rules.
    fn prepare(
        local: Option<&str>,
        domain: &str,
        resource: Option<&str>,
        length: usize,
    ) -> Result<Self, AddrError> {
        if length > RAW_MAX {
            let longest = |part: Option<&str>| part.map_or(0, str::len);
            return Err(AddrError::TooLong(if longest(resource) > 3 * PART_MAX {
                Part::Resource
            } else if longest(local) > 3 * PART_MAX {
                Part::Local
            } else {
                Part::Domain
            }));
        }
        let domain = domain::canonical(domain)?;
        let local = local.map(prep::local).transpose()?;
        let resource = resource.map(prep::resource).transpose()?;
        Ok(Self::join(local, domain, resource))
    }

    fn join(local: Option<Cow<'_, str>>, domain: Cow<'_, str>, resource: Option<Cow<'_, str>>) -> Self {
        let length = |part: &Option<Cow<'_, str>>| part.as_ref().map_or(0, |part| part.len() + 1);
        let mut text = String::with_capacity(length(&local) + domain.len() + length(&resource));
        if let Some(local) = &local {
            text.push_str(local);
            text.push('@');
        }
        text.push_str(&domain);
        if let Some(resource) = &resource {
            text.push('/');
            text.push_str(resource);
        }
        Self::of_canonical(&text, local.as_deref(), &domain)
    }

    /// Wraps a text of canonical parts; each has at most [`PART_MAX`] octets, so lengths fit.
    pub(super) fn of_canonical(text: &str, local: Option<&str>, domain: &str) -> Self {
        let octets = |part: &str| u16::try_from(part.len()).unwrap_or(u16::MAX);
        Self { text: Arc::from(text), local: local.map_or(0, octets), domain: octets(domain) }
    }
}

/// Cuts a JID at its separators, before anything is transformed: the first `/` of the text, then
/// the first `@` before it (RFC 7622 §3.2).
pub(super) fn split(text: &str) -> (Option<&str>, &str, Option<&str>) {
    let (bare, resource) = match text.split_once('/') {
        Some((bare, resource)) => (bare, Some(resource)),
        None => (text, None),
    };
    match bare.split_once('@') {
        Some((local, domain)) => (Some(local), domain, resource),
        None => (None, bare, resource),
    }
}

impl PartialEq for Jid {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Jid {}

impl PartialOrd for Jid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Jid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for Jid {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Borrow<str> for Jid {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl AsRef<str> for Jid {
    fn as_ref(&self) -> &str {
        &self.text
    }
}

impl std::str::FromStr for Jid {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        Self::parse(text)
    }
}

impl fmt::Display for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Jid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn parts(text: &str) -> (Option<String>, String, Option<String>) {
        let jid = Jid::parse(text).unwrap();
        (jid.local().map(Into::into), jid.domain().into(), jid.resource().map(Into::into))
    }

    #[test]
    fn the_legal_examples_of_rfc_7622_are_read() {
        for (text, local, domain, resource) in [
            ("juliet@example.com", Some("juliet"), "example.com", None),
            ("juliet@example.com/foo", Some("juliet"), "example.com", Some("foo")),
            ("juliet@example.com/foo bar", Some("juliet"), "example.com", Some("foo bar")),
            ("juliet@example.com/foo@bar", Some("juliet"), "example.com", Some("foo@bar")),
            ("foo\\20bar@example.com", Some("foo\\20bar"), "example.com", None),
            ("fussball@example.com", Some("fussball"), "example.com", None),
            ("fu\u{df}ball@example.com", Some("fußball"), "example.com", None),
            ("\u{3c0}@example.com", Some("π"), "example.com", None),
            ("\u{3a3}@example.com/foo", Some("σ"), "example.com", Some("foo")),
            ("\u{3c3}@example.com/foo", Some("σ"), "example.com", Some("foo")),
            ("\u{3c2}@example.com/foo", Some("ς"), "example.com", Some("foo")),
            ("king@example.com/\u{265a}", Some("king"), "example.com", Some("♚")),
            ("example.com", None, "example.com", None),
            ("example.com/foobar", None, "example.com", Some("foobar")),
            ("a.example.com/b@example.net", None, "a.example.com", Some("b@example.net")),
            ("Juliet@EXAMPLE.com./Balcony/1", Some("juliet"), "example.com", Some("Balcony/1")),
            ("u@[2001:DB8::1]/r", Some("u"), "[2001:db8::1]", Some("r")),
            ("JULIET@Example.com.", Some("juliet"), "example.com", None),
            ("a@example.com/phone 🤖🪪", Some("a"), "example.com", Some("phone 🤖🪪")),
        ] {
            let expected = (local.map(Into::into), domain.into(), resource.map(Into::into));
            assert_eq!(parts(text), expected, "{text}");
        }
    }

    #[test]
    fn the_illegal_examples_of_rfc_7622_are_refused() {
        use AddrError::{Empty, Forbidden};
        for (text, error) in [
            ("\"juliet\"@example.com", Forbidden(Part::Local)),
            ("foo bar@example.com", Forbidden(Part::Local)),
            ("juliet@example.com/ foo", Forbidden(Part::Resource)),
            ("@example.com/", Empty(Part::Local)),
            ("henry\u{2163}@example.com", Forbidden(Part::Local)),
            ("\u{265a}@example.com", Forbidden(Part::Local)),
            ("juliet@", Empty(Part::Domain)),
            ("/foobar", Empty(Part::Domain)),
            ("", Empty(Part::Domain)),
            ("juliet@example.com/", Empty(Part::Resource)),
            ("a@b@example.com", Forbidden(Part::Domain)),
            ("a＠b@example.com", Forbidden(Part::Local)),
            ("a／b@example.com", Forbidden(Part::Local)),
            ("a<\u{338}@example.com", Forbidden(Part::Local)),
            ("a\u{ad}b@example.com", Forbidden(Part::Local)),
            ("a\u{200b}b@example.com", Forbidden(Part::Local)),
            ("a\rb@example.com", Forbidden(Part::Local)),
            ("a@example.com/b\nc", Forbidden(Part::Resource)),
            ("a@example.com/\u{2003}x", Forbidden(Part::Resource)),
            ("a@example.com/\u{fdd0}", Forbidden(Part::Resource)),
            ("a@example.com/\u{e001}", Forbidden(Part::Resource)),
        ] {
            assert_eq!(Jid::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn check_008_each_part_has_1_to_1023_octets() {
        use AddrError::TooLong;
        let (most, more) = ("a".repeat(1023), "a".repeat(1024));
        assert!(Jid::parse(&format!("{most}@example.com/{most}")).is_ok());
        assert_eq!(Jid::parse(&format!("{more}@example.com")), Err(TooLong(Part::Local)));
        assert_eq!(Jid::parse(&format!("a@example.com/{more}")), Err(TooLong(Part::Resource)));
        assert_eq!(Jid::parse(&format!("a@{more}")), Err(TooLong(Part::Domain)));
        let wide = "Ａ".repeat(1023);
        assert_eq!(parts(&format!("{wide}@example.com")).0, Some(most));
        assert_eq!(Jid::parse(&format!("{wide}Ａ@example.com")), Err(TooLong(Part::Local)));
        for huge in ["a", "Ａ", "·"] {
            let huge = huge.repeat(100_000);
            assert_eq!(Jid::parse(&format!("{huge}@example.com")), Err(TooLong(Part::Local)));
            assert_eq!(Jid::parse(&format!("example.com/{huge}")), Err(TooLong(Part::Resource)));
            assert_eq!(Jid::parse(&huge), Err(TooLong(Part::Domain)));
        }
    }

    #[test]
    fn characters_that_cost_a_look_along_the_text_are_few() {
        let jid = |count| Jid::parse(&format!("{}l@example.com", "l·".repeat(count)));
        assert!(jid(64).is_ok());
        assert_eq!(jid(65), Err(AddrError::Forbidden(Part::Local)));
        let digits = Jid::parse(&format!("example.com/{}", "\u{660}".repeat(65)));
        assert_eq!(digits, Err(AddrError::Forbidden(Part::Resource)));
    }

    #[test]
    fn parts_join_and_come_apart() {
        let domain = Domain::parse("Example.com").unwrap();
        let jid = Jid::from_parts(Some("JULIET"), &domain, Some("Balcony")).unwrap();
        assert_eq!(jid.as_str(), "juliet@example.com/Balcony");
        assert_eq!(jid.bare_str(), "juliet@example.com");
        assert_eq!(jid.to_bare(), Jid::parse("juliet@example.com").unwrap());
        assert_eq!((jid.is_bare(), jid.to_bare().is_bare()), (false, true));
        assert_eq!(jid.to_domain(), domain);
        assert_eq!(Jid::from_parts(Some(""), &domain, None), Err(AddrError::Empty(Part::Local)));
        assert_eq!(Jid::from_parts(None, &domain, Some("")), Err(AddrError::Empty(Part::Resource)));
    }

    #[test]
    fn a_map_of_jids_is_asked_with_text() {
        let map = std::collections::HashMap::from([(Jid::parse("A@example.com").unwrap(), 1)]);
        assert_eq!(map.get("a@example.com"), Some(&1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn canonical_twice_is_canonical_once(text in "\\PC{0,24}|\\PC{1,8}@example\\.com|[a-zA-Z@/.\\\\Ａ-Ｚ\u{300}-\u{345}ΣςİÅ]{1,20}|a@example\\.com/\\PC{1,9}") {
            if let Ok(jid) = Jid::parse(&text) {
                prop_assert_eq!(&Jid::parse(jid.as_str()).unwrap(), &jid);
                let again = Jid::from_parts(jid.local(), &jid.to_domain(), jid.resource()).unwrap();
                prop_assert_eq!(again.as_str(), jid.as_str());
                prop_assert_eq!((again.local, again.domain), (jid.local, jid.domain));
            }
        }

        #[test]
        fn no_octets_break_the_reader(octets in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Jid::parse(&String::from_utf8_lossy(&octets));
        }

        #[test]
        fn the_fast_path_agrees_with_precis(local in "[!-~]{1,12}", resource in "[ -~]{1,12}") {
            use precis_profiles::precis_core::profile::Profile;
            let domain = Domain::parse("example.com").unwrap();
            let excluded = local.contains(['"', '&', '\'', '/', ':', '<', '>', '@']);
            let jid = Jid::from_parts(Some(&local), &domain, None);
            let slow = precis_profiles::UsernameCaseMapped::new().enforce(&*local).unwrap();
            prop_assert_eq!(jid.ok().map(|jid| jid.local().unwrap().to_owned()), (!excluded).then(|| slow.into_owned()));
            let jid = Jid::from_parts(None, &domain, Some(&resource));
            let slow = precis_profiles::OpaqueString::new().enforce(&*resource).unwrap();
            prop_assert_eq!(jid.ok().map(|jid| jid.resource().unwrap().to_owned()), (!resource.starts_with(' ')).then(|| slow.into_owned()));
        }

        #[test]
        fn threat_131_spellings_that_prepare_alike_are_one_jid(
            local in "[a-zà-öα-ωа-я0-9._-]{1,10}",
            style in proptest::collection::vec(0u8..4, 10),
        ) {
            let Ok(plain) = Jid::parse(&format!("{local}@example.com")) else { return Ok(()) };
            let spelled: String = local.chars().zip(&style).flat_map(|(c, style)| match style {
                1 => c.to_uppercase().collect(),
                2 if c.is_ascii_graphic() => vec![char::from_u32(c as u32 + 0xfee0).unwrap()],
                _ => vec![c],
            }).collect();
            let domain: String = "example.com.".chars().zip(style.iter().cycle())
                .map(|(c, style)| if *style == 1 { c.to_ascii_uppercase() } else { c }).collect();
            if local.contains(['ß', 'ς']) { return Ok(()) } // their upper case is another letter
            let jid = Jid::parse(&format!("{spelled}@{domain}/Any")).unwrap();
            prop_assert_eq!(jid.to_bare(), plain);
        }
    }
}
