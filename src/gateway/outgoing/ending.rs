//! How a request that was on its way ends: delivered, or its sender hears that it was not, once.

use super::super::Gateway;
use super::super::meter::Fate;
use super::super::observe::Observation;
use super::super::trail::What;
use super::{Load, Outgoing, Undelivered};
use crate::body::charset::one_line;
use crate::crossing::{Direction, Kind};
use crate::now::Now;
use crate::xmpp::error::StanzaError;
use crate::xmpp::error::stanza::{Answered, write_error};
use std::collections::VecDeque;

impl Gateway {
    /// A message is answered: its sender hears of a failure, and the next one for its target starts.
    pub(in crate::gateway) fn finish(
        &mut self,
        now: Now,
        outgoing: Outgoing,
        outcome: Result<(), Undelivered>,
    ) {
        if let Some(next) = self.settle(now, outgoing, outcome) {
            self.start(now, next);
        }
    }

    /// The same, but for the start: the next one comes back.
    pub(super) fn settle(
        &mut self,
        now: Now,
        mut outgoing: Outgoing,
        outcome: Result<(), Undelivered>,
    ) -> Option<Outgoing> {
        let Some(target) = outgoing.target() else {
            if let (Load::Event(event), Err(failure)) = (&outgoing.load, &outcome) {
                self.on_event_failed(now, event.of, &outgoing, outgoing.failure.as_ref().unwrap_or(failure));
            }
            if let Err(failure) = &outcome {
                self.session_failed(now, &outgoing, outgoing.failure.as_ref().unwrap_or(failure));
            }
            return None;
        };
        self.held = self.held.saturating_sub(outgoing.octets());
        let Err(failure) = outcome else {
            self.delivered(now, &outgoing);
            return self.next_for(now, target);
        };
        let target = Box::<str>::from(target);
        let failure = outgoing.failure.take().unwrap_or(failure);
        if self.takes_another_way(&outgoing, &failure) {
            let queue = self.targets.remove(&target).unwrap_or_default();
            self.go_another_way(now, outgoing, queue);
            return None;
        }
        let queue = match failure.together {
            true => self.targets.get_mut(&target).map(std::mem::take).unwrap_or_default(),
            false => VecDeque::new(),
        };
        self.queued = self.queued.saturating_sub(queue.len());
        self.fail(now, outgoing, failure.clone());
        for waiting in queue {
            self.held = self.held.saturating_sub(waiting.octets());
            self.fail(now, waiting, failure.clone());
        }
        self.next_for(now, &target)
    }

    /// Nothing is under way to `target` any more: whose turn it is.
    fn next_for(&mut self, now: Now, target: &str) -> Option<Outgoing> {
        let (target, mut queue) = self.targets.remove_entry(target)?;
        let mut next = queue.pop_front()?;
        self.targets.insert(target, queue);
        self.queued = self.queued.saturating_sub(1);
        let timeout = self.settings.pairs.queue_timeout;
        next.until = (now.mono + timeout).min(next.start_by);
        Some(next)
    }

    fn delivered(&mut self, now: Now, outgoing: &Outgoing) {
        let Load::Message { origin: Some(origin), pager } = &outgoing.load else { return };
        if !pager.carries().is_text() {
            return;
        }
        self.on_trial_delivered(now, origin.id.as_deref());
        self.counts.delivered[1] += 1;
        self.count_message(Direction::XmppToSip, origin.from.domain(), Some(outgoing.peer), Fate::Delivered);
        self.meter.took(Direction::XmppToSip, outgoing.came, now.mono);
        if self.settings.deliveries {
            self.effects.observe(Observation::Delivered {
                trace: pager.trace().to_owned(),
                direction: Direction::XmppToSip,
                from: origin.from.clone(),
                to: origin.to.clone(),
            });
        }
    }

    /// Tells the sender of `outgoing` that it was not delivered: once, with the id of its stanza.
    pub(in crate::gateway) fn fail(&mut self, now: Now, outgoing: Outgoing, failure: Undelivered) {
        if let Load::Event(event) = &outgoing.load {
            return self.on_event_failed(now, event.of, &outgoing, &failure);
        }
        self.session_failed(now, &outgoing, &failure);
        let Load::Message { origin: Some(origin), pager } = outgoing.load else { return };
        if !pager.carries().is_text() {
            return;
        }
        self.counts.failed[1] += 1;
        self.count_message(Direction::XmppToSip, origin.from.domain(), Some(outgoing.peer), Fate::Failed);
        let is_trial = self.on_trial_failed(now, origin.id.as_deref(), &failure);
        let Undelivered { condition, status, why, .. } = failure;
        let mut error = StanzaError::from(condition);
        let text = one_line(&why, 200);
        error.text = (!text.is_empty()).then_some(text);
        error.address = outgoing.moved_to.as_deref().map(Into::into);
        let answered = Answered {
            element: "message",
            from: origin.from.as_str(),
            to: origin.to.as_str(),
            id: origin.id.as_deref(),
            type_: None,
        };
        let start = self.effects.mark();
        self.effects.trail.fail(now.mono, outgoing.track, &why, Some(What::ToldXmpp(condition)));
        if !is_trial && write_error(self.effects.buffer(), &answered, &error) {
            self.send_stanza(now, (origin.to.domain(), origin.from.domain()), start);
        }
        self.effects.observe(Observation::Failed {
            kind: Kind::Message,
            trace: pager.trace().to_owned(),
            direction: Direction::XmppToSip,
            from: origin.from,
            to: origin.to,
            condition,
            status,
            why,
        });
    }
}
