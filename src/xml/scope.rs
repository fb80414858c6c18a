//! Namespace bindings: those a stream header leaves to its stanzas, and the names they bind to.

use super::chars::same;
use super::ns;
use std::fmt;
use std::sync::Arc;

/// A namespace name: from the source, well-known, or shared when it had to be made.
#[derive(Clone)]
pub(super) enum Ns<'a> {
    Text(&'a str),
    Shared(Arc<str>),
}

impl<'a> Ns<'a> {
    pub(super) const NONE: Ns<'static> = Ns::Text("");

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Shared(text) => text,
        }
    }

    /// The same name without a borrow: well-known ones cost nothing.
    pub(super) fn into_static(self) -> Ns<'static> {
        match self {
            Self::Text(text) => {
                match [ns::SERVER, ns::STREAMS, ns::DIALBACK, ns::CLIENT].iter().find(|k| **k == text) {
                    Some(known) => Ns::Text(known),
                    None if text.is_empty() => Ns::NONE,
                    None => Ns::Shared(Arc::from(text)),
                }
            }
            Self::Shared(text) => Ns::Shared(text),
        }
    }
}

impl fmt::Debug for Ns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl PartialEq for Ns<'_> {
    fn eq(&self, other: &Self) -> bool {
        same(self.as_str(), other.as_str())
    }
}

impl Eq for Ns<'_> {}

/// The bindings in force around a stanza: the stream header's default namespace and prefixes
/// (RFC 6120 §4.8). [`Scope::default`] binds nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The default namespace has the empty prefix.
    bindings: Vec<(Box<str>, Ns<'static>)>,
}

impl Scope {
    /// What the usual header between servers binds: `jabber:server` as default, `stream`, `db`.
    pub fn server() -> Self {
        let bind = |prefix: &str, ns| (Box::from(prefix), Ns::Text(ns));
        Self { bindings: vec![bind("", ns::SERVER), bind("stream", ns::STREAMS), bind("db", ns::DIALBACK)] }
    }

    pub(super) fn bind(&mut self, prefix: &str, ns: Ns<'_>) {
        self.bindings.push((Box::from(prefix), ns.into_static()));
    }

    /// The namespace that `prefix` is bound to; the empty prefix asks for the default namespace.
    pub fn lookup(&self, prefix: &str) -> Option<&str> {
        self.find(prefix).map(Ns::as_str)
    }

    pub(super) fn find(&self, prefix: &str) -> Option<&Ns<'static>> {
        self.bindings.iter().find(|(bound, _)| same(bound, prefix)).map(|(_, ns)| ns)
    }

    /// Every binding, the empty prefix for the default namespace, in the order of the header.
    pub fn bindings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.bindings.iter().map(|(prefix, ns)| (&**prefix, ns.as_str()))
    }
}
