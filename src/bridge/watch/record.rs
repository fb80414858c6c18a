//! What outlives the process: who may see whom, as long as nobody takes it back (RFC 8048 §5.1).

use crate::addr::Jid;
use crate::crossing::Direction;
use crate::now::Wall;

/// How far an authorization has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Consent {
    /// Asked for, not decided.
    Asked,
    /// Given. The watcher may not have heard of it yet.
    Granted,
    /// Given, and the watcher was told. Only where the watcher is an XMPP user: a lost `subscribed`
    /// comes by no other way, a SIP watcher hears the state with each NOTIFY.
    Announced,
}

/// One long-lived authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Who watches: an XMPP user goes [`Direction::XmppToSip`].
    pub direction: Direction,
    /// Who sees, a bare JID.
    pub watcher: Jid,
    /// Who is seen, a bare JID.
    pub presentity: Jid,
    /// How far it has come.
    pub consent: Consent,
    /// When it was asked for.
    pub created: Wall,
    /// When it was last used, to the day: by it, what nobody uses is purged.
    pub used: Wall,
}

/// What a machine wants of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Save {
    /// The record with this consent, used now.
    Put(Consent),
    /// The record as it is, used now. Nobody waits for it.
    Used,
    /// No record any more.
    Gone,
}

impl Save {
    /// Whether the machine waits for `Durable` after it.
    pub fn is_awaited(self) -> bool {
        match self {
            Self::Put(Consent::Asked | Consent::Granted) | Self::Gone => true,
            Self::Put(Consent::Announced) | Self::Used => false,
        }
    }
}

/// A change to the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This authorization is as it is here.
    Put(Authorization),
    /// There is none for this pair.
    Remove {
        /// Which way.
        direction: Direction,
        /// Who saw.
        watcher: Jid,
        /// Who was seen.
        presentity: Jid,
    },
    /// Our user has added a contact: an admitted SUBSCRIBE with an Expires above 0. Never taken back by
    /// a machine.
    AddContact {
        /// Our SIP user, a bare JID.
        user: Jid,
        /// The XMPP contact, a bare JID.
        contact: Jid,
    },
}

impl Authorization {
    /// A new one, asked for at `now`. Both addresses count as bare.
    pub fn new(direction: Direction, watcher: &Jid, presentity: &Jid, now: Wall) -> Self {
        Self {
            direction,
            watcher: watcher.to_bare(),
            presentity: presentity.to_bare(),
            consent: Consent::Asked,
            created: now,
            used: now,
        }
    }

    /// Applies what a machine wants saved; the change is for the store.
    pub fn save(&mut self, save: Save, now: Wall) -> Change {
        match save {
            Save::Put(consent) => {
                self.consent = consent;
                self.used = now;
                Change::Put(self.clone())
            }
            Save::Used => {
                self.used = now;
                Change::Put(self.clone())
            }
            Save::Gone => Change::Remove {
                direction: self.direction,
                watcher: self.watcher.clone(),
                presentity: self.presentity.clone(),
            },
        }
    }

    /// Whether nobody has used it for `days`.
    pub fn is_stale(&self, now: Wall, days: u32) -> bool {
        now.as_secs().saturating_sub(self.used.as_secs()) >= u64::from(days) * DAY
    }
}

/// Seconds of a day.
pub(in crate::bridge::watch) const DAY: u64 = 86_400;
