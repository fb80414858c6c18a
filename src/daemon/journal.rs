//! The journal: where `tracing` goes, and how observations are written.
//!
//! Under systemd events go to journald with their fields (`STOXD_EVENT`, `STOXD_TRACE`, …), so that
//! `journalctl -u stoxd STOXD_EVENT=policy.deny` answers; else to standard error. What was allowed and
//! delivered is `debug`: a journal datagram costs more than a crossing. Addresses are masked at
//! `info`; secrets are in no event, and bodies only where `[log] message_bodies` switches them on.

use crate::addr::{Clean, Domain, Jid, Masked};
use crate::crossing::{Direction, Kind};
use crate::gateway::Settings;
use crate::gateway::observe::Observation;
use crate::sip::link::PeerId;
use crate::store::record::Watching;
use std::io::IsTerminal;
use std::sync::OnceLock;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

/// Where events go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The journal under systemd, else standard error.
    Auto,
    /// journald's socket.
    Journal,
    /// Standard error, one line an event.
    Stderr,
    /// Standard error, one JSON object a line.
    Json,
}

type Handle = reload::Handle<Targets, tracing_subscriber::Registry>;
static FILTER: OnceLock<Handle> = OnceLock::new();

/// What is logged at `level`.
fn filter(level: LevelFilter) -> Targets {
    // What libraries say is for their authors, unless something is wrong.
    Targets::new().with_default(LevelFilter::WARN).with_target("stoxd", level)
}

/// Logs at another level from now on. False if logging was never started.
pub fn set_level(level: LevelFilter) -> bool {
    FILTER.get().is_some_and(|handle| handle.reload(filter(level)).is_ok())
}

/// Starts logging at `level` and above. Called once.
pub fn start(target: Target, level: LevelFilter) {
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    let journal = matches!(target, Target::Journal) || (target == Target::Auto && under_systemd);
    let (ours, handle) = reload::Layer::new(filter(level));
    let _ = FILTER.set(handle);
    let registry = tracing_subscriber::registry().with(ours);
    if journal && let Ok(layer) = tracing_journald::layer() {
        let _ =
            registry.with(layer.with_field_prefix(None).with_syslog_identifier("stoxd".into())).try_init();
    } else if target == Target::Json {
        let layer = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
        let _ = registry.with(layer).try_init();
    } else {
        let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let layer = tracing_subscriber::fmt::layer()
            .with_target(false)
            .with_ansi(colour)
            .with_writer(std::io::stderr);
        let _ = registry.with(layer).try_init();
    }
}

/// Are deliveries wanted in the journal?
pub fn wants_deliveries() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::XmppToSip => "xmpp-to-sip",
        Direction::SipToXmpp => "sip-to-xmpp",
    }
}

/// What peers are called, for people.
pub struct Names {
    peers: Vec<String>,
    domains: Vec<(Domain, PeerId)>,
}

impl Names {
    /// The names in `settings`.
    pub fn of(settings: &Settings) -> Self {
        let peers = settings.peers.iter().map(|peer| peer.name.clone()).collect();
        Self { peers, domains: settings.domains.clone() }
    }

    fn peer(&self, peer: PeerId) -> &str {
        self.peers.get(usize::from(peer.0)).map_or("", String::as_str)
    }

    /// The two ends of a crossing: the partner's domain, and the peer that serves our user's.
    fn ends<'a>(&'a self, direction: Direction, from: &'a Jid, to: &'a Jid) -> (&'a str, &'a str) {
        let (ours, partner) = match direction {
            Direction::XmppToSip => (to.domain(), from.domain()),
            Direction::SipToXmpp => (from.domain(), to.domain()),
        };
        let peer = self.domains.iter().find(|(domain, _)| domain.as_str() == ours);
        (partner, peer.map_or("", |(_, peer)| self.peer(*peer)))
    }
}

/// Who invited, and who was invited.
fn invited<'a>(direction: Direction, user: &'a Jid, contact: &'a Jid) -> (&'a Jid, &'a Jid) {
    match direction {
        Direction::XmppToSip => (contact, user),
        Direction::SipToXmpp => (user, contact),
    }
}

