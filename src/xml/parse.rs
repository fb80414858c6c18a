//! One whole element → a tree that borrows from it.
//!
//! quick-xml cuts the text into tags, attributes, text, references and CDATA, matches end tags to
//! start tags, makes line ends alike and resolves references. What it leaves to its caller is
//! checked here: characters, also those of references (XML 1.0 §2.2), names (§2.3), `<` in attribute
//! values and space between attributes (§3.1), `]]>` in text (§2.4), one root element, and the
//! constraints of Namespaces in XML 1.0. What XMPP forbids (RFC 6120 §11.1) is an error where it
//! stands; nothing is expanded but the five predefined entities and character references. The stack
//! is our own, so that depth costs no call frames.

use super::chars::{Makeup, is_char, is_ncname, is_space, makeup, same};
use super::element::{Attr, Element, Node};
use super::scope::{Ns, Scope};
use super::{Limits, XmlError, declaration, ns};
use memchr::{memchr, memchr_iter, memchr2, memmem};
use quick_xml::XmlVersion;
use quick_xml::errors::{Error, SyntaxError};
use quick_xml::escape::{EscapeError, ParseCharRefError, resolve_xml_entity};
use quick_xml::events::attributes::{Attribute, Attributes};
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::reader::Reader;
use std::borrow::Cow;
use std::num::IntErrorKind;
use std::sync::Arc;

/// Parses one stanza: `text` is one element from `<` to `>`, inside the stream of `scope`.
///
/// # Errors
/// Whatever RFC 6120 §11.1 and §11.3 refuse, and what exceeds `limits`.
pub fn parse<'a>(text: &'a str, scope: &Scope, limits: &Limits) -> Result<Element<'a>, XmlError> {
    Parser::new(text, scope, limits, Kind::Stanza)?.run()
}

/// Parses a document of its own, such as a SIP body: a byte order mark, an XML declaration,
/// comments, processing instructions and white space around the root element are passed over.
/// What encoding the declaration names is the caller's matter.
///
/// # Errors
/// As [`parse`]; document types and entities are refused here too.
pub fn document<'a>(text: &'a str, limits: &Limits) -> Result<Element<'a>, XmlError> {
    let text = text.strip_prefix(BOM).unwrap_or(text);
    Parser::new(text, &Scope::default(), limits, Kind::Document)?.run()
}

/// Parses the tag of a stream header as an element without children, and gives what it declares.
pub(super) fn open_tag<'a>(text: &'a str) -> Result<(Element<'a>, Scope), XmlError> {
    let (scope, limits) = (Scope::default(), Limits::default());
    let mut parser = Parser::new(text, &scope, &limits, Kind::Stanza)?;
    let mut element = match parser.next(0)? {
        Event::Start(tag) | Event::Empty(tag) => parser.start_tag(&tag, 0)?.element,
        Event::End(_) => return Err(XmlError::Tag),
        other => {
            parser.aside(&other, 0)?;
            return Err(XmlError::Truncated);
        }
    };
    if parser.position() != text.len() {
        return Err(XmlError::Trailing);
    }
    element.raw = text;
    let mut scope = Scope::default();
    for (prefix, ns) in parser.bindings {
        scope.bind(prefix, ns);
    }
    Ok((element, scope))
}

const BOM: char = '\u{FEFF}';

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stanza,
    Document,
}

/// An element whose end is still to come, and with it its source.
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
    makeup: Makeup,
    stack: Vec<Unclosed<'a>>,
    bindings: Vec<(&'a str, Ns<'a>)>,
    root: Option<Element<'a>>,
    nodes: usize,
}

impl<'a, 's> Parser<'a, 's> {
    fn new(text: &'a str, scope: &'s Scope, limits: &'s Limits, kind: Kind) -> Result<Self, XmlError> {
        let makeup = makeup(text).ok_or(XmlError::Character)?;
        // The reader would pass over it.
        if text.starts_with(BOM) {
            return Err(XmlError::Truncated);
        }
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.check_comments = true;
        // An end tag without a start tag is found by the stack.
        config.allow_unmatched_ends = true;
        Ok(Self {
            text,
            reader,
            scope,
            limits,
            kind,
            makeup,
            stack: Vec::new(),
            bindings: Vec::new(),
            root: None,
            nodes: 0,
        })
    }

