//! One whole element → a tree that borrows from it.
//!
//! quick-xml cuts the text into tags, text, references and CDATA and matches end tags to start
//! tags. Everything else is checked here: characters (XML 1.0 §2.2), names (§2.3), attribute syntax
//! and values (§3.1, §3.3.3), `]]>` (§2.4), references (§4.1), and the constraints of Namespaces in
//! XML 1.0. The tree is built with a stack of its own, so that depth costs no call frames.

use super::chars::{Makeup, attribute_value, is_space, line_ends, makeup, qname, reference, same};
use super::element::{Attr, Element, Node};
use super::scope::{Ns, Scope};
use super::{Limits, XmlError, ns};
use memchr::memmem;
use quick_xml::errors::{Error, IllFormedError, SyntaxError};
use quick_xml::events::Event;
use quick_xml::reader::Reader;
use std::borrow::Cow;
use std::sync::Arc;

/// Parses one stanza: `text` is one element from `<` to `>`, inside the stream of `scope`.
///
/// # Errors
/// Whatever RFC 6120 §11.1 and §11.3 refuse, and what exceeds `limits`.
pub fn parse<'a>(text: &'a str, scope: &Scope, limits: &Limits) -> Result<Element<'a>, XmlError> {
    if !text.starts_with('<') {
        return Err(XmlError::Truncated);
    }
    Parser::new(text, scope, limits, Kind::Stanza)?.run()
}

/// Parses a document of its own, such as a SIP body: a byte order mark, an XML declaration,
/// comments, processing instructions and white space around the root element are passed over.
///
/// # Errors
/// As [`parse`]; document types and entities are refused here too.
pub fn document<'a>(text: &'a str, limits: &Limits) -> Result<Element<'a>, XmlError> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    if !text.starts_with(|c: char| c == '<' || c.is_ascii_whitespace()) {
        return Err(XmlError::Truncated);
    }
    Parser::new(text, &Scope::default(), limits, Kind::Document)?.run()
}

/// Parses the tag of a stream header as an element without children, and gives what it declares.
pub(super) fn open_tag<'a>(text: &'a str) -> Result<(Element<'a>, Scope), XmlError> {
    let (scope, limits) = (Scope::default(), Limits::default());
    if !text.starts_with('<') {
        return Err(XmlError::Truncated);
    }
    let mut parser = Parser::new(text, &scope, &limits, Kind::Stanza)?;
    let (tag, empty) = match parser.reader.read_event().map_err(fault)? {
        Event::Start(_) => (parser.since(0)?, false),
        Event::Empty(_) => (parser.since(0)?, true),
        Event::Comment(_) => return Err(XmlError::Comment),
        Event::PI(_) => return Err(XmlError::Instruction),
        Event::Decl(_) => return Err(XmlError::Declaration),
        Event::DocType(_) => return Err(XmlError::Doctype),
        Event::End(_) | Event::Text(_) | Event::CData(_) | Event::GeneralRef(_) | Event::Eof => {
            return Err(XmlError::Tag);
        }
    };
    if tag.len() != text.len() {
        return Err(XmlError::Trailing);
    }
    let mut element = parser.start(tag, empty)?;
    element.raw = text;
    let mut scope = Scope::default();
    for (prefix, ns) in parser.bindings {
        scope.bind(prefix, ns);
    }
    Ok((element, scope))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stanza,
    Document,
}

/// An element whose end tag is still to come.
struct Unclosed<'a> {
    element: Element<'a>,
    /// Where its `<` stands.
    from: usize,
    /// How many bindings were in force outside of it.
    outer: usize,
}

struct Parser<'a, 's> {
    text: &'a str,
    reader: Reader<&'a [u8]>,
    scope: &'s Scope,
    limits: &'s Limits,
    kind: Kind,
    stack: Vec<Unclosed<'a>>,
    bindings: Vec<(&'a str, Ns<'a>)>,
    nodes: usize,
    makeup: Makeup,
}

impl<'a, 's> Parser<'a, 's> {
    fn new(text: &'a str, scope: &'s Scope, limits: &'s Limits, kind: Kind) -> Result<Self, XmlError> {
        Ok(Self {
            text,
            reader: Reader::from_str(text),
            scope,
            limits,
            kind,
            stack: Vec::new(),
            bindings: Vec::new(),
            nodes: 0,
            makeup: makeup(text).ok_or(XmlError::Character)?,
        })
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    /// What the reader went over since `from`.
    fn since(&self, from: usize) -> Result<&'a str, XmlError> {
        self.text.get(from..self.position()).ok_or(XmlError::Truncated)
    }

