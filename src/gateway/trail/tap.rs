//! What really came and went, for whoever watches: copies of SIP messages and stanzas, with their real heads.
//!
//! Nothing is copied unless somebody watches, and then only what is between people whom a watcher asked for.
//! Of what is copied nobody sees what people wrote ([`crate::sip::mask`], [`crate::xml::mask`]), unless the
//! operator has texts in the log; and never a credential. That is done here, before a copy leaves the gateway.
//!
//! ```text
//! input ─ copied ─▶ handled ─▶ effects ─ copied ─▶ the turn is over: named after its crossing ─▶ each watcher
//! ```
//! Each watcher has a queue. What has no room in it is counted, and the gateway waits for nobody.

use super::{Carrier, Trail, Wanted};
use crate::addr::{Jid, map};
use crate::gateway::effect::Effect;
use crate::gateway::{Gateway, Input};
use crate::now::Now;
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::{sip, xml};
use memchr::memmem;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// Who may watch at once.
pub const WATCHERS: usize = 4;
/// Copies that wait for one watcher, and their octets.
const COPIES: usize = 2000;
const OCTETS: usize = 4 * 1024 * 1024;
/// Octets of one copy; what is longer is cut.
pub const COPY: usize = 64 * 1024;
/// Crossings that one turn is looked up for.
const CROSSINGS: u64 = 256;
/// Octets of a name that a peer gave.
const NAME: usize = 128;

/// Names a watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatcherId(u64);

/// Which way a copy went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heading {
    /// To us.
    In,
    /// From us.
    Out,
}

/// Whether texts are in a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texts {
    /// As they were.
    Shown,
    /// Replaced octet by octet.
    Hidden,
}

/// One SIP message or stanza.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// When; what was no answer to anything has the time at which it was taken.
    pub at: Now,
    /// The crossing that it is of; of something that is on record by no name, its Call-ID or id.
    pub trace: String,
    /// By which stream or link.
    pub via: Carrier,
    /// Which way.
    pub heading: Heading,
    /// The far end of a datagram; that of a connection is known by its name.
    pub far: Option<SocketAddr>,
    /// The octets, as far as they are kept.
    pub octets: Arc<[u8]>,
    /// How many there were.
    pub length: usize,
    /// What they show.
    pub texts: Texts,
}

/// What waited for a watcher.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    /// In order.
    pub copies: Vec<Copied>,
    /// How many had no room since the last time.
    pub lost: u64,
    /// Is there more?
    pub more: bool,
}

/// Everybody who watches, and what this turn brought.
#[derive(Default)]
pub struct Tap {
    watchers: Vec<Watcher>,
    next: u64,
    turn: Option<Turn>,
}

struct Watcher {
    id: WatcherId,
    wanted: Wanted,
    queue: VecDeque<Copied>,
    octets: usize,
    lost: u64,
}

/// What one input brought.
struct Turn {
    now: Now,
    /// The first step on record that is its.
    steps: u64,
    came: Option<(Copied, Vec<WatcherId>)>,
}

/// Between whom something is, and what its peer calls it.
struct People {
    from: Jid,
    to: Jid,
    name: Option<String>,
}

impl Tap {
    /// Who of the watchers wants to see what is between `people`; of strangers only those who want all.
    fn wanting(&self, gateway: &Gateway, people: Option<&People>) -> Vec<WatcherId> {
        let wants = |wanted: &Wanted| match people {
            None => *wanted == Wanted::default(),
            Some(People { from, to, .. }) => {
                let serves = |jid: &Jid| gateway.settings.peer_of(jid.domain()).is_some();
                let remote = if serves(from) { to } else { from };
                wanted.has_people(from.bare_str(), to.bare_str(), remote.domain(), &gateway.table)
            }
        };
        self.watchers.iter().filter(|one| wants(&one.wanted)).map(|one| one.id).collect()
    }

    fn give(&mut self, copied: &Copied, to: &[WatcherId]) {
        for watcher in self.watchers.iter_mut().filter(|one| to.contains(&one.id)) {
            if watcher.queue.len() >= COPIES || watcher.octets + copied.octets.len() > OCTETS {
                watcher.lost += 1;
            } else {
                watcher.octets += copied.octets.len();
                watcher.queue.push_back(copied.clone());
            }
        }
    }
}

/// The names of the crossings to which something happened since the step at `first`.
fn names_since(trail: &Trail, first: u64) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for place in (first..trail.steps.next()).take(CROSSINGS as usize) {
        let name = trail.steps.get(place).and_then(|step| trail.name(step.track));
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}

