//! `stoxd trace`: what became of crossings, step by step, on record or live.
//!
//! | file | owns |
//! |---|---|
//! | this one | a crossing as the control socket carries it, and which ones are asked for |
//! | `verb` | the verb: asks, follows, prints |
//! | `ladder` | the picture |
//! | `packets` | the same for packet analysers and capture servers |
//!
//! Addresses are not masked: the socket is its owner's alone. There is no text of a message in the daemon's
//! record, so none can be printed.

mod ladder;
mod packets;
mod verb;

pub use ladder::Ladder;
pub(super) use verb::run;
pub use verb::{Format, TraceVerb};

use super::control::LINE_LIMIT;
use crate::crossing::{Direction, Kind};
use crate::gateway::Settings;
use crate::gateway::trail::{self, Carrier, Copied, CopiedTexts, Heading, Outcome, Trail};
pub use crate::gateway::trail::{Wanted, bare_of, domain_of};
use crate::now::Now;
use crate::policy::Table;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

/// Crossings of an answer at most.
pub const ROWS: usize = 2000;
/// Octets of crossings at most; the rest of the line is what stands around them.
const OCTETS: usize = LINE_LIMIT as usize - 65_536;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// It came.
    Came,
    /// Policy said yes.
    Allowed,
    /// Policy said no.
    Denied,
    /// It waits for a stream to the partner.
    WaitsForStream,
    /// It waits for a link to the peer.
    WaitsForLink,
    /// It waits for the messages before it.
    WaitsForTurn,
    /// What it became was written.
    Sent,
    /// A SIP response came.
    Answered,
    /// An error stanza came back.
    Returned,
    /// It failed here.
    Failed,
    /// Its sender was told.
    Told,
    /// Something became of the watch.
    Watch,
}

impl What {
    /// As JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Came => "came",
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::WaitsForStream => "waits-for-stream",
            Self::WaitsForLink => "waits-for-link",
            Self::WaitsForTurn => "waits-for-turn",
            Self::Sent => "sent",
            Self::Answered => "answered",
            Self::Returned => "returned",
            Self::Failed => "failed",
            Self::Told => "told",
            Self::Watch => "watch",
        }
    }
}

/// A stream or link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// "in#3" or "out#5", for a stream or link of that number, "in#2.3" of another shard; "#7" if nothing more is
    /// known.
    pub name: String,
    /// The far end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// How the far end was verified.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub verified: String,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Microseconds since the crossing began.
    pub after: u64,
    /// What happened.
    pub what: What,
    /// By which stream or link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
    /// The SIP status code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The condition of a stanza error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Why policy said no, or what became of the watch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A crossing, or one step of it for whoever follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossing {
    /// One name for both legs.
    pub trace: String,
    /// "sip-to-xmpp" or "xmpp-to-sip".
    pub direction: String,
    /// "message" or "subscription".
    pub kind: String,
    /// Who sent it.
    pub from: String,
    /// For whom.
    pub to: String,
    /// The XMPP side's domain.
    pub partner: String,
    /// The SIP peer that serves our user's domain.
    pub peer: String,
    /// When it came, in microseconds since 1970.
    pub begun: u64,
    /// "open", "delivered", "denied", "failed" or "ended".
    pub outcome: String,
    /// Our user's policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Where that stands: "policy.toml:22".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_at: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

impl Crossing {
    /// Does it come from one of our users?
    pub fn is_from_sip(&self) -> bool {
        self.direction == "sip-to-xmpp"
    }

    /// Is it a message?
    pub fn is_message(&self) -> bool {
        self.kind == "message"
    }

    /// Our user and the XMPP contact.
    pub fn sides(&self) -> (&str, &str) {
        if self.is_from_sip() { (&self.from, &self.to) } else { (&self.to, &self.from) }
    }

    /// Did that happen?
    pub fn has(&self, what: What) -> bool {
        self.steps.iter().any(|step| step.what == what)
    }
}

/// Answers with crossings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crossings {
    /// The newest of them that fit into an answer, the oldest first.
    pub crossings: Vec<Crossing>,
    /// How many older ones are on record that are asked for, too.
    pub older: usize,
}

impl Crossings {
    /// Those of several trails: the newest `limit` of them.
    pub fn together(parts: Vec<Self>, limit: usize) -> Self {
        let mut older = parts.iter().map(|part| part.older).sum();
        let mut crossings: Vec<Crossing> = parts.into_iter().flat_map(|part| part.crossings).collect();
        crossings.sort_by_key(|one| one.begun);
        let excess = crossings.len().saturating_sub(limit);
        older += excess;
        crossings.drain(..excess);
        Self { crossings, older }
    }
}

/// A SIP message or stanza that came or went, with its real head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// The crossing that it is of, or what its peer calls it.
    pub trace: String,
    /// When, in microseconds since 1970.
    pub at: u64,
    /// Did it come to us?
    pub came: bool,
    /// Is it a stanza?
    pub stanza: bool,
    /// By which stream or link.
    pub way: Way,
    /// Its octets, as Base64.
    pub octets: String,
    /// How many of them were left away at the end.
    pub cut: usize,
    /// Are texts in it as they were? Else their octets are replaced.
    pub texts: bool,
}

/// Copies for whoever watches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// In order.
    pub copies: Vec<Copy>,
    /// How many were lost before them, because they were not read fast enough.
    #[serde(default)]
    pub lost: u64,
}

/// Writes records out, with the names that they have now.
#[derive(Clone, Copy)]
pub struct Scribe<'s> {
    /// The record.
    pub trail: &'s Trail,
    /// Names of peers.
    pub settings: &'s Settings,
    /// Where policies stand.
    pub table: &'s Table,
}

