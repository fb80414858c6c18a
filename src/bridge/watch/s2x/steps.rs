//! The steps of the table.

use super::{Action, Body, Dialog, Event, Leg, Machine, Owed, Phase, Stanza, State, Step, table};
use crate::bridge::watch::record::DAY;
use crate::bridge::watch::timing::{FETCH_WAIT, LEAST_REFRESH, LEAST_RETRY, NOTIFY_GAP};
use crate::bridge::watch::{Consent, Save, Turn as AnyTurn};
use crate::now::{Mono, Wall};
use crate::sip::subscription::Said;
use crate::sip::value::EndReason;
use std::time::Duration;

type Turn<'t> = AnyTurn<'t, Action>;

const TIMEOUT: Said = Said::Terminated { reason: EndReason::Timeout, retry_after: None };
const REJECTED: Said = Said::Terminated { reason: EndReason::Rejected, retry_after: None };

impl Machine {
    pub(super) fn step(&mut self, turn: &mut Turn<'_>, event: Event, leg: Option<Leg>, expires: u32) {
        let leg = leg.unwrap_or(Leg(0));
        match table::rule(self.state(), event) {
            Step::Ignore => {}
            Step::Ask => self.ask(turn, leg, expires),
            Step::Remind => self.remind(turn, leg, expires),
            Step::Resume => self.resume(turn, leg, expires),
            Step::Return if self.consent == Some(Consent::Asked) => self.remind(turn, leg, expires),
            Step::Return => self.resume(turn, leg, expires),
            Step::Poll if self.consent == Some(Consent::Asked) => self.answer_fetch(turn, leg, Body::None),
            Step::Poll => self.poll(turn, leg),
            Step::PollBlind => self.answer_fetch(turn, leg, Body::None),
            Step::Renew => self.renew(turn, leg, expires),
            Step::End => {
                turn.actions.push(Action::Accept { leg, expires: 0 });
                if self.end(turn, leg, TIMEOUT, Body::Closed) {
                    self.after_last(turn);
                }
            }
            Step::Longer => {
                turn.actions.push(Action::Refuse { status: 423, min_expires: Some(expires) });
                self.forget_if_empty(turn);
            }
            Step::Grant => self.grant(turn),
            Step::Reject => self.take_back(turn, EndReason::Rejected),
            Step::NoResource => self.take_back(turn, EndReason::NoResource),
            Step::Probation => self.probation(turn),
            Step::Notify => self.on_presence(turn),
            Step::Fetched => {
                self.known |= event == Event::Presence;
                self.answer_fetches(turn);
            }
            Step::Settle => self.settle(turn, leg),
            Step::TellLater => self.tell_later(turn, leg),
            Step::Drop => {
                if let Some(dialog) = self.remove(leg) {
                    turn.actions.push(Action::Close(leg));
                    if dialog.phase == Phase::Open {
                        self.after_last(turn);
                    }
                }
            }
            Step::Revoke => self.revoke(turn, event == Event::SwitchedOff),
            Step::Purge => {
                self.take_back(turn, EndReason::Rejected);
                self.owed.unsubscribe = true;
            }
            Step::Say => {
                self.saving = self.saving.saturating_sub(1);
                self.say(turn);
            }
            Step::Expire => {
                if self.end(turn, leg, TIMEOUT, Body::Closed) {
                    self.after_last(turn);
                }
            }
            Step::Flush => self.flush(turn),
            Step::Answer => {
                self.remove(leg);
                let body = self.body();
                self.answer_fetch(turn, leg, body);
            }
        }
    }

    // What R wants.

    fn ask(&mut self, turn: &mut Turn<'_>, leg: Leg, expires: u32) {
        self.consent = Some(Consent::Asked);
        self.asked = turn.now.wall;
        self.owed = Owed { subscribe: true, ..Owed::default() };
        self.open(turn, leg, expires);
        self.save(turn, Save::Put(Consent::Asked));
    }

    fn remind(&mut self, turn: &mut Turn<'_>, leg: Leg, expires: u32) {
        self.open(turn, leg, expires);
        self.ask_again(turn);
    }