/// Which of `names` it is that `octets` are of: the one that they have in them, or the only one there is.
fn name_of(names: &[&str], octets: &[u8], own: Option<String>) -> String {
    let named = names.iter().find(|name| memmem::find(octets, name.as_bytes()).is_some());
    match (named, names) {
        (Some(name), _) | (None, [name]) => (*name).to_owned(),
        (None, _) => {
            let mut own = own.unwrap_or_default();
            own.truncate(own.floor_char_boundary(NAME));
            own
        }
    }
}

fn cut(mut octets: Vec<u8>) -> Arc<[u8]> {
    octets.truncate(COPY);
    octets.into()
}

impl Trail {
    /// Somebody watches what is `wanted`. None if too many do already.
    pub fn watch(&mut self, wanted: Wanted) -> Option<WatcherId> {
        let tap = self.tap.get_or_insert_default();
        if tap.watchers.len() >= WATCHERS {
            return None;
        }
        tap.next += 1;
        let id = WatcherId(tap.next);
        tap.watchers.push(Watcher { id, wanted, queue: VecDeque::new(), octets: 0, lost: 0 });
        Some(id)
    }

    /// A watcher has left. After the last one nothing is copied any more.
    pub fn unwatch(&mut self, watcher: WatcherId) {
        if let Some(tap) = &mut self.tap {
            tap.watchers.retain(|one| one.id != watcher);
            if tap.watchers.is_empty() {
                self.tap = None;
            }
        }
    }

    /// What waits for a watcher, no more than `limit` copies.
    pub fn take_copies(&mut self, now: Now, watcher: WatcherId, limit: usize) -> Copies {
        let tap = self.tap.as_mut();
        let Some(watcher) = tap.and_then(|tap| tap.watchers.iter_mut().find(|one| one.id == watcher)) else {
            return Copies::default();
        };
        let mut copies: Vec<Copied> = watcher.queue.drain(..limit.min(watcher.queue.len())).collect();
        watcher.octets -= copies.iter().map(|one| one.octets.len()).sum::<usize>();
        copies.iter_mut().filter(|one| one.at == Now::default()).for_each(|one| one.at = now);
        let lost = std::mem::take(&mut watcher.lost);
        Copies { copies, lost, more: !watcher.queue.is_empty() }
    }
}

impl Gateway {
    /// A turn begins: what came is copied before anything is done about it, if somebody watches.
    #[inline]
    pub(in crate::gateway) fn tap_input(&mut self, now: Now, input: &Input<'_>) {
        if self.effects.trail.tap.is_some() {
            self.copy_input(now, input);
        }
    }

    /// A turn is over, or effects of none are about to be performed: what goes is copied, if somebody watches.
    #[inline]
    pub(in crate::gateway) fn tap_effects(&mut self) {
        if self.effects.trail.tap.is_some() {
            self.copy_effects();
        }
    }

    fn copy_input(&mut self, now: Now, input: &Input<'_>) {
        let Some(mut tap) = self.effects.trail.tap.take() else { return };
        let came = match input {
            Input::Sip { source, octets } => {
                let people = self.people_of_message(octets);
                let wanting = match &people {
                    Some(people) => tap.wanting(self, people.as_ref()),
                    None => Vec::new(),
                };
                let far = Some(source.address);
                let name = people.flatten().and_then(|people| people.name);
                let via = Carrier::Link(source.link);
                (!wanting.is_empty())
                    .then(|| (self.copy_message(now, via, Heading::In, far, octets, name), wanting))
            }
            Input::Stanza { stream, stanza } => {
                let name = stanza.element.attr("id").map(str::to_owned);
                let people = People { from: stanza.from.clone(), to: stanza.to.clone(), name };
                let wanting = tap.wanting(self, Some(&people));
                let via = Carrier::Stream(*stream);
                let octets = stanza.element.raw().as_bytes();
                let copy = || xml::mask::copies(octets, self.texts_of_xml()).into_iter().next();
                let copy = (!wanting.is_empty()).then(copy).flatten();
                copy.map(|copy| (self.copied(now, via, Heading::In, None, copy.octets, people.name), wanting))
            }
            // Nothing that crosses, or nothing that can be read.
            Input::Iq { .. }
            | Input::Misaddressed(_)
            | Input::StreamUp { .. }
            | Input::StreamDown { .. }
            | Input::Written { .. }
            | Input::VerifyWanted(_)
            | Input::Verified(_)
            | Input::SipBroken { .. }
            | Input::Located { .. }
            | Input::LinkUp { .. }
            | Input::LinkDown { .. }
            | Input::MsrpUp { .. }
            | Input::Msrp { .. }
            | Input::MsrpFrame { .. }
            | Input::MsrpDrained { .. }
            | Input::MsrpDown { .. }
            | Input::Persisted { .. }
            | Input::Timeout => None,
        };
        tap.turn = Some(Turn { now, steps: self.effects.trail.steps.next(), came });
        self.effects.trail.tap = Some(tap);
    }

