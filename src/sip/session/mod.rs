//! Sessions in SIP: one INVITE dialog with one usage, in both roles (RFC 3261 §13-§15, RFC 4028).
//!
//! | file | owns |
//! |---|---|
//! | [`state`] | the table: every state, every input, what is done |
//! | `caller` | our INVITE and its answers |
//! | `callee` | the peer's INVITE, our 2xx and its ACK |
//! | `inside` | what either side sends in the dialog, and the end |
//! | [`timer`] | the session timer (RFC 4028) |
//! | [`request`] | [`SessionRequest`]: one request of ours, to be written as often as needed |
//!
//! A [`Session`] keeps the dialog: who, where, which number comes next, whether what came is in order, and
//! when something is due. Whom it joins, whether they may talk and what the bodies mean is decided above:
//! bodies are octets here. Nothing is sent here either: each answer is a value, and its user performs it.
//!
//! What a peer can make a session keep is bounded: [`MAX_DIALOG`] octets of dialog, [`MAX_DESCRIPTION`] of
//! our own description, [`MAX_FORKS`] branches of a fork.
//!
//! Headers that nobody here reads change nothing: Microsoft's `EndPoints`, `Roster-Manager`, `ms-*`, and the
//! parameters of From, To and Contact.

mod callee;
mod caller;
mod inside;
pub mod request;
pub mod state;
#[cfg(test)]
mod tests;
pub mod timer;

pub use callee::{Acked, Due};
pub use caller::{Answered, Invite, Why};
pub use inside::{InDialog, Leave, ends_dialog};
pub use request::SessionRequest;
pub use state::State;
pub use timer::{Refresher, Timing};

use super::dialog::{Dialog, MAX_CSEQ};
use super::message::Message;
use super::method::Method;
use super::name::Name;
use super::uas::{ALLOW, SUPPORTED, contact, record_routes};
use crate::now::Mono;
use state::{Input, Step};
use timer::Timer;

/// Most octets of a dialog's texts; one that is longer is refused.
pub const MAX_DIALOG: usize = 4096;
/// Most octets of a description of ours (its type and SDP), which a refresh by re-INVITE repeats.
pub const MAX_DESCRIPTION: usize = 4096;
/// Most branches of one fork that are ended one by one; what comes from others is ignored.
pub const MAX_FORKS: usize = 8;

/// Who sent the INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// We did.
    Caller,
    /// The peer did.
    Callee,
}

/// A session description of ours.
#[derive(Clone, Debug)]
struct Description {
    content_type: Box<str>,
    body: Box<[u8]>,
}

impl Description {
    fn new(content_type: &str, body: &[u8]) -> Option<Box<Self>> {
        let fits = content_type.len() + body.len() <= MAX_DESCRIPTION;
        let kept = || Box::new(Self { content_type: content_type.into(), body: body.into() });
        (fits && !body.is_empty()).then(kept)
    }
}

/// Our 2xx to an INVITE of the peer, until its ACK comes.
#[derive(Clone, Copy, Debug)]
struct Unacknowledged {
    cseq: u32,
    /// How often the 2xx was repeated.
    doublings: u8,
    repeat_at: Mono,
    until: Mono,
}

/// A re-INVITE or UPDATE of ours that has no final response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refreshing {
    method: Method<'static>,
    cseq: u32,
}

/// One INVITE dialog usage.
#[derive(Debug)]
pub struct Session {
    dialog: Dialog,
    /// The dialog of a 1xx to our INVITE, of the branch that answered first.
    early: Option<Box<Dialog>>,
    state: State,
    side: Side,
    /// The CSeq number of the INVITE that asked for the session.
    invite: u32,
    /// That of our last re-INVITE that was accepted; 0 if there is none.
    reinvite: u32,
    /// Our answer to a challenge of the INVITE: its ACK repeats it (RFC 3261 §13.2.2.4).
    authorization: Option<Box<(Name, String)>>,
    timer: Timer,
    description: Option<Box<Description>>,
    /// What a re-INVITE of ours offers instead, until it is answered.
    offered: Option<Box<Description>>,
    /// Does the peer take UPDATE?
    updates: bool,
    refreshing: Option<Refreshing>,
    unacknowledged: Option<Unacknowledged>,
    /// When a refresh is tried again that met another (RFC 3261 §14.1).
    retry_at: Option<Mono>,
    /// When an INVITE that is not answered has expired.
    answer_by: Option<Mono>,
    /// What stands for the tags of branches that were ended.
    forks: Vec<u64>,
    /// How often a 422 made us ask again.
    raised: u8,
}