    fn resume(&mut self, turn: &mut Turn<'_>, leg: Leg, expires: u32) {
        let old = turn.now.mono.since(self.heard) >= turn.settings.stale;
        if old && self.state() == State::Terminated {
            // J's server need not tell one who does not watch.
            self.known = false;
        }
        self.open(turn, leg, expires);
        self.use_record(turn);
        self.probe(turn);
    }

    /// A new dialog: 200, and a NOTIFY at once (RFC 6665 §4.2.1.2).
    fn open(&mut self, turn: &mut Turn<'_>, leg: Leg, expires: u32) {
        let ends = turn.now.mono + Duration::from_secs(expires.into());
        self.dialogs.reserve_exact(1);
        self.dialogs.push(Dialog { leg, phase: Phase::Open, in_flight: 0, dirty: false, ends });
        turn.actions.push(Action::Accept { leg, expires });
        turn.actions.push(Action::AddContact);
        self.notify(turn, leg);
    }

    /// J is asked again, but not more than once a day (RFC 6121 §3.1.3).
    fn ask_again(&mut self, turn: &mut Turn<'_>) {
        let since = turn.now.wall.as_secs().saturating_sub(self.asked.as_secs());
        if self.owed.subscribe || since < DAY {
            return;
        }
        self.asked = turn.now.wall;
        self.save(turn, Save::Used);
        turn.actions.push(Action::Stanza(Stanza::Subscribe));
    }

    fn use_record(&mut self, turn: &mut Turn<'_>) {
        let since = turn.now.wall.as_secs().saturating_sub(self.used.as_secs());
        if since >= DAY {
            self.save(turn, Save::Used);
        }
    }

    fn probe(&mut self, turn: &mut Turn<'_>) {
        if turn.now.mono >= self.probe_from {
            self.probe_from = turn.now.mono + LEAST_REFRESH;
            turn.actions.push(Action::Stanza(Stanza::Probe));
        }
    }

    fn renew(&mut self, turn: &mut Turn<'_>, leg: Leg, expires: u32) {
        let Some(dialog) = self.dialog(leg) else { return };
        dialog.ends = turn.now.mono + Duration::from_secs(expires.into());
        turn.actions.push(Action::Accept { leg, expires });
        if turn.now.wall.as_secs().saturating_sub(self.used.as_secs()) >= DAY {
            // Whoever is looked at for long stays added.
            turn.actions.push(Action::AddContact);
        }
        self.notify(turn, leg);
        if self.consent == Some(Consent::Asked) {
            return self.ask_again(turn);
        }
        self.use_record(turn);
        if !self.known || turn.now.mono.since(self.heard) >= turn.settings.stale {
            self.probe(turn);
        }
    }

    fn poll(&mut self, turn: &mut Turn<'_>, leg: Leg) {
        let followed = self.state() == State::Active;
        let fresh = turn.now.mono.since(self.heard) < turn.settings.stale;
        if self.known && (followed || fresh) {
            let body = self.body();
            return self.answer_fetch(turn, leg, body);
        }
        self.known = false;
        let ends = turn.now.mono + FETCH_WAIT;
        self.dialogs.reserve_exact(1);
        self.dialogs.push(Dialog { leg, phase: Phase::Fetching, in_flight: 0, dirty: false, ends });
        self.probe(turn);
    }

    /// A fetch is answered, and its dialog is over (RFC 6665 §4.4.3).
    fn answer_fetch(&mut self, turn: &mut Turn<'_>, leg: Leg, body: Body) {
        turn.actions.push(Action::Accept { leg, expires: 0 });
        turn.actions.push(Action::Notify { leg, said: TIMEOUT, body });
        turn.actions.push(Action::Close(leg));
        self.forget_if_empty(turn);
    }

    fn answer_fetches(&mut self, turn: &mut Turn<'_>) {
        let fetching = |dialog: &&Dialog| dialog.phase == Phase::Fetching;
        while let Some(leg) = self.dialogs.iter().find(fetching).map(|dialog| dialog.leg) {
            self.remove(leg);
            let body = self.body();
            self.answer_fetch(turn, leg, body);
        }
    }

