//! Both ends against octets, and against each other.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::addr::Jid;
use crate::ids::{Ids, Owner};
use crate::sip::locate::Transport;
use crate::sip::merged::LoopGuard;
use crate::sip::pager::Sent;
use crate::sip::value::{EndReason, SubscriptionState, Substate};

const CONTACT: &str = "sip:gw.example.org:5061;transport=tls";

struct Mint {
    ids: Ids,
    guard: LoopGuard,
}

fn mint() -> Mint {
    Mint { ids: Ids::new([3; 32], Owner::default()), guard: LoopGuard::new([4; 32]) }
}

fn subscriber(slot: u32) -> Subscriber {
    let Mint { mut ids, guard } = mint();
    let jid = |text| Jid::parse(text).unwrap();
    Subscriber::new(&jid("juliet@example.com/b"), &jid("romeo@example.net"), slot, &guard, &mut ids).unwrap()
}

fn octets(request: &EventRequest) -> Vec<u8> {
    let mut out = Vec::new();
    request.write(&Sent { by: "gw.example.org", transport: Transport::Tls }, "z9hG4bKb", &mut out);
    out
}

#[track_caller]
fn read(octets: &[u8]) -> Message<'_> {
    Message::parse(octets).unwrap()
}

/// A NOTIFY of `from_tag` for `subscriber`.
fn notify(subscriber: &Subscriber, from_tag: &str, cseq: u32, lines: &str) -> Vec<u8> {
    let dialog = subscriber.dialog();
    let (call_id, tag) = (dialog.call_id(), dialog.local_tag().unwrap());
    format!(
        "NOTIFY {CONTACT} SIP/2.0\r\nVia: SIP/2.0/TLS pa.example.net;branch=z9hG4bKn{cseq}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:romeo@example.net>;tag={from_tag}\r\n\
         To: <sip:juliet@example.com>;tag={tag}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} NOTIFY\r\n{lines}\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

const ACTIVE: &str = "Contact: <sip:pa@192.0.2.9;transport=tls>\r\nEvent: presence\r\n\
    Subscription-State: active;expires=599\r\n";

/// The 2xx of `to_tag` to the last SUBSCRIBE of `subscriber`.
fn accepted(subscriber: &Subscriber, to_tag: &str, lines: &str) -> Vec<u8> {
    let dialog = subscriber.dialog();
    let (call_id, tag) = (dialog.call_id(), dialog.local_tag().unwrap());
    format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/TLS gw.example.org;branch=z9hG4bKb\r\n\
         From: <sip:juliet@example.com>;tag={tag}\r\nTo: <sip:romeo@example.net>;tag={to_tag}\r\n\
         Call-ID: {call_id}\r\nCSeq: 1 SUBSCRIBE\r\n{lines}Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

#[track_caller]
fn status<T: std::fmt::Debug>(result: Result<T, Reject>) -> u16 {
    result.unwrap_err().status
}

#[test]
fn the_first_subscribe_has_what_the_rfcs_ask() {
    let mut subscriber = subscriber(5);
    let request = subscriber.subscribe(3600).unwrap();
    let octets = octets(&request);
    let message = read(&octets);
    assert_eq!(message.method(), Some(crate::sip::method::Method::Subscribe));
    assert_eq!(message.target().unwrap().host, "example.net");
    assert_eq!((message.from().uri, message.to().uri), ("sip:juliet@example.com", "sip:romeo@example.net"));
    assert_eq!(message.to().tag, None);
    assert_eq!(tag::slot_of(message.from().tag.unwrap()), Some(5));
    assert_eq!((message.max_forwards(), message.expires()), (Some(70), Some(3600)));
    assert_eq!(message.event().unwrap().unwrap().package, "presence");
    assert_eq!(message.header(Name::Accept), Some("application/pidf+xml"));
    assert_eq!(message.header(Name::Contact), Some(format!("<{CONTACT}>").as_str()));
    assert_eq!(message.cseq().number, 1);
    assert_eq!(request.next_hop(), "sip:romeo@example.net");
}

#[test]
fn check_070_a_notify_before_the_2xx_establishes_the_dialog() {
    let mut subscriber = subscriber(0);
    subscriber.subscribe(3600).unwrap();
    let routed = format!("Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n{ACTIVE}");
    let early = notify(&subscriber, "pa", 7, &routed);
    let state = subscriber.on_notify(&read(&early), Awaiting::First).unwrap();
    assert_eq!((state.state, state.expires), (Substate::Active, Some(599)));
    // The 2xx that comes now, of the same dialog, takes nothing back: its route set would be another.
    let late = accepted(&subscriber, "pa", "Record-Route: <sip:px;lr>\r\nContact: <sip:pa2@192.0.2.8>\r\n");
    subscriber.on_success(&read(&late));
    let refresh = subscriber.subscribe(600).unwrap();
    let written = octets(&refresh);
    let message = read(&written);
    assert_eq!(message.header(Name::Route), Some("<sip:p1;lr>"), "as the NOTIFY has them, in its order");
    assert_eq!(message.headers(Name::Route).nth(1), Some("<sip:p2;lr>"));
    assert_eq!((message.to().tag, message.cseq().number), (Some("pa"), 2));
    assert_eq!(message.target().unwrap().host, "192.0.2.8", "the Contact of the 2xx is the newest");
}

#[test]
fn a_2xx_alone_says_whom_to_tell_of_a_change_of_mind() {
    let mut subscriber = subscriber(0);
    subscriber.subscribe(3600).unwrap();
    assert!(!subscriber.is_met());
    let lines = "Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nContact: <sip:pa@192.0.2.9>\r\n";
    subscriber.on_success(&read(&accepted(&subscriber, "pa", lines)));
    assert!(subscriber.is_met());
    let written = octets(&subscriber.subscribe(0).unwrap());
    let message = read(&written);
    assert_eq!(message.header(Name::Route), Some("<sip:p2;lr>"), "reversed");
    assert_eq!((message.expires(), message.to().tag), (Some(0), Some("pa")));
    // Another branch of the fork is first with its NOTIFY, and is the dialog.
    let fork = notify(&subscriber, "other", 1, ACTIVE);
    subscriber.on_notify(&read(&fork), Awaiting::First).unwrap();
    assert_eq!(subscriber.dialog().remote_tag(), Some("other"));
    assert!(subscriber.dialog().route().routes.is_empty());
}

#[test]
fn check_071_other_branches_of_a_fork_are_answered_481() {
    let mut subscriber = subscriber(0);
    subscriber.subscribe(3600).unwrap();
    let first = notify(&subscriber, "a", 1, ACTIVE);
    subscriber.on_notify(&read(&first), Awaiting::First).unwrap();
    for tag in ["b", "c", "A"] {
        let fork = notify(&subscriber, tag, 1, ACTIVE);
        assert_eq!(status(subscriber.on_notify(&read(&fork), Awaiting::First)), 481, "{tag}");
    }
    let again = notify(&subscriber, "a", 2, ACTIVE);
    assert!(subscriber.on_notify(&read(&again), Awaiting::First).is_ok());
}

#[test]
fn check_070_after_timer_n_no_notify_makes_a_dialog() {
    let mut subscriber = subscriber(0);
    subscriber.subscribe(3600).unwrap();
    let late = notify(&subscriber, "a", 1, ACTIVE);
    assert_eq!(status(subscriber.on_notify(&read(&late), Awaiting::Nothing)), 481);
    assert!(!subscriber.is_met());
}

#[test]
fn check_095_a_notify_that_matches_nothing_is_481() {
    let mut subscriber = subscriber(0);
    subscriber.subscribe(3600).unwrap();
    let right = String::from_utf8(notify(&subscriber, "a", 1, ACTIVE)).unwrap();
    let tag = subscriber.dialog().local_tag().unwrap().to_owned();
    for wrong in [
        right.replace("Call-ID: ", "Call-ID: x"),
        right.replace(&tag, "another"),
        right.replace(&format!(";tag={tag}"), ""),
        right.replace("Event: presence", "Event: presence;id=1"),
        right.replace(";tag=a\r\n", "\r\n"),
    ] {
        assert_eq!(status(subscriber.on_notify(&read(wrong.as_bytes()), Awaiting::First)), 481, "{wrong}");
    }
    assert!(subscriber.on_notify(&read(right.as_bytes()), Awaiting::First).is_ok());
}

#[test]
fn check_094_a_notify_of_another_package_is_489() {
    let mut subscriber = subscriber(0);
    let right = String::from_utf8(notify(&subscriber, "a", 1, ACTIVE)).unwrap();
    for other in ["Event: dialog\r\n", "Event: Presence\r\n", "Event: presence.winfo\r\n", ""] {
        let wrong = right.replace("Event: presence\r\n", other);
        let reject = subscriber.on_notify(&read(wrong.as_bytes()), Awaiting::First).unwrap_err();
        assert_eq!(reject.status, 489, "{other}");
        assert_eq!(reject.headers, [(Name::AllowEvents, "presence".to_owned())]);
    }
}

#[test]
fn a_notify_without_its_headers_is_400_and_changes_nothing() {
    let mut subscriber = subscriber(0);
    let right = String::from_utf8(notify(&subscriber, "a", 1, ACTIVE)).unwrap();
    for wrong in [
        right.replace("Subscription-State: active;expires=599\r\n", ""),
        right.replace("active;expires=599", "active;;"),
        right.replace("Contact: <sip:pa@192.0.2.9;transport=tls>\r\n", ""),
        right.replace("<sip:pa@192.0.2.9;transport=tls>", "<sip:a@h>, <sip:b@h>"),
        right.replace("<sip:pa@192.0.2.9;transport=tls>", "*"),
        right.replace("<sip:pa@192.0.2.9;transport=tls>", "<mailto:pa@h>"),
        right.replace("Event:", "Record-Route: <mailto:x@y>\r\nEvent:"),
        right.replace("Event: presence", "Event: presence;id"),
        right.replace("pa@192.0.2.9", &"p".repeat(5000)),
    ] {
        assert_eq!(status(subscriber.on_notify(&read(wrong.as_bytes()), Awaiting::First)), 400, "{wrong}");
        assert!(!subscriber.is_met());
    }
}

#[test]
fn old_notifies_are_500_and_the_newest_contact_counts() {
    let mut subscriber = subscriber(0);
    subscriber.subscribe(3600).unwrap();
    let at = |subscriber: &Subscriber, cseq, host: &str| {
        notify(subscriber, "a", cseq, &ACTIVE.replace("192.0.2.9", host))
    };
    for (cseq, host) in [(10, "192.0.2.1"), (12, "192.0.2.2"), (13, "192.0.2.3")] {
        let octets = at(&subscriber, cseq, host);
        subscriber.on_notify(&read(&octets), Awaiting::First).unwrap();
        assert!(subscriber.dialog().remote_target().contains(host));
    }
    for cseq in [11, 13, 1] {
        let octets = at(&subscriber, cseq, "192.0.2.4");
        assert_eq!(status(subscriber.on_notify(&read(&octets), Awaiting::First)), 500, "{cseq}");
    }
    assert!(subscriber.dialog().remote_target().contains("192.0.2.3"));
}

fn subscribe(lines: &str) -> Vec<u8> {
    format!(
        "SUBSCRIBE sip:juliet@example.com SIP/2.0\r\nVia: SIP/2.0/TLS pc.example.net;branch=z9hG4bKs\r\n\
         Max-Forwards: 70\r\nFrom: \"Romeo\" <sip:romeo@example.net>;tag=r\r\n\
         To: <sip:juliet@example.com>\r\nCall-ID: c@pc\r\nCSeq: 5 SUBSCRIBE\r\n{lines}\
         Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}

const USUAL: &str = "Contact: <sip:romeo@192.0.2.5>\r\nEvent: presence\r\n";

#[test]
fn check_094_a_subscribe_without_our_event_is_489() {
    for event in ["", "Event: dialog\r\n", "Event: PRESENCE\r\n", "Event: presence.winfo\r\n"] {
        let octets = subscribe(&USUAL.replace("Event: presence\r\n", event));
        let reject = Notifier::read(&read(&octets)).unwrap_err();
        assert_eq!(reject.status, 489, "{event}");
        assert_eq!(reject.headers, [(Name::AllowEvents, "presence".to_owned())]);
    }
}

#[test]
fn check_092_accept_without_our_type_is_406() {
    let asked = |accept: &str| {
        let octets = subscribe(&format!("{USUAL}{accept}Expires: 60\r\n"));
        Notifier::read(&read(&octets)).map(|asked| asked.expires).map_err(|reject| reject.status)
    };
    for accept in [
        "",
        "Accept: application/pidf+xml\r\n",
        "Accept: text/xml, Application/PIDF+XML;q=0.1\r\n",
        "Accept: application/xpidf+xml\r\nAccept: application/pidf+xml\r\n",
        "Accept: application/*\r\n",
        "Accept: */*\r\n",
        // What Lync sends.
        "Accept: application/msrtc-event-categories+xml, application/xpidf+xml, text/xml+msrtc.pidf, \
         application/pidf+xml, application/rlmi+xml, multipart/related\r\n",
    ] {
        assert_eq!(asked(accept), Ok(Some(60)), "{accept}");
    }
    for accept in ["Accept: \r\n", "Accept: text/plain\r\n", "Accept: application/pidf+xml;q=0.0\r\n"] {
        assert_eq!(asked(accept), Err(406), "{accept}");
    }
    assert_eq!(asked("Accept: pidf\r\n"), Err(400));
}

#[test]
fn check_067_a_duration_is_never_lengthened() {
    let durations = Durations { usual: 3600, least: 120, most: 7200 };
    for (asked, granted) in [
        (None, Ok(3600)),
        (Some(0), Ok(0)),
        (Some(1), Err(TooBrief(120))),
        (Some(119), Err(TooBrief(120))),
        (Some(120), Ok(120)),
        (Some(7200), Ok(7200)),
        (Some(7201), Ok(7200)),
        (Some(u32::MAX), Ok(7200)),
    ] {
        assert_eq!(durations.grant(asked), granted, "{asked:?}");
    }
    // RFC 6665 §4.2.1.1: 423 only below an hour, whatever the least.
    let slow = Durations { least: 10_000, ..durations };
    assert_eq!((slow.grant(Some(3599)), slow.grant(Some(3600))), (Err(TooBrief(3600)), Ok(3600)));
}

#[test]
fn check_068_a_notify_says_state_and_what_remains() {
    let octets_in = subscribe(&format!("Record-Route: <sip:p1;lr>\r\n{USUAL}"));
    let mut notifier = Notifier::new(&read(&octets_in), "ours", true).unwrap();
    let said = [
        (Said::Pending { expires: 3600 }, "pending;expires=3600"),
        (Said::Active { expires: 3599 }, "active;expires=3599"),
        (
            Said::Terminated { reason: EndReason::Probation, retry_after: Some(300) },
            "terminated;reason=probation;retry-after=300",
        ),
        (Said::Terminated { reason: EndReason::Timeout, retry_after: None }, "terminated;reason=timeout"),
        (Said::Terminated { reason: EndReason::Other, retry_after: None }, "terminated"),
    ];
    for (number, (said, text)) in (1..).zip(said) {
        let request = notifier.notify(said, b"<presence/>").unwrap();
        let octets = octets(&request);
        let message = read(&octets);
        assert_eq!(message.header(Name::SubscriptionState), Some(text));
        let read_back = message.subscription_state().unwrap().unwrap();
        assert_eq!(read_back.expires.is_some(), !matches!(said, Said::Terminated { .. }));
        assert_eq!(message.cseq().number, number, "rising");
        assert_eq!((message.from().tag, message.to().tag), (Some("ours"), Some("r")));
        assert_eq!(
            (message.from().uri, message.to().uri),
            ("sip:juliet@example.com", "sip:romeo@example.net")
        );
        assert_eq!(message.target().unwrap().host, "192.0.2.5");
        assert_eq!(message.header(Name::Route), Some("<sip:p1;lr>"));
        assert_eq!((message.body, message.header(Name::ContentType)), (&b"<presence/>"[..], Some(PIDF)));
    }
    let empty = octets(&notifier.notify(Said::Active { expires: 1 }, b"").unwrap());
    assert_eq!(read(&empty).header(Name::ContentType), None);
}

#[test]
fn check_096_the_event_id_is_echoed_and_asked_again() {
    let with_id = USUAL.replace("presence", "presence;x=y;id=q7");
    let octets_in = subscribe(&with_id);
    let mut notifier = Notifier::new(&read(&octets_in), "ours", true).unwrap();
    let written = octets(&notifier.notify(Said::Pending { expires: 1 }, b"").unwrap());
    assert_eq!(read(&written).event().unwrap().unwrap().id, Some("q7"));
    let again = |lines: &str, cseq: u32| {
        let text = String::from_utf8(subscribe(lines)).unwrap();
        let text = text.replace("CSeq: 5", &format!("CSeq: {cseq}"));
        text.replace("To: <sip:juliet@example.com>", "To: <sip:juliet@example.com>;tag=ours").into_bytes()
    };
    assert_eq!(status(notifier.on_subscribe(&read(&again(USUAL, 6)))), 403, "no id: another subscription");
    let other = with_id.replace("q7", "q8");
    assert_eq!(status(notifier.on_subscribe(&read(&again(&other, 6)))), 403);
    assert!(notifier.on_subscribe(&read(&again(&with_id, 6))).is_ok());
    assert_eq!(status(notifier.on_subscribe(&read(&again(&with_id, 6)))), 500, "again");
    assert_eq!(status(notifier.on_subscribe(&read(&again(&with_id, 5)))), 500, "older");
    let moved = with_id.replace("192.0.2.5", "192.0.2.6");
    assert!(notifier.on_subscribe(&read(&again(&moved, 9))).is_ok());
    assert!(notifier.dialog().remote_target().contains("192.0.2.6"));
}

#[test]
fn a_refresh_of_an_unknown_dialog_is_481() {
    let octets_in = subscribe(USUAL);
    let mut notifier = Notifier::new(&read(&octets_in), "ours", true).unwrap();
    let inside = String::from_utf8(subscribe(USUAL)).unwrap().replace("com>\r\n", "com>;tag=ours\r\n");
    for wrong in [
        inside.replace("tag=ours", "tag=Ours"),
        inside.replace("tag=r", "tag=s"),
        inside.replace("c@pc", "d@pc"),
        inside.replace(";tag=ours", ""),
    ] {
        assert_eq!(status(notifier.on_subscribe(&read(wrong.as_bytes()))), 481, "{wrong}");
    }
    assert!(notifier.on_subscribe(&read(inside.replace("CSeq: 5", "CSeq: 6").as_bytes())).is_ok());
}

#[test]
fn a_subscribe_without_a_usable_contact_is_400() {
    for contact in
        ["", "Contact: *\r\n", "Contact: <tel:+1>\r\n", "Contact: <sip:a@h>\r\nContact: <sip:b@h>\r\n"]
    {
        let octets = subscribe(&USUAL.replace("Contact: <sip:romeo@192.0.2.5>\r\n", contact));
        assert_eq!(status(Notifier::new(&read(&octets), "ours", true)), 400, "{contact}");
    }
    let long = subscribe(&USUAL.replace("presence", &format!("presence;id={}", "i".repeat(MAX_DIALOG))));
    assert_eq!(status(Notifier::new(&read(&long), "ours", true)), 400);
}

#[test]
fn check_093_these_answers_to_a_notify_end_the_subscription() {
    let ends: Vec<u16> = (200..700).filter(|status| Notifier::is_ended_by(*status)).collect();
    assert_eq!(ends, [404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604]);
}

#[test]
fn both_ends_understand_each_other() {
    let mut subscriber = subscriber(77);
    let first = octets(&subscriber.subscribe(600).unwrap());
    let request = read(&first);
    assert_eq!(Notifier::read(&request), Ok(Asked { expires: Some(600) }));
    let mut notifier = Notifier::new(&request, "pa", true).unwrap();
    let answer = accepted(&subscriber, "pa", "Expires: 500\r\nContact: <sip:pa@192.0.2.9>\r\n");
    let answer = read(&answer);
    assert_eq!((answer.status(), answer.expires(), answer.to().tag), (Some(200), Some(500), Some("pa")));
    subscriber.on_success(&answer);
    for (number, said) in (1..).zip([Said::Pending { expires: 500 }, Said::Active { expires: 499 }]) {
        let octets = octets(&notifier.notify(said, b"").unwrap());
        let state = subscriber.on_notify(&read(&octets), Awaiting::First).unwrap();
        assert_eq!(state.expires, Some(501 - number));
    }
    for expires in [600, 0] {
        let octets = octets(&subscriber.subscribe(expires).unwrap());
        assert_eq!(read(&octets).target().unwrap().host, "gw.example.org", "the Contact of the NOTIFY");
        assert_eq!(notifier.on_subscribe(&read(&octets)), Ok(Asked { expires: Some(expires) }));
    }
    let ended = Said::Terminated { reason: EndReason::Timeout, retry_after: None };
    let octets = octets(&notifier.notify(ended, b"").unwrap());
    let expected = SubscriptionState {
        state: Substate::Terminated,
        reason: Some(EndReason::Timeout),
        expires: None,
        retry_after: None,
    };
    assert_eq!(subscriber.on_notify(&read(&octets), Awaiting::Nothing), Ok(expected));
}

#[test]
fn a_challenge_is_answered_in_the_same_dialog_with_the_next_number() {
    let mut subscriber = subscriber(0);
    let mut request = subscriber.subscribe(600).unwrap();
    let credentials = crate::sip::digest::Credentials {
        username: "gw".into(),
        password: "secret".into(),
        realm: "example.net".into(),
    };
    let challenge = "Digest realm=\"example.net\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256";
    let cseq = subscriber.next_cseq();
    let answered = request.answer_challenge(401, [challenge], Some(&credentials), cseq, &mut mint().ids);
    assert!(answered);
    let written = octets(&request);
    let message = read(&written);
    assert_eq!(message.cseq().number, 2);
    assert!(message.header(Name::Authorization).unwrap().contains("uri=\"sip:romeo@example.net\""));
    assert_eq!(message.call_id(), subscriber.dialog().call_id());
    assert!(!request.answer_challenge(401, [challenge], Some(&credentials), None, &mut mint().ids));
    assert_eq!(subscriber.subscribe(600).unwrap().cseq(), 3);
}

#[test]
fn the_ends_are_small() {
    println!(
        "Subscriber {} + {} octets of text, Notifier {}, EventRequest {}",
        size_of::<Subscriber>(),
        subscriber(100_000).dialog().octets(),
        size_of::<Notifier>(),
        size_of::<EventRequest>()
    );
    assert!(size_of::<Subscriber>() <= 64 && size_of::<Notifier>() <= 80);
}
