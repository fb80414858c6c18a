//! Each effect of the gateway, done.

use super::Shard;
use crate::gateway::Input;
use crate::gateway::effect::Effect;
use crate::now::Now;
use crate::xmpp::{Condition, dialback};
use std::rc::Rc;

impl Shard {
    pub(super) fn perform_one(self: &Rc<Self>, now: Now, effect: Effect, octets: &[u8]) {
        match effect {
            Effect::XmppSend { stream, octets: range, mark } => {
                let conn = self.streams.borrow().get(&stream).cloned();
                if let Some(conn) = conn {
                    conn.send(now, octets.get(range).unwrap_or_default(), mark);
                    self.touch_stream(&conn);
                }
            }
            Effect::SipSend { link, to, octets: range } => {
                let octets = octets.get(range).unwrap_or_default();
                let conn = self.links.borrow().get(&link).cloned();
                if let Some(conn) = conn {
                    conn.send(octets);
                    self.touch_link(&conn);
                } else if let (Some(socket), Some(to)) = (self.udp.borrow().get(&link), to) {
                    socket.send(octets, to);
                }
            }
            Effect::MsrpDial(dial) => {
                tokio::task::spawn_local(super::super::msrp_conn::dial(self.clone(), *dial));
            }
            Effect::MsrpSend { conn, octets: range } => {
                if self.msrp.send(conn, octets.get(range).unwrap_or_default()) {
                    self.flush.notify_one();
                }
            }
            Effect::MsrpClose { conn } => self.msrp.close(conn, "closed"),
            Effect::Persist { ticket, changes } => self.tickets.persist(ticket, changes),
            Effect::Observe(observation) => (self.observer)(&observation),
            Effect::Tried { trial, outcome, took } => {
                if let Some(tell) = self.trials.borrow_mut().remove(&trial) {
                    // Who asked may have gone.
                    let _ = tell.send((outcome, took));
                }
            }
            Effect::XmppVerify { stream, verify } => {
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
            Effect::XmppClose { stream, condition } => {
                if let Some(conn) = self.stream(stream) {
                    conn.close(now, condition);
                }
            }
            Effect::SipClose { link } => {
                if let Some(conn) = self.links.borrow().get(&link) {
                    conn.io.kill("closed");
                }
            }
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
}
