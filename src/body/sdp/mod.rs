//! Session descriptions (RFC 8866) of person-to-person message sessions: what a peer offers or answers,
//! and our own offers and answers (RFC 3264).
//!
//! Two kinds of message media are known: texts as MESSAGE requests in the dialog itself (`sip null`, as
//! Lync and its kin offer it; port and address mean nothing), and MSRP (RFC 4975 §8, RFC 6135). Every
//! other medium is read too, so that an answer can refuse it with port 0 (RFC 3264 §6). The grammar of
//! lines is the crate `sdp-types`; what is read from a line's value is here.
//!
//! | file | owns |
//! |---|---|
//! | this one | [`Description`]: reading, and [`Media`]: what one m-line says |
//! | `write` | [`Ours`]: our offers and our answers |
//!
//! A description without `o=`, `s=` or `t=` is read, as deployed peers leave them out; one without `v=`
//! is not.

mod write;

#[cfg(test)]
mod tests;

pub use sdp_types::{Fingerprint, HashFunc};
pub use write::{Ours, Way};

use std::fmt;

/// The media type of a session description.
pub const CONTENT_TYPE: &str = "application/sdp";

/// Octets of a description.
const OCTETS_MAX: usize = 65_536;
/// Lines of a description.
const LINES_MAX: usize = 1024;
/// m-lines of a description.
const MEDIA_MAX: usize = 32;
/// Media types in one list, and URIs in one path: what is above is not read.
const LIST_MAX: usize = 64;

/// Why a body is no session description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SdpError {
    /// A line is broken, or the version is missing.
    #[error("the session description is malformed")]
    Malformed,
    /// More octets, lines or media than are read.
    #[error("the session description is too large")]
    TooLarge,
}

/// A session description as it was read.
#[derive(Clone, PartialEq, Eq)]
pub struct Description {
    session: sdp_types::Session,
}

/// What one m-line offers or answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Where it stands among the m-lines, from 0: an answer names it by its place (RFC 3264 §6).
    pub index: usize,
    /// What kind of medium it is.
    pub kind: Kind,
    /// The port; 0 refuses or ends the medium.
    pub port: u16,
    /// Whether texts may go both ways: neither `inactive` nor `sendonly` nor `recvonly`.
    pub both_ways: bool,
    /// Whether it carries one file (RFC 5547) and no conversation.
    pub file: bool,
    /// The media types that the peer takes (RFC 4975 §8.6).
    pub accept: Types,
    /// The media types that it takes inside a container only.
    pub accept_wrapped: Types,
    /// The largest message it takes, in octets (RFC 4975 §8.6).
    pub max_size: Option<u64>,
    /// Which side connects (RFC 6135 §4.2); `None` is the offerer, as in RFC 4975 §5.4.
    pub setup: Option<Setup>,
    /// The URIs to the peer, the nearest first, each as it was written (RFC 4975 §8.2).
    pub path: Vec<String>,
    /// The certificates that the peer may show (RFC 4975 §14.4, RFC 8122 §5).
    pub fingerprints: Vec<Fingerprint>,
}

/// A kind of medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Texts as MESSAGE requests in the dialog: `m=message PORT sip …`, or `m=x-ms-message …`.
    Sip,
    /// MSRP over TCP: `TCP/MSRP *`.
    Msrp,
    /// MSRP over TLS: `TCP/TLS/MSRP *`.
    MsrpTls,
    /// Audio, video, and whatever else there is.
    Other,
}

/// Who connects (RFC 6135 §4.2.1; `holdconn` counts as nothing).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setup {
    /// The one who says so connects.
    Active,
    /// The other one connects.
    Passive,
    /// Offers only: whichever the answerer likes.
    ActPass,
}

/// A list of media types, as in `a=accept-types`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Types(Vec<String>);

impl Description {
    /// Reads a description.
    ///
    /// # Errors
    ///
    /// [`SdpError::TooLarge`] above 64 KiB, 1024 lines or 32 m-lines; [`SdpError::Malformed`] for what is no
    /// description, with a CR inside a line or a port above 65535, or without `v=0`.
    pub fn parse(octets: &[u8]) -> Result<Self, SdpError> {
        if octets.len() > OCTETS_MAX || memchr::memchr_iter(b'\n', octets).count() > LINES_MAX {
            return Err(SdpError::TooLarge);
        }
        // The crate counts everything up to the first LF as one line; a CR that is not before one is an error.
        let session = sdp_types::Session::parse(octets).map_err(|_| SdpError::Malformed)?;
        if session.medias.len() > MEDIA_MAX {
            return Err(SdpError::TooLarge);
        }
        Ok(Self { session })
    }

