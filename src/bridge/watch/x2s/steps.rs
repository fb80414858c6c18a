//! The steps of the table.

use super::table::Origin;
use super::{Action, Asking, Dialog, Event, Facts, Machine, Owed, Stanza, State, Step, Within, table};
use crate::bridge::errors::condition_of;
use crate::bridge::watch::record::DAY;
use crate::bridge::watch::timing::{
    FETCHED, LEAST_GAP, LEAST_REFRESH, MOST_EXPIRES, TIMER_N, back_off, jitter, refresh_at,
};
use crate::bridge::watch::{Consent, Deadline, Save, Turn as AnyTurn};
use crate::xmpp::error::Condition;
use std::time::Duration;

type Turn<'t> = AnyTurn<'t, Action>;

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

    // What J wants.

    fn ask(&mut self, turn: &mut Turn<'_>) {
        // What was being ended may end by itself; J hears nothing of it any more.
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
    fn wake(&mut self, turn: &mut Turn<'_>) {
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

    fn attempt(&mut self, turn: &mut Turn<'_>) {
        self.end_dialog();
        self.retry.clear();
        self.known = false;
        self.lengthened = false;
        self.state = if self.granted { State::Active } else { State::Pending };
        self.tried = turn.now.mono;
        self.asked = turn.settings.interval.max(1);
        self.send(turn, Asking::New, self.asked);
    }

    fn send_refresh(&mut self, turn: &mut Turn<'_>) {
        self.refresh.clear();
        self.asked = turn.settings.interval.max(1);
        self.lengthened = false;
        self.send(turn, Asking::Refresh, self.asked);
    }

    fn send(&mut self, turn: &mut Turn<'_>, asking: Asking, expires: u32) {
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

    // What the answer to a SUBSCRIBE says.

    fn accept(&mut self, turn: &mut Turn<'_>, facts: Facts) {
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
                self.say_gone(turn);
                if self.dialog == Dialog::None {
                    turn.actions.push(Action::Forget);
                }
            }
        }
    }

    /// The subscription lasts `expires` seconds from now.
    fn last(&mut self, turn: &mut Turn<'_>, expires: u32) {
        let now = turn.now.mono;
        self.expiry = Deadline::at(now + Duration::from_secs(expires.max(1).into()));
        self.refresh = Deadline::at(refresh_at(now, expires, turn.ids));
        if self.refresh >= self.expiry {
            self.refresh.clear();
        }
    }

    fn longer(&mut self, turn: &mut Turn<'_>, facts: Facts) {
        let least = facts.min_expires.unwrap_or_default();
        let may = matches!(self.asking, Asking::New | Asking::Refresh) && !self.leaving;
        if !may || self.lengthened || least <= self.asked || least > MOST_EXPIRES {
            return self.fail(turn, facts);
        }
        self.lengthened = true;
        self.asked = least;
        self.send(turn, self.asking, least);
    }

    fn fail(&mut self, turn: &mut Turn<'_>, facts: Facts) {
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
    fn tell(&mut self, turn: &mut Turn<'_>, status: u16) {
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
    fn cancel(&mut self, turn: &mut Turn<'_>) {
        if self.state == State::None {
            return self.refused_without_record(turn);
        }
        self.drop_authorization(turn);
        self.owed.gone = true;
    }

    fn not_found(&mut self, turn: &mut Turn<'_>) {
        if self.granted || self.heard || self.state == State::None {
            return self.cancel(turn);
        }
        self.drop_authorization(turn);
        self.owed.not_found = true;
    }

    fn drop_authorization(&mut self, turn: &mut Turn<'_>) {
        self.end_dialog();
        self.retry.clear();
        self.state = State::None;
        self.granted = false;
        self.known = false;
        self.owed = Owed { forget: true, ..Owed::default() };
        self.save(turn, Save::Gone);
    }

    fn refused_without_record(&mut self, turn: &mut Turn<'_>) {
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

    // What a NOTIFY says.

    /// The dialog is there, and lasts as long as the NOTIFY says, but not longer than we asked for.
    fn take_notify(&mut self, turn: &mut Turn<'_>, facts: Facts) {
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

    fn grant(&mut self, turn: &mut Turn<'_>, facts: Facts) {
        self.take_notify(turn, facts);
        self.granted = true;
        self.state = State::Active;
        self.known = facts.has_document;
        self.owed.subscribed = true;
        self.owed.deliver = facts.has_document;
        self.save(turn, Save::Put(Consent::Granted));
    }

    fn deliver(&mut self, turn: &mut Turn<'_>, facts: Facts) {
        self.take_notify(turn, facts);
        if self.state == State::None && self.leaving {
            return;
        }
        self.show(turn, facts.has_document);
        self.say(turn);
    }

    /// The document goes to J, behind a `subscribed` that waits. Without one the last one still holds
    /// (RFC 3856 §6.8), and is shown again if J was told otherwise.
    fn show(&mut self, turn: &mut Turn<'_>, has_document: bool) {
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
    fn last_words(&mut self, turn: &mut Turn<'_>, facts: Facts) {
        self.heard = true;
        let may = self.granted || (self.state == State::None && !self.leaving);
        if may && facts.has_document {
            self.fresh = turn.now.mono;
            self.show(turn, true);
        }
    }

    /// A dialog ended by `terminated`: `then`, unless it was a fetch or one that we ended.
    fn after_end(&mut self, turn: &mut Turn<'_>, then: impl FnOnce(&mut Self, &mut Turn<'_>)) {
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
    fn over(&mut self, turn: &mut Turn<'_>) {
        let owed = self.owed.end || self.owed.gone || self.saving > 0;
        if self.asking == Asking::Nothing && !owed {
            turn.actions.push(Action::Forget);
        } else {
            self.asking = Asking::Nothing;
            self.left(turn);
        }
    }

    /// A fetch is over. What it brought is believed for a while.
    fn fetched(&mut self, turn: &mut Turn<'_>) {
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
    fn restart(&mut self, turn: &mut Turn<'_>) {
        self.end_dialog();
        let wanted = !self.granted || self.is_interested(turn);
        if !wanted {
            self.unsee(turn);
            self.state = State::Dormant;
        } else if turn.now.mono >= self.tried + LEAST_GAP {
            self.attempt(turn);
        } else {
            self.retry_later(turn, None);
        }
    }

    fn retry_later(&mut self, turn: &mut Turn<'_>, wanted: Option<u32>) {
        self.unsee(turn);
        self.state = State::Retry;
        self.held = wanted.is_some();
        let wait = back_off(self.failures, wanted, turn.ids);
        self.failures = self.failures.saturating_add(1);
        self.retry = Deadline::at(turn.now.mono + wait);
    }

    /// Nothing is left of the dialog. While J leaves, Timer N still watches over the answer.
    fn end_dialog(&mut self) {
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

    fn unsee(&mut self, turn: &mut Turn<'_>) {
        if self.shown {
            self.shown = false;
            turn.actions.push(Action::Stanza(Stanza::Unavailable));
        }
    }

    fn is_interested(&self, turn: &Turn<'_>) -> bool {
        turn.now.mono < self.interested_until
    }

    // What links, rights and timers say.

    fn doubt(&mut self, at: crate::now::Mono) {
        if self.dialog == Dialog::Live {
            self.doubted = true;
            self.refresh.advance(at);
        }
    }

    fn recheck(&mut self, turn: &mut Turn<'_>) {
        let soon = turn.now.mono + jitter(turn.ids, turn.settings.spread);
        self.doubt(soon);
        if self.state == State::Retry && !self.held && self.right {
            self.failures = 0;
            self.retry.advance(soon.max(self.tried + LEAST_GAP));
        }
    }

    /// Ended on both sides at once. The authorization stays, and J is never told `unsubscribed`.
    fn suspend(&mut self, turn: &mut Turn<'_>) {
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

    fn resume(&mut self, turn: &mut Turn<'_>) {
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

    fn silence(&mut self, turn: &mut Turn<'_>, facts: Facts) {
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

    fn expire(&mut self, turn: &mut Turn<'_>) {
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

    fn refresh(&mut self, turn: &mut Turn<'_>) {
        let wanted = !self.granted || self.doubted || self.is_interested(turn);
        let idle = self.asking == Asking::Nothing && !self.timer_n.is_set();
        if self.dialog == Dialog::Live && idle && wanted {
            self.send_refresh(turn);
        } else if self.dialog != Dialog::None && wanted {
            // Another SUBSCRIBE or the NOTIFY that it brings is awaited.
            self.refresh = Deadline::at(turn.now.mono + LEAST_REFRESH);
        }
    }

    fn retry(&mut self, turn: &mut Turn<'_>) {
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

    // What waits for the store.

    fn save(&mut self, turn: &mut Turn<'_>, save: Save) {
        if save.is_awaited() {
            self.saving = self.saving.saturating_add(1);
        }
        self.used = turn.now.wall;
        turn.actions.push(Action::Persist(save));
    }

    /// Says what waited, once the store has everything.
    fn say(&mut self, turn: &mut Turn<'_>) {
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
    fn say_gone(&mut self, turn: &mut Turn<'_>) {
        self.shown = false;
        turn.actions.push(Action::Stanza(Stanza::Unavailable));
        turn.actions.push(Action::Stanza(Stanza::Unsubscribed));
    }

    /// There is nobody left to end the dialog with.
    fn left(&mut self, turn: &mut Turn<'_>) {
        self.timer_n.clear();
        self.owed.end = false;
        self.owed.gone = true;
        self.owed.forget = true;
        self.say(turn);
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
