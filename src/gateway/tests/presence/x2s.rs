//! An XMPP user watches a SIP user.

use super::*;

#[test]
fn f86_a_subscribe_becomes_a_subscribe_for_the_configured_time() {
    let mut world = world();
    romeo_says(&mut world, "subscribe");
    assert_eq!(kept(&mut world).len(), 1, "what was asked for is kept first");
    let sent = subscribe_of(&mut world);
    for line in [
        "SUBSCRIBE sip:alice@contoso.example SIP/2.0",
        "To: <sip:alice@contoso.example>",
        "Event: presence",
        "Accept: application/pidf+xml",
        "Expires: 28800",
        "Contact: <sip:gw.contoso.example:5061;transport=tls>",
    ] {
        assert!(sent.text.contains(&format!("{line}\r\n")), "{line}: {}", sent.text);
    }
    assert!(sent.header("From").unwrap().starts_with("<sip:romeo@capulet.example>;tag="));
    assert!(world.take_xmpp().is_empty(), "nobody said yes");
}

#[test]
fn check_102_check_073_active_alone_approves_and_the_document_comes_behind() {
    let mut world = world();
    romeo_says(&mut world, "subscribe");
    let subscribe = subscribe_of(&mut world);
    world.answer_with(&subscribe, 202, "Expires: 3600\r\nContact: <sip:pa.contoso.example>\r\n");
    world.sip(&notify(&subscribe, 1, "pending;expires=3600", CLOSED));
    assert_eq!(world.statuses(), [200]);
    assert!(world.take_xmpp().is_empty());
    world.sip(&notify(&subscribe, 2, "active;expires=3600", OPEN));
    assert_eq!(world.statuses(), [200]);
    let said = world.take_xmpp();
    assert_eq!(
        said[0],
        "<presence from='alice@contoso.example' to='romeo@capulet.example' type='subscribed'/>"
    );
    assert!(said[1].starts_with("<presence from='alice@contoso.example/desk' to='romeo@capulet.example'>"));
    assert!(said[1].contains("<c xmlns='http://jabber.org/protocol/caps' hash='sha-1'"), "{}", said[1]);
    assert_eq!(said.len(), 2);
}

#[test]
fn check_084_check_088_a_document_says_what_is_new_and_a_probe_all_there_is() {
    let mut world = world();
    let subscribe = romeo_sees_alice(&mut world);
    world.sip(&notify(&subscribe, 2, "active;expires=28000", OPEN));
    assert_eq!((world.statuses(), world.take_xmpp().len()), (vec![200], 0), "nothing new");
    romeo_says(&mut world, "probe");
    assert!(world.one_xmpp().contains("<status>at work</status>"));
    world.sip(&notify(&subscribe, 3, "active;expires=28000", CLOSED));
    assert_eq!(
        world.one_xmpp(),
        "<presence from='alice@contoso.example/desk' to='romeo@capulet.example' type='unavailable'></presence>"
    );
    romeo_says(&mut world, "probe");
    assert_eq!(
        world.one_xmpp(),
        "<presence from='alice@contoso.example' to='romeo@capulet.example' type='unavailable'></presence>"
    );
}

#[test]
fn check_089_a_bad_document_is_answered_and_the_last_state_stays() {
    let mut world = world();
    let subscribe = romeo_sees_alice(&mut world);
    let state = "active;expires=28000";
    for (number, (document, status)) in [
        ("<presence", 400),
        ("<!DOCTYPE x><presence xmlns='urn:ietf:params:xml:ns:pidf'/>", 400),
        ("<note xmlns='urn:other'/>", 400),
    ]
    .into_iter()
    .enumerate()
    {
        world.sip(&notify(&subscribe, 10 + number as u32, state, document));
        assert_eq!((world.statuses(), world.take_xmpp().len()), (vec![status], 0), "{document}");
    }
    let lines = format!("Event: presence\r\nSubscription-State: {state}\r\nContent-Type: text/plain\r\n");
    let other =
        notify_with(&subscribe, 20, &lines, OPEN).replace("Content-Type: application/pidf+xml\r\n", "");
    world.sip(&other);
    let answer = world.one_sip();
    assert_eq!((answer.status(), answer.header("Accept")), (Some(415), Some("application/pidf+xml")));
    romeo_says(&mut world, "probe");
    assert!(world.one_xmpp().contains("<status>at work</status>"), "the last good one");
}

