//! What streams and routes ask of the loaded tables: whom we serve, who is a partner, on which terms.

use super::pairs::Partners;
use super::{Gateway, Settings};
use crate::addr::Domain;
use crate::policy::{Need, Reason, Table};
use crate::xmpp::{self, Refused, Terms, Ways};
use std::sync::Arc;

impl Gateway {
    /// How the partner of `domain` may be reached: its terms, and where to connect if not by DNS. None if
    /// it may not.
    pub fn route_to(&self, domain: &str) -> Option<(Terms, Option<(Domain, u16)>)> {
        TablePartners(&self.table).route("", domain)
    }

    /// What streams need to know of the tables, as they are now.
    pub fn realm(&self) -> Realm {
        // Once a load, not once a stream.
        let welcome = |domain: &Domain| self.table.welcome(domain.as_str()).is_ok();
        let ways = (self.table.partners().iter())
            .filter(|partner| partner.domains().any(welcome))
            .fold(Ways::default(), |ways, partner| ways.or(terms(partner).ways()));
        Realm {
            table: self.table.clone(),
            settings: self.settings.clone(),
            dialback: self.dialback.clone(),
            ways,
        }
    }
}

/// What streams need to know of the loaded tables.
pub struct Realm {
    table: Arc<Table>,
    settings: Arc<Settings>,
    dialback: Arc<[u8]>,
    /// The ways that are open to some partner or other.
    ways: Ways,
}

impl Realm {
    /// Limits and timeouts of streams.
    pub fn xmpp(&self) -> &xmpp::Settings {
        &self.settings.xmpp
    }

    /// Streams that may be open with the partner of `domain`, if its entry says.
    pub fn connection_limit(&self, domain: &str) -> Option<u32> {
        self.table.partner(domain)?.connection_limit
    }

    /// Is the organisation's switch off?
    pub fn is_off(&self) -> bool {
        !self.table.is_enabled()
    }

    /// May there be streams with `domain`?
    pub fn is_welcome(&self, domain: &str) -> bool {
        self.table.welcome(domain).is_ok()
    }

    /// Do the two domains belong to one partner?
    pub fn same_partner(&self, one: &str, other: &str) -> bool {
        one == other
            || match (self.table.partner(one), self.table.partner(other)) {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                (_, None) | (None, _) => false,
            }
    }
}

impl xmpp::Realm for Realm {
    fn serves(&self, domain: &str) -> bool {
        self.settings.peer_of(domain).is_some()
    }

    fn terms(&self, _local: Option<&str>, remote: &str) -> Result<Terms, Refused> {
        let partner = self.table.welcome(remote).map_err(|reason| match reason {
            Reason::FederationOff => Refused::FederationOff,
            Reason::DomainBlocked => Refused::Blocked,
            Reason::Unlisted
            | Reason::AddressBlocked
            | Reason::PolicyFederation
            | Reason::PolicyXmpp
            | Reason::NotAdded
            | Reason::Unverifiable => Refused::Unlisted,
        })?;
        Ok(terms(partner))
    }

    fn any_ways(&self) -> Ways {
        self.ways
    }

    fn dialback_secret(&self) -> &[u8] {
        &self.dialback
    }
}

/// The partner entries, as routes ask for them.
pub(super) struct TablePartners<'t>(pub(super) &'t Table);

impl Partners for TablePartners<'_> {
    fn route(&self, _local: &str, remote: &str) -> Option<(Terms, Option<(Domain, u16)>)> {
        let partner = self.0.welcome(remote).ok()?;
        Some((terms(partner), partner.proxy.as_ref().map(|proxy| (proxy.host.clone(), proxy.port))))
    }
}

/// What a partner's entry says, as streams ask for it.
pub fn terms(partner: &crate::policy::Partner) -> Terms {
    let need = |need| match need {
        Need::Required => xmpp::Need::Required,
        Need::Optional => xmpp::Need::Optional,
        Need::NotSupported => xmpp::Need::NotSupported,
    };
    Terms {
        tls: need(partner.terms.tls),
        sasl: need(partner.terms.sasl),
        dialback: partner.terms.dialback,
        keepalive: partner.keepalive,
    }
}
