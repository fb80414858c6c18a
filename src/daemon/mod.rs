//! The daemon: start order, signals, systemd, drain.
//!
//! | file | owns |
//! |---|---|
//! | [`setup`] | from the checked configuration to what each room is told |
//! | [`journal`] | where events go, and how observations are written |
//! | `manager` | what systemd is told, from a thread of its own |
//! | `records` | the store: opened, told of when it breaks, closed in time |
//! | `threads` | the shards' threads |
//! | [`secrets`] | the dialback secret, and seeds |
//! | `reload` | what is made ready before it is used, at the start and at a reload |
//! | `control` | the control socket's answers |
//! | `live` | what is up and what is not |
//! | `steer` | the log level, the drain, by hand |
//! | `metrics` | what is counted, and the endpoint that says so |
//! | [`look`] | what `stoxd check` finds out over the network, without the daemon |
//! | `selftest` | synthetic exchanges: what each came to, and the one that runs by itself |
//! | `trail`, `watching` | what it says of crossings; copies of what comes and goes |
//! | `in_order` | what several shards tell, in the order in which it happened |
//! | `certificates` | roll-overs at their date, warnings before an expiry |
//!
//! ```text
//!  configuration → journal → certificates → store → secrets → sockets bound → records restored → ready
//!     SIGHUP: read again, test, swap; a mistake changes nothing
//!     SIGTERM: no new work, wait for what is open, close streams and the store, exit 0; 5 s at most,
//!              at once when told again
//!     a shard that can't go on: exit 1, at once ([`threads`])
//! ```

mod certificates;
mod control;
mod in_order;
pub mod journal;
mod live;
pub mod look;
mod manager;
mod metrics;
mod records;
mod reload;
pub mod secrets;
mod selftest;
pub mod setup;
mod steer;
mod threads;
mod trail;
mod watching;

use crate::admin::{check, complain, exit};
use crate::config;
use crate::config::settings::{Config, LogLevel, LogTarget, SelfTest, Transport};
use crate::net::clock::Clock;
use crate::net::crl::Fetcher;
use crate::net::dialer::Dialer;
use crate::net::dns::Dns;
use crate::net::edge::Edge;
use crate::net::listener::{self, Doorman, Service};
use crate::net::shard::Shard;
use crate::net::tls::{self, CertStore};
use crate::sip;
use crate::store::StoreError;
use crate::store::record::Record;
use manager::Note;
use records::Records;
use reload::{Fixed, Ready};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing::level_filters::LevelFilter;

/// How long the drain waits for what is open.
const DRAIN: Duration = Duration::from_secs(3);
/// How long peers then have to close the streams that they opened, and as long again for the rest, which
/// the store's end is part of.
const CLOSING: Duration = Duration::from_secs(1);

/// Why the daemon does not start, or does not go on.
#[derive(Debug, thiserror::Error)]
enum StartError {
    /// A certificate, a key or a secret.
    #[error("{0}")]
    Config(String),
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A socket.
    #[error("can't listen on {what} {address}: {error}{hint}")]
    Listen { what: &'static str, address: SocketAddr, error: std::io::Error, hint: &'static str },
    /// The control socket.
    #[error("can't make the control socket {}: {error}{}", .path.display(), control::hint(.error))]
    Control { path: PathBuf, error: std::io::Error },
    /// Something that the system should have given.
    #[error("{what}: {error}")]
    System { what: &'static str, error: std::io::Error },
    /// One that carries messages.
    #[error(
        "the thread of shard {0} has ended: the process ends, to be started anew; please report what stands above"
    )]
    Shard(u8),
}

