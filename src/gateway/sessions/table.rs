//! Where conversations stand.

use super::journal::Why;
use super::receipts::Asking;
use crate::addr::Jid;
use crate::bridge::receipts::Question;
use crate::bridge::session::{Machine, Ticket, Window};
use crate::gateway::effect::PeerId;
use crate::gateway::settings::SessionSettings;
use crate::gateway::tally::{Tally, count_down, count_up};
use crate::gateway::trail::Track;
use crate::gateway::undelivered::Origin;
use crate::ids::Id;
use crate::now::{Mono, Wall};
use crate::sip::session::Session;
use crate::sip::txn::ServerKey;
use slab::Slab;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The name of a session, for good: a slot is used again, with another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionRef {
    /// Where it stands.
    pub slot: u32,
    /// Which one it is of those that stood there.
    pub number: u32,
}

/// A text of an XMPP contact for a SIP user, with where it came from.
#[derive(Debug)]
pub(in crate::gateway) struct Text {
    pub(super) trace: Id,
    /// When it came in.
    pub(super) came: Mono,
    /// Its crossing on record.
    pub(super) track: Track,
    pub(super) origin: Origin,
    pub(super) body: Box<str>,
    pub(super) subject: Option<Box<str>>,
    pub(super) language: Option<Box<str>>,
    pub(super) thread: Option<Box<str>>,
    /// When it was written, if it was delayed.
    pub(super) sent: Option<Wall>,
    /// What its sender wants to hear of it.
    pub(super) asking: Option<Box<Asking>>,
    /// The ways that refused it: a bit for each.
    pub(super) refused: u8,
}

impl Text {
    /// What it costs to keep it.
    pub(super) fn octets(&self) -> usize {
        let optional = [&self.subject, &self.language, &self.thread];
        let optional: usize = optional.into_iter().flatten().map(|text| text.len()).sum();
        // It stands in the request, too, while that is in the air.
        let asking = self.asking.as_ref().map_or(0, |_| size_of::<Asking>());
        size_of::<Self>() + asking + 2 * self.body.len() + optional
    }
}

/// The MSRP half of a conversation.
#[derive(Debug)]
pub(super) struct MsrpSession {
    pub(super) id: crate::msrp::SessionId,
    /// Who connects, as our description says.
    pub(super) setup: crate::body::sdp::Setup,
    /// The texts in the air.
    pub(super) in_air: BTreeMap<crate::msrp::MessageId, Ticket>,
    /// Texts that the peer has and that asked nothing, with what their senders hear if they failed.
    pub(super) sent: VecDeque<(crate::msrp::MessageId, Question)>,
    /// Texts that the contact has, by the id of the stanza.
    pub(super) arrived: VecDeque<(Id, crate::msrp::Receipt)>,
    /// What of ours the peer takes, as its description says.
    pub(super) takes: Takes,
}

/// What our descriptions of one session are told apart by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Described {
    /// The number of the session.
    pub(super) session: u64,
    /// The number of the last description.
    pub(super) version: u64,
    print: u64,
}

impl Described {
    pub(super) fn new(session: u64) -> Self {
        Self { session, version: 1, print: 0 }
    }

    /// `octets` is said under the number that stands here.
    pub(super) fn says(&mut self, octets: &[u8]) {
        self.print = print(octets);
    }

    /// The number after it, if `octets` is not what was said last (RFC 3264 §8, MUST).
    pub(super) fn next(self, octets: &[u8]) -> Option<Self> {
        (self.print != print(octets)).then(|| Self { version: self.version + 1, ..self })
    }
}

fn print(octets: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    octets.hash(&mut hasher);
    hasher.finish()
}

/// What of ours an MSRP peer takes: nothing else is sent to it (RFC 4975 §8.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Takes {
    /// Texts only inside of `message/cpim`.
    pub(super) wrapped: bool,
    /// Words about typing.
    pub(super) typing: bool,
}

/// What one session has in the air by MSRP: half of what is kept for it there, so that receipts and the
/// like find room beside the texts.
const OVERLAP: Window = Window { texts: crate::msrp::QUEUE_MAX / 2, octets: crate::msrp::QUEUE_OCTETS / 2 };

/// A conversation between a contact and a SIP user.
pub(super) struct Conversation {
    number: u32,
    /// Whose servers requests go to.
    pub(super) peer: PeerId,
    /// The SIP user, a bare address.
    pub(super) user: Jid,
    /// The contact, with the resource that wrote last, if one did.
    pub(super) contact: Jid,
    pub(super) machine: Machine<Text>,
    pub(super) dialog: Session,
    /// The transaction of their INVITE, until it is answered.
    pub(super) invite: Option<ServerKey>,
    /// What our 2xx to it says.
    pub(super) answer: Box<[u8]>,
    /// Whether it carried the first text, which is delivered by our 2xx.
    pub(super) has_first: bool,
    /// That of the INVITE which has our 2xx, until its ACK comes (RFC 3261 §13.3.1.4).
    pub(super) accepted: Option<ServerKey>,
    /// An offer of ours has its answer in the ACK.
    pub(super) expects_answer: bool,
    /// Whether the contact's last message showed that its client knows chat states (XEP-0085 §5.1).
    pub(super) knows_states: bool,
    /// Names our descriptions (RFC 8866 §5.2).
    pub(super) description: Described,
    /// Whether the SIP user's client takes `message/cpim` in it, as its description says.
    pub(super) takes_cpim: bool,
    /// Where its texts go, unless into the dialog.
    pub(super) msrp: Option<MsrpSession>,
    pub(super) since: Wall,
    /// Texts that were delivered: to the contact, to the SIP user.
    pub(super) delivered: [u32; 2],
    /// For when a timer was set.
    pub(super) armed: Option<Mono>,
    /// Whether texts could go.
    pub(super) was_open: bool,
    /// Why it ends.
    pub(super) ended: Option<Why>,
}

