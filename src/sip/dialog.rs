//! Dialogs: how two user agents keep a conversation apart and reach each other (RFC 3261 §12).
//!
//! A [`Dialog`] holds its identifiers, the route set, the remote target and both CSeq counters. It
//! is made from the message that established it, [`Dialog::uas`] or [`Dialog::uac`], and then says
//! for each request inside it where it goes ([`Dialog::route`]) and which number it has
//! ([`Dialog::next_cseq`]), or whether one from the peer is in order ([`Dialog::on_request`]).
//! What runs inside (a subscription, a session) is no concern of this file.
//!
//! Header values come in as text, one value each: a caller with a comma list splits it first.

use crate::addr::uri::{Scheme, Uri};
use std::borrow::Cow;

/// Most values of a route set; a longer one is refused, not cut.
pub const MAX_ROUTES: usize = 32;
/// Most octets of one identifier, address or route.
pub const MAX_TEXT: usize = 2048;
/// The highest CSeq number (RFC 3261 §8.1.1.5).
pub const MAX_CSEQ: u32 = (1 << 31) - 1;

/// Why a message establishes no dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialogError {
    /// The Contact is missing or no SIP or SIPS URI (RFC 3261 §12.1.1).
    #[error("the Contact is no SIP URI")]
    Contact,
    /// A Record-Route value is no name-addr with a SIP or SIPS URI.
    #[error("a Record-Route value is no SIP address")]
    RecordRoute,
    /// More than [`MAX_ROUTES`] routes or a text of more than [`MAX_TEXT`] octets.
    #[error("the dialog's route set or an address in it is too long")]
    TooLong,
    /// The CSeq number is above 2^31 - 1.
    #[error("the CSeq number is above its limit")]
    Cseq,
    /// The dialog is secure and the URI is not SIPS (RFC 3261 §12.1.1).
    #[error("the dialog is secure, the Contact is not")]
    Insecure,
}

/// The message that established a dialog. In a UAC's own request and its response, or in the
/// peer's request and our response: the texts are always those on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Establishing<'a> {
    /// The Call-ID.
    pub call_id: &'a str,
    /// The URI in From.
    pub from_uri: &'a str,
    /// The tag in From; a client of RFC 2543 has none.
    pub from_tag: Option<&'a str>,
    /// The URI in To.
    pub to_uri: &'a str,
    /// The tag in To of the response.
    pub to_tag: Option<&'a str>,
    /// The CSeq number of the request.
    pub cseq: u32,
    /// The URI in the peer's Contact: of the request for a UAS, of the response for a UAC.
    pub contact: &'a str,
    /// The Request-URI.
    pub request_uri: &'a str,
    /// Whether the request went over TLS.
    pub over_tls: bool,
}

/// One value of the route set.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    /// The value as received: name-addr and parameters.
    value: Box<str>,
    /// Whether its URI has the `lr` parameter.
    loose: bool,
}

/// A dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialog {
    call_id: Box<str>,
    local_tag: Option<Box<str>>,
    remote_tag: Option<Box<str>>,
    local_uri: Box<str>,
    remote_uri: Box<str>,
    remote_target: Box<str>,
    routes: Vec<Route>,
    local_cseq: Option<u32>,
    remote_cseq: Option<u32>,
    secure: bool,
}

/// Where a request inside the dialog goes (RFC 3261 §12.2.1.1). The next hop is the first of
/// `routes`, or the Request-URI when there is none or it came from a strict router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed<'d> {
    /// The Request-URI.
    pub request_uri: Cow<'d, str>,
    /// The values of Route in their order, without a [`Self::last`] one.
    pub routes: Vec<&'d str>,
    /// The last value of Route behind a strict router: the remote target, to be put in `<>`.
    pub last: Option<&'d str>,
    /// The URI that decides the next hop (RFC 3261 §8.1.2).
    pub next_hop: &'d str,
}

/// How the CSeq of a request from the peer stands to the dialog (RFC 3261 §12.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Higher than all before, perhaps by more than one: the dialog has counted it.
    InOrder,
    /// Not higher than one before: answer 500.
    OutOfOrder,
}

