//! Trials: synthetic items of an operator's, by which the way of an ordinary one is tried.
//!
//! A trial comes in as its like would: for our user as a SIP request on a link that is authenticated for
//! the user's domain, for a contact as a stanza on a stream that is authenticated for the partner's. Both
//! are made here and go through the very machines, [`super::Gateway::on_sip`] and [`Stream`], so that the
//! UAS and the stream prove the sender, the budgets are charged, and the gate judges. What differs is the
//! end: what its sender would hear goes to the operator, and to nobody else.
//!
//! ```text
//!                 message                                    presence
//!  SIP → XMPP     stanza written (202) → ping → pong         probe written → ping → presence, or pong
//!                 or an error stanza, or any refusal         or an error stanza, or any refusal
//!  XMPP → SIP     2xx                                        SUBSCRIBE with Expires 0 (RFC 6665 §4.4.3):
//!                 or any refusal                             2xx → NOTIFY, or any refusal
//! ```
//!
//! XMPP has no receipt from a server. So the partner's server is pinged behind what was written
//! (XEP-0199), from domain to domain: its answer proves both ways. What it has to say of the stanza comes
//! before the pong, or, where a server works at both at once, within a moment of it.
//!
//! What is said stands in `texts`, and what is known of each in `running`.
//!
//! No trial leaves anything behind: no authorization, no watch, no contact.

mod running;
mod texts;

use super::Gateway;
use super::effect::{Due, Effect, Timer};
use super::outgoing::{EventLoad, Load, Outgoing, Undelivered};
use super::pairs::Awaits;
use super::presence::EventOf;
use crate::addr::Jid;
use crate::crossing::{Crossing, Direction, Kind};
use crate::ids::Ids;
use crate::now::Now;
use crate::policy::{Admitted, Reason};
use crate::sip::link::{LinkId, LinkIdentity, Source};
use crate::sip::locate::Transport;
use crate::sip::message::Message;
use crate::sip::name::Name;
use crate::sip::status;
use crate::sip::subscription::Subscriber;
use crate::sip::txn::ServerKey;
use crate::sip::uas;
use crate::xml::write;
use crate::xmpp::error::stanza::read_error;
use crate::xmpp::error::{Condition, StanzaError};
use crate::xmpp::stanza::{Iq, PresenceType, Stanza, StanzaKind};
use crate::xmpp::{self, Outcome as Dialback, Realm, Stream, StreamEvent, ns};
use running::Running;
pub(super) use running::Trials;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use texts::{Vouched, greeting, stanza_text, write_request};

/// Trials at once.
const TRIALS: usize = 8;
/// How long a trial may take.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Stanzas of trials that are over, whose late errors are for nobody.
const ENDED: usize = 64;
/// How long after the pong an error may still come.
const GRACE: Duration = Duration::from_millis(500);

/// What is tried.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Who seems to send it: our user or a contact.
    pub from: Jid,
    /// Whom it is for, on the other side.
    pub to: Jid,
    /// A message or presence.
    pub kind: Kind,
    /// What a message says.
    pub text: String,
}

/// One trial, for as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrialId(pub u32);

/// Why there is no trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTrial {
    /// Both addresses are in domains of ours.
    #[error("both addresses are on the SIP side: one of them has to be a partner's")]
    BothOurs,
    /// Neither is.
    #[error("neither address is in a [[domain]] of ours")]
    NeitherOurs,
    /// An address has no localpart.
    #[error("an address names no user")]
    NoUser,
    /// Too many run.
    #[error("too many tests are running; try again in a moment")]
    TooMany,
}

/// How far a trial has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// It waits for a stream, a link or an answer.
    Sent,
    /// The other side has it; what shows that it works has not come.
    Taken,
}

/// What a trial came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It works, and what the other side said.
    Works(String),
    /// Policy says no: the gate, and our user's policy if it came to that.
    Denied(Reason, Option<String>),
    /// It was refused, or could not be delivered.
    Failed {
        /// As XMPP says it.
        condition: Condition,
        /// As SIP says it.
        status: u16,
        /// Why, for people.
        why: String,
    },
    /// Nothing came in time.
    Late(Stage),
}

