//! Sessions that SIP users begin.

use super::super::net::Net;
use super::super::world::{Seen, World};
use super::super::{ALICE, ROMEO};
use super::{CONTACT, Dialog, FIRST, Im, OFFER, PLAIN, SDP, invite, romeo_sends, world, world_with};

#[test]
fn check_042_f81_an_invite_with_texts_is_taken_on_the_contacts_behalf() {
    let mut world = world(Im::MsSession);
    let (mut dialog, ok) = Dialog::invite(&mut world, 1, SDP, OFFER);
    assert_eq!(ok.status(), Some(200));
    assert_eq!(ok.header("Content-Type"), Some("application/sdp"));
    assert!(ok.body().contains("\r\nm=message 5060 sip null\r\n"), "{}", ok.text);
    assert!(ok.body().contains("a=accept-types:text/plain "), "{}", ok.text);
    assert!(ok.header("Contact").unwrap().starts_with("<sip:gw.contoso.example"), "{}", ok.text);
    // There was no text to deliver, so none is said to be.
    assert_eq!(ok.header("Supported"), Some("timer"));
    dialog.ack(&mut world);
    assert!(world.take_xmpp().is_empty(), "nobody is told before there is something to say");
    let stanza = dialog.says(&mut world, "Grüße ☂ <&>");
    for part in [
        "<message from='alice@contoso.example' to='romeo@capulet.example' id='",
        " type='chat'",
        "<body>Grüße ☂ &lt;&amp;&gt;</body>",
        "<thread>call1@edge</thread>",
    ] {
        assert!(stanza.contains(part), "{stanza}");
    }
    assert_eq!(dialog.status(&mut world, "BYE", "", ""), 200);
    assert!(world.take_xmpp().is_empty(), "romeo's client has shown no chat states");
    assert_eq!(world.gateway.session_count(), 0);
    assert_eq!(world.gateway.counts().delivered, [1, 0]);
    world.assert_quiet();
}

#[test]
fn check_064_f82_the_first_text_in_the_invite_arrives_once_though_it_is_repeated() {
    let mut world = world_with(Net { written: false, ..Net::works() }, Im::MsSession, |_| {});
    world.sip(&invite(1, &format!("{FIRST}{SDP}"), OFFER));
    let (stream, mark) = written(&mut world, "<body>Wherefore art thou?</body>");
    // Law 3: our 200 says that it is delivered, so it waits until that is so.
    world.assert_no_sip();
    world.written(stream, mark);
    let ok = world.one_sip();
    assert_eq!((ok.status(), ok.header("Supported")), (Some(200), Some("timer, ms-text-format")));
    let mut dialog = Dialog::of(1, &ok);
    dialog.ack(&mut world);
    assert_eq!(dialog.status(&mut world, "MESSAGE", PLAIN, "Wherefore art thou?\r\n"), 200);
    assert!(world.take_xmpp().is_empty(), "it was there already");
    // Who says the same once more says it twice.
    dialog.send(&mut world, "MESSAGE", PLAIN, "Wherefore art thou?");
    let (stream, mark) = written(&mut world, "<body>Wherefore art thou?</body>");
    world.written(stream, mark);
    assert_eq!(world.one_sip().status(), Some(200));
    assert_eq!(world.gateway.counts().delivered, [2, 0]);
}

#[test]
fn f82_a_first_text_that_is_not_repeated_is_not_lost_and_the_next_one_is_another() {
    let mut world = world(Im::MsSession);
    let (mut dialog, ok) = Dialog::invite(&mut world, 1, &format!("{FIRST}{SDP}"), OFFER);
    assert_eq!(ok.header("Supported"), Some("timer, ms-text-format"));
    assert!(world.one_xmpp().contains("<body>Wherefore art thou?</body>"));
    dialog.ack(&mut world);
    assert!(dialog.says(&mut world, "Deny thy father").contains("<body>Deny thy father</body>"));
    assert!(dialog.says(&mut world, "Wherefore art thou?").contains("<body>Wherefore"), "a new text");
    // The same word much later is another text, too.
    let (mut dialog, _) = Dialog::invite(&mut world, 2, &format!("{FIRST}{SDP}"), OFFER);
    dialog.ack(&mut world);
    world.take_xmpp();
    world.pass_secs(11);
    assert!(dialog.says(&mut world, "Wherefore art thou?").contains("<body>Wherefore"));
}

