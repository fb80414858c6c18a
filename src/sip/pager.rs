//! A MESSAGE out of a dialog: pager mode (RFC 3428), as this gateway sends it.
//!
//! What the request consists of is kept in one buffer, so that it can be written again: for another
//! transaction after a challenge or a failed server, or as a retransmission on UDP. Each of them has
//! its own Via; From tag and Call-ID stay.

use super::digest::{Answering, Credentials, Login};
use super::locate::Transport;
use super::merged::{LoopGuard, Stamp};
use super::method::Method;
use super::name::Name;
use super::write::{Party, Request, Writer};
use crate::addr::{Jid, map};
use crate::ids::Ids;
use crate::now::Wall;

/// What crosses.
#[derive(Clone, Debug, Default)]
pub struct Parts<'t> {
    /// The text.
    pub body: &'t str,
    /// Subject.
    pub subject: Option<&'t str>,
    /// Content-Language.
    pub language: Option<&'t str>,
    /// Call-ID, if the message belongs to a thread that has one; else a new one is minted.
    pub call_id: Option<&'t str>,
    /// Date, if the message was delayed.
    pub sent: Option<Wall>,
}

/// Where a request is sent from, as its Via says.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// Host, or host and port: where a response finds us if the connection is gone.
    pub by: &'a str,
    /// The transport.
    pub transport: Transport,
}

impl Sent<'_> {
    /// The URI at which requests inside of a dialog find us. It always has a port: without one the
    /// peer would have to ask DNS (RFC 3263 §4.2).
    pub fn contact(&self) -> String {
        let (by, transport) = (self.by, self.transport);
        let name = transport.as_str().to_ascii_lowercase();
        let has_port = by.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        match has_port {
            true => format!("sip:{by};transport={name}"),
            false => format!("sip:{by}:{};transport={name}", transport.port()),
        }
    }
}

/// A MESSAGE that can be written as often as needed.
#[derive(Debug)]
pub struct Pager {
    text: String,
    /// Where each part of `text` ends, in the order of [`Part`].
    ends: [u32; PARTS],
    tag: Stamp,
    cseq: u32,
    sent: Option<Wall>,
    login: Login,
    authorization: Option<(Name, String)>,
}

/// The parts in the buffer.
#[derive(Clone, Copy)]
enum Part {
    Target,
    RequestUri,
    From,
    CallId,
    Subject,
    Language,
    Body,
}

const PARTS: usize = 7;
const CONTENT_TYPE: &str = "text/plain;charset=UTF-8";
/// Octets of a MESSAGE that are not parts, generously: names of headers, Via, CSeq, Content-Length.
const FRAME: usize = 640;

impl Pager {
    /// A message from `from`, an XMPP contact, to `to`, one of our SIP users. From carries the resource
    /// as `gr` (RFC 7572 Table 1).
    pub fn build(
        from: &Jid,
        to: &Jid,
        parts: &Parts<'_>,
        cseq: u32,
        guard: &LoopGuard,
        ids: &mut Ids,
    ) -> Self {
        let mut buffer = Vec::with_capacity(parts.body.len() + 256);
        let mut ends = [0; PARTS];
        let mut end =
            |buffer: &Vec<u8>, part: Part| ends[part as usize] = u32::try_from(buffer.len()).unwrap_or(0);
        buffer.extend_from_slice(to.bare_str().as_bytes());
        end(&buffer, Part::Target);
        map::uri_from_jid(to, &mut buffer);
        end(&buffer, Part::RequestUri);
        map::uri_from_jid(from, &mut buffer);
        end(&buffer, Part::From);
        match parts.call_id {
            Some(call_id) => buffer.extend_from_slice(call_id.as_bytes()),
            None => buffer.extend_from_slice(ids.mint().as_str().as_bytes()),
        }
        end(&buffer, Part::CallId);
        buffer.extend_from_slice(parts.subject.unwrap_or_default().as_bytes());
        end(&buffer, Part::Subject);
        buffer.extend_from_slice(parts.language.unwrap_or_default().as_bytes());
        end(&buffer, Part::Language);
        buffer.extend_from_slice(parts.body.as_bytes());
        end(&buffer, Part::Body);
        Self {
            // All of it came from text.
            text: String::from_utf8(buffer).unwrap_or_default(),
            ends,
            tag: guard.stamp(ids.mint()),
            cseq,
            sent: parts.sent,
            login: Login::default(),
            authorization: None,
        }
    }

