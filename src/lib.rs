//! stoxd: a federation gateway between XMPP and SIP.
//!
//! It ends XMPP server-to-server streams on one side and SIP federation links on the other, and carries
//! instant messages and presence between them, person to person. Every item that crosses is judged by
//! the loaded external-access policy table.
//!
//! ```text
//!    XMPP servers                                            SIP servers
//!         │ TLS                                                   │ TLS, TCP, UDP
//!  ┌──────┴──────────────────────── net ─────────────────────────┴──────┐
//!  │ one driver for each socket: octets in → machine → octets out       │
//!  │ xmpp::Stream (no I/O)                           sip::link (no I/O) │
//!  └──────┬─────────────────────────────────────────────────────┬───────┘
//!         │ Verified<Stanza>                                    │ messages
//!  ┌──────▼───────────────────── gateway ───────────────────────▼───────┐
//!  │ a plain struct: handle(now, input) → effects; no await, clock, lock│
//!  │ transactions, Uas ── Verified<Request>                             │
//!  │                 ┌────────── policy::gate ────────┐                 │
//!  │                 │  Verified in, Admitted out     │─ refused ▶ sender│
//!  │                 └────────────────┬───────────────┘                 │
//!  │                bridge: pure translators, the error table           │
//!  └────────────────────────────────────────────────────────────────────┘
//!       daemon: start, signals, drain     config: TOML     admin: verbs
//! ```
//!
//! # Where to look
//!
//! | room | owns |
//! |---|---|
//! | [`addr`] | domains, JIDs, SIP URIs, and the mapping between them (RFC 7247 §6) |
//! | [`xml`] | framing of streams, reading of stanzas, writing |
//! | [`x509`] | certificates as documents: PEM, names |
//! | [`now`], [`ids`] | time as a value; seeded identifiers that name their owner |
//! | [`crossing`] | what policy may know of an item, and the proof of its sender |
//! | [`body`] | SIP bodies: text with its charsets, HTML, multipart and CPIM; presence documents |
//! | [`policy`] | sites, policies, grants, partners; the gate; budgets |
//! | [`xmpp`] | streams and their negotiation, stanzas, errors, iq answers |
//! | [`sip`] | wire layer, transactions, dialogs, subscriptions, sessions, locating, digest, the UAS's checks |
//! | [`msrp`] | the Message Session Relay Protocol: frames, chunks, reports, sessions on their connections |
//! | [`bridge`] | translators, the one error table between both sides; watches: one authorization joined to one subscription; sessions: one conversation |
//! | [`gateway`] | what crosses, what is answered, what waits: routes, queues, deadlines; who sees whose presence; trials of an operator's |
//! | [`store`] | what outlives the process: durable records, and the thread that writes them |
//! | [`config`] | TOML → checked settings, every mistake with its place |
//! | [`net`] | sockets, TLS, DNS, the only clock |
//! | [`admin`] | verbs, their output, the control socket |
//! | [`daemon`] | start order, signals, systemd, journal, drain |
//!
//! # Laws
//!
//! 1. Machines take `(now, input)` and return effects; only `net` performs them. The same inputs give
//!    the same octets, so a test needs no socket and no sleep.
//! 2. A verdict is a value. [`policy::Admitted`] has one mint, in `policy::gate`, and the bridge's two
//!    entrances (`gateway::crossings`) take nothing else. [`crossing::Verified`] has two: the stream and
//!    the UAS.
//! 3. Never take custody. A SIP MESSAGE gets its 202 when the kernel has the whole stanza on an
//!    authenticated stream; what can't be delivered comes back to its sender as an error, once.
//! 4. What must outlive the process is written before it is said: authorizations, added contacts, pending
//!    subscribes ([`store`]). Whoever waits for it hears of it after its ticket came back as durable. Dialogs
//!    and streams are made anew, never kept.
//! 5. Everything is bounded and has a deadline.
//!
//! `tests/architecture.rs` reads the sources and holds the walls between the rooms.
//!
//! # The way of a message, XMPP to SIP
//!
//! `net::xmpp_conn` reads and decrypts → [`xmpp::Stream`] cuts and types the stanza, and proves its
//! sender's domain → `gateway::crossings` asks the gate → [`bridge::to_sip`] says which text crosses →
//! `gateway::outgoing` waits for the target's turn, starts the transaction and writes the request →
//! the final response ends it, or an error goes back with the stanza's own id.
//!
//! # And back
//!
//! `net::sip_conn` → [`sip::frame`], [`sip::message`] → `gateway::answers` finds the transaction →
//! [`sip::uas`] checks and proves the sender → the gate → [`body`] and [`bridge::to_xmpp`] make the
//! stanza → `gateway::pairs` puts it on the stream, or waits for one → when it is written, 202.
//!
//! # Shards
//!
//! A shard is a thread with its own sockets and its own [`gateway::Gateway`]; there is one, or as many as
//! `[gateway] shards` says. A SIP user is one shard's ([`gateway::shards`]): what is read elsewhere goes there first,
//! in batches (`net::shard`, file `hops`), and what that writes to a connection of another goes back so. What a
//! budget or a cap counts, all count together.
//!
//! # Sessions
//!
//! A text for a user who is written to in sessions, or who has one open with its sender, waits in the machine of
//! [`bridge::session`] until the INVITE is answered, and goes out in the dialog of [`sip::session`], one at a
//! time. [`gateway::sessions`] finds the session, asks the gate for every text and performs. An INVITE of a SIP
//! user is answered when the text that it may carry is written.
//!
//! # Presence
//!
//! A watch is one person's authorization to see another, and the subscription that is made of it. Its
//! two state machines are [`bridge::watch`]; [`gateway::presence`] finds the watch that a stanza or
//! request is for, asks the gate, gives the machine its input and performs its actions. What announces a
//! change (a stanza, a NOTIFY, a SUBSCRIBE that asks for it) leaves when the [`store`] has it.
//!
//! A NOTIFY: `gateway::answers` → [`sip::uas`] → the gate → the dialog ([`sip::subscription`]) →
//! [`body::pidf`] → the machine → [`bridge::presence`] says what is new to this watcher → the stream. A
//! presence: [`xmpp::Stream`] → the gate → what is known of all resources becomes one document → NOTIFY,
//! one in 5 s at most, the last state wins.
#![forbid(unsafe_code)]

pub mod addr;
pub mod admin;
pub mod body;
pub mod bridge;
pub mod config;
pub mod crossing;
pub mod daemon;
pub mod gateway;
pub mod ids;
pub mod msrp;
pub mod net;
pub mod now;
pub mod policy;
pub mod sip;
pub mod store;
pub mod x509;
pub mod xml;
pub mod xmpp;
