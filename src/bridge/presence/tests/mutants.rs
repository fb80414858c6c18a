//! Thousands of broken documents and stanzas: nothing panics, and what comes out is well-formed.

use super::*;
use crate::body::pidf::tests::samples;
use crate::ids::{Ids, Owner};

/// A mutant of `text`: octets changed, parts cut out, doubled, or taken from `other`.
fn mutant(text: &[u8], other: &[u8], ids: &mut Ids) -> Vec<u8> {
    let mut octets = text.to_vec();
    let mut below = |bound: usize| usize::try_from(ids.below(bound as u64)).unwrap();
    for _ in 0..=below(2) {
        let at = below(octets.len().max(1)).min(octets.len());
        let len = below(40).min(octets.len() - at);
        match below(6) {
            0 if at < octets.len() => octets[at] = below(256) as u8,
            1 if at < octets.len() => octets[at] = b"<>&'\"/:=;! \0x"[below(13)],
            2 => drop(octets.drain(at..at + len)),
            3 => {
                let part = octets[at..at + len].to_vec();
                octets.splice(at..at, part);
            }
            4 => {
                let from = below(other.len().max(1)).min(other.len());
                let to = (from + below(200)).min(other.len());
                octets.splice(at..at + len, other[from..to].iter().copied());
            }
            _ => {
                let special: &[&[u8]] = &[
                    b"<!DOCTYPE x>",
                    b"<![CDATA[",
                    b"]]>",
                    b"&#x1F319;",
                    b"&#0;",
                    b"xmlns='urn:x'",
                    b"<tuple/>",
                    b"<status/>",
                    b"</tuple>",
                    b"\xEF\xBB\xBF",
                    b"<!-- -->",
                    b"<?x y?>",
                    b";gr=%00",
                    b"ID-_00",
                ];
                octets.splice(at..at, special[below(special.len())].iter().copied());
            }
        }
    }
    octets
}

fn assert_is_presence(octets: &[u8]) {
    let text = std::str::from_utf8(octets).expect("the writer writes UTF-8");
    let element = xml::parse(text, &Scope::server(), &xml::Limits::default()).expect(text);
    assert!(
        element.is("presence", "jabber:server") && element.children().all(|child| !child.is("presence", ""))
    );
    let from = Jid::parse(element.attr("from").unwrap()).expect(text);
    assert_eq!((from.bare_str(), element.attr("to")), ("alice@contoso.example", Some("juliet@example.com")));
}

#[test]
fn threat_145_mutants_of_documents_never_panic() {
    let mut ids = Ids::new([3; 32], Owner::default());
    let (user, watcher) = (alice(), juliet());
    let envelope = Envelope { user: &user, watcher: &watcher, notes: true, caps: Some(CAPS) };
    let mut shown = Shown::default();
    let (mut good, mut told) = (0, 0);
    for round in 0..8000_u64 {
        let sample = |ids: &mut Ids| samples::ALL[usize::try_from(ids.below(8)).unwrap()].as_bytes();
        let (text, other) = (sample(&mut ids), sample(&mut ids));
        let octets = mutant(text, other, &mut ids);
        let Ok(document) = pidf::read(&octets, &Limits::default()) else { continue };
        good += 1;
        let mut copy = Vec::new();
        pidf::write(&document, &mut copy);
        assert_eq!(pidf::read(&copy, &Limits { octets: 1 << 20, tuples: 100 }).as_ref(), Ok(&document));
        shown.update(&document, &envelope, None, Now::at(round).wall, |one| {
            let mut out = Vec::new();
            one.write_presence(&envelope, &mut out);
            assert_is_presence(&out);
            told += 1;
        });
    }
    assert!(good > 800 && told > 800, "too few were read to say anything: {good}, {told}");
}

#[test]
fn threat_145_mutants_of_stanzas_never_panic() {
    let stanzas: [&[u8]; 3] = [
        b"<presence from='juliet@example.com/balcony' to='alice@contoso.example' xml:lang='en'><show>dnd</show>\
          <status>Wooing Juliet</status><status xml:lang='cs'>Dvo&#x0159;&#x00ED;m se</status>\
          <priority>1</priority><idle xmlns='urn:xmpp:idle:1' since='2026-11-22T22:00:00Z'/></presence>",
        b"<presence from='juliet@example.com/\xD0\xA0\xD0\xB0 b' to='alice@contoso.example' type='unavailable'>\
          <delay xmlns='urn:xmpp:delay' stamp='2026-11-22T22:00:00.123+01:00'/><status/></presence>",
        b"<presence from='juliet@example.com' to='alice@contoso.example'><show>away</show>\
          <query xmlns='jabber:iq:last' seconds='600'/><priority>-5</priority></presence>",
    ];
    let mut ids = Ids::new([4; 32], Owner::default());
    let mut resources = Resources::default();
    let mut good = 0;
    for round in 0..8000_u64 {
        let one = |ids: &mut Ids| stanzas[usize::try_from(ids.below(3)).unwrap()];
        let (text, other) = (one(&mut ids), one(&mut ids));
        let octets = mutant(text, other, &mut ids);
        let Ok(text) = std::str::from_utf8(&octets) else { continue };
        let Ok(element) = xml::parse(text, &Scope::server(), &xml::Limits::default()) else { continue };
        let address = |name| element.attr(name).and_then(|text| Jid::parse(text).ok());
        let (Some(from), Some(to)) = (address("from"), address("to")) else { continue };
        good += 1;
        resources.update(&Stanza { kind: StanzaKind::Presence, from, to, element }, Now::at(round).wall);
        let text = written(
            &mut resources,
            &PidfOptions { availability: true, ..PidfOptions::default() },
            Now::at(round),
        );
        assert!(!read(&text).tuples.is_empty());
    }
    assert!(good > 500, "too few were read to say anything: {good}");
}