    /// How many octets the reader has gone over.
    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    /// The event that starts at `from`, where the reader is.
    fn next(&mut self, from: usize) -> Result<Event<'a>, XmlError> {
        self.reader.read_event().map_err(|error| self.fault(from, &error))
    }

    fn run(mut self) -> Result<Element<'a>, XmlError> {
        loop {
            let from = self.position();
            let event = self.next(from)?;
            let outside = self.stack.is_empty();
            match event {
                Event::Start(_) | Event::Empty(_) if outside && self.root.is_some() => {
                    return Err(XmlError::Trailing);
                }
                Event::Start(tag) => {
                    let unclosed = self.start_tag(&tag, from)?;
                    self.stack.push(unclosed);
                }
                Event::Empty(tag) => {
                    let unclosed = self.start_tag(&tag, from)?;
                    self.close(unclosed);
                }
                Event::End(_) => match self.stack.pop() {
                    Some(unclosed) => self.close(unclosed),
                    None => return Err(self.misplaced()),
                },
                Event::Text(text) if outside => {
                    if self.kind == Kind::Stanza || !text.bytes().all(is_space) {
                        return Err(self.misplaced());
                    }
                }
                Event::CData(_) | Event::GeneralRef(_) if outside => return Err(self.misplaced()),
                Event::Text(text) => {
                    if self.makeup.cdata_end && memmem::find(text.as_bytes(), b"]]>").is_some() {
                        return Err(XmlError::CdataEnd);
                    }
                    self.push_text(if self.makeup.cr { text.xml10_content() } else { text.into_inner() })?;
                }
                Event::CData(text) => {
                    self.push_text(if self.makeup.cr { text.xml10_content() } else { text.into_inner() })?;
                }
                Event::GeneralRef(name) => self.push_text(reference(&name)?)?,
                Event::Eof if outside => return self.root.ok_or(XmlError::Truncated),
                Event::Eof => return Err(XmlError::Truncated),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {
                    self.aside(&event, from)?;
                }
            }
        }
    }

    /// Something other than an element stands beside the root element.
    fn misplaced(&self) -> XmlError {
        if self.root.is_none() { XmlError::Truncated } else { XmlError::Trailing }
    }

    /// Whether what is no content may stand at `from`.
    #[cold]
    fn aside(&self, event: &Event<'a>, from: usize) -> Result<(), XmlError> {
        let document = self.kind == Kind::Document;
        match event {
            Event::Comment(_) if document => Ok(()),
            Event::Comment(_) => Err(XmlError::Comment),
            Event::Decl(text) if document && from == 0 => {
                declaration::check(text.strip_prefix("xml").unwrap_or(text).as_bytes()).map(drop)
            }
            Event::Decl(_) => Err(XmlError::Declaration),
            Event::PI(text) if text.target().eq_ignore_ascii_case("xml") => Err(XmlError::Declaration),
            Event::PI(text) if document && is_ncname(text.target()) => Ok(()),
            Event::PI(_) => Err(XmlError::Instruction),
            Event::DocType(_) => Err(XmlError::Doctype),
            _ => Ok(()),
        }
    }

    fn counted(&mut self) -> Result<(), XmlError> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes { Err(XmlError::TooManyNodes) } else { Ok(()) }
    }

    /// Ends an element, the reader being behind it.
    fn close(&mut self, unclosed: Unclosed<'a>) {
        let Unclosed { mut element, from, outer } = unclosed;
        element.raw = self.text.get(from..self.position()).unwrap_or_default();
        self.bindings.truncate(outer);
        match self.stack.last_mut() {
            Some(parent) => parent.element.children.push(Node::Element(element)),
            None => self.root = Some(element),
        }
    }

    fn push_text(&mut self, text: Cow<'a, str>) -> Result<(), XmlError> {
        if text.is_empty() {
            return Ok(());
        }
        let position = self.position();
        let Some(parent) = self.stack.last_mut() else { return Err(self.misplaced()) };
        if let Some(Node::Text(before)) = parent.element.children.last_mut() {
            if let Cow::Borrowed(start) = *before {
                // Room for the rest of it, most likely.
                let rest = self.text.as_bytes().get(position..).unwrap_or_default();
                let rest = memchr(b'<', rest).unwrap_or_default();
                let mut whole = String::with_capacity(start.len() + text.len() + rest);
                whole.push_str(start);
                *before = Cow::Owned(whole);
            }
            before.to_mut().push_str(&text);
            return Ok(());
        }
        parent.element.children.push(Node::Text(text));
        self.counted()
    }

    /// Reads the start tag at `from`. Its declarations stay in `self.bindings`.
    fn start_tag(&mut self, tag: &BytesStart<'a>, from: usize) -> Result<Unclosed<'a>, XmlError> {
        self.counted()?;
        if self.stack.len() >= self.limits.depth {
            return Err(XmlError::TooDeep);
        }
        let outer = self.bindings.len();
        // What the event lends for its own life, the text has for longer.
        let inner = self.text.get(from + 1..from + 1 + tag.len()).unwrap_or_default();
        let full = inner.get(..tag.name().0.len()).unwrap_or_default();
        let Some((prefix, name)) = qname(full) else {
            // `<a/ >` has a good name, and then something wrong.
            let named = full.split_once('/').is_some_and(|(name, _)| qname(name).is_some());
            return Err(if named { XmlError::Tag } else { XmlError::Name });
        };
        let mut attrs = Vec::new();
        if inner.len() > full.len() && self.attributes(inner, full.len(), &mut attrs)? {
            self.resolve_attributes(&mut attrs)?;
        }
        let ns = self.resolve(prefix)?;
        let element = Element { prefix, name, ns, attrs, children: Vec::new(), raw: "" };
        Ok(Unclosed { element, from, outer })
    }

    /// Reads the attributes in `tag` behind its name into `attrs`, with their prefixes where their
    /// namespaces will be, and declarations into `self.bindings`. Tells whether there are prefixes.
    fn attributes(&mut self, tag: &'a str, name: usize, attrs: &mut Vec<Attr<'a>>) -> Result<bool, XmlError> {
        let outer = self.bindings.len();
        let (mut count, mut prefixed, mut behind) = (0, false, name);
        for attribute in Attributes::new(tag, name).with_checks(false) {
            count += 1;
            if count > self.limits.attributes {
                return Err(XmlError::TooManyAttributes);
            }
            let fault = || attribute_fault(tag.get(behind..).unwrap_or_default());
            let attribute = attribute.map_err(|_| fault())?;
            let (prefix, name) = qname(attribute.key.0).ok_or_else(fault)?;
            // The reader needs no space between two.
            if !tag.as_bytes().get(behind).copied().is_some_and(is_space) {
                return Err(fault());
            }
            behind = offset(tag, &attribute.value) + attribute.value.len() + 1;
            let value = self.value(&attribute)?;
            if prefix.is_empty() && name == "xmlns" {
                self.declare("", value, outer)?;
            } else if prefix == "xmlns" {
                self.declare(name, value, outer)?;
            } else {
                // Two prefixes of one namespace are found when they are resolved.
                if attrs.iter().any(|a| same(a.name, name) && same(a.ns.as_str(), prefix)) {
                    return Err(XmlError::DuplicateAttribute);
                }
                if attrs.is_empty() {
                    // No more of them than `=` in the tag.
                    attrs
                        .reserve_exact(memchr_iter(b'=', tag.as_bytes()).count().min(self.limits.attributes));
                }
                prefixed |= !prefix.is_empty();
                attrs.push(Attr { name, ns: Ns::Text(prefix), value });
            }
        }
        Ok(prefixed)
    }

    /// The value of an attribute: references resolved, white space made spaces (XML 1.0 §3.3.3).
    fn value(&self, attribute: &Attribute<'a>) -> Result<Cow<'a, str>, XmlError> {
        let raw = attribute.value.as_bytes();
        let special = memchr2(b'<', b'&', raw);
        if special.is_none() && !self.makeup.control {
            return Ok(attribute.value.clone());
        }
        if memchr(b'<', raw).is_some() {
            return Err(XmlError::Attribute);
        }
        let value = attribute.normalized_value_with(XmlVersion::Implicit1_0, 1, resolve_xml_entity);
        let value = value.map_err(|error| reference_fault(&error))?;
        // What stood there is known to be good, what references gave is not.
        if special.is_some() && !value.chars().all(is_char) {
            return Err(XmlError::Character);
        }
        Ok(value)
    }

    /// Namespaces in XML 1.0 §3, §5: what a declaration may say.
    fn declare(&mut self, prefix: &'a str, name: Cow<'a, str>, outer: usize) -> Result<(), XmlError> {
        if self.bindings.iter().skip(outer).any(|(bound, _)| same(bound, prefix)) {
            return Err(XmlError::DuplicateAttribute);
        }
        if prefix == "xml" {
            return if name == ns::XML { Ok(()) } else { Err(XmlError::Binding) };
        }
        let reserved = prefix == "xmlns" || name == ns::XML || name == ns::XMLNS;
        if reserved || (name.is_empty() && !prefix.is_empty()) {
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

    /// What the reader found wrong at `from`, in our words.
    #[cold]
    fn fault(&self, from: usize, error: &Error) -> XmlError {
        let outside = self.stack.is_empty();
        match self.text.get(from..).unwrap_or_default().as_bytes() {
            [b'<', b'!', b'[', b'C', b'D', b'A', b'T', b'A', b'[', ..] => {
                if outside {
                    self.misplaced()
                } else {
                    XmlError::Truncated
                }
            }
            [b'<', b'!', b'-', b'-', ..] => XmlError::Comment,
            [b'<', b'!', ..] => XmlError::Doctype,
            [b'<', b'?', ..] => XmlError::Instruction,
            [b'<', ..] if outside && self.root.is_some() => XmlError::Trailing,
            [b'<', b'/', ..] => XmlError::Tag,
            [b'<', ..] => match error {
                Error::Syntax(
                    SyntaxError::UnclosedSingleQuotedAttributeValue
                    | SyntaxError::UnclosedDoubleQuotedAttributeValue,
                ) => XmlError::Attribute,
                _ => XmlError::Truncated,
            },
            _ if outside => self.misplaced(),
            _ => XmlError::Reference,
        }
    }
}

/// Splits a QName (Namespaces in XML 1.0 §4) into prefix ("" if none) and local name; `None` if
/// `name` is none.
fn qname(name: &str) -> Option<(&str, &str)> {
    if is_ncname(name) {
        return Some(("", name));
    }
    name.split_once(':').filter(|(prefix, local)| is_ncname(prefix) && is_ncname(local))
}

/// Where `part` stands in the text that it was cut from.
fn offset(whole: &str, part: &str) -> usize {
    part.as_ptr().addr().saturating_sub(whole.as_ptr().addr())
}

/// What the reference `&name;` stands for: one of the five entities or a character (XML 1.0 §4.1).
fn reference(name: &BytesRef<'_>) -> Result<Cow<'static, str>, XmlError> {
    if let Some(text) = resolve_xml_entity(name) {
        return Ok(Cow::Borrowed(text));
    }
    match name.resolve_char_ref() {
        Ok(Some(c)) if is_char(c) => Ok(Cow::Owned(c.into())),
        Ok(Some(_)) => Err(XmlError::Character),
        Ok(None) => Err(unknown_entity(name)),
        Err(error) => Err(reference_fault(&error)),
    }
}

/// XML 1.0 lets colons into entity names, Namespaces in XML does not.
fn unknown_entity(name: &str) -> XmlError {
    if is_ncname(name) { XmlError::Entity } else { XmlError::Reference }
}

/// What is wrong with a reference that the reader could not resolve.
#[cold]
fn reference_fault(error: &Error) -> XmlError {
    match error {
        Error::Escape(EscapeError::UnrecognizedEntity(_, name)) => unknown_entity(name),
        Error::Escape(EscapeError::InvalidCharRef(fault)) => match fault {
            ParseCharRefError::InvalidCodepoint(_) | ParseCharRefError::IllegalCharacter(_) => {
                XmlError::Character
            }
            // Too many digits: no character has that number.
            ParseCharRefError::InvalidNumber(number) if *number.kind() == IntErrorKind::PosOverflow => {
                XmlError::Character
            }
            ParseCharRefError::InvalidNumber(_) | ParseCharRefError::UnexpectedSign => XmlError::Reference,
        },
        _ => XmlError::Reference,
    }
}

/// What is wrong with the attribute that `rest`, the rest of a tag, starts with.
#[cold]
fn attribute_fault(rest: &str) -> XmlError {
    let attribute = rest.trim_ascii_start();
    let name = attribute.split(|c: char| c == '=' || c.is_ascii_whitespace()).next().unwrap_or_default();
    if name.starts_with('/') {
        XmlError::Tag
    } else if attribute.len() == rest.len() || qname(name).is_some() {
        XmlError::Attribute
    } else {
        XmlError::Name
    }
}
