//! An element that owns its text: for one that has to outlive the stream's buffer, to go to another thread.

use super::element::{Attr, Element, Node};
use super::scope::Ns;
use std::borrow::Cow;

/// An element and all that is in it, and the source of the whole. Prefixes are left behind, and the sources of its
/// parts: it means the same without (see [`Element`]).
#[derive(Clone, Debug)]
pub struct Tree {
    name: Box<str>,
    ns: Ns<'static>,
    attrs: Vec<(Box<str>, Ns<'static>, Box<str>)>,
    children: Vec<Child>,
    /// Empty for what is inside.
    raw: Box<str>,
}

#[derive(Clone, Debug)]
enum Child {
    Tree(Tree),
    Text(Box<str>),
}

impl Tree {
    /// A copy of `element`.
    pub fn of(element: &Element<'_>) -> Self {
        Self { raw: element.raw.into(), ..Self::inside(element) }
    }

    fn inside(element: &Element<'_>) -> Self {
        let attr =
            |attr: &Attr<'_>| (attr.name.into(), attr.ns.clone().into_static(), attr.value.as_ref().into());
        let child = |node: &Node<'_>| match node {
            Node::Element(element) => Child::Tree(Self::inside(element)),
            Node::Text(text) => Child::Text(text.as_ref().into()),
        };
        Self {
            name: element.name.into(),
            ns: element.ns.clone().into_static(),
            attrs: element.attrs.iter().map(attr).collect(),
            children: element.children.iter().map(child).collect(),
            raw: Box::default(),
        }
    }

    /// Octets of its source, names, values and text.
    pub fn octets(&self) -> usize {
        let attrs = self.attrs.iter().map(|(name, _, value)| name.len() + value.len());
        let children = self.children.iter().map(|child| match child {
            Child::Tree(tree) => tree.octets(),
            Child::Text(text) => text.len(),
        });
        attrs.chain(children).fold(self.raw.len() + self.name.len(), usize::saturating_add)
    }

    /// The element again, which borrows from this.
    pub fn element<'t>(&'t self) -> Element<'t> {
        let attr = |(name, ns, value): &'t (Box<str>, Ns<'static>, Box<str>)| Attr {
            name,
            ns: ns.clone(),
            value: Cow::Borrowed(value),
        };
        let child = |child: &'t Child| match child {
            Child::Tree(tree) => Node::Element(tree.element()),
            Child::Text(text) => Node::Text(Cow::Borrowed(text)),
        };
        Element {
            prefix: "",
            name: &self.name,
            ns: self.ns.clone(),
            attrs: self.attrs.iter().map(attr).collect(),
            children: self.children.iter().map(child).collect(),
            raw: &self.raw,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::xml::{Limits, Scope, parse};

    #[test]
    fn a_tree_means_what_its_element_meant() {
        for text in [
            "<message from='a@b' xml:lang='de'><body>Gr\u{fc}\u{df}e &amp; mehr</body> <x xmlns='urn:x' y:z='1' \
             xmlns:y='urn:y'><y:w><![CDATA[<]]>&#xA;</y:w></x></message>",
            "<presence/>",
            "<message><html xmlns='http://jabber.org/protocol/xhtml-im'><p>a<b>c</b>d</p></html></message>",
        ] {
            let element = parse(text, &Scope::server(), &Limits::default()).unwrap();
            let tree = std::thread::scope(|scope| scope.spawn(|| Tree::of(&element)).join().unwrap());
            assert_eq!(tree.element(), element);
            assert_eq!(tree.element().raw(), text, "who watches sees what came");
        }
    }

    #[test]
    fn a_tree_weighs_what_its_source_and_its_text_weigh() {
        let octets =
            |text: &str| Tree::of(&parse(text, &Scope::server(), &Limits::default()).unwrap()).octets();
        let text = "<message a='12'><body>345</body></message>";
        assert_eq!(octets(text), text.len() + "messagea12body345".len());
    }
}
