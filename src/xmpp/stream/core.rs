//! What both roles share: the state of a stream, its end, and the way from an element to its handler.

use super::Purpose;
use super::event::{DownReason, Features, StreamEvent};
use super::header::{self, Dialback, Header, OfferTls, Version};
use super::table::{self, Input, Phase, Role, Rule};
use crate::addr::Domain;
use crate::ids::{Id, Ids};
use crate::now::{Mono, Now, Wall};
use crate::xml::{self, Element, Scope};
use crate::xmpp::dialback::{Outcome, Verify};
use crate::xmpp::error::{Condition, StreamCondition, StreamError};
use crate::xmpp::stanza;
use crate::xmpp::terms::{Auth, CertVerdict, Pair, PeerIdentity, Realm, Terms};
use crate::xmpp::{Settings, StreamId, ns};
use std::collections::VecDeque;
use std::time::Duration;

/// What the framer has to do before the next octet is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Begin a new stream, dropping what is there.
    Restart,
    /// The peer is authenticated: larger stanzas.
    Raise,
}

/// Whether more than white space had come behind the element at hand when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    Nothing,
    Octets,
}

/// A pair that this stream carries.
#[derive(Clone, Debug)]
pub(super) struct Proven {
    pub(super) pair: Pair,
    pub(super) auth: Auth,
}

/// A key that is out: offered to us and asked about (receiving), or offered by us (initiating).
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) pair: Pair,
    pub(super) deadline: Mono,
}

/// How many keys that a peer offered were not taken, from a certain time on.
#[derive(Clone, Copy, Debug)]
pub(super) struct RefusedKeys {
    pub(super) count: u8,
    pub(super) since: Mono,
}

/// A question of ours about a key, put or about to be put on this stream.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) verify: Verify,
    pub(super) asked: bool,
    pub(super) deadline: Mono,
}

/// When what happens by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// No pair may be unproven beyond this.
    pub(super) setup: Mono,
    /// When the peer was last heard.
    pub(super) heard: Mono,
    /// When a stanza last went over.
    pub(super) used: Mono,
    /// When we last sent a keepalive or a stanza.
    pub(super) sent: Mono,
    /// When the certificate that we rely on expires.
    pub(super) expiry: Option<Mono>,
    /// Until when the peer's close tag is awaited.
    pub(super) closing: Mono,
}

/// The state of a stream without its framer.
pub(super) struct Core {
    pub(super) id: StreamId,
    pub(super) role: Role,
    pub(super) purpose: Purpose,
    pub(super) settings: Settings,
    pub(super) phase: Phase,
    pub(super) out: Vec<u8>,
    pub(super) events: VecDeque<StreamEvent<'static>>,
    pub(super) framing: Option<Framing>,
    pub(super) scope: Scope,
    /// The id of the stream at hand: ours if receiving, the peer's if initiating.
    pub(super) stream_id: Box<str>,
    /// Receiving: an id for a header that has to be sent where nothing mints.
    pub(super) spare: Option<Id>,
    /// Whether the header of the stream at hand is out.
    pub(super) greeted: bool,
    /// The peer's `xml:lang`: the default of its stanzas.
    pub(super) lang: Option<Box<str>>,
    pub(super) local: Option<Domain>,
    pub(super) remote: Option<Domain>,
    /// Initiating: fixed. Receiving: those of the sender domain in the header, if it names one.
    pub(super) terms: Option<Terms>,
    pub(super) peer: Option<Box<dyn PeerIdentity + Send>>,
    /// The pair that SASL proved; it survives the restart that follows.
    pub(super) authenticated: Option<Pair>,
    pub(super) pairs: Vec<Proven>,
    pub(super) pending: Vec<Pending>,
    pub(super) questions: Vec<Question>,
    pub(super) sasl_failures: u8,
    /// Receiving: keys that were not taken.
    pub(super) refused_keys: RefusedKeys,
    /// Receiving: questions about keys of ours that came before a proof and were not answered `valid`.
    pub(super) wrong_questions: u8,
    /// Receiving: what our features on the stream at hand say of STARTTLS.
    pub(super) offered_tls: OfferTls,
    /// Initiating: whether the peer speaks dialback.
    pub(super) dialback: Dialback,
    /// Initiating: what the peer offered last, before it was proven.
    pub(super) peer_features: Option<Features>,
    pub(super) times: Times,
    /// Why our close tag was sent.
    pub(super) closing: DownReason,
}

