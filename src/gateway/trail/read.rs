//! Reading the trail: which crossings, with their steps; and the steps as they come.
//!
//! Nothing waits for who follows. One that is so slow that steps it has not seen were written over hears
//! that it was cut off.

use super::{Carrier, End, Head, Held, Step, Track, Trail, What};
use crate::addr::Jid;
use crate::crossing::{Direction, Kind};
use crate::gateway::observe::WatchChange;
use crate::now::{Mono, Now};
use crate::policy::{At, Table};

/// How a crossing ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is under way.
    Open,
    /// The other side has it.
    Delivered,
    /// Policy refused it.
    Denied,
    /// It was not delivered.
    Failed,
    /// The watch that it asked for is over.
    Ended,
}

/// A crossing on record.
#[derive(Clone, Debug)]
pub struct Crossing<'t> {
    /// One name for both legs.
    pub name: &'t str,
    /// Which way.
    pub direction: Direction,
    /// What it is.
    pub kind: Kind,
    /// Who sent it: a JID.
    pub from: &'t str,
    /// For whom.
    pub to: &'t str,
    /// Our user's policy, if it came to that: as it displays, and where it stands.
    pub policy: Option<(String, At)>,
    /// When it came.
    pub begun: Now,
    /// What happened, in order, each with its time in microseconds since then.
    pub steps: Vec<(u64, What)>,
    /// Why it failed, for people.
    pub why: Option<&'t str>,
}

impl<'t> Crossing<'t> {
    /// The XMPP contact.
    pub fn remote(&self) -> &'t str {
        match self.direction {
            Direction::SipToXmpp => self.to,
            Direction::XmppToSip => self.from,
        }
    }
}

impl Crossing<'_> {
    /// How it ended.
    pub fn outcome(&self) -> Outcome {
        let decisive = |(_, what): &(u64, What)| match *what {
            What::Denied(_) | What::Watch(WatchChange::Suspended) => Some(Outcome::Denied),
            What::Failed | What::Returned(_) => Some(Outcome::Failed),
            What::Answered(200..300) | What::ToldSip(200..300) if self.kind == Kind::Message => {
                Some(Outcome::Delivered)
            }
            What::Watch(WatchChange::Granted | WatchChange::Resumed) => Some(Outcome::Delivered),
            What::Watch(WatchChange::Ended) => Some(Outcome::Ended),
            What::Watch(WatchChange::Asked | WatchChange::Waits) => Some(Outcome::Open),
            What::Came(_)
            | What::Admitted
            | What::WaitsForStream
            | What::WaitsForLink
            | What::WaitsForTurn
            | What::Sent(_)
            | What::Answered(_)
            | What::ToldSip(_)
            | What::ToldXmpp(_) => None,
        };
        self.steps.iter().rev().find_map(decisive).unwrap_or(Outcome::Open)
    }
}

/// Which crossings are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of this user alone, on either side: a bare JID.
    pub user: Option<Jid>,
    /// Of the partner that has this domain.
    pub partner: Option<String>,
}

impl Wanted {
    /// Is it asked for?
    pub fn has(&self, crossing: &Crossing<'_>, table: &Table) -> bool {
        let (from, to) = (bare_of(crossing.from), bare_of(crossing.to));
        self.has_people(from, to, domain_of(crossing.remote()), table)
    }

    /// Is something asked for between these two bare JIDs, of whom the XMPP contact has the domain `remote`?
    pub(super) fn has_people(&self, from: &str, to: &str, remote: &str, table: &Table) -> bool {
        let is_user = self.user.as_ref().is_none_or(|user| {
            let bare = user.bare_str();
            from == bare || to == bare
        });
        let is_partner = self.partner.as_deref().is_none_or(|wanted| {
            let partner = table.partner(remote);
            remote == wanted || partner.is_some_and(|one| one.domains().any(|d| d.as_str() == wanted))
        });
        is_user && is_partner
    }
}

/// A JID, which is canonical, without its resource.
pub fn bare_of(jid: &str) -> &str {
    jid.split('/').next().unwrap_or_default()
}

/// Its domain.
pub fn domain_of(jid: &str) -> &str {
    let bare = bare_of(jid);
    bare.split_once('@').map_or(bare, |(_, domain)| domain)
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found<'t> {
    /// The newest, the oldest of them first.
    pub crossings: Vec<Crossing<'t>>,
    /// How many older ones there are.
    pub older: usize,
}

/// Steps were lost before their follower read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

/// A step that a follower has not seen: a crossing that has this one alone.
pub type Event<'t> = Crossing<'t>;

