//! The only way bytes of SIP are made.
//!
//! A value stays one line, whatever it holds: in every text each control character but the tab,
//! so also CR, LF and NUL, is written as a space, in a quoted string as well. Nothing is refused, so
//! no caller has an error to mishandle. In a URI every octet that could end it is percent-encoded.
//! Numbers, names and methods are types that can hold no such octet, and Content-Length counts the
//! octets of the body. What stays the caller's: text is not checked against the grammar of its
//! header.
//!
//! [`Writer`] writes requests and responses; [`response_tail`] and [`refusal_tail`] write what a
//! response copies from its request (RFC 3261 §8.2.6.2), so that the status can be chosen later.

use super::lex::{Header, is_token};
use super::locate::Transport;
use super::message::{Message, Readable};
use super::method::Method;
use super::name::Name;
use super::status;
use super::value::{Via, write_date};
use crate::now::Wall;
use std::net::{IpAddr, SocketAddr};

/// What every request has (RFC 3261 §8.1.1). Its Via asks for `rport` (RFC 3581 §3).
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method, also of CSeq.
    pub method: Method<'a>,
    /// The Request-URI.
    pub uri: &'a [u8],
    /// The transport of Via.
    pub transport: Transport,
    /// Host and port that Via names, `host[:port]`.
    pub sent_by: &'a str,
    /// The branch, with its `z9hG4bK`.
    pub branch: &'a str,
    /// Max-Forwards.
    pub max_forwards: u8,
    /// From; its tag must be there (RFC 3261 §8.1.1.3).
    pub from: Party<'a>,
    /// To; its tag is there inside of a dialog.
    pub to: Party<'a>,
    /// Call-ID.
    pub call_id: &'a str,
    /// The number of CSeq.
    pub cseq: u32,
}

/// One end of a request.
#[derive(Clone, Copy, Debug)]
pub struct Party<'a> {
    /// The display name, plain.
    pub display: Option<&'a str>,
    /// The URI.
    pub uri: &'a [u8],
    /// The tag.
    pub tag: Option<&'a str>,
}

/// Writes one message to the end of a buffer. A message that is not finished with
/// [`Writer::body`] or [`Writer::end`] has no empty line.
#[must_use = "a message ends with body() or end()"]
pub struct Writer<'w> {
    out: &'w mut Vec<u8>,
}

impl<'w> Writer<'w> {
    /// Starts a request: its request line and the headers that every request has.
    pub fn request(out: &'w mut Vec<u8>, request: &Request<'_>) -> Self {
        text(out, request.method.as_str());
        out.push(b' ');
        uri(out, request.uri);
        out.extend_from_slice(b" SIP/2.0\r\n");
        let mut writer = Self { out };
        let via = writer.field(Name::Via).text("SIP/2.0/").text(request.transport.as_str()).text(" ");
        via.text(request.sent_by).text(";branch=").text(request.branch).text(";rport");
        writer.number(Name::MaxForwards, request.max_forwards.into());
        writer.party(Name::From, &request.from);
        writer.party(Name::To, &request.to);
        writer.header(Name::CallId, request.call_id);
        writer.field(Name::CSeq).number(request.cseq.into()).text(" ").text(request.method.as_str());
        writer
    }

    /// Starts a response: its status line with the phrase of [`status::reason`], and a tail of
    /// [`response_tail`] or [`refusal_tail`].
    pub fn response(out: &'w mut Vec<u8>, status: u16, tail: &[u8]) -> Self {
        Self::response_with(out, status, status::reason(status), tail)
    }

    /// The same with a reason phrase of one's own.
    pub fn response_with(out: &'w mut Vec<u8>, status: u16, reason: &str, tail: &[u8]) -> Self {
        out.extend_from_slice(b"SIP/2.0 ");
        decimal(out, status.into());
        out.push(b' ');
        text(out, reason);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(tail);
        Self { out }
    }

    /// One header with a value that is written as it is.
    pub fn header(&mut self, name: Name, value: &str) -> &mut Self {
        self.field(name).text(value);
        self
    }

