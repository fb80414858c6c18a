//! One message: checked for what every message needs, the rest typed on demand, all borrowed.
//!
//! [`Message::parse`] checks the start line, every header line and the values of Via, From, To,
//! Call-ID, CSeq, Max-Forwards, Content-Length and Content-Type. All other headers are parsed where
//! they are used; a [`Malformed`] one there is a 400 as well, unless the header can be ignored
//! (Date, and Expires, which then counts as absent: RFC 4475 §3.1.2.4). What RFC 3261 asks of a UAS
//! beyond syntax (§8.2) is the agent's.

use super::Fault;
use super::frame::content_length;
pub use super::lex::Start;
use super::lex::{self, CALL_ID, Header, digits};
use super::method::Method;
use super::name::Name;
use super::value::{
    CSeq, Contact, Event, Malformed, MediaType, NameAddr, SubscriptionState, Tagged, Values, Via, date,
    delta_seconds,
};
use crate::addr::uri::Uri;
use crate::now::Wall;

/// Most values of Via; each hop adds one, and Max-Forwards starts at 70.
const MAX_VIAS: usize = 128;

/// A message, borrowed from its octets.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    /// The first line.
    pub start: Start<'a>,
    /// The body, as long as Content-Length says.
    pub body: &'a [u8],
    headers: Headers<'a>,
    target: Option<Uri<'a>>,
    via: Via<'a>,
    vias: usize,
    from: NameAddr<'a>,
    to: NameAddr<'a>,
    call_id: &'a str,
    cseq: CSeq<'a>,
    max_forwards: Option<u8>,
    content_type: Option<MediaType<'a>>,
}

/// Why octets are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub struct SipError<'a> {
    /// What is wrong.
    pub fault: Fault,
    /// The request that is to be answered with [`Fault::status`]; `None` if it is none or can't be
    /// answered.
    pub readable: Option<Box<Readable<'a>>>,
}

impl SipError<'_> {
    /// The status code of the answer.
    pub fn status(&self) -> u16 {
        self.fault.status()
    }
}

impl<'a> Message<'a> {
    /// Parses one message as [`super::frame`] cut it.
    ///
    /// # Errors
    /// [`SipError`] with the first fault and as much of a request as its answer needs.
    pub fn parse(octets: &'a [u8]) -> Result<Self, SipError<'a>> {
        parse(octets).map_err(|fault| {
            let readable = Readable::of(octets).map(Box::new);
            SipError { fault, readable }
        })
    }

    /// The method of a request.
    pub fn method(&self) -> Option<Method<'a>> {
        match self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// The status code of a response.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Request { .. } => None,
            Start::Response { status, .. } => Some(status),
        }
    }

    /// The Request-URI of a request in its parts.
    pub fn target(&self) -> Option<&Uri<'a>> {
        self.target.as_ref()
    }

    /// All headers in their order.
    pub fn all_headers(&self) -> &[Header<'a>] {
        &self.headers.list
    }

    /// The value of the first header `name`.
    pub fn header(&self, name: Name) -> Option<&'a str> {
        self.headers.first(name).map(|header| header.value)
    }

    /// The values of all headers `name`, each as one text.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &'a str> + use<'_, 'a> {
        self.headers.all(name)
    }

    /// The value of the first header that is spelt `name`, in any case, known or not.
    pub fn header_spelt(&self, name: &str) -> Option<&'a str> {
        let same = |header: &&Header<'a>| header.spelt.eq_ignore_ascii_case(name);
        self.headers.list.iter().find(same).map(|header| header.value)
    }

    /// The values of the list that all headers `name` make together.
    pub fn values(&self, name: Name) -> impl Iterator<Item = Result<&'a str, Malformed>> + use<'_, 'a> {
        self.headers.all(name).flat_map(Values::of)
    }

    /// The tokens of a list such as Require, Supported, Allow or Content-Encoding. An empty header
    /// has none.
    pub fn tokens(&self, name: Name) -> impl Iterator<Item = Result<&'a str, Malformed>> + use<'_, 'a> {
        self.headers.all(name).filter(|value| !value.is_empty()).flat_map(Values::of).map(|value| {
            let value = value?;
            if lex::is_token(value) { Ok(value) } else { Err(Malformed) }
        })
    }

    /// The topmost Via.
    pub fn via(&self) -> &Via<'a> {
        &self.via
    }

    /// How many values of Via there are.
    pub fn via_count(&self) -> usize {
        self.vias
    }

    /// All values of Via, the topmost first.
    pub fn vias(&self) -> impl Iterator<Item = Via<'a>> + use<'_, 'a> {
        // All were checked in parse, which kept the first.
        let values = self.values(Name::Via).skip(1).take(self.vias.saturating_sub(1));
        std::iter::once(self.via).chain(values.filter_map(|value| Via::parse(value.ok()?).ok()))
    }

    /// From.
    pub fn from(&self) -> &NameAddr<'a> {
        &self.from
    }

    /// To.
    pub fn to(&self) -> &NameAddr<'a> {
        &self.to
    }

    /// Call-ID.
    pub fn call_id(&self) -> &'a str {
        self.call_id
    }

    /// CSeq.
    pub fn cseq(&self) -> CSeq<'a> {
        self.cseq
    }

    /// Max-Forwards; RFC 2543 did not ask for it.
    pub fn max_forwards(&self) -> Option<u8> {
        self.max_forwards
    }

    /// Content-Type.
    pub fn content_type(&self) -> Option<&MediaType<'a>> {
        self.content_type.as_ref()
    }

    /// Contact, all of its values.
    pub fn contacts(&self) -> impl Iterator<Item = Result<Contact<'a>, Malformed>> + use<'_, 'a> {
        self.values(Name::Contact).map(|value| Contact::parse(value?))
    }

    /// The addresses of a list such as Route, Record-Route or P-Asserted-Identity.
    pub fn addresses(
        &self,
        name: Name,
    ) -> impl Iterator<Item = Result<NameAddr<'a>, Malformed>> + use<'_, 'a> {
        self.values(name).map(|value| NameAddr::parse(value?))
    }

    /// The media ranges of Accept.
    pub fn accepts(&self) -> impl Iterator<Item = Result<MediaType<'a>, Malformed>> + use<'_, 'a> {
        let values = self.headers.all(Name::Accept).filter(|value| !value.is_empty());
        values.flat_map(Values::of).map(|value| MediaType::parse(value?))
    }

    /// A header that is a token with parameters, such as Event, Subscription-State or
    /// Content-Disposition.
    pub fn tagged(&self, name: Name) -> Option<Result<Tagged<'a>, Malformed>> {
        self.header(name).map(Tagged::parse)
    }

    /// A header that is a number of seconds: Expires or Min-Expires.
    pub fn seconds(&self, name: Name) -> Option<Result<u32, Malformed>> {
        self.header(name).map(|value| digits(value).ok_or(Malformed))
    }

    /// Event.
    pub fn event(&self) -> Option<Result<Event<'a>, Malformed>> {
        self.header(Name::Event).map(Event::parse)
    }

    /// Subscription-State.
    pub fn subscription_state(&self) -> Option<Result<SubscriptionState, Malformed>> {
        self.header(Name::SubscriptionState).map(SubscriptionState::parse)
    }

    /// Expires, in seconds; a malformed one counts as absent (RFC 4475 §3.1.2.4).
    pub fn expires(&self) -> Option<u32> {
        self.header(Name::Expires).and_then(delta_seconds)
    }

    /// Date.
    pub fn date(&self) -> Option<Result<Wall, Malformed>> {
        self.header(Name::Date).map(date)
    }
}