    /// Appends the description as octets.
    pub fn write(&self, out: &mut Vec<u8>) {
        // A Vec takes everything: there is no other error.
        let _ = self.session.write(out);
    }

    /// What each m-line says, in order.
    pub fn media(&self) -> impl Iterator<Item = Media> + '_ {
        self.session.medias.iter().enumerate().map(|(index, media)| self.read(index, media))
    }

    /// The first medium of `kind` that can be used for a conversation: not refused, both ways, no file.
    ///
    /// MSRP without a path is none, because nobody could reach the peer (RFC 4975 §8.2).
    pub fn usable(&self, kind: Kind) -> Option<Media> {
        self.media().find(|media| {
            let reachable = matches!(kind, Kind::Sip | Kind::Other) || !media.path.is_empty();
            media.kind == kind && media.port != 0 && media.both_ways && !media.file && reachable
        })
    }

    fn read(&self, index: usize, media: &sdp_types::Media) -> Media {
        let both = |name: &str| {
            // A value of the session holds for every medium that does not say its own (RFC 8866 §5.13).
            let own = media.get_first_attribute_value(name);
            own.or_else(|| self.session.get_first_attribute_value(name))
                .flatten()
                .unwrap_or_default()
                .to_owned()
        };
        let list = |value: String| value.split_ascii_whitespace().take(LIST_MAX).map(str::to_owned).collect();
        let mut fingerprints: Vec<_> = media.attributes_typed().flatten().take(LIST_MAX).collect();
        if fingerprints.is_empty() {
            fingerprints = self.session.attributes_typed().flatten().take(LIST_MAX).collect();
        }
        Media {
            index,
            kind: kind(media),
            port: media.port,
            both_ways: self.direction(media) == "sendrecv",
            file: media.has_attribute("file-selector"),
            accept: Types(list(both("accept-types"))),
            accept_wrapped: Types(list(both("accept-wrapped-types"))),
            max_size: both("max-size").trim().parse().ok(),
            setup: setup(both("setup").trim()),
            path: list(both("path")),
            fingerprints,
        }
    }

    fn direction(&self, media: &sdp_types::Media) -> &'static str {
        const DIRECTIONS: [&str; 4] = ["sendrecv", "inactive", "sendonly", "recvonly"];
        let said = |has: &dyn Fn(&str) -> bool| DIRECTIONS.into_iter().find(|name| has(name));
        said(&|name| media.has_attribute(name))
            .or_else(|| said(&|name| self.session.has_attribute(name)))
            .unwrap_or("sendrecv")
    }
}

/// Addresses stay out of what is printed: the kinds of the media only.
impl fmt::Debug for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.session.medias.iter().map(kind)).finish()
    }
}

fn kind(media: &sdp_types::Media) -> Kind {
    let named = |name: &str| media.media.eq_ignore_ascii_case(name);
    let over = |proto: &str| media.proto.eq_ignore_ascii_case(proto);
    // COMPAT Live Communications Server: `x-ms-message`. What follows `sip` is `null` or a SIP URI, and
    // nobody reads it.
    match () {
        () if (named("message") || named("x-ms-message")) && over("sip") => Kind::Sip,
        () if named("message") && over("TCP/MSRP") => Kind::Msrp,
        () if named("message") && over("TCP/TLS/MSRP") => Kind::MsrpTls,
        () => Kind::Other,
    }
}

fn setup(value: &str) -> Option<Setup> {
    match value {
        "active" => Some(Setup::Active),
        "passive" => Some(Setup::Passive),
        "actpass" => Some(Setup::ActPass),
        _ => None,
    }
}

impl Types {
    /// Whether the list names `media_type`, which has no parameters: `*`, `text/*` and `text/plain` name
    /// `text/plain` (RFC 4975 §9, `format-entry`).
    pub fn contain(&self, media_type: &str) -> bool {
        let top = media_type.split('/').next().unwrap_or_default();
        self.0.iter().any(|entry| {
            let entry = entry.split(';').next().unwrap_or_default();
            let of_top = || entry.strip_suffix("/*").is_some_and(|kind| kind.eq_ignore_ascii_case(top));
            entry == "*" || entry.eq_ignore_ascii_case(media_type) || of_top()
        })
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Media {
    /// Whether the peer takes `media_type` as it is.
    pub fn takes(&self, media_type: &str) -> bool {
        self.accept.contain(media_type)
    }

    /// Whether the peer takes `media_type` inside `message/cpim`: what it takes, it takes wrapped too
    /// (RFC 4975 §8.6).
    pub fn takes_in_cpim(&self, media_type: &str) -> bool {
        let inside = self.accept_wrapped.contain(media_type) || self.accept.contain(media_type);
        self.accept.contain("message/cpim") && inside
    }
}
