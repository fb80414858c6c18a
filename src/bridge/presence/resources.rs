//! An XMPP user's presences → one document (RFC 8048 §6.2).
//!
//! DEVIATES RFC 8048 §6.2: there is no document for each presence. A body is the complete state of
//! the presentity (RFC 3856 §6.7), so it has one tuple for each available resource, best first; one
//! that left is not in it. When none is left there is one closed tuple, that of the last one.

use super::table::thousandths;
use super::{OCTETS_MAX, RESOURCES_MAX, Resource, State, Status, statuses, timestamp, tuple_id};
use crate::addr::Jid;
use crate::addr::map::uri_from_jid;
use crate::body::pidf::{
    self, Activities, ActivitySet, Contact, Document, Note, Person, Show, Tuple, UserInput,
};
use crate::bridge::to_sip::time_of_stamp;
use crate::now::Wall;
use crate::xml::{Element, ns};
use crate::xmpp::stanza::{PresenceType, Stanza, StanzaKind};
use std::borrow::Cow;
use std::cmp::Reverse;

/// Seconds in a milliseconds' world.
const SECOND: u64 = 1000;

/// The presences of one XMPP user that one SIP user was sent. The default one knows nothing.
///
/// Bounded by [`RESOURCES_MAX`] and [`OCTETS_MAX`]: when there is more, the resources with the lowest
/// priority go first, and of these the one that has said nothing new for longest.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// Those that are available.
    list: Vec<Resource>,
    /// The last one that left, when no other is there.
    gone: Option<Box<Resource>>,
    /// The newest stamp that any document had, in milliseconds.
    stamped: u64,
}

/// What a stanza changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The next document says something else than the one before.
    Changed,
    /// It would say the same.
    Same,
    /// The stanza is no notification: another type of presence, or another kind of stanza.
    NotPresence,
}

/// What goes into a document.
#[derive(Clone, Copy, Debug)]
pub struct PidfOptions<'a> {
    /// Statuses, as notes.
    pub notes: bool,
    /// When a resource was last used (RFC 4480 §3.14 wants a choice).
    pub last_input: bool,
    /// Activities in the status, where servers of Microsoft look for them.
    pub status_activities: bool,
    /// Microsoft's availability numbers.
    pub availability: bool,
    /// A note for a resource in `dnd` without a status, because RPID has no word for it but "busy".
    pub dnd_note: Option<&'a str>,
}

impl Default for PidfOptions<'_> {
    fn default() -> Self {
        Self { notes: true, last_input: true, status_activities: true, availability: false, dnd_note: None }
    }
}

impl Resources {
    /// Takes a presence: available or unavailable, from any resource or from the bare JID.
    ///
    /// Unavailable from the bare JID means every resource (RFC 6121 §4.3.2 has servers answer probes
    /// so). What a presence says of the past is believed: its delay (XEP-0203) and its idle time
    /// (XEP-0319, XEP-0256), but never beyond `now`.
    pub fn update(&mut self, stanza: &Stanza<'_>, now: Wall) -> Change {
        if stanza.kind != StanzaKind::Presence {
            return Change::NotPresence;
        }
        let name = stanza.from.resource();
        match stanza.presence_type() {
            Some(PresenceType::Available) => self.insert(available(&stanza.element, name, now)),
            Some(PresenceType::Unavailable) => {
                let said = said(&stanza.element);
                self.remove(Resource::offline(name.map(Box::from), said, since(&stanza.element, now)))
            }
            Some(
                PresenceType::Subscribe
                | PresenceType::Subscribed
                | PresenceType::Unsubscribe
                | PresenceType::Unsubscribed
                | PresenceType::Probe
                | PresenceType::Error,
            )
            | None => Change::NotPresence,
        }
    }

    /// Whether anything was ever heard: without, a NOTIFY has no body.
    pub fn is_known(&self) -> bool {
        self.gone.is_some() || !self.list.is_empty()
    }

    /// Whether a resource is available.
    pub fn is_available(&self) -> bool {
        !self.list.is_empty()
    }

    /// The available resources, in no order that matters.
    pub fn iter(&self) -> impl Iterator<Item = &Resource> {
        self.list.iter()
    }

    /// Forgets what was heard. Stamps of coming documents still follow those of the past.
    pub fn clear(&mut self) {
        self.list.clear();
        self.gone = None;
    }

