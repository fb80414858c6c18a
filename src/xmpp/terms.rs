//! What a stream asks of the rest of the house: whom we serve, on which terms a partner may connect,
//! and what TLS knows of the peer. Traits and plain values; nothing here decides for the table.

use crate::addr::Domain;
use crate::now::{Now, Wall};
use thiserror::Error;

/// Two domains that a stream carries stanzas between. Ours is always `local`, whoever sends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pair {
    /// One of our domains.
    pub local: Domain,
    /// A partner's domain.
    pub remote: Domain,
}

/// How much a partner's entry asks for one mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// No stream without it.
    Required,
    /// Used if the peer has it.
    Optional,
    /// Not used.
    NotSupported,
}

/// The negotiation terms of a partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// TLS, by STARTTLS or direct.
    pub tls: Need,
    /// SASL EXTERNAL (XEP-0178).
    pub sasl: Need,
    /// Server Dialback (XEP-0220), in all of its roles. Off: dialback elements are ignored.
    pub dialback: bool,
    /// Whether the partner is expected to be heard from within `Settings::keepalive_interval`.
    pub keepalive: bool,
}

impl Default for Terms {
    /// A new partner's: TLS and SASL required, dialback on, keepalives expected.
    fn default() -> Self {
        Self { tls: Need::Required, sasl: Need::Required, dialback: true, keepalive: true }
    }
}

/// How a pair was proven, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Auth {
    /// SASL EXTERNAL with a valid certificate over TLS.
    External,
    /// Dialback over TLS, where the certificate was valid for the domain and nobody was called back
    /// (XEP-0344 §2.4).
    Certificate,
    /// Dialback over TLS.
    TlsDialback,
    /// Dialback without TLS.
    TcpDialback,
}

/// Which ways of proving a pair the terms leave open.
///
/// | TLS | SASL | with dialback | without |
/// |---|---|---|---|
/// | Required | Required | SASL | SASL |
/// | Optional | Required | SASL, TLS-dialback, TCP-dialback | SASL |
/// | NotSupported | Required | none | none |
/// | Required | Optional | SASL, TLS-dialback | SASL |
/// | Optional | Optional | SASL, TLS-dialback, TCP-dialback | SASL |
/// | NotSupported | Optional | none | none |
/// | Required | NotSupported | TLS-dialback | none |
/// | Optional | NotSupported | TLS-dialback, TCP-dialback | none |
/// | NotSupported | NotSupported | TCP-dialback | none |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// SASL EXTERNAL over TLS.
    pub sasl: bool,
    /// Dialback over TLS.
    pub tls_dialback: bool,
    /// Dialback without TLS.
    pub tcp_dialback: bool,
}

impl Terms {
    /// The ways that these terms leave open; the table at [`Ways`].
    pub fn ways(self) -> Ways {
        let contradiction = self.tls == Need::NotSupported && self.sasl != Need::NotSupported;
        let strict = self.tls == Need::Required && self.sasl == Need::Required;
        let dialback = self.dialback && !contradiction;
        Ways {
            sasl: self.tls != Need::NotSupported && self.sasl != Need::NotSupported,
            tls_dialback: dialback && self.tls != Need::NotSupported && !strict,
            tcp_dialback: dialback && self.tls != Need::Required,
        }
    }
}

impl Ways {
    /// Whether a pair may be proven that way.
    pub fn allow(self, auth: Auth) -> bool {
        match auth {
            Auth::External => self.sasl,
            Auth::Certificate | Auth::TlsDialback => self.tls_dialback,
            Auth::TcpDialback => self.tcp_dialback,
        }
    }

    /// Whether dialback is open on a stream with or without TLS.
    pub fn dialback(self, secured: bool) -> bool {
        if secured { self.tls_dialback } else { self.tcp_dialback }
    }

    /// The ways that are open here or there.
    pub fn or(self, other: Self) -> Self {
        Self {
            sasl: self.sasl || other.sasl,
            tls_dialback: self.tls_dialback || other.tls_dialback,
            tcp_dialback: self.tcp_dialback || other.tcp_dialback,
        }
    }
}

