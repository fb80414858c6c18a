//! Our INVITE and its answers.

use super::*;
use crate::sip::digest::Credentials;
use crate::sip::subscription::tag;

const CONTACT_LINE: &str = "Contact: <sip:romeo@192.0.2.9;transport=tls>\r\n";

#[test]
fn the_invite_has_what_the_rfcs_ask() {
    let world = calling();
    let octets = octets(world.sent.as_ref().unwrap());
    let message = read(&octets);
    assert_eq!(message.method(), Some(Method::Invite));
    assert_eq!((message.from().uri, message.to().uri), ("sip:juliet@example.com", "sip:romeo@example.net"));
    assert_eq!(message.to().tag, None);
    assert_eq!(tag::slot_of(message.from().tag.unwrap()), Some(5));
    assert_eq!((message.max_forwards(), message.cseq().number), (Some(70), 1));
    assert_eq!(message.header(Name::Contact), Some("<sip:gw.example.org:5061;transport=tls>"));
    assert_eq!(message.header(Name::Allow), Some(ALLOW));
    assert_eq!(message.header(Name::Supported), Some("timer"));
    assert_eq!(message.header(Name::SessionExpires), Some("1800"));
    assert_eq!(message.header(Name::Subject), Some("hello"));
    assert_eq!((message.header(Name::ContentType), message.body), (Some(SDP), OFFER));
    assert_eq!(message.header(Name::Require), None, "nothing is required of a peer without the extension");
}