impl Core {
    pub(super) fn secured(&self) -> bool {
        self.peer.is_some()
    }

    /// How dialback proves on this stream.
    pub(super) fn dialback_auth(&self) -> Auth {
        if self.secured() { Auth::TlsDialback } else { Auth::TcpDialback }
    }

    /// Whether the certificate proves `domain`; `None` without TLS.
    pub(super) fn verdict(&self, domain: &Domain, now: Now) -> Option<CertVerdict> {
        self.peer.as_ref().map(|peer| peer.judge(domain, now))
    }

    /// Whether the element is to be typed and handed out. On a live stream a look at its name tells
    /// enough: what turns out to be no stanza is an error there in any case.
    pub(super) fn takes_stanzas(&self, text: &str) -> bool {
        if self.role != Role::Receiving || self.pairs.is_empty() || !stanza::looks_like_stanza(text) {
            return false;
        }
        let is_stanza = || {
            xml::parse(text, &self.scope, &xml::Limits::default())
                .is_ok_and(|element| classify(&element) == Input::Stanza)
        };
        self.phase == Phase::Up || (self.phase == Phase::Closing && is_stanza())
    }

    pub(super) fn is_proven(&self, local: &str, remote: &str) -> bool {
        self.pairs.iter().any(|p| p.pair.remote.as_str() == remote && p.pair.local.as_str() == local)
    }

    /// Takes a pair as proven and says so.
    pub(super) fn prove(&mut self, now: Now, pair: Pair, auth: Auth) {
        // The terms may have changed while the peer's answer was on its way.
        if self.role == Role::Initiating && !self.terms.unwrap_or_default().ways().allow(auth) {
            return self.fail(StreamCondition::PolicyViolation);
        }
        if matches!(auth, Auth::External | Auth::Certificate) {
            // The monotonic clock counts it down, so that a leap of the wall clock ends no stream.
            let left = |end: Wall| end.as_millis().saturating_sub(now.wall.as_millis());
            let not_after = self.peer.as_ref().and_then(|peer| peer.not_after());
            self.times.expiry = not_after.map(|end| now.mono + Duration::from_millis(left(end)));
        }
        if self.phase != Phase::Up {
            self.phase = Phase::Up;
            (self.times.heard, self.times.used, self.times.sent) = (now.mono, now.mono, now.mono);
            if self.role == Role::Receiving {
                self.framing.get_or_insert(Framing::Raise);
            }
        }
        self.pairs.push(Proven { pair: pair.clone(), auth });
        self.events.push_back(StreamEvent::Up { pair, auth });
        self.ask_questions(now);
    }

    /// Begins a new stream on the same connection, with an empty memory (RFC 6120 §4.3.3, §5.4.3.3).
    pub(super) fn restart(&mut self) {
        self.framing = Some(Framing::Restart);
        self.phase = Phase::Header;
        self.scope = Scope::default();
        self.stream_id = Box::default();
        self.lang = None;
        self.greeted = false;
        self.dialback = Dialback::Silent;
        self.offered_tls = OfferTls::No;
        self.pairs.clear();
        self.pending.clear();
        if self.role == Role::Receiving {
            (self.local, self.remote, self.terms) = (None, None, None);
        }
    }

    /// Ends the stream with an error of ours.
    pub(super) fn fail(&mut self, error: impl Into<StreamError>) {
        let error = error.into();
        self.fail_as(error.clone(), DownReason::Failed(error));
    }

    /// Ends the stream with an error of ours for a reason that says more.
    pub(super) fn fail_as(&mut self, error: StreamError, reason: DownReason) {
        // During a handshake no XML goes out, and after our close tag nothing does.
        if !matches!(self.phase, Phase::Handshake | Phase::Closing | Phase::Closed) {
            self.greet_before_error();
            error.write(&mut self.out);
            self.out.extend_from_slice(b"</stream:stream>");
        }
        self.down(reason);
    }