    fn insert(&mut self, new: Resource) -> Change {
        self.gone = None;
        let mut change = Change::Changed;
        match self.list.iter_mut().find(|known| known.name == new.name) {
            Some(known) if known.shows_same_as(&new) => change = Change::Same,
            Some(known) => *known = new,
            None => {
                // Most people have one: no room is made for more.
                self.list.reserve_exact(1);
                self.list.push(new);
            }
        }
        while self.list.len() > RESOURCES_MAX || self.octets() > OCTETS_MAX {
            let last = self.list.iter().enumerate().min_by_key(|(_, one)| (one.priority, one.since));
            match last.map(|(at, _)| at) {
                Some(at) => drop(self.list.remove(at)),
                None => break,
            }
        }
        change
    }

    fn remove(&mut self, new: Resource) -> Change {
        let (before, known) = (self.list.len(), self.is_known());
        if new.name.is_none() {
            self.list.clear();
        } else {
            self.list.retain(|one| one.name != new.name);
        }
        if self.list.is_empty() && (before > 0 || !known) {
            self.gone = Some(Box::new(new));
        }
        if self.list.len() < before || !known { Change::Changed } else { Change::Same }
    }

    fn octets(&self) -> usize {
        self.list.iter().map(Resource::octets).sum()
    }

    /// Appends the document about `user`, whose resource does not matter: all that is known.
    ///
    /// Every tuple has a timestamp, and none of them was in a document before (RFC 3863 §4.1.7): that
    /// of its last change, or if that is used up, one right behind the newest that was used. So their
    /// order is the order of the changes.
    pub fn write_pidf(&mut self, user: &Jid, options: &PidfOptions<'_>, now: Wall, out: &mut Vec<u8>) {
        if self.list.is_empty() {
            return match self.gone.take() {
                Some(gone) => {
                    self.write_one(user, &gone, options, out);
                    self.gone = Some(gone);
                }
                None => self.write_closed(user, now, out),
            };
        }
        self.list.sort_by(|a, b| order(a).cmp(&order(b)));
        let stamps = self.stamps();
        let stamped = self.list.iter().zip(stamps);
        let tuples: Vec<_> = stamped.map(|(one, stamp)| tuple(one, user, options, stamp)).collect();
        let persons = self.list.first().and_then(|best| person(best, &tuples)).into_iter().collect();
        pidf::write(&Document { entity: entity(user).into(), tuples, persons, ..Document::default() }, out);
    }

    /// Appends a document that says no more than that `user` is not there, whatever is known: for the
    /// end of a subscription, or for a watcher who is not to see more.
    pub fn write_closed(&mut self, user: &Jid, now: Wall, out: &mut Vec<u8>) {
        let nobody = Resource::offline(None, Box::default(), now);
        self.write_one(user, &nobody, &PidfOptions { notes: false, ..PidfOptions::default() }, out);
    }

    fn write_one(&mut self, user: &Jid, one: &Resource, options: &PidfOptions<'_>, out: &mut Vec<u8>) {
        self.stamped = one.since.as_millis().max(self.stamped.saturating_add(1));
        let tuples = vec![tuple(one, user, options, Wall::from_millis(self.stamped))];
        pidf::write(&Document { entity: entity(user).into(), tuples, ..Document::default() }, out);
    }

    /// A stamp for each resource of the list.
    fn stamps(&mut self) -> Vec<Wall> {
        let mut by_age: Vec<usize> = (0..self.list.len()).collect();
        by_age.sort_by_key(|at| self.list.get(*at).map(|one| one.since));
        let mut stamps = vec![Wall::default(); self.list.len()];
        for at in by_age {
            if let (Some(one), Some(stamp)) = (self.list.get(at), stamps.get_mut(at)) {
                self.stamped = one.since.as_millis().max(self.stamped.saturating_add(1));
                *stamp = Wall::from_millis(self.stamped);
            }
        }
        stamps
    }
}

/// Best first: servers of Microsoft look at the first tuple alone.
fn order(one: &Resource) -> (Reverse<i8>, u8, Reverse<Wall>, Option<&str>) {
    (Reverse(one.priority), one.state.rank(), Reverse(one.since), one.name.as_deref())
}

fn available(presence: &Element<'_>, name: Option<&str>, now: Wall) -> Resource {
    let text = |name| presence.child(name, ns::SERVER).map(Element::text);
    let show = text("show").and_then(|show| Show::from_name(&show));
    let priority = text("priority").and_then(|priority| priority.trim().parse().ok());
    let since = since(presence, now);
    Resource {
        name: name.map(Box::from),
        state: State::of(show),
        priority: priority.unwrap_or_default(),
        idle: idle(presence, show, since),
        since,
        statuses: said(presence),
    }
}

