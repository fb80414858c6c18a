//! The table still rules.

use super::super::net::{POLICY, Play};
use super::*;
use crate::gateway::tests::texts::message;

fn without_capulet() -> String {
    POLICY.replace("domain = \"capulet.example\"", "domain = \"other.example\"")
}

fn without_policy() -> String {
    POLICY.replacen("xmpp = true", "xmpp = false", 1)
}

#[test]
fn check_171_a_policy_taken_away_ends_a_watch_on_both_sides_and_gives_it_back() {
    let mut world = world();
    romeo_sees_alice(&mut world);
    kept(&mut world);
    world.reload(&without_policy());
    let end = subscribe_of(&mut world);
    assert_eq!(end.header("Expires"), Some("0"));
    world.answer(&end, 200);
    let said = world.take_xmpp();
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("type='unavailable'"), "{said:?}");
    assert!(kept(&mut world).is_empty(), "the authorization stays");
    world.pass_secs(40);
    world.reload(POLICY);
    let again = subscribe_soon(&mut world);
    world.sip(&notify(&again, 1, "active;expires=3600", OPEN));
    let said = world.take_xmpp();
    assert!(said.len() == 1 && said[0].contains("at work"), "no second subscribed: {said:?}");
}

#[test]
fn a_policy_taken_away_rejects_the_sip_users_watch() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    world.reload(&without_policy());
    let end = world.one_sip();
    assert_eq!(end.header("Subscription-State"), Some("terminated;reason=rejected"));
    assert!(world.one_xmpp().contains("type='unavailable'"));
    world.romeo(&format!("<presence from='{ROMEO}/orchard' to='{ALICE}'><show>dnd</show></presence>"));
    world.pass_secs(10);
    assert!(world.take_sip().iter().all(|sent| !sent.text.contains("dnd")));
}

#[test]
fn the_federation_switch_is_probation() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    world.reload(&POLICY.replacen("enabled = true", "enabled = false", 1));
    let end = world.one_sip();
    assert_eq!(end.header("Subscription-State"), Some("terminated;reason=probation;retry-after=300"));
}

#[test]
fn a_partner_taken_away_ends_its_watches() {
    let mut world = world();
    romeo_sees_alice(&mut world);
    world.reload(&without_capulet());
    let end = subscribe_of(&mut world);
    assert_eq!(end.header("Expires"), Some("0"));
    let row = world.gateway.watches(world.now, None, 10).0.remove(0);
    assert_eq!((row.authorization, row.state), ("announced", "dormant"));
    assert_eq!(row.reason.as_deref(), Some("the policy does not allow it"));
}

#[test]
fn the_last_presence_goes_before_the_stream_ends() {
    let mut world = world();
    romeo_sees_alice(&mut world);
    alice_sees_romeo(&mut world);
    world.reload(&without_capulet());
    let seen = |wanted: &dyn Fn(&Seen) -> bool| world.seen.iter().position(wanted);
    let said = seen(&|seen| matches!(seen, Seen::Xmpp { text, .. } if text.contains("type='unavailable'")));
    let ended = seen(&|seen| matches!(seen, Seen::CloseXmpp(_)));
    assert!(said.is_some() && said < ended, "{:?}", world.seen);
}

#[test]
fn what_the_table_takes_back_on_its_way_takes_no_authorization() {
    let mut world = World::new(Net { streams: Play::Silent, ..Net::works() });
    world.sip(&subscribe(1, "", "Expires: 600\r\n"));
    assert_eq!(records(&kept(&mut world)).len(), 2, "an authorization and a contact");
    world.reload(&without_capulet());
    assert!(kept(&mut world).is_empty(), "it stays, and romeo is asked when he may be");
}

#[test]
fn a_notify_without_the_right_shows_nothing() {
    let mut world = world();
    let subscribe = romeo_sees_alice(&mut world);
    world.reload(&without_policy());
    world.take_xmpp();
    world.take_sip();
    world.sip(&notify(&subscribe, 2, "active;expires=3600", CLOSED));
    assert_eq!(world.statuses(), [403]);
    assert!(world.take_xmpp().is_empty());
}

const JULIET: &str = "juliet@public.example";

fn juliet_says(world: &mut World, type_: &str) {
    world.xmpp("public.example", &format!("<presence from='{JULIET}' to='{ALICE}' type='{type_}'/>"));
}

#[test]
fn f34_f35_a_public_contact_waits_until_the_user_adds_it() {
    let mut world = world();
    juliet_says(&mut world, "subscribe");
    world.assert_nothing_sent();
    assert_eq!(records(&kept(&mut world)).len(), 1, "a pending record");
    assert_eq!(world.gateway.watch_counts(), [0, 0]);
    world.xmpp(
        "public.example",
        &format!("<message from='{JULIET}' to='{ALICE}' id='m'><body>x</body></message>"),
    );
    assert!(world.one_xmpp().contains("<forbidden"));
    // Alice adds juliet.
    let add = subscribe(1, "", "Expires: 600\r\n").replace(ROMEO, JULIET);
    world.sip(&add);
    let sent = world.take_sip();
    assert_eq!(sent[0].status(), Some(200));
    let replayed = sent.iter().find(|one| one.text.starts_with("SUBSCRIBE sip:alice@contoso.example"));
    assert!(replayed.is_some_and(|one| one.text.contains("From: <sip:juliet@public.example>")), "{sent:#?}");
    assert!(world.one_xmpp().contains("type='subscribe'"));
    world.xmpp(
        "public.example",
        &format!("<message from='{JULIET}' to='{ALICE}' id='m'><body>x</body></message>"),
    );
    assert!(world.one_sip().text.starts_with("MESSAGE "));
    let left = records(&kept(&mut world));
    assert!(!left.iter().any(|record| matches!(record, Record::Pending(_))), "{left:?}");
}

