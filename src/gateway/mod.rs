//! The gateway: a plain struct that is told what happened and says what is to be done.
//!
//! [`Gateway::handle`] takes the time and one [`Input`] and leaves [`Effects`]. It awaits nothing, reads
//! no clock, takes no lock but those of [`shards::Common`]; the same inputs give the same octets.
//!
//! | file | owns |
//! |---|---|
//! | [`effect`] | what is to be done, as values |
//! | [`meter`] | what has happened so far, in numbers |
//! | [`observe`] | what an operator may want to know, as values |
//! | `backoff` | how long a way out that failed is left alone |
//! | `crossings` | the two entrances of the bridge, the gate in front of each, refusals |
//! | `answers` | SIP requests: transactions, checks, responses |
//! | `invites` | our INVITEs as transactions |
//! | `msrp` | sessions over MSRP: what the switch does, and what it hears |
//! | `outgoing` | messages to SIP users: one outstanding for each, transactions, errors back |
//! | [`pairs`] | streams to partners, and the stanzas that wait for them |
//! | [`presence`] | watches: who sees whose presence, and what is kept of it |
//! | `peers` | links to SIP peers, and the requests that wait for them |
//! | `realm` | what streams ask of the loaded tables |
//! | [`sessions`] | conversations that an INVITE begins |
//! | [`settings`] | what it is told |
//! | [`shards`] | several gateways in a process: whose an item is, what they count together |
//! | [`talk`] | what goes with texts: who is writing, receipts, what a text refers to |
//! | `tally` | how many there are of each name, for caps |
//! | `login` | credentials for challenges |
//! | `notice` | the text after a late failure |
//! | [`trial`] | synthetic items, by which the way of an ordinary one is tried |
//! | `threads` | which threads have a Call-ID already |
//! | [`trail`] | what became of the last crossings |

mod answers;
mod backoff;
mod crossings;
pub mod effect;
mod invites;
mod login;
pub mod meter;
mod msrp;
mod notice;
pub mod observe;
mod outgoing;
pub mod pairs;
mod peers;
pub mod presence;
mod realm;
pub mod sessions;
pub mod settings;
pub mod shards;
mod stop;
pub mod talk;
mod tally;
#[cfg(test)]
mod tests;
mod threads;
pub mod trail;
pub mod trial;
mod undelivered;

pub use meter::Counts;
pub use peers::Way;
pub use realm::{Realm, terms};
pub use settings::{Im, PeerSettings, PresenceSettings, Secrets, SentBy, SessionSettings, Settings};
pub use stop::UnderWay;
pub use talk::{PeerTalk, Receipts, TalkSettings};

use crate::crossing::Verified;
use crate::ids::{Ids, Numbers};
use crate::msrp::{ConnId, frame::Frame};
use crate::now::{Mono, Now};
use crate::policy::Table;
use crate::sip::Fault;
use crate::sip::link::{LinkId, PeerId, Source};
use crate::sip::locate::Target;
use crate::sip::merged::LoopGuard;
use crate::sip::message::Readable;
use crate::sip::txn::{ClientTable, ServerTable};
use crate::xmpp::error::Condition;
use crate::xmpp::iq::IqContext;
use crate::xmpp::{Iq, Misaddressed, Stanza, StreamId, Verify, VerifyAnswer};
use answers::Answerable;
use effect::{Due, Effect, Effects, Timer};
use meter::Meter;
use msrp::Msrp;
use notice::Notices;
use outgoing::{Outgoing, Undelivered};
use pairs::{Awaits, Bounce, Pairs};
use peers::{Freed, Peers, Turn};
use presence::Presence;
use realm::TablePartners;
use sessions::Sessions;
use shards::{Common, Place};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use threads::Threads;
use trial::Trials;

