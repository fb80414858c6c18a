//! What is no conversation of two people with texts is refused cleanly.

use super::super::net::Net;
use super::super::texts::request;
use super::super::{ALICE, ROMEO};
use super::{CONTACT, Dialog, FIRST, Im, OFFER, PLAIN, SDP, invite, world, world_with};

const AUDIO: &str = "m=audio 50000 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\n";
const VIDEO: &str = "m=video 50002 RTP/AVP 34\r\n";

fn head() -> &'static str {
    OFFER.split_once("m=message").unwrap().0
}

#[test]
fn f93_offers_without_texts_are_488() {
    let file = "m=message 7654 TCP/MSRP *\r\na=accept-types:*\r\na=path:msrp://a.example:7654/x;tcp\r\n\
        a=file-selector:name:\"x.jpg\" size:4092\r\na=file-transfer-id:1\r\na=sendonly\r\n";
    let texts_as_a_file = "m=message 5060 sip null\r\na=file-selector:name:\"x\" size:1\r\n";
    for media in [
        AUDIO,
        VIDEO,
        &format!("{AUDIO}{VIDEO}"),
        "m=image 4000 udptl t38\r\n",
        file,
        texts_as_a_file,
        "m=message 0 sip null\r\n",
        "m=message 5060 sip null\r\na=inactive\r\n",
        "m=application 5060 TLS/SIP application/ms-rdp\r\n",
        "",
    ] {
        let mut world = world(Im::MsSession);
        let (_, refused) = Dialog::invite(&mut world, 1, SDP, &format!("{}{media}", head()));
        assert_eq!(refused.status(), Some(488), "{media}");
        assert_eq!(world.gateway.session_count(), 0, "{media}");
        assert!(world.take_xmpp().is_empty());
        world.assert_quiet();
    }
}

#[test]
fn f93_of_several_media_the_texts_are_taken_and_the_others_have_port_0() {
    for (media, place) in [
        (format!("{AUDIO}{}{VIDEO}", OFFER.split_at(head().len()).1), 1),
        (format!("{}{AUDIO}", OFFER.split_at(head().len()).1), 0),
    ] {
        let mut world = world(Im::MsSession);
        let (mut dialog, ok) = Dialog::invite(&mut world, 1, SDP, &format!("{}{media}", head()));
        assert_eq!(ok.status(), Some(200));
        let lines = |text: &str| -> Vec<String> {
            text.lines().filter(|line| line.starts_with("m=")).map(str::to_owned).collect()
        };
        let (offered, answered) = (lines(&media), lines(ok.body()));
        assert_eq!(offered.len(), answered.len(), "{}", ok.text);
        for (at, line) in answered.iter().enumerate() {
            let kind = offered[at].split(' ').next().unwrap();
            assert!(line.starts_with(kind), "{line}");
            assert_eq!(line.split(' ').nth(1) == Some("0"), at != place, "{line}");
        }
        dialog.ack(&mut world);
        dialog.says(&mut world, "hi");
    }
}

#[test]
fn f92_conferences_are_refused() {
    let focus = "Contact: <sip:alice@edge.contoso.example;gruu;opaque=app:conf:focus:id:1>;isfocus\r\n";
    for (headers, status) in [
        ("Require: com.microsoft.rtc-multiparty\r\n", 420),
        ("Ms-Conf-Invite: required\r\n", 603),
        (
            "Supported: com.microsoft.rtc-multiparty\r\nRoster-Manager: <sip:a@b>\r\nEndPoints: <sip:a@b>\r\n",
            200,
        ),
    ] {
        let mut world = world(Im::MsSession);
        let (_, answer) = Dialog::invite(&mut world, 1, &format!("{headers}{SDP}"), OFFER);
        assert_eq!(answer.status(), Some(status), "{headers}");
        if status == 420 {
            assert_eq!(answer.header("Unsupported"), Some("com.microsoft.rtc-multiparty"));
        }
    }
    let mut world = world(Im::MsSession);
    world.sip(&request("INVITE", 1, ALICE, ROMEO, &format!("{focus}{SDP}"), OFFER));
    assert_eq!(world.one_sip().status(), Some(603));
    assert_eq!(world.gateway.session_count(), 0);
    // Nobody is referred to a conference out of a conversation either.
    let mut dialog = Dialog::open(&mut world, 2);
    let refer = "Refer-To: <sip:alice@contoso.example;gruu;opaque=app:conf:focus:id:1>\r\n";
    assert_eq!(dialog.status(&mut world, "REFER", refer, ""), 603);
    dialog.says(&mut world, "the chat goes on");
}

