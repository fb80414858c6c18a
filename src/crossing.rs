//! A crossing: one item that goes over, as much of it as policy may know.
//!
//! [`Verified`] is an item whose sender is proven: the stream or link that it came on was
//! authenticated for the sender's domain. It is minted by `xmpp::stream` and `sip::uas` alone
//! (`tests/architecture.rs` reads the sources and holds this true). [`Crosses`] lets the gate read
//! the crossing from the very item that it judges, so the two cannot differ.

use crate::addr::Jid;

/// Which way an item goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From an XMPP partner to one of our SIP users.
    XmppToSip,
    /// From one of our SIP users to an XMPP partner.
    SipToXmpp,
}

/// What kind of item goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An instant message.
    Message,
    /// Presence: a notification, a probe or a subscription of any kind.
    Presence,
}

/// All that policy may know of an item. Addresses are canonical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossing<'a> {
    /// Who sent it, as proven by the stream or link.
    pub sender: &'a Jid,
    /// Whom it is for.
    pub target: &'a Jid,
    /// Which way it goes.
    pub direction: Direction,
    /// What it is.
    pub kind: Kind,
}

impl<'a> Crossing<'a> {
    /// The SIP user: the one that our policies and grants name.
    pub fn local(&self) -> &'a Jid {
        match self.direction {
            Direction::XmppToSip => self.target,
            Direction::SipToXmpp => self.sender,
        }
    }

    /// The XMPP contact: the one whose domain is a partner's.
    pub fn remote(&self) -> &'a Jid {
        match self.direction {
            Direction::XmppToSip => self.sender,
            Direction::SipToXmpp => self.target,
        }
    }
}

/// An item that says what crosses.
pub trait Crosses {
    /// The crossing that this item is.
    fn crossing(&self) -> Crossing<'_>;
}

/// An item whose sender is proven by the stream or link that it came on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// States that the sender of `item` is proven. Called in `xmpp::stream` and `sip::uas` alone.
    pub(crate) fn prove(item: T) -> Self {
        Self(item)
    }

    /// Gives the item up; what comes out can no longer be admitted.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> std::ops::Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
