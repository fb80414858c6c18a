//! Sessions whose texts go by MSRP, both ways (RFC 7573 §5).

use super::super::ALICE;
use super::super::net::Net;
use super::super::world::{Seen, World};
use super::{CONTACT, Dialog, Im, OFFER, SDP, world as plain_world, world_with};
use crate::body::sdp::{Description, Kind, Media, Setup};
use crate::gateway::Input;
use crate::msrp::ConnId;

pub(super) const FAR: &str = "msrp://edge.contoso.example:7313/ansp71weztas;tcp";

pub(super) fn world(port: Option<u16>, net: Net) -> World {
    world_with(net, Im::Msrp, |settings| {
        settings.msrp.host = "gw.contoso.example".into();
        settings.msrp.port = port;
        settings.msrp.tls = false;
    })
}

pub(super) fn offer(setup: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 edge.contoso.example\r\ns=-\r\nc=IN IP4 edge.contoso.example\r\nt=0 0\r\n\
         m=message 7313 TCP/MSRP *\r\na=accept-types:message/cpim text/plain\r\n\
         a=accept-wrapped-types:*\r\n{setup}a=path:{FAR}\r\n"
    )
}

pub(super) fn described(body: &str) -> Media {
    let description = Description::parse(body.as_bytes()).expect(body);
    description.usable(Kind::Msrp).unwrap_or_else(|| panic!("{body}"))
}

/// What was written by MSRP since somebody looked.
pub(super) fn take_msrp(world: &mut World) -> String {
    let mut text = String::new();
    world.seen.retain(|seen| match seen {
        Seen::Msrp(_, octets) => {
            text.push_str(octets);
            false
        }
        _ => true,
    });
    text
}

pub(super) fn dialled(world: &mut World) -> crate::msrp::Dial {
    let place = world.seen.iter().position(|seen| matches!(seen, Seen::MsrpDial(_))).expect("a dial");
    match world.seen.remove(place) {
        Some(Seen::MsrpDial(dial)) => *dial,
        other => panic!("{other:?}"),
    }
}

pub(super) fn say(world: &mut World, conn: ConnId, text: &str) {
    world.handle(Input::Msrp { conn, octets: text.as_bytes() });
}

pub(super) fn request(to: &str, tid: &str, headers: &str, body: Option<&str>) -> String {
    let body = body.map_or(String::new(), |body| format!("\r\n{body}\r\n"));
    format!(
        "MSRP {tid} SEND\r\nTo-Path: {to}\r\nFrom-Path: {FAR}\r\nMessage-ID: {tid}\r\n{headers}{body}-------{tid}$\r\n"
    )
}

pub(super) const PLAIN: &str = "Content-Type: text/plain\r\n";

/// What was written, request by request.
fn requests(written: &str) -> Vec<String> {
    written.split_inclusive("$\r\n").map(str::to_owned).collect()
}

pub(super) fn respond(world: &mut World, conn: ConnId, request: &str, status: &str) {
    let tid = request.split(' ').nth(1).unwrap();
    let from = request.lines().find_map(|line| line.strip_prefix("From-Path: ")).unwrap();
    say(
        world,
        conn,
        &format!("MSRP {tid} {status}\r\nTo-Path: {from}\r\nFrom-Path: {FAR}\r\n-------{tid}$\r\n"),
    );
}

/// alice invites romeo and connects: the dialog, the connection, our URI.
pub(super) fn alice_opens(world: &mut World) -> (Dialog, ConnId, String) {
    let (mut dialog, ok) = Dialog::invite(world, 1, SDP, &offer("a=setup:actpass\r\n"));
    assert_eq!(ok.status(), Some(200), "{}", ok.text);
    let ours = described(ok.body());
    assert_eq!((ours.port, ours.setup, ours.max_size), (2855, Some(Setup::Passive), Some(65_536)));
    dialog.ack(world);
    let now = world.now;
    let conn = world.gateway.msrp_accepted(now, false, None).expect("room");
    say(world, conn, &request(&ours.path[0], "bind1234", "", None));
    assert!(take_msrp(world).starts_with("MSRP bind1234 200 OK\r\n"));
    (dialog, conn, ours.path[0].clone())
}

