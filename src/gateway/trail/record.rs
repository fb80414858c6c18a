//! Recording: what the rooms of the gateway say of a crossing, in one call each.
//!
//! A refusal goes on record and into the journal by the same name, so both are made here.

use super::super::Gateway;
use super::super::effect::{Effect, Effects};
use super::super::meter::Fate;
use super::super::observe::{Observation, WatchChange};
use super::super::presence::WatchRef;
use super::{Carrier, Track, Trail, What};
use crate::addr::Jid;
use crate::bridge::errors::condition_of;
use crate::crossing::{Crosses, Crossing, Direction, Kind};
use crate::now::Now;
use crate::policy::{Denial, Policy, Refusal};
use crate::sip::name::Name;
use crate::sip::txn::ServerKey;
use crate::sip::uas::{Reject, Request};
use crate::store::record::Watching;
use crate::xmpp::StreamId;
use crate::xmpp::error::Condition;

/// How long what becomes of a watch belongs to the crossing that asked for it, in microseconds. What
/// becomes of it later is on record by a name of its own.
const SOON: u64 = 600 * 1_000_000;

impl Trail {
    /// A crossing came by `via`, and policy said yes if it gave a `policy`.
    pub(in crate::gateway) fn admitted(
        &mut self,
        now: Now,
        via: Option<Carrier>,
        name: &str,
        crossing: &Crossing<'_>,
        policy: Option<&Policy>,
    ) -> Track {
        let track = self.open(now, name, crossing, policy);
        if let Some(via) = via {
            self.step(now.mono, track, What::Came(via));
        }
        if policy.is_some() {
            self.step(now.mono, track, What::Admitted);
        }
        track
    }

    /// The stanza of `track` is with the kernel, on `stream`, and its sender was told so.
    pub(in crate::gateway) fn delivered(&mut self, now: Now, track: Track, stream: Option<StreamId>) {
        if let Some(stream) = stream {
            self.step(now.mono, track, What::Sent(Carrier::Stream(stream)));
        }
        self.step(now.mono, track, What::ToldSip(202));
    }

    /// An error came back for the stanza `name` after its sender was told that it is delivered.
    pub(in crate::gateway) fn returned(&mut self, now: Now, name: &str, condition: Condition, why: &str) {
        let Some(track) = self.find(name) else { return };
        self.reason(track, if why.is_empty() { condition.name() } else { why });
        self.step(now.mono, track, What::Returned(condition));
    }

    /// `track`, if what happens now still belongs to it.
    pub(in crate::gateway) fn if_fresh(&self, now: Now, track: Track) -> Track {
        if self.is_fresh(now.mono, track, SOON) { track } else { Track::default() }
    }
}

impl Effects {
    /// The stanza of `track` was just given to the routes. One that waits for its stream says so.
    pub(in crate::gateway) fn queued_stanza(&mut self, now: Now, track: Track) {
        if !matches!(self.list().last(), Some(Effect::XmppSend { .. })) {
            self.trail.step(now.mono, track, What::WaitsForStream);
        }
    }

    /// The same for a stanza of a watch, of which nobody hears when it is written.
    pub(in crate::gateway) fn sent_stanza(&mut self, now: Now, track: Track) {
        let what = match self.list().last() {
            Some(Effect::XmppSend { stream, .. }) => What::Sent(Carrier::Stream(*stream)),
            Some(_) | None => What::WaitsForStream,
        };
        self.trail.step(now.mono, track, what);
    }
}

impl Gateway {
    /// By what the request of `key` came.
    pub(in crate::gateway) fn via_of(&mut self, key: ServerKey) -> Option<Carrier> {
        self.servers.value(key).map(|answerable| answerable.via())
    }

    /// Policy said no.
    pub(in crate::gateway) fn observe_denied(
        &mut self,
        now: Now,
        via: Option<Carrier>,
        crossing: &Crossing<'_>,
        denial: Denial,
    ) -> Track {
        let (trace, Denial { reason, policy }) = (self.ids.mint(), denial);
        let Crossing { sender: from, target: to, direction, .. } = *crossing;
        self.trials.on_denied(from, to, reason, policy.as_ref().map(|policy| policy.to_string()));
        let trail = &mut self.effects.trail;
        let track = trail.open(now, trace.as_str(), crossing, policy.as_deref());
        if let Some(via) = via {
            trail.step(now.mono, track, What::Came(via));
        }
        trail.step(now.mono, track, What::Denied(reason));
        let (trace, from, to) = (trace.to_string(), from.clone(), to.clone());
        self.effects.observe(Observation::Denied { trace, direction, from, to, reason, policy });
        track
    }

