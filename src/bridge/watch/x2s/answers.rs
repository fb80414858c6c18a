//! The steps of the table: what the answer to a SUBSCRIBE says.

use super::steps::Turn;
use super::{Action, Asking, Dialog, Facts, Machine, Owed, Stanza, State};
use crate::bridge::errors::condition_of;
use crate::bridge::watch::timing::{MOST_EXPIRES, back_off, refresh_at};
use crate::bridge::watch::{Deadline, Save};
use crate::xmpp::error::Condition;
use std::time::Duration;

impl Machine {
    pub(super) fn accept(&mut self, turn: &mut Turn<'_>, facts: Facts) {
        // A 2xx may shorten, never lengthen (RFC 6665 §4.2.1.1).
        let expires = facts.expires.unwrap_or(self.asked).min(self.asked);
        match std::mem::replace(&mut self.asking, Asking::Nothing) {
            Asking::Nothing => {}
            Asking::New if self.leaving => {
                self.dialog = self.dialog.max_accepted();
                self.owed.end = true;
                self.say(turn);
            }
            Asking::New => {
                let ends = Deadline::at(turn.now.mono + Duration::from_secs(expires.into()));
                self.dialog = self.dialog.max_accepted();
                // A NOTIFY that came before may have said less.
                if ends < self.expiry {
                    self.last(turn, expires);
                }
            }
            Asking::Refresh => {
                self.doubted = false;
                self.failures = 0;
                self.last(turn, expires);
                if facts.status == 204 {
                    // RFC 5839 §4: no NOTIFY follows.
                    self.timer_n.clear();
                }
            }
            Asking::Fetch => self.dialog = self.dialog.max_accepted(),
            Asking::Leave => {
                self.owed.gone = true;
                self.owed.forget |= self.dialog == Dialog::None;
                self.say(turn);
            }
        }
    }

    /// The subscription lasts `expires` seconds from now.
    pub(super) fn last(&mut self, turn: &mut Turn<'_>, expires: u32) {
        let now = turn.now.mono;
        self.expiry = Deadline::at(now + Duration::from_secs(expires.max(1).into()));
        self.refresh = Deadline::at(refresh_at(now, expires, turn.ids));
        if self.refresh >= self.expiry {
            self.refresh.clear();
        }
    }

    pub(super) fn longer(&mut self, turn: &mut Turn<'_>, facts: Facts) {
        let least = facts.min_expires.unwrap_or_default();
        let may = matches!(self.asking, Asking::New | Asking::Refresh) && !self.leaving;
        if !may || self.lengthened || least <= self.asked || least > MOST_EXPIRES {
            return self.fail(turn, facts);
        }
        self.lengthened = true;
        self.asked = least;
        if self.asking == Asking::New {
            self.tried = turn.now.mono;
        }
        self.send(turn, self.asking, least);
    }

    pub(super) fn fail(&mut self, turn: &mut Turn<'_>, facts: Facts) {
        match std::mem::replace(&mut self.asking, Asking::Nothing) {
            Asking::Nothing => {}
            Asking::Leave => self.left(turn),
            Asking::New if self.leaving => self.left(turn),
            Asking::Fetch => self.fetched(turn),
            // A NOTIFY established the dialog already: the response was lost, or is of another branch.
            Asking::New if self.dialog == Dialog::Live => {}
            Asking::New => {
                self.tell(turn, facts.status);
                self.end_dialog();
                self.retry_later(turn, facts.retry_after);
            }
            Asking::Refresh => {
                self.timer_n.clear();
                if self.granted {
                    if std::mem::take(&mut self.doubted) {
                        self.unsee(turn);
                    }
                } else {
                    self.tell(turn, facts.status);
                }
                let wait = back_off(self.failures, facts.retry_after, turn.ids);
                self.failures = self.failures.saturating_add(1);
                self.refresh = Deadline::at(turn.now.mono + wait);
                if self.refresh >= self.expiry {
                    self.refresh.clear();
                }
            }
        }
    }

    /// J hears once why a decision has to wait.
    pub(super) fn tell(&mut self, turn: &mut Turn<'_>, status: u16) {
        if self.granted || self.told {
            return;
        }
        self.told = true;
        let condition = match status {
            408 | 500..=599 => Condition::RemoteServerTimeout,
            status => condition_of(status),
        };
        turn.actions.push(Action::Stanza(Stanza::Error(condition)));
    }

    /// RFC 8048 §5.2.2: gone for good, and J is told.
    pub(super) fn cancel(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::None {
            return self.refused_without_record(turn);
        }
        self.drop_authorization(turn);
        self.owed.gone = true;
    }

    pub(super) fn not_found(&mut self, turn: &mut Turn<'_>) {
        if self.granted || self.heard || self.state == State::None {
            return self.cancel(turn);
        }
        self.drop_authorization(turn);
        self.owed.not_found = true;
    }

    pub(super) fn drop_authorization(&mut self, turn: &mut Turn<'_>) {
        self.end_dialog();
        self.retry.clear();
        self.state = State::None;
        self.granted = false;
        self.known = false;
        self.owed = Owed { forget: true, ..Owed::default() };
        self.save(turn, Save::Gone);
    }

    pub(super) fn refused_without_record(&mut self, turn: &mut Turn<'_>) {
        if self.leaving {
            self.dialog = Dialog::None;
            return self.over(turn);
        }
        if self.asking == Asking::Fetch || self.timer_n.is_set() {
            // RFC 6121 §4.3.2: the answer to a probe without an authorization.
            self.end_dialog();
            self.unsee(turn);
            turn.actions.push(Action::Stanza(Stanza::Unsubscribed));
            turn.actions.push(Action::Forget);
        }
    }
}

impl Dialog {
    /// What a 2xx makes of it.
    fn max_accepted(self) -> Self {
        match self {
            Self::None | Self::Accepted => Self::Accepted,
            Self::Live => Self::Live,
        }
    }
}
