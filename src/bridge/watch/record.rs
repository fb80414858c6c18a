//! What outlives the process: who may see whom, as long as nobody takes it back (RFC 8048 §5.1).
//!
//! The records themselves are the store's; here is what a machine wants done to its own.

use crate::addr::Jid;
use crate::now::Wall;
pub use crate::store::record::{Authorization, Consent};
use crate::store::record::{Change, Watching};

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

    /// Does it to `record` at `now`; the change is for the store.
    pub fn apply(self, record: &mut Authorization, now: Wall) -> Change {
        match self {
            Self::Put(consent) => {
                record.state = consent;
                record.used = now;
                Change::from(record.clone())
            }
            Self::Used => {
                record.used = now;
                Change::Touch {
                    direction: record.direction,
                    watcher: record.watcher.clone(),
                    presentity: record.presentity.clone(),
                    used: now,
                }
            }
            Self::Gone => Change::Remove(record.key()),
        }
    }
}

/// A new authorization, asked for at `now`. Both addresses count as bare.
pub fn asked(direction: Watching, watcher: &Jid, presentity: &Jid, now: Wall) -> Authorization {
    Authorization {
        direction,
        watcher: watcher.to_bare(),
        presentity: presentity.to_bare(),
        state: Consent::Asked,
        created: now,
        used: now,
    }
}

/// Seconds of a day.
pub const DAY: u64 = 86_400;