#[test]
fn check_042_an_invitation_with_msrp_is_taken_and_its_texts_cross() {
    let mut world = world(Some(2855), Net { written: false, ..Net::works() });
    let (mut dialog, conn, to) = alice_opens(&mut world);
    say(&mut world, conn, &request(&to, "tid1", PLAIN, Some("O Romeo")));
    // Law 3: the 200 waits until the stanza is written.
    assert_eq!(take_msrp(&mut world), "");
    let (stream, mark) = written(&mut world, "<body>O Romeo</body>");
    world.written(stream, mark);
    assert!(take_msrp(&mut world).starts_with("MSRP tid1 200 OK\r\n"));
    let cpim = "From: <sip:x@y.example>\r\nTo: <sip:z@y.example>\r\nDateTime: 2026-11-23T00:00:00Z\r\n\r\nContent-Type: text/plain\r\n\r\nwrapped";
    say(&mut world, conn, &request(&to, "tid2", "Content-Type: message/cpim\r\n", Some(cpim)));
    let (stream, mark) = written(&mut world, "<body>wrapped</body>");
    world.written(stream, mark);
    assert!(take_msrp(&mut world).starts_with("MSRP tid2 200 OK\r\n"));
    assert_eq!(world.gateway.counts().delivered, [2, 0]);
    // And back, in the same session.
    world.say("m1", ALICE, "Ay me");
    let sent = take_msrp(&mut world);
    assert!(sent.contains("Content-Type: text/plain;charset=UTF-8\r\n\r\nAy me\r\n"), "{sent}");
    respond(&mut world, conn, &sent, "200 OK");
    assert_eq!(world.gateway.counts().delivered, [2, 1]);
    assert_eq!(dialog.status(&mut world, "BYE", "", ""), 200);
    assert_eq!(world.gateway.session_count(), 0);
    say(&mut world, conn, &request(&to, "tid3", PLAIN, Some("too late")));
    assert!(take_msrp(&mut world).starts_with("MSRP tid3 481 "));
    world.assert_quiet();
}

pub(super) fn written(world: &mut World, body: &str) -> (crate::xmpp::StreamId, u64) {
    let found = world.seen.iter().find_map(|seen| match seen {
        Seen::Xmpp { stream, mark, text, .. } if text.contains(body) => Some((*stream, *mark)),
        _ => None,
    });
    let found = found.unwrap_or_else(|| panic!("{body}: {:#?}", world.seen));
    let text = world.one_xmpp();
    assert!(text.contains("from='alice@contoso.example' to='romeo@capulet.example'"), "{text}");
    assert!(text.contains(" type='chat'"), "{text}");
    found
}

#[test]
fn check_041_texts_wait_for_the_session_and_go_by_msrp_in_order() {
    for (port, ours, theirs) in [(None, Setup::Active, "passive"), (Some(2855), Setup::ActPass, "passive")] {
        let mut world = world(port, Net::works());
        world.say("m1", ALICE, "one");
        world.say("m2", ALICE, "two");
        let invite = world.one_sip();
        let described = described(invite.body());
        assert_eq!((described.setup, described.port), (Some(ours), port.unwrap_or(9)));
        let answer = offer(&format!("a=setup:{theirs}\r\n"));
        world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), &answer);
        assert_eq!(world.one_sip().header("CSeq"), Some("1 ACK"));
        let dial = dialled(&mut world);
        assert_eq!(
            (dial.host.as_str(), dial.port, dial.near.as_str()),
            ("edge.contoso.example", 7313, "contoso.example")
        );
        assert_eq!(take_msrp(&mut world), "");
        world.handle(Input::MsrpUp { conn: dial.conn, certificate: None });
        let sent = take_msrp(&mut world);
        let [bind, first, second] = &requests(&sent)[..] else { panic!("{sent}") };
        assert!(bind.contains("Byte-Range: 1-0/0\r\n"), "{sent}");
        assert!(first.contains("\r\n\r\none\r\n") && second.contains("\r\n\r\ntwo\r\n"), "{sent}");
        for request in [bind, first, second] {
            respond(&mut world, dial.conn, request, "200 OK");
        }
        assert!(world.take_xmpp().is_empty(), "no error");
        assert_eq!(world.gateway.counts().delivered, [0, 2]);
    }
}

