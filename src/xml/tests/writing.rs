//! The writer: what is written parses to what was meant, whatever the text.

use super::stanza;
use crate::xml::{Element, Node, Scope, ns, write};
use proptest::prelude::*;

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn text_and_attributes_are_escaped() {
    assert_eq!(written(|out| write::text(out, "a<b>&'\"\r\n\t]]>é")), "a&lt;b&gt;&amp;'\"&#xD;\n\t]]&gt;é");
    assert_eq!(
        written(|out| write::attr(out, "k", "a<b>&'\"\r\n\té")),
        " k='a&lt;b&gt;&amp;&apos;&quot;&#xD;&#xA;&#x9;é'"
    );
}

#[test]
fn check_034_characters_outside_xml_are_replaced() {
    let bad = "a\0\u{1}\u{B}\u{1F}\u{FFFE}\u{FFFF}z\u{FFFD}\u{EFBF}\u{FFFC}";
    let good = "a\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}z\u{FFFD}\u{EFBF}\u{FFFC}";
    assert_eq!(written(|out| write::text(out, bad)), good);
    assert_eq!(written(|out| write::attr(out, "k", bad)), format!(" k='{good}'"));
}

#[test]
fn no_place_in_a_text_hides_a_character() {
    let all = (0..0x80).map(|b| char::from(b).to_string());
    let wide = [
        "\u{FFFD}",
        "\u{FFFE}",
        "\u{FFFF}",
        "\u{EFBF}",
        "\u{F000}",
        "\u{E9}",
        "\u{10FFFF}",
        "&\u{FFFE}<",
        "\u{FFFF}\0",
    ];
    for special in all.chain(wide.map(String::from)) {
        for (before, after) in (0..40).flat_map(|before| [0, 1, 15, 16, 17].map(|after| (before, after))) {
            let value = "a".repeat(before) + &special + &"b".repeat(after);
            let naive = |in_value: bool| {
                let escaped = cleaned(&value).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                let escaped = escaped.replace('\r', "&#xD;");
                match in_value {
                    true => escaped
                        .replace('\'', "&apos;")
                        .replace('"', "&quot;")
                        .replace('\n', "&#xA;")
                        .replace('\t', "&#x9;"),
                    false => escaped,
                }
            };
            assert_eq!(written(|out| write::text(out, &value)), naive(false), "{value:?}");
            assert_eq!(
                written(|out| write::attr(out, "k", &value)),
                format!(" k='{}'", naive(true)),
                "{value:?}"
            );
        }
    }
}

#[test]
fn tags_close_themselves() {
    let message = written(|out| {
        write::open(out, "message")
            .attr("to", "a'b")
            .attr_opt("id", None)
            .attr_opt("type", Some("chat"))
            .content(|out| {
                write::open(out, "body").text("<hi>");
                write::open(out, "active").xmlns("urn:a").empty();
            });
    });
    assert_eq!(
        message,
        "<message to='a&apos;b' type='chat'><body>&lt;hi&gt;</body><active xmlns='urn:a'/></message>"
    );
    assert!(stanza(&message).is_ok());
}

#[test]
fn check_125_a_copied_element_declares_its_namespaces() {
    let text = "<message to='b'><x:a xmlns:x='urn:x' x:b='1' c='2' xml:lang='en'><d/><x:e/>&lt;</x:a>\
        <db:result/><stream:y stream:z='&#9;'/><f xmlns=''><g/></f></message>";
    let message = stanza(text).unwrap();
    let copy = written(|out| write::element(out, &message, ns::SERVER));
    assert_eq!(
        copy,
        "<message to='b'><a xmlns='urn:x' xmlns:n0='urn:x' n0:b='1' c='2' xml:lang='en'><d xmlns='jabber:server'/><e/>&lt;</a>\
        <result xmlns='jabber:server:dialback'/>\
        <y xmlns='http://etherx.jabber.org/streams' xmlns:n0='http://etherx.jabber.org/streams' n0:z='&#x9;'/>\
        <f xmlns=''><g/></f></message>"
    );
    // It means the same inside a stream that declares nothing but its default namespace.
    let bare =
        crate::xml::parse_open("<s:stream xmlns='jabber:server' xmlns:s='http://etherx.jabber.org/streams'>");
    let again = crate::xml::parse(&copy, bare.unwrap().scope(), &crate::xml::Limits::default()).unwrap();
    assert_eq!(again, message);
    assert!(!copy.contains(ns::CLIENT));
    // And by itself, when it is told that nothing is declared around it.
    let alone = written(|out| write::element(out, &message, ""));
    assert_eq!(
        crate::xml::parse(&alone, &Scope::default(), &crate::xml::Limits::default()).unwrap(),
        message
    );
}

#[test]
fn an_element_in_the_namespace_of_xml_keeps_its_prefix() {
    // Found by fuzzing: that namespace must not be declared as the default one.
    let text = "<xml:a><b/><xml:c xml:d='e'>t</xml:c></xml:a>";
    let element = stanza(text).unwrap();
    let copy = written(|out| write::element(out, &element, ns::SERVER));
    assert_eq!(copy, text);
    assert_eq!(stanza(&copy).unwrap(), element);
}

/// Any text, with what XML turns on more often than chance would have it.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        prop::sample::select(
            &["<", ">", "&", "'", "\"", "]]>", "\r\n", "\r", "\t", "\u{1}", "\u{FFFE}", "\u{FFFF}", "a"][..]
        )
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// What comes back: excluded characters as U+FFFD.
fn cleaned(text: &str) -> String {
    let bad = |c: char| matches!(c, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}');
    text.chars().map(|c| if bad(c) { '\u{FFFD}' } else { c }).collect()
}

/// A stanza of elements and text, written by the writer.
fn tree() -> impl Strategy<Value = Vec<u8>> {
    let leaf = text().prop_map(|content| written(|out| write::text(out, &content)).into_bytes());
    let node = leaf.prop_recursive(4, 20, 4, |inner| {
        (text(), text(), prop::collection::vec(inner, 0..4), 0..3_u8).prop_map(|(a, b, children, kind)| {
            let mut out = Vec::new();
            let tag = write::open(&mut out, ["e", "db:e", "stream:f"][usize::from(kind)]).attr("k", &a);
            let tag = if kind == 0 { tag.xmlns(&format!("urn:{b}")) } else { tag.attr("xml:lang", &b) };
            if children.is_empty() {
                tag.empty();
            } else {
                tag.content(|out| out.extend(children.concat()));
            }
            out
        })
    });
    prop::collection::vec(node, 0..4).prop_map(|nodes| {
        let mut out = Vec::new();
        write::open(&mut out, "m").content(|out| out.extend(nodes.concat()));
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_comes_back(content in text(), value in text()) {
        let out = written(|out| write::open(out, "a").attr("k", &value).text(&content));
        let element = stanza(&out).map_err(|e| TestCaseError::fail(format!("{out}: {e}")))?;
        prop_assert_eq!(element.text(), cleaned(&content));
        prop_assert_eq!(element.attr("k"), Some(&*cleaned(&value)));
        prop_assert!(matches!(element.nodes(), [] | [Node::Text(_)]));
    }

    #[test]
    fn a_tree_comes_back_through_parse_write_parse(out in tree()) {
        let text = String::from_utf8(out).unwrap();
        let element: Element<'_> = stanza(&text).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
        let copy = written(|out| write::element(out, &element, ns::SERVER));
        prop_assert_eq!(stanza(&copy).map_err(|e| TestCaseError::fail(format!("{copy}: {e}")))?, element);
    }
}
