//! Opening a stream: a place among the partner's, its server, TCP or TLS.

use super::{CONNECT_TIMEOUT, StreamConn, drive, run_secured, too_many};
use crate::addr::Domain;
use crate::gateway::Input;
use crate::net::shard::{NoPlace, Offer, Seat, Shard};
use crate::net::srv::Mode;
use crate::net::wire::Wire;
use crate::xmpp::{Condition, Need, Outcome, Pair, Purpose, Stream, StreamId, Terms, TlsMode, Verify};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;

/// How often it is looked whether a place is free that soon will be.
const SOON: Duration = Duration::from_millis(20);

/// Opens a stream for `pair`: finds the partner's server, connects, and runs it to its end.
pub async fn dial(
    shard: Rc<Shard>,
    id: StreamId,
    pair: Pair,
    purpose: Purpose,
    ask: Option<Verify>,
    terms: Terms,
    proxy: Option<(Domain, u16)>,
) {
    let failed = |condition: Condition, why: &str| {
        let now = shard.clock.now();
        if let Some(verify) = ask.clone() {
            shard.handle(now, Input::Verified(verify.answer(Outcome::Error(Condition::RemoteServerTimeout))));
        }
        shard.stream_down(now, id, condition, why);
    };
    if shard.closing.get() {
        return failed(Condition::RemoteServerTimeout, "shutting down");
    }
    let _counted = shard.together.xmpp_open.clone();
    let limit = shard.together.limits().xmpp;
    // One is ours.
    if shard.together.xmpp_open.reaches(limit.saturating_add(1)) {
        return failed(
            Condition::ResourceConstraint,
            &format!("[xmpp] connection_limit, {limit}, is reached"),
        );
    }
    // A stream that only asks about a key is not counted: without it no other would be proven.
    let _seat = match purpose {
        Purpose::Verify => None,
        Purpose::Send => match place(&shard, id, &pair).await {
            Ok(Some(place)) => Some(place),
            Ok(None) => return,
            Err(limit) => return failed(Condition::ResourceConstraint, &too_many(limit)),
        },
    };
    let targets = match shard.dialer.locate_xmpp(&pair.remote, proxy, shard.seed_ids()).await {
        Ok(targets) => targets,
        Err(error) => {
            let condition = error.condition();
            return failed(condition, &error.to_string());
        }
    };
    let mut last = None;
    for target in targets {
        // A place and an address may have been long in coming.
        if shard.closing.get() {
            last = Some("shutting down".to_owned());
            break;
        }
        if target.mode == Mode::DirectTls && terms.tls == Need::NotSupported {
            last = Some(format!("{}: only over TLS, which the terms exclude", target.host));
            continue;
        }
        let outcome = match target.mode {
            Mode::StartTls => match shard.dialer.edge.dial(target.addr, CONNECT_TIMEOUT).await {
                Ok(socket) => Ok(Ok(socket)),
                Err(error) => Err(error),
            },
            Mode::DirectTls => match shard.dialer.xmpp_client(&pair, true, &terms) {
                Ok((config, name)) => {
                    shard.dialer.edge.dial_tls(target.addr, config, name, CONNECT_TIMEOUT).await.map(Err)
                }
                Err(error) => return failed(Condition::RemoteServerTimeout, &error),
            },
        };
        let open = |mode| {
            let (realm, now) = (shard.realm(), shard.clock.now());
            let mut machine = Stream::initiating(id, realm.xmpp(), pair.clone(), purpose, mode, &terms, now);
            // The tables may have been loaded anew since the dial was asked for.
            machine.handle_reload(&*realm);
            machine
        };
        let asking = |mut machine: Stream| {
            if let Some(verify) = ask.clone()
                && let Err((_, verify)) = machine.verify(shard.clock.now(), verify)
            {
                let answer = verify.answer(Outcome::Error(Condition::RemoteServerTimeout));
                shard.handle(shard.clock.now(), Input::Verified(answer));
            }
            machine
        };
        match outcome {
            Ok(Ok(socket)) => {
                let Ok(socket) = TcpStream::from_std(socket) else { continue };
                let (read, write) = socket.into_split();
                let machine = asking(open(TlsMode::StartTls));
                let conn = StreamConn::new(
                    id,
                    target.addr,
                    shard.clock.now().mono,
                    machine,
                    Some(pair),
                    Wire::new(write, None),
                );
                return drive(shard, conn, read).await;
            }
            Ok(Err(secured)) => {
                let machine = asking(open(TlsMode::Direct));
                return run_secured(shard, id, target.addr, machine, Some(pair), secured).await;
            }
            Err(error) => last = Some(format!("{}: {error}", target.host)),
        }
    }
    let why = last.unwrap_or_else(|| "no server to connect to".to_owned());
    failed(Condition::RemoteServerTimeout, &why);
}

/// A place among the partner's streams for one that we are about to open; None if that of another shard is used.
///
/// # Errors
/// There is none: how many streams the partner may have.
async fn place(shard: &Rc<Shard>, id: StreamId, pair: &Pair) -> Result<Option<(Offer, Seat)>, usize> {
    loop {
        match shard.together.seat_out(&shard.realm(), id, pair) {
            Ok(seat) => return Ok(Some((shard.offer(id), seat))),
            Err(NoPlace::Full(limit)) => return Err(limit),
            Err(NoPlace::Soon) => tokio::time::sleep(SOON).await,
            Err(NoPlace::Lender(lender)) if shard.borrow_stream(id, lender).await => return Ok(None),
            // It ended meanwhile, and gives up its place.
            Err(NoPlace::Lender(_)) => tokio::task::yield_now().await,
        }
    }
}