/// RFC 3264 §5.1: who has offered is ready to receive. What is said on its connection may overtake the 200.
#[test]
fn a_text_by_msrp_that_overtakes_the_answer_to_our_invitation_arrives() {
    let mut world = world(Some(2855), Net::works());
    world.say("m1", ALICE, "one");
    let invite = world.one_sip();
    let to = described(invite.body()).path[0].clone();
    let now = world.now;
    let conn = world.gateway.msrp_accepted(now, false, None).expect("room");
    say(&mut world, conn, &request(&to, "tid1", PLAIN, Some("early")));
    assert!(take_msrp(&mut world).starts_with("MSRP tid1 200 OK\r\n"));
    assert!(world.one_xmpp().contains("<body>early</body>"));
    world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), &offer("a=setup:active\r\n"));
    assert_eq!(world.one_sip().header("CSeq"), Some("1 ACK"));
    let sent = take_msrp(&mut world);
    assert!(sent.contains("\r\n\r\none\r\n"), "{sent}");
    respond(&mut world, conn, &sent, "200 OK");
    assert_eq!(world.gateway.counts().delivered, [1, 1]);
    assert_eq!(world.gateway.session_count(), 1);
}

/// romeo's text is by MSRP at alice, who has not answered it.
pub(super) fn romeo_writes(world: &mut World) -> (ConnId, String) {
    world.say("m1", ALICE, "one");
    let invite = world.one_sip();
    world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), &offer("a=setup:passive\r\n"));
    world.take_sip();
    let dial = dialled(world);
    world.handle(Input::MsrpUp { conn: dial.conn, certificate: None });
    let sent = take_msrp(world);
    (dial.conn, sent[sent[1..].find("MSRP ").unwrap() + 1..].to_owned())
}

/// RFC 4975 keeps the order of messages: none waits for the answer to another. Each comes out once.
#[test]
fn texts_overlap_in_order_up_to_a_bound_and_are_answered_in_any_order() {
    let mut world = world(None, Net::works());
    let (conn, first) = romeo_writes(&mut world);
    for n in 1..100 {
        world.say(&format!("n{n}"), ALICE, &format!("text {n:02}"));
    }
    let mut open = requests(&take_msrp(&mut world));
    assert_eq!(open.len(), 31, "32 are in the air");
    open.insert(0, first);
    let mut order = Vec::new();
    while !open.is_empty() {
        order.append(&mut open);
        // The newest of them is answered first.
        for request in order.iter().rev().take(32) {
            respond(&mut world, conn, request, "200 OK");
        }
        world.handle(Input::MsrpDrained { conn });
        open = requests(&take_msrp(&mut world));
    }
    let texts: Vec<_> = order.iter().filter_map(|request| request.split("\r\n").nth(7)).collect();
    let expected: Vec<_> = (1..100).map(|n| format!("text {n:02}")).collect();
    assert_eq!(texts[0], "one");
    assert_eq!(texts[1..], expected);
    assert!(world.take_xmpp().is_empty(), "no error");
    assert_eq!((world.gateway.counts().delivered, world.gateway.counts().failed), ([0, 100], [0, 0]));
}

#[test]
fn what_was_in_the_air_of_a_session_that_the_peer_does_not_know_goes_to_the_next_in_order() {
    let mut world = world(None, Net::works());
    let (conn, first) = romeo_writes(&mut world);
    for n in 1..5 {
        world.say(&format!("n{n}"), ALICE, &format!("text {n}"));
    }
    let sent = requests(&take_msrp(&mut world));
    respond(&mut world, conn, &first, "200 OK");
    respond(&mut world, conn, &sent[0], "481");
    let invite = world.take_sip().into_iter().find(|sent| sent.text.starts_with("INVITE ")).expect("another");
    assert!(world.take_xmpp().is_empty(), "not yet an error");
    world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), &offer("a=setup:passive\r\n"));
    world.take_sip();
    let sent = requests(&take_msrp(&mut world));
    let texts: Vec<_> = sent.iter().filter_map(|request| request.split("\r\n").nth(7)).collect();
    assert_eq!(texts, ["text 1", "text 2", "text 3", "text 4"]);
    // That one is not known either: each text comes back, once.
    respond(&mut world, conn, &sent[1], "481");
    let errors = world.take_xmpp().concat();
    for n in 1..5 {
        assert_eq!(errors.matches(&format!("id='n{n}'")).count(), 1, "{errors}");
    }
    assert_eq!((world.gateway.counts().delivered, world.gateway.counts().failed), ([0, 1], [0, 4]));
}

