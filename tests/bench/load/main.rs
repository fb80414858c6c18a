//! The load of `tests/bench/run` and `tests/bench/watches`: both neighbours of a running gateway, in one process and
//! on one clock.
//!
//! It plays the SIP server (mutual TLS, both directions) and the XMPP server (STARTTLS and SASL EXTERNAL, both
//! directions), keeps a window of items on their way, and counts: what arrived, what was lost or came twice, how
//! long it took, and what the gateway's process spent (`/proc/PID/task/*/schedstat`). A SIP message counts when its
//! 2xx **and** its stanza are there. Certificates are verified; XML and SIP are scanned, not parsed.
//!
//! | file | owns |
//! |---|---|
//! | this one | what is asked for, TLS, and messages |
//! | `sip`, `xmpp` | how the two servers connect; messages as they are written and read |
//! | `tally` | what happened to each item, and what the gateway's process took |
//! | `watches` | presence: one measurement after the other |
//! | `presence` | presence: what the two servers say to what the gateway says |
#![allow(clippy::unwrap_used, clippy::expect_used)]

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::{TlsAcceptor, TlsConnector};

mod presence;
mod sip;
mod tally;
#[path = "../presence/texts.rs"]
mod texts;
mod watches;
mod xmpp;

use tally::{Counts, Direction, Run, Spent, Tally};

type Fallible<T> = Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: load --pki DIR --pid PID --gateway-sip IP:PORT --gateway-xmpp IP:PORT \
    --listen-sip IP:PORT --listen-xmpp IP:PORT [--count N] [--window N] [--users N] [--size OCTETS] [--json] \
    [--watch sip|xmpp]";
/// What stands before a message's number in its body.
const MARK: &[u8] = b"bench-number-";
const DIGITS: usize = 9;
/// A run ends when nothing arrived for this long.
const IDLE: Duration = Duration::from_secs(5);
const SIP_DOMAIN: &str = "contoso.example";
const XMPP_DOMAIN: &str = "capulet.example";

fn main() -> Fallible<()> {
    let options = Options::from_arguments()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    match options.watch {
        None => local.block_on(&runtime, bench(options)),
        Some(watched) => local.block_on(&runtime, watches::bench(options, watched)),
    }
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
    /// Presence instead of messages: whose users are watched.
    watch: Option<watches::Watched>,
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
            watch: match find("--watch").map(String::as_str) {
                None => None,
                Some("sip") => Some(watches::Watched::Sip),
                Some("xmpp") => Some(watches::Watched::Xmpp),
                Some(other) => return Err(format!("--watch {other}\n{USAGE}").into()),
            },
        })
    }
}

/// Sets the neighbours up, then runs each direction: a short one to warm up, and the one that counts.
async fn bench(options: Options) -> Fallible<()> {
    let tally = Rc::new(Tally::default());
    let sip = Tls::load(&options.pki, "edge")?;
    let xmpp = Tls::load(&options.pki, XMPP_DOMAIN)?;
    let (on_link, on_stream) = (tally.clone(), tally.clone());
    serve(&options.listen_sip, sip::accept_sip, sip.clone(), async move |link| {
        let (reader, writer) = tokio::io::split(link);
        sip::read_sip(reader, Rc::new(tokio::sync::Mutex::new(writer)), on_link.clone()).await;
    })
    .await?;
    serve(&options.listen_xmpp, xmpp::accept_xmpp, xmpp.clone(), async move |stream| {
        xmpp::read_xmpp(stream, on_stream.clone()).await;
    })
    .await?;

    let mut good = true;
    let link = sip::dial_sip(&options.gateway_sip, &sip).await?;
    let (reader, writer) = tokio::io::split(link);
    let (reader, answers) = (reader, Rc::new(tokio::sync::Mutex::new(writer)));
    spawn_local(sip::read_sip(reader, answers.clone(), tally.clone()));
    for count in [options.count / 10, options.count] {
        let mut writer = answers.lock().await;
        let before = Spent::so_far(options.pid)?;
        let run = drive(&options, count, &tally, Direction::SipToXmpp, &mut *writer).await?;
        drop(writer);
        if count == options.count {
            good &= run.report(&options, &before.until_now(options.pid)?);
        }
    }
    let stream = xmpp::dial_xmpp(&options.gateway_xmpp, &xmpp).await?;
    let (reader, mut writer) = tokio::io::split(stream);
    spawn_local(xmpp::read_xmpp(reader, tally.clone()));
    for count in [options.count / 10, options.count] {
        let before = Spent::so_far(options.pid)?;
        let run = drive(&options, count, &tally, Direction::XmppToSip, &mut writer).await?;
        if count == options.count {
            good &= run.report(&options, &before.until_now(options.pid)?);
        }
    }
    if good { Ok(()) } else { Err("messages were lost, came twice or were refused".into()) }
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
                    Direction::SipToXmpp => sip::write_message(&mut out, number, salt, options),
                    Direction::XmppToSip => xmpp::write_stanza(&mut out, number, salt, options),
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
async fn serve<A, R>(address: &str, accept: A, tls: Tls, read: R) -> Fallible<()>
where
    A: AsyncFn(TcpStream, &Tls) -> Fallible<ServerTls> + Copy + 'static,
    R: AsyncFn(ServerTls) + 'static,
{
    let (listener, read) = (TcpListener::bind(address).await?, Rc::new(read));
    spawn_local(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (tls, read) = (tls.clone(), read.clone());
            spawn_local(async move {
                match accept(socket, &tls).await {
                    Ok(connection) => (*read)(connection).await,
                    Err(why) => eprintln!("load: a connection from the gateway failed: {why}"),
                }
            });
        }
    });
    Ok(())
}

/// The body of message `number`, padded to the size that was asked for.
fn body(number: usize, size: usize) -> String {
    let mut text = format!("{}{number:0width$};", std::str::from_utf8(MARK).unwrap(), width = DIGITS);
    while text.len() < size {
        text.push_str(&" the quick brown fox jumps over the lazy dog"[..(size - text.len()).min(44)]);
    }
    text
}

/// The message numbers in a text.
fn numbers(text: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memmem::find_iter(text, MARK).filter_map(|at| {
        let digits = text.get(at + MARK.len()..at + MARK.len() + DIGITS)?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    })
}
