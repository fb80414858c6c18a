//! Synthetic exchanges, as `stoxd test` and `[selftest] every` want them: the trial is the gateway's; here
//! what it came to gets its words. Where a server could not be reached, it is dialled once more, step by
//! step, to see which step fails.

use super::Daemon;
use super::look::{advice, reach};
use crate::addr::Masked;
use crate::admin::control::Answer;
use crate::admin::selftest::{Kind, Report};
use crate::config::settings::SelfTest;
use crate::crossing::{self, Direction};
use crate::gateway::trial::{Outcome, PATIENCE, Stage, Trial};
use crate::net::probe::{self, Step};
use crate::policy::Reason;
use crate::policy::written::Pair;
use crate::xmpp::{self, Condition, Realm};
use std::rc::Rc;
use std::time::Duration;

const UNNAMED: &str = "--from and --to are needed, or [selftest] from and to in the configuration";

/// Why a test failed.
struct Why {
    class: &'static str,
    text: String,
}

impl Why {
    fn new(class: &'static str, text: impl Into<String>) -> Self {
        Self { class, text: text.into() }
    }
}

impl Daemon {
    /// Tests the way from `from` to `to`; who is not named is taken from the configuration.
    pub(super) async fn test(
        &self,
        kind: Kind,
        from: Option<String>,
        to: Option<String>,
        text: Option<String>,
    ) -> Answer {
        let set = self.selftest.borrow().clone();
        let (from, to) =
            match (from.or(set.as_ref().map(|set| set.from.clone())), to.or(set.map(|set| set.to))) {
                (Some(from), Some(to)) => (from, to),
                (_, _) => return Answer::Misused(UNNAMED.to_owned()),
            };
        let settings = self.shard.gateway().settings().clone();
        let pair = match Pair::parse(&from, &to, |domain| settings.peer_of(domain).is_some()) {
            Ok(pair) => pair,
            Err((true, error)) => return Answer::Misused(format!("--from {}: {error}", from.escape_debug())),
            Err((false, error)) => return Answer::Misused(format!("--to {}: {error}", to.escape_debug())),
        };
        match self.try_out(kind, &pair, text).await {
            Ok(report) => Answer::Test(report),
            Err(why) => Answer::Failed(why),
        }
    }

    async fn try_out(&self, kind: Kind, pair: &Pair, text: Option<String>) -> Result<Report, String> {
        let stamp = self.shard.clock.now().wall.as_secs();
        let text = text.unwrap_or_else(|| format!("stoxd test message {stamp}"));
        let kind = match kind {
            Kind::Im => crossing::Kind::Message,
            Kind::Presence => crossing::Kind::Presence,
        };
        let trial = Trial { from: pair.from.clone(), to: pair.to.clone(), kind, text };
        let owner = self.shard.place.of_user(pair.local().bare_str());
        let begun = self.shard.ask(owner, move |shard| shard.try_out(&trial)).await;
        let told = begun.map_err(|silent| silent.to_string())?.map_err(|error| error.to_string())?;
        // The gateway keeps the deadline.
        let (outcome, took) = told.await.unwrap_or((Outcome::Late(Stage::Sent), PATIENCE));
        Ok(self.report(pair, outcome, took).await)
    }

    async fn report(&self, pair: &Pair, outcome: Outcome, took: Duration) -> Report {
        let denied = matches!(outcome, Outcome::Denied(..));
        let (error, why) = match outcome {
            Outcome::Works(said) => (None, Why::new("", said)),
            Outcome::Denied(reason, policy) => {
                let why = refused(pair, reason, policy.as_deref());
                (Some("403 forbidden".to_owned()), why)
            }
            Outcome::Failed { condition, status, why } => {
                let error = format!("{status} {condition}");
                (Some(error), self.failed(pair, condition, status, &why).await)
            }
            Outcome::Late(stage) => {
                (Some("504 remote-server-timeout".to_owned()), self.late(pair, stage).await)
            }
        };
        Report {
            from: pair.shown_from(),
            target: pair.shown_to(),
            result: if error.is_none() { "Success" } else { "Failure" }.to_owned(),
            latency: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            class: error.is_some().then(|| why.class.to_owned()),
            error,
            diagnosis: why.text,
            denied,
        }
    }

