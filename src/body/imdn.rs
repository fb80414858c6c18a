//! `message/imdn+xml`: what became of a message (RFC 5438).

use super::{BodyError, document};
use crate::xml::write;

/// The media type.
pub const TYPE: &str = "message/imdn+xml";
/// The Content-Disposition of such a body.
pub const DISPOSITION: &str = "notification";

const NS: &str = "urn:ietf:params:xml:ns:imdn";
/// Octets of an id that is believed to be one.
const ID_MAX: usize = 256;

/// A notification about one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imdn {
    /// The `imdn.Message-ID` of the message that it is about.
    pub message_id: String,
    /// When that message was sent: its DateTime, as it stands.
    pub date: Option<String>,
    /// For whom it was, as it stands. Proves nothing.
    pub recipient: Option<String>,
    /// Which of the three it is.
    pub kind: Kind,
    /// What became of the message.
    pub status: Status,
}

/// Which notification it is (§6.2): one of each kind is sent, not two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Whether the message was delivered.
    Delivery,
    /// Whether it was shown.
    Display,
    /// What an intermediary did with it.
    Processing,
}

/// What became of a message (§10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It was delivered.
    Delivered,
    /// It was shown.
    Displayed,
    /// It was not delivered.
    Failed,
    /// The recipient does not say.
    Forbidden,
    /// Nobody knows.
    Error,
    /// An intermediary handed it on.
    Processed,
    /// An intermediary keeps it.
    Stored,
}

const KINDS: [(&str, Kind); 3] = [
    ("delivery-notification", Kind::Delivery),
    ("display-notification", Kind::Display),
    ("processing-notification", Kind::Processing),
];
const STATUSES: [(&str, Status); 7] = [
    ("delivered", Status::Delivered),
    ("displayed", Status::Displayed),
    ("failed", Status::Failed),
    ("forbidden", Status::Forbidden),
    ("error", Status::Error),
    ("processed", Status::Processed),
    ("stored", Status::Stored),
];

impl Status {
    /// May a notification of this kind say so (§10)?
    fn fits(self, kind: Kind) -> bool {
        match self {
            Self::Delivered | Self::Failed => kind == Kind::Delivery,
            Self::Displayed => kind == Kind::Display,
            Self::Processed | Self::Stored => kind == Kind::Processing,
            Self::Forbidden | Self::Error => true,
        }
    }
}

impl Imdn {
    /// Reads a document.
    ///
    /// # Errors
    /// [`BodyError::Malformed`] and [`BodyError::NotText`] for what is no notification about a message,
    /// [`BodyError::UnsupportedType`] for another document, [`BodyError::TooLarge`].
    pub fn read(octets: &[u8], charset: Option<&str>) -> Result<Self, BodyError> {
        let text = document::text(octets, charset)?;
        let root = document::root(&text, "imdn", NS)?;
        let child = |name| root.child(name, NS).map(document::value).filter(|value| !value.is_empty());
        let message_id = child("message-id").filter(|id| id.len() <= ID_MAX).ok_or(BodyError::Malformed)?;
        let (kind, notification) = KINDS
            .iter()
            .find_map(|(name, kind)| root.child(name, NS).map(|found| (*kind, found)))
            .ok_or(BodyError::Malformed)?;
        let status = notification
            .child("status", NS)
            .and_then(|status| status.children().find(|child| child.ns() == NS))
            .and_then(|said| STATUSES.iter().find(|(name, _)| *name == said.name()))
            .map(|(_, status)| *status)
            .filter(|status| status.fits(kind))
            .ok_or(BodyError::Malformed)?;
        Ok(Self { message_id, date: child("datetime"), recipient: child("recipient-uri"), kind, status })
    }

    /// The document.
    pub fn write(&self) -> String {
        let kind = KINDS.iter().find(|(_, kind)| *kind == self.kind).map_or("", |(name, _)| *name);
        let status = STATUSES.iter().find(|(_, status)| *status == self.status).map_or("", |(name, _)| *name);
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        write::open(&mut out, "imdn").xmlns(NS).content(|out| {
            write::open(out, "message-id").text(&self.message_id);
            if let Some(date) = &self.date {
                write::open(out, "datetime").text(date);
            }
            if let Some(recipient) = &self.recipient {
                write::open(out, "recipient-uri").text(recipient);
                write::open(out, "original-recipient-uri").text(recipient);
            }
            write::open(out, kind).content(|out| {
                write::open(out, "status").content(|out| write::open(out, status).empty());
            });
        });
        out.push(b'\n');
        String::from_utf8(out).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const RFC: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <imdn xmlns=\"urn:ietf:params:xml:ns:imdn\">\n\
        <message-id>34jk324j</message-id>\n\
        <datetime>2008-04-04T12:16:49-05:00</datetime>\n\
        <recipient-uri>im:bob@example.com</recipient-uri>\n\
        <original-recipient-uri\n   >im:bob@example.com</original-recipient-uri>\n\
        <delivery-notification>\n<status>\n<delivered/>\n</status>\n</delivery-notification>\n</imdn>";

    #[test]
    fn the_example_of_the_rfc_is_read() {
        let imdn = Imdn::read(RFC.as_bytes(), None).unwrap();
        assert_eq!(imdn.message_id, "34jk324j");
        assert_eq!(imdn.date.as_deref(), Some("2008-04-04T12:16:49-05:00"));
        assert_eq!(imdn.recipient.as_deref(), Some("im:bob@example.com"));
        assert_eq!((imdn.kind, imdn.status), (Kind::Delivery, Status::Delivered));
    }

    #[test]
    fn every_status_is_written_and_read_where_it_may_stand() {
        for (kind_name, kind) in KINDS {
            for (name, status) in STATUSES {
                let text = format!(
                    "<imdn xmlns='urn:ietf:params:xml:ns:imdn'><message-id>a&amp;b</message-id>\
                     <{kind_name}><status><{name}/></status></{kind_name}></imdn>"
                );
                let read = Imdn::read(text.as_bytes(), None);
                if !status.fits(kind) {
                    assert_eq!(read, Err(BodyError::Malformed), "{name} in {kind_name}");
                    continue;
                }
                let read = read.unwrap();
                assert_eq!((read.kind, read.status, &*read.message_id), (kind, status, "a&b"));
                assert_eq!(Imdn::read(read.write().as_bytes(), None).unwrap(), read);
            }
        }
    }

    #[test]
    fn what_is_about_no_message_is_refused() {
        let id = format!("<message-id>{}</message-id>", "x".repeat(257));
        for (from, to) in [
            ("<message-id>34jk324j</message-id>", ""),
            ("<message-id>34jk324j</message-id>", "<message-id> </message-id>"),
            ("<message-id>34jk324j</message-id>", &id),
            ("<delivered/>", ""),
            ("<delivered/>", "<read/>"),
            ("<delivered/>", "<delivered xmlns='urn:x'/>"),
            ("delivery-notification", "other-notification"),
        ] {
            let text = RFC.replace(from, to);
            assert_ne!(text, RFC);
            assert_eq!(Imdn::read(text.as_bytes(), None).unwrap_err(), BodyError::Malformed, "{to}");
        }
        assert_eq!(Imdn::read(b"<imdn/>", None).unwrap_err(), BodyError::UnsupportedType);
    }
}
