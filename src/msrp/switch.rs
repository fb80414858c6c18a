//! All connections and the sessions on them.
//!
//! ```text
//!  session:  open ─▶ reserved ── start, they connect ─▶ waiting ─ first request ─▶ bound
//!                       │  └──── start, we connect ───▶ dialling ── connected ───▶   │
//!                       └──────────────── first request (before start) ──────────▶   │
//!            close, deadline, connection lost, 481, 506, failure report ─▶ gone ◀────┘
//! ```
//!
//! A connection carries any number of sessions, a session has one connection (RFC 4975 §5.4). Who is at
//! the far end of a connection that came in is known by the session-id of the first request alone: it has 80
//! random bits and was told by the signalling. All deadlines are looked at once a second.

use super::assembly::{self, Assembly};
use super::deliver::Sending;
use super::frame::{Frame, Framer};
use super::{Action, ConnId, Connects, Dial, Down, Event, FailureReport, HOLD};
use super::{MsrpUri, Peer, SessionId, Settings, StartError};
use crate::ids::{Ids, Numbers};
use crate::now::{Mono, Now};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// How often deadlines are looked at.
const TICK: Duration = Duration::from_secs(1);
/// How long a session may wait for the signalling to end: longer than any INVITE takes.
const RESERVED: Duration = Duration::from_secs(300);
/// How long a session may wait for its peer to connect, or a connection for its first session.
const UNBOUND: Duration = Duration::from_secs(30);
/// How long one frame may take to come in whole.
const FRAME: Duration = Duration::from_secs(60);
/// Octets that wait for a peer that does not read.
const UNREAD_MAX: usize = 256 * 1024;
/// Refused requests on one connection.
pub(super) const STRIKES_MAX: u32 = 32;
/// Unfinished messages of one session.
const UNFINISHED_MAX: usize = 4;
/// Message-IDs of a session that are known again (RFC 4975 §5.4).
pub(super) const RECENT_MAX: usize = 64;
/// Whole messages that wait for their answer, of one session.
pub(super) const HELD_MAX: usize = 128;

/// All connections and sessions.
pub struct Switch {
    pub(super) settings: Settings,
    pub(super) sessions: BTreeMap<String, Session>,
    pub(super) conns: BTreeMap<ConnId, Conn>,
    pub(super) held: BTreeMap<(SessionId, Box<str>), Held>,
    /// Octets of the messages that are not whole, of all sessions.
    pub(super) unfinished: usize,
    pub(super) events: VecDeque<Event>,
    actions: VecDeque<Action>,
    dirty: BTreeSet<ConnId>,
    tick: Option<Mono>,
    numbers: Numbers,
}

/// One end of a conversation.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) uri: MsrpUri,
    pub(super) accept: &'static [&'static str],
    pub(super) peer: Option<Peer>,
    pub(super) conn: Option<ConnId>,
    /// By when it has a connection, or a peer.
    pub(super) due: Option<Mono>,
    pub(super) announced: bool,
    pub(super) assembly: Assembly,
    pub(super) recent: VecDeque<Box<str>>,
    pub(super) sending: Sending,
}

/// One connection.
pub(super) struct Conn {
    pub(super) up: bool,
    pub(super) tls: bool,
    /// Where we connected to, and near whom; `None` if it came in.
    target: Option<(String, u16, String)>,
    /// The peer's certificate, as it showed it.
    pub(super) certificate: Option<Vec<u8>>,
    framer: Framer,
    /// Since when a frame is not whole.
    amid: Option<Mono>,
    /// To be handed to the driver at the end of the turn.
    pub(super) out: Vec<u8>,
    /// Handed to the driver, and not yet with the kernel.
    pub(super) in_flight: usize,
    /// The sessions that are bound, in the order in which they may send next.
    pub(super) sessions: VecDeque<SessionId>,
    /// Since when there are none.
    idle: Mono,
    pub(super) strikes: u32,
}

