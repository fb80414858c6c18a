//! One whole element → a tree that borrows from it.
//!
//! One pass over text that is all there, with a stack of its own, so that depth costs no call
//! frames. What is checked: characters (XML 1.0 §2.2), names (§2.3), attribute syntax and values
//! (§3.1, §3.3.3), `]]>` (§2.4), references (§4.1), matching tags, and the constraints of Namespaces
//! in XML 1.0. What XMPP forbids (RFC 6120 §11.1) is an error where it starts; nothing is expanded
//! but the five predefined entities and character references.

use super::chars::{
    Makeup, attribute_value, character_data, is_space, line_ends, makeup, ncname_len, qname, same,
};
use super::element::{Attr, Element, Node};
use super::scope::{Ns, Scope};
use super::{Limits, XmlError, declaration, ns};
use memchr::{memchr, memmem};
use std::borrow::Cow;
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
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    Parser::new(text, &Scope::default(), limits, Kind::Document)?.run()
}

/// Parses the tag of a stream header as an element without children, and gives what it declares.
pub(super) fn open_tag<'a>(text: &'a str) -> Result<(Element<'a>, Scope), XmlError> {
    let (scope, limits) = (Scope::default(), Limits::default());
    let mut parser = Parser::new(text, &scope, &limits, Kind::Stanza)?;
    match text.as_bytes() {
        [b'<', b'!' | b'?', ..] => parser.markup()?,
        [b'<', b'/', ..] => return Err(XmlError::Tag),
        [b'<', ..] => {}
        _ => return Err(XmlError::Truncated),
    }
    let (unclosed, _) = parser.start_tag()?;
    if parser.at != text.len() {
        return Err(XmlError::Trailing);
    }
    let mut scope = Scope::default();
    for (prefix, ns) in parser.bindings {
        scope.bind(prefix, ns);
    }
    Ok((unclosed.close(Vec::new(), text), scope))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stanza,
    Document,
}

/// An element whose end is still to come.
struct Unclosed<'a> {
    prefix: &'a str,
    name: &'a str,
    ns: Ns<'a>,
    attrs: Vec<Attr<'a>>,
    /// Where its `<` stands.
    from: usize,
    /// Octets of its name with the prefix.
    name_len: usize,
    /// How many bindings were in force outside of it.
    outer: usize,
    /// Where its children start in [`Parser::nodes`].
    children: usize,
}

impl<'a> Unclosed<'a> {
    fn close(self, children: Vec<Node<'a>>, raw: &'a str) -> Element<'a> {
        Element { prefix: self.prefix, name: self.name, ns: self.ns, attrs: self.attrs, children, raw }
    }
}

struct Parser<'a, 's> {
    text: &'a str,
    at: usize,
    scope: &'s Scope,
    limits: &'s Limits,
    kind: Kind,
    makeup: Makeup,
    stack: Vec<Unclosed<'a>>,
    bindings: Vec<(&'a str, Ns<'a>)>,
    /// Children of all unclosed elements, the innermost last: each gets a vector of the right size.
    nodes: Vec<Node<'a>>,
    /// Attributes of the tag at hand, for the same reason.
    attrs: Vec<Attr<'a>>,
    count: usize,
}

impl<'a, 's> Parser<'a, 's> {
    fn new(text: &'a str, scope: &'s Scope, limits: &'s Limits, kind: Kind) -> Result<Self, XmlError> {
        Ok(Self {
            text,
            at: 0,
            scope,
            limits,
            kind,
            makeup: makeup(text).ok_or(XmlError::Character)?,
            stack: Vec::new(),
            bindings: Vec::new(),
            nodes: Vec::with_capacity(8),
            attrs: Vec::with_capacity(8),
            count: 0,
        })
    }