impl Dialog {
    /// The UAS's dialog (RFC 3261 §12.1.1): `record_routes` of the request, in their order.
    ///
    /// # Errors
    /// [`DialogError`] names what the request lacks: answer 400.
    pub fn uas<'a>(
        by: &Establishing<'_>,
        record_routes: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, DialogError> {
        let routes = route_set(record_routes)?;
        let (local, remote) = ((by.to_tag, by.to_uri), (by.from_tag, by.from_uri));
        Self::new(by, local, remote, routes, (None, Some(cseq(by.cseq)?)))
    }

    /// The UAC's dialog (RFC 3261 §12.1.2): `record_routes` of the response, in their order.
    ///
    /// # Errors
    /// [`DialogError`] names what the response lacks.
    pub fn uac<'a>(
        by: &Establishing<'_>,
        record_routes: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, DialogError> {
        let mut routes = route_set(record_routes)?;
        routes.reverse();
        let (local, remote) = ((by.from_tag, by.from_uri), (by.to_tag, by.to_uri));
        Self::new(by, local, remote, routes, (Some(cseq(by.cseq)?), None))
    }

    fn new(
        by: &Establishing<'_>,
        (local_tag, local_uri): (Option<&str>, &str),
        (remote_tag, remote_uri): (Option<&str>, &str),
        routes: Vec<Route>,
        (local_cseq, remote_cseq): (Option<u32>, Option<u32>),
    ) -> Result<Self, DialogError> {
        let secure = by.over_tls && scheme_of(by.request_uri) == Some(Scheme::Sips);
        Ok(Self {
            call_id: kept(by.call_id)?,
            local_tag: local_tag.map(kept).transpose()?,
            remote_tag: remote_tag.map(kept).transpose()?,
            local_uri: kept(local_uri)?,
            remote_uri: kept(remote_uri)?,
            remote_target: target(by.contact, secure)?,
            routes,
            local_cseq,
            remote_cseq,
            secure,
        })
    }

    /// An early dialog is confirmed by the 2xx to its INVITE: route set and remote target are those
    /// of the 2xx, all else stays (RFC 3261 §13.2.2.4).
    ///
    /// # Errors
    /// [`DialogError`]: the dialog is as it was.
    pub fn confirm<'a>(
        &mut self,
        contact: &str,
        record_routes: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), DialogError> {
        let mut routes = route_set(record_routes)?;
        routes.reverse();
        self.remote_target = target(contact, self.secure)?;
        self.routes = routes;
        Ok(())
    }

    /// The Contact of a target refresh request, or of a 2xx to one, is where the peer now is
    /// (RFC 3261 §12.2.1.2, §12.2.2). The route set stays.
    ///
    /// # Errors
    /// [`DialogError`]: the dialog is as it was.
    pub fn refresh_target(&mut self, contact: &str) -> Result<(), DialogError> {
        self.remote_target = target(contact, self.secure)?;
        Ok(())
    }

    /// The CSeq number of our next request, one above the last; not for ACK and CANCEL, which have
    /// that of their INVITE. `initial` begins the count of a UAS that never sent one.
    ///
    /// None when the numbers are used up: the dialog has to end.
    pub fn next_cseq(&mut self, initial: u32) -> Option<u32> {
        let next = match self.local_cseq {
            Some(last) => last.checked_add(1).filter(|next| *next <= MAX_CSEQ)?,
            None => initial.min(MAX_CSEQ / 2),
        };
        self.local_cseq = Some(next);
        Some(next)
    }

    /// A request of the peer with this CSeq number, other than ACK and CANCEL.
    ///
    /// DEVIATES RFC 3261 §12.2.2: an equal number is out of order too, which the text leaves open.
    /// It is a request that was delivered already, with another branch.
    pub fn on_request(&mut self, cseq: u32) -> Order {
        if cseq > MAX_CSEQ || self.remote_cseq.is_some_and(|last| cseq <= last) {
            return Order::OutOfOrder;
        }
        self.remote_cseq = Some(cseq);
        Order::InOrder
    }

    /// Whether a message with these identifiers belongs to this dialog (RFC 3261 §12). Tags compare
    /// octet by octet; a missing tag equals a missing one.
    pub fn is(&self, call_id: &str, local_tag: Option<&str>, remote_tag: Option<&str>) -> bool {
        *self.call_id == *call_id
            && self.local_tag.as_deref() == local_tag
            && self.remote_tag.as_deref() == remote_tag
    }

    /// Request-URI and Route of a request inside the dialog.
    pub fn route(&self) -> Routed<'_> {
        let values = self.routes.iter().map(|route| &*route.value);
        let Some(first) = self.routes.first() else {
            let target = &*self.remote_target;
            return Routed {
                request_uri: Cow::Borrowed(target),
                routes: Vec::new(),
                last: None,
                next_hop: target,
            };
        };
        let next_hop = address(&first.value).unwrap_or(&first.value);
        if first.loose {
            let request_uri = Cow::Borrowed(&*self.remote_target);
            return Routed { request_uri, routes: values.collect(), last: None, next_hop };
        }
        Routed {
            request_uri: as_request_uri(next_hop),
            routes: values.skip(1).collect(),
            last: Some(&self.remote_target),
            next_hop,
        }
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// The tag for From of our requests.
    pub fn local_tag(&self) -> Option<&str> {
        self.local_tag.as_deref()
    }

    /// The tag for To of our requests.
    pub fn remote_tag(&self) -> Option<&str> {
        self.remote_tag.as_deref()
    }

    /// The URI for From of our requests.
    pub fn local_uri(&self) -> &str {
        &self.local_uri
    }

    /// The URI for To of our requests.
    pub fn remote_uri(&self) -> &str {
        &self.remote_uri
    }

    /// Where the peer is.
    pub fn remote_target(&self) -> &str {
        &self.remote_target
    }

    /// Whether our Contact must be a SIPS URI and all requests go over TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }
}

