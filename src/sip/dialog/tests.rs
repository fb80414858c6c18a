#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

fn by() -> Establishing<'static> {
    Establishing {
        call_id: "a84b4c76e66710",
        from_uri: "sip:romeo@example.net",
        from_tag: Some("from"),
        to_uri: "sip:juliet@example.com",
        to_tag: Some("to"),
        cseq: 314,
        contact: "sip:user@remoteua",
        request_uri: "sip:juliet@example.com",
        over_tls: true,
    }
}

const PROXIES: [&str; 4] = ["<sip:proxy1>", "<sip:proxy2>", "<sip:proxy3;lr>", "<sip:proxy4>"];

#[test]
fn check_157_a_uas_takes_the_route_set_in_order_and_a_uac_in_reverse() {
    let routes = ["<sip:p1.example.com;lr>", "\"P, <2>\" <sip:p2.example.com;lr;x=1>;y=2"];
    let uas = Dialog::uas(&by(), routes).unwrap();
    assert_eq!(uas.route().routes, routes, "with all parameters");
    assert_eq!((uas.local_tag(), uas.remote_tag()), (Some("to"), Some("from")));
    assert_eq!((uas.local_uri(), uas.remote_uri()), ("sip:juliet@example.com", "sip:romeo@example.net"));
    let uac = Dialog::uac(&by(), routes).unwrap();
    assert_eq!(uac.route().routes, [routes[1], routes[0]]);
    assert_eq!(uac.route().next_hop, "sip:p2.example.com;lr;x=1");
    assert_eq!((uac.local_tag(), uac.remote_tag()), (Some("from"), Some("to")));
    assert_eq!((uac.local_uri(), uac.remote_uri()), ("sip:romeo@example.net", "sip:juliet@example.com"));
}

#[test]
fn check_157_without_routes_the_target_is_the_request_uri() {
    let dialog = Dialog::uac(&by(), []).unwrap();
    let routed = dialog.route();
    assert_eq!((&*routed.request_uri, &routed.routes[..], routed.last), ("sip:user@remoteua", &[][..], None));
    assert_eq!(routed.next_hop, "sip:user@remoteua");
}

#[test]
fn check_157_a_loose_router_leaves_the_target_in_the_request_uri() {
    let routes = ["<sip:proxy1;lr>", "<sip:proxy2>"];
    let dialog = Dialog::uas(&by(), routes).unwrap();
    let routed = dialog.route();
    assert_eq!((&*routed.request_uri, routed.last), ("sip:user@remoteua", None));
    assert_eq!((&routed.routes[..], routed.next_hop), (&routes[..], "sip:proxy1;lr"));
    for loose in ["<sip:p;LR>", "<sip:p;lr=true>", "<sip:p;lr=on;x>", "<sip:p;l%72>"] {
        assert_eq!(Dialog::uas(&by(), [loose]).unwrap().route().last, None, "{loose}");
    }
    for strict in ["<sip:p;lrx>", "<sip:lr@p>", "<sip:p>;lr", "<sip:p;x=lr>"] {
        assert!(Dialog::uas(&by(), [strict]).unwrap().route().last.is_some(), "{strict}");
    }
}

#[test]
fn check_157_a_strict_router_becomes_the_request_uri() {
    // The example of RFC 3261 §12.2.1.1.
    let dialog = Dialog::uas(&by(), PROXIES).unwrap();
    let routed = dialog.route();
    assert_eq!(&*routed.request_uri, "sip:proxy1");
    assert_eq!(routed.routes, PROXIES[1..]);
    assert_eq!(routed.last, Some("sip:user@remoteua"));
    assert_eq!(routed.next_hop, "sip:proxy1");
}

#[test]
fn check_157_a_strict_router_gets_no_headers_and_no_method_parameter() {
    for (route, uri) in [
        ("<sip:p;method=INVITE?Subject=x>", "sip:p"),
        ("<sip:u@p:5070;a=1;METHOD=INVITE;b>", "sip:u@p:5070;a=1;b"),
        ("<sip:p;a=1?to=x>", "sip:p;a=1"),
        ("<sips:p;methods=x>", "sips:p;methods=x"),
    ] {
        assert_eq!(&*Dialog::uas(&by(), [route]).unwrap().route().request_uri, uri);
    }
}

#[test]
fn check_157_the_target_is_refreshed_and_the_route_set_is_not() {
    let mut dialog = Dialog::uas(&by(), ["<sip:proxy1;lr>"]).unwrap();
    dialog.refresh_target("sip:user@192.0.2.7:5062").unwrap();
    assert_eq!(&*dialog.route().request_uri, "sip:user@192.0.2.7:5062");
    assert_eq!(dialog.route().routes, ["<sip:proxy1;lr>"]);
    for bad in ["", "*", "tel:+15551230001", "mailto:x@y", "sip:", "sip:a b@c", "<sip:a@b>"] {
        assert_eq!(dialog.refresh_target(bad), Err(DialogError::Contact), "{bad}");
    }
    assert_eq!(dialog.remote_target(), "sip:user@192.0.2.7:5062");
}

