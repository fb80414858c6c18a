//! Who is written to in which way, where a peer's `im` is `auto`.
//!
//! Nobody can know it in advance (RFC 7573 §4), and an INVITE for a conversation makes a telephone ring that
//! knows no texts. So MESSAGE comes first. A user whose client refuses it is written to in a session, and
//! that is remembered for a while; a text that was refused goes with it, and so does all that waits behind
//! it, in order.

use super::receipts::Asking;
use super::{SessionRef, Text};
use crate::addr::Jid;
use crate::bridge::session::Failure;
use crate::crossing::{Crossing, Direction, Kind};
use crate::gateway::Gateway;
use crate::gateway::effect::PeerId;
use crate::gateway::outgoing::{Load, NO_LONGER, Outgoing};
use crate::gateway::settings::Im;
use crate::gateway::undelivered::Undelivered;
use crate::now::{Mono, Now};
use crate::sip::pager::Carries;
use crate::xmpp::error::Condition;
use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// For how long it is remembered.
const REMEMBERED: Duration = Duration::from_secs(8 * 3600);
/// Users that are remembered; the oldest is forgotten first.
const LIMIT: usize = 50_000;
/// A text was refused as a MESSAGE out of a dialog: a bit beside those of [`Mode::bit`].
const PAGER: u8 = 1;

/// What carries the texts of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// MESSAGE in the dialog.
    MsSession,
    /// MSRP.
    Msrp,
}

impl Mode {
    /// In the order in which they are tried.
    const ALL: [Self; 2] = [Self::MsSession, Self::Msrp];

    /// What stands for a refusal of it.
    fn bit(self) -> u8 {
        match self {
            Self::MsSession => 2,
            Self::Msrp => 4,
        }
    }
}

/// Does a refusal say that the client does not know this way, and nothing of the text or the user?
fn is_of_the_way(status: u16) -> bool {
    matches!(status, 405 | 415 | 488 | 501 | 606)
}

/// The users who are written to in a session, as hashes under a seed.
pub(super) struct Modes {
    keyed: DefaultHasher,
    until: HashMap<u64, (Mono, Mode)>,
    order: VecDeque<u64>,
}

impl Modes {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let mut keyed = DefaultHasher::new();
        ("modes", seed).hash(&mut keyed);
        Self { keyed, until: HashMap::new(), order: VecDeque::new() }
    }

    fn key(&self, peer: PeerId, user: &Jid) -> u64 {
        let mut hasher = self.keyed.clone();
        (peer, user.bare_str()).hash(&mut hasher);
        hasher.finish()
    }

    /// In which sessions `user` is written to, if in any.
    pub(super) fn of(&self, now: Mono, peer: PeerId, user: &Jid) -> Option<Mode> {
        // Nothing is hashed to be looked up in an empty table.
        if self.until.is_empty() {
            return None;
        }
        let (until, mode) = *self.until.get(&self.key(peer, user))?;
        (now < until).then_some(mode)
    }

    fn remember(&mut self, now: Mono, peer: PeerId, user: &Jid, mode: Mode) {
        let key = self.key(peer, user);
        if self.until.insert(key, (now + REMEMBERED, mode)).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > LIMIT {
            if let Some(oldest) = self.order.pop_front() {
                self.until.remove(&oldest);
            }
        }
    }

    /// The next text to `user` finds out anew.
    fn forget(&mut self, peer: PeerId, user: &Jid) {
        let key = self.key(peer, user);
        if self.until.remove(&key).is_some() {
            self.order.retain(|known| *known != key);
        }
    }
}

impl Gateway {
    /// A MESSAGE out of a dialog was refused: does its text go into a session instead?
    pub(in crate::gateway) fn takes_another_way(&self, outgoing: &Outgoing, failure: &Undelivered) -> bool {
        let Load::Message { origin: Some(_), pager } = &outgoing.load else { return false };
        if !pager.carries().is_text() {
            return false;
        }
        let fresh = outgoing.refused & Mode::MsSession.bit() == 0;
        fresh && is_of_the_way(failure.status) && self.settings.im(outgoing.peer) == Im::Auto
    }

    /// Gives a refused MESSAGE, and those that waited behind it, to sessions.
    pub(in crate::gateway) fn go_another_way(
        &mut self,
        now: Now,
        refused: Outgoing,
        waiting: VecDeque<Outgoing>,
    ) {
        self.queued = self.queued.saturating_sub(waiting.len());
        self.held = self.held.saturating_sub(waiting.iter().map(Outgoing::octets).sum());
        for (at, outgoing) in std::iter::once(refused).chain(waiting).enumerate() {
            let (peer, came, track) = (outgoing.peer, outgoing.came, outgoing.track);
            let tried = outgoing.refused | if at == 0 { PAGER } else { 0 };
            let Load::Message { pager, origin: Some(origin) } = outgoing.load else {
                // A notice of ours: whoever refuses a text hears of it in no other way.
                continue;
            };
            if !pager.carries().is_text() {
                continue;
            }
            if at == 0 {
                self.sessions.modes.remember(now.mono, peer, &origin.to, Mode::MsSession);
            }
            let crossing = Crossing {
                sender: &origin.from,
                target: &origin.to,
                direction: Direction::XmppToSip,
                kind: Kind::Message,
            };
            let may = self.judge(&crossing).is_ok();
            // It may ask under its Call-ID.
            let question = self.talk.to_sip.take(pager.call_id());
            let text = Text {
                trace: self.ids.mint(),
                came,
                track,
                body: pager.body().into(),
                subject: Some(pager.subject()).filter(|text| !text.is_empty()).map(Box::from),
                language: Some(pager.language()).filter(|text| !text.is_empty()).map(Box::from),
                thread: None,
                sent: pager.sent(),
                origin,
                asking: question.map(Asking::new),
                refused: tried,
            };
            if may {
                self.keep_text(now, peer, text);
            } else {
                self.held += text.octets();
                self.return_text(now, text, Failure::new(Condition::Forbidden, 403, NO_LONGER), None);
            }
        }
    }