#[test]
fn what_nobody_has_answered_when_the_gateway_stops_goes_back_once() {
    let mut world = world(None, Net::works());
    romeo_writes(&mut world);
    for n in 1..40 {
        world.say(&format!("n{n}"), ALICE, &format!("text {n:02}"));
    }
    world.take_sip();
    world.stop();
    assert!(world.take_xmpp().is_empty(), "each may still be delivered");
    world.gateway.abandon(world.now);
    world.handle(Input::Timeout);
    let errors = world.take_xmpp();
    assert_eq!(errors.len(), 40, "{errors:#?}");
    for n in 1..40 {
        let its = |error: &&String| error.contains(&format!("id='n{n}'")) && error.contains("type='error'");
        assert_eq!(errors.iter().filter(its).count(), 1, "{errors:#?}");
    }
    assert_eq!((world.gateway.counts().delivered, world.gateway.counts().failed), ([0, 0], [0, 40]));
    let bye = world.one_sip();
    assert!(bye.text.starts_with("BYE "), "{}", bye.text);
    assert_eq!(world.gateway.session_count(), 0);
    world.assert_quiet();
}

#[test]
fn a_status_of_msrp_is_a_condition_and_the_session_goes_on() {
    for (status, condition) in [
        (400, "bad-request"),
        (403, "forbidden"),
        (408, "remote-server-timeout"),
        (413, "policy-violation"),
        (415, "not-acceptable"),
        (423, "policy-violation"),
        (501, "feature-not-implemented"),
    ] {
        let mut world = world(None, Net::works());
        let (conn, first) = romeo_writes(&mut world);
        respond(&mut world, conn, &first, &status.to_string());
        let error = world.one_xmpp();
        assert!(error.contains("id='m1'") && error.contains(&format!("<{condition} ")), "{status}: {error}");
        world.say("m2", ALICE, "two");
        assert!(take_msrp(&mut world).contains("\r\n\r\ntwo\r\n"), "{status}");
    }
}

#[test]
fn a_session_that_the_peer_does_not_know_is_opened_once_more() {
    let mut world = world(None, Net::works());
    let (conn, first) = romeo_writes(&mut world);
    respond(&mut world, conn, &first, "481");
    let sent = world.take_sip();
    assert!(sent.iter().any(|sent| sent.text.starts_with("BYE ")), "{sent:#?}");
    let invite = sent.iter().find(|sent| sent.text.starts_with("INVITE ")).expect("another invitation");
    assert!(world.take_xmpp().is_empty(), "not yet an error");
    world.answer_body(&invite.clone(), 200, &format!("{CONTACT}{SDP}"), &offer("a=setup:passive\r\n"));
    world.take_sip();
    // The connection to the same host is there.
    let sent = take_msrp(&mut world);
    let first = &sent[sent[1..].find("MSRP ").unwrap() + 1..];
    respond(&mut world, conn, first, "481");
    let error = world.one_xmpp();
    assert!(error.contains("id='m1'") && error.contains("<recipient-unavailable "), "{error}");
}

#[test]
fn check_051_a_lost_connection_returns_the_text_and_ends_the_dialog() {
    let mut world = world(None, Net::works());
    let (conn, _) = romeo_writes(&mut world);
    world.handle(Input::MsrpDown { conn });
    let error = world.one_xmpp();
    assert!(error.contains("id='m1'") && error.contains("<remote-server-timeout "), "{error}");
    let bye = world.one_sip();
    assert!(bye.text.starts_with("BYE "), "{}", bye.text);
    world.answer(&bye, 200);
    world.pass_secs(120);
    assert_eq!(world.gateway.session_count(), 0);
    world.assert_quiet();
}