/// Runs the daemon with the configuration at `path`, until it is told to stop; the exit code.
pub fn run(path: &Path) -> u8 {
    let config = match config::load(path) {
        Ok(config) => config,
        Err(problems) => {
            complain(&check::problems(&problems));
            return exit::CONFIG;
        }
    };
    journal::start(target(&config), level(&config));
    for warning in &config.warnings {
        tracing::warn!("{}", check::problems(std::slice::from_ref(warning)).trim_end());
    }
    match start(path, config) {
        Ok(()) => exit::DONE,
        Err(error) => {
            tracing::error!("{error}");
            match error {
                StartError::Config(_) => exit::CONFIG,
                StartError::Store(error) if records::needs_a_hand(&error) => exit::CONFIG,
                StartError::Store(_) => exit::FAILED,
                StartError::Listen { .. }
                | StartError::Control { .. }
                | StartError::System { .. }
                | StartError::Shard(_) => exit::FAILED,
            }
        }
    }
}

/// All sockets, bound before anything runs, so that a port in use is an error at once.
struct Sockets {
    tcp: Vec<(std::net::TcpListener, Service)>,
    udp: Vec<std::net::UdpSocket>,
    metrics: Option<std::net::TcpListener>,
    names: Vec<String>,
}

/// What lives as long as the daemon.
struct Daemon {
    path: PathBuf,
    shard: Rc<Shard>,
    records: Arc<Records>,
    faults: Arc<trail::Faults>,
    certificates: Arc<CertStore>,
    /// Revocation lists that were fetched.
    lists: Arc<tls::Lists>,
    listening: Vec<String>,
    fixed: Fixed,
    generation: Cell<u64>,
    reloading: tokio::sync::Mutex<()>,
    /// Told when there are other certificates.
    renewed: Notify,
    last_reload: RefCell<Option<String>>,
    /// `[selftest]`, and who is told when it is another.
    selftest: RefCell<Option<SelfTest>>,
    retimed: Notify,
    /// The files that it runs with: name and text.
    texts: RefCell<Vec<(String, String)>>,
    /// How connections ended.
    ends: Arc<Mutex<live::Ends>>,
    level: steer::Level,
    metrics: metrics::Metrics,
    /// Told when somebody wants the daemon to drain.
    stop: Notify,
}

fn start(path: &Path, config: Config) -> Result<(), StartError> {
    let _ = tls::provider().as_ref().clone().install_default();
    let lists = Arc::new(tls::Lists::default());
    let Ready { config, certificates, trust, settings } =
        Ready::new(config, &lists).map_err(StartError::Config)?;
    let (certificates, trust) = (Arc::new(certificates), Arc::new(trust));
    let (store, records) = records::open(&config)?;
    let dialback = secrets::dialback(&config).map_err(StartError::Config)?;
    let control = control::Control::listen(&config.admin_socket)
        .map_err(|error| StartError::Control { path: config.admin_socket.clone(), error })?;
    let sockets = bind(&config)?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::System { what: "no runtime", error })?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let edge = Edge::start().map_err(|error| StartError::System { what: "no edge thread", error })?;
        let dns = setup::dns(&config);
        let dns = edge
            .run(async move { Dns::new(dns) })
            .await
            .ok_or_else(|| StartError::Config("no edge thread".to_owned()))?
            .map_err(|error| StartError::Config(format!("[dns]: {error}")))?;
        let (dns, peers) = (Arc::new(dns), setup::peers(&config));
        let fetcher = Fetcher::new(lists.clone(), dns.clone(), Some(config.gateway.state_dir.join("crl")));
        let dialer = Dialer::new(edge, certificates.clone(), setup::min_version(&config), trust, dns, peers)
            .map_err(|error| StartError::Config(format!("TLS: {error}")))?
            .with_fetcher(fetcher);
        let limits = setup::limits(&config);
        let (names, fixed) = (Arc::new(journal::Names::of(&settings)), Fixed::of(&config));
        let shards = threads::count(config.gateway.shards);
        let (parts, records) = threads::parts(shards, settings, config.table, dialback, records)?;
        let wakes = parts.iter().map(threads::Part::wake).collect();
        let keeper = Records::start(store, wakes)
            .map_err(|error| StartError::System { what: "no thread for the store", error })?;
        let whole = threads::Whole {
            clock: Clock::start(),
            dialer: Arc::new(dialer),
            limits,
            ends: Arc::default(),
            faults: Arc::default(),
            names,
        };
        let (ends, faults) = (whole.ends.clone(), whole.faults.clone());
        let (shard, ended) = threads::start(parts, whole, &keeper)?;
        let shard = shard.ok_or_else(|| StartError::Config("[gateway] shards: none".to_owned()))?;
        let daemon = Rc::new(Daemon {
            path: path.to_owned(),
            shard,
            records: keeper,
            faults,
            certificates,
            lists,
            listening: sockets.names.clone(),
            fixed,
            generation: Cell::new(0),
            reloading: tokio::sync::Mutex::default(),
            renewed: Notify::new(),
            last_reload: RefCell::default(),
            selftest: RefCell::new(config.selftest),
            retimed: Notify::new(),
            texts: RefCell::new(config.texts),
            ends,
            level: steer::Level::new(config.log.level),
            metrics: metrics::Metrics::default(),
            stop: Notify::new(),
        });
        daemon.note_loaded();
        serve(daemon, sockets, control, records, ended).await
    })
}

