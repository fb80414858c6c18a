//! The load of `tests/bench/run`: both neighbours of a running gateway, in one process and on one clock.
//!
//! It plays the SIP server (mutual TLS, both directions) and the XMPP server (STARTTLS and SASL EXTERNAL, both
//! directions), keeps a window of messages on their way, and counts: what arrived, what was lost or came twice, how
//! long it took, and what the gateway's process spent (`/proc/PID/task/*/schedstat`). A SIP message counts when its
//! 2xx **and** its stanza are there. Certificates are verified; XML and SIP are scanned, not parsed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::cell::RefCell;
use std::error::Error;
use std::fmt::Write as _;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Fallible<T> = Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: load --pki DIR --pid PID --gateway-sip IP:PORT --gateway-xmpp IP:PORT \
    --listen-sip IP:PORT --listen-xmpp IP:PORT [--count N] [--window N] [--users N] [--size OCTETS] [--json]";
/// What stands before a message's number in its body.
const MARK: &[u8] = b"bench-number-";
const DIGITS: usize = 9;
/// A run ends when nothing arrived for this long.
const IDLE: Duration = Duration::from_secs(5);
const SIP_DOMAIN: &str = "contoso.example";
const XMPP_DOMAIN: &str = "capulet.example";
const STREAM_NS: &str = "xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'";

fn main() -> Fallible<()> {
    let options = Options::from_arguments()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, bench(options))
}

struct Options {
    pki: PathBuf,
    pid: u32,
    gateway_sip: String,
    gateway_xmpp: String,
    listen_sip: String,
    listen_xmpp: String,
    count: usize,
    window: usize,
    users: usize,
    size: usize,
    json: bool,
}

impl Options {
    fn from_arguments() -> Fallible<Options> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let find = |name: &str| words.iter().position(|word| word == name).and_then(|at| words.get(at + 1));
        let text = |name: &str| find(name).cloned().ok_or_else(|| format!("{name} is missing\n{USAGE}"));
        let number = |name: &str, default: usize| find(name).map_or(Ok(default), |word| word.parse());
        Ok(Options {
            pki: text("--pki")?.into(),
            pid: text("--pid")?.parse()?,
            gateway_sip: text("--gateway-sip")?,
            gateway_xmpp: text("--gateway-xmpp")?,
            listen_sip: text("--listen-sip")?,
            listen_xmpp: text("--listen-xmpp")?,
            count: number("--count", 20_000)?,
            window: number("--window", 256)?,
            users: number("--users", 1_000)?,
            size: number("--size", 200)?,
            json: words.iter().any(|word| word == "--json"),
        })
    }
}

/// Sets the neighbours up, then runs each direction: a short one to warm up, and the one that counts.
async fn bench(options: Options) -> Fallible<()> {
    let tally = Rc::new(Tally::default());
    let sip = Tls::load(&options.pki, "edge")?;
    let xmpp = Tls::load(&options.pki, XMPP_DOMAIN)?;
    spawn_local(serve(TcpListener::bind(&options.listen_sip).await?, serve_sip, sip.clone(), tally.clone()));
    spawn_local(serve(
        TcpListener::bind(&options.listen_xmpp).await?,
        serve_xmpp,
        xmpp.clone(),
        tally.clone(),
    ));

    let mut good = true;
    let link = dial_sip(&options.gateway_sip, &sip).await?;
    let (reader, writer) = tokio::io::split(link);
    let (reader, answers) = (reader, Rc::new(tokio::sync::Mutex::new(writer)));
    spawn_local(read_sip(reader, answers.clone(), tally.clone()));
    for count in [options.count / 10, options.count] {
        let mut writer = answers.lock().await;
        let before = Spent::so_far(options.pid)?;
        let run = drive(&options, count, &tally, Direction::SipToXmpp, &mut *writer).await?;
        drop(writer);
        if count == options.count {
            good &= run.report(&options, &before.until_now(options.pid)?);
        }
    }
    let stream = dial_xmpp(&options.gateway_xmpp, &xmpp).await?;
    let (reader, mut writer) = tokio::io::split(stream);
    spawn_local(read_xmpp(reader, Vec::new(), tally.clone()));
    for count in [options.count / 10, options.count] {
        let before = Spent::so_far(options.pid)?;
        let run = drive(&options, count, &tally, Direction::XmppToSip, &mut writer).await?;
        if count == options.count {
            good &= run.report(&options, &before.until_now(options.pid)?);
        }
    }
    if good { Ok(()) } else { Err("messages were lost, came twice or were refused".into()) }
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    SipToXmpp,
    XmppToSip,
}

