//! One link to a SIP peer, opened as for a message, and OPTIONS on it (RFC 3261 §11). Any final response
//! says that somebody is there who speaks SIP with us; which one it is stands in the report.

use super::{CONNECT_TIMEOUT, Fault, PATIENCE, Step};
use crate::gateway::SentBy;
use crate::ids::{Ids, Owner};
use crate::net::clock::Clock;
use crate::net::conn::Conn;
use crate::net::dialer::{Dialer, shown};
use crate::net::edge::Secured;
use crate::net::shard::READ_SIZE;
use crate::net::wire::Wire;
use crate::sip::frame::{Frame, Framer, Limits, datagram};
use crate::sip::link::PeerId;
use crate::sip::locate::{Target, Transport};
use crate::sip::message::Message;
use crate::sip::method::Method;
use crate::sip::write::{Party, Request, Writer};
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpStream, UdpSocket};

/// How long the peer may take to answer OPTIONS.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the first retransmission on UDP waits: T1 (RFC 3261 §17.1.2.2).
const T1: Duration = Duration::from_millis(500);

/// What an attempt is made with.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The peer.
    pub peer: PeerId,
    /// A domain that it serves: whom OPTIONS asks.
    pub domain: String,
    /// Our host name, and port where it is needed, for each transport.
    pub sent_by: SentBy,
    /// Our name.
    pub name: String,
}

/// What was seen of the peer.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The server.
    pub target: Target,
    /// "1.3", if it came to TLS.
    pub tls: Option<&'static str>,
    /// Names in its certificate that it may speak for; empty without TLS.
    pub names: Vec<String>,
}

impl Seen {
    /// Where it is, for people: "tls edge.contoso.example 192.0.2.1:5061".
    pub fn place(&self) -> String {
        let Target { host, address, transport, .. } = &self.target;
        format!("{} {host} {}", transport.as_str().to_ascii_lowercase(), shown(*address))
    }
}

/// What an attempt came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Servers that could not be reached, before the one that was.
    pub passed: Vec<Fault>,
    /// The server that was reached.
    pub seen: Option<Seen>,
    /// The status of the answer to OPTIONS, or why there was none.
    pub outcome: Result<u16, Fault>,
    /// From the first question to the end.
    pub took: Duration,
}

/// Makes the attempt. It takes [`PATIENCE`] at most.
pub async fn probe(dialer: &Dialer, clock: &Clock, attempt: &Attempt, ids: &mut Ids) -> Report {
    let begun = clock.now().mono;
    let late = Fault::new(Step::Timeout, format!("no answer within {PATIENCE:?}"));
    let mut report = Report { passed: Vec::new(), seen: None, outcome: Err(late), took: Duration::ZERO };
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
) -> Result<u16, Fault> {
    let own = Ids::new(ids.octets(), Owner::default());
    let located = dialer.locate_sip(attempt.peer, own).await;
    for target in located.map_err(|why| Fault::new(Step::Dns, why))? {
        let mut seen = Seen { target, tls: None, names: Vec::new() };
        let outcome = ask(dialer, clock, attempt, ids, &mut seen).await;
        match outcome {
            // The next server is for when this one is out of reach; what it says counts.
            Err(fault) if matches!(fault.step, Step::Connect | Step::Timeout | Step::Tls) => {
                let why = format!("{}: {}", seen.place(), fault.why);
                report.passed.push(Fault { why, ..fault });
            }
            outcome => {
                report.seen = Some(seen);
                return outcome;
            }
        }
    }
    let none = || Fault::new(Step::Connect, "no server to connect to");
    Err(report.passed.pop().unwrap_or_else(none))
}