impl Conversation {
    pub(super) fn new(
        peer: PeerId,
        (user, contact): (Jid, Jid),
        machine: Machine<Text>,
        dialog: Session,
        since: Wall,
    ) -> Self {
        Self {
            number: 0,
            peer,
            user,
            contact,
            machine,
            dialog,
            invite: None,
            answer: Box::default(),
            has_first: false,
            accepted: None,
            expects_answer: false,
            knows_states: false,
            description: Described::default(),
            takes_cpim: false,
            msrp: None,
            since,
            delivered: [0; 2],
            armed: None,
            was_open: false,
            ended: None,
        }
    }

    /// Its texts go by MSRP, which keeps their order (RFC 4975 §7.1.1): none waits for the answer to another.
    pub(super) fn goes_by(&mut self, msrp: Option<MsrpSession>) {
        if msrp.is_some() {
            self.machine.overlap(OVERLAP);
        }
        self.msrp = msrp;
    }
}

/// All conversations, by slot and by pair.
pub(super) struct Table {
    slots: Slab<Box<Conversation>>,
    /// The keyed hash of a pair → its slots, the oldest first.
    pairs: HashMap<u64, Vec<u32>>,
    users: HashMap<Box<str>, u32>,
    /// Of all shards, by the contact's domain.
    together: Tally,
    keyed: DefaultHasher,
    next_number: u32,
}

impl Table {
    pub(super) fn new(seed: [u8; 32], together: Tally) -> Self {
        let mut keyed = DefaultHasher::new();
        ("sessions", seed).hash(&mut keyed);
        Self {
            slots: Slab::new(),
            pairs: HashMap::new(),
            users: HashMap::new(),
            together,
            keyed,
            next_number: 0,
        }
    }

    fn key(&self, user: &Jid, contact: &Jid) -> u64 {
        let mut hasher = self.keyed.clone();
        (user.bare_str(), contact.bare_str()).hash(&mut hasher);
        hasher.finish()
    }

    /// Is there room for another session between `user`, ours, and a contact in `domain`?
    pub(super) fn has_room(&self, user: &Jid, domain: &str, settings: &SessionSettings) -> bool {
        let of_user = self.users.get(user.bare_str()).map_or(0, |count| *count as usize);
        of_user < settings.per_user && self.together.has_room(domain, settings.per_partner, settings.all)
    }

    /// Where the next session will stand.
    pub(super) fn vacant(&self) -> u32 {
        u32::try_from(self.slots.vacant_key()).unwrap_or(u32::MAX)
    }

    pub(super) fn insert(&mut self, mut conversation: Conversation) -> SessionRef {
        self.next_number = self.next_number.wrapping_add(1);
        conversation.number = self.next_number;
        let name = SessionRef { slot: self.vacant(), number: self.next_number };
        let key = self.key(&conversation.user, &conversation.contact);
        self.pairs.entry(key).or_default().push(name.slot);
        count_up(&mut self.users, conversation.user.bare_str());
        self.together.up(conversation.contact.domain());
        self.slots.insert(Box::new(conversation));
        name
    }

    pub(super) fn get(&self, name: SessionRef) -> Option<&Conversation> {
        let found = self.slots.get(name.slot as usize)?;
        (found.number == name.number).then_some(found)
    }

    pub(super) fn get_mut(&mut self, name: SessionRef) -> Option<&mut Conversation> {
        let found = self.slots.get_mut(name.slot as usize)?;
        (found.number == name.number).then_some(found)
    }

    pub(super) fn remove(&mut self, name: SessionRef) -> Option<Box<Conversation>> {
        self.get(name)?;
        let gone = self.slots.try_remove(name.slot as usize)?;
        let key = self.key(&gone.user, &gone.contact);
        if let Some(slots) = self.pairs.get_mut(&key) {
            slots.retain(|slot| *slot != name.slot);
            if slots.is_empty() {
                self.pairs.remove(&key);
            }
        }
        count_down(&mut self.users, gone.user.bare_str());
        self.together.down(gone.contact.domain());
        Some(gone)
    }

    /// The sessions of a pair, the oldest first. Resources do not matter.
    pub(super) fn of_pair(&self, user: &Jid, contact: &Jid) -> impl Iterator<Item = SessionRef> {
        let slots = match self.pairs.is_empty() {
            true => None,
            false => self.pairs.get(&self.key(user, contact)),
        };
        slots.into_iter().flatten().filter_map(move |slot| {
            let found = self.slots.get(*slot as usize)?;
            let same =
                found.user.bare_str() == user.bare_str() && found.contact.bare_str() == contact.bare_str();
            same.then_some(SessionRef { slot: *slot, number: found.number })
        })
    }

    /// All, in the order of their slots.
    pub(super) fn refs(&self) -> Vec<SessionRef> {
        let name = |slot, number| Some(SessionRef { slot: u32::try_from(slot).ok()?, number });
        self.slots.iter().filter_map(|(slot, found)| name(slot, found.number)).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Conversation> {
        self.slots.iter().map(|(_, found)| &**found)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}
