//! SUBSCRIBEs and NOTIFYs that come in: which watch each one is for.
//!
//! A dialog is found by the pair that it is between, and then compared with the identifiers of the
//! request. What matches none is 481 (RFC 6665 §4.1.3, §4.2.1.1).

use super::super::Gateway;
use super::super::stop::STOPPING;
use super::WatchRef;
use super::x2s::AtHand;
use crate::body::{pidf, pidf::PidfError};
use crate::bridge::watch::x2s::Notified;
use crate::bridge::watch::{s2x, x2s};
use crate::crossing::{Crosses, Verified};
use crate::gateway::crossings::{busy, part_of};
use crate::gateway::meter::Fate;
use crate::now::Now;
use crate::policy::Admitted;
use crate::sip::name::Name;
use crate::sip::subscription::{Notifier, PIDF};
use crate::sip::txn::ServerKey;
use crate::sip::uas::{Reject, Request};

impl Gateway {
    /// A SUBSCRIBE from one of our users, its sender proven; `key` is to be answered.
    pub(in crate::gateway) fn on_subscribe(
        &mut self,
        now: Now,
        key: ServerKey,
        request: Verified<Request<'_>>,
        over_tls: bool,
    ) {
        let is_new = request.message.to().tag.is_none();
        if is_new && self.stopping {
            let busy = Reject::status(503, STOPPING).with(Name::RetryAfter, "5");
            return self.reject_request(now, key, &request.crossing(), None, &busy, Fate::Failed);
        }
        if let Err(over) = self.charge_request(now, &request) {
            return self.reject_request(now, key, &request.crossing(), None, &busy(&over), Fate::Limited);
        }
        match self.admit_request(now, key, request) {
            Some(admitted) if is_new && self.is_trial(key) => self.try_probe(now, key, &admitted),
            Some(admitted) if is_new => self.on_new_subscribe(now, key, &admitted, over_tls),
            Some(admitted) => self.on_subscribe_again(now, key, &admitted),
            None => {}
        }
    }

    fn on_new_subscribe(
        &mut self,
        now: Now,
        key: ServerKey,
        admitted: &Admitted<Request<'_>>,
        over_tls: bool,
    ) {
        let message = admitted.message;
        let policy = Some(admitted.grant().policy());
        let crossing = admitted.crossing();
        let asked = match Notifier::read(message) {
            Ok(asked) => asked,
            Err(reject) => return self.reject_request(now, key, &crossing, policy, &reject, Fate::Failed),
        };
        let Some(tag) = self.servers.tag(key) else { return };
        let notifier = match Notifier::new(message, tag.as_str(), over_tls) {
            Ok(notifier) => notifier,
            Err(reject) => return self.reject_request(now, key, &crossing, policy, &reject, Fate::Failed),
        };
        let full = || Reject::status(503, "too many subscriptions").with(Name::RetryAfter, "300");
        let (user, contact) = (admitted.sender.to_bare(), &admitted.target);
        let known = self.presence.sip.find(&user, contact);
        let watch = match known {
            Some(watch) if self.presence.may_begin(watch) => watch,
            Some(_) => return self.reject_request(now, key, &crossing, policy, &full(), Fate::Failed),
            None => match self.new_sip_watch(now, &user, contact) {
                Ok(watch) => watch,
                Err(_) => return self.reject_request(now, key, &crossing, policy, &full(), Fate::Failed),
            },
        };
        let Some(entry) = self.presence.sip.get_mut(watch) else { return };
        let Some(leg) = entry.watch.machine.vacant() else {
            return self.reject_request(now, key, &crossing, policy, &full(), Fate::Failed);
        };
        entry.watch.open(leg, notifier);
        entry.asks(leg, key);
        let (trace, via) = (self.ids.mint(), self.via_of(key));
        let track = self.effects.trail.admitted(now, via, trace.as_str(), &crossing, policy);
        self.presence.set_track(watch, track);
        let input = s2x::Input::Subscribe { leg, expires: asked.expires };
        self.drive_sip_with(now, watch, input, Some(leg));
    }

