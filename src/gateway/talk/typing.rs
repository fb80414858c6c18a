//! Who is writing, in pager mode.
//!
//! A chat state becomes a MESSAGE of its own, but never in the way of a text: it is sent only if nothing
//! else is under way to its target (RFC 3428 §8), is given up soon, and no more are sent for hours to whom
//! one was refused or not answered (RFC 3994 §4).
//!
//! A conversation is remembered from the first chat state that its XMPP user shows until nothing was heard
//! for a while. Until then nothing is said to that user (XEP-0085 §5.1).

use super::super::Gateway;
use super::super::effect::{Due, Timer};
use super::super::outgoing::{Load, Origin, Outgoing, Undelivered};
use super::super::settings::Im;
use crate::addr::Jid;
use crate::body::iscomposing::State;
use crate::bridge::beyond::Recent;
use crate::bridge::typing::{ChatState, Conversation, Dialect, Heard, StateStanza, Terms};
use crate::crossing::{Crossing, Direction, Kind};
use crate::now::{Mono, Now};
use crate::sip::pager::{Carries, Parts};
use crate::xmpp::error::Condition;
use crate::xmpp::stanza::Stanza;
use slab::Slab;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Conversations that are remembered. When there are more, a new one is not.
const LIMIT: usize = 50_000;
/// After how long without a word a conversation is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(1800);
/// For how long no status message goes to whom one was refused.
const REFUSED: Duration = Duration::from_secs(8 * 3600);
/// How long a status message waits for its answer, with texts behind it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The conversations whose XMPP user showed chat states.
pub(in crate::gateway) struct Typing {
    keyed: DefaultHasher,
    chats: Slab<Chat>,
    /// By a seeded hash of both bare addresses.
    by_pair: HashMap<u64, usize>,
    /// SIP users who do not take status messages.
    refused: Recent,
}

struct Chat {
    /// The address that showed chat states last.
    xmpp: Jid,
    /// Bare.
    sip: Jid,
    key: u64,
    conversation: Conversation,
    /// When a word was last heard.
    heard: Mono,
    /// The timer that counts.
    armed: Option<Mono>,
}

impl Typing {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let mut keyed = DefaultHasher::new();
        ("typing", seed).hash(&mut keyed);
        Self { keyed, chats: Slab::new(), by_pair: HashMap::new(), refused: Recent::new(seed) }
    }

    fn key(&self, xmpp: &Jid, sip: &Jid) -> u64 {
        let mut hasher = self.keyed.clone();
        (xmpp.bare_str(), sip.bare_str()).hash(&mut hasher);
        hasher.finish()
    }

    fn find(&self, xmpp: &Jid, sip: &Jid) -> Option<usize> {
        if self.by_pair.is_empty() {
            return None;
        }
        let slot = *self.by_pair.get(&self.key(xmpp, sip))?;
        let chat = self.chats.get(slot)?;
        let is_it = chat.xmpp.bare_str() == xmpp.bare_str() && chat.sip.bare_str() == sip.bare_str();
        is_it.then_some(slot)
    }

    fn open(&mut self, now: Now, xmpp: &Jid, sip: &Jid) -> Option<usize> {
        if let Some(slot) = self.find(xmpp, sip) {
            return Some(slot);
        }
        let key = self.key(xmpp, sip);
        if self.chats.len() >= LIMIT || self.by_pair.contains_key(&key) {
            return None;
        }
        let (xmpp, sip) = (xmpp.clone(), sip.to_bare());
        let conversation = Conversation::default();
        let slot = self.chats.insert(Chat { xmpp, sip, key, conversation, heard: now.mono, armed: None });
        self.by_pair.insert(key, slot);
        Some(slot)
    }

    /// Sets the timer of a conversation, or forgets it.
    fn settle(&mut self, now: Now, slot: usize, due: &mut Vec<Due>) {
        let Some(chat) = self.chats.get_mut(slot) else { return };
        let forgotten = chat.heard + FORGOTTEN;
        if forgotten <= now.mono || chat.conversation.is_plain() {
            let chat = self.chats.remove(slot);
            self.by_pair.remove(&chat.key);
            return;
        }
        let at = chat.conversation.deadline().map_or(forgotten, |deadline| deadline.min(forgotten));
        if chat.armed.is_none_or(|armed| at < armed || armed <= now.mono) {
            chat.armed = Some(at);
            due.push(Due { at, what: Timer::Typing(slot) });
        }
    }

    /// A word about typing was answered. RFC 3994 §4 ends it for a 415; so does every other status that says
    /// that the client will not do it, now or later. A user who is only away is told again.
    pub(in crate::gateway) fn on_answer(&mut self, now: Now, target: &str, status: u16) {
        if matches!(status, 400 | 403 | 405 | 406 | 415 | 420 | 488 | 489 | 501 | 513 | 603 | 606) {
            self.refuse(now, target);
        }
    }

    /// The SIP user `target` takes no status messages.
    fn refuse(&mut self, now: Now, target: &str) {
        self.refused.set(now, REFUSED, target);
    }

    #[cfg(test)]
    pub(in crate::gateway) fn len(&self) -> usize {
        self.chats.len()
    }
}

