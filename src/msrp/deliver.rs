//! What we send: messages in chunks, in turn between the sessions of a connection (RFC 4975 §7.1.1),
//! responses, and reports.
//!
//! A chunk has at most 2048 octets, so that none ever has to be interrupted. Messages of a session go one
//! after the other; the sessions of a connection take turns, a chunk each. No more is handed to the driver
//! than it can get rid of, so a long message does not hold up what comes later.

use super::assembly::cover;
use super::frame::Flag;
use super::head::Writer;
use super::switch::{Held, RECENT_MAX, Switch};
use super::{ConnId, Event, FailureReport, MessageId, MsrpUri, Outgoing, Receipt, SendError, SessionId};
use crate::ids::{Id, Ids};
use crate::now::{Mono, Now};
use memchr::memmem;
use std::collections::VecDeque;
use std::time::Duration;

/// Octets of a chunk (RFC 4975 §7.1.1: above, it must be interruptible).
pub const CHUNK: usize = 2048;
/// How long a chunk may be unanswered, or a message wait for its turn.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long reports on a message are waited for (RFC 4975 §7.1.1).
const REPORTS: Duration = Duration::from_secs(120);
/// Messages of one session that are not sent whole.
pub const QUEUE_MAX: usize = 64;
/// Octets of them.
pub const QUEUE_OCTETS: usize = 1024 * 1024;
/// Chunks of one session that are not answered.
const UNANSWERED_MAX: usize = 64;
/// Messages of one session on which a report may still come.
const REPORTS_MAX: usize = 64;
/// Octets on their way to the kernel, on one connection.
const WINDOW: usize = 16 * 1024;

/// What a session has to send, and what it waits for.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// Not answered whole, in their order.
    messages: VecDeque<Message>,
    chunks: Vec<Chunk>,
    /// Answered; a report may come.
    sent: VecDeque<Sent>,
}

#[derive(Debug)]
struct Message {
    id: MessageId,
    content_type: String,
    octets: Vec<u8>,
    report: bool,
    /// Octets that have left.
    position: usize,
    /// All chunks have left.
    done: bool,
    /// Chunks that have no answer.
    open: usize,
    /// What success was reported of.
    reported: Vec<(usize, usize)>,
    /// By when its first chunk has left.
    due: Mono,
}

#[derive(Debug)]
struct Chunk {
    tid: Id,
    /// `None`: the request that binds the session.
    message: Option<MessageId>,
    due: Mono,
}

#[derive(Debug)]
struct Sent {
    id: MessageId,
    length: usize,
    reported: Vec<(usize, usize)>,
    due: Mono,
}

/// What a response or report says of.
pub(super) enum Subject {
    /// A message that is not answered whole.
    Message(MessageId),
    /// The request that bound the session.
    Binding,
}

