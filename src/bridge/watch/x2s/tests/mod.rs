//! The watch of an XMPP user, told as inputs and what follows.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod active;
mod pending;
mod property;
mod rights;
mod walk;

use super::*;
use crate::ids::Owner;
use crate::sip::value::EndReason;

/// One machine in virtual time.
pub(super) struct World {
    pub machine: Machine,
    pub ids: Ids,
    pub millis: u64,
    pub settings: Settings,
    pub serial: u8,
}

pub(super) fn said(action: &Action) -> String {
    match action {
        Action::SendSubscribe { within: Within::New, expires, .. } => format!("SUBSCRIBE {expires}"),
        Action::SendSubscribe { within: Within::Dialog, expires, .. } => format!("re-SUBSCRIBE {expires}"),
        Action::Stanza(Stanza::Error(condition)) => format!("error {}", condition.name()),
        Action::Stanza(stanza) => format!("{stanza:?}").to_lowercase(),
        Action::Deliver => "deliver".into(),
        Action::Replay => "replay".into(),
        Action::Answer(status) => status.to_string(),
        Action::Persist(Save::Put(consent)) => format!("save {consent:?}").to_lowercase(),
        Action::Persist(save) => format!("save {save:?}").to_lowercase(),
        Action::Forget => "forget".into(),
    }
}

impl World {
    pub fn new() -> Self {
        let now = Now::at(1000);
        Self {
            machine: Machine::new(now),
            ids: Ids::new([5; 32], Owner::default()),
            millis: 1_000_000,
            settings: Settings { interval: 3600, ..Settings::default() },
            serial: 0,
        }
    }

    pub fn now(&self) -> Now {
        Now::at_millis(self.millis)
    }

    pub fn actions(&mut self, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        let now = self.now();
        let mut turn = Turn { now, settings: &self.settings, ids: &mut self.ids, actions: &mut actions };
        self.machine.handle(&mut turn, input);
        for action in &actions {
            if let Action::SendSubscribe { serial, .. } = action {
                self.serial = *serial;
            }
        }
        actions
    }

    /// What follows from `input`, as text.
    pub fn on(&mut self, input: Input) -> String {
        self.actions(input).iter().map(said).collect::<Vec<_>>().join(", ")
    }

    /// The response to the last SUBSCRIBE.
    pub fn answer(&mut self, status: u16) -> String {
        self.answer_with(Answer { status, ..Answer::default() })
    }

    pub fn answer_with(&mut self, answer: Answer) -> String {
        self.on(Input::Answered { serial: self.serial, answer })
    }

    pub fn unanswered(&mut self) -> String {
        self.on(Input::Unanswered { serial: self.serial })
    }

    /// A NOTIFY with this Subscription-State.
    pub fn notify(&mut self, state: &str, has_document: bool) -> String {
        let state = SubscriptionState::parse(state).unwrap();
        self.on(Input::Notify(Notified { state, has_document }))
    }

    /// Seconds until the next deadline.
    pub fn wait(&self) -> Option<u64> {
        self.machine.deadline().map(|at| at.since(self.now().mono).as_millis() as u64 / 1000)
    }

    /// Goes to the next deadline.
    pub fn timeout(&mut self) -> String {
        let at = self.machine.deadline().expect("a deadline");
        self.millis = self.millis.max(at.as_micros().div_ceil(1000));
        self.on(Input::Timeout)
    }

    pub fn sleep(&mut self, seconds: u64) {
        self.millis += seconds * 1000;
    }

    pub fn state(&self) -> State {
        self.machine.state()
    }

    /// J has asked, R has not decided.
    pub fn pending() -> Self {
        let mut world = Self::new();
        assert_eq!(world.on(Input::Subscribe), "save asked");
        assert_eq!(world.on(Input::Durable), "SUBSCRIBE 3600");
        assert_eq!(world.answer(200), "");
        assert_eq!(world.notify("pending;expires=3600", false), "200");
        assert_eq!(world.state(), State::Pending);
        world
    }

    /// R has said yes, and J sees R.
    pub fn active() -> Self {
        let mut world = Self::pending();
        assert_eq!(world.notify("active;expires=3600", true), "200, save granted");
        assert_eq!(world.on(Input::Durable), "subscribed, save announced, deliver");
        assert_eq!(world.state(), State::Active);
        world
    }

    /// The same, long ago, and J has gone since.
    pub fn dormant() -> Self {
        let mut world = Self::active();
        world.on(Input::Disinterest);
        assert_eq!(world.timeout(), "", "no refresh");
        assert_eq!(world.timeout(), "unavailable");
        assert_eq!(world.state(), State::Dormant);
        world.sleep(60);
        world
    }

    /// R has said yes, and the last dialog failed.
    pub fn retry() -> Self {
        let mut world = Self::active();
        world.sleep(60);
        assert_eq!(world.notify("terminated;reason=giveup", false), "200, unavailable");
        assert_eq!(world.state(), State::Retry);
        world
    }
}