    /// What carries the texts of a new session with `user`.
    pub(super) fn mode_of(&self, now: Now, peer: PeerId, user: &Jid) -> Mode {
        match self.settings.im(peer) {
            Im::Msrp => Mode::Msrp,
            Im::MsSession | Im::Pager => Mode::MsSession,
            Im::Auto => self.sessions.modes.of(now.mono, peer, user).unwrap_or(Mode::MsSession),
        }
    }

    /// An INVITE of ours was refused: the texts go into another session of the pair, or the next way that was
    /// not tried, or back.
    pub(super) fn on_invite_refused(
        &mut self,
        now: Now,
        session: SessionRef,
        mut texts: Vec<Text>,
        failure: &Failure,
    ) {
        let Some(found) = self.sessions.table.get(session) else { return };
        let (peer, user, contact) = (found.peer, found.user.clone(), found.contact.clone());
        let mode = if found.msrp.is_some() { Mode::Msrp } else { Mode::MsSession };
        let is_other = self.settings.im(peer) == Im::Auto && is_of_the_way(failure.status) && !self.stopping;
        if is_other {
            self.sessions.modes.forget(peer, &user);
            texts.iter_mut().for_each(|text| text.refused |= mode.bit());
        }
        // Both sides have invited each other, and theirs was taken.
        if self.speaking(&user, &contact).is_some() {
            return self.hand_texts(now, peer, texts, 0);
        }
        let has_msrp = self.msrp_kind(peer).is_some();
        let tried = texts.first().map_or(u8::MAX, |text| text.refused);
        let untried = |mode: &Mode| tried & mode.bit() == 0 && (has_msrp || *mode != Mode::Msrp);
        if is_other && let Some(next) = Mode::ALL.into_iter().find(untried) {
            self.sessions.modes.remember(now.mono, peer, &user, next);
            return self.hand_texts(now, peer, texts, 0);
        }
        for text in texts {
            if is_other && text.refused & PAGER == 0 {
                self.send_as_pager(now, peer, text);
            } else {
                self.return_text(now, text, failure.clone(), None);
            }
        }
    }

    fn send_as_pager(&mut self, now: Now, peer: PeerId, text: Text) {
        self.held = self.held.saturating_sub(text.octets());
        self.forget_asking(&text);
        let Text { came, track, origin, body, subject, language, thread, refused, sent, asking, .. } = text;
        let call_id = thread.and_then(|thread| self.call_id(origin.to.bare_str(), &thread));
        let parts = crate::sip::pager::Parts {
            body: &body,
            subject: subject.as_deref(),
            language: language.as_deref(),
            call_id: call_id.as_deref(),
            sent,
            carries: if asking.is_some() { Carries::Asking } else { Carries::Text },
            ..crate::sip::pager::Parts::default()
        };
        let pager = self.build_message(&origin.from, &origin.to, &parts);
        if let Some(asking) = asking {
            self.talk.to_sip.ask(now, pager.call_id(), asking.question);
        }
        let load = Load::Message { pager, origin: Some(origin) };
        let mut outgoing = Outgoing::new(now.mono, peer, load, self.settings.pairs.queue_timeout);
        outgoing.refused = refused;
        outgoing.came = came;
        outgoing.track = track;
        self.send_message(now, outgoing);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_remembered_is_forgotten_after_eight_hours_and_bounded() {
        let user = |name: &str| Jid::parse(&format!("{name}@contoso.example")).unwrap();
        let (mut modes, now) = (Modes::new([1; 32]), Mono::default());
        modes.remember(now, PeerId(0), &user("alice"), Mode::Msrp);
        assert_eq!(modes.of(now, PeerId(0), &user("alice")), Some(Mode::Msrp));
        assert!(modes.of(now, PeerId(1), &user("alice")).is_none());
        assert!(modes.of(now + REMEMBERED, PeerId(0), &user("alice")).is_none());
        for n in 0..LIMIT + 5 {
            modes.remember(now, PeerId(0), &user(&format!("u{n}")), Mode::MsSession);
        }
        assert!(modes.until.len() <= LIMIT && modes.order.len() <= LIMIT);
        assert!(modes.of(now, PeerId(0), &user("alice")).is_none());
        modes.forget(PeerId(0), &user("u100"));
        assert!(modes.of(now, PeerId(0), &user("u100")).is_none());
    }
}
