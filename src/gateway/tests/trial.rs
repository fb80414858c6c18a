//! Trials: the way of an ordinary item, whose end is told to the operator and to nobody else.

use super::net::{Net, Play};
use super::presence;
use super::world::World;
use super::{ALICE, ROMEO};
use crate::addr::Jid;
use crate::crossing::Kind::{Message, Presence};
use crate::gateway::trial::{NoTrial, Outcome, PATIENCE, Stage, Trial};
use crate::policy::Reason;
use crate::xmpp::error::Condition;
use std::time::Duration;

fn world() -> World {
    World::new(Net::works())
}

/// The one outcome.
#[track_caller]
fn ended(world: &mut World) -> Outcome {
    assert_eq!(world.tried.len(), 1, "{:?}", world.tried);
    world.tried.remove(0)
}

fn id_of(stanza: &str) -> String {
    stanza.split(" id='").nth(1).unwrap().split('\'').next().unwrap().to_owned()
}

/// Every trace of the trial is gone.
#[track_caller]
fn left_nothing(world: &mut World) {
    world.pass(Duration::from_secs(40));
    assert!(world.tried.is_empty(), "{:?}", world.tried);
    world.assert_quiet();
    assert_eq!(world.gateway.watch_counts(), [0, 0]);
    assert!(world.gateway.trials.is_empty());
}

#[test]
fn f108_walk_13_a_message_to_a_contact_works_when_the_partner_answers_behind_it() {
    let mut world = world();
    world.try_out(Message, ALICE, ROMEO);
    let sent = world.take_xmpp();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert!(
        sent[0].starts_with("<message from='alice@contoso.example' to='romeo@capulet.example'"),
        "{sent:?}"
    );
    assert!(sent[0].contains("<body>a test</body>"), "{sent:?}");
    assert!(sent[1].starts_with("<iq from='contoso.example' to='capulet.example'"), "{sent:?}");
    assert!(world.tried.is_empty() && world.take_sip().is_empty());
    let id = id_of(&sent[1]);
    // An answer from somebody else is none.
    world.xmpp(
        "montague.example",
        &format!("<iq from='montague.example' to='contoso.example' id='{id}' type='result'/>"),
    );
    world.pass_secs(1);
    assert!(world.tried.is_empty());
    world.romeo(&format!("<iq from='capulet.example' to='contoso.example' id='{id}' type='result'/>"));
    assert!(world.tried.is_empty(), "an error may still come");
    world.pass_secs(1);
    assert!(matches!(ended(&mut world), Outcome::Works(_)));
    left_nothing(&mut world);
}