    /// Policy said no to a request: 403.
    pub(in crate::gateway) fn deny_request(
        &mut self,
        now: Now,
        key: ServerKey,
        refusal: Refusal<Request<'_>>,
    ) {
        let Refusal { item, reason, policy } = refusal;
        self.meter.denied(reason);
        self.count_rejected(key, &item.crossing(), Fate::Denied);
        let (via, diagnostics) = (self.via_of(key), self.diagnostics_of(reason));
        let track = self.observe_denied(now, via, &item.crossing(), Denial { reason, policy });
        self.effects.trail.step(now.mono, track, What::ToldSip(403));
        self.turn_down(now, key, 403, &[(Name::MsDiagnostics, &diagnostics)]);
    }

    /// Counts a message that is not delivered.
    fn count_rejected(&mut self, key: ServerKey, crossing: &Crossing<'_>, fate: Fate) {
        if crossing.kind == Kind::Message {
            let peer = self.servers.value(key).and_then(|answerable| answerable.peer());
            self.count_message(crossing.direction, crossing.target.domain(), peer, fate);
        }
    }

    /// A request whose sender is proven is refused, and not by policy.
    pub(in crate::gateway) fn reject_request(
        &mut self,
        now: Now,
        key: ServerKey,
        crossing: &Crossing<'_>,
        policy: Option<&Policy>,
        reject: &Reject,
        fate: Fate,
    ) {
        self.count_rejected(key, crossing, fate);
        let Crossing { sender: from, target: to, direction, kind } = *crossing;
        let (trace, via, status) = (self.ids.mint(), self.via_of(key), reject.status);
        let track = self.effects.trail.admitted(now, via, trace.as_str(), crossing, policy);
        self.effects.trail.fail(now.mono, track, reject.why, Some(What::ToldSip(status)));
        self.effects.observe(Observation::Failed {
            kind,
            trace: trace.to_string(),
            direction,
            from: from.clone(),
            to: to.clone(),
            condition: condition_of(status),
            status,
            why: reject.why.to_owned(),
        });
        let headers: Vec<(Name, &str)> =
            reject.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.turn_down(now, key, status, &headers);
    }

    /// Something happened on behalf of `watch` just after it was asked for.
    pub(in crate::gateway) fn note_watch(&mut self, now: Now, watch: WatchRef, what: What) {
        let track = self.effects.trail.if_fresh(now, self.presence.track_of(watch));
        self.effects.trail.step(now.mono, track, what);
    }

    /// Something became of the authorization of `watch`.
    pub(in crate::gateway) fn observe_watch(
        &mut self,
        now: Now,
        watch: WatchRef,
        change: WatchChange,
        why: String,
    ) {
        let Some((direction, watcher, presentity)) = self.presence.people_of(watch) else { return };
        let track = self.effects.trail.if_fresh(now, self.presence.track_of(watch));
        let track = self.observe_change(now, track, (direction, &watcher, &presentity), change, why);
        self.presence.set_track(watch, track);
    }

    /// Something became of an authorization, or of the wish for one, that is on record as `track`.
    pub(in crate::gateway) fn observe_change(
        &mut self,
        now: Now,
        track: Track,
        (watching, watcher, presentity): (Watching, &Jid, &Jid),
        change: WatchChange,
        why: String,
    ) -> Track {
        let trail = &mut self.effects.trail;
        let track = match trail.begun(track) {
            Some(_) => track,
            None => {
                let direction = match watching {
                    Watching::XmppWatchesSip => Direction::XmppToSip,
                    Watching::SipWatchesXmpp => Direction::SipToXmpp,
                };
                let (name, kind) = (self.ids.mint(), Kind::Presence);
                let item = Crossing { sender: watcher, target: presentity, direction, kind };
                trail.open(now, name.as_str(), &item, None)
            }
        };
        trail.reason(track, &why);
        trail.step(now.mono, track, What::Watch(change));
        let trace = trail.name(track).unwrap_or_default().to_owned();
        self.effects.observe(Observation::Watch {
            trace,
            direction: watching,
            watcher: watcher.clone(),
            presentity: presentity.clone(),
            change,
            why,
        });
        track
    }
}