#[test]
fn check_043_the_ack_of_a_2xx_has_the_number_of_its_invite_and_a_way_of_its_own() {
    let mut world = calling();
    assert!(matches!(world.answer(100, "", ""), Answered::Ringing));
    let ack = world.establish("Record-Route: <sip:p1.example.net;lr>, <sip:p2.example.org;lr>\r\n");
    // Requests that follow do not move it.
    let text = world.session.request(Method::Message, &[], "text/plain", b"hi").unwrap();
    assert_eq!(text.cseq(), 2);
    let written = octets(&ack);
    let message = read(&written);
    assert_eq!((message.method(), message.cseq().number), (Some(Method::Ack), 1));
    assert_eq!(message.cseq().method, Method::Ack);
    assert_eq!(message.target().unwrap().host, "192.0.2.9");
    assert_eq!((message.to().tag, message.body), (Some("theirs"), &b""[..]));
    let routes: Vec<_> = message.headers(Name::Route).collect();
    assert_eq!(routes, ["<sip:p2.example.org;lr>", "<sip:p1.example.net;lr>"]);
    // Each copy of the 2xx is acknowledged with the same number.
    for _ in 0..3 {
        match world.answer(200, "theirs", CONTACT_LINE) {
            Answered::Acknowledge(ack) => assert_eq!(said(&ack), "ACK 1 192.0.2.9 theirs"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(world.session.state(), State::Established);
}

#[test]
fn check_043_the_ack_of_a_challenged_invite_has_its_number_and_its_credentials() {
    let mut world = calling();
    let challenge = "WWW-Authenticate: Digest realm=\"example.net\", nonce=\"n\", qop=\"auth\"\r\n";
    let octets_401 = world.response(401, "x", challenge);
    let credentials =
        Credentials { realm: "example.net".into(), username: "gw".into(), password: "secret".into() };
    let mut request = world.sent.take().unwrap();
    let response = read(&octets_401);
    assert!(world.session.answer_challenge(&mut request, &response, Some(&credentials), &mut world.ids));
    let again = octets(&request);
    let message = read(&again);
    assert_eq!((message.cseq().number, message.to().tag), (2, None), "no tag of the 401 goes with it");
    let authorization = message.header(Name::Authorization).unwrap();
    world.sent = Some(request);
    let ack = world.establish("");
    let ack = octets(&ack);
    let ack = read(&ack);
    assert_eq!((ack.cseq().number, ack.header(Name::Authorization)), (2, Some(authorization)));
    // A second challenge is not met.
    let mut request = world.sent.take().unwrap();
    assert!(!world.session.answer_challenge(&mut request, &response, Some(&credentials), &mut world.ids));
}

#[test]
fn a_challenge_without_credentials_or_of_an_unwanted_invite_is_not_met() {
    let mut world = calling();
    let octets = world.response(407, "x", "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\"\r\n");
    let mut request = world.sent.take().unwrap();
    assert!(!world.session.answer_challenge(&mut request, &read(&octets), None, &mut world.ids));
    assert_eq!(world.session.next_cseq(), Some(2), "no number is lost by it");
    world.session.end();
    let credentials = Credentials { realm: "r".into(), username: "u".into(), password: "p".into() };
    let response = read(&octets);
    assert!(!world.session.answer_challenge(&mut request, &response, Some(&credentials), &mut world.ids));
}

#[test]
fn check_065_requests_have_the_dialogs_tags_its_route_set_and_contiguous_numbers() {
    let mut world = calling();
    world.establish("Record-Route: <sip:p1.example.net;lr>;ms-rrsig=x;tag=y, <sip:p2.example.org;lr>\r\n");
    for (cseq, method) in [(2, Method::Message), (3, Method::Info), (4, Method::Message)] {
        let request = world.session.request(method, &[("Date", "now")], "text/plain", b"hi").unwrap();
        let written = octets(&request);
        let message = read(&written);
        assert_eq!((message.cseq().number, message.method()), (cseq, Some(method)));
        assert_eq!(message.to().tag, Some("theirs"));
        assert_eq!(message.from().tag, world.session.dialog().local_tag());
        assert_eq!(message.target().unwrap().host, "192.0.2.9");
        let routes: Vec<_> = message.headers(Name::Route).collect();
        assert_eq!(routes, ["<sip:p2.example.org;lr>", "<sip:p1.example.net;lr>;ms-rrsig=x;tag=y"]);
        assert_eq!(message.header(Name::Contact), None, "RFC 3428 §4: a MESSAGE has none");
        assert_eq!((message.body, message.header(Name::Date)), (&b"hi"[..], Some("now")));
    }
    match world.session.end() {
        Leave::Bye(bye) => assert_eq!(said(&bye), "BYE 5 192.0.2.9 theirs"),
        other => panic!("{other:?}"),
    }
    assert!(world.session.request(Method::Message, &[], "text/plain", b"hi").is_none());
}

#[test]
fn check_065_a_strict_router_becomes_the_request_uri_in_a_session_too() {
    let mut world = calling();
    let ack = world.establish("Record-Route: <sip:loose.example.org;lr>, <sip:strict.example.net>\r\n");
    let written = octets(&ack);
    let message = read(&written);
    assert_eq!(message.target().unwrap().host, "strict.example.net");
    let routes: Vec<_> = message.headers(Name::Route).collect();
    assert_eq!(routes, ["<sip:loose.example.org;lr>", "<sip:romeo@192.0.2.9;transport=tls>"]);
    assert_eq!(ack.next_hop(), "sip:strict.example.net");
}

#[test]
fn no_other_method_than_those_inside_is_made_and_nothing_before_the_2xx() {
    let mut world = calling();
    assert!(world.session.request(Method::Message, &[], "text/plain", b"x").is_none());
    world.establish("");
    for method in [Method::Invite, Method::Update, Method::Ack, Method::Bye, Method::Cancel] {
        assert!(world.session.request(method, &[], "", b"").is_none(), "{method}");
    }
    assert_eq!(world.session.next_cseq(), Some(2), "what is not made uses no number");
}

#[test]
fn a_101_and_a_183_are_progress_and_a_2xx_of_another_branch_may_still_win() {
    let mut world = calling();
    for (status, tag) in [(100, ""), (101, "a"), (183, "b"), (180, "a")] {
        assert!(matches!(world.answer(status, tag, CONTACT_LINE), Answered::Ringing), "{status}");
        assert_eq!(world.session.state(), State::Inviting);
    }
    world.establish("");
    assert_eq!(world.session.dialog().remote_tag(), Some("theirs"));
}

#[test]
fn an_early_dialog_takes_requests_and_keeps_their_order_when_it_is_confirmed() {
    let mut world = calling();
    world.answer(183, "theirs", CONTACT_LINE);
    assert_eq!(world.hear("MESSAGE", 7, "", "hi"), Ok(InDialog::Text));
    assert_eq!(status(world.hear("INVITE", 8, CONTACT_LINE, "v=0")), 491);
    world.establish("");
    assert_eq!(status(world.hear("MESSAGE", 8, "", "hi")), 500);
    assert_eq!(world.hear("MESSAGE", 9, "", "hi"), Ok(InDialog::Text));
}

#[test]
fn a_text_that_overtakes_the_answer_to_the_invite_is_taken() {
    for ringing in [None, Some("another")] {
        let mut world = calling();
        if let Some(tag) = ringing {
            world.answer(183, tag, CONTACT_LINE);
        }
        assert_eq!(world.hear("MESSAGE", 7, "", "hi"), Ok(InDialog::Text));
        assert_eq!(world.hear("INFO", 8, "", "x"), Ok(InDialog::Info));
        for method in ["BYE", "INVITE", "UPDATE"] {
            assert_eq!(status(world.hear(method, 9, CONTACT_LINE, "v=0")), 481, "nobody is known");
        }
        let ours = world.session.dialog().local_tag().unwrap().to_owned();
        let octets = String::from_utf8(world.theirs("MESSAGE", 7, "", "hi")).unwrap();
        let stranger = octets.replace(&ours, "guessed");
        assert_eq!(status(world.session.on_request(&read(stranger.as_bytes()), &mut world.ids)), 481);
        world.establish("");
        assert_eq!(world.hear("MESSAGE", 9, "", "hi"), Ok(InDialog::Text));
        assert_eq!(world.session.state(), State::Established);
    }
    let mut world = calling();
    assert!(matches!(world.session.end(), Leave::Cancel));
    assert_eq!(status(world.hear("MESSAGE", 7, "", "hi")), 481, "it is not wanted any more");
}

#[test]
fn a_forked_2xx_is_acknowledged_and_ended_and_the_first_one_stays() {
    let mut world = calling();
    world.establish("");
    let other = "Contact: <sip:romeo@192.0.2.77>\r\nRecord-Route: <sip:p7.example.net;lr>\r\n";
    match world.answer(200, "fork", other) {
        Answered::Forked { ack, bye } => {
            assert_eq!(said(&ack), "ACK 1 192.0.2.77 fork");
            assert_eq!(said(&bye), "BYE 2 192.0.2.77 fork");
            assert_eq!(bye.next_hop(), "sip:p7.example.net;lr");
        }
        other => panic!("{other:?}"),
    }
    // Its copy is acknowledged, not ended twice.
    assert!(matches!(world.answer(200, "fork", other), Answered::Acknowledge(_)));
    assert_eq!(world.session.dialog().remote_tag(), Some("theirs"));
    let text = world.session.request(Method::Message, &[], "text/plain", b"x").unwrap();
    assert_eq!(said(&text), "MESSAGE 2 192.0.2.9 theirs", "the fork's BYE used no number of this dialog");
    assert_eq!(
        status(world.session.on_request(&read(&their("BYE", 3, "fork", None, "", "")), &mut world.ids)),
        481
    );
}

#[test]
fn a_2xx_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let mut world = calling();
    assert!(matches!(world.session.end(), Leave::Cancel));
    assert!(matches!(world.session.end(), Leave::Nothing));
    assert!(matches!(world.answer(180, "theirs", CONTACT_LINE), Answered::Cancel), "now it is allowed");
    match world.answer(200, "theirs", CONTACT_LINE) {
        Answered::Ended { ack, bye, why: Why::Unwanted } => {
            assert_eq!(
                (said(&ack).as_str(), said(&bye).as_str()),
                ("ACK 1 192.0.2.9 theirs", "BYE 2 192.0.2.9 theirs")
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(world.session.is_over());
    assert!(matches!(world.answer(200, "theirs", CONTACT_LINE), Answered::Acknowledge(_)));
}

#[test]
fn a_cancelled_invite_ends_with_its_487_and_an_answered_one_with_its_status() {
    let mut world = calling();
    world.session.end();
    assert!(matches!(world.answer(487, "theirs", ""), Answered::Refused { status: 487 }));
    for status in [302, 404, 415, 486, 488, 501, 606] {
        let mut world = calling();
        world.answer(183, "theirs", CONTACT_LINE);
        assert!(matches!(world.answer(status, "theirs", ""), Answered::Refused { status: s } if s == status));
        assert!(world.session.is_over());
        assert!(matches!(world.answer(status, "theirs", ""), Answered::Nothing), "once");
    }
    let mut world = calling();
    let request = world.sent.take().unwrap();
    let failed = world.session.on_failure(world.now, &request, 408);
    assert!(matches!(failed, Answered::Refused { status: 408 }));
}

#[test]
fn a_2xx_that_can_make_no_dialog_is_acknowledged_where_the_invite_went_and_ended() {
    for lines in [
        "",
        "Contact: <tel:+1>\r\n",
        "Contact: *\r\n",
        "Contact: <sip:a@b>, <sip:c@d>\r\n",
        "Contact: <sip:a@b>\r\nRecord-Route: <http://x>\r\n",
    ] {
        let mut world = calling();
        match world.answer(200, "theirs", lines) {
            Answered::Ended { ack, bye, why: Why::Unusable } => {
                assert_eq!(said(&ack), "ACK 1 example.net theirs", "{lines}");
                assert_eq!(said(&bye), "BYE 2 example.net theirs", "{lines}");
            }
            other => panic!("{lines}: {other:?}"),
        }
        assert!(world.session.is_over());
    }
}

#[test]
fn check_066_a_422_is_answered_with_a_longer_interval_and_its_min_se() {
    let mut world = calling();
    let again = match world.answer(422, "proxy", "Min-SE: 3600\r\n") {
        Answered::Again(request) => request,
        other => panic!("{other:?}"),
    };
    let written = octets(&again);
    let message = read(&written);
    assert_eq!((message.cseq().number, message.to().tag), (2, None));
    assert_eq!(message.header(Name::SessionExpires), Some("3600"));
    assert_eq!(message.header(Name::MinSe), Some("3600"));
    assert_eq!((message.header(Name::Subject), message.body), (Some("hello"), OFFER));
    // Of the first INVITE nothing is heard any more.
    assert!(matches!(world.answer(200, "theirs", CONTACT_LINE), Answered::Nothing));
    world.sent = Some(again);
    let ack = world.establish("Session-Expires: 3600;refresher=uac\r\nRequire: timer\r\n");
    assert_eq!(said(&ack), "ACK 2 192.0.2.9 theirs");
    assert_eq!(world.session.timer(), Some((3600, Refresher::Us)));
}

#[test]
fn check_066_a_422_without_end_or_without_sense_is_a_refusal() {
    for lines in ["", "Min-SE: x\r\n", "Min-SE: 90\r\n", "Min-SE: 1800\r\n", "Min-SE: 86401\r\n"] {
        let mut world = calling();
        assert!(matches!(world.answer(422, "p", lines), Answered::Refused { status: 422 }), "{lines}");
    }
    let mut world = calling();
    for n in 1..=4 {
        match world.answer(422, "p", &format!("Min-SE: {}\r\n", 1800 + n)) {
            Answered::Again(request) => world.sent = Some(request),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(world.answer(422, "p", "Min-SE: 1900\r\n"), Answered::Refused { status: 422 }));
}

#[test]
fn check_156_cancel_and_the_ack_of_a_refusal_have_the_branch_and_number_of_the_invite() {
    let world = calling();
    let request = world.sent.as_ref().unwrap();
    let mut cancel = Vec::new();
    request.write_cancel(&SENT, "z9hG4bKb", &mut cancel);
    let mut ack = Vec::new();
    request.write_ack(&SENT, "z9hG4bKb", Some("theirs"), &mut ack);
    let invite = octets(request);
    let invite = read(&invite);
    for (octets, method, tag) in [(&cancel, Method::Cancel, None), (&ack, Method::Ack, Some("theirs"))] {
        let message = read(octets);
        assert_eq!((message.method(), message.cseq().method), (Some(method), method));
        assert_eq!((message.cseq().number, message.call_id()), (1, invite.call_id()));
        assert_eq!(message.header(Name::Via), invite.header(Name::Via));
        assert_eq!(message.header(Name::From), invite.header(Name::From));
        assert_eq!(message.to().tag, tag);
        assert_eq!(message.target().unwrap().host, "example.net");
        assert_eq!((message.via_count(), message.body), (1, &b""[..]));
        assert_eq!(message.header(Name::Require), None);
    }
}

#[test]
fn a_lost_dialog_is_ended_and_a_refused_text_is_not() {
    for status in [400, 415, 480, 486, 488, 500, 503, 603] {
        let mut world = calling();
        world.establish("");
        world.sent = world.session.request(Method::Message, &[], "text/plain", b"x");
        assert!(matches!(world.answer(status, "theirs", ""), Answered::Nothing), "{status}");
        assert_eq!(world.session.state(), State::Established);
    }
    for status in [404, 408, 410, 481, 482, 604] {
        let mut world = calling();
        world.establish("");
        world.sent = world.session.request(Method::Message, &[], "text/plain", b"x");
        match world.answer(status, "theirs", "") {
            Answered::Gone { bye: Some(bye), status: s } if s == status => {
                assert_eq!(said(&bye), "BYE 3 192.0.2.9 theirs");
            }
            other => panic!("{status}: {other:?}"),
        }
        assert!(world.session.is_over());
    }
}

#[test]
fn an_answer_of_another_dialog_changes_nothing() {
    let mut world = calling();
    let good = String::from_utf8(world.response(200, "theirs", CONTACT_LINE)).unwrap();
    let call_id = world.session.dialog().call_id().to_owned();
    let tag = world.session.dialog().local_tag().unwrap().to_owned();
    for bad in
        [good.replace(&call_id, "other"), good.replace(&tag, "other"), good.replace("CSeq: 1", "CSeq: 7")]
    {
        assert_ne!(bad, good);
        assert!(matches!(world.answer_octets(bad.as_bytes()), Answered::Nothing));
    }
    assert_eq!(world.session.state(), State::Inviting);
}
