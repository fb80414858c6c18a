//! Shards with threads of their own: what one that fails costs, and streams at their end.

#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use crate::addr::{Domain, Jid};
use crate::config::{FileFault, Files, Purpose, Surroundings, parse};
use crate::daemon::setup;
use crate::net::dns::Dns;
use crate::net::edge::Edge;
use crate::net::shard::{NoPlace, Silent};
use crate::net::tls::{CertStore, Trust};
use crate::net::xmpp_conn::StreamConn;
use crate::net::{msrp_conn, sip_conn, xmpp_conn};
use crate::now::Wall;
use crate::sip::locate::Transport;
use crate::store::record::{Change, Contact};
use crate::store::{Store, StoreError};
use crate::xmpp::{Condition, Need, Pair, StreamId, Terms};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpStream;

struct Memory;

impl Files for Memory {
    fn read(&self, path: &Path, _limit: u64) -> Result<String, FileFault> {
        let daemon = "[gateway]\nname = \"gw.contoso.example\"\n[[domain]]\nname = \"contoso.example\"\n\
                      discovery = true\n[sip]\nlisten = [{ addr = \"127.0.0.1:5060\", transport = \"udp\" }]\n";
        let policy = "[federation]\nenabled = true\n[[partner]]\ndomain = \"plain.example\"\ntls = \"not-supported\"\n\
                      sasl = \"not-supported\"\nconnection_limit = 1\n\
                      [[partner]]\ndomain = \"wide.example\"\nconnection_limit = 4\n";
        Ok(if path.ends_with("stoxd.toml") { daemon } else { policy }.to_owned())
    }

    fn mode(&self, _path: &Path) -> Result<u32, FileFault> {
        Ok(0o400)
    }
}

fn made(shards: u8, records: Vec<Record>) -> (Settings, Vec<Part>, Vec<Vec<Record>>) {
    let path = Path::new("/etc/stoxd/stoxd.toml");
    let config = parse(path, &Memory, &Surroundings::default(), Purpose::Check).unwrap();
    let settings = setup::gateway(&config, false).unwrap();
    let dialback = Arc::from([1; 32]);
    let (parts, records) = parts(shards, settings.clone(), config.table, dialback, records).unwrap();
    (settings, parts, records)
}

#[test]
fn each_shard_gets_its_share_of_bounds_and_the_records_of_its_users() {
    let contact = |n: u32| {
        let user = Jid::parse(&format!("user{n}@contoso.example")).unwrap();
        Record::Contact(Contact { contact: user.clone(), user, added: Wall::default() })
    };
    let (settings, parts, records) = made(4, (0..100).map(contact).collect());
    assert_eq!(parts.iter().map(|part| part.place.shard()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(records.iter().map(Vec::len).sum::<usize>(), 100);
    for (part, records) in parts.iter().zip(records) {
        assert_eq!(part.settings.targets, settings.targets.div_ceil(4));
        assert!(!records.is_empty());
        let mut owners = records.iter().map(|record| parts[0].place.of_record(record));
        assert!(owners.all(|owner| owner == part.place.shard()), "whoever asks");
        assert!(Arc::ptr_eq(&part.table, &parts[0].table), "one table");
    }
}

#[test]
fn nobody_can_tell_from_one_start_which_shard_has_whom_after_another() {
    let owners = || {
        let (_, parts, _) = made(32, Vec::new());
        (0..64).map(|n| parts[0].place.of_user(&format!("user{n}@contoso.example"))).collect::<Vec<_>>()
    };
    assert_ne!(owners(), owners());
}

/// Keeps nothing.
struct Nothing;

impl Store for Nothing {
    fn name(&self) -> String {
        "nothing".to_owned()
    }

    fn load(&mut self, _take: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
        Ok(())
    }

    fn apply(&mut self, _changes: &[Change]) -> Result<(), StoreError> {
        Ok(())
    }

    fn rest(&mut self) {}

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Runs `test` in the first of `count` shards that have their threads.
fn running(count: u8, test: impl AsyncFnOnce(Rc<Shard>, Ended)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let directory = tempfile::tempdir().unwrap();
        let anchor = directory.path().join("anchor.pem");
        let made_up = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
        std::fs::write(&anchor, made_up.cert.pem()).unwrap();
        let config =
            parse(Path::new("/etc/stoxd/stoxd.toml"), &Memory, &Surroundings::default(), Purpose::Check)
                .unwrap();
        let dialer = Dialer::new(
            Edge::start().unwrap(),
            Arc::new(CertStore::load(setup::certificates(&config)).unwrap()),
            setup::min_version(&config),
            Arc::new(Trust::bundle(&anchor).unwrap()),
            Arc::new(Dns::new(setup::dns(&config)).unwrap()),
            setup::peers(&config),
        );
        let (settings, parts, _) = made(count, Vec::new());
        let wakes = parts.iter().map(Part::wake).collect();
        let records = Records::start(Box::new(Nothing), wakes).unwrap();
        let whole = Whole {
            clock: Clock::start(),
            dialer: Arc::new(dialer.unwrap()),
            limits: setup::limits(&config),
            ends: Arc::default(),
            faults: Arc::default(),
            names: Arc::new(Names::of(&settings)),
        };
        let (first, ended) = start(parts, whole, &records).unwrap();
        let first = first.unwrap();
        let _own = run(&first);
        test(first, ended).await;
    });
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what).await.unwrap()
}

