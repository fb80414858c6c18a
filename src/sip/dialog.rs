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
use std::fmt;

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

/// A dialog. There may be very many: all its texts stand in one allocation.
#[derive(Clone, PartialEq, Eq)]
pub struct Dialog {
    text: Box<str>,
    /// Where each part of `text` ends, in the order of [`Part`]; what follows is the route set.
    ends: [u16; PARTS],
    secure: bool,
    local_cseq: Option<u32>,
    remote_cseq: Option<u32>,
}

/// The parts of a dialog's text. A missing tag is empty.
#[derive(Clone, Copy)]
enum Part {
    CallId,
    LocalTag,
    RemoteTag,
    LocalUri,
    RemoteUri,
    RemoteTarget,
}

const PARTS: usize = 6;
/// Before each value of the route set, which can hold no such octet; then whether it is loose.
const LOOSE: &str = "\n+";
const STRICT: &str = "\n-";

/// In which message the peer of a dialog is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// A 2xx to our request.
    Response,
    /// A request of its own with this CSeq number.
    Request(u32),
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
        routes: Vec<Route<'_>>,
        (local_cseq, remote_cseq): (Option<u32>, Option<u32>),
    ) -> Result<Self, DialogError> {
        let secure = by.over_tls && scheme_of(by.request_uri) == Some(Scheme::Sips);
        let mut dialog = Self { text: Box::default(), ends: [0; PARTS], secure, local_cseq, remote_cseq };
        let parts = [
            kept(by.call_id)?,
            kept(local_tag.unwrap_or_default())?,
            kept(remote_tag.unwrap_or_default())?,
            kept(local_uri)?,
            kept(remote_uri)?,
            target(by.contact, secure)?,
        ];
        (dialog.text, dialog.ends) = packed(parts, &joined(&routes));
        Ok(dialog)
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
        let mut parts = self.parts();
        parts[Part::RemoteTarget as usize] = target(contact, self.secure)?;
        (self.text, self.ends) = packed(parts, &joined(&routes));
        Ok(())
    }

    /// The peer is met in its 2xx to our request, or in its first request, which then counts
    /// (RFC 6665 §4.4.1: a NOTIFY establishes the dialog that our SUBSCRIBE asked for). Remote tag,
    /// remote target and route set are those of that message; ours stay.
    ///
    /// # Errors
    /// [`DialogError`]: the dialog is as it was.
    pub fn meet<'a>(
        &mut self,
        remote_tag: &str,
        contact: &str,
        record_routes: impl IntoIterator<Item = &'a str>,
        met: Met,
    ) -> Result<(), DialogError> {
        let mut routes = route_set(record_routes)?;
        let remote_cseq = match met {
            Met::Response => {
                routes.reverse();
                None
            }
            Met::Request(number) => Some(cseq(number)?),
        };
        let mut parts = self.parts();
        parts[Part::RemoteTag as usize] = kept(remote_tag)?;
        parts[Part::RemoteTarget as usize] = target(contact, self.secure)?;
        (self.text, self.ends) = packed(parts, &joined(&routes));
        self.remote_cseq = remote_cseq;
        Ok(())
    }

    /// The Contact of a target refresh request, or of a 2xx to one, is where the peer now is
    /// (RFC 3261 §12.2.1.2, §12.2.2). The route set stays.
    ///
    /// # Errors
    /// [`DialogError`]: the dialog is as it was.
    pub fn refresh_target(&mut self, contact: &str) -> Result<(), DialogError> {
        let contact = target(contact, self.secure)?;
        if contact != self.remote_target() {
            let mut parts = self.parts();
            parts[Part::RemoteTarget as usize] = contact;
            (self.text, self.ends) = packed(parts, self.routes());
        }
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
        self.call_id() == call_id && self.local_tag() == local_tag && self.remote_tag() == remote_tag
    }

    /// Request-URI and Route of a request inside the dialog.
    pub fn route(&self) -> Routed<'_> {
        let target = self.remote_target();
        let mut values = self.routes().split('\n').skip(1);
        let Some(first) = values.next() else {
            return Routed {
                request_uri: Cow::Borrowed(target),
                routes: Vec::new(),
                last: None,
                next_hop: target,
            };
        };
        let (loose, first) = (first.starts_with('+'), first.get(1..).unwrap_or_default());
        let next_hop = address(first).unwrap_or(first);
        let values = values.map(|value| value.get(1..).unwrap_or_default());
        if loose {
            let routes = std::iter::once(first).chain(values).collect();
            return Routed { request_uri: Cow::Borrowed(target), routes, last: None, next_hop };
        }
        Routed {
            request_uri: as_request_uri(next_hop),
            routes: values.collect(),
            last: Some(target),
            next_hop,
        }
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        self.part(Part::CallId)
    }

    /// The tag for From of our requests.
    pub fn local_tag(&self) -> Option<&str> {
        Some(self.part(Part::LocalTag)).filter(|tag| !tag.is_empty())
    }

    /// The tag for To of our requests.
    pub fn remote_tag(&self) -> Option<&str> {
        Some(self.part(Part::RemoteTag)).filter(|tag| !tag.is_empty())
    }

    /// The URI for From of our requests.
    pub fn local_uri(&self) -> &str {
        self.part(Part::LocalUri)
    }

    /// The URI for To of our requests.
    pub fn remote_uri(&self) -> &str {
        self.part(Part::RemoteUri)
    }

    /// Where the peer is.
    pub fn remote_target(&self) -> &str {
        self.part(Part::RemoteTarget)
    }

    /// Whether our Contact must be a SIPS URI and all requests go over TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Octets of all its texts.
    pub fn octets(&self) -> usize {
        self.text.len()
    }

    fn part(&self, part: Part) -> &str {
        let index = part as usize;
        let end = |index: usize| self.ends.get(index).copied().map_or(0, usize::from);
        self.text.get(index.checked_sub(1).map_or(0, end)..end(index)).unwrap_or_default()
    }

    fn parts(&self) -> [&str; PARTS] {
        [
            self.part(Part::CallId),
            self.part(Part::LocalTag),
            self.part(Part::RemoteTag),
            self.part(Part::LocalUri),
            self.part(Part::RemoteUri),
            self.part(Part::RemoteTarget),
        ]
    }

    /// The values of the route set, each behind its mark.
    fn routes(&self) -> &str {
        self.text.get(usize::from(self.ends[PARTS - 1])..).unwrap_or_default()
    }
}

