//! What goes with texts: who is writing, what became of a message, what a text refers to.
//!
//! | file | owns |
//! |---|---|
//! | this one | `Talk`, what is remembered; [`PeerTalk`], what a peer wants |
//! | `typing` | chat states and status messages in pager mode |
//! | `receipts` | questions and answers about messages, in pager mode and in sessions |
//!
//! What a conversation may hear and say is in [`crate::bridge::typing`], [`crate::bridge::receipts`] and
//! [`crate::bridge::beyond`]. All of it is of the moment: a restart forgets it, and nobody misses a text.

mod receipts;
mod typing;

pub use receipts::Receipts;
pub(super) use receipts::{Waits, Wishes};

use super::Gateway;
use super::outgoing::{Load, Outgoing};
use super::trail::Carrier;
use crate::bridge::beyond::{self, Memory, Recent};
use crate::bridge::receipts::Ledger;
use crate::bridge::typing::ChatState;
use crate::crossing::{Crosses, Verified};
use crate::now::Now;
use crate::policy::Admitted;
use crate::sip::link::PeerId;
use crate::sip::pager::Parts;
use crate::sip::uas::Request;
use crate::xmpp::error::{Condition, StanzaError};
use crate::xmpp::stanza::Stanza;
use std::borrow::Cow;
use std::time::Duration;
use typing::Typing;

/// How often an XMPP user is told how a SIP user is called.
const NAMES: Duration = Duration::from_secs(24 * 3600);

/// How conversations are carried, whoever's they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TalkSettings {
    /// What an XMPP user sees of a SIP user who writes no more.
    pub idle: ChatState,
    /// Is a SIP user told, once a day, that somebody sends what can't be read?
    pub encrypted_notice: bool,
}

impl Default for TalkSettings {
    fn default() -> Self {
        Self { idle: ChatState::Active, encrypted_notice: false }
    }
}

/// What a peer's users get beside texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerTalk {
    /// Do they hear who is writing?
    pub typing: bool,
    /// Receipts.
    pub receipts: Receipts,
    /// What rare things become.
    pub beyond: beyond::Terms,
}

impl Default for PeerTalk {
    fn default() -> Self {
        Self { typing: true, receipts: Receipts::Auto, beyond: beyond::Terms::default() }
    }
}

/// What is remembered of conversations.
pub(super) struct Talk {
    pub(super) typing: Typing,
    /// Messages of XMPP users that may still be answered, by their Message-ID or Call-ID.
    pub(super) to_sip: Ledger,
    /// Messages of SIP users that may still be answered, by the id of the stanza.
    to_xmpp: Ledger,
    /// SIP users whose clients use notifications.
    notifiers: Recent,
    pub(super) memory: Memory,
}

impl Talk {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self {
            typing: Typing::new(seed),
            to_sip: Ledger::default(),
            to_xmpp: Ledger::default(),
            notifiers: Recent::new(seed),
            memory: Memory::new(seed),
        }
    }
}

impl Gateway {
    /// An encrypted message goes back. Its recipient hears of it once a day, if that is switched on.
    pub(super) fn return_encrypted(&mut self, now: Now, via: Carrier, stanza: &Admitted<Stanza<'_>>) {
        let error = StanzaError::with_text(Condition::NotAcceptable, beyond::ENCRYPTED);
        let policy = Some(stanza.grant().policy());
        self.return_stanza(now, via, stanza, policy, &error, beyond::ENCRYPTED);
        let pair = ("encrypted", stanza.from.bare_str(), stanza.to.bare_str());
        let Some(peer) = self.settings.peer_of(stanza.to.domain()) else { return };
        if !self.settings.talk.encrypted_notice
            || !self.talk.memory.said.is_first(now, beyond::ENCRYPTED_PAUSE, pair)
        {
            return;
        }
        let parts = Parts { body: beyond::ENCRYPTED_NOTICE, ..Parts::default() };
        let pager = self.build_message(&stanza.from.to_bare(), &stanza.to.to_bare(), &parts);
        let load = Load::Message { pager, origin: None };
        self.send_message(now, Outgoing::new(now.mono, peer, load, self.settings.pairs.queue_timeout));
    }

    /// The name that a SIP user goes by, the first time in a day that it writes to this XMPP user.
    pub(super) fn first_name<'m>(&mut self, now: Now, request: &Request<'m>) -> Option<Cow<'m, str>> {
        let name = request.message.from().display()?;
        let pair = ("name", request.sender.bare_str(), request.target.bare_str());
        if !self.talk.memory.said.is_first(now, NAMES, pair) {
            return None;
        }
        match name {
            Cow::Borrowed(name) => beyond::display_name(name),
            Cow::Owned(name) => beyond::display_name(&name).map(|name| Cow::Owned(name.into_owned())),
        }
    }

    /// An error came for a stanza after the 2xx: does its sender hear of that by a notification?
    pub(super) fn is_notified(&mut self, now: Now, error: &Verified<Stanza<'_>>) -> bool {
        self.judge(&error.crossing()).is_ok() && self.notify_of_failure(now, error)
    }

    /// What a translation for a user of `peer` needs.
    pub(super) fn desk(&mut self, now: Now, peer: Option<PeerId>) -> beyond::Desk<'_> {
        let terms = peer.map_or_else(beyond::Terms::default, |peer| self.settings.talk_of(peer).beyond);
        beyond::Desk { now, terms, memory: &mut self.talk.memory }
    }
}