/// Something that happened.
pub enum Input<'a> {
    /// A message or presence came on an authenticated stream.
    Stanza {
        /// The stream.
        stream: StreamId,
        /// The stanza, its sender domain proven.
        stanza: Verified<Stanza<'a>>,
    },
    /// An iq came, likewise.
    Iq {
        /// The stream.
        stream: StreamId,
        /// The iq.
        iq: Verified<Iq<'a>>,
    },
    /// A stanza came with an address that is none; its domains are proven.
    Misaddressed(Misaddressed),
    /// A stream that we opened is authenticated for its pair.
    StreamUp {
        /// The stream.
        stream: StreamId,
        /// How we proved ourselves, for people.
        auth: &'static str,
    },
    /// A stream ended, or could not be made.
    StreamDown {
        /// The stream.
        stream: StreamId,
        /// What those hear who wait for it.
        condition: Condition,
        /// Why, for people.
        why: &'a str,
    },
    /// The kernel has all stanzas of a stream up to a mark.
    Written {
        /// The stream.
        stream: StreamId,
        /// The mark of the last one.
        mark: u64,
    },
    /// A receiving stream was offered a dialback key.
    VerifyWanted(Verify),
    /// An authoritative server answered about a key, or will not.
    Verified(VerifyAnswer),
    /// A SIP message came.
    Sip {
        /// From where.
        source: &'a Source,
        /// The message, cut and unfolded by `sip::frame`.
        octets: &'a [u8],
    },
    /// Octets came that are no SIP message.
    SipBroken {
        /// From where.
        source: &'a Source,
        /// What is wrong with them.
        fault: Fault,
        /// What can be read of them.
        readable: Option<&'a Readable<'a>>,
    },
    /// The servers of a peer were looked up.
    Located {
        /// The peer.
        peer: PeerId,
        /// Where they are, best first, or why nobody knows.
        targets: Result<Vec<Target>, &'a str>,
    },
    /// A link that we dialled is up.
    LinkUp {
        /// The name that it was dialled by.
        link: LinkId,
        /// Whose it is.
        peer: PeerId,
        /// Where to send.
        way: Way,
    },
    /// A link ended, or could not be made.
    LinkDown {
        /// The link.
        link: LinkId,
        /// Why, for people.
        why: &'a str,
    },
    /// An MSRP connection that we dialled is up.
    MsrpUp {
        /// The name that it was dialled by.
        conn: ConnId,
        /// Its far end's certificate in DER, if a fingerprint has vouched for it.
        certificate: Option<&'a [u8]>,
    },
    /// Octets came on an MSRP connection.
    Msrp {
        /// The connection.
        conn: ConnId,
        /// The octets.
        octets: &'a [u8],
    },
    /// A frame came on an MSRP connection that carries sessions of several shards.
    MsrpFrame {
        /// The connection.
        conn: ConnId,
        /// The frame.
        frame: Frame<'a>,
    },
    /// The kernel has all octets of an MSRP connection.
    MsrpDrained {
        /// The connection.
        conn: ConnId,
    },
    /// An MSRP connection ended, or could not be made.
    MsrpDown {
        /// The connection.
        conn: ConnId,
    },
    /// The changes of a ticket are durable, or not known to be.
    Persisted {
        /// Of [`effect::Effect::Persist`].
        ticket: u64,
        /// Are they?
        durable: bool,
    },
    /// A deadline has come.
    Timeout,
}

/// The gateway of one shard.
pub struct Gateway {
    settings: Arc<Settings>,
    table: Arc<Table>,
    ids: Ids,
    guard: LoopGuard,
    dialback: Arc<[u8]>,
    effects: Effects,
    pairs: Pairs,
    peers: Peers,
    servers: ServerTable<Answerable>,
    /// Each with its message, until that is answered.
    clients: ClientTable<Option<Outgoing>>,
    /// Messages that wait for each SIP user; an entry means that one is under way.
    targets: HashMap<Box<str>, VecDeque<Outgoing>>,
    queued: usize,
    /// Octets of all messages on their way to SIP users.
    held: usize,
    place: Place,
    common: Common,
    notices: Notices,
    threads: Threads,
    presence: Presence,
    talk: talk::Talk,
    sessions: Sessions,
    msrp: Msrp,
    trials: Trials,
    counts: Counts,
    meter: Meter,
    iq: IqContext<'static>,
    links: Numbers,
    next_cseq: u32,
    due: Vec<Due>,
    deadlines: BinaryHeap<Reverse<Due>>,
    /// How many deadlines there may be before those that do not count are taken out.
    crowd: usize,
    armed: Option<Mono>,
    stopping: bool,
    /// How often the table was loaded.
    tables: u32,
}

/// So few deadlines are not looked through.
const CROWD: usize = 1024;

