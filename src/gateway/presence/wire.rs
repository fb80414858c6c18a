//! Presence stanzas that go out.

use super::super::TablePartners;
use super::super::pairs::{Awaits, Pairs};
use super::watches::WatchRef;
use crate::addr::Jid;
use crate::bridge::presence::{Envelope, Resource};
use crate::gateway::effect::{Due, Effects};
use crate::now::Now;
use crate::policy::Table;
use crate::xml::write;
use crate::xmpp::error::Condition;

/// What sending a stanza needs, while a watch is borrowed.
pub(super) struct Wire<'g> {
    pub(super) now: Now,
    pub(super) pairs: &'g mut Pairs,
    pub(super) effects: &'g mut Effects,
    pub(super) due: &'g mut Vec<Due>,
    pub(super) table: &'g Table,
    /// Whose stanzas these are: it hears of those that are not delivered.
    pub(super) watch: WatchRef,
}

impl Wire<'_> {
    /// What `resource` shows, to the watcher.
    pub(super) fn resource(&mut self, envelope: &Envelope<'_>, resource: &Resource) -> Result<(), Condition> {
        let start = self.effects.mark();
        resource.write_presence(envelope, self.effects.buffer());
        self.send(envelope.user, envelope.watcher, start)
    }

    /// A presence of a type of its own from bare JID to bare JID.
    pub(super) fn plain(
        &mut self,
        from: &Jid,
        to: &Jid,
        type_: &'static str,
        id: Option<&str>,
    ) -> Result<(), Condition> {
        let start = self.effects.mark();
        write::open(self.effects.buffer(), "presence")
            .attr("from", from.bare_str())
            .attr("to", to.bare_str())
            .attr("type", type_)
            .attr_opt("id", id)
            .empty();
        self.send(from, to, start)
    }

    /// What was written since `start`.
    pub(super) fn send(&mut self, from: &Jid, to: &Jid, start: usize) -> Result<(), Condition> {
        let pair = (from.domain(), to.domain());
        let awaits = Some(Awaits::Watch(self.watch));
        let partners = TablePartners(self.table);
        self.pairs.send(self.now, pair, start, awaits, &partners, self.effects, self.due)
    }
}