/// A whole message whose response is held.
pub(super) struct Held {
    pub(super) conn: ConnId,
    /// The transactions that wait, and whom each is answered to.
    pub(super) tids: Vec<(Box<str>, MsrpUri)>,
    pub(super) from: MsrpUri,
    pub(super) failure: FailureReport,
    pub(super) due: Mono,
}

impl Switch {
    /// A switch without sessions, whose connections have names of `shard`.
    pub fn new(settings: Settings, shard: u8) -> Self {
        Self {
            settings,
            sessions: BTreeMap::new(),
            conns: BTreeMap::new(),
            held: BTreeMap::new(),
            unfinished: 0,
            events: VecDeque::new(),
            actions: VecDeque::new(),
            dirty: BTreeSet::new(),
            tick: None,
            numbers: Numbers::new(shard),
        }
    }

    /// The settings, for descriptions.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Takes new settings. Sessions that are open keep their URIs.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// What the driver is to do next.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What happened next.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Switch::on_timer`] is due.
    pub fn deadline(&self) -> Option<Mono> {
        self.tick
    }

    /// How many sessions and connections there are.
    pub fn counts(&self) -> (usize, usize) {
        (self.sessions.len(), self.conns.len())
    }

    /// Opens a session, before the signalling: the peer of a URI of ours is whoever the signalling gave it to.
    /// `accept` are the media types that it takes, without parameters. `tls` is what its URI says.
    ///
    /// `None` if there are as many as there may be, or the host of the settings is none.
    pub fn open(
        &mut self,
        now: Now,
        ids: &mut Ids,
        tls: bool,
        accept: &'static [&'static str],
    ) -> Option<SessionId> {
        if self.sessions.len() >= self.settings.sessions {
            return None;
        }
        let id = SessionId(ids.mint());
        // Nobody connects to port 9 (RFC 6135 §4.2.2): it says that we connect.
        let port = self.settings.port.filter(|_| tls == self.settings.tls).unwrap_or(9);
        let uri = MsrpUri::ours(tls, &self.settings.host, port, id.as_str()).ok()?;
        let session = Session {
            id,
            uri,
            accept,
            peer: None,
            conn: None,
            due: Some(now.mono + RESERVED),
            announced: false,
            assembly: Assembly::default(),
            recent: VecDeque::new(),
            sending: Sending::default(),
        };
        self.sessions.insert(id.as_str().to_owned(), session);
        self.wind(now);
        Some(id)
    }

    /// The URI of a session, for its description.
    pub fn uri(&self, session: SessionId) -> Option<&MsrpUri> {
        self.sessions.get(session.as_str()).map(|session| &session.uri)
    }

    /// The signalling is done: the session has a peer.
    ///
    /// # Errors
    ///
    /// [`StartError`]; the session is gone then, without an event.
    pub fn start(&mut self, now: Now, ids: &mut Ids, id: SessionId, peer: Peer) -> Result<(), StartError> {
        let result = self.begin(now, id, peer);
        if result.is_err() {
            self.forget(now, id);
            self.events.retain(|event| event.session() != id);
        }
        self.announce(now, ids, id);
        self.end_turn(now, ids);
        result
    }

    fn begin(&mut self, now: Now, id: SessionId, peer: Peer) -> Result<(), StartError> {
        let near = peer.path.first().filter(|uri| uri.over_tcp()).ok_or(StartError::Path)?;
        let (tls, host, port) = (near.tls(), near.host().to_owned(), near.port());
        let session = self.sessions.get_mut(id.as_str()).ok_or(StartError::Gone)?;
        session.due = None;
        let fingerprints = peer.fingerprints.clone();
        let connects = peer.connects;
        let near = peer.near.clone();
        session.peer = Some(peer);
        if let Some(conn) = session.conn.and_then(|conn| self.conns.get(&conn)) {
            // Its first request was faster than the signalling: only now it is known which certificate that had to
            // show. Where none is shown, who knows the session-id is the peer, as for one that comes later.
            let certificate = conn.certificate.as_deref();
            let wrong =
                |der: &[u8]| !fingerprints.is_empty() && !fingerprints.iter().any(|print| print.is_of(der));
            return if certificate.is_some_and(wrong) { Err(StartError::Certificate) } else { Ok(()) };
        }
        if connects == Connects::Them {
            session.due = Some(now.mono + UNBOUND);
            return Ok(());
        }
        let port = port.ok_or(StartError::Path)?;
        let target = (host, port, near);
        // One connection serves all sessions with one host (RFC 4975 §5.4). Where the certificate was judged by
        // a fingerprint, it must be the right one for this session as well.
        let fits = |conn: &Conn| {
            let certificate = conn.certificate.as_deref();
            let shown = |der: &[u8]| fingerprints.iter().any(|print| print.is_of(der));
            conn.target.as_ref() == Some(&target)
                && conn.tls == tls
                && conn.up
                && (!tls || fingerprints.is_empty() == conn.by_name() && certificate.is_none_or(shown))
        };
        let reusable = self.conns.iter().find(|(_, conn)| fits(conn)).map(|(id, _)| *id);
        let conn = match reusable {
            Some(conn) => conn,
            None if self.conns.len() >= self.settings.connections => return Err(StartError::Full),
            None => {
                let conn = self.mint();
                let mut fresh = Conn::new(now.mono, tls, Some(target.clone()), self.settings.message_max);
                fresh.up = false;
                self.conns.insert(conn, fresh);
                let (host, port, near) = target;
                let dial = Dial { conn, tls, host, port, fingerprints, near };
                self.actions.push_back(Action::Dial(Box::new(dial)));
                conn
            }
        };
        self.bind(conn, id);
        Ok(())
    }

    /// The session is over, by the signalling. Its messages fail; there is no [`Event::Down`].
    pub fn close(&mut self, now: Now, ids: &mut Ids, id: SessionId) {
        self.forget(now, id);
        self.end_turn(now, ids);
    }

    /// A connection has come in. `certificate` is what the peer showed, in DER; whose it is, is not known.
    ///
    /// `None` if there are as many as there may be.
    pub fn accepted(&mut self, now: Now, tls: bool, certificate: Option<Vec<u8>>) -> Option<ConnId> {
        if self.conns.len() >= self.settings.connections {
            return None;
        }
        let id = self.mint();
        let mut conn = Conn::new(now.mono, tls, None, self.settings.message_max);
        conn.certificate = certificate;
        self.conns.insert(id, conn);
        self.wind(now);
        Some(id)
    }

    /// A connection that another shard has, and that carries a session of ours, by its name there; false if there
    /// are as many as there may be. Its frames come by [`Switch::take`].
    pub fn visited(&mut self, now: Now, id: ConnId, tls: bool, certificate: Option<Vec<u8>>) -> bool {
        if self.conns.len() >= self.settings.connections {
            return false;
        }
        let mut conn = Conn::new(now.mono, tls, None, self.settings.message_max);
        conn.certificate = certificate;
        self.conns.insert(id, conn);
        self.wind(now);
        true
    }

    /// A frame came in on a connection whose frames somebody else cuts.
    pub fn take(&mut self, now: Now, ids: &mut Ids, id: ConnId, frame: &Frame<'_>) {
        if !self.conns.contains_key(&id) {
            return;
        }
        let goes_on = self.on_frame(now, ids, id, frame);
        let strikes = self.conns.get(&id).map_or(STRIKES_MAX, |conn| conn.strikes);
        if !goes_on || strikes >= STRIKES_MAX {
            self.drop_conn(now, id, true);
        }
        self.end_turn(now, ids);
    }

    /// A connection that was dialled is there, its certificate judged. `certificate` if it was judged by its
    /// fingerprint.
    pub fn connected(&mut self, now: Now, ids: &mut Ids, id: ConnId, certificate: Option<Vec<u8>>) {
        let Some(conn) = self.conns.get_mut(&id) else {
            self.actions.push_back(Action::Close { conn: id });
            return;
        };
        conn.up = true;
        conn.certificate = certificate;
        for session in conn.sessions.clone() {
            self.announce(now, ids, session);
        }
        self.end_turn(now, ids);
    }

    /// Octets came in on a connection.
    pub fn received(&mut self, now: Now, ids: &mut Ids, id: ConnId, octets: &[u8]) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let mut framer = std::mem::replace(&mut conn.framer, Framer::new(0));
        framer.push(octets);
        loop {
            let goes_on = match framer.next() {
                Ok(None) => break,
                Ok(Some(frame)) => self.on_frame(now, ids, id, &frame),
                Err(_) => false,
            };
            let strikes = self.conns.get(&id).map_or(STRIKES_MAX, |conn| conn.strikes);
            if !goes_on || strikes >= STRIKES_MAX {
                self.drop_conn(now, id, true);
                break;
            }
        }
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.amid = framer.is_amid().then(|| conn.amid.unwrap_or(now.mono));
            conn.framer = framer;
        }
        self.end_turn(now, ids);
    }

    /// The kernel has all that was sent on a connection.
    pub fn drained(&mut self, now: Now, ids: &mut Ids, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.in_flight = 0;
            self.touch(id);
        }
        self.end_turn(now, ids);
    }

    /// A connection is gone, or did not come about: so have its sessions failed (RFC 4975 §5.4).
    pub fn lost(&mut self, now: Now, ids: &mut Ids, id: ConnId) {
        self.drop_conn(now, id, false);
        self.end_turn(now, ids);
    }

    /// Ends what is overdue.
    pub fn on_timer(&mut self, now: Now, ids: &mut Ids) {
        if self.tick.is_none_or(|tick| tick > now.mono) {
            return;
        }
        let late = |conn: &Conn| {
            let idle = conn.sessions.is_empty() && now.mono.since(conn.idle) >= UNBOUND;
            let dialling = !conn.up && now.mono.since(conn.idle) >= UNBOUND;
            idle || dialling || conn.amid.is_some_and(|since| now.mono.since(since) >= FRAME)
        };
        let conns: Vec<ConnId> =
            self.conns.iter().filter(|(_, conn)| late(conn)).map(|(id, _)| *id).collect();
        for conn in conns {
            self.drop_conn(now, conn, true);
        }
        let late = |session: &&Session| session.due.is_some_and(|due| due <= now.mono);
        let unbound: Vec<SessionId> = self.sessions.values().filter(late).map(|session| session.id).collect();
        for session in unbound {
            self.down(now, session, Down::NotBound);
        }
        let sessions: Vec<SessionId> = self.sessions.values().map(|session| session.id).collect();
        for id in sessions {
            self.expire_messages(now, id);
            if let Some(session) = self.sessions.get_mut(id.as_str()) {
                let before = session.assembly.octets();
                session.assembly.expire(now.mono);
                self.unfinished = (self.unfinished + session.assembly.octets()).saturating_sub(before);
            }
        }
        self.expire_held(now);
        self.tick = None;
        self.end_turn(now, ids);
    }

    /// Gives a connection to a session.
    pub(super) fn bind(&mut self, conn: ConnId, id: SessionId) {
        if let (Some(session), Some(bound)) = (self.sessions.get_mut(id.as_str()), self.conns.get_mut(&conn))
        {
            session.conn = Some(conn);
            session.due = None;
            bound.sessions.push_back(id);
        }
    }

    /// Says that a session is up, once it has a peer and a connection; the side that connected binds it at
    /// the other end (RFC 4975 §5.4).
    pub(super) fn announce(&mut self, now: Now, ids: &mut Ids, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id.as_str()) else { return };
        let (Some(conn), Some(peer)) = (session.conn, &session.peer) else { return };
        if session.announced || !self.conns.get(&conn).is_some_and(|conn| conn.up) {
            return;
        }
        session.announced = true;
        let connects = peer.connects;
        self.events.push_back(Event::Up { session: id });
        if connects == Connects::Us {
            self.send_binding(now, ids, id);
        }
        self.touch(conn);
    }

    /// Ends a session that failed by itself.
    pub(super) fn down(&mut self, now: Now, id: SessionId, why: Down) {
        if self.sessions.contains_key(id.as_str()) {
            self.forget(now, id);
            self.events.push_back(Event::Down { session: id, why });
        }
    }

    fn forget(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.sessions.remove(id.as_str()) else { return };
        self.unfinished = self.unfinished.saturating_sub(session.assembly.octets());
        for (message, has_left) in session.sending.unanswered() {
            // Of what has left, nobody knows whether it arrived.
            let status = if has_left { 408 } else { 481 };
            self.events.push_back(Event::Failed { session: id, message, status });
        }
        if let Some(conn) = session.conn.and_then(|conn| self.conns.get_mut(&conn)) {
            conn.sessions.retain(|bound| *bound != id);
            conn.idle = now.mono;
        }
    }

    /// Ends a connection and its sessions; `close` if the driver does not know yet.
    pub(super) fn drop_conn(&mut self, now: Now, id: ConnId, close: bool) {
        let Some(mut conn) = self.conns.remove(&id) else { return };
        if close {
            let octets = std::mem::take(&mut conn.out);
            if !octets.is_empty() {
                self.actions.push_back(Action::Send { conn: id, octets });
            }
            self.actions.push_back(Action::Close { conn: id });
        }
        self.held.retain(|_, held| held.conn != id);
        for session in conn.sessions {
            self.down(now, session, Down::Lost);
        }
    }

    /// Something is to be written on a connection, or may be.
    pub(super) fn touch(&mut self, conn: ConnId) {
        self.dirty.insert(conn);
    }

    /// Hands to the driver what this turn has to say.
    pub(super) fn end_turn(&mut self, now: Now, ids: &mut Ids) {
        while let Some(id) = self.dirty.pop_first() {
            self.pump(now, ids, id);
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            if conn.out.is_empty() || !conn.up {
                continue;
            }
            let octets = std::mem::take(&mut conn.out);
            conn.in_flight += octets.len();
            let unread = conn.in_flight > UNREAD_MAX;
            self.actions.push_back(Action::Send { conn: id, octets });
            if unread {
                self.drop_conn(now, id, true);
            }
        }
        self.wind(now);
    }

    fn wind(&mut self, now: Now) {
        let nothing = self.sessions.is_empty() && self.conns.is_empty() && self.held.is_empty();
        self.tick = match self.tick {
            _ if nothing => None,
            None => Some(now.mono + TICK),
            tick => tick,
        };
    }

    fn mint(&mut self) -> ConnId {
        ConnId(self.numbers.mint())
    }

    pub(super) fn limits(&self) -> assembly::Limits {
        assembly::Limits { octets: self.settings.message_max, messages: UNFINISHED_MAX, patience: FRAME }
    }

    pub(super) fn hold_until(now: Now) -> Mono {
        now.mono + HOLD
    }
}

impl Conn {
    fn new(now: Mono, tls: bool, target: Option<(String, u16, String)>, body_max: usize) -> Self {
        Self {
            up: true,
            tls,
            target,
            certificate: None,
            framer: Framer::new(body_max),
            amid: None,
            out: Vec::new(),
            in_flight: 0,
            sessions: VecDeque::new(),
            idle: now,
            strikes: 0,
        }
    }

    /// Whether a connection of ours was judged by the name in the certificate.
    fn by_name(&self) -> bool {
        self.certificate.is_none()
    }
}

impl Event {
    /// The session that it is about.
    pub fn session(&self) -> SessionId {
        match self {
            Event::Up { session }
            | Event::Message { session, .. }
            | Event::Sent { session, .. }
            | Event::Failed { session, .. }
            | Event::Reported { session, .. }
            | Event::Down { session, .. } => *session,
        }
    }
}
