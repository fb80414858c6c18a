//! The parser: what the tree says, what is refused and how, and the limits.

use super::stanza;
use crate::xml::{Condition, Element, Limits, Node, Scope, XmlError, document, ns, parse};
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// Each text is refused with this error, whose condition is `condition`.
fn refused(condition: &str, cases: &[(&str, XmlError)]) {
    for (text, error) in cases {
        assert_eq!(stanza(text), Err(*error), "{text:?}");
        assert_eq!(error.condition().name(), condition, "{text:?}");
    }
}

#[test]
fn a_message_parses() {
    let text = "<message from='a@x' to=\"b@y\" xml:lang='en' lang='de'><body>Hi &amp; &#x263A;</body>\
        <active xmlns='urn:a'/><p:x xmlns:p='urn:p' p:k='v'/> t<e/>u</message>";
    let message = stanza(text).unwrap();
    assert!(
        message.is("message", ns::SERVER)
            && !message.is("message", ns::CLIENT)
            && !message.is("iq", ns::SERVER)
    );
    assert_eq!((message.name(), message.ns(), message.prefix()), ("message", ns::SERVER, ""));
    assert_eq!(
        (message.attr("from"), message.attr("to"), message.attr("id")),
        (Some("a@x"), Some("b@y"), None)
    );
    // xml:lang is no attribute of ours by the name of lang.
    assert_eq!((message.lang(), message.attr("lang")), (Some("en"), Some("de")));
    let names: Vec<_> = message.attrs().iter().map(|a| (a.ns(), a.name(), a.value())).collect();
    assert_eq!(names, [("", "from", "a@x"), ("", "to", "b@y"), (ns::XML, "lang", "en"), ("", "lang", "de")]);
    let body = message.child("body", ns::SERVER).unwrap();
    assert_eq!(body.text(), "Hi & \u{263A}");
    assert_eq!(body.raw(), "<body>Hi &amp; &#x263A;</body>");
    assert_eq!(message.raw(), text);
    assert!(message.child("active", "urn:a").is_some() && message.child("active", ns::SERVER).is_none());
    let x = message.child("x", "urn:p").unwrap();
    assert_eq!((x.prefix(), x.attr_ns("k", "urn:p"), x.attr("k")), ("p", Some("v"), None));
    assert_eq!(message.children().map(Element::name).collect::<Vec<_>>(), ["body", "active", "x", "e"]);
    assert_eq!(message.nodes().len(), 6);
    assert_eq!(message.text(), " tu");
}

#[test]
fn what_needs_no_change_is_borrowed() {
    let message = stanza("<message a='b c'><body>plain ] text</body></message>").unwrap();
    let [Node::Element(body)] = message.nodes() else { panic!("{message:?}") };
    assert!(matches!(body.nodes(), [Node::Text(Cow::Borrowed("plain ] text"))]));
    assert!(matches!(body.text(), Cow::Borrowed(_)));
    assert!(matches!(stanza("<a>x<b/>y</a>").unwrap().text(), Cow::Owned(text) if text == "xy"));
    assert_eq!(stanza("<a/>").unwrap().text(), "");
}

#[test]
fn equal_elements_may_be_spelled_otherwise() {
    let a = stanza("<p:a xmlns:p='urn:x' b='&#65;'><![CDATA[t]]></p:a>").unwrap();
    assert_eq!(a, stanza("<a xmlns='urn:x' b=\"A\">t</a>").unwrap());
    for other in [
        "<a b='A'>t</a>",
        "<a xmlns='urn:x' b='A'>u</a>",
        "<a xmlns='urn:x' b='B'>t</a>",
        "<b xmlns='urn:x' b='A'>t</b>",
    ] {
        assert_ne!(a, stanza(other).unwrap());
    }
}

#[test]
fn threat_020_cdata_and_character_references_are_plain_text() {
    for (text, body) in [
        ("<a><![CDATA[<b>&amp;</b>]]></a>", "<b>&amp;</b>"),
        ("<a>x<![CDATA[y]]>z</a>", "xyz"),
        ("<a><![CDATA[]]]]><![CDATA[>]]></a>", "]]>"),
        ("<a>&#60;&#x3e;&#x1F600;</a>", "<>\u{1F600}"),
        ("<a>]]&gt;</a>", "]]>"),
        ("<a>&amp;lt;</a>", "&lt;"),
        ("<a>x\r\ny\rz&#13;</a>", "x\ny\nz\r"),
        ("<a><![CDATA[x\r\ny]]>\r&amp;\r\n</a>", "x\ny\n&\n"),
    ] {
        let element = stanza(text).unwrap();
        assert!(matches!(element.nodes(), [Node::Text(text)] if text == body), "{text}: {element:?}");
    }
    assert!(stanza("<a><![CDATA[]]></a>").unwrap().nodes().is_empty());
}