#[test]
fn a_shard_that_cant_go_on_is_told_of_and_nobody_waits_for_it() {
    running(3, async |shard, mut ended| {
        let numbers = async || shard.ask_all(|shard| shard.place.shard()).await;
        assert_eq!(within(numbers()).await, Ok(vec![0, 1, 2]));
        shard.hand(1, |shard| shard.lose_flusher());
        assert_eq!(within(ended.recv()).await, Some(1));
        assert_eq!(within(numbers()).await, Err(Silent(1)));
        assert_eq!(within(shard.ask(1, |_| ())).await, Err(Silent(1)));
        assert_eq!(within(shard.ask(2, |shard| shard.place.shard())).await, Ok(2));
    });
}

#[test]
fn a_shard_that_is_stuck_is_named_in_time_and_heard_when_it_goes_on() {
    running(3, async |shard, mut ended| {
        let numbers = async || shard.ask_all(|shard| shard.place.shard()).await;
        let (free, stuck) = std::sync::mpsc::channel::<()>();
        shard.hand(2, move |_| {
            let _ = stuck.recv();
        });
        assert_eq!(within(numbers()).await, Err(Silent(2)));
        drop(free);
        assert_eq!(within(numbers()).await, Ok(vec![0, 1, 2]));
        assert!(ended.try_recv().is_err(), "it has not ended");
    });
}

/// The name of a SIP user of shard 1 of 2.
fn user_of(shard: &Rc<Shard>) -> String {
    let user = (0..).map(|n| format!("user{n}@contoso.example"));
    user.into_iter().find(|user| shard.place.of_user(user) == 1).unwrap()
}

/// A TCP connection, and the near end of it.
fn connected() -> (std::net::TcpStream, TcpStream, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (near, address) = listener.accept().unwrap();
    near.set_nonblocking(true).unwrap();
    (far, TcpStream::from_std(near).unwrap(), address)
}

/// What comes on `far` after `octets`, up to the end of what `over` looks for or of the connection.
async fn said(far: &std::net::TcpStream, octets: String, over: &'static str) -> String {
    let mut far = far.try_clone().unwrap();
    let reading = tokio::task::spawn_blocking(move || {
        // Less than a link has that proves nothing.
        far.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        far.write_all(octets.as_bytes()).unwrap();
        let (mut heard, mut part) = (String::new(), [0; 4096]);
        while !heard.contains(over) {
            match far.read(&mut part) {
                Ok(0) => return heard + "the end",
                Ok(count) => heard += &String::from_utf8_lossy(&part[..count]),
                Err(_) => return heard + "nothing",
            }
        }
        heard
    });
    reading.await.unwrap()
}