impl Gateway {
    /// Begins a trial; it ends with one [`Effect::Tried`], which may be among the effects already.
    ///
    /// # Errors
    /// [`NoTrial`]: nothing was begun.
    pub fn begin_trial(&mut self, now: Now, trial: &Trial) -> Result<TrialId, NoTrial> {
        let (from, to) = (trial.from.to_bare(), trial.to.to_bare());
        let ours = |jid: &Jid| self.settings.peer_of(jid.domain()).is_some();
        let direction = match (ours(&from), ours(&to)) {
            (true, true) => return Err(NoTrial::BothOurs),
            (false, false) => return Err(NoTrial::NeitherOurs),
            (true, false) => Direction::SipToXmpp,
            (false, true) => Direction::XmppToSip,
        };
        if from.local().is_none() || to.local().is_none() {
            return Err(NoTrial::NoUser);
        }
        if self.trials.running.len() >= TRIALS {
            return Err(NoTrial::TooMany);
        }
        self.trials.next = self.trials.next.wrapping_add(1);
        let id = TrialId(self.trials.next);
        let until = now.mono + PATIENCE;
        self.trials.running.push(Running {
            id,
            from,
            to,
            kind: trial.kind,
            began: now.mono,
            until,
            stage: Stage::Sent,
            link: None,
            stanza: None,
            ping: None,
            subscriber: None,
            why: None,
            denied: None,
            answered: None,
        });
        self.due.push(Due { at: until, what: Timer::Trial(id) });
        match direction {
            Direction::SipToXmpp => self.try_request(now, id, trial),
            Direction::XmppToSip => self.try_stanza(now, id, trial),
        }
        let denied = self.trials.find(|one| one.id == id).and_then(|one| one.denied.take());
        if let Some((reason, policy)) = denied {
            self.end_trial(now, id, Outcome::Denied(reason, policy));
        }
        self.settle_presence(now);
        self.collect_deadlines();
        Ok(id)
    }

    /// The trial as a request of our user's.
    fn try_request(&mut self, now: Now, id: TrialId, trial: &Trial) {
        let (from, to) = (trial.from.to_bare(), trial.to.to_bare());
        let Some(peer) = self.settings.peer_of(from.domain()) else { return };
        let link = self.mint_link();
        if let Some(one) = self.trials.find(|one| one.id == id) {
            one.link = Some(link);
        }
        let mut octets = Vec::new();
        write_request(trial.kind, (&from, &to), &trial.text, &self.settings.name, &mut self.ids, &mut octets);
        let domains = [from.to_domain()].into();
        let identity = LinkIdentity { peer: Some(peer), domains };
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        self.on_sip(now, &Source { link, transport: Transport::Tls, address, identity }, &octets);
    }

    /// The trial as a stanza of a contact's, on a stream that the contact's server has opened to us.
    fn try_stanza(&mut self, now: Now, id: TrialId, trial: &Trial) {
        let (from, to) = (trial.from.to_bare(), trial.to.to_bare());
        let realm = self.realm();
        let stanza_id = self.ids.mint();
        if let Some(one) = self.trials.find(|one| one.id == id) {
            one.stanza = Some(stanza_id.as_str().into());
        }
        let ways = realm.terms(Some(to.domain()), from.domain()).map(xmpp::Terms::ways).unwrap_or_default();
        let number = self.mint_stream();
        let mut stream = Stream::receiving(number, realm.xmpp(), now, &mut self.ids);
        let mut steps = greeting(ways, from.domain(), to.domain());
        steps.push(stanza_text(trial.kind, (&from, &to), stanza_id.as_str(), &trial.text));
        if ways.sasl || ways.tls_dialback {
            stream.handle_tls(Box::new(Vouched(from.domain().into())));
        }
        for step in steps {
            stream.push(step.as_bytes());
            let mut keys = Vec::new();
            let mut mint = Ids::new(self.ids.octets(), crate::ids::Owner::default());
            while let Some(event) = stream.next_event(now, &realm, &mut mint) {
                match event {
                    StreamEvent::Stanza(stanza) => self.on_stanza(now, number, stanza),
                    // The operator vouches for the partner, not a server of its domain.
                    StreamEvent::VerifyWanted(verify) => keys.push(verify.answer(Dialback::Valid)),
                    StreamEvent::Down(reason) => {
                        let outcome = self.why_not(id, &reason.to_string());
                        return self.end_trial(now, id, outcome);
                    }
                    StreamEvent::Up { .. }
                    | StreamEvent::StartTls
                    | StreamEvent::Iq(_)
                    | StreamEvent::Misaddressed(_)
                    | StreamEvent::Verified(_)
                    | StreamEvent::PairRefused { .. } => {}
                }
            }
            for answer in keys {
                stream.handle_verified(now, &answer);
            }
        }
    }

