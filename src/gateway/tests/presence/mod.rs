//! Presence through the gateway: stanzas and requests in, octets out.

mod attack;
mod keep;
mod late;
mod lost;
mod rights;
mod s2x;
mod unverifiable;
mod x2s;

use super::net::{Net, Play};
use super::texts::{Sent, header};
use super::world::{Seen, World};
use super::{ALICE, ROMEO};
use crate::store::record::{Change, Record};

pub(super) const OPEN: &str = "<?xml version='1.0' encoding='UTF-8'?>\
    <presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:alice@contoso.example'>\
    <tuple id='desk'><status><basic>open</basic></status><note>at work</note></tuple></presence>";
pub(super) const CLOSED: &str = "<?xml version='1.0' encoding='UTF-8'?>\
    <presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:alice@contoso.example'>\
    <tuple id='desk'><status><basic>closed</basic></status></tuple></presence>";

pub(super) fn world() -> World {
    World::new(Net::works())
}

/// A presence of a type of its own from romeo to alice.
pub(super) fn romeo_says(world: &mut World, type_: &str) {
    world.romeo(&format!("<presence from='{ROMEO}' to='{ALICE}' type='{type_}' id='{type_}1'/>"));
}

/// A NOTIFY of alice's server in the dialog of `subscribe`.
pub(super) fn notify(subscribe: &Sent, number: u32, state: &str, document: &str) -> String {
    notify_with(subscribe, number, &format!("Event: presence\r\nSubscription-State: {state}\r\n"), document)
}

pub(super) fn notify_with(subscribe: &Sent, number: u32, lines: &str, document: &str) -> String {
    let get = |name| subscribe.header(name).unwrap();
    let kind = if document.is_empty() { "" } else { "Content-Type: application/pidf+xml\r\n" };
    format!(
        "NOTIFY {} SIP/2.0\r\nVia: SIP/2.0/TLS edge.contoso.example;branch=z9hG4bKn{number}{}\r\n\
         Max-Forwards: 70\r\nFrom: {};tag=pa\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {number} NOTIFY\r\n\
         Contact: <sip:pa.contoso.example:5061;transport=tls>\r\n{lines}{kind}Content-Length: {}\r\n\r\n{document}",
        get("Contact").trim_matches(['<', '>']),
        get("Call-ID"),
        get("To").split(";tag=").next().unwrap(),
        get("From"),
        get("Call-ID"),
        document.len()
    )
}

/// The SUBSCRIBE that was sent, which must be all that was.
#[track_caller]
pub(super) fn subscribe_of(world: &mut World) -> Sent {
    let sent = world.one_sip();
    assert!(sent.text.starts_with("SUBSCRIBE "), "{}", sent.text);
    sent
}

/// The SUBSCRIBE that is sent in the next minute.
#[track_caller]
pub(super) fn subscribe_soon(world: &mut World) -> Sent {
    subscribe_soon_within(world, 60)
}

/// The SUBSCRIBE that is sent in the next so many seconds.
#[track_caller]
pub(super) fn subscribe_soon_within(world: &mut World, seconds: u64) -> Sent {
    for _ in 0..seconds {
        world.pass_secs(1);
        if world.seen.iter().any(|seen| matches!(seen, Seen::Sip(_))) {
            return subscribe_of(world);
        }
    }
    panic!("no SUBSCRIBE in {seconds} s");
}

/// Romeo watches alice, who said yes and is there. What was sent so far is taken.
pub(super) fn romeo_sees_alice(world: &mut World) -> Sent {
    romeo_says(world, "subscribe");
    let subscribe = subscribe_of(world);
    world.answer_with(
        &subscribe,
        200,
        "Expires: 28800\r\nContact: <sip:pa.contoso.example:5061;transport=tls>\r\n",
    );
    world.sip(&notify(&subscribe, 1, "active;expires=28800", OPEN));
    assert_eq!(world.statuses(), [200]);
    let said = world.take_xmpp();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].contains("type='subscribed'") && said[1].contains("<status>at work</status>"),
        "{said:?}"
    );
    subscribe
}

/// A SUBSCRIBE of alice for romeo's presence.
pub(super) fn subscribe(number: u32, to_tag: &str, lines: &str) -> String {
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let (branch, uri) = (100 + number, if to_tag.is_empty() { ROMEO } else { "gw.contoso.example:5061" });
    format!(
        "SUBSCRIBE sip:{uri} SIP/2.0\r\nVia: SIP/2.0/TLS edge.contoso.example;branch=z9hG4bKs{branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{ALICE}>;tag=watcher\r\nTo: <sip:{ROMEO}>{tag}\r\nCall-ID: dialog1@edge\r\n\
         CSeq: {number} SUBSCRIBE\r\nContact: <sip:alice@192.0.2.7:5061;transport=tls>\r\nEvent: presence\r\n\
         Accept: application/pidf+xml\r\n{lines}Content-Length: 0\r\n\r\n"
    )
}

/// The tag that an answer gave to its To.
pub(super) fn to_tag(sent: &Sent) -> String {
    header(&sent.text, "To").unwrap().split(";tag=").nth(1).unwrap().to_owned()
}

/// Alice watches romeo, who said yes and is in the orchard. The tag of her dialog; what was sent so far is
/// taken.
pub(super) fn alice_sees_romeo(world: &mut World) -> String {
    world.sip(&subscribe(1, "", "Expires: 3600\r\n"));
    let sent = world.take_sip();
    assert_eq!(sent[0].status(), Some(200), "{sent:#?}");
    let tag = to_tag(&sent[0]);
    assert!(sent[1].text.starts_with("NOTIFY ") && sent[1].text.contains("Subscription-State: pending"));
    world.answer(&sent[1], 200);
    assert!(world.one_xmpp().contains("type='subscribe'"));
    romeo_says(world, "subscribed");
    let active = world.one_sip();
    assert!(active.text.contains("Subscription-State: active;expires="), "{}", active.text);
    world.answer(&active, 200);
    world.romeo(&format!(
        "<presence from='{ROMEO}/orchard' to='{ALICE}'><show>away</show><status>asleep</status></presence>"
    ));
    let open = world.one_sip();
    assert!(open.body().contains("<basic>open</basic>") && open.body().contains("asleep"), "{}", open.text);
    world.answer(&open, 200);
    tag
}

/// The changes that went to the store since somebody looked.
pub(super) fn kept(world: &mut World) -> Vec<Change> {
    let mut kept = Vec::new();
    world.seen.retain(|seen| match seen {
        Seen::Persist { changes, .. } => {
            kept.extend(changes.iter().cloned());
            false
        }
        _ => true,
    });
    kept
}

/// The records that are left of those changes.
pub(super) fn records(changes: &[Change]) -> Vec<Record> {
    let mut all: Vec<Record> = Vec::new();
    let key = |record: &Record| match record {
        Record::Authorization(one) => Some(one.key()),
        Record::Contact(one) => Some(one.key()),
        Record::Pending(one) => Some(one.key()),
        Record::Watermark(_) => None,
    };
    for change in changes {
        match change {
            Change::Put(record) => {
                all.retain(|one| key(one) != key(record));
                all.push(record.clone());
            }
            Change::Remove(gone) => all.retain(|one| key(one).as_ref() != Some(gone)),
            Change::Touch { .. } => {}
        }
    }
    all
}
