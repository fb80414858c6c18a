//! What the SIP side was told of the XMPP user who writes.

use super::wire::{ChatState, Dialect};
use crate::body::iscomposing::State;
use crate::now::Mono;
use std::time::Duration;

/// How long `active` is said again without a new `composing`: somebody has left the keyboard.
const LONGEST: Duration = Duration::from_secs(600);

/// `active` was said, or not.
#[derive(Clone, Debug, Default)]
pub(super) struct ToldSip {
    writing: Option<Writing>,
}

#[derive(Clone, Debug)]
struct Writing {
    /// When `composing` came last.
    since: Mono,
    /// When `active` is said again.
    again: Mono,
}

impl ToldSip {
    pub(super) fn on_state(&mut self, now: Mono, state: ChatState, dialect: Dialect) -> Option<State> {
        match (state, &mut self.writing) {
            (ChatState::Composing, Some(writing)) => {
                writing.since = now;
                None
            }
            (ChatState::Composing, None) => {
                self.writing = Some(Writing { since: now, again: now + dialect.repeat() });
                Some(State::Active)
            }
            (ChatState::Active | ChatState::Paused | ChatState::Inactive, writing) => {
                writing.take().map(|_| State::Idle)
            }
            // RFC 7573 §6.1: it has no counterpart; the status message expires.
            (ChatState::Gone, writing) => {
                writing.take();
                None
            }
        }
    }

    /// RFC 3994 §3.2: a text says that nobody writes any more.
    pub(super) fn on_text(&mut self) {
        self.writing = None;
    }

    pub(super) fn on_timer(&mut self, now: Mono, dialect: Dialect) -> Option<State> {
        let writing = self.writing.as_mut().filter(|writing| writing.again <= now)?;
        if now.since(writing.since) >= LONGEST {
            self.writing = None;
            return None;
        }
        writing.again = now + dialect.repeat();
        Some(State::Active)
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        self.writing.as_ref().map(|writing| writing.again)
    }
}
