//! A request of ours in a session, as often as it has to be written: for another transaction after a
//! challenge or a failed server, or as a retransmission on UDP. It holds all it needs, so it outlives the
//! session that it is about: the BYE is its last word.
//!
//! With an INVITE go the two requests that share its branch: the CANCEL, and the ACK of a 300-699.

use super::contact_in;
use super::timer::{Refresher, Stated};
use crate::ids::Ids;
use crate::sip::dialog::{Dialog, MAX_CSEQ, Routed};
use crate::sip::digest::{Credentials, Login};
use crate::sip::method::Method;
use crate::sip::name::Name;
use crate::sip::pager::Sent;
use crate::sip::uas::{ALLOW, SUPPORTED};
use crate::sip::write::{Party, Request, Writer};

/// What a request carries.
#[derive(Clone, Debug, Default)]
struct Content {
    headers: Box<[(Box<str>, Box<str>)]>,
    content_type: Box<str>,
    body: Box<[u8]>,
}

/// One request inside a session, or the one that asks for it.
#[derive(Debug)]
pub struct SessionRequest {
    dialog: Dialog,
    method: Method<'static>,
    cseq: u32,
    content: Content,
    stated: Option<Stated>,
    login: Login,
    authorization: Option<(Name, String)>,
}

impl SessionRequest {
    pub(super) fn new(dialog: &Dialog, method: Method<'static>, cseq: u32) -> Self {
        Self {
            dialog: dialog.clone(),
            method,
            cseq,
            content: Content::default(),
            stated: None,
            login: Login::default(),
            authorization: None,
        }
    }

    /// The same with headers of its user, each a name and a value. One without a name is not written.
    pub(super) fn with_headers(mut self, headers: &[(&str, &str)]) -> Self {
        self.content.headers =
            headers.iter().map(|(name, value)| (Box::from(*name), Box::from(*value))).collect();
        self
    }

    /// The same with a body: the answer in an ACK of a 2xx that had the offer, for example.
    pub fn with_body(mut self, content_type: &str, body: &[u8]) -> Self {
        self.content.content_type = content_type.into();
        self.content.body = body.into();
        self
    }

    pub(super) fn with_timer(mut self, stated: Stated) -> Self {
        self.stated = Some(stated);
        self
    }

    pub(super) fn authorized(mut self, authorization: Option<&(Name, String)>) -> Self {
        self.authorization = authorization.cloned();
        self
    }

    /// The same request as a new one, after its first was refused: another number, another timer.
    pub(super) fn again(&self, cseq: u32, stated: Stated) -> Self {
        Self {
            dialog: self.dialog.clone(),
            method: self.method,
            cseq,
            content: self.content.clone(),
            stated: Some(stated),
            login: Login::default(),
            authorization: None,
        }
    }