impl Load {
    /// By when a request that says that somebody writes is to be answered; None for any other.
    pub(in crate::gateway) fn hurry(&self, now: Now) -> Option<Mono> {
        match self {
            Self::Message { pager, .. } if pager.carries() == Carries::Typing => Some(now.mono + PATIENCE),
            Self::Message { .. } | Self::Event(_) | Self::Session(_) | Self::Acknowledged(_) => None,
        }
    }
}

impl Gateway {
    /// How the SIP user of a pair is told: in its session, if there is one.
    fn typing_terms(&self, xmpp: &Jid, sip: &Jid) -> Terms {
        Terms { dialect: self.dialect_of(sip, xmpp), idle: self.settings.talk.idle }
    }

    /// A status message was not answered: what waits behind it is not failed with it.
    pub(in crate::gateway) fn give_up_status(&mut self, now: Now, outgoing: Outgoing) {
        if let Load::Message { pager, .. } = &outgoing.load {
            self.talk.typing.refuse(now, pager.target());
        }
        let why = "the SIP server did not answer";
        self.finish(now, outgoing, Err(Undelivered::alone(Condition::RemoteServerTimeout, 504, why)));
    }

    /// An XMPP user's message has been admitted: its chat state, and whether there is a text. One without
    /// a state costs a look at an empty table, or at most a hash.
    pub(in crate::gateway) fn note_state(
        &mut self,
        now: Now,
        stanza: &Stanza<'_>,
        state: Option<ChatState>,
        has_text: bool,
    ) {
        let (from, to) = (&stanza.from, &stanza.to);
        let slot = match state {
            Some(_) => self.talk.typing.open(now, from, to),
            None => self.talk.typing.find(from, to),
        };
        let Some(slot) = slot else { return };
        let terms = self.typing_terms(from, to);
        let Some(chat) = self.talk.typing.chats.get_mut(slot) else { return };
        chat.heard = now.mono;
        chat.xmpp = from.clone();
        let say = chat.conversation.on_stanza(now.mono, state, has_text, &terms);
        if let Some(say) = say {
            self.say_to_sip(now, from, to, say);
        }
        self.settle_typing(now, slot);
    }

    /// A SIP user's text goes to an XMPP user: does it carry `<active/>`?
    pub(in crate::gateway) fn text_shows_state(&mut self, now: Now, sip: &Jid, xmpp: &Jid) -> bool {
        let Some(slot) = self.talk.typing.find(xmpp, sip) else { return false };
        let Some(chat) = self.talk.typing.chats.get_mut(slot) else { return false };
        chat.heard = now.mono;
        let shows = chat.conversation.on_text();
        self.settle_typing(now, slot);
        shows
    }