    /// One header with a number.
    pub fn number(&mut self, name: Name, value: u64) -> &mut Self {
        self.field(name).number(value);
        self
    }

    /// One header that has no [`Name`]; without effect if `name` is no token.
    pub fn other(&mut self, name: &str, value: &str) -> &mut Self {
        if is_token(name) {
            Field::begin(self.out, name).text(value);
        }
        self
    }

    /// From, To or their like.
    pub fn party(&mut self, name: Name, party: &Party<'_>) -> &mut Self {
        let mut field = self.field(name);
        if let Some(display) = party.display.filter(|display| !display.is_empty()) {
            field = field.quoted(display).text(" ");
        }
        field = field.address(party.uri);
        if let Some(tag) = party.tag {
            field = field.param("tag", tag);
        }
        drop(field);
        self
    }

    /// Date.
    pub fn date(&mut self, time: Wall) -> &mut Self {
        let field = self.field(Name::Date);
        write_date(time, field.out);
        drop(field);
        self
    }

    /// One header whose value is put together from parts. It ends where the field is dropped.
    pub fn field(&mut self, name: Name) -> Field<'_> {
        Field::begin(self.out, name.as_str())
    }

    /// Ends the message with a body.
    pub fn body(mut self, content_type: &str, body: &[u8]) {
        self.header(Name::ContentType, content_type);
        self.number(Name::ContentLength, body.len() as u64);
        self.out.extend_from_slice(b"\r\n");
        self.out.extend_from_slice(body);
    }

    /// Ends the message without a body.
    pub fn end(mut self) {
        self.number(Name::ContentLength, 0);
        self.out.extend_from_slice(b"\r\n");
    }
}

/// The value of one header; its line ends where this is dropped.
pub struct Field<'w> {
    out: &'w mut Vec<u8>,
}

impl<'w> Field<'w> {
    fn begin(out: &'w mut Vec<u8>, name: &str) -> Self {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        Self { out }
    }

    /// Text as it is.
    pub fn text(self, value: &str) -> Self {
        text(self.out, value);
        self
    }

    /// A quoted string: quotes and backslashes get a backslash.
    pub fn quoted(self, value: &str) -> Self {
        quoted(self.out, value);
        self
    }

    /// A number.
    pub fn number(self, value: u64) -> Self {
        decimal(self.out, value);
        self
    }

    /// A URI in angle brackets.
    pub fn address(self, value: &[u8]) -> Self {
        self.out.push(b'<');
        uri(self.out, value);
        self.out.push(b'>');
        self
    }

    /// `;name=value`, the value quoted if it is no token; without effect if `name` is no token.
    pub fn param(self, name: &str, value: &str) -> Self {
        if !is_token(name) {
            return self;
        }
        let field = self.text(";").text(name).text("=");
        if is_token(value) { field.text(value) } else { field.quoted(value) }
    }
}

