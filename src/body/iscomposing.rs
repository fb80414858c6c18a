//! `application/im-iscomposing+xml`: somebody is writing (RFC 3994).

use super::{BodyError, document};
use std::time::Duration;

/// The media type.
pub const TYPE: &str = "application/im-iscomposing+xml";
/// How long `active` counts if the message does not say (§3.3).
pub const REFRESH: Duration = Duration::from_secs(120);

const NS: &str = "urn:ietf:params:xml:ns:im-iscomposing";
/// The longest time for which `active` is believed, whatever the message says.
const LONGEST: u64 = 600;

/// What a status message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsComposing {
    /// Is somebody writing?
    pub state: State,
    /// After which time without another message that counts no more. Not zero, and at most ten minutes
    /// in what was read.
    pub refresh: Option<Duration>,
}

/// What the writer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The user is writing a message.
    Active,
    /// The user is not, or not any more.
    Idle,
}

impl IsComposing {
    /// Somebody writes, for this long unless it is said again.
    pub fn active(refresh: Duration) -> Self {
        Self { state: State::Active, refresh: Some(refresh) }
    }

    /// Nobody writes.
    pub fn idle() -> Self {
        Self { state: State::Idle, refresh: None }
    }

    /// Reads a document. A state that is neither `active` nor `idle`, and none, is `idle` (§3.5).
    ///
    /// # Errors
    /// [`BodyError::Malformed`] and [`BodyError::NotText`] for what is no XML, [`BodyError::UnsupportedType`]
    /// for another document, [`BodyError::TooLarge`].
    pub fn read(octets: &[u8], charset: Option<&str>) -> Result<Self, BodyError> {
        let text = document::text(octets, charset)?;
        let root = document::root(&text, "isComposing", NS)?;
        let child = |name| root.child(name, NS).map(document::value);
        let state = match child("state").as_deref() {
            Some("active") => State::Active,
            Some(_) | None => State::Idle,
        };
        let seconds = child("refresh").and_then(|seconds| seconds.parse().ok()).filter(|s: &u64| *s > 0);
        Ok(Self { state, refresh: seconds.map(|seconds| Duration::from_secs(seconds.min(LONGEST))) })
    }

    /// How long the state counts.
    pub fn lasts(&self) -> Duration {
        self.refresh.unwrap_or(REFRESH)
    }

    /// The document.
    pub fn write(&self) -> String {
        let state = match self.state {
            State::Active => "active",
            State::Idle => "idle",
        };
        let refresh = match self.refresh {
            Some(refresh) => format!("<refresh>{}</refresh>", refresh.as_secs().max(1)),
            None => String::new(),
        };
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<isComposing xmlns=\"{NS}\"><state>{state}</state>\
             <contenttype>text/plain</contenttype>{refresh}</isComposing>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(inner: &str) -> IsComposing {
        let text =
            format!("<isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'>{inner}</isComposing>");
        IsComposing::read(text.as_bytes(), None).unwrap()
    }

    #[test]
    fn the_examples_of_the_rfc_are_read() {
        let active = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
            <isComposing xmlns=\"urn:ietf:params:xml:ns:im-iscomposing\"\n\
            xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"\n\
            xsi:schemaLocation=\"urn:ietf:params:xml:ns:im-composing\n iscomposing.xsd\">\n\
            <state>active</state>\n<contenttype>text/plain</contenttype>\n<refresh>90</refresh>\n</isComposing>";
        let read = IsComposing::read(active.as_bytes(), Some("utf-8")).unwrap();
        assert_eq!(read, IsComposing::active(Duration::from_secs(90)));
        let idle = active
            .replace("active", "idle")
            .replace("<refresh>90</refresh>", "<lastactive>2003-01-27T10:43:00Z</lastactive>");
        assert_eq!(IsComposing::read(idle.as_bytes(), None).unwrap(), IsComposing::idle());
    }

    #[test]
    fn check_054_an_unknown_state_is_idle() {
        for state in [
            "<state>thinking</state>",
            "<state>Active</state>",
            "<state/>",
            "",
            "<state xmlns='urn:x'>active</state>",
        ] {
            assert_eq!(read(state).state, State::Idle, "{state}");
        }
        assert_eq!(read("<state>\n active </state><x xmlns='urn:x'>y</x>").state, State::Active);
    }

    #[test]
    fn check_054_active_counts_for_its_refresh_or_two_minutes() {
        let lasts = |refresh: &str| read(&format!("<state>active</state>{refresh}")).lasts().as_secs();
        assert_eq!(lasts(""), 120);
        assert_eq!(lasts("<refresh>60</refresh>"), 60);
        assert_eq!(lasts("<refresh> 5 </refresh>"), 5);
        assert_eq!(lasts("<refresh>99999999</refresh>"), 600);
        for none in ["0", "-1", "x", "", "99999999999999999999999"] {
            assert_eq!(lasts(&format!("<refresh>{none}</refresh>")), 120, "{none}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for status in [
            IsComposing::idle(),
            IsComposing::active(Duration::from_secs(75)),
            IsComposing { state: State::Active, refresh: None },
        ] {
            assert_eq!(IsComposing::read(status.write().as_bytes(), None).unwrap(), status);
        }
    }

    #[test]
    fn what_is_no_status_is_refused() {
        for (text, error) in [
            ("", BodyError::Malformed),
            ("active", BodyError::Malformed),
            ("<isComposing/>", BodyError::UnsupportedType),
            (
                "<!DOCTYPE a [<!ENTITY b 'c'>]><isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'/>",
                BodyError::Malformed,
            ),
        ] {
            assert_eq!(IsComposing::read(text.as_bytes(), None).unwrap_err(), error, "{text}");
        }
        assert_eq!(IsComposing::read(&vec![b' '; 20_000], None).unwrap_err(), BodyError::TooLarge);
        assert_eq!(IsComposing::read(b"<a>\xff</a>", None).unwrap_err(), BodyError::NotText);
    }
}
