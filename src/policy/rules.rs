//! The words of the policy file as values: where a row stands, policies, whom a pattern means.

use super::written;
use crate::addr::{Domain, Jid, map};
use std::fmt;

/// Stars that a pattern may have.
const MAX_STARS: usize = 4;
/// Octets that a pattern may have.
const MAX_PATTERN: usize = 512;

/// Which file a row stands in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum File {
    /// The policy file.
    #[default]
    Policy,
    /// The file that `[grants]` names.
    Grants,
}

/// Where a row stands. Line 0 means that it is built in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct At {
    /// The file.
    pub file: File,
    /// The line, from 1.
    pub line: u32,
}

impl At {
    /// Line `line` of the policy file.
    pub const fn policy(line: u32) -> Self {
        Self { file: File::Policy, line }
    }

    /// Line `line` of the grants file.
    pub const fn grants(line: u32) -> Self {
        Self { file: File::Grants, line }
    }
}

/// Whom a policy covers. User wins over site, site over global, and the whole policy wins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Everybody whom no other policy covers. There is always one.
    Global,
    /// The members of the site of this name.
    Site(String),
    /// Whoever is granted it.
    User,
}

/// An external access policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A user policy's name; the site's for a site policy; `Global`.
    pub name: String,
    /// Whom it covers.
    pub scope: Scope,
    /// A note for administrators.
    pub description: String,
    /// Enable communications with federated users.
    pub federation: bool,
    /// Enable communications with XMPP federated users; counts only with `federation`.
    pub xmpp: bool,
    /// Where it stands.
    pub at: At,
}

impl Policy {
    /// The global policy as it is when nobody wrote one: all off.
    pub fn global() -> Self {
        Self {
            name: "Global".into(),
            scope: Scope::Global,
            description: String::new(),
            federation: false,
            xmpp: false,
            at: At::default(),
        }
    }

    /// Whether it lets XMPP through: `federation` and `xmpp`.
    pub fn allows_xmpp(&self) -> bool {
        self.federation && self.xmpp
    }
}

impl fmt::Display for Policy {
    /// `Global`, `site:Redmond` or `Sales`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            Scope::Global => f.write_str("Global"),
            Scope::Site(site) => write!(f, "site:{site}"),
            Scope::User => f.write_str(&self.name),
        }
    }
}

/// Why a text is no user pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It has no `@` with something on both sides.
    #[error("a user is written sip:name@domain, with * for any characters")]
    Shape,
    /// It is longer than any address.
    #[error("longer than {MAX_PATTERN} octets")]
    TooLong,
    /// It has more stars than a pattern may have.
    #[error("{MAX_STARS} stars at most")]
    Stars,
    /// The domain is none, or has its star elsewhere than in front: `*.example`.
    #[error("not a domain; a star stands only in front: *.contoso.example")]
    Domain,
    /// The name holds what an address can't hold.
    #[error("not a user name")]
    Name,
    /// It is no `sip:` address.
    #[error("our users have sip: addresses")]
    Scheme,
}

/// Whom a grant or a site's member line means. Addresses in it are canonical.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserPattern {
    /// One user.
    User(Jid),
    /// Everybody in one domain: `*@contoso.example`.
    Domain(Domain),
    /// Anything else with a star.
    Glob(Glob),
}

/// A pattern for more than one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    name: Box<str>,
    domain: DomainGlob,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum DomainGlob {
    Any,
    Exactly(Domain),
    Under(Domain),
}

impl UserPattern {
    /// Reads `sip:alice@contoso.example`, `sip:*@contoso.example`, `sales-*@*.contoso.example`; the
    /// `sip:` may be left out.
    ///
    /// # Errors
    /// See [`PatternError`].
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_PATTERN {
            return Err(PatternError::TooLong);
        }
        let rest = strip_scheme(text)?;
        let (name, domain) = rest.rsplit_once('@').ok_or(PatternError::Shape)?;
        if name.is_empty() || domain.is_empty() {
            return Err(PatternError::Shape);
        }
        if name.matches('*').count() > MAX_STARS {
            return Err(PatternError::Stars);
        }
        let domain = match domain.strip_prefix('*') {
            None => DomainGlob::Exactly(domain_of(domain)?),
            Some("") => DomainGlob::Any,
            Some(rest) => DomainGlob::Under(domain_of(rest.strip_prefix('.').ok_or(PatternError::Domain)?)?),
        };
        // `*` is unreserved in a SIP user part (RFC 3261 §25.1) and allowed in a localpart (RFC 7622
        // §3.3), so a pattern is mapped as any name is and its stars stay what they are.
        let user = |domain: &Domain| written::user(name, domain).map_err(|_| PatternError::Name);
        let jid = match &domain {
            DomainGlob::Exactly(domain) | DomainGlob::Under(domain) => user(domain)?,
            DomainGlob::Any => user(&domain_of("example")?)?,
        };
        let name = jid.local().ok_or(PatternError::Name)?;
        Ok(match domain {
            DomainGlob::Exactly(_) if !name.contains('*') => Self::User(jid),
            DomainGlob::Exactly(domain) if name == "*" => Self::Domain(domain),
            domain => Self::Glob(Glob { name: name.into(), domain }),
        })
    }

    /// The domain whose users it means, if it is one.
    pub fn domain(&self) -> Option<&str> {
        match self {
            Self::User(jid) => Some(jid.domain()),
            Self::Domain(domain) => Some(domain.as_str()),
            Self::Glob(Glob { domain: DomainGlob::Exactly(domain), .. }) => Some(domain.as_str()),
            Self::Glob(_) => None,
        }
    }

    /// Whether `user` is meant.
    pub fn matches(&self, user: &Jid) -> bool {
        match self {
            Self::User(jid) => jid.bare_str() == user.bare_str(),
            Self::Domain(domain) => user.local().is_some() && domain.as_str() == user.domain(),
            Self::Glob(glob) => glob.matches(user),
        }
    }
}

