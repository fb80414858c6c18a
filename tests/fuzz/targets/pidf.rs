//! Presence documents: no panic, what was read is read again after it was written, and the presences
//! that are made of it are well-formed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stoxd::addr::Jid;
use stoxd::body::pidf::{Limits, read, write};
use stoxd::bridge::presence::{Envelope, Shown};
use stoxd::now::Now;
use stoxd::xml::{self, Scope};

fuzz_target!(|octets: &[u8]| {
    let Ok(document) = read(octets, &Limits::default()) else { return };
    let mut copy = Vec::new();
    write(&document, &mut copy);
    let roomy = Limits { octets: 1 << 20, ..Limits::default() };
    assert_eq!(read(&copy, &roomy).as_ref(), Ok(&document));
    let user = Jid::parse("alice@contoso.example").expect("an address");
    let envelope = Envelope { user: &user, watcher: &user, notes: true, caps: None };
    let mut shown = Shown::default();
    shown.update(&document, &envelope, None, Now::at(0).wall, |one| {
        let mut out = Vec::new();
        one.write_presence(&envelope, &mut out);
        let text = String::from_utf8(out).expect("the writer writes UTF-8");
        let presence = xml::parse(&text, &Scope::server(), &xml::Limits::default()).expect(&text);
        Jid::parse(presence.attr("from").expect("it is ours")).expect(&text);
    });
});
