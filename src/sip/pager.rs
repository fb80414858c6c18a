//! A MESSAGE out of a dialog: pager mode (RFC 3428), as this gateway sends it.
//!
//! What the request consists of is kept in one buffer, so that it can be written again: for another
//! transaction after a challenge or a failed server, or as a retransmission on UDP. Each of them has
//! its own Via; From tag and Call-ID stay.

use super::digest::{Credentials, Login};
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
    /// The display name in From.
    pub name: Option<&'t str>,
    /// What the body is.
    pub carries: Carries,
    /// What stands in front of the body if it goes as `message/cpim`: header and header of the content.
    pub envelope: Option<&'t str>,
}

/// What a MESSAGE carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carries {
    /// A text.
    #[default]
    Text,
    /// A text whose sender wants to hear what becomes of it.
    Asking,
    /// Whether somebody writes (RFC 3994): of no use later, and nobody is told that it failed.
    Typing,
    /// What became of another message (RFC 5438), in its envelope. Nobody is told that it failed.
    Notification,
}

impl Carries {
    /// Is it what a person wrote?
    pub fn is_text(self) -> bool {
        match self {
            Self::Text | Self::Asking => true,
            Self::Typing | Self::Notification => false,
        }
    }
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
    carries: Carries,
    /// Does the envelope go with it?
    wrapped: bool,
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
    Name,
    Envelope,
    Body,
}

const PARTS: usize = 9;
/// The Content-Type of a text.
pub const PLAIN: &str = "text/plain;charset=UTF-8";
const CPIM: &str = "message/cpim";
const TYPING: &str = "application/im-iscomposing+xml";
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
        buffer.extend_from_slice(parts.name.unwrap_or_default().as_bytes());
        end(&buffer, Part::Name);
        buffer.extend_from_slice(parts.envelope.unwrap_or_default().as_bytes());
        end(&buffer, Part::Envelope);
        buffer.extend_from_slice(parts.body.as_bytes());
        end(&buffer, Part::Body);
        Self {
            // All of it came from text.
            text: String::from_utf8(buffer).unwrap_or_default(),
            ends,
            tag: guard.stamp(ids.mint()),
            cseq,
            sent: parts.sent,
            carries: parts.carries,
            wrapped: parts.envelope.is_some(),
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

    /// Its Call-ID.
    pub fn call_id(&self) -> &str {
        self.part(Part::CallId)
    }

    /// What it carries.
    pub fn carries(&self) -> Carries {
        self.carries
    }

    /// Goes a text in an envelope?
    pub fn is_wrapped(&self) -> bool {
        self.wrapped && self.carries.is_text()
    }

    /// Takes a text out of its envelope, and gives the request the next CSeq. False if it is in none.
    pub fn unwrap_text(&mut self) -> bool {
        let is_wrapped = std::mem::take(&mut self.wrapped);
        if is_wrapped {
            self.cseq = self.cseq.wrapping_add(1) & 0x7fff_ffff;
        }
        is_wrapped
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
                display: Some(self.part(Part::Name)),
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
        let content_type = match (self.carries, self.wrapped) {
            (_, true) => CPIM,
            (Carries::Typing, false) => TYPING,
            (Carries::Text | Carries::Asking | Carries::Notification, false) => PLAIN,
        };
        writer.body(content_type, self.content().as_bytes());
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
        let ends = (self.end(Part::Target as usize), self.end(Part::RequestUri as usize));
        let uri = self.text.get(ends.0..ends.1).unwrap_or_default();
        let Some(answer) = self.login.answer((status, challenges), credentials, ("MESSAGE", uri), ids) else {
            return false;
        };
        self.authorization = Some(answer);
        self.cseq = self.cseq.wrapping_add(1) & 0x7fff_ffff;
        true
    }

    /// The body, with its envelope.
    fn content(&self) -> &str {
        match self.wrapped {
            true => self.text.get(self.end(Part::Name as usize)..).unwrap_or_default(),
            false => self.part(Part::Body),
        }
    }

    fn part(&self, part: Part) -> &str {
        let index = part as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.end(before));
        self.text.get(start..self.end(index)).unwrap_or_default()
    }

    fn end(&self, part: usize) -> usize {
        self.ends.get(part).map_or(0, |end| *end as usize)
    }
}
