//! Documents that somebody made to hurt: refused or read within bounds.

use super::*;

fn refused(text: &str) -> PidfError {
    read(text.as_bytes(), &Limits::default()).expect_err(text)
}

#[test]
fn threat_145_what_is_not_well_formed_or_has_a_document_type_is_refused() {
    let open = "<presence xmlns='urn:ietf:params:xml:ns:pidf'>";
    for (text, expected) in [
        (String::new(), XmlError::Truncated),
        (open.to_owned(), XmlError::Truncated),
        (format!("{open}<tuple></presence>"), XmlError::Tag),
        (format!("{open}</presence>{open}</presence>"), XmlError::Trailing),
        (format!("{open}<tuple id='a' id='b'/></presence>"), XmlError::DuplicateAttribute),
        (format!("{open}<note>\u{1}</note></presence>"), XmlError::Character),
        (format!("{open}<note>&#0;</note></presence>"), XmlError::Character),
        (format!("{open}<note>&lol;</note></presence>"), XmlError::Entity),
        (format!("<!DOCTYPE presence>{open}</presence>"), XmlError::Doctype),
        (
            format!(
                "<?xml version='1.0'?><!DOCTYPE p [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>{open}<note>&x;</note></presence>"
            ),
            XmlError::Doctype,
        ),
        (
            format!(
                "<!DOCTYPE p [<!ENTITY a 'aaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>{open}<note>&b;</note></presence>"
            ),
            XmlError::Doctype,
        ),
        (format!("{open}<x:tuple/></presence>"), XmlError::Unbound),
        ("x".to_owned(), XmlError::Truncated),
    ] {
        assert_eq!(refused(&text), PidfError::Xml(expected), "{text}");
        assert_eq!(refused(&text).status(), 400);
    }
    assert_eq!(
        read(b"<presence xmlns='urn:ietf:params:xml:ns:pidf'>\xff</presence>", &Limits::default()),
        Err(PidfError::NotUtf8)
    );
}

#[test]
fn threat_145_ten_megabytes_a_thousand_tuples_and_depth_are_refused() {
    let large = around(&format!("<note>{}</note>", "a".repeat(10 << 20)));
    assert_eq!(refused(&large), PidfError::TooLarge);
    assert_eq!(refused(&large).status(), 413);
    let tuples = |count: usize| around(&"<tuple id='a'><status/></tuple>".repeat(count));
    assert_eq!(refused(&tuples(1000)), PidfError::TooMany);
    assert_eq!(refused(&tuples(101)), PidfError::TooMany);
    assert_eq!(document(&tuples(100)).tuples.len(), 100);
    assert_eq!(refused(&around(&"<dm:person id='a'/>".repeat(101))), PidfError::TooMany);
    assert_eq!(refused(&around(&"<dm:device id='a'/>".repeat(101))), PidfError::TooMany);
    let deep = around(&format!("{}{}", "<x>".repeat(5000), "</x>".repeat(5000)));
    assert_eq!(refused(&deep), PidfError::Xml(XmlError::TooDeep));
    let wide = around(&"<x/>".repeat(9000));
    assert_eq!(refused(&wide), PidfError::Xml(XmlError::TooManyNodes));
    let declared: String = (0..100).map(|n| format!(" xmlns:n{n}='urn:{n}'")).collect();
    assert_eq!(refused(&around(&format!("<x{declared}/>"))), PidfError::Xml(XmlError::TooManyBindings));
}

#[test]
fn threat_145_prefixes_mean_what_they_are_bound_to() {
    let pidf = ns::PIDF;
    // Any prefix, several for one namespace, and bound anew inside.
    for text in [
        format!(
            "<p:presence xmlns:p='{pidf}'><p:tuple id='a'><p:status><p:basic>open</p:basic></p:status></p:tuple></p:presence>"
        ),
        format!(
            "<a:presence xmlns:a='{pidf}' xmlns:b='{pidf}'><b:tuple id='a'><a:status><b:basic>open</b:basic></a:status></b:tuple></a:presence>"
        ),
        format!(
            "<presence xmlns='{pidf}' xmlns:p='urn:x'><tuple id='a'><p:status xmlns:p='{pidf}'><p:basic>open</p:basic></p:status></tuple></presence>"
        ),
        format!(
            "<x:presence xmlns:x='{pidf}' xmlns='urn:x'><tuple/><x:tuple id='a'><status/><x:status><x:basic>open</x:basic></x:status></x:tuple></x:presence>"
        ),
        format!(
            "<presence xmlns='urn:ietf:params:xml:ns:p&#x69;df'><tuple id='a' x:id='b' xmlns:x='{pidf}'><status><basic>op&#101;n</basic></status></tuple></presence>"
        ),
    ] {
        let document = document(&text);
        assert_eq!(document.tuples.len(), 1, "{text}");
        assert_eq!((&*document.tuples[0].id, document.tuples[0].basic), ("a", Some(Basic::Open)), "{text}");
    }
    // The right names in the wrong namespace are nothing.
    for root in [
        "<presence/>".to_owned(),
        "<presence xmlns='jabber:client'/>".to_owned(),
        "<p:presence xmlns:p='urn:ietf:params:xml:ns:pidf:'/>".to_owned(),
        format!("<presence xmlns:pidf='{pidf}'/>"),
        format!("<Presence xmlns='{pidf}'/>"),
        format!("<tuple xmlns='{pidf}'/>"),
    ] {
        assert_eq!(refused(&root), PidfError::NotPresence, "{root}");
    }
    let undone = format!(
        "<p:presence xmlns:p='{pidf}' xmlns='{pidf}'><tuple id='a' xmlns=''><status/></tuple></p:presence>"
    );
    assert!(document(&undone).tuples.is_empty());
    assert_eq!(
        refused(&format!("<p:presence xmlns:p='{pidf}'><p:tuple xmlns:p=''/></p:presence>")),
        PidfError::Xml(XmlError::Binding)
    );
    assert_eq!(
        refused(&format!("<presence xmlns='{pidf}' xmlns:xml='urn:x'/>")),
        PidfError::Xml(XmlError::Binding)
    );
    assert_eq!(
        refused(&format!(
            "<presence xmlns='{pidf}'><n a:b='1' c:b='2' xmlns:a='urn:x' xmlns:c='urn:x'/></presence>"
        )),
        PidfError::Xml(XmlError::DuplicateAttribute)
    );
}
