//! The peer's INVITE, our 2xx and its ACK.

use super::*;

#[test]
fn an_invite_with_all_of_microsofts_headers_is_an_invite() {
    let routes = "Record-Route: <sip:edge.example.net:5061;transport=tls;ms-fe=fe1;opaque=state;lr>;\
        tag=7E2A;ms-rrsig=bGF4;ms-identity=x, <sip:pool.example.net;lr;ms-route-sig=y>\r\n";
    let mut world =
        called_with(&format!("{ZOO}{routes}Session-Expires: 720;refresher=uac\r\nMin-SE: 90\r\n"));
    let headers = world.session.accept(world.now, CONTACT, SDP, OFFER).unwrap();
    let header = |name| headers.iter().find(|(one, _)| *one == name).map(|(_, value)| value.as_str());
    assert_eq!(header(Name::Contact), Some("<sip:gw.example.org:5061;transport=tls>"));
    assert_eq!(header(Name::Allow), Some(ALLOW));
    assert!(matches!(world.ack(1), Acked::Confirmed));
    let text = world.session.request(Method::Message, &[], "text/plain", b"hi").unwrap();
    let written = octets(&text);
    let message = read(&written);
    assert_eq!((message.from().tag, message.to().tag), (Some("ours"), Some("theirs")));
    assert_eq!((message.from().uri, message.to().uri), ("sip:juliet@example.com", "sip:romeo@example.net"));
    assert_eq!(message.target().unwrap().host, "192.0.2.9");
    assert!(message.header(Name::Route).unwrap().ends_with("tag=7E2A;ms-rrsig=bGF4;ms-identity=x"));
    assert_eq!(message.cseq().number, 1, "our numbers are our own");
}

#[test]
fn the_2xx_is_repeated_until_the_ack_comes_also_over_tls() {
    let mut world = accepted_with("");
    let mut at = Vec::new();
    for _ in 0..5 {
        let (when, due) = world.next();
        assert!(matches!(due, Due::RepeatOk), "{due:?}");
        at.push(when.as_millis());
    }
    assert_eq!(at, [500, 1500, 3500, 7500, 11_500], "T1, doubled up to T2");
    assert!(matches!(world.ack(2), Acked::Nothing), "of another request");
    assert!(matches!(world.ack(1), Acked::Confirmed));
    assert!(matches!(world.ack(1), Acked::Nothing), "again");
    assert_eq!(world.session.deadline(), None);
}

