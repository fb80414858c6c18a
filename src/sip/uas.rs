//! What a user agent server checks before a request is anybody's business, in the order of
//! RFC 3261 §8.2: method, peer, scheme, addresses, required extensions.
//!
//! This is the only place in the SIP room where a sender is proven: a request becomes
//! [`Verified`] when the link that it came on is authenticated for the domain in From (RFC 5922
//! §7.4). P-Asserted-Identity and its like are not read at all (RFC 3325 §8): From decides.

use super::dialog::MAX_ROUTES;
use super::link::LinkIdentity;
use super::message::Message;
use super::method::Method;
use super::name::Name;
use super::value::Contact;
use crate::addr::map::{self, MapError, MapOptions};
use crate::addr::uri::Scheme;
use crate::addr::{Domain, Jid};
use crate::crossing::{Crosses, Crossing, Direction, Kind, Verified};

/// What we do, as Allow says it.
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, INFO, UPDATE, MESSAGE, SUBSCRIBE, NOTIFY, OPTIONS";
/// The extensions that may be required of us, as Supported says it (RFC 4028).
pub const SUPPORTED: &str = "timer";

/// A request that would cross, with both addresses mapped.
#[derive(Debug)]
pub struct Request<'m> {
    /// The message.
    pub message: &'m Message<'m>,
    /// Who sent it: From.
    pub sender: Jid,
    /// Whom it is for. Out of a dialog that is the Request-URI, and To is not looked at (RFC 3261
    /// §8.2.2.1). Inside of one the Request-URI is our own Contact, and it is To.
    pub target: Jid,
    /// What it is.
    pub kind: Kind,
}

impl Crosses for Request<'_> {
    fn crossing(&self) -> Crossing<'_> {
        Crossing {
            sender: &self.sender,
            target: &self.target,
            direction: Direction::SipToXmpp,
            kind: self.kind,
        }
    }
}