#[test]
fn attribute_values_are_normalised() {
    for (text, value) in [
        ("<a b='x\ty\nz\r\nu\rv'/>", "x y z u v"),
        ("<a b='&#9;&#10;&#13;&#32;'/>", "\t\n\r "),
        ("<a b='&lt;&gt;&amp;&quot;&apos;'/>", "<>&\"'"),
        ("<a b='  x  '/>", "  x  "),
        ("<a b='>]]>\"'/>", ">]]>\""),
    ] {
        assert_eq!(stanza(text).unwrap().attr("b"), Some(value), "{text}");
    }
}

// The rows of what quick-xml leaves to its caller, and what else a lenient parser lets through.

#[test]
fn check_120_references_beyond_the_five_are_restricted() {
    refused(
        "restricted-xml",
        &[
            ("<a>&nbsp;</a>", XmlError::Entity),
            ("<a>&x;</a>", XmlError::Entity),
            ("<a b='&x;'/>", XmlError::Entity),
            ("<a>&AMP;</a>", XmlError::Entity),
            ("<a><!-- c --></a>", XmlError::Comment),
            ("<!-- c --><a/>", XmlError::Comment),
            ("<a/><!-- c -->", XmlError::Comment),
            ("<a><?pi?></a>", XmlError::Instruction),
            ("<?pi?><a/>", XmlError::Instruction),
            ("<!DOCTYPE a><a/>", XmlError::Doctype),
            ("<a><!x></a>", XmlError::Doctype),
        ],
    );
    // A declaration is no instruction, but has no place in a stanza.
    assert_eq!(stanza("<?xml version='1.0'?><a/>"), Err(XmlError::Declaration));
}

#[test]
fn threat_011_an_entity_bomb_never_goes_off() {
    let bomb = "<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;'>]><a>&b;&b;&b;</a>";
    assert_eq!(stanza(bomb), Err(XmlError::Doctype));
    assert_eq!(document(bomb, &Limits::default()), Err(XmlError::Doctype));
    assert_eq!(stanza("<a>&b;&b;&b;</a>"), Err(XmlError::Entity));
}

#[test]
fn threat_013_an_undefined_entity_is_refused() {
    // RFC 6120 §11.1 wants restricted-xml for entities; what is no reference at all is malformed.
    refused("restricted-xml", &[("<a>&undefined;</a>", XmlError::Entity)]);
    refused(
        "not-well-formed",
        &[
            ("<a>&</a>", XmlError::Reference),
            ("<a>& amp;</a>", XmlError::Reference),
            ("<a>&amp</a>", XmlError::Reference),
            ("<a>&;</a>", XmlError::Reference),
            ("<a>&#;</a>", XmlError::Reference),
            ("<a>&#x;</a>", XmlError::Reference),
            ("<a>&#X41;</a>", XmlError::Reference),
            ("<a>&#+65;</a>", XmlError::Reference),
            ("<a>&1;</a>", XmlError::Reference),
            ("<a b='&'/>", XmlError::Reference),
            ("<a b='&&;'/>", XmlError::Reference),
        ],
    );
}

#[test]
fn threat_014_comments_and_instructions_are_refused_wherever_they_stand() {
    for at in [
        "{}<a b='c'>t<d/></a>",
        "<a b='c'>{}t<d/></a>",
        "<a b='c'>t{}<d/></a>",
        "<a b='c'>t<d/>{}</a>",
        "<a b='c'>t<d/></a>{}",
    ] {
        for (bad, error) in [("<!---->", XmlError::Comment), ("<?x y?>", XmlError::Instruction)] {
            assert_eq!(stanza(&at.replace("{}", bad)), Err(error), "{at}");
        }
    }
}