    fn copy_effects(&mut self) {
        let Some(mut tap) = self.effects.trail.tap.take() else { return };
        let turn = tap.turn.take();
        let names =
            turn.as_ref().map(|turn| names_since(&self.effects.trail, turn.steps)).unwrap_or_default();
        let now = turn.as_ref().map(|turn| turn.now).unwrap_or_default();
        if let Some((mut copied, wanting)) = turn.and_then(|turn| turn.came) {
            copied.trace = name_of(&names, &copied.octets, Some(copied.trace));
            tap.give(&copied, &wanting);
        }
        let first = self.effects.copied;
        for effect in self.effects.list().iter().skip(first) {
            match effect {
                Effect::SipSend { link, to, octets } => {
                    let octets = self.effects.octets(octets);
                    let Some(people) = self.people_of_message(octets) else { continue };
                    let wanting = tap.wanting(self, people.as_ref());
                    if wanting.is_empty() {
                        continue;
                    }
                    let name = Some(name_of(&names, octets, people.and_then(|people| people.name)));
                    let via = Carrier::Link(*link);
                    tap.give(&self.copy_message(now, via, Heading::Out, *to, octets, name), &wanting);
                }
                Effect::XmppSend { stream, octets, .. } => {
                    for copy in xml::mask::copies(self.effects.octets(octets), self.texts_of_xml()) {
                        let is_iq = copy.name == "iq";
                        let Some(people) = people_of_stanza(&copy).filter(|_| !is_iq) else { continue };
                        let wanting = tap.wanting(self, Some(&people));
                        if wanting.is_empty() {
                            continue;
                        }
                        let name = Some(name_of(&names, &copy.octets, people.name));
                        let via = Carrier::Stream(*stream);
                        tap.give(&self.copied(now, via, Heading::Out, None, copy.octets, name), &wanting);
                    }
                }
                _ => {}
            }
        }
        self.effects.copied = self.effects.list().len();
        self.effects.trail.tap = Some(tap);
    }

    /// Between whom a SIP message is, if both have addresses in XMPP; None of what crosses for nobody.
    fn people_of_message(&self, octets: &[u8]) -> Option<Option<People>> {
        let message = Message::parse(octets).ok()?;
        if matches!(message.cseq().method, Method::Options | Method::Register | Method::Publish) {
            return None;
        }
        let options = self.settings.map_options();
        let jid = |address| map::jid_from_uri(address, &options).ok();
        let (from, to) = (jid(&message.from().address), jid(&message.to().address));
        Some(from.zip(to).map(|(from, to)| People { from, to, name: Some(message.call_id().to_owned()) }))
    }

    fn copy_message(
        &self,
        now: Now,
        via: Carrier,
        heading: Heading,
        far: Option<SocketAddr>,
        octets: &[u8],
        name: Option<String>,
    ) -> Copied {
        let texts = if self.settings.texts { sip::mask::Texts::Shown } else { sip::mask::Texts::Hidden };
        self.copied(now, via, heading, far, sip::mask::copy(octets, texts), name)
    }

    fn texts_of_xml(&self) -> xml::mask::Texts {
        if self.settings.texts { xml::mask::Texts::Shown } else { xml::mask::Texts::Hidden }
    }

    fn copied(
        &self,
        at: Now,
        via: Carrier,
        heading: Heading,
        far: Option<SocketAddr>,
        octets: Vec<u8>,
        name: Option<String>,
    ) -> Copied {
        let texts = if self.settings.texts { Texts::Shown } else { Texts::Hidden };
        let (length, trace) = (octets.len(), name.unwrap_or_default());
        Copied { at, trace, via, heading, far, octets: cut(octets), length, texts }
    }
}

fn people_of_stanza(copy: &xml::mask::Copy) -> Option<People> {
    let jid = |address: &Option<String>| Jid::parse(address.as_deref()?).ok();
    Some(People { from: jid(&copy.from)?, to: jid(&copy.to)?, name: copy.id.clone() })
}