    async fn failed(&self, pair: &Pair, condition: Condition, status: u16, why: &str) -> Why {
        let is_out_of_reach =
            matches!(condition, Condition::RemoteServerNotFound | Condition::RemoteServerTimeout);
        if is_out_of_reach && let Some(seen) = self.examine(pair, why).await {
            return seen;
        }
        let class = if is_out_of_reach { "connection" } else { "refused" };
        let who = match pair.direction {
            Direction::SipToXmpp => format!("the partner {} answers {condition}", pair.to.domain()),
            Direction::XmppToSip => format!("the SIP server of {} answers {status}", pair.to.domain()),
        };
        Why::new(class, format!("{who}: {why}"))
    }

    async fn late(&self, pair: &Pair, stage: Stage) -> Why {
        let seconds = PATIENCE.as_secs();
        match (stage, pair.direction) {
            (Stage::Sent, _) => {
                let why = format!("nothing within {seconds} s");
                let seen = self.examine(pair, &why).await;
                seen.unwrap_or_else(|| Why::new("timeout", format!("timeout: {why}")))
            }
            (Stage::Taken, Direction::SipToXmpp) => {
                let (ours, theirs) = (pair.from.domain(), pair.to.domain());
                Why::new(
                    "timeout",
                    format!(
                        "timeout: {theirs} took it and answers nothing within {seconds} s; it may not reach us: \
                         _xmpp-server._tcp.{ours} must lead here, and no firewall be before it (stoxd check dns)"
                    ),
                )
            }
            (Stage::Taken, Direction::XmppToSip) => Why::new(
                "timeout",
                format!("timeout: the SIP server took the SUBSCRIBE and sent no NOTIFY within {seconds} s"),
            ),
        }
    }

    /// Dials whoever could not be reached, step by step.
    async fn examine(&self, pair: &Pair, why: &str) -> Option<Why> {
        match pair.direction {
            Direction::SipToXmpp => self.examine_partner(pair, why).await,
            Direction::XmppToSip => self.examine_peer(pair, why).await,
        }
    }

    async fn examine_partner(&self, pair: &Pair, why: &str) -> Option<Why> {
        let (ours, domain) = (pair.from.to_domain(), pair.to.to_domain());
        let (terms, proxy) = self.shard.gateway().route_to(domain.as_str())?;
        let secret = Some(self.shard.realm().dialback_secret().into());
        let between = xmpp::Pair { local: ours.clone(), remote: domain.clone() };
        let attempt = probe::xmpp::Attempt { pair: between, terms, proxy, secret };
        let mut ids = self.shard.seed_ids();
        let report = probe::xmpp::probe(&self.shard.dialer, &self.shard.clock, &attempt, &mut ids).await;
        Some(match report.outcome {
            Ok(_) => again(why),
            Err(fault) => {
                let advice = advice::for_partner(&fault, ours.as_str(), domain.as_str());
                Why::new(class(fault.step), format!("{}; {advice}", reach::cause(&fault)))
            }
        })
    }

    async fn examine_peer(&self, pair: &Pair, why: &str) -> Option<Why> {
        let domain = pair.to.to_domain();
        let settings = self.shard.gateway().settings().clone();
        let peer = settings.peer_of(domain.as_str())?;
        let name = settings.peer(peer).map(|peer| peer.name.clone()).unwrap_or_default();
        let (us, sent_by) = (settings.name.clone(), settings.sent_by.clone());
        let attempt = probe::sip::Attempt { peer, domain: domain.to_ascii().into_owned(), sent_by, name: us };
        let mut ids = self.shard.seed_ids();
        let report = probe::sip::probe(&self.shard.dialer, &self.shard.clock, &attempt, &mut ids).await;
        Some(match report.outcome {
            Ok(_) => again(why),
            Err(fault) => {
                let advice = advice::for_peer(&fault, &name);
                Why::new(class(fault.step), format!("{}; {advice}", reach::cause(&fault)))
            }
        })
    }
}