    /// A partner's stream would be refused: by policy, or by its terms.
    fn why_not(&mut self, id: TrialId, why: &str) -> Outcome {
        let failed = || Outcome::Failed {
            condition: Condition::RemoteServerTimeout,
            status: 504,
            why: format!("a stream of the partner would be refused: {why}"),
        };
        let Some(one) = self.trials.find(|one| one.id == id) else { return failed() };
        let (sender, target, kind) = (one.from.clone(), one.to.clone(), one.kind);
        let crossing = Crossing { sender: &sender, target: &target, direction: Direction::XmppToSip, kind };
        match self.judge(&crossing) {
            Err(denial) => Outcome::Denied(denial.reason, denial.policy.map(|policy| policy.to_string())),
            Ok(_) => failed(),
        }
    }

    fn end_trial(&mut self, now: Now, id: TrialId, outcome: Outcome) {
        let Some(at) = self.trials.running.iter().position(|one| one.id == id) else { return };
        let one = self.trials.running.swap_remove(at);
        let took = now.mono.since(one.began);
        if let (Some(_), Some(stanza)) = (one.link, one.stanza) {
            self.trials.ended.truncate(ENDED - 1);
            self.trials.ended.push_front(stanza);
        }
        self.effects.push(Effect::Tried { trial: id, outcome, took });
    }

    /// A trial's deadline.
    pub(super) fn on_trial_timer(&mut self, now: Now, id: TrialId) {
        let Some(one) = self.trials.find(|one| one.id == id) else { return };
        let outcome = match one.answered {
            Some(at) if at <= now.mono => match one.kind {
                Kind::Message => Outcome::Works("the partner's server has it, and answers".to_owned()),
                Kind::Presence => Outcome::Works(
                    "the partner's server answers, but says nothing of the contact: no authorization"
                        .to_owned(),
                ),
            },
            _ if one.until <= now.mono => Outcome::Late(one.stage),
            Some(_) | None => return,
        };
        self.end_trial(now, id, outcome);
    }

    /// Should a SUBSCRIBE or NOTIFY of ours still be sent?
    pub(super) fn still_counts(&self, event: &EventLoad) -> bool {
        match event.of {
            EventOf::Trial(trial) => self.trials.is_running(trial),
            EventOf::Subscribe { .. } | EventOf::Notify { .. } => self.presence.still_counts(event),
        }
    }

    /// Looks whether a stanza ends a trial; true if it is for nobody else.
    pub(super) fn is_of_trial(&mut self, now: Now, stanza: &Stanza<'_>) -> bool {
        if stanza.type_() == Some("error") {
            return self.on_trial_error(now, stanza);
        }
        stanza.kind == StanzaKind::Presence && self.on_trial_presence(now, stanza)
    }

    /// A final response to the request of a trial, which nobody else hears.
    pub(super) fn on_trial_answered(&mut self, now: Now, link: LinkId, status: u16) {
        let Some(one) = self.trials.find(|one| one.link == Some(link)) else { return };
        if (200..300).contains(&status) {
            one.stage = Stage::Taken;
            let (id, local, remote) = (one.id, one.from.to_domain(), one.to.to_domain());
            return self.ping_partner(now, id, local.as_str(), remote.as_str());
        }
        let id = one.id;
        let (condition, why) = match one.why.take() {
            Some((condition, why)) => (condition, why),
            None => (crate::bridge::errors::condition_of(status), status::reason(status).to_owned()),
        };
        let outcome = match one.denied.take() {
            Some((reason, policy)) => Outcome::Denied(reason, policy),
            None => Outcome::Failed { condition, status, why },
        };
        self.end_trial(now, id, outcome);
    }

    fn ping_partner(&mut self, now: Now, id: TrialId, local: &str, remote: &str) {
        let ping = self.ids.mint();
        if let Some(one) = self.trials.find(|one| one.id == id) {
            one.ping = Some(ping.as_str().into());
        }
        let start = self.effects.mark();
        write::open(self.effects.buffer(), "iq")
            .attr("from", local)
            .attr("to", remote)
            .attr("id", ping.as_str())
            .attr("type", "get")
            .content(|out| write::open(out, "ping").xmlns(ns::PING).empty());
        self.send_stanza(now, (local, remote), start);
    }

