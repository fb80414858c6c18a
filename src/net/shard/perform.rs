//! Each effect of the gateway, done.

use super::Shard;
use super::hops::Parcel;
use crate::gateway::Input;
use crate::gateway::effect::{Effect, LinkId};
use crate::ids::shard_of;
use crate::msrp::ConnId;
use crate::now::Now;
use crate::xmpp::{Condition, Purpose, StreamId, Verify, dialback};
use std::net::SocketAddr;
use std::rc::Rc;

impl Shard {
    pub(super) fn perform_one(self: &Rc<Self>, now: Now, effect: Effect, octets: &[u8]) {
        match effect {
            Effect::XmppSend { stream, octets: range, mark } => {
                self.xmpp_send(now, stream, None, octets.get(range).unwrap_or_default(), mark);
            }
            Effect::SipSend { link, to, octets: range } => {
                self.sip_send(link, to, octets.get(range).unwrap_or_default());
            }
            Effect::MsrpDial(dial) => {
                tokio::task::spawn_local(super::super::msrp_conn::dial(self.clone(), *dial));
            }
            Effect::MsrpSend { conn, octets: range } => {
                self.msrp_send(conn, octets.get(range).unwrap_or_default());
            }
            Effect::MsrpClose { conn } => self.release_msrp(conn),
            Effect::Persist { ticket, changes } => self.tickets.persist(ticket, changes),
            Effect::Observe(observation) => (self.observer)(&observation),
            Effect::Tried { trial, outcome, took } => {
                if let Some(tell) = self.trials.borrow_mut().remove(&trial) {
                    // Who asked may have gone.
                    let _ = tell.send((outcome, took));
                }
            }
            Effect::XmppVerify { stream, verify } => {
                if self.lender_of(stream).is_some() {
                    return self.verify_anew(verify);
                }
                let answer = match self.stream(stream) {
                    Some(conn) => conn.verify(now, verify),
                    None => Some(verify.answer(dialback::Outcome::Error(Condition::RemoteServerTimeout))),
                };
                if let Some(answer) = answer {
                    let shard = self.clone();
                    tokio::task::spawn_local(async move {
                        shard.handle(shard.clock.now(), Input::Verified(answer))
                    });
                }
            }
            Effect::XmppVerified { stream, answer } => {
                if let Some(conn) = self.stream(stream) {
                    conn.verified(now, answer);
                }
            }
            Effect::XmppJudge => {
                let realm = self.realm();
                for conn in self.all_streams() {
                    conn.reload(&realm);
                }
            }
            Effect::XmppClose { stream, condition } => match self.stream(stream) {
                Some(conn) => conn.close(now, condition),
                None => match (condition, self.lender_of(stream)) {
                    // The partner does not read: what we have sent there must not come late.
                    (Some(condition), Some(lender)) => self.hand(shard_of(lender.0), move |shard| {
                        if let Some(conn) = shard.stream(lender) {
                            conn.close(shard.clock.now(), Some(condition));
                        }
                    }),
                    _ => self.give_back(stream),
                },
            },
            Effect::SipClose { link } => self.sip_close(link),
            Effect::DialXmpp { stream, pair, purpose, ask, terms, proxy } => {
                let shard = self.clone();
                tokio::task::spawn_local(super::super::xmpp_conn::dial(
                    shard, stream, pair, purpose, ask, terms, proxy,
                ));
            }
            Effect::Locate { peer } => {
                tokio::task::spawn_local(super::super::sip_conn::locate(self.clone(), peer));
            }
            Effect::DialSip { link, peer, target } => {
                tokio::task::spawn_local(super::super::sip_conn::dial(self.clone(), link, peer, target));
            }
        }
    }
    /// Appends stanzas to a stream that we opened, for whoever has it as `by`. A borrowed one is its lender's.
    pub(super) fn xmpp_send(
        &self,
        now: Now,
        stream: StreamId,
        by: Option<StreamId>,
        octets: &[u8],
        mark: u64,
    ) {
        let conn = self.streams.borrow().get(&stream).cloned();
        if let Some(conn) = conn {
            conn.send(now, octets, by, mark);
            self.touch_stream(&conn);
        } else if let Some(lender) = self.lender_of(stream) {
            let by = stream;
            self.post_to(lender.0, octets, |octets| Parcel::XmppSend { lender, by, octets, mark });
        }
    }

    /// Asks about a key on a stream of its own: a borrowed one is for stanzas alone.
    fn verify_anew(self: &Rc<Self>, verify: Verify) {
        let route = self.gateway().route_to(verify.pair.remote.as_str());
        let Some((terms, proxy)) = route else {
            let answer = verify.answer(dialback::Outcome::Error(Condition::RemoteServerTimeout));
            let shard = self.clone();
            tokio::task::spawn_local(async move { shard.handle(shard.clock.now(), Input::Verified(answer)) });
            return;
        };
        let (stream, pair) = (self.mint_stream(), verify.pair.clone());
        let ask = Some(verify);
        let purpose = Purpose::Verify;
        tokio::task::spawn_local(super::super::xmpp_conn::dial(
            self.clone(),
            stream,
            pair,
            purpose,
            ask,
            terms,
            proxy,
        ));
    }

    /// Appends a message to a link, or sends it from a UDP socket. Where the link is another shard's, it goes
    /// there.
    pub(super) fn sip_send(&self, link: LinkId, to: Option<SocketAddr>, octets: &[u8]) {
        let conn = self.links.borrow().get(&link).cloned();
        if let Some(conn) = conn {
            conn.send(octets);
            self.touch_link(&conn);
        } else if let (Some(socket), Some(to)) = (self.udp.borrow().get(&link), to) {
            socket.send(octets, to);
        } else {
            self.post_to(link.0, octets, |octets| Parcel::SipSend { link, to, octets });
        }
    }

    pub(super) fn sip_close(&self, link: LinkId) {
        match self.links.borrow().get(&link) {
            Some(conn) => conn.io.kill("closed"),
            None => self.post_to(link.0, b"", |_| Parcel::SipClose { link }),
        }
    }

    /// Our switch is done with a connection.
    pub(in crate::net) fn release_msrp(&self, conn: ConnId) {
        let shard = self.place.shard();
        self.msrp.release(conn, shard);
        self.post_to(conn.0, b"", |_| Parcel::MsrpClose { conn, by: shard });
    }

    pub(super) fn msrp_send(&self, conn: ConnId, octets: &[u8]) {
        if self.msrp.send(conn, octets) {
            self.flush.notify_one();
        }
        self.post_to(conn.0, octets, |octets| Parcel::MsrpSend { conn, octets });
    }
}