    /// RFC 6120 §4.9.1.2: an error never comes before a header.
    fn greet_before_error(&mut self) {
        if self.greeted {
            return;
        }
        self.greeted = true;
        let id = self.spare.take();
        // RFC 6120 §4.9.1.3: a `to` that is not ours is answered from the empty string.
        Header {
            from: self.local.as_ref().map_or("", Domain::as_str),
            to: self.remote.as_ref().map(Domain::as_str),
            id: id.as_ref().map(Id::as_str),
            version: Version::Modern,
        }
        .write(&mut self.out);
    }

    /// Ends the stream at once; the close tag, if there is to be one, is written.
    pub(super) fn down(&mut self, reason: DownReason) {
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Closed;
        self.pairs.clear();
        self.give_up();
        self.events.push_back(StreamEvent::Down(reason));
    }

    /// Writes the close tag and ends the stream for `reason` without waiting for the peer's.
    pub(super) fn hang_up(&mut self, reason: DownReason) {
        if self.greeted && !matches!(self.phase, Phase::Handshake | Phase::Closing | Phase::Closed) {
            self.out.extend_from_slice(b"</stream:stream>");
        }
        self.down(reason);
    }

    /// Writes the close tag and waits for the peer's (RFC 6120 §4.4).
    pub(super) fn close(&mut self, now: Now, reason: DownReason) {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return;
        }
        if self.phase == Phase::Handshake || !self.greeted {
            return self.down(reason);
        }
        self.out.extend_from_slice(b"</stream:stream>");
        self.phase = Phase::Closing;
        self.closing = reason;
        self.times.closing = now.mono + self.settings.close_timeout;
        self.give_up();
    }

    /// The peer's close tag, the connection's end or the deadline came after our close tag.
    pub(super) fn closed(&mut self) {
        self.down(self.closing.clone());
    }

    /// What can no longer be answered is an error (XEP-0220 §2.1.2).
    fn give_up(&mut self) {
        self.pending.clear();
        for question in std::mem::take(&mut self.questions) {
            let answer = question.verify.answer(Outcome::Error(Condition::RemoteServerTimeout));
            self.events.push_back(StreamEvent::Verified(answer));
        }
    }

    /// Holds what is proven and what is about to be against the tables that were loaded anew.
    pub(super) fn on_reload(&mut self, realm: &dyn Realm) {
        let lost = |pair: &Pair, auth| {
            let local = pair.local.as_str();
            match realm.terms(Some(local), pair.remote.as_str()) {
                Err(refused) => Some(Some(refused)),
                Ok(terms) if !terms.ways().allow(auth) || !realm.serves(local) => Some(None),
                Ok(_) => None,
            }
        };
        match self.pairs.iter().find_map(|proven| lost(&proven.pair, proven.auth)) {
            None => {}
            Some(Some(refused)) => return self.refuse(refused),
            Some(None) => return self.fail(StreamCondition::PolicyViolation),
        }
        if let (Some(local), Some(remote)) = (&self.local, &self.remote) {
            match realm.terms(Some(local.as_str()), remote.as_str()) {
                Ok(terms) => self.terms = Some(terms),
                Err(refused) if self.pairs.is_empty() => return self.refuse(refused),
                Err(_) => {}
            }
        }
        if self.role == Role::Receiving {
            // What is found out about these keys comes too late.
            let auth = self.dialback_auth();
            let (gone, kept) =
                self.pending.drain(..).partition(|pending| lost(&pending.pair, auth).is_some());
            self.pending = kept;
            for Pending { pair, .. } in gone as Vec<Pending> {
                self.answer_key(&pair, Outcome::Error(Condition::NotAuthorized));
            }
        }
    }

    /// The peer's close tag.
    pub(super) fn on_footer(&mut self) {
        if self.phase == Phase::Closing {
            self.closed();
        } else {
            self.hang_up(DownReason::PeerClosed);
        }
    }

    /// The tag of the peer's stream header.
    pub(super) fn on_open(&mut self, text: &str, now: Now, realm: &dyn Realm, ids: &mut Ids) {
        match table::rule(self.role, self.phase, Input::Header) {
            Rule::Drop => {}
            Rule::Refuse(condition) => self.fail(condition),
            Rule::Take => match self.role {
                Role::Receiving => self.on_initial_header(text, now, realm, ids),
                Role::Initiating => self.on_response_header(text, now, realm),
            },
        }
    }

    /// A whole first-level element that is no stanza to be handed out.
    pub(super) fn on_element(&mut self, text: &str, behind: Behind, now: Now, realm: &dyn Realm) {
        let element = match xml::parse(text, &self.scope, &xml::Limits::default()) {
            Ok(element) => element,
            Err(error) => return self.fail(error),
        };
        let input = classify(&element);
        match table::rule(self.role, self.phase, input) {
            Rule::Drop => tracing::debug!(stream = self.id.0, ?input, "not asked for"),
            Rule::Refuse(condition) => self.fail(condition),
            Rule::Take => self.take(input, &element, behind, now, realm),
        }
    }

    fn take(&mut self, input: Input, element: &Element<'_>, behind: Behind, now: Now, realm: &dyn Realm) {
        match input {
            Input::StreamError => {
                self.hang_up(DownReason::PeerError(StreamError::read(element)));
            }
            Input::Features => self.on_features(element, now, realm),
            Input::StartTls => self.on_starttls(),
            Input::Proceed => self.on_proceed(),
            Input::TlsFailure => self.hang_up(DownReason::Tls),
            Input::Auth => self.on_auth(element, behind, now),
            Input::SaslReply => self.on_sasl_reply(element),
            Input::Success => self.on_success(),
            Input::SaslFailure => self.on_sasl_failure(element, now, realm),
            Input::ResultAsk => self.on_result_ask(element, now, realm),
            Input::ResultAnswer => self.on_result_answer(element, now),
            Input::VerifyAsk => self.on_verify_ask(element, realm),
            Input::VerifyAnswer => self.on_verify_answer(element),
            // The table takes these elsewhere or not at all.
            Input::Stanza | Input::Header | Input::Footer => {}
            Input::Challenge | Input::WrongNamespace | Input::Prefixed | Input::Foreign => {}
        }
    }

    /// A header of the peer's, checked as far as both roles have to.
    pub(super) fn check_header(open: &xml::Open<'_>) -> Result<Version, StreamCondition> {
        header::check_namespaces(open)?;
        header::version(open.version())
    }
}