#[test]
fn without_an_ack_the_session_ends_with_a_bye_after_64_t1() {
    let mut world = accepted_with("");
    let mut repeats = 0;
    let bye = loop {
        match world.next() {
            (_, Due::RepeatOk) => repeats += 1,
            (when, Due::End(bye)) => {
                assert_eq!(when, Duration::from_secs(32));
                break bye;
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((repeats, said(&bye).as_str()), (10, "BYE 1 192.0.2.9 theirs"));
    assert!(world.session.is_over());
}

#[test]
fn the_callee_says_bye_after_the_ack_alone() {
    let mut world = accepted_with("");
    assert!(matches!(world.session.end(), Leave::Wait));
    assert!(world.session.request(Method::Message, &[], "text/plain", b"x").is_none());
    match world.ack(1) {
        Acked::Bye(bye) => assert_eq!(said(&bye), "BYE 1 192.0.2.9 theirs"),
        other => panic!("{other:?}"),
    }
    // The text that was refused meanwhile, too.
    let mut world = accepted_with("");
    let text = world.session.request(Method::Message, &[], "text/plain", b"x").unwrap();
    world.sent = Some(text);
    assert!(matches!(world.answer(481, "theirs", ""), Answered::Gone { bye: None, status: 481 }));
    assert!(matches!(world.ack(1), Acked::Bye(_)));
}

#[test]
fn an_offerless_invite_has_our_offer_in_the_2xx_and_the_answer_in_the_ack() {
    let octets = their("INVITE", 1, "theirs", None, "Contact: <sip:romeo@192.0.2.9>\r\n", "");
    let message = read(&octets);
    assert!(message.body.is_empty());
    let now = Now::at(0).mono;
    let mut session = Session::invited(now, &message, "ours", true, Timing::default()).unwrap();
    assert!(session.accept(now, CONTACT, SDP, OFFER).is_some());
    assert!(session.awaits_ack());
    let ack = their("ACK", 1, "theirs", Some("ours"), "", "v=0 answer");
    let ack = read(&ack);
    assert!(matches!(session.on_ack(&ack), Acked::Confirmed));
    assert_eq!(ack.body, b"v=0 answer");
}

#[test]
fn texts_may_overtake_the_ack_and_changes_may_not() {
    let mut world = accepted_with("");
    assert_eq!(world.hear("MESSAGE", 2, "", "hi"), Ok(InDialog::Text));
    assert_eq!(world.hear("INFO", 3, "", "x"), Ok(InDialog::Info));
    assert_eq!(status(world.hear("INVITE", 4, "Contact: <sip:r@192.0.2.9>\r\n", "v=0")), 491);
    assert_eq!(status(world.hear("UPDATE", 5, "Contact: <sip:r@192.0.2.9>\r\n", "v=0")), 491);
    assert!(world.session.offer_again(SDP, b"v=1").is_none());
    assert!(matches!(world.ack(1), Acked::Confirmed));
    assert_eq!(world.hear("INVITE", 6, "Contact: <sip:r@192.0.2.9>\r\n", "v=0"), Ok(InDialog::Refresh));
}

#[test]
fn what_comes_before_our_answer_is_put_off_and_a_bye_ends_it() {
    let mut world = called_with("");
    for (n, method) in ["MESSAGE", "INFO", "INVITE", "UPDATE"].into_iter().enumerate() {
        let reject = world.hear(method, 2 + n as u32, "Contact: <sip:r@192.0.2.9>\r\n", "x").unwrap_err();
        assert_eq!((reject.status, reject.headers[0].0), (500, Name::RetryAfter), "{method}");
        assert!(reject.headers[0].1.parse::<u32>().unwrap() <= 10);
    }
    assert_eq!(world.hear("BYE", 9, "", ""), Ok(InDialog::Bye));
    assert!(world.session.is_over());
    assert!(world.session.accept(world.now, CONTACT, SDP, OFFER).is_none(), "487 is its answer");
}

#[test]
fn check_156_a_cancelled_invite_is_turned_down_and_an_accepted_one_is_not() {
    let mut world = called_with("");
    assert!(world.session.decline());
    assert!(world.session.is_over() && !world.session.decline());
    let mut world = accepted_with("");
    assert!(!world.session.decline(), "a CANCEL that came too late has no effect");
    assert_eq!(world.session.state(), State::Accepted);
}

#[test]
fn an_invite_expires_when_it_says_and_not_after_timer_c() {
    for (lines, seconds) in [("Expires: 20\r\n", 20), ("", 180), ("Expires: 4000\r\n", 180)] {
        let mut world = called_with(lines);
        let (when, due) = world.next();
        assert!(matches!(due, Due::Expired), "{due:?}");
        assert_eq!(when, Duration::from_secs(seconds), "{lines}");
        assert!(world.session.is_over() && world.session.deadline().is_none());
    }
}

#[test]
fn the_order_of_numbers_is_kept_and_gaps_are_allowed() {
    let mut world = confirmed_with("");
    assert_eq!(status(world.hear("MESSAGE", 1, "", "x")), 500, "the INVITE had it");
    assert_eq!(world.hear("MESSAGE", 5, "", "x"), Ok(InDialog::Text));
    assert_eq!(status(world.hear("MESSAGE", 5, "", "x")), 500);
    assert_eq!(status(world.hear("BYE", 4, "", "")), 500);
    assert_eq!(world.hear("BYE", 6, "", ""), Ok(InDialog::Bye));
    assert_eq!(status(world.hear("BYE", 7, "", "")), 481);
}

#[test]
fn what_names_another_dialog_is_481() {
    let mut world = confirmed_with("");
    for (theirs, ours) in
        [("other", Some("ours")), ("theirs", Some("other")), ("theirs", None), ("Theirs", Some("ours"))]
    {
        let octets = their("MESSAGE", 2, theirs, ours, "", "x");
        assert_eq!(status(world.session.on_request(&read(&octets), &mut world.ids)), 481);
        let octets = their("ACK", 1, theirs, ours, "", "");
        assert!(matches!(world.session.on_ack(&read(&octets)), Acked::Nothing));
    }
    let octets = their("MESSAGE", 2, "theirs", Some("ours"), "", "x");
    let other = String::from_utf8(octets.clone()).unwrap().replace("Call-ID: c1", "Call-ID: c2");
    assert_eq!(status(world.session.on_request(&read(other.as_bytes()), &mut world.ids)), 481);
    assert_eq!(world.session.on_request(&read(&octets), &mut world.ids), Ok(InDialog::Text));
    for method in ["PRACK", "NOTIFY", "OPTIONS"] {
        assert_eq!(status(confirmed_with("").hear(method, 9, "", "")), 481, "{method}");
    }
}

#[test]
fn an_invite_that_can_make_no_dialog_is_400() {
    for lines in ["", "Contact: *\r\n", "Contact: <tel:1>\r\n", "Contact: <sip:a@b>, <sip:c@d>\r\n"] {
        let octets = their("INVITE", 1, "theirs", None, lines, "v=0");
        let result = Session::invited(Now::at(0).mono, &read(&octets), "ours", true, Timing::default());
        assert_eq!(status(result), 400, "{lines}");
    }
}

#[test]
fn check_164_a_sips_dialog_has_a_sips_contact() {
    let octets = their("INVITE", 1, "theirs", None, "Contact: <sips:romeo@192.0.2.9>\r\n", "v=0");
    let text = String::from_utf8(octets).unwrap().replacen("INVITE sip:", "INVITE sips:", 1);
    let mut session =
        Session::invited(Now::at(0).mono, &read(text.as_bytes()), "ours", true, Timing::default()).unwrap();
    let headers = session.accept(Now::at(0).mono, CONTACT, SDP, OFFER).unwrap();
    assert_eq!(headers[0], (Name::Contact, "<sips:gw.example.org:5061>".to_owned()));
    let insecure = text.replace("Contact: <sips:", "Contact: <sip:");
    let refused = Session::invited(Now::at(0).mono, &read(insecure.as_bytes()), "o", true, Timing::default());
    assert_eq!(status(refused), 400);
}