#[test]
fn f82_a_first_text_that_cannot_be_read_is_left_to_the_message_that_repeats_it() {
    for header in [
        "ms-text-format: text/rtf;ms-body=aGk=\r\n",
        "ms-text-format: text/plain;charset=UTF-8;ms-body=%%%\r\n",
        "Ms-IM-Format: text/html;charset=UTF-8;ms-body=PGI+aGk8L2I+\r\n",
    ] {
        let mut world = world(Im::MsSession);
        let (mut dialog, ok) = Dialog::invite(&mut world, 1, &format!("{header}{SDP}"), OFFER);
        assert_eq!((ok.status(), ok.header("Supported")), (Some(200), Some("timer")), "{header}");
        assert!(world.take_xmpp().is_empty(), "{header}");
        dialog.ack(&mut world);
        assert!(dialog.says(&mut world, "hi").contains("<body>hi</body>"), "{header}");
    }
}

#[test]
fn a_first_text_that_cannot_be_delivered_refuses_the_invitation() {
    let mut world =
        world_with(Net { streams: super::super::net::Play::Fail, ..Net::works() }, Im::Auto, |_| {});
    let (_, refused) = Dialog::invite(&mut world, 1, &format!("{FIRST}{SDP}"), OFFER);
    assert_eq!(refused.status(), Some(504));
    assert!(refused.header("ms-diagnostics").unwrap().starts_with("1007;source=\"gw.contoso.example\";"));
    assert_eq!((world.gateway.session_count(), world.gateway.counts().failed), (0, [1, 0]));
    world.assert_quiet();
}

#[test]
fn law_3_a_text_in_a_session_is_answered_when_it_is_written_and_not_before() {
    let mut world = world_with(Net { written: false, ..Net::works() }, Im::MsSession, |_| {});
    let mut dialog = Dialog::open(&mut world, 1);
    dialog.send(&mut world, "MESSAGE", PLAIN, "one");
    dialog.send(&mut world, "MESSAGE", PLAIN, "two");
    let (stream, one) = written(&mut world, "<body>one</body>");
    let (_, two) = written(&mut world, "<body>two</body>");
    world.assert_no_sip();
    world.written(stream, one);
    assert_eq!(world.one_sip().header("CSeq"), Some("2 MESSAGE"));
    // The session's end changes nothing for a text that is on its way.
    assert_eq!(dialog.status(&mut world, "BYE", "", ""), 200);
    world.written(stream, two);
    let answer = world.one_sip();
    assert_eq!((answer.status(), answer.header("CSeq")), (Some(200), Some("3 MESSAGE")));
    // And one whose stream breaks is not delivered.
    let mut dialog = Dialog::open(&mut world, 2);
    dialog.send(&mut world, "MESSAGE", PLAIN, "three");
    let (stream, _) = written(&mut world, "<body>three</body>");
    world.stream_down(stream);
    assert_eq!(world.one_sip().status(), Some(504));
}

