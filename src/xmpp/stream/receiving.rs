//! The receiving role: what the peer that opened the stream says before it is proven.
//!
//! A pair is proven by SASL EXTERNAL or by dialback, never by what a header says. Nothing that was
//! learnt before TLS is known after it.

use super::core::{Behind, Core, Framing, Pending, RefusedKeys, addresses};
use super::event::{DownReason, StreamEvent};
use super::header::{Header, Offer, OfferTls, Version};
use super::table::Phase;
use crate::addr::Domain;
use crate::ids::Ids;
use crate::now::Now;
use crate::xml::{self, Element};
use crate::xmpp::dialback::{self, Outcome, Verify, VerifyAnswer};
use crate::xmpp::error::{Condition, StreamCondition, StreamError};
use crate::xmpp::sasl::{self, SaslCondition};
use crate::xmpp::stanza;
use crate::xmpp::terms::{Auth, CertVerdict, Need, Pair, Realm, Refused, Terms, Ways};
use std::time::Duration;

/// The longest language tag that is kept, in octets (RFC 5646 §4.4.1 recommends to allow for 35).
const LANG_MAX: usize = 35;
/// Keys of which so many are not taken within [`REFUSED_KEYS_WINDOW`] end the stream, whatever was
/// wrong with them: each costs us an answer, and some a question to another server.
const REFUSED_KEYS_MAX: u8 = 10;
/// A stream that lives by other pairs may have keys refused now and then. By default a stream without
/// a pair does not live so long.
const REFUSED_KEYS_WINDOW: Duration = Duration::from_secs(60);
/// Questions about keys of ours that may come in vain on a stream without a pair. A server that asks
/// about keys that we gave out gets `valid`, as often as it likes.
const WRONG_QUESTIONS_MAX: u8 = 20;

impl Core {
    /// The initial stream header: answered in kind, then features or the error that is due.
    pub(super) fn on_initial_header(&mut self, text: &str, now: Now, realm: &dyn Realm, ids: &mut Ids) {
        self.stream_id = Box::from(ids.mint().as_str());
        let open = match xml::parse_open(text) {
            Ok(open) => open,
            // A stanza where a header belongs is one before authentication (RFC 6120 §4.3.5).
            Err(_) if stanza::looks_like_stanza(text) => return self.fail(StreamCondition::NotAuthorized),
            Err(error) => return self.fail(error),
        };
        let domain = |text: Option<&str>| text.map(|text| Domain::parse(text).map_err(drop));
        let (from, to) = (domain(open.from()), domain(open.to()));
        self.local = to.clone().and_then(Result::ok).filter(|to| realm.serves(to.as_str()));
        // After SASL it is clear who speaks.
        let proven = self.authenticated.as_ref().map(|pair| pair.remote.clone());
        self.remote = from.clone().map_or(proven, Result::ok);
        let checked = Self::check_header(&open).and_then(|version| match (from, to) {
            (_, None | Some(Err(()))) | (Some(Err(())), _) => Err(StreamCondition::ImproperAddressing),
            (_, Some(Ok(to))) if !realm.serves(to.as_str()) => Err(StreamCondition::HostUnknown),
            (Some(Ok(from)), _) if realm.serves(from.as_str()) => Err(StreamCondition::InvalidFrom),
            (_, Some(Ok(_))) => Ok(version),
        });
        let refused = self.learn_terms(realm);
        self.greeted = true;
        Header {
            from: self.local.as_ref().map_or("", Domain::as_str),
            to: self.remote.as_ref().map(Domain::as_str),
            id: Some(&self.stream_id),
            version: *checked.as_ref().unwrap_or(&Version::Modern),
        }
        .write(&mut self.out);
        self.lang = open.lang().filter(|lang| lang.len() <= LANG_MAX).map(Box::from);
        self.scope = open.into_scope();
        match (checked, refused) {
            (Err(condition), _) => self.fail(condition),
            (Ok(_), Err(refused)) => self.refuse(refused),
            (Ok(version), Ok(())) => self.offer_features(version, now, realm),
        }
    }

    /// Asks the realm for the terms of the header's domains.
    fn learn_terms(&mut self, realm: &dyn Realm) -> Result<(), Refused> {
        self.terms = match (&self.local, &self.remote) {
            (Some(local), Some(remote)) => Some(realm.terms(Some(local.as_str()), remote.as_str())?),
            _ => None,
        };
        Ok(())
    }

    /// Ends the stream of a domain that has no terms. The peer learns no more than that.
    pub(super) fn refuse(&mut self, refused: Refused) {
        let error =
            StreamError::with_text(StreamCondition::PolicyViolation, "no federation with this domain");
        self.fail_as(error, DownReason::Refused(refused));
    }

