//! The steps of the table: what a NOTIFY says, and what follows when a dialog ends.

use super::steps::Turn;
use super::{Action, Asking, Dialog, Facts, Machine, Stanza, State};
use crate::bridge::watch::timing::{FETCHED, LEAST_GAP, back_off};
use crate::bridge::watch::{Consent, Deadline, Save};
use std::time::Duration;

impl Machine {
    /// The dialog is there, and lasts as long as the NOTIFY says, but not longer than we asked for.
    pub(super) fn take_notify(&mut self, turn: &mut Turn<'_>, facts: Facts) {
        let first = std::mem::replace(&mut self.dialog, Dialog::Live) != Dialog::Live;
        if self.state == State::None {
            // A fetch, or a dialog that is being ended: Timer N waits for `terminated`.
            return;
        }
        self.timer_n.clear();
        self.heard = true;
        self.doubted = false;
        self.failures = 0;
        self.fresh = turn.now.mono;
        let known = self.expiry.get();
        let said = match (facts.expires, known) {
            (Some(expires), _) => expires.min(self.asked),
            (None, Some(_)) if !first => return,
            (None, Some(known)) => u32::try_from(known.since(turn.now.mono).as_secs()).unwrap_or(self.asked),
            (None, None) => self.asked,
        };
        let ends = turn.now.mono + Duration::from_secs(said.into());
        let near = Duration::from_secs(10);
        if first || known.is_none_or(|known| known.since(ends).max(ends.since(known)) > near) {
            self.last(turn, said);
        }
    }

    pub(super) fn grant(&mut self, turn: &mut Turn<'_>, facts: Facts) {
        self.take_notify(turn, facts);
        self.granted = true;
        self.state = State::Active;
        self.known = facts.has_document;
        self.owed.subscribed = true;
        self.owed.deliver = facts.has_document;
        self.save(turn, Save::Put(Consent::Granted));
    }

    pub(super) fn deliver(&mut self, turn: &mut Turn<'_>, facts: Facts) {
        self.take_notify(turn, facts);
        if self.state == State::None && self.leaving {
            return;
        }
        self.show(turn, facts.has_document);
        self.say(turn);
    }

    /// The document goes to J, behind a `subscribed` that waits. Without one the last one still holds
    /// (RFC 3856 §6.8), and is shown again if J was told otherwise.
    pub(super) fn show(&mut self, turn: &mut Turn<'_>, has_document: bool) {
        self.known |= has_document;
        if !self.known {
            return;
        }
        if self.owed.subscribed {
            self.owed.deliver = true;
        } else if has_document {
            self.fresh = turn.now.mono;
            turn.actions.push(Action::Deliver);
            self.shown = true;
        } else if !self.shown {
            turn.actions.push(Action::Replay);
            self.shown = true;
        }
    }

    /// The document of a last NOTIFY, where there is an authorization or a fetch.
    pub(super) fn last_words(&mut self, turn: &mut Turn<'_>, facts: Facts) {
        self.heard = true;
        let may = self.granted || (self.state == State::None && !self.leaving);
        if may && facts.has_document {
            self.fresh = turn.now.mono;
            self.show(turn, true);
        }
    }

    /// A dialog ended by `terminated`: `then`, unless it was a fetch or one that we ended.
    pub(super) fn after_end(&mut self, turn: &mut Turn<'_>, then: impl FnOnce(&mut Self, &mut Turn<'_>)) {
        if self.state != State::None {
            then(self, turn);
        } else if !self.leaving {
            self.fetched(turn);
        } else if self.asking == Asking::Nothing {
            self.over(turn);
        }
        // Else the answer to our SUBSCRIBE is still to come.
    }

    /// The dialog that J left is over: J hears it, unless that was said, and nothing is left.
    pub(super) fn over(&mut self, turn: &mut Turn<'_>) {
        let owed = self.owed.end || self.owed.gone || self.saving > 0;
        if self.asking == Asking::Nothing && !owed {
            turn.actions.push(Action::Forget);
        } else {
            self.asking = Asking::Nothing;
            self.left(turn);
        }
    }

    /// A fetch is over. What it brought is believed for a while.
    pub(super) fn fetched(&mut self, turn: &mut Turn<'_>) {
        self.asking = Asking::Nothing;
        self.timer_n.clear();
        self.dialog = Dialog::None;
        if self.shown {
            self.expiry = Deadline::at(turn.now.mono + FETCHED);
        } else {
            turn.actions.push(Action::Forget);
        }
    }

    /// A new dialog for one that ended, if anybody wants it.
    pub(super) fn restart(&mut self, turn: &mut Turn<'_>) {
        self.end_dialog();
        let wanted = !self.granted || self.is_interested(turn);
        if !wanted {
            self.unsee(turn);
            self.state = State::Dormant;
        } else if turn.now.mono >= self.tried + LEAST_GAP || !self.rushed {
            // "Immediately" (RFC 6665 §4.1.3), but not again and again.
            self.rushed = true;
            self.attempt(turn);
        } else {
            self.retry_later(turn, None);
        }
    }

    pub(super) fn retry_later(&mut self, turn: &mut Turn<'_>, wanted: Option<u32>) {
        self.unsee(turn);
        self.state = State::Retry;
        self.held = wanted.is_some();
        let wait = back_off(self.failures, wanted, turn.ids);
        self.failures = self.failures.saturating_add(1);
        self.retry = Deadline::at(turn.now.mono + wait);
    }

    /// Nothing is left of the dialog. While J leaves, Timer N still watches over the answer.
    pub(super) fn end_dialog(&mut self) {
        self.dialog = Dialog::None;
        self.doubted = false;
        self.expiry.clear();
        self.refresh.clear();
        if !self.leaving {
            self.asking = match self.asking {
                // Its answer says nothing any more, but for a fetch, whose end is told apart.
                Asking::Fetch => Asking::Fetch,
                _ => Asking::Nothing,
            };
            self.timer_n.clear();
        }
    }

    pub(super) fn unsee(&mut self, turn: &mut Turn<'_>) {
        if self.shown {
            self.shown = false;
            turn.actions.push(Action::Stanza(Stanza::Unavailable));
        }
    }

    pub(super) fn is_interested(&self, turn: &Turn<'_>) -> bool {
        turn.now.mono < self.interested_until
    }
}
