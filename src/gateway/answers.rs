//! SIP requests, from the wire to their answer.
//!
//! A request is matched to its server transaction, checked by the UAS, and then either answered at once
//! or held until the other side has what it carried. Its answer's headers are written when it comes in,
//! so that holding it costs one buffer and answering it one copy.

use super::Gateway;
use super::effect::Effect;
use super::meter::{Fate, MethodSlot};
use super::observe::Observation;
use super::sessions::SessionRef;
use super::stop::STOPPING;
use super::trail::{Carrier, Track, What};
use crate::addr::Jid;
use crate::body::BodyError;
use crate::bridge::errors::{StatusContext, condition_of, status_of};
use crate::crossing::{Crosses, Crossing, Direction, Kind};
use crate::ids::Id;
use crate::now::{Mono, Now};
use crate::sip::link::{LinkId, PeerId, Source};
use crate::sip::locate::Transport;
use crate::sip::message::{Message, Readable, Start};
use crate::sip::method::Method;
use crate::sip::name::Name;
use crate::sip::subscription::PACKAGE;
use crate::sip::txn::{AckFor, CancelAnswer, PeerKey, Received, RequestKey, ServerAction, ServerKey, Step};
use crate::sip::uas::{ALLOW, Examined, Reject, SUPPORTED, Uas};
use crate::sip::value::Via;
use crate::sip::write::{Writer, refusal_tail, response_tail};
use crate::sip::{Fault, status};
use crate::xmpp::StreamId;
use crate::xmpp::error::Condition;
use std::net::SocketAddr;

/// What answering a request needs.
pub struct Answerable {
    link: LinkId,
    transport: Transport,
    to: Option<SocketAddr>,
    peer: Option<PeerId>,
    method: MethodSlot,
    /// The header lines of any response to it, until the final one.
    tail: Vec<u8>,
    crossing: Option<Box<Carried>>,
    /// The session that it belongs to: that answers it.
    pub(super) session: Option<SessionRef>,
}

/// The message that a request carried over.
struct Carried {
    trace: Id,
    /// When the request came in.
    came: Mono,
    track: Track,
    from: Jid,
    to: Jid,
}

impl Answerable {
    /// What crosses with it, until that is answered.
    pub(super) fn carried(&self) -> Option<Crossing<'_>> {
        let Carried { from, to, .. } = self.crossing.as_deref()?;
        let direction = Direction::SipToXmpp;
        Some(Crossing { sender: from, target: to, direction, kind: Kind::Message })
    }

    /// Whose link it came over.
    pub(super) fn peer(&self) -> Option<PeerId> {
        self.peer
    }

    /// The link that it came over.
    pub(super) fn link(&self) -> LinkId {
        self.link
    }

    /// Did it come over `link`, and is its final response still to come?
    pub(super) fn is_owed_on(&self, link: LinkId) -> bool {
        self.link == link && self.is_owed()
    }

    /// Is its final response still to come?
    pub(super) fn is_owed(&self) -> bool {
        !self.tail.is_empty()
    }

    /// The request became a stanza with the id `trace`.
    pub(super) fn crossing(&mut self, now: Now, trace: Id, track: Track, from: Jid, to: Jid) {
        self.crossing = Some(Box::new(Carried { trace, came: now.mono, track, from, to }));
    }

    /// By what it came.
    pub(super) fn via(&self) -> Carrier {
        Carrier::Link(self.link)
    }
}

impl Gateway {
    /// One SIP message from a link, unfolded.
    pub(super) fn on_sip(&mut self, now: Now, source: &Source, octets: &[u8]) {
        match Message::parse(octets) {
            Ok(message) if message.method().is_some() => self.on_sip_request(now, source, &message),
            Ok(message) => self.on_response(now, &message),
            Err(error) => self.refuse_malformed(source, error.fault, error.readable.as_deref()),
        }
    }

