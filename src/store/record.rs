//! The records: what must be on disk before anybody hears of it.
//!
//! Addresses in records are bare. A full JID is written, and found, as its bare one.

use crate::addr::Jid;
use crate::now::Wall;

/// Which of the two sides watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Watching {
    /// An XMPP user watches a SIP user (RFC 8048 §5.2).
    XmppWatchesSip,
    /// A SIP user watches an XMPP user (RFC 8048 §5.3).
    SipWatchesXmpp,
}

impl Watching {
    /// Both, in the order of their numbers on disk.
    pub const ALL: [Self; 2] = [Self::XmppWatchesSip, Self::SipWatchesXmpp];

    /// Words for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::XmppWatchesSip => "xmpp-watches-sip",
            Self::SipWatchesXmpp => "sip-watches-xmpp",
        }
    }
}

/// How far consent has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Consent {
    /// Asked for, not decided.
    Asked,
    /// Given. The watcher may not have heard of it yet.
    Granted,
    /// Given, and the watcher was told. Only where the watcher is an XMPP user: a lost `subscribed`
    /// comes by no other way, a SIP watcher hears the state with each NOTIFY.
    Announced,
}

impl Consent {
    /// All, in the order of their numbers on disk.
    pub const ALL: [Self; 3] = [Self::Asked, Self::Granted, Self::Announced];

    /// A word for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Granted => "granted",
            Self::Announced => "announced",
        }
    }
}

/// Long-lived consent: who may watch whom, until it is cancelled (RFC 8048 §5.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Authorization {
    /// Which side watches.
    pub direction: Watching,
    /// Who watches, bare.
    pub watcher: Jid,
    /// Who is watched, bare.
    pub presentity: Jid,
    /// Asked for, or given.
    pub state: Consent,
    /// When the watcher asked first.
    pub created: Wall,
    /// When it was last of use: what the age purge looks at.
    pub used: Wall,
}

impl Authorization {
    /// Its key.
    pub fn key(&self) -> Key {
        Key::Authorization {
            direction: self.direction,
            watcher: self.watcher.clone(),
            presentity: self.presentity.clone(),
        }
    }
}

/// Our user has added this contact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contact {
    /// Our user, bare.
    pub user: Jid,
    /// Whom they added, bare.
    pub contact: Jid,
    /// When.
    pub added: Wall,
}

impl Contact {
    /// Its key.
    pub fn key(&self) -> Key {
        Key::Contact { user: self.user.clone(), contact: self.contact.clone() }
    }
}

/// A contact's subscribe that waits until our user adds the contact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pending {
    /// Our user, bare.
    pub user: Jid,
    /// Who asked, bare.
    pub contact: Jid,
    /// When they asked first.
    pub since: Wall,
}

impl Pending {
    /// Its key.
    pub fn key(&self) -> Key {
        Key::Pending { user: self.user.clone(), contact: self.contact.clone() }
    }
}

/// One durable fact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Record {
    /// Who may watch whom.
    Authorization(Authorization),
    /// Whom our user added.
    Contact(Contact),
    /// Who waits to be added.
    Pending(Pending),
    /// No identifier at or above this was minted before. There is one; it never falls.
    Watermark(u64),
}

/// Which record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// An authorization.
    Authorization {
        /// Which side watches.
        direction: Watching,
        /// Who watches.
        watcher: Jid,
        /// Who is watched.
        presentity: Jid,
    },
    /// An added contact.
    Contact {
        /// Our user.
        user: Jid,
        /// Whom they added.
        contact: Jid,
    },
    /// A pending subscribe.
    Pending {
        /// Our user.
        user: Jid,
        /// Who asked.
        contact: Jid,
    },
}

/// One change to the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds the record, or replaces the one of the same key. A watermark that is lower than the one
    /// on disk changes nothing.
    Put(Record),
    /// Removes the record, if there is one.
    Remove(Key),
    /// Moves `used` of an authorization forward, if there is one; never back.
    Touch {
        /// Which side watches.
        direction: Watching,
        /// Who watches.
        watcher: Jid,
        /// Who is watched.
        presentity: Jid,
        /// When it was of use.
        used: Wall,
    },
}

impl From<Authorization> for Change {
    fn from(record: Authorization) -> Self {
        Self::Put(Record::Authorization(record))
    }
}

impl From<Contact> for Change {
    fn from(record: Contact) -> Self {
        Self::Put(Record::Contact(record))
    }
}

impl From<Pending> for Change {
    fn from(record: Pending) -> Self {
        Self::Put(Record::Pending(record))
    }
}
