//! One XML stream between servers, in either role: octets and time in, octets and events out.
//!
//! | file | owns |
//! |---|---|
//! | this file | [`Stream`], what the driver calls |
//! | [`table`] | phases, inputs, and what each phase does with each input |
//! | `core` | what both roles share: errors, closing, the way of an element to its handler |
//! | `receiving` | the peer opened the stream: features, SASL, dialback answered |
//! | `initiating` | we opened it: TLS, SASL, dialback sought, questions asked |
//! | `timers` | what happens by itself |
//! | `header` | stream headers and features, read and written |
//! | `packed` | stanzas on their way to another thread, with their proof |
//! | [`event`] | [`StreamEvent`], [`DownReason`], [`SendError`] |
//!
//! How a driver works: `push` what was read, call `next_event` until it has nothing more, write what
//! is in `output`, sleep until `deadline` or the next octets, and call `handle_timeout` when the
//! deadline has come, then `next_event` again. After every call that is not a getter there may be
//! events and output.
//!
//! A stanza comes out as [`Verified`] only here, and only if the pair of its sender and target domain
//! is one that was proven on this very stream.

mod core;
pub mod event;
mod header;
mod initiating;
mod packed;
mod receiving;
pub mod table;
mod timers;

#[cfg(test)]
mod tests;

pub use event::{DownReason, Features, SendError, StreamEvent};
pub use packed::{PackedIq, PackedStanza};

use self::core::{Behind, Core, Framing, RefusedKeys, Times};
use self::header::{Dialback, OfferTls};
use crate::addr::Domain;
use crate::crossing::Verified;
use crate::ids::Ids;
use crate::now::{Mono, Now};
use crate::xml::frame::{Frame, Framer};
use crate::xml::{self, Scope};
use crate::xmpp::dialback::{Verify, VerifyAnswer};
use crate::xmpp::error::{StreamCondition, StreamError};
use crate::xmpp::stanza::{self, Typed};
use crate::xmpp::terms::{Auth, Pair, PeerIdentity, Realm, Terms};
use crate::xmpp::{Settings, StreamId};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;
use table::{Phase, Role};

/// Capacity of the buffer for the element at hand that is kept between reads, in octets.
const KEEP: usize = 4096;

/// What a stream that we open is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// To send stanzas of its pair.
    Send,
    /// To ask about dialback keys; nothing is authenticated on it.
    Verify,
}

/// How a stream that we open gets to TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// By STARTTLS, as far as the terms want it.
    StartTls,
    /// The driver does TLS before anything else (XEP-0368): call `handle_tls` once it is done.
    Direct,
}

/// A stream. It does nothing by itself.
pub struct Stream {
    framer: Framer,
    /// The element at hand, so that what is read from it can leave while the framer stays ours.
    text: String,
    core: Core,
}

impl Stream {
    /// A stream that a peer opens to us. If the connection begins with TLS (XEP-0368), call
    /// `handle_tls` before the first `push`.
    pub fn receiving(id: StreamId, settings: &Settings, now: Now, ids: &mut Ids) -> Self {
        let mut stream = Self::new(id, Role::Receiving, settings, now, settings.inbound_establishment());
        stream.core.spare = Some(ids.mint());
        stream
    }

    /// A stream that we open to the server of `pair.remote`. The header is in the output at once,
    /// but for [`TlsMode::Direct`], where `handle_tls` puts it there.
    pub fn initiating(
        id: StreamId,
        settings: &Settings,
        pair: Pair,
        purpose: Purpose,
        mode: TlsMode,
        terms: &Terms,
        now: Now,
    ) -> Self {
        let mut stream = Self::new(id, Role::Initiating, settings, now, settings.establishment_timeout);
        let core = &mut stream.core;
        (core.local, core.remote) = (Some(pair.local), Some(pair.remote));
        core.terms = Some(*terms);
        core.purpose = purpose;
        match mode {
            TlsMode::StartTls => core.greet(),
            TlsMode::Direct => core.phase = Phase::Handshake,
        }
        stream
    }

    fn new(id: StreamId, role: Role, settings: &Settings, now: Now, setup: Duration) -> Self {
        Self {
            framer: Framer::new(settings.unauthenticated_size),
            text: String::new(),
            core: Core {
                id,
                role,
                purpose: Purpose::Send,
                settings: *settings,
                phase: Phase::Header,
                out: Vec::new(),
                events: VecDeque::new(),
                framing: None,
                scope: Scope::default(),
                stream_id: Box::default(),
                spare: None,
                greeted: false,
                lang: None,
                local: None,
                remote: None,
                terms: None,
                peer: None,
                authenticated: None,
                pairs: Vec::new(),
                pending: Vec::new(),
                questions: Vec::new(),
                sasl_failures: 0,
                refused_keys: RefusedKeys { count: 0, since: now.mono },
                wrong_questions: 0,
                offered_tls: OfferTls::No,
                dialback: Dialback::Silent,
                peer_features: None,
                times: Times {
                    setup: now.mono + setup,
                    heard: now.mono,
                    used: now.mono,
                    sent: now.mono,
                    expiry: None,
                    closing: now.mono,
                },
                closing: DownReason::Closed,
            },
        }
    }

