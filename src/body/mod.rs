//! Message bodies: documents as values, with no word about who sent them.
//!
//! | file | owns |
//! |---|---|
//! | this one | [`text_of`]: from a SIP body to the text that XMPP carries (RFC 7572 §5, RFC 5621) |
//! | [`mime`] | media types, part headers, multipart bodies, transfer encodings (RFC 2045, 2046) |
//! | [`charset`] | octets to text, and the one place where text is made fit for XML |
//! | [`html`] | the plain rendition of `text/html` |
//! | [`cpim`] | the header of `message/cpim` (RFC 3862), with what RFC 5438 puts into it; read and written |
//! | [`signal`] | bodies that are no text: which of the following three it is |
//! | [`iscomposing`] | somebody is writing (RFC 3994) |
//! | [`keyboard`] | the same as the Lync family says it |
//! | [`imdn`] | what became of a message (RFC 5438) |
//! | [`encoding`] | Content-Encoding, undone |
//! | [`pidf`] | presence documents (RFC 3863, 4479, 4480), read and written |
//! | [`sdp`] | descriptions of message sessions (RFC 8866), offers and answers |
//!
//! Text comes out with `LF` as its only line end and without a character that XML 1.0 forbids; of
//! plain UTF-8 that is so already, nothing is copied. A body is read whole or refused: nothing is
//! cut off. Nothing here is recursive beyond [`Limits::depth`].

use std::borrow::Cow;

pub mod charset;
pub mod cpim;
mod document;
pub mod encoding;
pub mod html;
pub mod imdn;
pub mod iscomposing;
pub mod keyboard;
pub mod mime;
pub mod pidf;
pub mod sdp;
pub mod signal;

use cpim::Cpim;
use mime::{Disposition, MediaType};

/// The types that [`text_of`] and [`signal::signal_of`] read, for the Accept header field of a 415.
pub const ACCEPT: &str = "text/plain, text/html, multipart/alternative, multipart/mixed, message/cpim, \
    message/imdn+xml, application/im-iscomposing+xml";
/// The content encodings that [`encoding::decode`] reads, for Accept-Encoding.
pub const ACCEPT_ENCODING: &str = "identity, deflate";

/// A body or body part: its header fields as they stand, and its octets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Part<'a> {
    /// Content-Type.
    pub content_type: Option<&'a str>,
    /// Content-Encoding.
    pub encoding: Option<&'a str>,
    /// Content-Disposition.
    pub disposition: Option<&'a str>,
    /// Content-Language.
    pub language: Option<&'a str>,
    /// Content-Transfer-Encoding, which SIP itself does not use (RFC 3261 §7.4.2) but parts do.
    pub transfer: Option<&'a str>,
    /// The body.
    pub octets: &'a [u8],
}

/// How much is read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Octets of the body, and octets of the text that comes out of it.
    pub octets: usize,
    /// Multipart and CPIM bodies inside one another.
    pub depth: usize,
    /// Parts in all multipart bodies together.
    pub parts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { octets: 65_536, depth: 4, parts: 32 }
    }
}

/// The text of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<'a> {
    /// The plain text; of an HTML body its rendition. Empty for an empty body.
    pub plain: Cow<'a, str>,
    /// The HTML as it came, with all that a sender can put into it: never to be passed on as is.
    pub html: Option<Cow<'a, str>>,
    /// The one language of the text, if it names one (RFC 3261 §20.13).
    pub lang: Option<&'a str>,
    /// The header of the CPIM message that it came in.
    pub cpim: Option<Cpim<'a>>,
}

impl Text<'_> {
    /// Whether there is no text: not an error, but nothing to show either.
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty()
    }

    /// Whether there is nothing but white space.
    pub fn is_blank(&self) -> bool {
        self.plain.trim().is_empty()
    }
}

/// Why a body has no text that can be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum BodyError {
    /// A required type or disposition that is not read (RFC 3261 §8.2.3).
    #[error("the media type is not supported")]
    UnsupportedType,
    /// A charset that nobody knows.
    #[error("the charset is not supported")]
    UnsupportedCharset,
    /// A content encoding that is not read, or one that was not undone before.
    #[error("the content encoding is not supported")]
    UnsupportedEncoding,
    /// A CPIM message requires what is not understood (RFC 3862 §4.7).
    #[error("a required CPIM header is not supported")]
    UnsupportedHeader,
    /// There is a body and no Content-Type (RFC 3261 §20.15).
    #[error("the body has no content type")]
    NoType,
    /// A media type, part header, boundary or transfer encoding is broken.
    #[error("the body is malformed")]
    Malformed,
    /// The octets are not text in the charset that they claim, which is UTF-8 by default.
    #[error("the text does not agree with its charset")]
    NotText,
    /// More parts, or parts deeper inside one another, than [`Limits`] allow.
    #[error("the body is too deeply structured")]
    TooDeep,
    /// More octets than [`Limits`] allow.
    #[error("the body is too large")]
    TooLarge,
}