fn parse(octets: &[u8]) -> Result<Message<'_>, Fault> {
    let head_end = lex::head_end(octets)?;
    let (head, rest) = octets.split_at_checked(head_end).ok_or(Fault::NoHeadEnd)?;
    let head = std::str::from_utf8(head).map_err(|_| Fault::NotUtf8)?;
    let mut lines = lex::lines(head);
    let first = lines.next().ok_or(Fault::StartLine)?;
    if lex::has_control(first) {
        return Err(Fault::Control);
    }
    let start = lex::start_line(first)?;
    let headers = Headers::parse(lines, lex::may_have_control(head))?;

    let body = match headers.first(Name::ContentLength) {
        Some(header) => {
            let length = content_length(header.value).ok_or(Fault::ContentLength)?;
            rest.get(..length).ok_or(Fault::BodyShort)?
        }
        None => rest,
    };
    let value = |name: Name| headers.first(name).map(|header| header.value);
    let need = |name: Name| value(name).ok_or(Fault::Missing(name));

    let cseq = CSeq::parse(need(Name::CSeq)?).map_err(|_| Fault::Value(Name::CSeq))?;
    let target = match start {
        Start::Request { method, uri } => {
            if method != cseq.method {
                return Err(match method {
                    Method::Other(_) => Fault::UnknownMethodMismatch,
                    _ => Fault::MethodMismatch,
                });
            }
            let target = Uri::parse(uri).map_err(Fault::RequestUri)?;
            if target.is_sip() && target.headers.is_some() {
                return Err(Fault::RequestUri(crate::addr::uri::UriError::Headers));
            }
            Some(target)
        }
        Start::Response { .. } => None,
    };
    let (via, vias) = vias(&headers)?;
    let address = |name: Name| NameAddr::parse(need(name)?).map_err(|_| Fault::Value(name));
    let call_id = need(Name::CallId)?;
    if call_id.is_empty() || !call_id.bytes().all(|b| lex::is(b, CALL_ID)) {
        return Err(Fault::Value(Name::CallId));
    }
    let max_forwards = match value(Name::MaxForwards) {
        Some(value) => {
            let hops = digits(value).and_then(|hops| u8::try_from(hops).ok());
            Some(hops.ok_or(Fault::Value(Name::MaxForwards))?)
        }
        None => None,
    };
    let content_type = match value(Name::ContentType) {
        Some(value) => Some(MediaType::parse(value).map_err(|_| Fault::Value(Name::ContentType))?),
        None => None,
    };
    let (from, to) = (address(Name::From)?, address(Name::To)?);
    Ok(Message {
        start,
        body,
        target,
        via,
        vias,
        from,
        to,
        call_id,
        cseq,
        max_forwards,
        content_type,
        headers,
    })
}

