//! `message/cpim`, written: who to whom, when, and which notifications are wanted (RFC 3862, RFC 5438).

use super::Notify;
use crate::body::charset::one_line;

/// The media type.
pub const TYPE: &str = "message/cpim";

/// What stands in front of the content.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The sender's URI, without angle brackets.
    pub from: &'a str,
    /// The recipient's URI, likewise.
    pub to: &'a str,
    /// When it was sent: RFC 3339. RFC 5438 §7.1.1.2 wants it of each message that asks for notifications.
    pub date: &'a str,
    /// The subject, on one line, if there is one.
    pub subject: Option<&'a str>,
    /// What notifications will refer to: a token (RFC 5438 §6.3).
    pub message_id: &'a str,
    /// Which of them are wanted. An IMDN wants none (RFC 5438 §7.2.1).
    pub notify: Notify,
    /// The Content-Type of the content.
    pub content_type: &'a str,
    /// Its Content-Disposition, if it needs one.
    pub disposition: Option<&'a str>,
}

impl Envelope<'_> {
    /// Everything in front of the content: its octets follow as they are.
    pub fn write(&self) -> String {
        let mut out = String::with_capacity(400);
        for (name, value) in [("From", self.from), ("To", self.to)] {
            out.extend([name, ": <"]);
            out.extend(value.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>')));
            out.push_str(">\r\n");
        }
        line(&mut out, "DateTime", self.date);
        if let Some(subject) = self.subject {
            line(&mut out, "Subject", subject);
        }
        out.push_str("NS: imdn <urn:ietf:params:imdn>\r\n");
        line(&mut out, "imdn.Message-ID", self.message_id);
        let wanted = [
            (self.notify.delivery, "positive-delivery"),
            (self.notify.failure, "negative-delivery"),
            (self.notify.display, "display"),
            (self.notify.processing, "processing"),
        ];
        let wanted: Vec<&str> = wanted.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
        if !wanted.is_empty() {
            line(&mut out, "imdn.Disposition-Notification", &wanted.join(", "));
        }
        out.push_str("\r\n");
        line(&mut out, "Content-Type", self.content_type);
        if let Some(disposition) = self.disposition {
            line(&mut out, "Content-Disposition", disposition);
        }
        out.push_str("\r\n");
        out
    }
}

/// One header. A backslash would begin an escape (RFC 3862 §2.3.3).
fn line(out: &mut String, name: &str, value: &str) {
    out.extend([name, ": ", &one_line(value, 1000).replace('\\', "\\\\"), "\r\n"]);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::body::cpim::Cpim;

    const ENVELOPE: Envelope<'static> = Envelope {
        from: "im:juliet@capulet.example",
        to: "sip:alice@contoso.example",
        date: "2026-11-29T00:00:00Z",
        subject: None,
        message_id: "34jk324j",
        notify: Notify { delivery: true, failure: true, display: false, processing: false },
        content_type: "text/plain;charset=UTF-8",
        disposition: None,
    };

    #[test]
    fn check_060_a_message_that_asks_has_an_id_and_a_time() {
        let text = format!("{}Ναί \\o/", ENVELOPE.write());
        assert_eq!(
            text,
            "From: <im:juliet@capulet.example>\r\nTo: <sip:alice@contoso.example>\r\n\
             DateTime: 2026-11-29T00:00:00Z\r\nNS: imdn <urn:ietf:params:imdn>\r\n\
             imdn.Message-ID: 34jk324j\r\n\
             imdn.Disposition-Notification: positive-delivery, negative-delivery\r\n\r\n\
             Content-Type: text/plain;charset=UTF-8\r\n\r\nΝαί \\o/"
        );
        let (cpim, content) = Cpim::parse(text.as_bytes()).unwrap();
        assert_eq!(cpim.message_id.as_deref(), Some("34jk324j"));
        assert_eq!(cpim.date.as_deref(), Some("2026-11-29T00:00:00Z"));
        assert_eq!(cpim.notify, ENVELOPE.notify);
        assert!(content.starts_with(b"Content-Type: "));
    }

    #[test]
    fn nothing_that_is_put_in_breaks_out_of_its_line() {
        let bad = "a\r\nimdn.Message-ID: other\r\n\r\nb\\nc<>";
        let envelope =
            Envelope { subject: Some(bad), date: bad, from: bad, to: bad, message_id: "x", ..ENVELOPE };
        let text = envelope.write();
        let (cpim, content) = Cpim::parse(text.as_bytes()).unwrap();
        assert_eq!(cpim.message_id.as_deref(), Some("x"));
        assert_eq!(cpim.subject.as_deref(), Some("a imdn.Message-ID: other  b\\nc<>"));
        assert!(content.starts_with(b"Content-Type: text/plain"), "{text}");
    }

    #[test]
    fn check_061_a_notification_asks_for_none() {
        let envelope = Envelope {
            notify: Notify::default(),
            content_type: "message/imdn+xml",
            disposition: Some("notification"),
            ..ENVELOPE
        };
        let text = envelope.write();
        assert!(!text.contains("Disposition-Notification"), "{text}");
        assert!(
            text.contains("Content-Type: message/imdn+xml\r\nContent-Disposition: notification\r\n"),
            "{text}"
        );
    }
}