impl Gateway {
    /// The only gateway of a process, with nothing open yet.
    pub fn new(settings: Arc<Settings>, table: Arc<Table>, secrets: &Secrets) -> Self {
        let common = Common::new(&settings, secrets.hashes);
        Self::one_of(settings, table, secrets, Place::alone(), common)
    }

    /// One of several gateways, with nothing open yet. `settings` bound its own share of what they have; `common`
    /// is a clone of what they count together; of `secrets`, the loop guard's and dialback's are those of all.
    pub fn one_of(
        settings: Arc<Settings>,
        table: Arc<Table>,
        secrets: &Secrets,
        place: Place,
        common: Common,
    ) -> Self {
        let owner = place.owner();
        let guard = LoopGuard::new(secrets.loops);
        let queue = settings.pairs.clone();
        let iq = IqContext {
            name: "stoxd",
            version: env!("CARGO_PKG_VERSION"),
            caps_node: "https://stoxd.example/",
        };
        Self {
            ids: Ids::new(secrets.ids, owner),
            dialback: secrets.dialback.clone(),
            effects: Effects::default(),
            pairs: Pairs::new(queue.clone(), owner.shard),
            peers: Peers::new(settings.peers.len(), queue.queue, common.failed.clone()),
            servers: ServerTable::new(place.server_limits(), secrets.hashes, owner),
            clients: ClientTable::new(place.client_limit(), guard.clone()),
            targets: HashMap::new(),
            queued: 0,
            held: 0,
            notices: Notices::new(secrets.hashes),
            threads: Threads::new(secrets.hashes),
            presence: Presence::new(
                &settings.presence,
                settings.peers.len(),
                secrets.hashes,
                common.watches.clone(),
                presence::caps_ver(&iq),
            ),
            talk: talk::Talk::new(secrets.hashes),
            sessions: Sessions::new(secrets.hashes, common.sessions.clone()),
            msrp: Msrp::new(settings.msrp.clone(), owner.shard),
            trials: Trials::default(),
            counts: Counts::default(),
            meter: Meter::new(&table, settings.peers.len()),
            iq,
            links: Numbers::new(owner.shard),
            next_cseq: 0,
            due: Vec::new(),
            deadlines: BinaryHeap::new(),
            crowd: CROWD,
            armed: None,
            stopping: false,
            tables: 0,
            guard,
            settings,
            table,
            place,
            common,
        }
    }

