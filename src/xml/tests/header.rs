//! The stream header and what its stanzas inherit from it.

use crate::xml::{Condition, Limits, Scope, XmlError, ns, parse, parse_open};

const HEADER: &str = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' \
    xmlns:db='jabber:server:dialback' from='a.example' to='b.example' id='x&amp;y' version='1.0' xml:lang='en'>";

#[test]
fn a_header_gives_its_attributes_and_bindings() {
    let open = parse_open(HEADER).unwrap();
    assert_eq!(open.from(), Some("a.example"));
    assert_eq!(open.to(), Some("b.example"));
    assert_eq!(open.id(), Some("x&y"));
    assert_eq!(open.version(), Some("1.0"));
    assert_eq!(open.lang(), Some("en"));
    assert_eq!(open.default_ns(), ns::SERVER);
    assert_eq!(open.prefix(), "stream");
    assert!(open.has_dialback());
    assert_eq!(open.scope(), &Scope::server());
}

#[test]
fn stanzas_inherit_the_bindings_of_the_header() {
    let header = HEADER.replace(
        "xmlns:db='jabber:server:dialback'",
        "xmlns:x='urn:x' xmlns:dialback='jabber:server:dialback'",
    );
    let open = parse_open(&header).unwrap();
    assert!(!open.has_dialback());
    let scope = open.into_scope();
    let parsed = |text| parse(text, &scope, &Limits::default());
    assert!(parsed("<message/>").unwrap().is("message", ns::SERVER));
    assert!(parsed("<stream:error/>").unwrap().is("error", ns::STREAMS));
    assert!(parsed("<dialback:result/>").unwrap().is("result", ns::DIALBACK));
    assert_eq!(parsed("<a x:b='1'/>").unwrap().attr_ns("b", "urn:x"), Some("1"));
    assert_eq!(parsed("<db:result/>"), Err(XmlError::Unbound));
    // A stanza's own declarations win, and end with it.
    assert!(parsed("<x:a xmlns:x='urn:y'/>").unwrap().is("a", "urn:y"));
    assert!(parsed("<a xmlns='urn:y'/>").unwrap().is("a", "urn:y"));
    assert!(parsed("<a xmlns=''/>").unwrap().is("a", ""));
    assert_eq!(scope.bindings().count(), 4);
}

#[test]
fn the_stream_namespace_may_be_the_default() {
    let open = parse_open("<stream xmlns='http://etherx.jabber.org/streams' to='b.example'>").unwrap();
    assert_eq!((open.default_ns(), open.prefix(), open.id()), (ns::STREAMS, "", None));
    let scope = open.into_scope();
    let message =
        parse("<message xmlns='jabber:server'><body>x</body></message>", &scope, &Limits::default()).unwrap();
    assert!(message.child("body", ns::SERVER).is_some());
    // And another prefix may stand for it: RFC 6120 §4.8.5 lets us accept that.
    assert_eq!(
        parse_open(&HEADER.replace("stream:", "s:").replace(":stream=", ":s=")).unwrap().prefix(),
        "s"
    );
}

#[test]
fn threat_019_another_root_element_is_an_invalid_namespace_or_bad_format() {
    for bad in [
        "<stream>",
        "<html>",
        "<stream:stream xmlns:stream='http://wrong.namespace.example.org/'>",
        "<stream:stream xmlns:stream='http://etherx.jabber.org/streams/'>",
        "<stream xmlns='jabber:server'>",
    ] {
        assert_eq!(parse_open(bad).map(|_| ()), Err(XmlError::StreamNamespace), "{bad}");
    }
    assert_eq!(XmlError::StreamNamespace.condition().name(), "invalid-namespace");
    let other = "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>";
    assert_eq!(parse_open(other).map(|_| ()), Err(XmlError::NotAStream));
    assert_eq!(XmlError::NotAStream.condition(), Condition::BadFormat);
}

#[test]
fn check_119_a_malformed_header_is_not_well_formed() {
    for (bad, error) in [
        ("<stream:stream>", XmlError::Unbound),
        ("<stream:stream xmlns:stream=''>", XmlError::Binding),
        ("<stream:stream a='1' a='2'>", XmlError::DuplicateAttribute),
        ("<stream:stream a=1>", XmlError::Attribute),
        ("<stream:stream a='&x;'>", XmlError::Entity),
        ("<stream:stream a='\u{1}'>", XmlError::Character),
        ("<1>", XmlError::Name),
        ("<>", XmlError::Name),
        ("< stream>", XmlError::Name),
        ("</stream>", XmlError::Tag),
        ("<stream", XmlError::Truncated),
        ("<a><b>", XmlError::Trailing),
        ("x", XmlError::Truncated),
        ("", XmlError::Truncated),
        ("<!-- c -->", XmlError::Comment),
        ("<?pi?>", XmlError::Instruction),
        ("<!DOCTYPE a>", XmlError::Doctype),
        ("<![CDATA[x]]>", XmlError::Truncated),
    ] {
        assert_eq!(parse_open(bad).map(|_| ()), Err(error), "{bad}");
    }
}

#[test]
fn an_empty_header_parses() {
    assert!(parse_open(&HEADER.replace("'en'>", "'en'/>")).is_ok());
}