#[test]
fn check_030_check_031_texts_of_a_session_come_as_html_and_in_parts_and_others_get_415() {
    let mut world = world(Im::MsSession);
    let mut dialog = Dialog::open(&mut world, 1);
    let html = "Content-Type: text/html; charset=UTF-8\r\n";
    assert_eq!(dialog.status(&mut world, "MESSAGE", html, "<b>bold</b> &amp; plain"), 200);
    assert!(world.one_xmpp().contains("<body>bold &amp; plain</body>"));
    let parts = "Content-Type: multipart/alternative;boundary=x\r\n";
    let body = "--x\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\nplain\r\n\
        --x\r\nContent-Type: text/html\r\n\r\n<i>html</i>\r\n--x--\r\n";
    assert_eq!(dialog.status(&mut world, "MESSAGE", parts, body), 200);
    assert!(world.one_xmpp().contains("<body>plain</body>"));
    for other in ["application/x-ms-ink", "text/x-msmsgsinvite; charset=UTF-8", "image/gif", "text/rtf"] {
        dialog.send(&mut world, "MESSAGE", &format!("Content-Type: {other}\r\n"), "x");
        let refused = world.one_sip();
        assert_eq!(refused.status(), Some(415), "{other}");
        let accept = refused.header("Accept").unwrap();
        assert!(accept.contains("text/plain") && accept.contains("multipart/alternative"), "{accept}");
    }
    assert!(world.take_xmpp().is_empty());
    // The chat goes on.
    dialog.says(&mut world, "still here");
}

#[test]
fn words_about_typing_are_taken_and_keep_the_session_alive() {
    let mut world = world(Im::MsSession);
    let mut dialog = Dialog::open(&mut world, 1);
    world.pass_secs(500);
    let keyboard = "Content-Type: application/xml\r\n";
    let body = "<?xml version=\"1.0\"?><KeyboardActivity><status status=\"type\" /></KeyboardActivity>";
    assert_eq!(dialog.status(&mut world, "INFO", keyboard, body), 200);
    let composing = "Content-Type: application/im-iscomposing+xml\r\n";
    let body =
        "<isComposing xmlns='urn:ietf:params:xml:ns:im-iscomposing'><state>active</state></isComposing>";
    assert_eq!(dialog.status(&mut world, "MESSAGE", composing, body), 200);
    assert_eq!(dialog.status(&mut world, "INFO", "Content-Type: application/dtmf-relay\r\n", "5"), 415);
    world.pass_secs(500);
    assert_eq!(world.gateway.session_count(), 1);
    world.assert_no_sip();
}

#[test]
fn check_053_an_idle_session_ends_with_bye_and_a_new_one_begins() {
    let mut world = world(Im::MsSession);
    let mut dialog = Dialog::open(&mut world, 1);
    world.pass_secs(300);
    dialog.says(&mut world, "hi");
    world.pass_secs(599);
    world.assert_no_sip();
    world.pass_secs(2);
    let bye = world.one_sip();
    dialog.ours(&bye, "BYE");
    // What crosses it is not delivered, and its sender hears so.
    assert_eq!(dialog.status(&mut world, "MESSAGE", PLAIN, "wait"), 481);
    assert!(world.take_xmpp().is_empty());
    world.answer(&bye, 200);
    assert_eq!(world.gateway.session_count(), 0);
    assert_eq!(dialog.status(&mut world, "MESSAGE", PLAIN, "too late"), 481);
    Dialog::open(&mut world, 2).says(&mut world, "again");
}

#[test]
fn check_052_bye_is_gone_to_a_client_that_knows_chat_states() {
    let mut world = world(Im::MsSession);
    let mut dialog = Dialog::open(&mut world, 1);
    dialog.says(&mut world, "hi");
    romeo_sends(&mut world, super::COMPOSING);
    assert_eq!(dialog.status(&mut world, "BYE", "", ""), 200);
    let gone = world.one_xmpp();
    assert!(gone.starts_with("<message from='alice@contoso.example' to='romeo@capulet.example"), "{gone}");
    assert!(gone.contains("type='chat'><gone xmlns='http://jabber.org/protocol/chatstates'/>"), "{gone}");
    assert!(gone.contains("<thread>call1@edge</thread>") && !gone.contains("<body"), "{gone}");
}

#[test]
fn our_200_is_repeated_until_its_ack_and_without_one_the_session_ends() {
    let mut world = world(Im::MsSession);
    let (mut dialog, ok) = Dialog::invite(&mut world, 1, SDP, OFFER);
    world.pass_secs(4);
    let again = world.take_sip();
    assert_eq!(again.len(), 3, "after 0.5, 1.5 and 3.5 s: {again:#?}");
    assert!(again.iter().all(|sent| sent.text == ok.text));
    dialog.ack(&mut world);
    world.pass_secs(60);
    world.assert_no_sip();
    let (mut dialog, _) = Dialog::invite(&mut world, 2, SDP, OFFER);
    world.pass_secs(40);
    let sent = world.take_sip();
    let bye = sent.last().unwrap();
    dialog.ours(bye, "BYE");
    world.answer(&bye.clone(), 481);
    assert_eq!(world.gateway.session_count(), 1, "the first one");
}

