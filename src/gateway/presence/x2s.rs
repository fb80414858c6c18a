//! An XMPP user watches a SIP user: the machine's actions, performed.

use super::watches::{Armed, Entry, WatchRef};
use super::wire::Wire;
use super::{EventOf, Outcome};
use crate::addr::Jid;
use crate::body::pidf::Document;
use crate::bridge::presence::{Caps, Envelope, Resource, Shown, State};
use crate::bridge::watch::timing::jitter;
use crate::bridge::watch::x2s::{Action, Input, Machine, Stanza, Within};
use crate::bridge::watch::{Save, Settings, Turn, XmppWatch, record};
use crate::gateway::Gateway;
use crate::gateway::effect::{Due, PeerId, Timer};
use crate::gateway::observe::WatchChange;
use crate::gateway::outgoing::{EventLoad, Load, Outgoing};
use crate::gateway::trail::Track;
use crate::now::Now;
use crate::policy::PartnerKind;
use crate::sip::status;
use crate::sip::subscription::Subscriber;
use crate::sip::txn::ServerKey;
use crate::sip::uas::Reject;
use crate::sip::value::{EndReason, Substate};
use crate::store::record::{Authorization, Consent, Watching};
use crate::xmpp::error::stanza::{Answered, write_error};
use crate::xmpp::error::{Condition, StanzaError};
use std::fmt;
use std::time::Duration;

/// An XMPP user's watch of a SIP user.
pub(super) struct Xmpp {
    pub(super) watch: XmppWatch,
    /// What the newest document says.
    shown: Shown,
    /// The watcher has not been told what `shown` holds, or was told otherwise since.
    is_hidden: bool,
    /// A resource left `shown`. Where `is_hidden` too, the watcher may still believe in it.
    is_unsure: bool,
    number: u32,
    /// Whose servers SUBSCRIBEs go to.
    pub(super) peer: PeerId,
    /// The crossing on record that asked for it last.
    pub(super) track: Track,
    /// The number of the newest SUBSCRIBE.
    pub(super) serial: u8,
    /// Something that was told did not arrive; it is told again when the timer for that is due.
    is_lost: bool,
    /// The next timeout has had its place in the row.
    pub(super) paced: bool,
    /// When timers are due.
    pub(super) armed: Armed,
    /// The id of the `subscribe` that is not decided.
    asked_by: Option<Box<str>>,
    /// Why it stands as it does.
    pub(super) last: Last,
}

/// How long after a stanza did not arrive it is told again, at least; at most twice as long.
const AGAIN: Duration = Duration::from_secs(60);

/// Two addresses of so many octets together surely fit into a dialog.
const LONG: usize = 256;

/// The newest thing that went wrong, or right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Nothing,
    Status(u16),
    Ended(EndReason),
    NoAnswer,
    LinkLost,
    NoRight,
}

impl fmt::Display for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Status(status) => write!(f, "answered {status} {}", status::reason(*status)),
            Self::Ended(EndReason::Other) => f.write_str("terminated"),
            Self::Ended(reason) => write!(f, "terminated: {}", reason.as_str()),
            Self::NoAnswer => f.write_str("no answer"),
            Self::LinkLost => f.write_str("the link was lost"),
            Self::NoRight => f.write_str("the policy does not allow it"),
        }
    }
}

impl Entry for Xmpp {
    const SIDE: Watching = Watching::XmppWatchesSip;

    fn number(&self) -> u32 {
        self.number
    }

    fn authorization(&self) -> &Authorization {
        &self.watch.authorization
    }

    fn state(&self) -> &'static str {
        super::list::xmpp_state(self.watch.machine.state())
    }
}

impl Xmpp {
    pub(super) fn new(number: u32, peer: PeerId, authorization: Authorization, machine: Machine) -> Self {
        Self {
            watch: XmppWatch { authorization, machine, subscriber: None },
            shown: Shown::default(),
            is_hidden: false,
            is_unsure: false,
            number,
            peer,
            track: Track::default(),
            serial: 0,
            is_lost: false,
            paced: false,
            armed: Armed::default(),
            asked_by: None,
            last: Last::Nothing,
        }
    }

    /// One of a record. Nobody knows any more what its watcher was told.
    pub(super) fn restored(
        number: u32,
        peer: PeerId,
        authorization: Authorization,
        machine: Machine,
    ) -> Self {
        let was_told = authorization.state == Consent::Announced && machine.is_shown();
        let entry = Self::new(number, peer, authorization, machine);
        Self { is_hidden: was_told, is_unsure: was_told, ..entry }
    }

