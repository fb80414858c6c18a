//! The edge: a thread of its own for what may be slow or hostile before a connection is trusted.
//!
//! TLS handshakes, DNS and dialling run here, so that a flood of half-open connections does not
//! stop what is established on the shard's thread. A connection is handed over as a plain socket
//! and comes back as a [`Secured`] one.

use super::conn::LINGER;
use super::tls::{CertFault, Judged, Refused};
use rustls::pki_types::{CertificateDer, ServerName};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How long a connection may be silent before the kernel asks whether the peer is there.
const SILENCE: Duration = Duration::from_secs(20);
/// How often it asks, twice in that time, before the connection ends.
const KEEPALIVE_PROBES: u32 = 3;
/// How long octets may wait for an acknowledgement, or for room (RFC 5482).
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// A handle to the edge thread.
#[derive(Clone)]
pub struct Edge {
    runtime: tokio::runtime::Handle,
}

/// A connection whose TLS handshake is done.
pub struct Secured {
    /// The socket, bound to no runtime.
    pub socket: std::net::TcpStream,
    /// The session, ready for application data.
    pub tls: rustls::Connection,
    /// What the peer presented, leaf first; empty if nothing.
    pub chain: Vec<CertificateDer<'static>>,
    /// "1.2" or "1.3".
    pub version: &'static str,
}

/// Why a connection was not made. Each maps to one answer to whoever waits for it.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing at the address answered, or the network refused.
    #[error("{addr}: {error}")]
    Connect {
        /// Where we tried.
        addr: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The peer's certificate was refused inside the handshake, and it was told so by an alert.
    #[error("certificate refused: {0}")]
    Certificate(CertFault),
    /// TCP was there, TLS failed.
    #[error("TLS handshake: {0}")]
    Tls(io::Error),
    /// Neither in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The edge is shutting down.
    #[error("shutting down")]
    Closed,
}

impl Edge {
    /// Starts the edge thread. It ends when the process does.
    ///
    /// # Errors
    /// The system gives no thread or no epoll instance.
    pub fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        std::thread::Builder::new()
            .name("edge".into())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
        Ok(Self { runtime: handle })
    }

    /// Runs `work` on the edge thread and gives its result, or None if the thread is gone.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        self.runtime.spawn(work).await.ok()
    }

    /// The server's side of a handshake on `socket`.
    ///
    /// # Errors
    /// [`ConnectError::Tls`], [`ConnectError::Timeout`].
    pub async fn accept_tls(
        &self,
        socket: std::net::TcpStream,
        Judged { config, refused }: Judged<rustls::ServerConfig>,
        limit: Duration,
    ) -> Result<Secured, ConnectError> {
        let work = async move {
            let socket = TcpStream::from_std(socket).map_err(ConnectError::Tls)?;
            let accepting = TlsAcceptor::from(config).accept(socket).into_fallible();
            match within(limit, accepting).await? {
                Ok(stream) => {
                    let (socket, session) = stream.into_inner();
                    secured(socket, session.into())
                }
                Err((error, socket)) => Err(failed(error, socket, &refused).await),
            }
        };
        self.run(work).await.unwrap_or(Err(ConnectError::Closed))
    }

    /// The client's side of a handshake on `socket`, asking for `name`.
    ///
    /// # Errors
    /// [`ConnectError::Tls`], [`ConnectError::Timeout`].
    pub async fn connect_tls(
        &self,
        socket: std::net::TcpStream,
        judged: Judged<rustls::ClientConfig>,
        name: ServerName<'static>,
        limit: Duration,
    ) -> Result<Secured, ConnectError> {
        let work = async move {
            let socket = TcpStream::from_std(socket).map_err(ConnectError::Tls)?;
            client_handshake(socket, judged, name, limit).await
        };
        self.run(work).await.unwrap_or(Err(ConnectError::Closed))
    }

    /// Dials `addr` without TLS.
    ///
    /// # Errors
    /// [`ConnectError::Connect`], [`ConnectError::Timeout`].
    pub async fn dial(&self, addr: SocketAddr, limit: Duration) -> Result<std::net::TcpStream, ConnectError> {
        let work = async move {
            let socket = dial(addr, limit).await?;
            socket.into_std().map_err(|error| ConnectError::Connect { addr, error })
        };
        self.run(work).await.unwrap_or(Err(ConnectError::Closed))
    }

    /// Dials `addr` and makes TLS at once.
    ///
    /// # Errors
    /// Any of [`ConnectError`].
    pub async fn dial_tls(
        &self,
        addr: SocketAddr,
        judged: Judged<rustls::ClientConfig>,
        name: ServerName<'static>,
        limit: Duration,
    ) -> Result<Secured, ConnectError> {
        let work = async move { client_handshake(dial(addr, limit).await?, judged, name, limit).await };
        self.run(work).await.unwrap_or(Err(ConnectError::Closed))
    }
}

