//! More than one gateway in a process: which of them an item is for, and what they count together.
//!
//! A shard owns SIP users: all that goes to one of them or comes from one is handled by the same gateway, so
//! that its messages keep their order, one is outstanding at a time, and its watches and sessions stand in one
//! place. An item that names an id of ours (a response's branch, the tag of a dialog, the id of an iq) is for
//! the gateway that minted it.
//!
//! | what | whose |
//! |---|---|
//! | queues, transactions, dialogs, watches, sessions, the trail | each gateway's own |
//! | budgets of partners and senders, caps on watches and sessions, which servers failed | of all together: [`Common`] |
//! | records | each gateway's, of its users |

use super::settings::Settings;
use super::tally::Tally;
use crate::ids::{Id, Owner, SHARDS_MAX};
use crate::policy::{Budgets, Discovered};
use crate::sip::locate::failover::Blacklist;
use crate::sip::message::Message;
use crate::sip::txn::ServerLimits;
use crate::sip::uas::Uas;
use crate::store::record::{Record, Watching};
use crate::xmpp::{Iq, Stanza};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// Of all shards: server transactions open at once, of them for one peer, octets held for their answers, and
/// answers remembered for 32 s.
const SERVER_LIMITS: ServerLimits = ServerLimits {
    transactions: 100_000,
    transactions_per_peer: 50_000,
    octets: 128 * 1024 * 1024,
    answers: 200_000,
    answers_per_peer: 100_000,
};
/// Of all shards: client transactions open at once.
const CLIENT_LIMIT: usize = 100_000;

/// Servers that failed and are remembered, of all peers together.
const FAILED: usize = 4096;

/// Which gateway of how many this is.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    shard: u8,
    shards: u8,
    seed: [u8; 32],
}

impl Place {
    /// The only one.
    pub fn alone() -> Self {
        Self { shard: 0, shards: 1, seed: [0; 32] }
    }

    /// Number `shard` of `shards`, at most [`SHARDS_MAX`]. All of them have the same `seed`: nobody else can tell
    /// which user is whose.
    pub fn new(shard: u8, shards: u8, seed: [u8; 32]) -> Self {
        let shards = shards.clamp(1, SHARDS_MAX);
        Self { shard: shard.min(shards - 1), shards, seed }
    }

    /// Is there no other?
    pub fn is_alone(&self) -> bool {
        self.shards == 1
    }

    /// The number of this one.
    pub fn shard(&self) -> u8 {
        self.shard
    }

    /// How many there are.
    pub fn shards(&self) -> u8 {
        self.shards
    }

    /// In whose name ids are minted here.
    pub fn owner(&self) -> Owner {
        Owner { node: 0, shard: self.shard }
    }

    /// Whose the SIP user `bare` is, a bare JID.
    pub fn of_user(&self, bare: &str) -> u8 {
        if self.is_alone() {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        ("user", self.seed, bare).hash(&mut hasher);
        // Less than `shards`, which is a u8.
        (hasher.finish() % u64::from(self.shards)) as u8
    }

    /// Who minted the id that `text` begins with; `None` if none of us did.
    pub fn of_id(&self, text: &str) -> Option<u8> {
        let Owner { node, shard } = Id::owner_in(text)?;
        (node == 0 && shard < self.shards).then_some(shard)
    }

    /// Whose a stanza is: of the SIP user whom it is for.
    pub fn of_stanza(&self, stanza: &Stanza<'_>) -> u8 {
        self.of_user(stanza.to.bare_str())
    }

    /// Whose an iq is: an answer is for who asked, and anybody can answer a question.
    pub fn of_iq(&self, iq: &Iq<'_>) -> u8 {
        let answers = matches!(iq.type_(), Some("result" | "error"));
        iq.id().filter(|_| answers).and_then(|id| self.of_id(id)).unwrap_or(self.shard)
    }

    /// Whose a SIP message is: a response is for who asked, a request inside of a dialog for who minted its tag,
    /// and any other for its sender's. What is no message, anybody can refuse.
    pub fn of_sip(&self, octets: &[u8], settings: &Settings) -> u8 {
        let Ok(message) = Message::parse(octets) else { return self.shard };
        if message.method().is_none() {
            let branch = message.via().branch.and_then(|branch| branch.strip_prefix("z9hG4bK"));
            return branch.and_then(|branch| self.of_id(branch)).unwrap_or(self.shard);
        }
        if let Some(owner) = message.to().tag.and_then(|tag| self.of_id(tag)) {
            return owner;
        }
        let uas = Uas { name: &settings.name, domains: &settings.domain_names, map: settings.map_options() };
        uas.from(&message).map_or(self.shard, |sender| self.of_user(sender.bare_str()))
    }

    /// Whose a record is: of its user.
    pub fn of_record(&self, record: &Record) -> u8 {
        let user = match record {
            Record::Authorization(one) => match one.direction {
                Watching::XmppWatchesSip => &one.presentity,
                Watching::SipWatchesXmpp => &one.watcher,
            },
            Record::Contact(one) => &one.user,
            Record::Pending(one) => &one.user,
            Record::Watermark(_) => return 0,
        };
        self.of_user(user.bare_str())
    }

    /// The share of each of a number that bounds memory.
    pub fn share(&self, all: usize) -> usize {
        all.div_ceil(usize::from(self.shards))
    }

    /// How much there may be of server transactions.
    pub(super) fn server_limits(&self) -> ServerLimits {
        let ServerLimits { transactions, transactions_per_peer, octets, answers, answers_per_peer } =
            SERVER_LIMITS;
        ServerLimits {
            transactions: self.share(transactions),
            transactions_per_peer: self.share(transactions_per_peer),
            octets: self.share(octets),
            answers: self.share(answers),
            answers_per_peer: self.share(answers_per_peer),
        }
    }

    /// Client transactions open at once.
    pub(super) fn client_limit(&self) -> usize {
        self.share(CLIENT_LIMIT)
    }
}

/// What all gateways of a process count together. Behind locks that are held for one look-up; everything else a
/// gateway has to itself.
#[derive(Clone, Debug)]
pub struct Common {
    pub(super) budgets: Budgets,
    pub(super) discovered: Discovered,
    /// SIP servers that failed lately, or asked for a pause (RFC 3261 §21.5.4).
    pub(super) failed: Blacklist,
    /// Watches, by the contact's domain.
    pub(super) watches: Tally,
    /// Sessions, likewise.
    pub(super) sessions: Tally,
}

impl Common {
    /// Nothing was counted yet.
    pub fn new(settings: &Settings, seed: [u8; 32]) -> Self {
        Self {
            budgets: Budgets::new(settings.partner_rate, settings.user_rate, seed),
            discovered: Discovered::new(settings.discovered, seed),
            failed: Blacklist::new(FAILED),
            watches: Tally::default(),
            sessions: Tally::default(),
        }
    }
}
