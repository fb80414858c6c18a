//! Presence both ways: documents and presences by their text.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod laws;
mod mutants;
mod tables;
mod to_sip;
mod to_xmpp;

use super::*;
use crate::addr::Jid;
use crate::body::pidf::{self, Document, Limits};
use crate::now::Now;
use crate::xml::{self, Scope};
use crate::xmpp::stanza::{Stanza, StanzaKind};

fn juliet() -> Jid {
    Jid::parse("juliet@example.com").unwrap()
}

fn alice() -> Jid {
    Jid::parse("alice@contoso.example").unwrap()
}

/// A presence as its stream gives it.
fn stanza(text: &str) -> Stanza<'_> {
    let element = xml::parse(text, &Scope::server(), &xml::Limits::default()).expect(text);
    let address = |name| Jid::parse(element.attr(name).unwrap()).unwrap();
    Stanza { kind: StanzaKind::Presence, from: address("from"), to: address("to"), element }
}

/// What a presence of juliet from `resource` with `attributes` and `inner` changes at `now`.
fn hear(resources: &mut Resources, resource: &str, attributes: &str, inner: &str, now: Now) -> Change {
    let slash = if resource.is_empty() { "" } else { "/" };
    let mut from = Vec::new();
    xml::write::attr(&mut from, "from", &format!("juliet@example.com{slash}{resource}"));
    let from = String::from_utf8(from).unwrap();
    let text = format!("<presence{from} to='alice@contoso.example' {attributes}>{inner}</presence>");
    resources.update(&stanza(&text), now.wall)
}

fn written(resources: &mut Resources, options: &PidfOptions<'_>, now: Now) -> String {
    let mut out = Vec::new();
    resources.write_pidf(&juliet(), options, now.wall, &mut out);
    String::from_utf8(out).unwrap()
}

fn read(text: &str) -> Document<'_> {
    pidf::read(text.as_bytes(), &Limits { octets: 1 << 20, ..Limits::default() })
        .unwrap_or_else(|error| panic!("{error}: {text}"))
}

const CAPS: Caps<'static> = Caps { node: "https://stoxd.example", ver: "q07IKJEyjvHSyhy//CH0CxmKi8w=" };

/// The presences that `document` about alice makes for juliet, without addresses.
fn tell(shown: &mut Shown, document: &Document<'_>, now: Now) -> Vec<String> {
    tell_with(shown, document, true, now)
}

fn tell_with(shown: &mut Shown, document: &Document<'_>, notes: bool, now: Now) -> Vec<String> {
    let (user, watcher) = (alice(), juliet());
    let envelope = Envelope { user: &user, watcher: &watcher, notes, caps: None };
    let mut told = Vec::new();
    shown.update(document, &envelope, None, now.wall, |one| {
        let mut out = Vec::new();
        one.write_presence(&envelope, &mut out);
        let text = String::from_utf8(out).unwrap();
        let rest = text.strip_prefix("<presence from='alice@contoso.example").expect(&text);
        told.push(rest.replace(" to='juliet@example.com'", ""));
    });
    told
}

/// The same for the text of a document, at a watcher who has seen nothing yet.
fn first(text: &str) -> Vec<String> {
    tell(&mut Shown::default(), &read(text), Now::at(0))
}

/// A document around `inner`.
fn around(inner: &str) -> String {
    format!(
        "<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model' \
         xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid' entity='pres:alice@contoso.example'>{inner}</presence>"
    )
}
