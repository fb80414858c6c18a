//! Sessions that are begun for the sake of an XMPP contact's text.

use super::super::net::{Net, Play};
use super::super::{ALICE, ROMEO};
use super::{CONTACT, Dialog, GONE, Im, OFFER, PLAIN, SDP, romeo_opens, romeo_sends, world, world_with};
use crate::gateway::observe::Observation;

#[test]
fn check_041_f80_texts_wait_in_order_while_the_invitation_is_out() {
    let mut world = world(Im::MsSession);
    world.say("m1", ALICE, "one");
    let invite = world.one_sip();
    assert!(invite.text.starts_with("INVITE sip:alice@contoso.example SIP/2.0\r\n"), "{}", invite.text);
    assert!(invite.header("From").unwrap().starts_with("<sip:romeo@capulet.example>;tag="), "no resource");
    assert!(invite.body().contains("m=message 5060 sip null"), "{}", invite.text);
    world.answer(&invite, 101);
    world.say("m2", ALICE, "two");
    world.answer(&invite, 180);
    world.say("m3", ALICE, "three");
    world.assert_no_sip();
    let record = "Record-Route: <sip:p1.contoso.example:5061;transport=tls;lr;ms-route-sig=x>;tag=1\r\n";
    world.answer_body(&invite, 200, &format!("{record}{CONTACT}{SDP}"), OFFER);
    let sent = world.take_sip();
    assert_eq!(sent.len(), 2, "{sent:#?}");
    // check 43: the ACK has the number of the INVITE.
    assert_eq!(sent[0].header("CSeq"), Some("1 ACK"));
    let mut dialog = Dialog::of_ours(&invite);
    let mut next = sent[1].clone();
    for body in ["one", "two", "three"] {
        // check 65: tags, Call-ID, a CSeq without a gap, and the route.
        dialog.ours(&next, "MESSAGE");
        assert_eq!(next.body(), body);
        assert!(next.text.starts_with("MESSAGE sip:alice@edge.contoso.example:5061;transport=tls SIP/2.0"));
        assert!(next.header("Route").unwrap().starts_with("<sip:p1.contoso.example:5061;"), "{}", next.text);
        world.answer(&next, 200);
        let mut more = world.take_sip();
        match body {
            "three" => assert!(more.is_empty()),
            _ => next = more.remove(0),
        }
    }
    assert!(world.take_xmpp().is_empty(), "no error");
    assert_eq!(world.gateway.counts().delivered, [0, 3]);
}

#[test]
fn texts_that_overtake_the_answer_to_the_invitation_arrive_once_and_in_order() {
    let mut world = world(Im::MsSession);
    world.say("m1", ALICE, "one");
    let invite = world.one_sip();
    let mut dialog = Dialog::of_ours(&invite);
    for body in ["early", "words"] {
        assert!(dialog.says(&mut world, body).contains(&format!("<body>{body}</body>")));
    }
    world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), OFFER);
    let sent = world.take_sip();
    assert_eq!((sent[0].header("CSeq"), sent[1].body()), (Some("1 ACK"), "one"));
    world.answer(&sent[1], 200);
    assert!(dialog.says(&mut world, "late").contains("<body>late</body>"));
    assert_eq!(world.gateway.session_count(), 1);
    // What it overtook may as well be a refusal.
    world.say("m2", "bob@contoso.example", "two");
    let refused = world.one_sip();
    let mut dialog = Dialog::of_ours(&refused);
    dialog.says(&mut world, "busy");
    world.answer(&refused, 486);
    assert!(world.one_sip().text.starts_with("ACK "));
    assert!(world.one_xmpp().contains("id='m2'"));
    assert_eq!(dialog.status(&mut world, "MESSAGE", PLAIN, "later"), 481);
    assert_eq!(world.gateway.session_count(), 1);
}

#[test]
fn check_043_the_ack_has_the_number_of_its_invite_and_is_sent_for_every_copy() {
    let mut world = world(Im::MsSession);
    world.say("m1", ALICE, "one");
    let invite = world.one_sip();
    for copy in 0..3 {
        world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), OFFER);
        let sent = world.take_sip();
        assert_eq!(sent[0].header("CSeq"), Some("1 ACK"), "{copy}");
        assert_eq!(sent.len(), if copy == 0 { 2 } else { 1 }, "the text is sent once");
    }
}