    /// A SIP user writes, or does not. Both are admitted.
    pub(in crate::gateway) fn on_sip_typing(&mut self, now: Now, sip: &Jid, xmpp: &Jid, heard: Heard) {
        let Some(slot) = self.talk.typing.find(xmpp, sip) else { return };
        let terms = self.typing_terms(xmpp, sip);
        let Some(chat) = self.talk.typing.chats.get_mut(slot) else { return };
        chat.heard = now.mono;
        if let Some(state) = chat.conversation.on_status(now.mono, heard, &terms) {
            self.say_to_xmpp(now, slot, state);
        }
        self.settle_typing(now, slot);
    }

    /// The SIP user has left a conversation: is the XMPP user told? None: nothing is known of it.
    pub(in crate::gateway) fn ends_typing(&mut self, sip: &Jid, xmpp: &Jid) -> Option<bool> {
        let slot = self.talk.typing.find(xmpp, sip)?;
        Some(self.talk.typing.chats.get_mut(slot)?.conversation.on_end().is_some())
    }

    /// The timer of a conversation. One that was set for something else does nothing.
    pub(in crate::gateway) fn on_typing_timer(&mut self, now: Now, slot: usize) {
        let Some(chat) = self.talk.typing.chats.get(slot) else { return };
        if chat.armed.is_none_or(|armed| armed > now.mono) {
            return;
        }
        let (from, to) = (chat.xmpp.clone(), chat.sip.clone());
        let terms = self.typing_terms(&from, &to);
        let Some(chat) = self.talk.typing.chats.get_mut(slot) else { return };
        chat.armed = None;
        let say = chat.conversation.on_timer(now.mono, &terms);
        if let Some(state) = say.to_sip {
            self.say_to_sip(now, &from, &to, state);
        }
        if let Some(state) = say.to_xmpp {
            self.say_to_xmpp(now, slot, state);
        }
        self.settle_typing(now, slot);
    }

    fn settle_typing(&mut self, now: Now, slot: usize) {
        let Self { talk, due, .. } = self;
        talk.typing.settle(now, slot, due);
    }

    /// Tells a SIP user that `from` writes or not, if nothing else is under way to it.
    fn say_to_sip(&mut self, now: Now, from: &Jid, to: &Jid, state: State) {
        let Some(peer) = self.settings.peer_of(to.domain()) else { return };
        let crossing =
            Crossing { sender: from, target: to, direction: Direction::XmppToSip, kind: Kind::Message };
        let may = self.settings.talk_of(peer).typing
            && !self.stopping
            && !self.talk.typing.refused.knows(now, to.bare_str())
            && self.judge(&crossing).is_ok();
        if !may || self.say_in_session(now, from, to, state) {
            return;
        }
        // A text is more, and a peer of sessions takes nothing out of them.
        let only_sessions = matches!(self.settings.im(peer), Im::MsSession | Im::Msrp);
        if self.targets.contains_key(to.bare_str()) || only_sessions {
            return;
        }
        let (_, body) = Dialect::IsComposing.body(state);
        let parts = Parts { body: &body, carries: Carries::Typing, ..Parts::default() };
        let pager = self.build_message(from, to, &parts);
        let origin = Some(Origin { from: from.clone(), to: to.clone(), id: None });
        let load = Load::Message { pager, origin };
        self.send_message(now, Outgoing::new(now.mono, peer, load, PATIENCE));
    }

    /// Tells the XMPP user of a conversation.
    fn say_to_xmpp(&mut self, now: Now, slot: usize, state: ChatState) {
        let Some(chat) = self.talk.typing.chats.get(slot) else { return };
        let (from, to) = (chat.sip.clone(), chat.xmpp.clone());
        let crossing =
            Crossing { sender: &from, target: &to, direction: Direction::SipToXmpp, kind: Kind::Message };
        // It may be said long after the gate was asked.
        if self.judge(&crossing).is_err() {
            return;
        }
        let start = self.effects.mark();
        let thread = self.thread_of_session(&from, &to);
        let thread = thread.as_deref();
        StateStanza { from: &from, to: &to, thread, state }.write(self.effects.buffer());
        self.send_stanza(now, (from.domain(), to.domain()), start);
    }
}
