//! What the world has seen.

use super::super::texts::Sent;
use super::{Seen, World};
use crate::gateway::effect::LinkId;
use crate::xmpp::StreamId;
use std::collections::VecDeque;
use std::net::SocketAddr;

impl World {
    /// No stanza and no SIP message was sent since somebody looked.
    #[track_caller]
    pub(in crate::gateway::tests) fn assert_nothing_sent(&self) {
        let sent = self.seen.iter().any(|seen| matches!(seen, Seen::Sip(_) | Seen::Xmpp { .. }));
        assert!(!sent, "{:#?}", self.seen);
    }

    /// No SIP message was sent since somebody looked.
    #[track_caller]
    pub(in crate::gateway::tests) fn assert_no_sip(&self) {
        assert!(!self.seen.iter().any(|seen| matches!(seen, Seen::Sip(_))), "{:#?}", self.seen);
    }

    /// The SIP messages that were sent since somebody looked.
    pub(in crate::gateway::tests) fn take_sip(&mut self) -> Vec<Sent> {
        let (taken, left) = self.seen.drain(..).partition(|seen| matches!(seen, Seen::Sip(_)));
        self.seen = left;
        let of = |seen| match seen {
            Seen::Sip(sent) => sent,
            _ => unreachable!(),
        };
        VecDeque::into_iter(taken).map(of).collect()
    }

    /// The one SIP message.
    #[track_caller]
    pub(in crate::gateway::tests) fn one_sip(&mut self) -> Sent {
        let mut sent = self.take_sip();
        assert_eq!(sent.len(), 1, "{sent:#?}");
        sent.remove(0)
    }

    /// The statuses that the peer got.
    pub(in crate::gateway::tests) fn statuses(&mut self) -> Vec<u16> {
        self.take_sip().iter().filter_map(Sent::status).collect()
    }

    /// The stanzas that were sent since somebody looked.
    pub(in crate::gateway::tests) fn take_xmpp(&mut self) -> Vec<String> {
        let mut taken = Vec::new();
        self.seen.retain(|seen| match seen {
            Seen::Xmpp { text, .. } => {
                taken.push(text.clone());
                false
            }
            _ => true,
        });
        taken
    }

    #[track_caller]
    pub(in crate::gateway::tests) fn one_xmpp(&mut self) -> String {
        let mut sent = self.take_xmpp();
        assert_eq!(sent.len(), 1, "{sent:#?}");
        sent.remove(0)
    }

    /// The stream of the only dial.
    #[track_caller]
    pub(in crate::gateway::tests) fn dialled_stream(&mut self) -> StreamId {
        match self.seen.pop_front() {
            Some(Seen::DialXmpp { stream, .. }) => stream,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(in crate::gateway::tests) fn dialled_link(&mut self) -> (LinkId, SocketAddr) {
        match self.seen.pop_front() {
            Some(Seen::DialSip { link, address }) => (link, address),
            other => panic!("{other:?}"),
        }
    }

    /// Nothing waits, nothing is remembered of what was answered.
    #[track_caller]
    pub(in crate::gateway::tests) fn assert_quiet(&mut self) {
        let gateway = &self.gateway;
        assert!(gateway.is_quiet(), "{} wait", gateway.waiting());
        assert!(gateway.targets.is_empty() && gateway.queued == 0);
        assert!(!gateway.servers.any(|one| one.is_owed()), "a request is not answered");
    }
}
