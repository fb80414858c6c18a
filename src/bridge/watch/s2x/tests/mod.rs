//! The watch of a SIP user, told as inputs and what follows.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod dialogs;
mod property;
mod rights;
mod walk;

use super::*;
use crate::bridge::watch::Settings;
use crate::ids::{Ids, Owner};

/// One machine in virtual time.
pub(super) struct World {
    pub machine: Machine,
    pub ids: Ids,
    pub millis: u64,
    pub settings: Settings,
}

fn said(action: &Action) -> String {
    match action {
        Action::Accept { leg, expires } => format!("{}:200 {expires}", leg.0),
        Action::Refuse { status, min_expires: Some(min) } => format!("{status} {min}"),
        Action::Refuse { status, min_expires: None } => status.to_string(),
        Action::Notify { leg, said, body } => {
            let said = match said {
                Said::Active { expires } => format!("active {expires}"),
                Said::Pending { expires } => format!("pending {expires}"),
                Said::Terminated { reason, retry_after: None } => reason.as_str().to_owned(),
                Said::Terminated { reason, retry_after: Some(after) } => {
                    format!("{} {after}", reason.as_str())
                }
            };
            let body = match body {
                Body::None => "",
                Body::Current => "+state",
                Body::Closed => "+closed",
            };
            format!("{}:NOTIFY {said}{body}", leg.0)
        }
        Action::Close(leg) => format!("{}:close", leg.0),
        Action::Stanza(stanza) => format!("{stanza:?}").to_lowercase(),
        Action::Persist(Save::Put(consent)) => format!("save {consent:?}").to_lowercase(),
        Action::Persist(save) => format!("save {save:?}").to_lowercase(),
        Action::AddContact => "contact".into(),
        Action::Forget => "forget".into(),
    }
}

impl World {
    pub fn new() -> Self {
        Self {
            machine: Machine::new(Now::at(1000)),
            ids: Ids::new([5; 32], Owner::default()),
            millis: 1_000_000,
            settings: Settings::default(),
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
        actions
    }

    /// What follows from `input`, as text.
    pub fn on(&mut self, input: Input) -> String {
        self.actions(input).iter().map(said).collect::<Vec<_>>().join(", ")
    }

    /// SUBSCRIBE for a new dialog.
    pub fn subscribe(&mut self, expires: impl Into<Option<u32>>) -> String {
        let leg = self.machine.vacant().expect("a leg");
        self.on(Input::Subscribe { leg, expires: expires.into() })
    }

    /// SUBSCRIBE in the dialog of leg `number`.
    pub fn refresh(&mut self, number: u8, expires: impl Into<Option<u32>>) -> String {
        self.on(Input::Refresh { leg: Leg(number), expires: expires.into() })
    }

    /// The 200 to a NOTIFY of leg `number`.
    pub fn ok(&mut self, number: u8) -> String {
        self.on(Input::NotifyAnswered { leg: Leg(number), status: 200 })
    }

    pub fn sleep_millis(&mut self, millis: u64) {
        self.millis += millis;
    }

    pub fn sleep(&mut self, seconds: u64) {
        self.millis += seconds * 1000;
    }

    /// Milliseconds until the next deadline.
    pub fn wait(&self) -> Option<u64> {
        self.machine.deadline().map(|at| at.since(self.now().mono).as_millis() as u64)
    }

    /// Goes to the next deadline.
    pub fn timeout(&mut self) -> String {
        let at = self.machine.deadline().expect("a deadline");
        self.millis = self.millis.max(at.as_micros().div_ceil(1000));
        self.on(Input::Timeout)
    }

    pub fn state(&self) -> State {
        self.machine.state()
    }

    /// R has asked, J has not decided.
    pub fn pending() -> Self {
        let mut world = Self::new();
        assert_eq!(world.subscribe(3600), "0:200 3600, contact, 0:NOTIFY pending 3600, save asked");
        assert_eq!(world.on(Input::Durable), "subscribe");
        assert_eq!(world.ok(0), "");
        assert_eq!(world.state(), State::Pending);
        world
    }

    /// J has said yes, and R sees J.
    pub fn active() -> Self {
        let mut world = Self::pending();
        assert_eq!(world.on(Input::Subscribed), "save granted");
        assert_eq!(world.on(Input::Durable), "0:NOTIFY active 3600");
        assert_eq!(world.ok(0), "");
        assert_eq!(world.on(Input::Presence), "0:NOTIFY active 3600+state");
        assert_eq!(world.ok(0), "");
        world.sleep(5);
        assert_eq!(world.state(), State::Active);
        world
    }

    /// The same, and R's dialog has ended.
    pub fn terminated() -> Self {
        let mut world = Self::active();
        assert_eq!(world.refresh(0, 0), "0:200 0, 0:NOTIFY timeout+closed, 0:close, unavailable");
        assert_eq!(world.state(), State::Terminated);
        world
    }
}