    /// What an input says of how things stand.
    fn note(&mut self, input: &Input) {
        self.last = match input {
            Input::Answered { answer, .. } if answer.status >= 300 => Last::Status(answer.status),
            Input::Answered { .. } | Input::RightBack => Last::Nothing,
            Input::Unanswered { .. } => Last::NoAnswer,
            Input::Notify(notified) => match (notified.state.state, notified.state.reason) {
                (Substate::Terminated, reason) => Last::Ended(reason.unwrap_or(EndReason::Other)),
                (Substate::Active | Substate::Pending | Substate::Other, _) => Last::Nothing,
            },
            Input::LinkLost => Last::LinkLost,
            Input::RightLost => Last::NoRight,
            Input::Subscribe
            | Input::Probe
            | Input::Interest
            | Input::Disinterest
            | Input::Unsubscribe
            | Input::LinkBack
            | Input::Durable
            | Input::Timeout => return,
        };
    }

    /// Does the watcher see a resource of the presentity available?
    pub(super) fn shows_available(&self) -> bool {
        !self.is_hidden && self.shown.is_available()
    }

    /// The watcher asked, with a stanza of this id.
    pub(super) fn asked_by(&mut self, id: Option<&str>) {
        self.asked_by = id.filter(|id| id.len() <= 256).map(Into::into);
    }
}

/// The NOTIFY that an input is about.
pub(super) struct AtHand<'m> {
    /// To be answered.
    pub(super) key: ServerKey,
    pub(super) document: Option<Document<'m>>,
    /// Of its document.
    pub(super) language: Option<&'m str>,
    /// Its body can't be read: this is answered instead of a 200.
    pub(super) refusal: Option<Reject>,
    /// It belongs to the dialog.
    pub(super) is_taken: bool,
}

impl Gateway {
    /// A new watch, without an authorization yet.
    ///
    /// # Errors
    /// The condition for the watcher.
    pub(super) fn new_xmpp_watch(
        &mut self,
        now: Now,
        watcher: &Jid,
        presentity: &Jid,
    ) -> Result<WatchRef, Condition> {
        let peer = self.settings.peer_of(presentity.domain()).ok_or(Condition::ItemNotFound)?;
        let long = watcher.bare_str().len() + presentity.bare_str().len() > LONG;
        if long && Subscriber::new(watcher, presentity, 0, &self.guard, &mut self.ids).is_err() {
            // No SUBSCRIBE could ever be sent.
            return Err(Condition::JidMalformed);
        }
        let settings = &self.settings.presence;
        let presence = &mut self.presence;
        if !presence.bounds.has_room(&presentity.to_bare(), watcher.domain(), settings)
            || !presence.keeper.has_room()
        {
            return Err(Condition::ResourceConstraint);
        }
        let record = record::asked(Watching::XmppWatchesSip, watcher, presentity, now.wall);
        let number = presence.number();
        presence.bounds.add(&record);
        let entry = Xmpp::new(number, peer, record, Machine::new(now));
        presence.xmpp.insert(entry).ok_or(Condition::ResourceConstraint)
    }

    /// Gives an input to the machine of `watch`, and does what follows.
    pub(super) fn drive_xmpp(&mut self, now: Now, watch: WatchRef, input: Input) {
        self.drive_xmpp_with(now, watch, input, None);
    }

    /// The same for the NOTIFY `at_hand`.
    pub(super) fn drive_xmpp_with(
        &mut self,
        now: Now,
        watch: WatchRef,
        input: Input,
        mut at_hand: Option<AtHand<'_>>,
    ) {
        let most = self.settings.presence.watch.spread;
        let spread = self.settings.presence.spread(self.presence.xmpp.len()).min(most);
        let Some(entry) = self.presence.xmpp.get_mut(watch) else { return };
        entry.note(&input);
        let mut actions = std::mem::take(&mut self.presence.xmpp_actions);
        let settings = Settings { spread, ..self.settings.presence.watch.clone() };
        let mut turn = Turn { now, settings: &settings, ids: &mut self.ids, actions: &mut actions };
        let before = entry.state();
        entry.watch.machine.handle(&mut turn, input);
        let after = entry.state();
        self.presence.xmpp.moved(before, after);
        for action in actions.drain(..) {
            match action {
                Action::SendSubscribe { within, expires, serial } => {
                    self.send_subscribe(now, watch, within, expires, serial);
                }
                Action::Stanza(stanza) => self.tell_xmpp(now, watch, stanza),
                Action::Deliver => self.deliver(now, watch, at_hand.as_mut()),
                Action::Replay => self.deliver(now, watch, None),
                Action::Answer(status) => self.answer_notify(now, status, at_hand.as_mut()),
                Action::Persist(save) => self.save_xmpp(now, watch, save),
                Action::Forget => {
                    if let Some(gone) = self.presence.xmpp.remove(watch) {
                        self.presence.bounds.remove(gone.authorization());
                    }
                }
            }
        }
        self.presence.xmpp_actions = actions;
        if let Some(AtHand { document: Some(document), language, is_taken: true, .. }) = at_hand {
            self.keep_document(now, watch, &document, language);
        }
        self.arm_xmpp(watch);
    }

