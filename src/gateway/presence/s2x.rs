//! A SIP user watches an XMPP user: the machine's actions, performed.

use super::EventOf;
use super::watches::{Armed, Entry, WatchRef};
use super::wire::Wire;
use crate::addr::Jid;
use crate::bridge::presence::{PidfOptions, Resources};
use crate::bridge::watch::s2x::{Action, Body, Input, Leg, Machine, Stanza};
use crate::bridge::watch::{Save, SipWatch, Turn, record};
use crate::gateway::Gateway;
use crate::gateway::effect::{Due, PeerId, Timer};
use crate::gateway::observe::WatchChange;
use crate::gateway::outgoing::{EventLoad, Load, Outgoing};
use crate::gateway::trail::{Track, What};
use crate::now::Now;
use crate::sip::name::Name;
use crate::sip::subscription::Said;
use crate::sip::txn::ServerKey;
use crate::store::record::{Authorization, Consent, Watching};
use crate::xmpp::error::Condition;

/// A SIP user's watch of an XMPP user.
pub(super) struct Sip {
    pub(super) watch: SipWatch,
    /// What is known of the presentity.
    resources: Resources,
    number: u32,
    /// Whose servers NOTIFYs go to.
    pub(super) peer: PeerId,
    /// The crossing on record that asked for it last.
    pub(super) track: Track,
    /// When timers are due.
    pub(super) armed: Armed,
    /// SUBSCRIBEs that are not answered, each with its leg.
    asking: Vec<(Leg, ServerKey)>,
    /// A `probe` is on its way: the next presence counts, even if it says nothing new.
    is_probed: bool,
    /// What went wrong last.
    pub(super) last: Option<Condition>,
}

impl Entry for Sip {
    const SIDE: Watching = Watching::SipWatchesXmpp;

    fn number(&self) -> u32 {
        self.number
    }

    fn authorization(&self) -> &Authorization {
        &self.watch.authorization
    }

    fn state(&self) -> &'static str {
        super::list::sip_state(self.watch.machine.state())
    }
}

impl Sip {
    pub(super) fn new(number: u32, peer: PeerId, authorization: Authorization, machine: Machine) -> Self {
        Self {
            watch: SipWatch { authorization, machine, notifiers: Vec::new() },
            resources: Resources::default(),
            number,
            peer,
            track: Track::default(),
            armed: Armed::default(),
            asking: Vec::new(),
            is_probed: false,
            last: None,
        }
    }

    /// A SUBSCRIBE of `leg` waits for its answer.
    pub(super) fn asks(&mut self, leg: Leg, key: ServerKey) {
        self.asking.push((leg, key));
    }

    fn asking(&mut self, leg: Leg) -> Option<ServerKey> {
        let at = self.asking.iter().position(|(asking, _)| *asking == leg)?;
        let key = self.asking.swap_remove(at).1;
        // Hardly ever is there a next one soon.
        self.asking.shrink_to_fit();
        Some(key)
    }

    pub(super) fn resources(&mut self) -> &mut Resources {
        &mut self.resources
    }

    /// Does somebody wait for the answer to a `probe`?
    pub(super) fn take_probed(&mut self) -> bool {
        std::mem::take(&mut self.is_probed)
    }
}

impl Gateway {
    /// A new watch, without an authorization yet.
    ///
    /// # Errors
    /// The condition for the watcher.
    pub(super) fn new_sip_watch(
        &mut self,
        now: Now,
        watcher: &Jid,
        presentity: &Jid,
    ) -> Result<WatchRef, Condition> {
        let peer = self.settings.peer_of(watcher.domain()).ok_or(Condition::ItemNotFound)?;
        let settings = &self.settings.presence;
        let presence = &mut self.presence;
        if !presence.bounds.has_room(watcher, presentity.domain(), settings) || !presence.keeper.has_room() {
            return Err(Condition::ResourceConstraint);
        }
        let record = record::asked(Watching::SipWatchesXmpp, watcher, presentity, now.wall);
        let number = presence.number();
        presence.bounds.add(&record);
        let entry = Sip::new(number, peer, record, Machine::new(now));
        presence.sip.insert(entry).ok_or(Condition::ResourceConstraint)
    }

    /// Gives an input to the machine of `watch`, and does what follows.
    pub(super) fn drive_sip(&mut self, now: Now, watch: WatchRef, input: Input) {
        self.drive_sip_with(now, watch, input, None);
    }

    /// The same for the SUBSCRIBE at hand: the leg that it is of, if it made one.
    pub(super) fn drive_sip_with(&mut self, now: Now, watch: WatchRef, input: Input, at_hand: Option<Leg>) {
        let Some(entry) = self.presence.sip.get_mut(watch) else { return };
        match input {
            Input::Error(condition) => entry.last = Some(condition),
            Input::Subscribed | Input::Presence => entry.last = None,
            _ => {}
        }
        let mut actions = std::mem::take(&mut self.presence.sip_actions);
        let settings = &self.settings.presence.watch;
        let mut turn = Turn { now, settings, ids: &mut self.ids, actions: &mut actions };
        let before = entry.state();
        entry.watch.machine.handle(&mut turn, input);
        if !entry.watch.machine.is_known() {
            entry.resources.clear();
        }
        let after = entry.state();
        self.presence.sip.moved(before, after);
        for action in actions.drain(..) {
            match action {
                Action::Accept { leg, expires } => self.accept_subscribe(now, watch, leg, expires),
                Action::Refuse { status, min_expires } => {
                    self.refuse_subscribe(now, watch, at_hand, status, min_expires);
                }
                Action::Notify { leg, said, body } => self.notify(now, watch, leg, said, body),
                Action::Close(leg) => {
                    if let Some(entry) = self.presence.sip.get_mut(watch) {
                        entry.watch.close(leg);
                    }
                }
                Action::Stanza(stanza) => self.tell_presentity(now, watch, stanza),
                Action::Persist(save) => self.save_sip(now, watch, save),
                Action::AddContact => self.add_contact_of(now, watch),
                Action::Forget => {
                    if let Some(gone) = self.presence.sip.remove(watch) {
                        self.presence.bounds.remove(gone.authorization());
                    }
                }
            }
        }
        self.presence.sip_actions = actions;
        let Some(entry) = self.presence.sip.get_mut(watch) else { return };
        let Some(at) = entry.watch.machine.deadline() else { return };
        if entry.armed.wants(at) {
            self.due.push(Due { at, what: Timer::Watch(watch) });
        }
    }