    // What J says.

    fn grant(&mut self, turn: &mut Turn<'_>) {
        if self.consent == Some(Consent::Asked) {
            self.consent = Some(Consent::Granted);
            self.owed.subscribe = false;
            self.owed.granted = true;
            self.save(turn, Save::Put(Consent::Granted));
        }
    }

    /// The authorization is gone: all dialogs end once the store knows.
    fn take_back(&mut self, turn: &mut Turn<'_>, reason: EndReason) {
        self.consent = None;
        self.known = false;
        self.notify_due.clear();
        self.owed = Owed { forget: true, ..Owed::default() };
        self.save(turn, Save::Gone);
        self.answer_fetches(turn);
        for dialog in &mut self.dialogs {
            if dialog.phase == Phase::Open {
                dialog.phase = Phase::Ending(reason);
            }
        }
    }

    /// J can't be reached: R may try again later, and J is asked again then.
    fn probation(&mut self, turn: &mut Turn<'_>) {
        self.known = false;
        self.answer_fetches(turn);
        let retry_after = Some(turn.settings.retry_after);
        self.end_all(turn, Said::Terminated { reason: EndReason::Probation, retry_after });
        if self.consent == Some(Consent::Asked) {
            self.asked = Wall::default();
        }
    }

    fn on_presence(&mut self, turn: &mut Turn<'_>) {
        self.known = true;
        self.answer_fetches(turn);
        for dialog in &mut self.dialogs {
            dialog.dirty = dialog.phase == Phase::Open;
        }
        self.put_off(turn.now.mono);
        if self.notify_due.take_due(turn.now.mono) {
            self.flush(turn);
        }
    }

    // NOTIFYs.

    /// The state of a dialog at once. A decision that the store does not know yet is not said.
    fn notify(&mut self, turn: &mut Turn<'_>, leg: Leg) {
        let (now, active, body) = (turn.now.mono, self.is_active(), self.body());
        let Some(dialog) = self.dialog(leg) else { return };
        let expires = u32::try_from(dialog.ends.since(now).as_secs()).unwrap_or(u32::MAX);
        let (said, body) = match active {
            true => (Said::Active { expires }, body),
            false => (Said::Pending { expires }, Body::None),
        };
        dialog.in_flight = dialog.in_flight.saturating_add(1);
        dialog.dirty = false;
        if body != Body::None {
            self.notify_from = now + NOTIFY_GAP;
        }
        turn.actions.push(Action::Notify { leg, said, body });
    }

    /// Has J said yes, and does the store know?
    fn is_active(&self) -> bool {
        matches!(self.consent, Some(Consent::Granted | Consent::Announced)) && !self.owed.granted
    }

    fn body(&self) -> Body {
        if self.known { Body::Current } else { Body::None }
    }

    /// NOTIFYs of changed presence wait for their time.
    fn put_off(&mut self, now: Mono) {
        self.notify_due.advance(self.notify_from.max(now));
    }

    /// All dialogs that were not told the newest state are told. One with a NOTIFY that is not answered
    /// waits for that.
    fn flush(&mut self, turn: &mut Turn<'_>) {
        if !self.is_active() {
            return;
        }
        let wants = |dialog: &Dialog| dialog.phase == Phase::Open && dialog.dirty && dialog.in_flight == 0;
        while let Some(leg) = self.dialogs.iter().find(|dialog| wants(dialog)).map(|dialog| dialog.leg) {
            self.notify(turn, leg);
        }
    }

    fn settle(&mut self, turn: &mut Turn<'_>, leg: Leg) {
        let Some(dialog) = self.dialog(leg) else { return };
        dialog.in_flight = dialog.in_flight.saturating_sub(1);
        if dialog.dirty && dialog.in_flight == 0 && self.is_active() {
            self.put_off(turn.now.mono);
            if self.notify_due.take_due(turn.now.mono) {
                self.flush(turn);
            }
        }
    }