    fn run(mut self) -> Result<Element<'a>, XmlError> {
        let mut root = None;
        loop {
            let from = self.position();
            let event = self.reader.read_event().map_err(fault)?;
            let token = self.since(from)?;
            // What may stand around the root element of a document.
            let outside = self.stack.is_empty();
            match event {
                Event::Start(_) | Event::Empty(_) if root.is_some() => return Err(XmlError::Trailing),
                Event::Start(_) => {
                    let outer = self.bindings.len();
                    let element = self.start(token, false)?;
                    self.stack.push(Unclosed { element, from, outer });
                }
                Event::Empty(_) => {
                    let outer = self.bindings.len();
                    let mut element = self.start(token, true)?;
                    element.raw = token;
                    self.bindings.truncate(outer);
                    self.close(element, &mut root);
                }
                Event::End(_) => {
                    let Unclosed { mut element, from, outer } = self.stack.pop().ok_or(XmlError::Tag)?;
                    element.raw = self.since(from)?;
                    self.bindings.truncate(outer);
                    self.close(element, &mut root);
                }
                Event::Text(_) if outside => {
                    let space = self.kind == Kind::Document && token.bytes().all(is_space);
                    if !space {
                        return Err(if root.is_some() { XmlError::Trailing } else { XmlError::Truncated });
                    }
                }
                Event::CData(_) | Event::GeneralRef(_) if outside => {
                    return Err(if root.is_some() { XmlError::Trailing } else { XmlError::Truncated });
                }
                Event::Text(_) => {
                    if self.makeup.cdata_end && memmem::find(token.as_bytes(), b"]]>").is_some() {
                        return Err(XmlError::CdataEnd);
                    }
                    self.push_text(line_ends(token, &self.makeup))?;
                }
                Event::CData(_) => {
                    let inner = token.strip_prefix("<![CDATA[").and_then(|t| t.strip_suffix("]]>"));
                    self.push_text(line_ends(inner.ok_or(XmlError::Tag)?, &self.makeup))?;
                }
                Event::GeneralRef(_) => {
                    let name = token.strip_prefix('&').and_then(|t| t.strip_suffix(';'));
                    self.push_char(reference(name.ok_or(XmlError::Reference)?)?)?;
                }
                Event::Comment(_) if self.kind == Kind::Stanza => return Err(XmlError::Comment),
                Event::PI(_) if self.kind == Kind::Stanza => return Err(XmlError::Instruction),
                Event::Comment(_) | Event::PI(_) => {}
                Event::Decl(_) if self.kind == Kind::Stanza || from != 0 => {
                    return Err(XmlError::Declaration);
                }
                Event::Decl(_) => {}
                Event::DocType(_) => return Err(XmlError::Doctype),
                Event::Eof if self.stack.is_empty() => return root.ok_or(XmlError::Truncated),
                Event::Eof => return Err(XmlError::Truncated),
            }
        }
    }

    fn close(&mut self, element: Element<'a>, root: &mut Option<Element<'a>>) {
        match self.stack.last_mut() {
            Some(parent) => parent.element.children.push(Node::Element(element)),
            None => *root = Some(element),
        }
    }

    fn count(&mut self) -> Result<(), XmlError> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes { Err(XmlError::TooManyNodes) } else { Ok(()) }
    }

    fn push_text(&mut self, text: Cow<'a, str>) -> Result<(), XmlError> {
        if text.is_empty() {
            return Ok(());
        }
        if let Some(Node::Text(before)) = self.last_node() {
            before.to_mut().push_str(&text);
            return Ok(());
        }
        self.count()?;
        self.push_node(Node::Text(text))
    }

    fn push_char(&mut self, c: char) -> Result<(), XmlError> {
        if let Some(Node::Text(before)) = self.last_node() {
            before.to_mut().push(c);
            return Ok(());
        }
        self.count()?;
        self.push_node(Node::Text(Cow::Owned(c.into())))
    }

    fn last_node(&mut self) -> Option<&mut Node<'a>> {
        self.stack.last_mut()?.element.children.last_mut()
    }

    fn push_node(&mut self, node: Node<'a>) -> Result<(), XmlError> {
        self.stack.last_mut().ok_or(XmlError::Truncated)?.element.children.push(node);
        Ok(())
    }

    /// Reads a start tag. Its declarations stay in `self.bindings`.
    fn start(&mut self, tag: &'a str, empty: bool) -> Result<Element<'a>, XmlError> {
        self.count()?;
        if self.stack.len() >= self.limits.depth {
            return Err(XmlError::TooDeep);
        }
        let end = if empty { "/>" } else { ">" };
        let inner = tag.strip_prefix('<').and_then(|t| t.strip_suffix(end)).ok_or(XmlError::Tag)?;
        let (prefix, name, len) = qname(inner).ok_or(XmlError::Name)?;
        let rest = inner.get(len..).unwrap_or_default();
        let (mut attrs, mut prefixed) = (Vec::new(), false);
        match rest.as_bytes() {
            [] => {}
            [b, ..] if is_space(*b) => prefixed = self.attributes(rest, &mut attrs)?,
            // Neither space nor part of a name: the name is a bad one.
            _ => return Err(XmlError::Name),
        }
        let ns = self.resolve(prefix)?;
        if prefixed {
            self.resolve_attributes(&mut attrs)?;
        }
        Ok(Element { prefix, name, ns, attrs, children: Vec::new(), raw: tag })
    }

    /// Reads attributes into `attrs`, with their prefixes where their namespaces will be, and
    /// declarations into `self.bindings`. Tells whether there are prefixes.
    fn attributes(&mut self, mut rest: &'a str, attrs: &mut Vec<Attr<'a>>) -> Result<bool, XmlError> {
        let outer = self.bindings.len();
        let mut count = 0;
        let mut prefixed = false;
        loop {
            let behind = rest.trim_ascii_start();
            if behind.is_empty() {
                return Ok(prefixed);
            }
            if behind.len() == rest.len() {
                return Err(XmlError::Attribute);
            }
            count += 1;
            if count > self.limits.attributes {
                return Err(XmlError::TooManyAttributes);
            }
            let (prefix, name, len) = qname(behind).ok_or(XmlError::Name)?;
            let behind = behind.get(len..).unwrap_or_default().trim_ascii_start();
            let behind = behind.strip_prefix('=').ok_or(XmlError::Attribute)?.trim_ascii_start();
            let quote = *behind.as_bytes().first().ok_or(XmlError::Attribute)?;
            if quote != b'"' && quote != b'\'' {
                return Err(XmlError::Attribute);
            }
            let (value, behind) = attribute_value(behind.get(1..).unwrap_or_default(), quote, &self.makeup)?;
            match (prefix, name) {
                ("", "xmlns") => self.declare("", value, outer)?,
                ("xmlns", prefix) => self.declare(prefix, value, outer)?,
                _ => {
                    // Two prefixes of one namespace are found when they are resolved.
                    if attrs.iter().any(|a| same(a.name, name) && same(a.ns.as_str(), prefix)) {
                        return Err(XmlError::DuplicateAttribute);
                    }
                    if attrs.is_empty() {
                        // No more of them than `=` in what is left.
                        let most = rest.bytes().filter(|&b| b == b'=').count();
                        attrs.reserve_exact(most.min(self.limits.attributes));
                    }
                    prefixed |= !prefix.is_empty();
                    attrs.push(Attr { name, ns: Ns::Text(prefix), value });
                }
            }
            rest = behind;
        }
    }

    /// Namespaces in XML 1.0 §3, §5: what a declaration may say.
    fn declare(&mut self, prefix: &'a str, name: Cow<'a, str>, outer: usize) -> Result<(), XmlError> {
        if self.bindings.iter().skip(outer).any(|(bound, _)| same(bound, prefix)) {
            return Err(XmlError::DuplicateAttribute);
        }
        if prefix == "xml" {
            return if name == ns::XML { Ok(()) } else { Err(XmlError::Binding) };
        }
        if prefix == "xmlns"
            || name == ns::XML
            || name == ns::XMLNS
            || (name.is_empty() && !prefix.is_empty())
        {
            return Err(XmlError::Binding);
        }
        if self.bindings.len() >= self.limits.bindings {
            return Err(XmlError::TooManyBindings);
        }
        let name = match name {
            Cow::Borrowed(name) => Ns::Text(name),
            Cow::Owned(name) => Ns::Shared(Arc::from(name)),
        };
        self.bindings.push((prefix, name));
        Ok(())
    }

    fn resolve(&self, prefix: &str) -> Result<Ns<'a>, XmlError> {
        if let Some((_, name)) = self.bindings.iter().rev().find(|(bound, _)| same(bound, prefix)) {
            return Ok(name.clone());
        }
        match prefix {
            "xml" => Ok(Ns::Text(ns::XML)),
            _ => match self.scope.find(prefix) {
                Some(name) => Ok(name.clone()),
                None if prefix.is_empty() => Ok(Ns::NONE),
                None => Err(XmlError::Unbound),
            },
        }
    }

    /// Puts namespaces where [`Parser::attributes`] left prefixes.
    fn resolve_attributes(&self, attrs: &mut [Attr<'a>]) -> Result<(), XmlError> {
        for at in 0..attrs.len() {
            let (before, rest) = attrs.split_at_mut(at);
            let Some(attr) = rest.first_mut().filter(|a| !a.ns.as_str().is_empty()) else { continue };
            attr.ns = self.resolve(attr.ns.as_str())?;
            if before.iter().any(|a| same(a.name, attr.name) && a.ns == attr.ns) {
                return Err(XmlError::DuplicateAttribute);
            }
        }
        Ok(())
    }
}

/// What the reader found wrong, in our words.
fn fault(error: Error) -> XmlError {
    match error {
        Error::IllFormed(IllFormedError::UnclosedReference) => XmlError::Reference,
        Error::IllFormed(IllFormedError::DoubleHyphenInComment) => XmlError::Comment,
        Error::IllFormed(IllFormedError::MissingDoctypeName) => XmlError::Doctype,
        Error::Syntax(SyntaxError::UnclosedComment) => XmlError::Comment,
        Error::Syntax(SyntaxError::UnclosedDoctype | SyntaxError::InvalidBangMarkup) => XmlError::Doctype,
        Error::Syntax(SyntaxError::UnclosedPI | SyntaxError::UnclosedXmlDecl) => XmlError::Instruction,
        _ => XmlError::Tag,
    }
}