/// What a first-level element is.
pub(super) fn classify(element: &Element<'_>) -> Input {
    let has_type = element.attr("type").is_some();
    match (element.ns(), element.name()) {
        (xml::ns::SERVER, _) if !element.prefix().is_empty() => Input::Prefixed,
        (xml::ns::SERVER, "message" | "presence" | "iq") => Input::Stanza,
        (xml::ns::CLIENT, "message" | "presence" | "iq") => Input::WrongNamespace,
        (xml::ns::STREAMS, "features") => Input::Features,
        (xml::ns::STREAMS, "error") => Input::StreamError,
        (ns::TLS, "starttls") => Input::StartTls,
        (ns::TLS, "proceed") => Input::Proceed,
        (ns::TLS, "failure") => Input::TlsFailure,
        (ns::SASL, "auth") => Input::Auth,
        (ns::SASL, "response" | "abort") => Input::SaslReply,
        (ns::SASL, "challenge") => Input::Challenge,
        (ns::SASL, "success") => Input::Success,
        (ns::SASL, "failure") => Input::SaslFailure,
        (xml::ns::DIALBACK, "result") if has_type => Input::ResultAnswer,
        (xml::ns::DIALBACK, "result") => Input::ResultAsk,
        (xml::ns::DIALBACK, "verify") if has_type => Input::VerifyAnswer,
        (xml::ns::DIALBACK, "verify") => Input::VerifyAsk,
        _ => Input::Foreign,
    }
}

/// The two addresses of a dialback element, canonical.
///
/// # Errors
/// `improper-addressing` if one is missing or malformed.
pub(super) fn addresses(element: &Element<'_>) -> Result<(Domain, Domain), StreamCondition> {
    let domain = |name| {
        element
            .attr(name)
            .and_then(|text| Domain::parse(text).ok())
            .ok_or(StreamCondition::ImproperAddressing)
    };
    Ok((domain("from")?, domain("to")?))
}

/// The outcome that the `type` of a dialback answer states; `None` for one that there is not.
pub(super) fn outcome(element: &Element<'_>) -> Option<Outcome> {
    match element.attr("type") {
        Some("valid") => Some(Outcome::Valid),
        Some("invalid") => Some(Outcome::Invalid),
        Some("error") => Some(Outcome::Error(crate::xmpp::error::read_error(element).condition)),
        Some(_) | None => None,
    }
}
