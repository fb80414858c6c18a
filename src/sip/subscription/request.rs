//! A SUBSCRIBE or NOTIFY of ours, as often as it has to be written: for another transaction after a
//! challenge or a failed server, or as a retransmission on UDP. It holds all it needs, so it outlives
//! the watch that it is about: the last NOTIFY of a subscription is one.

use super::{PACKAGE, PIDF};
use crate::ids::Ids;
use crate::sip::dialog::{Dialog, MAX_CSEQ};
use crate::sip::digest::{Credentials, Login};
use crate::sip::method::Method;
use crate::sip::name::Name;
use crate::sip::pager::Sent;
use crate::sip::value::EndReason;
use crate::sip::write::{Party, Request, Writer};

/// What a NOTIFY says of its subscription: active and pending have their remaining seconds, and only
/// the end has a reason (RFC 6665 §4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Said {
    /// Authorized.
    Active {
        /// Seconds that remain.
        expires: u32,
    },
    /// Not decided.
    Pending {
        /// Seconds that remain.
        expires: u32,
    },
    /// Over.
    Terminated {
        /// Why.
        reason: EndReason,
        /// Seconds after which the peer may try again.
        retry_after: Option<u32>,
    },
}

#[derive(Debug)]
enum Kind {
    Subscribe { expires: u32 },
    Notify { said: Said, event_id: Option<Box<str>>, document: Box<[u8]> },
}

/// One request inside a dialog, or the one that asks for it.
#[derive(Debug)]
pub struct EventRequest {
    dialog: Dialog,
    kind: Kind,
    cseq: u32,
    login: Login,
    authorization: Option<(Name, String)>,
}

impl EventRequest {
    pub(super) fn subscribe(dialog: &Dialog, cseq: u32, expires: u32) -> Self {
        Self::new(dialog, Kind::Subscribe { expires }, cseq)
    }

    pub(super) fn notify(
        dialog: &Dialog,
        event_id: Option<&str>,
        cseq: u32,
        said: Said,
        document: &[u8],
    ) -> Self {
        let kind = Kind::Notify { said, event_id: event_id.map(Into::into), document: document.into() };
        Self::new(dialog, kind, cseq)
    }

    fn new(dialog: &Dialog, kind: Kind, cseq: u32) -> Self {
        Self { dialog: dialog.clone(), kind, cseq, login: Login::default(), authorization: None }
    }

    /// `SUBSCRIBE` or `NOTIFY`.
    pub fn method(&self) -> Method<'static> {
        match self.kind {
            Kind::Subscribe { .. } => Method::Subscribe,
            Kind::Notify { .. } => Method::Notify,
        }
    }

    /// The seconds that a SUBSCRIBE asks for.
    pub fn expires(&self) -> Option<u32> {
        match self.kind {
            Kind::Subscribe { expires } => Some(expires),
            Kind::Notify { .. } => None,
        }
    }

    /// Is it a NOTIFY that ends its subscription?
    pub fn is_last(&self) -> bool {
        matches!(self.kind, Kind::Notify { said: Said::Terminated { .. }, .. })
    }

    /// The number of CSeq.
    pub fn cseq(&self) -> u32 {
        self.cseq
    }

    /// One name for both legs, in the journal: the tag in From.
    pub fn trace(&self) -> &str {
        self.dialog.local_tag().unwrap_or_default()
    }

    /// The URI that decides the next hop (RFC 3261 §8.1.2).
    pub fn next_hop(&self) -> &str {
        self.dialog.route().next_hop
    }

    /// Appends the request with its Via.
    pub fn write(&self, sent: &Sent<'_>, branch: &str, out: &mut Vec<u8>) {
        let routed = self.dialog.route();
        let request = Request {
            method: self.method(),
            uri: routed.request_uri.as_bytes(),
            transport: sent.transport,
            sent_by: sent.by,
            branch,
            max_forwards: 70,
            from: Party {
                display: None,
                uri: self.dialog.local_uri().as_bytes(),
                tag: self.dialog.local_tag(),
            },
            to: Party {
                display: None,
                uri: self.dialog.remote_uri().as_bytes(),
                tag: self.dialog.remote_tag(),
            },
            call_id: self.dialog.call_id(),
            cseq: self.cseq,
        };
        let mut writer = Writer::request(out, &request);
        for route in &routed.routes {
            writer.header(Name::Route, route);
        }
        if let Some(last) = routed.last {
            writer.field(Name::Route).address(last.as_bytes());
        }
        writer.field(Name::Contact).address(sent.contact().as_bytes());
        if let Some((name, value)) = &self.authorization {
            writer.header(*name, value);
        }
        match &self.kind {
            Kind::Subscribe { expires } => {
                writer.header(Name::Event, PACKAGE);
                writer.header(Name::Accept, PIDF);
                writer.header(Name::AllowEvents, PACKAGE);
                writer.number(Name::Expires, (*expires).into());
                writer.end();
            }
            Kind::Notify { said, event_id, document } => {
                let event = writer.field(Name::Event).text(PACKAGE);
                match event_id {
                    Some(id) => drop(event.text(";id=").text(id)),
                    None => drop(event),
                }
                write_state(&mut writer, *said);
                if document.is_empty() {
                    writer.end();
                } else {
                    writer.body(PIDF, document);
                }
            }
        }
    }

    /// Puts an answer to the challenge of a 401 or 407 into the request and gives it another CSeq
    /// (RFC 3261 §22.2): the `cseq` that its dialog counted, or the next one where the dialog is gone.
    /// False if the challenge can't be met: the response is final then.
    pub fn answer_challenge<'a>(
        &mut self,
        status: u16,
        challenges: impl IntoIterator<Item = &'a str>,
        credentials: Option<&Credentials>,
        cseq: Option<u32>,
        ids: &mut Ids,
    ) -> bool {
        let method = self.method();
        let routed = self.dialog.route();
        let asked = (method.as_str(), &*routed.request_uri);
        let Some(answer) = self.login.answer((status, challenges), credentials, asked, ids) else {
            return false;
        };
        self.authorization = Some(answer);
        self.cseq = cseq.unwrap_or(self.cseq.saturating_add(1).min(MAX_CSEQ));
        true
    }
}

fn write_state(writer: &mut Writer<'_>, said: Said) {
    let field = writer.field(Name::SubscriptionState);
    match said {
        Said::Active { expires } => drop(field.text("active;expires=").number(expires.into())),
        Said::Pending { expires } => drop(field.text("pending;expires=").number(expires.into())),
        Said::Terminated { reason, retry_after } => {
            let mut field = field.text("terminated");
            if reason != EndReason::Other {
                field = field.text(";reason=").text(reason.as_str());
            }
            if let Some(seconds) = retry_after {
                field = field.text(";retry-after=").number(seconds.into());
            }
            drop(field);
        }
    }
}