    fn arm_xmpp(&mut self, watch: WatchRef) {
        let Some(entry) = self.presence.xmpp.get_mut(watch) else { return };
        let Some(at) = entry.watch.machine.deadline() else { return };
        if !entry.paced && entry.armed.wants(at) {
            self.due.push(Due { at, what: Timer::Watch(watch) });
        }
    }

    fn send_subscribe(&mut self, now: Now, watch: WatchRef, within: Within, expires: u32, serial: u8) {
        let Some(entry) = self.presence.xmpp.get_mut(watch) else { return };
        let Authorization { watcher, presentity, .. } = &entry.watch.authorization;
        if within == Within::New {
            let slot = watch.slot;
            entry.watch.subscriber =
                Subscriber::new(watcher, presentity, slot, &self.guard, &mut self.ids).ok();
        }
        entry.serial = serial;
        let (peer, track) = (entry.peer, entry.track);
        let request = entry.watch.subscriber.as_mut().and_then(|one| one.subscribe(expires));
        let Some(request) = request else {
            self.presence.outcomes.push_back(Outcome::Unanswered { watch, serial });
            return;
        };
        let load = Load::Event(Box::new(EventLoad { request, of: EventOf::Subscribe { watch, serial } }));
        let timeout = self.settings.pairs.queue_timeout;
        let track = self.effects.trail.if_fresh(now, track);
        let mut outgoing = Outgoing::new(now.mono, peer, load, timeout);
        outgoing.track = track;
        self.send_message(now, outgoing);
    }

    /// A presence of the watch itself, from bare JID to bare JID.
    fn tell_xmpp(&mut self, now: Now, watch: WatchRef, stanza: Stanza) {
        let Self { presence, pairs, effects, due, table, .. } = self;
        let Some(entry) = presence.xmpp.get_mut(watch) else { return };
        let Authorization { watcher, presentity, .. } = &entry.watch.authorization;
        let mut wire = Wire { now, pairs, effects, due, table, watch };
        let sent = match stanza {
            Stanza::Subscribed => wire.plain(presentity, watcher, "subscribed", None),
            Stanza::Unsubscribed => wire.plain(presentity, watcher, "unsubscribed", None),
            Stanza::Unavailable => {
                let was = std::mem::replace(&mut entry.is_hidden, true);
                if was || !entry.shown.is_available() {
                    entry.is_unsure = false;
                    wire.plain(presentity, watcher, "unavailable", None)
                } else {
                    let envelope = Envelope { user: presentity, watcher, notes: false, caps: None };
                    let mut sent = Ok(());
                    let gone = &mut entry.shown.clone();
                    gone.end(&envelope, now.wall, |resource| {
                        sent = sent.and(wire.resource(&envelope, resource));
                    });
                    sent
                }
            }
            Stanza::Error(condition) => {
                let id = entry.asked_by.take();
                let answered = Answered {
                    element: "presence",
                    from: watcher.as_str(),
                    to: presentity.as_str(),
                    id: id.as_deref(),
                    type_: Some("subscribe"),
                };
                let start = wire.effects.mark();
                write_error(wire.effects.buffer(), &answered, &StanzaError::from(condition));
                wire.send(presentity, watcher, start)
            }
        };
        if let Err(condition) = sent {
            presence.on_bounce(watch, condition);
        }
    }

    /// Tells the watcher what the document at hand says that is new; or, without one, all that the
    /// newest one said.
    fn deliver(&mut self, now: Now, watch: WatchRef, at_hand: Option<&mut AtHand<'_>>) {
        let notes = self.shows_notes(watch);
        let Self { presence, pairs, effects, due, table, .. } = self;
        let Some(entry) = presence.xmpp.get_mut(watch) else { return };
        let Authorization { watcher, presentity, .. } = &entry.watch.authorization;
        let caps = Caps { node: self.iq.caps_node, ver: &presence.caps_ver };
        let envelope = Envelope { user: presentity, watcher, notes, caps: Some(caps) };
        let mut wire = Wire { now, pairs, effects, due, table, watch };
        let mut sent = Ok(());
        let document = at_hand.and_then(|notify| Some((notify.document.take()?, notify.language)));
        let was_hidden = std::mem::take(&mut entry.is_hidden);
        let all = was_hidden || document.is_none();
        if let Some((document, language)) = document {
            let saw_any = entry.shown.is_available();
            entry.shown.update(&document, &envelope, language, now.wall, |resource| {
                entry.is_unsure |= saw_any && resource.state == State::Offline;
                if !all {
                    sent = sent.and(wire.resource(&envelope, resource));
                }
            });
        }
        if was_hidden && std::mem::take(&mut entry.is_unsure) && entry.shown.is_available() {
            // From the bare JID it is said of every resource.
            let nobody = Resource::offline(None, Box::default(), now.wall);
            sent = sent.and(wire.resource(&envelope, &nobody));
        }
        if all {
            entry.shown.repeat(now.wall, |resource| sent = sent.and(wire.resource(&envelope, resource)));
        }
        if let Err(condition) = sent {
            presence.on_bounce(watch, condition);
        }
    }