    /// Handles one input at `now`; what is to be done stands in [`Gateway::effects`].
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        self.tap_input(now, &input);
        match input {
            Input::Stanza { stream, stanza } => self.on_stanza(now, stream, stanza),
            Input::Iq { iq, .. } => self.on_iq(now, &iq),
            Input::Misaddressed(stanza) => self.on_misaddressed(now, &stanza),
            Input::StreamUp { stream, auth } => {
                let partners = TablePartners(&self.table);
                self.pairs.on_up(now, stream, auth, &partners, &mut self.effects, &mut self.due);
            }
            Input::StreamDown { stream, condition, why } => {
                let Self { pairs, ids, effects, due, .. } = self;
                let bounces = pairs.on_down(now, stream, condition, why, ids, effects, due);
                self.bounce_all(now, bounces, why);
            }
            Input::Written { stream, mark } => {
                let mut written = Vec::new();
                self.pairs.on_written(stream, mark, |awaits| written.push(awaits));
                for awaits in written {
                    match awaits {
                        Awaits::Request(key) => self.accept(now, key, Some(stream)),
                        Awaits::Msrp(ticket) => self.on_msrp_delivered(now, ticket),
                        Awaits::Watch(_) => {}
                    }
                }
            }
            Input::VerifyWanted(verify) => {
                self.pairs.verify(verify, &TablePartners(&self.table), &mut self.effects);
            }
            Input::Verified(answer) => self.pairs.on_verified(answer, &mut self.effects),
            Input::Sip { source, octets } => self.on_sip(now, source, octets),
            Input::SipBroken { source, fault, readable } => self.refuse_malformed(source, fault, readable),
            Input::Located { peer, targets } => {
                let freed = self.with_peers(now, |peers, turn| peers.on_located(turn, peer, targets));
                let why = "no SIP server found";
                let failure = Undelivered::together(Condition::RemoteServerNotFound, 404, why);
                self.on_freed(now, freed, &failure);
            }
            Input::LinkUp { link, peer, way } => {
                let waited = self.peers.on_up(peer, link, way, &mut self.effects);
                self.on_way(now, way, waited);
                self.on_peer_up(now, peer);
            }
            Input::LinkDown { link, why } => self.on_link_down(now, link, why),
            Input::MsrpUp { conn, certificate } => self.on_msrp_up(now, conn, certificate),
            Input::Msrp { conn, octets } => self.on_msrp(now, conn, octets),
            Input::MsrpFrame { conn, frame } => self.on_msrp_frame(now, conn, &frame),
            Input::MsrpDrained { conn } => self.on_msrp_drained(now, conn),
            Input::MsrpDown { conn } => self.on_msrp_down(now, conn),
            Input::Persisted { ticket, durable } => self.on_persisted(now, ticket, durable),
            Input::Timeout => self.on_timeout(now),
        }
        self.settle_presence(now);
        self.settle_sessions(now);
        self.collect_deadlines();
        self.tap_effects();
    }

    fn collect_deadlines(&mut self) {
        self.deadlines.extend(self.due.drain(..).map(Reverse));
        if self.deadlines.len() > self.crowd {
            // Half of them may be of watches that have had their timers set anew.
            let Self { deadlines, presence, sessions, .. } = self;
            deadlines.retain(|Reverse(due)| match due.what {
                Timer::Watch(watch) => presence.is_armed(watch, due.at),
                Timer::Session(session) => sessions.is_armed(session, due.at),
                Timer::Pair(_)
                | Timer::Peer(_)
                | Timer::Tell(_)
                | Timer::Typing(_)
                | Timer::Msrp
                | Timer::Keep
                | Timer::Purge
                | Timer::Trial(_) => true,
            });
            self.crowd = CROWD + 2 * self.deadlines.len();
            self.deadlines.shrink_to(self.crowd);
        }
    }

    /// When `Input::Timeout` is wanted next.
    pub fn deadline(&mut self) -> Option<Mono> {
        self.armed = self.next_deadline();
        self.armed
    }

    /// Has the deadline come nearer since [`Gateway::deadline`] was asked? Then ask again.
    pub fn deadline_moved(&mut self) -> bool {
        match (self.armed, self.next_deadline()) {
            (Some(before), Some(next)) => next < before,
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }

    fn next_deadline(&mut self) -> Option<Mono> {
        let own = self.deadlines.peek().map(|Reverse(due)| due.at);
        [own, self.clients.deadline(), self.servers.deadline()].into_iter().flatten().min()
    }

    /// A name for a stream that somebody opened to us.
    pub fn mint_stream(&mut self) -> StreamId {
        self.pairs.mint_stream()
    }

    /// A name for a link that somebody opened to us.
    pub fn mint_link(&mut self) -> LinkId {
        LinkId(self.links.mint())
    }

    /// Which gateway of how many this is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The settings, as they are now.
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// What became of messages since the start.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Items that wait for a stream, a link or an answer.
    pub fn waiting(&self) -> usize {
        self.pairs.waiting() + self.peers.waiting() + self.queued
    }

    /// Are there requests of `link` that will still be answered?
    pub fn owes_answers(&self, link: LinkId) -> bool {
        self.servers.any(|answerable| answerable.is_owed_on(link))
    }

    /// Does the store have every change that was made?
    pub fn is_kept(&self) -> bool {
        self.presence.is_kept()
    }

    /// Is nothing under way?
    pub fn is_quiet(&self) -> bool {
        let messages = self.targets.is_empty() && self.held == 0;
        // A fetch waits for the XMPP side, like a message.
        let answered =
            !self.servers.any(Answerable::is_owed) && self.sessions.is_empty() && self.msrp.is_quiet();
        self.pairs.is_quiet() && messages && answered && self.waiting() == 0 && self.presence.is_kept()
    }

    /// The settings were loaded anew. The number of peers stays.
    pub fn set_settings(&mut self, settings: Arc<Settings>) {
        self.common.budgets.set_rates(settings.partner_rate, settings.user_rate);
        self.common.discovered.set_allowance(settings.discovered);
        self.pairs.set_limits(settings.pairs.clone());
        self.peers.set_limit(settings.pairs.queue);
        self.set_presence(&settings.presence);
        self.msrp.switch.set(settings.msrp.clone());
        self.settings = settings;
    }

    /// The policy table was loaded anew. What may no longer be sent ends and is returned.
    pub fn reload(&mut self, now: Now, table: Arc<Table>) -> Arc<Table> {
        let before = std::mem::replace(&mut self.table, table);
        self.meter.on_reload(&before, &self.table);
        self.tables = self.tables.wrapping_add(1);
        // What watches that end now have to say goes over streams that end next.
        self.judge_watches(now);
        self.judge_sessions(now, &before);
        self.effects.push(Effect::XmppJudge);
        let bounces = self.pairs.on_reload(&TablePartners(&self.table), &mut self.effects);
        self.bounce_all(now, bounces, "the partner was removed");
        let Self { pairs, servers, table, presence, msrp, .. } = self;
        let bounces = pairs.judge(|awaits| match awaits {
            Awaits::Request(key) => {
                let carried = servers.value(key).and_then(|answerable| answerable.carried());
                carried.is_none_or(|crossing| table.judge(&crossing, presence).is_ok())
            }
            Awaits::Msrp(ticket) => {
                let carried = msrp.carried(ticket);
                carried.is_none_or(|crossing| table.judge(&crossing, presence).is_ok())
            }
            Awaits::Watch(watch) => presence.may_still_wait(table, watch),
        });
        self.bounce_all(now, bounces, outgoing::NO_LONGER);
        self.settle_presence(now);
        self.settle_sessions(now);
        self.collect_deadlines();
        before
    }

    fn bounce_all(&mut self, now: Now, bounces: Vec<Bounce>, why: &str) {
        for bounce in bounces {
            match bounce.answer {
                Awaits::Request(key) => self.bounce(now, key, bounce.condition, why),
                Awaits::Msrp(ticket) => self.on_msrp_bounced(now, ticket, bounce.condition, why),
                Awaits::Watch(watch) => self.presence.on_bounce(watch, bounce.condition),
            }
        }
    }

    fn on_link_down(&mut self, now: Now, link: LinkId, why: &str) {
        let peer = self.peers.peer_on(link);
        let freed = self.with_peers(now, |peers, turn| peers.on_down(turn, link, why));
        let why = "the SIP server can't be reached";
        self.on_freed(now, freed, &Undelivered::together(Condition::RemoteServerTimeout, 504, why));
        self.on_connection_lost(now, link);
        if let Some((peer, was_up)) = peer {
            self.on_peer_down(now, peer, was_up);
        }
    }

    pub(in crate::gateway) fn with_peers<T>(
        &mut self,
        now: Now,
        act: impl FnOnce(&mut Peers, &mut Turn<'_>) -> T,
    ) -> T {
        let Self { peers, links, ids, effects, due, .. } = self;
        act(peers, &mut Turn { now, links, ids, fx: effects, due })
    }

    fn on_timeout(&mut self, now: Now) {
        while let Some(Reverse(due)) = self.deadlines.peek()
            && due.at <= now.mono
        {
            let Some(Reverse(due)) = self.deadlines.pop() else { break };
            match due.what {
                Timer::Pair(key) => {
                    let Self { pairs, table, effects, due, .. } = self;
                    let bounces = pairs.on_timer(now, key, &TablePartners(table), effects, due);
                    self.bounce_all(now, bounces, "no stream to the partner in time");
                }
                Timer::Watch(watch) => self.on_watch_timer(now, watch, due.at),
                Timer::Tell(watch) => self.tell_again(now, watch),
                Timer::Typing(slot) => self.on_typing_timer(now, slot),
                Timer::Session(session) => self.on_session_timer(now, session, due.at),
                Timer::Msrp => self.on_msrp_timer(now),
                Timer::Keep => self.on_keep_timer(),
                Timer::Purge => self.purge(now),
                Timer::Trial(trial) => self.on_trial_timer(now, trial),
                Timer::Peer(peer) => {
                    let back = self.with_peers(now, |peers, turn| peers.on_timer(turn, peer));
                    let why = "no connection to the SIP server in time";
                    let failure = Undelivered::together(Condition::RemoteServerTimeout, 504, why);
                    self.on_freed(now, Freed { again: Vec::new(), back }, &failure);
                }
            }
            self.settle_presence(now);
            self.settle_sessions(now);
            self.collect_deadlines();
        }
        self.on_client_timers(now);
        self.on_server_timers(now);
    }
}
