//! The steps of the table: what J wants, and what is said when the store has it.

use super::table::Origin;
use super::{Action, Asking, Dialog, Event, Facts, Machine, Owed, Stanza, State, Step, Within, table};
use crate::bridge::watch::record::DAY;
use crate::bridge::watch::timing::{LEAST_GAP, TIMER_N, jitter};
use crate::bridge::watch::{Consent, Deadline, Save, Turn as AnyTurn};
use crate::xmpp::error::Condition;
use std::time::Duration;

pub(super) type Turn<'t> = AnyTurn<'t, Action>;

impl Machine {
    pub(super) fn step(&mut self, turn: &mut Turn<'_>, event: Event, facts: Facts) {
        match event.origin() {
            Origin::Notify => {
                // RFC 6665 §4.1.3, §4.1.2.4.
                let expected = self.dialog != Dialog::None || self.timer_n.is_set();
                turn.actions.push(Action::Answer(if expected { 200 } else { 481 }));
                if !expected {
                    return;
                }
            }
            Origin::Answer if self.asking == Asking::Nothing => return,
            Origin::Answer if self.asking == Asking::Leave && !self.leaving => {
                // J has subscribed again since. It is about the dialog of before.
                self.asking = Asking::Nothing;
                return self.timer_n.clear();
            }
            Origin::Answer | Origin::Other => {}
        }
        match table::rule(self.state, event) {
            Step::Ignore => {}
            Step::Ask => self.ask(turn),
            Step::Note => self.note(turn),
            Step::Lapse => self.interested_until = turn.now.mono,
            Step::Welcome => self.welcome(turn),
            Step::Again => {
                if self.granted && !self.owed.subscribed {
                    turn.actions.push(Action::Stanza(Stanza::Subscribed));
                }
                self.hurry(turn);
            }
            Step::Replay => self.replay(turn),
            Step::Hurry => {
                if self.granted && !self.owed.subscribed {
                    turn.actions.push(Action::Stanza(Stanza::Unavailable));
                }
                self.hurry(turn);
            }
            Step::Wake => {
                self.note(turn);
                self.wake(turn);
            }
            Step::Fetch => self.fetch(turn),
            Step::Leave => self.leave(turn),
            Step::Accept => self.accept(turn, facts),
            Step::Longer => self.longer(turn, facts),
            Step::Cancel => self.cancel(turn),
            Step::NotFound => self.not_found(turn),
            Step::Renew if self.asking == Asking::Refresh => self.restart(turn),
            Step::Renew | Step::Fail => self.fail(turn, facts),
            Step::Grant => self.grant(turn, facts),
            Step::Deliver => self.deliver(turn, facts),
            Step::Hold => self.take_notify(turn, facts),
            Step::Restart => {
                self.last_words(turn, facts);
                self.end_dialog();
                self.after_end(turn, |machine, turn| machine.restart(turn));
            }
            Step::Postpone => {
                self.last_words(turn, facts);
                self.end_dialog();
                self.after_end(turn, |machine, turn| machine.retry_later(turn, facts.retry_after));
            }
            Step::Freeze => {
                self.last_words(turn, facts);
                self.end_dialog();
                self.after_end(turn, |_, _| {});
            }
            Step::Doubt => self.doubt(turn.now.mono + turn.settings.patience),
            Step::Recheck => self.recheck(turn),
            Step::Suspend => self.suspend(turn),
            Step::Resume => self.resume(turn),
            Step::Say => {
                self.saving = self.saving.saturating_sub(1);
                self.say(turn);
            }
            Step::Silence => self.silence(turn, facts),
            Step::Expire => self.expire(turn),
            Step::Refresh => self.refresh(turn),
            Step::Retry => self.retry(turn),
        }
    }

    fn ask(&mut self, turn: &mut Turn<'_>) {
        // What was being ended may end by itself. J hears no more of it than that R is not seen now.
        self.unsee(turn);
        let end = self.owed.end;
        let (saving, serial, tried) = (self.saving, self.serial, self.tried);
        *self = Self { saving, serial, tried, ..Self::new(turn.now) };
        self.owed = Owed { end, ask: true, ..Owed::default() };
        self.state = State::Pending;
        self.interested_until = turn.now.mono + turn.settings.interest;
        self.save(turn, Save::Put(Consent::Asked));
    }

    fn note(&mut self, turn: &mut Turn<'_>) {
        self.interested_until = turn.now.mono + turn.settings.interest;
        let day = DAY * 1000;
        if turn.now.wall.as_millis().saturating_sub(self.used.as_millis()) >= day {
            self.save(turn, Save::Used);
        }
        let idle = self.asking == Asking::Nothing && self.saving == 0;
        if self.state == State::Pending && idle && self.dialog == Dialog::None {
            self.wake(turn);
        } else if idle && self.dialog == Dialog::Live && !self.refresh.is_set() && !self.timer_n.is_set() {
            // The time to refresh went by while nobody was interested.
            self.refresh = Deadline::at(turn.now.mono + jitter(turn.ids, Duration::from_secs(5)));
        }
    }

    fn welcome(&mut self, turn: &mut Turn<'_>) {
        self.note(turn);
        // One that waits for the store comes by itself.
        if !self.owed.subscribed {
            turn.actions.push(Action::Stanza(Stanza::Subscribed));
            // What a Dormant watch knew is no longer so.
            if self.known && self.state == State::Active {
                turn.actions.push(Action::Replay);
                self.shown = true;
            }
        }
        if self.state == State::Dormant {
            self.wake(turn);
        }
    }