    /// Octets that are no message: answered with what can be read of them (RFC 3261 §8.2, §18.3). The
    /// answer makes no transaction.
    pub(super) fn refuse_malformed(
        &mut self,
        source: &Source,
        fault: Fault,
        readable: Option<&Readable<'_>>,
    ) {
        // Over UDP anybody can be made to have asked: who is nobody's gets no answer that is longer than
        // the question.
        let is_open = source.transport != Transport::Udp || source.identity.peer.is_some();
        if let Some(request) = readable.filter(|_| is_open) {
            let mut tail = Vec::new();
            refusal_tail(request, self.ids.mint().as_str(), Some(source.address), &mut tail);
            let start = self.effects.mark();
            let reason = format!("{} ({fault})", status::reason(fault.status()));
            Writer::response_with(self.effects.buffer(), fault.status(), &reason, &tail).end();
            let octets = self.effects.since(start);
            let to = request.via().and_then(|via| reply_to(source, via));
            self.effects.push(Effect::SipSend { link: source.link, to, octets });
        }
        let (peer, status) = (source.identity.peer, fault.status());
        self.meter.answered(MethodSlot::OTHER, status);
        self.effects.observe(Observation::Refused { peer, status, why: fault.to_string() });
    }

    fn on_sip_request(&mut self, now: Now, source: &Source, message: &Message<'_>) {
        if let Some(peer) = source.identity.peer {
            self.with_peers(now, |peers, turn| peers.heard(turn, peer));
        }
        let key = request_key(source, message);
        if message.method() == Some(Method::Ack) {
            // An ACK is never answered; that of a 2xx belongs to a dialog.
            if self.servers.on_ack(now.mono, &key) != AckFor::Transaction && message.to().tag.is_some() {
                self.on_ack_in_dialog(now, source, message);
            }
            return;
        }
        let to = reply_to(source, message.via());
        let fresh = || Answerable {
            link: source.link,
            transport: source.transport,
            to,
            peer: source.identity.peer,
            method: MethodSlot::of(message.method()),
            tail: Vec::new(),
            crossing: None,
            session: None,
        };
        match self.servers.receive(now.mono, &key, source.transport.reliability(), fresh) {
            Received::New(server) => {
                let tag = self.servers.tag(server);
                if let Some(answerable) = self.servers.value(server) {
                    answerable.tail.reserve(octets_of_tail(message));
                    let tag = tag.as_ref().map(|tag| tag.as_str()).unwrap_or_default();
                    response_tail(message, tag, Some(source.address), &mut answerable.tail);
                }
                let octets = self.servers.value(server).map_or(0, |answerable| answerable.tail.len());
                if self.servers.hold(server, octets) {
                    self.on_new_request(now, server, source, message, &key);
                } else {
                    self.reject(now, server, &Reject::busy(5));
                }
            }
            Received::Absorbed => {}
            Received::Again(octets, answerable) => {
                let start = self.effects.mark();
                self.effects.buffer().extend_from_slice(octets);
                let octets = self.effects.since(start);
                self.effects.push(Effect::SipSend { link: answerable.link, to: answerable.to, octets });
            }
            Received::Replayed { status, tag } => {
                self.answer_once(source, message, to, status, tag.as_str(), &[])
            }
            Received::Merged(tag) => {
                self.answer_once(source, message, to, 482, tag.as_str(), &[]);
                self.meter.answered(MethodSlot::of(message.method()), 482);
                self.observe_refused(source.identity.peer, 482, "the same request came by two ways");
            }
            Received::Full => {
                let tag = self.ids.mint();
                self.answer_once(source, message, to, 503, tag.as_str(), &[(Name::RetryAfter, "5")]);
                self.meter.answered(MethodSlot::of(message.method()), 503);
                self.observe_refused(source.identity.peer, 503, "too many transactions are open");
            }
        }
    }

    fn on_new_request(
        &mut self,
        now: Now,
        server: ServerKey,
        source: &Source,
        message: &Message<'_>,
        key: &RequestKey<'_>,
    ) {
        if message.method() == Some(Method::Cancel) {
            let (answer, found) = self.servers.cancel(now.mono, key);
            self.respond(now, server, answer.status(), &[]);
            if let (CancelAnswer::Cancels, Some(invite)) = (answer, found) {
                self.on_session_cancelled(now, invite);
                self.respond(now, invite, 487, &[]);
            }
            return;
        }
        if self.guard.has_looped(message.vias().filter_map(|via| via.branch), message.from().tag) {
            return self.reject(now, server, &Reject::status(482, "a request of ours came back"));
        }
        match self.uas().examine(message, &source.identity) {
            // RFC 3261 §21.5.4: another server may take it, or this one in a moment.
            Ok(Examined::Message(request) | Examined::Invite(request)) if self.stopping => {
                let reject = Reject::status(503, STOPPING).with(Name::RetryAfter, "5");
                self.reject_request(now, server, &request.crossing(), None, &reject, Fate::Failed);
            }
            Ok(Examined::Message(request)) => self.on_request(now, server, request),
            Ok(Examined::Subscribe(request)) => {
                self.on_subscribe(now, server, request, source.transport == Transport::Tls);
            }
            Ok(Examined::Notify(request)) => self.on_notify(now, server, request),
            Ok(Examined::Invite(request)) => {
                self.on_session_invite(now, server, request, source.transport == Transport::Tls);
            }
            Ok(Examined::InDialog(request)) => self.on_session_request(now, server, request),
            Ok(Examined::Options) => {
                let headers = [
                    (Name::Allow, ALLOW),
                    (Name::Accept, crate::body::ACCEPT),
                    (Name::AcceptEncoding, crate::body::ACCEPT_ENCODING),
                    (Name::AllowEvents, PACKAGE),
                    (Name::Supported, SUPPORTED),
                ];
                self.respond(now, server, 200, &headers);
            }
            Err(reject) => self.reject(now, server, &reject),
        }
    }

