//! Stanzas, documents and headers: no panic, and what was accepted means the same when it is
//! written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoxd::xml::{Limits, Scope, document, ns, parse, parse_open, write};

fuzz_target!(|text: &str| {
    let (scope, limits) = (Scope::server(), Limits::default());
    // Declarations take more room than the prefixes they stand for.
    let roomy = Limits { attributes: 200, bindings: 2000, ..Limits::default() };
    if let Ok(element) = parse(text, &scope, &limits) {
        assert_eq!(element.raw(), text);
        let mut copy = Vec::new();
        write::element(&mut copy, &element, ns::SERVER);
        let copy = String::from_utf8(copy).expect("the writer writes UTF-8");
        assert_eq!(parse(&copy, &scope, &roomy).as_ref(), Ok(&element), "{copy}");
    }
    if let Ok(element) = document(text, &limits) {
        let mut copy = Vec::new();
        write::element(&mut copy, &element, "");
        let copy = String::from_utf8(copy).expect("the writer writes UTF-8");
        assert_eq!(document(&copy, &roomy).as_ref(), Ok(&element), "{copy}");
    }
    if let Ok(open) = parse_open(text) {
        let _ = (open.to(), open.from(), open.id(), open.lang(), open.default_ns(), open.has_dialback());
        let _ = parse("<a/>", open.scope(), &limits);
    }
});