#[test]
fn threat_015_tags_prefixes_and_attributes_have_to_match() {
    refused(
        "not-well-formed",
        &[
            ("<a></b>", XmlError::Tag),
            ("<a><b></a></b>", XmlError::Tag),
            ("<a></ a>", XmlError::Tag),
            ("<a></aa>", XmlError::Tag),
            ("<aa></a>", XmlError::Tag),
            ("<a></a b='c'>", XmlError::Tag),
            ("<a xmlns:p='u' xmlns:q='u'><p:x></q:x></a>", XmlError::Tag),
            ("<a><b/>", XmlError::Truncated),
            ("<a", XmlError::Truncated),
            ("<a ", XmlError::Truncated),
            ("<message><body>he", XmlError::Truncated),
            ("<a/><b/>", XmlError::Trailing),
            ("<a/> ", XmlError::Trailing),
            (" <a/>", XmlError::Truncated),
            ("", XmlError::Truncated),
            ("<p:a/>", XmlError::Unbound),
            ("<a p:b='c'/>", XmlError::Unbound),
            ("<a><b xmlns:p='u'/><p:c/></a>", XmlError::Unbound),
            ("<xmlns:a/>", XmlError::Unbound),
            ("<a b='1' b='2'/>", XmlError::DuplicateAttribute),
            ("<a xmlns:p='u' xmlns:q='u' p:x='1' q:x='2'/>", XmlError::DuplicateAttribute),
            ("<a xmlns='u' xmlns='u'/>", XmlError::DuplicateAttribute),
            ("<a xmlns:p='u' xmlns:p='v'/>", XmlError::DuplicateAttribute),
        ],
    );
    // The same local name with and without a namespace are two attributes.
    let both = stanza("<p:a xmlns:p='u' p:x='1' x='2'/>").unwrap();
    assert_eq!((both.attr_ns("x", "u"), both.attr("x")), (Some("1"), Some("2")));
}

#[test]
fn threat_017_characters_outside_xml_are_refused() {
    for c in ["\0", "\u{1}", "\u{8}", "\u{B}", "\u{C}", "\u{E}", "\u{1F}", "\u{FFFE}", "\u{FFFF}"] {
        for text in [
            format!("<a>{c}</a>"),
            format!("<a b='{c}'/>"),
            format!("<a{c}/>"),
            format!("<a><![CDATA[{c}]]></a>"),
        ] {
            assert_eq!(stanza(&text), Err(XmlError::Character), "{text:?}");
        }
        let number = u32::from(c.chars().next().unwrap());
        for text in
            [format!("<a>&#{number};</a>"), format!("<a>&#x{number:x};</a>"), format!("<a b='&#{number};'/>")]
        {
            assert_eq!(stanza(&text), Err(XmlError::Character), "{text}");
        }
    }
    refused(
        "not-well-formed",
        &[
            ("<a>&#xD800;</a>", XmlError::Character),
            ("<a>&#xDFFF;</a>", XmlError::Character),
            ("<a>&#x110000;</a>", XmlError::Character),
            ("<a>&#99999999999999999999;</a>", XmlError::Character),
            ("<a b='&#0;'/>", XmlError::Character),
        ],
    );
    // Neighbours that XML allows.
    for c in [
        "\t",
        "\n",
        " ",
        "\u{7F}",
        "\u{85}",
        "\u{D7FF}",
        "\u{E000}",
        "\u{FDD0}",
        "\u{FEFF}",
        "\u{FFFD}",
        "\u{1FFFE}",
        "\u{10FFFF}",
    ] {
        assert_eq!(stanza(&format!("<a>{c}</a>")).unwrap().text(), c);
        assert_eq!(stanza(&format!("<a>&#{};</a>", u32::from(c.chars().next().unwrap()))).unwrap().text(), c);
    }
}

#[test]
fn threat_015_names_are_names() {
    for bad in [
        "<1a/>",
        "<-a/>",
        "<.a/>",
        "<a&b/>",
        "< />",
        "< a/>",
        "<a:b:c/>",
        "<:a/>",
        "<a:/>",
        "<a:1/>",
        "<>",
        "<a'b'/>",
        "<a\u{D7}/>",
        "<\u{B7}/>",
        "<\u{300}/>",
        "<a\u{37E}/>",
        "<a\u{2190}/>",
        "<=/>",
        "<a 1='x'/>",
        "<a b:='x'/>",
        "<a :b='x'/>",
        "<a b:c:d='x'/>",
        "<a xmlns:='x'/>",
        "<a xmlns:1='x'/>",
        "<a<b/>",
    ] {
        let error = stanza(bad).unwrap_err();
        assert!(matches!(error, XmlError::Name | XmlError::Attribute), "{bad}: {error}");
        assert_eq!(error.condition(), Condition::NotWellFormed);
    }
    for good in [
        "<_/>",
        "<é/>",
        "<a\u{B7}/>",
        "<a\u{300}/>",
        "<\u{10000}/>",
        "<a-b.c_d9/>",
        "<xml/>",
        "<\u{3001}/>",
        "<\u{EFFFF}/>",
    ] {
        assert!(stanza(good).is_ok(), "{good}");
    }
}

