//! The subscriber's end: our SUBSCRIBE makes it, the first NOTIFY establishes it (RFC 6665 §4.4.1),
//! and RFC 3856 §6.9 allows one: a NOTIFY from another branch of a fork is refused.
//!
//! ```text
//! Nobody ─ 2xx ─► Response ─ first NOTIFY ─► Notify
//!    └────────── first NOTIFY ───────────────► ┘
//! ```
//!
//! A 2xx alone says whom to tell when the user changes their mind before any NOTIFY came. The first
//! NOTIFY decides all anew, also with another tag. What comes after it with another tag is 481.

use super::request::EventRequest;
use super::tag::tag_of;
use super::{MAX_DIALOG, contact, presence_event, record_routes};
use crate::addr::{Jid, map};
use crate::ids::Ids;
use crate::sip::dialog::{Dialog, DialogError, Establishing, Met, Order};
use crate::sip::merged::LoopGuard;
use crate::sip::message::Message;
use crate::sip::uas::Reject;
use crate::sip::value::SubscriptionState;

/// May a NOTIFY still establish the dialog? Until Timer N ends (RFC 6665 §4.1.2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaiting {
    /// Timer N runs.
    First,
    /// It does not: 481.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heard {
    Nobody,
    Response,
    Notify,
}

/// Our end of a subscription to a SIP user.
#[derive(Debug)]
pub struct Subscriber {
    dialog: Dialog,
    heard: Heard,
}

impl Subscriber {
    /// A subscription of `watcher` to `presentity`, both as bare addresses, with a new Call-ID and a
    /// tag that names `slot`.
    ///
    /// # Errors
    /// [`DialogError`]: an address is too long.
    pub fn new(
        watcher: &Jid,
        presentity: &Jid,
        slot: u32,
        guard: &LoopGuard,
        ids: &mut Ids,
    ) -> Result<Self, DialogError> {
        let uri = |jid: &Jid| {
            let mut octets = Vec::with_capacity(64);
            map::uri_from_jid(&jid.to_bare(), &mut octets);
            String::from_utf8(octets).map_err(|_| DialogError::Contact)
        };
        let (from, to) = (uri(watcher)?, uri(presentity)?);
        let tag = tag_of(&guard.stamp(ids.mint()), slot);
        let call_id = ids.mint();
        let by = Establishing {
            call_id: call_id.as_str(),
            from_uri: &from,
            from_tag: Some(&tag),
            to_uri: &to,
            to_tag: None,
            cseq: 0,
            contact: &to,
            request_uri: &to,
            over_tls: false,
        };
        let dialog = Dialog::uac(&by, [])?;
        if dialog.octets() > MAX_DIALOG {
            return Err(DialogError::TooLong);
        }
        Ok(Self { dialog, heard: Heard::Nobody })
    }

    /// A SUBSCRIBE for `expires` seconds: the first, a refresh, or with 0 the end or a fetch.
    ///
    /// None when the CSeq numbers are used up: start a new subscription.
    pub fn subscribe(&mut self, expires: u32) -> Option<EventRequest> {
        let cseq = self.dialog.next_cseq(1)?;
        Some(EventRequest::subscribe(&self.dialog, cseq, expires))
    }

    /// The next CSeq number, for a request that answers a challenge.
    pub fn next_cseq(&mut self) -> Option<u32> {
        self.dialog.next_cseq(1)
    }

    /// A 2xx to a SUBSCRIBE of ours. One without a tag or Contact, or of another branch than the
    /// NOTIFY that came before it, changes nothing.
    pub fn on_success(&mut self, response: &Message<'_>) {
        let (Some(tag), Ok(contact), Ok(routes)) =
            (response.to().tag, contact(response), record_routes(response))
        else {
            return;
        };
        match self.heard {
            Heard::Nobody => {
                if self.meet(tag, contact, &routes, Met::Response).is_ok() {
                    self.heard = Heard::Response;
                }
            }
            Heard::Response | Heard::Notify if self.dialog.remote_tag() == Some(tag) => {
                self.move_to(contact);
            }
            Heard::Response | Heard::Notify => {}
        }
    }

    /// A NOTIFY that names our tag.
    ///
    /// # Errors
    /// The refusal: 489 for another package, 481 for another dialog, another branch, another event id
    /// or a late first one, 400 if it is malformed or lacks what it must have, 500 out of order.
    pub fn on_notify(
        &mut self,
        notify: &Message<'_>,
        awaiting: Awaiting,
    ) -> Result<SubscriptionState, Reject> {
        let stranger = || Reject::status(481, "no such subscription");
        let event = presence_event(notify)?;
        let tag = notify.from().tag.ok_or_else(stranger)?;
        if !self.is(notify.call_id(), notify.to().tag) || event.id.is_some() {
            return Err(stranger());
        }
        let state =
            notify.subscription_state().ok_or_else(|| Reject::status(400, "no Subscription-State"))?;
        let state = state.map_err(|_| Reject::status(400, "malformed Subscription-State"))?;
        let number = notify.cseq().number;
        match (self.heard, awaiting) {
            (Heard::Notify, _) => {
                if self.dialog.remote_tag() != Some(tag) {
                    return Err(stranger());
                }
                if self.dialog.on_request(number) == Order::OutOfOrder {
                    return Err(Reject::status(500, "CSeq is out of order"));
                }
                if let Ok(contact) = contact(notify) {
                    self.move_to(contact);
                }
            }
            (Heard::Nobody | Heard::Response, Awaiting::First) => {
                let (contact, routes) = (contact(notify)?, record_routes(notify)?);
                self.meet(tag, contact, &routes, Met::Request(number))
                    .map_err(|_| Reject::status(400, "Contact or Record-Route can't be used"))?;
                self.heard = Heard::Notify;
            }
            (Heard::Nobody | Heard::Response, Awaiting::Nothing) => return Err(stranger()),
        }
        Ok(state)
    }

    /// Whether a NOTIFY with this Call-ID and To tag is about this subscription.
    pub fn is(&self, call_id: &str, local_tag: Option<&str>) -> bool {
        self.dialog.call_id() == call_id && self.dialog.local_tag() == local_tag
    }

    /// Whether there is a peer to refresh or to end the subscription with.
    pub fn is_met(&self) -> bool {
        self.heard != Heard::Nobody
    }

    /// The dialog.
    pub fn dialog(&self) -> &Dialog {
        &self.dialog
    }

    fn meet(&mut self, tag: &str, contact: &str, routes: &[&str], met: Met) -> Result<(), DialogError> {
        let mut dialog = self.dialog.clone();
        dialog.meet(tag, contact, routes.iter().copied(), met)?;
        if dialog.octets() > MAX_DIALOG {
            return Err(DialogError::TooLong);
        }
        self.dialog = dialog;
        Ok(())
    }

    /// A target that can't be used leaves the old one.
    fn move_to(&mut self, contact: &str) {
        if contact.len() <= MAX_DIALOG / 4 {
            // The error says that nothing changed.
            let _ = self.dialog.refresh_target(contact);
        }
    }
}