    /// An ACK that no transaction takes, with a tag in To. What is wrong with it nobody hears.
    fn on_ack_in_dialog(&mut self, now: Now, source: &Source, message: &Message<'_>) {
        if let Ok(Examined::InDialog(ack)) = self.uas().examine(message, &source.identity) {
            self.on_session_ack(now, ack);
        }
    }

    fn uas(&self) -> Uas<'_> {
        let settings = &self.settings;
        Uas { name: &settings.name, domains: &settings.domain_names, map: settings.map_options() }
    }

    /// The stanza that a request became is with the other side, by `stream`: 202 (RFC 3428 §7), and no
    /// promise beyond that.
    pub(super) fn accept(&mut self, now: Now, key: ServerKey, stream: Option<StreamId>) {
        if !self.is_presence_trial(key) {
            self.counts.delivered[0] += 1;
        }
        let answerable = self.servers.value(key);
        let peer = answerable.as_ref().and_then(|answerable| answerable.peer);
        let carried = answerable.and_then(|answerable| answerable.crossing.take());
        if let Some(carried) = &carried {
            self.count_message(Direction::SipToXmpp, carried.to.domain(), peer, Fate::Delivered);
            self.meter.took(Direction::SipToXmpp, carried.came, now.mono);
            self.effects.trail.delivered(now, carried.track, stream);
        }
        if self.settings.deliveries
            && let Some(carried) = carried
        {
            self.effects.observe(Observation::Delivered {
                trace: carried.trace.to_string(),
                direction: Direction::SipToXmpp,
                from: carried.from,
                to: carried.to,
            });
        }
        match self.servers.value(key).and_then(|answerable| answerable.session) {
            Some(session) => self.sessions.on_stanza(session, key, true),
            None => self.respond(now, key, 202, &[]),
        }
    }

    /// The stanza that a request became will not be delivered: its sender hears so, once.
    pub(super) fn bounce(&mut self, now: Now, key: ServerKey, condition: Condition, why: &str) {
        self.counts.failed[0] += 1;
        let session = self.servers.value(key).and_then(|answerable| answerable.session);
        if let Some(session) = session {
            self.sessions.on_stanza(session, key, false);
        }
        self.note_trial(key, condition, why);
        let answer = status_of(condition, &StatusContext::default());
        let answerable = self.servers.value(key);
        let peer = answerable.as_ref().and_then(|answerable| answerable.peer);
        let carried = answerable.and_then(|answerable| answerable.crossing.take());
        if let Some(carried) = carried {
            self.count_message(Direction::SipToXmpp, carried.to.domain(), peer, Fate::Failed);
            self.forget_question(carried.trace.as_str());
            let told = Some(What::ToldSip(answer.status));
            self.effects.trail.fail(now.mono, carried.track, why, told);
            self.effects.observe(Observation::Failed {
                kind: Kind::Message,
                trace: carried.trace.to_string(),
                direction: Direction::SipToXmpp,
                from: carried.from,
                to: carried.to,
                condition,
                status: answer.status,
                why: why.to_owned(),
            });
        }
        let seconds = answer.retry_after.map(|seconds| seconds.to_string());
        let retry = seconds.as_deref().map(|seconds| (Name::RetryAfter, seconds));
        let diagnostics = self.diagnostics_of_route(condition);
        let diagnostics = diagnostics.as_deref().map(|value| (Name::MsDiagnostics, value));
        let headers: Vec<_> = retry.into_iter().chain(diagnostics).collect();
        self.respond(now, key, answer.status, &headers);
    }

    /// A request is refused.
    pub(super) fn reject(&mut self, now: Now, key: ServerKey, reject: &Reject) {
        let peer = self.servers.value(key).and_then(|answerable| answerable.peer);
        self.observe_refused(peer, reject.status, reject.why);
        self.note_trial(key, condition_of(reject.status), reject.why);
        let headers: Vec<(Name, &str)> =
            reject.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.turn_down(now, key, reject.status, &headers);
    }

    /// The same for a refusal that stands in the journal already.
    pub(super) fn turn_down(&mut self, now: Now, key: ServerKey, status: u16, headers: &[(Name, &str)]) {
        self.counts.failed[0] += 1;
        self.respond(now, key, status, headers);
    }

    fn observe_refused(&mut self, peer: Option<PeerId>, status: u16, why: &str) {
        self.effects.observe(Observation::Refused { peer, status, why: why.to_owned() });
    }

    /// Sends a response to `key`, if one may be sent.
    pub(super) fn respond(&mut self, now: Now, key: ServerKey, status: u16, headers: &[(Name, &str)]) {
        self.respond_with(now, key, status, headers, None);
    }

    /// The same with a body of that type.
    pub(super) fn respond_with(
        &mut self,
        now: Now,
        key: ServerKey,
        status: u16,
        headers: &[(Name, &str)],
        body: Option<(&str, &[u8])>,
    ) {
        let Some(answerable) = self.servers.value(key) else { return };
        let (link, to, method) = (answerable.link, answerable.to, answerable.method);
        let start = self.effects.mark();
        let mut writer = Writer::response(self.effects.buffer(), status, &answerable.tail);
        for (name, value) in headers {
            writer.header(*name, value);
        }
        match body {
            Some((content_type, body)) => writer.body(content_type, body),
            None => writer.end(),
        }
        let octets = self.effects.since(start);
        let response = self.effects.octets(&octets);
        match self.servers.respond(now.mono, key, status, response) {
            Ok(step) => {
                if let (Step::Kept(_, answerable), 200..) = (step, status) {
                    answerable.tail = Vec::new();
                }
                self.meter.answered(method, status);
                if !self.trials.is_on(link) {
                    self.effects.push(Effect::SipSend { link, to, octets });
                    return;
                }
                // Its sender is the operator.
                self.effects.rewind(start);
                self.on_trial_answered(now, link, status);
            }
            Err(_) => self.effects.rewind(start),
        }
    }

    /// Sends the 2xx to the INVITE of `key` again: its ACK has not come (RFC 3261 \u00a713.3.1.4).
    pub(super) fn repeat_ok(&mut self, key: ServerKey) {
        let Some((kept, answerable)) = self.servers.kept(key) else { return };
        let (link, to) = (answerable.link, answerable.to);
        let start = self.effects.mark();
        self.effects.buffer().extend_from_slice(kept);
        let octets = self.effects.since(start);
        self.effects.push(Effect::SipSend { link, to, octets });
    }

    /// Is `key` the request of a trial?
    pub(super) fn is_trial(&mut self, key: ServerKey) -> bool {
        !self.trials.is_empty()
            && self.servers.value(key).is_some_and(|answerable| self.trials.is_on(answerable.link))
    }

    fn is_presence_trial(&mut self, key: ServerKey) -> bool {
        !self.trials.is_empty()
            && self.servers.value(key).is_some_and(|answerable| self.trials.is_presence_on(answerable.link))
    }

    fn note_trial(&mut self, key: ServerKey, condition: Condition, why: &str) {
        if let Some(answerable) = self.servers.value(key) {
            self.trials.note(answerable.link, condition, why);
        }
    }

    /// The URI at which requests inside of the dialog that `key` makes find us.
    pub(super) fn contact_of(&mut self, key: ServerKey) -> String {
        let transport = self.servers.value(key).map_or(Transport::Tls, |answerable| answerable.transport);
        self.settings.sent(transport).contact()
    }

    /// Answers a request that has no transaction.
    fn answer_once(
        &mut self,
        source: &Source,
        message: &Message<'_>,
        to: Option<SocketAddr>,
        status: u16,
        tag: &str,
        headers: &[(Name, &str)],
    ) {
        let mut tail = Vec::with_capacity(octets_of_tail(message));
        response_tail(message, tag, Some(source.address), &mut tail);
        let start = self.effects.mark();
        let mut writer = Writer::response(self.effects.buffer(), status, &tail);
        for (name, value) in headers {
            writer.header(*name, value);
        }
        writer.end();
        let octets = self.effects.since(start);
        self.effects.push(Effect::SipSend { link: source.link, to, octets });
    }

    /// What the server transactions' timers want.
    pub(super) fn on_server_timers(&mut self, now: Now) {
        let Self { servers, effects, .. } = self;
        servers.on_timer(now.mono, &mut |_, mut step, answer| {
            let action = step.action();
            let answerable = step.value();
            let start = effects.mark();
            match (action, answer) {
                (ServerAction::Retransmit, Some(octets)) => effects.buffer().extend_from_slice(octets),
                // RFC 4320 §4.1: 100 to a non-INVITE, and not before Timer E has reached T2.
                (ServerAction::SendTrying, _) => {
                    Writer::response(effects.buffer(), 100, &answerable.tail).end()
                }
                _ => return,
            }
            let octets = effects.since(start);
            effects.push(Effect::SipSend { link: answerable.link, to: answerable.to, octets });
        });
    }
}

