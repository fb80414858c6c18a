//! Bodies that are no text: a word about the conversation.

use super::imdn::{self, Imdn};
use super::iscomposing::{self, IsComposing};
use super::keyboard::{self, KeyboardActivity};
use super::{BodyError, Cpim, Limits, Part, mime, mime::MediaType};

/// What a body says that is no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Somebody is writing (RFC 3994).
    Composing(IsComposing),
    /// Somebody is at the keyboard: the Lync family, in an INFO.
    Keyboard(KeyboardActivity),
    /// What became of a message (RFC 5438).
    Imdn(Imdn),
    /// Known, and of no use to anybody here: the notifications of Lync's conferences.
    Ignored,
}

/// The media type of those notifications.
const MS_IMDN: &str = "application/ms-imdn+xml";

/// Reads a body that [`super::text_of`] has no text of; also one inside of `message/cpim`, and one with a
/// content encoding.
///
/// # Errors
/// [`BodyError::UnsupportedType`] for any other type; and what each document's reader says.
pub fn signal_of(part: &Part<'_>, limits: &Limits) -> Result<Signal, BodyError> {
    if part.octets.len() > limits.octets {
        return Err(BodyError::TooLarge);
    }
    let media = part.content_type.and_then(MediaType::parse).ok_or(BodyError::UnsupportedType)?;
    if !media.is("message", "cpim") {
        return document(part, &media, limits);
    }
    let octets = super::encoding::decode(part, limits.octets)?;
    let (_, content) = Cpim::parse(&octets)?;
    let inner = mime::part(content)?;
    let media = inner.content_type.and_then(MediaType::parse).ok_or(BodyError::UnsupportedType)?;
    document(&inner, &media, limits)
}

fn document(part: &Part<'_>, media: &MediaType<'_>, limits: &Limits) -> Result<Signal, BodyError> {
    let is = |name: &str| name.split_once('/').is_some_and(|(main, sub)| media.is(main, sub));
    if is(MS_IMDN) {
        return Ok(Signal::Ignored);
    }
    if ![iscomposing::TYPE, keyboard::TYPE, imdn::TYPE].into_iter().any(is) {
        return Err(BodyError::UnsupportedType);
    }
    let packed = super::encoding::decode(part, limits.octets)?;
    let octets = mime::decode_transfer(&packed, part.transfer)?;
    let charset = media.param("charset");
    if is(iscomposing::TYPE) {
        return IsComposing::read(&octets, charset.as_deref()).map(Signal::Composing);
    }
    if is(imdn::TYPE) {
        return Imdn::read(&octets, charset.as_deref()).map(Signal::Imdn);
    }
    KeyboardActivity::read(&octets, charset.as_deref()).map(Signal::Keyboard)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::body::imdn::{Kind, Status};
    use crate::body::text_of;
    use miniz_oxide::deflate::compress_to_vec_zlib;

    const IMDN: &str = "<imdn xmlns='urn:ietf:params:xml:ns:imdn'><message-id>m</message-id>\
        <display-notification><status><displayed/></status></display-notification></imdn>";

    fn part<'a>(content_type: &'a str, octets: &'a [u8]) -> Part<'a> {
        Part { content_type: Some(content_type), octets, ..Part::default() }
    }

    fn imdn(part: &Part<'_>) -> Imdn {
        assert!(text_of(part, &Limits::default()).is_err(), "it is no text");
        match signal_of(part, &Limits::default()) {
            Ok(Signal::Imdn(imdn)) => imdn,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_notification_is_read_bare_packed_and_in_cpim() {
        let bare = Part { disposition: Some("notification"), ..part("message/imdn+xml", IMDN.as_bytes()) };
        let packed = compress_to_vec_zlib(IMDN.as_bytes(), 6);
        let packed = Part { encoding: Some("deflate"), ..part("message/imdn+xml; charset=UTF-8", &packed) };
        let wrapped = format!(
            "From: <sip:a@b>\r\nTo: <sip:c@d>\r\n\r\nContent-Type: message/imdn+xml\r\n\
             Content-Disposition: notification\r\n\r\n{IMDN}"
        );
        let wrapped_packed = compress_to_vec_zlib(wrapped.as_bytes(), 6);
        let wrapped = part("Message/CPIM", wrapped.as_bytes());
        let wrapped_packed = Part { encoding: Some("deflate"), ..part("message/cpim", &wrapped_packed) };
        for part in [bare, packed, wrapped, wrapped_packed] {
            let imdn = imdn(&part);
            assert_eq!((&*imdn.message_id, imdn.kind, imdn.status), ("m", Kind::Display, Status::Displayed));
        }
    }

    #[test]
    fn states_of_writers_are_read() {
        let status = IsComposing::idle().write();
        let read = signal_of(&part(iscomposing::TYPE, status.as_bytes()), &Limits::default());
        assert_eq!(read, Ok(Signal::Composing(IsComposing::idle())));
        let typing = KeyboardActivity::Type;
        let read = signal_of(&part("application/xml", typing.write().as_bytes()), &Limits::default());
        assert_eq!(read, Ok(Signal::Keyboard(typing)));
    }

    #[test]
    fn notifications_of_lyncs_conferences_are_known_and_ignored() {
        let read = signal_of(&part("application/ms-imdn+xml", b"anything"), &Limits::default());
        assert_eq!(read, Ok(Signal::Ignored));
    }

    #[test]
    fn everything_else_is_unsupported() {
        for content_type in ["image/png", "message/sipfrag", "application/pidf+xml", "nonsense", "text/plain"]
        {
            let read = signal_of(&part(content_type, b"x"), &Limits::default());
            assert_eq!(read, Err(BodyError::UnsupportedType), "{content_type}");
        }
        let gzip = Part { encoding: Some("gzip"), ..part("message/imdn+xml", b"x") };
        assert_eq!(signal_of(&gzip, &Limits::default()), Err(BodyError::UnsupportedEncoding));
        let large = vec![b'x'; 70_000];
        assert_eq!(
            signal_of(&part("message/imdn+xml", &large), &Limits::default()),
            Err(BodyError::TooLarge)
        );
    }
}