    fn accept_subscribe(&mut self, now: Now, watch: WatchRef, leg: Leg, expires: u32) {
        let Some(key) = self.presence.sip.get_mut(watch).and_then(|entry| entry.asking(leg)) else { return };
        let contact = format!("<{}>", self.contact_of(key));
        let expires = expires.to_string();
        self.note_watch(now, watch, What::ToldSip(200));
        self.respond(now, key, 200, &[(Name::Expires, expires.as_str()), (Name::Contact, contact.as_str())]);
    }

    fn refuse_subscribe(
        &mut self,
        now: Now,
        watch: WatchRef,
        leg: Option<Leg>,
        status: u16,
        min_expires: Option<u32>,
    ) {
        let Some(entry) = self.presence.sip.get_mut(watch) else { return };
        let Some(leg) = leg else { return };
        let key = entry.asking(leg);
        // A leg that the machine does not have was new.
        if !entry.watch.machine.legs().any(|known| known == leg) {
            entry.watch.close(leg);
        }
        let Some(key) = key else { return };
        let seconds = min_expires.map(|seconds| seconds.to_string());
        let header = seconds.as_deref().map(|seconds| (Name::MinExpires, seconds));
        self.note_watch(now, watch, What::ToldSip(status));
        self.turn_down(now, key, status, header.as_slice());
    }

    fn notify(&mut self, now: Now, watch: WatchRef, leg: Leg, said: Said, body: Body) {
        let Some(entry) = self.presence.sip.get_mut(watch) else { return };
        let peer = entry.peer;
        let presentity = &entry.watch.authorization.presentity;
        let mut document = Vec::new();
        match body {
            Body::None => {}
            Body::Current => {
                entry.resources.write_pidf(presentity, &PidfOptions::default(), now.wall, &mut document);
            }
            Body::Closed => entry.resources.write_closed(presentity, now.wall, &mut document),
        }
        let request = entry.watch.notifier(leg).and_then(|notifier| notifier.notify(said, &document));
        let Some(request) = request else {
            self.presence.outcomes.push_back(super::Outcome::NotifyUnanswered { watch, leg });
            return;
        };
        let load = Load::Event(Box::new(EventLoad { request, of: EventOf::Notify { watch, leg } }));
        let timeout = self.settings.pairs.queue_timeout;
        self.send_message(now, Outgoing::new(now.mono, peer, load, timeout));
    }

    fn tell_presentity(&mut self, now: Now, watch: WatchRef, stanza: Stanza) {
        let Some(entry) = self.presence.sip.get_mut(watch) else { return };
        let (type_, id) = match stanza {
            Stanza::Subscribe => ("subscribe", Some(self.ids.mint())),
            Stanza::Probe => {
                entry.is_probed = true;
                ("probe", Some(self.ids.mint()))
            }
            Stanza::Unavailable => ("unavailable", None),
            Stanza::Unsubscribe => ("unsubscribe", None),
        };
        let track = self.effects.trail.if_fresh(now, entry.track);
        let Authorization { watcher, presentity, .. } = entry.watch.authorization.clone();
        if stanza == Stanza::Unavailable {
            // It would be untrue while the presentity's own watch shows the watcher online.
            let other = self.presence.xmpp.find(&presentity, &watcher);
            let shows = other.and_then(|other| self.presence.xmpp.get(other));
            if shows.is_some_and(super::x2s::Xmpp::shows_available) {
                return;
            }
        }
        let Self { presence, pairs, effects, due, table, .. } = self;
        let mut wire = Wire { now, pairs, effects, due, table, watch };
        let id = id.as_ref().map(|id| id.as_str());
        match wire.plain(&watcher, &presentity, type_, id) {
            Err(condition) => presence.on_bounce(watch, condition),
            Ok(()) if stanza == Stanza::Subscribe => effects.sent_stanza(now, track),
            Ok(()) => {}
        }
    }

    fn save_sip(&mut self, now: Now, watch: WatchRef, save: Save) {
        let Some(entry) = self.presence.sip.get_mut(watch) else { return };
        let change = save.apply(&mut entry.watch.authorization, now.wall);
        let what = match save {
            Save::Put(Consent::Asked) => Some(WatchChange::Asked),
            Save::Put(Consent::Granted) => Some(WatchChange::Granted),
            Save::Gone => Some(WatchChange::Ended),
            Save::Put(Consent::Announced) | Save::Used => None,
        };
        if let Some(what) = what {
            let why = entry.last.map(|condition| condition.name().to_owned()).unwrap_or_default();
            self.observe_watch(now, watch, what, why);
        }
        self.keep(change, save.is_awaited().then_some(watch));
    }
}