impl fmt::Debug for Dialog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialog")
            .field("parts", &self.parts())
            .field("routes", &self.routes())
            .field("secure", &self.secure)
            .field("cseq", &(self.local_cseq, self.remote_cseq))
            .finish()
    }
}

fn cseq(number: u32) -> Result<u32, DialogError> {
    if number > MAX_CSEQ { Err(DialogError::Cseq) } else { Ok(number) }
}

/// One text of `parts` and the joined `routes`, and where each part ends.
fn packed(parts: [&str; PARTS], routes: &str) -> (Box<str>, [u16; PARTS]) {
    let mut text = String::with_capacity(parts.iter().map(|part| part.len()).sum::<usize>() + routes.len());
    let mut ends = [0; PARTS];
    for (part, end) in parts.iter().zip(&mut ends) {
        text.push_str(part);
        // Six parts of at most 2048 octets.
        *end = u16::try_from(text.len()).unwrap_or(u16::MAX);
    }
    text.push_str(routes);
    (text.into(), ends)
}

/// The route set as one text.
fn joined(routes: &[Route<'_>]) -> String {
    routes.iter().flat_map(|route| [if route.loose { LOOSE } else { STRICT }, route.value]).collect()
}

/// One value of the route set.
struct Route<'a> {
    /// The value as received: name-addr and parameters.
    value: &'a str,
    /// Whether its URI has the `lr` parameter.
    loose: bool,
}

fn kept(text: &str) -> Result<&str, DialogError> {
    if text.len() > MAX_TEXT { Err(DialogError::TooLong) } else { Ok(text) }
}

fn scheme_of(uri: &str) -> Option<Scheme<'_>> {
    Uri::parse(uri).ok().map(|uri| uri.scheme)
}

/// A remote target: a SIP URI, SIPS if the dialog is secure.
fn target(contact: &str, secure: bool) -> Result<&str, DialogError> {
    let text = kept(contact)?;
    match scheme_of(contact) {
        Some(Scheme::Sips) => Ok(text),
        Some(Scheme::Sip) if !secure => Ok(text),
        Some(Scheme::Sip) => Err(DialogError::Insecure),
        Some(Scheme::Tel | Scheme::Im | Scheme::Pres | Scheme::Other(_)) | None => Err(DialogError::Contact),
    }
}

fn route_set<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Vec<Route<'a>>, DialogError> {
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
