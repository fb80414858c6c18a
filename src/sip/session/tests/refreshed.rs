//! Refreshes: the session timer as refresher and as refreshed, glare, and changes of the target.

use super::*;

const AT: &str = "Contact: <sip:romeo@192.0.2.9>\r\n";

/// An established session of our INVITE, with these lines in the 2xx.
fn established(lines: &str) -> World {
    let mut world = calling();
    world.establish(lines);
    world
}

#[track_caller]
fn refresh(world: &mut World) -> (Duration, String) {
    match world.next() {
        (when, Due::Refresh(request)) => {
            let said = said(&request);
            world.sent = Some(request);
            (when, said)
        }
        other => panic!("{other:?}"),
    }
}

fn header_of(request: &SessionRequest, name: Name) -> Option<String> {
    let octets = octets(request);
    read(&octets).header(name).map(str::to_owned)
}

#[test]
fn check_066_as_refresher_half_of_the_interval_passes_and_an_update_goes_out() {
    let mut world =
        established("Session-Expires: 1800;refresher=uac\r\nRequire: timer\r\nAllow: INVITE, UPDATE\r\n");
    assert_eq!(world.session.timer(), Some((1800, Refresher::Us)));
    let (when, said) = refresh(&mut world);
    assert_eq!((when.as_secs(), said.as_str()), (900, "UPDATE 2 192.0.2.9 theirs"));
    let sent = world.sent.as_ref().unwrap();
    assert_eq!(header_of(sent, Name::SessionExpires).unwrap(), "1800;refresher=uac");
    assert_eq!(header_of(sent, Name::ContentType), None, "an UPDATE has no offer");
    assert_eq!(header_of(sent, Name::Contact).unwrap(), format!("<{CONTACT}>"));
    world.pass(1);
    assert!(matches!(
        world.answer(
            200,
            "theirs",
            "Contact: <sip:romeo@192.0.2.10>\r\nSession-Expires: 600;refresher=uac\r\n"
        ),
        Answered::Refreshed { ack: None }
    ));
    let (when, said) = refresh(&mut world);
    assert_eq!((when.as_secs(), said.as_str()), (901 + 300, "UPDATE 3 192.0.2.10 theirs"));
}

#[test]
fn check_066_a_peer_without_update_gets_a_re_invite_with_the_same_offer_and_an_ack() {
    let mut world = established("Session-Expires: 200;refresher=uac\r\nAllow: INVITE, ACK, BYE\r\n");
    let (when, said) = refresh(&mut world);
    assert_eq!((when.as_secs(), said.as_str()), (100, "INVITE 2 192.0.2.9 theirs"));
    let octets = octets(world.sent.as_ref().unwrap());
    assert_eq!(read(&octets).body, OFFER);
    assert!(matches!(world.answer(180, "theirs", ""), Answered::Nothing));
    match world.answer(200, "theirs", AT) {
        Answered::Refreshed { ack: Some(ack) } => assert_eq!(super::said(&ack), "ACK 2 192.0.2.9 theirs"),
        other => panic!("{other:?}"),
    }
    assert!(matches!(world.answer(200, "theirs", AT), Answered::Acknowledge(_)), "its copy");
    assert_eq!(world.session.timer(), None, "RFC 4028 §7.2: the 2xx switched it off");
    assert_eq!(world.session.deadline(), None);
}

#[test]
fn check_066_a_peer_that_takes_no_update_after_all_gets_a_re_invite() {
    let mut world = established("Session-Expires: 200;refresher=uac\r\nAllow: INVITE, UPDATE\r\n");
    refresh(&mut world);
    assert!(matches!(world.answer(501, "theirs", ""), Answered::Unchanged { status: 501 }));
    assert_eq!(refresh(&mut world).1, "INVITE 3 192.0.2.9 theirs");
}