#[test]
fn check_071_check_094_check_095_a_notify_outside_of_a_dialog_is_481_and_shows_nothing() {
    let mut world = world();
    let subscribe = romeo_sees_alice(&mut world);
    let good = notify(&subscribe, 7, "active", CLOSED);
    let call_id = subscribe.header("Call-ID").unwrap().to_owned();
    for bad in [
        good.replace(&call_id, "another"),
        good.replace(";tag=pa", ";tag=fork"),
        good.replace("From: <sip:alice@", "From: <sip:bob@"),
        good.replace("Event: presence", "Event: presence;id=7"),
    ] {
        world.sip(&bad.replace("z9hG4bKn7", &format!("z9hG4bK{}", bad.len())));
        assert_eq!((world.statuses(), world.take_xmpp().len()), (vec![481], 0), "{bad}");
        world.pass_secs(33);
    }
    let unsaid = notify_with(&subscribe, 8, "Event: presence\r\n", CLOSED);
    world.sip(&unsaid);
    assert_eq!((world.statuses(), world.take_xmpp().len()), (vec![400], 0));
    let other = notify_with(&subscribe, 9, "Event: dialog\r\nSubscription-State: active\r\n", CLOSED);
    world.sip(&other);
    let answer = world.one_sip();
    assert_eq!((answer.status(), answer.header("Allow-Events")), (Some(489), Some("presence")));
}

#[test]
fn check_074_f90_who_says_no_ends_it_and_the_watcher_hears() {
    for status in [403, 489, 603] {
        let mut world = world();
        romeo_says(&mut world, "subscribe");
        let subscribe = subscribe_of(&mut world);
        world.answer(&subscribe, status);
        let said = world.take_xmpp();
        let plain = |type_| format!("<presence from='{ALICE}' to='{ROMEO}' type='{type_}'/>");
        assert_eq!(said, [plain("unavailable"), plain("unsubscribed")], "{status}");
        assert!(records(&kept(&mut world)).is_empty());
        assert_eq!(world.gateway.watch_counts(), [0, 0]);
    }
}

#[test]
fn no_such_user_is_an_error_with_the_id_of_the_subscribe() {
    let mut world = world();
    romeo_says(&mut world, "subscribe");
    let subscribe = subscribe_of(&mut world);
    world.answer(&subscribe, 404);
    let said = world.one_xmpp();
    assert!(said.contains("<item-not-found") && said.contains("id='subscribe1'"), "{said}");
    assert_eq!(world.gateway.watch_counts(), [0, 0]);
}

#[test]
fn check_079_f89_an_unsubscribe_ends_the_dialog() {
    let mut world = world();
    romeo_sees_alice(&mut world);
    romeo_says(&mut world, "unsubscribe");
    let end = subscribe_of(&mut world);
    assert_eq!(end.header("Expires"), Some("0"));
    assert!(end.header("To").unwrap().ends_with(";tag=pa"), "in the dialog");
    world.answer(&end, 200);
    let said = world.take_xmpp();
    assert!(said[0].contains("type='unavailable'") && said[1].contains("type='unsubscribed'"), "{said:?}");
    assert!(records(&kept(&mut world)).is_empty());
    world.pass_secs(40);
    assert_eq!(world.gateway.watch_counts(), [0, 0]);
}

#[test]
fn check_100_a_dead_peer_ends_in_unavailable() {
    let mut world = world();
    romeo_sees_alice(&mut world);
    let row = world.gateway.watches(world.now, None, 10).0.remove(0);
    assert_eq!((row.authorization, row.state, row.dialogs), ("announced", "active", 1));
    assert_eq!(row.next.unwrap().0, "refresh");
    // Somebody is still interested.
    romeo_says(&mut world, "probe");
    world.take_xmpp();
    world.pass_secs(28_800);
    let said = world.take_xmpp();
    assert!(said.iter().any(|one| one.contains("type='unavailable'")), "{said:?}");
    assert!(!said.iter().any(|one| one.contains("unsubscribed")), "{said:?}");
    assert!(world.take_sip().iter().any(|one| one.text.starts_with("SUBSCRIBE ")));
}

#[test]
fn check_100_a_link_that_comes_back_has_its_dialogs_refreshed_within_a_minute() {
    let mut world = world();
    let subscribe = romeo_sees_alice(&mut world);
    world.net.links = Play::Fail;
    world.link_down(subscribe.link);
    world.pass_secs(20);
    assert!(world.take_sip().is_empty() && world.take_xmpp().is_empty(), "alice is believed for a while");
    // Nobody writes: the link is made again for its own sake.
    world.net.links = Play::Up;
    let refresh = subscribe_soon(&mut world);
    assert_eq!(refresh.header("Call-ID"), subscribe.header("Call-ID"));
    world.pass_secs(33);
    let said = world.take_xmpp();
    assert!(said.iter().any(|one| one.contains("type='unavailable'")), "no answer: {said:?}");
}

#[test]
fn a_lost_link_that_nobody_sees_anything_by_is_not_made_again() {
    let mut world = world();
    romeo_says(&mut world, "subscribe");
    let subscribe = subscribe_of(&mut world);
    world.answer(&subscribe, 603);
    world.seen.clear();
    world.link_down(subscribe.link);
    world.pass_secs(100);
    assert!(world.seen.is_empty(), "{:?}", world.seen);
}