impl Drop for Field<'_> {
    fn drop(&mut self) {
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Appends all header lines that a response copies from `request`: Via, From, To with `to_tag` if
/// it has none (an empty one adds none, for a 100), Call-ID, CSeq, Record-Route and Timestamp. With the `source` of the request its
/// topmost Via gets `received` and `rport` (RFC 3261 §18.2.1, RFC 3581 §4).
pub fn response_tail(request: &Message<'_>, to_tag: &str, source: Option<SocketAddr>, out: &mut Vec<u8>) {
    let tagged = request.to().tag.is_some();
    tail(request.all_headers(), Some(request.via()), (!tagged).then_some(to_tag), source, out);
}

/// The same for a request that is malformed: what can be read is copied, of a header that may be
/// there once only the first.
pub fn refusal_tail(request: &Readable<'_>, to_tag: &str, source: Option<SocketAddr>, out: &mut Vec<u8>) {
    let to = request.header(Name::To).map(super::value::NameAddr::parse);
    let tag = matches!(to, Some(Ok(to)) if to.tag.is_none()).then_some(to_tag);
    tail(request.all_headers(), request.via(), tag, source, out);
}

fn tail(
    headers: &[Header<'_>],
    top: Option<&Via<'_>>,
    to_tag: Option<&str>,
    source: Option<SocketAddr>,
    out: &mut Vec<u8>,
) {
    let (mut top, mut to_tag) = (top.zip(source), to_tag.filter(|tag| !tag.is_empty()));
    let mut seen = [false; 5];
    for header in headers {
        let place = match header.name {
            Some(Name::Via) => {
                let field = Field::begin(out, Name::Via.as_str());
                match top.take() {
                    Some((via, source)) => topmost(field, header.value, via, source),
                    None => drop(field.text(header.value)),
                }
                continue;
            }
            Some(Name::RecordRoute) => {
                Field::begin(out, Name::RecordRoute.as_str()).text(header.value);
                continue;
            }
            Some(Name::From) => 0,
            Some(Name::To) => 1,
            Some(Name::CallId) => 2,
            Some(Name::CSeq) => 3,
            Some(Name::Timestamp) => 4,
            _ => continue,
        };
        let (Some(name), Some(seen)) = (header.name, seen.get_mut(place)) else { continue };
        if std::mem::replace(seen, true) {
            continue;
        }
        let field = Field::begin(out, name.as_str()).text(header.value);
        if let Some(tag) = to_tag.take_if(|_| name == Name::To) {
            field.param("tag", tag);
        }
    }
}

/// Writes `value`, whose first element is `via`, with what the `source` adds to that.
fn topmost(mut field: Field<'_>, value: &str, via: &Via<'_>, source: SocketAddr) {
    field = field.text(via.sent);
    for (name, param) in via.params.iter() {
        // A sender that names its own address is not believed.
        if name.eq_ignore_ascii_case("received") || name.eq_ignore_ascii_case("rport") {
            continue;
        }
        field = field.text(";").text(name);
        if let Some(param) = param {
            field = field.text("=").text(param);
        }
    }
    let ip = source.ip().to_canonical();
    let named = |host: &str| host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    if via.rport.is_some() || named(via.host) != Some(ip) {
        field.out.extend_from_slice(b";received=");
        address(field.out, ip);
    }
    if via.rport.is_some() {
        field = field.text(";rport=").number(source.port().into());
    }
    let mut values = super::value::Values::of(value);
    values.next();
    if let Some(rest) = values.rest() {
        field.text(",").text(rest);
    }
}

fn address(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            for (place, octet) in ip.octets().into_iter().enumerate() {
                if place > 0 {
                    out.push(b'.');
                }
                decimal(out, octet.into());
            }
        }
        // Writing to a Vec does not fail.
        IpAddr::V6(ip) => drop(std::io::Write::write_fmt(out, format_args!("{ip}"))),
    }
}

/// Appends `value`, each control character but the tab as a space.
fn text(out: &mut Vec<u8>, value: &str) {
    let start = out.len();
    out.extend_from_slice(value.as_bytes());
    for byte in out.get_mut(start..).unwrap_or_default() {
        *byte = plain(*byte);
    }
}

fn quoted(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    for byte in value.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(plain(byte));
    }
    out.push(b'"');
}

fn plain(byte: u8) -> u8 {
    if (byte < 0x20 && byte != b'\t') || byte == 0x7f { b' ' } else { byte }
}

/// Appends a URI; octets that could end it or that no URI has are percent-encoded.
fn uri(out: &mut Vec<u8>, value: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let ends = |byte: &u8| *byte <= b' ' || *byte >= 0x7f || matches!(byte, b'<' | b'>' | b'"');
    for piece in value.split_inclusive(ends) {
        match piece.split_last() {
            Some((byte, plain)) if ends(byte) => {
                out.extend_from_slice(plain);
                out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            Some(_) | None => out.extend_from_slice(piece),
        }
    }
}

fn decimal(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut length = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        length += 1;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - length..).unwrap_or_default());
}

#[cfg(test)]
mod tests;