impl Sending {
    /// The messages that nobody has answered, and whether any of it has left.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = (MessageId, bool)> + '_ {
        self.messages.iter().map(|message| (message.id, message.position > 0 || message.done))
    }

    fn room(&self, octets: usize) -> bool {
        let held: usize = self.messages.iter().map(|message| message.octets.len()).sum();
        self.messages.len() < QUEUE_MAX && held.saturating_add(octets) <= QUEUE_OCTETS
    }

    /// The transaction `tid` is answered: what it was about.
    pub(super) fn answered(&mut self, tid: &str) -> Option<Subject> {
        let place = self.chunks.iter().position(|chunk| chunk.tid.as_str() == tid)?;
        let chunk = self.chunks.swap_remove(place);
        let Some(id) = chunk.message else { return Some(Subject::Binding) };
        let message = self.messages.iter_mut().find(|message| message.id == id)?;
        message.open = message.open.saturating_sub(1);
        Some(Subject::Message(id))
    }

    /// What nobody has answered of this message and those behind it; of all without one.
    pub(super) fn since(&self, first: Option<MessageId>) -> Vec<MessageId> {
        let names = self.messages.iter().map(|message| message.id);
        names.skip_while(|name| first.is_some_and(|first| first != *name)).collect()
    }

    /// Takes the message out if all of it is answered.
    pub(super) fn complete(&mut self, now: Now, id: MessageId) -> bool {
        let done = |message: &Message| message.id == id && message.done && message.open == 0;
        let Some(place) = self.messages.iter().position(done) else { return false };
        if let Some(message) = self.messages.remove(place) {
            if self.sent.len() == REPORTS_MAX {
                self.sent.pop_front();
            }
            let length = message.octets.len();
            let due = now.mono + REPORTS;
            self.sent.push_back(Sent { id, length, reported: message.reported, due });
        }
        true
    }

    /// Nothing more of the message is sent or waited for.
    pub(super) fn abandon(&mut self, id: MessageId) -> bool {
        let before = self.messages.len();
        self.messages.retain(|message| message.id != id);
        self.chunks.retain(|chunk| chunk.message != Some(id));
        self.messages.len() != before
    }

    /// A message that was sent, or is being sent, by its Message-ID.
    pub(super) fn known(&self, id: &str) -> Option<(MessageId, bool)> {
        let open = self.messages.iter().map(|message| (message.id, false));
        let sent = self.sent.iter().map(|sent| (sent.id, true));
        open.chain(sent).find(|(known, _)| known.as_str() == id)
    }

    /// Success was reported of the octets `from..to`, or of all; true, once, when it is of all.
    pub(super) fn reported(&mut self, id: MessageId, range: Option<(u64, u64)>) -> bool {
        let message = self.messages.iter_mut().find(|message| message.id == id);
        let message = message.map(|message| (message.octets.len(), &mut message.reported));
        let sent = self.sent.iter_mut().find(|sent| sent.id == id);
        let Some((length, reported)) = message.or(sent.map(|sent| (sent.length, &mut sent.reported))) else {
            return false;
        };
        let whole = |pieces: &[(usize, usize)]| length == 0 || pieces == [(0, length)];
        // An empty message has no octets to keep account of: its marker is one.
        let was = if length == 0 { !reported.is_empty() } else { whole(reported) };
        let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(length);
        let (from, to) = range.map_or((0, length), |(from, to)| (clamp(from), clamp(to)));
        cover(reported, from, if length == 0 { 1 } else { to });
        // Pieces without end are a peer's game.
        reported.truncate(UNANSWERED_MAX);
        !was && whole(reported)
    }

    fn has_next(&self) -> bool {
        self.chunks.len() < UNANSWERED_MAX && self.messages.iter().any(|message| !message.done)
    }

    fn overdue(&self, now: Now) -> Vec<MessageId> {
        let mut late: Vec<MessageId> = Vec::new();
        let waiting = self.messages.iter().filter(|message| message.position == 0 && !message.done);
        late.extend(waiting.filter(|message| message.due <= now.mono).map(|message| message.id));
        late.extend(
            self.chunks.iter().filter(|chunk| chunk.due <= now.mono).filter_map(|chunk| chunk.message),
        );
        late
    }
}

impl Switch {
    /// Queues a message. [`Event::Sent`] or [`Event::Failed`] says what became of it.
    ///
    /// # Errors
    ///
    /// [`SendError`]: it was not taken, and no event will come.
    pub fn send(
        &mut self,
        now: Now,
        ids: &mut Ids,
        id: SessionId,
        message: Outgoing,
    ) -> Result<MessageId, SendError> {
        let session = self.sessions.get_mut(id.as_str()).ok_or(SendError::Gone)?;
        let peer_max = session.peer.as_ref().and_then(|peer| peer.max_size).unwrap_or(u64::MAX);
        let length = message.octets.len();
        if length as u64 > peer_max || length > self.settings.message_max {
            return Err(SendError::TooLarge);
        }
        if !session.sending.room(length) {
            return Err(SendError::Full);
        }
        let printable = message.content_type.bytes().all(|octet| (b' '..=b'~').contains(&octet));
        if !printable || !message.content_type.contains('/') {
            return Err(SendError::Type);
        }
        let name = message.again.unwrap_or_else(|| ids.mint());
        session.sending.messages.push_back(Message {
            id: name,
            content_type: message.content_type,
            octets: message.octets,
            report: message.report,
            position: 0,
            done: false,
            open: 0,
            reported: Vec::new(),
            due: now.mono + PATIENCE,
        });
        if let Some(conn) = session.conn {
            self.touch(conn);
        }
        self.end_turn(now, ids);
        Ok(name)
    }