fn message(user: &str, n: u32) -> String {
    format!(
        "MESSAGE sip:romeo@fabrikam.example SIP/2.0\r\nVia: SIP/2.0/TCP a.example;branch=z9hG4bK{n}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{user}>;tag=1\r\nTo: <sip:romeo@fabrikam.example>\r\n\
         Call-ID: {n}@a\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn an_item_that_another_shard_cant_handle_ends_its_connection_and_nothing_else() {
    running(2, async |shard, mut ended| {
        let user = user_of(&shard);
        let accept = |near, address| {
            tokio::task::spawn_local(sip_conn::accept(shard.clone(), near, address, Transport::Tcp));
        };
        let ((one, near_one, address), (other, near_other, elsewhere)) = (connected(), connected());
        accept(near_one, address);
        accept(near_other, elsewhere);
        for (n, far) in [(1, &one), (2, &other)] {
            let answer = within(said(far, message(&user, n), "\r\n\r\n")).await;
            assert!(answer.starts_with("SIP/2.0 403 "), "{answer}");
        }
        shard.hand(1, |shard| shard.trap.set(true));
        assert_eq!(within(said(&one, message(&user, 3), "\r\n\r\n")).await, "the end");
        shard.hand(1, |shard| shard.trap.set(false));
        let answer = within(said(&other, message(&user, 4), "\r\n\r\n")).await;
        assert!(answer.starts_with("SIP/2.0 403 "), "{answer}");
        assert_eq!(within(shard.ask_all(|shard| shard.place.shard())).await, Ok(vec![0, 1]));
        assert!(ended.try_recv().is_err(), "no shard has ended");
    });
}

#[test]
fn a_frame_that_another_shard_cant_handle_ends_its_connection_and_nothing_else() {
    running(2, async |shard, mut ended| {
        let session = within(shard.ask(1, |shard| shard.ids.borrow_mut().mint().to_string())).await.unwrap();
        let frame = format!(
            "MSRP a1b2c3d4 SEND\r\nTo-Path: msrp://127.0.0.1:2855/{session};tcp\r\n\
             From-Path: msrp://127.0.0.1:9/far;tcp\r\nMessage-ID: 1\r\n-------a1b2c3d4$\r\n"
        );
        let (far, near, address) = connected();
        tokio::task::spawn_local(msrp_conn::accept(shard.clone(), near, address, false));
        let answer = within(said(&far, frame.clone(), "$\r\n")).await;
        assert!(answer.starts_with("MSRP a1b2c3d4 481"), "{answer}");
        shard.hand(1, |shard| shard.trap.set(true));
        assert_eq!(within(said(&far, frame, "$\r\n")).await, "the end");
        assert_eq!(within(shard.ask_all(|shard| shard.place.shard())).await, Ok(vec![0, 1]));
        assert!(ended.try_recv().is_err(), "no shard has ended");
    });
}

#[test]
fn work_that_fails_has_no_answer_and_costs_nothing_else() {
    running(2, async |shard, mut ended| {
        let fails: fn(&Rc<Shard>) = |_| panic!("a bug");
        assert_eq!(within(shard.ask(1, fails)).await, Err(Silent(1)));
        assert_eq!(within(shard.ask_all(|shard| shard.place.shard())).await, Ok(vec![0, 1]));
        assert!(ended.try_recv().is_err(), "no shard has ended");
    });
}

#[test]
fn a_link_that_comes_up_when_all_are_closed_is_closed() {
    running(2, async |shard, _ended| {
        within(shard.run_all(|shard| async move { shard.close_all().await })).await;
        let (far, near, address) = connected();
        tokio::task::spawn_local(sip_conn::accept(shard.clone(), near, address, Transport::Tcp));
        assert_eq!(within(said(&far, String::new(), "\r\n")).await, "the end");
    });
}

#[test]
fn a_stream_that_comes_up_when_all_are_closed_hears_of_the_shutdown() {
    running(2, async |shard, _ended| {
        within(shard.run_all(|shard| async move { shard.close_all().await })).await;
        let (far, near, address) = connected();
        tokio::task::spawn_local(xmpp_conn::accept(shard.clone(), near, address));
        let opening = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' to='contoso.example' \
                       from='fabrikam.example' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
        let heard = within(said(&far, opening.to_owned(), "</stream:stream>")).await;
        assert!(heard.contains("<system-shutdown "), "{heard}");
        assert!(heard.ends_with("</stream:stream>"), "{heard}");
    });
}

/// Dials a partner whose server is at `port`, from a domain of ours; without TLS.
fn dialled(shard: &Rc<Shard>, port: u16) -> (StreamId, Pair, impl Future<Output = ()> + use<>) {
    let domain = |name| Domain::parse(name).unwrap();
    let pair = Pair { local: domain("contoso.example"), remote: domain("plain.example") };
    let none = Need::NotSupported;
    let terms = Terms { tls: none, sasl: none, ..Terms::default() };
    let (stream, proxy) = (shard.mint_stream(), Some((domain("127.0.0.1"), port)));
    let send = crate::xmpp::Purpose::Send;
    (stream, pair.clone(), xmpp_conn::dial(shard.clone(), stream, pair, send, None, terms, proxy))
}

/// A stream of ours that is up, and the far end of it.
async fn up(shard: &Rc<Shard>) -> (Rc<StreamConn>, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (stream, _, dial) = dialled(shard, listener.local_addr().unwrap().port());
    tokio::task::spawn_local(dial);
    let far = tokio::task::spawn_blocking(move || listener.accept().unwrap().0);
    let far = within(far).await.unwrap();
    within(said(&far, String::new(), "version='1.0'>")).await;
    let header = "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' version='1.0' \
                  id='1' xmlns:stream='http://etherx.jabber.org/streams' from='plain.example' \
                  to='contoso.example'><stream:features><dialback xmlns='urn:xmpp:features:dialback'/>\
                  </stream:features>";
    within(said(&far, header.to_owned(), "</db:result>")).await;
    let conn = shard.all_streams().into_iter().find(|conn| conn.id == stream).unwrap();
    let valid = "<db:result from='plain.example' to='contoso.example' type='valid'/>";
    (&far).write_all(valid.as_bytes()).unwrap();
    let ready = async {
        while conn.pairs.borrow().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within(ready).await;
    (conn, far)
}

/// Is `conn` left before we give up waiting for the peer's close tag?
async fn is_left(shard: &Shard, conn: &StreamConn) -> bool {
    let is_there = || shard.all_streams().iter().any(|one| one.id == conn.id);
    while !conn.has_left() && is_there() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    conn.has_left() && is_there()
}

#[test]
fn a_stream_that_closes_is_left_when_the_kernel_has_its_last_stanza_and_not_when_the_peer_closes() {
    running(2, async |shard, _ended| {
        let (conn, far) = up(&shard).await;
        conn.send_and_close(shard.clock.now(), b"<message/>");
        let heard = within(said(&far, String::new(), "</stream:stream>")).await;
        assert!(heard.contains("<message"), "{heard}");
        // The peer says nothing more.
        assert!(is_left(&shard, &conn).await);
    });
}

#[test]
fn a_stream_whose_peer_reads_slowly_is_left_when_all_is_written() {
    running(2, async |shard, _ended| {
        let (conn, far) = up(&shard).await;
        // More than the kernel takes, and as much as may wait.
        let much = format!("<message>{}</message>", "x".repeat((8 << 20) - 1000));
        conn.send_and_close(shard.clock.now(), much.as_bytes());
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!conn.has_left(), "most of it is here");
        let reading = tokio::task::spawn_blocking(move || {
            let (mut heard, mut part) = (Vec::new(), vec![0; 1 << 16]);
            while !heard.ends_with(b"</stream:stream>") {
                let count = (&far).read(&mut part).unwrap();
                heard.extend_from_slice(&part[..count]);
            }
            (heard.len(), far)
        });
        let (octets, _far) = within(reading).await.unwrap();
        assert!(octets > much.len());
        assert!(is_left(&shard, &conn).await);
    });
}

#[test]
fn a_lender_that_answers_too_late_keeps_no_borrower() {
    running(2, async |shard, _ended| {
        let offers = |shard: &Rc<Shard>| {
            let stream = shard.mint_stream();
            std::mem::forget(shard.offer(stream));
            stream
        };
        let lender = within(shard.ask(1, offers)).await.unwrap();
        assert!(within(shard.borrow_stream(shard.mint_stream(), lender)).await);
        assert_eq!(within(shard.ask(1, move |shard| shard.borrowers(lender))).await, Ok(1));
        let (free, stuck) = std::sync::mpsc::channel::<()>();
        shard.hand(1, move |_| {
            let _ = stuck.recv();
        });
        assert!(!within(shard.borrow_stream(shard.mint_stream(), lender)).await, "it says nothing");
        drop(free);
        assert_eq!(within(shard.ask(1, move |shard| shard.borrowers(lender))).await, Ok(1));
    });
}

#[test]
fn a_dial_that_waits_for_a_place_comes_to_nothing_when_all_is_closed() {
    running(2, async |shard, _ended| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (_, pair, dial) = dialled(&shard, listener.local_addr().unwrap().port());
        let over = shard.mint_stream();
        let seat = shard.together.seat_out(&shard.realm(), over, &pair).ok().unwrap();
        shard.stream_down(shard.clock.now(), over, Condition::RemoteServerTimeout, "over");
        let dial = tokio::task::spawn_local(dial);
        tokio::time::sleep(Duration::from_millis(50)).await;
        within(shard.run_all(|shard| async move { shard.close_all().await })).await;
        drop(seat);
        within(dial).await.unwrap();
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "nobody has connected");
    });
}

