//! The initiating role: from the first header to a proven pair, or to a stream for verification.
//!
//! The terms are fixed when the stream is made. SASL over TLS is preferred to dialback over TLS, and
//! that to dialback without; the table of `Ways` says what is open at all.

use super::Purpose;
use super::core::{Core, Framing, Pending, Question, addresses, outcome};
use super::event::{DownReason, Features, SendError, StreamEvent};
use super::header::{Dialback, Header, OfferTls, Offered, Version};
use super::table::Phase;
use crate::addr::Domain;
use crate::now::Now;
use crate::xml::{self, Element};
use crate::xmpp::dialback::{self, Outcome, Verify};
use crate::xmpp::sasl;
use crate::xmpp::terms::{Auth, CertVerdict, Need, Pair, Realm, Terms};

impl Core {
    /// Writes our header.
    pub(super) fn greet(&mut self) {
        self.greeted = true;
        Header {
            from: self.local.as_ref().map_or("", Domain::as_str),
            to: self.remote.as_ref().map(Domain::as_str),
            id: None,
            version: Version::Modern,
        }
        .write(&mut self.out);
    }

    /// The pair that the stream was opened for.
    pub(super) fn own_pair(&self) -> Option<Pair> {
        self.local.clone().zip(self.remote.clone()).map(|(local, remote)| Pair { local, remote })
    }

    /// The response header. Its `from` is not looked at: identity comes from the certificate or from
    /// having dialled the domain (RFC 6120 §4.7.1 asks to be liberal).
    pub(super) fn on_response_header(&mut self, text: &str, now: Now, realm: &dyn Realm) {
        let open = match xml::parse_open(text) {
            Ok(open) => open,
            Err(error) => return self.fail(error),
        };
        let version = match Self::check_header(&open) {
            Ok(version) => version,
            Err(condition) => return self.fail(condition),
        };
        self.stream_id = Box::from(open.id().filter(|id| dialback::is_usable(id)).unwrap_or_default());
        self.dialback = if open.has_dialback() { Dialback::Declared } else { Dialback::Silent };
        self.scope = open.into_scope();
        match version {
            Version::Modern => self.phase = Phase::Features,
            // No features will come; the peer may know STARTTLS all the same.
            Version::Legacy => {
                self.phase = Phase::Features;
                self.on_offered(Offered { tls: OfferTls::No, external: false, dialback: false }, now, realm);
            }
        }
    }

    /// `<stream:features/>`.
    pub(super) fn on_features(&mut self, features: &Element<'_>, now: Now, realm: &dyn Realm) {
        self.on_offered(Offered::read(features), now, realm);
    }

    fn on_offered(&mut self, offered: Offered, now: Now, realm: &dyn Realm) {
        let terms = self.terms.unwrap_or_default();
        if offered.dialback {
            self.dialback = Dialback::Declared;
        }
        if let Some(pair) = self.authenticated.take() {
            return self.prove(now, pair, Auth::External);
        }
        self.peer_features =
            Some(Features { external: offered.external, dialback: self.dialback == Dialback::Declared });
        if !self.secured() {
            match (terms.tls, offered.tls) {
                // RFC 7590 §3.1: an attacker may have stripped the offer, so it is tried in any case.
                (Need::Required, _) | (Need::Optional, OfferTls::Optional | OfferTls::Required) => {
                    return self.start_tls();
                }
                (Need::NotSupported, OfferTls::Required) => return self.hang_up(DownReason::Tls),
                // DEVIATES RFC 7590 §3.1: where the terms make TLS optional, a peer that does not
                // offer it is taken at its word, because its refusal would end the connection.
                (Need::Optional, OfferTls::No) | (Need::NotSupported, OfferTls::No | OfferTls::Optional) => {}
            }
        }
        match self.purpose {
            Purpose::Send => self.authenticate(terms, offered.external, now, realm),
            Purpose::Verify => self.get_ready(terms, now),
        }
    }

