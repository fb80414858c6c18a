//! Documents about a SIP user → presences (RFC 8048 §6.3).
//!
//! A document is the whole truth: each tuple is a resource, and a resource that is in it no longer is
//! unavailable. New presences are told before old ones are taken back, so that a user agent whose
//! tuple gets a new id does not seem to leave and come.

use super::table::{self, Evidence, State};
use super::{OCTETS_MAX, RESOURCES_MAX, Resource, Status, statuses, timestamp, tuple_id, wall};
use crate::addr::map::{MapOptions, jid_from_uri};
use crate::addr::uri::Uri;
use crate::addr::{Domain, Jid};
use crate::body::pidf::{Activities, ActivitySet, Document, Note, Tuple, UserInput};
use crate::bridge::to_xmpp::stamp;
use crate::now::Wall;
use crate::xml::write;
use crate::xmpp::ns::CAPS;

/// What one XMPP user was shown of one SIP user: enough to tell it again, and to take it back. The
/// default one has shown nothing.
///
/// Bounded by [`RESOURCES_MAX`] and [`OCTETS_MAX`]: tuples behind that are not shown.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Those that are available.
    list: Vec<Resource>,
    /// The watcher knows that none is.
    is_offline: bool,
}

/// Whose presence goes to whom, and how much of it.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The SIP user; the resource does not matter.
    pub user: &'a Jid,
    /// The watcher, bare or not.
    pub watcher: &'a Jid,
    /// Notes, as statuses. Without, they are neither kept nor written.
    pub notes: bool,
    /// Capabilities to announce for the user.
    pub caps: Option<Caps<'a>>,
}

/// Entity capabilities (XEP-0115 §4), with SHA-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps<'a> {
    /// The URI of the software.
    pub node: &'a str,
    /// The verification string.
    pub ver: &'a str,
}

impl Shown {
    /// Takes a document that is in force now, and hands to `tell` each presence that is to be sent
    /// because of it: first what is new or another, then what is gone.
    ///
    /// If nothing was shown before and nothing is there, one presence says so, once. `lang` is that of
    /// Content-Language, for notes without a language (RFC 8048 Table 2).
    pub fn update(
        &mut self,
        document: &Document<'_>,
        envelope: &Envelope<'_>,
        lang: Option<&str>,
        now: Wall,
        mut tell: impl FnMut(&Resource),
    ) {
        let reader = Reader { document, envelope, lang, now, domain: envelope.user.to_domain() };
        let (open, mut closed) = reader.resources();
        for new in &open {
            if !self.list.iter().any(|old| old.name == new.name && old.shows_same_as(new)) {
                tell(new);
            }
        }
        let was_empty = self.list.is_empty();
        for old in std::mem::replace(&mut self.list, open) {
            if self.list.iter().any(|new| new.name == old.name) {
                continue;
            }
            let last_word = closed.iter_mut().find(|one| one.name == old.name);
            let statuses = last_word.map(|one| std::mem::take(&mut one.statuses)).unwrap_or_default();
            tell(&Resource::offline(old.name, statuses, now));
        }
        if self.list.is_empty() && was_empty && !self.is_offline {
            let statuses = closed.into_iter().next().map(|one| one.statuses).unwrap_or_default();
            tell(&Resource::offline(None, statuses, now));
        }
        self.is_offline = self.list.is_empty();
    }

    /// Takes back whatever was shown: the subscription ended, or nobody answers any more.
    pub fn end(&mut self, envelope: &Envelope<'_>, now: Wall, tell: impl FnMut(&Resource)) {
        self.update(&Document::default(), envelope, None, now, tell);
    }

    /// Hands to `tell` all that was shown, as the answer to a probe. Nothing if nothing was shown.
    pub fn repeat(&self, now: Wall, mut tell: impl FnMut(&Resource)) {
        self.list.iter().for_each(&mut tell);
        if self.is_offline {
            tell(&Resource::offline(None, Box::default(), now));
        }
    }

    /// Whether a resource was shown available.
    pub fn is_available(&self) -> bool {
        !self.list.is_empty()
    }
}

/// What a document says about one user at one time.
struct Reader<'d> {
    document: &'d Document<'d>,
    envelope: &'d Envelope<'d>,
    lang: Option<&'d str>,
    now: Wall,
    domain: Domain,
}

