//! The steps of the table: what links, rights and timers say.

use super::steps::Turn;
use super::{Action, Asking, Dialog, Facts, Machine, State};
use crate::bridge::watch::Deadline;
use crate::bridge::watch::timing::{LEAST_GAP, LEAST_REFRESH, jitter};
use crate::now::Mono;

impl Machine {
    pub(super) fn doubt(&mut self, at: Mono) {
        if self.dialog == Dialog::Live {
            self.doubted = true;
            self.refresh.advance(at);
        }
    }

    pub(super) fn recheck(&mut self, turn: &mut Turn<'_>) {
        let soon = turn.now.mono + jitter(turn.ids, turn.settings.spread);
        self.doubt(soon);
        if self.state == State::Retry && !self.held && self.right {
            self.failures = 0;
            self.retry.advance(soon.max(self.tried + LEAST_GAP));
        }
    }

    /// Ended on both sides at once. The authorization stays, and J is never told `unsubscribed`.
    pub(super) fn suspend(&mut self, turn: &mut Turn<'_>) {
        self.right = false;
        if self.leaving {
            return;
        }
        let live = self.dialog != Dialog::None;
        self.end_dialog();
        self.asking = Asking::Nothing;
        self.retry.clear();
        self.known = false;
        if live && self.state != State::None {
            self.send(turn, Asking::Nothing, 0);
        }
        self.unsee(turn);
        match self.state {
            // A record that is not durable yet stays owed.
            State::None if self.saving == 0 => turn.actions.push(Action::Forget),
            State::None => {}
            State::Pending | State::Active | State::Dormant | State::Retry => {
                self.state = if self.granted { State::Dormant } else { State::Retry };
            }
        }
    }

    pub(super) fn resume(&mut self, turn: &mut Turn<'_>) {
        if std::mem::replace(&mut self.right, true) {
            return;
        }
        let wanted = !self.granted || self.is_interested(turn);
        if matches!(self.state, State::Dormant | State::Retry) && wanted && !self.owed.ask {
            let soon = turn.now.mono + jitter(turn.ids, turn.settings.spread);
            self.retry.advance(soon.max(self.tried + LEAST_GAP));
        }
        self.say(turn);
    }

    pub(super) fn silence(&mut self, turn: &mut Turn<'_>, facts: Facts) {
        match (self.state, self.asking) {
            (State::None, _) if self.leaving => self.over(turn),
            (State::None, _) => self.fetched(turn),
            (State::Dormant | State::Retry, _) => {}
            (State::Pending | State::Active, Asking::New | Asking::Refresh) => self.fail(turn, facts),
            // 2xx, but no NOTIFY (RFC 6665 §4.1.2.2, §4.1.2.4).
            (State::Pending | State::Active, _) if self.dialog == Dialog::Accepted => {
                self.asking = Asking::New;
                self.fail(turn, facts);
            }
            (State::Pending | State::Active, _) => self.restart(turn),
        }
    }

    pub(super) fn expire(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            State::None => {
                self.unsee(turn);
                turn.actions.push(Action::Forget);
            }
            State::Pending | State::Active => {
                self.end_dialog();
                if self.granted && !self.is_interested(turn) {
                    self.unsee(turn);
                    self.state = State::Dormant;
                } else {
                    self.retry_later(turn, None);
                }
            }
            State::Dormant | State::Retry => {}
        }
    }

    pub(super) fn refresh(&mut self, turn: &mut Turn<'_>) {
        let wanted = !self.granted || self.doubted || self.is_interested(turn);
        let idle = self.asking == Asking::Nothing && !self.timer_n.is_set();
        if self.dialog == Dialog::Live && idle && wanted {
            self.send_refresh(turn);
        } else if self.dialog != Dialog::None && wanted {
            // Another SUBSCRIBE or the NOTIFY that it brings is awaited.
            self.refresh = Deadline::at(turn.now.mono + LEAST_REFRESH);
        }
    }

    pub(super) fn retry(&mut self, turn: &mut Turn<'_>) {
        self.held = false;
        if !self.right
            || self.owed.ask
            || !matches!(self.state, State::Retry | State::Dormant | State::Pending)
        {
            return;
        }
        if self.granted && !self.is_interested(turn) {
            self.unsee(turn);
            self.state = State::Dormant;
        } else {
            self.attempt(turn);
        }
    }
}