#[test]
fn f93_a_change_that_adds_audio_is_488_and_the_chat_goes_on() {
    let mut world = world(Im::MsSession);
    let mut dialog = Dialog::open(&mut world, 1);
    let headers = format!("{CONTACT}{SDP}");
    for offer in [format!("{OFFER}{AUDIO}"), format!("{}{AUDIO}", head())] {
        assert_eq!(dialog.status(&mut world, "INVITE", &headers, &offer), 488);
        let ack = dialog.text("ACK", "", "").replace("z9hG4bKACK", "z9hG4bKINVITE");
        world.sip(&ack);
    }
    dialog.says(&mut world, "still here");
    // A change that changes nothing is taken.
    dialog.send(&mut world, "INVITE", &headers, OFFER);
    let ok = world.one_sip();
    assert_eq!(ok.status(), Some(200));
    assert!(ok.body().contains("m=message 5060 sip null"));
    dialog.ack(&mut world);
    assert_eq!(dialog.status(&mut world, "UPDATE", CONTACT, ""), 200);
    dialog.says(&mut world, "and here");
}

#[test]
fn f93_an_invitation_to_a_file_is_415_wherever_it_stands() {
    let mut world = world(Im::MsSession);
    let body = "Application-Name: File Transfer\r\nInvitation-Command: INVITE\r\n";
    let first = "ms-text-format: text/x-msmsgsinvite; charset=UTF-8;ms-body=QXBwbGljYXRpb24=\r\n";
    let (mut dialog, ok) = Dialog::invite(&mut world, 1, &format!("{first}{SDP}"), OFFER);
    assert_eq!((ok.status(), ok.header("Supported")), (Some(200), Some("timer")));
    dialog.ack(&mut world);
    let file = "Content-Type: text/x-msmsgsinvite; charset=UTF-8\r\n";
    assert_eq!(dialog.status(&mut world, "MESSAGE", file, body), 415);
    assert!(world.take_xmpp().is_empty());
}

#[test]
fn other_bodies_of_an_invite_are_415_and_broken_ones_400() {
    let mut world = world(Im::MsSession);
    let (_, refused) = Dialog::invite(&mut world, 1, PLAIN, "hello");
    assert_eq!((refused.status(), refused.header("Accept")), (Some(415), Some("application/sdp")));
    let (_, refused) = Dialog::invite(&mut world, 2, SDP, "hello");
    assert_eq!(refused.status(), Some(400));
    let without = request("INVITE", 3, ALICE, ROMEO, SDP, OFFER);
    world.sip(&without);
    assert_eq!(world.one_sip().status(), Some(400), "no Contact");
    assert_eq!(world.gateway.session_count(), 0);
    world.assert_quiet();
}

#[test]
fn a_peer_whose_sessions_are_off_is_told_so() {
    let mut world = world(Im::Pager);
    let (_, refused) = Dialog::invite(&mut world, 1, &format!("{FIRST}{SDP}"), OFFER);
    assert_eq!(refused.status(), Some(405));
    assert!(!refused.header("Allow").unwrap().contains("INVITE"));
    assert!(world.take_xmpp().is_empty());
}

#[test]
fn a_user_whom_the_partner_does_not_know_is_no_news_before_the_first_text() {
    // RFC 7573 §5: nobody is asked before there is something to say; then the stream says what it says.
    let mut world = world_with(Net::works(), Im::MsSession, |_| {});
    world.sip(&invite(1, SDP, OFFER).replace(ROMEO, "nobody@unlisted.example"));
    let refused = world.one_sip();
    assert_eq!(refused.status(), Some(403));
    assert!(refused.header("ms-diagnostics").unwrap().starts_with("1005;"), "{}", refused.text);
}

/// RFC 3264 §8: the number in `o=` grows by one with each description that differs, and with no other.
#[test]
fn a_description_that_differs_has_the_next_number() {
    let mut world = world(Im::MsSession);
    let (mut dialog, ok) = Dialog::invite(&mut world, 1, SDP, OFFER);
    dialog.ack(&mut world);
    let origin = |body: &str| {
        let line = body.lines().find_map(|line| line.strip_prefix("o=")).unwrap_or_default().to_owned();
        let words: Vec<&str> = line.split(' ').collect();
        (words[1].to_owned(), words[2].parse::<u64>().unwrap())
    };
    let (session, first) = origin(ok.body());
    let more = format!("{OFFER}m=audio 0 RTP/AVP 0\r\n");
    for (offer, step) in [(OFFER, 0), (more.as_str(), 1), (more.as_str(), 1), (OFFER, 2)] {
        dialog.send(&mut world, "INVITE", &format!("{CONTACT}{SDP}"), offer);
        let ok = world.one_sip();
        assert_eq!(ok.status(), Some(200), "{}", ok.text);
        assert_eq!(origin(ok.body()), (session.clone(), first + step), "{}", ok.text);
        dialog.ack(&mut world);
    }
}