async fn serve(
    daemon: Rc<Daemon>,
    sockets: Sockets,
    control: control::Control,
    records: Vec<Vec<Record>>,
    mut ended: threads::Ended,
) -> Result<(), StartError> {
    let shard = daemon.shard.clone();
    let mut own = threads::run(&shard);
    let fault = |error| StartError::System { what: "a listening socket", error };
    for socket in sockets.udp {
        listener::udp(&shard, socket).map_err(fault)?;
    }
    // Before anything comes in.
    for (to, records) in (0..).zip(records) {
        shard.hand(to, |shard| shard.tell(|gateway, now| gateway.restore(now, records)));
    }
    let doorman = Arc::new(Doorman::default());
    for (socket, service) in sockets.tcp {
        tokio::task::spawn_local(listener::accept(shard.clone(), socket, service, doorman.clone()));
    }
    if let Some(socket) = sockets.metrics {
        tokio::task::spawn_local(metrics::http::serve(socket, daemon.clone()));
    }
    let listener =
        control.listener().map_err(|error| StartError::System { what: "no control socket", error })?;
    tokio::task::spawn_local(control::serve(listener, daemon.clone()));
    daemon.certificates.advance(shard.clock.now().wall);
    tokio::task::spawn_local(certificates::watch(daemon.clone()));
    tokio::task::spawn_local(certificates::watch_lists(daemon.clone()));
    tokio::task::spawn_local(selftest::watch(daemon.clone()));
    watchdog(shard.clone());
    let signals = |kind| signal(kind).map_err(|error| StartError::System { what: "no signals", error });
    let mut hangup = signals(SignalKind::hangup())?;
    let mut terminate = signals(SignalKind::terminate())?;
    let mut interrupt = signals(SignalKind::interrupt())?;
    tracing::info!(
        stoxd_event = "ready",
        "stoxd {} ready: {}",
        env!("CARGO_PKG_VERSION"),
        daemon.listening.join(", ")
    );
    manager::tell(Note::Ready("ready".to_owned()));
    let lost = loop {
        tokio::select! {
            _ = hangup.recv() => {
                let daemon = daemon.clone();
                tokio::task::spawn_local(async move { daemon.reload().await });
            }
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            () = daemon.stop.notified() => break None,
            _ = own.join_next() => break Some(shard.place.shard()),
            Some(shard) = ended.recv() => break Some(shard),
        }
    };
    if let Some(shard) = lost {
        daemon.records.close(CLOSING).await;
        return Err(StartError::Shard(shard));
    }
    manager::tell(Note::Stopping);
    tokio::select! {
        () = drain(&daemon) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    daemon.records.close(CLOSING).await;
    tracing::info!(stoxd_event = "stopped", "stopped");
    Ok(())
}

/// Tells systemd that we are alive: every thread that carries messages is.
fn watchdog(shard: Rc<Shard>) {
    if let Some(interval) = sd_notify::watchdog_enabled() {
        tokio::task::spawn_local(async move {
            let mut tick = tokio::time::interval(interval / 2);
            loop {
                tick.tick().await;
                match shard.ask_all(|_| ()).await {
                    Ok(_) => manager::tell(Note::Watchdog),
                    Err(silent) => tracing::error!(stoxd_event = "shard.silent", "{silent}"),
                }
            }
        });
    }
}

/// No new work; what is open gets its time, then streams are closed as RFC 6120 §4.4 says.
async fn drain(daemon: &Daemon) {
    let shard = &daemon.shard;
    tracing::info!(stoxd_event = "draining", "draining");
    let drained = shard.run_all(|shard| async move { shard.drain().await });
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        let _ = tokio::time::timeout(CLOSING, shard.ask_all(|shard| shard.abandon())).await;
    }
    let inbound = shard.run_all(|shard| async move { shard.close_inbound().await });
    let _ = tokio::time::timeout(CLOSING, inbound).await;
    let all = shard.run_all(|shard| async move { shard.close_all().await });
    let _ = tokio::join!(tokio::time::timeout(CLOSING, all), daemon.records.close(CLOSING));
}