#[test]
fn a_stream_that_is_over_is_lent_to_nobody_and_counts_until_its_place_is_given_up() {
    running(2, async |shard, _ended| {
        let theirs = async || within(shard.ask(1, |shard| shard.mint_stream())).await.unwrap();
        let domain = |name| Domain::parse(name).unwrap();
        let pair = |remote| Pair { local: domain("contoso.example"), remote: domain(remote) };
        let take = |stream, remote| shard.together.seat_out(&shard.realm(), stream, &pair(remote));
        let end = |stream| {
            shard.stream_down(shard.clock.now(), stream, Condition::RemoteServerTimeout, "over");
        };
        let (first, other) = (shard.mint_stream(), theirs().await);
        let seat = take(first, "plain.example").ok().unwrap();
        assert_eq!(take(other, "plain.example").err(), Some(NoPlace::Lender(first)));
        assert_eq!(take(shard.mint_stream(), "plain.example").err(), Some(NoPlace::Full(1)));
        end(first);
        assert_eq!(take(other, "plain.example").err(), Some(NoPlace::Soon));
        drop(seat);
        assert!(take(other, "plain.example").is_ok());
        // Half of four may be ours; one that is over is none of them.
        let (old, new) = (shard.mint_stream(), shard.mint_stream());
        let _seats = (take(old, "wide.example"), take(new, "wide.example"));
        assert_eq!(take(theirs().await, "wide.example").err(), Some(NoPlace::Lender(old)));
        end(old);
        assert!(take(theirs().await, "wide.example").is_ok());
    });
}

#[test]
fn no_number_is_one_for_each_core_and_none_is_more_than_32() {
    assert!((1..=SHARDS_MAX).contains(&count(0)));
    assert_eq!((count(1), count(4), count(32)), (1, 4, 32));
}