    /// Answers the NOTIFY at hand.
    fn answer_notify(&mut self, now: Now, status: u16, at_hand: Option<&mut AtHand<'_>>) {
        let Some(notify) = at_hand else { return };
        notify.is_taken = status == 200;
        match notify.refusal.take() {
            Some(reject) if status == 200 => self.reject(now, notify.key, &reject),
            _ if status == 200 => self.respond(now, notify.key, 200, &[]),
            _ => self.reject(now, notify.key, &Reject::status(status, "no such subscription")),
        }
    }

    /// Nobody is told yet what `document` says.
    fn keep_document(&mut self, now: Now, watch: WatchRef, document: &Document<'_>, language: Option<&str>) {
        let notes = self.shows_notes(watch);
        let Some(entry) = self.presence.xmpp.get_mut(watch) else { return };
        let Authorization { watcher, presentity, .. } = &entry.watch.authorization;
        let envelope = Envelope { user: presentity, watcher, notes, caps: None };
        let saw_any = entry.shown.is_available();
        entry.shown.update(document, &envelope, language, now.wall, |resource| {
            entry.is_unsure |= saw_any && resource.state == State::Offline;
        });
        entry.is_hidden = true;
    }

    /// May the watcher see status notes? Those of federated partners do.
    fn shows_notes(&self, watch: WatchRef) -> bool {
        let partner = self.presence.xmpp.get(watch).and_then(|entry| {
            let watcher = &entry.watch.authorization.watcher;
            self.table.partner(watcher.domain())
        });
        partner.is_some_and(|partner| partner.kind == PartnerKind::Federated)
    }

    /// What was told last did not arrive: it is told again later, or when it is asked for.
    pub(super) fn on_lost(&mut self, now: Now, watch: WatchRef) {
        let Some(entry) = self.presence.xmpp.get_mut(watch) else { return };
        entry.is_hidden = true;
        if !std::mem::replace(&mut entry.is_lost, true) {
            let at = now.mono + AGAIN + jitter(&mut self.ids, AGAIN);
            self.due.push(Due { at, what: Timer::Tell(watch) });
        }
    }

    /// Tells the watcher again how things stand. That it was approved too: an approval that is lost
    /// comes by no other way, and one that is known is ignored (RFC 6121 §3.1.6).
    pub(in crate::gateway) fn tell_again(&mut self, now: Now, watch: WatchRef) {
        let Some(entry) = self.presence.xmpp.get_mut(watch) else { return };
        let is_lost = std::mem::take(&mut entry.is_lost);
        let domain = entry.watch.authorization.watcher.domain();
        if !is_lost || self.table.welcome(domain).is_err() {
            // A partner that was taken away is told nothing, and everything when it comes back.
            return;
        }
        let machine = &entry.watch.machine;
        let is_announced = entry.watch.authorization.state == Consent::Announced;
        let (is_shown, has_right) = (machine.is_shown(), machine.has_right());
        if is_announced && has_right {
            self.tell_xmpp(now, watch, Stanza::Subscribed);
        }
        if is_shown && has_right {
            self.deliver(now, watch, None);
        } else if is_announced {
            self.tell_xmpp(now, watch, Stanza::Unavailable);
        }
    }

    fn save_xmpp(&mut self, now: Now, watch: WatchRef, save: Save) {
        let Some(entry) = self.presence.xmpp.get_mut(watch) else { return };
        let change = save.apply(&mut entry.watch.authorization, now.wall);
        let what = match save {
            Save::Put(Consent::Asked) => Some(WatchChange::Asked),
            Save::Put(Consent::Granted) => {
                entry.asked_by = None;
                Some(WatchChange::Granted)
            }
            Save::Gone => Some(WatchChange::Ended),
            Save::Put(Consent::Announced) | Save::Used => None,
        };
        if let Some(what) = what {
            let why = entry.last.to_string();
            self.observe_watch(now, watch, what, why);
        }
        self.keep(change, save.is_awaited().then_some(watch));
    }
}