fn bind(config: &Config) -> Result<Sockets, StartError> {
    let mut sockets = Sockets { tcp: Vec::new(), udp: Vec::new(), metrics: None, names: Vec::new() };
    let fault = |what, address| {
        move |error: std::io::Error| {
            let hint = match error.kind() {
                std::io::ErrorKind::AddrInUse => "\n  something else listens there; see: ss -ltnup",
                std::io::ErrorKind::PermissionDenied => "\n  ports below 1024 need CAP_NET_BIND_SERVICE",
                std::io::ErrorKind::AddrNotAvailable => {
                    "\n  this machine does not have the address; see: ip address"
                }
                _ => "",
            };
            StartError::Listen { what, address, error, hint }
        }
    };
    for &address in &config.xmpp.listen {
        sockets.tcp.push((listener::bind_tcp(address).map_err(fault("xmpp", address))?, Service::Xmpp));
        sockets.names.push(format!("xmpp {address}"));
    }
    for &address in &config.msrp.listen {
        let socket = listener::bind_tcp(address).map_err(fault("msrp", address))?;
        sockets.tcp.push((socket, Service::Msrp(config.msrp.transport == Transport::Tls)));
        sockets.names.push(format!("msrp {address}"));
    }
    for listen in &config.sip.listen {
        let transport = setup::transport_of(listen.transport);
        match listen.transport {
            Transport::Tls | Transport::Tcp => {
                let what = if listen.transport == Transport::Tls { "sip tls" } else { "sip tcp" };
                let socket = listener::bind_tcp(listen.addr).map_err(fault(what, listen.addr))?;
                sockets.tcp.push((socket, Service::Sip(transport)));
                sockets.names.push(format!("{what} {}", listen.addr));
            }
            Transport::Udp => {
                // RFC 3261 §18.2.1: whoever listens on UDP listens on TCP at the same port.
                sockets.udp.push(listener::bind_udp(listen.addr).map_err(fault("sip udp", listen.addr))?);
                sockets.names.push(format!("sip udp {}", listen.addr));
                let has_tcp =
                    config.sip.listen.iter().any(|l| l.transport == Transport::Tcp && l.addr == listen.addr);
                if !has_tcp {
                    let socket = listener::bind_tcp(listen.addr).map_err(fault("sip tcp", listen.addr))?;
                    sockets.tcp.push((socket, Service::Sip(sip::locate::Transport::Tcp)));
                    sockets.names.push(format!("sip tcp {}", listen.addr));
                }
            }
        }
    }
    if let Some(address) = config.metrics {
        sockets.metrics = Some(listener::bind_tcp(address).map_err(fault("[metrics]", address))?);
        sockets.names.push(format!("metrics {address}"));
    }
    Ok(sockets)
}

fn target(config: &Config) -> journal::Target {
    match config.log.target {
        LogTarget::Auto => journal::Target::Auto,
        LogTarget::Journal => journal::Target::Journal,
        LogTarget::Stderr => journal::Target::Stderr,
        LogTarget::Json => journal::Target::Json,
    }
}

fn level(config: &Config) -> LevelFilter {
    filter_of(config.log.level)
}

fn filter_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
