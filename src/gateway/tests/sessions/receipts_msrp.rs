//! Receipts of texts that go by MSRP (RFC 7573 §7, RFC 4975 §7.1.2, §7.1.3).

use super::super::ALICE;
use super::super::net::Net;
use super::super::texts::request as sip_request;
use super::super::world::World;
use super::msrp::{
    FAR, PLAIN, alice_opens, described, offer, request, respond, romeo_writes, say, take_msrp, world, written,
};
use super::receipts::{MARKABLE, REQUEST, asking, attr, delivered, displayed, error_for, imdn_of, romeo};
use super::{CONTACT, Dialog, Im, SDP, world_with};
use crate::body::imdn::{Kind, Status};
use crate::gateway::Receipts;
use crate::msrp::ConnId;

/// The value of a header of an MSRP frame.
fn header<'s>(frame: &'s str, name: &str) -> Option<&'s str> {
    frame.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// alice's REPORT on a message of ours.
fn report(world: &mut World, conn: ConnId, sent: &str, range: &str, status: &str) {
    let (to, id) = (header(sent, "From-Path").unwrap(), header(sent, "Message-ID").unwrap());
    let frame = format!(
        "MSRP report99 REPORT\r\nTo-Path: {to}\r\nFrom-Path: {FAR}\r\nMessage-ID: {id}\r\nByte-Range: {range}\r\n\
         Status: 000 {status}\r\n-------report99$\r\n"
    );
    say(world, conn, &frame);
}

/// romeo's text in alice's session, answered with 200.
fn sent(world: &mut World, conn: ConnId, id: &str, children: &str) -> String {
    romeo(world, id, children);
    let sent = take_msrp(world);
    respond(world, conn, &sent, "200 OK");
    sent
}

fn opened() -> (World, ConnId, String) {
    let mut world = world(Some(2855), Net::works());
    let (_, conn, to) = alice_opens(&mut world);
    (world, conn, to)
}

/// alice's text, which the stanza is made of.
fn arrived(world: &mut World, conn: ConnId, to: &str, headers: &str, body: &str) -> String {
    say(world, conn, &request(to, "tid1", headers, Some(body)));
    assert!(take_msrp(world).starts_with("MSRP tid1 200 OK\r\n"));
    world.one_xmpp()
}

const SUCCESS: &str = "Success-Report: yes\r\nContent-Type: text/plain\r\n";

#[test]
fn check_059_a_request_is_a_success_report_and_the_report_a_receipt_with_the_original_id() {
    let (mut world, conn, _) = opened();
    let frame = sent(&mut world, conn, "richard2-4.1.247", &format!("<body>Ay me</body>{REQUEST}"));
    assert_eq!(header(&frame, "Success-Report"), Some("yes"), "{frame}");
    assert_eq!(header(&frame, "Content-Type"), Some("text/plain;charset=UTF-8"));
    assert!(world.take_xmpp().is_empty(), "check_063: the 200 is no receipt");
    // Of a part; then of the rest.
    report(&mut world, conn, &frame, "1-3/5", "200 OK");
    assert!(world.take_xmpp().is_empty(), "check_047");
    report(&mut world, conn, &frame, "1-5/5", "200 OK");
    let receipt = world.one_xmpp();
    assert!(
        receipt.starts_with("<message from='alice@contoso.example' to='romeo@capulet.example/orchard' id='"),
        "{receipt}"
    );
    assert!(
        receipt
            .ends_with(" type='chat'><received xmlns='urn:xmpp:receipts' id='richard2-4.1.247'/></message>"),
        "{receipt}"
    );
    report(&mut world, conn, &frame, "1-5/5", "200 OK");
    assert!(world.take_xmpp().is_empty(), "check_061: once");
    assert_eq!(take_msrp(&mut world), "", "check_047: no response to a REPORT");
    let plain = sent(&mut world, conn, "m2", "<body>asks nothing</body>");
    assert_eq!(header(&plain, "Success-Report"), None);
    report(&mut world, conn, &plain, "1-12/12", "200 OK");
    assert!(world.take_xmpp().is_empty(), "check_063");
}

