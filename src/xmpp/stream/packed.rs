//! Stanzas on their way to another thread: they own their text, and keep their proof. One can be made of a
//! verified stanza alone, and gives nothing but that stanza back.

use crate::addr::Jid;
use crate::crossing::Verified;
use crate::xml::Tree;
use crate::xmpp::stanza::{Iq, Stanza, StanzaKind};

/// A verified message or presence.
#[derive(Debug)]
pub struct PackedStanza {
    kind: StanzaKind,
    from: Jid,
    to: Jid,
    tree: Tree,
}

impl PackedStanza {
    /// Packs `stanza`.
    pub fn new(stanza: Verified<Stanza<'_>>) -> Self {
        let Stanza { kind, from, to, element } = stanza.into_inner();
        Self { kind, from, to, tree: Tree::of(&element) }
    }

    /// Octets of its text, about.
    pub fn octets(&self) -> usize {
        self.tree.octets()
    }

    /// Hands the stanza over.
    pub fn open<T>(self, with: impl FnOnce(Verified<Stanza<'_>>) -> T) -> T {
        let Self { kind, from, to, tree } = self;
        with(Verified::prove(Stanza { kind, from, to, element: tree.element() }))
    }
}

/// A verified iq.
#[derive(Debug)]
pub struct PackedIq {
    from: Jid,
    to: Jid,
    tree: Tree,
}

impl PackedIq {
    /// Packs `iq`.
    pub fn new(iq: Verified<Iq<'_>>) -> Self {
        let Iq { from, to, element } = iq.into_inner();
        Self { from, to, tree: Tree::of(&element) }
    }

    /// Octets of its text, about.
    pub fn octets(&self) -> usize {
        self.tree.octets()
    }

    /// Hands the iq over.
    pub fn open<T>(self, with: impl FnOnce(Verified<Iq<'_>>) -> T) -> T {
        let Self { from, to, tree } = self;
        with(Verified::prove(Iq { from, to, element: tree.element() }))
    }
}