    /// The octet at `at`; 0, which no text has in it, behind the end.
    fn octet(&self, at: usize) -> u8 {
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    fn slice(&self, from: usize, to: usize) -> &'a str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// Where `needle` starts at `from` or later.
    fn find(&self, from: usize, needle: &[u8]) -> Option<usize> {
        let rest = self.text.as_bytes().get(from..)?;
        memmem::find(rest, needle).map(|n| from + n)
    }

    fn skip_space(&mut self) {
        while is_space(self.octet(self.at)) {
            self.at += 1;
        }
    }

    fn run(mut self) -> Result<Element<'a>, XmlError> {
        loop {
            match (self.octet(self.at), self.octet(self.at + 1)) {
                (b'<', b'/') => self.end_tag()?,
                (b'<', b'!' | b'?') => self.markup()?,
                (b'<', _) if self.stack.is_empty() && !self.nodes.is_empty() => {
                    return Err(XmlError::Trailing);
                }
                (b'<', _) => {
                    let (unclosed, empty) = self.start_tag()?;
                    if empty {
                        self.close(unclosed);
                    } else {
                        self.stack.push(unclosed);
                    }
                }
                _ if !self.stack.is_empty() => self.character_data()?,
                (0, _) => break,
                (b, _) if self.kind == Kind::Document && is_space(b) => self.skip_space(),
                _ => return Err(self.misplaced()),
            }
        }
        match self.nodes.pop() {
            Some(Node::Element(root)) => Ok(root),
            Some(Node::Text(_)) | None => Err(XmlError::Truncated),
        }
    }

    /// Something other than an element stands beside the root element.
    fn misplaced(&self) -> XmlError {
        if self.nodes.is_empty() { XmlError::Truncated } else { XmlError::Trailing }
    }

    fn counted(&mut self) -> Result<(), XmlError> {
        self.count += 1;
        if self.count > self.limits.nodes { Err(XmlError::TooManyNodes) } else { Ok(()) }
    }

    /// Ends an element, `self.at` being behind it.
    fn close(&mut self, unclosed: Unclosed<'a>) {
        let raw = self.slice(unclosed.from, self.at);
        self.bindings.truncate(unclosed.outer);
        let children = self.nodes.drain(unclosed.children..).collect();
        self.nodes.push(Node::Element(unclosed.close(children, raw)));
    }

    fn end_tag(&mut self) -> Result<(), XmlError> {
        let unclosed = self.stack.pop().ok_or_else(|| self.misplaced())?;
        let name = self.slice(unclosed.from + 1, unclosed.from + 1 + unclosed.name_len);
        let from = self.at + 2;
        self.at = from + unclosed.name_len;
        if !same(self.slice(from, self.at), name) {
            return Err(XmlError::Tag);
        }
        self.skip_space();
        if self.octet(self.at) != b'>' {
            return Err(XmlError::Tag);
        }
        self.at += 1;
        self.close(unclosed);
        Ok(())
    }

    /// Text and references up to the next markup.
    fn character_data(&mut self) -> Result<(), XmlError> {
        let rest = self.slice(self.at, self.text.len());
        let raw = self.slice(self.at, self.at + memchr(b'<', rest.as_bytes()).ok_or(XmlError::Truncated)?);
        if self.makeup.cdata_end && memmem::find(raw.as_bytes(), b"]]>").is_some() {
            return Err(XmlError::CdataEnd);
        }
        self.at += raw.len();
        self.push_text(character_data(raw, &self.makeup)?)
    }