#[test]
fn check_059_a_text_that_waits_for_its_session_asks_as_well() {
    let mut world = world(None, Net::works());
    romeo(&mut world, "m0", &format!("<body>one</body>{REQUEST}"));
    let invite = world.one_sip();
    world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), &offer("a=setup:passive\r\n"));
    world.take_sip();
    let conn = super::msrp::dialled(&mut world).conn;
    world.handle(crate::gateway::Input::MsrpUp { conn, certificate: None });
    let frames = take_msrp(&mut world);
    let first = &frames[frames[1..].find("MSRP ").unwrap() + 1..];
    assert_eq!(header(first, "Success-Report"), Some("yes"), "{first}");
    respond(&mut world, conn, first, "200 OK");
    report(&mut world, conn, first, "1-3/3", "200 OK");
    assert_eq!(attr(&world.one_xmpp(), "xmlns='urn:xmpp:receipts' id"), "m0");
}

#[test]
fn a_failure_that_is_reported_late_is_an_error_asked_or_not() {
    for children in [format!("<body>x</body>{REQUEST}"), "<body>x</body>".to_owned()] {
        let (mut world, conn, _) = opened();
        let frame = sent(&mut world, conn, "m1", &children);
        report(&mut world, conn, &frame, "1-1/1", "413 Too Large");
        let error = world.one_xmpp();
        assert!(
            error.starts_with(
                "<message from='alice@contoso.example' to='romeo@capulet.example/orchard' id='m1' type='error'>"
            ),
            "{error}"
        );
    }
}

#[test]
fn a_text_that_failed_is_not_answered_for_again() {
    let mut world = world(None, Net::works());
    let (conn, first) = romeo_writes(&mut world);
    respond(&mut world, conn, &first, "200 OK");
    romeo(&mut world, "m2", &format!("<body>x</body>{REQUEST}"));
    let frame = take_msrp(&mut world);
    respond(&mut world, conn, &frame, "415 No");
    assert!(world.one_xmpp().contains("id='m2' type='error'"));
    report(&mut world, conn, &frame, "1-1/1", "200 OK");
    assert!(world.take_xmpp().is_empty());
}

#[test]
fn check_047_a_success_report_is_asked_of_the_contact_and_goes_out_when_that_answers() {
    let (mut world, conn, to) = opened();
    let stanza = arrived(&mut world, conn, &to, SUCCESS, "O Romeo");
    assert!(stanza.contains(REQUEST) && !stanza.contains("chat-markers"), "{stanza}");
    world.pass_secs(60);
    assert_eq!(take_msrp(&mut world), "", "check_063: nothing is reported that nobody said");
    let id = attr(&stanza, "id").to_owned();
    romeo(&mut world, "r1", &format!("<received xmlns='urn:xmpp:receipts' id='{id}'/>"));
    let frame = take_msrp(&mut world);
    assert!(frame.contains(" REPORT\r\n"), "{frame}");
    assert_eq!(header(&frame, "Message-ID"), Some("tid1"));
    assert_eq!(header(&frame, "Byte-Range"), Some("1-7/7"));
    assert_eq!(header(&frame, "Status"), Some("000 200 OK"));
    assert_eq!(header(&frame, "To-Path"), Some(FAR));
    romeo(&mut world, "r2", &format!("<received xmlns='urn:xmpp:receipts' id='{id}'/>"));
    assert_eq!(take_msrp(&mut world), "", "once");
    world.assert_no_sip();
}

#[test]
fn check_047_without_a_success_report_nobody_is_asked_and_nothing_is_reported() {
    for headers in [PLAIN, "Success-Report: no\r\nContent-Type: text/plain\r\n"] {
        let (mut world, conn, to) = opened();
        let stanza = arrived(&mut world, conn, &to, headers, "O Romeo");
        assert!(!stanza.contains("urn:xmpp:receipts"), "{stanza}");
        let id = attr(&stanza, "id").to_owned();
        romeo(&mut world, "r1", &format!("<received xmlns='urn:xmpp:receipts' id='{id}'/>"));
        assert_eq!(take_msrp(&mut world), "");
        world.assert_no_sip();
    }
}