    /// RFC 6665 §4.2.2 removes no subscription for this, and a state that nobody hears of is a ghost.
    fn tell_later(&mut self, turn: &mut Turn<'_>, leg: Leg) {
        let Some(dialog) = self.dialog(leg) else { return };
        dialog.in_flight = dialog.in_flight.saturating_sub(1);
        if dialog.phase == Phase::Open {
            dialog.dirty = true;
            self.notify_due.advance(turn.now.mono + LEAST_RETRY);
        }
    }

    /// Ends one dialog; whether it was there.
    fn end(&mut self, turn: &mut Turn<'_>, leg: Leg, said: Said, body: Body) -> bool {
        let was = self.remove(leg).is_some();
        if was {
            turn.actions.push(Action::Notify { leg, said, body });
            turn.actions.push(Action::Close(leg));
        }
        was
    }

    /// Ends every open dialog; whether there was one.
    fn end_all(&mut self, turn: &mut Turn<'_>, said: Said) -> bool {
        let mut any = false;
        self.notify_due.clear();
        let open = |dialog: &&Dialog| dialog.phase == Phase::Open;
        while let Some(leg) = self.dialogs.iter().find(open).map(|dialog| dialog.leg) {
            any |= self.end(turn, leg, said, Body::None);
        }
        any
    }

    /// RFC 8048 §5.3.3: with the last dialog J hears that R is gone.
    fn after_last(&mut self, turn: &mut Turn<'_>) {
        if self.state() == State::Terminated {
            self.notify_due.clear();
            turn.actions.push(Action::Stanza(Stanza::Unavailable));
        }
        self.forget_if_empty(turn);
    }

    fn revoke(&mut self, turn: &mut Turn<'_>, switched_off: bool) {
        self.known = false;
        self.answer_fetches(turn);
        let said = match switched_off {
            true => Said::Terminated {
                reason: EndReason::Probation,
                retry_after: Some(turn.settings.retry_after),
            },
            false => REJECTED,
        };
        if self.end_all(turn, said) {
            turn.actions.push(Action::Stanza(Stanza::Unavailable));
        }
        if std::mem::take(&mut self.owed.subscribe) {
            // J was not asked, and is at R's next SUBSCRIBE.
            self.asked = Wall::default();
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

    fn say(&mut self, turn: &mut Turn<'_>) {
        if self.saving > 0 {
            return;
        }
        let ending = |dialog: &Dialog| match dialog.phase {
            Phase::Ending(reason) => Some((dialog.leg, reason)),
            Phase::Open | Phase::Fetching => None,
        };
        while let Some((leg, reason)) = self.dialogs.iter().find_map(ending) {
            self.end(turn, leg, Said::Terminated { reason, retry_after: None }, Body::None);
        }
        let Owed { subscribe, granted, unsubscribe, forget } = std::mem::take(&mut self.owed);
        if subscribe {
            turn.actions.push(Action::Stanza(Stanza::Subscribe));
        }
        if granted {
            let open: Vec<Leg> =
                self.dialogs.iter().filter(|one| one.phase == Phase::Open).map(|one| one.leg).collect();
            for leg in open {
                self.notify(turn, leg);
            }
        }
        if unsubscribe {
            turn.actions.push(Action::Stanza(Stanza::Unsubscribe));
        }
        if forget {
            self.forget_if_empty(turn);
        }
    }

    /// Without an authorization and a dialog there is nothing to keep.
    fn forget_if_empty(&mut self, turn: &mut Turn<'_>) {
        if self.consent.is_none() && self.dialogs.is_empty() && self.saving == 0 {
            turn.actions.push(Action::Forget);
        }
    }

    fn dialog(&mut self, leg: Leg) -> Option<&mut Dialog> {
        self.dialogs.iter_mut().find(|dialog| dialog.leg == leg)
    }

    fn remove(&mut self, leg: Leg) -> Option<Dialog> {
        let at = self.dialogs.iter().position(|dialog| dialog.leg == leg)?;
        Some(self.dialogs.swap_remove(at))
    }
}