impl Reader<'_> {
    /// The resources that are there, and those that are not; each name once, in the order of tuples.
    fn resources(&self) -> (Vec<Resource>, Vec<Resource>) {
        // What is there is kept: no room is made for more.
        let mut open: Vec<Resource> = Vec::with_capacity(self.document.tuples.len().min(RESOURCES_MAX));
        let mut closed: Vec<Resource> = Vec::new();
        let person = self.activities_now();
        let knows_show = self.document.tuples.iter().any(|tuple| tuple.show.is_some());
        let mut octets = 0;
        for tuple in self.document.tuples.iter().filter(|tuple| !tuple.is_of_another) {
            if says_nothing(tuple) {
                continue;
            }
            let input = self.input(tuple);
            let persons = || self.document.persons.iter().find_map(|person| person.availability);
            let state = table::judge(&Evidence {
                basic: tuple.basic,
                show: tuple.show,
                knows_show,
                availability: tuple.availability.or_else(persons),
                person,
                tuple: tuple.activities,
                is_idle: input.is_some_and(|input| input.is_idle),
            });
            let statuses = self.statuses(tuple);
            let name = self.name(tuple);
            if state == State::Offline {
                closed.push(Resource::offline(name, statuses, self.now));
                continue;
            }
            if open.len() >= RESOURCES_MAX || open.iter().any(|one| one.name == name) {
                continue;
            }
            let priority = tuple.contact.as_ref().and_then(|contact| contact.priority);
            let idle = input.filter(|input| input.is_idle).and_then(|input| input.last);
            let one = Resource {
                name,
                state,
                priority: priority.map(table::priority).unwrap_or_default(),
                idle: idle.and_then(wall).map(|since| since.min(self.now)),
                since: self.now,
                statuses,
            };
            octets += one.octets();
            if octets > OCTETS_MAX {
                break;
            }
            open.push(one);
        }
        open.shrink_to_fit();
        (open, closed)
    }

    /// What all persons do now, together.
    fn activities_now(&self) -> ActivitySet {
        let now = timestamp(self.now);
        let holds = |at: &&Activities| now.is_none_or(|now| at.holds_at(now));
        let all = self.document.persons.iter().flat_map(|person| person.activities.iter());
        all.filter(holds).fold(ActivitySet::default(), |set, activities| set.union(activities.set))
    }

    /// User input at the service itself, else at its device, else of the person.
    fn input(&self, tuple: &Tuple<'_>) -> Option<UserInput> {
        let device = || {
            let urn = tuple.device.as_deref()?;
            self.document.devices.iter().find(|device| device.urn == urn)?.input
        };
        let person = || self.document.persons.iter().find_map(|person| person.input);
        tuple.input.or_else(device).or_else(person)
    }

    /// The notes that are nearest: of the tuple, else of a person, else of the presentity (RFC 4479
    /// §5 has the latter stand in for persons without).
    fn statuses(&self, tuple: &Tuple<'_>) -> Box<[Status]> {
        if !self.envelope.notes {
            return Box::default();
        }
        let persons = self.document.persons.iter().map(|person| &person.notes);
        let notes = std::iter::once(&tuple.notes).chain(persons).chain([&self.document.notes]);
        let texts = |notes: &Vec<Note<'_>>| {
            statuses(notes.iter().map(|note| (note.lang.as_deref().or(self.lang), &*note.text)))
        };
        notes.map(texts).find(|statuses| !statuses.is_empty()).unwrap_or_default()
    }

    /// The resource: that of the contact if it is a GRUU of this user, else the id's, else a name
    /// made of the id; none if there is nothing to tell it by.
    fn name(&self, tuple: &Tuple<'_>) -> Option<Box<str>> {
        let gruu = tuple.contact.as_ref().and_then(|contact| self.gruu(&contact.uri));
        gruu.or_else(|| {
            let id = tuple_id::to_resource(&tuple.id)?;
            self.prepared(&id).or_else(|| Some(tuple_id::hashed(&id).into()))
        })
    }

    fn gruu(&self, contact: &str) -> Option<Box<str>> {
        // Most contacts are none, and those need no parse.
        if !contact.contains(";gr") && !contact.contains(";opaque=") {
            return None;
        }
        let jid = jid_from_uri(&Uri::parse(contact).ok()?, &MapOptions::default()).ok()?;
        if jid.bare_str() == self.envelope.user.bare_str() { jid.resource().map(Box::from) } else { None }
    }

    /// A text as a resourcepart (RFC 7622 §3.4), if it can be one.
    fn prepared(&self, resource: &str) -> Option<Box<str>> {
        let jid = Jid::from_parts(self.envelope.user.local(), &self.domain, Some(resource)).ok()?;
        jid.resource().map(Box::from)
    }
}

/// Whether a tuple is about something else than availability: a place, a device, a calendar.
fn says_nothing(tuple: &Tuple<'_>) -> bool {
    tuple.basic.is_none()
        && tuple.show.is_none()
        && tuple.availability.and_then(table::of_availability).is_none()
        && table::of_activities(tuple.activities).is_none()
}

impl Resource {
    /// Appends the presence that shows this resource, in the stream's default namespace
    /// `jabber:server`.
    pub fn write_presence(&self, envelope: &Envelope<'_>, out: &mut Vec<u8>) {
        let mut from = envelope.user.bare_str().to_owned();
        if let Some(name) = &self.name {
            from.push('/');
            from.push_str(name);
        }
        let is_offline = self.state == State::Offline;
        write::open(out, "presence")
            .attr("from", &from)
            .attr("to", envelope.watcher.as_str())
            .attr_opt("type", is_offline.then_some("unavailable"))
            .content(|out| {
                if let Some(show) = self.state.show() {
                    write::open(out, "show").text(show.name());
                }
                for status in self.statuses.iter().filter(|_| envelope.notes) {
                    write::open(out, "status")
                        .attr_opt("xml:lang", status.lang.as_deref())
                        .text(&status.text);
                }
                if is_offline {
                    return;
                }
                if self.priority != 0 {
                    write::open(out, "priority").text(&self.priority.to_string());
                }
                if let Some(caps) = envelope.caps {
                    write::open(out, "c")
                        .xmlns(CAPS)
                        .attr("hash", "sha-1")
                        .attr("node", caps.node)
                        .attr("ver", caps.ver)
                        .empty();
                }
                if let Some(idle) = self.idle {
                    write::open(out, "idle").xmlns("urn:xmpp:idle:1").attr("since", &stamp(idle)).empty();
                }
            });
    }
}