impl BodyError {
    /// The SIP status that answers a request with such a body.
    pub fn status(&self) -> u16 {
        match self {
            Self::UnsupportedType
            | Self::UnsupportedCharset
            | Self::UnsupportedEncoding
            | Self::UnsupportedHeader => 415,
            Self::NoType | Self::Malformed | Self::NotText | Self::TooDeep => 400,
            Self::TooLarge => 413,
        }
    }

    /// The value of the Accept header field that goes with the status.
    pub fn accept(&self) -> Option<&'static str> {
        match self {
            Self::UnsupportedType | Self::UnsupportedHeader => Some(ACCEPT),
            Self::UnsupportedCharset => Some("text/plain;charset=utf-8"),
            Self::UnsupportedEncoding
            | Self::NoType
            | Self::Malformed
            | Self::NotText
            | Self::TooDeep
            | Self::TooLarge => None,
        }
    }

    /// The value of the Accept-Encoding header field that goes with the status.
    pub fn accept_encoding(&self) -> Option<&'static str> {
        match self {
            Self::UnsupportedEncoding => Some(ACCEPT_ENCODING),
            Self::UnsupportedType
            | Self::UnsupportedCharset
            | Self::UnsupportedHeader
            | Self::NoType
            | Self::Malformed
            | Self::NotText
            | Self::TooDeep
            | Self::TooLarge => None,
        }
    }

    /// Whether the body is well-formed and just beyond us, so that it may be left out when its
    /// handling is optional or another alternative is there.
    fn is_unsupported(&self) -> bool {
        self.status() == 415
    }
}

/// The text of a SIP body.
///
/// `text/plain` and `text/html` are decoded from their charset. Of `multipart/alternative` the last
/// plain and the last HTML part that can be read are taken; the texts of `multipart/mixed` and of
/// multiparts that nobody knows (RFC 2046 §5.1.3) are joined by line ends. `message/cpim` gives its
/// content and [`Cpim`]. A part that can't be read is refused, unless its handling is optional
/// (RFC 3261 §20.11, RFC 5621 §8). An empty body gives an empty text, whatever its type.
///
/// # Errors
///
/// See [`BodyError`].
pub fn text_of<'a>(body: &Part<'a>, limits: &Limits) -> Result<Text<'a>, BodyError> {
    if body.octets.len() > limits.octets {
        return Err(BodyError::TooLarge);
    }
    if body.octets.is_empty() {
        return Ok(Text::default());
    }
    if body.content_type.is_none() {
        return Err(BodyError::NoType);
    }
    let mut reader = Reader { limits, parts: 0 };
    let found = reader.part(body, 0)?.unwrap_or_default();
    let text = Text {
        plain: found
            .plain
            .or_else(|| found.html.as_deref().map(html::rendition).map(Cow::Owned))
            .unwrap_or_default(),
        html: found.html,
        lang: found.lang,
        cpim: found.cpim,
    };
    let octets = text.plain.len().max(text.html.as_ref().map_or(0, |html| html.len()));
    if octets > limits.octets { Err(BodyError::TooLarge) } else { Ok(text) }
}

/// What a part turned out to hold.
#[derive(Default)]
struct Found<'a> {
    plain: Option<Cow<'a, str>>,
    html: Option<Cow<'a, str>>,
    lang: Option<&'a str>,
    cpim: Option<Cpim<'a>>,
}

struct Reader<'l> {
    limits: &'l Limits,
    /// Parts seen so far.
    parts: usize,
}