#[test]
fn an_invitation_that_is_taken_back_is_answered_487() {
    let mut world = world_with(Net { written: false, ..Net::works() }, Im::MsSession, |_| {});
    world.sip(&invite(1, &format!("{FIRST}{SDP}"), OFFER));
    let (stream, mark) = written(&mut world, "Wherefore");
    world.sip(&invite(1, "", "").replace("INVITE", "CANCEL"));
    assert_eq!(world.statuses(), [200, 487]);
    world.written(stream, mark);
    world.assert_no_sip();
    assert_eq!(world.gateway.session_count(), 0);
}

#[test]
fn an_invite_without_an_offer_gets_ours_and_its_ack_must_answer_it() {
    let mut world = world(Im::MsSession);
    let (mut dialog, ok) = Dialog::invite(&mut world, 1, "", "");
    assert_eq!(ok.status(), Some(200));
    assert!(ok.body().contains("m=message 5060 sip null"), "{}", ok.text);
    let ack = dialog.text("ACK", SDP, OFFER);
    world.sip(&ack);
    dialog.says(&mut world, "hi");
    let (mut dialog, _) = Dialog::invite(&mut world, 2, "", "");
    let refused = OFFER.replace("m=message 5060 sip null", "m=message 0 sip null");
    let ack = dialog.text("ACK", SDP, &refused);
    world.sip(&ack);
    dialog.ours(&world.one_sip(), "BYE");
}

#[test]
fn replies_go_to_the_resource_that_wrote_last() {
    let mut world = world(Im::MsSession);
    let mut dialog = Dialog::open(&mut world, 1);
    assert!(dialog.says(&mut world, "one").contains("to='romeo@capulet.example' "));
    world.say("m1", ALICE, "yes?");
    let sent = world.one_sip();
    dialog.ours(&sent, "MESSAGE");
    assert_eq!((sent.header("Content-Type"), sent.body()), (Some("text/plain; charset=UTF-8"), "yes?"));
    world.answer(&sent, 200);
    assert!(dialog.says(&mut world, "two").contains("to='romeo@capulet.example/orchard' "));
}

#[test]
fn a_dialog_of_somebody_else_is_481_for_everybody_but_its_own_two() {
    let mut world = world(Im::MsSession);
    let mut dialog = Dialog::open(&mut world, 1);
    let right = dialog.remote.clone();
    dialog.user = "bob@contoso.example".into();
    assert_eq!(dialog.status(&mut world, "MESSAGE", PLAIN, "x"), 481);
    dialog.user = ALICE.into();
    dialog.contact = "juliet@capulet.example".into();
    assert_eq!(dialog.status(&mut world, "BYE", "", ""), 481);
    dialog.contact = ROMEO.into();
    dialog.remote = "guessed".into();
    assert_eq!(dialog.status(&mut world, "BYE", "", ""), 481);
    dialog.remote = right;
    dialog.local = "other".into();
    assert_eq!(dialog.status(&mut world, "BYE", "", ""), 481);
    assert!(world.take_xmpp().is_empty());
    assert_eq!(world.gateway.session_count(), 1);
    let _ = CONTACT;
}

/// The stanza that was sent with this in it: its stream and mark.
#[track_caller]
fn written(world: &mut World, part: &str) -> (crate::xmpp::StreamId, u64) {
    while let Some(seen) = world.seen.pop_front() {
        if let Seen::Xmpp { stream, mark, text, .. } = seen {
            assert!(text.contains(part), "{text}");
            return (stream, mark);
        }
    }
    panic!("no stanza with {part}");
}
