//! Requests, responses and reports of others (RFC 4975 §5.4, §7.3).
//!
//! | request | answer |
//! |---|---|
//! | To-Path is no session of ours, or not one URI | 481 |
//! | the session is bound to another connection | 506 |
//! | a broken header, no Message-ID, a body without a type, ranges that contradict each other | 400 |
//! | neither SEND nor REPORT | 501 |
//! | a media type that the session does not take | 415 |
//! | a message above the limit, or more of them, here or in all sessions, than are kept | 413 |
//! | REPORT | none, ever |
//! | SEND with Failure-Report: no | none, ever |

use super::assembly::{Chunk, Refused};
use super::deliver::Subject;
use super::frame::{Flag, Frame};
use super::head::{Head, Start};
use super::switch::{HELD_MAX, Held, Switch};
use super::{ConnId, Down, Event, FailureReport, Receipt, SessionId};
use crate::ids::Ids;
use crate::now::Now;

/// Transactions of one message that wait for its answer: a message that was sent again and again.
const TIDS_MAX: usize = 4;

/// What a request gets.
enum Verdict {
    /// This status now.
    Answer(u16),
    /// The answer is held.
    Held,
}

impl Switch {
    /// Takes a frame; false if the connection is of no more use.
    pub(super) fn on_frame(&mut self, now: Now, ids: &mut Ids, conn: ConnId, frame: &Frame<'_>) -> bool {
        let (octets, content) = match *frame {
            Frame::Whole { head, body, flag } => (head, Some((body, flag))),
            Frame::TooLong { head } => (head, None),
        };
        let Some(head) = Head::parse(octets) else { return false };
        if let Start::Response(status) = head.start {
            self.on_response(now, conn, &head, status);
            return true;
        }
        let verdict = match self.session_of(now, ids, conn, &head) {
            Err(status) => Verdict::Answer(status),
            Ok(_) if head.broken => Verdict::Answer(400),
            Ok(id) => match head.start {
                Start::Report => {
                    self.on_report(now, id, &head);
                    Verdict::Held
                }
                Start::Send => self.on_send(now, conn, id, &head, content),
                Start::Other(_) | Start::Response(_) => Verdict::Answer(501),
            },
        };
        if let Verdict::Answer(status) = verdict {
            self.refuse(conn, &head, status);
        }
        true
    }