    fn offer_features(&mut self, version: Version, now: Now, realm: &dyn Realm) {
        if let Some(pair) = self.authenticated.take() {
            return self.on_header_after_sasl(pair, version, now);
        }
        // Without a sender domain the terms are not known yet: whatever some partner may use is
        // offered, and dialback names the domain whose terms then decide.
        let ways = self.terms.map_or_else(|| realm.any_ways(), Terms::ways);
        let dialback = ways.dialback(self.secured());
        if version == Version::Legacy {
            // No features, so dialback or nothing.
            return if dialback {
                self.phase = if self.secured() { Phase::Secure } else { Phase::Clear };
            } else {
                self.fail(StreamError::with_text(StreamCondition::PolicyViolation, "XMPP 1.0 is required"));
            };
        }
        if self.secured() {
            self.offer_authentication(ways, dialback, now);
        } else {
            self.offer_tls(ways, dialback);
        }
    }

    fn offer_tls(&mut self, ways: Ways, dialback: bool) {
        if ways == Ways::default() {
            return self.fail(StreamCondition::PolicyViolation);
        }
        self.offered_tls = match self.terms.map(|terms| terms.tls) {
            Some(Need::Required) => OfferTls::Required,
            None if !ways.tcp_dialback => OfferTls::Required,
            Some(Need::Optional) | None => OfferTls::Optional,
            Some(Need::NotSupported) => OfferTls::No,
        };
        // RFC 6120 §5.3.1: if TLS is mandatory, nothing else is offered; then dialback is not open.
        Offer { tls: self.offered_tls, external: false, dialback }.write(&mut self.out);
        self.phase = Phase::Clear;
    }

    fn offer_authentication(&mut self, ways: Ways, dialback: bool, now: Now) {
        let verdict = self.remote.as_ref().and_then(|remote| self.verdict(remote, now));
        let external = ways.sasl && verdict == Some(CertVerdict::Valid);
        if !external && !dialback {
            // RFC 6120 §6.4.5: rather than letting the peer wait for a timeout.
            let text = match verdict {
                Some(CertVerdict::Invalid(fault)) => fault.to_string(),
                Some(CertVerdict::Valid) | None => "no authentication is open to this domain".to_owned(),
            };
            return self.fail(StreamError::with_text(StreamCondition::PolicyViolation, text));
        }
        Offer { tls: OfferTls::No, external, dialback }.write(&mut self.out);
        self.phase = Phase::Secure;
    }

    /// The header after SASL names the same domains as the one before, or the stream ends.
    fn on_header_after_sasl(&mut self, pair: Pair, version: Version, now: Now) {
        if self.remote.as_ref().is_some_and(|remote| *remote != pair.remote) {
            return self.fail(StreamCondition::InvalidFrom);
        }
        if self.local.as_ref() != Some(&pair.local) {
            return self.fail(StreamCondition::HostUnknown);
        }
        let ways = self.terms.map(Terms::ways).unwrap_or_default();
        if !ways.sasl {
            return self.fail(StreamCondition::PolicyViolation);
        }
        if version == Version::Modern {
            let dialback = ways.tls_dialback;
            Offer { tls: OfferTls::No, external: false, dialback }.write(&mut self.out);
        }
        self.prove(now, pair, Auth::External);
    }