#[test]
fn check_065_a_text_that_is_refused_is_returned_and_the_next_one_goes_on() {
    let mut world = world(Im::MsSession);
    let (mut dialog, one) = romeo_opens(&mut world, "m1", "one");
    world.say("m2", ALICE, "two");
    world.assert_no_sip();
    world.answer(&one, 415);
    let error = world.one_xmpp();
    assert!(error.contains("id='m1'") && error.contains("<not-acceptable "), "{error}");
    let two = world.one_sip();
    dialog.ours(&two, "MESSAGE");
    world.answer(&two, 200);
    assert!(world.take_xmpp().is_empty());
}

#[test]
fn f83_f84_an_invitation_that_fails_returns_every_text_once_with_the_cause() {
    for (status, condition, headers, said) in [
        (404, "item-not-found", "ms-diagnostics: 1003;reason=\"User does not exist\"\r\n", "1003: User does"),
        (480, "recipient-unavailable", "", "Temporarily"),
        (486, "recipient-unavailable", "", "Busy Here"),
        (603, "recipient-unavailable", "", "Decline"),
        (403, "forbidden", "ms-diagnostics-public: 4005;reason=\"not enabled\"\r\n", "4005: not enabled"),
        (504, "remote-server-timeout", "ms-diagnostics: 1047;reason=\"TLS\";source=\"x\"\r\n", "1047: TLS"),
        (488, "not-acceptable", "", "Not Acceptable"),
    ] {
        let mut world = world(Im::MsSession);
        world.say("m1", ALICE, "one");
        let invite = world.one_sip();
        world.say("m2", ALICE, "two");
        world.answer_with(&invite, status, headers);
        let ack = world.one_sip();
        assert!(ack.text.starts_with("ACK sip:alice@contoso.example "), "{}", ack.text);
        let branch = |sent: &super::Sent| sent.header("Via").unwrap().to_owned();
        assert_eq!(branch(&ack), branch(&invite), "of the same transaction");
        let errors = world.take_xmpp();
        assert_eq!(errors.len(), 2, "{status}: {errors:#?}");
        for (error, id) in errors.iter().zip(["m1", "m2"]) {
            assert!(error.contains(&format!("id='{id}'")), "{status}: {error}");
            assert!(error.contains(&format!("<{condition} ")) && error.contains(said), "{status}: {error}");
        }
        world.pass_secs(120);
        world.assert_nothing_sent();
        assert_eq!(world.gateway.session_count(), 0, "{status}");
        assert_eq!(world.gateway.counts().failed, [0, 2], "{status}");
        world.assert_quiet();
    }
}

#[test]
fn f84_a_server_that_is_silent_or_out_of_reach_returns_every_text_once() {
    let mut world = world(Im::MsSession);
    world.say("m1", ALICE, "one");
    world.one_sip();
    world.say("m2", ALICE, "two");
    world.pass_secs(60);
    let errors = world.take_xmpp();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(errors.iter().all(|error| error.contains("<remote-server-timeout ")), "{errors:#?}");
    let net = Net { links: Play::Fail, ..Net::works() };
    let mut world = world_with(net, Im::MsSession, |_| {});
    world.say("m1", ALICE, "one");
    world.pass_secs(60);
    assert!(world.one_xmpp().contains("<remote-server-timeout "));
    assert_eq!(world.gateway.session_count(), 0);
}

#[test]
fn an_invitation_that_nobody_takes_is_cancelled_and_its_texts_go_back() {
    let mut world = world(Im::MsSession);
    world.say("m1", ALICE, "one");
    let invite = world.one_sip();
    world.answer(&invite, 183);
    world.pass_secs(41);
    let cancel = world.one_sip();
    assert!(cancel.text.starts_with("CANCEL sip:alice@contoso.example "), "{}", cancel.text);
    assert_eq!(cancel.header("CSeq"), Some("1 CANCEL"));
    let error = world.one_xmpp();
    assert!(error.contains("id='m1'") && error.contains("<recipient-unavailable "), "{error}");
    world.answer(&cancel, 200);
    // The next text is another invitation.
    world.say("m2", ALICE, "two");
    let second = world.one_sip();
    assert!(second.text.starts_with("INVITE "), "{}", second.text);
    // A 2xx that crosses the CANCEL is acknowledged and ended.
    world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), OFFER);
    let sent = world.take_sip();
    let methods: Vec<_> = sent.iter().map(|sent| sent.text.split(' ').next().unwrap()).collect();
    assert_eq!(methods, ["ACK", "BYE"]);
    assert!(world.take_xmpp().is_empty(), "m1 has had its error");
    assert_eq!(world.gateway.session_count(), 1);
}

