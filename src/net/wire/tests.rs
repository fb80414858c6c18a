//! Real sockets with small buffers, plain and with TLS: what is said to be written is written.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// The other end, which reads when the test says so.
struct Far {
    socket: TcpStream,
    tls: Option<ClientConnection>,
    /// The plaintext so far.
    read: Vec<u8>,
    /// Its octets as they came off the socket.
    cipher: Vec<u8>,
    /// The TLS close_notify came.
    notified: bool,
}

struct Ends {
    wire: Wire,
    far: Far,
    /// Held, so that the socket ends with the wire's own FIN.
    read: OwnedReadHalf,
}

/// Both ends of a connection whose kernel buffers hold little.
async fn sockets() -> (TcpStream, TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    let near = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    socket2::SockRef::from(&near).set_send_buffer_size(4096).unwrap();
    let (far, _) = listener.accept().unwrap();
    let tokio = |socket: std::net::TcpStream| {
        socket.set_nonblocking(true).unwrap();
        TcpStream::from_std(socket).unwrap()
    };
    (tokio(near), tokio(far))
}

/// A TLS session in memory: ours is the server's side. With what the client says at once, in the
/// flight that ends the handshake.
fn sessions(early: &[u8]) -> (ServerConnection, ClientConnection) {
    let made = rcgen::generate_simple_self_signed(["peer.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = || Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("peer.example").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let mut early = Some(early);
    while client.is_handshaking() || server.is_handshaking() || server.wants_write() {
        if !client.is_handshaking()
            && let Some(early) = early.take()
        {
            client.writer().write_all(early).unwrap();
        }
        let (mut up, mut down) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut up).unwrap();
        }
        let mut rest = up.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
        }
        server.process_new_packets().unwrap();
        while server.wants_write() {
            server.write_tls(&mut down).unwrap();
        }
        let mut rest = down.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
        }
        client.process_new_packets().unwrap();
    }
    (server, client)
}

async fn ends(secure: bool) -> Ends {
    let (near, socket) = sockets().await;
    let (ours, theirs) = match secure {
        true => {
            let (ours, theirs) = sessions(b"");
            (Some(rustls::Connection::Server(ours)), Some(theirs))
        }
        false => (None, None),
    };
    let (read, write) = near.into_split();
    let wire = Wire::new(write, ours);
    wire.writable().await.unwrap();
    let far = Far { socket, tls: theirs, read: Vec::new(), cipher: Vec::new(), notified: false };
    Ends { wire, far, read }
}

impl Ends {
    /// From now on the kernel takes more at once.
    fn hurry(&self) {
        socket2::SockRef::from(self.read.as_ref()).set_send_buffer_size(1 << 20).unwrap();
        socket2::SockRef::from(&self.far.socket).set_recv_buffer_size(1 << 20).unwrap();
    }
}

impl Far {
    /// Reads once. False at the end.
    async fn read_once(&mut self) -> bool {
        let mut buffer = vec![0; 256 * 1024];
        let read = tokio::time::timeout(Duration::from_secs(20), self.socket.read(&mut buffer));
        let count = read.await.expect("nothing came for 20 s").unwrap();
        let octets = &buffer[..count];
        self.cipher.extend_from_slice(octets);
        match &mut self.tls {
            None => self.read.extend_from_slice(octets),
            Some(tls) => {
                let mut rest = octets;
                while !rest.is_empty() {
                    tls.read_tls(&mut rest).unwrap();
                    let state = tls.process_new_packets().unwrap();
                    self.notified |= state.peer_has_closed();
                    drop(tls.reader().read_to_end(&mut self.read));
                }
            }
        }
        count > 0
    }

    /// Reads once, if anything is there or soon comes.
    async fn read_what_is_there(&mut self) {
        if tokio::time::timeout(Duration::from_millis(2), self.socket.readable()).await.is_ok() {
            assert!(self.read_once().await);
        }
    }

    async fn read_to_end(&mut self) {
        while self.read_once().await {}
    }

