//! One stream to a partner, opened as for a message, and closed as soon as its pair is proven.

use super::{CONNECT_TIMEOUT, Fault, PATIENCE, Step};
use crate::addr::Domain;
use crate::ids::Ids;
use crate::net::clock::Clock;
use crate::net::conn::Conn;
use crate::net::dialer::{Dialer, shown};
use crate::net::edge::Secured;
use crate::net::shard::READ_SIZE;
use crate::net::srv::Mode;
use crate::net::tls::PeerCert;
use crate::net::wire::{Flushed, Wire};
use crate::net::xmpp_conn::sleep_until;
use crate::net::xmpp_locate::XmppTarget;
use crate::xmpp::stream::table::Phase;
use crate::xmpp::{
    Auth, Features, Need, Pair, Purpose, Realm, Refused, Settings, Stream, StreamEvent, StreamId, Terms,
    TlsMode, Ways,
};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// What an attempt is made with. It holds a secret, so it has no `Debug`.
#[derive(Clone)]
pub struct Attempt {
    /// Our domain and the partner's.
    pub pair: Pair,
    /// What the partner's entry allows.
    pub terms: Terms,
    /// Connect here instead of asking the DNS.
    pub proxy: Option<(Domain, u16)>,
    /// The secret behind our dialback keys: the daemon's, for it is the daemon that is asked about them.
    /// Without it dialback is not tried.
    pub secret: Option<Arc<[u8]>>,
}

/// What was seen of the partner's server.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The host.
    pub host: Box<str>,
    /// Its address.
    pub address: SocketAddr,
    /// How TLS starts there.
    pub mode: Mode,
    /// "1.3", if it came to TLS.
    pub tls: Option<&'static str>,
    /// Whether its certificate proves the domain, and else why not; None without TLS.
    pub certificate: Option<Result<(), String>>,
    /// What it offers.
    pub features: Option<Features>,
}

/// What an attempt came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Servers that could not be reached, before the one that was.
    pub passed: Vec<Fault>,
    /// The server that was reached.
    pub seen: Option<Seen>,
    /// How the pair was proven, or why not.
    pub outcome: Result<Auth, Fault>,
    /// From the first question to the end.
    pub took: Duration,
}

/// Makes the attempt. It takes [`PATIENCE`] at most.
pub async fn probe(dialer: &Dialer, clock: &Clock, attempt: &Attempt, ids: &mut Ids) -> Report {
    let begun = clock.now().mono;
    let mut report = Report {
        passed: Vec::new(),
        seen: None,
        outcome: Err(Fault::new(Step::Timeout, format!("no answer within {PATIENCE:?}"))),
        took: Duration::ZERO,
    };
    let trying = async {
        let outcome = run(dialer, clock, attempt, ids, &mut report).await;
        report.outcome = outcome;
    };
    let _ = tokio::time::timeout(PATIENCE, trying).await;
    report.took = clock.now().mono.since(begun);
    report
}

async fn run(
    dialer: &Dialer,
    clock: &Clock,
    attempt: &Attempt,
    ids: &mut Ids,
    report: &mut Report,
) -> Result<Auth, Fault> {
    let own = Ids::new(ids.octets(), crate::ids::Owner::default());
    let targets = dialer.locate_xmpp(&attempt.pair.remote, attempt.proxy.clone(), own).await?;
    for target in targets {
        if target.mode == Mode::DirectTls && attempt.terms.tls == Need::NotSupported {
            let why = format!("{}: only over TLS, which the terms exclude", target.host);
            report.passed.push(Fault::new(Step::Tls, why));
            continue;
        }
        match Conversation::open(dialer, clock, attempt, &target).await {
            Ok((conversation, read)) => {
                return conversation.run(dialer, clock, attempt, ids, read, report).await;
            }
            Err(fault) => {
                let why = format!("{}: {}", target.host, fault.why);
                report.passed.push(Fault { why, ..fault });
            }
        }
    }
    let none = || Fault::new(Step::Connect, "no server to connect to");
    Err(report.passed.pop().unwrap_or_else(none))
}

/// A stream on its connection.
struct Conversation {
    target: XmppTarget,
    io: Conn,
    machine: RefCell<Stream>,
    scratch: RefCell<Box<[u8]>>,
    tls: Option<&'static str>,
    certificate: Option<Result<(), String>>,
}