#[test]
fn threat_015_attribute_syntax_is_kept() {
    refused(
        "not-well-formed",
        &[
            ("<a b='<'/>", XmlError::Attribute),
            ("<a b='&lt;<'/>", XmlError::Attribute),
            ("<a b='1'c='2'/>", XmlError::Attribute),
            ("<a b/>", XmlError::Attribute),
            ("<a b=/>", XmlError::Attribute),
            ("<a b=c/>", XmlError::Attribute),
            ("<a b='c/>", XmlError::Attribute),
            ("<a 'c'/>", XmlError::Name),
            ("<a/ >", XmlError::Tag),
            ("<a b='c'/x>", XmlError::Tag),
            ("<a>]]></a>", XmlError::CdataEnd),
            ("<a><![CDATA[x]]>]]></a>", XmlError::CdataEnd),
            ("<a><![CDATA[x]></a>", XmlError::Truncated),
        ],
    );
    assert_eq!(stanza("<a b = 'c'\n\td\r=\r\"e\" />").unwrap().attr("d"), Some("e"));
}

#[test]
fn threat_018_namespaces_are_exact_and_can_not_be_smuggled() {
    // Another content namespace is another element: who matches jabber:server sees no stanza.
    assert!(!stanza("<message xmlns='jabber:client'/>").unwrap().is("message", ns::SERVER));
    for near in [
        "jabber:server ",
        " jabber:server",
        "jabber:Server",
        "jabber:server\n",
        "jabber:serve",
        "jabber%3Aserver",
        "",
    ] {
        let text = format!("<message xmlns='{near}'/>");
        assert!(!stanza(&text).unwrap().is("message", ns::SERVER), "{text}");
    }
    // Escaped, it is the same name (XML 1.0 §3.3.3).
    assert!(stanza("<message xmlns='jabber&#58;server'/>").unwrap().is("message", ns::SERVER));
    // Separators of other parsers mean nothing here.
    let smuggled = stanza("<a xmlns='jabber:server message'><b xmlns='jabber:server&#1234;'/></a>").unwrap();
    assert_eq!(smuggled.ns(), "jabber:server message");
    // An element of the stream's namespace inside of a stanza is a mere child.
    let inner = stanza("<message><stream:error/><stream:stream><iq/></stream:stream></message>").unwrap();
    assert_eq!(
        inner.children().map(|c| (c.ns(), c.name())).collect::<Vec<_>>(),
        [(ns::STREAMS, "error"), (ns::STREAMS, "stream")]
    );
    // RFC 6120 §4.8.5: a prefix for the content namespace can be seen.
    assert_eq!(stanza("<s:message xmlns:s='jabber:server'/>").unwrap().prefix(), "s");
}

#[test]
fn reserved_prefixes_and_namespaces_stay_as_they_are() {
    for bad in [
        "<a xmlns:xml='urn:x'/>",
        "<a xmlns:xmlns='urn:x'/>",
        "<a xmlns:xmlns='http://www.w3.org/2000/xmlns/'/>",
        "<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns:p='http://www.w3.org/2000/xmlns/'/>",
        "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
        "<a xmlns:p=''/>",
    ] {
        assert_eq!(stanza(bad), Err(XmlError::Binding), "{bad}");
    }
    assert_eq!(XmlError::Binding.condition(), Condition::NotWellFormed);
    let good = stanza("<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:lang='en'/>").unwrap();
    assert_eq!(good.lang(), Some("en"));
}