    /// The user that it is for, as a bare JID: messages for one target go one after the other.
    pub fn target(&self) -> &str {
        self.part(Part::Target)
    }

    /// The text.
    pub fn body(&self) -> &str {
        self.part(Part::Body)
    }

    /// Subject; empty if there is none.
    pub fn subject(&self) -> &str {
        self.part(Part::Subject)
    }

    /// Content-Language; empty if there is none.
    pub fn language(&self) -> &str {
        self.part(Part::Language)
    }

    /// When it was written, if it was delayed.
    pub fn sent(&self) -> Option<Wall> {
        self.sent
    }

    /// One name for both legs, in the journal: the tag in From.
    pub fn trace(&self) -> &str {
        self.tag.as_str()
    }

    /// Octets of its parts.
    pub fn octets(&self) -> usize {
        self.text.len()
    }

    /// Is the whole request, in octets, at most `limit`?
    pub fn fits(&self, limit: usize, sent: &Sent<'_>) -> bool {
        // To repeats the Request-URI.
        let authorization = self.authorization.as_ref().map_or(0, |(_, value)| value.len());
        if self.text.len() + self.part(Part::RequestUri).len() + authorization + FRAME <= limit {
            return true;
        }
        let mut octets = Vec::new();
        // No branch of ours is longer.
        self.write(sent, &"z".repeat(40), &mut octets);
        octets.len() <= limit
    }

    /// Appends the request with its Via.
    pub fn write(&self, sent: &Sent<'_>, branch: &str, out: &mut Vec<u8>) {
        let request_uri = self.part(Part::RequestUri).as_bytes();
        // RFC 3261 §8.1.1.2: To names the user, not the instance that the Request-URI asks for.
        let to = request_uri.split(|octet| *octet == b';').next().unwrap_or_default();
        let request = Request {
            method: Method::Message,
            uri: request_uri,
            transport: sent.transport,
            sent_by: sent.by,
            branch,
            max_forwards: 70,
            from: Party {
                display: None,
                uri: self.part(Part::From).as_bytes(),
                tag: Some(self.tag.as_str()),
            },
            to: Party { display: None, uri: to, tag: None },
            call_id: self.part(Part::CallId),
            cseq: self.cseq,
        };
        let mut writer = Writer::request(out, &request);
        if let Some((name, value)) = &self.authorization {
            writer.header(*name, value);
        }
        for (name, part) in [(Name::Subject, Part::Subject), (Name::ContentLanguage, Part::Language)] {
            let value = self.part(part);
            if !value.is_empty() {
                writer.header(name, value);
            }
        }
        if let Some(sent) = self.sent {
            writer.date(sent);
        }
        writer.body(CONTENT_TYPE, self.part(Part::Body).as_bytes());
    }

    /// Puts an answer to the challenge of a 401 or 407 into the request, and gives it the next CSeq
    /// (RFC 3261 §22.2). False if the challenge can't be met: the response is final then.
    pub fn answer_challenge<'a>(
        &mut self,
        status: u16,
        challenges: impl IntoIterator<Item = &'a str>,
        credentials: Option<&Credentials>,
        ids: &mut Ids,
    ) -> bool {
        let Some(challenge) = self.login.on_challenge(status, challenges, credentials) else { return false };
        let Some(credentials) = credentials else { return false };
        let cnonce = ids.mint();
        let answering = Answering {
            method: "MESSAGE",
            uri: self.part(Part::RequestUri),
            cnonce: cnonce.as_str(),
            count: 1,
        };
        let mut value = Vec::new();
        if challenge.write(credentials, &answering, &mut value).is_err() {
            return false;
        }
        let name = if status == 401 { Name::Authorization } else { Name::ProxyAuthorization };
        self.authorization = String::from_utf8(value).ok().map(|value| (name, value));
        self.cseq = self.cseq.wrapping_add(1) & 0x7fff_ffff;
        self.authorization.is_some()
    }

    fn part(&self, part: Part) -> &str {
        let index = part as usize;
        let end = |index: usize| self.ends.get(index).map_or(0, |end| *end as usize);
        let start = index.checked_sub(1).map_or(0, end);
        self.text.get(start..end(index)).unwrap_or_default()
    }
}
