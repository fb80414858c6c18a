//! A SIP message without its secrets, for whoever looks at the wire.
//!
//! What is hidden is replaced octet by octet, so that lengths stay: credentials always; and, unless texts are
//! shown, the body, the subject, and the text that an INVITE may carry in a header.

/// Whether texts are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texts {
    /// As they are.
    Shown,
    /// Not.
    Hidden,
}

/// What stands for an octet that is not shown.
const HIDDEN: u8 = b'x';
/// Headers whose values nobody sees.
const SECRETS: &[&str] = &["Authorization", "Proxy-Authorization"];
/// Headers with what people wrote (RFC 3261 §20.36; COMPAT Lync: the first text of a session).
const TEXTS: &[&str] = &["Subject", "s", "ms-text-format"];

/// The message `octets`, as [`super::frame`] cut it or [`mod@super::write`] wrote it: no line is folded, and
/// each ends with CRLF.
pub fn copy(octets: &[u8], texts: Texts) -> Vec<u8> {
    let mut out = octets.to_vec();
    let mut at = 0;
    let mut hides = false;
    while let Some(line) = out.get_mut(at..).filter(|rest| !rest.is_empty()) {
        let length = memchr::memchr(b'\n', line).map_or(line.len(), |end| end + 1);
        let Some(line) = line.get_mut(..length) else { break };
        at += length;
        if line.trim_ascii().is_empty() {
            // The rest is the body.
            if let (Texts::Hidden, Some(body)) = (texts, out.get_mut(at..)) {
                body.fill(HIDDEN);
            }
            break;
        }
        let is_folded = matches!(line.first(), Some(b' ' | b'\t'));
        let colon = memchr::memchr(b':', line);
        let mut from = 0;
        if !is_folded {
            let name = line.get(..colon.unwrap_or(0)).unwrap_or_default().trim_ascii();
            let is_one = |known: &[&str]| known.iter().any(|one| name.eq_ignore_ascii_case(one.as_bytes()));
            hides = is_one(SECRETS) || (texts == Texts::Hidden && is_one(TEXTS));
            from = colon.map_or(0, |colon| colon + 1);
        }
        if hides && let Some(value) = line.get_mut(from..) {
            value.iter_mut().filter(|octet| !octet.is_ascii_whitespace()).for_each(|octet| *octet = HIDDEN);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "MESSAGE sip:b@c SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z\r\nSUBJECT: an öl\r\ns:two\r\n\
        authorization : Digest user=\"a\"\r\nProxy-Authorization: Basic abc\r\n def\r\nMs-Text-Format: t/p;ms-body=aGk=\r\n\
        From: <sip:a@b>\r\nContent-Length: 6\r\n\r\nHi\r\nyo";

    #[test]
    fn bodies_subjects_and_credentials_are_replaced_octet_by_octet() {
        let hidden = copy(MESSAGE.as_bytes(), Texts::Hidden);
        assert_eq!(
            String::from_utf8_lossy(&hidden),
            "MESSAGE sip:b@c SIP/2.0\r\nVia: SIP/2.0/TLS h;branch=z\r\nSUBJECT: xx xxx\r\ns:xxx\r\n\
             authorization : xxxxxx xxxxxxxx\r\nProxy-Authorization: xxxxx xxx\r\n xxx\r\nMs-Text-Format: xxxxxxxxxxxxxxxx\r\n\
             From: <sip:a@b>\r\nContent-Length: 6\r\n\r\nxxxxxx"
        );
    }

    #[test]
    fn credentials_are_hidden_even_where_texts_are_shown() {
        let shown = String::from_utf8_lossy(&copy(MESSAGE.as_bytes(), Texts::Shown)).into_owned();
        assert!(
            shown.ends_with("\r\n\r\nHi\r\nyo") && shown.contains("SUBJECT: an öl\r\ns:two\r\n"),
            "{shown}"
        );
        assert!(
            shown.contains("ms-body=aGk=") && !shown.contains("user=") && !shown.contains("def"),
            "{shown}"
        );
    }

    #[test]
    fn a_message_that_is_cut_short_shows_no_more() {
        for end in 0..MESSAGE.len() {
            let cut = copy(&MESSAGE.as_bytes()[..end], Texts::Hidden);
            assert_eq!(cut.len(), end);
            let text = String::from_utf8_lossy(&cut).into_owned();
            assert!(!text.contains("an ") && !text.contains("Digest u") && !text.contains("yo"), "{text}");
        }
    }
}