// -- counting ---------------------------------------------------------------------------------------------------------

/// What happened to each message of the run that is on.
#[derive(Default)]
struct Tally {
    now: RefCell<Counts>,
    moved: Notify,
}

#[derive(Default)]
struct Counts {
    sent_at: Vec<Instant>,
    /// Times that the message arrived at the other side.
    arrived: Vec<u8>,
    /// Whether the sender has its 2xx; true from the start where the protocol has none.
    answered: Vec<bool>,
    latency_us: Vec<u32>,
    done: usize,
    refused: usize,
}

impl Counts {
    fn on_arrival(&mut self, number: usize) {
        let Some(times) = self.arrived.get_mut(number) else { return };
        *times = times.saturating_add(1);
        if *times == 1 {
            self.latency_us
                .push(u32::try_from(self.sent_at[number].elapsed().as_micros()).unwrap_or(u32::MAX));
            self.done += usize::from(self.answered[number]);
        }
    }

    fn on_answer(&mut self, number: usize, good: bool) {
        if number >= self.answered.len() || self.answered[number] {
            return;
        }
        if good {
            self.answered[number] = true;
            self.done += usize::from(self.arrived[number] > 0);
        } else {
            self.refused += 1;
        }
    }
}

/// Keeps the window full until `count` messages are sent, then waits for the rest.
async fn drive<W: AsyncWrite + Unpin>(
    options: &Options,
    count: usize,
    tally: &Tally,
    direction: Direction,
    writer: &mut W,
) -> Fallible<Run> {
    let asks = direction == Direction::SipToXmpp;
    *tally.now.borrow_mut() =
        Counts { answered: vec![!asks; count], arrived: vec![0; count], ..Counts::default() };
    let (begun, mut last) = (Instant::now(), (Instant::now(), 0));
    let mut out = Vec::with_capacity(1 << 18);
    let salt = salt();
    loop {
        let (sent, finished) = {
            let mut now = tally.now.borrow_mut();
            let finished = now.done + now.refused;
            let until = count.min(finished + options.window);
            let instant = Instant::now();
            for number in now.sent_at.len()..until {
                match direction {
                    Direction::SipToXmpp => write_message(&mut out, number, salt, options),
                    Direction::XmppToSip => write_stanza(&mut out, number, salt, options),
                }
                now.sent_at.push(instant);
            }
            (now.sent_at.len(), finished)
        };
        if !out.is_empty() {
            writer.write_all(&out).await?;
            writer.flush().await?;
            out.clear();
        }
        if finished == count && sent == count {
            break;
        }
        if finished > last.1 {
            last = (Instant::now(), finished);
        } else if last.0.elapsed() > IDLE {
            break;
        }
        let _ = tokio::time::timeout(Duration::from_millis(200), tally.moved.notified()).await;
    }
    let seconds = last.0.duration_since(begun).as_secs_f64().max(begun.elapsed().as_secs_f64().min(0.001));
    // A copy that comes late is still a copy.
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(Run { direction, seconds, counts: tally.now.take() })
}

/// Differs between two runs against one gateway, so that no Call-ID comes twice.
fn salt() -> u32 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.subsec_nanos())
}

struct Run {
    direction: Direction,
    seconds: f64,
    counts: Counts,
}

impl Run {
    /// Prints the line of this run; whether all of it arrived, once.
    fn report(mut self, options: &Options, spent: &Spent) -> bool {
        let counts = &mut self.counts;
        let arrived = counts.arrived.iter().filter(|&&times| times > 0).count();
        let twice = counts.arrived.iter().filter(|&&times| times > 1).count();
        let lost = counts.arrived.len() - arrived;
        let unanswered = counts.answered.iter().filter(|&&answered| !answered).count();
        counts.latency_us.sort_unstable();
        let at = |part: f64| {
            counts.latency_us.get((counts.latency_us.len() as f64 * part) as usize).copied().unwrap_or(0)
        };
        let each = 1e-3 / arrived.max(1) as f64;
        let (name, rate) = (self.direction.name(), arrived as f64 / self.seconds);
        let (cpu, own) = (spent.gateway as f64 * each, spent.load as f64 * each);
        if options.json {
            println!(
                "{{\"direction\":\"{name}\",\"messages\":{arrived},\"lost\":{lost},\"twice\":{twice},\
                 \"unanswered\":{unanswered},\"rate\":{rate:.0},\"cpu_us\":{cpu:.2},\"load_cpu_us\":{own:.2},\
                 \"p50_us\":{},\"p99_us\":{}}}",
                at(0.5),
                at(0.99)
            );
        } else {
            println!(
                "{name}  {arrived:>6} arrived, {lost} lost, {twice} twice, {unanswered} unanswered  {rate:>6.0}/s  \
                 gateway {cpu:5.1} µs CPU each (load {own:.1})  p50 {:.1} ms, p99 {:.1} ms",
                f64::from(at(0.5)) / 1e3,
                f64::from(at(0.99)) / 1e3
            );
        }
        lost == 0 && twice == 0 && unanswered == 0
    }
}