#[test]
fn a_connection_that_does_not_come_about_sends_what_waits_once_more_and_then_back() {
    let mut world = world(None, Net::works());
    world.say("m1", ALICE, "one");
    for _ in 0..2 {
        let invite = world.take_sip().into_iter().find(|sent| sent.text.starts_with("INVITE "));
        let invite = invite.expect("an invitation");
        world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), &offer("a=setup:passive\r\n"));
        let conn = dialled(&mut world).conn;
        world.handle(Input::MsrpDown { conn });
    }
    let error = world.one_xmpp();
    assert!(error.contains("id='m1'") && error.contains("<recipient-unavailable "), "{error}");
    world.pass_secs(200);
    assert_eq!(world.gateway.session_count(), 0);
}

#[test]
fn a_text_that_bounces_is_a_failure_and_what_policy_refuses_403() {
    let mut world = world(Some(2855), Net { streams: super::super::net::Play::Fail, ..Net::works() });
    let (_, conn, to) = alice_opens(&mut world);
    say(&mut world, conn, &request(&to, "tid1", PLAIN, Some("hi")));
    assert!(take_msrp(&mut world).starts_with("MSRP tid1 408 "));
    assert_eq!(world.gateway.counts().failed, [1, 0]);
    let html = request(&to, "tid2", "Content-Type: image/gif\r\n", Some("GIF"));
    say(&mut world, conn, &html);
    assert!(take_msrp(&mut world).starts_with("MSRP tid2 415 "));
}

/// check 171: a right that is revoked ends the session on both sides.
#[test]
fn a_revoked_right_ends_the_session() {
    let mut world = world(Some(2855), Net::works());
    let (_, conn, to) = alice_opens(&mut world);
    world.reload(&super::super::net::POLICY.replace("xmpp = true", "xmpp = false"));
    let bye = world.one_sip();
    assert!(bye.text.starts_with("BYE "), "{}", bye.text);
    world.answer(&bye, 200);
    say(&mut world, conn, &request(&to, "tid1", PLAIN, Some("hi")));
    assert!(take_msrp(&mut world).starts_with("MSRP tid1 481 "));
    assert!(world.take_xmpp().is_empty());
}

#[test]
fn offers_that_cannot_be_met_are_488_and_the_dialog_is_preferred_unless_msrp_is_set() {
    // Over TLS only, or nobody can connect.
    for (port, body) in [
        (Some(2855), offer("").replace("TCP/MSRP", "TCP/TLS/MSRP")),
        (None, offer("a=setup:active\r\n")),
        (None, offer("")),
        (Some(2855), offer("").replace("a=path", "a=x-path")),
        (Some(2855), offer("a=setup:passive\r\n").replace(FAR, "sip:nobody")),
    ] {
        let mut world = world(port, Net::works());
        let (_, refused) = Dialog::invite(&mut world, 1, SDP, &body);
        assert_eq!(refused.status(), Some(488), "{body}");
        assert_eq!(world.gateway.session_count(), 0);
    }
    let both = format!("{}m=message 5060 sip null\r\na=accept-types:text/plain\r\n", offer(""));
    let mut msrp = world(Some(2855), Net::works());
    let (_, ok) = Dialog::invite(&mut msrp, 1, SDP, &both);
    assert_eq!(described(ok.body()).index, 0);
    assert!(ok.body().contains("m=message 0 sip null"), "{}", ok.text);
    let mut other = plain_world(Im::MsSession);
    let (_, ok) = Dialog::invite(&mut other, 1, SDP, &both);
    assert!(
        ok.body().contains("m=message 0 TCP/MSRP *\r\n") && ok.body().contains("m=message 5060 sip null")
    );
    // Both sides' texts in the dialog, though the peer is set to MSRP.
    let mut msrp = world(Some(2855), Net::works());
    let (mut dialog, ok) = Dialog::invite(&mut msrp, 1, SDP, OFFER);
    assert_eq!(ok.status(), Some(200));
    dialog.ack(&mut msrp);
    assert!(dialog.says(&mut msrp, "hi").contains("<body>hi</body>"));
}