#[test]
fn check_063_a_report_is_nobody_elses_to_ask_for() {
    let (mut world, conn, to) = opened();
    let stanza = arrived(&mut world, conn, &to, SUCCESS, "O Romeo");
    let received = format!("<received xmlns='urn:xmpp:receipts' id='{}'/>", attr(&stanza, "id"));
    world.romeo(&format!(
        "<message from='tybalt@capulet.example/x' to='{ALICE}' id='t1' type='chat'>{received}</message>"
    ));
    world.romeo(&error_for("tybalt@capulet.example", attr(&stanza, "id")));
    assert!(!take_msrp(&mut world).contains("REPORT"));
}

#[test]
fn check_062_an_error_after_our_200_is_a_failure_report_unless_that_is_not_wanted() {
    for (headers, reported) in [
        (PLAIN, true),
        (SUCCESS, true),
        ("Failure-Report: partial\r\nContent-Type: text/plain\r\n", true),
        ("Failure-Report: no\r\nContent-Type: text/plain\r\n", false),
    ] {
        let (mut world, conn, to) = opened();
        say(&mut world, conn, &request(&to, "tid1", headers, Some("O Romeo")));
        take_msrp(&mut world);
        let id = attr(&world.one_xmpp(), "id").to_owned();
        world.romeo(&error_for("romeo@capulet.example", &id));
        let frame = take_msrp(&mut world);
        assert_eq!(frame.contains(" REPORT\r\n"), reported, "{headers}: {frame}");
        if reported {
            assert_eq!(header(&frame, "Message-ID"), Some("tid1"));
            assert_eq!(header(&frame, "Status").map(|status| &status[..7]), Some("000 400"), "{frame}");
            world.assert_no_sip();
        }
        romeo(&mut world, "r1", &format!("<received xmlns='urn:xmpp:receipts' id='{id}'/>"));
        assert_eq!(take_msrp(&mut world), "", "nothing after a failure");
    }
}

#[test]
fn check_062_what_was_refused_at_once_is_not_reported() {
    let mut world = world(Some(2855), Net { written: false, ..Net::works() });
    let (_, conn, to) = alice_opens(&mut world);
    say(&mut world, conn, &request(&to, "tid1", SUCCESS, Some("hi")));
    let (stream, _) = written(&mut world, "<body>hi</body>");
    world.stream_down(stream);
    let answer = take_msrp(&mut world);
    assert!(answer.starts_with("MSRP tid1 408 ") && !answer.contains("REPORT"), "{answer}");
}

#[test]
fn check_060_notifications_are_asked_for_and_answered_in_the_session() {
    let (mut world, conn, to) = opened();
    let cpim = asking("34jk324j", "positive-delivery, display", "hello");
    let stanza = arrived(&mut world, conn, &to, "Content-Type: message/cpim\r\n", &cpim);
    assert!(stanza.contains(&format!("{REQUEST}{MARKABLE}")), "{stanza}");
    let id = attr(&stanza, "id").to_owned();
    for (answer, kind, status) in [
        (format!("<received xmlns='urn:xmpp:receipts' id='{id}'/>"), Kind::Delivery, Status::Delivered),
        (format!("<displayed xmlns='urn:xmpp:chat-markers:0' id='{id}'/>"), Kind::Display, Status::Displayed),
    ] {
        romeo(&mut world, "r1", &answer);
        let frame = take_msrp(&mut world);
        assert!(!frame.contains("REPORT"), "{frame}");
        assert_eq!(header(&frame, "Content-Type"), Some("message/cpim"));
        let (_, rest) = frame.split_once("Content-Type: message/cpim\r\n\r\n").unwrap();
        let imdn = imdn_of(rest.rsplit_once("\r\n-------").unwrap().0);
        assert_eq!((&*imdn.message_id, imdn.kind, imdn.status), ("34jk324j", kind, status));
        respond(&mut world, conn, &frame, "200 OK");
    }
    world.assert_no_sip();
    // alice's client is known to notify now: romeo's text asks for both, under one id.
    let frame = sent(&mut world, conn, "m1", &format!("<body>Ay me</body>{REQUEST}{MARKABLE}"));
    assert_eq!(header(&frame, "Content-Type"), Some("message/cpim"), "{frame}");
    assert_eq!(header(&frame, "Success-Report"), Some("yes"));
    let name = header(&frame, "Message-ID").unwrap().to_owned();
    assert_eq!(header(&frame, "imdn.Message-ID"), Some(&*name));
    report(&mut world, conn, &frame, &format!("1-{n}/{n}", n = length(&frame)), "200 OK");
    assert_eq!(attr(&world.one_xmpp(), "xmlns='urn:xmpp:receipts' id"), "m1");
    for (tid, document, answered) in [("note1", delivered(&name), false), ("note2", displayed(&name), true)] {
        say(&mut world, conn, &request(&to, tid, "Content-Type: message/imdn+xml\r\n", Some(&document)));
        let answer = take_msrp(&mut world);
        assert!(answer.starts_with(&format!("MSRP {tid} 200 OK\r\n")), "{answer}");
        assert_eq!(world.take_xmpp().len(), usize::from(answered), "check_061: {tid}");
    }
}