    /// Takes octets from the peer; during a TLS handshake and after the end they are discarded. Call
    /// `next_event` until there are no more events before the next push.
    pub fn push(&mut self, octets: &[u8]) {
        if !matches!(self.core.phase, Phase::Handshake | Phase::Closed) {
            self.framer.push(octets);
        }
    }

    /// The next thing that the driver has to know of. `None`: nothing until more comes in.
    pub fn next_event<'s>(
        &'s mut self,
        now: Now,
        realm: &dyn Realm,
        ids: &mut Ids,
    ) -> Option<StreamEvent<'s>> {
        loop {
            if let Some(event) = self.core.events.pop_front() {
                return Some(event);
            }
            if matches!(self.core.phase, Phase::Handshake | Phase::Closed) {
                return None;
            }
            match self.framer.next() {
                Err(error) => self.core.fail(error),
                Ok(None) => {
                    if self.framer.take_whitespace() > 0 {
                        self.core.times.heard = now.mono;
                    }
                    if self.text.capacity() > KEEP {
                        self.text = String::new();
                    }
                    return None;
                }
                Ok(Some(Frame::Close)) => self.core.on_footer(),
                Ok(Some(Frame::Open(text))) => self.core.on_open(text, now, realm, ids),
                Ok(Some(Frame::Stanza(text))) => {
                    self.core.times.heard = now.mono;
                    self.text.clear();
                    self.text.push_str(text);
                    if self.core.takes_stanzas(&self.text) {
                        break;
                    }
                    let behind = match self.framer.unread().trim_ascii() {
                        [] => Behind::Nothing,
                        [..] => Behind::Octets,
                    };
                    self.core.on_element(&self.text, behind, now, realm);
                }
            }
            match self.core.framing.take() {
                Some(Framing::Restart) => self.framer.reset(),
                Some(Framing::Raise) => {
                    let size = self.core.settings.stanza_size.max(Settings::STANZA_SIZE_MIN);
                    self.framer.set_limit(size);
                }
                None => {}
            }
        }
        // Out of the loop, so that the stanza may borrow the text for as long as the caller likes.
        match typed(&self.text, &self.core) {
            Ok(Typed::Stanza(stanza)) => {
                self.core.times.used = now.mono;
                Some(StreamEvent::Stanza(Verified::prove(stanza)))
            }
            Ok(Typed::Iq(iq)) => {
                self.core.times.used = now.mono;
                Some(StreamEvent::Iq(Verified::prove(iq)))
            }
            Ok(Typed::Misaddressed(stanza)) => Some(StreamEvent::Misaddressed(stanza)),
            Err(error) => {
                self.core.fail(error);
                self.core.events.pop_front()
            }
        }
    }

    /// The driver has done the handshake. All that came before is forgotten (RFC 6120 §5.4.3.3).
    /// Ignored unless a handshake is due.
    pub fn handle_tls(&mut self, identity: Box<dyn PeerIdentity + Send>) {
        let core = &mut self.core;
        let untouched = core.role == Role::Receiving
            && core.phase == Phase::Header
            && !core.greeted
            && core.peer.is_none()
            && self.framer.unread().is_empty();
        if core.phase != Phase::Handshake && !untouched {
            return;
        }
        core.peer = Some(identity);
        core.framing = None;
        match core.role {
            Role::Receiving => core.restart(),
            Role::Initiating => core.begin_over_tls(),
        }
        core.framing = None;
        self.framer.reset();
    }

    /// Does what is due at `now`; harmless if nothing is.
    pub fn handle_timeout(&mut self, now: Now) {
        self.core.on_timeout(now);
    }

    /// When `handle_timeout` is next due; `None` once the stream is over.
    pub fn deadline(&self) -> Option<Mono> {
        self.core.deadline()
    }

    /// The connection has ended, or the TLS handshake has failed.
    pub fn handle_eof(&mut self) {
        if self.core.phase == Phase::Closing {
            self.core.closed();
        } else {
            self.core.down(DownReason::Lost);
        }
    }

    /// Octets to be written; the driver drains it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.core.out
    }

    /// Appends what the caller has written for a pair that is proven on this stream we opened: whole
    /// stanzas in the namespace `jabber:server`, which they do not declare.
    ///
    /// # Errors
    /// [`SendError::NotOpen`] and [`SendError::NotProven`].
    pub fn write_stanza(
        &mut self,
        now: Now,
        sender: &str,
        target: &str,
        stanza: &[u8],
    ) -> Result<(), SendError> {
        let core = &mut self.core;
        if core.role != Role::Initiating || core.phase != Phase::Up {
            return Err(SendError::NotOpen);
        }
        if !core.is_proven(sender, target) {
            return Err(SendError::NotProven);
        }
        (core.times.used, core.times.sent) = (now.mono, now.mono);
        core.out.extend_from_slice(stanza);
        Ok(())
    }

    /// Initiating: asks the peer, as authoritative server, about a key that another stream of ours
    /// was offered. The question waits until the stream is ready. It is answered by exactly one
    /// [`StreamEvent::Verified`], whatever happens.
    ///
    /// # Errors
    /// The question comes back with [`SendError::NotOpen`] or [`SendError::Full`].
    pub fn verify(&mut self, now: Now, question: Verify) -> Result<(), (SendError, Verify)> {
        match self.core.role {
            Role::Initiating => self.core.ask(question, now),
            Role::Receiving => Err((SendError::NotOpen, question)),
        }
    }

    /// Receiving: the answer to a [`StreamEvent::VerifyWanted`]. An answer that nobody waits for is
    /// dropped.
    pub fn handle_verified(&mut self, now: Now, answer: &VerifyAnswer) {
        if self.core.role == Role::Receiving {
            self.core.on_verified(now, answer);
            self.raise();
        }
    }

    /// Initiating: offers the peer a further domain of ours by dialback, on an established stream to
    /// that same domain of the peer's (XEP-0220 §2.6.1). [`StreamEvent::Up`] or
    /// [`StreamEvent::PairRefused`] follows.
    ///
    /// # Errors
    /// [`SendError::NotOpen`]; [`SendError::NoDialback`] if the terms or the peer exclude it, or the
    /// pair is for another domain of the peer's; [`SendError::Full`].
    pub fn propose(&mut self, now: Now, pair: Pair, realm: &dyn Realm) -> Result<(), SendError> {
        match self.core.role {
            Role::Initiating => self.core.propose(pair, now, realm),
            Role::Receiving => Err(SendError::NotOpen),
        }
    }

    /// The tables were loaded anew: a stream with a pair that would no longer be proven that way ends
    /// with `policy-violation`, and one that has proven none goes on by the new terms.
    pub fn handle_reload(&mut self, realm: &dyn Realm) {
        self.core.on_reload(realm);
    }

    /// Ends the stream: without an error by the close handshake, waiting for the peer's close tag;
    /// with one at once.
    pub fn close(&mut self, now: Now, error: Option<StreamError>) {
        match error {
            None => self.core.close(now, DownReason::Closed),
            Some(error) => self.core.fail_as(error, DownReason::Closed),
        }
    }

    fn raise(&mut self) {
        if self.core.framing.take() == Some(Framing::Raise) {
            self.framer.set_limit(self.core.settings.stanza_size.max(Settings::STANZA_SIZE_MIN));
        }
    }

    /// Why our side is closed, while the peer's close tag is awaited.
    pub fn leaving(&self) -> Option<&DownReason> {
        (self.core.phase == Phase::Closing).then_some(&self.core.closing)
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.core.phase
    }

    /// Our domain in the header at hand: chooses the certificate where SNI does not.
    pub fn local(&self) -> Option<&Domain> {
        self.core.local.as_ref()
    }

    /// The terms of the partner at hand; the default ones while none is.
    pub fn terms(&self) -> Terms {
        self.core.terms.unwrap_or_default()
    }

    /// The peer's domain in the header at hand. A claim, until a pair is proven.
    pub fn remote(&self) -> Option<&Domain> {
        self.core.remote.as_ref()
    }

    /// The language of the peer's stanzas that name none, from its header (RFC 6120 §4.7.4).
    pub fn lang(&self) -> Option<&str> {
        self.core.lang.as_deref()
    }

    /// Initiating: what the peer offered last to who has not proven itself yet.
    pub fn features(&self) -> Option<Features> {
        self.core.peer_features
    }

    /// The pairs that are proven, and how.
    pub fn pairs(&self) -> impl Iterator<Item = (&Pair, Auth)> {
        self.core.pairs.iter().map(|proven| (&proven.pair, proven.auth))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("id", &self.core.id)
            .field("role", &self.core.role)
            .field("phase", &self.core.phase)
            .field("local", &self.core.local)
            .field("remote", &self.core.remote)
            .finish_non_exhaustive()
    }
}

/// Types the element at hand and holds its addresses against the proven pairs (RFC 6120 §8.1.1.2,
/// §8.1.2.2).
fn typed<'t>(text: &'t str, core: &Core) -> Result<Typed<'t>, StreamError> {
    let typed = stanza::read(xml::parse(text, &core.scope, &xml::Limits::default())?)?;
    let (sender, target) = typed.domains();
    if core.is_proven(target, sender) {
        return Ok(typed);
    }
    let known = core.pairs.iter().any(|proven| proven.pair.remote.as_str() == sender);
    Err(StreamError::from(if known { StreamCondition::HostUnknown } else { StreamCondition::InvalidFrom }))
}
