//! MSRP as the gateway has it: the switch, whose session is whose, and who waits for the stanzas of texts.
//!
//! What the switch wants done becomes effects, what it hears goes to the sessions (`sessions::msrp`). A text
//! that came in is answered when its stanza is written, or bounces (law 3).

use super::Gateway;
use super::effect::{Due, Effect, Timer};
use super::meter::Fate;
use super::observe::Observation;
use super::sessions::SessionRef;
use super::trail::{Track, What};
use crate::addr::Jid;
use crate::bridge::errors::{msrp_status_of, status_of};
use crate::crossing::{Crossing, Direction, Kind};
use crate::ids::Id;
use crate::msrp::frame::Frame;
use crate::msrp::{Action, ConnId, Receipt, SessionId, Settings, Switch};
use crate::now::{Mono, Now};
use crate::xmpp::error::Condition;
use std::collections::BTreeMap;

/// The switch, and what belongs to it.
pub(super) struct Msrp {
    pub(super) switch: Switch,
    /// Whose session is whose.
    pub(super) of: BTreeMap<SessionId, SessionRef>,
    /// Texts whose stanzas are not written.
    waiting: BTreeMap<u64, Waiting>,
    next: u64,
    armed: Option<Mono>,
}

/// A text that waits for its stanza to be written.
pub(super) struct Waiting {
    pub(super) receipt: Receipt,
    pub(super) session: SessionRef,
    pub(super) trace: Id,
    /// When the text came in.
    pub(super) came: Mono,
    pub(super) track: Track,
    pub(super) from: Jid,
    pub(super) to: Jid,
}

impl Msrp {
    pub(super) fn new(settings: Settings, shard: u8) -> Self {
        Self {
            switch: Switch::new(settings, shard),
            of: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next: 0,
            armed: None,
        }
    }

    /// Somebody waits: the ticket of the stanza.
    pub(super) fn wait(&mut self, waiting: Waiting) -> u64 {
        self.next += 1;
        self.waiting.insert(self.next, waiting);
        self.next
    }

    /// What crosses with a ticket.
    pub(super) fn carried(&self, ticket: u64) -> Option<Crossing<'_>> {
        let Waiting { from, to, .. } = self.waiting.get(&ticket)?;
        let (direction, kind) = (Direction::SipToXmpp, Kind::Message);
        Some(Crossing { sender: from, target: to, direction, kind })
    }

    /// Are there none that wait?
    pub(super) fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
    }
}

impl Gateway {
    /// An MSRP connection has come in, with the certificate that it showed; `None` if there are too many.
    pub fn msrp_accepted(&mut self, now: Now, tls: bool, certificate: Option<Vec<u8>>) -> Option<ConnId> {
        let conn = self.msrp.switch.accepted(now, tls, certificate);
        self.settle_sessions(now);
        self.collect_deadlines();
        conn
    }

    /// A connection of another shard carries a session of ours; false if there are too many.
    pub fn msrp_visited(&mut self, now: Now, conn: ConnId, tls: bool, certificate: Option<Vec<u8>>) -> bool {
        let has_room = self.msrp.switch.visited(now, conn, tls, certificate);
        self.settle_sessions(now);
        self.collect_deadlines();
        has_room
    }

    pub(super) fn on_msrp_frame(&mut self, now: Now, conn: ConnId, frame: &Frame<'_>) {
        self.msrp.switch.take(now, &mut self.ids, conn, frame);
    }

    pub(super) fn on_msrp_up(&mut self, now: Now, conn: ConnId, certificate: Option<&[u8]>) {
        self.msrp.switch.connected(now, &mut self.ids, conn, certificate.map(<[u8]>::to_vec));
    }

    pub(super) fn on_msrp(&mut self, now: Now, conn: ConnId, octets: &[u8]) {
        self.msrp.switch.received(now, &mut self.ids, conn, octets);
    }

    pub(super) fn on_msrp_drained(&mut self, now: Now, conn: ConnId) {
        self.msrp.switch.drained(now, &mut self.ids, conn);
    }

    pub(super) fn on_msrp_down(&mut self, now: Now, conn: ConnId) {
        self.msrp.switch.lost(now, &mut self.ids, conn);
    }

    pub(super) fn on_msrp_timer(&mut self, now: Now) {
        self.msrp.armed = None;
        self.msrp.switch.on_timer(now, &mut self.ids);
    }

    /// The stanza of a text is written: its sender hears 200.
    pub(super) fn on_msrp_delivered(&mut self, now: Now, ticket: u64) {
        let Some(waiting) = self.msrp.waiting.remove(&ticket) else { return };
        self.counts.delivered[0] += 1;
        let Waiting { receipt, session, trace, track, .. } = &waiting;
        let (receipt, session, id, track) = (receipt.clone(), *session, *trace, *track);
        self.msrp.switch.answer(now, &mut self.ids, &receipt, 200);
        self.effects.trail.step(now.mono, track, What::ToldSip(200));
        self.count_msrp(&waiting, Fate::Delivered);
        self.meter.took(Direction::SipToXmpp, waiting.came, now.mono);
        if self.settings.deliveries {
            self.effects.observe(Observation::Delivered {
                trace: waiting.trace.to_string(),
                direction: Direction::SipToXmpp,
                from: waiting.from,
                to: waiting.to,
            });
        }
        self.msrp_text_arrived(now, session, id, receipt);
    }

    /// The stanza of a text will not be delivered: its sender hears so, once.
    pub(super) fn on_msrp_bounced(&mut self, now: Now, ticket: u64, condition: Condition, why: &str) {
        let Some(waiting) = self.msrp.waiting.remove(&ticket) else { return };
        self.counts.failed[0] += 1;
        self.forget_question(waiting.trace.as_str());
        self.count_msrp(&waiting, Fate::Failed);
        let status = msrp_status_of(condition);
        self.msrp.switch.answer(now, &mut self.ids, &waiting.receipt, status);
        self.effects.trail.fail(now.mono, waiting.track, why, Some(What::ToldSip(status)));
        self.effects.observe(Observation::Failed {
            kind: Kind::Message,
            trace: waiting.trace.to_string(),
            direction: Direction::SipToXmpp,
            from: waiting.from,
            to: waiting.to,
            condition,
            status: status_of(condition, &Default::default()).status,
            why: why.to_owned(),
        });
    }

    fn count_msrp(&mut self, waiting: &Waiting, fate: Fate) {
        let peer = self.settings.peer_of(waiting.from.domain());
        self.count_message(Direction::SipToXmpp, waiting.to.domain(), peer, fate);
    }

    /// What the switch heard goes to its sessions, and what it wants done becomes effects.
    pub(super) fn settle_msrp(&mut self, now: Now) {
        while let Some(event) = self.msrp.switch.next_event() {
            self.on_msrp_event(now, event);
        }
        while let Some(action) = self.msrp.switch.next_action() {
            let effect = match action {
                Action::Dial(dial) => Effect::MsrpDial(dial),
                Action::Send { conn, octets } => {
                    let start = self.effects.mark();
                    self.effects.buffer().extend_from_slice(&octets);
                    Effect::MsrpSend { conn, octets: self.effects.since(start) }
                }
                Action::Close { conn } => Effect::MsrpClose { conn },
            };
            self.effects.push(effect);
        }
        let deadline = self.msrp.switch.deadline();
        if let Some(at) = deadline.filter(|at| self.msrp.armed.is_none_or(|armed| *at < armed)) {
            self.msrp.armed = Some(at);
            self.due.push(Due { at, what: Timer::Msrp });
        }
    }
}