impl Trail {
    /// The newest `rows` crossings that are `wanted`, which sees them without their steps.
    pub fn newest(&self, rows: usize, wanted: impl Fn(&Crossing<'_>) -> bool) -> Found<'_> {
        let mut found = Found::default();
        let first = self.heads.first();
        // For each head, which of the found it is.
        let mut places: Vec<Option<usize>> = Vec::new();
        places.resize(usize::try_from(self.heads.next() - first).unwrap_or_default(), None);
        for (place, slot) in (first..self.heads.next()).rev().zip(places.iter_mut().rev()) {
            let crossing = self.heads.get(place).and_then(|head| self.crossing(head));
            let Some(crossing) = crossing.filter(|one| wanted(one)) else { continue };
            if found.crossings.len() < rows {
                *slot = Some(found.crossings.len());
                found.crossings.push(crossing);
            } else {
                found.older += 1;
            }
        }
        let index = |track: Track| {
            let place = track.0.checked_sub(first + 1)?;
            *places.get(usize::try_from(place).ok()?)?
        };
        for place in self.steps.first()..self.steps.next() {
            let Some(step) = self.steps.get(place) else { continue };
            if let Some(crossing) = index(step.track).and_then(|at| found.crossings.get_mut(at)) {
                crossing.steps.push((step.at.since(crossing.begun.mono).as_micros() as u64, step.what));
            }
        }
        for (track, why) in &self.reasons {
            if let Some(crossing) = index(*track).and_then(|at| found.crossings.get_mut(at)) {
                crossing.why = Some(why);
            }
        }
        found.crossings.reverse();
        found
    }

    /// The newest crossing with that name.
    pub(in crate::gateway) fn find(&self, name: &str) -> Option<Track> {
        let is_it = |head: &Head| self.texts.get(head.texts, head.name) == Some(name);
        let mut places = (self.heads.first()..self.heads.next()).rev();
        places.find(|place| self.heads.get(*place).is_some_and(is_it)).map(|place| Track(place + 1))
    }

    /// The name of the crossing `track`.
    pub(in crate::gateway) fn name(&self, track: Track) -> Option<&str> {
        let head = self.head(track)?;
        self.texts.get(head.texts, head.name)
    }

    fn crossing(&self, head: &Head) -> Option<Crossing<'_>> {
        let mut at = head.texts;
        let mut next = |length: u16| {
            let text = self.texts.get(at, length);
            at += u64::from(length);
            text
        };
        let (name, from) = (next(head.name)?, next(head.from)?);
        let (to, policy) = (next(head.to)?, next(head.policy)?);
        let policy = match head.held {
            Held::None => None,
            Held::Global | Held::User => Some(policy.to_owned()),
            Held::Site => Some(format!("site:{policy}")),
        };
        Some(Crossing {
            name,
            direction: head.direction,
            kind: head.kind,
            from,
            to,
            policy: policy.map(|policy| (policy, head.at)),
            begun: head.begun,
            steps: Vec::new(),
            why: None,
        })
    }

    /// Somebody follows: the place to read from. None if `limit` follow already.
    pub fn follow(&mut self, limit: usize) -> Option<u64> {
        if self.followers >= limit {
            return None;
        }
        self.followers += 1;
        Some(self.steps.next())
    }

    /// A follower has left.
    pub fn unfollow(&mut self) {
        self.followers = self.followers.saturating_sub(1);
    }

    /// The next step from `place` on, which moves behind it.
    ///
    /// # Errors
    /// It is gone.
    pub fn next_event(&self, place: &mut u64) -> Result<Option<Event<'_>>, Cut> {
        if *place < self.steps.first() {
            return Err(Cut);
        }
        while let Some(&Step { track, at, what }) = self.steps.get(*place) {
            *place += 1;
            if let Some(mut crossing) = self.head(track).and_then(|head| self.crossing(head)) {
                crossing.steps.push((at.since(crossing.begun.mono).as_micros() as u64, what));
                if matches!(what, What::Failed | What::Returned(_) | What::Watch(_)) {
                    let why = self.reasons.iter().rev().find(|(of, _)| *of == track);
                    crossing.why = why.map(|(_, why)| &**why);
                }
                return Ok(Some(crossing));
            }
        }
        Ok(None)
    }

    /// What the stream or link was, if that is still known.
    pub fn of_via(&self, via: Carrier) -> Option<&End> {
        self.ends.iter().rev().find(|end| end.via == via)
    }

    /// Is the crossing `track` on record, and no older than `age` microseconds?
    pub(in crate::gateway) fn is_fresh(&self, now: Mono, track: Track, age: u64) -> bool {
        self.begun(track).is_some_and(|begun| now.as_micros().saturating_sub(begun.mono.as_micros()) <= age)
    }
}