/// What a request turned out to be.
#[derive(Debug)]
pub enum Examined<'m> {
    /// An instant message whose sender is proven.
    Message(Verified<Request<'m>>),
    /// A SUBSCRIBE, for a new dialog or, with a tag in To, inside of one.
    Subscribe(Verified<Request<'m>>),
    /// A NOTIFY inside of a dialog.
    Notify(Verified<Request<'m>>),
    /// An INVITE out of a dialog: it asks for a session.
    Invite(Verified<Request<'m>>),
    /// What belongs to a session: MESSAGE, INFO, BYE, UPDATE, ACK or INVITE with a tag in To.
    InDialog(Verified<Request<'m>>),
    /// OPTIONS: answered with what we do (RFC 3261 §11).
    Options,
}

/// A request that is refused, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// The status code.
    pub status: u16,
    /// For the journal, and as the text of a Warning where there is one.
    pub why: &'static str,
    /// Headers that the status code calls for.
    pub headers: Vec<(Name, String)>,
}

impl Reject {
    /// A refusal without further headers.
    pub fn status(status: u16, why: &'static str) -> Self {
        Self { status, why, headers: Vec::new() }
    }

    /// 503 with Retry-After in seconds.
    pub fn busy(seconds: u32) -> Self {
        Self {
            headers: vec![(Name::RetryAfter, seconds.to_string())],
            ..Self::status(503, "too many requests")
        }
    }

    /// The same with one more header.
    pub fn with(mut self, name: Name, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Whom we are, as far as the checks ask.
#[derive(Clone, Copy, Debug)]
pub struct Uas<'a> {
    /// Our host name: in Warning.
    pub name: &'a str,
    /// The domains that we serve on the SIP side.
    pub domains: &'a [Domain],
    /// How addresses map.
    pub map: MapOptions<'a>,
}

impl Uas<'_> {
    /// Checks a request that is well formed.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn examine<'m>(&self, message: &'m Message<'m>, link: &LinkIdentity) -> Result<Examined<'m>, Reject> {
        let Some(method) = message.method() else { return Err(Reject::status(400, "no request")) };
        // RFC 3261 §16.3, §11: only OPTIONS may be answered when no hop is left.
        if message.max_forwards() == Some(0) && method != Method::Options {
            return Err(Reject::status(483, "Max-Forwards is 0"));
        }
        let in_dialog = message.to().tag.is_some();
        if link.domains.is_empty() {
            return Err(Reject::status(403, "the link is not authenticated for any domain"));
        }
        match method {
            Method::Message | Method::Options | Method::Subscribe | Method::Invite => {}
            Method::Notify | Method::Bye | Method::Info | Method::Update | Method::Ack if in_dialog => {}
            Method::Cancel | Method::Ack => return Err(Reject::status(481, "no such transaction")),
            Method::Bye | Method::Info | Method::Update => {
                return Err(Reject::status(481, "no such dialog"));
            }
            Method::Prack if in_dialog => return Err(Reject::status(481, "no such dialog")),
            // A conference would be behind it: person to person only.
            Method::Refer if in_dialog => return Err(Reject::status(603, "nobody is referred to elsewhere")),
            Method::Notify => return Err(Reject::status(481, "no such subscription")),
            Method::Prack | Method::Register | Method::Publish | Method::Refer => {
                return Err(Reject::status(405, "method not supported").with(Name::Allow, ALLOW));
            }
            Method::Other(_) => return Err(Reject::status(501, "unknown method").with(Name::Allow, ALLOW)),
        }
        let uri = message.target().ok_or_else(|| Reject::status(400, "no Request-URI"))?;
        match uri.scheme {
            Scheme::Sip | Scheme::Sips | Scheme::Tel | Scheme::Im | Scheme::Pres => {}
            Scheme::Other(_) => return Err(Reject::status(416, "unknown scheme in the Request-URI")),
        }
        // RFC 3261 §8.2.2.3: an ACK is not asked, its INVITE was.
        if method != Method::Ack {
            self.check_required(message)?;
        }
        if method == Method::Options {
            return Ok(Examined::Options);
        }
        let sender = self.sender(message, link)?;
        let addressed = if in_dialog { &message.to().address } else { uri };
        let target = map::jid_from_uri(addressed, &self.map)
            .map_err(|error| self.refuse(error, error.status_as_target()))?;
        if target.local().is_none() {
            return Err(Reject::status(404, "the Request-URI names no user"));
        }
        if self.domains.iter().any(|domain| domain.as_str() == target.domain()) {
            // What is served on this side is never looked for on the other.
            return Err(Reject::status(404, "the Request-URI is in a domain of the SIP side"));
        }
        let kind = match method {
            Method::Subscribe | Method::Notify => Kind::Presence,
            // A session carries messages and nothing else.
            _ => Kind::Message,
        };
        let request = Verified::prove(Request { message, sender, target, kind });
        Ok(match method {
            Method::Subscribe => Examined::Subscribe(request),
            Method::Notify => Examined::Notify(request),
            _ if in_dialog => Examined::InDialog(request),
            Method::Invite => Examined::Invite(request),
            _ => Examined::Message(request),
        })
    }

    /// RFC 3261 §8.2.2.3: of extensions, [`SUPPORTED`] alone may be required; Proxy-Require is for proxies.
    fn check_required(&self, message: &Message<'_>) -> Result<(), Reject> {
        let mut unsupported = String::new();
        for token in message.tokens(Name::Require).take(32) {
            let token = token.map_err(|_| Reject::status(400, "malformed Require"))?;
            if token.eq_ignore_ascii_case(SUPPORTED) {
                continue;
            }
            if !unsupported.is_empty() {
                unsupported.push_str(", ");
            }
            unsupported.push_str(token);
        }
        if unsupported.is_empty() {
            return Ok(());
        }
        Err(Reject::status(420, "an extension is required").with(Name::Unsupported, unsupported))
    }

    /// Who sent `message`, as far as it says so itself; nothing is proven.
    ///
    /// # Errors
    /// From can't be mapped.
    pub fn from(&self, message: &Message<'_>) -> Result<Jid, MapError> {
        map::jid_from_uri(&message.from().address, &self.map)
    }

    /// From, if the link may speak for its domain.
    fn sender(&self, message: &Message<'_>, link: &LinkIdentity) -> Result<Jid, Reject> {
        let sender = self.from(message).map_err(|error| self.refuse(error, error.status_as_originator()))?;
        if !link.domains.iter().any(|domain| domain.as_str() == sender.domain()) {
            return Err(Reject::status(403, "the link may not speak for the domain in From"));
        }
        if sender.local().is_none() {
            return Err(Reject::status(403, "From names no user"));
        }
        // A user's resource is known only from a GRUU, and From is no place for one to be believed.
        Ok(sender)
    }

    fn refuse(&self, error: MapError, status: u16) -> Reject {
        let reject = Reject::status(status, "an address can't be mapped");
        let mut warning = format!("{} {} ", error.warn_code(), self.name);
        warning.push('"');
        warning.extend(error.to_string().chars().filter(|c| !matches!(c, '"' | '\\')));
        warning.push('"');
        reject.with(Name::Warning, warning)
    }
}

/// The one URI in Contact of what makes or moves a dialog (RFC 3261 §12.1.1, RFC 6665 §8.1, table 2).
pub(super) fn contact<'m>(message: &Message<'m>) -> Result<&'m str, Reject> {
    let mut contacts = message.contacts();
    match (contacts.next(), contacts.next()) {
        (Some(Ok(Contact::Address(address))), None) => Ok(address.uri),
        _ => Err(Reject::status(400, "Contact is not one address")),
    }
}

/// The values of Record-Route, in their order.
pub(super) fn record_routes<'m>(message: &Message<'m>) -> Result<Vec<&'m str>, Reject> {
    let routes: Result<Vec<_>, _> = message.values(Name::RecordRoute).take(MAX_ROUTES + 1).collect();
    routes.map_err(|_| Reject::status(400, "malformed Record-Route"))
}

#[cfg(test)]
mod tests;
