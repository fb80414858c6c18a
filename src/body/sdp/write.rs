//! Our own offers and answers.

use super::{Description, Fingerprint, Setup, kind};
use sdp_types::{Connection, Media, MediaType, Origin, Session, Time, TransportProto};
use std::net::IpAddr;

/// What we say of ourselves.
#[derive(Clone, Copy, Debug)]
pub struct Ours<'a> {
    /// Our host as the peer may see it: an address or a name.
    pub host: &'a str,
    /// The number of the session, the same in each of its descriptions (RFC 8866 §5.2).
    pub session: u64,
    /// The number of this description in the session: one more whenever something changed (RFC 3264 §8).
    pub version: u64,
    /// The media types that we take.
    pub accept: &'a [&'a str],
    /// How the texts go.
    pub way: Way<'a>,
}

/// How the texts go, and what of it is ours.
#[derive(Clone, Copy, Debug)]
pub enum Way<'a> {
    /// As MESSAGE requests in the dialog.
    Sip,
    /// Through MSRP.
    Msrp {
        /// Over TLS.
        tls: bool,
        /// The port of `path`; 9 for the one who connects (RFC 6135 §4.2.2).
        port: u16,
        /// Our URI.
        path: &'a str,
        /// Who connects: never [`Setup::Passive`] in an offer (RFC 6135 §4.2.2).
        setup: Setup,
        /// The media types that we take inside a container.
        accept_wrapped: &'a [&'a str],
        /// The largest message that we take, in octets.
        max_size: u64,
        /// Our certificate.
        fingerprint: Option<&'a Fingerprint>,
    },
}

impl Ours<'_> {
    /// Our offer: one medium.
    pub fn offer(&self) -> Vec<u8> {
        let mut session = self.session();
        session.medias.push(self.media());
        written(&session)
    }

    /// Our answer to `offer`: its medium at `index` is accepted, every other one refused (RFC 3264 §6).
    ///
    /// `None` when there is no such medium, or it is of another kind than ours.
    pub fn answer(&self, offer: &Description, index: usize) -> Option<Vec<u8>> {
        let mut session = self.session();
        for (place, offered) in offer.session.medias.iter().enumerate() {
            if place != index {
                session.medias.push(refused(offered));
                continue;
            }
            let mut media = self.media();
            if kind(&media) != kind(offered) {
                return None;
            }
            media.media.clone_from(&offered.media);
            session.medias.push(media);
        }
        (index < session.medias.len()).then(|| written(&session))
    }

    fn session(&self) -> Session {
        let (addrtype, address) = match self.host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address @ IpAddr::V6(_)) => ("IP6", address.to_string()),
            Ok(address @ IpAddr::V4(_)) => ("IP4", address.to_string()),
            // A name is of either type (RFC 8866 §5.7); IP4 is what every peer can read.
            Err(_) => ("IP4", self.host.to_owned()),
        };
        let origin = Origin::new(self.session, self.version, "IN".into(), addrtype.into(), &address);
        // `-` is the name of a session that has none (RFC 8866 §5.3).
        let mut session = Session::new(origin, "-");
        session.connection = Some(Connection::new("IN".into(), addrtype.into(), &address));
        session.add_time(Time::new(0, 0));
        session
    }

    fn media(&self) -> Media {
        let mut media;
        match self.way {
            Way::Sip => {
                media = medium(5060, "sip", "null");
                media.add_attribute_with_value("accept-types", self.accept.join(" "));
            }
            Way::Msrp { tls, port, path, setup, accept_wrapped, max_size, fingerprint } => {
                media = medium(port, if tls { "TCP/TLS/MSRP" } else { "TCP/MSRP" }, "*");
                media.add_attribute_with_value("accept-types", self.accept.join(" "));
                if !accept_wrapped.is_empty() {
                    media.add_attribute_with_value("accept-wrapped-types", accept_wrapped.join(" "));
                }
                media.add_attribute_with_value("max-size", max_size);
                media.add_attribute_with_value("setup", said(setup));
                media.add_attribute_with_value("path", path);
                if let Some(fingerprint) = fingerprint {
                    media.add_attribute_with_value("fingerprint", fingerprint.to_string());
                }
            }
        }
        media
    }
}

fn said(setup: Setup) -> &'static str {
    match setup {
        Setup::Active => "active",
        Setup::Passive => "passive",
        Setup::ActPass => "actpass",
    }
}

fn medium(port: u16, proto: &str, format: &str) -> Media {
    Media::new(MediaType::Message, port, TransportProto::from(proto), format)
}

/// An m-line as it was offered, with port 0 and nothing else.
fn refused(offered: &Media) -> Media {
    let mut media = medium(0, "", "");
    media.media.clone_from(&offered.media);
    media.proto.clone_from(&offered.proto);
    media.fmt.clone_from(&offered.fmt);
    media
}

fn written(session: &Session) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    // A Vec takes everything: there is no other error.
    let _ = session.write(&mut out);
    out
}