#[test]
fn check_066_what_is_not_refreshed_in_time_is_torn_down() {
    for (lines, ends) in [
        ("Session-Expires: 1800;refresher=uas\r\n", 1800 - 32),
        ("Session-Expires: 90;refresher=uas\r\n", 90 - 30),
        ("Session-Expires: 1;refresher=uas\r\n", 90 - 30),
        ("Session-Expires: 999999;refresher=uas\r\n", 1800 - 32),
    ] {
        let mut world = established(lines);
        let (when, due) = world.next();
        assert_eq!(when.as_secs(), ends, "{lines}");
        assert!(matches!(due, Due::End(_)), "{due:?}");
        assert!(world.session.is_over());
    }
    // As refresher too: when no refresh succeeds.
    let mut world = established("Session-Expires: 1800\r\nAllow: UPDATE\r\n");
    let mut refreshes = 0;
    loop {
        match world.next() {
            (_, Due::Refresh(request)) => {
                refreshes += 1;
                world.sent = Some(request);
                assert!(matches!(world.answer(500, "theirs", ""), Answered::Unchanged { status: 500 }));
            }
            (when, Due::End(_)) => {
                assert_eq!(when.as_secs(), 1768);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((2..=10).contains(&refreshes), "{refreshes}");
}

#[test]
fn check_066_a_refresh_that_nobody_answers_or_knows_ends_the_session() {
    for status in [408, 481] {
        let mut world = established("Session-Expires: 1800;refresher=uac\r\nAllow: UPDATE\r\n");
        refresh(&mut world);
        let request = world.sent.take().unwrap();
        let gone = world.session.on_failure(world.now, &request, status);
        assert!(matches!(gone, Answered::Gone { bye: Some(_), .. }), "{gone:?}");
    }
}

#[test]
fn check_066_a_refresh_that_gets_422_goes_out_again_with_its_min_se() {
    let mut world = established("Session-Expires: 100;refresher=uac\r\nAllow: UPDATE\r\n");
    refresh(&mut world);
    match world.answer(422, "theirs", "Min-SE: 120\r\n") {
        Answered::Again(request) => {
            assert_eq!(said(&request), "UPDATE 3 192.0.2.9 theirs");
            assert_eq!(header_of(&request, Name::SessionExpires).unwrap(), "120;refresher=uac");
            assert_eq!(header_of(&request, Name::MinSe).unwrap(), "120");
            world.sent = Some(request);
        }
        other => panic!("{other:?}"),
    }
    world.answer(200, "theirs", "Session-Expires: 120;refresher=uac\r\n");
    assert_eq!(world.session.timer(), Some((120, Refresher::Us)));
}

#[test]
fn check_066_a_peer_without_a_timer_has_none() {
    assert_eq!(established("").session.timer(), None);
    assert_eq!(established("Session-Expires: soon\r\n").session.timer(), None);
    assert_eq!(confirmed_with("").session.timer(), None);
    let mut world = confirmed_with("");
    assert_eq!(world.session.deadline(), None);
    assert!(matches!(world.session.on_timer(Now::at(1_000_000).mono), Due::Nothing));
}

#[test]
fn check_066_an_invite_says_who_refreshes_and_how_often() {
    let timer = "Supported: timer\r\n";
    for (lines, expires, require, who) in [
        (
            "Session-Expires: 720\r\nSupported: ms-forking, timer\r\n",
            Some("720;refresher=uac"),
            true,
            Some(Refresher::Peer),
        ),
        (
            "Session-Expires: 720;refresher=uac\r\nSupported: timer\r\n",
            Some("720;refresher=uac"),
            true,
            Some(Refresher::Peer),
        ),
        (
            "Session-Expires: 720 ;refresher=UAS\r\nSupported: timer\r\n",
            Some("720;refresher=uas"),
            false,
            Some(Refresher::Us),
        ),
        (
            "x: 3600;refresher=uac;y\r\nRequire: timer\r\n",
            Some("1800;refresher=uac"),
            true,
            Some(Refresher::Peer),
        ),
        // A proxy asked for it, the caller knows nothing of it.
        ("Session-Expires: 720\r\n", Some("720;refresher=uas"), false, Some(Refresher::Us)),
        ("Session-Expires: 30\r\n", None, false, None),
        (timer, Some("1800;refresher=uac"), true, Some(Refresher::Peer)),
        (
            "Session-Expires: 3600\r\nMin-SE: 2000\r\nSupported: timer\r\n",
            Some("2000;refresher=uac"),
            true,
            Some(Refresher::Peer),
        ),
        ("", None, false, None),
    ] {
        let mut world = called_with(lines);
        let headers = world.session.accept(world.now, CONTACT, SDP, OFFER).unwrap();
        let header = |name| headers.iter().find(|(one, _)| *one == name).map(|(_, value)| value.as_str());
        assert_eq!(header(Name::SessionExpires), expires, "{lines}");
        assert_eq!(header(Name::Require).is_some(), require, "{lines}");
        assert_eq!(world.session.timer().map(|(_, who)| who), who, "{lines}");
    }
}

#[test]
fn check_066_an_invite_with_too_short_an_interval_is_422_with_min_se() {
    for (lines, expected) in [
        ("Session-Expires: 89\r\nSupported: timer\r\n", 422),
        ("Session-Expires: x\r\n", 400),
        ("Session-Expires: 1800;refresher\r\nMin-SE: -1\r\n", 400),
        ("Session-Expires: 1800;;\r\n", 400),
    ] {
        let octets = their_invite(lines);
        let reject =
            Session::invited(Now::at(0).mono, &read(&octets), "o", true, Timing::default()).unwrap_err();
        assert_eq!(reject.status, expected, "{lines}");
        if expected == 422 {
            assert_eq!(reject.headers, [(Name::MinSe, "90".to_owned())]);
        }
    }
}

#[test]
fn check_066_the_peers_refresh_moves_the_end_and_the_target_and_keeps_the_roles() {
    let mut world = confirmed_with("Session-Expires: 200;refresher=uac\r\nSupported: timer\r\n");
    let end = |world: &World| world.session.deadline().unwrap().since(Now::at(0).mono).as_secs();
    assert_eq!(end(&world), 168);
    world.pass(100);
    let lines =
        "Contact: <sip:romeo@192.0.2.55>\r\nSession-Expires: 200;refresher=uac\r\nSupported: timer\r\n";
    let octets = world.theirs("UPDATE", 2, lines, "");
    let update = read(&octets);
    assert_eq!(world.session.on_request(&update, &mut world.ids), Ok(InDialog::Refresh));
    let headers = world.session.accept_refresh(world.now, &update, CONTACT, "", b"").unwrap();
    assert!(headers.contains(&(Name::SessionExpires, "200;refresher=uac".to_owned())));
    assert_eq!(end(&world), 268);
    assert!(!world.session.awaits_ack(), "an UPDATE has no ACK");
    let text = world.session.request(Method::Message, &[], "text/plain", b"x").unwrap();
    assert_eq!(said(&text), "MESSAGE 1 192.0.2.55 theirs");
    // A re-INVITE: its 2xx is repeated until its own ACK.
    let octets = world.theirs("INVITE", 3, &lines.replace("55", "56"), "v=0");
    let again = read(&octets);
    assert_eq!(world.session.on_request(&again, &mut world.ids), Ok(InDialog::Refresh));
    world.session.accept_refresh(world.now, &again, CONTACT, SDP, OFFER).unwrap();
    assert!(matches!(world.next().1, Due::RepeatOk));
    assert!(matches!(world.ack(1), Acked::Nothing));
    assert!(matches!(world.ack(3), Acked::Confirmed));
    assert_eq!(world.session.state(), State::Established);
}

#[test]
fn a_refused_change_leaves_target_and_timer_as_they_were() {
    let mut world = confirmed_with("Session-Expires: 200;refresher=uac\r\nSupported: timer\r\n");
    let before = (world.session.deadline(), world.session.dialog().remote_target().to_owned());
    world.pass(10);
    let lines = "Contact: <sip:romeo@192.0.2.66>\r\nSession-Expires: 900\r\nSupported: timer\r\n";
    assert_eq!(world.hear("INVITE", 2, lines, "v=0 with audio"), Ok(InDialog::Refresh));
    // Its user answers 488.
    assert_eq!(before, (world.session.deadline(), world.session.dialog().remote_target().to_owned()));
    assert_eq!(status(world.hear("UPDATE", 3, "Session-Expires: 10\r\nSupported: timer\r\n", "")), 422);
    assert_eq!(status(world.hear("INVITE", 4, "", "v=0")), 400, "a re-INVITE without Contact");
}

#[test]
fn our_change_that_meets_the_peers_waits_and_the_peers_is_491() {
    for (mut world, least, most) in [
        (established("Session-Expires: 1800;refresher=uac\r\n"), 2100, 4000),
        (confirmed_with("Session-Expires: 1800;refresher=uas\r\nSupported: timer\r\n"), 0, 2000),
    ] {
        let (at, _) = refresh(&mut world);
        let is_callee = world.session.is_callee();
        assert_eq!(status(world.hear("INVITE", 8, AT, "v=0")), 491);
        assert_eq!(status(world.hear("UPDATE", 9, AT, "v=0")), 491);
        assert_eq!(world.hear("UPDATE", 10, AT, ""), Ok(InDialog::Refresh), "it changes no description");
        assert_eq!(world.hear("MESSAGE", 11, "", "x"), Ok(InDialog::Text));
        assert!(matches!(world.answer(491, "theirs", ""), Answered::Unchanged { status: 491 }));
        let (again, said) = refresh(&mut world);
        let waited = (again - at).as_millis();
        assert!((least..=most).contains(&waited) && waited % 10 == 0, "{is_callee} {waited}");
        assert!(said.starts_with("INVITE"), "{said}");
    }
}

#[test]
fn an_offer_of_ours_that_meets_the_peers_goes_out_again_and_a_refused_one_does_not() {
    let mut world = established("Session-Expires: 400;refresher=uac\r\nAllow: INVITE, UPDATE\r\n");
    let body = |request: &SessionRequest| read(&octets(request)).body.to_vec();
    world.sent = world.session.offer_again(SDP, b"v=1");
    assert!(world.session.offer_again(SDP, b"v=2").is_none(), "one at a time");
    world.answer(491, "theirs", "");
    refresh(&mut world);
    assert_eq!(body(world.sent.as_ref().unwrap()), b"v=1");
    assert!(matches!(world.answer(488, "theirs", ""), Answered::Unchanged { status: 488 }));
    assert_eq!(refresh(&mut world).1.split(' ').next(), Some("UPDATE"));
    world.answer(200, "theirs", "Allow: INVITE\r\nSession-Expires: 400;refresher=uac\r\n");
    refresh(&mut world);
    assert_eq!(body(world.sent.as_ref().unwrap()), OFFER, "the session is described as before");
    world.answer(200, "theirs", "Session-Expires: 400;refresher=uac\r\n");
    world.sent = world.session.offer_again(SDP, b"v=3");
    assert!(matches!(world.answer(200, "theirs", AT), Answered::Refreshed { ack: Some(_) }));
}

#[test]
fn a_refresh_waits_for_the_ack_of_the_peers_re_invite() {
    let mut world = confirmed_with("Session-Expires: 100;refresher=uas\r\nSupported: timer\r\n");
    world.pass(49);
    let octets = world.theirs("INVITE", 2, &format!("{AT}Supported: timer\r\n"), "v=0");
    world.session.on_request(&read(&octets), &mut world.ids).unwrap();
    world.session.accept_refresh(world.now, &read(&octets), CONTACT, SDP, OFFER).unwrap();
    assert_eq!(world.session.timer(), Some((100, Refresher::Us)), "it goes on as it was");
    // No ACK for it ends the session, RFC 3261 §14.2.
    loop {
        match world.next() {
            (_, Due::RepeatOk) => {}
            (when, Due::End(bye)) => {
                assert_eq!((when.as_secs(), said(&bye).as_str()), (81, "BYE 1 192.0.2.9 theirs"));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
}