impl Conversation {
    async fn open(
        dialer: &Dialer,
        clock: &Clock,
        attempt: &Attempt,
        target: &XmppTarget,
    ) -> Result<(Self, OwnedReadHalf), Fault> {
        let gone = |error: io::Error| Fault::new(Step::Connect, error);
        let new = |wire, mode| {
            let (settings, pair) = (Settings::default(), attempt.pair.clone());
            let (id, now) = (StreamId(0), clock.now());
            let machine = Stream::initiating(id, &settings, pair, Purpose::Send, mode, &attempt.terms, now);
            Self {
                target: target.clone(),
                io: Conn::new(wire),
                machine: RefCell::new(machine),
                scratch: RefCell::new(vec![0; READ_SIZE].into()),
                tls: None,
                certificate: None,
            }
        };
        match target.mode {
            Mode::StartTls => {
                let socket = dialer.edge.dial(target.addr, CONNECT_TIMEOUT).await?;
                let (read, write) = TcpStream::from_std(socket).map_err(gone)?.into_split();
                Ok((new(Wire::new(write, None), TlsMode::StartTls), read))
            }
            Mode::DirectTls => {
                let client = dialer.xmpp_looker(&attempt.pair, true);
                let (config, name) = client.map_err(|why| Fault::new(Step::Tls, why))?;
                let secured = dialer.edge.dial_tls(target.addr, config, name, CONNECT_TIMEOUT).await?;
                let Secured { socket, tls, chain, version } = secured;
                let (read, write) = TcpStream::from_std(socket).map_err(gone)?.into_split();
                let mut conversation = new(Wire::new(write, Some(tls)), TlsMode::Direct);
                let identity = dialer.identity(chain, version, clock.now().wall).await;
                conversation.begin(clock, attempt, identity, version);
                Ok((conversation, read))
            }
        }
    }

    /// The handshake is done.
    fn begin(&mut self, clock: &Clock, attempt: &Attempt, identity: Arc<PeerCert>, version: &'static str) {
        self.tls = Some(version);
        let verdict = identity.judge_xmpp(&attempt.pair.remote, clock.now().wall);
        self.certificate = Some(verdict.map_err(|fault| fault.to_string()));
        self.machine.borrow_mut().handle_tls(Box::new(identity));
        let _ = self.io.wire.decrypt(&[], &mut |octets| self.machine.borrow_mut().push(octets));
    }

    async fn run(
        mut self,
        dialer: &Dialer,
        clock: &Clock,
        attempt: &Attempt,
        ids: &mut Ids,
        read: OwnedReadHalf,
        report: &mut Report,
    ) -> Result<Auth, Fault> {
        let mut read = Some(read);
        // Kept at each step, in case that the time ends in the next.
        report.seen = Some(self.seen());
        let outcome = loop {
            match self.turn(clock, attempt, ids) {
                Some(Next::Done(outcome)) => break outcome,
                Some(Next::StartTls) => match self.start_tls(dialer, clock, attempt, &mut read).await {
                    Ok(()) => continue,
                    Err(fault) => break Err(fault),
                },
                None => {}
            }
            report.seen = Some(self.seen());
            let Some(read) = &mut read else { break Err(Fault::new(Step::Connect, "connection lost")) };
            if let Err(fault) = self.wait(clock, read).await {
                break Err(fault);
            }
        };
        report.seen = Some(self.seen());
        // Said properly, so that no partner has a stream in its log that just broke off.
        self.machine.borrow_mut().close(clock.now(), None);
        self.collect();
        self.io.wire.close_when_written();
        self.io.flush();
        if let (Ok(_), Some(read)) = (&outcome, &mut read) {
            self.io
                .finish(&self.scratch, read, || {
                    self.io.flush();
                })
                .await;
        }
        outcome
    }

    fn seen(&self) -> Seen {
        Seen {
            host: self.target.host.clone(),
            address: self.target.addr,
            mode: self.target.mode,
            tls: self.tls,
            certificate: self.certificate.clone(),
            features: self.machine.borrow().features(),
        }
    }

