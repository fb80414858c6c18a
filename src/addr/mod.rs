//! Addresses: a stand-in until the room is built.

/// Stand-in until the room is built.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Jid(pub String);

/// Stand-in: a canonical domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Box<str>);

/// Stand-in: not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddrError;

impl Domain {
    /// Parses a domain.
    ///
    /// # Errors
    /// It is no domain.
    pub fn parse(text: &str) -> Result<Self, AddrError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Some(six) = inner {
            let ip: std::net::Ipv6Addr = six.parse().map_err(|_| AddrError)?;
            return Ok(Self(format!("[{ip}]").into()));
        }
        if let Ok(ip) = text.parse::<std::net::Ipv4Addr>() {
            return Ok(Self(ip.to_string().into()));
        }
        let ascii = idna::domain_to_ascii_strict(text).map_err(|_| AddrError)?;
        let (unicode, result) = idna::domain_to_unicode(&ascii);
        result.map_err(|_| AddrError)?;
        if unicode.is_empty() {
            return Err(AddrError);
        }
        Ok(Self(unicode.into()))
    }

    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// With A-labels.
    pub fn to_ascii(&self) -> std::borrow::Cow<'_, str> {
        if self.0.is_ascii() {
            std::borrow::Cow::Borrowed(&self.0)
        } else {
            idna::domain_to_ascii(&self.0).unwrap_or_default().into()
        }
    }

    /// Whether it is an address in place of a name.
    pub fn is_ip(&self) -> bool {
        self.0.starts_with('[') || self.0.parse::<std::net::Ipv4Addr>().is_ok()
    }
}

impl std::fmt::Display for Domain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