/// RFC 4975 §8.6: nothing of a type that the peer has not listed, on the outside or wrapped.
#[test]
fn nothing_is_sent_by_msrp_that_the_peer_does_not_take() {
    let lists = |types: &str, wrapped: &str| {
        offer("a=setup:passive\r\n")
            .replace("accept-types:message/cpim text/plain", &format!("accept-types:{types}"))
            .replace("accept-wrapped-types:*", &format!("accept-wrapped-types:{wrapped}"))
    };
    for (types, wrapped, is_wrapped, hears_typing) in [
        ("text/plain", "text/plain", Some(false), false),
        ("text/*", "*", Some(false), false),
        ("*", "*", Some(false), true),
        ("message/cpim text/plain application/im-iscomposing+xml", "*", Some(false), true),
        ("message/cpim", "text/plain", Some(true), false),
        ("message/cpim", "image/png", None, false),
        ("image/png", "text/plain", None, false),
    ] {
        let mut world = world(None, Net::works());
        world.say("m1", ALICE, "Ay me\\");
        let invite = world.one_sip();
        world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), &lists(types, wrapped));
        let Some(is_wrapped) = is_wrapped else {
            let sent = world.take_sip();
            assert!(sent.iter().any(|sent| sent.text.starts_with("BYE ")), "{types}: {sent:#?}");
            assert!(world.one_xmpp().contains("id='m1'"), "{types}");
            continue;
        };
        world.take_sip();
        let dial = dialled(&mut world);
        world.handle(Input::MsrpUp { conn: dial.conn, certificate: None });
        let sent = take_msrp(&mut world);
        let text = &sent[sent[1..].find("MSRP ").unwrap() + 1..];
        if is_wrapped {
            assert!(
                text.contains("Content-Type: message/cpim\r\n\r\nFrom: <sip:romeo@capulet.example>\r\n"),
                "{text}"
            );
            assert!(
                text.contains("\r\n\r\nContent-Type: text/plain;charset=UTF-8\r\n\r\nAy me\\\r\n---"),
                "{text}"
            );
        } else {
            assert!(text.contains("Content-Type: text/plain;charset=UTF-8\r\n\r\nAy me\\\r\n---"), "{text}");
        }
        respond(&mut world, dial.conn, text, "200 OK");
        super::romeo_sends(&mut world, super::COMPOSING);
        assert_eq!(take_msrp(&mut world).contains("im-iscomposing+xml"), hears_typing, "{types}");
    }
    // The same of an offer.
    for (types, wrapped, status) in [("message/cpim", "image/png", 488), ("message/cpim", "text/plain", 200)]
    {
        let mut world = world(Some(2855), Net::works());
        let (_, answer) =
            Dialog::invite(&mut world, 1, SDP, &lists(types, wrapped).replace("passive", "actpass"));
        assert_eq!(answer.status(), Some(status), "{types} {wrapped}");
    }
}

#[test]
fn a_text_by_msrp_that_is_over_the_budget_is_not_delivered() {
    let mut world = world_with(Net::works(), Im::Msrp, |settings| {
        settings.msrp.host = "gw.contoso.example".into();
        settings.msrp.port = Some(2855);
        settings.msrp.tls = false;
        settings.user_rate = 2;
    });
    let (_, conn, to) = alice_opens(&mut world);
    say(&mut world, conn, &request(&to, "tid1", PLAIN, Some("two")));
    assert!(take_msrp(&mut world).starts_with("MSRP tid1 200 OK\r\n"));
    assert!(world.one_xmpp().contains("<body>two</body>"));
    say(&mut world, conn, &request(&to, "tid2", PLAIN, Some("three")));
    let refused = take_msrp(&mut world);
    assert!(refused.starts_with("MSRP tid2 4") && refused.matches("MSRP ").count() == 1, "{refused}");
    assert!(world.take_xmpp().is_empty());
}