fn length(frame: &str) -> usize {
    header(frame, "Byte-Range").unwrap().rsplit_once('/').unwrap().1.parse().unwrap()
}

#[test]
fn a_client_that_refuses_cpim_in_a_session_gets_the_text_as_it_is() {
    let (mut world, conn, to) = opened();
    arrived(&mut world, conn, &to, "Content-Type: message/cpim\r\n", &asking("a", "positive-delivery", "hi"));
    romeo(&mut world, "m1", &format!("<body>the text</body>{REQUEST}"));
    let wrapped = take_msrp(&mut world);
    respond(&mut world, conn, &wrapped, "415 No");
    let plain = take_msrp(&mut world);
    assert!(plain.contains("Content-Type: text/plain;charset=UTF-8\r\n\r\nthe text\r\n"), "{plain}");
    respond(&mut world, conn, &plain, "200 OK");
    assert!(world.take_xmpp().is_empty(), "it has arrived");
    report(&mut world, conn, &plain, "1-8/8", "200 OK");
    assert_eq!(attr(&world.one_xmpp(), "xmlns='urn:xmpp:receipts' id"), "m1");
}

#[test]
fn check_047_no_report_is_asked_for_where_presence_may_not_be_seen() {
    // public.example is not verified: what comes from there is only for those who added its people.
    let juliet = "juliet@public.example";
    let mut world = world(Some(2855), Net::works());
    let headers = format!("{CONTACT}{SDP}");
    let invite = sip_request("INVITE", 1, ALICE, juliet, &headers, &offer("a=setup:actpass\r\n"));
    world.sip(&invite);
    let ok = world.one_sip();
    let to = described(ok.body()).path[0].clone();
    let mut dialog = Dialog::of(1, &ok);
    dialog.contact = juliet.into();
    dialog.ack(&mut world);
    let now = world.now;
    let conn = world.gateway.msrp_accepted(now, false, None).unwrap();
    let stanza = arrived(&mut world, conn, &to, SUCCESS, "hello");
    assert!(stanza.contains(juliet) && !stanza.contains("urn:xmpp:receipts"), "{stanza}");
}

#[test]
fn receipts_by_msrp_are_off_where_that_is_set() {
    let mut world = world_with(Net::works(), Im::Msrp, |settings| {
        settings.msrp.host = "gw.contoso.example".into();
        (settings.msrp.port, settings.msrp.tls) = (Some(2855), false);
        settings.peers[0].talk.receipts = Receipts::Off;
    });
    let (_, conn, to) = alice_opens(&mut world);
    let stanza = arrived(&mut world, conn, &to, SUCCESS, "O Romeo");
    assert!(!stanza.contains("urn:xmpp:receipts"), "{stanza}");
    let frame = sent(&mut world, conn, "m1", &format!("<body>x</body>{REQUEST}"));
    assert_eq!(header(&frame, "Success-Report"), None);
}