fn cseq(number: u32) -> Result<u32, DialogError> {
    if number > MAX_CSEQ { Err(DialogError::Cseq) } else { Ok(number) }
}

fn kept(text: &str) -> Result<Box<str>, DialogError> {
    if text.len() > MAX_TEXT { Err(DialogError::TooLong) } else { Ok(text.into()) }
}

fn scheme_of(uri: &str) -> Option<Scheme<'_>> {
    Uri::parse(uri).ok().map(|uri| uri.scheme)
}

/// A remote target: a SIP URI, SIPS if the dialog is secure.
fn target(contact: &str, secure: bool) -> Result<Box<str>, DialogError> {
    let text = kept(contact)?;
    match scheme_of(contact) {
        Some(Scheme::Sips) => Ok(text),
        Some(Scheme::Sip) if !secure => Ok(text),
        Some(Scheme::Sip) => Err(DialogError::Insecure),
        Some(Scheme::Tel | Scheme::Im | Scheme::Pres | Scheme::Other(_)) | None => Err(DialogError::Contact),
    }
}

fn route_set<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Vec<Route>, DialogError> {
    let mut routes = Vec::new();
    for value in values {
        if routes.len() == MAX_ROUTES {
            return Err(DialogError::TooLong);
        }
        let value = value.trim_matches([' ', '\t']);
        let clean = !value.bytes().any(|octet| octet.is_ascii_control() && octet != b'\t');
        let uri = address(value).filter(|_| clean).and_then(|text| Uri::parse(text).ok()).filter(Uri::is_sip);
        let uri = uri.ok_or(DialogError::RecordRoute)?;
        routes.push(Route { loose: uri.param("lr").is_some(), value: kept(value)? });
    }
    Ok(routes)
}

/// The URI between the `<>` of a name-addr, past a quoted display name.
fn address(value: &str) -> Option<&str> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, octet) in value.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => {
                return value.get(at + 1..)?.split_once('>').map(|(uri, _)| uri);
            }
            _ => {}
        }
    }
    None
}

/// The URI of a strict router as a Request-URI: without headers and without the `method` parameter
/// (RFC 3261 §19.1.1, table 1).
fn as_request_uri(uri: &str) -> Cow<'_, str> {
    let Ok(parsed) = Uri::parse(uri) else { return Cow::Borrowed(uri) };
    let bare = match parsed.headers {
        Some(headers) => uri.get(..uri.len() - headers.len() - 1).unwrap_or(uri),
        None => uri,
    };
    if parsed.param("method").is_none() {
        return Cow::Borrowed(bare);
    }
    let front = bare.len() - parsed.params.len();
    let mut text: String = bare.get(..front).unwrap_or(bare).trim_end_matches(';').into();
    for one in parsed.params.split(';') {
        let name = one.split('=').next().unwrap_or_default();
        if !name.eq_ignore_ascii_case("method") {
            text.push(';');
            text.push_str(one);
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests;