    /// What became of a message that came in: its response is `status`, 200 or a code of RFC 4975 §10. Once
    /// for each receipt; afterwards there are only reports.
    pub fn answer(&mut self, now: Now, ids: &mut Ids, receipt: &Receipt, status: u16) {
        let key = (receipt.session, receipt.message_id.clone());
        if let Some(held) = self.held.remove(&key) {
            self.respond_held(&held, status);
        }
        // Also after a 408 of ours: it was delivered all the same, and is not to be again.
        if status == 200
            && let Some(session) = self.sessions.get_mut(receipt.session.as_str())
            && !session.recent.contains(&receipt.message_id)
        {
            if session.recent.len() == RECENT_MAX {
                session.recent.pop_front();
            }
            session.recent.push_back(receipt.message_id.clone());
        }
        self.end_turn(now, ids);
    }

    /// Reports on a message that came in: 200 when whoever it is for has it, another code when it is known
    /// only now that it failed. False if its sender does not want to know (RFC 4975 §7.1.3, §7.1.4), or the
    /// session is over.
    pub fn report(&mut self, now: Now, ids: &mut Ids, receipt: &Receipt, status: u16) -> bool {
        let wanted = if status == 200 { receipt.success } else { receipt.failure != FailureReport::No };
        let Some(session) = self.sessions.get(receipt.session.as_str()).filter(|_| wanted) else {
            return false;
        };
        let Some((id, conn)) = session.conn.and_then(|id| Some((id, self.conns.get_mut(&id)?))) else {
            return false;
        };
        let tid = ids.mint();
        let mut writer = Writer::request(&mut conn.out, tid.as_str(), "REPORT", &receipt.path, &session.uri);
        writer.header("Message-ID", &receipt.message_id);
        writer.range(1, receipt.size, receipt.size);
        writer.status(status);
        writer.end(tid.as_str(), None, Flag::End);
        self.touch(id);
        self.end_turn(now, ids);
        true
    }

    fn respond_held(&mut self, held: &Held, status: u16) {
        for (tid, to) in &held.tids {
            self.respond(held.conn, tid, held.failure, status, std::slice::from_ref(to), &held.from);
        }
    }

    /// Writes a response, unless its sender wants none (RFC 4975 §7.1.4, §7.2).
    pub(super) fn respond(
        &mut self,
        id: ConnId,
        tid: &str,
        failure: FailureReport,
        status: u16,
        to: &[MsrpUri],
        from: &MsrpUri,
    ) {
        let wanted = match failure {
            FailureReport::Yes => true,
            FailureReport::No => false,
            FailureReport::Partial => status != 200,
        };
        let Some(conn) = self.conns.get_mut(&id).filter(|_| wanted) else { return };
        Writer::response(&mut conn.out, tid, status, to, from).end(tid, None, Flag::End);
        self.touch(id);
    }