async fn dial(addr: SocketAddr, limit: Duration) -> Result<TcpStream, ConnectError> {
    let fault = |error| ConnectError::Connect { addr, error };
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(fault)?;
    let stream = within(limit, socket.connect(addr)).await?.map_err(fault)?;
    prepare(&stream).map_err(fault)?;
    Ok(stream)
}

/// Sets what every connection has, whoever opened it: no delay, and an end when the peer has silently
/// gone. SIP has no ping that a peer must answer (RFC 5626 §4.4.1 needs `outbound`), so the kernel asks:
/// a silent connection after 20 s, three times in 30 s; and octets that nobody takes end it after
/// 30 s.
pub(super) fn prepare(socket: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(socket);
    socket.set_tcp_nodelay(true)?;
    let keepalive =
        TcpKeepalive::new().with_time(SILENCE).with_interval(SILENCE / 2).with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))
}

async fn client_handshake(
    socket: TcpStream,
    Judged { config, refused }: Judged<rustls::ClientConfig>,
    name: ServerName<'static>,
    limit: Duration,
) -> Result<Secured, ConnectError> {
    let connecting = TlsConnector::from(config).connect(name, socket).into_fallible();
    match within(limit, connecting).await? {
        Ok(stream) => {
            let (socket, session) = stream.into_inner();
            secured(socket, session.into())
        }
        Err((error, socket)) => Err(failed(error, socket, &refused).await),
    }
}

/// Why a handshake failed. A peer whose certificate was refused has time to read the alert: a socket that is
/// closed with octets unread takes back what was just written.
async fn failed(error: io::Error, mut socket: TcpStream, refused: &Refused) -> ConnectError {
    let Some(fault) = refused.fault() else { return ConnectError::Tls(error) };
    let ended = async {
        let mut scratch = [0; 4096];
        let _ = socket.shutdown().await;
        while matches!(socket.read(&mut scratch).await, Ok(1..)) {}
    };
    let _ = tokio::time::timeout(LINGER, ended).await;
    ConnectError::Certificate(fault.clone())
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, ConnectError> {
    tokio::time::timeout(limit, work).await.map_err(|_| ConnectError::Timeout(limit))
}

fn secured(socket: TcpStream, tls: rustls::Connection) -> Result<Secured, ConnectError> {
    let chain =
        tls.peer_certificates().unwrap_or_default().iter().map(|der| der.clone().into_owned()).collect();
    let version = super::seen::version(&tls);
    let socket = socket.into_std().map_err(ConnectError::Tls)?;
    Ok(Secured { socket, tls, chain, version })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn threat_162_the_kernel_finds_a_half_open_connection_within_a_minute() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = dial(listener.local_addr().unwrap(), Duration::from_secs(5)).await.unwrap();
        let socket = SockRef::from(&socket);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        let (silence, interval) =
            (socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap());
        let found = silence + interval * socket.tcp_keepalive_retries().unwrap();
        assert!(found < Duration::from_secs(60), "a silent one: {found:?}");
        let unacknowledged = socket.tcp_user_timeout().unwrap().unwrap();
        assert!(!unacknowledged.is_zero() && unacknowledged < Duration::from_secs(60), "a busy one");
    }
}