    fn start_tls(&mut self) {
        self.out.extend_from_slice(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        self.phase = Phase::Proceed;
    }

    /// `<proceed/>`.
    pub(super) fn on_proceed(&mut self) {
        self.framing = Some(Framing::Restart);
        self.phase = Phase::Handshake;
        self.events.push_back(StreamEvent::StartTls);
    }

    /// Takes the best way that is open.
    fn authenticate(&mut self, terms: Terms, external: bool, now: Now, realm: &dyn Realm) {
        let ways = terms.ways();
        let verdict = self.remote.as_ref().and_then(|remote| self.verdict(remote, now));
        match (verdict, &self.local) {
            (Some(CertVerdict::Valid), Some(local)) if ways.sasl && external => {
                sasl::write_auth(&mut self.out, local.as_str());
                self.phase = Phase::Success;
                return;
            }
            _ => {}
        }
        if ways.dialback(self.secured()) && self.speaks_dialback() {
            return self.offer_key(now, realm);
        }
        self.hang_up(match verdict {
            Some(CertVerdict::Invalid(fault)) if ways.sasl => DownReason::Certificate(fault),
            Some(CertVerdict::Valid) if ways.sasl && !external => DownReason::ExternalNotOffered,
            Some(_) | None => DownReason::NoWay,
        });
    }

    /// A stream for verification needs no authentication, only what the terms say of TLS.
    fn get_ready(&mut self, terms: Terms, now: Now) {
        if !terms.ways().dialback(self.secured()) || !self.speaks_dialback() {
            return self.hang_up(DownReason::NoWay);
        }
        self.phase = Phase::Ready;
        self.times.used = now.mono;
        self.ask_questions(now);
    }

    fn speaks_dialback(&self) -> bool {
        self.dialback == Dialback::Declared && !self.stream_id.is_empty()
    }

    /// Offers the first key.
    fn offer_key(&mut self, now: Now, realm: &dyn Realm) {
        self.phase = Phase::Result;
        if let Some(pair) = self.own_pair() {
            self.write_key(pair, now, realm);
        }
    }

    fn write_key(&mut self, pair: Pair, now: Now, realm: &dyn Realm) {
        let (local, remote) = (pair.local.as_str(), pair.remote.as_str());
        let key = dialback::key(realm.dialback_secret(), remote, local, &self.stream_id);
        dialback::write_result(&mut self.out, local, remote, &key);
        self.pending.push(Pending { pair, deadline: now.mono + self.settings.establishment_timeout });
    }

    /// Offers a key for a further pair (XEP-0220 §2.6).
    pub(super) fn propose(&mut self, pair: Pair, now: Now, realm: &dyn Realm) -> Result<(), SendError> {
        if self.phase != Phase::Up {
            return Err(SendError::NotOpen);
        }
        if self.is_proven(pair.local.as_str(), pair.remote.as_str())
            || self.pending.iter().any(|pending| pending.pair == pair)
        {
            return Ok(());
        }
        let ways = realm.terms(Some(pair.local.as_str()), pair.remote.as_str()).map(Terms::ways);
        let open = ways.is_ok_and(|ways| ways.dialback(self.secured()));
        if !open || self.remote.as_ref() != Some(&pair.remote) || !self.speaks_dialback() {
            return Err(SendError::NoDialback);
        }
        if self.pairs.len() + self.pending.len() >= self.settings.pairs {
            return Err(SendError::Full);
        }
        self.write_key(pair, now, realm);
        Ok(())
    }

    /// `<success/>`: the same connection begins anew.
    pub(super) fn on_success(&mut self) {
        self.restart();
        self.authenticated = self.own_pair();
        self.greet();
    }

    /// `<failure/>` of SASL: dialback if it is open, else the end.
    pub(super) fn on_sasl_failure(&mut self, failure: &Element<'_>, now: Now, realm: &dyn Realm) {
        let ways = self.terms.unwrap_or_default().ways();
        if ways.dialback(self.secured()) && self.speaks_dialback() {
            return self.offer_key(now, realm);
        }
        self.hang_up(DownReason::Sasl(sasl::read_failure(failure)));
    }

    /// The answer to a key of ours. One that answers no key of this stream is not believed
    /// (XEP-0220 §3.1).
    pub(super) fn on_result_answer(&mut self, element: &Element<'_>, now: Now) {
        let (Ok((remote, local)), Some(outcome)) = (addresses(element), outcome(element)) else { return };
        let pair = Pair { local, remote };
        let Some(at) = self.pending.iter().position(|pending| pending.pair == pair) else { return };
        self.pending.swap_remove(at);
        match outcome {
            Outcome::Valid => self.prove(now, pair, self.dialback_auth()),
            Outcome::Invalid | Outcome::Error(_) if self.phase == Phase::Up => {
                self.events.push_back(StreamEvent::PairRefused { pair, outcome });
            }
            Outcome::Invalid | Outcome::Error(_) => self.hang_up(DownReason::Dialback(outcome)),
        }
    }

    /// Takes a question for the peer as authoritative server; it is asked as soon as that can be.
    pub(super) fn ask(&mut self, verify: Verify, now: Now) -> Result<(), (SendError, Verify)> {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return Err((SendError::NotOpen, verify));
        }
        if self.questions.len() >= self.settings.questions {
            return Err((SendError::Full, verify));
        }
        let deadline = now.mono + self.settings.verify_timeout;
        self.questions.push(Question { verify, asked: false, deadline });
        self.ask_questions(now);
        Ok(())
    }

    /// Writes the questions that wait, if the stream is ready for them.
    pub(super) fn ask_questions(&mut self, now: Now) {
        if !matches!(self.phase, Phase::Ready | Phase::Up) {
            return;
        }
        for question in self.questions.iter_mut().filter(|question| !question.asked) {
            question.asked = true;
            dialback::write_verify(&mut self.out, &question.verify);
            (self.times.used, self.times.sent) = (now.mono, now.mono);
        }
    }

    /// The answer to a question of ours. It is believed only if `from`, `to` and `id` are those of a
    /// question that was asked on this very stream (XEP-0220 §3.1).
    pub(super) fn on_verify_answer(&mut self, element: &Element<'_>) {
        let (Ok((remote, local)), Some(outcome)) = (addresses(element), outcome(element)) else { return };
        let id = element.attr("id").unwrap_or_default();
        let found = self.questions.iter().position(|question| {
            let asked = &question.verify;
            question.asked && asked.pair.local == local && asked.pair.remote == remote && *asked.id == *id
        });
        let Some(found) = found else { return };
        let question = self.questions.swap_remove(found);
        self.events.push_back(StreamEvent::Verified(question.verify.answer(outcome)));
    }

    /// The handshake that the driver made is done.
    pub(super) fn begin_over_tls(&mut self) {
        self.restart();
        self.greet();
    }
}
