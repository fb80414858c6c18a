//! The holder of a certificate whose path is good.

use crate::addr::Domain;
use crate::now::Wall;
use crate::x509::names::Names;

/// What an end-entity certificate says of its holder. Made by `judge`, so its chain is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub(super) names: Names,
    pub(super) not_after: Wall,
}

impl Leaf {
    /// When the certificate, or the first of those that it depends on in the chain as presented,
    /// expires (RFC 6120 §13.7.2.3).
    pub fn not_after(&self) -> Wall {
        self.not_after
    }

    /// The names as presented, escaped and shortened: for people.
    pub fn presented(&self) -> &[String] {
        self.names.presented()
    }

    /// Whether the certificate is for the XMPP domain `domain` (RFC 6120 §13.7.2.1, RFC 9525).
    pub fn xmpp_matches(&self, domain: &Domain) -> bool {
        self.names.xmpp_matches(domain)
    }

    /// The SIP domain identities in the certificate, no two equal (RFC 5922 §7.1).
    pub fn sip_identities(&self) -> &[Domain] {
        self.names.sip()
    }
}