#[test]
fn a_fetch_adds_nobody() {
    let mut world = world();
    world.sip(&subscribe(1, "", "Expires: 0\r\n").replace(ROMEO, JULIET));
    juliet_says(&mut world, "subscribe");
    world.pass_secs(3);
    assert!(!world.take_sip().iter().any(|one| one.text.starts_with("SUBSCRIBE ")));
    world.sip(&message(9, ALICE, JULIET, "hello"));
    assert!(!records(&kept(&mut world)).iter().any(|record| matches!(record, Record::Contact(_))));
}

#[test]
fn threat_147_pending_subscribes_are_bounded() {
    let mut world = World::with(Net::works(), |settings| settings.presence.pending_per_user = 5);
    for n in 0..50 {
        world.xmpp(
            "public.example",
            &format!("<presence from='j{n}@public.example' to='{ALICE}' type='subscribe'/>"),
        );
        world.pass_secs(1);
    }
    assert_eq!(records(&kept(&mut world)).len(), 5);
}

#[test]
fn f31_f33_notes_are_for_federated_partners() {
    let mut world = world();
    let public = POLICY.replace("type = \"federated\"", "type = \"public-verified\"");
    world.reload(&public);
    romeo_says(&mut world, "subscribe");
    let subscribe = subscribe_of(&mut world);
    world.sip(&notify(&subscribe, 1, "active;expires=28800", OPEN));
    let said = world.take_xmpp();
    assert!(said.len() == 2 && !said[1].contains("at work"), "{said:?}");
}

#[test]
fn watches_are_bounded_for_each_user_and_domain() {
    let mut world = World::with(Net::works(), |settings| settings.presence.per_domain = 3);
    for n in 0..5 {
        world.romeo(&format!(
            "<presence from='r{n}@capulet.example' to='{ALICE}' type='subscribe' id='s{n}'/>"
        ));
    }
    assert_eq!(world.gateway.watch_counts(), [3, 0]);
    let refused = world.take_xmpp();
    assert_eq!(refused.len(), 2);
    assert!(refused[0].contains("<resource-constraint") && refused[0].contains("id='s3'"), "{refused:?}");
    world.take_sip();
    world.sip(&subscribe(1, "", "Expires: 600\r\n"));
    assert_eq!(world.statuses(), [503]);
}

#[test]
fn unsubscribe_needs_no_right() {
    let mut world = world();
    romeo_sees_alice(&mut world);
    world.reload(&without_policy());
    world.take_xmpp();
    romeo_says(&mut world, "unsubscribe");
    assert!(records(&kept(&mut world)).is_empty());
}

#[test]
fn check_097_presence_goes_to_whom_it_was_addressed_and_to_nobody_else() {
    let mut world = world();
    let hers = romeo_sees_alice(&mut world);
    world.xmpp(
        "montague.example",
        &format!("<presence from='mercutio@montague.example' to='{ALICE}' type='subscribe' id='m'/>"),
    );
    let his = subscribe_of(&mut world);
    world.sip(&notify(&his, 41, "active;expires=3600", OPEN));
    world.take_sip();
    world.take_xmpp();
    // What is said in one dialog is for its watcher.
    world.sip(&notify(&hers, 42, "active;expires=3600", CLOSED));
    let said = world.one_xmpp();
    assert!(said.contains(&format!("to='{ROMEO}'")) && said.contains("unavailable"), "{said}");
    // In his own dialog nobody speaks for somebody else.
    world.take_sip();
    let forged = notify(&his, 43, "active;expires=3600", CLOSED).replace("mercutio@montague.example", ROMEO);
    world.sip(&forged);
    assert_eq!((world.statuses(), world.take_xmpp().len()), (vec![481], 0));
    // What romeo shows alice is not shown to bob, who was not told.
    alice_sees_romeo(&mut world);
    let bobs = subscribe(1, "", "Expires: 600\r\n")
        .replace("alice@", "bob@")
        .replace("dialog1", "dialog7")
        .replace("z9hG4bKs", "z9hG4bKbob");
    world.sip(&bobs);
    let sent = world.take_sip();
    world.take_xmpp();
    world.romeo("<presence from='romeo@capulet.example' to='bob@contoso.example' type='subscribed'/>");
    for sent in sent.iter().chain(&world.take_sip()).filter(|sent| sent.is_request()) {
        assert_eq!(sent.body(), "", "{}", sent.text);
    }
}

#[test]
fn check_098_who_is_not_of_our_realm_subscribes_to_nobody() {
    let mut world = world();
    for from in ["alice@elsewhere.example", "romeo@capulet.example"] {
        world.sip(&subscribe(1, "", "Expires: 600\r\n").replacen(ALICE, from, 1));
        assert_eq!((world.statuses(), world.take_xmpp().len()), (vec![403], 0), "{from}");
        world.pass_secs(33);
    }
    assert_eq!(world.gateway.watch_counts(), [0, 0]);
}