impl Direction {
    fn name(self) -> &'static str {
        match self {
            Self::SipToXmpp => "SIP to XMPP",
            Self::XmppToSip => "XMPP to SIP",
        }
    }
}

/// Nanoseconds on a CPU.
struct Spent {
    gateway: u64,
    load: u64,
}

impl Spent {
    fn so_far(pid: u32) -> Fallible<Spent> {
        Ok(Spent { gateway: on_cpu(pid)?, load: on_cpu(std::process::id())? })
    }

    fn until_now(&self, pid: u32) -> Fallible<Spent> {
        let now = Spent::so_far(pid)?;
        Ok(Spent { gateway: now.gateway - self.gateway, load: now.load - self.load })
    }
}

fn on_cpu(pid: u32) -> Fallible<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ended meanwhile is not counted.
        let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        sum += text.split_whitespace().next().map_or(Ok(0), str::parse::<u64>)?;
    }
    Ok(sum)
}

// -- what is sent -----------------------------------------------------------------------------------------------------

/// The body of message `number`, padded to the size that was asked for.
fn body(number: usize, size: usize) -> String {
    let mut text = format!("{}{number:0width$};", std::str::from_utf8(MARK).unwrap(), width = DIGITS);
    while text.len() < size {
        text.push_str(&" the quick brown fox jumps over the lazy dog"[..(size - text.len()).min(44)]);
    }
    text
}

fn write_message(out: &mut Vec<u8>, number: usize, salt: u32, options: &Options) {
    let (user, body) = (number % options.users, body(number, options.size));
    let mut text = String::with_capacity(512 + body.len());
    let _ = write!(
        text,
        "MESSAGE sip:v{user}@{XMPP_DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TLS edge.contoso.example;branch=z9hG4bK{salt:x}n{number}\r\n\
         Max-Forwards: 69\r\nFrom: <sip:u{user}@{SIP_DOMAIN}>;tag={salt:x}\r\nTo: <sip:v{user}@{XMPP_DOMAIN}>\r\n\
         Call-ID: {number}.{salt:x}@edge.contoso.example\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    out.extend_from_slice(text.as_bytes());
}

fn write_stanza(out: &mut Vec<u8>, number: usize, salt: u32, options: &Options) {
    let user = number % options.users;
    let text = format!(
        "<message from='v{user}@{XMPP_DOMAIN}/bench' to='u{user}@{SIP_DOMAIN}' id='{salt:x}-{number}' type='chat'>\
         <body>{}</body></message>",
        body(number, options.size)
    );
    out.extend_from_slice(text.as_bytes());
}

// -- TLS and listeners ------------------------------------------------------------------------------------------------

/// Both TLS roles of one neighbour, with its certificate.
#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    acceptor: TlsAcceptor,
}

impl Tls {
    fn load(pki: &Path, name: &str) -> Fallible<Tls> {
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_file_iter(pki.join("ca.pem"))? {
            roots.add(root?)?;
        }
        let chain = || -> Fallible<Vec<CertificateDer<'static>>> {
            Ok(CertificateDer::pem_file_iter(pki.join(format!("{name}.pem")))?.collect::<Result<_, _>>()?)
        };
        let key = || PrivateKeyDer::from_pem_file(pki.join(format!("{name}.key")));
        let roots = Arc::new(roots);
        let client = ClientConfig::builder()
            .with_root_certificates(roots.clone())
            .with_client_auth_cert(chain()?, key()?)?;
        let server = ServerConfig::builder()
            .with_client_cert_verifier(WebPkiClientVerifier::builder(roots).build()?)
            .with_single_cert(chain()?, key()?)?;
        Ok(Tls { connector: Arc::new(client).into(), acceptor: Arc::new(server).into() })
    }
}

type ServerTls = tokio_rustls::server::TlsStream<TcpStream>;
type ClientTls = tokio_rustls::client::TlsStream<TcpStream>;

