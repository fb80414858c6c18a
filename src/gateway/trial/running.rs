//! The trials that run: how far each has come.

use super::{Stage, TrialId};
use crate::addr::Jid;
use crate::crossing::Kind;
use crate::ids::Id;
use crate::now::Mono;
use crate::policy::Reason;
use crate::sip::link::LinkId;
use crate::sip::subscription::Subscriber;
use crate::xmpp::error::Condition;
use std::collections::VecDeque;

/// A trial that runs.
pub(super) struct Running {
    pub(super) id: TrialId,
    pub(super) from: Jid,
    pub(super) to: Jid,
    pub(super) kind: Kind,
    pub(super) began: Mono,
    pub(super) until: Mono,
    pub(super) stage: Stage,
    /// The link that it came on, if it is a request.
    pub(super) link: Option<LinkId>,
    /// The id of its stanza, on whichever side that is.
    pub(super) stanza: Option<Box<str>>,
    /// The id of the ping.
    pub(super) ping: Option<Box<str>>,
    /// Our end of its dialog.
    pub(super) subscriber: Option<Subscriber>,
    /// Why the response is what it is.
    pub(super) why: Option<(Condition, String)>,
    pub(super) denied: Option<(Reason, Option<String>)>,
    /// It is answered: when that counts, if nothing else is heard.
    pub(super) answered: Option<Mono>,
}

/// All trials that run.
#[derive(Default)]
pub(in crate::gateway) struct Trials {
    pub(super) running: Vec<Running>,
    /// Ids of stanzas that went to partners.
    pub(super) ended: VecDeque<Box<str>>,
    pub(super) next: u32,
}

impl Trials {
    pub(in crate::gateway) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Was there never one, or is it long ago?
    pub(in crate::gateway) fn is_forgotten(&self) -> bool {
        self.running.is_empty() && self.ended.is_empty()
    }

    pub(super) fn find(&mut self, which: impl Fn(&Running) -> bool) -> Option<&mut Running> {
        self.running.iter_mut().find(|one| which(one))
    }

    /// Did a request of a trial come on `link`?
    pub(in crate::gateway) fn is_on(&self, link: LinkId) -> bool {
        self.running.iter().any(|one| one.link == Some(link))
    }

    /// The same, and is it about presence?
    pub(in crate::gateway) fn is_presence_on(&self, link: LinkId) -> bool {
        self.running.iter().any(|one| one.link == Some(link) && one.kind == Kind::Presence)
    }

    /// Is it a stanza of a trial?
    pub(in crate::gateway) fn has_stanza(&self, id: Option<&str>) -> bool {
        id.is_some() && self.running.iter().any(|one| one.stanza.as_deref() == id)
    }

    /// The request on `link` became a stanza.
    pub(in crate::gateway) fn on_bridged(&mut self, link: LinkId, id: &Id) {
        if let Some(one) = self.find(|one| one.link == Some(link)) {
            one.stanza = Some(id.as_str().into());
        }
    }

    /// Why the response that follows on `link` is what it is.
    pub(in crate::gateway) fn note(&mut self, link: LinkId, condition: Condition, why: &str) {
        if let Some(one) = self.find(|one| one.link == Some(link)) {
            one.why = Some((condition, why.to_owned()));
        }
    }

    /// The gate was shut.
    pub(in crate::gateway) fn on_denied(
        &mut self,
        from: &Jid,
        to: &Jid,
        reason: Reason,
        policy: Option<String>,
    ) {
        let same =
            |one: &Running| one.from.bare_str() == from.bare_str() && one.to.bare_str() == to.bare_str();
        if let Some(one) = self.find(same) {
            one.denied = Some((reason, policy));
        }
    }

    /// The next CSeq number of a trial's dialog.
    pub(in crate::gateway) fn next_cseq(&mut self, id: TrialId) -> Option<u32> {
        self.find(|one| one.id == id)?.subscriber.as_mut()?.next_cseq()
    }

    pub(in crate::gateway) fn is_running(&self, id: TrialId) -> bool {
        self.running.iter().any(|one| one.id == id)
    }
}
