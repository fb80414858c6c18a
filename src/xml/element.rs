//! The tree of one stanza. It borrows from the stanza's text, and owns only what had to be resolved.

use super::chars::same;
use super::ns;
use super::scope::Ns;
use std::borrow::Cow;

/// An element. Two are equal when they mean the same: prefixes and [`Element::raw`] do not count.
#[derive(Clone, Debug)]
pub struct Element<'a> {
    pub(super) prefix: &'a str,
    pub(super) name: &'a str,
    pub(super) ns: Ns<'a>,
    pub(super) attrs: Vec<Attr<'a>>,
    pub(super) children: Vec<Node<'a>>,
    pub(super) raw: &'a str,
}

/// A child of an element. Neighbouring text, references and CDATA are one `Text`, never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node<'a> {
    /// An element.
    Element(Element<'a>),
    /// Character data, references resolved, line ends as `\n`.
    Text(Cow<'a, str>),
}

/// An attribute that is no namespace declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attr<'a> {
    pub(super) name: &'a str,
    pub(super) ns: Ns<'a>,
    pub(super) value: Cow<'a, str>,
}

impl PartialEq for Element<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.ns == other.ns
            && self.attrs == other.attrs
            && self.children == other.children
    }
}

impl Eq for Element<'_> {}

impl Attr<'_> {
    /// The local name.
    pub fn name(&self) -> &str {
        self.name
    }

    /// The namespace name, "" for an attribute without a prefix.
    pub fn ns(&self) -> &str {
        self.ns.as_str()
    }

    /// The value after normalisation (XML 1.0 §3.3.3).
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl<'a> Element<'a> {
    /// The local name.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// The prefix as it was written, "" if none. Meaningful only for RFC 6120 §4.8.5 and dialback.
    pub fn prefix(&self) -> &'a str {
        self.prefix
    }

    /// The exact namespace name, "" for none.
    pub fn ns(&self) -> &str {
        self.ns.as_str()
    }

    /// Whether the element has this local name in this namespace.
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.ns.as_str() == ns
    }

    /// The value of the attribute `name` that has no namespace.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attr_ns(name, "")
    }

    /// The value of the attribute `name` in `ns`.
    pub fn attr_ns(&self, name: &str, ns: &str) -> Option<&str> {
        self.attrs.iter().find(|a| same(a.name, name) && same(a.ns.as_str(), ns)).map(|a| &*a.value)
    }

    /// The element's own `xml:lang`; what it inherits is the caller's to know.
    pub fn lang(&self) -> Option<&str> {
        self.attr_ns("lang", ns::XML)
    }

    /// The attributes in their order, namespace declarations left out.
    pub fn attrs(&self) -> &[Attr<'a>] {
        &self.attrs
    }

    /// The child elements and text in their order.
    pub fn nodes(&self) -> &[Node<'a>] {
        &self.children
    }

    /// The child elements.
    pub fn children(&self) -> impl Iterator<Item = &Element<'a>> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first child of that name in that namespace.
    pub fn child(&self, name: &str, ns: &str) -> Option<&Element<'a>> {
        self.children().find(|child| child.is(name, ns))
    }

    /// The direct text, concatenated: borrowed unless child elements stand between.
    pub fn text(&self) -> Cow<'_, str> {
        let mut texts = self.children.iter().filter_map(|node| match node {
            Node::Text(text) => Some(&**text),
            Node::Element(_) => None,
        });
        let first = texts.next().unwrap_or_default();
        match texts.next() {
            None => Cow::Borrowed(first),
            Some(second) => Cow::Owned([first, second].into_iter().chain(texts).collect()),
        }
    }

    /// The source of the element, from `<` to `>`. It may lean on declarations around it.
    pub fn raw(&self) -> &'a str {
        self.raw
    }
}