    /// Answers at once.
    fn refuse(&mut self, conn: ConnId, head: &Head<'_>, status: u16) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            match status {
                200 => conn.strikes = 0,
                // Who means well does not guess session-ids, nor write what nobody can read.
                400 | 481 | 501 | 506 => conn.strikes += 1,
                _ => {}
            }
        }
        let Some(from) = head.to.first() else { return };
        match head.start {
            // No response to a report, whatever is wrong with it (RFC 4975 §7.1.2).
            Start::Report | Start::Response(_) => {}
            // Back to the previous hop; other methods all the way (RFC 4975 §7.2).
            Start::Send => {
                let to = head.from.get(..1).unwrap_or_default();
                self.respond(conn, head.tid, head.failure, status, to, from);
            }
            Start::Other(_) => self.respond(conn, head.tid, FailureReport::Yes, status, &head.from, from),
        }
    }

    /// The session that a request belongs to; the first request binds it to its connection.
    fn session_of(
        &mut self,
        now: Now,
        ids: &mut Ids,
        conn: ConnId,
        head: &Head<'_>,
    ) -> Result<SessionId, u16> {
        let [to] = head.to.as_slice() else { return Err(481) };
        let session = to.session().and_then(|id| self.sessions.get(id)).filter(|session| session.uri == *to);
        let Some(session) = session else { return Err(481) };
        let id = session.id;
        match session.conn {
            Some(bound) if bound == conn => return Ok(id),
            Some(_) => return Err(506),
            None => {}
        }
        // A report binds nothing: nothing was sent that it could be about.
        let Some(from) =
            self.conns.get(&conn).filter(|from| from.tls == to.tls() && head.start != Start::Report)
        else {
            return Err(481);
        };
        // A certificate that is shown must be the one of the description (RFC 4975 §14.4). Where none is shown, who
        // knows the session-id is the peer (RFC 4975 §5.4).
        let prints = session.peer.as_ref().map_or(&[][..], |peer| &peer.fingerprints);
        let wrong = |der: &Vec<u8>| !prints.is_empty() && !prints.iter().any(|print| print.is_of(der));
        if from.certificate.as_ref().is_some_and(wrong) {
            self.down(now, id, Down::Certificate);
            return Err(403);
        }
        self.bind(conn, id);
        self.announce(now, ids, id);
        Ok(id)
    }

    fn on_send(
        &mut self,
        now: Now,
        conn: ConnId,
        id: SessionId,
        head: &Head<'_>,
        content: Option<(Option<&[u8]>, Flag)>,
    ) -> Verdict {
        let limits = self.limits();
        let waiting =
            self.held.range((id, Box::from(""))..).take_while(|((session, _), _)| *session == id).count();
        let Some(session) = self.sessions.get_mut(id.as_str()) else { return Verdict::Answer(481) };
        let Some(message_id) = head.message_id else { return Verdict::Answer(400) };
        let Some((body, flag)) = content else {
            let before = session.assembly.octets();
            session.assembly.refuse(message_id);
            self.unfinished = (self.unfinished + session.assembly.octets()).saturating_sub(before);
            return Verdict::Answer(413);
        };
        // Without a body it says nothing but that its sender is there (RFC 4975 §7.1).
        let (body, content_type) = match (body, head.content_type, flag) {
            (Some(body), Some(content_type), _) => (body, content_type),
            (None, _, Flag::Abort) => (&[][..], ""),
            (None, _, Flag::More | Flag::End) => return Verdict::Answer(200),
            (Some(_), None, _) => return Verdict::Answer(400),
        };
        if flag != Flag::Abort && !takes(session.accept, content_type) {
            return Verdict::Answer(415);
        }
        if session.recent.iter().any(|known| **known == *message_id) {
            // Sent again in the belief that it was lost (RFC 4975 §5.4).
            return Verdict::Answer(200);
        }
        let key = (id, Box::from(message_id));
        let (Some(from), Some(to)) = (head.to.first(), head.from.first()) else {
            return Verdict::Answer(400);
        };
        if let Some(held) = self.held.get_mut(&key) {
            if held.tids.len() < TIDS_MAX {
                held.tids.push((head.tid.into(), to.clone()));
            }
            return Verdict::Held;
        }
        let chunk = Chunk {
            message_id,
            at: head.range.map_or(0, |range| range.start - 1),
            total: head.range.and_then(|range| range.total),
            flag,
            content_type,
            success: head.success,
            failure: head.failure,
            octets: body,
        };
        // What comes in one chunk is kept by nobody here; of the others no more than there is room for.
        let is_kept = chunk.flag == Flag::More || chunk.flag == Flag::End && chunk.at > 0;
        let end = usize::try_from(chunk.at).unwrap_or(usize::MAX).saturating_add(body.len());
        let before = session.assembly.octets();
        let taken = if is_kept && self.unfinished.saturating_add(end) > self.settings.unfinished {
            session.assembly.refuse(message_id);
            Err(Refused::TooLarge)
        } else {
            session.assembly.take(now.mono, &chunk, &limits)
        };
        self.unfinished = (self.unfinished + session.assembly.octets()).saturating_sub(before);
        match taken {
            Ok(None) => Verdict::Answer(200),
            Err(Refused::Contradiction) => Verdict::Answer(400),
            Err(Refused::TooLarge) => Verdict::Answer(413),
            Ok(Some(_)) if waiting >= HELD_MAX => Verdict::Answer(413),
            Ok(Some(whole)) => {
                let receipt = Receipt {
                    session: id,
                    message_id: key.1.clone(),
                    path: head.from.clone(),
                    size: whole.octets.len() as u64,
                    success: whole.success,
                    failure: whole.failure,
                };
                let tids = vec![(head.tid.into(), to.clone())];
                let due = Self::hold_until(now);
                self.held.insert(key, Held { conn, tids, from: from.clone(), failure: whole.failure, due });
                let (content_type, octets) = (whole.content_type, whole.octets);
                self.events.push_back(Event::Message { session: id, receipt, content_type, octets });
                Verdict::Held
            }
        }
    }

    fn on_response(&mut self, now: Now, conn: ConnId, head: &Head<'_>, status: u16) {
        let session = head.to.first().and_then(|to| to.session()).and_then(|id| self.sessions.get_mut(id));
        let Some(session) = session.filter(|session| session.conn == Some(conn)) else { return };
        let id = session.id;
        let Some(subject) = session.sending.answered(head.tid) else { return };
        let message = match subject {
            Subject::Message(message) => Some(message),
            Subject::Binding => None,
        };
        match (status, message) {
            (200..=299, Some(message)) => {
                if session.sending.complete(now, message) {
                    self.events.push_back(Event::Sent { session: id, message });
                }
            }
            (200..=299, None) => {}
            // The session is no more, or not ours on this connection (RFC 4975 §10.8, §10.10).
            (481 | 506, message) => {
                // Nor was it when what followed on this connection came.
                for message in session.sending.since(message) {
                    self.fail(id, message, status);
                }
                self.down(now, id, Down::Refused(status));
            }
            (_, Some(message)) => self.fail(id, message, status),
            (403, None) => self.down(now, id, Down::Refused(status)),
            // A peer that makes nothing of a request without a body has still seen which session it is.
            (_, None) => {}
        }
        self.touch(conn);
    }

    /// A report is read as a response that comes later (RFC 4975 §7.3.2).
    fn on_report(&mut self, now: Now, id: SessionId, head: &Head<'_>) {
        let Some(session) = self.sessions.get_mut(id.as_str()) else { return };
        let (Some(name), Some(status)) = (head.message_id, head.status) else { return };
        let Some((message, was_sent)) = session.sending.known(name) else { return };
        if (200..300).contains(&status) {
            let range = head.range.map(|range| (range.start - 1, range.end.unwrap_or(u64::MAX)));
            if session.sending.reported(message, range) {
                self.events.push_back(Event::Reported { session: id, message, status: 200 });
            }
            return;
        }
        if was_sent {
            self.events.push_back(Event::Reported { session: id, message, status });
        } else {
            self.fail(id, message, status);
        }
        // The peer is said to have lost octets: so the session has failed (RFC 4975 §7.3.2, MUST).
        self.down(now, id, Down::Refused(status));
    }
}

/// Whether `content_type` is among `accept`, its parameters aside.
fn takes(accept: &[&str], content_type: &str) -> bool {
    let plain = content_type.split(';').next().unwrap_or_default().trim();
    accept.iter().any(|known| known.eq_ignore_ascii_case(plain))
}