    /// `<starttls/>`: taken where it was offered, a failure elsewhere (RFC 6120 §5.4.2.2).
    pub(super) fn on_starttls(&mut self) {
        if self.phase != Phase::Clear || self.offered_tls == OfferTls::No {
            self.out.extend_from_slice(b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
            return self.hang_up(DownReason::Tls);
        }
        self.out.extend_from_slice(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        self.framing = Some(Framing::Restart);
        self.phase = Phase::Handshake;
        self.pending.clear();
        self.events.push_back(StreamEvent::StartTls);
    }

    /// `<auth/>` over TLS.
    pub(super) fn on_auth(&mut self, auth: &Element<'_>, behind: Behind, now: Now) {
        // RFC 6120 §6.3.5: nothing may follow before the answer, least of all a stanza.
        if behind == Behind::Octets {
            return self.fail(StreamCondition::NotAuthorized);
        }
        let offered = self.terms.is_some_and(|terms| terms.ways().sasl);
        let domains = self.local.clone().zip(self.remote.clone()).filter(|_| offered);
        let verdict = domains.as_ref().and_then(|(_, remote)| self.verdict(remote, now));
        let judged = match (domains, verdict) {
            (Some((local, remote)), Some(CertVerdict::Valid)) => {
                sasl::judge(auth, &remote).map(|()| Pair { local, remote })
            }
            // RFC 6120 §6.5.6: the terms of this domain know no mechanism at all.
            _ if self.terms.is_some() && !offered => Err(SaslCondition::InvalidMechanism),
            // The certificate does not prove the domain, or there is none to prove.
            _ if auth.attr("mechanism") == Some(sasl::EXTERNAL) => Err(SaslCondition::NotAuthorized),
            _ => Err(SaslCondition::InvalidMechanism),
        };
        match judged {
            Ok(pair) => {
                sasl::write_success(&mut self.out);
                self.restart();
                self.authenticated = Some(pair);
            }
            Err(condition) => self.sasl_failed(condition),
        }
    }

    /// `<response/>` or `<abort/>`: EXTERNAL has no second step to answer.
    pub(super) fn on_sasl_reply(&mut self, element: &Element<'_>) {
        self.sasl_failed(match element.name() {
            "abort" => SaslCondition::Aborted,
            _ => SaslCondition::MalformedRequest,
        });
    }

    fn sasl_failed(&mut self, condition: SaslCondition) {
        sasl::write_failure(&mut self.out, condition);
        self.sasl_failures = self.sasl_failures.saturating_add(1);
        if self.sasl_failures >= sasl::FAILURES_MAX {
            self.fail(StreamError::with_text(StreamCondition::PolicyViolation, "too many attempts"));
        }
    }

    /// `<db:result/>` with a key (XEP-0220 §2.2.1).
    pub(super) fn on_result_ask(&mut self, element: &Element<'_>, now: Now, realm: &dyn Realm) {
        let Some(pair) = self.dialback_pair(element, realm) else { return };
        let ways = match self.dialback_ways(&pair, realm) {
            Ok(ways) => ways,
            Err(Unfit::Told(condition)) => return self.refuse_key(now, &pair, condition),
            Err(Unfit::Dropped) => return,
        };
        if !ways.dialback(self.secured()) {
            return self.refuse_key(now, &pair, Condition::NotAuthorized);
        }
        // Nothing can come of asking again, but a question for each time.
        if self.is_proven(pair.local.as_str(), pair.remote.as_str()) {
            return self.answer_key(&pair, Outcome::Valid);
        }
        let full = self.pending.len() >= self.settings.pending_keys;
        if full || self.pending.iter().any(|pending| pending.pair == pair) {
            if !self.pairs.is_empty() {
                return self.refuse_key(now, &pair, Condition::ResourceConstraint);
            }
            return self.fail(StreamError::with_text(
                StreamCondition::PolicyViolation,
                "too many dialback keys under verification",
            ));
        }
        if self.pairs.len() + self.pending.len() >= self.settings.pairs {
            return self.refuse_key(now, &pair, Condition::ResourceConstraint);
        }
        let key = element.text();
        let key = dialback::trimmed(&key);
        if key.is_empty() || key.len() > dialback::PEER_KEY_MAX {
            return self.conclude(now, pair, Outcome::Invalid, self.dialback_auth());
        }
        if self.settings.trust_certificate_in_dialback
            && ways.sasl
            && self.verdict(&pair.remote, now) == Some(CertVerdict::Valid)
        {
            return self.conclude(now, pair, Outcome::Valid, Auth::Certificate);
        }
        self.pending.push(Pending { pair: pair.clone(), deadline: now.mono + self.settings.verify_timeout });
        self.events.push_back(StreamEvent::VerifyWanted(Verify {
            stream: self.id,
            pair,
            id: self.stream_id.clone(),
            key: Box::from(key),
        }));
    }

    /// `<db:verify/>` with a key that is said to be ours (XEP-0220 §2.2.2).
    pub(super) fn on_verify_ask(&mut self, element: &Element<'_>, realm: &dyn Realm) {
        let Some(id) = element.attr("id") else { return self.fail(StreamCondition::InvalidXml) };
        if id.len() > dialback::PEER_ID_MAX {
            // It would have to be echoed.
            let text = "the id of the dialback key is too long";
            return self.fail(StreamError::with_text(StreamCondition::PolicyViolation, text));
        }
        let Some(pair) = self.dialback_pair(element, realm) else { return };
        let (local, remote) = (pair.local.as_str(), pair.remote.as_str());
        let is_right = || dialback::check(realm.dialback_secret(), remote, local, id, &element.text());
        let outcome = match self.dialback_ways(&pair, realm) {
            Ok(_) if is_right() => Outcome::Valid,
            Ok(_) => Outcome::Invalid,
            Err(Unfit::Told(condition)) => Outcome::Error(condition),
            Err(Unfit::Dropped) => return,
        };
        dialback::write_answer(&mut self.out, local, remote, Some(id), outcome);
        // A proven partner asks about what others told it.
        if outcome != Outcome::Valid && self.pairs.is_empty() {
            self.wrong_questions = self.wrong_questions.saturating_add(1);
            if self.wrong_questions >= WRONG_QUESTIONS_MAX {
                let text = "too many questions about dialback keys that are not ours";
                self.fail(StreamError::with_text(StreamCondition::PolicyViolation, text));
            }
        }
    }

    /// The pair that a dialback question is about. `None`: it has ended the stream.
    fn dialback_pair(&mut self, element: &Element<'_>, realm: &dyn Realm) -> Option<Pair> {
        match addresses(element) {
            Err(condition) => self.fail(condition),
            Ok((remote, _)) if realm.serves(remote.as_str()) => self.fail(StreamCondition::InvalidFrom),
            Ok((remote, local)) => return Some(Pair { local, remote }),
        }
        None
    }

    /// The ways that are open to the pair of a dialback question. A stream that carries other pairs is
    /// not theirs to lose.
    fn dialback_ways(&mut self, pair: &Pair, realm: &dyn Realm) -> Result<Ways, Unfit> {
        let served = realm.serves(pair.local.as_str());
        let terms = realm.terms(served.then_some(pair.local.as_str()), pair.remote.as_str());
        match terms {
            // Switched off is as if it were not there, in the clear as well.
            Ok(terms) if !terms.dialback => Err(Unfit::Dropped),
            Ok(terms) if !self.secured() && terms.tls == Need::Required => {
                if self.pairs.is_empty() {
                    let text = "TLS is required";
                    self.fail(StreamError::with_text(StreamCondition::PolicyViolation, text));
                    return Err(Unfit::Dropped);
                }
                Err(Unfit::Told(Condition::PolicyViolation))
            }
            Ok(_) if !served => Err(Unfit::Told(Condition::ItemNotFound)),
            Ok(terms) => Ok(terms.ways()),
            Err(refused) if self.pairs.is_empty() => {
                self.refuse(refused);
                Err(Unfit::Dropped)
            }
            Err(_) => Err(Unfit::Told(Condition::PolicyViolation)),
        }
    }

    /// The answer about a key that was offered on this stream.
    pub(super) fn on_verified(&mut self, now: Now, answer: &VerifyAnswer) {
        let ours = answer.stream == self.id && answer.id == self.stream_id;
        let found = self.pending.iter().position(|pending| ours && pending.pair == answer.pair);
        // It may come after a restart, after its deadline, or never have been asked for.
        let Some(found) = found else { return };
        let pending = self.pending.swap_remove(found);
        self.conclude(now, pending.pair, answer.outcome, self.dialback_auth());
    }

    /// Tells the peer what became of its key.
    pub(super) fn conclude(&mut self, now: Now, pair: Pair, outcome: Outcome, auth: Auth) {
        if outcome == Outcome::Invalid {
            tracing::info!(stream = self.id.0, sender = %pair.remote, target = %pair.local, "wrong dialback key");
        }
        match outcome {
            Outcome::Valid => {
                self.answer_key(&pair, outcome);
                self.prove(now, pair, auth);
            }
            // XEP-0220 §2.2.1: an invalid key ends a stream without other pairs, and only that.
            Outcome::Invalid if self.pairs.is_empty() => {
                self.answer_key(&pair, outcome);
                self.hang_up(DownReason::Dialback(outcome));
            }
            Outcome::Invalid => self.refuse_key(now, &pair, Condition::Forbidden),
            Outcome::Error(condition) => self.refuse_key(now, &pair, condition),
        }
    }

    pub(super) fn answer_key(&mut self, pair: &Pair, outcome: Outcome) {
        dialback::write_answer(&mut self.out, pair.local.as_str(), pair.remote.as_str(), None, outcome);
    }

    /// Tells the peer that its key is not taken, and ends the stream if that is so again and again.
    fn refuse_key(&mut self, now: Now, pair: &Pair, condition: Condition) {
        self.answer_key(pair, Outcome::Error(condition));
        let refused = &mut self.refused_keys;
        if refused.since + REFUSED_KEYS_WINDOW <= now.mono {
            *refused = RefusedKeys { count: 0, since: now.mono };
        }
        refused.count = refused.count.saturating_add(1);
        if refused.count >= REFUSED_KEYS_MAX {
            let text = "too many dialback keys that were refused";
            self.fail(StreamError::with_text(StreamCondition::PolicyViolation, text));
        }
    }
}

/// What becomes of a dialback question that is not decided by its key.
enum Unfit {
    /// It is answered with this error.
    Told(Condition),
    /// It is ignored, or has ended the stream.
    Dropped,
}
