//! A SIP user watches an XMPP user.

use super::*;

#[test]
fn f85_check_067_check_068_check_080_a_subscribe_becomes_a_subscribe() {
    let mut world = world();
    world.sip(&subscribe(1, "", "Expires: 600\r\n"));
    let sent = world.take_sip();
    assert_eq!((sent[0].status(), sent[0].header("Expires")), (Some(200), Some("600")));
    assert_eq!(sent[0].header("Contact"), Some("<sip:gw.contoso.example:5061;transport=tls>"));
    let notify = &sent[1];
    assert!(notify.text.starts_with("NOTIFY sip:alice@192.0.2.7:5061;transport=tls SIP/2.0\r\n"));
    assert_eq!(notify.header("Subscription-State"), Some("pending;expires=600"));
    assert_eq!((notify.header("Event"), notify.body()), (Some("presence"), ""));
    assert!(notify.header("From").unwrap().ends_with(&to_tag(&sent[0])));
    let asked = world.one_xmpp();
    assert!(asked.starts_with(&format!("<presence from='{ALICE}' to='{ROMEO}' type='subscribe' id='")));
    assert_eq!(records(&kept(&mut world)).len(), 2, "the authorization and the contact");
}

#[test]
fn f87_check_091_presence_goes_out_as_one_document_and_not_faster_than_every_five_seconds() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    world.pass_secs(6);
    for n in 0..10 {
        world.romeo(&format!("<presence from='{ROMEO}/r{n}' to='{ALICE}'/>"));
        for sent in world.take_sip() {
            world.answer(&sent, 200);
        }
    }
    world.pass_secs(6);
    let last = world.take_sip().pop().unwrap();
    assert_eq!(last.body().matches("<tuple ").count(), 11, "{}", last.body());
}

#[test]
fn check_067_check_096_a_refresh_is_answered_and_told_the_state() {
    let mut world = world();
    let tag = alice_sees_romeo(&mut world);
    world.sip(&subscribe(2, &tag, "Expires: 1200\r\n"));
    let sent = world.take_sip();
    assert_eq!((sent[0].status(), sent[0].header("Expires")), (Some(200), Some("1200")));
    assert!(sent[1].body().contains("<basic>open</basic>"));
    for (text, status) in [
        (subscribe(3, "other", "Expires: 60\r\n"), 481),
        (subscribe(4, &tag, "Expires: 60\r\n").replace("dialog1@edge", "dialog2@edge"), 481),
        (subscribe(1, &tag, "Expires: 60\r\n").replace("z9hG4bKs101", "z9hG4bKold"), 500),
        (subscribe(5, &tag, "Expires: 60\r\n").replace("Event: presence", "Event: dialog"), 489),
        (subscribe(6, &tag, "Expires: 5\r\n"), 423),
    ] {
        world.sip(&text);
        assert_eq!(world.statuses(), [status], "{text}");
    }
}

#[test]
fn f89_check_081_the_end_is_told_to_both() {
    let mut world = world();
    let tag = alice_sees_romeo(&mut world);
    world.sip(&subscribe(2, &tag, "Expires: 0\r\n"));
    let sent = world.take_sip();
    assert_eq!(sent[0].status(), Some(200));
    assert_eq!(sent[1].header("Subscription-State"), Some("terminated;reason=timeout"));
    assert!(sent[1].body().contains("<basic>closed</basic>"));
    assert_eq!(
        world.one_xmpp(),
        format!("<presence from='{ALICE}' to='{ROMEO}' type='unavailable'/>"),
        "the authorization stays"
    );
    world.answer(&sent[1], 200);
    world.sip(&subscribe(3, &tag, "Expires: 60\r\n"));
    assert_eq!(world.statuses(), [481]);
}

#[test]
fn f90_check_080_a_no_ends_the_watch_with_a_reason() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    romeo_says(&mut world, "unsubscribed");
    let end = world.one_sip();
    assert_eq!(end.header("Subscription-State"), Some("terminated;reason=rejected"));
    assert!(!kept(&mut world).is_empty());
    assert_eq!(world.gateway.watch_counts(), [0, 0]);
}

#[test]
fn an_unreachable_server_is_told_as_probation() {
    let mut world = World::new(Net { streams: Play::Fail, ..Net::works() });
    world.sip(&subscribe(1, "", "Expires: 600\r\n"));
    let sent = world.take_sip();
    assert_eq!(sent[0].status(), Some(200));
    let end = sent.last().unwrap();
    assert_eq!(end.header("Subscription-State"), Some("terminated;reason=probation;retry-after=300"));
}