#[test]
fn f108_an_error_for_the_message_is_the_outcome_and_no_user_hears_of_it() {
    let mut world = world();
    world.try_out(Message, ALICE, ROMEO);
    let sent = world.take_xmpp();
    let (message, ping) = (id_of(&sent[0]), id_of(&sent[1]));
    world.romeo(&format!("<iq from='capulet.example' to='contoso.example' id='{ping}' type='result'/>"));
    world.romeo(&format!(
        "<message from='romeo@capulet.example' to='alice@contoso.example' id='{message}' type='error'><error \
         type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    ));
    match ended(&mut world) {
        Outcome::Failed { condition, .. } => assert_eq!(condition, Condition::ServiceUnavailable),
        other => panic!("{other:?}"),
    }
    assert!(world.take_sip().is_empty(), "alice has written nothing");
    left_nothing(&mut world);
}

#[test]
fn f108_an_error_that_comes_when_the_trial_is_over_is_told_to_nobody() {
    let mut world = world();
    world.try_out(Message, ALICE, ROMEO);
    let message = id_of(&world.take_xmpp()[0]);
    world.pass(PATIENCE);
    assert_eq!(ended(&mut world), Outcome::Late(Stage::Taken));
    world.romeo(&format!(
        "<message from='romeo@capulet.example' to='alice@contoso.example' id='{message}' type='error'><error \
         type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    ));
    world.assert_nothing_sent();
    left_nothing(&mut world);
}

#[test]
fn f108_walk_13_what_the_gate_refuses_is_denied_and_goes_nowhere() {
    for (from, to, reason) in [
        ("denied@contoso.example", ROMEO, Reason::PolicyXmpp),
        (ALICE, "x@stranger.example", Reason::Unlisted),
        ("x@stranger.example", ALICE, Reason::Unlisted),
        (ROMEO, "denied@contoso.example", Reason::PolicyXmpp),
        ("mallory@capulet.example", ALICE, Reason::AddressBlocked),
    ] {
        for kind in [Message, Presence] {
            let mut world = world();
            world.try_out(kind, from, to);
            match ended(&mut world) {
                Outcome::Denied(found, _) => {
                    let same =
                        found == reason || found == Reason::PolicyFederation && reason == Reason::PolicyXmpp;
                    assert!(same, "{from} {to}: {found}");
                }
                other => panic!("{from} {to}: {other:?}"),
            }
            world.assert_nothing_sent();
            left_nothing(&mut world);
        }
    }
}

#[test]
fn f108_a_partner_that_is_out_of_reach_is_told_with_its_reason() {
    let mut world = World::new(Net { streams: Play::Fail, ..Net::works() });
    world.try_out(Message, ALICE, ROMEO);
    match ended(&mut world) {
        Outcome::Failed { why, .. } => assert_eq!(why, "no server"),
        other => panic!("{other:?}"),
    }
    left_nothing(&mut world);
}

#[test]
fn f108_a_partner_that_never_answers_is_late_and_says_how_far_it_came() {
    let mut world = world();
    world.try_out(Message, ALICE, ROMEO);
    assert_eq!(world.take_xmpp().len(), 2);
    world.pass(PATIENCE);
    assert_eq!(ended(&mut world), Outcome::Late(Stage::Taken));
    left_nothing(&mut world);
}

#[test]
fn f108_walk_13_a_message_to_our_user_ends_with_the_final_response() {
    for status in [200, 404, 486] {
        let mut world = World::new(Net { status: Some(status), ..Net::works() });
        world.try_out(Message, ROMEO, ALICE);
        let sent = world.one_sip();
        assert!(sent.text.starts_with("MESSAGE sip:alice@contoso.example SIP/2.0\r\n"), "{}", sent.text);
        assert_eq!(sent.body(), "a test");
        match (status, ended(&mut world)) {
            (200, Outcome::Works(_)) => {}
            (_, Outcome::Failed { status: found, .. }) => assert_eq!(found, status),
            (_, other) => panic!("{other:?}"),
        }
        assert!(world.take_xmpp().is_empty(), "romeo has written nothing");
        left_nothing(&mut world);
    }
}

#[test]
fn f109_presence_of_a_contact_is_asked_for_and_nothing_is_kept() {
    for (answer, said) in [
        ("<presence from='romeo@capulet.example/x' to='alice@contoso.example'/>", "online"),
        ("<presence from='romeo@capulet.example' to='alice@contoso.example' type='unavailable'/>", "offline"),
        (
            "<presence from='romeo@capulet.example' to='alice@contoso.example' type='unsubscribed'/>",
            "not authorized",
        ),
    ] {
        let mut world = world();
        world.try_out(Presence, ALICE, ROMEO);
        let sent = world.take_xmpp();
        assert!(sent[0].starts_with("<presence ") && sent[0].contains(" type='probe'"), "{sent:?}");
        world.romeo(answer);
        match ended(&mut world) {
            Outcome::Works(text) => assert!(text.contains(said), "{text}"),
            other => panic!("{other:?}"),
        }
        assert!(world.take_sip().is_empty());
        left_nothing(&mut world);
    }
}

#[test]
fn f109_a_probe_that_is_refused_ends_no_subscription_that_was_asked_for() {
    let mut world = presence::world();
    world.sip(&presence::subscribe(1, "", "Expires: 600\r\n"));
    for notify in world.take_sip().iter().filter(|sent| sent.status().is_none()) {
        world.answer(notify, 200);
    }
    assert!(world.one_xmpp().contains(" type='subscribe'"));
    world.try_out(Presence, ALICE, ROMEO);
    assert!(world.take_xmpp()[0].contains(" type='probe'"));
    presence::romeo_says(&mut world, "unsubscribed");
    assert!(matches!(ended(&mut world), Outcome::Works(_)));
    assert!(world.take_sip().is_empty(), "alice hears nothing of it");
    assert_eq!(world.gateway.watch_counts(), [0, 1]);
}

#[test]
fn f109_presence_of_our_user_is_fetched_with_expires_0_and_its_notify_answered() {
    let mut world = World::new(Net { status: None, ..Net::works() });
    world.try_out(Presence, ROMEO, ALICE);
    let sent = world.one_sip();
    assert!(sent.text.starts_with("SUBSCRIBE sip:alice@contoso.example SIP/2.0\r\n"), "{}", sent.text);
    assert_eq!(sent.header("Expires"), Some("0"));
    world.answer_with(&sent, 200, "Contact: <sip:edge@192.0.2.1>\r\nExpires: 0\r\n");
    assert!(world.tried.is_empty(), "the NOTIFY is still to come");
    let (tag, call_id) =
        (sent.header("From").unwrap().to_owned(), sent.header("Call-ID").unwrap().to_owned());
    world.sip(&format!(
        "NOTIFY sip:romeo@gw.contoso.example SIP/2.0\r\nVia: SIP/2.0/TLS edge;branch=z9hG4bKn\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@contoso.example>;tag=n\r\nTo: {tag}\r\nCall-ID: {call_id}\r\nCSeq: 1 NOTIFY\r\n\
         Contact: <sip:edge@192.0.2.1>\r\nEvent: presence\r\nSubscription-State: terminated;reason=timeout\r\n\
         Content-Length: 0\r\n\r\n"
    ));
    assert_eq!(world.one_sip().status(), Some(200));
    assert!(matches!(ended(&mut world), Outcome::Works(_)));
    assert!(world.take_xmpp().is_empty(), "romeo has asked for nothing");
    left_nothing(&mut world);
}

#[test]
fn f109_a_sip_server_that_refuses_the_subscribe_is_told() {
    let mut world = World::new(Net { status: Some(489), ..Net::works() });
    world.try_out(Presence, ROMEO, ALICE);
    assert!(matches!(ended(&mut world), Outcome::Failed { status: 489, .. }));
    assert!(world.take_xmpp().is_empty());
    left_nothing(&mut world);
}

#[test]
fn trials_are_bounded_and_need_one_side_each() {
    let mut world = World::new(Net { streams: Play::Silent, ..Net::works() });
    let jid = |text| Jid::parse(text).unwrap();
    let trial = |from, to| Trial { from: jid(from), to: jid(to), kind: Message, text: String::new() };
    for (from, to, why) in [
        (ALICE, "bob@contoso.example", NoTrial::BothOurs),
        (ROMEO, "x@montague.example", NoTrial::NeitherOurs),
        (ALICE, "capulet.example", NoTrial::NoUser),
    ] {
        assert_eq!(world.gateway.begin_trial(world.now, &trial(from, to)), Err(why));
    }
    let mut begun = 0;
    while begun < 100
        && world.gateway.begin_trial(world.now, &Trial { text: "x".into(), ..trial(ALICE, ROMEO) }).is_ok()
    {
        begun += 1;
    }
    assert_eq!(begun, 8);
}
