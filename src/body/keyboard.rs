//! The body of an INFO by which Lync and its kin say that somebody writes: `application/xml`.
//!
//! It comes inside of a session, about every five seconds while somebody writes; nothing for a while
//! means that nobody does.

use super::{BodyError, document};
use std::time::Duration;

/// The media type.
pub const TYPE: &str = "application/xml";
/// How often `type` is said while somebody writes.
pub const REPEAT: Duration = Duration::from_secs(5);
/// For how long it counts: two of them may be lost.
pub const LASTS: Duration = Duration::from_secs(15);

/// What the user does at the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyboardActivity {
    /// The user is writing.
    Type,
    /// The user is not, or not any more.
    Idle,
}

impl KeyboardActivity {
    /// Reads a document. A status that nobody knows is `idle`.
    ///
    /// # Errors
    /// [`BodyError::Malformed`] and [`BodyError::NotText`] for what is no XML, [`BodyError::UnsupportedType`]
    /// for another document, [`BodyError::TooLarge`].
    pub fn read(octets: &[u8], charset: Option<&str>) -> Result<Self, BodyError> {
        let text = document::text(octets, charset)?;
        let root = document::root(&text, "KeyboardActivity", "")?;
        let status = root.child("status", "").and_then(|status| status.attr("status"));
        Ok(match status {
            Some("type") => Self::Type,
            Some(_) | None => Self::Idle,
        })
    }

    /// The document.
    pub fn write(self) -> &'static str {
        match self {
            Self::Type => {
                "<?xml version=\"1.0\"?>\r\n<KeyboardActivity>\r\n  <status status=\"type\" />\r\n</KeyboardActivity>"
            }
            Self::Idle => {
                "<?xml version=\"1.0\"?>\r\n<KeyboardActivity>\r\n  <status status=\"idle\" />\r\n</KeyboardActivity>"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_states_are_read_and_written() {
        for activity in [KeyboardActivity::Type, KeyboardActivity::Idle] {
            assert_eq!(KeyboardActivity::read(activity.write().as_bytes(), None), Ok(activity));
        }
        let short = b"<KeyboardActivity><status status='type'/></KeyboardActivity>";
        assert_eq!(KeyboardActivity::read(short, None), Ok(KeyboardActivity::Type));
    }

    #[test]
    fn an_unknown_status_is_idle_and_another_document_is_refused() {
        for inner in ["<status status='Type'/>", "<status/>", "", "<status status='x'/>"] {
            let text = format!("<KeyboardActivity>{inner}</KeyboardActivity>");
            assert_eq!(KeyboardActivity::read(text.as_bytes(), None), Ok(KeyboardActivity::Idle), "{inner}");
        }
        for text in ["<action name='x'/>", "<KeyboardActivity xmlns='urn:x'/>"] {
            assert_eq!(KeyboardActivity::read(text.as_bytes(), None), Err(BodyError::UnsupportedType));
        }
        assert_eq!(KeyboardActivity::read(b"type", None), Err(BodyError::Malformed));
    }
}