    /// An iq that answers the ping of a trial; false if it is none.
    pub(super) fn on_trial_pong(&mut self, now: Now, iq: &Iq<'_>) -> bool {
        if !matches!(iq.type_(), Some("result" | "error")) {
            return false;
        }
        let is_it = |one: &Running| {
            one.ping.is_some() && one.ping.as_deref() == iq.id() && one.to.domain() == iq.from.domain()
        };
        let Some(one) = self.trials.find(is_it) else { return false };
        let at = now.mono + GRACE;
        one.answered = Some(at);
        let what = Timer::Trial(one.id);
        self.due.push(Due { at, what });
        true
    }

    /// An error that answers a trial's stanza; false if it does not.
    pub(super) fn on_trial_error(&mut self, now: Now, stanza: &Stanza<'_>) -> bool {
        let is_it = |one: &Running| {
            one.link.is_some()
                && one.stanza.is_some()
                && one.stanza.as_deref() == stanza.id()
                && one.to.domain() == stanza.from.domain()
        };
        let Some(one) = self.trials.find(is_it) else {
            // Nobody is told of what came late, least of all the user in whose name it was sent.
            return self.trials.ended.iter().any(|ended| Some(&**ended) == stanza.id());
        };
        let id = one.id;
        let error = read_error(&stanza.element);
        let outcome = returned(&error);
        self.end_trial(now, id, outcome);
        true
    }

    /// What a contact's server says of the contact, if a trial asked for that. True if it is for nobody else:
    /// that a probe is refused decides nothing about a subscription that may be asked for.
    pub(super) fn on_trial_presence(&mut self, now: Now, stanza: &Stanza<'_>) -> bool {
        let is_it = |one: &Running| {
            one.kind == Kind::Presence
                && one.stage == Stage::Taken
                && one.link.is_some()
                && one.to.bare_str() == stanza.from.bare_str()
                && one.from.bare_str() == stanza.to.bare_str()
        };
        let Some(one) = self.trials.find(is_it) else { return false };
        let type_ = stanza.presence_type();
        let said = match type_ {
            Some(PresenceType::Available) => "the contact is online",
            Some(PresenceType::Unavailable) => "the contact is offline",
            Some(PresenceType::Unsubscribed) => {
                "the partner's server answers: the user is not authorized to see the contact"
            }
            Some(
                PresenceType::Subscribe
                | PresenceType::Subscribed
                | PresenceType::Unsubscribe
                | PresenceType::Probe
                | PresenceType::Error,
            )
            | None => return false,
        };
        let id = one.id;
        self.end_trial(now, id, Outcome::Works(said.to_owned()));
        type_ == Some(PresenceType::Unsubscribed)
    }

    /// A trial's SUBSCRIBE that may cross: the contact's server is asked, and nothing is kept.
    pub(super) fn try_probe(&mut self, now: Now, key: ServerKey, admitted: &Admitted<uas::Request<'_>>) {
        let (user, contact) = (&admitted.sender, &admitted.target);
        let id = self.ids.mint();
        let is_it =
            |one: &Running| one.from.bare_str() == user.bare_str() && one.to.bare_str() == contact.bare_str();
        if let Some(one) = self.trials.find(|one| one.link.is_some() && one.stanza.is_none() && is_it(one)) {
            one.stanza = Some(id.as_str().into());
        }
        let start = self.effects.mark();
        let text = stanza_text(Kind::Presence, (user, contact), id.as_str(), "");
        self.effects.buffer().extend_from_slice(text.as_bytes());
        let pair = (user.domain(), contact.domain());
        if let Err(condition) = self.queue_stanza(now, pair, start, Some(Awaits::Request(key))) {
            self.bounce(now, key, condition, "no stream to the partner");
        }
    }