    async fn read_up_to(&mut self, wanted: usize) {
        while self.read.len() < wanted {
            assert!(self.read_once().await, "the end after {} octets of {wanted}", self.read.len());
        }
    }
}

/// Octets that tell where they stand: what is lost, repeated or out of order shows.
fn octets(from: usize, count: usize) -> Vec<u8> {
    (from..from + count).map(|at| (at % 251) as u8 ^ (at / 251) as u8).collect()
}

/// Flushes to the end while the far side reads; marks never go back.
async fn flush_to_the_end(ends: &mut Ends, last: u64) {
    let mut before = 0;
    loop {
        let flushed = ends.wire.flush().unwrap();
        let (Flushed::All(mark) | Flushed::Blocked(mark)) = flushed;
        assert!(mark >= before && mark <= last, "{mark} after {before}");
        before = mark;
        if flushed == Flushed::All(last) {
            return;
        }
        assert!(matches!(flushed, Flushed::Blocked(_)), "{flushed:?}");
        ends.far.read_what_is_there().await;
        let writable = tokio::time::timeout(Duration::from_millis(2), ends.wire.writable());
        if let Ok(writable) = writable.await {
            writable.unwrap();
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn check_023_a_mark_is_said_when_the_kernel_has_its_item() {
    for secure in [false, true] {
        let mut ends = ends(secure).await;
        assert_eq!(ends.wire.flush().unwrap(), Flushed::All(0));
        assert!(ends.wire.queue(b"one", 1) && ends.wire.queue(b"two", 2));
        // A mark that is no further than the last one takes nothing back.
        assert!(ends.wire.queue(b"three", 0));
        assert_eq!(ends.wire.flush().unwrap(), Flushed::All(2), "secure: {secure}");
        assert_eq!(ends.wire.flush().unwrap(), Flushed::All(2));
        ends.far.read_up_to(11).await;
        assert_eq!(ends.far.read, b"onetwothree");
        assert_eq!(ends.far.cipher == b"onetwothree", !secure);
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_said_to_be_written_arrives_although_nothing_is_written_after_it() {
    const ITEM: usize = 20_000;
    for secure in [false, true] {
        let ends = ends(secure).await;
        let mut queued = 0;
        let said = loop {
            assert!(ends.wire.queue(&octets(queued * ITEM, ITEM), queued as u64 + 1));
            queued += 1;
            assert!(queued < 1000, "the kernel takes all");
            match ends.wire.flush().unwrap() {
                Flushed::All(mark) => assert_eq!(mark, queued as u64, "secure: {secure}"),
                Flushed::Blocked(mark) => break mark,
            }
        };
        // The item that blocks is not whole, the ones before it are; nor are more of them with time.
        assert_eq!(said, queued as u64 - 1, "secure: {secure}");
        for more in [1, 2] {
            assert!(ends.wire.queue(&octets((queued + more - 1) * ITEM, ITEM), (queued + more) as u64));
            assert_eq!(ends.wire.flush().unwrap(), Flushed::Blocked(said), "secure: {secure}");
        }
        let Ends { wire, mut far, read } = ends;
        drop((wire, read));
        far.read_to_end().await;
        let whole = usize::try_from(said).unwrap() * ITEM;
        assert!(far.read.len() >= whole, "secure: {secure}, {} of {whole}", far.read.len());
        assert!(far.read.len() < queued * ITEM, "the last item was never whole");
        assert!(far.read == octets(0, far.read.len()));
        assert!(!far.notified, "cut off, and it can be seen");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_mark_is_not_said_while_any_octet_of_its_item_is_here() {
    // One item after the other, each larger than the kernel takes: when the mark is said at last, the
    // far side has only to read what the kernel holds.
    for secure in [false, true] {
        let mut ends = ends(secure).await;
        for item in 0..4 {
            let size = 600_000;
            assert!(ends.wire.queue(&octets(item * size, size), item as u64 + 1));
            loop {
                match ends.wire.flush().unwrap() {
                    Flushed::All(mark) => break assert_eq!(mark, item as u64 + 1),
                    Flushed::Blocked(mark) => assert_eq!(mark, item as u64, "secure: {secure}"),
                }
                ends.far.read_what_is_there().await;
                let _ = tokio::time::timeout(Duration::from_millis(1), ends.wire.writable()).await;
            }
        }
        drop(ends.wire);
        ends.far.read_to_end().await;
        assert!(ends.far.read == octets(0, 2_400_000), "secure: {secure}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn nothing_is_lost_or_repeated_over_blocked_flushes() {
    for secure in [false, true] {
        let mut ends = ends(secure).await;
        let (mut at, mut blocked, mut said) = (0, 0, 0);
        for mark in 1..=600_u64 {
            let size = usize::try_from(mark * 7919 % 9001).unwrap() + 1;
            assert!(ends.wire.queue(&octets(at, size), mark));
            at += size;
            match ends.wire.flush().unwrap() {
                Flushed::All(now) => {
                    assert_eq!(now, mark);
                    said = now;
                }
                Flushed::Blocked(now) => {
                    assert!(now >= said && now < mark, "{now} after {said}");
                    (blocked, said) = (blocked + 1, now);
                    if blocked % 3 == 0 {
                        ends.far.read_what_is_there().await;
                    }
                }
            }
        }
        assert!(blocked > 100, "{blocked}");
        flush_to_the_end(&mut ends, 600).await;
        ends.far.read_up_to(at).await;
        assert!(ends.far.read == octets(0, at), "secure: {secure}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn check_141_a_close_waits_for_everything_and_is_said_properly() {
    for (secure, size) in [(false, 0), (true, 0), (false, 900_000), (true, 900_000)] {
        let mut ends = ends(secure).await;
        if size > 0 {
            assert!(ends.wire.queue(&octets(0, size), 1));
            assert_eq!(ends.wire.flush().unwrap(), Flushed::Blocked(0));
        }
        ends.wire.close_when_written();
        // What comes before the end is written counts.
        assert!(ends.wire.queue(&octets(size, 10), 2));
        flush_to_the_end(&mut ends, 2).await;
        ends.far.read_to_end().await;
        assert!(ends.far.read == octets(0, size + 10), "secure: {secure}");
        assert_eq!(ends.far.notified, secure, "close_notify before the FIN");
        assert!(!ends.wire.queue(b"late", 3), "nothing goes out after it");
        assert_eq!(ends.wire.flush().unwrap(), Flushed::All(2));
        assert!(ends.wire.writable().await.is_err());
    }
}

#[tokio::test(flavor = "current_thread")]
async fn threat_157_a_peer_that_does_not_read_costs_a_bounded_buffer() {
    const PART: usize = 1024 * 1024;
    for secure in [false, true] {
        let mut ends = ends(secure).await;
        let mut queued = 0;
        while ends.wire.queue(&octets(queued, PART), (queued / PART) as u64 + 1) {
            queued += PART;
            assert!(matches!(ends.wire.flush().unwrap(), Flushed::Blocked(0)));
            assert!(queued <= 2 * WRITE_LIMIT + 4 * PART, "no end");
        }
        assert!(queued > WRITE_LIMIT);
        assert!(!ends.wire.queue(b"x", 999), "still");
        assert_eq!(ends.wire.flush().unwrap(), Flushed::Blocked(0));
        // What was refused was not taken by halves; what was taken is there, and more goes in later.
        ends.hurry();
        flush_to_the_end(&mut ends, (queued / PART) as u64).await;
        assert!(ends.wire.queue(&octets(queued, 5), 1000));
        flush_to_the_end(&mut ends, 1000).await;
        ends.far.read_up_to(queued + 5).await;
        assert!(ends.far.read == octets(0, queued + 5), "secure: {secure}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_waits_counts_what_the_tls_session_holds() {
    const MUCH: usize = 6 * 1024 * 1024;
    for secure in [false, true] {
        let mut ends = ends(secure).await;
        assert_eq!(ends.wire.waiting(), 0);
        assert!(ends.wire.queue(&octets(0, MUCH), 1));
        assert_eq!(ends.wire.waiting(), MUCH, "secure: {secure}");
        assert_eq!(ends.wire.flush().unwrap(), Flushed::Blocked(0));
        // What is sealed but not with the kernel waits too.
        let before = ends.wire.waiting();
        assert!(before > 0 && before <= MUCH, "secure: {secure}, {before}");
        assert!(ends.wire.queue(&octets(MUCH, 5), 2));
        assert_eq!(ends.wire.waiting(), before + 5, "secure: {secure}");
        ends.hurry();
        flush_to_the_end(&mut ends, 2).await;
        assert_eq!(ends.wire.waiting(), 0, "secure: {secure}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_connection_that_is_gone_is_an_error_and_no_mark() {
    for secure in [false, true] {
        let Ends { wire, far, read: _read } = ends(secure).await;
        socket2::SockRef::from(&far.socket).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        let mut marks = 0;
        let error = loop {
            marks += 1;
            assert!(wire.queue(&octets(0, 10_000), marks) && marks < 1000);
            match wire.flush() {
                Ok(Flushed::All(_)) => tokio::task::yield_now().await,
                Ok(Flushed::Blocked(_)) => tokio::time::sleep(Duration::from_millis(1)).await,
                Err(error) => break error,
            }
        };
        assert_ne!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(wire.flush().is_err(), "and stays one");
    }
}

fn plain(wire: &Wire, octets: &[u8]) -> Result<Vec<u8>, rustls::Error> {
    let mut read = Vec::new();
    wire.decrypt(octets, &mut |part| read.extend_from_slice(part)).map(|()| read)
}

/// The records that the far side sends for `text`.
fn sealed(tls: &mut ClientConnection, text: &[u8]) -> Vec<u8> {
    let mut cipher = Vec::new();
    tls.writer().write_all(text).unwrap();
    while tls.wants_write() {
        tls.write_tls(&mut cipher).unwrap();
    }
    cipher
}

#[tokio::test(flavor = "current_thread")]
async fn octets_that_came_with_the_end_of_the_handshake_are_delivered_first() {
    let (near, _far) = sockets().await;
    let (ours, _) = sessions(b"<stream:stream>");
    let wire = Wire::new(near.into_split().1, Some(rustls::Connection::Server(ours)));
    assert_eq!(plain(&wire, b"").unwrap(), b"<stream:stream>", "without waiting for more");
    assert_eq!(plain(&wire, b"").unwrap(), b"", "once");

    let (near, _far) = sockets().await;
    let (ours, mut behind) = sessions(b"<stream:stream>");
    let wire = Wire::new(near.into_split().1, Some(rustls::Connection::Server(ours)));
    let cipher = sealed(&mut behind, b"<auth/>");
    assert_eq!(plain(&wire, &cipher).unwrap(), b"<stream:stream><auth/>");
    // The same when the session comes later, in place of a plain connection.
    let (near, _far) = sockets().await;
    let (ours, _) = sessions(b"hello");
    let wire = Wire::new(near.into_split().1, None);
    assert_eq!(plain(&wire, b"clear").unwrap(), b"clear");
    let half = wire.take_half().unwrap();
    wire.replace(half, Some(rustls::Connection::Server(ours)));
    assert_eq!(plain(&wire, b"").unwrap(), b"hello");
}

#[tokio::test(flavor = "current_thread")]
async fn records_are_read_however_they_are_cut() {
    let Ends { wire, mut far, read: _read } = ends(true).await;
    let text = octets(0, 50_000);
    let cipher = sealed(far.tls.as_mut().unwrap(), &text);
    let mut read = Vec::new();
    for part in cipher.chunks(997) {
        read.extend(plain(&wire, part).unwrap());
    }
    assert!(read == text);
    let cipher = sealed(far.tls.as_mut().unwrap(), b"whole or not at all");
    assert_eq!(plain(&wire, &cipher[..20]).unwrap(), b"");
    assert_eq!(plain(&wire, &cipher[20..]).unwrap(), b"whole or not at all");
}

#[tokio::test(flavor = "current_thread")]
async fn a_record_that_was_tampered_with_is_an_error_and_gives_no_text() {
    let Ends { wire, mut far, read: _read } = ends(true).await;
    let tls = far.tls.as_mut().unwrap();
    let mut cipher = sealed(tls, b"good");
    let good = cipher.len();
    cipher.extend(sealed(tls, b"bad"));
    cipher.extend(sealed(tls, b"after"));
    cipher[good + 8] ^= 1;
    let mut read = Vec::new();
    let outcome = wire.decrypt(&cipher, &mut |part| read.extend_from_slice(part));
    assert_eq!(outcome, Err(rustls::Error::DecryptError));
    assert!(!read.windows(3).any(|part| part == b"bad") && !read.ends_with(b"after"));
    assert!(plain(&wire, &sealed(far.tls.as_mut().unwrap(), b"more")).is_err(), "and stays one");
    // The peer is told why.
    wire.flush().unwrap();
    let mut buffer = [0; 100];
    let count = far.socket.read(&mut buffer).await.unwrap();
    let tls = far.tls.as_mut().unwrap();
    tls.read_tls(&mut &buffer[..count]).unwrap();
    let told = tls.process_new_packets().unwrap_err();
    assert_eq!(told, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
}

#[tokio::test(flavor = "current_thread")]
async fn a_connection_is_taken_for_its_handshake_and_comes_back_encrypted() {
    let mut ends = ends(false).await;
    assert!(ends.wire.queue(b"<proceed/>", 1));
    assert_eq!(ends.wire.flush().unwrap(), Flushed::All(1));
    let half = ends.wire.take_half().unwrap();
    assert!(ends.wire.take_half().is_none(), "there is one");
    assert!(ends.wire.writable().await.is_err());
    assert_eq!(ends.wire.flush().unwrap(), Flushed::All(1), "nothing to write to, nothing more written");
    let (ours, theirs) = sessions(b"");
    ends.wire.replace(half, Some(rustls::Connection::Server(ours)));
    assert!(ends.wire.queue(b"<features/>", 2));
    assert_eq!(ends.wire.flush().unwrap(), Flushed::All(2));
    ends.far.read_up_to(b"<proceed/>".len()).await;
    let rest = ends.far.cipher.split_off(b"<proceed/>".len());
    assert!(!rest.windows(8).any(|part| part == b"features"), "in clear");
    let mut tls = theirs;
    let mut cipher = rest.as_slice();
    while !cipher.is_empty() {
        tls.read_tls(&mut cipher).unwrap();
    }
    tls.process_new_packets().unwrap();
    ends.far.tls = Some(tls);
    ends.far.read.clear();
    drop(ends.far.tls.as_mut().unwrap().reader().read_to_end(&mut ends.far.read));
    ends.far.read_up_to(b"<features/>".len()).await;
    assert_eq!(ends.far.read, b"<features/>");
}

#[tokio::test(flavor = "current_thread")]
async fn a_close_notify_is_an_end_though_tcp_stays_open() {
    let mut ends = ends(true).await;
    assert!(!ends.wire.has_ended());
    let mut cipher = Vec::new();
    let tls = ends.far.tls.as_mut().unwrap();
    tls.writer().write_all(b"the last words").unwrap();
    tls.send_close_notify();
    while tls.wants_write() {
        tls.write_tls(&mut cipher).unwrap();
    }
    let mut heard = Vec::new();
    ends.wire.decrypt(&cipher, &mut |octets| heard.extend_from_slice(octets)).unwrap();
    assert_eq!(heard, b"the last words");
    assert!(ends.wire.has_ended());
}
