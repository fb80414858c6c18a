//! One of our sessions calls the other.

use super::*;

/// What `request` is to the callee, and the octets of its answer.
fn carry(callee: &mut World, request: &SessionRequest) -> (u16, Vec<u8>) {
    let octets = octets(request);
    let message = read(&octets);
    let mut headers = Vec::new();
    let status = match callee.session.on_request(&message, &mut callee.ids) {
        Ok(InDialog::Refresh) => {
            headers = callee.session.accept_refresh(callee.now, &message, CONTACT, SDP, OFFER).unwrap();
            200
        }
        Ok(_) => 200,
        Err(reject) => reject.status,
    };
    (status, respond(&message, status, &headers))
}

fn respond(request: &Message<'_>, status: u16, headers: &[(Name, String)]) -> Vec<u8> {
    let (mut tail, mut out) = (Vec::new(), Vec::new());
    response_tail(request, "callee", None, &mut tail);
    let mut writer = Writer::response(&mut out, status, &tail);
    for (name, value) in headers {
        writer.header(*name, value);
    }
    writer.body(SDP, OFFER);
    out
}

/// Both ends of one session.
fn pair() -> (World, World) {
    let mut caller = calling();
    let invite = octets(caller.sent.as_ref().unwrap());
    let message = read(&invite);
    let now = caller.now;
    let session = Session::invited(now, &message, "callee", false, Timing::default()).unwrap();
    let mut callee = World { session, ids: Ids::new([9; 32], Owner::default()), now, sent: None };
    let headers = callee.session.accept(now, CONTACT, SDP, OFFER).unwrap();
    let ok = respond(&message, 200, &headers);
    let ack = match caller.answer_octets(&ok) {
        Answered::Established { ack } => ack,
        other => panic!("{other:?}"),
    };
    let ack = octets(&ack);
    assert!(matches!(callee.session.on_ack(&read(&ack)), Acked::Confirmed));
    (caller, callee)
}

#[test]
fn two_of_us_talk_both_ways_and_part() {
    let (mut caller, mut callee) = pair();
    assert_eq!(caller.session.timer(), Some((1800, Refresher::Us)));
    assert_eq!(callee.session.timer(), Some((1800, Refresher::Peer)));
    for _ in 0..3 {
        let text = caller.session.request(Method::Message, &[], "text/plain", b"hi").unwrap();
        assert_eq!(carry(&mut callee, &text).0, 200);
        let text = callee.session.request(Method::Info, &[], "text/plain", b"hi").unwrap();
        assert_eq!(carry(&mut caller, &text).0, 200);
    }
    let Leave::Bye(bye) = callee.session.end() else { panic!("no BYE") };
    assert_eq!(carry(&mut caller, &bye).0, 200);
    assert!(caller.session.is_over() && callee.session.is_over());
}

#[test]
fn check_066_two_of_us_keep_a_session_for_a_day() {
    let (mut caller, mut callee) = pair();
    let mut refreshes = 0;
    while caller.now < Now::at(86_400).mono {
        let at = caller.session.deadline().into_iter().chain(callee.session.deadline()).min().unwrap();
        (caller.now, callee.now) = (at, at);
        match caller.session.on_timer(at) {
            Due::Refresh(request) => {
                refreshes += 1;
                assert_eq!(request.method(), Method::Update);
                let (status, answer) = carry(&mut callee, &request);
                assert_eq!(status, 200);
                caller.sent = Some(request);
                assert!(matches!(caller.answer_octets(&answer), Answered::Refreshed { ack: None }));
            }
            other => panic!("{other:?}"),
        }
        assert!(matches!(callee.session.on_timer(at), Due::Nothing));
    }
    assert_eq!(refreshes, 96);
    // When the caller falls silent the callee notices.
    callee.now = callee.session.deadline().unwrap();
    assert!(matches!(callee.session.on_timer(callee.now), Due::End(_)));
}

#[test]
fn two_changes_that_meet_are_both_491_and_both_come_through_later() {
    let (mut caller, mut callee) = pair();
    let one = caller.session.offer_again(SDP, b"v=1").unwrap();
    let other = callee.session.offer_again(SDP, b"v=2").unwrap();
    let (status, to_caller) = carry(&mut callee, &one);
    assert_eq!(status, 491);
    let (status, to_callee) = carry(&mut caller, &other);
    assert_eq!(status, 491);
    caller.sent = Some(one);
    callee.sent = Some(other);
    assert!(matches!(caller.answer_octets(&to_caller), Answered::Unchanged { status: 491 }));
    assert!(matches!(callee.answer_octets(&to_callee), Answered::Unchanged { status: 491 }));
    let (first, second) = (callee.session.deadline().unwrap(), caller.session.deadline().unwrap());
    assert!(first < second, "the owner of the Call-ID waits longer");
    let Due::Refresh(again) = callee.session.on_timer(first) else { panic!("no second try") };
    let (status, answer) = carry(&mut caller, &again);
    assert_eq!(status, 200);
    callee.sent = Some(again);
    let Answered::Refreshed { ack: Some(ack) } = callee.answer_octets(&answer) else { panic!("no ACK") };
    let ack = octets(&ack);
    assert!(matches!(caller.session.on_ack(&read(&ack)), Acked::Confirmed));
    let Due::Refresh(again) = caller.session.on_timer(second) else { panic!("no second try") };
    assert_eq!(carry(&mut callee, &again).0, 200);
}
