//! Presence stanzas that come in: which watch each one is for.
//!
//! | from a contact (J) to our user (R) | for J's watch of R | for R's watch of J |
//! |---|---|---|
//! | `subscribe`, `unsubscribe`, `probe` | yes | |
//! | `subscribed`, `unsubscribed`, errors to stanzas of ours | | yes |
//! | available, unavailable | a sign of life, or its end | J's presence |

use super::super::Gateway;
use super::WatchRef;
use crate::addr::Jid;
use crate::bridge::presence::Change;
use crate::bridge::watch::{s2x, x2s};
use crate::crossing::Crosses;
use crate::gateway::trail::Carrier;
use crate::ids::Id;
use crate::now::Now;
use crate::policy::{Admitted, Reason};
use crate::store::record::Watching;
use crate::xmpp::StreamId;
use crate::xmpp::error::stanza::read_error;
use crate::xmpp::error::{Condition, StanzaError};
use crate::xmpp::stanza::{PresenceType, Stanza, StanzaKind};

impl Gateway {
    /// A presence that may cross.
    pub(in crate::gateway) fn on_presence(
        &mut self,
        now: Now,
        stream: StreamId,
        admitted: &Admitted<Stanza<'_>>,
    ) {
        let Some(type_) = admitted.presence_type() else { return };
        if admitted.to.local().is_none() {
            // The domain itself is nobody's contact.
            if type_ == PresenceType::Subscribe {
                self.answer_stanza(now, admitted, &Condition::ServiceUnavailable.into());
            }
            return;
        }
        let (contact, user) = (&admitted.from, &admitted.to);
        match type_ {
            PresenceType::Subscribe => self.on_subscribe_stanza(now, Carrier::Stream(stream), admitted),
            PresenceType::Probe => self.on_probe(now, contact, user),
            PresenceType::Unsubscribe => self.on_unsubscribe(now, contact, user),
            PresenceType::Subscribed => {
                if let Some(watch) = self.presence.sip.find(user, contact) {
                    self.drive_sip(now, watch, s2x::Input::Subscribed);
                }
            }
            PresenceType::Unsubscribed => self.on_unsubscribed(now, contact, user),
            PresenceType::Available | PresenceType::Unavailable => self.on_notification(now, admitted),
            PresenceType::Error => {
                // Ours have ids that say so; what others answer is none of our business.
                let is_ours = admitted.id().and_then(Id::owner_of).is_some();
                if let (true, Some(watch)) = (is_ours, self.presence.sip.find(user, contact)) {
                    let condition = read_error(&admitted.element).condition;
                    self.drive_sip(now, watch, s2x::Input::Error(condition));
                }
            }
        }
    }

    fn on_subscribe_stanza(&mut self, now: Now, via: Carrier, admitted: &Admitted<Stanza<'_>>) {
        let (contact, user) = (&admitted.from, &admitted.to);
        let policy = Some(admitted.grant().policy());
        let watch = match self.presence.xmpp.find(contact, user) {
            Some(watch) if self.presence.may_begin(watch) => Ok(watch),
            Some(_) => Err(Condition::ResourceConstraint),
            None => self.new_xmpp_watch(now, contact, user),
        };
        let watch = match watch {
            Ok(watch) => watch,
            Err(condition) => {
                let (text, why) = match condition {
                    Condition::JidMalformed => ("the address is too long", "an address is too long for SIP"),
                    _ => ("too many subscriptions", "no room for another watch"),
                };
                let error = StanzaError::with_text(condition, text);
                return self.return_stanza(now, via, admitted, policy, &error, why);
            }
        };
        let trace = self.ids.mint();
        let track = self.effects.trail.admitted(now, Some(via), trace.as_str(), &admitted.crossing(), policy);
        if let Some(entry) = self.presence.xmpp.get_mut(watch) {
            entry.asked_by(admitted.id());
            entry.track = track;
        }
        self.drive_xmpp(now, watch, x2s::Input::Subscribe);
    }

    fn on_probe(&mut self, now: Now, contact: &Jid, user: &Jid) {
        let known = self.presence.xmpp.find(contact, user);
        // Without room nobody is told anything: the contact's server asks again.
        let watch = known.or_else(|| self.new_xmpp_watch(now, contact, user).ok());
        if let Some(watch) = watch {
            self.drive_xmpp(now, watch, x2s::Input::Probe);
        }
    }