impl Scribe<'_> {
    /// The newest crossings that `wanted` finds and that fit into an answer.
    pub fn newest(&self, rows: usize, wanted: impl Fn(&trail::Crossing<'_>) -> bool) -> Crossings {
        let found = self.trail.newest(rows, wanted);
        let mut all = Crossings { crossings: Vec::new(), older: found.older };
        let mut left = OCTETS;
        for crossing in found.crossings.iter().rev() {
            let written = self.crossing(crossing);
            let octets = serde_json::to_vec(&written).map_or(usize::MAX, |octets| octets.len() + 1);
            match left.checked_sub(octets) {
                Some(rest) if all.older == found.older => {
                    left = rest;
                    all.crossings.push(written);
                }
                Some(_) | None => all.older += 1,
            }
        }
        all.crossings.reverse();
        all
    }

    /// A crossing with its steps, or an event of it with one.
    pub fn crossing(&self, crossing: &trail::Crossing<'_>) -> Crossing {
        let (direction, local) = match crossing.direction {
            Direction::SipToXmpp => ("sip-to-xmpp", crossing.from),
            Direction::XmppToSip => ("xmpp-to-sip", crossing.to),
        };
        let kind = match crossing.kind {
            Kind::Message => "message",
            Kind::Presence => "subscription",
        };
        let (outcome, is_well) = match crossing.outcome() {
            Outcome::Open => ("open", crossing.kind == Kind::Message),
            Outcome::Delivered => ("delivered", true),
            Outcome::Denied => ("denied", false),
            Outcome::Failed => ("failed", false),
            Outcome::Ended => ("ended", false),
        };
        let peer = self.settings.peer_of(domain_of(local));
        let peer = peer.and_then(|peer| self.settings.peers.get(usize::from(peer.0)));
        let at = crossing.policy.as_ref().map(|(_, at)| self.table.show(*at));
        Crossing {
            trace: crossing.name.to_owned(),
            direction: direction.to_owned(),
            kind: kind.to_owned(),
            from: crossing.from.to_owned(),
            to: crossing.to.to_owned(),
            partner: domain_of(crossing.remote()).to_owned(),
            peer: peer.map(|peer| peer.name.clone()).unwrap_or_default(),
            begun: crossing.begun.wall.as_millis() * 1000,
            outcome: outcome.to_owned(),
            policy: crossing.policy.as_ref().map(|(policy, _)| policy.clone()),
            policy_at: at.filter(|at| !at.is_empty()),
            why: crossing.why.filter(|_| !is_well).map(str::to_owned),
            steps: crossing.steps.iter().map(|(after, what)| self.step(*after, *what)).collect(),
        }
    }

    /// A copy; `began` is when its watcher began to watch, by both clocks.
    pub fn copy(&self, began: Now, copied: &Copied) -> Copy {
        let mut way = self.way(copied.via);
        if let Some(far) = copied.far {
            way.address = Some(far.to_string());
        }
        let since = u64::try_from(copied.at.mono.since(began.mono).as_micros()).unwrap_or_default();
        Copy {
            trace: copied.trace.clone(),
            at: (began.wall.as_millis() * 1000).saturating_add(since),
            came: copied.heading == Heading::In,
            stanza: matches!(copied.via, Carrier::Stream(_)),
            way,
            octets: BASE64_STANDARD.encode(&copied.octets),
            cut: copied.length - copied.octets.len(),
            texts: copied.texts == CopiedTexts::Shown,
        }
    }

    fn step(&self, after: u64, what: trail::What) -> Step {
        let blank = |what| Step { after, what, way: None, status: None, condition: None, detail: None };
        match what {
            trail::What::Came(via) => Step { way: Some(self.way(via)), ..blank(What::Came) },
            trail::What::Admitted => blank(What::Allowed),
            trail::What::Denied(reason) => {
                Step { detail: Some(reason.as_str().to_owned()), ..blank(What::Denied) }
            }
            trail::What::WaitsForStream => blank(What::WaitsForStream),
            trail::What::WaitsForLink => blank(What::WaitsForLink),
            trail::What::WaitsForTurn => blank(What::WaitsForTurn),
            trail::What::Sent(via) => Step { way: Some(self.way(via)), ..blank(What::Sent) },
            trail::What::Answered(status) => Step { status: Some(status), ..blank(What::Answered) },
            trail::What::Returned(condition) => {
                Step { condition: Some(condition.name().to_owned()), ..blank(What::Returned) }
            }
            trail::What::Failed => blank(What::Failed),
            trail::What::ToldSip(status) => Step { status: Some(status), ..blank(What::Told) },
            trail::What::ToldXmpp(condition) => {
                Step { condition: Some(condition.name().to_owned()), ..blank(What::Told) }
            }
            trail::What::Watch(change) => {
                Step { detail: Some(change.as_str().to_owned()), ..blank(What::Watch) }
            }
        }
    }

    fn way(&self, via: Carrier) -> Way {
        let number = via.number();
        match self.trail.of_via(via) {
            None => Way { name: format!("#{number}"), ..Way::default() },
            Some(end) => Way {
                name: format!("{}#{number}", if end.initiating { "out" } else { "in" }),
                address: end.address.map(|address| address.to_string()),
                local: end.local.map(|address| address.to_string()),
                verified: end.verified.clone(),
            },
        }
    }
}

/// Microseconds as milliseconds with one digit.
pub(super) fn millis(micros: u64) -> String {
    format!("{}.{}", micros / 1000, micros / 100 % 10)
}

/// A point in time as people read it, in UTC: "2026-11-29 00:41:55.123".
pub(super) fn stamp(micros: u64) -> String {
    let stamp = i64::try_from(micros).ok().and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    stamp.map(|stamp| stamp.strftime("%Y-%m-%d %H:%M:%S.%3f").to_string()).unwrap_or_default()
}
