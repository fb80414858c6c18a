//! The notifier's end: a SUBSCRIBE of the peer makes it and refreshes it, our NOTIFYs go the other
//! way (RFC 6665 §4.2).

use super::request::{EventRequest, Said};
use super::{MAX_DIALOG, contact, presence_event, record_routes};
use crate::sip::dialog::{Dialog, Establishing, Order};
use crate::sip::lex::Start;
use crate::sip::message::Message;
use crate::sip::name::Name;
use crate::sip::uas::Reject;

/// What a SUBSCRIBE asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Seconds; None if it does not say. [`super::Durations::grant`] judges it.
    pub expires: Option<u32>,
}

/// Our end of a SIP user's subscription.
#[derive(Debug)]
pub struct Notifier {
    dialog: Dialog,
    event_id: Option<Box<str>>,
}

impl Notifier {
    /// Reads a SUBSCRIBE, new or inside a dialog, as far as it is about events.
    ///
    /// # Errors
    /// 489 with Allow-Events for an Event that is unknown or missing, 406 with Accept where no
    /// presence document is taken, 400 if it is malformed.
    pub fn read(subscribe: &Message<'_>) -> Result<Asked, Reject> {
        presence_event(subscribe)?;
        let mut ranges = subscribe.accepts().peekable();
        // RFC 3856 §6.5: absent, it is our type. An empty one takes nothing.
        let stated = ranges.peek().is_some() || subscribe.header(Name::Accept).is_some();
        let mut taken = !stated;
        for range in ranges {
            let range = range.map_err(|_| Reject::status(400, "malformed Accept"))?;
            let never = range.params.value("q").is_some_and(|q| q.trim_matches(['0', '.']).is_empty());
            taken |= range.takes("application", "pidf+xml") && !never;
        }
        if !taken {
            return Err(
                Reject::status(406, "no presence document is accepted").with(Name::Accept, super::PIDF)
            );
        }
        Ok(Asked { expires: subscribe.expires() })
    }

    /// A SUBSCRIBE that is accepted; `local_tag` is the tag that its 200 puts into To.
    ///
    /// # Errors
    /// 400 if it can make no dialog.
    pub fn new(subscribe: &Message<'_>, local_tag: &str, over_tls: bool) -> Result<Self, Reject> {
        let event = presence_event(subscribe)?;
        let Start::Request { uri, .. } = subscribe.start else {
            return Err(Reject::status(400, "no request"));
        };
        let by = Establishing {
            call_id: subscribe.call_id(),
            from_uri: subscribe.from().uri,
            from_tag: subscribe.from().tag,
            to_uri: subscribe.to().uri,
            to_tag: Some(local_tag),
            cseq: subscribe.cseq().number,
            contact: contact(subscribe)?,
            request_uri: uri,
            over_tls,
        };
        let unusable = || Reject::status(400, "the request can make no dialog");
        let dialog = Dialog::uas(&by, record_routes(subscribe)?).map_err(|_| unusable())?;
        let event_id: Option<Box<str>> = event.id.map(Into::into);
        if dialog.octets() + event_id.as_ref().map_or(0, |id| id.len()) > MAX_DIALOG {
            return Err(unusable());
        }
        Ok(Self { dialog, event_id })
    }

    /// A SUBSCRIBE with a To tag: a refresh or, with an Expires of 0, the end.
    ///
    /// # Errors
    /// 481 for another dialog, 403 for another event id (a second subscription in one dialog, RFC 6665
    /// §4.5.2), 500 out of order, and those of [`Notifier::read`].
    pub fn on_subscribe(&mut self, subscribe: &Message<'_>) -> Result<Asked, Reject> {
        let (from, to) = (subscribe.from().tag, subscribe.to().tag);
        if !self.dialog.is(subscribe.call_id(), to, from) {
            return Err(Reject::status(481, "no such subscription"));
        }
        let asked = Self::read(subscribe)?;
        if presence_event(subscribe)?.id != self.event_id.as_deref() {
            return Err(Reject::status(403, "sharing a dialog is not supported"));
        }
        let contact = contact(subscribe)?;
        if self.dialog.on_request(subscribe.cseq().number) == Order::OutOfOrder {
            return Err(Reject::status(500, "CSeq is out of order"));
        }
        if contact.len() <= MAX_DIALOG / 4 {
            // A target that can't be used leaves the old one.
            let _ = self.dialog.refresh_target(contact);
        }
        Ok(asked)
    }

    /// A NOTIFY with `document`, or without one if that is empty.
    ///
    /// None when the CSeq numbers are used up: the subscription is lost.
    pub fn notify(&mut self, said: Said, document: &[u8]) -> Option<EventRequest> {
        let cseq = self.dialog.next_cseq(1)?;
        Some(EventRequest::notify(&self.dialog, self.event_id.as_deref(), cseq, said, document))
    }

    /// The next CSeq number, for a request that answers a challenge.
    pub fn next_cseq(&mut self) -> Option<u32> {
        self.dialog.next_cseq(1)
    }

    /// Does this response to a NOTIFY end the subscription (RFC 6665 §4.2.2)?
    pub fn is_ended_by(status: u16) -> bool {
        matches!(status, 404 | 405 | 410 | 416 | 480..=485 | 489 | 501 | 604)
    }

    /// The dialog.
    pub fn dialog(&self) -> &Dialog {
        &self.dialog
    }
}
