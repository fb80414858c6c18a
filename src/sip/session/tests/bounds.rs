//! What a session costs, and what a peer can't make it keep.

use super::*;

/// A session in a slab is no larger than this, in octets, without what it points to: 272 and a little.
const SIZE: usize = 288;
/// The same of a request: 176.
const REQUEST: usize = 192;

#[test]
fn a_session_costs_what_is_written_here() {
    assert!(size_of::<Session>() <= SIZE, "{} octets", size_of::<Session>());
    let mut world = calling();
    let routes = "Record-Route: <sip:edge.example.net:5061;transport=tls;lr>;ms-rrsig=AAAA\r\n";
    world.establish(&format!("{routes}Session-Expires: 1800;refresher=uac\r\n"));
    let octets = world.session.octets();
    assert!((200..320).contains(&octets), "{octets} octets");
    let request = world.session.request(Method::Message, &[], "text/plain", b"hi").unwrap();
    assert!(
        request.octets() < 500 && size_of::<SessionRequest>() <= REQUEST,
        "{} octets",
        size_of::<SessionRequest>()
    );
    assert!(matches!(world.session.end(), Leave::Bye(_)));
    assert!(world.session.octets() < octets, "what is over keeps no description");
}

#[test]
fn no_peer_makes_a_session_keep_more_than_its_limits() {
    let limit = 2 * MAX_DIALOG + 2 * MAX_DESCRIPTION + 1024;
    let long = "x".repeat(2000);
    let two = format!("Record-Route: <sip:{long}@p1;lr>, <sip:{long}@p2;lr>\r\n");
    let many = "Record-Route: <sip:p;lr>\r\n".repeat(33);
    for routes in [&two, &many] {
        let octets = their_invite(routes);
        let result = Session::invited(Now::at(0).mono, &read(&octets), "ours", true, Timing::default());
        assert_eq!(status(result), 400);
        let mut world = calling();
        world.answer(180, "early", &format!("Contact: <sip:a@b>\r\n{routes}"));
        assert!(world.session.octets() < 1000, "an early dialog that is too long is none");
        let answered = world.answer(200, "theirs", &format!("Contact: <sip:a@b>\r\n{routes}"));
        assert!(matches!(answered, Answered::Ended { why: Why::Unusable, .. }), "{answered:?}");
    }
    // A target that grows.
    let mut world = confirmed_with("");
    let target = world.session.dialog().remote_target().to_owned();
    let lines = format!("Contact: <sip:{long}@192.0.2.1>\r\n");
    let octets = world.theirs("UPDATE", 2, &lines, "");
    assert_eq!(world.session.on_request(&read(&octets), &mut world.ids), Ok(InDialog::Refresh));
    world.session.accept_refresh(world.now, &read(&octets), CONTACT, "", b"").unwrap();
    assert_eq!(world.session.dialog().remote_target(), target);
    // Tags that are long, in a 2xx.
    let mut world = calling();
    let answered = world.answer(200, &"t".repeat(5000), "Contact: <sip:a@b>\r\n");
    assert!(matches!(answered, Answered::Ended { why: Why::Unusable, .. }), "{answered:?}");
    assert!(world.session.octets() < limit);
}