#[test]
fn check_083_a_fetch_waits_for_what_a_probe_brings() {
    let mut world = world();
    let tag = alice_sees_romeo(&mut world);
    world.sip(&subscribe(2, &tag, "Expires: 0\r\n"));
    world.take_sip();
    world.take_xmpp();
    world.pass_secs(400);
    let fetch =
        subscribe(1, "", "Expires: 0\r\n").replace("dialog1@edge", "fetch@edge").replace("s101", "s900");
    world.sip(&fetch);
    assert!(world.take_sip().is_empty(), "the answer waits");
    assert!(world.one_xmpp().contains("type='probe'"));
    world.romeo(&format!("<presence from='{ROMEO}/hall' to='{ALICE}'/>"));
    let sent = world.take_sip();
    assert_eq!((sent[0].status(), sent[0].header("Expires")), (Some(200), Some("0")));
    assert!(sent[1].body().contains("<basic>open</basic>") && sent[1].body().contains("hall"));
    assert!(!sent[1].body().contains("orchard"), "what is old is not told");
}

#[test]
fn check_093_a_notify_that_is_481_ends_the_dialog() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    world.pass_secs(6);
    world.romeo(&format!("<presence from='{ROMEO}/orchard' to='{ALICE}'/>"));
    let notify = world.one_sip();
    world.answer(&notify, 481);
    assert!(world.one_xmpp().contains("type='unavailable'"));
    world.pass_secs(6);
    world.romeo(&format!("<presence from='{ROMEO}/orchard' to='{ALICE}'><show>dnd</show></presence>"));
    assert!(world.take_sip().is_empty());
}

#[test]
fn a_lost_link_does_not_lose_a_notify() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    world.pass_secs(6);
    world.romeo(&format!("<presence from='{ROMEO}/orchard' to='{ALICE}'/>"));
    let notify = world.one_sip();
    world.link_down(notify.link);
    let again = world.one_sip();
    assert_eq!((notify.body(), again.body() == notify.body()), (again.body(), true));
    assert_ne!(notify.link, again.link);
    world.answer(&again, 200);
    assert!(world.take_xmpp().is_empty());
}

#[test]
fn check_093_a_notify_that_a_503_put_off_is_sent_again() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    world.pass_secs(6);
    world.romeo(&format!("<presence from='{ROMEO}/orchard' to='{ALICE}'/>"));
    let notify = world.one_sip();
    world.answer(&notify, 503);
    world.pass_secs(59);
    assert!(world.take_sip().is_empty() && world.take_xmpp().is_empty());
    world.pass_secs(2);
    let again = world.one_sip();
    assert!(again.header("CSeq") > notify.header("CSeq") && again.body().contains("<basic>open</basic>"));
    world.answer(&again, 200);
}

#[test]
fn check_093_a_notify_that_found_no_server_is_sent_when_there_is_one() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    world.pass_secs(6);
    world.romeo(&format!("<presence from='{ROMEO}/orchard' to='{ALICE}'/>"));
    let notify = world.one_sip();
    world.net.links = Play::Fail;
    world.link_down(notify.link);
    world.pass_secs(30);
    assert!(world.take_sip().is_empty() && world.take_xmpp().is_empty(), "alice is still there");
    world.net.links = Play::Up;
    world.pass_secs(60);
    let again = world.one_sip();
    assert!(again.header("CSeq") > notify.header("CSeq") && again.body().contains("<basic>open</basic>"));
    world.answer(&again, 200);
}

#[test]
fn check_093_a_notify_without_an_answer_ends_the_dialog() {
    let mut world = world();
    alice_sees_romeo(&mut world);
    world.pass_secs(6);
    world.romeo(&format!("<presence from='{ROMEO}/orchard' to='{ALICE}'/>"));
    world.one_sip();
    world.pass_secs(33);
    assert!(world.one_xmpp().contains("type='unavailable'"));
    world.pass_secs(60);
    assert!(world.take_sip().is_empty());
}

#[test]
fn check_092_check_094_only_one_event_package_and_one_type() {
    let mut world = world();
    let usual = subscribe(1, "", "Expires: 60\r\n");
    for (n, (text, status)) in [
        (usual.replace("Event: presence\r\n", ""), 489),
        (usual.replace("Event: presence", "Event: presence.winfo"), 489),
        (usual.replace("application/pidf+xml", "application/other"), 406),
        (usual.replace("Contact: <sip:alice@192.0.2.7:5061;transport=tls>\r\n", ""), 400),
        (usual.replace("Expires: 60", "Expires: 1"), 423),
    ]
    .into_iter()
    .enumerate()
    {
        world.sip(&text.replace("s101", &format!("x{n}")).replace("dialog1", &format!("d{n}")));
        assert_eq!((world.statuses(), world.take_xmpp().len()), (vec![status], 0), "{text}");
    }
    assert_eq!(world.gateway.watch_counts(), [0, 0]);
}

#[test]
fn the_watcher_is_not_told_gone_while_it_is_seen_the_other_way() {
    let mut world = world();
    romeo_sees_alice(&mut world);
    let tag = alice_sees_romeo(&mut world);
    world.sip(&subscribe(2, &tag, "Expires: 0\r\n"));
    assert!(world.take_xmpp().is_empty(), "romeo still sees alice online");
}
