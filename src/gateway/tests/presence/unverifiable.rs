//! Users of a SIP server that is always-unverifiable reach only whoever has them as a contact.

use super::super::net::{DAEMON, POLICY};
use super::super::texts::message;
use super::*;

fn unverifiable() -> String {
    DAEMON.replace("identity = [", "verification = \"always-unverifiable\"\nidentity = [")
}

fn strict() -> World {
    let mut world = world();
    world.reload_both(&unverifiable(), POLICY);
    world
}

#[test]
fn f100_an_unverifiable_user_reaches_nobody_who_has_not_asked_for_it() {
    let mut world = strict();
    world.sip(&message(1, ALICE, ROMEO, "hello"));
    assert_eq!(world.statuses(), [403]);
    world.sip(&subscribe(1, "", "Expires: 3600\r\n"));
    assert_eq!(world.statuses(), [403], "nor does it make itself a contact");
    assert!(world.take_xmpp().is_empty() && !world.seen.iter().any(|s| matches!(s, Seen::Persist { .. })));
    // The other way is open, and answers to it are not asked about.
    world
        .romeo(&format!("<message from='{ROMEO}' to='{ALICE}' type='chat' id='m'><body>hi</body></message>"));
    let sent = world.one_sip();
    assert!(sent.text.starts_with("MESSAGE "), "{}", sent.text);
    world.sip(&message(2, ALICE, ROMEO, "an answer"));
    assert_eq!(world.statuses(), [403], "a message makes no contact");
}

#[test]
fn f100_whoever_watches_an_unverifiable_user_hears_of_it() {
    let mut world = strict();
    romeo_sees_alice(&mut world);
    world.sip(&message(1, ALICE, ROMEO, "hello"));
    assert_eq!(world.statuses(), [202]);
    assert!(world.one_xmpp().contains("hello"));
    // Romeo has alice as a contact, and nobody else.
    world.sip(&message(2, ALICE, "juliet@capulet.example", "hello"));
    world.sip(&message(3, "bob@contoso.example", ROMEO, "hello"));
    assert_eq!(world.statuses(), [403, 403]);
    romeo_says(&mut world, "unsubscribe");
    world.take_sip();
    world.take_xmpp();
    world.sip(&message(4, ALICE, ROMEO, "still there?"));
    assert!(world.statuses().contains(&403), "no contact any more");
    assert!(world.take_xmpp().iter().all(|said| !said.contains("still there?")));
}

#[test]
fn f100_whoever_lets_an_unverifiable_user_watch_hears_of_it() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    world.reload_both(&unverifiable(), POLICY);
    world.sip(&message(1, ALICE, ROMEO, "hello"));
    assert_eq!(world.statuses(), [202]);
    assert!(world.one_xmpp().contains("hello"));
    let bob = "bob@contoso.example";
    world.sip(&message(2, bob, ROMEO, "hello"));
    assert_eq!(world.statuses(), [403]);
}

#[test]
fn f100_a_watch_that_was_not_decided_ends_when_its_user_becomes_unverifiable() {
    let mut world = world();
    world.sip(&subscribe(1, "", "Expires: 3600\r\n"));
    assert!(world.one_xmpp().contains("type='subscribe'"));
    world.take_sip();
    world.reload_both(&unverifiable(), POLICY);
    let end = world.one_sip();
    assert_eq!(end.header("Subscription-State"), Some("terminated;reason=rejected"));
}
