//! XMPP federated partners, and how streams with them may be secured.

use super::rules::At;
use crate::addr::Domain;

/// How much a security feature is wanted on streams with a partner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Need {
    /// No stream without it.
    #[default]
    Required,
    /// Used where the partner has it.
    Optional,
    /// Neither offered nor used.
    NotSupported,
}

impl Need {
    /// The word in the policy file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
            Self::NotSupported => "not-supported",
        }
    }
}

/// How streams with a partner are negotiated: TLS, SASL EXTERNAL (XEP-0178) and dialback (XEP-0220).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// TLS (RFC 6120 §5).
    pub tls: Need,
    /// SASL EXTERNAL with the certificates of both sides (RFC 6120 §6).
    pub sasl: Need,
    /// Server Dialback, offered and accepted.
    pub dialback: bool,
}

impl Default for Terms {
    /// TLS and SASL required, dialback on.
    fn default() -> Self {
        Self { tls: Need::Required, sasl: Need::Required, dialback: true }
    }
}

/// What the negotiation matrix says of some [`Terms`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strength {
    /// Every stream that these terms allow proves the domain over TLS.
    Strong,
    /// Usable, with a weakness that is named.
    Weak(&'static str),
    /// Not usable, for the reason named.
    Invalid(&'static str),
}

const SASL_NEEDS_TLS: &str = "SASL EXTERNAL needs TLS";
const NOTHING_PROVES: &str = "nothing proves the partner's domain: SASL or dialback must be on";
const CLEAR_DIALBACK: &str = "streams may be unencrypted, proven by dialback alone";
const DOWNGRADE: &str = "TLS is required only as long as the partner offers it";

impl Terms {
    /// Judges the combination: the 18 rows of the negotiation matrix, by number.
    pub fn strength(&self) -> Strength {
        use Need::{NotSupported, Optional, Required};
        match (self.tls, self.sasl, self.dialback) {
            // N1: a strong combination in which dialback is never reached.
            (Required, Required, true) => Strength::Weak("dialback will not operate: SASL is required"),
            // N2, N7, N8, N13.
            (Required, Required, false) | (Required, Optional, _) | (Required, NotSupported, true) => {
                Strength::Strong
            }
            // N3, N9.
            (Optional, Required | Optional, true) => Strength::Weak(CLEAR_DIALBACK),
            // N4, N10.
            (Optional, Required | Optional, false) => Strength::Weak(DOWNGRADE),
            // N15, N17: what was asked for is what one gets.
            (Optional | NotSupported, NotSupported, true) => Strength::Strong,
            // N5, N6, N11, N12.
            (NotSupported, Required | Optional, _) => Strength::Invalid(SASL_NEEDS_TLS),
            // N14, N16, N18.
            (_, NotSupported, false) => Strength::Invalid(NOTHING_PROVES),
        }
    }

    /// The row of the negotiation matrix, 1 to 18.
    pub fn row(&self) -> u8 {
        let tls = match self.tls {
            Need::Required => 0,
            Need::Optional => 1,
            Need::NotSupported => 2,
        };
        let sasl = match self.sasl {
            Need::Required => 0,
            Need::Optional => 1,
            Need::NotSupported => 2,
        };
        sasl * 6 + tls * 2 + if self.dialback { 1 } else { 2 }
    }
}

/// How far a partner's users are trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PartnerKind {
    /// Its users may reach ours unasked and see their status notes.
    Federated,
    /// Its users may reach ours unasked and see no status notes.
    PublicVerified,
    /// Nothing of it comes in until our user has added the contact; no status notes.
    #[default]
    PublicUnverified,
}

impl PartnerKind {
    /// The word in the policy file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Federated => "federated",
            Self::PublicVerified => "public-verified",
            Self::PublicUnverified => "public-unverified",
        }
    }
}

/// A host to connect to in place of what DNS says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// The host.
    pub host: Domain,
    /// The port; 5269 unless the file says otherwise.
    pub port: u16,
}

/// One XMPP federated partner: a domain, what belongs to it, and the terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partner {
    /// The primary domain.
    pub domain: Domain,
    /// Further domains of the same partner, each an exact match; nothing is implied by suffix.
    pub additional: Vec<Domain>,
    /// A note for administrators.
    pub description: String,
    /// How far its users are trusted.
    pub kind: PartnerKind,
    /// How its streams are negotiated.
    pub terms: Terms,
    /// Streams with this partner, to and from; `None`: the gateway's limit for a partner.
    pub connection_limit: Option<u32>,
    /// Whether the partner is expected to send keep-alives.
    pub keepalive: bool,
    /// Where to connect instead of asking DNS.
    pub proxy: Option<Proxy>,
    /// Where the entry stands.
    pub at: At,
}

impl Partner {
    /// A partner `domain` with every default, as written at `at`.
    pub fn new(domain: Domain, at: At) -> Self {
        Self {
            domain,
            additional: Vec::new(),
            description: String::new(),
            kind: PartnerKind::default(),
            terms: Terms::default(),
            connection_limit: None,
            keepalive: true,
            proxy: None,
            at,
        }
    }

    /// The primary domain and the additional ones.
    pub fn domains(&self) -> impl Iterator<Item = &Domain> {
        std::iter::once(&self.domain).chain(&self.additional)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n01_to_n18_are_judged_as_the_matrix_says() {
        use Need::{NotSupported, Optional, Required};
        let mut rows = Vec::new();
        for sasl in [Required, Optional, NotSupported] {
            for tls in [Required, Optional, NotSupported] {
                for dialback in [true, false] {
                    rows.push(Terms { tls, sasl, dialback });
                }
            }
        }
        let numbers: Vec<u8> = rows.iter().map(Terms::row).collect();
        assert_eq!(numbers, (1..=18).collect::<Vec<u8>>());
        for terms in rows {
            let expected = match terms.row() {
                1 | 3 | 4 | 9 | 10 => "weak",
                5 | 6 | 11 | 12 | 14 | 16 | 18 => "invalid",
                _ => "strong",
            };
            let found = match terms.strength() {
                Strength::Strong => "strong",
                Strength::Weak(_) => "weak",
                Strength::Invalid(_) => "invalid",
            };
            assert_eq!(found, expected, "N{}", terms.row());
        }
    }
}