    fn on_subscribe_again(&mut self, now: Now, key: ServerKey, admitted: &Admitted<Request<'_>>) {
        let message = admitted.message;
        let stranger = || Reject::status(481, "no such subscription");
        let (user, contact) = (&admitted.sender, &admitted.target);
        let Some(watch) = self.presence.sip.find(user, contact) else {
            return self.reject(now, key, &stranger());
        };
        let Some(entry) = self.presence.sip.get_mut(watch) else { return };
        let (call_id, from, to) = (message.call_id(), message.from().tag, message.to().tag);
        let found = entry.watch.notifiers.iter_mut().find(|(_, one)| one.dialog().is(call_id, to, from));
        let Some((leg, notifier)) = found else { return self.reject(now, key, &stranger()) };
        let leg = *leg;
        match notifier.on_subscribe(message) {
            Ok(asked) => {
                entry.asks(leg, key);
                let input = s2x::Input::Refresh { leg, expires: asked.expires };
                self.drive_sip_with(now, watch, input, Some(leg));
            }
            Err(reject) => self.reject(now, key, &reject),
        }
    }

    /// A NOTIFY about one of our users, its sender proven; `key` is to be answered.
    pub(in crate::gateway) fn on_notify(&mut self, now: Now, key: ServerKey, request: Verified<Request<'_>>) {
        let found = self.presence.xmpp.find(&request.target, &request.sender);
        let Some(admitted) = self.admit_request(now, key, request) else {
            if let Some(watch) = found {
                self.ask_gate(now, watch);
            }
            return;
        };
        if self.on_trial_notified(now, admitted.message) {
            return self.respond(now, key, 200, &[]);
        }
        match found {
            Some(watch) => self.on_notify_of(now, key, watch, &admitted),
            None => self.reject(now, key, &Reject::status(481, "no such subscription")),
        }
    }

    fn on_notify_of(&mut self, now: Now, key: ServerKey, watch: WatchRef, admitted: &Admitted<Request<'_>>) {
        let message = admitted.message;
        let Some(entry) = self.presence.xmpp.get_mut(watch) else { return };
        let awaiting = entry.watch.machine.may_establish();
        let stranger = || Reject::status(481, "no such subscription");
        let taken = match &mut entry.watch.subscriber {
            Some(subscriber) => subscriber.on_notify(message, awaiting),
            None => Err(stranger()),
        };
        let state = match taken {
            Ok(state) => state,
            Err(reject) => return self.reject(now, key, &reject),
        };
        let (document, refusal) = match message.body {
            [] => (None, None),
            _ => match pidf::read_part(&part_of(message), &pidf::Limits::default()) {
                Ok(document) => (Some(document), None),
                Err(error) => (None, Some(refusal(&error))),
            },
        };
        let has_document = document.is_some();
        let language = message.header(Name::ContentLanguage);
        let at_hand = AtHand { key, document, language, refusal, is_taken: false };
        let input = x2s::Input::Notify(Notified { state, has_document });
        self.drive_xmpp_with(now, watch, input, Some(at_hand));
    }

    /// Asks the gate. A request that it refuses is answered.
    fn admit_request<'m>(
        &mut self,
        now: Now,
        key: ServerKey,
        request: Verified<Request<'m>>,
    ) -> Option<Admitted<Request<'m>>> {
        match self.table.admit(request, &self.presence) {
            Ok(admitted) => {
                self.meter.allowed();
                Some(admitted)
            }
            Err(refusal) => {
                self.deny_request(now, key, refusal);
                None
            }
        }
    }
}

/// What answers a NOTIFY with a body that is no presence document.
fn refusal(error: &PidfError) -> Reject {
    let reject = Reject::status(error.status(), "the body is no presence document that can be read");
    match error {
        PidfError::Type => reject.with(Name::Accept, PIDF),
        PidfError::ContentEncoding => reject.with(Name::AcceptEncoding, "identity"),
        PidfError::TooLarge
        | PidfError::Encoding
        | PidfError::NotUtf8
        | PidfError::Xml(_)
        | PidfError::NotPresence
        | PidfError::TooMany => reject,
    }
}