/// Accepts for ever; a connection that fails is told and forgotten.
async fn serve<F, S>(listener: TcpListener, serve_one: S, tls: Tls, tally: Rc<Tally>)
where
    S: Fn(TcpStream, Tls, Rc<Tally>) -> F + Copy + 'static,
    F: Future<Output = Fallible<()>> + 'static,
{
    while let Ok((socket, _)) = listener.accept().await {
        let (tls, tally) = (tls.clone(), tally.clone());
        spawn_local(async move {
            if let Err(why) = serve_one(socket, tls, tally).await {
                eprintln!("load: a connection from the gateway failed: {why}");
            }
        });
    }
}

// -- the SIP server ---------------------------------------------------------------------------------------------------

async fn dial_sip(address: &str, tls: &Tls) -> Fallible<ClientTls> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    Ok(tls.connector.connect(ServerName::try_from("gw.contoso.example")?, socket).await?)
}

async fn serve_sip(socket: TcpStream, tls: Tls, tally: Rc<Tally>) -> Fallible<()> {
    socket.set_nodelay(true)?;
    let link: ServerTls = tls.acceptor.accept(socket).await?;
    let (reader, writer) = tokio::io::split(link);
    read_sip(reader, Rc::new(tokio::sync::Mutex::new(writer)), tally).await;
    Ok(())
}

/// Counts responses, and counts and answers requests, until the link ends.
async fn read_sip<R, W>(mut reader: R, writer: Rc<tokio::sync::Mutex<W>>, tally: Rc<Tally>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (mut inbox, mut out) = (Vec::with_capacity(1 << 18), Vec::new());
    while let Ok(read) = reader.read_buf(&mut inbox).await {
        if read == 0 {
            return;
        }
        let mut used = 0;
        while let Some((head, body, length)) = sip_message(&inbox[used..]) {
            used += length;
            let mut now = tally.now.borrow_mut();
            if let Some(status) = head.strip_prefix("SIP/2.0 ") {
                let number = header(head, "Call-ID").and_then(|id| id.split('.').next()?.parse().ok());
                if let Some(number) = number.filter(|_| !status.starts_with('1')) {
                    now.on_answer(number, status.starts_with('2'));
                }
            } else {
                for number in numbers(body.as_bytes()) {
                    now.on_arrival(number);
                }
                answer(head, &mut out);
            }
        }
        inbox.drain(..used);
        tally.moved.notify_one();
        if !out.is_empty() {
            let mut writer = writer.lock().await;
            if writer.write_all(&out).await.is_err() || writer.flush().await.is_err() {
                return;
            }
            out.clear();
        }
    }
}

/// The first message in `octets`: its head, its body, its length; None while it is not whole.
fn sip_message(octets: &[u8]) -> Option<(&str, &str, usize)> {
    let blank = octets.iter().take_while(|&&octet| octet == b'\r' || octet == b'\n').count();
    let end = blank + memchr::memmem::find(&octets[blank..], b"\r\n\r\n")?;
    let head = std::str::from_utf8(&octets[blank..end]).ok()?;
    let length: usize = header(head, "Content-Length").or_else(|| header(head, "l"))?.parse().ok()?;
    let body = octets.get(end + 4..end + 4 + length)?;
    Some((head, std::str::from_utf8(body).ok()?, end + 4 + length))
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn answer(head: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"SIP/2.0 200 OK\r\n");
    for line in head.split("\r\n").skip(1) {
        let name = line.split(':').next().unwrap_or_default().trim();
        if ["via", "v", "from", "f", "call-id", "i", "cseq"]
            .iter()
            .any(|kept| name.eq_ignore_ascii_case(kept))
        {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        } else if name.eq_ignore_ascii_case("to") || name.eq_ignore_ascii_case("t") {
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b";tag=load\r\n");
        }
    }
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

/// The message numbers in a text.
fn numbers(text: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memmem::find_iter(text, MARK).filter_map(|at| {
        let digits = text.get(at + MARK.len()..at + MARK.len() + DIGITS)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    })
}

// -- the XMPP server --------------------------------------------------------------------------------------------------