#[test]
fn limits_are_kept_and_are_policy() {
    let limits = Limits { depth: 3, attributes: 4, nodes: 6, bindings: 2 };
    let parsed = |text: &str| parse(text, &Scope::server(), &limits).map(|_| ());
    for (good, bad, error) in [
        ("<a><a><a/></a></a>", "<a><a><a><a/></a></a></a>", XmlError::TooDeep),
        ("<a b='' c='' xmlns='' d=''/>", "<a b='' c='' xmlns='' d='' e=''/>", XmlError::TooManyAttributes),
        ("<a><b/>x<b/>y<b/></a>", "<a><b/>x<b/>y<b/>z</a>", XmlError::TooManyNodes),
        (
            "<a><b/>x&amp;<![CDATA[y]]><b/>y<b/></a>",
            "<a><b/><b/><b/><b/><b/><b/></a>",
            XmlError::TooManyNodes,
        ),
        (
            "<a xmlns='u' xmlns:p='v'><b/></a>",
            "<a xmlns='u' xmlns:p='v'><b xmlns='w'/></a>",
            XmlError::TooManyBindings,
        ),
        (
            "<a xmlns='u'><b xmlns='v'/><c xmlns='w'/></a>",
            "<a xmlns='u'><b xmlns='v'><c xmlns='w'/></b></a>",
            XmlError::TooManyBindings,
        ),
    ] {
        assert_eq!(parsed(good), Ok(()), "{good}");
        assert_eq!(parsed(bad), Err(error), "{bad}");
        assert_eq!(error.condition(), Condition::PolicyViolation);
    }
    assert_eq!(Limits::default(), Limits { depth: 32, attributes: 64, nodes: 2000, bindings: 32 });
}

#[test]
fn threat_023_thousands_of_attributes_or_declarations_take_no_time() {
    use std::fmt::Write as _;
    let tag = |count, what: &str| {
        let mut text = String::from("<a");
        for n in 0..count {
            write!(text, " {what}{n}='urn:{n}'").unwrap();
        }
        text + "/>"
    };
    let (attributes, bindings) = (tag(12_000, "b"), tag(6_000, "xmlns:p"));
    let start = Instant::now();
    assert_eq!(stanza(&attributes), Err(XmlError::TooManyAttributes));
    assert_eq!(stanza(&bindings), Err(XmlError::TooManyBindings));
    // Where a caller allows for many, the limits are still what bounds the work.
    let nested = format!("{}{}", "<a xmlns:p='u'>".repeat(33), "</a>".repeat(33));
    assert_eq!(
        parse(&nested, &Scope::server(), &Limits { depth: 64, ..Limits::default() }),
        Err(XmlError::TooManyBindings)
    );
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_document_may_have_more_around_its_root() {
    let limits = Limits::default();
    let presence = "<presence xmlns='urn:ietf:params:xml:ns:pidf'><!-- c --><?pi x?>x</presence>";
    for around in [
        "{}",
        "\u{FEFF}{}",
        "<?xml version='1.0' encoding='ISO-8859-1'?>{}",
        "\u{FEFF}<?xml version=\"1.0\"?>\r\n<!-- c - d --><?pi?>\n{}\n<!----><?x y?>\n",
        "\n{} ",
    ] {
        let text = around.replace("{}", presence);
        let root = document(&text, &limits).unwrap();
        assert!(root.is("presence", "urn:ietf:params:xml:ns:pidf"), "{around}");
        assert_eq!(root.text(), "x");
        assert_eq!(root.raw(), presence);
    }
    for (bad, error) in [
        ("", XmlError::Truncated),
        (" ", XmlError::Truncated),
        ("x<a/>", XmlError::Truncated),
        ("<a/>x", XmlError::Trailing),
        ("<a/><b/>", XmlError::Trailing),
        ("<a/>&amp;", XmlError::Trailing),
        ("<a/><![CDATA[]]>", XmlError::Trailing),
        ("<![CDATA[x]]><a/>", XmlError::Truncated),
        ("</a>", XmlError::Truncated),
        ("<!DOCTYPE a><a/>", XmlError::Doctype),
        ("<a>&nbsp;</a>", XmlError::Entity),
        (" <?xml version='1.0'?><a/>", XmlError::Declaration),
        ("<a><?xml version='1.0'?></a>", XmlError::Declaration),
        ("<?XML version='1.0'?><a/>", XmlError::Declaration),
        ("<?xml?><a/>", XmlError::Declaration),
        ("<?xml version='1.0'><a/>", XmlError::Instruction),
        ("<?xml version='2.0'?><a/>", XmlError::Declaration),
        ("<??><a/>", XmlError::Instruction),
        ("<?1?><a/>", XmlError::Instruction),
        ("<?a'?><a/>", XmlError::Instruction),
        ("<!-- -- --><a/>", XmlError::Comment),
        ("<!--><a/>", XmlError::Comment),
        ("<!-- --", XmlError::Comment),
        ("<p:a/>", XmlError::Unbound),
        ("\u{FEFF}\u{FEFF}<a/>", XmlError::Truncated),
    ] {
        assert_eq!(document(bad, &limits), Err(error), "{bad:?}");
    }
    assert_eq!(document("<a/>", &limits).unwrap().ns(), "");
}