    /// A trial's probe that may cross: the user's server is asked once.
    pub(super) fn try_fetch(&mut self, now: Now, admitted: &Admitted<Stanza<'_>>) {
        let Some(peer) = self.settings.peer_of(admitted.to.domain()) else { return };
        let Self { trials, guard, ids, .. } = self;
        let Some(one) = trials.find(|one| one.stanza.as_deref() == admitted.id()) else { return };
        let made = Subscriber::new(&admitted.from, &admitted.to, 0, guard, ids);
        let request = made.ok().and_then(|subscriber| one.subscriber.insert(subscriber).subscribe(0));
        let id = one.id;
        let Some(request) = request else {
            let condition = Condition::JidMalformed;
            let why = "an address is too long for SIP".to_owned();
            return self.end_trial(now, id, Outcome::Failed { condition, status: 484, why });
        };
        let load = Load::Event(Box::new(EventLoad { request, of: EventOf::Trial(id) }));
        let timeout = self.settings.pairs.queue_timeout;
        self.send_message(now, Outgoing::new(now.mono, peer, load, timeout));
    }

    /// A final response to a trial's SUBSCRIBE.
    pub(super) fn on_trial_fetched(&mut self, now: Now, id: TrialId, code: u16) {
        if (200..300).contains(&code) {
            if let Some(one) = self.trials.find(|one| one.id == id) {
                one.stage = Stage::Taken;
            }
            return;
        }
        let condition = crate::bridge::errors::condition_of(code);
        let why = status::reason(code).to_owned();
        self.end_trial(now, id, Outcome::Failed { condition, status: code, why });
    }

    /// A NOTIFY that ends a trial; false if it belongs to none.
    pub(super) fn on_trial_notified(&mut self, now: Now, message: &Message<'_>) -> bool {
        let (call_id, tag) = (message.call_id(), message.to().tag);
        let is_it = |one: &Running| one.subscriber.as_ref().is_some_and(|dialog| dialog.is(call_id, tag));
        let Some(one) = self.trials.find(is_it) else { return false };
        let id = one.id;
        let state = message.header(Name::SubscriptionState).unwrap_or_default();
        let state = crate::body::charset::one_line(state, 80);
        self.end_trial(now, id, Outcome::Works(format!("the SIP server answers: {state}")));
        true
    }

    /// A trial's message, or its SUBSCRIBE, is not delivered; false if it is none's.
    pub(super) fn on_trial_failed(&mut self, now: Now, stanza: Option<&str>, failure: &Undelivered) -> bool {
        let Some(one) = self.trials.find(|one| one.stanza.is_some() && one.stanza.as_deref() == stanza)
        else {
            return false;
        };
        let id = one.id;
        self.end_trial(now, id, undelivered(failure));
        true
    }

    /// A trial's SUBSCRIBE could not be sent, or got no answer.
    pub(super) fn on_trial_unfetched(&mut self, now: Now, id: TrialId, failure: &Undelivered) {
        self.end_trial(now, id, undelivered(failure));
    }

    /// A trial's message was taken by the user's server.
    pub(super) fn on_trial_delivered(&mut self, now: Now, stanza: Option<&str>) {
        let Some(one) = self.trials.find(|one| one.stanza.is_some() && one.stanza.as_deref() == stanza)
        else {
            return;
        };
        let id = one.id;
        self.end_trial(now, id, Outcome::Works("the SIP server took it".to_owned()));
    }

    /// A trial's stanza goes back to its sender, who is the operator; false if it is none's.
    pub(super) fn on_trial_returned(
        &mut self,
        now: Now,
        stanza: &Stanza<'_>,
        error: &StanzaError<'_>,
    ) -> bool {
        let Some(one) = self.trials.find(|one| one.stanza.is_some() && one.stanza.as_deref() == stanza.id())
        else {
            return false;
        };
        let id = one.id;
        let outcome = match one.denied.take() {
            Some((reason, policy)) => Outcome::Denied(reason, policy),
            None => returned(error),
        };
        self.end_trial(now, id, outcome);
        true
    }
}

fn undelivered(failure: &Undelivered) -> Outcome {
    let Undelivered { condition, status, why, .. } = failure.clone();
    let why = if why.is_empty() { status::reason(status).to_owned() } else { why };
    Outcome::Failed { condition, status, why }
}

fn returned(error: &StanzaError<'_>) -> Outcome {
    let condition = error.condition;
    let context = crate::bridge::errors::StatusContext::default();
    let status = crate::bridge::errors::status_of(condition, &context).status;
    let text = error.text.as_deref().map(|text| crate::body::charset::one_line(text, 200).into_owned());
    Outcome::Failed { condition, status, why: text.unwrap_or_else(|| condition.name().to_owned()) }
}