impl Reader<'_> {
    /// Reads a part; `None` when it is beyond us and optional.
    fn part<'a>(&mut self, part: &Part<'a>, depth: usize) -> Result<Option<Found<'a>>, BodyError> {
        let disposition = Disposition::of(part.disposition);
        match self.content(part, &disposition, depth) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_unsupported() && !disposition.required => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn content<'a>(
        &mut self,
        part: &Part<'a>,
        disposition: &Disposition,
        depth: usize,
    ) -> Result<Found<'a>, BodyError> {
        if !mime::is_identity(part.encoding) {
            return Err(BodyError::UnsupportedEncoding);
        }
        let media = match part.content_type {
            Some(text) => MediaType::parse(text).ok_or(BodyError::Malformed)?,
            None => MediaType::PLAIN,
        };
        if !disposition.shown {
            return Err(BodyError::UnsupportedType);
        }
        let lang = part.language.and_then(mime::language);
        if media.is("text", "plain") {
            let plain = Some(self.text(part, &media)?);
            return Ok(Found { plain, lang, ..Found::default() });
        }
        if media.is("text", "html") {
            let html = Some(self.text(part, &media)?);
            return Ok(Found { html, lang, ..Found::default() });
        }
        let multipart = media.main.eq_ignore_ascii_case("multipart");
        if !multipart && !media.is("message", "cpim") {
            return Err(BodyError::UnsupportedType);
        }
        if depth >= self.limits.depth {
            return Err(BodyError::TooDeep);
        }
        if !mime::is_plain_transfer(part.transfer) {
            return Err(BodyError::Malformed);
        }
        let mut found = if !multipart {
            self.cpim(part, depth)?
        } else {
            let boundary = media.param("boundary").ok_or(BodyError::Malformed)?;
            let room = self.limits.parts.saturating_sub(self.parts);
            let parts = mime::split(part.octets, &boundary, room)?;
            self.parts += parts.len();
            if media.is("multipart", "alternative") {
                self.alternative(&parts, depth)?
            } else {
                self.mixed(&parts, depth)?
            }
        };
        found.lang = found.lang.or(lang);
        Ok(found)
    }

    fn text<'a>(&self, part: &Part<'a>, media: &MediaType<'_>) -> Result<Cow<'a, str>, BodyError> {
        let charset = media.param("charset");
        match mime::decode_transfer(part.octets, part.transfer)? {
            Cow::Borrowed(octets) => charset::text(octets, charset.as_deref()),
            Cow::Owned(octets) => {
                charset::text(&octets, charset.as_deref()).map(|text| Cow::Owned(text.into_owned()))
            }
        }
    }

    /// The best of several: the last that can be read, but plain text before a rendition of HTML
    /// (RFC 2046 §5.1.4).
    fn alternative<'a>(&mut self, parts: &[&'a [u8]], depth: usize) -> Result<Found<'a>, BodyError> {
        let mut best = None;
        for octets in parts {
            let found = match self.part(&mime::part(octets)?, depth + 1) {
                Ok(Some(found)) => found,
                Ok(None) => continue,
                Err(error) if error.is_unsupported() => continue,
                Err(error) => return Err(error),
            };
            let before = best.unwrap_or_else(Found::default);
            best = Some(Found {
                plain: found.plain.or(before.plain),
                html: found.html.or(before.html),
                lang: found.lang.or(before.lang),
                cpim: found.cpim.or(before.cpim),
            });
        }
        best.ok_or(BodyError::UnsupportedType)
    }

    /// All of several, one after the other.
    fn mixed<'a>(&mut self, parts: &[&'a [u8]], depth: usize) -> Result<Found<'a>, BodyError> {
        let mut all: Option<Found<'a>> = None;
        for octets in parts {
            let Some(found) = self.part(&mime::part(octets)?, depth + 1)? else { continue };
            all = Some(match all {
                None => found,
                Some(before) => joined(before, found),
            });
        }
        Ok(all.unwrap_or_default())
    }

    /// The content of a CPIM message.
    fn cpim<'a>(&mut self, part: &Part<'a>, depth: usize) -> Result<Found<'a>, BodyError> {
        let (cpim, content) = Cpim::parse(part.octets)?;
        let mut found = self.part(&mime::part(content)?, depth + 1)?.unwrap_or_default();
        found.cpim = Some(cpim);
        Ok(found)
    }
}

impl<'a> Found<'a> {
    /// The plain text, or else the rendition of the HTML.
    fn into_plain(self) -> Cow<'a, str> {
        match (self.plain, self.html) {
            (Some(plain), _) => plain,
            (None, Some(html)) => Cow::Owned(html::rendition(&html)),
            (None, None) => Cow::Borrowed(""),
        }
    }
}

/// Two parts of a mixed body as one: plain text, because no HTML document holds both.
fn joined<'a>(mut before: Found<'a>, mut after: Found<'a>) -> Found<'a> {
    let lang = if before.lang == after.lang { before.lang } else { None };
    let cpim = before.cpim.take().or(after.cpim.take());
    let (first, second) = (before.into_plain(), after.into_plain());
    let plain = match (first.is_empty(), second.is_empty()) {
        (true, _) => second,
        (_, true) => first,
        (false, false) => {
            let mut text = first.into_owned();
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(&second);
            Cow::Owned(text)
        }
    };
    Found { plain: Some(plain), html: None, lang, cpim }
}

#[cfg(test)]
mod tests;