#[test]
fn check_157_an_early_dialog_is_confirmed_with_the_routes_of_the_2xx() {
    let mut dialog = Dialog::uac(&by(), ["<sip:early;lr>"]).unwrap();
    dialog.next_cseq(1);
    assert_eq!(dialog.confirm("sip:new@ua", ["nonsense"]), Err(DialogError::RecordRoute));
    assert_eq!(dialog.remote_target(), "sip:user@remoteua", "as it was");
    dialog.confirm("sip:new@ua", ["<sip:a;lr>", "<sip:b;lr>"]).unwrap();
    assert_eq!(dialog.route().routes, ["<sip:b;lr>", "<sip:a;lr>"]);
    assert_eq!(dialog.remote_target(), "sip:new@ua");
    assert_eq!(dialog.next_cseq(1), Some(316), "the count goes on");
}

#[test]
fn check_157_our_cseq_is_contiguous() {
    let mut uac = Dialog::uac(&by(), []).unwrap();
    assert_eq!([uac.next_cseq(1), uac.next_cseq(1), uac.next_cseq(1)], [Some(315), Some(316), Some(317)]);
    let mut uas = Dialog::uas(&by(), []).unwrap();
    assert_eq!([uas.next_cseq(70), uas.next_cseq(1)], [Some(70), Some(71)]);
    let mut last = Dialog::uac(&Establishing { cseq: MAX_CSEQ - 1, ..by() }, []).unwrap();
    assert_eq!([last.next_cseq(1), last.next_cseq(1)], [Some(MAX_CSEQ), None]);
    let mut high = Dialog::uas(&by(), []).unwrap();
    assert!(high.next_cseq(u32::MAX).is_some_and(|number| number < MAX_CSEQ));
}

#[test]
fn check_153_a_cseq_that_is_not_higher_is_out_of_order_and_a_gap_is_not() {
    let mut uas = Dialog::uas(&by(), []).unwrap();
    for (cseq, order) in [
        (315, Order::InOrder),
        (315, Order::OutOfOrder),
        (314, Order::OutOfOrder),
        (400, Order::InOrder),
        (316, Order::OutOfOrder),
        (MAX_CSEQ + 1, Order::OutOfOrder),
        (401, Order::InOrder),
    ] {
        assert_eq!(uas.on_request(cseq), order, "{cseq}");
    }
    let mut uac = Dialog::uac(&by(), []).unwrap();
    assert_eq!(uac.on_request(0), Order::InOrder, "the peer's count starts with its first request");
    assert_eq!(uac.on_request(0), Order::OutOfOrder);
}

#[test]
fn check_157_a_secure_dialog_stays_secure() {
    let sips = Establishing { request_uri: "sips:juliet@example.com", contact: "sips:user@ua", ..by() };
    let mut dialog = Dialog::uas(&sips, []).unwrap();
    assert!(dialog.is_secure());
    assert_eq!(dialog.refresh_target("sip:user@ua"), Err(DialogError::Insecure));
    assert!(Dialog::uas(&Establishing { contact: "sip:user@ua", ..sips }, []).is_err());
    assert!(!Dialog::uas(&Establishing { over_tls: false, ..sips }, []).unwrap().is_secure());
    assert!(!Dialog::uas(&by(), []).unwrap().is_secure());
}

#[test]
fn a_message_belongs_to_the_dialog_whose_three_identifiers_it_has() {
    let dialog = Dialog::uas(&by(), []).unwrap();
    assert!(dialog.is("a84b4c76e66710", Some("to"), Some("from")));
    assert!(!dialog.is("A84b4c76e66710", Some("to"), Some("from")));
    assert!(!dialog.is("a84b4c76e66710", Some("from"), Some("to")));
    assert!(!dialog.is("a84b4c76e66710", Some("to"), None));
    let old = Dialog::uas(&Establishing { from_tag: None, ..by() }, []).unwrap();
    assert!(old.is("a84b4c76e66710", Some("to"), None), "a client of RFC 2543");
}

#[test]
fn what_is_too_long_or_malformed_makes_no_dialog() {
    let long = "x".repeat(MAX_TEXT + 1);
    assert_eq!(Dialog::uas(&Establishing { call_id: &long, ..by() }, []), Err(DialogError::TooLong));
    let routes = vec!["<sip:p;lr>"; MAX_ROUTES + 1];
    assert_eq!(Dialog::uas(&by(), routes.iter().copied()), Err(DialogError::TooLong));
    assert!(Dialog::uas(&by(), routes[1..].iter().copied()).is_ok());
    for bad in [
        "",
        "sip:p",
        "<sip:p",
        "<>",
        "<tel:+1>",
        "\"<sip:p>",
        "<sip:p>\r\nX: y",
        "\"a\\\"<sip:p>",
        "<sip:p x>",
    ] {
        assert_eq!(Dialog::uas(&by(), [bad]), Err(DialogError::RecordRoute), "{bad}");
    }
    let high = Establishing { cseq: MAX_CSEQ + 1, ..by() };
    assert_eq!(Dialog::uas(&high, []), Err(DialogError::Cseq));
}