    /// INVITE, ACK, MESSAGE, INFO, UPDATE or BYE.
    pub fn method(&self) -> Method<'static> {
        self.method
    }

    /// The number of CSeq.
    pub fn cseq(&self) -> u32 {
        self.cseq
    }

    /// One name for both legs, in the journal: our tag.
    pub fn trace(&self) -> &str {
        self.dialog.local_tag().unwrap_or_default()
    }

    /// The URI that decides the next hop (RFC 3261 §8.1.2).
    pub fn next_hop(&self) -> &str {
        self.dialog.route().next_hop
    }

    /// Octets that it keeps, without [`size_of`] itself.
    pub fn octets(&self) -> usize {
        let Content { headers, content_type, body } = &self.content;
        let headers: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let authorization = self.authorization.as_ref().map_or(0, |(_, value)| value.len());
        self.dialog.octets() + headers + content_type.len() + body.len() + authorization
    }

    pub(super) fn authorization(&self) -> Option<&(Name, String)> {
        self.authorization.as_ref()
    }

    /// Appends the request with its Via.
    pub fn write(&self, sent: &Sent<'_>, branch: &str, out: &mut Vec<u8>) {
        let routed = self.dialog.route();
        let mut writer = self.begin(self.method, self.dialog.remote_tag(), &routed, sent, branch, out);
        if matches!(self.method, Method::Invite | Method::Update) {
            let contact = contact_in(&self.dialog, &sent.contact());
            writer.field(Name::Contact).address(contact.as_bytes());
            writer.header(Name::Allow, ALLOW);
            writer.header(Name::Supported, SUPPORTED);
        }
        if let Some((name, value)) = &self.authorization {
            writer.header(*name, value);
        }
        if let Some(stated) = self.stated {
            let field = writer.field(Name::SessionExpires).number(stated.expires.into());
            match stated.refresher {
                Some(Refresher::Us) => drop(field.text(";refresher=uac")),
                Some(Refresher::Peer) => drop(field.text(";refresher=uas")),
                None => drop(field),
            }
            if let Some(least) = stated.least {
                writer.number(Name::MinSe, least.into());
            }
        }
        for (name, value) in &self.content.headers {
            writer.other(name, value);
        }
        if self.content.body.is_empty() {
            writer.end();
        } else {
            writer.body(&self.content.content_type, &self.content.body);
        }
    }

    /// Appends the ACK of a 300-699 to this INVITE (RFC 3261 §17.1.1.3): with the `branch` of the INVITE,
    /// and the tag in To of the response.
    pub fn write_ack(&self, sent: &Sent<'_>, branch: &str, to_tag: Option<&str>, out: &mut Vec<u8>) {
        let routed = self.dialog.route();
        let mut writer = self.begin(Method::Ack, to_tag, &routed, sent, branch, out);
        if let Some((name, value)) = &self.authorization {
            writer.header(*name, value);
        }
        writer.end();
    }

    /// Appends the CANCEL of this INVITE (RFC 3261 §9.1): with its `branch`, and its To.
    pub fn write_cancel(&self, sent: &Sent<'_>, branch: &str, out: &mut Vec<u8>) {
        let routed = self.dialog.route();
        self.begin(Method::Cancel, self.dialog.remote_tag(), &routed, sent, branch, out).end();
    }

    fn begin<'w>(
        &self,
        method: Method<'static>,
        to_tag: Option<&str>,
        routed: &Routed<'_>,
        sent: &Sent<'_>,
        branch: &str,
        out: &'w mut Vec<u8>,
    ) -> Writer<'w> {
        let (from, to) = (self.dialog.local_uri().as_bytes(), self.dialog.remote_uri().as_bytes());
        let request = Request {
            method,
            uri: routed.request_uri.as_bytes(),
            transport: sent.transport,
            sent_by: sent.by,
            branch,
            max_forwards: 70,
            from: Party { display: None, uri: from, tag: self.dialog.local_tag() },
            to: Party { display: None, uri: to, tag: to_tag },
            call_id: self.dialog.call_id(),
            cseq: self.cseq,
        };
        let mut writer = Writer::request(out, &request);
        for route in &routed.routes {
            writer.header(Name::Route, route);
        }
        if let Some(last) = routed.last {
            writer.field(Name::Route).address(last.as_bytes());
        }
        writer
    }

    /// Puts an answer to the challenge of a 401 or 407 into the request and gives it another CSeq
    /// (RFC 3261 §22.2): the `cseq` that its dialog counted, or the next one where the session is gone.
    /// False if the challenge can't be met: the response is final then. For a session that lives,
    /// [`super::Session::answer_challenge`].
    pub fn answer_challenge<'a>(
        &mut self,
        status: u16,
        challenges: impl IntoIterator<Item = &'a str>,
        credentials: Option<&Credentials>,
        cseq: Option<u32>,
        ids: &mut Ids,
    ) -> bool {
        let routed = self.dialog.route();
        let asked = (self.method.as_str(), &*routed.request_uri);
        let Some(answer) = self.login.answer((status, challenges), credentials, asked, ids) else {
            return false;
        };
        self.authorization = Some(answer);
        self.cseq = cseq.unwrap_or(self.cseq.saturating_add(1).min(MAX_CSEQ));
        true
    }
}