#[test]
fn check_052_gone_ends_the_session_after_the_last_text() {
    let mut world = world(Im::MsSession);
    let (mut dialog, one) = romeo_opens(&mut world, "m1", "one");
    romeo_sends(&mut world, GONE);
    world.assert_no_sip();
    world.answer(&one, 200);
    let bye = world.one_sip();
    dialog.ours(&bye, "BYE");
    world.answer(&bye, 200);
    assert_eq!(world.gateway.session_count(), 0);
    assert!(world.take_xmpp().is_empty());
    world.assert_quiet();
}

#[test]
fn a_bye_or_a_lost_dialog_loses_no_text() {
    // The BYE comes while one text is in the air and one waits.
    let mut world = world(Im::MsSession);
    let (mut dialog, one) = romeo_opens(&mut world, "m1", "one");
    world.say("m2", ALICE, "two");
    assert_eq!(dialog.status(&mut world, "BYE", "", ""), 200);
    world.answer(&one, 200);
    let invite = world.one_sip();
    assert!(invite.text.starts_with("INVITE "), "{}", invite.text);
    world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), OFFER);
    let sent = world.take_sip();
    assert_eq!(sent[1].body(), "two");
    // And the dialog is unknown over there: once more, not for ever.
    world.answer(&sent[1], 481);
    let more = world.take_sip();
    let [bye, invite] = &more[..] else { panic!("{more:#?}") };
    assert!(bye.text.starts_with("BYE ") && invite.text.starts_with("INVITE "), "{more:#?}");
    world.answer_body(invite, 200, &format!("{CONTACT}{SDP}"), OFFER);
    let sent = world.take_sip();
    assert_eq!(sent[1].body(), "two");
    world.answer(&sent[1], 481);
    let error = world.one_xmpp();
    assert!(error.contains("id='m2'"), "{error}");
    world.pass_secs(1000);
    assert_eq!(world.gateway.counts().delivered[1] + world.gateway.counts().failed[1], 2);
    assert!(world.take_xmpp().is_empty());
}

#[test]
fn a_text_without_an_answer_ends_the_session_and_all_that_waits_goes_back() {
    let mut world = world(Im::MsSession);
    let (mut dialog, _) = romeo_opens(&mut world, "m1", "one");
    world.say("m2", ALICE, "two");
    world.pass_secs(33);
    let errors = world.take_xmpp();
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(errors.iter().all(|error| error.contains("<remote-server-timeout ")), "{errors:#?}");
    let bye = world.one_sip();
    dialog.ours(&bye, "BYE");
    world.answer(&bye, 200);
    assert_eq!(world.gateway.session_count(), 0);
}

#[test]
fn a_lost_connection_returns_the_text_in_the_air_and_the_session_goes_on_over_the_next() {
    let mut world = world(Im::MsSession);
    let (mut dialog, one) = romeo_opens(&mut world, "m1", "one");
    world.say("m2", ALICE, "two");
    world.link_down(one.link);
    world.pass_secs(5);
    let error = world.one_xmpp();
    assert!(error.contains("id='m1'") && error.contains("<remote-server-timeout "), "{error}");
    let two = world.one_sip();
    dialog.ours(&two, "MESSAGE");
    assert!(two.body() == "two" && two.link != one.link);
    world.answer(&two, 200);
    assert_eq!(world.gateway.counts().delivered, [0, 1]);
}