    /// `unsubscribe`, which needs no right: it takes one back.
    pub(in crate::gateway) fn on_unsubscribe(&mut self, now: Now, contact: &Jid, user: &Jid) {
        self.forget_pending(user, contact);
        if let Some(watch) = self.presence.xmpp.find(contact, user) {
            self.drive_xmpp(now, watch, x2s::Input::Unsubscribe);
        }
    }

    /// `unsubscribed`, likewise.
    pub(in crate::gateway) fn on_unsubscribed(&mut self, now: Now, contact: &Jid, user: &Jid) {
        if let Some(watch) = self.presence.sip.find(user, contact) {
            self.drive_sip(now, watch, s2x::Input::Unsubscribed);
        }
    }

    fn on_notification(&mut self, now: Now, admitted: &Admitted<Stanza<'_>>) {
        let (contact, user) = (&admitted.from, &admitted.to);
        let available = admitted.presence_type() == Some(PresenceType::Available);
        let mut is_there = available;
        if let Some(watch) = self.presence.sip.find(user, contact)
            && let Some(entry) = self.presence.sip.get_mut(watch)
        {
            let change = entry.resources().update(admitted, now.wall);
            is_there = entry.resources().is_available();
            let counts = entry.take_probed() || entry.watch.machine.state() != s2x::State::Active;
            if change == Change::Changed || counts {
                self.drive_sip(now, watch, s2x::Input::Presence);
            }
        }
        if let Some(watch) = self.presence.xmpp.find(contact, user) {
            let input = if is_there { x2s::Input::Interest } else { x2s::Input::Disinterest };
            self.drive_xmpp(now, watch, input);
        }
    }

    /// Does this presence belong to a watch? What a watch brings is bounded by the watch, and not by a
    /// budget: nobody would say again what is passed over, an answer or a right that is taken back.
    pub(in crate::gateway) fn is_wanted(&self, stanza: &Stanza<'_>) -> bool {
        let (contact, user) = (&stanza.from, &stanza.to);
        match stanza.presence_type().filter(|_| stanza.kind == StanzaKind::Presence) {
            Some(
                PresenceType::Available
                | PresenceType::Unavailable
                | PresenceType::Subscribed
                | PresenceType::Unsubscribed
                | PresenceType::Error,
            ) => self.presence.sip.find(user, contact).is_some(),
            Some(PresenceType::Probe | PresenceType::Unsubscribe) => {
                self.presence.xmpp.find(contact, user).is_some()
            }
            Some(PresenceType::Subscribe) | None => false,
        }
    }

    /// A presence that may not cross. True if there is no more to say of it.
    ///
    /// Whoever takes a right back may do so without one. A `subscribe` from somebody whom our user has
    /// not added yet waits for that.
    pub(in crate::gateway) fn on_denied_presence(
        &mut self,
        now: Now,
        stanza: &Stanza<'_>,
        reason: Reason,
    ) -> bool {
        let (contact, user) = (&stanza.from, &stanza.to);
        match (stanza.presence_type(), reason) {
            (Some(PresenceType::Unsubscribe), _) => {
                self.on_unsubscribe(now, contact, user);
                false
            }
            (Some(PresenceType::Unsubscribed), _) => {
                self.on_unsubscribed(now, contact, user);
                false
            }
            (Some(PresenceType::Subscribe), Reason::NotAdded) => {
                self.on_unadded_subscribe(now, contact, user);
                true
            }
            _ => false,
        }
    }

    /// A message shows that the contact is there.
    pub(in crate::gateway) fn note_interest(&mut self, now: Now, contact: &Jid, user: &Jid) {
        if let Some(watch) = self.presence.xmpp.find(contact, user) {
            self.drive_xmpp(now, watch, x2s::Input::Interest);
        }
    }

    /// A stanza of `watch` did not arrive.
    pub(super) fn on_presence_bounce(&mut self, now: Now, watch: WatchRef, condition: Condition) {
        match watch.side {
            Watching::XmppWatchesSip => self.on_lost(now, watch),
            // Our own table's word, and not that of the presentity.
            Watching::SipWatchesXmpp if condition == Condition::Forbidden => self.ask_gate(now, watch),
            Watching::SipWatchesXmpp => self.drive_sip(now, watch, s2x::Input::Error(condition)),
        }
    }
}