/// Checks all values of Via: the first and how many.
fn vias<'a>(headers: &Headers<'a>) -> Result<(Via<'a>, usize), Fault> {
    let mut top = None;
    let mut count = 0;
    for value in headers.all(Name::Via).flat_map(Values::of) {
        let via = value.and_then(Via::parse).map_err(|_| Fault::Value(Name::Via))?;
        top.get_or_insert(via);
        count += 1;
        if count > MAX_VIAS {
            return Err(Fault::TooManyHeaders);
        }
    }
    top.map(|top| (top, count)).ok_or(Fault::Missing(Name::Via))
}

/// The headers of a message with an index by name.
#[derive(Clone, Debug)]
struct Headers<'a> {
    list: Vec<Header<'a>>,
    /// For each name one more than the place of its first header, or 0.
    first: [u8; Name::COUNT],
}

/// A list starts with room for this many.
const USUAL: usize = 20;

impl<'a> Headers<'a> {
    fn parse(lines: impl Iterator<Item = &'a str>, wary: bool) -> Result<Self, Fault> {
        let mut headers = Self { list: Vec::with_capacity(USUAL), first: [0; Name::COUNT] };
        for line in lines {
            if wary && lex::has_control(line) {
                return Err(Fault::Control);
            }
            let header = lex::header(line)?;
            headers.list.push(header);
            let place = u8::try_from(headers.list.len()).map_err(|_| Fault::TooManyHeaders)?;
            let Some(name) = header.name else { continue };
            if let Some(first) = headers.first.get_mut(name as usize) {
                if *first == 0 {
                    *first = place;
                } else if name.is_single() {
                    return Err(match name {
                        Name::ContentLength => Fault::ContentLength,
                        name => Fault::Twice(name),
                    });
                }
            }
        }
        Ok(headers)
    }

    fn first(&self, name: Name) -> Option<&Header<'a>> {
        let place = usize::from(*self.first.get(name as usize)?);
        self.list.get(place.checked_sub(1)?)
    }

    fn all(&self, name: Name) -> impl Iterator<Item = &'a str> + use<'_, 'a> {
        let first = usize::from(self.first.get(name as usize).copied().unwrap_or_default());
        let start = first.checked_sub(1).unwrap_or(self.list.len());
        let list = self.list.get(start..).unwrap_or_default();
        list.iter().filter(move |header| header.name == Some(name)).map(|header| header.value)
    }
}

/// A request that is malformed, as far as its answer needs it: a Via, and whatever else can be
/// read. [`super::write::refusal_tail`] copies it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readable<'a> {
    method: &'a str,
    headers: Vec<Header<'a>>,
    via: Option<Via<'a>>,
}

impl<'a> Readable<'a> {
    /// Reads what can be read of a header block, complete or not. `None` for a response, for an
    /// ACK (which is never answered) and if there is no Via.
    pub fn of(octets: &'a [u8]) -> Option<Self> {
        let mut lines = Lines { rest: octets };
        let first = std::str::from_utf8(lines.next()?).ok()?;
        let method = first.split(' ').next()?;
        if !lex::is_token(method) || method == "ACK" {
            return None;
        }
        let mut headers: Vec<Header<'a>> = Vec::new();
        for line in lines.take(usize::from(u8::MAX)) {
            let text = std::str::from_utf8(line).ok().filter(|line| !lex::has_control(line));
            headers.extend(text.and_then(|line| lex::header(line).ok()));
        }
        let top = headers.iter().find(|header| header.name == Some(Name::Via))?;
        let via = Values::of(top.value).next()?.and_then(Via::parse).ok();
        Some(Self { method, headers, via })
    }

    /// The method as it was spelt.
    pub fn method(&self) -> &'a str {
        self.method
    }

    /// The headers that could be read, in their order.
    pub fn all_headers(&self) -> &[Header<'a>] {
        &self.headers
    }

    /// The value of the first header `name`.
    pub fn header(&self, name: Name) -> Option<&'a str> {
        self.headers.iter().find(|header| header.name == Some(name)).map(|header| header.value)
    }

    /// The topmost Via, if it is well formed.
    pub fn via(&self) -> Option<&Via<'a>> {
        self.via.as_ref()
    }
}

/// Lines until the empty one, or the end.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = memchr::memchr(b'\n', self.rest)?;
        let (line, rest) = self.rest.split_at_checked(length + 1)?;
        self.rest = rest;
        let line = line.strip_suffix(b"\n").map(|line| line.strip_suffix(b"\r").unwrap_or(line))?;
        (!line.is_empty()).then_some(line)
    }
}