/// Why a domain gets no stream at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Refused {
    /// It is no partner.
    #[error("domain is not an allowed partner")]
    Unlisted,
    /// It is blocked by name.
    #[error("domain is blocked")]
    Blocked,
    /// Federation is off for all.
    #[error("federation is off")]
    FederationOff,
}

/// What streams need to know of the loaded tables. Domains are given in canonical form.
pub trait Realm {
    /// Whether `domain` is one of our SIP domains.
    fn serves(&self, domain: &str) -> bool;

    /// The terms on which `remote` may exchange stanzas with `local`, or with any of our domains as
    /// long as none is named.
    ///
    /// # Errors
    /// [`Refused`] says why there are none.
    fn terms(&self, local: Option<&str>, remote: &str) -> Result<Terms, Refused>;

    /// The ways that are open to some partner or other, for a peer that has not said yet who it is.
    fn any_ways(&self) -> Ways;

    /// The secret behind our dialback keys (XEP-0185), the same on every node of our domains.
    fn dialback_secret(&self) -> &[u8];
}

/// What TLS knows of the peer, made once its handshake is done.
pub trait PeerIdentity {
    /// Whether the peer's certificate proves `domain` at `now` (RFC 6120 §13.7.2).
    fn judge(&self, domain: &Domain, now: Now) -> CertVerdict;

    /// When the first certificate of the chain that was judged expires.
    fn not_after(&self) -> Option<Wall>;

    /// The negotiated version, as for a log: `TLSv1.3`.
    fn tls_version(&self) -> &'static str;

    /// Whether the peer presented a certificate.
    fn presented(&self) -> bool;
}

/// Whether a certificate proves a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertVerdict {
    /// It does.
    Valid,
    /// It does not.
    Invalid(CertFault),
}

/// Why a certificate does not prove a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum CertFault {
    /// The peer presented none.
    #[error("no certificate presented")]
    NonePresented,
    /// No chain to an authority that we trust.
    #[error("untrusted issuer")]
    UntrustedIssuer,
    /// The peer's or an issuer's validity is over.
    #[error("certificate expired")]
    Expired,
    /// The peer's or an issuer's validity has not begun.
    #[error("certificate not yet valid")]
    NotYetValid,
    /// It names other domains.
    #[error("certificate is for another name")]
    WrongName,
    /// It may not be used between servers.
    #[error("certificate has the wrong usage")]
    WrongUsage,
    /// Its issuer has revoked it.
    #[error("certificate revoked")]
    Revoked,
    /// Nobody says whether its issuer has revoked it, and somebody has to.
    #[error("revocation status of the certificate unknown")]
    RevocationUnknown,
    /// It can't be read, or its signature is wrong.
    #[error("malformed certificate")]
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ways(tls: Need, sasl: Need, dialback: bool) -> (bool, bool, bool) {
        let ways = Terms { tls, sasl, dialback, keepalive: true }.ways();
        (ways.sasl, ways.tls_dialback, ways.tcp_dialback)
    }

    #[test]
    fn f38_f39_the_negotiation_matrix_leaves_exactly_these_ways_open() {
        use Need::{NotSupported, Optional, Required};
        let none = (false, false, false);
        let sasl = (true, false, false);
        for (number, tls, need, dialback, expected) in [
            (1, Required, Required, true, sasl),
            (2, Required, Required, false, sasl),
            (3, Optional, Required, true, (true, true, true)),
            (4, Optional, Required, false, sasl),
            (5, NotSupported, Required, true, none),
            (6, NotSupported, Required, false, none),
            (7, Required, Optional, true, (true, true, false)),
            (8, Required, Optional, false, sasl),
            (9, Optional, Optional, true, (true, true, true)),
            (10, Optional, Optional, false, sasl),
            (11, NotSupported, Optional, true, none),
            (12, NotSupported, Optional, false, none),
            (13, Required, NotSupported, true, (false, true, false)),
            (14, Required, NotSupported, false, none),
            (15, Optional, NotSupported, true, (false, true, true)),
            (16, Optional, NotSupported, false, none),
            (17, NotSupported, NotSupported, true, (false, false, true)),
            (18, NotSupported, NotSupported, false, none),
        ] {
            assert_eq!(ways(tls, need, dialback), expected, "N{number}");
        }
    }
}