/// The statuses; those without a language have that of the stanza.
fn said(presence: &Element<'_>) -> Box<[Status]> {
    let texts: Vec<_> = presence
        .children()
        .filter(|child| child.is("status", ns::SERVER))
        .map(|child| (child.lang().or(presence.lang()), child.text()))
        .collect();
    statuses(texts.iter().map(|(lang, text)| (*lang, &**text)))
}

/// When the presence was sent: servers keep it for those who ask later.
fn since(presence: &Element<'_>, now: Wall) -> Wall {
    let delay = presence.child("delay", "urn:xmpp:delay").and_then(|delay| delay.attr("stamp"));
    delay.and_then(time_of_stamp).map_or(now, |stamp| stamp.min(now))
}

/// Since when nobody has used the resource, for a presence that was sent at `sent`.
fn idle(presence: &Element<'_>, show: Option<Show>, sent: Wall) -> Option<Wall> {
    if let Some(idle) = presence.child("idle", "urn:xmpp:idle:1") {
        return idle.attr("since").and_then(time_of_stamp).map(|since| since.min(sent));
    }
    // XEP-0256 §2.1: without one of these it tells of the time before this session.
    if !matches!(show, Some(Show::Away | Show::Xa)) {
        return None;
    }
    let seconds: u64 = presence.child("query", "jabber:iq:last")?.attr("seconds")?.parse().ok()?;
    Some(Wall::from_millis(sent.as_millis().saturating_sub(seconds.saturating_mul(SECOND))))
}

fn tuple<'r>(one: &'r Resource, user: &Jid, options: &PidfOptions<'r>, stamp: Wall) -> Tuple<'r> {
    let row = one.state.row();
    let last = one.idle.filter(|_| options.last_input).and_then(timestamp);
    let activity = row.activity.filter(|_| options.status_activities);
    Tuple {
        id: tuple_id::of_resource(one.name.as_deref()).into(),
        basic: Some(row.basic),
        show: one.state.show(),
        activities: activity.into_iter().collect(),
        availability: options.availability.then_some(row.availability),
        input: row.is_idle.map(|is_idle| UserInput { is_idle, last: last.filter(|_| is_idle) }),
        contact: Some(contact(one, user)),
        notes: notes(one, options),
        timestamp: timestamp(stamp),
        ..Tuple::default()
    }
}

/// What the person does, which the best resource knows best; nothing if there is nothing to say.
///
/// The note of the best tuple is repeated here for those who look here alone, but not where another
/// tuple has none: it would be taken for that one's.
fn person<'r>(best: &Resource, tuples: &[Tuple<'r>]) -> Option<Person<'r>> {
    let set: ActivitySet = best.state.row().activity.into_iter().collect();
    let activities = Some(Activities { set, ..Activities::default() }).filter(|_| !set.is_empty());
    let notes = match tuples.first() {
        Some(first) if tuples.iter().all(|tuple| !tuple.notes.is_empty()) => first.notes.clone(),
        Some(_) | None => Vec::new(),
    };
    let says = activities.is_some() || !notes.is_empty();
    let activities = activities.into_iter().collect();
    says.then(|| Person { id: "person".into(), activities, notes, ..Person::default() })
}

fn notes<'r>(one: &'r Resource, options: &PidfOptions<'r>) -> Vec<Note<'r>> {
    let mut notes = Vec::new();
    if options.notes {
        notes.extend(one.statuses.iter().map(|status| Note {
            lang: status.lang.as_deref().map(Cow::Borrowed),
            text: Cow::Borrowed(&*status.text),
        }));
    }
    if let Some(text) = options.dnd_note.filter(|_| one.state == State::Dnd && notes.is_empty()) {
        notes.push(Note { lang: None, text: Cow::Borrowed(text) });
    }
    notes
}

/// The way to a resource: its GRUU while it is there, the address of record after that.
fn contact<'r>(one: &Resource, user: &Jid) -> Contact<'r> {
    let name = one.name.as_deref().filter(|_| one.state != State::Offline);
    let full = name.and_then(|name| Jid::from_parts(user.local(), &user.to_domain(), Some(name)).ok());
    let priority = (one.state != State::Offline).then(|| thousandths(one.priority)).flatten();
    Contact { uri: uri(&full.unwrap_or_else(|| user.to_bare())).into(), priority }
}

fn uri(jid: &Jid) -> String {
    let mut uri = Vec::new();
    uri_from_jid(jid, &mut uri);
    String::from_utf8(uri).unwrap_or_default()
}

/// `pres:` and what follows `sip:` in the address of record (RFC 3859).
fn entity(user: &Jid) -> String {
    let uri = uri(&user.to_bare());
    let mut entity = String::from("pres:");
    entity.push_str(uri.strip_prefix("sip:").unwrap_or(&uri));
    entity
}