/// The refusal of a body.
pub(super) fn reject_body(error: &BodyError) -> Reject {
    let mut reject = Reject::status(error.status(), "the body is not what crosses");
    if let Some(accept) = error.accept() {
        reject = reject.with(Name::Accept, accept);
    }
    if let Some(encodings) = error.accept_encoding() {
        reject = reject.with(Name::AcceptEncoding, encodings);
    }
    reject
}

/// Room for the copied headers, so that they are copied once.
fn octets_of_tail(message: &Message<'_>) -> usize {
    256 + message.call_id().len()
        + message.from().spelt.len()
        + message.to().spelt.len()
        + 96 * message.via_count()
}

fn request_key<'m>(source: &Source, message: &'m Message<'_>) -> RequestKey<'m> {
    let via = message.via();
    let peer = source.identity.peer.map_or(0, |peer| u64::from(peer.0) + 1);
    RequestKey {
        peer: PeerKey(peer),
        method: message.method().map(|method| method.as_str()).unwrap_or_default(),
        request_uri: match message.start {
            Start::Request { uri, .. } => uri,
            Start::Response { .. } => "",
        },
        top_via: message.header(Name::Via).unwrap_or_default(),
        branch: via.branch,
        sent_by_host: via.host,
        sent_by_port: via.port,
        call_id: message.call_id(),
        from_tag: message.from().tag,
        to_tag: message.to().tag,
        cseq: message.cseq().number,
    }
}