    fn push_text(&mut self, text: Cow<'a, str>) -> Result<(), XmlError> {
        if text.is_empty() {
            return Ok(());
        }
        let first = self.stack.last().map_or(0, |parent| parent.children);
        if let Some(Node::Text(before)) = self.nodes.get_mut(first..).and_then(<[Node<'a>]>::last_mut) {
            before.to_mut().push_str(&text);
            return Ok(());
        }
        self.counted()?;
        self.nodes.push(Node::Text(text));
        Ok(())
    }

    /// `<!` and `<?`: CDATA, and what is refused in a stanza.
    fn markup(&mut self) -> Result<(), XmlError> {
        let rest = self.slice(self.at, self.text.len());
        let document = self.kind == Kind::Document;
        let end = if rest.starts_with("<![CDATA[") {
            if self.stack.is_empty() {
                return Err(self.misplaced());
            }
            let end = self.find(self.at + 9, b"]]>").ok_or(XmlError::Truncated)?;
            self.push_text(line_ends(self.slice(self.at + 9, end), &self.makeup))?;
            end + 3
        } else if rest.starts_with("<!--") {
            // The first `--` must be that of `-->` (XML 1.0 §2.5).
            let end = self.find(self.at + 4, b"--").filter(|&end| document && self.octet(end + 2) == b'>');
            end.ok_or(XmlError::Comment)? + 3
        } else if rest.starts_with("<?") {
            let target = self.slice(self.at + 2, self.at + 2 + ncname_len(self.text, self.at + 2));
            let end = self.find(self.at + 2, b"?>").ok_or(XmlError::Instruction)?;
            let behind = self.at + 2 + target.len();
            if target.eq_ignore_ascii_case("xml") {
                if !document || self.at != 0 || target != "xml" {
                    return Err(XmlError::Declaration);
                }
                declaration::check(self.slice(behind, end).as_bytes())?;
            } else if !document || target.is_empty() || !(behind == end || is_space(self.octet(behind))) {
                return Err(XmlError::Instruction);
            }
            end + 2
        } else {
            return Err(XmlError::Doctype);
        };
        self.at = end;
        Ok(())
    }

    /// Reads a start tag; whether it is an empty element. Declarations stay in `self.bindings`.
    fn start_tag(&mut self) -> Result<(Unclosed<'a>, bool), XmlError> {
        self.counted()?;
        if self.stack.len() >= self.limits.depth {
            return Err(XmlError::TooDeep);
        }
        let (from, outer, children) = (self.at, self.bindings.len(), self.nodes.len());
        let (prefix, name, name_len) = qname(self.text, from + 1).ok_or(XmlError::Name)?;
        self.at = from + 1 + name_len;
        let prefixed = self.attributes(outer)?;
        let empty = self.octet(self.at) == b'/';
        self.at += usize::from(empty);
        match self.octet(self.at) {
            b'>' => self.at += 1,
            0 => return Err(XmlError::Truncated),
            _ => return Err(XmlError::Tag),
        }
        let ns = self.resolve(prefix)?;
        if prefixed {
            self.resolve_attributes()?;
        }
        let attrs = self.attrs.drain(..).collect();
        Ok((Unclosed { prefix, name, ns, attrs, from, name_len, outer, children }, empty))
    }

    /// Reads attributes into `self.attrs`, with their prefixes where their namespaces will be, and
    /// declarations into `self.bindings`, up to the end of the tag. Tells whether there are prefixes.
    fn attributes(&mut self, outer: usize) -> Result<bool, XmlError> {
        let mut count = 0;
        let mut prefixed = false;
        loop {
            let before = self.at;
            self.skip_space();
            if matches!(self.octet(self.at), b'>' | b'/' | 0) {
                return Ok(prefixed);
            }
            if self.at == before {
                // Behind a name, it makes the name a bad one; behind a value, space is missing.
                return Err(if count == 0 { XmlError::Name } else { XmlError::Attribute });
            }
            count += 1;
            if count > self.limits.attributes {
                return Err(XmlError::TooManyAttributes);
            }
            let (prefix, name, len) = qname(self.text, self.at).ok_or(XmlError::Name)?;
            self.at += len;
            self.skip_space();
            if self.octet(self.at) != b'=' {
                return Err(XmlError::Attribute);
            }
            self.at += 1;
            self.skip_space();
            let quote = self.octet(self.at);
            if quote != b'"' && quote != b'\'' {
                return Err(XmlError::Attribute);
            }
            let (value, end) = attribute_value(self.text, self.at + 1, quote, &self.makeup)?;
            self.at = end + 1;
            if prefix.is_empty() && name == "xmlns" {
                self.declare("", value, outer)?;
            } else if prefix == "xmlns" {
                self.declare(name, value, outer)?;
            } else {
                // Two prefixes of one namespace are found when they are resolved.
                if self.attrs.iter().any(|a| same(a.name, name) && same(a.ns.as_str(), prefix)) {
                    return Err(XmlError::DuplicateAttribute);
                }
                prefixed |= !prefix.is_empty();
                self.attrs.push(Attr { name, ns: Ns::Text(prefix), value });
            }
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
    fn resolve_attributes(&mut self) -> Result<(), XmlError> {
        let mut attrs = std::mem::take(&mut self.attrs);
        for at in 0..attrs.len() {
            let (before, rest) = attrs.split_at_mut(at);
            let Some(attr) = rest.first_mut().filter(|a| !a.ns.as_str().is_empty()) else { continue };
            attr.ns = self.resolve(attr.ns.as_str())?;
            if before.iter().any(|a| same(a.name, attr.name) && a.ns == attr.ns) {
                return Err(XmlError::DuplicateAttribute);
            }
        }
        self.attrs = attrs;
        Ok(())
    }
}