#[test]
fn where_both_invite_each_other_no_text_is_lost_whichever_is_refused() {
    let mut world = world(Im::MsSession);
    world.say("m1", ALICE, "one");
    let invite = world.one_sip();
    world.say("m2", ALICE, "two");
    let mut theirs = Dialog::open(&mut world, 1);
    world.say("m3", ALICE, "three");
    world.assert_no_sip();
    world.answer(&invite, 486);
    let sent = world.take_sip();
    assert!(sent[0].text.starts_with("ACK "), "{sent:#?}");
    let mut next = sent[1].clone();
    for body in ["one", "two", "three"] {
        theirs.ours(&next, "MESSAGE");
        assert_eq!(next.body(), body);
        world.answer(&next, 200);
        if body != "three" {
            next = world.one_sip();
        }
    }
    assert!(world.take_xmpp().is_empty());
    // Both may also be taken: each text goes out once, in order.
    let mut world = super::world(Im::MsSession);
    world.say("m1", ALICE, "one");
    let invite = world.one_sip();
    let mut theirs = Dialog::open(&mut world, 1);
    world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), OFFER);
    let sent = world.take_sip();
    assert_eq!(sent[1].body(), "one");
    world.answer(&sent[1], 200);
    world.say("m2", ALICE, "two");
    let two = world.one_sip();
    theirs.ours(&two, "MESSAGE");
    world.answer(&two, 200);
    assert_eq!(world.gateway.counts().delivered, [0, 2]);
    let _ = (PLAIN, ROMEO);
}

#[test]
fn an_answer_that_takes_no_texts_ends_the_session_and_returns_them() {
    let mut world = world(Im::MsSession);
    world.say("m1", ALICE, "one");
    let invite = world.one_sip();
    let refused = OFFER.replace("m=message 5060 sip null", "m=message 0 sip null");
    world.answer_body(&invite, 200, &format!("{CONTACT}{SDP}"), &refused);
    let sent = world.take_sip();
    let methods: Vec<_> = sent.iter().map(|sent| sent.text.split(' ').next().unwrap()).collect();
    assert_eq!(methods, ["ACK", "BYE"]);
    assert!(world.one_xmpp().contains("<not-acceptable "));
    world.pass_secs(200);
    assert_eq!(world.gateway.session_count(), 0);
}

#[test]
fn check_018_check_019_check_037_subject_language_and_date_go_along() {
    let mut world = world(Im::MsSession);
    let (mut dialog, one) = romeo_opens(&mut world, "m1", "one");
    world.answer(&one, 200);
    world.romeo(&format!(
        "<message from='romeo@capulet.example' to='{ALICE}' id='m2' xml:lang='it'><subject>Il balcone</subject>\
         <body>due</body><delay xmlns='urn:xmpp:delay' stamp='2026-01-02T03:04:05Z'/></message>"
    ));
    let sent = world.one_sip();
    dialog.ours(&sent, "MESSAGE");
    assert_eq!(sent.header("Subject"), Some("Il balcone"));
    assert_eq!(sent.header("Content-Language"), Some("it"));
    assert_eq!(sent.header("Date"), Some("Fri, 02 Jan 2026 03:04:05 GMT"));
    // A new subject without a text is a text of its own.
    world.answer(&sent, 200);
    world.romeo(&format!(
        "<message from='romeo@capulet.example' to='{ALICE}' id='m3'><subject>Altro</subject></message>"
    ));
    let sent = world.one_sip();
    assert_eq!((sent.header("Subject"), sent.body()), (Some("Altro"), ""));
}

#[test]
fn texts_of_sessions_are_observed_as_those_of_messages_are() {
    let mut world = world_with(Net::works(), Im::MsSession, |settings| settings.texts = true);
    let (mut dialog, one) = romeo_opens(&mut world, "m1", "one");
    world.answer(&one, 200);
    dialog.says(&mut world, "two");
    let mut traces = Vec::new();
    for observation in &world.observed {
        match observation {
            Observation::Text { trace, text, .. } => traces.push((trace.clone(), text.clone())),
            Observation::Delivered { trace, .. } => traces.push((trace.clone(), String::new())),
            _ => {}
        }
    }
    assert_eq!(traces.len(), 4, "{traces:?}");
    assert_eq!((traces[0].1.as_str(), traces[2].1.as_str()), ("one", "two"));
    assert_eq!((&traces[0].0, &traces[2].0), (&traces[1].0, &traces[3].0), "one name for one text");
}