impl fmt::Display for UserPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(jid) => write!(f, "{}@{}", sip_name(jid.local().unwrap_or_default()), jid.domain()),
            Self::Domain(domain) => write!(f, "*@{domain}"),
            Self::Glob(glob) => {
                let name = sip_name(&glob.name);
                match &glob.domain {
                    DomainGlob::Any => write!(f, "{name}@*"),
                    DomainGlob::Exactly(domain) => write!(f, "{name}@{domain}"),
                    DomainGlob::Under(domain) => write!(f, "{name}@*.{domain}"),
                }
            }
        }
    }
}

/// The user part of a SIP URI that maps to `localpart`: as the file has it.
fn sip_name(localpart: &str) -> String {
    let mut uri = Vec::new();
    if let Ok(jid) = Domain::parse("example").and_then(|host| Jid::from_parts(Some(localpart), &host, None)) {
        map::uri_from_jid(&jid, &mut uri);
    }
    let uri = String::from_utf8(uri).unwrap_or_default();
    let name = uri.strip_prefix("sip:").and_then(|rest| rest.rsplit_once('@'));
    name.map_or_else(|| localpart.to_owned(), |(name, _)| name.to_owned())
}

impl Glob {
    /// Whether `user` is meant: a domain address without a name never is.
    pub(super) fn matches(&self, user: &Jid) -> bool {
        let domain = match &self.domain {
            DomainGlob::Any => true,
            DomainGlob::Exactly(domain) => domain.as_str() == user.domain(),
            DomainGlob::Under(domain) => is_under(user.domain(), domain.as_str()),
        };
        domain && user.local().is_some_and(|name| star_match(&self.name, name))
    }
}

/// Whether `domain` is a proper subdomain of `parent`.
pub(super) fn is_under(domain: &str, parent: &str) -> bool {
    domain.strip_suffix(parent).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// Whether `text` is `pattern` with each star standing for any characters. Linear in `text`.
fn star_match(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*') {
        match text.find(piece) {
            Some(found) => text = text.get(found + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    text.ends_with(last)
}

fn strip_scheme(text: &str) -> Result<&str, PatternError> {
    match text.split_once(':') {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("sip") => Ok(rest),
        Some(_) => Err(PatternError::Scheme),
        None => Ok(text),
    }
}

fn domain_of(text: &str) -> Result<Domain, PatternError> {
    if text.contains('*') {
        return Err(PatternError::Domain);
    }
    Domain::parse(text).map_err(|_| PatternError::Domain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn matches(pattern: &str, user: &str) -> bool {
        UserPattern::parse(pattern).unwrap().matches(&Jid::parse(user).unwrap())
    }

    #[test]
    fn stars_stand_for_any_characters_of_the_name() {
        assert!(matches("sip:*@contoso.example", "alice@contoso.example"));
        assert!(matches("sales-*@contoso.example", "sales-7@contoso.example"));
        assert!(matches("SIP:Sales-*@Contoso.Example", "sales-7@contoso.example/desk"));
        assert!(matches("a*b*c@contoso.example", "axxbyybc@contoso.example"));
        assert!(matches("*x*@contoso.example", "x@contoso.example"));
        assert!(!matches("a*b*c@contoso.example", "axxcyyb@contoso.example"));
        assert!(!matches("aba*aba@contoso.example", "aba@contoso.example"));
        assert!(!matches("sales-*@contoso.example", "sale@contoso.example"));
        assert!(!matches("*@contoso.example", "contoso.example"));
        assert!(!matches("*@contoso.example", "alice@sales.contoso.example"));
    }

    #[test]
    fn a_star_in_front_of_the_domain_means_proper_subdomains() {
        assert!(matches("*@*.contoso.example", "a@sales.contoso.example"));
        assert!(matches("*@*.contoso.example", "a@x.sales.contoso.example"));
        assert!(matches("*@*", "a@anything.example"));
        assert!(!matches("*@*.contoso.example", "a@contoso.example"));
        assert!(!matches("*@*.contoso.example", "a@evilcontoso.example"));
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_reason() {
        for (text, error) in [
            ("alice", PatternError::Shape),
            ("@contoso.example", PatternError::Shape),
            ("alice@", PatternError::Shape),
            ("xmpp:alice@contoso.example", PatternError::Scheme),
            ("alice@con*.example", PatternError::Domain),
            ("alice@*contoso.example", PatternError::Domain),
            ("a*b*c*d*e*@contoso.example", PatternError::Stars),
            ("a b@contoso.example", PatternError::Name),
        ] {
            assert_eq!(UserPattern::parse(text), Err(error), "{text}");
        }
        assert_eq!(UserPattern::parse(&"a".repeat(600)), Err(PatternError::TooLong));
    }
}