    /// Lets the machine say all that there is to say, and writes.
    fn turn(&mut self, clock: &Clock, attempt: &Attempt, ids: &mut Ids) -> Option<Next> {
        let now = clock.now();
        let mut next = None;
        loop {
            let mut machine = self.machine.borrow_mut();
            match machine.next_event(now, attempt, ids) {
                None => break,
                Some(StreamEvent::StartTls) => next = Some(Next::StartTls),
                Some(StreamEvent::Up { auth, .. }) => next = Some(Next::Done(Ok(auth))),
                // A refused certificate is told in full by who looked at it.
                Some(StreamEvent::Down(reason)) => {
                    let mut fault = Fault::from(&reason);
                    if let (Step::Certificate, Some(Err(why))) = (fault.step, &self.certificate) {
                        fault.why.clone_from(why);
                    }
                    next = Some(Next::Done(Err(fault)));
                }
                Some(
                    StreamEvent::Stanza(_)
                    | StreamEvent::Iq(_)
                    | StreamEvent::Misaddressed(_)
                    | StreamEvent::VerifyWanted(_)
                    | StreamEvent::Verified(_)
                    | StreamEvent::PairRefused { .. },
                ) => {}
            }
            if next.is_some() {
                break;
            }
        }
        if next.is_none() && attempt.secret.is_none() && self.machine.borrow().phase() == Phase::Result {
            let why = "dialback was not tried: this user may not read the daemon's dialback secret";
            return Some(Next::Done(Err(Fault::new(Step::NotTried, why))));
        }
        self.collect();
        self.io.flush();
        next
    }

    fn collect(&self) {
        let mut machine = self.machine.borrow_mut();
        let output = machine.output();
        self.io.queue(output, 0);
        output.clear();
    }

    async fn wait(&self, clock: &Clock, read: &mut OwnedReadHalf) -> Result<(), Fault> {
        let deadline = self.machine.borrow().deadline().map(|at| clock.instant(at));
        tokio::select! {
            outcome = self.io.fill(&self.scratch, read, |octets| self.machine.borrow_mut().push(octets)) => {
                match outcome {
                    Ok(0) => self.machine.borrow_mut().handle_eof(),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                        return Err(Fault::new(Step::Tls, error));
                    }
                    Err(_) => self.machine.borrow_mut().handle_eof(),
                }
            }
            outcome = self.io.unblocked() => {
                outcome.map_err(|error| Fault::new(Step::Connect, error))?;
                self.io.flush();
            }
            () = sleep_until(deadline) => self.machine.borrow_mut().handle_timeout(clock.now()),
        }
        Ok(())
    }

    async fn start_tls(
        &mut self,
        dialer: &Dialer,
        clock: &Clock,
        attempt: &Attempt,
        half: &mut Option<OwnedReadHalf>,
    ) -> Result<(), Fault> {
        let fault = |error: io::Error| Fault::new(Step::Tls, error);
        while let Flushed::Blocked(_) = self.io.wire.flush().map_err(fault)? {
            self.io.wire.writable().await.map_err(fault)?;
        }
        let lost = || Fault::new(Step::Connect, "connection lost");
        let (read, write) = half.take().zip(self.io.wire.take_half()).ok_or_else(lost)?;
        let socket = read.reunite(write).map_err(|_| lost())?.into_std().map_err(fault)?;
        let client = dialer.xmpp_looker(&attempt.pair, false);
        let (config, name) = client.map_err(|why| Fault::new(Step::Tls, why))?;
        let Secured { socket, tls, chain, version } =
            dialer.edge.connect_tls(socket, config, name, CONNECT_TIMEOUT).await?;
        let (read, write) = TcpStream::from_std(socket).map_err(fault)?.into_split();
        self.io.wire.replace(write, Some(tls));
        *half = Some(read);
        let identity = dialer.identity(chain, version, clock.now().wall).await;
        self.begin(clock, attempt, identity, version);
        Ok(())
    }
}

/// What a turn came to.
enum Next {
    StartTls,
    Done(Result<Auth, Fault>),
}

impl Realm for Attempt {
    fn serves(&self, domain: &str) -> bool {
        self.pair.local.as_str() == domain
    }

    fn terms(&self, _local: Option<&str>, _remote: &str) -> Result<Terms, Refused> {
        Ok(self.terms)
    }

    fn any_ways(&self) -> Ways {
        self.terms.ways()
    }

    fn dialback_secret(&self) -> &[u8] {
        self.secret.as_deref().unwrap_or_default()
    }
}

impl Seen {
    /// Where it is, for people: "xmpp.fabrikam.example 192.0.2.1:5269".
    pub fn place(&self) -> String {
        format!("{} {}", self.host, shown(self.address))
    }
}