#[test]
fn check_077_a_503_says_when_to_ask_again() {
    let mut world = world();
    romeo_says(&mut world, "subscribe");
    let subscribe = subscribe_of(&mut world);
    world.answer_with(&subscribe, 503, "Retry-After: 900\r\n");
    assert!(world.one_xmpp().contains("type='error'"));
    world.pass_secs(899);
    assert!(world.take_sip().is_empty());
    let again = subscribe_soon_within(&mut world, 90);
    assert_ne!(again.header("Call-ID"), subscribe.header("Call-ID"));
}

#[test]
fn a_further_link_is_no_reason_to_ask_again() {
    let mut world = world();
    let subscribe = romeo_sees_alice(&mut world);
    world.handle(crate::gateway::Input::LinkUp {
        link: subscribe.link,
        peer: crate::gateway::effect::PeerId(0),
        way: crate::gateway::Way {
            link: subscribe.link,
            to: None,
            transport: crate::sip::locate::Transport::Tls,
        },
    });
    world.pass_secs(100);
    assert!(world.take_sip().is_empty());
}

#[test]
fn a_lost_stream_hides_what_was_said_until_it_is_asked_for() {
    let mut world = World::new(Net { written: false, ..Net::works() });
    romeo_says(&mut world, "subscribe");
    let subscribe = subscribe_of(&mut world);
    world.sip(&notify(&subscribe, 1, "active;expires=3600", OPEN));
    let stream = world.seen.iter().find_map(|seen| match seen {
        Seen::Xmpp { stream, .. } => Some(*stream),
        _ => None,
    });
    world.take_xmpp();
    world.stream_down(stream.unwrap());
    world.pass_secs(5);
    world.sip(&notify(&subscribe, 2, "active;expires=3600", OPEN));
    assert_eq!(world.take_xmpp().len(), 1, "the same document is told again");
}

#[test]
fn check_100_what_a_partner_missed_is_told_when_it_is_back() {
    let mut world = World::new(Net { written: false, ..Net::works() });
    romeo_says(&mut world, "subscribe");
    let subscribe = subscribe_of(&mut world);
    world.sip(&notify(&subscribe, 1, "active;expires=3600", OPEN));
    let stream = world.seen.iter().find_map(|seen| match seen {
        Seen::Xmpp { stream, .. } => Some(*stream),
        _ => None,
    });
    world.take_xmpp();
    world.stream_down(stream.unwrap());
    world.net.streams = Play::Fail;
    world.pass_secs(5);
    world.sip(&notify(&subscribe, 2, "active;expires=3600", CLOSED));
    world.pass_secs(200);
    assert!(world.take_xmpp().is_empty());
    world.net.streams = Play::Up;
    world.net.written = true;
    world.pass_secs(200);
    let said = world.take_xmpp();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("type='subscribed'") && said[1].contains("type='unavailable'"), "{said:?}");
    world.pass_secs(2000);
    assert!(world.take_xmpp().is_empty(), "once");
}

#[test]
fn a_challenge_to_a_subscribe_is_answered_in_its_dialog() {
    let credentials = crate::sip::digest::Credentials {
        realm: "contoso.example".into(),
        username: "gw".into(),
        password: "secret".into(),
    };
    let mut world = World::with(Net::works(), |settings| {
        settings.peers[0].credentials = Some(credentials);
    });
    romeo_says(&mut world, "subscribe");
    let first = subscribe_of(&mut world);
    let challenge =
        "WWW-Authenticate: Digest realm=\"contoso.example\", nonce=\"n\", qop=\"auth\", algorithm=MD5\r\n";
    world.answer_with(&first, 401, challenge);
    let second = subscribe_of(&mut world);
    assert!(second.header("Authorization").unwrap().contains("username=\"gw\""));
    assert_eq!((first.header("CSeq"), second.header("CSeq")), (Some("1 SUBSCRIBE"), Some("2 SUBSCRIBE")));
    assert_eq!(first.header("From"), second.header("From"));
    world.sip(&notify(&second, 1, "active;expires=3600", OPEN));
    assert_eq!(world.take_xmpp().len(), 2);
}

#[test]
fn f88_two_devices_are_two_resources() {
    let mut world = world();
    let subscribe = romeo_sees_alice(&mut world);
    let two = OPEN
        .replace("</presence>", "<tuple id='phone'><status><basic>open</basic></status></tuple></presence>");
    world.sip(&notify(&subscribe, 2, "active;expires=3600", &two));
    assert!(world.one_xmpp().starts_with("<presence from='alice@contoso.example/phone'"));
}