/// Where an answer goes on a UDP socket; None: over the connection of its request (RFC 3261 §18.2.2,
/// RFC 3581 §4). Always to the address that the request came from, so nobody can aim us at a third party.
///
/// DEVIATES RFC 3261 §18.2.2: `maddr` names a third party that never asked, and no connection is made for
/// an answer whose connection is gone: the client comes again and gets the same answer.
fn reply_to(source: &Source, via: &Via<'_>) -> Option<SocketAddr> {
    match (source.transport, via.rport) {
        (Transport::Udp, Some(_)) => Some(source.address),
        (Transport::Udp, None) => {
            let port = via.port.unwrap_or(Transport::Udp.port());
            Some(SocketAddr::new(source.address.ip(), port))
        }
        (Transport::Tls | Transport::Tcp, _) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sip::link::LinkIdentity;

    #[test]
    fn check_152_a_response_over_udp_goes_back_to_where_its_request_came_from() {
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let source = |transport| Source {
            link: LinkId(1),
            transport,
            address: at("192.0.2.1:4540"),
            identity: LinkIdentity::default(),
        };
        let to = |via: &str| reply_to(&source(Transport::Udp), &Via::parse(via).unwrap());
        assert_eq!(to("SIP/2.0/UDP 10.1.1.1:5070;rport"), Some(at("192.0.2.1:4540")));
        assert_eq!(to("SIP/2.0/UDP 10.1.1.1:5070"), Some(at("192.0.2.1:5070")));
        assert_eq!(to("SIP/2.0/UDP victim.example.org"), Some(at("192.0.2.1:5060")));
        assert_eq!(to("SIP/2.0/UDP x;maddr=192.0.2.99;received=192.0.2.99"), Some(at("192.0.2.1:5060")));
        for transport in [Transport::Tcp, Transport::Tls] {
            let via = Via::parse("SIP/2.0/UDP 10.1.1.1:5070;rport").unwrap();
            assert_eq!(reply_to(&source(transport), &via), None, "by its connection, whatever Via says");
        }
    }
}