async fn ask(
    dialer: &Dialer,
    clock: &Clock,
    attempt: &Attempt,
    ids: &mut Ids,
    seen: &mut Seen,
) -> Result<u16, Fault> {
    let address = seen.target.address;
    let (socket, tls) = match seen.target.transport {
        Transport::Udp => return ask_udp(attempt, ids, address).await,
        Transport::Tcp => (dialer.edge.dial(address, CONNECT_TIMEOUT).await?, None),
        Transport::Tls => {
            let client = dialer.sip_client(attempt.peer, &seen.target.identity);
            let (config, name) = client.map_err(|why| Fault::new(Step::Tls, why))?;
            let secured = dialer.edge.dial_tls(address, config, name, CONNECT_TIMEOUT).await?;
            let Secured { socket, tls, chain, version } = secured;
            let wall = clock.now().wall;
            let cert = dialer.identity(chain, version, wall).await;
            seen.tls = Some(version);
            seen.names =
                cert.sip_identities(wall).unwrap_or_default().iter().map(ToString::to_string).collect();
            dialer
                .check_sip_peer(attempt.peer, &cert, wall)
                .map_err(|why| Fault::new(Step::Certificate, why))?;
            (socket, Some(tls))
        }
    };
    let stream = TcpStream::from_std(socket).map_err(|error| Fault::new(Step::Connect, error))?;
    let (mut read, write) = stream.into_split();
    let io = Conn::new(Wire::new(write, tls));
    let mut request = Vec::new();
    write_options(attempt, seen.target.transport, ids, &mut request);
    io.queue(&request, 0);
    io.flush();
    let (scratch, framer) =
        (RefCell::new(vec![0; READ_SIZE].into_boxed_slice()), RefCell::new(Framer::new(Limits::default())));
    let _ = io.wire.decrypt(&[], &mut |octets| framer.borrow_mut().push(octets));
    let answering = async {
        loop {
            if let Some(status) = answer(&mut framer.borrow_mut())? {
                return Ok(status);
            }
            tokio::select! {
                outcome = io.fill(&scratch, &mut read, |octets| framer.borrow_mut().push(octets)) => match outcome {
                    Ok(0) => return Err(Fault::new(Step::Refused, "the connection was closed without an answer")),
                    Ok(_) => {}
                    Err(error) => return Err(Fault::new(Step::Refused, error)),
                },
                outcome = io.unblocked() => {
                    outcome.map_err(|error| Fault::new(Step::Connect, error))?;
                    io.flush();
                }
            }
        }
    };
    let outcome = tokio::time::timeout(ANSWER_TIMEOUT, answering).await;
    io.wire.close_when_written();
    io.flush();
    outcome.unwrap_or_else(|_| Err(silent()))
}

fn silent() -> Fault {
    Fault::new(Step::Timeout, format!("OPTIONS was not answered within {} s", ANSWER_TIMEOUT.as_secs()))
}

/// The status of the final response that is in, if one is.
fn answer(framer: &mut Framer) -> Result<Option<u16>, Fault> {
    loop {
        match framer.next() {
            Ok(None) => return Ok(None),
            Ok(Some(Frame::Ping)) => {}
            Ok(Some(Frame::Message(octets))) => {
                let status = Message::parse(octets).ok().and_then(|message| message.status());
                if let Some(status @ 200..) = status {
                    return Ok(Some(status));
                }
            }
            Err(error) => return Err(Fault::new(Step::Refused, format!("no SIP: {}", error.fault))),
        }
    }
}

async fn ask_udp(attempt: &Attempt, ids: &mut Ids, address: SocketAddr) -> Result<u16, Fault> {
    let fault = |error: std::io::Error| Fault::new(Step::Connect, format!("{}: {error}", shown(address)));
    let any =
        if address.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let socket = UdpSocket::bind((any, 0)).await.map_err(fault)?;
    socket.connect(address).await.map_err(fault)?;
    let mut request = Vec::new();
    write_options(attempt, Transport::Udp, ids, &mut request);
    let mut octets = vec![0; READ_SIZE];
    let answering = async {
        let mut pause = T1;
        loop {
            socket.send(&request).await.map_err(fault)?;
            let until = tokio::time::Instant::now() + pause;
            pause *= 2;
            while let Ok(came) = tokio::time::timeout_at(until, socket.recv(&mut octets)).await {
                let length = came.map_err(fault)?;
                let Some(octets) = octets.get_mut(..length) else { continue };
                let Ok(Frame::Message(octets)) = datagram(octets, &Limits::default()) else { continue };
                if let Some(status @ 200..) = Message::parse(octets).ok().and_then(|m| m.status()) {
                    return Ok(status);
                }
            }
        }
    };
    tokio::time::timeout(ANSWER_TIMEOUT, answering).await.unwrap_or_else(|_| Err(silent()))
}

fn write_options(attempt: &Attempt, transport: Transport, ids: &mut Ids, out: &mut Vec<u8>) {
    let (branch, tag, call_id) = (format!("z9hG4bK{}", ids.mint().as_str()), ids.mint(), ids.mint());
    let (to, from) = (format!("sip:{}", attempt.domain), format!("sip:{}", attempt.name));
    let sent_by = match transport {
        Transport::Tls => &attempt.sent_by.tls,
        Transport::Tcp => &attempt.sent_by.tcp,
        Transport::Udp => &attempt.sent_by.udp,
    };
    let request = Request {
        method: Method::Options,
        uri: to.as_bytes(),
        transport,
        sent_by,
        branch: &branch,
        max_forwards: 70,
        from: Party { display: None, uri: from.as_bytes(), tag: Some(tag.as_str()) },
        to: Party { display: None, uri: to.as_bytes(), tag: None },
        call_id: call_id.as_str(),
        cseq: 1,
    };
    Writer::request(out, &request).end();
}