/// Opens a stream to the gateway and authenticates by certificate.
async fn dial_xmpp(address: &str, tls: &Tls) -> Fallible<ClientTls> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let open = format!(
        "<?xml version='1.0'?><stream:stream {STREAM_NS} from='{XMPP_DOMAIN}' to='{SIP_DOMAIN}' version='1.0'>"
    );
    let mut inbox = Vec::new();
    say(&mut socket, &open).await?;
    hear(&mut socket, &mut inbox, "</stream:features>").await?;
    say(&mut socket, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
    hear(&mut socket, &mut inbox, "<proceed").await?;
    let mut stream = tls.connector.connect(ServerName::try_from(SIP_DOMAIN)?, socket).await?;
    inbox.clear();
    say(&mut stream, &open).await?;
    hear(&mut stream, &mut inbox, "</stream:features>").await?;
    say(&mut stream, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>").await?;
    hear(&mut stream, &mut inbox, "<success").await?;
    inbox.clear();
    say(&mut stream, &open).await?;
    let end = hear_any(&mut stream, &mut inbox, &["</stream:features>", "<stream:features/>"]).await?;
    inbox.drain(..end);
    Ok(stream)
}

/// Takes a stream from the gateway, which must authenticate by certificate.
async fn serve_xmpp(mut socket: TcpStream, tls: Tls, tally: Rc<Tally>) -> Fallible<()> {
    const HEAD_END: &str = "version='1.0'";
    socket.set_nodelay(true)?;
    let header = |id: u32| {
        format!(
            "<?xml version='1.0'?><stream:stream {STREAM_NS} from='{XMPP_DOMAIN}' to='{SIP_DOMAIN}' id='load{id}' {HEAD_END}>"
        )
    };
    let mut inbox = Vec::new();
    hear_open(&mut socket, &mut inbox).await?;
    let starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>";
    say(&mut socket, &format!("{}<stream:features>{starttls}</stream:features>", header(1))).await?;
    hear(&mut socket, &mut inbox, "<starttls").await?;
    say(&mut socket, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
    let mut stream = tls.acceptor.accept(socket).await?;
    inbox.clear();
    hear_open(&mut stream, &mut inbox).await?;
    let external =
        "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
    say(&mut stream, &format!("{}<stream:features>{external}</stream:features>", header(2))).await?;
    hear(&mut stream, &mut inbox, "<auth").await?;
    hear_any(&mut stream, &mut inbox, &["</auth>", "/>"]).await?;
    say(&mut stream, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await?;
    inbox.clear();
    let end = hear_open(&mut stream, &mut inbox).await?;
    inbox.drain(..end);
    say(&mut stream, &format!("{}<stream:features/>", header(3))).await?;
    read_xmpp(stream, inbox, tally).await;
    Ok(())
}

async fn say<W: AsyncWrite + Unpin>(writer: &mut W, text: &str) -> Fallible<()> {
    writer.write_all(text.as_bytes()).await?;
    Ok(writer.flush().await?)
}

/// Reads until one of the texts was read; the offset after it.
async fn hear_any<R: AsyncRead + Unpin>(
    reader: &mut R,
    inbox: &mut Vec<u8>,
    texts: &[&str],
) -> Fallible<usize> {
    loop {
        let found =
            texts.iter().find_map(|text| Some(memchr::memmem::find(inbox, text.as_bytes())? + text.len()));
        if let Some(end) = found {
            return Ok(end);
        }
        if reader.read_buf(inbox).await? == 0 {
            return Err(format!("waited for {texts:?}, got {}", String::from_utf8_lossy(inbox)).into());
        }
    }
}

/// As [`hear_any`]; what was read up to it is used up.
async fn hear<R: AsyncRead + Unpin>(reader: &mut R, inbox: &mut Vec<u8>, text: &str) -> Fallible<()> {
    let end = hear_any(reader, inbox, &[text]).await?;
    inbox.drain(..end);
    Ok(())
}

/// Reads a stream header to its end; the offset after it.
async fn hear_open<R: AsyncRead + Unpin>(reader: &mut R, inbox: &mut Vec<u8>) -> Fallible<usize> {
    loop {
        let start = hear_any(reader, inbox, &["<stream:stream"]).await?;
        if let Some(length) = memchr::memchr(b'>', &inbox[start..]) {
            return Ok(start + length + 1);
        }
        if reader.read_buf(inbox).await? == 0 {
            return Err("the stream ended in its header".into());
        }
    }
}

/// Counts messages, and errors for ours, until the stream ends.
async fn read_xmpp<R: AsyncRead + Unpin>(mut reader: R, mut inbox: Vec<u8>, tally: Rc<Tally>) {
    inbox.reserve(1 << 18);
    loop {
        let whole = memchr::memmem::rfind(&inbox, b"</message>").map_or(0, |at| at + b"</message>".len());
        if whole > 0 {
            let mut now = tally.now.borrow_mut();
            if memchr::memmem::find(&inbox[..whole], b"<error").is_some() {
                now.refused += memchr::memmem::find_iter(&inbox[..whole], b"<error").count();
            } else {
                for number in numbers(&inbox[..whole]) {
                    now.on_arrival(number);
                }
            }
            drop(now);
            inbox.drain(..whole);
            tally.moved.notify_one();
        }
        match reader.read_buf(&mut inbox).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}