#[test]
fn a_fork_without_end_is_answered_eight_times() {
    let mut world = calling();
    world.establish("");
    let before = world.session.octets();
    let mut ended = 0;
    for n in 0..100 {
        match world.answer(200, &format!("fork{n}"), "Contact: <sip:a@192.0.2.1>\r\n") {
            Answered::Forked { .. } => ended += 1,
            Answered::Nothing => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ended, MAX_FORKS);
    assert!(world.session.octets() <= before + 8 * MAX_FORKS);
    assert_eq!(world.session.state(), State::Established);
}

#[test]
fn what_we_offer_is_bounded_too() {
    let (mut ids, guard) = (Ids::new([3; 32], Owner::default()), LoopGuard::new([4; 32]));
    let (from, to) = (jid("juliet@example.com"), jid("romeo@example.net"));
    let body = vec![b'x'; MAX_DESCRIPTION];
    let long = Invite { body: &body, ..invite(&from, &to) };
    assert!(Session::inviting(&long, 1, &guard, &mut ids).is_err());
    let call_id = "c".repeat(5000);
    let long = Invite { call_id: Some(&call_id), ..invite(&from, &to) };
    assert!(Session::inviting(&long, 1, &guard, &mut ids).is_err());
    let mut world = calling();
    world.establish("");
    assert!(world.session.offer_again(SDP, &body).is_none());
    assert!(world.session.offer_again(SDP, b"").is_none(), "an offer is not nothing");
}

#[test]
fn nothing_that_is_written_breaks_out_of_its_line() {
    let mut world = calling();
    world.establish("");
    let headers = [("Subject", "a\r\nEvil: 1\r\n\r\n"), ("Ev il", "x"), ("", "y")];
    let request = world.session.request(Method::Message, &headers, "text/plain\r\nEvil: 2", b"x").unwrap();
    let octets = octets(&request);
    let text = String::from_utf8(octets).unwrap();
    assert!(!text.lines().any(|line| line.starts_with("Evil") || line.starts_with("Ev il")), "{text}");
}

/// Whatever comes in whatever order: no panic, everything bounded, an end that is one.
#[test]
fn a_thousand_random_conversations_keep_to_the_rules() {
    for seed in 0..1000u64 {
        let mut dice = Ids::new([seed as u8; 32], Owner { node: (seed >> 8) as u8, shard: 0 });
        let mut world = if dice.below(2) == 0 { calling() } else { called_with("Session-Expires: 100\r\n") };
        let mut last = 0;
        for turn in 0..40 {
            let cseq = 1 + dice.below(8) as u32;
            let tag = ["theirs", "fork"][dice.below(2) as usize];
            let lines =
                ["", "Contact: <sip:a@192.0.2.1>\r\nAllow: UPDATE\r\nSession-Expires: 95;refresher=uac\r\n"]
                    [dice.below(2) as usize];
            match dice.below(9) {
                0 if world.sent.is_some() => {
                    let status = [100, 183, 200, 200, 401, 422, 481, 487, 491][dice.below(9) as usize];
                    if let Answered::Again(request) = world.answer(status, tag, lines) {
                        world.sent = Some(request);
                    }
                }
                1 => drop(world.session.accept(world.now, CONTACT, SDP, OFFER)),
                2 => drop(world.ack(cseq)),
                3 => {
                    let method = ["MESSAGE", "INFO", "INVITE", "UPDATE", "BYE"][dice.below(5) as usize];
                    let octets = world.theirs(method, cseq, lines, "v=0");
                    let message = read(&octets);
                    if world.session.on_request(&message, &mut world.ids) == Ok(InDialog::Refresh) {
                        world.session.accept_refresh(world.now, &message, CONTACT, SDP, OFFER).unwrap();
                    }
                }
                4 if dice.below(8) == 0 => drop(world.session.end()),
                5 => {
                    if let Some(request) = world.session.request(Method::Message, &[], "text/plain", b"x") {
                        assert!(request.cseq() > last, "our numbers rise");
                        last = request.cseq();
                        world.sent = Some(request);
                    }
                }
                6 => {
                    if let Some(request) = world.session.offer_again(SDP, b"v=9") {
                        assert!(request.cseq() > last);
                        last = request.cseq();
                        world.sent = Some(request);
                    }
                }
                _ => {
                    world.pass(dice.below(40));
                    let mut things = 0;
                    while world.session.deadline().is_some_and(|at| at <= world.now) {
                        match world.session.on_timer(world.now) {
                            Due::Refresh(request) => {
                                assert!(request.cseq() > last);
                                last = request.cseq();
                                world.sent = Some(request);
                            }
                            Due::End(bye) => assert!(bye.cseq() > last && world.session.is_over()),
                            Due::Nothing | Due::RepeatOk | Due::Expired => {}
                        }
                        things += 1;
                        assert!(things < 50, "{seed} {turn}: a deadline that stays due");
                    }
                }
            }
            assert!(world.session.octets() < 4096);
            assert!(!world.session.is_over() || world.session.deadline().is_none());
        }
    }
}