/// Writes one observation.
pub fn write(observation: &Observation, names: &Names) {
    match observation {
        Observation::Delivered { trace, direction, from, to } => {
            let (partner, peer) = names.ends(*direction, from, to);
            tracing::debug!(
                stoxd_event = "message.delivered",
                stoxd_trace = trace.as_str(),
                stoxd_from = %from,
                stoxd_to = %to,
                stoxd_partner = partner,
                stoxd_peer = peer,
                "message delivered, {}",
                way(*direction)
            );
        }
        Observation::Text { trace, direction, from, to, text } => {
            let (partner, peer) = names.ends(*direction, from, to);
            tracing::info!(
                stoxd_event = "message.text",
                stoxd_trace = trace.as_str(),
                stoxd_from = %Masked(from.as_str()),
                stoxd_to = %Masked(to.as_str()),
                stoxd_partner = partner,
                stoxd_peer = peer,
                stoxd_body = text.as_str(),
                "message, {}",
                way(*direction)
            );
        }
        Observation::Failed { kind, trace, direction, from, to, condition, status, why } => {
            let (event, what) = match kind {
                Kind::Message => ("message.failed", "message not delivered"),
                Kind::Presence => ("subscription.failed", "subscription refused"),
            };
            let (partner, peer) = names.ends(*direction, from, to);
            tracing::info!(
                stoxd_event = event,
                stoxd_trace = trace.as_str(),
                stoxd_from = %Masked(from.as_str()),
                stoxd_to = %Masked(to.as_str()),
                stoxd_partner = partner,
                stoxd_peer = peer,
                stoxd_sip_code = status,
                stoxd_xmpp_error = condition.name(),
                "{what}, {}: {}",
                way(*direction),
                Clean(why)
            );
        }
        Observation::Denied { trace, direction, from, to, reason, policy } => {
            let (partner, peer) = names.ends(*direction, from, to);
            let policy = policy.as_ref().map(ToString::to_string);
            tracing::info!(
                stoxd_event = "policy.deny",
                stoxd_trace = trace.as_str(),
                stoxd_from = %Masked(from.as_str()),
                stoxd_to = %Masked(to.as_str()),
                stoxd_partner = partner,
                stoxd_peer = peer,
                stoxd_policy = policy,
                "refused by policy, {}: {reason}",
                way(*direction)
            );
        }
        Observation::Watch { trace, direction, watcher, presentity, change, why } => {
            let side = match direction {
                Watching::XmppWatchesSip => Direction::XmppToSip,
                Watching::SipWatchesXmpp => Direction::SipToXmpp,
            };
            let (partner, peer) = names.ends(side, watcher, presentity);
            let colon = if why.is_empty() { "" } else { ": " };
            tracing::info!(
                stoxd_event = change.event(),
                stoxd_trace = trace.as_str(),
                stoxd_from = %Masked(watcher.as_str()),
                stoxd_to = %Masked(presentity.as_str()),
                stoxd_partner = partner,
                stoxd_peer = peer,
                "presence, {}: {}{colon}{}",
                direction.as_str(),
                change.as_str(),
                Clean(why)
            );
        }
        Observation::Refused { peer, status, why } => tracing::info!(
            stoxd_event = "message.failed",
            stoxd_peer = peer.map(|peer| names.peer(peer)).unwrap_or_default(),
            stoxd_sip_code = status,
            "SIP request refused: {}",
            Clean(why)
        ),
        Observation::PairUp { local, remote, auth } => tracing::info!(
            stoxd_event = "stream.up",
            stoxd_partner = remote.as_str(),
            "stream {local} to {remote} up, {auth}"
        ),
        Observation::SessionUp { user, contact, direction, mode } => {
            let (from, to) = invited(*direction, user, contact);
            let (partner, peer) = names.ends(*direction, from, to);
            tracing::info!(
                stoxd_event = "session.up",
                stoxd_from = %Masked(from.as_str()),
                stoxd_to = %Masked(to.as_str()),
                stoxd_partner = partner,
                stoxd_peer = peer,
                "session open, {}, {mode}",
                way(*direction)
            );
        }
        Observation::SessionDown { user, contact, direction, mode, why, delivered, seconds } => {
            let (from, to) = invited(*direction, user, contact);
            let (partner, peer) = names.ends(*direction, from, to);
            let [to_xmpp, to_sip] = *delivered;
            tracing::info!(
                stoxd_event = "session.down",
                stoxd_from = %Masked(from.as_str()),
                stoxd_to = %Masked(to.as_str()),
                stoxd_partner = partner,
                stoxd_peer = peer,
                stoxd_texts_to_xmpp = to_xmpp,
                stoxd_texts_to_sip = to_sip,
                stoxd_seconds = seconds,
                "session over, {}, {mode}: {}",
                way(*direction),
                Clean(why)
            );
        }
        Observation::PairDown { local, remote, why, bounced } => {
            let why = Clean(why);
            if *bounced == 0 {
                tracing::info!(
                    stoxd_event = "stream.down",
                    stoxd_partner = remote.as_str(),
                    "stream {local} to {remote} down: {why}"
                );
            } else {
                tracing::warn!(
                    stoxd_event = "stream.down",
                    stoxd_partner = remote.as_str(),
                    bounced,
                    "stream {local} to {remote} down, messages returned to their senders: {why}"
                );
            }
        }
        Observation::PeerUp { peer, target } => tracing::info!(
            stoxd_event = "link.up",
            stoxd_peer = names.peer(*peer),
            "link up: {}",
            Clean(target)
        ),
        Observation::PeerDown { peer, why, bounced } => tracing::warn!(
            stoxd_event = "link.down",
            stoxd_peer = names.peer(*peer),
            bounced,
            "link down: {}",
            Clean(why)
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn who_invited_comes_first() {
        let (user, contact) =
            (Jid::parse("alice@contoso.example").unwrap(), Jid::parse("romeo@fabrikam.example").unwrap());
        assert_eq!(invited(Direction::XmppToSip, &user, &contact), (&contact, &user));
        assert_eq!(invited(Direction::SipToXmpp, &user, &contact), (&user, &contact));
    }
}