    fn replay(&mut self, turn: &mut Turn<'_>) {
        self.note(turn);
        if self.owed.subscribed {
            return;
        }
        if self.known {
            turn.actions.push(Action::Replay);
            self.shown = true;
        } else if self.dialog == Dialog::Live {
            turn.actions.push(Action::Stanza(Stanza::Unavailable));
        }
        let old = turn.now.mono.since(self.fresh) >= turn.settings.stale;
        if old && self.dialog == Dialog::Live && self.asking == Asking::Nothing && !self.timer_n.is_set() {
            self.send_refresh(turn);
        }
    }

    fn hurry(&mut self, turn: &mut Turn<'_>) {
        self.note(turn);
        if !self.held {
            self.wake(turn);
        }
    }

    /// Asks for a new dialog, or as soon as it may.
    pub(super) fn wake(&mut self, turn: &mut Turn<'_>) {
        if !self.right {
            return;
        }
        let (now, may) = (turn.now.mono, self.tried + LEAST_GAP);
        if self.serial == 0 || now >= may {
            self.attempt(turn);
        } else {
            self.retry.advance(may);
        }
    }

    pub(super) fn attempt(&mut self, turn: &mut Turn<'_>) {
        self.end_dialog();
        self.retry.clear();
        self.known = false;
        self.lengthened = false;
        self.state = if self.granted { State::Active } else { State::Pending };
        if turn.now.mono >= self.tried + LEAST_GAP {
            self.rushed = false;
        }
        self.tried = turn.now.mono;
        self.asked = turn.settings.interval.max(1);
        self.send(turn, Asking::New, self.asked);
    }

    pub(super) fn send_refresh(&mut self, turn: &mut Turn<'_>) {
        self.refresh.clear();
        self.asked = turn.settings.interval.max(1);
        self.lengthened = false;
        self.send(turn, Asking::Refresh, self.asked);
    }

    pub(super) fn send(&mut self, turn: &mut Turn<'_>, asking: Asking, expires: u32) {
        let within = match asking {
            Asking::New | Asking::Fetch => Within::New,
            Asking::Refresh | Asking::Leave | Asking::Nothing => Within::Dialog,
        };
        self.serial = self.serial.checked_add(1).unwrap_or(1);
        self.asking = asking;
        self.timer_n = Deadline::at(turn.now.mono + TIMER_N);
        turn.actions.push(Action::SendSubscribe { within, expires, serial: self.serial });
    }

    fn fetch(&mut self, turn: &mut Turn<'_>) {
        if self.leaving || self.saving > 0 || !self.right {
            return;
        }
        if self.known {
            turn.actions.push(Action::Replay);
        }
        let now = turn.now.mono;
        let old = !self.known || now.since(self.fresh) >= turn.settings.stale;
        if old && !self.timer_n.is_set() && (self.serial == 0 || now >= self.tried + LEAST_GAP) {
            self.tried = now;
            self.dialog = Dialog::None;
            self.send(turn, Asking::Fetch, 0);
        } else if !self.timer_n.is_set() && !self.expiry.is_set() {
            turn.actions.push(Action::Forget);
        }
    }

    fn leave(&mut self, turn: &mut Turn<'_>) {
        self.leaving = true;
        self.state = State::None;
        self.granted = false;
        self.owed = Owed::default();
        for deadline in [&mut self.expiry, &mut self.refresh, &mut self.retry] {
            deadline.clear();
        }
        self.save(turn, Save::Gone);
        if self.dialog != Dialog::None {
            self.asking = Asking::Nothing;
            self.timer_n.clear();
            self.owed.end = true;
        } else if self.asking != Asking::New {
            self.owed.gone = true;
            self.owed.forget = true;
        }
        // Else the answer to the SUBSCRIBE that is under way says whom to tell.
    }

    pub(super) fn save(&mut self, turn: &mut Turn<'_>, save: Save) {
        if save.is_awaited() {
            self.saving = self.saving.saturating_add(1);
        }
        self.used = turn.now.wall;
        turn.actions.push(Action::Persist(save));
    }

    /// Says what waited, once the store has everything.
    pub(super) fn say(&mut self, turn: &mut Turn<'_>) {
        if self.saving > 0 {
            return;
        }
        if std::mem::take(&mut self.owed.end) {
            self.send(turn, Asking::Leave, 0);
        }
        if std::mem::take(&mut self.owed.gone) {
            self.say_gone(turn);
        }
        if std::mem::take(&mut self.owed.not_found) {
            turn.actions.push(Action::Stanza(Stanza::Error(Condition::ItemNotFound)));
        }
        if self.right && self.granted && std::mem::take(&mut self.owed.subscribed) {
            turn.actions.push(Action::Stanza(Stanza::Subscribed));
            self.save(turn, Save::Put(Consent::Announced));
            if std::mem::take(&mut self.owed.deliver) && self.known {
                turn.actions.push(Action::Deliver);
                self.shown = true;
            }
        }
        if self.right && std::mem::take(&mut self.owed.ask) {
            self.wake(turn);
        }
        if std::mem::take(&mut self.owed.forget) {
            turn.actions.push(Action::Forget);
        }
    }

    /// RFC 6121 §3.2.2: first `unavailable`, while J still counts as subscribed.
    pub(super) fn say_gone(&mut self, turn: &mut Turn<'_>) {
        self.shown = false;
        turn.actions.push(Action::Stanza(Stanza::Unavailable));
        turn.actions.push(Action::Stanza(Stanza::Unsubscribed));
    }

    /// There is nobody left to end the dialog with.
    pub(super) fn left(&mut self, turn: &mut Turn<'_>) {
        self.timer_n.clear();
        self.owed.end = false;
        self.owed.gone = true;
        self.owed.forget = true;
        self.say(turn);
    }
}