/// It failed, and does not when it is looked at.
fn again(why: &str) -> Why {
    Why::new("connection", format!("{why}; a connection made just now works, so try again"))
}

/// The class of a failure, as JSON has it.
fn class(step: Step) -> &'static str {
    match step {
        Step::Dns => "dns",
        Step::Connect => "connection",
        Step::Tls => "tls",
        Step::Certificate => "certificate",
        Step::Refused => "refused",
        Step::Sasl => "authentication",
        Step::Dialback => "dialback",
        Step::Timeout => "timeout",
        Step::NotTried => "not-tried",
    }
}

fn refused(pair: &Pair, reason: Reason, policy: Option<&str>) -> Why {
    let (user, contact) = (pair.local(), pair.remote());
    let (domain, policy) = (contact.domain(), policy.unwrap_or("in effect"));
    let partner = |why: &str, fix: String| {
        Why::new("partner-not-allowed", format!("partner not allowed: {why}; fix: {fix}"))
    };
    let denied = |why: String| {
        let (from, to) = (pair.shown_from(), pair.shown_to());
        Why::new(
            "policy-denied",
            format!("policy denied: {why}; see: stoxd policy test --from {from} --to {to}"),
        )
    };
    match reason {
        Reason::FederationOff => {
            partner("the organisation's switch is off", "stoxd federation enable".to_owned())
        }
        Reason::Unlisted => {
            partner(&format!("{domain} is not listed"), format!("stoxd partner new {domain}"))
        }
        Reason::DomainBlocked => partner(&format!("{domain} is blocked"), format!("stoxd unblock {domain}")),
        Reason::AddressBlocked => denied(format!("{contact} is blocked")),
        Reason::PolicyFederation => denied(format!("the policy {policy} of {user} has federation off")),
        Reason::PolicyXmpp => denied(format!("the policy {policy} of {user} has xmpp off")),
        Reason::NotAdded => {
            denied(format!("{domain} is public-unverified, and {user} has not added {contact}"))
        }
        Reason::Unverifiable => denied(format!(
            "the SIP server of {user} is always-unverifiable, and {contact} has not added {user}"
        )),
    }
}

/// Runs the test of `[selftest] every`, for ever; a failure is an error in the journal (F111).
pub(super) async fn watch(daemon: Rc<Daemon>) {
    loop {
        let set = daemon.selftest.borrow().clone();
        match set {
            Some(SelfTest { from, to, every: Some(every) }) => {
                tokio::select! {
                    () = daemon.retimed.notified() => {}
                    () = tokio::time::sleep(every) => run_by_itself(&daemon, from, to).await,
                }
            }
            Some(_) | None => daemon.retimed.notified().await,
        }
    }
}

async fn run_by_itself(daemon: &Rc<Daemon>, from: String, to: String) {
    let (why, report) = match daemon.test(Kind::Im, Some(from), Some(to), None).await {
        Answer::Test(report) if report.error.is_none() => {
            let to = report.target;
            tracing::info!(
                stoxd_event = "selftest.passed",
                stoxd_to = %Masked(&to),
                "the self-test passed in {} ms",
                report.latency
            );
            return;
        }
        Answer::Test(report) => (report.diagnosis.clone(), Some(report)),
        Answer::Failed(why) | Answer::Misused(why) => (why, None),
        _ => return,
    };
    let error = report.and_then(|report| report.error).unwrap_or_default();
    tracing::error!(stoxd_event = "selftest.failed", "the self-test failed, {error}: {why}");
}