    /// The request without a body that tells the passive side which session this is.
    pub(super) fn send_binding(&mut self, now: Now, ids: &mut Ids, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id.as_str()) else { return };
        let (Some(conn), Some(peer)) = (session.conn, &session.peer) else { return };
        let Some(bound) = self.conns.get_mut(&conn) else { return };
        let (tid, message) = (ids.mint(), ids.mint());
        let mut writer = Writer::request(&mut bound.out, tid.as_str(), "SEND", &peer.path, &session.uri);
        writer.header("Message-ID", message.as_str());
        writer.range(1, 0, 0);
        writer.end(tid.as_str(), None, Flag::End);
        session.sending.chunks.push(Chunk { tid, message: None, due: now.mono + PATIENCE });
    }

    /// Writes chunks, in turn between the sessions, as long as there is room.
    pub(super) fn pump(&mut self, now: Now, ids: &mut Ids, id: ConnId) {
        loop {
            let Some(conn) = self.conns.get_mut(&id) else { return };
            if !conn.up || conn.in_flight + conn.out.len() >= WINDOW {
                return;
            }
            let has_next = |id: &SessionId| {
                let session = self.sessions.get(id.as_str());
                session.is_some_and(|session| session.announced && session.sending.has_next())
            };
            let Some(place) = conn.sessions.iter().position(has_next) else { return };
            conn.sessions.rotate_left(place);
            let Some(session) = conn.sessions.front().and_then(|id| self.sessions.get_mut(id.as_str()))
            else {
                return;
            };
            conn.sessions.rotate_left(1);
            let Some(peer) = &session.peer else { return };
            session.sending.write_chunk(now, ids, &mut conn.out, &peer.path, &session.uri);
        }
    }

    /// Fails the messages of a session that took too long.
    pub(super) fn expire_messages(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id.as_str()) else { return };
        let late = session.sending.overdue(now);
        session.sending.chunks.retain(|chunk| chunk.due > now.mono || chunk.message.is_some());
        session.sending.sent.retain(|sent| sent.due > now.mono);
        let conn = session.conn;
        for message in late {
            self.fail(id, message, 408);
        }
        conn.into_iter().for_each(|conn| self.touch(conn));
    }

    /// A message of ours has failed.
    pub(super) fn fail(&mut self, id: SessionId, message: MessageId, status: u16) {
        let Some(session) = self.sessions.get_mut(id.as_str()) else { return };
        if session.sending.abandon(message) {
            self.events.push_back(Event::Failed { session: id, message, status });
        }
    }

    /// Answers what was held too long: its sender would give up soon (RFC 4975 §10.4).
    pub(super) fn expire_held(&mut self, now: Now) {
        let late = |(key, held): (&(SessionId, Box<str>), &Held)| (held.due <= now.mono).then(|| key.clone());
        let late: Vec<_> = self.held.iter().filter_map(late).collect();
        for key in late {
            if let Some(held) = self.held.remove(&key) {
                self.respond_held(&held, 408);
            }
        }
    }
}

impl Sending {
    /// Writes the next chunk of the first message that has not left whole.
    fn write_chunk(
        &mut self,
        now: Now,
        ids: &mut Ids,
        out: &mut Vec<u8>,
        to: &[MsrpUri],
        from: &MsrpUri,
    ) -> Option<()> {
        let message = self.messages.iter_mut().find(|message| !message.done)?;
        let (start, length) = (message.position, message.octets.len());
        let end = length.min(start + CHUNK);
        let body = message.octets.get(start..end)?;
        let tid = tid_for(ids, body);
        let mut writer = Writer::request(out, tid.as_str(), "SEND", to, from);
        writer.header("Message-ID", message.id.as_str());
        writer.range(start as u64 + 1, end as u64, length as u64);
        if message.report {
            writer.header("Success-Report", "yes");
        }
        writer.header("Content-Type", &message.content_type);
        message.done = end == length;
        writer.end(tid.as_str(), Some(body), if message.done { Flag::End } else { Flag::More });
        message.position = end;
        message.open += 1;
        self.chunks.push(Chunk { tid, message: Some(message.id), due: now.mono + PATIENCE });
        Some(())
    }
}

/// A transaction id that is not in `body`, so that the end-line is not either (RFC 4975 §7.1).
fn tid_for(ids: &mut Ids, body: &[u8]) -> Id {
    loop {
        let tid = ids.mint();
        // 80 random bits are in no body but one whose writer knows them beforehand: nobody does.
        if memmem::find(body, tid.as_str().as_bytes()).is_none() {
            return tid;
        }
    }
}