impl Session {
    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Is nothing to be done for it any more, but for copies of a 2xx?
    pub fn is_over(&self) -> bool {
        self.state == State::Over
    }

    /// May texts be sent in it?
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Accepted | State::Established)
    }

    /// The dialog.
    pub fn dialog(&self) -> &Dialog {
        &self.dialog
    }

    /// Is a request or ACK with these identifiers about this session, as far as our own tag says?
    pub fn is(&self, call_id: &str, local_tag: Option<&str>) -> bool {
        self.dialog.call_id() == call_id && self.dialog.local_tag() == local_tag
    }

    /// The next CSeq number, for a request that answers a challenge.
    pub fn next_cseq(&mut self) -> Option<u32> {
        self.dialog.next_cseq(1)
    }

    /// The session interval in seconds and who refreshes it, if there is a session timer.
    pub fn timer(&self) -> Option<(u32, Refresher)> {
        (self.timer.interval() > 0).then(|| (self.timer.interval(), self.timer.refresher()))
    }

    /// Octets that it keeps, without [`size_of`] itself.
    pub fn octets(&self) -> usize {
        let early = self.early.as_ref().map_or(0, |early| size_of::<Dialog>() + early.octets());
        let descriptions: usize = [&self.description, &self.offered]
            .into_iter()
            .flatten()
            .map(|kept| size_of::<Description>() + kept.content_type.len() + kept.body.len())
            .sum();
        let authorization =
            self.authorization.as_ref().map_or(0, |kept| size_of::<(Name, String)>() + kept.1.capacity());
        self.dialog.octets() + early + descriptions + authorization + self.forks.capacity() * size_of::<u64>()
    }

    fn step(&mut self, input: Input) -> Step {
        let (state, step) = state::next(self.state, input);
        self.state = state;
        if state == State::Over {
            self.timer.stop();
            self.early = None;
            self.description = None;
            self.offered = None;
            self.refreshing = None;
            self.unacknowledged = None;
            self.retry_at = None;
            self.answer_by = None;
        }
        step
    }

    /// A BYE. The last number can be used up: then it is used twice, which nobody lives to see.
    fn bye(&mut self) -> SessionRequest {
        let cseq = self.dialog.next_cseq(1).unwrap_or(MAX_CSEQ);
        SessionRequest::new(&self.dialog, Method::Bye, cseq)
    }

    /// The ACK of a 2xx to our INVITE with the number `cseq`.
    fn ack(&self, cseq: u32) -> SessionRequest {
        SessionRequest::new(&self.dialog, Method::Ack, cseq).authorized(self.authorization.as_deref())
    }

    /// What the peer takes, as an INVITE, an UPDATE or a 2xx to one says. Without Allow nothing changes.
    fn learn(&mut self, message: &Message<'_>) {
        if message.header(Name::Allow).is_some() {
            self.updates = message.tokens(Name::Allow).any(|token| token == Ok("UPDATE"));
        }
    }

    /// A target that can't be used leaves the old one.
    fn move_to(&mut self, message: &Message<'_>) {
        if let Ok(contact) = contact(message)
            && contact.len() <= MAX_DIALOG / 4
        {
            // The error says that nothing changed.
            let _ = self.dialog.refresh_target(contact);
        }
    }

    /// The headers of a 2xx of ours to an INVITE or UPDATE.
    fn accept_headers(&self, contact: &str, timer: &Timer) -> Vec<(Name, String)> {
        let mut headers = vec![
            (Name::Contact, format!("<{}>", contact_in(&self.dialog, contact))),
            (Name::Allow, ALLOW.to_owned()),
            (Name::Supported, SUPPORTED.to_owned()),
        ];
        timer.answer(&mut headers);
        headers
    }
}

/// Our Contact for `dialog`: a SIPS URI in a secure one (RFC 3261 §12.1.1, RFC 5630 §5.1).
fn contact_in(dialog: &Dialog, contact: &str) -> String {
    match contact.strip_prefix("sip:") {
        // RFC 3261 §26.2.2: `transport=tls` says the same, and is deprecated.
        Some(rest) if dialog.is_secure() => format!("sips:{}", rest.replace(";transport=tls", "")),
        Some(_) | None => contact.to_owned(),
    }
}
